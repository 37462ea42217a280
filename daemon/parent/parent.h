/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process with the privileges that the others need to be made.  Starts the core and, when the
 * core asks, a worker for a LAN; starts the core again when it crashes.  Reads nothing but the
 * core's messages of fixed size.
 */
#ifndef PORTLEASE_PARENT_H
#define PORTLEASE_PARENT_H

#include "../base/config.h"

struct parent_options {
	const struct config *config; /* borrowed; of users and, at first, of the log */
	const char *path;	     /* of its file */
	int control;		     /* the listening control socket, made for the core */
	int lock;		     /* of the instance */
};

/* Runs until it is told to stop, or the core ends by itself; the exit status.  Calls fatal() until
 * the core is started. */
int parent_run(const struct parent_options *);

#endif
