/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bucket is one number: the time at which it will be full again.  A set of WAYS entries serves
 * all clients of one hash; when it is full, the bucket nearest to full gives way.  So a flood under
 * many false addresses can only make others forget what they spent, never take tokens from them,
 * and a bucket that is empty is the last to be forgotten.
 */
#include "rate_limit.h"

#include <stdlib.h>
#include <string.h>

enum { SETS = 256, WAYS = 8 };

#define NANOSECONDS_PER_SECOND INT64_C(1000000000)

struct bucket {
	struct address client;
	int64_t full; /* nanoseconds; at or before now: full, the entry is free */
};

struct rate_limit {
	int64_t cost; /* nanoseconds of one token; 0: no limit */
	uint64_t seed;
	struct bucket bucket[SETS][WAYS];
};

struct rate_limit *
rate_limit_new(uint32_t per_second, uint64_t seed)
{
	struct rate_limit *r = calloc(1, sizeof(*r));

	if (r) {
		r->cost = per_second > 0 ? NANOSECONDS_PER_SECOND / per_second : 0;
		r->seed = seed;
	}
	return r;
}

void
rate_limit_free(struct rate_limit *r)
{
	free(r);
}

static unsigned
set_of(const struct rate_limit *r, const struct address *client)
{
	uint64_t half[2], hash = r->seed;

	memcpy(half, client->bytes, sizeof(half));
	/* Every bit of the address reaches every bit of the hash: neighbours differ in one octet.
	 */
	for (int i = 0; i < 2; i++) {
		hash ^= half[i];
		hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
		hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
		hash ^= hash >> 33;
	}
	return (unsigned)(hash % SETS);
}

/* The client's own bucket, or the one of its set to be forgotten for it. */
static struct bucket *
find(struct rate_limit *r, const struct address *client)
{
	struct bucket *set = r->bucket[set_of(r, client)], *fullest = set;

	for (int i = 0; i < WAYS; i++) {
		if (address_equal(&set[i].client, client))
			return &set[i];
		if (set[i].full < fullest->full)
			fullest = &set[i];
	}
	*fullest = (struct bucket){.client = *client};
	return fullest;
}

bool
rate_limit_take(struct rate_limit *r, const struct address *client, monotime now)
{
	int64_t nanoseconds = now * (NANOSECONDS_PER_SECOND / MONOTIME_SECOND);
	struct bucket *b;

	if (r->cost == 0)
		return true;
	b = find(r, client);
	if (b->full < nanoseconds)
		b->full = nanoseconds;
	if (b->full + r->cost > nanoseconds + NANOSECONDS_PER_SECOND)
		return false;
	b->full += r->cost;
	return true;
}
