/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links and IPv4 addresses of the interfaces we were told of, and word of their changes
 * (rtnetlink). */
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
	char name[NETWORK_NAME_SIZE];
	unsigned index; /* 0: does not exist now */
	bool up;	/* IFF_UP and running */
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

/* names: copied.  Reads the present state before it returns. */
int network_open(struct network **, const char *const *names, size_t count, struct fault *);
void network_close(struct network *); /* NULL is allowed */

int network_fd(const struct network *);
/* Reads what the kernel told.  1: something about our interfaces changed; 0: nothing; -errno.
 * Re-reads all on overrun. */
int network_dispatch(struct network *, struct fault *);

/* Interfaces in the order of the names given to network_open(); valid until the next dispatch. NULL
 * past the last. */
const struct network_interface *network_interface(const struct network *, size_t number);

/* Does the kernel know where on that link the host is?  What is sent to one it does not know waits
 * until it is found. */
bool network_knows_neighbour(struct network *, unsigned index, const struct address *);
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
