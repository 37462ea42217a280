/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests as the front ends hand them to the core: NAT-PMP and PCP ones come out of their
 * decoders, so that the sets and switches in them are the real ones.  And random numbers that can
 * be had again.
 */
#ifndef PORTLEASE_TESTS_REQUESTS_H
#define PORTLEASE_TESTS_REQUESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../protocols/natpmp.h"
#include "../../protocols/pcp.h"
#include "../../protocols/wire.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TCP	     TRANSPORT_TCP
#define UDP	     TRANSPORT_UDP

enum { A_DAY = 86400, A_WEEK = 7 * A_DAY, PCP_MIN = 120 };

static inline struct address
address(const char *text)
{
	struct address a;

	if (!address_parse(text, &a))
		fail_msg("no address: %s", text);
	return a;
}

static inline struct address
host(unsigned n)
{
	char text[ADDRESS_TEXT_SIZE];

	snprintf(text, sizeof(text), "192.168.1.%u", n);
	return address(text);
}

/* What a client on 192.168.1.HOST asks for; what a protocol or a kind of request has no field for
 * is not used. */
struct wish {
	unsigned host;
	enum transport transport;
	uint16_t internal;
	uint16_t external;
	uint32_t lifetime;
};

static inline struct wish
wish(unsigned n, enum transport transport, uint16_t internal, uint16_t external, uint32_t lifetime)
{
	return (struct wish){n, transport, internal, external, lifetime};
}

static inline struct map_request
natpmp_decoded(struct wish w, uint32_t lifetime)
{
	uint8_t bytes[12];
	struct wire_writer out = wire_writer(bytes, sizeof(bytes));
	const struct datagram datagram = {
	    .bytes = bytes, .size = sizeof(bytes), .kept = sizeof(bytes), .source = host(w.host)};
	struct map_request request;
	struct map_reply reply;

	wire_put_u8(&out, 0);
	wire_put_u8(&out, w.transport == UDP ? 1 : 2);
	wire_put_u16(&out, 0);
	wire_put_u16(&out, w.internal);
	wire_put_u16(&out, w.external);
	wire_put_u32(&out, lifetime);
	assert_int_equal(natpmp_decode(&datagram, &request, &reply), DECODE_OK);
	request.lifetime_max = A_DAY;
	return request;
}

static inline struct map_request
natpmp_map(struct wish w)
{
	return natpmp_decoded(w, w.lifetime);
}

static inline struct map_request
natpmp_delete(struct wish w)
{
	return natpmp_decoded(w, 0);
}

static inline struct map_request
natpmp_delete_all(unsigned n, enum transport transport)
{
	return natpmp_decoded(wish(n, transport, 0, 0, 0), 0);
}

/* nonce: each of its octets. */
static inline struct map_request
pcp_decoded(struct wish w, uint32_t lifetime, uint8_t nonce, bool prefer_failure)
{
	uint8_t bytes[64];
	size_t size = prefer_failure ? 64 : 60;
	struct wire_writer out = wire_writer(bytes, size);
	const struct datagram datagram = {
	    .bytes = bytes, .size = size, .kept = size, .source = host(w.host)};
	struct map_request request;
	struct map_reply reply;

	wire_put_u8(&out, 2);
	wire_put_u8(&out, 1); /* MAP */
	wire_put_u16(&out, 0);
	wire_put_u32(&out, lifetime);
	wire_put(&out, &datagram.source, sizeof(datagram.source));
	memset(wire_room(&out, MAPPING_NONCE_SIZE), nonce, MAPPING_NONCE_SIZE);
	wire_put_u8(&out, (uint8_t)w.transport);
	wire_put_zero(&out, 3);
	wire_put_u16(&out, w.internal);
	wire_put_u16(&out, w.external);
	wire_put_zero(&out, 16);
	if (prefer_failure)
		wire_put_u32(&out, 0x02000000);
	assert_int_equal(pcp_decode(&datagram, &request, &reply), DECODE_OK);
	request.lifetime_min = PCP_MIN;
	request.lifetime_max = A_DAY;
	return request;
}

static inline struct map_request
pcp_map(struct wish w, uint8_t nonce)
{
	return pcp_decoded(w, w.lifetime, nonce, false);
}

static inline struct map_request
pcp_map_exactly(struct wish w, uint8_t nonce)
{
	return pcp_decoded(w, w.lifetime, nonce, true);
}

static inline struct map_request
pcp_delete(struct wish w, uint8_t nonce)
{
	return pcp_decoded(w, 0, nonce, false);
}

/* UPnP names a mapping by its external port, and has no codec yet: these are its rows of the two
 * matrices. */
static inline struct map_request
upnp_request(enum request_kind kind, struct wish w)
{
	return (struct map_request){
	    .kind = kind,
	    .origin = ORIGIN_UPNP,
	    .transport = w.transport,
	    .client = host(w.host),
	    .internal = {host(w.host), w.internal},
	    .external_port = w.external,
	    .lifetime = w.lifetime,
	    .lifetime_max = A_WEEK,
	    .if_taken = IF_TAKEN_REPLACE_OWN,
	    .by_external = true,
	    .may_replace = ORIGIN_BIT(ORIGIN_UPNP),
	    .may_delete = ORIGIN_BIT(ORIGIN_UPNP) | ORIGIN_BIT(ORIGIN_NATPMP),
	};
}

static inline struct map_request
upnp_add(struct wish w)
{
	return upnp_request(REQUEST_MAP, w);
}

static inline struct map_request
upnp_add_any(struct wish w)
{
	struct map_request request = upnp_request(REQUEST_MAP, w);

	request.if_taken = IF_TAKEN_OTHER_PORT;
	return request;
}

static inline struct map_request
upnp_delete(struct wish w)
{
	return upnp_request(REQUEST_DELETE, w);
}

struct randomness {
	uint64_t state;
};

/* A seed from the environment's PORTLEASE_SEED, else of the clock; printed, so that a failure can
 * be had again. */
static inline struct randomness
random_begin(const char *test)
{
	const char *given = getenv("PORTLEASE_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed =
	    given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20;
	printf("%s: PORTLEASE_SEED=%llu\n", test, (unsigned long long)seed);
	fflush(stdout);
	return (struct randomness){seed};
}

/* Weyl sequence, mixed: every seed is as good as any. */
static inline uint32_t
random_bits(struct randomness *r)
{
	uint64_t x = r->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
	x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (uint32_t)(x >> 32);
}

/* 0 … n - 1 */
static inline uint32_t
random_below(struct randomness *r, uint32_t n)
{
	return (uint32_t)((uint64_t)random_bits(r) * n >> 32);
}

static inline bool
chance(struct randomness *r, unsigned percent)
{
	return random_below(r, 100) < percent;
}

#endif
