/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of others' text, which end without a NUL; and text through a wire_writer. */
#ifndef PORTLEASE_TEXT_H
#define PORTLEASE_TEXT_H

#include <stdio.h>
#include <strings.h>

#include "wire.h"

struct text {
	const char *at;
	size_t size;
};

static inline struct text
text_of(const char *string)
{
	return (struct text){string, strlen(string)};
}

static inline bool
text_equal(struct text t, const char *string)
{
	return t.size == strlen(string) && memcmp(t.at, string, t.size) == 0;
}

/* Of ASCII letters. */
static inline bool
text_equal_any_case(struct text t, const char *string)
{
	return t.size == strlen(string) && strncasecmp(t.at, string, t.size) == 0;
}

/* The first n octets, which are taken off *t; n <= size. */
static inline struct text
text_take(struct text *t, size_t n)
{
	struct text taken = {t->at, n};

	t->at += n;
	t->size -= n;
	return taken;
}

/* Takes the prefix off, in any case of ASCII letters; false: *t does not begin with it. */
static inline bool
text_take_prefix(struct text *t, const char *prefix)
{
	size_t n = strlen(prefix);

	if (t->size < n || strncasecmp(t->at, prefix, n) != 0)
		return false;
	text_take(t, n);
	return true;
}

/* Octets before the first c, or all. */
static inline size_t
text_before(struct text t, char c)
{
	const char *found = t.size ? memchr(t.at, c, t.size) : NULL;

	return found ? (size_t)(found - t.at) : t.size;
}

static inline bool
text_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Without the blanks at both ends. */
static inline struct text
text_trim(struct text t)
{
	while (t.size && text_is_blank(t.at[0]))
		text_take(&t, 1);
	while (t.size && text_is_blank(t.at[t.size - 1]))
		t.size--;
	return t;
}

/* Decimal digits and nothing else; what is above max gives max.  False: *out untouched. */
static inline bool
text_number(struct text t, uint32_t max, uint32_t *out)
{
	uint64_t n = 0;

	if (t.size == 0)
		return false;
	for (size_t i = 0; i < t.size; i++) {
		if (t.at[i] < '0' || t.at[i] > '9')
			return false;
		n = 10 * n + (uint64_t)(t.at[i] - '0');
		if (n > max)
			n = max;
	}
	*out = (uint32_t)n;
	return true;
}

static inline void
text_put(struct wire_writer *w, const char *string)
{
	wire_put(w, string, strlen(string));
}

static inline void
text_put_number(struct wire_writer *w, uint32_t n)
{
	char digits[11];

	snprintf(digits, sizeof(digits), "%lu", (unsigned long)n);
	text_put(w, digits);
}

#endif
