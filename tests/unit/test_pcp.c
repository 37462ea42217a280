/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCP octet by octet.  Numbers of clauses are of RFC 6887. */
#include "../../protocols/pcp.h"

#include "hex.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { EPOCH = 0x01020304, L = 1800, S = 30 };

#define CLIENT	       "00000000000000000000ffffc0a80102 "
#define ANY4	       "00000000000000000000ffff00000000 "
#define EXTERNAL       "00000000000000000000ffffcb007105 "
#define NONCE	       "a1a2a3a4a5a6a7a8a9aaabac "
#define NO_RESERVED    "000000000000000000000000 "
#define ANNOUNCE       "02 00 0000 00000000 " CLIENT
#define MAP_HEADER     "02 01 0000 00000e10 " CLIENT
#define MAP_UDP	       MAP_HEADER NONCE "11 000000 1f90 2328 " ANY4
#define DELETE_UDP     "02 01 0000 00000000 " CLIENT NONCE "11 000000 1f90 2328 " EXTERNAL
#define MAPPED	       "02 81 00 00 00001c20 01020304 " NO_RESERVED NONCE "11 000000 1f90 9c40 " EXTERNAL
#define PREFER_FAILURE "02 00 0000 "

/* The last datagram from 192.168.1.2, and what became of it. */
static struct {
	uint8_t bytes[2048];
	struct datagram datagram;
	struct map_request request;
	struct map_reply reply;
	uint8_t out[DATAGRAM_MAX];
	size_t length;
} x;

static struct address
address(const char *text)
{
	struct address a;

	assert_true(address_parse(text, &a));
	return a;
}

static enum decode_result
decode(void)
{
	return pcp_decode(&x.datagram, &x.request, &x.reply);
}

static enum decode_result
receive(const char *text)
{
	memset(&x, 0xa5, sizeof(x));
	x.datagram = (struct datagram){.bytes = x.bytes,
				       .size = hex(text, x.bytes, sizeof(x.bytes)),
				       .source = address("192.168.1.2"),
				       .source_port = 5000};
	x.datagram.kept = x.datagram.size;
	return decode();
}

static void
answer(void)
{
	x.reply.epoch = EPOCH;
	x.length = pcp_encode(&x.datagram, &x.request, &x.reply, x.out, sizeof(x.out));
}

/* What the core says to a granted mapping. */
static struct map_reply
granted(void)
{
	return (struct map_reply){
	    .result = MAP_OK, .external = {address("203.0.113.5"), 40000}, .lifetime = 0x1c20};
}

enum reserved { ZERO, COPIED };

/* 8.2: a copy of the request up to 1100 octets, padded, under a header of our own. */
static void
assert_error(unsigned code, uint32_t lifetime, enum reserved reserved)
{
	uint8_t expected[DATAGRAM_MAX] = {0}, header[12];
	size_t n = x.datagram.kept < DATAGRAM_MAX ? x.datagram.kept : DATAGRAM_MAX;
	size_t length = n <= 24 ? 24 : (n + 3) & ~(size_t)3;
	char text[64];

	answer();
	memcpy(expected, x.bytes, n);
	snprintf(text, sizeof(text), "02 %02x 00 %02x %08x %08x", 0x80 | x.bytes[1], code, lifetime,
		 EPOCH);
	hex(text, header, sizeof(header));
	memcpy(expected, header, sizeof(header));
	if (reserved == ZERO)
		memset(expected + 12, 0, 12);
	assert_int_equal(x.length, length);
	assert_memory_equal(x.out, expected, length);
}

static void
assert_rejected(enum map_result result, unsigned code, enum reserved reserved)
{
	assert_int_equal(x.reply.result, result);
	assert_error(code, L, reserved);
}

static void
an_announce(void **state)
{
	(void)state;
	assert_int_equal(receive(ANNOUNCE), DECODE_OK);
	assert_int_equal(x.request.kind, REQUEST_ANNOUNCE);
	answer();
	assert_hex(x.out, x.length, "02 80 00 00 00000000 01020304 " NO_RESERVED);
	/* 14.1.1: its lifetime is nothing; options that may be ignored do not come back. */
	assert_int_equal(receive("02 00 ffff 00000e10 " CLIENT "80 00 0001 61000000"), DECODE_OK);
	x.reply.lifetime = 9;
	answer();
	assert_hex(x.out, x.length, "02 80 00 00 00000000 01020304 " NO_RESERVED);
}

static void
a_mapping(void **state)
{
	struct address client = address("192.168.1.2");

	(void)state;
	assert_int_equal(receive(MAP_UDP), DECODE_OK);
	assert_int_equal(x.request.kind, REQUEST_MAP);
	assert_int_equal(x.request.origin, ORIGIN_PCP);
	assert_int_equal(x.request.transport, TRANSPORT_UDP);
	assert_true(address_equal(&x.request.client, &client));
	assert_true(address_equal(&x.request.internal.address, &client));
	assert_int_equal(x.request.internal.port, 8080);
	assert_int_equal(x.request.external_port, 9000);
	assert_int_equal(x.request.lifetime, 3600);
	assert_int_equal(x.request.if_taken, IF_TAKEN_OTHER_PORT);
	assert_false(x.request.by_external);
	assert_false(x.request.reserve_companion);
	assert_true(x.request.has_nonce);
	assert_hex(x.request.nonce.bytes, MAPPING_NONCE_SIZE, NONCE);
	assert_int_equal(x.request.adopts, ORIGIN_BIT(ORIGIN_NATPMP) | ORIGIN_BIT(ORIGIN_UPNP));
	assert_int_equal(x.request.may_replace, 0);
	assert_int_equal(x.request.may_delete, ORIGIN_BIT(ORIGIN_PCP));
	assert_string_equal(x.request.description, "");
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length, MAPPED);
}

static void
a_mapping_for_tcp(void **state)
{
	(void)state;
	/* Reserved octets are ignored and do not come back. */
	assert_int_equal(receive("02 01 ffff ffffffff " CLIENT NONCE "06 ffffff 0016 0000 " ANY4),
			 DECODE_OK);
	assert_int_equal(x.request.transport, TRANSPORT_TCP);
	assert_int_equal(x.request.lifetime, UINT32_MAX);
	assert_int_equal(x.request.internal.port, 22);
	assert_int_equal(x.request.external_port, 0);
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length,
		   "02 81 00 00 00001c20 01020304 " NO_RESERVED NONCE
		   "06 000000 0016 9c40 " EXTERNAL);
}

static void
a_suggested_address_is_only_a_hint(void **state)
{
	(void)state;
	assert_int_equal(receive(MAP_HEADER NONCE "11 000000 1f90 2328 " CLIENT), DECODE_OK);
	assert_true(address_is_unspecified(&x.request.external_address));
	assert_int_equal(x.request.if_taken, IF_TAKEN_OTHER_PORT);
	assert_int_equal(x.request.external_port, 9000);
}

static void
a_delete(void **state)
{
	(void)state;
	assert_int_equal(receive(DELETE_UDP), DECODE_OK);
	assert_int_equal(x.request.kind, REQUEST_DELETE);
	assert_int_equal(x.request.internal.port, 8080);
	assert_int_equal(x.request.external_port, 0);
	assert_true(address_is_unspecified(&x.request.external_address));
	assert_hex(x.request.nonce.bytes, MAPPING_NONCE_SIZE, NONCE);
	assert_int_equal(x.request.may_delete, ORIGIN_BIT(ORIGIN_PCP));
	/* 15.1, erratum 3621: what was suggested comes back; so it does if nothing was there. */
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length,
		   "02 81 00 00 00000000 01020304 " NO_RESERVED NONCE
		   "11 000000 1f90 2328 " EXTERNAL);
	x.reply.result = MAP_NOT_FOUND;
	answer();
	assert_hex(x.out, x.length,
		   "02 81 00 00 00000000 01020304 " NO_RESERVED NONCE
		   "11 000000 1f90 2328 " EXTERNAL);
}

static void
every_result_has_its_code_and_lifetime(void **state)
{
	static const struct {
		enum map_result result;
		unsigned code;
		uint32_t lifetime;
		enum reserved reserved;
	} cases[] = {
	    {MAP_NOT_AUTHORIZED, 2, L, ZERO},
	    {MAP_PORT_FORBIDDEN, 11, L, ZERO},
	    {MAP_PORT_TAKEN, 11, S, ZERO},
	    {MAP_GATEWAY_PORT, 11, S, ZERO},
	    {MAP_NOT_YOURS, 2, L, ZERO},
	    {MAP_OTHER_MECHANISM, 2, L, ZERO},
	    {MAP_NO_ADDRESS, 7, S, ZERO},
	    {MAP_NO_RESOURCES, 8, S, ZERO},
	    {MAP_QUOTA, 10, S, ZERO},
	    {MAP_UNSUPPORTED_VERSION, 1, L, COPIED},
	    {MAP_UNSUPPORTED_OPCODE, 4, L, COPIED},
	    {MAP_UNSUPPORTED_OPTION, 5, L, ZERO},
	    {MAP_UNSUPPORTED_PROTOCOL, 9, L, ZERO},
	    {MAP_MALFORMED_REQUEST, 3, L, COPIED},
	    {MAP_MALFORMED_OPTION, 6, L, COPIED},
	    {MAP_ADDRESS_MISMATCH, 12, L, ZERO},
	};

	(void)state;
	assert_int_equal(COUNT(cases), MAP_RESULTS - 2); /* but OK and NOT_FOUND */
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(receive(MAP_UDP PREFER_FAILURE), DECODE_OK);
		x.reply.result = cases[i].result;
		assert_error(cases[i].code, cases[i].lifetime, cases[i].reserved);
	}
}

static void
a_lifetime_the_core_knows_is_told(void **state)
{
	(void)state;
	assert_int_equal(receive(MAP_UDP), DECODE_OK);
	x.reply.lifetime = 1234;
	x.reply.result = MAP_NOT_YOURS;
	assert_error(2, 1234, ZERO);
	x.reply.result = MAP_PORT_TAKEN;
	assert_error(11, 1234, ZERO);
	x.reply.result = MAP_NO_RESOURCES;
	assert_error(8, S, ZERO);
}

/* Steps 2 to 5 of 8.2. */
static void
runts_and_responses_are_ignored(void **state)
{
	(void)state;
	assert_int_equal(receive(""), DECODE_IGNORE);
	assert_int_equal(receive("02"), DECODE_IGNORE);
	assert_int_equal(receive("02 00"), DECODE_IGNORE);
	assert_int_equal(receive("02 81 0000 00000e10 " CLIENT), DECODE_IGNORE);
	/* R counts before the version, which counts before the header's length. */
	assert_int_equal(receive("03 81"), DECODE_IGNORE);
	assert_int_equal(receive("03 01"), DECODE_REJECT);
	receive(ANNOUNCE);
	x.datagram.size = x.datagram.kept = 23;
	assert_int_equal(decode(), DECODE_IGNORE);
	x.datagram.size = x.datagram.kept = 24;
	assert_int_equal(decode(), DECODE_OK);
}

static void
other_versions_are_offered_version_2(void **state)
{
	char request[16];

	(void)state;
	for (unsigned version = 0; version < 256; version++) {
		if (version == 2)
			continue;
		snprintf(request, sizeof(request), "%02x 01", version);
		assert_int_equal(receive(request), DECODE_REJECT);
		assert_rejected(MAP_UNSUPPORTED_VERSION, 1, COPIED);
		assert_hex(x.out, x.length, "02 81 00 01 00000708 01020304 " NO_RESERVED);
	}
	/* One octet more than the header is padded to a word. */
	assert_int_equal(receive("03 01 0000 00000e10 " CLIENT "77"), DECODE_REJECT);
	assert_rejected(MAP_UNSUPPORTED_VERSION, 1, COPIED);
	assert_hex(x.out, x.length,
		   "02 81 00 01 00000708 01020304 000000000000ffffc0a80102 77000000");
}

static void
lengths(void **state)
{
	(void)state;
	receive(MAP_UDP);
	for (size_t n = 24; n < 60; n++) {
		x.datagram.size = x.datagram.kept = n;
		assert_int_equal(decode(), DECODE_REJECT);
		assert_rejected(MAP_MALFORMED_REQUEST, 3, COPIED);
	}
	x.datagram.size = x.datagram.kept = 60;
	assert_int_equal(decode(), DECODE_OK);
	memset(x.bytes + 60, 0, sizeof(x.bytes) - 60);
	for (size_t n = 61; n < 64; n++) {
		x.datagram.size = x.datagram.kept = n;
		assert_int_equal(decode(), DECODE_REJECT);
		assert_rejected(MAP_MALFORMED_REQUEST, 3, COPIED);
	}
	/* 1100 octets are the most. */
	x.datagram.size = x.datagram.kept = 1100;
	assert_int_equal(decode(), DECODE_OK);
	x.datagram.size = x.datagram.kept = 1104;
	assert_int_equal(decode(), DECODE_REJECT);
	assert_rejected(MAP_MALFORMED_REQUEST, 3, COPIED);
	assert_int_equal(x.length, DATAGRAM_MAX);
	/* So is a datagram of which only a part was kept. */
	x.datagram.size = 9000;
	x.datagram.kept = 1100;
	assert_int_equal(decode(), DECODE_REJECT);
	assert_rejected(MAP_MALFORMED_REQUEST, 3, COPIED);
	x.datagram.size = 64;
	x.datagram.kept = 60;
	assert_int_equal(decode(), DECODE_REJECT);
	assert_rejected(MAP_MALFORMED_REQUEST, 3, COPIED);
}

static void
the_client_address_must_be_the_source(void **state)
{
	(void)state;
	/* Every octet counts, the leading ones too. */
	for (size_t i = 8; i < 24; i++) {
		assert_int_equal(receive(MAP_UDP), DECODE_OK);
		x.bytes[i] ^= 1;
		assert_int_equal(decode(), DECODE_REJECT);
		assert_rejected(MAP_ADDRESS_MISMATCH, 12, ZERO);
	}
}

static void
unknown_opcodes_go_back_untouched(void **state)
{
	char request[128];

	(void)state;
	for (unsigned opcode = 2; opcode < 128; opcode++) {
		/* What would be options of another opcode is not looked at. */
		snprintf(request, sizeof(request),
			 "02 %02x 0000 00000e10 " CLIENT "01000010 0000ffff", opcode);
		assert_int_equal(receive(request), DECODE_REJECT);
		assert_rejected(MAP_UNSUPPORTED_OPCODE, 4, COPIED);
	}
}

/* The tests of 8.2 come in an order: a datagram with two faults shows the earlier. */
static void
the_first_fault_counts(void **state)
{
	(void)state;
	/* length before address */
	assert_int_equal(receive("02 01 0000 00000e10 " ANY4), DECODE_REJECT);
	assert_int_equal(x.reply.result, MAP_MALFORMED_REQUEST);
	/* address before opcode */
	assert_int_equal(receive("02 7e 0000 00000e10 " ANY4), DECODE_REJECT);
	assert_int_equal(x.reply.result, MAP_ADDRESS_MISMATCH);
	/* a list of options that does not parse before one that is not known */
	assert_int_equal(receive(MAP_UDP "01 00 0000 03 00 0014"), DECODE_REJECT);
	assert_int_equal(x.reply.result, MAP_MALFORMED_OPTION);
	/* options before the rules of the opcode */
	assert_int_equal(receive(MAP_HEADER NONCE "00 000000 1f90 2328 " ANY4 "01 00 0000"),
			 DECODE_REJECT);
	assert_int_equal(x.reply.result, MAP_UNSUPPORTED_OPTION);
}

static void
transports_and_wildcards(void **state)
{
	static const struct {
		const char *protocol_and_port;
		enum map_result result;
		unsigned code;
		enum reserved reserved;
	} cases[] = {
	    {"00 000000 1f90", MAP_MALFORMED_REQUEST, 3, COPIED},
	    {"00 000000 0000", MAP_UNSUPPORTED_PROTOCOL, 9, ZERO},
	    {"06 000000 0000", MAP_UNSUPPORTED_PROTOCOL, 9, ZERO},
	    {"11 000000 0000", MAP_UNSUPPORTED_PROTOCOL, 9, ZERO},
	    {"84 000000 1f90", MAP_UNSUPPORTED_PROTOCOL, 9, ZERO},
	    {"2e 000000 0000", MAP_UNSUPPORTED_PROTOCOL, 9, ZERO},
	    {"ff 000000 ffff", MAP_UNSUPPORTED_PROTOCOL, 9, ZERO},
	};
	static const char *const lifetimes[] = {"00000e10", "00000000"};
	char request[256];

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(cases); i++) {
		snprintf(request, sizeof(request), "02 01 0000 %s " CLIENT NONCE "%s 0000 " ANY4,
			 lifetimes[i % 2], cases[i / 2].protocol_and_port);
		assert_int_equal(receive(request), DECODE_REJECT);
		assert_rejected(cases[i / 2].result, cases[i / 2].code, cases[i / 2].reserved);
	}
}

static void
prefer_failure(void **state)
{
	struct address external = address("203.0.113.5");

	(void)state;
	assert_int_equal(receive(MAP_UDP PREFER_FAILURE), DECODE_OK);
	assert_int_equal(x.request.if_taken, IF_TAKEN_FAIL);
	assert_int_equal(x.request.external_port, 9000);
	assert_true(address_is_unspecified(&x.request.external_address));
	/* 7.3: what was processed comes back. */
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length, MAPPED PREFER_FAILURE);

	assert_int_equal(receive(MAP_HEADER NONCE "11 000000 1f90 2328 " EXTERNAL "02 ff 0000"),
			 DECODE_OK);
	assert_true(address_equal(&x.request.external_address, &external));
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length, MAPPED PREFER_FAILURE);
}

static void
prefer_failure_that_makes_no_sense(void **state)
{
	static const char *const requests[] = {
	    MAP_HEADER NONCE "11 000000 1f90 0000 " EXTERNAL PREFER_FAILURE, /* no port: 13.2 */
	    DELETE_UDP PREFER_FAILURE,					     /* 11.3 */
	    MAP_UDP "02 00 0004 00000000",				     /* has no data */
	    MAP_UDP PREFER_FAILURE PREFER_FAILURE,			     /* only once */
	    MAP_UDP PREFER_FAILURE "80 00 0000" PREFER_FAILURE,
	    ANNOUNCE PREFER_FAILURE, /* 13 */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		assert_int_equal(receive(requests[i]), DECODE_REJECT);
		assert_rejected(MAP_MALFORMED_OPTION, 6, COPIED);
	}
}

static void
unknown_mandatory_options_are_refused(void **state)
{
	char request[512];

	(void)state;
	for (unsigned code = 0; code < 128; code++) {
		if (code == 2)
			continue;
		snprintf(request, sizeof(request), MAP_UDP "%02x 00 0004 ffffffff", code);
		assert_int_equal(receive(request), DECODE_REJECT);
		assert_rejected(MAP_UNSUPPORTED_OPTION, 5, ZERO);
		snprintf(request, sizeof(request), ANNOUNCE "%02x 00 0004 ffffffff", code);
		assert_int_equal(receive(request), DECODE_REJECT);
		assert_rejected(MAP_UNSUPPORTED_OPTION, 5, ZERO);
	}
	/* THIRD_PARTY and FILTER as clients send them. */
	assert_int_equal(receive(MAP_UDP "01 00 0010 " CLIENT), DECODE_REJECT);
	assert_rejected(MAP_UNSUPPORTED_OPTION, 5, ZERO);
	assert_int_equal(receive(MAP_UDP "03 00 0014 00 80 0050 " EXTERNAL), DECODE_REJECT);
	assert_rejected(MAP_UNSUPPORTED_OPTION, 5, ZERO);
	/* In the order received: 7.3. */
	assert_int_equal(receive(MAP_UDP PREFER_FAILURE "01 00 0000" PREFER_FAILURE),
			 DECODE_REJECT);
	assert_rejected(MAP_UNSUPPORTED_OPTION, 5, ZERO);
}

static void
unknown_optional_options_do_not_come_back(void **state)
{
	char request[512];

	(void)state;
	for (unsigned code = 128; code < 256; code++) {
		snprintf(request, sizeof(request),
			 MAP_UDP "%02x 00 0005 6162636465 000000" PREFER_FAILURE "%02x 00 0000",
			 code, code);
		assert_int_equal(receive(request), DECODE_OK);
		assert_int_equal(x.request.if_taken, IF_TAKEN_FAIL);
		x.reply = granted();
		answer();
		assert_hex(x.out, x.length, MAPPED PREFER_FAILURE);
	}
}

static void
options_that_do_not_parse(void **state)
{
	static const char *const tails[] = {
	    "80 00 0001", "80 00 0005 61626364",       "80 00 ffff 61626364",
	    "02 00 0001", PREFER_FAILURE "80 00 0004",
	};
	char request[512];

	(void)state;
	for (size_t i = 0; i < COUNT(tails); i++) {
		snprintf(request, sizeof(request), MAP_UDP "%s", tails[i]);
		assert_int_equal(receive(request), DECODE_REJECT);
		assert_rejected(MAP_MALFORMED_OPTION, 6, COPIED);
	}
	assert_int_equal(receive(ANNOUNCE "80 00 0001"), DECODE_REJECT);
	assert_rejected(MAP_MALFORMED_OPTION, 6, COPIED);
	assert_int_equal(receive(MAP_UDP "80 00 0004 61626364"), DECODE_OK);
}

static void
a_tail_of_zero_words_is_tolerated(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
	    {MAP_UDP "00000000", MAPPED},
	    {MAP_UDP "0000000000000000000000000000000000000000", MAPPED},
	    {MAP_UDP PREFER_FAILURE "0000000000000000", MAPPED PREFER_FAILURE},
	    /* these zeros are an option's */
	    {MAP_UDP "80 00 0004 00000000" PREFER_FAILURE, MAPPED PREFER_FAILURE},
	    {MAP_UDP "80 00 0004 00000000 00000000", MAPPED},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(receive(cases[i].request), DECODE_OK);
		x.reply = granted();
		answer();
		assert_hex(x.out, x.length, cases[i].answer);
	}
	/* Zeros before an option are option 0, which is reserved. */
	assert_int_equal(receive(MAP_UDP "00000000" PREFER_FAILURE), DECODE_REJECT);
	assert_rejected(MAP_UNSUPPORTED_OPTION, 5, ZERO);
	/* And an option cut short by the end stays malformed, if only zeros are there. */
	assert_int_equal(receive(MAP_UDP "80 00 0008 00000000"), DECODE_REJECT);
	assert_rejected(MAP_MALFORMED_OPTION, 6, COPIED);
}

static void
an_unsolicited_announce(void **state)
{
	uint8_t out[24];

	(void)state;
	assert_int_equal(pcp_encode_announcement(EPOCH, out, sizeof(out)), 24);
	assert_hex(out, 24, "02 80 00 00 00000000 01020304 " NO_RESERVED);
	assert_int_equal(pcp_encode_announcement(EPOCH, out, 23), 0);
}

static void
an_answer_that_does_not_fit_is_none(void **state)
{
	static const char *const requests[] = {
	    ANNOUNCE, MAP_UDP, MAP_UDP PREFER_FAILURE, DELETE_UDP, MAP_UDP "01 00 0000", "03 00"};

	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		receive(requests[i]);
		answer();
		assert_true(x.length > 0);
		assert_int_equal(pcp_encode(&x.datagram, &x.request, &x.reply, x.out, x.length),
				 x.length);
		assert_int_equal(pcp_encode(&x.datagram, &x.request, &x.reply, x.out, x.length - 1),
				 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_announce),
	    cmocka_unit_test(a_mapping),
	    cmocka_unit_test(a_mapping_for_tcp),
	    cmocka_unit_test(a_suggested_address_is_only_a_hint),
	    cmocka_unit_test(a_delete),
	    cmocka_unit_test(every_result_has_its_code_and_lifetime),
	    cmocka_unit_test(a_lifetime_the_core_knows_is_told),
	    cmocka_unit_test(runts_and_responses_are_ignored),
	    cmocka_unit_test(other_versions_are_offered_version_2),
	    cmocka_unit_test(lengths),
	    cmocka_unit_test(the_client_address_must_be_the_source),
	    cmocka_unit_test(unknown_opcodes_go_back_untouched),
	    cmocka_unit_test(the_first_fault_counts),
	    cmocka_unit_test(transports_and_wildcards),
	    cmocka_unit_test(prefer_failure),
	    cmocka_unit_test(prefer_failure_that_makes_no_sense),
	    cmocka_unit_test(unknown_mandatory_options_are_refused),
	    cmocka_unit_test(unknown_optional_options_do_not_come_back),
	    cmocka_unit_test(options_that_do_not_parse),
	    cmocka_unit_test(a_tail_of_zero_words_is_tolerated),
	    cmocka_unit_test(an_unsolicited_announce),
	    cmocka_unit_test(an_answer_that_does_not_fit_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
