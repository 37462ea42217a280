/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "announce.h"

void
announce_start(struct announce *a, monotime now)
{
	*a = (struct announce){.left = ANNOUNCE_SENDS, .next = now};
}

bool
announce_take(struct announce *a, monotime now)
{
	if (a->left == 0 || now < a->next)
		return false;
	/* From the real time of this send: a late one must not shorten the gap that follows. */
	a->next = now + ((monotime)ANNOUNCE_FIRST_GAP << (ANNOUNCE_SENDS - a->left));
	a->left--;
	return true;
}

monotime
announce_next(const struct announce *a)
{
	return a->left > 0 ? a->next : MONOTIME_NEVER;
}
