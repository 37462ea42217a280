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

/* Its place is the number by which the parent knows it. */
struct worker {
	struct spawner *spawner;
	struct event *timer;
	struct respawn pace;
	size_t lan; /* NO_LAN: free, or left by a reload */
	bool asked; /* ever */
	bool waits; /* for the parent's answer */
};
#define NO_LAN SIZE_MAX

#define FROM_PARENT                                                                         \
	(PARENT_BIT(PARENT_SPAWNED) | PARENT_BIT(PARENT_PING) | PARENT_BIT(PARENT_RELOAD) | \
	 PARENT_BIT(PARENT_CONFIG))

struct spawner {
	struct spawner_options options;
	struct event *link;
	size_t lans;
	struct worker **lan;
	size_t last; /* place that was given out */
	struct worker worker[PARENT_WORKERS];
};

static void
tell(struct worker *w, int fd, pid_t pid)
{
	const struct spawner_options *options = &w->spawner->options;

	options->spawned(options->arg, w->lan, fd, pid);
}

static void
start_later(struct worker *w)
{
	monotime now = clock_now();
	monotime rest = respawn_at(&w->pace, now) - now;
	const struct timeval in = {rest / 1000, rest % 1000 * 1000};

	if (rest > 0)
		log_warning("upnp", "worker rests", "lan=%s seconds=%d",
			    w->spawner->options.config->lan[w->lan].interface, (int)in.tv_sec);
	event_add(w->timer, &in);
}

static void
start(struct worker *w)
{
	const struct config *config = w->spawner->options.config;
	struct parent_message message = {
	    .type = PARENT_SPAWN,
	    .lan = (uint32_t)(w - w->spawner->worker),
	    .number =
		config->upnp.http_connections + config->upnp.event_subscriptions + OTHER_FILES,
	};
	int error;

	_Static_assert((int)sizeof(message.interface) == (int)CONFIG_INTERFACE_SIZE, "fits");
	memcpy(message.interface, config->lan[w->lan].interface, sizeof(message.interface));
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
	if (w->lan == NO_LAN) {
		if (fd >= 0)
			close(fd);
		return;
	}
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
		if (message->lan >= PARENT_WORKERS || !s->worker[message->lan].waits)
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

/* Not the one left last, whose process may still be saying goodbye. */
static struct worker *
free_place(struct spawner *s)
{
	for (size_t i = 1; i <= PARENT_WORKERS; i++) {
		struct worker *w = &s->worker[(s->last + i) % PARENT_WORKERS];

		if (w->lan != NO_LAN || w->waits)
			continue;
		s->last = (size_t)(w - s->worker);
		w->pace = (struct respawn){.deaths = 0};
		w->asked = false;
		return w;
	}
	return NULL;
}

bool
spawner_reload(struct spawner *s, const size_t *origin)
{
	size_t lans = s->options.config->lans;
	struct worker **lan = calloc(lans, sizeof(*lan));
	bool ok = lan;

	for (size_t i = 0; i < s->lans; i++)
		s->lan[i]->lan = NO_LAN;
	for (size_t i = 0; ok && i < lans; i++)
		if (origin && origin[i] != CONFIG_NEW_LAN) {
			lan[i] = s->lan[origin[i]];
			lan[i]->lan = i;
		}
	for (size_t i = 0; i < s->lans; i++)
		if (s->lan[i]->lan == NO_LAN)
			evtimer_del(s->lan[i]->timer);
	for (size_t i = 0; ok && i < lans; i++) {
		if (lan[i])
			continue;
		lan[i] = free_place(s);
		ok = lan[i];
		if (ok)
			lan[i]->lan = i;
	}
	free(s->lan);
	s->lan = lan;
	s->lans = ok ? lans : 0;
	return ok;
}

struct spawner *
spawner_new(const struct spawner_options *options)
{
	struct spawner *s = calloc(1, sizeof(*s));

	if (!s) {
		close(options->fd);
		return NULL;
	}
	s->options = *options;
	s->last = PARENT_WORKERS - 1;
	s->link = event_new(options->base, options->fd, EV_READ | EV_PERSIST, on_link, s);
	bool ok = s->link && event_add(s->link, NULL) == 0;
	for (size_t i = 0; i < PARENT_WORKERS; i++) {
		s->worker[i].spawner = s;
		s->worker[i].lan = NO_LAN;
		s->worker[i].timer = evtimer_new(options->base, on_timer, &s->worker[i]);
		ok = ok && s->worker[i].timer;
	}
	if (ok && spawner_reload(s, NULL))
		return s;
	spawner_free(s);
	return NULL;
}

void
spawner_free(struct spawner *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < PARENT_WORKERS; i++)
		if (s->worker[i].timer)
			event_free(s->worker[i].timer);
	if (s->link)
		event_free(s->link);
	close(s->options.fd);
	free(s->lan);
	free(s);
}

void
spawner_request(struct spawner *s, size_t lan)
{
	struct worker *w = s->lan[lan];

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
