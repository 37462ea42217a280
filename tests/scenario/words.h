/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of one line of a story, and what numbers, times and hosts look like in it.  Knows no
 * step. */
#ifndef PORTLEASE_TESTS_WORDS_H
#define PORTLEASE_TESTS_WORDS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../protocols/mapping.h"

enum { WORDS_MAX = 48, WORDS_TEXT = 400 };

struct words {
	char text[WORDS_TEXT];
	const char *word[WORDS_MAX];
	size_t count;
	size_t at; /* the next one to be read */
};

/* From # on a line is comment.  False: longer than any line needs to be. */
static inline bool
words_split(struct words *w, const char *line, size_t length)
{
	char *rest = w->text, *word;

	w->count = w->at = 0;
	if (length >= sizeof(w->text))
		return false;
	memcpy(w->text, line, length);
	w->text[length] = '\0';
	w->text[strcspn(w->text, "#")] = '\0';
	while ((word = strsep(&rest, " \t\r"))) {
		if (!*word)
			continue;
		if (w->count == WORDS_MAX)
			return false;
		w->word[w->count++] = word;
	}
	return true;
}

/* "" past the last. */
static inline const char *
words_next(struct words *w)
{
	return w->at < w->count ? w->word[w->at++] : "";
}

static inline const char *
words_peek(const struct words *w)
{
	return w->at < w->count ? w->word[w->at] : "";
}

/* Is it the next one?  Then it is read. */
static inline bool
words_take(struct words *w, const char *word)
{
	if (strcmp(words_peek(w), word) != 0)
		return false;
	w->at++;
	return true;
}

/* The words from one on, as a text. */
static inline const char *
words_from(const struct words *w, size_t from, char text[WORDS_TEXT])
{
	size_t used = 0;

	text[0] = '\0';
	for (; from < w->count; from++)
		used += (size_t)snprintf(text + used, WORDS_TEXT - used, "%s%s", used ? " " : "",
					 w->word[from]);
	return text;
}

static inline bool
read_number(const char *text, uint64_t most, uint64_t *out)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || value > most)
		return false;
	*out = value;
	return true;
}

/* Seconds, or with a unit: 90, 0.25, 300ms, 30m, 8h, 2d. */
static inline bool
read_time(const char *text, monotime *out)
{
	static const struct {
		const char *unit;
		monotime length;
	} units[] = {{"", 1000},   {"s", 1000},	       {"ms", 1},
		     {"m", 60000}, {"h", 3600 * 1000}, {"d", 86400 * 1000}};
	char *end;
	double value = strtod(text, &end);

	if (text[0] < '0' || text[0] > '9' || value > 1e9)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0) {
			*out = (monotime)(value * (double)units[i].length + 0.5);
			return true;
		}
	return false;
}

/* A lifetime in whole seconds, with the same units. */
static inline bool
read_seconds(const char *text, uint32_t *out)
{
	uint64_t plain;
	monotime time;

	if (read_number(text, UINT32_MAX, &plain)) {
		*out = (uint32_t)plain;
		return true;
	}
	if (!read_time(text, &time) || time % MONOTIME_SECOND != 0)
		return false;
	*out = (uint32_t)(time / MONOTIME_SECOND);
	return true;
}

/* Hosts of one LAN: an address, or 192.168.1.10-60 for all from .10 to .60. */
struct hosts {
	struct address first;
	unsigned count;
};

static inline bool
read_hosts(const char *text, struct hosts *out)
{
	const char *dash = strchr(text, '-');
	char first[ADDRESS_TEXT_SIZE];
	uint64_t last;

	if (!dash) {
		out->count = 1;
		return address_parse(text, &out->first);
	}
	if ((size_t)(dash - text) >= sizeof(first))
		return false;
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = '\0';
	if (!address_parse(first, &out->first) || !read_number(dash + 1, 254, &last) ||
	    last < out->first.bytes[15])
		return false;
	out->count = (unsigned)last - out->first.bytes[15] + 1;
	return true;
}

static inline struct address
nth_host(const struct hosts *hosts, unsigned n)
{
	struct address host = hosts->first;

	host.bytes[15] = (uint8_t)(host.bytes[15] + n);
	return host;
}

/* 192.168.1.2:4000 */
static inline const char *
print_endpoint(const struct endpoint *e, char text[ADDRESS_TEXT_SIZE + 8])
{
	char address[ADDRESS_TEXT_SIZE];

	snprintf(text, ADDRESS_TEXT_SIZE + 8, "%s:%u", address_print(&e->address, address),
		 e->port);
	return text;
}

#endif
