/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives privileges up, then looks whether they are gone. */
#include "sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

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

/* Effective and permitted are CAP_NET_ADMIN alone, all other sets are empty. */
static bool
only_net_admin(bool bounding_cleared)
{
	if (capng_get_caps_process() < 0)
		return false;
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		int wanted = cap == CAP_NET_ADMIN;
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
	if (!is_user(user) || (!there && getgroups(0, NULL) != 0) || !only_net_admin(clear))
		return fail(why, why_size, "give privileges up: some are still there");
	return true;
}
