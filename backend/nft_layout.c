/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See nft_layout.h.  A new set, chain or rule is a row; the expressions are those that `nft` makes
 * of conf/ruleset.nft. */
#include "nft_layout.h"
#include "flows.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>

/* Sets */

/* Types as `nft` numbers them, for its listings; a concatenation holds 6 bits of each. */
enum {
	TYPE_IPV4_ADDR = 7,
	TYPE_INET_PROTO = 12,
	TYPE_INET_SERVICE = 13,
	TYPE_IFNAME = 41,
	TYPE_PORT = TYPE_INET_PROTO << 6 | TYPE_INET_SERVICE,
	TYPE_SOCKET = TYPE_INET_PROTO << 12 | TYPE_IPV4_ADDR << 6 | TYPE_INET_SERVICE,
	TYPE_REMOTE = TYPE_IPV4_ADDR << 12 | TYPE_PORT,
	TYPE_ENDPOINT = TYPE_IPV4_ADDR << 6 | TYPE_INET_SERVICE,
	TYPE_PORT_OF = TYPE_PORT << 6 | TYPE_IPV4_ADDR,
	TYPE_PLACE = TYPE_IPV4_ADDR << 12 | TYPE_PORT,
};

/* And its byte orders, without which it lists an interface name as "". */
enum { ORDER_HOST = 1, ORDER_NETWORK = 2 };

enum { MAPPINGS_MAX = 131072 };

/* Connection tracking of data connections, as an object of the table. */
#define FTP_HELPER "ftp"

/* A table that is never seen: it comes and goes in one transaction. */
#define PROBE_TABLE NFT_TABLE "_probe"

struct set {
	const char *name;
	uint32_t flags;
	uint32_t key_type, key_size;
	uint32_t data_type, data_size;
	uint32_t order;
	uint32_t size; /* 0 = no limit */
	bool counter;
	const char *fields; /* of intervals in several fields: how long each is, in octets */
};

enum { RANGES = NFT_SET_INTERVAL | NFT_SET_CONCAT };

static const struct set sets[] = {
    {
	.name = "wan4", /* addresses that are dialled from outside and in hairpin */
	.flags = NFT_SET_MAP,
	.key_type = TYPE_IPV4_ADDR,
	.key_size = 4,
	.data_type = NFT_DATA_VERDICT,
	.order = ORDER_NETWORK,
    },
    {
	.name = "wanif",
	.key_type = TYPE_IFNAME,
	.key_size = FIREWALL_INTERFACE_SIZE,
	.order = ORDER_HOST,
    },
    {
	.name = "lan4",
	.flags = NFT_SET_INTERVAL,
	.key_type = TYPE_IPV4_ADDR,
	.key_size = 4,
	.order = ORDER_NETWORK,
    },
    {
	.name = "fwd4", /* external port -> internal endpoint */
	.flags = NFT_SET_MAP | NFT_SET_TIMEOUT,
	.key_type = TYPE_PORT,
	.key_size = 8,
	.data_type = TYPE_ENDPOINT,
	.data_size = 8,
	.order = ORDER_NETWORK,
	.size = MAPPINGS_MAX,
	.counter = true,
    },
    {
	.name = "rfwd4", /* the same for one remote host; asked first */
	.flags = NFT_SET_MAP | NFT_SET_TIMEOUT,
	.key_type = TYPE_REMOTE,
	.key_size = 12,
	.data_type = TYPE_ENDPOINT,
	.data_size = 8,
	.order = ORDER_NETWORK,
	.size = MAPPINGS_MAX,
	.counter = true,
    },
    {
	.name = "ffwd4", /* the same for a prefix of remote hosts: static forwards alone */
	.flags = NFT_SET_MAP | RANGES,
	.key_type = TYPE_PORT_OF,
	.key_size = 12,
	.data_type = TYPE_ENDPOINT,
	.data_size = 8,
	.order = ORDER_NETWORK,
	.counter = true,
	.fields = "\1\2\4",
    },
    {
	.name = "range4", /* ranges of ports, which are kept: likewise, for a prefix or all */
	.flags = NFT_SET_MAP | RANGES,
	.key_type = TYPE_PORT_OF,
	.key_size = 12,
	.data_type = TYPE_IPV4_ADDR,
	.data_size = 4,
	.order = ORDER_NETWORK,
	.counter = true,
	.fields = "\1\2\4",
    },
    {
	.name = "rangeint4", /* internal ports of ranges, that send from the same external one */
	.flags = RANGES,
	.key_type = TYPE_PLACE,
	.key_size = 12,
	.order = ORDER_NETWORK,
	.fields = "\4\1\2",
    },
    {
	.name = "rangeext4", /* as ext4, of ranges */
	.flags = RANGES,
	.key_type = TYPE_PORT,
	.key_size = 8,
	.order = ORDER_NETWORK,
	.fields = "\1\2",
    },
    {
	.name = "ftp4", /* external ports where FTP is spoken */
	.key_type = TYPE_INET_SERVICE,
	.key_size = 2,
	.order = ORDER_NETWORK,
    },
    {
	.name = "out4", /* internal endpoint -> the external port it sends from */
	.flags = NFT_SET_MAP | NFT_SET_TIMEOUT,
	.key_type = TYPE_SOCKET,
	.key_size = 12,
	.data_type = TYPE_INET_SERVICE,
	.data_size = 2,
	.order = ORDER_NETWORK,
	.size = MAPPINGS_MAX,
    },
    {
	.name = "ext4", /* external ports in use: kept from other hosts' masquerade */
	.flags = NFT_SET_TIMEOUT,
	.key_type = TYPE_PORT,
	.key_size = 8,
	.order = ORDER_NETWORK,
	.size = MAPPINGS_MAX,
    },
};

/* Made anew for each rule that matches it: an anonymous set belongs to one rule. */
#define OWN_SET "__set%d"
static const struct set tcp_or_udp = {
    .name = OWN_SET,
    .flags = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT,
    .key_type = TYPE_INET_PROTO,
    .key_size = 1,
    .order = ORDER_HOST,
    .size = 2,
};

/* Chains */

struct chain {
	const char *name;
	const char *type; /* NULL: not hooked */
	uint32_t hook;
	int32_t priority;
};

static const struct chain chains[] = {
    /* After the admin's own forwards (firewalld hooks at dstnat + 10): theirs win. */
    {"prerouting", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST + 20},
    {"output", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST + 5},
    {"dn4", NULL, 0, 0},
    /* Before the admin's masquerade: the first chain that binds a flow wins. */
    {"postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC - 5},
    {"sn4", NULL, 0, 0},
    {"hp4", NULL, 0, 0},
    /* Before the admin's filter, which accepts established flows or refuses them in its own way. */
    {"forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER - 5},
};

/* Rules */

enum field_kind { FIELD_NONE, FIELD_NUMBER, FIELD_OCTETS, FIELD_TEXT, FIELD_SET_ID, FIELD_SOURCE };

struct field {
	enum field_kind kind;
	uint16_t attribute;
	uint8_t size; /* of octets */
	union {
		uint32_t number; /* host order */
		uint8_t octets[4];
		const char *text;
	} value;
};

enum { FIELDS_MAX = 6 };

struct expression {
	const char *name;
	struct field fields[FIELDS_MAX];
};

/* clang-format off */
#define FIELD(k, name)       .kind = FIELD_##k, .attribute = NFTNL_EXPR_##name
#define NUMBER(name, n)      { FIELD(NUMBER, name), .value.number = (n) }
#define OCTETS(name, n, ...) { FIELD(OCTETS, name), .size = (n), .value.octets = {__VA_ARGS__} }
#define TEXT(name, s)        { FIELD(TEXT, name), .value.text = (s) }
#define SET_ID(name)         { FIELD(SET_ID, name) }
#define SOURCE_OF(name)      { FIELD(SOURCE, name) }
#define PORT(name, n)        OCTETS(name, 2, (n) >> 8, (n) & 0xff)

/* Registers as `nft` numbers them: 1 to 4 of 16 octets, 8 to 23 of 4 octets in the same place. */
#define LOAD_META(what, to)  { "meta", { NUMBER(META_KEY, NFT_META_##what), \
					 NUMBER(META_DREG, to) } }
#define LOAD_CT(what, to)    { "ct", { NUMBER(CT_KEY, NFT_CT_##what), NUMBER(CT_DREG, to) } }
#define LOAD_DIALLED(to)     { "ct", { NUMBER(CT_KEY, NFT_CT_DST_IP), NUMBER(CT_DREG, to), \
				       OCTETS(CT_DIR, 1, IP_CT_DIR_ORIGINAL) } }
#define LOAD_HEADER(h, at, size, to) \
	{ "payload", { NUMBER(PAYLOAD_DREG, to), NUMBER(PAYLOAD_BASE, NFT_PAYLOAD_##h##_HEADER), \
		       NUMBER(PAYLOAD_OFFSET, at), NUMBER(PAYLOAD_LEN, size) } }
#define LOAD_PORT(n, to)     { "immediate", { NUMBER(IMM_DREG, to), PORT(IMM_DATA, n) } }
#define LOAD_OUR_SOURCE(to)  { "immediate", { NUMBER(IMM_DREG, to), SOURCE_OF(IMM_DATA) } }
#define STORE_MARK(from)     { "ct", { NUMBER(CT_KEY, NFT_CT_MARK), NUMBER(CT_SREG, from) } }
#define BITS(and, xor) \
	{ "bitwise", { NUMBER(BITWISE_SREG, 1), NUMBER(BITWISE_DREG, 1), NUMBER(BITWISE_LEN, 4), \
		       NUMBER(BITWISE_MASK, and), NUMBER(BITWISE_XOR, xor) } }
#define COMPARE(op, value)   { "cmp", { NUMBER(CMP_SREG, 1), NUMBER(CMP_OP, NFT_CMP_##op), value } }
#define IN_SET(name, from)   { "lookup", { NUMBER(LOOKUP_SREG, from), TEXT(LOOKUP_SET, name) } }
#define NOT_IN_SET(name, from) \
	{ "lookup", { NUMBER(LOOKUP_SREG, from), TEXT(LOOKUP_SET, name), \
		      NUMBER(LOOKUP_FLAGS, NFT_LOOKUP_F_INV) } }
#define IN_OWN_SET(from)     { "lookup", { NUMBER(LOOKUP_SREG, from), TEXT(LOOKUP_SET, OWN_SET), \
					   SET_ID(LOOKUP_SET_ID) } }
#define MAP(name, from, to)  { "lookup", { NUMBER(LOOKUP_SREG, from), TEXT(LOOKUP_SET, name), \
					   NUMBER(LOOKUP_DREG, to) } }
#define JUMP(chain) \
	{ "immediate", { NUMBER(IMM_DREG, NFT_REG_VERDICT), \
			 NUMBER(IMM_VERDICT, (uint32_t)NFT_JUMP), TEXT(IMM_CHAIN, chain) } }

/* Translations; the address is in register 1, ports are in the registers named. */
#define NAT(type, ...) \
	{ "nat", { NUMBER(NAT_TYPE, NFT_NAT_##type), NUMBER(NAT_FAMILY, NFPROTO_IPV4), \
		   NUMBER(NAT_REG_ADDR_MIN, 1), __VA_ARGS__ } }
#define NAT_FIRST(port)      NUMBER(NAT_REG_PROTO_MIN, port)
#define NAT_LAST(port)       NUMBER(NAT_REG_PROTO_MAX, port)
#define NAT_PORT_GIVEN       NUMBER(NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED)
#define DNAT(port)           NAT(DNAT, NAT_FIRST(port))
#define DNAT_ADDRESS         NAT(DNAT, { .kind = FIELD_NONE })
#define SNAT                 NAT(SNAT, { .kind = FIELD_NONE })
#define SNAT_PORT(port)      NAT(SNAT, NAT_FIRST(port), NAT_PORT_GIVEN)
#define SNAT_PORTS(a, b)     NAT(SNAT, NAT_FIRST(a), NAT_LAST(b), NAT_PORT_GIVEN)
/* The kernel does not infer this flag from masquerade's ports: without it they are ignored. */
#define MASQUERADE(...) \
	{ "masq", { NUMBER(MASQ_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED), __VA_ARGS__ } }
#define MASQUERADE_ANY       { "masq", {{ .kind = FIELD_NONE }} }
#define MASQ_FIRST(port)     NUMBER(MASQ_REG_PROTO_MIN, port)
#define MASQ_LAST(port)      NUMBER(MASQ_REG_PROTO_MAX, port)

#define SET_FTP_HELPER       { "objref", { NUMBER(OBJREF_IMM_TYPE, NFT_OBJECT_CT_HELPER), \
					   TEXT(OBJREF_IMM_NAME, FTP_HELPER) } }
#define DROP \
	{ "immediate", { NUMBER(IMM_DREG, NFT_REG_VERDICT), NUMBER(IMM_VERDICT, NF_DROP) } }
#define RESET                { "reject", { NUMBER(REJECT_TYPE, NFT_REJECT_TCP_RST), \
					   OCTETS(REJECT_CODE, 1, 0) } }

/* Phrases. */
#define LOAD_SADDR(to)       LOAD_HEADER(NETWORK, 12, 4, to)
#define LOAD_DADDR(to)       LOAD_HEADER(NETWORK, 16, 4, to)
#define LOAD_SPORT(to)       LOAD_HEADER(TRANSPORT, 0, 2, to)
#define LOAD_DPORT(to)       LOAD_HEADER(TRANSPORT, 2, 2, to)
#define TCP                  LOAD_META(L4PROTO, 1), COMPARE(EQ, OCTETS(CMP_DATA, 1, IPPROTO_TCP))
#define IPV4                 LOAD_META(NFPROTO, 1), COMPARE(EQ, OCTETS(CMP_DATA, 1, NFPROTO_IPV4))
/* Only so that `nft` takes its listing back: it wants a transport match before a translation. */
#define TCP_OR_UDP           LOAD_META(L4PROTO, 1), IN_OWN_SET(1)
#define EXTERNAL_PORT        LOAD_META(L4PROTO, 1), LOAD_DPORT(9)
#define CALLER               LOAD_SADDR(1), LOAD_META(L4PROTO, 9), LOAD_DPORT(10)
#define CALLER_LAST          LOAD_META(L4PROTO, 1), LOAD_DPORT(9), LOAD_SADDR(10)
#define SENDER_FIRST         LOAD_SADDR(1), LOAD_META(L4PROTO, 9), LOAD_SPORT(10)
#define SENDERS_PORT         LOAD_META(L4PROTO, 1), LOAD_SPORT(9)
#define SENDER               LOAD_META(L4PROTO, 1), LOAD_SADDR(9), LOAD_SPORT(10)
#define SENDER_IN_2          LOAD_META(L4PROTO, 2), LOAD_SADDR(13), LOAD_SPORT(14)
#define SPARE_PORTS(a, b)    LOAD_PORT(SPARE_FIRST, a), LOAD_PORT(SPARE_LAST, b)
#define SET_MARK(and, xor)   LOAD_CT(MARK, 1), BITS(and, xor), STORE_MARK(1)
#define HAS_MARK(bit)        LOAD_CT(MARK, 1), BITS(bit, 0), COMPARE(EQ, NUMBER(CMP_DATA, bit))
#define IS_DNATED            LOAD_CT(STATUS, 1), BITS(IPS_DST_NAT, 0), \
			     COMPARE(NEQ, NUMBER(CMP_DATA, 0))
/* clang-format on */

/* Where another host's flow goes whose source port is mapped. */
enum { SPARE_FIRST = MAPPING_SPARE_PORTS, SPARE_LAST = 65535 };

/* What must be so for a rule to be there. */
enum {
	RESERVE = 1 << 0, /* ports are kept from hosts that are masqueraded */
	PRIMARY = 1 << 1, /* mapped sockets send from the WAN's primary address */
	SOURCE = 1 << 2,  /* or from a given one */
	FTP = 1 << 3,	  /* the kernel has a helper for it */
	RESETS = 1 << 4,  /* the kernel can send them */
	NO_RESETS = 1 << 5,
};

enum { EXPRESSIONS_MAX = 16 };

struct rule {
	const char *chain;
	unsigned needs;
	struct expression expressions[EXPRESSIONS_MAX];
};

/* clang-format off */
static const struct rule rules[] = {
	{"prerouting", 0, {IPV4, LOAD_DADDR(1), MAP("wan4", 1, NFT_REG_VERDICT)}},
	{"output", 0, {IPV4, LOAD_DADDR(1), MAP("wan4", 1, NFT_REG_VERDICT)}},

	/*
	 * The mark comes first, since a translation ends the chain; it comes off again if no map of
	 * ours bound the flow, or an admin's own forward, hooked later, would be opened by it.
	 */
	{"dn4", 0, {SET_MARK(~FLOWS_MARK_OURS, FLOWS_MARK_OURS)}},
	/* Here and not in a chain of its own: only a flow's first packet comes by, not yet translated. */
	{"dn4", FTP, {TCP, LOAD_DPORT(1), IN_SET("ftp4", 1), SET_FTP_HELPER}},
	{"dn4", 0, {IPV4, TCP_OR_UDP, CALLER, MAP("rfwd4", 1, 1), DNAT(9)}},
	{"dn4", 0, {IPV4, TCP_OR_UDP, CALLER_LAST, MAP("ffwd4", 1, 1), DNAT(9)}},
	{"dn4", 0, {IPV4, TCP_OR_UDP, EXTERNAL_PORT, MAP("fwd4", 1, 1), DNAT(9)}},
	{"dn4", 0, {IPV4, TCP_OR_UDP, CALLER_LAST, MAP("range4", 1, 1), DNAT_ADDRESS}},
	{"dn4", 0, {SET_MARK(~FLOWS_MARK_OURS, 0)}},

	{"postrouting", 0, {LOAD_META(OIFNAME, 1), IN_SET("wanif", 1), IPV4, JUMP("sn4")}},
	/* A server that is in no LAN would answer past us.  Leases lead into LANs only. */
	{"postrouting", 0, {HAS_MARK(FLOWS_MARK_OURS), IS_DNATED, IPV4,
			    LOAD_DADDR(1), NOT_IN_SET("lan4", 1), MASQUERADE_ANY}},
	/* Hairpin; by address: with bridge filtering on, interfaces here are bridge ports. */
	{"postrouting", 0, {HAS_MARK(FLOWS_MARK_OURS), IS_DNATED, IPV4,
			    LOAD_SADDR(1), IN_SET("lan4", 1),
			    LOAD_DADDR(1), IN_SET("lan4", 1), JUMP("hp4")}},

	{"sn4", PRIMARY, {TCP_OR_UDP, IPV4, SENDER, MAP("out4", 1, 1), MASQUERADE(MASQ_FIRST(1))}},
	{"sn4", PRIMARY, {TCP_OR_UDP, IPV4, SENDER_FIRST, IN_SET("rangeint4", 1), MASQUERADE_ANY}},
	{"sn4", PRIMARY | RESERVE, {TCP_OR_UDP, SENDERS_PORT, IN_SET("ext4", 1), SPARE_PORTS(1, 2),
				    MASQUERADE(MASQ_FIRST(1), MASQ_LAST(2))}},
	{"sn4", PRIMARY | RESERVE, {TCP_OR_UDP, SENDERS_PORT, IN_SET("rangeext4", 1),
				    SPARE_PORTS(1, 2), MASQUERADE(MASQ_FIRST(1), MASQ_LAST(2))}},
	{"sn4", SOURCE, {TCP_OR_UDP, IPV4, LOAD_OUR_SOURCE(1), SENDER_IN_2, MAP("out4", 2, 2),
			 SNAT_PORT(2)}},
	{"sn4", SOURCE, {TCP_OR_UDP, IPV4, SENDER_FIRST, IN_SET("rangeint4", 1), LOAD_OUR_SOURCE(1),
			 SNAT}},
	{"sn4", SOURCE | RESERVE, {TCP_OR_UDP, SENDERS_PORT, IN_SET("ext4", 1), LOAD_OUR_SOURCE(1),
				   SPARE_PORTS(2, 3), SNAT_PORTS(2, 3)}},
	{"sn4", SOURCE | RESERVE, {TCP_OR_UDP, SENDERS_PORT, IN_SET("rangeext4", 1),
				   LOAD_OUR_SOURCE(1), SPARE_PORTS(2, 3), SNAT_PORTS(2, 3)}},

	/* A hairpinned packet comes from the external address and port (RFC 4787 REQ-9). */
	{"hp4", 0, {TCP_OR_UDP, IPV4, LOAD_DIALLED(1), SENDER_IN_2, MAP("out4", 2, 2),
		    SNAT_PORT(2)}},
	{"hp4", 0, {TCP_OR_UDP, IPV4, SENDER_FIRST, IN_SET("rangeint4", 1), LOAD_DIALLED(1), SNAT}},
	{"hp4", 0, {TCP_OR_UDP, SENDERS_PORT, IN_SET("ext4", 1), LOAD_DIALLED(1), SPARE_PORTS(2, 3),
		    SNAT_PORTS(2, 3)}},
	{"hp4", 0, {TCP_OR_UDP, SENDERS_PORT, IN_SET("rangeext4", 1), LOAD_DIALLED(1),
		    SPARE_PORTS(2, 3), SNAT_PORTS(2, 3)}},
	{"hp4", 0, {LOAD_DIALLED(1), SNAT}},

	/* What flows_ctnetlink.c marked: each end is told when it next sends. */
	{"forward", RESETS, {HAS_MARK(FLOWS_MARK_ENDED), TCP, RESET}},
	{"forward", NO_RESETS, {HAS_MARK(FLOWS_MARK_ENDED), TCP, DROP}},
};
/* clang-format on */

enum { RULES = sizeof(rules) / sizeof(*rules) };

static_assert((size_t)RULES <= (size_t)NFT_RULES_MAX, "rules are counted by number");

/* Messages */

/* libnftnl's objects are NULL when memory ran out. */
static bool
made(struct nft_batch *batch, const void *object)
{
	if (!object)
		batch->full = true;
	return object;
}

static void
put_table(struct nft_batch *batch, const char *name, uint16_t message, uint16_t flags)
{
	struct nlmsghdr *m = nft_message_open(batch, message, flags, NFT_SEQUENCE_TABLE);

	if (!m)
		return;
	mnl_attr_put_strz(m, NFTA_TABLE_NAME, name);
	nft_message_close(batch, m);
}

/* FNV-1a */
static uint32_t
hash(uint32_t so_far, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < size; i++)
		so_far = (so_far ^ p[i]) * 16777619U;
	return so_far;
}

static uint32_t
hash_text(uint32_t so_far, const char *text)
{
	return text ? hash(so_far, text, strlen(text) + 1) : hash(so_far, "", 1);
}

static uint32_t
hash_numbers(uint32_t so_far, const uint32_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const uint32_t number = htonl(numbers[i]);

		so_far = hash(so_far, &number, sizeof(number));
	}
	return so_far;
}

/* Of what a table cannot be given without being made anew; rules can. */
void
nft_layout_name(char out[NFT_LAYOUT_NAME_SIZE])
{
	uint32_t number = 2166136261U;

	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		const struct set *s = &sets[i];
		const uint32_t numbers[] = {s->flags,	  s->key_type, s->key_size, s->data_type,
					    s->data_size, s->order,    s->size,	    s->counter};

		number = hash_text(number, s->name);
		number = hash_text(number, s->fields);
		number = hash_numbers(number, numbers, sizeof(numbers) / sizeof(*numbers));
	}
	for (size_t i = 0; i < sizeof(chains) / sizeof(*chains); i++) {
		const struct chain *c = &chains[i];
		const uint32_t numbers[] = {c->hook, (uint32_t)c->priority};

		number = hash_text(number, c->name);
		number = hash_text(number, c->type);
		number = hash_numbers(number, numbers, sizeof(numbers) / sizeof(*numbers));
	}
	snprintf(out, NFT_LAYOUT_NAME_SIZE, "layout %08" PRIx32, number);
}

/* As `nft` writes comments: type, length, text with its NUL.  Returns how long. */
static size_t
layout_comment(uint8_t out[2 + NFT_LAYOUT_NAME_SIZE])
{
	size_t size;

	nft_layout_name((char *)out + 2);
	size = strlen((char *)out + 2) + 1;
	out[0] = NFTNL_UDATA_TABLE_COMMENT;
	out[1] = (uint8_t)size;
	return 2 + size;
}

bool
nft_layout_is_named(const void *userdata, size_t size)
{
	uint8_t comment[2 + NFT_LAYOUT_NAME_SIZE];

	return size == layout_comment(comment) && memcmp(userdata, comment, size) == 0;
}

static void
put_our_table(struct nft_batch *batch)
{
	uint8_t comment[2 + NFT_LAYOUT_NAME_SIZE];
	struct nlmsghdr *m = nft_message_open(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ECHO,
					      NFT_SEQUENCE_TABLE);

	if (!m)
		return;
	mnl_attr_put_strz(m, NFTA_TABLE_NAME, NFT_TABLE);
	mnl_attr_put(m, NFTA_TABLE_USERDATA, layout_comment(comment), comment);
	nft_message_close(batch, m);
}

static void
put_ftp_helper(struct nft_batch *batch, const char *table)
{
	struct nlmsghdr *m =
	    nft_message_open(batch, NFT_MSG_NEWOBJ, NLM_F_CREATE, NFT_SEQUENCE_TABLE);
	struct nlattr *data;

	if (!m)
		return;
	mnl_attr_put_strz(m, NFTA_OBJ_TABLE, table);
	mnl_attr_put_strz(m, NFTA_OBJ_NAME, FTP_HELPER);
	mnl_attr_put_u32(m, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_CT_HELPER));
	data = mnl_attr_nest_start(m, NFTA_OBJ_DATA);
	mnl_attr_put_strz(m, NFTA_CT_HELPER_NAME, "ftp");
	mnl_attr_put_u8(m, NFTA_CT_HELPER_L4PROTO, IPPROTO_TCP);
	mnl_attr_nest_end(m, data);
	nft_message_close(batch, m);
}

static void
put_set(struct nft_batch *batch, const struct set *row, uint32_t id)
{
	struct nftnl_set *set = nftnl_set_alloc();
	struct nftnl_expr *counter = row->counter ? nftnl_expr_alloc("counter") : NULL;
	struct nftnl_udata_buf *hints = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	struct nlmsghdr *m =
	    nft_message_open(batch, NFT_MSG_NEWSET, NLM_F_CREATE, NFT_SEQUENCE_TABLE);

	if (!m || !made(batch, set) || !made(batch, hints) ||
	    (row->counter && !made(batch, counter)))
		goto out;
	nftnl_set_set_str(set, NFTNL_SET_TABLE, NFT_TABLE);
	nftnl_set_set_str(set, NFTNL_SET_NAME, row->name);
	nftnl_set_set_u32(set, NFTNL_SET_ID, id);
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, row->flags);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, row->key_type);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, row->key_size);
	if (row->flags & NFT_SET_MAP) {
		nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, row->data_type);
		nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, row->data_size);
	}
	if (row->size)
		nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, row->size);
	if (row->fields)
		nftnl_set_set_data(set, NFTNL_SET_DESC_CONCAT, row->fields,
				   (uint32_t)strlen(row->fields));
	nftnl_udata_put_u32(hints, NFTNL_UDATA_SET_KEYBYTEORDER, row->order);
	if (row->flags & NFT_SET_MAP)
		nftnl_udata_put_u32(hints, NFTNL_UDATA_SET_DATABYTEORDER, row->order);
	nftnl_set_set_data(set, NFTNL_SET_USERDATA, nftnl_udata_buf_data(hints),
			   nftnl_udata_buf_len(hints));
	if (counter)
		nftnl_set_add_expr(set, counter);
	counter = NULL; /* the set's now */
	nftnl_set_nlmsg_build_payload(m, set);
	nft_message_close(batch, m);
out:
	if (counter)
		nftnl_expr_free(counter);
	if (hints)
		nftnl_udata_buf_free(hints);
	if (set)
		nftnl_set_free(set);
}

static void
put_chain(struct nft_batch *batch, const char *table, const struct chain *row)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();
	struct nlmsghdr *m =
	    nft_message_open(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFT_SEQUENCE_TABLE);

	if (!m || !made(batch, chain))
		goto out;
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, table);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, row->name);
	if (row->type) {
		nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, row->type);
		nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, row->hook);
		nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, row->priority);
		nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	}
	nftnl_chain_nlmsg_build_payload(m, chain);
	nft_message_close(batch, m);
out:
	if (chain)
		nftnl_chain_free(chain);
}

static void
set_field(struct nftnl_expr *e, const struct field *field, uint32_t set_id,
	  const struct firewall_network *network)
{
	uint32_t source;

	switch (field->kind) {
	case FIELD_NONE:
		break;
	case FIELD_NUMBER:
		nftnl_expr_set(e, field->attribute, &field->value.number, sizeof(uint32_t));
		break;
	case FIELD_OCTETS:
		nftnl_expr_set(e, field->attribute, field->value.octets, field->size);
		break;
	case FIELD_TEXT:
		nftnl_expr_set_str(e, field->attribute, field->value.text);
		break;
	case FIELD_SET_ID:
		nftnl_expr_set_u32(e, field->attribute, set_id);
		break;
	case FIELD_SOURCE:
		source = address_to_ipv4(&network->source);
		nftnl_expr_set(e, field->attribute, &source, sizeof(source));
		break;
	}
}

static bool
uses_anonymous_set(const struct rule *row)
{
	for (size_t i = 0; i < EXPRESSIONS_MAX; i++) {
		for (size_t k = 0; k < FIELDS_MAX; k++) {
			if (row->expressions[i].fields[k].kind == FIELD_SET_ID)
				return true;
		}
	}
	return false;
}

static void
put_tcp_or_udp(struct nft_batch *batch, uint32_t id)
{
	static const uint8_t keys[] = {IPPROTO_TCP, IPPROTO_UDP};
	static const struct nft_element members[] = {
	    {.key = &keys[0], .key_size = 1},
	    {.key = &keys[1], .key_size = 1},
	};

	put_set(batch, &tcp_or_udp, id);
	nft_put_elements(batch,
			 &(struct nft_set_change){.message = NFT_MSG_NEWSETELEM,
						  .flags = NLM_F_CREATE,
						  .set = tcp_or_udp.name,
						  .set_id = id,
						  .sequence = NFT_SEQUENCE_TABLE},
			 members, 2);
}

static void
put_rule(struct nft_batch *batch, const char *table, size_t number,
	 const struct firewall_network *network)
{
	const struct rule *row = &rules[number];
	uint32_t set_id = (uint32_t)(number + 1); /* named sets are found by name: they need none */
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nlmsghdr *m = NULL;

	if (!made(batch, rule))
		return;
	if (uses_anonymous_set(row))
		put_tcp_or_udp(batch, set_id);
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, table);
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, row->chain);
	for (size_t i = 0; i < EXPRESSIONS_MAX && row->expressions[i].name; i++) {
		struct nftnl_expr *e = nftnl_expr_alloc(row->expressions[i].name);

		if (!made(batch, e))
			goto out;
		for (size_t k = 0; k < FIELDS_MAX; k++)
			set_field(e, &row->expressions[i].fields[k], set_id, network);
		nftnl_rule_add_expr(rule, e);
	}
	m = nft_message_open(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ECHO,
			     NFT_SEQUENCE_RULE + (uint32_t)number);
	if (!m)
		goto out;
	nftnl_rule_nlmsg_build_payload(m, rule);
	nft_message_close(batch, m);
out:
	nftnl_rule_free(rule);
}

/* chain NULL: those of all chains. */
static void
put_all_rules_of(struct nft_batch *batch, uint16_t message, uint16_t flags, const char *chain)
{
	struct nlmsghdr *m = nft_message_open(batch, message, flags, NFT_SEQUENCE_TABLE);

	if (!m)
		return;
	mnl_attr_put_strz(m, NFTA_RULE_TABLE, NFT_TABLE);
	if (chain)
		mnl_attr_put_strz(m, NFTA_RULE_CHAIN, chain);
	nft_message_close(batch, m);
}

bool
nft_layout_has_rule(size_t number, const struct firewall_options *options,
		    const struct firewall_network *network)
{
	unsigned given = (network->has_source ? SOURCE : PRIMARY) |
			 (options->source_nat ? RESERVE : 0) | (options->ftp ? FTP : 0) |
			 (options->resets ? RESETS : NO_RESETS);

	return number < RULES && !(rules[number].needs & ~given);
}

/* chain: only this one's; NULL: all. */
static void
put_rules(struct nft_batch *batch, const char *chain, const struct firewall_options *options,
	  const struct firewall_network *network)
{
	for (size_t i = 0; i < RULES; i++) {
		if (chain && strcmp(rules[i].chain, chain) != 0)
			continue;
		if (nft_layout_has_rule(i, options, network))
			put_rule(batch, NFT_TABLE, i, network);
	}
}

/* The network's elements */

static void
put_members(struct nft_batch *batch, const char *set, const struct nft_element *members,
	    size_t count)
{
	if (!count)
		return;
	nft_put_elements(batch,
			 &(struct nft_set_change){.message = NFT_MSG_NEWSETELEM,
						  .flags = NLM_F_CREATE,
						  .set = set,
						  .sequence = NFT_SEQUENCE_TABLE},
			 members, count);
}

static void
put_wan_interface(struct nft_batch *batch, const struct firewall_network *network)
{
	struct nft_element member = {.key = network->wan, .key_size = sizeof(network->wan)};

	put_members(batch, "wanif", &member, *network->wan ? 1 : 0);
}

static void
put_wan_addresses(struct nft_batch *batch, const struct firewall_network *network)
{
	uint32_t keys[FIREWALL_WAN_ADDRESSES];
	struct nft_element members[FIREWALL_WAN_ADDRESSES];

	for (size_t i = 0; i < network->wan_addresses; i++) {
		keys[i] = address_to_ipv4(&network->wan_address[i]);
		members[i] = (struct nft_element){
		    .key = &keys[i], .key_size = sizeof(keys[i]), .go_to = "dn4"};
	}
	put_members(batch, "wan4", members, network->wan_addresses);
}

struct span {
	uint32_t first, last; /* host order */
};

static int
span_compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Nested or identical intervals would abort the transaction, and touching ones are one network:
 * joined.  Returns how many. */
static size_t
lan_spans(const struct firewall_network *network, struct span *spans)
{
	size_t count = network->lan_prefixes;
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		const struct prefix *p = &network->lan_prefix[i];
		uint32_t hosts = p->length >= 128 ? 0 : UINT32_MAX >> (p->length - 96);

		spans[i].first = ntohl(address_to_ipv4(&p->address)) & ~hosts;
		spans[i].last = spans[i].first | hosts;
	}
	qsort(spans, count, sizeof(*spans), span_compare);
	for (size_t i = 0; i < count; i++) {
		struct span *open = used ? &spans[used - 1] : NULL;

		if (!open || (open->last != UINT32_MAX && spans[i].first > open->last + 1))
			spans[used++] = spans[i];
		else if (spans[i].last > open->last)
			open->last = spans[i].last;
	}
	return used;
}

static void
put_lan(struct nft_batch *batch, const struct firewall_network *network)
{
	struct span spans[FIREWALL_LAN_PREFIXES];
	uint32_t keys[2 * FIREWALL_LAN_PREFIXES];
	struct nft_element members[2 * FIREWALL_LAN_PREFIXES];
	size_t count = lan_spans(network, spans);
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		keys[used] = htonl(spans[i].first);
		members[used] = (struct nft_element){.key = &keys[used], .key_size = 4};
		used++;
		if (spans[i].last == UINT32_MAX)
			continue; /* open to the end of all addresses */
		keys[used] = htonl(spans[i].last + 1);
		members[used] =
		    (struct nft_element){.key = &keys[used], .key_size = 4, .interval_end = true};
		used++;
	}
	put_members(batch, "lan4", members, used);
}

static void
put_network(struct nft_batch *batch, const struct firewall_network *network)
{
	put_wan_interface(batch, network);
	put_wan_addresses(batch, network);
	put_lan(batch, network);
}

static void
put_flush_set(struct nft_batch *batch, const char *set)
{
	nft_put_elements(batch,
			 &(struct nft_set_change){.message = NFT_MSG_DELSETELEM,
						  .set = set,
						  .sequence = NFT_SEQUENCE_TABLE},
			 NULL, 0);
}

void
nft_layout_create(struct nft_batch *batch, const struct firewall_options *options,
		  const struct firewall_network *network)
{
	nft_layout_destroy(batch);
	put_our_table(batch);
	if (options->ftp)
		put_ftp_helper(batch, NFT_TABLE);
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++)
		put_set(batch, &sets[i], 0);
	for (size_t i = 0; i < sizeof(chains) / sizeof(*chains); i++)
		put_chain(batch, NFT_TABLE, &chains[i]);
	put_rules(batch, NULL, options, network);
	put_network(batch, network);
}

/* Sets and chains that are there as they shall be are left alone by the kernel. */
void
nft_layout_adopt(struct nft_batch *batch, const struct firewall_options *options,
		 const struct firewall_network *network)
{
	static const char *const network_sets[NFT_NETWORK_SETS] = {"wanif", "wan4", "lan4"};

	put_all_rules_of(batch, NFT_MSG_DELRULE, 0, NULL);
	if (options->ftp)
		put_ftp_helper(batch, NFT_TABLE);
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++)
		put_set(batch, &sets[i], 0);
	for (size_t i = 0; i < sizeof(chains) / sizeof(*chains); i++)
		put_chain(batch, NFT_TABLE, &chains[i]);
	for (size_t i = 0; i < NFT_NETWORK_SETS; i++)
		put_flush_set(batch, network_sets[i]);
	put_rules(batch, NULL, options, network);
	put_network(batch, network);
}

void
nft_layout_destroy(struct nft_batch *batch)
{
	put_table(batch, NFT_TABLE, NFT_MSG_NEWTABLE,
		  NLM_F_CREATE); /* so that there is one to delete */
	put_table(batch, NFT_TABLE, NFT_MSG_DELTABLE, 0);
}

void
nft_layout_probe_ftp(struct nft_batch *batch)
{
	put_table(batch, PROBE_TABLE, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	put_ftp_helper(batch, PROBE_TABLE);
	put_table(batch, PROBE_TABLE, NFT_MSG_DELTABLE, 0);
}

void
nft_layout_probe_resets(struct nft_batch *batch)
{
	const struct firewall_network none = {0};

	put_table(batch, PROBE_TABLE, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	for (size_t i = 0; i < RULES; i++) {
		if (rules[i].needs != RESETS)
			continue;
		put_chain(batch, PROBE_TABLE, &(struct chain){.name = rules[i].chain});
		put_rule(batch, PROBE_TABLE, i, &none);
	}
	put_table(batch, PROBE_TABLE, NFT_MSG_DELTABLE, 0);
}

static bool
same_source(const struct firewall_network *a, const struct firewall_network *b)
{
	return a->has_source == b->has_source &&
	       (!a->has_source || address_equal(&a->source, &b->source));
}

static bool
same_wan_addresses(const struct firewall_network *a, const struct firewall_network *b)
{
	if (a->wan_addresses != b->wan_addresses)
		return false;
	for (size_t i = 0; i < a->wan_addresses; i++) {
		if (!address_equal(&a->wan_address[i], &b->wan_address[i]))
			return false;
	}
	return true;
}

static bool
same_lan(const struct firewall_network *a, const struct firewall_network *b)
{
	struct span x[FIREWALL_LAN_PREFIXES], y[FIREWALL_LAN_PREFIXES];
	size_t count = lan_spans(a, x);

	return count == lan_spans(b, y) && memcmp(x, y, count * sizeof(*x)) == 0;
}

void
nft_layout_change(struct nft_batch *batch, const struct firewall_options *options,
		  const struct firewall_network *from, const struct firewall_network *to,
		  bool other_options)
{
	if (strcmp(from->wan, to->wan) != 0) {
		put_flush_set(batch, "wanif");
		put_wan_interface(batch, to);
	}
	if (!same_wan_addresses(from, to)) {
		put_flush_set(batch, "wan4");
		put_wan_addresses(batch, to);
	}
	if (!same_lan(from, to)) {
		put_flush_set(batch, "lan4");
		put_lan(batch, to);
	}
	if (!same_source(from, to) || other_options) {
		put_all_rules_of(batch, NFT_MSG_DELRULE, 0, "sn4");
		put_rules(batch, "sn4", options, to);
	}
}

void
nft_layout_ask_table(struct nft_batch *batch)
{
	put_table(batch, NFT_TABLE, NFT_MSG_GETTABLE, 0);
}

size_t
nft_layout_ask_members(struct nft_batch *batch, size_t number,
		       const struct firewall_network *network)
{
	struct span spans[FIREWALL_LAN_PREFIXES];
	const struct {
		const char *set;
		size_t members;
	} known[NFT_NETWORK_SETS] = {
	    {"wanif", *network->wan ? 1 : 0},
	    {"wan4", network->wan_addresses},
	    {"lan4", lan_spans(network, spans)},
	};

	nft_put_elements(batch,
			 &(struct nft_set_change){.message = NFT_MSG_GETSETELEM,
						  .flags = NLM_F_DUMP,
						  .set = known[number].set,
						  .sequence = NFT_SEQUENCE_TABLE},
			 NULL, 0);
	return known[number].members;
}

void
nft_layout_ask_rules(struct nft_batch *batch)
{
	put_all_rules_of(batch, NFT_MSG_GETRULE, NLM_F_DUMP, NULL);
}
