/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the interfaces and the config together mean: the network the kernel's table works for, and
 * the external address told to clients.  Pure.
 */
#ifndef PORTLEASE_TOPOLOGY_H
#define PORTLEASE_TOPOLOGY_H

#include "../base/config.h"
#include "../../backend/firewall.h"
#include "../../backend/network.h"

struct topology {
	struct firewall_network firewall;
	struct address external; /* unspecified = none */
	bool refused;		 /* none, only because private-wan = refuse */
	unsigned wan_index;	 /* 0: does not exist */
	size_t own_addresses;	 /* of the WAN: the first so many of firewall.wan_address */
};

/* Number of an interface in the struct network that the daemon opens. */
enum { TOPOLOGY_WAN, TOPOLOGY_FIRST_LAN };

/* The interfaces of *network: the WAN, then the LANs in the config's order. */
void topology_read(const struct config *, const struct network *network, struct topology *out);

/* The prefixes that a LAN's hosts are in: none while it is gone, down or without an address. */
size_t interface_prefixes(const struct network_interface *, struct prefix out[NETWORK_ADDRESSES]);

/* Is it one of the interface's own addresses? */
bool interface_owns(const struct network_interface *, const struct address *);
/* May a host there have it: inside a prefix, neither own nor the network or broadcast address of an
 * IPv4 prefix? */
bool interface_has_host(const struct network_interface *, const struct address *);

#endif
