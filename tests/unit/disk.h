/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder for a journal, on a disk that counts its writes, remembers what was synced, and may
 * fail. */
#ifndef PORTLEASE_TESTS_DISK_H
#define PORTLEASE_TESTS_DISK_H

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DISK_FILES = 8, DISK_PATH = 256 };

struct disk {
	char folder[DISK_PATH];
	unsigned writes;
	unsigned syncs;
	int fails; /* SQLITE_FULL …: each write from here on */
	/* After each write that reached the disk. */
	void (*wrote)(void);
	sqlite3_vfs vfs, *real;
	struct disk_open {
		sqlite3_file *file;
		const sqlite3_io_methods *methods;
		sqlite3_io_methods own;
		char path[DISK_PATH];
	} open[DISK_FILES];
};

static struct disk disk;

static inline bool
disk_copy(const char *from, const char *to)
{
	char block[4096];
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n = 0;

	if (in < 0)
		return unlink(to) == 0;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	while (out >= 0 && (n = read(in, block, sizeof(block))) > 0)
		if (write(out, block, (size_t)n) != n)
			n = -1;
	close(in);
	if (out >= 0)
		close(out);
	return out >= 0 && n == 0;
}

static inline struct disk_open *
disk_opened(const sqlite3_file *file)
{
	for (int i = 0; i < DISK_FILES; i++)
		if (disk.open[i].file == file)
			return &disk.open[i];
	abort();
}

static inline int
disk_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
	int code =
	    disk.fails ? disk.fails : disk_opened(file)->methods->xWrite(file, data, size, at);

	disk.writes++;
	if (code == SQLITE_OK && disk.wrote)
		disk.wrote();
	return code;
}

/* What a loss of power would leave of that file, at worst. */
static inline int
disk_sync(sqlite3_file *file, int flags)
{
	const struct disk_open *opened = disk_opened(file);
	int code = disk.fails ? disk.fails : opened->methods->xSync(file, flags);
	char synced[DISK_PATH + 16];

	disk.syncs++;
	if (code == SQLITE_OK) {
		snprintf(synced, sizeof(synced), "%s.synced", opened->path);
		disk_copy(opened->path, synced);
	}
	return code;
}

static inline int
disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
	int code = disk.real->xOpen(disk.real, path, file, flags, out), i = 0;

	(void)vfs;
	if (code != SQLITE_OK || !file->pMethods || !path)
		return code;
	while (i < DISK_FILES - 1 && disk.open[i].file && disk.open[i].file != file &&
	       strcmp(disk.open[i].path, path) != 0)
		i++;
	disk.open[i].file = file;
	disk.open[i].methods = file->pMethods;
	disk.open[i].own = *file->pMethods;
	disk.open[i].own.xWrite = disk_write;
	disk.open[i].own.xSync = disk_sync;
	snprintf(disk.open[i].path, sizeof(disk.open[i].path), "%s", path);
	file->pMethods = &disk.open[i].own;
	return code;
}

static inline int
disk_set_up(void **state)
{
	static bool registered;

	(void)state;
	if (!registered) {
		disk.real = sqlite3_vfs_find(NULL);
		disk.vfs = *disk.real;
		disk.vfs.zName = "counted";
		disk.vfs.pNext = NULL;
		disk.vfs.xOpen = disk_open;
		registered = sqlite3_vfs_register(&disk.vfs, 1) == SQLITE_OK;
	}
	memset(disk.open, 0, sizeof(disk.open));
	disk.writes = disk.syncs = 0;
	disk.fails = 0;
	disk.wrote = NULL;
	strcpy(disk.folder, "/tmp/portlease-test-journal-XXXXXX");
	return registered && mkdtemp(disk.folder) ? 0 : -1;
}

static inline const char *
disk_file(const char *name)
{
	static char path[4][DISK_PATH + 64];
	static int next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[next]), "%s/%s", disk.folder, name);
	return path[next];
}

/* Of files and empty folders. */
static inline void
disk_empty(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	if (dir)
		closedir(dir);
}

static inline int
disk_tear_down(void **state)
{
	(void)state;
	disk_empty(disk.folder);
	return rmdir(disk.folder);
}

static inline long
disk_size(const char *name)
{
	struct stat status;

	return stat(disk_file(name), &status) == 0 ? (long)status.st_size : -1;
}

#endif
