/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into a daemon, a calendar that a test sets: the real one plus the seconds in the file
 * PORTLEASE_TEST_CLOCK, whose second number counts who asked.  What is written to the pipe beside
 * it, PORTLEASE_TEST_CLOCK.set, tells a timer of it that it was set.  All other clocks are the
 * kernel's.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct test_clock {
	int64_t offset; /* seconds */
	int64_t asked;
};

int clock_gettime(clockid_t, struct timespec *);
int gettimeofday(struct timeval *, void *);
time_t time(time_t *);

static int told = -1;

static struct test_clock *
test_clock(void)
{
	char pipe[PATH_MAX];
	static struct test_clock *set;
	const char *path = getenv("PORTLEASE_TEST_CLOCK");
	int fd;

	if (set || !path)
		return set;
	fd = open(path, O_RDWR | O_CLOEXEC);
	set = mmap(NULL, sizeof(*set), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || set == MAP_FAILED)
		abort();
	close(fd);
	snprintf(pipe, sizeof(pipe), "%s.set", path);
	told = open(pipe, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return set;
}

/* While the program may still open files. */
static void __attribute__((constructor)) find_clock(void)
{
	test_clock();
}

int
clock_gettime(clockid_t clock, struct timespec *out)
{
	struct test_clock *set = test_clock();
	int result = (int)syscall(SYS_clock_gettime, clock, out);

	if (set && clock == CLOCK_REALTIME) {
		out->tv_sec += __atomic_load_n(&set->offset, __ATOMIC_RELAXED);
		__atomic_fetch_add(&set->asked, 1, __ATOMIC_RELAXED);
	}
	return result;
}

int
timerfd_create(int clock, int flags)
{
	return told >= 0 && clock == CLOCK_REALTIME
		   ? told
		   : (int)syscall(SYS_timerfd_create, clock, flags);
}

int
timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	char word;

	if (fd < 0 || fd != told)
		return (int)syscall(SYS_timerfd_settime, fd, flags, new, old);
	while (read(fd, &word, 1) == 1)
		;
	return 0;
}

int
gettimeofday(struct timeval *out, void *zone)
{
	struct timespec t;
	int result = clock_gettime(CLOCK_REALTIME, &t);

	(void)zone;
	out->tv_sec = t.tv_sec;
	out->tv_usec = t.tv_nsec / 1000;
	return result;
}

time_t
time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}
