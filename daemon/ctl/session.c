/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to the daemon and the lines of its replies. */
#include "session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE = 10 }; /* seconds without a sign of the daemon */

void
complain(const char *format, ...)
{
	va_list list;

	fputs("portlease: ", stderr);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
}

static int
cannot_connect(const char *path)
{
	switch (errno) {
	case EACCES:
	case EPERM:
		complain("%s: permission denied: only root and members of group portlease may ask",
			 path);
		return REFUSED;
	case ENOENT:
	case ECONNREFUSED:
		complain("%s: no daemon answers: is portleased running?", path);
		return UNREACHABLE;
	case EAGAIN:
		complain("%s: the daemon does not take the connection", path);
		return UNREACHABLE;
	default:
		complain("%s: %s", path, strerror(errno));
		return UNREACHABLE;
	}
}

int
session_open(struct session *session, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {PATIENCE, 0};

	session->path = path;
	session->size = session->taken = 0;
	session->fd = -1;
	if (strlen(path) >= sizeof(address.sun_path)) {
		complain("%s: too long for the path of a socket", path);
		return UNREACHABLE;
	}
	strcpy(address.sun_path, path);
	session->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (session->fd >= 0) {
		setsockopt(session->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(session->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	}
	if (session->fd < 0 ||
	    connect(session->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int code = cannot_connect(path);

		session_close(session);
		return code;
	}
	return DONE;
}

void
session_close(struct session *session)
{
	if (session->fd >= 0)
		close(session->fd);
	session->fd = -1;
}

/* The next line without its newline; NULL: a line on standard error has said why. */
static const char *
next_line(struct session *session, size_t *length)
{
	char *end;

	session->size -= session->taken;
	memmove(session->buffer, session->buffer + session->taken, session->size);
	session->taken = 0;
	while (!(end = memchr(session->buffer, '\n', session->size))) {
		ssize_t got = 0;

		if (session->size < sizeof(session->buffer))
			got = recv(session->fd, session->buffer + session->size,
				   sizeof(session->buffer) - session->size, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN) {
			complain("%s: the daemon has not answered for %d seconds", session->path,
				 PATIENCE);
			return NULL;
		}
		if (got <= 0) {
			complain("%s: the daemon broke off its answer", session->path);
			return NULL;
		}
		session->size += (size_t)got;
	}
	*length = (size_t)(end - session->buffer);
	session->taken = *length + 1;
	return session->buffer;
}

static const int exit_codes[CONTROL_RESULTS] = {
    [CONTROL_OK] = DONE,	   [CONTROL_NOT_PERMITTED] = REFUSED,
    [CONTROL_NOT_FOUND] = REFUSED, [CONTROL_BAD_REQUEST] = REFUSED,
    [CONTROL_FAILED] = REFUSED,	   [CONTROL_BUSY] = UNREACHABLE,
    [CONTROL_CONFLICT] = REFUSED,
};

int
session_ask(struct session *session, const struct question *question, enum control_result *result)
{
	char line[CONTROL_REQUEST_MAX], why[CONTROL_WHY_SIZE];
	size_t length = control_request_encode(&question->request, line, sizeof(line));
	struct control_reply reply;

	/* A failure shows when reading: the daemon may have said why before it hung up. */
	(void)send(session->fd, line, length, MSG_NOSIGNAL);
	for (;;) {
		const char *text = next_line(session, &length);

		if (!text)
			return UNREACHABLE;
		if (!control_reply_decode(text, length, &reply, why, sizeof(why))) {
			complain("%s: an answer not understood: %s", session->path, why);
			return UNREACHABLE;
		}
		if (reply.line == CONTROL_LINE_RESULT)
			break;
		if (!question->take(question->arg, &reply))
			return UNREACHABLE;
	}
	if (reply.result != CONTROL_OK)
		complain("%s%s%s", question->about, question->about[0] ? ": " : "", reply.message);
	if (result)
		*result = reply.result;
	return exit_codes[reply.result];
}
