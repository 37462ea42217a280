/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core process: its start order, its stop order, its front ends; nothing else. */
#ifndef PORTLEASE_SERVE_H
#define PORTLEASE_SERVE_H

/* With the descriptors of base/parent_link.h; config: what its file is called.  Until it is told to
 * stop; the exit status. */
int serve(const char *config);

#endif
