/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NAT-PMP octet by octet.  Numbers of clauses are of RFC 6886. */
#include "../../protocols/natpmp.h"

#include "hex.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { EPOCH = 0x01020304 };

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
receive(const char *text)
{
	memset(&x, 0xa5, sizeof(x));
	x.datagram = (struct datagram){.bytes = x.bytes,
				       .size = hex(text, x.bytes, sizeof(x.bytes)),
				       .source = address("192.168.1.2"),
				       .source_port = 5000};
	x.datagram.kept = x.datagram.size;
	return natpmp_decode(&x.datagram, &x.request, &x.reply);
}

static void
answer(void)
{
	x.reply.epoch = EPOCH;
	x.length = natpmp_encode(&x.datagram, &x.request, &x.reply, x.out, sizeof(x.out));
}

/* What the core says to a granted mapping. */
static struct map_reply
granted(void)
{
	return (struct map_reply){
	    .result = MAP_OK, .external = {address("203.0.113.5"), 40000}, .lifetime = 0x1c20};
}

static void
the_external_address(void **state)
{
	(void)state;
	assert_int_equal(receive("00 00"), DECODE_OK);
	assert_int_equal(x.request.kind, REQUEST_ADDRESS);
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length, "00 80 0000 01020304 cb007105");
}

static void
no_external_address_is_a_network_failure(void **state)
{
	(void)state;
	assert_int_equal(receive("00 00"), DECODE_OK);
	x.reply = granted();
	x.reply.result = MAP_NO_ADDRESS;
	answer();
	assert_hex(x.out, x.length, "00 80 0003 01020304 00000000");
	/* Nor is 0.0.0.0 ever a success. */
	x.reply = granted();
	x.reply.external.address = address("0.0.0.0");
	answer();
	assert_hex(x.out, x.length, "00 80 0003 01020304 00000000");
	x.reply.external.address = address("2001:db8::1");
	answer();
	assert_hex(x.out, x.length, "00 80 0003 01020304 00000000");
}

static void
an_address_request_may_be_padded(void **state)
{
	(void)state;
	assert_int_equal(receive("00 00 deadbeef00"), DECODE_OK);
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length, "00 80 0000 01020304 cb007105");
}

static void
a_mapping(void **state)
{
	struct address client = address("192.168.1.2");

	(void)state;
	assert_int_equal(receive("00 01 0000 1f90 2328 00001c20"), DECODE_OK);
	assert_int_equal(x.request.kind, REQUEST_MAP);
	assert_int_equal(x.request.origin, ORIGIN_NATPMP);
	assert_int_equal(x.request.transport, TRANSPORT_UDP);
	assert_true(address_equal(&x.request.client, &client));
	assert_true(address_equal(&x.request.internal.address, &client));
	assert_int_equal(x.request.internal.port, 8080);
	assert_int_equal(x.request.external_port, 9000);
	assert_int_equal(x.request.lifetime, 7200);
	assert_int_equal(x.request.if_taken, IF_TAKEN_OTHER_PORT);
	assert_true(address_is_unspecified(&x.request.external_address));
	assert_true(x.request.reserve_companion);
	assert_false(x.request.by_external);
	assert_false(x.request.has_nonce);
	assert_int_equal(x.request.adopts, 0);
	assert_int_equal(x.request.may_replace, 0);
	assert_string_equal(x.request.description, "");
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length, "00 81 0000 01020304 1f90 9c40 00001c20");

	assert_int_equal(receive("00 02 0000 1f90 2328 00001c20"), DECODE_OK);
	assert_int_equal(x.request.transport, TRANSPORT_TCP);
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length, "00 82 0000 01020304 1f90 9c40 00001c20");
}

static void
reserved_and_trailing_octets_are_ignored(void **state)
{
	(void)state;
	assert_int_equal(receive("00 02 ffff 1f90 0000 ffffffff 02000000ff"), DECODE_OK);
	assert_int_equal(x.request.internal.port, 8080);
	assert_int_equal(x.request.external_port, 0);
	assert_int_equal(x.request.lifetime, UINT32_MAX);
	x.reply = granted();
	answer();
	assert_hex(x.out, x.length, "00 82 0000 01020304 1f90 9c40 00001c20");
}

/* 3.5: every result has its code; the answer is as long as a success, without port and time. */
static void
errors_are_of_full_length(void **state)
{
	static const uint8_t codes[MAP_RESULTS] = {
	    [MAP_NOT_AUTHORIZED] = 2,
	    [MAP_PORT_FORBIDDEN] = 2,
	    [MAP_PORT_TAKEN] = 4,
	    [MAP_GATEWAY_PORT] = 4,
	    [MAP_NOT_YOURS] = 2,
	    [MAP_OTHER_MECHANISM] = 2,
	    [MAP_NO_ADDRESS] = 3,
	    [MAP_NO_RESOURCES] = 4,
	    [MAP_QUOTA] = 4,
	    [MAP_UNSUPPORTED_VERSION] = 1,
	    [MAP_UNSUPPORTED_OPTION] = 2,
	    [MAP_UNSUPPORTED_PROTOCOL] = 2,
	    [MAP_MALFORMED_REQUEST] = 2,
	    [MAP_MALFORMED_OPTION] = 2,
	    [MAP_ADDRESS_MISMATCH] = 2,
	};
	char expected[64];

	(void)state;
	for (int result = 0; result < MAP_RESULTS; result++) {
		if (result == MAP_OK || result == MAP_NOT_FOUND || result == MAP_UNSUPPORTED_OPCODE)
			continue;
		assert_int_equal(receive("00 01 0000 1f90 2328 00001c20"), DECODE_OK);
		x.reply = granted();
		x.reply.result = (enum map_result)result;
		answer();
		snprintf(expected, sizeof(expected), "00 81 %04x 01020304 1f90 0000 00000000",
			 codes[result]);
		assert_hex(x.out, x.length, expected);

		assert_int_equal(receive("00 00"), DECODE_OK);
		x.reply = granted();
		x.reply.result = (enum map_result)result;
		answer();
		snprintf(expected, sizeof(expected), "00 80 %04x 01020304 00000000", codes[result]);
		assert_hex(x.out, x.length, expected);
	}
}

static void
a_delete_ignores_the_external_port(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
	    {"00 01 0000 1f90 0000 00000000", "00 81 0000 01020304 1f90 0000 00000000"},
	    {"00 02 0000 1f90 2328 00000000", "00 82 0000 01020304 1f90 0000 00000000"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(receive(cases[i].request), DECODE_OK);
		assert_int_equal(x.request.kind, REQUEST_DELETE);
		assert_int_equal(x.request.internal.port, 8080);
		assert_int_equal(x.request.external_port, 0);
		assert_int_equal(x.request.may_delete,
				 ORIGIN_BIT(ORIGIN_NATPMP) | ORIGIN_BIT(ORIGIN_UPNP));
		x.reply = granted();
		answer();
		assert_hex(x.out, x.length, cases[i].answer);
		/* What is not there is deleted: 3.4. */
		x.reply.result = MAP_NOT_FOUND;
		answer();
		assert_hex(x.out, x.length, cases[i].answer);
	}
}

static void
a_refused_delete(void **state)
{
	(void)state;
	assert_int_equal(receive("00 01 0000 1f90 0000 00000000"), DECODE_OK);
	x.reply.result = MAP_OTHER_MECHANISM;
	answer();
	assert_hex(x.out, x.length, "00 81 0002 01020304 1f90 0000 00000000");
}

static void
a_delete_of_all(void **state)
{
	static const char *const requests[] = {"00 01 0000 0000 0000 00000000",
					       "00 01 0000 0000 2328 00000000"};

	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		assert_int_equal(receive(requests[i]), DECODE_OK);
		assert_int_equal(x.request.kind, REQUEST_DELETE_ALL);
		assert_int_equal(x.request.transport, TRANSPORT_UDP);
		assert_int_equal(x.request.internal.port, 0);
		assert_int_equal(x.request.external_port, 0);
		assert_int_equal(x.request.may_delete, ORIGIN_BIT(ORIGIN_NATPMP));
		answer();
		assert_hex(x.out, x.length, "00 81 0000 01020304 0000 0000 00000000");
		x.reply.result = MAP_OTHER_MECHANISM;
		answer();
		assert_hex(x.out, x.length, "00 81 0002 01020304 0000 0000 00000000");
	}
}

static void
a_mapping_of_internal_port_0_is_refused(void **state)
{
	(void)state;
	assert_int_equal(receive("00 02 0000 0000 2328 00001c20"), DECODE_REJECT);
	answer();
	assert_hex(x.out, x.length, "00 82 0002 01020304 0000 0000 00000000");
}

static void
runts_and_responses_are_ignored(void **state)
{
	static const char *const ignored[] = {
	    "",	     "00",	"00 01 0000 1f90 2328 00001c", "00 02 0000 1f90 2328 00001c",
	    "00 01", "00 02 00"};
	char text[16];

	(void)state;
	for (size_t i = 0; i < COUNT(ignored); i++)
		assert_int_equal(receive(ignored[i]), DECODE_IGNORE);
	for (unsigned opcode = 128; opcode < 256; opcode++) {
		snprintf(text, sizeof(text), "00 %02x 00000000", opcode);
		assert_int_equal(receive(text), DECODE_IGNORE);
	}
}

static void
unsupported_opcodes_go_back_whole(void **state)
{
	char request[64], expected[64];

	(void)state;
	for (unsigned opcode = 3; opcode < 128; opcode++) {
		snprintf(request, sizeof(request), "00 %02x abcd 1122334455667788 99", opcode);
		assert_int_equal(receive(request), DECODE_REJECT);
		assert_int_equal(x.reply.result, MAP_UNSUPPORTED_OPCODE);
		answer();
		snprintf(expected, sizeof(expected), "00 %02x 0005 1122334455667788 99",
			 0x80 | opcode);
		assert_hex(x.out, x.length, expected);
	}
}

static void
short_unsupported_opcodes_get_a_whole_header(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
	    {"00 03", "00 83 0005 01020304"},
	    {"00 03 ff", "00 83 0005 01020304"},
	    {"00 03 ffff", "00 83 0005"},
	    {"00 7f ffff 01", "00 ff 0005 01"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(receive(cases[i].request), DECODE_REJECT);
		answer();
		assert_hex(x.out, x.length, cases[i].answer);
	}
}

static void
a_long_unsupported_opcode_is_cut(void **state)
{
	(void)state;
	assert_int_equal(receive("00 05 0000"), DECODE_REJECT);
	memset(x.bytes + 4, 0x77, sizeof(x.bytes) - 4);
	x.datagram.size = 9000;
	x.datagram.kept = sizeof(x.bytes);
	answer();
	assert_int_equal(x.length, DATAGRAM_MAX);
	assert_hex(x.out, 4, "00 85 0005");
	assert_memory_equal(x.out + 4, x.bytes + 4, DATAGRAM_MAX - 4);
}

static void
a_version_nobody_speaks(void **state)
{
	uint8_t out[8];

	(void)state;
	assert_int_equal(natpmp_encode_bad_version(EPOCH, out, sizeof(out)), 8);
	assert_hex(out, 8, "00 00 0001 01020304");
	assert_int_equal(natpmp_encode_bad_version(EPOCH, out, 7), 0);
}

static void
announcements(void **state)
{
	struct address external = address("203.0.113.5");
	uint8_t out[12];

	(void)state;
	assert_int_equal(natpmp_encode_announcement(&external, EPOCH, out, sizeof(out)), 12);
	assert_hex(out, 12, "00 80 0000 01020304 cb007105");
	external = address("0.0.0.0");
	assert_int_equal(natpmp_encode_announcement(&external, EPOCH, out, sizeof(out)), 12);
	assert_hex(out, 12, "00 80 0003 01020304 00000000");
	external = address("::");
	assert_int_equal(natpmp_encode_announcement(&external, EPOCH, out, sizeof(out)), 12);
	assert_hex(out, 12, "00 80 0003 01020304 00000000");
	assert_int_equal(natpmp_encode_announcement(&external, EPOCH, out, 11), 0);
}

static void
an_answer_that_does_not_fit_is_none(void **state)
{
	static const char *const requests[] = {"00 00", "00 01 0000 1f90 2328 00001c20",
					       "00 09 0000 112233"};

	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		receive(requests[i]);
		answer();
		assert_true(x.length > 0);
		assert_int_equal(natpmp_encode(&x.datagram, &x.request, &x.reply, x.out, x.length),
				 x.length);
		assert_int_equal(
		    natpmp_encode(&x.datagram, &x.request, &x.reply, x.out, x.length - 1), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_external_address),
	    cmocka_unit_test(no_external_address_is_a_network_failure),
	    cmocka_unit_test(an_address_request_may_be_padded),
	    cmocka_unit_test(a_mapping),
	    cmocka_unit_test(reserved_and_trailing_octets_are_ignored),
	    cmocka_unit_test(errors_are_of_full_length),
	    cmocka_unit_test(a_delete_ignores_the_external_port),
	    cmocka_unit_test(a_refused_delete),
	    cmocka_unit_test(a_delete_of_all),
	    cmocka_unit_test(a_mapping_of_internal_port_0_is_refused),
	    cmocka_unit_test(runts_and_responses_are_ignored),
	    cmocka_unit_test(unsupported_opcodes_go_back_whole),
	    cmocka_unit_test(short_unsupported_opcodes_get_a_whole_header),
	    cmocka_unit_test(a_long_unsupported_opcode_is_cut),
	    cmocka_unit_test(a_version_nobody_speaks),
	    cmocka_unit_test(announcements),
	    cmocka_unit_test(an_answer_that_does_not_fit_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
