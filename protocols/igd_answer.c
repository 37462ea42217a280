/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One value a variable, wherever it is told; which of them an action returns says the table. */
#include "igd_answer.h"

#include "text.h"
#include "xml_text.h"

#define SOAP "http://schemas.xmlsoap.org/soap/"

/* Where values go and what they are taken from. */
struct telling {
	struct wire_writer *out;
	const struct igd_values *values;
	enum igd_view view;
};

/* NULL: not told by a word. */
static const char *
word(const struct igd_values *values, enum igd_variable variable)
{
	switch (variable) {
	case IGD_WANAccessType:
		return "Ethernet";
	case IGD_PhysicalLinkStatus:
		return values->link_up ? "Up" : "Down";
	case IGD_ConnectionType:
	case IGD_PossibleConnectionTypes:
		return "IP_Routed";
	case IGD_ConnectionStatus:
		return values->connected ? "Connected" : "Disconnected";
	case IGD_LastConnectionError:
		return "ERROR_NONE";
	case IGD_PortMappingProtocol:
		return values->entry.transport == TRANSPORT_TCP ? "TCP" : "UDP";
	default:
		return NULL;
	}
}

static uint32_t
at_most(uint64_t number, uint32_t most)
{
	return number < most ? (uint32_t)number : most;
}

static uint32_t
number(const struct igd_values *values, enum igd_variable variable)
{
	switch (variable) {
	case IGD_Layer1UpstreamMaxBitRate:
		return at_most(values->upstream, UINT32_MAX);
	case IGD_Layer1DownstreamMaxBitRate:
		return at_most(values->downstream, UINT32_MAX);
	/* Counters are ui4: they begin anew. */
	case IGD_TotalBytesSent:
		return (uint32_t)values->bytes_sent;
	case IGD_TotalBytesReceived:
		return (uint32_t)values->bytes_received;
	case IGD_TotalPacketsSent:
		return (uint32_t)values->packets_sent;
	case IGD_TotalPacketsReceived:
		return (uint32_t)values->packets_received;
	case IGD_Uptime:
		return values->connected ? values->uptime : 0;
	case IGD_NATEnabled:
		return 1;
	case IGD_PortMappingNumberOfEntries:
		return at_most(values->entries, UINT16_MAX);
	case IGD_PortMappingEnabled:
		return values->entry.enabled;
	case IGD_PortMappingLeaseDuration:
		/* Without an end: the one value of its range that does not run down. */
		return values->entry.lease == MAPPING_LIFETIME_STATIC ? 0 : values->entry.lease;
	case IGD_ExternalPort:
		return values->entry.external_port;
	case IGD_InternalPort:
		return values->entry.internal.port;
	case IGD_SystemUpdateID:
		return values->system_update_id;
	default:
		return 0; /* RSIPAvailable */
	}
}

static void
put_address(struct wire_writer *out, const struct address *address)
{
	char text[ADDRESS_TEXT_SIZE];

	if (!address_is_unspecified(address))
		text_put(out, address_print(address, text));
}

static void
put_connection_service(const struct telling *t)
{
	text_put(t->out, t->values->connection_udn);
	text_put(t->out, ":");
	text_put(t->out, igd_device_row(IGD_WAN_CONNECTION)->type);
	text_put(t->out, ":");
	text_put_number(t->out, t->view);
	text_put(t->out, ",urn:upnp-org:serviceId:");
	text_put(t->out, igd_service_row(IGD_IP_CONNECTION)->id);
}

static void
put_value(const struct telling *t, enum igd_variable variable)
{
	const struct igd_values *values = t->values;
	const char *text = word(values, variable);

	switch (variable) {
	case IGD_DefaultConnectionService:
		put_connection_service(t);
		break;
	case IGD_ExternalIPAddress:
		put_address(t->out, &values->external);
		break;
	case IGD_RemoteHost:
		put_address(t->out, &values->entry.remote);
		break;
	case IGD_InternalClient:
		put_address(t->out, &values->entry.internal.address);
		break;
	case IGD_PortMappingDescription:
		xml_put_text(t->out, values->entry.description);
		break;
	default:
		if (text)
			text_put(t->out, text);
		else
			text_put_number(t->out, number(values, variable));
	}
}

static const char envelope_start[] =
    "<?xml version=\"1.0\"?>\n<s:Envelope xmlns:s=\"" SOAP "envelope/\""
    " s:encodingStyle=\"" SOAP "encoding/\"><s:Body>";
static const char envelope_end[] = "</s:Body></s:Envelope>\n";

/* The namespace is the service type as the caller wrote it. */
static void
put_answer_start(struct wire_writer *out, const struct igd_call *call)
{
	const struct igd_action_row *row = igd_action_row(call->action);

	text_put(out, envelope_start);
	text_put(out, "<u:");
	text_put(out, row->name);
	text_put(out, "Response xmlns:u=\"urn:schemas-upnp-org:service:");
	text_put(out, igd_service_row(row->service)->type);
	text_put(out, ":");
	text_put_number(out, call->version);
	text_put(out, "\">");
}

static size_t
put_answer_end(struct wire_writer *out, const struct igd_call *call)
{
	text_put(out, "</u:");
	text_put(out, igd_action_row(call->action)->name);
	text_put(out, "Response>");
	text_put(out, envelope_end);
	return out->failed ? 0 : out->at;
}

size_t
igd_encode_answer(const struct igd_call *call, const struct igd_values *values, char *out,
		  size_t size)
{
	struct wire_writer w = wire_writer(out, size);
	const struct telling telling = {&w, values, call->view};

	put_answer_start(&w, call);
	for (const uint8_t *a = igd_action_row(call->action)->out; *a; a++) {
		const struct igd_argument_row *row = igd_argument_row(*a);

		text_put(&w, "<");
		text_put(&w, row->name);
		text_put(&w, ">");
		put_value(&telling, row->variable);
		text_put(&w, "</");
		text_put(&w, row->name);
		text_put(&w, ">");
	}
	return put_answer_end(&w, call);
}

size_t
igd_encode_fault(enum igd_error error, char *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	text_put(&w, envelope_start);
	text_put(&w, "<s:Fault><faultcode>s:");
	if (error == IGD_MUST_UNDERSTAND) {
		text_put(&w, "MustUnderstand</faultcode><faultstring>MustUnderstand</faultstring>");
	} else {
		/* Clients search for ">718</errorCode": no blanks there. */
		text_put(&w, "Client</faultcode><faultstring>UPnPError</faultstring><detail>"
			     "<UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>");
		text_put_number(&w, error);
		text_put(&w, "</errorCode><errorDescription>");
		text_put(&w, igd_error_text(error));
		text_put(&w, "</errorDescription></UPnPError></detail>");
	}
	text_put(&w, "</s:Fault>");
	text_put(&w, envelope_end);
	return w.failed ? 0 : w.at;
}

/* WANIPConnection:2, 2.3.25: a document of its own inside a string; two names differ from the
 * arguments'.  In CDATA, since miniupnpc finds no entries in one that is escaped; no text can end
 * it, for > is escaped. */
static const struct {
	const char *name;
	enum igd_variable variable;
} listed[] = {
    {"NewRemoteHost", IGD_RemoteHost},
    {"NewExternalPort", IGD_ExternalPort},
    {"NewProtocol", IGD_PortMappingProtocol},
    {"NewInternalPort", IGD_InternalPort},
    {"NewInternalClient", IGD_InternalClient},
    {"NewEnabled", IGD_PortMappingEnabled},
    {"NewDescription", IGD_PortMappingDescription},
    {"NewLeaseTime", IGD_PortMappingLeaseDuration},
};

static void
put_listed_tag(struct wire_writer *out, const char *before, const char *name)
{
	text_put(out, before);
	text_put(out, name);
	text_put(out, ">");
}

size_t
igd_encode_list_start(const struct igd_call *call, char *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	put_answer_start(&w, call);
	text_put(&w, "<NewPortListing><![CDATA[");
	put_listed_tag(&w, "<p:",
		       "PortMappingList xmlns:p="
		       "\"urn:schemas-upnp-org:gw:WANIPConnection\""
		       " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\""
		       " xsi:schemaLocation=\"urn:schemas-upnp-org:gw:WANIPConnection"
		       " http://www.upnp.org/schemas/gw/WANIPConnection-v2.xsd\"");
	return w.failed ? 0 : w.at;
}

size_t
igd_encode_list_entry(const struct igd_entry *entry, char *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);
	const struct igd_values values = {.entry = *entry};
	const struct telling telling = {&w, &values, IGD_VIEW_2};

	put_listed_tag(&w, "<p:", "PortMappingEntry");
	for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++) {
		put_listed_tag(&w, "<p:", listed[i].name);
		put_value(&telling, listed[i].variable);
		put_listed_tag(&w, "</p:", listed[i].name);
	}
	put_listed_tag(&w, "</p:", "PortMappingEntry");
	return w.failed ? 0 : w.at;
}

size_t
igd_encode_list_end(const struct igd_call *call, char *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	put_listed_tag(&w, "</p:", "PortMappingList");
	text_put(&w, "]]></NewPortListing>");
	return put_answer_end(&w, call);
}

unsigned
igd_http_status(enum igd_error error)
{
	return error == IGD_OK ? 200 : error == IGD_BAD_REQUEST ? 400 : 500;
}

size_t
igd_print_value(enum igd_variable variable, enum igd_view view, const struct igd_values *values,
		char *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);
	const struct telling telling = {&w, values, view};

	put_value(&telling, variable);
	wire_put_u8(&w, '\0');
	return w.failed ? 0 : w.at - 1;
}
