/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forwards.h"

#include <string.h>

static const enum transport transports[] = {TRANSPORT_TCP, TRANSPORT_UDP};
enum { TRANSPORTS = sizeof(transports) / sizeof(transports[0]) };

static uint8_t
set_of(enum transport transport)
{
	return transport == TRANSPORT_TCP ? FORWARD_TCP : FORWARD_UDP;
}

static struct lease_record
record_of(const struct forward *f, enum transport transport, monotime now)
{
	return (struct lease_record){
	    .origin = ORIGIN_STATIC,
	    .transport = transport,
	    .external_port = f->external.first,
	    .internal = f->target,
	    .more_ports = (uint16_t)(f->external.last - f->external.first),
	    .remote = f->remote.address,
	    .remote_length = f->remote.length == 128 ? 0 : f->remote.length,
	    .helper = f->helper,
	    .line = f->line,
	    .lifetime = MAPPING_LIFETIME_STATIC,
	    .created = now,
	    .ends = MONOTIME_NEVER,
	    .name = f->name,
	    .description = f->description[0] ? f->description : NULL,
	};
}

/* Would the kernel not see a difference? */
static bool
forwards_alike(const struct lease_record *a, const struct lease_record *b)
{
	const struct prefix x = lease_remote(a), y = lease_remote(b);

	return a->transport == b->transport && a->external_port == b->external_port &&
	       a->more_ports == b->more_ports && a->internal.port == b->internal.port &&
	       address_equal(&a->internal.address, &b->internal.address) && x.length == y.length &&
	       (!x.length || address_equal(&x.address, &y.address)) && a->helper == b->helper;
}

/* What of a static lease two forwards are compared by. */
static struct forward
forward_of(const struct lease_record *r)
{
	return (struct forward){
	    .transports = set_of(r->transport),
	    .external = {r->external_port, (uint16_t)(r->external_port + r->more_ports)},
	    .remote = lease_remote(r),
	};
}

/* The lease that this transport of the forward has already; NULL: none. */
static struct lease *
find_alike(const struct lease_table *table, const struct forward *f, enum transport transport)
{
	const struct lease_record wanted = record_of(f, transport, 0);
	struct lease *lease =
	    lease_table_by_remote(table, transport, f->external.first, &wanted.remote);

	return lease && lease->record.origin == ORIGIN_STATIC &&
		       forwards_alike(&lease->record, &wanted)
		   ? lease
		   : NULL;
}

static bool
is_wanted(const struct lease_record *r, const struct forward *set, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct lease_record wanted = record_of(&set[i], r->transport, 0);

		if ((set[i].transports & set_of(r->transport)) && forwards_alike(r, &wanted))
			return true;
	}
	return false;
}

/* Has one of the set its name, or something in common with it? */
static bool
is_in_the_way(const struct lease_record *r, const struct forward *set, size_t count)
{
	const struct forward held = forward_of(r);

	for (size_t i = 0; i < count; i++)
		if (strcmp(r->name, set[i].name) == 0 || forwards_overlap(&held, &set[i]))
			return true;
	return false;
}

/* Ends what the config has no more, and what was added where it now has something. */
static bool
end_unwanted(struct lease_table *table, struct transaction *t, const struct forward *set,
	     size_t count, monotime now)
{
	struct lease *lease = lease_table_first_static(table), *next;

	for (; lease; lease = next) {
		const struct lease_record *r = &lease->record;

		next = lease_next_static(lease);
		if (is_wanted(r, set, count) || (!r->line && !is_in_the_way(r, set, count)))
			continue;
		if (!transaction_end(t, lease, r->line ? ENDING_REMOVED : ENDING_TAKEN, now))
			return false;
	}
	return true;
}

static bool
take_port(struct lease_table *table, struct transaction *t, enum transport transport, uint16_t port,
	  monotime now)
{
	struct lease *lease;

	while ((lease = lease_table_by_external(table, transport, port)) &&
	       lease->record.origin != ORIGIN_STATIC)
		if (!transaction_end(t, lease, ENDING_TAKEN, now))
			return false;
	return true;
}

/* One that stays may still be called differently now; the kernel does not know. */
static bool
rename_lease(struct lease *lease, const struct forward *f)
{
	lease->record.line = f->line;
	return transaction_rename(lease, f->name, f->description);
}

static bool
add(struct lease_table *table, struct transaction *t, const struct forward *f,
    enum transport transport, monotime now)
{
	const struct lease_record record = record_of(f, transport, now);

	for (uint32_t port = f->external.first; port <= f->external.last; port++)
		if (!take_port(table, t, transport, (uint16_t)port, now))
			return false;
	return transaction_add(t, &record);
}

bool
forwards_add(struct lease_table *table, struct transaction *t, const struct forward *f,
	     monotime now)
{
	for (int i = 0; i < TRANSPORTS; i++)
		if ((f->transports & set_of(transports[i])) &&
		    !add(table, t, f, transports[i], now))
			return false;
	return true;
}

bool
forwards_set(struct lease_table *table, struct transaction *t, const struct forward *set,
	     size_t count, monotime now)
{
	bool ok = end_unwanted(table, t, set, count, now);

	/* Those that stay first: a name may have passed to another forward. */
	for (size_t i = 0; ok && i < count; i++)
		for (int k = 0; ok && k < TRANSPORTS; k++) {
			struct lease *lease = set[i].transports & set_of(transports[k])
						  ? find_alike(table, &set[i], transports[k])
						  : NULL;

			ok = !lease || rename_lease(lease, &set[i]);
		}
	for (size_t i = 0; ok && i < count; i++)
		for (int k = 0; ok && k < TRANSPORTS; k++)
			if ((set[i].transports & set_of(transports[k])) &&
			    !find_alike(table, &set[i], transports[k]))
				ok = add(table, t, &set[i], transports[k], now);
	return ok;
}

const struct lease *
forwards_conflict(const struct lease_table *table, const struct forward *f)
{
	const struct lease *lease = lease_table_first_static(table);

	while (lease && !is_in_the_way(&lease->record, f, 1))
		lease = lease_next_static(lease);
	return lease;
}

const struct lease *
forwards_by_name(const struct lease_table *table, const char *name)
{
	const struct lease *lease = lease_table_first_static(table);

	while (lease && strcmp(lease->record.name, name) != 0)
		lease = lease_next_static(lease);
	return lease;
}

bool
forwards_has_all(const struct lease_table *table, const struct forward *f)
{
	for (int i = 0; i < TRANSPORTS; i++)
		if ((f->transports & set_of(transports[i])) && !find_alike(table, f, transports[i]))
			return false;
	return true;
}
