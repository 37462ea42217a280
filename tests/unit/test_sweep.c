/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When flows are read, and which mapping carries one; what becomes of them is told by stories. */
#include "../../daemon/core/sweep.h"
#include "../../daemon/base/log.h"
#include "../fakes/fake_flows.h"
#include "requests.h"

static struct lease_table *table;
static struct flows *flows;
static struct counters counters;
static struct sweep *sweep;
static struct firewall_network network;
static unsigned complaints;

bool
log_limited(struct log_limit *limit, enum log_level level, monotime now)
{
	(void)limit;
	(void)level;
	(void)now;
	return true;
}

void
log_line(enum log_level level, const char *topic, const char *event, const char *format, ...)
{
	(void)level;
	(void)topic;
	(void)event;
	(void)format;
	complaints++;
}

static int
set_up(void **state)
{
	(void)state;
	counters = (struct counters){0};
	complaints = 0;
	network = (struct firewall_network){.wan_addresses = 1};
	network.wan_address[0] = address("203.0.113.5");
	table = lease_table_new();
	assert_int_equal(flows_open(&flows, NULL), 0);
	sweep = sweep_new(table, flows, &counters);
	return table && sweep ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	sweep_free(sweep);
	flows_close(flows);
	lease_table_free(table);
	return 0;
}

static struct lease *
lease(uint16_t external, const char *internal, const char *remote)
{
	struct lease_record record = {
	    .transport = UDP,
	    .external_port = external,
	    .internal = {address(internal), 5000},
	    .ends = MONOTIME_NEVER,
	};
	struct lease *made;

	if (remote)
		record.remote = address(remote);
	made = lease_table_insert(table, &record);
	assert_non_null(made);
	return made;
}

/* One that our mapping to 192.168.1.2:5000 bound. */
static void
flow(uint16_t external, uint16_t source)
{
	fake_flows_add(flows, &(struct flow){
				  .transport = UDP,
				  .from = {address("198.51.100.7"), source},
				  .to = {network.wan_address[0], external},
				  .reply_from = {address("192.168.1.2"), 5000},
				  .reply_to = {address("198.51.100.7"), source},
				  .mark = FLOWS_MARK_OURS,
			      });
}

static void
note(uint16_t first, uint16_t last, monotime now)
{
	sweep_note(sweep, UDP, (struct port_range){first, last}, now);
}

static monotime
run(monotime now)
{
	return sweep_run(sweep, &network, now);
}

/* Until it waits for something else than the next piece. */
static monotime
run_through(monotime now)
{
	monotime next;

	while ((next = run(now)) <= now)
		;
	return next;
}

static const struct lease *
carrier(const char *remote)
{
	struct address from = address(remote);

	return sweep_carrier(table, UDP, 4000, &from);
}

static void
a_remote_hosts_own_mapping_comes_first(void **state)
{
	struct lease *own, *any;

	(void)state;
	assert_null(carrier("198.51.100.7"));
	own = lease(4000, "192.168.1.2", "198.51.100.7");
	assert_ptr_equal(carrier("198.51.100.7"), own);
	assert_null(carrier("198.51.100.8"));
	any = lease(4000, "192.168.1.2", NULL);
	assert_ptr_equal(carrier("198.51.100.7"), own);
	assert_ptr_equal(carrier("198.51.100.8"), any);
	own->record.disabled = true;
	assert_ptr_equal(carrier("198.51.100.7"), any);
	any->record.disabled = true;
	assert_null(carrier("198.51.100.7"));
}

static void
a_range_carries_each_of_its_ports(void **state)
{
	struct lease_record record = {
	    .origin = ORIGIN_STATIC,
	    .transport = UDP,
	    .external_port = 3990,
	    .more_ports = 20,
	    .internal = {address("192.168.1.3"), 3990},
	    .remote = address("198.51.100.0"),
	    .remote_length = 120,
	    .ends = MONOTIME_NEVER,
	};
	struct flow in = {
	    .transport = UDP,
	    .from = {address("198.51.100.7"), 5000},
	    .to = {network.wan_address[0], 4000},
	    .reply_from = {address("192.168.1.3"), 4000},
	    .mark = FLOWS_MARK_OURS,
	};
	struct lease *range = lease_table_insert(table, &record), *other;

	(void)state;
	assert_ptr_equal(carrier("198.51.100.7"), range);
	assert_null(carrier("198.51.101.7"));
	/* The same port for other remote hosts. */
	record.external_port = 4000;
	record.more_ports = 0;
	record.remote = address("198.51.101.0");
	other = lease_table_insert(table, &record);
	assert_ptr_equal(carrier("198.51.101.7"), other);
	assert_ptr_equal(carrier("198.51.100.7"), range);
	assert_null(carrier("198.51.102.7"));
	assert_ptr_equal(sweep_inbound(table, &in), range);
	in.to.port = 4001;
	assert_null(sweep_inbound(table, &in));
}

static void
changes_are_gathered_for_one_reading(void **state)
{
	(void)state;
	assert_int_equal(run(1000), MONOTIME_NEVER);
	note(4000, 4000, 1000);
	assert_int_equal(run(1000), 1050);
	note(4001, 4001, 1040);
	assert_int_equal(run(1049), 1050);
	assert_int_equal(fake_flows_readings(flows), 0);
	flow(4000, 1);
	flow(4001, 2);
	flow(4002, 3);
	assert_int_equal(run_through(1050), MONOTIME_NEVER);
	assert_int_equal(fake_flows_readings(flows), 1);
	assert_int_equal(counters.flow_passes, 1);
	assert_int_equal(counters.flows_ended, 2);
	assert_int_equal(fake_flows_count(flows), 1);
	assert_int_equal(fake_flows_get(flows, 0)->from.port, 3);
	note(4002, 4002, 1060);
	assert_int_equal(run(1060), 1150);
	note(4002, 4002, 2000);
	assert_int_equal(run_through(2000), MONOTIME_NEVER);
}

static void
a_range_is_noted_with_both_its_ends(void **state)
{
	(void)state;
	for (uint16_t port = 4000; port < 4010; port++)
		flow(port, port);
	note(4001, 4008, 0);
	note(65535, 65535, 0);
	flow(65535, 1);
	run_through(100);
	assert_int_equal(fake_flows_count(flows), 2);
	assert_int_equal(fake_flows_get(flows, 0)->from.port, 4000);
	assert_int_equal(fake_flows_get(flows, 1)->from.port, 4009);
}

static void
a_change_during_a_reading_has_one_of_its_own(void **state)
{
	(void)state;
	flow(4001, 1);
	for (uint16_t port = 0; port < 2 * FAKE_FLOWS_PIECE; port++)
		flow(4000, port);
	note(4000, 4000, 0);
	assert_int_equal(run(100), 100);
	assert_int_equal(run(100), 100); /* 4001 is passed by */
	note(4001, 4001, 100);
	assert_int_equal(run_through(100), 200);
	assert_int_equal(fake_flows_count(flows), 1);
	assert_int_equal(run_through(200), MONOTIME_NEVER);
	assert_int_equal(fake_flows_count(flows), 0);
}

static void
long_readings_leave_time_for_the_rest(void **state)
{
	(void)state;
	note(4000, 4000, 0);
	assert_int_equal(run(100), 100);
	note(4000, 4000, 150);
	assert_int_equal(run(300), 500); /* it took 200 */
	assert_int_equal(run(499), 500);
	assert_int_equal(fake_flows_readings(flows), 1);
	run_through(500);
	assert_int_equal(fake_flows_readings(flows), 2);
}

/* FTP's data connections end with the mapping of its port 21, and by no change at their own. */
static void
what_a_helper_let_in_belongs_to_its_mapping(void **state)
{
	struct flow data = {
	    .transport = UDP,
	    .from = {address("198.51.100.7"), 50000},
	    .to = {network.wan_address[0], 40000},
	    .reply_from = {address("192.168.1.2"), 40000},
	    .reply_to = {address("198.51.100.7"), 50000},
	    .mark = FLOWS_MARK_OURS,
	    .master_port = 21,
	};
	struct lease *files = lease(21, "192.168.1.2", NULL);

	(void)state;
	fake_flows_add(flows, &data);
	note(21, 21, 0);
	note(40000, 40000, 0);
	run_through(SWEEP_DELAY);
	assert_int_equal(counters.flows_ended, 0);
	lease_table_unlink(table, files, 0);
	lease_table_discard(table, files);
	note(40000, 40000, MONOTIME_SECOND);
	run_through(2 * MONOTIME_SECOND);
	assert_int_equal(counters.flows_ended, 0);
	note(21, 21, 3 * MONOTIME_SECOND);
	run_through(4 * MONOTIME_SECOND);
	assert_int_equal(counters.flows_ended, 1);
	assert_int_equal(fake_flows_count(flows), 0);

	/* Another server has the port now. */
	fake_flows_add(flows, &data);
	lease(21, "192.168.1.3", NULL);
	note(21, 21, 5 * MONOTIME_SECOND);
	run_through(6 * MONOTIME_SECOND);
	assert_int_equal(counters.flows_ended, 2);
}

static void
a_reading_that_fails_is_complained_of_and_tried_again(void **state)
{
	(void)state;
	flow(4000, 1);
	flow(5000, 2);
	fake_flows_fail(flows, 1);
	note(4000, 4000, 0);
	assert_int_equal(run_through(100), 100 + MONOTIME_SECOND);
	assert_int_equal(complaints, 1);
	note(5000, 5000, 100);
	assert_int_equal(run_through(1000), 100 + MONOTIME_SECOND);
	assert_int_equal(fake_flows_count(flows), 2);
	assert_int_equal(run_through(100 + MONOTIME_SECOND), MONOTIME_NEVER);
	assert_int_equal(fake_flows_count(flows), 0);
	assert_int_equal(complaints, 1);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_remote_hosts_own_mapping_comes_first),
	    TEST(a_range_carries_each_of_its_ports),
	    TEST(changes_are_gathered_for_one_reading),
	    TEST(a_range_is_noted_with_both_its_ends),
	    TEST(a_change_during_a_reading_has_one_of_its_own),
	    TEST(long_readings_leave_time_for_the_rest),
	    TEST(what_a_helper_let_in_belongs_to_its_mapping),
	    TEST(a_reading_that_fails_is_complained_of_and_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
