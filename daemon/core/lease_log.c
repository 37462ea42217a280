/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lease_log.h"

#include <inttypes.h>

#include "lease_table.h"

void
lease_log_forward(const char *event, const struct lease_record *r)
{
	char target[ADDRESS_TEXT_SIZE], remote[PREFIX_TEXT_SIZE] = "any";
	const struct prefix from = lease_remote(r);

	if (from.length)
		prefix_print(&from, remote);
	log_line(LOG_LEVEL_INFO, "forward", event,
		 "name=\"%s\" id=%" PRIu64
		 " transport=%s external=%u-%u target=%s internal=%u remote=%s line=%u",
		 r->name, r->id, transport_name(r->transport), r->external_port,
		 r->external_port + r->more_ports, address_print(&r->internal.address, target),
		 r->internal.port, remote, r->line);
}

void
lease_log(struct log_limit *limit, const char *event, const struct lease_record *r, monotime now)
{
	char client[ADDRESS_TEXT_SIZE];

	if (r->origin == ORIGIN_STATIC) {
		lease_log_forward(event, r);
		return;
	}
	if (log_limited(limit, LOG_LEVEL_INFO, now))
		log_line(
		    LOG_LEVEL_INFO, "lease", event,
		    "id=%" PRIu64
		    " client=%s protocol=%s transport=%s external=%u internal=%u lifetime=%" PRIu32,
		    r->id, address_print(&r->internal.address, client), origin_name(r->origin),
		    transport_name(r->transport), r->external_port, r->internal.port, r->lifetime);
}

void
lease_log_denied(const struct lease_record *r, const char *reason, unsigned line)
{
	char client[ADDRESS_TEXT_SIZE];

	log_line(LOG_LEVEL_INFO, "lease", "denied",
		 "id=%" PRIu64
		 " client=%s protocol=%s transport=%s external=%u internal=%u lan=%s reason=%s "
		 "rule-line=%u",
		 r->id, address_print(&r->internal.address, client), origin_name(r->origin),
		 transport_name(r->transport), r->external_port, r->internal.port, r->lan, reason,
		 line);
}

void
lease_log_refusal(struct log_limit *limit, const struct map_request *r, enum map_result result,
		  unsigned line, monotime now)
{
	char client[ADDRESS_TEXT_SIZE];

	if (log_limited(limit, LOG_LEVEL_INFO, now))
		log_line(LOG_LEVEL_INFO, "request", "refused",
			 "client=%s protocol=%s transport=%s external=%u internal=%u reason=%s "
			 "rule-line=%u",
			 address_print(&r->client, client), origin_name(r->origin),
			 r->transport ? transport_name(r->transport) : "none", r->external_port,
			 r->internal.port, map_result_name(result), line);
}
