/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any octets as a PCP datagram; then every result the core could have for it. */
#include "../../protocols/pcp.h"
#include "check.h"

enum { HEADER_SIZE = 24, MAP_SIZE = 60 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
check_request(const struct datagram *datagram, const struct map_request *request)
{
	CHECK(request->origin == ORIGIN_PCP);
	CHECK(address_equal(&request->client, &datagram->source));
	CHECK(address_equal(&request->internal.address, &datagram->source));
	CHECK(memcmp(datagram->bytes + 8, &datagram->source, 16) == 0);
	if (request->kind == REQUEST_ANNOUNCE)
		return;
	CHECK(request->kind == REQUEST_MAP || request->kind == REQUEST_DELETE);
	CHECK((request->kind == REQUEST_MAP) == (request->lifetime > 0));
	CHECK(request->has_nonce && request->internal.port != 0);
	CHECK(request->transport == TRANSPORT_TCP || request->transport == TRANSPORT_UDP);
	CHECK(request->if_taken != IF_TAKEN_FAIL ||
	      (request->external_port != 0 && request->kind == REQUEST_MAP));
}

static void
check_success(const struct map_request *request, const uint8_t *answer, size_t length)
{
	if (request->kind == REQUEST_ANNOUNCE)
		CHECK(length == HEADER_SIZE);
	else
		CHECK(length == MAP_SIZE + (request->if_taken == IF_TAKEN_FAIL ? 4 : 0));
	CHECK(answer[3] == 0);
}

static void
check_error(const struct datagram *datagram, const uint8_t *answer, size_t length)
{
	size_t copied = datagram->kept < length ? datagram->kept : length;

	CHECK(answer[3] != 0);
	CHECK(answer[4] | answer[5] | answer[6] | answer[7]); /* no error lasts for 0 s */
	CHECK(copied == datagram->kept || length == DATAGRAM_MAX);
	if (copied > HEADER_SIZE)
		CHECK(memcmp(answer + HEADER_SIZE, datagram->bytes + HEADER_SIZE,
			     copied - HEADER_SIZE) == 0);
}

/* An exact buffer, so that the sanitizer sees a write too many; one octet less takes nothing. */
static void
check_answer(const struct datagram *datagram, const struct map_request *request,
	     const struct map_reply *reply)
{
	uint8_t big[DATAGRAM_MAX];
	size_t length = pcp_encode(datagram, request, reply, big, sizeof(big));
	uint8_t *exact = malloc(length);

	CHECK(exact && length >= HEADER_SIZE && length % 4 == 0);
	CHECK(pcp_encode(datagram, request, reply, exact, length - 1) == 0);
	CHECK(pcp_encode(datagram, request, reply, exact, length) == length);
	CHECK(memcmp(exact, big, length) == 0);
	CHECK(exact[0] == 2 && exact[1] == (datagram->bytes[1] | 0x80) && exact[2] == 0);
	CHECK(exact[11] == (uint8_t)reply->epoch);
	if (reply->result == MAP_OK || reply->result == MAP_NOT_FOUND)
		check_success(request, exact, length);
	else
		check_error(datagram, exact, length);
	free(exact);
}

static void
check_datagram(const struct datagram *datagram)
{
	struct map_request request;
	struct map_reply reply;

	switch (pcp_decode(datagram, &request, &reply)) {
	case DECODE_IGNORE:
		break;
	case DECODE_REJECT:
		CHECK(reply.result != MAP_OK);
		check_answer(datagram, &request, &reply);
		break;
	case DECODE_OK:
		CHECK(reply.result == MAP_OK && datagram->size == datagram->kept);
		check_request(datagram, &request);
		for (int result = 0; result < MAP_RESULTS; result++) {
			reply = fuzz_reply((enum map_result)result);
			check_answer(datagram, &request, &reply);
		}
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct datagram datagram = {bytes, size, size, fuzz_client(), 5000};

	check_datagram(&datagram);
	datagram.size += 4; /* and as the part that was kept of a longer one */
	check_datagram(&datagram);
	return 0;
}
