/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An engine over the fake kernel, its clock, every answer it gives, and its log. */
#ifndef PORTLEASE_TESTS_ENGINE_BED_H
#define PORTLEASE_TESTS_ENGINE_BED_H

#include "../../daemon/base/log.h"
#include "../../daemon/core/engine.h"
#include "../../daemon/core/policy.h"
#include "../../daemon/core/transaction.h"

#include "../fakes/fake_firewall.h"
#include "requests.h"

enum { BED_SLOTS = 256, BED_QUOTA = 2000 };

struct bed {
	struct randomness random;
	struct firewall *firewall;
	const struct policy_rule *rule; /* of the next set-up; NULL: the default policy */
	size_t rules;
	struct policy *policy;
	struct engine *engine;
	const struct journal_options *journal; /* NULL: nothing is kept */
	struct flows *flows;		       /* NULL: they are left alone */
	struct firewall_network network;
	monotime now;
	uint32_t submitted;
	struct {
		struct map_request request;
		struct map_reply reply;
		unsigned answers;
	} slot[BED_SLOTS]; /* by number of submission, modulo */
	char log[500];	   /* the last line */
};

static struct bed bed;

/* The log of this program, instead of the real one: what the kernel refuses here is meant, and need
 * not be read. */
bool
log_limited(struct log_limit *limit, enum log_level level, monotime now)
{
	(void)limit;
	(void)level;
	(void)now;
	return true;
}

static inline void
bed_log(const char *topic, const char *event, const char *format, va_list values)
{
	int n = snprintf(bed.log, sizeof(bed.log), "%s: %s ", topic, event);

	vsnprintf(bed.log + n, sizeof(bed.log) - (size_t)n, format, values);
}

#define BED_LOG(format)                                \
	do {                                           \
		va_list values;                        \
		va_start(values, format);              \
		bed_log(topic, event, format, values); \
		va_end(values);                        \
	} while (0)

void
log_line(enum log_level level, const char *topic, const char *event, const char *format, ...)
{
	(void)level;
	BED_LOG(format);
}

void
log_error(const char *topic, const char *event, const char *format, ...)
{
	BED_LOG(format);
}

void
log_warning(const char *topic, const char *event, const char *format, ...)
{
	BED_LOG(format);
}

static inline uint32_t
bed_random(void *arg)
{
	return random_bits(arg);
}

static inline uint32_t
below(uint32_t n)
{
	return random_below(&bed.random, n);
}

static inline bool
maybe(unsigned percent)
{
	return chance(&bed.random, percent);
}

static inline bool
bed_listening(void *arg, enum transport transport, uint16_t port)
{
	(void)arg;
	(void)transport;
	return port == 2049; /* as if the gateway served files */
}

static inline void
bed_answer(void *who, uint32_t slot, const struct map_request *request,
	   const struct map_reply *reply)
{
	assert_ptr_equal(who, &bed);
	assert_int_equal(request->kind, bed.slot[slot].request.kind);
	bed.slot[slot].reply = *reply;
	bed.slot[slot].answers++;
}

/* NULL: the WAN has no address. */
static inline int
set_wan(const char *external)
{
	struct fault fault;
	struct address told = {0};

	bed.network.wan_addresses = external ? 1 : 0;
	if (external)
		told = bed.network.wan_address[0] = address(external);
	return engine_set_network(bed.engine, &bed.network, &told, bed.now, &fault);
}

/* An engine that has not been told of any network. */
static inline int
bed_set_up_bare(void **state)
{
	struct engine_options options = {
	    .max_mappings_per_client = BED_QUOTA,
	    .ports = {.random_ports = {1024, 65535},
		      .ephemeral = {32768, 60999},
		      .random = bed_random,
		      .random_arg = &bed.random,
		      .listening = bed_listening},
	};
	struct fault fault;

	(void)state;
	bed.submitted = 0;
	bed.now = 1000000;
	bed.network = (struct firewall_network){.wan = "wan0"};
	if (firewall_open(&bed.firewall, &(struct firewall_options){.source_nat = true}, &fault) <
	    0)
		return -1;
	fake_firewall_set_clock(bed.firewall, bed.now);
	bed.policy = options.policy = policy_new(bed.rule, bed.rules);
	options.firewall = bed.firewall;
	options.journal = bed.journal;
	options.flows = bed.flows;
	bed.engine = engine_new(&options, bed.now);
	return bed.engine ? 0 : -1;
}

static inline int
bed_set_up(void **state)
{
	return bed_set_up_bare(state) == 0 ? set_wan("203.0.113.5") : -1;
}

static inline int
bed_tear_down(void **state)
{
	(void)state;
	engine_free(bed.engine);
	policy_free(bed.policy);
	firewall_close(bed.firewall);
	return 0;
}

/* Returns where its reply will be. */
static inline uint32_t
submit(struct map_request request)
{
	uint32_t slot = bed.submitted++ % BED_SLOTS;

	request.asker.answer = bed_answer;
	request.asker.who = &bed;
	request.asker.slot = slot;
	bed.slot[slot].request = request;
	bed.slot[slot].answers = 0;
	engine_submit(bed.engine, &request, bed.now);
	return slot;
}

static inline void
flush(void)
{
	engine_flush(bed.engine, bed.now);
}

static inline const struct map_reply *
reply_to(uint32_t slot)
{
	assert_int_equal(bed.slot[slot].answers, 1);
	return &bed.slot[slot].reply;
}

static inline enum map_result
result_of(uint32_t slot)
{
	return reply_to(slot)->result;
}

/* A batch of one. */
static inline const struct map_reply *
ask(struct map_request request)
{
	uint32_t slot = submit(request);

	flush();
	return reply_to(slot);
}

static inline monotime
run(void)
{
	return engine_run(bed.engine, bed.now);
}

static inline void
wait_ms(monotime ms)
{
	bed.now += ms;
	fake_firewall_set_clock(bed.firewall, bed.now);
}

/* Time goes by as in the daemon, which calls when it was told to. */
static inline void
pass(uint32_t seconds)
{
	monotime until = bed.now + seconds * MONOTIME_SECOND, next;

	while ((next = run()) <= until)
		wait_ms(next > bed.now ? next - bed.now : 1);
	wait_ms(until - bed.now);
	run();
}

static inline const struct lease *
lease_at(enum transport transport, uint16_t external)
{
	return lease_table_by_external(engine_leases(bed.engine), transport, external);
}

static inline const struct fake_mapping *
kernel_at(enum transport transport, uint16_t external)
{
	return fake_firewall_find(bed.firewall, transport, external);
}

static inline const struct counters *
counted(void)
{
	return engine_counters(bed.engine);
}

static inline bool
holds(const struct fake_mapping *m, const struct lease_record *r)
{
	/* The kernel may hold it longer than the lease, by the grace, but never end it before. */
	return m && m->internal.port == r->internal.port &&
	       address_equal(&m->internal.address, &r->internal.address) &&
	       m->outbound == r->outbound &&
	       (r->ends == MONOTIME_NEVER
		    ? m->expires == MONOTIME_NEVER
		    : m->expires >= r->ends && m->expires <= bed.now +
								 r->lifetime * MONOTIME_SECOND +
								 TRANSACTION_GRACE);
}

/* One outbound mapping for each internal endpoint that has any. */
static inline void
check_outbound(const struct lease *lease)
{
	unsigned outbound = 0;

	for (const struct lease *l = lease_table_by_internal(
		 engine_leases(bed.engine), lease->record.transport, &lease->record.internal);
	     l; l = lease_next_internal(l))
		outbound += l->record.outbound;
	assert_int_equal(outbound, 1);
}

/* The kernel holds what we believe, and nothing else; unless somebody took the table away. */
static inline void
check_agreement(void)
{
	const struct lease_table *table = engine_leases(bed.engine);
	const struct lease *lease;
	uint64_t id = 0;

	while ((lease = lease_table_after_id(table, id))) {
		id = lease->record.id;
		check_outbound(lease);
		if (!engine_table_intact(bed.engine))
			continue;
		if (!holds(kernel_at(lease->record.transport, lease->record.external_port),
			   &lease->record))
			fail_msg("the kernel differs at %s %u",
				 transport_name(lease->record.transport),
				 lease->record.external_port);
	}
	if (engine_table_intact(bed.engine))
		assert_int_equal(fake_firewall_count(bed.firewall), lease_table_count(table));
}

#endif
