/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks inet_diag for one socket.  It answers ENOENT both for a free port and if the kernel has no
 * handler for that transport, so it is tried at open on a socket of our own; where it does not find
 * that one, a trial bind decides.
 */
#include "listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOPBACK_INDEX = 1, BUFFER_SIZE = 8192 };

struct listeners {
	struct mnl_socket *diag; /* NULL: the kernel has no sock_diag */
	uint32_t sequence;
	bool exact_tcp;
	bool exact_udp;
};

static struct sockaddr_in
socket_address(const struct endpoint *e)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET,
	    .sin_port = htons(e->port),
	    .sin_addr.s_addr = address_to_ipv4(&e->address),
	};
}

static int
ip_socket(enum transport transport)
{
	int type = transport == TRANSPORT_TCP ? SOCK_STREAM : SOCK_DGRAM;

	return socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int
found_socket(const struct nlmsghdr *message, void *arg)
{
	(void)message;
	*(bool *)arg = true;
	return MNL_CB_STOP;
}

static void
put_question(struct nlmsghdr *message, enum transport transport, const struct endpoint *e,
	     unsigned interface)
{
	struct inet_diag_req_v2 *q = mnl_nlmsg_put_extra_header(message, sizeof(*q));

	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	message->nlmsg_flags = NLM_F_REQUEST;
	q->sdiag_family = AF_INET;
	q->sdiag_protocol = (uint8_t)transport;
	q->idiag_states = ~0u;
	q->id.idiag_if = interface;
	q->id.idiag_cookie[0] = q->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	/* The kernel's UDP lookup has the two sides the other way round. */
	if (transport == TRANSPORT_TCP) {
		q->id.idiag_src[0] = address_to_ipv4(&e->address);
		q->id.idiag_sport = htons(e->port);
	} else {
		q->id.idiag_dst[0] = address_to_ipv4(&e->address);
		q->id.idiag_dport = htons(e->port);
	}
}

static bool
busy_by_query(struct listeners *l, enum transport transport, const struct endpoint *e,
	      unsigned interface)
{
	unsigned port = mnl_socket_get_portid(l->diag);
	uint8_t buffer[BUFFER_SIZE] = {0};
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	bool busy = false;
	ssize_t size;
	int more = MNL_CB_OK;

	put_question(message, transport, e, interface);
	message->nlmsg_seq = ++l->sequence;
	if (mnl_socket_sendto(l->diag, message, message->nlmsg_len) < 0)
		return false;
	/* The answer is there when sendto() returns: never wait for one that is not. */
	while (more > 0 && (size = mnl_socket_recvfrom(l->diag, buffer, sizeof(buffer))) > 0)
		more = mnl_cb_run(buffer, (size_t)size, l->sequence, port, found_socket, &busy);
	return busy;
}

static bool
busy_by_bind(enum transport transport, const struct endpoint *e)
{
	struct sockaddr_in address = socket_address(e);
	int fd = ip_socket(transport);
	bool busy;

	if (fd < 0)
		return false;
	busy = bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno == EADDRINUSE;
	close(fd);
	return busy;
}

/* Is a socket of our own found by a query?  It listens on the loopback interface alone. */
static bool
finds_own(struct listeners *l, enum transport transport)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = ip_socket(transport), loopback = LOOPBACK_INDEX;
	struct endpoint own = {.address = address_from_ipv4(htonl(INADDR_LOOPBACK))};
	bool found = false;

	if (fd < 0)
		return false;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &loopback, sizeof(loopback)) == 0 &&
	    bind(fd, (struct sockaddr *)&address, size) == 0 &&
	    (transport == TRANSPORT_UDP || listen(fd, 1) == 0) &&
	    getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
		own.port = ntohs(address.sin_port);
		found = busy_by_query(l, transport, &own, LOOPBACK_INDEX);
	}
	close(fd);
	return found;
}

int
listeners_open(struct listeners **out, struct fault *fault)
{
	struct listeners *l = calloc(1, sizeof(*l));

	if (!l)
		return fault_set(fault, ENOMEM, "cannot look for listening sockets");
	l->diag = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (l->diag && mnl_socket_bind(l->diag, 0, MNL_SOCKET_AUTOPID) == 0) {
		l->exact_tcp = finds_own(l, TRANSPORT_TCP);
		l->exact_udp = finds_own(l, TRANSPORT_UDP);
	}
	*out = l;
	return 0;
}

void
listeners_close(struct listeners *l)
{
	if (!l)
		return;
	if (l->diag)
		mnl_socket_close(l->diag);
	free(l);
}

void
listeners_trial_bind(struct listeners *l)
{
	l->exact_tcp = l->exact_udp = false;
}

bool
listeners_busy(struct listeners *l, enum transport transport, const struct endpoint *e,
	       unsigned wan_index)
{
	if (transport == TRANSPORT_TCP ? l->exact_tcp : l->exact_udp)
		return busy_by_query(l, transport, e, wan_index);
	return busy_by_bind(transport, e);
}

struct port_range
listeners_ephemeral(void)
{
	struct port_range range = {32768, 60999};
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	uint16_t first, last;

	if (!file)
		return range;
	if (fscanf(file, "%" SCNu16 " %" SCNu16, &first, &last) == 2)
		range = (struct port_range){first, last};
	fclose(file);
	return range;
}
