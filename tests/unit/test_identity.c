/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The uuid stays, the BOOTID rises: over restarts, clocks that step, and files that are ruined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../daemon/base/log.h"
#include "../../daemon/frontends/identity.h"

#define NOW 1780000000

static char folder[64];
static char warned[64]; /* the last event */

/* Instead of the real one. */
void
log_warning(const char *topic, const char *event, const char *format, ...)
{
	(void)format;
	assert_string_equal(topic, "identity");
	snprintf(warned, sizeof(warned), "%s", event);
}

static int
make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/portlease-test-identity-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static const char *
path_of(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int
drop_folder(void **state)
{
	(void)state;
	static const char *const names[] = {"uuid", "bootid", "new"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (unlink(path_of(names[i])) < 0)
			rmdir(path_of(names[i]));
	}
	return rmdir(folder);
}

static void
put(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static const char *
get(const char *name)
{
	static char text[256];
	FILE *file = fopen(path_of(name), "r");
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

static unsigned
files(void)
{
	unsigned count = 0;
	DIR *directory = opendir(folder);
	assert_non_null(directory);
	for (const struct dirent *e; (e = readdir(directory));)
		count += e->d_name[0] != '.';
	closedir(directory);
	return count;
}

static void
open_uuid(char out[IDENTITY_UUID_SIZE], const char *configured)
{
	struct identity id;
	identity_open(&id, folder, configured);
	memcpy(out, id.uuid, IDENTITY_UUID_SIZE);
	identity_close(&id);
}

static uint32_t
next_boot_id(int64_t now)
{
	struct identity id;
	identity_open(&id, folder, "");
	uint32_t next = identity_next_boot_id(&id, now);
	identity_close(&id);
	return next;
}

static void
test_uuid_is_random_and_kept(void **state)
{
	char first[IDENTITY_UUID_SIZE], again[IDENTITY_UUID_SIZE], line[64];
	warned[0] = '\0';
	open_uuid(first, "");
	assert_string_equal(warned, "");
	assert_int_equal(strlen(first), 36);
	assert_int_equal(first[14], '4');
	assert_non_null(strchr("89ab", first[19]));
	snprintf(line, sizeof(line), "%s\n", first);
	assert_string_equal(get("uuid"), line);
	assert_int_equal(files(), 1);
	open_uuid(again, "");
	assert_string_equal(again, first);

	assert_int_equal(drop_folder(state), 0);
	assert_int_equal(make_folder(state), 0);
	open_uuid(again, "");
	assert_string_not_equal(again, first);
}

static void
test_configured_uuid_counts_and_is_not_kept(void **state)
{
	(void)state;
	char kept[IDENTITY_UUID_SIZE], uuid[IDENTITY_UUID_SIZE];
	open_uuid(uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_string_equal(uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_int_equal(files(), 0);
	open_uuid(kept, "");
	open_uuid(uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_string_equal(uuid, "01234567-89ab-cdef-0123-456789abcdef");
	open_uuid(uuid, "");
	assert_string_equal(uuid, kept);
}

static void
test_ruined_uuid_is_made_anew(void **state)
{
	(void)state;
	static const char *const ruins[] = {
	    "",
	    "\n",
	    "01234567-89ab-cdef-0123-456789abcde\n",
	    "01234567-89ab-cdef-0123-456789abcdef0\n",
	    "01234567-89ab-cdef-0123-456789abcdeg\n",
	    "01234567-89AB-CDEF-0123-456789ABCDEF\n",
	    "0123456789abcdef0123456789abcdef0123\n",
	    "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n",
	};
	char uuid[IDENTITY_UUID_SIZE], again[IDENTITY_UUID_SIZE];
	put("uuid", "01234567-89ab-cdef-0123-456789abcdef\n");
	open_uuid(uuid, "");
	assert_string_equal(uuid, "01234567-89ab-cdef-0123-456789abcdef");
	for (size_t i = 0; i < sizeof(ruins) / sizeof(*ruins); i++) {
		put("uuid", ruins[i]);
		warned[0] = '\0';
		open_uuid(uuid, "");
		assert_string_equal(warned, "made anew");
		assert_int_equal(uuid[14], '4');
		warned[0] = '\0';
		open_uuid(again, "");
		assert_string_equal(again, uuid);
		assert_string_equal(warned, "");
	}
}

static void
test_boot_id_rises_with_any_clock(void **state)
{
	(void)state;
	assert_int_equal(next_boot_id(NOW), NOW);
	assert_string_equal(get("bootid"), "1780000000\n");
	assert_int_equal(next_boot_id(NOW), NOW + 1);
	assert_int_equal(next_boot_id(0), NOW + 2); /* no clock yet */
	assert_int_equal(next_boot_id(NOW + 100), NOW + 100);
	assert_int_equal(next_boot_id(INT64_MAX), NOW + 101); /* of a clock gone mad */
	assert_int_equal(next_boot_id(-1), NOW + 102);
}

static void
test_boot_id_rises_within_one_life(void **state)
{
	(void)state;
	struct identity id;
	identity_open(&id, folder, "");
	assert_int_equal(identity_next_boot_id(&id, NOW), NOW);
	assert_int_equal(identity_next_boot_id(&id, NOW), NOW + 1);
	assert_int_equal(identity_next_boot_id(&id, NOW), NOW + 2);
	identity_close(&id);
	assert_int_equal(next_boot_id(NOW), NOW + 3);
}

static void
test_ruined_boot_id(void **state)
{
	(void)state;
	static const char *const ruins[] = {"",
					    "\n",
					    "-1\n",
					    "x\n",
					    "12x\n",
					    " 12\n",
					    "+3\n",
					    "2147483648\n",
					    "99999999999999999999\n",
					    "4294967301\n"};
	for (size_t i = 0; i < sizeof(ruins) / sizeof(*ruins); i++) {
		put("bootid", ruins[i]);
		assert_int_equal(next_boot_id(0), 1);
	}
	put("bootid", "2147483646\n");
	assert_int_equal(next_boot_id(NOW), 2147483647);
	assert_int_equal(next_boot_id(0), 1); /* 31 bits are used up */
}

/* What was left over of a write that a loss of power ended. */
static void
test_half_written_file_is_not_taken(void **state)
{
	(void)state;
	char uuid[IDENTITY_UUID_SIZE], again[IDENTITY_UUID_SIZE];
	open_uuid(uuid, "");
	assert_int_equal(next_boot_id(NOW), NOW);
	put("new", "01234567-89ab");
	open_uuid(again, "");
	assert_string_equal(again, uuid);
	assert_int_equal(next_boot_id(NOW), NOW + 1);
	assert_int_equal(files(), 2);
}

/* Neither is needed to serve. */
static void
test_without_a_place_to_keep_it(void **state)
{
	(void)state;
	struct identity id;
	identity_open(&id, path_of("none"), "");
	assert_int_equal(strlen(id.uuid), 36);
	assert_int_equal(identity_next_boot_id(&id, NOW), NOW);
	assert_int_equal(identity_next_boot_id(&id, NOW), NOW + 1);
	identity_close(&id);

	assert_int_equal(mkdir(path_of("new"), 0700), 0);
	identity_open(&id, folder, "");
	assert_int_equal(identity_next_boot_id(&id, NOW), NOW);
	assert_int_equal(identity_next_boot_id(&id, NOW), NOW + 1);
	identity_close(&id);
	assert_int_equal(files(), 1);
}

/* A link put there by who can write there leads nowhere. */
static void
test_links_are_not_followed(void **state)
{
	(void)state;
	char uuid[IDENTITY_UUID_SIZE];
	char target[128];
	snprintf(target, sizeof(target), "%s/bootid", folder);
	put("bootid", "01234567-89ab-cdef-0123-456789abcdef\n");
	assert_int_equal(symlink(target, path_of("uuid")), 0);
	open_uuid(uuid, "");
	assert_int_equal(uuid[14], '4');
	assert_string_equal(get("bootid"), "01234567-89ab-cdef-0123-456789abcdef\n");
	open_uuid(uuid, "");
	assert_int_equal(strlen(get("uuid")), 37);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_FOLDER(test_uuid_is_random_and_kept),
	    IN_FOLDER(test_configured_uuid_counts_and_is_not_kept),
	    IN_FOLDER(test_ruined_uuid_is_made_anew),
	    IN_FOLDER(test_boot_id_rises_with_any_clock),
	    IN_FOLDER(test_boot_id_rises_within_one_life),
	    IN_FOLDER(test_ruined_boot_id),
	    IN_FOLDER(test_half_written_file_is_not_taken),
	    IN_FOLDER(test_without_a_place_to_keep_it),
	    IN_FOLDER(test_links_are_not_followed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
