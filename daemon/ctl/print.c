/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns and words of the CLI's text output. */
#include "print.h"

#include <inttypes.h>
#include <limits.h>
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

static const char *
endpoint(const struct endpoint *e, char out[CELL_SIZE])
{
	char address[ADDRESS_TEXT_SIZE];
	bool ipv4 = address_is_ipv4(&e->address);

	if (address_is_unspecified(&e->address))
		snprintf(out, CELL_SIZE, "-:%u", e->port);
	else
		snprintf(out, CELL_SIZE, ipv4 ? "%s:%u" : "[%s]:%u",
			 address_print(&e->address, address), e->port);
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
	return endpoint(&l->external, out);
}

static const char *
cell_internal(const struct control_lease *l, char out[CELL_SIZE])
{
	return endpoint(&l->internal, out);
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

static const struct column {
	const char *title;
	bool right;
	const char *(*cell)(const struct control_lease *, char out[CELL_SIZE]);
} columns[] = {
    {"ID", true, cell_id},
    {"EXTERNAL", false, cell_external},
    {"INTERNAL", false, cell_internal},
    {"TRANSPORT", false, cell_transport},
    {"ORIGIN", false, cell_origin},
    {"REMAINING", true, cell_remaining},
    {"CONNECTIONS", true, cell_connections},
};

enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static void
print_cell(const char *text, int width, bool right)
{
	printf("%*s  ", right ? width : -width, text);
}

void
print_list(const struct control_lease *leases, size_t count)
{
	int width[COLUMNS];
	char cell[CELL_SIZE];

	for (int c = 0; c < COLUMNS; c++) {
		width[c] = (int)strlen(columns[c].title);
		for (size_t i = 0; i < count; i++) {
			int w = (int)strlen(columns[c].cell(&leases[i], cell));

			width[c] = w > width[c] ? w : width[c];
		}
		print_cell(columns[c].title, width[c], columns[c].right);
	}
	puts("DESCRIPTION");
	for (size_t i = 0; i < count; i++) {
		for (int c = 0; c < COLUMNS; c++)
			print_cell(columns[c].cell(&leases[i], cell), width[c], columns[c].right);
		if (leases[i].description[0])
			print_text(leases[i].description);
		else
			putchar('-');
		putchar('\n');
	}
}

void
print_lease(const struct control_lease *l)
{
	char cell[CELL_SIZE];

	printf("id           %" PRIu64 "\n", l->id);
	printf("external     %s\n", endpoint(&l->external, cell));
	printf("internal     %s\n", endpoint(&l->internal, cell));
	printf("transport    %s\n", transport_name(l->transport));
	printf("origin       %s\n", origin_name(l->origin));
	printf("lifetime     %s\n",
	       l->lifetime == MAPPING_LIFETIME_STATIC ? "never" : duration(l->lifetime, cell));
	printf("remaining    %s\n", duration(l->remaining, cell));
	printf("age          %s\n", duration(l->age, cell));
	printf("outbound     %s\n",
	       l->outbound ? "yes" : "no: another mapping of the same internal port is");
	printf("connections  %" PRIu64 "\n", l->connections);
	printf("description  ");
	print_text(l->description[0] ? l->description : "-");
	putchar('\n');
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
		printf("warning     this address is private or shared: another NAT stands in front "
		       "of this gateway,\n"
		       "            and mappings are not reached from the Internet\n");
		return;
	case ADDRESS_UNUSABLE:
		break;
	}
	printf("external    none\n");
	printf(
	    "warning     there is no external address: clients are told so, and leases are kept\n");
}

static const char *
interface_state(const struct control_interface *i, bool wan)
{
	if (i->index == 0)
		return wan ? "does not exist" : "waiting: does not exist";
	if (!i->up)
		return wan ? "down" : "waiting: down";
	if (i->addresses == 0)
		return wan ? "no address" : "waiting: no address";
	if (wan)
		return "up";
	return i->served ? "served" : "waiting";
}

static void
print_interface(const struct control_interface *i, bool wan)
{
	char text[PREFIX_TEXT_SIZE];

	printf("%-10s  ", wan ? "wan" : "lan");
	print_text(i->name);
	if (i->index)
		printf(" (%u)", i->index);
	printf(" %s", interface_state(i, wan));
	for (size_t a = 0; a < i->addresses; a++)
		printf("%s %s", a ? "," : ":", prefix_print(&i->address[a], text));
	putchar('\n');
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
print_counters(const struct control_counters *c)
{
	int said = 0;

	print_by_origin("requests", c->requests);
	printf("answers     ");
	for (int r = 0; r < MAP_RESULTS; r++)
		if (c->results[r])
			printf("%s%" PRIu64 " %s", said++ ? ", " : "", c->results[r],
			       map_result_name((enum map_result)r));
	puts(said ? "" : "0");
	printf("history     %" PRIu64 " granted, %" PRIu64 " renewed, %" PRIu64 " deleted, %" PRIu64
	       " expired, %" PRIu64 " removed\n",
	       c->granted, c->renewed, c->deleted, c->expired, c->removed);
	printf("kernel      %" PRIu64 " transactions, %" PRIu64 " failed, %" PRIu64
	       " mappings refused, table restored %" PRIu64 " times\n",
	       c->kernel_transactions, c->kernel_aborts, c->kernel_refusals, c->table_restores);
	printf("addresses   %" PRIu64 " changes\n", c->address_changes);
}

void
print_status(const struct control_status *s)
{
	char uptime[CELL_SIZE];

	printf("portleased ");
	print_text(s->version);
	printf(", pid %u, up %s, epoch %u\n", s->pid, duration(s->uptime, uptime), s->epoch);
	print_external(&s->external);
	for (size_t i = 0; i < s->interfaces; i++)
		print_interface(&s->interface[i], i == 0);
	printf("protocols   nat-pmp %s, pcp %s\n", s->nat_pmp ? "on" : "off",
	       s->pcp ? "on" : "off");
	printf("policy      %" PRIu64 " rules, then the default\n", s->rules);
	printf("table       %s\n", s->table_intact ? "intact" : "lost: it is being put back");
	print_by_origin("leases", s->leases);
	print_counters(&s->counters);
}
