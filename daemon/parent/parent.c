/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/config_text.h"
#include "../base/log.h"
#include "../base/notify.h"
#include "../base/respawn.h"
#include "../base/sandbox.h"
#include "child.h"

#define WORKERS_GRACE (1 * MONOTIME_SECOND)  /* to say goodbye after the core ended */
#define NOTIFY_PAUSE  (MONOTIME_SECOND / 10) /* for a manager that has no room */
enum {
	FILES_MAX = 16384, /* a core that wants more is not ours */
};
#define FROM_CORE                                                                         \
	(PARENT_BIT(PARENT_READY) | PARENT_BIT(PARENT_SPAWN) | PARENT_BIT(PARENT_ALIVE) | \
	 PARENT_BIT(PARENT_RELOAD) | PARENT_BIT(PARENT_RELOADED))

struct child {
	pid_t pid; /* 0: none */
	char interface[sizeof(((struct parent_message *)0)->interface)];
};

struct parent {
	struct parent_options options;
	struct notify notify;
	struct sandbox_user worker_user;
	int program; /* the workers'; -1: there are none */
	int null;
	int text;     /* the configuration that holds */
	int new_text; /* the one that the core looks at; -1: none */
	int signals;
	int link;			     /* to the core */
	pid_t core;			     /* 0: it is not running */
	struct child worker[PARENT_WORKERS]; /* by the core's number */
	struct respawn pace;
	monotime restart; /* MONOTIME_NEVER: not now */
	monotime ping;	  /* the next, of the core; MONOTIME_NEVER: the watchdog is off */
	bool ready;	  /* a core served once */
	bool reload;	  /* wanted, and no core has asked for the text since */
	bool stopping;
	bool done;
	int status;
};

static void
open_signals(struct parent *p)
{
	static const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		sigaddset(&set, wanted[i]);
	p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signals < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		fatal("cannot watch signals: %s", strerror(errno));
}

/* Each core reads what this process read, whatever became of the file; none can change it.  A
 * descriptor or -1. */
static int
keep_text(const char *text, size_t length)
{
	int fd = memfd_create("portlease.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && write(fd, text, length) == (ssize_t)length &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void
open_text(struct parent *p)
{
	p->new_text = -1;
	p->text = keep_text(p->options.config->text, strlen(p->options.config->text));
	if (p->text < 0)
		fatal("cannot keep the configuration: %s", strerror(errno));
}

/* The file's octets as they are now, and one more than may be if it is too large.  A descriptor or
 * -errno. */
static int
read_text(const char *path)
{
	size_t room = CONFIG_TEXT_MAX + 1, length = 0;
	/* A name of no file must not hold us up. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), text = -1, error;
	char *buffer = malloc(room);
	ssize_t got = fd >= 0 && buffer ? 1 : -1;

	while (got > 0 && length < room) {
		got = read(fd, buffer + length, room - length);
		length += got > 0 ? (size_t)got : 0;
	}
	if (got >= 0)
		text = keep_text(buffer, length);
	error = errno;
	free(buffer);
	if (fd >= 0)
		close(fd);
	return text < 0 ? -error : text;
}

/* NULL: workers can be had. */
static const char *
no_workers(struct parent *p)
{
	const struct config *config = p->options.config;
	struct sandbox_user user;

	if (!sandbox_may_change_user())
		return "not started as root";
	if (!sandbox_find_user(config->upnp.worker_user, &p->worker_user))
		return "there is no such user";
	if (p->worker_user.uid == 0)
		return "it must not be root";
	if (!sandbox_find_user(config->user, &user) || user.uid == p->worker_user.uid)
		return "it must be another than user";
	p->program = child_find_worker();
	return p->program < 0 ? "portleased-upnp is not installed" : NULL;
}

static void
find_workers(struct parent *p)
{
	const struct config *config = p->options.config;
	const char *why;

	p->program = -1;
	p->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (p->null < 0)
		fatal("cannot prepare for workers: %s", strerror(errno));
	why = no_workers(p);
	if (why && config->upnp.on)
		log_warning("upnp", "off", "worker-user=%s reason=\"%s\"", config->upnp.worker_user,
			    why);
}

static void
start_core(struct parent *p)
{
	int pair[2];
	int error = parent_link_pair(pair);

	p->restart = MONOTIME_NEVER;
	if (error == 0) {
		const int fd[] = {pair[1], p->options.control, p->options.lock, p->text};

		p->core = child_start_core(fd, p->options.path);
		error = p->core < 0 ? p->core : 0;
		close(pair[1]);
		if (error < 0)
			close(pair[0]);
	}
	if (error == 0) {
		p->link = pair[0];
		return;
	}
	p->core = 0;
	log_error("parent", "core not started", "error=\"%s\"", strerror(-error));
	p->restart = respawn_at(&p->pace, clock_now());
}

static void
kill_worker(struct child *worker)
{
	if (worker->pid == 0)
		return;
	kill(worker->pid, SIGKILL);
	waitpid(worker->pid, NULL, 0);
	worker->pid = 0;
}

/* Its process, or -errno. */
static int
start_worker(struct parent *p, const struct parent_message *wanted, int link)
{
	struct child *worker = &p->worker[wanted->lan];
	pid_t pid;

	memcpy(worker->interface, wanted->interface, sizeof(worker->interface));
	pid = child_start_worker(&(struct child_worker){
	    .program = p->program,
	    .link = link,
	    .null = p->null,
	    .files = wanted->number < FILES_MAX ? wanted->number : FILES_MAX,
	    .user = p->worker_user,
	    .interface = worker->interface,
	});
	if (pid < 0)
		return pid;
	worker->pid = pid;
	log_info("parent", "worker started", "lan=%s pid=%d", worker->interface, (int)pid);
	return pid;
}

static void
on_spawn(struct parent *p, const struct parent_message *wanted)
{
	struct parent_message answer = {
	    .type = PARENT_SPAWNED, .lan = wanted->lan, .result = -ENOENT};
	int pair[2] = {-1, -1};

	kill_worker(&p->worker[wanted->lan]);
	if (p->program >= 0)
		answer.result = parent_link_pair(pair);
	if (answer.result == 0)
		answer.result = start_worker(p, wanted, pair[1]);
	/* A core that cannot be answered is ending, and the worker ends with its link. */
	parent_link_send(p->link, &answer, answer.result > 0 ? pair[0] : -1);
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

/* Whoever wants it, it is the core that knows when; it asks for the text. */
static void
tell_reload(struct parent *p)
{
	const struct parent_message message = {.type = PARENT_RELOAD};

	notify_reloading(&p->notify);
	p->reload = true;
	if (p->link >= 0)
		parent_link_send(p->link, &message, -1);
}

static void
forget_new_text(struct parent *p)
{
	if (p->new_text >= 0)
		close(p->new_text);
	p->new_text = -1;
}

static void
on_reload(struct parent *p, const struct parent_message *message)
{
	struct parent_message answer = {.type = PARENT_CONFIG};

	(void)message;
	notify_reloading(&p->notify);
	forget_new_text(p);
	p->reload = false;
	p->new_text = read_text(p->options.path);
	if (p->new_text < 0)
		answer.result = p->new_text;
	parent_link_send(p->link, &answer, p->new_text); /* one that fails is ending */
}

/* The next core begins with what this one goes on with. */
static void
on_reloaded(struct parent *p, const struct parent_message *message)
{
	if (message->result == 0 && p->new_text >= 0) {
		close(p->text);
		p->text = p->new_text;
		p->new_text = -1;
		if (message->number < LOG_LEVELS)
			log_open(p->options.config->log_target, (enum log_level)message->number);
	}
	forget_new_text(p);
	notify_ready(&p->notify);
}

static void
on_ready(struct parent *p, const struct parent_message *message)
{
	(void)message;
	p->ready = true;
	notify_ready(&p->notify);
	if (p->reload)
		tell_reload(p);
}

static void
on_alive(struct parent *p, const struct parent_message *message)
{
	(void)message;
	notify_alive(&p->notify);
}

static void (*const from_core[PARENT_TYPES])(struct parent *, const struct parent_message *) = {
    [PARENT_READY] = on_ready,	 [PARENT_SPAWN] = on_spawn,	  [PARENT_ALIVE] = on_alive,
    [PARENT_RELOAD] = on_reload, [PARENT_RELOADED] = on_reloaded,
};

static bool
is_sane(const struct parent_message *message)
{
	return message->type == PARENT_SPAWN
		   ? message->lan < PARENT_WORKERS && message->interface[0]
		   : message->lan == 0;
}

static void
on_link(struct parent *p)
{
	struct parent_message message;

	switch (parent_link_receive(p->link, FROM_CORE, &message, NULL)) {
	case PARENT_LINK_NOTHING:
		return;
	case PARENT_LINK_ENDED: /* SIGCHLD tells the rest */
		close(p->link);
		p->link = -1;
		return;
	case PARENT_LINK_GOT:
		if (!is_sane(&message))
			break;
		from_core[message.type](p, &message);
		return;
	case PARENT_LINK_BAD:
		break;
	}
	log_error("parent", "wrong message from the core", "");
}

static void
on_core_end(struct parent *p, int status)
{
	bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	monotime now = clock_now();

	p->core = 0;
	if (p->link >= 0)
		close(p->link);
	p->link = -1;
	/* Not tried again: it may be what the core ended of. */
	if (p->new_text >= 0)
		log_error("config", "refused", "reason=\"the core ended\"");
	forget_new_text(p);
	p->done = p->stopping || !failed || !p->ready;
	p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	if (!p->done)
		p->restart = respawn_at(&p->pace, now);
	if (failed)
		log_error("parent", "core ended", "signal=%d status=%d restart-in-seconds=%d",
			  WIFSIGNALED(status) ? WTERMSIG(status) : 0,
			  WIFEXITED(status) ? WEXITSTATUS(status) : 0,
			  p->done ? -1 : (int)((p->restart - now) / MONOTIME_SECOND));
}

static void
on_worker_end(struct parent *p, pid_t pid, int status)
{
	for (size_t i = 0; i < PARENT_WORKERS; i++) {
		if (p->worker[i].pid != pid)
			continue;
		p->worker[i].pid = 0;
		log_info("parent", "worker ended", "lan=%s pid=%d signal=%d status=%d",
			 p->worker[i].interface, (int)pid,
			 WIFSIGNALED(status) ? WTERMSIG(status) : 0,
			 WIFEXITED(status) ? WEXITSTATUS(status) : 0);
	}
}

static void
reap(struct parent *p)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == p->core)
			on_core_end(p, status);
		else
			on_worker_end(p, pid, status);
	}
}

static void
on_stop(struct parent *p, int number)
{
	p->stopping = true;
	notify_stopping(&p->notify);
	if (p->core > 0) {
		kill(p->core, number);
	} else {
		p->done = true;
		p->status = 0;
	}
}

static void
on_signals(struct parent *p)
{
	struct signalfd_siginfo info;

	while (read(p->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(p);
		else if (info.ssi_signo == SIGHUP)
			tell_reload(p);
		else
			on_stop(p, (int)info.ssi_signo);
	}
}

/* Until one of its descriptors or that time. */
static void
wait_until(struct parent *p, monotime then)
{
	struct pollfd fd[] = {{p->signals, POLLIN, 0}, {p->link, POLLIN, 0}};
	monotime now = clock_now();
	int timeout = then == MONOTIME_NEVER ? -1 : then > now ? (int)(then - now) : 0;

	if (poll(fd, 2, timeout) <= 0)
		return;
	/* First what the core said before it ended. */
	if (fd[1].revents)
		on_link(p);
	if (fd[0].revents)
		on_signals(p);
}

/* The manager's watchdog is told only what the core's loop answers. */
static void
ping_core(struct parent *p, monotime now)
{
	const struct parent_message message = {.type = PARENT_PING};

	if (p->notify.watchdog == MONOTIME_NEVER || now < p->ping)
		return;
	p->ping = now + p->notify.watchdog / 2;
	if (p->link >= 0)
		parent_link_send(p->link, &message, -1);
}

static bool
has_workers(const struct parent *p)
{
	for (size_t i = 0; i < PARENT_WORKERS; i++)
		if (p->worker[i].pid > 0)
			return true;
	return false;
}

/* Their links ended with the core. */
static void
end_workers(struct parent *p)
{
	monotime end = clock_now() + WORKERS_GRACE;

	while (has_workers(p) && clock_now() < end)
		wait_until(p, end);
	for (size_t i = 0; i < PARENT_WORKERS; i++)
		kill_worker(&p->worker[i]);
}

/* When there is something to do although nobody said anything. */
static monotime
next_work(struct parent *p)
{
	monotime next = p->restart < p->ping ? p->restart : p->ping;
	monotime again = notify_again(&p->notify) ? clock_now() + NOTIFY_PAUSE : MONOTIME_NEVER;

	return again < next ? again : next;
}

int
parent_run(const struct parent_options *options)
{
	struct parent p = {.options = *options, .link = -1, .restart = MONOTIME_NEVER};
	char why[256];

	notify_open(&p.notify);
	p.ping = p.notify.watchdog == MONOTIME_NEVER ? MONOTIME_NEVER : clock_now();
	find_workers(&p);
	open_text(&p);
	open_signals(&p);
	if (!sandbox_keep_for_children(why, sizeof(why)))
		fatal("%s", why);
	start_core(&p);
	while (!p.done) {
		wait_until(&p, next_work(&p));
		ping_core(&p, clock_now());
		if (!p.done && p.restart <= clock_now())
			start_core(&p);
	}
	end_workers(&p);
	notify_close(&p.notify);
	return p.status;
}
