/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clients of the stories: they write requests and read answers octet by octet, without the
 * codecs' help.
 */
#ifndef PORTLEASE_TESTS_CLIENT_H
#define PORTLEASE_TESTS_CLIENT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../protocols/datagram.h"
#include "../../protocols/wire.h"

enum protocol { NATPMP, PCP, UPNP };

#define AS_IT_SHOULD_BE UINT32_MAX

/* What a line of a story says that a client asks. */
struct ask {
	enum protocol protocol;
	enum request_kind kind;
	enum if_taken if_taken;
	struct address client;
	enum transport transport;
	uint16_t internal;
	uint16_t external; /* 0 = any */
	uint32_t lifetime;
	uint32_t nonce;		/* the last octets of it; the first are the client's */
	struct address wanted;	/* external, of PCP */
	struct address host;	/* internal, of UPnP */
	struct address claimed; /* the client's own, in PCP's header */
	char name[MAPPING_DESCRIPTION_MAX + 1];
	uint32_t version, opcode; /* octets of the datagram; of UPnP the service's version */
	uint32_t cut;		  /* how many of them are sent */
	/* UPnP's alone. */
	const char *action;
	struct address remote; /* unspecified = anybody */
	uint16_t last;	       /* port of a range */
	uint32_t index, limit;
	bool off, manage;
	char spoilt[32], saying[64]; /* an argument, and what it says instead */
	bool missing;		     /* it is not there at all */
};

/* What it hears. */
struct heard {
	bool any, has_address, has_epoch;
	unsigned result; /* 0 = ok; of UPnP the error's number */
	uint16_t port;	 /* of a mapping */
	struct address address;
	uint32_t lifetime; /* of a mapping, or of PCP's error */
	uint32_t epoch;
};

static inline void
write_natpmp(const struct ask *ask, struct wire_writer *out)
{
	wire_put_u8(out, 0);
	if (ask->kind == REQUEST_ADDRESS) {
		wire_put_u8(out, 0);
		return;
	}
	wire_put_u8(out, ask->transport == TRANSPORT_UDP ? 1 : 2);
	wire_put_u16(out, 0);
	wire_put_u16(out, ask->internal);
	wire_put_u16(out, ask->external);
	wire_put_u32(out, ask->lifetime);
}

static inline void
write_pcp(const struct ask *ask, struct wire_writer *out)
{
	wire_put_u8(out, 2);
	wire_put_u8(out, ask->kind == REQUEST_ANNOUNCE ? 0 : 1);
	wire_put_u16(out, 0);
	wire_put_u32(out, ask->lifetime);
	wire_put(out, &ask->claimed, sizeof(ask->claimed));
	if (ask->kind == REQUEST_ANNOUNCE)
		return;
	wire_put(out, ask->client.bytes + 8, 8);
	wire_put_u32(out, ask->nonce);
	wire_put_u8(out, (uint8_t)ask->transport);
	wire_put_zero(out, 3);
	wire_put_u16(out, ask->internal);
	wire_put_u16(out, ask->external);
	wire_put(out, &ask->wanted, sizeof(ask->wanted));
	if (ask->if_taken == IF_TAKEN_FAIL)
		wire_put_u32(out, 0x02000000); /* PREFER_FAILURE */
}

/* The datagram of an ask.  Returns its length. */
static inline size_t
write_datagram(const struct ask *ask, uint8_t *bytes, size_t size)
{
	struct wire_writer out = wire_writer(bytes, size);

	if (ask->protocol == NATPMP)
		write_natpmp(ask, &out);
	else
		write_pcp(ask, &out);
	if (ask->version != AS_IT_SHOULD_BE)
		bytes[0] = (uint8_t)ask->version;
	if (ask->opcode != AS_IT_SHOULD_BE)
		bytes[1] = (uint8_t)ask->opcode;
	return ask->cut < out.at ? ask->cut : out.at;
}

/* A client believes an answer only if all of this is so.  NULL, or what is wrong with it. */
static inline const char *
read_natpmp(const struct ask *ask, const uint8_t *sent, struct wire_reader *in, struct heard *heard)
{
	bool mapping = ask->kind == REQUEST_MAP;

	if (wire_u8(in) != 0)
		return "not in version 0";
	if (wire_u8(in) != (0x80 | sent[1]))
		return "to another opcode";
	heard->result = wire_u16(in);
	if (heard->result == 5)
		return NULL; /* the request's own octets follow */
	heard->has_epoch = true;
	heard->epoch = wire_u32(in);
	if (ask->kind == REQUEST_ADDRESS) {
		heard->address = (struct address){.bytes = {[10] = 0xff, [11] = 0xff}};
		wire_copy(in, heard->address.bytes + 12, 4);
		heard->has_address = heard->result == 0;
		if (heard->has_address == address_is_unspecified(&heard->address))
			return "with an address that does not fit the result";
	} else {
		if (wire_u16(in) != ask->internal)
			return "about another internal port";
		heard->port = wire_u16(in);
		heard->lifetime = wire_u32(in);
		if ((heard->port != 0) != (mapping && heard->result == 0) ||
		    (heard->lifetime != 0) != (heard->port != 0))
			return "with numbers that do not fit the result";
	}
	return in->failed || wire_left(in) > 0 ? "of a wrong length" : NULL;
}

static inline const char *
read_pcp(const struct ask *ask, const uint8_t *sent, struct wire_reader *in, struct heard *heard)
{
	const uint8_t *echo;

	if (wire_u8(in) != 2)
		return "not in version 2";
	if (wire_u8(in) != (0x80 | sent[1]))
		return "to another opcode";
	wire_u8(in);
	heard->result = wire_u8(in);
	heard->lifetime = wire_u32(in);
	heard->has_epoch = true;
	heard->epoch = wire_u32(in);
	wire_take(in, 12);
	if (in->failed || wire_left(in) % 4 != 0)
		return "of a wrong length";
	if (heard->result != 0)
		return heard->lifetime > 0 ? NULL : "an error without a lifetime";
	if ((heard->lifetime > 0) != (ask->kind == REQUEST_MAP))
		return "with a lifetime that does not fit the request";
	if (ask->kind == REQUEST_ANNOUNCE)
		return wire_left(in) > 0 ? "of a wrong length" : NULL;
	echo = wire_take(in, 18); /* nonce, protocol, internal port */
	heard->port = wire_u16(in);
	wire_copy(in, &heard->address, sizeof(heard->address));
	if (in->failed || wire_left(in) != (ask->if_taken == IF_TAKEN_FAIL ? 4 : 0))
		return "of a wrong length";
	if (memcmp(echo, sent + 24, 18) != 0)
		return "about another mapping";
	heard->has_address = ask->kind == REQUEST_MAP;
	if (ask->kind != REQUEST_MAP)
		heard->port = 0; /* the suggestion, as it was sent */
	return NULL;
}

/* sent: the request. */
static inline const char *
read_datagram(const struct ask *ask, const uint8_t *sent, const uint8_t *bytes, size_t size,
	      struct heard *heard)
{
	struct wire_reader in = wire_reader(bytes, size);

	*heard = (struct heard){.any = true};
	return ask->protocol == NATPMP ? read_natpmp(ask, sent, &in, heard)
				       : read_pcp(ask, sent, &in, heard);
}

/* --- SOAP --- */

static const struct soap_action {
	const char *name;
	const char *arguments[9];
} soap_actions[] = {
#define ENTRY_NAME "NewRemoteHost", "NewExternalPort", "NewProtocol"
#define ENTRY                                                             \
	ENTRY_NAME, "NewInternalPort", "NewInternalClient", "NewEnabled", \
	    "NewPortMappingDescription", "NewLeaseDuration"
#define RANGE "NewStartPort", "NewEndPort", "NewProtocol", "NewManage"
    {"AddPortMapping", {ENTRY}},
    {"AddAnyPortMapping", {ENTRY}},
    {"DeletePortMapping", {ENTRY_NAME}},
    {"DeletePortMappingRange", {RANGE}},
    {"GetSpecificPortMappingEntry", {ENTRY_NAME}},
    {"GetGenericPortMappingEntry", {"NewPortMappingIndex"}},
    {"GetListOfPortMappings", {RANGE, "NewNumberOfPorts"}},
    {"RequestConnection", {NULL}},
    {"ForceTermination", {NULL}},
};

#define SOAP_TYPE "urn:schemas-upnp-org:service:WANIPConnection:"

/* Its value, as far as the line of the story told. */
static inline void
print_argument(const struct ask *ask, const char *name, char text[MAPPING_DESCRIPTION_MAX + 1])
{
	const struct {
		const char *name;
		uint32_t value;
	} numbers[] = {
	    {"NewExternalPort", ask->external},	 {"NewInternalPort", ask->internal},
	    {"NewEnabled", !ask->off},		 {"NewLeaseDuration", ask->lifetime},
	    {"NewStartPort", ask->external},	 {"NewEndPort", ask->last},
	    {"NewManage", ask->manage},		 {"NewNumberOfPorts", ask->limit},
	    {"NewPortMappingIndex", ask->index},
	};

	text[0] = '\0';
	if (strcmp(name, "NewProtocol") == 0)
		strcpy(text, ask->transport == TRANSPORT_TCP ? "TCP" : "UDP");
	else if (strcmp(name, "NewPortMappingDescription") == 0)
		strcpy(text, ask->name);
	else if (strcmp(name, "NewInternalClient") == 0)
		address_print(&ask->host, text);
	else if (strcmp(name, "NewRemoteHost") == 0 && !address_is_unspecified(&ask->remote))
		address_print(&ask->remote, text);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(numbers[i].name, name) == 0)
			sprintf(text, "%u", numbers[i].value);
}

/* "without NAME" and "saying NAME VALUE" spoil one argument. */
static inline void
write_argument(const struct ask *ask, const char *name, FILE *out)
{
	char text[MAPPING_DESCRIPTION_MAX + 1];
	bool spoilt = strcmp(ask->spoilt, name) == 0;

	if (spoilt && ask->missing)
		return;
	print_argument(ask, name, text);
	fprintf(out, "<%s>%s</%s>", name, spoilt ? ask->saying : text, name);
}

/* The body of an action's request.  Returns its length. */
static inline size_t
write_soap(const struct ask *ask, char *body, size_t size)
{
	const struct soap_action *action = soap_actions;
	FILE *out = fmemopen(body, size, "w");

	while (strcmp(action->name, ask->action) != 0)
		action++;
	fprintf(out,
		"<?xml version=\"1.0\"?><s:Envelope "
		"xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>"
		"<u:%s xmlns:u=\"" SOAP_TYPE "%u\">",
		ask->action, ask->version);
	for (const char *const *name = action->arguments; *name; name++)
		write_argument(ask, *name, out);
	fprintf(out, "</u:%s></s:Body></s:Envelope>", ask->action);
	fclose(out);
	return strlen(body);
}

/* A number in the text of an answer; 0 if it is not there. */
static inline uint32_t
find_number(const char *text, const char *name)
{
	char mark[80];
	const char *at;

	snprintf(mark, sizeof(mark), "<%s>", name);
	at = strstr(text, mark);
	return at ? (uint32_t)strtoul(at + strlen(mark), NULL, 10) : 0;
}

/* Of a list, port is how many there are. */
static inline const char *
read_soap(const struct ask *ask, const char *text, struct heard *heard)
{
	static const char mark[] = "<p:PortMappingEntry>";
	char answer[80];

	*heard = (struct heard){.any = true, .result = find_number(text, "errorCode")};
	if (heard->result != 0)
		return strstr(text, "Fault>") ? NULL : "an error and no fault";
	snprintf(answer, sizeof(answer), "<u:%sResponse xmlns:u=\"" SOAP_TYPE "%u\">", ask->action,
		 ask->version);
	if (!strstr(text, answer))
		return "to another action";
	if (strcmp(ask->action, "AddPortMapping") == 0)
		heard->port = ask->external;
	else if (strcmp(ask->action, "AddAnyPortMapping") == 0)
		heard->port = (uint16_t)find_number(text, "NewReservedPort");
	else
		heard->port = (uint16_t)find_number(text, "NewExternalPort");
	heard->lifetime = find_number(text, "NewLeaseDuration");
	if (strcmp(ask->action, "GetListOfPortMappings") == 0)
		for (heard->port = 0; (text = strstr(text, mark)); text++)
			heard->port++;
	return NULL;
}

#endif
