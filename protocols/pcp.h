/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCP, version 2 (RFC 6887): datagrams to requests and back.  Pure. */
#ifndef PORTLEASE_PCP_H
#define PORTLEASE_PCP_H

#include "datagram.h"

/*
 * Reads a datagram of any version but 0 (and of 0 while NAT-PMP is off), with the checks of 8.2 in
 * their order. REJECT: *reply has the result, and what of *request was read before the fault
 * stands. Overwrites all of *request: the front end sets its fields after it.
 */
enum decode_result pcp_decode(const struct datagram *, struct map_request *request,
			      struct map_reply *reply);

/*
 * The answer; request as pcp_decode() left it.  Errors are a padded copy of the request with the
 * header's fields replaced (8.2, 7.2) and the lifetimes of 7.4.  Returns the length, 0 if it does
 * not fit.
 */
size_t pcp_encode(const struct datagram *, const struct map_request *request,
		  const struct map_reply *reply, uint8_t *out, size_t size);

/* The unsolicited ANNOUNCE of 14.1.1. */
size_t pcp_encode_announcement(uint32_t epoch, uint8_t *out, size_t size);

#endif
