/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to start what died again.  Pure. */
#ifndef PORTLEASE_RESPAWN_H
#define PORTLEASE_RESPAWN_H

#include "../../protocols/mapping.h"

/* RESPAWN_DEATHS in RESPAWN_WINDOW are too many; then it rests between the two times, doubling. */
enum { RESPAWN_DEATHS = 5 };
#define RESPAWN_WINDOW	 (10 * MONOTIME_SECOND)
#define RESPAWN_REST	 MONOTIME_SECOND
#define RESPAWN_REST_MAX (10 * MONOTIME_SECOND)

/* Of one process.  Zero-initialise. */
struct respawn {
	monotime death[RESPAWN_DEATHS - 1]; /* the last ones, in time not rested */
	unsigned deaths;
	monotime rest;	 /* the last one; 0: none was needed */
	monotime rested; /* in all */
};

/* It died now: when to start it. */
monotime respawn_at(struct respawn *, monotime now);

#endif
