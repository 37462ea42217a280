/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parent and core take from each other what each may send, of the right size, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/base/parent_link.h"

#define TO_PARENT                                                                         \
	(PARENT_BIT(PARENT_READY) | PARENT_BIT(PARENT_SPAWN) | PARENT_BIT(PARENT_ALIVE) | \
	 PARENT_BIT(PARENT_RELOAD) | PARENT_BIT(PARENT_RELOADED))
#define TO_CORE                                                                             \
	(PARENT_BIT(PARENT_SPAWNED) | PARENT_BIT(PARENT_PING) | PARENT_BIT(PARENT_RELOAD) | \
	 PARENT_BIT(PARENT_CONFIG))

#define MESSAGE(...)                     \
	{                                \
		__VA_ARGS__, 0, "br-lan" \
	}

static int end[2];

static int
make_pair(void **state)
{
	(void)state;
	return parent_link_pair(end);
}

static int
drop_pair(void **state)
{
	(void)state;
	close(end[0]);
	close(end[1]);
	return 0;
}

static unsigned
descriptors(void)
{
	unsigned count = 0;
	DIR *directory = opendir("/proc/self/fd");
	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void
test_ends_are_private_and_do_not_block(void **state)
{
	(void)state;
	struct parent_message got;
	for (int i = 0; i < 2; i++) {
		assert_true(fcntl(end[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(end[i], F_GETFL) & O_NONBLOCK);
		assert_int_equal(parent_link_receive(end[i], TO_PARENT, &got, NULL),
				 PARENT_LINK_NOTHING);
	}
}

static void
test_core_to_parent(void **state)
{
	(void)state;
	struct parent_message got;
	const struct parent_message ready = MESSAGE(PARENT_READY, 0, 0),
				    spawn = MESSAGE(PARENT_SPAWN, 7, 0);
	assert_int_equal(parent_link_send(end[0], &ready, -1), 0);
	assert_int_equal(parent_link_send(end[0], &spawn, -1), 0);
	assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_memory_equal(&got, &ready, sizeof(got));
	assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_memory_equal(&got, &spawn, sizeof(got));
	assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL), PARENT_LINK_NOTHING);
}

static void
test_parent_to_core(void **state)
{
	(void)state;
	struct parent_message got;
	const struct parent_message done = MESSAGE(PARENT_SPAWNED, 1, 4242);
	const struct parent_message failed = MESSAGE(PARENT_SPAWNED, 2, -EAGAIN);
	int pipe_end[2], passed;
	char octet;
	assert_int_equal(pipe2(pipe_end, O_CLOEXEC), 0);
	assert_int_equal(parent_link_send(end[1], &done, pipe_end[1]), 0);
	close(pipe_end[1]);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_GOT);
	assert_memory_equal(&got, &done, sizeof(got));
	assert_true(fcntl(passed, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(passed, "x", 1), 1);
	assert_int_equal(read(pipe_end[0], &octet, 1), 1);
	close(passed);
	close(pipe_end[0]);

	assert_int_equal(parent_link_send(end[1], &failed, -1), 0);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_GOT);
	assert_memory_equal(&got, &failed, sizeof(got));
	assert_int_equal(passed, -1);
}

static void
test_reloading(void **state)
{
	(void)state;
	struct parent_message got;
	const struct parent_message reload = MESSAGE(PARENT_RELOAD, 0, 0);
	const struct parent_message text = MESSAGE(PARENT_CONFIG, 0, 0);
	const struct parent_message unread = MESSAGE(PARENT_CONFIG, 0, -ENOENT);
	const struct parent_message refused = MESSAGE(PARENT_RELOADED, 0, -EINVAL);
	int passed;
	for (int i = 0; i < 2; i++) /* either may begin */
		assert_int_equal(parent_link_send(end[i], &reload, -1), 0);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_GOT);
	assert_int_equal(passed, -1);
	assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_int_equal(parent_link_send(end[1], &text, STDERR_FILENO), 0);
	assert_int_equal(parent_link_send(end[1], &unread, -1), 0);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_GOT);
	assert_true(passed >= 0);
	close(passed);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_GOT);
	assert_int_equal(got.result, -ENOENT);
	assert_int_equal(parent_link_send(end[0], &refused, -1), 0);
	assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL), PARENT_LINK_GOT);
	assert_memory_equal(&got, &refused, sizeof(got));
}

static const struct parent_message wrong_for_parent[] = {
    MESSAGE(PARENT_SPAWNED, 0, 0),
    MESSAGE(PARENT_SPAWNED, 0, 1),
    MESSAGE(PARENT_SPAWNED, 0, -1),
    MESSAGE(PARENT_SPAWN, 0, -1),
    MESSAGE(PARENT_READY, 0, 1),
    MESSAGE(PARENT_PING, 0, 0),
    MESSAGE(PARENT_ALIVE, 0, -1),
    MESSAGE(PARENT_CONFIG, 0, 0),
    MESSAGE(PARENT_RELOAD, 0, 1),
    MESSAGE(PARENT_RELOADED, 0, 1),
    {PARENT_SPAWN, 0, 0, 0, "0123456789abcdef"},
    MESSAGE(PARENT_TYPES, 0, 0),
    MESSAGE(31, 0, 0),
    MESSAGE(32, 0, 0),
    MESSAGE(33, 0, 0),
    MESSAGE(UINT32_MAX, 0, 0),
};

/* Each is dropped, and what comes after it is served. */
static void
test_wrong_for_the_parent(void **state)
{
	(void)state;
	struct parent_message got;
	const struct parent_message spawn = MESSAGE(PARENT_SPAWN, 7, 0);
	const size_t count = sizeof(wrong_for_parent) / sizeof(*wrong_for_parent);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(parent_link_send(end[0], &wrong_for_parent[i], -1), 0);
	assert_int_equal(parent_link_send(end[0], &spawn, -1), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL),
				 PARENT_LINK_BAD);
	assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL), PARENT_LINK_GOT);
}

static void
test_wrong_sizes(void **state)
{
	(void)state;
	struct parent_message got;
	const struct parent_message spawn[2] = {MESSAGE(PARENT_SPAWN, 7, 0),
						MESSAGE(PARENT_SPAWN, 8, 0)};
	for (size_t size = 1; size <= sizeof(spawn); size++) {
		assert_int_equal(send(end[0], spawn, size, 0), size);
		assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL),
				 size == sizeof(got) ? PARENT_LINK_GOT : PARENT_LINK_BAD);
	}
}

static void
send_two_descriptors(int fd)
{
	const int two[] = {STDOUT_FILENO, STDERR_FILENO};
	struct parent_message done = MESSAGE(PARENT_SPAWNED, 0, 1);
	struct iovec body = {&done, sizeof(done)};
	union {
		char room[CMSG_SPACE(sizeof(two))];
		struct cmsghdr header;
	} control = {.header = {CMSG_LEN(sizeof(two)), SOL_SOCKET, SCM_RIGHTS}};
	const struct msghdr header = {
	    .msg_iov = &body,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control),
	};
	memcpy(CMSG_DATA(&control.header), two, sizeof(two));
	assert_int_equal(sendmsg(fd, &header, 0), sizeof(done));
}

/* The parent never gets a descriptor, the core never keeps one that it did not ask for. */
static void
test_descriptors_that_must_not_come(void **state)
{
	(void)state;
	struct parent_message got;
	const struct parent_message spawn = MESSAGE(PARENT_SPAWN, 0, 0);
	const struct parent_message failed = MESSAGE(PARENT_SPAWNED, 0, -1),
				    bare = MESSAGE(PARENT_SPAWNED, 0, 1);
	const struct parent_message nobody = MESSAGE(PARENT_SPAWNED, 0, 0);
	const struct parent_message empty = MESSAGE(PARENT_CONFIG, 0, 0);
	const struct parent_message unread = MESSAGE(PARENT_CONFIG, 0, -1);
	unsigned before = descriptors();
	int passed;
	assert_int_equal(parent_link_send(end[0], &spawn, STDERR_FILENO), 0);
	assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL), PARENT_LINK_BAD);
	assert_int_equal(parent_link_send(end[1], &failed, STDERR_FILENO), 0);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_BAD);
	assert_int_equal(passed, -1);
	assert_int_equal(parent_link_send(end[1], &bare, -1), 0);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_BAD);
	assert_int_equal(parent_link_send(end[1], &nobody, -1), 0);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_BAD);
	assert_int_equal(parent_link_send(end[1], &empty, -1), 0);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_BAD);
	assert_int_equal(parent_link_send(end[1], &unread, STDERR_FILENO), 0);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_BAD);
	assert_int_equal(passed, -1);
	send_two_descriptors(end[1]);
	assert_int_equal(parent_link_receive(end[0], TO_CORE, &got, &passed), PARENT_LINK_BAD);
	assert_int_equal(passed, -1);
	assert_int_equal(descriptors(), before);
}

static void
test_end_and_full(void **state)
{
	(void)state;
	struct parent_message got;
	const struct parent_message spawn = MESSAGE(PARENT_SPAWN, 7, 0);
	unsigned sent = 0;
	while (parent_link_send(end[0], &spawn, -1) == 0)
		assert_true(++sent < 100000);
	assert_true(sent > 8);
	assert_int_equal(parent_link_send(end[0], &spawn, -1), -EAGAIN);
	close(end[0]);
	for (; sent > 0; sent--)
		assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL),
				 PARENT_LINK_GOT);
	assert_int_equal(parent_link_receive(end[1], TO_PARENT, &got, NULL), PARENT_LINK_ENDED);
	assert_int_equal(parent_link_send(end[1], &spawn, -1), -EPIPE);
	end[0] = dup(end[1]); /* for drop_pair() */
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, make_pair, drop_pair)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_PAIR(test_ends_are_private_and_do_not_block),
	    WITH_PAIR(test_core_to_parent),
	    WITH_PAIR(test_parent_to_core),
	    WITH_PAIR(test_reloading),
	    WITH_PAIR(test_wrong_for_the_parent),
	    WITH_PAIR(test_wrong_sizes),
	    WITH_PAIR(test_descriptors_that_must_not_come),
	    WITH_PAIR(test_end_and_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
