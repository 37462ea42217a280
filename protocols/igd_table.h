/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Internet Gateway Device in one table.  Descriptions, the decoder and the encoder all read
 * it, so that what is announced, parsed and answered cannot differ.  An optional action that is not
 * in it does not exist (401).
 */
#ifndef PORTLEASE_IGD_TABLE_H
#define PORTLEASE_IGD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two complete devices under the same names.  The number is also the version of its device types.
 */
enum igd_view { IGD_VIEW_1 = 1, IGD_VIEW_2 };

enum { IGD_LEASE_MAX = 604800 }; /* seconds; also what 0 stands for */

/* Each device holds the service of the same place in its list, and the next device. */
enum igd_device { IGD_GATEWAY, IGD_WAN, IGD_WAN_CONNECTION, IGD_DEVICES };
enum igd_service { IGD_LAYER3_FORWARDING, IGD_COMMON_CONFIG, IGD_IP_CONNECTION, IGD_SERVICES };

enum igd_variable {
	IGD_DefaultConnectionService,
	IGD_WANAccessType,
	IGD_Layer1UpstreamMaxBitRate,
	IGD_Layer1DownstreamMaxBitRate,
	IGD_PhysicalLinkStatus,
	IGD_TotalBytesSent,
	IGD_TotalBytesReceived,
	IGD_TotalPacketsSent,
	IGD_TotalPacketsReceived,
	IGD_ConnectionType,
	IGD_PossibleConnectionTypes,
	IGD_ConnectionStatus,
	IGD_Uptime,
	IGD_LastConnectionError,
	IGD_RSIPAvailable,
	IGD_NATEnabled,
	IGD_ExternalIPAddress,
	IGD_PortMappingNumberOfEntries,
	IGD_PortMappingEnabled,
	IGD_PortMappingLeaseDuration,
	IGD_RemoteHost,
	IGD_ExternalPort,
	IGD_InternalPort,
	IGD_PortMappingProtocol,
	IGD_InternalClient,
	IGD_PortMappingDescription,
	IGD_SystemUpdateID,
	IGD_A_ARG_TYPE_Manage,
	IGD_A_ARG_TYPE_PortListing,
	IGD_VARIABLES
};

enum igd_argument {
	IGD_NO_ARGUMENT, /* ends a list */
	IGD_NewDefaultConnectionService,
	IGD_NewWANAccessType,
	IGD_NewLayer1UpstreamMaxBitRate,
	IGD_NewLayer1DownstreamMaxBitRate,
	IGD_NewPhysicalLinkStatus,
	IGD_NewTotalBytesSent,
	IGD_NewTotalBytesReceived,
	IGD_NewTotalPacketsSent,
	IGD_NewTotalPacketsReceived,
	IGD_NewConnectionType,
	IGD_NewPossibleConnectionTypes,
	IGD_NewConnectionStatus,
	IGD_NewLastConnectionError,
	IGD_NewUptime,
	IGD_NewRSIPAvailable,
	IGD_NewNATEnabled,
	IGD_NewPortMappingIndex,
	IGD_NewRemoteHost,
	IGD_NewExternalPort,
	IGD_NewProtocol,
	IGD_NewInternalPort,
	IGD_NewInternalClient,
	IGD_NewEnabled,
	IGD_NewPortMappingDescription,
	IGD_NewLeaseDuration,
	IGD_NewReservedPort,
	IGD_NewStartPort,
	IGD_NewEndPort,
	IGD_NewManage,
	IGD_NewNumberOfPorts,
	IGD_NewPortListing,
	IGD_NewExternalIPAddress,
	IGD_ARGUMENTS
};

enum igd_action {
	IGD_SetDefaultConnectionService,
	IGD_GetDefaultConnectionService,
	IGD_GetCommonLinkProperties,
	IGD_GetTotalBytesSent,
	IGD_GetTotalBytesReceived,
	IGD_GetTotalPacketsSent,
	IGD_GetTotalPacketsReceived,
	IGD_SetConnectionType,
	IGD_GetConnectionTypeInfo,
	IGD_RequestConnection,
	IGD_RequestTermination,
	IGD_ForceTermination,
	IGD_GetStatusInfo,
	IGD_GetNATRSIPStatus,
	IGD_GetGenericPortMappingEntry,
	IGD_GetSpecificPortMappingEntry,
	IGD_AddPortMapping,
	IGD_AddAnyPortMapping,
	IGD_DeletePortMapping,
	IGD_DeletePortMappingRange,
	IGD_GetExternalIPAddress,
	IGD_GetListOfPortMappings,
	IGD_ACTIONS
};

/* UPnP's error codes, as far as we send them; the first two are no codes of its. */
enum igd_error {
	IGD_OK = 0,
	IGD_MUST_UNDERSTAND = 1, /* a SOAP header that insists on being understood */
	IGD_BAD_REQUEST = 400,	 /* no SOAP request: plain HTTP 400 */
	IGD_INVALID_ACTION = 401,
	IGD_INVALID_ARGS = 402,
	IGD_ACTION_FAILED = 501,
	IGD_OUT_OF_RANGE = 601,
	IGD_OUT_OF_MEMORY = 603,
	IGD_TOO_LONG = 605,
	IGD_NOT_AUTHORIZED = 606,
	IGD_INACTIVE_STATE_REQUIRED = 703,
	IGD_SETUP_FAILED = 704,
	IGD_ALREADY_TERMINATED = 711,
	IGD_INDEX_INVALID = 713,
	IGD_NO_SUCH_ENTRY = 714,
	IGD_NO_WILDCARD_CLIENT = 715,
	IGD_NO_WILDCARD_EXTERNAL = 716,
	IGD_CONFLICT = 718,
	IGD_INVALID_DEVICE = 720,
	IGD_INVALID_SERVICE = 721,
	IGD_NO_PORT_MAPS = 728,
	IGD_OTHER_MECHANISM = 729,
	IGD_MAPPING_NOT_FOUND = 730,
	IGD_READ_ONLY = 731,
	IGD_NO_WILDCARD_INTERNAL = 732,
	IGD_INCONSISTENT = 733,
};

/* "since" is the version of the service that brought it. */
struct igd_device_row {
	const char *type;	   /* "WANDevice" */
	const char *friendly_name; /* NULL: the one of the configuration */
};

struct igd_service_row {
	const char *type; /* "WANIPConnection" */
	const char *id;	  /* "WANIPConn1" */
	uint8_t versions;
};

struct igd_variable_row {
	const char *name;
	const char *type; /* "ui2" */
	enum igd_service service;
	uint8_t since;
	bool evented;
	const char *const *allowed; /* ends with NULL; NULL: anything */
	uint8_t bounded_since;	    /* the version that announces the bounds; 0: none does */
	uint32_t least, most;
};

struct igd_argument_row {
	const char *name;
	enum igd_variable variable; /* related state variable */
};

struct igd_action_row {
	const char *name;
	enum igd_service service;
	uint8_t since;
	uint8_t in[9], out[9]; /* enum igd_argument, in the order of the wire */
};

const struct igd_device_row *igd_device_row(enum igd_device);
const struct igd_service_row *igd_service_row(enum igd_service);
const struct igd_variable_row *igd_variable_row(enum igd_variable);
const struct igd_argument_row *igd_argument_row(enum igd_argument);
const struct igd_action_row *igd_action_row(enum igd_action);

/* The version a view shows of a service. */
uint8_t igd_service_version(enum igd_service, enum igd_view);
/* length octets of a name.  IGD_ACTIONS: this version of the service has no such action. */
enum igd_action igd_action_find(enum igd_service, uint8_t version, const char *name, size_t length);
/* The standard's words for a code. */
const char *igd_error_text(enum igd_error);

/* What there is to fetch or to call; the same on every address, for ever (clients cache). */
enum igd_resource { IGD_DESCRIPTION, IGD_SCPD, IGD_CONTROL, IGD_EVENTS };

struct igd_path {
	const char *text;
	enum igd_view view;
	enum igd_resource resource;
	enum igd_service service; /* of no meaning for a description */
};

/* Letter case and doubled slashes do not matter.  NULL: nothing there. */
const struct igd_path *igd_path_find(const char *text);
/* service: any for a description. */
const char *igd_path(enum igd_view, enum igd_resource, enum igd_service);

#endif
