/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names the places where a death could hurt.  What is shipped does nothing there; a test's program
 * is linked with a file that may end the process (tests/system/crash_point.c). */
#ifndef PORTLEASE_CRASH_POINT_H
#define PORTLEASE_CRASH_POINT_H

/* Each name is in the source once. */
void crash_point(const char *name);

#endif
