/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is told what changed, and the telling.  Owns the connections to subscribers. */
#ifndef PORTLEASE_EVENTS_H
#define PORTLEASE_EVENTS_H

#include "device.h"
#include "../../protocols/gena.h"

struct event_base;
struct events;

struct events *events_new(struct event_base *, const struct device *); /* NULL: see errno */
void events_free(struct events *);				       /* NULL is allowed */

/* What a SUBSCRIBE or UNSUBSCRIBE at the event URL of a service is answered with. */
enum gena_status events_subscribe(struct events *, const struct igd_path *, struct gena_request *,
				  struct gena_grant *out);
enum gena_status events_unsubscribe(struct events *, const struct igd_path *,
				    struct gena_request *);
/* The answer that granted a subscription has left. */
void events_confirm(void *events, uint32_t id);

/* The device's state is another one than it was. */
void events_changed(struct events *, const struct link_state *before);

struct events_counts {
	uint64_t subscriptions, delivered, failed;
};
struct events_counts events_counts(const struct events *);

#endif
