/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses and prefixes of both families. */
#include "../../protocols/address.h"

#include <arpa/inet.h>

#include "hex.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct address
address(const char *text)
{
	struct address a;

	if (!address_parse(text, &a))
		fail_msg("%s does not parse", text);
	return a;
}

static struct prefix
prefix(const char *text)
{
	struct prefix p;

	if (!prefix_parse(text, &p))
		fail_msg("%s does not parse", text);
	return p;
}

static void
ipv4_is_held_mapped(void **state)
{
	struct address a = address_from_ipv4(htonl(0xc0a80102));

	(void)state;
	assert_hex(a.bytes, sizeof(a.bytes), "00000000000000000000ffffc0a80102");
	assert_int_equal(address_to_ipv4(&a), htonl(0xc0a80102));
	a = address("192.168.1.2");
	assert_hex(a.bytes, sizeof(a.bytes), "00000000000000000000ffffc0a80102");
	a = address("2001:db8::1");
	assert_hex(a.bytes, sizeof(a.bytes), "20010db8000000000000000000000001");
}

static void
all_96_leading_bits_make_it_ipv4(void **state)
{
	struct address a = address("192.168.1.2");

	(void)state;
	assert_true(address_is_ipv4(&a));
	for (unsigned bit = 0; bit < 96; bit++) {
		struct address other = a;

		other.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		assert_false(address_is_ipv4(&other));
	}
}

static void
both_families_have_an_unspecified_address(void **state)
{
	static const struct {
		const char *text;
		bool unspecified;
	} cases[] = {
	    {"::", true},	{"0.0.0.0", true},  {"::1", false},
	    {"0.0.0.1", false}, {"1.0.0.0", false}, {"8000::", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a = address(cases[i].text);

		assert_int_equal(address_is_unspecified(&a), cases[i].unspecified);
	}
}

static void
addresses_compare_by_octets(void **state)
{
	struct address low = address("10.0.0.2"), high = address("10.0.1.1"),
		       again = address("::ffff:10.0.0.2");

	(void)state;
	assert_true(address_compare(&low, &high) < 0);
	assert_true(address_compare(&high, &low) > 0);
	assert_int_equal(address_compare(&low, &again), 0);
	assert_true(address_equal(&low, &again));
	assert_false(address_equal(&low, &high));
}

static void
networks_are_of_64_bits(void **state)
{
	struct address one = address("fd00:0:0:1::1"), two = address("fd00:0:0:1:8000::"),
		       other = address("fd00:0:0:2::1");

	(void)state;
	assert_true(address_same_network(&one, &two));
	assert_false(address_same_network(&one, &other));
}

static void
scopes_end_where_the_registries_say(void **state)
{
	static const struct {
		const char *text;
		enum address_scope scope;
	} cases[] = {
	    {"0.0.0.0", ADDRESS_UNUSABLE},	   {"0.255.255.255", ADDRESS_UNUSABLE},
	    {"1.0.0.0", ADDRESS_GLOBAL},	   {"9.255.255.255", ADDRESS_GLOBAL},
	    {"10.0.0.0", ADDRESS_PRIVATE},	   {"10.255.255.255", ADDRESS_PRIVATE},
	    {"11.0.0.0", ADDRESS_GLOBAL},	   {"100.63.255.255", ADDRESS_GLOBAL},
	    {"100.64.0.0", ADDRESS_PRIVATE},	   {"100.127.255.255", ADDRESS_PRIVATE},
	    {"100.128.0.0", ADDRESS_GLOBAL},	   {"126.255.255.255", ADDRESS_GLOBAL},
	    {"127.0.0.0", ADDRESS_UNUSABLE},	   {"127.255.255.255", ADDRESS_UNUSABLE},
	    {"128.0.0.0", ADDRESS_GLOBAL},	   {"169.253.255.255", ADDRESS_GLOBAL},
	    {"169.254.0.0", ADDRESS_UNUSABLE},	   {"169.254.255.255", ADDRESS_UNUSABLE},
	    {"169.255.0.0", ADDRESS_GLOBAL},	   {"172.15.255.255", ADDRESS_GLOBAL},
	    {"172.16.0.0", ADDRESS_PRIVATE},	   {"172.31.255.255", ADDRESS_PRIVATE},
	    {"172.32.0.0", ADDRESS_GLOBAL},	   {"191.255.255.255", ADDRESS_GLOBAL},
	    {"192.0.0.0", ADDRESS_PRIVATE},	   {"192.0.0.255", ADDRESS_PRIVATE},
	    {"192.0.1.0", ADDRESS_GLOBAL},	   {"192.167.255.255", ADDRESS_GLOBAL},
	    {"192.168.0.0", ADDRESS_PRIVATE},	   {"192.168.255.255", ADDRESS_PRIVATE},
	    {"192.169.0.0", ADDRESS_GLOBAL},	   {"203.0.113.5", ADDRESS_GLOBAL},
	    {"223.255.255.255", ADDRESS_GLOBAL},   {"224.0.0.0", ADDRESS_UNUSABLE},
	    {"239.255.255.255", ADDRESS_UNUSABLE}, {"240.0.0.0", ADDRESS_UNUSABLE},
	    {"255.255.255.255", ADDRESS_UNUSABLE}, {"2001:db8::1", ADDRESS_UNUSABLE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a = address(cases[i].text);

		if (address_scope(&a) != cases[i].scope)
			fail_msg("%s: scope %d", cases[i].text, address_scope(&a));
	}
}

static void
only_numeric_forms_parse(void **state)
{
	static const char *const bad[] = {"",
					  " ",
					  "1",
					  "1.2.3",
					  "1.2.3.4.5",
					  "1.2.3.256",
					  "01.2.3.4",
					  "1.2.3.4 ",
					  " 1.2.3.4",
					  "0x1.2.3.4",
					  "1.2.3.4/24",
					  "localhost",
					  "1.2.3.-4",
					  ":",
					  ":::",
					  "fe80::1%lo",
					  "2001:db8::1::2",
					  "[::1]",
					  "12345::",
					  "1:2:3:4:5:6:7",
					  "1.2.3.4\n",
					  "::ffff:1.2.3.256"};
	struct address before = address("192.0.2.1"), a = before;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (address_parse(bad[i], &a))
			fail_msg("\"%s\" parses", bad[i]);
		assert_true(address_equal(&a, &before));
	}
}

static void
addresses_print_in_their_family(void **state)
{
	static const char *const texts[] = {
	    "192.168.1.2", "0.0.0.0",	  "255.255.255.255",
	    "::",	   "2001:db8::1", "1111:2222:3333:4444:5555:6666:7777:8888"};
	char buf[ADDRESS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct address a = address(texts[i]);

		assert_string_equal(address_print(&a, buf), texts[i]);
		assert_ptr_equal(address_print(&a, buf), buf);
	}
}

static void
prefixes_parse_and_print(void **state)
{
	static const struct {
		const char *text, *printed;
		unsigned length;
	} cases[] = {
	    {"192.168.1.0/24", "192.168.1.0/24", 120},
	    {"192.168.1.2", "192.168.1.2/32", 128},
	    {"0.0.0.0/0", "0.0.0.0/0", 96},
	    {"10.0.0.0/8", "10.0.0.0/8", 104},
	    {"192.168.1.128/25", "192.168.1.128/25", 121},
	    {"::/0", "::/0", 0},
	    {"2001:db8::/32", "2001:db8::/32", 32},
	    {"2001:db8::1", "2001:db8::1/128", 128},
	    {"::ffff:10.0.0.0/104", "10.0.0.0/8", 104},
	    {"1111:2222:3333:4444:5555:6666:7777:8888/128",
	     "1111:2222:3333:4444:5555:6666:7777:8888/128", 128},
	};
	char buf[PREFIX_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct prefix p = prefix(cases[i].text);

		assert_int_equal(p.length, cases[i].length);
		assert_string_equal(prefix_print(&p, buf), cases[i].printed);
	}
}

static void
bad_prefixes_do_not_parse(void **state)
{
	static const char *const bad[] = {"",
					  "/",
					  "/24",
					  "10.0.0.0/",
					  "10.0.0.0/33",
					  "10.0.0.0/ 8",
					  "10.0.0.0/+8",
					  "10.0.0.0/08",
					  "10.0.0.0/8x",
					  "10.0.0.0/-1",
					  "10.0.0.0/8/8",
					  "10.0.0.1/8",
					  "10.0.0.0/6",
					  "0.0.0.1/0",
					  "2001:db8::/129",
					  "2001:db8::1/64",
					  "::1/0",
					  "::ffff:0.0.0.0/80",
					  "10.0.0.0/4294967304",
					  "10.0.0.0/255.0.0.0",
					  "lan/24",
					  "1111:2222:3333:4444:5555:6666:7777:8888:9999:1111/8"};
	struct prefix p = prefix("192.0.2.0/24"), before = p;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (prefix_parse(bad[i], &p))
			fail_msg("\"%s\" parses", bad[i]);
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

static void
prefixes_contain_their_own_family(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool inside;
	} cases[] = {
	    {"192.168.1.0/24", "192.168.1.0", true},
	    {"192.168.1.0/24", "192.168.1.255", true},
	    {"192.168.1.0/24", "192.168.2.0", false},
	    {"192.168.1.0/24", "192.168.0.255", false},
	    {"192.168.1.128/25", "192.168.1.127", false},
	    {"192.168.1.128/25", "192.168.1.128", true},
	    {"172.16.0.0/12", "172.31.255.255", true},
	    {"172.16.0.0/12", "172.32.0.0", false},
	    {"192.168.1.2", "192.168.1.2", true},
	    {"192.168.1.2", "192.168.1.3", false},
	    {"0.0.0.0/0", "255.255.255.255", true},
	    {"0.0.0.0/0", "::1", false},
	    {"0.0.0.0/0", "2001:db8::1", false},
	    {"2001:db8::/33", "2001:db8:7fff::1", true},
	    {"2001:db8::/33", "2001:db8:8000::1", false},
	    {"::/0", "2001:db8::1", true},
	    {"::/0", "192.168.1.2", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct prefix p = prefix(cases[i].prefix);
		struct address a = address(cases[i].address);

		if (prefix_contains(&p, &a) != cases[i].inside)
			fail_msg("%s in %s", cases[i].address, cases[i].prefix);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ipv4_is_held_mapped),
	    cmocka_unit_test(all_96_leading_bits_make_it_ipv4),
	    cmocka_unit_test(both_families_have_an_unspecified_address),
	    cmocka_unit_test(addresses_compare_by_octets),
	    cmocka_unit_test(networks_are_of_64_bits),
	    cmocka_unit_test(scopes_end_where_the_registries_say),
	    cmocka_unit_test(only_numeric_forms_parse),
	    cmocka_unit_test(addresses_print_in_their_family),
	    cmocka_unit_test(prefixes_parse_and_print),
	    cmocka_unit_test(bad_prefixes_do_not_parse),
	    cmocka_unit_test(prefixes_contain_their_own_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
