/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one line of ours in chains of others' tables, which accepts what our own table let in:
 * looks for it, puts it at the chain's head, takes it out.  Touches nothing else there.
 */
#ifndef PORTLEASE_FOREIGN_CHAINS_H
#define PORTLEASE_FOREIGN_CHAINS_H

#include <stdbool.h>

#include "fault.h"

struct foreign_chains;

enum { FOREIGN_NAME_SIZE = 64 };

struct foreign_chain {
	bool inet; /* family; else ip */
	char table[FOREIGN_NAME_SIZE];
	char chain[FOREIGN_NAME_SIZE];
};

enum foreign_result {
	FOREIGN_THERE,	/* the line is in the chain */
	FOREIGN_PUT,	/* it was not, and is now */
	FOREIGN_ABSENT, /* there is no such chain */
	FOREIGN_REFUSED /* by the kernel: the fault says why */
};

/* Opens the socket (once; see the cost of closing one) but changes nothing.  0 or -errno. */
int foreign_chains_open(struct foreign_chains **, struct fault *);
void foreign_chains_close(struct foreign_chains *); /* leaves the lines; NULL is allowed */

/*
 * Sees to it that the line is in the chain, wherever in it: only a line that was missing goes to
 * the head, so that what others put before it later stays there.  A chain of iptables gets it in
 * the form that iptables prints.
 */
enum foreign_result foreign_chains_put(struct foreign_chains *, const struct foreign_chain *,
				       struct fault *);
/* Takes all lines of ours out of the chain.  FOREIGN_ABSENT: none is there (any more). */
enum foreign_result foreign_chains_take(struct foreign_chains *, const struct foreign_chain *,
					struct fault *);

#endif
