/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An Internet's worth of strangers: UDP packets, each from another address and port, to random ones
 * of a range of ports. */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	BATCH = 64,
	PAYLOAD = 20,
	SOURCE_PORTS = 50000,
	FIRST_SOURCE_PORT = 10000,
};
static const uint32_t first_source = 0xc6120000; /* 198.18.0.0/15: RFC 2544 */

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[PAYLOAD];
};

struct target {
	struct in_addr address;
	uint32_t first_port, ports;
	uint64_t random;
};

/* xorshift64: the same order in each run. */
static uint32_t
pick(struct target *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return (uint32_t)((t->random >> 32) % t->ports);
}

/* The kernel fills in the rest of the IP header. */
static void
write_packet(struct packet *p, struct target *t, uint32_t number)
{
	p->ip = (struct iphdr){
	    .version = 4,
	    .ihl = sizeof(p->ip) / 4,
	    .ttl = 64,
	    .protocol = IPPROTO_UDP,
	    .saddr = htonl(first_source + number / SOURCE_PORTS),
	    .daddr = t->address.s_addr,
	};
	p->udp = (struct udphdr){
	    .source = htons((uint16_t)(FIRST_SOURCE_PORT + number % SOURCE_PORTS)),
	    .dest = htons((uint16_t)(t->first_port + pick(t))),
	    .len = htons(sizeof(*p) - sizeof(p->ip)),
	};
}

static int
open_socket(struct target *t)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = t->address};
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(2, "socket");
	return fd;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds that it took. */
static double
send_all(int fd, struct target *t, uint32_t first, uint32_t count)
{
	static struct packet packet[BATCH];
	static struct mmsghdr message[BATCH];
	static struct iovec iov[BATCH];
	double begin = now();

	for (uint32_t done = 0; done < count;) {
		uint32_t n = count - done < BATCH ? count - done : BATCH;
		int sent;

		for (uint32_t i = 0; i < n; i++) {
			write_packet(&packet[i], t, first + done + i);
			iov[i] = (struct iovec){&packet[i], sizeof(packet[i])};
			message[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
		}
		sent = sendmmsg(fd, message, n, 0);
		if (sent < 0)
			err(2, "sendmmsg");
		done += (uint32_t)sent;
	}
	return now() - begin;
}

int
main(int argc, char **argv)
{
	struct target t = {.random = 88172645463325252};
	uint32_t first, count;

	if (argc != 6 || inet_pton(AF_INET, argv[1], &t.address) != 1)
		errx(2, "usage: flows ADDRESS FIRST-PORT PORTS FIRST-FLOW FLOWS");
	t.first_port = (uint32_t)atoi(argv[2]);
	t.ports = (uint32_t)atoi(argv[3]);
	first = (uint32_t)atoi(argv[4]);
	count = (uint32_t)atoi(argv[5]);
	t.random += first;
	printf("%.6f\n", send_all(open_socket(&t), &t, first, count));
	return 0;
}
