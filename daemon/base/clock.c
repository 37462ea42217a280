/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

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
