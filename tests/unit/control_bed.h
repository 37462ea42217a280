/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A daemon made of the real engine and control socket over the fake kernel, for tests of what is
 * asked over the socket. */
#ifndef PORTLEASE_TESTS_CONTROL_BED_H
#define PORTLEASE_TESTS_CONTROL_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../fakes/fake_firewall.h"
#include "../fakes/fake_flows.h"
#include "../../daemon/base/clock.h"
#include "../../daemon/core/policy.h"
#include "../../daemon/frontends/control.h"

struct bed {
	struct event_base *base;
	struct firewall *firewall;
	struct flows *flows; /* as the sessions are read from */
	struct sessions *sessions;
	struct policy *policy;
	struct engine *engine;
	struct config config;
	struct control *control;
	char folder[32];
	char path[64];
	monotime started;
	unsigned changed;
	unsigned announced;
	bool cut_off;		/* no default route to follow, and nothing is forwarded */
	struct map_reply reply; /* to the last bed_map() */
};

/* The clock stands still at this time, unless it is 0. */
static monotime bed_frozen;

static inline monotime
bed_now(void)
{
	return bed_frozen ? bed_frozen : clock_now();
}

static inline uint32_t
bed_random(void *arg)
{
	static uint32_t state = 1;

	(void)arg;
	return state = state * 1664525 + 1013904223;
}

static inline bool
bed_listening(void *arg, enum transport transport, uint16_t port)
{
	(void)arg;
	(void)transport;
	(void)port;
	return false;
}

static inline void
bed_changed(void *arg)
{
	((struct bed *)arg)->changed++;
}

static inline struct address
bed_address(const char *text)
{
	struct address address;

	assert_true(address_parse(text, &address));
	return address;
}

static inline void
bed_announce(void *arg)
{
	((struct bed *)arg)->announced++;
}

static const struct control_worker bed_worker = {
    .state = CONTROL_WORKER_READY,
    .pid = 4243,
    .starts = 1,
    .calls = 1234567,
    .batches = 34567,
    .largest_batch = 64,
    .stats = {{3, 100, 0, 2345678, 0, 1, 77, 70, 0, 1, 12, 2}},
};

static inline bool
bed_chain(void *arg, size_t number, struct control_chain *out)
{
	static const struct control_chain chains[] = {
	    {"inet fw4 forward", true, true},
	    {"ip filter FORWARD", false, false},
	    {"inet firewalld filter_FORWARD", true, false},
	};

	(void)arg;
	if (number >= sizeof(chains) / sizeof(chains[0]))
		return false;
	*out = chains[number];
	return true;
}

/* A WAN, a LAN that is served, and one that waits. */
static inline bool
bed_interface(void *arg, size_t number, struct control_interface *out)
{
	static const char *const names[] = {"wan0", "br-lan", "br-guest"};

	if (number >= sizeof(names) / sizeof(names[0]))
		return false;
	if (number == 0 && ((struct bed *)arg)->cut_off)
		return true;
	snprintf(out->name, sizeof(out->name), "%s", names[number]);
	out->worker.state = number ? CONTROL_WORKER_RESPAWNING : CONTROL_WORKER_NONE;
	if (number == 2)
		return true;
	if (number == 1) {
		out->udp = (struct control_udp){.received = 12, .foreign = 3, .unsent = 1};
		out->worker = bed_worker;
	}
	out->index = 2 + (unsigned)number;
	out->up = out->served = true;
	out->addresses = 1;
	out->address[0] =
	    (struct prefix){bed_address(number ? "192.168.1.1" : "203.0.113.5"), 96 + 24};
	return true;
}

static inline bool
bed_forwards(void *arg)
{
	return !((struct bed *)arg)->cut_off;
}

static inline void
bed_answer(void *who, uint32_t slot, const struct map_request *request,
	   const struct map_reply *reply)
{
	(void)slot;
	(void)request;
	((struct bed *)who)->reply = *reply;
}

struct bed_wish {
	enum origin origin;
	enum transport transport;
	const char *client;
	uint16_t port;
	uint32_t lifetime;
	const char *description;
};

static inline struct map_request
bed_request(struct bed *bed, const struct bed_wish *wish)
{
	struct map_request request = {
	    .kind = REQUEST_MAP,
	    .origin = wish->origin,
	    .transport = wish->transport,
	    .client = bed_address(wish->client),
	    .internal = {bed_address(wish->client), wish->port},
	    .lifetime = wish->lifetime,
	    .lifetime_max = UINT32_MAX,
	    .has_nonce = wish->origin == ORIGIN_PCP,
	    .nonce = {"secret-nonce"},
	    .asker = {bed_answer, bed, 0},
	};

	snprintf(request.description, sizeof(request.description), "%s",
		 wish->description ? wish->description : "");
	return request;
}

/* The external port it got. */
static inline uint16_t
bed_ask(struct bed *bed, const struct map_request *request)
{
	engine_submit(bed->engine, request, bed_now());
	engine_flush(bed->engine, bed_now());
	assert_int_equal(bed->reply.result, MAP_OK);
	return bed->reply.external.port;
}

/* A client's mapping; the external port it got. */
static inline uint16_t
bed_map(struct bed *bed, const struct bed_wish *wish)
{
	struct map_request request = bed_request(bed, wish);

	return bed_ask(bed, &request);
}

static inline int
bed_bind(struct bed *bed)
{
	char why[160] = "";
	int fd = control_bind(&bed->config, why, sizeof(why));

	if (fd < 0)
		fail_msg("%s", why);
	return fd;
}

/* group: whose members may change; the tester's own, so that without root he may too. */
static inline void
bed_open(struct bed *bed, bool readable, gid_t group, unsigned patience)
{
	struct firewall_network network = {
	    .wan = "wan0", .wan_addresses = 1, .wan_address = {bed_address("203.0.113.5")}};
	struct engine_options options = {
	    .max_mappings_per_client = 65536,
	    .ports = {.random_ports = {1024, 65535},
		      .ephemeral = {32768, 60999},
		      .random = bed_random,
		      .listening = bed_listening},
	};
	struct fault fault;

	memset(bed, 0, sizeof(*bed));
	strcpy(bed->folder, "/tmp/portlease-control-XXXXXX");
	assert_non_null(mkdtemp(bed->folder));
	chmod(bed->folder, 0755);
	snprintf(bed->path, sizeof(bed->path), "%s/control", bed->folder);
	bed->config = (struct config){
	    .control_socket = bed->path, .control_readable = readable, .nat_pmp = true, .rules = 2};
	bed->base = event_base_new();
	assert_int_equal(
	    firewall_open(&bed->firewall, &(struct firewall_options){.source_nat = true}, &fault),
	    0);
	options.firewall = bed->firewall;
	options.policy = bed->policy = policy_new(NULL, 0);
	bed->started = bed_now();
	bed->engine = engine_new(&options, bed->started);
	assert_int_equal(engine_set_network(bed->engine, &network, &network.wan_address[0],
					    bed->started, &fault),
			 0);
	assert_int_equal(flows_open(&bed->flows, &fault), 0);
	bed->sessions = sessions_new(engine_leases(bed->engine), bed->flows);
	bed->control = control_new(&(struct control_options){
	    .base = bed->base,
	    .engine = bed->engine,
	    .sessions = bed->sessions,
	    .config = &bed->config,
	    .fd = bed_bind(bed),
	    .group = group,
	    .started = bed->started,
	    .now = bed_now,
	    .changed = bed_changed,
	    .announce = bed_announce,
	    .interface = bed_interface,
	    .forwards = bed_forwards,
	    .chain = bed_chain,
	    .arg = bed,
	    .patience = patience,
	});
	assert_non_null(bed->control);
}

static inline void
bed_close(struct bed *bed)
{
	control_free(bed->control);
	sessions_free(bed->sessions);
	flows_close(bed->flows);
	engine_free(bed->engine);
	policy_free(bed->policy);
	firewall_close(bed->firewall);
	event_base_free(bed->base);
	unlink(bed->path);
	rmdir(bed->folder);
}

/* One turn of the daemon's event loop. */
static inline void
bed_turn(struct bed *bed)
{
	event_base_loop(bed->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static inline int
bed_connect(const struct bed *bed)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, bed->path);
	assert_return_code(connect(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	return fd;
}

#endif
