/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parent_link.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel wants the room of a control message aligned. */
union control {
	char room[CMSG_SPACE(sizeof(int))];
	struct cmsghdr header;
};

int
parent_link_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0
		   ? -errno
		   : 0;
}

int
parent_link_send(int fd, const struct parent_message *message, int passed)
{
	struct iovec body = {(void *)message, sizeof(*message)};
	struct msghdr header = {.msg_iov = &body, .msg_iovlen = 1};
	union control control = {.room = {0}};

	if (passed >= 0) {
		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(passed));
		memcpy(CMSG_DATA(c), &passed, sizeof(passed));
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int
take_passed(struct msghdr *header)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(header);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static bool
is_right(const struct parent_message *message, unsigned types, bool has_passed)
{
	if (message->type >= PARENT_TYPES || !(types & PARENT_BIT(message->type)))
		return false;
	if (!memchr(message->interface, '\0', sizeof(message->interface)))
		return false;
	switch (message->type) {
	case PARENT_SPAWNED:
		return message->result != 0 && has_passed == (message->result > 0);
	case PARENT_CONFIG:
		return message->result <= 0 && has_passed == (message->result == 0);
	case PARENT_RELOADED:
		return message->result <= 0 && !has_passed;
	default:
		return message->result == 0 && !has_passed;
	}
}

enum parent_link_result
parent_link_receive(int fd, unsigned types, struct parent_message *message, int *passed)
{
	struct iovec body = {message, sizeof(*message)};
	union control control;
	/* The kernel drops descriptors that there is no room for. */
	struct msghdr header = {
	    .msg_iov = &body,
	    .msg_iovlen = 1,
	    .msg_control = passed ? &control : NULL,
	    .msg_controllen = passed ? CMSG_LEN(sizeof(int)) : 0,
	};
	ssize_t size = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);

	if (passed)
		*passed = size >= 0 ? take_passed(&header) : -1;
	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? PARENT_LINK_NOTHING : PARENT_LINK_ENDED;
	if (size == (ssize_t)sizeof(*message) && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    is_right(message, types, passed && *passed >= 0))
		return PARENT_LINK_GOT;
	if (passed && *passed >= 0) {
		close(*passed);
		*passed = -1;
	}
	/* An empty message looks like the end; nobody sends one. */
	return size == 0 ? PARENT_LINK_ENDED : PARENT_LINK_BAD;
}
