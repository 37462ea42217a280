/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The admin's static forwards as leases: which there shall be, and what is in their way.  Changes
 * the lease table through the transaction; decides nothing about clients.
 */
#ifndef PORTLEASE_FORWARDS_H
#define PORTLEASE_FORWARDS_H

#include "lease_table.h"
#include "transaction.h"

/*
 * Makes the leases of the config's forwards equal to this set, which has no overlaps: those that
 * differ end, and what a new one needs is taken from leases and from forwards that were added.  A
 * lease that stays keeps its id.  False: out of memory, and some are missing.
 */
bool forwards_set(struct lease_table *, struct transaction *, const struct forward *, size_t count,
		  monotime now);
/* One more, which no other stands in the way of; takes from leases what it needs.  False: out of
 * memory, and a part may be missing. */
bool forwards_add(struct lease_table *, struct transaction *, const struct forward *, monotime now);

/* The static lease that has this name or overlaps; NULL: none. */
const struct lease *forwards_conflict(const struct lease_table *, const struct forward *);
/* The first lease of the forward of this name; NULL: none. */
const struct lease *forwards_by_name(const struct lease_table *, const char *name);
/* Are there leases for all its transports? */
bool forwards_has_all(const struct lease_table *, const struct forward *);

#endif
