/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Searches, replies and announcements.  Clauses are of the UPnP Device Architecture 1.1. */
#include "ssdp.h"

enum { FIRST_USER_PORT = 1024, MX_MAX = 5, BURST_SECONDS = 2 };

#define MICROSECONDS_PER_SECOND INT64_C(1000000)

/* Headers of a search that matter; .at is NULL if absent. */
struct headers {
	struct text st, man, mx;
};

static struct text *
find_header(struct headers *h, struct text name)
{
	if (text_equal_any_case(name, "ST"))
		return &h->st;
	if (text_equal_any_case(name, "MAN"))
		return &h->man;
	if (text_equal_any_case(name, "MX"))
		return &h->mx;
	return NULL;
}

/* False: the line did not end in CRLF. */
static bool
take_line(struct text *in, struct text *line)
{
	bool ends = text_before(*in, '\n') < in->size, crlf;

	*line = text_take(in, text_before(*in, '\n'));
	if (ends)
		text_take(in, 1);
	crlf = line->size > 0 && line->at[line->size - 1] == '\r';
	if (crlf)
		line->size--;
	return crlf && ends;
}

static bool
parse_header(struct text line, struct headers *h)
{
	size_t colon = text_before(line, ':');
	struct text *value;

	/* A folded line is not worth guessing at. */
	if (colon == line.size || text_is_blank(line.at[0]))
		return false;
	value = find_header(h, text_trim(text_take(&line, colon)));
	if (!value)
		return true;
	if (value->at)
		return false;
	text_take(&line, 1);
	*value = text_trim(line);
	return true;
}

/* What follows the empty line is nobody's business. */
static bool
parse_headers(struct text in, bool strict, struct headers *h)
{
	struct text line;

	if (!take_line(&in, &line) && strict)
		return false;
	line = text_trim(line);
	if (!text_equal(line, "M-SEARCH * HTTP/1.1") &&
	    (strict || !text_equal(line, "M-SEARCH * HTTP/1.0")))
		return false;
	for (;;) {
		if (!take_line(&in, &line) && strict)
			return false;
		if (line.size == 0)
			return true;
		if (!parse_header(line, h))
			return false;
	}
}

/* 1.3.2; the quotes belong to the value. */
static bool
man_is_right(struct text man, bool strict)
{
	if (!man.at)
		return !strict;
	return text_equal(man, "\"ssdp:discover\"") ||
	       (!strict && text_equal(man, "ssdp:discover"));
}

bool
ssdp_decode(const struct datagram *datagram, unsigned how, struct ssdp_search *out)
{
	struct text in = {(const char *)datagram->bytes, datagram->kept};
	bool strict = how & SSDP_STRICT, multicast = how & SSDP_MULTICAST;
	uint16_t port = datagram->source_port;
	struct headers h = {0};
	uint32_t mx = 0;

	if (datagram->kept < datagram->size || datagram->size > SSDP_SEARCH_MAX)
		return false;
	/* No control point searches from a well-known port: a forged source wants it to be hit. */
	if (port < FIRST_USER_PORT)
		return false;
	if (!parse_headers(in, strict, &h) || !h.st.at || !man_is_right(h.man, strict))
		return false;
	if (h.mx.at ? !text_number(h.mx, MX_MAX, &mx) || mx == 0 : multicast && strict)
		return false;
	*out = (struct ssdp_search){{datagram->source, port}, multicast, h.st};
	return true;
}

/* A type that both views have in the same version belongs to the first: a USN has one LOCATION. */
static bool
is_announced(const struct ssdp_device *device, const struct ssdp_type *type, enum ssdp_view view)
{
	if (!device->serves[view] || type->version[view] == 0)
		return false;
	return view == SSDP_VIEW_1 || !device->serves[SSDP_VIEW_1] ||
	       type->version[view] != type->version[SSDP_VIEW_1];
}

static struct ssdp_entry
type_entry(const struct ssdp_device *device, const struct ssdp_type *type, enum ssdp_view view)
{
	return (struct ssdp_entry){
	    .udn = device->udn[type->device],
	    .prefix =
		type->service ? "urn:schemas-upnp-org:service:" : "urn:schemas-upnp-org:device:",
	    .name = type->name,
	    .version = type->version[view],
	    .view = view,
	};
}

unsigned
ssdp_entries(const struct ssdp_device *device, struct ssdp_entry out[SSDP_ENTRIES_MAX])
{
	enum ssdp_view first = device->serves[SSDP_VIEW_1] ? SSDP_VIEW_1 : SSDP_VIEW_2;
	unsigned count = 0;

	out[count++] = (struct ssdp_entry){device->udn[0], "upnp:", "rootdevice", 0, first};
	for (int i = 0; i < SSDP_DEVICES; i++)
		out[count++] = (struct ssdp_entry){.udn = device->udn[i], .view = first};
	for (int v = 0; v < SSDP_VIEWS; v++)
		for (unsigned i = 0; i < device->type_count; i++)
			if (is_announced(device, &device->types[i], (enum ssdp_view)v))
				out[count++] =
				    type_entry(device, &device->types[i], (enum ssdp_view)v);
	return count;
}

/* Splits "urn:…:V"; a version of 0, without digits or with leading zeros is nobody's. */
static bool
parse_type(struct text target, struct text *name, uint32_t *version)
{
	size_t colon = target.size;

	while (colon > 0 && target.at[colon - 1] != ':')
		colon--;
	if (colon == 0 || colon == target.size || target.at[colon] == '0')
		return false;
	*name = text_take(&target, colon);
	name->size--;
	return text_number(target, UINT8_MAX + 1, version);
}

static bool
is_name(struct text t, const struct ssdp_entry *entry)
{
	size_t n;

	if (!entry->name)
		return text_equal(t, entry->udn);
	n = strlen(entry->prefix);
	return t.size > n && text_equal(text_take(&t, n), entry->prefix) &&
	       text_equal(t, entry->name);
}

/* 1.3.2: a device also is what its lower versions are, and answers in the version asked for. */
static bool
matches(struct text target, struct ssdp_entry *entry)
{
	uint32_t version;

	if (entry->version == 0)
		return is_name(target, entry);
	if (!parse_type(target, &target, &version) || version > entry->version ||
	    !is_name(target, entry))
		return false;
	entry->version = (uint8_t)version;
	return true;
}

unsigned
ssdp_match(const struct ssdp_device *device, const struct ssdp_search *search,
	   struct ssdp_entry out[SSDP_ENTRIES_MAX])
{
	unsigned count = ssdp_entries(device, out);

	if (text_equal(search->target, "ssdp:all"))
		return count;
	/* In the order of the set, the first view that will do is the one of this version. */
	for (unsigned i = 0; i < count; i++)
		if (matches(search->target, &out[i])) {
			out[0] = out[i];
			return 1;
		}
	return 0;
}

monotime
ssdp_delay(const struct ssdp_search *search, uint32_t random)
{
	return search->multicast ? random % (SSDP_DELAY_MAX + 1) : 0;
}

static void
put_target(struct wire_writer *w, const struct ssdp_entry *entry)
{
	if (entry->name) {
		text_put(w, entry->prefix);
		text_put(w, entry->name);
	} else {
		text_put(w, entry->udn);
	}
	if (entry->version) {
		text_put(w, ":");
		text_put_number(w, entry->version);
	}
	text_put(w, "\r\n");
}

static void
put_usn(struct wire_writer *w, const struct ssdp_entry *entry)
{
	text_put(w, "USN: ");
	if (entry->name) {
		text_put(w, entry->udn);
		text_put(w, "::");
	}
	put_target(w, entry);
}

static void
put_line(struct wire_writer *w, const char *name, const char *value)
{
	text_put(w, name);
	text_put(w, value);
	text_put(w, "\r\n");
}

static void
put_number(struct wire_writer *w, const char *name, uint32_t value)
{
	text_put(w, name);
	text_put_number(w, value);
	text_put(w, "\r\n");
}

/* No DATE in replies: they are to fit into the small buffers of small clients. */
static void
put_head(struct wire_writer *w, const struct ssdp_message *m)
{
	static const char *const hosts[SSDP_GROUPS] = {
	    [SSDP_IPV4] = "239.255.255.250:1900",
	    [SSDP_IPV6_LINK] = "[FF02::C]:1900",
	    [SSDP_IPV6_SITE] = "[FF05::C]:1900",
	};

	if (m->kind == SSDP_REPLY) {
		text_put(w, "HTTP/1.1 200 OK\r\n");
	} else {
		text_put(w, "NOTIFY * HTTP/1.1\r\n");
		put_line(w, "HOST: ", hosts[m->sender->group]);
	}
}

size_t
ssdp_encode(const struct ssdp_message *m, const struct ssdp_entry *entry, void *out, size_t size)
{
	static const char *const subtypes[] = {
	    [SSDP_ALIVE] = "ssdp:alive",
	    [SSDP_BYEBYE] = "ssdp:byebye",
	    [SSDP_UPDATE] = "ssdp:update",
	};
	const struct ssdp_device *device = m->device;
	struct wire_writer w = wire_writer(out, size);
	bool reply = m->kind == SSDP_REPLY, present = reply || m->kind == SSDP_ALIVE;

	put_head(&w, m);
	if (present)
		put_number(&w, "CACHE-CONTROL: max-age=", device->max_age);
	if (reply)
		text_put(&w, "EXT:\r\n");
	if (m->kind != SSDP_BYEBYE)
		put_line(&w, "LOCATION: ", m->sender->location[entry->view]);
	if (present)
		put_line(&w, "SERVER: ", device->server);
	text_put(&w, reply ? "ST: " : "NT: ");
	put_target(&w, entry);
	if (!reply)
		put_line(&w, "NTS: ", subtypes[m->kind]);
	put_usn(&w, entry);
	if (m->sender->group != SSDP_IPV4) { /* annex A */
		text_put(&w, "OPT: \"http://schemas.upnp.org/upnp/1/0/\"; ns=01\r\n");
		put_number(&w, "01-NLS: ", device->boot_id);
	}
	put_number(&w, "BOOTID.UPNP.ORG: ", device->boot_id);
	if (m->kind == SSDP_UPDATE)
		put_number(&w, "NEXTBOOTID.UPNP.ORG: ", m->next_boot_id);
	put_number(&w, "CONFIGID.UPNP.ORG: ", device->config_id);
	text_put(&w, "\r\n");
	return w.failed ? 0 : w.at;
}

static int64_t
token_cost(uint32_t per_second)
{
	return per_second ? MICROSECONDS_PER_SECOND / per_second : 0;
}

void
ssdp_limit_init(struct ssdp_limit *limit, uint32_t per_source, uint32_t in_all)
{
	*limit =
	    (struct ssdp_limit){.cost = token_cost(per_source), .cost_in_all = token_cost(in_all)};
}

static bool
has_token(struct ssdp_bucket *b, int64_t cost, int64_t now)
{
	if (b->full < now)
		b->full = now;
	return cost == 0 || b->full + cost <= now + BURST_SECONDS * MICROSECONDS_PER_SECOND;
}

/* The source's bucket, or the one nearest to full, which has least to forget. */
static struct ssdp_bucket *
find_bucket(struct ssdp_limit *limit, const struct address *source)
{
	struct ssdp_bucket *fullest = limit->source;

	for (int i = 0; i < SSDP_SOURCES; i++) {
		struct ssdp_bucket *b = &limit->source[i];

		if (address_equal(&b->source, source))
			return b;
		if (b->full < fullest->full)
			fullest = b;
	}
	*fullest = (struct ssdp_bucket){.source = *source};
	return fullest;
}

/* FNV-1a: a clash costs a client one of its own searches, which it repeats. */
static uint32_t
hash(struct text t)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < t.size; i++)
		h = (h ^ (uint8_t)t.at[i]) * 16777619u;
	return h;
}

/* A search by unicast is no repetition of one by multicast: its reply does not wait. */
static bool
is_repeated(const struct ssdp_recent *recent, const struct ssdp_recent *new, monotime now)
{
	return recent->until > now && recent->target == new->target &&
	       recent->multicast == new->multicast &&
	       recent->from.port ==
		   new->from.port &&address_equal(&recent->from.address, &new->from.address);
}

bool
ssdp_admit(struct ssdp_limit *limit, const struct ssdp_search *search, monotime now)
{
	int64_t microseconds = now * (MICROSECONDS_PER_SECOND / MONOTIME_SECOND);
	struct ssdp_recent new = {search->from, search->multicast, hash(search->target),
				  now + SSDP_DELAY_MAX};
	struct ssdp_bucket *bucket;

	for (int i = 0; i < SSDP_RECENT; i++)
		if (is_repeated(&limit->recent[i], &new, now))
			return false;
	bucket = find_bucket(limit, &search->from.address);
	if (!has_token(bucket, limit->cost, microseconds) ||
	    !has_token(&limit->in_all, limit->cost_in_all, microseconds))
		return false;
	bucket->full += limit->cost;
	limit->in_all.full += limit->cost_in_all;
	limit->recent[limit->oldest++ % SSDP_RECENT] = new;
	return true;
}
