/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows as in the standards' service descriptions; look-ups in them. */
#include "igd_table.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct igd_device_row devices[IGD_DEVICES] = {
    [IGD_GATEWAY] = {"InternetGatewayDevice", NULL},
    [IGD_WAN] = {"WANDevice", "WAN Device"},
    [IGD_WAN_CONNECTION] = {"WANConnectionDevice", "WAN Connection Device"},
};

static const struct igd_service_row services[IGD_SERVICES] = {
    [IGD_LAYER3_FORWARDING] = {"Layer3Forwarding", "L3Forwarding1", 1},
    [IGD_COMMON_CONFIG] = {"WANCommonInterfaceConfig", "WANCommonIFC1", 1},
    [IGD_IP_CONNECTION] = {"WANIPConnection", "WANIPConn1", 2},
};

/* What follows are more fields. */
#define VARIABLE(variable, kind, of, version, ...) \
	[IGD_##variable] = {                       \
	    .name = #variable, .type = kind, .service = of, .since = version, __VA_ARGS__}
#define L3F(name, type, ...)	VARIABLE(name, type, IGD_LAYER3_FORWARDING, 1, __VA_ARGS__)
#define COMMON(name, type, ...) VARIABLE(name, type, IGD_COMMON_CONFIG, 1, __VA_ARGS__)
#define IP(name, type, ...)	VARIABLE(name, type, IGD_IP_CONNECTION, 1, __VA_ARGS__)
#define IP2(name, type, ...)	VARIABLE(name, type, IGD_IP_CONNECTION, 2, __VA_ARGS__)
#define EVENTED			.evented = true
#define VALUES(...)                      \
	.allowed = (const char *const[]) \
	{                                \
		__VA_ARGS__, NULL        \
	}

static const struct igd_variable_row variables[IGD_VARIABLES] = {
    L3F(DefaultConnectionService, "string", EVENTED),
    COMMON(WANAccessType, "string", VALUES("DSL", "POTS", "Cable", "Ethernet")),
    COMMON(Layer1UpstreamMaxBitRate, "ui4", ),
    COMMON(Layer1DownstreamMaxBitRate, "ui4", ),
    COMMON(PhysicalLinkStatus, "string", EVENTED, VALUES("Up", "Down")),
    COMMON(TotalBytesSent, "ui4", ),
    COMMON(TotalBytesReceived, "ui4", ),
    COMMON(TotalPacketsSent, "ui4", ),
    COMMON(TotalPacketsReceived, "ui4", ),
    IP(ConnectionType, "string", VALUES("Unconfigured", "IP_Routed", "IP_Bridged")),
    IP(PossibleConnectionTypes, "string", EVENTED,
       VALUES("Unconfigured", "IP_Routed", "IP_Bridged")),
    IP(ConnectionStatus, "string", EVENTED,
       VALUES("Unconfigured", "Connecting", "Connected", "PendingDisconnect", "Disconnecting",
	      "Disconnected")),
    IP(Uptime, "ui4", ),
    IP(LastConnectionError, "string", VALUES("ERROR_NONE")),
    IP(RSIPAvailable, "boolean", ),
    IP(NATEnabled, "boolean", ),
    IP(ExternalIPAddress, "string", EVENTED),
    IP(PortMappingNumberOfEntries, "ui2", EVENTED),
    IP(PortMappingEnabled, "boolean", ),
    IP(PortMappingLeaseDuration, "ui4", .bounded_since = 2, .least = 0, .most = IGD_LEASE_MAX),
    IP(RemoteHost, "string", ),
    IP(ExternalPort, "ui2", ),
    IP(InternalPort, "ui2", .bounded_since = 2, .least = 1, .most = 65535),
    IP(PortMappingProtocol, "string", VALUES("TCP", "UDP")),
    IP(InternalClient, "string", ),
    IP(PortMappingDescription, "string", ),
    IP2(SystemUpdateID, "ui4", EVENTED),
    IP2(A_ARG_TYPE_Manage, "boolean", ),
    IP2(A_ARG_TYPE_PortListing, "string", ),
};

#define ARGUMENT(name, variable) [IGD_New##name] = {"New" #name, IGD_##variable}
#define NAMESAKE(name)		 ARGUMENT(name, name)

static const struct igd_argument_row arguments[IGD_ARGUMENTS] = {
    NAMESAKE(DefaultConnectionService),
    NAMESAKE(WANAccessType),
    NAMESAKE(Layer1UpstreamMaxBitRate),
    NAMESAKE(Layer1DownstreamMaxBitRate),
    NAMESAKE(PhysicalLinkStatus),
    NAMESAKE(TotalBytesSent),
    NAMESAKE(TotalBytesReceived),
    NAMESAKE(TotalPacketsSent),
    NAMESAKE(TotalPacketsReceived),
    NAMESAKE(ConnectionType),
    NAMESAKE(PossibleConnectionTypes),
    NAMESAKE(ConnectionStatus),
    NAMESAKE(LastConnectionError),
    NAMESAKE(Uptime),
    NAMESAKE(RSIPAvailable),
    NAMESAKE(NATEnabled),
    ARGUMENT(PortMappingIndex, PortMappingNumberOfEntries),
    NAMESAKE(RemoteHost),
    NAMESAKE(ExternalPort),
    ARGUMENT(Protocol, PortMappingProtocol),
    NAMESAKE(InternalPort),
    NAMESAKE(InternalClient),
    ARGUMENT(Enabled, PortMappingEnabled),
    NAMESAKE(PortMappingDescription),
    ARGUMENT(LeaseDuration, PortMappingLeaseDuration),
    ARGUMENT(ReservedPort, ExternalPort),
    ARGUMENT(StartPort, ExternalPort),
    ARGUMENT(EndPort, ExternalPort),
    ARGUMENT(Manage, A_ARG_TYPE_Manage),
    ARGUMENT(NumberOfPorts, PortMappingNumberOfEntries),
    ARGUMENT(PortListing, A_ARG_TYPE_PortListing),
    NAMESAKE(ExternalIPAddress),
};

#define IN(...)	   .in = {__VA_ARGS__}
#define OUT(...)   .out = {__VA_ARGS__}
#define ENTRY_NAME IGD_NewRemoteHost, IGD_NewExternalPort, IGD_NewProtocol
#define ENTRY_VALUES                                                                               \
	IGD_NewInternalPort, IGD_NewInternalClient, IGD_NewEnabled, IGD_NewPortMappingDescription, \
	    IGD_NewLeaseDuration
#define PORT_RANGE IGD_NewStartPort, IGD_NewEndPort, IGD_NewProtocol, IGD_NewManage
/* The rest: IN() and OUT(). */
#define ACTION(action, of, version, ...) \
	[IGD_##action] = {.name = #action, .service = of, .since = version, __VA_ARGS__}
#define GETTER(name, service)	    ACTION(Get##name, service, 1, OUT(IGD_New##name))
#define IP_ACTION(name, since, ...) ACTION(name, IGD_IP_CONNECTION, since, __VA_ARGS__)

static const struct igd_action_row actions[IGD_ACTIONS] = {
    ACTION(SetDefaultConnectionService, IGD_LAYER3_FORWARDING, 1,
	   IN(IGD_NewDefaultConnectionService)),
    GETTER(DefaultConnectionService, IGD_LAYER3_FORWARDING),
    ACTION(GetCommonLinkProperties, IGD_COMMON_CONFIG, 1,
	   OUT(IGD_NewWANAccessType, IGD_NewLayer1UpstreamMaxBitRate,
	       IGD_NewLayer1DownstreamMaxBitRate, IGD_NewPhysicalLinkStatus)),
    GETTER(TotalBytesSent, IGD_COMMON_CONFIG),
    GETTER(TotalBytesReceived, IGD_COMMON_CONFIG),
    GETTER(TotalPacketsSent, IGD_COMMON_CONFIG),
    GETTER(TotalPacketsReceived, IGD_COMMON_CONFIG),
    IP_ACTION(SetConnectionType, 1, IN(IGD_NewConnectionType)),
    IP_ACTION(GetConnectionTypeInfo, 1, OUT(IGD_NewConnectionType, IGD_NewPossibleConnectionTypes)),
    IP_ACTION(RequestConnection, 1, ),
    IP_ACTION(RequestTermination, 1, ),
    IP_ACTION(ForceTermination, 1, ),
    IP_ACTION(GetStatusInfo, 1,
	      OUT(IGD_NewConnectionStatus, IGD_NewLastConnectionError, IGD_NewUptime)),
    IP_ACTION(GetNATRSIPStatus, 1, OUT(IGD_NewRSIPAvailable, IGD_NewNATEnabled)),
    IP_ACTION(GetGenericPortMappingEntry, 1, IN(IGD_NewPortMappingIndex),
	      OUT(ENTRY_NAME, ENTRY_VALUES)),
    IP_ACTION(GetSpecificPortMappingEntry, 1, IN(ENTRY_NAME), OUT(ENTRY_VALUES)),
    IP_ACTION(AddPortMapping, 1, IN(ENTRY_NAME, ENTRY_VALUES)),
    IP_ACTION(AddAnyPortMapping, 2, IN(ENTRY_NAME, ENTRY_VALUES), OUT(IGD_NewReservedPort)),
    IP_ACTION(DeletePortMapping, 1, IN(ENTRY_NAME)),
    IP_ACTION(DeletePortMappingRange, 2, IN(PORT_RANGE)),
    GETTER(ExternalIPAddress, IGD_IP_CONNECTION),
    IP_ACTION(GetListOfPortMappings, 2, IN(PORT_RANGE, IGD_NewNumberOfPorts),
	      OUT(IGD_NewPortListing)),
};

static const struct {
	enum igd_error code;
	const char *text;
} errors[] = {
    {IGD_INVALID_ACTION, "Invalid Action"},
    {IGD_INVALID_ARGS, "Invalid Args"},
    {IGD_ACTION_FAILED, "Action Failed"},
    {IGD_OUT_OF_RANGE, "Argument Value Out of Range"},
    {IGD_OUT_OF_MEMORY, "Out of Memory"},
    {IGD_TOO_LONG, "String Argument Too Long"},
    {IGD_NOT_AUTHORIZED, "Action not authorized"},
    {IGD_INACTIVE_STATE_REQUIRED, "InactiveConnectionStateRequired"},
    {IGD_SETUP_FAILED, "ConnectionSetupFailed"},
    {IGD_ALREADY_TERMINATED, "ConnectionAlreadyTerminated"},
    {IGD_INDEX_INVALID, "SpecifiedArrayIndexInvalid"},
    {IGD_NO_SUCH_ENTRY, "NoSuchEntryInArray"},
    {IGD_NO_WILDCARD_CLIENT, "WildCardNotPermittedInSrcIP"},
    {IGD_NO_WILDCARD_EXTERNAL, "WildCardNotPermittedInExtPort"},
    {IGD_CONFLICT, "ConflictInMappingEntry"},
    {IGD_INVALID_DEVICE, "InvalidDeviceUUID"},
    {IGD_INVALID_SERVICE, "InvalidServiceID"},
    {IGD_NO_PORT_MAPS, "NoPortMapsAvailable"},
    {IGD_OTHER_MECHANISM, "ConflictWithOtherMechanisms"},
    {IGD_MAPPING_NOT_FOUND, "PortMappingNotFound"},
    {IGD_READ_ONLY, "ReadOnly"},
    {IGD_NO_WILDCARD_INTERNAL, "WildCardNotPermittedInIntPort"},
    {IGD_INCONSISTENT, "InconsistentParameters"},
};

#define SERVICE_PATHS(view, name, service)                               \
	{"/" #view "/" name ".xml", view, IGD_SCPD, service},            \
	    {"/" #view "/" name "/control", view, IGD_CONTROL, service}, \
	{                                                                \
		"/" #view "/" name "/event", view, IGD_EVENTS, service   \
	}
#define VIEW_PATHS(view)                                         \
	{"/" #view "/desc.xml", view, IGD_DESCRIPTION, 0},       \
	    SERVICE_PATHS(view, "L3F", IGD_LAYER3_FORWARDING),   \
	    SERVICE_PATHS(view, "WANCommon", IGD_COMMON_CONFIG), \
	    SERVICE_PATHS(view, "WANIP", IGD_IP_CONNECTION)

static const struct igd_path paths[] = {VIEW_PATHS(1), VIEW_PATHS(2)};

const struct igd_device_row *
igd_device_row(enum igd_device device)
{
	return &devices[device];
}

const struct igd_service_row *
igd_service_row(enum igd_service service)
{
	return &services[service];
}

const struct igd_variable_row *
igd_variable_row(enum igd_variable variable)
{
	return &variables[variable];
}

const struct igd_argument_row *
igd_argument_row(enum igd_argument argument)
{
	return &arguments[argument];
}

const struct igd_action_row *
igd_action_row(enum igd_action action)
{
	return &actions[action];
}

uint8_t
igd_service_version(enum igd_service service, enum igd_view view)
{
	return view < services[service].versions ? (uint8_t)view : services[service].versions;
}

enum igd_action
igd_action_find(enum igd_service service, uint8_t version, const char *name, size_t length)
{
	for (int a = 0; a < IGD_ACTIONS; a++)
		if (actions[a].service == service && actions[a].since <= version &&
		    strlen(actions[a].name) == length && memcmp(actions[a].name, name, length) == 0)
			return (enum igd_action)a;
	return IGD_ACTIONS;
}

const char *
igd_error_text(enum igd_error error)
{
	for (size_t i = 0; i < COUNT(errors); i++)
		if (errors[i].code == error)
			return errors[i].text;
	return "";
}

static bool
same_path(const char *ours, const char *theirs)
{
	for (; *ours; ours++, theirs++) {
		if (tolower((unsigned char)*ours) != tolower((unsigned char)*theirs))
			return false;
		while (*ours == '/' && theirs[1] == '/')
			theirs++;
	}
	return *theirs == '\0';
}

const struct igd_path *
igd_path_find(const char *text)
{
	for (size_t i = 0; i < COUNT(paths); i++)
		if (same_path(paths[i].text, text))
			return &paths[i];
	return NULL;
}

const char *
igd_path(enum igd_view view, enum igd_resource resource, enum igd_service service)
{
	for (size_t i = 0; i < COUNT(paths); i++)
		if (paths[i].view == view && paths[i].resource == resource &&
		    (resource == IGD_DESCRIPTION || paths[i].service == service))
			return paths[i].text;
	return NULL;
}
