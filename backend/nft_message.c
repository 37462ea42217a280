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

struct remote_key {
	uint32_t address;
	struct port_key external;
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

static struct remote_key
remote_key(const struct nft_name *name)
{
	return (struct remote_key){
	    .address = address_is_unspecified(&name->remote) ? 0 : address_to_ipv4(&name->remote),
	    .external = {.transport = (uint8_t)name->transport, .port = htons(name->external_port)},
	};
}

static const char *
forward_set(const struct nft_name *name)
{
	return address_is_unspecified(&name->remote) ? "fwd4" : "rfwd4";
}

/* fwd4's key is rfwd4's without the address. */
static void
set_forward_key(struct nft_element *element, const struct nft_name *name,
		const struct remote_key *key)
{
	bool anybody = address_is_unspecified(&name->remote);

	element->key = anybody ? (const void *)&key->external : key;
	element->key_size = anybody ? sizeof(key->external) : sizeof(*key);
}

void
nft_put_mapping(struct nft_batch *batch, enum firewall_change change, const struct mapping *mapping,
		uint32_t sequence)
{
	bool add = change == FIREWALL_ADD;
	struct socket_value internal = {.address = address_to_ipv4(&mapping->internal.address),
					.port = htons(mapping->internal.port)};
	const struct nft_name name = {mapping->transport, mapping->external_port, mapping->remote};
	struct remote_key key = remote_key(&name);
	struct port_key external = key.external;
	struct socket_key outbound = {.transport = (uint8_t)mapping->transport, .socket = internal};
	struct nft_element element = {
	    .key = &external, .key_size = sizeof(external), .timeout = add ? mapping->timeout : 0};
	struct nft_element forward = element, back = element;
	/* The echo of this delete tells its last count. */
	struct nft_set_change to = {.message = add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
				    .flags = add ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_ECHO,
				    .set = forward_set(&name),
				    .sequence = sequence};

	set_forward_key(&forward, &name, &key);
	if (add) {
		forward.data = &internal;
		forward.data_size = sizeof(internal);
		forward.comment = mapping->comment;
		back.data = &external.port;
		back.data_size = sizeof(external.port);
	}
	nft_put_elements(batch, &to, &forward, 1);

	to.flags &= (uint16_t)~NLM_F_ECHO;
	if (mapping->outbound) {
		back.key = &outbound;
		back.key_size = sizeof(outbound);
		to.set = "out4";
		nft_put_elements(batch, &to, &back, 1);
	}
	if (mapping->reserves) {
		to.set = "ext4";
		nft_put_elements(batch, &to, &element, 1);
	}
}

void
nft_put_query(struct nft_batch *batch, const struct nft_name *name, uint32_t sequence)
{
	struct remote_key key = remote_key(name);
	struct nft_element element = {.key = NULL};

	set_forward_key(&element, name, &key);
	nft_put_elements(batch,
			 &(struct nft_set_change){.message = NFT_MSG_GETSETELEM,
						  .set = forward_set(name),
						  .sequence = sequence},
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

bool
nft_get_mapping(const struct nlmsghdr *m, struct nft_seen *seen)
{
	const struct nlattr *attribute, *element = NULL, *key, *count;
	struct remote_key name = {0};
	size_t size;

	mnl_attr_for_each(attribute, m, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_LIST_ELEMENTS)
			element = inside(attribute, NFTA_LIST_ELEM);
	}
	key = inside(inside(element, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);
	size = key ? mnl_attr_get_payload_len(key) : 0;
	if (size != sizeof(name) && size != sizeof(name.external))
		return false;
	memcpy((uint8_t *)&name + sizeof(name) - size, mnl_attr_get_payload(key), size);
	count = inside(inside(inside(element, NFTA_SET_ELEM_EXPR), NFTA_EXPR_DATA),
		       NFTA_COUNTER_PACKETS);
	seen->name = (struct nft_name){
	    .transport = name.external.transport,
	    .external_port = ntohs(name.external.port),
	};
	if (size == sizeof(name))
		seen->name.remote = address_from_ipv4(name.address);
	seen->connections = count && mnl_attr_get_payload_len(count) == sizeof(uint64_t)
				? be64toh(mnl_attr_get_u64(count))
				: 0;
	return true;
}
