/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protocols/control.h: the words on the control socket, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../../protocols/control.h"

static struct address
address(const char *text)
{
	struct address a;

	assert_true(address_parse(text, &a));
	return a;
}

static struct control_lease
a_lease(void)
{
	struct control_lease lease;

	memset(&lease, 0, sizeof(lease));
	lease.id = 12345678901;
	lease.origin = ORIGIN_PCP;
	lease.transport = TRANSPORT_UDP;
	lease.external = (struct endpoint){address("203.0.113.5"), 4500};
	lease.internal = (struct endpoint){address("192.168.1.10"), 500};
	lease.lifetime = 7200;
	lease.remaining = 3599;
	lease.age = 42;
	lease.outbound = true;
	lease.connections = 7;
	strcpy(lease.description, "game \"one\"\n\xc3\xa9");
	lease.remote = address("198.51.100.7");
	lease.upnp_index = 3;
	strcpy(lease.user_agent, "A \"b\" \\c");
	lease.live = 2;
	return lease;
}

static void
assert_lease_equal(const struct control_lease *a, const struct control_lease *b)
{
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->origin, b->origin);
	assert_int_equal(a->transport, b->transport);
	assert_memory_equal(&a->external.address, &b->external.address, sizeof(struct address));
	assert_int_equal(a->external.port, b->external.port);
	assert_memory_equal(&a->internal.address, &b->internal.address, sizeof(struct address));
	assert_int_equal(a->internal.port, b->internal.port);
	assert_int_equal(a->more_ports, b->more_ports);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->lifetime, b->lifetime);
	assert_true(a->remaining == b->remaining);
	assert_int_equal(a->age, b->age);
	assert_int_equal(a->outbound, b->outbound);
	assert_int_equal(a->connections, b->connections);
	assert_string_equal(a->description, b->description);
	assert_int_equal(a->enabled, b->enabled);
	assert_memory_equal(&a->remote, &b->remote, sizeof(a->remote));
	assert_int_equal(a->upnp_index, b->upnp_index);
	assert_string_equal(a->user_agent, b->user_agent);
	assert_true(a->live == b->live);
}

/* To a line and back. */
static struct control_reply
over_the_wire(const struct control_reply *reply)
{
	static char line[CONTROL_LINE_MAX];
	char why[CONTROL_WHY_SIZE] = "";
	struct control_reply back;
	size_t length = control_reply_encode(reply, line, sizeof(line));

	assert_true(length > 0);
	assert_int_equal(strlen(line), length);
	assert_ptr_equal(strchr(line, '\n'), line + length - 1);
	if (!control_reply_decode(line, length - 1, &back, why, sizeof(why)))
		fail_msg("%s: %s", line, why);
	assert_int_equal(back.line, reply->line);
	return back;
}

static void
lease_as_documented(void **state)
{
	struct control_lease lease = a_lease();
	char text[CONTROL_LEASE_MAX];

	(void)state;
	assert_true(control_lease_json(&lease, text, sizeof(text)) > 0);
	assert_string_equal(
	    text, "{\"id\":12345678901,\"origin\":\"pcp\",\"transport\":\"udp\","
		  "\"external_address\":\"203.0.113.5\",\"external_port\":4500,"
		  "\"internal_address\":\"192.168.1.10\",\"internal_port\":500,\"ports\":1,"
		  "\"lifetime\":7200,\"remaining\":3599,\"age\":42,\"outbound\":true,"
		  "\"connections\":7,\"name\":null,\"description\":\"game \\\"one\\\"\\n\xc3\xa9\","
		  "\"enabled\":false,\"remote_address\":\"198.51.100.7\","
		  "\"upnp_index\":3,\"user_agent\":\"A \\\"b\\\" \\\\c\",\"live\":2}");
	lease.external.address = address("0.0.0.0");
	lease.remaining = CONTROL_ENDLESS;
	lease.remote = lease.external.address;
	lease.upnp_index = CONTROL_NO_INDEX;
	lease.live = CONTROL_UNKNOWN;
	assert_true(control_lease_json(&lease, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "\"remote_address\":null,\"upnp_index\":null"));
	assert_non_null(strstr(text, "\"external_address\":null"));
	assert_non_null(strstr(text, "\"live\":null"));
	assert_non_null(strstr(text, "\"remaining\":null"));
	lease.remote = address("198.51.100.0");
	lease.remote_length = 120;
	lease.more_ports = 10;
	snprintf(lease.name, sizeof(lease.name), "cameras");
	assert_true(control_lease_json(&lease, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "\"ports\":11"));
	assert_non_null(strstr(text, "\"remote_address\":\"198.51.100.0/24\""));
	assert_non_null(strstr(text, "\"name\":\"cameras\""));
	assert_int_equal(control_lease_json(&lease, text, 100), 0);
}

static void
session_as_documented(void **state)
{
	struct control_reply back, reply = {
				       .line = CONTROL_LINE_SESSION,
				       .session = {.lease = 7,
						   .transport = TRANSPORT_TCP,
						   .external_port = 8080,
						   .remote = {address("198.51.100.7"), 4711},
						   .state = "established",
						   .timeout = 432000},
				   };
	char text[CONTROL_SESSION_MAX];

	(void)state;
	assert_true(control_session_json(&reply.session, text, sizeof(text)) > 0);
	assert_string_equal(text,
			    "{\"lease\":7,\"direction\":\"in\",\"transport\":\"tcp\","
			    "\"external_port\":8080,\"remote_address\":\"198.51.100.7\","
			    "\"remote_port\":4711,\"state\":\"established\",\"timeout\":432000}");
	back = over_the_wire(&reply);
	assert_memory_equal(&back.session, &reply.session, sizeof(back.session));
	reply.session.outbound = true;
	reply.session.transport = TRANSPORT_UDP;
	back = over_the_wire(&reply);
	assert_memory_equal(&back.session, &reply.session, sizeof(back.session));
}

static void
lease_round_trip(void **state)
{
	struct control_reply reply = {.line = CONTROL_LINE_LEASE}, back;

	(void)state;
	reply.lease = a_lease();
	back = over_the_wire(&reply);
	assert_lease_equal(&reply.lease, &back.lease);
	reply.lease.remaining = CONTROL_ENDLESS;
	reply.lease.live = CONTROL_UNKNOWN;
	reply.lease.origin = ORIGIN_STATIC;
	reply.lease.transport = TRANSPORT_TCP;
	reply.lease.lifetime = MAPPING_LIFETIME_STATIC;
	reply.lease.internal.address = address("2001:db8::1");
	reply.lease.description[0] = reply.lease.user_agent[0] = '\0';
	reply.lease.enabled = true;
	memset(&reply.lease.remote, 0, sizeof(reply.lease.remote));
	reply.lease.upnp_index = CONTROL_NO_INDEX;
	back = over_the_wire(&reply);
	assert_lease_equal(&reply.lease, &back.lease);
}

static void
description_of_any_octets(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"\xff\xfe x", "?? x"},
	    {"cut \xe2\x82", "cut ??"},
	    {"\xc0\x80", "??"},
	    {"\xed\xa0\x80", "???"},
	    {"\xf5\x80\x80\x80", "????"},
	    {"\xe0\x80\x80", "???"},
	    {"\xf4\x90\x80\x80", "????"},
	    {"\xf0\x9f\x98\x80 \xe2\x82\xac", "\xf0\x9f\x98\x80 \xe2\x82\xac"},
	};
	struct control_reply reply = {.line = CONTROL_LINE_LEASE}, back;
	char line[CONTROL_LEASE_MAX];

	(void)state;
	reply.lease = a_lease();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		strcpy(reply.lease.description, rows[i].in);
		back = over_the_wire(&reply);
		assert_string_equal(back.lease.description, rows[i].out);
	}
	/* The longest line there can be. */
	memset(reply.lease.description, 1, MAPPING_DESCRIPTION_MAX);
	reply.lease.description[MAPPING_DESCRIPTION_MAX] = '\0';
	memset(reply.lease.user_agent, 1, MAPPING_AGENT_MAX);
	reply.lease.user_agent[MAPPING_AGENT_MAX] = '\0';
	reply.lease.upnp_index = CONTROL_NO_INDEX - 1;
	reply.lease.internal.address = address("2001:db8:1111:2222:3333:4444:5555:6666");
	reply.lease.external.address = reply.lease.remote = reply.lease.internal.address;
	reply.lease.id = reply.lease.age = reply.lease.connections = INT64_MAX;
	assert_true(control_reply_encode(&reply, line, sizeof(line)) > 0);
	back = over_the_wire(&reply);
	assert_lease_equal(&reply.lease, &back.lease);
}

static struct control_reply
a_status(void)
{
	struct control_reply reply = {.line = CONTROL_LINE_STATUS};
	struct control_status *s = &reply.status;

	memset(s, 0, sizeof(*s));
	strcpy(s->version, "0.1.0");
	s->pid = 4242;
	s->uptime = 90061;
	s->epoch = 90000;
	s->external = address("203.0.113.5");
	s->nat_pmp = s->upnp = s->forwarding = true;
	s->table_intact = true;
	strcpy(s->journal_fault, "/var/lib/portlease/journal.db: database or disk is full");
	s->journal_refuses = true;
	s->rules = 3;
	for (int o = 0; o < ORIGINS; o++) {
		s->leases[o] = 10 + (unsigned)o;
		s->counters.requests[o] = 20 + (unsigned)o;
	}
	for (int r = 0; r < MAP_RESULTS; r++)
		s->counters.results[r] = 100 + (unsigned)r;
	s->counters.granted = 1;
	s->counters.renewed = 2;
	s->counters.deleted = 3;
	s->counters.expired = 4;
	s->counters.removed = 5;
	s->counters.gone = 15;
	s->counters.idle = 16;
	s->counters.kernel_transactions = 6;
	s->counters.kernel_aborts = 7;
	s->counters.kernel_refusals = 8;
	s->counters.journal_refusals = 15;
	s->counters.table_restores = 9;
	s->counters.address_changes = 10;
	s->counters.batches = 11;
	s->counters.largest_batch = 12;
	s->counters.flow_passes = 13;
	s->counters.flows_ended = 14;
	return reply;
}

static const struct control_worker a_worker = {
    .state = CONTROL_WORKER_READY,
    .pid = 4243,
    .starts = 1,
    .calls = 2,
    .batches = 3,
    .largest_batch = 4,
    .stats = {{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
};

static void
status_round_trip(void **state)
{
	struct control_reply reply = a_status(), back;
	struct control_status *s = &reply.status;

	(void)state;
	s->interfaces = 2;
	strcpy(s->interface[0].name, "wan0");
	s->interface[0].index = 2;
	s->interface[0].up = true;
	s->interface[0].addresses = 1;
	s->interface[0].address[0] = (struct prefix){address("203.0.113.5"), 96 + 24};
	strcpy(s->interface[1].name, "br-lan");
	s->interface[1].served = true;
	s->interface[1].addresses = 2;
	s->interface[1].address[0] = (struct prefix){address("192.168.1.1"), 96 + 32};
	s->interface[1].address[1] = (struct prefix){address("2001:db8::1"), 64};
	s->interface[1].udp = (struct control_udp){1, 2, 3, 4, 5, 6};
	s->interface[1].worker = a_worker;
	s->chains = 2;
	s->chain[0] = (struct control_chain){"inet fw4 forward", true, true};
	strcpy(s->chain[1].name, "ip filter FORWARD");
	back = over_the_wire(&reply);
	assert_memory_equal(&back.status, s, sizeof(*s));
	s->interface[1].worker.pid = 0;
	for (int w = CONTROL_WORKER_NONE + 1; w < CONTROL_WORKER_STATES; w++) {
		s->interface[1].worker.state = (enum control_worker_state)w;
		back = over_the_wire(&reply);
		assert_memory_equal(&back.status, s, sizeof(*s));
	}
}

/* As large as the configuration can make it. */
static void
status_largest(void **state)
{
	struct control_reply reply = a_status(), back;
	struct control_status *s = &reply.status;

	(void)state;
	s->interfaces = CONTROL_INTERFACES;
	for (int i = 0; i < CONTROL_INTERFACES; i++) {
		memset(s->interface[i].name, 'x', CONTROL_NAME_SIZE - 1);
		s->interface[i].index = INT32_MAX;
		s->interface[i].addresses = CONTROL_ADDRESSES;
		for (int a = 0; a < CONTROL_ADDRESSES; a++)
			s->interface[i].address[a] =
			    (struct prefix){address("100.100.100.100"), 128};
		if (i == 0)
			continue;
		/* Nothing but numbers, which JSON has of 63 bits. */
		for (size_t n = 0; n < sizeof(s->interface[i].udp) / sizeof(uint64_t); n++)
			((uint64_t *)&s->interface[i].udp)[n] = INT64_MAX;
		for (size_t n = 0; n < LINK_COUNTS; n++)
			s->interface[i].worker.stats.count[n] = INT64_MAX;
		s->interface[i].worker.state = CONTROL_WORKER_RESPAWNING;
		s->interface[i].worker.pid = UINT32_MAX;
		s->interface[i].worker.starts = s->interface[i].worker.calls = INT64_MAX;
		s->interface[i].worker.batches = s->interface[i].worker.largest_batch = INT64_MAX;
	}
	s->chains = CONTROL_CHAINS;
	for (int i = 0; i < CONTROL_CHAINS; i++)
		memset(s->chain[i].name, 'x', CONTROL_CHAIN_SIZE - 1);
	back = over_the_wire(&reply);
	assert_memory_equal(&back.status, s, sizeof(*s));
}

static void
status_as_documented(void **state)
{
	static char text[CONTROL_LINE_MAX];
	struct control_reply reply = a_status();

	(void)state;
	reply.status.chains = 1;
	reply.status.chain[0] = (struct control_chain){"inet fw4 forward", true, false};
	reply.status.interfaces = 2;
	strcpy(reply.status.interface[0].name, "wan0");
	strcpy(reply.status.interface[1].name, "lan0");
	reply.status.interface[1].udp = (struct control_udp){1, 2, 3, 4, 5, 6};
	reply.status.interface[1].worker = a_worker;
	assert_true(control_status_json(&reply.status, text, sizeof(text)) > 0);
	assert_non_null(
	    strstr(text, "\"external_address\":\"203.0.113.5\",\"external_scope\":\"global\""));
	assert_non_null(
	    strstr(text, "\"leases\":{\"static\":10,\"nat-pmp\":11,\"pcp\":12,\"upnp\":13}"));
	assert_non_null(strstr(text,
			       "\"interfaces\":[{\"role\":\"wan\",\"name\":\"wan0\",\"index\":0,"
			       "\"up\":false,\"served\":false,\"addresses\":[],"
			       "\"udp\":null,\"worker\":null},"));
	assert_non_null(strstr(
	    text, "\"addresses\":[],\"udp\":{\"received\":1,\"foreign\":2,\"limited\":3,"
		  "\"ignored\":4,\"refused\":5,\"unsent\":6},\"worker\":{\"state\":\"ready\","
		  "\"pid\":4243,\"starts\":1,\"calls\":2,\"batches\":3,\"largest_batch\":4,"
		  "\"http_connections\":5,\"http_accepted\":6,\"http_surplus\":7,"
		  "\"http_requests\":8,\"http_limited\":9,\"http_refused\":10,"
		  "\"ssdp_searches\":11,\"ssdp_replied\":12,\"ssdp_limited\":13,"
		  "\"gena_subscriptions\":14,\"gena_delivered\":15,\"gena_failed\":16}}]"));
	assert_non_null(strstr(text, "\"foreign_chains\":[{\"chain\":\"inet fw4 forward\","
				     "\"exists\":true,\"has_line\":false}]"));
	assert_non_null(strstr(text, "\"batches\":11,\"largest_batch\":12,"));
	assert_non_null(strstr(text, "\"pcp\":false,\"upnp\":true,"));
	reply.status.interface[1].worker.pid = 0;
	reply.status.interface[1].worker.state = CONTROL_WORKER_MISSING;
	assert_true(control_status_json(&reply.status, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "\"worker\":{\"state\":\"missing\",\"pid\":null,"));
	reply.status.external = address("100.64.0.1");
	assert_true(control_status_json(&reply.status, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "\"external_scope\":\"private\""));
	reply.status.external = address("0.0.0.0");
	assert_true(control_status_json(&reply.status, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "\"external_address\":null,\"external_scope\":null"));
}

static void
results_round_trip(void **state)
{
	struct control_reply reply = {.line = CONTROL_LINE_RESULT}, back;
	char line[128];

	(void)state;
	for (int r = 0; r < CONTROL_RESULTS; r++) {
		reply.result = (enum control_result)r;
		snprintf(reply.message, sizeof(reply.message), "%s", r ? "because" : "");
		back = over_the_wire(&reply);
		assert_int_equal(back.result, r);
		assert_string_equal(back.message, reply.message);
	}
	reply.result = CONTROL_OK;
	reply.message[0] = '\0';
	assert_true(control_reply_encode(&reply, line, sizeof(line)) > 0);
	assert_string_equal(line, "{\"result\":\"ok\"}\n");
	/* One octet too small each: for the newline, and for the NUL. */
	assert_int_equal(control_reply_encode(&reply, line, 16), 0);
	assert_int_equal(control_reply_encode(&reply, line, 17), 16);
	reply = (struct control_reply){.line = CONTROL_LINE_VERSION, .version = "0.1.0"};
	back = over_the_wire(&reply);
	assert_string_equal(back.version, "0.1.0");
	reply = (struct control_reply){.line = CONTROL_LINE_FLUSHED, .flushed = {12, 3}};
	back = over_the_wire(&reply);
	assert_int_equal(back.flushed.removed, 12);
	assert_int_equal(back.flushed.failed, 3);
}

static void
bad_replies(void **state)
{
	static const char *const lines[] = {
	    "",
	    "[]",
	    "{}",
	    "{\"result\":\"fine\"}",
	    "{\"result\":3}",
	    "{\"lease\":{}}",
	    "{\"lease\":7}",
	    "{\"status\":{}}",
	    "{\"version\":7}",
	    "{\"flushed\":7}",
	    "{\"flushed\":{\"removed\":1}}",
	    "{\"version\":\"1234567890123456789012345678901234567890\"}",
	    "{\"result\":\"ok\"",
	    "{\"result\":\"ok\"} x",
	};
	struct control_reply reply;
	char why[CONTROL_WHY_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		why[0] = '\0';
		if (control_reply_decode(lines[i], strlen(lines[i]), &reply, why, sizeof(why)))
			fail_msg("taken: %s", lines[i]);
		assert_true(why[0]);
	}
	/* A newer daemon may say more. */
	assert_true(
	    control_reply_decode("{\"result\":\"ok\",\"new\":1}", 23, &reply, why, sizeof(why)));
}

static void
requests_round_trip(void **state)
{
	static const struct {
		struct control_request request;
		const char *line;
	} rows[] = {
	    {{.command = CONTROL_STATUS}, "{\"command\":\"status\"}\n"},
	    {{.command = CONTROL_VERSION}, "{\"command\":\"version\"}\n"},
	    {{.command = CONTROL_LIST}, "{\"command\":\"list\"}\n"},
	    {{.command = CONTROL_LIST, .filter = {.has_origin = true, .origin = ORIGIN_NATPMP}},
	     "{\"command\":\"list\",\"origin\":\"nat-pmp\"}\n"},
	    {{.command = CONTROL_LIST,
	      .filter = {.has_transport = true, .transport = TRANSPORT_TCP}},
	     "{\"command\":\"list\",\"transport\":\"tcp\"}\n"},
	    {{.command = CONTROL_LIST, .sessions = true},
	     "{\"command\":\"list\",\"sessions\":true}\n"},
	    {{.command = CONTROL_FLUSH}, "{\"command\":\"flush\"}\n"},
	    {{.command = CONTROL_FLUSH, .filter = {.has_origin = true, .origin = ORIGIN_UPNP}},
	     "{\"command\":\"flush\",\"origin\":\"upnp\"}\n"},
	    {{.command = CONTROL_SHOW, .target = {.id = 77}}, "{\"command\":\"show\",\"id\":77}\n"},
	    {{.command = CONTROL_REMOVE, .target = {.transport = TRANSPORT_UDP, .port = 53}},
	     "{\"command\":\"remove\",\"transport\":\"udp\",\"external_port\":53}\n"},
	};
	struct control_request back,
	    client = {.command = CONTROL_LIST, .filter = {.has_client = true}};
	char line[CONTROL_REQUEST_MAX], why[CONTROL_WHY_SIZE];
	size_t length;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		length = control_request_encode(&rows[i].request, line, sizeof(line));
		assert_string_equal(line, rows[i].line);
		assert_true(control_request_decode(line, length - 1, &back, why, sizeof(why)));
		assert_memory_equal(&back, &rows[i].request, sizeof(back));
	}
	assert_true(prefix_parse("192.168.1.0/24", &client.filter.client));
	length = control_request_encode(&client, line, sizeof(line));
	assert_string_equal(line, "{\"command\":\"list\",\"client\":\"192.168.1.0/24\"}\n");
	assert_true(control_request_decode(line, length - 1, &back, why, sizeof(why)));
	assert_memory_equal(&back, &client, sizeof(back));
}

static void
bad_requests(void **state)
{
	static const char *const lines[] = {
	    "",
	    "list",
	    "[\"list\"]",
	    "\"list\"",
	    "null",
	    "{}",
	    "{\"command\":\"list\"",
	    "{\"command\":\"list\"}}",
	    "{\"command\":\"list\",}",
	    "{\"command\":7}",
	    "{\"command\":\"\"}",
	    "{\"command\":\"LIST\"}",
	    "{\"command\":\"shutdown\"}",
	    "{\"command\":\"list\",\"command\":\"list\"}",
	    "{\"command\":\"list\",\"port\":1}",
	    "{\"command\":\"flush\",\"origin\":\"static\"}",
	    "{\"command\":\"flush\",\"sessions\":true}",
	    "{\"command\":\"flush\",\"id\":1}",
	    "{\"command\":\"list\",\"id\":1}",
	    "{\"command\":\"list\",\"client\":\"192.168.1.1/24\"}",
	    "{\"command\":\"list\",\"client\":\"192.168.1\"}",
	    "{\"command\":\"list\",\"client\":7}",
	    "{\"command\":\"list\",\"client\":null}",
	    "{\"command\":\"list\",\"origin\":\"natpmp\"}",
	    "{\"command\":\"list\",\"origin\":[]}",
	    "{\"command\":\"list\",\"transport\":\"sctp\"}",
	    "{\"command\":\"list\",\"transport\":6}",
	    "{\"command\":\"list\",\"client\":\"1.2.3.4\\u0000x\"}",
	    "{\"command\":\"status\",\"id\":1}",
	    "{\"command\":\"version\",\"x\":true}",
	    "{\"command\":\"show\"}",
	    "{\"command\":\"show\",\"id\":0}",
	    "{\"command\":\"show\",\"id\":-1}",
	    "{\"command\":\"show\",\"id\":1.5}",
	    "{\"command\":\"show\",\"id\":\"1\"}",
	    "{\"command\":\"show\",\"id\":9223372036854775808}",
	    "{\"command\":\"show\",\"id\":1,\"transport\":\"tcp\"}",
	    "{\"command\":\"show\",\"transport\":\"tcp\"}",
	    "{\"command\":\"show\",\"external_port\":80}",
	    "{\"command\":\"remove\",\"transport\":\"tcp\",\"external_port\":0}",
	    "{\"command\":\"remove\",\"transport\":\"tcp\",\"external_port\":65536}",
	    "{\"command\":\"remove\",\"transport\":\"icmp\",\"external_port\":80}",
	    "{\"command\":\"remove\",\"transport\":\"tcp\",\"external_port\":80,\"all\":true}",
	    "{\"command\":\"li\xff\"}",
	    "{\"command\":\"status\"}\n{\"command\":\"status\"}",
	};
	struct control_request request;
	char why[CONTROL_WHY_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		why[0] = '\0';
		if (control_request_decode(lines[i], strlen(lines[i]), &request, why, sizeof(why)))
			fail_msg("taken: %s", lines[i]);
		assert_true(why[0]);
	}
}

static void
deep_nesting_is_refused(void **state)
{
	char line[CONTROL_REQUEST_MAX], why[CONTROL_WHY_SIZE];
	struct control_request request;

	(void)state;
	memset(line, '[', sizeof(line));
	assert_false(control_request_decode(line, sizeof(line), &request, why, sizeof(why)));
}

static void
targets(void **state)
{
	static const char *const bad[] = {"",
					  "0",
					  "-1",
					  "+1",
					  " 1",
					  "1 ",
					  "01",
					  "tcp:",
					  "tcp:0",
					  "tcp:65536",
					  "tcp:080",
					  "sctp:1",
					  "tc:1",
					  "tcpx:1",
					  ":1",
					  "tcp:1:2",
					  "TCP:1",
					  "1x",
					  "9223372036854775808",
					  "99999999999999999999999",
					  "0x10",
					  "udp:-1"};
	struct control_target target;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (control_target_parse(bad[i], &target))
			fail_msg("taken: \"%s\"", bad[i]);
	assert_true(control_target_parse("web server", &target));
	assert_string_equal(target.name, "web server");
	assert_true(control_target_parse("12", &target));
	assert_string_equal(target.name, "");
	assert_int_equal(target.id, 12);
	assert_int_equal(target.port, 0);
	assert_true(control_target_parse("9223372036854775807", &target));
	assert_true(target.id == INT64_MAX);
	assert_true(control_target_parse("tcp:8080", &target));
	assert_int_equal(target.id, 0);
	assert_int_equal(target.transport, TRANSPORT_TCP);
	assert_int_equal(target.port, 8080);
	assert_true(control_target_parse("udp:65535", &target));
	assert_int_equal(target.transport, TRANSPORT_UDP);
	assert_int_equal(target.port, 65535);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lease_as_documented),
	    cmocka_unit_test(session_as_documented),
	    cmocka_unit_test(lease_round_trip),
	    cmocka_unit_test(description_of_any_octets),
	    cmocka_unit_test(status_round_trip),
	    cmocka_unit_test(status_largest),
	    cmocka_unit_test(status_as_documented),
	    cmocka_unit_test(results_round_trip),
	    cmocka_unit_test(bad_replies),
	    cmocka_unit_test(requests_round_trip),
	    cmocka_unit_test(bad_requests),
	    cmocka_unit_test(deep_nesting_is_refused),
	    cmocka_unit_test(targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
