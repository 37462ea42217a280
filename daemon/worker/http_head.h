/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must be refused of the head of an HTTP request although the library takes it.  Pure. */
#ifndef PORTLEASE_HTTP_HEAD_H
#define PORTLEASE_HTTP_HEAD_H

#include "../../protocols/address.h"
#include "../../protocols/text.h"

enum {
	HTTP_BODY_MAX = 16384, /* parsing may cost its square */
};

struct http_head {
	bool is_1_1;
	bool has_body; /* its method is one that sends something */
	/* of the headers: */
	bool bad;
	bool has_origin;
	unsigned hosts;
	struct text host;
	bool has_length, chunked, other_coding;
	uint32_t length;
};

/* One header, in the octets of the request, which must stay until the end. */
void http_head_add(struct http_head *, struct text name, struct text value);

/* Why not to look at it any further, as an HTTP status; 0: nothing. */
unsigned http_head_judge(const struct http_head *);

/* "LITERAL" or "LITERAL:PORT", IPv6 in brackets.  Port 0: none is named.  False: neither of them.
 */
bool http_parse_authority(struct text, struct address *, uint16_t *port);

/* Takes "http://AUTHORITY" off a request's target; false: it has none. */
bool http_split_target(struct text *target, struct text *authority);

#endif
