/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* A path, or "@name" of an abstract socket. */
static bool
read_address(const char *text, struct notify *n)
{
	size_t length = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || length < 2 || length >= sizeof(n->to.sun_path))
		return false;
	n->to = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(n->to.sun_path, text, length);
	if (text[0] == '@')
		n->to.sun_path[0] = '\0';
	n->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return true;
}

/* Microseconds; meant for us only if it says so or names nobody. */
static monotime
read_watchdog(const char *interval, const char *pid)
{
	unsigned long long usec = interval ? strtoull(interval, NULL, 10) : 0;

	if (pid && strtoull(pid, NULL, 10) != (unsigned long long)getpid())
		return MONOTIME_NEVER;
	return usec >= 1000 ? (monotime)(usec / 1000) : MONOTIME_NEVER;
}

void
notify_open(struct notify *n)
{
	static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
	const char *path = getenv(names[0]);

	*n = (struct notify){.fd = -1, .watchdog = MONOTIME_NEVER};
	if (path && read_address(path, n))
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (path && n->fd < 0)
		log_warning("notify", "no socket to the service manager", "path=%s", path);
	if (n->fd >= 0)
		n->watchdog = read_watchdog(getenv(names[1]), getenv(names[2]));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
}

void
notify_close(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

/* False: there is no room now. */
static bool
say(const struct notify *n, const char *state)
{
	if (n->fd < 0 || sendto(n->fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
				(const struct sockaddr *)&n->to, n->size) >= 0)
		return true;
	if (errno == EAGAIN)
		return false;
	log_warning("notify", "service manager not told", "error=\"%s\"", strerror(errno));
	return true;
}

/* The last state is what counts. */
static void
say_state(struct notify *n, const char *state)
{
	snprintf(n->owed, sizeof(n->owed), "%s", state);
	notify_again(n);
}

bool
notify_again(struct notify *n)
{
	if (n->owed[0] && say(n, n->owed))
		n->owed[0] = '\0';
	return n->owed[0];
}

void
notify_ready(struct notify *n)
{
	say_state(n, "READY=1");
}

/* Newer managers tell by the time which reload it is. */
void
notify_reloading(struct notify *n)
{
	struct timespec now;
	char state[NOTIFY_STATE_SIZE];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	say_state(n, state);
}

void
notify_stopping(struct notify *n)
{
	say_state(n, "STOPPING=1");
}

void
notify_alive(struct notify *n)
{
	say(n, "WATCHDOG=1");
}
