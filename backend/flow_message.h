/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of conntrack's netlink (ctnetlink), to and from struct flow.  Pure. */
#ifndef PORTLEASE_FLOW_MESSAGE_H
#define PORTLEASE_FLOW_MESSAGE_H

#include "flows.h"

struct nlmsghdr;

enum { FLOW_MESSAGE_MAX = 256 }; /* octets of the longest that is made here */

/* Each writes one message into out, which holds FLOW_MESSAGE_MAX, and returns its length. */
size_t flow_message_ask_all(void *out, uint32_t sequence);
size_t flow_message_end(void *out, uint32_t sequence, const struct flow *, enum flow_ending);

/* False: it is no IPv4 flow of TCP or UDP, or not whole. */
bool flow_message_read(const struct nlmsghdr *, struct flow *);

#endif
