/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An Internet's worth of strangers and the LAN hosts that answer them, in one process, so that
 * nothing waits for a scheduler: UDP packets, each from another address and port, to random ones of
 * a range of ports; every packet that reaches the LAN is sent back.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
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
/* 198.18.0.0/15: RFC 2544 */
static const uint32_t first_source = 0xc6120000, source_mask = 0xfffe0000;
#define PATIENCE 0.2 /* seconds for the last ones to arrive */

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[PAYLOAD];
};

struct flood {
	int outside; /* sends in the Internet's namespace */
	int inside;  /* receives in the LAN's */
	int answer;  /* sends there */
	struct in_addr address;
	uint32_t first_port, ports;
	uint32_t first_flow, flows;
	uint32_t answered;
	uint64_t random;
	struct mmsghdr message[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in to[BATCH];
	struct packet packet[BATCH];
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void
enter(const char *namespace)
{
	int fd = open(namespace, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		err(2, "%s", namespace);
}

static int
raw_socket(void)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (fd < 0)
		err(2, "socket");
	return fd;
}

/* Takes what comes in from the wire, before the host's own network stack. */
static int
wire_socket(void)
{
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));

	if (fd < 0)
		err(2, "socket");
	return fd;
}

/* xorshift64: the same order in each run. */
static uint32_t
pick(struct flood *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return (uint32_t)((f->random >> 32) % f->ports);
}

/* The kernel fills in the rest of the IP header. */
static void
write_packet(struct flood *f, size_t slot, uint32_t flow)
{
	struct packet *p = &f->packet[slot];

	p->ip = (struct iphdr){
	    .version = 4,
	    .ihl = sizeof(p->ip) / 4,
	    .ttl = 64,
	    .protocol = IPPROTO_UDP,
	    .saddr = htonl(first_source + flow / SOURCE_PORTS),
	    .daddr = f->address.s_addr,
	};
	p->udp = (struct udphdr){
	    .source = htons((uint16_t)(FIRST_SOURCE_PORT + flow % SOURCE_PORTS)),
	    .dest = htons((uint16_t)(f->first_port + pick(f))),
	    .len = htons(sizeof(*p) - sizeof(p->ip)),
	};
}

/* What was received becomes its answer; false: it is no stranger's. */
static bool
turn_round(struct packet *p)
{
	struct packet was = *p;

	if ((ntohl(p->ip.saddr) & source_mask) != first_source)
		return false;
	p->ip.saddr = was.ip.daddr;
	p->ip.daddr = was.ip.saddr;
	p->ip.ttl = 64;
	p->ip.check = 0;
	p->udp.source = was.udp.dest;
	p->udp.dest = was.udp.source;
	p->udp.check = 0;
	return true;
}

static void
address_message(struct flood *f, size_t slot, struct packet *p)
{
	f->to[slot] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = p->ip.daddr};
	f->iov[slot] = (struct iovec){p, sizeof(*p)};
	f->message[slot].msg_hdr = (struct msghdr){
	    .msg_name = &f->to[slot],
	    .msg_namelen = sizeof(f->to[slot]),
	    .msg_iov = &f->iov[slot],
	    .msg_iovlen = 1,
	};
}

static void
send_batch(struct flood *f, int fd, uint32_t count)
{
	for (uint32_t done = 0; done < count;) {
		int sent = sendmmsg(fd, f->message + done, count - done, 0);

		if (sent < 0)
			err(2, "sendmmsg");
		done += (uint32_t)sent;
	}
}

static void
answer(struct flood *f)
{
	int count;

	do {
		uint32_t answers = 0;

		for (size_t i = 0; i < BATCH; i++) {
			f->iov[i] = (struct iovec){&f->packet[i], sizeof(f->packet[i])};
			f->message[i].msg_hdr =
			    (struct msghdr){.msg_iov = &f->iov[i], .msg_iovlen = 1};
		}
		count = recvmmsg(f->inside, f->message, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < count; i++)
			if (turn_round(&f->packet[i]))
				address_message(f, answers++, &f->packet[i]);
		send_batch(f, f->answer, answers);
		f->answered += answers;
	} while (count == BATCH);
}

/* Seconds that it took. */
static double
run(struct flood *f)
{
	double begin = now(), sent;

	for (uint32_t done = 0; done < f->flows;) {
		uint32_t count = f->flows - done < BATCH ? f->flows - done : BATCH;

		for (uint32_t i = 0; i < count; i++) {
			write_packet(f, i, f->first_flow + done + i);
			address_message(f, i, &f->packet[i]);
		}
		send_batch(f, f->outside, count);
		done += count;
		answer(f);
	}
	sent = now();
	while (f->answered < f->flows && now() < sent + PATIENCE)
		answer(f);
	return (f->answered < f->flows ? sent : now()) - begin;
}

static uint32_t
number(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

/* "SECONDS ANSWERED" */
int
main(int argc, char **argv)
{
	static struct flood f;
	double took;

	if (argc != 8 || inet_pton(AF_INET, argv[3], &f.address) != 1)
		errx(2, "usage: flows OUTSIDE INSIDE ADDRESS FIRST-PORT PORTS FIRST-FLOW FLOWS");
	f.first_port = number(argv[4]);
	f.ports = number(argv[5]);
	f.first_flow = number(argv[6]);
	f.flows = number(argv[7]);
	f.random = UINT64_C(88172645463325252) + f.first_flow;
	enter(argv[1]);
	f.outside = raw_socket();
	enter(argv[2]);
	f.inside = wire_socket();
	f.answer = raw_socket();
	took = run(&f);
	printf("%.6f %u\n", took, f.answered);
	return 0;
}
