/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the parent's children: what each finds open, who it is, what it may use.  Waits for none.
 */
#ifndef PORTLEASE_CHILD_H
#define PORTLEASE_CHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "../base/parent_link.h"
#include "../base/sandbox.h"

/* This program in the core's role; descriptors in the order of parent_link.h.  path: what the
 * configuration's file is called.  Its pid or -errno. */
pid_t child_start_core(const int fd[CORE_FDS_END - CORE_LINK], const char *path);

struct child_worker {
	int program;	/* an O_PATH descriptor */
	int link;	/* its end; it finds it as 3 */
	int null;	/* /dev/null */
	uint32_t files; /* how many it may have open */
	struct sandbox_user user;
	const char *interface;
};
/* Its pid or -errno; what fails later the child logs, and ends. */
pid_t child_start_worker(const struct child_worker *);

/* portleased-upnp beside this program, else installed: an O_PATH descriptor, -1: neither is there.
 */
int child_find_worker(void);

#endif
