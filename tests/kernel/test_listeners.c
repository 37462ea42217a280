/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a port the gateway's own?  Both ways of finding out.  Runs in a network namespace of its own.
 */
#include "../../backend/listeners.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static struct listeners *listeners;
static unsigned wan, lan;

struct listener {
	enum transport transport;
	int family;
	const char *address; /* NULL: every one */
	const char *device;  /* NULL: every one */
};

static int
ip_socket(int family, enum transport transport)
{
	int fd = socket(family, transport == TRANSPORT_TCP ? SOCK_STREAM : SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	return fd;
}

/* A socket that accepts on that port. */
static int
listen_on(const struct listener *l, uint16_t port)
{
	struct sockaddr_in4_or_6 {
		union {
			struct sockaddr_in v4;
			struct sockaddr_in6 v6;
		};
	} a = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
	int fd = ip_socket(l->family, l->transport), off = 0;

	if (l->address)
		assert_int_equal(inet_pton(AF_INET, l->address, &a.v4.sin_addr), 1);
	if (l->family == AF_INET6) {
		memset(&a, 0, sizeof(a));
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(port);
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	}
	if (l->device)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, l->device,
					    (socklen_t)strlen(l->device)),
				 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (l->transport == TRANSPORT_TCP)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static bool
busy(enum transport transport, const char *address, uint16_t port)
{
	struct endpoint e = {.port = port};

	assert_true(address_parse(address, &e.address));
	return listeners_busy(listeners, transport, &e, wan);
}

static int
group_setup(void **state)
{
	(void)state;
	if (system("ip link set lo up; ip link add wan0 type veth peer name lan0;"
		   "ip link set wan0 up; ip link set lan0 up;"
		   "ip address add 203.0.113.5/24 dev wan0;"
		   "ip address add 192.168.1.1/24 dev lan0") != 0)
		return -1;
	wan = if_nametoindex("wan0");
	lan = if_nametoindex("lan0");
	return wan && lan ? 0 : -1;
}

static int
setup(void **state)
{
	struct fault fault;

	(void)state;
	return listeners_open(&listeners, &fault);
}

static int
setup_trial(void **state)
{
	int result = setup(state);

	if (result == 0)
		listeners_trial_bind(listeners);
	return result;
}

static int
teardown(void **state)
{
	(void)state;
	listeners_close(listeners);
	return 0;
}

static void
finds_what_accepts_at_the_wan(void **state)
{
	static const struct listener at[] = {
	    {TRANSPORT_TCP, AF_INET, NULL, NULL},
	    {TRANSPORT_UDP, AF_INET, NULL, NULL},
	    {TRANSPORT_TCP, AF_INET6, NULL, NULL},
	    {TRANSPORT_UDP, AF_INET6, NULL, NULL},
	    {TRANSPORT_TCP, AF_INET, "203.0.113.5", NULL},
	    {TRANSPORT_UDP, AF_INET, "203.0.113.5", NULL},
	    {TRANSPORT_TCP, AF_INET, NULL, "wan0"},
	    {TRANSPORT_UDP, AF_INET, NULL, "wan0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint16_t port = (uint16_t)(4000 + i);
		enum transport other =
		    at[i].transport == TRANSPORT_TCP ? TRANSPORT_UDP : TRANSPORT_TCP;
		int fd;

		if (busy(at[i].transport, "203.0.113.5", port))
			fail_msg("%zu: before", i);
		fd = listen_on(&at[i], port);
		if (!busy(at[i].transport, "203.0.113.5", port))
			fail_msg("%zu: not found", i);
		assert_false(busy(other, "203.0.113.5", port));
		assert_false(busy(at[i].transport, "203.0.113.5", (uint16_t)(port + 100)));
		close(fd);
		assert_false(busy(at[i].transport, "203.0.113.5", port));
	}
}

static void
leaves_out_what_the_wan_cannot_reach(void **state)
{
	static const struct listener at[] = {
	    {TRANSPORT_TCP, AF_INET, "127.0.0.1", NULL},
	    {TRANSPORT_UDP, AF_INET, "192.168.1.1", NULL},
	    {TRANSPORT_TCP, AF_INET, "192.168.1.1", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint16_t port = (uint16_t)(4200 + i);
		int fd = listen_on(&at[i], port);

		assert_false(busy(at[i].transport, "203.0.113.5", port));
		assert_true(busy(at[i].transport, at[i].address, port));
		close(fd);
	}
}

/* Only the exact question knows these two from a listener. */
static void
leaves_out_another_device_and_a_client_socket(void **state)
{
	static const struct listener on_lan = {TRANSPORT_TCP, AF_INET, NULL, "lan0"};
	static const struct listener client = {TRANSPORT_UDP, AF_INET, "203.0.113.5", NULL};
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(53)};
	int fd = listen_on(&on_lan, 4300);

	(void)state;
	assert_false(busy(TRANSPORT_TCP, "203.0.113.5", 4300));
	close(fd);
	fd = listen_on(&client, 4301);
	assert_true(busy(TRANSPORT_UDP, "203.0.113.5", 4301));
	inet_pton(AF_INET, "203.0.113.9", &peer.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&peer, sizeof(peer)), 0);
	assert_false(busy(TRANSPORT_UDP, "203.0.113.5", 4301));
	close(fd);
}

static void
an_address_that_is_gone_is_not_busy(void **state)
{
	(void)state;
	assert_false(busy(TRANSPORT_TCP, "198.51.100.77", 4400));
	assert_false(busy(TRANSPORT_UDP, "198.51.100.77", 4400));
}

static void
reads_the_ephemeral_range(void **state)
{
	struct port_range range;

	(void)state;
	assert_int_equal(system("echo 40000 41000 > /proc/sys/net/ipv4/ip_local_port_range"), 0);
	range = listeners_ephemeral();
	assert_int_equal(range.first, 40000);
	assert_int_equal(range.last, 41000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(finds_what_accepts_at_the_wan, setup, teardown),
	    cmocka_unit_test_setup_teardown(leaves_out_what_the_wan_cannot_reach, setup, teardown),
	    cmocka_unit_test_setup_teardown(leaves_out_another_device_and_a_client_socket, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(an_address_that_is_gone_is_not_busy, setup, teardown),
	    cmocka_unit_test_setup_teardown(finds_what_accepts_at_the_wan, setup_trial, teardown),
	    cmocka_unit_test_setup_teardown(leaves_out_what_the_wan_cannot_reach, setup_trial,
					    teardown),
	    cmocka_unit_test_setup_teardown(an_address_that_is_gone_is_not_busy, setup_trial,
					    teardown),
	    cmocka_unit_test(reads_the_ephemeral_range),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
