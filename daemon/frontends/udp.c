/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "announce.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/rate_limit.h"
#include "../../protocols/natpmp.h"
#include "../../protocols/pcp.h"

/* Larger than any request we take, so that one that is too large is seen to be so. */
enum { RECEIVE_SIZE = 2048, RECEIVE_BUFFER = 4 << 20, SEND_BUFFER = 1 << 20 };

/* How datagrams of one version octet are read and answered. */
struct protocol {
	enum decode_result (*decode)(const struct datagram *, struct map_request *,
				     struct map_reply *);
	size_t (*encode)(const struct datagram *, const struct map_request *,
			 const struct map_reply *, uint8_t *, size_t);
	uint32_t lifetime_min;
	uint32_t lifetime_max;
};

enum { VERSION_ZERO, VERSION_OTHER, VERSIONS };

/* One datagram of the batch and its answer. */
struct slot {
	struct sockaddr_in from;
	struct in_addr to;
	struct datagram datagram;
	const struct protocol *protocol;
	size_t reply_size; /* 0: none */
	uint8_t reply[DATAGRAM_MAX];
	uint8_t bytes[RECEIVE_SIZE];
};

/* What sendmsg() and recvmsg() want to know of one datagram. */
struct envelope {
	struct iovec iov;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

struct lan {
	struct udp *udp;
	struct network_interface interface;
	int fd; /* -1: not served */
	bool crowded;
	struct event *readable;
	struct event *timer;
	struct announce announce;
	struct udp_counters counters;
};

struct udp {
	struct udp_options options;
	struct protocol protocol[VERSIONS];
	struct rate_limit *limit;
	uint32_t limit_rate; /* its */
	struct log_limit log_limit;
	struct mmsghdr message[UDP_BATCH];
	struct envelope envelope[UDP_BATCH];
	struct slot slot[UDP_BATCH];
	size_t lans;
	struct lan **lan;
};

/* While PCP is off: versions other than 0 are told so in NAT-PMP's words, responses of others are
 * not. */
static enum decode_result
no_pcp_decode(const struct datagram *d, struct map_request *request, struct map_reply *reply)
{
	*request = (struct map_request){.origin = ORIGIN_PCP, .client = d->source};
	if (d->kept < 2 || (d->bytes[1] & 0x80))
		return DECODE_IGNORE;
	reply->result = MAP_UNSUPPORTED_VERSION;
	return DECODE_REJECT;
}

static size_t
no_pcp_encode(const struct datagram *d, const struct map_request *request,
	      const struct map_reply *reply, uint8_t *out, size_t size)
{
	(void)d;
	(void)request;
	return natpmp_encode_bad_version(reply->epoch, out, size);
}

static void
fill_protocols(const struct config *config, struct protocol protocol[VERSIONS])
{
	const struct protocol natpmp = {natpmp_decode, natpmp_encode, 0, config->max_lifetime};
	const struct protocol pcp = {pcp_decode, pcp_encode, config->min_lifetime,
				     config->max_lifetime};
	const struct protocol no_pcp = {no_pcp_decode, no_pcp_encode, 0, 0};

	protocol[VERSION_ZERO] = config->nat_pmp ? natpmp : pcp;
	protocol[VERSION_OTHER] = config->pcp ? pcp : no_pcp;
}

/* --- which datagrams are for us --- */

static const struct in_pktinfo *
packet_info(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			return (const struct in_pktinfo *)CMSG_DATA(c);
	return NULL;
}

/* RFC 6886 3.3, RFC 6887 8.2: from a host of that LAN, come in there, to one of our addresses
 * there. */
static bool
is_for_us(const struct lan *lan, struct msghdr *m, struct slot *slot)
{
	const struct in_pktinfo *info = packet_info(m);
	struct address to;

	if (!info || info->ipi_ifindex != (int)lan->interface.index || slot->from.sin_port == 0)
		return false;
	to = address_from_ipv4(info->ipi_addr.s_addr);
	slot->to = info->ipi_addr;
	return interface_owns(&lan->interface, &to) &&
	       interface_has_host(&lan->interface, &slot->datagram.source);
}

/* --- a batch --- */

static void
seal(struct slot *slot, const struct map_request *request, const struct map_reply *reply)
{
	slot->reply_size = slot->protocol->encode(&slot->datagram, request, reply, slot->reply,
						  sizeof(slot->reply));
}

static void
answer(void *who, uint32_t number, const struct map_request *request, const struct map_reply *reply)
{
	struct udp *udp = who;

	seal(&udp->slot[number], request, reply);
}

static void
note_ignored(struct udp *udp, const struct slot *slot, const char *why, monotime now)
{
	char text[ADDRESS_TEXT_SIZE];

	if (log_limited(&udp->log_limit, LOG_LEVEL_DEBUG, now))
		log_line(LOG_LEVEL_DEBUG, "udp", "ignored", "client=%s reason=%s",
			 address_print(&slot->datagram.source, text), why);
}

/* Asks the engine, or refuses at once.  True: the engine was asked. */
static bool
handle(struct lan *lan, uint32_t number, monotime now)
{
	struct udp *udp = lan->udp;
	struct slot *slot = &udp->slot[number];
	struct map_request request = {.kind = REQUEST_ADDRESS};
	struct map_reply reply = {.result = MAP_OK};

	slot->protocol =
	    &udp->protocol[slot->datagram.bytes[0] == 0 ? VERSION_ZERO : VERSION_OTHER];
	switch (slot->protocol->decode(&slot->datagram, &request, &reply)) {
	case DECODE_OK:
		request.lifetime_min = slot->protocol->lifetime_min;
		request.lifetime_max = slot->protocol->lifetime_max;
		request.asker = (struct asker){.answer = answer, .who = udp, .slot = number};
		memcpy(request.lan, lan->interface.name, sizeof(request.lan));
		engine_submit(udp->options.engine, &request, now);
		return true;
	case DECODE_REJECT:
		lan->counters.refused++;
		engine_refuse(udp->options.engine, &request, reply.result, now);
		reply.epoch = engine_epoch(udp->options.engine, now);
		seal(slot, &request, &reply);
		return false;
	case DECODE_IGNORE:
		break;
	}
	lan->counters.ignored++;
	note_ignored(udp, slot, "no-request", now);
	return false;
}

/*
 * An answer to a host that is not there waits for it in the socket's buffer, for seconds: a few
 * forged sources would fill it, and nobody else be answered.  So its second half is kept for hosts
 * the kernel knows where to find, as it does of any that looked for us; others are not even asked
 * what they want.
 */
static bool
is_crowded(const struct lan *lan)
{
	int queued = 0, room = 0;
	socklen_t size = sizeof(room);

	return ioctl(lan->fd, SIOCOUTQ, &queued) == 0 &&
	       getsockopt(lan->fd, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 && queued > room / 2;
}

/* True: the engine was asked. */
static bool
take(struct lan *lan, uint32_t number, monotime now)
{
	struct udp *udp = lan->udp;
	struct slot *slot = &udp->slot[number];
	struct mmsghdr *m = &udp->message[number];

	slot->reply_size = 0;
	slot->datagram = (struct datagram){
	    .bytes = slot->bytes,
	    .size = m->msg_len,
	    .kept = m->msg_len < RECEIVE_SIZE ? m->msg_len : RECEIVE_SIZE,
	    .source = address_from_ipv4(slot->from.sin_addr.s_addr),
	    .source_port = ntohs(slot->from.sin_port),
	};
	if (!is_for_us(lan, &m->msg_hdr, slot)) {
		lan->counters.foreign++;
		note_ignored(udp, slot, "foreign", now);
	} else if (!rate_limit_take(udp->limit, &slot->datagram.source, now)) {
		lan->counters.limited++;
		note_ignored(udp, slot, "rate", now);
	} else if (lan->crowded &&
		   !network_knows_neighbour(udp->options.network, lan->interface.index,
					    &slot->datagram.source)) {
		lan->counters.unsent++;
	} else if (slot->datagram.kept == 0) {
		lan->counters.ignored++;
	} else {
		return handle(lan, number, now);
	}
	return false;
}

static int
receive(struct udp *udp, int fd)
{
	for (int i = 0; i < UDP_BATCH; i++) {
		struct slot *slot = &udp->slot[i];
		struct envelope *e = &udp->envelope[i];

		e->iov = (struct iovec){slot->bytes, sizeof(slot->bytes)};
		udp->message[i].msg_hdr = (struct msghdr){
		    .msg_name = &slot->from,
		    .msg_namelen = sizeof(slot->from),
		    .msg_iov = &e->iov,
		    .msg_iovlen = 1,
		    .msg_control = e->control,
		    .msg_controllen = sizeof(e->control),
		};
	}
	/* MSG_TRUNC: msg_len is what was sent, however much fitted. */
	return recvmmsg(fd, udp->message, UDP_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
}

/* Fills a message for the kernel: these bytes, to this place, from this address of ours. */
static void
address_message(struct msghdr *m, struct envelope *e, struct sockaddr_in *to,
		const struct in_pktinfo *from)
{
	struct cmsghdr *c;

	memset(e->control, 0, sizeof(e->control));
	*m = (struct msghdr){
	    .msg_name = to,
	    .msg_namelen = sizeof(*to),
	    .msg_iov = &e->iov,
	    .msg_iovlen = 1,
	    .msg_control = e->control,
	    .msg_controllen = sizeof(e->control),
	};
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(*from));
	memcpy(CMSG_DATA(c), from, sizeof(*from));
}

/* What the kernel does not take at once is lost: clients ask again, we never wait. */
static void
send_messages(struct lan *lan, unsigned count)
{
	unsigned done = 0;

	while (done < count) {
		int sent = sendmmsg(lan->fd, lan->udp->message + done, count - done, MSG_DONTWAIT);

		if (sent > 0) {
			done += (unsigned)sent;
		} else {
			lan->counters.unsent++;
			done++;
		}
	}
}

static void
send_replies(struct lan *lan, int received)
{
	struct udp *udp = lan->udp;
	unsigned count = 0;

	for (int i = 0; i < received; i++) {
		struct slot *slot = &udp->slot[i];
		struct in_pktinfo from = {.ipi_spec_dst = slot->to};
		struct envelope *e = &udp->envelope[count];

		if (slot->reply_size == 0)
			continue;
		e->iov = (struct iovec){slot->reply, slot->reply_size};
		address_message(&udp->message[count++].msg_hdr, e, &slot->from, &from);
	}
	send_messages(lan, count);
}

/* One batch a turn of the loop: the other sockets and the timers get theirs before the next one. */
static void
on_readable(evutil_socket_t fd, short events, void *arg)
{
	struct lan *lan = arg;
	struct udp *udp = lan->udp;
	monotime now = clock_now();
	int received = receive(udp, fd);
	bool asked = false;

	(void)events;
	if (received <= 0)
		return;
	lan->counters.received += (unsigned)received;
	lan->crowded = is_crowded(lan);
	for (int i = 0; i < received; i++)
		asked |= take(lan, (uint32_t)i, now);
	if (asked)
		engine_flush(udp->options.engine, now);
	send_replies(lan, received);
	if (asked)
		udp->options.changed(udp->options.arg);
}

/* --- announcements --- */

enum { ANNOUNCEMENT_KINDS = 2, ANNOUNCEMENT_SIZE = 64 };

struct announcements {
	unsigned count;
	size_t size[ANNOUNCEMENT_KINDS];
	uint8_t bytes[ANNOUNCEMENT_KINDS][ANNOUNCEMENT_SIZE];
};

_Static_assert((int)NETWORK_ADDRESSES *ANNOUNCEMENT_KINDS <= (int)UDP_BATCH, "one send is enough");

/* With the epoch of this moment (RFC 6886 3.2.1). */
static void
write_announcements(const struct udp *udp, struct announcements *a)
{
	struct address external = engine_external_address(udp->options.engine);
	uint32_t epoch = engine_epoch(udp->options.engine, clock_now());

	a->count = 0;
	if (udp->options.config->nat_pmp) {
		a->size[a->count] = natpmp_encode_announcement(&external, epoch, a->bytes[a->count],
							       ANNOUNCEMENT_SIZE);
		a->count++;
	}
	if (udp->options.config->pcp) {
		a->size[a->count] =
		    pcp_encode_announcement(epoch, a->bytes[a->count], ANNOUNCEMENT_SIZE);
		a->count++;
	}
}

/* From each primary address: a client takes them from the one it knows as its gateway only (3.2.1).
 */
static void
send_announcements(struct lan *lan)
{
	struct udp *udp = lan->udp;
	struct sockaddr_in to = {
	    .sin_family = AF_INET,
	    .sin_port = htons(UDP_ANNOUNCEMENT_PORT),
	    .sin_addr.s_addr = htonl(INADDR_ALLHOSTS_GROUP),
	};
	struct announcements a;
	unsigned count = 0;

	write_announcements(udp, &a);
	for (size_t i = 0; i < lan->interface.addresses; i++) {
		const struct network_address *own = &lan->interface.address[i];
		struct in_pktinfo from = {
		    .ipi_ifindex = (int)lan->interface.index,
		    .ipi_spec_dst.s_addr = address_to_ipv4(&own->address),
		};

		for (unsigned j = 0; j < a.count && !own->secondary; j++, count++) {
			struct envelope *e = &udp->envelope[count];

			e->iov = (struct iovec){a.bytes[j], a.size[j]};
			address_message(&udp->message[count].msg_hdr, e, &to, &from);
		}
	}
	send_messages(lan, count);
}

static void
arm(struct lan *lan, monotime now)
{
	monotime next = announce_next(&lan->announce), wait = next > now ? next - now : 0;
	struct timeval after = {
	    .tv_sec = wait / MONOTIME_SECOND,
	    .tv_usec = wait % MONOTIME_SECOND * 1000,
	};

	if (next == MONOTIME_NEVER)
		evtimer_del(lan->timer);
	else
		evtimer_add(lan->timer, &after);
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
	struct lan *lan = arg;
	monotime now = clock_now();

	(void)fd;
	(void)events;
	if (announce_take(&lan->announce, now))
		send_announcements(lan);
	arm(lan, now);
}

static void
announce(struct lan *lan)
{
	monotime now = clock_now();

	if (lan->fd < 0)
		return;
	announce_start(&lan->announce, now);
	arm(lan, now);
}

void
udp_announce(struct udp *udp)
{
	for (size_t i = 0; i < udp->lans; i++)
		announce(udp->lan[i]);
}

/* --- sockets --- */

struct socket_option {
	int level, name, value;
};

/* In a user namespace it gets what net.core.{r,w}mem_max allow. */
static void
set_buffer(int fd, int force, int plain, int size)
{
	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)) != 0)
		setsockopt(fd, SOL_SOCKET, plain, &size, sizeof(size));
}

static bool
prepare_socket(int fd, unsigned index)
{
	const struct socket_option wanted[] = {
	    {SOL_SOCKET, SO_BINDTOIFINDEX, (int)index},
	    {IPPROTO_IP, IP_PKTINFO, 1},
	    {IPPROTO_IP, IP_MULTICAST_TTL, 1},
	    {IPPROTO_IP, IP_MULTICAST_LOOP, 0},
	};
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(UDP_PORT)};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (setsockopt(fd, wanted[i].level, wanted[i].name, &wanted[i].value,
			       sizeof(wanted[i].value)) != 0)
			return false;
	/* A burst of every client at once fits. */
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);
	return bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;
}

static void
close_lan(struct lan *lan)
{
	if (lan->fd < 0)
		return;
	event_free(lan->readable);
	evtimer_del(lan->timer);
	close(lan->fd);
	lan->readable = NULL;
	lan->announce = (struct announce){.left = 0};
	lan->fd = -1;
}

static bool
open_lan(struct lan *lan)
{
	struct event_base *base = lan->udp->options.base;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return false;
	if (!prepare_socket(fd, lan->interface.index) ||
	    !(lan->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, lan))) {
		int error = errno;

		close(fd);
		errno = error;
		return false;
	}
	event_add(lan->readable, NULL);
	lan->fd = fd;
	return true;
}

/* Would announcements sent before have missed somebody? */
static bool
is_news(const struct network_interface *was, const struct network_interface *is)
{
	if (was->index != is->index || was->up != is->up || was->addresses != is->addresses)
		return true;
	for (size_t i = 0; i < is->addresses; i++)
		if (!address_equal(&was->address[i].address, &is->address[i].address))
			return true;
	return false;
}

bool
udp_set_lan(struct udp *udp, size_t number, const struct network_interface *interface)
{
	struct lan *lan = udp->lan[number];
	struct network_interface was = lan->interface;
	bool opened = false;

	if (!interface || (!udp->options.config->nat_pmp && !udp->options.config->pcp)) {
		lan->interface = (struct network_interface){.index = 0};
		close_lan(lan);
		return true;
	}
	lan->interface = *interface;
	if (interface->index != was.index)
		close_lan(lan);
	if (interface->index != 0 && lan->fd < 0) {
		opened = open_lan(lan);
		if (!opened) {
			log_error("udp", "lan not served", "lan=%s port=%d error=\"%s\"",
				  interface->name, UDP_PORT, strerror(errno));
			return false;
		}
		log_info("udp", "lan served", "lan=%s", interface->name);
	}
	if (interface->index == 0 && (was.index != 0 || was.name[0] == '\0'))
		log_info("udp", "lan waiting", "lan=%s reason=no-interface", interface->name);
	if (opened || is_news(&was, interface))
		announce(lan);
	return true;
}

bool
udp_serves(const struct udp *udp, size_t number)
{
	return udp->lan[number]->fd >= 0;
}

const struct udp_counters *
udp_counters(const struct udp *udp, size_t number)
{
	return &udp->lan[number]->counters;
}

/* Clients begin anew where it is another one. */
static bool
set_rate(struct udp *udp, uint32_t rate)
{
	struct rate_limit *limit;

	if (udp->limit && udp->limit_rate == rate)
		return true;
	limit = rate_limit_new(rate, (uint64_t)arc4random() << 32 | arc4random());
	if (!limit)
		return false;
	rate_limit_free(udp->limit);
	udp->limit = limit;
	udp->limit_rate = rate;
	return true;
}

static void
free_lan(struct lan *lan)
{
	if (!lan)
		return;
	if (lan->timer) {
		close_lan(lan);
		event_free(lan->timer);
	}
	free(lan);
}

/* NULL: out of memory. */
static struct lan *
new_lan(struct udp *udp)
{
	struct lan *lan = calloc(1, sizeof(*lan));

	if (!lan)
		return NULL;
	lan->udp = udp;
	lan->fd = -1;
	lan->timer = evtimer_new(udp->options.base, on_timer, lan);
	if (lan->timer)
		return lan;
	free_lan(lan);
	return NULL;
}

/* origin: as udp_reload(); NULL: all are new. */
static bool
set_lans(struct udp *udp, const size_t *origin)
{
	size_t lans = udp->options.config->lans;
	struct lan **lan = calloc(lans, sizeof(*lan));
	bool ok = lan;

	for (size_t i = 0; ok && i < lans; i++) {
		size_t from = origin ? origin[i] : CONFIG_NEW_LAN;

		lan[i] = from == CONFIG_NEW_LAN ? new_lan(udp) : udp->lan[from];
		if (from != CONFIG_NEW_LAN)
			udp->lan[from] = NULL;
		ok = lan[i];
	}
	for (size_t i = 0; i < udp->lans; i++)
		free_lan(udp->lan[i]);
	free(udp->lan);
	udp->lan = lan;
	udp->lans = lan ? lans : 0;
	return ok;
}

bool
udp_reload(struct udp *udp, const size_t *origin)
{
	fill_protocols(udp->options.config, udp->protocol);
	return set_rate(udp, udp->options.config->requests_per_second) && set_lans(udp, origin);
}

struct udp *
udp_new(const struct udp_options *options)
{
	struct udp *udp = calloc(1, sizeof(*udp));

	if (!udp)
		return NULL;
	udp->options = *options;
	if (!udp_reload(udp, NULL)) {
		udp_free(udp);
		return NULL;
	}
	return udp;
}

void
udp_free(struct udp *udp)
{
	if (!udp)
		return;
	for (size_t i = 0; i < udp->lans; i++)
		free_lan(udp->lan[i]);
	free(udp->lan);
	rate_limit_free(udp->limit);
	free(udp);
}
