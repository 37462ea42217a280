/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any octets as a message of either side: what is let through is written again as the same octets,
 * and a call can be acted upon. */
#include "../../protocols/worker_link.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
check_call(const struct link_call *l)
{
	struct map_request request;
	const struct igd_call *call = &l->call;

	CHECK(link_is_for_core(call->action));
	CHECK(call->version >= igd_action_row(call->action)->since);
	CHECK(memchr(l->user_agent, '\0', sizeof(l->user_agent)));
	for (const char *c = l->user_agent; *c; c++)
		CHECK(*c >= ' ' && *c <= '~');
	if (igd_to_request(call, &l->client, &request)) {
		CHECK(request.transport == TRANSPORT_TCP || request.transport == TRANSPORT_UDP);
		CHECK(request.kind != REQUEST_MAP || request.internal.port != 0);
		CHECK(request.kind != REQUEST_MAP ||
		      (request.lifetime >= 1 && request.lifetime <= IGD_LEASE_MAX));
		CHECK(memchr(request.description, '\0', sizeof(request.description)));
		for (int result = 0; result < MAP_RESULTS; result++)
			CHECK(igd_error_text(igd_from_result(call, (enum map_result)result)));
	} else {
		igd_judge_control(call, true, "uuid:a");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct link_message message;
	static uint8_t again[LINK_MESSAGE_MAX];
	bool core = link_decode(LINK_CORE, bytes, size, &message);
	bool worker = !core && link_decode(LINK_WORKER, bytes, size, &message);

	if (!core && !worker)
		return 0;
	CHECK(!link_decode(core ? LINK_WORKER : LINK_CORE, bytes, size, &message) ||
	      core != worker);
	CHECK(link_decode(core ? LINK_CORE : LINK_WORKER, bytes, size, &message));
	CHECK(link_encode(&message, again, sizeof(again)) == size);
	CHECK(memcmp(again, bytes, size) == 0);
	if (message.type == LINK_CALL)
		check_call(&message.call);
	return 0;
}
