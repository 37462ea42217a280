/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A turn takes the calls that are there, gives what changes the table to the engine as one batch,
 * and only then looks at the table for the others.  While a worker has not read all it was told,
 * nothing more is read from it: so no queue can grow.
 */
#include "upnp.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "upnp_read.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../core/topology.h"

enum {
	PATIENCE = 5000,
	QUEUE_SIZE = 128 * 1024,
	QUEUE_MESSAGES = UPNP_BATCH + 8,
	CALLERS = 64,
	MESSAGE_ROOM = 1024, /* more than any message of a worker */
	TURN_WORK = 4096,    /* leases looked at before the other sockets have their turn */
};

/* What a worker is to be told as soon as it reads. */
enum { OWED_SETUP = 1, OWED_LAN = 2, OWED_STATE = 4 };

struct queue {
	unsigned count, sent;
	unsigned first; /* is sent first, and those behind it; then those before it */
	size_t used;
	size_t size[QUEUE_MESSAGES];
	uint8_t bytes[QUEUE_SIZE];
};

struct call {
	struct link_call said;
	bool answered;
};

/* One that spoke over IPv6, and whose IPv4 address was found to be its own: what it means where it
 * names none, after another look. */
struct caller {
	struct address ipv6, ipv4;
};

struct worker {
	struct upnp *upnp;
	size_t number; /* of its LAN */
	char udn[IGD_DEVICES][LINK_UDN_SIZE];
	int fd; /* -1: none */
	struct event *readable, *writable, *again;
	struct network_interface interface;
	struct link_setup setup;
	struct link_lan lan_told; /* but for the boot id */
	uint32_t boot_id;
	unsigned owed;
	struct queue queue;
	struct caller caller[CALLERS]; /* by hash */
	struct call call[UPNP_BATCH];
	unsigned calls, next; /* those before next are done with */
	bool in_turn;	      /* which will send what is owed */
	struct upnp_worker shown;
};

struct upnp {
	struct upnp_options options;
	bool link_up;
	uint64_t bit_rate; /* of the WAN */
	struct link_state state;
	struct upnp_reader reader;
	size_t lans;
	struct worker **worker;
};

/* --- what workers are told --- */

static void
put(struct worker *w, struct link_message *message)
{
	struct queue *q = &w->queue;
	size_t size = link_encode(message, q->bytes + q->used, sizeof(q->bytes) - q->used);

	if (size == 0)
		return;
	q->size[q->count++] = size;
	q->used += size;
}

static void
put_error(struct worker *w, const struct link_call *call, enum igd_error error)
{
	put(w, &(struct link_message){.type = LINK_ANSWER,
				      .answer = {.ticket = call->ticket, .error = error}});
}

static void
put_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text ? text : "");
}

/* 24 bits that differ if the descriptions do. */
static uint32_t
config_id(const struct link_setup *setup)
{
	struct link_message message = {.type = LINK_SETUP, .setup = *setup};
	uint8_t bytes[LINK_MESSAGE_MAX];
	size_t size = link_encode(&message, bytes, sizeof(bytes));
	uint32_t hash = 2166136261;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 16777619;
	return hash >> 8;
}

/* They differ in their last eight digits. */
static void
name_devices(struct worker *w)
{
	const char *uuid = w->upnp->options.uuid;
	unsigned long last = strtoul(uuid + 28, NULL, 16) + IGD_DEVICES * w->number;

	for (unsigned i = 0; i < IGD_DEVICES; i++)
		snprintf(w->udn[i], sizeof(w->udn[i]), "uuid:%.28s%08x", uuid,
			 (unsigned)(last + i));
}

/* What no description tells. */
static void
fill_limits(const struct config *config, struct link_setup *s)
{
	const struct config_upnp *c = &config->upnp;

	s->strict_ssdp = c->strict_ssdp;
	s->ssdp_interval = c->ssdp_interval;
	s->ssdp_searches_per_second = c->ssdp_searches_per_second;
	s->ssdp_searches_per_second_total = c->ssdp_searches_per_second_total;
	s->http_requests_per_second = c->http_requests_per_second;
	s->http_connections_per_client = c->http_connections_per_client;
	s->http_connections = c->http_connections;
	s->http_request_timeout = c->http_request_timeout;
	s->http_answer_timeout = c->http_answer_timeout;
	s->event_subscriptions_per_client = c->event_subscriptions_per_client;
	s->event_subscriptions = c->event_subscriptions;
	s->log_level = (uint8_t)config->log_level;
	s->log_to_syslog = config->log_target == LOG_TARGET_SYSLOG;
}

static void
fill_setup(const struct worker *w, struct link_setup *s)
{
	const struct config_upnp *c = &w->upnp->options.config->upnp;

	/* Compared as bytes. */
	memset(s, 0, sizeof(*s));
	s->view_1 = c->igd_version != CONFIG_IGD_2;
	s->view_2 = c->igd_version != CONFIG_IGD_1;
	s->http_port = (uint16_t)c->http_port;
	put_text(s->version, sizeof(s->version), PORTLEASE_VERSION);
	put_text(s->friendly_name, sizeof(s->friendly_name), c->friendly_name);
	put_text(s->model_name, sizeof(s->model_name), c->model_name);
	put_text(s->model_number, sizeof(s->model_number), c->model_number);
	put_text(s->serial_number, sizeof(s->serial_number), c->serial_number);
	put_text(s->presentation_url, sizeof(s->presentation_url), c->presentation_url);
	memcpy(s->udn, w->udn, sizeof(s->udn));
	s->config_id = config_id(s);
	fill_limits(w->upnp->options.config, s);
}

static void
put_setup(struct worker *w)
{
	put(w, &(struct link_message){.type = LINK_SETUP, .setup = w->setup});
}

static void
fill_lan(const struct worker *w, struct link_lan *out)
{
	const struct network_interface *is = &w->interface;
	const struct network_address *from[] = {is->address, is->ipv6_address};
	const size_t count[] = {is->addresses, is->ipv6_addresses};

	_Static_assert((int)LINK_ADDRESSES >= 2 * (int)NETWORK_ADDRESSES, "all fit");
	/* Compared as bytes. */
	memset(out, 0, sizeof(*out));
	put_text(out->interface, sizeof(out->interface),
		 w->upnp->options.config->lan[w->number].interface);
	out->index = is->index;
	out->up = is->up;
	for (size_t family = 0; family < 2; family++)
		for (size_t i = 0; i < count[family]; i++, out->addresses++) {
			out->address[out->addresses].address = from[family][i].address;
			out->address[out->addresses].prefix = from[family][i].prefix;
		}
}

static void
put_lan(struct worker *w)
{
	struct link_message m = {.type = LINK_LAN, .lan = w->lan_told};

	m.lan.boot_id = w->boot_id;
	put(w, &m);
}

static void
put_state(struct worker *w)
{
	put(w, &(struct link_message){.type = LINK_STATE, .state = w->upnp->state});
}

static bool
has_room(const struct queue *q)
{
	return sizeof(q->bytes) - q->used >= LINK_MESSAGE_MAX;
}

static void
put_owed(struct worker *w)
{
	static void (*const puts[])(struct worker *) = {put_setup, put_lan, put_state};

	if (!has_room(&w->queue))
		return;
	for (unsigned i = 0; i < sizeof(puts) / sizeof(puts[0]); i++)
		if (w->owed & 1u << i)
			puts[i](w);
	w->owed = 0;
}

/* --- the link --- */

static void
close_link(struct worker *w)
{
	if (w->fd < 0)
		return;
	event_free(w->readable);
	event_free(w->writable);
	evtimer_del(w->again);
	close(w->fd);
	w->fd = -1;
	w->readable = w->writable = NULL;
	w->queue.count = w->queue.sent = w->queue.first = 0;
	w->queue.used = 0;
	w->calls = w->next = 0;
	w->shown.there = w->shown.ready = false;
	w->shown.pid = 0;
	w->shown.stats = (struct link_stats){{0}};
}

static void
lose(struct worker *w, const char *why)
{
	log_warning("upnp", "worker lost", "lan=%s reason=\"%s\"",
		    w->upnp->options.config->lan[w->number].interface, why);
	close_link(w);
	w->upnp->options.spawn(w->upnp->options.arg, w->number);
}

/* False: the link is broken. */
static bool
write_queue(struct worker *w)
{
	struct queue *q = &w->queue;
	struct mmsghdr message[QUEUE_MESSAGES];
	struct iovec iov[QUEUE_MESSAGES];
	size_t at = 0;
	int sent = 0;

	for (unsigned i = 0; i < q->count; at += q->size[i++]) {
		unsigned place = (i + q->count - q->first) % q->count;

		iov[place] = (struct iovec){q->bytes + at, q->size[i]};
		message[place] =
		    (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[place], .msg_iovlen = 1}};
	}
	while (q->sent < q->count && sent >= 0) {
		sent = sendmmsg(w->fd, message + q->sent, q->count - q->sent,
				MSG_DONTWAIT | MSG_NOSIGNAL);
		q->sent += sent > 0 ? (unsigned)sent : 0;
	}
	if (q->sent == q->count) {
		q->count = q->sent = q->first = 0;
		q->used = 0;
	}
	return sent >= 0 || errno == EAGAIN || errno == ENOBUFS || errno == EINTR;
}

/* Sends what it can, and waits for what is due next: the worker reading, or its calls. */
static void
pump(struct worker *w)
{
	unsigned patience = w->upnp->options.patience;
	struct timeval limit = {patience / 1000, patience % 1000 * 1000}, now = {0, 0};
	bool sound;

	if (w->fd < 0)
		return;
	do {
		if (w->queue.count == 0)
			put_owed(w);
		sound = write_queue(w);
	} while (sound && w->queue.count == 0 && w->owed);
	if (!sound) {
		lose(w, strerror(errno));
	} else if (w->queue.count > 0) {
		event_del(w->readable);
		/* Its patience is not for others to renew. */
		if (!event_pending(w->writable, EV_WRITE, NULL))
			event_add(w->writable, &limit);
	} else if (w->next < w->calls) {
		/* Not before the other sockets had their turn. */
		event_del(w->readable);
		evtimer_add(w->again, &now);
	} else {
		event_add(w->readable, NULL);
	}
}

/* --- changes --- */

static void
on_answer(void *who, uint32_t slot, const struct map_request *request,
	  const struct map_reply *reply)
{
	struct worker *w = who;
	struct call *call = &w->call[slot];
	struct link_message m = {
	    .type = LINK_ANSWER,
	    .answer = {.ticket = call->said.ticket,
		       .error = igd_from_result(&call->said.call, reply->result)},
	};

	(void)request;
	if (m.answer.error == IGD_OK)
		m.answer.entry.external_port = reply->external.port;
	put(w, &m);
	call->answered = true;
}

/* --- who calls --- */

static struct caller *
place_of(struct worker *w, const struct address *ipv6)
{
	unsigned hash = 0;

	for (size_t i = 0; i < sizeof(ipv6->bytes); i++)
		hash = hash * 31 + ipv6->bytes[i];
	return &w->caller[hash % CALLERS];
}

/* The address that the call is about as its caller's own; NULL: none, or it does not matter. */
static const struct address *
own_address(struct worker *w, const struct link_call *call)
{
	const struct lease_table *table = engine_leases(w->upnp->options.engine);
	const struct igd_entry *entry = &call->call.entry;
	const struct caller *caller = place_of(w, &call->client);
	const struct lease *lease = NULL;

	switch (call->call.action) {
	case IGD_AddPortMapping:
	case IGD_AddAnyPortMapping:
		if (!address_is_unspecified(&entry->internal.address))
			return &entry->internal.address;
		break;
	case IGD_DeletePortMappingRange:
	case IGD_GetListOfPortMappings:
		break;
	case IGD_DeletePortMapping:
	case IGD_GetSpecificPortMappingEntry:
		lease = lease_table_by_remote(table, entry->transport, entry->external_port,
					      &entry->remote);
		return lease ? &lease->record.internal.address : NULL;
	case IGD_GetGenericPortMappingEntry:
		lease = lease_table_at(table, call->call.index);
		return lease ? &lease->record.internal.address : NULL;
	default:
		return NULL;
	}
	return address_equal(&caller->ipv6, &call->client) ? &caller->ipv4 : NULL;
}

/*
 * Hosts are known by their IPv4 addresses.  One that speaks over IPv6 is the one whose address it
 * names if the kernel has both as neighbours at one link-layer address.
 */
static void
recognize(struct worker *w, struct link_call *call)
{
	const struct upnp_options *o = &w->upnp->options;
	struct caller is = {.ipv6 = call->client};
	const struct address *own;

	if (address_is_ipv4(&call->client))
		return;
	own = own_address(w, call);
	if (!own || !address_is_ipv4(own) || !interface_has_host(&w->interface, own) ||
	    !o->same_host(o->arg, w->interface.index, &call->client, own))
		return;
	is.ipv4 = *own;
	*place_of(w, &call->client) = is;
	call->client = is.ipv4;
}

/*
 * Calls are for hosts of this LAN, and so are their mappings, whatever the rules leave open: else
 * the gateway were anybody's way to anywhere.  One that was not recognized has no mappings, and
 * gets none.
 */
static bool
is_authorized(const struct worker *w, const struct link_call *call)
{
	const struct address *to = &call->call.entry.internal.address;

	if (!interface_has_host(&w->interface, &call->client))
		return false;
	if (call->call.action != IGD_AddPortMapping && call->call.action != IGD_AddAnyPortMapping)
		return true;
	return address_is_ipv4(&call->client) &&
	       (address_is_unspecified(to) || interface_has_host(&w->interface, to));
}

/* IGD_OK: the engine has it, and answers when it is flushed. */
static enum igd_error
submit(struct worker *w, unsigned slot, monotime now)
{
	struct link_call *call = &w->call[slot].said;
	struct map_request request;

	recognize(w, call);
	igd_to_request(&call->call, &call->client, &request);
	memcpy(request.user_agent, call->user_agent, sizeof(request.user_agent));
	memcpy(request.lan, w->upnp->options.config->lan[w->number].interface, sizeof(request.lan));
	request.asker = (struct asker){.answer = on_answer, .who = w, .slot = slot};
	if (!is_authorized(w, call)) {
		engine_refuse(w->upnp->options.engine, &request, MAP_NOT_AUTHORIZED, now);
		return igd_from_result(&call->call, MAP_NOT_AUTHORIZED);
	}
	engine_submit(w->upnp->options.engine, &request, now);
	return IGD_OK;
}

static enum igd_error
judge(struct worker *w, unsigned slot, monotime now)
{
	const struct link_call *call = &w->call[slot].said;

	if (upnp_reads(call->call.action))
		return is_authorized(w, call) ? IGD_OK : IGD_NOT_AUTHORIZED;
	return submit(w, slot, now);
}

/* --- a turn --- */

static void
answer(struct worker *w, struct call *call, enum igd_error error)
{
	put_error(w, &call->said, error);
	call->answered = true;
}

/* True: the engine was asked. */
static bool
carry_out_changes(struct worker *w, monotime now)
{
	bool asked = false;

	for (unsigned i = 0; i < w->calls; i++) {
		enum igd_error error = judge(w, i, now);

		if (error != IGD_OK)
			answer(w, &w->call[i], error);
		else
			asked |= !upnp_reads(w->call[i].said.call.action);
	}
	if (asked)
		engine_flush(w->upnp->options.engine, now);
	return asked;
}

static void
answer_readers(struct worker *w, monotime now)
{
	struct upnp_reader *reader = &w->upnp->reader;
	struct link_message message;

	for (reader->work = 0; w->next < w->calls; w->next++) {
		struct call *call = &w->call[w->next];
		const struct upnp_question question = {&call->said, w->udn[IGD_WAN_CONNECTION],
						       now};

		if (call->answered)
			continue;
		if (reader->work >= TURN_WORK || !has_room(&w->queue))
			return;
		/* Else it may see the entry whoever it is. */
		if (!reader->others || call->said.call.action == IGD_GetListOfPortMappings)
			recognize(w, &call->said);
		upnp_read(reader, &question, &message);
		put(w, &message);
	}
}

static void
on_ready(struct worker *w, const struct link_message *m)
{
	(void)m;
	if (!w->shown.ready)
		log_info("upnp", "worker ready", "lan=%s",
			 w->upnp->options.config->lan[w->number].interface);
	w->shown.ready = true;
}

static void
on_call(struct worker *w, const struct link_message *m)
{
	w->call[w->calls++] = (struct call){.said = m->call};
}

static void
on_stats(struct worker *w, const struct link_message *m)
{
	w->shown.stats = m->stats;
}

static void (*const handlers[LINK_TYPES])(struct worker *, const struct link_message *) = {
    [LINK_READY] = on_ready,
    [LINK_CALL] = on_call,
    [LINK_STATS] = on_stats,
};

/* False: the link is lost. */
static bool
receive(struct worker *w)
{
	/* One that is longer than a worker's messages are is cut, and so is none. */
	uint8_t bytes[UPNP_BATCH][MESSAGE_ROOM];
	struct mmsghdr got[UPNP_BATCH];
	struct iovec iov[UPNP_BATCH];
	struct link_message message;
	int count;

	w->calls = w->next = 0;
	for (int i = 0; i < UPNP_BATCH; i++) {
		iov[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
		got[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	count = recvmmsg(w->fd, got, UPNP_BATCH, MSG_DONTWAIT, NULL);
	if (count < 0 && errno != EAGAIN && errno != EINTR) {
		lose(w, strerror(errno));
		return false;
	}
	for (int i = 0; i < count; i++) {
		size_t size = got[i].msg_len;

		if (size == 0 || (got[i].msg_hdr.msg_flags & MSG_TRUNC) ||
		    !link_decode(LINK_WORKER, bytes[i], size, &message)) {
			lose(w, size == 0 ? "it ended" : "it said what it must not");
			return false;
		}
		handlers[message.type](w, &message);
	}
	return true;
}

static void
turn(struct worker *w)
{
	struct upnp *u = w->upnp;
	monotime now = clock_now();
	bool asked = false;

	if (w->next == w->calls) {
		if (!receive(w))
			return;
		asked = carry_out_changes(w, now);
		w->shown.calls += w->calls;
		w->shown.batches += w->calls > 0;
		if (w->calls > w->shown.batch_max)
			w->shown.batch_max = w->calls;
	}
	answer_readers(w, now);
	/* One call sends the answers and, before them, the state that they have made: whoever was
	 * answered finds it, as in the first event of a subscription. */
	w->in_turn = true;
	if (asked)
		u->options.changed(u->options.arg);
	w->in_turn = false;
	w->queue.first = w->queue.count;
	put_owed(w);
	w->queue.first %= w->queue.count ? w->queue.count : 1;
	pump(w);
}

static void
on_turn(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	turn(arg);
}

static void
on_writable(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	if (events & EV_TIMEOUT)
		lose(arg, "it does not read");
	else
		pump(arg);
}

/* --- from outside --- */

void
upnp_spawned(void *upnp, size_t lan, int fd, pid_t pid)
{
	struct upnp *u = upnp;
	struct worker *w = u->worker[lan];

	w->shown.missing = fd == -ENOENT;
	if (fd < 0)
		return;
	close_link(w);
	w->readable = event_new(u->options.base, fd, EV_READ | EV_PERSIST, on_turn, w);
	w->writable = event_new(u->options.base, fd, EV_WRITE, on_writable, w);
	if (!w->readable || !w->writable) {
		log_error("upnp", "out of memory", "lan=%s", u->options.config->lan[lan].interface);
		close(fd);
		return;
	}
	w->fd = fd;
	w->boot_id = u->options.next_boot_id(u->options.arg);
	fill_setup(w, &w->setup);
	w->owed = OWED_SETUP | OWED_LAN | OWED_STATE;
	w->shown.there = true;
	w->shown.pid = pid;
	w->shown.started++;
	pump(w);
}

static void
owe(struct worker *w, unsigned what)
{
	if (w->fd < 0)
		return;
	w->owed |= what;
	if (!w->in_turn)
		pump(w);
}

/* Of all that it was told only the log's level can change while it runs. */
static void
set_up_again(struct worker *w)
{
	const struct link_setup was = w->setup;
	struct link_setup is;

	name_devices(w);
	if (w->fd < 0)
		return;
	fill_setup(w, &w->setup);
	memcpy(&is, &w->setup, sizeof(is));
	if (memcmp(&is, &was, sizeof(is)) == 0)
		return;
	is.log_level = was.log_level;
	if (memcmp(&is, &was, sizeof(is)) == 0)
		owe(w, OWED_SETUP);
	else
		lose(w, "it is to be set up otherwise");
}

static void
read_config(struct upnp *u)
{
	u->reader.others = u->options.config->upnp.read_others_mappings;
}

static void
free_worker(struct worker *w)
{
	if (!w)
		return;
	close_link(w);
	if (w->again)
		event_free(w->again);
	free(w);
}

/* NULL: out of memory. */
static struct worker *
new_worker(struct upnp *u)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->upnp = u;
	w->fd = -1;
	w->again = evtimer_new(u->options.base, on_turn, w);
	if (w->again)
		return w;
	free_worker(w);
	return NULL;
}

/* origin: as upnp_reload(); NULL: all are new. */
static bool
set_lans(struct upnp *u, const size_t *origin)
{
	size_t lans = u->options.config->lans;
	struct worker **worker = calloc(lans, sizeof(*worker));
	bool ok = worker;

	for (size_t i = 0; ok && i < lans; i++) {
		size_t from = origin ? origin[i] : CONFIG_NEW_LAN;

		worker[i] = from == CONFIG_NEW_LAN ? new_worker(u) : u->worker[from];
		if (from != CONFIG_NEW_LAN)
			u->worker[from] = NULL;
		ok = worker[i];
		if (ok)
			worker[i]->number = i;
	}
	for (size_t i = 0; i < u->lans; i++)
		free_worker(u->worker[i]);
	free(u->worker);
	u->worker = worker;
	u->lans = worker ? lans : 0;
	return ok;
}

bool
upnp_reload(struct upnp *u, const size_t *origin)
{
	if (!set_lans(u, origin))
		return false;
	read_config(u);
	for (size_t i = 0; i < u->lans; i++) {
		set_up_again(u->worker[i]);
		if (origin[i] == CONFIG_NEW_LAN)
			u->options.spawn(u->options.arg, i);
	}
	return true;
}

void
upnp_set_lan(struct upnp *u, size_t lan, const struct network_interface *interface)
{
	struct worker *w = u->worker[lan];
	struct link_lan is;

	w->interface = *interface;
	fill_lan(w, &is);
	if (memcmp(&is, &w->lan_told, sizeof(is)) == 0)
		return;
	memcpy(&w->lan_told, &is, sizeof(is));
	if (w->fd >= 0)
		w->boot_id = u->options.next_boot_id(u->options.arg);
	owe(w, OWED_LAN);
}

void
upnp_set_wan(struct upnp *u, bool link_up, uint64_t bit_rate)
{
	u->link_up = link_up;
	u->bit_rate = bit_rate;
	upnp_changed(u);
}

void
upnp_changed(struct upnp *u)
{
	const struct engine *engine = u->options.engine;
	struct link_state is;

	/* Compared as bytes. */
	memcpy(&is, &u->state, sizeof(is));
	is.external = engine_external_address(engine);
	is.connected = !address_is_unspecified(&is.external);
	if (!address_equal(&is.external, &u->state.external))
		is.connected_since = clock_now();
	is.link_up = u->link_up;
	is.upstream = is.downstream = u->bit_rate;
	is.entries = (uint32_t)lease_table_count(engine_leases(engine));
	is.system_update_id = (uint32_t)engine_table_changes(engine);
	if (memcmp(&is, &u->state, sizeof(is)) == 0)
		return;
	memcpy(&u->state, &is, sizeof(is));
	for (size_t i = 0; i < u->lans; i++)
		owe(u->worker[i], OWED_STATE);
}

void
upnp_start(struct upnp *u)
{
	for (size_t i = 0; i < u->lans; i++)
		u->options.spawn(u->options.arg, i);
}

const struct upnp_worker *
upnp_worker(const struct upnp *u, size_t lan)
{
	return &u->worker[lan]->shown;
}

struct upnp *
upnp_new(const struct upnp_options *options)
{
	struct upnp *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->options = *options;
	if (options->patience == 0)
		u->options.patience = PATIENCE;
	u->reader = (struct upnp_reader){
	    .engine = options->engine,
	    .counters = options->counters,
	    .arg = options->arg,
	};
	read_config(u);
	if (!set_lans(u, NULL)) {
		upnp_free(u);
		return NULL;
	}
	for (size_t i = 0; i < u->lans; i++)
		name_devices(u->worker[i]);
	return u;
}

void
upnp_free(struct upnp *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->lans; i++)
		free_worker(u->worker[i]);
	free(u->worker);
	free(u);
}
