/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake kernel: applies a transaction to copies, so that an aborted one leaves nothing behind.
 */
#include "fake_firewall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS = 65536, REMOTES = 256, PLACES = 2 * PORTS + REMOTES, STAGED_MAX = FIREWALL_CHUNK };

struct staged {
	enum firewall_change change;
	struct mapping mapping;
	char comment[128];
	struct firewall_outcome *outcome;
};

/* What only a dump tells. */
struct label {
	char comment[128];
	uint64_t lifetime;
};

struct undo {
	size_t index;
	struct fake_mapping before;
	struct label label;
	struct mapping remote; /* whose that was, in a place of those */
};

struct firewall {
	struct fake_mapping mapping[PLACES]; /* a place for each port of each transport, then those
						for one remote host */
	struct mapping remote[REMOTES];	     /* whose the latter are */
	struct label label[PLACES];
	bool wanted[PLACES]; /* of an adoption */
	struct firewall_agreement agreement;
	unsigned looks;
	bool outlive;
	struct staged staged[STAGED_MAX];
	size_t count;
	struct undo undo[STAGED_MAX];
	size_t undos;
	struct firewall_network network;
	bool table;
	bool lost_untold;
	monotime now;
	unsigned refuse, fail, commits, lose_after;
	int refuse_error, fail_error;
};

static bool
alive(const struct firewall *f, const struct fake_mapping *m)
{
	return m->there && m->expires > f->now;
}

static size_t
place(enum transport transport, uint16_t port)
{
	return (transport == TRANSPORT_UDP ? PORTS : 0) + (size_t)port;
}

static bool
same_port(const struct mapping *a, const struct mapping *b)
{
	return a->transport == b->transport && a->external_port == b->external_port;
}

/* Where a mapping is, or would be. */
static size_t
place_of(const struct firewall *f, const struct mapping *m)
{
	size_t vacant = PLACES;

	if (address_is_unspecified(&m->remote))
		return place(m->transport, m->external_port);
	for (size_t i = 0; i < REMOTES; i++) {
		if (!f->mapping[2 * PORTS + i].there)
			vacant = 2 * PORTS + i;
		else if (same_port(&f->remote[i], m) &&
			 address_equal(&f->remote[i].remote, &m->remote))
			return 2 * PORTS + i;
	}
	if (vacant == PLACES)
		abort();
	return vacant;
}

static struct firewall *left; /* by a process that is gone */

int
firewall_open(struct firewall **out, const struct firewall_options *options, struct fault *fault)
{
	(void)options;
	(void)fault;
	*out = left ? left : calloc(1, sizeof(**out));
	left = NULL;
	return *out ? 0 : -ENOMEM;
}

void
firewall_close(struct firewall *f)
{
	if (f && f->outlive)
		left = f;
	else
		free(f);
	if (left)
		left->outlive = false;
}

static void
empty(struct firewall *f)
{
	memset(f->mapping, 0, sizeof(f->mapping));
}

/* The kernel takes one outbound port an internal socket. */
static bool
outbound_clash(const struct firewall *f, const struct mapping *m)
{
	size_t from = m->transport == TRANSPORT_UDP ? PORTS : 0;

	for (size_t i = from; m->outbound && i < from + PORTS; i++)
		if (alive(f, &f->mapping[i]) && f->mapping[i].outbound &&
		    f->mapping[i].internal.port == m->internal.port &&
		    address_equal(&f->mapping[i].internal.address, &m->internal.address))
			return true;
	return false;
}

/* And one reservation of an external port. */
static bool
reservation_clash(const struct firewall *f, const struct mapping *m)
{
	const struct fake_mapping *open = &f->mapping[place(m->transport, m->external_port)];

	if (!m->reserves)
		return false;
	if (alive(f, open) && open->reserves)
		return true;
	for (size_t i = 0; i < REMOTES; i++)
		if (alive(f, &f->mapping[2 * PORTS + i]) && f->mapping[2 * PORTS + i].reserves &&
		    same_port(&f->remote[i], m))
			return true;
	return false;
}

static void
put(struct firewall *f, size_t index, const struct mapping *m)
{
	if (index >= 2 * PORTS)
		f->remote[index - 2 * PORTS] = *m;
	f->mapping[index] =
	    (struct fake_mapping){true,
				  m->internal,
				  m->outbound,
				  m->reserves,
				  m->timeout ? f->now + (monotime)m->timeout : MONOTIME_NEVER,
				  0};
	f->label[index].lifetime = m->timeout;
	snprintf(f->label[index].comment, sizeof(f->label[index].comment), "%s",
		 m->comment ? m->comment : "");
}

static int
apply(struct firewall *f, struct staged *s)
{
	const struct mapping *m = &s->mapping;
	size_t index = place_of(f, m);
	struct fake_mapping *old = &f->mapping[index];

	if (s->change == FIREWALL_REMOVE && !alive(f, old))
		return ENOENT;
	if (s->change == FIREWALL_ADD &&
	    (alive(f, old) || outbound_clash(f, m) || reservation_clash(f, m)))
		return EEXIST;
	if (s->change == FIREWALL_ADD && f->refuse > 0) {
		f->refuse--;
		return f->refuse_error;
	}
	f->undo[f->undos] = (struct undo){.index = index, .before = *old, .label = f->label[index]};
	if (index >= 2 * PORTS)
		f->undo[f->undos].remote = f->remote[index - 2 * PORTS];
	f->undos++;
	if (s->change == FIREWALL_REMOVE) {
		s->outcome->connections = old->connections;
		old->there = false;
	} else {
		put(f, index, m);
	}
	return 0;
}

static void
undo(struct firewall *f, const struct undo *u)
{
	f->mapping[u->index] = u->before;
	f->label[u->index] = u->label;
	if (u->index >= 2 * PORTS)
		f->remote[u->index - 2 * PORTS] = u->remote;
}

static int
apply_all(struct firewall *f, struct fault *fault)
{
	int worst = 0;

	f->undos = 0;
	for (size_t i = 0; i < f->count; i++) {
		f->staged[i].outcome->error = apply(f, &f->staged[i]);
		if (f->staged[i].outcome->error)
			worst = f->staged[i].outcome->error;
	}
	f->count = 0;
	if (worst)
		while (f->undos > 0)
			undo(f, &f->undo[--f->undos]);
	else
		f->commits++;
	return worst ? fault_set(fault, worst, "the fake kernel refused") : 0;
}

static void
maybe_lose(struct firewall *f)
{
	if (f->lose_after > 0 && --f->lose_after == 0)
		fake_firewall_lose(f);
}

int
firewall_create(struct firewall *f, const struct firewall_network *network, struct fault *fault)
{
	int error;

	if (f->fail > 0) {
		f->fail--;
		f->count = 0;
		return fault_set(fault, f->fail_error, "the fake kernel failed");
	}
	if (f->table)
		empty(f);
	error = apply_all(f, fault);
	if (!error) {
		f->table = true;
		f->lost_untold = false;
		f->network = *network;
		maybe_lose(f);
	}
	return error;
}

static bool
is_right(const struct firewall *f, size_t index, const struct mapping *m, uint64_t early)
{
	const struct fake_mapping *held = &f->mapping[index];
	monotime ends = m->timeout ? f->now + (monotime)m->timeout : MONOTIME_NEVER;

	if (held->internal.port != m->internal.port || held->outbound != m->outbound ||
	    held->reserves != m->reserves ||
	    !address_equal(&held->internal.address, &m->internal.address) ||
	    strcmp(f->label[index].comment, m->comment ? m->comment : "") != 0)
		return false;
	if (held->expires == MONOTIME_NEVER || ends == MONOTIME_NEVER)
		return held->expires == ends;
	return held->expires <= ends + FIREWALL_TIMEOUT_LATE &&
	       held->expires + (monotime)early >= ends;
}

/* In mappings, where the kernel counts elements.  commit: do it; else only look. */
static void
agree(struct firewall *f, const struct firewall_wanted *wanted, bool commit)
{
	struct firewall_agreement *found = &f->agreement;
	struct mapping m;

	*found = (struct firewall_agreement){0};
	memset(f->wanted, 0, sizeof(f->wanted));
	for (uint64_t cursor = 0; wanted->next(wanted->arg, &cursor, &m);) {
		size_t index = place_of(f, &m);
		bool held = alive(f, &f->mapping[index]);
		bool right = held && is_right(f, index, &m, wanted->early);

		f->wanted[index] = true;
		found->kept += right;
		found->replaced += held && !right;
		found->added += !held;
		if (commit && !right)
			put(f, index, &m);
	}
	for (size_t i = 0; i < PLACES; i++) {
		bool foreign = alive(f, &f->mapping[i]) && !f->wanted[i];

		found->removed += foreign;
		if (commit && foreign)
			f->mapping[i].there = false;
	}
}

int
firewall_adopt(struct firewall *f, const struct firewall_network *network,
	       const struct firewall_wanted *wanted, struct firewall_agreement *found,
	       struct fault *fault)
{
	f->looks++;
	if (!f->table)
		return fault_set(fault, ENOENT, "the table is not there");
	agree(f, wanted, false);
	if (f->fail > 0)
		return fault_set(fault, f->fail_error, "the fake kernel fails");
	if (f->refuse > 0 && f->agreement.added + f->agreement.replaced > 0)
		return fault_set(fault, f->refuse_error, "the fake kernel refuses");
	agree(f, wanted, true);
	*found = f->agreement;
	f->commits += found->added + found->replaced + found->removed > 0;
	f->lost_untold = false;
	f->network = *network;
	return 0;
}

int
firewall_load(struct firewall *f, firewall_held_fn *take, void *arg, struct fault *fault)
{
	if (!f->table)
		return fault_set(fault, ENOENT, "the table is not there");
	for (size_t i = 0; i < PLACES; i++) {
		const struct fake_mapping *held = &f->mapping[i];
		struct mapping m = {
		    .transport = i < PORTS ? TRANSPORT_TCP : TRANSPORT_UDP,
		    .external_port = (uint16_t)(i % PORTS),
		};

		if (!alive(f, held))
			continue;
		if (i >= 2 * PORTS)
			m = f->remote[i - 2 * PORTS];
		m.internal = held->internal;
		m.outbound = m.reserves = false;
		m.timeout =
		    held->expires == MONOTIME_NEVER ? 0 : (uint64_t)(held->expires - f->now);
		m.comment = f->label[i].comment;
		take(arg, &m, f->label[i].lifetime);
	}
	return 0;
}

int
firewall_destroy(struct firewall *f, struct fault *fault)
{
	(void)fault;
	empty(f);
	f->table = false;
	return 0;
}

void
firewall_set_source_nat(struct firewall *f, bool source_nat)
{
	(void)f;
	(void)source_nat;
}

int
firewall_set_network(struct firewall *f, const struct firewall_network *network,
		     struct fault *fault)
{
	if (!f->table)
		return fault_set(fault, ESTALE, "the table is gone");
	f->network = *network;
	return 0;
}

void
firewall_stage(struct firewall *f, enum firewall_change change, const struct mapping *m,
	       struct firewall_outcome *outcome)
{
	if (f->count == STAGED_MAX)
		abort(); /* the caller must commit first */
	*outcome = (struct firewall_outcome){0};
	f->staged[f->count] = (struct staged){.change = change, .mapping = *m, .outcome = outcome};
	snprintf(f->staged[f->count].comment, sizeof(f->staged[0].comment), "%s",
		 m->comment ? m->comment : "");
	f->staged[f->count].mapping.comment = f->staged[f->count].comment;
	f->count++;
}

int
firewall_commit(struct firewall *f, struct fault *fault)
{
	int error = 0;

	if (f->fail > 0) {
		f->fail--;
		error = f->fail_error;
	} else if (!f->table) {
		error = ESTALE;
		/* As the kernel does, of each change. */
		for (size_t i = 0; i < f->count; i++)
			f->staged[i].outcome->error = ENOENT;
	}
	if (!error) {
		error = apply_all(f, fault);
		if (!error)
			maybe_lose(f);
		return error;
	}
	f->count = 0;
	return fault_set(fault, error, "the fake kernel failed");
}

bool
firewall_tracks_ftp(const struct firewall *f)
{
	(void)f;
	return false;
}

uint64_t
firewall_connections(struct firewall *f, const struct mapping *mapping)
{
	const struct fake_mapping *m = fake_firewall_find_remote(
	    f, mapping->transport, mapping->external_port, &mapping->remote);

	return m ? m->connections : 0;
}

int
firewall_watch_fd(const struct firewall *f)
{
	(void)f;
	return -1;
}

enum firewall_state
firewall_watch(struct firewall *f, char *by, size_t by_size)
{
	bool told = f->lost_untold;

	if (by && told)
		snprintf(by, by_size, "nft[1]");
	f->lost_untold = false;
	return told ? FIREWALL_LOST : FIREWALL_INTACT;
}

void
fake_firewall_set_clock(struct firewall *f, monotime now)
{
	f->now = now;
}

void
fake_firewall_refuse_additions(struct firewall *f, unsigned count, int error)
{
	f->refuse = count;
	f->refuse_error = error;
}

void
fake_firewall_fail_commits(struct firewall *f, unsigned count, int error)
{
	f->fail = count;
	f->fail_error = error;
}

void
fake_firewall_lose(struct firewall *f)
{
	empty(f);
	f->table = false;
	f->lost_untold = true;
}

void
fake_firewall_lose_after(struct firewall *f, unsigned transactions)
{
	f->lose_after = transactions;
}

void
fake_firewall_drop(struct firewall *f, enum transport transport, uint16_t port)
{
	f->mapping[place(transport, port)].there = false;
}

void
fake_firewall_plant(struct firewall *f, const struct mapping *m)
{
	put(f, place_of(f, m), m);
}

void
fake_firewall_outlive(struct firewall *f)
{
	f->outlive = true;
}

const struct firewall_agreement *
fake_firewall_agreement(const struct firewall *f)
{
	return &f->agreement;
}

unsigned
fake_firewall_looks(const struct firewall *f)
{
	return f->looks;
}

void
fake_firewall_connect(struct firewall *f, enum transport transport, uint16_t port, uint64_t n)
{
	f->mapping[place(transport, port)].connections += n;
}

bool
fake_firewall_has_table(const struct firewall *f)
{
	return f->table;
}

size_t
fake_firewall_count(const struct firewall *f)
{
	size_t n = 0;

	for (size_t i = 0; i < PLACES; i++)
		n += alive(f, &f->mapping[i]);
	return n;
}

const struct fake_mapping *
fake_firewall_find(const struct firewall *f, enum transport transport, uint16_t port)
{
	const struct fake_mapping *m = &f->mapping[place(transport, port)];

	return alive(f, m) ? m : NULL;
}

const struct fake_mapping *
fake_firewall_find_remote(const struct firewall *f, enum transport transport, uint16_t port,
			  const struct address *remote)
{
	const struct mapping name = {
	    .transport = transport, .external_port = port, .remote = *remote};
	const struct fake_mapping *m = &f->mapping[place_of(f, &name)];

	return alive(f, m) ? m : NULL;
}

const struct firewall_network *
fake_firewall_network(const struct firewall *f)
{
	return &f->network;
}

unsigned
fake_firewall_commits(const struct firewall *f)
{
	return f->commits;
}
