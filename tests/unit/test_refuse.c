/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal-failure = refuse: what the disk does not take was never there, whatever it was, and what
 * was answered is there after the next start. */
#include "journal_bed.h"

#include <errno.h>

#include "../fakes/fake_flows.h"

enum { TEXT_SIZE = 1 << 16, REMOTE = 77 };

static struct policy *policy;

static void
set_failure(bool refuse)
{
	engine_set_policy(bed.engine, &(struct engine_policy){
					  .policy = policy ? policy : bed.policy,
					  .max_mappings_per_client = BED_QUOTA,
					  .random_ports = {1024, 65535},
					  .journal_refuses = refuse,
				      });
}

static int
set_up_refusing(void **state)
{
	policy = NULL;
	if (set_up(state) < 0)
		return -1;
	set_failure(true);
	run();
	return 0;
}

static void
restart_refusing(void)
{
	restart_bare(bed.now);
	set_failure(true);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	run();
}

static struct map_request
from_remote(struct map_request request)
{
	request.remote = host(REMOTE);
	return request;
}

static struct map_request
described(struct map_request request, const char *description, const char *agent)
{
	strcpy(request.description, description);
	strcpy(request.user_agent, agent);
	return request;
}

/* All that there is of a lease, as text; and the kernel has it as it is said here. */
static size_t
put_lease(char *out, size_t size, const struct lease *lease)
{
	const struct lease_record *r = &lease->record;
	const struct fake_mapping *m =
	    fake_firewall_find_remote(bed.firewall, r->transport, r->external_port, &r->remote);
	int n;

	if (engine_table_intact(bed.engine) && (m != NULL) == r->disabled)
		fail_msg("the kernel %s %u, which ends in %lld ms", m ? "has" : "lacks",
			 r->external_port, (long long)(r->ends - bed.now));
	if (engine_table_intact(bed.engine) && m) {
		assert_int_equal(m->internal.port, r->internal.port);
		assert_true(address_equal(&m->internal.address, &r->internal.address));
		assert_int_equal(m->outbound, r->outbound);
		assert_int_equal(m->reserves, r->reserves);
		if (r->ends == MONOTIME_NEVER)
			assert_int_equal(m->expires, MONOTIME_NEVER);
		else /* as adoption.h has it */
			assert_in_range(m->expires, r->ends,
					r->ends + TRANSACTION_GRACE + FIREWALL_TIMEOUT_LATE);
	}
	n = snprintf(out, size, "%u %d %u %u+%u -> %u %u %d%d%d%d%d %u %lld %lld %u %s|%s|%s|%s\n",
		     (unsigned)r->id, r->origin, r->transport, r->external_port, r->more_ports,
		     r->internal.address.bytes[15], r->internal.port, r->disabled, r->outbound,
		     r->reserves, r->has_nonce, r->companion, r->lifetime, (long long)r->ends,
		     (long long)r->created, r->nonce.bytes[0], r->description ? r->description : "",
		     r->user_agent ? r->user_agent : "", r->name ? r->name : "", r->lan);
	assert_true(n > 0 && (size_t)n < size);
	return (size_t)n;
}

static const char *
all(void)
{
	static char text[TEXT_SIZE];
	size_t used = 0, enabled = 0;

	text[0] = '\0';
	for (const struct lease *l = lease_table_after_id(engine_leases(bed.engine), 0); l;
	     l = lease_table_after_id(engine_leases(bed.engine), l->record.id)) {
		used += put_lease(text + used, TEXT_SIZE - used, l);
		enabled += !l->record.disabled;
	}
	if (engine_table_intact(bed.engine))
		assert_int_equal(fake_firewall_count(bed.firewall), enabled);
	return text;
}

/* To be compared, until the next call. */
static const char *
keep(void)
{
	static char kept[TEXT_SIZE];

	return strcpy(kept, all());
}

/* The first line that is another is shown. */
static void
is_as(const char *before)
{
	const char *now = all();

	while (*now && *now == *before) {
		size_t line = strcspn(now, "\n") + 1;

		if (strncmp(now, before, line) != 0)
			break;
		now += line;
		before += line;
	}
	if (strcmp(now, before) != 0)
		fail_msg("was %.*s\nis  %.*s", (int)strcspn(before, "\n"), before,
			 (int)strcspn(now, "\n"), now);
}

/* What each kind of change needs to be one. */
static void
furnish(void)
{
	struct map_request off = upnp_add(wish(6, UDP, 4006, 5006, 3600));

	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_OK);
	assert_int_equal(ask(upnp_add(wish(2, UDP, 4000, 5010, 7200)))->result, MAP_OK);
	assert_int_equal(ask(pcp_map(wish(3, UDP, 4001, 5001, 3600), 7))->result, MAP_OK);
	assert_int_equal(
	    ask(described(upnp_add(wish(4, UDP, 4002, 5002, 3600)), "game", "Console"))->result,
	    MAP_OK);
	assert_int_equal(ask(from_remote(upnp_add(wish(4, UDP, 4002, 5002, 7200))))->result,
			 MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(5, TCP, 4003, 5003, 3600)))->result, MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(5, TCP, 4004, 5004, 3600)))->result, MAP_OK);
	off.disabled = true;
	assert_int_equal(ask(off)->result, MAP_OK);
	wait_ms(7000);
	run();
}

static struct map_request
adopted(void)
{
	struct map_request request = natpmp_map(wish(3, UDP, 4001, 5001, 1800));

	request.adopts = ORIGIN_BIT(ORIGIN_PCP);
	return request;
}

static struct map_request
switched_on(void)
{
	return upnp_add(wish(6, UDP, 4006, 5006, 3600));
}

static struct map_request
switched_off(void)
{
	struct map_request request = upnp_add(wish(4, UDP, 4002, 5002, 3600));

	request.disabled = true;
	return request;
}

static struct map_request
a_range_deleted(void)
{
	struct map_request request = upnp_delete(wish(4, UDP, 0, 0, 0));

	request.kind = REQUEST_DELETE_RANGE;
	request.ports = (struct port_range){5000, 5009};
	return request;
}

static const struct kind {
	const char *name;
	struct map_request (*request)(void);
	struct wish wish;
	struct map_request (*of_wish)(struct wish);
} kinds[] = {
    {"new, NAT-PMP", NULL, {2, TCP, 4100, 5100, 3600}, natpmp_map},
    {"new, UPnP", NULL, {2, TCP, 4100, 5100, 3600}, upnp_add},
    {"new, another port", NULL, {9, UDP, 4100, 5000, 3600}, upnp_add_any},
    {"new, older outbound", NULL, {6, UDP, 4006, 5007, 3600}, natpmp_map},
    {"renewed, NAT-PMP", NULL, {2, UDP, 4000, 5000, 60}, natpmp_map},
    {"renewed, UPnP, another description", NULL, {4, UDP, 4002, 5002, 90}, upnp_add},
    {"renewed by another protocol", NULL, {3, UDP, 4001, 5001, 9000}, natpmp_map},
    {"adopted", adopted, {0}, NULL},
    {"retargeted", NULL, {2, UDP, 4055, 5010, 3600}, upnp_add},
    {"switched on", switched_on, {0}, NULL},
    {"switched off", switched_off, {0}, NULL},
    {"deleted, with an heir of what goes out", NULL, {2, UDP, 4000, 0, 0}, natpmp_delete},
    {"deleted, with an heir of the port", NULL, {4, UDP, 4002, 5002, 0}, upnp_delete},
    {"all deleted", NULL, {5, TCP, 0, 0, 0}, natpmp_delete},
    {"a range deleted", a_range_deleted, {0}, NULL},
};

static struct map_request
request_of(const struct kind *kind)
{
	return kind->request ? kind->request() : kind->of_wish(kind->wish);
}

/* Refused at the disk, then before it, then done; each as if the former had never been. */
static void
refuse_then_do(const struct kind *kind, int *failure)
{
	const uint64_t changes = engine_table_changes(bed.engine);
	const char *before = keep();
	unsigned commits;

	*failure = SQLITE_IOERR;
	if (ask(request_of(kind))->result != MAP_NO_RESOURCES)
		fail_msg("%s: not refused", kind->name);
	assert_true(engine_journal_refuses(bed.engine));
	is_as(before);
	commits = fake_firewall_commits(bed.firewall);
	assert_int_equal(ask(request_of(kind))->result, MAP_NO_RESOURCES);
	assert_int_equal(fake_firewall_commits(bed.firewall), commits);
	is_as(before);
	assert_int_equal(engine_table_changes(bed.engine), changes);
	assert_true(counted()->journal_refusals >= 2);
	*failure = 0;
	pass(6);
	assert_null(engine_journal_fault(bed.engine));
	restart_refusing();
	is_as(before);
	if (ask(request_of(kind))->result != MAP_OK)
		fail_msg("%s: not done", kind->name);
	assert_string_not_equal(all(), before);
	before = keep();
	restart_refusing();
	is_as(before);
}

static void
every_kind_of_change_is_taken_back(void **state)
{
	for (size_t i = 0; i < 2 * COUNT(kinds); i++) {
		furnish();
		refuse_then_do(&kinds[i / 2], i % 2 ? &disk.sync_fails : &disk.fails);
		tear_down(state);
		assert_int_equal(set_up_refusing(state), 0);
	}
}

static const struct forward web = {
    .name = "web", .transports = FORWARD_UDP, .external = {5000, 5002}, .target = {{{0}}, 5000}};

static bool
add_web(void)
{
	struct forward forward = web;

	forward.target.address = host(9);
	return engine_add_forward(bed.engine, &forward, bed.now);
}

static void
what_the_admin_asks_for_is_taken_back_too(void **state)
{
	const char *before;
	uint64_t id;

	(void)state;
	furnish();
	before = keep();
	disk.fails = SQLITE_FULL;
	assert_true(add_web());
	flush();
	is_as(before);
	assert_non_null(strstr(bed.log, "forward: refused-by-journal name=\"web\""));
	pass(6);
	id = lease_at(UDP, 5000)->record.id;
	assert_true(engine_remove(bed.engine, id, bed.now));
	flush();
	is_as(before);
	/* And when nobody flushed. */
	assert_true(engine_remove(bed.engine, id, bed.now));
	run();
	is_as(before);
	disk.fails = 0;
	pass(6);
	assert_true(engine_remove(bed.engine, id, bed.now));
	flush();
	assert_null(lease_at(UDP, 5000));
	assert_true(add_web());
	flush();
	assert_int_equal(lease_at(UDP, 5001)->record.origin, ORIGIN_STATIC);
	assert_string_not_equal(all(), before);
	before = keep();
	restart_refusing();
	/* This configuration has none that were added, but asks for none to go, either. */
	is_as(before);
}

/* As the default has it. */
static void
serve_serves(void **state)
{
	const char *after;

	(void)state;
	furnish();
	set_failure(false);
	disk.fails = SQLITE_FULL;
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4050, 5050, 3600)))->result, MAP_OK);
	assert_non_null(engine_journal_fault(bed.engine));
	assert_false(engine_journal_refuses(bed.engine));
	/* Reloaded meanwhile. */
	after = keep();
	set_failure(true);
	assert_true(engine_journal_refuses(bed.engine));
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4051, 5051, 3600)))->result, MAP_NO_RESOURCES);
	is_as(after);
	set_failure(false);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4051, 5051, 3600)))->result, MAP_OK);
	assert_int_equal(counted()->journal_refusals, 1);
}

/* What is asked and what needs no disk. */
static void
what_changes_nothing_is_answered(void **state)
{
	(void)state;
	furnish();
	disk.fails = SQLITE_FULL;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask(natpmp_map(wish(2, UDP, 4050, 0, 60)))->result,
				 MAP_NO_RESOURCES);
		assert_int_equal(ask(natpmp_map(wish(2, UDP, 80, 80, 60)))->result,
				 MAP_NOT_AUTHORIZED);
		assert_int_equal(ask(natpmp_delete(wish(8, UDP, 4050, 0, 0)))->result, MAP_OK);
		assert_int_equal(ask((struct map_request){.kind = REQUEST_ADDRESS,
							  .origin = ORIGIN_NATPMP,
							  .client = host(2)})
				     ->result,
				 MAP_OK);
	}
}

static void
what_ends_anyhow_ends(void **state)
{
	const struct policy_rule deny = {
	    .transports = CONFIG_UDP, .external = {5001, 5001}, .internal = {0, 65535}, .line = 3};
	struct forward set = web;

	(void)state;
	furnish();
	ask(natpmp_map(wish(7, UDP, 4070, 5070, 5)));
	disk.fails = SQLITE_FULL;
	assert_int_equal(ask(natpmp_map(wish(7, UDP, 4070, 5070, 500)))->result, MAP_NO_RESOURCES);
	pass(6);
	assert_null(lease_at(UDP, 5070));
	assert_null(kernel_at(UDP, 5070));
	/* One that nobody flushed is refused for itself. */
	ask(natpmp_map(wish(7, UDP, 4071, 5071, 5)));
	policy = policy_new(&deny, 1);
	set_failure(true);
	assert_true(engine_remove(bed.engine, lease_at(TCP, 5003)->record.id, bed.now));
	run();
	assert_null(lease_at(UDP, 5001));
	assert_null(kernel_at(UDP, 5001));
	assert_non_null(kernel_at(TCP, 5003));
	/* The configuration's forwards. */
	set.line = 4;
	set.target.address = host(9);
	assert_true(engine_remove(bed.engine, lease_at(TCP, 5003)->record.id, bed.now));
	assert_true(engine_set_forwards(bed.engine, &set, 1, bed.now));
	flush();
	assert_int_equal(lease_at(UDP, 5000)->record.origin, ORIGIN_STATIC);
	assert_non_null(kernel_at(UDP, 5000));
	assert_non_null(kernel_at(TCP, 5003));
	assert_true(engine_set_forwards(bed.engine, NULL, 0, bed.now));
	flush();
	assert_null(lease_at(UDP, 5000));
	assert_null(kernel_at(UDP, 5000));
	/* The network. */
	assert_int_equal(set_wan("203.0.113.9"), 0);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 0);
	disk.fails = 0;
	pass(6);
	all();
	restart_refusing();
	assert_null(lease_at(UDP, 5000));
	assert_null(lease_at(UDP, 5001));
	policy_free(policy);
}

static void
fail_the_kernel_too(void)
{
	fake_firewall_fail_commits(bed.firewall, 1, EIO);
}

static void
lose_the_table_too(void)
{
	fake_firewall_lose(bed.firewall);
}

/* Then its table is made anew, before anybody is told. */
static void
a_kernel_that_does_not_go_back(void **state)
{
	void (*const failures[])(void) = {fail_the_kernel_too, lose_the_table_too};
	const char *before;

	(void)state;
	furnish();
	before = keep();
	for (size_t i = 0; i < COUNT(failures); i++) {
		disk.fails = SQLITE_FULL;
		disk.failed = failures[i];
		assert_int_equal(ask(upnp_add(wish(2, UDP, 4055, 5010, 3600)))->result,
				 MAP_NO_RESOURCES);
		assert_int_equal(counted()->table_restores, i + 1);
		disk.failed = NULL;
		disk.fails = 0;
		assert_true(engine_table_intact(bed.engine));
		is_as(before);
		pass(6);
	}
	assert_int_equal(ask(upnp_add(wish(2, UDP, 4055, 5010, 3600)))->result, MAP_OK);
}

/* A table that was lost is made anew with the batch in it; that is taken back as well. */
static void
in_a_table_that_was_made_anew(void **state)
{
	const char *before;

	(void)state;
	furnish();
	before = keep();
	disk.fails = SQLITE_FULL;
	fake_firewall_lose(bed.firewall);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4050, 5050, 3600)))->result, MAP_NO_RESOURCES);
	assert_int_equal(counted()->table_restores, 1);
	is_as(before);
	/* While the disk is known not to work a lost table comes back all the same. */
	fake_firewall_lose(bed.firewall);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4050, 5050, 3600)))->result, MAP_NO_RESOURCES);
	engine_check_table(bed.engine, bed.now);
	run();
	assert_true(engine_table_intact(bed.engine));
	is_as(before);
}

static void
what_the_kernel_refuses_beside_it(void **state)
{
	const char *before;

	(void)state;
	furnish();
	before = keep();
	disk.fails = SQLITE_FULL;
	fake_firewall_refuse_additions(bed.firewall, 1, ENOSPC);
	submit(natpmp_map(wish(2, UDP, 4050, 5050, 3600)));
	submit(natpmp_map(wish(2, UDP, 4051, 5051, 3600)));
	flush();
	for (uint32_t i = 1; i <= 2; i++)
		assert_int_equal(result_of(bed.submitted - i), MAP_NO_RESOURCES);
	is_as(before);
}

/* Connections are counted on over what was taken back. */
static void
counts_go_on(void **state)
{
	const struct lease *lease;

	(void)state;
	furnish();
	fake_firewall_connect(bed.firewall, UDP, 5000, 3);
	disk.fails = SQLITE_FULL;
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 60)))->result, MAP_NO_RESOURCES);
	fake_firewall_connect(bed.firewall, UDP, 5000, 1);
	lease = lease_at(UDP, 5000);
	assert_int_equal(engine_connections(bed.engine, lease), 4);
}

/* It is said once, and again after it worked meanwhile. */
static void
it_is_said_once(void **state)
{
	(void)state;
	furnish();
	disk.fails = SQLITE_FULL;
	set_wan("203.0.113.6");
	assert_non_null(strstr(bed.log, "journal: failed reason="));
	assert_non_null(strstr(bed.log, "new mappings are refused until it works again"));
	bed.log[0] = '\0';
	pass(60);
	assert_string_equal(bed.log, "");
	assert_non_null(strstr(engine_journal_fault(bed.engine), "full"));
	disk.fails = 0;
	pass(6);
	assert_non_null(strstr(bed.log, "journal: works again"));
	disk.sync_fails = SQLITE_IOERR_FSYNC;
	set_wan("203.0.113.5");
	assert_non_null(strstr(bed.log, "journal: failed reason="));
	assert_non_null(engine_journal_fault(bed.engine));
}

/* A sync that failed leaves nobody knows what: the file is opened anew and written whole. */
static void
after_a_failed_sync_the_file_is_written_whole(void **state)
{
	const char *before;

	(void)state;
	stop();
	disk_empty(disk.folder);
	disk.records = true;
	start();
	assert_int_equal(engine_restore(bed.engine, bed.now, &(struct fault){""}), 0);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	furnish();
	disk.sync_fails = SQLITE_IOERR_FSYNC;
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4050, 5050, 3600)))->result, MAP_OK);
	assert_non_null(engine_journal_fault(bed.engine));
	disk.sync_fails = 0;
	disk.opens = 0;
	pass(6);
	assert_true(disk.opens > 0);
	assert_null(engine_journal_fault(bed.engine));
	assert_non_null(strstr(bed.log, "journal: works again leases=9"));
	before = keep();
	/* As a loss of power leaves it. */
	fake_firewall_lose(bed.firewall);
	stop();
	assert_true(disk_copy(disk_file("journal.db.synced"), disk_file("journal.db")));
	assert_true(disk_copy(disk_file("journal.db-wal.synced"), disk_file("journal.db-wal")) ||
		    errno == ENOENT);
	start();
	assert_int_equal(engine_restore(bed.engine, bed.now, &(struct fault){""}), 0);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	is_as(before);
}

static void
a_disk_that_fails_at_the_start(void **state)
{
	(void)state;
	stop();
	disk_empty(disk.folder);
	disk.fails = SQLITE_IOERR;
	start();
	set_failure(true);
	assert_int_equal(engine_restore(bed.engine, bed.now, &(struct fault){""}), 0);
	assert_non_null(strstr(bed.log, "new mappings are refused"));
	assert_true(engine_journal_refuses(bed.engine));
	assert_int_equal(set_wan("203.0.113.5"), 0);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_NO_RESOURCES);
	pass(60);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_NO_RESOURCES);
	disk.fails = 0;
	pass(6);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)))->result, MAP_OK);
	restart_refusing();
	assert_int_equal(count(), 1);
}

/* Flows of a mapping that is there again stay; what came through one that never was goes. */
static void
flows_follow_what_is(void **state)
{
	const struct endpoint gateway = {address("203.0.113.5"), 0};
	struct flow flow = {.transport = UDP, .mark = FLOWS_MARK_OURS};
	struct fault fault;

	(void)state;
	stop();
	assert_int_equal(flows_open(&bed.flows, &fault), 0);
	start();
	set_failure(true);
	assert_int_equal(engine_restore(bed.engine, bed.now, &fault), 0);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	furnish();
	pass(2);
	flow.from = (struct endpoint){address("198.51.100.9"), 9};
	flow.to = gateway;
	flow.to.port = 5000;
	flow.reply_from = (struct endpoint){host(2), 4000};
	flow.reply_to = flow.from;
	fake_flows_add(bed.flows, &flow);
	flow.to.port = flow.reply_from.port = 5050;
	fake_flows_add(bed.flows, &flow);
	disk.fails = SQLITE_FULL;
	submit(natpmp_delete(wish(2, UDP, 4000, 0, 0)));
	submit(natpmp_map(wish(2, UDP, 5050, 5050, 3600)));
	flush();
	pass(2);
	assert_int_equal(fake_flows_count(bed.flows), 1);
	assert_int_equal(counted()->flows_ended, 1);
	/* Nothing that never was in the kernel is looked for. */
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 5051, 5051, 3600)))->result, MAP_NO_RESOURCES);
	pass(2);
	assert_int_equal(counted()->flow_passes, 2);
	flows_close(bed.flows);
	bed.flows = NULL;
}

/* Any requests, any of these failures; a start may come at any time. */

enum { BATCHES = 1500, BATCH_MOST = 12 };

static struct map_request
random_request(void)
{
	static const uint32_t lifetimes[] = {1, 10, 120, 3600, 86400};
	static const char *const words[] = {"", "one", "two"};
	struct wish w;

	w.host = 2 + below(4);
	w.transport = maybe(50) ? UDP : TCP;
	w.internal = (uint16_t)(4000 + below(4));
	w.external = (uint16_t)(5000 + below(6));
	w.lifetime = lifetimes[below(COUNT(lifetimes))];
	switch (below(10)) {
	case 0:
	case 1:
		return natpmp_map(w);
	case 2:
		return natpmp_delete(w);
	case 3:
		return maybe(30) ? natpmp_delete_all(w.host, w.transport) : natpmp_map(w);
	case 4:
	case 5:
		return pcp_map(w, (uint8_t)(1 + below(2)));
	case 6:
		return pcp_delete(w, (uint8_t)(1 + below(2)));
	case 7:
		return upnp_delete(w);
	case 8:
		return maybe(30) ? upnp_add_any(w) : from_remote(upnp_add(w));
	default:
		return described(upnp_add(w), words[below(3)], words[below(3)]);
	}
}

static void
random_failures(void)
{
	disk.fails = maybe(20) ? SQLITE_FULL : 0;
	disk.sync_fails = maybe(10) ? SQLITE_IOERR_FSYNC : 0;
	disk.failed = maybe(10) ? fail_the_kernel_too : NULL;
	fake_firewall_refuse_additions(bed.firewall, maybe(5), ENOSPC);
	fake_firewall_fail_commits(bed.firewall, maybe(5), EIO);
}

static void
kernel_works(void)
{
	fake_firewall_refuse_additions(bed.firewall, 0, 0);
	fake_firewall_fail_commits(bed.firewall, 0, 0);
}

static bool
is_overdue(void)
{
	const struct lease *lease = lease_table_first_to_end(engine_leases(bed.engine));

	return lease && lease->record.ends <= bed.now;
}

static bool
is_change(const struct map_request *request)
{
	return request->kind != REQUEST_ADDRESS && request->kind != REQUEST_ANNOUNCE;
}

/* Of what may be the last batch before the next start. */
static void
one_batch(unsigned *refused, unsigned *done)
{
	const uint64_t refusals = counted()->journal_refusals;
	const uint64_t restores = counted()->table_restores;
	const uint64_t changes = engine_table_changes(bed.engine);
	const char *before = keep();
	const uint32_t first = bed.submitted;

	for (uint32_t n = 1 + below(BATCH_MOST); n > 0; n--)
		submit(random_request());
	flush();
	for (uint32_t n = first; n < bed.submitted; n++)
		*done += result_of(n % BED_SLOTS) == MAP_OK &&
			 is_change(&bed.slot[n % BED_SLOTS].request);
	if (counted()->journal_refusals == refusals) {
		all();
		return;
	}
	++*refused;
	/* Of a table made anew the kernel may refuse what it held before. */
	if (counted()->table_restores != restores) {
		all();
		return;
	}
	is_as(before);
	assert_int_equal(engine_table_changes(bed.engine), changes);
}

/* Is it not known what is on the disk?  After a sync that failed; nor are leases dropped from it
 * that the kernel refused when the table was made anew, until it works again. */
static bool
is_unknown(uint64_t restores)
{
	return disk.sync_fails != 0 || counted()->table_restores != restores;
}

/* The next start finds what is, once that is known. */
static void
restart_if_known(bool *unknown)
{
	const char *before;

	disk.fails = disk.sync_fails = 0;
	disk.failed = NULL;
	kernel_works();
	if (*unknown)
		pass(6);
	else
		run();
	while (is_overdue())
		pass(1); /* the kernel did not let it end before */
	*unknown = false;
	if (!engine_table_intact(bed.engine))
		return;
	before = keep();
	restart_refusing();
	is_as(before);
}

static void
whatever_happens_what_was_answered_is_there(void **state)
{
	unsigned refused = 0, done = 0, restarts = 0;
	bool unknown = false;

	(void)state;
	for (int i = 0; i < BATCHES; i++) {
		uint64_t restores = counted()->table_restores;

		random_failures();
		one_batch(&refused, &done);
		unknown |= is_unknown(restores);
		if (maybe(30)) {
			restart_if_known(&unknown);
			restarts++;
		}
		restores = counted()->table_restores;
		/* What is over ends in time. */
		disk.failed = NULL;
		kernel_works();
		wait_ms(below(4000));
		run();
		unknown |= is_unknown(restores);
	}
	assert_true(refused > 100 && done > 1000 && restarts > 100);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_refusing, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(every_kind_of_change_is_taken_back),
	    TEST(what_the_admin_asks_for_is_taken_back_too),
	    TEST(serve_serves),
	    TEST(what_changes_nothing_is_answered),
	    TEST(what_ends_anyhow_ends),
	    TEST(a_kernel_that_does_not_go_back),
	    TEST(in_a_table_that_was_made_anew),
	    TEST(what_the_kernel_refuses_beside_it),
	    TEST(counts_go_on),
	    TEST(it_is_said_once),
	    TEST(after_a_failed_sync_the_file_is_written_whole),
	    TEST(a_disk_that_fails_at_the_start),
	    TEST(flows_follow_what_is),
	    TEST(whatever_happens_what_was_answered_is_there),
	};

	bed.random = random_begin("random failures");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
