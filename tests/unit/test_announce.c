/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a series of announcements is sent (RFC 6886 3.2.1). */
#include "../../daemon/frontends/announce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { BEGIN = 5000 };

static void
no_series_before_the_first_event(void **state)
{
	struct announce a = {.left = 0};

	(void)state;
	assert_true(announce_next(&a) == MONOTIME_NEVER);
	assert_false(announce_take(&a, BEGIN));
}

static void
ten_sends_with_doubling_gaps(void **state)
{
	static const monotime at[] = {0, 250, 750, 1750, 3750, 7750, 15750, 31750, 63750, 127750};
	struct announce a = {.left = 0};

	(void)state;
	announce_start(&a, BEGIN);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		assert_int_equal(announce_next(&a), BEGIN + at[i]);
		assert_false(announce_take(&a, BEGIN + at[i] - 1));
		assert_true(announce_take(&a, BEGIN + at[i]));
		assert_false(announce_take(&a, BEGIN + at[i]));
	}
	assert_true(announce_next(&a) == MONOTIME_NEVER);
}

static void
a_late_send_does_not_shorten_the_next_gap(void **state)
{
	struct announce a = {.left = 0};

	(void)state;
	announce_start(&a, BEGIN);
	assert_true(announce_take(&a, BEGIN));
	assert_true(announce_take(&a, BEGIN + 10000));
	assert_int_equal(announce_next(&a), BEGIN + 10500);
}

static void
an_event_begins_the_series_anew(void **state)
{
	struct announce a = {.left = 0};
	int sends = 0;

	(void)state;
	announce_start(&a, BEGIN);
	assert_true(announce_take(&a, BEGIN));
	assert_true(announce_take(&a, BEGIN + 250));
	announce_start(&a, BEGIN + 300);
	assert_int_equal(announce_next(&a), BEGIN + 300);
	while (sends < 100 && announce_next(&a) != MONOTIME_NEVER) {
		assert_true(announce_take(&a, announce_next(&a)));
		sends++;
	}
	assert_int_equal(sends, ANNOUNCE_SENDS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_series_before_the_first_event),
	    cmocka_unit_test(ten_sends_with_doubling_gaps),
	    cmocka_unit_test(a_late_send_does_not_shorten_the_next_gap),
	    cmocka_unit_test(an_event_begins_the_series_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
