/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process gives up before it reads its first packet. */
#ifndef PORTLEASE_SANDBOX_H
#define PORTLEASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sandbox_user {
	uid_t uid;
	gid_t gid;
};

/* A name or a number ("nobody", "65534"; a number needs no account: its gid is the same number).  False: no such user. */
bool sandbox_find_user(const char *name, struct sandbox_user *out);

/*
 * Become that user with CAP_NET_ADMIN alone, an empty bounding and ambient set, no supplementary groups and
 * no_new_privs.  False: *why says what failed.
 */
bool sandbox_enter(const struct sandbox_user *, char *why, size_t why_size);

#endif
