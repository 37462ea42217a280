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

#include "exchange.h"
#include "../../daemon/core/decision.h"

enum { STORIES_MAX = 200 };

/* --- what happens around the daemon --- */

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
step_lan(struct story *s, struct words *w)
{
	struct prefix prefix[NETWORK_ADDRESSES];
	size_t count = 0;

	if (!words_take(w, "none"))
		do {
			const char *word = words_next(w);

			if (!prefix_parse(word, &prefix[count++]))
				return fail_word(s, word, "prefixes, or none");
		} while (*words_peek(w) && count < NETWORK_ADDRESSES);
	world_set_lan(&s->world, prefix, count);
	world_set_external(&s->world, &s->world.external);
	return true;
}

static bool
step_listens(struct story *s, struct words *w)
{
	struct place place;

	if (!take_place(s, w, &place))
		return false;
	s->world.listening[place.transport == TRANSPORT_UDP][place.port] = true;
	return true;
}

static bool
step_refuses(struct story *s, struct words *w)
{
	uint32_t count;

	if (!take_number(s, w, &count))
		return false;
	fake_firewall_refuse_additions(s->world.firewall, count, ENOSPC);
	return true;
}

static bool
step_fails(struct story *s, struct words *w)
{
	uint32_t count;

	if (!take_number(s, w, &count))
		return false;
	fake_firewall_fail_commits(s->world.firewall, count, EIO);
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
	struct place place;

	if (!take_place(s, w, &place))
		return false;
	if (!fake_firewall_find(s->world.firewall, place.transport, place.port))
		return fail_story(s, "the kernel has no such mapping");
	fake_firewall_drop(s->world.firewall, place.transport, place.port);
	world_tamper(&s->world);
	return true;
}

static bool
step_connections(struct story *s, struct words *w)
{
	struct place place;
	uint32_t count;

	if (!take_place(s, w, &place) || !take_number(s, w, &count))
		return false;
	fake_firewall_connect(s->world.firewall, place.transport, place.port, count);
	return true;
}

static bool
take_endpoint(struct story *s, struct words *w, struct endpoint *out)
{
	const char *word = words_next(w), *colon = strrchr(word, ':');
	char address[ADDRESS_TEXT_SIZE] = "";
	uint64_t port = 0;

	if (colon && (size_t)(colon - word) < sizeof(address))
		memcpy(address, word, (size_t)(colon - word));
	out->port = 0;
	if (!colon || !address_parse(address, &out->address) ||
	    !read_number(colon + 1, UINT16_MAX, &port))
		return fail_word(s, word, "ADDRESS:PORT");
	out->port = (uint16_t)port;
	return true;
}

/* udp REMOTE:PORT -> PORT: as the kernel binds it now, to a mapping or to the gateway itself.
 * admins-own: by a forward of the admin, to some LAN host. */
static bool
step_flow(struct story *s, struct words *w)
{
	struct world *world = &s->world;
	struct flow flow = {.to.address = world->external};
	const struct fake_mapping *mapping;
	uint64_t port;

	if (!transport_find(words_next(w), &flow.transport) || !take_endpoint(s, w, &flow.from) ||
	    !words_take(w, "->") || !read_number(words_next(w), UINT16_MAX, &port))
		return fail_story(s, "expected TRANSPORT ADDRESS:PORT -> PORT");
	flow.to.port = (uint16_t)port;
	flow.reply_to = flow.from;
	flow.reply_from = flow.to;
	mapping = fake_firewall_find_remote(world->firewall, flow.transport, flow.to.port,
					    &flow.from.address);
	if (!mapping)
		mapping = fake_firewall_find(world->firewall, flow.transport, flow.to.port);
	if (words_take(w, "admins-own")) {
		address_parse("192.168.1.99", &flow.reply_from.address);
	} else if (mapping) {
		flow.reply_from = mapping->internal;
		flow.mark = FLOWS_MARK_OURS;
	}
	flow.state = words_take(w, "syn-sent") ? FLOW_SYN_SENT : FLOW_ESTABLISHED;
	fake_flows_add(world->flows, &flow);
	return true;
}

/* udp LAN:PORT -> REMOTE:PORT through PORT */
static bool
step_flow_out(struct story *s, struct words *w)
{
	struct flow flow = {.reply_to.address = s->world.external};
	uint64_t port;

	if (!transport_find(words_next(w), &flow.transport) || !take_endpoint(s, w, &flow.from) ||
	    !words_take(w, "->") || !take_endpoint(s, w, &flow.to) || !words_take(w, "through") ||
	    !read_number(words_next(w), UINT16_MAX, &port))
		return fail_story(s,
				  "expected TRANSPORT ADDRESS:PORT -> ADDRESS:PORT through PORT");
	flow.reply_from = flow.to;
	flow.reply_to.port = (uint16_t)port;
	fake_flows_add(s->world.flows, &flow);
	return true;
}

static const struct flow *
find_flow(const struct story *s, enum transport transport, const struct endpoint *from)
{
	for (size_t i = 0; i < fake_flows_count(s->world.flows); i++) {
		const struct flow *flow = fake_flows_get(s->world.flows, i);

		if (flow->transport == transport && flow->from.port == from->port &&
		    address_equal(&flow->from.address, &from->address))
			return flow;
	}
	return NULL;
}

/* udp ADDRESS:PORT, who sent the first packet, goes-on | is-reset | is-forgotten */
static bool
step_flows(struct story *s, struct words *w)
{
	enum transport transport;
	struct endpoint from;
	const struct flow *flow;
	const char *expected, *found;

	if (!transport_find(words_next(w), &transport) || !take_endpoint(s, w, &from))
		return fail_story(s, "expected TRANSPORT ADDRESS:PORT");
	flow = find_flow(s, transport, &from);
	found = !flow ? "is-forgotten" : flow->mark & FLOWS_MARK_ENDED ? "is-reset" : "goes-on";
	expected = words_next(w);
	return strcmp(expected, found) == 0 ||
	       fail_story(s, "expected that it %s, it %s", expected, found);
}

static bool
step_removes(struct story *s, struct words *w)
{
	const struct lease *lease;
	struct place place;

	if (!take_place(s, w, &place))
		return false;
	lease =
	    lease_table_by_external(engine_leases(s->world.engine), place.transport, place.port);
	if (!lease || !engine_remove(s->world.engine, lease->record.id, s->world.now))
		return fail_story(s, "there is no such lease");
	engine_flush(s->world.engine, s->world.now);
	world_changed(&s->world);
	return true;
}

/* --- what is there now --- */

enum { TRAITS_SIZE = 400 };

struct census {
	const char *of; /* "leases" */
	size_t count;
	/* False: none there.  Else how it is told. */
	bool (*describe)(struct story *, const struct place *, char text[TRAITS_SIZE]);
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
describe_lease(struct story *s, const struct place *place, char text[TRAITS_SIZE])
{
	const struct lease_table *table = engine_leases(s->world.engine);
	const struct lease *lease =
	    place->of_remote
		? lease_table_by_remote(table, place->transport, place->port, &place->remote)
		: lease_table_by_external(table, place->transport, place->port);
	char to[ADDRESS_TEXT_SIZE + 8], left[16] = "ever";
	uint64_t connections;

	if (!lease)
		return false;
	if (lease->record.ends != MONOTIME_NEVER)
		snprintf(left, sizeof(left), "%u", lease_remaining(&lease->record, s->world.now));
	connections = engine_connections(s->world.engine, lease);
	snprintf(text, TRAITS_SIZE, " to %s by %s for %s %s%s%s connections %llu named %s ",
		 print_endpoint(&lease->record.internal, to), protocol_of(lease->record.origin),
		 left, lease->record.outbound ? "outbound" : "inbound",
		 lease->record.companion ? " companion" : "", lease->record.disabled ? " off" : "",
		 (unsigned long long)connections,
		 lease->record.description ? lease->record.description : "-");
	return true;
}

static bool
describe_mapping(struct story *s, const struct place *place, char text[TRAITS_SIZE])
{
	const struct fake_mapping *m = fake_firewall_find_remote(
	    s->world.firewall, place->transport, place->port, &place->remote);
	char to[ADDRESS_TEXT_SIZE + 8];

	if (!m)
		return false;
	snprintf(text, TRAITS_SIZE, " to %s %s ", print_endpoint(&m->internal, to),
		 m->outbound ? "outbound" : "inbound");
	return true;
}

/* The description has blanks around it. */
static bool
fail_traits(struct story *s, const char *expected, const char *text)
{
	return fail_story(s, "expected %s, found %.*s", expected, (int)strlen(text) - 2, text + 1);
}

/* Each expected trait, "by pcp" or "outbound", must be in the description. */
static bool
check_traits(struct story *s, struct words *w, const char *text)
{
	static const char *const alone[] = {"outbound", "inbound", "companion", "off"};

	while (words_peek(w)[0]) {
		const char *word = words_next(w);
		char trait[WORDS_TEXT], blanks[WORDS_TEXT + 2];
		size_t i = 0;

		while (i < COUNT(alone) && strcmp(alone[i], word) != 0)
			i++;
		if (i < COUNT(alone))
			snprintf(trait, sizeof(trait), "%s", word);
		else
			snprintf(trait, sizeof(trait), "%s %s", word, words_next(w));
		snprintf(blanks, sizeof(blanks), " %s ", trait);
		if (!strstr(text, blanks))
			return fail_traits(s, trait, text);
	}
	return true;
}

static bool
check_count(struct story *s, struct words *w, const struct census *census)
{
	uint32_t count = 0;

	if (!words_take(w, "nothing") && !take_number(s, w, &count))
		return false;
	return census->count == count ||
	       fail_story(s, "expected %u, found %zu %s", count, census->count, census->of);
}

static bool
check_place(struct story *s, struct words *w, const struct census *census, bool has)
{
	char text[TRAITS_SIZE] = " nothing ";
	struct place place;

	if (!take_place(s, w, &place))
		return false;
	if (census->describe(s, &place, text) != has)
		return fail_traits(s, has ? "something there" : "nothing there", text);
	return !has || check_traits(s, w, text);
}

static bool
check_census(struct story *s, struct words *w, const struct census *census)
{
	enum transport transport;

	if (words_take(w, "lacks"))
		return check_place(s, w, census, false);
	if (!words_take(w, "has"))
		return fail_word(s, words_peek(w), "has or lacks");
	if (transport_find(words_peek(w), &transport))
		return check_place(s, w, census, true);
	return check_count(s, w, census);
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

/* Evented variables as the worker would tell them now. */
static bool
step_evented(struct story *s, struct words *w)
{
	const struct link_state *told = &s->world.told;
	const struct igd_values values = {
	    .connected = told->connected,
	    .external = told->external,
	    .entries = told->entries,
	    .system_update_id = told->system_update_id,
	};

	while (words_peek(w)[0]) {
		const char *name = words_next(w), *expected = words_next(w);
		char value[IGD_VALUE_MAX];
		int v = 0;

		while (v < IGD_VARIABLES && strcmp(igd_variable_row(v)->name, name) != 0)
			v++;
		if (v == IGD_VARIABLES || !igd_variable_row(v)->evented)
			return fail_word(s, name, "an evented variable");
		igd_print_value(v, IGD_VIEW_2, &values, value, sizeof(value));
		if (strcmp(value, expected) != 0)
			return fail_story(s, "expected %s %s, found %s", name, expected, value);
	}
	return true;
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
    {"flow-passes", offsetof(struct counters, flow_passes)},
    {"flows-ended", offsetof(struct counters, flows_ended)},
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
	uint32_t expected;
	uint64_t value;

	if (!read_counter(s, name, &value))
		return fail_word(s, name, "a counter");
	if (!take_number(s, w, &expected))
		return false;
	return (at_most ? value <= expected : value == expected) ||
	       fail_story(s, "expected %s%u, found %llu", at_most ? "at most " : "", expected,
			  (unsigned long long)value);
}

static bool
step_request(struct story *s, struct words *w)
{
	s->exchanges = 0;
	return take_request(s, w) && run_batch(s);
}

static const struct {
	const char *word;
	bool (*run)(struct story *, struct words *);
} steps[] = {
    {"wan", step_wan},
    {"lan", step_lan},
    {"gateway-listens", step_listens},
    {"kernel-refuses-next", step_refuses},
    {"kernel-fails-next", step_fails},
    {"kernel-loses-table", step_loses},
    {"kernel-drops", step_drops},
    {"connections", step_connections},
    {"admin-removes", step_removes},
    {"flow", step_flow},
    {"flow-out", step_flow_out},
    {"flow-of", step_flows},
    {"list", step_list},
    {"kernel", step_kernel},
    {"counter", step_counter},
    {"evented", step_evented},
};

/* --- the story as a text --- */

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
	const char *word;
	size_t end;

	if (words_take(w, "wan"))
		return take_wan(s, w, &s->wan);
	if (words_take(w, "lan")) {
		word = words_next(w);
		return prefix_parse(word, &s->lan) || fail_word(s, word, "a prefix");
	}
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
	uint32_t count;
	monotime period;
	monotime base;
};

/* repeat 48 every 30m {: the times inside count from each round's begin. */
static bool
take_rounds(struct story *s, struct words *w, struct rounds *rounds)
{
	if (!take_number(s, w, &rounds->count))
		return false;
	if (!words_take(w, "every") || !read_time(words_next(w), &rounds->period))
		return fail_story(s, "expected every TIME");
	return true;
}

static bool
tell_rounds(struct story *s, size_t first, size_t end, const struct rounds *rounds)
{
	for (uint32_t i = 0; i < rounds->count; i++)
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

/* --- the stories as tests --- */

static struct story story;
static struct exchange exchanges[EXCHANGES_MAX + 1]; /* and one to look something up */

/* *error: why it failed, "" if it did not. */
static void
tell_file(const char *path, char *error, size_t size)
{
	memset(&story, 0, sizeof(story));
	story.path = path;
	story.exchange = exchanges;
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
