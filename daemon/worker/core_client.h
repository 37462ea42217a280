/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's end of the link to the core.  Knows no protocol of the LAN. */
#ifndef PORTLEASE_CORE_CLIENT_H
#define PORTLEASE_CORE_CLIENT_H

#include "../../protocols/worker_link.h"

struct event_base;
struct core_client;

enum { CORE_CALLS_MAX = 4096 }; /* unanswered at one time */

struct core_client_options {
	struct event_base *base;
	int fd; /* SOCK_SEQPACKET; not closed here */
	/* SETUP, LAN and STATE. */
	void (*told)(void *who, const struct link_message *);
	/* The core ended, or said what it must not.  why: static. */
	void (*gone)(void *who, const char *why);
	void *who;
};

struct core_client *core_client_new(const struct core_client_options *); /* NULL: see errno */
void core_client_free(struct core_client *);				 /* NULL is allowed */

/* An ANSWER or ENTRIES; NULL: there will be none, the client is being freed. */
typedef void core_answer_fn(void *arg, const struct link_message *);

/* answer() is called once, later; the ticket is set here.  False: too many calls, or no memory. */
bool core_client_call(struct core_client *, const struct link_call *, core_answer_fn *answer,
		      void *arg);
void core_client_say_ready(struct core_client *);
/* False: not now. */
bool core_client_say_stats(struct core_client *, const struct link_stats *);

#endif
