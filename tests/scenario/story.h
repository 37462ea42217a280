/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A story being told: its text, its world, the names it gave to ports, and why it failed. */
#ifndef PORTLEASE_TESTS_STORY_H
#define PORTLEASE_TESTS_STORY_H

#include <stdarg.h>

#include "words.h"
#include "world.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { VARIABLES_MAX = 300, NAME_SIZE = 24 };

struct line {
	const char *text;
	size_t length;
};

/* A port that a story gave a name. */
struct variable {
	char name[NAME_SIZE];
	uint16_t port;
};

struct story {
	const char *path;
	char *text;
	struct line *line;
	size_t lines;
	size_t at;     /* the line being told */
	bool begun;    /* a step was told: the world is there */
	monotime time; /* of the last step, from the story's begin */
	struct prefix lan;
	struct address wan;
	struct config *config; /* the world's once it is there */
	struct world world;
	struct variable variable[VARIABLES_MAX];
	size_t variables;
	struct exchange *exchange; /* of the batch at hand */
	size_t exchanges;
	char error[1024];
};

/* Always false. */
static inline bool __attribute__((format(printf, 2, 3)))
fail_story(struct story *s, const char *format, ...)
{
	va_list arguments;
	int used = snprintf(s->error, sizeof(s->error), "%s:%zu: ", s->path, s->at + 1);

	va_start(arguments, format);
	vsnprintf(s->error + used, sizeof(s->error) - (size_t)used, format, arguments);
	va_end(arguments);
	return false;
}

static inline bool
fail_word(struct story *s, const char *word, const char *expected)
{
	return fail_story(s, "expected %s, found \"%s\"", expected, word);
}

static inline struct variable *
find_variable(struct story *s, const char *name)
{
	for (size_t i = 0; i < s->variables; i++)
		if (strcmp(s->variable[i].name, name) == 0)
			return &s->variable[i];
	return NULL;
}

/* Is it the port that was expected?  A new $name takes it. */
static inline bool
port_fits(struct story *s, const char *expected, uint16_t asked, uint16_t port)
{
	struct variable *variable = find_variable(s, expected);

	if (!expected[0] || strcmp(expected, "any") == 0)
		return true;
	if (strcmp(expected, "other") == 0)
		return port != asked;
	if (expected[0] != '$')
		return strtoul(expected, NULL, 10) == port;
	if (!variable && s->variables < VARIABLES_MAX) {
		variable = &s->variable[s->variables++];
		snprintf(variable->name, sizeof(variable->name), "%s", expected);
		variable->port = port;
	}
	return variable && variable->port == port;
}

/* These read the next word, or fail the story. */

/* A number, the name of one, or any. */
static inline bool
take_port(struct story *s, struct words *w, uint16_t *port)
{
	const char *word = words_next(w);
	const struct variable *variable = word[0] == '$' ? find_variable(s, word) : NULL;
	uint64_t number = variable ? variable->port : 0;

	if (!variable && strcmp(word, "any") != 0 && !read_number(word, 65535, &number))
		return fail_word(s, word, "a port, any, or a $name from before");
	*port = (uint16_t)number;
	return true;
}

static inline bool
take_transport(struct story *s, struct words *w, enum transport *transport)
{
	const char *word = words_next(w);

	return transport_find(word, transport) || fail_word(s, word, "tcp or udp");
}

static inline bool
take_number(struct story *s, struct words *w, uint32_t *number)
{
	const char *word = words_next(w);
	uint64_t value = 0;
	bool ok = read_number(word, UINT32_MAX, &value);

	*number = (uint32_t)value;
	return ok || fail_word(s, word, "a number");
}

static inline bool
take_seconds(struct story *s, struct words *w, uint32_t *seconds)
{
	const char *word = words_next(w);

	return read_seconds(word, seconds) || fail_word(s, word, "whole seconds");
}

static inline bool
take_address(struct story *s, struct words *w, struct address *address)
{
	const char *word = words_next(w);

	return address_parse(word, address) || fail_word(s, word, "an address");
}

/* udp 4000 [remote 198.51.100.7] */
struct place {
	enum transport transport;
	uint16_t port;
	bool of_remote; /* told; else whichever is there */
	struct address remote;
};

static inline bool
take_place(struct story *s, struct words *w, struct place *place)
{
	place->remote = (struct address){0};
	if (!take_transport(s, w, &place->transport) || !take_port(s, w, &place->port))
		return false;
	place->of_remote = words_take(w, "remote");
	return !place->of_remote || take_address(s, w, &place->remote);
}

static inline bool
take_wan(struct story *s, struct words *w, struct address *address)
{
	if (!words_take(w, "none"))
		return take_address(s, w, address);
	*address = (struct address){0};
	return true;
}

#endif
