/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notifications only say where to look: whatever they touch is read anew and compared with what we
 * knew.  So nothing has to be rebuilt from events (order of addresses, renames, promoted
 * secondaries), and an overrun costs one more read.
 */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 32768, EVENT_BUFFER = 1 << 20, EVENTS_PER_TURN = 256, ATTEMPTS = 8 };

struct watched {
	struct network_interface now;
	bool follows; /* the default route, whatever it is named */
	bool dirty;
};

struct network {
	struct mnl_socket *events;
	struct mnl_socket *neighbours; /* asked often: kept open */
	uint32_t questions;	       /* asked there */
	bool changed;		       /* not yet reported */
	bool forwards;
	bool forwards_dirty;
	size_t count;
	uint8_t buffer[BUFFER_SIZE];
	struct watched *watched;
};

static struct mnl_socket *
open_socket(unsigned groups)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int error;

	if (!s)
		return NULL;
	if (mnl_socket_bind(s, groups, MNL_SOCKET_AUTOPID) == 0)
		return s;
	error = errno;
	mnl_socket_close(s);
	errno = error;
	return NULL;
}

static int
ask_on(struct network *n, struct mnl_socket *s, const struct nlmsghdr *question, mnl_cb_t found,
       void *arg)
{
	int on = 1, more;
	ssize_t size;

	/* Or the kernel answers with the addresses of every interface. */
	mnl_socket_setsockopt(s, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (mnl_socket_sendto(s, question, question->nlmsg_len) < 0)
		return -errno;
	do {
		size = mnl_socket_recvfrom(s, n->buffer, sizeof(n->buffer));
		if (size < 0)
			return -errno;
		more = mnl_cb_run(n->buffer, (size_t)size, 0, mnl_socket_get_portid(s), found, arg);
	} while (more > 0);
	return more < 0 ? -errno : 0;
}

/*
 * Gives each message of the answer to found().  0 or -errno; -EINTR: the answer is inconsistent,
 * ask again.  A socket for each question, since the rest of an answer given up would stand before
 * the next one.
 */
static int
ask(struct network *n, const struct nlmsghdr *question, mnl_cb_t found, void *arg)
{
	struct mnl_socket *s = open_socket(0);
	int result;

	if (!s)
		return -errno;
	result = ask_on(n, s, question, found, arg);
	mnl_socket_close(s);
	return result;
}

static int
link_name(const struct nlattr *attribute, void *arg)
{
	const char **name = arg;

	if (mnl_attr_get_type(attribute) == IFLA_IFNAME &&
	    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
		*name = mnl_attr_get_str(attribute);
	return MNL_CB_OK;
}

static int
found_link(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct network_interface *interface = arg;
	const char *name = "";

	mnl_attr_parse(message, sizeof(*link), link_name, &name);
	strncpy(interface->name, name, sizeof(interface->name) - 1);
	interface->index = (unsigned)link->ifi_index;
	interface->up = (link->ifi_flags & IFF_UP) && (link->ifi_flags & IFF_RUNNING);
	return MNL_CB_OK;
}

/* By its name; of one that has none yet, by its index. */
static int
ask_link(struct network *n, const struct network_interface *about, bool counters, mnl_cb_t found,
	 void *arg)
{
	uint8_t buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + 256];
	struct nlmsghdr *question = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *link;

	question->nlmsg_type = RTM_GETLINK;
	question->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	link = mnl_nlmsg_put_extra_header(question, sizeof(*link));
	link->ifi_family = AF_UNSPEC;
	if (about->name[0])
		mnl_attr_put_strz(question, IFLA_IFNAME, about->name);
	else
		link->ifi_index = (int)about->index;
	if (!counters)
		mnl_attr_put_u32(question, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return ask(n, question, found, arg);
}

/* One that has gone meanwhile does not exist. */
static int
read_link(struct network *n, struct network_interface *interface)
{
	int result = ask_link(n, interface, false, found_link, interface);

	if (result == -ENODEV)
		interface->index = 0;
	return result == -ENODEV ? 0 : result;
}

struct default_route {
	bool found;
	uint32_t metric;
	unsigned index; /* 0: it leads nowhere */
};

struct route_words {
	uint32_t metric, destination;
	unsigned index;
};

/* Of several next hops the first that is alive. */
static unsigned
first_next_hop(const struct nlattr *list)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(list);
	size_t left = mnl_attr_get_payload_len(list);

	while (left >= sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= left) {
		size_t step = RTNH_ALIGN(hop->rtnh_len);

		if (!(hop->rtnh_flags & RTNH_F_DEAD))
			return (unsigned)hop->rtnh_ifindex;
		if (step >= left)
			break;
		left -= step;
		hop = RTNH_NEXT(hop);
	}
	return 0;
}

static int
route_attribute(const struct nlattr *attribute, void *arg)
{
	struct route_words *out = arg;

	if (mnl_attr_get_type(attribute) == RTA_MULTIPATH)
		out->index = first_next_hop(attribute);
	if (mnl_attr_get_payload_len(attribute) != sizeof(uint32_t))
		return MNL_CB_OK;
	switch (mnl_attr_get_type(attribute)) {
	case RTA_PRIORITY:
		out->metric = mnl_attr_get_u32(attribute);
		break;
	case RTA_DST:
		out->destination = mnl_attr_get_u32(attribute);
		break;
	case RTA_OIF:
		out->index = mnl_attr_get_u32(attribute);
		break;
	}
	return MNL_CB_OK;
}

/* The kernel goes from 0.0.0.0 up, and takes the first of equal metric: nothing that concerns us
 * comes after the default routes, of however many there are. */
static int
found_route(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	struct route_words words = {.metric = 0};
	struct default_route *best = arg;

	mnl_attr_parse(message, sizeof(*route), route_attribute, &words);
	if (words.destination != 0)
		return MNL_CB_STOP;
	if (route->rtm_dst_len != 0 || route->rtm_tos != 0 || route->rtm_flags & RTNH_F_DEAD ||
	    (best->found && best->metric <= words.metric))
		return MNL_CB_OK;
	*best = (struct default_route){true, words.metric, words.index};
	return MNL_CB_OK;
}

static int
read_default_route(struct network *n, unsigned *index)
{
	uint8_t buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + 64];
	struct nlmsghdr *question = mnl_nlmsg_put_header(buffer);
	struct default_route best = {.found = false};
	struct rtmsg *route;
	int result;

	question->nlmsg_type = RTM_GETROUTE;
	question->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	route = mnl_nlmsg_put_extra_header(question, sizeof(*route));
	route->rtm_family = AF_INET;
	route->rtm_table = RT_TABLE_MAIN;
	result = ask(n, question, found_route, &best);
	*index = best.index;
	return result == -ENOENT ? 0 : result; /* no such table yet */
}

static int
address_attribute(const struct nlattr *attribute, void *arg)
{
	const struct nlattr **found = arg;

	if (mnl_attr_get_type(attribute) <= IFA_MAX)
		found[mnl_attr_get_type(attribute)] = attribute;
	return MNL_CB_OK;
}

/* An attribute of one family, whose addresses are of that size. */
static bool
get_address(const struct nlattr *attribute, unsigned family, struct address *out)
{
	if (!attribute || mnl_attr_get_payload_len(attribute) != (family == AF_INET ? 4 : 16))
		return false;
	if (family == AF_INET)
		*out = address_from_ipv4(mnl_attr_get_u32(attribute));
	else
		memcpy(out->bytes, mnl_attr_get_payload(attribute), sizeof(out->bytes));
	return true;
}

static struct prefix
prefix_of(const struct address *address, unsigned length)
{
	struct prefix prefix = {.address = *address, .length = (uint8_t)length};

	for (unsigned bit = length; bit < 128; bit++)
		prefix.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return prefix;
}

static void
add_address(struct network_interface *interface, unsigned family, const struct network_address *a)
{
	size_t *count = family == AF_INET ? &interface->addresses : &interface->ipv6_addresses;
	struct network_address *list =
	    family == AF_INET ? interface->address : interface->ipv6_address;

	if (*count < NETWORK_ADDRESSES)
		list[(*count)++] = *a;
}

static int
found_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct network_interface *interface = arg;
	const struct nlattr *attribute[IFA_MAX + 1] = {NULL};
	unsigned family = header->ifa_family, before = family == AF_INET ? 96 : 0;
	uint32_t flags = header->ifa_flags;
	struct network_address found;
	struct address on_link;

	if (header->ifa_index != interface->index || (family != AF_INET && family != AF_INET6) ||
	    before + header->ifa_prefixlen > 128)
		return MNL_CB_OK;
	mnl_attr_parse(message, sizeof(*header), address_attribute, attribute);
	if (!get_address(attribute[IFA_ADDRESS], family, &on_link))
		return MNL_CB_OK;
	/* IFA_ADDRESS is the peer's on a point-to-point link, where ours is IFA_LOCAL. */
	if (!get_address(attribute[IFA_LOCAL], family, &found.address))
		found.address = on_link;
	if (attribute[IFA_FLAGS])
		flags = mnl_attr_get_u32(attribute[IFA_FLAGS]);
	found.prefix = prefix_of(&on_link, before + header->ifa_prefixlen);
	found.secondary = (flags & IFA_F_SECONDARY) != 0;
	/* Nothing can be bound to one before the kernel knows that nobody else has it. */
	if (family == AF_INET || (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) == 0)
		add_address(interface, family, &found);
	return MNL_CB_OK;
}

static int
read_addresses(struct network *n, struct network_interface *interface, unsigned char family)
{
	uint8_t buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + 64];
	struct nlmsghdr *question = mnl_nlmsg_put_header(buffer);
	struct ifaddrmsg *header;
	int result;

	question->nlmsg_type = RTM_GETADDR;
	question->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header = mnl_nlmsg_put_extra_header(question, sizeof(*header));
	header->ifa_family = family;
	header->ifa_index = interface->index;
	result = ask(n, question, found_address, interface);
	return result == -ENODEV ? 0 : result; /* it went meanwhile: an event will say so */
}

static bool
same_addresses(const struct network_address *a, const struct network_address *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!address_equal(&a[i].address, &b[i].address) ||
		    a[i].secondary != b[i].secondary || a[i].prefix.length != b[i].prefix.length ||
		    !address_equal(&a[i].prefix.address, &b[i].prefix.address))
			return false;
	return true;
}

static bool
same(const struct network_interface *a, const struct network_interface *b)
{
	return strcmp(a->name, b->name) == 0 && a->index == b->index && a->up == b->up &&
	       a->addresses == b->addresses && a->ipv6_addresses == b->ipv6_addresses &&
	       same_addresses(a->address, b->address, a->addresses) &&
	       same_addresses(a->ipv6_address, b->ipv6_address, a->ipv6_addresses);
}

static bool
is_named(const struct network *n, const char *name)
{
	for (size_t i = 0; i < n->count; i++)
		if (!n->watched[i].follows && strcmp(n->watched[i].now.name, name) == 0)
			return true;
	return false;
}

static int
find_interface(struct network *n, const struct watched *w, struct network_interface *out)
{
	static const struct network_interface none;
	int result = 0;

	*out = none;
	if (w->follows)
		result = read_default_route(n, &out->index);
	else
		memcpy(out->name, w->now.name, sizeof(out->name));
	if (result == 0 && (out->index != 0 || !w->follows))
		result = read_link(n, out);
	if (w->follows && (out->index == 0 || is_named(n, out->name)))
		*out = none;
	return result;
}

static int
read_interface(struct network *n, struct watched *w)
{
	struct network_interface fresh;
	int result = -EINTR;

	for (int i = 0; i < ATTEMPTS && result == -EINTR; i++) {
		result = find_interface(n, w, &fresh);
		if (result == 0 && fresh.index != 0)
			result = read_addresses(n, &fresh, AF_INET);
		if (result == 0 && fresh.index != 0)
			result = read_addresses(n, &fresh, AF_INET6);
	}
	if (result < 0)
		return result;
	n->changed |= !same(&fresh, &w->now);
	w->now = fresh;
	w->dirty = false;
	return 0;
}

static int
forwarding_attribute(const struct nlattr *attribute, void *arg)
{
	bool *forwards = arg;

	if (mnl_attr_get_type(attribute) == NETCONFA_FORWARDING &&
	    mnl_attr_get_payload_len(attribute) == sizeof(uint32_t))
		*forwards = mnl_attr_get_u32(attribute) != 0;
	return MNL_CB_OK;
}

static int
found_forwarding(const struct nlmsghdr *message, void *arg)
{
	mnl_attr_parse(message, sizeof(struct netconfmsg), forwarding_attribute, arg);
	return MNL_CB_OK;
}

static int
read_forwarding(struct network *n)
{
	uint8_t buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + 64];
	struct nlmsghdr *question = mnl_nlmsg_put_header(buffer);
	struct netconfmsg *header;
	bool was = n->forwards;
	int result;

	question->nlmsg_type = RTM_GETNETCONF;
	question->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	header = mnl_nlmsg_put_extra_header(question, sizeof(*header));
	header->ncm_family = AF_INET;
	mnl_attr_put_u32(question, NETCONFA_IFINDEX, (uint32_t)NETCONFA_IFINDEX_ALL);
	result = ask(n, question, found_forwarding, &n->forwards);
	n->forwards_dirty = result < 0;
	n->changed |= was != n->forwards;
	return result;
}

static int
read_dirty(struct network *n, struct fault *fault)
{
	int result;

	for (size_t i = 0; i < n->count; i++) {
		struct watched *w = &n->watched[i];

		result = w->dirty ? read_interface(n, w) : 0;
		if (result < 0)
			return fault_set(fault, -result, "cannot read interface %s", w->now.name);
	}
	result = n->forwards_dirty ? read_forwarding(n) : 0;
	return result < 0 ? fault_set(fault, -result, "cannot read net.ipv4.ip_forward") : 0;
}

/* The kernel takes away the routes of a link that goes down, or loses its addresses, without a
 * word. */
static void
mark(struct network *n, unsigned index, const char *name)
{
	for (size_t i = 0; i < n->count; i++) {
		struct watched *w = &n->watched[i];

		if (w->follows || w->now.index == index || (name && strcmp(w->now.name, name) == 0))
			w->dirty = true;
	}
}

static void
mark_followers(struct network *n)
{
	for (size_t i = 0; i < n->count; i++)
		n->watched[i].dirty |= n->watched[i].follows;
}

static void
mark_all(struct network *n)
{
	for (size_t i = 0; i < n->count; i++)
		n->watched[i].dirty = true;
	n->forwards_dirty = true;
}

static int
on_event(const struct nlmsghdr *message, void *arg)
{
	struct network *n = arg;
	const struct ifinfomsg *link;
	const struct ifaddrmsg *address;
	const struct rtmsg *route;
	const char *name = NULL;

	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link = mnl_nlmsg_get_payload(message);
		mnl_attr_parse(message, sizeof(*link), link_name, &name);
		mark(n, (unsigned)link->ifi_index, name);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		address = mnl_nlmsg_get_payload(message);
		mark(n, address->ifa_index, NULL);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		route = mnl_nlmsg_get_payload(message);
		if (route->rtm_dst_len == 0)
			mark_followers(n);
		break;
	case RTM_NEWNETCONF:
		n->forwards_dirty = true;
		break;
	}
	return MNL_CB_OK;
}

int
network_dispatch(struct network *n, struct fault *fault)
{
	int result;

	for (int i = 0; i < EVENTS_PER_TURN; i++) {
		ssize_t size = mnl_socket_recvfrom(n->events, n->buffer, sizeof(n->buffer));

		if (size < 0 && errno == EAGAIN)
			break;
		if (size < 0 && errno != ENOBUFS && errno != ENOSPC && errno != EINTR)
			return fault_set(fault, errno, "cannot receive network events");
		/* Lost or cut: it may have been about any of them. */
		if (size < 0 || mnl_cb_run(n->buffer, (size_t)size, 0, 0, on_event, n) < 0)
			mark_all(n);
	}
	result = read_dirty(n, fault);
	if (result == 0) {
		result = n->changed;
		n->changed = false;
	}
	return result;
}

static unsigned
event_groups(const struct network *n)
{
	unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
			  1u << (RTNLGRP_IPV4_NETCONF - 1);

	for (size_t i = 0; i < n->count; i++)
		groups |= n->watched[i].follows ? RTMGRP_IPV4_ROUTE : 0;
	return groups;
}

static int
start(struct network *n, struct fault *fault)
{
	int size = EVENT_BUFFER, result;

	/* It listens before the first read, so that no change falls between. */
	n->events = open_socket(event_groups(n));
	if (n->events)
		n->neighbours = open_socket(0);
	if (!n->neighbours)
		return fault_set(fault, errno, "cannot open a routing socket");
	/* Not being allowed costs no more than a read of everything after a storm of events. */
	setsockopt(network_fd(n), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	mark_all(n);
	result = read_dirty(n, fault);
	n->changed = false;
	return result;
}

/* NULL: out of memory. */
static struct watched *
new_watched(const char *const *names, size_t count)
{
	struct watched *watched = calloc(count, sizeof(*watched));

	for (size_t i = 0; watched && i < count; i++) {
		watched[i].follows = !names[i];
		strncpy(watched[i].now.name, names[i] ? names[i] : "", NETWORK_NAME_SIZE - 1);
	}
	return watched;
}

int
network_open(struct network **out, const char *const *names, size_t count, struct fault *fault)
{
	struct network *n = calloc(1, sizeof(*n));
	int result;

	if (!n || !(n->watched = new_watched(names, count))) {
		free(n);
		return fault_set(fault, ENOMEM, "cannot watch the network");
	}
	n->count = count;
	result = start(n, fault);
	if (result < 0) {
		network_close(n);
		return result;
	}
	*out = n;
	return 0;
}

/* What the other set knows of the same interface; of the default route's it may be another now. */
static void
take_over(struct watched *w, const struct watched *from, size_t count)
{
	w->dirty = true;
	for (size_t i = 0; i < count; i++)
		if (!w->follows && !from[i].follows && strcmp(from[i].now.name, w->now.name) == 0)
			*w = from[i];
}

int
network_set_names(struct network *n, const char *const *names, size_t count, struct fault *fault)
{
	struct watched *old = n->watched;
	size_t old_count = n->count;
	int route = RTNLGRP_IPV4_ROUTE, result;

	n->watched = new_watched(names, count);
	if (!n->watched) {
		n->watched = old;
		return fault_set(fault, ENOMEM, "cannot watch the network");
	}
	n->count = count;
	for (size_t i = 0; i < count; i++)
		take_over(&n->watched[i], old, old_count);
	/* It listens before the first read, as in start(). */
	mnl_socket_setsockopt(n->events,
			      event_groups(n) & RTMGRP_IPV4_ROUTE ? NETLINK_ADD_MEMBERSHIP
								  : NETLINK_DROP_MEMBERSHIP,
			      &route, sizeof(route));
	result = read_dirty(n, fault);
	if (result < 0) {
		free(n->watched);
		n->watched = old;
		n->count = old_count;
		return result;
	}
	free(old);
	n->changed = false;
	return 0;
}

void
network_close(struct network *n)
{
	if (!n)
		return;
	if (n->events)
		mnl_socket_close(n->events);
	if (n->neighbours)
		mnl_socket_close(n->neighbours);
	free(n->watched);
	free(n);
}

int
network_fd(const struct network *n)
{
	return mnl_socket_get_fd(n->events);
}

const struct network_interface *
network_interface(const struct network *n, size_t number)
{
	return number < n->count ? &n->watched[number].now : NULL;
}

bool
network_forwards(const struct network *n)
{
	return n->forwards;
}

static int
counters_attribute(const struct nlattr *attribute, void *arg)
{
	struct network_counters *out = arg;
	struct rtnl_link_stats64 stats;

	if (mnl_attr_get_type(attribute) != IFLA_STATS64 ||
	    mnl_attr_get_payload_len(attribute) < offsetof(struct rtnl_link_stats64, rx_errors))
		return MNL_CB_OK;
	/* Of 64 bit, but not aligned to it. */
	memcpy(&stats, mnl_attr_get_payload(attribute),
	       offsetof(struct rtnl_link_stats64, rx_errors));
	*out = (struct network_counters){
	    .bytes_sent = stats.tx_bytes,
	    .bytes_received = stats.rx_bytes,
	    .packets_sent = stats.tx_packets,
	    .packets_received = stats.rx_packets,
	};
	return MNL_CB_STOP;
}

static int
found_counters(const struct nlmsghdr *message, void *arg)
{
	mnl_attr_parse(message, sizeof(struct ifinfomsg), counters_attribute, arg);
	return MNL_CB_OK;
}

struct neighbour {
	bool there; /* an entry, that is */
	bool known;
	bool fixed;  /* by an admin, or because its link has no such addresses */
	size_t size; /* 0: its link has no such addresses, or none was resolved */
	uint8_t link_layer[32];
};

static int
neighbour_attribute(const struct nlattr *attribute, void *arg)
{
	struct neighbour *out = arg;
	size_t size = mnl_attr_get_payload_len(attribute);

	if (mnl_attr_get_type(attribute) == NDA_LLADDR && size <= sizeof(out->link_layer)) {
		memcpy(out->link_layer, mnl_attr_get_payload(attribute), size);
		out->size = size;
	}
	return MNL_CB_OK;
}

static int
found_neighbour(const struct nlmsghdr *message, void *arg)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct neighbour *out = arg;

	out->there = header->ndm_state != NUD_NONE;
	out->fixed = header->ndm_state & (NUD_PERMANENT | NUD_NOARP);
	out->known = header->ndm_state & ~(NUD_INCOMPLETE | NUD_FAILED);
	if (out->known && !(header->ndm_state & NUD_NOARP))
		mnl_attr_parse(message, sizeof(*header), neighbour_attribute, out);
	return MNL_CB_OK;
}

static void
put_neighbour_question(struct nlmsghdr *question, unsigned index, const struct address *address)
{
	bool is_ipv4 = address_is_ipv4(address);
	struct ndmsg *about = mnl_nlmsg_put_extra_header(question, sizeof(*about));

	about->ndm_family = is_ipv4 ? AF_INET : AF_INET6;
	about->ndm_ifindex = (int)index;
	if (is_ipv4)
		mnl_attr_put_u32(question, NDA_DST, address_to_ipv4(address));
	else
		mnl_attr_put(question, NDA_DST, sizeof(address->bytes), address->bytes);
}

/* Of one message, which is there when sendto() returns; what is of another question was left over.
 * 0 or -errno. */
static int
ask_exactly(struct network *n, struct nlmsghdr *question, mnl_cb_t found, void *arg)
{
	ssize_t size;
	int result = -1;

	question->nlmsg_seq = ++n->questions;
	if (mnl_socket_sendto(n->neighbours, question, question->nlmsg_len) < 0)
		return -errno;
	do {
		size = mnl_socket_recvfrom(n->neighbours, n->buffer, sizeof(n->buffer));
		if (size > 0)
			result =
			    mnl_cb_run(n->buffer, (size_t)size, question->nlmsg_seq, 0, found, arg);
	} while (size > 0 && result < 0 && errno == EPROTO);
	return size < 0 || result < 0 ? -errno : 0;
}

static struct neighbour
ask_neighbour(struct network *n, unsigned index, const struct address *address)
{
	uint8_t buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + 64];
	struct nlmsghdr *question = mnl_nlmsg_put_header(buffer);
	struct neighbour found = {.known = false};

	question->nlmsg_type = RTM_GETNEIGH;
	question->nlmsg_flags = NLM_F_REQUEST;
	put_neighbour_question(question, index, address);
	ask_exactly(n, question, found_neighbour, &found);
	return found;
}

bool
network_knows_neighbour(struct network *n, unsigned index, const struct address *address)
{
	return ask_neighbour(n, index, address).known;
}

enum network_neighbour
network_neighbour(struct network *n, unsigned index, const struct address *address)
{
	const struct neighbour found = ask_neighbour(n, index, address);

	if (found.known)
		return NETWORK_THERE;
	return found.there ? NETWORK_FAILED : NETWORK_UNSURE;
}

static int
hop_attribute(const struct nlattr *attribute, void *arg)
{
	unsigned *index = arg;

	switch (mnl_attr_get_type(attribute)) {
	case RTA_OIF:
		*index = mnl_attr_get_u32(attribute);
		return MNL_CB_OK;
	case RTA_GATEWAY:
	case RTA_VIA:
	case RTA_MULTIPATH:
		*index = 0;
		return MNL_CB_STOP;
	default:
		return MNL_CB_OK;
	}
}

static int
found_hop(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);

	if (route->rtm_type == RTN_UNICAST)
		mnl_attr_parse(message, sizeof(*route), hop_attribute, arg);
	return MNL_CB_OK;
}

/* The link that an IPv4 host is on itself; 0: it is behind a router, or nowhere. */
static unsigned
link_of(struct network *n, const struct address *address)
{
	uint8_t buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + 64];
	struct nlmsghdr *question = mnl_nlmsg_put_header(buffer);
	struct rtmsg *route;
	unsigned index = 0;

	question->nlmsg_type = RTM_GETROUTE;
	question->nlmsg_flags = NLM_F_REQUEST;
	route = mnl_nlmsg_put_extra_header(question, sizeof(*route));
	route->rtm_family = AF_INET;
	route->rtm_dst_len = 32;
	mnl_attr_put_u32(question, RTA_DST, address_to_ipv4(address));
	return ask_exactly(n, question, found_hop, &index) == 0 ? index : 0;
}

bool
network_probe(struct network *n, unsigned index, const struct address *address)
{
	uint8_t buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + 64];
	struct nlmsghdr *question = mnl_nlmsg_put_header(buffer);
	struct ndmsg *about;

	if (!address_is_ipv4(address) || link_of(n, address) != index)
		return false;
	/* Since 5.16 NTF_USE takes the permanence away. */
	if (ask_neighbour(n, index, address).fixed)
		return true;
	question->nlmsg_type = RTM_NEWNEIGH;
	question->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
	put_neighbour_question(question, index, address);
	about = mnl_nlmsg_get_payload(question);
	about->ndm_flags = NTF_USE;
	return ask_exactly(n, question, NULL, NULL) == 0;
}

bool
network_same_neighbour(struct network *n, unsigned index, const struct address *one,
		       const struct address *other)
{
	const struct neighbour a = ask_neighbour(n, index, one);
	const struct neighbour b = a.size ? ask_neighbour(n, index, other) : a;

	return a.size > 0 && a.size == b.size && memcmp(a.link_layer, b.link_layer, a.size) == 0;
}

int
network_counters(struct network *n, size_t number, struct network_counters *out,
		 struct fault *fault)
{
	const struct network_interface *interface = &n->watched[number].now;
	int result =
	    interface->name[0] ? ask_link(n, interface, true, found_counters, out) : -ENODEV;

	if (result < 0)
		return fault_set(fault, -result, "cannot read counters of %s", interface->name);
	return 0;
}

uint64_t
network_bit_rate(const struct network *n, size_t number)
{
	struct ethtool_cmd settings = {.cmd = ETHTOOL_GSET};
	struct ifreq request = {.ifr_data = (void *)&settings};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;
	uint32_t megabits;

	memcpy(request.ifr_name, n->watched[number].now.name, sizeof(request.ifr_name));
	result = ioctl(fd, SIOCETHTOOL, &request);
	close(fd);
	megabits = result == 0 ? ethtool_cmd_speed(&settings) : 0;
	return megabits == (uint32_t)SPEED_UNKNOWN ? 0 : (uint64_t)megabits * 1000000;
}
