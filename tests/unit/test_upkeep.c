/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which mappings end because their host is gone, or nothing goes through them; and what is asked to
 * find out. */
#include "../../daemon/core/upkeep.h"

#include <errno.h>
#include <limits.h>

#include "../../daemon/base/config.h"
#include "../fakes/fake_flows.h"
#include "engine_bed.h"

#define GONE (300 * MONOTIME_SECOND)
#define IDLE (3600 * MONOTIME_SECOND)

static struct upkeep *upkeep;
static struct flows *flows;
static unsigned probes, looks;
static bool cannot_be_asked;
static enum network_neighbour is[256]; /* the hosts 192.168.1.N */

/* One with a host of the LAN, begun by it or through its mapping. */
static struct talk {
	bool there;
	unsigned host;
	bool own;
	enum flow_state state;
	monotime ends; /* unless there is more traffic */
} talk;

static bool
probe(void *arg, const char *lan, const struct address *host)
{
	(void)arg;
	(void)lan;
	(void)host;
	probes++;
	return !cannot_be_asked;
}

static enum network_neighbour
look(void *arg, const char *lan, const struct address *host)
{
	(void)arg;
	(void)lan;
	looks++;
	return is[host->bytes[15]];
}

static int
set_up(void **state)
{
	probes = looks = 0;
	talk.there = false;
	cannot_be_asked = false;
	for (size_t i = 0; i < COUNT(is); i++)
		is[i] = NETWORK_THERE;
	if (bed_set_up(state) != 0 || flows_open(&flows, NULL) != 0)
		return -1;
	upkeep = upkeep_new(&(struct upkeep_options){
	    .engine = bed.engine, .flows = flows, .probe = probe, .look = look});
	return upkeep ? 0 : -1;
}

static int
tear_down(void **state)
{
	upkeep_free(upkeep);
	flows_close(flows);
	return bed_tear_down(state);
}

static void
place_talk(void)
{
	struct endpoint inside = {host(talk.host), talk.own ? 9000 : 8000};
	struct endpoint outside = {address("198.51.100.7"), 7000};
	struct endpoint wan = {bed.network.wan_address[0], talk.own ? 9000 : 4000};

	fake_flows_clear(flows);
	if (talk.there && talk.ends > bed.now)
		fake_flows_add(flows,
			       &(struct flow){
				   .transport = talk.state < FLOW_UNREPLIED ? TCP : UDP,
				   .from = talk.own ? inside : outside,
				   .to = talk.own ? outside : wan,
				   .reply_from = talk.own ? outside : inside,
				   .reply_to = talk.own ? wan : outside,
				   .mark = talk.own ? 0 : FLOWS_MARK_OURS,
				   .state = talk.state,
				   .timeout = (uint32_t)((talk.ends - bed.now) / MONOTIME_SECOND),
			       });
}

/* As the daemon calls both. */
static void
live_until(monotime until)
{
	for (;;) {
		monotime next = upkeep_run(upkeep, bed.now), engine = run();

		if (engine < next)
			next = engine;
		if (next > until)
			break;
		wait_ms(next > bed.now ? next - bed.now : 0);
	}
	wait_ms(until - bed.now);
}

static void
live(uint32_t seconds)
{
	for (uint32_t i = 0; i < seconds; i++) {
		place_talk();
		live_until(bed.now + MONOTIME_SECOND);
	}
}

static void
look_after(monotime host_gone, monotime idle)
{
	upkeep_set(upkeep, host_gone, idle, bed.now);
}

static void
map(unsigned n, uint16_t external)
{
	assert_int_equal(ask(natpmp_map(wish(n, TCP, external + 4000, external, A_DAY)))->result,
			 MAP_OK);
	assert_non_null(lease_at(TCP, external));
}

static bool
is_there(uint16_t external)
{
	bool there = lease_at(TCP, external) != NULL;

	assert_int_equal(there, kernel_at(TCP, external) != NULL);
	return there;
}

/* A host that has a mapping fails, and its flows were read for the first time. */
static void
fail_host(unsigned n)
{
	unsigned before = fake_flows_readings(flows);

	is[n] = NETWORK_FAILED;
	for (int i = 0; i < 60 && fake_flows_readings(flows) == before; i++)
		live(1);
	assert_int_equal(fake_flows_readings(flows), before + 1);
}

static void
off_asks_for_nothing(void **state)
{
	(void)state;
	map(2, 4000);
	is[2] = NETWORK_FAILED;
	live(A_DAY - 1);
	assert_true(is_there(4000));
	assert_int_equal(probes + looks + fake_flows_readings(flows), 0);
	assert_int_equal(upkeep_run(upkeep, bed.now), MONOTIME_NEVER);
	/* On, with nobody to look after. */
	live(2);
	assert_false(is_there(4000));
	look_after(GONE, IDLE);
	assert_int_equal(upkeep_run(upkeep, bed.now), MONOTIME_NEVER);
	live(A_DAY);
	assert_int_equal(probes + looks + fake_flows_readings(flows), 0);
}

static void
a_host_that_is_gone_leaves_its_ports_to_others(void **state)
{
	uint64_t changes;

	(void)state;
	look_after(GONE, 0);
	map(2, 4000);
	map(2, 4001);
	map(3, 4003);
	live(400);
	assert_int_equal(fake_flows_readings(flows), 0);
	changes = engine_table_changes(bed.engine);
	fail_host(2);
	live(200);
	assert_true(is_there(4000) && is_there(4001));
	live(200);
	assert_false(is_there(4000) || is_there(4001));
	assert_true(is_there(4003));
	assert_int_equal(counted()->gone, 2);
	assert_int_equal(counted()->removed + counted()->idle, 0);
	assert_int_equal(engine_table_changes(bed.engine), changes + 2);
	assert_non_null(strstr(bed.log, "lease: host-gone "));
	/* No port rests, as one that was deleted does. */
	map(4, 4000);
	ask(natpmp_delete(wish(4, TCP, 8000, 0, 0)));
	assert_int_equal(ask(natpmp_map(wish(5, TCP, 8000, 4000, A_DAY)))->result, MAP_OK);
	assert_null(lease_at(TCP, 4000));
	check_agreement();
}

static void
what_is_said_of_a_host_meanwhile(void **state)
{
	static const struct {
		enum network_neighbour meanwhile, at_last;
		bool stays;
	} cases[] = {
	    {NETWORK_FAILED, NETWORK_FAILED, false},
	    {NETWORK_UNSURE, NETWORK_FAILED, false},
	    /* It is not known that it still fails. */
	    {NETWORK_FAILED, NETWORK_UNSURE, true},
	    {NETWORK_UNSURE, NETWORK_UNSURE, true},
	    {NETWORK_FAILED, NETWORK_THERE, true},
	    /* It came, and has its time anew. */
	    {NETWORK_THERE, NETWORK_FAILED, true},
	};

	(void)state;
	look_after(GONE, 0);
	for (unsigned i = 0; i < COUNT(cases); i++) {
		unsigned n = 10 + i;

		map(n, (uint16_t)(4000 + i));
		fail_host(n);
		is[n] = cases[i].meanwhile;
		live(200);
		is[n] = cases[i].at_last;
		live(200);
		if (is_there((uint16_t)(4000 + i)) != cases[i].stays)
			fail_msg("case %u", i);
		is[n] = NETWORK_THERE;
		live(60);
	}
}

static void
a_host_that_no_entry_is_of_is_not_judged(void **state)
{
	(void)state;
	look_after(GONE, 0);
	map(2, 4000);
	is[2] = NETWORK_UNSURE;
	live(3000);
	is[2] = NETWORK_FAILED;
	cannot_be_asked = true;
	live(3000);
	assert_true(is_there(4000));
	cannot_be_asked = false;
	live(3000);
	assert_false(is_there(4000));
}

static void
flows_speak_for_a_host(void **state)
{
	static const struct {
		bool own;
		enum flow_state before; /* FLOW_NONE: there was none */
		enum flow_state after;
		uint32_t traffic; /* so long after the first reading it had traffic last */
		bool spared;
	} cases[] = {
	    /* One that merely stands says nothing. */
	    {false, FLOW_ESTABLISHED, FLOW_ESTABLISHED, 0, false},
	    {true, FLOW_ESTABLISHED, FLOW_ESTABLISHED, 1, false},
	    {false, FLOW_ASSURED, FLOW_ASSURED, 0, false},
	    /* Traffic does, whoever began. */
	    {false, FLOW_ESTABLISHED, FLOW_ESTABLISHED, 100, true},
	    {true, FLOW_ESTABLISHED, FLOW_ESTABLISHED, 100, true},
	    {true, FLOW_ASSURED, FLOW_ASSURED, 100, true},
	    {false, FLOW_REPLIED, FLOW_REPLIED, 100, true},
	    /* So does one that began meanwhile, but for what only others may have sent. */
	    {true, FLOW_NONE, FLOW_ESTABLISHED, 100, true},
	    {true, FLOW_NONE, FLOW_SYN_SENT, 100, true},
	    {true, FLOW_NONE, FLOW_UNREPLIED, 100, true},
	    {false, FLOW_NONE, FLOW_SYN_SENT, 100, false},
	    {false, FLOW_NONE, FLOW_UNREPLIED, 100, false},
	    {false, FLOW_ESTABLISHED, FLOW_CLOSE, 100, false},
	};
	const monotime timeout = 6000 * MONOTIME_SECOND;

	(void)state;
	look_after(GONE, 0);
	for (unsigned i = 0; i < COUNT(cases); i++) {
		unsigned n = 10 + i;

		map(n, 4000);
		talk = (struct talk){cases[i].before != FLOW_NONE, n, cases[i].own, cases[i].before,
				     bed.now + timeout};
		fail_host(n);
		live(150);
		talk.there = true;
		talk.state = cases[i].after;
		if (!cases[i].before)
			talk.ends = bed.now + timeout;
		else
			talk.ends += cases[i].traffic * MONOTIME_SECOND;
		live(250);
		if (is_there(4000) != cases[i].spared)
			fail_msg("case %u", i);
		talk.there = false;
		live(400);
		assert_false(is_there(4000));
	}
}

static void
what_comes_to_a_dead_host_does_not_keep_it_for_ever(void **state)
{
	monotime began;

	(void)state;
	look_after(GONE, 0);
	map(2, 4000);
	talk = (struct talk){true, 2, false, FLOW_ASSURED, bed.now + GONE};
	fail_host(2);
	for (began = bed.now; is_there(4000) && bed.now - began < A_DAY * MONOTIME_SECOND;) {
		talk.ends = bed.now + GONE;
		live(10);
	}
	assert_in_range(bed.now - began, (1 + UPKEEP_SPARED) * GONE,
			(1 + UPKEEP_SPARED) * (GONE + 60 * MONOTIME_SECOND));
	/* Whoever comes back is not held to that. */
	talk.there = false;
	is[2] = NETWORK_UNSURE;
	map(2, 4000);
	live(1000);
	assert_true(is_there(4000));
}

static void
without_a_whole_reading_nothing_ends(void **state)
{
	(void)state;
	look_after(GONE, IDLE);
	map(2, 4000);
	live(100);
	is[2] = NETWORK_FAILED;
	fake_flows_fail(flows, UINT_MAX);
	live(2 * 3600);
	assert_true(is_there(4000));
	assert_non_null(strstr(bed.log, "flows: not read"));
	fake_flows_fail(flows, 0);
	live(2 * 300);
	assert_false(is_there(4000));
}

static void
a_kernel_that_fails_is_asked_again(void **state)
{
	(void)state;
	look_after(GONE, 0);
	map(2, 4000);
	fail_host(2);
	fake_firewall_fail_commits(bed.firewall, 1, EIO);
	for (int i = 0; i < 600 && counted()->kernel_aborts == 0; i++)
		live(1);
	/* What was true then is asked again, too. */
	is[2] = NETWORK_UNSURE;
	live(600);
	assert_true(is_there(4000));
	is[2] = NETWORK_FAILED;
	live(700);
	assert_false(is_there(4000));
	assert_int_equal(counted()->kernel_aborts, 1);
	assert_int_equal(counted()->gone, 1);
}

static void
a_mapping_that_nothing_goes_through_is_idle(void **state)
{
	(void)state;
	look_after(0, IDLE);
	map(2, 4000);
	map(2, 4001);
	live(3000);
	fake_firewall_connect(bed.firewall, TCP, 4001, 1);
	/* Renewing is no use of it. */
	map(2, 4000);
	live(600);
	assert_true(is_there(4000) && is_there(4001));
	live(600);
	assert_false(is_there(4000));
	assert_true(is_there(4001));
	assert_int_equal(counted()->idle, 1);
	assert_int_equal(counted()->removed + counted()->gone, 0);
	assert_non_null(strstr(bed.log, "lease: idle "));
	/* At once, and with all its time. */
	map(2, 4000);
	live(3000);
	assert_true(is_there(4000));
	assert_false(is_there(4001));
	assert_int_equal(probes + looks, 0);
}

static void
a_flow_keeps_a_mapping_however_old_it_is(void **state)
{
	for (int own = 0; own < 2; own++) {
		(void)state;
		look_after(0, IDLE);
		map(2, 4000);
		if (own) { /* it leaves through its port */
			ask(natpmp_delete(wish(2, TCP, 8000, 0, 0)));
			ask(natpmp_map(wish(2, TCP, 9000, 9000, A_DAY)));
		}
		talk = (struct talk){true, 2, own, FLOW_ESTABLISHED,
				     bed.now + A_WEEK * MONOTIME_SECOND};
		live(6 * 3600);
		assert_true(is_there(own ? 9000 : 4000));
		talk.there = false;
		live(2 * 3600);
		assert_false(is_there(own ? 9000 : 4000));
	}
}

static void
a_flow_of_another_mapping_does_not_keep_it(void **state)
{
	(void)state;
	look_after(0, IDLE);
	map(2, 4001);
	talk = (struct talk){true, 2, false, FLOW_ESTABLISHED, bed.now + A_WEEK * MONOTIME_SECOND};
	live(2 * 3600);
	assert_false(is_there(4001));
}

static void
a_table_made_anew_is_neither_use_nor_idleness(void **state)
{
	(void)state;
	look_after(0, IDLE);
	map(2, 4000);
	map(2, 4001);
	fake_firewall_connect(bed.firewall, TCP, 4000, 5);
	fake_firewall_connect(bed.firewall, TCP, 4001, 5);
	live(2400);
	/* The counts begin at 0; as many come to one of them as did before. */
	fake_firewall_lose(bed.firewall);
	engine_check_table(bed.engine, bed.now);
	assert_int_equal(counted()->table_restores, 1);
	fake_firewall_connect(bed.firewall, TCP, 4001, 5);
	live(2400);
	assert_false(is_there(4000));
	assert_true(is_there(4001));
	live(2400);
	assert_false(is_there(4001));
}

static void
time_while_it_was_off_does_not_count(void **state)
{
	(void)state;
	look_after(0, IDLE);
	map(2, 4000);
	live(2400);
	look_after(0, 0);
	live(7200);
	look_after(0, IDLE);
	live(2400);
	assert_true(is_there(4000));
	live(2400);
	assert_false(is_there(4000));
}

/* Nobody looked meanwhile. */
static void
time_that_was_slept_does_not_count(void **state)
{
	(void)state;
	look_after(GONE, IDLE);
	map(2, 4000);
	map(3, 4001);
	live(400);
	fail_host(2);
	live(60);
	wait_ms(IDLE);
	live(200);
	assert_true(is_there(4000) && is_there(4001));
	live(200);
	assert_false(is_there(4000));
	assert_int_equal(counted()->gone, 1);
	live(2800);
	assert_true(is_there(4001));
	live(900);
	assert_false(is_there(4001));
	assert_int_equal(counted()->idle, 1);
}

/* Asking takes longer than it, and no look is late for that. */
static void
the_shortest_time_ends_too(void **state)
{
	(void)state;
	look_after(MONOTIME_SECOND, 0);
	map(2, 4000);
	map(3, 4001);
	is[2] = NETWORK_FAILED;
	live(40);
	assert_false(is_there(4000));
	assert_true(is_there(4001));
}

static void
static_mappings_stay(void **state)
{
	static struct forward web = {
	    .name = "web", .transports = CONFIG_TCP, .external = {80, 80}, .line = 1};

	(void)state;
	web.target = (struct endpoint){host(2), 80};
	look_after(GONE, IDLE);
	assert_true(engine_set_forwards(bed.engine, &web, 1, bed.now));
	flush();
	map(2, 4000);
	is[2] = NETWORK_FAILED;
	live(7200);
	assert_false(is_there(4000));
	assert_true(is_there(80));
}

static void
pieces_are_small_and_waits_long(void **state)
{
	unsigned calls = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		map(2 + i % 200, (uint16_t)(4000 + i));
	for (monotime end = bed.now + 100; bed.now < end; wait_ms(60))
		run(); /* what came is swept */
	look_after(A_DAY * MONOTIME_SECOND, A_DAY * MONOTIME_SECOND);
	live_until(bed.now + 1000);
	for (monotime next, end = bed.now + 3600 * MONOTIME_SECOND; bed.now < end;) {
		unsigned before = probes + looks;

		next = upkeep_run(upkeep, bed.now);
		assert_in_range(probes + looks - before, 0, 32);
		calls++;
		wait_ms(next > bed.now ? next - bed.now : 0);
	}
	/* Six rounds of some forty pieces. */
	assert_in_range(calls, 100, 400);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(off_asks_for_nothing),
	    TEST(a_host_that_is_gone_leaves_its_ports_to_others),
	    TEST(what_is_said_of_a_host_meanwhile),
	    TEST(a_host_that_no_entry_is_of_is_not_judged),
	    TEST(flows_speak_for_a_host),
	    TEST(what_comes_to_a_dead_host_does_not_keep_it_for_ever),
	    TEST(without_a_whole_reading_nothing_ends),
	    TEST(a_kernel_that_fails_is_asked_again),
	    TEST(a_mapping_that_nothing_goes_through_is_idle),
	    TEST(a_flow_keeps_a_mapping_however_old_it_is),
	    TEST(a_flow_of_another_mapping_does_not_keep_it),
	    TEST(a_table_made_anew_is_neither_use_nor_idleness),
	    TEST(time_while_it_was_off_does_not_count),
	    TEST(time_that_was_slept_does_not_count),
	    TEST(the_shortest_time_ends_too),
	    TEST(static_mappings_stay),
	    TEST(pieces_are_small_and_waits_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
