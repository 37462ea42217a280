/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON of the control socket. */
#include "control.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names to and from numbers */

static const char *const result_names[CONTROL_RESULTS] = {
    [CONTROL_OK] = "ok",
    [CONTROL_NOT_PERMITTED] = "not-permitted",
    [CONTROL_NOT_FOUND] = "not-found",
    [CONTROL_BAD_REQUEST] = "bad-request",
    [CONTROL_FAILED] = "failed",
    [CONTROL_BUSY] = "busy",
    [CONTROL_CONFLICT] = "conflict",
};

const char *
control_result_name(enum control_result result)
{
	return result_names[result];
}

static const char *const worker_state_names[CONTROL_WORKER_STATES] = {
    [CONTROL_WORKER_NONE] = "none",	  [CONTROL_WORKER_STARTING] = "starting",
    [CONTROL_WORKER_READY] = "ready",	  [CONTROL_WORKER_RESPAWNING] = "respawning",
    [CONTROL_WORKER_MISSING] = "missing",
};

const char *
control_worker_state_name(enum control_worker_state state)
{
	return worker_state_names[state];
}

/* Fields that are numbers of 64 bits, ended by one without a name. */
struct number_row {
	const char *name;
	size_t offset;
};

static const struct number_row counter_rows[] = {
    {"granted", offsetof(struct control_counters, granted)},
    {"renewed", offsetof(struct control_counters, renewed)},
    {"deleted", offsetof(struct control_counters, deleted)},
    {"expired", offsetof(struct control_counters, expired)},
    {"removed", offsetof(struct control_counters, removed)},
    {"gone", offsetof(struct control_counters, gone)},
    {"idle", offsetof(struct control_counters, idle)},
    {"batches", offsetof(struct control_counters, batches)},
    {"largest_batch", offsetof(struct control_counters, largest_batch)},
    {"kernel_transactions", offsetof(struct control_counters, kernel_transactions)},
    {"kernel_aborts", offsetof(struct control_counters, kernel_aborts)},
    {"kernel_refusals", offsetof(struct control_counters, kernel_refusals)},
    {"journal_refusals", offsetof(struct control_counters, journal_refusals)},
    {"table_restores", offsetof(struct control_counters, table_restores)},
    {"address_changes", offsetof(struct control_counters, address_changes)},
    {"flow_passes", offsetof(struct control_counters, flow_passes)},
    {"flows_ended", offsetof(struct control_counters, flows_ended)},
    {NULL, 0},
};

static const struct number_row udp_rows[] = {
    {"received", offsetof(struct control_udp, received)},
    {"foreign", offsetof(struct control_udp, foreign)},
    {"limited", offsetof(struct control_udp, limited)},
    {"ignored", offsetof(struct control_udp, ignored)},
    {"refused", offsetof(struct control_udp, refused)},
    {"unsent", offsetof(struct control_udp, unsent)},
    {NULL, 0},
};

#define STAT(number) offsetof(struct control_worker, stats.count[number])

static const struct number_row worker_rows[] = {
    {"starts", offsetof(struct control_worker, starts)},
    {"calls", offsetof(struct control_worker, calls)},
    {"batches", offsetof(struct control_worker, batches)},
    {"largest_batch", offsetof(struct control_worker, largest_batch)},
    {"http_connections", STAT(LINK_HTTP_CONNECTIONS)},
    {"http_accepted", STAT(LINK_HTTP_ACCEPTED)},
    {"http_surplus", STAT(LINK_HTTP_SURPLUS)},
    {"http_requests", STAT(LINK_HTTP_REQUESTS)},
    {"http_limited", STAT(LINK_HTTP_LIMITED)},
    {"http_refused", STAT(LINK_HTTP_REFUSED)},
    {"ssdp_searches", STAT(LINK_SSDP_SEARCHES)},
    {"ssdp_replied", STAT(LINK_SSDP_REPLIED)},
    {"ssdp_limited", STAT(LINK_SSDP_LIMITED)},
    {"gena_subscriptions", STAT(LINK_GENA_SUBSCRIPTIONS)},
    {"gena_delivered", STAT(LINK_GENA_DELIVERED)},
    {"gena_failed", STAT(LINK_GENA_FAILED)},
    {NULL, 0},
};
_Static_assert(sizeof(worker_rows) / sizeof(worker_rows[0]) == 4 + LINK_COUNTS + 1,
	       "all that workers count is shown");

static const struct number_row flushed_rows[] = {
    {"removed", offsetof(struct control_flushed, removed)},
    {"failed", offsetof(struct control_flushed, failed)},
    {NULL, 0},
};

/* Strict decimal without sign, space or leading zeros. */
static bool
parse_number(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return value <= max;
}

static bool
port_target_parse(const char *text, struct control_target *out)
{
	char transport[4] = "";
	uint64_t number;

	if (strlen(text) < 5 || text[3] != ':' || !parse_number(text + 4, UINT16_MAX, &number) ||
	    number == 0)
		return false;
	memcpy(transport, text, 3);
	out->port = (uint16_t)number;
	return transport_find(transport, &out->transport);
}

bool
control_target_parse(const char *text, struct control_target *out)
{
	struct control_target target = {.id = 0};

	if (forward_name_is_good(text))
		strcpy(target.name, text);
	else if (strchr(text, ':') ? !port_target_parse(text, &target)
				   : !parse_number(text, INT64_MAX, &target.id) || !target.id)
		return false;
	*out = target;
	return true;
}

const char *
control_forward_parse(const char *const word[3], struct forward *out)
{
	const char *colon = strchr(word[1], ':');
	char transports[8] = "";

	if (!forward_name_is_good(word[0]))
		return "a NAME of at most 63 letters, digits, spaces, \"-\", \"_\" and \".\" that "
		       "begins with a letter";
	strcpy(out->name, word[0]);
	if (colon && (size_t)(colon - word[1]) < sizeof(transports))
		memcpy(transports, word[1], (size_t)(colon - word[1]));
	if (!forward_transports_parse(transports, &out->transports) ||
	    !port_range_parse(colon + 1, &out->external))
		return "tcp:, udp: or both: and a PORT or FIRST-LAST";
	if (!forward_target_parse(word[2], &out->target))
		return "ADDRESS or ADDRESS:PORT of the target";
	return forward_complete(out);
}

/* Writing */

/* Octets of the UTF-8 character at p (RFC 3629), 0: none begins here. */
static size_t
utf8_size(const unsigned char *p)
{
	size_t size = p[0] < 0x80   ? 1
		      : p[0] < 0xc2 ? 0
		      : p[0] < 0xe0 ? 2
		      : p[0] < 0xf0 ? 3
		      : p[0] < 0xf5 ? 4
				    : 0;

	for (size_t i = 1; i < size; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (size == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)))
		return 0;
	if (size == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)))
		return 0;
	return size;
}

/* A text a client chose must never keep a lease from being shown: what is not UTF-8 becomes "?". */
static json_t *
text_json(const char *text)
{
	char clean[CONTROL_WHY_SIZE];
	size_t at = 0;

	while (*text && at < sizeof(clean) - 1) {
		size_t size = utf8_size((const unsigned char *)text);

		if (at + size > sizeof(clean) - 1)
			break;
		memcpy(clean + at, size ? text : "?", size ? size : 1);
		at += size ? size : 1;
		text += size ? size : 1;
	}
	return json_stringn(clean, at);
}

static json_t *
uint_json(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *
address_json(const struct address *address)
{
	char text[ADDRESS_TEXT_SIZE];

	if (address_is_unspecified(address))
		return json_null();
	return json_string(address_print(address, text));
}

/* Takes root; the text and a NUL to out. */
static size_t
dump(json_t *root, char *out, size_t size)
{
	size_t length = root ? json_dumpb(root, out, size, JSON_COMPACT) : 0;

	json_decref(root);
	if (length == 0 || length >= size)
		return 0;
	out[length] = '\0';
	return length;
}

static size_t
dump_line(json_t *root, char *out, size_t size)
{
	size_t length = dump(root, out, size);

	if (length == 0 || length + 1 >= size)
		return 0;
	memcpy(out + length, "\n", 2);
	return length + 1;
}

static void
set_numbers(json_t *object, const struct number_row *row, const void *from)
{
	for (; row->name; row++) {
		uint64_t value;

		memcpy(&value, (const char *)from + row->offset, sizeof(value));
		json_object_set_new(object, row->name, uint_json(value));
	}
}

/* A host, or a prefix with its length. */
static json_t *
remote_json(const struct control_lease *lease)
{
	const struct prefix remote = {lease->remote, lease->remote_length};
	char text[PREFIX_TEXT_SIZE];

	return lease->remote_length ? json_string(prefix_print(&remote, text))
				    : address_json(&lease->remote);
}

static json_t *
lease_json(const struct control_lease *lease)
{
	return json_pack(
	    "{s:o, s:s, s:s, s:o, s:i, s:o, s:i, s:i, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:b, s:o, "
	    "s:o, s:o, s:o}",
	    "id", uint_json(lease->id), "origin", origin_name(lease->origin), "transport",
	    transport_name(lease->transport), "external_address",
	    address_json(&lease->external.address), "external_port", (int)lease->external.port,
	    "internal_address", address_json(&lease->internal.address), "internal_port",
	    (int)lease->internal.port, "ports", lease->more_ports + 1, "lifetime",
	    uint_json(lease->lifetime), "remaining",
	    lease->remaining == CONTROL_ENDLESS ? json_null() : uint_json(lease->remaining), "age",
	    uint_json(lease->age), "outbound", (int)lease->outbound, "connections",
	    uint_json(lease->connections), "name",
	    lease->name[0] ? text_json(lease->name) : json_null(), "description",
	    text_json(lease->description), "enabled", (int)lease->enabled, "remote_address",
	    remote_json(lease), "upnp_index",
	    lease->upnp_index == CONTROL_NO_INDEX ? json_null() : uint_json(lease->upnp_index),
	    "user_agent", text_json(lease->user_agent), "live",
	    lease->live == CONTROL_UNKNOWN ? json_null() : uint_json(lease->live));
}

static json_t *
session_json(const struct control_session *session)
{
	return json_pack("{s:o, s:s, s:s, s:i, s:o, s:i, s:o, s:o}", "lease",
			 uint_json(session->lease), "direction", session->outbound ? "out" : "in",
			 "transport", transport_name(session->transport), "external_port",
			 (int)session->external_port, "remote_address",
			 address_json(&session->remote.address), "remote_port",
			 (int)session->remote.port, "state", text_json(session->state), "timeout",
			 uint_json(session->timeout));
}

static json_t *
udp_json(const struct control_udp *udp)
{
	json_t *object = json_object();

	set_numbers(object, udp_rows, udp);
	return object;
}

static json_t *
worker_json(const struct control_worker *worker)
{
	json_t *object;

	if (worker->state == CONTROL_WORKER_NONE)
		return json_null();
	object = json_pack("{s:s, s:o}", "state", control_worker_state_name(worker->state), "pid",
			   worker->pid ? uint_json(worker->pid) : json_null());
	set_numbers(object, worker_rows, worker);
	return object;
}

static json_t *
interface_json(const struct control_interface *interface, bool wan)
{
	json_t *addresses = json_array();

	for (size_t i = 0; i < interface->addresses; i++) {
		char text[PREFIX_TEXT_SIZE];

		json_array_append_new(addresses,
				      json_string(prefix_print(&interface->address[i], text)));
	}
	return json_pack("{s:s, s:o, s:o, s:b, s:b, s:o, s:o, s:o}", "role", wan ? "wan" : "lan",
			 "name", text_json(interface->name), "index", uint_json(interface->index),
			 "up", (int)interface->up, "served", (int)interface->served, "addresses",
			 addresses, "udp", wan ? json_null() : udp_json(&interface->udp), "worker",
			 worker_json(&interface->worker));
}

static json_t *
chain_json(const struct control_chain *chain)
{
	return json_pack("{s:o, s:b, s:b}", "chain", text_json(chain->name), "exists",
			 (int)chain->exists, "has_line", (int)chain->has_line);
}

static json_t *
by_origin_json(const uint64_t counts[ORIGINS])
{
	json_t *object = json_object();

	for (int o = 0; o < ORIGINS; o++)
		json_object_set_new(object, origin_name((enum origin)o), uint_json(counts[o]));
	return object;
}

static json_t *
counters_json(const struct control_counters *counters)
{
	json_t *results = json_object(), *object;

	for (int r = 0; r < MAP_RESULTS; r++)
		json_object_set_new(results, map_result_name((enum map_result)r),
				    uint_json(counters->results[r]));
	object = json_pack("{s:o, s:o}", "requests", by_origin_json(counters->requests), "results",
			   results);
	set_numbers(object, counter_rows, counters);
	return object;
}

static json_t *
scope_json(const struct address *address)
{
	switch (address_scope(address)) {
	case ADDRESS_GLOBAL:
		return json_string("global");
	case ADDRESS_PRIVATE:
		return json_string("private");
	case ADDRESS_UNUSABLE:
		break;
	}
	return json_null();
}

static json_t *
status_json(const struct control_status *status)
{
	json_t *interfaces = json_array(), *chains = json_array();

	for (size_t i = 0; i < status->interfaces; i++)
		json_array_append_new(interfaces, interface_json(&status->interface[i], i == 0));
	for (size_t i = 0; i < status->chains; i++)
		json_array_append_new(chains, chain_json(&status->chain[i]));
	return json_pack(
	    "{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:b, s:b, s:o, s:b, s:o, s:o, s:o, s:o, "
	    "s:o}",
	    "version", text_json(status->version), "pid", uint_json(status->pid), "uptime",
	    uint_json(status->uptime), "epoch", uint_json(status->epoch), "external_address",
	    address_json(&status->external), "external_scope", scope_json(&status->external),
	    "nat_pmp", (int)status->nat_pmp, "pcp", (int)status->pcp, "upnp", (int)status->upnp,
	    "forwarding", (int)status->forwarding, "table_intact", (int)status->table_intact,
	    "journal_fault", text_json(status->journal_fault), "journal_refuses",
	    (int)status->journal_refuses, "rules", uint_json(status->rules), "leases",
	    by_origin_json(status->leases), "counters", counters_json(&status->counters),
	    "interfaces", interfaces, "foreign_chains", chains);
}

size_t
control_lease_json(const struct control_lease *lease, char *out, size_t size)
{
	return dump(lease_json(lease), out, size);
}

size_t
control_session_json(const struct control_session *session, char *out, size_t size)
{
	return dump(session_json(session), out, size);
}

size_t
control_status_json(const struct control_status *status, char *out, size_t size)
{
	return dump(status_json(status), out, size);
}

size_t
control_reply_encode(const struct control_reply *reply, char *out, size_t size)
{
	json_t *root = NULL;

	switch (reply->line) {
	case CONTROL_LINE_RESULT:
		root = json_pack("{s:s}", "result", result_names[reply->result]);
		if (reply->message[0])
			json_object_set_new(root, "message", text_json(reply->message));
		break;
	case CONTROL_LINE_LEASE:
		root = json_pack("{s:o}", "lease", lease_json(&reply->lease));
		break;
	case CONTROL_LINE_SESSION:
		root = json_pack("{s:o}", "session", session_json(&reply->session));
		break;
	case CONTROL_LINE_STATUS:
		root = json_pack("{s:o}", "status", status_json(&reply->status));
		break;
	case CONTROL_LINE_VERSION:
		root = json_pack("{s:o}", "version", text_json(reply->version));
		break;
	case CONTROL_LINE_FLUSHED:
		root = json_pack("{s:{}}", "flushed");
		set_numbers(json_object_get(root, "flushed"), flushed_rows, &reply->flushed);
		break;
	case CONTROL_LINES:
		break;
	}
	return dump_line(root, out, size);
}

/* Reading: every key is taken once; the first fault latches, so that one check at the end is
 * enough. */

struct fields {
	json_t *object;
	size_t taken;
	const char *bad; /* the first key that is missing or has a wrong value */
};

static json_t *
take(struct fields *f, const char *key)
{
	json_t *value = json_object_get(f->object, key);

	if (value)
		f->taken++;
	return value;
}

static void
spoil(struct fields *f, const char *key)
{
	if (!f->bad)
		f->bad = key;
}

static uint64_t
take_uint(struct fields *f, const char *key, uint64_t max)
{
	json_t *value = take(f, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > max) {
		spoil(f, key);
		return 0;
	}
	return (uint64_t)json_integer_value(value);
}

static bool
take_bool(struct fields *f, const char *key)
{
	json_t *value = take(f, key);

	if (!json_is_boolean(value))
		spoil(f, key);
	return json_is_true(value);
}

/* Never NULL. */
static const char *
take_text(struct fields *f, const char *key)
{
	json_t *value = take(f, key);

	if (!json_is_string(value))
		spoil(f, key);
	return json_is_string(value) ? json_string_value(value) : "";
}

static void
take_copy(struct fields *f, const char *key, char *out, size_t size)
{
	const char *text = take_text(f, key);
	size_t length = strlen(text);

	if (length >= size) {
		spoil(f, key);
		length = 0;
	}
	memcpy(out, text, length);
	out[length] = '\0';
}

static void
take_origin(struct fields *f, const char *key, enum origin *out)
{
	if (!origin_find(take_text(f, key), out))
		spoil(f, key);
}

static void
take_transport(struct fields *f, const char *key, enum transport *out)
{
	if (!transport_find(take_text(f, key), out))
		spoil(f, key);
}

/* null: unspecified. */
static struct address
take_address(struct fields *f, const char *key)
{
	struct address address = {{0}};
	json_t *value = json_object_get(f->object, key);

	if (json_is_null(value))
		f->taken++;
	else if (!address_parse(take_text(f, key), &address))
		spoil(f, key);
	return address;
}

static struct fields
take_object(struct fields *f, const char *key)
{
	json_t *value = take(f, key);

	if (!json_is_object(value))
		spoil(f, key);
	return (struct fields){.object = value};
}

/* "ADDRESS/LENGTH" with the host's bits kept. */
static bool
interface_address_parse(const char *text, struct prefix *out)
{
	char address[ADDRESS_TEXT_SIZE];
	const char *slash = strchr(text, '/');
	uint64_t length;
	bool ipv4;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (!address_parse(address, &out->address))
		return false;
	ipv4 = address_is_ipv4(&out->address);
	if (!parse_number(slash + 1, ipv4 ? 32 : 128, &length))
		return false;
	out->length = (uint8_t)(length + (ipv4 ? 96 : 0));
	return true;
}

static void
take_numbers(struct fields *f, const struct number_row *row, void *out)
{
	for (; row->name; row++) {
		uint64_t value = take_uint(f, row->name, UINT64_MAX);

		memcpy((char *)out + row->offset, &value, sizeof(value));
	}
}

static bool
is_null(struct fields *f, const char *key)
{
	return json_is_null(json_object_get(f->object, key));
}

static void
remote_read(struct fields *f, struct control_lease *lease)
{
	struct prefix remote = {.length = 0};

	if (!is_null(f, "remote_address") && !prefix_parse(take_text(f, "remote_address"), &remote))
		spoil(f, "remote_address");
	lease->remote = remote.address;
	lease->remote_length = remote.length == 128 ? 0 : remote.length;
}

static void
lease_read(struct fields *f, struct control_lease *lease)
{
	lease->id = take_uint(f, "id", UINT64_MAX);
	take_origin(f, "origin", &lease->origin);
	take_transport(f, "transport", &lease->transport);
	lease->external.address = take_address(f, "external_address");
	lease->external.port = (uint16_t)take_uint(f, "external_port", UINT16_MAX);
	lease->internal.address = take_address(f, "internal_address");
	lease->internal.port = (uint16_t)take_uint(f, "internal_port", UINT16_MAX);
	lease->more_ports = (uint16_t)(take_uint(f, "ports", UINT16_MAX) - 1);
	lease->lifetime = (uint32_t)take_uint(f, "lifetime", UINT32_MAX);
	if (is_null(f, "remaining"))
		lease->remaining = CONTROL_ENDLESS;
	else
		lease->remaining = take_uint(f, "remaining", UINT64_MAX);
	lease->age = take_uint(f, "age", UINT64_MAX);
	lease->outbound = take_bool(f, "outbound");
	lease->connections = take_uint(f, "connections", UINT64_MAX);
	if (!is_null(f, "name"))
		take_copy(f, "name", lease->name, sizeof(lease->name));
	take_copy(f, "description", lease->description, sizeof(lease->description));
	lease->enabled = take_bool(f, "enabled");
	remote_read(f, lease);
	if (is_null(f, "upnp_index"))
		lease->upnp_index = CONTROL_NO_INDEX;
	else
		lease->upnp_index = (uint32_t)take_uint(f, "upnp_index", UINT32_MAX - 1);
	take_copy(f, "user_agent", lease->user_agent, sizeof(lease->user_agent));
	if (is_null(f, "live"))
		lease->live = CONTROL_UNKNOWN;
	else
		lease->live = take_uint(f, "live", UINT64_MAX);
}

static void
session_read(struct fields *f, struct control_session *session)
{
	const char *direction = take_text(f, "direction");

	session->lease = take_uint(f, "lease", UINT64_MAX);
	session->outbound = strcmp(direction, "out") == 0;
	if (!session->outbound && strcmp(direction, "in") != 0)
		spoil(f, "direction");
	take_transport(f, "transport", &session->transport);
	session->external_port = (uint16_t)take_uint(f, "external_port", UINT16_MAX);
	session->remote.address = take_address(f, "remote_address");
	session->remote.port = (uint16_t)take_uint(f, "remote_port", UINT16_MAX);
	take_copy(f, "state", session->state, sizeof(session->state));
	session->timeout = (uint32_t)take_uint(f, "timeout", UINT32_MAX);
}

static void
worker_read(struct fields *f, struct control_worker *worker)
{
	const char *name = take_text(f, "state");
	int s = CONTROL_WORKER_STARTING;

	while (s < CONTROL_WORKER_STATES && strcmp(name, worker_state_names[s]) != 0)
		s++;
	if (s == CONTROL_WORKER_STATES)
		spoil(f, "state");
	else
		worker->state = (enum control_worker_state)s;
	if (!is_null(f, "pid"))
		worker->pid = (uint32_t)take_uint(f, "pid", UINT32_MAX);
	take_numbers(f, worker_rows, worker);
}

static void
interface_read(struct fields *f, struct control_interface *interface)
{
	json_t *addresses = json_object_get(f->object, "addresses");
	struct fields inner;

	take_copy(f, "name", interface->name, sizeof(interface->name));
	interface->index = (unsigned)take_uint(f, "index", INT32_MAX);
	interface->up = take_bool(f, "up");
	interface->served = take_bool(f, "served");
	interface->addresses = json_array_size(addresses);
	if (!json_is_array(addresses) || interface->addresses > CONTROL_ADDRESSES) {
		spoil(f, "addresses");
		interface->addresses = 0;
	}
	for (size_t i = 0; i < interface->addresses; i++) {
		const char *text = json_string_value(json_array_get(addresses, i));

		if (!text || !interface_address_parse(text, &interface->address[i]))
			spoil(f, "addresses");
	}
	if (!is_null(f, "udp")) {
		inner = take_object(f, "udp");
		take_numbers(&inner, udp_rows, &interface->udp);
		if (inner.bad)
			spoil(f, inner.bad);
	}
	if (!is_null(f, "worker")) {
		inner = take_object(f, "worker");
		worker_read(&inner, &interface->worker);
		if (inner.bad)
			spoil(f, inner.bad);
	}
}

static void
by_origin_read(struct fields *f, const char *key, uint64_t counts[ORIGINS])
{
	struct fields object = take_object(f, key);

	for (int o = 0; o < ORIGINS; o++)
		counts[o] = take_uint(&object, origin_name((enum origin)o), UINT64_MAX);
	if (object.bad)
		spoil(f, object.bad);
}

static void
counters_read(struct fields *f, struct control_counters *counters)
{
	struct fields results = take_object(f, "results");

	by_origin_read(f, "requests", counters->requests);
	for (int r = 0; r < MAP_RESULTS; r++)
		counters->results[r] =
		    take_uint(&results, map_result_name((enum map_result)r), UINT64_MAX);
	if (results.bad)
		spoil(f, results.bad);
	take_numbers(f, counter_rows, counters);
}

static void
interfaces_read(struct fields *f, struct control_status *status)
{
	json_t *interfaces = json_object_get(f->object, "interfaces");

	status->interfaces = json_array_size(interfaces);
	if (!json_is_array(interfaces) || status->interfaces > CONTROL_INTERFACES) {
		spoil(f, "interfaces");
		status->interfaces = 0;
	}
	for (size_t i = 0; i < status->interfaces; i++) {
		struct fields one = {.object = json_array_get(interfaces, i)};

		interface_read(&one, &status->interface[i]);
		if (one.bad)
			spoil(f, one.bad);
	}
}

static void
chains_read(struct fields *f, struct control_status *status)
{
	json_t *chains = json_object_get(f->object, "foreign_chains");

	status->chains = json_array_size(chains);
	if (!json_is_array(chains) || status->chains > CONTROL_CHAINS) {
		spoil(f, "foreign_chains");
		status->chains = 0;
	}
	for (size_t i = 0; i < status->chains; i++) {
		struct fields one = {.object = json_array_get(chains, i)};

		take_copy(&one, "chain", status->chain[i].name, sizeof(status->chain[i].name));
		status->chain[i].exists = take_bool(&one, "exists");
		status->chain[i].has_line = take_bool(&one, "has_line");
		if (one.bad)
			spoil(f, one.bad);
	}
}

static void
status_read(struct fields *f, struct control_status *status)
{
	struct fields counters = take_object(f, "counters");

	take_copy(f, "version", status->version, sizeof(status->version));
	status->pid = (uint32_t)take_uint(f, "pid", UINT32_MAX);
	status->uptime = take_uint(f, "uptime", UINT64_MAX);
	status->epoch = (uint32_t)take_uint(f, "epoch", UINT32_MAX);
	status->external = take_address(f, "external_address");
	status->nat_pmp = take_bool(f, "nat_pmp");
	status->pcp = take_bool(f, "pcp");
	status->upnp = take_bool(f, "upnp");
	status->forwarding = take_bool(f, "forwarding");
	status->table_intact = take_bool(f, "table_intact");
	take_copy(f, "journal_fault", status->journal_fault, sizeof(status->journal_fault));
	status->journal_refuses = take_bool(f, "journal_refuses");
	status->rules = take_uint(f, "rules", UINT64_MAX);
	by_origin_read(f, "leases", status->leases);
	counters_read(&counters, &status->counters);
	if (counters.bad)
		spoil(f, counters.bad);
	interfaces_read(f, status);
	chains_read(f, status);
}

static void
result_read(struct fields *f, struct control_reply *reply)
{
	const char *name = take_text(f, "result");
	int r = 0;

	while (r < CONTROL_RESULTS && strcmp(name, result_names[r]) != 0)
		r++;
	if (r == CONTROL_RESULTS)
		spoil(f, "result");
	reply->result = r == CONTROL_RESULTS ? CONTROL_FAILED : (enum control_result)r;
	if (json_object_get(f->object, "message"))
		take_copy(f, "message", reply->message, sizeof(reply->message));
}

static bool __attribute__((format(printf, 3, 4)))
refuse(char *why, size_t why_size, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(why, why_size, format, list);
	va_end(list);
	return false;
}

/* NULL: *why says what is wrong. */
static json_t *
load_object(const char *line, size_t length, char *why, size_t why_size)
{
	json_error_t error;
	json_t *root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);

	if (!root) {
		refuse(why, why_size, "not JSON: %s", error.text);
	} else if (!json_is_object(root)) {
		refuse(why, why_size, "not a JSON object");
		json_decref(root);
		root = NULL;
	}
	return root;
}

bool
control_reply_decode(const char *line, size_t length, struct control_reply *reply, char *why,
		     size_t why_size)
{
	json_t *root = load_object(line, length, why, why_size);
	struct fields f = {.object = root}, inner;

	if (!root)
		return false;
	memset(reply, 0, sizeof(*reply));
	if (json_object_get(root, "lease")) {
		reply->line = CONTROL_LINE_LEASE;
		inner = take_object(&f, "lease");
		lease_read(&inner, &reply->lease);
	} else if (json_object_get(root, "session")) {
		reply->line = CONTROL_LINE_SESSION;
		inner = take_object(&f, "session");
		session_read(&inner, &reply->session);
	} else if (json_object_get(root, "status")) {
		reply->line = CONTROL_LINE_STATUS;
		inner = take_object(&f, "status");
		status_read(&inner, &reply->status);
	} else if (json_object_get(root, "version")) {
		reply->line = CONTROL_LINE_VERSION;
		inner = f;
		take_copy(&inner, "version", reply->version, sizeof(reply->version));
	} else if (json_object_get(root, "flushed")) {
		reply->line = CONTROL_LINE_FLUSHED;
		inner = take_object(&f, "flushed");
		take_numbers(&inner, flushed_rows, &reply->flushed);
	} else {
		reply->line = CONTROL_LINE_RESULT;
		inner = f;
		result_read(&inner, reply);
	}
	if (inner.bad)
		refuse(why, why_size, "\"%s\" is missing or wrong", inner.bad);
	json_decref(root);
	return !inner.bad;
}

/* Requests */

static void
no_arguments(struct fields *f, struct control_request *request)
{
	(void)f;
	(void)request;
}

static void
filter_read(struct fields *f, struct control_request *request)
{
	struct control_filter *filter = &request->filter;

	if (json_object_get(f->object, "client")) {
		filter->has_client = true;
		if (!prefix_parse(take_text(f, "client"), &filter->client))
			spoil(f, "client");
	}
	if (json_object_get(f->object, "origin")) {
		filter->has_origin = true;
		take_origin(f, "origin", &filter->origin);
	}
	if (json_object_get(f->object, "transport")) {
		filter->has_transport = true;
		take_transport(f, "transport", &filter->transport);
	}
}

static void
list_read(struct fields *f, struct control_request *request)
{
	filter_read(f, request);
	if (json_object_get(f->object, "sessions"))
		request->sessions = take_bool(f, "sessions");
}

/* Static ones end by their names alone. */
static void
flush_read(struct fields *f, struct control_request *request)
{
	filter_read(f, request);
	if (request->filter.has_origin && request->filter.origin == ORIGIN_STATIC)
		spoil(f, "origin");
}

static void
target_read(struct fields *f, struct control_request *request)
{
	struct control_target *target = &request->target;

	if (json_object_get(f->object, "name")) {
		take_copy(f, "name", target->name, sizeof(target->name));
		if (!target->name[0])
			spoil(f, "name");
		return;
	}
	if (json_object_get(f->object, "id")) {
		target->id = take_uint(f, "id", INT64_MAX);
		if (target->id == 0)
			spoil(f, "id");
		return;
	}
	take_transport(f, "transport", &target->transport);
	target->port = (uint16_t)take_uint(f, "external_port", UINT16_MAX);
	if (target->port == 0)
		spoil(f, "external_port");
}

static void
forward_read(struct fields *f, struct control_request *request)
{
	struct forward *forward = &request->forward;

	take_copy(f, "name", forward->name, sizeof(forward->name));
	if (!forward_name_is_good(forward->name))
		spoil(f, "name");
	if (!forward_transports_parse(take_text(f, "transport"), &forward->transports))
		spoil(f, "transport");
	if (!port_range_parse(take_text(f, "external_ports"), &forward->external))
		spoil(f, "external_ports");
	if (!forward_target_parse(take_text(f, "target"), &forward->target))
		spoil(f, "target");
	if (json_object_get(f->object, "remote") &&
	    !forward_remote_parse(take_text(f, "remote"), &forward->remote))
		spoil(f, "remote");
	if (json_object_get(f->object, "helper") &&
	    !helper_parse(take_text(f, "helper"), &forward->helper))
		spoil(f, "helper");
	if (json_object_get(f->object, "description"))
		take_copy(f, "description", forward->description, sizeof(forward->description));
}

/* The reverse, with what differs from nothing. */
static void
forward_write(const struct forward *forward, json_t *root)
{
	static const char *const transports[] = {"", "tcp", "udp", "both"};
	char text[ADDRESS_TEXT_SIZE], remote[PREFIX_TEXT_SIZE];

	json_object_set_new(root, "name", json_string(forward->name));
	json_object_set_new(root, "transport", json_string(transports[forward->transports & 3]));
	json_object_set_new(root, "external_ports",
			    json_sprintf("%u-%u", forward->external.first, forward->external.last));
	json_object_set_new(root, "target",
			    json_sprintf("%s:%u", address_print(&forward->target.address, text),
					 forward->target.port));
	if (forward->remote.length)
		json_object_set_new(root, "remote",
				    json_string(prefix_print(&forward->remote, remote)));
	if (forward->helper)
		json_object_set_new(root, "helper", json_string("ftp"));
	if (forward->description[0])
		json_object_set_new(root, "description", json_string(forward->description));
}

static const struct command_row {
	const char *name;
	void (*read)(struct fields *, struct control_request *);
} command_rows[CONTROL_COMMANDS] = {
    [CONTROL_STATUS] = {"status", no_arguments},   [CONTROL_LIST] = {"list", list_read},
    [CONTROL_SHOW] = {"show", target_read},	   [CONTROL_REMOVE] = {"remove", target_read},
    [CONTROL_VERSION] = {"version", no_arguments}, [CONTROL_RELOAD] = {"reload", no_arguments},
    [CONTROL_ADD] = {"add", forward_read},	   [CONTROL_FLUSH] = {"flush", flush_read},
};

static bool
request_read(struct fields *f, struct control_request *request, char *why, size_t why_size)
{
	const char *name = take_text(f, "command");
	int c = 0;

	if (f->bad)
		return refuse(why, why_size, "\"command\" is missing or wrong");
	while (c < CONTROL_COMMANDS && strcmp(name, command_rows[c].name) != 0)
		c++;
	if (c == CONTROL_COMMANDS)
		return refuse(why, why_size, "no such command: %.40s", name);
	memset(request, 0, sizeof(*request));
	request->command = (enum control_command)c;
	command_rows[c].read(f, request);
	if (f->bad)
		return refuse(why, why_size, "\"%s\" is missing or wrong", f->bad);
	if (f->taken != json_object_size(f->object))
		return refuse(why, why_size, "\"%s\" has arguments it does not know", name);
	return true;
}

bool
control_request_decode(const char *line, size_t length, struct control_request *request, char *why,
		       size_t why_size)
{
	struct fields f = {.object = load_object(line, length, why, why_size)};
	bool good = f.object && request_read(&f, request, why, why_size);

	json_decref(f.object);
	return good;
}

size_t
control_request_encode(const struct control_request *request, char *out, size_t size)
{
	const struct control_filter *filter = &request->filter;
	const struct control_target *target = &request->target;
	json_t *root = json_pack("{s:s}", "command", command_rows[request->command].name);
	char text[PREFIX_TEXT_SIZE];

	if (filter->has_client)
		json_object_set_new(root, "client",
				    json_string(prefix_print(&filter->client, text)));
	if (filter->has_origin)
		json_object_set_new(root, "origin", json_string(origin_name(filter->origin)));
	if (filter->has_transport)
		json_object_set_new(root, "transport",
				    json_string(transport_name(filter->transport)));
	if (request->sessions)
		json_object_set_new(root, "sessions", json_true());
	if (request->command == CONTROL_ADD)
		forward_write(&request->forward, root);
	if (target->name[0]) {
		json_object_set_new(root, "name", json_string(target->name));
	} else if (target->id) {
		json_object_set_new(root, "id", uint_json(target->id));
	} else if (target->port) {
		json_object_set_new(root, "transport",
				    json_string(transport_name(target->transport)));
		json_object_set_new(root, "external_port", json_integer(target->port));
	}
	return dump_line(root, out, size);
}
