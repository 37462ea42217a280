/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket per client in a table of fixed size: per_second tokens a second, as many at once.
 * A client without an entry has a full bucket.  Pure: reads no clock.
 */
#ifndef PORTLEASE_RATE_LIMIT_H
#define PORTLEASE_RATE_LIMIT_H

#include "../../protocols/mapping.h"

struct rate_limit;

/* per_second 0: no limit.  seed: unpredictable, so that nobody can aim at another's place.  NULL:
 * out of memory. */
struct rate_limit *rate_limit_new(uint32_t per_second, uint64_t seed);
void rate_limit_free(struct rate_limit *); /* NULL is allowed */

/* Takes a token; false: the client has none left. */
bool rate_limit_take(struct rate_limit *, const struct address *client, monotime now);

#endif
