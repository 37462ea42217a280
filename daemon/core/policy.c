/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges a request for every external port at once: the port space is cut where any rule begins or
 * ends. */
#include "policy.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { UNPRIVILEGED = 1024, PORTS_END = 65536 };

enum decision { UNDECIDED, ALLOWED, DENIED };

struct policy {
	const struct policy_rule *rules;
	size_t count;
	/* Segment i is cut[i] … cut[i + 1] - 1; within one, every rule says the same of all ports.
	 */
	uint32_t *cut;
	size_t segments;
	uint8_t *decision;	  /* of each segment, for the request being judged */
	struct port_range *range; /* the verdict's */
};

static int
compare_cuts(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
cut_ports(struct policy *policy)
{
	uint32_t *cut = policy->cut;
	size_t n = 0, kept = 0;

	cut[n++] = 1; /* port 0 is nobody's */
	cut[n++] = UNPRIVILEGED;
	cut[n++] = PORTS_END;
	for (size_t i = 0; i < policy->count; i++) {
		cut[n++] = policy->rules[i].external.first;
		cut[n++] = (uint32_t)policy->rules[i].external.last + 1;
	}
	qsort(cut, n, sizeof(*cut), compare_cuts);
	for (size_t i = 0; i < n; i++)
		if (cut[i] >= 1 && (kept == 0 || cut[kept - 1] != cut[i]))
			cut[kept++] = cut[i];
	policy->segments = kept - 1;
}

struct policy *
policy_new(const struct policy_rule *rules, size_t count)
{
	size_t cuts = 3 + 2 * count;
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	policy->rules = rules;
	policy->count = count;
	policy->cut = calloc(cuts, sizeof(*policy->cut));
	policy->decision = calloc(cuts, sizeof(*policy->decision));
	policy->range = calloc(cuts, sizeof(*policy->range));
	if (!policy->cut || !policy->decision || !policy->range) {
		policy_free(policy);
		return NULL;
	}
	cut_ports(policy);
	return policy;
}

void
policy_free(struct policy *policy)
{
	if (!policy)
		return;
	free(policy->cut);
	free(policy->decision);
	free(policy->range);
	free(policy);
}

/* A rule that only denies may leave the host inside open, too: it opens none to others. */
static bool
inside_matches(const struct policy_rule *rule, const struct map_request *request)
{
	if (rule->has_internal_client)
		return prefix_contains(&rule->internal_client, &request->internal.address);
	return !rule->allow || address_equal(&request->internal.address, &request->client);
}

static bool
client_matches(const struct policy_rule *rule, const struct map_request *request)
{
	return !rule->has_client || prefix_contains(&rule->client, &request->client);
}

/* But for the client. */
static bool
rule_matches(const struct policy_rule *rule, const struct map_request *request)
{
	uint8_t transport = request->transport == TRANSPORT_TCP ? CONFIG_TCP : CONFIG_UDP;

	return (rule->transports & transport) &&
	       (!rule->lan[0] || strcmp(rule->lan, request->lan) == 0) &&
	       inside_matches(rule, request) && request->internal.port >= rule->internal.first &&
	       request->internal.port <= rule->internal.last &&
	       (!rule->description || fnmatch(rule->description, request->description, 0) == 0);
}

static bool
is_default(const struct map_request *request)
{
	return request->internal.port >= UNPRIVILEGED &&
	       address_equal(&request->internal.address, &request->client);
}

bool
policy_keeps(const struct policy *policy, const struct map_request *request, uint16_t port,
	     unsigned *denied_by)
{
	*denied_by = 0;
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (port < rule->external.first || port > rule->external.last ||
		    !rule_matches(rule, request) ||
		    (!client_matches(rule, request) && !(rule->allow && rule->has_internal_client)))
			continue;
		*denied_by = rule->allow ? 0 : rule->line;
		return rule->allow;
	}
	return port >= UNPRIVILEGED && is_default(request);
}

/* Decides the rule's segments that are still open.  True if the port is in one of them. */
static bool
paint(struct policy *policy, const struct policy_rule *rule, uint16_t port)
{
	bool decided = false;

	for (size_t i = 0; i < policy->segments && policy->cut[i] <= rule->external.last; i++)
		if (policy->cut[i] >= rule->external.first && policy->decision[i] == UNDECIDED) {
			policy->decision[i] = rule->allow ? ALLOWED : DENIED;
			decided |= port >= policy->cut[i] && port < policy->cut[i + 1];
		}
	return decided;
}

static void
apply_default(struct policy *policy, const struct map_request *request)
{
	bool fits = is_default(request);

	for (size_t i = 0; i < policy->segments; i++)
		if (policy->decision[i] == UNDECIDED)
			policy->decision[i] =
			    fits && policy->cut[i] >= UNPRIVILEGED ? ALLOWED : DENIED;
}

static size_t
collect(struct policy *policy)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->segments; i++) {
		uint16_t first = (uint16_t)policy->cut[i],
			 last = (uint16_t)(policy->cut[i + 1] - 1);

		if (policy->decision[i] != ALLOWED)
			continue;
		if (n > 0 && policy->range[n - 1].last + 1 == first)
			policy->range[n - 1].last = last;
		else
			policy->range[n++] = (struct port_range){first, last};
	}
	return n;
}

struct verdict
policy_judge(struct policy *policy, const struct map_request *request)
{
	struct verdict verdict = {.range = policy->range};
	uint16_t first_choice =
	    request->external_port ? request->external_port : request->internal.port;

	memset(policy->decision, UNDECIDED, policy->segments);
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (rule_matches(rule, request) && client_matches(rule, request) &&
		    paint(policy, rule, first_choice) && !rule->allow)
			verdict.denied_by = rule->line;
	}
	apply_default(policy, request);
	verdict.ranges = collect(policy);
	return verdict;
}

bool
verdict_allows(const struct verdict *verdict, uint16_t port)
{
	size_t low = 0, high = verdict->ranges;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (port > verdict->range[middle].last)
			low = middle + 1;
		else if (port < verdict->range[middle].first)
			high = middle;
		else
			return true;
	}
	return false;
}
