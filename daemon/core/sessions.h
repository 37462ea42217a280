/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The live connections of each mapping, for the admin: one reading of the kernel's flows, in
 * pieces, shared by all who ask at about the same time.
 */
#ifndef PORTLEASE_SESSIONS_H
#define PORTLEASE_SESSIONS_H

#include "lease_table.h"
#include "../../backend/flows.h"

struct sessions;
struct session_list;

struct session {
	uint64_t lease; /* its id */
	bool outbound;	/* the internal endpoint began it */
	enum transport transport;
	uint16_t port; /* the external one */
	uint16_t last; /* and the lease's last */
	struct endpoint remote;
	enum flow_state state;
	uint32_t timeout; /* seconds until it is forgotten, if nothing more comes */
	uint32_t next;	  /* the list's own */
};

/* Both borrowed; the flows are read by nobody else.  NULL: out of memory. */
struct sessions *sessions_new(const struct lease_table *, struct flows *);
void sessions_free(struct sessions *); /* all lists are released; NULL is allowed */

/* Those of now, to be read; or the list that another began to ask for within this second.  NULL:
 * out of memory. */
struct session_list *sessions_ask(struct sessions *, monotime now);
void sessions_release(struct sessions *, struct session_list *);

enum session_reading { SESSIONS_READING, SESSIONS_READY, SESSIONS_FAILED };
/* Reads a piece more, if it is not all there. */
enum session_reading sessions_read(struct sessions *, struct session_list *);

/* Of one that is ready; NULL: no more. */
const struct session *session_first(const struct session_list *, const struct lease *);
const struct session *session_next(const struct session_list *, const struct session *);
size_t session_count(const struct session_list *, const struct lease *);
/* As conntrack(8) calls it, in lower case.  A static string. */
const char *session_state_name(enum flow_state);

#endif
