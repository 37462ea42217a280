/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One address of either family; IPv4 is held v4-mapped (::ffff:a.b.c.d), as PCP writes it (RFC 6887
 * 5). */
#ifndef PORTLEASE_ADDRESS_H
#define PORTLEASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address {
	uint8_t bytes[16]; /* network order */
};

struct prefix {
	struct address address;
	uint8_t length; /* of 128: an IPv4 /24 has 120 */
};

enum { ADDRESS_TEXT_SIZE = 46, PREFIX_TEXT_SIZE = 50 }; /* with NUL */

enum address_scope {
	ADDRESS_UNUSABLE, /* unspecified, loopback, link-local, multicast, 240/4, 0/8 */
	ADDRESS_PRIVATE,  /* RFC 1918, RFC 6598 shared space, 192.0.0.0/24 */
	ADDRESS_GLOBAL,
};

/* network: four octets in network order, as in in_addr.s_addr. */
struct address address_from_ipv4(uint32_t network);
/* The reverse, in network order; only for which address_is_ipv4(). */
uint32_t address_to_ipv4(const struct address *);
/* Tests all 96 leading bits (RFC 6887 5). */
bool address_is_ipv4(const struct address *);
/* True for :: and for ::ffff:0.0.0.0. */
bool address_is_unspecified(const struct address *);
bool address_equal(const struct address *, const struct address *);
/* Of 64 bits, in which an IPv6 host has as many addresses as it likes. */
bool address_same_network(const struct address *, const struct address *);
int address_compare(const struct address *, const struct address *); /* as memcmp */
enum address_scope address_scope(
    const struct address *); /* IPv4 only; any IPv6 address is UNUSABLE until IPv6 comes */

/* Strict numeric forms only; IPv4 "a.b.c.d" or IPv6.  False: *out untouched. */
bool address_parse(const char *text, struct address *out);
/* IPv4 in dotted form.  Returns buf. */
const char *address_print(const struct address *, char buf[ADDRESS_TEXT_SIZE]);

/* "ADDRESS/LENGTH" or "ADDRESS" (all bits).  Bits set past the length: false. */
bool prefix_parse(const char *text, struct prefix *out);
const char *prefix_print(const struct prefix *, char buf[PREFIX_TEXT_SIZE]);
bool prefix_contains(const struct prefix *, const struct address *);

#endif
