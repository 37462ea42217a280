/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which flow is whose session, and who shares a reading. */
#include "../../daemon/core/sessions.h"
#include "../fakes/fake_flows.h"
#include "requests.h"

static struct lease_table *table;
static struct flows *flows;
static struct sessions *sessions;
static struct lease *game, *cameras;

static struct lease *
lease(struct lease_record record)
{
	struct lease *made;

	record.transport = UDP;
	record.ends = MONOTIME_NEVER;
	made = lease_table_insert(table, &record);
	assert_non_null(made);
	return made;
}

static int
set_up(void **state)
{
	(void)state;
	table = lease_table_new();
	assert_int_equal(flows_open(&flows, NULL), 0);
	sessions = sessions_new(table, flows);
	game = lease((struct lease_record){
	    .external_port = 4000,
	    .internal = {address("192.168.1.2"), 5000},
	});
	cameras = lease((struct lease_record){
	    .origin = ORIGIN_STATIC,
	    .external_port = 30000,
	    .more_ports = 10,
	    .internal = {address("192.168.1.3"), 30000},
	});
	return table && sessions ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	sessions_free(sessions);
	flows_close(flows);
	lease_table_free(table);
	return 0;
}

/* From 198.51.100.7 to a port of the gateway, which bound it to an internal endpoint. */
static struct flow
inbound(uint16_t source, uint16_t port, const char *host, uint16_t internal)
{
	return (struct flow){
	    .transport = UDP,
	    .from = {address("198.51.100.7"), source},
	    .to = {address("203.0.113.5"), port},
	    .reply_from = {address(host), internal},
	    .reply_to = {address("198.51.100.7"), source},
	    .mark = FLOWS_MARK_OURS,
	    .state = FLOW_ASSURED,
	    .timeout = 120,
	};
}

/* From a host inside to 198.51.100.7:9000, through a port of the gateway. */
static struct flow
outbound(const char *host, uint16_t internal, const char *as, uint16_t port)
{
	return (struct flow){
	    .transport = UDP,
	    .from = {address(host), internal},
	    .to = {address("198.51.100.7"), 9000},
	    .reply_from = {address("198.51.100.7"), 9000},
	    .reply_to = {address(as), port},
	};
}

static void
add(struct flow flow)
{
	fake_flows_add(flows, &flow);
}

static struct session_list *
read_all(monotime now)
{
	struct session_list *list = sessions_ask(sessions, now);
	enum session_reading reading;

	assert_non_null(list);
	while ((reading = sessions_read(sessions, list)) == SESSIONS_READING)
		;
	assert_int_equal(reading, SESSIONS_READY);
	return list;
}

static void
flows_are_sessions_of_the_mapping_that_carries_them(void **state)
{
	struct flow ended = inbound(3, 4000, "192.168.1.2", 5000),
		    admins = inbound(4, 4000, "192.168.1.2", 5000);
	const struct session *session;
	struct session_list *list;

	(void)state;
	ended.mark |= FLOWS_MARK_ENDED;
	admins.mark = 0;
	add(inbound(1, 4000, "192.168.1.2", 5000));
	add(inbound(2, 4000, "192.168.1.9", 5000)); /* of a mapping before */
	add(ended);
	add(admins);
	add(inbound(5, 4001, "192.168.1.2", 5000));
	add(outbound("192.168.1.2", 5000, "203.0.113.5", 4000));
	add(outbound("192.168.1.9", 5000, "203.0.113.5", 4000));
	add(outbound("192.168.1.2", 5000, "192.168.1.2", 4000)); /* routed as it is */
	list = read_all(0);
	assert_int_equal(session_count(list, game), 2);
	assert_int_equal(session_count(list, cameras), 0);
	session = session_first(list, game);
	assert_true(session->outbound);
	assert_int_equal(session->remote.port, 9000);
	session = session_next(list, session);
	assert_false(session->outbound);
	assert_int_equal(session->remote.port, 1);
	assert_int_equal(session->state, FLOW_ASSURED);
	assert_int_equal(session->timeout, 120);
	assert_null(session_next(list, session));
	sessions_release(sessions, list);
}

static void
a_range_has_those_of_all_its_ports(void **state)
{
	struct session_list *list;

	(void)state;
	add(inbound(1, 30000, "192.168.1.3", 30000));
	add(inbound(2, 30005, "192.168.1.3", 30005));
	add(inbound(3, 30005, "192.168.1.3", 30005));
	add(inbound(4, 30010, "192.168.1.3", 30010));
	add(inbound(5, 30010, "192.168.1.3", 30011));
	add(inbound(6, 30011, "192.168.1.3", 30011));
	list = read_all(0);
	assert_int_equal(session_count(list, cameras), 4);
	assert_int_equal(session_first(list, cameras)->port, 30000);
	sessions_release(sessions, list);
}

static void
who_asks_at_about_the_same_time_shares_a_reading(void **state)
{
	struct session_list *first, *second, *third;

	(void)state;
	for (uint16_t i = 0; i <= FAKE_FLOWS_PIECE; i++)
		add(inbound(i, 4000, "192.168.1.2", 5000));
	first = sessions_ask(sessions, 1000);
	assert_int_equal(sessions_read(sessions, first), SESSIONS_READING);
	second = sessions_ask(sessions, 5000); /* still being read */
	assert_ptr_equal(second, first);
	assert_int_equal(sessions_read(sessions, second), SESSIONS_READY);
	assert_int_equal(sessions_read(sessions, first), SESSIONS_READY);
	sessions_release(sessions, first);
	assert_int_equal(session_count(second, game), FAKE_FLOWS_PIECE + 1);
	/* Of a second ago is old. */
	third = read_all(2000);
	assert_ptr_not_equal(third, second);
	assert_int_equal(fake_flows_readings(flows), 2);
	sessions_release(sessions, second);
	assert_int_equal(session_count(third, game), FAKE_FLOWS_PIECE + 1);
	assert_ptr_equal(sessions_ask(sessions, 2999), third);
	sessions_release(sessions, third);
	sessions_release(sessions, third);
	sessions_release(sessions, read_all(2999)); /* nobody had it any more */
	assert_int_equal(fake_flows_readings(flows), 3);
}

static void
what_cannot_be_read_is_not_known(void **state)
{
	struct session_list *list;

	(void)state;
	fake_flows_fail(flows, 1);
	list = sessions_ask(sessions, 0);
	assert_int_equal(sessions_read(sessions, list), SESSIONS_FAILED);
	assert_int_equal(sessions_read(sessions, list), SESSIONS_FAILED);
	sessions_release(sessions, list);
	sessions_release(sessions, read_all(0));
}

static void
every_state_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < FLOW_STATES; i++)
		assert_non_null(session_state_name((enum flow_state)i));
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(flows_are_sessions_of_the_mapping_that_carries_them),
	    TEST(a_range_has_those_of_all_its_ports),
	    TEST(who_asks_at_about_the_same_time_shares_a_reading),
	    TEST(what_cannot_be_read_is_not_known),
	    TEST(every_state_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
