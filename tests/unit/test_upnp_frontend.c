/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's end of the workers' links, over socket pairs whose other ends the test reads and
 * writes. */
#include "engine_bed.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/base/clock.h"
#include "../../daemon/frontends/upnp.h"
#include "../../daemon/frontends/upnp_read.h"

enum { LANS = 2 };

static const char uuid[] = "01234567-89ab-cdef-0123-456789abcdef";

static struct {
	struct event_base *base;
	struct config config;
	struct upnp *upnp;
	struct network_interface lan[LANS];
	int fd[LANS]; /* the workers' ends */
	unsigned wanted[LANS];
	uint32_t boot_id;
	unsigned patience; /* 0: as in the daemon */
	unsigned batches;  /* that went through the engine */
	bool no_counters;
	struct address neighbour, neighbour_is; /* IPv6 and IPv4 of one host */
	unsigned asked;				/* for such */
	uint32_t ticket;
	struct link_message heard;
} up;

/* Beside interface_has_host(), and not for us. */
const struct network_interface *
network_interface(const struct network *network, size_t number)
{
	(void)network;
	(void)number;
	return NULL;
}

monotime
clock_now(void)
{
	return bed.now;
}

void
log_info(const char *topic, const char *event, const char *format, ...)
{
	BED_LOG(format);
}

void
log_debug(const char *topic, const char *event, const char *format, ...)
{
	BED_LOG(format);
}

static void
spawn(void *arg, size_t lan)
{
	assert_ptr_equal(arg, &up);
	up.wanted[lan]++;
}

static uint32_t
next_boot_id(void *arg)
{
	(void)arg;
	return ++up.boot_id;
}

static bool
counters(void *arg, struct network_counters *out)
{
	(void)arg;
	*out = (struct network_counters){1, 2, 3, 4};
	return !up.no_counters;
}

static bool
same_host(void *arg, unsigned index, const struct address *one, const struct address *other)
{
	assert_ptr_equal(arg, &up);
	assert_int_equal(index, up.lan[0].index);
	up.asked++;
	return address_equal(one, &up.neighbour) && address_equal(other, &up.neighbour_is);
}

/* As gateway_changed() does. */
static void
changed(void *arg)
{
	(void)arg;
	up.batches++;
	run();
	upnp_changed(up.upnp);
}

static void
loop(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(up.base, EVLOOP_NONBLOCK);
}

/* A new worker, as the spawner would hand it on. */
static void
be_spawned(size_t lan)
{
	int pair[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	if (up.fd[lan] >= 0)
		close(up.fd[lan]);
	up.fd[lan] = pair[1];
	upnp_spawned(up.upnp, lan, pair[0], (pid_t)(4000 + lan));
	loop();
}

/* The next message of that LAN's link into up.heard; false: none. */
static bool
hear(size_t lan)
{
	static uint8_t bytes[LINK_MESSAGE_MAX];
	ssize_t size = recv(up.fd[lan], bytes, sizeof(bytes), 0);

	if (size <= 0)
		return false;
	assert_true(link_decode(LINK_CORE, bytes, (size_t)size, &up.heard));
	return true;
}

static void
hear_all(size_t lan)
{
	while (hear(lan))
		;
}

static const struct link_message *
expect(size_t lan, enum link_type type)
{
	if (!hear(lan))
		fail_msg("nothing instead of %s", link_type_name(type));
	assert_string_equal(link_type_name(up.heard.type), link_type_name(type));
	return &up.heard;
}

/* --- calls --- */

static struct link_call
call(enum igd_action action, unsigned client)
{
	up.ticket++;
	return (struct link_call){
	    .ticket = up.ticket,
	    .client = host(client),
	    .call =
		{
		    .action = action,
		    .view = IGD_VIEW_2,
		    .version = igd_service_version(igd_action_row(action)->service, IGD_VIEW_2),
		    .entry = {.transport = UDP,
			      .external_port = 4000,
			      .internal = {host(client), 4000},
			      .enabled = true,
			      .lease = 3600,
			      .description = "game"},
		    .ports = {1, 65535},
		},
	};
}

static struct link_call
call_about(enum igd_action action, unsigned client, uint16_t port)
{
	struct link_call c = call(action, client);

	c.call.entry.external_port = c.call.entry.internal.port = port;
	return c;
}

static void
in_version_1(struct link_call *c)
{
	c->call.view = IGD_VIEW_1;
	c->call.version = 1;
}

/* False: the link takes no more at the moment. */
static bool
try_to_say(size_t lan, struct link_message *m)
{
	uint8_t bytes[LINK_MESSAGE_MAX];
	size_t size = link_encode(m, bytes, sizeof(bytes));

	assert_int_not_equal(size, 0);
	return send(up.fd[lan], bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void
say(struct link_call c)
{
	struct link_message m = {.type = LINK_CALL, .call = c};

	assert_true(try_to_say(0, &m));
}

/* The ANSWER to a call, whatever else is told before it. */
static const struct link_answer *
ask_worker(struct link_call c)
{
	say(c);
	loop();
	while (hear(0))
		if (up.heard.type == LINK_ANSWER)
			break;
	assert_int_equal(up.heard.type, LINK_ANSWER);
	assert_int_equal(up.heard.answer.ticket, c.ticket);
	return &up.heard.answer;
}

static enum igd_error
error_of(struct link_call c)
{
	return ask_worker(c)->error;
}

/* --- beds --- */

static int
set_up(void **state)
{
	static struct config_lan lans[LANS] = {{"br-lan"}, {"br-guest"}};
	static struct config_upnp upnp = {
	    .on = true,
	    .http_port = 5431,
	    .friendly_name = (char *)"gateway",
	    .model_name = (char *)"portlease",
	    .ssdp_interval = 600,
	    .http_requests_per_second = 1000,
	    .http_connections_per_client = 100,
	    .http_connections = 1000,
	    .http_request_timeout = 15,
	    .http_answer_timeout = 45,
	    .event_subscriptions_per_client = 64,
	    .event_subscriptions = 1024,
	    .ssdp_searches_per_second = 50,
	    .ssdp_searches_per_second_total = 500,
	    .read_others_mappings = true,
	};

	if (bed_set_up(state) != 0)
		return -1;
	memset(&up, 0, sizeof(up));
	up.base = event_base_new();
	up.config = (struct config){.lan = lans, .lans = LANS, .upnp = upnp};
	for (size_t i = 0; i < LANS; i++) {
		struct network_interface *lan = &up.lan[i];
		char text[32];

		up.fd[i] = -1;
		*lan = (struct network_interface){
		    .index = (unsigned)(3 + i), .up = true, .addresses = 1, .ipv6_addresses = 1};
		snprintf(text, sizeof(text), "192.168.%zu.1", i + 1);
		lan->address[0].address = address(text);
		snprintf(text, sizeof(text), "192.168.%zu.0/24", i + 1);
		assert_true(prefix_parse(text, &lan->address[0].prefix));
		lan->ipv6_address[0].address = address("fe80::1");
		assert_true(prefix_parse("fe80::/64", &lan->ipv6_address[0].prefix));
	}
	return 0;
}

static void
start(void)
{
	up.upnp = upnp_new(&(struct upnp_options){
	    .base = up.base,
	    .engine = bed.engine,
	    .config = &up.config,
	    .uuid = uuid,
	    .spawn = spawn,
	    .next_boot_id = next_boot_id,
	    .counters = counters,
	    .same_host = same_host,
	    .changed = changed,
	    .arg = &up,
	    .patience = up.patience,
	});
	assert_non_null(up.upnp);
	for (size_t i = 0; i < LANS; i++)
		upnp_set_lan(up.upnp, i, &up.lan[i]);
	upnp_set_wan(up.upnp, true, 1000000000);
	upnp_start(up.upnp);
	for (size_t i = 0; i < LANS; i++) {
		be_spawned(i);
		expect(i, LINK_SETUP);
		expect(i, LINK_LAN);
		expect(i, LINK_STATE);
		assert_false(hear(i));
	}
}

static int
set_up_started(void **state)
{
	if (set_up(state) != 0)
		return -1;
	start();
	return 0;
}

static int
tear_down(void **state)
{
	upnp_free(up.upnp);
	for (size_t i = 0; i < LANS; i++)
		if (up.fd[i] >= 0)
			close(up.fd[i]);
	event_base_free(up.base);
	return bed_tear_down(state);
}

/* Through the engine, not the link: count mappings of clients 192.168.1.2 and on, 100 each. */
static void
fill(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		submit(upnp_add(
		    wish(2 + i / 100, UDP, (uint16_t)(10000 + i), (uint16_t)(10000 + i), 3600)));
		if (i % 64 == 63)
			flush();
	}
	flush();
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), count);
	upnp_changed(up.upnp);
	loop();
	hear_all(0);
	hear_all(1);
}

/* --- what a worker is told --- */

static void
a_worker_learns_what_it_must_know(void **state)
{
	const struct link_setup *s = &up.heard.setup;
	const struct link_lan *l = &up.heard.lan;

	(void)state;
	up.config.upnp.strict_ssdp = true;
	up.config.log_level = LOG_LEVEL_WARNING;
	up.config.log_target = LOG_TARGET_SYSLOG;
	up.config.upnp.serial_number = (char *)"77";
	start();
	be_spawned(0);
	expect(0, LINK_SETUP);
	assert_true(s->view_1 && s->view_2 && s->strict_ssdp);
	assert_int_equal(s->http_port, 5431);
	assert_int_equal(s->ssdp_interval, 600);
	assert_int_equal(s->http_requests_per_second, 1000);
	assert_int_equal(s->http_connections_per_client, 100);
	assert_int_equal(s->http_connections, 1000);
	assert_int_equal(s->http_request_timeout, 15);
	assert_int_equal(s->http_answer_timeout, 45);
	assert_int_equal(s->event_subscriptions_per_client, 64);
	assert_int_equal(s->event_subscriptions, 1024);
	assert_int_equal(s->ssdp_searches_per_second, 50);
	assert_int_equal(s->ssdp_searches_per_second_total, 500);
	assert_int_equal(s->log_level, LOG_LEVEL_WARNING);
	assert_true(s->log_to_syslog);
	assert_string_equal(s->friendly_name, "gateway");
	assert_string_equal(s->model_name, "portlease");
	assert_string_equal(s->model_number, "");
	assert_string_equal(s->serial_number, "77");
	assert_string_equal(s->presentation_url, "");
	assert_string_equal(s->version, PORTLEASE_VERSION);
	assert_string_equal(s->udn[0], "uuid:01234567-89ab-cdef-0123-456789abcdef");
	assert_string_equal(s->udn[1], "uuid:01234567-89ab-cdef-0123-456789abcdf0");
	assert_string_equal(s->udn[2], "uuid:01234567-89ab-cdef-0123-456789abcdf1");
	expect(0, LINK_LAN);
	assert_string_equal(l->interface, "br-lan");
	assert_int_equal(l->index, 3);
	assert_true(l->up);
	assert_int_equal(l->boot_id, 3);
	assert_int_equal(l->addresses, 2);
	assert_memory_equal(&l->address[0], &up.lan[0].address[0], sizeof(l->address[0]));
	assert_memory_equal(&l->address[1], &up.lan[0].ipv6_address[0], sizeof(l->address[1]));
	expect(0, LINK_STATE);
	be_spawned(1);
	expect(1, LINK_SETUP);
	assert_string_equal(s->udn[0], "uuid:01234567-89ab-cdef-0123-456789abcdf2");
}

static uint32_t
config_id_now(void)
{
	be_spawned(0);
	expect(0, LINK_SETUP);
	hear_all(1);
	return up.heard.setup.config_id;
}

static void
views_and_configuration_number_follow_the_configuration(void **state)
{
	uint32_t first = config_id_now();

	(void)state;
	assert_int_equal(first >> 24, 0);
	assert_int_equal(config_id_now(), first);
	up.config.upnp.http_connections = 10; /* of which no description tells */
	up.config.log_level = LOG_LEVEL_DEBUG;
	assert_int_equal(config_id_now(), first);
	up.config.upnp.friendly_name = (char *)"other";
	assert_int_not_equal(config_id_now(), first);
	up.config.upnp.igd_version = CONFIG_IGD_1;
	config_id_now();
	assert_true(up.heard.setup.view_1 && !up.heard.setup.view_2);
	up.config.upnp.igd_version = CONFIG_IGD_2;
	config_id_now();
	assert_true(!up.heard.setup.view_1 && up.heard.setup.view_2);
}

static void
news_of_a_lan_goes_to_its_worker(void **state)
{
	uint32_t boot_id = up.boot_id;

	(void)state;
	upnp_set_lan(up.upnp, 0, &up.lan[0]);
	assert_false(hear(0));
	up.lan[0].up = false;
	upnp_set_lan(up.upnp, 0, &up.lan[0]);
	assert_false(expect(0, LINK_LAN)->lan.up);
	assert_true(up.heard.lan.boot_id > boot_id);
	assert_false(hear(0) || hear(1));
	up.lan[1] = (struct network_interface){.index = 0};
	upnp_set_lan(up.upnp, 1, &up.lan[1]);
	assert_int_equal(expect(1, LINK_LAN)->lan.index, 0);
	assert_int_equal(up.heard.lan.addresses, 0);
}

static void
the_state_is_told_when_it_changes(void **state)
{
	const struct link_state *s = &up.heard.state;
	monotime first = bed.now;

	(void)state;
	upnp_changed(up.upnp);
	assert_false(hear(0));
	wait_ms(5000);
	upnp_set_wan(up.upnp, false, 0);
	expect(0, LINK_STATE);
	expect(1, LINK_STATE);
	assert_false(s->link_up);
	assert_int_equal(s->upstream, 0);
	assert_true(s->connected);
	assert_int_equal(s->connected_since, first);
	upnp_set_wan(up.upnp, true, 5000000000);
	expect(0, LINK_STATE);
	assert_true(s->link_up);
	assert_int_equal(s->upstream, 5000000000);
	assert_int_equal(s->downstream, 5000000000);
	set_wan(NULL);
	upnp_changed(up.upnp);
	expect(0, LINK_STATE);
	assert_false(s->connected);
	assert_true(address_is_unspecified(&s->external));
	wait_ms(5000);
	set_wan("203.0.113.6");
	upnp_changed(up.upnp);
	expect(0, LINK_STATE);
	assert_true(s->connected);
	assert_int_equal(s->connected_since, first + 10000);
}

static void
changes_by_anybody_are_told(void **state)
{
	uint32_t id;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 5000, 5000, 60)));
	upnp_changed(up.upnp);
	assert_int_equal(expect(0, LINK_STATE)->state.entries, 1);
	id = up.heard.state.system_update_id;
	/* A renewal is no change. */
	ask(natpmp_map(wish(2, UDP, 5000, 5000, 60)));
	upnp_changed(up.upnp);
	assert_false(hear(0));
	pass(61);
	upnp_changed(up.upnp);
	assert_int_equal(expect(0, LINK_STATE)->state.entries, 0);
	assert_int_equal(up.heard.state.system_update_id, id + 1);
}

/* --- calls --- */

static void
a_mapping_is_made_and_told(void **state)
{
	struct link_call add = call(IGD_AddPortMapping, 2);
	const struct lease *lease;

	(void)state;
	strcpy(add.user_agent, "Game/1 \"quoted\"");
	say(add);
	loop();
	/* The state first: who is answered may subscribe at once, and be told of it. */
	assert_int_equal(expect(0, LINK_STATE)->state.entries, 1);
	assert_int_equal(expect(0, LINK_ANSWER)->answer.error, IGD_OK);
	assert_int_equal(up.heard.answer.ticket, up.ticket);
	assert_int_equal(expect(1, LINK_STATE)->state.entries, 1);
	assert_non_null(kernel_at(UDP, 4000));
	lease = lease_at(UDP, 4000);
	assert_int_equal(lease->record.origin, ORIGIN_UPNP);
	assert_int_equal(lease->record.lifetime, 3600);
	assert_string_equal(lease->record.description, "game");
	assert_string_equal(lease->record.user_agent, "Game/1 \"quoted\"");
	assert_true(
	    address_equal(&lease->record.internal.address, (&(struct address[]){host(2)})[0]));
}

static void
one_kept_but_not_forwarded(void **state)
{
	struct link_call c = call(IGD_AddPortMapping, 2);

	(void)state;
	c.call.entry.enabled = false;
	assert_int_equal(error_of(c), IGD_OK);
	assert_null(kernel_at(UDP, 4000));
	assert_false(ask_worker(call(IGD_GetSpecificPortMappingEntry, 2))->entry.enabled);
	c.call.entry.enabled = true;
	assert_int_equal(error_of(c), IGD_OK);
	assert_non_null(kernel_at(UDP, 4000));
	assert_true(ask_worker(call(IGD_GetSpecificPortMappingEntry, 2))->entry.enabled);
}

static void
errors_of_adding(void **state)
{
	struct link_call c;

	(void)state;
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
	assert_int_equal(error_of(call(IGD_AddPortMapping, 3)), IGD_CONFLICT);
	c = call(IGD_AddPortMapping, 2);
	c.call.entry.internal.address = host(3);
	assert_int_equal(error_of(c), IGD_NOT_AUTHORIZED); /* though it is taken, too */
	c = call_about(IGD_AddPortMapping, 2, 4001);
	c.call.entry.internal.address = host(3);
	assert_int_equal(error_of(c), IGD_NOT_AUTHORIZED);
	in_version_1(&c);
	assert_int_equal(error_of(c), IGD_CONFLICT);
	c = call_about(IGD_AddPortMapping, 2, 4001);
	c.call.entry.external_port = 80;
	assert_int_equal(error_of(c), IGD_NOT_AUTHORIZED);
	ask(pcp_map(wish(2, UDP, 6000, 6000, 600), 1));
	c = call_about(IGD_AddPortMapping, 2, 6000);
	assert_int_equal(error_of(c), IGD_OK);
	c.call.entry.internal.port = 6001;
	c.ticket = ++up.ticket;
	assert_int_equal(error_of(c), IGD_OTHER_MECHANISM);
	in_version_1(&c);
	assert_int_equal(error_of(c), IGD_CONFLICT);
	fake_firewall_fail_commits(bed.firewall, 2, ENOBUFS);
	assert_int_equal(error_of(call_about(IGD_AddPortMapping, 2, 4002)), IGD_NO_PORT_MAPS);
	c = call_about(IGD_AddPortMapping, 2, 4002);
	in_version_1(&c);
	assert_int_equal(error_of(c), IGD_ACTION_FAILED);
	assert_int_equal(error_of(call_about(IGD_AddPortMapping, 2, 4002)), IGD_OK);
	set_wan(NULL);
	assert_int_equal(error_of(call_about(IGD_AddPortMapping, 2, 4003)), IGD_ACTION_FAILED);
}

static void
any_port(void **state)
{
	struct link_call c = call(IGD_AddAnyPortMapping, 2);

	(void)state;
	assert_int_equal(ask_worker(c)->entry.external_port, 4000);
	c = call(IGD_AddAnyPortMapping, 3);
	assert_int_equal(ask_worker(c)->error, IGD_OK);
	assert_int_not_equal(up.heard.answer.entry.external_port, 4000);
	assert_non_null(kernel_at(UDP, up.heard.answer.entry.external_port));
	c = call(IGD_AddAnyPortMapping, 4);
	c.call.entry.external_port = 0;
	assert_int_equal(ask_worker(c)->error, IGD_OK);
	assert_int_not_equal(up.heard.answer.entry.external_port, 0);
	c = call(IGD_AddAnyPortMapping, 4);
	c.call.entry.internal.address = host(5);
	assert_int_equal(ask_worker(c)->error, IGD_NOT_AUTHORIZED);
	assert_int_equal(up.heard.answer.entry.external_port, 0);
}

static void
deleting(void **state)
{
	(void)state;
	assert_int_equal(error_of(call(IGD_DeletePortMapping, 2)), IGD_NO_SUCH_ENTRY);
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
	assert_int_equal(error_of(call(IGD_DeletePortMapping, 3)), IGD_NOT_AUTHORIZED);
	assert_non_null(kernel_at(UDP, 4000));
	assert_int_equal(error_of(call(IGD_DeletePortMapping, 2)), IGD_OK);
	assert_null(kernel_at(UDP, 4000));
	ask(pcp_map(wish(2, UDP, 6000, 6000, 600), 1));
	assert_int_equal(error_of(call_about(IGD_DeletePortMapping, 2, 6000)), IGD_NOT_AUTHORIZED);
	ask(natpmp_map(wish(2, UDP, 7000, 7000, 600)));
	assert_int_equal(error_of(call_about(IGD_DeletePortMapping, 2, 7000)), IGD_OK);
	assert_int_equal(error_of(call_about(IGD_AddPortMapping, 2, 8000)), IGD_OK);
	fake_firewall_fail_commits(bed.firewall, 1, ENOBUFS);
	assert_int_equal(error_of(call_about(IGD_DeletePortMapping, 2, 8000)), IGD_ACTION_FAILED);
	assert_non_null(kernel_at(UDP, 8000));
}

static void
one_remote_host_has_an_entry_of_its_own(void **state)
{
	struct link_call c = call(IGD_AddPortMapping, 2);

	(void)state;
	c.call.entry.remote = address("198.51.100.9");
	assert_int_equal(error_of(c), IGD_OK);
	assert_int_equal(error_of(call(IGD_GetSpecificPortMappingEntry, 2)), IGD_NO_SUCH_ENTRY);
	assert_int_equal(error_of(call(IGD_DeletePortMapping, 2)), IGD_NO_SUCH_ENTRY);
	c = call(IGD_GetSpecificPortMappingEntry, 2);
	c.call.entry.remote = address("198.51.100.9");
	assert_int_equal(ask_worker(c)->error, IGD_OK);
	assert_true(address_equal(&up.heard.answer.entry.remote, &c.call.entry.remote));
	c.call.action = IGD_DeletePortMapping;
	assert_int_equal(error_of(c), IGD_OK);
}

static void
entries_are_read(void **state)
{
	const struct igd_entry *e = &up.heard.answer.entry;

	(void)state;
	assert_int_equal(error_of(call(IGD_GetSpecificPortMappingEntry, 2)), IGD_NO_SUCH_ENTRY);
	assert_int_equal(error_of(call(IGD_GetGenericPortMappingEntry, 2)), IGD_INDEX_INVALID);
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
	wait_ms(100500);
	for (unsigned client = 2; client <= 3; client++)
		for (int generic = 0; generic < 2; generic++) {
			struct link_call c = call(generic ? IGD_GetGenericPortMappingEntry
							  : IGD_GetSpecificPortMappingEntry,
						  client);

			assert_int_equal(error_of(c), IGD_OK);
			assert_true(address_is_unspecified(&e->remote));
			assert_int_equal(e->external_port, 4000);
			assert_int_equal(e->transport, UDP);
			assert_true(
			    address_equal(&e->internal.address, (&(struct address[]){host(2)})[0]));
			assert_int_equal(e->internal.port, 4000);
			assert_true(e->enabled);
			assert_string_equal(e->description, "game");
			assert_int_equal(e->lease, 3500);
		}
	ask(pcp_map(wish(3, TCP, 6000, 6000, 600), 1));
	assert_int_equal(error_of(call(IGD_GetGenericPortMappingEntry, 2)), IGD_OK);
	pass(4000);
	assert_int_equal(error_of(call(IGD_GetSpecificPortMappingEntry, 2)), IGD_NO_SUCH_ENTRY);
}

static void
others_entries_can_be_closed_to_readers(void **state)
{
	struct link_call c;

	(void)state;
	up.config.upnp.read_others_mappings = false;
	start();
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
	assert_int_equal(error_of(call(IGD_GetSpecificPortMappingEntry, 2)), IGD_OK);
	assert_int_equal(error_of(call(IGD_GetGenericPortMappingEntry, 2)), IGD_OK);
	assert_int_equal(error_of(call(IGD_GetSpecificPortMappingEntry, 3)), IGD_NOT_AUTHORIZED);
	assert_int_equal(up.heard.answer.entry.external_port, 0);
	assert_int_equal(error_of(call(IGD_GetGenericPortMappingEntry, 3)), IGD_NOT_AUTHORIZED);
	c = call(IGD_GetListOfPortMappings, 3);
	c.call.manage = true;
	assert_int_equal(error_of(c), IGD_MAPPING_NOT_FOUND);
	c = call(IGD_GetListOfPortMappings, 2);
	say(c);
	loop();
	assert_int_equal(expect(0, LINK_ENTRIES)->entries.count, 1);
}

static void
counters_and_controls(void **state)
{
	static const struct {
		enum igd_action action;
		enum igd_error connected, not ;
	} controls[] = {
	    {IGD_SetDefaultConnectionService, IGD_OK, IGD_OK},
	    {IGD_SetConnectionType, IGD_READ_ONLY, IGD_READ_ONLY},
	    {IGD_RequestConnection, IGD_OK, IGD_SETUP_FAILED},
	    {IGD_RequestTermination, IGD_NOT_AUTHORIZED, IGD_ALREADY_TERMINATED},
	    {IGD_ForceTermination, IGD_NOT_AUTHORIZED, IGD_ALREADY_TERMINATED},
	};

	(void)state;
	for (int action = IGD_GetTotalBytesSent; action <= IGD_GetTotalPacketsReceived; action++) {
		up.no_counters = false;
		assert_int_equal(ask_worker(call((enum igd_action)action, 2))->error, IGD_OK);
		assert_int_equal(up.heard.answer.bytes_sent, 1);
		assert_int_equal(up.heard.answer.bytes_received, 2);
		assert_int_equal(up.heard.answer.packets_sent, 3);
		assert_int_equal(up.heard.answer.packets_received, 4);
		up.no_counters = true;
		assert_int_equal(error_of(call((enum igd_action)action, 2)), IGD_ACTION_FAILED);
	}
	for (size_t i = 0; i < COUNT(controls); i++) {
		struct link_call c = call(controls[i].action, 2);

		strcpy(c.call.connection_service,
		       "uuid:01234567-89ab-cdef-0123-456789abcdf1:WANConnectionDevice:2,"
		       "urn:upnp-org:serviceId:WANIPConn1");
		set_wan("203.0.113.5");
		assert_int_equal(error_of(c), controls[i].connected);
		set_wan(NULL);
		assert_int_equal(error_of(c), controls[i].not );
	}
	assert_int_equal(error_of(call(IGD_SetDefaultConnectionService, 2)), IGD_INVALID_DEVICE);
}

/* --- ranges --- */

static void
a_range_is_deleted(void **state)
{
	struct link_call c = call(IGD_DeletePortMappingRange, 2);
	unsigned commits;
	uint64_t changes;

	(void)state;
	fill(200);
	ask(pcp_map(wish(2, UDP, 10500, 10500, 600), 1));
	ask(natpmp_map(wish(2, UDP, 10501, 10501, 600)));
	ask(upnp_add(wish(2, TCP, 10050, 10050, 600)));
	c.call.ports = (struct port_range){10010, 10502};
	c.call.manage = true;
	commits = fake_firewall_commits(bed.firewall);
	changes = engine_table_changes(bed.engine);
	assert_int_equal(error_of(c), IGD_OK);
	/* 90 of his first 100 and the NAT-PMP one: in one transaction, and one operation. */
	assert_int_equal(fake_firewall_commits(bed.firewall), commits + 1);
	assert_int_equal(engine_table_changes(bed.engine), changes + 1);
	assert_int_equal(counted()->deleted, 91);
	assert_int_equal(counted()->removed, 0);
	assert_non_null(strstr(bed.log, "lease: deleted"));
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 203 - 91);
	assert_non_null(kernel_at(UDP, 10009));
	assert_null(kernel_at(UDP, 10010));
	assert_non_null(kernel_at(UDP, 10100)); /* another's */
	assert_non_null(kernel_at(UDP, 10500));
	assert_null(kernel_at(UDP, 10501));
	assert_non_null(kernel_at(TCP, 10050));
	assert_int_equal(error_of(c), IGD_MAPPING_NOT_FOUND);
}

static void
a_range_ends_as_a_whole_or_not_at_all(void **state)
{
	struct link_call c = call(IGD_DeletePortMappingRange, 2);

	(void)state;
	fill(100);
	fake_firewall_fail_commits(bed.firewall, 1, ENOBUFS);
	say(c);
	/* In the same batch, and of a later id: not what the range was about. */
	say(call_about(IGD_AddPortMapping, 2, 20000));
	loop();
	assert_int_equal(expect(0, LINK_ANSWER)->answer.error, IGD_ACTION_FAILED);
	assert_int_equal(up.heard.answer.ticket, c.ticket);
	assert_int_equal(expect(0, LINK_ANSWER)->answer.error, IGD_NO_PORT_MAPS);
	assert_int_equal(fake_firewall_count(bed.firewall), 100);
	assert_int_equal(engine_table_changes(bed.engine), 100);
	say(c);
	say(call_about(IGD_AddPortMapping, 2, 20000));
	loop();
	assert_int_equal(expect(0, LINK_STATE)->state.entries, 1);
	assert_int_equal(expect(0, LINK_ANSWER)->answer.error, IGD_OK);
	assert_int_equal(expect(0, LINK_ANSWER)->answer.error, IGD_OK);
	assert_int_equal(fake_firewall_count(bed.firewall), 1);
}

/* --- lists --- */

/* All pages of a list; returns how many entries there are, or 0 and *error. */
static unsigned
list(struct link_call c, enum igd_error *error)
{
	unsigned count = 0, pages = 0;
	uint16_t last = 0;

	*error = IGD_OK;
	do {
		say(c);
		loop();
		assert_true(hear(0));
		if (up.heard.type == LINK_ANSWER) {
			*error = up.heard.answer.error;
			assert_int_equal(up.heard.answer.ticket, c.ticket);
			return 0;
		}
		assert_int_equal(up.heard.entries.ticket, c.ticket);
		for (size_t i = 0; i < up.heard.entries.count; i++) {
			assert_true(up.heard.entries.entry[i].external_port > last);
			last = up.heard.entries.entry[i].external_port;
		}
		count += up.heard.entries.count;
		c.cursor = up.heard.entries.cursor;
		c.ticket = ++up.ticket;
		assert_true(++pages < 100);
	} while (c.cursor);
	return count;
}

static void
lists_come_in_pages(void **state)
{
	struct link_call c = call(IGD_GetListOfPortMappings, 2);
	enum igd_error error;

	(void)state;
	assert_int_equal(list(c, &error), 0);
	assert_int_equal(error, IGD_MAPPING_NOT_FOUND);
	fill(3000);
	c.call.manage = true;
	assert_int_equal(list(c, &error), 3000);
	c.call.limit = 1000;
	assert_int_equal(list(c, &error), 1000);
	c.call.limit = LINK_PAGE;
	assert_int_equal(list(c, &error), LINK_PAGE);
	c.call.limit = 0;
	c.call.ports = (struct port_range){12000, 12099};
	assert_int_equal(list(c, &error), 100);
	c.call.ports = (struct port_range){12999, 12999};
	assert_int_equal(list(c, &error), 1);
	c.call.ports = (struct port_range){13000, 65535};
	assert_int_equal(list(c, &error), 0);
	assert_int_equal(error, IGD_MAPPING_NOT_FOUND);
	c.call.ports = (struct port_range){0, 65535};
	c.call.entry.transport = TCP;
	assert_int_equal(list(c, &error), 0);
	assert_int_equal(error, IGD_MAPPING_NOT_FOUND);
	c.call.entry.transport = UDP;
	c.call.manage = false;
	assert_int_equal(list(c, &error), 100);
	c.client = host(31);
	assert_int_equal(list(c, &error), 100);
	c.client = host(77);
	assert_int_equal(list(c, &error), 0);
	assert_int_equal(error, IGD_MAPPING_NOT_FOUND);
}

static void
a_page_does_not_repeat_what_changed_meanwhile(void **state)
{
	struct link_call c = call(IGD_GetListOfPortMappings, 2);

	(void)state;
	fill(200);
	c.call.manage = true;
	say(c);
	loop();
	assert_int_equal(expect(0, LINK_ENTRIES)->entries.entry[LINK_PAGE - 1].external_port,
			 10000 + LINK_PAGE - 1);
	c.cursor = up.heard.entries.cursor;
	ask(upnp_delete(wish(2, UDP, 10000, 10000, 0)));
	ask(upnp_delete(wish(2, UDP, 10064, 10064, 0)));
	say(c);
	loop();
	assert_int_equal(expect(0, LINK_ENTRIES)->entries.entry[0].external_port, 10065);
}

/* Whatever a worker makes up, there is an answer, and an end. */
static void
any_cursor_is_answered(void **state)
{
	static const uint64_t cursors[] = {1, UINT64_MAX, (uint64_t)1 << 48,
					   ((uint64_t)1 << 48) - 1, (uint64_t)0xffff << 48};
	struct link_call c = call(IGD_GetListOfPortMappings, 2);
	enum igd_error error;

	(void)state;
	fill(100);
	for (size_t i = 0; i < COUNT(cursors); i++) {
		c.cursor = cursors[i];
		assert_true(list(c, &error) <= 100);
	}
}

static void
a_walk_sees_every_entry_once(void **state)
{
	enum { ENTRIES = 3000 };
	struct link_call c = call(IGD_GetGenericPortMappingEntry, 2);

	(void)state;
	fill(ENTRIES);
	for (uint16_t i = 0; i < ENTRIES; i++) {
		c.call.index = i;
		assert_int_equal(ask_worker(c)->error, IGD_OK);
		assert_int_equal(up.heard.answer.entry.external_port, 10000 + i);
	}
	c.call.index = ENTRIES;
	assert_int_equal(error_of(c), IGD_INDEX_INVALID);
	c.call.index = UINT16_MAX;
	assert_int_equal(error_of(c), IGD_INDEX_INVALID);
	/* Those after one that ended move up. */
	ask(upnp_delete(wish(2, UDP, 10000, 10000, 0)));
	c.call.index = 1000;
	assert_int_equal(ask_worker(c)->entry.external_port, 11001);
	c.call.index = 0;
	assert_int_equal(ask_worker(c)->entry.external_port, 10001);
	c.call.index = ENTRIES - 2;
	assert_int_equal(ask_worker(c)->entry.external_port, 10000 + ENTRIES - 1);
	c.call.index = ENTRIES - 1;
	assert_int_equal(error_of(c), IGD_INDEX_INVALID);
}

/* --- who may call --- */

static void
only_hosts_of_that_lan_are_served(void **state)
{
	static const char *const strangers[] = {"192.168.2.2",	"192.168.1.1", "192.168.1.255",
						"203.0.113.77", "0.0.0.0",     "2001:db8::2",
						"fe80::1",	"::"};

	(void)state;
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
	for (size_t i = 0; i < COUNT(strangers); i++)
		for (int action = 0; action < IGD_ACTIONS; action++) {
			struct link_call c = call((enum igd_action)action, 2);

			if (!link_is_for_core((enum igd_action)action))
				continue;
			c.client = address(strangers[i]);
			if (address_is_ipv4(&c.client))
				c.call.entry.internal.address = c.client;
			assert_int_equal(error_of(c), IGD_NOT_AUTHORIZED);
		}
	assert_int_equal(fake_firewall_count(bed.firewall), 1);
}

/* Everybody may have everything. */
static int
set_up_lenient(void **state)
{
	static struct policy_rule all = {
	    .allow = true,
	    .has_internal_client = true,
	    .transports = CONFIG_TCP | CONFIG_UDP,
	    .external = {1, 65535},
	    .internal = {1, 65535},
	};
	int result;

	prefix_parse("0.0.0.0/0", &all.internal_client);
	bed.rule = &all;
	bed.rules = 1;
	result = set_up_started(state);
	bed.rules = 0;
	return result;
}

/* Nor do their mappings lead anywhere else, whatever the rules leave open. */
static void
mappings_lead_to_hosts_of_that_lan(void **state)
{
	static const char *const elsewhere[] = {"192.168.2.2",	"192.168.1.1", "192.168.1.255",
						"203.0.113.77", "127.0.0.1",   "8.8.8.8"};
	struct link_call c;

	(void)state;
	for (int i = 0; i < 2; i++)
		for (size_t j = 0; j < COUNT(elsewhere); j++) {
			c = call(i ? IGD_AddAnyPortMapping : IGD_AddPortMapping, 2);
			c.call.entry.internal.address = address(elsewhere[j]);
			assert_int_equal(error_of(c), IGD_NOT_AUTHORIZED);
		}
	assert_int_equal(fake_firewall_count(bed.firewall), 0);
	c = call(IGD_AddPortMapping, 2);
	c.call.entry.internal.address = host(3);
	assert_int_equal(error_of(c), IGD_OK);
	assert_true(
	    address_equal(&kernel_at(UDP, 4000)->internal.address, &c.call.entry.internal.address));
}

/* From now on this is host(n)'s, too. */
static void
hold_neighbour(const char *ipv6, unsigned n)
{
	up.neighbour = address(ipv6);
	up.neighbour_is = host(n);
}

static struct link_call
over_ipv6(struct link_call c, const char *ipv6)
{
	c.client = address(ipv6);
	return c;
}

static void
who_speaks_over_ipv6_and_is_not_known_may_look(void **state)
{
	static const struct {
		enum igd_action action;
		enum igd_error error;
	} changes[] = {{IGD_AddPortMapping, IGD_NOT_AUTHORIZED},
		       {IGD_AddAnyPortMapping, IGD_NOT_AUTHORIZED},
		       {IGD_DeletePortMapping, IGD_NOT_AUTHORIZED},
		       {IGD_DeletePortMappingRange, IGD_MAPPING_NOT_FOUND}};
	struct link_call c;

	(void)state;
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
	for (size_t i = 0; i < COUNT(changes); i++) {
		c = over_ipv6(call(changes[i].action, 2), "fe80::2");
		assert_int_equal(error_of(c), changes[i].error);
		if (changes[i].error == IGD_NOT_AUTHORIZED)
			assert_non_null(strstr(bed.log, "request: refused client=fe80::2"));
	}
	c = over_ipv6(call(IGD_AddPortMapping, 2), "fe80::2");
	in_version_1(&c);
	assert_int_equal(error_of(c), IGD_CONFLICT);
	c = over_ipv6(call_about(IGD_DeletePortMapping, 2, 5000), "fe80::2");
	assert_int_equal(error_of(c), IGD_NO_SUCH_ENTRY);
	assert_int_equal(fake_firewall_count(bed.firewall), 1);
	/* A neighbour that it is does not help with another's address. */
	hold_neighbour("fe80::2", 3);
	for (size_t i = 0; i < COUNT(changes); i++)
		assert_int_equal(error_of(over_ipv6(call(changes[i].action, 2), "fe80::2")),
				 changes[i].error);
	assert_int_equal(fake_firewall_count(bed.firewall), 1);
	up.asked = 0;
	for (int action = 0; action < IGD_ACTIONS; action++) {
		c = over_ipv6(call((enum igd_action)action, 2), "fe80::2");
		if (!upnp_reads((enum igd_action)action) || action == IGD_GetListOfPortMappings ||
		    action == IGD_RequestTermination || action == IGD_ForceTermination)
			continue;
		assert_int_not_equal(error_of(c), IGD_NOT_AUTHORIZED);
	}
	assert_int_equal(up.asked, 0);
}

static void
who_speaks_over_ipv6_is_known_by_its_neighbour(void **state)
{
	struct link_call c = over_ipv6(call(IGD_AddPortMapping, 2), "fe80::2");

	(void)state;
	hold_neighbour("fe80::2", 2);
	assert_int_equal(error_of(c), IGD_OK);
	assert_int_equal(up.asked, 1);
	assert_non_null(kernel_at(UDP, 4000));
	/* It is the same client by either family. */
	c = over_ipv6(call_about(IGD_AddPortMapping, 2, 4000), "fe80::2");
	c.call.entry.internal.port = 4444;
	assert_int_equal(error_of(c), IGD_OK);
	assert_int_equal(kernel_at(UDP, 4000)->internal.port, 4444);
	c = over_ipv6(call_about(IGD_AddAnyPortMapping, 2, 4001), "fe80::2");
	assert_int_equal(ask_worker(c)->entry.external_port, 4001);
	assert_int_equal(error_of(over_ipv6(call(IGD_DeletePortMapping, 2), "fe80::2")), IGD_OK);
	assert_null(kernel_at(UDP, 4000));
	/* One that names nothing is who it was found to be, if it still is. */
	c = over_ipv6(call_about(IGD_AddPortMapping, 2, 4002), "fe80::2");
	c.call.entry.internal.address = (struct address){0};
	assert_int_equal(error_of(c), IGD_OK);
	say(over_ipv6(call(IGD_GetListOfPortMappings, 2), "fe80::2"));
	loop();
	hear_all(0);
	assert_int_equal(up.heard.type, LINK_ENTRIES);
	assert_int_equal(up.heard.entries.count, 2);
	c = over_ipv6(call(IGD_DeletePortMappingRange, 2), "fe80::2");
	up.neighbour_is = host(3);
	assert_int_equal(error_of(c), IGD_MAPPING_NOT_FOUND);
	up.neighbour_is = host(2);
	assert_int_equal(error_of(over_ipv6(c, "fe80::3")), IGD_MAPPING_NOT_FOUND);
	assert_int_equal(error_of(c), IGD_OK);
	assert_int_equal(fake_firewall_count(bed.firewall), 0);
}

/* It must be a host of that LAN, whatever neighbours there are. */
static void
no_other_lans_address_is_anybodys_own(void **state)
{
	struct link_call c = over_ipv6(call(IGD_AddPortMapping, 2), "fe80::2");

	(void)state;
	up.neighbour = c.client;
	for (int i = 0; i < 3; i++) {
		c.call.entry.internal.address = up.neighbour_is =
		    i == 0 ? address("192.168.2.2") : host(i == 1 ? 1 : 255);
		assert_int_equal(error_of(c), IGD_NOT_AUTHORIZED);
	}
	assert_int_equal(up.asked, 0);
	c.call.entry.internal.address = up.neighbour_is = host(2);
	assert_int_equal(error_of(c), IGD_OK);
}

static void
own_entries_are_read_over_ipv6_where_others_are_closed(void **state)
{
	static const enum igd_action readers[] = {IGD_GetSpecificPortMappingEntry,
						  IGD_GetGenericPortMappingEntry};

	(void)state;
	up.config.upnp.read_others_mappings = false;
	start();
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
	for (size_t i = 0; i < COUNT(readers); i++) {
		hold_neighbour("fe80::2", 3);
		assert_int_equal(error_of(over_ipv6(call(readers[i], 2), "fe80::2")),
				 IGD_NOT_AUTHORIZED);
		hold_neighbour("fe80::2", 2);
		assert_int_equal(error_of(over_ipv6(call(readers[i], 2), "fe80::2")), IGD_OK);
	}
}

/* --- batches --- */

static void
what_comes_together_shares_a_transaction(void **state)
{
	unsigned commits = fake_firewall_commits(bed.firewall);
	bool heard[UPNP_BATCH] = {false};
	uint32_t first;

	(void)state;
	first = up.ticket + 1;
	for (uint16_t i = 0; i < UPNP_BATCH; i++)
		say(call_about(IGD_AddPortMapping, 2 + i % 8, 20000 + i));
	event_base_loop(up.base, EVLOOP_NONBLOCK);
	assert_int_equal(fake_firewall_commits(bed.firewall), commits + 1);
	assert_int_equal(up.batches, 1);
	assert_int_equal(expect(0, LINK_STATE)->state.entries, UPNP_BATCH);
	for (unsigned i = 0; i < UPNP_BATCH; i++) {
		assert_int_equal(expect(0, LINK_ANSWER)->answer.error, IGD_OK);
		assert_false(heard[up.heard.answer.ticket - first]);
		heard[up.heard.answer.ticket - first] = true;
	}
	assert_false(hear(0));
	assert_int_equal(upnp_worker(up.upnp, 0)->calls, UPNP_BATCH);
	assert_int_equal(upnp_worker(up.upnp, 0)->batches, 1);
	assert_int_equal(upnp_worker(up.upnp, 0)->batch_max, UPNP_BATCH);
	assert_int_equal(upnp_worker(up.upnp, 1)->calls, 0);
}

static void
readers_of_a_batch_see_what_it_changed(void **state)
{
	uint32_t reader;

	(void)state;
	say(call(IGD_GetSpecificPortMappingEntry, 3));
	reader = up.ticket;
	say(call(IGD_AddPortMapping, 2));
	event_base_loop(up.base, EVLOOP_NONBLOCK);
	assert_int_equal(expect(0, LINK_STATE)->state.entries, 1);
	assert_int_equal(expect(0, LINK_ANSWER)->answer.ticket, reader + 1);
	assert_int_equal(expect(0, LINK_ANSWER)->answer.ticket, reader);
	assert_int_equal(up.heard.answer.error, IGD_OK);
	/* And never what it could not bring into the kernel. */
	fake_firewall_fail_commits(bed.firewall, 1, ENOBUFS);
	say(call_about(IGD_GetSpecificPortMappingEntry, 3, 5000));
	say(call_about(IGD_AddPortMapping, 2, 5000));
	event_base_loop(up.base, EVLOOP_NONBLOCK);
	hear_all(0);
	assert_int_equal(up.heard.answer.error, IGD_NO_SUCH_ENTRY);
}

/* Half a thousand leases each, looked at for nothing: the other sockets come in between. */
static void
long_searches_take_turns(void **state)
{
	unsigned heard = 0, first;

	(void)state;
	fill(1000);
	for (unsigned i = 0; i < UPNP_BATCH; i++)
		say(call(IGD_GetListOfPortMappings, 77));
	event_base_loop(up.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	while (hear(0))
		heard++;
	first = heard;
	assert_in_range(first, 1, 10);
	for (unsigned i = 0; i < UPNP_BATCH; i++) {
		event_base_loop(up.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		for (; hear(0); heard++)
			assert_int_equal(up.heard.entries.count, 0);
	}
	assert_int_equal(heard, UPNP_BATCH);
}

static void
many_calls_may_be_in_flight(void **state)
{
	enum { CALLS = 500 };
	static bool answered[CALLS];
	uint32_t first = up.ticket + 1;
	unsigned said = 0, heard = 0;

	(void)state;
	fill(100);
	memset(answered, 0, sizeof(answered));
	for (int turn = 0; turn < 2 * CALLS && heard < CALLS; turn++) {
		while (said < CALLS) {
			struct link_call c = call(IGD_GetGenericPortMappingEntry, 2);
			struct link_message m = {.type = LINK_CALL, .call = c};

			m.call.call.index = (uint16_t)(said % 100);
			if (!try_to_say(0, &m)) {
				up.ticket--;
				break;
			}
			said++;
		}
		event_base_loop(up.base, EVLOOP_NONBLOCK);
		for (; hear(0); heard++) {
			uint32_t number = up.heard.answer.ticket - first;

			assert_int_equal(up.heard.type, LINK_ANSWER);
			assert_true(number < CALLS && !answered[number]);
			answered[number] = true;
			assert_int_equal(up.heard.answer.entry.external_port, 10000 + number % 100);
		}
	}
	assert_int_equal(heard, CALLS);
}

/* --- links --- */

/* Calls until no more are taken; returns how many were. */
static unsigned
flood(enum igd_action action)
{
	unsigned said = 0;

	for (int turns = 0; turns < 20; turns++) {
		struct link_message m = {.type = LINK_CALL, .call = call(action, 2)};

		m.call.call.manage = true;
		if (!try_to_say(0, &m)) {
			up.ticket--;
			event_base_loop(up.base, EVLOOP_NONBLOCK);
		} else {
			said++;
			turns = 0;
		}
		assert_true(said < 20000);
	}
	return said;
}

static void
a_worker_that_does_not_read_is_not_read_either(void **state)
{
	uint64_t taken;
	unsigned said, heard = 0;

	(void)state;
	fill(1000);
	said = flood(IGD_GetListOfPortMappings);
	taken = upnp_worker(up.upnp, 0)->calls;
	loop();
	assert_int_equal(upnp_worker(up.upnp, 0)->calls, taken);
	assert_true(taken < said);
	/* Another LAN's is served, and what it does is not lost on the silent one. */
	ask(upnp_add(wish(2, TCP, 3000, 3000, 600)));
	upnp_changed(up.upnp);
	ask(upnp_add(wish(2, TCP, 3001, 3001, 600)));
	upnp_changed(up.upnp);
	assert_int_equal(expect(1, LINK_STATE)->state.entries, 1001);
	assert_int_equal(expect(1, LINK_STATE)->state.entries, 1002);
	/* It reads on: everything is there, and the state once. */
	for (unsigned states = 0, turns = 0; heard < said && turns < 1000; turns++, loop())
		while (hear(0)) {
			if (up.heard.type == LINK_STATE) {
				assert_int_equal(++states, 1);
				assert_int_equal(up.heard.state.entries, 1002);
				continue;
			}
			assert_int_equal(up.heard.type, LINK_ENTRIES);
			assert_int_equal(up.heard.entries.count, LINK_PAGE);
			heard++;
		}
	assert_int_equal(heard, said);
	assert_int_equal(up.wanted[0], 1);
	assert_int_equal(upnp_worker(up.upnp, 0)->calls, said);
	assert_int_equal(error_of(call(IGD_GetSpecificPortMappingEntry, 2)), IGD_NO_SUCH_ENTRY);
}

static void
patience_with_it_ends(void **state)
{
	struct timeval slice = {0, 10000};

	(void)state;
	up.patience = 60;
	start();
	fill(1000);
	flood(IGD_GetListOfPortMappings);
	/* Others' changes do not prolong it. */
	for (uint16_t i = 0; i < 60 && up.wanted[0] == 1; i++) {
		ask(upnp_add(wish(3, TCP, 3000 + i, 3000 + i, 600)));
		upnp_changed(up.upnp);
		event_base_loopexit(up.base, &slice);
		event_base_dispatch(up.base);
	}
	assert_int_equal(up.wanted[0], 2);
	assert_false(upnp_worker(up.upnp, 0)->there);
	assert_non_null(strstr(bed.log, "it does not read"));
	assert_true(upnp_worker(up.upnp, 1)->there);
	be_spawned(0);
	expect(0, LINK_SETUP);
	hear_all(0);
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
}

static void
a_dead_worker_is_replaced_and_nothing_lost(void **state)
{
	uint32_t boot_id;

	(void)state;
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
	boot_id = up.boot_id;
	say(call_about(IGD_AddPortMapping, 2, 4001));
	close(up.fd[0]);
	up.fd[0] = -1;
	loop();
	assert_int_equal(up.wanted[0], 2);
	assert_int_equal(up.wanted[1], 1);
	assert_false(upnp_worker(up.upnp, 0)->there);
	assert_int_equal(upnp_worker(up.upnp, 0)->pid, 0);
	assert_non_null(kernel_at(UDP, 4000));
	/* Meanwhile nobody is there to be told. */
	ask(natpmp_map(wish(2, TCP, 5000, 5000, 60)));
	upnp_changed(up.upnp);
	up.lan[0].up = false;
	upnp_set_lan(up.upnp, 0, &up.lan[0]);
	be_spawned(0);
	assert_int_equal(upnp_worker(up.upnp, 0)->started, 2);
	assert_int_equal(upnp_worker(up.upnp, 0)->pid, 4000);
	expect(0, LINK_SETUP);
	assert_true(expect(0, LINK_LAN)->lan.boot_id > boot_id);
	assert_false(up.heard.lan.up);
	assert_int_equal(expect(0, LINK_STATE)->state.entries,
			 lease_table_count(engine_leases(bed.engine)));
	assert_false(upnp_worker(up.upnp, 0)->ready);
	assert_true(try_to_say(0, &(struct link_message){.type = LINK_READY}));
	loop();
	assert_true(upnp_worker(up.upnp, 0)->ready);
	assert_int_equal(ask_worker(call(IGD_GetSpecificPortMappingEntry, 2))->error, IGD_OK);
}

static void
no_worker_can_be_had(void **state)
{
	(void)state;
	close(up.fd[0]);
	up.fd[0] = -1;
	loop();
	upnp_spawned(up.upnp, 0, -ENOENT, 0);
	assert_false(upnp_worker(up.upnp, 0)->there);
	assert_true(upnp_worker(up.upnp, 0)->missing);
	assert_int_equal(up.wanted[0], 2);
	upnp_changed(up.upnp);
	be_spawned(0);
	expect(0, LINK_SETUP);
}

static void
what_is_no_message_ends_the_link(void **state)
{
	static uint8_t bytes[LINK_MESSAGE_MAX + 100];
	struct link_message messages[] = {
	    {.type = LINK_STATE}, /* the core's */
	    {.type = LINK_CALL, .call = call(IGD_AddPortMapping, 2)},
	    {.type = LINK_STATS},
	};
	const size_t surplus[] = {0, 1, (size_t)-1};

	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		size_t size = link_encode(&messages[i], bytes, sizeof(bytes)) + surplus[i];

		assert_int_equal(send(up.fd[0], bytes, size, MSG_NOSIGNAL), size);
		/* Nor is anything done that came with it. */
		send(up.fd[0], bytes, size, MSG_NOSIGNAL);
		loop();
		assert_int_equal(up.wanted[0], 2 + i);
		assert_non_null(strstr(bed.log, "it said what it must not"));
		assert_int_equal(fake_firewall_count(bed.firewall), 0);
		be_spawned(0);
		hear_all(0);
	}
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(send(up.fd[0], bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
	loop();
	assert_int_equal(up.wanted[0], 2 + COUNT(messages));
	be_spawned(0);
	hear_all(0);
	assert_int_equal(error_of(call(IGD_AddPortMapping, 2)), IGD_OK);
}

static void
a_worker_counts_for_its_lan(void **state)
{
	struct link_message m = {.type = LINK_STATS, .stats.count = {[LINK_HTTP_REQUESTS] = 77}};

	(void)state;
	assert_true(try_to_say(1, &m));
	loop();
	assert_int_equal(upnp_worker(up.upnp, 1)->stats.count[LINK_HTTP_REQUESTS], 77);
	assert_int_equal(upnp_worker(up.upnp, 0)->stats.count[LINK_HTTP_REQUESTS], 0);
	be_spawned(1);
	assert_int_equal(upnp_worker(up.upnp, 1)->stats.count[LINK_HTTP_REQUESTS], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_started, tear_down)
#define BARE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BARE(a_worker_learns_what_it_must_know),
	    TEST(views_and_configuration_number_follow_the_configuration),
	    TEST(news_of_a_lan_goes_to_its_worker),
	    TEST(the_state_is_told_when_it_changes),
	    TEST(changes_by_anybody_are_told),
	    TEST(a_mapping_is_made_and_told),
	    TEST(one_kept_but_not_forwarded),
	    TEST(errors_of_adding),
	    TEST(any_port),
	    TEST(deleting),
	    TEST(one_remote_host_has_an_entry_of_its_own),
	    TEST(entries_are_read),
	    BARE(others_entries_can_be_closed_to_readers),
	    TEST(counters_and_controls),
	    TEST(a_range_is_deleted),
	    TEST(a_range_ends_as_a_whole_or_not_at_all),
	    TEST(lists_come_in_pages),
	    TEST(a_page_does_not_repeat_what_changed_meanwhile),
	    TEST(any_cursor_is_answered),
	    TEST(a_walk_sees_every_entry_once),
	    TEST(only_hosts_of_that_lan_are_served),
	    cmocka_unit_test_setup_teardown(mappings_lead_to_hosts_of_that_lan, set_up_lenient,
					    tear_down),
	    TEST(who_speaks_over_ipv6_and_is_not_known_may_look),
	    TEST(who_speaks_over_ipv6_is_known_by_its_neighbour),
	    TEST(no_other_lans_address_is_anybodys_own),
	    BARE(own_entries_are_read_over_ipv6_where_others_are_closed),
	    TEST(what_comes_together_shares_a_transaction),
	    TEST(readers_of_a_batch_see_what_it_changed),
	    TEST(long_searches_take_turns),
	    TEST(many_calls_may_be_in_flight),
	    TEST(a_worker_that_does_not_read_is_not_read_either),
	    BARE(patience_with_it_ends),
	    TEST(a_dead_worker_is_replaced_and_nothing_lost),
	    TEST(no_worker_can_be_had),
	    TEST(what_is_no_message_ends_the_link),
	    TEST(a_worker_counts_for_its_lan),
	};

	return cmocka_run_group_tests_name("upnp-frontend", tests, NULL, NULL);
}
