/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SQLite in WAL mode, held exclusively: no shared memory, and nobody else writes while we live. */
#include "lease_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash_point.h"

#define FILE_NAME "journal.db"
#define TIME_MAX  (INT64_C(1) << 52)
enum {
	ASIDE_MAX = 1000,
	APPLICATION_ID = 0x706c6a31,
	VERSION_MAX = 9999, /* a schema above is none, but ruin */
	LOG_PAGES = 1024,   /* the log goes back into the file when it has so many */
	VACUUM_PAGES = 256
};

enum statement {
	BEGIN,
	COMMIT,
	PUT,
	DROP,
	DROP_ALL,
	SET_STATE,
	GET_STATE,
	GET_STAMP,
	GET_LEASES,
	FREE_PAGES,
	STATEMENTS
};

struct lease_store {
	char path[PATH_MAX];
	enum lease_store_sync sync;
	sqlite3 *db; /* NULL: not open */
	sqlite3_stmt *statement[STATEMENTS];
	int logged; /* pages in the log */
	bool began;
	int error; /* of the transaction: 0 or -errno */
	struct fault fault;
};

/* From each version of the schema to the next; the first makes it. */
static const char *const migrations[] = {
    "CREATE TABLE lease (id INTEGER PRIMARY KEY, origin INTEGER NOT NULL, transport INTEGER NOT "
    "NULL,"
    " wan INTEGER NOT NULL, disabled INTEGER NOT NULL, companion INTEGER NOT NULL, nonce BLOB,"
    " external_port INTEGER NOT NULL, more_ports INTEGER NOT NULL, internal_address BLOB NOT NULL,"
    " internal_port INTEGER NOT NULL, remote BLOB NOT NULL, remote_length INTEGER NOT NULL,"
    " helper INTEGER NOT NULL, line INTEGER NOT NULL, lifetime INTEGER NOT NULL,"
    " created INTEGER NOT NULL, ends INTEGER NOT NULL, connections INTEGER NOT NULL,"
    " description TEXT, user_agent TEXT, name TEXT, mono INTEGER NOT NULL, wall INTEGER NOT NULL,"
    " lan TEXT NOT NULL) STRICT;"
    "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), last_id INTEGER NOT NULL,"
    " table_changes INTEGER NOT NULL, epoch INTEGER NOT NULL, external BLOB NOT NULL,"
    " boot TEXT NOT NULL, mono INTEGER NOT NULL, wall INTEGER NOT NULL) STRICT;",
};
enum { SCHEMA = sizeof(migrations) / sizeof(migrations[0]) };

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [PUT] =
	("INSERT OR REPLACE INTO lease VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
	 " ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)"),
    [DROP] = "DELETE FROM lease WHERE id = ?1",
    [DROP_ALL] = "DELETE FROM lease",
    [SET_STATE] = "INSERT OR REPLACE INTO state VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [GET_STATE] = "SELECT last_id, table_changes, epoch, external, boot, mono, wall FROM state",
    [GET_STAMP] = "SELECT max(mono), wall FROM lease", /* the wall of that same row */
    [GET_LEASES] = "SELECT * FROM lease ORDER BY id",
    [FREE_PAGES] = "PRAGMA freelist_count",
};

static int
errno_of(const struct lease_store *s, int code)
{
	int system = s->db ? sqlite3_system_errno(s->db) : 0;

	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_READONLY:
		return EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* our statements are right: what they name is not in the file */
		return EBADMSG;
	case SQLITE_BUSY:
		return EBUSY;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		return system ? system : EIO;
	default:
		return EIO;
	}
}

static int
fail(const struct lease_store *s, int code, struct fault *fault)
{
	return fault_set(fault, errno_of(s, code), "%s: %s", s->path,
			 s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
}

/* Keeps the first failure of a transaction. */
static void
latch(struct lease_store *s, int code)
{
	if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW && !s->error)
		s->error = fail(s, code, &s->fault);
}

struct lease_store *
lease_store_new(const char *directory, enum lease_store_sync sync)
{
	struct lease_store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->sync = sync;
	if ((size_t)snprintf(s->path, sizeof(s->path), "%s/" FILE_NAME, directory) <
	    sizeof(s->path) - LEASE_STORE_NAME_SIZE)
		return s;
	free(s);
	return NULL;
}

static void
close_file(struct lease_store *s)
{
	for (int i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(s->statement[i]);
		s->statement[i] = NULL;
	}
	sqlite3_close(s->db);
	s->db = NULL;
	s->logged = 0;
	s->began = false;
	s->error = 0;
}

void
lease_store_free(struct lease_store *s)
{
	if (!s)
		return;
	close_file(s);
	free(s);
}

static int
execute(struct lease_store *s, const char *text)
{
	return sqlite3_exec(s->db, text, NULL, NULL, NULL);
}

static int
get_number(struct lease_store *s, const char *pragma, int *number)
{
	sqlite3_stmt *get = NULL;
	int code = sqlite3_prepare_v2(s->db, pragma, -1, &get, NULL);

	if (code == SQLITE_OK && (code = sqlite3_step(get)) == SQLITE_ROW) {
		*number = sqlite3_column_int(get, 0);
		code = SQLITE_OK;
	}
	sqlite3_finalize(get);
	return code;
}

/* A number in a file that is not ours is nobody's schema. */
static int
get_version(struct lease_store *s, int *version)
{
	int application = 0;
	int code = get_number(s, "PRAGMA user_version", version);

	if (code == SQLITE_OK)
		code = get_number(s, "PRAGMA application_id", &application);
	if (code == SQLITE_OK && (application != (*version ? APPLICATION_ID : 0) || *version < 0 ||
				  *version > VERSION_MAX))
		code = SQLITE_CORRUPT;
	return code;
}

/* Each step with its number in one transaction: it is done as a whole or not at all. */
static int
migrate(struct lease_store *s, int from)
{
	int code = SQLITE_OK;

	for (int i = from; i < SCHEMA && code == SQLITE_OK; i++) {
		char *text = sqlite3_mprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d;"
					     "PRAGMA application_id = %d",
					     migrations[i], i + 1, (int)APPLICATION_ID);

		code = text ? execute(s, text) : SQLITE_NOMEM;
		crash_point("in-migration");
		if (code == SQLITE_OK)
			code = execute(s, "COMMIT");
		sqlite3_free(text);
	}
	return code;
}

/* Pages in a row are read faster than they are checked: 10 000 leases take some 10 ms. */
static int
check(struct lease_store *s)
{
	sqlite3_stmt *get = NULL;
	int code = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &get, NULL);

	if (code == SQLITE_OK && (code = sqlite3_step(get)) == SQLITE_ROW) {
		const char *said = (const char *)sqlite3_column_text(get, 0);

		code = said && strcmp(said, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
	}
	sqlite3_finalize(get);
	return code;
}

static int
tell_sync(struct lease_store *s)
{
	static const char *const sync[] = {
	    [LEASE_STORE_FULL] = "PRAGMA synchronous = FULL",
	    [LEASE_STORE_NORMAL] = "PRAGMA synchronous = NORMAL",
	    [LEASE_STORE_OFF] = "PRAGMA synchronous = OFF",
	};

	return execute(s, sync[s->sync]);
}

void
lease_store_set_sync(struct lease_store *s, enum lease_store_sync sync)
{
	s->sync = sync;
	if (s->db)
		tell_sync(s);
}

static int
note_log(void *store, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	((struct lease_store *)store)->logged = pages;
	return SQLITE_OK;
}

/*
 * A page is the least that is written, and holds some seven leases: larger ones cost more of the
 * disk for a renewal, smaller ones more calls for a batch.  A log that was once longer than usual
 * is cut; else it keeps its length, since to write over it costs half of what to prolong it does.
 */
static int
set_up(struct lease_store *s)
{
	/* The pages' size and the vacuum's kind before the first table. */
	int code = execute(s, "PRAGMA page_size = 1024; PRAGMA auto_vacuum = INCREMENTAL;"
			      "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 2097152;"
			      "PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY;"
			      "PRAGMA trusted_schema = OFF");

	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL); /* none is ours */
	sqlite3_wal_hook(s->db, note_log, s); /* in the place of automatic checkpoints */
	return code == SQLITE_OK ? tell_sync(s) : code;
}

static int
prepare(struct lease_store *s)
{
	int code = SQLITE_OK;

	for (int i = 0; i < STATEMENTS && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
					  &s->statement[i], NULL);
	return code;
}

/* Anything further away than this is no time that we wrote. */
static bool
is_time(int64_t value)
{
	return value > -TIME_MAX && value < TIME_MAX;
}

static int
check_state(struct lease_store *s)
{
	sqlite3_stmt *state = s->statement[GET_STATE];
	int code = sqlite3_step(state);

	if (code == SQLITE_ROW) {
		int64_t last_id = sqlite3_column_int64(state, 0);
		monotime epoch = sqlite3_column_int64(state, 2);
		monotime mono = sqlite3_column_int64(state, 5);

		if (last_id < 0 || last_id > LEASE_ID_MAX || !is_time(epoch) || !is_time(mono) ||
		    epoch > mono || !is_time(sqlite3_column_int64(state, 6)))
			code = SQLITE_CORRUPT;
	}
	sqlite3_reset(state);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* The path as a URI has it, and how to read what is there without a lock or a new file beside it.
 */
static void
reading_uri(const struct lease_store *s, char *out, size_t size)
{
	char log[PATH_MAX + 8];
	size_t at = (size_t)snprintf(out, size, "file:");

	for (const char *c = s->path; *c && at + 4 < size; c++)
		at +=
		    (size_t)snprintf(out + at, size - at, strchr("%?#", *c) ? "%%%02x" : "%c", *c);
	snprintf(log, sizeof(log), "%s-wal", s->path);
	snprintf(out + at, size - at, "%s",
		 access(log, F_OK) == 0 ? "?vfs=unix-none" : "?immutable=1");
}

/* What is on a disk that takes nothing. */
static int
open_for_reading(struct lease_store *s, struct fault *fault)
{
	char uri[3 * PATH_MAX + 32];
	int version = 0, code;

	reading_uri(s, uri, sizeof(uri));
	sqlite3_close(s->db);
	code = sqlite3_open_v2(uri, &s->db,
			       SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOFOLLOW |
				   SQLITE_OPEN_NOMUTEX,
			       NULL);
	if (code == SQLITE_OK)
		code = execute(s, "PRAGMA locking_mode = EXCLUSIVE");
	if (code == SQLITE_OK)
		code = get_version(s, &version);
	if (code == SQLITE_OK && version != SCHEMA)
		return fault_set(fault, version > SCHEMA ? EPROTONOSUPPORT : EIO,
				 "%s can only be read, and its schema is %d instead of %d", s->path,
				 version, SCHEMA);
	if (code == SQLITE_OK)
		code = check(s);
	if (code == SQLITE_OK)
		code = prepare(s);
	if (code == SQLITE_OK)
		code = check_state(s);
	if (code != SQLITE_OK)
		return fail(s, code, fault);
	return fault_set(fault, EROFS, "%s can only be read", s->path);
}

static int
open_file(struct lease_store *s, struct fault *fault)
{
	const mode_t mask = umask(077); /* nonces are secrets */
	int version = 0;
	int code = sqlite3_open_v2(s->path, &s->db,
				   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				       SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX,
				   NULL);

	umask(mask);
	/* Before anything is read: else there would be a file of shared memory. */
	if (code == SQLITE_OK)
		code = execute(s, "PRAGMA locking_mode = EXCLUSIVE");
	if (code == SQLITE_OK && sqlite3_db_readonly(s->db, "main"))
		return open_for_reading(s, fault);
	if (code == SQLITE_OK)
		code = get_version(s, &version);
	if (code == SQLITE_OK && version > SCHEMA)
		return fault_set(fault, EPROTONOSUPPORT,
				 "%s was written by a newer portlease: its schema is %d, this one "
				 "knows none above %d",
				 s->path, version, SCHEMA);
	if (code == SQLITE_OK)
		code = set_up(s);
	/* It could be written to until its head was read. */
	if (code == SQLITE_READONLY && sqlite3_db_readonly(s->db, "main") == 1)
		code = SQLITE_CORRUPT;
	if (code == SQLITE_OK)
		code = check(s);
	if (code == SQLITE_OK)
		code = migrate(s, version);
	if (code == SQLITE_OK)
		code = prepare(s);
	if (code == SQLITE_OK)
		code = check_state(s);
	return code == SQLITE_OK ? 0 : fail(s, code, fault);
}

/* The write-ahead log belongs to the file. */
static bool
move_aside(const struct lease_store *s, char moved[LEASE_STORE_NAME_SIZE])
{
	char from[PATH_MAX], to[PATH_MAX];
	const int folder = (int)(strlen(s->path) - strlen(FILE_NAME));
	bool done;
	int n = 1;

	do {
		snprintf(moved, LEASE_STORE_NAME_SIZE, FILE_NAME ".ruined.%d", n);
		snprintf(to, sizeof(to), "%.*s%s", folder, s->path, moved);
	} while (access(to, F_OK) == 0 && ++n < ASIDE_MAX);
	done = n < ASIDE_MAX && rename(s->path, to) == 0;
	if (done) {
		snprintf(from, sizeof(from), "%s-wal", s->path);
		snprintf(to, sizeof(to), "%.*s%s-wal", folder, s->path, moved);
		done = rename(from, to) == 0 || errno == ENOENT;
	}
	if (!done)
		moved[0] = '\0';
	return done;
}

/* To open a FIFO is to wait for who reads it. */
static int
refuse_other_than_files(const struct lease_store *s, struct fault *fault)
{
	static const char *const suffix[] = {"", "-wal", "-journal"};
	char path[PATH_MAX + 16];
	struct stat is;

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", s->path, suffix[i]);
		if (lstat(path, &is) == 0 && !S_ISREG(is.st_mode))
			return fault_set(fault, S_ISDIR(is.st_mode) ? EISDIR : EINVAL,
					 "%s is no regular file", path);
	}
	return 0;
}

int
lease_store_open(struct lease_store *s, char moved[LEASE_STORE_NAME_SIZE], struct fault *fault)
{
	int error;

	moved[0] = '\0';
	close_file(s);
	error = refuse_other_than_files(s, fault);
	if (!error)
		error = open_file(s, fault);
	if (error == -EBADMSG) {
		close_file(s);
		if (move_aside(s, moved))
			error = open_file(s, fault);
	}
	if (error && error != -EROFS)
		close_file(s);
	return error;
}

static void
take_address(sqlite3_stmt *row, int column, struct address *out)
{
	if (sqlite3_column_bytes(row, column) == sizeof(out->bytes))
		memcpy(out->bytes, sqlite3_column_blob(row, column), sizeof(out->bytes));
}

int
lease_store_head(struct lease_store *s, struct lease_store_head *out, struct fault *fault)
{
	sqlite3_stmt *state = s->statement[GET_STATE], *stamp = s->statement[GET_STAMP];
	int code;

	*out = (struct lease_store_head){.empty = true};
	if (!s->db)
		return fault_set(fault, EIO, "%s is not open", s->path);
	code = sqlite3_step(state);
	if (code == SQLITE_ROW) {
		out->empty = false;
		out->state.last_id = (uint64_t)sqlite3_column_int64(state, 0);
		out->state.table_changes = (uint64_t)sqlite3_column_int64(state, 1);
		out->state.epoch = sqlite3_column_int64(state, 2);
		take_address(state, 3, &out->state.external);
		snprintf(out->stamp.boot, sizeof(out->stamp.boot), "%s",
			 (const char *)sqlite3_column_text(state, 4));
		out->stamp.mono = sqlite3_column_int64(state, 5);
		out->stamp.wall = sqlite3_column_int64(state, 6);
		code = sqlite3_step(stamp);
	}
	if (code == SQLITE_ROW && sqlite3_column_int64(stamp, 0) > out->stamp.mono &&
	    is_time(sqlite3_column_int64(stamp, 0)) && is_time(sqlite3_column_int64(stamp, 1))) {
		out->stamp.mono = sqlite3_column_int64(stamp, 0);
		out->stamp.wall = sqlite3_column_int64(stamp, 1);
	}
	sqlite3_reset(state);
	sqlite3_reset(stamp);
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : fail(s, code, fault);
}

static bool
fits(const char *text, size_t longest)
{
	return !text || strlen(text) <= longest;
}

static bool
is_transport(int64_t value)
{
	return value == TRANSPORT_TCP || value == TRANSPORT_UDP;
}

/* Reads the columns of GET_LEASES.  False: what is there is no lease. */
static bool
take_row(sqlite3_stmt *row, struct lease_record *r)
{
	int64_t v[24];
	const void *nonce = sqlite3_column_blob(row, 6);

	for (int i = 0; i < 24; i++)
		v[i] = sqlite3_column_int64(row, i);
	*r = (struct lease_record){
	    .id = (uint64_t)v[0],
	    .origin = (enum origin)v[1],
	    .transport = (enum transport)v[2],
	    .wan = (uint8_t)v[3],
	    .disabled = v[4],
	    .companion = v[5],
	    .has_nonce = nonce,
	    .external_port = (uint16_t)v[7],
	    .more_ports = (uint16_t)v[8],
	    .internal.port = (uint16_t)v[10],
	    .remote_length = (uint8_t)v[12],
	    .helper = (enum helper)v[13],
	    .line = (unsigned)v[14],
	    .lifetime = (uint32_t)v[15],
	    .created = v[16],
	    .ends = v[17],
	    .connections = (uint64_t)v[18],
	    .description = (const char *)sqlite3_column_text(row, 19),
	    .user_agent = (const char *)sqlite3_column_text(row, 20),
	    .name = (const char *)sqlite3_column_text(row, 21),
	};
	if (nonce && sqlite3_column_bytes(row, 6) == sizeof(r->nonce.bytes))
		memcpy(r->nonce.bytes, nonce, sizeof(r->nonce.bytes));
	snprintf(r->lan, sizeof(r->lan), "%s", (const char *)sqlite3_column_text(row, 24));
	take_address(row, 9, &r->internal.address);
	take_address(row, 11, &r->remote);
	return v[0] > 0 && v[0] <= LEASE_ID_MAX && v[1] >= 0 && v[1] < ORIGINS &&
	       is_transport(v[2]) && v[7] > 0 && v[8] >= 0 && v[7] + v[8] <= UINT16_MAX &&
	       v[10] > 0 && v[10] <= UINT16_MAX && !address_is_unspecified(&r->internal.address) &&
	       r->remote_length <= 128 && (v[13] == HELPER_NONE || v[13] == HELPER_FTP) &&
	       fits(r->description, MAPPING_DESCRIPTION_MAX) &&
	       fits(r->user_agent, MAPPING_AGENT_MAX) && fits(r->name, FORWARD_NAME_SIZE - 1) &&
	       v[15] >= 0 && v[15] <= UINT32_MAX && is_time(r->created) &&
	       (r->origin == ORIGIN_STATIC ? r->ends == MONOTIME_NEVER : is_time(r->ends)) &&
	       (r->origin == ORIGIN_STATIC) == (r->name != NULL);
}

int
lease_store_load(struct lease_store *s, lease_store_row_fn *row, void *arg, struct fault *fault)
{
	sqlite3_stmt *get = s->statement[GET_LEASES];
	struct lease_record record;
	int code;

	if (!s->db)
		return fault_set(fault, EIO, "%s is not open", s->path);
	while ((code = sqlite3_step(get)) == SQLITE_ROW)
		row(arg, take_row(get, &record) ? &record : NULL);
	sqlite3_reset(get);
	return code == SQLITE_DONE ? 0 : fail(s, code, fault);
}

static void
run(struct lease_store *s, enum statement which)
{
	if (s->error)
		return;
	latch(s, sqlite3_step(s->statement[which]));
	sqlite3_reset(s->statement[which]);
	sqlite3_clear_bindings(s->statement[which]);
}

void
lease_store_begin(struct lease_store *s)
{
	s->error = 0;
	s->began = true;
	if (!s->db)
		s->error = fault_set(&s->fault, EIO, "%s is not open", s->path);
	run(s, BEGIN);
}

static void
bind_text(sqlite3_stmt *to, int column, const char *text)
{
	if (text)
		sqlite3_bind_text(to, column, text, -1, SQLITE_STATIC);
}

static void
bind_address(sqlite3_stmt *to, int column, const struct address *address)
{
	sqlite3_bind_blob(to, column, address->bytes, sizeof(address->bytes), SQLITE_STATIC);
}

void
lease_store_put(struct lease_store *s, const struct lease_record *r,
		const struct lease_store_stamp *now)
{
	sqlite3_stmt *put = s->statement[PUT];
	const struct {
		int column;
		int64_t value;
	} numbers[] = {
	    {1, (int64_t)r->id},    {2, r->origin},
	    {3, r->transport},	    {4, r->wan},
	    {5, r->disabled},	    {6, r->companion},
	    {8, r->external_port},  {9, r->more_ports},
	    {11, r->internal.port}, {13, r->remote_length},
	    {14, r->helper},	    {15, r->line},
	    {16, r->lifetime},	    {17, r->created},
	    {18, r->ends},	    {19, (int64_t)r->connections},
	    {23, now->mono},	    {24, now->wall},
	};

	if (s->error)
		return;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sqlite3_bind_int64(put, numbers[i].column, numbers[i].value);
	if (r->has_nonce)
		sqlite3_bind_blob(put, 7, r->nonce.bytes, sizeof(r->nonce.bytes), SQLITE_STATIC);
	bind_address(put, 10, &r->internal.address);
	bind_address(put, 12, &r->remote);
	bind_text(put, 20, r->description);
	bind_text(put, 21, r->user_agent);
	bind_text(put, 22, r->name);
	bind_text(put, 25, r->lan);
	run(s, PUT);
}

void
lease_store_drop(struct lease_store *s, uint64_t id)
{
	if (s->error)
		return;
	sqlite3_bind_int64(s->statement[DROP], 1, (int64_t)id);
	run(s, DROP);
}

void
lease_store_drop_all(struct lease_store *s)
{
	run(s, DROP_ALL);
}

void
lease_store_set_state(struct lease_store *s, const struct lease_store_state *state,
		      const struct lease_store_stamp *now)
{
	sqlite3_stmt *set = s->statement[SET_STATE];

	if (s->error)
		return;
	sqlite3_bind_int64(set, 1, (int64_t)state->last_id);
	sqlite3_bind_int64(set, 2, (int64_t)state->table_changes);
	sqlite3_bind_int64(set, 3, state->epoch);
	bind_address(set, 4, &state->external);
	bind_text(set, 5, now->boot);
	sqlite3_bind_int64(set, 6, now->mono);
	sqlite3_bind_int64(set, 7, now->wall);
	run(s, SET_STATE);
}

/* Somebody put another file, or none, in its place: what we write is lost to the next start. */
static bool
was_taken_away(struct lease_store *s)
{
	int moved = 0;

	return sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
	       moved;
}

int
lease_store_commit(struct lease_store *s, struct fault *fault)
{
	int error;

	if (!s->began)
		return 0;
	if (!s->error && was_taken_away(s))
		s->error = fault_set(&s->fault, ENOENT, "%s was moved or removed", s->path);
	run(s, COMMIT);
	error = s->error;
	if (error && fault)
		*fault = s->fault;
	if (s->db && !sqlite3_get_autocommit(s->db))
		execute(s, "ROLLBACK");
	s->began = false;
	s->error = 0;
	return error;
}

/* What many leases left behind. */
static void
vacuum(struct lease_store *s)
{
	sqlite3_stmt *free_pages = s->statement[FREE_PAGES];
	bool many = sqlite3_step(free_pages) == SQLITE_ROW &&
		    sqlite3_column_int(free_pages, 0) > VACUUM_PAGES;

	sqlite3_reset(free_pages);
	if (many)
		execute(s, "PRAGMA incremental_vacuum(1024)");
}

/* If it fails, all is still in the log, and it is tried again after the next commit. */
void
lease_store_tidy(struct lease_store *s)
{
	if (!s->db || s->began || s->logged < LOG_PAGES)
		return;
	vacuum(s);
	s->logged = 0;
	sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}
