/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which external ports may this request have?  The admin's rules in order, then the default policy.
 * Pure. */
#ifndef PORTLEASE_POLICY_H
#define PORTLEASE_POLICY_H

#include "../base/config.h"

struct policy;

/* Keeps a pointer to rules: they must outlive it.  NULL: out of memory. */
struct policy *policy_new(const struct policy_rule *rules, size_t count);
void policy_free(struct policy *); /* NULL is allowed */

/* The allowed external ports, ascending, disjoint, within 1-65535.  Valid until the next
 * policy_judge(). */
struct verdict {
	const struct port_range *range;
	size_t ranges;	    /* 0: nothing is allowed */
	unsigned denied_by; /* line of the rule that denied the port it would have got first; 0: no
			       rule did */
};

/*
 * First match wins, per external port.  A rule that allows and names no internal client matches
 * only what leads to the client itself.  What no rule decides is allowed iff internal and external
 * port are >= 1024 and the internal address is the client's own.
 */
struct verdict policy_judge(struct policy *, const struct map_request *);

/*
 * May a lease of that port stay?  The request is as its internal host would ask for it; but who did
 * is not known: a rule that allows and names an internal client matches whoever asked.  *denied_by:
 * the line of the rule that denies it, 0: none does.
 */
bool policy_keeps(const struct policy *, const struct map_request *, uint16_t port,
		  unsigned *denied_by);

bool verdict_allows(const struct verdict *, uint16_t port);

#endif
