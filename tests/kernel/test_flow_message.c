/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of conntrack's netlink: what we send, and what we make of what the kernel sends. */
#include "../../backend/flow_message.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <linux/netlink.h>

#include "firewall_bed.h"

/* A TCP flow as Linux writes one: 203.0.113.9:40000 to 203.0.113.1:8080, bound to 192.168.1.10:80.
 */
static const char recorded[] =
    "d4000000 00010200 07000000 64000000 02000000"
    "34000180 14000180 08000100 cb007109 08000200 cb007101"
    "1c000280 05000100 06000000 06000200 9c400000 06000300 1f900000"
    "34000280 14000180 08000100 c0a8010a 08000200 cb007109"
    "1c000280 05000100 06000000 06000200 00500000 06000300 9c400000"
    "08000300 0000018e 08000700 0006977f 08000800 40000007"
    "30000480 2c000180 05000100 03000000 05000200 07000000 05000300 07000000"
    "06000400 23000000 06000500 23000000"
    "08000c00 5e4d3c2b 08000b00 00000001";

static size_t
from_hex(const char *text, uint8_t *out)
{
	size_t n = 0;

	for (; *text; text++) {
		unsigned byte;

		if (*text == ' ')
			continue;
		assert_int_equal(sscanf(text, "%2x", &byte), 1);
		out[n++] = (uint8_t)byte;
		text++;
	}
	return n;
}

static void
assert_hex(const uint8_t *bytes, size_t size, const char *expected)
{
	uint8_t all[512];
	size_t count = from_hex(expected, all);

	assert_int_equal(size, count);
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != all[i])
			fail_msg("octet %zu is %02x, not %02x", i, bytes[i], all[i]);
}

static void
assert_endpoint(const struct endpoint *e, const char *address, uint16_t port)
{
	char text[ADDRESS_TEXT_SIZE];

	assert_string_equal(address_print(&e->address, text), address);
	assert_int_equal(e->port, port);
}

static uint64_t room[64];

static struct nlmsghdr *
record(void)
{
	struct nlmsghdr *m = (struct nlmsghdr *)room;
	size_t size = from_hex(recorded, (uint8_t *)room);

	assert_int_equal(size, m->nlmsg_len);
	return m;
}

static void
a_flow_is_read(void **state)
{
	struct flow flow;

	(void)state;
	assert_true(flow_message_read(record(), &flow));
	assert_int_equal(flow.transport, TRANSPORT_TCP);
	assert_endpoint(&flow.from, "203.0.113.9", 40000);
	assert_endpoint(&flow.to, "203.0.113.1", 8080);
	assert_endpoint(&flow.reply_from, "192.168.1.10", 80);
	assert_endpoint(&flow.reply_to, "203.0.113.9", 40000);
	assert_int_equal(flow.mark, 0x40000007);
	assert_int_equal(flow.state, FLOW_ESTABLISHED);
	assert_int_equal(flow.timeout, 0x6977f);
	assert_int_equal(flow.zone, 0);
}

static void
a_flow_says_which_announced_it(void **state)
{
	struct nlmsghdr *m = record();
	struct flow flow;

	(void)state;
	assert_true(flow_message_read(m, &flow));
	assert_int_equal(flow.master_port, 0);
	/* Of one from 203.0.113.9:40000 to 203.0.113.1:21. */
	m->nlmsg_len += from_hex("34000e80 14000180 08000100 cb007109 08000200 cb007101"
				 "1c000280 05000100 06000000 06000200 9c400000 06000300 00150000",
				 (uint8_t *)room + m->nlmsg_len);
	assert_true(flow_message_read(m, &flow));
	assert_int_equal(flow.master_port, 21);
	assert_int_equal(flow.transport, TRANSPORT_TCP);
	assert_endpoint(&flow.to, "203.0.113.1", 8080);
}

static uint8_t *
octet_after(const char *pattern)
{
	uint8_t octets[32], *bytes = (uint8_t *)room;
	size_t size = from_hex(pattern, octets);
	uint8_t *found = memmem(bytes, record()->nlmsg_len, octets, size);

	assert_non_null(found);
	return found + size;
}

/* In both of its tuples. */
static void
set_transport(uint8_t number)
{
	for (uint8_t *p = (uint8_t *)room; p < (uint8_t *)room + 124; p++)
		if (memcmp(p, "\x05\x00\x01\x00\x06", 5) == 0)
			p[4] = number;
}

static void
others_are_not(void **state)
{
	struct nlmsghdr *m;
	struct flow flow;

	(void)state;
	m = record();
	m->nlmsg_type = 0x0102; /* of one that went */
	assert_false(flow_message_read(m, &flow));
	record();
	set_transport(132); /* SCTP */
	assert_false(flow_message_read((struct nlmsghdr *)room, &flow));
	m = record();
	m->nlmsg_len = 16;
	assert_false(flow_message_read(m, &flow));
	/* However short it is, it is not read past its end. */
	for (uint32_t length = 16, whole = record()->nlmsg_len; length < whole; length += 4) {
		uint8_t *copy = malloc(length);

		memcpy(copy, room, length);
		((struct nlmsghdr *)copy)->nlmsg_len = length;
		if (flow_message_read((struct nlmsghdr *)copy, &flow))
			assert_true(length >= 124); /* both tuples */
		free(copy);
	}
}

static void
a_udp_flow_has_its_state_from_its_status(void **state)
{
	static const struct {
		uint8_t status;
		enum flow_state expected;
	} rows[] = {{0x88, FLOW_UNREPLIED}, {0x8a, FLOW_REPLIED}, {0x8e, FLOW_ASSURED}};
	struct flow flow;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		record();
		octet_after("08000300 000001")[0] = rows[i].status;
		set_transport(TRANSPORT_UDP);
		assert_true(flow_message_read((struct nlmsghdr *)room, &flow));
		assert_int_equal(flow.transport, TRANSPORT_UDP);
		assert_int_equal(flow.state, rows[i].expected);
	}
}

static void
endings_name_the_flow(void **state)
{
	uint8_t out[FLOW_MESSAGE_MAX];
	struct flow flow;
	size_t size;

	(void)state;
	assert_true(flow_message_read(record(), &flow));
	size = flow_message_end(out, 5, &flow, FLOW_RESET);
	assert_hex(out, size,
		   "58000000 00010100 05000000 00000000 02000000"
		   "34000180 14000180 08000100 cb007109 08000200 cb007101"
		   "1c000280 05000100 06000000 06000200 9c400000 06000300 1f900000"
		   "08000800 20000000 08001500 20000000");
	flow.zone = 3;
	size = flow_message_end(out, 5, &flow, FLOW_FORGET);
	assert_hex(out, size,
		   "58000000 02010100 05000000 00000000 02000000"
		   "34000180 14000180 08000100 cb007109 08000200 cb007101"
		   "1c000280 05000100 06000000 06000200 9c400000 06000300 1f900000"
		   "06001200 00030000 08000c00 5e4d3c2b");
	size = flow_message_ask_all(out, 7);
	assert_hex(out, size, "14000000 01010103 07000000 00000000 02000000");
}

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_flow_is_read),	 TEST(a_flow_says_which_announced_it),
	    TEST(others_are_not),	 TEST(a_udp_flow_has_its_state_from_its_status),
	    TEST(endings_name_the_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
