/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which prefixes the LANs had and have not any more.  Pure; knows no lease. */
#ifndef PORTLEASE_RENUMBERING_H
#define PORTLEASE_RENUMBERING_H

#include "../../protocols/mapping.h"

/* How long a LAN must have had others before its hosts there are given up. */
#define RENUMBERING_DELAY (30 * MONOTIME_SECOND)
/* Of all LANs, present and past; of more, some hosts are not given up. */
enum { RENUMBERING_PREFIXES = 128 };

struct renumbering {
	size_t count;
	struct {
		size_t lan;
		struct prefix prefix;
		monotime since; /* its LAN has others; MONOTIME_NEVER: it has this one, or none */
	} known[RENUMBERING_PREFIXES];
};

/* A LAN's prefixes from now on; none while it is gone, down or without an address. */
void renumbering_set_lan(struct renumbering *, size_t lan, const struct prefix *, size_t count,
			 monotime now);
/* LANs have other numbers: origin has the old one of each; what none has is forgotten. */
void renumbering_move(struct renumbering *, const size_t *origin, size_t lans);
monotime renumbering_due(const struct renumbering *); /* MONOTIME_NEVER: nothing is */
/* A prefix that is due, which is then forgotten.  False: there is none. */
bool renumbering_take(struct renumbering *, monotime now, struct prefix *out);

#endif
