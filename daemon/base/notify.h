/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a service manager is told, by datagrams as sd_notify(3) describes; without one, nothing. */
#ifndef PORTLEASE_NOTIFY_H
#define PORTLEASE_NOTIFY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../../protocols/mapping.h"

enum { NOTIFY_STATE_SIZE = 64 };

struct notify {
	int fd; /* -1: nobody wants to know */
	struct sockaddr_un to;
	socklen_t size;
	monotime watchdog; /* it wants notify_alive() at least so often; MONOTIME_NEVER: does not */
	char owed[NOTIFY_STATE_SIZE]; /* it had no room for this yet; "": nothing */
};

/* Takes what the manager said out of the environment, so that no child says anything to it. */
void notify_open(struct notify *);
void notify_close(struct notify *);

/* None of them waits for a manager whose queue is full. */
void notify_ready(struct notify *);	/* serving, the first time or after reloading */
void notify_reloading(struct notify *); /* until notify_ready() */
void notify_stopping(struct notify *);
void notify_alive(struct notify *);

/* Says what the manager had no room for, if that is still so.  True: there is something left, to be
 * said later. */
bool notify_again(struct notify *);

#endif
