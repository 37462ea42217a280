/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core's end of the link to its parent: asks for workers, one a LAN, and paces those that die.
 * Starts no process itself and never looks into what a worker says.
 */
#ifndef PORTLEASE_SPAWNER_H
#define PORTLEASE_SPAWNER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../base/config.h"

struct event_base;
struct spawner;

struct spawner_options {
	struct event_base *base;
	int fd; /* the link to the parent, SOCK_SEQPACKET and non-blocking; the spawner's from here
		   on */
	const struct config *config; /* borrowed: its LANs */
	/*
	 * pid: its process.  fd: our end (SOCK_SEQPACKET, non-blocking, close-on-exec) of the link
	 * to a new worker of that LAN (0 is the first), whose it is from here on.  fd -errno: there
	 * is none, the log says why; unless it is -ENOENT (no worker can be had) the spawner asks
	 * again by itself.
	 */
	void (*spawned)(void *arg, size_t lan, int fd, pid_t pid);
	void (*gone)(void *arg); /* the parent ended */
	/* Somebody wants the configuration to be read again. */
	void (*reload)(void *arg);
	/* As asked for: what its file holds now, in a descriptor that is the callee's, or -errno.
	 */
	void (*got_config)(void *arg, int fd);
	void *arg;
};

struct spawner *
spawner_new(const struct spawner_options *); /* NULL: out of memory; fd is closed then too */
void spawner_free(struct spawner *);	     /* NULL is allowed */

/* The config's LANs are others; origin: of config_lan_origins().  False: out of memory or of
 * places, it can only be freed. */
bool spawner_reload(struct spawner *, const size_t *origin);

/*
 * A LAN's first worker, or, from the second call on, another one since the last is dead: at once,
 * or later if they die quickly (respawn.h).  Close the dead one's link first.
 */
void spawner_request(struct spawner *, size_t lan);

/* Asks for what the configuration's file holds now.  0 or -errno. */
int spawner_ask_config(struct spawner *);
/* Tells the parent what became of it.  result: 0 or -errno; log_level: that of the one that holds.
 */
void spawner_reloaded(struct spawner *, int result, uint32_t log_level);

/* Tells the parent that the core serves: from now on it is started again if it crashes. */
void spawner_ready(struct spawner *);

#endif
