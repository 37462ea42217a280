/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gateway of a story: the real engine, policy and front end for UPnP over the fake kernel, and
 * a clock that calls the engine when it asks to be. */
#ifndef PORTLEASE_TESTS_WORLD_H
#define PORTLEASE_TESTS_WORLD_H

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/base/clock.h"
#include "../../daemon/core/engine.h"
#include "../../daemon/core/policy.h"
#include "../../daemon/core/transaction.h"
#include "../../daemon/frontends/upnp.h"
#include "../fakes/fake_firewall.h"
#include "../fakes/fake_flows.h"

/* A story's zero on the monotonic clock, and how often the engine may ask in vain to be called
 * again at once. */
#define WORLD_BEGIN ((monotime)123456789)
enum { WORLD_PATIENCE = 5 };

struct world {
	struct config *config; /* owned */
	struct policy *policy;
	struct firewall *firewall;
	struct flows *flows;
	struct engine *engine;
	struct firewall_network network;
	struct address external;
	monotime now;
	monotime epoch;	   /* since when the address has been what it is */
	monotime deadline; /* when the engine wants to be called */
	uint64_t wakes;	   /* how often it was, for that reason */
	bool listening[2][65536];
	uint32_t random;
	bool tampered;	   /* the kernel lost something the engine cannot know of yet */
	uint64_t restores; /* at that time */
	char fault[256];   /* why a call returned false */
	/* The LAN's worker: our end of its link is the story's. */
	struct event_base *base;
	struct upnp *upnp;
	int link;
	struct link_state told; /* what it was told last */
	unsigned calls;		/* unanswered */
	void (*answered)(void *who, const struct link_message *);
	void *who;
};

/* The daemon's clock is the story's. */
static const struct world *world_with_clock;

monotime
clock_now(void)
{
	return world_with_clock ? world_with_clock->now : WORLD_BEGIN;
}

/* Beside interface_has_host(), and not for us. */
const struct network_interface *
network_interface(const struct network *network, size_t number)
{
	(void)network;
	(void)number;
	return NULL;
}

static inline uint32_t
world_random(void *arg)
{
	uint32_t *x = arg;

	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static inline bool
world_listening(void *arg, enum transport transport, uint16_t port)
{
	const struct world *w = arg;

	return w->listening[transport == TRANSPORT_UDP][port];
}

/* What the core told the worker. */
static inline void
world_hear(struct world *w)
{
	uint8_t bytes[LINK_MESSAGE_MAX];
	struct link_message message;
	ssize_t size;

	while ((size = recv(w->link, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		if (!link_decode(LINK_CORE, bytes, (size_t)size, &message))
			abort();
		if (message.type == LINK_STATE)
			w->told = message.state;
		if (message.type != LINK_ANSWER && message.type != LINK_ENTRIES)
			continue;
		w->calls--;
		w->answered(w->who, &message);
	}
}

/* The engine may have something new to wait for, the worker something to be told. */
static inline void
world_changed(struct world *w)
{
	w->deadline = engine_run(w->engine, w->now);
	upnp_changed(w->upnp);
	world_hear(w);
}

/* A call of the worker's; world_turn() carries it out. */
static inline void
world_call(struct world *w, const struct link_call *call)
{
	struct link_message message = {.type = LINK_CALL, .call = *call};
	uint8_t bytes[LINK_MESSAGE_MAX];
	size_t size = link_encode(&message, bytes, sizeof(bytes));

	if (size == 0 || send(w->link, bytes, size, 0) != (ssize_t)size)
		abort();
	w->calls++;
}

enum { WORLD_TURNS = 1000 };

/* The front end takes its turns until all calls are answered. */
static inline void
world_turn(struct world *w)
{
	for (int i = 0; w->calls > 0 && i < WORLD_TURNS; i++) {
		event_base_loop(w->base, EVLOOP_NONBLOCK);
		world_hear(w);
	}
}

static inline void
world_spawn(void *arg, size_t lan)
{
	struct world *w = arg;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		abort();
	w->link = pair[1];
	upnp_spawned(w->upnp, lan, pair[0], 1);
}

static inline uint32_t
world_next_boot_id(void *arg)
{
	(void)arg;
	return 1;
}

static inline bool
world_counters(void *arg, struct network_counters *out)
{
	(void)arg;
	*out = (struct network_counters){0};
	return true;
}

static inline void
world_batch_done(void *arg)
{
	world_changed(arg);
}

/* The LAN has these prefixes from now on; none: its interface is gone. */
static inline void
world_set_lan(struct world *w, const struct prefix *prefix, size_t count)
{
	struct network_interface interface = {.name = "br-lan", .index = 1, .up = true};

	interface.addresses = w->network.lan_prefixes = count;
	for (size_t i = 0; i < count; i++) {
		interface.address[i] =
		    (struct network_address){prefix[i].address, prefix[i], false};
		interface.address[i].address.bytes[15] |= 1;
		w->network.lan_prefix[i] = prefix[i];
	}
	upnp_set_lan(w->upnp, 0, &interface);
	engine_set_lan(w->engine, 0, prefix, count, w->now);
}

static inline bool
world_open_upnp(struct world *w)
{
	const struct upnp_options options = {
	    .base = w->base,
	    .engine = w->engine,
	    .config = w->config,
	    .uuid = "01234567-89ab-cdef-0123-456789abcdef",
	    .spawn = world_spawn,
	    .next_boot_id = world_next_boot_id,
	    .counters = world_counters,
	    .changed = world_batch_done,
	    .arg = w,
	};

	w->upnp = w->base ? upnp_new(&options) : NULL;
	if (!w->upnp)
		return false;
	upnp_set_wan(w->upnp, true, 0);
	upnp_start(w->upnp);
	return true;
}

static inline void
world_set_external(struct world *w, const struct address *external)
{
	if (!address_equal(external, &w->external))
		w->epoch = w->now;
	w->external = *external;
	w->network.wan_address[0] = *external;
	w->network.wan_addresses = !address_is_unspecified(external);
	engine_set_network(w->engine, &w->network, external, w->now, NULL);
	world_changed(w);
}

/* Takes the config.  To be closed also after false. */
static inline bool
world_open(struct world *w, struct config *config, const struct prefix *lan,
	   const struct address *external)
{
	const struct firewall_options firewall = {.source_nat = true};
	struct engine_options options = {
	    .max_mappings_per_client = config->max_mappings_per_client,
	    .ports = {.random_ports = config->random_ports,
		      .ephemeral = {32768, 60999},
		      .random = world_random,
		      .random_arg = &w->random,
		      .listening = world_listening,
		      .listening_arg = w},
	};

	*w = (struct world){.config = config,
			    .now = WORLD_BEGIN,
			    .epoch = WORLD_BEGIN,
			    .random = 2463534242,
			    .link = -1};
	snprintf(w->network.wan, sizeof(w->network.wan), "%s", config->wan.interface);
	options.policy = w->policy = policy_new(config->rule, config->rules);
	if (!w->policy || firewall_open(&w->firewall, &firewall, NULL) != 0)
		return false;
	if (flows_open(&w->flows, NULL) != 0)
		return false;
	options.firewall = w->firewall;
	options.flows = w->flows;
	options.end_flows_on_expiry = config->end_flows_on_expiry;
	fake_firewall_set_clock(w->firewall, w->now);
	w->engine = engine_new(&options, w->now);
	w->base = event_base_new();
	world_with_clock = w;
	if (!w->engine || !world_open_upnp(w))
		return false;
	world_set_lan(w, lan, 1);
	if (!engine_set_forwards(w->engine, config->forward, config->forwards, w->now))
		return false;
	world_set_external(w, external);
	return true;
}

static inline void
world_close(struct world *w)
{
	upnp_free(w->upnp);
	if (w->link >= 0)
		close(w->link);
	if (w->base)
		event_base_free(w->base);
	engine_free(w->engine);
	flows_close(w->flows);
	firewall_close(w->firewall);
	policy_free(w->policy);
	config_free(w->config);
}

/* Time passes.  False: the engine asks to be called again at once, and again, and gets nothing
 * done. */
static inline bool
world_pass(struct world *w, monotime until)
{
	unsigned vain = 0;

	while (w->deadline <= until) {
		size_t leases = lease_table_count(engine_leases(w->engine));

		if (w->deadline > w->now)
			w->now = w->deadline;
		fake_firewall_set_clock(w->firewall, w->now);
		w->wakes++;
		world_changed(w);
		if (w->deadline > w->now || lease_table_count(engine_leases(w->engine)) < leases)
			vain = 0;
		else if (++vain > WORLD_PATIENCE) {
			snprintf(w->fault, sizeof(w->fault),
				 "the engine does not wait: it asks to be called at once, and gets "
				 "nothing done");
			return false;
		}
	}
	w->now = until;
	fake_firewall_set_clock(w->firewall, w->now);
	return true;
}

static inline void
world_tamper(struct world *w)
{
	w->tampered = true;
	w->restores = engine_counters(w->engine)->table_restores;
}

static inline bool
world_disagrees(struct world *w, const struct lease_record *r, const char *how)
{
	snprintf(w->fault, sizeof(w->fault), "the kernel disagrees about %s %u: %s",
		 transport_name(r->transport), r->external_port, how);
	return false;
}

/* One of the leases of an internal endpoint is the one its own packets leave through. */
static inline unsigned
world_outbound(const struct world *w, const struct lease_record *r)
{
	const struct lease *lease =
	    lease_table_by_internal(engine_leases(w->engine), r->transport, &r->internal);
	unsigned count = 0;

	for (; lease; lease = lease_next_internal(lease))
		count += lease->record.outbound;
	return count;
}

static inline bool
world_check_lease(struct world *w, const struct lease_record *r)
{
	const struct fake_mapping *m =
	    fake_firewall_find_remote(w->firewall, r->transport, r->external_port, &r->remote);

	/* A kernel that fails may be asked again within a second. */
	if (r->ends <= w->now)
		return w->deadline <= w->now + MONOTIME_SECOND ||
		       world_disagrees(w, r, "its lease is over");
	if (r->disabled)
		return !m || world_disagrees(w, r, "it is there, although it is off");
	if (!m)
		return world_disagrees(w, r, "it is not there");
	if (m->internal.port != r->internal.port ||
	    !address_equal(&m->internal.address, &r->internal.address))
		return world_disagrees(w, r, "it leads elsewhere");
	if (m->outbound != r->outbound)
		return world_disagrees(w, r, "what its packets leave through");
	if (m->expires < r->ends ||
	    (r->ends != MONOTIME_NEVER && m->expires > r->ends + TRANSACTION_GRACE))
		return world_disagrees(w, r, "when it ends");
	if (world_outbound(w, r) != 1)
		return world_disagrees(w, r, "its packets leave through none, or several");
	return true;
}

/* Is the kernel what the lease table says? */
static inline bool
world_check(struct world *w)
{
	const struct lease_table *table = engine_leases(w->engine);
	const struct lease *lease = lease_table_after_id(table, 0);

	for (; lease; lease = lease_table_after_id(table, lease->record.id))
		if (!world_check_lease(w, &lease->record))
			return false;
	return true;
}

/* The same while a loss may still have to be found and mended. */
static inline bool
world_check_meanwhile(struct world *w)
{
	if (engine_counters(w->engine)->table_restores > w->restores)
		w->tampered = false;
	return w->tampered || !engine_table_intact(w->engine) || world_check(w);
}

/* A story's end: everything mended, and nothing in the kernel beyond the leases. */
static inline bool
world_check_end(struct world *w)
{
	const struct lease_table *table = engine_leases(w->engine);
	const struct lease *lease = lease_table_after_id(table, 0);
	size_t leases = 0, mappings = fake_firewall_count(w->firewall);

	for (; lease; lease = lease_table_after_id(table, lease->record.id))
		leases += !lease->record.disabled;
	if (!engine_table_intact(w->engine) || !fake_firewall_has_table(w->firewall)) {
		snprintf(w->fault, sizeof(w->fault), "the kernel's table is missing");
		return false;
	}
	if (!world_check(w))
		return false;
	snprintf(w->fault, sizeof(w->fault), "the kernel has %zu mappings for %zu leases", mappings,
		 leases);
	return mappings == leases;
}

#endif
