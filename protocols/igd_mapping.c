/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clauses are of WANIPConnection:2; which origins a UPnP client may touch is in interworking 2.3
 * and 2.5. */
#include "igd_mapping.h"

#include <string.h>

bool
igd_to_request(const struct igd_call *call, const struct address *client,
	       struct map_request *request)
{
	const struct igd_entry *entry = &call->entry;

	*request = (struct map_request){
	    .kind = REQUEST_MAP,
	    .origin = ORIGIN_UPNP,
	    .transport = entry->transport,
	    .client = *client,
	    .internal = entry->internal,
	    .external_port = entry->external_port,
	    .by_external = true,
	    .remote = entry->remote,
	};
	if (address_is_unspecified(&entry->internal.address))
		request->internal.address = *client;
	switch (call->action) {
	case IGD_AddPortMapping:
		request->if_taken = IF_TAKEN_REPLACE_OWN;
		break;
	case IGD_AddAnyPortMapping:
		request->if_taken = IF_TAKEN_OTHER_PORT;
		break;
	case IGD_DeletePortMapping:
	case IGD_DeletePortMappingRange:
		request->kind =
		    call->action == IGD_DeletePortMapping ? REQUEST_DELETE : REQUEST_DELETE_RANGE;
		request->internal = (struct endpoint){.address = *client};
		request->ports = call->ports;
		/* Others' mappings it may not, whatever NewManage says (2.5.19). */
		request->may_delete = ORIGIN_BIT(ORIGIN_UPNP) | ORIGIN_BIT(ORIGIN_NATPMP);
		return true;
	default:
		return false;
	}
	request->may_replace = ORIGIN_BIT(ORIGIN_UPNP);
	request->disabled = !entry->enabled;
	/* 2.5.16: no lease is for ever. */
	request->lifetime = entry->lease ? entry->lease : IGD_LEASE_MAX;
	request->lifetime_max = IGD_LEASE_MAX;
	memcpy(request->description, entry->description, sizeof(request->description));
	return true;
}

/* IGD:1 has neither 606 nor 728 and 729: its clients know 718 for a port they cannot have (RFC
 * 6970 4.3). */
static const struct {
	uint16_t version_1, version_2;
} add_errors[MAP_RESULTS] = {
    [MAP_OK] = {IGD_OK, IGD_OK},
    [MAP_NOT_AUTHORIZED] = {IGD_CONFLICT, IGD_NOT_AUTHORIZED},
    [MAP_PORT_FORBIDDEN] = {IGD_CONFLICT, IGD_NOT_AUTHORIZED},
    [MAP_PORT_TAKEN] = {IGD_CONFLICT, IGD_CONFLICT},
    [MAP_GATEWAY_PORT] = {IGD_CONFLICT, IGD_OTHER_MECHANISM},
    [MAP_NOT_YOURS] = {IGD_CONFLICT, IGD_CONFLICT},
    [MAP_OTHER_MECHANISM] = {IGD_CONFLICT, IGD_OTHER_MECHANISM},
    [MAP_NO_RESOURCES] = {IGD_ACTION_FAILED, IGD_NO_PORT_MAPS},
    [MAP_QUOTA] = {IGD_ACTION_FAILED, IGD_NO_PORT_MAPS},
};

static const uint16_t delete_errors[MAP_RESULTS] = {
    [MAP_NOT_AUTHORIZED] = IGD_NOT_AUTHORIZED, [MAP_PORT_FORBIDDEN] = IGD_NOT_AUTHORIZED,
    [MAP_NOT_YOURS] = IGD_NOT_AUTHORIZED,      [MAP_OTHER_MECHANISM] = IGD_NOT_AUTHORIZED,
    [MAP_NOT_FOUND] = IGD_NO_SUCH_ENTRY,
};

enum igd_error
igd_from_result(const struct igd_call *call, enum map_result result)
{
	enum igd_error error;

	if (result == MAP_OK)
		return IGD_OK;
	if (call->action == IGD_DeletePortMappingRange && result == MAP_NOT_FOUND)
		return IGD_MAPPING_NOT_FOUND;
	if (call->action == IGD_DeletePortMapping || call->action == IGD_DeletePortMappingRange)
		error = (enum igd_error)delete_errors[result];
	else
		error = (enum igd_error)(call->version == 1 ? add_errors[result].version_1
							    : add_errors[result].version_2);
	/* 2.5.17: it was free to choose another port, so there is none. */
	if (call->action == IGD_AddAnyPortMapping && error == IGD_CONFLICT)
		return IGD_NO_PORT_MAPS;
	return error ? error : IGD_ACTION_FAILED;
}

/* "UDN:WANConnectionDevice:VERSION,urn:upnp-org:serviceId:WANIPConn1", ours in either version or
 * none of ours. */
static enum igd_error
judge_connection_service(const char *text, const char *udn)
{
	const char *type = igd_device_row(IGD_WAN_CONNECTION)->type;
	const char *id = strchr(text, ',');
	size_t n = strlen(udn);

	if (strncmp(text, udn, n) != 0 || text[n] != ':' ||
	    strncmp(text + n + 1, type, strlen(type)) != 0)
		return IGD_INVALID_DEVICE;
	if (!id || strncmp(id, ",urn:upnp-org:serviceId:", 24) != 0 ||
	    strcmp(id + 24, igd_service_row(IGD_IP_CONNECTION)->id) != 0)
		return IGD_INVALID_SERVICE;
	return IGD_OK;
}

enum igd_error
igd_judge_control(const struct igd_call *call, bool connected, const char *connection_udn)
{
	switch (call->action) {
	case IGD_SetDefaultConnectionService:
		return judge_connection_service(call->connection_service, connection_udn);
	case IGD_SetConnectionType:
		if (call->version == 1) /* knows no 731 */
			return connected ? IGD_INACTIVE_STATE_REQUIRED : IGD_ACTION_FAILED;
		return IGD_READ_ONLY;
	case IGD_RequestConnection:
		return connected ? IGD_OK : IGD_SETUP_FAILED;
	case IGD_RequestTermination:
	case IGD_ForceTermination:
		if (!connected)
			return IGD_ALREADY_TERMINATED;
		return call->version == 1 ? IGD_ACTION_FAILED : IGD_NOT_AUTHORIZED;
	default:
		return IGD_INVALID_ACTION;
	}
}
