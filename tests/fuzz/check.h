/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzzers of the 5351 codecs share. */
#ifndef PORTLEASE_TESTS_CHECK_H
#define PORTLEASE_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../protocols/mapping.h"

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

/* The seeds come from this one. */
static inline struct address
fuzz_client(void)
{
	struct address a;

	CHECK(address_parse("192.168.1.2", &a));
	return a;
}

static inline struct map_reply
fuzz_reply(enum map_result result)
{
	struct map_reply reply = {.result = result, .epoch = 77, .lifetime = 7200};

	CHECK(address_parse("203.0.113.5", &reply.external.address));
	reply.external.port = 40000;
	return reply;
}

#endif
