/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's end of the link: who gets which answer, and what a full or wrong link does. */
#include "../../daemon/worker/core_client.h"

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 3000 };

struct bed {
	struct event_base *base;
	int core; /* our end */
	int theirs;
	struct core_client *client;
	unsigned told;
	const char *gone; /* why */
	unsigned answers;
	unsigned answered[CORE_CALLS_MAX]; /* how often, by argument */
	enum igd_error error;		   /* the last one's */
	unsigned without;		   /* told that there will be none */
};

static struct bed bed;

static void
on_told(void *who, const struct link_message *message)
{
	assert_ptr_equal(who, &bed);
	assert_true(message->type <= LINK_STATE);
	bed.told++;
}

static void
on_gone(void *who, const char *why)
{
	assert_ptr_equal(who, &bed);
	assert_null(bed.gone);
	bed.gone = why;
}

static void
on_answer(void *arg, const struct link_message *message)
{
	if (!message) {
		bed.without++;
		return;
	}
	bed.answers++;
	bed.answered[*(unsigned *)arg]++;
	bed.error = message->type == LINK_ANSWER ? message->answer.error : IGD_OK;
}

static unsigned number[CORE_CALLS_MAX + 1];

static int
set_up(void **state)
{
	int pair[2];

	(void)state;
	memset(&bed, 0, sizeof(bed));
	for (unsigned i = 0; i <= CORE_CALLS_MAX; i++)
		number[i] = i;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	bed.core = pair[0];
	bed.theirs = pair[1];
	bed.base = event_base_new();
	bed.client = core_client_new(&(struct core_client_options){
	    .base = bed.base, .fd = bed.theirs, .told = on_told, .gone = on_gone, .who = &bed});
	assert_non_null(bed.client);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	core_client_free(bed.client);
	event_base_free(bed.base);
	if (bed.core >= 0)
		close(bed.core);
	close(bed.theirs);
	return 0;
}

static void
turn(void)
{
	event_base_loop(bed.base, EVLOOP_NONBLOCK);
}

static const struct link_call get_entry = {
    .call = {.action = IGD_GetGenericPortMappingEntry, .view = IGD_VIEW_1, .version = 1}};

static bool
ask(unsigned n)
{
	return core_client_call(bed.client, &get_entry, on_answer, &number[n]);
}

/* The ticket of the next call on the link. */
static uint32_t
read_ticket(void)
{
	uint8_t bytes[LINK_MESSAGE_MAX];
	struct link_message message;
	ssize_t n = recv(bed.core, bytes, sizeof(bytes), MSG_DONTWAIT);

	assert_true(n > 0);
	assert_true(link_decode(LINK_WORKER, bytes, (size_t)n, &message));
	assert_int_equal(message.type, LINK_CALL);
	return message.call.ticket;
}

static void
say(struct link_message *message)
{
	uint8_t bytes[LINK_MESSAGE_MAX];
	size_t size = link_encode(message, bytes, sizeof(bytes));

	assert_true(size > 0);
	assert_int_equal(send(bed.core, bytes, size, 0), (ssize_t)size);
	turn();
}

static void
say_answer(uint32_t ticket, enum igd_error error)
{
	say(&(struct link_message){.type = LINK_ANSWER,
				   .answer = {.ticket = ticket, .error = error}});
}

static void
each_gets_its_own(void **state)
{
	uint32_t first, second, third;

	(void)state;
	assert_true(ask(1) && ask(2));
	first = read_ticket();
	second = read_ticket();
	assert_int_not_equal(first, second);
	say_answer(second, IGD_NO_SUCH_ENTRY);
	assert_int_equal(bed.error, IGD_NO_SUCH_ENTRY);
	assert_int_equal(bed.answered[2], 1);
	assert_int_equal(bed.answered[1], 0);
	/* A place that is free again. */
	assert_true(ask(3));
	third = read_ticket();
	assert_int_not_equal(first, third);
	say(&(struct link_message){.type = LINK_ENTRIES, .entries = {.ticket = third}});
	say_answer(first, IGD_OK);
	assert_int_equal(bed.answered[3], 1);
	assert_int_equal(bed.answered[1], 1);
	assert_int_equal(bed.answers, 3);
	assert_null(bed.gone);
}

static void
an_answer_to_nothing_ends_it(void **state)
{
	uint32_t ticket;

	(void)state;
	assert_true(ask(1));
	ticket = read_ticket();
	say_answer(ticket, IGD_OK);
	assert_null(bed.gone);
	say_answer(ticket, IGD_OK);
	assert_non_null(bed.gone);
	assert_int_equal(bed.answers, 1);
}

static void
a_ticket_beyond_all_ends_it(void **state)
{
	(void)state;
	say_answer(CORE_CALLS_MAX, IGD_OK);
	assert_non_null(bed.gone);
}

static void
what_it_is_told(void **state)
{
	(void)state;
	say(&(struct link_message){.type = LINK_STATE});
	say(&(struct link_message){.type = LINK_LAN});
	assert_int_equal(bed.told, 2);
	assert_null(bed.gone);
	assert_int_equal(send(bed.core, "\1\2\0\0x", 5, 0), 5);
	turn();
	assert_non_null(bed.gone);
	/* Nothing is read any more. */
	say(&(struct link_message){.type = LINK_STATE});
	assert_int_equal(bed.told, 2);
}

static void
an_end_is_seen(void **state)
{
	(void)state;
	close(bed.core);
	bed.core = -1;
	turn();
	assert_non_null(bed.gone);
}

/* More than the socket takes: it waits, in order, and answers are read meanwhile. */
static void
a_core_that_does_not_read(void **state)
{
	uint32_t seen[MANY] = {0};

	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		assert_true(ask(i));
	say(&(struct link_message){.type = LINK_STATE});
	assert_int_equal(bed.told, 1);
	for (unsigned i = 0; i < MANY; i++) {
		seen[i] = read_ticket();
		turn();
	}
	for (unsigned i = 0; i < MANY; i++)
		say_answer(seen[i], IGD_OK);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(bed.answered[i], 1);
	assert_null(bed.gone);
}

static void
calls_have_a_bound(void **state)
{
	uint32_t ticket;

	(void)state;
	for (unsigned i = 0; i < CORE_CALLS_MAX; i++)
		assert_true(ask(i));
	assert_false(ask(CORE_CALLS_MAX));
	ticket = read_ticket();
	say_answer(ticket, IGD_OK);
	assert_true(ask(0));
	core_client_free(bed.client);
	bed.client = NULL;
	assert_int_equal(bed.without, CORE_CALLS_MAX);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(each_gets_its_own),
	    TEST(an_answer_to_nothing_ends_it),
	    TEST(a_ticket_beyond_all_ends_it),
	    TEST(what_it_is_told),
	    TEST(an_end_is_seen),
	    TEST(a_core_that_does_not_read),
	    TEST(calls_have_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
