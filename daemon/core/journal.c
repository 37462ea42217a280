/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a failure the file is opened anew and written as a whole: whatever is in it then is right.
 */
#include "journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../../backend/crash_point.h"

#define RETRY		  (5 * MONOTIME_SECOND)
#define LONGEST_PLAUSIBLE (366 * 24 * 3600 * MONOTIME_SECOND)

struct journal {
	struct journal_options options;
	struct lease_table *table;
	struct lease_store_state written;
	bool whole;   /* write all: what is there is not what we believe */
	bool undated; /* write what time it is, at least */
	bool failed;  /* .fault says why */
	bool refuses;
	monotime retry; /* when failed: not before */
	struct fault fault;
};

struct journal *
journal_new(const struct journal_options *options, struct lease_table *table)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->options = *options;
	j->table = table;
	j->whole = true;
	return j;
}

void
journal_free(struct journal *j)
{
	free(j);
}

static bool
same_boot(const struct lease_store_stamp *a, const struct lease_store_stamp *b)
{
	return a->boot[0] && strcmp(a->boot, b->boot) == 0;
}

monotime
journal_shift(const struct lease_store_stamp *then, const struct lease_store_stamp *now)
{
	monotime passed = now->wall - then->wall;

	if (same_boot(then, now))
		return 0;
	if (passed < now->mono || passed > LONGEST_PLAUSIBLE)
		passed = now->mono;
	return now->mono - then->mono - passed;
}

static struct lease_store_stamp
stamp(const struct journal *j, monotime now)
{
	struct lease_store_stamp s = {.mono = now, .wall = j->options.wall()};

	memcpy(s.boot, j->options.boot, sizeof(s.boot));
	return s;
}

/* Said once, until it works again. */
static void
fail(struct journal *j, monotime now)
{
	if (!j->failed)
		log_error("journal", "failed", "reason=\"%s\" hint=\"%s\"", j->fault.text,
			  j->refuses ? "new mappings are refused until it works again"
				     : "mappings are served, but the next start may not know them");
	j->failed = j->whole = true;
	j->retry = now + RETRY;
}

static int
open_store(struct journal *j)
{
	char moved[LEASE_STORE_NAME_SIZE];
	int error = lease_store_open(j->options.store, moved, &j->fault);

	if (moved[0])
		log_error("journal", "ruined", "moved-to=%s", moved);
	return error;
}

struct restoring {
	struct journal *journal;
	monotime shift;
	size_t left_out;
};

static void
put_back(void *arg, const struct lease_record *stored)
{
	struct restoring *to = arg;
	struct lease_record r;

	/* Only a file that somebody wrote in has what does not fit. */
	if (!stored) {
		to->left_out++;
		return;
	}
	r = *stored;
	r.created += to->shift;
	if (r.ends != MONOTIME_NEVER)
		r.ends += to->shift;
	if (!lease_table_has_room(to->journal->table, &r) ||
	    !lease_table_insert(to->journal->table, &r))
		to->left_out++;
}

int
journal_restore(struct journal *j, struct journal_found *found, monotime now, struct fault *fault)
{
	const struct lease_store_stamp here = stamp(j, now);
	struct restoring to = {.journal = j};
	struct lease_store_head head;
	int opened = open_store(j), error = opened == -EROFS ? 0 : opened;

	*found = (struct journal_found){0};
	if (error == -EPROTONOSUPPORT) {
		*fault = j->fault;
		return error;
	}
	if (!error)
		error = lease_store_head(j->options.store, &head, &j->fault);
	if (!error && !head.empty) {
		to.shift = journal_shift(&head.stamp, &here);
		error = lease_store_load(j->options.store, put_back, &to, &j->fault);
		found->state = head.state;
		found->goes_on = !opened && !error && !to.left_out && same_boot(&head.stamp, &here);
		lease_table_set_last_id(j->table, head.state.last_id);
	}
	found->nothing = error || head.empty || to.left_out;
	if (error || opened)
		fail(j, now);
	j->whole = !found->goes_on;
	j->written = found->state;
	if (to.left_out)
		log_error("journal", "leases left out", "count=%zu", to.left_out);
	return 0;
}

struct writing {
	struct lease_store *store;
	const struct lease_store_stamp *now;
};

/* Another heir of outbound packets is no news: that follows from the table. */
static void
write_change(void *arg, const struct change *change)
{
	const struct writing *w = arg;
	struct lease_record r = change->lease->record;

	if (change->existed && !change->failed)
		r.connections += change->removal.connections;
	if (change->ending && change->existed)
		lease_store_drop(w->store, r.id);
	else if (!change->ending && !change->failed && (change->touched || !change->existed))
		lease_store_put(w->store, &r, w->now);
}

static void
write_all(const struct journal *j, const struct writing *w)
{
	const struct lease *lease;

	lease_store_drop_all(w->store);
	for (uint64_t id = 0; (lease = lease_table_after_id(j->table, id)); id = lease->record.id)
		lease_store_put(w->store, &lease->record, w->now);
}

static bool
is_another(const struct lease_store_state *a, const struct lease_store_state *b)
{
	return a->last_id != b->last_id || a->table_changes != b->table_changes ||
	       a->epoch != b->epoch || !address_equal(&a->external, &b->external);
}

bool
journal_write(struct journal *j, const struct transaction *t, const struct lease_store_state *state,
	      monotime now)
{
	const struct lease_store_stamp here = stamp(j, now);
	const struct writing w = {j->options.store, &here};
	bool another = j->undated || is_another(&j->written, state);

	if (j->failed && now < j->retry)
		return false;
	if (!j->whole && !another && !transaction_pending(t))
		return true;
	if (j->failed && open_store(j) < 0) {
		fail(j, now);
		return false;
	}
	lease_store_begin(w.store);
	if (j->whole)
		write_all(j, &w);
	else
		transaction_each(t, write_change, (void *)&w);
	if (j->whole || another)
		lease_store_set_state(w.store, state, &here);
	crash_point("in-journal-transaction");
	if (lease_store_commit(w.store, &j->fault) < 0) {
		fail(j, now);
		return false;
	}
	if (j->failed)
		log_warning("journal", "works again", "leases=%zu", lease_table_count(j->table));
	j->failed = j->whole = j->undated = false;
	j->written = *state;
	return true;
}

void
journal_note_time(struct journal *j)
{
	j->undated = true;
}

void
journal_forget(struct journal *j, const struct lease_store_state *state, monotime now)
{
	struct lease_store_stamp here = stamp(j, now);

	here.boot[0] = '\0';
	lease_store_begin(j->options.store);
	lease_store_drop_all(j->options.store);
	lease_store_set_state(j->options.store, state, &here);
	crash_point("in-journal-forget");
	if (lease_store_commit(j->options.store, &j->fault) < 0)
		fail(j, now);
}

void
journal_set_refuses(struct journal *j, bool refuses)
{
	j->refuses = refuses;
}

bool
journal_refuses(const struct journal *j)
{
	return j->refuses && j->failed;
}

monotime
journal_deadline(const struct journal *j)
{
	return j->failed ? j->retry : MONOTIME_NEVER;
}

const char *
journal_fault(const struct journal *j)
{
	return j->failed ? j->fault.text : NULL;
}
