/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mappings for one remote host, and disabled ones: who shares a port, who keeps it, what the kernel
 * holds. */
#include <errno.h>

#include "engine_bed.h"

static struct map_request
add(struct wish w, const char *remote)
{
	struct map_request request = upnp_add(w);

	if (remote)
		request.remote = address(remote);
	return request;
}

static struct map_request
del(uint16_t external, const char *remote)
{
	struct map_request request = upnp_delete(wish(2, UDP, 0, external, 0));

	if (remote)
		request.remote = address(remote);
	return request;
}

static struct map_request
disabled(struct map_request request)
{
	request.disabled = true;
	return request;
}

static const struct fake_mapping *
kernel_for(const char *remote)
{
	struct address a = {{0}};

	if (remote)
		a = address(remote);
	return fake_firewall_find_remote(bed.firewall, UDP, 4000, &a);
}

static const struct lease *
lease_for(const char *remote)
{
	struct address a = {{0}};

	if (remote)
		a = address(remote);
	return lease_table_by_remote(engine_leases(bed.engine), UDP, 4000, &a);
}

#define A "198.51.100.1"
#define B "198.51.100.2"

static void
one_port_for_several_remote_hosts(void **state)
{
	(void)state;
	assert_int_equal(ask(add(wish(2, UDP, 5000, 4000, 600), A))->result, MAP_OK);
	assert_int_equal(ask(add(wish(2, UDP, 5001, 4000, 600), B))->result, MAP_OK);
	assert_int_equal(ask(add(wish(2, UDP, 5002, 4000, 600), NULL))->result, MAP_OK);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 3);
	assert_int_equal(kernel_for(A)->internal.port, 5000);
	assert_int_equal(kernel_for(B)->internal.port, 5001);
	assert_int_equal(kernel_for(NULL)->internal.port, 5002);
}

static void
no_other_client_shares_the_port(void **state)
{
	(void)state;
	assert_int_equal(ask(add(wish(2, UDP, 5000, 4000, 600), A))->result, MAP_OK);
	assert_int_equal(ask(add(wish(3, UDP, 5000, 4000, 600), A))->result, MAP_PORT_TAKEN);
	assert_int_equal(ask(add(wish(3, UDP, 5000, 4000, 600), B))->result, MAP_PORT_TAKEN);
	assert_int_equal(ask(add(wish(3, UDP, 5000, 4000, 600), NULL))->result, MAP_PORT_TAKEN);
	/* Whoever takes any port gets another. */
	assert_int_not_equal(ask(natpmp_map(wish(3, UDP, 5000, 4000, 600)))->external.port, 4000);
}

static void
no_other_mechanism_shares_the_port(void **state)
{
	(void)state;
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 5000, 4000, 600)))->external.port, 4000);
	assert_int_equal(ask(add(wish(2, UDP, 5000, 4000, 600), A))->result, MAP_OTHER_MECHANISM);
}

static void
the_same_remote_host_is_overwritten(void **state)
{
	(void)state;
	assert_int_equal(ask(add(wish(2, UDP, 5000, 4000, 600), A))->result, MAP_OK);
	assert_int_equal(ask(add(wish(2, UDP, 5001, 4000, 600), A))->result, MAP_OK);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 1);
	assert_int_equal(kernel_for(A)->internal.port, 5001);
}

/* The port is kept by the one that ends last, and is free only when the last has gone. */
static void
the_port_is_kept_until_the_last_ends(void **state)
{
	(void)state;
	ask(add(wish(2, UDP, 5000, 4000, 100), A));
	ask(add(wish(2, UDP, 5001, 4000, 300), B));
	assert_false(kernel_for(A)->reserves);
	assert_true(kernel_for(B)->reserves);
	ask(add(wish(2, UDP, 5000, 4000, 600), A));
	assert_true(kernel_for(A)->reserves);
	assert_false(kernel_for(B)->reserves);
	ask(del(4000, A));
	assert_null(kernel_for(A));
	assert_true(kernel_for(B)->reserves);
	assert_int_not_equal(ask(natpmp_map(wish(3, UDP, 4000, 4000, 600)))->external.port, 4000);
	pass(301);
	assert_null(kernel_for(B));
	/* And then it is in quarantine, from its last end on. */
	assert_int_not_equal(ask(natpmp_map(wish(4, UDP, 4000, 4000, 600)))->external.port, 4000);
	pass(121);
	assert_int_equal(ask(natpmp_map(wish(5, UDP, 4000, 4000, 600)))->external.port, 4000);
}

static void
a_delete_names_the_remote_host(void **state)
{
	(void)state;
	ask(add(wish(2, UDP, 5000, 4000, 600), A));
	ask(add(wish(2, UDP, 5001, 4000, 600), NULL));
	assert_int_equal(ask(del(4000, B))->result, MAP_NOT_FOUND);
	assert_int_equal(ask(del(4000, NULL))->result, MAP_OK);
	assert_non_null(lease_for(A));
	assert_null(lease_for(NULL));
}

static void
others_do_not_adopt_a_mapping_for_one_remote_host(void **state)
{
	(void)state;
	ask(add(wish(2, UDP, 5000, 4000, 600), A));
	assert_int_not_equal(ask(pcp_map(wish(2, UDP, 5000, 0, 600), 1))->external.port, 4000);
	assert_int_equal(lease_for(A)->record.origin, ORIGIN_UPNP);
}

static void
a_disabled_mapping_is_kept_and_not_forwarded(void **state)
{
	uint64_t changes;

	(void)state;
	assert_int_equal(ask(disabled(add(wish(2, UDP, 5000, 4000, 600), NULL)))->result, MAP_OK);
	assert_non_null(lease_for(NULL));
	assert_null(kernel_for(NULL));
	assert_int_equal(ask(add(wish(3, UDP, 5000, 4000, 600), NULL))->result, MAP_PORT_TAKEN);

	changes = engine_table_changes(bed.engine);
	ask(add(wish(2, UDP, 5000, 4000, 600), NULL));
	assert_int_equal(engine_table_changes(bed.engine), changes + 1);
	assert_true(kernel_for(NULL)->outbound);
	assert_true(kernel_for(NULL)->reserves);

	ask(disabled(add(wish(2, UDP, 5000, 4000, 600), NULL)));
	assert_null(kernel_for(NULL));
	pass(601);
	assert_null(lease_for(NULL));
}

/* Outbound packets leave through an enabled mapping, whichever is older. */
static void
a_disabled_mapping_takes_no_outbound_packets(void **state)
{
	(void)state;
	ask(add(wish(2, UDP, 5000, 4000, 600), NULL));
	ask(add(wish(2, UDP, 5000, 4001, 600), NULL));
	assert_false(kernel_at(UDP, 4001)->outbound);
	ask(disabled(add(wish(2, UDP, 5000, 4000, 600), NULL)));
	assert_true(kernel_at(UDP, 4001)->outbound);
	ask(add(wish(2, UDP, 5000, 4000, 600), NULL));
	assert_true(kernel_for(NULL)->outbound);
	assert_false(kernel_at(UDP, 4001)->outbound);
}

static void
a_lost_table_comes_back_with_them(void **state)
{
	(void)state;
	ask(add(wish(2, UDP, 5000, 4000, 600), A));
	ask(add(wish(2, UDP, 5001, 4000, 300), B));
	ask(disabled(add(wish(2, UDP, 5002, 4000, 600), NULL)));
	fake_firewall_lose(bed.firewall);
	engine_check_table(bed.engine, bed.now);
	run();
	assert_int_equal(fake_firewall_count(bed.firewall), 2);
	assert_true(kernel_for(A)->reserves);
	assert_false(kernel_for(B)->reserves);
}

static void
what_the_kernel_refuses_is_as_before(void **state)
{
	(void)state;
	ask(add(wish(2, UDP, 5000, 4000, 600), NULL));
	fake_firewall_refuse_additions(bed.firewall, 1, ENOSPC);
	assert_int_equal(ask(disabled(add(wish(2, UDP, 5000, 4000, 600), NULL)))->result, MAP_OK);
	assert_int_equal(ask(add(wish(2, UDP, 5000, 4000, 600), NULL))->result, MAP_NO_RESOURCES);
	assert_true(lease_for(NULL)->record.disabled);
	assert_null(kernel_for(NULL));
}

/* What a reader of the table sees: not the lifetime alone. */
static void
changes_of_the_table_are_counted(void **state)
{
	struct map_request request = add(wish(2, UDP, 5000, 4000, 600), NULL);
	uint64_t changes = engine_table_changes(bed.engine);

	(void)state;
	ask(request);
	assert_int_equal(engine_table_changes(bed.engine), changes + 1);
	ask(request);
	assert_int_equal(engine_table_changes(bed.engine), changes + 1);
	snprintf(request.description, sizeof(request.description), "game");
	ask(request);
	assert_int_equal(engine_table_changes(bed.engine), changes + 2);
	ask(request);
	assert_int_equal(engine_table_changes(bed.engine), changes + 2);
	ask(del(4000, NULL));
	assert_int_equal(engine_table_changes(bed.engine), changes + 3);
}

/* However many leases it is about, and however many of them share a transaction. */
static void
each_operation_is_one_change(void **state)
{
	struct map_request edit = add(wish(2, UDP, 5001, 4000, 600), NULL);
	uint64_t changes = engine_table_changes(bed.engine);

	(void)state;
	ask(add(wish(2, UDP, 5000, 4000, 600), NULL));
	assert_int_equal(engine_table_changes(bed.engine), changes + 1);
	/* One ends, another comes in its place. */
	ask(add(wish(2, UDP, 5001, 4000, 600), NULL));
	assert_int_equal(counted()->deleted, 1);
	assert_int_equal(engine_table_changes(bed.engine), changes + 2);
	/* Two that edit the same one, one that adds, one that prolongs, one that is refused. */
	snprintf(edit.description, sizeof(edit.description), "game");
	submit(edit);
	snprintf(edit.description, sizeof(edit.description), "another");
	submit(edit);
	submit(add(wish(2, UDP, 6000, 6000, 600), NULL));
	submit(edit);
	submit(add(wish(3, UDP, 6000, 6000, 600), NULL));
	flush();
	assert_int_equal(engine_table_changes(bed.engine), changes + 5);
	/* What came and went within a batch nobody saw. */
	submit(add(wish(2, UDP, 7000, 7000, 600), NULL));
	submit(del(7000, NULL));
	flush();
	assert_int_equal(engine_table_changes(bed.engine), changes + 5);
	/* Nor what the kernel would not have. */
	fake_firewall_fail_commits(bed.firewall, 1, ENOBUFS);
	ask(del(4000, NULL));
	assert_int_equal(engine_table_changes(bed.engine), changes + 5);
	ask(natpmp_delete_all(2, UDP));
	assert_int_equal(engine_table_changes(bed.engine), changes + 5);
	ask(natpmp_map(wish(3, UDP, 5000, 5000, 600)));
	ask(natpmp_map(wish(3, UDP, 5001, 5001, 600)));
	ask(natpmp_map(wish(3, TCP, 5001, 5001, 600)));
	assert_int_equal(engine_table_changes(bed.engine), changes + 8);
	ask(natpmp_delete_all(3, UDP));
	assert_int_equal(engine_table_changes(bed.engine), changes + 9);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 3);
	/* Each end is one of its own. */
	pass(601);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 0);
	assert_int_equal(engine_table_changes(bed.engine), changes + 12);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(one_port_for_several_remote_hosts),
	    TEST(no_other_client_shares_the_port),
	    TEST(no_other_mechanism_shares_the_port),
	    TEST(the_same_remote_host_is_overwritten),
	    TEST(the_port_is_kept_until_the_last_ends),
	    TEST(a_delete_names_the_remote_host),
	    TEST(others_do_not_adopt_a_mapping_for_one_remote_host),
	    TEST(a_disabled_mapping_is_kept_and_not_forwarded),
	    TEST(a_disabled_mapping_takes_no_outbound_packets),
	    TEST(a_lost_table_comes_back_with_them),
	    TEST(what_the_kernel_refuses_is_as_before),
	    TEST(changes_of_the_table_are_counted),
	    TEST(each_operation_is_one_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
