/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spawner.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/parent_link.h"
#include "../base/respawn.h"

enum { OTHER_FILES = 256 }; /* what a worker has open beside its clients' connections */

struct worker {
	struct spawner *spawner;
	struct event *timer;
	struct respawn pace;
	bool asked; /* ever */
	bool waits; /* for the parent's answer */
};

#define FROM_PARENT                                                                         \
	(PARENT_BIT(PARENT_SPAWNED) | PARENT_BIT(PARENT_PING) | PARENT_BIT(PARENT_RELOAD) | \
	 PARENT_BIT(PARENT_CONFIG))

struct spawner {
	struct spawner_options options;
	size_t lans;
	struct event *link;
	struct worker worker[]; /* one a LAN */
};

static size_t
lan_of(const struct worker *w)
{
	return (size_t)(w - w->spawner->worker);
}

static void
tell(struct worker *w, int fd, pid_t pid)
{
	const struct spawner_options *options = &w->spawner->options;

	options->spawned(options->arg, lan_of(w), fd, pid);
}

static void
start_later(struct worker *w)
{
	monotime now = clock_now();
	monotime rest = respawn_at(&w->pace, now) - now;
	const struct timeval in = {rest / 1000, rest % 1000 * 1000};

	if (rest > 0)
		log_warning("upnp", "worker rests", "lan-number=%zu seconds=%d", lan_of(w),
			    (int)in.tv_sec);
	event_add(w->timer, &in);
}

static void
start(struct worker *w)
{
	const struct config *config = w->spawner->options.config;
	struct parent_message message = {
	    .type = PARENT_SPAWN,
	    .lan = (uint32_t)lan_of(w),
	    .number =
		config->upnp.http_connections + config->upnp.event_subscriptions + OTHER_FILES,
	};
	int error;

	_Static_assert((int)sizeof(message.interface) == (int)CONFIG_INTERFACE_SIZE, "fits");
	memcpy(message.interface, config->lan[lan_of(w)].interface, sizeof(message.interface));
	error = parent_link_send(w->spawner->options.fd, &message, -1);
	w->asked = true;
	w->waits = error == 0;
	if (error == 0)
		return;
	log_error("upnp", "worker not asked for", "error=\"%s\"", strerror(-error));
	start_later(w);
	tell(w, error, 0);
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	start(arg);
}

static void
on_spawned(struct spawner *s, const struct parent_message *message, int fd)
{
	struct worker *w = &s->worker[message->lan];

	w->waits = false;
	if (message->result < 0 && message->result != -ENOENT)
		start_later(w);
	if (message->result < 0)
		tell(w, message->result, 0);
	else
		tell(w, fd, message->result);
}

static void
answer_ping(const struct spawner *s)
{
	const struct parent_message message = {.type = PARENT_ALIVE};

	parent_link_send(s->options.fd, &message, -1); /* what is lost is asked for again */
}

/* False: it must not be. */
static bool
on_message(struct spawner *s, const struct parent_message *message, int fd)
{
	const struct spawner_options *options = &s->options;

	switch (message->type) {
	case PARENT_PING:
		answer_ping(s);
		return true;
	case PARENT_RELOAD:
		options->reload(options->arg);
		return true;
	case PARENT_CONFIG:
		options->got_config(options->arg, message->result < 0 ? message->result : fd);
		return true;
	default:
		if (message->lan >= s->lans || !s->worker[message->lan].waits)
			return false;
		on_spawned(s, message, fd);
		return true;
	}
}

static void
on_link(evutil_socket_t link, short events, void *arg)
{
	struct spawner *s = arg;
	struct parent_message message;
	int fd;

	(void)events;
	switch (parent_link_receive(link, FROM_PARENT, &message, &fd)) {
	case PARENT_LINK_NOTHING:
		break;
	case PARENT_LINK_GOT:
		if (on_message(s, &message, fd))
			break;
		if (fd >= 0)
			close(fd);
		/* fall through */
	case PARENT_LINK_BAD:
		log_error("parent", "wrong message", "");
		break;
	case PARENT_LINK_ENDED:
		event_del(s->link);
		s->options.gone(s->options.arg);
		break;
	}
}

struct spawner *
spawner_new(const struct spawner_options *options)
{
	size_t lans = options->config->lans;
	struct spawner *s = calloc(1, sizeof(*s) + lans * sizeof(s->worker[0]));

	if (!s) {
		close(options->fd);
		return NULL;
	}
	s->options = *options;
	s->lans = lans;
	s->link = event_new(options->base, options->fd, EV_READ | EV_PERSIST, on_link, s);
	bool ok = s->link && event_add(s->link, NULL) == 0;
	for (size_t i = 0; i < lans; i++) {
		s->worker[i].spawner = s;
		s->worker[i].timer = evtimer_new(options->base, on_timer, &s->worker[i]);
		ok = ok && s->worker[i].timer;
	}
	if (ok)
		return s;
	spawner_free(s);
	return NULL;
}

void
spawner_free(struct spawner *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->lans; i++)
		if (s->worker[i].timer)
			event_free(s->worker[i].timer);
	if (s->link)
		event_free(s->link);
	close(s->options.fd);
	free(s);
}

void
spawner_request(struct spawner *s, size_t lan)
{
	struct worker *w = &s->worker[lan];

	if (w->waits || evtimer_pending(w->timer, NULL))
		return;
	if (w->asked)
		start_later(w);
	else
		start(w);
}

void
spawner_ready(struct spawner *s)
{
	const struct parent_message message = {.type = PARENT_READY};
	int error = parent_link_send(s->options.fd, &message, -1);

	if (error < 0)
		log_error("parent", "not told that the core serves", "error=\"%s\"",
			  strerror(-error));
}

int
spawner_ask_config(struct spawner *s)
{
	const struct parent_message message = {.type = PARENT_RELOAD};

	return parent_link_send(s->options.fd, &message, -1);
}

void
spawner_reloaded(struct spawner *s, int result, uint32_t log_level)
{
	const struct parent_message message = {
	    .type = PARENT_RELOADED, .result = result, .number = log_level};
	int error = parent_link_send(s->options.fd, &message, -1);

	if (error < 0)
		log_error("parent", "not told of the configuration", "error=\"%s\"",
			  strerror(-error));
}
