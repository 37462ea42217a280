/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "respawn.h"

enum { REMEMBERED = RESPAWN_DEATHS - 1 };

/* Rests do not count as time: else each one would make deaths look rare and be the last. */
monotime
respawn_at(struct respawn *r, monotime now)
{
	monotime awake = now - r->rested;
	monotime *oldest = &r->death[r->deaths % REMEMBERED];
	bool often = r->deaths >= REMEMBERED && awake - *oldest < RESPAWN_WINDOW;

	*oldest = awake;
	r->deaths++;
	if (!often)
		r->rest = 0;
	else if (r->rest == 0)
		r->rest = RESPAWN_REST;
	else
		r->rest = r->rest * 2 < RESPAWN_REST_MAX ? r->rest * 2 : RESPAWN_REST_MAX;
	r->rested += r->rest;
	return now + r->rest;
}
