/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP on one interface: who may connect and how long, which requests are looked at, and answers
 * now or later.  Knows no path and nothing of UPnP.
 */
#ifndef PORTLEASE_HTTP_SERVER_H
#define PORTLEASE_HTTP_SERVER_H

#include "../../protocols/mapping.h"

struct event_base;
struct http_server;
struct http_exchange;

enum http_count {
	HTTP_OPEN,
	HTTP_ACCEPTED,
	HTTP_SURPLUS,
	HTTP_REQUESTS,
	HTTP_LIMITED,
	HTTP_REFUSED,
	HTTP_COUNTS
};

struct http_options {
	struct event_base *base;
	uint16_t port;
	unsigned connections_per_client, connections; /* at least 1 */
	uint32_t requests_per_second;		      /* of one client; 0: no limit */
	/* For a request to arrive, idling before it included; for its answer to be made and read.
	 */
	monotime request_time, answer_time;
	const char *server; /* the header of that name */
	/* Is it one of the addresses we may be called by? */
	bool (*is_ours)(void *who, const struct address *);
	/* May this one connect? */
	bool (*is_client)(void *who, const struct address *);
	/* Answers it before it returns, or some time later. */
	void (*handle)(void *who, struct http_exchange *);
	void *who;
};

struct http_server *http_server_new(const struct http_options *); /* NULL: see errno */
/* No handler is called any more; what is unanswered stays so. */
void http_server_free(struct http_server *); /* NULL is allowed */

/*
 * Listens on this interface alone, all its addresses; index 0: nowhere.  Connections stay.  Returns
 * 0 or -errno.
 */
int http_server_listen(struct http_server *, const char *interface, unsigned index);
const uint64_t *http_server_counts(const struct http_server *); /* HTTP_COUNTS of them */

struct http_request {
	const char *method;
	const char *path; /* without authority and query */
	struct address client;
	const char *body; /* not ended by a NUL */
	size_t body_size;
};
const struct http_request *http_request(const struct http_exchange *);
/* NULL: no such header.  Blanks at its end are kept.  Only until handle() returns. */
const char *http_header(const struct http_exchange *, const char *name);

struct http_field {
	const char *name, *value;
};

struct http_answer {
	unsigned status;
	const struct http_field *fields; /* ends with a NULL name; NULL: none */
	const char *type;		 /* of the content; NULL: there is none */
	const void *body;
	size_t size;
	bool take_body; /* it is malloc's, and the server's from here on */
	/* The answer has left, or never will; NULL: nobody wants to know. */
	void (*sent)(void *who, uint32_t what);
	void *who;
	uint32_t what;
};

/* Once for each exchange, which is not to be touched afterwards. */
void http_answer(struct http_exchange *, const struct http_answer *);
void http_answer_status(struct http_exchange *, unsigned status);

#endif
