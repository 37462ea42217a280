/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firewall against the kernel, with `nft` as the judge.  Runs in a network namespace of its
 * own. */
#include "firewall_bed.h"

#include <errno.h>
#include <sys/socket.h>

static void
commit(void)
{
	if (firewall_commit(f, &fault) != 0)
		fail_msg("%s", fault.text);
}

static void
change(enum firewall_change what, const struct mapping *m)
{
	struct firewall_outcome outcome;

	firewall_stage(f, what, m, &outcome);
	commit();
	assert_int_equal(outcome.error, 0);
}

static int
setup(void **state)
{
	(void)state;
	nft("flush ruleset");
	open_table(&masquerading);
	return 0;
}

/* Milliseconds that an element has left; -1: it is not there. */
static long
remaining(const char *set, const char *key)
{
	const char *text =
	    shell("nft get element inet portlease %s '{ %s }' 2>/dev/null || true", set, key);
	const char *p = strstr(text, "expires ");
	long total = 0;
	char unit[3];
	int used;
	long n;

	if (!strstr(text, "elements"))
		return -1;
	assert_non_null(p);
	p += strlen("expires ");
	while (sscanf(p, "%ld%2[hms]%n", &n, unit, &used) == 2) {
		total += n * (strcmp(unit, "h") == 0   ? 3600000
			      : strcmp(unit, "m") == 0 ? 60000
			      : strcmp(unit, "s") == 0 ? 1000
						       : 1);
		p += used;
	}
	return total;
}

static void
the_table_is_the_documented_one(void **state)
{
	struct firewall_network nothing = {0};
	char *ours, *documented;

	(void)state;
	create_table(&nothing);
	ours = ruleset();
	nft("flush ruleset");
	nft("-f conf/ruleset.nft");
	documented = ruleset();
	assert_string_equal(ours, documented);
	free(ours);
	free(documented);
}

static void
assert_dump_loads_back(const struct firewall_options *options, bool has_source)
{
	struct firewall_network n = network();
	struct firewall_outcome outcomes[2];
	struct mapping m = mapping(8080), brief = mapping(8081);
	char *before, *after;

	firewall_close(f);
	open_firewall(options);
	n.has_source = has_source;
	n.source = ipv4("203.0.113.7");
	m.comment = "a \" comment";
	m.timeout = 0;
	firewall_stage(f, FIREWALL_ADD, &m, &outcomes[0]);
	firewall_stage(f, FIREWALL_ADD, &brief, &outcomes[1]);
	create_table(&n);
	before = ruleset();
	shell("dump=$(nft list ruleset) && nft flush ruleset && echo \"$dump\" | nft -f - 2>&1");
	after = ruleset();
	assert_string_equal(before, after);
	assert_non_null(strstr(before,
			       "tcp . 8080 counter packets 0 bytes 0 comment \"a ? comment\" : "
			       "192.168.1.10 . 8080"));
	assert_non_null(strstr(before, "tcp . 8081 counter packets 0 bytes 0 timeout 1h"));
	free(before);
	free(after);
}

static void
a_dump_loads_back(void **state)
{
	(void)state;
	assert_dump_loads_back(&masquerading, false);
	assert_dump_loads_back(&masquerading, true);
	assert_dump_loads_back(&routing, false);
	assert_dump_loads_back(&routing, true);
}

static void
a_gateway_that_only_routes_reserves_nothing(void **state)
{
	struct firewall_network n = network();
	const char *reservation = "@ext4 masquerade to :61000-65535";

	(void)state;
	assert_non_null(strstr(nft("list chain inet portlease sn4"), reservation));
	firewall_close(f);
	open_firewall(&routing);
	create_table(&n);
	assert_null(strstr(nft("list chain inet portlease sn4"), reservation));
	assert_non_null(strstr(nft("list chain inet portlease sn4"), "map @out4"));
}

static void
the_network_is_swapped_under_the_mappings(void **state)
{
	struct firewall_network n = network();
	struct mapping m = mapping(8080);

	(void)state;
	change(FIREWALL_ADD, &m);
	assert_true(lists("wan4", "elements = { 203.0.113.1 : goto dn4 }"));
	assert_true(lists("wanif", "elements = { \"wan0\" }"));
	assert_true(lists("lan4", "elements = { 192.168.1.0/24 }"));

	strcpy(n.wan, "ppp0");
	n.wan_addresses = 2;
	n.wan_address[0] = ipv4("198.51.100.1");
	n.wan_address[1] = ipv4("203.0.113.1");
	n.lan_prefixes = 2;
	n.lan_prefix[1] = ipv4_prefix("192.168.0.0/16");
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	nft("list ruleset");
	assert_true(lists("wan4", "198.51.100.1 : goto dn4"));
	assert_true(lists("wan4", "203.0.113.1 : goto dn4"));
	assert_true(lists("wanif", "elements = { \"ppp0\" }"));
	assert_true(lists("lan4", "elements = { 192.168.0.0/16 }"));
	assert_true(lists("fwd4", "tcp . 8080"));

	n = (struct firewall_network){0};
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	assert_false(lists("wan4", "elements"));
	assert_false(lists("wanif", "elements"));
	assert_false(lists("lan4", "elements"));
	assert_true(lists("fwd4", "tcp . 8080"));
}

static void
the_source_address_comes_and_goes(void **state)
{
	struct firewall_network n = network();
	char *before = ruleset(), *after;
	const char *sn4;

	(void)state;
	n.has_source = true;
	n.source = ipv4("203.0.113.7");
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	sn4 = nft("list chain inet portlease sn4");
	assert_non_null(
	    strstr(sn4, "snat ip to 203.0.113.7:meta l4proto . ip saddr . th sport map @out4"));
	assert_non_null(strstr(sn4, "@ext4 snat ip to 203.0.113.7:61000-65535"));
	assert_null(strstr(sn4, "masquerade"));

	n.source = ipv4("203.0.113.8");
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	assert_null(strstr(nft("list chain inet portlease sn4"), "203.0.113.7"));

	n.has_source = false;
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	after = ruleset();
	assert_string_equal(before, after);
	/* The new rules are known for ours. */
	assert_int_equal(firewall_watch(f, NULL, 0), FIREWALL_INTACT);
	free(before);
	free(after);
}

static void
an_unchanged_network_commits_nothing(void **state)
{
	const struct firewall_options options = {0};
	struct firewall_network n = network();
	struct firewall *witness;
	char byte;

	(void)state;
	assert_int_equal(firewall_open(&witness, &options, &fault), 0);
	n.lan_prefix[n.lan_prefixes++] = ipv4_prefix("192.168.1.128/25"); /* within the other */
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	assert_int_equal(recv(firewall_watch_fd(witness), &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
	n.lan_prefix[n.lan_prefixes++] = ipv4_prefix("192.168.77.0/24");
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	assert_int_equal(recv(firewall_watch_fd(witness), &byte, 1, MSG_DONTWAIT | MSG_PEEK), 1);
	firewall_close(witness);
}

static void
assert_lan(const char *const *prefixes, const char *listed)
{
	struct firewall_network n = network();

	n.lan_prefixes = 0;
	for (; *prefixes; prefixes++)
		n.lan_prefix[n.lan_prefixes++] = ipv4_prefix(*prefixes);
	create_table(&n);
	if (!lists("lan4", listed))
		fail_msg("not %s", listed);
}

#define LAN(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
lan_prefixes_are_merged(void **state)
{
	(void)state;
	assert_lan(LAN("192.168.1.0/24", "10.0.0.0/8"), "{ 10.0.0.0/8, 192.168.1.0/24 }");
	assert_lan(LAN("192.168.1.0/24", "192.168.1.0/24"), "{ 192.168.1.0/24 }");
	assert_lan(LAN("192.168.1.0/25", "192.168.0.0/16", "192.168.200.0/24"),
		   "{ 192.168.0.0/16 }");
	assert_lan(LAN("192.168.1.128/25", "192.168.1.0/25"), "{ 192.168.1.0/24 }");
	assert_lan(LAN("192.168.3.0/24", "192.168.1.0/24"), "{ 192.168.1.0/24, 192.168.3.0/24 }");
	assert_lan(LAN("255.255.255.0/24", "0.0.0.0/8"), "{ 0.0.0.0/8, 255.255.255.0/24 }");
	assert_lan(LAN("192.168.1.7", "0.0.0.0/0"), "{ 0.0.0.0/0 }");
	assert_lan(LAN("192.168.1.7"), "{ 192.168.1.7 }");
}

static void
a_mapping_comes_and_goes(void **state)
{
	struct mapping m = mapping(8080), inbound = mapping(4500);

	(void)state;
	m.internal.port = 80;
	m.comment = "web server";
	change(FIREWALL_ADD, &m);
	assert_true(lists("fwd4", "timeout 1h"));
	assert_true(lists("fwd4", "comment \"web server\" : 192.168.1.10 . 80"));
	assert_true(lists("out4", "tcp . 192.168.1.10 . 80"));
	assert_true(lists("out4", ": 8080"));
	assert_true(lists("ext4", "tcp . 8080"));

	inbound.transport = TRANSPORT_UDP;
	inbound.outbound = false;
	change(FIREWALL_ADD, &inbound);
	assert_true(lists("fwd4", "udp . 4500"));
	assert_true(lists("ext4", "udp . 4500"));
	assert_false(lists("out4", "4500"));

	change(FIREWALL_REMOVE, &m);
	change(FIREWALL_REMOVE, &inbound);
	assert_false(lists("fwd4", "elements"));
	assert_false(lists("out4", "elements"));
	assert_false(lists("ext4", "elements"));
}

static void
assert_renewed(uint64_t timeout, long least, long most)
{
	struct mapping m = mapping(8080);
	struct firewall_outcome outcomes[2];
	const char *const elements[][2] = {
	    {"fwd4", "tcp . 8080"}, {"out4", "tcp . 192.168.1.10 . 8080"}, {"ext4", "tcp . 8080"}};

	m.timeout = timeout;
	firewall_stage(f, FIREWALL_REMOVE, &m, &outcomes[0]);
	firewall_stage(f, FIREWALL_ADD, &m, &outcomes[1]);
	commit();
	for (size_t i = 0; i < 3; i++) {
		long left = remaining(elements[i][0], elements[i][1]);

		if (left < least || left > most)
			fail_msg("%s has %ld ms left", elements[i][0], left);
	}
}

/* Before Linux 6.12 the time-out of an element that is there cannot be changed, and nothing says
 * so. */
static void
a_renewal_sets_the_time_that_remains(void **state)
{
	struct mapping m = mapping(8080);

	(void)state;
	m.timeout = 60000;
	change(FIREWALL_ADD, &m);
	assert_renewed(7200 * 1000, 7190 * 1000, 7200 * 1000);
	assert_renewed(10000, 1, 10000);
	assert_renewed(90000, 80000, 90000);
}

static void
the_kernel_ends_a_mapping_by_itself(void **state)
{
	struct mapping brief = mapping(8080), lasting = mapping(8081);
	struct firewall_outcome outcomes[2];

	(void)state;
	brief.timeout = 400;
	lasting.timeout = 0;
	firewall_stage(f, FIREWALL_ADD, &brief, &outcomes[0]);
	firewall_stage(f, FIREWALL_ADD, &lasting, &outcomes[1]);
	commit();
	assert_true(remaining("fwd4", "tcp . 8080") > 0);
	pause_for(500);
	assert_int_equal(remaining("fwd4", "tcp . 8080"), -1);
	assert_int_equal(remaining("out4", "tcp . 192.168.1.10 . 8080"), -1);
	assert_int_equal(remaining("ext4", "tcp . 8080"), -1);
	assert_true(lists("fwd4", "tcp . 8081"));

	/* It was not there to be removed, and can be made again. */
	firewall_stage(f, FIREWALL_REMOVE, &brief, &outcomes[0]);
	assert_int_equal(firewall_commit(f, &fault), -ENOENT);
	assert_int_equal(outcomes[0].error, ENOENT);
	change(FIREWALL_ADD, &brief);
}

/* Of eight changes the fifth cannot be made. */
static void
a_refused_change_is_told_from_the_others(void **state)
{
	struct mapping taken = mapping(1004);
	struct firewall_outcome outcomes[8];

	(void)state;
	taken.internal.port = 99;
	change(FIREWALL_ADD, &taken);
	for (uint16_t i = 0; i < 8; i++) {
		struct mapping m = mapping((uint16_t)(1000 + i));

		firewall_stage(f, FIREWALL_ADD, &m, &outcomes[i]);
	}
	assert_int_equal(firewall_commit(f, &fault), -EEXIST);
	assert_string_equal(fault.text, "nftables refused 1 of 8 changes: File exists");
	for (int i = 0; i < 8; i++)
		assert_int_equal(outcomes[i].error, i == 4 ? EEXIST : 0);
	assert_false(lists("ext4", "1003"));
	assert_true(lists("fwd4", "tcp . 1004"));

	for (uint16_t i = 0; i < 8; i++) {
		struct mapping m = mapping((uint16_t)(1000 + i));

		if (i != 4)
			firewall_stage(f, FIREWALL_ADD, &m, &outcomes[i]);
	}
	commit();
	assert_true(lists("ext4", "1003"));
}

/* An internal endpoint has one way out: a second one is refused as a whole. */
static void
a_mapping_is_made_whole_or_not_at_all(void **state)
{
	struct mapping a = mapping(8080), b = mapping(8081);
	struct firewall_outcome outcome;

	(void)state;
	b.internal = a.internal;
	change(FIREWALL_ADD, &a);
	firewall_stage(f, FIREWALL_ADD, &b, &outcome);
	assert_int_equal(firewall_commit(f, &fault), -EEXIST);
	assert_false(lists("fwd4", "8081"));
	assert_false(lists("ext4", "8081"));
	b.outbound = false;
	change(FIREWALL_ADD, &b);
	assert_true(lists("fwd4", "8081"));
}

static void
nothing_missing_is_taken_for_a_lost_table(void **state)
{
	struct mapping there = mapping(8080), missing = mapping(8081);
	struct firewall_outcome outcomes[2];

	(void)state;
	change(FIREWALL_ADD, &there);
	firewall_stage(f, FIREWALL_REMOVE, &there, &outcomes[0]);
	firewall_stage(f, FIREWALL_REMOVE, &missing, &outcomes[1]);
	assert_int_equal(firewall_commit(f, &fault), -ENOENT);
	assert_int_equal(outcomes[0].error, 0);
	assert_int_equal(outcomes[1].error, ENOENT);
	assert_true(lists("fwd4", "8080"));
}

static void
a_lost_table_is_stale(void **state)
{
	static const char *const losses[] = {"flush ruleset", "delete table inet portlease"};
	struct firewall_network n = network(), other = network();
	struct mapping m = mapping(8080);
	struct firewall_outcome outcome;

	(void)state;
	strcpy(other.wan, "ppp0");
	for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++) {
		nft(losses[i]);
		firewall_stage(f, FIREWALL_ADD, &m, &outcome);
		assert_int_equal(firewall_commit(f, &fault), -ESTALE);
		assert_string_equal(fault.text, "table portlease is gone: Stale file handle");
		assert_int_equal(firewall_set_network(f, &other, &fault), -ESTALE);
		create_table(&n);
		change(FIREWALL_ADD, &m);
	}
}

static void
nothing_staged_is_no_commit(void **state)
{
	(void)state;
	nft("flush ruleset");
	assert_int_equal(firewall_commit(f, &fault), 0);
}

static void
a_new_table_replaces_the_old_at_once(void **state)
{
	struct firewall_network n = network();
	struct mapping old = mapping(8080), new = mapping(9090);
	struct firewall_outcome outcomes[2];

	(void)state;
	change(FIREWALL_ADD, &old);
	firewall_stage(f, FIREWALL_ADD, &new, &outcomes[0]);
	create_table(&n);
	assert_true(lists("fwd4", "tcp . 9090"));
	assert_false(lists("fwd4", "tcp . 8080"));

	/* What is staged is part of it: the table stays as it was. */
	firewall_stage(f, FIREWALL_ADD, &old, &outcomes[0]);
	firewall_stage(f, FIREWALL_ADD, &old, &outcomes[1]);
	assert_int_equal(firewall_create(f, &n, &fault), -EEXIST);
	assert_int_equal(outcomes[0].error, 0);
	assert_int_equal(outcomes[1].error, EEXIST);
	assert_true(lists("fwd4", "tcp . 9090"));
	change(FIREWALL_REMOVE, &new);
}

static void
only_our_table_is_touched(void **state)
{
	struct firewall_network n = network();
	char *before;

	(void)state;
	assert_int_equal(firewall_destroy(f, &fault), 0);
	assert_string_equal(nft("list tables"), "");
	assert_int_equal(firewall_destroy(f, &fault), 0);

	shell(
	    "nft -f - 2>&1 <<'END'\n"
	    "add table ip portlease\n"
	    "add chain ip portlease forward { type filter hook forward priority 0; policy drop; }\n"
	    "add table inet filter\n"
	    "add chain inet filter forwards { type nat hook prerouting priority -100; }\n"
	    "add rule inet filter forwards tcp dport 22 dnat ip to 10.1.1.1\n"
	    "END");
	before = ruleset();
	create_table(&n);
	assert_non_null(strstr(nft("list tables"), "inet portlease"));
	assert_int_equal(firewall_destroy(f, &fault), 0);
	assert_ruleset(before);
}

/* A client's text cannot become rules when an admin loads a saved dump. */
static void
a_comment_cannot_break_out(void **state)
{
	struct mapping m = mapping(8080);
	char longest[128] = {0};

	(void)state;
	m.comment = "x\" : 192.168.1.1 . 22 }\n} table ip evil {";
	change(FIREWALL_ADD, &m);
	assert_true(lists("fwd4",
			  "comment \"x? : 192.168.1.1 . 22 }?} table ip evil {\" : 192.168.1.10 . "
			  "8080"));
	change(FIREWALL_REMOVE, &m);
	memset(longest, 'm', sizeof(longest) - 1);
	m.comment = longest;
	change(FIREWALL_ADD, &m);
	assert_true(lists("fwd4", longest));
	shell("nft list ruleset | nft -c -f - 2>&1");
}

static void
no_more_is_staged_than_fits(void **state)
{
	static struct firewall_outcome outcomes[2 * FIREWALL_CHUNK + 1];
	struct mapping m;

	(void)state;
	for (size_t i = 0; i < 2 * FIREWALL_CHUNK + 1; i++) {
		m = mapping((uint16_t)(1024 + i));
		firewall_stage(f, FIREWALL_ADD, &m, &outcomes[i]);
	}
	assert_int_equal(firewall_commit(f, &fault), -ENOBUFS);
	assert_int_equal(outcomes[2 * FIREWALL_CHUNK].error, ENOBUFS);
	assert_int_equal(outcomes[0].error, 0);
	assert_false(lists("fwd4", "elements"));
	change(FIREWALL_ADD, &m);
}

/* Stages a chunk's worth of the mappings from number on, all with the longest comment. */
static void
stage_chunk(enum firewall_change what, size_t number, size_t count)
{
	static struct firewall_outcome outcomes[2 * FIREWALL_CHUNK];
	char comment[128] = {0};

	memset(comment, 'c', sizeof(comment) - 1);
	for (size_t i = 0; i < count; i++) {
		size_t n = number + i;
		struct mapping m = mapping((uint16_t)(1024 + n % 60000));

		m.transport = n < 60000 ? TRANSPORT_TCP : TRANSPORT_UDP;
		m.comment = comment;
		firewall_stage(f, what, &m,
			       &outcomes[what == FIREWALL_ADD ? i : FIREWALL_CHUNK + i]);
	}
}

static void
large_batches_are_committed_and_refused_as_a_whole(void **state)
{
	struct firewall_network n = network();
	struct firewall_outcome outcome;
	struct mapping last = mapping(1024 + FIREWALL_CHUNK - 1);

	(void)state;
	stage_chunk(FIREWALL_ADD, 0, FIREWALL_CHUNK);
	create_table(&n);
	assert_true(lists("fwd4", "tcp . 1523 "));
	stage_chunk(FIREWALL_REMOVE, 0, FIREWALL_CHUNK);
	stage_chunk(FIREWALL_ADD, 0, FIREWALL_CHUNK);
	commit();
	/* Each of them is refused, thrice; more errors than the socket may hold. */
	stage_chunk(FIREWALL_ADD, 0, FIREWALL_CHUNK);
	assert_int_equal(firewall_commit(f, &fault), -EEXIST);
	stage_chunk(FIREWALL_REMOVE, 0, FIREWALL_CHUNK - 1);
	firewall_stage(f, FIREWALL_REMOVE, &last, &outcome);
	commit();
	assert_int_equal(outcome.error, 0);
	assert_false(lists("fwd4", "elements"));
}

static int
compare_times(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The median time of a commit of one mapping that comes and goes, in microseconds. */
static double
commit_time(void)
{
	struct mapping m = mapping(500);
	double times[200];

	for (int i = 0; i < 200; i++) {
		double start = milliseconds();

		change(i % 2 ? FIREWALL_REMOVE : FIREWALL_ADD, &m);
		times[i] = milliseconds() - start;
	}
	qsort(times, 200, sizeof(*times), compare_times);
	return times[100] * 1e3;
}

static void
a_commit_does_not_grow_with_the_table(void **state)
{
	enum { ALL = 60000 };
	double few, many, start;

	(void)state;
	few = commit_time();
	start = milliseconds();
	for (size_t i = 0; i < ALL; i += FIREWALL_CHUNK) {
		stage_chunk(FIREWALL_ADD, i, FIREWALL_CHUNK);
		commit();
	}
	start = milliseconds() - start;
	many = commit_time();
	print_message("60000 mappings in %.0f ms (%.1f us each); one commit %.1f us with none, "
		      "%.1f us with all\n",
		      start, start / ALL * 1e3, few, many);
	/* Removing what is not there would fail: all were. */
	for (size_t i = 0; i < ALL; i += FIREWALL_CHUNK) {
		stage_chunk(FIREWALL_REMOVE, i, FIREWALL_CHUNK);
		commit();
	}
	assert_true(start < 30000);
	assert_true(many < 10 * few);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, close_firewall)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_table_is_the_documented_one),
	    TEST(a_dump_loads_back),
	    TEST(a_gateway_that_only_routes_reserves_nothing),
	    TEST(the_network_is_swapped_under_the_mappings),
	    TEST(the_source_address_comes_and_goes),
	    TEST(an_unchanged_network_commits_nothing),
	    TEST(lan_prefixes_are_merged),
	    TEST(a_mapping_comes_and_goes),
	    TEST(a_renewal_sets_the_time_that_remains),
	    TEST(the_kernel_ends_a_mapping_by_itself),
	    TEST(a_refused_change_is_told_from_the_others),
	    TEST(a_mapping_is_made_whole_or_not_at_all),
	    TEST(nothing_missing_is_taken_for_a_lost_table),
	    TEST(a_lost_table_is_stale),
	    TEST(nothing_staged_is_no_commit),
	    TEST(a_new_table_replaces_the_old_at_once),
	    TEST(only_our_table_is_touched),
	    TEST(a_comment_cannot_break_out),
	    TEST(no_more_is_staged_than_fits),
	    TEST(large_batches_are_committed_and_refused_as_a_whole),
	    TEST(a_commit_does_not_grow_with_the_table),
	};

	leave_network();
	return cmocka_run_group_tests_name("firewall", tests, NULL, NULL);
}
