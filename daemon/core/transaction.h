/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one batch does to the lease table: its net effect on the kernel, and how to take it back if
 * the kernel refuses. The table is changed at once; the kernel in one firewall transaction;
 * settling makes it final.
 */
#ifndef PORTLEASE_TRANSACTION_H
#define PORTLEASE_TRANSACTION_H

#include <bsd/sys/queue.h>

#include "lease_table.h"
#include "../../backend/firewall.h"

struct transaction;

/* Why a lease ended.  Its flows end with it, but for those of one that expired. */
enum ending {
	ENDING_NONE,
	ENDING_EXPIRED,
	ENDING_DELETED,
	ENDING_REMOVED,
	ENDING_REPLACED,
	ENDING_TAKEN,  /* a forward wanted its port */
	ENDING_DENIED, /* by a policy that came after it */
	ENDING_GONE,   /* its host is, for so long that it does not count as away */
	ENDING_IDLE,   /* nothing went through it */
	ENDING_REFUSED
};

/* All that a transaction did to one lease. */
struct change {
	struct lease *lease;	    /* after the batch; unlinked if it ended */
	struct lease_record before; /* if it existed */
	/* The operations of the batch that did more to it than prolong it: what a reader of the
	 * table sees. */
	uint64_t operations;
	bool existed;
	bool touched;	  /* itself, not only as the heir of another */
	bool failed;	  /* taken back: the kernel refused it, or one it depends on */
	bool refused;	  /* it was this one that the kernel refused */
	bool keeps_texts; /* those of .before are not the lease's any more */
	enum ending ending;
	struct firewall_outcome removal;
	struct firewall_outcome addition;
	TAILQ_ENTRY(change) link;
};

struct transaction *transaction_new(struct lease_table *,
				    struct firewall *); /* borrowed; NULL: out of memory */
void transaction_free(struct transaction *);		/* one that is settled; NULL is allowed */

/* What follows is done for that operation of the batch (0 … 63); -1: for none of them. */
void transaction_set_operation(struct transaction *, int number);
/* A new lease.  NULL: out of memory. */
struct lease *transaction_add(struct transaction *, const struct lease_record *);
/* To be called before a lease is changed for its client.  False: out of memory, leave it alone. */
bool transaction_touch(struct transaction *, struct lease *);
void transaction_set_lifetime(struct transaction *, struct lease *, uint32_t lifetime,
			      monotime ends); /* a touched one's */
void transaction_set_disabled(struct transaction *, struct lease *, bool disabled); /* likewise */
/* Likewise; "" is none.  False: out of memory, it has those it had. */
bool transaction_set_texts(struct transaction *, struct lease *, const char *description,
			   const char *user_agent);
/* A static one goes on under another name; that is not taken back.  False: out of memory. */
bool transaction_rename(struct lease *, const char *name, const char *description);
/* A touched one was changed otherwise. */
void transaction_edit(const struct transaction *, struct lease *);
/*
 * Ends a lease.  What its endpoint's outbound packets or its port's reservation need of it passes
 * to another, if there is one.  False: out of memory, it stays.
 */
bool transaction_end(struct transaction *, struct lease *, enum ending, monotime now);

/* Ends a lease that the kernel will not hold, whatever the batch did to it: a change that failed,
 * and is not taken back. */
void transaction_refuse(struct transaction *, struct lease *, monotime now);

/*
 * Brings the net effect into the kernel.  What the kernel refuses is taken back and marked failed,
 * the rest committed once more.  0: done.  -ESTALE: the kernel does not hold what we believe, or
 * only a part of what is more than it takes at once: make its table anew from the lease table (or
 * undo, and do it later).  Other -errno: nothing was applied: undo.
 */
int transaction_commit(struct transaction *, monotime now, struct fault *);
bool transaction_pending(const struct transaction *);
/* Takes back all that is not yet failed. */
void transaction_undo(struct transaction *, monotime now);
/*
 * The same after a commit: the kernel, too, has again what it had before, for what is left of its
 * time.  The table has it in any case; -errno: not the kernel, make its table anew.
 */
int transaction_revert(struct transaction *, monotime now, struct fault *);

typedef void settled_fn(void *, const struct change *);
/* Tells each change that transaction_settle() will, and forgets none. */
void transaction_each(const struct transaction *, settled_fn *, void *arg);
/* Tells each change that had an effect or failed, then forgets it; ended leases are freed after it
 * returned. */
void transaction_settle(struct transaction *, settled_fn *, void *arg);

/* The kernel's view of a lease: its time-out outlasts the lease a little, so that ending it is ours
 * while we live. */
#define TRANSACTION_GRACE (5 * MONOTIME_SECOND)
enum { TRANSACTION_COMMENT_SIZE = 128 };
struct mapping lease_mapping(const struct lease_record *, monotime now,
			     char comment[TRANSACTION_COMMENT_SIZE]);

#endif
