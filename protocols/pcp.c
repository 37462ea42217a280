/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCP's header, ANNOUNCE, MAP and its table of options.  Clauses are of RFC 6887. */
#include "pcp.h"

#include "wire.h"

enum {
	VERSION = 2,
	RESPONSE = 0x80, /* the R bit, beside the opcode */
	OPTIONAL = 0x80, /* top bit of an option's code */
	WORD = 4,	 /* everything is padded to whole ones */
};

/* Where fields are, and how long messages are before their options. */
enum {
	CLIENT_AT = 8,	  /* in requests: the client's address */
	RESERVED_AT = 12, /* in responses: 96 reserved bits, to the header's end */
	HEADER_SIZE = 24,
	NONCE_AT = HEADER_SIZE,
	PROTOCOL_AT = 36,
	INTERNAL_PORT_AT = 40,
	EXTERNAL_AT = 42, /* port and address, suggested or assigned */
	MAP_SIZE = 60,
};

enum opcode { OPCODE_ANNOUNCE, OPCODE_MAP, OPCODES };

/* 7.4, in seconds. */
enum { LONG_ERROR = 1800, SHORT_ERROR = 30 };

static const struct answer {
	uint8_t code;
	uint16_t lifetime; /* of the error */
	bool told;	   /* the core may know a better lifetime */
	bool unparsed;	   /* the request's last 96 bits of the client address go back (7.2) */
} answers[MAP_RESULTS] = {
    [MAP_OK] = {.code = 0},
    [MAP_NOT_AUTHORIZED] = {.code = 2, .lifetime = LONG_ERROR},
    [MAP_PORT_FORBIDDEN] = {.code = 11, .lifetime = LONG_ERROR},
    [MAP_PORT_TAKEN] = {.code = 11, .lifetime = SHORT_ERROR, .told = true},
    [MAP_GATEWAY_PORT] = {.code = 11, .lifetime = SHORT_ERROR},
    [MAP_NOT_YOURS] = {.code = 2, .lifetime = LONG_ERROR, .told = true},
    [MAP_OTHER_MECHANISM] = {.code = 2, .lifetime = LONG_ERROR},
    [MAP_NOT_FOUND] = {.code = 0}, /* deleting what is not there: 15.1 */
    [MAP_NO_ADDRESS] = {.code = 7, .lifetime = SHORT_ERROR},
    [MAP_NO_RESOURCES] = {.code = 8, .lifetime = SHORT_ERROR},
    [MAP_QUOTA] = {.code = 10, .lifetime = SHORT_ERROR},
    [MAP_UNSUPPORTED_VERSION] = {.code = 1, .lifetime = LONG_ERROR, .unparsed = true},
    [MAP_UNSUPPORTED_OPCODE] = {.code = 4, .lifetime = LONG_ERROR, .unparsed = true},
    [MAP_UNSUPPORTED_OPTION] = {.code = 5, .lifetime = LONG_ERROR},
    [MAP_UNSUPPORTED_PROTOCOL] = {.code = 9, .lifetime = LONG_ERROR},
    [MAP_MALFORMED_REQUEST] = {.code = 3, .lifetime = LONG_ERROR, .unparsed = true},
    [MAP_MALFORMED_OPTION] = {.code = 6, .lifetime = LONG_ERROR, .unparsed = true},
    [MAP_ADDRESS_MISMATCH] = {.code = 12, .lifetime = LONG_ERROR},
};

struct option {
	uint8_t code;
	uint16_t length; /* without padding */
	const uint8_t *data;
};

/* 13.2, 11.3: that port or none; so it needs a port, and a mapping to make. */
static enum map_result
read_prefer_failure(const struct option *option, struct map_request *request)
{
	if (option->length > 0 || request->external_port == 0 || request->kind != REQUEST_MAP)
		return MAP_MALFORMED_OPTION;
	request->if_taken = IF_TAKEN_FAIL;
	return MAP_OK;
}

/* The options we process.  A success answers with each as it came. */
static const struct option_kind {
	uint8_t code;
	bool once;
	enum map_result (*read)(const struct option *, struct map_request *);
} option_kinds[] = {
    {2, true, read_prefer_failure},
};

enum { OPTION_KINDS = sizeof(option_kinds) / sizeof(option_kinds[0]) };

static const struct option_kind *
option_kind(uint8_t code)
{
	for (size_t i = 0; i < OPTION_KINDS; i++)
		if (option_kinds[i].code == code)
			return &option_kinds[i];
	return NULL;
}

static size_t
padded(size_t n)
{
	return (n + WORD - 1) / WORD * WORD;
}

/* A walk over options, up to a tail of zero words, which some clients append. */
struct option_walk {
	struct wire_reader in;
	size_t end; /* past the last octet that is not zero */
};

static struct option_walk
walk_options(const struct wire_reader *at)
{
	struct option_walk walk = {*at, at->size};

	while (walk.end > at->at && at->bytes[walk.end - 1] == 0)
		walk.end--;
	return walk;
}

/* False at the end, or with .in.failed at an option that runs past the datagram. */
static bool
next_option(struct option_walk *walk, struct option *option)
{
	struct wire_reader *in = &walk->in;

	if (in->at >= walk->end)
		return false;
	option->code = wire_u8(in);
	wire_u8(in); /* reserved */
	option->length = wire_u16(in);
	option->data = wire_take(in, padded(option->length));
	return !in->failed;
}

/* 7.3: first whether the list parses at all, then each option in its order. */
static enum map_result
read_options(struct wire_reader *at, struct map_request *request)
{
	struct option_walk walk = walk_options(at);
	bool seen[OPTION_KINDS] = {false};
	struct option option;

	while (next_option(&walk, &option))
		;
	if (walk.in.failed)
		return MAP_MALFORMED_OPTION;

	walk = walk_options(at);
	while (next_option(&walk, &option)) {
		const struct option_kind *kind = option_kind(option.code);
		enum map_result result;

		if (!kind && option.code & OPTIONAL)
			continue;
		if (!kind)
			return MAP_UNSUPPORTED_OPTION;
		if (kind->once && seen[kind - option_kinds])
			return MAP_MALFORMED_OPTION;
		seen[kind - option_kinds] = true;
		result = kind->read(&option, request);
		if (result != MAP_OK)
			return result;
	}
	return MAP_OK;
}

/* 11.3: wildcards and protocols without ports are "not possible" here. */
static enum map_result
read_transport(uint8_t protocol, struct map_request *request)
{
	if (protocol == 0 && request->internal.port != 0)
		return MAP_MALFORMED_REQUEST;
	if (request->internal.port == 0)
		return MAP_UNSUPPORTED_PROTOCOL;
	if (protocol != TRANSPORT_TCP && protocol != TRANSPORT_UDP)
		return MAP_UNSUPPORTED_PROTOCOL;
	request->transport = (enum transport)protocol;
	return MAP_OK;
}

static enum map_result
read_map(struct wire_reader *in, struct map_request *request)
{
	enum map_result result;
	uint8_t protocol;

	request->kind = request->lifetime > 0 ? REQUEST_MAP : REQUEST_DELETE;
	request->has_nonce = true;
	wire_copy(in, request->nonce.bytes, sizeof(request->nonce.bytes));
	protocol = wire_u8(in);
	wire_take(in, 3); /* reserved */
	request->internal.port = wire_u16(in);
	request->external_port = wire_u16(in);
	wire_copy(in, request->external_address.bytes, sizeof(request->external_address.bytes));

	result = read_options(in, request);
	/* A suggested address is a hint, often a wrong one, unless PREFER_FAILURE makes it a wish.
	 */
	if (request->if_taken != IF_TAKEN_FAIL)
		request->external_address = (struct address){0};
	if (request->kind == REQUEST_DELETE)
		request->external_port = 0; /* 15.1: ignored */
	return result != MAP_OK ? result : read_transport(protocol, request);
}

static const struct {
	size_t size; /* of a request without options */
	enum map_result (*read)(struct wire_reader *past_header, struct map_request *);
} opcodes[OPCODES] = {
    [OPCODE_ANNOUNCE] = {HEADER_SIZE, read_options},
    [OPCODE_MAP] = {MAP_SIZE, read_map},
};

/* From the length on, in the order of 8.2. */
static enum map_result
read_message(const struct datagram *datagram, struct map_request *request)
{
	struct wire_reader in = wire_reader(datagram->bytes, datagram->kept);
	uint8_t opcode = datagram->bytes[1];
	bool known = opcode < OPCODES;

	if (datagram->size > DATAGRAM_MAX || datagram->size % WORD != 0 ||
	    datagram->kept < datagram->size || (known && datagram->kept < opcodes[opcode].size))
		return MAP_MALFORMED_REQUEST;
	if (memcmp(datagram->bytes + CLIENT_AT, datagram->source.bytes,
		   sizeof(datagram->source.bytes)) != 0)
		return MAP_ADDRESS_MISMATCH;
	if (!known)
		return MAP_UNSUPPORTED_OPCODE;
	wire_take(&in, 4);
	request->lifetime = wire_u32(&in);
	wire_take(&in, sizeof(struct address));
	return opcodes[opcode].read(&in, request);
}

enum decode_result
pcp_decode(const struct datagram *datagram, struct map_request *request, struct map_reply *reply)
{
	*reply = (struct map_reply){.result = MAP_UNSUPPORTED_VERSION};
	*request = (struct map_request){
	    .kind = REQUEST_ANNOUNCE,
	    .origin = ORIGIN_PCP,
	    .client = datagram->source,
	    .internal.address = datagram->source,
	    .if_taken = IF_TAKEN_OTHER_PORT,
	    .adopts = ORIGIN_BIT(ORIGIN_NATPMP) | ORIGIN_BIT(ORIGIN_UPNP),
	    .may_delete = ORIGIN_BIT(ORIGIN_PCP),
	};
	if (datagram->kept < 2 || datagram->bytes[1] & RESPONSE)
		return DECODE_IGNORE;
	if (datagram->bytes[0] != VERSION)
		return DECODE_REJECT;
	if (datagram->kept < HEADER_SIZE)
		return DECODE_IGNORE;
	reply->result = read_message(datagram, request);
	return reply->result == MAP_OK ? DECODE_OK : DECODE_REJECT;
}

/* Without the reserved bits. */
static void
put_header(struct wire_writer *out, uint8_t opcode, uint8_t code, uint32_t lifetime, uint32_t epoch)
{
	wire_put_u8(out, VERSION);
	wire_put_u8(out, RESPONSE | opcode);
	wire_put_u8(out, 0);
	wire_put_u8(out, code);
	wire_put_u32(out, lifetime);
	wire_put_u32(out, epoch);
}

/* 8.2 and 7.3: the whole request goes back, under a header of ours. */
static size_t
encode_error(const struct datagram *datagram, const struct map_reply *reply, uint8_t *out,
	     size_t size)
{
	const struct answer *answer = &answers[reply->result];
	size_t kept = datagram->kept < DATAGRAM_MAX ? datagram->kept : DATAGRAM_MAX;
	size_t length = kept < HEADER_SIZE ? HEADER_SIZE : padded(kept);
	struct wire_writer header = wire_writer(out, RESERVED_AT);

	if (size < length)
		return 0;
	memcpy(out, datagram->bytes, kept);
	memset(out + kept, 0, length - kept);
	put_header(&header, datagram->bytes[1], answer->code,
		   answer->told && reply->lifetime > 0 ? reply->lifetime : answer->lifetime,
		   reply->epoch);
	if (!answer->unparsed)
		memset(out + RESERVED_AT, 0, HEADER_SIZE - RESERVED_AT);
	return length;
}

/* What identifies the mapping goes back; of a delete the suggestion too (erratum 3621). */
static void
put_map(struct wire_writer *out, const struct datagram *datagram, const struct map_request *request,
	const struct map_reply *reply)
{
	const uint8_t *asked = datagram->bytes;

	wire_put(out, asked + NONCE_AT, PROTOCOL_AT + 1 - NONCE_AT);
	wire_put_zero(out, INTERNAL_PORT_AT - PROTOCOL_AT - 1);
	wire_put(out, asked + INTERNAL_PORT_AT, EXTERNAL_AT - INTERNAL_PORT_AT);
	if (request->kind == REQUEST_MAP) {
		wire_put_u16(out, reply->external.port);
		wire_put(out, &reply->external.address, sizeof(reply->external.address));
	} else {
		wire_put(out, asked + EXTERNAL_AT, MAP_SIZE - EXTERNAL_AT);
	}
}

/* 7.3: those that were processed, none that was not. */
static void
put_options(struct wire_writer *out, const struct datagram *datagram)
{
	struct wire_reader in = wire_reader(datagram->bytes, datagram->kept);
	struct option_walk walk;
	struct option option;

	wire_take(&in, out->at); /* they begin where ours do */
	walk = walk_options(&in);
	while (next_option(&walk, &option)) {
		if (!option_kind(option.code))
			continue;
		wire_put_u8(out, option.code);
		wire_put_u8(out, 0);
		wire_put_u16(out, option.length);
		wire_put(out, option.data, padded(option.length));
	}
}

size_t
pcp_encode(const struct datagram *datagram, const struct map_request *request,
	   const struct map_reply *reply, uint8_t *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	if (answers[reply->result].code != 0)
		return encode_error(datagram, reply, out, size);
	put_header(&w, datagram->bytes[1], 0, request->kind == REQUEST_MAP ? reply->lifetime : 0,
		   reply->epoch);
	wire_put_zero(&w, HEADER_SIZE - RESERVED_AT);
	if (request->kind != REQUEST_ANNOUNCE)
		put_map(&w, datagram, request, reply);
	put_options(&w, datagram);
	return w.failed ? 0 : w.at;
}

size_t
pcp_encode_announcement(uint32_t epoch, uint8_t *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	put_header(&w, OPCODE_ANNOUNCE, 0, 0, epoch);
	wire_put_zero(&w, HEADER_SIZE - RESERVED_AT);
	return w.failed ? 0 : w.at;
}
