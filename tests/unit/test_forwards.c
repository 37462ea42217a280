/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The admin's forwards among the leases: which there are after a change, whom they displace, and
 * what clients are told of them. */
#include "engine_bed.h"

#include <errno.h>

#include "../../daemon/core/forwards.h"

static struct forward
forward(const char *name, uint8_t transports, uint16_t first, uint16_t last)
{
	struct forward f = {.transports = transports,
			    .external = {first, last},
			    .target = {host(2), first},
			    .line = 7};

	strcpy(f.name, name);
	return f;
}

static struct forward
with_remote(struct forward f, const char *remote)
{
	assert_true(forward_remote_parse(remote, &f.remote));
	return f;
}

static void
set(const struct forward *forwards, size_t count)
{
	assert_true(engine_set_forwards(bed.engine, forwards, count, bed.now));
	flush();
}

static void
added(const char *name, uint16_t port)
{
	struct forward f = forward(name, FORWARD_TCP, port, port);

	f.line = 0;
	assert_true(engine_add_forward(bed.engine, &f, bed.now));
	flush();
}

static void
overlap_needs_a_transport_a_port_and_a_remote_host(void **state)
{
	const struct forward a = forward("a", FORWARD_TCP, 100, 110);
	const struct forward near = with_remote(a, "198.51.100.0/24");
	const struct {
		struct forward other;
		bool with_a, with_near;
	} rows[] = {
	    {forward("b", FORWARD_TCP, 110, 120), true, true},
	    {forward("b", FORWARD_TCP | FORWARD_UDP, 1, 65535), true, true},
	    {forward("b", FORWARD_UDP, 100, 110), false, false},
	    {forward("b", FORWARD_TCP, 111, 111), false, false},
	    {forward("b", FORWARD_TCP, 99, 99), false, false},
	    {with_remote(forward("b", FORWARD_TCP, 105, 105), "198.51.100.7"), true, true},
	    {with_remote(forward("b", FORWARD_TCP, 105, 105), "198.51.0.0/16"), true, true},
	    {with_remote(forward("b", FORWARD_TCP, 105, 105), "198.51.101.0/24"), true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(forwards_overlap(&a, &rows[i].other), rows[i].with_a);
		assert_int_equal(forwards_overlap(&rows[i].other, &a), rows[i].with_a);
		assert_int_equal(forwards_overlap(&near, &rows[i].other), rows[i].with_near);
	}
}

static void
a_new_set_touches_only_what_differs(void **state)
{
	struct forward is[] = {forward("stays", FORWARD_TCP, 80, 80),
			       forward("moves", FORWARD_TCP, 81, 81),
			       forward("goes", FORWARD_TCP | FORWARD_UDP, 82, 82)};
	uint64_t id;
	unsigned commits;

	(void)state;
	set(is, 3);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 4);
	id = lease_at(TCP, 80)->record.id;
	strcpy(is[0].name, "renamed");
	is[0].line = 9;
	is[1].target.port = 8081;
	set(is, 2);
	assert_int_equal(lease_at(TCP, 80)->record.id, id);
	assert_string_equal(lease_at(TCP, 80)->record.name, "renamed");
	assert_int_equal(lease_at(TCP, 80)->record.line, 9);
	assert_int_equal(kernel_at(TCP, 81)->internal.port, 8081);
	assert_null(lease_at(TCP, 82));
	assert_null(kernel_at(UDP, 82));
	commits = fake_firewall_commits(bed.firewall);
	set(is, 2);
	assert_int_equal(fake_firewall_commits(bed.firewall), commits);
	check_agreement();
}

/* The heir of the endpoint's outbound packets is named in the batch already when its name changes. */
static void
an_heir_is_renamed(void **state)
{
	struct forward is[] = {forward("first", FORWARD_TCP, 80, 80),
			       forward("second", FORWARD_TCP, 81, 81)};

	(void)state;
	is[1].target.port = 80;
	set(is, 2);
	assert_true(kernel_at(TCP, 80)->outbound && !kernel_at(TCP, 81)->outbound);
	strcpy(is[1].name, "a name that is longer than the one before it");
	strcpy(is[1].description, "and described");
	set(&is[1], 1);
	assert_null(kernel_at(TCP, 80));
	assert_true(kernel_at(TCP, 81)->outbound);
	assert_string_equal(lease_at(TCP, 81)->record.name, is[1].name);
	check_agreement();
}

static void
a_set_that_the_kernel_did_not_take_is_tried_again(void **state)
{
	struct forward is[] = {forward("goes", FORWARD_TCP, 80, 80)};
	struct forward will_be[] = {forward("comes", FORWARD_TCP, 81, 81)};

	(void)state;
	set(is, 1);
	assert_false(engine_reviews(bed.engine));
	fake_firewall_fail_commits(bed.firewall, 2, EIO);
	set(will_be, 1);
	assert_non_null(lease_at(TCP, 80));
	assert_true(engine_reviews(bed.engine));
	assert_true(engine_run(bed.engine, bed.now) > bed.now);
	assert_true(engine_reviews(bed.engine));
	/* What others do in between is not it. */
	added("between", 90);
	assert_true(engine_reviews(bed.engine));
	bed.now += MONOTIME_SECOND;
	engine_run(bed.engine, bed.now);
	assert_false(engine_reviews(bed.engine));
	assert_null(lease_at(TCP, 80));
	assert_non_null(kernel_at(TCP, 81));
	assert_non_null(kernel_at(TCP, 90));
	check_agreement();
}

static void
the_config_wins_over_what_was_added(void **state)
{
	struct forward config[] = {forward("same", FORWARD_TCP, 80, 80),
				   forward("name", FORWARD_TCP, 90, 90),
				   forward("over", FORWARD_TCP, 100, 100)};
	uint64_t same;

	(void)state;
	added("same", 80);
	added("name", 91);
	added("under", 100);
	added("apart", 110);
	same = lease_at(TCP, 80)->record.id;
	config[2].target.port = 1;
	set(config, 3);
	/* The same thing goes on, now the config's. */
	assert_int_equal(lease_at(TCP, 80)->record.id, same);
	assert_int_equal(lease_at(TCP, 80)->record.line, 7);
	assert_null(lease_at(TCP, 91));
	assert_string_equal(lease_at(TCP, 100)->record.name, "over");
	assert_int_equal(lease_at(TCP, 110)->record.line, 0);
	set(NULL, 0);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 1);
	assert_string_equal(forwards_by_name(engine_leases(bed.engine), "apart")->record.name,
			    "apart");
	check_agreement();
}

static void
leases_make_way_and_ports_come_back(void **state)
{
	const struct forward range = forward("range", FORWARD_UDP, 4000, 4010);

	(void)state;
	ask(natpmp_map(wish(3, UDP, 5000, 4005, 600)));
	ask(natpmp_map(wish(3, UDP, 5001, 4011, 600)));
	ask(natpmp_map(wish(3, TCP, 5000, 4005, 600)));
	set(&range, 1);
	assert_int_equal(counted()->removed, 1);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 3);
	for (uint16_t port = 4000; port <= 4010; port++)
		assert_string_equal(lease_at(UDP, port)->record.name, "range");
	assert_null(lease_at(UDP, 3999));
	/* Not to be had by anybody, nor counted against its host. */
	assert_int_not_equal(ask(natpmp_map(wish(3, UDP, 5000, 4005, 600)))->external.port, 4005);
	assert_int_equal(
	    lease_table_count_of_client(engine_leases(bed.engine), &range.target.address), 0);
	set(NULL, 0);
	assert_int_equal(ask(natpmp_map(wish(4, UDP, 5000, 4006, 600)))->external.port, 4006);
}

static void
clients_are_told_what_stands(void **state)
{
	const struct forward set_of[] = {
	    forward("range", FORWARD_UDP, 4000, 4010),
	    with_remote(forward("near", FORWARD_UDP, 4020, 4030), "198.51.100.0/24")};
	const struct map_reply *reply;

	(void)state;
	set(set_of, 2);
	reply = ask(pcp_map(wish(2, UDP, 4003, 9000, 600), 1));
	assert_int_equal(reply->result, MAP_OK);
	assert_int_equal(reply->external.port, 4003);
	assert_int_equal(reply->lifetime, MAPPING_LIFETIME_STATIC);
	reply = ask(natpmp_map(wish(2, UDP, 4010, 9000, 600)));
	assert_int_equal(reply->external.port, 4010);
	assert_int_equal(reply->lifetime, 600);
	assert_int_equal(ask(natpmp_delete(wish(2, UDP, 4003, 0, 0)))->result, MAP_OTHER_MECHANISM);
	assert_int_equal(ask(pcp_delete(wish(2, UDP, 4003, 0, 0), 1))->result, MAP_OTHER_MECHANISM);
	assert_int_equal(ask(natpmp_delete_all(2, UDP))->result, MAP_OTHER_MECHANISM);
	assert_int_equal(ask(upnp_add(wish(2, UDP, 4003, 4003, 600)))->result, MAP_OTHER_MECHANISM);
	/* One that few may use is not what a client asks for. */
	reply = ask(pcp_map(wish(2, UDP, 4025, 9000, 600), 1));
	assert_int_equal(reply->result, MAP_OK);
	assert_int_equal(reply->external.port, 9000);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 3);
}

static void
ranges_that_overlap_for_others_end_apart(void **state)
{
	struct forward both[] = {
	    with_remote(forward("a", FORWARD_TCP, 100, 110), "198.51.100.0/24"),
	    with_remote(forward("b", FORWARD_TCP, 105, 120), "198.51.101.0/24"),
	};

	(void)state;
	set(both, 2);
	set(&both[1], 1);
	assert_null(lease_at(TCP, 104));
	assert_string_equal(lease_at(TCP, 105)->record.name, "b");
	assert_string_equal(lease_at(TCP, 110)->record.name, "b");
	set(NULL, 0);
	assert_null(lease_at(TCP, 110));
}

static void
there_before_the_network_is(void **state)
{
	const struct forward web = forward("web", FORWARD_TCP, 80, 80);

	(void)state;
	assert_true(engine_set_forwards(bed.engine, &web, 1, bed.now));
	assert_int_equal(set_wan("203.0.113.5"), 0);
	assert_non_null(kernel_at(TCP, 80));
	run();
	check_agreement();
}

static void
one_that_the_kernel_refuses_is_not_there(void **state)
{
	const struct forward web = forward("web", FORWARD_TCP | FORWARD_UDP, 80, 80);

	(void)state;
	fake_firewall_refuse_additions(bed.firewall, 1, 12);
	assert_true(engine_add_forward(bed.engine, &web, bed.now));
	flush();
	assert_false(forwards_has_all(engine_leases(bed.engine), &web));
	check_agreement();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_heir_is_renamed),
	    cmocka_unit_test(overlap_needs_a_transport_a_port_and_a_remote_host),
	    TEST(a_new_set_touches_only_what_differs),
	    TEST(a_set_that_the_kernel_did_not_take_is_tried_again),
	    TEST(the_config_wins_over_what_was_added),
	    TEST(leases_make_way_and_ports_come_back),
	    TEST(clients_are_told_what_stands),
	    TEST(ranges_that_overlap_for_others_end_apart),
	    cmocka_unit_test_setup_teardown(there_before_the_network_is, bed_set_up_bare,
					    bed_tear_down),
	    TEST(one_that_the_kernel_refuses_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
