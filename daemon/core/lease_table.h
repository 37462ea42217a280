/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every lease there is, of all protocols, with the indexes to find it, and which external ports are
 * free.  Pure memory: knows no protocol, kernel or clock.
 */
#ifndef PORTLEASE_LEASE_TABLE_H
#define PORTLEASE_LEASE_TABLE_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "../../protocols/mapping.h"

struct lease_table;
struct lease_client;
struct change;

/*
 * Owned by the table (between unlink and discard, by whoever unlinked it).  The fields of .record
 * that the indexes are made of (id, transport, ports, internal, remote, companion, ends) change
 * only through the table.
 */
struct lease {
	struct lease_record record;
	RB_ENTRY(lease) by_id;
	size_t subtree; /* leases of which this one is the root in by_id */
	RB_ENTRY(lease) by_external;
	RB_ENTRY(lease) by_internal;
	RB_ENTRY(lease) by_end;
	TAILQ_ENTRY(lease) by_static;
	struct lease_client *client;
	struct change *change; /* the engine's note of what the present batch did to it */
	struct {
		monotime used;	  /* 0: nobody has looked yet */
		uint64_t counted; /* connections, when somebody looked last */
	} idle;			  /* upkeep's notes */
};

/* How long a freed external port is kept for the same internal endpoint (RFC 6887 15, RFC 6888
 * REQ-8). */
#define LEASE_QUARANTINE (120 * MONOTIME_SECOND)

struct lease_table *lease_table_new(void);   /* NULL: out of memory */
void lease_table_free(struct lease_table *); /* frees the leases too; NULL is allowed */

/*
 * A new lease from *record (id, created given by the caller's record; texts copied; id 0: the next
 * one is given). Ends a quarantine of its port.  No lease may have its transport, external
 * port and remote host; others of that port must be of the same client, or static like it.  NULL:
 * out of memory.
 */
struct lease *lease_table_insert(struct lease_table *, const struct lease_record *);
/* Would an insert do what the two sentences above ask, with an id that no lease has, and may have?
 * Only a static one has a range. */
bool lease_table_has_room(const struct lease_table *, const struct lease_record *);
/* Takes a lease out and puts its port in quarantine from now on, but for a static one's.  The
 * caller discards it, or relinks it. */
void lease_table_unlink(struct lease_table *, struct lease *, monotime now);
/* Undoes an unlink whose port has not been given out since.  Cannot fail. */
void lease_table_relink(struct lease_table *, struct lease *);
void lease_table_discard(struct lease_table *, struct lease *); /* frees one that is unlinked */
/* Takes the port of one that is unlinked out of quarantine: whoever had it is no more. */
void lease_table_release_port(struct lease_table *, const struct lease_record *);

void lease_table_set_lifetime(struct lease_table *, struct lease *, uint32_t lifetime,
			      monotime ends);
/* Copies; false: out of memory, the old one stays. */
bool lease_set_description(struct lease *, const char *);
bool lease_table_set_user_agent(struct lease_table *, struct lease *, const char *); /* likewise */
bool lease_set_name(struct lease *, const char *);				     /* likewise */
/* Frees the description and user agent that a record got by these, and has no more. */
void lease_table_free_texts(struct lease_table *, const struct lease_record *);
/* Whom a mapping is for, one host being a prefix of 128; of anybody's the length is 0. */
struct prefix lease_remote(const struct lease_record *);

struct lease *lease_table_by_id(const struct lease_table *, uint64_t id);
/* The first at an external port, that for anybody before those for one remote host;
 * lease_next_external() gives the rest.  Where none begins: a range that the port lies in. */
struct lease *lease_table_by_external(const struct lease_table *, enum transport, uint16_t port);
struct lease *lease_next_external(const struct lease *); /* same port, or NULL */
/* Of an internal endpoint's enabled leases the oldest: outbound packets leave through it.  A range
 * is not compared: it does if it is for anybody, where no lease does; and keeps its ports so. */
bool lease_goes_out(const struct lease_table *, const struct lease *);
/* Of an external port's enabled leases the last to end: it keeps the port from other hosts' flows.
 */
bool lease_keeps_port(const struct lease_table *, const struct lease *);
/* The one for exactly that remote host, or for anybody.  Where none begins: a range for anybody
 * that the port lies in. */
struct lease *lease_table_by_remote(const struct lease_table *, enum transport, uint16_t port,
				    const struct address *remote);
/* The oldest of an internal endpoint; the others follow by lease_next_internal().  Where none
 * begins: a range for anybody that it lies in. */
struct lease *lease_table_by_internal(const struct lease_table *, enum transport,
				      const struct endpoint *);
struct lease *lease_next_internal(const struct lease *); /* same endpoint, or NULL */
/* The first lease of a client in order of (transport, port); lease_next_of_client() gives the rest.
 */
struct lease *lease_table_first_of_client(const struct lease_table *, const struct address *);
struct lease *lease_next_of_client(const struct lease *);
/* The first lease of the client that follows in order of address; for walking over all clients. */
struct lease *lease_table_after_client(const struct lease_table *, const struct address *);
/* The static ones, the oldest first. */
struct lease *lease_table_first_static(const struct lease_table *);
struct lease *lease_next_static(const struct lease *);
struct lease *lease_table_first_to_end(const struct lease_table *); /* NULL: none ends */
/* In order of id: the first with an id above the given one; for walking in pages. */
struct lease *lease_table_after_id(const struct lease_table *, uint64_t id);
/* In the same order the one with so many before it, found in logarithmic time; NULL past the last.
 */
struct lease *lease_table_at(const struct lease_table *, size_t index);
size_t lease_index(const struct lease *); /* the reverse */

/* The last id given; ids go on from it, or from this one if that is later. */
uint64_t lease_table_last_id(const struct lease_table *);
void lease_table_set_last_id(struct lease_table *, uint64_t);

size_t lease_table_count(const struct lease_table *);
size_t lease_table_count_of_client(const struct lease_table *,
				   const struct address *); /* without static ones */

/* Who wants a port, for questions about it. */
struct port_wish {
	enum transport transport;
	struct endpoint internal;
	bool companion; /* the same port of the other transport must be reservable too */
};

enum port_state { PORT_FREE, PORT_QUARANTINED, PORT_TAKEN }; /* from good to bad */

/* What stands in the way of giving that external port to the wish?  Own quarantined ports are FREE.
 */
enum port_state lease_table_port(struct lease_table *, const struct port_wish *, uint16_t port,
				 monotime now);
/* The port in quarantine for that internal endpoint, the latest if there are several; 0 = none. */
uint16_t lease_table_quarantined_for(struct lease_table *, const struct port_wish *, monotime now);

enum { PORT_WORDS = 65536 / 64 };
/*
 * One bit a port, for a search: set where lease_table_port() says TAKEN, or QUARANTINED if that
 * counts; set, too, where nothing but the client's own mapping of the other transport stands.
 */
void lease_table_busy_ports(struct lease_table *, const struct port_wish *, bool count_quarantined,
			    monotime now, uint64_t busy[PORT_WORDS]);

#endif
