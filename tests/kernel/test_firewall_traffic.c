/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets through the firewall.  Here only what the backend itself promises; whole sessions of real
 * clients are system tests.
 */
#include "traffic_bed.h"

#include <errno.h>

/* The admin's own masquerade, and our table with one mapping: udp 4500 -> 192.168.1.10:5000. */
static int
setup(void **state)
{
	(void)state;
	shell("nft -f - 2>&1 <<'END'\n"
	      "flush ruleset\n"
	      "add table ip nat\n"
	      "add chain ip nat postrouting { type nat hook postrouting priority srcnat; }\n"
	      "add rule ip nat postrouting oifname \"wan0\" masquerade\n"
	      "END");
	open_table(&masquerading);
	return 0;
}

static struct mapping
udp_mapping(void)
{
	struct mapping m = mapping(4500);

	m.transport = TRANSPORT_UDP;
	m.internal.port = 5000;
	return m;
}

static void
add(void)
{
	struct mapping m = udp_mapping();
	struct firewall_outcome outcome;

	firewall_stage(f, FIREWALL_ADD, &m, &outcome);
	if (firewall_commit(f, &fault) != 0)
		fail_msg("%s", fault.text);
}

/* Returns the old element's count. */
static uint64_t
renew(void)
{
	struct mapping m = udp_mapping();
	struct firewall_outcome outcomes[2];

	firewall_stage(f, FIREWALL_REMOVE, &m, &outcomes[0]);
	firewall_stage(f, FIREWALL_ADD, &m, &outcomes[1]);
	if (firewall_commit(f, &fault) != 0)
		fail_msg("%s", fault.text);
	return outcomes[0].connections;
}

/* Ports far from each other: no test meets a flow of another. */
static uint16_t
fresh_port(void)
{
	static uint16_t port = 20000;

	return port++;
}

static void
connect_in(int server, int times)
{
	for (int i = 0; i < times; i++) {
		int client = udp(&wan, "203.0.113.9", fresh_port());

		send_to(client, "203.0.113.1", 4500);
		assert_string_not_equal(sender(server), "");
		send_to(client, "203.0.113.1", 4500); /* the same connection */
		assert_string_not_equal(sender(server), "");
		close(client);
	}
}

static const struct address anybody;

static uint64_t
connections(enum transport transport, uint16_t port, const struct address *remote)
{
	return firewall_connections(
	    f, &(struct mapping){.transport = transport, .external_port = port, .remote = *remote});
}

static void
connections_are_counted_and_handed_over_by_a_renewal(void **state)
{
	int server = udp(&lan, "192.168.1.10", 5000);

	(void)state;
	assert_int_equal(connections(TRANSPORT_UDP, 4500, &anybody), 0);
	add();
	assert_int_equal(connections(TRANSPORT_UDP, 4500, &anybody), 0);
	connect_in(server, 3);
	assert_int_equal(connections(TRANSPORT_UDP, 4500, &anybody), 3);
	assert_int_equal(connections(TRANSPORT_TCP, 4500, &anybody), 0);
	assert_int_equal(connections(TRANSPORT_UDP, 4501, &anybody), 0);
	assert_int_equal(renew(), 3);
	assert_int_equal(connections(TRANSPORT_UDP, 4500, &anybody), 0);
	connect_in(server, 2);
	assert_int_equal(renew(), 2);
	close(server);
}

static void
assert_sends_as(const char *host, uint16_t port, const char *seen)
{
	int remote = udp(&wan, "203.0.113.9", fresh_port());
	int local = udp(&lan, host, port);
	struct sockaddr_in own;
	socklen_t size = sizeof(own);
	const char *from;

	getsockname(remote, (struct sockaddr *)&own, &size);
	send_to(local, "203.0.113.9", ntohs(own.sin_port));
	from = sender(remote);
	if (strncmp(from, seen, strlen(seen)) != 0)
		fail_msg("%s:%u is seen as %s, not %s", host, port, from, seen);
	close(remote);
	close(local);
}

static void
assert_sends_from_spare_port(const char *host, uint16_t port)
{
	int remote = udp(&wan, "203.0.113.9", fresh_port());
	int local = udp(&lan, host, port);
	struct sockaddr_in own;
	socklen_t size = sizeof(own);
	const char *from;

	getsockname(remote, (struct sockaddr *)&own, &size);
	send_to(local, "203.0.113.9", ntohs(own.sin_port));
	from = strchr(sender(remote), ':');
	assert_non_null(from);
	assert_true(atoi(from + 1) >= 61000);
	close(remote);
	close(local);
}

/* Dials the mapped port from that WAN host; "" is what the server sees of one that is not let in.
 */
static const char *
seen_from(const char *host, int server)
{
	int client = udp(&wan, host, fresh_port());
	const char *seen;

	send_to(client, "203.0.113.1", 4500);
	seen = sender(server);
	close(client);
	return seen;
}

static void
a_remote_host_has_its_own_mapping(void **state)
{
	struct mapping ours = udp_mapping(), theirs = udp_mapping();
	int server = udp(&lan, "192.168.1.10", 5000), other = udp(&lan, "192.168.1.10", 5001);
	struct firewall_outcome outcome;

	(void)state;
	theirs.remote = ipv4("203.0.113.10");
	theirs.internal.port = 5001;
	theirs.comment = "theirs";
	firewall_stage(f, FIREWALL_ADD, &theirs, &outcome);
	assert_int_equal(firewall_commit(f, &fault), 0);
	assert_int_equal(strncmp(seen_from("203.0.113.10", other), "203.0.113.10:", 13), 0);
	assert_string_equal(seen_from("203.0.113.9", other), "");
	assert_int_equal(connections(TRANSPORT_UDP, 4500, &theirs.remote), 1);
	assert_int_equal(connections(TRANSPORT_UDP, 4500, &anybody), 0);

	/* Beside one for anybody, who keeps the port already. */
	ours.reserves = false;
	firewall_stage(f, FIREWALL_ADD, &ours, &outcome);
	assert_int_equal(firewall_commit(f, &fault), 0);
	assert_int_equal(strncmp(seen_from("203.0.113.9", server), "203.0.113.9:", 12), 0);
	assert_int_equal(strncmp(seen_from("203.0.113.10", other), "203.0.113.10:", 13), 0);

	firewall_stage(f, FIREWALL_REMOVE, &theirs, &outcome);
	assert_int_equal(firewall_commit(f, &fault), 0);
	assert_int_equal(outcome.connections, 2);
	close(server);
	close(other);
}

static void
a_mapped_socket_sends_from_its_port_and_nobody_else(void **state)
{
	(void)state;
	assert_sends_as("192.168.1.10", 5000, "203.0.113.1:5000");
	assert_sends_as("192.168.1.11", 4500, "203.0.113.1:4500");
	add();
	assert_sends_as("192.168.1.10", 5000, "203.0.113.1:4500");
	assert_sends_as("192.168.1.10", 5000, "203.0.113.1:4500");
	assert_sends_from_spare_port("192.168.1.11", 4500);
	assert_sends_as("192.168.1.11", 5001, "203.0.113.1:5001");
}

static void
it_sends_from_the_source_that_is_given(void **state)
{
	struct firewall_network n = network();

	(void)state;
	add();
	n.has_source = true;
	n.source = ipv4("203.0.113.7");
	assert_int_equal(firewall_set_network(f, &n, &fault), 0);
	assert_sends_as("192.168.1.10", 5000, "203.0.113.7:4500");
	assert_sends_from_spare_port("192.168.1.11", 4500);
	/* The admin's masquerade serves the others. */
	assert_sends_as("192.168.1.11", 5001, "203.0.113.1:5001");
}

static void
a_neighbour_dials_the_external_address(void **state)
{
	int server = udp(&lan, "192.168.1.10", 5000);
	int neighbour = udp(&lan, "192.168.1.11", fresh_port());

	(void)state;
	send_to(neighbour, "203.0.113.1", 4500);
	assert_string_equal(sender(server), "");
	add();
	close(neighbour);
	neighbour = udp(&lan, "192.168.1.11", fresh_port());
	send_to(neighbour, "203.0.113.1", 4500);
	assert_int_equal(strncmp(sender(server), "203.0.113.1:", 12), 0);
	close(neighbour);
	close(server);
}

/* Sends datagrams of as many new flows to the mapping, from a process of its own. */
static pid_t
start_flows(int count)
{
	pid_t sending = fork();

	assert_true(sending >= 0);
	if (sending != 0)
		return sending;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < count; i++) {
		int client = udp(&wan, "203.0.113.9", (uint16_t)(30000 + i));

		send_to(client, "203.0.113.1", 4500);
		close(client);
	}
	_exit(0);
}

static int
count_waiting(int fd)
{
	char byte;
	int count = 0;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) == 1)
		count++;
	return count;
}

static void
a_renewal_loses_no_new_flow(void **state)
{
	enum { FLOWS = 3000 };
	int server = udp(&lan, "192.168.1.10", 5000);
	int renewals = 0, arrived = 0, status;
	uint64_t counted = 0;
	double deadline = milliseconds() + 20000;
	pid_t sending;

	(void)state;
	add();
	send_to(server, "203.0.113.9", 9); /* ARP is done before */
	sending = start_flows(FLOWS);
	while (waitpid(sending, &status, WNOHANG) == 0 && milliseconds() < deadline) {
		counted += renew();
		renewals++;
		arrived += count_waiting(server);
		/* Each may cost one packet's count: not as many of them as there are packets. */
		pause_for(1);
	}
	pause_for(100);
	arrived += count_waiting(server);
	counted += renew();
	print_message("%d renewals under %d new flows\n", renewals, FLOWS);
	assert_int_equal(status, 0);
	assert_true(renewals > 20);
	assert_int_equal(arrived, FLOWS);
	/* A packet on another CPU may still meet an element whose count was just read. */
	assert_in_range(counted, FLOWS * 99 / 100, FLOWS);
	close(server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, close_firewall)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(connections_are_counted_and_handed_over_by_a_renewal),
	    TEST(a_mapped_socket_sends_from_its_port_and_nobody_else),
	    TEST(it_sends_from_the_source_that_is_given),
	    TEST(a_neighbour_dials_the_external_address),
	    TEST(a_remote_host_has_its_own_mapping),
	    TEST(a_renewal_loses_no_new_flow),
	};

	return cmocka_run_group_tests_name("firewall traffic", tests, setup_spaces,
					   teardown_spaces);
}
