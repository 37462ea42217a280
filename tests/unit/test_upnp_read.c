/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reading the table costs, in steps from node to node: of each of the lease table's trees, for
 * which it is compiled here. */
#include <bsd/sys/tree.h>

static unsigned long steps;

static inline void
step(void)
{
	steps++;
}

#undef RB_LEFT
#undef RB_RIGHT
#define RB_LEFT(element, field)	 (*(step(), &(element)->field.rbe_left))
#define RB_RIGHT(element, field) (*(step(), &(element)->field.rbe_right))
#include "../../daemon/core/lease_table.c"

#include "engine_bed.h"

#include "../../daemon/frontends/upnp_read.h"

enum { ENTRIES = 10000 };

/* Of a red-black tree of so many; each node looks at its left child and at one more. */
enum { DEPTH = 2 * 15, STEPS = 2 * DEPTH };

static struct upnp_reader reader;

static int
set_up(void **state)
{
	if (bed_set_up(state) != 0)
		return -1;
	reader = (struct upnp_reader){.engine = bed.engine, .others = true};
	return 0;
}

static uint16_t
port_of(unsigned number)
{
	return (uint16_t)(10000 + number);
}

static void
fill(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		submit(upnp_add(wish(2 + i / 1000, UDP, port_of(i), port_of(i), A_DAY)));
		if (i % 64 == 63)
			flush();
	}
	flush();
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), count);
}

/* The external port of the entry with that index; 0: there is none. */
static uint16_t
entry_at(unsigned index)
{
	const struct link_call call = {
	    .client = host(2),
	    .call = {.action = IGD_GetGenericPortMappingEntry, .index = (uint16_t)index}};
	struct link_message message;

	upnp_read(&reader, &(struct upnp_question){.call = &call, .now = bed.now}, &message);
	if (message.answer.error == IGD_INDEX_INVALID)
		return 0;
	assert_int_equal(message.answer.error, IGD_OK);
	return message.answer.entry.external_port;
}

static void
a_walk_is_linear(void **state)
{
	(void)state;
	fill(ENTRIES);
	steps = 0;
	for (unsigned i = 0; i < ENTRIES; i++)
		assert_int_equal(entry_at(i), port_of(i));
	assert_int_equal(entry_at(ENTRIES), 0);
	print_message("%.1f steps an entry\n", (double)steps / ENTRIES);
	assert_true(steps <= (unsigned long)STEPS * ENTRIES);
}

/* Before each entry is read one comes and another goes, which is one that was read before. */
static void
changes_in_between_make_it_no_dearer(void **state)
{
	unsigned long reading = 0;

	(void)state;
	fill(ENTRIES);
	for (unsigned i = 1; i < ENTRIES; i++) {
		submit(
		    upnp_delete(wish(2 + (i - 1) / 1000, UDP, port_of(i - 1), port_of(i - 1), 0)));
		submit(upnp_add(wish(100 + i / 1000, TCP, port_of(i), port_of(i), A_DAY)));
		flush();
		steps = 0;
		assert_int_equal(entry_at(0), port_of(i));
		assert_int_equal(entry_at(ENTRIES - 1), port_of(i));
		assert_int_equal(
		    entry_at(ENTRIES / 2),
		    port_of(i + ENTRIES / 2 < ENTRIES ? i + ENTRIES / 2 : i - ENTRIES / 2 + 1));
		assert_int_equal(entry_at(ENTRIES), 0);
		reading += steps;
	}
	print_message("%.1f steps an entry\n", (double)reading / ENTRIES / 4);
	assert_true(reading <= 4UL * STEPS * ENTRIES);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, bed_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_walk_is_linear),
	    TEST(changes_in_between_make_it_no_dearer),
	};

	return cmocka_run_group_tests_name("upnp-read", tests, NULL, NULL);
}
