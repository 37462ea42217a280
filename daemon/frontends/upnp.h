/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UPnP's way into the core: keeps one worker a LAN, tells it what it must know, and answers what it
 * asks for its clients.  Sees no HTTP, XML or SSDP, and never waits for a worker.
 */
#ifndef PORTLEASE_UPNP_H
#define PORTLEASE_UPNP_H

#include <sys/types.h>

#include "../base/config.h"
#include "../core/engine.h"
#include "../../backend/network.h"
#include "../../protocols/worker_link.h"

struct event_base;
struct upnp;

enum { UPNP_BATCH = 64 };

struct upnp_options {
	struct event_base *base;
	struct engine *engine; /* borrowed, as all here */
	const struct config *config;
	const char
	    *uuid; /* 36 octets: of the first LAN's root device; the other UDNs count on from it */
	/* A worker for that LAN is wanted; upnp_spawned() follows. */
	void (*spawn)(void *arg, size_t lan);
	/* Larger than any before, in this life of the gateway or an earlier one. */
	uint32_t (*next_boot_id)(void *arg);
	/* The WAN's; false: not to be had. */
	bool (*counters)(void *arg, struct network_counters *);
	/* Does the kernel know both, on the link of that index, as addresses of one host? */
	bool (*same_host)(void *arg, unsigned index, const struct address *,
			  const struct address *);
	/* A batch went through the engine: look at its timer again, then call upnp_changed(). */
	void (*changed)(void *arg);
	void *arg;
	unsigned patience; /* milliseconds for a worker to read something; 0 = 5 s */
};

struct upnp *upnp_new(const struct upnp_options *); /* no worker yet; NULL: out of memory */
void upnp_free(struct upnp *);			    /* ends the links; NULL is allowed */

/* Asks for the first workers; what is known of the WAN and the LANs should have been set. */
void upnp_start(struct upnp *);
/* As spawner_options.spawned: our end of the link to a worker of that LAN, or -errno. */
void upnp_spawned(void *upnp, size_t lan, int fd, pid_t pid);

/*
 * The config, or what uuid points to, holds something else.  origin: of config_lan_origins().
 * Workers that would have to be told something else than they were are replaced.  False: out of
 * memory, it can only be freed.
 */
bool upnp_reload(struct upnp *, const size_t *origin);

/* A LAN of the config (from 0) as it is now; news to its worker if it changed. */
void upnp_set_lan(struct upnp *, size_t lan, const struct network_interface *);
/* bit_rate: bit/s, 0 = not known. */
void upnp_set_wan(struct upnp *, bool link_up, uint64_t bit_rate);
/* Leases or the external address may have changed: tells the workers if they did. */
void upnp_changed(struct upnp *);

/* What `portlease status` shows of a LAN's worker. */
struct upnp_worker {
	bool there;	  /* we have a link to one */
	pid_t pid;	  /* its process; 0: not there */
	bool ready;	  /* it serves */
	bool missing;	  /* there can be none: the log says why */
	uint64_t started; /* workers it has had so far */
	uint64_t calls;
	uint64_t batches; /* calls that came together */
	unsigned batch_max;
	struct link_stats stats; /* of the present one */
};
const struct upnp_worker *upnp_worker(const struct upnp *, size_t lan);

#endif
