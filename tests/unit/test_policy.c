/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which external ports the rules leave: by examples, and against a judge that asks each rule about
 * each port. */
#include "../../daemon/core/policy.h"

#include <fnmatch.h>

#include "requests.h"

static struct policy_rule
rule(bool allows, uint16_t first, uint16_t last)
{
	return (struct policy_rule){.allow = allows,
				    .transports = CONFIG_TCP | CONFIG_UDP,
				    .external = {first, last},
				    .internal = {0, 65535}};
}

static struct policy_rule
allow(uint16_t first, uint16_t last)
{
	return rule(true, first, last);
}

static struct policy_rule
deny(uint16_t first, uint16_t last)
{
	return rule(false, first, last);
}

static struct policy_rule
from(struct policy_rule r, const char *client)
{
	r.has_client = true;
	assert_true(prefix_parse(client, &r.client));
	return r;
}

static struct policy_rule
inside(struct policy_rule r, const char *client)
{
	r.has_internal_client = true;
	assert_true(prefix_parse(client, &r.internal_client));
	return r;
}

static struct policy_rule
only(struct policy_rule r, uint8_t transports)
{
	r.transports = transports;
	return r;
}

static struct policy_rule
to(struct policy_rule r, uint16_t first, uint16_t last)
{
	r.internal = (struct port_range){first, last};
	return r;
}

static struct policy_rule
described(struct policy_rule r, char *pattern)
{
	r.description = pattern;
	return r;
}

static struct policy_rule
at_line(struct policy_rule r, unsigned line)
{
	r.line = line;
	return r;
}

/* The ordinary request: 192.168.1.2 wants UDP 4000. */
static struct map_request
request(void)
{
	return pcp_map(wish(2, UDP, 4000, 4000, 3600), 1);
}

/* What the rules leave to the request, as "FIRST-LAST FIRST-LAST …"; *denied_by may be asked for.
 */
static const char *
judge(const struct policy_rule *rules, size_t count, const struct map_request *r,
      unsigned *denied_by)
{
	static char text[1000];
	struct policy *policy = policy_new(rules, count);
	struct verdict verdict = policy_judge(policy, r);
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < verdict.ranges; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u-%u", i ? " " : "",
				      verdict.range[i].first, verdict.range[i].last);
	if (denied_by)
		*denied_by = verdict.denied_by;
	policy_free(policy);
	return text;
}

#define assert_left(rules, r, ports) assert_string_equal(judge(rules, COUNT(rules), r, NULL), ports)

static void
the_default_is_unprivileged_ports_to_oneself(void **state)
{
	struct map_request own = request(), privileged = request(), third_party = request();
	unsigned denied_by = 99;

	(void)state;
	own.internal.port = 1024;
	privileged.internal.port = 1023;
	third_party.internal.address = host(3);
	assert_string_equal(judge(NULL, 0, &own, &denied_by), "1024-65535");
	assert_int_equal(denied_by, 0);
	assert_string_equal(judge(NULL, 0, &privileged, &denied_by), "");
	assert_int_equal(denied_by, 0);
	assert_string_equal(judge(NULL, 0, &third_party, NULL), "");
}

static void
the_first_rule_that_matches_a_port_decides_it(void **state)
{
	const struct policy_rule rules[] = {allow(2000, 2999), deny(1500, 3499), allow(80, 80),
					    deny(80, 81), allow(3400, 3600)};
	struct map_request r = request();

	(void)state;
	assert_left(rules, &r, "80-80 1024-1499 2000-2999 3500-65535");
}

static void
a_range_not_named_is_open(void **state)
{
	const struct policy_rule allow_all[] = {allow(0, 65535)}, deny_all[] = {deny(0, 65535)};
	struct map_request r = request();

	(void)state;
	assert_left(allow_all, &r, "1-65535"); /* port 0 is nobody's */
	assert_left(deny_all, &r, "");
}

static void
allowing_lifts_every_part_of_the_default(void **state)
{
	const struct policy_rule rules[] = {inside(allow(80, 80), "192.168.1.0/24")};
	struct map_request privileged = request(), third_party = request();

	(void)state;
	privileged.internal.port = 80;
	third_party.internal.address = host(3);
	assert_left(rules, &privileged, "80-80");
	assert_left(rules, &third_party, "80-80");
}

static void
neighbours_are_joined(void **state)
{
	const struct policy_rule rules[] = {allow(2000, 2999), allow(3000, 3999), deny(4000, 65534),
					    deny(1, 1999)};
	struct map_request r = request();

	(void)state;
	assert_left(rules, &r, "2000-3999 65535-65535");
}

static void
clients_are_matched_by_prefix(void **state)
{
	const struct policy_rule v4[] = {from(deny(0, 65535), "192.168.1.0/30")};
	const struct policy_rule v6[] = {from(deny(0, 65535), "2001:db8::/32")};
	struct map_request second = request(), fifth = pcp_map(wish(5, UDP, 4000, 4000, 3600), 1),
			   six = request();

	(void)state;
	assert_left(v4, &second, "");
	assert_left(v4, &fifth, "1024-65535");
	assert_left(v6, &second, "1024-65535");
	six.client = six.internal.address = address("2001:db8::17");
	assert_left(v6, &six, "");
	assert_left(v4, &six, "1024-65535");
	six.client = six.internal.address = address("2001:db9::17");
	assert_left(v6, &six, "1024-65535");
}

/* Who asks is judged, not for whom. */
static void
the_client_is_who_asks(void **state)
{
	const struct policy_rule rules[] = {
	    from(inside(allow(5000, 5000), "192.168.1.0/24"), "192.168.1.2")};
	struct map_request r = request(), reverse = request();

	(void)state;
	r.internal.address = host(3);
	reverse.client = host(3);
	assert_left(rules, &r, "5000-5000");
	assert_left(rules, &reverse, "");
}

static void
transports_are_told_apart(void **state)
{
	const struct policy_rule rules[] = {only(deny(0, 65535), CONFIG_TCP)};
	struct map_request udp = request(), tcp = pcp_map(wish(2, TCP, 4000, 4000, 3600), 1);

	(void)state;
	assert_left(rules, &tcp, "");
	assert_left(rules, &udp, "1024-65535");
}

static void
internal_ports_are_matched_by_range(void **state)
{
	const struct policy_rule rules[] = {to(deny(0, 65535), 4000, 4999)};
	struct map_request r = request();

	(void)state;
	assert_left(rules, &r, "");
	r.internal.port = 4999;
	assert_left(rules, &r, "");
	r.internal.port = 3999;
	assert_left(rules, &r, "1024-65535");
	r.internal.port = 5000;
	assert_left(rules, &r, "1024-65535");
}

static void
mappings_to_other_hosts_need_a_rule_that_names_them(void **state)
{
	const struct policy_rule open[] = {allow(0, 65535)};
	const struct policy_rule named[] = {
	    inside(deny(4000, 4999), "192.168.1.3"),
	    from(inside(allow(0, 65535), "192.168.1.0/24"), "192.168.1.2")};
	struct map_request r = request(), own = request();
	struct policy *policy;
	unsigned line;

	(void)state;
	r.internal.address = host(3);
	assert_left(open, &own, "1-65535");
	assert_left(open, &r, "");
	assert_left(named, &own, "1-65535");
	assert_left(named, &r, "1-3999 5000-65535");
	r.client = host(4);
	assert_left(named, &r, "");

	/* It stays, whoever asked. */
	policy = policy_new(named, COUNT(named));
	r.client = host(3);
	assert_true(policy_keeps(policy, &r, 80, &line));
	assert_false(policy_keeps(policy, &r, 4000, &line));
	policy_free(policy);
}

static void
rules_of_a_lan_are_for_its_clients(void **state)
{
	struct policy_rule rules[] = {deny(0, 65535), deny(2000, 2999)};
	struct map_request r = request();
	unsigned line;

	(void)state;
	strcpy(rules[0].lan, "guest");
	assert_left(rules, &r, "1024-1999 3000-65535");
	strcpy(r.lan, "br-lan");
	assert_left(rules, &r, "1024-1999 3000-65535");
	strcpy(r.lan, "guest");
	assert_left(rules, &r, "");

	struct policy *policy = policy_new(rules, COUNT(rules));
	assert_false(policy_keeps(policy, &r, 5000, &line));
	strcpy(r.lan, "br-lan");
	assert_true(policy_keeps(policy, &r, 5000, &line));
	policy_free(policy);
}

static void
descriptions_are_matched_by_pattern(void **state)
{
	const struct policy_rule rules[] = {described(deny(0, 65535), "Torrent *"),
					    described(deny(2000, 2000), "")};
	struct map_request r = request();

	(void)state;
	assert_left(rules, &r, "1024-1999 2001-65535");
	strcpy(r.description, "Torrent client 4");
	assert_left(rules, &r, "");
	strcpy(r.description, "a Torrent client");
	assert_left(rules, &r, "1024-65535");
}

static void
the_refusing_rule_is_named(void **state)
{
	const struct policy_rule rules[] = {
	    at_line(from(deny(0, 65535), "10.0.0.0/8"), 10), /* another client */
	    at_line(allow(2000, 2999), 14),
	    at_line(deny(2000, 2999), 18), /* too late: nothing of it is left */
	    at_line(deny(2500, 3500), 22),
	    at_line(deny(0, 65535), 26),
	};
	struct map_request r = request();
	unsigned denied_by = 0;

	(void)state;
	r.external_port = 3000;
	assert_string_equal(judge(rules, COUNT(rules), &r, &denied_by), "2000-2999");
	assert_int_equal(denied_by, 22);
	judge(rules, 3, &r, &denied_by);
	assert_int_equal(denied_by, 0);
	r.external_port = 2700;
	judge(rules, COUNT(rules), &r, &denied_by);
	assert_int_equal(denied_by, 0);
	/* The port it would have got first: the one suggested, else the internal one. */
	r.external_port = 0;
	r.internal.port = 2700;
	judge(rules, COUNT(rules), &r, &denied_by);
	assert_int_equal(denied_by, 0);
	r.internal.port = 8000;
	judge(rules, COUNT(rules), &r, &denied_by);
	assert_int_equal(denied_by, 26);
}

static void
a_verdict_finds_its_ports(void **state)
{
	const struct port_range ranges[] = {{1, 1}, {80, 90}, {65535, 65535}};
	const struct verdict verdict = {ranges, COUNT(ranges), 0}, empty = {ranges, 0, 0};
	const uint16_t inside[] = {1, 80, 85, 90, 65535}, outside[] = {0, 2, 79, 91, 65534};

	(void)state;
	for (size_t i = 0; i < COUNT(inside); i++) {
		assert_true(verdict_allows(&verdict, inside[i]));
		assert_false(verdict_allows(&verdict, outside[i]));
		assert_false(verdict_allows(&empty, inside[i]));
	}
}

/* One port, one rule after the other: the words of the manual. */
static bool
naive_allows(const struct policy_rule *rules, size_t count, const struct map_request *r,
	     uint16_t port, bool whoever)
{
	for (size_t i = 0; i < count; i++) {
		const struct policy_rule *rule = &rules[i];

		if (rule->has_client && !prefix_contains(&rule->client, &r->client) &&
		    !(whoever && rule->allow && rule->has_internal_client))
			continue;
		if (rule->has_internal_client
			? !prefix_contains(&rule->internal_client, &r->internal.address)
			: rule->allow && !address_equal(&r->client, &r->internal.address))
			continue;
		if (!(rule->transports & (r->transport == TCP ? CONFIG_TCP : CONFIG_UDP)))
			continue;
		if (port < rule->external.first || port > rule->external.last)
			continue;
		if (r->internal.port < rule->internal.first ||
		    r->internal.port > rule->internal.last)
			continue;
		if (rule->description && fnmatch(rule->description, r->description, 0) != 0)
			continue;
		return rule->allow;
	}
	return port >= 1024 && r->internal.port >= 1024 &&
	       address_equal(&r->client, &r->internal.address);
}

enum { RULES_MAX = 8, ROUNDS = 60, REQUESTS = 4 };

static uint16_t
random_port(struct randomness *random)
{
	static const uint16_t corners[] = {0, 1, 2, 1023, 1024, 1025, 65534, 65535};

	return chance(random, 40) ? corners[random_below(random, COUNT(corners))]
				  : (uint16_t)random_below(random, 65536);
}

static struct port_range
random_range(struct randomness *random)
{
	uint16_t a = random_port(random), b = random_port(random);

	if (chance(random, 30))
		return (struct port_range){0, 65535};
	return a < b ? (struct port_range){a, b} : (struct port_range){b, a};
}

static struct policy_rule
random_rule(struct randomness *random, unsigned line)
{
	static char *const patterns[] = {NULL, NULL, "*", "game*", ""};
	static const char *const clients[] = {"192.168.1.2", "192.168.1.0/24", "192.168.1.2/31",
					      "2001:db8::/64"};
	struct policy_rule r = {.allow = chance(random, 50),
				.transports = (uint8_t)(1 + random_below(random, 3)),
				.external = random_range(random),
				.internal = random_range(random),
				.description = patterns[random_below(random, COUNT(patterns))],
				.line = line};

	if (chance(random, 30))
		r = inside(r, clients[random_below(random, COUNT(clients))]);
	return chance(random, 50) ? from(r, clients[random_below(random, COUNT(clients))]) : r;
}

static struct map_request
random_request(struct randomness *random)
{
	struct map_request r =
	    pcp_map(wish(2 + random_below(random, 3), chance(random, 50) ? UDP : TCP,
			 (uint16_t)(1 + random_below(random, 65535)), 0, 3600),
		    1);

	if (chance(random, 30))
		r.internal.address = host(9);
	if (chance(random, 50))
		strcpy(r.description, "game 1");
	return r;
}

static void
check_every_port(struct policy *policy, const struct policy_rule *rules, size_t count,
		 const struct map_request *r)
{
	struct verdict verdict = policy_judge(policy, r);
	struct map_request own = *r;
	unsigned line;

	for (size_t i = 0; i < verdict.ranges; i++) {
		assert_true(verdict.range[i].first >= 1);
		assert_true(verdict.range[i].first <= verdict.range[i].last);
		if (i > 0) /* and not even touching */
			assert_true(verdict.range[i].first > verdict.range[i - 1].last + 1);
	}
	own.client = own.internal.address;
	for (uint32_t port = 1; port < 65536; port++)
		if (verdict_allows(&verdict, (uint16_t)port) !=
			naive_allows(rules, count, r, (uint16_t)port, false) ||
		    policy_keeps(policy, &own, (uint16_t)port, &line) !=
			naive_allows(rules, count, &own, (uint16_t)port, true))
			fail_msg("port %u", port);
	assert_false(verdict_allows(&verdict, 0));
}

static void
random_rules_agree_with_a_naive_judge(void **state)
{
	struct randomness random = random_begin("policy");

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct policy_rule rules[RULES_MAX];
		size_t count = random_below(&random, RULES_MAX + 1);
		struct policy *policy;

		for (unsigned i = 0; i < count; i++)
			rules[i] = random_rule(&random, i + 1);
		policy = policy_new(rules, count);
		assert_non_null(policy);
		for (int i = 0; i < REQUESTS; i++) {
			struct map_request r = random_request(&random);

			check_every_port(policy, rules, count, &r);
		}
		policy_free(policy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_default_is_unprivileged_ports_to_oneself),
	    cmocka_unit_test(the_first_rule_that_matches_a_port_decides_it),
	    cmocka_unit_test(a_range_not_named_is_open),
	    cmocka_unit_test(allowing_lifts_every_part_of_the_default),
	    cmocka_unit_test(neighbours_are_joined),
	    cmocka_unit_test(clients_are_matched_by_prefix),
	    cmocka_unit_test(the_client_is_who_asks),
	    cmocka_unit_test(transports_are_told_apart),
	    cmocka_unit_test(internal_ports_are_matched_by_range),
	    cmocka_unit_test(mappings_to_other_hosts_need_a_rule_that_names_them),
	    cmocka_unit_test(rules_of_a_lan_are_for_its_clients),
	    cmocka_unit_test(descriptions_are_matched_by_pattern),
	    cmocka_unit_test(the_refusing_rule_is_named),
	    cmocka_unit_test(a_verdict_finds_its_ports),
	    cmocka_unit_test(random_rules_agree_with_a_naive_judge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
