/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a batch comes to in the kernel, and how it is taken back: every order, every failure. */
#include "../../daemon/core/transaction.h"

#include <errno.h>

#include "../fakes/fake_firewall.h"
#include "requests.h"

static struct lease_table *table;
static struct firewall *firewall;
static struct transaction *t;
static monotime now;
static unsigned settled, failed, ended;

static int
set_up(void **state)
{
	static const struct firewall_network network = {.wan = "wan0"};
	struct fault fault;

	(void)state;
	now = 1000000;
	table = lease_table_new();
	if (firewall_open(&firewall, &(struct firewall_options){.source_nat = true}, &fault) < 0 ||
	    firewall_create(firewall, &network, &fault) < 0)
		return -1;
	fake_firewall_set_clock(firewall, now);
	t = transaction_new(table, firewall);
	return t ? 0 : -1;
}

static void
count(void *arg, const struct change *change)
{
	(void)arg;
	settled++;
	failed += change->failed;
	ended += change->ending != ENDING_NONE;
}

static void
settle(void)
{
	settled = failed = ended = 0;
	transaction_settle(t, count, NULL);
	assert_false(transaction_pending(t));
}

static int
tear_down(void **state)
{
	(void)state;
	settle();
	transaction_free(t);
	lease_table_free(table);
	firewall_close(firewall);
	return 0;
}

static struct lease *
add(unsigned n, uint16_t internal, uint16_t external)
{
	struct endpoint endpoint = {host(n), internal};
	struct lease_record record = {.origin = ORIGIN_PCP,
				      .transport = UDP,
				      .outbound = !lease_table_by_internal(table, UDP, &endpoint),
				      .external_port = external,
				      .internal = endpoint,
				      .lifetime = 3600,
				      .created = now,
				      .ends = now + 3600 * MONOTIME_SECOND};
	struct lease *lease = transaction_add(t, &record);

	assert_non_null(lease);
	return lease;
}

static void
renew(struct lease *lease, uint32_t lifetime)
{
	assert_true(transaction_touch(t, lease));
	lease_table_set_lifetime(table, lease, lifetime, now + lifetime * MONOTIME_SECOND);
}

static void
end(struct lease *lease)
{
	assert_true(transaction_end(t, lease, ENDING_DELETED, now));
}

static int
commit(void)
{
	struct fault fault;

	return transaction_commit(t, now, &fault);
}

/* Committed and settled, all is well. */
static void
finish(void)
{
	assert_int_equal(commit(), 0);
	settle();
	assert_int_equal(failed, 0);
}

static struct lease *
standing(unsigned n, uint16_t internal, uint16_t external)
{
	struct lease *lease = add(n, internal, external);

	finish();
	return lease;
}

static const struct fake_mapping *
kernel(uint16_t external)
{
	return fake_firewall_find(firewall, UDP, external);
}

/* The kernel holds what the table holds, and nothing else. */
static void
check_agreement(void)
{
	size_t leases = 0;

	for (struct lease *lease = lease_table_after_id(table, 0); lease;
	     lease = lease_table_after_id(table, lease->record.id)) {
		const struct fake_mapping *m = kernel(lease->record.external_port);

		assert_non_null(m);
		assert_int_equal(m->internal.port, lease->record.internal.port);
		assert_true(address_equal(&m->internal.address, &lease->record.internal.address));
		assert_int_equal(m->outbound, lease->record.outbound);
		assert_int_equal(m->expires, lease->record.ends + TRANSACTION_GRACE);
		leases++;
	}
	assert_int_equal(fake_firewall_count(firewall), leases);
}

static void
an_addition_is_one_transaction(void **state)
{
	unsigned commits = fake_firewall_commits(firewall);

	(void)state;
	assert_false(transaction_pending(t));
	add(2, 4000, 5000);
	add(2, 4001, 5001);
	assert_true(transaction_pending(t));
	assert_null(kernel(5000));
	finish();
	assert_int_equal(settled, 2);
	assert_int_equal(fake_firewall_commits(firewall), commits + 1);
	check_agreement();
}

static void
what_comes_and_goes_in_one_batch_never_reaches_the_kernel(void **state)
{
	unsigned commits = fake_firewall_commits(firewall);

	(void)state;
	end(add(2, 4000, 5000));
	finish();
	assert_int_equal(ended, 1);
	assert_int_equal(fake_firewall_commits(firewall), commits);
	assert_int_equal(lease_table_count(table), 0);
}

static void
nothing_to_do_is_done(void **state)
{
	unsigned commits = fake_firewall_commits(firewall);

	(void)state;
	finish();
	assert_int_equal(settled, 0);
	assert_int_equal(fake_firewall_commits(firewall), commits);
}

static void
a_renewal_outlasts_the_lease_by_the_grace(void **state)
{
	struct lease *lease = standing(2, 4000, 5000);

	(void)state;
	assert_int_equal(kernel(5000)->expires, now + 3600 * MONOTIME_SECOND + TRANSACTION_GRACE);
	now += 1800 * MONOTIME_SECOND;
	fake_firewall_set_clock(firewall, now);
	renew(lease, 600);
	renew(lease, 7200); /* the last one counts */
	finish();
	assert_int_equal(settled, 1);
	assert_int_equal(kernel(5000)->expires, now + 7200 * MONOTIME_SECOND + TRANSACTION_GRACE);
}

static void
a_lease_without_an_end_has_no_timeout(void **state)
{
	struct lease_record record = {.id = 9,
				      .origin = ORIGIN_STATIC,
				      .transport = UDP,
				      .external_port = 80,
				      .internal = {host(2), 80},
				      .ends = MONOTIME_NEVER};
	char comment[TRANSACTION_COMMENT_SIZE];
	struct mapping mapping = lease_mapping(&record, now, comment);

	(void)state;
	assert_int_equal(mapping.timeout, 0);
	assert_string_equal(mapping.comment, "static 9");
	record.ends = now - 1;
	mapping = lease_mapping(&record, now, comment);
	assert_int_equal(mapping.timeout, TRANSACTION_GRACE);
}

static void
connections_are_kept_over_renewals(void **state)
{
	struct lease *lease = standing(2, 4000, 5000);

	(void)state;
	fake_firewall_connect(firewall, UDP, 5000, 3);
	renew(lease, 3600);
	finish();
	assert_int_equal(kernel(5000)->connections, 0);
	assert_int_equal(lease->record.connections, 3);
	fake_firewall_connect(firewall, UDP, 5000, 4);
	renew(lease, 3600);
	fake_firewall_fail_commits(firewall, 1, EIO);
	assert_int_equal(commit(), -EIO);
	transaction_undo(t, now);
	settle();
	assert_int_equal(lease->record.connections, 3);
	renew(lease, 3600);
	finish();
	assert_int_equal(lease->record.connections, 7);
}

/* Add, renew, delete one after the other on one internal endpoint, in every order of three that can
 * be. */
static void
every_order_comes_to_its_net_effect(void **state)
{
	static const char *const orders[] = {"a",   "r",   "d",	  "ar",	 "ad",	"rr",
					     "rd",  "da",  "arr", "ard", "ada", "rrr",
					     "rrd", "rda", "dar", "dad"};

	for (size_t i = 0; i < COUNT(orders); i++) {
		struct lease *lease = NULL;

		tear_down(state);
		assert_int_equal(set_up(state), 0);
		if (orders[i][0] != 'a')
			lease = standing(2, 4000, 5000);
		for (const char *step = orders[i]; *step; step++)
			if (*step == 'a')
				lease = add(2, 4000, 5000);
			else if (*step == 'r')
				renew(lease, 7200);
			else
				end(lease);
		finish();
		check_agreement();
		assert_int_equal(lease_table_count(table),
				 strchr("d", orders[i][strlen(orders[i]) - 1]) ? 0 : 1);
	}
}

static void
a_port_is_handed_from_one_to_another(void **state)
{
	struct address third = host(3);

	(void)state;
	end(standing(2, 4000, 5000));
	add(3, 4000, 5000);
	finish();
	check_agreement();
	assert_true(address_equal(&kernel(5000)->internal.address, &third));
}

static void
two_ports_change_hands(void **state)
{
	struct lease *a = standing(2, 4000, 5000), *b = standing(3, 4000, 5001);

	(void)state;
	end(a);
	end(b);
	add(3, 4000, 5000);
	add(2, 4000, 5001);
	finish();
	check_agreement();
}

static void
the_oldest_other_becomes_outbound(void **state)
{
	struct lease *first = standing(2, 4000, 5000), *second = standing(2, 4000, 5001),
		     *third = standing(2, 4000, 5002);
	unsigned commits = fake_firewall_commits(firewall);

	(void)state;
	end(third);
	finish();
	assert_true(first->record.outbound);
	end(first);
	finish();
	assert_true(second->record.outbound);
	assert_int_equal(fake_firewall_commits(firewall), commits + 2);
	check_agreement();
}

static void
an_heir_is_made_even_if_both_are_new_or_renewed(void **state)
{
	struct lease *first = standing(2, 4000, 5000), *second;

	(void)state;
	second = add(2, 4000, 5001);
	renew(second, 60);
	end(first);
	finish();
	check_agreement();
	assert_true(second->record.outbound);
	first = add(2, 4000, 5002);
	renew(second, 90);
	end(second);
	finish();
	check_agreement();
	assert_true(first->record.outbound);
}

static void
what_the_kernel_refuses_is_taken_back_and_the_rest_stays(void **state)
{
	struct lease *renewed = standing(2, 4000, 5000), *deleted = standing(2, 4001, 5001);
	monotime end_before = renewed->record.ends;

	(void)state;
	renew(renewed, 7200);
	end(deleted);
	add(3, 4000, 5002);
	add(3, 4001, 5003);
	/* The kernel sees the additions in this order: 5000 again, 5002, 5003. */
	fake_firewall_refuse_additions(firewall, 2, ENOSPC);
	assert_int_equal(commit(), 0);
	assert_int_equal(renewed->record.ends, end_before);
	assert_int_equal(renewed->record.lifetime, 3600);
	settle();
	assert_int_equal(settled, 4);
	assert_int_equal(failed, 2);
	assert_null(lease_table_by_external(table, UDP, 5001));
	assert_null(lease_table_by_external(table, UDP, 5002));
	assert_non_null(lease_table_by_external(table, UDP, 5003));
	check_agreement();
}

/* The old holder of a port or an endpoint comes back if its successor is refused. */
static void
what_stood_on_a_refused_change_falls_with_it(void **state)
{
	struct lease *old = standing(2, 4000, 5000), *heir = standing(2, 4000, 5001);
	uint64_t id = old->record.id;

	(void)state;
	end(old);
	add(2, 4001, 5000);
	add(3, 4000, 5002);
	fake_firewall_refuse_additions(firewall, 1, ENOSPC); /* the heir's: it was touched first */
	assert_int_equal(commit(), 0);
	settle();
	assert_int_equal(failed, 3);
	assert_ptr_equal(lease_table_by_external(table, UDP, 5000), old);
	assert_int_equal(old->record.id, id);
	assert_true(old->record.outbound);
	assert_false(heir->record.outbound);
	assert_non_null(lease_table_by_external(table, UDP, 5002));
	check_agreement();
}

/* A companion reservation that comes back must find its port of the other transport as it was. */
static void
failure_spreads_over_transports(void **state)
{
	struct lease_record tcp = {.origin = ORIGIN_NATPMP,
				   .transport = TCP,
				   .outbound = true,
				   .companion = true,
				   .external_port = 5000,
				   .internal = {host(2), 4000},
				   .lifetime = 3600,
				   .created = now,
				   .ends = now + 3600 * MONOTIME_SECOND};
	struct lease *old = transaction_add(t, &tcp);

	(void)state;
	finish();
	end(old);
	tcp.internal.address = host(4);
	assert_non_null(transaction_add(t, &tcp));
	fake_firewall_refuse_additions(firewall, 1, ENOSPC);
	add(3, 4000, 5000);
	assert_int_equal(commit(), 0);
	assert_ptr_equal(lease_table_by_external(table, TCP, 5000), old);
	assert_null(lease_table_by_external(table, UDP, 5000));
	settle();
	assert_int_equal(fake_firewall_count(firewall), 1);
}

/* A batch of everything, of which nothing stays. */
static void
a_failed_transaction_is_undone_whole(void **state)
{
	struct lease *renewed = standing(2, 4000, 5000), *deleted = standing(2, 4001, 5001);
	struct lease *outbound = standing(2, 4002, 5002), *heir = standing(2, 4002, 5003);
	uint64_t deleted_id = deleted->record.id;

	(void)state;
	renew(renewed, 7200);
	end(deleted);
	add(3, 4000, 5001); /* on the deleted one's port */
	end(outbound);
	add(3, 4003, 5004);
	end(add(3, 4005, 5005));
	fake_firewall_fail_commits(firewall, 1, EPERM);
	assert_int_equal(commit(), -EPERM);
	transaction_undo(t, now);
	settle();
	assert_int_equal(failed, settled);
	assert_int_equal(lease_table_count(table), 4);
	assert_ptr_equal(lease_table_by_id(table, deleted_id), deleted);
	assert_true(outbound->record.outbound);
	assert_false(heir->record.outbound);
	check_agreement();
	/* And it can be done again. */
	end(outbound);
	finish();
	check_agreement();
}

static void
undoing_gives_back_origin_and_nonce(void **state)
{
	struct lease *lease = standing(2, 4000, 5000);

	(void)state;
	lease->record.origin = ORIGIN_NATPMP;
	assert_true(transaction_touch(t, lease));
	lease->record.origin = ORIGIN_PCP;
	lease->record.has_nonce = true;
	memset(&lease->record.nonce, 7, sizeof(lease->record.nonce));
	fake_firewall_fail_commits(firewall, 1, EPERM);
	assert_int_equal(commit(), -EPERM);
	transaction_undo(t, now);
	settle();
	assert_int_equal(lease->record.origin, ORIGIN_NATPMP);
	assert_false(lease->record.has_nonce);
}

/* The kernel does not hold what we believe: nothing is applied, the caller is told, and nobody is
 * marked refused. */
static void
a_missing_element_is_stale_whatever_else_is_refused(void **state)
{
	struct lease *lease = standing(2, 4000, 5000);
	struct lease *added;

	(void)state;
	fake_firewall_drop(firewall, UDP, 5000);
	added = add(3, 4000, 5001);
	renew(lease, 7200);
	fake_firewall_refuse_additions(firewall, 1, ENOSPC);
	assert_int_equal(commit(), -ESTALE);
	assert_false(added->change->failed);
	assert_ptr_equal(lease_table_by_external(table, UDP, 5001), added);
	transaction_undo(t, now);
	assert_null(lease_table_by_external(table, UDP, 5001));
	settle();
	assert_int_equal(failed, 2);
}

static void
an_element_too_many_is_stale(void **state)
{
	struct mapping mapping = {
	    .transport = UDP, .external_port = 5000, .internal = {host(9), 9}};
	struct firewall_outcome outcome;
	struct fault fault;

	(void)state;
	firewall_stage(firewall, FIREWALL_ADD, &mapping, &outcome);
	assert_int_equal(firewall_commit(firewall, &fault), 0);
	add(2, 4000, 5000);
	assert_int_equal(commit(), -ESTALE);
	transaction_undo(t, now);
}

static void
a_lost_table_is_stale(void **state)
{
	struct lease *lease = standing(2, 4000, 5000);

	(void)state;
	fake_firewall_lose(firewall);
	renew(lease, 7200);
	assert_int_equal(commit(), -ESTALE);
	transaction_undo(t, now);
}

/* More than the firewall takes at once goes in pieces, removals first. */
static void
a_large_batch_goes_in_pieces(void **state)
{
	enum { LEASES = FIREWALL_CHUNK + 100 };
	static struct lease *leases[LEASES];

	(void)state;
	for (uint16_t i = 0; i < LEASES; i++)
		leases[i] = add(2, (uint16_t)(1024 + i), (uint16_t)(2000 + i));
	finish();
	check_agreement();
	for (uint16_t i = 0; i < LEASES; i++)
		end(leases[i]);
	for (uint16_t i = 0; i < LEASES; i++)
		add(3, (uint16_t)(1024 + i), (uint16_t)(2000 + i));
	finish();
	check_agreement();
}

/* If a piece fails the ones before it are in the kernel already: it is to be made anew. */
static void
a_large_batch_that_fails_is_stale(void **state)
{
	enum { LEASES = FIREWALL_CHUNK + 1 };
	static const struct firewall_network network = {.wan = "wan0"};
	struct fault fault;

	(void)state;
	for (uint16_t i = 0; i < LEASES; i++)
		add(2, (uint16_t)(1024 + i), (uint16_t)(2000 + i));
	fake_firewall_refuse_additions(firewall, 1, ENOSPC);
	assert_int_equal(commit(), -ESTALE);
	transaction_undo(t, now);
	settle();
	assert_int_equal(failed, LEASES);
	assert_int_equal(lease_table_count(table), 0);
	/* Only one change must have been tried and refused: the rest was not sent after it. */
	assert_int_equal(firewall_create(firewall, &network, &fault), 0);
	check_agreement();
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(an_addition_is_one_transaction),
	    TEST(what_comes_and_goes_in_one_batch_never_reaches_the_kernel),
	    TEST(nothing_to_do_is_done),
	    TEST(a_renewal_outlasts_the_lease_by_the_grace),
	    TEST(a_lease_without_an_end_has_no_timeout),
	    TEST(connections_are_kept_over_renewals),
	    TEST(every_order_comes_to_its_net_effect),
	    TEST(a_port_is_handed_from_one_to_another),
	    TEST(two_ports_change_hands),
	    TEST(the_oldest_other_becomes_outbound),
	    TEST(an_heir_is_made_even_if_both_are_new_or_renewed),
	    TEST(what_the_kernel_refuses_is_taken_back_and_the_rest_stays),
	    TEST(what_stood_on_a_refused_change_falls_with_it),
	    TEST(failure_spreads_over_transports),
	    TEST(a_failed_transaction_is_undone_whole),
	    TEST(undoing_gives_back_origin_and_nonce),
	    TEST(a_missing_element_is_stale_whatever_else_is_refused),
	    TEST(an_element_too_many_is_stale),
	    TEST(a_lost_table_is_stale),
	    TEST(a_large_batch_goes_in_pieces),
	    TEST(a_large_batch_that_fails_is_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
