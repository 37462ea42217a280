/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of portleased-upnp: confines itself as that does, then tries what it must not be able to
 * do, and says on standard error how each ended.  Then it is idle until its link ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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
write_to_a_file(void)
{
	return open("/dev/null", O_WRONLY | O_CLOEXEC) < 0 ? errno : 0;
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
to_parent_and_core(int (*try)(pid_t))
{
	int error = EPERM;

	for (pid_t pid = getppid(); pid < getpid(); pid++) {
		int one = try(pid);

		if (one != EPERM && (one != ESRCH || pid == getppid()))
			error = one;
	}
	return error;
}

static int
signal_one(pid_t pid)
{
	return kill(pid, SIGTERM) < 0 ? errno : 0;
}

static int
signal_parent_and_core(void)
{
	return to_parent_and_core(signal_one);
}

static int
trace_one(pid_t pid)
{
	return ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ? errno : 0;
}

static int
trace_parent_and_core(void)
{
	return to_parent_and_core(trace_one);
}

static int
read_one(pid_t pid)
{
	static char octet;
	const struct iovec own = {&octet, 1}, theirs = {&octet, 1};

	return process_vm_readv(pid, &own, 1, &theirs, 1, 0) < 0 ? errno : 0;
}

static int
read_parent_and_core(void)
{
	return to_parent_and_core(read_one);
}

static int
take_a_capability(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{1u << CAP_NET_ADMIN, 1u << CAP_NET_ADMIN, 0}};

	return syscall(SYS_capset, &header, sets) < 0 ? errno : 0;
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
bind_to(in_port_t port)
{
	const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? errno : 0;
}

static int
take_a_port_of_root(void)
{
	return bind_to(IPPORT_RESERVED - 1);
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
	bool by_landlock; /* not to be tried without */
} tries[] = {
    {"open-a-file", open_a_file, true},
    {"list-a-folder", list_a_folder, true},
    {"write-to-a-file", write_to_a_file, true},
    {"make-a-file", make_a_file, true},
    {"make-a-folder", make_a_folder, true},
    {"signal-parent-and-core", signal_parent_and_core, false},
    {"trace-parent-and-core", trace_parent_and_core, false},
    {"read-parent-and-core", read_parent_and_core, false},
    {"take-a-capability", take_a_capability, false},
    {"become-root", become_root, false},
    {"become-another", become_another, false},
    {"become-another-group", become_another_group, false},
    {"make-a-process", make_a_process, false},
    {"start-a-program", start_a_program, true},
    {"make-a-raw-socket", make_a_raw_socket, false},
    {"take-a-port-of-root", take_a_port_of_root, false},
    {"take-much-memory", take_much_memory, false},
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

static int
port(void)
{
	return bind_to(IPPORT_RESERVED);
}

int
main(int argc, char **argv)
{
	char why[256] = "no interface", packet[65536];
	int landlock = 0;

	report("descriptors", descriptors());
	report("environment", environment());
	if (argc != 2 || !sandbox_confine_worker(&landlock, why, sizeof(why))) {
		dprintf(STDERR_FILENO, "probe: not confined: %s\n", why);
		return 1;
	}
	report("landlock", -landlock);
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++)
		if (!landlock || !tries[i].by_landlock)
			report(tries[i].name, tries[i].try());
	report("udp-socket", udp_socket());
	report("port", port());
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
