/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches requests: each is decided as it comes, one transaction carries all of them out, then all
 * are answered. */
#include "engine.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "adoption.h"
#include "decision.h"
#include "forwards.h"
#include "lease_log.h"
#include "policy.h"
#include "renumbering.h"
#include "sweep.h"
#include "../base/log.h"
#include "../../backend/crash_point.h"

enum { BATCH_MAX = 64, EXPIRE_MAX = 250, REVIEW_MAX = 250 };

/* Putting our table back costs a token; one comes back each second.  Bounds what a program that
 * keeps removing it can cost. */
enum { RESTORE_BURST = 20 };
#define RESTORE_REFILL MONOTIME_SECOND
#define EXPIRE_RETRY   MONOTIME_SECOND

struct member {
	struct map_request request;
	struct map_reply reply;
	unsigned denied_by;
};

struct engine {
	struct engine_options options;
	struct lease_table *table;
	struct transaction *transaction;
	struct journal *journal; /* NULL: nothing is kept */
	struct sweep *sweep;	 /* NULL: flows are left alone */
	struct member batch[BATCH_MAX];
	size_t members;
	struct firewall_network network;
	struct address external;
	struct renumbering renumbering;
	monotime epoch;
	bool created; /* the kernel has had our table */
	bool lost;    /* and has not got it now */
	unsigned restore_tokens;
	monotime restore_since; /* when the tokens were last counted */
	monotime look;		/* when to look at the elements; MONOTIME_NEVER: no need */
	monotime next_look;	/* not before */
	monotime retry;		/* the kernel would not let leases end: not again before */
	bool reviews;		/* after another policy came, by its place() */
	bool (*place)(void *arg, const struct address *host, char lan[MAPPING_LAN_SIZE]);
	void *place_arg;
	uint64_t reviewed; /* up to this id */
	/* Those that there shall be. */
	const struct forward *forward;
	size_t forwards;
	bool forwards_due;    /* the kernel would not have them */
	bool forwards_staged; /* with what is pending */
	bool asked;	      /* for some of what is pending, by who is told how it went */
	bool unwritten;	      /* what is being settled: taken back, the journal did not take it */
	uint64_t table_changes;
	uint64_t operations; /* those of the batch being settled that changed the table */
	bool removal;	     /* the admin did, too */
	struct counters counters;
	struct log_limit limit;
	monotime now; /* of the call being served; for what settling logs */
};

struct engine *
engine_new(const struct engine_options *options, monotime now)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->options = *options;
	e->epoch = e->restore_since = now;
	e->restore_tokens = RESTORE_BURST;
	e->look = MONOTIME_NEVER;
	e->table = lease_table_new();
	e->transaction = e->table ? transaction_new(e->table, options->firewall) : NULL;
	if (options->flows)
		e->sweep = sweep_new(e->table, options->flows, &e->counters);
	if (options->journal)
		e->journal = journal_new(options->journal, e->table);
	if (!e->transaction || (options->flows && !e->sweep) || (options->journal && !e->journal)) {
		engine_free(e);
		return NULL;
	}
	return e;
}

void
engine_free(struct engine *e)
{
	if (!e)
		return;
	sweep_free(e->sweep);
	journal_free(e->journal);
	transaction_free(e->transaction);
	lease_table_free(e->table);
	free(e);
}

static const struct {
	const char *event; /* NULL: logged when it was decided, with the reason */
	size_t counter;	   /* offset in struct counters */
} endings[] = {
    [ENDING_EXPIRED] = {"expired", offsetof(struct counters, expired)},
    [ENDING_DELETED] = {"deleted", offsetof(struct counters, deleted)},
    [ENDING_REMOVED] = {"removed", offsetof(struct counters, removed)},
    [ENDING_REPLACED] = {"replaced", offsetof(struct counters, deleted)},
    [ENDING_TAKEN] = {"taken-by-forward", offsetof(struct counters, removed)},
    [ENDING_DENIED] = {NULL, offsetof(struct counters, removed)},
    [ENDING_GONE] = {"host-gone", offsetof(struct counters, gone)},
    [ENDING_IDLE] = {"idle", offsetof(struct counters, idle)},
};

/* Once for each operation, and for all that the admin removed; what nobody did is one for itself.
 */
static void
count_table_change(void *arg, const struct change *change)
{
	struct engine *e = arg;
	bool edited = change->touched && change->operations;

	if (change->ending ? !change->existed : change->failed || (change->existed && !edited))
		return;
	e->operations |= change->operations;
	if (change->operations == 0 && change->ending == ENDING_REMOVED)
		e->removal = true;
	else
		e->table_changes += change->operations == 0;
}

/* What goes through this lease's port is to be looked at. */
static void
note_flows(struct engine *e, const struct lease_record *r)
{
	if (e->sweep)
		sweep_note(e->sweep, r->transport,
			   (struct port_range){r->external_port,
					       (uint16_t)(r->external_port + r->more_ports)},
			   e->now);
}

static void
settle_change(void *arg, const struct change *change)
{
	struct engine *e = arg;
	const struct lease_record *record = &change->lease->record;

	if (change->failed) {
		e->counters.kernel_refusals += change->refused;
		e->counters.journal_refusals +=
		    e->unwritten && (change->touched || !change->existed);
		if (record->origin == ORIGIN_STATIC)
			lease_log_forward(e->unwritten ? "refused-by-journal" : "refused-by-kernel",
					  record);
		for (size_t i = 0; i < e->members; i++)
			if (e->batch[i].reply.result == MAP_OK &&
			    decision_stands_on(&e->batch[i].request, &e->batch[i].reply, record))
				e->batch[i].reply = (struct map_reply){.result = MAP_NO_RESOURCES};
	} else if (change->ending && !change->existed) {
		return; /* came and went within the batch */
	} else if (change->ending) {
		++*(uint64_t *)((char *)&e->counters + endings[change->ending].counter);
		if (change->ending != ENDING_EXPIRED || e->options.end_flows_on_expiry)
			note_flows(e, record);
		if (change->ending == ENDING_GONE)
			lease_table_release_port(e->table, record);
		if (endings[change->ending].event)
			lease_log(&e->limit, endings[change->ending].event, record, e->now);
	} else if (!change->existed) {
		e->counters.granted += record->origin != ORIGIN_STATIC;
		note_flows(e, record);
		lease_log(&e->limit, record->origin == ORIGIN_STATIC ? "added" : "granted", record,
			  e->now);
		if (record->helper == HELPER_FTP && !firewall_tracks_ftp(e->options.firewall))
			log_warning("forward", "no helper",
				    "name=\"%s\" helper=ftp reason=\"the kernel has no "
				    "nf_conntrack_ftp: data connections do not come in\"",
				    record->name);
	} else if (change->touched) {
		e->counters.renewed++;
		if (change->before.disabled != record->disabled)
			note_flows(e, record);
		lease_log(&e->limit, "renewed", record, e->now);
	}
}

static struct lease_store_state
state_of(const struct engine *e)
{
	return (struct lease_store_state){
	    .last_id = lease_table_last_id(e->table),
	    .table_changes = e->table_changes,
	    .epoch = e->epoch,
	    .external = e->external,
	};
}

static bool
write_journal(struct engine *e, monotime now)
{
	const struct lease_store_state state = state_of(e);

	return !e->journal || journal_write(e->journal, e->transaction, &state, now);
}

static void
count_table_changes(struct engine *e, uint64_t before)
{
	e->operations = 0;
	e->removal = false;
	e->table_changes = before;
	transaction_each(e->transaction, count_table_change, e);
	e->table_changes += (uint64_t)__builtin_popcountll(e->operations) + e->removal;
}

/* It is final. */
static void
settle_as_is(struct engine *e, monotime now)
{
	e->now = now;
	transaction_settle(e->transaction, settle_change, e);
	e->asked = e->unwritten = e->forwards_staged = false;
}

/* For a moment it was not what it is again, and let flows in. */
static void
note_taken_back(void *arg, const struct change *change)
{
	if (!change->failed)
		note_flows(arg, &change->lease->record);
}

/* Nobody is told yet.  A kernel that does not go back needs its table anew. */
static void
take_back(struct engine *e, monotime now)
{
	struct fault fault;

	transaction_each(e->transaction, note_taken_back, e);
	e->counters.kernel_transactions++;
	if (transaction_revert(e->transaction, now, &fault) < 0) {
		log_error("firewall", "not taken back", "reason=\"%s\"", fault.text);
		e->lost = true;
	}
	e->unwritten = true;
	e->forwards_due |= e->forwards_staged;
}

/* What is in the kernel, or taken back, goes to the disk. */
static void
settle(struct engine *e, monotime now)
{
	const uint64_t before = e->table_changes;

	e->now = now;
	count_table_changes(e, before);
	crash_point("after-kernel-commit");
	if (!write_journal(e, now) && e->asked && journal_refuses(e->journal)) {
		take_back(e, now);
		count_table_changes(e, before);
	}
	crash_point("after-journal-commit");
	settle_as_is(e, now);
}

/* It would not get to the disk: that is known before it is tried. */
static bool
refuse_pending(struct engine *e, monotime now)
{
	if (!e->asked || !e->journal || !journal_refuses(e->journal) ||
	    now >= journal_deadline(e->journal))
		return false;
	transaction_undo(e->transaction, now);
	e->unwritten = true;
	e->forwards_due |= e->forwards_staged;
	settle_as_is(e, now);
	return true;
}

static bool
may_restore(struct engine *e, monotime now)
{
	monotime refill = (now - e->restore_since) / RESTORE_REFILL;

	if (refill >= RESTORE_BURST - (monotime)e->restore_tokens) {
		e->restore_tokens = RESTORE_BURST;
		e->restore_since = now;
	} else {
		e->restore_tokens += (unsigned)refill;
		e->restore_since += refill * RESTORE_REFILL;
	}
	return e->restore_tokens > 0;
}

struct chunk {
	struct lease *lease[FIREWALL_CHUNK];
	struct firewall_outcome outcome[FIREWALL_CHUNK];
	size_t count;
};

/* Stages the leases that follow *id, up to a chunk of them, and moves *id on. */
static void
stage_chunk(struct engine *e, struct chunk *chunk, uint64_t *id, monotime now)
{
	struct lease *lease;

	chunk->count = 0;
	while (chunk->count < FIREWALL_CHUNK && (lease = lease_table_after_id(e->table, *id))) {
		struct lease_record *record = &lease->record;
		char comment[TRANSACTION_COMMENT_SIZE];
		struct mapping mapping;

		*id = record->id;
		if (record->disabled)
			continue;
		/* The one before it may have been refused. */
		record->outbound = lease_goes_out(e->table, lease);
		record->reserves = lease_keeps_port(e->table, lease);
		mapping = lease_mapping(record, now, comment);
		chunk->lease[chunk->count] = lease;
		chunk->outcome[chunk->count] = (struct firewall_outcome){0};
		firewall_stage(e->options.firewall, FIREWALL_ADD, &mapping,
			       &chunk->outcome[chunk->count]);
		chunk->count++;
	}
}

/* Ends the leases the kernel objected to, if that is what failed. */
static bool
drop_objected(struct engine *e, struct chunk *chunk, monotime now)
{
	bool any = false;

	for (size_t i = 0; i < chunk->count; i++)
		if (chunk->outcome[i].error) {
			const struct lease_record *r = &chunk->lease[i]->record;

			if (log_limited(&e->limit, LOG_LEVEL_ERROR, now))
				log_line(LOG_LEVEL_ERROR, "lease", "refused-by-kernel",
					 "id=%" PRIu64 " external=%u errno=%d", r->id,
					 r->external_port, chunk->outcome[i].error);
			transaction_refuse(e->transaction, chunk->lease[i], now);
			any = true;
		}
	return any;
}

/*
 * Makes the kernel's table anew from ours: the skeleton with the first chunk, then chunk by chunk.
 * What the batch did so far is in it, and final.
 */
static int
rebuild(struct engine *e, monotime now, struct fault *fault)
{
	struct chunk chunk;
	uint64_t id = 0, begin = 0;
	bool skeleton = true;
	int error;

	do {
		begin = id;
		stage_chunk(e, &chunk, &id, now);
		error = skeleton ? firewall_create(e->options.firewall, &e->network, fault)
				 : firewall_commit(e->options.firewall, fault);
		e->counters.kernel_transactions++;
		/* -ESTALE: the table went again; it was none of these leases. */
		if (error && error != -ESTALE && drop_objected(e, &chunk, now))
			id = begin; /* the same leases once more, without the refused */
		else if (error)
			return error;
		else
			skeleton = false;
		crash_point("between-table-pieces");
	} while (error || chunk.count == FIREWALL_CHUNK);
	e->created = true;
	e->lost = false;
	settle(e, now);
	return 0;
}

/* Goes on with the table that is there, or makes it anew. */
static int
put_right(struct engine *e, monotime now, struct fault *fault)
{
	if (adoption_agree(e->table, e->options.firewall, &e->network, now, fault) < 0)
		return rebuild(e, now, fault);
	e->counters.kernel_transactions++;
	e->created = true;
	e->lost = false;
	settle(e, now);
	return 0;
}

static int
restore(struct engine *e, monotime now, struct fault *fault)
{
	int error;

	e->lost = true;
	if (!may_restore(e, now))
		return fault_set(fault, EBUSY,
				 "the table keeps being removed: waiting before it is put back");
	e->restore_tokens--;
	error = put_right(e, now, fault);
	if (error) {
		log_error("firewall", "cannot restore the table", "reason=\"%s\"", fault->text);
		return error;
	}
	e->counters.table_restores++;
	log_warning("firewall", "table restored", "leases=%zu", lease_table_count(e->table));
	return 0;
}

/* Brings what is pending into the kernel, or takes it back and returns false. */
static bool
commit(struct engine *e, monotime now)
{
	struct fault fault = {""};
	int error;

	crash_point("before-kernel-commit");
	if (refuse_pending(e, now))
		return false;
	error = e->lost ? -ESTALE : transaction_commit(e->transaction, now, &fault);
	e->counters.kernel_transactions++;
	if (error == -ESTALE)
		error = restore(e, now, &fault);
	if (error) {
		e->counters.kernel_aborts++;
		if (log_limited(&e->limit, LOG_LEVEL_ERROR, now))
			log_line(LOG_LEVEL_ERROR, "firewall", "transaction failed", "reason=\"%s\"",
				 fault.text);
		transaction_undo(e->transaction, now);
		e->forwards_due |= e->forwards_staged;
	}
	settle(e, now);
	if (!error && e->lost)
		restore(e, now, &fault);
	return error == 0;
}

/* Of a batch that may be refused nothing is a part that nobody asked for. */
static void
finish_asked(struct engine *e, monotime now)
{
	if (e->asked && transaction_pending(e->transaction))
		commit(e, now);
	e->asked = false;
}

void
engine_refuse(struct engine *e, const struct map_request *request, enum map_result result,
	      monotime now)
{
	e->counters.results[result]++;
	lease_log_refusal(&e->limit, request, result, 0, now);
}

void
engine_submit(struct engine *e, const struct map_request *request, monotime now)
{
	struct member *m;
	struct decider d = {
	    .table = e->table,
	    .transaction = e->transaction,
	    .policy = e->options.policy,
	    .ports = &e->options.ports,
	    .max_mappings_per_client = e->options.max_mappings_per_client,
	    .external = e->external,
	    .now = now,
	};

	if (e->members == BATCH_MAX)
		engine_flush(e, now);
	transaction_set_operation(e->transaction, (int)e->members);
	m = &e->batch[e->members++];
	m->request = *request;
	e->counters.requests[request->origin]++;
	decide(&d, &m->request, &m->reply);
	transaction_set_operation(e->transaction, -1);
	e->asked = true;
	m->denied_by = d.denied_by;
}

void
engine_flush(struct engine *e, monotime now)
{
	size_t members = e->members;

	if (transaction_pending(e->transaction))
		commit(e, now);
	e->asked = false;
	e->counters.batches += members > 0;
	if (members > e->counters.largest_batch)
		e->counters.largest_batch = members;
	e->members = 0;
	for (size_t i = 0; i < members; i++) {
		struct member *m = &e->batch[i];

		m->reply.epoch = engine_epoch(e, now);
		e->counters.results[m->reply.result]++;
		if (m->reply.result != MAP_OK)
			lease_log_refusal(&e->limit, &m->request, m->reply.result, m->denied_by,
					  now);
		crash_point("before-reply");
		m->request.asker.answer(m->request.asker.who, m->request.asker.slot, &m->request,
					&m->reply);
	}
}

/* The question that its client would have to ask to have it. */
static bool
is_denied(const struct engine *e, struct lease_record *r)
{
	struct map_request request = {
	    .kind = REQUEST_MAP,
	    .transport = r->transport,
	    .client = r->internal.address,
	    .internal = r->internal,
	};
	unsigned line;

	if (r->origin == ORIGIN_STATIC)
		return false;
	if (e->place && !e->place(e->place_arg, &r->internal.address, r->lan)) {
		lease_log_denied(r, "lan-removed", 0);
		return true;
	}
	memcpy(request.lan, r->lan, sizeof(request.lan));
	if (r->description)
		strcpy(request.description, r->description);
	if (policy_keeps(e->options.policy, &request, r->external_port, &line))
		return false;
	lease_log_denied(r, "policy", line);
	return true;
}

/* Some of the leases; others have their turn before the rest. */
static void
review(struct engine *e, monotime now)
{
	for (int i = 0; e->reviews && i < REVIEW_MAX; i++) {
		crash_point("in-review");
		struct lease *lease = lease_table_after_id(e->table, e->reviewed);
		uint64_t id = lease ? lease->record.id : 0;

		if (!lease)
			e->reviews = false;
		else if (!is_denied(e, &lease->record) ||
			 transaction_end(e->transaction, lease, ENDING_DENIED, now))
			e->reviewed = id;
		else
			break;
	}
}

void
engine_set_policy(struct engine *e, const struct engine_policy *policy)
{
	e->options.policy = policy->policy;
	e->options.max_mappings_per_client = policy->max_mappings_per_client;
	e->options.ports.random_ports = policy->random_ports;
	e->options.end_flows_on_expiry = policy->end_flows_on_expiry;
	if (e->journal)
		journal_set_refuses(e->journal, policy->journal_refuses);
	e->place = policy->place;
	e->place_arg = policy->arg;
	e->reviews = true;
	e->reviewed = 0;
	crash_point("after-policy-set");
}

bool
engine_reviews(const struct engine *e)
{
	return e->reviews || e->forwards_due;
}

static bool
is_in_lan(const struct engine *e, const struct address *host)
{
	for (size_t i = 0; i < e->network.lan_prefixes; i++)
		if (prefix_contains(&e->network.lan_prefix[i], host))
			return true;
	return false;
}

/* Their time is over now. */
static void
give_up_hosts(struct engine *e, const struct prefix *gone, monotime now)
{
	struct lease *lease = lease_table_after_id(e->table, 0);
	char text[PREFIX_TEXT_SIZE];
	size_t count = 0;

	for (; lease; lease = lease_table_after_id(e->table, lease->record.id)) {
		const struct lease_record *r = &lease->record;

		if (r->origin == ORIGIN_STATIC || !prefix_contains(gone, &r->internal.address) ||
		    is_in_lan(e, &r->internal.address))
			continue;
		lease_table_set_lifetime(e->table, lease, r->lifetime, now);
		count++;
	}
	log_line(LOG_LEVEL_INFO, "lan", "prefix gone", "prefix=%s leases=%zu",
		 prefix_print(gone, text), count);
}

/* What is over ends. */
static void
expire(struct engine *e, monotime now, int most)
{
	struct lease *lease;

	for (int i = 0; i < most; i++) {
		lease = lease_table_first_to_end(e->table);
		if (!lease || lease->record.ends > now ||
		    !transaction_end(e->transaction, lease, ENDING_EXPIRED, now))
			break;
		crash_point("in-expiry");
	}
}

int
engine_restore(struct engine *e, monotime now, struct fault *fault)
{
	struct journal_found found;
	int error = e->journal ? journal_restore(e->journal, &found, now, fault) : 0;
	size_t count = lease_table_count(e->table);

	if (error || !e->journal)
		return error;
	crash_point("after-journal-read");
	if (found.nothing)
		count += adoption_load(e->table, e->options.firewall, now);
	e->table_changes = found.state.table_changes;
	if (found.goes_on) {
		e->epoch = found.state.epoch;
		e->external = found.state.external;
	}
	expire(e, now, INT_MAX);
	e->reviews = true;
	for (uint64_t before = UINT64_MAX; e->reviews && before != e->reviewed;) {
		before = e->reviewed;
		review(e, now);
	}
	if (count > 0)
		log_line(LOG_LEVEL_INFO, "journal", "leases put back", "count=%zu ended=%zu",
			 lease_table_count(e->table), count - lease_table_count(e->table));
	return 0;
}

void
engine_note_time(struct engine *e, monotime now)
{
	if (!e->journal)
		return;
	journal_note_time(e->journal);
	if (e->created && !transaction_pending(e->transaction))
		write_journal(e, now);
}

void
engine_forget(struct engine *e, monotime now)
{
	struct lease_store_state state = state_of(e);

	crash_point("after-table-removed");
	state.table_changes++;
	if (e->journal)
		journal_forget(e->journal, &state, now);
}

static monotime
next_deadline(const struct engine *e)
{
	const struct lease *lease = lease_table_first_to_end(e->table);
	monotime next = lease ? lease->record.ends : MONOTIME_NEVER;
	monotime renumbering = renumbering_due(&e->renumbering);

	if (renumbering < next)
		next = renumbering;
	if (e->look < next)
		next = e->look;
	if (engine_reviews(e))
		next = 0;
	if (next < e->retry)
		next = e->retry;
	if (e->journal && journal_deadline(e->journal) < next)
		next = journal_deadline(e->journal);
	if (e->lost && e->restore_since + RESTORE_REFILL < next)
		next = e->restore_since + RESTORE_REFILL;
	return next;
}

/* False: out of memory. */
static bool
stage_forwards(struct engine *e, monotime now)
{
	e->forwards_due = !forwards_set(e->table, e->transaction, e->forward, e->forwards, now);
	e->forwards_staged = true;
	crash_point("after-forwards-staged");
	return !e->forwards_due;
}

/* At the elements of a table that is intact but for them.  One that keeps changing is looked at
 * later, and what cannot be put right is made anew. */
static void
look(struct engine *e, monotime now)
{
	struct fault fault;
	int error =
	    e->lost ? 0 : adoption_agree(e->table, e->options.firewall, &e->network, now, &fault);

	e->next_look = now + adoption_pause(lease_table_count(e->table));
	e->look = error == -EBUSY ? e->next_look : MONOTIME_NEVER;
	e->lost |= error && error != -EBUSY;
}

monotime
engine_run(struct engine *e, monotime now)
{
	const uint64_t reviewed = e->reviewed;
	struct fault fault;
	struct prefix gone;
	monotime next, sweep;

	finish_asked(e, now);
	while (renumbering_take(&e->renumbering, now, &gone))
		give_up_hosts(e, &gone, now);
	if (now >= e->retry) {
		if (e->forwards_due && !stage_forwards(e, now))
			e->retry = now + EXPIRE_RETRY;
		review(e, now);
		expire(e, now, EXPIRE_MAX);
	}
	if (transaction_pending(e->transaction) && !commit(e, now)) {
		e->retry = now + EXPIRE_RETRY;
		e->reviews |= reviewed != e->reviewed;
		e->reviewed = reviewed;
	}
	if (e->journal && now >= journal_deadline(e->journal))
		write_journal(e, now);
	if (now >= e->look)
		look(e, now);
	if (e->lost && may_restore(e, now))
		restore(e, now, &fault);
	next = next_deadline(e);
	sweep = e->sweep ? sweep_run(e->sweep, &e->network, now) : MONOTIME_NEVER;
	return sweep < next ? sweep : next;
}

bool
engine_remove(struct engine *e, uint64_t id, monotime now)
{
	return engine_end(e, id, ENDING_REMOVED, now);
}

bool
engine_end(struct engine *e, uint64_t id, enum ending why, monotime now)
{
	struct lease *lease = lease_table_by_id(e->table, id);

	e->asked |= why == ENDING_REMOVED; /* by the admin, who is told */
	return lease && transaction_end(e->transaction, lease, why, now);
}

bool
engine_set_forwards(struct engine *e, const struct forward *set, size_t count, monotime now)
{
	finish_asked(e, now);
	e->forward = set;
	e->forwards = count;
	return stage_forwards(e, now);
}

bool
engine_add_forward(struct engine *e, const struct forward *forward, monotime now)
{
	e->asked = true;
	return forwards_add(e->table, e->transaction, forward, now);
}

void
engine_begin_epoch(struct engine *e, monotime now)
{
	e->epoch = now;
	if (e->created && !transaction_pending(e->transaction))
		write_journal(e, now);
}

int
engine_set_network(struct engine *e, const struct firewall_network *network,
		   const struct address *external, monotime now, struct fault *fault)
{
	int error;

	e->network = *network;
	if (!address_equal(external, &e->external)) {
		e->external = *external;
		e->counters.address_changes++;
		crash_point("after-address-change");
		engine_begin_epoch(e, now);
	}
	if (!e->created)
		return put_right(e, now, fault);
	error = e->lost ? -ESTALE : firewall_set_network(e->options.firewall, network, fault);
	return error == -ESTALE ? restore(e, now, fault) : error;
}

void
engine_set_lan(struct engine *e, size_t lan, const struct prefix *prefix, size_t count,
	       monotime now)
{
	renumbering_set_lan(&e->renumbering, lan, prefix, count, now);
}

void
engine_move_lans(struct engine *e, const size_t *origin, size_t lans)
{
	renumbering_move(&e->renumbering, origin, lans);
}

void
engine_check_table(struct engine *e, monotime now)
{
	struct fault fault;
	char by[64] = "";

	if (!e->created)
		return;
	if (firewall_watch(e->options.firewall, by, sizeof(by)) == FIREWALL_INTACT) {
		if (e->look == MONOTIME_NEVER)
			e->look = now + ADOPTION_DELAY > e->next_look ? now + ADOPTION_DELAY
								      : e->next_look;
		return;
	}
	log_warning("firewall", "table lost", "by=%s", by[0] ? by : "unknown");
	e->lost = true;
	if (may_restore(e, now))
		restore(e, now, &fault);
}

uint64_t
engine_table_changes(const struct engine *e)
{
	return e->table_changes;
}

uint32_t
engine_epoch(const struct engine *e, monotime now)
{
	return (uint32_t)((now - e->epoch) / MONOTIME_SECOND);
}

struct address
engine_external_address(const struct engine *e)
{
	return e->external;
}

const struct lease_table *
engine_leases(const struct engine *e)
{
	return e->table;
}

const struct counters *
engine_counters(const struct engine *e)
{
	return &e->counters;
}

const char *
engine_journal_fault(const struct engine *e)
{
	return e->journal ? journal_fault(e->journal) : NULL;
}

bool
engine_journal_refuses(const struct engine *e)
{
	return e->journal && journal_refuses(e->journal);
}

bool
engine_table_intact(const struct engine *e)
{
	return e->created && !e->lost;
}

bool
engine_reads_flows(const struct engine *e)
{
	return e->sweep && sweep_reads(e->sweep);
}

uint64_t
engine_connections(struct engine *e, const struct lease *lease)
{
	const struct lease_record *r = &lease->record;
	char comment[TRANSACTION_COMMENT_SIZE];
	const struct mapping name = lease_mapping(r, 0, comment);

	return r->connections + firewall_connections(e->options.firewall, &name);
}
