/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides and carries out every request: policy, lease table, port, one kernel transaction per
 * batch, then the answers. The only writer to the table and to the kernel.  Knows no protocol and
 * no socket; time is an argument.
 */
#ifndef PORTLEASE_ENGINE_H
#define PORTLEASE_ENGINE_H

#include "counters.h"
#include "journal.h"
#include "lease_table.h"
#include "port_pick.h"
#include "transaction.h"
#include "../../backend/firewall.h"
#include "../../backend/flows.h"

struct engine;

struct engine_options {
	struct policy *policy;		       /* borrowed */
	struct firewall *firewall;	       /* borrowed */
	struct flows *flows;		       /* borrowed; NULL: flows are left alone */
	const struct journal_options *journal; /* copied; NULL: nothing is kept */
	bool end_flows_on_expiry;
	uint32_t max_mappings_per_client;
	struct port_pick_options ports;
};

struct engine *engine_new(const struct engine_options *, monotime now); /* NULL: out of memory */
void engine_free(struct engine *); /* leaves the kernel as it is; NULL is allowed */

/*
 * Puts back the leases of the journal, but those that are over and those that the policy denies; to
 * be called once, before the forwards and the network are set.  Epoch, ids and the count of table
 * changes go on.  What no journal tells is taken from the kernel's table (adoption.h).  0, also
 * when there is none of both; -EPROTONOSUPPORT: the journal is a newer one's.
 */
int engine_restore(struct engine *, monotime now, struct fault *);
/*
 * The calendar was set, or this is the last call and the table stays: after another boot as little
 * as can be is left to what the calendar says.
 */
void engine_note_time(struct engine *, monotime now);
/* The last call: the kernel's table was taken away, the next start shall find no lease. */
void engine_forget(struct engine *, monotime now);

/* Copied; answered by request.asker.answer() in a later engine_flush() (a full batch is flushed at
 * once). */
void engine_submit(struct engine *, const struct map_request *, monotime now);
/* Commits what the batch changed in one kernel transaction, then answers every request of it. */
void engine_flush(struct engine *, monotime now);

/* A decoder refused this one, as far as it was read: counted and logged as the engine's own
 * refusals are. */
void engine_refuse(struct engine *, const struct map_request *, enum map_result, monotime now);

/*
 * Does what is due: ends leases, puts back a lost table, ends flows whose mapping ended.  Returns
 * when to call again, MONOTIME_NEVER if nothing is pending.  Call it after every flush too, since a
 * new lease may end first.
 */
monotime engine_run(struct engine *, monotime now);

/* Ends leases from here on (the admin's remove); takes part in the batch: flush after it.  All of a
 * batch are one removal.  False: no such lease, or out of memory. */
bool engine_remove(struct engine *, uint64_t id, monotime now);

/* The same for another reason, on which depends what follows from it: log, counters, and whether
 * the port rests. */
bool engine_end(struct engine *, uint64_t id, enum ending, monotime now);

/*
 * Another policy, from the next request on.  Leases that it denies, as if each one's own host asked
 * for it now, end in the engine_run()s that follow.
 */
struct engine_policy {
	struct policy *policy; /* borrowed */
	uint32_t max_mappings_per_client;
	struct port_range random_ports;
	bool end_flows_on_expiry;
	bool journal_refuses; /* see below */
	/*
	 * lan: where a host's lease came from, to be replaced by where it is now if that is no LAN
	 * any more.  False: the host is of no LAN, and its leases end, too.  NULL: not asked.
	 */
	bool (*place)(void *arg, const struct address *host, char lan[MAPPING_LAN_SIZE]);
	void *arg;
};
void engine_set_policy(struct engine *, const struct engine_policy *);

/*
 * A batch that does not get to the disk: without .journal_refuses it holds all the same, and is
 * written when the disk takes it.  With it
 *   what was asked for   a client's new, renewed, changed or deleted mapping; engine_remove();
 *                        engine_add_forward(): all of its batch is taken back, first out of the
 *                        kernel, and refused (MAP_NO_RESOURCES; the lease is as before).  As long
 *                        as the disk is not tried again, the kernel is not, either.
 *   what ends anyhow     by its time, the policy, its LAN; engine_set_forwards(); the network: as
 *                        without it.  Nothing outlives its lease for a broken disk.
 * A disk that failed while it synced may have it nevertheless: then the next start has what was
 * refused, if it comes before the disk works again.
 */

/* Are there leases that the policy has not been asked about yet, or forwards to be tried again? */
bool engine_reviews(const struct engine *);

/*
 * Makes the config's static forwards this set, which has no overlaps; those that stay are not
 * touched.  Takes part in the batch: flush after it, but before the first engine_set_network(),
 * which then brings them into the kernel.  What the kernel takes none of is tried again by
 * engine_run(): the set is borrowed until the next call.  False: out of memory, some are missing.
 */
bool engine_set_forwards(struct engine *, const struct forward *, size_t count, monotime now);
/* One more, that no other conflicts with (forwards_conflict()); likewise. */
bool engine_add_forward(struct engine *, const struct forward *, monotime now);

/*
 * The WAN and LANs as they are now; external: the address told to clients, unspecified = none.  A
 * change of external starts a new epoch.  The first call goes on with the kernel's table, or makes
 * it anew (adoption.h).  0 or -errno.
 */
int engine_set_network(struct engine *, const struct firewall_network *,
		       const struct address *external, monotime now, struct fault *);

/*
 * A LAN's prefixes as they are now, none while it is gone, down or without an address; lan is the
 * caller's number of it.  Leases of hosts of a prefix that it has not any more, and that no LAN
 * has, end once it has had others for RENUMBERING_DELAY; static ones stay.  Then call engine_run().
 */
void engine_set_lan(struct engine *, size_t lan, const struct prefix *, size_t count, monotime now);

/* The caller's numbers are others: origin has the old one of each LAN, or none that there was. */
void engine_move_lans(struct engine *, const size_t *origin, size_t lans);

/* Somebody committed to nftables: look after our table now, and after its elements soon.  Then call
 * engine_run(). */
void engine_check_table(struct engine *, monotime now);

/* Clients shall learn that what they were told holds no more: a new epoch (RFC 6887 8.5).  Then
 * announce it. */
void engine_begin_epoch(struct engine *, monotime now);

/* Grows by one with each request, end or removal by which leases come, end, or are changed in more
 * than their lifetimes. */
uint64_t engine_table_changes(const struct engine *);
uint32_t engine_epoch(const struct engine *, monotime now);    /* seconds; one for all protocols */
struct address engine_external_address(const struct engine *); /* unspecified = none */
const struct lease_table *engine_leases(const struct engine *);
const struct counters *engine_counters(const struct engine *);
const char *engine_journal_fault(const struct engine *); /* NULL: it works, or there is none */
/* It does not work, and what is asked for is refused for that. */
bool engine_journal_refuses(const struct engine *);
bool engine_table_intact(const struct engine *);
/* Are flows being read, to end some?  Whoever else would read them lets this go first. */
bool engine_reads_flows(const struct engine *);
/* Connections since the mapping was made: counted so far plus the kernel element's. */
uint64_t engine_connections(struct engine *, const struct lease *);

#endif
