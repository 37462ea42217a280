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

/* `nft` refuses to load a longer comment, so a saved dump would be unusable. */
enum { COMMENT_MAX = NFT_COMMENT_SIZE - 1 };

/* Where what a mapping consists of is. */
static const char *const mapping_sets[] = {"ftp4", "fwd4", "rfwd4",	"ffwd4",    "range4",
					   "out4", "ext4", "rangeint4", "rangeext4"};

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
void
nft_clean_comment(const char *comment, char out[NFT_COMMENT_SIZE])
{
	size_t length = strnlen(comment, COMMENT_MAX);

	for (size_t i = 0; i < length; i++) {
		uint8_t c = (uint8_t)comment[i];

		out[i] = c < 0x20 || c == 0x7f || c == '"' ? '?' : (char)c;
	}
	out[length] = '\0';
}

static void
put_comment(struct nlmsghdr *m, const char *comment)
{
	char userdata[2 + NFT_COMMENT_SIZE];
	size_t size;

	nft_clean_comment(comment, userdata + 2);
	size = strlen(userdata + 2) + 1;
	userdata[0] = NFTNL_UDATA_SET_ELEM_COMMENT;
	userdata[1] = (char)size;
	mnl_attr_put(m, NFTA_SET_ELEM_USERDATA, 2 + size, userdata);
}

static void
put_element(struct nlmsghdr *m, const struct nft_element *e)
{
	struct nlattr *nest = mnl_attr_nest_start(m, NFTA_LIST_ELEM);

	if (e->interval_end)
		mnl_attr_put_u32(m, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
	if (e->key_size)
		put_value(m, NFTA_SET_ELEM_KEY, e->key, e->key_size);
	else
		mnl_attr_put_u32(m, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_CATCHALL));
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

static void
copy(void *to, uint16_t *size_out, const void *from, size_t size)
{
	memcpy(to, from, size);
	*size_out = (uint16_t)size;
}

/* first to last in a set of intervals; the same twice elsewhere. */
static struct nft_part
part_of(const char *set, const void *first, const void *last, size_t size)
{
	struct nft_part part = {.set = set};

	copy(part.key, &part.key_size, first, size);
	if (last)
		memcpy(part.key_end, last, size);
	part.interval = last;
	return part;
}

/* The element that leads inside. */
static struct nft_part
forward_part(const struct mapping *mapping)
{
	const struct nft_name name = nft_name_of(mapping);
	const struct place place = place_of(&name);
	const struct socket_value internal = {.address =
						  address_to_ipv4(&mapping->internal.address),
					      .port = htons(mapping->internal.port)};
	struct nft_part part =
	    part_of(place.set, &place.first, place.interval ? &place.last : NULL, place.size);

	copy(part.data, &part.data_size, &internal,
	     mapping->more_ports ? sizeof(internal.address) : sizeof(internal));
	part.timeout = mapping->timeout;
	part.comment = mapping->comment;
	return part;
}

static struct nft_part
outbound_part(const struct mapping *mapping)
{
	const struct socket_key socket = {
	    .transport = (uint8_t)mapping->transport,
	    .socket = {.address = address_to_ipv4(&mapping->internal.address),
		       .port = htons(mapping->internal.port)}};
	const uint16_t port = htons(mapping->external_port);
	struct nft_part part = part_of("out4", &socket, NULL, sizeof(socket));

	copy(part.data, &part.data_size, &port, sizeof(port));
	part.timeout = mapping->timeout;
	return part;
}

/* What a range has in place of out4 and ext4: its ports are the same on both sides. */
static size_t
range_parts(const struct mapping *mapping, struct nft_part *parts)
{
	const struct port_key first = port_key(mapping->transport, mapping->external_port);
	const struct port_key last =
	    port_key(mapping->transport, (uint32_t)mapping->external_port + mapping->more_ports);
	const uint32_t address = address_to_ipv4(&mapping->internal.address);
	const struct place_key from = {address, first}, until = {address, last};
	size_t count = 0;

	if (mapping->outbound)
		parts[count++] = part_of("rangeint4", &from, &until, sizeof(from));
	if (mapping->reserves)
		parts[count++] = part_of("rangeext4", &first, &last, sizeof(first));
	return count;
}

size_t
nft_parts_of(const struct mapping *mapping, struct nft_part parts[NFT_PARTS_MAX])
{
	const struct port_key external = port_key(mapping->transport, mapping->external_port);
	size_t count = 0;

	parts[count++] = forward_part(mapping);
	if (mapping->more_ports)
		return count + range_parts(mapping, parts + count);
	if (mapping->outbound)
		parts[count++] = outbound_part(mapping);
	if (mapping->reserves) {
		parts[count] = part_of("ext4", &external, NULL, sizeof(external));
		parts[count++].timeout = mapping->timeout;
	}
	if (mapping->reserves && mapping->helper == HELPER_FTP)
		parts[count++] = part_of("ftp4", &external.port, NULL, sizeof(external.port));
	return count;
}

struct nft_element
nft_element_of(const struct nft_part *part, enum firewall_change change)
{
	struct nft_element element = {
	    .key = part->key,
	    .key_end = part->interval ? part->key_end : NULL,
	    .key_size = part->key_size,
	};

	if (change == FIREWALL_REMOVE)
		return element;
	element.data = part->data_size ? part->data : NULL;
	element.data_size = part->data_size;
	element.timeout = part->timeout;
	element.comment = part->comment;
	return element;
}

void
nft_put_mapping(struct nft_batch *batch, enum firewall_change change, const struct mapping *mapping,
		uint32_t sequence)
{
	bool add = change == FIREWALL_ADD;
	struct nft_part parts[NFT_PARTS_MAX];
	size_t count = nft_parts_of(mapping, parts);

	for (size_t i = 0; i < count; i++) {
		const struct nft_element element = nft_element_of(&parts[i], change);
		/* The echo of this delete tells its last count. */
		const uint16_t echo = i == 0 ? NLM_F_ECHO : 0;

		nft_put_elements(batch,
				 &(struct nft_set_change){
				     .message = add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
				     .flags = add ? NLM_F_CREATE | NLM_F_EXCL : echo,
				     .set = parts[i].set,
				     .sequence = sequence},
				 &element, 1);
	}
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

const char *
nft_mapping_set(size_t number)
{
	return number < sizeof(mapping_sets) / sizeof(*mapping_sets) ? mapping_sets[number] : NULL;
}

void
nft_ask_elements(struct nft_batch *batch, const char *set)
{
	nft_put_elements(batch,
			 &(struct nft_set_change){
			     .message = NFT_MSG_GETSETELEM, .flags = NLM_F_DUMP, .set = set},
			 NULL, 0);
}

/* A value of at most so many octets; 0: there is none, or it is longer. */
static uint16_t
read_value(const struct nlattr *nest, uint8_t *out, size_t most)
{
	const struct nlattr *value = inside(nest, NFTA_DATA_VALUE);
	size_t size = value ? mnl_attr_get_payload_len(value) : 0;

	if (size > most)
		return 0;
	if (size)
		memcpy(out, mnl_attr_get_payload(value), size);
	return (uint16_t)size;
}

static uint64_t
read_u64(const struct nlattr *attribute)
{
	return attribute && mnl_attr_get_payload_len(attribute) == sizeof(uint64_t)
		   ? be64toh(mnl_attr_get_u64(attribute))
		   : 0;
}

/* NULL: there is none that `nft` would show. */
static const char *
read_comment(const struct nlattr *userdata)
{
	size_t size = userdata ? mnl_attr_get_payload_len(userdata) : 0;
	const uint8_t *bytes = userdata ? mnl_attr_get_payload(userdata) : NULL;

	if (size < 3 || bytes[0] != NFTNL_UDATA_SET_ELEM_COMMENT || bytes[1] == 0 ||
	    bytes[1] > size - 2 || bytes[1] > NFT_COMMENT_SIZE || bytes[2 + bytes[1] - 1] != '\0')
		return NULL;
	return (const char *)bytes + 2;
}

void
nft_each_element(const struct nlmsghdr *m, nft_element_fn *take, void *arg)
{
	const struct nlattr *attribute, *list = NULL, *element;
	const char *set = "";

	mnl_attr_for_each(attribute, m, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_LIST_ELEMENTS)
			list = attribute;
		else if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_LIST_SET &&
			 mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
			set = mnl_attr_get_str(attribute);
	}
	if (!list)
		return;
	mnl_attr_for_each_nested(element, list)
	{
		struct nft_part part = {.set = set};
		uint64_t lifetime = read_u64(inside(element, NFTA_SET_ELEM_TIMEOUT));

		part.key_size =
		    read_value(inside(element, NFTA_SET_ELEM_KEY), part.key, sizeof(part.key));
		part.interval = read_value(inside(element, NFTA_SET_ELEM_KEY_END), part.key_end,
					   sizeof(part.key_end));
		part.data_size =
		    read_value(inside(element, NFTA_SET_ELEM_DATA), part.data, sizeof(part.data));
		if (lifetime) {
			part.timeout = read_u64(inside(element, NFTA_SET_ELEM_EXPIRATION));
			part.timeout += part.timeout == 0; /* it ends now, not never */
		}
		part.comment = read_comment(inside(element, NFTA_SET_ELEM_USERDATA));
		take(arg, &part, lifetime);
	}
}

/* The prefix from first to last; false: these are no prefix's ends.  .length 0: all addresses. */
static bool
read_prefix(uint32_t first, uint32_t last, struct address *address, uint8_t *length)
{
	uint32_t hosts = ntohl(first) ^ ntohl(last);

	if ((hosts & (hosts + 1)) != 0 || (ntohl(first) & hosts) != 0)
		return false;
	if (hosts == UINT32_MAX)
		return true; /* anybody: unspecified */
	*address = address_from_ipv4(first);
	*length = (uint8_t)(128 - (hosts ? 32 - __builtin_clz(hosts) : 0));
	return true;
}

bool
nft_mapping_of(const struct nft_part *part, struct mapping *mapping)
{
	const struct port_key *external, *last;
	struct socket_value internal;
	bool range = strcmp(part->set, "range4") == 0;
	union forward_key key = {0}, end = {0};

	*mapping = (struct mapping){.timeout = part->timeout, .comment = part->comment};
	memcpy(&key, part->key, sizeof(part->key));
	memcpy(&end, part->key_end, sizeof(part->key_end));
	memcpy(&internal, part->data, sizeof(internal));
	external = last = &key.port;
	if (range || strcmp(part->set, "ffwd4") == 0) {
		external = &key.caller.external;
		last = &end.caller.external;
		if (part->key_size != sizeof(key.caller) || !part->interval ||
		    !read_prefix(key.caller.address, end.caller.address, &mapping->remote,
				 &mapping->remote_length))
			return false;
	} else if (strcmp(part->set, "rfwd4") == 0) {
		external = last = &key.remote.external;
		mapping->remote = address_from_ipv4(key.remote.address);
		if (part->key_size != sizeof(key.remote))
			return false;
	} else if (strcmp(part->set, "fwd4") != 0 || part->key_size != sizeof(key.port)) {
		return false;
	}
	if (part->data_size != (range ? sizeof(internal.address) : sizeof(internal)) ||
	    (external->transport != TRANSPORT_TCP && external->transport != TRANSPORT_UDP) ||
	    ntohs(last->port) < ntohs(external->port) || external->port == 0)
		return false;
	mapping->transport = external->transport;
	mapping->external_port = ntohs(external->port);
	mapping->more_ports = (uint16_t)(ntohs(last->port) - ntohs(external->port));
	mapping->internal =
	    (struct endpoint){address_from_ipv4(internal.address),
			      range ? mapping->external_port : ntohs(internal.port)};
	return true;
}
