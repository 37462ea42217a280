/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "chain_keeper.h"

#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/respawn.h"

/* After the kernel refused: reading may take long, and be in vain while others change much. */
#define REFUSED_REST MONOTIME_SECOND

struct kept {
	struct chain_kept shown;
	bool looked;
	struct respawn pace;
	monotime rests; /* until then it is not looked at */
};

struct chain_keeper {
	struct foreign_chains *chains;
	struct kept *kept;
	size_t count;
	size_t leaving; /* after them: no more named, but the line could not be taken out yet */
};

struct chain_keeper *
chain_keeper_new(struct foreign_chains *chains)
{
	struct chain_keeper *k = calloc(1, sizeof(*k));

	if (k)
		k->chains = chains;
	return k;
}

void
chain_keeper_free(struct chain_keeper *k)
{
	if (!k)
		return;
	free(k->kept);
	free(k);
}

static bool
same(const struct config_chain *a, const struct config_chain *b)
{
	return a->inet == b->inet && strcmp(a->table, b->table) == 0 &&
	       strcmp(a->chain, b->chain) == 0;
}

static struct foreign_chain
name_of(const struct kept *kept)
{
	struct foreign_chain name = {.inet = kept->shown.name.inet};

	_Static_assert(sizeof(name.table) == sizeof(kept->shown.name.table), "one size of names");
	memcpy(name.table, kept->shown.name.table, sizeof(name.table));
	memcpy(name.chain, kept->shown.name.chain, sizeof(name.chain));
	return name;
}

#define CHAIN_FORMAT	  "chain=\"%s %s %s\""
#define CHAIN_WORDS(name) (name).inet ? "inet" : "ip", (name).table, (name).chain

/* False: it is to be tried again. */
static bool
give_up(struct chain_keeper *k, const struct kept *kept)
{
	struct foreign_chain name = name_of(kept);
	struct fault fault;

	if (foreign_chains_take(k->chains, &name, &fault) != FOREIGN_REFUSED) {
		if (kept->shown.result == FOREIGN_THERE)
			log_info("firewall", "line taken out", CHAIN_FORMAT, CHAIN_WORDS(name));
		return true;
	}
	if (kept->looked)
		log_error("firewall", "line not taken out", CHAIN_FORMAT " error=\"%s\"",
			  CHAIN_WORDS(name), fault.text);
	return false;
}

bool
chain_keeper_set(struct chain_keeper *k, const struct config_chain *chain, size_t count)
{
	struct kept *kept = calloc(count + k->count + k->leaving + 1, sizeof(*kept));
	size_t leaving = 0;

	if (!kept)
		return false;
	for (size_t i = 0; i < count; i++)
		kept[i].shown = (struct chain_kept){chain[i], FOREIGN_ABSENT};
	for (size_t o = 0; o < k->count + k->leaving; o++) {
		size_t i = 0;

		while (i < count && !same(&k->kept[o].shown.name, &chain[i]))
			i++;
		if (i < count) {
			kept[i] = k->kept[o];
		} else if (!give_up(k, &k->kept[o])) {
			kept[count + leaving] = k->kept[o];
			kept[count + leaving].looked = false; /* it was logged */
			kept[count + leaving++].rests = 0;
		}
	}
	free(k->kept);
	k->kept = kept;
	k->count = count;
	k->leaving = leaving;
	return true;
}

static void
log_result(const struct kept *kept, enum foreign_result result, const struct fault *fault)
{
	const struct config_chain *name = &kept->shown.name;

	if (result == FOREIGN_PUT)
		log_info("firewall", "line put", CHAIN_FORMAT, CHAIN_WORDS(*name));
	else if (kept->looked && result == kept->shown.result)
		return;
	else if (result == FOREIGN_ABSENT)
		log_info("firewall", "chain awaited", CHAIN_FORMAT, CHAIN_WORDS(*name));
	else if (result == FOREIGN_REFUSED)
		log_error("firewall", "line not put", CHAIN_FORMAT " error=\"%s\"",
			  CHAIN_WORDS(*name), fault->text);
}

static void
tend(struct chain_keeper *k, struct kept *kept, monotime now)
{
	struct foreign_chain name = name_of(kept);
	struct fault fault = {""};
	enum foreign_result result = foreign_chains_put(k->chains, &name, &fault);

	log_result(kept, result, &fault);
	if (result == FOREIGN_PUT)
		kept->rests = respawn_at(&kept->pace, now);
	else if (result == FOREIGN_REFUSED)
		kept->rests = now + REFUSED_REST;
	kept->shown.result = result == FOREIGN_PUT ? FOREIGN_THERE : result;
	kept->looked = true;
}

/* When those that leave are to be tried again. */
static monotime
tend_leaving(struct chain_keeper *k, monotime now)
{
	struct kept *leaving = k->kept + k->count;
	monotime next = MONOTIME_NEVER;

	for (size_t i = 0; i < k->leaving;) {
		if (leaving[i].rests <= now) {
			if (give_up(k, &leaving[i])) {
				leaving[i] = leaving[--k->leaving];
				continue;
			}
			leaving[i].rests = now + REFUSED_REST;
		}
		if (leaving[i].rests < next)
			next = leaving[i].rests;
		i++;
	}
	return next;
}

monotime
chain_keeper_tend(struct chain_keeper *k, monotime now)
{
	monotime next = tend_leaving(k, now);

	for (size_t i = 0; i < k->count; i++) {
		struct kept *kept = &k->kept[i];
		bool rested = kept->rests <= now;

		if (rested)
			tend(k, kept, now);
		/* What is refused is not looked at again unless something changes. */
		if (kept->rests > now && kept->rests < next &&
		    !(rested && kept->shown.result == FOREIGN_REFUSED))
			next = kept->rests;
	}
	return next;
}

const struct chain_kept *
chain_keeper_chain(const struct chain_keeper *k, size_t number)
{
	return number < k->count ? &k->kept[number].shown : NULL;
}
