/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gateway.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "udp.h"
#include "../base/clock.h"
#include "../base/log.h"

enum { RETRY_SECONDS = 1 };

struct gateway {
	struct gateway_options options;
	struct udp *udp;
	struct topology topology;
	bool began;    /* .topology was read once */
	bool stale;    /* the engine could not take over .topology */
	bool forwards; /* else it is no gateway: nobody is served */
	struct event *timer;
	struct event *retry;
	struct event *network_event;
	struct event *table_event;
	struct event *chains_event; /* a timer */
};

void
gateway_changed(void *arg)
{
	struct gateway *g = arg;
	monotime now = clock_now(), upkeep = upkeep_run(g->options.upkeep, now);
	monotime engine = engine_run(g->options.engine, now);
	monotime next = engine < upkeep ? engine : upkeep;
	monotime wait = next > now ? next - now : 0;
	struct timeval after = {wait / MONOTIME_SECOND, wait % MONOTIME_SECOND * 1000};

	if (next == MONOTIME_NEVER)
		evtimer_del(g->timer);
	else
		evtimer_add(g->timer, &after);
	g->options.leases_changed(g->options.arg);
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	gateway_changed(arg);
}

/* After our own table: until it is there, there is nothing that the line could let in. */
static void
tend_chains(struct gateway *g)
{
	monotime now = clock_now(), next;

	if (!g->options.keeper)
		return;
	next = chain_keeper_tend(g->options.keeper, now);
	if (next == MONOTIME_NEVER) {
		evtimer_del(g->chains_event);
	} else {
		struct timeval after = {(next - now) / MONOTIME_SECOND,
					(next - now) % MONOTIME_SECOND * 1000};

		evtimer_add(g->chains_event, &after);
	}
}

static void
on_chains(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	tend_chains(arg);
}

static void
on_table(evutil_socket_t fd, short events, void *arg)
{
	struct gateway *g = arg;

	(void)fd;
	(void)events;
	engine_check_table(g->options.engine, clock_now());
	tend_chains(g);
	gateway_changed(g);
}

static void
log_wan(const struct topology *was, const struct topology *is)
{
	char old[ADDRESS_TEXT_SIZE], new[ADDRESS_TEXT_SIZE];

	address_print(&was->external, old);
	address_print(&is->external, new);
	if (!address_is_unspecified(&was->external) && address_is_unspecified(&is->external))
		log_warning("wan", "address lost", "address=%s", old);
	else if (!address_is_unspecified(&was->external))
		log_info("wan", "address changed", "from=%s to=%s", old, new);
	else if (!address_is_unspecified(&is->external))
		log_info("wan", "address appeared", "address=%s", new);
	else if (is->refused)
		log_warning("wan", "address refused", "reason=\"private-wan = refuse\"");
	else
		log_warning("wan", "no address", "wan=%s", is->firewall.wan);
	if (address_scope(&is->external) == ADDRESS_PRIVATE)
		log_warning("wan", "address is private",
			    "address=%s hint=\"another gateway must forward to it\"", new);
}

static void
log_interface(const struct gateway *g)
{
	const struct topology *t = &g->topology;
	const struct config_wan *wan = &g->options.config->wan;

	if (t->wan_index != 0)
		log_info("wan", "there", "wan=%s index=%u", t->firewall.wan, t->wan_index);
	else
		log_info("wan", "waiting", "wan=%s reason=%s", wan->interface,
			 wan->automatic ? "no-default-route" : "no-interface");
}

/* What the interfaces say now: to the engine, then to the clients.  0 or -errno: .stale until it is
 * tried again. */
static int
apply_topology(struct gateway *g, struct fault *fault)
{
	const struct gateway_options *o = &g->options;
	struct topology was, *is = &g->topology;
	int error;

	memcpy(&was, is, sizeof(was));
	topology_read(o->config, o->network, is);
	if (!g->began || was.wan_index != is->wan_index)
		log_interface(g);
	g->began = true;
	if (memcmp(&was, is, sizeof(was)) == 0 && !g->stale)
		return 0;
	error = engine_set_network(o->engine, &is->firewall, &is->external, clock_now(), fault);
	g->stale = error < 0;
	if (!address_equal(&was.external, &is->external) || was.refused != is->refused)
		log_wan(&was, is);
	if (!address_equal(&was.external, &is->external))
		udp_announce(g->udp);
	return error;
}

static void
tell_prefixes(struct gateway *g)
{
	const struct network_interface *lan;

	for (size_t i = 0; (lan = network_interface(g->options.network, TOPOLOGY_FIRST_LAN + i));
	     i++) {
		struct prefix prefix[NETWORK_ADDRESSES];
		size_t count = interface_prefixes(lan, prefix);

		engine_set_lan(g->options.engine, i, prefix, count, clock_now());
	}
}

/* False: one of them exists but cannot be served. */
static bool
serve_lans(struct gateway *g)
{
	const struct network_interface *lan;
	bool ok = true;

	for (size_t i = 0; (lan = network_interface(g->options.network, TOPOLOGY_FIRST_LAN + i));
	     i++)
		ok &= udp_set_lan(g->udp, i, g->forwards ? lan : NULL);
	return ok;
}

static void
read_forwarding(struct gateway *g)
{
	bool was = g->forwards;

	g->forwards = network_forwards(g->options.network);
	if (was && !g->forwards)
		log_warning("gateway", "serves nobody", "reason=\"net.ipv4.ip_forward is 0\"");
	else if (g->forwards && !was)
		log_info("gateway", "serves again", "reason=\"net.ipv4.ip_forward is 1\"");
}

static void
try_later(struct gateway *g)
{
	static const struct timeval later = {.tv_sec = RETRY_SECONDS};

	evtimer_add(g->retry, &later);
}

static void
follow(struct gateway *g)
{
	struct fault fault;

	read_forwarding(g);
	serve_lans(g);
	tell_prefixes(g);
	if (apply_topology(g, &fault) < 0) {
		log_error("firewall", "network not set", "error=\"%s\"", fault.text);
		try_later(g);
	}
	g->options.network_changed(g->options.arg);
	gateway_changed(g);
}

static void
on_network(evutil_socket_t fd, short events, void *arg)
{
	struct gateway *g = arg;
	struct fault fault;
	int changed = network_dispatch(g->options.network, &fault);

	(void)fd;
	(void)events;
	if (changed < 0) {
		log_error("network", "not read", "error=\"%s\"", fault.text);
		try_later(g);
	}
	if (changed > 0 || g->stale)
		follow(g);
}

static struct event *
watch(struct gateway *g, int fd, event_callback_fn callback)
{
	struct event *event = event_new(g->options.base, fd, EV_READ | EV_PERSIST, callback, g);

	if (event)
		event_add(event, NULL);
	return event;
}

static bool
open_events(struct gateway *g)
{
	const struct gateway_options *o = &g->options;

	g->timer = evtimer_new(o->base, on_timer, g);
	g->retry = evtimer_new(o->base, on_network, g);
	g->chains_event = evtimer_new(o->base, on_chains, g);
	g->network_event = watch(g, network_fd(o->network), on_network);
	g->table_event = watch(g, firewall_watch_fd(o->firewall), on_table);
	g->udp = udp_new(&(struct udp_options){
	    .base = o->base,
	    .engine = o->engine,
	    .config = o->config,
	    .network = o->network,
	    .changed = gateway_changed,
	    .arg = g,
	});
	return g->timer && g->retry && g->chains_event && g->network_event && g->table_event &&
	       g->udp;
}

static bool
start(struct gateway *g, char *why, size_t why_size)
{
	struct fault fault;

	if (!open_events(g)) {
		snprintf(why, why_size, "out of memory");
		return false;
	}
	g->forwards = true;
	read_forwarding(g);
	/* The kernel's table last: what fails before leaves nothing behind. */
	if (!serve_lans(g)) {
		snprintf(why, why_size, "cannot serve every lan");
		return false;
	}
	g->stale = true;
	tell_prefixes(g);
	if (apply_topology(g, &fault) < 0) {
		snprintf(why, why_size, "%s", fault.text);
		return false;
	}
	tend_chains(g);
	g->options.network_changed(g->options.arg);
	gateway_changed(g);
	return true;
}

struct gateway *
gateway_new(const struct gateway_options *options, char *why, size_t why_size)
{
	struct gateway *g = calloc(1, sizeof(*g));

	if (!g) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	g->options = *options;
	if (!start(g, why, why_size)) {
		gateway_free(g);
		return NULL;
	}
	return g;
}

void
gateway_free(struct gateway *g)
{
	if (!g)
		return;
	struct event *events[] = {g->timer, g->retry, g->chains_event, g->network_event,
				  g->table_event};

	udp_free(g->udp);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	free(g);
}

bool
gateway_reload(struct gateway *g, const size_t *origin)
{
	if (!udp_reload(g->udp, origin))
		return false;
	engine_move_lans(g->options.engine, origin, g->options.config->lans);
	g->stale = true; /* for what of it is no topology */
	follow(g);
	tend_chains(g);
	return true;
}

void
gateway_announce(struct gateway *g)
{
	udp_announce(g->udp);
}

const struct topology *
gateway_topology(const struct gateway *g)
{
	return &g->topology;
}

static void
show_udp(const struct udp_counters *from, struct control_udp *out)
{
	*out = (struct control_udp){
	    .received = from->received,
	    .foreign = from->foreign,
	    .limited = from->limited,
	    .ignored = from->ignored,
	    .refused = from->refused,
	    .unsent = from->unsent,
	};
}

bool
gateway_interface(void *arg, size_t number, struct control_interface *out)
{
	const struct gateway *g = arg;
	const struct network_interface *from = network_interface(g->options.network, number);
	bool wan = number == TOPOLOGY_WAN;
	size_t lan = number - TOPOLOGY_FIRST_LAN;

	if (!from)
		return false;
	*out = (struct control_interface){.index = from->index, .up = from->up};
	memcpy(out->name, from->name, sizeof(out->name));
	out->served =
	    wan ? !address_is_unspecified(&g->topology.external) : udp_serves(g->udp, lan);
	if (!wan)
		show_udp(udp_counters(g->udp, lan), &out->udp);
	for (size_t i = 0; i < from->addresses && i < CONTROL_ADDRESSES; i++)
		out->address[out->addresses++] = (struct prefix){
		    .address = from->address[i].address,
		    .length = from->address[i].prefix.length,
		};
	return true;
}
