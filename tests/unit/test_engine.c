/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches, refusals, losses and time: what the engine answers, and that kernel and table agree
 * afterwards. */
#include "engine_bed.h"

#include <errno.h>

static void
a_request_is_answered_by_the_flush(void **state)
{
	uint32_t slot = submit(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));

	(void)state;
	assert_int_equal(bed.slot[slot].answers, 0);
	assert_null(kernel_at(UDP, 5000));
	flush();
	assert_int_equal(result_of(slot), MAP_OK);
	assert_int_equal(reply_to(slot)->external.port, 5000);
	assert_int_equal(reply_to(slot)->lifetime, 3600);
	check_agreement();
	flush();
	assert_int_equal(bed.slot[slot].answers, 1);
}

static void
a_batch_is_one_transaction(void **state)
{
	unsigned commits = fake_firewall_commits(bed.firewall);

	(void)state;
	for (uint16_t i = 0; i < 60; i++)
		submit(natpmp_map(wish(2 + i % 7, UDP, (uint16_t)(4000 + i), 0, 3600)));
	submit(natpmp_decoded(wish(9, UDP, 1, 0, 0), 0));
	flush();
	assert_int_equal(fake_firewall_commits(bed.firewall), commits + 1);
	assert_int_equal(fake_firewall_count(bed.firewall), 60);
	for (uint32_t i = 0; i < bed.submitted; i++)
		assert_int_equal(result_of(i), MAP_OK);
	assert_int_equal(counted()->batches, 1);
	assert_int_equal(counted()->largest_batch, 61);
	check_agreement();
	flush(); /* of nothing */
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 80, 0, 3600)))->result, MAP_NOT_AUTHORIZED);
	assert_int_equal(counted()->batches, 2);
	assert_int_equal(counted()->largest_batch, 61);
}

static void
more_requests_than_a_batch_takes_are_all_answered_once(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < 200; i++)
		submit(natpmp_map(wish(2, UDP, (uint16_t)(4000 + i), 0, 3600)));
	flush();
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(result_of(i), MAP_OK);
	check_agreement();
}

static void
what_changes_nothing_makes_no_transaction(void **state)
{
	unsigned commits = fake_firewall_commits(bed.firewall);

	(void)state;
	assert_int_equal(ask((struct map_request){.kind = REQUEST_ADDRESS})->result, MAP_OK);
	assert_int_equal(ask(natpmp_delete(wish(2, UDP, 4000, 0, 0)))->result, MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 80, 0, 3600)))->result, MAP_NOT_AUTHORIZED);
	submit(natpmp_map(wish(2, UDP, 4000, 0, 3600)));
	submit(natpmp_delete(wish(2, UDP, 4000, 0, 0)));
	flush();
	assert_int_equal(result_of(3), MAP_OK);
	assert_int_equal(result_of(4), MAP_OK);
	assert_int_equal(fake_firewall_commits(bed.firewall), commits);
	assert_int_equal(counted()->granted, 0);
	assert_int_equal(counted()->deleted, 0);
}

static void
the_same_request_twice_in_a_batch_is_one_lease(void **state)
{
	(void)state;
	submit(pcp_map(wish(2, UDP, 4000, 0, 3600), 7));
	submit(pcp_map(wish(2, UDP, 4000, 0, 3600), 7));
	submit(pcp_map(wish(2, UDP, 4000, 0, 3600), 8));
	flush();
	assert_int_equal(result_of(0), MAP_OK);
	assert_int_equal(result_of(1), MAP_OK);
	assert_int_equal(result_of(2), MAP_NOT_YOURS);
	assert_int_equal(reply_to(0)->external.port, reply_to(1)->external.port);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 1);
	check_agreement();
}

static void
a_port_is_handed_on_within_a_batch(void **state)
{
	(void)state;
	ask(upnp_add(wish(2, UDP, 4000, 5000, 3600)));
	submit(upnp_delete(wish(2, UDP, 0, 5000, 0)));
	submit(upnp_add(wish(3, UDP, 4000, 5000, 3600)));
	submit(upnp_delete(wish(3, UDP, 0, 5000, 0)));
	submit(upnp_add(wish(4, UDP, 4000, 5000, 3600)));
	flush();
	for (uint32_t i = 1; i < 5; i++)
		assert_int_equal(result_of(i), MAP_OK);
	assert_true(address_equal(&lease_at(UDP, 5000)->record.internal.address,
				  &bed.slot[4].request.client));
	check_agreement();
}

static void
a_refusal_by_the_kernel_hits_only_its_request(void **state)
{
	(void)state;
	fake_firewall_refuse_additions(bed.firewall, 1, ENOSPC);
	submit(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	submit(natpmp_map(wish(3, UDP, 4001, 5001, 3600)));
	submit((struct map_request){.kind = REQUEST_ADDRESS});
	flush();
	assert_int_equal(result_of(0), MAP_NO_RESOURCES);
	assert_int_equal(reply_to(0)->external.port, 0);
	assert_int_equal(reply_to(0)->lifetime, 0);
	assert_int_equal(result_of(1), MAP_OK);
	assert_int_equal(result_of(2), MAP_OK);
	assert_int_equal(counted()->kernel_refusals, 1);
	assert_null(lease_at(UDP, 5000));
	check_agreement();
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_OK);
	check_agreement();
}

/* All that was answered on the strength of a refused change is refused with it. */
static void
nobody_is_told_of_what_the_kernel_refused(void **state)
{
	(void)state;
	fake_firewall_refuse_additions(bed.firewall, 1, ENOSPC);
	submit(pcp_map(wish(2, UDP, 4000, 5000, 3600), 7));
	submit(pcp_map(wish(2, UDP, 4000, 5000, 3600), 7));
	submit(natpmp_map(wish(2, UDP, 4000, 0, 60)));	/* stays the PCP one with its later end */
	submit(upnp_add(wish(2, UDP, 4000, 5000, 60))); /* so does this */
	submit(pcp_map(wish(2, UDP, 4000, 5000, 3600), 8)); /* refused anyway */
	flush();
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(result_of(i), MAP_NO_RESOURCES);
	assert_int_equal(result_of(4), MAP_NOT_YOURS);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 0);
	check_agreement();
}

static void
a_failed_transaction_is_undone_and_answered(void **state)
{
	monotime ends;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 3600)));
	ask(upnp_add(wish(2, UDP, 4002, 5002, 3600)));
	ends = lease_at(UDP, 5000)->record.ends;
	fake_firewall_fail_commits(bed.firewall, 1, EIO);
	submit(natpmp_map(wish(2, UDP, 4000, 0, 7200)));
	submit(natpmp_delete(wish(2, UDP, 4001, 0, 0)));
	submit(natpmp_delete(
	    wish(2, UDP, 4001, 0, 0))); /* sent again: finds nothing, but it is there after all */
	submit(upnp_add(wish(2, UDP, 4003, 5002, 3600)));
	submit(natpmp_map(wish(3, UDP, 4000, 0, 3600)));
	submit(natpmp_delete_all(2, UDP));
	submit(natpmp_delete_all(4, UDP));
	flush();
	for (uint32_t i = 3; i < 9; i++)
		assert_int_equal(result_of(i), MAP_NO_RESOURCES);
	assert_int_equal(result_of(9), MAP_OK);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 3);
	assert_true(lease_at(UDP, 5000)->record.ends == ends);
	assert_int_equal(counted()->kernel_aborts, 1);
	assert_int_equal(counted()->kernel_refusals, 0);
	check_agreement();
}

static void
an_element_that_vanished_makes_the_table_anew(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(3, UDP, 4000, 5001, 3600)));
	fake_firewall_drop(bed.firewall, UDP, 5000);
	fake_firewall_drop(bed.firewall, UDP, 5001);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_OK);
	assert_int_equal(counted()->table_restores, 1);
	check_agreement();
	fake_firewall_drop(bed.firewall, UDP, 5000);
	assert_int_equal(ask(natpmp_delete(wish(2, UDP, 4000, 0, 0)))->result, MAP_OK);
	assert_int_equal(counted()->table_restores, 2);
	check_agreement();
}

/* The refused one is refused in the new table too, and nobody hears otherwise. */
static void
vanished_and_refused_in_one_batch(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	fake_firewall_drop(bed.firewall, UDP, 5000);
	fake_firewall_refuse_additions(bed.firewall, 2, ENOSPC);
	submit(natpmp_map(wish(3, UDP, 4001, 5001, 3600)));
	submit(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	submit(natpmp_map(wish(4, UDP, 4002, 5002, 3600)));
	flush();
	for (uint32_t i = 1; i < 4; i++) {
		const struct map_reply *reply = reply_to(i);

		assert_int_equal(reply->result == MAP_OK,
				 lease_at(UDP, (uint16_t)(5000 + (i == 1   ? 1
								  : i == 2 ? 0
									   : 2))) != NULL);
	}
	check_agreement();
}

static void
a_lost_table_comes_back_with_every_lease(void **state)
{
	enum { LEASES = 2 * FIREWALL_CHUNK + 7 };

	(void)state;
	for (uint16_t i = 0; i < LEASES; i++)
		submit(natpmp_map(wish(2, i % 2 ? UDP : TCP, (uint16_t)(4000 + i), 0, 3600)));
	flush();
	engine_check_table(bed.engine, bed.now);
	assert_int_equal(counted()->table_restores, 0);
	fake_firewall_lose(bed.firewall);
	engine_check_table(bed.engine, bed.now);
	assert_true(engine_table_intact(bed.engine));
	assert_int_equal(counted()->table_restores, 1);
	assert_int_equal(fake_firewall_count(bed.firewall), LEASES);
	check_agreement();
}

/* The kernel then objects to each mapping, but to none in particular. */
static void
a_table_lost_while_it_is_made_costs_no_lease(void **state)
{
	enum { LEASES = 2 * FIREWALL_CHUNK + 7 };

	(void)state;
	for (uint16_t i = 0; i < LEASES; i++)
		submit(natpmp_map(wish(2, UDP, (uint16_t)(4000 + i), 0, 3600)));
	flush();
	for (unsigned pieces = 1; pieces <= 2; pieces++) {
		fake_firewall_lose(bed.firewall);
		fake_firewall_lose_after(bed.firewall, pieces);
		engine_check_table(bed.engine, bed.now);
		assert_false(engine_table_intact(bed.engine));
		assert_int_equal(lease_table_count(engine_leases(bed.engine)), LEASES);
		wait_ms(MONOTIME_SECOND);
		run();
		assert_true(engine_table_intact(bed.engine));
		assert_int_equal(fake_firewall_count(bed.firewall), LEASES);
		check_agreement();
	}
}

static void
a_request_meets_the_loss_before_the_watch_does(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	fake_firewall_lose(bed.firewall);
	assert_int_equal(ask(natpmp_map(wish(3, UDP, 4000, 5001, 3600)))->result, MAP_OK);
	check_agreement();
	engine_check_table(bed.engine, bed.now);
	assert_int_equal(counted()->table_restores, 1);
}

/* Twenty at once, then one each second; leases are kept meanwhile, and requests refused. */
static void
restoring_is_bounded(void **state)
{
	monotime next;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	for (int i = 0; i < 25; i++) {
		fake_firewall_lose(bed.firewall);
		engine_check_table(bed.engine, bed.now);
		run();
	}
	assert_int_equal(counted()->table_restores, 20);
	assert_false(engine_table_intact(bed.engine));
	assert_int_equal(ask(natpmp_map(wish(3, UDP, 4000, 0, 3600)))->result, MAP_NO_RESOURCES);
	assert_int_equal(ask(natpmp_delete(wish(2, UDP, 4000, 0, 0)))->result, MAP_NO_RESOURCES);
	assert_non_null(lease_at(UDP, 5000));
	next = run();
	assert_true(next > bed.now && next <= bed.now + MONOTIME_SECOND);
	for (unsigned i = 1; i <= 5; i++) {
		wait_ms(MONOTIME_SECOND);
		next = run();
		assert_int_equal(counted()->table_restores, 20 + i);
		assert_true(engine_table_intact(bed.engine));
		check_agreement();
		fake_firewall_lose(bed.firewall);
		engine_check_table(bed.engine, bed.now);
		assert_int_equal(counted()->table_restores, 20 + i);
	}
	/* Parts of a second count. */
	wait_ms(1500);
	run();
	assert_int_equal(counted()->table_restores, 26);
	fake_firewall_lose(bed.firewall);
	engine_check_table(bed.engine, bed.now);
	assert_int_equal(run(), bed.now + 500);
	wait_ms(500);
	run();
	assert_int_equal(counted()->table_restores, 27);
	/* Peace fills the store again. */
	wait_ms(60 * MONOTIME_SECOND);
	for (int i = 0; i < 30; i++) {
		fake_firewall_lose(bed.firewall);
		engine_check_table(bed.engine, bed.now);
	}
	assert_int_equal(counted()->table_restores, 47);
}

/* A lease that is due while the kernel cannot be changed must not keep the loop awake. */
static void
waiting_for_the_kernel_is_no_busy_loop(void **state)
{
	unsigned turns = 0;
	monotime next;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 1)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 1)));
	for (int i = 0; i < 25; i++) {
		fake_firewall_lose(bed.firewall);
		engine_check_table(bed.engine, bed.now);
	}
	wait_ms(800);
	fake_firewall_fail_commits(bed.firewall, 6, EIO);
	while (lease_table_count(engine_leases(bed.engine)) > 0 && turns++ < 100) {
		next = run();
		if (next != MONOTIME_NEVER && next > bed.now)
			wait_ms(next - bed.now);
	}
	assert_in_range(turns, 2, 20);
	check_agreement();
}

static void
what_it_refuses_is_told_to_nobody_else(void **state)
{
	(void)state;
	ask(upnp_add(wish(2, UDP, 4000, 5001, 3600)));
	ask(upnp_add(wish(2, UDP, 4000, 5002, 3600)));
	assert_int_equal(result_of(1), MAP_OK);
	fake_firewall_lose(bed.firewall);
	fake_firewall_refuse_additions(bed.firewall, 1, ENOSPC);
	submit(upnp_add(wish(2, UDP, 4000, 5001, 120)));
	submit(upnp_add(wish(2, UDP, 4000, 5002, 120)));
	flush();
	assert_int_equal(result_of(2), MAP_NO_RESOURCES);
	assert_null(lease_at(UDP, 5001));
	assert_int_equal(result_of(3), MAP_OK);
	assert_true(lease_at(UDP, 5002)->record.ends == bed.now + 120 * MONOTIME_SECOND);
	check_agreement();
}

static void
what_the_new_table_refuses_is_dropped_for_good(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 3600)));
	fake_firewall_lose(bed.firewall);
	fake_firewall_refuse_additions(bed.firewall, 1, ENOSPC);
	engine_check_table(bed.engine, bed.now);
	assert_null(lease_at(UDP, 5000));
	assert_non_null(lease_at(UDP, 5001));
	assert_int_equal(counted()->kernel_refusals, 1);
	assert_int_equal(engine_table_changes(bed.engine), 3); /* readers see that it went */
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_OK);
	check_agreement();
}

/* An answer that changed nothing stands on what is lost in the same moment. */
static void
nobody_is_told_of_what_the_new_table_refuses(void **state)
{
	(void)state;
	ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 7));
	fake_firewall_lose(bed.firewall);
	fake_firewall_refuse_additions(bed.firewall, 1, ENOSPC);
	submit(natpmp_map(wish(2, UDP, 4000, 0, 600)));
	submit(natpmp_map(wish(3, UDP, 4000, 0, 600)));
	flush();
	assert_int_equal(result_of(1), MAP_NO_RESOURCES);
	assert_int_equal(result_of(2), MAP_OK);
	assert_null(lease_at(UDP, 5000));
	assert_int_equal(counted()->kernel_refusals, 1);
	check_agreement();
}

/* If the outbound mapping is refused, the next of its endpoint is outbound, in whatever piece it
 * goes. */
static void
a_refused_outbound_mapping_has_an_heir(void **state)
{
	static const uint16_t between[] = {0, FIREWALL_CHUNK};

	for (size_t i = 0; i < COUNT(between); i++) {
		bed_tear_down(state);
		assert_int_equal(bed_set_up(state), 0);
		ask(upnp_add(wish(2, UDP, 4000, 5000, 3600)));
		for (uint16_t n = 0; n < between[i]; n++)
			submit(natpmp_map(wish(3, TCP, (uint16_t)(4000 + n), 0, 3600)));
		flush();
		ask(upnp_add(wish(2, UDP, 4000, 5001, 3600)));
		fake_firewall_lose(bed.firewall);
		fake_firewall_refuse_additions(bed.firewall, 1, ENOSPC);
		engine_check_table(bed.engine, bed.now);
		assert_null(lease_at(UDP, 5000));
		assert_true(lease_at(UDP, 5001)->record.outbound);
		check_agreement();
	}
}

/* Nobody asks for it in the middle of a batch; if somebody did, no harm would come of it. */
static void
a_table_made_anew_under_a_batch(void **state)
{
	struct address before = engine_external_address(bed.engine);

	(void)state;
	fake_firewall_lose(bed.firewall);
	submit(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	engine_check_table(bed.engine, bed.now);
	flush();
	assert_int_equal(result_of(0), MAP_OK);
	check_agreement();
	fake_firewall_lose(bed.firewall);
	submit(natpmp_map(wish(2, UDP, 4001, 5001, 3600)));
	assert_int_equal(set_wan("203.0.113.6"), 0);
	flush();
	assert_int_equal(result_of(1), MAP_OK);
	assert_true(address_equal(&reply_to(1)->external.address, &before));
	check_agreement();
}

static void
the_other_mapping_of_an_endpoint_becomes_outbound_at_once(void **state)
{
	unsigned commits;

	(void)state;
	ask(upnp_add(wish(2, UDP, 4000, 5000, 3600)));
	ask(upnp_add(wish(2, UDP, 4000, 5001, 7200)));
	ask(upnp_add(wish(2, UDP, 4000, 5002, 7200)));
	assert_true(kernel_at(UDP, 5000)->outbound);
	assert_false(kernel_at(UDP, 5001)->outbound);
	commits = fake_firewall_commits(bed.firewall);
	ask(upnp_delete(wish(2, UDP, 0, 5000, 0)));
	assert_int_equal(fake_firewall_commits(bed.firewall), commits + 1);
	assert_true(kernel_at(UDP, 5001)->outbound);
	assert_int_equal(counted()->renewed, 0); /* it was only moved */
	check_agreement();
	pass(7201);
	assert_int_equal(fake_firewall_count(bed.firewall), 0);
}

static void
connections_are_counted_over_renewals(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	fake_firewall_connect(bed.firewall, UDP, 5000, 3);
	assert_int_equal(engine_connections(bed.engine, lease_at(UDP, 5000)), 3);
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	assert_int_equal(engine_connections(bed.engine, lease_at(UDP, 5000)), 3);
	fake_firewall_connect(bed.firewall, UDP, 5000, 2);
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	fake_firewall_connect(bed.firewall, UDP, 5000, 1);
	assert_int_equal(engine_connections(bed.engine, lease_at(UDP, 5000)), 6);
}

static void
leases_end_on_time(void **state)
{
	(void)state;
	assert_true(run() == MONOTIME_NEVER);
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 60)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 30)));
	assert_true(run() == bed.now + 30 * MONOTIME_SECOND);
	wait_ms(30 * MONOTIME_SECOND - 1);
	assert_true(run() == bed.now + 1);
	assert_non_null(kernel_at(UDP, 5001));
	wait_ms(1);
	assert_true(run() == bed.now + 30 * MONOTIME_SECOND);
	assert_null(kernel_at(UDP, 5001));
	assert_non_null(kernel_at(UDP, 5000));
	assert_int_equal(counted()->expired, 1);
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 300)));
	pass(299);
	assert_non_null(lease_at(UDP, 5000));
	pass(1);
	assert_null(lease_at(UDP, 5000));
	assert_int_equal(counted()->table_restores, 0);
	check_agreement();
}

static void
many_that_end_at_once_go_in_pieces(void **state)
{
	enum { LEASES = 1100 };
	size_t before = LEASES, after;
	unsigned turns = 0;

	(void)state;
	for (uint16_t i = 0; i < LEASES; i++)
		submit(natpmp_map(wish(2, UDP, (uint16_t)(4000 + i), 0, 60)));
	flush();
	wait_ms(60 * MONOTIME_SECOND);
	do {
		monotime next = run();

		after = lease_table_count(engine_leases(bed.engine));
		assert_in_range(before - after, 1, FIREWALL_CHUNK);
		assert_int_equal(next <= bed.now, after > 0);
		before = after;
		check_agreement();
	} while (after > 0 && turns++ < 100);
	assert_in_range(turns, 2, 20);
}

static void
delete_all_of_very_many(void **state)
{
	enum { LEASES = BED_QUOTA };

	(void)state;
	for (uint16_t i = 0; i < LEASES; i++)
		submit(natpmp_map(wish(2, UDP, (uint16_t)(4000 + i), 0, 3600)));
	flush();
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 3999, 0, 3600)))->result, MAP_QUOTA);
	assert_int_equal(ask(natpmp_delete_all(2, UDP))->result, MAP_OK);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 0);
	assert_int_equal(counted()->table_restores, 0);
	check_agreement();
}

static void
the_epoch_is_the_address_age(void **state)
{
	(void)state;
	assert_int_equal(engine_epoch(bed.engine, bed.now), 0);
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	pass(100);
	assert_int_equal(ask((struct map_request){.kind = REQUEST_ANNOUNCE})->epoch, 100);
	assert_int_equal(set_wan("203.0.113.5"), 0); /* something else of the network changed */
	assert_int_equal(engine_epoch(bed.engine, bed.now), 100);
	assert_int_equal(set_wan("203.0.113.6"), 0);
	assert_int_equal(ask((struct map_request){.kind = REQUEST_ANNOUNCE})->epoch, 0);
	assert_true(address_equal(&fake_firewall_network(bed.firewall)->wan_address[0],
				  &bed.network.wan_address[0]));
	pass(7);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 80, 0, 60)))->epoch, 7);
	assert_non_null(lease_at(UDP, 5000));
	/* A loss that was made good is none (RFC 6886 3.6). */
	fake_firewall_lose(bed.firewall);
	engine_check_table(bed.engine, bed.now);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 7);
	check_agreement();
}

static void
without_an_address_leases_stay_and_can_be_deleted(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 3600)));
	assert_int_equal(set_wan(NULL), 0);
	assert_int_equal(ask((struct map_request){.kind = REQUEST_ADDRESS})->result,
			 MAP_NO_ADDRESS);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_NO_ADDRESS);
	assert_int_equal(ask(pcp_map(wish(3, UDP, 4000, 0, 3600), 7))->result, MAP_NO_ADDRESS);
	assert_int_equal(ask(natpmp_delete(wish(2, UDP, 4000, 0, 0)))->result, MAP_OK);
	check_agreement();
	assert_int_equal(fake_firewall_count(bed.firewall), 1);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4001, 0, 3600)))->external.port, 5001);
	pass(3600);
	assert_int_equal(fake_firewall_count(bed.firewall), 0);
}

static void
a_network_that_changes_while_the_table_is_lost(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	fake_firewall_lose(bed.firewall);
	assert_int_equal(set_wan("203.0.113.6"), 0);
	assert_true(fake_firewall_has_table(bed.firewall));
	assert_true(address_equal(&fake_firewall_network(bed.firewall)->wan_address[0],
				  &bed.network.wan_address[0]));
	check_agreement();
}

static void
the_admin_removes_a_lease(void **state)
{
	uint64_t id;

	(void)state;
	ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 7));
	id = lease_at(UDP, 5000)->record.id;
	assert_false(engine_remove(bed.engine, id + 1, bed.now));
	assert_true(engine_remove(bed.engine, id, bed.now));
	assert_false(engine_remove(bed.engine, id, bed.now));
	flush();
	assert_null(kernel_at(UDP, 5000));
	assert_int_equal(counted()->removed, 1);
	assert_int_equal(counted()->deleted, 0);
	check_agreement();
	/* What the kernel would not let go of is still there. */
	ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 7));
	id = lease_at(UDP, 5000)->record.id;
	fake_firewall_fail_commits(bed.firewall, 1, EIO);
	assert_true(engine_remove(bed.engine, id, bed.now));
	flush();
	assert_non_null(lease_table_by_id(engine_leases(bed.engine), id));
	check_agreement();
}

static void
renewals_set_or_prolong(void **state)
{
	(void)state;
	ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 7));
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 0, 600)))->lifetime, 600);
	assert_int_equal(kernel_at(UDP, 5000)->expires,
			 bed.now + 3600 * MONOTIME_SECOND + TRANSACTION_GRACE);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 0, 7200)))->lifetime, 7200);
	assert_int_equal(kernel_at(UDP, 5000)->expires,
			 bed.now + 7200 * MONOTIME_SECOND + TRANSACTION_GRACE);
	assert_int_equal(lease_at(UDP, 5000)->record.origin, ORIGIN_PCP);
	assert_int_equal(ask(pcp_map(wish(2, UDP, 4000, 0, 600), 8))->result, MAP_NOT_YOURS);
	assert_int_equal(ask(pcp_map(wish(2, UDP, 4000, 0, 600), 7))->lifetime, 600);
	assert_int_equal(kernel_at(UDP, 5000)->expires,
			 bed.now + 600 * MONOTIME_SECOND + TRANSACTION_GRACE);
	check_agreement();
}

static void
every_request_and_result_is_counted(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 80, 0, 3600)));
	ask(pcp_map(wish(3, UDP, 4000, 0, 3600), 7));
	ask(natpmp_delete(wish(2, UDP, 4000, 0, 0)));
	ask(upnp_add(wish(2, UDP, 4001, 5001, 3600)));
	ask(upnp_add(wish(2, UDP, 4002, 5001, 3600)));
	assert_int_equal(counted()->requests[ORIGIN_NATPMP], 4);
	assert_int_equal(counted()->requests[ORIGIN_PCP], 1);
	assert_int_equal(counted()->requests[ORIGIN_UPNP], 2);
	assert_int_equal(counted()->results[MAP_OK], 6);
	assert_int_equal(counted()->results[MAP_NOT_AUTHORIZED], 1);
	assert_int_equal(counted()->granted, 4);
	assert_int_equal(counted()->renewed, 1);
	assert_int_equal(counted()->deleted, 2);
	assert_int_equal(counted()->address_changes, 1);
}

static bool
logged(const char *part)
{
	if (!strstr(bed.log, part))
		print_message("log: %s\n", bed.log);
	return strstr(bed.log, part) != NULL;
}

static void
what_happens_is_logged(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 60)));
	assert_true(logged(
	    "lease: granted id=1 client=192.168.1.2 protocol=nat-pmp transport=udp external=5000 "
	    "internal=4000 lifetime=60"));
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 90)));
	assert_true(logged("lease: renewed id=1 ") && logged("lifetime=90"));
	pass(90);
	assert_true(logged("lease: expired id=1 "));
	ask(natpmp_map(wish(2, UDP, 80, 0, 60)));
	assert_true(logged("request: refused client=192.168.1.2 ") &&
		    logged("reason=not-authorized"));
	ask(upnp_add(wish(2, UDP, 4000, 5000, 60)));
	ask(upnp_delete(wish(2, UDP, 4000, 5000, 60)));
	assert_true(logged("lease: deleted id=2 "));
	engine_refuse(bed.engine, &(struct map_request){.origin = ORIGIN_PCP}, MAP_MALFORMED_OPTION,
		      bed.now);
	assert_true(
	    logged("protocol=pcp transport=none external=0 internal=0 reason=malformed-option"));
	assert_int_equal(counted()->results[MAP_MALFORMED_OPTION], 1);
	fake_firewall_lose(bed.firewall);
	engine_check_table(bed.engine, bed.now);
	assert_true(logged("firewall: table restored leases=0"));
}

static void
a_table_that_could_not_be_made_is_made_later(void **state)
{
	(void)state;
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_NO_ADDRESS);
	fake_firewall_fail_commits(bed.firewall, 1, EPERM);
	assert_int_equal(set_wan("203.0.113.5"), -EPERM);
	assert_false(engine_table_intact(bed.engine));
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_OK);
	assert_true(engine_table_intact(bed.engine));
	check_agreement();
	fake_firewall_lose(bed.firewall);
	engine_check_table(bed.engine, bed.now);
	check_agreement();
	assert_int_equal(set_wan("203.0.113.6"), 0);
	check_agreement();
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, bed_set_up, bed_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_request_is_answered_by_the_flush),
	    TEST(a_batch_is_one_transaction),
	    TEST(more_requests_than_a_batch_takes_are_all_answered_once),
	    TEST(what_changes_nothing_makes_no_transaction),
	    TEST(the_same_request_twice_in_a_batch_is_one_lease),
	    TEST(a_port_is_handed_on_within_a_batch),
	    TEST(a_refusal_by_the_kernel_hits_only_its_request),
	    TEST(nobody_is_told_of_what_the_kernel_refused),
	    TEST(a_failed_transaction_is_undone_and_answered),
	    TEST(an_element_that_vanished_makes_the_table_anew),
	    TEST(vanished_and_refused_in_one_batch),
	    TEST(a_lost_table_comes_back_with_every_lease),
	    TEST(a_table_lost_while_it_is_made_costs_no_lease),
	    TEST(a_request_meets_the_loss_before_the_watch_does),
	    TEST(restoring_is_bounded),
	    TEST(waiting_for_the_kernel_is_no_busy_loop),
	    TEST(what_the_new_table_refuses_is_dropped_for_good),
	    TEST(what_it_refuses_is_told_to_nobody_else),
	    TEST(nobody_is_told_of_what_the_new_table_refuses),
	    TEST(a_refused_outbound_mapping_has_an_heir),
	    TEST(a_table_made_anew_under_a_batch),
	    TEST(the_other_mapping_of_an_endpoint_becomes_outbound_at_once),
	    TEST(connections_are_counted_over_renewals),
	    TEST(leases_end_on_time),
	    TEST(many_that_end_at_once_go_in_pieces),
	    TEST(delete_all_of_very_many),
	    TEST(the_epoch_is_the_address_age),
	    TEST(without_an_address_leases_stay_and_can_be_deleted),
	    TEST(a_network_that_changes_while_the_table_is_lost),
	    TEST(the_admin_removes_a_lease),
	    TEST(renewals_set_or_prolong),
	    TEST(every_request_and_result_is_counted),
	    TEST(what_happens_is_logged),
	    cmocka_unit_test_setup_teardown(a_table_that_could_not_be_made_is_made_later,
					    bed_set_up_bare, bed_tear_down),
	};

	bed.random = random_begin("engine");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
