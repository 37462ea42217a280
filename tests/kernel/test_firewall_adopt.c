/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table that another process left: gone on with, made right, or read.  Runs in a network
 * namespace of its own. */
#include "firewall_bed.h"

#include <errno.h>

static struct firewall_agreement found;

/* Those that there shall be. */
static struct mapping wanted[6];
static size_t wanted_count;

static bool
next(void *arg, uint64_t *cursor, struct mapping *out)
{
	(void)arg;
	if (*cursor == wanted_count)
		return false;
	*out = wanted[(*cursor)++];
	return true;
}

static const struct firewall_wanted all = {.next = next, .early = 5000};

/* One of each kind. */
static void
want(void)
{
	wanted_count = 0;
	wanted[wanted_count++] = mapping(8080);
	wanted[wanted_count++] = mapping(8081);
	wanted[wanted_count] = mapping(8082);
	wanted[wanted_count++].remote = ipv4("198.51.100.7");
	wanted[wanted_count] = mapping(8083);
	wanted[wanted_count].remote = ipv4("198.51.100.0");
	wanted[wanted_count].timeout = 0;
	wanted[wanted_count++].remote_length = 120;
	wanted[wanted_count] = mapping(9000);
	wanted[wanted_count].timeout = 0;
	wanted[wanted_count++].more_ports = 10;
	wanted[wanted_count] = mapping(21);
	wanted[wanted_count].timeout = 0;
	wanted[wanted_count].comment = "static 6 files";
	wanted[wanted_count++].helper = firewall_tracks_ftp(f) ? HELPER_FTP : HELPER_NONE;
}

static void
create(void)
{
	struct firewall_network n = network();
	struct firewall_outcome outcome[6];

	for (size_t i = 0; i < wanted_count; i++)
		firewall_stage(f, FIREWALL_ADD, &wanted[i], &outcome[i]);
	create_table(&n);
}

static int
setup(void **state)
{
	(void)state;
	nft("flush ruleset");
	open_firewall(&masquerading);
	want();
	create();
	return 0;
}

/* The next process. */
static void
adopt(void)
{
	struct firewall_network n = network();

	firewall_close(f);
	open_firewall(&masquerading);
	if (firewall_adopt(f, &n, &all, &found, &fault) != 0)
		fail_msg("%s", fault.text);
}

/* It is ours, and works as one that we made. */
static void
assert_it_is_watched(void)
{
	nft("add table ip another");
	assert_int_equal(firewall_watch(f, NULL, 0), FIREWALL_INTACT);
	nft("flush chain inet portlease dn4");
	assert_int_equal(firewall_watch(f, NULL, 0), FIREWALL_LOST);
}

static void
what_is_right_is_not_touched(void **state)
{
	char *before = ruleset();

	(void)state;
	adopt();
	assert_int_equal(found.added + found.replaced + found.removed, 0);
	assert_int_equal(found.kept, 3 + 3 + 3 + 3 + 3 + 3 + firewall_tracks_ftp(f));
	assert_ruleset(before);
	assert_it_is_watched();
}

/* Another process's element has not been counted from nothing again, nor been given time. */
static void
counters_and_times_go_on(void **state)
{
	uint64_t seen = 0;

	(void)state;
	nft("add element inet portlease fwd4 '{ udp . 53 counter packets 7 bytes 700 timeout 1h "
	    "expires 59m : 192.168.1.10 . 53 }'");
	nft("add element inet portlease out4 '{ udp . 192.168.1.10 . 53 timeout 1h expires 59m : "
	    "53 "
	    "}'");
	nft("add element inet portlease ext4 '{ udp . 53 timeout 1h expires 59m }'");
	wanted[1] = mapping(53);
	wanted[1].transport = TRANSPORT_UDP;
	wanted[1].timeout = 59 * 60 * 1000;
	adopt();
	assert_int_equal(found.removed, 3); /* of 8081 */
	assert_int_equal(found.added + found.replaced, 0);
	seen = firewall_connections(f, &wanted[1]);
	assert_int_equal(seen, 7);
	assert_true(lists("fwd4", "udp . 53 counter packets 7 bytes 700 timeout 1h expires 5"));
}

static void
what_is_missing_is_added(void **state)
{
	char *before = ruleset(), *after;

	(void)state;
	nft("delete element inet portlease fwd4 '{ tcp . 8080 }'");
	nft("flush map inet portlease out4");
	nft("flush map inet portlease range4");
	adopt();
	assert_int_equal(found.added, 1 + 5 + 1);
	assert_int_equal(found.replaced + found.removed, 0);
	after = ruleset();
	assert_int_equal(strlen(before), strlen(after));
	free(before);
	free(after);
}

static void
what_differs_is_replaced(void **state)
{
	(void)state;
	wanted[0].internal.port = 80; /* fwd4's data, out4's key */
	wanted[1].timeout = 1800 * 1000;
	wanted[5].comment = "static 6 more";
	adopt();
	assert_int_equal(found.replaced, 1 + 3 + 1);
	assert_int_equal(found.added, 1);
	assert_int_equal(found.removed, 1);
	assert_true(lists("fwd4", "tcp . 8080 counter packets 0 bytes 0 timeout 1h"));
	assert_true(lists("fwd4", "192.168.1.10 . 80,"));
	assert_true(lists("fwd4", "tcp . 8081 counter packets 0 bytes 0 timeout 30m"));
	assert_true(lists("fwd4", "static 6 more"));
}

/* In time: a lease may end sooner than its element by the grace, and never later. */
static void
when_an_element_ends(void **state)
{
	static const struct {
		int64_t later;
		size_t replaced;
	} rows[] = {{4000, 0}, {500, 0}, {6000, 3}, {-500, 0}, {-3000, 3}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		want();
		create();
		wanted[1].timeout = (uint64_t)((int64_t)wanted[1].timeout + rows[i].later);
		adopt();
		assert_int_equal(found.replaced, rows[i].replaced);
	}
	/* Never is another time-out than any. */
	want();
	wanted[1].timeout = 0;
	adopt();
	assert_int_equal(found.replaced, 3);
	want();
	adopt();
	assert_int_equal(found.replaced, 3);
}

static void
what_nobody_wants_is_removed(void **state)
{
	char *before = ruleset();

	(void)state;
	nft("add element inet portlease fwd4 '{ tcp . 666 : 192.168.1.66 . 6 }'");
	nft("add element inet portlease ffwd4 '{ tcp . 667 . 0.0.0.0/0 : 192.168.1.66 . 6 }'");
	nft("add element inet portlease rangeext4 '{ tcp . 1-1023 }'");
	nft("add element inet portlease ftp4 '{ 2121 }'");
	nft("add element inet portlease rfwd4 '{ * : 192.168.1.66 . 6 }'");
	nft("add element inet portlease ext4 '{ * }'");
	nft("add rule inet portlease dn4 counter");
	nft("add rule inet portlease forward drop");
	nft("add element inet portlease wan4 '{ 198.51.100.1 : goto dn4 }'");
	adopt();
	assert_int_equal(found.removed, 6);
	assert_int_equal(found.added + found.replaced, 0);
	assert_ruleset(before);
}

/* While we run: what is intact beside its elements keeps its rules. */
static void
elements_of_an_intact_table(void **state)
{
	struct firewall_network n = network();
	const char *rules =
	    "nft -a list ruleset | grep -c 'handle' >/dev/null && nft -a list chain "
	    "inet portlease dn4";
	char *before = strdup(shell("%s", rules));

	(void)state;
	nft("add element inet portlease fwd4 '{ tcp . 666 : 192.168.1.66 . 6 }'");
	assert_int_equal(firewall_adopt(f, &n, &all, &found, &fault), 0);
	assert_int_equal(found.removed, 1);
	assert_string_equal(before, shell("%s", rules));
	assert_int_equal(firewall_adopt(f, &n, &all, &found, &fault), 0);
	assert_int_equal(found.removed + found.added + found.replaced, 0);
	free(before);
	assert_it_is_watched();
}

/* Of another layout, or out of work. */
static void
another_table_is_replaced(void **state)
{
	static const char *const ways[] = {
	    "nft add table inet portlease '{ flags dormant; }'",
	    "t=$(nft list table inet portlease) && nft delete table inet portlease && "
	    "echo \"$t\" | sed 's/layout [0-9a-f]*/layout 00000000/' | nft -f -",
	    "t=$(nft list table inet portlease) && nft delete table inet portlease && "
	    "echo \"$t\" | grep -v 'comment \"layout' | nft -f -",
	    "nft delete table inet portlease && nft add table inet portlease && "
	    "nft add set inet portlease fwd4 '{ type ipv4_addr; }'",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		char *before;

		want();
		create();
		before = ruleset();
		shell("%s", ways[i]);
		adopt();
		assert_int_equal(found.kept + found.removed + found.replaced, 0);
		assert_ruleset(before);
		assert_it_is_watched();
	}
}

/* And nothing is done to what cannot be gone on with. */
static void
what_cannot_be_adopted(void **state)
{
	static const struct {
		const char *way;
		int error;
	} rows[] = {
	    {"nft delete table inet portlease", -ENOENT},
	    /* The name is right, and does not say what it promises. */
	    {"nft flush table inet portlease && nft delete map inet portlease rfwd4 && "
	     "nft add map inet portlease rfwd4 '{ type inet_service : ipv4_addr; }'",
	     -EEXIST},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct firewall_network n = network();
		char *before;

		want();
		create();
		shell("%s", rows[i].way);
		before = ruleset();
		firewall_close(f);
		open_firewall(&masquerading);
		assert_int_equal(firewall_adopt(f, &n, &all, &found, &fault), rows[i].error);
		assert_ruleset(before);
		create();
		assert_it_is_watched();
	}
}

/* A dump that somebody loaded, twice, is the same table. */
static void
a_loaded_dump_is_adopted(void **state)
{
	char *before = ruleset();

	(void)state;
	shell("t=$(nft list table inet portlease) && nft delete table inet portlease && "
	      "echo \"$t\" | nft -f - && nft list table inet portlease | nft -f -");
	adopt();
	assert_int_equal(found.added + found.replaced + found.removed, 0);
	assert_ruleset(before);
	assert_it_is_watched();
}

static size_t loaded;

static void
take(void *arg, const struct mapping *m, uint64_t lifetime)
{
	(void)arg;
	for (size_t i = 0; i < wanted_count; i++) {
		const struct mapping *w = &wanted[i];

		if (m->external_port != w->external_port)
			continue;
		assert_int_equal(m->transport, w->transport);
		assert_int_equal(m->more_ports, w->more_ports);
		assert_true(address_equal(&m->internal.address, &w->internal.address));
		assert_int_equal(m->internal.port, w->internal.port);
		assert_true(address_equal(&m->remote, &w->remote));
		assert_int_equal(m->remote_length, w->remote_length ? w->remote_length : 0);
		assert_int_equal(m->helper, w->helper);
		assert_int_equal(lifetime, w->timeout);
		assert_true(m->timeout <= w->timeout && m->timeout + 5000 >= w->timeout);
		assert_string_equal(m->comment ? m->comment : "", w->comment ? w->comment : "");
		loaded++;
		return;
	}
	fail_msg("nobody made port %u", m->external_port);
}

static void
what_the_kernel_knows(void **state)
{
	(void)state;
	loaded = 0;
	assert_int_equal(firewall_load(f, take, NULL, &fault), 0);
	assert_int_equal(loaded, wanted_count);
	nft("delete table inet portlease");
	assert_int_equal(firewall_load(f, take, NULL, &fault), -ENOENT);
}

enum { MANY = 10000 };

static bool
next_of_many(void *arg, uint64_t *cursor, struct mapping *out)
{
	(void)arg;
	if (*cursor == MANY)
		return false;
	*out = mapping((uint16_t)(10000 + (*cursor)++));
	out->comment = "pcp 12345";
	return true;
}

/* One transaction makes all of it, and what is right costs what reading it costs. */
static void
ten_thousand(void **state)
{
	const struct firewall_wanted many = {.next = next_of_many, .early = 600 * 1000};
	struct firewall_network n = network();
	double begin, made, alike;
	int result;

	(void)state;
	begin = milliseconds();
	result = firewall_adopt(f, &n, &many, &found, &fault);
	if (result == -EMSGSIZE)
		skip(); /* in a user's namespace a socket's buffer has the system's limit */
	assert_int_equal(result, 0);
	made = milliseconds() - begin;
	assert_int_equal(found.added, 3 * MANY);
	firewall_close(f);
	open_firewall(&masquerading);
	begin = milliseconds();
	assert_int_equal(firewall_adopt(f, &n, &many, &found, &fault), 0);
	alike = milliseconds() - begin;
	assert_int_equal(found.kept, 3 * MANY);
	assert_int_equal(found.added + found.replaced + found.removed, 0);
	printf("%d mappings made in %.0f ms, found alike in %.0f ms\n", MANY, made, alike);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, close_firewall)
	const struct CMUnitTest tests[] = {
	    TEST(what_is_right_is_not_touched), TEST(counters_and_times_go_on),
	    TEST(what_is_missing_is_added),	TEST(what_differs_is_replaced),
	    TEST(when_an_element_ends),		TEST(what_nobody_wants_is_removed),
	    TEST(elements_of_an_intact_table),	TEST(another_table_is_replaced),
	    TEST(what_cannot_be_adopted),	TEST(a_loaded_dump_is_adopted),
	    TEST(what_the_kernel_knows),	TEST(ten_thousand),
	};

	leave_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
