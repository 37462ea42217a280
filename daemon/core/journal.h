/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the journal on disk equal to the lease table, and puts the table back from it at the start.
 * Decides about no lease; a disk that fails is tried again, and costs no more than that.
 */
#ifndef PORTLEASE_JOURNAL_H
#define PORTLEASE_JOURNAL_H

#include "transaction.h"
#include "../../backend/lease_store.h"

struct journal;

struct journal_options {
	struct lease_store *store;	  /* borrowed */
	char boot[LEASE_STORE_BOOT_SIZE]; /* of the machine; "": never the same as another */
	int64_t (*wall)(void);		  /* milliseconds of the calendar */
};

struct journal *journal_new(const struct journal_options *,
			    struct lease_table *); /* borrowed; NULL: out of memory */
void journal_free(struct journal *);		   /* NULL is allowed */

/*
 * What is to be added to a time of the clock that `then` is of, to have it on the clock of `now`.
 * Pure.  Between them passed
 *   in the same boot    what the monotonic clock says: the calendar may say what it likes.
 *   in another          what the calendar says; but the time since this boot if the calendar says
 *                       less, or that more than a year passed.  It was set meanwhile, and wrong
 *                       before or now; so much passed for certain.
 */
monotime journal_shift(const struct lease_store_stamp *then, const struct lease_store_stamp *now);

/* What was found. */
struct journal_found {
	bool nothing; /* there is none, or not all of it could be read: the kernel knows more */
	bool goes_on; /* the last one to write was of this boot: nothing was lost */
	struct lease_store_state state; /* all zero: there was none */
};

/*
 * Opens the journal and inserts its leases into the table, which is empty, with their ids.  Those
 * that are over are inserted, too.  0: done, or it cannot be read: that is logged, and tried again
 * later.  -EPROTONOSUPPORT: a newer portlease wrote it.
 */
int journal_restore(struct journal *, struct journal_found *, monotime now, struct fault *);

/*
 * Writes what the transaction did, in one transaction of its own, and the state if it is another;
 * nothing if there is nothing.  False: it is not on disk; all of it is written later, when the disk
 * takes it.
 */
bool journal_write(struct journal *, const struct transaction *, const struct lease_store_state *,
		   monotime now);

/* The next journal_write() has something to write: which time it is. */
void journal_note_time(struct journal *);

/* Writes that all leases are lost; the state goes on, but for the epoch. */
void journal_forget(struct journal *, const struct lease_store_state *, monotime now);

/* Is what is asked for refused while it does not work?  At first it is not. */
void journal_set_refuses(struct journal *, bool);
/* It does not work, and so it is. */
bool journal_refuses(const struct journal *);
/* When to call journal_write() again although nothing happened; MONOTIME_NEVER: no need. */
monotime journal_deadline(const struct journal *);
/* Why it does not work at the moment; NULL: it does. */
const char *journal_fault(const struct journal *);

#endif
