/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams in tests are written as pairs of hex digits, with blanks where they help the eye. */
#ifndef PORTLEASE_TESTS_HEX_H
#define PORTLEASE_TESTS_HEX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static inline size_t
hex(const char *text, uint8_t *out, size_t size)
{
	size_t n = 0;
	unsigned octet;

	for (; *text; text += 2) {
		text += strspn(text, " ");
		if (!*text)
			break;
		assert_int_equal(sscanf(text, "%2x", &octet), 1);
		assert_true(n < size);
		out[n++] = (uint8_t)octet;
	}
	return n;
}

/* Compares as text, so that a failure shows both datagrams. */
static inline void
assert_hex(const uint8_t *bytes, size_t n, const char *expected)
{
	static char actual[4096], wanted[4096];
	static uint8_t octets[2000];
	size_t m = hex(expected, octets, sizeof(octets));

	assert_true(2 * n < sizeof(actual));
	actual[0] = wanted[0] = '\0';
	for (size_t i = 0; i < n; i++)
		sprintf(actual + 2 * i, "%02x", bytes[i]);
	for (size_t i = 0; i < m; i++)
		sprintf(wanted + 2 * i, "%02x", octets[i]);
	assert_string_equal(actual, wanted);
}

#endif
