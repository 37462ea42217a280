/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parent and the core say to each other, on a SOCK_SEQPACKET pair: one struct a message,
 * of exactly its size.  Also which descriptors the parent's children find open.
 */
#ifndef PORTLEASE_PARENT_LINK_H
#define PORTLEASE_PARENT_LINK_H

#include <stdint.h>

enum {
	CORE_LINK = 3, /* of this header */
	CORE_CONTROL,  /* the listening control socket */
	CORE_LOCK,     /* of the instance; only held */
	CORE_CONFIG,   /* what the parent read */
	CORE_FDS_END
};

enum { PARENT_WORKERS = 256 }; /* there can be as many at one time */

enum parent_link_type {
	PARENT_READY, /* core to parent: serving; lan is 0 */
	PARENT_SPAWN, /* core to parent: make a worker for that LAN, in place of the one there is */
	PARENT_SPAWNED, /* parent to core: done, with the core's end of a new pair; or why not */
	PARENT_PING,	/* parent to core: does your loop turn?  lan is 0 */
	PARENT_ALIVE,	/* core to parent: it does; lan is 0 */
	/* Reloading; lan is 0.  Parent to core: somebody wants it.  Core to parent: read the file.
	 */
	PARENT_RELOAD,
	PARENT_CONFIG,	 /* parent to core: what the file holds now; or why it cannot be read */
	PARENT_RELOADED, /* core to parent: serving by it; or not, and what was before still holds
			  */
	PARENT_TYPES
};
#define PARENT_BIT(type) (1u << (type))

struct parent_message {
	uint32_t type;
	uint32_t lan; /* below PARENT_WORKERS: the core's number for the LAN's worker */
	/* Of PARENT_SPAWNED: the worker's process, or -errno.  Of PARENT_CONFIG and
	 * PARENT_RELOADED: 0 or -errno.  Else 0. */
	int32_t result;
	/* Of PARENT_SPAWN: how many files the worker may have open.  Of PARENT_RELOADED: the log's
	 * level. */
	uint32_t number;
	char interface[16]; /* of PARENT_SPAWN: the LAN's; ended by NUL */
};

enum parent_link_result {
	PARENT_LINK_GOT,
	PARENT_LINK_NOTHING, /* for now */
	PARENT_LINK_BAD,     /* a message that must not be; it is dropped */
	PARENT_LINK_ENDED,   /* the other side is gone */
};

/* Both ends non-blocking and close-on-exec.  0 or -errno. */
int parent_link_pair(int fd[2]);
/* passed: a descriptor that goes along, or -1; it stays the caller's.  0 or -errno. */
int parent_link_send(int fd, const struct parent_message *, int passed);
/*
 * types: the set of PARENT_BIT() that the other side may send.  passed: where a descriptor is put,
 * -1 if none came; NULL: none may come.
 */
enum parent_link_result parent_link_receive(int fd, unsigned types, struct parent_message *,
					    int *passed);

#endif
