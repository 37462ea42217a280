/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clauses are of RFC 9112. */
#include "http_head.h"

/* 5.1: with a blank before its colon the library does not know its own headers.  (Of a folded line
 * it makes another name: such a header is not there.) */
static bool
is_token(struct text name)
{
	for (size_t i = 0; i < name.size; i++)
		if (name.at[i] <= ' ' || name.at[i] > '~' ||
		    strchr("\"(),/:;<=>?@[\\]{}", name.at[i]))
			return false;
	return name.size > 0;
}

static void
add_length(struct http_head *h, struct text value)
{
	uint32_t length;

	/* 6.3: the same one twice would do no harm, but nobody sends that. */
	if (h->has_length || !text_number(value, UINT32_MAX, &length)) {
		h->bad = true;
		return;
	}
	h->has_length = true;
	h->length = length;
}

void
http_head_add(struct http_head *h, struct text name, struct text value)
{
	value = text_trim(value);
	if (!is_token(name) || text_before(value, '\0') != value.size)
		h->bad = true;
	else if (text_equal_any_case(name, "Host"))
		h->host = h->hosts++ ? h->host : value;
	else if (text_equal_any_case(name, "Origin"))
		h->has_origin = true;
	else if (text_equal_any_case(name, "Content-Length"))
		add_length(h, value);
	else if (text_equal_any_case(name, "Transfer-Encoding"))
		*(text_equal_any_case(value, "chunked") && !h->chunked ? &h->chunked
								       : &h->other_coding) = true;
}

unsigned
http_head_judge(const struct http_head *h)
{
	bool coded = h->chunked || h->other_coding;

	if (h->bad || h->hosts > 1 || (h->is_1_1 && h->hosts == 0))
		return 400;
	/* 6.3: two ways to tell where it ends are two ways to smuggle. */
	if (coded && (h->has_length || !h->is_1_1))
		return 400;
	if (h->other_coding)
		return 501;
	/* No page from anywhere has business here. */
	if (h->has_origin)
		return 403;
	if (h->has_body && !coded && !h->has_length)
		return 411;
	if (h->has_length && h->length > HTTP_BODY_MAX)
		return 413;
	return 0;
}

bool
http_parse_authority(struct text t, struct address *address, uint16_t *port)
{
	bool bracketed = t.size && t.at[0] == '[';
	char copy[ADDRESS_TEXT_SIZE];
	uint32_t number = 0;
	struct text host;

	if (bracketed) {
		text_take(&t, 1);
		host = text_take(&t, text_before(t, ']'));
		if (t.size == 0)
			return false;
		text_take(&t, 1);
		host.size = text_before(host, '%'); /* a zone, which is the client's own */
	} else {
		host = text_take(&t, text_before(t, ':'));
	}
	if (t.size && (!text_take_prefix(&t, ":") || !text_number(t, UINT16_MAX + 1, &number) ||
		       number == 0 || number > UINT16_MAX))
		return false;
	if (host.size >= sizeof(copy) || bracketed != (text_before(host, ':') < host.size))
		return false;
	memcpy(copy, host.at, host.size);
	copy[host.size] = '\0';
	*port = (uint16_t)number;
	return address_parse(copy, address);
}

bool
http_split_target(struct text *target, struct text *authority)
{
	if (!text_take_prefix(target, "http://"))
		return false;
	*authority = text_take(target, text_before(*target, '/'));
	return true;
}
