/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker link: every message there and back, and what must not be let through. */
#include "../../protocols/worker_link.h"

#include "hex.h"

static uint8_t bytes[LINK_MESSAGE_MAX];
static struct link_message got;

static struct address
address(const char *text)
{
	struct address a;

	assert_true(address_parse(text, &a));
	return a;
}

static enum link_side
sender_of(enum link_type type)
{
	return type < LINK_READY ? LINK_CORE : LINK_WORKER;
}

/* There and back, and the same bytes again. */
static size_t
travel(struct link_message *m)
{
	static uint8_t again[LINK_MESSAGE_MAX];
	size_t size = link_encode(m, bytes, sizeof(bytes));

	assert_int_not_equal(size, 0);
	memset(&got, 0xa5, sizeof(got));
	assert_true(link_decode(sender_of(m->type), bytes, size, &got));
	assert_int_equal(got.type, m->type);
	assert_int_equal(link_encode(&got, again, sizeof(again)), size);
	assert_memory_equal(again, bytes, size);
	return size;
}

static bool
arrives(struct link_message *m)
{
	size_t size = link_encode(m, bytes, sizeof(bytes));

	return size != 0 && link_decode(sender_of(m->type), bytes, size, &got);
}

static struct igd_entry
an_entry(void)
{
	return (struct igd_entry){
	    .remote = address("198.51.100.9"),
	    .external_port = 4000,
	    .transport = TRANSPORT_UDP,
	    .internal = {address("192.168.1.2"), 5000},
	    .enabled = true,
	    .description = "t\xc3\xa9l\xc3\xa9",
	    .lease = 3600,
	};
}

static struct link_message
a_call(enum igd_action action)
{
	return (struct link_message){
	    .type = LINK_CALL,
	    .call =
		{
		    .ticket = 0x01020304,
		    .client = address("192.168.1.2"),
		    .cursor = 0x1122334455667788,
		    .user_agent = "Client/1.0",
		    .call =
			{
			    .action = action,
			    .view = IGD_VIEW_2,
			    .version =
				igd_service_version(igd_action_row(action)->service, IGD_VIEW_2),
			    .entry = an_entry(),
			    .index = 77,
			    .ports = {1024, 2048},
			    .manage = true,
			    .limit = 5,
			    .connection_service = "uuid:x",
			},
		},
	};
}

static struct link_message
a_setup(void)
{
	return (struct link_message){
	    .type = LINK_SETUP,
	    .setup =
		{
		    .view_2 = true,
		    .strict_ssdp = true,
		    .http_port = 5431,
		    .config_id = 0xabcdef,
		    .ssdp_interval = 600,
		    .http_requests_per_second = 1000,
		    .http_connections_per_client = 100,
		    .http_connections = 900,
		    .http_request_timeout = 15,
		    .http_answer_timeout = 45,
		    .event_subscriptions_per_client = 64,
		    .event_subscriptions = 1024,
		    .ssdp_searches_per_second = 50,
		    .ssdp_searches_per_second_total = 500,
		    .log_level = 2,
		    .log_to_syslog = true,
		    .friendly_name = "gateway",
		    .model_name = "model",
		    .model_number = "1",
		    .serial_number = "s",
		    .presentation_url = "http://192.168.1.1/",
		    .udn = {"uuid:a", "uuid:b", "uuid:c"},
		    .version = "0.1.0",
		},
	};
}

static struct link_message
a_lan(void)
{
	struct link_message m = {
	    .type = LINK_LAN,
	    .lan = {.interface = "br-lan", .index = 5, .up = true, .boot_id = 9, .addresses = 2},
	};

	m.lan.address[0].address = address("192.168.1.1");
	assert_true(prefix_parse("192.168.1.0/24", &m.lan.address[0].prefix));
	m.lan.address[1].address = address("fe80::1");
	assert_true(prefix_parse("fe80::/64", &m.lan.address[1].prefix));
	return m;
}

static struct link_message
a_page(uint8_t count)
{
	struct link_message m = {.type = LINK_ENTRIES,
				 .entries = {.ticket = 3, .cursor = 1, .count = count}};

	for (size_t i = 0; i < count; i++)
		m.entries.entry[i] = an_entry();
	return m;
}

static struct link_message
a_message(enum link_type type)
{
	switch (type) {
	case LINK_SETUP:
		return a_setup();
	case LINK_LAN:
		return a_lan();
	case LINK_ENTRIES:
		return a_page(3);
	case LINK_CALL:
		return a_call(IGD_AddPortMapping);
	case LINK_ANSWER:
		return (struct link_message){
		    .type = type,
		    .answer = {.ticket = 4, .entry = an_entry(), .bytes_sent = UINT64_MAX}};
	case LINK_STATE:
		return (struct link_message){.type = type,
					     .state = {.external = address("203.0.113.5"),
						       .connected = true,
						       .connected_since = INT64_MAX,
						       .entries = 12}};
	default:
		return (struct link_message){.type = type};
	}
}

/* --- there and back --- */

static void
setup_arrives(void **state)
{
	struct link_message m = a_setup();

	(void)state;
	assert_int_equal(travel(&m), 4 + 657);
	assert_false(got.setup.view_1);
	assert_true(got.setup.view_2);
	assert_true(got.setup.strict_ssdp);
	assert_int_equal(got.setup.http_port, 5431);
	assert_int_equal(got.setup.config_id, 0xabcdef);
	assert_int_equal(got.setup.ssdp_interval, 600);
	assert_int_equal(got.setup.http_requests_per_second, 1000);
	assert_int_equal(got.setup.http_connections_per_client, 100);
	assert_int_equal(got.setup.http_connections, 900);
	assert_int_equal(got.setup.http_request_timeout, 15);
	assert_int_equal(got.setup.http_answer_timeout, 45);
	assert_int_equal(got.setup.event_subscriptions_per_client, 64);
	assert_int_equal(got.setup.event_subscriptions, 1024);
	assert_int_equal(got.setup.ssdp_searches_per_second, 50);
	assert_int_equal(got.setup.ssdp_searches_per_second_total, 500);
	assert_int_equal(got.setup.log_level, 2);
	assert_true(got.setup.log_to_syslog);
	assert_string_equal(got.setup.friendly_name, "gateway");
	assert_string_equal(got.setup.model_name, "model");
	assert_string_equal(got.setup.model_number, "1");
	assert_string_equal(got.setup.serial_number, "s");
	assert_string_equal(got.setup.presentation_url, "http://192.168.1.1/");
	assert_string_equal(got.setup.udn[IGD_WAN_CONNECTION], "uuid:c");
	assert_string_equal(got.setup.version, "0.1.0");
}

static void
lan_arrives(void **state)
{
	struct link_message m = a_lan();

	(void)state;
	travel(&m);
	assert_string_equal(got.lan.interface, "br-lan");
	assert_int_equal(got.lan.index, 5);
	assert_true(got.lan.up);
	assert_int_equal(got.lan.boot_id, 9);
	assert_int_equal(got.lan.addresses, 2);
	assert_memory_equal(&got.lan.address[1], &m.lan.address[1], sizeof(m.lan.address[1]));
}

static void
state_arrives(void **state)
{
	struct link_message m = {
	    .type = LINK_STATE,
	    .state =
		{
		    .external = address("203.0.113.5"),
		    .connected = true,
		    .connected_since = 0x123456789,
		    .link_up = true,
		    .upstream = 10000000000,
		    .downstream = 20000000000,
		    .entries = 70000,
		    .system_update_id = UINT32_MAX,
		},
	};

	(void)state;
	travel(&m);
	assert_true(address_equal(&got.state.external, &m.state.external));
	assert_true(got.state.connected && got.state.link_up);
	assert_int_equal(got.state.connected_since, 0x123456789);
	assert_int_equal(got.state.upstream, 10000000000);
	assert_int_equal(got.state.downstream, 20000000000);
	assert_int_equal(got.state.entries, 70000);
	assert_int_equal(got.state.system_update_id, UINT32_MAX);
}

static void
assert_is_the_entry(const struct igd_entry *e)
{
	struct igd_entry expected = an_entry();

	assert_true(address_equal(&e->remote, &expected.remote));
	assert_int_equal(e->external_port, 4000);
	assert_int_equal(e->transport, TRANSPORT_UDP);
	assert_true(address_equal(&e->internal.address, &expected.internal.address));
	assert_int_equal(e->internal.port, 5000);
	assert_true(e->enabled);
	assert_string_equal(e->description, expected.description);
	assert_int_equal(e->lease, 3600);
}

static void
an_answer_arrives(void **state)
{
	struct link_message m = {
	    .type = LINK_ANSWER,
	    .answer = {.ticket = 7,
		       .error = IGD_CONFLICT,
		       .entry = an_entry(),
		       .bytes_sent = 1,
		       .bytes_received = 1ull << 40,
		       .packets_sent = 3,
		       .packets_received = 4},
	};

	(void)state;
	travel(&m);
	assert_int_equal(got.answer.ticket, 7);
	assert_int_equal(got.answer.error, IGD_CONFLICT);
	assert_is_the_entry(&got.answer.entry);
	assert_int_equal(got.answer.bytes_received, 1ull << 40);
	assert_int_equal(got.answer.packets_received, 4);
}

static void
an_answer_without_an_entry_arrives(void **state)
{
	struct link_message m = {.type = LINK_ANSWER, .answer.ticket = 7};

	(void)state;
	travel(&m);
	assert_int_equal(got.answer.error, IGD_OK);
	assert_int_equal(got.answer.entry.transport, 0);
}

static void
pages_of_any_length_arrive(void **state)
{
	(void)state;
	for (uint8_t count = 0; count <= LINK_PAGE; count++) {
		struct link_message m = a_page(count);

		travel(&m);
		assert_int_equal(got.entries.count, count);
		assert_int_equal(got.entries.ticket, 3);
		assert_int_equal(got.entries.cursor, 1);
		if (count)
			assert_is_the_entry(&got.entries.entry[count - 1]);
	}
}

static void
calls_arrive(void **state)
{
	struct link_message m = a_call(IGD_GetListOfPortMappings);

	(void)state;
	travel(&m);
	assert_int_equal(got.call.ticket, 0x01020304);
	assert_true(address_equal(&got.call.client, &m.call.client));
	assert_int_equal(got.call.cursor, 0x1122334455667788);
	assert_string_equal(got.call.user_agent, "Client/1.0");
	assert_int_equal(got.call.call.action, IGD_GetListOfPortMappings);
	assert_int_equal(got.call.call.view, IGD_VIEW_2);
	assert_int_equal(got.call.call.version, 2);
	assert_is_the_entry(&got.call.call.entry);
	assert_int_equal(got.call.call.index, 77);
	assert_int_equal(got.call.call.ports.first, 1024);
	assert_int_equal(got.call.call.ports.last, 2048);
	assert_true(got.call.call.manage);
	assert_int_equal(got.call.call.limit, 5);
	assert_string_equal(got.call.call.connection_service, "uuid:x");
}

static void
counts_arrive(void **state)
{
	struct link_message m = {.type = LINK_STATS};

	(void)state;
	for (size_t i = 0; i < LINK_COUNTS; i++)
		m.stats.count[i] = (i + 1) << 33;
	travel(&m);
	assert_memory_equal(&got.stats, &m.stats, sizeof(m.stats));
	m = (struct link_message){.type = LINK_READY};
	assert_int_equal(travel(&m), 4);
}

static void
texts_are_cut_and_nothing_after_them_leaves(void **state)
{
	struct link_message m = a_setup();

	(void)state;
	memset(m.setup.model_name, 'x', sizeof(m.setup.model_name));
	memcpy(m.setup.friendly_name, "a\0secret", 9);
	travel(&m);
	assert_int_equal(strlen(got.setup.model_name), LINK_NUMBER_SIZE - 1);
	assert_string_equal(got.setup.friendly_name, "a");
	assert_null(memmem(bytes, 4 + 657, "secret", 6));
}

/* --- what is refused --- */

static void
each_side_may_send_its_own_messages_only(void **state)
{
	(void)state;
	for (int type = 0; type < LINK_TYPES; type++) {
		struct link_message m = a_message((enum link_type)type);
		size_t size = link_encode(&m, bytes, sizeof(bytes));

		assert_non_null(link_type_name(m.type));
		assert_true(link_decode(sender_of(m.type), bytes, size, &got));
		assert_false(link_decode(sender_of(m.type) == LINK_CORE ? LINK_WORKER : LINK_CORE,
					 bytes, size, &got));
	}
}

static void
every_other_length_is_refused(void **state)
{
	(void)state;
	for (int type = 0; type < LINK_TYPES; type++) {
		struct link_message m = a_message((enum link_type)type);
		size_t size = link_encode(&m, bytes, sizeof(bytes));

		memset(bytes + size, 0, sizeof(bytes) - size);
		for (size_t n = 0; n < size + 300; n++)
			assert_int_equal(link_decode(sender_of(m.type), bytes, n, &got), n == size);
	}
}

static void
no_room_is_said(void **state)
{
	(void)state;
	for (int type = 0; type < LINK_TYPES; type++) {
		struct link_message m = a_message((enum link_type)type);
		size_t size = link_encode(&m, bytes, sizeof(bytes));

		assert_int_equal(link_encode(&m, bytes, size), size);
		assert_int_equal(link_encode(&m, bytes, size - 1), 0);
	}
}

static void
a_wrong_header_is_refused(void **state)
{
	struct link_message m = {.type = LINK_READY};
	size_t size = link_encode(&m, bytes, sizeof(bytes));

	(void)state;
	assert_true(link_decode(LINK_WORKER, bytes, size, &got));
	for (size_t i = 0; i < 4; i++) {
		bytes[i] ^= 0x80;
		assert_false(link_decode(LINK_WORKER, bytes, size, &got));
		bytes[i] ^= 0x80;
	}
	bytes[1] = LINK_TYPES;
	assert_false(link_decode(LINK_WORKER, bytes, size, &got));
}

/* Where the fields of a call are, counted from its end or start. */
enum {
	CALL_AGENT = 32,
	CALL_VIEW = 97,
	CALL_ENTRY = 99,
	CALL_ENABLED = CALL_ENTRY + 37,
	CALL_TEXT = CALL_ENTRY + 38
};

static void
octets_that_cannot_be_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t octet;
	} wrong[] = {
	    {CALL_AGENT, 0xc3},	    {CALL_AGENT, '\n'},
	    {CALL_AGENT + 12, 'x'}, {CALL_VIEW - 1, IGD_ACTIONS},
	    {CALL_VIEW - 1, 0xff},  {CALL_VIEW, 0},
	    {CALL_VIEW, 3},	    {CALL_VIEW + 1, 0},
	    {CALL_VIEW + 1, 3},	    {CALL_ENTRY + 18, 6 + 1},
	    {CALL_ENABLED, 2},	    {CALL_TEXT, 0xff},
	    {CALL_TEXT, 0x1b},	    {CALL_TEXT + 127, 'x'},
	    {CALL_TEXT + 100, 'x'},
	};
	struct link_message m = a_call(IGD_AddPortMapping);
	size_t size = link_encode(&m, bytes, sizeof(bytes));

	(void)state;
	assert_true(link_decode(LINK_WORKER, bytes, size, &got));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint8_t right = bytes[wrong[i].at];

		bytes[wrong[i].at] = wrong[i].octet;
		assert_false(link_decode(LINK_WORKER, bytes, size, &got));
		bytes[wrong[i].at] = right;
	}
	assert_true(link_decode(LINK_WORKER, bytes, size, &got));
}

/* Neither in one octet nor in two. */
static void
texts_steer_no_terminal(void **state)
{
	static const struct {
		const char *text;
		bool plain;
	} cases[] = {
	    {"caf\xc3\xa9 \xc2\xa0", true},
	    {"\xc2\x80", false},
	    {"a\xc2\x9b"
	     "31m",
	     false},
	    {"\xc2\x9f", false},
	    {"\x7f", false},
	};
	struct link_message m = a_call(IGD_AddPortMapping);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strcpy(m.call.call.entry.description, cases[i].text);
		assert_int_equal(arrives(&m), cases[i].plain);
	}
}

/* As if a worker had been taken over: what igd_decode() never gives. */
static void
calls_that_no_client_could_make_are_refused(void **state)
{
	static const enum igd_action naming[] = {IGD_AddPortMapping, IGD_DeletePortMapping,
						 IGD_GetSpecificPortMappingEntry};
	struct link_message m;

	(void)state;
	for (size_t i = 0; i < sizeof(naming) / sizeof(naming[0]); i++) {
		m = a_call(naming[i]);
		assert_true(arrives(&m));
		m.call.call.entry.external_port = 0;
		assert_false(arrives(&m));
		m = a_call(naming[i]);
		m.call.call.entry.transport = (enum transport)0;
		assert_false(arrives(&m));
		m = a_call(naming[i]);
		m.call.call.entry.remote = address("2001:db8::1");
		assert_false(arrives(&m));
		m.call.call.entry.remote = (struct address){0};
		assert_true(arrives(&m));
	}
	m = a_call(IGD_AddAnyPortMapping);
	m.call.call.entry.external_port = 0;
	assert_true(arrives(&m));
	m.call.call.entry.internal.port = 0;
	assert_false(arrives(&m));
	m = a_call(IGD_AddAnyPortMapping);
	m.call.call.entry.internal.address = address("2001:db8::1");
	assert_false(arrives(&m));
	m = a_call(IGD_AddAnyPortMapping);
	m.call.call.entry.lease = IGD_LEASE_MAX;
	assert_true(arrives(&m));
	m.call.call.entry.lease++;
	assert_false(arrives(&m));
	m = a_call(IGD_AddAnyPortMapping);
	m.call.call.view = IGD_VIEW_1;
	assert_false(arrives(&m));
	m.call.call.version = 1;
	assert_false(arrives(&m));
}

static void
ranges_are_in_order(void **state)
{
	struct link_message m = a_call(IGD_DeletePortMappingRange);

	(void)state;
	m.call.call.ports = (struct port_range){7, 7};
	assert_true(arrives(&m));
	m.call.call.ports = (struct port_range){8, 7};
	assert_false(arrives(&m));
	m = a_call(IGD_GetListOfPortMappings);
	m.call.call.entry.transport = (enum transport)0;
	assert_false(arrives(&m));
}

static void
what_the_worker_answers_itself_is_no_call(void **state)
{
	unsigned its_own = 0;

	(void)state;
	for (int action = 0; action < IGD_ACTIONS; action++) {
		struct link_message m = a_call((enum igd_action)action);

		assert_int_equal(arrives(&m), link_is_for_core((enum igd_action)action));
		its_own += !link_is_for_core((enum igd_action)action);
	}
	assert_int_equal(its_own, 6);
	assert_true(link_is_for_core(IGD_GetTotalBytesSent));
	assert_true(link_is_for_core(IGD_ForceTermination));
}

static void
messages_of_the_core_are_checked_too(void **state)
{
	struct link_message m = a_setup();

	(void)state;
	m.setup.view_2 = false;
	assert_false(arrives(&m));
	m = a_lan();
	m.lan.addresses = LINK_ADDRESSES;
	assert_true(arrives(&m));
	m.lan.addresses++;
	assert_false(arrives(&m));
	m = a_lan();
	m.lan.address[0].prefix.length = 129;
	assert_false(arrives(&m));
	m = a_message(LINK_STATE);
	m.state.connected_since = -1;
	assert_false(arrives(&m));
	m = a_message(LINK_ANSWER);
	m.answer.error = (enum igd_error)IGD_BAD_REQUEST;
	assert_false(arrives(&m));
	m.answer.error = (enum igd_error)(IGD_INCONSISTENT + 1);
	assert_false(arrives(&m));
	m = a_page(1);
	m.entries.entry[0].transport = (enum transport)1;
	assert_false(arrives(&m));
}

static void
a_page_has_as_many_entries_as_it_says(void **state)
{
	struct link_message m = a_page(LINK_PAGE);
	size_t size = link_encode(&m, bytes, sizeof(bytes)), count = 4 + 4 + 8;

	(void)state;
	assert_int_equal(bytes[count], LINK_PAGE);
	bytes[count]--;
	assert_false(link_decode(LINK_CORE, bytes, size, &got));
	bytes[count] = 255;
	assert_false(link_decode(LINK_CORE, bytes, size, &got));
	assert_int_equal(got.entries.count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(setup_arrives),
	    cmocka_unit_test(lan_arrives),
	    cmocka_unit_test(state_arrives),
	    cmocka_unit_test(an_answer_arrives),
	    cmocka_unit_test(an_answer_without_an_entry_arrives),
	    cmocka_unit_test(pages_of_any_length_arrive),
	    cmocka_unit_test(calls_arrive),
	    cmocka_unit_test(counts_arrive),
	    cmocka_unit_test(texts_are_cut_and_nothing_after_them_leaves),
	    cmocka_unit_test(each_side_may_send_its_own_messages_only),
	    cmocka_unit_test(every_other_length_is_refused),
	    cmocka_unit_test(no_room_is_said),
	    cmocka_unit_test(a_wrong_header_is_refused),
	    cmocka_unit_test(octets_that_cannot_be_are_refused),
	    cmocka_unit_test(texts_steer_no_terminal),
	    cmocka_unit_test(calls_that_no_client_could_make_are_refused),
	    cmocka_unit_test(ranges_are_in_order),
	    cmocka_unit_test(what_the_worker_answers_itself_is_no_call),
	    cmocka_unit_test(messages_of_the_core_are_checked_too),
	    cmocka_unit_test(a_page_has_as_many_entries_as_it_says),
	};

	return cmocka_run_group_tests_name("worker-link", tests, NULL, NULL);
}
