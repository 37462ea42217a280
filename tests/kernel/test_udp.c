/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front end on UDP port 5351 between real network namespaces; the engine is played by this
 * file. The gateway is the namespace the test is started in: lan0 192.168.1.1 and .254,
 * lan1 10.0.0.1; its hosts are in one other namespace.
 */
#include "../../daemon/frontends/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../daemon/base/clock.h"
#include "../../protocols/datagram.h"
#include "../unit/hex.h"

#define ADDRESS_REQUEST "0000"
#define MAP_REQUEST	"0001 0000 0fa0 1388 00000e10" /* UDP 4000 to 5000 for 3600 s */
#define PCP_HEADER_REST "0000 00000000 00000000000000000000ffffc0a80102"
#define PCP_ANNOUNCE	"0200" PCP_HEADER_REST
#define PCP_MAP                                               \
	"0201 0000 0000003c 00000000000000000000ffffc0a80102" \
	"000102030405060708090a0b 11000000 0fa0 0000 00000000000000000000ffff00000000"

static int gateway, hosts; /* the namespaces */
static struct event_base *base;
static struct network *network;
static struct udp *udp;
static struct config config;

/* --- a clock that may stand still: then nothing is said again, however slow the machine is --- */

static monotime frozen; /* 0: it goes on */

monotime
clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return frozen ? frozen : t.tv_sec * MONOTIME_SECOND + t.tv_nsec / 1000000;
}

/* --- an engine that says yes --- */

static struct {
	struct map_request pending[UDP_BATCH];
	struct map_request last;
	size_t submitted;
	unsigned flushes, changes;
	uint32_t epoch;
	struct address external;
	enum map_result refused; /* the last of a decoder */
	struct address refused_client;
} fake;

void
engine_submit(struct engine *e, const struct map_request *request, monotime now)
{
	(void)e;
	(void)now;
	assert_true(fake.submitted < UDP_BATCH);
	fake.pending[fake.submitted++] = fake.last = *request;
}

void
engine_refuse(struct engine *e, const struct map_request *request, enum map_result result,
	      monotime now)
{
	(void)e;
	(void)now;
	fake.refused = result;
	fake.refused_client = request->client;
}

/* Last come, first answered: the slot must find the place. */
void
engine_flush(struct engine *e, monotime now)
{
	(void)e;
	(void)now;
	fake.flushes++;
	while (fake.submitted > 0) {
		const struct map_request *r = &fake.pending[--fake.submitted];
		struct map_reply reply = {
		    .epoch = fake.epoch,
		    .external = {fake.external, (uint16_t)(r->internal.port + 1000)},
		    .lifetime = r->lifetime,
		};

		r->asker.answer(r->asker.who, r->asker.slot, r, &reply);
	}
}

uint32_t
engine_epoch(const struct engine *e, monotime now)
{
	(void)e;
	(void)now;
	return fake.epoch++;
}

struct address
engine_external_address(const struct engine *e)
{
	(void)e;
	return fake.external;
}

static void
changed(void *arg)
{
	assert_ptr_equal(arg, &fake);
	fake.changes++;
}

/* --- hosts --- */

static void
enter(int space)
{
	assert_int_equal(setns(space, CLONE_NEWNET), 0);
}

static void
run(int space, const char *command)
{
	enter(space);
	if (system(command) != 0)
		fail_msg("%s", command);
	enter(gateway);
}

static struct sockaddr_in
place(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
	return a;
}

/* A host's socket, connected: it sees answers from the address it asked only. */
static int
host(const char *from, const char *to)
{
	struct sockaddr_in own = place(from, 0), peer = place(to, UDP_PORT);
	int fd, on = 1;

	enter(hosts);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	enter(gateway);
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&peer, sizeof(peer)), 0);
	return fd;
}

static void
ask(int fd, const char *request)
{
	uint8_t bytes[2048];
	size_t size = hex(request, bytes, sizeof(bytes));

	assert_int_equal(send(fd, bytes, size, 0), size);
}

/* One turn of the loop. */
static void
turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

static ssize_t
answer_to(int fd, uint8_t *out, size_t size)
{
	return recv(fd, out, size, MSG_DONTWAIT);
}

static void
assert_answer(int fd, const char *expected)
{
	uint8_t bytes[2048];
	ssize_t size;

	turn();
	size = answer_to(fd, bytes, sizeof(bytes));
	if (size < 0)
		fail_msg("no answer: %s", strerror(errno));
	assert_hex(bytes, (size_t)size, expected);
}

static void
assert_silence(int fd)
{
	uint8_t bytes[2048];

	turn();
	assert_int_equal(answer_to(fd, bytes, sizeof(bytes)), -1);
}

/* --- the laboratory --- */

static int
group_setup(void **state)
{
	char command[128];
	pid_t holder;

	(void)state;
	gateway = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	/* Stays behind, so that ip(8) can name the gateway's namespace. */
	holder = fork();
	if (holder == 0) {
		alarm(60);
		pause();
		_exit(0);
	}
	if (holder < 0 || unshare(CLONE_NEWNET) != 0)
		return -1;
	hosts = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		snprintf(
		    command, sizeof(command),
		    "ip link add eth%d type veth peer name lan%d netns %d; ip link set eth%d up", i,
		    i, (int)holder, i);
		run(hosts, command);
	}
	run(hosts, "ip address add 192.168.1.2/24 dev eth0; ip address add 192.168.1.3/24 dev eth0;"
		   "ip address add 172.16.0.2/32 dev eth0; ip address add 10.0.0.2/24 dev eth1;"
		   "ip route add 203.0.113.5 via 192.168.1.1");
	run(gateway,
	    "ip link set lo up; ip link set lan0 up; ip link set lan1 up;"
	    "ip address add 203.0.113.5/32 dev lo;"
	    "ip address add 192.168.1.1/24 dev lan0; ip address add 192.168.1.254/24 dev lan0;"
	    "ip address add 10.0.0.1/24 dev lan1; ip route add 172.16.0.2 dev lan0;"
	    "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter;"
	    "echo 0 > /proc/sys/net/ipv4/conf/lan0/rp_filter;"
	    "echo 0 > /proc/sys/net/ipv4/conf/lan1/rp_filter");
	kill(holder, SIGKILL);
	return 0;
}

static void
read_lans(void)
{
	struct fault fault;

	assert_true(network_dispatch(network, &fault) >= 0);
	for (size_t i = 0; i < 2; i++)
		assert_true(udp_set_lan(udp, i, network_interface(network, i)));
}

static int
setup(void **state)
{
	static const char *const names[] = {"lan0", "lan1"};
	static struct config_lan lan[] = {{"lan0"}, {"lan1"}};
	struct fault fault;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	frozen = 0;
	fake.epoch = 100;
	fake.external = address_from_ipv4(inet_addr("203.0.113.5"));
	config = (struct config){
	    .lan = lan,
	    .lans = 2,
	    .nat_pmp = true,
	    .pcp = true,
	    .min_lifetime = 120,
	    .max_lifetime = 7200,
	};
	base = event_base_new();
	return network_open(&network, names, 2, &fault);
}

/* With the config as the test has left it. */
static void
begin(void)
{
	const struct udp_options options = {
	    .base = base,
	    .config = &config,
	    .network = network,
	    .changed = changed,
	    .arg = &fake,
	};

	udp = udp_new(&options);
	assert_non_null(udp);
	read_lans();
	/* The first announcements have an epoch each. */
	turn();
	fake.epoch = 100;
}

static int
teardown(void **state)
{
	(void)state;
	udp_free(udp);
	udp = NULL;
	network_close(network);
	event_base_free(base);
	return 0;
}

/* --- tests --- */

static void
answers_from_the_address_that_was_asked(void **state)
{
	static const char *const own[] = {"192.168.1.1", "192.168.1.254"};

	(void)state;
	begin();
	for (int i = 0; i < 2; i++) {
		int fd = host("192.168.1.2", own[i]);

		ask(fd, ADDRESS_REQUEST);
		assert_answer(fd, "0080 0000 00000064 cb007105");
		close(fd);
	}
	assert_int_equal(fake.flushes, 2);
	assert_int_equal(fake.changes, 2);
}

static void
lifetime_bounds_come_with_the_protocol(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = host("192.168.1.2", "192.168.1.1");
	ask(fd, MAP_REQUEST);
	assert_answer(fd, "0081 0000 00000064 0fa0 1388 00000e10");
	assert_int_equal(fake.last.origin, ORIGIN_NATPMP);
	assert_int_equal(fake.last.lifetime_min, 0);
	assert_int_equal(fake.last.lifetime_max, 7200);
	ask(fd, PCP_MAP);
	turn();
	assert_int_equal(fake.last.origin, ORIGIN_PCP);
	assert_int_equal(fake.last.lifetime, 60);
	assert_int_equal(fake.last.lifetime_min, 120);
	assert_int_equal(fake.last.lifetime_max, 7200);
	close(fd);
}

static void
one_flush_for_what_came_together(void **state)
{
	uint8_t answer[64];
	char request[64];
	int fd[100];

	(void)state;
	begin();
	for (int i = 0; i < 100; i++) {
		fd[i] = host(i % 2 ? "192.168.1.2" : "192.168.1.3", "192.168.1.1");
		snprintf(request, sizeof(request), "0001 0000 %04x 0000 00000e10", 4000 + i);
		ask(fd[i], request);
	}
	turn();
	assert_int_equal(fake.flushes, 1);
	assert_int_equal(udp_counters(udp, 0)->received, UDP_BATCH);
	turn();
	assert_int_equal(fake.flushes, 2);
	assert_int_equal(fake.changes, 2);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(answer_to(fd[i], answer, sizeof(answer)), 16);
		assert_int_equal(answer[8] << 8 | answer[9], 4000 + i);
		assert_int_equal(answer[10] << 8 | answer[11], 5000 + i);
		close(fd[i]);
	}
	turn();
	assert_int_equal(fake.flushes, 2);
}

static void
refuses_without_the_engine(void **state)
{
	uint8_t answer[2048];
	int fd;

	(void)state;
	begin();
	fd = host("192.168.1.2", "192.168.1.1");
	ask(fd, "0005 0000");
	assert_answer(fd, "0085 0005");
	ask(fd, "0205" PCP_HEADER_REST);
	turn();
	assert_int_equal(answer_to(fd, answer, sizeof(answer)), 24);
	assert_hex(answer, 4, "0285 0004");
	assert_hex(answer + 8, 4, "00000065");
	assert_int_equal(fake.refused, MAP_UNSUPPORTED_OPCODE);
	fake.refused = MAP_OK;
	ask(fd, "0080 0000");
	assert_silence(fd);
	assert_int_equal(fake.refused, MAP_OK);
	ask(fd, "");
	assert_silence(fd);
	assert_int_equal(fake.flushes, 0);
	assert_int_equal(fake.changes, 0);
	assert_int_equal(udp_counters(udp, 0)->refused, 2);
	assert_int_equal(udp_counters(udp, 0)->ignored, 2);
	close(fd);
}

/* RFC 6887 8.2: an answer to what is too long is a copy of 1100 octets, even if we did not keep it
 * all. */
static void
sees_that_a_datagram_is_too_long(void **state)
{
	uint8_t bytes[3000], answer[2048];
	int fd;

	(void)state;
	begin();
	fd = host("192.168.1.2", "192.168.1.1");
	for (size_t size = 1104; size <= sizeof(bytes); size += 1896) {
		memset(bytes, 0, sizeof(bytes));
		hex(PCP_MAP, bytes, sizeof(bytes));
		assert_int_equal(send(fd, bytes, size, 0), size);
		turn();
		assert_int_equal(answer_to(fd, answer, sizeof(answer)), DATAGRAM_MAX);
		assert_hex(answer, 4, "0281 0003");
	}
	close(fd);
}

static void
a_protocol_that_is_off_is_said_to_be(void **state)
{
	int fd = host("192.168.1.2", "192.168.1.1");
	uint8_t answer[2048];

	(void)state;
	config.nat_pmp = false;
	begin();
	ask(fd, ADDRESS_REQUEST);
	turn();
	assert_int_equal(answer_to(fd, answer, sizeof(answer)), 24);
	assert_hex(answer, 4, "0280 0001");
	ask(fd, PCP_ANNOUNCE);
	turn();
	assert_int_equal(answer_to(fd, answer, sizeof(answer)), 24);
	assert_hex(answer, 4, "0280 0000");
	udp_free(udp);

	config.nat_pmp = true;
	config.pcp = false;
	begin();
	ask(fd, PCP_ANNOUNCE);
	assert_answer(fd, "0000 0001 00000064");
	ask(fd, "0980");
	assert_silence(fd);
	ask(fd, "0900");
	assert_answer(fd, "0000 0001 00000065");
	assert_int_equal(fake.refused, MAP_UNSUPPORTED_VERSION);
	assert_int_equal(address_to_ipv4(&fake.refused_client), inet_addr("192.168.1.2"));
	ask(fd, ADDRESS_REQUEST);
	turn();
	assert_int_equal(answer_to(fd, answer, sizeof(answer)), 12);
	close(fd);
}

static void
no_protocol_no_socket(void **state)
{
	int fd = host("192.168.1.2", "192.168.1.1");
	uint8_t answer[64];
	struct pollfd p = {.fd = fd};

	(void)state;
	config.nat_pmp = config.pcp = false;
	begin();
	assert_false(udp_serves(udp, 0));
	ask(fd, ADDRESS_REQUEST);
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(answer_to(fd, answer, sizeof(answer)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

static void
ignores_what_is_not_for_us(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
	    {"192.168.1.2", "203.0.113.5"},   /* the WAN's address */
	    {"192.168.1.2", "192.168.1.255"}, /* a broadcast */
	    {"192.168.1.2", "224.0.0.1"},     /* a multicast */
	    {"172.16.0.2", "192.168.1.1"},    /* routed from elsewhere, not of that LAN */
	    {"10.0.0.2", "192.168.1.1"},      /* come in on the other LAN */
	};
	int fd;

	(void)state;
	run(hosts, "ip rule add from 10.0.0.2 lookup 7 2>/dev/null;"
		   "ip route replace 192.168.1.1 via 10.0.0.1 dev eth1 table 7");
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fd = host(cases[i].from, cases[i].to);
		ask(fd, ADDRESS_REQUEST);
		assert_silence(fd);
		if (udp_counters(udp, 0)->foreign + udp_counters(udp, 1)->foreign != i + 1)
			fail_msg("from %s to %s has not come in", cases[i].from, cases[i].to);
		close(fd);
	}
	assert_int_equal(fake.flushes, 0);
	fd = host("10.0.0.2", "10.0.0.1");
	ask(fd, ADDRESS_REQUEST);
	assert_answer(fd, "0080 0000 00000064 cb007105");
	close(fd);
}

/* Sends an address request with any source there is. */
static void
forge(const char *from, uint16_t port)
{
	struct sockaddr_in to = place("192.168.1.1", UDP_PORT), source = place(from, port);
	struct {
		struct iphdr ip;
		struct udphdr udp;
		uint8_t request[2];
	} packet = {
	    .ip = {.ihl = 5, .version = 4, .ttl = 64, .protocol = IPPROTO_UDP},
	    .udp = {.len = htons(10), .dest = to.sin_port, .source = source.sin_port},
	};
	int fd;

	packet.ip.saddr = source.sin_addr.s_addr;
	packet.ip.daddr = to.sin_addr.s_addr;
	enter(hosts);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	enter(gateway);
	to.sin_port = 0;
	assert_int_equal(sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(packet));
	close(fd);
	turn();
}

static void
ignores_forged_sources(void **state)
{
	(void)state;
	begin();
	forge("192.168.1.9", 4321);
	assert_int_equal(fake.flushes, 1);
	forge("192.168.1.9", 0);
	forge("192.168.1.255", 4321);
	forge("192.168.1.0", 4321);
	forge("192.168.1.1", 4321);
	forge("127.0.0.1", 4321);
	forge("224.0.0.1", 4321);
	assert_int_equal(fake.flushes, 1);
	/* The kernel may have dropped some of them, but not this one. */
	assert_true(udp_counters(udp, 0)->foreign >= 1);
}

/* Answers to them wait in the socket until it is known that they are not there. */
static void
hosts_that_are_not_there_are_not_in_the_way(void **state)
{
	char address[16];
	int fd;

	(void)state;
	begin();
	for (int host = 20; host < 36; host++) {
		snprintf(address, sizeof(address), "192.168.1.%d", host);
		for (int i = 0; i < 300; i++)
			forge(address, 4321);
	}
	assert_in_range(fake.flushes, 300, 16 * 300 - 1);
	assert_int_equal(udp_counters(udp, 0)->unsent, 16 * 300 - fake.flushes);
	fd = host("192.168.1.2", "192.168.1.1");
	ask(fd, ADDRESS_REQUEST);
	fake.epoch = 100;
	assert_answer(fd, "0080 0000 00000064 cb007105");
	close(fd);
}

static void
one_clients_flood_is_not_the_others(void **state)
{
	int flood = host("192.168.1.2", "192.168.1.1"), other = host("192.168.1.3", "192.168.1.1");
	uint8_t answer[64];
	int answers = 0;
	monotime started;

	(void)state;
	config.requests_per_second = 20;
	begin();
	started = clock_now();
	for (int i = 0; i < 200; i++)
		ask(flood, ADDRESS_REQUEST);
	ask(other, ADDRESS_REQUEST);
	for (int i = 0; i < 5; i++)
		turn();
	while (answer_to(flood, answer, sizeof(answer)) > 0)
		answers++;
	assert_in_range(answers, 20, 21 + 20 * (clock_now() - started) / MONOTIME_SECOND);
	assert_int_equal(answer_to(other, answer, sizeof(answer)), 12);
	assert_int_equal(udp_counters(udp, 0)->limited, 200 - answers);
	close(flood);
	close(other);
}

static void
follows_an_interface_that_is_made_anew(void **state)
{
	int fd = host("192.168.1.2", "192.168.1.1");

	(void)state;
	begin();
	assert_true(udp_serves(udp, 0));
	run(gateway, "ip link set lan0 name gone");
	read_lans();
	assert_false(udp_serves(udp, 0));
	assert_true(udp_serves(udp, 1));
	run(gateway,
	    "ip link add lan0 type bridge; ip link set lan0 up; ip link set gone master lan0;"
	    "ip link set gone up; ip address flush dev gone;"
	    "ip address add 192.168.1.1/24 dev lan0");
	read_lans();
	assert_true(udp_serves(udp, 0));
	ask(fd, ADDRESS_REQUEST);
	usleep(50000);
	assert_answer(fd, "0080 0000 00000064 cb007105");
	close(fd);
	/* As it was, for the tests to come. */
	run(gateway, "ip link del lan0; ip link set gone down; ip link set gone name lan0;"
		     "ip link set lan0 up; ip address add 192.168.1.1/24 dev lan0;"
		     "ip address add 192.168.1.254/24 dev lan0; ip route add 172.16.0.2 dev lan0");
}

/* A host's socket for announcements. */
static int
listen_to_announcements(const char *interface)
{
	struct sockaddr_in group = place("224.0.0.1", UDP_ANNOUNCEMENT_PORT);
	int fd, on = 1;

	enter(hosts);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	enter(gateway);
	setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
	assert_int_equal(
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)),
	    0);
	assert_int_equal(bind(fd, (struct sockaddr *)&group, sizeof(group)), 0);
	return fd;
}

static void
assert_announcement(int fd, const char *from, const char *expected)
{
	uint8_t bytes[256];
	char control[64];
	struct sockaddr_in source;
	struct iovec iov = {bytes, sizeof(bytes)};
	struct msghdr m = {.msg_name = &source,
			   .msg_namelen = sizeof(source),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t size = recvmsg(fd, &m, MSG_DONTWAIT);
	int ttl;

	if (size < 0)
		fail_msg("no announcement: %s", strerror(errno));
	assert_hex(bytes, (size_t)size, expected);
	assert_string_equal(inet_ntoa(source.sin_addr), from);
	assert_int_equal(ntohs(source.sin_port), UDP_PORT);
	memcpy(&ttl, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(ttl));
	assert_int_equal(ttl, 1);
}

/* Lets the loop run for so long. */
static void
wait_for(int milliseconds)
{
	struct timeval time = {.tv_usec = milliseconds * 1000};

	event_base_loopexit(base, &time);
	event_base_dispatch(base);
}

static void
announces_in_both_protocols_on_each_lan(void **state)
{
	int fd[] = {listen_to_announcements("eth0"), listen_to_announcements("eth1")};

	(void)state;
	frozen = clock_now();
	begin();
	/* begin() let the first ones out: one of each protocol, none from a secondary address. */
	assert_announcement(fd[0], "192.168.1.1", "0080 0000 00000064 cb007105");
	assert_announcement(fd[0], "192.168.1.1",
			    "0280 0000 00000000 00000064 000000000000000000000000");
	assert_silence(fd[0]);
	assert_announcement(fd[1], "10.0.0.1", "0080 0000 00000065 cb007105");
	assert_announcement(fd[1], "10.0.0.1",
			    "0280 0000 00000000 00000065 000000000000000000000000");
	frozen += 249;
	wait_for(300);
	assert_silence(fd[0]);
	frozen++;
	wait_for(50);
	assert_announcement(fd[0], "192.168.1.1", "0080 0000 00000064 cb007105");
	close(fd[0]);
	close(fd[1]);
}

static void
an_event_is_announced_at_once(void **state)
{
	int fd = listen_to_announcements("eth1");

	(void)state;
	config.pcp = false;
	frozen = clock_now();
	begin();
	assert_announcement(fd, "10.0.0.1", "0080 0000 00000065 cb007105");
	fake.external = (struct address){.bytes = {0}};
	udp_announce(udp);
	turn();
	assert_announcement(fd, "10.0.0.1", "0080 0003 00000065 00000000");
	/* An address more, and the host knows the gateway by it: said again. */
	run(gateway, "ip address add 10.0.7.1/24 dev lan1");
	read_lans();
	turn();
	assert_announcement(fd, "10.0.0.1", "0080 0003 00000066 00000000");
	assert_announcement(fd, "10.0.7.1", "0080 0003 00000066 00000000");
	read_lans();
	turn();
	assert_silence(fd);
	run(gateway, "ip address del 10.0.7.1/24 dev lan1");
	close(fd);
}

static void
says_when_the_port_is_not_to_be_had(void **state)
{
	struct sockaddr_in any = place("0.0.0.0", UDP_PORT);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	const struct udp_options options = {.base = base, .config = &config, .changed = changed};

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	udp = udp_new(&options);
	assert_false(udp_set_lan(udp, 0, network_interface(network, 0)));
	assert_false(udp_serves(udp, 0));
	close(fd);
	assert_true(udp_set_lan(udp, 0, network_interface(network, 0)));
	assert_true(udp_serves(udp, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(answers_from_the_address_that_was_asked, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(lifetime_bounds_come_with_the_protocol, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(one_flush_for_what_came_together, setup, teardown),
	    cmocka_unit_test_setup_teardown(refuses_without_the_engine, setup, teardown),
	    cmocka_unit_test_setup_teardown(sees_that_a_datagram_is_too_long, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_protocol_that_is_off_is_said_to_be, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_protocol_no_socket, setup, teardown),
	    cmocka_unit_test_setup_teardown(ignores_what_is_not_for_us, setup, teardown),
	    cmocka_unit_test_setup_teardown(ignores_forged_sources, setup, teardown),
	    cmocka_unit_test_setup_teardown(hosts_that_are_not_there_are_not_in_the_way, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(one_clients_flood_is_not_the_others, setup, teardown),
	    cmocka_unit_test_setup_teardown(follows_an_interface_that_is_made_anew, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(announces_in_both_protocols_on_each_lan, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(an_event_is_announced_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(says_when_the_port_is_not_to_be_had, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
