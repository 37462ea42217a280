/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder for a journal, on a disk that counts its writes, remembers what was synced and what was
 * not, and may fail. */
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

/* A change that no sync has made lasting. */
struct disk_change {
	sqlite3_int64 at;
	int size;
	char *data; /* NULL: the file ends there */
};

struct disk {
	char folder[DISK_PATH];
	unsigned writes;
	unsigned syncs;
	unsigned opens;
	int fails;	      /* SQLITE_FULL …: each write from here on */
	int sync_fails;	      /* likewise each sync, of what was written */
	void (*failed)(void); /* after each that did */
	/* After each write that reached the disk. */
	void (*wrote)(void);
	bool records; /* what is not synced */
	sqlite3_vfs vfs, *real;
	struct disk_open {
		sqlite3_file *file;
		const sqlite3_io_methods *methods;
		sqlite3_io_methods own;
		char path[DISK_PATH];
		struct disk_change *change;
		size_t changes;
		bool deleted;
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

static inline void
disk_record(struct disk_open *to, struct disk_change change, const void *data)
{
	if (!disk.records)
		return;
	to->change = realloc(to->change, (to->changes + 1) * sizeof(change));
	change.data = data ? malloc((size_t)change.size) : NULL;
	if (!to->change || (data && !change.data))
		abort();
	if (data)
		memcpy(change.data, data, (size_t)change.size);
	to->change[to->changes++] = change;
}

static inline void
disk_forget(struct disk_open *of)
{
	for (size_t i = 0; i < of->changes; i++)
		free(of->change[i].data);
	free(of->change);
	of->change = NULL;
	of->changes = 0;
}

static inline int
disk_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
	int code =
	    disk.fails ? disk.fails : disk_opened(file)->methods->xWrite(file, data, size, at);

	disk.writes++;
	if (code == SQLITE_OK)
		disk_record(disk_opened(file), (struct disk_change){at, size, NULL}, data);
	if (code == SQLITE_OK && disk.wrote)
		disk.wrote();
	if (code != SQLITE_OK && disk.failed)
		disk.failed();
	return code;
}

static inline int
disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int code = disk.fails ? disk.fails : disk_opened(file)->methods->xTruncate(file, size);

	if (code == SQLITE_OK)
		disk_record(disk_opened(file), (struct disk_change){size, 0, NULL}, NULL);
	if (code == SQLITE_OK && disk.wrote)
		disk.wrote();
	return code;
}

/* As the first sync of a new file does. */
static inline void
disk_sync_folder(void)
{
	char synced[DISK_PATH + 16];

	for (int i = 0; i < DISK_FILES; i++) {
		if (!disk.open[i].deleted)
			continue;
		snprintf(synced, sizeof(synced), "%s.synced", disk.open[i].path);
		unlink(synced);
		disk_forget(&disk.open[i]);
	}
}

/* Keeps what a loss of power would leave of that file, at least.  The real disk need not be waited
 * for. */
static inline int
disk_sync(sqlite3_file *file, int flags)
{
	struct disk_open *opened = disk_opened(file);
	const int failure = disk.fails ? disk.fails : disk.sync_fails;
	char synced[DISK_PATH + 16];

	(void)flags;
	disk.syncs++;
	if (failure && disk.failed)
		disk.failed();
	if (failure || !disk.records)
		return failure;
	snprintf(synced, sizeof(synced), "%s.synced", opened->path);
	if (access(synced, F_OK) != 0)
		disk_sync_folder();
	disk_copy(opened->path, synced);
	disk_forget(opened);
	if (disk.wrote)
		disk.wrote();
	return SQLITE_OK;
}

/* How much of a change was on the disk when the power failed: 0: nothing, 1: half, 2: all. */
typedef int disk_share_fn(size_t change, size_t changes);

/* Writes what a loss of power leaves of a file now, if anything. */
static inline void
disk_lose_power(const char *path, const char *to, disk_share_fn *share)
{
	const struct disk_open *of = NULL;
	char synced[DISK_PATH + 16];
	int fd;

	snprintf(synced, sizeof(synced), "%s.synced", path);
	disk_copy(synced, to);
	for (int i = 0; i < DISK_FILES; i++)
		if (strcmp(disk.open[i].path, path) == 0)
			of = &disk.open[i];
	for (size_t i = 0; of && i < of->changes; i++) {
		const struct disk_change *c = &of->change[i];
		const int part = share(i, of->changes);

		if (part == 0)
			continue;
		fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || (c->data ? pwrite(fd, c->data, (size_t)(c->size * part / 2), c->at)
				       : ftruncate(fd, c->at)) < 0)
			abort();
		close(fd);
	}
}

static inline int
disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
	int code = disk.real->xOpen(disk.real, path, file, flags, out), i = 0;

	(void)vfs;
	if (code != SQLITE_OK || !file->pMethods || !path)
		return code;
	for (int k = 0; k < DISK_FILES; k++) /* the memory of one that is closed */
		if (disk.open[k].file == file)
			disk.open[k].file = NULL;
	while (i < DISK_FILES - 1 && disk.open[i].path[0] && strcmp(disk.open[i].path, path) != 0)
		i++;
	disk.opens++;
	disk.open[i].file = file;
	disk.open[i].deleted = false;
	disk.open[i].methods = file->pMethods;
	disk.open[i].own = *file->pMethods;
	disk.open[i].own.xWrite = disk_write;
	disk.open[i].own.xSync = disk_sync;
	disk.open[i].own.xTruncate = disk_truncate;
	snprintf(disk.open[i].path, sizeof(disk.open[i].path), "%s", path);
	file->pMethods = &disk.open[i].own;
	return code;
}

/* The folder is not synced: the file may be there again. */
static inline int
disk_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	int code = disk.real->xDelete(disk.real, path, sync);

	(void)vfs;
	for (int i = 0; code == SQLITE_OK && i < DISK_FILES; i++)
		if (strcmp(disk.open[i].path, path) == 0)
			disk.open[i].deleted = true;
	if (code == SQLITE_OK && disk.wrote)
		disk.wrote();
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
		disk.vfs.xDelete = disk_delete;
		registered = sqlite3_vfs_register(&disk.vfs, 1) == SQLITE_OK;
	}
	memset(disk.open, 0, sizeof(disk.open));
	disk.writes = disk.syncs = 0;
	disk.fails = disk.sync_fails = 0;
	disk.wrote = disk.failed = NULL;
	disk.records = false;
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
	for (int i = 0; i < DISK_FILES; i++)
		disk_forget(&disk.open[i]);
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
