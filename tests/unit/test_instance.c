/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One daemon a network namespace. */
#include "../../daemon/base/instance.h"

#include <sched.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* Takes the lock in another process and keeps it until killed. */
static pid_t
hold_elsewhere(void)
{
	char why[128], ok = 0;
	int ready[2];
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		alarm(30);
		ok = instance_lock(why, sizeof(why)) >= 0;
		if (write(ready[1], &ok, 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &ok, 1), 1);
	assert_true(ok);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void
the_second_is_told_the_first_ones_pid(void **state)
{
	char why[128] = "", expected[128];
	pid_t first = hold_elsewhere();
	int fd;

	(void)state;
	snprintf(expected, sizeof(expected), "already running in this network namespace, pid %d",
		 (int)first);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(instance_lock(why, sizeof(why)), -1);
		assert_string_equal(why, expected);
	}
	/* However it ends, nothing is left behind. */
	assert_int_equal(kill(first, SIGKILL), 0);
	assert_int_equal(waitpid(first, NULL, 0), first);
	fd = instance_lock(why, sizeof(why));
	assert_true(fd >= 0);
	close(fd);
}

static void
another_namespace_is_another_gateway(void **state)
{
	char why[128];
	pid_t first = hold_elsewhere();

	(void)state;
	assert_int_equal(instance_lock(why, sizeof(why)), -1);
	if (unshare(CLONE_NEWNET) == 0)
		assert_true(instance_lock(why, sizeof(why)) >= 0);
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_second_is_told_the_first_ones_pid),
	    cmocka_unit_test(another_namespace_is_another_gateway),
	};

	/* Not beside a daemon or another run of this test. */
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		perror("unshare");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
