/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "renumbering.h"

static bool
is_among(const struct prefix *prefix, const struct prefix *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].length == prefix->length &&
		    address_equal(&list[i].address, &prefix->address))
			return true;
	return false;
}

static void
know(struct renumbering *r, size_t lan, const struct prefix *prefix)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->known[i].lan == lan && is_among(prefix, &r->known[i].prefix, 1))
			return;
	if (r->count == RENUMBERING_PREFIXES)
		return;
	r->known[r->count].lan = lan;
	r->known[r->count].prefix = *prefix;
	r->known[r->count++].since = MONOTIME_NEVER;
}

void
renumbering_set_lan(struct renumbering *r, size_t lan, const struct prefix *prefix, size_t count,
		    monotime now)
{
	for (size_t i = 0; i < count; i++)
		know(r, lan, &prefix[i]);
	for (size_t i = 0; i < r->count; i++) {
		if (r->known[i].lan != lan)
			continue;
		if (count == 0 || is_among(&r->known[i].prefix, prefix, count))
			r->known[i].since = MONOTIME_NEVER;
		else if (r->known[i].since == MONOTIME_NEVER)
			r->known[i].since = now;
	}
}

void
renumbering_move(struct renumbering *r, const size_t *origin, size_t lans)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->count; i++) {
		size_t lan = 0;

		while (lan < lans && origin[lan] != r->known[i].lan)
			lan++;
		if (lan == lans)
			continue;
		r->known[kept] = r->known[i];
		r->known[kept++].lan = lan;
	}
	r->count = kept;
}

/* The one that its LAN has not for the longest time; count: each LAN has all of its own. */
static size_t
first(const struct renumbering *r)
{
	size_t first = r->count;

	for (size_t i = 0; i < r->count; i++)
		if (r->known[i].since != MONOTIME_NEVER &&
		    (first == r->count || r->known[i].since < r->known[first].since))
			first = i;
	return first;
}

monotime
renumbering_due(const struct renumbering *r)
{
	size_t i = first(r);

	return i == r->count ? MONOTIME_NEVER : r->known[i].since + RENUMBERING_DELAY;
}

bool
renumbering_take(struct renumbering *r, monotime now, struct prefix *out)
{
	size_t i = first(r);

	if (i == r->count || r->known[i].since + RENUMBERING_DELAY > now)
		return false;
	*out = r->known[i].prefix;
	r->known[i] = r->known[--r->count];
	return true;
}
