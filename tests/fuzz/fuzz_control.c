/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any line as a request or a reply: what is understood is written again, and then means the same;
 * and any octets as a lease's texts, which never keep it from being shown. */
#include "../../protocols/control.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static char line[CONTROL_LINE_MAX], again[CONTROL_LINE_MAX], why[CONTROL_WHY_SIZE];

static void
check_request(const char *text, size_t size)
{
	static struct control_request request, back;
	size_t length;

	if (!control_request_decode(text, size, &request, why, sizeof(why)))
		return;
	length = control_request_encode(&request, line, sizeof(line));
	CHECK(length > 1 && line[length - 1] == '\n');
	CHECK(control_request_decode(line, length - 1, &back, why, sizeof(why)));
	CHECK(memcmp(&back, &request, sizeof(back)) == 0);
}

/* Its line, which must be one, and what that comes to in the end. */
static void
check_reply(const struct control_reply *reply)
{
	static struct control_reply back;
	size_t length = control_reply_encode(reply, line, sizeof(line)), second;

	CHECK(length > 1 && memchr(line, '\n', length) == line + length - 1);
	CHECK(control_reply_decode(line, length - 1, &back, why, sizeof(why)));
	second = control_reply_encode(&back, again, sizeof(again));
	CHECK(second == length && memcmp(line, again, length) == 0);
}

static void
check_texts(const uint8_t *bytes, size_t size)
{
	static struct control_reply reply = {.line = CONTROL_LINE_LEASE};
	struct control_lease *lease = &reply.lease;
	size_t half = size / 2;

	lease->transport = TRANSPORT_TCP;
	snprintf(lease->description, sizeof(lease->description), "%.*s", (int)half,
		 (const char *)bytes);
	snprintf(lease->user_agent, sizeof(lease->user_agent), "%.*s", (int)(size - half),
		 (const char *)bytes + half);
	check_reply(&reply);
	CHECK(control_lease_json(lease, again, CONTROL_LEASE_MAX) > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct control_reply reply;

	check_request((const char *)bytes, size);
	if (control_reply_decode((const char *)bytes, size, &reply, why, sizeof(why)))
		check_reply(&reply);
	check_texts(bytes, size);
	return 0;
}
