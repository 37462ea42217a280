/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words by which the shared nouns appear in the log, in the CLI and in JSON. */
#include "mapping.h"

#include <string.h>

static const char *const origin_names[ORIGINS] = {
    [ORIGIN_STATIC] = "static",
    [ORIGIN_NATPMP] = "nat-pmp",
    [ORIGIN_PCP] = "pcp",
    [ORIGIN_UPNP] = "upnp",
};

static const char *const result_names[MAP_RESULTS] = {
    [MAP_OK] = "ok",
    [MAP_NOT_AUTHORIZED] = "not-authorized",
    [MAP_PORT_FORBIDDEN] = "port-forbidden",
    [MAP_PORT_TAKEN] = "port-taken",
    [MAP_GATEWAY_PORT] = "gateway-port",
    [MAP_NOT_YOURS] = "not-yours",
    [MAP_OTHER_MECHANISM] = "other-mechanism",
    [MAP_NOT_FOUND] = "not-found",
    [MAP_NO_ADDRESS] = "no-external-address",
    [MAP_NO_RESOURCES] = "no-resources",
    [MAP_QUOTA] = "quota",
    [MAP_UNSUPPORTED_VERSION] = "unsupported-version",
    [MAP_UNSUPPORTED_OPCODE] = "unsupported-opcode",
    [MAP_UNSUPPORTED_OPTION] = "unsupported-option",
    [MAP_UNSUPPORTED_PROTOCOL] = "unsupported-protocol",
    [MAP_MALFORMED_REQUEST] = "malformed-request",
    [MAP_MALFORMED_OPTION] = "malformed-option",
    [MAP_ADDRESS_MISMATCH] = "address-mismatch",
};

const char *
origin_name(enum origin origin)
{
	return origin_names[origin];
}

bool
origin_find(const char *name, enum origin *out)
{
	for (int o = 0; o < ORIGINS; o++)
		if (strcmp(name, origin_names[o]) == 0) {
			*out = (enum origin)o;
			return true;
		}
	return false;
}

const char *
transport_name(enum transport transport)
{
	return transport == TRANSPORT_TCP ? "tcp" : "udp";
}

bool
transport_find(const char *name, enum transport *out)
{
	if (strcmp(name, "tcp") != 0 && strcmp(name, "udp") != 0)
		return false;
	*out = name[0] == 't' ? TRANSPORT_TCP : TRANSPORT_UDP;
	return true;
}

const char *
map_result_name(enum map_result result)
{
	return result_names[result];
}
