/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flow_message.h"

#include <arpa/inet.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

/* Writing */

static struct nlmsghdr *
open_message(void *out, uint8_t message, uint16_t flags, uint32_t sequence)
{
	struct nlmsghdr *m;
	struct nfgenmsg *head;

	memset(out, 0, FLOW_MESSAGE_MAX); /* libmnl leaves padding as it is */
	m = mnl_nlmsg_put_header(out);
	m->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | message;
	m->nlmsg_flags = NLM_F_REQUEST | flags;
	m->nlmsg_seq = sequence;
	head = mnl_nlmsg_put_extra_header(m, sizeof(*head));
	head->nfgen_family = AF_INET;
	head->version = NFNETLINK_V0;
	return m;
}

size_t
flow_message_ask_all(void *out, uint32_t sequence)
{
	return open_message(out, IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence)->nlmsg_len;
}

static void
put_tuple(struct nlmsghdr *m, const struct flow *flow)
{
	struct nlattr *tuple = mnl_attr_nest_start(m, CTA_TUPLE_ORIG);
	struct nlattr *part = mnl_attr_nest_start(m, CTA_TUPLE_IP);

	mnl_attr_put_u32(m, CTA_IP_V4_SRC, address_to_ipv4(&flow->from.address));
	mnl_attr_put_u32(m, CTA_IP_V4_DST, address_to_ipv4(&flow->to.address));
	mnl_attr_nest_end(m, part);
	part = mnl_attr_nest_start(m, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(m, CTA_PROTO_NUM, (uint8_t)flow->transport);
	mnl_attr_put_u16(m, CTA_PROTO_SRC_PORT, htons(flow->from.port));
	mnl_attr_put_u16(m, CTA_PROTO_DST_PORT, htons(flow->to.port));
	mnl_attr_nest_end(m, part);
	mnl_attr_nest_end(m, tuple);
	if (flow->zone)
		mnl_attr_put_u16(m, CTA_ZONE, htons(flow->zone));
}

size_t
flow_message_end(void *out, uint32_t sequence, const struct flow *flow, enum flow_ending how)
{
	struct nlmsghdr *m = open_message(
	    out, how == FLOW_RESET ? IPCTNL_MSG_CT_NEW : IPCTNL_MSG_CT_DELETE, 0, sequence);

	put_tuple(m, flow);
	if (how == FLOW_RESET) {
		mnl_attr_put_u32(m, CTA_MARK, htonl(FLOWS_MARK_ENDED));
		mnl_attr_put_u32(m, CTA_MARK_MASK, htonl(FLOWS_MARK_ENDED));
	} else { /* not one that took its place meanwhile */
		mnl_attr_put_u32(m, CTA_ID, flow->id);
	}
	return m->nlmsg_len;
}

/* Reading */

enum { ATTRIBUTES = 32 }; /* what is read of each group is below it */

struct attributes {
	const struct nlattr *of[ATTRIBUTES];
};

static int
keep(const struct nlattr *attribute, void *arg)
{
	struct attributes *all = arg;

	if (mnl_attr_get_type(attribute) < ATTRIBUTES)
		all->of[mnl_attr_get_type(attribute)] = attribute;
	return MNL_CB_OK;
}

/* Those within one; none if it is not there. */
static struct attributes
within(const struct attributes *outer, uint16_t type)
{
	struct attributes inner = {{NULL}};

	if (outer->of[type])
		mnl_attr_parse_nested(outer->of[type], keep, &inner);
	return inner;
}

/* Copies an attribute of exactly that size; if it is not, *whole becomes false. */
static void
take(const struct attributes *all, uint16_t type, void *out, size_t size, bool *whole)
{
	const struct nlattr *a = all->of[type];

	if (a && mnl_attr_get_payload_len(a) == size)
		memcpy(out, mnl_attr_get_payload(a), size);
	else
		*whole = false;
}

static uint32_t
take_number(const struct attributes *all, uint16_t type)
{
	uint32_t number = 0;
	bool there = true;

	take(all, type, &number, sizeof(number), &there);
	return ntohl(number);
}

static bool
read_tuple(const struct attributes *all, uint16_t type, uint8_t *transport, struct endpoint ends[2])
{
	struct attributes tuple = within(all, type);
	struct attributes ip = within(&tuple, CTA_TUPLE_IP);
	struct attributes proto = within(&tuple, CTA_TUPLE_PROTO);
	uint32_t address[2] = {0};
	uint16_t port[2] = {0};
	bool whole = true;

	take(&ip, CTA_IP_V4_SRC, &address[0], sizeof(address[0]), &whole);
	take(&ip, CTA_IP_V4_DST, &address[1], sizeof(address[1]), &whole);
	take(&proto, CTA_PROTO_NUM, transport, sizeof(*transport), &whole);
	take(&proto, CTA_PROTO_SRC_PORT, &port[0], sizeof(port[0]), &whole);
	take(&proto, CTA_PROTO_DST_PORT, &port[1], sizeof(port[1]), &whole);
	for (int i = 0; i < 2; i++)
		ends[i] = (struct endpoint){address_from_ipv4(address[i]), ntohs(port[i])};
	return whole;
}

static enum flow_state
read_state(const struct attributes *all, enum transport transport)
{
	struct attributes protocol = within(all, CTA_PROTOINFO);
	struct attributes tcp = within(&protocol, CTA_PROTOINFO_TCP);
	uint32_t status = take_number(all, CTA_STATUS);
	uint8_t state = FLOW_NONE;
	bool whole = true;

	if (transport == TRANSPORT_UDP)
		return status & IPS_ASSURED	 ? FLOW_ASSURED
		       : status & IPS_SEEN_REPLY ? FLOW_REPLIED
						 : FLOW_UNREPLIED;
	take(&tcp, CTA_PROTOINFO_TCP_STATE, &state, sizeof(state), &whole);
	return state <= FLOW_SYN_SENT2 ? (enum flow_state)state : FLOW_NONE;
}

bool
flow_message_read(const struct nlmsghdr *m, struct flow *flow)
{
	struct attributes all = {{NULL}};
	struct endpoint sent[2], answered[2], announced[2];
	uint8_t transport = 0, of_master;
	bool zoned = true;

	if (m->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW) ||
	    m->nlmsg_len < mnl_nlmsg_size(sizeof(struct nfgenmsg)))
		return false;
	mnl_attr_parse(m, sizeof(struct nfgenmsg), keep, &all);
	if (!read_tuple(&all, CTA_TUPLE_ORIG, &transport, sent) ||
	    !read_tuple(&all, CTA_TUPLE_REPLY, &transport, answered) ||
	    (transport != TRANSPORT_TCP && transport != TRANSPORT_UDP))
		return false;
	*flow = (struct flow){
	    .transport = (enum transport)transport,
	    .from = sent[0],
	    .to = sent[1],
	    .reply_from = answered[0],
	    .reply_to = answered[1],
	    .mark = take_number(&all, CTA_MARK),
	    .state = read_state(&all, (enum transport)transport),
	    .timeout = take_number(&all, CTA_TIMEOUT),
	    .id = htonl(take_number(&all, CTA_ID)), /* a cookie: as it came */
	};
	take(&all, CTA_ZONE, &flow->zone, sizeof(flow->zone), &zoned);
	flow->zone = ntohs(flow->zone);
	if (read_tuple(&all, CTA_TUPLE_MASTER, &of_master, announced))
		flow->master_port = announced[1].port;
	return true;
}
