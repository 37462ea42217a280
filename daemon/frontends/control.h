/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: the admin's CLI reads status and leases and removes some.  Serves in small
 * pieces, so that LAN answers never wait for a reader.
 */
#ifndef PORTLEASE_CONTROL_H
#define PORTLEASE_CONTROL_H

#include <sys/types.h>

#include "../base/config.h"
#include "../core/engine.h"
#include "../core/sessions.h"
#include "../../protocols/control.h"

struct event_base;
struct control;

/*
 * Makes the listening socket at config.control_socket: to be called before privileges are dropped.
 * Makes its folder if only that is missing; a socket file is replaced only if nobody answers on it.
 * -1: *why says what failed.
 */
int control_bind(const struct config *, char *why, size_t why_size);

#define CONTROL_NO_GROUP ((gid_t)-1)
/* Group `portlease`, whose members may change; CONTROL_NO_GROUP if there is none. */
gid_t control_group(void);

struct control_options {
	struct event_base *base;
	struct engine *engine;	   /* borrowed, as all here */
	struct sessions *sessions; /* NULL: nothing is known of them */
	const struct config *config;
	const char *config_path; /* as the admin knows it */
	int fd;			 /* of control_bind(); becomes control's from here on */
	gid_t group;		 /* control_group() */
	monotime started;
	monotime (*now)(void);
	/* A request changed the leases: look at the engine's timer again. */
	void (*changed)(void *arg);
	/* Another epoch began: clients are to be told. */
	void (*announce)(void *arg);
	/* The configuration is to be read again; control_reloaded() follows. */
	void (*reload)(void *arg);
	/* Interface 0 is the WAN, from 1 on the LANs as in the config; false: past the last. */
	bool (*interface)(void *arg, size_t number, struct control_interface *out);
	/* Is the gateway one at all: net.ipv4.ip_forward? */
	bool (*forwards)(void *arg);
	/* The chains of others that get our line, in the same way. */
	bool (*chain)(void *arg, size_t number, struct control_chain *out);
	void *arg;
	unsigned patience; /* milliseconds for a whole request, and for a reader to take something;
			      0 = 10 s */
};

struct control *
control_new(const struct control_options *); /* NULL: out of memory; fd is closed then too */
/* Answers those who wait for it.  why: what stood in the way; NULL: nothing did. */
void control_reloaded(struct control *, const char *why);
/* Drops all readers, closes the socket and takes its file away if it may.  NULL is allowed. */
void control_free(struct control *);

#endif
