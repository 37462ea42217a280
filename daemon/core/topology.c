/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "topology.h"

#include <arpa/inet.h>
#include <string.h>

_Static_assert((int)FIREWALL_WAN_ADDRESSES >= (int)NETWORK_ADDRESSES, "own addresses fit");

static bool
is_wan_address(const struct topology *t, const struct address *address, size_t among)
{
	for (size_t i = 0; i < among; i++)
		if (address_equal(&t->firewall.wan_address[i], address))
			return true;
	return false;
}

static void
add_wan_address(struct topology *t, const struct address *address)
{
	struct firewall_network *f = &t->firewall;

	if (f->wan_addresses < FIREWALL_WAN_ADDRESSES &&
	    !is_wan_address(t, address, f->wan_addresses))
		f->wan_address[f->wan_addresses++] = *address;
}

/* The address masquerading uses: the first primary one, if it can be used at all. */
static const struct address *
first_usable(const struct network_interface *wan)
{
	for (size_t i = 0; wan->up && i < wan->addresses; i++)
		if (!wan->address[i].secondary &&
		    address_scope(&wan->address[i].address) != ADDRESS_UNUSABLE)
			return &wan->address[i].address;
	return NULL;
}

static void
read_wan(const struct config_wan *config, const struct network_interface *wan, struct topology *t)
{
	const struct address *own = first_usable(wan);

	memcpy(t->firewall.wan, wan->name, sizeof(t->firewall.wan));
	t->wan_index = wan->index;
	for (size_t i = 0; i < wan->addresses; i++)
		add_wan_address(t, &wan->address[i].address);
	t->own_addresses = t->firewall.wan_addresses;
	if (config->has_external_address) {
		t->firewall.has_source =
		    is_wan_address(t, &config->external_address, t->own_addresses);
		if (t->firewall.has_source)
			t->firewall.source = config->external_address;
		add_wan_address(t, &config->external_address);
	}
	if (!own)
		return;
	if (config->has_external_address)
		t->external = config->external_address;
	else if (config->refuse_private && address_scope(own) == ADDRESS_PRIVATE)
		t->refused = true;
	else
		t->external = *own;
}

static void
read_lan(const struct network_interface *lan, struct firewall_network *f)
{
	for (size_t i = 0; i < lan->addresses && f->lan_prefixes < FIREWALL_LAN_PREFIXES; i++)
		f->lan_prefix[f->lan_prefixes++] = lan->address[i].prefix;
}

void
topology_read(const struct config *config, const struct network *network, struct topology *out)
{
	const struct network_interface *lan;

	/* Compared as bytes by the daemon. */
	memset(out, 0, sizeof(*out));
	read_wan(&config->wan, network_interface(network, TOPOLOGY_WAN), out);
	for (size_t i = TOPOLOGY_FIRST_LAN; (lan = network_interface(network, i)); i++)
		read_lan(lan, &out->firewall);
}

size_t
interface_prefixes(const struct network_interface *interface, struct prefix out[NETWORK_ADDRESSES])
{
	size_t count = interface->up ? interface->addresses : 0;

	for (size_t i = 0; i < count; i++)
		out[i] = interface->address[i].prefix;
	return count;
}

bool
interface_owns(const struct network_interface *interface, const struct address *address)
{
	for (size_t i = 0; i < interface->addresses; i++)
		if (address_equal(&interface->address[i].address, address))
			return true;
	for (size_t i = 0; i < interface->ipv6_addresses; i++)
		if (address_equal(&interface->ipv6_address[i].address, address))
			return true;
	return false;
}

static bool
is_host_of(const struct prefix *prefix, const struct address *address)
{
	uint32_t hosts, host;

	if (!prefix_contains(prefix, address))
		return false;
	/* A link of two, or one host, or IPv6: no address is set aside (RFC 3021). */
	if (prefix->length >= 127 || !address_is_ipv4(address))
		return true;
	hosts = UINT32_MAX >> (prefix->length - 96);
	host = ntohl(address_to_ipv4(address)) & hosts;
	return host != 0 && host != hosts;
}

bool
interface_has_host(const struct network_interface *interface, const struct address *address)
{
	for (size_t i = 0; i < interface->addresses; i++)
		if (is_host_of(&interface->address[i].prefix, address))
			return !interface_owns(interface, address);
	for (size_t i = 0; i < interface->ipv6_addresses; i++)
		if (is_host_of(&interface->ipv6_address[i].prefix, address))
			return !interface_owns(interface, address);
	return false;
}
