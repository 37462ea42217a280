/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "adoption.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "transaction.h"
#include "../base/log.h"

enum { PAUSE_PER_LEASE = 1 }; /* ms: a hundred times what it costs to read one */

monotime
adoption_pause(size_t leases)
{
	return ADOPTION_PAUSE + (monotime)leases * PAUSE_PER_LEASE;
}

/* Leases from the kernel */

/* The reverse of lease_mapping()'s comment. */
static bool
read_comment(const char *comment, struct lease_record *r, char name[FORWARD_NAME_SIZE])
{
	char origin[16];
	int used = 0;

	*name = '\0';
	if (!comment || sscanf(comment, "%15s %" SCNu64 "%n", origin, &r->id, &used) != 2 ||
	    !origin_find(origin, &r->origin) || r->id == 0)
		return false;
	comment += used;
	if (*comment == ' ')
		snprintf(name, FORWARD_NAME_SIZE, "%s", comment + 1);
	else if (*comment)
		return false;
	return r->origin != ORIGIN_STATIC || forward_name_is_good(name);
}

struct loading {
	struct lease_table *table;
	monotime now;
	size_t count;
};

static void
take(void *arg, const struct mapping *m, uint64_t lifetime)
{
	struct loading *to = arg;
	char name[FORWARD_NAME_SIZE];
	struct lease_record r = {
	    .transport = m->transport,
	    .external_port = m->external_port,
	    .more_ports = m->more_ports,
	    .internal = m->internal,
	    .remote = m->remote,
	    .remote_length = m->remote_length,
	    .helper = m->helper,
	    .lifetime = MAPPING_LIFETIME_STATIC,
	    .created = to->now,
	    .ends = MONOTIME_NEVER,
	};

	if (!read_comment(m->comment, &r, name) || m->internal.port == 0 ||
	    address_is_unspecified(&m->internal.address) ||
	    (r.origin == ORIGIN_STATIC) != (m->timeout == 0) ||
	    !lease_table_has_room(to->table, &r))
		return;
	if (r.origin == ORIGIN_STATIC) {
		r.name = name;
	} else {
		monotime granted = (monotime)lifetime - TRANSACTION_GRACE;

		r.ends = to->now + (monotime)m->timeout - TRANSACTION_GRACE;
		r.created = r.ends - granted;
		r.lifetime = granted > 0 ? (uint32_t)(granted / MONOTIME_SECOND) : 0;
	}
	to->count += lease_table_insert(to->table, &r) != NULL;
}

size_t
adoption_load(struct lease_table *table, struct firewall *firewall, monotime now)
{
	struct loading to = {.table = table, .now = now};
	struct fault fault = {""};
	int error = firewall_load(firewall, take, &to, &fault);

	if (error && error != -ENOENT)
		log_error("firewall", "cannot read the table", "reason=\"%s\"", fault.text);
	if (to.count > 0)
		log_warning("firewall", "leases taken from the kernel", "count=%zu", to.count);
	return to.count;
}

/* The kernel made to agree */

struct telling {
	const struct lease_table *table;
	monotime now;
	char comment[TRANSACTION_COMMENT_SIZE];
};

static bool
next_mapping(void *arg, uint64_t *id, struct mapping *out)
{
	struct telling *of = arg;
	struct lease *lease;

	while ((lease = lease_table_after_id(of->table, *id))) {
		struct lease_record *r = &lease->record;

		*id = r->id;
		if (r->disabled)
			continue;
		r->outbound = lease_goes_out(of->table, lease);
		r->reserves = lease_keeps_port(of->table, lease);
		*out = lease_mapping(r, of->now, of->comment);
		return true;
	}
	return false;
}

int
adoption_agree(const struct lease_table *table, struct firewall *firewall,
	       const struct firewall_network *network, monotime now, struct fault *fault)
{
	struct telling of = {.table = table, .now = now};
	const struct firewall_wanted wanted = {
	    .next = next_mapping, .arg = &of, .early = TRANSACTION_GRACE};
	struct firewall_agreement found;
	int error = firewall_adopt(firewall, network, &wanted, &found, fault);

	if (!error && found.added + found.replaced + found.removed > 0)
		log_warning("firewall", "elements put right",
			    "added=%zu replaced=%zu removed=%zu kept=%zu", found.added,
			    found.replaced, found.removed, found.kept);
	return error;
}
