/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a request comes to: the conflict and delete matrices, lifetimes and quotas, for every
 * protocol alike.  Changes the lease table through the transaction; what differs between protocols
 * is data in the request.
 */
#ifndef PORTLEASE_DECISION_H
#define PORTLEASE_DECISION_H

#include "port_pick.h"
#include "transaction.h"

struct decider {
	struct lease_table *table;
	struct transaction *transaction;
	struct policy *policy;
	const struct port_pick_options *ports;
	uint32_t max_mappings_per_client;
	struct address external; /* unspecified = none */
	monotime now;
	unsigned denied_by; /* out: line of the rule that refused, 0 = none or the default policy */
};

/* Fills all of *reply but the epoch.  A MAP_OK holds if the transaction carries out every change it
 * stands on. */
void decide(struct decider *, const struct map_request *, struct map_reply *reply);
/* Does the answer, a MAP_OK, stand on what the transaction does to this lease? */
bool decision_stands_on(const struct map_request *, const struct map_reply *,
			const struct lease_record *);

/* Seconds a lease has left, rounded up; MAPPING_LIFETIME_STATIC for a static one. */
uint32_t lease_remaining(const struct lease_record *, monotime now);

#endif
