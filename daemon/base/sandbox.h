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

/* A name or a number ("nobody", "65534"; a number needs no account: its gid is the same number).
 * False: no such user. */
bool sandbox_find_user(const char *name, struct sandbox_user *out);

/*
 * Become that user with CAP_NET_ADMIN alone, an empty bounding and ambient set, no supplementary
 * groups and no_new_privs.  False: *why says what failed.
 */
bool sandbox_enter(const struct sandbox_user *, char *why, size_t why_size);

/*
 * For who only starts the others: of CAP_SETUID, SETGID, SETPCAP, KILL and NET_ADMIN keep what is
 * there, which a program started from here on has, too; no_new_privs.  False: *why says what
 * failed.
 */
bool sandbox_keep_for_children(char *why, size_t why_size);
/* False: it is known that no other user can be become. */
bool sandbox_may_change_user(void);

/* Become that user, not root, without any capability.  False: *why says what failed. */
bool sandbox_enter_without_capabilities(const struct sandbox_user *, char *why, size_t why_size);

/*
 * Last step of a process that sandbox_enter_without_capabilities() was done for: sees that it is
 * not root, has no capability and no_new_privs, then gives up opening and changing files, and,
 * where the kernel can, signals and abstract sockets of others.  *landlock is 0, or -errno where
 * the kernel lacks it: then nothing of that is given up.  False: *why says what failed.
 */
bool sandbox_confine_worker(int *landlock, char *why, size_t why_size);

#endif
