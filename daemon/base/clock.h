/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clocks of a process; read in main and front ends only, an argument everywhere else. */
#ifndef PORTLEASE_CLOCK_H
#define PORTLEASE_CLOCK_H

#include "../../protocols/mapping.h"

/* Milliseconds; never steps, counts suspended time. */
monotime clock_now(void);
/* Milliseconds of the calendar, which may step at any time. */
int64_t clock_wall(void);

/* A descriptor that is readable once the calendar was set, and again after each clock_watch_again().
 * -1: cannot. */
int clock_watch(void);
void clock_watch_again(int fd);

/* Which boot of the machine clock_now() counts from; "" if the kernel does not say. */
enum { CLOCK_BOOT_SIZE = 37 };
void clock_boot(char out[CLOCK_BOOT_SIZE]);

#endif
