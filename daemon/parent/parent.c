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
#include "../base/log.h"
#include "../base/notify.h"
#include "../base/respawn.h"
#include "../base/sandbox.h"
#include "child.h"

#define WORKERS_GRACE (1 * MONOTIME_SECOND) /* to say goodbye after the core ended */
enum { OTHER_FILES = 256 }; /* what a worker has open beside its clients' connections */
#define FROM_CORE (PARENT_BIT(PARENT_READY) | PARENT_BIT(PARENT_SPAWN) | PARENT_BIT(PARENT_ALIVE))

struct parent {
	struct parent_options options;
	struct notify notify;
	struct sandbox_user worker_user;
	int program; /* the workers'; -1: there are none */
	int null;
	int text; /* the configuration */
	int signals;
	int link;      /* to the core */
	pid_t core;    /* 0: it is not running */
	pid_t *worker; /* by LAN; 0: none */
	struct respawn pace;
	monotime restart; /* MONOTIME_NEVER: not now */
	monotime ping;	  /* the next, of the core; MONOTIME_NEVER: the watchdog is off */
	bool ready;	  /* a core served once */
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

/* Each core reads what this process read, whatever became of the file; none can change it. */
static void
open_text(struct parent *p)
{
	const char *text = p->options.config->text;
	size_t length = strlen(text);

	p->text = memfd_create("portlease.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (p->text < 0 || write(p->text, text, length) != (ssize_t)length ||
	    fcntl(p->text, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) <
		0)
		fatal("cannot keep the configuration: %s", strerror(errno));
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
	p->worker = calloc(config->lans, sizeof(*p->worker));
	p->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (!p->worker || p->null < 0)
		fatal("cannot prepare for workers: %s", strerror(errno));
	why = config->upnp.on ? no_workers(p) : NULL;
	if (why)
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

		p->core = child_start_core(fd);
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
kill_worker(struct parent *p, size_t lan)
{
	if (p->worker[lan] == 0)
		return;
	kill(p->worker[lan], SIGKILL);
	waitpid(p->worker[lan], NULL, 0);
	p->worker[lan] = 0;
}

/* Its process, or -errno. */
static int
start_worker(struct parent *p, size_t lan, int link)
{
	const struct config *config = p->options.config;
	pid_t pid = child_start_worker(&(struct child_worker){
	    .program = p->program,
	    .link = link,
	    .null = p->null,
	    .files = config->upnp.http_connections + config->upnp.event_subscriptions + OTHER_FILES,
	    .user = p->worker_user,
	    .interface = config->lan[lan].interface,
	});

	if (pid < 0)
		return pid;
	p->worker[lan] = pid;
	log_info("parent", "worker started", "lan=%s pid=%d", config->lan[lan].interface, (int)pid);
	return pid;
}

static void
on_spawn(struct parent *p, uint32_t lan)
{
	struct parent_message answer = {PARENT_SPAWNED, lan, -ENOENT};
	int pair[2] = {-1, -1};

	kill_worker(p, lan);
	if (p->program >= 0)
		answer.result = parent_link_pair(pair);
	if (answer.result == 0)
		answer.result = start_worker(p, lan, pair[1]);
	/* A core that cannot be answered is ending, and the worker ends with its link. */
	parent_link_send(p->link, &answer, answer.result > 0 ? pair[0] : -1);
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

static void
on_ready(struct parent *p)
{
	p->ready = true;
	notify_ready(&p->notify);
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
		if (message.type == PARENT_READY)
			on_ready(p);
		else if (message.type == PARENT_ALIVE)
			notify_alive(&p->notify);
		else if (message.lan < p->options.config->lans)
			on_spawn(p, message.lan);
		else
			break;
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
	for (size_t lan = 0; lan < p->options.config->lans; lan++) {
		if (p->worker[lan] != pid)
			continue;
		p->worker[lan] = 0;
		log_info("parent", "worker ended", "lan=%s pid=%d signal=%d status=%d",
			 p->options.config->lan[lan].interface, (int)pid,
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
	const struct parent_message message = {PARENT_PING, 0, 0};

	if (p->notify.watchdog == MONOTIME_NEVER || now < p->ping)
		return;
	p->ping = now + p->notify.watchdog / 2;
	if (p->link >= 0)
		parent_link_send(p->link, &message, -1);
}

static bool
has_workers(const struct parent *p)
{
	for (size_t lan = 0; lan < p->options.config->lans; lan++)
		if (p->worker[lan] > 0)
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
	for (size_t lan = 0; lan < p->options.config->lans; lan++)
		kill_worker(p, lan);
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
		wait_until(&p, p.restart < p.ping ? p.restart : p.ping);
		ping_core(&p, clock_now());
		if (!p.done && p.restart <= clock_now())
			start_core(&p);
	}
	end_workers(&p);
	free(p.worker);
	notify_close(&p.notify);
	return p.status;
}
