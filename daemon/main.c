/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, start order, stop order; nothing else. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/instance.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "core/engine.h"
#include "frontends/control.h"
#include "frontends/gateway.h"
#include "../backend/firewall.h"
#include "../backend/listeners.h"
#include "../backend/network.h"

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};
enum { STOP_SIGNALS = sizeof(stop_signals) / sizeof(stop_signals[0]) };

struct daemon {
	struct config *config;
	struct event_base *base;
	struct network *network;
	struct firewall *firewall;
	struct listeners *listeners;
	struct policy *policy;
	struct engine *engine;
	struct gateway *gateway;
	struct control *control;
	struct event *stop[STOP_SIGNALS];
	monotime started;
};

static uint32_t
random_bits(void *arg)
{
	(void)arg;
	return arc4random();
}

static bool
is_listening(void *arg, enum transport transport, uint16_t port)
{
	const struct daemon *d = arg;
	const struct topology *t = gateway_topology(d->gateway);

	for (size_t i = 0; i < t->own_addresses; i++) {
		struct endpoint at = {t->firewall.wan_address[i], port};

		if (listeners_busy(d->listeners, transport, &at, t->wan_index))
			return true;
	}
	return false;
}

static void
make_state_directory(const char *path, const struct sandbox_user *user)
{
	int fd;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		fatal("cannot make %s: %s", path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, user->uid, user->gid) != 0)
		fatal("cannot take over %s: %s", path, strerror(errno));
	close(fd);
}

/* What needs privileges; the control socket is the only file left for later. */
static int
enter_sandbox(const struct config *config)
{
	struct sandbox_user user;
	char why[256];
	int control;

	if (!sandbox_find_user(config->user, &user))
		fatal("no such user: %s", config->user);
	make_state_directory(config->state_directory, &user);
	control = control_bind(config, why, sizeof(why));
	if (control < 0 || !sandbox_enter(&user, why, sizeof(why)))
		fatal("%s", why);
	return control;
}

static void
open_backend(struct daemon *d)
{
	const struct config *config = d->config;
	const struct firewall_options options = {.source_nat = config->wan.source_nat};
	const char **names = calloc(1 + config->lans, sizeof(*names));
	struct fault fault;

	if (!names)
		fatal("out of memory");
	names[TOPOLOGY_WAN] = config->wan.interface;
	for (size_t i = 0; i < config->lans; i++)
		names[TOPOLOGY_FIRST_LAN + i] = config->lan[i].interface;
	if (network_open(&d->network, names, 1 + config->lans, &fault) < 0 ||
	    firewall_open(&d->firewall, &options, &fault) < 0 ||
	    listeners_open(&d->listeners, &fault) < 0)
		fatal("%s", fault.text);
	free(names);
}

static void
new_engine(struct daemon *d)
{
	d->policy = policy_new(d->config->rule, d->config->rules);
	d->engine = engine_new(
	    &(struct engine_options){
		.policy = d->policy,
		.firewall = d->firewall,
		.max_mappings_per_client = d->config->max_mappings_per_client,
		.ports =
		    {
			.random_ports = d->config->random_ports,
			.ephemeral = listeners_ephemeral(),
			.random = random_bits,
			.listening = is_listening,
			.listening_arg = d,
		    },
	    },
	    d->started);
	if (!d->policy || !d->engine)
		fatal("out of memory");
}

static void
on_stop(evutil_socket_t number, short events, void *arg)
{
	struct daemon *d = arg;

	(void)events;
	log_info("daemon", "stopping", "signal=%d", (int)number);
	event_base_loopbreak(d->base);
}

static void
open_loop(struct daemon *d)
{
	d->base = event_base_new();
	for (int i = 0; d->base && i < STOP_SIGNALS; i++) {
		d->stop[i] = evsignal_new(d->base, stop_signals[i], on_stop, d);
		if (!d->stop[i] || event_add(d->stop[i], NULL) != 0)
			fatal("cannot watch signals");
	}
	if (!d->base)
		fatal("cannot make an event loop");
	signal(SIGPIPE, SIG_IGN);
}

static void
open_frontends(struct daemon *d, int control, gid_t group)
{
	const struct gateway_options gateway = {
	    .base = d->base,
	    .engine = d->engine,
	    .config = d->config,
	    .network = d->network,
	    .firewall = d->firewall,
	};
	struct control_options options = {
	    .base = d->base,
	    .engine = d->engine,
	    .config = d->config,
	    .fd = control,
	    .group = group,
	    .started = d->started,
	    .now = clock_now,
	    .changed = gateway_changed,
	    .interface = gateway_interface,
	};
	char why[256];

	d->gateway = gateway_new(&gateway, why, sizeof(why));
	if (!d->gateway)
		fatal("%s", why);
	options.arg = d->gateway;
	d->control = control_new(&options);
	if (!d->control)
		fatal("out of memory");
}

static void
start(struct daemon *d)
{
	gid_t group = control_group();
	int control = enter_sandbox(d->config);

	d->started = clock_now();
	open_loop(d);
	open_backend(d);
	new_engine(d);
	open_frontends(d, control, group);
	log_info("daemon", "ready", "version=%s pid=%d", PORTLEASE_VERSION, (int)getpid());
}

static void
stop(struct daemon *d)
{
	struct fault fault;

	if (firewall_destroy(d->firewall, &fault) < 0)
		log_error("firewall", "table not removed", "error=\"%s\"", fault.text);
	control_free(d->control);
	gateway_free(d->gateway);
	engine_free(d->engine);
	policy_free(d->policy);
	listeners_close(d->listeners);
	firewall_close(d->firewall);
	network_close(d->network);
	for (int i = 0; i < STOP_SIGNALS; i++)
		event_free(d->stop[i]);
	event_base_free(d->base);
	config_free(d->config);
}

static const char usage[] =
    "usage: portleased [-hnv] [-f FILE]\n"
    "  -f FILE  configuration (" PORTLEASE_SYSCONFDIR "/portlease/portlease.conf)\n"
    "  -n       check it and exit\n"
    "  -v       print the version and exit\n"
    "  -h       print this and exit\n";

struct arguments {
	const char *file;
	bool check;
};

static struct arguments
read_arguments(int argc, char **argv)
{
	static const struct option names[] = {
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'v'},
	    {NULL, 0, NULL, 0},
	};
	struct arguments a = {.file = PORTLEASE_SYSCONFDIR "/portlease/portlease.conf"};
	int option;

	while ((option = getopt_long(argc, argv, "f:hnv", names, NULL)) != -1) {
		switch (option) {
		case 'f':
			a.file = optarg;
			break;
		case 'n':
			a.check = true;
			break;
		case 'v':
			puts("portleased " PORTLEASE_VERSION);
			exit(0);
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(1);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		exit(1);
	}
	return a;
}

int
main(int argc, char **argv)
{
	struct arguments arguments = read_arguments(argc, argv);
	struct daemon d = {.base = NULL};
	char why[512];
	int lock;

	d.config = config_read(arguments.file, why, sizeof(why));
	if (!d.config)
		fatal("%s", why);
	if (arguments.check) {
		config_free(d.config);
		return 0;
	}
	log_open(d.config->log_target, d.config->log_level);
	lock = instance_lock(why, sizeof(why));
	if (lock < 0)
		fatal("%s", why);
	start(&d);
	event_base_dispatch(d.base);
	stop(&d);
	close(lock);
	return 0;
}
