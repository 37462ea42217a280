/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real flows of real mappings, read and ended.  The admin masquerades, has bits of his own in the
 * mark, forwards only what is established, comes from the LAN or is marked as ours, and lets the
 * gateway itself send only what is established.
 */
#include "traffic_bed.h"
#include "../../backend/flows.h"

#include <errno.h>

static struct flows *flows;

static int
setup(void **state)
{
	(void)state;
	shell("conntrack -F 2>&1; nft -f - 2>&1 <<'END'\n"
	      "flush ruleset\n"
	      "table ip admin {\n"
	      "chain postrouting { type nat hook postrouting priority srcnat;\n"
	      "	oifname \"wan0\" masquerade\n"
	      "}\n"
	      "chain forward { type filter hook forward priority filter; policy drop;\n"
	      "	ct mark set ct mark | 7\n"
	      "	ct state established,related accept\n"
	      "	iifname \"br-lan\" accept\n"
	      "	ct status dnat ct mark & 0x40000000 == 0x40000000 accept\n"
	      "}\n"
	      "chain output { type filter hook output priority filter; policy drop;\n"
	      "	ct state established,related accept\n"
	      "}\n"
	      "}\n"
	      "END");
	open_table(&masquerading);
	if (flows_open(&flows, &fault) != 0)
		fail_msg("%s", fault.text);
	return 0;
}

static int
teardown(void **state)
{
	flows_close(flows);
	return close_firewall(state);
}

static void
change(enum firewall_change what, const struct mapping *m)
{
	struct firewall_outcome outcome;

	firewall_stage(f, what, m, &outcome);
	if (firewall_commit(f, &fault) != 0)
		fail_msg("%s", fault.text);
}

static struct mapping
map(enum transport transport, uint16_t external, const char *host, uint16_t internal)
{
	struct mapping m = mapping(external);

	m.transport = transport;
	m.internal = (struct endpoint){ipv4(host), internal};
	change(FIREWALL_ADD, &m);
	return m;
}

/* Reading: those at one external port. */

struct search {
	enum transport transport;
	uint16_t port;
	int how; /* to end them; -1 = not */
	unsigned found, all, pieces;
	struct flow last;
};

static void
take(void *arg, const struct flow *flow)
{
	struct search *s = arg;

	s->all++;
	if (flow->transport != s->transport || flow->to.port != s->port)
		return;
	s->found++;
	s->last = *flow;
	if (s->how >= 0)
		flows_end(flows, flow, (enum flow_ending)s->how);
}

static struct search
read_all(enum transport transport, uint16_t port, int how)
{
	struct search s = {.transport = transport, .port = port, .how = how};
	int more = 1;

	assert_int_equal(flows_begin(flows, &fault), 0);
	while (more > 0) {
		more = flows_next(flows, take, &s, &fault);
		s.pieces++;
	}
	if (more < 0)
		fail_msg("%s", fault.text);
	return s;
}

static void
assert_endpoint(const struct endpoint *e, const char *address, uint16_t port)
{
	char text[ADDRESS_TEXT_SIZE];

	assert_string_equal(address_print(&e->address, text), address);
	assert_int_equal(e->port, port);
}

static void
a_flow_is_read_as_it_is(void **state)
{
	int server = udp(&lan, "192.168.1.10", 5000), client = udp(&wan, "203.0.113.9", 7000);
	struct search s;

	(void)state;
	map(TRANSPORT_UDP, 4500, "192.168.1.10", 5000);
	assert_int_equal(read_all(TRANSPORT_UDP, 4500, -1).found, 0);
	send_to(client, "203.0.113.1", 4500);
	assert_string_equal(sender(server), "203.0.113.9:7000");
	s = read_all(TRANSPORT_UDP, 4500, -1);
	assert_int_equal(s.found, 1);
	assert_endpoint(&s.last.from, "203.0.113.9", 7000);
	assert_endpoint(&s.last.to, "203.0.113.1", 4500);
	assert_endpoint(&s.last.reply_from, "192.168.1.10", 5000);
	assert_endpoint(&s.last.reply_to, "203.0.113.9", 7000);
	assert_int_equal(s.last.mark, FLOWS_MARK_OURS | 7);
	assert_int_equal(s.last.state, FLOW_UNREPLIED);
	assert_in_range(s.last.timeout, 1, 600);
	send_to(server, "203.0.113.9", 7000);
	assert_string_equal(sender(client), "203.0.113.1:4500");
	assert_int_equal(read_all(TRANSPORT_UDP, 4500, -1).last.state, FLOW_REPLIED);
	close(server);
	close(client);
}

static void
many_flows_come_in_pieces(void **state)
{
	int client = udp(&lan, "192.168.1.10", 0);
	struct search s;

	(void)state;
	for (uint16_t port = 1; port <= 4000; port++)
		send_to(client, "203.0.113.9", port);
	s = read_all(TRANSPORT_UDP, 4000, -1);
	assert_int_equal(s.found, 1);
	assert_in_range(s.all, 4000, 4100);
	assert_in_range(s.pieces, 10, 4000);
	/* One given up does not stand before the next, nor does one stay after its end. */
	assert_int_equal(flows_begin(flows, &fault), 0);
	assert_int_equal(flows_next(flows, take, &s, &fault), 1);
	assert_in_range(read_all(TRANSPORT_UDP, 4000, -1).all, 4000, 4100);
	assert_int_equal(flows_next(flows, take, &s, &fault), -EINVAL);
	close(client);
}

static void
a_forgotten_flow_goes_where_the_mapping_says(void **state)
{
	int first = udp(&lan, "192.168.1.10", 5000), second = udp(&lan, "192.168.1.11", 5000);
	int client = udp(&wan, "203.0.113.9", 7000);
	struct mapping m = map(TRANSPORT_UDP, 4500, "192.168.1.10", 5000);

	(void)state;
	send_to(client, "203.0.113.1", 4500);
	assert_string_equal(sender(first), "203.0.113.9:7000");
	change(FIREWALL_REMOVE, &m);
	map(TRANSPORT_UDP, 4500, "192.168.1.11", 5000);
	/* Of itself it does not. */
	send_to(client, "203.0.113.1", 4500);
	assert_string_equal(sender(first), "203.0.113.9:7000");
	assert_int_equal(read_all(TRANSPORT_UDP, 4500, FLOW_FORGET).found, 1);
	assert_int_equal(read_all(TRANSPORT_UDP, 4500, -1).found, 0);
	send_to(client, "203.0.113.1", 4500);
	assert_string_equal(sender(second), "203.0.113.9:7000");
	close(first);
	close(second);
	close(client);
}

/* TCP */

struct connection {
	int client, server;
};

static int
tcp(const struct space *s, const char *address, uint16_t port)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd, on = 1;

	assert_int_equal(setns(s->fd, CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(gateway.fd, CLONE_NEWNET), 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	inet_pton(AF_INET, address, &own.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	return fd;
}

static struct connection
connect_in(uint16_t external, uint16_t internal, uint16_t source)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(external)};
	int listener = tcp(&lan, "192.168.1.10", internal);
	struct connection c = {.client = tcp(&wan, "203.0.113.9", source)};
	struct timeval patience = {10, 0};

	assert_int_equal(listen(listener, 1), 0);
	inet_pton(AF_INET, "203.0.113.1", &to.sin_addr);
	assert_int_equal(connect(c.client, (struct sockaddr *)&to, sizeof(to)), 0);
	c.server = accept(listener, NULL, NULL);
	assert_true(c.server >= 0);
	setsockopt(c.client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(c.server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	close(listener);
	return c;
}

static void
assert_talks(int from, int to)
{
	char byte;

	assert_int_equal(send(from, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(to, &byte, 1, 0), 1);
}

/* Sends, and is told by a reset. */
static void
assert_reset(int fd)
{
	char byte;

	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void
assert_got_nothing(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void
assert_ends_both(uint16_t external, uint16_t internal, uint16_t source, bool server_first)
{
	struct mapping m = map(TRANSPORT_TCP, external, "192.168.1.10", internal);
	struct connection c = connect_in(external, internal, source);
	int first = server_first ? c.server : c.client;
	int second = server_first ? c.client : c.server;
	struct search s;

	change(FIREWALL_REMOVE, &m);
	/* Without its mapping it goes on. */
	assert_talks(c.client, c.server);
	assert_talks(c.server, c.client);
	assert_int_equal(read_all(TRANSPORT_TCP, external, FLOW_RESET).found, 1);
	s = read_all(TRANSPORT_TCP, external, -1);
	assert_int_equal(s.found, 1);
	assert_int_equal(s.last.mark, FLOWS_MARK_OURS | FLOWS_MARK_ENDED | 7);
	assert_reset(first);
	assert_got_nothing(second);
	assert_reset(second);
	close(c.client);
	close(c.server);
}

static void
both_ends_see_a_reset(void **state)
{
	(void)state;
	assert_ends_both(8080, 80, 7001, true);
	assert_ends_both(8081, 80, 7002, false);
}

/* Deleting the entry alone would not end these: the LAN host's next packet opens the flow anew. */
static void
both_ends_see_a_reset_with_equal_ports(void **state)
{
	(void)state;
	assert_ends_both(8082, 8082, 7003, true);
	assert_ends_both(8083, 8083, 7004, false);
}

static void
other_flows_go_on(void **state)
{
	struct connection ended, other;

	(void)state;
	map(TRANSPORT_TCP, 8084, "192.168.1.10", 84);
	map(TRANSPORT_TCP, 8085, "192.168.1.10", 85);
	ended = connect_in(8084, 84, 7005);
	other = connect_in(8085, 85, 7005);
	assert_int_equal(read_all(TRANSPORT_TCP, 8084, FLOW_RESET).found, 1);
	assert_reset(ended.client);
	assert_talks(other.client, other.server);
	assert_talks(other.server, other.client);
	close(ended.client);
	close(ended.server);
	close(other.client);
	close(other.server);
}

/* As where the kernel has no reject: the probe cannot have its table, and fails as it would there.
 */
static void
without_resets_nothing_passes_any_more(void **state)
{
	struct timeval patience = {0, 300000};
	struct connection c;
	char byte;

	(void)state;
	assert_true(firewall_resets(f));
	firewall_close(f);
	nft("add table inet portlease_probe");
	open_table(&masquerading);
	assert_false(firewall_resets(f));
	assert_null(strstr(nft("list ruleset"), "reject"));
	map(TRANSPORT_TCP, 8086, "192.168.1.10", 8086);
	c = connect_in(8086, 8086, 7006);
	assert_talks(c.client, c.server);
	assert_talks(c.server, c.client);
	assert_int_equal(read_all(TRANSPORT_TCP, 8086, FLOW_RESET).found, 1);
	assert_int_equal(send(c.client, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(send(c.server, "x", 1, MSG_NOSIGNAL), 1);
	setsockopt(c.client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(recv(c.client, &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_got_nothing(c.server);
	close(c.client);
	close(c.server);
	nft("delete table inet portlease_probe");
}

static void
a_flow_that_went_meanwhile_is_no_fault(void **state)
{
	int client = udp(&lan, "192.168.1.10", 0);
	struct search s;

	(void)state;
	send_to(client, "203.0.113.9", 4501);
	s = read_all(TRANSPORT_UDP, 4501, FLOW_FORGET);
	assert_int_equal(s.found, 1);
	assert_int_equal(flows_begin(flows, &fault), 0);
	flows_end(flows, &s.last, FLOW_FORGET);
	s.how = -1;
	while (flows_next(flows, take, &s, &fault) > 0)
		;
	assert_int_equal(read_all(TRANSPORT_UDP, 4501, -1).found, 0);
	close(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_flow_is_read_as_it_is),
	    TEST(many_flows_come_in_pieces),
	    TEST(a_forgotten_flow_goes_where_the_mapping_says),
	    TEST(both_ends_see_a_reset),
	    TEST(both_ends_see_a_reset_with_equal_ports),
	    TEST(other_flows_go_on),
	    TEST(without_resets_nothing_passes_any_more),
	    TEST(a_flow_that_went_meanwhile_is_no_fault),
	};

	return cmocka_run_group_tests(tests, setup_spaces, teardown_spaces);
}
