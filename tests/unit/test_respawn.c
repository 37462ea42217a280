/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What dies seldom comes back at once, what dies at once again and again rests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../daemon/base/respawn.h"

#define START (5000 * MONOTIME_SECOND)

static void
test_seldom_at_once(void **state)
{
	(void)state;
	struct respawn r = {.deaths = 0};
	monotime now = START;
	for (int i = 0; i < 50; i++, now += RESPAWN_WINDOW / (RESPAWN_DEATHS - 1))
		assert_int_equal(respawn_at(&r, now), now);
}

static void
test_fifth_of_ten_seconds_rests(void **state)
{
	(void)state;
	struct respawn r = {.deaths = 0};
	for (int i = 0; i < RESPAWN_DEATHS - 1; i++)
		assert_int_equal(respawn_at(&r, START + i), START + i);
	assert_int_equal(respawn_at(&r, START + RESPAWN_WINDOW - 1),
			 START + RESPAWN_WINDOW - 1 + RESPAWN_REST);
}

static void
test_fifth_after_ten_seconds_does_not(void **state)
{
	(void)state;
	struct respawn r = {.deaths = 0};
	for (int i = 0; i < RESPAWN_DEATHS - 1; i++)
		respawn_at(&r, START);
	assert_int_equal(respawn_at(&r, START + RESPAWN_WINDOW), START + RESPAWN_WINDOW);
}

/* Dies at once whenever it is started, for an hour. */
static void
test_rests_double_up_to_the_most(void **state)
{
	(void)state;
	static const monotime rests[] = {0, 0, 0, 0, 1, 2, 4, 8, 10, 10};
	struct respawn r = {.deaths = 0};
	monotime now = START;
	for (size_t i = 0; now < START + 3600 * MONOTIME_SECOND; i++) {
		size_t last = sizeof(rests) / sizeof(*rests) - 1;
		monotime rest = rests[i < last ? i : last] * MONOTIME_SECOND;
		assert_int_equal(respawn_at(&r, now), now + rest);
		now += rest;
	}
}

/* Once it lived for a while, it is as good as new. */
static void
test_recovers(void **state)
{
	(void)state;
	struct respawn r = {.deaths = 0};
	monotime now = START;
	for (int i = 0; i < 20; i++)
		now = respawn_at(&r, now);
	now += RESPAWN_WINDOW;
	for (int i = 0; i < RESPAWN_DEATHS - 1; i++)
		assert_int_equal(respawn_at(&r, now), now);
	assert_int_equal(respawn_at(&r, now), now + RESPAWN_REST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_seldom_at_once),
	    cmocka_unit_test(test_fifth_of_ten_seconds_rests),
	    cmocka_unit_test(test_fifth_after_ten_seconds_does_not),
	    cmocka_unit_test(test_rests_double_up_to_the_most),
	    cmocka_unit_test(test_recovers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
