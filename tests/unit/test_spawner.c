/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's end of the link to the parent, with the test as the parent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#include "../../daemon/base/clock.h"
#include "../../daemon/base/parent_link.h"
#include "../../daemon/base/respawn.h"
#include "../../daemon/frontends/spawner.h"

#define TO_PARENT                                                                         \
	(PARENT_BIT(PARENT_READY) | PARENT_BIT(PARENT_SPAWN) | PARENT_BIT(PARENT_ALIVE) | \
	 PARENT_BIT(PARENT_RELOAD) | PARENT_BIT(PARENT_RELOADED))
enum { LANS = 3 };

enum { WORKER = 4242 }; /* its process */

static struct config_lan lans[LANS] = {{"lan0"}, {"lan1"}, {"lan2"}};
static struct config config = {
    .lan = lans,
    .lans = LANS,
    .upnp = {.http_connections = 100, .event_subscriptions = 10},
};
static struct event_base *base;
static struct spawner *spawner;
static int parent;
static struct {
	unsigned calls, gone, reloads, configs;
	size_t lan;
	int fd;
	pid_t pid;
} told;

/* As the daemon's: libevent's coarse clock may be a tick early. */
static struct event_base *
precise_base(void)
{
	struct event_config *options = event_config_new();
	struct event_base *made;

	assert_non_null(options);
	assert_int_equal(event_config_set_flag(options, EVENT_BASE_FLAG_PRECISE_TIMER), 0);
	made = event_base_new_with_config(options);
	assert_non_null(made);
	event_config_free(options);
	return made;
}

static void
on_spawned(void *arg, size_t lan, int fd, pid_t pid)
{
	assert_ptr_equal(arg, &told);
	told.calls++;
	told.lan = lan;
	told.fd = fd;
	told.pid = pid;
}

static void
on_gone(void *arg)
{
	assert_ptr_equal(arg, &told);
	told.gone++;
}

static void
on_reload(void *arg)
{
	assert_ptr_equal(arg, &told);
	told.reloads++;
}

static void
on_config(void *arg, int fd)
{
	assert_ptr_equal(arg, &told);
	told.configs++;
	told.fd = fd;
}

static int
make_spawner(void **state)
{
	(void)state;
	int pair[2];
	if (parent_link_pair(pair) < 0)
		return -1;
	parent = pair[0];
	memset(&told, 0, sizeof(told));
	base = precise_base();
	spawner = spawner_new(&(struct spawner_options){
	    .base = base,
	    .fd = pair[1],
	    .config = &config,
	    .spawned = on_spawned,
	    .gone = on_gone,
	    .reload = on_reload,
	    .got_config = on_config,
	    .arg = &told,
	});
	return spawner ? 0 : -1;
}

static int
drop_spawner(void **state)
{
	(void)state;
	spawner_free(spawner);
	spawner_free(NULL);
	event_base_free(base);
	close(parent);
	return 0;
}

/* What is due now, timers of no delay included. */
static void
run(void)
{
	for (int i = 0; i < 3; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
assert_asked(uint32_t lan)
{
	struct parent_message got;
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_int_equal(got.type, PARENT_SPAWN);
	assert_int_equal(got.lan, lan);
	assert_string_equal(got.interface, lans[lan].interface);
	assert_true(got.number > 110);
}

static void
assert_not_asked(void)
{
	struct parent_message got;
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_NOTHING);
}

static void
answer(uint32_t lan, int error)
{
	const struct parent_message message = {
	    .type = PARENT_SPAWNED, .lan = lan, .result = error ? error : WORKER};
	assert_int_equal(parent_link_send(parent, &message, error == 0 ? STDERR_FILENO : -1), 0);
	run();
}

static void
test_reloading(void **state)
{
	(void)state;
	struct parent_message got, message = {.type = PARENT_RELOAD};
	assert_int_equal(parent_link_send(parent, &message, -1), 0);
	run();
	assert_int_equal(told.reloads, 1);
	assert_int_equal(spawner_ask_config(spawner), 0);
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_int_equal(got.type, PARENT_RELOAD);
	message.type = PARENT_CONFIG;
	assert_int_equal(parent_link_send(parent, &message, STDERR_FILENO), 0);
	run();
	assert_int_equal(told.configs, 1);
	assert_true(told.fd > STDERR_FILENO);
	close(told.fd);
	message.result = -EACCES;
	assert_int_equal(parent_link_send(parent, &message, -1), 0);
	run();
	assert_int_equal(told.configs, 2);
	assert_int_equal(told.fd, -EACCES);
	spawner_reloaded(spawner, -EINVAL, LOG_LEVEL_DEBUG);
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_int_equal(got.type, PARENT_RELOADED);
	assert_int_equal(got.result, -EINVAL);
	assert_int_equal(got.number, LOG_LEVEL_DEBUG);
}

/* The parent's number of the worker that is asked for now, and its LAN. */
static uint32_t
asked_for(const char *interface)
{
	struct parent_message got;
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_int_equal(got.type, PARENT_SPAWN);
	assert_string_equal(got.interface, interface);
	return got.lan;
}

/* The first goes while it is being started, the second stays and moves, a new one comes. */
static void
test_other_lans(void **state)
{
	(void)state;
	static struct config_lan other[] = {{"new0"}, {"lan1"}};
	static const size_t origin[] = {CONFIG_NEW_LAN, 1};
	uint32_t gone, kept, new;
	spawner_request(spawner, 0);
	gone = asked_for("lan0");
	spawner_request(spawner, 1);
	kept = asked_for("lan1");
	config.lan = other;
	config.lans = 2;
	assert_true(spawner_reload(spawner, origin));
	answer(gone, 0); /* to nobody */
	assert_int_equal(told.calls, 0);
	spawner_request(spawner, 0);
	new = asked_for("new0");
	assert_true(new != gone &&new != kept);
	answer(kept, 0);
	assert_int_equal(told.lan, 1);
	close(told.fd);
	answer(new, 0);
	assert_int_equal(told.lan, 0);
	close(told.fd);
	assert_int_equal(told.calls, 2);
	/* As often as one likes: places are used again. */
	for (int i = 0; i < 3 * PARENT_WORKERS; i++)
		assert_true(spawner_reload(spawner, origin));
	config.lan = lans;
	config.lans = LANS;
}

static void
test_ready_is_told(void **state)
{
	(void)state;
	struct parent_message got;
	spawner_ready(spawner);
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_int_equal(got.type, PARENT_READY);
}

static void
test_a_worker_comes(void **state)
{
	(void)state;
	spawner_request(spawner, 2);
	assert_asked(2);
	answer(2, 0);
	assert_int_equal(told.calls, 1);
	assert_int_equal(told.lan, 2);
	assert_true(told.fd > STDERR_FILENO);
	assert_int_equal(told.pid, WORKER);
	close(told.fd);
	assert_not_asked();
}

/* Only what was asked for is taken. */
static void
test_answers_nobody_asked_for(void **state)
{
	(void)state;
	answer(0, 0);
	answer(0, -EAGAIN);
	answer(LANS, 0);
	answer(UINT32_MAX, -EAGAIN);
	const struct parent_message spawn = {.type = PARENT_SPAWN, .lan = 0, .result = 0};
	assert_int_equal(parent_link_send(parent, &spawn, -1), 0);
	run();
	assert_int_equal(told.calls, 0);
	spawner_request(spawner, 0);
	assert_asked(0);
	answer(1, 0);
	assert_int_equal(told.calls, 0);
	answer(0, 0);
	assert_int_equal(told.calls, 1);
	close(told.fd);
}

static void
test_one_request_at_a_time(void **state)
{
	(void)state;
	spawner_request(spawner, 0);
	spawner_request(spawner, 0);
	spawner_request(spawner, 1);
	assert_asked(0);
	assert_asked(1);
	assert_not_asked();
}

static void
die(uint32_t lan)
{
	close(told.fd);
	spawner_request(spawner, lan);
	run();
}

/* The first ones at once, then there is a rest; the other LANs' workers have none. */
static void
test_quick_deaths_rest(void **state)
{
	monotime begin = clock_now();

	(void)state;
	spawner_request(spawner, 0);
	for (int deaths = 0; deaths < RESPAWN_DEATHS; deaths++) {
		assert_asked(0);
		answer(0, 0);
		die(0);
	}
	assert_not_asked();
	spawner_request(spawner, 0);
	run();
	assert_not_asked();
	spawner_request(spawner, 1);
	assert_asked(1);
	answer(1, 0);
	die(1);
	assert_asked(1);

	event_base_loop(base, EVLOOP_ONCE);
	assert_in_range(clock_now() - begin, RESPAWN_REST, 2 * RESPAWN_REST - 1);
	assert_asked(0);
}

static void
test_failures_are_told_and_tried_again(void **state)
{
	(void)state;
	spawner_request(spawner, 1);
	for (unsigned failures = 1; failures < RESPAWN_DEATHS; failures++) {
		assert_asked(1);
		answer(1, -EAGAIN);
		assert_int_equal(told.calls, failures);
		assert_int_equal(told.fd, -EAGAIN);
		assert_int_equal(told.pid, 0);
	}
	assert_asked(1);
}

/* There is no use in asking again, but for who wants to. */
static void
test_none_can_be_had(void **state)
{
	(void)state;
	spawner_request(spawner, 1);
	assert_asked(1);
	answer(1, -ENOENT);
	assert_int_equal(told.calls, 1);
	assert_int_equal(told.fd, -ENOENT);
	assert_not_asked();
	spawner_request(spawner, 1);
	run();
	assert_asked(1);
}

static void
test_the_parent_ends(void **state)
{
	(void)state;
	close(parent);
	run();
	assert_int_equal(told.gone, 1);
	spawner_request(spawner, 0);
	assert_int_equal(told.fd, -EPIPE);
	run();
	assert_int_equal(told.gone, 1);
	parent = dup(STDERR_FILENO); /* for drop_spawner() */
}

/* By the loop alone. */
static void
test_a_ping_is_answered(void **state)
{
	(void)state;
	const struct parent_message ping = {.type = PARENT_PING, .lan = 0, .result = 0};
	struct parent_message got;
	assert_int_equal(parent_link_send(parent, &ping, -1), 0);
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_NOTHING);
	run();
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_int_equal(got.type, PARENT_ALIVE);
	assert_int_equal(parent_link_receive(parent, TO_PARENT, &got, NULL), PARENT_LINK_NOTHING);
	assert_int_equal(told.calls, 0);
}

#define WITH_SPAWNER(test) cmocka_unit_test_setup_teardown(test, make_spawner, drop_spawner)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_SPAWNER(test_ready_is_told),
	    WITH_SPAWNER(test_reloading),
	    WITH_SPAWNER(test_other_lans),
	    WITH_SPAWNER(test_a_worker_comes),
	    WITH_SPAWNER(test_answers_nobody_asked_for),
	    WITH_SPAWNER(test_one_request_at_a_time),
	    WITH_SPAWNER(test_quick_deaths_rest),
	    WITH_SPAWNER(test_failures_are_told_and_tried_again),
	    WITH_SPAWNER(test_none_can_be_had),
	    WITH_SPAWNER(test_the_parent_ends),
	    WITH_SPAWNER(test_a_ping_is_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
