/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int64_t
milliseconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * MONOTIME_SECOND + t.tv_nsec / 1000000;
}

monotime
clock_now(void)
{
	return milliseconds(CLOCK_BOOTTIME);
}

int64_t
clock_wall(void)
{
	return milliseconds(CLOCK_REALTIME);
}

/* A timer for the end of time. */
void
clock_watch_again(int fd)
{
	const struct itimerspec never = {.it_value.tv_sec =
					     (time_t)(INT64_MAX >> (64 - 8 * sizeof(time_t)))};

	timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

int
clock_watch(void)
{
	int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		clock_watch_again(fd);
	return fd;
}

void
clock_boot(char out[CLOCK_BOOT_SIZE])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!file || !fgets(out, CLOCK_BOOT_SIZE, file))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	if (file)
		fclose(file);
}
