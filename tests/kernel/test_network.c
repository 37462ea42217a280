/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links and addresses as the kernel tells them.  Runs in a network namespace of its own. */
#include "../../backend/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const names[] = {"wan0", "br-lan"};
static struct network *network;

/* Runs commands of ip(8), separated by ";". */
static void
ip(const char *commands)
{
	char line[512];

	snprintf(line, sizeof(line), "printf '%%s' '%s' | tr ';' '\n' | ip -batch -", commands);
	if (system(line) != 0)
		fail_msg("ip %s", commands);
}

static void
write_setting(const char *name, const char *value)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	file = fopen(path, "w");
	if (!file || fputs(value, file) < 0 || fclose(file) != 0)
		fail_msg("%s", path);
}

/* Dispatches until nothing more comes; did anything change? */
static bool
changed(void)
{
	struct pollfd p = {.fd = network_fd(network), .events = POLLIN};
	struct fault fault;
	bool any = false;

	for (int i = 0; i < 100 && poll(&p, 1, 100) > 0; i++) {
		int result = network_dispatch(network, &fault);

		if (result < 0)
			fail_msg("%s", fault.text);
		any |= result == 1;
	}
	return any;
}

static void
assert_address(size_t interface, size_t number, const char *own, const char *on_link,
	       bool secondary)
{
	const struct network_interface *i = network_interface(network, interface);
	char text[PREFIX_TEXT_SIZE];

	assert_true(number < i->addresses);
	assert_string_equal(address_print(&i->address[number].address, text), own);
	assert_string_equal(prefix_print(&i->address[number].prefix, text), on_link);
	assert_int_equal(i->address[number].secondary, secondary);
}

static int
setup(void **state)
{
	struct fault fault;

	(void)state;
	/* Link-local addresses come when they like. */
	write_setting("ipv6/conf/default/disable_ipv6", "1");
	ip("link add wan0 type veth peer name far0;link set far0 up;link set wan0 up;"
	   "address add 203.0.113.5/24 dev wan0");
	return network_open(&network, names, 2, &fault);
}

/* The first is the one of the default route; "other" is there to go to. */
static int
setup_follower(void **state)
{
	static const char *const followed[] = {NULL, "br-lan"};
	struct fault fault;

	(void)state;
	write_setting("ipv6/conf/default/disable_ipv6", "1");
	ip("link add wan0 type veth peer name far0;link set far0 up;link set wan0 up;"
	   "address add 203.0.113.5/24 dev wan0;link add other type veth peer name far1;"
	   "link set far1 up;link set other up;address add 198.51.100.9/24 dev other");
	return network_open(&network, followed, 2, &fault);
}

static int
teardown(void **state)
{
	(void)state;
	network_close(network);
	network = NULL;
	/* Of either name; the pair goes with its end. */
	return system("for i in wan0 wan9 far0 br-lan other; do ip link del $i 2>/dev/null; done;"
		      "ip route flush default;true");
}

static void
reads_what_is_there(void **state)
{
	const struct network_interface *wan = network_interface(network, 0);

	(void)state;
	assert_string_equal(wan->name, "wan0");
	assert_int_equal(wan->index, if_nametoindex("wan0"));
	assert_true(wan->up);
	assert_int_equal(wan->addresses, 1);
	assert_address(0, 0, "203.0.113.5", "203.0.113.0/24", false);
	assert_int_equal(network_interface(network, 1)->index, 0);
	assert_int_equal(network_interface(network, 1)->addresses, 0);
	assert_null(network_interface(network, 2));
	assert_false(changed());
}

static void
tells_addresses_that_come_and_go(void **state)
{
	(void)state;
	ip("address add 203.0.113.6/24 dev wan0;address add 198.51.100.9/30 dev wan0");
	assert_true(changed());
	assert_int_equal(network_interface(network, 0)->addresses, 3);
	assert_address(0, 0, "203.0.113.5", "203.0.113.0/24", false);
	assert_address(0, 1, "198.51.100.9", "198.51.100.8/30", false);
	assert_address(0, 2, "203.0.113.6", "203.0.113.0/24", true);
	ip("address del 203.0.113.6/24 dev wan0;address del 203.0.113.5/24 dev wan0");
	assert_true(changed());
	assert_int_equal(network_interface(network, 0)->addresses, 1);
	assert_address(0, 0, "198.51.100.9", "198.51.100.8/30", false);
}

static void
tells_a_promoted_secondary(void **state)
{
	(void)state;
	write_setting("ipv4/conf/wan0/promote_secondaries", "1");
	ip("address add 203.0.113.6/24 dev wan0");
	assert_true(changed());
	ip("address del 203.0.113.5/24 dev wan0");
	assert_true(changed());
	assert_int_equal(network_interface(network, 0)->addresses, 1);
	assert_address(0, 0, "203.0.113.6", "203.0.113.0/24", false);
}

static void
the_peer_of_a_link_is_not_ours(void **state)
{
	(void)state;
	ip("address add 10.1.1.1 peer 10.2.2.2/32 dev wan0");
	assert_true(changed());
	assert_address(0, 1, "10.1.1.1", "10.2.2.2/32", false);
}

static void
tells_links_that_go_down_and_up(void **state)
{
	(void)state;
	ip("link set far0 down");
	assert_true(changed());
	assert_false(network_interface(network, 0)->up);
	assert_int_equal(network_interface(network, 0)->addresses, 1);
	ip("link set far0 up");
	assert_true(changed());
	assert_true(network_interface(network, 0)->up);
}

static void
an_interface_appears_and_is_made_anew(void **state)
{
	unsigned first;

	(void)state;
	ip("link add br-lan type bridge;address add 192.168.1.1/24 dev br-lan");
	assert_true(changed());
	first = network_interface(network, 1)->index;
	assert_int_equal(first, if_nametoindex("br-lan"));
	assert_address(1, 0, "192.168.1.1", "192.168.1.0/24", false);
	/* Both before the next look: only the index tells. */
	ip("link del br-lan;link add br-lan type bridge;address add 192.168.1.1/24 dev br-lan");
	assert_true(changed());
	assert_int_equal(network_interface(network, 1)->index, if_nametoindex("br-lan"));
	assert_int_not_equal(network_interface(network, 1)->index, first);
	ip("link del br-lan");
	assert_true(changed());
	assert_int_equal(network_interface(network, 1)->index, 0);
	assert_int_equal(network_interface(network, 1)->addresses, 0);
}

static void
follows_the_name_when_renamed(void **state)
{
	(void)state;
	ip("link set wan0 down;link set wan0 name other");
	assert_true(changed());
	assert_int_equal(network_interface(network, 0)->index, 0);
	ip("address add 203.0.113.9/24 dev other");
	assert_false(changed());
	ip("link set other name wan0");
	assert_true(changed());
	assert_int_equal(network_interface(network, 0)->index, if_nametoindex("wan0"));
	assert_int_equal(network_interface(network, 0)->addresses, 2);
}

static void
others_are_none_of_our_business(void **state)
{
	(void)state;
	ip("link add other type bridge;address add 10.9.9.9/24 dev other;link set other up;"
	   "link del other");
	assert_false(changed());
	/* Said once more, with nothing new in it. */
	ip("address replace 203.0.113.5/24 dev wan0");
	assert_false(changed());
	ip("address add 203.0.113.6/24 dev wan0");
	assert_true(changed());
}

static void
keeps_sixteen_addresses(void **state)
{
	char command[64];

	(void)state;
	for (int i = 1; i <= 20; i++) {
		snprintf(command, sizeof(command), "address add 10.0.%d.1/24 dev wan0", i);
		ip(command);
	}
	assert_true(changed());
	assert_int_equal(network_interface(network, 0)->addresses, NETWORK_ADDRESSES);
	assert_address(0, 15, "10.0.15.1", "10.0.15.0/24", false);
}

/* More events than the socket holds: one is about us, and it is among the lost. */
static void
reads_everything_again_after_an_overrun(void **state)
{
	FILE *batch = popen("ip -batch - >/dev/null", "w");

	(void)state;
	assert_non_null(batch);
	fputs("link add other type bridge\n", batch);
	for (int i = 0; i < 8000; i++)
		fprintf(batch, "link set other mtu %d\n", 1000 + i % 2);
	fputs("address add 198.51.100.9/24 dev wan0\n", batch);
	assert_int_equal(pclose(batch), 0);
	assert_true(changed());
	assert_address(0, 1, "198.51.100.9", "198.51.100.0/24", false);
}

static void
tells_ipv6_addresses_once_they_are_usable(void **state)
{
	const struct network_interface *wan = network_interface(network, 0);
	char text[PREFIX_TEXT_SIZE];

	(void)state;
	write_setting("ipv6/conf/wan0/accept_dad", "0");
	write_setting("ipv6/conf/wan0/addr_gen_mode", "1"); /* none by itself */
	write_setting("ipv6/conf/wan0/disable_ipv6", "0");
	changed();
	assert_int_equal(wan->ipv6_addresses, 0);
	ip("address add fd00:1::5/64 dev wan0");
	assert_true(changed());
	assert_int_equal(wan->addresses, 1);
	assert_int_equal(wan->ipv6_addresses, 1);
	assert_string_equal(address_print(&wan->ipv6_address[0].address, text), "fd00:1::5");
	assert_string_equal(prefix_print(&wan->ipv6_address[0].prefix, text), "fd00:1::/64");
	/* Nobody there to object, but it asks for a second or two. */
	write_setting("ipv6/conf/wan0/accept_dad", "1");
	ip("address add fd00:1::6/64 dev wan0");
	changed();
	assert_int_equal(wan->ipv6_addresses, 1);
	for (int i = 0; i < 50 && wan->ipv6_addresses == 1; i++)
		changed();
	assert_int_equal(wan->ipv6_addresses, 2);
	ip("address del fd00:1::5/64 dev wan0");
	assert_true(changed());
	assert_int_equal(wan->ipv6_addresses, 1);
	assert_string_equal(address_print(&wan->ipv6_address[0].address, text), "fd00:1::6");
}

/* The default route's is no name: it comes and goes like the others, and is told of from then on.
 */
static void
others_may_be_watched(void **state)
{
	static const char *const more[] = {NULL, "br-lan", "other", "wan0"};
	int fd = network_fd(network);
	struct fault fault;

	(void)state;
	ip("link add other type veth peer name far1;link set far1 up;link set other up;"
	   "address add 198.51.100.9/24 dev other;link add br-lan type bridge");
	assert_true(changed());
	assert_int_equal(network_set_names(network, more, 3, &fault), 0);
	assert_int_equal(network_fd(network), fd);
	assert_string_equal(network_interface(network, 0)->name, "");
	assert_true(network_interface(network, 1)->index != 0);
	assert_address(2, 0, "198.51.100.9", "198.51.100.0/24", false);
	assert_null(network_interface(network, 3));
	ip("route add default via 203.0.113.1 dev wan0");
	assert_true(changed());
	assert_string_equal(network_interface(network, 0)->name, "wan0");

	/* One that is named is not the default route's. */
	assert_int_equal(network_set_names(network, more, 4, &fault), 0);
	assert_string_equal(network_interface(network, 0)->name, "");
	assert_address(3, 0, "203.0.113.5", "203.0.113.0/24", false);

	assert_int_equal(network_set_names(network, more + 2, 2, &fault), 0);
	assert_address(0, 0, "198.51.100.9", "198.51.100.0/24", false);
	assert_address(1, 0, "203.0.113.5", "203.0.113.0/24", false);
	ip("route del default;address add 203.0.113.6/24 dev wan0");
	assert_true(changed());
	assert_address(1, 1, "203.0.113.6", "203.0.113.0/24", true);
	ip("link set br-lan up");
	assert_false(changed());
}

static void
counts_what_goes_through(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct network_counters before, after;
	struct fault fault;

	(void)state;
	to.sin_addr.s_addr = inet_addr("203.0.113.77");
	assert_int_equal(network_counters(network, 0, &before, &fault), 0);
	/* Nobody answers, but the question for the neighbour has left. */
	assert_int_equal(sendto(fd, "", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	close(fd);
	assert_int_equal(network_counters(network, 0, &after, &fault), 0);
	assert_true(after.packets_sent > before.packets_sent);
	assert_true(after.bytes_sent >= before.bytes_sent + 28);
	assert_int_equal(after.packets_received, before.packets_received);
	assert_int_equal(after.bytes_received, before.bytes_received);
	assert_int_equal(network_counters(network, 1, &after, &fault), -ENODEV);
	assert_string_equal(fault.text, "cannot read counters of br-lan: No such device");
	assert_int_equal(network_bit_rate(network, 0), 10000000000); /* veth's */
	assert_int_equal(network_bit_rate(network, 1), 0);
}

static void
knows_the_neighbours_that_were_found(void **state)
{
	struct address there = address_from_ipv4(inet_addr("203.0.113.77"));
	struct address elsewhere = address_from_ipv4(inet_addr("203.0.113.78"));
	unsigned index = network_interface(network, 0)->index;

	(void)state;
	assert_false(network_knows_neighbour(network, index, &there));
	ip("neighbour add 203.0.113.77 lladdr 02:00:00:00:00:01 nud stale dev wan0");
	assert_true(network_knows_neighbour(network, index, &there));
	assert_false(network_knows_neighbour(network, index, &elsewhere));
	assert_false(network_knows_neighbour(network, index + 1000, &there));
	ip("neighbour change 203.0.113.77 nud failed dev wan0");
	assert_false(network_knows_neighbour(network, index, &there));
	ip("neighbour flush dev wan0");
}

/* One host at .77 and ::77, another at .78 and ::78. */
static void
knows_which_addresses_are_of_one_neighbour(void **state)
{
	unsigned index = network_interface(network, 0)->index;
	struct address a4, b4, a6, b6;

	(void)state;
	assert_true(address_parse("203.0.113.77", &a4) && address_parse("203.0.113.78", &b4) &&
		    address_parse("fe80::77", &a6) && address_parse("fe80::78", &b6));
	write_setting("ipv6/conf/wan0/disable_ipv6", "0");
	assert_false(network_same_neighbour(network, index, &a6, &a4));
	ip("neighbour add 203.0.113.77 lladdr 02:00:00:00:00:01 nud stale dev wan0");
	assert_false(network_same_neighbour(network, index, &a6, &a4));
	ip("neighbour add fe80::77 lladdr 02:00:00:00:00:01 nud reachable dev wan0");
	ip("neighbour add 203.0.113.78 lladdr 02:00:00:00:00:02 nud stale dev wan0");
	ip("neighbour add fe80::78 lladdr 02:00:00:00:00:02 nud permanent dev wan0");
	assert_true(network_same_neighbour(network, index, &a6, &a4));
	assert_true(network_same_neighbour(network, index, &b6, &b4));
	assert_false(network_same_neighbour(network, index, &a6, &b4));
	assert_false(network_same_neighbour(network, index, &b6, &a4));
	assert_false(network_same_neighbour(network, index + 1000, &a6, &a4));
	ip("neighbour change 203.0.113.77 nud failed dev wan0");
	assert_false(network_same_neighbour(network, index, &a6, &a4));
	ip("neighbour change 203.0.113.77 lladdr 02:00:00:00:00:01 nud stale dev wan0");
	assert_true(network_same_neighbour(network, index, &a6, &a4));
	ip("neighbour change fe80::77 nud failed dev wan0");
	assert_false(network_same_neighbour(network, index, &a6, &a4));
	ip("neighbour change fe80::77 lladdr 02:00:00:00:00:01 nud noarp dev wan0");
	assert_false(network_same_neighbour(network, index, &a6, &a4));
	ip("neighbour change fe80::78 lladdr 02:00:00:00:00:01 nud stale dev wan0");
	assert_false(network_same_neighbour(network, index, &b6, &b4));
	ip("neighbour flush dev wan0 nud all");
}

/* Which ends when the test does; far0 is on it. */
static pid_t
start_host(void)
{
	char line[128];
	int ready[2];
	pid_t pid;
	char octet;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		close(ready[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) != 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &octet, 1), 1);
	close(ready[0]);
	snprintf(line, sizeof(line), "link set far0 netns %d", (int)pid);
	ip(line);
	return pid;
}

static void
on_host(pid_t pid, const char *command)
{
	char line[256];

	snprintf(line, sizeof(line), "nsenter -t %d -n ip %s", (int)pid, command);
	if (system(line) != 0)
		fail_msg("%s", line);
}

static bool
becomes(const char *host, enum network_neighbour wanted)
{
	unsigned index = network_interface(network, 0)->index;
	struct address address;

	assert_true(address_parse(host, &address));
	for (int i = 0; i < 600 && network_neighbour(network, index, &address) != wanted; i++)
		usleep(50000);
	return network_neighbour(network, index, &address) == wanted;
}

static bool
probed(const char *host)
{
	struct address address;

	assert_true(address_parse(host, &address));
	return network_probe(network, network_interface(network, 0)->index, &address);
}

/* On two prefixes of one link. */
static void
finds_out_whether_a_host_is_there(void **state)
{
	const char *const hosts[] = {"203.0.113.77", "10.9.0.77"};
	pid_t pid = start_host();

	(void)state;
	write_setting("ipv4/neigh/wan0/delay_first_probe_time", "1");
	write_setting("ipv4/neigh/wan0/retrans_time_ms", "100");
	ip("address add 10.9.0.1/16 dev wan0");
	on_host(pid, "link set far0 up");
	on_host(pid, "address add 203.0.113.77/24 dev far0");
	on_host(pid, "address add 10.9.0.77/16 dev far0");
	assert_true(changed());
	for (int i = 0; i < 2; i++) {
		assert_true(becomes(hosts[i], NETWORK_UNSURE));
		assert_true(probed(hosts[i]));
		assert_true(becomes(hosts[i], NETWORK_THERE));
	}
	/* Nobody is there. */
	assert_true(probed("203.0.113.78"));
	assert_true(becomes("203.0.113.78", NETWORK_FAILED));
	/* It leaves: what is known of it is old, and is found to be wrong. */
	on_host(pid, "address flush dev far0");
	for (int i = 0; i < 2; i++) {
		char line[96];

		snprintf(line, sizeof(line), "neighbour change %s nud stale dev wan0", hosts[i]);
		ip(line);
		assert_true(becomes(hosts[i], NETWORK_THERE));
		assert_true(probed(hosts[i]));
		assert_true(becomes(hosts[i], NETWORK_FAILED));
	}
	/* It comes back. */
	on_host(pid, "address add 203.0.113.77/24 dev far0");
	assert_true(becomes(hosts[0], NETWORK_FAILED));
	assert_true(probed(hosts[0]));
	assert_true(becomes(hosts[0], NETWORK_THERE));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
whom_it_does_not_reach_on_the_link_is_not_asked(void **state)
{
	unsigned index = network_interface(network, 0)->index;
	struct address there;

	(void)state;
	ip("route add 203.0.113.128/25 via 203.0.113.77 dev wan0");
	assert_true(probed("203.0.113.77"));
	assert_false(probed("203.0.113.130"));
	assert_true(becomes("203.0.113.130", NETWORK_UNSURE));
	assert_false(probed("203.0.113.5")); /* our own */
	assert_false(probed("198.51.100.1"));
	assert_false(probed("fe80::77"));
	assert_true(address_parse("203.0.113.77", &there));
	assert_false(network_probe(network, index + 1000, &there));
	/* What an admin wrote down is true. */
	ip("neighbour add 203.0.113.79 lladdr 02:00:00:00:00:01 nud permanent dev wan0");
	assert_true(probed("203.0.113.79"));
	assert_true(becomes("203.0.113.79", NETWORK_THERE));
}

static void
assert_followed(const char *name)
{
	const struct network_interface *wan = network_interface(network, 0);

	assert_string_equal(wan->name, name);
	assert_int_equal(wan->index, if_nametoindex(name));
	assert_int_equal(wan->addresses, name[0] ? 1 : 0);
}

static void
follows_the_default_route_as_it_moves(void **state)
{
	struct network_counters counters;
	struct fault fault;

	(void)state;
	assert_followed("");
	assert_int_equal(network_counters(network, 0, &counters, &fault), -ENODEV);
	ip("route add default via 203.0.113.1 dev wan0 metric 200");
	assert_true(changed());
	assert_followed("wan0");
	assert_true(network_interface(network, 0)->up);
	assert_address(0, 0, "203.0.113.5", "203.0.113.0/24", false);
	assert_int_equal(network_counters(network, 0, &counters, &fault), 0);
	ip("route add default via 198.51.100.1 dev other metric 300");
	assert_false(changed());
	ip("route add default via 198.51.100.1 dev other metric 100");
	assert_true(changed());
	assert_followed("other");
	ip("route del default via 198.51.100.1 dev other metric 100");
	assert_true(changed());
	assert_followed("wan0");
	ip("route replace default via 203.0.113.2 dev wan0 metric 200");
	assert_false(changed());
	ip("route del default metric 200");
	assert_true(changed());
	assert_followed("other");
	ip("route flush default");
	assert_true(changed());
	assert_followed("");
}

/* The kernel takes the route away without a word. */
static void
follows_when_a_link_goes_down_or_away(void **state)
{
	(void)state;
	ip("route add default via 203.0.113.1 dev wan0;"
	   "route add default via 198.51.100.1 dev other metric 300");
	assert_true(changed());
	assert_followed("wan0");
	ip("link set wan0 down");
	assert_true(changed());
	assert_followed("other");
	ip("link set wan0 up;route add default via 203.0.113.1 dev wan0");
	assert_true(changed());
	assert_followed("wan0");
	ip("address del 203.0.113.5/24 dev wan0");
	assert_true(changed());
	assert_followed("other");
	ip("link del other");
	assert_true(changed());
	assert_followed("");
}

static void
follows_what_the_main_table_alone_says(void **state)
{
	(void)state;
	ip("route add default via 203.0.113.1 dev wan0 metric 200;"
	   "route add default via 198.51.100.1 dev other table 100;"
	   "route add default via 198.51.100.1 dev other tos 0x10;"
	   "route add 0.0.0.0/1 via 198.51.100.1 dev other");
	assert_true(changed());
	assert_followed("wan0");
	ip("route add unreachable default metric 300");
	assert_false(changed());
	ip("route add unreachable default metric 100");
	assert_true(changed());
	assert_followed("");
	ip("route del unreachable default metric 100;route add default metric 50 "
	   "nexthop via 198.51.100.1 dev other nexthop via 203.0.113.1 dev wan0");
	assert_true(changed());
	assert_followed("other");
}

static void
a_lan_is_never_the_one_of_the_default_route(void **state)
{
	(void)state;
	ip("link add br-lan type bridge;link set br-lan up;address add 192.168.1.1/24 dev br-lan;"
	   "route add default via 203.0.113.1 dev wan0 metric 200;"
	   "route add default via 192.168.1.2 dev br-lan metric 100");
	assert_true(changed());
	assert_followed("");
	ip("link set br-lan down");
	assert_true(changed());
	assert_followed("wan0");
}

static void
follows_under_another_name_and_index(void **state)
{
	(void)state;
	ip("route add default via 203.0.113.1 dev wan0");
	assert_true(changed());
	ip("link set wan0 down;link set wan0 name wan9;link set wan9 up;"
	   "route add default via 203.0.113.1 dev wan9");
	assert_true(changed());
	assert_followed("wan9");
	ip("link del wan9;link add wan9 type veth peer name far0;link set far0 up;"
	   "link set wan9 up;address add 203.0.113.6/24 dev wan9;"
	   "route add default via 203.0.113.1 dev wan9");
	assert_true(changed());
	assert_followed("wan9");
	assert_address(0, 0, "203.0.113.6", "203.0.113.0/24", false);
}

/* More than one message of the kernel's holds: the default ones are found among them. */
static void
follows_among_many_routes(void **state)
{
	FILE *batch = popen("ip -batch -", "w");

	(void)state;
	assert_non_null(batch);
	for (int i = 0; i < 5000; i++)
		fprintf(batch, "route add 10.%d.%d.0/24 via 203.0.113.1 dev wan0\n", i / 250,
			i % 250);
	assert_int_equal(pclose(batch), 0);
	assert_false(changed());
	ip("route add default via 198.51.100.1 dev other metric 300;"
	   "route add default via 203.0.113.1 dev wan0 metric 200");
	assert_true(changed());
	assert_followed("wan0");
}

static void
tells_whether_anything_is_forwarded(void **state)
{
	struct fault fault;

	(void)state;
	write_setting("ipv4/ip_forward", "1");
	changed();
	assert_true(network_forwards(network));
	write_setting("ipv4/conf/wan0/forwarding", "0");
	assert_false(changed());
	write_setting("ipv4/ip_forward", "0");
	assert_true(changed());
	assert_false(network_forwards(network));
	write_setting("ipv4/ip_forward", "1");
	assert_true(changed());
	assert_true(network_forwards(network));
	/* And from the beginning. */
	network_close(network);
	network = NULL;
	assert_int_equal(network_open(&network, names, 2, &fault), 0);
	assert_true(network_forwards(network));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(reads_what_is_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(tells_addresses_that_come_and_go, setup, teardown),
	    cmocka_unit_test_setup_teardown(tells_a_promoted_secondary, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_peer_of_a_link_is_not_ours, setup, teardown),
	    cmocka_unit_test_setup_teardown(tells_links_that_go_down_and_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_interface_appears_and_is_made_anew, setup, teardown),
	    cmocka_unit_test_setup_teardown(follows_the_name_when_renamed, setup, teardown),
	    cmocka_unit_test_setup_teardown(others_are_none_of_our_business, setup, teardown),
	    cmocka_unit_test_setup_teardown(keeps_sixteen_addresses, setup, teardown),
	    cmocka_unit_test_setup_teardown(tells_ipv6_addresses_once_they_are_usable, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(others_may_be_watched, setup, teardown),
	    cmocka_unit_test_setup_teardown(counts_what_goes_through, setup, teardown),
	    cmocka_unit_test_setup_teardown(knows_the_neighbours_that_were_found, setup, teardown),
	    cmocka_unit_test_setup_teardown(knows_which_addresses_are_of_one_neighbour, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(finds_out_whether_a_host_is_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(whom_it_does_not_reach_on_the_link_is_not_asked, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(follows_the_default_route_as_it_moves, setup_follower,
					    teardown),
	    cmocka_unit_test_setup_teardown(follows_when_a_link_goes_down_or_away, setup_follower,
					    teardown),
	    cmocka_unit_test_setup_teardown(follows_what_the_main_table_alone_says, setup_follower,
					    teardown),
	    cmocka_unit_test_setup_teardown(a_lan_is_never_the_one_of_the_default_route,
					    setup_follower, teardown),
	    cmocka_unit_test_setup_teardown(follows_under_another_name_and_index, setup_follower,
					    teardown),
	    cmocka_unit_test_setup_teardown(follows_among_many_routes, setup_follower, teardown),
	    cmocka_unit_test_setup_teardown(tells_whether_anything_is_forwarded, setup, teardown),
	    cmocka_unit_test_setup_teardown(reads_everything_again_after_an_overrun, setup,
					    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
