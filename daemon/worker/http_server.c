/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libmicrohttpd on our event loop.  It accepts nothing itself: at its limit it would take its
 * listening socket out of its epoll set and, when idle connections end, not put it back.
 */
#include "http_server.h"

#include <errno.h>
#include <event2/event.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_head.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/rate_limit.h"

enum {
	ACCEPTS_AT_ONCE = 64,
	BACKLOG = 512,
	/* Octets of a connection for the head of a request and that of its answer. */
	CONNECTION_MEMORY = 16384,
	BODY_SWALLOWED = 4 * HTTP_BODY_MAX, /* of one whose length is not told */
};

struct connection {
	int fd; /* -1: a free place; libmicrohttpd's */
	struct address client;
	monotime deadline;
};

enum { IPV4, IPV6, FAMILIES };

struct http_server {
	struct http_options options;
	struct MHD_Daemon *daemon;
	struct rate_limit *limit;
	struct log_limit log;
	int fd[FAMILIES]; /* -1: not listening */
	struct event *acceptable[FAMILIES];
	struct event *ready, *run, *second; /* libmicrohttpd's descriptor, its timer, ours */
	struct connection *accepting;
	bool stopping;
	LIST_HEAD(, http_exchange) exchanges;
	uint64_t count[HTTP_COUNTS];
	struct connection place[];
};

struct http_exchange {
	LIST_ENTRY(http_exchange) next;
	struct http_server *server;
	struct MHD_Connection *mhd;
	struct connection *connection;
	struct http_request request;
	struct http_head head;
	char *body;
	size_t body_room, swallowed;
	bool handled, suspended;
	struct http_answer answer;
	struct MHD_Response *response; /* NULL: not answered yet, or no memory to do it */
};

/* --- connections --- */

/*
 * Places are kept for those who hold none.  A host has as many addresses of IPv6 as it likes, so
 * all of one prefix together have half of the places.
 */
static struct connection *
find_place(struct http_server *s, const struct address *client)
{
	unsigned most = s->options.connections, taken = 0, own = 0, neighbours = 0;
	struct connection *found = NULL;

	/* Until all that are open, and a free place, are seen. */
	for (unsigned i = 0; i < most && (taken < s->count[HTTP_OPEN] || !found); i++) {
		struct connection *c = &s->place[i];

		if (c->fd < 0) {
			found = found ? found : c;
			continue;
		}
		taken++;
		own += address_equal(&c->client, client);
		neighbours += address_same_network(&c->client, client);
	}
	if (own >= s->options.connections_per_client || (own > 0 && taken >= most - most / 4) ||
	    (!address_is_ipv4(client) && neighbours >= (most + 1) / 2))
		return NULL;
	return found;
}

static struct address
address_of(const struct sockaddr_storage *from)
{
	struct address a;

	if (from->ss_family == AF_INET)
		return address_from_ipv4(((const struct sockaddr_in *)from)->sin_addr.s_addr);
	memcpy(a.bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof(a.bytes));
	return a;
}

/* It ticks while there is something to watch. */
static void
arm_second(struct http_server *s)
{
	const struct timeval second = {1, 0};

	if (!event_pending(s->second, EV_TIMEOUT, NULL))
		event_add(s->second, &second);
}

static void
admit(struct http_server *s, int fd, const struct sockaddr_storage *from, socklen_t length)
{
	struct address client = address_of(from);
	struct connection *c = NULL;

	if (s->options.is_client(s->options.who, &client))
		c = find_place(s, &client);
	if (!c) {
		s->count[HTTP_SURPLUS]++;
		close(fd);
		return;
	}
	*c = (struct connection){fd, client, clock_now() + s->options.request_time};
	arm_second(s);
	s->count[HTTP_ACCEPTED]++;
	s->count[HTTP_OPEN]++;
	s->accepting = c;
	/* Closes the socket and says so if it fails, unless it did not even begin. */
	if (MHD_add_connection(s->daemon, fd, (const struct sockaddr *)from, length) != MHD_YES &&
	    s->accepting) {
		c->fd = -1;
		s->count[HTTP_OPEN]--;
	}
	s->accepting = NULL;
}

static void
on_acceptable(evutil_socket_t listener, short what, void *arg)
{
	struct http_server *s = arg;
	struct sockaddr_storage from;

	(void)what;
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		socklen_t length = sizeof(from);
		int fd = accept4(listener, (struct sockaddr *)&from, &length,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(s, fd, &from, length);
			/* Its request is mostly there by now. */
			event_active(s->run, EV_TIMEOUT, 0);
			continue;
		}
		/* Without descriptors it would be acceptable for ever: until the next second. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			for (int family = 0; family < FAMILIES; family++)
				if (s->fd[family] == listener)
					event_del(s->acceptable[family]);
			arm_second(s);
		}
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static void
on_connection(void *arg, struct MHD_Connection *mhd, void **context,
	      enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = arg;
	struct connection *c;

	(void)mhd;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = s->accepting;
		s->accepting = NULL;
		return;
	}
	c = *context;
	c->fd = -1;
	s->count[HTTP_OPEN]--;
}

/* --- requests --- */

static enum MHD_Result
add_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_size,
	   const char *value, size_t value_size)
{
	struct http_exchange *e = arg;

	(void)kind;
	http_head_add(&e->head, (struct text){name, name_size},
		      (struct text){value ? value : "", value_size});
	return MHD_YES;
}

/* A name instead of a literal is how a page in a browser gets here (DNS rebinding). */
static bool
is_for_us(const struct http_server *s, struct text authority)
{
	struct address address;
	uint16_t port;

	return http_parse_authority(authority, &address, &port) &&
	       (port == 0 || port == s->options.port) &&
	       s->options.is_ours(s->options.who, &address);
}

/* 0: look at it. */
static unsigned
judge(struct http_exchange *e, const char *url, const char *version)
{
	struct http_server *s = e->server;
	struct text target = text_of(url), authority;
	unsigned status;

	e->head.is_1_1 = strcmp(version, "HTTP/1.1") == 0;
	e->head.has_body = strcmp(e->request.method, "POST") == 0;
	MHD_get_connection_values_n(e->mhd, MHD_HEADER_KIND, add_header, e);
	status = http_head_judge(&e->head);
	if (status)
		return status;
	if (e->head.hosts && !is_for_us(s, e->head.host))
		return 400;
	if (http_split_target(&target, &authority) && !is_for_us(s, authority))
		return 400;
	e->request.path = target.at;
	return 0;
}

static struct http_exchange *
begin(struct http_server *s, struct MHD_Connection *mhd, const char *method)
{
	struct http_exchange *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->server = s;
	e->mhd = mhd;
	e->connection =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	e->request.method = method;
	e->request.client = e->connection->client;
	s->count[HTTP_REQUESTS]++;
	LIST_INSERT_HEAD(&s->exchanges, e, next);
	return e;
}

/* The answer leaves with the next run; without one the connection is closed. */
static enum MHD_Result
queue(struct http_exchange *e)
{
	return MHD_queue_response(e->mhd, e->answer.status, e->response);
}

static enum MHD_Result
on_head(struct http_server *s, struct http_exchange *e, const char *url, const char *version)
{
	unsigned status = judge(e, url, version);

	if (status) {
		s->count[HTTP_REFUSED]++;
	} else if (!rate_limit_take(s->limit, &e->request.client, clock_now())) {
		s->count[HTTP_LIMITED]++;
		status = 503;
	}
	if (!status)
		return MHD_YES;
	http_answer_status(e, status);
	return queue(e);
}

/* What is too long is read to its end, within reason, for only then may it be answered. */
static enum MHD_Result
on_body(struct http_exchange *e, const char *data, size_t *size)
{
	size_t n = *size;

	*size = 0;
	e->swallowed += n;
	if (e->swallowed > BODY_SWALLOWED)
		return MHD_NO;
	if (e->swallowed > HTTP_BODY_MAX)
		return MHD_YES;
	if (!e->body) {
		e->body_room = e->head.has_length ? e->head.length : HTTP_BODY_MAX;
		e->body = malloc(e->body_room);
	}
	/* It is the library that counts a body whose length is told. */
	if (!e->body || n > e->body_room - e->request.body_size)
		return MHD_NO;
	memcpy(e->body + e->request.body_size, data, n);
	e->request.body_size += n;
	return MHD_YES;
}

static enum MHD_Result
on_complete(struct http_server *s, struct http_exchange *e)
{
	if (!e->handled) {
		e->handled = true;
		e->request.body = e->body ? e->body : "";
		e->connection->deadline = clock_now() + s->options.answer_time;
		if (e->swallowed > HTTP_BODY_MAX) {
			s->count[HTTP_REFUSED]++;
			http_answer_status(e, 413);
		} else {
			s->options.handle(s->options.who, e);
		}
	}
	if (e->answer.status)
		return queue(e);
	e->suspended = true;
	MHD_suspend_connection(e->mhd);
	return MHD_YES;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
	   const char *version, const char *data, size_t *size, void **context)
{
	struct http_server *s = arg;
	struct http_exchange *e = *context;

	if (s->stopping)
		return MHD_NO;
	if (!e) {
		e = *context = begin(s, mhd, method);
		return e ? on_head(s, e, url, version) : MHD_NO;
	}
	return *size ? on_body(e, data, size) : on_complete(s, e);
}

static void
on_end(void *arg, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
	struct http_exchange *e = *context;

	(void)arg, (void)mhd, (void)code;
	if (!e)
		return;
	*context = NULL;
	LIST_REMOVE(e, next);
	e->connection->deadline = clock_now() + e->server->options.request_time;
	if (e->response)
		MHD_destroy_response(e->response);
	if (e->answer.sent && !e->server->stopping)
		e->answer.sent(e->answer.who, e->answer.what);
	free(e->body);
	free(e);
}

/* --- answers --- */

static struct MHD_Response *
make_response(const struct http_server *s, const struct http_answer *answer)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
	    answer->size, (void *)(uintptr_t)answer->body,
	    answer->take_body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_MUST_COPY);

	if (!r) {
		if (answer->take_body)
			free((void *)(uintptr_t)answer->body);
		return NULL;
	}
	MHD_add_response_header(r, "Server", s->options.server);
	if (answer->type)
		MHD_add_response_header(r, "Content-Type", answer->type);
	/* An empty value is refused, a blank one is sent as empty. */
	for (const struct http_field *f = answer->fields; f && f->name; f++)
		MHD_add_response_header(r, f->name, *f->value ? f->value : " ");
	return r;
}

static void
log_answer(struct http_server *s, const struct http_request *request, unsigned status)
{
	char client[ADDRESS_TEXT_SIZE];

	if (log_limited(&s->log, LOG_LEVEL_DEBUG, clock_now()))
		log_debug("http", "answered", "client=%s status=%u method=%s path=%s",
			  address_print(&request->client, client), status, request->method,
			  request->path ? request->path : "");
}

void
http_answer(struct http_exchange *e, const struct http_answer *answer)
{
	struct http_server *s = e->server;

	log_answer(s, &e->request, answer->status);
	e->answer = *answer;
	e->response = make_response(s, answer);
	if (!e->suspended)
		return;
	e->suspended = false;
	MHD_resume_connection(e->mhd);
	/* All that are answered now are resumed before it runs, for nothing else wakes it. */
	event_active(s->run, EV_TIMEOUT, 0);
}

void
http_answer_status(struct http_exchange *e, unsigned status)
{
	http_answer(e, &(struct http_answer){.status = status});
}

const struct http_request *
http_request(const struct http_exchange *e)
{
	return &e->request;
}

const char *
http_header(const struct http_exchange *e, const char *name)
{
	return MHD_lookup_connection_value(e->mhd, MHD_HEADER_KIND, name);
}

/* --- the loop --- */

static void
on_run(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	MHD_UNSIGNED_LONG_LONG ms;

	(void)fd, (void)what;
	MHD_run(s->daemon);
	if (MHD_get_timeout(s->daemon, &ms) == MHD_YES) {
		struct timeval wait = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

		event_add(s->run, &wait);
	}
}

/* libmicrohttpd's time-out counts silence alone: who drips would stay for ever. */
static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	monotime now = clock_now();

	(void)fd, (void)what;
	for (int family = 0; family < FAMILIES; family++)
		if (s->acceptable[family])
			event_add(s->acceptable[family], NULL);
	for (unsigned i = 0; i < s->options.connections; i++)
		if (s->place[i].fd >= 0 && s->place[i].deadline <= now)
			shutdown(s->place[i].fd, SHUT_RDWR);
	if (s->count[HTTP_OPEN])
		arm_second(s);
}

static void
stop_listening(struct http_server *s)
{
	for (int family = 0; family < FAMILIES; family++) {
		if (s->acceptable[family])
			event_free(s->acceptable[family]);
		if (s->fd[family] >= 0)
			close(s->fd[family]);
		s->acceptable[family] = NULL;
		s->fd[family] = -1;
	}
}

static int
open_listener(const char *interface, int family, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	const void *address = family == AF_INET ? (void *)&v4 : (void *)&v6;
	socklen_t length = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error, on = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    bind(fd, address, length) || listen(fd, BACKLOG)) {
		error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

int
http_server_listen(struct http_server *s, const char *interface, unsigned index)
{
	static const int families[FAMILIES] = {AF_INET, AF_INET6};

	stop_listening(s);
	if (index == 0)
		return 0;
	for (int family = 0; family < FAMILIES; family++) {
		int fd = open_listener(interface, families[family], s->options.port);

		/* A kernel may have no IPv6. */
		if (fd == -EAFNOSUPPORT && family == IPV6)
			continue;
		if (fd < 0) {
			stop_listening(s);
			return fd;
		}
		s->fd[family] = fd;
		s->acceptable[family] =
		    event_new(s->options.base, fd, EV_READ | EV_PERSIST, on_acceptable, s);
		if (!s->acceptable[family] || event_add(s->acceptable[family], NULL)) {
			stop_listening(s);
			return -ENOMEM;
		}
	}
	return 0;
}

const uint64_t *
http_server_counts(const struct http_server *s)
{
	return s->count;
}

/* Paths are compared as they came: %00 must not end one. */
static size_t
keep_escapes(void *arg, struct MHD_Connection *mhd, char *text)
{
	(void)arg, (void)mhd;
	return strlen(text);
}

static struct MHD_Daemon *
start_daemon(struct http_server *s)
{
	/* A new connection is read at once (TURBO).  Without the next flag suspending ends the
	 * process. */
	return MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0,
	    NULL, NULL, on_request, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
	    MHD_OPTION_NOTIFY_COMPLETED, on_end, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes,
	    NULL, MHD_OPTION_CONNECTION_LIMIT, s->options.connections + ACCEPTS_AT_ONCE,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
}

static bool
start(struct http_server *s)
{
	uint64_t seed = 0;
	int epoll;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return false;
	s->limit = rate_limit_new(s->options.requests_per_second, seed);
	s->daemon = start_daemon(s);
	if (!s->limit || !s->daemon)
		return false;
	epoll = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	s->ready = event_new(s->options.base, epoll, EV_READ | EV_PERSIST, on_run, s);
	s->run = event_new(s->options.base, -1, 0, on_run, s);
	s->second = event_new(s->options.base, -1, 0, on_second, s);
	return s->ready && s->run && s->second && event_add(s->ready, NULL) == 0;
}

struct http_server *
http_server_new(const struct http_options *options)
{
	struct http_server *s =
	    calloc(1, sizeof(*s) + options->connections * sizeof(struct connection));

	if (!s)
		return NULL;
	s->options = *options;
	s->fd[IPV4] = s->fd[IPV6] = -1;
	for (unsigned i = 0; i < options->connections; i++)
		s->place[i].fd = -1;
	if (!start(s)) {
		http_server_free(s);
		return NULL;
	}
	return s;
}

void
http_server_free(struct http_server *s)
{
	struct http_exchange *e;

	if (!s)
		return;
	s->stopping = true;
	stop_listening(s);
	/* It must not be stopped while a connection is suspended. */
	LIST_FOREACH(e, &s->exchanges, next)
	if (e->suspended)
		MHD_resume_connection(e->mhd);
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	if (s->ready)
		event_free(s->ready);
	if (s->run)
		event_free(s->run);
	if (s->second)
		event_free(s->second);
	rate_limit_free(s->limit);
	free(s);
}
