/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clauses are of the UPnP Device Architecture 1.1. */
#include "discovery.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"

enum {
	READS_AT_ONCE = 64,
	REPLIES_MAX = 64,      /* waiting */
	START_DELAY_MAX = 100, /* ms */
	REPEATS = 2,	       /* of the first announcement */
	REPEAT_DELAY = 300,    /* ms, and as much again at random */
	TTL = 2,
	HOPS = 10,
};

enum { IPV4, IPV6, FAMILIES };

/* A reply that waits. */
struct reply {
	monotime due; /* MONOTIME_NEVER: a free place */
	struct address to;
	uint16_t port;
	bool all;		 /* else: */
	struct ssdp_entry entry; /* this one; its texts are the device's */
};

struct discovery {
	struct event_base *base;
	const struct device *device;
	int fd[FAMILIES]; /* -1: none */
	struct event *readable[FAMILIES];
	struct event *announce, *answer;
	unsigned round; /* of the announcements since the device appeared */
	bool present;	/* said to be there */
	struct reply reply[REPLIES_MAX];
	struct ssdp_limit limit;
	struct discovery_counts counts;
};

static uint32_t
random_below(uint32_t bound)
{
	uint32_t n = 0;

	/* If there is none, they are only less spread. */
	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		return 0;
	return n % bound;
}

static void
wake_in(struct event *event, monotime ms)
{
	const struct timeval wait = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	event_add(event, &wait);
}

/* --- sending --- */

/* A datagram from one of our addresses. */
struct outgoing {
	struct address from, to;
	uint16_t port;
};

union control {
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

static void
send_ipv4(struct discovery *d, const struct outgoing *o, struct msghdr *m)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(o->port),
				 .sin_addr.s_addr = address_to_ipv4(&o->to)};
	struct in_pktinfo info = {.ipi_ifindex = (int)d->device->lan.index,
				  .ipi_spec_dst.s_addr = address_to_ipv4(&o->from)};
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	m->msg_controllen = CMSG_SPACE(sizeof(info));
	m->msg_name = &to;
	m->msg_namelen = sizeof(to);
	sendmsg(d->fd[IPV4], m, MSG_DONTWAIT);
}

static void
send_ipv6(struct discovery *d, const struct outgoing *o, struct msghdr *m)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
				  .sin6_port = htons(o->port),
				  .sin6_scope_id = d->device->lan.index};
	struct in6_pktinfo info = {.ipi6_ifindex = d->device->lan.index};
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	memcpy(&to.sin6_addr, o->to.bytes, sizeof(to.sin6_addr));
	memcpy(&info.ipi6_addr, o->from.bytes, sizeof(info.ipi6_addr));
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	m->msg_controllen = CMSG_SPACE(sizeof(info));
	m->msg_name = &to;
	m->msg_namelen = sizeof(to);
	sendmsg(d->fd[IPV6], m, MSG_DONTWAIT);
}

/* What does not leave is lost, as any datagram may be. */
static void
send_message(struct discovery *d, const struct outgoing *o, const struct ssdp_message *message,
	     const struct ssdp_entry *entry)
{
	union control control = {.bytes = {0}};
	char bytes[SSDP_MESSAGE_MAX];
	struct iovec iov = {bytes, ssdp_encode(message, entry, bytes, sizeof(bytes))};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	bool is_ipv4 = address_is_ipv4(&o->to);

	if (iov.iov_len == 0 || d->fd[is_ipv4 ? IPV4 : IPV6] < 0)
		return;
	if (is_ipv4)
		send_ipv4(d, o, &m);
	else
		send_ipv6(d, o, &m);
}

/* What is said from one address: its own LOCATIONs. */
struct voice {
	struct ssdp_sender sender;
	char location[SSDP_VIEWS][DEVICE_LOCATION_SIZE];
};

static void
find_voice(const struct device *device, const struct address *from, struct voice *out)
{
	out->sender.group = address_is_ipv4(from)	 ? SSDP_IPV4
			    : device_is_link_local(from) ? SSDP_IPV6_LINK
							 : SSDP_IPV6_SITE;
	for (int v = 0; v < SSDP_VIEWS; v++) {
		device_location(device, from, (enum igd_view)(v + IGD_VIEW_1), out->location[v]);
		out->sender.location[v] = out->location[v];
	}
}

static struct address
group_address(enum ssdp_group group)
{
	static const char *const text[SSDP_GROUPS] = {
	    [SSDP_IPV4] = "239.255.255.250",
	    [SSDP_IPV6_LINK] = "ff02::c",
	    [SSDP_IPV6_SITE] = "ff05::c",
	};
	struct address a = {0};

	address_parse(text[group], &a);
	return a;
}

/* The whole set, from one address. */
static void
say(struct discovery *d, const struct address *from, enum ssdp_kind kind,
    const struct ssdp_device *device, uint32_t next_boot_id)
{
	struct ssdp_entry entries[SSDP_ENTRIES_MAX];
	unsigned count = ssdp_entries(device, entries);
	struct ssdp_message message = {
	    .kind = kind, .device = device, .next_boot_id = next_boot_id};
	struct voice voice;
	struct outgoing o;

	find_voice(d->device, from, &voice);
	message.sender = &voice.sender;
	o = (struct outgoing){*from, group_address(voice.sender.group), SSDP_PORT};
	for (unsigned i = 0; i < count; i++)
		send_message(d, &o, &message, &entries[i]);
}

static void
say_everywhere(struct discovery *d, enum ssdp_kind kind)
{
	const struct link_lan *lan = &d->device->lan;
	struct ssdp_device device;

	device_ssdp(d->device, &device);
	for (unsigned i = 0; i < lan->addresses; i++)
		say(d, &lan->address[i].address, kind, &device, 0);
}

/* --- announcing --- */

/* 1.2.2, and byebye first (WANIPConnection:2, 1.2): what is remembered of us is no longer true. */
static void
on_announce(evutil_socket_t fd, short what, void *arg)
{
	uint32_t interval;
	struct discovery *d = arg;

	(void)fd, (void)what;
	interval = 1000 * d->device->setup.ssdp_interval;
	if (d->round == 0)
		say_everywhere(d, SSDP_BYEBYE);
	say_everywhere(d, SSDP_ALIVE);
	d->present = true;
	if (d->round++ < REPEATS)
		wake_in(d->announce, REPEAT_DELAY + random_below(REPEAT_DELAY));
	else
		wake_in(d->announce, interval - random_below(interval / 4 + 1));
}

/* --- replying --- */

static void
reply(struct discovery *d, const struct reply *r)
{
	const struct address *from = device_nearest(d->device, &r->to);
	struct ssdp_entry entries[SSDP_ENTRIES_MAX] = {r->entry};
	struct ssdp_message message = {.kind = SSDP_REPLY};
	struct ssdp_device device;
	struct voice voice;
	struct outgoing o;
	unsigned count = 1;

	if (!from)
		return;
	device_ssdp(d->device, &device);
	if (r->all)
		count = ssdp_entries(&device, entries);
	find_voice(d->device, from, &voice);
	message.device = &device;
	message.sender = &voice.sender;
	o = (struct outgoing){*from, r->to, r->port};
	for (unsigned i = 0; i < count; i++)
		send_message(d, &o, &message, &entries[i]);
	d->counts.replied++;
}

static struct reply *
first_reply(struct discovery *d)
{
	struct reply *first = &d->reply[0];

	for (int i = 1; i < REPLIES_MAX; i++)
		if (d->reply[i].due < first->due)
			first = &d->reply[i];
	return first;
}

static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct discovery *d = arg;
	monotime now = clock_now();
	struct reply *first;

	(void)fd, (void)what;
	while ((first = first_reply(d))->due <= now) {
		reply(d, first);
		first->due = MONOTIME_NEVER;
	}
	if (first->due != MONOTIME_NEVER)
		wake_in(d->answer, first->due - now);
}

static void
reply_later(struct discovery *d, const struct reply *r)
{
	for (int i = 0; i < REPLIES_MAX; i++)
		if (d->reply[i].due == MONOTIME_NEVER) {
			d->reply[i] = *r;
			wake_in(d->answer, 0);
			return;
		}
	reply(d, r);
}

static void
take(struct discovery *d, const struct datagram *datagram, bool multicast)
{
	unsigned how =
	    (multicast ? SSDP_MULTICAST : 0) | (d->device->setup.strict_ssdp ? SSDP_STRICT : 0);
	struct ssdp_entry entries[SSDP_ENTRIES_MAX];
	monotime now = clock_now();
	struct ssdp_device device;
	struct ssdp_search search;
	struct reply r;
	unsigned count;

	d->counts.searches++;
	if (!device_is_client(d->device, &datagram->source) || !ssdp_decode(datagram, how, &search))
		return;
	device_ssdp(d->device, &device);
	count = ssdp_match(&device, &search, entries);
	if (count == 0)
		return;
	if (!ssdp_admit(&d->limit, &search, now)) {
		d->counts.limited++;
		return;
	}
	r = (struct reply){now + ssdp_delay(&search, random_below(UINT32_MAX)), search.from.address,
			   search.from.port, count > 1, entries[0]};
	if (search.multicast)
		reply_later(d, &r);
	else
		reply(d, &r);
}

/* --- receiving --- */

/* Where it was sent to; false: not known. */
static bool
find_destination(struct msghdr *m, struct address *out)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			*out = address_from_ipv4(info.ipi_addr.s_addr);
			return true;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			memcpy(out->bytes, &info.ipi6_addr, sizeof(out->bytes));
			return true;
		}
	}
	return false;
}

static void
find_source(const struct sockaddr_storage *from, struct datagram *out)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;

	if (from->ss_family == AF_INET) {
		out->source = address_from_ipv4(v4->sin_addr.s_addr);
		out->source_port = ntohs(v4->sin_port);
	} else {
		memcpy(out->source.bytes, &v6->sin6_addr, sizeof(out->source.bytes));
		out->source_port = ntohs(v6->sin6_port);
	}
}

static bool
is_group(const struct address *a)
{
	for (int g = 0; g < SSDP_GROUPS; g++) {
		struct address group = group_address((enum ssdp_group)g);

		if (address_equal(a, &group))
			return true;
	}
	return false;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct discovery *d = arg;
	uint8_t bytes[SSDP_SEARCH_MAX];

	(void)what;
	for (int i = 0; i < READS_AT_ONCE; i++) {
		struct sockaddr_storage from;
		union control control;
		struct iovec iov = {bytes, sizeof(bytes)};
		struct msghdr m = {.msg_name = &from,
				   .msg_namelen = sizeof(from),
				   .msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = &control,
				   .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_TRUNC);
		struct datagram datagram = {.bytes = bytes};
		struct address to;
		bool multicast;

		if (n < 0)
			return;
		datagram.size = (size_t)n;
		datagram.kept = datagram.size < sizeof(bytes) ? datagram.size : sizeof(bytes);
		find_source(&from, &datagram);
		if (!find_destination(&m, &to))
			continue;
		multicast = is_group(&to);
		if (multicast || device_is_ours(d->device, &to))
			take(d, &datagram, multicast);
	}
}

/* --- sockets --- */

struct option {
	int level, name;
	const void *value;
	socklen_t size;
};

static bool
set_options(int fd, const struct option *option, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (setsockopt(fd, option[i].level, option[i].name, option[i].value,
			       option[i].size))
			return false;
	return true;
}

#define OPTION(level, name, value)                   \
	{                                            \
		level, name, &(value), sizeof(value) \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const int on = 1, off = 0, ttl = TTL, hops = HOPS;

/* What is sent to the group anywhere else is none of ours: IP_MULTICAST_ALL is off. */
static bool
set_up_ipv4(int fd, const struct link_lan *lan)
{
	struct address group = group_address(SSDP_IPV4);
	const struct ip_mreqn member = {.imr_multiaddr.s_addr = address_to_ipv4(&group),
					.imr_ifindex = (int)lan->index};
	const struct option options[] = {
	    OPTION(IPPROTO_IP, IP_PKTINFO, on),
	    OPTION(IPPROTO_IP, IP_MULTICAST_ALL, off),
	    OPTION(IPPROTO_IP, IP_MULTICAST_LOOP, off),
	    OPTION(IPPROTO_IP, IP_MULTICAST_TTL, ttl),
	    OPTION(IPPROTO_IP, IP_MULTICAST_IF, member),
	    OPTION(IPPROTO_IP, IP_ADD_MEMBERSHIP, member),
	};
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(SSDP_PORT)};

	return set_options(fd, options, COUNT(options)) &&
	       bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0;
}

static bool
set_up_ipv6(int fd, const struct link_lan *lan)
{
	const int index = (int)lan->index;
	struct ipv6_mreq link = {.ipv6mr_interface = lan->index}, site = link;
	const struct option options[] = {
	    OPTION(IPPROTO_IPV6, IPV6_V6ONLY, on),
	    OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO, on),
	    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_ALL, off),
	    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, off),
	    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops),
	    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_IF, index),
	    OPTION(IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, link),
	    OPTION(IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, site),
	};
	const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(SSDP_PORT)};

	memcpy(&link.ipv6mr_multiaddr, group_address(SSDP_IPV6_LINK).bytes, 16);
	memcpy(&site.ipv6mr_multiaddr, group_address(SSDP_IPV6_SITE).bytes, 16);
	return set_options(fd, options, COUNT(options)) &&
	       bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0;
}

static void
close_socket(struct discovery *d, int family)
{
	if (d->readable[family])
		event_free(d->readable[family]);
	if (d->fd[family] >= 0)
		close(d->fd[family]);
	d->readable[family] = NULL;
	d->fd[family] = -1;
}

static void
close_sockets(struct discovery *d)
{
	for (int family = 0; family < FAMILIES; family++)
		close_socket(d, family);
}

static int
open_socket(struct discovery *d, int family)
{
	const struct link_lan *lan = &d->device->lan;
	int fd = socket(family == IPV4 ? AF_INET : AF_INET6,
			SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	d->fd[family] = fd;
	/* Other programs of this host may search, too. */
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, lan->interface,
		       (socklen_t)strlen(lan->interface)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    !(family == IPV4 ? set_up_ipv4(fd, lan) : set_up_ipv6(fd, lan)))
		return -errno;
	d->readable[family] = event_new(d->base, fd, EV_READ | EV_PERSIST, on_readable, d);
	return d->readable[family] && event_add(d->readable[family], NULL) == 0 ? 0 : -ENOMEM;
}

static int
open_sockets(struct discovery *d)
{
	int error = open_socket(d, IPV4);

	if (error) {
		close_sockets(d);
		return error;
	}
	/* A kernel may have no IPv6, an interface may have it switched off. */
	error = open_socket(d, IPV6);
	if (error) {
		log_debug("ssdp", "no IPv6", "error=%d", -error);
		close_socket(d, IPV6);
	}
	return 0;
}

/* 1.2.4: on the addresses that stayed, the device goes on under another BOOTID.  False: none did.
 */
static bool
say_update(struct discovery *d, const struct link_lan *before)
{
	const struct link_lan *lan = &d->device->lan;
	struct ssdp_device device;
	bool stays = false;

	device_ssdp(d->device, &device);
	device.boot_id = before->boot_id;
	for (unsigned i = 0; i < before->addresses; i++) {
		const struct address *address = &before->address[i].address;

		if (!device_is_ours(d->device, address))
			continue;
		stays = true;
		if (before->boot_id != lan->boot_id)
			say(d, address, SSDP_UPDATE, &device, lan->boot_id);
	}
	return stays;
}

int
discovery_lan(struct discovery *d, const struct link_lan *before)
{
	const struct link_lan *lan = &d->device->lan;
	bool same = before && before->index == lan->index && d->fd[IPV4] >= 0;
	int error = 0;

	if (!same) {
		close_sockets(d);
		d->present = false;
		error = lan->index ? open_sockets(d) : 0;
	}
	if (error || lan->index == 0) {
		event_del(d->announce);
		return error;
	}
	if (same && before->boot_id == lan->boot_id && before->up == lan->up)
		return 0;
	/* What goes on does not begin with byebye. */
	d->round = d->present && say_update(d, before);
	wake_in(d->announce, random_below(START_DELAY_MAX + 1));
	return 0;
}

void
discovery_announce(struct discovery *d)
{
	if (d->present)
		wake_in(d->announce, random_below(START_DELAY_MAX + 1));
}

struct discovery_counts
discovery_counts(const struct discovery *d)
{
	return d->counts;
}

struct discovery *
discovery_new(struct event_base *base, const struct device *device)
{
	struct discovery *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->base = base;
	d->device = device;
	d->fd[IPV4] = d->fd[IPV6] = -1;
	for (int i = 0; i < REPLIES_MAX; i++)
		d->reply[i].due = MONOTIME_NEVER;
	ssdp_limit_init(&d->limit, device->setup.ssdp_searches_per_second,
			device->setup.ssdp_searches_per_second_total);
	d->announce = event_new(base, -1, 0, on_announce, d);
	d->answer = event_new(base, -1, 0, on_answer, d);
	if (!d->announce || !d->answer) {
		discovery_free(d);
		return NULL;
	}
	return d;
}

void
discovery_free(struct discovery *d)
{
	if (!d)
		return;
	if (d->present)
		say_everywhere(d, SSDP_BYEBYE);
	close_sockets(d);
	if (d->announce)
		event_free(d->announce);
	if (d->answer)
		event_free(d->answer);
	free(d);
}
