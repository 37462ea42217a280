/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sessions.h"

#include <stdlib.h>

#include "sweep.h"

#define FRESH MONOTIME_SECOND

enum { PORTS = 65536, NONE = 0 };

/* Chains by the external port; what is never touched of .head costs nothing. */
struct session_list {
	unsigned users;
	enum session_reading state;
	monotime taken;
	size_t count, room;
	struct session *item;	 /* from 1 on */
	uint32_t head[2][PORTS]; /* TCP's, then UDP's */
};

struct sessions {
	const struct lease_table *table;
	struct flows *flows;
	struct session_list *latest; /* NULL: nobody uses one */
};

struct sessions *
sessions_new(const struct lease_table *table, struct flows *flows)
{
	struct sessions *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->table = table;
	s->flows = flows;
	return s;
}

void
sessions_free(struct sessions *s)
{
	free(s);
}

struct session_list *
sessions_ask(struct sessions *s, monotime now)
{
	struct session_list *list = s->latest;

	if (list && (list->state == SESSIONS_READING || now - list->taken < FRESH)) {
		list->users++;
		return list;
	}
	list = calloc(1, sizeof(*list));
	if (!list)
		return NULL;
	list->users = 1;
	list->taken = now;
	if (flows_begin(s->flows, NULL) < 0)
		list->state = SESSIONS_FAILED;
	s->latest = list;
	return list;
}

void
sessions_release(struct sessions *s, struct session_list *list)
{
	if (--list->users > 0)
		return;
	if (s->latest == list)
		s->latest = NULL;
	free(list->item);
	free(list);
}

static void
add(struct session_list *list, const struct lease *lease, uint16_t port,
    const struct session *session)
{
	const struct lease_record *r = &lease->record;
	uint32_t *head = &list->head[session->transport == TRANSPORT_UDP][port];

	if (list->count + 1 >= list->room) {
		size_t room = list->room ? 2 * list->room : 256;
		struct session *item = reallocarray(list->item, room, sizeof(*item));

		if (!item) {
			list->state = SESSIONS_FAILED;
			return;
		}
		list->item = item;
		list->room = room;
	}
	list->item[++list->count] = *session;
	list->item[list->count].lease = r->id;
	list->item[list->count].port = port;
	list->item[list->count].last = (uint16_t)(r->external_port + r->more_ports);
	list->item[list->count].next = *head;
	*head = (uint32_t)list->count;
}

static void
take(void *arg, const struct flow *flow)
{
	struct sessions *s = arg;
	struct session session = {
	    .transport = flow->transport, .state = flow->state, .timeout = flow->timeout};
	const struct lease *lease = sweep_inbound(s->table, flow);

	if (lease) {
		session.remote = flow->from;
		add(s->latest, lease, flow->to.port, &session);
	}
	lease = sweep_outbound(s->table, flow);
	if (lease) {
		session.remote = flow->to;
		session.outbound = true;
		add(s->latest, lease, flow->reply_to.port, &session);
	}
}

enum session_reading
sessions_read(struct sessions *s, struct session_list *list)
{
	int more;

	if (list->state != SESSIONS_READING)
		return list->state;
	more = flows_next(s->flows, take, s, NULL);
	if (list->state == SESSIONS_READING && more <= 0)
		list->state = more < 0 ? SESSIONS_FAILED : SESSIONS_READY;
	return list->state;
}

/* From this one on, and if the lease is a range at its further ports. */
static const struct session *
find(const struct session_list *list, const uint32_t head[PORTS], struct session from)
{
	uint32_t number = from.next;

	for (unsigned port = from.port;; number = head[port]) {
		for (; number != NONE; number = list->item[number].next)
			if (list->item[number].lease == from.lease)
				return &list->item[number];
		if (++port > from.last)
			return NULL;
	}
}

const struct session *
session_next(const struct session_list *list, const struct session *session)
{
	return find(list, list->head[session->transport == TRANSPORT_UDP], *session);
}

const struct session *
session_first(const struct session_list *list, const struct lease *lease)
{
	const struct lease_record *r = &lease->record;
	const uint32_t *head = list->head[r->transport == TRANSPORT_UDP];

	return find(list, head,
		    (struct session){.lease = r->id,
				     .port = r->external_port,
				     .last = (uint16_t)(r->external_port + r->more_ports),
				     .next = head[r->external_port]});
}

size_t
session_count(const struct session_list *list, const struct lease *lease)
{
	size_t count = 0;
	const struct session *session = session_first(list, lease);

	for (; session; session = session_next(list, session))
		count++;
	return count;
}

const char *
session_state_name(enum flow_state state)
{
	static const char *const names[FLOW_STATES] = {
	    [FLOW_NONE] = "none",	    [FLOW_SYN_SENT] = "syn-sent",
	    [FLOW_SYN_RECV] = "syn-recv",   [FLOW_ESTABLISHED] = "established",
	    [FLOW_FIN_WAIT] = "fin-wait",   [FLOW_CLOSE_WAIT] = "close-wait",
	    [FLOW_LAST_ACK] = "last-ack",   [FLOW_TIME_WAIT] = "time-wait",
	    [FLOW_CLOSE] = "close",	    [FLOW_SYN_SENT2] = "syn-sent2",
	    [FLOW_UNREPLIED] = "unreplied", [FLOW_REPLIED] = "replied",
	    [FLOW_ASSURED] = "assured",
	};

	return names[state];
}
