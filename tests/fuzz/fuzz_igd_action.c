/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any octets as a control request: one for the URL, a line for SOAPACTION, the rest for the body.
 * What is read of it must be in its bounds, and told again.
 */
#include "../../protocols/igd_action.h"
#include "../../protocols/igd_answer.h"
#include "../../protocols/xml_text.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool
is_memberof(const uint8_t *list, uint8_t argument)
{
	while (*list && *list != argument)
		list++;
	return *list != 0;
}

static void
check_description(const char *text)
{
	size_t left = strlen(text), n;

	CHECK(left <= MAPPING_DESCRIPTION_MAX);
	for (; left; text += n, left -= n) {
		n = xml_character(text, left);
		CHECK(n > 0 && (uint8_t)*text >= 0x20 && *text != 0x7f);
	}
}

static void
check_call(const struct igd_message *message, const struct igd_call *call)
{
	const struct igd_action_row *row = igd_action_row(call->action);
	const struct igd_entry *entry = &call->entry;

	CHECK(row->service == message->service && call->view == message->view);
	CHECK(call->version >= row->since &&
	      call->version <= igd_service_version(row->service, call->view));
	check_description(entry->description);
	CHECK(entry->lease <= IGD_LEASE_MAX);
	CHECK(call->ports.first <= call->ports.last);
	if (is_memberof(row->in, IGD_NewProtocol))
		CHECK(entry->transport == TRANSPORT_TCP || entry->transport == TRANSPORT_UDP);
	if (is_memberof(row->in, IGD_NewExternalPort))
		CHECK(entry->external_port || call->action == IGD_AddAnyPortMapping);
	if (is_memberof(row->in, IGD_NewInternalPort))
		CHECK(entry->internal.port);
	CHECK(memchr(call->connection_service, '\0', sizeof(call->connection_service)));
}

static void
check_request(const struct igd_call *call)
{
	struct address client = fuzz_client();
	struct map_request request;

	if (!igd_to_request(call, &client, &request))
		return;
	CHECK(request.origin == ORIGIN_UPNP && request.by_external);
	CHECK((request.kind == REQUEST_MAP) == (request.lifetime > 0));
	CHECK(request.lifetime <= request.lifetime_max || request.kind == REQUEST_DELETE);
	CHECK(!address_is_unspecified(&request.internal.address));
	for (int r = 0; r < MAP_RESULTS; r++) {
		enum igd_error error = igd_from_result(call, (enum map_result)r);

		CHECK((r == MAP_OK) == (error == IGD_OK));
		CHECK(error == IGD_OK || igd_error_text(error)[0]);
		CHECK(call->version == 2 || error < 728);
	}
}

/* What was read is what would be told of it, in a buffer that just holds it. */
static void
check_answer(const struct igd_call *call)
{
	const struct igd_values values = {.connection_udn = "uuid:1", .entry = call->entry};
	char big[IGD_ANSWER_MAX];
	size_t length = igd_encode_answer(call, &values, big, sizeof(big));
	char *exact = malloc(length);

	CHECK(exact && length > 0);
	CHECK(igd_encode_answer(call, &values, exact, length - 1) == 0);
	CHECK(igd_encode_answer(call, &values, exact, length) == length);
	CHECK(memcmp(exact, big, length) == 0);
	free(exact);
	CHECK(igd_encode_list_entry(&call->entry, big, sizeof(big)) > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const uint8_t *end = size ? memchr(bytes, '\n', size) : NULL;
	struct igd_message message;
	struct igd_call call;
	enum igd_error error;
	char fault[IGD_ANSWER_MAX];
	char *header, *body;

	if (!end || end == bytes)
		return 0;
	header = strndup((const char *)bytes + 1, (size_t)(end - bytes) - 1);
	message = (struct igd_message){.service = bytes[0] % IGD_SERVICES,
				       .view = bytes[0] & 4 ? IGD_VIEW_2 : IGD_VIEW_1,
				       .soapaction = header,
				       .size = size - (size_t)(end + 1 - bytes)};
	body = malloc(message.size + !message.size);
	CHECK(header && body);
	memcpy(body, end + 1, message.size);
	message.body = body;
	error = igd_decode(&message, &call);
	if (error == IGD_OK) {
		check_call(&message, &call);
		check_request(&call);
		check_answer(&call);
	} else if (error != IGD_BAD_REQUEST) {
		CHECK(igd_error_text(error)[0] || error == IGD_MUST_UNDERSTAND);
		CHECK(igd_encode_fault(error, fault, sizeof(fault)) > 0);
	}
	free(header);
	free(body);
	return 0;
}
