/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ticket is the number of a place.  What the socket does not take waits here, in order: no more
 * than a message a place. */
#include "core_client.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum { READS_AT_ONCE = 64 };

struct place {
	core_answer_fn *answer; /* NULL: free */
	void *arg;
	uint32_t next_free;
};

struct waiting {
	STAILQ_ENTRY(waiting) next;
	size_t size;
	uint8_t bytes[];
};

struct core_client {
	struct core_client_options options;
	struct event *readable, *writable;
	STAILQ_HEAD(, waiting) queue;
	uint32_t free_place; /* CORE_CALLS_MAX: none */
	bool is_gone;
	struct place place[CORE_CALLS_MAX];
	struct link_message message; /* the one being told */
	uint8_t bytes[READS_AT_ONCE][LINK_MESSAGE_MAX + 1];
};

static void
lose(struct core_client *c, const char *why)
{
	if (c->is_gone)
		return;
	c->is_gone = true;
	event_del(c->readable);
	event_del(c->writable);
	c->options.gone(c->options.who, why);
}

/* False: not a ticket of ours. */
static bool
redeem(struct core_client *c, uint32_t ticket)
{
	struct place *place = ticket < CORE_CALLS_MAX ? &c->place[ticket] : NULL;
	core_answer_fn *answer;

	if (!place || !place->answer)
		return false;
	answer = place->answer;
	place->answer = NULL;
	place->next_free = c->free_place;
	c->free_place = ticket;
	answer(place->arg, &c->message);
	return true;
}

static void
take(struct core_client *c)
{
	switch (c->message.type) {
	case LINK_ANSWER:
		if (!redeem(c, c->message.answer.ticket))
			lose(c, "an answer to no call");
		break;
	case LINK_ENTRIES:
		if (!redeem(c, c->message.entries.ticket))
			lose(c, "entries for no call");
		break;
	default:
		c->options.told(c->options.who, &c->message);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct core_client *c = arg;
	struct mmsghdr got[READS_AT_ONCE];
	struct iovec iov[READS_AT_ONCE];
	int count;

	(void)what;
	for (int i = 0; i < READS_AT_ONCE; i++) {
		iov[i] = (struct iovec){c->bytes[i], sizeof(c->bytes[i])};
		got[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	count = recvmmsg(fd, got, READS_AT_ONCE, MSG_DONTWAIT, NULL);
	if (count < 0 && errno != EAGAIN && errno != EINTR)
		lose(c, "it ended");
	for (int i = 0; i < count && !c->is_gone; i++) {
		if (got[i].msg_len == 0)
			lose(c, "it ended");
		else if (!link_decode(LINK_CORE, c->bytes[i], got[i].msg_len, &c->message))
			lose(c, "a message that is none");
		else
			take(c);
	}
}

/* False: the socket takes no more now. */
static bool
write_now(struct core_client *c, const void *bytes, size_t size)
{
	while (send(c->options.fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN || errno == ENOBUFS)
			return false;
		if (errno != EINTR)
			return true; /* reading will tell that it ended */
	}
	return true;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct core_client *c = arg;
	struct waiting *w;

	(void)fd, (void)what;
	while ((w = STAILQ_FIRST(&c->queue))) {
		if (!write_now(c, w->bytes, w->size)) {
			event_add(c->writable, NULL);
			return;
		}
		STAILQ_REMOVE_HEAD(&c->queue, next);
		free(w);
	}
}

static bool
say(struct core_client *c, struct link_message *message)
{
	uint8_t bytes[LINK_MESSAGE_MAX];
	size_t size = link_encode(message, bytes, sizeof(bytes));
	struct waiting *w;

	if (size == 0)
		return false;
	if (STAILQ_EMPTY(&c->queue) && write_now(c, bytes, size))
		return true;
	w = malloc(sizeof(*w) + size);
	if (!w)
		return false;
	w->size = size;
	memcpy(w->bytes, bytes, size);
	STAILQ_INSERT_TAIL(&c->queue, w, next);
	event_add(c->writable, NULL);
	return true;
}

bool
core_client_call(struct core_client *c, const struct link_call *call, core_answer_fn *answer,
		 void *arg)
{
	struct link_message message = {.type = LINK_CALL, .call = *call};
	uint32_t ticket = c->free_place;

	if (ticket == CORE_CALLS_MAX)
		return false;
	message.call.ticket = ticket;
	if (!say(c, &message))
		return false;
	c->free_place = c->place[ticket].next_free;
	c->place[ticket] = (struct place){.answer = answer, .arg = arg};
	return true;
}

void
core_client_say_ready(struct core_client *c)
{
	say(c, &(struct link_message){.type = LINK_READY});
}

bool
core_client_say_stats(struct core_client *c, const struct link_stats *stats)
{
	/* They can wait; calls cannot. */
	return STAILQ_EMPTY(&c->queue) &&
	       say(c, &(struct link_message){.type = LINK_STATS, .stats = *stats});
}

struct core_client *
core_client_new(const struct core_client_options *options)
{
	struct core_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->options = *options;
	STAILQ_INIT(&c->queue);
	for (uint32_t i = 0; i < CORE_CALLS_MAX; i++)
		c->place[i].next_free = i + 1;
	c->readable = event_new(options->base, options->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(options->base, options->fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable || event_add(c->readable, NULL)) {
		core_client_free(c);
		return NULL;
	}
	return c;
}

void
core_client_free(struct core_client *c)
{
	struct waiting *w;

	if (!c)
		return;
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	while ((w = STAILQ_FIRST(&c->queue))) {
		STAILQ_REMOVE_HEAD(&c->queue, next);
		free(w);
	}
	for (uint32_t i = 0; i < CORE_CALLS_MAX; i++)
		if (c->place[i].answer)
			c->place[i].answer(c->place[i].arg, NULL);
	free(c);
}
