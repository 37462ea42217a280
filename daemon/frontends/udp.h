/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NAT-PMP and PCP on UDP port 5351: one socket a LAN interface, a batch of datagrams for one kernel
 * transaction, and the announcements to 224.0.0.1:5350.  Decides nothing about mappings.
 */
#ifndef PORTLEASE_UDP_H
#define PORTLEASE_UDP_H

#include "../core/engine.h"
#include "../core/topology.h"

struct event_base;
struct udp;

enum { UDP_PORT = 5351, UDP_ANNOUNCEMENT_PORT = 5350, UDP_BATCH = 64 };

struct udp_options {
	struct event_base *base;
	struct engine *engine;	     /* borrowed, as all here */
	const struct config *config; /* its LANs, protocols, lifetimes and requests-per-second */
	struct network *network;     /* asked for neighbours only */
	void (*changed)(void *arg);  /* a batch went through the engine: look at its timer again */
	void *arg;
};

struct udp *udp_new(const struct udp_options *); /* no socket yet; NULL: out of memory */
void udp_free(struct udp *);			 /* NULL is allowed */

/*
 * The config holds something else: LANs, protocols, lifetimes, requests-per-second.  origin: of
 * config_lan_origins(); a LAN that stays keeps its socket.  Then call udp_set_lan() for each.
 * False: out of memory, it can only be freed.
 */
bool udp_reload(struct udp *, const size_t *origin);

/*
 * A LAN of the config (from 0) as it is now.  Makes its socket anew if it is another interface than
 * before, closes it if there is none or NULL says that none is to be served, and announces where it
 * has just appeared, come up or changed its addresses.  False: it exists but cannot be served (the
 * log says why); the next call tries again.
 */
bool udp_set_lan(struct udp *, size_t lan, const struct network_interface *);
/* Are requests of that LAN answered? */
bool udp_serves(const struct udp *, size_t lan);

/* Begins the announcements anew on every LAN: the external address or the state of the mappings
 * changed. */
void udp_announce(struct udp *);

struct udp_counters {
	uint64_t received;
	uint64_t foreign; /* not from a host of that LAN to one of our addresses there */
	uint64_t limited; /* over the client's rate */
	uint64_t ignored; /* no request, or one that is not answered */
	uint64_t refused; /* by a decoder */
	uint64_t unsent;  /* answers and announcements that the kernel did not or would not take */
};
const struct udp_counters *udp_counters(const struct udp *, size_t lan);

#endif
