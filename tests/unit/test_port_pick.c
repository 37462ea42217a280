/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which port a wish gets: the order of candidates, the exact modes, the tiers, and that a free one
 * is always found. */
#include "../../daemon/core/port_pick.h"

#include "requests.h"

enum { HOST = 2, OTHER = 3, INTERNAL = 4000 };

static struct randomness randomness;
static struct lease_table *table;
static bool listens[2][65536];
static unsigned asked_listeners;
static struct port_range allowed[3];
static struct port_pick_options options;
static struct port_question question;

static uint32_t
draw(void *arg)
{
	return random_bits(arg);
}

static bool
listening(void *arg, enum transport transport, uint16_t port)
{
	(void)arg;
	asked_listeners++;
	return listens[transport == UDP][port];
}

static int
set_up(void **state)
{
	(void)state;
	table = lease_table_new();
	memset(listens, 0, sizeof(listens));
	allowed[0] = (struct port_range){1024, 65535};
	options = (struct port_pick_options){.random_ports = {1024, 65535},
					     .ephemeral = {32768, 60999},
					     .random = draw,
					     .random_arg = &randomness,
					     .listening = listening};
	question = (struct port_question){.wish = {UDP, {host(HOST), INTERNAL}, false},
					  .if_taken = IF_TAKEN_OTHER_PORT,
					  .verdict = {allowed, 1, 0}};
	return table ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	lease_table_free(table);
	return 0;
}

/* For loops within a test. */
static void
afresh(void **state)
{
	tear_down(state);
	assert_int_equal(set_up(state), 0);
}

static struct lease *
take(unsigned n, enum transport transport, uint16_t external, bool companion)
{
	/* An internal port that no question of these tests has. */
	struct lease_record record = {.origin = ORIGIN_PCP,
				      .transport = transport,
				      .companion = companion,
				      .external_port = external,
				      .internal = {host(n), 9},
				      .ends = MONOTIME_NEVER};
	struct lease *lease = lease_table_insert(table, &record);

	assert_non_null(lease);
	return lease;
}

/* Takes a port and lets go of it: it is kept for internal. */
static void
leave(uint16_t external, unsigned n, uint16_t internal)
{
	struct lease_record record = {.origin = ORIGIN_PCP,
				      .transport = UDP,
				      .external_port = external,
				      .internal = {host(n), internal},
				      .ends = MONOTIME_NEVER};
	struct lease *lease = lease_table_insert(table, &record);

	lease_table_unlink(table, lease, 0);
	lease_table_discard(table, lease);
}

/* The port, or 0 with *result saying why not. */
static uint16_t
pick_or(enum map_result *result)
{
	uint16_t port = 0;

	*result = port_pick(&options, table, &question, 1, &port);
	assert_int_equal(*result == MAP_OK, port != 0);
	return port;
}

static uint16_t
pick(void)
{
	enum map_result result;

	return pick_or(&result);
}

static enum map_result
refusal(void)
{
	enum map_result result;

	assert_int_equal(pick_or(&result), 0);
	return result;
}

static void
candidates_come_in_their_order(void **state)
{
	(void)state;
	question.suggested = 5000;
	leave(6000, HOST, INTERNAL);
	assert_int_equal(pick(), 5000);
	take(OTHER, UDP, 5000, false);
	assert_int_equal(pick(), 6000);
	take(OTHER, UDP, 6000, false);
	assert_int_equal(pick(), INTERNAL);
	take(OTHER, UDP, INTERNAL, false);
	for (int i = 0; i < 100; i++) {
		uint16_t port = pick();

		assert_true(port >= 1024 && port <= 32767);
		assert_true(port != 5000 && port != 6000 && port != INTERNAL);
	}
}

static void
without_a_suggestion_the_internal_port_is_tried_first(void **state)
{
	(void)state;
	assert_int_equal(pick(), INTERNAL);
}

/* Each candidate in turn meets each obstacle in turn. */
static void
every_candidate_must_be_free_and_allowed(void **state)
{
	static const uint16_t candidates[] = {5000, 6000, INTERNAL};

	for (size_t c = 0; c < COUNT(candidates); c++)
		for (int obstacle = 0; obstacle < 5; obstacle++) {
			uint16_t port = candidates[c];

			afresh(state);
			if (port == 5000)
				question.suggested = port;
			if (port == 6000)
				leave(port, HOST, INTERNAL);
			assert_int_equal(pick(), port);
			switch (obstacle) {
			case 0:
				take(OTHER, UDP, port, false);
				break;
			case 1:
				take(OTHER, TCP, port, true);
				break;
			case 2:
				listens[true][port] = true;
				break;
			case 3: /* the policy's gap */
				allowed[0].last = (uint16_t)(port - 1);
				allowed[1] = (struct port_range){(uint16_t)(port + 1), 65535};
				question.verdict.ranges = 2;
				break;
			case 4:
				leave(port, OTHER, INTERNAL);
				break;
			}
			assert_int_not_equal(pick(), port);
			assert_int_not_equal(pick(), 0);
		}
}

static void
a_free_suggestion_is_granted_wherever_it_lies(void **state)
{
	static const uint16_t suggestions[] = {80, 1023, 1024, 32768, 45000, 61000, 65535};

	(void)state;
	allowed[0] = (struct port_range){1, 65535};
	options.random_ports = (struct port_range){2000, 3000};
	for (size_t i = 0; i < COUNT(suggestions); i++) {
		question.suggested = suggestions[i];
		assert_int_equal(pick(), suggestions[i]);
	}
}

/* A forbidden suggestion counts as taken: there is another port for it. */
static void
a_forbidden_suggestion_gets_another_port(void **state)
{
	(void)state;
	question.suggested = 80;
	assert_int_equal(pick(), INTERNAL);
	take(OTHER, UDP, INTERNAL, false);
	assert_true(pick() >= 1024);
}

static void
an_exact_wish_gets_that_port_or_none(void **state)
{
	static const enum if_taken exact[] = {IF_TAKEN_FAIL, IF_TAKEN_REPLACE_OWN};

	for (size_t i = 0; i < COUNT(exact); i++) {
		afresh(state);
		question.if_taken = exact[i];
		question.suggested = 5000;
		assert_int_equal(pick(), 5000);
		listens[true][5000] = true;
		assert_int_equal(refusal(), MAP_GATEWAY_PORT);
		take(OTHER, UDP, 5000, false);
		assert_int_equal(refusal(), MAP_PORT_TAKEN);
		listens[true][5000] = false;
		assert_int_equal(refusal(), MAP_PORT_TAKEN);
		question.suggested = 6000;
		take(OTHER, TCP, 6000, true);
		assert_int_equal(refusal(), MAP_PORT_TAKEN);
		question.suggested = 80;
		assert_int_equal(refusal(), MAP_PORT_FORBIDDEN);
		question.suggested = 5351;
		assert_int_equal(refusal(), MAP_GATEWAY_PORT);
		question.verdict.ranges = 0;
		assert_int_equal(refusal(), MAP_NOT_AUTHORIZED);
	}
}

/* RFC 6887 15 keeps a freed port from others; UPnP's clients expect to get the port they name. */
static void
quarantine_stops_prefer_failure_but_not_upnp(void **state)
{
	(void)state;
	question.suggested = 5000;
	leave(5000, OTHER, INTERNAL);
	question.if_taken = IF_TAKEN_FAIL;
	assert_int_equal(refusal(), MAP_PORT_TAKEN);
	question.if_taken = IF_TAKEN_REPLACE_OWN;
	assert_int_equal(pick(), 5000);
	leave(6000, HOST, INTERNAL);
	question.suggested = 6000;
	question.if_taken = IF_TAKEN_FAIL;
	assert_int_equal(pick(), 6000);
}

static void
our_own_ports_are_never_given_out(void **state)
{
	static const uint16_t ours[] = {1900, 5350, 5351};

	(void)state;
	for (size_t i = 0; i < COUNT(ours); i++) {
		assert_true(port_is_ours(UDP, ours[i]));
		assert_false(port_is_ours(TCP, ours[i]));
		question.wish.transport = UDP;
		question.suggested = question.wish.internal.port = ours[i];
		allowed[0] = (struct port_range){ours[i], ours[i]};
		assert_int_equal(refusal(), MAP_NO_RESOURCES);
		leave(ours[i], HOST, ours[i]);
		assert_int_equal(refusal(), MAP_NO_RESOURCES);
		question.wish.transport = TCP;
		assert_int_equal(pick(), ours[i]);
	}
}

static void
nothing_allowed_is_another_refusal_than_nothing_free(void **state)
{
	(void)state;
	allowed[0] = (struct port_range){3000, 3001};
	take(OTHER, UDP, 3000, false);
	assert_int_equal(pick(), 3001);
	take(OTHER, UDP, 3001, false);
	assert_int_equal(refusal(), MAP_NO_RESOURCES);
	question.verdict.ranges = 0;
	assert_int_equal(refusal(), MAP_NOT_AUTHORIZED);
}

/* What stands in the way of a port for the question. */
enum obstacle { TAKEN, LISTENING, COMPANION_OF_ANOTHER, OBSTACLES };

static void
block(uint16_t port, enum obstacle obstacle)
{
	if (obstacle == LISTENING)
		listens[true][port] = true;
	else if (obstacle == TAKEN)
		take(OTHER, UDP, port, false);
	else
		take(OTHER, TCP, port, true);
}

static unsigned
tier_of(uint16_t port)
{
	if (port >= 1024 && port <= 32767)
		return 0;
	return port < 32768
		   ? 1
		   : 2; /* the default ephemeral range and 61000-65535 leave only low ports */
}

/* With every tier's ports blocked but one, that one is found; with them all blocked the next tier
 * is turned to. */
static void
the_last_free_port_of_each_tier_is_found(void **state)
{
	static const struct port_range tiers[] = {{1024, 32767}, {1000, 1023}, {32768, 65535}};
	static const uint16_t last_free[] = {31999, 1007, 65535};

	for (int obstacle = 0; obstacle < OBSTACLES; obstacle++) {
		afresh(state);
		allowed[0] = options.random_ports = (struct port_range){1000, 65535};
		question.wish.internal.port = 1; /* not allowed */
		for (size_t t = 0; t < COUNT(tiers); t++) {
			assert_int_equal(tier_of(pick()), t);
			for (uint32_t p = tiers[t].first; p <= tiers[t].last; p++)
				if (p != last_free[t] && !port_is_ours(UDP, (uint16_t)p))
					block((uint16_t)p, (enum obstacle)obstacle);
			assert_int_equal(pick(), last_free[t]);
			block(last_free[t], (enum obstacle)obstacle);
		}
		assert_int_equal(refusal(), MAP_NO_RESOURCES);
	}
}

/* Of two neighbours on either side of the low tier's ends the one inside is picked; of two inside
 * each is, in time. */
static void
tiers_end_where_they_should(void **state)
{
	unsigned last = 0;

	(void)state;
	question.wish.internal.port = 1;
	options.random_ports = (struct port_range){1, 65535};
	for (int i = 0; i < 50; i++) {
		allowed[0] = (struct port_range){1023, 1024};
		assert_int_equal(pick(), 1024);
		allowed[0] = (struct port_range){32767, 32768};
		assert_int_equal(pick(), 32767);
		allowed[0] = (struct port_range){32766, 32767};
		last += pick() == 32767;
	}
	assert_in_range(last, 1, 49);
}

/* The second tier as the gateway's ephemeral range shapes it. */
static void
what_the_gateway_itself_uses_comes_last(void **state)
{
	unsigned counts[2] = {0};

	(void)state;
	options.ephemeral = (struct port_range){40000, 50000};
	allowed[0] = (struct port_range){32768, 65535};
	question.wish.internal.port = 1;
	for (int i = 0; i < 2000; i++) {
		uint16_t port = pick();

		assert_true((port >= 32768 && port < 40000) || (port > 50000 && port < 61000));
		counts[port > 50000]++;
	}
	assert_true(counts[0] > 0 && counts[1] > 0);
	allowed[0] = (struct port_range){40000, 50000};
	assert_true(pick() >= 40000);
	allowed[0] = (struct port_range){61000, 65535};
	assert_true(pick() >= 61000);
}

static void
random_picks_keep_to_random_ports_and_policy(void **state)
{
	(void)state;
	options.random_ports = (struct port_range){2000, 2200};
	allowed[0] = (struct port_range){1024, 2009};
	allowed[1] = (struct port_range){2190, 2191};
	question.verdict.ranges = 2;
	take(OTHER, UDP, INTERNAL, false);
	for (int i = 0; i < 500; i++) {
		uint16_t port = pick();

		assert_true((port >= 2000 && port <= 2009) || port == 2190 || port == 2191);
	}
}

static void
ports_kept_for_others_are_given_when_nothing_else_is_left(void **state)
{
	(void)state;
	allowed[0] = (struct port_range){3000, 3002};
	leave(3000, OTHER, INTERNAL);
	leave(3001, HOST, INTERNAL + 1);
	assert_int_equal(pick(), 3002);
	take(OTHER, UDP, 3002, false);
	assert_in_range(pick(), 3000, 3001);
	take(OTHER, UDP, 3000, false);
	assert_int_equal(pick(), 3001);
	take(OTHER, UDP, 3001, false);
	assert_int_equal(refusal(), MAP_NO_RESOURCES);
}

/* The ports that a client keeps, or keeps others from, by its mappings of the other transport are
 * free for itself. */
static void
a_clients_own_companion_ports_are_free_for_it(void **state)
{
	static const bool companions[][2] = {{true, false}, {false, true}, {true, true}};

	for (size_t i = 0; i < COUNT(companions); i++) {
		afresh(state);
		allowed[0] = (struct port_range){3000, 3001};
		take(HOST, TCP, 3000, companions[i][0]);
		question.wish.companion = companions[i][1];
		take(OTHER, UDP, 3001, false);
		assert_int_equal(pick(), 3000);
		question.wish.internal.address = host(OTHER);
		assert_int_equal(refusal(), MAP_NO_RESOURCES);
	}
}

static void
an_own_companion_port_kept_for_another_endpoint_is_the_last_resort(void **state)
{
	(void)state;
	allowed[0] = (struct port_range){3000, 3001};
	leave(3000, HOST, INTERNAL + 1);
	take(HOST, TCP, 3000, true);
	assert_int_equal(pick(), 3001);
	take(OTHER, UDP, 3001, false);
	assert_int_equal(pick(), 3000);
}

static void
asking_for_listeners_is_bounded(void **state)
{
	(void)state;
	asked_listeners = 0;
	assert_int_equal(pick(), INTERNAL);
	assert_int_equal(asked_listeners, 1);
	take(OTHER, UDP, INTERNAL, false);
	asked_listeners = 0;
	pick();
	assert_int_equal(asked_listeners, 1);
}

/* 62 000 picks over 62 buckets of the low tier: each within a fifth of its thousand (over six
 * standard deviations). */
static void
random_ports_are_spread_evenly(void **state)
{
	enum { BUCKETS = 62, PER_BUCKET = 1000, WIDTH = 512 };
	unsigned count[BUCKETS] = {0};

	(void)state;
	question.wish.internal.port = 1;
	for (int i = 0; i < BUCKETS * PER_BUCKET; i++)
		count[(pick() - 1024) / WIDTH]++;
	for (size_t i = 0; i < BUCKETS; i++)
		assert_in_range(count[i], PER_BUCKET * 4 / 5, PER_BUCKET * 6 / 5);
}

enum { FEW_FIRST = 5300, FEW_LAST = 5363, ROUNDS = 2000 };

/* Ports with every kind of obstacle, denser from round to round. */
static void
scatter_obstacles(unsigned percent)
{
	for (uint16_t p = FEW_FIRST; p <= FEW_LAST; p++) {
		unsigned n = chance(&randomness, 50) ? HOST : OTHER;

		if (chance(&randomness, percent / 2))
			leave(p, n, chance(&randomness, 50) ? INTERNAL : INTERNAL + 1);
		if (chance(&randomness, percent / 2))
			take(n, UDP, p, chance(&randomness, 50));
		if (chance(&randomness, percent))
			take(chance(&randomness, 50) ? HOST : OTHER, TCP, p,
			     chance(&randomness, 50));
		listens[true][p] = chance(&randomness, percent / 4);
	}
}

static enum port_state
best_left(void)
{
	enum port_state best = PORT_TAKEN;

	for (uint16_t p = FEW_FIRST; p <= FEW_LAST; p++) {
		enum port_state state = lease_table_port(table, &question.wish, p, 1);

		if (verdict_allows(&question.verdict, p) && !listens[true][p] &&
		    !port_is_ours(UDP, p) && state < best)
			best = state;
	}
	return best;
}

static void
a_pick_fails_only_if_there_is_no_port(void **state)
{
	unsigned refused = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		enum port_state best;
		enum map_result result;
		uint16_t port;

		afresh(state);
		options.random_ports = (struct port_range){FEW_FIRST, FEW_LAST};
		allowed[0] = (struct port_range){FEW_FIRST + 10, FEW_FIRST + 20};
		allowed[1] = (struct port_range){5345, 5352};
		question.verdict.ranges = 2;
		question.wish.companion = chance(&randomness, 50);
		scatter_obstacles(50 + round % 50);
		best = best_left();
		port = pick_or(&result);
		refused += result != MAP_OK;
		assert_int_equal(result, best == PORT_TAKEN ? MAP_NO_RESOURCES : MAP_OK);
		if (port)
			assert_int_equal(lease_table_port(table, &question.wish, port, 1), best);
		assert_false(port && (listens[true][port] || port_is_ours(UDP, port)));
	}
	assert_in_range(refused, 1, ROUNDS - 1);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(candidates_come_in_their_order),
	    TEST(without_a_suggestion_the_internal_port_is_tried_first),
	    TEST(every_candidate_must_be_free_and_allowed),
	    TEST(a_free_suggestion_is_granted_wherever_it_lies),
	    TEST(a_forbidden_suggestion_gets_another_port),
	    TEST(an_exact_wish_gets_that_port_or_none),
	    TEST(quarantine_stops_prefer_failure_but_not_upnp),
	    TEST(our_own_ports_are_never_given_out),
	    TEST(nothing_allowed_is_another_refusal_than_nothing_free),
	    TEST(the_last_free_port_of_each_tier_is_found),
	    TEST(tiers_end_where_they_should),
	    TEST(what_the_gateway_itself_uses_comes_last),
	    TEST(random_picks_keep_to_random_ports_and_policy),
	    TEST(ports_kept_for_others_are_given_when_nothing_else_is_left),
	    TEST(a_clients_own_companion_ports_are_free_for_it),
	    TEST(an_own_companion_port_kept_for_another_endpoint_is_the_last_resort),
	    TEST(a_pick_fails_only_if_there_is_no_port),
	    TEST(asking_for_listeners_is_bounded),
	    TEST(random_ports_are_spread_evenly),
	};

	randomness = random_begin("port pick");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
