/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gateway of a story: the real engine and policy over the fake kernel, and a clock that calls
 * the engine when it asks to be. */
#ifndef PORTLEASE_TESTS_WORLD_H
#define PORTLEASE_TESTS_WORLD_H

#include <stdio.h>
#include <string.h>

#include "../../daemon/core/engine.h"
#include "../../daemon/core/policy.h"
#include "../../daemon/core/transaction.h"
#include "../fakes/fake_firewall.h"

/* A story's zero on the monotonic clock, and how often the engine may ask in vain to be called
 * again at once. */
#define WORLD_BEGIN ((monotime)123456789)
enum { WORLD_PATIENCE = 5 };

struct world {
	struct config *config; /* owned */
	struct policy *policy;
	struct firewall *firewall;
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
};

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

/* The engine may have something new to wait for. */
static inline void
world_changed(struct world *w)
{
	w->deadline = engine_run(w->engine, w->now);
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

	*w = (struct world){
	    .config = config, .now = WORLD_BEGIN, .epoch = WORLD_BEGIN, .random = 2463534242};
	w->network = (struct firewall_network){.lan_prefixes = 1, .lan_prefix = {*lan}};
	snprintf(w->network.wan, sizeof(w->network.wan), "%s", config->wan.interface);
	options.policy = w->policy = policy_new(config->rule, config->rules);
	if (!w->policy || firewall_open(&w->firewall, &firewall, NULL) != 0)
		return false;
	options.firewall = w->firewall;
	fake_firewall_set_clock(w->firewall, w->now);
	w->engine = engine_new(&options, w->now);
	if (!w->engine)
		return false;
	world_set_external(w, external);
	return true;
}

static inline void
world_close(struct world *w)
{
	engine_free(w->engine);
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
	    fake_firewall_find(w->firewall, r->transport, r->external_port);

	/* A kernel that fails may be asked again within a second. */
	if (r->ends <= w->now)
		return w->deadline <= w->now + MONOTIME_SECOND ||
		       world_disagrees(w, r, "its lease is over");
	if (!m)
		return world_disagrees(w, r, "it is not there");
	if (m->internal.port != r->internal.port ||
	    !address_equal(&m->internal.address, &r->internal.address))
		return world_disagrees(w, r, "it leads elsewhere");
	if (m->outbound != r->outbound)
		return world_disagrees(w, r, "what its packets leave through");
	if (m->expires < r->ends || m->expires > r->ends + TRANSACTION_GRACE)
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
	size_t leases = lease_table_count(engine_leases(w->engine));
	size_t mappings = fake_firewall_count(w->firewall);

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
