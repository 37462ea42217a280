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

static bool
prefixes_meet(const struct prefix *a, const struct prefix *b)
{
	return a->length == 0 || b->length == 0 ||
	       (a->length < b->length ? prefix_contains(a, &b->address)
				      : prefix_contains(b, &a->address));
}

bool
forwards_overlap(const struct forward *a, const struct forward *b)
{
	return (a->transports & b->transports) && a->external.first <= b->external.last &&
	       b->external.first <= a->external.last && prefixes_meet(&a->remote, &b->remote);
}

static bool
is_letter(unsigned char c)
{
	return c >= 0x80 || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

bool
forward_name_is_good(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)name[i];

		if (!is_letter(c) && (i == 0 || !strchr("0123456789 -_.", c)))
			return false;
	}
	return length > 0 && length < FORWARD_NAME_SIZE;
}

const char *
forward_complete(struct forward *forward)
{
	bool range = forward->external.first != forward->external.last;

	if (!forward->target.port)
		forward->target.port = forward->external.first;
	if (!address_is_ipv4(&forward->target.address) ||
	    address_scope(&forward->target.address) == ADDRESS_UNUSABLE)
		return "an IPv4 address that other hosts can reach as target";
	if (range && forward->target.port != forward->external.first)
		return "a range to keep its port numbers: a target without a port";
	if (range && forward->external.last >= MAPPING_SPARE_PORTS)
		return "a range to end below 61000";
	if (forward->helper == HELPER_FTP && (range || forward->transports != FORWARD_TCP))
		return "one port of tcp for helper = ftp";
	return NULL;
}

/* Strict decimal, within 1-65535. */
static bool
parse_port(const char *text, size_t length, uint16_t *out)
{
	uint32_t value = 0;

	if (length == 0 || length > 5 || text[0] == '0')
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(text[i] - '0');
	}
	*out = (uint16_t)value;
	return value <= UINT16_MAX;
}

bool
port_range_parse(const char *text, struct port_range *out)
{
	size_t length = strcspn(text, "-");

	if (!parse_port(text, length, &out->first))
		return false;
	out->last = out->first;
	if (text[length] && !parse_port(text + length + 1, strlen(text + length + 1), &out->last))
		return false;
	return out->first <= out->last;
}

bool
forward_target_parse(const char *text, struct endpoint *out)
{
	char address[ADDRESS_TEXT_SIZE];
	size_t length = strcspn(text, ":");

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	out->port = 0;
	if (text[length] && !parse_port(text + length + 1, strlen(text + length + 1), &out->port))
		return false;
	return address_parse(address, &out->address);
}

bool
forward_remote_parse(const char *text, struct prefix *out)
{
	if (!prefix_parse(text, out) || !address_is_ipv4(&out->address) || out->length < 96)
		return false;
	if (out->length == 96) /* all there are */
		*out = (struct prefix){.length = 0};
	return out->length == 0 || !address_is_unspecified(&out->address);
}

/* -1: none of them. */
static int
choose(const char *const *words, int count, const char *word)
{
	for (int i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}

bool
forward_transports_parse(const char *text, uint8_t *out)
{
	/* In the order of the sets 1, 2 and 3. */
	static const char *const words[] = {"tcp", "udp", "both"};
	int chosen = choose(words, 3, text);

	*out = (uint8_t)(chosen + 1);
	return chosen >= 0;
}

bool
helper_parse(const char *text, enum helper *out)
{
	static const char *const words[] = {[HELPER_NONE] = "none", [HELPER_FTP] = "ftp"};
	int chosen = choose(words, 2, text);

	*out = (enum helper)chosen;
	return chosen >= 0;
}
