/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cursors: byte order, and that an overrun latches. */
#include "../../protocols/wire.h"

#include "hex.h"

static void
reads_in_network_order(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	struct wire_reader r = wire_reader(bytes, sizeof(bytes));
	uint8_t two[2];

	(void)state;
	assert_int_equal(wire_u8(&r), 0x01);
	assert_int_equal(wire_u16(&r), 0x0203);
	assert_int_equal(wire_u32(&r), 0x04050607);
	assert_int_equal(wire_left(&r), 2);
	wire_copy(&r, two, 2);
	assert_int_equal(two[0], 8);
	assert_int_equal(two[1], 9);
	assert_int_equal(wire_left(&r), 0);
	assert_false(r.failed);
	assert_ptr_equal(wire_take(&r, 0), bytes + sizeof(bytes));
	assert_false(r.failed);
}

static void
a_read_past_the_end_latches(void **state)
{
	static const uint8_t bytes[] = {0xff, 0xff, 0xff};
	struct wire_reader r = wire_reader(bytes, sizeof(bytes));
	uint8_t copy[2] = {1, 1};

	(void)state;
	assert_int_equal(wire_u32(&r), 0);
	assert_true(r.failed);
	assert_int_equal(wire_left(&r), 0);
	assert_int_equal(wire_u8(&r), 0);
	assert_int_equal(wire_u16(&r), 0);
	assert_null(wire_take(&r, 1));
	assert_null(wire_take(&r, 0));
	wire_copy(&r, copy, sizeof(copy));
	assert_int_equal(copy[0], 0);
	assert_int_equal(copy[1], 0);
}

static void
a_huge_length_does_not_wrap(void **state)
{
	static const uint8_t bytes[4];
	struct wire_reader r = wire_reader(bytes, sizeof(bytes));
	uint8_t out[4];
	struct wire_writer w = wire_writer(out, sizeof(out));

	(void)state;
	wire_u8(&r);
	assert_null(wire_take(&r, SIZE_MAX));
	wire_put_u8(&w, 0);
	assert_null(wire_room(&w, SIZE_MAX));
}

static void
writes_in_network_order(void **state)
{
	uint8_t out[12];
	struct wire_writer w = wire_writer(out, sizeof(out));

	(void)state;
	wire_put_u8(&w, 0x01);
	wire_put_u16(&w, 0x0203);
	wire_put_u32(&w, 0x04050607);
	wire_put(&w, "\x08\x09", 2);
	wire_put_zero(&w, 3);
	assert_false(w.failed);
	assert_hex(out, w.at, "01 0203 04050607 0809 000000");
}

static void
a_write_past_the_end_latches_and_touches_nothing(void **state)
{
	uint8_t out[4] = {9, 9, 9, 9};
	struct wire_writer w = wire_writer(out, 3);

	(void)state;
	wire_put_u16(&w, 0x0102);
	wire_put_u16(&w, 0x0304);
	assert_true(w.failed);
	wire_put_u8(&w, 5);
	wire_put(&w, "x", 1);
	wire_put_zero(&w, 1);
	assert_int_equal(w.at, 2);
	assert_hex(out, sizeof(out), "01020909");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_in_network_order),
	    cmocka_unit_test(a_read_past_the_end_latches),
	    cmocka_unit_test(a_huge_length_does_not_wrap),
	    cmocka_unit_test(writes_in_network_order),
	    cmocka_unit_test(a_write_past_the_end_latches_and_touches_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
