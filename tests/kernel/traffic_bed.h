/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network for packets: 192.168.1.0/24 (two hosts) -- this namespace, 203.0.113.1 -- 203.0.113.9
 * and .10 on the WAN.
 */
#ifndef PORTLEASE_TESTS_TRAFFIC_BED_H
#define PORTLEASE_TESTS_TRAFFIC_BED_H

#include "firewall_bed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Namespaces, each held by a process of its own. */

struct space {
	pid_t holder;
	int fd;
};

static struct space gateway, lan, wan;

static inline void
space_open(struct space *s)
{
	char path[64], byte;
	int ready[2];

	assert_int_equal(pipe(ready), 0);
	s->holder = fork();
	assert_true(s->holder >= 0);
	if (s->holder == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)s->holder);
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(s->fd >= 0);
}

static inline void
space_close(struct space *s)
{
	close(s->fd);
	kill(s->holder, SIGKILL);
	waitpid(s->holder, NULL, 0);
}

/* A UDP socket in that namespace, bound to that address; port 0: any. */
static inline int
udp(const struct space *s, const char *address, uint16_t port)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
	int size = 4 << 20;
	int fd;

	assert_int_equal(setns(s->fd, CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(gateway.fd, CLONE_NEWNET), 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	inet_pton(AF_INET, address, &own.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	return fd;
}

static inline void
send_to(int fd, const char *address, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, address, &to.sin_addr);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
}

/* Who sent the next datagram, "address:port"; "" = none within 300 ms. */
static inline const char *
sender(int fd)
{
	static char text[32];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	char byte, address[INET_ADDRSTRLEN];

	*text = '\0';
	if (poll(&p, 1, 300) == 1 &&
	    recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &size) == 1)
		snprintf(text, sizeof(text), "%s:%u",
			 inet_ntop(AF_INET, &from.sin_addr, address, sizeof(address)),
			 ntohs(from.sin_port));
	return text;
}

static inline int
setup_spaces(void **state)
{
	(void)state;
	leave_network();
	gateway.fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	space_open(&lan);
	space_open(&wan);
	shell("ip link set lo up && ip link add br-lan type veth peer name eth0 netns %d && "
	      "ip link add wan0 type veth peer name eth0 netns %d && "
	      "ip addr add 192.168.1.1/24 dev br-lan && ip addr add 203.0.113.1/24 dev wan0 && "
	      "ip addr add 203.0.113.7/24 dev wan0 && ip link set br-lan up && ip link set wan0 up "
	      "&& "
	      "echo 1 > /proc/sys/net/ipv4/ip_forward",
	      (int)lan.holder, (int)wan.holder);
	shell("nsenter -n -t %d sh -c 'ip addr add 192.168.1.10/24 dev eth0 && "
	      "ip addr add 192.168.1.11/24 dev eth0 && ip link set lo up && ip link set eth0 up && "
	      "ip route add default via 192.168.1.1'",
	      (int)lan.holder);
	shell("nsenter -n -t %d sh -c 'ip addr add 203.0.113.9/24 dev eth0 && ip addr add "
	      "203.0.113.10/24 dev eth0 && ip link set eth0 up'",
	      (int)wan.holder);
	return 0;
}

static inline int
teardown_spaces(void **state)
{
	(void)state;
	space_close(&lan);
	space_close(&wan);
	return 0;
}

#endif
