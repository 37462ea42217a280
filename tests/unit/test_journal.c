/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine over restarts, reboots, clocks that are set and disks that fail: what was answered is
 * there again, what ended is not. */
#include "journal_bed.h"

#include <errno.h>

/* The table of cases.  The old clock showed 5 h when the journal was last written. */
static void
how_much_time_passed(void **state)
{
	static const struct {
		const char *boot;
		monotime up;   /* the new clock */
		int64_t later; /* on the calendar */
		monotime passed;
	} rows[] = {
	    {BOOT, 5 * HOUR, 0, 0},
	    {BOOT, 6 * HOUR, HOUR, HOUR},
	    {BOOT, 6 * HOUR, 10 * YEAR, HOUR},	/* set forth: nothing is killed */
	    {BOOT, 6 * HOUR, -10 * YEAR, HOUR}, /* set back: nothing is revived */
	    {BOOT, 50 * HOUR, 0, 45 * HOUR},	/* suspended */
	    {OTHER, HOUR, 3 * HOUR, 3 * HOUR},	/* two hours away */
	    {OTHER, HOUR, HOUR, HOUR},
	    {OTHER, HOUR, HOUR - 1, HOUR},   /* the calendar lost time: this boot counts */
	    {OTHER, HOUR, -10 * YEAR, HOUR}, /* no battery: it begins anew at each boot */
	    {OTHER, HOUR, 10 * YEAR, HOUR},  /* it was wrong before, and is right now */
	    {OTHER, HOUR, YEAR, YEAR},	     /* really that long in a drawer */
	    {OTHER, 0, 0, 0},
	    {"", HOUR, 3 * HOUR, 3 * HOUR}, /* not known which boot: another */
	    {"", 9 * HOUR, 10 * YEAR, 9 * HOUR},
	};
	struct lease_store_stamp then = {BOOT, 5 * HOUR, START}, now;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		now = (struct lease_store_stamp){"", rows[i].up, START + rows[i].later};
		strcpy(now.boot, rows[i].boot);
		assert_int_equal(now.mono - journal_shift(&then, &now) - then.mono, rows[i].passed);
	}
	then.boot[0] = now.boot[0] = '\0';
	now.mono = HOUR;
	now.wall = START + 2 * HOUR;
	assert_int_equal(now.mono - journal_shift(&then, &now) - then.mono, 2 * HOUR);
}

static void
a_restart_loses_nothing(void **state)
{
	const struct lease *lease;
	uint64_t changes, id;
	uint32_t epoch;

	(void)state;
	assert_int_equal(ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 7))->result, MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(3, UDP, 4001, 5001, 600)))->result, MAP_OK);
	assert_int_equal(ask(upnp_add(wish(3, UDP, 4002, 5002, 1200)))->result, MAP_OK);
	wait_ms(10000);
	assert_int_equal(ask(natpmp_map(wish(3, UDP, 4001, 5001, 900)))->result, MAP_OK);
	wait_ms(1000);
	changes = engine_table_changes(bed.engine);
	epoch = engine_epoch(bed.engine, bed.now);
	id = lease_at(UDP, 5002)->record.id;
	restart();
	assert_int_equal(count(), 3);
	assert_int_equal(left_at(5000), 3589000);
	assert_int_equal(left_at(5001), 899000);
	assert_int_equal(left_at(5002), 1189000);
	lease = lease_at(UDP, 5000);
	assert_int_equal(lease->record.origin, ORIGIN_PCP);
	assert_int_equal(lease->record.lifetime, 3600);
	assert_int_equal(bed.now - lease->record.created, 11000);
	assert_int_equal(lease_at(UDP, 5002)->record.id, id);
	assert_int_equal(engine_table_changes(bed.engine), changes);
	assert_int_equal(engine_epoch(bed.engine, bed.now), epoch);
	assert_int_equal(epoch, 11);
	/* The nonce, too. */
	assert_int_equal(ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 8))->result, MAP_NOT_YOURS);
	assert_int_equal(ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 7))->result, MAP_OK);
	assert_int_equal(ask(natpmp_map(wish(4, UDP, 1, 5004, 60)))->result, MAP_NOT_AUTHORIZED);
	assert_int_equal(ask(natpmp_map(wish(4, UDP, 4004, 5004, 60)))->result, MAP_OK);
	assert_int_equal(lease_at(UDP, 5004)->record.id, id + 1);
}

static void
what_ended_is_not_back(void **state)
{
	uint64_t last;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 60)));
	ask(natpmp_map(wish(2, UDP, 4002, 5002, 3600)));
	ask(natpmp_map(wish(2, UDP, 4003, 5003, 3600)));
	last = lease_at(UDP, 5003)->record.id;
	ask(natpmp_delete(wish(2, UDP, 4000, 0, 0)));
	engine_remove(bed.engine, last, bed.now);
	flush();
	pass(61);
	restart();
	assert_int_equal(count(), 1);
	assert_true(left_at(5002) > 0);
	ask(natpmp_map(wish(2, UDP, 4004, 5004, 3600)));
	assert_int_equal(lease_at(UDP, 5004)->record.id, last + 1);
	/* What is over while nobody runs never gets into the kernel again. */
	restart_bare(bed.now + 3600 * MONOTIME_SECOND);
	assert_int_equal(count(), 0);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	assert_int_equal(fake_firewall_count(bed.firewall), 0);
	restart();
	assert_int_equal(count(), 0);
}

static void
after_a_boot_the_calendar_counts(void **state)
{
	uint64_t changes;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 7200)));
	wait_ms(5000);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 5);
	changes = engine_table_changes(bed.engine);
	reboot(20000, HOUR);
	assert_int_equal(count(), 1);
	assert_int_equal(left_at(5001), HOUR);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 0);
	assert_int_equal(engine_table_changes(bed.engine), changes + 1);
	/* It is all of that boot's clock now. */
	wait_ms(1000);
	restart();
	assert_int_equal(left_at(5001), HOUR - 1000);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 1);
	/* A calendar that begins anew kills and revives nothing; so much is certain. */
	reboot(30000, -10 * YEAR);
	assert_int_equal(left_at(5001), HOUR - 30000);
	reboot(0, 10 * YEAR);
	assert_int_equal(left_at(5001), HOUR - 30000);
	reboot(1000, 2 * HOUR);
	assert_int_equal(count(), 0);
}

static void
set_clocks_change_nothing_in_the_same_boot(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	wall += 10 * YEAR;
	restart();
	assert_int_equal(left_at(5000), HOUR);
	wall -= 20 * YEAR;
	restart();
	assert_int_equal(left_at(5000), HOUR);
	restart_bare(bed.now + HOUR);
	assert_int_equal(count(), 0);
	assert_int_equal(set_wan("203.0.113.5"), 0);
}

/* A gateway without a battery: its calendar is right only some time after each boot. */
static void
what_the_calendar_said_before_it_was_set_is_forgotten(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 9 * 3600)));
	wait_ms(HOUR);
	wall += HOUR + 8 * HOUR; /* set forth, and nobody asks for anything */
	engine_note_time(bed.engine, bed.now);
	wait_ms(HOUR);
	wall += HOUR;
	reboot(60000, 60000);
	assert_int_equal(left_at(5000), 7 * HOUR - 60000);
	/* Back: what has passed is not granted again. */
	wait_ms(4 * HOUR);
	wall -= 10 * YEAR;
	engine_note_time(bed.engine, bed.now);
	wait_ms(HOUR);
	wall += HOUR;
	reboot(60000, 60000);
	assert_int_equal(left_at(5000), 2 * HOUR - 120000);
}

/* The calendar is wrong after each boot: nothing but the clocks of both boots tells what passed. */
static void
the_last_word_of_a_daemon_is_what_time_it_is(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 9 * 3600)));
	wait_ms(5 * HOUR);
	wall += 5 * HOUR;
	disk.writes = 0;
	engine_note_time(bed.engine, bed.now);
	assert_int_equal(disk.writes, 2);
	reboot(60000, -10 * YEAR);
	assert_int_equal(left_at(5000), 4 * HOUR - 60000);
}

static void
another_external_address_is_another_epoch(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	wait_ms(5000);
	restart_bare(bed.now);
	assert_int_equal(set_wan("203.0.113.6"), 0);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 0);
	assert_int_equal(left_at(5000), HOUR - 5000);
	/* There and back, with nothing else to write meanwhile. */
	wait_ms(5000);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	assert_int_equal(set_wan("203.0.113.6"), 0);
	restart_bare(bed.now);
	assert_int_equal(set_wan("203.0.113.6"), 0);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 0);
}

/* The order is kernel, journal, reply: whoever looks while it is written sees that. */
static unsigned seen;

static void
look(void)
{
	seen++;
	assert_non_null(kernel_at(UDP, 5000));
	assert_int_equal(bed.slot[0].answers, 0);
}

static void
kernel_then_journal_then_reply(void **state)
{
	(void)state;
	seen = 0;
	disk.wrote = look;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	disk.wrote = NULL;
	assert_true(seen > 0);
	assert_int_equal(bed.slot[0].answers, 1);
}

static void
a_batch_is_one_write_and_idle_none(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	disk.syncs = 0;
	for (uint16_t i = 0; i < 60; i++)
		submit(natpmp_map(wish(2, UDP, (uint16_t)(4100 + i), 0, 3600)));
	flush();
	assert_int_equal(disk.syncs, 1);
	disk.writes = 0;
	pass(600);
	ask(natpmp_delete(wish(7, UDP, 4000, 0, 0))); /* of nothing */
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 80, 0, 9)))->result, MAP_NOT_AUTHORIZED);
	assert_int_equal(disk.writes, 0);
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	assert_int_equal(disk.writes, 2); /* the header and the body of one page */
}

static void
what_the_kernel_refused_is_not_written(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	fake_firewall_refuse_additions(bed.firewall, 1, EINVAL);
	assert_int_equal(ask(natpmp_map(wish(3, UDP, 4001, 5001, 3600)))->result, MAP_NO_RESOURCES);
	fake_firewall_fail_commits(bed.firewall, 1, EPERM);
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4000, 5000, 7200)))->result, MAP_NO_RESOURCES);
	restart();
	assert_int_equal(count(), 1);
	assert_int_equal(left_at(5000), HOUR);
}

static void
the_policy_and_the_forwards_have_changed(void **state)
{
	const struct policy_rule deny = {
	    .transports = CONFIG_UDP, .external = {5001, 5001}, .internal = {0, 65535}, .line = 3};
	const struct forward web = {.name = "web",
				    .transports = FORWARD_UDP,
				    .external = {5002, 5002},
				    .target = {host(9), 53},
				    .line = 4};
	struct policy *strict = policy_new(&deny, 1);
	uint64_t id;

	(void)state;
	for (uint16_t i = 0; i < 4; i++)
		ask(natpmp_map(wish(2, UDP, (uint16_t)(4000 + i), (uint16_t)(5000 + i), 3600)));
	stop();
	start();
	engine_set_policy(bed.engine, &(struct engine_policy){
					  .policy = strict,
					  .max_mappings_per_client = BED_QUOTA,
					  .random_ports = {1024, 65535},
				      });
	assert_int_equal(engine_restore(bed.engine, bed.now, &(struct fault){""}), 0);
	assert_true(engine_set_forwards(bed.engine, &web, 1, bed.now));
	assert_int_equal(set_wan("203.0.113.5"), 0);
	check_agreement();
	assert_int_equal(count(), 3);
	assert_null(lease_at(UDP, 5001));
	assert_null(kernel_at(UDP, 5001));
	id = lease_at(UDP, 5002)->record.id;
	assert_int_equal(lease_at(UDP, 5002)->record.origin, ORIGIN_STATIC);
	/* A forward is kept like the rest; one that is not in the configuration any more ends. */
	restart_bare(bed.now);
	policy_free(strict);
	assert_true(engine_set_forwards(bed.engine, &web, 1, bed.now));
	assert_int_equal(set_wan("203.0.113.5"), 0);
	assert_int_equal(lease_at(UDP, 5002)->record.id, id);
	restart_bare(bed.now);
	assert_true(engine_set_forwards(bed.engine, NULL, 0, bed.now));
	assert_int_equal(set_wan("203.0.113.5"), 0);
	check_agreement();
	assert_int_equal(count(), 2);
}

static void
a_disk_that_fails_is_tried_again(void **state)
{
	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 3600)));
	disk.fails = SQLITE_FULL;
	assert_int_equal(ask(natpmp_map(wish(2, UDP, 4002, 5002, 3600)))->result, MAP_OK);
	assert_non_null(strstr(bed.log, "lease: granted"));
	assert_non_null(strstr(engine_journal_fault(bed.engine), "full"));
	assert_int_equal(ask(natpmp_delete(wish(2, UDP, 4000, 0, 0)))->result, MAP_OK);
	pass(60);
	assert_non_null(engine_journal_fault(bed.engine));
	disk.fails = 0;
	pass(6);
	assert_null(engine_journal_fault(bed.engine));
	assert_non_null(strstr(bed.log, "journal: works again leases=2"));
	restart();
	assert_int_equal(count(), 2);
	assert_true(left_at(5001) > 0 && left_at(5002) > 0);
}

static void
ruin(void)
{
	FILE *file = fopen(disk_file("journal.db"), "w");

	assert_non_null(file);
	for (int i = 0; i < 2000; i++)
		fputs("rubbish", file);
	fclose(file);
}

/* As found(): of the start. */
static void
assert_agreement(size_t kept, size_t added, size_t replaced, size_t removed)
{
	const struct firewall_agreement *did = fake_firewall_agreement(bed.firewall);

	assert_int_equal(did->kept, kept);
	assert_int_equal(did->added, added);
	assert_int_equal(did->replaced, replaced);
	assert_int_equal(did->removed, removed);
}

static struct mapping
foreign(uint16_t port, const char *comment)
{
	return (struct mapping){
	    .transport = UDP,
	    .external_port = port,
	    .internal = {host(66), 6},
	    .timeout = 3600 * 1000,
	    .comment = comment,
	};
}

static void
a_ruined_journal_is_begun_anew(void **state)
{
	static const char *const strangers[] = {
	    "",	      "pcp",	  "pcp 0",	  "pcp x",   "gopher 9",
	    "pcp 9x", "static 9", "static 9 web", "upnp -3", "pcp 99999999999999999999"};
	struct mapping double_id = foreign(7000, "pcp 1");
	monotime now;

	(void)state;
	ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 1));
	wait_ms(5000);
	ask(natpmp_map(wish(3, UDP, 4001, 5001, 7200)));
	ask(natpmp_map(wish(4, UDP, 4002, 5002, 20)));
	for (size_t i = 0; i < sizeof(strangers) / sizeof(*strangers); i++) {
		const struct mapping m = foreign((uint16_t)(6000 + i), strangers[i]);

		fake_firewall_plant(bed.firewall, &m);
	}
	fake_firewall_plant(bed.firewall, &double_id);
	now = bed.now;
	stop();
	ruin();
	start();
	bed.now = now + 22 * MONOTIME_SECOND; /* the last one's is over, but for the grace */
	fake_firewall_set_clock(bed.firewall, bed.now);
	assert_int_equal(engine_restore(bed.engine, bed.now, &(struct fault){""}), 0);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	check_agreement();
	assert_int_equal(count(), 2);
	assert_agreement(2, 0, 0, 12);
	assert_int_equal(left_at(5000), (3600 - 22 - 5) * MONOTIME_SECOND);
	assert_int_equal(lease_at(UDP, 5000)->record.lifetime, 3600);
	assert_int_equal(lease_at(UDP, 5000)->record.created, bed.now - 27 * MONOTIME_SECOND);
	assert_int_equal(lease_at(UDP, 5000)->record.origin, ORIGIN_PCP);
	assert_int_equal(lease_at(UDP, 5001)->record.id, 2);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 0);
	/* Ids go on; the nonce is the next one that its own host names. */
	ask(natpmp_map(wish(9, UDP, 4009, 5009, 3600)));
	assert_true(lease_at(UDP, 5009)->record.id > 2);
	assert_int_equal(ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 2))->result, MAP_OK);
	assert_int_equal(ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 1))->result, MAP_NOT_YOURS);
	restart();
	assert_int_equal(count(), 3);
	assert_int_equal(ask(pcp_map(wish(2, UDP, 4000, 5000, 3600), 1))->result, MAP_NOT_YOURS);
}

/* There was one, and it says that there is nothing: what is in the kernel is nobody's. */
static void
a_journal_that_can_be_read_is_believed(void **state)
{
	const struct mapping m = foreign(6000, "pcp 9");

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	fake_firewall_plant(bed.firewall, &m);
	restart();
	assert_int_equal(count(), 1);
	assert_agreement(1, 0, 0, 1);
	assert_non_null(strstr(bed.log, "elements put right added=0 replaced=0 removed=1 kept=1"));
}

/* Each row of adoption.h, at a start. */
static void
what_the_kernel_has_is_gone_on_with(void **state)
{
	struct mapping elsewhere = foreign(5001, "nat-pmp 2");
	struct map_request off = natpmp_map(wish(7, UDP, 4007, 5007, 3600));
	unsigned commits;

	(void)state;
	for (uint16_t i = 0; i < 6; i++)
		ask(natpmp_map(wish(2, UDP, (uint16_t)(4000 + i), (uint16_t)(5000 + i), 3600)));
	fake_firewall_connect(bed.firewall, UDP, 5000, 3);
	wait_ms(60000);
	commits = fake_firewall_commits(bed.firewall);
	restart();
	assert_agreement(6, 0, 0, 0);
	assert_int_equal(fake_firewall_commits(bed.firewall), commits);
	assert_int_equal(engine_connections(bed.engine, lease_at(UDP, 5000)), 3);

	fake_firewall_plant(bed.firewall, &elsewhere);
	fake_firewall_drop(bed.firewall, UDP, 5002);
	restart();
	assert_agreement(4, 1, 1, 0);
	assert_int_equal(engine_connections(bed.engine, lease_at(UDP, 5000)), 3);

	off.disabled = true;
	ask(off);
	elsewhere = foreign(5007, "nat-pmp 7");
	fake_firewall_plant(bed.firewall, &elsewhere);
	restart_bare(bed.now);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	assert_agreement(6, 0, 0, 1);
	assert_null(kernel_at(UDP, 5007));
}

/* Others commit while we run: what they did to elements is found soon, and cheaply. */
static void
elements_are_looked_at_after_others_commits(void **state)
{
	const struct mapping planted = foreign(6000, "pcp 9");
	unsigned looks;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(2, UDP, 4001, 5001, 3600)));
	pass(60);
	looks = fake_firewall_looks(bed.firewall);
	fake_firewall_drop(bed.firewall, UDP, 5000);
	pass(60);
	assert_null(kernel_at(UDP, 5000)); /* nobody said anything */
	engine_check_table(bed.engine, bed.now);
	pass(1);
	check_agreement();
	assert_agreement(1, 1, 0, 0);
	fake_firewall_plant(bed.firewall, &planted);
	for (int i = 0; i < 50; i++) {
		engine_check_table(bed.engine, bed.now);
		wait_ms(100);
		run();
	}
	pass(1);
	check_agreement();
	assert_agreement(2, 0, 0, 1);
	assert_int_equal(fake_firewall_looks(bed.firewall) - looks, 2);
	pass(3600);
	assert_int_equal(fake_firewall_looks(bed.firewall) - looks, 2);
	/* A kernel that fails meanwhile costs a new table, and no lease. */
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	fake_firewall_drop(bed.firewall, UDP, 5000);
	fake_firewall_fail_commits(bed.firewall, 1, EIO);
	engine_check_table(bed.engine, bed.now);
	pass(10);
	check_agreement();
	assert_non_null(kernel_at(UDP, 5000));
}

static void
a_newer_journal_is_not_used(void **state)
{
	struct fault fault = {""};
	sqlite3 *db;

	(void)state;
	stop();
	assert_int_equal(sqlite3_open(disk_file("journal.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	start();
	assert_int_equal(engine_restore(bed.engine, bed.now, &fault), -EPROTONOSUPPORT);
	assert_non_null(strstr(fault.text, "newer portlease"));
}

/* Of a file that somebody wrote in, two want the same port, and one is none; the kernel knows. */
static void
leases_that_do_not_fit_are_the_kernels(void **state)
{
	sqlite3 *db;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(natpmp_map(wish(3, UDP, 4001, 5001, 3600)));
	ask(natpmp_map(wish(4, UDP, 4002, 5002, 3600)));
	wait_ms(5000);
	stop();
	assert_int_equal(sqlite3_open(disk_file("journal.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "UPDATE lease SET external_port = 5000 WHERE id = 2;"
				      "UPDATE lease SET origin = 77 WHERE id = 3",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	start();
	assert_int_equal(engine_restore(bed.engine, bed.now, &(struct fault){""}), 0);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	check_agreement();
	assert_int_equal(count(), 3);
	assert_int_equal(lease_at(UDP, 5001)->record.id, 2);
	assert_int_equal(lease_at(UDP, 5002)->record.internal.port, 4002);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 0);
}

static void
a_table_that_was_taken_away_is_not_back(void **state)
{
	uint64_t changes;

	(void)state;
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	wait_ms(5000);
	changes = engine_table_changes(bed.engine);
	engine_forget(bed.engine, bed.now);
	restart();
	assert_int_equal(count(), 0);
	assert_int_equal(engine_epoch(bed.engine, bed.now), 0);
	assert_true(engine_table_changes(bed.engine) > changes);
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	assert_int_equal(lease_at(UDP, 5000)->record.id, 2);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(how_much_time_passed),
	    TEST(a_restart_loses_nothing),
	    TEST(what_ended_is_not_back),
	    TEST(after_a_boot_the_calendar_counts),
	    TEST(set_clocks_change_nothing_in_the_same_boot),
	    TEST(what_the_calendar_said_before_it_was_set_is_forgotten),
	    TEST(the_last_word_of_a_daemon_is_what_time_it_is),
	    TEST(another_external_address_is_another_epoch),
	    TEST(kernel_then_journal_then_reply),
	    TEST(a_batch_is_one_write_and_idle_none),
	    TEST(what_the_kernel_refused_is_not_written),
	    TEST(the_policy_and_the_forwards_have_changed),
	    TEST(a_disk_that_fails_is_tried_again),
	    TEST(a_ruined_journal_is_begun_anew),
	    TEST(a_journal_that_can_be_read_is_believed),
	    TEST(what_the_kernel_has_is_gone_on_with),
	    TEST(elements_are_looked_at_after_others_commits),
	    TEST(a_newer_journal_is_not_used),
	    TEST(leases_that_do_not_fit_are_the_kernels),
	    TEST(a_table_that_was_taken_away_is_not_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
