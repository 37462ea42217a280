/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two versions of a service are two services of GENA's: they do not have the same variables.
 * One connection for each event, for a subscriber that does not answer must delay nobody.
 */
#include "events.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/clock.h"

enum {
	FAILURES = 10, /* lost in a row */
	NOTIFY_MAX = 4096,
	ANSWER_SIZE = 64,
	FIRST_EVENT_DELAY = 50, /* ms behind the answer to SUBSCRIBE */
};

#define NOTIFY_TIME (5 * MONOTIME_SECOND)

/* An event on its way. */
struct delivery {
	LIST_ENTRY(delivery) next;
	struct events *events;
	uint32_t id;
	struct event *event;
	int fd;
	monotime ends;
	size_t size, sent, got;
	char message[NOTIFY_MAX];
	char answer[ANSWER_SIZE];
};

struct events {
	struct event_base *base;
	const struct device *device;
	struct event *due;
	struct gena_table table;
	LIST_HEAD(, delivery) deliveries;
	unsigned under_way;
	uint64_t delivered, failed;
	struct gena_subscription place[];
};

/* --- services and their variables --- */

static uint8_t
number_of(enum igd_view view, enum igd_service service)
{
	return (uint8_t)((view - IGD_VIEW_1) * IGD_SERVICES + service);
}

/* The evented variables of a service by GENA's number, in the order of the table. */
static unsigned
list_variables(uint8_t number, enum igd_variable out[IGD_VARIABLES])
{
	enum igd_view view = (enum igd_view)(number / IGD_SERVICES + IGD_VIEW_1);
	enum igd_service service = (enum igd_service)(number % IGD_SERVICES);
	unsigned count = 0;

	for (int v = 0; v < IGD_VARIABLES; v++) {
		const struct igd_variable_row *row = igd_variable_row((enum igd_variable)v);

		if (row->evented && row->service == service &&
		    row->since <= igd_service_version(service, view))
			out[count++] = (enum igd_variable)v;
	}
	return count;
}

struct printed {
	unsigned count;
	struct gena_variable variable[GENA_VARIABLES_MAX];
	char value[GENA_VARIABLES_MAX][IGD_VALUE_MAX];
};

static void
print_variables(const struct device *device, const struct link_state *state, uint8_t number,
		struct printed *out)
{
	enum igd_view view = (enum igd_view)(number / IGD_SERVICES + IGD_VIEW_1);
	enum igd_variable variables[IGD_VARIABLES];
	struct igd_values values;

	device_values(device, state, 0, &values);
	out->count = list_variables(number, variables);
	for (unsigned i = 0; i < out->count; i++) {
		out->variable[i].name = igd_variable_row(variables[i])->name;
		out->variable[i].value = out->value[i];
		if (!igd_print_value(variables[i], view, &values, out->value[i], IGD_VALUE_MAX))
			out->value[i][0] = '\0';
	}
}

/* --- deliveries --- */

static void begin(struct events *, const struct gena_delivery *);

static void
end(struct delivery *d)
{
	if (d->event)
		event_free(d->event);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

static struct timeval
until(monotime then)
{
	monotime now = clock_now(), wait = then > now ? then - now : 0;

	return (struct timeval){(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)};
}

static void
arm(struct events *events)
{
	monotime wake = gena_wake(&events->table);
	struct timeval wait;

	if (wake == MONOTIME_NEVER) {
		event_del(events->due);
		return;
	}
	wait = until(wake);
	event_add(events->due, &wait);
}

static void
report(struct events *events, uint32_t id, enum gena_outcome outcome)
{
	struct gena_delivery again;

	*(outcome == GENA_FAILED ? &events->failed : &events->delivered) += 1;
	if (gena_finish(&events->table, id, outcome, &again))
		begin(events, &again);
	arm(events);
}

static void
finish(struct delivery *d, enum gena_outcome outcome)
{
	struct events *events = d->events;
	uint32_t id = d->id;

	LIST_REMOVE(d, next);
	events->under_way--;
	end(d);
	report(events, id, outcome);
}

static void on_socket(evutil_socket_t, short what, void *arg);

static bool
wait_for(struct delivery *d, short what)
{
	const struct timeval wait = until(d->ends);

	return event_assign(d->event, d->events->base, d->fd, what, on_socket, d) == 0 &&
	       event_add(d->event, &wait) == 0;
}

/* False: it ended, and how. */
static bool
send_message(struct delivery *d, enum gena_outcome *how)
{
	ssize_t n = send(d->fd, d->message + d->sent, d->size - d->sent, MSG_NOSIGNAL);

	*how = GENA_FAILED;
	if (n > 0)
		d->sent += (size_t)n;
	return n > 0 || errno == EAGAIN || errno == EINTR;
}

static bool
receive_answer(struct delivery *d, enum gena_outcome *how)
{
	ssize_t n = recv(d->fd, d->answer + d->got, sizeof(d->answer) - d->got, 0);

	*how = GENA_FAILED;
	if (n > 0)
		d->got += (size_t)n;
	if (n > 0 && gena_decode_answer(d->answer, d->got, how))
		return false;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	enum gena_outcome how = GENA_FAILED;
	struct delivery *d = arg;
	bool goes_on = false;

	(void)fd;
	if (what & EV_WRITE)
		goes_on = send_message(d, &how);
	else if (what & EV_READ)
		goes_on = receive_answer(d, &how);
	if (!goes_on || !wait_for(d, d->sent < d->size ? EV_WRITE : EV_READ))
		finish(d, how);
}

/* Out of the LAN's interface, whatever the routes say. */
static int
open_socket(const struct link_lan *lan, const struct endpoint *to)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(to->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
	bool is_ipv4 = address_is_ipv4(&to->address);
	const void *address = is_ipv4 ? (void *)&v4 : (void *)&v6;
	int fd =
	    socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (is_ipv4)
		v4.sin_addr.s_addr = address_to_ipv4(&to->address);
	else
		memcpy(&v6.sin6_addr, to->address.bytes, sizeof(v6.sin6_addr));
	if (device_is_link_local(&to->address))
		v6.sin6_scope_id = lan->index;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, lan->interface,
		       (socklen_t)strlen(lan->interface)) == 0 &&
	    (connect(fd, address, is_ipv4 ? sizeof(v4) : sizeof(v6)) == 0 || errno == EINPROGRESS))
		return fd;
	close(fd);
	return -1;
}

static struct delivery *
make_delivery(struct events *events, const struct gena_delivery *to)
{
	struct delivery *d = calloc(1, sizeof(*d));
	struct printed printed;

	if (!d)
		return NULL;
	print_variables(events->device, &events->device->state, to->service, &printed);
	d->events = events;
	d->id = to->id;
	d->ends = clock_now() + NOTIFY_TIME;
	d->size = gena_encode(to, printed.variable, printed.count, d->message, sizeof(d->message));
	d->fd = d->size ? open_socket(&events->device->lan, &to->to) : -1;
	if (d->fd >= 0)
		d->event = event_new(events->base, d->fd, EV_WRITE, on_socket, d);
	if (d->event && wait_for(d, EV_WRITE))
		return d;
	end(d);
	return NULL;
}

static void
begin(struct events *events, const struct gena_delivery *to)
{
	/* Each subscription has one at a time, but may end before that. */
	struct delivery *d =
	    events->under_way < events->table.places ? make_delivery(events, to) : NULL;

	if (!d) {
		report(events, to->id, GENA_FAILED);
		return;
	}
	LIST_INSERT_HEAD(&events->deliveries, d, next);
	events->under_way++;
}

static void
on_due(evutil_socket_t fd, short what, void *arg)
{
	struct events *events = arg;
	struct gena_delivery next;

	(void)fd, (void)what;
	while (gena_next(&events->table, clock_now(), &next))
		begin(events, &next);
	arm(events);
}

/* --- subscriptions --- */

enum gena_status
events_subscribe(struct events *events, const struct igd_path *path, struct gena_request *request,
		 struct gena_grant *out)
{
	uint8_t random[GENA_RANDOM_SIZE];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return GENA_UNAVAILABLE;
	request->service = number_of(path->view, path->service);
	return gena_subscribe(&events->table, request, random, clock_now(), out);
}

enum gena_status
events_unsubscribe(struct events *events, const struct igd_path *path, struct gena_request *request)
{
	enum gena_status status;

	request->service = number_of(path->view, path->service);
	status = gena_unsubscribe(&events->table, request, clock_now());
	arm(events);
	return status;
}

void
events_confirm(void *arg, uint32_t id)
{
	struct events *events = arg;

	/* GUPnP loses an event that it reads before the answer, which went another way. */
	gena_confirm(&events->table, id, clock_now() + FIRST_EVENT_DELAY);
	arm(events);
}

void
events_changed(struct events *events, const struct link_state *before)
{
	struct printed was, is;
	monotime now = clock_now();

	for (uint8_t service = 0; service < IGD_VIEW_2 * IGD_SERVICES; service++) {
		uint32_t changed = 0;

		print_variables(events->device, before, service, &was);
		print_variables(events->device, &events->device->state, service, &is);
		for (unsigned i = 0; i < is.count; i++)
			if (strcmp(was.value[i], is.value[i]) != 0)
				changed |= UINT32_C(1) << i;
		gena_changed(&events->table, service, changed, now);
	}
	arm(events);
}

struct events_counts
events_counts(const struct events *events)
{
	struct events_counts counts = {.delivered = events->delivered, .failed = events->failed};

	for (unsigned i = 0; i < events->table.places; i++)
		counts.subscriptions += events->place[i].id != 0;
	return counts;
}

struct events *
events_new(struct event_base *base, const struct device *device)
{
	const struct gena_options options = {device->setup.event_subscriptions_per_client,
					     FAILURES};
	const unsigned places = device->setup.event_subscriptions;
	struct events *events =
	    calloc(1, sizeof(*events) + places * sizeof(struct gena_subscription));

	if (!events)
		return NULL;
	events->base = base;
	events->device = device;
	LIST_INIT(&events->deliveries);
	gena_init(&events->table, events->place, places, &options);
	events->due = event_new(base, -1, 0, on_due, events);
	if (!events->due) {
		free(events);
		return NULL;
	}
	return events;
}

void
events_free(struct events *events)
{
	struct delivery *d;

	if (!events)
		return;
	while ((d = LIST_FIRST(&events->deliveries))) {
		LIST_REMOVE(d, next);
		end(d);
	}
	event_free(events->due);
	free(events);
}
