/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IGD calls as the shared nouns, results as UPnP's errors.  Knows no XML, so that the core may use
 * it.  Pure.
 */
#ifndef PORTLEASE_IGD_MAPPING_H
#define PORTLEASE_IGD_MAPPING_H

#include "igd_table.h"
#include "mapping.h"

/* One row of the port mapping table, as a call names it or as it is shown. */
struct igd_entry {
	struct address remote; /* NewRemoteHost; unspecified = any (the empty string) */
	uint16_t external_port;
	enum transport transport;
	struct endpoint internal; /* in calls: no address = the caller's own */
	bool enabled;
	char description[MAPPING_DESCRIPTION_MAX + 1];
	uint32_t lease; /* seconds; in calls 0…IGD_LEASE_MAX, shown MAPPING_LIFETIME_STATIC as 0 */
};

enum { IGD_CONNECTION_SERVICE_SIZE = 128 }; /* with NUL */

/* One call, its arguments checked.  What its action has no argument for is zero. */
struct igd_call {
	enum igd_action action;
	enum igd_view view;	 /* of the URL that was called */
	uint8_t version;	 /* of the service, as the caller named it: its rules count */
	struct igd_entry entry;	 /* external_port: of AddAny and of no other 0 */
	uint16_t index;		 /* NewPortMappingIndex */
	struct port_range ports; /* NewStartPort, NewEndPort: in order */
	bool manage;		 /* NewManage: others' mappings, too */
	uint16_t limit;		 /* NewNumberOfPorts; 0 = all */
	char connection_service[IGD_CONNECTION_SERVICE_SIZE];
};

/*
 * The request that AddPortMapping, AddAnyPortMapping, DeletePortMapping or DeletePortMappingRange
 * makes; false: the call is another.  client: who called.  Sets everything but the asker.
 */
bool igd_to_request(const struct igd_call *, const struct address *client, struct map_request *);

/* What the caller of one of these is told (interworking 3). */
enum igd_error igd_from_result(const struct igd_call *, enum map_result);

/*
 * The answer to Set… and to Request- and ForceTermination: the gateway's connection is not the
 * LAN's to change.
 */
enum igd_error igd_judge_control(const struct igd_call *, bool connected,
				 const char *connection_udn);

#endif
