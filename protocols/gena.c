/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Subscriptions, when their events are due, and the NOTIFYs.  Clauses are of the UPnP Device
 * Architecture 1.1. */
#include "gena.h"

#include "xml_text.h"

enum { HTTP_PORT = 80, FIRST_USER_PORT = 1024, STATUS_SIZE = 12 /* "HTTP/1.1 200" */ };

void
gena_init(struct gena_table *t, struct gena_subscription *place, unsigned places,
	  const struct gena_options *options)
{
	*t = (struct gena_table){.place = place, .places = places, .options = *options};
	/* Memory that was never written to need not be there. */
	for (unsigned i = 0; i < places; i++)
		if (place[i].id)
			place[i].id = 0;
}

static void
sweep(struct gena_table *t, monotime now)
{
	for (unsigned i = 0; i < t->places; i++)
		if (t->place[i].id && t->place[i].ends <= now)
			t->place[i].id = 0;
}

static struct gena_subscription *
find_id(struct gena_table *t, uint32_t id)
{
	for (unsigned i = 0; i < t->places; i++)
		if (id && t->place[i].id == id)
			return &t->place[i];
	return NULL;
}

/* An SID is good at the event URL of its own service alone. */
static struct gena_subscription *
find_sid(struct gena_table *t, const struct gena_request *r)
{
	struct text sid = text_trim(text_of(r->sid));

	for (unsigned i = 0; i < t->places; i++) {
		struct gena_subscription *s = &t->place[i];

		if (s->id && !s->leaving && s->service == r->service && text_equal(sid, s->sid))
			return s;
	}
	return NULL;
}

/* NULL: the table is full, or this client has its share of it, or its IPv6 network has half. */
static struct gena_subscription *
find_place(struct gena_table *t, const struct address *client)
{
	struct gena_subscription *found = NULL;
	unsigned own = 0, neighbours = 0;

	for (unsigned i = 0; i < t->places; i++) {
		struct gena_subscription *s = &t->place[i];

		if (s->id == 0) {
			found = s;
			continue;
		}
		own += address_equal(&s->client, client);
		neighbours += address_same_network(&s->client, client);
	}
	if ((t->options.per_client && own >= t->options.per_client) ||
	    (!address_is_ipv4(client) && neighbours >= (t->places + 1) / 2))
		return NULL;
	return found;
}

static uint32_t
unused_id(struct gena_table *t)
{
	do
		t->last_id++;
	while (t->last_id == 0 || find_id(t, t->last_id));
	return t->last_id;
}

/* An event must reach nobody but its subscriber (CVE-2020-12695): no names, no other address. */
static bool
is_clients(struct text host, bool bracketed, const struct address *client)
{
	char copy[ADDRESS_TEXT_SIZE];
	struct address a;

	if (host.size >= sizeof(copy) || bracketed != (text_before(host, ':') < host.size))
		return false;
	memcpy(copy, host.at, host.size);
	copy[host.size] = '\0';
	return address_parse(copy, &a) && address_equal(&a, client);
}

static bool
parse_authority(struct text authority, const struct address *client, uint16_t *port)
{
	bool bracketed = authority.size && authority.at[0] == '[';
	uint32_t number = HTTP_PORT;
	struct text host;

	if (bracketed) {
		text_take(&authority, 1);
		host = text_take(&authority, text_before(authority, ']'));
		if (authority.size == 0)
			return false;
		text_take(&authority, 1);
	} else {
		host = text_take(&authority, text_before(authority, ':'));
	}
	if (authority.size) {
		if (text_take(&authority, 1).at[0] != ':' ||
		    !text_number(authority, UINT16_MAX + 1, &number))
			return false;
	}
	if (number > UINT16_MAX || (number < FIRST_USER_PORT && number != HTTP_PORT))
		return false;
	*port = (uint16_t)number;
	return is_clients(host, bracketed, client);
}

/* It becomes part of a request line: no blanks, no line ends. */
static bool
is_path(struct text path)
{
	for (size_t i = 0; i < path.size; i++)
		if (path.at[i] <= ' ' || path.at[i] > '~' || strchr("<>\"#", path.at[i]))
			return false;
	return true;
}

static bool
parse_url(struct text url, const struct address *client, uint16_t *port, struct text *path)
{
	struct text authority;

	if (!text_take_prefix(&url, "http://"))
		return false;
	authority = text_take(&url, text_before(url, '/'));
	*path = url.size ? url : text_of("/");
	return parse_authority(authority, client, port) && is_path(url);
}

/* False: there is no room for it. */
static bool
add_url(struct gena_subscription *s, uint16_t port, struct text path, size_t *used)
{
	if (s->urls == GENA_URLS_MAX || path.size >= sizeof(s->paths) - *used)
		return false;
	s->to[s->urls++] = (struct gena_url){port, (uint16_t)*used};
	memcpy(s->paths + *used, path.at, path.size);
	s->paths[*used + path.size] = '\0';
	*used += path.size + 1;
	return true;
}

/* 4.1.2: "<url><url>…".  What we would not send to is passed over; the rest is kept whole or not at
 * all. */
static bool
parse_callback(struct text in, struct gena_subscription *s)
{
	size_t used = 0, end;

	for (text_take(&in, text_before(in, '<')); (end = text_before(in, '>')) < in.size;
	     text_take(&in, text_before(in, '<'))) {
		struct text url = text_take(&in, end), path;
		uint16_t port;

		text_take(&url, 1);
		if (parse_url(url, &s->client, &port, &path) && !add_url(s, port, path, &used))
			return false;
	}
	return s->urls > 0;
}

/* 4.1.1: "Second-N"; what is not understood, "infinite" too, is as if it was not there. */
static uint32_t
granted_timeout(const char *header)
{
	uint32_t seconds = GENA_TIMEOUT_MIN;
	struct text t;

	if (header) {
		t = text_trim(text_of(header));
		if (text_take_prefix(&t, "Second-"))
			text_number(t, GENA_TIMEOUT_MAX, &seconds);
	}
	return seconds < GENA_TIMEOUT_MIN ? GENA_TIMEOUT_MIN : seconds;
}

static void
grant(struct gena_subscription *s, const struct gena_request *r, monotime now,
      struct gena_grant *out)
{
	*out = (struct gena_grant){.timeout = granted_timeout(r->timeout)};
	memcpy(out->sid, s->sid, sizeof(out->sid));
	s->ends = now + out->timeout * MONOTIME_SECOND;
}

/* A random UUID (RFC 4122 4.4). */
static void
print_sid(const uint8_t random[GENA_RANDOM_SIZE], char sid[GENA_SID_SIZE])
{
	char *at = sid + sprintf(sid, "uuid:");

	for (int i = 0; i < GENA_RANDOM_SIZE; i++) {
		uint8_t octet = random[i];

		if (i == 6)
			octet = (uint8_t)((octet & 0x0f) | 0x40);
		if (i == 8)
			octet = (uint8_t)((octet & 0x3f) | 0x80);
		at += sprintf(at, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", octet);
	}
}

static enum gena_status
subscribe_anew(struct gena_table *t, const struct gena_request *r,
	       const uint8_t random[GENA_RANDOM_SIZE], struct gena_subscription **out)
{
	struct gena_subscription *place;
	struct gena_subscription new = {
	    .service = r->service,
	    .held = true,
	    .client = r->client,
	    .changed = GENA_ALL_VARIABLES,
	    .due = MONOTIME_NEVER,
	};

	if (!r->nt || !text_equal(text_trim(text_of(r->nt)), "upnp:event"))
		return GENA_PRECONDITION_FAILED;
	if (!r->callback || !parse_callback(text_of(r->callback), &new))
		return GENA_PRECONDITION_FAILED;
	place = find_place(t, &r->client);
	if (!place)
		return GENA_UNAVAILABLE;
	new.id = unused_id(t);
	print_sid(random, new.sid);
	*place = new;
	*out = place;
	return GENA_OK;
}

/* What a renewal or an UNSUBSCRIBE means; it has an SID and nothing of a new subscription. */
static enum gena_status
find_existing(struct gena_table *t, const struct gena_request *r, struct gena_subscription **out)
{
	if (r->nt || r->callback)
		return GENA_BAD_REQUEST;
	*out = find_sid(t, r);
	return *out ? GENA_OK : GENA_PRECONDITION_FAILED;
}

enum gena_status
gena_subscribe(struct gena_table *t, const struct gena_request *r,
	       const uint8_t random[GENA_RANDOM_SIZE], monotime now, struct gena_grant *out)
{
	struct gena_subscription *s;
	enum gena_status status;

	sweep(t, now);
	status = r->sid ? find_existing(t, r, &s) : subscribe_anew(t, r, random, &s);
	if (status != GENA_OK)
		return status;
	grant(s, r, now, out);
	if (!r->sid)
		out->id = s->id;
	return GENA_OK;
}

enum gena_status
gena_unsubscribe(struct gena_table *t, const struct gena_request *r, monotime now)
{
	struct gena_subscription *s;
	enum gena_status status;

	sweep(t, now);
	if (!r->sid)
		return GENA_PRECONDITION_FAILED;
	status = find_existing(t, r, &s);
	if (status != GENA_OK)
		return status;
	/* 4.1: the first event is sent even so.  While one is under way its place is taken: else
	 * who comes and goes would have any number of them. */
	s->leaving = true;
	if (s->greeted && !s->in_flight)
		s->id = 0;
	return GENA_OK;
}

void
gena_confirm(struct gena_table *t, uint32_t id, monotime now)
{
	struct gena_subscription *s = find_id(t, id);

	if (s && s->held) {
		s->held = false;
		s->due = now;
	}
}

void
gena_changed(struct gena_table *t, uint8_t service, uint32_t variables, monotime now)
{
	for (unsigned i = 0; i < t->places; i++) {
		struct gena_subscription *s = &t->place[i];

		if (!s->id || s->service != service || !variables)
			continue;
		s->changed |= variables;
		if (s->due == MONOTIME_NEVER)
			s->due = now + GENA_MODERATION;
	}
}

static bool
may_begin(const struct gena_subscription *s)
{
	return s->id && !s->held && !s->in_flight;
}

static void
describe(const struct gena_subscription *s, struct gena_delivery *out)
{
	*out = (struct gena_delivery){
	    .id = s->id,
	    .to = {s->client, s->to[s->url].port},
	    .path = s->paths + s->to[s->url].path,
	    .sid = s->sid,
	    .service = s->service,
	    .seq = s->seq_in_flight,
	    .variables = s->in_flight,
	};
}

bool
gena_next(struct gena_table *t, monotime now, struct gena_delivery *out)
{
	struct gena_subscription *first = NULL;

	sweep(t, now);
	for (unsigned i = 0; i < t->places; i++) {
		struct gena_subscription *s = &t->place[i];

		if (may_begin(s) && s->due <= now && (!first || s->due < first->due))
			first = s;
	}
	if (!first)
		return false;
	first->in_flight = first->changed;
	first->changed = 0;
	first->due = MONOTIME_NEVER;
	first->url = 0;
	first->seq_in_flight = first->seq;
	first->seq = first->seq == UINT32_MAX ? 1 : first->seq + 1; /* 4.3: 0 is the first alone */
	describe(first, out);
	return true;
}

monotime
gena_wake(const struct gena_table *t)
{
	monotime wake = MONOTIME_NEVER;

	for (unsigned i = 0; i < t->places; i++) {
		const struct gena_subscription *s = &t->place[i];

		if (may_begin(s) && s->due < wake)
			wake = s->due;
	}
	return wake;
}

/* The variables of a lost event join the next one, so that the last values are right by then. */
static void
lose(struct gena_table *t, struct gena_subscription *s)
{
	s->changed |= s->in_flight;
	s->failures++;
	if (t->options.failures && s->failures >= t->options.failures)
		s->id = 0;
}

bool
gena_finish(struct gena_table *t, uint32_t id, enum gena_outcome outcome,
	    struct gena_delivery *again)
{
	struct gena_subscription *s = find_id(t, id);

	if (!s || !s->in_flight)
		return false;
	if (outcome == GENA_FAILED && s->url + 1 < s->urls && !(s->leaving && s->greeted)) {
		s->url++;
		describe(s, again);
		return true;
	}
	if (outcome == GENA_FAILED)
		lose(t, s);
	else
		s->failures = 0;
	s->in_flight = 0;
	s->greeted = true;
	if (outcome == GENA_GONE || s->leaving)
		s->id = 0;
	return false;
}

static void
put_body(struct wire_writer *w, const struct gena_delivery *d,
	 const struct gena_variable *variables, unsigned count)
{
	text_put(w, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
		    "<e:propertyset xmlns:e=\"urn:schemas-upnp-org:event-1-0\">\n");
	for (unsigned i = 0; i < count; i++) {
		const struct gena_variable *v = &variables[i];

		if (!(d->variables & UINT32_C(1) << i))
			continue;
		text_put(w, "<e:property><");
		text_put(w, v->name);
		text_put(w, ">");
		xml_put_text(w, v->value);
		text_put(w, "</");
		text_put(w, v->name);
		text_put(w, "></e:property>\n");
	}
	text_put(w, "</e:propertyset>\n");
}

static void
put_head(struct wire_writer *w, const struct gena_delivery *d, size_t length)
{
	char host[ADDRESS_TEXT_SIZE];
	bool bracketed = !address_is_ipv4(&d->to.address);

	text_put(w, "NOTIFY ");
	text_put(w, d->path);
	text_put(w, bracketed ? " HTTP/1.1\r\nHOST: [" : " HTTP/1.1\r\nHOST: ");
	text_put(w, address_print(&d->to.address, host));
	text_put(w, bracketed ? "]:" : ":");
	text_put_number(w, d->to.port);
	text_put(w, "\r\nCONTENT-TYPE: text/xml; charset=\"utf-8\"\r\nCONTENT-LENGTH: ");
	text_put_number(w, (uint32_t)length);
	text_put(w, "\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\nSID: ");
	text_put(w, d->sid);
	text_put(w, "\r\nSEQ: ");
	text_put_number(w, d->seq);
	text_put(w, "\r\nCONNECTION: close\r\n\r\n");
}

size_t
gena_encode(const struct gena_delivery *d, const struct gena_variable *variables, unsigned count,
	    void *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);
	size_t length;

	/* The head says how long the body is, so that is written twice. */
	put_body(&w, d, variables, count);
	length = w.at;
	w.at = 0;
	put_head(&w, d, length);
	put_body(&w, d, variables, count);
	return w.failed ? 0 : w.at;
}

bool
gena_decode_answer(const void *bytes, size_t size, enum gena_outcome *out)
{
	struct text in = {bytes, size};
	uint32_t status = 0;

	if (size < STATUS_SIZE)
		return false;
	*out = GENA_FAILED;
	if (!text_take_prefix(&in, "HTTP/1.") || (text_take(&in, 2).at[1] != ' '))
		return true;
	in.size = 3;
	if (!text_number(in, UINT16_MAX, &status))
		return true;
	if (status / 100 == 2)
		*out = GENA_DELIVERED;
	else if (status == GENA_PRECONDITION_FAILED)
		*out = GENA_GONE;
	return true;
}
