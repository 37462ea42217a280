/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Picks external ports.  A random pick counts bits, so its work is bounded and it finds a free port
 * whenever there is one. */
#include "port_pick.h"

#include <string.h>

static const struct {
	enum transport transport;
	uint16_t port;
} ours[] = {
    {TRANSPORT_UDP, 1900}, /* SSDP */
    {TRANSPORT_UDP, 5350}, /* RFC 6887 11.3 */
    {TRANSPORT_UDP, 5351},
};

enum { OURS = sizeof(ours) / sizeof(ours[0]) };

struct search {
	const struct port_pick_options *options;
	struct lease_table *table;
	const struct port_question *question;
	monotime now;
	uint64_t candidate[PORT_WORDS];
};

/*
 * Random ports are taken from three tiers in turn: below 32768 (some NAT-PMP clients read ports as
 * signed); then what neither the gateway's own sockets nor the reservation's substitute ports use;
 * then the rest.
 */
enum tier { TIER_LOW, TIER_QUIET, TIER_REST, TIERS };

static const struct port_range low_ports = {1024, 32767};
static const struct port_range substitute_ports = {61000, 65535};

bool
port_is_ours(enum transport transport, uint16_t port)
{
	for (size_t i = 0; i < OURS; i++)
		if (ours[i].transport == transport && ours[i].port == port)
			return true;
	return false;
}

static bool
listening(const struct search *s, uint16_t port)
{
	return s->options->listening(s->options->listening_arg, s->question->wish.transport, port);
}

static bool
usable(const struct search *s, uint16_t port, enum port_state worst)
{
	return port != 0 && verdict_allows(&s->question->verdict, port) &&
	       !port_is_ours(s->question->wish.transport, port) &&
	       lease_table_port(s->table, &s->question->wish, port, s->now) <= worst &&
	       !listening(s, port);
}

static enum map_result
pick_exactly(const struct search *s, uint16_t *port)
{
	const struct port_question *q = s->question;
	enum port_state state;

	if (!verdict_allows(&q->verdict, q->suggested))
		return MAP_PORT_FORBIDDEN;
	state = lease_table_port(s->table, &q->wish, q->suggested, s->now);
	if (state == PORT_TAKEN || (state == PORT_QUARANTINED && q->if_taken == IF_TAKEN_FAIL))
		return MAP_PORT_TAKEN;
	if (port_is_ours(q->wish.transport, q->suggested) || listening(s, q->suggested))
		return MAP_GATEWAY_PORT;
	*port = q->suggested;
	return MAP_OK;
}

/* The bits of word w that lie in the range. */
static uint64_t
range_word(const struct port_range *range, size_t w)
{
	uint32_t base = (uint32_t)w * 64, first, last;

	if (range->last < base || range->first > base + 63)
		return 0;
	first = range->first > base ? range->first - base : 0;
	last = range->last < base + 63 ? range->last - base : 63;
	return (UINT64_MAX << first) & (UINT64_MAX >> (63 - last));
}

static uint64_t
tier_word(const struct port_pick_options *options, enum tier tier, size_t w)
{
	uint64_t low = range_word(&low_ports, w);
	uint64_t loud = range_word(&options->ephemeral, w) | range_word(&substitute_ports, w);

	if (tier == TIER_LOW)
		return low;
	return tier == TIER_QUIET ? ~low & ~loud : ~low & loud;
}

static void
collect_candidates(struct search *s, bool count_quarantined)
{
	const struct verdict *verdict = &s->question->verdict;
	uint64_t busy[PORT_WORDS];

	lease_table_busy_ports(s->table, &s->question->wish, count_quarantined, s->now, busy);
	memset(s->candidate, 0, sizeof(s->candidate));
	for (size_t r = 0; r < verdict->ranges; r++)
		for (size_t w = verdict->range[r].first / 64; w <= verdict->range[r].last / 64; w++)
			s->candidate[w] |= range_word(&verdict->range[r], w) & ~busy[w] &
					   range_word(&s->options->random_ports, w);
	for (size_t i = 0; i < OURS; i++)
		if (ours[i].transport == s->question->wish.transport)
			s->candidate[ours[i].port / 64] &= ~(UINT64_C(1) << ours[i].port % 64);
}

/* The port of the tier's n-th candidate; there are more than n. */
static uint16_t
nth_candidate(const struct search *s, enum tier tier, uint32_t n)
{
	for (size_t w = 0; w < PORT_WORDS; w++) {
		uint64_t bits = s->candidate[w] & tier_word(s->options, tier, w);
		uint32_t count = (uint32_t)__builtin_popcountll(bits);

		if (n >= count) {
			n -= count;
			continue;
		}
		for (; n > 0; n--)
			bits &= bits - 1;
		return (uint16_t)(w * 64 + (size_t)__builtin_ctzll(bits));
	}
	return 0;
}

static uint16_t
pick_in_tier(struct search *s, enum tier tier)
{
	uint32_t count = 0;

	for (size_t w = 0; w < PORT_WORDS; w++)
		count += (uint32_t)__builtin_popcountll(s->candidate[w] &
							tier_word(s->options, tier, w));
	for (; count > 0; count--) {
		uint32_t n =
		    (uint32_t)((uint64_t)s->options->random(s->options->random_arg) * count >> 32);
		uint16_t port = nth_candidate(s, tier, n);

		if (!listening(s, port))
			return port;
		s->candidate[port / 64] &= ~(UINT64_C(1) << port % 64);
	}
	return 0;
}

/* Ports that only the client's own mappings of the other transport stand on: free for it, though
 * marked busy. */
static uint16_t
pick_own_companion(const struct search *s, enum port_state worst)
{
	const struct port_wish *wish = &s->question->wish;
	const struct port_range *random = &s->options->random_ports;
	const struct lease *lease = lease_table_first_of_client(s->table, &wish->internal.address);

	for (; lease; lease = lease_next_of_client(lease)) {
		uint16_t port = lease->record.external_port;

		if (lease->record.transport != wish->transport && port >= random->first &&
		    port <= random->last && usable(s, port, worst))
			return port;
	}
	return 0;
}

static uint16_t
pick_randomly(struct search *s)
{
	uint16_t port = 0;

	/* A quarantined port goes to another only when nothing else is left. */
	for (int worst = PORT_FREE; worst <= PORT_QUARANTINED && !port; worst++) {
		collect_candidates(s, worst == PORT_FREE);
		for (int tier = 0; tier < TIERS && !port; tier++)
			port = pick_in_tier(s, (enum tier)tier);
		if (!port)
			port = pick_own_companion(s, (enum port_state)worst);
	}
	return port;
}

enum map_result
port_pick(const struct port_pick_options *options, struct lease_table *table,
	  const struct port_question *question, monotime now, uint16_t *port)
{
	struct search s = {.options = options, .table = table, .question = question, .now = now};
	const uint16_t wished[] = {
	    question->suggested,
	    lease_table_quarantined_for(table, &question->wish, now),
	    question->wish.internal.port,
	};

	if (question->verdict.ranges == 0)
		return MAP_NOT_AUTHORIZED;
	if (question->if_taken != IF_TAKEN_OTHER_PORT)
		return pick_exactly(&s, port);
	for (size_t i = 0; i < sizeof(wished) / sizeof(wished[0]); i++)
		if (usable(&s, wished[i], PORT_FREE)) {
			*port = wished[i];
			return MAP_OK;
		}
	*port = pick_randomly(&s);
	return *port ? MAP_OK : MAP_NO_RESOURCES;
}
