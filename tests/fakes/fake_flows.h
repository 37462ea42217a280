/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection tracking made of an array, some flows a piece: backend/flows.h for tests. */
#ifndef PORTLEASE_FAKE_FLOWS_H
#define PORTLEASE_FAKE_FLOWS_H

#include "../../backend/flows.h"

enum { FAKE_FLOWS_MAX = 2048, FAKE_FLOWS_PIECE = 16 };

void fake_flows_add(struct flows *, const struct flow *);
void fake_flows_clear(struct flows *); /* not amid a reading */
/* The next readings fail at their first piece. */
void fake_flows_fail(struct flows *, unsigned readings);
/* How many there are; the others by number, in the order they came. */
size_t fake_flows_count(const struct flows *);
const struct flow *fake_flows_get(const struct flows *, size_t number);
unsigned fake_flows_readings(const struct flows *);

#endif
