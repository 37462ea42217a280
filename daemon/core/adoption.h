/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory, kernel table and journal made to agree: at the start, when our table was there and is
 * another's work, and after others committed to nftables.  Decides about no client.
 *
 * At the start memory is what the journal says (journal.h), without what is over, what the policy
 * denies and what a static forward takes; each of those ends with a line in the log.  Then the
 * kernel is made to agree with memory, in one transaction:
 *
 *   memory            kernel's element                        what becomes of it
 *   a mapping         alike; ends with the lease or up to     nothing: its connections and their
 *                     the grace and a second after it         count go on
 *                     none                                    is added
 *                     other target, comment or time           is replaced
 *   disabled          any                                     is removed
 *   none (never was,  any; who made it does not matter        is removed, and counted in the log
 *   is over, denied,
 *   taken)
 *   any               a table of another layout, which is    is added, in the same transaction
 *                     replaced
 *   any               no table                              the table is made anew, in pieces
 *
 * Rules, chains and the network of an adopted table are made anew, foreign rules in it go.
 *
 * The journal is empty, ruined or cannot be read, or not all of its rows make sense: memory is first
 * filled up from the kernel's table, by adoption_load().  Beside it the rows above hold.
 *
 *   the element       becomes a lease
 *   of ours           of the protocol, id and name its comment says, with its ports, target and
 *                     remote host, and the time it has left
 *   of nobody         none, and is removed: its comment is no lease's, or its id or its port is
 *                     another's
 *   over              none: it ends, as after any start
 *
 * What the kernel does not know: of PCP's the nonce, which is then the first one by which the
 * lease's own host renews it (RFC 6887 11.3 protects it against other hosts; who sends from the
 * same address is the best evidence that is left); description, user agent, NAT-PMP's companion
 * port: none; the LAN: where the host is now, in none it ends; a forward's line in the
 * configuration: it has it again if the configuration has it, else it was added at run time.
 * Disabled entries are lost.  A new epoch begins, so that clients renew at once.
 *
 * While we run, after a commit of another program: table, rules or networks differ: at once; an
 * element differs: within ADOPTION_DELAY, but not sooner than ADOPTION_PAUSE, and as long again as
 * reading so many may cost, after the last look.
 */
#ifndef PORTLEASE_ADOPTION_H
#define PORTLEASE_ADOPTION_H

#include "lease_table.h"
#include "../../backend/firewall.h"

#define ADOPTION_DELAY (1 * MONOTIME_SECOND)
#define ADOPTION_PAUSE (5 * MONOTIME_SECOND)

/* How long to wait after a look at the elements of so many leases; they are read in 1 % of it. */
monotime adoption_pause(size_t leases);

/* Inserts a lease for each mapping of ours in the kernel's table that fits.  Returns how many. */
size_t adoption_load(struct lease_table *, struct firewall *, monotime now);

/*
 * Makes the kernel's table that of the leases; which of them go out and keep their ports is decided
 * first.  What had to be changed is logged.  -errno: nothing was done: create it.
 */
int adoption_agree(const struct lease_table *, struct firewall *, const struct firewall_network *,
		   monotime now, struct fault *);

#endif
