/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What static forwards alone need of the firewall: ranges, prefixes of remote hosts, the helper of
 * FTP; with `nft` as the judge. */
#include "firewall_bed.h"

#include <errno.h>

static int
setup(void **state)
{
	(void)state;
	nft("flush ruleset");
	open_table(&masquerading);
	return 0;
}

static struct mapping
range(uint16_t first, uint16_t more)
{
	struct mapping m = mapping(first);

	m.more_ports = more;
	m.timeout = 0;
	m.comment = "static 1 cameras";
	return m;
}

static struct mapping
near(struct mapping m, const char *prefix)
{
	const struct prefix p = ipv4_prefix(prefix);

	m.remote = p.address;
	m.remote_length = p.length;
	m.timeout = 0;
	return m;
}

static int
change(enum firewall_change what, const struct mapping *m)
{
	struct firewall_outcome outcome;

	firewall_stage(f, what, m, &outcome);
	return firewall_commit(f, &fault);
}

static void
a_range_is_one_element_of_each_set(void **state)
{
	struct mapping m = range(30000, 10000);

	(void)state;
	assert_int_equal(change(FIREWALL_ADD, &m), 0);
	assert_true(lists("range4", "tcp . 30000-40000 . 0.0.0.0/0 counter packets 0 bytes 0 "
				    "comment \"static 1 cameras\" : 192.168.1.10"));
	assert_true(lists("rangeint4", "elements = { 192.168.1.10 . tcp . 30000-40000 }"));
	assert_true(lists("rangeext4", "elements = { tcp . 30000-40000 }"));
	assert_false(lists("out4", "elements"));
	assert_false(lists("ext4", "elements"));
	assert_int_equal(firewall_connections(f, &m), 0);
	assert_int_equal(change(FIREWALL_ADD, &m), -EEXIST);
	assert_int_equal(change(FIREWALL_REMOVE, &m), 0);
	assert_false(lists("range4", "elements"));
	assert_false(lists("rangeint4", "elements"));
	assert_false(lists("rangeext4", "elements"));
	assert_int_equal(change(FIREWALL_REMOVE, &m), -ENOENT);
}

static void
prefixes_share_a_port(void **state)
{
	struct mapping one = near(mapping(8082), "198.51.100.0/24"),
		       other = near(mapping(8082), "198.51.101.0/24"),
		       ports = near(range(9000, 9), "198.51.100.0/24");

	(void)state;
	other.outbound = other.reserves = ports.outbound = ports.reserves = false;
	other.internal = (struct endpoint){ipv4("192.168.1.11"), 80};
	assert_int_equal(change(FIREWALL_ADD, &one), 0);
	assert_int_equal(change(FIREWALL_ADD, &other), 0);
	assert_int_equal(change(FIREWALL_ADD, &ports), 0);
	assert_true(lists("ffwd4", "tcp . 8082 . 198.51.100.0/24"));
	assert_true(lists("ffwd4", "tcp . 8082 . 198.51.101.0/24 counter packets 0 bytes 0 : "
				   "192.168.1.11 . 80"));
	assert_true(lists("range4", "tcp . 9000-9009 . 198.51.100.0/24"));
	assert_true(lists("ext4", "tcp . 8082"));
	assert_int_equal(change(FIREWALL_REMOVE, &one), 0);
	assert_true(lists("ffwd4", "198.51.101.0/24"));
	assert_false(lists("ffwd4", "198.51.100.0/24"));
}

static void
ftp_has_its_port_in_a_set(void **state)
{
	struct mapping m = mapping(2121);

	(void)state;
	m.helper = HELPER_FTP;
	assert_int_equal(change(FIREWALL_ADD, &m), 0);
	assert_true(lists("ftp4", "elements = { 2121 }"));
	assert_int_equal(change(FIREWALL_REMOVE, &m), 0);
	assert_false(lists("ftp4", "elements"));
}

/* As where the kernel has none: all is there but what follows data connections. */
static void
without_a_helper_the_rest_works(void **state)
{
	struct firewall_options plain = masquerading;
	struct mapping m = mapping(2121);

	(void)state;
	assert_true(firewall_tracks_ftp(f));
	assert_non_null(strstr(nft("list ruleset"), "ct helper set"));
	firewall_close(f);
	plain.ftp = false;
	open_table(&plain);
	m.helper = HELPER_FTP;
	assert_int_equal(change(FIREWALL_ADD, &m), 0);
	assert_false(firewall_tracks_ftp(f));
	assert_null(strstr(nft("list ruleset"), "ct helper"));
	assert_null(strstr(nft("list ruleset"), "portlease_probe"));
	assert_true(lists("fwd4", "tcp . 2121"));
}

static void
their_dump_loads_back(void **state)
{
	struct mapping a = range(30000, 10), b = near(mapping(8082), "198.51.100.0/24"),
		       c = mapping(21);
	char *before;

	(void)state;
	c.helper = HELPER_FTP;
	c.timeout = 0;
	assert_int_equal(change(FIREWALL_ADD, &a), 0);
	assert_int_equal(change(FIREWALL_ADD, &b), 0);
	assert_int_equal(change(FIREWALL_ADD, &c), 0);
	before = ruleset();
	shell("dump=$(nft list ruleset) && nft flush ruleset && echo \"$dump\" | nft -f - 2>&1");
	assert_ruleset(before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, close_firewall)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_range_is_one_element_of_each_set),
	    TEST(prefixes_share_a_port),
	    TEST(ftp_has_its_port_in_a_set),
	    TEST(without_a_helper_the_rest_works),
	    TEST(their_dump_loads_back),
	};

	leave_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
