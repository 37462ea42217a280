/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lines that the log has of leases and requests.  What a LAN host can cause is limited; what
 * the admin's own files cause is not.
 */
#ifndef PORTLEASE_LEASE_LOG_H
#define PORTLEASE_LEASE_LOG_H

#include "../base/log.h"
#include "../../protocols/mapping.h"

/* What became of a lease; a static one is told as a forward. */
void lease_log(struct log_limit *, const char *event, const struct lease_record *, monotime now);
void lease_log_forward(const char *event, const struct lease_record *);
/* It ends for that reason; line: of the rule, 0: none says so. */
void lease_log_denied(const struct lease_record *, const char *reason, unsigned line);
void lease_log_refusal(struct log_limit *, const struct map_request *, enum map_result,
		       unsigned line, monotime now);

#endif
