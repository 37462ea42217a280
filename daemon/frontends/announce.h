/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When to send one series of announcements: ten, the first at once, the first gap 250 ms, each
 * later one twice the one before (RFC 6886 3.2.1, RFC 6887 14.1.3).  Pure: sends nothing, reads no
 * clock.
 */
#ifndef PORTLEASE_ANNOUNCE_H
#define PORTLEASE_ANNOUNCE_H

#include "../../protocols/mapping.h"

enum { ANNOUNCE_SENDS = 10, ANNOUNCE_FIRST_GAP = 250 };

/* Zero-initialised: no series. */
struct announce {
	unsigned left; /* sends to come */
	monotime next; /* when the next one is due, if any is left */
};

/* Begins a series, whatever is left of an earlier one. */
void announce_start(struct announce *, monotime now);
/* Is a send due?  If so it counts as sent, and the next one is due a gap from now. */
bool announce_take(struct announce *, monotime now);
/* When to ask again; MONOTIME_NEVER: the series is over. */
monotime announce_next(const struct announce *);

#endif
