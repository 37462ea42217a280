/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which address clients are told, and what the kernel's table is made for. */
#include "../../daemon/core/topology.h"

#include <string.h>

#include "hex.h"

static struct network_interface interfaces[3];
static struct config config;

const struct network_interface *
network_interface(const struct network *n, size_t number)
{
	(void)n;
	return number < sizeof(interfaces) / sizeof(interfaces[0]) ? &interfaces[number] : NULL;
}

static struct address
address(const char *text)
{
	struct address a;

	if (!address_parse(text, &a))
		fail_msg("%s does not parse", text);
	return a;
}

static void
add(size_t interface, const char *own, const char *on_link, bool secondary)
{
	struct network_interface *i = &interfaces[interface];
	struct network_address *a = &i->address[i->addresses++];

	a->address = address(own);
	a->secondary = secondary;
	assert_true(prefix_parse(on_link, &a->prefix));
}

/* wan0 203.0.113.5/24 and two LANs. */
static int
setup(void **state)
{
	static struct config_lan lan[] = {{"br0"}, {"br1"}};

	(void)state;
	memset(interfaces, 0, sizeof(interfaces));
	config = (struct config){.lan = lan, .lans = 2, .wan = {.interface = "wan0"}};
	interfaces[0] = (struct network_interface){.name = "wan0", .index = 7, .up = true};
	interfaces[1] = (struct network_interface){.name = "br0", .index = 8, .up = true};
	interfaces[2] = (struct network_interface){.name = "br1", .index = 9, .up = true};
	add(1, "192.168.1.1", "192.168.1.0/24", false);
	add(2, "10.0.0.1", "10.0.0.0/8", false);
	add(2, "10.0.0.2", "10.0.0.0/8", true);
	return 0;
}

static struct topology
read_it(void)
{
	struct topology t;

	topology_read(&config, NULL, &t);
	return t;
}

static void
assert_external(const char *expected)
{
	struct topology t = read_it();
	char text[ADDRESS_TEXT_SIZE] = "";

	if (!address_is_unspecified(&t.external))
		address_print(&t.external, text);
	assert_string_equal(text, expected);
}

static void
what_the_interfaces_say(void **state)
{
	struct topology t;

	(void)state;
	add(0, "203.0.113.5", "203.0.113.0/24", false);
	add(0, "203.0.113.6", "203.0.113.0/24", true);
	t = read_it();
	assert_string_equal(t.firewall.wan, "wan0");
	assert_int_equal(t.wan_index, 7);
	assert_int_equal(t.own_addresses, 2);
	assert_int_equal(t.firewall.wan_addresses, 2);
	assert_false(t.firewall.has_source);
	assert_int_equal(t.firewall.lan_prefixes, 3);
	assert_int_equal(t.firewall.lan_prefix[1].length, 96 + 8);
	assert_external("203.0.113.5");
}

static void
first_usable_primary_address_while_the_link_is_up(void **state)
{
	(void)state;
	assert_external("");
	add(0, "169.254.3.4", "169.254.0.0/16", false);
	assert_external("");
	add(0, "198.51.100.9", "198.51.100.0/24", true);
	assert_external("");
	add(0, "203.0.113.5", "203.0.113.0/24", false);
	assert_external("203.0.113.5");
	interfaces[0].up = false;
	assert_external("");
	/* The kernel's table need not be touched for a cable. */
	assert_int_equal(read_it().firewall.wan_addresses, 3);
}

static void
a_private_address_is_served_or_refused(void **state)
{
	(void)state;
	add(0, "100.64.0.9", "100.64.0.0/10", false);
	assert_external("100.64.0.9");
	assert_false(read_it().refused);
	config.wan.refuse_private = true;
	assert_external("");
	assert_true(read_it().refused);
	interfaces[0].addresses = 0;
	add(0, "203.0.113.5", "203.0.113.0/24", false);
	assert_external("203.0.113.5");
	assert_false(read_it().refused);
}

static void
a_configured_address_is_told_instead(void **state)
{
	struct topology t;

	(void)state;
	config.wan.has_external_address = true;
	config.wan.external_address = address("198.51.100.77");
	config.wan.refuse_private = true;
	assert_external("");
	add(0, "192.168.178.2", "192.168.178.0/24", false);
	assert_external("198.51.100.77");
	t = read_it();
	assert_false(t.refused);
	/* Also dialled by LAN hosts; but nothing can be sent from it. */
	assert_int_equal(t.own_addresses, 1);
	assert_int_equal(t.firewall.wan_addresses, 2);
	assert_true(address_equal(&t.firewall.wan_address[1], &config.wan.external_address));
	assert_false(t.firewall.has_source);
}

static void
a_configured_own_address_is_the_source(void **state)
{
	struct topology t;

	(void)state;
	config.wan.has_external_address = true;
	config.wan.external_address = address("203.0.113.6");
	add(0, "203.0.113.5", "203.0.113.0/24", false);
	add(0, "203.0.113.6", "203.0.113.0/24", true);
	assert_external("203.0.113.6");
	t = read_it();
	assert_int_equal(t.firewall.wan_addresses, 2);
	assert_true(t.firewall.has_source);
	assert_true(address_equal(&t.firewall.source, &config.wan.external_address));
}

static void
equal_interfaces_give_equal_bytes(void **state)
{
	struct topology a, b;

	(void)state;
	add(0, "203.0.113.5", "203.0.113.0/24", false);
	memset(&a, 0xaa, sizeof(a));
	memset(&b, 0x55, sizeof(b));
	topology_read(&config, NULL, &a);
	topology_read(&config, NULL, &b);
	assert_memory_equal(&a, &b, sizeof(a));
}

static void
who_is_a_host_of_a_lan(void **state)
{
	static const struct {
		const char *address;
		bool own, host;
	} cases[] = {
	    {"192.168.1.1", true, false},    {"192.168.1.2", false, true},
	    {"192.168.1.254", false, true},  {"192.168.1.0", false, false},
	    {"192.168.1.255", false, false}, {"192.168.2.1", false, false},
	    {"172.16.0.0", false, true},     {"172.16.0.1", true, false},
	    {"10.9.9.9", false, true},	     {"10.9.9.8", true, false},
	    {"0.0.0.0", false, false},	     {"::1", false, false},
	    {"fd00:1::1", true, false},	     {"fd00:1::2", false, true},
	    {"fe80::2", false, false},
	};

	(void)state;
	add(1, "172.16.0.1", "172.16.0.0/31", false);
	add(1, "10.9.9.8", "10.9.9.9/32", false);
	interfaces[1].ipv6_addresses = 1;
	interfaces[1].ipv6_address[0].address = address("fd00:1::1");
	assert_true(prefix_parse("fd00:1::/64", &interfaces[1].ipv6_address[0].prefix));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address a = address(cases[i].address);

		if (interface_owns(&interfaces[1], &a) != cases[i].own ||
		    interface_has_host(&interfaces[1], &a) != cases[i].host)
			fail_msg("%s", cases[i].address);
	}
}

static void
prefixes_of_a_lan_that_is_up(void **state)
{
	struct prefix prefix[NETWORK_ADDRESSES];
	char text[PREFIX_TEXT_SIZE];

	(void)state;
	assert_int_equal(interface_prefixes(&interfaces[0], prefix), 0);
	assert_int_equal(interface_prefixes(&interfaces[2], prefix), 2);
	assert_string_equal(prefix_print(&prefix[1], text), "10.0.0.0/8");
	interfaces[2].up = false;
	assert_int_equal(interface_prefixes(&interfaces[2], prefix), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(what_the_interfaces_say, setup),
	    cmocka_unit_test_setup(first_usable_primary_address_while_the_link_is_up, setup),
	    cmocka_unit_test_setup(a_private_address_is_served_or_refused, setup),
	    cmocka_unit_test_setup(a_configured_address_is_told_instead, setup),
	    cmocka_unit_test_setup(a_configured_own_address_is_the_source, setup),
	    cmocka_unit_test_setup(equal_interfaces_give_equal_bytes, setup),
	    cmocka_unit_test_setup(who_is_a_host_of_a_lan, setup),
	    cmocka_unit_test_setup(prefixes_of_a_lan_that_is_up, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
