/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads stories (README.md says how they are written) and holds the daemon to them: codecs, policy,
 * lease table and engine are the real ones, kernel and clock are not.  Each story is one test;
 * those in selftest/ must fail as they say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "client.h"
#include "words.h"
#include "world.h"
#include "../../protocols/natpmp.h"
#include "../../protocols/pcp.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { EXCHANGES_MAX = 300, VARIABLES_MAX = 300, NAME_SIZE = 24, STORIES_MAX = 200 };

struct expectation {
	enum { EXPECT_NOTHING, EXPECT_OK, EXPECT_CODE } what;
	unsigned code;
	char port[NAME_SIZE]; /* "" = not told; a number, any, other, or a $name */
	bool has_lifetime, has_address, has_epoch;
	uint32_t lifetime, epoch;
	struct address address;
	char text[WORDS_TEXT];
};

/* One request and what came of it. */
struct exchange {
	size_t line;
	struct ask ask;
	struct expectation expect;
	uint8_t bytes[DATAGRAM_MAX];
	struct datagram datagram;
	struct map_request request;
	unsigned answers;
	uint8_t reply[DATAGRAM_MAX];
	size_t reply_size;
	struct heard heard;
};

/* A port that a story gave a name. */
struct variable {
	char name[NAME_SIZE];
	uint16_t port;
};

struct story {
	const char *path;
	char *text;
	struct line {
		const char *text;
		size_t length;
	} * line;
	size_t lines;
	size_t at;     /* the line being told */
	bool begun;    /* a step was told: the world is there */
	monotime time; /* of the last step, from the story's begin */
	struct prefix lan;
	struct address wan;
	struct config *config;
	struct world world;
	struct variable variable[VARIABLES_MAX];
	size_t variables;
	struct exchange exchange[EXCHANGES_MAX];
	size_t exchanges;
	char error[1024];
};

static bool __attribute__((format(printf, 2, 3)))
fail_story(struct story *s, const char *format, ...)
{
	va_list arguments;
	int used = snprintf(s->error, sizeof(s->error), "%s:%zu: ", s->path, s->at + 1);

	va_start(arguments, format);
	vsnprintf(s->error + used, sizeof(s->error) - (size_t)used, format, arguments);
	va_end(arguments);
	return false;
}

static bool
fail_word(struct story *s, const char *word, const char *expected)
{
	return fail_story(s, "expected %s, found \"%s\"", expected, word);
}

/* --- ports and their names ---------------------------------------------------------------------
 */

static struct variable *
find_variable(struct story *s, const char *name)
{
	for (size_t i = 0; i < s->variables; i++)
		if (strcmp(s->variable[i].name, name) == 0)
			return &s->variable[i];
	return NULL;
}

/* A number, a name for one, or any. */
static bool
take_port(struct story *s, struct words *w, uint16_t *port)
{
	const char *word = words_next(w);
	const struct variable *variable = word[0] == '$' ? find_variable(s, word) : NULL;
	uint64_t number = variable ? variable->port : 0;

	if (!variable && strcmp(word, "any") != 0 && !read_number(word, 65535, &number))
		return fail_word(s, word, "a port, any, or a port's $name from before");
	*port = (uint16_t)number;
	return true;
}

/* Is it the port that was expected?  A new name takes it. */
static bool
port_fits(struct story *s, const char *expected, uint16_t asked, uint16_t port)
{
	const struct variable *variable = find_variable(s, expected);

	if (!expected[0] || strcmp(expected, "any") == 0)
		return true;
	if (strcmp(expected, "other") == 0)
		return port != asked;
	if (expected[0] != '$')
		return strtoul(expected, NULL, 10) == port;
	if (!variable && s->variables < VARIABLES_MAX) {
		variable = &s->variable[s->variables++];
		strcpy(s->variable[s->variables - 1].name, expected);
		s->variable[s->variables - 1].port = port;
	}
	return variable && variable->port == port;
}

static bool
take_transport(struct story *s, struct words *w, enum transport *transport)
{
	const char *word = words_next(w);

	return transport_find(word, transport) || fail_word(s, word, "tcp or udp");
}

static bool
take_count(struct story *s, struct words *w, uint64_t *count)
{
	const char *word = words_next(w);

	return read_number(word, UINT32_MAX, count) || fail_word(s, word, "a number");
}

static bool
take_seconds(struct story *s, struct words *w, uint32_t *seconds)
{
	const char *word = words_next(w);

	return read_seconds(word, seconds) || fail_word(s, word, "whole seconds");
}

static bool
take_address(struct story *s, struct words *w, struct address *address)
{
	const char *word = words_next(w);

	return address_parse(word, address) || fail_word(s, word, "an address");
}

/* --- what a client asks ------------------------------------------------------------------------
 */

static const char *const protocol_names[] = {[NATPMP] = "natpmp", [PCP] = "pcp", [UPNP] = "upnp"};

/* What stands between a verb and its options, as it does in the message itself. */
enum form {
	FORM_BARE,
	FORM_TRANSPORT,
	FORM_INTERNAL,		/* udp 4000 */
	FORM_EXTERNAL,		/* udp 4000 */
	FORM_INTERNAL_EXTERNAL, /* udp 4000 -> 4000 */
	FORM_EXTERNAL_INTERNAL,
};

static const struct verb {
	enum protocol protocol;
	const char *name;
	enum request_kind kind;
	enum form form;
	enum if_taken if_taken;
} verbs[] = {
    {NATPMP, "address", REQUEST_ADDRESS, FORM_BARE, IF_TAKEN_OTHER_PORT},
    {NATPMP, "map", REQUEST_MAP, FORM_INTERNAL_EXTERNAL, IF_TAKEN_OTHER_PORT},
    {NATPMP, "delete", REQUEST_DELETE, FORM_INTERNAL, IF_TAKEN_OTHER_PORT},
    {NATPMP, "delete-all", REQUEST_DELETE_ALL, FORM_TRANSPORT, IF_TAKEN_OTHER_PORT},
    {PCP, "announce", REQUEST_ANNOUNCE, FORM_BARE, IF_TAKEN_OTHER_PORT},
    {PCP, "map", REQUEST_MAP, FORM_INTERNAL_EXTERNAL, IF_TAKEN_OTHER_PORT},
    {PCP, "delete", REQUEST_DELETE, FORM_INTERNAL, IF_TAKEN_OTHER_PORT},
    {UPNP, "AddPortMapping", REQUEST_MAP, FORM_EXTERNAL_INTERNAL, IF_TAKEN_REPLACE_OWN},
    {UPNP, "AddAnyPortMapping", REQUEST_MAP, FORM_EXTERNAL_INTERNAL, IF_TAKEN_OTHER_PORT},
    {UPNP, "DeletePortMapping", REQUEST_DELETE, FORM_EXTERNAL, IF_TAKEN_OTHER_PORT},
};

static const struct verb *
find_verb(const char *protocol, const char *name)
{
	for (size_t i = 0; i < COUNT(verbs); i++)
		if (strcmp(protocol_names[verbs[i].protocol], protocol) == 0 &&
		    strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static bool
take_form(struct story *s, struct words *w, enum form form, struct ask *ask)
{
	uint16_t *first = form == FORM_EXTERNAL || form == FORM_EXTERNAL_INTERNAL ? &ask->external
										  : &ask->internal;
	uint16_t *second = first == &ask->internal ? &ask->external : &ask->internal;

	if (form == FORM_BARE)
		return true;
	if (!take_transport(s, w, &ask->transport))
		return false;
	if (form == FORM_TRANSPORT)
		return true;
	if (!take_port(s, w, first))
		return false;
	if (form == FORM_INTERNAL || form == FORM_EXTERNAL)
		return true;
	if (!words_take(w, "->"))
		return fail_word(s, words_peek(w), "->");
	return take_port(s, w, second);
}

static bool
option_for(struct story *s, struct words *w, struct ask *ask)
{
	return take_seconds(s, w, &ask->lifetime);
}

static bool
option_nonce(struct story *s, struct words *w, struct ask *ask)
{
	uint64_t nonce = 0;
	bool ok = take_count(s, w, &nonce);

	ask->nonce = (uint32_t)nonce;
	return ok;
}

static bool
option_prefer_failure(struct story *s, struct words *w, struct ask *ask)
{
	(void)s;
	(void)w;
	ask->if_taken = IF_TAKEN_FAIL;
	return true;
}

static bool
option_wanting(struct story *s, struct words *w, struct ask *ask)
{
	return take_address(s, w, &ask->wanted);
}

static bool
option_host(struct story *s, struct words *w, struct ask *ask)
{
	return take_address(s, w, &ask->host);
}

static bool
option_claiming(struct story *s, struct words *w, struct ask *ask)
{
	return take_address(s, w, &ask->claimed);
}

static bool
option_named(struct story *s, struct words *w, struct ask *ask)
{
	(void)s;
	snprintf(ask->name, sizeof(ask->name), "%s", words_next(w));
	return true;
}

static bool
option_version(struct story *s, struct words *w, struct ask *ask)
{
	uint64_t version = 0;
	bool ok = take_count(s, w, &version);

	ask->version = (uint8_t)version;
	return ok;
}

static bool
option_opcode(struct story *s, struct words *w, struct ask *ask)
{
	uint64_t opcode = 0;
	bool ok = take_count(s, w, &opcode);

	ask->opcode = (uint8_t)opcode;
	return ok;
}

static bool
option_cut(struct story *s, struct words *w, struct ask *ask)
{
	return take_count(s, w, &ask->cut);
}

#define IN(protocol) (1u << (protocol))

static const struct option {
	const char *name;
	unsigned protocols;
	bool (*take)(struct story *, struct words *, struct ask *);
} options[] = {
    {"for", IN(NATPMP) | IN(PCP) | IN(UPNP), option_for},
    {"nonce", IN(PCP), option_nonce},
    {"prefer-failure", IN(PCP), option_prefer_failure},
    {"wanting", IN(PCP), option_wanting},
    {"claiming", IN(PCP), option_claiming},
    {"host", IN(UPNP), option_host},
    {"named", IN(UPNP), option_named},
    {"version", IN(NATPMP) | IN(PCP), option_version},
    {"opcode", IN(NATPMP) | IN(PCP), option_opcode},
    {"cut", IN(NATPMP) | IN(PCP), option_cut},
};

static bool
take_options(struct story *s, struct words *w, struct ask *ask)
{
	while (words_peek(w)[0] && !words_take(w, "expect")) {
		const char *word = words_next(w);
		size_t i = 0;

		while (i < COUNT(options) && (strcmp(options[i].name, word) != 0 ||
					      !(options[i].protocols & IN(ask->protocol))))
			i++;
		if (i == COUNT(options))
			return fail_word(s, word, "expect, or an option of this protocol");
		if (!options[i].take(s, w, ask))
			return false;
	}
	return strcmp(w->word[w->at - 1], "expect") == 0 || fail_word(s, "", "expect");
}

/* Of several hosts each has its own ports, so a name gets the host's last octet. */
static bool
take_expected_port(struct story *s, struct words *w, const struct hosts *hosts, unsigned n,
		   struct expectation *e)
{
	const char *word = words_next(w);
	uint64_t number;
	int used;

	if (strcmp(word, "any") != 0 && strcmp(word, "other") != 0 && word[0] != '$' &&
	    !read_number(word, 65535, &number))
		return fail_word(s, word, "a port, any, other, a $name or an address");
	if (word[0] == '$' && hosts->count > 1)
		used =
		    snprintf(e->port, sizeof(e->port), "%s.%u", word, nth_host(hosts, n).bytes[15]);
	else
		used = snprintf(e->port, sizeof(e->port), "%s", word);
	return used < (int)sizeof(e->port) || fail_word(s, word, "a shorter name");
}

static bool
take_outcome(struct story *s, struct words *w, enum protocol protocol, struct expectation *e)
{
	uint64_t code;

	if (words_take(w, "nothing")) {
		e->what = EXPECT_NOTHING;
	} else if (words_take(w, "ok")) {
		e->what = EXPECT_OK;
	} else if (words_take(w, protocol == UPNP ? "error" : "result")) {
		e->what = EXPECT_CODE;
		if (!take_count(s, w, &code))
			return false;
		e->code = (unsigned)code;
	} else {
		return fail_word(s, words_peek(w),
				 protocol == UPNP ? "ok or error" : "ok, result or nothing");
	}
	return true;
}

static bool
take_expectation(struct story *s, struct words *w, struct exchange *x, const struct hosts *hosts,
		 unsigned n)
{
	struct expectation *e = &x->expect;

	words_from(w, w->at, e->text);
	if (!take_outcome(s, w, x->ask.protocol, e))
		return false;
	if (e->what == EXPECT_OK && words_peek(w)[0] && strcmp(words_peek(w), "epoch") != 0) {
		e->has_address = address_parse(words_peek(w), &e->address);
		if (e->has_address)
			words_next(w);
		else if (!take_expected_port(s, w, hosts, n, e))
			return false;
	}
	if (words_take(w, "for")) {
		e->has_lifetime = true;
		if (!take_seconds(s, w, &e->lifetime))
			return false;
	}
	if (words_take(w, "epoch")) {
		e->has_epoch = true;
		if (!take_seconds(s, w, &e->epoch))
			return false;
	}
	return true;
}

/* One host's request.  The words are read anew for each. */
static bool
take_exchange(struct story *s, struct words *w, const struct hosts *hosts, unsigned n)
{
	struct exchange *x = &s->exchange[s->exchanges];
	const char *protocol = words_next(w), *name = words_next(w);
	const struct verb *verb = find_verb(protocol, name);

	if (s->exchanges == EXCHANGES_MAX)
		return fail_story(s, "expected at most %d requests in a batch", EXCHANGES_MAX);
	if (!verb)
		return fail_story(s, "unknown request \"%s %s\"", protocol, name);
	memset(x, 0, sizeof(*x));
	x->line = s->at;
	x->ask = (struct ask){
	    .protocol = verb->protocol,
	    .kind = verb->kind,
	    .if_taken = verb->if_taken,
	    .client = nth_host(hosts, n),
	    .wanted = address_from_ipv4(0),
	    .version = -1,
	    .opcode = -1,
	    .cut = SIZE_MAX,
	};
	x->ask.host = x->ask.claimed = x->ask.client;
	if (!take_form(s, w, verb->form, &x->ask) || !take_options(s, w, &x->ask) ||
	    !take_expectation(s, w, x, hosts, n))
		return false;
	s->exchanges++;
	return true;
}

static bool
take_request(struct story *s, struct words *w)
{
	const char *word = words_next(w);
	size_t begin = w->at;
	struct hosts hosts;

	if (!read_hosts(word, &hosts))
		return fail_word(s, word, "a step or a client's address");
	for (unsigned n = 0; n < hosts.count; n++) {
		w->at = begin;
		if (!take_exchange(s, w, &hosts, n))
			return false;
	}
	return true;
}

/* --- a batch, and what is heard of it -----------------------------------------------------------
 */

typedef size_t encode_fn(const struct datagram *, const struct map_request *,
			 const struct map_reply *, uint8_t *, size_t);

/* By the first octet, as on the socket. */
static bool
is_version_zero(const struct exchange *x)
{
	return x->datagram.bytes[0] == 0;
}

static void
seal(struct exchange *x, const struct map_request *request, const struct map_reply *reply)
{
	encode_fn *encode = is_version_zero(x) ? natpmp_encode : pcp_encode;

	x->reply_size = encode(&x->datagram, request, reply, x->reply, sizeof(x->reply));
	x->answers++;
}

static void
answer_datagram(void *who, uint32_t slot, const struct map_request *request,
		const struct map_reply *reply)
{
	struct story *s = who;

	seal(&s->exchange[slot], request, reply);
}

static void
answer_upnp(void *who, uint32_t slot, const struct map_request *request,
	    const struct map_reply *reply)
{
	struct story *s = who;
	struct exchange *x = &s->exchange[slot];

	x->answers++;
	x->heard = (struct heard){
	    .any = true,
	    .result = upnp_error(request, reply->result),
	    .port = reply->external.port,
	    .lifetime = reply->lifetime,
	};
}

/* As the front end does.  True: the engine was asked. */
static bool
decode(struct story *s, struct exchange *x)
{
	const struct config *config = s->config;
	struct map_reply reply = {.result = MAP_OK};
	size_t size = write_datagram(&x->ask, x->bytes, sizeof(x->bytes));
	enum decode_result result;

	x->datagram = (struct datagram){
	    .bytes = x->bytes, .size = size, .kept = size, .source = x->ask.client};
	if (is_version_zero(x))
		result = natpmp_decode(&x->datagram, &x->request, &reply);
	else
		result = pcp_decode(&x->datagram, &x->request, &reply);
	x->request.lifetime_min = is_version_zero(x) ? 0 : config->min_lifetime;
	x->request.lifetime_max = config->max_lifetime;
	x->request.asker.answer = answer_datagram;
	if (result == DECODE_REJECT) {
		reply.epoch = engine_epoch(s->world.engine, s->world.now);
		seal(x, &x->request, &reply);
	}
	return result == DECODE_OK;
}

/* True: the engine was asked. */
static bool
ask_engine(struct story *s, size_t slot)
{
	struct exchange *x = &s->exchange[slot];

	if (x->ask.protocol == UPNP) {
		x->request = upnp_request(&x->ask);
		x->request.asker.answer = answer_upnp;
	} else if (!decode(s, x)) {
		return false;
	}
	x->request.asker.who = s;
	x->request.asker.slot = (uint32_t)slot;
	engine_submit(s->world.engine, &x->request, s->world.now);
	return true;
}

static void
print_heard(const struct heard *h, const struct exchange *x, char *text, size_t size)
{
	char address[ADDRESS_TEXT_SIZE];
	int used;

	if (!h->any)
		used = snprintf(text, size, "nothing");
	else if (h->result != 0)
		used = snprintf(text, size, "%s %u", x->ask.protocol == UPNP ? "error" : "result",
				h->result);
	else if (x->ask.kind == REQUEST_ADDRESS)
		used = snprintf(text, size, "ok %s", address_print(&h->address, address));
	else if (h->port)
		used = snprintf(text, size, "ok %u", h->port);
	else
		used = snprintf(text, size, "ok");
	if (h->lifetime)
		used += snprintf(text + used, size - (size_t)used, " for %u", h->lifetime);
	if (x->expect.has_epoch)
		snprintf(text + used, size - (size_t)used, " epoch %u", h->epoch);
}

static bool
meets(struct story *s, const struct exchange *x)
{
	const struct expectation *e = &x->expect;
	const struct heard *h = &x->heard;

	if (h->any != (e->what != EXPECT_NOTHING))
		return false;
	if (h->result != (e->what == EXPECT_CODE ? e->code : 0))
		return false;
	if ((e->has_lifetime && e->lifetime != h->lifetime) ||
	    (e->has_epoch && e->epoch != h->epoch) ||
	    (e->has_address && !address_equal(&e->address, &h->address)))
		return false;
	return port_fits(s, e->port, x->ask.external, h->port);
}

/* What holds of every answer, whatever a story expects of it. */
static const char *
listen(struct story *s, struct exchange *x)
{
	const char *fault;

	if (x->ask.protocol == UPNP || x->reply_size == 0)
		return NULL;
	fault = read_datagram(&x->ask, x->bytes, x->reply, x->reply_size, &x->heard);
	if (fault)
		return fault;
	if (x->heard.result == 0 && x->ask.kind != REQUEST_DELETE &&
	    !address_is_unspecified(&x->heard.address) &&
	    !address_equal(&x->heard.address, &s->world.external))
		return "with an address that is not ours";
	if ((x->ask.protocol == PCP || x->heard.result != 5) &&
	    x->heard.epoch != (uint32_t)((s->world.now - s->world.epoch) / MONOTIME_SECOND))
		return "with a wrong epoch";
	return NULL;
}

static bool
check_exchange(struct story *s, struct exchange *x, bool asked)
{
	char text[120];
	const char *fault = listen(s, x);

	s->at = x->line;
	if (asked && x->answers != 1)
		return fail_story(s, "answered %u times", x->answers);
	if (fault)
		return fail_story(s, "the answer is %s", fault);
	if (meets(s, x))
		return true;
	print_heard(&x->heard, x, text, sizeof(text));
	return fail_story(s, "expected %s, heard %s", x->expect.text, text);
}

/* All that was taken, as one batch. */
static bool
run_batch(struct story *s)
{
	bool asked[EXCHANGES_MAX], any = false;

	for (size_t i = 0; i < s->exchanges; i++)
		any |= asked[i] = ask_engine(s, i);
	if (any) {
		engine_flush(s->world.engine, s->world.now);
		world_changed(&s->world);
	}
	for (size_t i = 0; i < s->exchanges; i++)
		if (!check_exchange(s, &s->exchange[i], asked[i]))
			return false;
	return true;
}

static bool
step_request(struct story *s, struct words *w)
{
	s->exchanges = 0;
	return take_request(s, w) && run_batch(s);
}

/* --- what happens around the daemon -------------------------------------------------------------
 */

static bool
take_wan(struct story *s, struct words *w, struct address *address)
{
	if (!words_take(w, "none"))
		return take_address(s, w, address);
	*address = (struct address){0};
	return true;
}

static bool
step_wan(struct story *s, struct words *w)
{
	struct address address;

	if (!take_wan(s, w, &address))
		return false;
	world_set_external(&s->world, &address);
	return true;
}

static bool
step_listens(struct story *s, struct words *w)
{
	enum transport transport;
	uint16_t port;

	if (!take_transport(s, w, &transport) || !take_port(s, w, &port))
		return false;
	s->world.listening[transport == TRANSPORT_UDP][port] = true;
	return true;
}

static bool
step_refuses(struct story *s, struct words *w)
{
	uint64_t count;

	if (!take_count(s, w, &count))
		return false;
	fake_firewall_refuse_additions(s->world.firewall, (unsigned)count, ENOSPC);
	return true;
}

static bool
step_fails(struct story *s, struct words *w)
{
	uint64_t count;

	if (!take_count(s, w, &count))
		return false;
	fake_firewall_fail_commits(s->world.firewall, (unsigned)count, EIO);
	return true;
}

/* Untold: word of it has not come yet. */
static bool
step_loses(struct story *s, struct words *w)
{
	fake_firewall_lose(s->world.firewall);
	if (words_take(w, "untold")) {
		world_tamper(&s->world);
		return true;
	}
	engine_check_table(s->world.engine, s->world.now);
	world_changed(&s->world);
	return true;
}

static bool
step_drops(struct story *s, struct words *w)
{
	enum transport transport;
	uint16_t port;

	if (!take_transport(s, w, &transport) || !take_port(s, w, &port))
		return false;
	if (!fake_firewall_find(s->world.firewall, transport, port))
		return fail_story(s, "the kernel has no such mapping");
	fake_firewall_drop(s->world.firewall, transport, port);
	world_tamper(&s->world);
	return true;
}

static bool
step_connections(struct story *s, struct words *w)
{
	enum transport transport;
	uint16_t port;
	uint64_t count;

	if (!take_transport(s, w, &transport) || !take_port(s, w, &port) ||
	    !take_count(s, w, &count))
		return false;
	fake_firewall_connect(s->world.firewall, transport, port, count);
	return true;
}

static bool
step_removes(struct story *s, struct words *w)
{
	const struct lease *lease;
	enum transport transport;
	uint16_t port;

	if (!take_transport(s, w, &transport) || !take_port(s, w, &port))
		return false;
	lease = lease_table_by_external(engine_leases(s->world.engine), transport, port);
	if (!lease || !engine_remove(s->world.engine, lease->record.id, s->world.now))
		return fail_story(s, "there is no such lease");
	engine_flush(s->world.engine, s->world.now);
	world_changed(&s->world);
	return true;
}

/* --- what is there now ---------------------------------------------------------------------------
 */

struct census {
	const char *of; /* "leases" */
	size_t count;
	/* False: none there.  Else how it is told. */
	bool (*describe)(struct story *, enum transport, uint16_t port, char *text, size_t size);
};

static const char *
protocol_of(enum origin origin)
{
	static const char *const names[ORIGINS] = {
	    [ORIGIN_STATIC] = "admin",
	    [ORIGIN_NATPMP] = "natpmp",
	    [ORIGIN_PCP] = "pcp",
	    [ORIGIN_UPNP] = "upnp",
	};

	return names[origin];
}

static bool
describe_lease(struct story *s, enum transport transport, uint16_t port, char *text, size_t size)
{
	const struct lease *lease =
	    lease_table_by_external(engine_leases(s->world.engine), transport, port);
	char to[ADDRESS_TEXT_SIZE + 8];
	uint64_t connections;

	if (!lease)
		return false;
	connections = engine_connections(s->world.engine, lease);
	snprintf(text, size, " to %s by %s for %u %s%s connections %llu named %s ",
		 print_endpoint(&lease->record.internal, to), protocol_of(lease->record.origin),
		 (unsigned)((lease->record.ends - s->world.now + 999) / MONOTIME_SECOND),
		 lease->record.outbound ? "outbound" : "inbound",
		 lease->record.companion ? " companion" : "", (unsigned long long)connections,
		 lease->record.description ? lease->record.description : "-");
	return true;
}

static bool
describe_mapping(struct story *s, enum transport transport, uint16_t port, char *text, size_t size)
{
	const struct fake_mapping *m = fake_firewall_find(s->world.firewall, transport, port);
	char to[ADDRESS_TEXT_SIZE + 8];

	if (!m)
		return false;
	snprintf(text, size, " to %s %s ", print_endpoint(&m->internal, to),
		 m->outbound ? "outbound" : "inbound");
	return true;
}

/* Each expected trait, "by pcp" or "outbound", must be among the words of the text. */
static bool
check_traits(struct story *s, struct words *w, const char *text)
{
	static const char *const alone[] = {"outbound", "inbound", "companion"};

	while (words_peek(w)[0]) {
		const char *first = words_next(w), *second = NULL;
		char trait[WORDS_TEXT + 4];
		size_t i = 0;

		while (i < COUNT(alone) && strcmp(alone[i], first) != 0)
			i++;
		second = i < COUNT(alone) ? "" : words_next(w);
		snprintf(trait, sizeof(trait), second[0] ? " %s %s " : " %s ", first, second);
		if (!strstr(text, trait))
			return fail_story(s, "expected%s, found%s", trait, text);
	}
	return true;
}

static bool
check_has(struct story *s, struct words *w, const struct census *census)
{
	enum transport transport;
	char text[400];
	uint64_t count = 0;
	uint16_t port;

	if (words_take(w, "nothing") || read_number(words_peek(w), UINT32_MAX, &count)) {
		if (count)
			words_next(w);
		return census->count == count ||
		       fail_story(s, "expected %llu, found %zu %s", (unsigned long long)count,
				  census->count, census->of);
	}
	if (!take_transport(s, w, &transport) || !take_port(s, w, &port))
		return false;
	if (!census->describe(s, transport, port, text, sizeof(text)))
		return fail_story(s, "%s %u is not there", transport_name(transport), port);
	return check_traits(s, w, text);
}

static bool
check_lacks(struct story *s, struct words *w, const struct census *census)
{
	enum transport transport;
	char text[400];
	uint16_t port;

	if (!take_transport(s, w, &transport) || !take_port(s, w, &port))
		return false;
	return !census->describe(s, transport, port, text, sizeof(text)) ||
	       fail_story(s, "%s %u is there:%s", transport_name(transport), port, text);
}

static bool
check_census(struct story *s, struct words *w, const struct census *census)
{
	if (words_take(w, "has"))
		return check_has(s, w, census);
	if (words_take(w, "lacks"))
		return check_lacks(s, w, census);
	return fail_word(s, words_peek(w), "has or lacks");
}

static bool
step_list(struct story *s, struct words *w)
{
	const struct census leases = {"leases", lease_table_count(engine_leases(s->world.engine)),
				      describe_lease};

	return check_census(s, w, &leases);
}

static bool
step_kernel(struct story *s, struct words *w)
{
	const struct census mappings = {"mappings", fake_firewall_count(s->world.firewall),
					describe_mapping};

	if (words_take(w, "table-missing"))
		return !fake_firewall_has_table(s->world.firewall) ||
		       fail_story(s, "the table is there");
	if (words_take(w, "table-there"))
		return fake_firewall_has_table(s->world.firewall) ||
		       fail_story(s, "the table is missing");
	return check_census(s, w, &mappings);
}

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
    {"granted", offsetof(struct counters, granted)},
    {"renewed", offsetof(struct counters, renewed)},
    {"deleted", offsetof(struct counters, deleted)},
    {"expired", offsetof(struct counters, expired)},
    {"removed", offsetof(struct counters, removed)},
    {"kernel-transactions", offsetof(struct counters, kernel_transactions)},
    {"kernel-aborts", offsetof(struct counters, kernel_aborts)},
    {"kernel-refusals", offsetof(struct counters, kernel_refusals)},
    {"table-restores", offsetof(struct counters, table_restores)},
    {"address-changes", offsetof(struct counters, address_changes)},
};

/* "wakes" is ours: how often the engine wanted to be called. */
static bool
read_counter(const struct story *s, const char *name, uint64_t *value)
{
	const char *all = (const char *)engine_counters(s->world.engine);

	*value = s->world.wakes;
	if (strcmp(name, "wakes") == 0)
		return true;
	for (size_t i = 0; i < COUNT(counters); i++)
		if (strcmp(counters[i].name, name) == 0) {
			memcpy(value, all + counters[i].offset, sizeof(*value));
			return true;
		}
	return false;
}

static bool
step_counter(struct story *s, struct words *w)
{
	const char *name = words_next(w);
	bool at_most = words_take(w, "at-most");
	uint64_t value, expected;

	if (!read_counter(s, name, &value))
		return fail_word(s, name, "a counter");
	if (!take_count(s, w, &expected))
		return false;
	if (at_most ? value <= expected : value == expected)
		return true;
	return fail_story(s, "expected %s%llu, found %llu", at_most ? "at most " : "",
			  (unsigned long long)expected, (unsigned long long)value);
}

static const struct {
	const char *word;
	bool (*run)(struct story *, struct words *);
} steps[] = {
    {"wan", step_wan},
    {"gateway-listens", step_listens},
    {"kernel-refuses-next", step_refuses},
    {"kernel-fails-next", step_fails},
    {"kernel-loses-table", step_loses},
    {"kernel-drops", step_drops},
    {"connections", step_connections},
    {"admin-removes", step_removes},
    {"list", step_list},
    {"kernel", step_kernel},
    {"counter", step_counter},
};

/* --- the story as a text
 * -------------------------------------------------------------------------- */

static bool
read_story(struct story *s)
{
	FILE *file = fopen(s->path, "r");
	size_t size = 0;
	ssize_t length = file ? getdelim(&s->text, &size, '\0', file) : -1;

	if (file)
		fclose(file);
	if (length <= 0)
		return fail_story(s, "cannot be read");
	s->line = calloc((size_t)length + 1, sizeof(s->line[0]));
	if (!s->line)
		return fail_story(s, "out of memory");
	for (const char *at = s->text; *at; s->lines++) {
		size_t span = strcspn(at, "\n");

		s->line[s->lines] = (struct line){at, span};
		at += at[span] ? span + 1 : span;
	}
	return true;
}

/* The line that closes the block which line `begin` opens; s->lines: none does. */
static size_t
end_of_block(const struct story *s, size_t begin)
{
	int depth = 0;
	size_t at;

	for (at = begin; at < s->lines; at++) {
		const struct line *line = &s->line[at];

		for (size_t i = 0; i < line->length && line->text[i] != '#'; i++)
			depth += (line->text[i] == '{') - (line->text[i] == '}');
		if (depth <= 0)
			break;
	}
	return at;
}

/* "/proc/…:LINE: what is wrong": the lines are the story's own. */
static bool
fail_config(struct story *s, const char *error)
{
	const char *what = strchr(error, ':');
	unsigned long line = what ? strtoul(what + 1, NULL, 10) : 0;

	if (line > 0 && line <= s->lines)
		s->at = line - 1;
	what = what ? strchr(what + 1, ':') : NULL;
	return fail_story(s, "config:%s", what ? what + 1 : error);
}

/* Lines begin to end of the story as the text of portlease.conf, in their places. */
static bool
read_config(struct story *s, size_t begin, size_t end)
{
	FILE *file = tmpfile();
	char path[64], error[400];

	if (!file)
		return fail_story(s, "cannot make a temporary file");
	for (size_t i = 0; i < end; i++)
		fprintf(file, "%.*s\n", i > begin ? (int)s->line[i].length : 0, s->line[i].text);
	fprintf(file, "lan \"br-lan\" { }\nwan \"wan0\" { }\n");
	fflush(file);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(file));
	s->config = config_read(path, error, sizeof(error));
	fclose(file);
	return s->config || fail_config(s, error);
}

/* What a story begins with: the network and the config. */
static bool
tell_heading(struct story *s, struct words *w, size_t *at)
{
	size_t end;

	if (words_take(w, "wan"))
		return take_wan(s, w, &s->wan);
	if (words_take(w, "lan"))
		return prefix_parse(words_next(w), &s->lan) || fail_word(s, w->word[1], "a prefix");
	if (!words_take(w, "config") || !words_take(w, "{"))
		return fail_word(s, words_peek(w), "a time, or lan, wan or config {");
	end = end_of_block(s, *at);
	if (end == s->lines)
		return fail_story(s, "the block has no end");
	if (s->config)
		return fail_story(s, "a second config");
	if (!read_config(s, *at, end))
		return false;
	*at = end;
	return true;
}

static bool
begin(struct story *s)
{
	if (s->begun)
		return true;
	if (!s->config && !read_config(s, 0, 0))
		return false;
	s->begun = true;
	return world_open(&s->world, s->config, &s->lan, &s->wan) || fail_story(s, "out of memory");
}

static bool
pass(struct story *s, monotime time)
{
	if (time < s->time)
		return fail_story(s, "time does not go back");
	s->time = time;
	return world_pass(&s->world, WORLD_BEGIN + time) || fail_story(s, "%s", s->world.fault);
}

static bool
read_line(struct story *s, size_t at, struct words *w)
{
	s->at = at;
	return words_split(w, s->line[at].text, s->line[at].length) ||
	       fail_story(s, "the line is too long");
}

static bool
all_read(struct story *s, struct words *w)
{
	return w->at == w->count || fail_story(s, "unknown word \"%s\"", words_peek(w));
}

/* The requests of lines first to end, flushed together. */
static bool
tell_batch(struct story *s, size_t first, size_t end)
{
	struct words w;

	s->exchanges = 0;
	for (size_t at = first; at < end; at++) {
		if (!read_line(s, at, &w))
			return false;
		if (w.count > 0 && (!take_request(s, &w) || !all_read(s, &w)))
			return false;
	}
	return run_batch(s);
}

static bool tell_lines(struct story *, size_t first, size_t end, monotime base);

struct rounds {
	uint64_t count;
	monotime period;
	monotime base;
};

/* repeat 48 every 30m {: the times inside count from each round's begin. */
static bool
take_rounds(struct story *s, struct words *w, struct rounds *rounds)
{
	if (!take_count(s, w, &rounds->count))
		return false;
	if (!words_take(w, "every") || !read_time(words_next(w), &rounds->period))
		return fail_story(s, "expected every TIME");
	return true;
}

static bool
tell_rounds(struct story *s, size_t first, size_t end, const struct rounds *rounds)
{
	for (uint64_t i = 0; i < rounds->count; i++)
		if (!tell_lines(s, first, end, rounds->base + (monotime)i * rounds->period))
			return false;
	return true;
}

/* A step that goes on over several lines; *at moves to its last one. */
static bool
tell_block(struct story *s, struct words *w, size_t *at)
{
	struct rounds rounds = {.base = s->time};
	bool batch = words_take(w, "batch");
	size_t first = *at + 1, end = end_of_block(s, *at);

	if (!batch && (!words_take(w, "repeat") || !take_rounds(s, w, &rounds)))
		return false;
	if (!words_take(w, "{"))
		return fail_word(s, words_peek(w), "{");
	if (end == s->lines)
		return fail_story(s, "the block has no end");
	*at = end;
	return all_read(s, w) &&
	       (batch ? tell_batch(s, first, end) : tell_rounds(s, first, end, &rounds));
}

static bool
tell_step(struct story *s, struct words *w, size_t *at)
{
	const char *word = words_peek(w);
	size_t i = 0;

	if (strcmp(word, "batch") == 0 || strcmp(word, "repeat") == 0)
		return tell_block(s, w, at);
	while (i < COUNT(steps) && strcmp(steps[i].word, word) != 0)
		i++;
	if (i == COUNT(steps))
		return step_request(s, w) && all_read(s, w);
	words_next(w);
	return steps[i].run(s, w) && all_read(s, w);
}

/* A time from the base, or after + from the step before. */
static bool
take_time(struct words *w, monotime base, monotime before, monotime *time)
{
	const char *word = words_next(w);
	bool after = word[0] == '+';

	if (!read_time(word + after, time))
		return false;
	*time += after ? before : base;
	return true;
}

static bool
tell_lines(struct story *s, size_t first, size_t end, monotime base)
{
	for (size_t at = first; at < end; at++) {
		struct words w;
		monotime time;

		if (!read_line(s, at, &w))
			return false;
		if (w.count == 0)
			continue;
		if (!take_time(&w, base, s->time, &time)) {
			w.at = 0;
			if (s->begun)
				return fail_word(s, words_peek(&w), "a time");
			if (!tell_heading(s, &w, &at) || !all_read(s, &w))
				return false;
			continue;
		}
		if (!begin(s) || !pass(s, time) || !tell_step(s, &w, &at))
			return false;
		if (!world_check_meanwhile(&s->world))
			return fail_story(s, "%s", s->world.fault);
	}
	return true;
}

static bool
tell(struct story *s)
{
	if (!read_story(s) || !tell_lines(s, 0, s->lines, 0))
		return false;
	s->at = s->lines - 1;
	if (!s->begun)
		return fail_story(s, "nothing happens");
	return world_check_end(&s->world) || fail_story(s, "%s", s->world.fault);
}

/* --- the stories as tests
 * -------------------------------------------------------------------------- */

static struct story story;

/* *error: why it failed, "" if it did not. */
static void
tell_file(const char *path, char *error, size_t size)
{
	memset(&story, 0, sizeof(story));
	story.path = path;
	prefix_parse("192.168.1.0/24", &story.lan);
	address_parse("203.0.113.5", &story.wan);
	if (tell(&story))
		story.error[0] = '\0';
	if (story.begun)
		world_close(&story.world);
	else
		config_free(story.config);
	free(story.line);
	free(story.text);
	snprintf(error, size, "%s", story.error);
}

static void
a_story(void **state)
{
	char error[sizeof(story.error)];

	tell_file(*state, error, sizeof(error));
	if (error[0])
		fail_msg("%s", error);
}

/* The first line of one that must fail: "# fails: LINE: why". */
static void
a_story_that_fails(void **state)
{
	const char *path = *state;
	char error[sizeof(story.error)], wanted[600] = "", expected[sizeof(story.error)];
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_non_null(fgets(wanted, sizeof(wanted), file));
	fclose(file);
	wanted[strcspn(wanted, "\n")] = '\0';
	assert_memory_equal(wanted, "# fails: ", 9);
	snprintf(expected, sizeof(expected), "%s:%s", path, wanted + 9);
	tell_file(path, error, sizeof(error));
	assert_string_equal(error, expected);
}

static int
is_story(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0;
}

/* Adds the stories of a folder; returns how many there are then. */
static size_t
add_stories(struct CMUnitTest *tests, size_t count, const char *folder, CMUnitTestFunction test)
{
	struct dirent **entry = NULL;
	int found = scandir(folder, &entry, is_story, alphasort);

	for (int i = 0; i < found; i++) {
		char *path = NULL;

		if (count < STORIES_MAX && asprintf(&path, "%s/%s", folder, entry[i]->d_name) > 0) {
			tests[count].name = path;
			tests[count].test_func = test;
			tests[count++].initial_state = path;
		}
		free(entry[i]);
	}
	free(entry);
	return count;
}

int
main(int argc, char **argv)
{
	static struct CMUnitTest tests[STORIES_MAX];
	const char *folder = getenv("SCENARIOS") ? getenv("SCENARIOS") : "tests/scenario";
	char selftest[400];
	size_t stories, all;
	int failed;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	log_open(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	snprintf(selftest, sizeof(selftest), "%s/selftest", folder);
	stories = add_stories(tests, 0, folder, a_story);
	all = add_stories(tests, stories, selftest, a_story_that_fails);
	if (stories == 0 || all == stories || all == STORIES_MAX) {
		fprintf(stderr, "%s: %zu stories, %zu that must fail\n", folder, stories,
			all - stories);
		return 1;
	}
	failed = _cmocka_run_group_tests("stories", tests, all, NULL, NULL);
	while (all > 0)
		free((char *)tests[--all].name);
	return failed;
}
