/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translates what the core tells into the nouns of descriptions, answers and SSDP. */
#include "device.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { MAX_AGE_MIN = 1800 /* seconds; Device Architecture 1.2.2 */ };

/* Of the kernel's version no more than the branch: it is nobody's business. */
static void
print_server(struct device *device)
{
	unsigned major = 0, minor = 0;
	struct utsname system;

	if (uname(&system) == 0)
		sscanf(system.release, "%u.%u", &major, &minor);
	snprintf(device->server, sizeof(device->server), "Linux/%u.%u UPnP/1.1 portlease/%s", major,
		 minor, device->setup.version);
}

void
device_set_up(struct device *device, const struct link_setup *setup)
{
	device->setup = *setup;
	print_server(device);
}

bool
device_serves(const struct device *device, enum igd_view view)
{
	return view == IGD_VIEW_1 ? device->setup.view_1 : device->setup.view_2;
}

bool
device_is_ours(const struct device *device, const struct address *address)
{
	for (unsigned i = 0; i < device->lan.addresses; i++)
		if (address_equal(&device->lan.address[i].address, address))
			return true;
	return false;
}

const struct address *
device_nearest(const struct device *device, const struct address *client)
{
	for (unsigned i = 0; i < device->lan.addresses; i++)
		if (prefix_contains(&device->lan.address[i].prefix, client))
			return &device->lan.address[i].address;
	return NULL;
}

bool
device_is_client(const struct device *device, const struct address *address)
{
	return !device_is_ours(device, address) && device_nearest(device, address);
}

bool
device_is_link_local(const struct address *address)
{
	return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

void
device_identity(const struct device *device, struct igd_identity *out)
{
	const struct link_setup *setup = &device->setup;

	*out = (struct igd_identity){
	    .friendly_name = setup->friendly_name,
	    .manufacturer = "portlease",
	    .model_name = setup->model_name,
	    .model_number = setup->model_number,
	    .serial_number = setup->serial_number,
	    .presentation_url = setup->presentation_url,
	    .config_id = setup->config_id,
	};
	for (int i = 0; i < IGD_DEVICES; i++)
		out->udn[i] = setup->udn[i];
}

void
device_values(const struct device *device, const struct link_state *state, monotime now,
	      struct igd_values *out)
{
	*out = (struct igd_values){
	    .connection_udn = device->setup.udn[IGD_WAN_CONNECTION],
	    .upstream = state->upstream,
	    .downstream = state->downstream,
	    .link_up = state->link_up,
	    .connected = state->connected,
	    .external = state->external,
	    .entries = state->entries,
	    .system_update_id = state->system_update_id,
	};
	if (state->connected && now > state->connected_since)
		out->uptime = (uint32_t)((now - state->connected_since) / MONOTIME_SECOND);
}

/* Every type of the table once, in its order. */
static unsigned
list_types(const struct ssdp_type **out)
{
	static struct ssdp_type types[IGD_DEVICES + IGD_SERVICES];
	unsigned count = 0;

	for (int i = 0; i < IGD_DEVICES; i++)
		types[count++] = (struct ssdp_type){
		    .name = igd_device_row((enum igd_device)i)->type,
		    .device = (uint8_t)i,
		    .version = {IGD_VIEW_1, IGD_VIEW_2},
		};
	for (int i = 0; i < IGD_SERVICES; i++)
		types[count++] = (struct ssdp_type){
		    .name = igd_service_row((enum igd_service)i)->type,
		    .service = true,
		    .device = (uint8_t)i,
		    .version = {igd_service_version((enum igd_service)i, IGD_VIEW_1),
				igd_service_version((enum igd_service)i, IGD_VIEW_2)},
		};
	*out = types;
	return count;
}

void
device_ssdp(const struct device *device, struct ssdp_device *out)
{
	uint32_t interval = device->setup.ssdp_interval;

	*out = (struct ssdp_device){
	    .serves = {device->setup.view_1, device->setup.view_2},
	    .server = device->server,
	    .boot_id = device->lan.boot_id,
	    .config_id = device->setup.config_id,
	    /* 1.2.2: announced at least twice in it. */
	    .max_age = 2 * interval > MAX_AGE_MIN ? 2 * interval : MAX_AGE_MIN,
	};
	for (int i = 0; i < IGD_DEVICES; i++)
		out->udn[i] = device->setup.udn[i];
	out->type_count = list_types(&out->types);
}

void
device_location(const struct device *device, const struct address *address, enum igd_view view,
		char out[DEVICE_LOCATION_SIZE])
{
	bool bracketed = !address_is_ipv4(address);
	char text[ADDRESS_TEXT_SIZE];

	snprintf(out, DEVICE_LOCATION_SIZE, bracketed ? "http://[%s]:%u%s" : "http://%s:%u%s",
		 address_print(address, text), device->setup.http_port,
		 igd_path(view, IGD_DESCRIPTION, IGD_LAYER3_FORWARDING));
}
