/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What UPnP clients are told of the port mapping table and the counters; changes nothing. */
#ifndef PORTLEASE_UPNP_READ_H
#define PORTLEASE_UPNP_READ_H

#include "../core/engine.h"
#include "../../backend/network.h"
#include "../../protocols/worker_link.h"

struct upnp_reader {
	const struct engine *engine;
	bool others;   /* others' mappings may be read, too */
	unsigned work; /* leases looked at so far; the caller's to set back */
	/* The WAN's; false: not to be had. */
	bool (*counters)(void *arg, struct network_counters *);
	void *arg;
};

struct upnp_question {
	const struct link_call *call;
	const char *connection_udn; /* of the device that was asked */
	monotime now;
};

/* False: that action is none of these. */
bool upnp_reads(enum igd_action);
/* Fills an ANSWER or ENTRIES. */
void upnp_read(struct upnp_reader *, const struct upnp_question *, struct link_message *out);

#endif
