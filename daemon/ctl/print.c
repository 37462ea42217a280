/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns and words of the CLI's text output. */
#include "print.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

enum { CELL_SIZE = 64 };

/* What changes the direction of writing or is not seen at all could make one text look like
 * another. */
static bool
deceives(wchar_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0x061c || c == 0xfeff;
}

static void
print_text(const char *text)
{
	mbstate_t state = {0};

	while (*text) {
		wchar_t c;
		size_t size = mbrtowc(&c, text, strlen(text), &state);

		if (size <= MB_LEN_MAX && iswprint((wint_t)c) && !deceives(c) && c != L'\\') {
			fwrite(text, 1, size, stdout);
			text += size;
			continue;
		}
		if (*text == '\\')
			fputs("\\\\", stdout);
		else
			printf("\\x%02x", (unsigned char)*text);
		text++;
		memset(&state, 0, sizeof(state));
	}
}

static const char *
duration(uint64_t s, char out[CELL_SIZE])
{
	if (s == CONTROL_ENDLESS)
		snprintf(out, CELL_SIZE, "never");
	else if (s < 60)
		snprintf(out, CELL_SIZE, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(out, CELL_SIZE, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, CELL_SIZE, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s % 3600 / 60);
	else
		snprintf(out, CELL_SIZE, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s % 86400 / 3600);
	return out;
}

/* With the last port of a range. */
static const char *
endpoint(const struct endpoint *e, uint16_t more_ports, char out[CELL_SIZE])
{
	char address[ADDRESS_TEXT_SIZE];
	bool ipv4 = address_is_ipv4(&e->address);
	int length;

	if (address_is_unspecified(&e->address))
		length = snprintf(out, CELL_SIZE, "-:%u", e->port);
	else
		length = snprintf(out, CELL_SIZE, ipv4 ? "%s:%u" : "[%s]:%u",
				  address_print(&e->address, address), e->port);
	if (more_ports)
		snprintf(out + length, CELL_SIZE - (size_t)length, "-%u", e->port + more_ports);
	return out;
}

/* Columns of `list`; the description follows, since its width is its own. */

static const char *
cell_id(const struct control_lease *l, char out[CELL_SIZE])
{
	snprintf(out, CELL_SIZE, "%" PRIu64, l->id);
	return out;
}

static const char *
cell_external(const struct control_lease *l, char out[CELL_SIZE])
{
	return endpoint(&l->external, l->more_ports, out);
}

static const char *
cell_internal(const struct control_lease *l, char out[CELL_SIZE])
{
	return endpoint(&l->internal, l->more_ports, out);
}

static const char *
cell_transport(const struct control_lease *l, char out[CELL_SIZE])
{
	(void)out;
	return transport_name(l->transport);
}

static const char *
cell_origin(const struct control_lease *l, char out[CELL_SIZE])
{
	(void)out;
	return origin_name(l->origin);
}

static const char *
cell_remaining(const struct control_lease *l, char out[CELL_SIZE])
{
	return duration(l->remaining, out);
}

static const char *
cell_connections(const struct control_lease *l, char out[CELL_SIZE])
{
	snprintf(out, CELL_SIZE, "%" PRIu64, l->connections);
	return out;
}

static const char *
cell_live(const struct control_lease *l, char out[CELL_SIZE])
{
	if (l->live == CONTROL_UNKNOWN)
		return "-";
	snprintf(out, CELL_SIZE, "%" PRIu64, l->live);
	return out;
}

/* Those that have something to say of few leases only give "-" for the others. */

static const char *
cell_index(const struct control_lease *l, char out[CELL_SIZE])
{
	if (l->upnp_index == CONTROL_NO_INDEX)
		return "-";
	snprintf(out, CELL_SIZE, "%" PRIu32, l->upnp_index);
	return out;
}

static const char *
cell_remote(const struct control_lease *l, char out[CELL_SIZE])
{
	const struct prefix remote = {l->remote, l->remote_length};

	if (l->remote_length)
		return prefix_print(&remote, out);
	return address_is_unspecified(&l->remote) ? "-" : address_print(&l->remote, out);
}

static const char *
cell_disabled(const struct control_lease *l, char out[CELL_SIZE])
{
	(void)out;
	return l->enabled ? "-" : "no";
}

enum { AGENT_WIDTH = 24 }; /* `show` has all of it */

static const char *
cell_agent(const struct control_lease *l, char out[CELL_SIZE])
{
	snprintf(out, CELL_SIZE, "%.*s", AGENT_WIDTH, l->user_agent[0] ? l->user_agent : "-");
	for (char *c = out; *c; c++)
		*c = *c < ' ' || *c > '~' ? '?' : *c;
	return out;
}

static const struct column {
	const char *title;
	bool right;
	const char *(*cell)(const struct control_lease *, char out[CELL_SIZE]);
	bool optional; /* left out if there is nothing but "-" */
} columns[] = {
    {"ID", true, cell_id, false},
    {"EXTERNAL", false, cell_external, false},
    {"INTERNAL", false, cell_internal, false},
    {"TRANSPORT", false, cell_transport, false},
    {"ORIGIN", false, cell_origin, false},
    {"REMAINING", true, cell_remaining, false},
    {"CONNECTIONS", true, cell_connections, false},
    {"LIVE", true, cell_live, true},
    {"INDEX", true, cell_index, true},
    {"REMOTE", false, cell_remote, true},
    {"ENABLED", false, cell_disabled, true},
    {"USER-AGENT", false, cell_agent, true},
};

enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

/* 0: it is left out. */
static int
column_width(const struct column *column, const struct control_lease *leases, size_t count)
{
	int width = (int)strlen(column->title);
	bool used = !column->optional;
	char cell[CELL_SIZE];

	for (size_t i = 0; i < count; i++) {
		const char *text = column->cell(&leases[i], cell);

		used |= strcmp(text, "-") != 0;
		width = (int)strlen(text) > width ? (int)strlen(text) : width;
	}
	return used ? width : 0;
}

/* A forward's name comes first. */
static void
print_description(const struct control_lease *l)
{
	print_text(l->name);
	if (l->name[0] && l->description[0])
		fputs(": ", stdout);
	print_text(l->name[0] || l->description[0] ? l->description : "-");
}

static void
print_cell(const char *text, int width, bool right)
{
	if (width)
		printf("%*s  ", right ? width : -width, text);
}

/* Takes those of one lease. */
static void
print_its_sessions(uint64_t lease, struct print_sessions *sessions)
{
	for (; sessions->count > 0 && sessions->item->lease == lease;
	     sessions->item++, sessions->count--) {
		const struct control_session *s = sessions->item;
		char remote[CELL_SIZE], timeout[CELL_SIZE];

		printf("    %-3s  %-5u  %-21s  ", s->outbound ? "out" : "in", s->external_port,
		       endpoint(&s->remote, 0, remote));
		print_text(s->state);
		printf(", %s left\n", duration(s->timeout, timeout));
	}
}

void
print_list(const struct control_lease *leases, size_t count, struct print_sessions sessions)
{
	int width[COLUMNS];
	char cell[CELL_SIZE];

	for (int c = 0; c < COLUMNS; c++) {
		width[c] = column_width(&columns[c], leases, count);
		print_cell(columns[c].title, width[c], columns[c].right);
	}
	puts("DESCRIPTION");
	for (size_t i = 0; i < count; i++) {
		for (int c = 0; c < COLUMNS; c++)
			print_cell(columns[c].cell(&leases[i], cell), width[c], columns[c].right);
		print_description(&leases[i]);
		putchar('\n');
		print_its_sessions(leases[i].id, &sessions);
	}
}

void
print_lease(const struct control_lease *l, struct print_sessions sessions)
{
	char cell[CELL_SIZE];

	printf("id           %" PRIu64 "\n", l->id);
	printf("external     %s\n", endpoint(&l->external, l->more_ports, cell));
	printf("internal     %s\n", endpoint(&l->internal, l->more_ports, cell));
	printf("transport    %s\n", transport_name(l->transport));
	printf("origin       %s\n", origin_name(l->origin));
	printf("lifetime     %s\n",
	       l->lifetime == MAPPING_LIFETIME_STATIC ? "never" : duration(l->lifetime, cell));
	printf("remaining    %s\n", duration(l->remaining, cell));
	printf("age          %s\n", duration(l->age, cell));
	printf("outbound     %s\n",
	       l->outbound ? "yes" : "no: another mapping of the same internal port is");
	printf("connections  %" PRIu64 "\n", l->connections);
	if (l->live != CONTROL_UNKNOWN)
		printf("live         %" PRIu64 "\n", l->live);
	printf("remote       %s\n",
	       address_is_unspecified(&l->remote) ? "any host" : cell_remote(l, cell));
	printf("enabled      %s\n", l->enabled ? "yes" : "no: kept, but not forwarded");
	printf("upnp index   %s\n", cell_index(l, cell));
	printf("user agent   ");
	print_text(l->user_agent[0] ? l->user_agent : "-");
	printf("\ndescription  ");
	print_description(l);
	putchar('\n');
	print_its_sessions(l->id, &sessions);
}

/* Lines of `status`: a title, then parts between commas, in so many columns. */

enum { INDENT = 12, LINE_WIDTH = 79 };

struct parts {
	int column; /* 0: none yet */
};

static struct parts
begin_parts(const char *title)
{
	printf("%-*s", INDENT, title);
	return (struct parts){0};
}

static void __attribute__((format(printf, 2, 3))) put_part(struct parts *p, const char *format, ...)
{
	char text[LINE_WIDTH];
	va_list list;
	int width;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	width = (int)strlen(text);
	if (p->column == 0) {
		p->column = INDENT;
	} else if (p->column + 2 + width + 1 > LINE_WIDTH) {
		printf(",\n%*s", INDENT, "");
		p->column = INDENT;
	} else {
		fputs(", ", stdout);
		p->column += 2;
	}
	fputs(text, stdout);
	p->column += width;
}

/* "2 calls". */
static void
put_count(struct parts *p, uint64_t count, const char *one, const char *many)
{
	put_part(p, "%" PRIu64 " %s", count, count == 1 ? one : many);
}

static void
end_parts(const struct parts *p)
{
	puts(p->column ? "" : "0");
}

static void
print_external(const struct address *external)
{
	char text[ADDRESS_TEXT_SIZE];

	switch (address_scope(external)) {
	case ADDRESS_GLOBAL:
		printf("external    %s\n", address_print(external, text));
		return;
	case ADDRESS_PRIVATE:
		printf("external    %s\n", address_print(external, text));
		printf("warning     this address is private or shared: another NAT stands in\n"
		       "            front of this gateway, and mappings are not reached from the\n"
		       "            Internet\n");
		return;
	case ADDRESS_UNUSABLE:
		break;
	}
	printf("external    none\n");
	printf("warning     there is no external address: clients are told so, and leases\n"
	       "            are kept\n");
}

static const char *
interface_state(const struct control_interface *i, bool wan)
{
	if (i->index == 0)
		return i->name[0] ? "waiting: does not exist" : "waiting: no default route";
	if (!i->up)
		return "waiting: down";
	if (i->addresses == 0)
		return "waiting: no address";
	if (wan)
		return "up";
	return i->served ? "served" : "waiting";
}

static void
print_udp(const struct control_udp *u)
{
	const struct {
		const char *word;
		uint64_t count;
	} rare[] = {{"foreign", u->foreign},
		    {"limited", u->limited},
		    {"ignored", u->ignored},
		    {"refused", u->refused},
		    {"unsent", u->unsent}};
	struct parts p = begin_parts("  udp");

	put_part(&p, "%" PRIu64 " received", u->received);
	for (size_t i = 0; i < sizeof(rare) / sizeof(rare[0]); i++)
		if (rare[i].count)
			put_part(&p, "%" PRIu64 " %s", rare[i].count, rare[i].word);
	end_parts(&p);
}

/* In the order they are shown in; those of a worker at rest are not. */
static const struct {
	enum link_stat stat;
	const char *one, *many;
} stat_words[] = {
    {LINK_HTTP_CONNECTIONS, "connection", "connections"},
    {LINK_GENA_SUBSCRIPTIONS, "subscription", "subscriptions"},
    {LINK_HTTP_REQUESTS, "HTTP request", "HTTP requests"},
    {LINK_HTTP_REFUSED, "refused", "refused"},
    {LINK_HTTP_LIMITED, "limited", "limited"},
    {LINK_HTTP_SURPLUS, "connection too many", "connections too many"},
    {LINK_SSDP_SEARCHES, "search", "searches"},
    {LINK_SSDP_REPLIED, "replied to", "replied to"},
    {LINK_SSDP_LIMITED, "not replied to", "not replied to"},
    {LINK_GENA_DELIVERED, "event", "events"},
    {LINK_GENA_FAILED, "event failed", "events failed"},
};

static void
print_worker(const struct control_worker *w)
{
	struct parts p = begin_parts("  upnp");

	put_part(&p, "worker %s", control_worker_state_name(w->state));
	if (w->pid)
		put_part(&p, "pid %" PRIu32, w->pid);
	put_count(&p, w->starts, "start", "starts");
	put_part(&p, "%" PRIu64 " call%s in %" PRIu64 " batch%s", w->calls,
		 w->calls == 1 ? "" : "s", w->batches, w->batches == 1 ? "" : "es");
	if (w->batches)
		put_part(&p, "largest %" PRIu64, w->largest_batch);
	for (size_t i = 0; i < sizeof(stat_words) / sizeof(stat_words[0]); i++) {
		uint64_t count = w->stats.count[stat_words[i].stat];

		if (count)
			put_count(&p, count, stat_words[i].one, stat_words[i].many);
	}
	end_parts(&p);
}

static void
print_interface(const struct control_interface *i, bool wan)
{
	char text[PREFIX_TEXT_SIZE];

	printf("%-10s  ", wan ? "wan" : "lan");
	print_text(i->name[0] ? i->name : "auto");
	if (i->index)
		printf(" (%u)", i->index);
	printf(" %s%s", interface_state(i, wan), i->addresses ? ": " : "\n");
	for (size_t a = 0; a < i->addresses; a++)
		printf("%s%s", prefix_print(&i->address[a], text),
		       a + 1 < i->addresses ? ",\n            " : "\n");
	if (wan)
		return;
	print_udp(&i->udp);
	if (i->worker.state != CONTROL_WORKER_NONE)
		print_worker(&i->worker);
}

static void
print_by_origin(const char *title, const uint64_t counts[ORIGINS])
{
	uint64_t sum = 0;

	for (int o = 0; o < ORIGINS; o++)
		sum += counts[o];
	printf("%-10s  %" PRIu64, title, sum);
	for (int o = 0, said = 0; o < ORIGINS; o++)
		if (counts[o])
			printf("%s%" PRIu64 " %s", said++ ? ", " : " (", counts[o],
			       origin_name((enum origin)o));
	puts(sum ? ")" : "");
}

static void
print_batches(const struct control_counters *c)
{
	struct parts p = begin_parts("batches");
	uint64_t requests = 0;

	for (int o = 0; o < ORIGINS; o++)
		requests += c->requests[o];
	if (c->batches) {
		put_part(&p, "%" PRIu64, c->batches);
		put_part(&p, "largest %" PRIu64, c->largest_batch);
		put_part(&p, "%.1f requests each", (double)requests / (double)c->batches);
	}
	end_parts(&p);
}

static void
print_counters(const struct control_counters *c)
{
	struct parts p;

	print_by_origin("requests", c->requests);
	print_batches(c);
	p = begin_parts("answers");
	for (int r = 0; r < MAP_RESULTS; r++)
		if (c->results[r])
			put_part(&p, "%" PRIu64 " %s", c->results[r],
				 map_result_name((enum map_result)r));
	end_parts(&p);
	p = begin_parts("history");
	put_part(&p, "%" PRIu64 " granted", c->granted);
	put_part(&p, "%" PRIu64 " renewed", c->renewed);
	put_part(&p, "%" PRIu64 " deleted", c->deleted);
	put_part(&p, "%" PRIu64 " expired", c->expired);
	put_part(&p, "%" PRIu64 " removed", c->removed);
	put_part(&p, "%" PRIu64 " of hosts that went", c->gone);
	put_part(&p, "%" PRIu64 " idle", c->idle);
	end_parts(&p);
	p = begin_parts("kernel");
	put_count(&p, c->kernel_transactions, "transaction", "transactions");
	put_part(&p, "%" PRIu64 " failed", c->kernel_aborts);
	put_count(&p, c->kernel_refusals, "mapping refused", "mappings refused");
	if (c->journal_refusals)
		put_count(&p, c->journal_refusals, "change refused for the journal",
			  "changes refused for the journal");
	put_part(&p, "table restored %" PRIu64 " time%s", c->table_restores,
		 c->table_restores == 1 ? "" : "s");
	end_parts(&p);
	printf("addresses   %" PRIu64 " change%s\n", c->address_changes,
	       c->address_changes == 1 ? "" : "s");
	printf("flows       %" PRIu64 " ended, looked for %" PRIu64 " time%s\n", c->flows_ended,
	       c->flow_passes, c->flow_passes == 1 ? "" : "s");
}

static void
print_chain(const struct control_chain *chain)
{
	printf("line in     ");
	print_text(chain->name);
	puts(chain->has_line ? ": there"
	     : chain->exists ? ": refused by the kernel"
			     : ": waiting: no such chain");
}

void
print_status(const struct control_status *s)
{
	char uptime[CELL_SIZE];

	printf("portleased ");
	print_text(s->version);
	printf(", pid %u, up %s, epoch %u\n", s->pid, duration(s->uptime, uptime), s->epoch);
	print_external(&s->external);
	if (!s->forwarding)
		puts("warning     net.ipv4.ip_forward is 0: this is no gateway, and no LAN is "
		     "served");
	for (size_t i = 0; i < s->interfaces; i++)
		print_interface(&s->interface[i], i == 0);
	printf("protocols   nat-pmp %s, pcp %s, upnp %s\n", s->nat_pmp ? "on" : "off",
	       s->pcp ? "on" : "off", s->upnp ? "on" : "off");
	printf("policy      %" PRIu64 " rules, then the default\n", s->rules);
	printf("table       %s\n", s->table_intact ? "intact" : "lost: it is being put back");
	printf("journal     %s%s%s\n", s->journal_fault[0] ? "failed: " : "works", s->journal_fault,
	       s->journal_refuses ? "; new mappings are refused" : "");
	for (size_t i = 0; i < s->chains; i++)
		print_chain(&s->chain[i]);
	print_by_origin("leases", s->leases);
	print_counters(&s->counters);
}
