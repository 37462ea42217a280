/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lease table by itself, and against a model of plain arrays under random operations. */
#include "../../daemon/core/lease_table.h"

#include "requests.h"

static struct lease_table *table;

static int
set_up(void **state)
{
	(void)state;
	table = lease_table_new();
	return table ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	lease_table_free(table);
	return 0;
}

static struct lease *
add(unsigned n, enum transport transport, uint16_t internal, uint16_t external, bool companion)
{
	struct lease_record record = {.origin = ORIGIN_NATPMP,
				      .transport = transport,
				      .companion = companion,
				      .external_port = external,
				      .internal = {host(n), internal},
				      .ends = 3600 * MONOTIME_SECOND};
	struct lease *lease = lease_table_insert(table, &record);

	assert_non_null(lease);
	return lease;
}

static void
end(struct lease *lease, monotime now)
{
	lease_table_unlink(table, lease, now);
	lease_table_discard(table, lease);
}

static struct port_wish
asked(unsigned n, enum transport transport, uint16_t internal, bool companion)
{
	return (struct port_wish){transport, {host(n), internal}, companion};
}

static enum port_state
port(const struct port_wish *w, uint16_t external, monotime now)
{
	return lease_table_port(table, w, external, now);
}

static void
an_empty_table_answers_every_question(void **state)
{
	struct port_wish w = asked(2, UDP, 4000, true);
	struct endpoint internal = {host(2), 4000};
	uint64_t busy[PORT_WORDS];

	(void)state;
	assert_null(lease_table_by_id(table, 1));
	assert_null(lease_table_after_id(table, 0));
	assert_null(lease_table_by_external(table, UDP, 4000));
	assert_null(lease_table_by_internal(table, UDP, &internal));
	assert_null(lease_table_first_of_client(table, &internal.address));
	assert_null(lease_table_first_to_end(table));
	assert_int_equal(lease_table_count(table), 0);
	assert_int_equal(lease_table_count_of_client(table, &internal.address), 0);
	assert_int_equal(lease_table_quarantined_for(table, &w, 0), 0);
	assert_int_equal(port(&w, 65535, 0), PORT_FREE);
	lease_table_busy_ports(table, &w, true, 0, busy);
	for (size_t i = 0; i < PORT_WORDS; i++)
		assert_int_equal(busy[i], 0);
}

static void
ids_grow_and_are_never_given_twice(void **state)
{
	struct lease_record record = {
	    .id = 100, .transport = TCP, .external_port = 7, .internal = {host(2), 7}};
	uint64_t first = add(2, UDP, 1, 1, false)->record.id;
	struct lease *second = add(2, UDP, 2, 2, false);

	(void)state;
	assert_true(first > 0 && second->record.id > first);
	first = second->record.id;
	end(second, 0);
	assert_true(add(2, UDP, 2, 2, false)->record.id > first);
	assert_int_equal(lease_table_insert(table, &record)->record.id, 100);
	assert_int_equal(add(2, UDP, 3, 3, false)->record.id, 101);
}

static void
descriptions_are_copied(void **state)
{
	char text[] = "a game";
	struct lease_record record = {
	    .transport = TCP, .external_port = 80, .internal = {host(2), 80}, .description = text};
	struct lease *lease = lease_table_insert(table, &record);

	(void)state;
	text[0] = 'x';
	assert_string_equal(lease->record.description, "a game");
	assert_true(lease_set_description(lease, text));
	assert_string_equal(lease->record.description, "x game");
	assert_true(lease_set_description(lease, ""));
	assert_null(lease->record.description);
}

static void
user_agents_are_shared(void **state)
{
	char text[] = "Game/1";
	struct lease_record record = {
	    .transport = TCP, .external_port = 80, .internal = {host(2), 80}, .user_agent = text};
	struct lease *first = lease_table_insert(table, &record), *second;

	(void)state;
	record.external_port = 81;
	record.internal.address = host(3);
	second = lease_table_insert(table, &record);
	assert_string_equal(first->record.user_agent, "Game/1");
	assert_ptr_not_equal(first->record.user_agent, text);
	assert_ptr_equal(first->record.user_agent, second->record.user_agent);
	text[5] = '2';
	assert_true(lease_table_set_user_agent(table, first, text));
	assert_string_equal(first->record.user_agent, "Game/2");
	assert_string_equal(second->record.user_agent, "Game/1");
	assert_true(lease_table_set_user_agent(table, second, text));
	assert_ptr_equal(first->record.user_agent, second->record.user_agent);
	assert_true(lease_table_set_user_agent(table, first, ""));
	assert_null(first->record.user_agent);
	end(first, 0);
	assert_string_equal(second->record.user_agent, "Game/2");
}

static void
a_freed_port_is_kept_for_its_endpoint(void **state)
{
	struct port_wish own = asked(2, UDP, 4000, false), sibling = asked(2, UDP, 4001, false);
	struct port_wish other = asked(3, UDP, 4000, false), tcp = asked(2, TCP, 4000, false);
	monotime freed = 1000, over = freed + LEASE_QUARANTINE;

	(void)state;
	end(add(2, UDP, 4000, 5000, false), freed);
	assert_int_equal(port(&own, 5000, over - 1), PORT_FREE);
	assert_int_equal(port(&sibling, 5000, over - 1), PORT_QUARANTINED);
	assert_int_equal(port(&other, 5000, over - 1), PORT_QUARANTINED);
	assert_int_equal(port(&tcp, 5000, over - 1), PORT_FREE);
	assert_int_equal(port(&other, 5001, over - 1), PORT_FREE);
	assert_int_equal(lease_table_quarantined_for(table, &own, over - 1), 5000);
	assert_int_equal(lease_table_quarantined_for(table, &other, over - 1), 0);
	assert_int_equal(lease_table_quarantined_for(table, &tcp, over - 1), 0);
	assert_int_equal(port(&other, 5000, over), PORT_FREE);
	assert_int_equal(lease_table_quarantined_for(table, &own, over), 0);
}

static void
of_several_kept_ports_the_latest_is_offered(void **state)
{
	struct port_wish own = asked(2, UDP, 4000, false);
	struct lease *older = add(2, UDP, 4000, 6000, false),
		     *newer = add(2, UDP, 4000, 5000, false);

	(void)state;
	end(older, 1000);
	end(newer, 3000);
	assert_int_equal(lease_table_quarantined_for(table, &own, 4000), 5000);
	assert_int_equal(port(&own, 6000, 4000), PORT_FREE);
	assert_int_equal(lease_table_quarantined_for(table, &own, 1000 + LEASE_QUARANTINE), 5000);
	assert_int_equal(lease_table_quarantined_for(table, &own, 3000 + LEASE_QUARANTINE), 0);
}

static void
a_new_lease_ends_its_ports_quarantine(void **state)
{
	struct port_wish first = asked(2, UDP, 4000, false), third = asked(4, UDP, 4000, false);

	(void)state;
	end(add(2, UDP, 4000, 5000, false), 0);
	end(add(3, UDP, 4000, 5000, false), 1000);
	assert_int_equal(lease_table_quarantined_for(table, &first, 2000), 0);
	assert_int_equal(port(&first, 5000, 2000), PORT_QUARANTINED);
	assert_int_equal(port(&third, 5000, LEASE_QUARANTINE), PORT_QUARANTINED);
	assert_int_equal(port(&third, 5000, LEASE_QUARANTINE + 1000), PORT_FREE);
}

static void
a_relinked_lease_is_as_it_was(void **state)
{
	struct port_wish own = asked(2, UDP, 4000, false), tcp = asked(3, TCP, 4000, false);
	struct lease *lease = add(2, UDP, 4000, 5000, true);
	uint64_t id = lease->record.id;

	(void)state;
	lease_table_unlink(table, lease, 0);
	assert_null(lease_table_by_id(table, id));
	assert_int_equal(lease_table_count_of_client(table, &own.internal.address), 0);
	assert_int_equal(port(&tcp, 5000, 0), PORT_FREE);
	lease_table_relink(table, lease);
	assert_ptr_equal(lease_table_by_id(table, id), lease);
	assert_ptr_equal(lease_table_by_external(table, UDP, 5000), lease);
	assert_int_equal(lease_table_count_of_client(table, &own.internal.address), 1);
	assert_int_equal(port(&own, 5000, 0), PORT_TAKEN);
	assert_int_equal(port(&tcp, 5000, 0), PORT_TAKEN);
	assert_int_equal(lease_table_quarantined_for(table, &own, 0), 0);
}

/* RFC 6886 3.3: the other transport's port is kept for the client, and for nobody else. */
static void
a_companion_port_is_kept_for_its_client(void **state)
{
	struct port_wish plain = asked(3, TCP, 9000, false), own = asked(2, TCP, 9000, false);
	struct lease *keeper = add(2, UDP, 4000, 5000, true);

	(void)state;
	add(2, UDP, 4001, 5001, false);
	assert_int_equal(port(&plain, 5000, 0), PORT_TAKEN);
	assert_int_equal(port(&own, 5000, 0), PORT_FREE);
	assert_int_equal(port(&plain, 5001, 0), PORT_FREE);
	end(keeper, 0);
	assert_int_equal(port(&plain, 5000, 0), PORT_FREE);
}

static void
a_port_whose_companion_another_holds_cannot_be_kept(void **state)
{
	struct port_wish keeping = asked(3, TCP, 9000, true), plain = asked(3, TCP, 9000, false);
	struct port_wish own = asked(2, TCP, 9000, true);

	(void)state;
	add(2, UDP, 4000, 5000, false);
	assert_int_equal(port(&keeping, 5000, 0), PORT_TAKEN);
	assert_int_equal(port(&plain, 5000, 0), PORT_FREE);
	assert_int_equal(port(&own, 5000, 0), PORT_FREE);
}

static void
leases_of_one_endpoint_come_oldest_first(void **state)
{
	struct endpoint internal = {host(2), 4000};
	struct lease *oldest = add(2, UDP, 4000, 9000, false);
	struct lease *middle, *newest;

	(void)state;
	add(2, UDP, 4001, 9001, false);
	middle = add(2, UDP, 4000, 5000, false);
	add(2, TCP, 4000, 9000, false);
	newest = add(2, UDP, 4000, 7000, false);
	assert_ptr_equal(lease_table_by_internal(table, UDP, &internal), oldest);
	assert_ptr_equal(lease_next_internal(oldest), middle);
	assert_ptr_equal(lease_next_internal(middle), newest);
	assert_null(lease_next_internal(newest));
}

static void
the_first_to_end_follows_new_lifetimes(void **state)
{
	struct lease *a = add(2, UDP, 1, 1, false), *b = add(2, UDP, 2, 2, false);

	(void)state;
	lease_table_set_lifetime(table, a, 10, 10 * MONOTIME_SECOND);
	lease_table_set_lifetime(table, b, 20, 20 * MONOTIME_SECOND);
	assert_ptr_equal(lease_table_first_to_end(table), a);
	lease_table_set_lifetime(table, a, 30, 30 * MONOTIME_SECOND);
	assert_int_equal(a->record.lifetime, 30);
	assert_ptr_equal(lease_table_first_to_end(table), b);
	lease_table_set_lifetime(table, b, MAPPING_LIFETIME_STATIC, MONOTIME_NEVER);
	end(a, 0);
	assert_null(lease_table_first_to_end(table));
}

/* A reader of pages keeps an id, not a pointer: it sees each lease that stays exactly once,
 * whatever ends or begins. */
static void
pages_survive_changes(void **state)
{
	enum { LEASES = 100, PAGE = 7 };
	unsigned seen[LEASES + 1] = {0};
	uint64_t id = 0;
	struct lease *lease;

	(void)state;
	for (uint16_t i = 1; i <= LEASES; i++)
		add(2, UDP, i, i, false);
	for (int page = 0; page < LEASES; page++) {
		for (int i = 0; i < PAGE && (lease = lease_table_after_id(table, id)); i++) {
			id = lease->record.id;
			if (id <= LEASES)
				seen[id]++;
		}
		/* The last one read goes, one far ahead goes, one at the end comes. */
		if ((lease = lease_table_by_id(table, id)))
			end(lease, 0);
		if ((lease = lease_table_by_id(table, id + 2 * PAGE)))
			end(lease, 0);
		if (page < 10)
			add(3, UDP, 1, (uint16_t)(1000 + page), false);
	}
	assert_null(lease_table_after_id(table, id));
	for (uint64_t i = 1; i <= LEASES; i++)
		if (lease_table_by_id(table, i))
			assert_int_equal(seen[i], 1);
}

/*
 * The model.  Ports are few, so that operations meet, and lie around the borders of the bitmaps'
 * words.
 */
static const uint16_t ports[] = {1,    2,    62,    63,	   64,	  65,	 127,  128,
				 129,  1023, 1024,  1025,  4000,  4001,	 5350, 5351,
				 5352, 8080, 32767, 32768, 65472, 65534, 65535};
enum { CLIENTS = 4, INTERNALS = 3, LEASES_MAX = 2 * COUNT(ports), OUT_MAX = 8, OPERATIONS = 20000 };

struct entry {
	struct lease *lease;
	struct lease_record record;
};

struct kept {
	bool there;
	struct endpoint internal;
	monotime until;
};

static struct {
	struct randomness random;
	struct entry linked[LEASES_MAX];
	size_t count;
	struct entry out[OUT_MAX]; /* unlinked, not yet discarded */
	size_t out_count;
	struct kept kept[2][65536];
	uint64_t last_id;
	monotime now;
} m;

static bool
same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && address_equal(&a->address, &b->address);
}

static struct kept *
kept_at(enum transport transport, uint16_t external)
{
	struct kept *k = &m.kept[transport == UDP][external];

	return k->there && k->until > m.now ? k : NULL;
}

static struct entry *
model_by_external(enum transport transport, uint16_t external)
{
	for (size_t i = 0; i < m.count; i++)
		if (m.linked[i].record.transport == transport &&
		    m.linked[i].record.external_port == external)
			return &m.linked[i];
	return NULL;
}

static struct endpoint
random_endpoint(void)
{
	return (struct endpoint){host(2 + random_below(&m.random, CLIENTS)),
				 (uint16_t)(4000 + random_below(&m.random, INTERNALS))};
}

static struct lease_record
random_record(void)
{
	static const char *const agents[] = {NULL, "One/1", "Two/2", "Three/3"};
	uint32_t lifetime = 1 + random_below(&m.random, 300);

	return (struct lease_record){
	    .origin = (enum origin)random_below(&m.random, ORIGINS),
	    .transport = chance(&m.random, 50) ? UDP : TCP,
	    .companion = chance(&m.random, 40),
	    .external_port = ports[random_below(&m.random, COUNT(ports))],
	    .internal = random_endpoint(),
	    .lifetime = lifetime,
	    .created = m.now,
	    .ends = chance(&m.random, 10) ? MONOTIME_NEVER : m.now + lifetime * MONOTIME_SECOND,
	    .description = chance(&m.random, 50) ? "described" : NULL,
	    .user_agent = agents[random_below(&m.random, COUNT(agents))],
	};
}

static void
do_insert(void)
{
	struct lease_record record = random_record();
	struct lease *lease;

	if (model_by_external(record.transport, record.external_port))
		return;
	lease = lease_table_insert(table, &record);
	assert_non_null(lease);
	record.id = lease->record.id;
	assert_true(record.id > m.last_id);
	m.last_id = record.id;
	m.linked[m.count++] = (struct entry){lease, record};
	m.kept[record.transport == UDP][record.external_port].there = false;
}

static void
do_unlink(void)
{
	size_t i = random_below(&m.random, (uint32_t)m.count + 1);
	struct entry *e = &m.linked[i];

	if (i == m.count || m.out_count == OUT_MAX)
		return;
	lease_table_unlink(table, e->lease, m.now);
	if (e->record.origin != ORIGIN_STATIC)
		m.kept[e->record.transport == UDP][e->record.external_port] =
		    (struct kept){true, e->record.internal, m.now + LEASE_QUARANTINE};
	m.out[m.out_count++] = *e;
	*e = m.linked[--m.count];
}

static void
do_relink(void)
{
	struct entry *e = &m.out[random_below(&m.random, OUT_MAX)];

	if (e >= m.out + m.out_count ||
	    model_by_external(e->record.transport, e->record.external_port))
		return;
	lease_table_relink(table, e->lease);
	m.kept[e->record.transport == UDP][e->record.external_port].there = false;
	m.linked[m.count++] = *e;
	*e = m.out[--m.out_count];
}

static void
do_discard(void)
{
	struct entry *e = &m.out[random_below(&m.random, OUT_MAX)];

	if (e >= m.out + m.out_count)
		return;
	lease_table_discard(table, e->lease);
	*e = m.out[--m.out_count];
}

static void
do_set_lifetime(void)
{
	size_t i = random_below(&m.random, (uint32_t)m.count + 1);
	struct lease_record record = random_record();

	if (i == m.count)
		return;
	lease_table_set_lifetime(table, m.linked[i].lease, record.lifetime, record.ends);
	m.linked[i].record.lifetime = record.lifetime;
	m.linked[i].record.ends = record.ends;
}

static void
do_wait(void)
{
	m.now += random_below(&m.random, 20) * MONOTIME_SECOND;
}

static void (*const operations[])(void) = {do_insert,  do_insert,	do_insert,
					   do_unlink,  do_unlink,	do_relink,
					   do_discard, do_set_lifetime, do_wait};

static enum port_state
model_port(const struct port_wish *w, uint16_t external)
{
	const struct entry *other = model_by_external(w->transport == UDP ? TCP : UDP, external);
	const struct kept *k = kept_at(w->transport, external);

	if (model_by_external(w->transport, external))
		return PORT_TAKEN;
	if (other && !address_equal(&other->record.internal.address, &w->internal.address) &&
	    (other->record.companion || w->companion))
		return PORT_TAKEN;
	return k && !same_endpoint(&k->internal, &w->internal) ? PORT_QUARANTINED : PORT_FREE;
}

static bool
model_busy(const struct port_wish *w, uint16_t external, bool count_quarantined)
{
	const struct entry *other = model_by_external(w->transport == UDP ? TCP : UDP, external);
	enum port_state is = model_port(w, external);

	return is == PORT_TAKEN || (is == PORT_QUARANTINED && count_quarantined) ||
	       (other && (other->record.companion || w->companion));
}

static void
check_records(void)
{
	const struct entry *first = NULL;
	struct lease *lease;
	size_t walked = 0;

	assert_int_equal(lease_table_count(table), m.count);
	for (size_t i = 0; i < m.count; i++) {
		const struct lease_record *r = &m.linked[i].record;

		lease = m.linked[i].lease;
		assert_ptr_equal(lease_table_by_id(table, r->id), lease);
		assert_ptr_equal(lease_table_by_external(table, r->transport, r->external_port),
				 lease);
		assert_int_equal(lease->record.lifetime, r->lifetime);
		assert_true(lease->record.ends == r->ends &&
			    same_endpoint(&lease->record.internal, &r->internal));
		assert_int_equal(!lease->record.description, !r->description);
		assert_int_equal(!lease->record.user_agent, !r->user_agent);
		if (r->user_agent)
			assert_string_equal(lease->record.user_agent, r->user_agent);
		if (r->ends != MONOTIME_NEVER &&
		    (!first || r->ends < first->record.ends ||
		     (r->ends == first->record.ends && r->id < first->record.id)))
			first = &m.linked[i];
	}
	assert_ptr_equal(lease_table_first_to_end(table), first ? first->lease : NULL);
	for (uint64_t id = 0; (lease = lease_table_after_id(table, id)); walked++) {
		assert_true(lease->record.id > id);
		id = lease->record.id;
		assert_ptr_equal(lease_table_at(table, walked), lease);
		assert_int_equal(lease_index(lease), walked);
	}
	assert_int_equal(walked, m.count);
	assert_null(lease_table_at(table, walked));
	assert_null(lease_table_at(table, SIZE_MAX));
}

static void
check_internal(enum transport transport, const struct endpoint *internal)
{
	size_t there = 0, walked = 0;
	uint64_t last = 0;

	for (size_t i = 0; i < m.count; i++)
		there += m.linked[i].record.transport == transport &&
			 same_endpoint(&m.linked[i].record.internal, internal);
	for (struct lease *l = lease_table_by_internal(table, transport, internal); l;
	     l = lease_next_internal(l)) {
		assert_true(l->record.transport == transport &&
			    same_endpoint(&l->record.internal, internal));
		assert_true(l->record.id > last);
		last = l->record.id;
		walked++;
	}
	assert_int_equal(walked, there);
}

static void
check_client(const struct address *client)
{
	size_t there = 0, counted = 0, walked = 0;

	for (size_t i = 0; i < m.count; i++) {
		bool its = address_equal(&m.linked[i].record.internal.address, client);

		there += its;
		counted += its && m.linked[i].record.origin != ORIGIN_STATIC;
	}
	for (struct lease *l = lease_table_first_of_client(table, client); l;
	     l = lease_next_of_client(l)) {
		assert_true(address_equal(&l->record.internal.address, client));
		walked++;
	}
	assert_int_equal(walked, there);
	assert_int_equal(lease_table_count_of_client(table, client), counted);
}

static void
check_ports(const struct port_wish *w)
{
	const struct kept *latest = NULL;
	uint16_t offered = 0;

	for (size_t i = 0; i < COUNT(ports); i++) {
		const struct kept *k = kept_at(w->transport, ports[i]);

		assert_int_equal(lease_table_port(table, w, ports[i], m.now),
				 model_port(w, ports[i]));
		if (k && same_endpoint(&k->internal, &w->internal) &&
		    (!latest || k->until > latest->until ||
		     (k->until == latest->until && ports[i] > offered))) {
			latest = k;
			offered = ports[i];
		}
	}
	assert_int_equal(lease_table_quarantined_for(table, w, m.now), offered);
}

static void
check_every_port(const struct port_wish *w)
{
	static uint64_t with[PORT_WORDS], without[PORT_WORDS];

	lease_table_busy_ports(table, w, true, m.now, with);
	lease_table_busy_ports(table, w, false, m.now, without);
	for (uint32_t p = 0; p < 65536; p++) {
		bool counted = with[p / 64] >> p % 64 & 1,
		     uncounted = without[p / 64] >> p % 64 & 1;
		enum port_state is = lease_table_port(table, w, (uint16_t)p, m.now);

		/* What is not busy may be had: that a random pick relies on. */
		assert_true(counted || is == PORT_FREE);
		assert_true(uncounted || is != PORT_TAKEN);
		if (!counted && !uncounted && is == PORT_FREE)
			continue;
		assert_int_equal(counted, model_busy(w, (uint16_t)p, true));
		assert_int_equal(uncounted, model_busy(w, (uint16_t)p, false));
	}
}

static void
random_operations_agree_with_a_model(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.random = random_begin("lease table");
	for (int i = 0; i < OPERATIONS; i++) {
		struct port_wish w = {chance(&m.random, 50) ? UDP : TCP, random_endpoint(),
				      chance(&m.random, 50)};

		operations[random_below(&m.random, COUNT(operations))]();
		check_records();
		check_internal(w.transport, &w.internal);
		check_client(&w.internal.address);
		check_ports(&w);
		if (i % 500 == 0)
			check_every_port(&w);
	}
	while (m.out_count > 0)
		lease_table_discard(table, m.out[--m.out_count].lease);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(an_empty_table_answers_every_question),
	    TEST(ids_grow_and_are_never_given_twice),
	    TEST(descriptions_are_copied),
	    TEST(user_agents_are_shared),
	    TEST(a_freed_port_is_kept_for_its_endpoint),
	    TEST(of_several_kept_ports_the_latest_is_offered),
	    TEST(a_new_lease_ends_its_ports_quarantine),
	    TEST(a_relinked_lease_is_as_it_was),
	    TEST(a_companion_port_is_kept_for_its_client),
	    TEST(a_port_whose_companion_another_holds_cannot_be_kept),
	    TEST(leases_of_one_endpoint_come_oldest_first),
	    TEST(the_first_to_end_follows_new_lifetimes),
	    TEST(pages_survive_changes),
	    TEST(random_operations_agree_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
