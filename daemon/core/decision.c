/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One function a kind of request; they share the questions "whose is it?" and "for how long?". */
#include "decision.h"

#include <string.h>

typedef enum map_result decide_fn(struct decider *, const struct map_request *, struct map_reply *);

uint32_t
lease_remaining(const struct lease_record *record, monotime now)
{
	if (record->ends == MONOTIME_NEVER)
		return MAPPING_LIFETIME_STATIC;
	return record->ends > now
		   ? (uint32_t)((record->ends - now + MONOTIME_SECOND - 1) / MONOTIME_SECOND)
		   : 0;
}

static uint32_t
granted_lifetime(const struct map_request *request)
{
	uint32_t lifetime = request->lifetime;

	if (lifetime < request->lifetime_min)
		lifetime = request->lifetime_min;
	return lifetime > request->lifetime_max ? request->lifetime_max : lifetime;
}

/* Several mappings may share an internal endpoint: the asking protocol's own counts, else the
 * oldest. */
static struct lease *
find_by_internal(const struct decider *d, const struct map_request *request)
{
	struct lease *oldest =
	    lease_table_by_internal(d->table, request->transport, &request->internal);

	struct lease *found = NULL;

	for (struct lease *lease = oldest; lease; lease = lease_next_internal(lease)) {
		/* One for a single remote host, or for nobody, is not what is asked for. */
		if (lease->record.disabled || !address_is_unspecified(&lease->record.remote))
			continue;
		if (lease->record.origin == request->origin)
			return lease;
		if (!found)
			found = lease;
	}
	return found;
}

static struct lease *
find_asked(const struct decider *d, const struct map_request *request)
{
	return request->by_external
		   ? lease_table_by_remote(d->table, request->transport, request->external_port,
					   &request->remote)
		   : find_by_internal(d, request);
}

/* Where prefixes overlap, an address does not tell. */
static bool
is_of_same_lan(const struct lease *lease, const struct map_request *request)
{
	return !lease->record.lan[0] || !request->lan[0] ||
	       strcmp(lease->record.lan, request->lan) == 0;
}

static bool
is_clients(const struct lease *lease, const struct map_request *request)
{
	return is_of_same_lan(lease, request) &&
	       address_equal(&lease->record.internal.address, &request->internal.address);
}

/* RFC 6887 11.3: the nonce must match to renew, change or delete.  Who has none cannot know it, nor
 * be asked for it. */
static bool
nonce_differs(const struct lease *lease, const struct map_request *request)
{
	return lease->record.has_nonce && request->has_nonce &&
	       memcmp(&lease->record.nonce, &request->nonce, sizeof(request->nonce)) != 0;
}

/* The external port of the request's internal one: of a range, which keeps its ports, the same. */
static uint16_t
external_port(const struct lease *lease, const struct map_request *request)
{
	return lease->record.more_ports ? request->internal.port : lease->record.external_port;
}

static void
describe(const struct decider *d, uint16_t port, struct map_reply *reply)
{
	reply->external = (struct endpoint){d->external, port};
}

/* Exactly what was wanted, or any, if it need not be exact. */
static bool
meets_wish(const struct decider *d, const struct map_request *request, uint16_t port)
{
	if (request->if_taken == IF_TAKEN_OTHER_PORT)
		return true;
	return request->external_port == port &&
	       (address_is_unspecified(&request->external_address) ||
		address_equal(&request->external_address, &d->external));
}

static enum map_result
decide_static(const struct decider *d, const struct map_request *request, const struct lease *lease,
	      struct map_reply *reply)
{
	if (address_is_unspecified(&d->external))
		return MAP_NO_ADDRESS;
	if (!meets_wish(d, request, external_port(lease, request)))
		return MAP_PORT_TAKEN;
	describe(d, external_port(lease, request), reply);
	/* lifetime_min 0: this protocol never states more than was asked for. */
	reply->lifetime = request->lifetime_min ? MAPPING_LIFETIME_STATIC : request->lifetime;
	return MAP_OK;
}

/* What an overwriting request says of the mapping beside its lifetime. */
static bool
edit(struct decider *d, const struct map_request *request, struct lease *lease)
{
	const char *text = lease->record.description ? lease->record.description : "";
	const char *agent = lease->record.user_agent ? lease->record.user_agent : "";
	bool own = lease->record.origin == request->origin;
	bool described =
	    strcmp(text, request->description) != 0 && (own || request->description[0]);
	bool by_another = own && strcmp(agent, request->user_agent) != 0;

	if ((described || by_another) &&
	    !transaction_set_texts(d->transaction, lease, described ? request->description : text,
				   by_another ? request->user_agent : agent))
		return false;
	if (described)
		transaction_edit(d->transaction, lease);
	if (own)
		transaction_set_disabled(d->transaction, lease, request->disabled);
	return true;
}

/*
 * The own origin's mapping gets the new lifetime, even a shorter one; an adopted one changes its
 * origin, too; any other stays what it is and keeps the later end (interworking 2.3).
 */
static bool
apply_renewal(struct decider *d, const struct map_request *request, struct lease *lease,
	      uint32_t lifetime)
{
	bool adopt = request->adopts & ORIGIN_BIT(lease->record.origin);
	bool prolong = lease->record.origin != request->origin && !adopt;
	monotime ends = d->now + lifetime * MONOTIME_SECOND;

	if (prolong && lease->record.ends >= ends && !request->by_external)
		return true;
	if (!transaction_touch(d->transaction, lease) ||
	    (request->by_external && !edit(d, request, lease)))
		return false;
	if (adopt) {
		lease->record.origin = request->origin;
		transaction_edit(d->transaction, lease);
	}
	/* Its own origin's without one was taken from the kernel, which does not know it. */
	if (adopt || (!prolong && !lease->record.has_nonce)) {
		lease->record.has_nonce = request->has_nonce;
		lease->record.nonce = request->nonce;
	}
	if (!prolong || lease->record.ends < ends)
		transaction_set_lifetime(d->transaction, lease, lifetime, ends);
	return true;
}

static enum map_result
renew(struct decider *d, const struct map_request *request, struct lease *lease,
      struct map_reply *reply)
{
	struct verdict verdict;

	if (lease->record.origin == ORIGIN_STATIC)
		return decide_static(d, request, lease, reply);
	if (!is_of_same_lan(lease, request))
		return MAP_NOT_YOURS;
	if (nonce_differs(lease, request)) {
		reply->lifetime = lease_remaining(&lease->record, d->now);
		return MAP_NOT_YOURS;
	}
	verdict = policy_judge(d->policy, request);
	if (!verdict_allows(&verdict, lease->record.external_port)) {
		d->denied_by = verdict.denied_by;
		return MAP_NOT_AUTHORIZED;
	}
	if (address_is_unspecified(&d->external))
		return MAP_NO_ADDRESS;
	if (!meets_wish(d, request, lease->record.external_port)) {
		reply->lifetime = lease_remaining(&lease->record, d->now);
		return MAP_PORT_TAKEN;
	}
	reply->lifetime = granted_lifetime(request);
	if (!apply_renewal(d, request, lease, reply->lifetime))
		return MAP_NO_RESOURCES;
	describe(d, lease->record.external_port, reply);
	return MAP_OK;
}

static bool
is_at_quota(const struct decider *d, const struct map_request *request)
{
	return lease_table_count_of_client(d->table, &request->internal.address) >=
	       d->max_mappings_per_client;
}

static enum map_result
pick(struct decider *d, const struct map_request *request, struct map_reply *reply, uint16_t *port)
{
	struct port_question question = {
	    .wish = {request->transport, request->internal, request->reserve_companion},
	    .suggested = request->external_port,
	    .if_taken = request->if_taken,
	    .verdict = policy_judge(d->policy, request),
	};
	enum map_result result;
	struct lease *holder;

	if (question.verdict.ranges == 0) {
		d->denied_by = question.verdict.denied_by;
		return MAP_NOT_AUTHORIZED;
	}
	if (address_is_unspecified(&d->external))
		return MAP_NO_ADDRESS;
	if (is_at_quota(d, request))
		return MAP_QUOTA;
	if (!meets_wish(d, request, request->external_port))
		return MAP_PORT_TAKEN; /* another external address than ours */
	result = port_pick(d->ports, d->table, &question, d->now, port);
	if (result == MAP_PORT_FORBIDDEN)
		d->denied_by = question.verdict.denied_by;
	holder = result == MAP_PORT_TAKEN
		     ? lease_table_by_external(d->table, request->transport, request->external_port)
		     : NULL;
	if (holder && holder->record.ends != MONOTIME_NEVER)
		reply->lifetime = lease_remaining(&holder->record, d->now);
	return result;
}

static enum map_result
insert(struct decider *d, const struct map_request *request, uint16_t port, struct map_reply *reply)
{
	uint32_t lifetime = granted_lifetime(request);
	struct lease_record record = {
	    .origin = request->origin,
	    .transport = request->transport,
	    .disabled = request->disabled,
	    .companion = request->reserve_companion,
	    .has_nonce = request->has_nonce,
	    .nonce = request->nonce,
	    .external_port = port,
	    .internal = request->internal,
	    .remote = request->remote,
	    .lifetime = lifetime,
	    .created = d->now,
	    .ends = d->now + lifetime * MONOTIME_SECOND,
	    .description = request->description[0] ? request->description : NULL,
	    .user_agent = request->user_agent[0] ? request->user_agent : NULL,
	};
	struct lease *lease;

	memcpy(record.lan, request->lan, sizeof(record.lan));
	lease = transaction_add(d->transaction, &record);
	if (!lease)
		return MAP_NO_RESOURCES;
	reply->lifetime = lifetime;
	describe(d, lease->record.external_port, reply);
	return MAP_OK;
}

static enum map_result
create(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	uint16_t port = 0;
	enum map_result result = pick(d, request, reply, &port);

	return result == MAP_OK ? insert(d, request, port, reply) : result;
}

/* Another internal port behind the same external one: a new lease in the old one's place. */
static enum map_result
replace(struct decider *d, const struct map_request *request, struct lease *old,
	struct map_reply *reply)
{
	if (!transaction_end(d->transaction, old, ENDING_REPLACED, d->now))
		return MAP_NO_RESOURCES;
	return insert(d, request, request->external_port, reply);
}

/* The same external port for one more remote host. */
static enum map_result
insert_beside(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	if (is_at_quota(d, request))
		return MAP_QUOTA;
	return insert(d, request, request->external_port, reply);
}

static bool
same_remote(const struct lease *lease, const struct map_request *request)
{
	if (address_is_unspecified(&request->remote))
		return address_is_unspecified(&lease->record.remote);
	return address_equal(&lease->record.remote, &request->remote);
}

/* May the client have a mapping at this port, whoever has it? */
static enum map_result
judge_taken_port(struct decider *d, const struct map_request *request)
{
	struct verdict verdict = policy_judge(d->policy, request);

	if (!verdict_allows(&verdict, request->external_port)) {
		d->denied_by = verdict.denied_by;
		return verdict.ranges == 0 ? MAP_NOT_AUTHORIZED : MAP_PORT_FORBIDDEN;
	}
	return address_is_unspecified(&d->external) ? MAP_NO_ADDRESS : MAP_OK;
}

/* The rows of interworking 2.3 that ask by the external port.  Who may not have it is told that,
 * not that it is taken (WANIPConnection:2, 2.5.16). */
static enum map_result
map_by_external(struct decider *d, const struct map_request *request, struct lease *holder,
		struct map_reply *reply)
{
	enum map_result refusal = judge_taken_port(d, request);

	if (refusal == MAP_PORT_FORBIDDEN && request->if_taken == IF_TAKEN_OTHER_PORT)
		return create(d, request, reply);
	if (refusal != MAP_OK)
		return refusal;
	if (holder->record.origin == ORIGIN_STATIC)
		refusal = MAP_OTHER_MECHANISM;
	else if (!is_clients(holder, request))
		refusal = MAP_PORT_TAKEN;
	else if (!same_remote(holder, request) && holder->record.origin == request->origin)
		return insert_beside(d, request, reply);
	else if (!same_remote(holder, request))
		refusal = MAP_OTHER_MECHANISM;
	else if (holder->record.internal.port == request->internal.port)
		return renew(d, request, holder, reply);
	else if (request->may_replace & ORIGIN_BIT(holder->record.origin))
		return replace(d, request, holder, reply);
	else
		refusal = MAP_OTHER_MECHANISM;
	return request->if_taken == IF_TAKEN_OTHER_PORT ? create(d, request, reply) : refusal;
}

static enum map_result
decide_map(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	struct lease *lease = find_asked(d, request);

	/* Not for this remote host, but perhaps for another. */
	if (!lease && request->by_external)
		lease =
		    lease_table_by_external(d->table, request->transport, request->external_port);
	if (!lease)
		return create(d, request, reply);
	if (request->by_external)
		return map_by_external(d, request, lease, reply);
	return renew(d, request, lease, reply);
}

static enum map_result
decide_delete(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	struct lease *lease = find_asked(d, request);

	if (!lease)
		return request->by_external ? MAP_NOT_FOUND : MAP_OK;
	if (!is_clients(lease, request))
		return MAP_NOT_YOURS;
	if (!(request->may_delete & ORIGIN_BIT(lease->record.origin)))
		return MAP_OTHER_MECHANISM;
	if (nonce_differs(lease, request)) {
		reply->lifetime = lease_remaining(&lease->record, d->now);
		return MAP_NOT_YOURS;
	}
	return transaction_end(d->transaction, lease, ENDING_DELETED, d->now) ? MAP_OK
									      : MAP_NO_RESOURCES;
}

static bool
is_in_range(const struct map_request *request, const struct lease_record *lease)
{
	return lease->transport == request->transport &&
	       lease->external_port >= request->ports.first &&
	       lease->external_port <= request->ports.last;
}

static enum map_result
decide_delete_all(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	enum map_result result = MAP_OK;
	struct lease *lease = lease_table_first_of_client(d->table, &request->client), *next;

	(void)reply;
	for (; lease; lease = next) {
		next = lease_next_of_client(lease);
		if (lease->record.transport != request->transport ||
		    !is_of_same_lan(lease, request))
			continue;
		if (lease->record.origin == ORIGIN_STATIC)
			result =
			    MAP_OTHER_MECHANISM; /* RFC 6886 3.4: as many as possible, and say so */
		else if ((request->may_delete & ORIGIN_BIT(lease->record.origin)) &&
			 !transaction_end(d->transaction, lease, ENDING_DELETED, d->now))
			result = MAP_NO_RESOURCES;
	}
	return result;
}

/* What may not be deleted is passed over (WANIPConnection:2, 2.5.19). */
static enum map_result
decide_delete_range(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	enum map_result result = MAP_NOT_FOUND;
	struct lease *lease = lease_table_first_of_client(d->table, &request->client), *next;

	(void)reply;
	for (; lease; lease = next) {
		next = lease_next_of_client(lease);
		if (!is_in_range(request, &lease->record) || !is_of_same_lan(lease, request) ||
		    !(request->may_delete & ORIGIN_BIT(lease->record.origin)))
			continue;
		if (!transaction_end(d->transaction, lease, ENDING_DELETED, d->now))
			return MAP_NO_RESOURCES;
		result = MAP_OK;
	}
	return result;
}

static enum map_result
decide_address(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	(void)request;
	reply->external.address = d->external;
	return address_is_unspecified(&d->external) ? MAP_NO_ADDRESS : MAP_OK;
}

static enum map_result
decide_announce(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	(void)d;
	(void)request;
	(void)reply;
	return MAP_OK;
}

static decide_fn *const deciders[REQUEST_KINDS] = {
    [REQUEST_ADDRESS] = decide_address,
    [REQUEST_ANNOUNCE] = decide_announce,
    [REQUEST_MAP] = decide_map,
    [REQUEST_DELETE] = decide_delete,
    [REQUEST_DELETE_ALL] = decide_delete_all,
    [REQUEST_DELETE_RANGE] = decide_delete_range,
};

void
decide(struct decider *d, const struct map_request *request, struct map_reply *reply)
{
	d->denied_by = 0;
	*reply = (struct map_reply){0};
	reply->result = deciders[request->kind](d, request, reply);
}

bool
decision_stands_on(const struct map_request *request, const struct map_reply *reply,
		   const struct lease_record *lease)
{
	if (request->transport != lease->transport)
		return false;
	/* A mapping leads to the wished internal port, at whatever external one. */
	if (request->by_external && request->kind == REQUEST_DELETE)
		return request->external_port == lease->external_port;
	if (!address_equal(&request->internal.address, &lease->internal.address))
		return false;
	if (request->kind == REQUEST_DELETE_RANGE)
		return is_in_range(request, lease);
	/* Another mapping may share the internal endpoint. */
	if (request->kind == REQUEST_MAP &&
	    (reply->external.port < lease->external_port ||
	     reply->external.port - lease->external_port > lease->more_ports))
		return false;
	return request->kind == REQUEST_DELETE_ALL ||
	       request->internal.port == lease->internal.port;
}
