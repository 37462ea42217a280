/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * portleased-upnp IFACE: the UPnP gateway device of one LAN, in a process that may do nothing but
 * speak on it.  Start order, what the core tells, stop order.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_point.h"
#include "discovery.h"
#include "../base/log.h"
#include "../base/sandbox.h"

enum { RETRY_SECONDS = 5 };

struct worker {
	const char *interface;
	int landlock; /* 0 or -errno: the kernel lacks it */
	struct event_base *base;
	struct core_client *core;
	struct device device;
	bool told[LINK_TYPES];
	bool serves;
	struct http_server *http;
	struct events *events;
	struct discovery *discovery;
	struct control_point control;
	struct event *retry, *second, *terminate, *interrupt;
	struct link_stats stats; /* as told last */
	bool complained, stops, failed;
};

static void
stop(struct worker *w, bool failed)
{
	w->stops = true;
	w->failed |= failed;
	event_base_loopbreak(w->base);
}

/* --- serving --- */

static bool
is_ours(void *who, const struct address *address)
{
	return device_is_ours(((struct control_point *)who)->device, address);
}

static bool
is_client(void *who, const struct address *address)
{
	return device_is_client(((struct control_point *)who)->device, address);
}

/* What is tried again and again is complained of once. */
static void
complain(struct worker *w, const char *what, int error)
{
	const enum log_level level = w->complained ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING;

	log_line(level, "upnp", what, "interface=%s port=%u error=\"%s\"", w->interface,
		 w->device.setup.http_port, strerror(-error));
	w->complained = true;
}

/* Tries until it can be had: an interface may be there and not yet ready, a port may be taken. */
static void
follow_lan(struct worker *w, const struct link_lan *before)
{
	const struct link_lan *lan = &w->device.lan;
	const struct timeval later = {RETRY_SECONDS, 0};
	const char *what = "cannot listen";
	int error = 0;

	if (!before || before->index != lan->index)
		error = http_server_listen(w->http, lan->interface, lan->index);
	if (!error) {
		what = "cannot be discovered";
		error = discovery_lan(w->discovery, before);
	}
	if (error) {
		complain(w, what, error);
		event_add(w->retry, &later);
		return;
	}
	w->complained = false;
	event_del(w->retry);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	follow_lan(arg, NULL);
}

static struct http_server *
make_http_server(struct worker *w)
{
	const struct link_setup *setup = &w->device.setup;
	const struct http_options options = {
	    .base = w->base,
	    .port = setup->http_port,
	    .connections_per_client = setup->http_connections_per_client,
	    .connections = setup->http_connections,
	    .requests_per_second = setup->http_requests_per_second,
	    .request_time = setup->http_request_timeout * MONOTIME_SECOND,
	    .answer_time = setup->http_answer_timeout * MONOTIME_SECOND,
	    .server = w->device.server,
	    .is_ours = is_ours,
	    .is_client = is_client,
	    .handle = control_point_handle,
	    .who = &w->control,
	};

	return http_server_new(&options);
}

/* Once all is told. */
static bool
serve(struct worker *w)
{
	w->http = make_http_server(w);
	w->events = events_new(w->base, &w->device);
	w->discovery = discovery_new(w->base, &w->device);
	if (!w->http || !w->events || !w->discovery)
		return false;
	w->control = (struct control_point){&w->device, w->core, w->events, 0};
	w->serves = true;
	follow_lan(w, NULL);
	core_client_say_ready(w->core);
	log_info("upnp", "serving", "interface=%s port=%u", w->interface,
		 w->device.setup.http_port);
	return true;
}

static void
take_setup(struct worker *w, const struct link_setup *setup)
{
	log_open(setup->log_to_syslog ? LOG_TARGET_SYSLOG : LOG_TARGET_STDERR,
		 (enum log_level)setup->log_level);
	if (w->landlock)
		log_warning("sandbox", "no landlock", "error=\"%s\"", strerror(-w->landlock));
	device_set_up(&w->device, setup);
}

static void
take_lan(struct worker *w, const struct link_lan *lan)
{
	const struct link_lan before = w->device.lan;

	w->device.lan = *lan;
	if (w->serves)
		follow_lan(w, event_pending(w->retry, EV_TIMEOUT, NULL) ? NULL : &before);
}

static void
take_state(struct worker *w, const struct link_state *state)
{
	const struct link_state before = w->device.state;

	w->device.state = *state;
	if (!w->serves)
		return;
	events_changed(w->events, &before);
	if (!address_equal(&before.external, &state->external) &&
	    !address_is_unspecified(&state->external))
		discovery_announce(w->discovery);
}

static void
on_told(void *who, const struct link_message *message)
{
	struct worker *w = who;

	if (message->type == LINK_SETUP)
		take_setup(w, &message->setup);
	else if (message->type == LINK_LAN)
		take_lan(w, &message->lan);
	else
		take_state(w, &message->state);
	w->told[message->type] = true;
	if (!w->serves && w->told[LINK_SETUP] && w->told[LINK_LAN] && w->told[LINK_STATE] &&
	    !serve(w)) {
		log_error("upnp", "cannot serve", "error=\"%s\"", strerror(errno));
		stop(w, true);
	}
}

static void
on_gone(void *who, const char *why)
{
	log_info("upnp", "the core is gone", "why=\"%s\"", why);
	stop(who, false);
}

/* --- counting --- */

static void
count(const struct worker *w, struct link_stats *out)
{
	static const enum link_stat http[HTTP_COUNTS] = {
	    [HTTP_OPEN] = LINK_HTTP_CONNECTIONS, [HTTP_ACCEPTED] = LINK_HTTP_ACCEPTED,
	    [HTTP_SURPLUS] = LINK_HTTP_SURPLUS,	 [HTTP_REQUESTS] = LINK_HTTP_REQUESTS,
	    [HTTP_LIMITED] = LINK_HTTP_LIMITED,	 [HTTP_REFUSED] = LINK_HTTP_REFUSED,
	};
	struct discovery_counts searches = discovery_counts(w->discovery);
	struct events_counts events = events_counts(w->events);

	for (int i = 0; i < HTTP_COUNTS; i++)
		out->count[http[i]] = http_server_counts(w->http)[i];
	out->count[LINK_SSDP_SEARCHES] = searches.searches;
	out->count[LINK_SSDP_REPLIED] = searches.replied;
	out->count[LINK_SSDP_LIMITED] = searches.limited;
	out->count[LINK_GENA_SUBSCRIPTIONS] = events.subscriptions;
	out->count[LINK_GENA_DELIVERED] = events.delivered;
	out->count[LINK_GENA_FAILED] = events.failed;
}

static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct link_stats stats = {0};

	(void)fd, (void)what;
	count(w, &stats);
	if (core_client_say_stats(w->core, &stats))
		w->stats = stats;
}

/* After each turn of the loop: who idles need not be woken to count that. */
static void
notice(struct worker *w)
{
	const struct timeval second = {1, 0};
	struct link_stats stats = {0};

	if (!w->serves || event_pending(w->second, EV_TIMEOUT, NULL))
		return;
	count(w, &stats);
	if (memcmp(&stats, &w->stats, sizeof(stats)) != 0)
		event_add(w->second, &second);
}

/* --- the process --- */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number, (void)what;
	stop(arg, false);
}

static void
start(struct worker *w)
{
	w->base = event_base_new();
	if (!w->base)
		fatal("no event loop: %s", strerror(errno));
	w->core = core_client_new(&(struct core_client_options){
	    .base = w->base, .fd = LINK_FD, .told = on_told, .gone = on_gone, .who = w});
	w->retry = event_new(w->base, -1, 0, on_retry, w);
	w->second = event_new(w->base, -1, 0, on_second, w);
	w->terminate = evsignal_new(w->base, SIGTERM, on_signal, w);
	w->interrupt = evsignal_new(w->base, SIGINT, on_signal, w);
	if (!w->core || !w->retry || !w->second || !w->terminate || !w->interrupt ||
	    event_add(w->terminate, NULL) || event_add(w->interrupt, NULL))
		fatal("cannot start: %s", strerror(errno));
}

/* The device says byebye first; exchanges hold what the others own, so HTTP ends before them. */
static void
finish(struct worker *w)
{
	discovery_free(w->discovery);
	http_server_free(w->http);
	events_free(w->events);
	core_client_free(w->core);
	event_free(w->retry);
	event_free(w->second);
	event_free(w->terminate);
	event_free(w->interrupt);
	event_base_free(w->base);
}

static bool
is_link(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

int
main(int argc, char **argv)
{
	static struct worker worker;
	char why[256];

	if (argc != 2 || !is_link(LINK_FD))
		fatal("this program is started by portleased");
	prctl(PR_SET_NAME, "portleased-upnp"); /* not the number it was started by */
	if (!sandbox_confine_worker(&worker.landlock, why, sizeof(why)))
		fatal("%s", why);
	signal(SIGPIPE, SIG_IGN);
	worker.interface = argv[1];
	start(&worker);
	while (!worker.stops && event_base_loop(worker.base, EVLOOP_ONCE) == 0)
		notice(&worker);
	finish(&worker);
	return worker.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
