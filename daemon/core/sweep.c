/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sweep.h"

#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

#define RETRY MONOTIME_SECOND

struct noted {
	uint64_t port[2][PORT_WORDS]; /* TCP's, then UDP's */
};

struct sweep {
	const struct lease_table *table;
	struct flows *flows;
	struct counters *counters;
	const struct firewall_network *network; /* during a call */
	struct noted noted;			/* for the next reading */
	struct noted served;			/* by the one under way */
	bool any;				/* noted */
	bool reading;
	monotime due; /* the next reading, if any is noted */
	monotime began;
	struct log_limit limit;
};

struct sweep *
sweep_new(const struct lease_table *table, struct flows *flows, struct counters *counters)
{
	struct sweep *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->table = table;
	s->flows = flows;
	s->counters = counters;
	return s;
}

void
sweep_free(struct sweep *s)
{
	free(s);
}

void
sweep_note(struct sweep *s, enum transport transport, struct port_range ports, monotime now)
{
	for (unsigned port = ports.first; port <= ports.last; port++)
		s->noted.port[transport == TRANSPORT_UDP][port / 64] |= UINT64_C(1) << port % 64;
	if (!s->any && s->due < now + SWEEP_DELAY)
		s->due = now + SWEEP_DELAY;
	s->any = true;
}

static bool
is_served(const struct sweep *s, enum transport transport, uint16_t port)
{
	return s->served.port[transport == TRANSPORT_UDP][port / 64] >> port % 64 & 1;
}

static bool
carries(const struct lease_record *r, uint16_t port, const struct address *remote)
{
	const struct prefix from = lease_remote(r);

	return !r->disabled && port >= r->external_port &&
	       port - r->external_port <= r->more_ports &&
	       (!from.length || prefix_contains(&from, remote));
}

const struct lease *
sweep_carrier(const struct lease_table *table, enum transport transport, uint16_t port,
	      const struct address *remote)
{
	const struct lease *lease = lease_table_by_external(table, transport, port);
	const struct lease *for_anybody = NULL;

	for (; lease; lease = lease_next_external(lease)) {
		if (!carries(&lease->record, port, remote))
			continue;
		if (!address_is_unspecified(&lease->record.remote))
			return lease;
		for_anybody = lease;
	}
	if (for_anybody || !lease_table_by_external(table, transport, port))
		return for_anybody;
	/* A range may share the port with what begins there, for other remote hosts. */
	lease = lease_table_first_static(table);
	for (; lease; lease = lease_next_static(lease))
		if (lease->record.transport == transport && carries(&lease->record, port, remote))
			return lease;
	return NULL;
}

static bool
same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && address_equal(&a->address, &b->address);
}

/* What comes to this one of its external ports is for this endpoint. */
static bool
leads_to(const struct lease *lease, uint16_t port, const struct endpoint *internal)
{
	const struct lease_record *r = &lease->record;
	/* A range keeps its port numbers. */
	struct endpoint target = {r->internal.address,
				  (uint16_t)(r->internal.port + (port - r->external_port))};

	return same_endpoint(&target, internal);
}

const struct lease *
sweep_inbound(const struct lease_table *table, const struct flow *flow)
{
	const struct lease *lease;

	if ((flow->mark & (FLOWS_MARK_OURS | FLOWS_MARK_ENDED)) != FLOWS_MARK_OURS)
		return NULL;
	lease = sweep_carrier(table, flow->transport, flow->to.port, &flow->from.address);
	return lease && leads_to(lease, flow->to.port, &flow->reply_from) ? lease : NULL;
}

const struct lease *
sweep_outbound(const struct lease_table *table, const struct flow *flow)
{
	const struct lease *lease;

	if (address_equal(&flow->from.address, &flow->reply_to.address))
		return NULL; /* sent on as it came: through no port of ours */
	lease = sweep_carrier(table, flow->transport, flow->reply_to.port, &flow->to.address);
	return lease && leads_to(lease, flow->reply_to.port, &flow->from) ? lease : NULL;
}

static bool
is_gateways(const struct sweep *s, const struct address *address)
{
	for (size_t i = 0; i < s->network->wan_addresses; i++)
		if (address_equal(&s->network->wan_address[i], address))
			return true;
	return false;
}

static bool
is_conversation(const struct flow *flow)
{
	return flow->transport == TRANSPORT_TCP && flow->state >= FLOW_ESTABLISHED &&
	       flow->state <= FLOW_LAST_ACK;
}

static void
end(struct sweep *s, const struct flow *flow, enum flow_ending how)
{
	s->counters->flows_ended++;
	flows_end(s->flows, flow, how);
}

/* By the helper of a mapping: whatever its own ports, it belongs to that. */
static bool
is_announced(const struct flow *flow)
{
	return flow->master_port && flow->mark & FLOWS_MARK_OURS;
}

static uint16_t
inbound_port(const struct flow *flow)
{
	return is_announced(flow) ? flow->master_port : flow->to.port;
}

static bool
is_carried(const struct lease *lease, const struct flow *flow)
{
	return is_announced(flow)
		   ? address_equal(&lease->record.internal.address, &flow->reply_from.address)
		   : leads_to(lease, flow->to.port, &flow->reply_from);
}

/* To a port of the gateway. */
static void
judge_inbound(struct sweep *s, const struct flow *flow)
{
	const struct lease *lease =
	    sweep_carrier(s->table, flow->transport, inbound_port(flow), &flow->from.address);
	bool carried = lease && is_carried(lease, flow);

	if (!(flow->mark & FLOWS_MARK_OURS)) {
		/* With a program of the gateway itself, which keeps those it has accepted; or by an
		 * admin's own forward, which wins. */
		if (lease && same_endpoint(&flow->reply_from, &flow->to) &&
		    is_gateways(s, &flow->to.address) && !is_conversation(flow))
			end(s, flow, FLOW_FORGET);
		return;
	}
	if (flow->mark & FLOWS_MARK_ENDED) {
		/* Nobody who dials the new mapping from the same port shall be reset for it. */
		if (lease && !is_announced(flow))
			flows_end(s->flows, flow, FLOW_FORGET);
	} else if (!carried) {
		/* What the gateway itself began does not pass the chain that resets: without its
		 * entry each of its ends is refused by the other. */
		bool passes =
		    flow->transport == TRANSPORT_TCP && !is_gateways(s, &flow->from.address);

		end(s, flow, passes ? FLOW_RESET : FLOW_FORGET);
	}
}

/*
 * From a LAN host, sent on from a port of the gateway which is another host's now: answers would go
 * on to the wrong one.  A TCP connection does not stand in the way of others.
 */
static void
judge_outbound(struct sweep *s, const struct flow *flow)
{
	const struct lease *lease =
	    sweep_carrier(s->table, flow->transport, flow->reply_to.port, &flow->to.address);

	if (lease && flow->transport == TRANSPORT_UDP &&
	    !leads_to(lease, flow->reply_to.port, &flow->from) &&
	    is_gateways(s, &flow->reply_to.address) && !is_gateways(s, &flow->from.address))
		end(s, flow, FLOW_FORGET);
}

static void
judge(void *arg, const struct flow *flow)
{
	struct sweep *s = arg;

	if (is_served(s, flow->transport, inbound_port(flow)))
		judge_inbound(s, flow);
	if (is_served(s, flow->transport, flow->reply_to.port))
		judge_outbound(s, flow);
}

static int
read_piece(struct sweep *s, monotime now, struct fault *fault)
{
	int error;

	if (s->reading)
		return flows_next(s->flows, judge, s, fault);
	error = flows_begin(s->flows, fault);
	s->served = s->noted;
	memset(&s->noted, 0, sizeof(s->noted));
	s->any = false;
	s->began = now;
	s->counters->flow_passes++;
	return error < 0 ? error : 1;
}

/* What this reading should have served is the next one's. */
static void
note_again(struct sweep *s, const struct fault *fault, monotime now)
{
	for (size_t i = 0; i < PORT_WORDS; i++)
		for (int transport = 0; transport < 2; transport++)
			s->noted.port[transport][i] |= s->served.port[transport][i];
	s->any = true;
	s->due = now + RETRY;
	if (log_limited(&s->limit, LOG_LEVEL_ERROR, now))
		log_line(LOG_LEVEL_ERROR, "flows", "not ended", "reason=\"%s\"", fault->text);
}

bool
sweep_reads(const struct sweep *s)
{
	return s->reading;
}

monotime
sweep_run(struct sweep *s, const struct firewall_network *network, monotime now)
{
	struct fault fault;
	int more;

	if (!s->reading && (!s->any || now < s->due))
		return s->any ? s->due : MONOTIME_NEVER;
	s->network = network;
	more = read_piece(s, now, &fault);
	s->reading = more > 0;
	if (s->reading)
		return now;
	/* After a long reading (some 0.3 s at 100 000 flows) as long without one. */
	s->due = now + (now - s->began);
	if (s->due < s->began + SWEEP_INTERVAL)
		s->due = s->began + SWEEP_INTERVAL;
	if (more < 0)
		note_again(s, &fault, now);
	return s->any ? s->due : MONOTIME_NEVER;
}
