/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal on disk: the leases, so that they outlive the process and the machine.  Writes what
 * it is told in one transaction a batch; decides nothing, reads no clock.
 */
#ifndef PORTLEASE_LEASE_STORE_H
#define PORTLEASE_LEASE_STORE_H

#include "fault.h"
#include "../protocols/mapping.h"

struct lease_store;

/* What a commit that returned 0 survives. */
enum lease_store_sync {
	LEASE_STORE_FULL,   /* loss of power */
	LEASE_STORE_NORMAL, /* the same, but for the last seconds; the file stays whole */
	LEASE_STORE_OFF	    /* the end of the process; loss of power may ruin the file */
};

enum { LEASE_STORE_BOOT_SIZE = 37 };

/* One moment, as every clock shows it. */
struct lease_store_stamp {
	char boot[LEASE_STORE_BOOT_SIZE]; /* which boot of the machine .mono counts from */
	monotime mono;
	int64_t wall; /* milliseconds of the calendar */
};

/* What goes on beside the leases. */
struct lease_store_state {
	uint64_t last_id;	/* given to a lease so far */
	uint64_t table_changes; /* what UPnP calls SystemUpdateID */
	monotime epoch;		/* when it began */
	struct address external;
};

/* In that directory.  Touches no disk.  NULL: out of memory. */
struct lease_store *lease_store_new(const char *directory, enum lease_store_sync);
/* From now on. */
void lease_store_set_sync(struct lease_store *, enum lease_store_sync);
void lease_store_free(struct lease_store *); /* NULL is allowed */

/*
 * Opens the file, or makes it; closes it first if it was open.  One of an older schema is brought
 * up to date; a ruined one is moved aside, and *moved is the name it has now ("" = it was not).
 * 0 or -errno; -EPROTONOSUPPORT: a newer portlease wrote it, and it was not touched; -EROFS: it can
 * only be read, which it is open for.
 */
enum { LEASE_STORE_NAME_SIZE = 32 };
int lease_store_open(struct lease_store *, char moved[LEASE_STORE_NAME_SIZE], struct fault *);

/* What a file holds of the whole, and when it was last written to. */
struct lease_store_head {
	bool empty; /* nothing was ever committed; the rest is zero */
	struct lease_store_state state;
	struct lease_store_stamp stamp;
};

/* NULL: a row that makes no sense. */
typedef void lease_store_row_fn(void *arg, const struct lease_record *);
int lease_store_head(struct lease_store *, struct lease_store_head *, struct fault *);
/* Every lease in order of id; its times are of .stamp.boot.  Its texts live as long as the call.
 * .outbound and .reserves are not stored. */
int lease_store_load(struct lease_store *, lease_store_row_fn *, void *arg, struct fault *);

/*
 * One transaction: begin, any number of changes, commit.  The first failure is kept, and told by
 * the commit, which then took everything back.  A commit also finds that somebody took the file
 * away.
 */
void lease_store_begin(struct lease_store *);
/* New, or in the place of the one of the same id. */
void lease_store_put(struct lease_store *, const struct lease_record *,
		     const struct lease_store_stamp *now);
void lease_store_drop(struct lease_store *, uint64_t id); /* no such lease: nothing */
void lease_store_drop_all(struct lease_store *);
void lease_store_set_state(struct lease_store *, const struct lease_store_state *,
			   const struct lease_store_stamp *now);
int lease_store_commit(struct lease_store *, struct fault *);

/*
 * What commits leave to be done every megabyte or so: brings the log back into the file, and gives
 * back what is free in it.  Waits for the disk a few times: to be called when nobody waits for an
 * answer, after each commit.  Does nothing most times.
 */
void lease_store_tidy(struct lease_store *);

#endif
