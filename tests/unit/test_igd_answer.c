/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls as requests to the core, its results as UPnP's errors, and both as SOAP. */
#include "../../protocols/igd_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define UDN	     "uuid:00000000-0000-5000-8000-000000000003"
#define START                                                               \
	"<?xml version=\"1.0\"?>\n"                                         \
	"<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"" \
	" s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>"
#define END "</s:Body></s:Envelope>\n"
#define RESPONSE(name, service, inside)                                                          \
	START "<u:" name "Response xmlns:u=\"urn:schemas-upnp-org:service:" service "\">" inside \
	      "</u:" name "Response>" END

static char buffer[IGD_ANSWER_MAX + 1];

static struct address
address(const char *text)
{
	struct address a;

	assert_true(address_parse(text, &a));
	return a;
}

static struct igd_call
call_of(enum igd_action action, uint8_t version)
{
	return (struct igd_call){
	    .action = action, .view = (enum igd_view)version, .version = version};
}

static struct igd_call
add(enum igd_action action)
{
	struct igd_call call = call_of(action, 2);

	call.entry = (struct igd_entry){.remote = address("198.51.100.9"),
					.external_port = 8080,
					.transport = TRANSPORT_UDP,
					.internal = {address("192.168.1.7"), 80},
					.enabled = true,
					.description = "web",
					.lease = 3600};
	return call;
}

static struct map_request
request_of(const struct igd_call *call)
{
	struct address client = address("192.168.1.2");
	struct map_request request;

	memset(&request, 0xa5, sizeof(request));
	assert_true(igd_to_request(call, &client, &request));
	assert_true(address_equal(&request.client, &client));
	assert_int_equal(request.origin, ORIGIN_UPNP);
	assert_true(request.by_external);
	assert_null(request.asker.answer);
	return request;
}

static void
adding_becomes_a_map_request(void **state)
{
	struct igd_call call = add(IGD_AddPortMapping);
	struct address remote = address("198.51.100.9"), internal = address("192.168.1.7");
	struct map_request r = request_of(&call);

	(void)state;
	assert_int_equal(r.kind, REQUEST_MAP);
	assert_int_equal(r.transport, TRANSPORT_UDP);
	assert_true(address_equal(&r.internal.address, &internal));
	assert_int_equal(r.internal.port, 80);
	assert_int_equal(r.external_port, 8080);
	assert_true(address_equal(&r.remote, &remote));
	assert_false(r.disabled);
	assert_int_equal(r.lifetime, 3600);
	assert_int_equal(r.lifetime_min, 0);
	assert_int_equal(r.lifetime_max, 604800);
	assert_int_equal(r.if_taken, IF_TAKEN_REPLACE_OWN);
	assert_int_equal(r.may_replace, ORIGIN_BIT(ORIGIN_UPNP));
	assert_int_equal(r.adopts, 0);
	assert_int_equal(r.may_delete, 0);
	assert_false(r.has_nonce || r.reserve_companion);
	assert_string_equal(r.description, "web");
}

static void
what_a_call_leaves_out_is_filled_in(void **state)
{
	struct igd_call call = add(IGD_AddPortMapping);
	struct map_request r;

	(void)state;
	call.entry.lease = 0;
	call.entry.enabled = false;
	call.entry.internal.address = (struct address){0};
	call.entry.remote = (struct address){0};
	r = request_of(&call);
	assert_int_equal(r.lifetime, 604800);
	assert_true(r.disabled);
	assert_true(address_equal(&r.internal.address, &r.client));
	assert_int_equal(r.internal.port, 80);
	assert_true(address_is_unspecified(&r.remote));
}

static void
any_port_and_deletion(void **state)
{
	struct igd_call call = add(IGD_AddAnyPortMapping);
	struct address client = address("192.168.1.2");
	struct map_request r;

	(void)state;
	call.entry.external_port = 0;
	r = request_of(&call);
	assert_int_equal(r.kind, REQUEST_MAP);
	assert_int_equal(r.if_taken, IF_TAKEN_OTHER_PORT);
	assert_int_equal(r.external_port, 0);
	assert_int_equal(r.may_replace, ORIGIN_BIT(ORIGIN_UPNP));
	call = add(IGD_DeletePortMapping);
	call.entry.internal = (struct endpoint){0};
	r = request_of(&call);
	assert_int_equal(r.kind, REQUEST_DELETE);
	assert_int_equal(r.external_port, 8080);
	assert_int_equal(r.lifetime, 0);
	assert_true(address_equal(&r.internal.address, &r.client));
	assert_int_equal(r.may_delete, ORIGIN_BIT(ORIGIN_UPNP) | ORIGIN_BIT(ORIGIN_NATPMP));
	assert_int_equal(r.may_replace, 0);
	call = call_of(IGD_DeletePortMappingRange, 2);
	call.ports = (struct port_range){7, 9};
	assert_true(igd_to_request(&call, &client, &r));
	assert_int_equal(r.kind, REQUEST_DELETE_RANGE);
	assert_int_equal(r.ports.first, 7);
	assert_int_equal(r.ports.last, 9);
	assert_true(address_equal(&r.internal.address, &client));
	assert_int_equal(r.may_delete, ORIGIN_BIT(ORIGIN_UPNP) | ORIGIN_BIT(ORIGIN_NATPMP));
	for (int a = 0; a < IGD_ACTIONS; a++) {
		call = call_of((enum igd_action)a, 2);
		assert_int_equal(igd_to_request(&call, &client, &r),
				 a == IGD_AddPortMapping || a == IGD_AddAnyPortMapping ||
				     a == IGD_DeletePortMapping || a == IGD_DeletePortMappingRange);
	}
}

/* Interworking 3 and upnp-igd 4: add v1, add v2, add any, delete (the same in both versions). */
static const struct {
	enum map_result result;
	int add_1, add_2, any, delete;
} results[] = {
    {MAP_OK, 0, 0, 0, 0},
    {MAP_NOT_AUTHORIZED, 718, 606, 606, 606},
    {MAP_PORT_FORBIDDEN, 718, 606, 606, 606},
    {MAP_PORT_TAKEN, 718, 718, 728, 501},
    {MAP_GATEWAY_PORT, 718, 729, 729, 501},
    {MAP_NOT_YOURS, 718, 718, 728, 606},
    {MAP_OTHER_MECHANISM, 718, 729, 729, 606},
    {MAP_NOT_FOUND, 501, 501, 501, 714},
    {MAP_NO_ADDRESS, 501, 501, 501, 501},
    {MAP_NO_RESOURCES, 501, 728, 728, 501},
    {MAP_QUOTA, 501, 728, 728, 501},
    {MAP_UNSUPPORTED_VERSION, 501, 501, 501, 501},
    {MAP_UNSUPPORTED_OPCODE, 501, 501, 501, 501},
    {MAP_UNSUPPORTED_OPTION, 501, 501, 501, 501},
    {MAP_UNSUPPORTED_PROTOCOL, 501, 501, 501, 501},
    {MAP_MALFORMED_REQUEST, 501, 501, 501, 501},
    {MAP_MALFORMED_OPTION, 501, 501, 501, 501},
    {MAP_ADDRESS_MISMATCH, 501, 501, 501, 501},
};

static int
error_of(enum igd_action action, uint8_t version, enum map_result result)
{
	struct igd_call call = call_of(action, version);

	return (int)igd_from_result(&call, result);
}

static void
results_become_errors(void **state)
{
	(void)state;
	assert_int_equal(COUNT(results), MAP_RESULTS);
	for (unsigned i = 0; i < COUNT(results); i++) {
		enum map_result result = results[i].result;

		assert_int_equal(error_of(IGD_AddPortMapping, 1, result), results[i].add_1);
		assert_int_equal(error_of(IGD_AddPortMapping, 2, result), results[i].add_2);
		assert_int_equal(error_of(IGD_AddAnyPortMapping, 2, result), results[i].any);
		assert_int_equal(error_of(IGD_DeletePortMapping, 1, result), results[i].delete);
		assert_int_equal(error_of(IGD_DeletePortMapping, 2, result), results[i].delete);
		assert_int_equal(error_of(IGD_DeletePortMappingRange, 2, result),
				 result == MAP_NOT_FOUND ? 730 : results[i].delete);
	}
}

/* What a LAN host may not change: disconnected v1, v2, connected v1, v2. */
static void
the_connection_is_not_the_lans(void **state)
{
	static const struct {
		enum igd_action action;
		int errors[4];
	} rows[] = {
	    {IGD_SetConnectionType, {501, 731, 703, 731}},
	    {IGD_RequestConnection, {704, 704, 0, 0}},
	    {IGD_RequestTermination, {711, 711, 501, 606}},
	    {IGD_ForceTermination, {711, 711, 501, 606}},
	    {IGD_GetStatusInfo, {401, 401, 401, 401}}, /* not its business */
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++)
		for (unsigned k = 0; k < 4; k++) {
			struct igd_call call = call_of(rows[i].action, (uint8_t)(1 + k % 2));

			assert_int_equal(igd_judge_control(&call, k >= 2, UDN), rows[i].errors[k]);
		}
}

static void
the_default_connection_is_the_only_one(void **state)
{
	static const struct {
		const char *text;
		int error;
	} rows[] = {
	    {UDN ":WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn1", 0},
	    {UDN ":WANConnectionDevice:2,urn:upnp-org:serviceId:WANIPConn1", 0},
	    {UDN ":WANConnectionDevice:1,urn:upnp-org:serviceId:WANPPPConn1", 721},
	    {UDN ":WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn12", 721},
	    {UDN ":WANConnectionDevice:1", 721},
	    {UDN ":WANDevice:1,urn:upnp-org:serviceId:WANIPConn1", 720},
	    {UDN "0:WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn1", 720},
	    {"uuid:1:WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn1", 720},
	    {"", 720},
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++) {
		struct igd_call call = call_of(IGD_SetDefaultConnectionService, 1);

		strcpy(call.connection_service, rows[i].text);
		assert_int_equal(igd_judge_control(&call, true, UDN), rows[i].error);
	}
}

static struct igd_values
values(void)
{
	return (struct igd_values){
	    .connection_udn = UDN,
	    .upstream = 10000000000,
	    .downstream = 100000000,
	    .link_up = true,
	    .bytes_sent = 0x100000001,
	    .bytes_received = 2,
	    .packets_sent = 3,
	    .packets_received = 0xffffffff,
	    .connected = true,
	    .uptime = 77,
	    .external = address("203.0.113.5"),
	    .entries = 3,
	    .system_update_id = 0xffffffff,
	    .entry = {.remote = address("198.51.100.9"),
		      .external_port = 8080,
		      .transport = TRANSPORT_TCP,
		      .internal = {address("192.168.1.7"), 80},
		      .enabled = true,
		      .description = "R&D <1>",
		      .lease = 604799},
	};
}

static const char *
answer(enum igd_action action, uint8_t version, const struct igd_values *v)
{
	struct igd_call call = call_of(action, version);
	size_t length = igd_encode_answer(&call, v, buffer, IGD_ANSWER_MAX);

	assert_true(length > 0);
	buffer[length] = '\0';
	return buffer;
}

#define IP1(name, inside)    RESPONSE(name, "WANIPConnection:1", inside)
#define IP2(name, inside)    RESPONSE(name, "WANIPConnection:2", inside)
#define COMMON(name, inside) RESPONSE(name, "WANCommonInterfaceConfig:1", inside)
#define ENTRY_VALUES                                                                \
	"<NewInternalPort>80</NewInternalPort><NewInternalClient>192.168.1.7"       \
	"</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>" \
	"R&amp;D &lt;1&gt;</NewPortMappingDescription><NewLeaseDuration>604799</NewLeaseDuration>"

/* Order, names and values of each action's answer. */
static const struct {
	enum igd_action action;
	uint8_t version;
	const char *text;
} answers[] = {
    {IGD_SetDefaultConnectionService, 1,
     RESPONSE("SetDefaultConnectionService", "Layer3Forwarding:1", "")},
    {IGD_GetDefaultConnectionService, 1,
     RESPONSE("GetDefaultConnectionService", "Layer3Forwarding:1",
	      "<NewDefaultConnectionService>" UDN ":WANConnectionDevice:1,"
	      "urn:upnp-org:serviceId:WANIPConn1</NewDefaultConnectionService>")},
    {IGD_GetCommonLinkProperties, 1,
     COMMON("GetCommonLinkProperties",
	    "<NewWANAccessType>Ethernet</NewWANAccessType>"
	    "<NewLayer1UpstreamMaxBitRate>4294967295</NewLayer1UpstreamMaxBitRate>"
	    "<NewLayer1DownstreamMaxBitRate>100000000</NewLayer1DownstreamMaxBitRate>"
	    "<NewPhysicalLinkStatus>Up</NewPhysicalLinkStatus>")},
    {IGD_GetTotalBytesSent, 1,
     COMMON("GetTotalBytesSent", "<NewTotalBytesSent>1</NewTotalBytesSent>")},
    {IGD_GetTotalBytesReceived, 1,
     COMMON("GetTotalBytesReceived", "<NewTotalBytesReceived>2</NewTotalBytesReceived>")},
    {IGD_GetTotalPacketsSent, 1,
     COMMON("GetTotalPacketsSent", "<NewTotalPacketsSent>3</NewTotalPacketsSent>")},
    {IGD_GetTotalPacketsReceived, 1,
     COMMON("GetTotalPacketsReceived",
	    "<NewTotalPacketsReceived>4294967295</NewTotalPacketsReceived>")},
    {IGD_SetConnectionType, 1, IP1("SetConnectionType", "")},
    {IGD_GetConnectionTypeInfo, 1,
     IP1("GetConnectionTypeInfo",
	 "<NewConnectionType>IP_Routed</NewConnectionType>"
	 "<NewPossibleConnectionTypes>IP_Routed</NewPossibleConnectionTypes>")},
    {IGD_RequestConnection, 2, IP2("RequestConnection", "")},
    {IGD_RequestTermination, 2, IP2("RequestTermination", "")},
    {IGD_ForceTermination, 1, IP1("ForceTermination", "")},
    {IGD_GetStatusInfo, 1,
     IP1("GetStatusInfo", "<NewConnectionStatus>Connected</NewConnectionStatus>"
			  "<NewLastConnectionError>ERROR_NONE</NewLastConnectionError>"
			  "<NewUptime>77</NewUptime>")},
    {IGD_GetNATRSIPStatus, 1,
     IP1("GetNATRSIPStatus",
	 "<NewRSIPAvailable>0</NewRSIPAvailable><NewNATEnabled>1</NewNATEnabled>")},
    {IGD_GetGenericPortMappingEntry, 1,
     IP1("GetGenericPortMappingEntry",
	 "<NewRemoteHost>198.51.100.9</NewRemoteHost><NewExternalPort>8080</NewExternalPort>"
	 "<NewProtocol>TCP</NewProtocol>" ENTRY_VALUES)},
    {IGD_GetSpecificPortMappingEntry, 2, IP2("GetSpecificPortMappingEntry", ENTRY_VALUES)},
    {IGD_AddPortMapping, 1, IP1("AddPortMapping", "")},
    {IGD_AddPortMapping, 2, IP2("AddPortMapping", "")},
    {IGD_AddAnyPortMapping, 2, IP2("AddAnyPortMapping", "<NewReservedPort>8080</NewReservedPort>")},
    {IGD_DeletePortMapping, 1, IP1("DeletePortMapping", "")},
    {IGD_DeletePortMappingRange, 2, IP2("DeletePortMappingRange", "")},
    {IGD_GetExternalIPAddress, 1,
     IP1("GetExternalIPAddress", "<NewExternalIPAddress>203.0.113.5</NewExternalIPAddress>")},
};

static void
answers_of_every_action(void **state)
{
	const struct igd_values v = values();
	bool seen[IGD_ACTIONS] = {[IGD_GetListOfPortMappings] = true}; /* in pieces, below */

	(void)state;
	for (unsigned i = 0; i < COUNT(answers); i++) {
		assert_string_equal(answer(answers[i].action, answers[i].version, &v),
				    answers[i].text);
		seen[answers[i].action] = true;
	}
	for (int a = 0; a < IGD_ACTIONS; a++)
		assert_true(seen[a]);
}

static void
other_values(void **state)
{
	struct igd_values v = values();
	struct igd_call call = call_of(IGD_GetDefaultConnectionService, 1);
	size_t length;

	(void)state;
	v.link_up = v.connected = v.entry.enabled = false;
	v.external = address("0.0.0.0");
	v.entry.remote = (struct address){0};
	v.entry.transport = TRANSPORT_UDP;
	v.entry.lease = MAPPING_LIFETIME_STATIC;
	assert_non_null(strstr(answer(IGD_GetCommonLinkProperties, 1, &v), ">Down<"));
	assert_non_null(
	    strstr(answer(IGD_GetStatusInfo, 1, &v), ">Disconnected</NewConnectionStatus>"));
	assert_non_null(strstr(buffer, "<NewUptime>0<"));
	/* Not 0.0.0.0: an address that is not known is empty (2.3.13). */
	assert_non_null(strstr(answer(IGD_GetExternalIPAddress, 1, &v),
			       "<NewExternalIPAddress></NewExternalIPAddress>"));
	answer(IGD_GetGenericPortMappingEntry, 1, &v);
	assert_non_null(strstr(buffer, "<NewRemoteHost></NewRemoteHost>"));
	assert_non_null(strstr(buffer, "<NewProtocol>UDP<"));
	assert_non_null(strstr(buffer, "<NewEnabled>0<"));
	assert_non_null(strstr(buffer, "<NewLeaseDuration>0<"));
	/* The version in it is the view's, not the service's. */
	call.view = IGD_VIEW_2;
	length = igd_encode_answer(&call, &v, buffer, IGD_ANSWER_MAX);
	buffer[length] = '\0';
	assert_non_null(strstr(buffer, ":WANConnectionDevice:2,"));
	assert_non_null(strstr(buffer, "Layer3Forwarding:1\""));
}

/* The longest description fits, escaped as far as can be; one octet less room is no answer. */
static void
a_buffer_too_small(void **state)
{
	struct igd_call call = call_of(IGD_GetGenericPortMappingEntry, 2);
	struct igd_values v = values();
	size_t whole;
	char *exact;

	(void)state;
	memset(v.entry.description, '"', MAPPING_DESCRIPTION_MAX);
	whole = igd_encode_answer(&call, &v, buffer, IGD_ANSWER_MAX);
	assert_true(whole > 6 * MAPPING_DESCRIPTION_MAX);
	exact = malloc(whole);
	assert_non_null(exact);
	assert_int_equal(igd_encode_answer(&call, &v, exact, whole), whole);
	assert_int_equal(igd_encode_answer(&call, &v, exact, whole - 1), 0);
	free(exact);
	assert_true(igd_encode_list_entry(&v.entry, buffer, IGD_ANSWER_MAX) >
		    6 * MAPPING_DESCRIPTION_MAX);
	assert_int_equal(igd_encode_list_entry(&v.entry, buffer, 200), 0);
	assert_int_equal(igd_encode_list_start(&call, buffer, 200), 0);
	assert_int_equal(igd_encode_list_end(&call, buffer, 20), 0);
	assert_int_equal(igd_encode_fault(IGD_CONFLICT, buffer, 200), 0);
}

#define TAG(name, inside) "<p:" name ">" inside "</p:" name ">"

static void
a_list_in_pieces(void **state)
{
	struct igd_call call = call_of(IGD_GetListOfPortMappings, 2);
	struct igd_entry entry = values().entry;
	size_t length;

	(void)state;
	length = igd_encode_list_start(&call, buffer, IGD_ANSWER_MAX);
	assert_true(length > 0);
	entry.description[0] = '\'';
	length += igd_encode_list_entry(&entry, buffer + length, IGD_ANSWER_MAX - length);
	length += igd_encode_list_end(&call, buffer + length, IGD_ANSWER_MAX - length);
	buffer[length] = '\0';
	assert_string_equal(
	    buffer, IP2("GetListOfPortMappings",
			"<NewPortListing><![CDATA[<p:PortMappingList"
			" xmlns:p=\"urn:schemas-upnp-org:gw:WANIPConnection\""
			" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\""
			" xsi:schemaLocation=\"urn:schemas-upnp-org:gw:WANIPConnection"
			" http://www.upnp.org/schemas/gw/WANIPConnection-v2.xsd\">" TAG(
			    "PortMappingEntry",
			    TAG("NewRemoteHost", "198.51.100.9") TAG("NewExternalPort", "8080")
				TAG("NewProtocol", "TCP") TAG("NewInternalPort", "80")
				    TAG("NewInternalClient", "192.168.1.7") TAG("NewEnabled", "1")
					TAG("NewDescription", "&apos;&amp;D &lt;1&gt;") TAG(
					    "NewLeaseTime",
					    "604799")) "</p:PortMappingList>]]></NewPortListing>"));
}

static void
faults(void **state)
{
	size_t length = igd_encode_fault(IGD_CONFLICT, buffer, IGD_ANSWER_MAX);

	(void)state;
	buffer[length] = '\0';
	assert_string_equal(buffer,
			    START "<s:Fault><faultcode>s:Client</faultcode>"
				  "<faultstring>UPnPError</faultstring><detail>"
				  "<UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\">"
				  "<errorCode>718</errorCode>"
				  "<errorDescription>ConflictInMappingEntry</errorDescription>"
				  "</UPnPError></detail></s:Fault>" END);
	length = igd_encode_fault(IGD_MUST_UNDERSTAND, buffer, IGD_ANSWER_MAX);
	buffer[length] = '\0';
	assert_string_equal(buffer,
			    START "<s:Fault><faultcode>s:MustUnderstand</faultcode>"
				  "<faultstring>MustUnderstand</faultstring></s:Fault>" END);
	assert_int_equal(igd_http_status(IGD_OK), 200);
	assert_int_equal(igd_http_status(IGD_BAD_REQUEST), 400);
	assert_int_equal(igd_http_status(IGD_CONFLICT), 500);
	assert_int_equal(igd_http_status(IGD_MUST_UNDERSTAND), 500);
}

static void
values_of_events(void **state)
{
	static const struct {
		enum igd_variable variable;
		const char *value;
	} rows[] = {
	    {IGD_DefaultConnectionService,
	     UDN ":WANConnectionDevice:2,urn:upnp-org:serviceId:WANIPConn1"},
	    {IGD_PhysicalLinkStatus, "Up"},
	    {IGD_PossibleConnectionTypes, "IP_Routed"},
	    {IGD_ConnectionStatus, "Connected"},
	    {IGD_ExternalIPAddress, "203.0.113.5"},
	    {IGD_PortMappingNumberOfEntries, "3"},
	    {IGD_SystemUpdateID, "4294967295"},
	};
	struct igd_values v = values();
	char text[IGD_VALUE_MAX];
	unsigned evented = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++) {
		size_t n = strlen(rows[i].value);

		assert_int_equal(
		    igd_print_value(rows[i].variable, IGD_VIEW_2, &v, text, sizeof(text)), n);
		assert_string_equal(text, rows[i].value);
		assert_int_equal(igd_print_value(rows[i].variable, IGD_VIEW_2, &v, text, n), 0);
	}
	for (int i = 0; i < IGD_VARIABLES; i++)
		evented += igd_variable_row((enum igd_variable)i)->evented;
	assert_int_equal(evented, COUNT(rows));
	v.entries = 70000;
	igd_print_value(IGD_PortMappingNumberOfEntries, IGD_VIEW_1, &v, text, sizeof(text));
	assert_string_equal(text, "65535");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(adding_becomes_a_map_request),
	    cmocka_unit_test(what_a_call_leaves_out_is_filled_in),
	    cmocka_unit_test(any_port_and_deletion),
	    cmocka_unit_test(results_become_errors),
	    cmocka_unit_test(the_connection_is_not_the_lans),
	    cmocka_unit_test(the_default_connection_is_the_only_one),
	    cmocka_unit_test(answers_of_every_action),
	    cmocka_unit_test(other_values),
	    cmocka_unit_test(a_buffer_too_small),
	    cmocka_unit_test(a_list_in_pieces),
	    cmocka_unit_test(faults),
	    cmocka_unit_test(values_of_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
