/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clauses are of WANIPConnection:2.  The table's order is that of the leases' ids: what comes is
 * the last, and only behind one that ends indices change. */
#include "upnp_read.h"

#include <string.h>

#include "../core/decision.h"

enum { PAGE_WORK = 512 }; /* leases looked at for one page */

/* --- entries --- */

static struct igd_entry
entry_of(const struct lease_record *r, monotime now)
{
	uint32_t left = lease_remaining(r, now);
	struct igd_entry entry = {
	    .remote = r->remote,
	    .external_port = r->external_port,
	    .transport = r->transport,
	    .internal = r->internal,
	    .enabled = !r->disabled,
	    .lease = left > 0 ? left : 1, /* 0 would be read as "for ever" */
	};

	if (r->description)
		memccpy(entry.description, r->description, '\0', sizeof(entry.description) - 1);
	return entry;
}

/* 2.5.14.3: who may not see an entry is told so, and not that there is none. */
static bool
may_see(const struct upnp_reader *r, const struct link_call *call, const struct lease *lease)
{
	return r->others || address_equal(&call->client, &lease->record.internal.address);
}

static enum igd_error
show(const struct upnp_reader *r, const struct upnp_question *q, const struct lease *lease,
     struct link_message *out)
{
	if (!may_see(r, q->call, lease))
		return IGD_NOT_AUTHORIZED;
	out->answer.entry = entry_of(&lease->record, q->now);
	return IGD_OK;
}

static enum igd_error
get_generic(struct upnp_reader *r, const struct upnp_question *q, struct link_message *out)
{
	const struct lease *lease = lease_table_at(engine_leases(r->engine), q->call->call.index);

	return lease ? show(r, q, lease, out) : IGD_INDEX_INVALID;
}

static enum igd_error
get_specific(struct upnp_reader *r, const struct upnp_question *q, struct link_message *out)
{
	const struct igd_entry *name = &q->call->call.entry;
	const struct lease *lease = lease_table_by_remote(engine_leases(r->engine), name->transport,
							  name->external_port, &name->remote);
	enum igd_error error = lease ? show(r, q, lease, out) : IGD_NO_SUCH_ENTRY;

	if (error == IGD_OK) /* of a range, any port */
		out->answer.entry.internal.port =
		    (uint16_t)(lease->record.internal.port + name->external_port -
			       lease->record.external_port);
	return error;
}

/* --- lists --- */

static bool
is_in_range(const struct igd_call *call, const struct lease_record *record)
{
	return record->transport == call->entry.transport &&
	       record->external_port >= call->ports.first &&
	       record->external_port <= call->ports.last;
}

static bool
is_listed(const struct upnp_reader *r, const struct link_call *call, const struct lease *lease)
{
	if (!is_in_range(&call->call, &lease->record))
		return false;
	return address_equal(&call->client, &lease->record.internal.address) ||
	       (call->call.manage && may_see(r, call, lease));
}

/* A cursor: how many were found so far, and the id of the last lease looked at. */
enum { CURSOR_ID_BITS = 48 };

static enum igd_error
get_list(struct upnp_reader *r, const struct upnp_question *q, struct link_message *out)
{
	const struct link_call *call = q->call;
	uint64_t id = call->cursor & (((uint64_t)1 << CURSOR_ID_BITS) - 1);
	uint64_t found = call->cursor >> CURSOR_ID_BITS;
	uint64_t most = call->call.limit ? call->call.limit : UINT16_MAX;
	struct link_entries page = {.ticket = call->ticket};
	const struct lease *lease = NULL;

	for (unsigned i = 0; i < PAGE_WORK && page.count < LINK_PAGE && found < most; i++) {
		lease = lease_table_after_id(engine_leases(r->engine), id);
		if (!lease)
			break;
		r->work++;
		id = lease->record.id;
		if (!is_listed(r, call, lease))
			continue;
		page.entry[page.count++] = entry_of(&lease->record, q->now);
		found++;
	}
	if (lease && found < most)
		page.cursor = found << CURSOR_ID_BITS | id;
	else if (found == 0)
		return IGD_MAPPING_NOT_FOUND;
	out->type = LINK_ENTRIES;
	out->entries = page;
	return IGD_OK;
}

/* --- the rest --- */

static enum igd_error
get_counter(struct upnp_reader *r, const struct upnp_question *q, struct link_message *out)
{
	struct network_counters counters;

	(void)q;
	if (!r->counters(r->arg, &counters))
		return IGD_ACTION_FAILED;
	out->answer.bytes_sent = counters.bytes_sent;
	out->answer.bytes_received = counters.bytes_received;
	out->answer.packets_sent = counters.packets_sent;
	out->answer.packets_received = counters.packets_received;
	return IGD_OK;
}

static enum igd_error
judge_control(struct upnp_reader *r, const struct upnp_question *q, struct link_message *out)
{
	const struct address external = engine_external_address(r->engine);

	(void)out;
	return igd_judge_control(&q->call->call, !address_is_unspecified(&external),
				 q->connection_udn);
}

typedef enum igd_error read_fn(struct upnp_reader *, const struct upnp_question *,
			       struct link_message *out);

static read_fn *const readers[IGD_ACTIONS] = {
    [IGD_SetDefaultConnectionService] = judge_control,
    [IGD_GetTotalBytesSent] = get_counter,
    [IGD_GetTotalBytesReceived] = get_counter,
    [IGD_GetTotalPacketsSent] = get_counter,
    [IGD_GetTotalPacketsReceived] = get_counter,
    [IGD_SetConnectionType] = judge_control,
    [IGD_RequestConnection] = judge_control,
    [IGD_RequestTermination] = judge_control,
    [IGD_ForceTermination] = judge_control,
    [IGD_GetGenericPortMappingEntry] = get_generic,
    [IGD_GetSpecificPortMappingEntry] = get_specific,
    [IGD_GetListOfPortMappings] = get_list,
};

bool
upnp_reads(enum igd_action action)
{
	return readers[action] != NULL;
}

void
upnp_read(struct upnp_reader *r, const struct upnp_question *q, struct link_message *out)
{
	enum igd_error error;

	out->type = LINK_ANSWER;
	out->answer = (struct link_answer){.ticket = q->call->ticket};
	error = readers[q->call->call.action](r, q, out);
	if (error != IGD_OK)
		out->answer.error = error;
}
