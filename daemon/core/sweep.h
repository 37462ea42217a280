/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes flows follow the mappings: what a changed port's present mapping does not carry ends, and a
 * new mapping takes over whom its port already talked to.  Ports are noted as they change; one
 * reading of the kernel's flows serves all that were noted before it.
 */
#ifndef PORTLEASE_SWEEP_H
#define PORTLEASE_SWEEP_H

#include "counters.h"
#include "lease_table.h"
#include "../../backend/firewall.h"
#include "../../backend/flows.h"

struct sweep;

/* How long changes are gathered before a reading, and how far apart two readings begin at least. */
#define SWEEP_DELAY    ((monotime)50)
#define SWEEP_INTERVAL ((monotime)100)

/* All borrowed.  NULL: out of memory. */
struct sweep *sweep_new(const struct lease_table *, struct flows *, struct counters *);
void sweep_free(struct sweep *); /* NULL is allowed */

/* The mappings of these external ports are others than before. */
void sweep_note(struct sweep *, enum transport, struct port_range, monotime now);
/* Reads one piece if it is time; a reading that failed is tried again.  Returns when to call again,
 * MONOTIME_NEVER if nothing is noted.
 */
monotime sweep_run(struct sweep *, const struct firewall_network *, monotime now);
bool sweep_reads(const struct sweep *); /* a reading is under way */

/* The mapping that carries what this remote host sends to an external port; NULL: none. */
const struct lease *sweep_carrier(const struct lease_table *, enum transport, uint16_t port,
				  const struct address *remote);
/* The mapping through which a flow came in, or through whose port .reply_to a host's own flow
 * leaves as itself; NULL: none. */
const struct lease *sweep_inbound(const struct lease_table *, const struct flow *);
const struct lease *sweep_outbound(const struct lease_table *, const struct flow *);

#endif
