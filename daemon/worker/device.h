/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this worker shows the LAN it serves: the device, its LAN's addresses and the state of the
 * WAN, as the core last told them.  Owns no socket.
 */
#ifndef PORTLEASE_DEVICE_H
#define PORTLEASE_DEVICE_H

#include "../../protocols/igd_answer.h"
#include "../../protocols/igd_description.h"
#include "../../protocols/ssdp.h"
#include "../../protocols/worker_link.h"

enum { DEVICE_LOCATION_SIZE = 96 };

struct device {
	struct link_setup setup;
	struct link_lan lan;
	struct link_state state;
	char server[96]; /* the header of that name */
};

void device_set_up(struct device *, const struct link_setup *);

bool device_serves(const struct device *, enum igd_view);
/* One of its LAN's addresses, which are the only ones it is called by. */
bool device_is_ours(const struct device *, const struct address *);
/* Anybody on its LAN, but itself. */
bool device_is_client(const struct device *, const struct address *);

bool device_is_link_local(const struct address *); /* of IPv6 */

/* The address of ours that is in one prefix with a client; NULL: it is not on the LAN. */
const struct address *device_nearest(const struct device *, const struct address *client);

void device_identity(const struct device *, struct igd_identity *out);
/* All that does not need the core. */
void device_values(const struct device *, const struct link_state *, monotime now,
		   struct igd_values *out);
void device_ssdp(const struct device *, struct ssdp_device *out);
/* URL of a description at one of its addresses. */
void device_location(const struct device *, const struct address *, enum igd_view,
		     char out[DEVICE_LOCATION_SIZE]);

#endif
