/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Token buckets per client, also when more clients ask than the table holds. */
#include "../../daemon/base/rate_limit.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

enum { BEGIN = 1000000 };

static uint64_t seed;

static struct address
client(uint32_t number)
{
	return address_from_ipv4(htonl(0x0a000000 + number));
}

/* How many of so many requests at one time pass? */
static unsigned
passed(struct rate_limit *r, uint32_t number, unsigned requests, monotime now)
{
	struct address a = client(number);
	unsigned count = 0;

	for (unsigned i = 0; i < requests; i++)
		count += rate_limit_take(r, &a, now);
	return count;
}

static void
a_second_of_requests_at_once_then_the_rate(void **state)
{
	struct rate_limit *r = rate_limit_new(200, seed);

	(void)state;
	assert_non_null(r);
	assert_int_equal(passed(r, 1, 1000, BEGIN), 200);
	assert_int_equal(passed(r, 1, 10, BEGIN + 4), 0);
	assert_int_equal(passed(r, 1, 10, BEGIN + 5), 1);
	assert_int_equal(passed(r, 1, 1000, BEGIN + 505), 100);
	assert_int_equal(passed(r, 1, 1000, BEGIN + 100000), 200);
	rate_limit_free(r);
}

static void
a_client_at_the_rate_is_never_limited(void **state)
{
	struct rate_limit *r = rate_limit_new(200, seed);
	struct address a = client(1);

	(void)state;
	for (monotime now = BEGIN; now < BEGIN + 60 * MONOTIME_SECOND; now += 5)
		assert_true(rate_limit_take(r, &a, now));
	rate_limit_free(r);
}

static void
clients_do_not_share(void **state)
{
	struct rate_limit *r = rate_limit_new(10, seed);

	(void)state;
	assert_int_equal(passed(r, 1, 100, BEGIN), 10);
	for (uint32_t i = 2; i < 250; i++)
		assert_int_equal(passed(r, i, 100, BEGIN), 10);
	assert_int_equal(passed(r, 1, 1, BEGIN), 0);
	rate_limit_free(r);
}

static void
zero_is_no_limit(void **state)
{
	struct rate_limit *r = rate_limit_new(0, seed);

	(void)state;
	assert_int_equal(passed(r, 1, 100000, BEGIN), 100000);
	rate_limit_free(r);
}

static void
one_a_second_and_many_a_second(void **state)
{
	struct rate_limit *slow = rate_limit_new(1, seed), *fast = rate_limit_new(1000000, seed);

	(void)state;
	assert_int_equal(passed(slow, 1, 10, BEGIN), 1);
	assert_int_equal(passed(slow, 1, 10, BEGIN + 999), 0);
	assert_int_equal(passed(slow, 1, 10, BEGIN + 1000), 1);
	assert_int_equal(passed(fast, 1, 2000000, BEGIN), 1000000);
	rate_limit_free(slow);
	rate_limit_free(fast);
}

/* One token each of 60 000 false addresses, far more than the table has room for. */
static void
flood(struct rate_limit *r, monotime now)
{
	for (uint32_t i = 0; i < 60000; i++)
		passed(r, 100000 + i, 1, now);
}

static void
a_flood_of_false_addresses_takes_nothing_from_honest_clients(void **state)
{
	struct rate_limit *r = rate_limit_new(20, seed);

	(void)state;
	for (monotime now = BEGIN; now < BEGIN + 3 * MONOTIME_SECOND; now += 100) {
		flood(r, now);
		for (uint32_t i = 1; i < 200; i++)
			assert_int_equal(passed(r, i, 2, now), 2);
	}
	rate_limit_free(r);
}

static void
an_empty_bucket_is_not_forgotten_for_a_flood(void **state)
{
	struct rate_limit *r = rate_limit_new(20, seed);

	(void)state;
	assert_int_equal(passed(r, 1, 100, BEGIN), 20);
	flood(r, BEGIN);
	assert_int_equal(passed(r, 1, 100, BEGIN), 0);
	assert_int_equal(passed(r, 1, 100, BEGIN + 500), 10);
	rate_limit_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_second_of_requests_at_once_then_the_rate),
	    cmocka_unit_test(a_client_at_the_rate_is_never_limited),
	    cmocka_unit_test(clients_do_not_share),
	    cmocka_unit_test(zero_is_no_limit),
	    cmocka_unit_test(one_a_second_and_many_a_second),
	    cmocka_unit_test(a_flood_of_false_addresses_takes_nothing_from_honest_clients),
	    cmocka_unit_test(an_empty_bucket_is_not_forgotten_for_a_flood),
	};
	const char *given = getenv("SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
