/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a service manager is told, by datagrams as sd_notify(3) describes; without one, nothing. */
#ifndef PORTLEASE_NOTIFY_H
#define PORTLEASE_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

#include "../../protocols/mapping.h"

struct notify {
	int fd; /* -1: nobody wants to know */
	struct sockaddr_un to;
	socklen_t size;
	monotime watchdog; /* it wants notify_alive() at least so often; MONOTIME_NEVER: does not */
};

/* Takes what the manager said out of the environment, so that no child says anything to it. */
void notify_open(struct notify *);
void notify_close(struct notify *);

void notify_ready(const struct notify *);     /* serving, the first time or after reloading */
void notify_reloading(const struct notify *); /* until notify_ready() */
void notify_stopping(const struct notify *);
void notify_alive(const struct notify *);

#endif
