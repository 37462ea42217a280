/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many PCP clients behind one socket, which sends from any address of the LAN host's.  Asks for UDP
 * mappings, known by their number, and counts what was granted as asked.
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	PCP_PORT = 5351,
	MESSAGE_SIZE = 60, /* RFC 6887 7.1 and 11.1 */
	MAPPINGS_PER_CLIENT = 30,
	INTERNAL_PORT = 20000,
	EXTERNAL_PORT = 5352, /* of mapping 0: all above may be given out */
	LIFETIME = 80000,
	BATCH = 64,
	BUFFER = 8 << 20,
	PATIENCE = 250, /* milliseconds until an unanswered request is sent again */
	ATTEMPTS = 20,
};
static const uint32_t first_client = 0x0a400100; /* 10.64.1.0 */

/* What a client asks for. */
struct wish {
	uint32_t number;
	uint32_t client;
	uint32_t lifetime;
	uint16_t internal;
	uint16_t suggested;
};

static struct wish
wish_of(uint32_t number, uint32_t lifetime)
{
	return (struct wish){
	    .number = number,
	    .client = first_client + number / MAPPINGS_PER_CLIENT,
	    .lifetime = lifetime,
	    .internal = (uint16_t)(INTERNAL_PORT + number % MAPPINGS_PER_CLIENT),
	    .suggested = (uint16_t)(EXTERNAL_PORT + number),
	};
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void
put32(uint8_t *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, sizeof(value));
}

static void
put16(uint8_t *at, uint16_t value)
{
	value = htons(value);
	memcpy(at, &value, sizeof(value));
}

static uint32_t
get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return ntohl(value);
}

/* The nonce tells the number again. */
static void
write_request(uint8_t m[MESSAGE_SIZE], const struct wish *w)
{
	memset(m, 0, MESSAGE_SIZE);
	m[0] = 2;
	m[1] = 1;
	put32(m + 4, w->lifetime);
	memset(m + 18, 0xff, 2);
	put32(m + 20, w->client);
	put32(m + 24, w->number);
	put32(m + 28, w->number * 2654435761u);
	m[36] = IPPROTO_UDP;
	put16(m + 40, w->internal);
	put16(m + 42, w->suggested);
	memset(m + 54, 0xff, 2);
}

/* Granted, or deleted, as asked? */
static bool
is_success(const uint8_t *m, size_t size, bool exactly)
{
	return size == MESSAGE_SIZE && m[0] == 2 && m[1] == 0x81 && m[3] == 0 &&
	       (!exactly || (uint32_t)(m[42] << 8 | m[43]) == EXTERNAL_PORT + get32(m + 24));
}

struct crowd {
	int fd;
	struct sockaddr_in server;
	struct mmsghdr message[BATCH];
	struct iovec iov[BATCH];
	uint8_t bytes[BATCH][MESSAGE_SIZE + 4];
	struct {
		_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control[BATCH];
};

static void
crowd_open(struct crowd *c, const char *server)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(40000)};
	struct timeval patience = {.tv_sec = 2};
	int size = BUFFER;

	c->server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PCP_PORT)};
	if (inet_pton(AF_INET, server, &c->server.sin_addr) != 1)
		errx(2, "no address: %s", server);
	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		err(2, "socket");
}

static void
fill(struct crowd *c, size_t slot, const struct wish *w)
{
	struct msghdr *m = &c->message[slot].msg_hdr;
	struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(w->client)};
	struct cmsghdr *head;

	write_request(c->bytes[slot], w);
	c->iov[slot] = (struct iovec){c->bytes[slot], MESSAGE_SIZE};
	*m = (struct msghdr){
	    .msg_name = &c->server,
	    .msg_namelen = sizeof(c->server),
	    .msg_iov = &c->iov[slot],
	    .msg_iovlen = 1,
	    .msg_control = c->control[slot].bytes,
	    .msg_controllen = sizeof(c->control[slot].bytes),
	};
	head = CMSG_FIRSTHDR(m);
	head->cmsg_level = IPPROTO_IP;
	head->cmsg_type = IP_PKTINFO;
	head->cmsg_len = CMSG_LEN(sizeof(from));
	memcpy(CMSG_DATA(head), &from, sizeof(from));
}

static void
send_filled(struct crowd *c, unsigned count)
{
	for (unsigned done = 0; done < count;) {
		int sent = sendmmsg(c->fd, c->message + done, count - done, 0);

		if (sent < 0)
			err(2, "sendmmsg");
		done += (unsigned)sent;
	}
}

static int
receive(struct crowd *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	if (poll(&p, 1, PATIENCE) == 0)
		return 0;
	for (size_t i = 0; i < BATCH; i++) {
		c->iov[i] = (struct iovec){c->bytes[i], sizeof(c->bytes[i])};
		c->message[i].msg_hdr = (struct msghdr){.msg_iov = &c->iov[i], .msg_iovlen = 1};
	}
	return recvmmsg(c->fd, c->message, BATCH, MSG_DONTWAIT, NULL);
}

/* --- map FIRST COUNT LIFETIME WINDOW -----------------------------------------------------------
 */

struct run {
	uint32_t first, count, lifetime, window;
	uint32_t sent, answered; /* distinct ones */
	uint32_t again;
	uint32_t attempts; /* in a row without an answer */
	bool *done;
};

static void
send_new(struct crowd *c, struct run *r)
{
	while (r->sent < r->count && r->sent - r->answered < r->window) {
		unsigned n = 0;

		for (; n < BATCH && r->sent < r->count && r->sent - r->answered < r->window; n++) {
			struct wish w = wish_of(r->first + r->sent++, r->lifetime);

			fill(c, n, &w);
		}
		send_filled(c, n);
	}
}

static void
send_again(struct crowd *c, struct run *r)
{
	if (++r->attempts > ATTEMPTS)
		errx(1, "%u of %u requests are not answered", r->sent - r->answered, r->sent);
	for (uint32_t i = 0; i < r->sent; i++) {
		struct wish w = wish_of(r->first + i, r->lifetime);

		if (r->done[i])
			continue;
		fill(c, 0, &w);
		send_filled(c, 1);
		r->again++;
	}
}

static void
count_answers(struct crowd *c, struct run *r, int received)
{
	for (int i = 0; i < received; i++) {
		const uint8_t *m = c->bytes[i];
		uint32_t number = get32(m + 24) - r->first;

		if (number >= r->sent || r->done[number])
			continue; /* of an earlier attempt */
		if (!is_success(m, c->message[i].msg_len, r->lifetime > 0))
			errx(1, "mapping %u: result %u, external port %u", r->first + number, m[3],
			     (unsigned)(m[42] << 8 | m[43]));
		r->done[number] = true;
		r->answered++;
		r->attempts = 0;
	}
}

/* "SECONDS REPEATED" */
static void
map(struct crowd *c, struct run *r)
{
	double begin = now();

	r->done = calloc(r->count + 1, sizeof(*r->done));
	if (!r->done)
		err(2, "calloc");
	while (r->answered < r->count) {
		int received;

		send_new(c, r);
		received = receive(c);
		if (received > 0)
			count_answers(c, r, received);
		else
			send_again(c, r);
	}
	printf("%.6f %u\n", now() - begin, r->again);
	free(r->done);
}

/* --- time any|suggested FIRST COUNT ------------------------------------------------------------
 */

/* Seconds from request to reply. */
static double
ask(struct crowd *c, const struct wish *w, bool exactly)
{
	uint8_t reply[MESSAGE_SIZE + 4];
	double begin;
	ssize_t size;

	fill(c, 0, w);
	begin = now();
	send_filled(c, 1);
	size = recv(c->fd, reply, sizeof(reply), 0);
	begin = now() - begin;
	if (size < 0)
		err(1, "mapping %u", w->number);
	if (!is_success(reply, (size_t)size, exactly) || get32(reply + 24) != w->number)
		errx(1, "mapping %u: result %u", w->number, reply[3]);
	return begin;
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/*
 * One mapping after the other, each deleted before the next.  any: each by a new client which
 * leaves the external port to the server, its internal port number being taken as soon as anybody
 * has a mapping.
 */
static void
time_each(struct crowd *c, bool any, uint32_t first, uint32_t count)
{
	double *took = calloc(count, sizeof(*took));

	if (!took)
		err(2, "calloc");
	for (uint32_t i = 0; i < count; i++) {
		struct wish w = wish_of(first + i, LIFETIME);

		if (any) {
			w.client = first_client + first + i;
			w.internal = EXTERNAL_PORT;
			w.suggested = 0;
		}
		took[i] = ask(c, &w, !any);
		w.lifetime = 0;
		ask(c, &w, false);
	}
	qsort(took, count, sizeof(*took), compare);
	printf("%.2f\n", took[count / 2] * 1e6);
	free(took);
}

static uint32_t
number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value > 1000000)
		errx(2, "no number: %s", text);
	return (uint32_t)value;
}

int
main(int argc, char **argv)
{
	static struct crowd crowd;

	if (argc == 7 && strcmp(argv[2], "map") == 0) {
		struct run run = {
		    .first = number(argv[3]),
		    .count = number(argv[4]),
		    .lifetime = number(argv[5]),
		    .window = number(argv[6]),
		};

		crowd_open(&crowd, argv[1]);
		map(&crowd, &run);
	} else if (argc == 6 && strcmp(argv[2], "time") == 0) {
		crowd_open(&crowd, argv[1]);
		time_each(&crowd, strcmp(argv[3], "any") == 0, number(argv[4]), number(argv[5]));
	} else {
		errx(2, "usage: crowd SERVER map FIRST COUNT LIFETIME WINDOW\n"
			"       crowd SERVER time any|suggested FIRST COUNT");
	}
	return 0;
}
