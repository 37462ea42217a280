/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/close_range.h>

#include "../base/log.h"

#define SELF	    "/proc/self/exe"
#define WORKER_NAME "portleased-upnp"
enum { ABOVE_ALL = 64 }; /* a number that no child finds open */

/* The parent waits for signals by descriptor; its children are to get them. */
static void
unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The descriptors become FIRST, FIRST + 1, …; nothing above them outlives the program's start. */
static bool
place(int first, const int *fd, int count)
{
	int copy[CORE_FDS_END];

	for (int i = 0; i < count; i++) { /* out of the way of each other */
		copy[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, ABOVE_ALL);
		if (copy[i] < 0)
			return false;
	}
	for (int i = 0; i < count; i++) {
		if (dup2(copy[i], first + i) < 0)
			return false;
	}
	/* All of ours are so marked; this is for what we were started with. */
	syscall(SYS_close_range, first + count, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	return true;
}

pid_t
child_start_core(const int fd[CORE_FDS_END - CORE_LINK], const char *path)
{
	char *const argv[] = {"portleased", "--core", "-f", (char *)path, NULL};
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0 ? -errno : pid;
	unblock_signals();
	if (place(CORE_LINK, fd, CORE_FDS_END - CORE_LINK))
		execv(SELF, argv);
	log_error("parent", "core not started", "error=\"%s\"", strerror(errno));
	_exit(1);
}

/* Not of the size of files: the log may be one, and no other can be opened. */
static bool
limit(const struct child_worker *worker)
{
	const struct {
		int what;
		rlim_t most;
	} limits[] = {
	    {RLIMIT_NOFILE, worker->files},
	    {RLIMIT_DATA, PORTLEASE_WORKER_MEMORY},
	    {RLIMIT_CORE, 0},
	    {RLIMIT_NPROC, 0}, /* the last: with it no user could be changed any more */
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		rlim_t most = limits[i].most;
		struct rlimit ours;

		if (getrlimit(limits[i].what, &ours) < 0)
			return false;
		if (most > ours.rlim_max) /* which cannot be raised */
			most = ours.rlim_max;
		if (setrlimit(limits[i].what, &(struct rlimit){most, most}) < 0)
			return false;
	}
	return true;
}

/* Why the worker is not there; returns only then. */
static const char *
become_worker(const struct child_worker *worker)
{
	static char why[256];
	static char *const environment[] = {PORTLEASE_WORKER_ENVIRONMENT NULL};
	char *const argv[] = {WORKER_NAME, (char *)worker->interface, NULL};
	const int fd[] = {worker->null, worker->null, STDERR_FILENO, worker->link};

	unblock_signals();
	if (!sandbox_enter_without_capabilities(&worker->user, why, sizeof(why)))
		return why;
	/* Opened before: its user need not be able to reach the program's folder. */
	int program = fcntl(worker->program, F_DUPFD_CLOEXEC, ABOVE_ALL);
	if (program >= 0 && place(STDIN_FILENO, fd, sizeof(fd) / sizeof(*fd)) && limit(worker))
		syscall(SYS_execveat, program, "", argv, environment, AT_EMPTY_PATH);
	return strerror(errno);
}

pid_t
child_start_worker(const struct child_worker *worker)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0 ? -errno : pid;
	log_error("parent", "worker not started", "lan=%s error=\"%s\"", worker->interface,
		  become_worker(worker));
	_exit(1);
}

int
child_find_worker(void)
{
	static const char *const places[] = {"", "../libexec/portlease/"};
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t length = readlink(SELF, self, sizeof(self) - 1);
	int fd = -1;

	if (length <= 0)
		return -1;
	self[length] = '\0';
	*(strrchr(self, '/') + 1) = '\0';
	for (size_t i = 0; fd < 0 && i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s" WORKER_NAME, self, places[i]);
		fd = open(path, O_PATH | O_CLOEXEC);
	}
	return fd;
}
