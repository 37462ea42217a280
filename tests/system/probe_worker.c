/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of portleased-upnp: confines itself as that does, then tries what it must not be able to
 * do, and says on standard error how each ended.  Then it is idle until its link ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../daemon/base/sandbox.h"

enum { LINK = 3 };

/* None of these is expected to succeed; 0: it did. */

static int
open_a_file(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int
list_a_folder(void)
{
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 ? errno : 0;
}

static int
make_a_file(void)
{
	return open("/tmp/portlease-probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 ? errno : 0;
}

static int
make_a_folder(void)
{
	return mkdir("/tmp/portlease-probe", 0700) < 0 ? errno : 0;
}

/* The core was made between the two of us; what else was is somebody else's, too. */
static int
signal_parent_and_core(void)
{
	for (pid_t pid = getppid(); pid < getpid(); pid++)
		if (kill(pid, SIGTERM) == 0)
			return 0;
	return EPERM;
}

static int
trace_the_parent(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? errno : 0;
}

static int
become_root(void)
{
	return setuid(0) < 0 ? errno : 0;
}

static int
become_another(void)
{
	return setresuid(65534, 65534, 65534) < 0 ? errno : 0;
}

static int
become_another_group(void)
{
	return setresgid(0, 0, 0) < 0 ? errno : 0;
}

static int
make_a_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static int
start_a_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int
make_a_raw_socket(void)
{
	return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 17) < 0 ? errno : 0;
}

static int
take_much_memory(void)
{
	void *memory = malloc(1 << 30);

	free(memory);
	return memory ? 0 : ENOMEM;
}

static const struct {
	const char *name;
	int (*try)(void);
} tries[] = {
    {"open-a-file", open_a_file},
    {"list-a-folder", list_a_folder},
    {"make-a-file", make_a_file},
    {"make-a-folder", make_a_folder},
    {"signal-parent-and-core", signal_parent_and_core},
    {"trace-the-parent", trace_the_parent},
    {"become-root", become_root},
    {"become-another", become_another},
    {"become-another-group", become_another_group},
    {"make-a-process", make_a_process},
    {"start-a-program", start_a_program},
    {"make-a-raw-socket", make_a_raw_socket},
    {"take-much-memory", take_much_memory},
};

static void
report(const char *name, int error)
{
	dprintf(STDERR_FILENO, "probe: %s %s\n", name, error ? strerrorname_np(error) : "DONE");
}

/* A descriptor beside those a worker has. */
static int
descriptors(void)
{
	for (int fd = LINK + 1; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 0;
	return EBADF;
}

static int
environment(void)
{
	return environ[0] ? 0 : ENOENT;
}

static int
udp_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 ? errno : 0;
}

int
main(int argc, char **argv)
{
	char why[256], packet[65536];

	report("descriptors", descriptors());
	report("environment", environment());
	if (argc != 2 || !sandbox_confine_worker(why, sizeof(why))) {
		dprintf(STDERR_FILENO, "probe: not confined: %s\n", why);
		return 1;
	}
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++)
		report(tries[i].name, tries[i].try());
	report("udp-socket", udp_socket());
	dprintf(STDERR_FILENO, "probe: end on %s\n", argv[1]);
	/* What the core says is of no interest. */
	for (;;) {
		struct pollfd link = {LINK, POLLIN, 0};

		poll(&link, 1, -1);
		ssize_t size = recv(LINK, packet, sizeof(packet), 0);
		if (size == 0 || (size < 0 && errno != EAGAIN))
			return 0;
	}
}
