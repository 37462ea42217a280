/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps our line in the chains of others that the configuration names: decides when to look. */
#ifndef PORTLEASE_CHAIN_KEEPER_H
#define PORTLEASE_CHAIN_KEEPER_H

#include "../base/config.h"
#include "../../backend/foreign_chains.h"

struct chain_keeper;

struct chain_keeper *chain_keeper_new(struct foreign_chains *); /* of no chain; NULL: no memory */
void chain_keeper_free(struct chain_keeper *); /* leaves the lines; NULL is allowed */

/* Keeps these from now on: takes the line out of those that are not among them (count 0: of all),
 * to be followed by chain_keeper_tend().  False: out of memory, and nothing is changed. */
bool chain_keeper_set(struct chain_keeper *, const struct config_chain *, size_t count);

/*
 * Somebody may have changed the tables, or it is time: puts the line where it is missing.  Returns
 * when to call again; MONOTIME_NEVER: at the next change.  Who takes it out again and again is
 * followed ever more slowly (respawn.h).
 */
monotime chain_keeper_tend(struct chain_keeper *, monotime now);

/* How it is with that chain, in the order of the configuration; NULL: there are no more. */
struct chain_kept {
	struct config_chain name;
	enum foreign_result result; /* the last; FOREIGN_THERE also for _PUT */
};
const struct chain_kept *chain_keeper_chain(const struct chain_keeper *, size_t number);

#endif
