/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is committed is there again, whole, whatever happens to the process, the power or the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

#include "../../backend/lease_store.h"

#include "disk.h"

#define FILE_NAME "journal.db"
#define COPY	  "copy"

static const struct lease_store_stamp stamp = {
    .boot = "0b00d000-1111-4222-8333-444455556666",
    .mono = 5000,
    .wall = 1780000000000,
};
static const struct lease_store_state state = {
    .last_id = 77,
    .table_changes = 12345678901,
    .epoch = 42,
    .external = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
};

static struct lease_store *store;
static struct fault fault;

/* The rows of the last load. */
static struct {
	struct lease_record record;
	char description[MAPPING_DESCRIPTION_MAX + 1], user_agent[MAPPING_AGENT_MAX + 1],
	    name[FORWARD_NAME_SIZE];
} row[128];
static size_t rows, senseless;

static void
keep_row(void *arg, const struct lease_record *r)
{
	(void)arg;
	if (!r) {
		senseless++;
		return;
	}
	assert_true(rows < sizeof(row) / sizeof(row[0]));
	row[rows].record = *r;
	snprintf(row[rows].description, sizeof(row[0].description), "%s",
		 r->description ? r->description : "");
	snprintf(row[rows].user_agent, sizeof(row[0].user_agent), "%s",
		 r->user_agent ? r->user_agent : "");
	snprintf(row[rows].name, sizeof(row[0].name), "%s", r->name ? r->name : "");
	rows++;
}

static struct lease_store *
open_in(const char *folder, const char *expect_moved)
{
	char moved[LEASE_STORE_NAME_SIZE];
	struct lease_store *s = lease_store_new(folder, LEASE_STORE_FULL);

	assert_non_null(s);
	if (lease_store_open(s, moved, &fault) != 0)
		fail_msg("%s", fault.text);
	assert_string_equal(moved, expect_moved);
	return s;
}

static void
load(struct lease_store *s)
{
	rows = 0;
	assert_int_equal(lease_store_load(s, keep_row, NULL, &fault), 0);
}

static void
reopen(void)
{
	lease_store_free(store);
	store = open_in(disk.folder, "");
}

static struct lease_record
some_record(uint64_t id)
{
	return (struct lease_record){
	    .id = id,
	    .origin = ORIGIN_PCP,
	    .transport = TRANSPORT_UDP,
	    .external_port = (uint16_t)(4000 + id % 60000),
	    .internal = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 168, 1, 11}}, 8000},
	    .lifetime = 3600,
	    .created = 1000,
	    .ends = 3601000,
	};
}

static int
put(uint64_t id)
{
	const struct lease_record r = some_record(id);

	lease_store_begin(store);
	lease_store_put(store, &r, &stamp);
	lease_store_set_state(store, &state, &stamp);
	return lease_store_commit(store, &fault);
}

static int
set_up(void **s)
{
	if (disk_set_up(s) < 0)
		return -1;
	store = open_in(disk.folder, "");
	return 0;
}

static int
tear_down(void **s)
{
	lease_store_free(store);
	return disk_tear_down(s);
}

/* But for the texts; padding differs. */
static void
check_same(const struct lease_record *a, const struct lease_record *b)
{
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->origin, b->origin);
	assert_int_equal(a->transport, b->transport);
	assert_string_equal(a->lan, b->lan);
	assert_int_equal(a->wan, b->wan);
	assert_int_equal(a->disabled, b->disabled);
	assert_int_equal(a->companion, b->companion);
	assert_int_equal(a->has_nonce, b->has_nonce);
	assert_memory_equal(&a->nonce, &b->nonce, sizeof(a->nonce));
	assert_int_equal(a->external_port, b->external_port);
	assert_true(address_equal(&a->internal.address, &b->internal.address));
	assert_int_equal(a->internal.port, b->internal.port);
	assert_int_equal(a->more_ports, b->more_ports);
	assert_true(address_equal(&a->remote, &b->remote));
	assert_int_equal(a->remote_length, b->remote_length);
	assert_int_equal(a->helper, b->helper);
	assert_int_equal(a->line, b->line);
	assert_int_equal(a->lifetime, b->lifetime);
	assert_int_equal(a->created, b->created);
	assert_int_equal(a->ends, b->ends);
	assert_int_equal(a->connections, b->connections);
}

static void
test_all_of_a_lease_and_the_state_come_back(void **s)
{
	const struct lease_record r = {
	    .id = UINT64_C(1) << 40,
	    .origin = ORIGIN_PCP,
	    .transport = TRANSPORT_TCP,
	    .lan = "br-a-long-name.",
	    .wan = 3,
	    .disabled = true,
	    .companion = true,
	    .has_nonce = true,
	    .nonce = {{0, 1, 2, 3, 0, 5, 6, 7, 8, 9, 10, 255}},
	    .external_port = 65535,
	    .internal = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 168, 1, 11}}, 1},
	    .remote = {{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}},
	    .lifetime = UINT32_MAX - 1,
	    .created = -5000,
	    .ends = INT64_C(1) << 51,
	    .connections = UINT64_C(1) << 50,
	    .description = "\xc3\xa9t\xc3\xa9 \"'; DROP TABLE lease; --",
	    .user_agent = "agent/1.0",
	};
	const struct lease_record forward = {
	    .id = 9,
	    .origin = ORIGIN_STATIC,
	    .transport = TRANSPORT_UDP,
	    .external_port = 5000,
	    .more_ports = 10,
	    .internal = {r.internal.address, 5000},
	    .remote = r.remote,
	    .remote_length = 64,
	    .helper = HELPER_FTP,
	    .line = 17,
	    .lifetime = MAPPING_LIFETIME_STATIC,
	    .ends = MONOTIME_NEVER,
	    .name = "web",
	};
	struct lease_store_head head;

	(void)s;
	assert_int_equal(lease_store_head(store, &head, &fault), 0);
	assert_true(head.empty);
	lease_store_begin(store);
	lease_store_put(store, &r, &stamp);
	lease_store_put(store, &forward, &stamp);
	lease_store_set_state(store, &state, &stamp);
	assert_int_equal(lease_store_commit(store, &fault), 0);
	reopen();
	assert_int_equal(lease_store_head(store, &head, &fault), 0);
	assert_false(head.empty);
	assert_memory_equal(&head.state, &state, sizeof(state));
	assert_string_equal(head.stamp.boot, stamp.boot);
	assert_int_equal(head.stamp.mono, stamp.mono);
	assert_int_equal(head.stamp.wall, stamp.wall);
	load(store);
	assert_int_equal(rows, 2);
	assert_string_equal(row[0].name, "web");
	assert_string_equal(row[1].description, r.description);
	assert_string_equal(row[1].user_agent, r.user_agent);
	check_same(&row[0].record, &forward);
	check_same(&row[1].record, &r);
}

/* A renewal writes its own row alone: its stamp is the one that counts. */
static void
test_the_latest_stamp_counts(void **s)
{
	const struct lease_record r = some_record(1);
	struct lease_store_stamp later = stamp;
	struct lease_store_head head;

	(void)s;
	assert_int_equal(put(1), 0);
	assert_int_equal(put(2), 0);
	later.mono += 1000;
	later.wall -= 5000; /* the clock was set */
	lease_store_begin(store);
	lease_store_put(store, &r, &later);
	assert_int_equal(lease_store_commit(store, &fault), 0);
	reopen();
	assert_int_equal(lease_store_head(store, &head, &fault), 0);
	assert_int_equal(head.stamp.mono, later.mono);
	assert_int_equal(head.stamp.wall, later.wall);
	load(store);
	assert_int_equal(rows, 2);
}

static void
test_dropped_is_gone_and_uncommitted_never_was(void **s)
{
	const struct lease_record r = some_record(3);

	(void)s;
	assert_int_equal(put(1), 0);
	assert_int_equal(put(2), 0);
	lease_store_begin(store);
	lease_store_drop(store, 1);
	lease_store_drop(store, 99);
	assert_int_equal(lease_store_commit(store, &fault), 0);
	lease_store_begin(store);
	lease_store_put(store, &r, &stamp);
	reopen();
	load(store);
	assert_int_equal(rows, 1);
	assert_int_equal(row[0].record.id, 2);
	lease_store_begin(store);
	lease_store_drop_all(store);
	assert_int_equal(lease_store_commit(store, &fault), 0);
	load(store);
	assert_int_equal(rows, 0);
}

/* Rows that somebody wrote there with other tools. */
static void
test_rows_that_make_no_sense_are_told_of(void **s)
{
	static const char *const bad[] = {
	    "origin = 77",
	    "transport = 1",
	    "external_port = 0",
	    "internal_port = 0",
	    "more_ports = 65535",
	    "internal_address = x''",
	    "remote_length = 200",
	    "ends = 9223372036854775807",
	    "helper = 5",
	    "name = 'x'",
	    "description = printf('%500s', 'x')",
	};
	sqlite3 *db;
	char text[256];

	(void)s;
	for (uint64_t id = 1; id <= 12; id++)
		assert_int_equal(put(id), 0);
	lease_store_free(store);
	assert_int_equal(sqlite3_open(disk_file(FILE_NAME), &db), SQLITE_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "UPDATE lease SET %s WHERE id = %zu", bad[i], i + 1);
		assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	}
	sqlite3_close(db);
	store = open_in(disk.folder, "");
	load(store);
	assert_int_equal(rows, 1);
	assert_int_equal(row[0].record.id, 12);
	assert_int_equal(senseless, sizeof(bad) / sizeof(bad[0]));
}

static void
test_a_newer_schema_is_refused_and_left_alone(void **s)
{
	char moved[LEASE_STORE_NAME_SIZE];
	sqlite3 *db;

	(void)s;
	assert_int_equal(put(1), 0);
	lease_store_free(store);
	assert_int_equal(sqlite3_open(disk_file(FILE_NAME), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 2", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	store = lease_store_new(disk.folder, LEASE_STORE_FULL);
	assert_int_equal(lease_store_open(store, moved, &fault), -EPROTONOSUPPORT);
	assert_string_equal(moved, "");
	assert_non_null(strstr(fault.text, "written by a newer portlease"));
	assert_int_equal(put(2), -EIO);
	lease_store_free(store);
	assert_int_equal(sqlite3_open(disk_file(FILE_NAME), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	store = open_in(disk.folder, "");
	load(store);
	assert_int_equal(rows, 1);
}

/* Of somebody else, who lets us look: as a disk that is mounted so.  With its log, as a killed
 * daemon leaves it, and without. */
static void
test_what_can_only_be_read_is_read(void **s)
{
	static const char folder_name[] = "50%25?#";
	char folder[DISK_PATH], file[DISK_PATH + 16], wal[DISK_PATH + 24];
	char moved[LEASE_STORE_NAME_SIZE];
	struct lease_store_head head;

	(void)s;
	snprintf(folder, sizeof(folder), "%s", disk_file(folder_name));
	snprintf(file, sizeof(file), "%s/" FILE_NAME, folder);
	snprintf(wal, sizeof(wal), "%s-wal", file);
	assert_int_equal(put(1), 0);
	assert_int_equal(put(2), 0);
	for (int logged = 1; logged >= 0; logged--) {
		struct lease_store *read_only;

		assert_int_equal(mkdir(folder, 0700), 0);
		disk_copy(disk_file(FILE_NAME), file);
		disk_copy(disk_file(FILE_NAME "-wal"), wal);
		if (!logged)
			lease_store_free(open_in(folder, ""));
		assert_int_equal(access(wal, F_OK) == 0, logged);
		chmod(file, 0444);
		chmod(folder, 0555);
		chmod(disk.folder, 0755);
		if (logged)
			chmod(wal, 0444);
		if (geteuid() == 0)
			assert_int_equal(seteuid(65534), 0);
		read_only = lease_store_new(folder, LEASE_STORE_FULL);
		assert_int_equal(lease_store_open(read_only, moved, &fault), -EROFS);
		assert_string_equal(moved, "");
		assert_int_equal(lease_store_head(read_only, &head, &fault), 0);
		assert_int_equal(head.state.last_id, state.last_id);
		load(read_only);
		assert_int_equal(rows, 2);
		lease_store_begin(read_only);
		lease_store_drop(read_only, 1);
		assert_int_equal(lease_store_commit(read_only, &fault), -EROFS);
		lease_store_free(read_only);
		if (getuid() == 0)
			assert_int_equal(seteuid(0), 0);
		chmod(folder, 0700);
		disk_empty(folder);
		assert_int_equal(rmdir(folder), 0);
	}
}

static void
ruin(const char *name, long at, const char *with, size_t length)
{
	int fd = open(disk_file(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, with, length, at), length);
	close(fd);
}

static void
test_a_ruined_file_is_moved_aside(void **s)
{
	char garbage[8192], kept[8192];
	int fd;

	(void)s;
	memset(garbage, 'x', sizeof(garbage));
	for (int i = 1; i <= 2; i++) {
		char name[LEASE_STORE_NAME_SIZE];

		for (uint64_t id = 1; id <= 100; id++)
			assert_int_equal(put(id), 0);
		lease_store_free(store);
		/* The whole of it, or one page in the middle. */
		assert_true(disk_size(FILE_NAME) > 3 * (long)sizeof(garbage) / 2);
		ruin(FILE_NAME, i == 1 ? 0 : 8192, garbage, i == 1 ? sizeof(garbage) : 4096);
		snprintf(name, sizeof(name), FILE_NAME ".ruined.%d", i);
		store = open_in(disk.folder, name);
		load(store);
		assert_int_equal(rows, 0);
		assert_int_equal(put(5), 0);
	}
	fd = open(disk_file(FILE_NAME ".ruined.1"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, kept, sizeof(kept)), sizeof(kept));
	close(fd);
	assert_memory_equal(kept, garbage, sizeof(kept));
	reopen();
	load(store);
	assert_int_equal(rows, 1);
}

/* What is wrong is only found by what the rest of the file then means. */
static void
test_a_ruined_head_is_moved_aside(void **s)
{
	static const struct {
		long at;
		const char *with;
		size_t length;
	} ruins[] = {
	    {18, "\x77", 1},		 /* how to write it */
	    {44, "\0\0\0\x66", 4},	 /* the format of its schema */
	    {60, "\0\0\0\0", 4},	 /* no version, and there are tables */
	    {60, "\x12\x34\x56\x78", 4}, /* one that nobody will come to */
	    {60, "\xff\xff\xff\xff", 4},
	    {68, "\0\0\0\x01", 4}, /* another program's */
	};

	for (size_t i = 0; i < sizeof(ruins) / sizeof(ruins[0]); i++) {
		assert_int_equal(put(1), 0);
		lease_store_free(store);
		ruin(FILE_NAME, ruins[i].at, ruins[i].with, ruins[i].length);
		store = open_in(disk.folder, FILE_NAME ".ruined.1");
		assert_int_equal(put(2), 0);
		reopen();
		load(store);
		assert_int_equal(rows, 1);
		assert_int_equal(row[0].record.id, 2);
		tear_down(s);
		set_up(s);
	}
}

/* Its tables are another's. */
static void
test_a_file_without_our_tables_is_moved_aside(void **s)
{
	static const char *const statements[] = {
	    "ALTER TABLE lease RENAME TO rent",
	    "DROP TABLE lease; DROP TABLE state; CREATE TABLE theirs (one);"
	    "PRAGMA user_version = 0; PRAGMA application_id = 7",
	};
	sqlite3 *db;

	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		assert_int_equal(put(1), 0);
		lease_store_free(store);
		assert_int_equal(sqlite3_open(disk_file(FILE_NAME), &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, statements[i], NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(db);
		store = open_in(disk.folder, FILE_NAME ".ruined.1");
		assert_int_equal(put(2), 0);
		tear_down(s);
		set_up(s);
	}
}

static void
test_a_full_disk(void **s)
{
	(void)s;
	assert_int_equal(put(1), 0);
	disk.fails = SQLITE_FULL;
	assert_int_equal(put(2), -ENOSPC);
	assert_non_null(strstr(fault.text, disk.folder));
	assert_int_equal(put(3), -ENOSPC);
	disk.fails = 0;
	assert_int_equal(put(4), 0);
	reopen();
	load(store);
	assert_int_equal(rows, 2);
	assert_int_equal(row[1].record.id, 4);
}

static void
test_a_file_that_is_taken_away_is_noticed(void **s)
{
	(void)s;
	assert_int_equal(put(1), 0);
	assert_int_equal(unlink(disk_file(FILE_NAME)), 0);
	assert_int_equal(put(2), -ENOENT);
	assert_int_equal(unlink(disk_file(FILE_NAME "-wal")), 0);
	reopen();
	assert_int_equal(put(3), 0);
	load(store);
	assert_int_equal(rows, 1);
}

static void
test_no_folder(void **s)
{
	char moved[LEASE_STORE_NAME_SIZE];
	struct lease_store *none = lease_store_new("/nonexistent/folder", LEASE_STORE_FULL);

	(void)s;
	assert_int_equal(lease_store_open(none, moved, &fault), -ENOENT);
	lease_store_begin(none);
	lease_store_drop(none, 1);
	assert_int_equal(lease_store_commit(none, &fault), -EIO);
	lease_store_free(none);
}

/* The ids that were committed, from 1 on, and what the copies are checked by. */
static uint64_t committed;
static unsigned copies;

static const char *const suffix[] = {"", "-wal", "-journal"};
enum { SUFFIXES = sizeof(suffix) / sizeof(suffix[0]) };

/* share: what the power's loss leaves of what is not synced; NULL: it did not fail. */
static void
open_copy(disk_share_fn *share)
{
	void (*wrote)(void) = disk.wrote;
	const bool records = disk.records;
	struct lease_store *copy;
	struct lease_store_head head;
	char folder[DISK_PATH + 16];

	disk.wrote = NULL;
	disk.records = false;
	snprintf(folder, sizeof(folder), "%s", disk_file(COPY));
	mkdir(folder, 0700);
	for (int i = 0; i < SUFFIXES; i++) {
		char from[DISK_PATH], to[DISK_PATH + 64];

		snprintf(from, sizeof(from), "%.200s/" FILE_NAME "%s", disk.folder, suffix[i]);
		snprintf(to, sizeof(to), "%.200s/" COPY "/" FILE_NAME "%s", disk.folder, suffix[i]);
		if (share)
			disk_lose_power(from, to, share);
		else
			disk_copy(from, to);
	}
	copy = open_in(folder, "");
	load(copy);
	/* Each as a whole: what was committed, and perhaps the one under way. */
	assert_true(rows == committed || rows == committed + 1);
	for (size_t i = 0; i < rows; i++)
		assert_int_equal(row[i].record.id, i + 1);
	assert_int_equal(lease_store_head(copy, &head, &fault), 0);
	assert_true(head.empty ? rows == 0 : head.state.last_id == state.last_id);
	lease_store_free(copy);
	disk_empty(folder);
	copies++;
	disk.wrote = wrote;
	disk.records = records;
}

static void
copy_now(void)
{
	open_copy(NULL);
}

/* Leases that are gone again, and a log that is due to go back into the file. */
static void
fill_log(uint64_t first)
{
	const struct lease_record r = some_record(1);

	lease_store_set_sync(store, LEASE_STORE_OFF); /* faster */
	lease_store_begin(store);
	for (uint64_t id = first; id < first + 2500; id++) {
		const struct lease_record gone = some_record(id);

		lease_store_put(store, &gone, &stamp);
	}
	assert_int_equal(lease_store_commit(store, &fault), 0);
	lease_store_begin(store);
	for (uint64_t id = first; id < first + 2500; id++)
		lease_store_drop(store, id);
	assert_int_equal(lease_store_commit(store, &fault), 0);
	for (int i = 0; i < 1000 && disk_size(FILE_NAME "-wal") < 1100L << 10; i++) {
		lease_store_begin(store);
		lease_store_put(store, &r, &stamp);
		assert_int_equal(lease_store_commit(store, &fault), 0);
	}
	lease_store_set_sync(store, LEASE_STORE_FULL);
}

/* The process dies after any one write: from the file's first, while it is being made, over the
 * log's return into the file, to the end. */
static void
test_killed_after_any_write(void **s)
{
	(void)s;
	lease_store_free(store);
	disk_empty(disk.folder);
	committed = copies = 0;
	disk.wrote = copy_now;
	store = open_in(disk.folder, "");
	for (committed = 0; committed < 12; committed++)
		assert_int_equal(put(committed + 1), 0);
	disk.wrote = NULL;
	fill_log(1000);
	disk.wrote = copy_now;
	copies = 0;
	lease_store_tidy(store);
	assert_true(copies > 30);
	copies = 0;
	assert_int_equal(put(1), 0);
	lease_store_free(store);
	disk.wrote = NULL;
	assert_true(copies > 3);
	store = open_in(disk.folder, "");
	load(store);
	assert_int_equal(rows, 12);
}

static int
none_of_it(size_t change, size_t changes)
{
	(void)change;
	(void)changes;
	return 0;
}

static int
all_but_half_of_the_last(size_t change, size_t changes)
{
	return change + 1 == changes ? 1 : 2;
}

/* A disk writes in its own order. */
static int
any_of_it(size_t change, size_t changes)
{
	(void)change;
	(void)changes;
	return rand() % 3;
}

static void
lose_power_now(void)
{
	open_copy(none_of_it);
	open_copy(all_but_half_of_the_last);
	open_copy(any_of_it);
}

/* With `full`, at any write, sync or cut: from the file's first, over the log's return into the
 * file and its next beginning, to the end. */
static void
test_the_power_fails_at_any_write(void **s)
{
	unsigned seed = (unsigned)getpid();

	(void)s;
	print_message("seed %u\n", seed);
	srand(seed);
	lease_store_free(store);
	disk_empty(disk.folder);
	committed = copies = 0;
	disk.records = true;
	disk.wrote = lose_power_now;
	store = open_in(disk.folder, "");
	for (committed = 0; committed < 30; committed++)
		assert_int_equal(put(committed + 1), 0);
	disk.wrote = NULL;
	fill_log(1000);
	assert_int_equal(put(1), 0);
	disk.wrote = lose_power_now;
	lose_power_now();
	copies = 0;
	lease_store_tidy(store);
	assert_true(copies > 100);
	for (; committed < 40; committed++)
		assert_int_equal(put(committed + 1), 0);
	copies = 0;
	lease_store_free(store);
	assert_true(copies > 3);
	lose_power_now();
	assert_int_equal(rows, committed);
	disk.wrote = NULL;
	store = open_in(disk.folder, "");
}

/* Whoever waits for a commit does not wait for that, too. */
static void
test_only_a_long_log_goes_back_into_the_file(void **s)
{
	long before;

	(void)s;
	assert_int_equal(put(1), 0);
	disk.writes = 0;
	lease_store_tidy(store);
	assert_int_equal(disk.writes, 0);
	before = disk_size(FILE_NAME);
	fill_log(1000);
	assert_int_equal(disk_size(FILE_NAME), before);
	disk.writes = disk.syncs = 0;
	lease_store_tidy(store);
	assert_true(disk.writes > 0 && disk.syncs > 0);
	before = disk_size(FILE_NAME "-wal");
	disk.writes = 0;
	lease_store_tidy(store);
	assert_int_equal(disk.writes, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(put(1), 0);
	assert_int_equal(disk_size(FILE_NAME "-wal"), before);
}

static void
test_a_disk_that_fails_as_the_log_goes_back(void **s)
{
	(void)s;
	assert_int_equal(put(1), 0);
	fill_log(1000);
	disk.fails = SQLITE_FULL;
	lease_store_tidy(store);
	disk.fails = 0;
	assert_int_equal(put(2), 0);
	lease_store_tidy(store);
	reopen();
	load(store);
	assert_int_equal(rows, 2);
}

static void
test_what_a_commit_syncs(void **s)
{
	static const struct {
		enum lease_store_sync sync;
		unsigned syncs;
	} row_of[] = {{LEASE_STORE_FULL, 1}, {LEASE_STORE_NORMAL, 0}, {LEASE_STORE_OFF, 0}};

	(void)s;
	for (uint64_t id = 1; id <= 5; id++) /* the files are made */
		assert_int_equal(put(id), 0);
	for (size_t i = 0; i < sizeof(row_of) / sizeof(row_of[0]); i++) {
		lease_store_set_sync(store, row_of[i].sync);
		disk.syncs = 0;
		assert_int_equal(put(1), 0);
		assert_int_equal(disk.syncs, row_of[i].syncs);
	}
}

/* One page of the log, which is its header and itself. */
static void
test_writes_are_few(void **s)
{
	const struct lease_record r = some_record(50);

	(void)s;
	for (uint64_t id = 1; id <= 100; id++)
		assert_int_equal(put(id), 0);
	disk.writes = 0;
	lease_store_begin(store);
	lease_store_put(store, &r, &stamp);
	assert_int_equal(lease_store_commit(store, &fault), 0);
	assert_int_equal(disk.writes, 2);
	assert_int_equal(lease_store_commit(store, &fault), 0);
	assert_int_equal(disk.writes, 2);
}

static void
test_the_files_stay_small(void **s)
{
	(void)s;
	lease_store_set_sync(store, LEASE_STORE_OFF);
	for (int round = 0; round < 3; round++) {
		lease_store_begin(store);
		for (uint64_t id = 1; id <= 10000; id++) {
			const struct lease_record r = some_record(id);

			lease_store_put(store, &r, &stamp);
		}
		assert_int_equal(lease_store_commit(store, &fault), 0);
		for (uint64_t id = 1; id <= 10000; id += 50) {
			lease_store_begin(store);
			for (uint64_t i = id; i < id + 50; i++)
				lease_store_drop(store, i);
			assert_int_equal(lease_store_commit(store, &fault), 0);
			lease_store_tidy(store);
		}
	}
	assert_true(disk_size(FILE_NAME "-wal") <= 4 << 20);
	lease_store_free(store);
	assert_true(disk_size(FILE_NAME) < 512 << 10);
	store = open_in(disk.folder, "");
}

/* Neither waits for somebody at its other end. */
static void
test_what_is_no_file_is_refused(void **s)
{
	static const char *const names[] = {FILE_NAME, FILE_NAME "-wal"};
	char moved[LEASE_STORE_NAME_SIZE];

	(void)s;
	assert_int_equal(put(1), 0);
	lease_store_free(store);
	store = lease_store_new(disk.folder, LEASE_STORE_FULL);
	assert_int_equal(rename(disk_file(FILE_NAME), disk_file("kept")), 0);
	for (size_t i = 0; i < 2; i++) {
		unlink(disk_file(names[i]));
		assert_int_equal(mkfifo(disk_file(names[i]), 0600), 0);
		alarm(60);
		assert_int_equal(lease_store_open(store, moved, &fault), -EINVAL);
		alarm(0);
		assert_non_null(strstr(fault.text, "no regular file"));
		assert_int_equal(unlink(disk_file(names[i])), 0);
		assert_int_equal(mkdir(disk_file(names[i]), 0700), 0);
		assert_int_equal(lease_store_open(store, moved, &fault), -EISDIR);
		assert_int_equal(rmdir(disk_file(names[i])), 0);
	}
	assert_int_equal(rename(disk_file("kept"), disk_file(FILE_NAME)), 0);
	assert_int_equal(lease_store_open(store, moved, &fault), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(test_all_of_a_lease_and_the_state_come_back),
	    TEST(test_the_latest_stamp_counts),
	    TEST(test_dropped_is_gone_and_uncommitted_never_was),
	    TEST(test_rows_that_make_no_sense_are_told_of),
	    TEST(test_a_newer_schema_is_refused_and_left_alone),
	    TEST(test_what_can_only_be_read_is_read),
	    TEST(test_a_ruined_file_is_moved_aside),
	    TEST(test_a_ruined_head_is_moved_aside),
	    TEST(test_a_file_without_our_tables_is_moved_aside),
	    TEST(test_a_full_disk),
	    TEST(test_a_file_that_is_taken_away_is_noticed),
	    TEST(test_no_folder),
	    TEST(test_what_is_no_file_is_refused),
	    TEST(test_killed_after_any_write),
	    TEST(test_the_power_fails_at_any_write),
	    TEST(test_only_a_long_log_goes_back_into_the_file),
	    TEST(test_a_disk_that_fails_as_the_log_goes_back),
	    TEST(test_what_a_commit_syncs),
	    TEST(test_writes_are_few),
	    TEST(test_the_files_stay_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
