/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SSDP on one interface: announces the device, answers searches.  Owns the sockets of port 1900. */
#ifndef PORTLEASE_DISCOVERY_H
#define PORTLEASE_DISCOVERY_H

#include "device.h"

struct event_base;
struct discovery;

struct discovery *discovery_new(struct event_base *, const struct device *); /* NULL: see errno */
/* Says byebye first. */
void discovery_free(struct discovery *); /* NULL is allowed */

/*
 * The device's LAN is another one than it was; before: NULL for the first.  Returns 0 or -errno,
 * then it is deaf and mute until the next.
 */
int discovery_lan(struct discovery *, const struct link_lan *before);

/* Says it again now: what the device offers is another one. */
void discovery_announce(struct discovery *);

struct discovery_counts {
	uint64_t searches, replied, limited;
};
struct discovery_counts discovery_counts(const struct discovery *);

#endif
