/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Four trees over the leases, one each over their clients and user agents, the quarantine, and a
 * bitmap a transport for each kind of claim on a port. */
#include "lease_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct lease_client {
	struct address address;
	size_t leases;
	size_t references; /* leases and unlinked ones that may be linked again */
	RB_ENTRY(lease_client) by_address;
};

/* Shared by the leases whose clients call themselves so. */
struct lease_agent {
	size_t references;
	RB_ENTRY(lease_agent) by_text;
	char text[];
};

/* A freed port, kept for the endpoint that had it. */
struct quarantine {
	enum transport transport;
	uint16_t port;
	struct endpoint internal;
	monotime until;
	RB_ENTRY(quarantine) by_port;
	RB_ENTRY(quarantine) by_internal;
	TAILQ_ENTRY(quarantine)
	by_age; /* all are kept equally long: oldest first is first to end */
};

static int
order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int
compare_id(const struct lease *a, const struct lease *b)
{
	return order(a->record.id, b->record.id);
}

static int
compare_external(const struct lease *a, const struct lease *b)
{
	int c = order(a->record.transport, b->record.transport);

	if (!c)
		c = order(a->record.external_port, b->record.external_port);
	return c ? c : address_compare(&a->record.remote, &b->record.remote);
}

static int
compare_sockets(enum transport at, const struct endpoint *a, enum transport bt,
		const struct endpoint *b)
{
	int c = address_compare(&a->address, &b->address);

	if (!c)
		c = order(at, bt);
	return c ? c : order(a->port, b->port);
}

static int
compare_internal(const struct lease *a, const struct lease *b)
{
	int c = compare_sockets(a->record.transport, &a->record.internal, b->record.transport,
				&b->record.internal);

	return c ? c : compare_id(a, b);
}

static int
compare_end(const struct lease *a, const struct lease *b)
{
	int c = (a->record.ends > b->record.ends) - (a->record.ends < b->record.ends);

	return c ? c : compare_id(a, b);
}

static int
compare_client(const struct lease_client *a, const struct lease_client *b)
{
	return address_compare(&a->address, &b->address);
}

static int
compare_agent(const struct lease_agent *a, const struct lease_agent *b)
{
	return strcmp(a->text, b->text);
}

static int
compare_quarantine_port(const struct quarantine *a, const struct quarantine *b)
{
	int c = order(a->transport, b->transport);

	return c ? c : order(a->port, b->port);
}

static int
compare_quarantine_internal(const struct quarantine *a, const struct quarantine *b)
{
	int c = compare_sockets(a->transport, &a->internal, b->transport, &b->internal);

	if (!c)
		c = (a->until > b->until) - (a->until < b->until);
	return c ? c : order(a->port, b->port);
}

/* How a lease without a remote host is keyed: before all those with one. */
static const struct address anybody;

RB_HEAD(lease_ids, lease);
RB_HEAD(lease_externals, lease);
RB_HEAD(lease_internals, lease);
RB_HEAD(lease_ends, lease);
RB_HEAD(lease_clients, lease_client);
RB_HEAD(lease_agents, lease_agent);
RB_HEAD(quarantine_ports, quarantine);
RB_HEAD(quarantine_internals, quarantine);
TAILQ_HEAD(quarantine_ages, quarantine);

/* Not RB_GENERATE_STATIC(): its __unused is not there with glibc. */
#define TREE(name, type, field, compare) \
	RB_GENERATE_INTERNAL(name, type, field, compare, __attribute__((unused)) static)

static size_t
subtree(const struct lease *lease)
{
	return lease ? lease->subtree : 0;
}

static void
count_subtree(struct lease *lease)
{
	lease->subtree = 1 + subtree(RB_LEFT(lease, by_id)) + subtree(RB_RIGHT(lease, by_id));
}

/* After one was linked or unlinked below; what the tree turned round then is counted already. */
static void
count_ancestors(struct lease *lease)
{
	for (; lease; lease = RB_PARENT(lease, by_id))
		count_subtree(lease);
}

#undef RB_AUGMENT
#define RB_AUGMENT count_subtree
TREE(lease_ids, lease, by_id, compare_id)
#undef RB_AUGMENT
#define RB_AUGMENT(element) ((void)(element))
TREE(lease_externals, lease, by_external, compare_external)
TREE(lease_internals, lease, by_internal, compare_internal)
TREE(lease_ends, lease, by_end, compare_end)
TREE(lease_clients, lease_client, by_address, compare_client)
TREE(lease_agents, lease_agent, by_text, compare_agent)
TREE(quarantine_ports, quarantine, by_port, compare_quarantine_port)
TREE(quarantine_internals, quarantine, by_internal, compare_quarantine_internal)
TAILQ_HEAD(lease_statics, lease);

enum { TCP, UDP, TRANSPORTS };

struct claims {
	uint64_t leased[PORT_WORDS];
	uint64_t
	    companion[PORT_WORDS]; /* kept by a lease of the other transport for its own client */
	uint64_t quarantined[PORT_WORDS];
	uint64_t ranged[PORT_WORDS]; /* within a range, perhaps of one that ended */
};

struct lease_table {
	struct lease_ids ids;
	struct lease_externals externals;
	struct lease_internals internals;
	struct lease_ends ends;
	struct lease_statics statics; /* few, since the admin made them; only they are ranges */
	struct lease_clients clients;
	struct lease_agents agents;
	struct quarantine_ports quarantine_ports;
	struct quarantine_internals quarantine_internals;
	struct quarantine_ages quarantine_ages;
	struct claims claims[TRANSPORTS];
	size_t count;
	uint64_t last_id;
};

static int
row(enum transport transport)
{
	return transport == TRANSPORT_TCP ? TCP : UDP;
}

static enum transport
other(enum transport transport)
{
	return transport == TRANSPORT_TCP ? TRANSPORT_UDP : TRANSPORT_TCP;
}

static bool
has_bit(const uint64_t *words, uint16_t port)
{
	return words[port / 64] >> (port % 64) & 1;
}

static void
set_bit(uint64_t *words, uint16_t port, bool on)
{
	uint64_t bit = UINT64_C(1) << (port % 64);

	words[port / 64] = on ? words[port / 64] | bit : words[port / 64] & ~bit;
}

struct lease_table *
lease_table_new(void)
{
	struct lease_table *table = calloc(1, sizeof(*table));

	if (table) {
		TAILQ_INIT(&table->quarantine_ages);
		TAILQ_INIT(&table->statics);
	}
	return table;
}

static void
release_quarantine(struct lease_table *table, struct quarantine *q)
{
	set_bit(table->claims[row(q->transport)].quarantined, q->port, false);
	RB_REMOVE(quarantine_ports, &table->quarantine_ports, q);
	RB_REMOVE(quarantine_internals, &table->quarantine_internals, q);
	TAILQ_REMOVE(&table->quarantine_ages, q, by_age);
	free(q);
}

static void
purge_quarantine(struct lease_table *table, monotime now)
{
	struct quarantine *q;

	while ((q = TAILQ_FIRST(&table->quarantine_ages)) && q->until <= now)
		release_quarantine(table, q);
}

void
lease_table_free(struct lease_table *table)
{
	struct lease *lease;

	if (!table)
		return;
	while ((lease = RB_MIN(lease_ids, &table->ids))) {
		lease_table_unlink(table, lease, 0);
		lease_table_discard(table, lease);
	}
	purge_quarantine(table, MONOTIME_NEVER);
	free(table);
}

static struct quarantine *
find_quarantine(const struct lease_table *table, enum transport transport, uint16_t port)
{
	struct quarantine key = {.transport = transport, .port = port};

	if (!has_bit(table->claims[row(transport)].quarantined, port))
		return NULL;
	return RB_FIND(quarantine_ports, (struct quarantine_ports *)&table->quarantine_ports, &key);
}

/* Without memory the port is merely free at once. */
static void
start_quarantine(struct lease_table *table, const struct lease_record *record, monotime now)
{
	struct quarantine *q = calloc(1, sizeof(*q));

	if (!q)
		return;
	q->transport = record->transport;
	q->port = record->external_port;
	q->internal = record->internal;
	q->until = now + LEASE_QUARANTINE;
	set_bit(table->claims[row(q->transport)].quarantined, q->port, true);
	RB_INSERT(quarantine_ports, &table->quarantine_ports, q);
	RB_INSERT(quarantine_internals, &table->quarantine_internals, q);
	TAILQ_INSERT_TAIL(&table->quarantine_ages, q, by_age);
}

static struct lease_client *
find_client(const struct lease_table *table, const struct address *address)
{
	struct lease_client key = {.address = *address};

	return RB_FIND(lease_clients, (struct lease_clients *)&table->clients, &key);
}

static struct lease_client *
get_client(struct lease_table *table, const struct address *address)
{
	struct lease_client *client = find_client(table, address);

	if (client)
		return client;
	client = calloc(1, sizeof(*client));
	if (client) {
		client->address = *address;
		RB_INSERT(lease_clients, &table->clients, client);
	}
	return client;
}

static void
release_client(struct lease_table *table, struct lease_client *client)
{
	if (--client->references > 0)
		return;
	RB_REMOVE(lease_clients, &table->clients, client);
	free(client);
}

/* NULL: out of memory. */
static const char *
share_agent(struct lease_table *table, const char *text)
{
	size_t size = strlen(text) + 1;
	struct lease_agent *agent = calloc(1, sizeof(*agent) + size), *same;

	if (!agent)
		return NULL;
	memcpy(agent->text, text, size);
	same = RB_INSERT(lease_agents, &table->agents, agent);
	if (same) {
		free(agent);
		agent = same;
	}
	agent->references++;
	return agent->text;
}

static void
release_agent(struct lease_table *table, const char *text)
{
	struct lease_agent *agent;

	if (!text)
		return;
	agent = (struct lease_agent *)(text - offsetof(struct lease_agent, text));
	if (--agent->references > 0)
		return;
	RB_REMOVE(lease_agents, &table->agents, agent);
	free(agent);
}

static void
mark_port(struct lease_table *table, const struct lease_record *record, uint16_t port, bool on)
{
	set_bit(table->claims[row(record->transport)].leased, port, on);
	if (record->companion)
		set_bit(table->claims[row(other(record->transport))].companion, port, on);
}

static void
link_static(struct lease_table *table, struct lease *lease)
{
	const struct lease_record *r = &lease->record;

	TAILQ_INSERT_TAIL(&table->statics, lease, by_static);
	for (uint32_t i = 1; i <= r->more_ports; i++) {
		mark_port(table, r, (uint16_t)(r->external_port + i), true);
		set_bit(table->claims[row(r->transport)].ranged, (uint16_t)(r->external_port + i),
			true);
	}
}

static void
link_lease(struct lease_table *table, struct lease *lease)
{
	struct lease *holder = RB_INSERT(lease_externals, &table->externals, lease);

	assert(!holder);
	(void)holder;
	RB_INSERT(lease_ids, &table->ids, lease);
	count_ancestors(lease);
	RB_INSERT(lease_internals, &table->internals, lease);
	RB_INSERT(lease_ends, &table->ends, lease);
	mark_port(table, &lease->record, lease->record.external_port, true);
	if (lease->record.origin == ORIGIN_STATIC)
		link_static(table, lease);
	else
		lease->client->leases++;
	table->count++;
}

struct lease *
lease_table_insert(struct lease_table *table, const struct lease_record *record)
{
	struct lease_client *client = get_client(table, &record->internal.address);
	struct lease *lease = client ? calloc(1, sizeof(*lease)) : NULL;

	if (!client)
		return NULL;
	client->references++;
	if (!lease) {
		release_client(table, client);
		return NULL;
	}
	lease->client = client;
	lease->record = *record;
	lease->record.description = lease->record.user_agent = lease->record.name = NULL;
	if (address_is_unspecified(&record->remote))
		lease->record.remote = anybody;
	if ((record->description && !lease_set_description(lease, record->description)) ||
	    (record->name && !lease_set_name(lease, record->name)) ||
	    (record->user_agent && !lease_table_set_user_agent(table, lease, record->user_agent))) {
		lease_table_discard(table, lease);
		return NULL;
	}
	if (lease->record.id == 0)
		lease->record.id = table->last_id + 1;
	if (lease->record.id > table->last_id)
		table->last_id = lease->record.id;
	lease_table_relink(table, lease);
	return lease;
}

bool
lease_table_has_room(const struct lease_table *table, const struct lease_record *r)
{
	if (r->id > LEASE_ID_MAX || lease_table_by_id(table, r->id) ||
	    (r->more_ports && r->origin != ORIGIN_STATIC) ||
	    lease_table_by_remote(table, r->transport, r->external_port, &r->remote))
		return false;
	for (unsigned port = r->external_port; port <= (unsigned)r->external_port + r->more_ports;
	     port++) {
		const struct lease *at =
		    lease_table_by_external(table, r->transport, (uint16_t)port);

		if (at && ((at->record.origin == ORIGIN_STATIC) != (r->origin == ORIGIN_STATIC) ||
			   (r->origin != ORIGIN_STATIC &&
			    !address_equal(&at->record.internal.address, &r->internal.address))))
			return false;
	}
	return true;
}

void
lease_table_unlink(struct lease_table *table, struct lease *lease, monotime now)
{
	RB_REMOVE(lease_ids, &table->ids, lease);
	count_ancestors(RB_PARENT(lease, by_id));
	RB_REMOVE(lease_externals, &table->externals, lease);
	RB_REMOVE(lease_internals, &table->internals, lease);
	RB_REMOVE(lease_ends, &table->ends, lease);
	if (lease->record.origin == ORIGIN_STATIC)
		TAILQ_REMOVE(&table->statics, lease, by_static);
	else
		lease->client->leases--;
	table->count--;
	for (uint32_t i = 0; i <= lease->record.more_ports; i++) {
		uint16_t port = (uint16_t)(lease->record.external_port + i);

		if (lease_table_by_external(table, lease->record.transport, port))
			continue;
		mark_port(table, &lease->record, port, false);
		if (lease->record.origin != ORIGIN_STATIC)
			start_quarantine(table, &lease->record, now);
	}
}

void
lease_table_release_port(struct lease_table *table, const struct lease_record *record)
{
	struct quarantine *q = find_quarantine(table, record->transport, record->external_port);

	if (q)
		release_quarantine(table, q);
}

void
lease_table_relink(struct lease_table *table, struct lease *lease)
{
	lease_table_release_port(table, &lease->record);
	link_lease(table, lease);
}

void
lease_table_discard(struct lease_table *table, struct lease *lease)
{
	release_client(table, lease->client);
	free((char *)lease->record.name);
	lease_table_free_texts(table, &lease->record);
	free(lease);
}

void
lease_table_set_lifetime(struct lease_table *table, struct lease *lease, uint32_t lifetime,
			 monotime ends)
{
	RB_REMOVE(lease_ends, &table->ends, lease);
	lease->record.lifetime = lifetime;
	lease->record.ends = ends;
	RB_INSERT(lease_ends, &table->ends, lease);
}

static bool
set_text(const char **text, const char *to)
{
	char *copy = *to ? strdup(to) : NULL;

	if (*to && !copy)
		return false;
	free((char *)*text);
	*text = copy;
	return true;
}

struct prefix
lease_remote(const struct lease_record *r)
{
	if (address_is_unspecified(&r->remote))
		return (struct prefix){.length = 0};
	return (struct prefix){r->remote, r->remote_length ? r->remote_length : 128};
}

bool
lease_set_description(struct lease *lease, const char *description)
{
	return set_text(&lease->record.description, description);
}

bool
lease_set_name(struct lease *lease, const char *name)
{
	return set_text(&lease->record.name, name);
}

bool
lease_table_set_user_agent(struct lease_table *table, struct lease *lease, const char *text)
{
	const char *shared = *text ? share_agent(table, text) : NULL;

	if (*text && !shared)
		return false;
	release_agent(table, lease->record.user_agent);
	lease->record.user_agent = shared;
	return true;
}

void
lease_table_free_texts(struct lease_table *table, const struct lease_record *r)
{
	free((char *)r->description);
	release_agent(table, r->user_agent);
}

struct lease *
lease_table_by_id(const struct lease_table *table, uint64_t id)
{
	struct lease key = {.record.id = id};

	return RB_FIND(lease_ids, (struct lease_ids *)&table->ids, &key);
}

struct lease *
lease_table_after_id(const struct lease_table *table, uint64_t id)
{
	struct lease key = {.record.id = id + 1};

	return RB_NFIND(lease_ids, (struct lease_ids *)&table->ids, &key);
}

struct lease *
lease_table_at(const struct lease_table *table, size_t index)
{
	struct lease *lease = RB_ROOT(&table->ids);
	size_t before;

	while (lease && index != (before = subtree(RB_LEFT(lease, by_id)))) {
		if (index < before) {
			lease = RB_LEFT(lease, by_id);
		} else {
			index -= before + 1;
			lease = RB_RIGHT(lease, by_id);
		}
	}
	return lease;
}

size_t
lease_index(const struct lease *lease)
{
	size_t index = subtree(RB_LEFT(lease, by_id));

	for (const struct lease *above; (above = RB_PARENT(lease, by_id)); lease = above)
		if (lease == RB_RIGHT(above, by_id))
			index += subtree(RB_LEFT(above, by_id)) + 1;
	return index;
}

static struct lease *
at_port(struct lease *lease, enum transport transport, uint16_t port)
{
	return lease && lease->record.transport == transport && lease->record.external_port == port
		   ? lease
		   : NULL;
}

static bool
lies_in(uint16_t port, uint16_t first, uint16_t more)
{
	return port >= first && port - first <= more;
}

static struct lease *
range_at(const struct lease_table *table, enum transport transport, uint16_t port)
{
	struct lease *lease;

	if (!has_bit(table->claims[row(transport)].ranged, port))
		return NULL;
	TAILQ_FOREACH (lease, &table->statics, by_static)
		if (lease->record.transport == transport &&
		    lies_in(port, lease->record.external_port, lease->record.more_ports))
			return lease;
	return NULL;
}

struct lease *
lease_table_by_external(const struct lease_table *table, enum transport transport, uint16_t port)
{
	struct lease key = {
	    .record = {.transport = transport, .external_port = port, .remote = anybody}};
	struct lease *lease;

	if (!has_bit(table->claims[row(transport)].leased, port))
		return NULL;
	lease =
	    at_port(RB_NFIND(lease_externals, (struct lease_externals *)&table->externals, &key),
		    transport, port);
	return lease ? lease : range_at(table, transport, port);
}

struct lease *
lease_next_external(const struct lease *lease)
{
	return at_port(RB_NEXT(lease_externals, NULL, (struct lease *)lease),
		       lease->record.transport, lease->record.external_port);
}

struct lease *
lease_table_by_remote(const struct lease_table *table, enum transport transport, uint16_t port,
		      const struct address *remote)
{
	struct lease key = {
	    .record = {.transport = transport, .external_port = port, .remote = *remote}};
	struct lease *lease;

	if (address_is_unspecified(remote))
		key.record.remote = anybody;
	lease = RB_FIND(lease_externals, (struct lease_externals *)&table->externals, &key);
	if (lease || !address_is_unspecified(remote))
		return lease;
	lease = lease_table_by_external(table, transport, port);
	return lease && lease->record.more_ports && address_is_unspecified(&lease->record.remote)
		   ? lease
		   : NULL;
}

bool
lease_keeps_port(const struct lease_table *table, const struct lease *lease)
{
	const struct lease_record *r = &lease->record;
	const struct lease *l = lease_table_by_external(table, r->transport, r->external_port);

	if (r->more_ports)
		return address_is_unspecified(&r->remote);
	for (; l; l = lease_next_external(l))
		if (l != lease && !l->record.disabled && !l->record.more_ports &&
		    compare_end(l, lease) > 0)
			return false;
	return !r->disabled;
}

static bool
same_internal(const struct lease *lease, enum transport transport, const struct endpoint *internal)
{
	return lease && compare_sockets(lease->record.transport, &lease->record.internal, transport,
					internal) == 0;
}

struct lease *
lease_table_by_internal(const struct lease_table *table, enum transport transport,
			const struct endpoint *internal)
{
	struct lease key = {.record = {.transport = transport, .internal = *internal}};
	struct lease *lease =
	    RB_NFIND(lease_internals, (struct lease_internals *)&table->internals, &key);

	if (same_internal(lease, transport, internal))
		return lease;
	TAILQ_FOREACH (lease, &table->statics, by_static)
		if (lease->record.transport == transport &&
		    address_is_unspecified(&lease->record.remote) &&
		    address_equal(&lease->record.internal.address, &internal->address) &&
		    lies_in(internal->port, lease->record.internal.port, lease->record.more_ports))
			return lease;
	return NULL;
}

struct lease *
lease_next_internal(const struct lease *lease)
{
	struct lease *next = RB_NEXT(lease_internals, NULL, (struct lease *)lease);

	return same_internal(next, lease->record.transport, &lease->record.internal) ? next : NULL;
}

bool
lease_goes_out(const struct lease_table *table, const struct lease *lease)
{
	const struct lease *l =
	    lease_table_by_internal(table, lease->record.transport, &lease->record.internal);

	if (lease->record.more_ports)
		return address_is_unspecified(&lease->record.remote);
	while (l && (l->record.disabled || l->record.more_ports))
		l = lease_next_internal(l);
	return l == lease;
}

struct lease *
lease_table_first_of_client(const struct lease_table *table, const struct address *client)
{
	struct lease key = {.record.internal.address = *client};
	struct lease *lease =
	    RB_NFIND(lease_internals, (struct lease_internals *)&table->internals, &key);

	return lease && address_equal(&lease->record.internal.address, client) ? lease : NULL;
}

struct lease *
lease_next_of_client(const struct lease *lease)
{
	struct lease *next = RB_NEXT(lease_internals, NULL, (struct lease *)lease);

	return next && next->client == lease->client ? next : NULL;
}

struct lease *
lease_table_after_client(const struct lease_table *table, const struct address *client)
{
	/* No lease has this transport: the key comes after all of the client's. */
	struct lease key = {.record = {.transport = UINT8_MAX, .internal.address = *client}};

	return RB_NFIND(lease_internals, (struct lease_internals *)&table->internals, &key);
}

struct lease *
lease_table_first_static(const struct lease_table *table)
{
	return TAILQ_FIRST(&table->statics);
}

struct lease *
lease_next_static(const struct lease *lease)
{
	return TAILQ_NEXT(lease, by_static);
}

struct lease *
lease_table_first_to_end(const struct lease_table *table)
{
	struct lease *lease = RB_MIN(lease_ends, (struct lease_ends *)&table->ends);

	return lease && lease->record.ends != MONOTIME_NEVER ? lease : NULL;
}

uint64_t
lease_table_last_id(const struct lease_table *table)
{
	return table->last_id;
}

void
lease_table_set_last_id(struct lease_table *table, uint64_t id)
{
	if (id > table->last_id)
		table->last_id = id;
}

size_t
lease_table_count(const struct lease_table *table)
{
	return table->count;
}

size_t
lease_table_count_of_client(const struct lease_table *table, const struct address *address)
{
	const struct lease_client *client = find_client(table, address);

	return client ? client->leases : 0;
}

/* Does another client stand in the way by what it holds, or keeps, on the other transport's port?
 */
static bool
companion_in_the_way(const struct lease_table *table, const struct port_wish *wish, uint16_t port)
{
	const struct lease *lease = lease_table_by_external(table, other(wish->transport), port);

	return lease && !address_equal(&lease->record.internal.address, &wish->internal.address) &&
	       (lease->record.companion || wish->companion);
}

static bool
is_kept_for(const struct quarantine *q, const struct port_wish *wish)
{
	return q &&
	       compare_sockets(q->transport, &q->internal, wish->transport, &wish->internal) == 0;
}

enum port_state
lease_table_port(struct lease_table *table, const struct port_wish *wish, uint16_t port,
		 monotime now)
{
	const struct quarantine *q;

	purge_quarantine(table, now);
	if (has_bit(table->claims[row(wish->transport)].leased, port) ||
	    companion_in_the_way(table, wish, port))
		return PORT_TAKEN;
	q = find_quarantine(table, wish->transport, port);
	return q && !is_kept_for(q, wish) ? PORT_QUARANTINED : PORT_FREE;
}

/* The first to end of those kept for the wish; the others follow in the tree. */
static struct quarantine *
first_kept_for(struct lease_table *table, const struct port_wish *wish, monotime now)
{
	struct quarantine key = {
	    .transport = wish->transport, .internal = wish->internal, .until = now};
	struct quarantine *q;

	purge_quarantine(table, now);
	q = RB_NFIND(quarantine_internals, &table->quarantine_internals, &key);
	return is_kept_for(q, wish) ? q : NULL;
}

static struct quarantine *
next_kept_for(struct quarantine *q, const struct port_wish *wish)
{
	q = RB_NEXT(quarantine_internals, NULL, q);
	return is_kept_for(q, wish) ? q : NULL;
}

uint16_t
lease_table_quarantined_for(struct lease_table *table, const struct port_wish *wish, monotime now)
{
	uint16_t port = 0;

	for (struct quarantine *q = first_kept_for(table, wish, now); q; q = next_kept_for(q, wish))
		port = q->port;
	return port;
}

void
lease_table_busy_ports(struct lease_table *table, const struct port_wish *wish,
		       bool count_quarantined, monotime now, uint64_t busy[PORT_WORDS])
{
	const struct claims *mine = &table->claims[row(wish->transport)];
	const struct claims *theirs = &table->claims[row(other(wish->transport))];
	struct quarantine *q = first_kept_for(table, wish, now);

	for (size_t w = 0; w < PORT_WORDS; w++)
		busy[w] = count_quarantined ? mine->quarantined[w] : 0;
	for (; q; q = next_kept_for(q, wish))
		set_bit(busy, q->port, false);
	for (size_t w = 0; w < PORT_WORDS; w++)
		busy[w] |= mine->leased[w] | mine->companion[w] |
			   (wish->companion ? theirs->leased[w] : 0);
}
