/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who else commits to nftables, and is our table still ours?  Runs in a network namespace of its
 * own. */
#include "firewall_bed.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static char by[64];

static void
create(void)
{
	struct firewall_network n = network();

	create_table(&n);
}

static int
setup(void **state)
{
	(void)state;
	nft("flush ruleset");
	open_firewall(&masquerading);
	create();
	assert_int_equal(firewall_watch(f, by, sizeof(by)), FIREWALL_INTACT);
	return 0;
}

static bool
woken(void)
{
	struct pollfd p = {.fd = firewall_watch_fd(f), .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static void
assert_intact(void)
{
	assert_int_equal(firewall_watch(f, by, sizeof(by)), FIREWALL_INTACT);
	assert_false(woken());
}

/* The loss is noticed, told once, and by name. */
static void
assert_lost_once(void)
{
	assert_true(woken());
	assert_int_equal(firewall_watch(f, by, sizeof(by)), FIREWALL_LOST);
	assert_false(woken());
	assert_int_equal(firewall_watch(f, by, sizeof(by)), FIREWALL_INTACT);
	nft("add table ip another");
	assert_int_equal(firewall_watch(f, by, sizeof(by)), FIREWALL_INTACT);
}

static void
our_own_commits_are_no_loss(void **state)
{
	struct firewall_network other = network();
	struct mapping m = mapping(8080);
	struct firewall_outcome outcomes[2];

	(void)state;
	firewall_stage(f, FIREWALL_ADD, &m, &outcomes[0]);
	assert_int_equal(firewall_commit(f, &fault), 0);
	assert_false(woken());
	firewall_stage(f, FIREWALL_REMOVE, &m, &outcomes[0]);
	firewall_stage(f, FIREWALL_ADD, &m, &outcomes[1]);
	assert_int_equal(firewall_commit(f, &fault), 0);
	other.has_source = true;
	other.source = ipv4("203.0.113.7");
	assert_int_equal(firewall_set_network(f, &other, &fault), 0);
	assert_false(woken());
	create();
	assert_false(woken());
	assert_int_equal(firewall_destroy(f, &fault), 0);
	assert_intact();
}

static void
others_commits_elsewhere_are_no_loss(void **state)
{
	(void)state;
	nft("add table ip another");
	assert_true(woken());
	assert_intact();
	nft("'add chain inet portlease more; add rule inet portlease dn4 counter'");
	assert_true(woken());
	assert_intact();
	nft("delete table inet portlease");
	assert_lost_once();
}

static void
each_loss_is_noticed(void **state)
{
	static const char *const losses[] = {
	    "nft flush ruleset",
	    "nft delete table inet portlease",
	    "nft flush chain inet portlease hp4",
	    "nft 'flush chain inet portlease output; delete chain inet portlease output'",
	    "nft flush chain inet portlease sn4",
	    ("nft delete rule inet portlease dn4 handle "
	     "$(nft -a list chain inet portlease dn4 | sed -n 's/.*0xbfffffff # handle //p')"),
	    "nft 'add table inet portlease { flags dormant; }'",
	    "nft flush map inet portlease wan4",
	    "nft flush set inet portlease wanif",
	    "nft flush set inet portlease lan4",
	    "nft list table inet portlease | nft -f -",
	    /* The same to look at, but with what an old dump held. */
	    "(echo flush ruleset; nft list ruleset) | nft -f -",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++) {
		shell("%s 2>&1", losses[i]);
		if (firewall_watch(f, by, sizeof(by)) != FIREWALL_LOST)
			fail_msg("not noticed: %s", losses[i]);
		assert_int_equal(strncmp(by, "nft[", 4), 0);
		assert_true(atoi(by + 4) > 1);
		create();
		assert_intact();
	}
}

static void
a_loss_is_told_once(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		nft("flush ruleset");
		assert_lost_once();
		create();
		assert_intact();
	}
}

static void
a_loss_after_a_source_change_is_noticed(void **state)
{
	struct firewall_network n = network();

	(void)state;
	n.has_source = true;
	n.source = ipv4("203.0.113.7");
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	assert_intact();
	nft("flush chain inet portlease sn4");
	assert_lost_once();
}

static void
another_process_of_ours_is_another_program(void **state)
{
	struct firewall_network n = network();
	struct firewall *second;
	char name[16], expected[64];

	(void)state;
	assert_int_equal(firewall_open(&second, &masquerading, &fault), 0);
	assert_int_equal(firewall_create(second, &n, &fault), 0);
	assert_int_equal(firewall_watch(f, by, sizeof(by)), FIREWALL_LOST);
	prctl(PR_GET_NAME, name);
	/* The pid is the one outside of all pid namespaces, which a container cannot know. */
	snprintf(expected, sizeof(expected), "%s[", name);
	assert_memory_equal(by, expected, strlen(expected));
	assert_int_equal(by[strlen(expected) + strspn(by + strlen(expected), "0123456789")], ']');
	firewall_close(second);
}

static void
nobody_loses_what_was_never_made(void **state)
{
	(void)state;
	assert_int_equal(firewall_destroy(f, &fault), 0);
	nft("flush ruleset");
	assert_intact();
}

/* More commits than the watch can hold: which are missing, nobody knows. */
static void
an_overrun_is_looked_into(void **state)
{
	int small = 1;

	(void)state;
	setsockopt(firewall_watch_fd(f), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	shell("for i in $(seq 40); do nft add table ip t$i || exit 1; done");
	assert_int_equal(firewall_watch(f, NULL, 0), FIREWALL_INTACT);
	shell("for i in $(seq 40); do nft delete table ip t$i || exit 1; done; nft flush ruleset");
	assert_int_equal(firewall_watch(f, NULL, 0), FIREWALL_LOST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, close_firewall)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(our_own_commits_are_no_loss),
	    TEST(others_commits_elsewhere_are_no_loss),
	    TEST(each_loss_is_noticed),
	    TEST(a_loss_is_told_once),
	    TEST(a_loss_after_a_source_change_is_noticed),
	    TEST(another_process_of_ours_is_another_program),
	    TEST(nobody_loses_what_was_never_made),
	    TEST(an_overrun_is_looked_into),
	};

	leave_network();
	return cmocka_run_group_tests_name("firewall watch", tests, NULL, NULL);
}
