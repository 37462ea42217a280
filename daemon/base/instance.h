/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One daemon a network namespace: the kernel's table belongs to the namespace, so does the lock (an
 * abstract unix socket, which a dead holder cannot leave behind).
 */
#ifndef PORTLEASE_INSTANCE_H
#define PORTLEASE_INSTANCE_H

#include <stddef.h>

/* Takes the lock; it is held while the returned descriptor is open.  -1: *why names the holder's
 * pid. */
int instance_lock(char *why, size_t why_size);

#endif
