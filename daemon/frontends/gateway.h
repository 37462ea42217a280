/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the engine, the LAN sockets and the clients in step with the gateway's interfaces and with
 * the kernel's table, and wakes the engine when something is due.
 */
#ifndef PORTLEASE_GATEWAY_H
#define PORTLEASE_GATEWAY_H

#include "control.h"
#include "../core/chain_keeper.h"
#include "../core/topology.h"
#include "../core/upkeep.h"

struct gateway;

struct gateway_options {
	struct event_base *base;
	struct engine *engine; /* borrowed, as all here */
	struct upkeep *upkeep;
	const struct config *config;
	struct network *network; /* of the interfaces topology_read() expects */
	struct firewall *firewall;
	struct chain_keeper *keeper; /* NULL: there are no chains to keep */
	/* Each also before gateway_new() returns. */
	void (*network_changed)(void *arg); /* an interface, or the external address */
	void (*leases_changed)(void *arg);  /* or may have */
	void *arg;
};

/* Opens the LAN sockets and makes the kernel's table.  NULL: *why says what failed; the kernel has
 * no table then. */
struct gateway *gateway_new(const struct gateway_options *, char *why, size_t why_size);
void gateway_free(struct gateway *); /* leaves the table; NULL is allowed */

/* The config and the names of the network hold something else; origin: of config_lan_origins().
 * False: out of memory, it can only be freed. */
bool gateway_reload(struct gateway *, const size_t *origin);

/* Something went through the engine: do what is due, wake up when the next thing is. */
void gateway_changed(void *gateway);
/* A new epoch began: tells the clients. */
void gateway_announce(struct gateway *);
const struct topology *gateway_topology(const struct gateway *);
/* For the control socket. */
bool gateway_interface(void *gateway, size_t number, struct control_interface *out);

#endif
