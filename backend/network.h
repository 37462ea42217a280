/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links and addresses of the interfaces we were told of, which one the IPv4 default route uses, and
 * word of their changes (rtnetlink). */
#ifndef PORTLEASE_NETWORK_H
#define PORTLEASE_NETWORK_H

#include "fault.h"
#include "../protocols/mapping.h"

struct network;

enum { NETWORK_NAME_SIZE = 16, NETWORK_ADDRESSES = 16 };

struct network_address {
	struct address address; /* our own (IFA_LOCAL) */
	struct prefix prefix;	/* the on-link prefix (of IFA_ADDRESS on a point-to-point link) */
	bool secondary;
};

struct network_interface {
	char name[NETWORK_NAME_SIZE]; /* "": there is no default route to follow */
	unsigned index;		      /* 0: does not exist now */
	bool up;		      /* IFF_UP and running */
	size_t addresses;
	/* IPv4, primary ones first, in the kernel's order. */
	struct network_address address[NETWORK_ADDRESSES];
	size_t ipv6_addresses;
	/* Of any scope, those that may be used now. */
	struct network_address ipv6_address[NETWORK_ADDRESSES];
};

struct network_counters {
	uint64_t bytes_sent, bytes_received, packets_sent, packets_received;
};

/*
 * names: copied; NULL stands for whatever interface the IPv4 default route of table main with the
 * best metric uses, unless it is one of those that are named.  Reads the present state before it
 * returns.
 */
int network_open(struct network **, const char *const *names, size_t count, struct fault *);
void network_close(struct network *); /* NULL is allowed */

/* Others from now on, as network_open() has them; what is known of those that stay is kept.  The
 * descriptor stays the same.  0, or -errno and the old ones stay. */
int network_set_names(struct network *, const char *const *names, size_t count, struct fault *);

int network_fd(const struct network *);
/* Reads what the kernel told.  1: something about our interfaces or network_forwards() changed; 0:
 * nothing; -errno.  Re-reads all on overrun. */
int network_dispatch(struct network *, struct fault *);

/* Interfaces in the order of the names given to network_open(); valid until the next dispatch. NULL
 * past the last. */
const struct network_interface *network_interface(const struct network *, size_t number);

/* net.ipv4.ip_forward: is this a gateway at all? */
bool network_forwards(const struct network *);

/* Does the kernel know where on that link the host is?  What is sent to one it does not know waits
 * until it is found. */
bool network_knows_neighbour(struct network *, unsigned index, const struct address *);
enum network_neighbour {
	NETWORK_UNSURE, /* no entry: those are forgotten, too */
	NETWORK_THERE,	/* its address is known, and was not asked for in vain since */
	NETWORK_FAILED, /* it was, or is being asked for */
};
enum network_neighbour network_neighbour(struct network *, unsigned index, const struct address *);
/* In milliseconds: so long after network_probe() its outcome is there. */
#define NETWORK_PROBE ((monotime)9000)
/*
 * Lets the kernel ask an IPv4 host on that link for its link-layer address unless it is sure of it:
 * as a packet to the host would, of which it gets none.  False: it cannot be asked, because what is
 * sent to it goes another way, by a router perhaps; or the kernel does not let us.
 */
bool network_probe(struct network *, unsigned index, const struct address *);
/* Are both, of whichever family, addresses of one host: does the kernel know both on that link, and
 * at one link-layer address?  Does not wait for one that it does not know. */
bool network_same_neighbour(struct network *, unsigned index, const struct address *,
			    const struct address *);

/* Of an interface since it exists, from the kernel at this moment.  0 or -errno; -ENODEV: there is
 * none. */
int network_counters(struct network *, size_t number, struct network_counters *, struct fault *);
/* Bit/s of the link as its driver says; 0: it does not say. */
uint64_t network_bit_rate(const struct network *, size_t number);

#endif
