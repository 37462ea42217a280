/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"

#define UUID_FILE    "uuid"
#define BOOT_ID_FILE "bootid"
#define TEMPORARY    "new"
enum { TEXT_SIZE = 64 }; /* of either file, with NUL */

/* The file's first line; false: none is there. */
static bool
read_line(const struct identity *id, const char *name, char text[TEXT_SIZE])
{
	int fd = openat(id->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t length = fd < 0 ? -1 : read(fd, text, TEXT_SIZE - 1);

	if (length < 0 && errno != ENOENT)
		log_warning("identity", "not read", "file=%s error=\"%s\"", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return length > 0;
}

/* The old or the new line is there at any time, after a loss of power too. */
static void
write_line(const struct identity *id, const char *name, const char *text)
{
	char line[TEXT_SIZE];
	int length = snprintf(line, sizeof(line), "%s\n", text);
	int fd = openat(id->directory, TEMPORARY,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool written = fd >= 0 && write(fd, line, (size_t)length) == length && fsync(fd) == 0 &&
		       renameat(id->directory, TEMPORARY, id->directory, name) == 0 &&
		       fsync(id->directory) == 0;

	if (!written)
		log_warning("identity", "not kept", "file=%s error=\"%s\"", name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static bool
is_uuid(const char *text)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < sizeof(shape); i++) {
		if (shape[i] != 'x' ? text[i] != shape[i]
				    : !text[i] || !strchr("0123456789abcdef", text[i]))
			return false;
	}
	return true;
}

/* A random one (RFC 9562, 5.4). */
static void
make_uuid(char out[IDENTITY_UUID_SIZE])
{
	uint8_t b[16];

	arc4random_buf(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(out, IDENTITY_UUID_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

static void
find_uuid(struct identity *id, const char *configured)
{
	char text[TEXT_SIZE];

	if (configured[0]) {
		snprintf(id->uuid, sizeof(id->uuid), "%s", configured);
	} else if (read_line(id, UUID_FILE, text) && is_uuid(text)) {
		memcpy(id->uuid, text, sizeof(id->uuid));
	} else {
		if (faccessat(id->directory, UUID_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			log_warning("identity", "made anew",
				    "file=" UUID_FILE " hint=\"UPnP clients take this gateway for "
				    "another\"");
		make_uuid(id->uuid);
		write_line(id, UUID_FILE, id->uuid);
	}
}

static void
find_boot_id(struct identity *id)
{
	char text[TEXT_SIZE], *end;
	unsigned long long value;

	id->boot_id = 0;
	if (!read_line(id, BOOT_ID_FILE, text))
		return;
	value = strtoull(text, &end, 10);
	if (*end == '\0' && text[0] >= '0' && text[0] <= '9' && value <= INT32_MAX)
		id->boot_id = (uint32_t)value;
}

void
identity_open(struct identity *id, const char *directory, const char *uuid)
{
	id->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (id->directory < 0)
		log_warning("identity", "not kept", "directory=%s error=\"%s\"", directory,
			    strerror(errno));
	find_uuid(id, uuid);
	find_boot_id(id);
}

void
identity_close(struct identity *id)
{
	if (id->directory >= 0)
		close(id->directory);
}

uint32_t
identity_next_boot_id(struct identity *id, int64_t now)
{
	char text[TEXT_SIZE];

	/* At the end of the numbers there is nothing to do but to begin again. */
	id->boot_id = id->boot_id < INT32_MAX ? id->boot_id + 1 : 1;
	if (now > id->boot_id && now <= INT32_MAX)
		id->boot_id = (uint32_t)now;
	snprintf(text, sizeof(text), "%u", id->boot_id);
	write_line(id, BOOT_ID_FILE, text);
	return id->boot_id;
}
