/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any octets as a NAT-PMP datagram; then every result the core could have for it. */
#include "../../protocols/natpmp.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
check_request(const struct datagram *datagram, const struct map_request *request)
{
	CHECK(request->origin == ORIGIN_NATPMP);
	CHECK(address_equal(&request->client, &datagram->source));
	CHECK(address_equal(&request->internal.address, &datagram->source));
	switch (request->kind) {
	case REQUEST_ADDRESS:
		return;
	case REQUEST_MAP:
		CHECK(request->internal.port != 0 && request->lifetime != 0);
		break;
	case REQUEST_DELETE:
		CHECK(request->internal.port != 0 && request->lifetime == 0);
		break;
	case REQUEST_DELETE_ALL:
		CHECK(request->internal.port == 0 && request->lifetime == 0);
		CHECK(request->may_delete == ORIGIN_BIT(ORIGIN_NATPMP));
		break;
	default:
		CHECK(false);
	}
	CHECK(request->transport == TRANSPORT_TCP || request->transport == TRANSPORT_UDP);
}

/* An exact buffer, so that the sanitizer sees a write too many; one octet less takes nothing. */
static void
check_answer(const struct datagram *datagram, const struct map_request *request,
	     const struct map_reply *reply)
{
	uint8_t big[DATAGRAM_MAX];
	size_t length = natpmp_encode(datagram, request, reply, big, sizeof(big));
	uint8_t *exact = malloc(length);

	CHECK(exact && length >= 4);
	CHECK(natpmp_encode(datagram, request, reply, exact, length - 1) == 0);
	CHECK(natpmp_encode(datagram, request, reply, exact, length) == length);
	CHECK(memcmp(exact, big, length) == 0);
	CHECK(exact[0] == 0 && exact[1] == (datagram->bytes[1] | 0x80) && exact[2] == 0);
	CHECK(exact[3] <= 5);
	if (reply->result != MAP_UNSUPPORTED_OPCODE) {
		CHECK(length == (request->kind == REQUEST_ADDRESS ? 12 : 16));
		CHECK((reply->result == MAP_OK || reply->result == MAP_NOT_FOUND) ==
		      (exact[3] == 0));
	}
	free(exact);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct datagram datagram = {bytes, size, size, fuzz_client(), 5000};
	struct map_request request;
	struct map_reply reply;

	if (size > 0 && bytes[0] != 0)
		return 0; /* another version's */
	switch (natpmp_decode(&datagram, &request, &reply)) {
	case DECODE_IGNORE:
		break;
	case DECODE_REJECT:
		CHECK(reply.result != MAP_OK);
		check_answer(&datagram, &request, &reply);
		break;
	case DECODE_OK:
		CHECK(reply.result == MAP_OK);
		check_request(&datagram, &request);
		for (int result = 0; result < MAP_RESULTS; result++) {
			reply = fuzz_reply((enum map_result)result);
			check_answer(&datagram, &request, &reply);
		}
		break;
	}
	return 0;
}
