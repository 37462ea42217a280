/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See nft_message.h.  Keys and data as the sets in nft_layout.c declare them: network order, fields
 * padded to 4 octets. */
#include "nft_message.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

/* `nft` refuses to load a longer comment (128 with the NUL), so a saved dump would be unusable. */
enum { COMMENT_MAX = 127 };

struct port_key {
	uint8_t transport;
	uint8_t pad1[3];
	uint16_t port;
	uint8_t pad2[2];
};

/* The keys of the maps that lead inside all hold a port_key. */
struct remote_key {
	uint32_t address;
	struct port_key external;
};

struct caller_key {
	struct port_key external;
	uint32_t address;
};

union forward_key {
	struct port_key port;
	struct remote_key remote;
	struct caller_key caller;
};

struct socket_value {
	uint32_t address;
	uint16_t port;
	uint8_t pad[2];
};

struct socket_key {
	uint8_t transport;
	uint8_t pad[3];
	struct socket_value socket;
};

struct place_key {
	uint32_t address;
	struct port_key internal;
};

struct nlmsghdr *
nft_message_open(struct nft_batch *batch, uint16_t message, uint16_t flags, uint32_t sequence)
{
	if (batch->full || batch->size - batch->used < NFT_MESSAGE_MAX) {
		batch->full = true;
		return NULL;
	}
	return nftnl_nlmsg_build_hdr((char *)batch->bytes + batch->used, message, NFPROTO_INET,
				     flags, sequence);
}

void
nft_message_close(struct nft_batch *batch, const struct nlmsghdr *message)
{
	assert(message->nlmsg_len <= NFT_MESSAGE_MAX);
	batch->used += MNL_ALIGN(message->nlmsg_len);
}

static void
put_value(struct nlmsghdr *m, uint16_t attribute, const void *value, size_t size)
{
	struct nlattr *nest = mnl_attr_nest_start(m, attribute);

	mnl_attr_put(m, NFTA_DATA_VALUE, size, value);
	mnl_attr_nest_end(m, nest);
}

static void
put_verdict(struct nlmsghdr *m, const char *chain)
{
	struct nlattr *data = mnl_attr_nest_start(m, NFTA_SET_ELEM_DATA);
	struct nlattr *verdict = mnl_attr_nest_start(m, NFTA_DATA_VERDICT);

	mnl_attr_put_u32(m, NFTA_VERDICT_CODE, htonl((uint32_t)NFT_GOTO));
	mnl_attr_put_strz(m, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(m, verdict);
	mnl_attr_nest_end(m, data);
}

/*
 * A quotation mark would end the comment in the text of a dump, and what follows would be loaded as
 * rules; a LAN host may have chosen the text.
 */
static void
put_comment(struct nlmsghdr *m, const char *comment)
{
	uint8_t userdata[2 + COMMENT_MAX + 1];
	size_t length = strnlen(comment, COMMENT_MAX);

	userdata[0] = NFTNL_UDATA_SET_ELEM_COMMENT;
	userdata[1] = (uint8_t)(length + 1);
	for (size_t i = 0; i < length; i++) {
		uint8_t c = (uint8_t)comment[i];

		userdata[2 + i] = c < 0x20 || c == 0x7f || c == '"' ? '?' : c;
	}
	userdata[2 + length] = '\0';
	mnl_attr_put(m, NFTA_SET_ELEM_USERDATA, 2 + length + 1, userdata);
}

static void
put_element(struct nlmsghdr *m, const struct nft_element *e)
{
	struct nlattr *nest = mnl_attr_nest_start(m, NFTA_LIST_ELEM);

	if (e->interval_end)
		mnl_attr_put_u32(m, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
	put_value(m, NFTA_SET_ELEM_KEY, e->key, e->key_size);
	if (e->key_end)
		put_value(m, NFTA_SET_ELEM_KEY_END, e->key_end, e->key_size);
	if (e->data)
		put_value(m, NFTA_SET_ELEM_DATA, e->data, e->data_size);
	if (e->go_to)
		put_verdict(m, e->go_to);
	if (e->timeout)
		mnl_attr_put_u64(m, NFTA_SET_ELEM_TIMEOUT, htobe64(e->timeout));
	if (e->comment && *e->comment)
		put_comment(m, e->comment);
	mnl_attr_nest_end(m, nest);
}

void
nft_put_elements(struct nft_batch *batch, const struct nft_set_change *change,
		 const struct nft_element *elements, size_t count)
{
	struct nlmsghdr *m =
	    nft_message_open(batch, change->message, change->flags, change->sequence);
	struct nlattr *nest;

	if (!m)
		return;
	mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
	mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_SET, change->set);
	if (change->set_id)
		mnl_attr_put_u32(m, NFTA_SET_ELEM_LIST_SET_ID, htonl(change->set_id));
	if (count) {
		nest = mnl_attr_nest_start(m, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (size_t i = 0; i < count; i++)
			put_element(m, &elements[i]);
		mnl_attr_nest_end(m, nest);
	}
	nft_message_close(batch, m);
}

struct nft_name
nft_name_of(const struct mapping *mapping)
{
	return (struct nft_name){
	    .transport = mapping->transport,
	    .external_port = mapping->external_port,
	    .more_ports = mapping->more_ports,
	    .remote_length = mapping->remote_length,
	    .remote = mapping->remote,
	};
}

static struct port_key
port_key(enum transport transport, uint32_t port)
{
	return (struct port_key){.transport = (uint8_t)transport, .port = htons((uint16_t)port)};
}

/* The host bits of the prefix that a mapping is for, in network order; a range for anybody is for
 * the shortest one. */
static uint32_t
host_bits(const struct nft_name *name)
{
	if (address_is_unspecified(&name->remote))
		return UINT32_MAX;
	return htonl(name->remote_length && name->remote_length < 128
			 ? UINT32_MAX >> (name->remote_length - 96)
			 : 0);
}

/* Where a mapping's element is: the map, and the key or the interval of keys. */
struct place {
	const char *set;
	union forward_key first, last;
	uint16_t size;
	bool interval;
};

static struct place
place_of(const struct nft_name *name)
{
	const struct port_key external = port_key(name->transport, name->external_port);
	bool anybody = address_is_unspecified(&name->remote);
	uint32_t remote = anybody ? 0 : address_to_ipv4(&name->remote);

	if (name->more_ports || (!anybody && name->remote_length))
		return (struct place){
		    .set = name->more_ports ? "range4" : "ffwd4",
		    .first.caller = {external, remote},
		    .last.caller = {port_key(name->transport,
					     (uint32_t)name->external_port + name->more_ports),
				    remote | host_bits(name)},
		    .size = sizeof(struct caller_key),
		    .interval = true,
		};
	if (!anybody)
		return (struct place){.set = "rfwd4",
				      .first.remote = {remote, external},
				      .size = sizeof(struct remote_key)};
	return (struct place){.set = "fwd4", .first.port = external, .size = sizeof(external)};
}

/* The part of it that says where: points into *place. */
static struct nft_element
element_at(const struct place *place)
{
	return (struct nft_element){
	    .key = &place->first,
	    .key_end = place->interval ? &place->last : NULL,
	    .key_size = place->size,
	};
}

/* Adds or removes one element of another set. */
static void
put_other(struct nft_batch *batch, const struct nft_set_change *change, const char *set,
	  const struct nft_element *element)
{
	struct nft_set_change to = *change;

	to.flags &= (uint16_t)~NLM_F_ECHO;
	to.set = set;
	nft_put_elements(batch, &to, element, 1);
}

static void
put_outbound(struct nft_batch *batch, const struct nft_set_change *to,
	     const struct mapping *mapping, uint64_t timeout)
{
	const struct socket_key socket = {
	    .transport = (uint8_t)mapping->transport,
	    .socket = {.address = address_to_ipv4(&mapping->internal.address),
		       .port = htons(mapping->internal.port)}};
	const uint16_t port = htons(mapping->external_port);
	struct nft_element back = {.key = &socket, .key_size = sizeof(socket), .timeout = timeout};

	if (to->message == NFT_MSG_NEWSETELEM) {
		back.data = &port;
		back.data_size = sizeof(port);
	}
	put_other(batch, to, "out4", &back);
}

/* What a range has in place of out4 and ext4: its ports are the same on both sides. */
static void
put_range(struct nft_batch *batch, const struct nft_set_change *to, const struct mapping *mapping)
{
	const struct port_key first = port_key(mapping->transport, mapping->external_port);
	const struct port_key last =
	    port_key(mapping->transport, (uint32_t)mapping->external_port + mapping->more_ports);
	const uint32_t address = address_to_ipv4(&mapping->internal.address);
	const struct place_key from = {address, first}, until = {address, last};

	if (mapping->outbound)
		put_other(batch, to, "rangeint4",
			  &(struct nft_element){
			      .key = &from, .key_end = &until, .key_size = sizeof(from)});
	if (mapping->reserves)
		put_other(batch, to, "rangeext4",
			  &(struct nft_element){
			      .key = &first, .key_end = &last, .key_size = sizeof(first)});
}

void
nft_put_mapping(struct nft_batch *batch, enum firewall_change change, const struct mapping *mapping,
		uint32_t sequence)
{
	bool add = change == FIREWALL_ADD;
	const struct nft_name name = nft_name_of(mapping);
	const struct place place = place_of(&name);
	const struct socket_value internal = {.address =
						  address_to_ipv4(&mapping->internal.address),
					      .port = htons(mapping->internal.port)};
	const struct port_key external = port_key(mapping->transport, mapping->external_port);
	const uint64_t timeout = add ? mapping->timeout : 0;
	struct nft_element forward = element_at(&place);
	/* The echo of this delete tells its last count. */
	const struct nft_set_change to = {.message = add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
					  .flags = add ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_ECHO,
					  .set = place.set,
					  .sequence = sequence};

	forward.timeout = timeout;
	if (add) {
		forward.data = &internal;
		forward.data_size =
		    mapping->more_ports ? sizeof(internal.address) : sizeof(internal);
		forward.comment = mapping->comment;
	}
	nft_put_elements(batch, &to, &forward, 1);
	if (mapping->more_ports) {
		put_range(batch, &to, mapping);
		return;
	}
	if (mapping->outbound)
		put_outbound(batch, &to, mapping, timeout);
	if (mapping->reserves)
		put_other(batch, &to, "ext4",
			  &(struct nft_element){
			      .key = &external, .key_size = sizeof(external), .timeout = timeout});
	if (mapping->reserves && mapping->helper == HELPER_FTP)
		put_other(batch, &to, "ftp4",
			  &(struct nft_element){.key = &external.port,
						.key_size = sizeof(external.port)});
}

void
nft_put_query(struct nft_batch *batch, const struct nft_name *name, uint32_t sequence)
{
	const struct place place = place_of(name);
	const struct nft_element element = element_at(&place);

	nft_put_elements(batch,
			 &(struct nft_set_change){
			     .message = NFT_MSG_GETSETELEM, .set = place.set, .sequence = sequence},
			 &element, 1);
}

/* The first attribute of this type inside a nest; NULL if there is none, or no nest. */
static const struct nlattr *
inside(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attribute;

	if (!nest)
		return NULL;
	mnl_attr_for_each_nested(attribute, nest)
	{
		if (mnl_attr_get_type(attribute) == type)
			return attribute;
	}
	return NULL;
}

/* False: no such key is in that map. */
static bool
read_key(const char *set, const void *bytes, size_t size, struct nft_name *name)
{
	union forward_key key = {0};
	const struct port_key *external = &key.port;
	uint32_t remote = 0;

	if (size > sizeof(key))
		return false;
	memcpy(&key, bytes, size);
	if (size == sizeof(key.remote) && strcmp(set, "rfwd4") == 0) {
		external = &key.remote.external;
		remote = key.remote.address;
	} else if (size == sizeof(key.caller)) {
		remote = key.caller.address;
	} else if (size != sizeof(key.port)) {
		return false;
	}
	*name = (struct nft_name){.transport = external->transport,
				  .external_port = ntohs(external->port)};
	if (remote)
		name->remote = address_from_ipv4(remote);
	return true;
}

bool
nft_get_mapping(const struct nlmsghdr *m, struct nft_seen *seen)
{
	const struct nlattr *attribute, *element = NULL, *key, *count;
	const char *set = "";

	mnl_attr_for_each(attribute, m, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_LIST_ELEMENTS)
			element = inside(attribute, NFTA_LIST_ELEM);
		else if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_LIST_SET &&
			 mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
			set = mnl_attr_get_str(attribute);
	}
	key = inside(inside(element, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);
	if (!key ||
	    !read_key(set, mnl_attr_get_payload(key), mnl_attr_get_payload_len(key), &seen->name))
		return false;
	count = inside(inside(inside(element, NFTA_SET_ELEM_EXPR), NFTA_EXPR_DATA),
		       NFTA_COUNTER_PACKETS);
	seen->connections = count && mnl_attr_get_payload_len(count) == sizeof(uint64_t)
				? be64toh(mnl_attr_get_u64(count))
				: 0;
	return true;
}
