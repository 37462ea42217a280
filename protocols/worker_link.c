/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A message is its version, its type, two octets of zero and a body.  One function a layout both
 * writes and reads it, so that the two cannot differ.
 */
#include "worker_link.h"

#include "wire.h"
#include "xml_text.h"

/* To be raised with any change of a layout: a worker that was left from another release is refused.
 */
enum { LAYOUT = 1, HEADER_SIZE = 4 };

/* What goes over the bytes of a message: one of the two. */
struct pass {
	struct wire_reader *in;
	struct wire_writer *out;
	bool bad; /* read what cannot be */
};

static uint32_t
pass_number(struct pass *p, uint32_t v, unsigned octets)
{
	uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	if (p->out) {
		wire_put(p->out, bytes + 4 - octets, octets);
		return v;
	}
	return octets == 1 ? wire_u8(p->in) : octets == 2 ? wire_u16(p->in) : wire_u32(p->in);
}

static void
pass_u8(struct pass *p, uint8_t *v)
{
	*v = (uint8_t)pass_number(p, *v, 1);
}

static void
pass_u16(struct pass *p, uint16_t *v)
{
	*v = (uint16_t)pass_number(p, *v, 2);
}

static void
pass_u32(struct pass *p, uint32_t *v)
{
	*v = pass_number(p, *v, 4);
}

static void
pass_u64(struct pass *p, uint64_t *v)
{
	uint32_t high = pass_number(p, (uint32_t)(*v >> 32), 4);

	*v = (uint64_t)high << 32 | pass_number(p, (uint32_t)*v, 4);
}

static void
pass_bool(struct pass *p, bool *v)
{
	uint32_t n = pass_number(p, *v, 1);

	p->bad |= n > 1;
	*v = n == 1;
}

static void
pass_time(struct pass *p, monotime *v)
{
	uint64_t n = (uint64_t)*v;

	pass_u64(p, &n);
	p->bad |= n > INT64_MAX;
	*v = (monotime)n;
}

static void
pass_address(struct pass *p, struct address *a)
{
	if (p->out)
		wire_put(p->out, a->bytes, sizeof(a->bytes));
	else
		wire_copy(p->in, a->bytes, sizeof(a->bytes));
}

/* Nothing after the NUL, which must be there, ever leaves this process. */
static void
pass_text(struct pass *p, char *text, size_t size)
{
	size_t length;

	if (p->out) {
		length = strnlen(text, size - 1);
		wire_put(p->out, text, length);
		wire_put_zero(p->out, size - length);
		return;
	}
	wire_copy(p->in, text, size);
	length = strnlen(text, size);
	if (length == size) {
		p->bad = true;
		text[0] = '\0';
	}
	for (size_t i = length; i < size; i++)
		p->bad |= text[i] != '\0';
}

static void
pass_entry(struct pass *p, struct igd_entry *e)
{
	uint8_t transport = (uint8_t)e->transport;

	pass_address(p, &e->remote);
	pass_u16(p, &e->external_port);
	pass_u8(p, &transport);
	pass_address(p, &e->internal.address);
	pass_u16(p, &e->internal.port);
	pass_bool(p, &e->enabled);
	pass_text(p, e->description, sizeof(e->description));
	pass_u32(p, &e->lease);
	p->bad |= transport != 0 && transport != TRANSPORT_TCP && transport != TRANSPORT_UDP;
	e->transport = (enum transport)transport;
}

/* --- the messages --- */

static void
pass_setup(struct pass *p, struct link_message *m)
{
	struct link_setup *s = &m->setup;

	pass_bool(p, &s->view_1);
	pass_bool(p, &s->view_2);
	pass_bool(p, &s->strict_ssdp);
	pass_u16(p, &s->http_port);
	pass_u32(p, &s->config_id);
	pass_u32(p, &s->ssdp_interval);
	pass_u32(p, &s->http_requests_per_second);
	pass_u32(p, &s->http_connections_per_client);
	pass_u32(p, &s->http_connections);
	pass_u32(p, &s->http_request_timeout);
	pass_u32(p, &s->http_answer_timeout);
	pass_u32(p, &s->event_subscriptions_per_client);
	pass_u32(p, &s->event_subscriptions);
	pass_u32(p, &s->ssdp_searches_per_second);
	pass_u32(p, &s->ssdp_searches_per_second_total);
	pass_u8(p, &s->log_level);
	pass_bool(p, &s->log_to_syslog);
	pass_text(p, s->friendly_name, sizeof(s->friendly_name));
	pass_text(p, s->model_name, sizeof(s->model_name));
	pass_text(p, s->model_number, sizeof(s->model_number));
	pass_text(p, s->serial_number, sizeof(s->serial_number));
	pass_text(p, s->presentation_url, sizeof(s->presentation_url));
	for (size_t i = 0; i < IGD_DEVICES; i++)
		pass_text(p, s->udn[i], sizeof(s->udn[i]));
	pass_text(p, s->version, sizeof(s->version));
	p->bad |= !s->view_1 && !s->view_2;
}

static void
pass_lan(struct pass *p, struct link_message *m)
{
	struct link_lan *l = &m->lan;

	pass_text(p, l->interface, sizeof(l->interface));
	pass_u32(p, &l->index);
	pass_bool(p, &l->up);
	pass_u32(p, &l->boot_id);
	pass_u8(p, &l->addresses);
	p->bad |= l->addresses > LINK_ADDRESSES;
	for (size_t i = 0; i < LINK_ADDRESSES; i++) {
		pass_address(p, &l->address[i].address);
		pass_address(p, &l->address[i].prefix.address);
		pass_u8(p, &l->address[i].prefix.length);
		p->bad |= l->address[i].prefix.length > 128;
	}
}

static void
pass_state(struct pass *p, struct link_message *m)
{
	struct link_state *s = &m->state;

	pass_address(p, &s->external);
	pass_bool(p, &s->connected);
	pass_time(p, &s->connected_since);
	pass_bool(p, &s->link_up);
	pass_u64(p, &s->upstream);
	pass_u64(p, &s->downstream);
	pass_u32(p, &s->entries);
	pass_u32(p, &s->system_update_id);
}

static void
pass_answer(struct pass *p, struct link_message *m)
{
	struct link_answer *a = &m->answer;
	uint16_t error = (uint16_t)a->error;

	pass_u32(p, &a->ticket);
	pass_u16(p, &error);
	pass_entry(p, &a->entry);
	pass_u64(p, &a->bytes_sent);
	pass_u64(p, &a->bytes_received);
	pass_u64(p, &a->packets_sent);
	pass_u64(p, &a->packets_received);
	p->bad |= error != IGD_OK && (error < IGD_INVALID_ACTION || error > IGD_INCONSISTENT);
	a->error = (enum igd_error)error;
}

static void
pass_entries(struct pass *p, struct link_message *m)
{
	struct link_entries *e = &m->entries;

	pass_u32(p, &e->ticket);
	pass_u64(p, &e->cursor);
	pass_u8(p, &e->count);
	if (e->count > LINK_PAGE) {
		p->bad = true;
		e->count = 0;
	}
	for (size_t i = 0; i < e->count; i++)
		pass_entry(p, &e->entry[i]);
}

static void
pass_nothing(struct pass *p, struct link_message *m)
{
	(void)p;
	(void)m;
}

/* Is what logs, terminals and XML may be given. */
static bool
is_plain(const char *text, bool ascii)
{
	for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
		n = xml_character(text, left);
		if (n == 0 || xml_is_control(text, n) || (ascii && n > 1))
			return false;
	}
	return true;
}

static bool
is_ipv4_or_none(const struct address *a)
{
	return address_is_ipv4(a) || address_is_unspecified(a);
}

/* Could igd_decode() have made it?  What it does not set does not matter. */
static bool
is_call(const struct igd_call *c)
{
	const struct igd_entry *e = &c->entry;
	bool maps = c->action == IGD_AddPortMapping || c->action == IGD_AddAnyPortMapping;
	bool names = maps || c->action == IGD_DeletePortMapping ||
		     c->action == IGD_GetSpecificPortMappingEntry;
	bool ranges =
	    c->action == IGD_DeletePortMappingRange || c->action == IGD_GetListOfPortMappings;
	const struct igd_action_row *row = igd_action_row(c->action);

	if (c->version < row->since || c->version > igd_service_version(row->service, c->view))
		return false;
	if (maps && (e->internal.port == 0 || !is_ipv4_or_none(&e->internal.address)))
		return false;
	if (names && (!is_ipv4_or_none(&e->remote) ||
		      (e->external_port == 0 && c->action != IGD_AddAnyPortMapping)))
		return false;
	if ((names || ranges) && e->transport == 0)
		return false;
	return e->lease <= IGD_LEASE_MAX && c->ports.first <= c->ports.last &&
	       is_plain(e->description, false);
}

static void
pass_call(struct pass *p, struct link_message *m)
{
	struct link_call *l = &m->call;
	struct igd_call *c = &l->call;
	uint8_t action = (uint8_t)c->action, view = (uint8_t)c->view;

	pass_u32(p, &l->ticket);
	pass_address(p, &l->client);
	pass_u64(p, &l->cursor);
	pass_text(p, l->user_agent, sizeof(l->user_agent));
	pass_u8(p, &action);
	pass_u8(p, &view);
	pass_u8(p, &c->version);
	pass_entry(p, &c->entry);
	pass_u16(p, &c->index);
	pass_u16(p, &c->ports.first);
	pass_u16(p, &c->ports.last);
	pass_bool(p, &c->manage);
	pass_u16(p, &c->limit);
	pass_text(p, c->connection_service, sizeof(c->connection_service));
	c->action = (enum igd_action)action;
	c->view = (enum igd_view)view;
	p->bad |= action >= IGD_ACTIONS || (view != IGD_VIEW_1 && view != IGD_VIEW_2) ||
		  !link_is_for_core(c->action) || !is_call(c) || !is_plain(l->user_agent, true);
}

static void
pass_stats(struct pass *p, struct link_message *m)
{
	for (size_t i = 0; i < LINK_COUNTS; i++)
		pass_u64(p, &m->stats.count[i]);
}

enum { ENTRY_SIZE = 16 + 2 + 1 + 16 + 2 + 1 + MAPPING_DESCRIPTION_MAX + 1 + 4 };

static const struct row {
	const char *name;
	enum link_side sender;
	size_t size; /* exact, but for ENTRIES: that of an empty page */
	void (*pass)(struct pass *, struct link_message *);
} rows[LINK_TYPES] = {
    [LINK_SETUP] = {"setup", LINK_CORE, HEADER_SIZE + 657, pass_setup},
    [LINK_LAN] = {"lan", LINK_CORE, HEADER_SIZE + 1082, pass_lan},
    [LINK_STATE] = {"state", LINK_CORE, HEADER_SIZE + 50, pass_state},
    [LINK_ANSWER] = {"answer", LINK_CORE, HEADER_SIZE + 38 + ENTRY_SIZE, pass_answer},
    [LINK_ENTRIES] = {"entries", LINK_CORE, HEADER_SIZE + 13, pass_entries},
    [LINK_READY] = {"ready", LINK_WORKER, HEADER_SIZE, pass_nothing},
    [LINK_CALL] = {"call", LINK_WORKER, HEADER_SIZE + 232 + ENTRY_SIZE, pass_call},
    [LINK_STATS] = {"stats", LINK_WORKER, HEADER_SIZE + 8 * LINK_COUNTS, pass_stats},
};

_Static_assert(HEADER_SIZE + 13 + LINK_PAGE * ENTRY_SIZE <= LINK_MESSAGE_MAX, "room for a page");

size_t
link_encode(struct link_message *message, void *bytes, size_t size)
{
	struct wire_writer out = wire_writer(bytes, size);
	struct pass pass = {.out = &out};

	wire_put_u8(&out, LAYOUT);
	wire_put_u8(&out, (uint8_t)message->type);
	wire_put_zero(&out, 2);
	rows[message->type].pass(&pass, message);
	return out.failed || pass.bad ? 0 : out.at;
}

bool
link_decode(enum link_side sender, const void *bytes, size_t size, struct link_message *out)
{
	struct wire_reader in = wire_reader(bytes, size);
	struct pass pass = {.in = &in};
	uint8_t layout = wire_u8(&in), type = wire_u8(&in);
	const struct row *row;

	if (wire_u16(&in) != 0 || in.failed || layout != LAYOUT || type >= LINK_TYPES)
		return false;
	row = &rows[type];
	if (row->sender != sender || (size != row->size && type != LINK_ENTRIES))
		return false;
	memset(out, 0, sizeof(*out));
	out->type = (enum link_type)type;
	row->pass(&pass, out);
	return !in.failed && wire_left(&in) == 0 && !pass.bad;
}

const char *
link_type_name(enum link_type type)
{
	return rows[type].name;
}

bool
link_is_for_core(enum igd_action action)
{
	switch (action) {
	case IGD_GetDefaultConnectionService:
	case IGD_GetCommonLinkProperties:
	case IGD_GetConnectionTypeInfo:
	case IGD_GetStatusInfo:
	case IGD_GetNATRSIPStatus:
	case IGD_GetExternalIPAddress:
		return false;
	default:
		return true;
	}
}
