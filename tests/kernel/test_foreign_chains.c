/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our line in others' chains, judged by their own tools. */
#include "firewall_bed.h"

#include "../../backend/foreign_chains.h"

#define NATIVE                                                              \
	"ct status dnat ct mark & 0x40000000 == 0x40000000 accept comment " \
	"\"portlease: what it opened\""
#define IPTABLES                                                                              \
	"-A FORWARD -m conntrack --ctstate DNAT -m connmark --mark 0x40000000/0x40000000 -m " \
	"comment "                                                                            \
	"--comment \"portlease: what it opened\" -j ACCEPT"

static const struct foreign_chain fw4 = {true, "fw4", "forward"};
static const struct foreign_chain filter = {false, "filter", "FORWARD"};
static const struct foreign_chain native_filter = {false, "filter", "forward"};

static struct foreign_chains *chains;

/* What a command prints, the blanks at the beginnings of lines aside. */
static const char *
output(const char *command)
{
	static char text[8192];
	char line[1024];
	size_t used = 0;
	FILE *from = popen(command, "r");

	assert_non_null(from);
	text[0] = '\0';
	while (fgets(line, sizeof(line), from)) {
		const char *begin = line + strspn(line, " \t");

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", begin);
		assert_true(used < sizeof(text));
	}
	assert_int_equal(pclose(from), 0);
	return text;
}

static unsigned
times(const char *text, const char *part)
{
	unsigned count = 0;

	while ((text = strstr(text, part))) {
		count++;
		text++;
	}
	return count;
}

static enum foreign_result
put(const struct foreign_chain *chain)
{
	return foreign_chains_put(chains, chain, &fault);
}

#define FW4                                                                                        \
	"nft 'table inet fw4 { chain forward { type filter hook forward priority 0; policy drop; " \
	"ct state established,related accept; }; chain other { }; }'"
#define SHOW_FW4 "nft list chain inet fw4 forward"

static int
start(void **state)
{
	(void)state;
	shell("nft flush ruleset");
	return foreign_chains_open(&chains, &fault);
}

static int
stop(void **state)
{
	(void)state;
	foreign_chains_close(chains);
	chains = NULL;
	return 0;
}

static void
an_absent_chain_is_told(void **state)
{
	(void)state;
	assert_int_equal(put(&fw4), FOREIGN_ABSENT);
	shell("nft add table inet fw4");
	assert_int_equal(put(&fw4), FOREIGN_ABSENT);
	assert_string_equal(fault.text, "chain inet fw4 forward: No such file or directory");
	assert_int_equal(foreign_chains_take(chains, &fw4, &fault), FOREIGN_ABSENT);
	/* The same name in another family. */
	shell("nft 'add table ip fw4; add chain ip fw4 forward'");
	assert_int_equal(put(&fw4), FOREIGN_ABSENT);
	assert_string_equal(output("nft list table inet fw4"), "table inet fw4 {\n}\n");
}

static void
the_line_goes_to_the_head_once(void **state)
{
	char before[8192];

	(void)state;
	shell(FW4);
	strcpy(before, output("nft list ruleset"));
	assert_int_equal(put(&fw4), FOREIGN_PUT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(put(&fw4), FOREIGN_THERE);
	assert_string_equal(output(SHOW_FW4),
			    "table inet fw4 {\nchain forward {\n"
			    "type filter hook forward priority filter; policy drop;\n" NATIVE
			    "\nct state established,related accept\n}\n}\n");
	assert_int_equal(foreign_chains_take(chains, &fw4, &fault), FOREIGN_ABSENT);
	assert_string_equal(output("nft list ruleset"), before);
}

static void
what_others_put_before_it_stays_there(void **state)
{
	(void)state;
	shell(FW4);
	assert_int_equal(put(&fw4), FOREIGN_PUT);
	shell("nft insert rule inet fw4 forward ip saddr 198.51.100.66 drop");
	assert_int_equal(put(&fw4), FOREIGN_THERE);
	const char *text = output(SHOW_FW4);
	assert_true(strstr(text, "198.51.100.66") < strstr(text, "portlease"));
}

static void
it_is_known_again(void **state)
{
	(void)state;
	shell(FW4);
	assert_int_equal(put(&fw4), FOREIGN_PUT);
	/* By another daemon, and after a dump was saved and loaded. */
	stop(NULL);
	assert_int_equal(foreign_chains_open(&chains, &fault), 0);
	assert_int_equal(put(&fw4), FOREIGN_THERE);
	shell("{ echo flush ruleset; nft list ruleset; } | nft -f -");
	assert_int_equal(put(&fw4), FOREIGN_THERE);
	/* Loaded without a flush it is there twice; both are ours to take. */
	shell("nft list ruleset | nft -f -");
	assert_int_equal(times(output(SHOW_FW4), "portlease"), 2);
	assert_int_equal(put(&fw4), FOREIGN_THERE);
	assert_int_equal(foreign_chains_take(chains, &fw4, &fault), FOREIGN_ABSENT);
	assert_int_equal(times(output(SHOW_FW4), "portlease"), 0);
	assert_int_equal(times(output(SHOW_FW4), "established"), 2);
	/* However many there are. */
	assert_int_equal(put(&fw4), FOREIGN_PUT);
	for (int i = 0; i < 5; i++)
		shell("nft list chain inet fw4 forward | nft -f -");
	assert_int_equal(times(output(SHOW_FW4), "portlease"), 32);
	assert_int_equal(foreign_chains_take(chains, &fw4, &fault), FOREIGN_ABSENT);
	assert_int_equal(times(output(SHOW_FW4), "portlease"), 0);
}

static void
others_comments_are_not_ours(void **state)
{
	(void)state;
	shell(FW4);
	shell("nft add rule inet fw4 forward accept comment portlease");
	shell("nft add rule inet fw4 other accept comment '\"portlease: what it opened\"'");
	assert_int_equal(put(&fw4), FOREIGN_PUT);
	assert_int_equal(foreign_chains_take(chains, &fw4, &fault), FOREIGN_ABSENT);
	assert_int_equal(times(output("nft list table inet fw4"), "portlease"), 2);
}

static void
a_reload_takes_it_and_it_comes_back(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		shell("nft 'add table inet fw4; delete table inet fw4'; " FW4);
		assert_int_equal(put(&fw4), FOREIGN_PUT);
		assert_int_equal(times(output(SHOW_FW4), "portlease"), 1);
	}
}

static void
iptables_prints_it(void **state)
{
	char before[8192];

	(void)state;
	shell("iptables -P FORWARD DROP && iptables -A FORWARD -i lo -j ACCEPT");
	strcpy(before, output("iptables -S"));
	assert_int_equal(put(&filter), FOREIGN_PUT);
	assert_int_equal(put(&filter), FOREIGN_THERE);
	assert_string_equal(output("iptables -S FORWARD"),
			    "-P FORWARD DROP\n" IPTABLES "\n-A FORWARD -i lo -j ACCEPT\n");
	/* Exactly what iptables itself would have written. */
	shell("iptables -C FORWARD -m conntrack --ctstate DNAT -m connmark --mark "
	      "0x40000000/0x40000000 -m comment --comment 'portlease: what it opened' -j ACCEPT");
	assert_int_equal(foreign_chains_take(chains, &filter, &fault), FOREIGN_ABSENT);
	assert_string_equal(output("iptables -S"), before);
}

static void
iptables_restores_it(void **state)
{
	(void)state;
	shell("iptables -P FORWARD DROP");
	assert_int_equal(put(&filter), FOREIGN_PUT);
	shell("iptables-save | iptables-restore");
	assert_int_equal(put(&filter), FOREIGN_THERE);
	assert_int_equal(times(output("iptables -S"), "portlease"), 1);
	assert_int_equal(foreign_chains_take(chains, &filter, &fault), FOREIGN_ABSENT);
	assert_int_equal(times(output("iptables -S"), "portlease"), 0);
}

static void
a_native_chain_of_that_table_gets_the_native_form(void **state)
{
	(void)state;
	shell("nft 'add table ip filter; add chain ip filter forward'");
	assert_int_equal(put(&native_filter), FOREIGN_PUT);
	assert_string_equal(output("nft list ruleset"),
			    "table ip filter {\nchain forward {\n" NATIVE "\n}\n}\n");
}

/* By what holds its table as its owner does, the kernel lets nobody in. */
static void
a_refusal_is_told(void **state)
{
	(void)state;
	FILE *owner = popen("nft -i >/dev/null 2>&1", "w");
	assert_non_null(owner);
	fputs("add table inet owned { flags owner; }\nadd chain inet owned forward\n", owner);
	fflush(owner);
	const struct foreign_chain owned = {true, "owned", "forward"};
	enum foreign_result result = FOREIGN_ABSENT;
	for (int i = 0; i < 500 && result == FOREIGN_ABSENT; i++) {
		result = put(&owned);
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	pclose(owner);
	assert_int_equal(result, FOREIGN_REFUSED);
	assert_string_equal(fault.text, "chain inet owned forward: Operation not permitted");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	leave_network();
	const struct CMUnitTest tests[] = {
	    TEST(an_absent_chain_is_told),
	    TEST(the_line_goes_to_the_head_once),
	    TEST(what_others_put_before_it_stays_there),
	    TEST(it_is_known_again),
	    TEST(others_comments_are_not_ours),
	    TEST(a_reload_takes_it_and_it_comes_back),
	    TEST(iptables_prints_it),
	    TEST(iptables_restores_it),
	    TEST(a_native_chain_of_that_table_gets_the_native_form),
	    TEST(a_refusal_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
