/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clients of the stories: they write requests and read answers octet by octet, without the
 * codecs' help.  UPnP, whose codec is not there yet, asks with the request that its actions will
 * become (interworking 2.3 to 2.6, 3).
 */
#ifndef PORTLEASE_TESTS_CLIENT_H
#define PORTLEASE_TESTS_CLIENT_H

#include <stdio.h>
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
	uint32_t version, opcode; /* octets of the datagram */
	uint32_t cut;		  /* how many of them are sent */
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

enum { UPNP_LIFETIME_MAX = 604800 };

static inline struct map_request
upnp_request(const struct ask *ask)
{
	struct map_request request = {
	    .kind = ask->kind,
	    .origin = ORIGIN_UPNP,
	    .transport = ask->transport,
	    .client = ask->client,
	    .internal = {ask->host, ask->internal},
	    .external_port = ask->external,
	    .lifetime = ask->lifetime ? ask->lifetime : UPNP_LIFETIME_MAX,
	    .lifetime_max = UPNP_LIFETIME_MAX,
	    .if_taken = ask->if_taken,
	    .by_external = true,
	    .may_replace = ORIGIN_BIT(ORIGIN_UPNP),
	    .may_delete = ORIGIN_BIT(ORIGIN_UPNP) | ORIGIN_BIT(ORIGIN_NATPMP),
	};

	snprintf(request.description, sizeof(request.description), "%s", ask->name);
	return request;
}

/* As WANIPConnection:2 words it. */
static inline unsigned
upnp_error(const struct map_request *request, enum map_result result)
{
	static const unsigned errors[MAP_RESULTS] = {
	    [MAP_NOT_AUTHORIZED] = 606, [MAP_PORT_FORBIDDEN] = 606, [MAP_PORT_TAKEN] = 718,
	    [MAP_NOT_YOURS] = 606,	[MAP_NOT_FOUND] = 714,	    [MAP_NO_ADDRESS] = 501,
	    [MAP_NO_RESOURCES] = 728,	[MAP_QUOTA] = 728,
	};

	if (result == MAP_OTHER_MECHANISM || result == MAP_GATEWAY_PORT)
		return request->kind == REQUEST_MAP ? 729 : 606;
	return result == MAP_OK || errors[result] ? errors[result] : 501;
}

#endif
