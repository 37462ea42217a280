/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process is left with, read back from the kernel; each case in a child of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/base/sandbox.h"

#define NET_ADMIN (1ull << CAP_NET_ADMIN)

static char why[256];
static int landlock;

static void
test_find_user(void **state)
{
	(void)state;
	struct sandbox_user user;
	const struct passwd *nobody = getpwnam("nobody");
	assert_non_null(nobody);
	uid_t uid = nobody->pw_uid;
	gid_t gid = nobody->pw_gid;
	assert_true(sandbox_find_user("nobody", &user));
	assert_int_equal(user.uid, uid);
	assert_int_equal(user.gid, gid);
	assert_true(sandbox_find_user("54321", &user));
	assert_int_equal(user.uid, 54321);
	assert_int_equal(user.gid, 54321);
	assert_true(sandbox_find_user("4294967294", &user));
	assert_int_equal(user.uid, 4294967294);
	static const char *const unknown[] = {"",	    "no-such-user", "-1",
					      "1x",	    " 1",	    "4294967295",
					      "4294967296", "99999999999",  "0x10"};
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		assert_false(sandbox_find_user(unknown[i], &user));
}

/* The line of /proc/self/status without its name; the test ends where there is none. */
static const char *
status_line(const char *name)
{
	static char line[4096];
	FILE *file = fopen("/proc/self/status", "r");
	assert_non_null(file);
	size_t length = strlen(name);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, length) != 0 || line[length] != ':')
			continue;
		fclose(file);
		line[strcspn(line, "\n")] = '\0';
		return line + length + 1 + strspn(line + length + 1, " \t");
	}
	fail_msg("/proc/self/status lacks %s", name);
	return "";
}

static unsigned long long
status_set(const char *name)
{
	return strtoull(status_line(name), NULL, 16);
}

/* In a child; 0: as it should be. */
static int
check_sets(bool bounding_cleared)
{
	return status_set("CapEff") != NET_ADMIN	       ? 11
	       : status_set("CapPrm") != NET_ADMIN	       ? 12
	       : status_set("CapInh") != 0		       ? 13
	       : status_set("CapAmb") != 0		       ? 14
	       : bounding_cleared && status_set("CapBnd") != 0 ? 15
	       : strcmp(status_line("NoNewPrivs"), "1") != 0   ? 16
							       : 0;
}

static int
enter(const struct sandbox_user *user)
{
	if (sandbox_enter(user, why, sizeof(why)))
		return 0;
	fprintf(stderr, "%s\n", why);
	return 1;
}

static int
check_user(const struct sandbox_user *user)
{
	char ids[64];
	snprintf(ids, sizeof(ids), "%u\t%u\t%u\t%u", user->uid, user->uid, user->uid, user->uid);
	if (strcmp(status_line("Uid"), ids) != 0)
		return 2;
	snprintf(ids, sizeof(ids), "%u\t%u\t%u\t%u", user->gid, user->gid, user->gid, user->gid);
	if (strcmp(status_line("Gid"), ids) != 0)
		return 3;
	if (status_line("Groups")[0] != '\0')
		return 4;
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return 5;
	return check_sets(true);
}

static int
as_user(const char *name)
{
	struct sandbox_user user;
	const gid_t groups[] = {0, 4, 54322};
	if (!sandbox_find_user(name, &user) || setgroups(3, groups) < 0 ||
	    !strstr(status_line("Groups"), "54322"))
		return 20;
	return enter(&user) || check_user(&user);
}

/* A second time the process is that user already, and has no right to clear anything. */
static int
as_user_twice(const char *name)
{
	struct sandbox_user user;
	if (!sandbox_find_user(name, &user))
		return 20;
	return enter(&user) || enter(&user) || check_user(&user);
}

/* What a service manager hands over: the user, and an ambient CAP_NET_ADMIN. */
static int
as_service(const char *name)
{
	struct sandbox_user user;
	if (!sandbox_find_user(name, &user) || setgroups(0, NULL) < 0 ||
	    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(user.gid, user.gid, user.gid) < 0 ||
	    setresuid(user.uid, user.uid, user.uid) < 0)
		return 20;
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{NET_ADMIN, NET_ADMIN, NET_ADMIN}};
	if (syscall(SYS_capset, &header, sets) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) < 0 ||
	    status_set("CapAmb") != NET_ADMIN)
		return 21;
	return enter(&user) || check_sets(false);
}

/* Root of a new user namespace, in which there is no other user. */
static int
as_root_of_namespace(const char *map)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return 77;
	int fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "deny", 4) != 4 || close(fd) < 0)
		return 77;
	static const char *const maps[] = {"/proc/self/uid_map", "/proc/self/gid_map"};
	for (int i = 0; i < 2; i++) {
		fd = open(maps[i], O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, map, strlen(map)) < 0 || close(fd) < 0)
			return 77;
	}
	const struct sandbox_user root = {0, 0}, other = {54321, 54321};
	if (sandbox_enter(&other, why, sizeof(why)) || strncmp(why, "cannot change the ", 18) != 0)
		return 22;
	return enter(&root) || check_sets(true);
}

/* Without the capability there is nothing to keep. */
static int
without_capabilities(const char *name)
{
	struct sandbox_user user;
	if (!sandbox_find_user(name, &user) || setresgid(user.gid, user.gid, user.gid) < 0 ||
	    setresuid(user.uid, user.uid, user.uid) < 0)
		return 20;
	if (sandbox_enter(&user, why, sizeof(why)))
		return 23;
	return strstr(why, "CAP_NET_ADMIN") ? 0 : 24;
}

#define FOR_CHILDREN                                                                        \
	(1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_SETPCAP | 1ull << CAP_KILL | \
	 NET_ADMIN)

/* What is kept is there for a program started by it, too; the core's sandbox can be entered from
 * it. */
static int
as_parent(const char *name)
{
	static const char *const sets[] = {"CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"};
	if (!sandbox_keep_for_children(why, sizeof(why)) || !sandbox_may_change_user())
		return 30;
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		if (status_set(sets[i]) != FOR_CHILDREN)
			return 31;
	}
	if (strcmp(status_line("NoNewPrivs"), "1") != 0 || chroot("/") == 0)
		return 32;
	char command[128];
	snprintf(command, sizeof(command), "grep -q '^CapEff:.%016llx$' /proc/self/status",
		 FOR_CHILDREN);
	if (system(command) != 0)
		return 33;
	return as_user(name);
}

/* As a service manager starts it: there is one capability to hand on, and no other user. */
static int
as_parent_service(const char *name)
{
	int failed = as_service(name);
	if (failed)
		return failed;
	if (!sandbox_keep_for_children(why, sizeof(why)) || sandbox_may_change_user())
		return 40;
	return status_set("CapAmb") == NET_ADMIN && status_set("CapPrm") == NET_ADMIN ? 0 : 41;
}

static int
become_worker(const char *name)
{
	struct sandbox_user user;
	const gid_t groups[] = {0, 4, 54322};
	if (!sandbox_find_user(name, &user) || setgroups(3, groups) < 0)
		return 50;
	if (sandbox_confine_worker(&landlock, why, sizeof(why)) || !strstr(why, "root"))
		return 51;
	if (!sandbox_keep_for_children(why, sizeof(why)))
		return 52;
	return sandbox_enter_without_capabilities(&user, why, sizeof(why)) ? 0 : 53;
}

static int
as_worker(const char *name)
{
	static const char *const sets[] = {"CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"};
	int failed = become_worker(name);
	if (failed)
		return failed;
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		if (status_set(sets[i]) != 0)
			return 54;
	}
	if (status_line("Groups")[0] != '\0' || strcmp(status_line("NoNewPrivs"), "1") != 0)
		return 55;
	if (setuid(0) == 0 || setuid(54323) == 0 || setgid(0) == 0 || kill(getppid(), 0) == 0)
		return 56;
	return 0;
}

/* Nothing can be opened, made or listed any more; what is open and sockets serve on. */
static int
as_confined_worker(const char *name)
{
	char octet = 0;
	int failed = become_worker(name), pair[2];
	if (failed)
		return failed;
	int open_before = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (open_before < 0 || !sandbox_confine_worker(&landlock, why, sizeof(why)))
		return 57;
	if (landlock)
		return 78;
	if (open("/dev/zero", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 58;
	if (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 ||
	    open("/tmp/portlease-test-sandbox", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 ||
	    mkdir("/tmp/portlease-test-sandbox", 0700) == 0)
		return 59;
	if (read(open_before, &octet, 1) != 1 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 ||
	    send(pair[0], "x", 1, 0) != 1 || recv(pair[1], &octet, 1, 0) != 1 ||
	    socket(AF_INET, SOCK_DGRAM, 0) < 0)
		return 60;
	return 0;
}

/* The kernel's answer to a system call it does not know. */
static bool
unlearn(unsigned number)
{
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* It serves even so, and says what it could not give up. */
static int
as_worker_without_landlock(const char *name)
{
	int failed = become_worker(name);
	if (failed)
		return failed;
	if (!unlearn(SYS_landlock_create_ruleset))
		return 64;
	if (!sandbox_confine_worker(&landlock, why, sizeof(why)) || landlock != -ENOSYS)
		return 65;
	return open("/dev/zero", O_RDONLY | O_CLOEXEC) >= 0 ? 0 : 66;
}

static int
as_worker_with_a_capability(const char *name)
{
	int failed = as_service(name);
	if (failed)
		return failed;
	return !sandbox_confine_worker(&landlock, why, sizeof(why)) && strstr(why, "capabilities")
		   ? 0
		   : 61;
}

static int
as_worker_without_no_new_privs(const char *name)
{
	struct sandbox_user user;
	if (!sandbox_find_user(name, &user) || setresgid(user.gid, user.gid, user.gid) < 0 ||
	    setresuid(user.uid, user.uid, user.uid) < 0)
		return 62;
	return !sandbox_confine_worker(&landlock, why, sizeof(why)) && strstr(why, "no_new_privs")
		   ? 0
		   : 63;
}

static void
run(int (*body)(const char *), const char *argument)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(body(argument));
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: no user namespaces here\n");
		skip();
	}
	if (WEXITSTATUS(status) == 78) {
		print_message("skipped: no Landlock here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Only root outside of a namespace can become somebody else. */
static bool
may_change_user(void)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(setgroups(0, NULL) < 0 || setresgid(54321, 54321, 54321) < 0 ||
		      setresuid(54321, 54321, 54321) < 0);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void
run_as_root(int (*body)(const char *), const char *user)
{
	if (!may_change_user()) {
		print_message("skipped: needs root that can become another user\n");
		skip();
	}
	run(body, user);
}

static void
test_enter_by_name(void **state)
{
	(void)state;
	run_as_root(as_user, "nobody");
}

static void
test_enter_by_number(void **state)
{
	(void)state;
	run_as_root(as_user, "54321");
}

static void
test_enter_twice(void **state)
{
	(void)state;
	run_as_root(as_user_twice, "54321");
}

static void
test_enter_as_service(void **state)
{
	(void)state;
	run_as_root(as_service, "54321");
}

static void
test_enter_without_capabilities(void **state)
{
	(void)state;
	run_as_root(without_capabilities, "54321");
}

static void
test_enter_in_user_namespace(void **state)
{
	(void)state;
	char map[32];
	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	run(as_root_of_namespace, map);
}

static void
test_keep_for_children(void **state)
{
	(void)state;
	run_as_root(as_parent, "54321");
}

static void
test_keep_for_children_as_service(void **state)
{
	(void)state;
	run_as_root(as_parent_service, "54321");
}

static void
test_enter_without_any(void **state)
{
	(void)state;
	run_as_root(as_worker, "nobody");
	run_as_root(as_worker, "54322");
}

static void
test_confine_worker(void **state)
{
	(void)state;
	run_as_root(as_confined_worker, "54322");
}

static void
test_confine_worker_without_landlock(void **state)
{
	(void)state;
	run_as_root(as_worker_without_landlock, "54322");
}

static void
test_confine_only_who_has_nothing(void **state)
{
	(void)state;
	run_as_root(as_worker_with_a_capability, "54322");
	run_as_root(as_worker_without_no_new_privs, "54322");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find_user),
	    cmocka_unit_test(test_enter_by_name),
	    cmocka_unit_test(test_enter_by_number),
	    cmocka_unit_test(test_enter_twice),
	    cmocka_unit_test(test_enter_as_service),
	    cmocka_unit_test(test_enter_without_capabilities),
	    cmocka_unit_test(test_enter_in_user_namespace),
	    cmocka_unit_test(test_keep_for_children),
	    cmocka_unit_test(test_keep_for_children_as_service),
	    cmocka_unit_test(test_enter_without_any),
	    cmocka_unit_test(test_confine_worker),
	    cmocka_unit_test(test_confine_worker_without_landlock),
	    cmocka_unit_test(test_confine_only_who_has_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
