/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the hosts of a LAN's former prefixes are given up. */
#include "../../daemon/core/renumbering.h"

#include <string.h>

#include "hex.h"

static struct renumbering r;

static void
set(size_t lan, const char *first, const char *second, monotime now)
{
	struct prefix prefix[2] = {{.length = 0}};
	size_t count = 0;

	if (first)
		assert_true(prefix_parse(first, &prefix[count++]));
	if (second)
		assert_true(prefix_parse(second, &prefix[count++]));
	renumbering_set_lan(&r, lan, prefix, count, now);
}

static void
assert_taken(monotime now, const char *expected)
{
	struct prefix prefix;
	char text[PREFIX_TEXT_SIZE] = "";

	if (renumbering_take(&r, now, &prefix))
		prefix_print(&prefix, text);
	assert_string_equal(text, expected);
}

static int
setup(void **state)
{
	(void)state;
	memset(&r, 0, sizeof(r));
	set(0, "192.168.1.0/24", NULL, 5);
	set(1, "10.0.0.0/8", "10.1.0.0/16", 5);
	return 0;
}

static void
a_former_prefix_is_due_after_a_while(void **state)
{
	(void)state;
	assert_true(renumbering_due(&r) == MONOTIME_NEVER);
	set(0, "192.168.2.0/24", NULL, 1000);
	set(0, "192.168.2.0/24", "192.168.3.0/24", 2000);
	assert_int_equal(renumbering_due(&r), 31000);
	assert_taken(30999, "");
	assert_taken(31000, "192.168.1.0/24");
	assert_taken(99999, "");
	assert_true(renumbering_due(&r) == MONOTIME_NEVER);
}

static void
a_lan_that_is_not_there_gives_up_none(void **state)
{
	(void)state;
	set(0, NULL, NULL, 1000);
	assert_true(renumbering_due(&r) == MONOTIME_NEVER);
	set(0, "192.168.2.0/24", NULL, 50000);
	set(0, NULL, NULL, 60000);
	assert_true(renumbering_due(&r) == MONOTIME_NEVER);
	set(0, "192.168.2.0/24", NULL, 70000);
	assert_int_equal(renumbering_due(&r), 100000);
	set(0, "192.168.1.0/24", "192.168.2.0/24", 80000);
	assert_true(renumbering_due(&r) == MONOTIME_NEVER);
}

static void
each_lan_has_its_own(void **state)
{
	(void)state;
	set(1, "10.1.0.0/16", NULL, 1000);
	set(0, "10.0.0.0/8", NULL, 3000);
	assert_int_equal(renumbering_due(&r), 31000);
	assert_taken(50000, "10.0.0.0/8");
	assert_taken(50000, "192.168.1.0/24");
	assert_taken(50000, "");
}

static void
numbers_may_change(void **state)
{
	const size_t origin[] = {SIZE_MAX, 1}, swapped[] = {1, SIZE_MAX, 0};

	(void)state;
	set(1, "10.1.0.0/16", NULL, 1000);
	set(0, "192.168.2.0/24", NULL, 2000);
	renumbering_move(&r, swapped, 3);
	set(2, "192.168.2.0/24", NULL, 3000);
	set(0, "10.1.0.0/16", NULL, 3000);
	assert_int_equal(renumbering_due(&r), 31000);
	assert_taken(31000, "10.0.0.0/8");
	renumbering_move(&r, origin, 2); /* of the two that are left neither is number 1 */
	assert_int_equal(r.count, 0);
}

static void
more_than_it_can_know_are_not_given_up(void **state)
{
	char prefix[32];

	(void)state;
	for (int i = 0; i < 2 * RENUMBERING_PREFIXES; i++) {
		snprintf(prefix, sizeof(prefix), "172.16.%d.0/24", i);
		set(0, prefix, NULL, 1000 + i);
	}
	assert_int_equal(r.count, RENUMBERING_PREFIXES);
	assert_taken(31000, "192.168.1.0/24");
	assert_taken(31000, "");
	assert_taken(31001, "172.16.0.0/24");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_former_prefix_is_due_after_a_while, setup),
	    cmocka_unit_test_setup(a_lan_that_is_not_there_gives_up_none, setup),
	    cmocka_unit_test_setup(each_lan_has_its_own, setup),
	    cmocka_unit_test_setup(numbers_may_change, setup),
	    cmocka_unit_test_setup(more_than_it_can_know_are_not_given_up, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
