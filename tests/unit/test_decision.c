/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each request comes to.  The two matrices (which request meets whose mapping, who may delete
 * what) stand here as tables, every cell of them; the requests are the codecs' own.
 */
#include "../../daemon/core/decision.h"

#include "../fakes/fake_firewall.h"
#include "requests.h"

enum { OWN = 2, OTHER = 3, INTERNAL = 4000, OTHER_INTERNAL = 4001, PORT = 5000, OTHER_PORT = 6000 };
enum { HELD = 3600, SHORTER = 600, LONGER = 7200 };
enum { NONCE = 7, OTHER_NONCE = 8 };

static struct randomness randomness;
static struct firewall *firewall;
static struct policy *policy;
static struct policy_rule rules[2];
static struct decider d;
static uint16_t listens_on;
static struct map_reply reply;

static uint32_t
draw(void *arg)
{
	return random_bits(arg);
}

static bool
listening(void *arg, enum transport transport, uint16_t port)
{
	(void)arg;
	return transport == UDP && port == listens_on;
}

static const struct port_pick_options ports = {.random_ports = {1024, 65535},
					       .ephemeral = {32768, 60999},
					       .random = draw,
					       .random_arg = &randomness,
					       .listening = listening};

static int
set_up(void **state)
{
	struct fault fault;

	(void)state;
	listens_on = 0;
	policy = policy_new(NULL, 0);
	d = (struct decider){.table = lease_table_new(),
			     .policy = policy,
			     .ports = &ports,
			     .max_mappings_per_client = 5,
			     .external = address("203.0.113.5"),
			     .now = 1000000};
	if (firewall_open(&firewall, &(struct firewall_options){.source_nat = true}, &fault) < 0)
		return -1;
	d.transaction = transaction_new(d.table, firewall);
	return d.transaction ? 0 : -1;
}

static void
forget(void *arg, const struct change *change)
{
	(void)arg;
	(void)change;
}

static int
tear_down(void **state)
{
	(void)state;
	transaction_settle(d.transaction, forget, NULL);
	transaction_free(d.transaction);
	lease_table_free(d.table);
	firewall_close(firewall);
	policy_free(policy);
	return 0;
}

static void
afresh(void **state)
{
	tear_down(state);
	assert_int_equal(set_up(state), 0);
}

static void
set_rules(struct policy_rule first, struct policy_rule second)
{
	rules[0] = first;
	rules[1] = second;
	policy_free(policy);
	policy = d.policy = policy_new(rules, 2);
}

static enum map_result
ask(struct map_request request)
{
	decide(&d, &request, &reply);
	return reply.result;
}

/* A mapping that is there before the request comes. */
static struct lease *
hold(enum origin origin, unsigned n, uint16_t internal, uint16_t external)
{
	struct lease_record record = {
	    .origin = origin,
	    .transport = UDP,
	    .outbound = true,
	    .companion = origin == ORIGIN_NATPMP,
	    .has_nonce = origin == ORIGIN_PCP,
	    .external_port = external,
	    .internal = {host(n), internal},
	    .lifetime = origin == ORIGIN_STATIC ? MAPPING_LIFETIME_STATIC : HELD,
	    .ends = origin == ORIGIN_STATIC ? MONOTIME_NEVER : d.now + HELD * MONOTIME_SECOND,
	};
	struct lease *lease;

	if (record.has_nonce)
		memset(&record.nonce, NONCE, sizeof(record.nonce));
	lease = lease_table_insert(d.table, &record);
	assert_non_null(lease);
	return lease;
}

static struct map_request
pcp_map_7(struct wish w)
{
	return pcp_map(w, NONCE);
}

static struct map_request
pcp_map_8(struct wish w)
{
	return pcp_map(w, OTHER_NONCE);
}

static struct map_request
pcp_exactly_7(struct wish w)
{
	return pcp_map_exactly(w, NONCE);
}

static struct map_request
pcp_exactly_8(struct wish w)
{
	return pcp_map_exactly(w, OTHER_NONCE);
}

/* What becomes of the mapping that was there, and of the request. */
enum effect {
	NOTHING,   /* all stays */
	STATED,	   /* all stays, the request is told of it */
	RENEWED,   /* it ends when the request says, be that sooner or later */
	PROLONGED, /* it ends when the request says, if that is later; else it stays what it is */
	ADOPTED,   /* renewed, and PCP's from now on */
	REPLACED,  /* it is gone, another stands on its port */
	BESIDE,	   /* it stays, and another came on another port */
};

static const char *cell;

#define expect(condition)                                         \
	do {                                                      \
		if (!(condition))                                 \
			fail_msg("%s: not %s", cell, #condition); \
	} while (0)

static monotime
expected_end(const struct lease_record *before, enum effect effect, uint32_t asked)
{
	if (before->ends == MONOTIME_NEVER)
		return MONOTIME_NEVER;
	if (effect == RENEWED || effect == ADOPTED || (effect == PROLONGED && asked > HELD))
		return d.now + asked * MONOTIME_SECOND;
	return before->ends;
}

static bool
same_nonce(const struct nonce *a, const struct nonce *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void
check_holder(const struct lease_record *before, enum effect effect, const struct map_request *r)
{
	const struct lease *lease = lease_table_by_id(d.table, before->id);

	expect((lease == NULL) == (effect == REPLACED));
	if (!lease)
		return;
	expect(lease->record.origin == (effect == ADOPTED ? ORIGIN_PCP : before->origin));
	expect(lease->record.has_nonce == (effect == ADOPTED || before->has_nonce));
	expect(same_nonce(&lease->record.nonce, effect == ADOPTED ? &r->nonce : &before->nonce));
	expect(lease->record.companion == before->companion);
	expect(lease->record.ends == expected_end(before, effect, r->lifetime));
}

/* The one lease younger than the holder. */
static void
check_newcomer(const struct lease_record *before, enum effect effect, const struct map_request *r)
{
	const struct lease *lease = lease_table_after_id(d.table, before->id);

	expect((lease != NULL) == (effect == REPLACED || effect == BESIDE));
	if (!lease)
		return;
	expect(lease->record.origin == r->origin);
	expect(lease->record.internal.port == r->internal.port);
	expect(address_equal(&lease->record.internal.address, &r->internal.address));
	expect((lease->record.external_port == before->external_port) == (effect == REPLACED));
	expect(lease->record.ends == d.now + r->lifetime * MONOTIME_SECOND);
	expect(reply.external.port == lease->record.external_port);
}

/* A protocol that may not be granted more than it asked is not told of more. */
static void
check_reply(const struct lease_record *before, enum effect effect, const struct map_request *r)
{
	bool forever = effect == STATED && r->origin == ORIGIN_PCP;

	if (reply.result != MAP_OK) {
		expect(reply.external.port == 0);
		return;
	}
	expect(address_equal(&reply.external.address, &d.external));
	expect(effect == BESIDE || reply.external.port == before->external_port);
	expect(reply.lifetime == (forever ? MAPPING_LIFETIME_STATIC : r->lifetime));
}

/* "The same external port is held by", interworking 2.3. */
struct conflict {
	const char *what;
	struct map_request (*request)(struct wish);
	enum origin held_by;
	unsigned holder;
	uint16_t holders_internal;
	enum map_result result;
	enum effect effect;
};

static void
check_conflict(const struct conflict *c, uint16_t wanted, uint32_t lifetime)
{
	struct map_request r = c->request(wish(OWN, UDP, INTERNAL, wanted, lifetime));
	struct lease_record before = hold(c->held_by, c->holder, c->holders_internal, PORT)->record;
	char text[100];

	snprintf(text, sizeof(text), "%s, held by %s, for %u", c->what, origin_name(c->held_by),
		 lifetime);
	cell = text;
	ask(r);
	expect(reply.result == c->result);
	check_holder(&before, c->effect, &r);
	check_newcomer(&before, c->effect, &r);
	check_reply(&before, c->effect, &r);
}

#define SAME_INTERNAL OWN, INTERNAL
#define OTHER_PORT_OF OWN, OTHER_INTERNAL
#define OTHER_CLIENT  OTHER, INTERNAL
#define UPNP	      ORIGIN_UPNP
#define NATPMP	      ORIGIN_NATPMP
#define PCP	      ORIGIN_PCP
#define STATIC	      ORIGIN_STATIC

/* clang-format off */
static const struct conflict same_external[] = {
	{"AddPortMapping, own same", upnp_add, UPNP,   SAME_INTERNAL, MAP_OK, RENEWED},
	{"AddPortMapping, own same", upnp_add, NATPMP, SAME_INTERNAL, MAP_OK, PROLONGED},
	{"AddPortMapping, own same", upnp_add, PCP,    SAME_INTERNAL, MAP_OK, PROLONGED},
	{"AddPortMapping, own same", upnp_add, STATIC, SAME_INTERNAL, MAP_OTHER_MECHANISM, NOTHING},
	{"AddPortMapping, own other", upnp_add, UPNP,   OTHER_PORT_OF, MAP_OK, REPLACED},
	{"AddPortMapping, own other", upnp_add, NATPMP, OTHER_PORT_OF, MAP_OTHER_MECHANISM, NOTHING},
	{"AddPortMapping, own other", upnp_add, PCP,    OTHER_PORT_OF, MAP_OTHER_MECHANISM, NOTHING},
	{"AddPortMapping, own other", upnp_add, STATIC, OTHER_PORT_OF, MAP_OTHER_MECHANISM, NOTHING},
	{"AddPortMapping, other's", upnp_add, UPNP,   OTHER_CLIENT, MAP_PORT_TAKEN, NOTHING},
	{"AddPortMapping, other's", upnp_add, NATPMP, OTHER_CLIENT, MAP_PORT_TAKEN, NOTHING},
	{"AddPortMapping, other's", upnp_add, PCP,    OTHER_CLIENT, MAP_PORT_TAKEN, NOTHING},
	{"AddPortMapping, other's", upnp_add, STATIC, OTHER_CLIENT, MAP_OTHER_MECHANISM, NOTHING},

	{"AddAnyPortMapping, own same", upnp_add_any, UPNP,   SAME_INTERNAL, MAP_OK, RENEWED},
	{"AddAnyPortMapping, own same", upnp_add_any, NATPMP, SAME_INTERNAL, MAP_OK, PROLONGED},
	{"AddAnyPortMapping, own same", upnp_add_any, PCP,    SAME_INTERNAL, MAP_OK, PROLONGED},
	{"AddAnyPortMapping, own same", upnp_add_any, STATIC, SAME_INTERNAL, MAP_OK, BESIDE},
	{"AddAnyPortMapping, own other", upnp_add_any, UPNP,   OTHER_PORT_OF, MAP_OK, REPLACED},
	{"AddAnyPortMapping, own other", upnp_add_any, NATPMP, OTHER_PORT_OF, MAP_OK, BESIDE},
	{"AddAnyPortMapping, own other", upnp_add_any, PCP,    OTHER_PORT_OF, MAP_OK, BESIDE},
	{"AddAnyPortMapping, own other", upnp_add_any, STATIC, OTHER_PORT_OF, MAP_OK, BESIDE},
	{"AddAnyPortMapping, other's", upnp_add_any, UPNP,   OTHER_CLIENT, MAP_OK, BESIDE},
	{"AddAnyPortMapping, other's", upnp_add_any, NATPMP, OTHER_CLIENT, MAP_OK, BESIDE},
	{"AddAnyPortMapping, other's", upnp_add_any, PCP,    OTHER_CLIENT, MAP_OK, BESIDE},
	{"AddAnyPortMapping, other's", upnp_add_any, STATIC, OTHER_CLIENT, MAP_OK, BESIDE},

	{"NAT-PMP, own same", natpmp_map, UPNP,   SAME_INTERNAL, MAP_OK, PROLONGED},
	{"NAT-PMP, own same", natpmp_map, NATPMP, SAME_INTERNAL, MAP_OK, RENEWED},
	{"NAT-PMP, own same", natpmp_map, PCP,    SAME_INTERNAL, MAP_OK, PROLONGED},
	{"NAT-PMP, own same", natpmp_map, STATIC, SAME_INTERNAL, MAP_OK, STATED},
	{"NAT-PMP, own other", natpmp_map, UPNP,   OTHER_PORT_OF, MAP_OK, BESIDE},
	{"NAT-PMP, own other", natpmp_map, NATPMP, OTHER_PORT_OF, MAP_OK, BESIDE},
	{"NAT-PMP, own other", natpmp_map, PCP,    OTHER_PORT_OF, MAP_OK, BESIDE},
	{"NAT-PMP, own other", natpmp_map, STATIC, OTHER_PORT_OF, MAP_OK, BESIDE},
	{"NAT-PMP, other's", natpmp_map, UPNP,   OTHER_CLIENT, MAP_OK, BESIDE},
	{"NAT-PMP, other's", natpmp_map, NATPMP, OTHER_CLIENT, MAP_OK, BESIDE},
	{"NAT-PMP, other's", natpmp_map, PCP,    OTHER_CLIENT, MAP_OK, BESIDE},
	{"NAT-PMP, other's", natpmp_map, STATIC, OTHER_CLIENT, MAP_OK, BESIDE},

	{"PCP, own same", pcp_map_7, UPNP,   SAME_INTERNAL, MAP_OK, ADOPTED},
	{"PCP, own same", pcp_map_7, NATPMP, SAME_INTERNAL, MAP_OK, ADOPTED},
	{"PCP, own same", pcp_map_7, PCP,    SAME_INTERNAL, MAP_OK, RENEWED},
	{"PCP, own same", pcp_map_8, PCP,    SAME_INTERNAL, MAP_NOT_YOURS, NOTHING},
	{"PCP, own same", pcp_map_7, STATIC, SAME_INTERNAL, MAP_OK, STATED},
	{"PCP, own other", pcp_map_7, UPNP,   OTHER_PORT_OF, MAP_OK, BESIDE},
	{"PCP, own other", pcp_map_7, NATPMP, OTHER_PORT_OF, MAP_OK, BESIDE},
	{"PCP, own other", pcp_map_7, PCP,    OTHER_PORT_OF, MAP_OK, BESIDE},
	{"PCP, own other", pcp_map_7, STATIC, OTHER_PORT_OF, MAP_OK, BESIDE},
	{"PCP, other's", pcp_map_7, UPNP,   OTHER_CLIENT, MAP_OK, BESIDE},
	{"PCP, other's", pcp_map_7, NATPMP, OTHER_CLIENT, MAP_OK, BESIDE},
	{"PCP, other's", pcp_map_7, PCP,    OTHER_CLIENT, MAP_OK, BESIDE},
	{"PCP, other's", pcp_map_7, STATIC, OTHER_CLIENT, MAP_OK, BESIDE},

	{"PREFER_FAILURE, own same", pcp_exactly_7, UPNP,   SAME_INTERNAL, MAP_OK, ADOPTED},
	{"PREFER_FAILURE, own same", pcp_exactly_7, NATPMP, SAME_INTERNAL, MAP_OK, ADOPTED},
	{"PREFER_FAILURE, own same", pcp_exactly_7, PCP,    SAME_INTERNAL, MAP_OK, RENEWED},
	{"PREFER_FAILURE, own same", pcp_exactly_8, PCP,    SAME_INTERNAL, MAP_NOT_YOURS, NOTHING},
	{"PREFER_FAILURE, own same", pcp_exactly_7, STATIC, SAME_INTERNAL, MAP_OK, STATED},
	{"PREFER_FAILURE, own other", pcp_exactly_7, UPNP,   OTHER_PORT_OF, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE, own other", pcp_exactly_7, NATPMP, OTHER_PORT_OF, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE, own other", pcp_exactly_7, PCP,    OTHER_PORT_OF, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE, own other", pcp_exactly_7, STATIC, OTHER_PORT_OF, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE, other's", pcp_exactly_7, UPNP,   OTHER_CLIENT, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE, other's", pcp_exactly_7, NATPMP, OTHER_CLIENT, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE, other's", pcp_exactly_7, PCP,    OTHER_CLIENT, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE, other's", pcp_exactly_7, STATIC, OTHER_CLIENT, MAP_PORT_TAKEN, NOTHING},
};

/* "Same internal address, port and protocol, but a different external port exists." */
static const struct conflict other_external[] = {
	{"NAT-PMP", natpmp_map, UPNP,   SAME_INTERNAL, MAP_OK, PROLONGED},
	{"NAT-PMP", natpmp_map, NATPMP, SAME_INTERNAL, MAP_OK, RENEWED},
	{"NAT-PMP", natpmp_map, PCP,    SAME_INTERNAL, MAP_OK, PROLONGED},
	{"NAT-PMP", natpmp_map, STATIC, SAME_INTERNAL, MAP_OK, STATED},
	{"PCP", pcp_map_7, UPNP,   SAME_INTERNAL, MAP_OK, ADOPTED},
	{"PCP", pcp_map_7, NATPMP, SAME_INTERNAL, MAP_OK, ADOPTED},
	{"PCP", pcp_map_7, PCP,    SAME_INTERNAL, MAP_OK, RENEWED},
	{"PCP", pcp_map_8, PCP,    SAME_INTERNAL, MAP_NOT_YOURS, NOTHING},
	{"PCP", pcp_map_7, STATIC, SAME_INTERNAL, MAP_OK, STATED},
	{"PREFER_FAILURE", pcp_exactly_7, UPNP,   SAME_INTERNAL, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE", pcp_exactly_7, NATPMP, SAME_INTERNAL, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE", pcp_exactly_7, PCP,    SAME_INTERNAL, MAP_PORT_TAKEN, NOTHING},
	{"PREFER_FAILURE", pcp_exactly_8, PCP,    SAME_INTERNAL, MAP_NOT_YOURS, NOTHING},
	{"PREFER_FAILURE", pcp_exactly_7, STATIC, SAME_INTERNAL, MAP_PORT_TAKEN, NOTHING},
	{"AddPortMapping", upnp_add, UPNP,   SAME_INTERNAL, MAP_OK, BESIDE},
	{"AddPortMapping", upnp_add, NATPMP, SAME_INTERNAL, MAP_OK, BESIDE},
	{"AddPortMapping", upnp_add, PCP,    SAME_INTERNAL, MAP_OK, BESIDE},
	{"AddPortMapping", upnp_add, STATIC, SAME_INTERNAL, MAP_OK, BESIDE},
	{"AddAnyPortMapping", upnp_add_any, UPNP,   SAME_INTERNAL, MAP_OK, BESIDE},
	{"AddAnyPortMapping", upnp_add_any, NATPMP, SAME_INTERNAL, MAP_OK, BESIDE},
	{"AddAnyPortMapping", upnp_add_any, PCP,    SAME_INTERNAL, MAP_OK, BESIDE},
	{"AddAnyPortMapping", upnp_add_any, STATIC, SAME_INTERNAL, MAP_OK, BESIDE},
};
/* clang-format on */

static void
check_conflicts(void **state, const struct conflict *table, size_t count, uint16_t wanted)
{
	static const uint32_t lifetimes[] = {SHORTER, LONGER};

	for (size_t i = 0; i < count; i++)
		for (size_t l = 0; l < COUNT(lifetimes); l++) {
			afresh(state);
			check_conflict(&table[i], wanted, lifetimes[l]);
		}
}

static void
the_same_external_port_is_held(void **state)
{
	check_conflicts(state, same_external, COUNT(same_external), PORT);
}

static void
the_same_internal_port_has_another_external_one(void **state)
{
	check_conflicts(state, other_external, COUNT(other_external), OTHER_PORT);
}

static void
the_gateway_itself_has_the_port(void **state)
{
	static const struct {
		struct map_request (*request)(struct wish);
		enum map_result result;
	} rows[] = {{upnp_add, MAP_GATEWAY_PORT},
		    {upnp_add_any, MAP_OK},
		    {natpmp_map, MAP_OK},
		    {pcp_map_7, MAP_OK},
		    {pcp_exactly_7, MAP_GATEWAY_PORT}};

	for (size_t i = 0; i < COUNT(rows); i++) {
		afresh(state);
		listens_on = PORT;
		assert_int_equal(ask(rows[i].request(wish(OWN, UDP, INTERNAL, PORT, HELD))),
				 rows[i].result);
		assert_int_not_equal(reply.external.port, PORT);
		listens_on = 0;
		assert_int_equal(ask(rows[i].request(wish(OTHER, UDP, INTERNAL, PORT, HELD))),
				 MAP_OK);
		assert_int_equal(reply.external.port, PORT);
	}
}

/* Who may delete what, interworking 2.5. */
enum deleter { UPNP_OWNER, UPNP_OTHER, NATPMP_ONE, NATPMP_ALL, PCP_NONCE, PCP_OTHER_NONCE };

static struct map_request
deletion(enum deleter by)
{
	struct wish own = wish(OWN, UDP, INTERNAL, PORT, 0),
		    other = wish(OTHER, UDP, INTERNAL, PORT, 0);

	switch (by) {
	case UPNP_OWNER:
		return upnp_delete(own);
	case UPNP_OTHER:
		return upnp_delete(other);
	case NATPMP_ONE:
		return natpmp_delete(own);
	case NATPMP_ALL:
		return natpmp_delete_all(OWN, UDP);
	case PCP_NONCE:
		return pcp_delete(own, NONCE);
	case PCP_OTHER_NONCE:
		break;
	}
	return pcp_delete(own, OTHER_NONCE);
}

/* clang-format off */
static const struct {
	enum deleter by;
	enum origin held_by;
	enum map_result result;
	bool gone;
} deletions[] = {
	{UPNP_OWNER, UPNP,   MAP_OK, true},
	{UPNP_OWNER, NATPMP, MAP_OK, true},
	{UPNP_OWNER, PCP,    MAP_OTHER_MECHANISM, false},
	{UPNP_OWNER, STATIC, MAP_OTHER_MECHANISM, false},
	{UPNP_OTHER, UPNP,   MAP_NOT_YOURS, false},
	{UPNP_OTHER, NATPMP, MAP_NOT_YOURS, false},
	{UPNP_OTHER, PCP,    MAP_NOT_YOURS, false},
	{UPNP_OTHER, STATIC, MAP_NOT_YOURS, false},
	{NATPMP_ONE, UPNP,   MAP_OK, true},
	{NATPMP_ONE, NATPMP, MAP_OK, true},
	{NATPMP_ONE, PCP,    MAP_OTHER_MECHANISM, false},
	{NATPMP_ONE, STATIC, MAP_OTHER_MECHANISM, false},
	{NATPMP_ALL, UPNP,   MAP_OK, false},
	{NATPMP_ALL, NATPMP, MAP_OK, true},
	{NATPMP_ALL, PCP,    MAP_OK, false},
	{NATPMP_ALL, STATIC, MAP_OTHER_MECHANISM, false},
	{PCP_NONCE, UPNP,   MAP_OTHER_MECHANISM, false},
	{PCP_NONCE, NATPMP, MAP_OTHER_MECHANISM, false},
	{PCP_NONCE, PCP,    MAP_OK, true},
	{PCP_NONCE, STATIC, MAP_OTHER_MECHANISM, false},
	{PCP_OTHER_NONCE, UPNP,   MAP_OTHER_MECHANISM, false},
	{PCP_OTHER_NONCE, NATPMP, MAP_OTHER_MECHANISM, false},
	{PCP_OTHER_NONCE, PCP,    MAP_NOT_YOURS, false},
	{PCP_OTHER_NONCE, STATIC, MAP_OTHER_MECHANISM, false},
};
/* clang-format on */

static void
deletes_follow_their_matrix(void **state)
{
	for (size_t i = 0; i < COUNT(deletions); i++) {
		uint64_t id;

		afresh(state);
		id = hold(deletions[i].held_by, OWN, INTERNAL, PORT)->record.id;
		assert_int_equal(ask(deletion(deletions[i].by)), deletions[i].result);
		assert_int_equal(lease_table_by_id(d.table, id) == NULL, deletions[i].gone);
		assert_int_equal(reply.external.port, 0);
		assert_int_equal(
		    reply.lifetime,
		    deletions[i].by == PCP_OTHER_NONCE && deletions[i].held_by == PCP ? HELD : 0);
	}
}

/* RFC 6886 3.4 and RFC 6887 15.1; a UPnP client is told. */
static void
deleting_what_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(ask(natpmp_delete(wish(OWN, UDP, INTERNAL, 0, 0))), MAP_OK);
	assert_int_equal(ask(natpmp_delete_all(OWN, UDP)), MAP_OK);
	assert_int_equal(ask(pcp_delete(wish(OWN, UDP, INTERNAL, 0, 0), NONCE)), MAP_OK);
	assert_int_equal(ask(upnp_delete(wish(OWN, UDP, 0, PORT, 0))), MAP_NOT_FOUND);
	hold(NATPMP, OWN, INTERNAL, PORT);
	assert_int_equal(ask(natpmp_delete(wish(OWN, TCP, INTERNAL, 0, 0))), MAP_OK);
	assert_int_equal(ask(natpmp_delete(wish(OTHER, UDP, INTERNAL, 0, 0))), MAP_OK);
	assert_int_equal(ask(upnp_delete(wish(OWN, TCP, 0, PORT, 0))), MAP_NOT_FOUND);
	assert_int_equal(lease_table_count(d.table), 1);
}

static void
delete_all_is_one_clients_and_one_transports(void **state)
{
	(void)state;
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, 1025, 0, HELD))), MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, 1026, 0, HELD))), MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(OWN, TCP, 1027, 0, HELD))), MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(OTHER, UDP, 1028, 0, HELD))), MAP_OK);
	assert_int_equal(ask(natpmp_delete_all(OWN, UDP)), MAP_OK);
	assert_int_equal(lease_table_count(d.table), 2);
	assert_non_null(lease_table_by_external(d.table, TCP, 1027));
	assert_non_null(lease_table_by_external(d.table, UDP, 1028));
}

/* RFC 6886 3.4: as many as possible, and not as if it were all. */
static void
delete_all_goes_on_past_a_static_one(void **state)
{
	(void)state;
	hold(STATIC, OWN, 1025, 1025);
	hold(NATPMP, OWN, 1026, 1026);
	hold(STATIC, OTHER, 1027, 1027);
	assert_int_equal(ask(natpmp_delete_all(OWN, UDP)), MAP_OTHER_MECHANISM);
	assert_null(lease_table_by_external(d.table, UDP, 1026));
	assert_int_equal(ask(natpmp_delete_all(4, UDP)), MAP_OK);
}

static void
the_asking_protocols_own_mapping_counts_else_the_oldest(void **state)
{
	struct wish w = wish(OWN, UDP, INTERNAL, 0, HELD);

	(void)state;
	hold(UPNP, OWN, INTERNAL, 5001);
	hold(UPNP, OWN, INTERNAL, 5000);
	assert_int_equal(ask(natpmp_map(w)), MAP_OK);
	assert_int_equal(reply.external.port, 5001);
	hold(NATPMP, OWN, INTERNAL, 5002);
	assert_int_equal(ask(natpmp_map(w)), MAP_OK);
	assert_int_equal(reply.external.port, 5002);
	assert_int_equal(ask(pcp_map(w, NONCE)), MAP_OK);
	assert_int_equal(reply.external.port, 5001);
	assert_int_equal(ask(natpmp_delete(w)), MAP_OK);
	assert_null(lease_table_by_external(d.table, UDP, 5002));
	assert_int_equal(lease_table_count(d.table), 2);
}

static void
lifetimes_are_bounded_as_their_protocol_says(void **state)
{
	static const struct {
		struct map_request (*request)(struct wish);
		uint32_t asked, granted;
	} rows[] = {
	    {natpmp_map, 1, 1},
	    {natpmp_map, A_DAY, A_DAY},
	    {natpmp_map, A_DAY + 1, A_DAY},
	    {natpmp_map, UINT32_MAX, A_DAY},
	    {pcp_map_7, 1, PCP_MIN},
	    {pcp_map_7, PCP_MIN, PCP_MIN},
	    {pcp_map_7, 121, 121},
	    {pcp_map_7, UINT32_MAX, A_DAY},
	    {upnp_add, 1, 1},
	    {upnp_add, A_WEEK, A_WEEK},
	    {upnp_add, UINT32_MAX, A_WEEK},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		afresh(state);
		assert_int_equal(
		    ask(rows[i].request(wish(OWN, UDP, INTERNAL, PORT, rows[i].asked))), MAP_OK);
		assert_int_equal(reply.lifetime, rows[i].granted);
		assert_int_equal(lease_table_by_external(d.table, UDP, PORT)->record.ends,
				 d.now + rows[i].granted * MONOTIME_SECOND);
	}
}

static void
remaining_time_is_rounded_up(void **state)
{
	struct lease_record record = {.ends = 10000};

	(void)state;
	assert_int_equal(lease_remaining(&record, 0), 10);
	assert_int_equal(lease_remaining(&record, 1), 10);
	assert_int_equal(lease_remaining(&record, 9001), 1);
	assert_int_equal(lease_remaining(&record, 9999), 1);
	assert_int_equal(lease_remaining(&record, 10000), 0);
	assert_int_equal(lease_remaining(&record, 20000), 0);
	record.ends = MONOTIME_NEVER;
	assert_int_equal(lease_remaining(&record, 20000), MAPPING_LIFETIME_STATIC);
}

static void
refusals_tell_what_the_obstacle_has_left(void **state)
{
	(void)state;
	hold(PCP, OTHER, INTERNAL, PORT);
	d.now += 600 * MONOTIME_SECOND;
	assert_int_equal(ask(pcp_map_exactly(wish(OWN, UDP, INTERNAL, PORT, HELD), NONCE)),
			 MAP_PORT_TAKEN);
	assert_int_equal(reply.lifetime, HELD - 600);
	assert_int_equal(ask(pcp_map(wish(OTHER, UDP, INTERNAL, PORT, HELD), OTHER_NONCE)),
			 MAP_NOT_YOURS);
	assert_int_equal(reply.lifetime, HELD - 600);
	assert_int_equal(ask(pcp_delete(wish(OTHER, UDP, INTERNAL, PORT, HELD), OTHER_NONCE)),
			 MAP_NOT_YOURS);
	assert_int_equal(reply.lifetime, HELD - 600);
	listens_on = 5001;
	assert_int_equal(ask(pcp_map_exactly(wish(OWN, UDP, INTERNAL, 5001, HELD), NONCE)),
			 MAP_GATEWAY_PORT);
	assert_int_equal(reply.lifetime, 0);
}

static void
a_wished_address_must_be_ours(void **state)
{
	struct map_request r = pcp_map_exactly(wish(OWN, UDP, INTERNAL, PORT, HELD), NONCE);

	(void)state;
	r.external_address = address("198.51.100.7");
	assert_int_equal(ask(r), MAP_PORT_TAKEN);
	assert_int_equal(lease_table_count(d.table), 0);
	r.external_address = d.external;
	assert_int_equal(ask(r), MAP_OK);
	assert_int_equal(ask(r), MAP_OK);
	r.external_address = address("198.51.100.7");
	assert_int_equal(ask(r), MAP_PORT_TAKEN);
}

static void
upnp_takes_over_the_description_only(void **state)
{
	struct map_request r = upnp_add(wish(OWN, UDP, INTERNAL, PORT, SHORTER));
	struct lease *lease = hold(PCP, OWN, INTERNAL, PORT);

	(void)state;
	strcpy(r.description, "a game");
	strcpy(r.user_agent, "Game/1");
	assert_int_equal(ask(r), MAP_OK);
	assert_string_equal(lease->record.description, "a game");
	assert_null(lease->record.user_agent);
	assert_int_equal(lease->record.origin, PCP);
	assert_int_equal(ask(pcp_map(wish(OWN, UDP, INTERNAL, 0, HELD), NONCE)), MAP_OK);
	assert_string_equal(lease->record.description, "a game");
}

static void
the_last_user_agent_is_known(void **state)
{
	struct map_request r = upnp_add(wish(OWN, UDP, INTERNAL, PORT, HELD));
	const struct lease *lease;

	(void)state;
	strcpy(r.user_agent, "Game/1");
	assert_int_equal(ask(r), MAP_OK);
	lease = lease_table_by_external(d.table, UDP, PORT);
	assert_string_equal(lease->record.user_agent, "Game/1");
	strcpy(r.user_agent, "Game/2");
	assert_int_equal(ask(r), MAP_OK);
	assert_string_equal(lease->record.user_agent, "Game/2");
	r.user_agent[0] = '\0';
	assert_int_equal(ask(r), MAP_OK);
	assert_null(lease->record.user_agent);
}

static void
without_an_address_nothing_is_granted_and_all_can_be_deleted(void **state)
{
	struct map_request replacing = upnp_add(wish(OWN, UDP, OTHER_INTERNAL, 5003, HELD));

	(void)state;
	hold(NATPMP, OWN, INTERNAL, PORT);
	hold(UPNP, OWN, INTERNAL, 5003);
	hold(STATIC, OWN, 1, 5004);
	d.external = (struct address){0};
	assert_int_equal(ask((struct map_request){.kind = REQUEST_ADDRESS}), MAP_NO_ADDRESS);
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, INTERNAL, PORT, HELD))), MAP_NO_ADDRESS);
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, 4242, 0, HELD))), MAP_NO_ADDRESS);
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, 1, 0, HELD))), MAP_NO_ADDRESS);
	assert_int_equal(ask(replacing), MAP_NO_ADDRESS);
	assert_int_equal(ask((struct map_request){.kind = REQUEST_ANNOUNCE}), MAP_OK);
	assert_int_equal(lease_table_count(d.table), 3);
	assert_false(transaction_pending(d.transaction));
	assert_int_equal(ask(natpmp_delete(wish(OWN, UDP, INTERNAL, 0, 0))), MAP_OK);
	assert_int_equal(lease_table_count(d.table), 2);
	d.external = address("203.0.113.5");
	assert_int_equal(ask((struct map_request){.kind = REQUEST_ADDRESS}), MAP_OK);
	assert_true(address_equal(&reply.external.address, &d.external));
	assert_int_equal(ask(replacing), MAP_OK);
}

static void
policy_is_asked_before_all_else(void **state)
{
	const struct policy_rule deny = {
	    .transports = CONFIG_UDP, .external = {0, 65535}, .internal = {0, 65535}, .line = 12};

	(void)state;
	hold(NATPMP, OWN, INTERNAL, PORT);
	set_rules(deny, deny);
	d.external = (struct address){0};
	d.max_mappings_per_client = 0;
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, 4242, 0, HELD))), MAP_NOT_AUTHORIZED);
	assert_int_equal(d.denied_by, 12);
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, INTERNAL, 0, HELD))), MAP_NOT_AUTHORIZED);
	assert_int_equal(d.denied_by, 12);
	assert_int_equal(ask(natpmp_map(wish(OWN, TCP, 4242, 0, HELD))), MAP_NO_ADDRESS);
	assert_int_equal(d.denied_by, 0);
	d.external = address("203.0.113.5");
	assert_int_equal(ask(natpmp_map(wish(OWN, TCP, 4242, 0, HELD))), MAP_QUOTA);
}

/* A wish for exactly a forbidden port is told so, in create and in overwrite; any other wish gets
 * another port. */
static void
an_exact_forbidden_port_is_another_refusal(void **state)
{
	const struct policy_rule deny = {
	    .transports = CONFIG_UDP, .external = {PORT, PORT}, .internal = {0, 65535}, .line = 9};
	struct wish w = wish(OWN, UDP, INTERNAL, PORT, HELD);

	(void)state;
	set_rules(deny, deny);
	assert_int_equal(ask(upnp_add(w)), MAP_PORT_FORBIDDEN);
	assert_int_equal(d.denied_by, 9);
	assert_int_equal(ask(pcp_map_exactly(w, NONCE)), MAP_PORT_FORBIDDEN);
	hold(UPNP, OWN, OTHER_INTERNAL, PORT);
	assert_int_equal(ask(upnp_add(w)), MAP_PORT_FORBIDDEN);
	assert_int_equal(ask(natpmp_map(w)), MAP_OK);
	assert_int_equal(reply.external.port, INTERNAL);
}

static void
a_full_client_may_renew_but_not_add(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < 5; i++)
		assert_int_equal(ask(natpmp_map(wish(OWN, UDP, (uint16_t)(2000 + i), 0, HELD))),
				 MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, 3000, 0, HELD))), MAP_QUOTA);
	assert_int_equal(ask(pcp_map_exactly(wish(OWN, TCP, 3000, 3000, HELD), NONCE)), MAP_QUOTA);
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, 2003, 0, HELD))), MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(OTHER, UDP, 3000, 0, HELD))), MAP_OK);
	assert_int_equal(ask(natpmp_delete(wish(OWN, UDP, 2003, 0, 0))), MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, 3000, 0, HELD))), MAP_OK);
}

/* RFC 6886 3.3, seen by other clients; adoption by PCP keeps it. */
static void
natpmp_keeps_the_companion_port(void **state)
{
	(void)state;
	assert_int_equal(ask(natpmp_map(wish(OWN, UDP, INTERNAL, PORT, HELD))), MAP_OK);
	assert_int_equal(ask(pcp_map(wish(OWN, UDP, INTERNAL, PORT, HELD), NONCE)), MAP_OK);
	assert_int_equal(ask(upnp_add(wish(OTHER, TCP, INTERNAL, PORT, HELD))), MAP_PORT_TAKEN);
	assert_int_equal(ask(upnp_add(wish(OWN, TCP, INTERNAL, PORT, HELD))), MAP_OK);
	assert_int_equal(ask(pcp_map(wish(OWN, UDP, OTHER_INTERNAL, 5001, HELD), NONCE)), MAP_OK);
	assert_int_equal(ask(upnp_add(wish(OTHER, TCP, INTERNAL, 5001, HELD))), MAP_OK);
}

static void
of_one_endpoints_mappings_one_is_outbound(void **state)
{
	struct lease *first, *second;

	(void)state;
	assert_int_equal(ask(upnp_add(wish(OWN, UDP, INTERNAL, 5000, HELD))), MAP_OK);
	assert_int_equal(ask(upnp_add(wish(OWN, UDP, INTERNAL, 5001, HELD))), MAP_OK);
	first = lease_table_by_external(d.table, UDP, 5000);
	second = lease_table_by_external(d.table, UDP, 5001);
	assert_true(first->record.outbound);
	assert_false(second->record.outbound);
	assert_int_equal(ask(upnp_add(wish(OWN, UDP, OTHER_INTERNAL, 5000, HELD))), MAP_OK);
	assert_true(second->record.outbound);
	assert_true(lease_table_by_external(d.table, UDP, 5000)->record.outbound);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_same_external_port_is_held),
	    TEST(the_same_internal_port_has_another_external_one),
	    TEST(the_gateway_itself_has_the_port),
	    TEST(deletes_follow_their_matrix),
	    TEST(deleting_what_is_not_there),
	    TEST(delete_all_is_one_clients_and_one_transports),
	    TEST(delete_all_goes_on_past_a_static_one),
	    TEST(the_asking_protocols_own_mapping_counts_else_the_oldest),
	    TEST(lifetimes_are_bounded_as_their_protocol_says),
	    TEST(remaining_time_is_rounded_up),
	    TEST(refusals_tell_what_the_obstacle_has_left),
	    TEST(a_wished_address_must_be_ours),
	    TEST(upnp_takes_over_the_description_only),
	    TEST(the_last_user_agent_is_known),
	    TEST(without_an_address_nothing_is_granted_and_all_can_be_deleted),
	    TEST(policy_is_asked_before_all_else),
	    TEST(an_exact_forbidden_port_is_another_refusal),
	    TEST(a_full_client_may_renew_but_not_add),
	    TEST(natpmp_keeps_the_companion_port),
	    TEST(of_one_endpoints_mappings_one_is_outbound),
	};

	randomness = random_begin("decision");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
