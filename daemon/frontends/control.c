/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients of the control socket.  Each does one small piece of work a turn of the event loop, and
 * only once what it was sent before has left: neither a long list nor a slow reader holds up
 * anybody else.
 */
#include "control.h"
#include "../core/decision.h"
#include "../core/forwards.h"

#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	CLIENTS_MAX = 16,
	READERS_MAX = 12, /* the rest is kept for those who may change */
	BACKLOG = 16,
	PATIENCE = 10000,   /* milliseconds, unless the options say otherwise */
	LEASES_A_TURN = 16, /* sent, each with its question to the kernel: some 0.3 ms */
	EXAMINED_A_TURN = 250,
	ENDED_A_TURN = 64, /* by a flush: as many as a batch of requests */
};
_Static_assert((LEASES_A_TURN + 1) * CONTROL_LEASE_MAX <= CONTROL_LINE_MAX,
	       "a turn fits in client.out");

struct client {
	struct control *control;
	int fd;
	uid_t uid;
	bool may_read;
	bool may_change;
	struct event *readable;
	struct event *writable;
	monotime deadline; /* of the request being read */
	char in[CONTROL_REQUEST_MAX];
	size_t in_size;
	char out[CONTROL_LINE_MAX];
	size_t out_size;
	size_t out_sent;
	bool working;
	bool waiting; /* for control_reloaded() */
	bool closing; /* once all is sent */
	struct control_request request;
	/* How far the work has come. */
	uint64_t last_id;
	uint64_t counted[ORIGINS];
	uint64_t end; /* of a flush: what comes after this id came after it */
	struct control_flushed flushed;
	struct session_list *sessions; /* of the present request; NULL: unknown, or not asked for */
	const struct session *session; /* the next to be told */
	bool shown;
};

struct control {
	struct control_options options;
	struct event *listener;
	struct event *resume; /* listening again after accept() found no descriptor free */
	struct client *client[CLIENTS_MAX];
};

/* The socket file */

gid_t
control_group(void)
{
	const struct group *group = getgrnam("portlease");

	return group ? group->gr_gid : CONTROL_NO_GROUP;
}

/* With errno's words if there is one. */
static int __attribute__((format(printf, 3, 4)))
complain(char *why, size_t why_size, const char *format, ...)
{
	int error = errno, length;
	va_list list;

	va_start(list, format);
	length = vsnprintf(why, why_size, format, list);
	va_end(list);
	if (error && length >= 0 && (size_t)length < why_size)
		snprintf(why + length, why_size - (size_t)length, ": %s", strerror(error));
	return -1;
}

/* Takes away the socket of a daemon that is gone. */
static int
clear_path(const struct sockaddr_un *address, char *why, size_t why_size)
{
	struct stat status;
	int fd, answered;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT
			   ? 0
			   : complain(why, why_size, "cannot look at %s", address->sun_path);
	errno = 0;
	if (!S_ISSOCK(status.st_mode))
		return complain(why, why_size, "%s exists and is not a socket", address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain(why, why_size, "cannot make a socket for %s", address->sun_path);
	answered =
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN;
	close(fd);
	errno = 0;
	if (answered)
		return complain(why, why_size, "another daemon answers on %s", address->sun_path);
	if (unlink(address->sun_path) < 0)
		return complain(why, why_size, "cannot replace %s", address->sun_path);
	return 0;
}

static void
make_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = '\0';
		(void)mkdir(folder, 0755); /* bind() says what is wrong, if it matters */
	}
}

/* Without the group, or the right to give a file away, it is for the daemon's own user alone. */
static void
set_owner(const char *path)
{
	gid_t group = control_group();

	if (group == CONTROL_NO_GROUP)
		log_debug("control", "no group portlease", "socket=%s", path);
	if (chown(path, 0, group == CONTROL_NO_GROUP ? 0 : group) < 0)
		log_debug("control", "the socket keeps its owner", "socket=%s reason=\"%s\"", path,
			  strerror(errno));
}

int
control_bind(const struct config *config, char *why, size_t why_size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = config->control_socket;
	mode_t mask;
	int fd, error;

	errno = 0;
	if (strlen(path) >= sizeof(address.sun_path))
		return complain(why, why_size, "the control socket's path is too long: %s", path);
	strcpy(address.sun_path, path);
	make_folder(path);
	if (clear_path(&address, why, why_size) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain(why, why_size, "cannot make a socket for %s", path);
	mask = umask(0177); /* nobody else's until it has its owner and mode */
	error = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (error < 0 || chmod(path, config->control_readable ? 0666 : 0660) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		complain(why, why_size, "cannot make %s", path);
		close(fd);
		return -1;
	}
	set_owner(path);
	return fd;
}

/* What clients may do */

static bool
in_supplementary_group(int fd, gid_t group)
{
	socklen_t size = 0;
	gid_t *groups;
	bool found = false;

	/* The first call only tells the size, by ERANGE. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
		return false;
	groups = malloc(size);
	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
		for (size_t i = 0; i < size / sizeof(*groups); i++)
			found |= groups[i] == group;
	free(groups);
	return found;
}

static void
judge_peer(struct client *client)
{
	const struct control_options *options = &client->control->options;
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return; /* may nothing */
	client->uid = peer.uid;
	client->may_change = peer.uid == 0;
	if (options->group != CONTROL_NO_GROUP)
		client->may_change |= peer.gid == options->group ||
				      in_supplementary_group(client->fd, options->group);
	client->may_read = client->may_change || options->config->control_readable;
}

/* Lines to a client */

static bool
put(struct client *client, const struct control_reply *reply)
{
	size_t length = control_reply_encode(reply, client->out + client->out_size,
					     sizeof(client->out) - client->out_size);

	client->out_size += length;
	return length > 0;
}

static void
forget_sessions(struct client *client)
{
	if (client->sessions)
		sessions_release(client->control->options.sessions, client->sessions);
	client->sessions = NULL;
	client->session = NULL;
}

static void
finish(struct client *client, enum control_result result, const char *message)
{
	struct control_reply reply = {.line = CONTROL_LINE_RESULT};

	reply.result = result;
	snprintf(reply.message, sizeof(reply.message), "%s", message);
	client->working = false;
	forget_sessions(client);
	if (!put(client, &reply))
		client->closing = true; /* a reader knows the end by its line: without it, by the
					   end of the stream */
}

/* Commands: each is called once a turn until it calls finish() */

static uint64_t
seconds(monotime span)
{
	return span > 0 ? (uint64_t)(span / MONOTIME_SECOND) : 0;
}

static const char *
or_empty(const char *text)
{
	return text ? text : "";
}

/* Reads a piece of them more.  False: that was not the last. */
static bool
have_sessions(struct client *client)
{
	const struct control_options *options = &client->control->options;
	enum session_reading reading = SESSIONS_FAILED;

	if (options->sessions && !client->sessions)
		client->sessions = sessions_ask(options->sessions, options->now());
	if (client->sessions)
		reading = sessions_read(options->sessions, client->sessions);
	if (reading == SESSIONS_FAILED)
		forget_sessions(client);
	return reading != SESSIONS_READING;
}

/* Beside a result's line at the end. */
static bool
has_room(const struct client *client, size_t line)
{
	return sizeof(client->out) - client->out_size >= line + CONTROL_LEASE_MAX;
}

/* Those of the lease that was put last.  False: there are more than fit in this turn. */
static bool
put_sessions(struct client *client)
{
	for (; client->session; client->session = session_next(client->sessions, client->session)) {
		const struct session *from = client->session;
		struct control_reply reply = {.line = CONTROL_LINE_SESSION};

		if (!has_room(client, CONTROL_SESSION_MAX))
			return false;
		reply.session = (struct control_session){
		    .lease = from->lease,
		    .outbound = from->outbound,
		    .transport = from->transport,
		    .external_port = from->port,
		    .remote = from->remote,
		    .timeout = from->timeout,
		};
		snprintf(reply.session.state, sizeof(reply.session.state), "%s",
			 session_state_name(from->state));
		put(client, &reply);
	}
	return true;
}

static bool
put_lease(struct client *client, const struct lease *lease)
{
	const struct control_options *options = &client->control->options;
	const struct lease_record *record = &lease->record;
	monotime now = options->now();
	struct control_reply reply = {.line = CONTROL_LINE_LEASE};

	reply.lease = (struct control_lease){
	    .id = record->id,
	    .origin = record->origin,
	    .transport = record->transport,
	    .external = {engine_external_address(options->engine), record->external_port},
	    .internal = record->internal,
	    .more_ports = record->more_ports,
	    .lifetime = record->lifetime,
	    .remaining =
		record->ends == MONOTIME_NEVER ? CONTROL_ENDLESS : lease_remaining(record, now),
	    .age = seconds(now - record->created),
	    .outbound = record->outbound,
	    .connections = engine_connections(options->engine, lease),
	    .enabled = !record->disabled,
	    .remote = record->remote,
	    .remote_length = record->remote_length,
	    .upnp_index =
		options->config->upnp.on ? (uint32_t)lease_index(lease) : CONTROL_NO_INDEX,
	};
	snprintf(reply.lease.name, sizeof(reply.lease.name), "%s",
		 record->name ? record->name : "");
	snprintf(reply.lease.description, sizeof(reply.lease.description), "%s",
		 or_empty(record->description));
	snprintf(reply.lease.user_agent, sizeof(reply.lease.user_agent), "%s",
		 or_empty(record->user_agent));
	reply.lease.live =
	    client->sessions ? session_count(client->sessions, lease) : CONTROL_UNKNOWN;
	if (client->sessions &&
	    (client->request.sessions || client->request.command == CONTROL_SHOW))
		client->session = session_first(client->sessions, lease);
	return put(client, &reply);
}

static bool
matches(const struct control_filter *filter, const struct lease_record *record)
{
	return (!filter->has_client ||
		prefix_contains(&filter->client, &record->internal.address)) &&
	       (!filter->has_origin || filter->origin == record->origin) &&
	       (!filter->has_transport || filter->transport == record->transport);
}

static const struct lease *
next_lease(struct client *client)
{
	const struct lease_table *leases = engine_leases(client->control->options.engine);
	const struct lease *lease = lease_table_after_id(leases, client->last_id);

	if (lease)
		client->last_id = lease->record.id;
	return lease;
}

static void
work_list(struct client *client)
{
	int sent = 0;

	if (!client->shown && !have_sessions(client))
		return;
	client->shown = true; /* from the first on: what was read stays */
	for (int examined = 0; examined < EXAMINED_A_TURN && sent < LEASES_A_TURN; examined++) {
		const struct lease *lease;

		if (!put_sessions(client) || !has_room(client, CONTROL_LEASE_MAX))
			return;
		lease = next_lease(client);
		if (!lease) {
			finish(client, CONTROL_OK, "");
			return;
		}
		if (!matches(&client->request.filter, &lease->record))
			continue;
		if (!put_lease(client, lease)) {
			finish(client, CONTROL_FAILED, "out of memory");
			return;
		}
		sent++;
	}
}

static const struct lease *
find_target(const struct client *client)
{
	const struct lease_table *leases = engine_leases(client->control->options.engine);
	const struct control_target *target = &client->request.target;

	return target->id ? lease_table_by_id(leases, target->id)
			  : lease_table_by_external(leases, target->transport, target->port);
}

static void
work_show(struct client *client)
{
	const struct lease *lease = find_target(client);

	if (client->shown) {
		if (put_sessions(client))
			finish(client, CONTROL_OK, "");
	} else if (!lease) {
		finish(client, CONTROL_NOT_FOUND, "no such lease");
	} else if (have_sessions(client)) {
		client->shown = true;
		if (!put_lease(client, lease))
			finish(client, CONTROL_FAILED, "out of memory");
	}
}

/* Where a forward comes from: "FILE:LINE", or that it was added. */
static void
name_source(const struct client *client, const struct lease *lease, char *out, size_t size)
{
	const char *file = client->control->options.config_path;

	if (lease->record.line)
		snprintf(out, size, "%s:%u", file, lease->record.line);
	else
		snprintf(out, size, "added at run time");
}

/* The next that the request means, which its end has not reached yet; NULL: none. */
static const struct lease *
next_to_remove(const struct client *client)
{
	const char *name = client->request.target.name;

	return name[0] ? forwards_by_name(engine_leases(client->control->options.engine), name)
		       : find_target(client);
}

static const char refused_for_journal[] =
    "the journal failed, and nothing is done that it does not hold; see the status";

static void
work_remove(struct client *client)
{
	const struct control_options *options = &client->control->options;
	const struct lease *lease = next_to_remove(client);
	monotime now = options->now();
	char why[CONTROL_WHY_SIZE], source[CONTROL_WHY_SIZE / 2];
	uint64_t id;

	if (!lease) {
		finish(client, CONTROL_NOT_FOUND, "no such lease");
		return;
	}
	if (lease->record.line) {
		name_source(client, lease, source, sizeof(source));
		snprintf(why, sizeof(why), "it is forward \"%s\" of %s: remove it there",
			 lease->record.name, source);
		finish(client, CONTROL_CONFLICT, why);
		return;
	}
	do {
		id = lease->record.id;
		log_info("control", "remove", "lease=%" PRIu64 " uid=%u", id,
			 (unsigned)client->uid);
	} while (engine_remove(options->engine, id, now) && client->request.target.name[0] &&
		 (lease = next_to_remove(client)));
	engine_flush(options->engine, now);
	options->changed(options->arg);
	if (!lease_table_by_id(engine_leases(options->engine), id))
		finish(client, CONTROL_OK, "");
	else if (engine_journal_refuses(options->engine))
		finish(client, CONTROL_FAILED, refused_for_journal);
	else
		finish(client, CONTROL_FAILED,
		       "the kernel did not take the mapping away; see the log");
}

/* Ends what is selected of a piece of the table.  False: that was the last of it. */
static bool
flush_piece(struct client *client)
{
	const struct control_options *options = &client->control->options;
	const struct lease_table *leases = engine_leases(options->engine);
	uint64_t ended[ENDED_A_TURN];
	monotime now = options->now();
	const struct lease *lease = NULL;
	size_t count = 0;

	for (int i = 0; i < EXAMINED_A_TURN && count < ENDED_A_TURN; i++) {
		lease = next_lease(client);
		if (!lease || lease->record.id > client->end)
			break;
		if (lease->record.origin == ORIGIN_STATIC ||
		    !matches(&client->request.filter, &lease->record))
			continue;
		ended[count++] = lease->record.id;
		(void)engine_remove(options->engine, lease->record.id, now);
	}
	engine_flush(options->engine, now);
	for (size_t i = 0; i < count; i++)
		++*(lease_table_by_id(leases, ended[i]) ? &client->flushed.failed
							: &client->flushed.removed);
	if (count)
		options->changed(options->arg);
	return lease && client->last_id < client->end;
}

/* RFC 6887 8.5: no mapping is left, so a new epoch says so.  It would make all clients ask again:
 * where some keep theirs, nobody is told. */
static void
flush_epoch(const struct client *client)
{
	const struct control_options *options = &client->control->options;
	const struct control_filter *filter = &client->request.filter;

	if (client->flushed.removed == 0 || filter->has_client || filter->has_origin ||
	    filter->has_transport)
		return;
	engine_begin_epoch(options->engine, options->now());
	options->announce(options->arg);
}

/* Each piece is told: the reader sees that the daemon lives. */
static void
work_flush(struct client *client)
{
	struct control_reply reply = {.line = CONTROL_LINE_FLUSHED};
	char why[CONTROL_WHY_SIZE];
	bool more;

	if (client->last_id == 0) {
		log_info("control", "flush", "uid=%u", (unsigned)client->uid);
		client->end = lease_table_last_id(engine_leases(client->control->options.engine));
	}
	more = flush_piece(client);
	reply.flushed = client->flushed;
	put(client, &reply);
	if (more)
		return;
	flush_epoch(client);
	snprintf(why, sizeof(why),
		 "%" PRIu64 " could not be ended and are still there; see the log",
		 client->flushed.failed);
	if (client->flushed.failed)
		finish(client, CONTROL_FAILED, why);
	else
		finish(client, CONTROL_OK, "");
}

/* All of it or nothing. */
static bool
add_forward(struct client *client, const struct forward *forward)
{
	const struct control_options *options = &client->control->options;
	const struct lease_table *leases = engine_leases(options->engine);
	monotime now = options->now();
	const struct lease *part;
	bool good;

	(void)engine_add_forward(options->engine, forward, now);
	engine_flush(options->engine, now);
	good = forwards_has_all(leases, forward);
	while (!good && (part = forwards_by_name(leases, forward->name)) &&
	       engine_remove(options->engine, part->record.id, now))
		;
	engine_flush(options->engine, now);
	options->changed(options->arg);
	return good;
}

static void
work_add(struct client *client)
{
	struct forward *forward = &client->request.forward;
	const char *expected = forward_complete(forward);
	const struct lease *other =
	    forwards_conflict(engine_leases(client->control->options.engine), forward);
	char why[CONTROL_WHY_SIZE], source[CONTROL_WHY_SIZE / 2];

	if (expected) {
		snprintf(why, sizeof(why), "expected %s", expected);
		finish(client, CONTROL_BAD_REQUEST, why);
		return;
	}
	if (other) {
		name_source(client, other, source, sizeof(source));
		snprintf(why, sizeof(why),
			 "forward \"%s\" (%s) has its name, or a port and a remote host in common",
			 other->record.name, source);
		finish(client, CONTROL_CONFLICT, why);
		return;
	}
	log_info("control", "add", "forward=\"%s\" uid=%u", forward->name, (unsigned)client->uid);
	if (add_forward(client, forward))
		finish(client, CONTROL_OK, "");
	else if (engine_journal_refuses(client->control->options.engine))
		finish(client, CONTROL_FAILED, refused_for_journal);
	else
		finish(client, CONTROL_FAILED, "the kernel did not take the forward; see the log");
}

static void
work_version(struct client *client)
{
	struct control_reply reply = {.line = CONTROL_LINE_VERSION, .version = PORTLEASE_VERSION};

	if (put(client, &reply))
		finish(client, CONTROL_OK, "");
	else
		finish(client, CONTROL_FAILED, "out of memory");
}

static struct control_counters
copy_counters(const struct counters *from)
{
	struct control_counters to = {
	    .granted = from->granted,
	    .renewed = from->renewed,
	    .deleted = from->deleted,
	    .expired = from->expired,
	    .removed = from->removed,
	    .gone = from->gone,
	    .idle = from->idle,
	    .batches = from->batches,
	    .largest_batch = from->largest_batch,
	    .kernel_transactions = from->kernel_transactions,
	    .kernel_aborts = from->kernel_aborts,
	    .kernel_refusals = from->kernel_refusals,
	    .journal_refusals = from->journal_refusals,
	    .table_restores = from->table_restores,
	    .address_changes = from->address_changes,
	    .flow_passes = from->flow_passes,
	    .flows_ended = from->flows_ended,
	};

	memcpy(to.requests, from->requests, sizeof(to.requests));
	memcpy(to.results, from->results, sizeof(to.results));
	return to;
}

static void
put_status(struct client *client)
{
	const struct control_options *options = &client->control->options;
	struct control_reply reply = {.line = CONTROL_LINE_STATUS};
	struct control_status *status = &reply.status;
	monotime now = options->now();

	*status = (struct control_status){
	    .version = PORTLEASE_VERSION,
	    .pid = (uint32_t)getpid(),
	    .uptime = seconds(now - options->started),
	    .epoch = engine_epoch(options->engine, now),
	    .external = engine_external_address(options->engine),
	    .nat_pmp = options->config->nat_pmp,
	    .pcp = options->config->pcp,
	    .upnp = options->config->upnp.on,
	    .forwarding = options->forwards(options->arg),
	    .table_intact = engine_table_intact(options->engine),
	    .journal_refuses = engine_journal_refuses(options->engine),
	    .rules = options->config->rules,
	    .counters = copy_counters(engine_counters(options->engine)),
	};
	if (engine_journal_fault(options->engine))
		snprintf(status->journal_fault, sizeof(status->journal_fault), "%s",
			 engine_journal_fault(options->engine));
	memcpy(status->leases, client->counted, sizeof(status->leases));
	while (status->interfaces < CONTROL_INTERFACES &&
	       options->interface(options->arg, status->interfaces,
				  &status->interface[status->interfaces]))
		status->interfaces++;
	while (status->chains < CONTROL_CHAINS &&
	       options->chain(options->arg, status->chains, &status->chain[status->chains]))
		status->chains++;
	if (put(client, &reply))
		finish(client, CONTROL_OK, "");
	else
		finish(client, CONTROL_FAILED, "out of memory");
}

/* Counting the leases of each origin is a walk too. */
static void
work_status(struct client *client)
{
	for (int examined = 0; examined < EXAMINED_A_TURN; examined++) {
		const struct lease *lease = next_lease(client);

		if (!lease) {
			put_status(client);
			return;
		}
		client->counted[lease->record.origin]++;
	}
}

static void
work_reload(struct client *client)
{
	const struct control_options *options = &client->control->options;

	log_info("control", "reload", "uid=%u", (unsigned)client->uid);
	client->waiting = true;
	options->reload(options->arg);
}

static const struct command {
	bool changes;
	void (*work)(struct client *);
} commands[CONTROL_COMMANDS] = {
    [CONTROL_STATUS] = {false, work_status},   [CONTROL_LIST] = {false, work_list},
    [CONTROL_SHOW] = {false, work_show},       [CONTROL_REMOVE] = {true, work_remove},
    [CONTROL_VERSION] = {false, work_version}, [CONTROL_RELOAD] = {true, work_reload},
    [CONTROL_ADD] = {true, work_add},	       [CONTROL_FLUSH] = {true, work_flush},
};

/* Traffic */

static void
drop(struct client *client)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (client->control->client[i] == client)
			client->control->client[i] = NULL;
	forget_sessions(client);
	if (client->readable)
		event_free(client->readable);
	if (client->writable)
		event_free(client->writable);
	close(client->fd);
	free(client);
}

static void
start(struct client *client, const char *line, size_t length)
{
	char why[CONTROL_WHY_SIZE];

	client->last_id = 0;
	client->flushed = (struct control_flushed){0};
	client->shown = false;
	memset(client->counted, 0, sizeof(client->counted));
	if (!client->may_read)
		finish(client, CONTROL_NOT_PERMITTED,
		       "only root and members of group portlease may ask");
	else if (!control_request_decode(line, length, &client->request, why, sizeof(why)))
		finish(client, CONTROL_BAD_REQUEST, why);
	else if (commands[client->request.command].changes && !client->may_change)
		finish(client, CONTROL_NOT_PERMITTED,
		       "only root and members of group portlease may change leases");
	else
		client->working = true;
}

/* Begins the next request if there is a whole one. */
static bool
next_request(struct client *client)
{
	const char *end = memchr(client->in, '\n', client->in_size);
	size_t length;

	if (!end && client->in_size < sizeof(client->in))
		return false;
	if (!end) {
		finish(client, CONTROL_BAD_REQUEST, "the request is too long");
		client->closing = true;
		return true;
	}
	length = (size_t)(end - client->in);
	start(client, client->in, length);
	client->in_size -= length + 1;
	memmove(client->in, end + 1, client->in_size);
	return true;
}

static void
await(struct event *event, monotime span)
{
	event_add(event, &(struct timeval){span / 1000, span % 1000 * 1000});
}

/* The rest of the present request. */
static void
await_request(struct client *client)
{
	monotime left = client->deadline - client->control->options.now();

	await(client->readable, left > 0 ? left : 0);
}

static void
await_new_request(struct client *client)
{
	const struct control_options *options = &client->control->options;

	client->deadline = options->now() + options->patience;
	await_request(client);
}

static void
await_reader(struct client *client)
{
	await(client->writable, client->control->options.patience);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;
	ssize_t got;

	if (what & EV_TIMEOUT) {
		drop(client);
		return;
	}
	got = recv(fd, client->in + client->in_size, sizeof(client->in) - client->in_size,
		   MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		drop(client);
		return;
	}
	if (got > 0)
		client->in_size += (size_t)got;
	if (next_request(client))
		await_reader(client);
	else
		await_request(client);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;
	ssize_t sent;

	if (what & EV_TIMEOUT) {
		log_debug("control", "reader stalled", "uid=%u", (unsigned)client->uid);
		drop(client);
		return;
	}
	if (client->working && client->out_size == 0)
		commands[client->request.command].work(client);
	if (client->waiting)
		return;
	sent = send(fd, client->out + client->out_sent, client->out_size - client->out_sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		drop(client);
		return;
	}
	if (sent > 0)
		client->out_sent += (size_t)sent;
	if (client->out_sent == client->out_size)
		client->out_sent = client->out_size = 0;
	if (client->out_size > 0 || client->working) {
		await_reader(client);
	} else if (client->closing) {
		drop(client);
	} else if (next_request(client)) {
		await_reader(client);
	} else {
		await_new_request(client);
	}
}

void
control_reloaded(struct control *control, const char *why)
{
	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = control->client[i];

		if (!client || !client->waiting)
			continue;
		client->waiting = false;
		finish(client, why ? CONTROL_FAILED : CONTROL_OK, why ? why : "");
		await_reader(client);
	}
}

/* NULL: no room for one more of its kind. */
static struct client **
free_place(struct control *control, bool may_change)
{
	struct client **place = NULL;
	int taken = 0;

	for (int i = 0; i < CLIENTS_MAX; i++)
		if (control->client[i])
			taken++;
		else
			place = &control->client[i];
	return taken < (may_change ? CLIENTS_MAX : READERS_MAX) ? place : NULL;
}

static void
turn_away(struct client *client)
{
	finish(client, CONTROL_BUSY, "too many clients of the control socket");
	(void)send(client->fd, client->out, client->out_size, MSG_DONTWAIT | MSG_NOSIGNAL);
	drop(client);
}

static void
admit(struct control *control, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	struct client **place;

	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
	client->fd = fd;
	judge_peer(client);
	place = free_place(control, client->may_change);
	if (!place) {
		turn_away(client);
		return;
	}
	*place = client;
	client->readable = event_new(control->options.base, fd, EV_READ, on_readable, client);
	client->writable = event_new(control->options.base, fd, EV_WRITE, on_writable, client);
	if (!client->readable || !client->writable) {
		drop(client);
		return;
	}
	await_new_request(client);
}

static void
on_connection(evutil_socket_t listener, short what, void *arg)
{
	struct control *control = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd >= 0) {
		admit(control, fd);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		/* The connection stays in the queue: without a pause this would spin. */
		event_del(control->listener);
		event_add(control->resume, &(struct timeval){1, 0});
	}
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)fd;
	(void)what;
	event_add(control->listener, NULL);
}

struct control *
control_new(const struct control_options *options)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control) {
		close(options->fd);
		return NULL;
	}
	control->options = *options;
	if (!control->options.patience)
		control->options.patience = PATIENCE;
	control->listener =
	    event_new(options->base, options->fd, EV_READ | EV_PERSIST, on_connection, control);
	control->resume = event_new(options->base, -1, 0, on_resume, control);
	if (!control->listener || !control->resume || event_add(control->listener, NULL) < 0) {
		control_free(control);
		return NULL;
	}
	return control;
}

void
control_free(struct control *control)
{
	if (!control)
		return;
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (control->client[i])
			drop(control->client[i]);
	if (control->listener)
		event_free(control->listener);
	if (control->resume)
		event_free(control->resume);
	close(control->options.fd);
	(void)unlink(
	    control->options.config->control_socket); /* in vain if its folder is not ours */
	free(control);
}
