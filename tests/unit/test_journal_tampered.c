/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine over a journal that somebody wrote in: it serves, what it answers from then on is
 * there after the next start, and nothing stays longer than it was ever given. */
#include "journal_bed.h"

#define LARGEST "9223372036854775807"
#define LEAST	"-9223372036854775807 - 1"

static const char *const statements[] = {
    "SELECT 1",
    "UPDATE lease SET more_ports = 10",
    "UPDATE lease SET id = " LARGEST " WHERE id = 3",
    "UPDATE lease SET id = " LARGEST " - 1 WHERE id = 3",
    "UPDATE lease SET id = " LEAST " WHERE id = 3",
    "UPDATE state SET last_id = " LARGEST,
    "UPDATE state SET last_id = -1",
    "UPDATE state SET table_changes = -1",
    "UPDATE state SET epoch = " LARGEST,
    "UPDATE state SET epoch = " LEAST,
    "UPDATE state SET mono = " LARGEST,
    "UPDATE state SET mono = " LEAST,
    "UPDATE state SET wall = " LARGEST,
    "UPDATE state SET wall = " LEAST,
    "UPDATE state SET external = x''",
    "UPDATE state SET boot = printf('%500s', 'x')",
    "UPDATE lease SET mono = " LARGEST,
    "UPDATE lease SET mono = " LEAST,
    "UPDATE lease SET mono = " LARGEST ", wall = " LEAST,
    "UPDATE lease SET wall = " LARGEST,
    "UPDATE lease SET created = " LARGEST,
    "UPDATE lease SET created = " LEAST,
    "UPDATE lease SET ends = " LARGEST " - 1",
    "UPDATE lease SET ends = " LEAST,
    "UPDATE lease SET lifetime = -1",
    "UPDATE lease SET lifetime = 1099511627776",
    "UPDATE lease SET connections = -1",
    "UPDATE lease SET wan = -1, line = -1, companion = 7",
    "UPDATE lease SET lan = printf('%500s', 'x')",
    "UPDATE lease SET lan = ''",
    "UPDATE lease SET nonce = x'00'",
    "UPDATE lease SET nonce = zeroblob(1000000)",
    "UPDATE lease SET description = CAST(x'ff00ff' AS TEXT)",
    "UPDATE lease SET description = printf('%1000000s', 'x')",
    "UPDATE lease SET user_agent = CAST(x'ff00ff' AS TEXT)",
    "UPDATE lease SET remote = x'00000000000000000000ffff00000000', remote_length = 96",
    "UPDATE lease SET remote_length = 1",
    "UPDATE lease SET helper = 1",
    "UPDATE lease SET internal_address = x'20010db8000000000000000000000001'",
    "UPDATE lease SET internal_address = x'00000000000000000000ffffffffffff'",
    "UPDATE lease SET internal_port = 4000",
    "UPDATE lease SET origin = 0, name = 'a', ends = " LARGEST,
    "UPDATE lease SET origin = 0, name = 'a', more_ports = 20, ends = " LARGEST,
    "UPDATE lease SET origin = 0, name = CAST(x'ff0a22' AS TEXT), ends = " LARGEST,
    "DELETE FROM state",
    "DROP TABLE state",
    "DROP TABLE lease",
    "DROP TABLE lease; CREATE TABLE lease (id INTEGER PRIMARY KEY)",
    "DROP TABLE lease; CREATE VIEW lease AS SELECT * FROM state",
    "ALTER TABLE lease ADD COLUMN more INTEGER",
    "ALTER TABLE lease DROP COLUMN lan",
    "ALTER TABLE lease RENAME COLUMN lan TO lane",
    "CREATE TRIGGER t AFTER INSERT ON lease BEGIN DELETE FROM lease; END",
    "CREATE TRIGGER t AFTER INSERT ON lease BEGIN SELECT RAISE(ABORT, 'no'); END",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = -1",
    "DROP TABLE state; DROP TABLE lease; PRAGMA user_version = 0; PRAGMA application_id = 7;"
    "CREATE TABLE lease (theirs)",
    "DROP TABLE state; DROP TABLE lease; PRAGMA user_version = 0; PRAGMA application_id = 7;"
    "CREATE TABLE theirs (x)",
    "PRAGMA journal_mode = DELETE",
};

static void
write_in(const char *statement)
{
	char *why = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(disk_file("journal.db"), &db), SQLITE_OK);
	if (sqlite3_exec(db, statement, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", statement, why);
	sqlite3_close(db);
}

static void
meet(const char *statement, const char *boot)
{
	ask(natpmp_map(wish(2, UDP, 4000, 5000, 3600)));
	ask(pcp_map(wish(2, TCP, 4001, 5001, 3600), 7));
	ask(upnp_add(wish(3, UDP, 4002, 5002, 3600)));
	wait_ms(5000);
	stop();
	write_in(statement);
	strcpy(options.boot, boot);
	start();
	assert_int_equal(engine_restore(bed.engine, bed.now, &(struct fault){""}), 0);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	check_agreement();
	run();
	assert_int_equal(ask(natpmp_map(wish(9, UDP, 4900, 5900, 7200)))->result, MAP_OK);
	assert_null(engine_journal_fault(bed.engine));
	restart();
	assert_int_equal(left_at(5900), 7200 * MONOTIME_SECOND);
	pass(3601);
	check_agreement();
	assert_null(lease_at(UDP, 4000));
	for (uint16_t port = 5000; port <= 5002; port++) {
		const struct lease *lease = lease_at(port == 5001 ? TCP : UDP, port);

		assert_true(!lease || lease->record.origin == ORIGIN_STATIC);
	}
	assert_int_equal(left_at(5900), 3599 * MONOTIME_SECOND);
}

static void
in_the_same_boot(void **state)
{
	meet(*state, BOOT);
}

static void
in_another_boot(void **state)
{
	meet(*state, OTHER);
}

int
main(void)
{
	struct CMUnitTest tests[2 * COUNT(statements)];

	for (size_t i = 0; i < COUNT(tests); i++)
		tests[i] = (struct CMUnitTest){statements[i / 2],
					       i % 2 ? in_another_boot : in_the_same_boot, set_up,
					       tear_down, (void *)statements[i / 2]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
