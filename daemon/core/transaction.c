/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Removals are staged before additions, so one batch may hand a port or an outbound socket from one
 * lease to another. */
#include "transaction.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

TAILQ_HEAD(changes, change);

struct transaction {
	struct lease_table *table;
	struct firewall *firewall;
	struct changes changes;
	uint64_t operation; /* its bit */
};

struct transaction *
transaction_new(struct lease_table *table, struct firewall *firewall)
{
	struct transaction *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->table = table;
	t->firewall = firewall;
	TAILQ_INIT(&t->changes);
	return t;
}

void
transaction_free(struct transaction *t)
{
	free(t);
}

void
transaction_set_operation(struct transaction *t, int number)
{
	t->operation = number < 0 ? 0 : UINT64_C(1) << number;
}

static struct change *
note(struct transaction *t, struct lease *lease)
{
	struct change *change = lease->change;

	if (!change && (change = calloc(1, sizeof(*change)))) {
		change->lease = lease;
		lease->change = change;
		TAILQ_INSERT_TAIL(&t->changes, change, link);
	}
	return change;
}

/* The lease as it is, before its first change. */
static bool
remember(struct transaction *t, struct lease *lease)
{
	bool first = !lease->change;
	struct change *change = note(t, lease);

	if (!change)
		return false;
	if (first) {
		change->existed = true;
		change->before = lease->record;
	}
	return true;
}

void
transaction_edit(const struct transaction *t, struct lease *lease)
{
	lease->change->operations |= t->operation;
}

bool
transaction_touch(struct transaction *t, struct lease *lease)
{
	if (!remember(t, lease))
		return false;
	lease->change->touched = true;
	return true;
}

/*
 * After something changed there: who of these shares takes the endpoint's outbound packets, who
 * keeps the port?  Without memory one that should is left out; only others' flows notice.
 */
static void
elect(struct transaction *t, const struct lease_record *place)
{
	struct lease *l = lease_table_by_internal(t->table, place->transport, &place->internal);

	for (; l; l = lease_next_internal(l)) {
		bool goes_out = lease_goes_out(t->table, l);

		if (l->record.outbound != goes_out && remember(t, l))
			l->record.outbound = goes_out;
	}
	l = lease_table_by_external(t->table, place->transport, place->external_port);
	for (; l; l = lease_next_external(l)) {
		bool keeps_port = lease_keeps_port(t->table, l);

		if (l->record.reserves != keeps_port && remember(t, l))
			l->record.reserves = keeps_port;
	}
}

struct lease *
transaction_add(struct transaction *t, const struct lease_record *record)
{
	struct lease *lease = lease_table_insert(t->table, record);

	if (lease && !note(t, lease)) {
		lease_table_unlink(t->table, lease, record->created);
		lease_table_discard(t->table, lease);
		return NULL;
	}
	if (lease) {
		transaction_edit(t, lease);
		elect(t, &lease->record);
	}
	return lease;
}

void
transaction_set_lifetime(struct transaction *t, struct lease *lease, uint32_t lifetime,
			 monotime ends)
{
	lease_table_set_lifetime(t->table, lease, lifetime, ends);
	elect(t, &lease->record);
}

void
transaction_set_disabled(struct transaction *t, struct lease *lease, bool disabled)
{
	if (lease->record.disabled != disabled)
		transaction_edit(t, lease);
	lease->record.disabled = disabled;
	elect(t, &lease->record);
}

bool
transaction_set_texts(struct transaction *t, struct lease *lease, const char *description,
		      const char *user_agent)
{
	struct lease_record *r = &lease->record;
	const struct lease_record was = *r;
	struct change *change = lease->change;

	r->description = r->user_agent = NULL;
	if (!lease_set_description(lease, description) ||
	    !lease_table_set_user_agent(t->table, lease, user_agent)) {
		lease_table_free_texts(t->table, r);
		r->description = was.description;
		r->user_agent = was.user_agent;
		return false;
	}
	if (change->existed && !change->keeps_texts)
		change->keeps_texts = true; /* .before has them */
	else
		lease_table_free_texts(t->table, &was);
	return true;
}

bool
transaction_rename(struct lease *lease, const char *name, const char *description)
{
	bool done = lease_set_name(lease, name) && lease_set_description(lease, description);

	/* The batch may have noted it already, with the texts that are gone now. */
	if (lease->change) {
		lease->change->before.name = lease->record.name;
		lease->change->before.description = lease->record.description;
	}
	return done;
}

bool
transaction_end(struct transaction *t, struct lease *lease, enum ending why, monotime now)
{
	if (!remember(t, lease))
		return false;
	lease->change->ending = why;
	lease->change->touched = true;
	transaction_edit(t, lease);
	lease_table_unlink(t->table, lease, now);
	elect(t, &lease->record);
	return true;
}

void
transaction_refuse(struct transaction *t, struct lease *lease, monotime now)
{
	lease_table_unlink(t->table, lease, now);
	if (!remember(t, lease)) {
		lease_table_discard(t->table, lease);
		return;
	}
	lease->change->failed = lease->change->refused = true;
	lease->change->ending = ENDING_REFUSED;
}

struct mapping
lease_mapping(const struct lease_record *record, monotime now,
	      char comment[TRANSACTION_COMMENT_SIZE])
{
	monotime left = record->ends > now ? record->ends - now : 0;

	snprintf(comment, TRANSACTION_COMMENT_SIZE, "%s %" PRIu64 "%s%s",
		 origin_name(record->origin), record->id, record->name ? " " : "",
		 record->name ? record->name : "");
	return (struct mapping){
	    .transport = record->transport,
	    .external_port = record->external_port,
	    .more_ports = record->more_ports,
	    .internal = record->internal,
	    .remote = record->remote,
	    .remote_length = record->remote_length,
	    .helper = record->helper,
	    .outbound = record->outbound,
	    .reserves = record->reserves,
	    .timeout = record->ends == MONOTIME_NEVER ? 0 : (uint64_t)(left + TRANSACTION_GRACE),
	    .comment = comment,
	};
}

/* One transaction; several if it is larger than the firewall takes at once. */
struct sending {
	struct firewall *firewall;
	struct fault *fault;
	monotime now;
	size_t staged;
	bool in_pieces;
	int error;
};

static void
send_staged(struct sending *s)
{
	if (s->staged > 0 && !s->error)
		s->error = firewall_commit(s->firewall, s->fault);
	s->staged = 0;
}

static void
stage(struct sending *s, enum firewall_change change, const struct lease_record *record,
      struct firewall_outcome *outcome)
{
	char comment[TRANSACTION_COMMENT_SIZE];
	struct mapping mapping = lease_mapping(record, s->now, comment);

	if (s->staged == FIREWALL_CHUNK) {
		s->in_pieces = true;
		send_staged(s);
	}
	if (s->error)
		return;
	firewall_stage(s->firewall, change, &mapping, outcome);
	s->staged++;
}

/* The net effect of all that has not failed. */
static int
apply(struct transaction *t, monotime now, struct fault *fault)
{
	struct sending s = {.firewall = t->firewall, .fault = fault, .now = now};
	struct change *change;

	TAILQ_FOREACH (change, &t->changes, link)
		change->removal = change->addition = (struct firewall_outcome){0};
	TAILQ_FOREACH (change, &t->changes, link)
		if (change->existed && !change->failed && !change->before.disabled)
			stage(&s, FIREWALL_REMOVE, &change->before, &change->removal);
	TAILQ_FOREACH (change, &t->changes, link)
		if (!change->ending && !change->failed && !change->lease->record.disabled)
			stage(&s, FIREWALL_ADD, &change->lease->record, &change->addition);
	send_staged(&s);
	return s.error && s.in_pieces ? -ESTALE : s.error;
}

/* Puts the table back as it was before this change.  To be called from the latest change to the
 * first. */
static void
take_back(struct transaction *t, struct change *change, monotime now)
{
	struct lease *lease = change->lease;

	if (!change->existed) {
		if (!change->ending)
			lease_table_unlink(t->table, lease, now);
		change->ending = ENDING_REFUSED;
		return;
	}
	lease->record.origin = change->before.origin;
	lease->record.has_nonce = change->before.has_nonce;
	lease->record.nonce = change->before.nonce;
	lease->record.disabled = change->before.disabled;
	lease->record.outbound = change->before.outbound;
	lease->record.reserves = change->before.reserves;
	if (change->keeps_texts) {
		lease_table_free_texts(t->table, &lease->record);
		lease->record.description = change->before.description;
		lease->record.user_agent = change->before.user_agent;
		change->keeps_texts = false;
	}
	if (change->ending)
		lease_table_relink(t->table, lease);
	change->ending = ENDING_NONE;
	lease_table_set_lifetime(t->table, lease, change->before.lifetime, change->before.ends);
}

static bool
same_place(const struct lease_record *a, const struct lease_record *b)
{
	return a->external_port ==
		   b->external_port || /* of whichever transport: it may be kept as a companion */
	       (a->transport == b->transport && a->internal.port == b->internal.port &&
		address_equal(&a->internal.address, &b->internal.address));
}

/* A change that shares its port or its internal endpoint with a failed one may stand on what that
 * one did not do. */
static void
spread_failure(struct transaction *t)
{
	struct change *a, *b;
	bool more = true;

	while (more) {
		more = false;
		TAILQ_FOREACH (a, &t->changes, link) {
			if (!a->failed)
				continue;
			TAILQ_FOREACH (b, &t->changes, link)
				if (!b->failed && same_place(&a->lease->record, &b->lease->record))
					b->failed = more = true;
		}
	}
}

/* Does the kernel lack what we would remove, or hold what we would add?  Then it differs by more
 * than this batch. */
static bool
is_stale(const struct transaction *t)
{
	struct change *change;

	TAILQ_FOREACH (change, &t->changes, link)
		if (change->removal.error == ENOENT || change->addition.error == EEXIST)
			return true;
	return false;
}

/* Marks what the kernel objected to.  False: to none in particular. */
static bool
find_refused(struct transaction *t)
{
	struct change *change;
	bool any = false;

	TAILQ_FOREACH (change, &t->changes, link)
		if (change->removal.error || change->addition.error)
			any = change->failed = change->refused = true;
	return any;
}

int
transaction_commit(struct transaction *t, monotime now, struct fault *fault)
{
	struct change *change;
	int error = apply(t, now, fault);

	if (!error || error == -ESTALE)
		return error;
	if (is_stale(t))
		return -ESTALE;
	if (!find_refused(t))
		return error;
	spread_failure(t);
	TAILQ_FOREACH_REVERSE(change, &t->changes, changes, link)
	if (change->failed)
		take_back(t, change, now);
	return apply(t, now, fault);
}

bool
transaction_pending(const struct transaction *t)
{
	return !TAILQ_EMPTY(&t->changes);
}

void
transaction_undo(struct transaction *t, monotime now)
{
	struct change *change;

	TAILQ_FOREACH_REVERSE(change, &t->changes, changes, link)
	if (!change->failed) {
		change->failed = true;
		take_back(t, change, now);
	}
}

/* The reverse of apply(). */
static int
unapply(struct transaction *t, monotime now, struct fault *fault)
{
	struct sending s = {.firewall = t->firewall, .fault = fault, .now = now};
	struct firewall_outcome added; /* whichever: what counts is whether all went well */
	struct change *change;

	TAILQ_FOREACH (change, &t->changes, link)
		if (!change->ending && !change->failed && !change->lease->record.disabled)
			stage(&s, FIREWALL_REMOVE, &change->lease->record, &change->addition);
	TAILQ_FOREACH (change, &t->changes, link)
		if (change->existed && !change->failed && !change->before.disabled)
			stage(&s, FIREWALL_ADD, &change->before, &added);
	send_staged(&s);
	return s.error;
}

int
transaction_revert(struct transaction *t, monotime now, struct fault *fault)
{
	struct change *change;
	int error = unapply(t, now, fault);

	TAILQ_FOREACH (change, &t->changes, link)
		if (change->existed && !change->failed)
			change->lease->record.connections +=
			    change->removal.connections + change->addition.connections;
	transaction_undo(t, now);
	return error;
}

void
transaction_each(const struct transaction *t, settled_fn *tell, void *arg)
{
	const struct change *change;

	TAILQ_FOREACH (change, &t->changes, link)
		tell(arg, change);
}

void
transaction_settle(struct transaction *t, settled_fn *settled, void *arg)
{
	struct change *change;

	while ((change = TAILQ_FIRST(&t->changes))) {
		TAILQ_REMOVE(&t->changes, change, link);
		if (change->existed && !change->failed)
			change->lease->record.connections += change->removal.connections;
		settled(arg, change);
		change->lease->change = NULL;
		if (change->keeps_texts)
			lease_table_free_texts(t->table, &change->before);
		if (change->ending)
			lease_table_discard(t->table, change->lease);
		free(change);
	}
}
