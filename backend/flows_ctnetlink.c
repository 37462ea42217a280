/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flows.h over one netlink socket.  The kernel makes each piece of a reading when the one before it
 * is taken, so nobody waits while nothing is read.
 */
#include "flows.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "flow_message.h"

enum {
	PIECE_SIZE = 32 * 1024, /* the most the kernel puts into one */
	ENDINGS_SIZE = 64 * FLOW_MESSAGE_MAX,
};

struct flows {
	struct mnl_socket *socket;
	bool reading;
	uint32_t sequence; /* of the reading; those that end flows have the next one */
	int refused;	   /* the last errno by which a flow was not ended, beside ENOENT */
	size_t endings;	   /* octets */
	uint8_t ending[ENDINGS_SIZE];
	uint8_t piece[PIECE_SIZE];
};

static int
open_socket(struct flows *f, struct fault *fault)
{
	int on = 1;

	f->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!f->socket || mnl_socket_bind(f->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return fault_set(fault, errno, "cannot open conntrack's netlink socket");
	/* Errors without a copy of what they are about. */
	mnl_socket_setsockopt(f->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

int
flows_open(struct flows **out, struct fault *fault)
{
	struct flows *f = calloc(1, sizeof(*f));
	int error;

	if (!f)
		return fault_set(fault, ENOMEM, "cannot open conntrack");
	error = open_socket(f, fault);
	if (error < 0) {
		flows_close(f);
		return error;
	}
	*out = f;
	return 0;
}

void
flows_close(struct flows *f)
{
	if (!f)
		return;
	if (f->socket)
		mnl_socket_close(f->socket);
	free(f);
}

int
flows_begin(struct flows *f, struct fault *fault)
{
	uint8_t question[FLOW_MESSAGE_MAX];
	int error = 0;

	/* The rest of a reading given up would stand before this one. */
	if (f->reading || !f->socket) {
		if (f->socket)
			mnl_socket_close(f->socket);
		error = open_socket(f, fault);
		f->reading = false;
	}
	if (error < 0)
		return error;
	f->sequence += 2;
	f->refused = 0;
	f->endings = 0;
	if (mnl_socket_sendto(f->socket, question, flow_message_ask_all(question, f->sequence)) < 0)
		return fault_set(fault, errno, "cannot read conntrack");
	f->reading = true;
	return 0;
}

static void
send_endings(struct flows *f)
{
	if (f->endings > 0 && mnl_socket_sendto(f->socket, f->ending, f->endings) < 0)
		f->refused = errno;
	f->endings = 0;
}

void
flows_end(struct flows *f, const struct flow *flow, enum flow_ending how)
{
	if (f->endings + FLOW_MESSAGE_MAX > sizeof(f->ending))
		send_endings(f);
	f->endings += flow_message_end(f->ending + f->endings, f->sequence + 1, flow, how);
}

/* 0 = an acknowledgement. */
static int
error_of(const struct nlmsghdr *m)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(m);

	return m->nlmsg_len < mnl_nlmsg_size(sizeof(*e)) ? EPROTO : -e->error;
}

static int
take_message(struct flows *f, const struct nlmsghdr *m, flow_fn *take, void *arg)
{
	struct flow flow;
	int error;

	if (m->nlmsg_type == NLMSG_ERROR) {
		error = error_of(m);
		if (m->nlmsg_seq == f->sequence)
			return -error;
		if (error != 0 && error != ENOENT)
			f->refused = error;
	} else if (m->nlmsg_type == NLMSG_DONE && m->nlmsg_seq == f->sequence) {
		return 0;
	} else if (m->nlmsg_seq == f->sequence && take && flow_message_read(m, &flow)) {
		take(arg, &flow);
	}
	return 1;
}

/* 1: more may come; 0: the reading is complete; -errno. */
static int
read_piece(struct flows *f, flow_fn *take, void *arg)
{
	ssize_t size = mnl_socket_recvfrom(f->socket, f->piece, sizeof(f->piece));
	const struct nlmsghdr *m = (const struct nlmsghdr *)f->piece;
	int left = (int)size, more = 1;

	if (size < 0)
		return -errno;
	for (; more > 0 && mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
		more = take_message(f, m, take, arg);
	send_endings(f);
	return more;
}

int
flows_next(struct flows *f, flow_fn *take, void *arg, struct fault *fault)
{
	int more;

	if (!f->reading)
		return fault_set(fault, EINVAL, "conntrack is not being read");
	more = read_piece(f, take, arg);
	if (more < 0)
		return fault_set(fault, -more, "cannot read conntrack"); /* the next begins anew */
	if (more > 0)
		return 1;
	f->reading = false;
	while (read_piece(f, NULL, NULL) > 0) /* what the last endings met with */
		;
	return f->refused ? fault_set(fault, f->refused, "conntrack did not end a flow") : 0;
}
