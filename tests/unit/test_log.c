/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lines look like, which are written, and how many a LAN host can cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/base/log.h"

/* Standard error while a test looks at it: one packet is one write(2). */
static int real_stderr, packets;
static char line[4096];

static int
catch_stderr(void **state)
{
	(void)state;
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return -1;
	real_stderr = dup(STDERR_FILENO);
	dup2(pair[1], STDERR_FILENO);
	close(pair[1]);
	packets = pair[0];
	log_open(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
	return 0;
}

static int
release_stderr(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	return close(packets);
}

/* The next line written, "" if there is none. */
static const char *
next_line(void)
{
	ssize_t length = recv(packets, line, sizeof(line) - 1, MSG_DONTWAIT);
	line[length > 0 ? length : 0] = '\0';
	return line;
}

static void
test_lines(void **state)
{
	(void)state;
	log_info("lease", "granted", "client=%s external=%u", "192.168.1.2", 4000u);
	assert_string_equal(next_line(), "<6>lease: granted client=192.168.1.2 external=4000\n");
	log_error("kernel", "refused", "why=%s", "busy");
	assert_string_equal(next_line(), "<3>kernel: refused why=busy\n");
	log_warning("wan", "private address", "%s", "");
	assert_string_equal(next_line(), "<4>wan: private address \n");
	log_line(LOG_LEVEL_INFO, "main", "ready", "%s", "x");
	assert_string_equal(next_line(), "<6>main: ready x\n");
	assert_string_equal(next_line(), "");
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-zero-length"
static void
test_line_without_values(void **state)
{
	(void)state;
	log_info("main", "ready", "");
	assert_string_equal(next_line(), "<6>main: ready\n");
}
#pragma GCC diagnostic pop

static void
log_all_levels(void)
{
	log_error("a", "b", "%d", 0);
	log_warning("a", "b", "%d", 1);
	log_info("a", "b", "%d", 2);
	log_debug("a", "b", "%d", 3);
}

static void
test_levels(void **state)
{
	(void)state;
	static const char *const lines[] = {"<3>a: b 0\n", "<4>a: b 1\n", "<6>a: b 2\n",
					    "<7>a: b 3\n"};
	for (int level = 0; level < LOG_LEVELS; level++) {
		log_open(LOG_TARGET_STDERR, (enum log_level)level);
		log_all_levels();
		for (int i = 0; i <= level; i++)
			assert_string_equal(next_line(), lines[i]);
		assert_string_equal(next_line(), "");
		for (int i = 0; i < LOG_LEVELS; i++)
			assert_int_equal(log_enabled((enum log_level)i), i <= level);
	}
}

static void
test_errno_is_kept(void **state)
{
	(void)state;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(full >= 0);
	int caught = dup(STDERR_FILENO);
	dup2(full, STDERR_FILENO);
	close(full);
	errno = EILSEQ;
	log_info("a", "b", "%d", 1);
	int kept = errno;
	dup2(caught, STDERR_FILENO);
	close(caught);
	assert_int_equal(kept, EILSEQ);
	assert_string_equal(next_line(), "");
}

static void
test_terminal_gets_no_prefix(void **state)
{
	(void)state;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) {
		print_message("skipped: no pseudo terminal to be had\n");
		skip();
	}
	int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(terminal >= 0);
	int caught = dup(STDERR_FILENO);
	dup2(terminal, STDERR_FILENO);
	log_open(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
	log_info("main", "ready", "%s", "x");
	dup2(caught, STDERR_FILENO);
	close(caught);
	close(terminal);
	ssize_t length = read(master, line, sizeof(line) - 1);
	close(master);
	assert_true(length > 0);
	line[length] = '\0';
	assert_string_equal(line, "main: ready x\r\n");
}

/* What a client sent can neither begin a line nor steer a terminal, and stays legible in any
 * script. */
static void
test_control_characters(void **state)
{
	(void)state;
	log_info("lease", "granted", "description=%s", "a\n<3>b\r\t\x1b[31m\x7f\x01z");
	assert_string_equal(next_line(), "<6>lease: granted description=a?<3>b???[31m??z\n");
	log_info("lease", "granted", "description=%s",
		 "\xc2\x9b"
		 "31m \xc2\xa0 \xc2");
	assert_string_equal(next_line(), "<6>lease: granted description=??31m \xc2\xa0 \xc2\n");
	log_info("lease", "granted", "description=%s", "Größe µTorrent 日本");
	assert_string_equal(next_line(), "<6>lease: granted description=Größe µTorrent 日本\n");
}

static size_t
log_text_of(size_t length, const char *character)
{
	char text[8192];
	size_t used = 0;
	for (; used + strlen(character) <= length; used += strlen(character))
		memcpy(text + used, character, strlen(character));
	text[used] = '\0';
	log_info("t", "e", "%s", text);
	return strlen(next_line());
}

/* "<6>t: e " and the newline leave 1015 octets. */
static void
test_long_lines(void **state)
{
	(void)state;
	assert_int_equal(log_text_of(1014, "x"), 1023);
	assert_string_equal(line + 1020, "xx\n");
	assert_int_equal(log_text_of(1015, "x"), 1024);
	assert_string_equal(line + 1020, "xxx\n");
	assert_int_equal(log_text_of(1016, "x"), 1024);
	assert_string_equal(line + 1019, "x…\n");
	assert_int_equal(log_text_of(8000, "x"), 1024);
	assert_string_equal(line + 1019, "x…\n");
	/* Never half a character: 4 octets each begin at 8. */
	assert_int_equal(log_text_of(8000, "🧦"), 1024);
	assert_string_equal(line + 1016, "🧦…\n");
	/* 3 octets each begin at 8: one ends at 1019, the next would end at 1022. */
	assert_int_equal(log_text_of(8000, "日"), 8 + 337 * 3 + 4);
	assert_string_equal(line + 8 + 336 * 3, "日…\n");
}

/* An event that fills the line leaves no room for the values. */
static void
test_long_event(void **state)
{
	(void)state;
	char event[3000];
	memset(event, 'x', sizeof(event));
	event[sizeof(event) - 1] = '\0';
	log_info("t", event, "%s", "value");
	assert_int_equal(strlen(next_line()), 1024);
	assert_string_equal(line + 1019, "x…\n");
}

static unsigned
allowed_of(struct log_limit *limit, unsigned tries, monotime now)
{
	unsigned allowed = 0;
	for (unsigned i = 0; i < tries; i++)
		allowed += log_limited(limit, LOG_LEVEL_INFO, now);
	return allowed;
}

static void
test_limit(void **state)
{
	(void)state;
	struct log_limit limit = {0};
	monotime now = 1000 * MONOTIME_SECOND;
	assert_int_equal(allowed_of(&limit, LOG_BURST + 50, now), LOG_BURST);
	assert_string_equal(next_line(), "");
	/* A second brings LOG_PER_SECOND, and the first of them says what is missing. */
	now += MONOTIME_SECOND;
	assert_int_equal(allowed_of(&limit, LOG_BURST, now), LOG_PER_SECOND);
	assert_string_equal(next_line(), "<6>log: suppressed lines=50\n");
	assert_string_equal(next_line(), "");
	/* Steps too short for a token add up to one. */
	unsigned allowed = 0;
	for (int i = 0; i < 1000; i++)
		allowed += allowed_of(&limit, 3, now += 7);
	assert_int_equal(allowed, 7 * LOG_PER_SECOND);
	/* Never more than the burst. */
	now += 3600 * MONOTIME_SECOND;
	assert_int_equal(allowed_of(&limit, 2 * LOG_BURST, now), LOG_BURST);
}

static void
test_limit_soon_after_boot(void **state)
{
	(void)state;
	struct log_limit limit = {0};
	assert_int_equal(allowed_of(&limit, LOG_BURST + 1, 0), LOG_BURST);
	assert_int_equal(allowed_of(&limit, 10, MONOTIME_SECOND / LOG_PER_SECOND), 1);
}

/* A line that is not logged at this level costs nothing. */
static void
test_limit_ignores_disabled_levels(void **state)
{
	(void)state;
	struct log_limit limit = {0};
	for (int i = 0; i < 2 * LOG_BURST; i++)
		assert_false(log_limited(&limit, LOG_LEVEL_DEBUG, 5));
	assert_true(log_limited(&limit, LOG_LEVEL_INFO, 5));
	assert_string_equal(next_line(), "");
}

static int
status_of_fatal(void)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		fatal("%s:%d: no\nway", "file", 7);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_fatal(void **state)
{
	(void)state;
	char expected[256];
	snprintf(expected, sizeof(expected), "<3>%s: file:7: no?way\n",
		 program_invocation_short_name);
	assert_int_equal(status_of_fatal(), 1);
	assert_string_equal(next_line(), expected);
	/* Also with the log elsewhere, and whatever the level. */
	log_open(LOG_TARGET_SYSLOG, LOG_LEVEL_ERROR);
	assert_int_equal(status_of_fatal(), 1);
	assert_string_equal(next_line(), expected);
	log_error("a", "goes to syslog", "%d", 1);
	assert_string_equal(next_line(), "");
}

#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, catch_stderr, release_stderr)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    LOG_TEST(test_lines),
	    LOG_TEST(test_line_without_values),
	    LOG_TEST(test_levels),
	    LOG_TEST(test_errno_is_kept),
	    LOG_TEST(test_terminal_gets_no_prefix),
	    LOG_TEST(test_control_characters),
	    LOG_TEST(test_long_lines),
	    LOG_TEST(test_long_event),
	    LOG_TEST(test_limit),
	    LOG_TEST(test_limit_soon_after_boot),
	    LOG_TEST(test_limit_ignores_disabled_levels),
	    LOG_TEST(test_fatal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
