/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NAT-PMP datagrams to requests and back.  Clauses are of RFC 6886. */
#include "natpmp.h"

#include "wire.h"

enum {
	VERSION = 0,
	RESPONSE = 0x80, /* top bit of the opcode */
	ECHO_SIZE = 4,	 /* of a request that has room for a result code */
};

enum { OPCODE_ADDRESS, OPCODE_MAP_UDP, OPCODE_MAP_TCP, OPCODES };

enum code {
	CODE_SUCCESS,
	CODE_UNSUPPORTED_VERSION,
	CODE_REFUSED,
	CODE_NETWORK_FAILURE,
	CODE_OUT_OF_RESOURCES,
	CODE_UNSUPPORTED_OPCODE,
};

/* 3.5; what a NAT-PMP request cannot lead to is a refusal. */
static const enum code codes[MAP_RESULTS] = {
    [MAP_OK] = CODE_SUCCESS,
    [MAP_NOT_AUTHORIZED] = CODE_REFUSED,
    [MAP_PORT_FORBIDDEN] = CODE_REFUSED,
    [MAP_PORT_TAKEN] = CODE_OUT_OF_RESOURCES,
    [MAP_GATEWAY_PORT] = CODE_OUT_OF_RESOURCES,
    [MAP_NOT_YOURS] = CODE_REFUSED,
    [MAP_OTHER_MECHANISM] = CODE_REFUSED,
    [MAP_NOT_FOUND] = CODE_SUCCESS, /* deleting what is not there: 3.4 */
    [MAP_NO_ADDRESS] = CODE_NETWORK_FAILURE,
    [MAP_NO_RESOURCES] = CODE_OUT_OF_RESOURCES,
    [MAP_QUOTA] = CODE_OUT_OF_RESOURCES,
    [MAP_UNSUPPORTED_VERSION] = CODE_UNSUPPORTED_VERSION,
    [MAP_UNSUPPORTED_OPCODE] = CODE_UNSUPPORTED_OPCODE,
    [MAP_UNSUPPORTED_OPTION] = CODE_REFUSED,
    [MAP_UNSUPPORTED_PROTOCOL] = CODE_REFUSED,
    [MAP_MALFORMED_REQUEST] = CODE_REFUSED,
    [MAP_MALFORMED_OPTION] = CODE_REFUSED,
    [MAP_ADDRESS_MISMATCH] = CODE_REFUSED,
};

static enum decode_result
reject(struct map_reply *reply, enum map_result result)
{
	reply->result = result;
	return DECODE_REJECT;
}

/* 3.3 and 3.4: a create, a delete or a delete-all. */
static enum decode_result
decode_map(struct wire_reader *in, struct map_request *request, struct map_reply *reply)
{
	wire_u16(in); /* reserved */
	request->internal.port = wire_u16(in);
	request->external_port = wire_u16(in);
	request->lifetime = wire_u32(in);
	if (in->failed)
		return DECODE_IGNORE;
	if (request->lifetime > 0) {
		request->kind = REQUEST_MAP;
		/* Not defined; it must not become a mapping of all ports. */
		return request->internal.port ? DECODE_OK : reject(reply, MAP_NOT_AUTHORIZED);
	}
	request->external_port = 0;
	if (request->internal.port) {
		request->kind = REQUEST_DELETE;
	} else {
		request->kind = REQUEST_DELETE_ALL;
		request->may_delete = ORIGIN_BIT(ORIGIN_NATPMP);
	}
	return DECODE_OK;
}

enum decode_result
natpmp_decode(const struct datagram *datagram, struct map_request *request, struct map_reply *reply)
{
	struct wire_reader in = wire_reader(datagram->bytes, datagram->kept);
	uint8_t opcode;

	*reply = (struct map_reply){.result = MAP_OK};
	*request = (struct map_request){
	    .kind = REQUEST_ADDRESS,
	    .origin = ORIGIN_NATPMP,
	    .client = datagram->source,
	    .internal.address = datagram->source,
	    .if_taken = IF_TAKEN_OTHER_PORT,
	    .reserve_companion = true,
	    .may_delete = ORIGIN_BIT(ORIGIN_NATPMP) | ORIGIN_BIT(ORIGIN_UPNP),
	};
	wire_u8(&in);
	opcode = wire_u8(&in);
	if (in.failed || opcode & RESPONSE)
		return DECODE_IGNORE;
	if (opcode >= OPCODES)
		return reject(reply, MAP_UNSUPPORTED_OPCODE);
	if (opcode == OPCODE_ADDRESS)
		return DECODE_OK;
	request->transport = opcode == OPCODE_MAP_UDP ? TRANSPORT_UDP : TRANSPORT_TCP;
	return decode_map(&in, request, reply);
}

static void
put_header(struct wire_writer *out, uint8_t opcode, enum code code, uint32_t epoch)
{
	wire_put_u8(out, VERSION);
	wire_put_u8(out, opcode);
	wire_put_u16(out, (uint16_t)code);
	wire_put_u32(out, epoch);
}

/* 3.2; also the announcement.  0.0.0.0 is never a success: clients would believe it. */
static void
put_address(struct wire_writer *out, const struct map_reply *reply)
{
	const struct address *external = &reply->external.address;
	enum code code = codes[reply->result];

	if (code == CODE_SUCCESS &&
	    (!address_is_ipv4(external) || address_is_unspecified(external)))
		code = CODE_NETWORK_FAILURE;
	put_header(out, RESPONSE | OPCODE_ADDRESS, code, reply->epoch);
	if (code == CODE_SUCCESS)
		wire_put(out, external->bytes + 12, 4);
	else
		wire_put_zero(out, 4);
}

static void
put_map(struct wire_writer *out, const struct map_request *request, const struct map_reply *reply)
{
	bool mapped = request->kind == REQUEST_MAP && reply->result == MAP_OK;
	uint8_t opcode = request->transport == TRANSPORT_UDP ? OPCODE_MAP_UDP : OPCODE_MAP_TCP;

	put_header(out, RESPONSE | opcode, codes[reply->result], reply->epoch);
	wire_put_u16(out, request->internal.port);
	wire_put_u16(out, mapped ? reply->external.port : 0);
	wire_put_u32(out, mapped ? reply->lifetime : 0);
}

/* 3.5: the request as it came, with the response bit and the result in it. */
static void
put_unsupported_opcode(struct wire_writer *out, const struct datagram *datagram, uint32_t epoch)
{
	size_t kept = datagram->kept < DATAGRAM_MAX ? datagram->kept : DATAGRAM_MAX;
	uint8_t opcode = RESPONSE | datagram->bytes[1];

	if (kept < ECHO_SIZE) {
		put_header(out, opcode, CODE_UNSUPPORTED_OPCODE, epoch);
		return;
	}
	wire_put_u8(out, VERSION);
	wire_put_u8(out, opcode);
	wire_put_u16(out, CODE_UNSUPPORTED_OPCODE);
	wire_put(out, datagram->bytes + ECHO_SIZE, kept - ECHO_SIZE);
}

size_t
natpmp_encode(const struct datagram *datagram, const struct map_request *request,
	      const struct map_reply *reply, uint8_t *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	if (reply->result == MAP_UNSUPPORTED_OPCODE)
		put_unsupported_opcode(&w, datagram, reply->epoch);
	else if (request->kind == REQUEST_ADDRESS)
		put_address(&w, reply);
	else
		put_map(&w, request, reply);
	return w.failed ? 0 : w.at;
}

size_t
natpmp_encode_bad_version(uint32_t epoch, uint8_t *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	/* Opcode 0 without the response bit: clients know this packet by its octets. */
	put_header(&w, 0, CODE_UNSUPPORTED_VERSION, epoch);
	return w.failed ? 0 : w.at;
}

size_t
natpmp_encode_announcement(const struct address *external, uint32_t epoch, uint8_t *out,
			   size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	put_address(&w, &(struct map_reply){.epoch = epoch, .external.address = *external});
	return w.failed ? 0 : w.at;
}
