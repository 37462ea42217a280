/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing, printing and comparing addresses and prefixes.  No name lookups: numbers only. */
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { IPV4_LEAD = 12, IPV4_LEAD_BITS = 96 };

static const uint8_t ipv4_lead[IPV4_LEAD] = {[10] = 0xff, [11] = 0xff};

struct address
address_from_ipv4(uint32_t network)
{
	struct address a;

	memcpy(a.bytes, ipv4_lead, IPV4_LEAD);
	memcpy(a.bytes + IPV4_LEAD, &network, sizeof(network));
	return a;
}

uint32_t
address_to_ipv4(const struct address *a)
{
	uint32_t network;

	memcpy(&network, a->bytes + IPV4_LEAD, sizeof(network));
	return network;
}

bool
address_is_ipv4(const struct address *a)
{
	return memcmp(a->bytes, ipv4_lead, IPV4_LEAD) == 0;
}

bool
address_is_unspecified(const struct address *a)
{
	static const struct address none;

	return address_equal(a, &none) || (address_is_ipv4(a) && address_to_ipv4(a) == 0);
}

bool
address_equal(const struct address *a, const struct address *b)
{
	return address_compare(a, b) == 0;
}

bool
address_same_network(const struct address *a, const struct address *b)
{
	return memcmp(a->bytes, b->bytes, 8) == 0;
}

int
address_compare(const struct address *a, const struct address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

enum address_scope
address_scope(const struct address *a)
{
	static const struct {
		uint32_t network;
		uint8_t bits;
		enum address_scope scope;
	} blocks[] = {
	    {0x00000000, 8, ADDRESS_UNUSABLE},	/* "this network" */
	    {0x7f000000, 8, ADDRESS_UNUSABLE},	/* loopback */
	    {0xa9fe0000, 16, ADDRESS_UNUSABLE}, /* link-local */
	    {0xe0000000, 3, ADDRESS_UNUSABLE},	/* multicast and 240/4 */
	    {0x0a000000, 8, ADDRESS_PRIVATE},	/* RFC 1918 */
	    {0xac100000, 12, ADDRESS_PRIVATE},	{0xc0a80000, 16, ADDRESS_PRIVATE},
	    {0x64400000, 10, ADDRESS_PRIVATE}, /* RFC 6598 */
	    {0xc0000000, 24, ADDRESS_PRIVATE}, /* RFC 6333, DS-Lite */
	};
	uint32_t host;

	if (!address_is_ipv4(a))
		return ADDRESS_UNUSABLE;
	host = ntohl(address_to_ipv4(a));
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		if ((host ^ blocks[i].network) >> (32 - blocks[i].bits) == 0)
			return blocks[i].scope;
	return ADDRESS_GLOBAL;
}

bool
address_parse(const char *text, struct address *out)
{
	struct in_addr v4;
	struct address v6;

	if (inet_pton(AF_INET, text, &v4) == 1)
		*out = address_from_ipv4(v4.s_addr);
	else if (inet_pton(AF_INET6, text, v6.bytes) == 1)
		*out = v6;
	else
		return false;
	return true;
}

const char *
address_print(const struct address *a, char buf[ADDRESS_TEXT_SIZE])
{
	bool v4 = address_is_ipv4(a);

	/* Cannot fail: the buffer has room for the longest text of either family. */
	inet_ntop(v4 ? AF_INET : AF_INET6, a->bytes + (v4 ? IPV4_LEAD : 0), buf, ADDRESS_TEXT_SIZE);
	return buf;
}

static bool
prefix_is_ipv4(const struct prefix *p)
{
	return p->length >= IPV4_LEAD_BITS && address_is_ipv4(&p->address);
}

/* The first n bits of both are the same. */
static bool
same_bits(const struct address *a, const struct address *b, unsigned n)
{
	unsigned whole = n / 8, rest = n % 8;

	if (memcmp(a->bytes, b->bytes, whole) != 0)
		return false;
	return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

static bool
no_bits_past(const struct address *a, unsigned n)
{
	for (unsigned bit = n; bit < 8 * sizeof(a->bytes); bit++)
		if (a->bytes[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

/* Decimal without sign or leading zeros, up to max. */
static bool
parse_length(const char *text, unsigned max, unsigned *out)
{
	unsigned n = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = 10 * n + (unsigned)(*text - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

bool
prefix_parse(const char *text, struct prefix *out)
{
	size_t before = strcspn(text, "/");
	/* An IPv4 address in IPv6 notation has its length in IPv6 terms too. */
	bool v4 = memchr(text, ':', before) == NULL;
	unsigned bits = v4 ? 32 : 128;
	char part[ADDRESS_TEXT_SIZE];
	struct address address;

	if (before >= sizeof(part))
		return false;
	memcpy(part, text, before);
	part[before] = '\0';
	if (!address_parse(part, &address))
		return false;
	if (text[before] == '/' && !parse_length(text + before + 1, bits, &bits))
		return false;
	if (v4)
		bits += IPV4_LEAD_BITS;
	if (!no_bits_past(&address, bits))
		return false;
	*out = (struct prefix){.address = address, .length = (uint8_t)bits};
	return true;
}

const char *
prefix_print(const struct prefix *p, char buf[PREFIX_TEXT_SIZE])
{
	char address[ADDRESS_TEXT_SIZE];
	unsigned length = p->length;

	if (prefix_is_ipv4(p))
		length -= IPV4_LEAD_BITS;
	snprintf(buf, PREFIX_TEXT_SIZE, "%s/%u", address_print(&p->address, address), length);
	return buf;
}

bool
prefix_contains(const struct prefix *p, const struct address *a)
{
	/* Who writes ::/0 means every IPv6 host, not also the IPv4 ones that our form lets it
	 * cover. */
	if (address_is_ipv4(a) && !prefix_is_ipv4(p))
		return false;
	return same_bits(&p->address, a, p->length);
}
