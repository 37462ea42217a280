/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lock of a network namespace.  Nobody ever speaks on its socket. */
#include "instance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0portlease"};
enum { NAME_SIZE = offsetof(struct sockaddr_un, sun_path) + sizeof("\0portlease") - 1 };

static int
open_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* The pid of who listens on the name; 0 if it cannot be told (it lives in a pid namespace out of
 * sight). */
static pid_t
holder(void)
{
	struct ucred peer = {.pid = 0};
	socklen_t size = sizeof(peer);
	int fd = open_socket();

	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)&name, NAME_SIZE) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		peer.pid = 0;
	close(fd);
	return peer.pid;
}

int
instance_lock(char *why, size_t why_size)
{
	int fd = open_socket();
	pid_t pid;

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&name, NAME_SIZE) == 0 &&
	    listen(fd, SOMAXCONN) == 0)
		return fd;
	if (fd >= 0 && errno == EADDRINUSE) {
		pid = holder();
		if (pid > 0)
			snprintf(why, why_size, "already running in this network namespace, pid %d",
				 (int)pid);
		else
			snprintf(why, why_size, "already running in this network namespace");
	} else {
		snprintf(why, why_size, "cannot take the instance lock: %s", strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	return -1;
}
