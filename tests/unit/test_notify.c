/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a service manager hears, with the test as the manager. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../daemon/base/notify.h"

static int manager;
static char name[108]; /* as NOTIFY_SOCKET */

static void
listen_at(const char *at)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, at, strlen(at));
	if (at[0] == '@')
		address.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(at))),
			 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", at, 1), 0);
	snprintf(name, sizeof(name), "%s", at);
}

static int
clean(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (manager >= 0)
		close(manager);
	if (name[0] == '/')
		unlink(name);
	manager = -1;
	name[0] = '\0';
	return 0;
}

/* "": nothing. */
static const char *
heard(void)
{
	static char text[256];
	ssize_t size = recv(manager, text, sizeof(text) - 1, 0);
	text[size > 0 ? size : 0] = '\0';
	return text;
}

static void
speak(const char *at)
{
	struct notify n;
	listen_at(at);
	notify_open(&n);
	assert_null(getenv("NOTIFY_SOCKET"));
	notify_ready(&n);
	assert_string_equal(heard(), "READY=1");
	notify_alive(&n);
	assert_string_equal(heard(), "WATCHDOG=1");
	notify_stopping(&n);
	assert_string_equal(heard(), "STOPPING=1");
	assert_string_equal(heard(), "");
	notify_close(&n);
	notify_ready(&n);
	assert_string_equal(heard(), "");
}

static void
test_at_a_path(void **state)
{
	(void)state;
	char path[64];
	snprintf(path, sizeof(path), "/tmp/portlease-test-notify-%d", (int)getpid());
	speak(path);
}

static void
test_at_an_abstract_name(void **state)
{
	(void)state;
	char at[64];
	snprintf(at, sizeof(at), "@portlease-test-notify-%d", (int)getpid());
	speak(at);
}

static void
test_a_reload_has_its_time(void **state)
{
	(void)state;
	struct notify n;
	struct timespec now;
	int64_t time;
	listen_at("@portlease-test-reload");
	notify_open(&n);
	notify_reloading(&n);
	assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%" SCNd64, &time), 1);
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t since = now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000 - time;
	assert_in_range(since, 0, 60 * 1000000);
	notify_ready(&n);
	assert_string_equal(heard(), "READY=1");
	notify_close(&n);
}

/* The last state comes when there is room, and nothing waits for it. */
static void
test_a_manager_that_does_not_read(void **state)
{
	(void)state;
	struct notify n;
	listen_at("@portlease-test-deaf");
	notify_open(&n);
	unsigned tries = 0;
	while (!notify_again(&n) && tries++ < 100000)
		notify_ready(&n);
	assert_true(notify_again(&n));
	notify_reloading(&n);
	notify_alive(&n);
	notify_stopping(&n);
	for (unsigned i = 1; i < tries; i++)
		assert_string_equal(heard(), "READY=1");
	assert_string_equal(heard(), "");
	assert_false(notify_again(&n));
	assert_string_equal(heard(), "STOPPING=1");
	assert_false(notify_again(&n));
	assert_string_equal(heard(), "");
	notify_close(&n);
}

static void
test_nobody_to_tell(void **state)
{
	(void)state;
	static const char *const wrong[] = {NULL, "", "/", "@", "relative", "vsock:2:1234"};
	struct notify n;
	char long_path[200] = "/";
	memset(long_path + 1, 'x', sizeof(long_path) - 2);
	for (size_t i = 0; i <= sizeof(wrong) / sizeof(*wrong); i++) {
		const char *at = i < sizeof(wrong) / sizeof(*wrong) ? wrong[i] : long_path;
		if (at)
			setenv("NOTIFY_SOCKET", at, 1);
		setenv("WATCHDOG_USEC", "1000000", 1);
		notify_open(&n);
		assert_int_equal(n.fd, -1);
		assert_true(n.watchdog == MONOTIME_NEVER);
		assert_null(getenv("WATCHDOG_USEC"));
		notify_ready(&n);
		notify_close(&n);
	}
}

static void
test_the_watchdog(void **state)
{
	(void)state;
	char self[16];
	snprintf(self, sizeof(self), "%d", (int)getpid());
	const struct {
		const char *usec, *pid;
		monotime expected;
	} cases[] = {
	    {"30000000", NULL, 30000},	       {"30000000", self, 30000},
	    {"30000000", "1", MONOTIME_NEVER}, {NULL, self, MONOTIME_NEVER},
	    {"0", self, MONOTIME_NEVER},       {"often", NULL, MONOTIME_NEVER},
	};
	listen_at("@portlease-test-watchdog");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct notify n;
		setenv("NOTIFY_SOCKET", name, 1);
		if (cases[i].usec)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		if (cases[i].pid)
			setenv("WATCHDOG_PID", cases[i].pid, 1);
		notify_open(&n);
		assert_true(n.watchdog == cases[i].expected);
		assert_null(getenv("WATCHDOG_PID"));
		notify_close(&n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_at_a_path, clean),
	    cmocka_unit_test_teardown(test_at_an_abstract_name, clean),
	    cmocka_unit_test_teardown(test_a_reload_has_its_time, clean),
	    cmocka_unit_test_teardown(test_a_manager_that_does_not_read, clean),
	    cmocka_unit_test_teardown(test_nobody_to_tell, clean),
	    cmocka_unit_test_teardown(test_the_watchdog, clean),
	};
	manager = -1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
