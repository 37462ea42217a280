/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which ports the gateway itself listens on: such a port must not be mapped away from it. */
#ifndef PORTLEASE_LISTENERS_H
#define PORTLEASE_LISTENERS_H

#include "fault.h"
#include "../protocols/mapping.h"

struct listeners;

int listeners_open(struct listeners **, struct fault *);
void listeners_close(struct listeners *); /* NULL is allowed */

/*
 * Does a socket of this network namespace accept on that port at this address of the WAN interface
 * (wildcard and dual-stack sockets included)?  One exact query (sock_diag), or a trial bind where
 * the kernel lacks it.  If it cannot be told: false.
 */
bool listeners_busy(struct listeners *, enum transport, const struct endpoint *,
		    unsigned wan_index);

/* The kernel's net.ipv4.ip_local_port_range, or its default: ports of the gateway's own outbound
 * sockets. */
struct port_range listeners_ephemeral(void);

/* From here on by trial bind, as where the kernel lacks the query. */
void listeners_trial_bind(struct listeners *);

#endif
