/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of a story: read from its lines, sent as one batch the way the front end does it,
 * answers compared. */
#ifndef PORTLEASE_TESTS_EXCHANGE_H
#define PORTLEASE_TESTS_EXCHANGE_H

#include "client.h"
#include "story.h"
#include "../../protocols/igd_action.h"
#include "../../protocols/igd_answer.h"
#include "../../protocols/natpmp.h"
#include "../../protocols/pcp.h"

enum { EXCHANGES_MAX = 300, SAYINGS_MAX = 8, SOAP_SIZE = 8192 };

struct expectation {
	enum { EXPECT_NOTHING, EXPECT_OK, EXPECT_CODE } what;
	uint32_t code;
	char port[NAME_SIZE]; /* "" = not told; a number, any, other, or a $name */
	bool has_lifetime, has_address, has_epoch;
	uint32_t lifetime, epoch;
	struct address address;
	/* Arguments of UPnP's answer, each as it stands in it: "<NAME>VALUE<". */
	char saying[SAYINGS_MAX][80];
	size_t sayings;
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
	bool asked; /* the engine */
	unsigned answers;
	uint8_t reply[DATAGRAM_MAX];
	size_t reply_size;
	struct link_call call;
	char soap[SOAP_SIZE]; /* the answer of UPnP */
	size_t soap_size;
	struct heard heard;
};

/* --- what a client asks --- */

static const char *const protocol_names[] = {[NATPMP] = "natpmp", [PCP] = "pcp", [UPNP] = "upnp"};

/* What stands between a verb and its options, in the order of the message. */
enum form {
	FORM_BARE,
	FORM_TRANSPORT,		/* udp */
	FORM_INTERNAL,		/* udp 4000 */
	FORM_INTERNAL_EXTERNAL, /* udp 4000 -> 4000 */
	FORM_EXTERNAL,
	FORM_EXTERNAL_INTERNAL,
	FORM_RANGE, /* udp 4000 to 4010 */
	FORM_INDEX, /* 0 */
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
    {UPNP, "AddPortMapping", .form = FORM_EXTERNAL_INTERNAL},
    {UPNP, "AddAnyPortMapping", .form = FORM_EXTERNAL_INTERNAL},
    {UPNP, "DeletePortMapping", .form = FORM_EXTERNAL},
    {UPNP, "DeletePortMappingRange", .form = FORM_RANGE},
    {UPNP, "GetSpecificPortMappingEntry", .form = FORM_EXTERNAL},
    {UPNP, "GetGenericPortMappingEntry", .form = FORM_INDEX},
    {UPNP, "GetListOfPortMappings", .form = FORM_RANGE},
    {UPNP, "RequestConnection", .form = FORM_BARE},
    {UPNP, "ForceTermination", .form = FORM_BARE},
};

static inline const struct verb *
find_verb(const char *protocol, const char *name)
{
	for (size_t i = 0; i < COUNT(verbs); i++)
		if (strcmp(protocol_names[verbs[i].protocol], protocol) == 0 &&
		    strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static inline bool
take_form(struct story *s, struct words *w, enum form form, struct ask *ask)
{
	bool by_external = form >= FORM_EXTERNAL;

	if (form == FORM_BARE)
		return true;
	if (form == FORM_INDEX)
		return take_number(s, w, &ask->index);
	if (!take_transport(s, w, &ask->transport))
		return false;
	if (form == FORM_TRANSPORT)
		return true;
	if (!take_port(s, w, by_external ? &ask->external : &ask->internal))
		return false;
	if (form == FORM_INTERNAL || form == FORM_EXTERNAL)
		return true;
	if (form == FORM_RANGE)
		return (words_take(w, "to") || fail_word(s, words_peek(w), "to")) &&
		       take_port(s, w, &ask->last);
	if (!words_take(w, "->"))
		return fail_word(s, words_peek(w), "->");
	return take_port(s, w, by_external ? &ask->internal : &ask->external);
}

#define IN(protocol) (1u << (protocol))
#define AT(member)   offsetof(struct ask, member)

static const struct option {
	const char *name;
	unsigned protocols;
	enum {
		TAKES_SECONDS,
		TAKES_NUMBER,
		TAKES_ADDRESS,
		TAKES_NAME,
		TAKES_ARGUMENT,
		TAKES_ARGUMENT_AND_WORD,
		IS_PREFER_FAILURE,
		IS_TRUE,
	} kind;
	size_t offset; /* of what it sets in struct ask */
} options[] = {
    {"for", IN(NATPMP) | IN(PCP) | IN(UPNP), TAKES_SECONDS, AT(lifetime)},
    {"nonce", IN(PCP), TAKES_NUMBER, AT(nonce)},
    {"prefer-failure", IN(PCP), IS_PREFER_FAILURE, AT(if_taken)},
    {"wanting", IN(PCP), TAKES_ADDRESS, AT(wanted)},
    {"claiming", IN(PCP), TAKES_ADDRESS, AT(claimed)},
    {"host", IN(UPNP), TAKES_ADDRESS, AT(host)},
    {"named", IN(UPNP), TAKES_NAME, AT(name)},
    {"remote", IN(UPNP), TAKES_ADDRESS, AT(remote)},
    {"off", IN(UPNP), IS_TRUE, AT(off)},
    {"manage", IN(UPNP), IS_TRUE, AT(manage)},
    {"at-most", IN(UPNP), TAKES_NUMBER, AT(limit)},
    {"without", IN(UPNP), TAKES_ARGUMENT, AT(spoilt)},
    {"saying", IN(UPNP), TAKES_ARGUMENT_AND_WORD, AT(spoilt)},
    {"version", IN(NATPMP) | IN(PCP) | IN(UPNP), TAKES_NUMBER, AT(version)},
    {"opcode", IN(NATPMP) | IN(PCP), TAKES_NUMBER, AT(opcode)},
    {"cut", IN(NATPMP) | IN(PCP), TAKES_NUMBER, AT(cut)},
};

static inline bool
take_option(struct story *s, struct words *w, struct ask *ask)
{
	const char *word = words_next(w);
	const struct option *option = options;
	void *slot;

	while (strcmp(option->name, word) != 0 || !(option->protocols & IN(ask->protocol)))
		if (++option == options + COUNT(options))
			return fail_word(s, word, "expect, or an option of this protocol");
	slot = (char *)ask + option->offset;
	switch (option->kind) {
	case TAKES_SECONDS:
		return take_seconds(s, w, slot);
	case TAKES_NUMBER:
		return take_number(s, w, slot);
	case TAKES_ADDRESS:
		return take_address(s, w, slot);
	case TAKES_NAME:
		snprintf(slot, sizeof(ask->name), "%s", words_next(w));
		return true;
	case TAKES_ARGUMENT:
	case TAKES_ARGUMENT_AND_WORD:
		snprintf(slot, sizeof(ask->spoilt), "%s", words_next(w));
		ask->missing = option->kind == TAKES_ARGUMENT;
		if (!ask->missing && !words_take(w, "nothing"))
			snprintf(ask->saying, sizeof(ask->saying), "%s", words_next(w));
		return true;
	case IS_PREFER_FAILURE:
		ask->if_taken = IF_TAKEN_FAIL;
		return true;
	case IS_TRUE:
		*(bool *)slot = true;
		return true;
	}
	return false;
}

/* Of several hosts each has its own ports, so a name gets the host's last octet. */
static inline bool
take_expected_port(struct story *s, struct words *w, bool several, struct exchange *x)
{
	const char *word = words_next(w);
	char octet[8] = "";
	uint64_t number;

	if (strcmp(word, "any") != 0 && strcmp(word, "other") != 0 && word[0] != '$' &&
	    !read_number(word, 65535, &number))
		return fail_word(s, word, "a port, any, other, a $name or an address");
	if (word[0] == '$' && several)
		snprintf(octet, sizeof(octet), ".%u", x->ask.client.bytes[15]);
	return snprintf(x->expect.port, NAME_SIZE, "%s%s", word, octet) < NAME_SIZE ||
	       fail_word(s, word, "a shorter name");
}

static inline bool
take_outcome(struct story *s, struct words *w, enum protocol protocol, struct expectation *e)
{
	if (words_take(w, "nothing")) {
		e->what = EXPECT_NOTHING;
	} else if (words_take(w, "ok")) {
		e->what = EXPECT_OK;
	} else if (words_take(w, protocol == UPNP ? "error" : "result")) {
		e->what = EXPECT_CODE;
		return take_number(s, w, &e->code);
	} else {
		return fail_word(s, words_peek(w),
				 protocol == UPNP ? "ok or error" : "ok, result or nothing");
	}
	return true;
}

static inline bool
take_expectation(struct story *s, struct words *w, bool several, struct exchange *x)
{
	struct expectation *e = &x->expect;

	words_from(w, w->at, e->text);
	if (!take_outcome(s, w, x->ask.protocol, e))
		return false;
	if (e->what == EXPECT_OK && words_peek(w)[0] && strcmp(words_peek(w), "epoch") != 0 &&
	    strncmp(words_peek(w), "New", 3) != 0) {
		e->has_address = address_parse(words_peek(w), &e->address);
		if (e->has_address)
			words_next(w);
		else if (!take_expected_port(s, w, several, x))
			return false;
	}
	e->has_lifetime = words_take(w, "for");
	if (e->has_lifetime && !take_seconds(s, w, &e->lifetime))
		return false;
	e->has_epoch = words_take(w, "epoch");
	if (e->has_epoch && !take_seconds(s, w, &e->epoch))
		return false;
	while (x->ask.protocol == UPNP && e->sayings < SAYINGS_MAX && words_peek(w)[0]) {
		const char *name = words_next(w);

		snprintf(e->saying[e->sayings++], sizeof(e->saying[0]), "%s>%s<", name,
			 words_next(w));
	}
	return true;
}

/* One of several hosts' request.  The words are read anew for each. */
static inline bool
take_exchange(struct story *s, struct words *w, struct address client, bool several)
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
	    .client = client,
	    .wanted = address_from_ipv4(0),
	    .host = client,
	    .claimed = client,
	    .version = verb->protocol == UPNP ? 2 : AS_IT_SHOULD_BE,
	    .action = verb->name,
	    .opcode = AS_IT_SHOULD_BE,
	    .cut = AS_IT_SHOULD_BE,
	};
	if (!take_form(s, w, verb->form, &x->ask))
		return false;
	while (!words_take(w, "expect"))
		if (!take_option(s, w, &x->ask))
			return false;
	s->exchanges++;
	return take_expectation(s, w, several, x);
}

/* CLIENT PROTOCOL REQUEST … expect …: added to the batch. */
static inline bool
take_request(struct story *s, struct words *w)
{
	const char *word = words_next(w);
	size_t begin = w->at;
	struct hosts hosts;

	if (!read_hosts(word, &hosts))
		return fail_word(s, word, "a step or a client's address");
	for (unsigned n = 0; n < hosts.count; n++) {
		w->at = begin;
		if (!take_exchange(s, w, nth_host(&hosts, n), hosts.count > 1))
			return false;
	}
	return true;
}

/* --- a batch, and what is heard of it --- */

/* As on the socket: by the first octet, lifetimes as the config says. */
static const struct codec {
	enum decode_result (*decode)(const struct datagram *, struct map_request *,
				     struct map_reply *);
	size_t (*encode)(const struct datagram *, const struct map_request *,
			 const struct map_reply *, uint8_t *, size_t);
	bool has_minimum;
} codecs[] = {{natpmp_decode, natpmp_encode, false}, {pcp_decode, pcp_encode, true}};

static inline const struct codec *
codec_of(const struct exchange *x)
{
	return &codecs[x->datagram.bytes[0] != 0];
}

static inline void
answer_datagram(void *who, uint32_t slot, const struct map_request *request,
		const struct map_reply *reply)
{
	struct exchange *x = &((struct story *)who)->exchange[slot];

	x->answers++;
	x->reply_size =
	    codec_of(x)->encode(&x->datagram, request, reply, x->reply, sizeof(x->reply));
}

static inline void
decode(struct story *s, uint32_t slot)
{
	struct exchange *x = &s->exchange[slot];
	struct map_reply reply = {.result = MAP_OK};
	size_t size = write_datagram(&x->ask, x->bytes, sizeof(x->bytes));
	enum decode_result result;

	x->datagram = (struct datagram){
	    .bytes = x->bytes, .size = size, .kept = size, .source = x->ask.client};
	result = codec_of(x)->decode(&x->datagram, &x->request, &reply);
	x->request.lifetime_min = codec_of(x)->has_minimum ? s->config->min_lifetime : 0;
	x->request.lifetime_max = s->config->max_lifetime;
	x->request.asker.answer = answer_datagram;
	x->asked = result == DECODE_OK;
	reply.epoch = engine_epoch(s->world.engine, s->world.now);
	if (result == DECODE_REJECT)
		answer_datagram(s, slot, &x->request, &reply);
}

/* --- UPnP: what the worker does for a client, but for HTTP --- */

static inline void
put_fault(struct exchange *x, enum igd_error error)
{
	x->soap_size = igd_encode_fault(error, x->soap, SOAP_SIZE - 1);
}

static inline void
ask_upnp(struct story *s, uint32_t slot)
{
	struct exchange *x = &s->exchange[slot];
	char body[2048], type[120];
	const struct igd_message message = {
	    .service = IGD_IP_CONNECTION,
	    .view = x->ask.version == 1 ? IGD_VIEW_1 : IGD_VIEW_2,
	    .soapaction = type,
	    .body = body,
	    .size = write_soap(&x->ask, body, sizeof(body)),
	};
	enum igd_error error;

	snprintf(type, sizeof(type), "\"" SOAP_TYPE "%u#%s\"", x->ask.version, x->ask.action);
	x->call = (struct link_call){.ticket = slot, .client = x->ask.client};
	error = igd_decode(&message, &x->call.call);
	x->asked = error == IGD_OK;
	if (x->asked)
		world_call(&s->world, &x->call);
	else
		put_fault(x, error);
}

static inline void
put_values(struct exchange *x, const struct igd_entry *entry)
{
	const struct igd_values values = {.entry = *entry};

	x->soap_size = igd_encode_answer(&x->call.call, &values, x->soap, SOAP_SIZE - 1);
}

/* A page; the last one ends the answer. */
static inline void
put_page(struct story *s, struct exchange *x, const struct link_entries *page)
{
	const struct igd_call *call = &x->call.call;

	if (x->soap_size == 0)
		x->soap_size = igd_encode_list_start(call, x->soap, SOAP_SIZE - 1);
	for (unsigned i = 0; i < page->count; i++)
		x->soap_size += igd_encode_list_entry(&page->entry[i], x->soap + x->soap_size,
						      SOAP_SIZE - 1 - x->soap_size);
	x->call.cursor = page->cursor;
	if (page->cursor)
		world_call(&s->world, &x->call);
	else
		x->soap_size +=
		    igd_encode_list_end(call, x->soap + x->soap_size, SOAP_SIZE - 1 - x->soap_size);
}

/* The core's words to the worker. */
static inline void
on_core(void *who, const struct link_message *m)
{
	struct story *s = who;
	struct exchange *x =
	    &s->exchange[m->type == LINK_ENTRIES ? m->entries.ticket : m->answer.ticket];

	if (m->type == LINK_ENTRIES) {
		x->answers += m->entries.cursor == 0;
		put_page(s, x, &m->entries);
		return;
	}
	x->answers++;
	if (m->answer.error != IGD_OK)
		put_fault(x, m->answer.error);
	else
		put_values(x, &m->answer.entry);
}

/* An answer to Add… does not tell the lease: its client looks. */
static inline void
look_up_lease(struct story *s, struct exchange *x)
{
	struct exchange *other = &s->exchange[s->exchanges];
	struct heard heard;

	*other = (struct exchange){.ask = x->ask};
	other->ask.action = "GetSpecificPortMappingEntry";
	other->ask.external = x->heard.port;
	ask_upnp(s, (uint32_t)s->exchanges);
	world_turn(&s->world);
	if (!read_soap(&other->ask, other->soap, &heard))
		x->heard.lifetime = heard.lifetime;
}

static inline void
ask_engine(struct story *s, uint32_t slot)
{
	struct exchange *x = &s->exchange[slot];

	decode(s, slot);
	x->request.asker.who = s;
	x->request.asker.slot = slot;
	if (x->asked)
		engine_submit(s->world.engine, &x->request, s->world.now);
}

static inline void
print_heard(const struct exchange *x, char *text, size_t size)
{
	const struct heard *h = &x->heard;
	char address[ADDRESS_TEXT_SIZE];
	int used;

	if (!h->any)
		used = snprintf(text, size, "nothing");
	else if (h->result != 0)
		used = snprintf(text, size, "%s %u", x->ask.protocol == UPNP ? "error" : "result",
				h->result);
	else if (x->ask.protocol != UPNP && x->ask.kind == REQUEST_ADDRESS)
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

/* saying: "NAME>VALUE<" */
static inline bool
fail_saying(struct story *s, const struct exchange *x, const char *saying)
{
	char name[80];
	const char *at;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(saying, ">") + 1, saying);
	at = strstr(x->soap, name);
	at = at ? at : "nothing of it<";
	return fail_story(s, "expected %s, heard %.*s", saying, (int)strcspn(at, "<") + 1, at);
}

static inline bool
meets_expectation(struct story *s, const struct exchange *x)
{
	const struct expectation *e = &x->expect;
	const struct heard *h = &x->heard;

	if (h->any != (e->what != EXPECT_NOTHING) || h->result != e->code)
		return false;
	if ((e->has_lifetime && e->lifetime != h->lifetime) ||
	    (e->has_epoch && e->epoch != h->epoch) ||
	    (e->has_address && !address_equal(&e->address, &h->address)))
		return false;
	for (size_t i = 0; i < e->sayings; i++)
		if (!strstr(x->soap, e->saying[i]))
			return fail_saying(s, x, e->saying[i]);
	return port_fits(s, e->port, x->ask.external, h->port);
}

/* Reads the answer.  NULL, or what is wrong with it whatever the story expects. */
static inline const char *
read_answer(const struct world *world, struct exchange *x)
{
	const char *fault;

	if (x->asked && x->answers != 1)
		return "not given once";
	if (x->ask.protocol == UPNP)
		return read_soap(&x->ask, x->soap, &x->heard);
	if (x->reply_size == 0)
		return NULL;
	fault = read_datagram(&x->ask, x->bytes, x->reply, x->reply_size, &x->heard);
	if (fault)
		return fault;
	if (x->heard.has_address && !address_equal(&x->heard.address, &world->external))
		return "with an address that is not ours";
	if (x->heard.has_epoch &&
	    x->heard.epoch != (uint32_t)((world->now - world->epoch) / MONOTIME_SECOND))
		return "with a wrong epoch";
	return NULL;
}

static inline bool
check_exchange(struct story *s, struct exchange *x)
{
	const char *fault = read_answer(&s->world, x);
	char text[120];

	s->at = x->line;
	if (fault)
		return fail_story(s, "the answer is %s", fault);
	if (x->ask.protocol == UPNP && x->expect.has_lifetime && !x->heard.lifetime &&
	    x->heard.result == 0)
		look_up_lease(s, x);
	if (meets_expectation(s, x))
		return true;
	if (s->error[0])
		return false;
	print_heard(x, text, sizeof(text));
	return fail_story(s, "expected %s, heard %s", x->expect.text, text);
}

/* All that was taken, as one batch, UPnP's part of it last. */
static inline bool
run_batch(struct story *s)
{
	bool any = false, upnp = false;

	s->world.answered = on_core;
	s->world.who = s;
	for (size_t i = 0; i < s->exchanges; i++) {
		if (s->exchange[i].ask.protocol == UPNP)
			continue;
		ask_engine(s, (uint32_t)i);
		any |= s->exchange[i].asked;
	}
	for (size_t i = 0; i < s->exchanges; i++)
		if (s->exchange[i].ask.protocol == UPNP) {
			ask_upnp(s, (uint32_t)i);
			upnp = true;
		}
	if (upnp)
		world_turn(&s->world);
	if (any) {
		engine_flush(s->world.engine, s->world.now);
		world_changed(&s->world);
	}
	for (size_t i = 0; i < s->exchanges; i++)
		if (!check_exchange(s, &s->exchange[i]))
			return false;
	return true;
}

#endif
