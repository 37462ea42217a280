/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives privileges up, then looks whether they are gone. */
#include "sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_BIT(cap) (1ull << (cap))
#define FOR_CHILDREN                                                                            \
	(CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_KILL) | \
	 CAP_BIT(CAP_NET_ADMIN))

bool
sandbox_find_user(const char *name, struct sandbox_user *out)
{
	const struct passwd *account = getpwnam(name);
	if (account) {
		*out = (struct sandbox_user){account->pw_uid, account->pw_gid};
		return true;
	}
	size_t length = strlen(name);
	if (length == 0 || length > 10 || strspn(name, "0123456789") != length)
		return false;
	unsigned long long number = strtoull(name, NULL, 10);
	if (number >= (uid_t)-1) /* which setresuid() takes for "leave as it is" */
		return false;
	*out = (struct sandbox_user){(uid_t)number, (gid_t)number};
	return true;
}

static bool
is_user(const struct sandbox_user *user)
{
	uid_t uid[3];
	gid_t gid[3];
	if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
		return false;
	for (int i = 0; i < 3; i++) {
		if (uid[i] != user->uid || gid[i] != user->gid)
			return false;
	}
	return true;
}

/* capng_change_id() answers with the step that failed, negated. */
static const char *
failed_step(int result)
{
	static const char *const step[] = {
	    [2] = "keep capabilities",
	    [3] = "give capabilities up (is the program started as root?)",
	    [4] = "change the group",
	    [5] = "drop the supplementary groups",
	    [6] = "change the user",
	    [7] = "end keeping capabilities",
	    [8] = "clear the bounding set",
	    [9] = "give the last capabilities up",
	};
	size_t i = (size_t)-result;
	return i < sizeof(step) / sizeof(*step) && step[i] ? step[i] : "change the user";
}

/* Effective and permitted are these alone, inheritable and ambient are empty. */
static bool
only(uint64_t caps, bool bounding_cleared)
{
	if (capng_get_caps_process() < 0)
		return false;
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		int wanted = (caps & CAP_BIT(cap)) != 0;
		if (capng_have_capability(CAPNG_EFFECTIVE, cap) != wanted ||
		    capng_have_capability(CAPNG_PERMITTED, cap) != wanted ||
		    capng_have_capability(CAPNG_INHERITABLE, cap) ||
		    capng_have_capability(CAPNG_AMBIENT, cap) ||
		    (bounding_cleared && capng_have_capability(CAPNG_BOUNDING_SET, cap)))
			return false;
	}
	return true;
}

static bool
fail(char *why, size_t why_size, const char *what)
{
	snprintf(why, why_size, "cannot %s: %s", what, strerror(errno));
	return false;
}

/*
 * A service manager or a user namespace may have made us that user already.  Then there may be no
 * right to drop groups or to clear the bounding set, and what we have of these came from it: they
 * are left where the kernel refuses.
 */
bool
sandbox_enter(const struct sandbox_user *user, char *why, size_t why_size)
{
	bool there = is_user(user);
	if (capng_get_caps_process() < 0)
		return fail(why, why_size, "read capabilities");
	if (!capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN)) {
		errno = EPERM;
		return fail(why, why_size, "keep CAP_NET_ADMIN (is the program started as root?)");
	}
	bool clear = !there || capng_have_capability(CAPNG_PERMITTED, CAP_SETPCAP);
	unsigned flags = CAPNG_CLEAR_AMBIENT | (clear ? CAPNG_CLEAR_BOUNDING : 0) |
			 (there ? 0 : CAPNG_DROP_SUPP_GRP);
	if (there && setgroups(0, NULL) < 0 && errno != EPERM)
		return fail(why, why_size, failed_step(-5));
	capng_clear(CAPNG_SELECT_ALL);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
	int result = capng_change_id(there ? -1 : (int)user->uid, there ? -1 : (int)user->gid,
				     (capng_flags_t)flags);
	if (result < 0)
		return fail(why, why_size, failed_step(result));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(why, why_size, "set no_new_privs");
	errno = EPERM;
	if (!is_user(user) || (!there && getgroups(0, NULL) != 0) ||
	    !only(CAP_BIT(CAP_NET_ADMIN), clear))
		return fail(why, why_size, "give privileges up: some are still there");
	return true;
}

bool
sandbox_keep_for_children(char *why, size_t why_size)
{
	const unsigned sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE |
			      CAPNG_AMBIENT | CAPNG_BOUNDING_SET;
	uint64_t kept = 0;

	if (capng_get_caps_process() < 0)
		return fail(why, why_size, "read capabilities");
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (FOR_CHILDREN & CAP_BIT(cap) && capng_have_capability(CAPNG_PERMITTED, cap))
			kept |= CAP_BIT(cap);
	}
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (kept & CAP_BIT(cap))
			capng_update(CAPNG_ADD, (capng_type_t)sets, cap);
	}
	/* Without the right to, the bounding set is left as it came. */
	unsigned bounds = kept & CAP_BIT(CAP_SETPCAP) ? CAPNG_SELECT_BOUNDS : 0;
	if (capng_apply((capng_select_t)(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT | bounds)) < 0)
		return fail(why, why_size, "give capabilities up");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(why, why_size, "set no_new_privs");
	return true;
}

bool
sandbox_may_change_user(void)
{
	return capng_get_caps_process() == 0 &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID) &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID) &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
}

bool
sandbox_enter_without_capabilities(const struct sandbox_user *user, char *why, size_t why_size)
{
	const unsigned flags = CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT;

	capng_get_caps_process();
	capng_clear(CAPNG_SELECT_ALL);
	int result = capng_change_id((int)user->uid, (int)user->gid, (capng_flags_t)flags);
	if (result < 0)
		return fail(why, why_size, failed_step(result));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(why, why_size, "set no_new_privs");
	errno = EPERM;
	if (!is_user(user) || getgroups(0, NULL) != 0 || !only(0, true))
		return fail(why, why_size, "give privileges up: some are still there");
	return true;
}

/*
 * All that the running kernel knows to deny, whatever the headers knew that this was built with.
 * Rules for TCP ports (ABI 4) would not help: the worker connects to ports that clients name.
 */
static bool
deny_files(int *landlock, char *why, size_t why_size)
{
	struct {
		uint64_t access_fs, access_net, scoped;
	} rules = {.access_net = 0};
	/* How many rights to files there are, by ABI; the last also holds beyond. */
	static const unsigned rights[] = {0, 13, 14, 15, 15, 16};
	enum { LAST = sizeof(rights) / sizeof(*rights) - 1, SCOPED = 6 };

	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	*landlock = abi < 1 ? -errno : 0;
	if (abi < 1)
		return true;
	rules.access_fs = (1ull << rights[abi < LAST ? abi : LAST]) - 1;
	rules.scoped = abi >= SCOPED ? 3 : 0; /* abstract sockets and signals */
	int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return fail(why, why_size, "give files up (Landlock)");
	close(fd);
	return true;
}

bool
sandbox_confine_worker(int *landlock, char *why, size_t why_size)
{
	uid_t uid[3];

	errno = EPERM;
	if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || uid[0] == 0 || uid[1] == 0 || uid[2] == 0)
		return fail(why, why_size, "run as root");
	if (!only(0, false))
		return fail(why, why_size, "run with capabilities");
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return fail(why, why_size, "run without no_new_privs");
	return deny_files(landlock, why, why_size);
}
