/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of what is shipped: writes the name of each point passed into the file
 * PORTLEASE_CRASH_LOG, while there is one.  PORTLEASE_CRASH_AT=NAME[:N] ends the process where that
 * file gets its Nth line of that name (else the first), whichever process wrote those before: it
 * happens once.
 */
#include "../../backend/crash_point.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned
count_lines(const char *path, const char *line)
{
	FILE *file = fopen(path, "re");
	char text[128];
	unsigned count = 0;

	while (file && fgets(text, sizeof(text), file))
		count += strcmp(text, line) == 0;
	if (file)
		fclose(file);
	return count;
}

void
crash_point(const char *name)
{
	const char *path = getenv("PORTLEASE_CRASH_LOG"), *at = getenv("PORTLEASE_CRASH_AT");
	const size_t length = strlen(name);
	char line[128];
	const int size = snprintf(line, sizeof(line), "%s\n", name);
	const int fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	if (write(fd, line, (size_t)size) != size)
		abort();
	close(fd);
	if (!at || strncmp(at, name, length) != 0 || (at[length] && at[length] != ':'))
		return;
	if (count_lines(path, line) == (at[length] ? strtoul(at + length + 1, NULL, 10) : 1))
		raise(SIGKILL);
}
