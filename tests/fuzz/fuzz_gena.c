/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dialogue, one line a step: headers ("CALLBACK: …"), then what is done with them ("SUBSCRIBE");
 * "SID: ." is the last one granted.  Any other line is a subscriber's answer to the delivery under
 * way, and lets time pass.
 */
#include "../../protocols/gena.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { PLACES = 4, PER_CLIENT = 3, LINE_MAX_SIZE = 900 };

struct dialogue {
	struct gena_subscription place[PLACES];
	struct gena_table table;
	char header[4][LINE_MAX_SIZE];
	struct gena_request request;
	struct gena_grant grant;
	uint32_t under_way; /* the subscription whose delivery it is; 0: none */
	monotime now;
	uint8_t random;
};

/* It goes to the subscriber alone, and its head cannot be split. */
static void
check_delivery(const struct dialogue *d, const struct gena_delivery *delivery)
{
	static const struct gena_variable variables[] = {{"A", "<&>"}, {"B", ""}};
	char big[2048], *exact;
	size_t length = gena_encode(delivery, variables, 2, big, sizeof(big));

	CHECK(length > 0 && address_equal(&delivery->to.address, &d->request.client));
	CHECK(delivery->to.port == 80 || delivery->to.port >= 1024);
	CHECK(delivery->path[0] == '/' && strlen(delivery->path) < GENA_PATHS_SIZE);
	CHECK(strcspn(delivery->path, " \t\r\n") == strlen(delivery->path));
	CHECK(delivery->variables != 0 && strlen(delivery->sid) == GENA_SID_SIZE - 1);
	exact = malloc(length);
	CHECK(exact && gena_encode(delivery, variables, 2, exact, length) == length);
	CHECK(memcmp(exact, big, length) == 0);
	CHECK(gena_encode(delivery, variables, 2, exact, length - 1) == 0);
	free(exact);
}

static void
subscribe(struct dialogue *d)
{
	uint8_t random[GENA_RANDOM_SIZE];
	enum gena_status status;

	memset(random, d->random++, sizeof(random));
	status = gena_subscribe(&d->table, &d->request, random, d->now, &d->grant);
	CHECK(status == GENA_OK || status == GENA_BAD_REQUEST || status == GENA_UNAVAILABLE ||
	      status == GENA_PRECONDITION_FAILED);
	if (status != GENA_OK)
		return;
	CHECK(d->grant.timeout >= GENA_TIMEOUT_MIN && d->grant.timeout <= GENA_TIMEOUT_MAX);
	CHECK((d->grant.id == 0) == (d->request.sid != NULL));
	CHECK(strlen(d->grant.sid) == GENA_SID_SIZE - 1);
	gena_confirm(&d->table, d->grant.id, d->now);
}

static void
answer(struct dialogue *d, const char *line)
{
	enum gena_outcome outcome = GENA_FAILED;
	struct gena_delivery delivery;
	char *exact = malloc(strlen(line) + 1);

	CHECK(exact);
	memcpy(exact, line, strlen(line));
	gena_decode_answer(exact, strlen(line), &outcome);
	free(exact);
	d->now += 1000 * (monotime)strlen(line);
	gena_changed(&d->table, (uint8_t)(strlen(line) % 2), 1u << strlen(line) % 2, d->now);
	if (d->under_way && gena_finish(&d->table, d->under_way, outcome, &delivery)) {
		check_delivery(d, &delivery);
		return;
	}
	d->under_way = 0;
	d->now += GENA_MODERATION;
	if (!gena_next(&d->table, d->now, &delivery)) {
		CHECK(gena_wake(&d->table) > d->now);
		return;
	}
	check_delivery(d, &delivery);
	d->under_way = delivery.id;
}

static bool
take_header(struct dialogue *d, struct text line)
{
	static const char *const names[4] = {"CALLBACK:", "NT:", "SID:", "TIMEOUT:"};
	const char **values[4] = {&d->request.callback, &d->request.nt, &d->request.sid,
				  &d->request.timeout};

	for (int i = 0; i < 4; i++) {
		if (!text_take_prefix(&line, names[i]))
			continue;
		memcpy(d->header[i], line.at, line.size + 1);
		*values[i] = text_equal(text_trim(line), ".") ? d->grant.sid : d->header[i];
		return true;
	}
	return false;
}

static void
step(struct dialogue *d, const char *line)
{
	if (take_header(d, text_of(line)))
		return;
	if (strcmp(line, "SUBSCRIBE") == 0) {
		subscribe(d);
	} else if (strcmp(line, "UNSUBSCRIBE") == 0) {
		if (gena_unsubscribe(&d->table, &d->request, d->now) == GENA_OK)
			CHECK(gena_unsubscribe(&d->table, &d->request, d->now) ==
			      GENA_PRECONDITION_FAILED);
	} else {
		answer(d, line);
		return;
	}
	d->request = (struct gena_request){.client = d->request.client};
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct dialogue d;
	struct text in = {(const char *)bytes, size};
	char line[LINE_MAX_SIZE];

	d = (struct dialogue){.now = 5000, .request.client = fuzz_client()};
	gena_init(&d.table, d.place, PLACES, &(struct gena_options){PER_CLIENT, 3});
	while (in.size) {
		struct text next = text_take(&in, text_before(in, '\n'));

		if (in.size)
			text_take(&in, 1);
		if (next.size >= sizeof(line) || memchr(next.at, '\0', next.size))
			return 0;
		memcpy(line, next.at, next.size);
		line[next.size] = '\0';
		step(&d, line);
	}
	return 0;
}
