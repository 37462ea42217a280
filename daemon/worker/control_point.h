/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a control point gets over HTTP: descriptions, actions, subscriptions.  Answers what it can
 * and asks the core for the rest.
 */
#ifndef PORTLEASE_CONTROL_POINT_H
#define PORTLEASE_CONTROL_POINT_H

#include "core_client.h"
#include "device.h"
#include "events.h"
#include "http_server.h"

struct control_point {
	const struct device *device;
	struct core_client *core;
	struct events *events;
	size_t lists; /* octets of lists that are made or on their way */
};

/* The handler of an http_server; who is a control_point. */
void control_point_handle(void *who, struct http_exchange *);

/* Of clients that stumble over the second version of the device, by their User-Agent (NULL: it has
 * none). */
bool control_point_knows_only_view_1(const char *user_agent);

#endif
