/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CLI's connection to the daemon.  Whatever fails here is said in one line on standard error.
 */
#ifndef PORTLEASE_CTL_SESSION_H
#define PORTLEASE_CTL_SESSION_H

#include "../../protocols/control.h"

/* Exit codes of portlease(8). */
enum { DONE = 0, REFUSED = 1, USAGE = 2, UNREACHABLE = 3 };

struct session {
	int fd;
	const char *path;
	size_t size;
	size_t taken; /* octets of the last line, to be dropped before the next */
	char buffer[CONTROL_LINE_MAX];
};

void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* DONE, or REFUSED or UNREACHABLE after a line on standard error. */
int session_open(struct session *, const char *path);
void session_close(struct session *);

/*
 * Sends a request and gives every line of the reply but the last to take(); false from it ends the
 * session.  *result (may be NULL) is how the reply ended.  about (may be "") begins the line that
 * says why it was refused.
 */
struct question {
	struct control_request request;
	const char *about;
	bool (*take)(void *arg, const struct control_reply *);
	void *arg;
};
int session_ask(struct session *, const struct question *, enum control_result *result);

#endif
