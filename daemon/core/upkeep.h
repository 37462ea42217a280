/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends mappings that nobody has use for: those of hosts that are gone, and those through which
 * nothing goes.  Judges by what it is told of hosts, by the kernel's flows and by the counts of its
 * mappings; asks for all of that in small pieces, and for nothing while both are off.
 *
 * A host is gone once it has been without an answer on its link from one look to the next, for the
 * time set.  Flows speak for it if one of its own began meanwhile, or one that was answered had
 * traffic: then it has that time once more, UPKEEP_SPARED times at most, since what comes to a dead
 * host looks alike.
 *
 * A mapping is idle that no flow has used, nor a new connection been counted for, for the time set.
 * Looking begins when the mapping is first met, and anew when the daemon starts.
 *
 * A call that comes later than asked for, by more than the time between two rounds, because the
 * machine or we slept, begins both times anew.
 *
 * Static mappings are never ended.
 */
#ifndef PORTLEASE_UPKEEP_H
#define PORTLEASE_UPKEEP_H

#include "engine.h"
#include "../../backend/flows.h"
#include "../../backend/network.h"

struct upkeep;

enum { UPKEEP_SPARED = 3 };

struct upkeep_options {
	struct engine *engine; /* borrowed */
	struct flows *flows;   /* borrowed; read by nobody else */
	/* Lets a host of that LAN ("": any) be asked whether it is there; NETWORK_PROBE later
	 * look() tells.  False: it cannot be. */
	bool (*probe)(void *arg, const char *lan, const struct address *host);
	enum network_neighbour (*look)(void *arg, const char *lan, const struct address *host);
	void *arg;
};

struct upkeep *upkeep_new(const struct upkeep_options *); /* NULL: out of memory */
void upkeep_free(struct upkeep *);			  /* NULL is allowed */

/* How long a host must be gone, and a mapping idle; 0: never mind. */
void upkeep_set(struct upkeep *, monotime host_gone, monotime idle, monotime now);

/* Does a piece of what is due, and leaves what it ends pending: engine_run() comes next.  Returns
 * when to call again, MONOTIME_NEVER while there is no lease or both are off. */
monotime upkeep_run(struct upkeep *, monotime now);

#endif
