/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thousands of requests of every kind from a few clients over a few ports, with a kernel that
 * refuses, fails, forgets and loses its table, and an address that comes and goes.  After each
 * batch kernel and table must agree, and every answer must be true.
 */
#include "engine_bed.h"

#include <errno.h>

enum { BATCHES = 6000, BATCH_MOST = 100, CLIENTS = 5 };

static struct {
	uint32_t first; /* submission of the batch under way */
	bool tampered;	/* the kernel lacks something that the engine has not noticed */
	uint64_t restores;
	unsigned refusals_seen, granted_seen, checked;
} r;

static struct wish
random_wish(void)
{
	static const uint16_t externals[] = {0, 80, 2049, 4000, 5000, 5001, 5002, 5003, 5351};
	static const uint32_t lifetimes[] = {1, 5, 30, 119, 120, 3600, 90000, UINT32_MAX};

	struct wish w;

	/* One after the other, so that a seed means the same with every compiler. */
	w.host = 2 + below(CLIENTS);
	w.transport = maybe(50) ? UDP : TCP;
	w.internal = (uint16_t)(maybe(3) ? 80 : 4000 + below(4));
	w.external = externals[below(COUNT(externals))];
	w.lifetime = lifetimes[below(COUNT(lifetimes))];
	return w;
}

static struct map_request
random_request(void)
{
	struct wish w = random_wish();
	uint8_t nonce = (uint8_t)(1 + below(2));

	switch (below(14)) {
	case 0:
	case 1:
	case 2:
		return natpmp_map(w);
	case 3:
		return natpmp_delete(w);
	case 4:
		return maybe(30) ? natpmp_delete_all(w.host, w.transport) : natpmp_map(w);
	case 5:
	case 6:
	case 7:
		return pcp_map(w, nonce);
	case 8:
		return w.external ? pcp_map_exactly(w, nonce) : pcp_map(w, nonce);
	case 9:
		return pcp_delete(w, nonce);
	case 10:
	case 11:
		return maybe(30) ? upnp_add_any(w) : upnp_add(w);
	case 12:
		return upnp_delete(w);
	default:
		return (struct map_request){.kind = maybe(50) ? REQUEST_ADDRESS : REQUEST_ANNOUNCE,
					    .origin = ORIGIN_PCP,
					    .client = host(w.host)};
	}
}

static void
tamper(void)
{
	r.tampered = true;
	r.restores = counted()->table_restores;
}

static void
kernel_event(void)
{
	static const uint16_t victims[] = {4000, 4001, 5000, 5001, 5002};
	enum transport transport = maybe(50) ? UDP : TCP;
	uint16_t victim = victims[below(COUNT(victims))];

	switch (below(6)) {
	case 0:
	case 1:
		fake_firewall_refuse_additions(bed.firewall, 1 + below(3), ENOSPC);
		break;
	case 2:
		fake_firewall_fail_commits(bed.firewall, 1, EIO);
		break;
	case 3:
		fake_firewall_lose(bed.firewall);
		tamper();
		break;
	case 4:
		if (kernel_at(transport, victim)) {
			fake_firewall_drop(bed.firewall, transport, victim);
			tamper();
		}
		break;
	case 5:
		if (kernel_at(transport, victim))
			fake_firewall_connect(bed.firewall, transport, victim, 1);
		break;
	}
}

static bool
same_client(const struct map_request *a, const struct map_request *b)
{
	return a->transport == b->transport && address_equal(&a->client, &b->client);
}

static bool
same_internal(const struct map_request *a, const struct map_request *b)
{
	return same_client(a, b) && a->internal.port == b->internal.port;
}

/* Did a later request of the batch change what this one was told?  Or might it have: then nothing
 * is to be said. */
static bool
is_overtaken(uint32_t n)
{
	const struct map_request *mine = &bed.slot[n % BED_SLOTS].request;

	for (uint32_t i = n + 1; i < bed.submitted; i++) {
		const struct map_request *later = &bed.slot[i % BED_SLOTS].request;

		/* Deleting all deletes what it can, also where it has to report a failure. */
		if ((result_of(i % BED_SLOTS) != MAP_OK && later->kind != REQUEST_DELETE_ALL) ||
		    !same_client(mine, later))
			continue;
		if (later->kind != REQUEST_MAP || later->by_external || mine->kind != REQUEST_MAP ||
		    same_internal(mine, later))
			return true;
	}
	return false;
}

/* What the client was told it has, it has. */
static void
check_map(const struct map_request *request, const struct map_reply *reply)
{
	const struct lease *lease = lease_at(request->transport, reply->external.port);
	struct address external = engine_external_address(bed.engine);

	assert_non_null(lease);
	assert_true(address_equal(&lease->record.internal.address, &request->client));
	assert_int_equal(lease->record.internal.port, request->internal.port);
	assert_true(lease->record.ends >= bed.now + reply->lifetime * MONOTIME_SECOND);
	assert_true(address_equal(&reply->external.address, &external));
	if (request->origin != ORIGIN_PCP)
		assert_true(reply->lifetime <= request->lifetime);
}

/* What the client was told is gone, is gone. */
static void
check_delete(const struct map_request *request)
{
	const struct lease *lease;

	if (request->by_external) {
		lease = lease_at(request->transport, request->external_port);
		assert_true(!lease ||
			    !address_equal(&lease->record.internal.address, &request->client));
		return;
	}
	for (lease = lease_table_first_of_client(engine_leases(bed.engine), &request->client);
	     lease; lease = lease_next_of_client(lease))
		assert_false(lease->record.transport == request->transport &&
			     lease->record.origin == request->origin &&
			     (request->kind == REQUEST_DELETE_ALL ||
			      lease->record.internal.port == request->internal.port));
}

static void
check_answers(void)
{
	for (uint32_t n = r.first; n < bed.submitted; n++) {
		const struct map_request *request = &bed.slot[n % BED_SLOTS].request;
		const struct map_reply *reply = reply_to(n % BED_SLOTS);

		assert_int_equal(reply->epoch, engine_epoch(bed.engine, bed.now));
		if (reply->result == MAP_NO_RESOURCES)
			r.refusals_seen++;
		if (reply->result != MAP_OK || request->kind == REQUEST_ADDRESS ||
		    request->kind == REQUEST_ANNOUNCE || is_overtaken(n))
			continue;
		r.checked++;
		if (request->kind == REQUEST_MAP)
			check_map(request, reply);
		else
			check_delete(request);
	}
	r.first = bed.submitted;
}

/* A lease that is due but could not be ended yet may have been ended by the kernel. */
static bool
is_overdue(void)
{
	const struct lease *lease = lease_table_first_to_end(engine_leases(bed.engine));

	return lease && lease->record.ends <= bed.now;
}

static void
check_kernel(void)
{
	if (r.tampered && counted()->table_restores == r.restores)
		return;
	r.tampered = false;
	if (!is_overdue())
		check_agreement();
}

static void
one_batch(void)
{
	uint32_t requests = maybe(5) ? below(BATCH_MOST) : below(8);

	for (uint32_t i = 0; i < requests; i++)
		submit(random_request());
	flush();
	check_answers();
	run();
	check_kernel();
}

static void
something_else(void)
{
	static const char *const externals[] = {NULL, "203.0.113.5", "203.0.113.6", "203.0.113.6"};
	const struct lease *lease;

	switch (below(10)) {
	case 0:
		set_wan(externals[below(COUNT(externals))]);
		break;
	case 1:
	case 2:
	case 3:
		kernel_event();
		break;
	case 4:
		lease = lease_table_after_id(engine_leases(bed.engine), 0);
		if (lease)
			engine_remove(bed.engine, lease->record.id, bed.now);
		break;
	case 5:
		/* A quiet minute; nothing fails then. */
		fake_firewall_refuse_additions(bed.firewall, 0, 0);
		fake_firewall_fail_commits(bed.firewall, 0, 0);
		engine_check_table(bed.engine, bed.now);
		pass(below(90));
		break;
	default:
		wait_ms(below(3000));
		engine_check_table(bed.engine, bed.now);
		run();
	}
}

/* An end to all refusals: within seconds everything is in order. */
static void
settle_down(void)
{
	fake_firewall_refuse_additions(bed.firewall, 0, 0);
	fake_firewall_fail_commits(bed.firewall, 0, 0);
	fake_firewall_lose(bed.firewall);
	engine_check_table(bed.engine, bed.now);
	pass(3);
	assert_true(engine_table_intact(bed.engine));
	check_agreement();
	assert_int_equal(set_wan("203.0.113.5"), 0);
}

static void
kernel_and_answers_are_true_whatever_happens(void **state)
{
	(void)state;
	memset(&r, 0, sizeof(r));
	for (int i = 0; i < BATCHES; i++) {
		one_batch();
		if (maybe(60))
			something_else();
		if (i % 500 == 499)
			settle_down();
	}
	/* It went through what it was made for. */
	assert_true(r.checked > BATCHES / 2);
	assert_true(r.refusals_seen > 100);
	assert_true(counted()->granted > 1000 && counted()->renewed > 100 &&
		    counted()->deleted > 100);
	assert_true(counted()->expired > 100 && counted()->removed > 100);
	assert_true(counted()->kernel_refusals > 50 && counted()->kernel_aborts > 50 &&
		    counted()->table_restores > 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(kernel_and_answers_are_true_whatever_happens,
					    bed_set_up, bed_tear_down),
	};

	bed.random = random_begin("random requests");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
