/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Works in rounds: hosts are asked, and some seconds later looked at; then flows are read, if there
 * is something that they could tell; then what is not needed ends.
 */
#include "upkeep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sweep.h"
#include "../base/log.h"

/* Pieces: each takes less than a millisecond. */
enum { CLIENTS_A_PIECE = 32, LEASES_A_PIECE = 32 };

#define SHORTEST_INTERVAL MONOTIME_SECOND
#define LONGEST_INTERVAL  (600 * MONOTIME_SECOND)
#define YIELD		  ((monotime)20)	/* to another reading of flows */
#define ROUNDING	  (2 * MONOTIME_SECOND) /* of the time-outs of flows, which are in seconds */

/* When the flows of one state end that had traffic last: all of a state have the same time-out, so
 * this moves exactly when one of them has traffic. */
struct traffic {
	monotime ends[FLOW_STATES];
};

/* A host that did not answer. */
struct suspect {
	struct address address;
	char lan[MAPPING_LAN_SIZE];
	monotime since;
	unsigned spared;
	bool based;  /* .before is known */
	bool failed; /* at the last look, too */
	bool gone;
	struct traffic before, now;
	RB_ENTRY(suspect) by_address;
};

RB_HEAD(suspects, suspect);

enum step { STEP_PROBE, STEP_LOOK, STEP_FLOWS, STEP_JUDGE, STEPS };

struct upkeep {
	struct upkeep_options options;
	const struct lease_table *table;
	monotime host_gone, idle;	/* 0: off */
	monotime idle_since;		/* what is known from before does not count */
	monotime hosts_due, leases_due; /* rounds; 0: there was nobody to look after */
	monotime awaited;		/* the next call; never before the last one */
	bool running;
	bool hosts, leases; /* what this round looks after */
	enum step step;
	monotime not_before; /* the step */
	monotime began;
	bool reading;
	struct address client; /* the last one that the step has been at */
	uint64_t lease;	       /* likewise */
	uint64_t last;	       /* the last lease before the round */
	uint64_t restores;     /* of the kernel's table, before this round */
	bool anew;	       /* it was made anew since the last one */
	struct suspects suspects;
	struct log_limit limit;
};

static int
compare_suspect(const struct suspect *a, const struct suspect *b)
{
	return address_compare(&a->address, &b->address);
}

RB_GENERATE_INTERNAL(suspects, suspect, by_address, compare_suspect, __attribute__((unused)) static)

struct upkeep *
upkeep_new(const struct upkeep_options *options)
{
	struct upkeep *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->options = *options;
	u->table = engine_leases(options->engine);
	u->awaited = MONOTIME_NEVER;
	RB_INIT(&u->suspects);
	return u;
}

static void
clear(struct upkeep *u, struct suspect *s)
{
	RB_REMOVE(suspects, &u->suspects, s);
	free(s);
}

static void
clear_all(struct upkeep *u)
{
	struct suspect *s, *next;

	RB_FOREACH_SAFE(s, suspects, &u->suspects, next)
	clear(u, s);
}

void
upkeep_free(struct upkeep *u)
{
	if (u)
		clear_all(u);
	free(u);
}

void
upkeep_set(struct upkeep *u, monotime host_gone, monotime idle, monotime now)
{
	if (host_gone == u->host_gone && idle == u->idle)
		return;
	if (!u->idle)
		u->idle_since = now;
	u->host_gone = host_gone;
	u->idle = idle;
	u->hosts_due = u->leases_due = 0;
	u->running = false;
	if (!host_gone)
		clear_all(u);
}

static struct suspect *
find(const struct upkeep *u, const struct address *address)
{
	struct suspect key = {.address = *address};

	return RB_FIND(suspects, (struct suspects *)&u->suspects, &key);
}

/* Hosts */

/* Of a client that is a suspect, or may become one: its first lease that may end; NULL: none. */
static const struct lease *
first_dynamic(const struct lease *lease)
{
	while (lease && lease->record.origin == ORIGIN_STATIC)
		lease = lease_next_of_client(lease);
	return lease;
}

static void
probe(struct upkeep *u, const struct lease *lease, monotime now)
{
	const struct lease_record *r = &lease->record;
	struct suspect *s;

	(void)now;
	if (u->options.probe(u->options.arg, r->lan, &r->internal.address))
		return;
	s = find(u, &r->internal.address);
	if (s)
		clear(u, s);
}

/* Out of memory it has luck. */
static void
suspect(struct upkeep *u, const struct lease_record *r, monotime now)
{
	struct suspect *s = calloc(1, sizeof(*s));

	if (!s)
		return;
	s->address = r->internal.address;
	memcpy(s->lan, r->lan, sizeof(s->lan));
	s->since = now;
	s->failed = true;
	RB_INSERT(suspects, &u->suspects, s);
}

static void
look(struct upkeep *u, const struct lease *lease, monotime now)
{
	const struct lease_record *r = &lease->record;
	enum network_neighbour is = u->options.look(u->options.arg, r->lan, &r->internal.address);
	struct suspect *s = find(u, &r->internal.address);

	if (is == NETWORK_FAILED && !s)
		suspect(u, r, now);
	else if (is == NETWORK_THERE && s)
		clear(u, s);
	else if (s)
		s->failed = is == NETWORK_FAILED;
}

/* True: that was all. */
static bool
each_client(struct upkeep *u, void (*what)(struct upkeep *, const struct lease *, monotime),
	    monotime now)
{
	for (int i = 0; i < CLIENTS_A_PIECE; i++) {
		const struct lease *lease = lease_table_after_client(u->table, &u->client);

		if (!lease)
			return true;
		u->client = lease->record.internal.address;
		lease = first_dynamic(lease);
		if (lease)
			what(u, lease, now);
	}
	return false;
}

static bool
step_probe(struct upkeep *u, monotime now)
{
	if (!u->hosts)
		return true;
	if (!each_client(u, probe, now))
		return false;
	u->not_before = now + NETWORK_PROBE;
	return true;
}

static bool
step_look(struct upkeep *u, monotime now)
{
	return !u->hosts || each_client(u, look, now);
}

static bool
had_traffic(const struct suspect *s)
{
	for (int i = 0; i < FLOW_STATES; i++)
		if (s->now.ends[i] > s->before.ends[i] + ROUNDING)
			return true;
	return false;
}

static void
judge_host(const struct upkeep *u, struct suspect *s, monotime now)
{
	if (!s->based) {
		s->based = true;
		s->before = s->now;
	} else if (s->failed && now - s->since >= u->host_gone) {
		s->gone = s->spared == UPKEEP_SPARED || !had_traffic(s);
		s->spared++;
		s->since = now;
		s->before = s->now;
	}
}

/* Is any of them gone? */
static bool
judge_hosts(struct upkeep *u, monotime now)
{
	struct suspect *s, *next;
	bool any = false;

	RB_FOREACH_SAFE(s, suspects, &u->suspects, next)
	{
		judge_host(u, s, now);
		any |= s->gone;
	}
	return any;
}

/* Flows */

/* What only another host may have done is no sign of life. */
static void
note_traffic(struct upkeep *u, const struct address *host, bool own, const struct flow *flow,
	     monotime now)
{
	struct suspect *s = find(u, host);
	monotime ends = now + flow->timeout * MONOTIME_SECOND;
	bool answered = flow->state == FLOW_ESTABLISHED || flow->state == FLOW_REPLIED ||
			flow->state == FLOW_ASSURED;
	bool began = flow->state == FLOW_SYN_SENT || flow->state == FLOW_UNREPLIED;

	if (s && (answered || (own && began)) && s->now.ends[flow->state] < ends)
		s->now.ends[flow->state] = ends;
}

static void
note_use(struct upkeep *u, const struct lease *lease, monotime now)
{
	if (lease)
		lease_table_by_id(u->table, lease->record.id)->idle.used = now;
}

struct reading {
	struct upkeep *upkeep;
	monotime now;
};

static void
take(void *arg, const struct flow *flow)
{
	const struct reading *r = arg;
	struct upkeep *u = r->upkeep;

	if (u->hosts) {
		note_traffic(u, &flow->from.address, true, flow, r->now);
		note_traffic(u, &flow->reply_from.address, false, flow, r->now);
	}
	if (u->leases) {
		note_use(u, sweep_inbound(u->table, flow), r->now);
		note_use(u, sweep_outbound(u->table, flow), r->now);
	}
}

/* -errno, or is there more? */
static int
read_piece(struct upkeep *u, monotime now, struct fault *fault)
{
	struct reading reading = {u, now};
	struct suspect *s;
	int error;

	if (u->reading)
		return flows_next(u->options.flows, take, &reading, fault);
	RB_FOREACH (s, suspects, &u->suspects)
		s->now = (struct traffic){{0}};
	error = flows_begin(u->options.flows, fault);
	return error < 0 ? error : 1;
}

static bool
step_flows(struct upkeep *u, monotime now)
{
	struct fault fault;
	int more;

	u->hosts &= !RB_EMPTY(&u->suspects);
	if (!u->hosts && !u->leases)
		return true;
	if (engine_reads_flows(u->options.engine)) {
		u->not_before = now + YIELD;
		return false;
	}
	more = read_piece(u, now, &fault);
	u->reading = more > 0;
	if (more > 0)
		return false;
	if (more == 0) {
		u->hosts = u->hosts && judge_hosts(u, now);
		return true;
	}
	if (log_limited(&u->limit, LOG_LEVEL_ERROR, now))
		log_line(LOG_LEVEL_ERROR, "flows", "not read", "reason=\"%s\"", fault.text);
	u->hosts = u->leases = false; /* nothing is judged by the half of it */
	return true;
}

/* Mappings */

static bool
is_gone(const struct upkeep *u, const struct lease_record *r)
{
	const struct suspect *s = find(u, &r->internal.address);

	return s && s->gone && strcmp(s->lan, r->lan) == 0;
}

/* A count that is less than it was is that of an element made anew. */
static bool
is_idle(const struct upkeep *u, struct lease *lease, monotime now)
{
	uint64_t count = engine_connections(u->options.engine, lease), before = lease->idle.counted;

	if (u->anew || count < before)
		before = lease->record.connections;
	if (lease->idle.used < u->idle_since || count > before)
		lease->idle.used = now;
	lease->idle.counted = count;
	return now - lease->idle.used >= u->idle;
}

static enum ending
judge(const struct upkeep *u, struct lease *lease, monotime now)
{
	if (lease->record.origin == ORIGIN_STATIC)
		return ENDING_NONE;
	if (u->hosts && is_gone(u, &lease->record))
		return ENDING_GONE;
	return u->leases && is_idle(u, lease, now) ? ENDING_IDLE : ENDING_NONE;
}

/* Their mappings have ended.  Who comes back is not held to what it was. */
static void
forget_gone(struct upkeep *u)
{
	struct suspect *s, *next;

	RB_FOREACH_SAFE(s, suspects, &u->suspects, next)
	if (s->gone || lease_table_count_of_client(u->table, &s->address) == 0)
		clear(u, s);
}

/* True: that was all. */
static bool
judge_leases(struct upkeep *u, monotime now)
{
	for (int i = 0; i < LEASES_A_PIECE; i++) {
		struct lease *lease = lease_table_after_id(u->table, u->lease);
		enum ending ending;

		if (!lease || lease->record.id > u->last)
			return true;
		u->lease = lease->record.id;
		ending = judge(u, lease, now);
		if (ending)
			engine_end(u->options.engine, u->lease, ending, now);
	}
	return false;
}

static bool
step_judge(struct upkeep *u, monotime now)
{
	if ((u->hosts || u->leases) && !judge_leases(u, now))
		return false;
	forget_gone(u);
	return true;
}

/* Rounds */

static monotime
interval(monotime timeout)
{
	monotime wanted = timeout / 8;

	if (wanted < SHORTEST_INTERVAL)
		return SHORTEST_INTERVAL;
	return wanted > LONGEST_INTERVAL ? LONGEST_INTERVAL : wanted;
}

/* When something is to be looked after next, if it is on. */
static monotime
due(monotime *at, monotime timeout, monotime now)
{
	if (timeout == 0)
		return MONOTIME_NEVER;
	if (*at == 0)
		*at = now + interval(timeout);
	return *at;
}

/* We, or the machine, slept: what was to be seen meanwhile nobody has seen. */
static void
begin_anew(struct upkeep *u, monotime now)
{
	struct suspect *s;

	RB_FOREACH (s, suspects, &u->suspects) {
		s->since = now;
		s->based = false;
	}
	u->idle_since = now;
}

static bool
is_late(const struct upkeep *u, monotime now)
{
	monotime late = now - u->awaited;

	return (u->host_gone && late > interval(u->host_gone)) ||
	       (u->idle && late > interval(u->idle));
}

static void
begin(struct upkeep *u, monotime now)
{
	uint64_t restores = engine_counters(u->options.engine)->table_restores;

	u->running = true;
	u->hosts = due(&u->hosts_due, u->host_gone, now) <= now;
	u->leases = due(&u->leases_due, u->idle, now) <= now;
	if (u->hosts)
		u->hosts_due = now + interval(u->host_gone);
	if (u->leases) {
		u->leases_due = now + interval(u->idle);
		u->anew = restores != u->restores;
		u->restores = restores;
	}
	u->step = STEP_PROBE;
	u->not_before = now;
	u->reading = false;
	u->lease = 0;
	u->last = lease_table_last_id(u->table);
	u->client = (struct address){{0}};
}

/* Each says whether it is done. */
static bool (*const steps[STEPS])(struct upkeep *, monotime) = {
    [STEP_PROBE] = step_probe,
    [STEP_LOOK] = step_look,
    [STEP_FLOWS] = step_flows,
    [STEP_JUDGE] = step_judge,
};

static void
go_on(struct upkeep *u, monotime now)
{
	if (!steps[u->step](u, now))
		return;
	u->client = (struct address){{0}};
	u->running = ++u->step < STEPS;
}

/* The next round begins, or the step of this one goes on. */
static monotime
deadline(struct upkeep *u, monotime now)
{
	monotime hosts = due(&u->hosts_due, u->host_gone, now);
	monotime leases = due(&u->leases_due, u->idle, now);

	if (u->running)
		return u->not_before;
	return hosts < leases ? hosts : leases;
}

/* As upkeep_run(), but for the look at whether we are late. */
static monotime
run(struct upkeep *u, monotime now)
{
	if (lease_table_count(u->table) == 0) {
		clear_all(u);
		u->running = false;
		u->hosts_due = u->leases_due = 0;
		return MONOTIME_NEVER;
	}
	if (deadline(u, now) > now)
		return deadline(u, now);
	if (!u->running)
		begin(u, now);
	go_on(u, now);
	return deadline(u, now);
}

monotime
upkeep_run(struct upkeep *u, monotime now)
{
	monotime next;

	if (is_late(u, now))
		begin_anew(u, now);
	next = run(u, now);
	u->awaited = next > now ? next : now;
	return next;
}
