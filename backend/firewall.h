/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's side of our mappings: the table `inet portlease`.  Changes are staged, then
 * committed in one transaction.  Knows no protocol, no policy, no clock; touches no table but our
 * own.
 */
#ifndef PORTLEASE_FIREWALL_H
#define PORTLEASE_FIREWALL_H

#include "fault.h"
#include "../protocols/mapping.h"

struct firewall;

enum { FIREWALL_WAN_ADDRESSES = 16, FIREWALL_LAN_PREFIXES = 64, FIREWALL_INTERFACE_SIZE = 16 };

struct firewall_options {
	bool source_nat; /* no: the gateway only routes; ports are not reserved against other hosts
			    (firewall layout: sn4) */
	bool ftp;	 /* use the kernel's helper for FTP, if there is one */
	bool resets;	 /* reset TCP flows that were ended, if the kernel can; else drop them */
};

/* The network the table works for. */
struct firewall_network {
	char wan[FIREWALL_INTERFACE_SIZE]; /* "" = none */
	size_t wan_addresses;		   /* IPv4; what is dialled from outside and in hairpin */
	struct address wan_address[FIREWALL_WAN_ADDRESSES];
	bool has_source; /* mapped sockets send from .source, not from the WAN's primary */
	struct address source;
	size_t lan_prefixes; /* IPv4; may overlap: merged inside */
	struct prefix lan_prefix[FIREWALL_LAN_PREFIXES];
};

/* One mapping = DNAT + outbound source port + port reservation, with the kernel's own time-out. */
struct mapping {
	enum transport transport;
	uint16_t external_port;
	uint16_t more_ports; /* so many follow; then internal.port is external_port */
	struct endpoint internal;
	struct address remote; /* only from this host; unspecified = anybody */
	uint8_t remote_length; /* or from this prefix, as struct prefix has it; 0: one host */
	enum helper helper;    /* with .reserves: for the external port */
	bool outbound;	       /* at most one of an internal endpoint's mappings; ranges aside */
	bool reserves;	       /* at most one of an external port's mappings; ranges aside */
	uint64_t timeout;      /* milliseconds until the kernel ends it by itself; 0 = never */
	const char *comment;   /* shown by `nft list`; at most 127 octets; NULL = none */
};

enum firewall_change { FIREWALL_ADD, FIREWALL_REMOVE };

/* Written by firewall_commit(). */
struct firewall_outcome {
	int error; /* 0, or the errno the kernel gave for this change: drop it and commit the rest
		      again */
	uint64_t connections; /* FIREWALL_REMOVE: the element's last count */
};

enum firewall_state { FIREWALL_INTACT, FIREWALL_LOST };

/* Opens the sockets (once; see the cost of closing them) but changes nothing.  0 or -errno. */
int firewall_open(struct firewall **, const struct firewall_options *, struct fault *);
/* Are data connections of FTP followed?  Not without option ftp, nor without nf_conntrack_ftp. */
bool firewall_tracks_ftp(const struct firewall *);
/* Are both ends of a TCP flow that was ended told?  Not without option resets, nor without
 * nft_reject_inet; then its packets are dropped. */
bool firewall_resets(const struct firewall *);
/* Closes the sockets; leaves the table.  NULL is allowed. */
void firewall_close(struct firewall *);

/*
 * Makes the table anew, empty, for this network: replaces an old one atomically.  Staged changes
 * ride in the same transaction, after the skeleton: with at most FIREWALL_CHUNK of them the table
 * and its mappings appear together.
 */
int firewall_create(struct firewall *, const struct firewall_network *, struct fault *);
/* Takes the table away.  No table: 0. */
int firewall_destroy(struct firewall *, struct fault *);

/* The mappings that the table shall hold, one a call: that after *cursor, which is 0 at first, and
 * is moved on.  False: no more. */
typedef bool firewall_next_fn(void *arg, uint64_t *cursor, struct mapping *);

struct firewall_wanted {
	firewall_next_fn *next; /* each with a comment that lives until the next call */
	void *arg;
	uint64_t early; /* an element is right, too, that ends so many milliseconds too early */
};

enum { FIREWALL_TIMEOUT_LATE = 1000 }; /* or so many too late */

/* What was done to how many elements; a mapping has up to four. */
struct firewall_agreement {
	size_t kept, added, replaced, removed;
};

/*
 * Goes on with the table that is there: in one transaction the chains, rules and the network become
 * ours, and its elements those of the mappings; elements that are right are not touched.  Of a
 * table that is intact only what differs is sent; one of another layout is replaced.  Nothing may
 * be staged.  -ENOENT: there is no table; -errno: it could not be done, -EBUSY at present; nothing
 * was.
 */
int firewall_adopt(struct firewall *, const struct firewall_network *,
		   const struct firewall_wanted *, struct firewall_agreement *, struct fault *);

/* A mapping that the table holds, without .outbound and .reserves; .timeout is what is left of
 * lifetime.  Texts live as long as the call. */
typedef void firewall_held_fn(void *arg, const struct mapping *, uint64_t lifetime);
/* Tells each, in no order, and some twice if the table changes meanwhile.  -ENOENT: there is no
 * table of this layout. */
int firewall_load(struct firewall *, firewall_held_fn *, void *arg, struct fault *);

/* Swaps what changed in the network, in one transaction; mappings stay.  Nothing may be staged. */
int firewall_set_network(struct firewall *, const struct firewall_network *, struct fault *);

/* That option from the next firewall_set_network() on. */
void firewall_set_source_nat(struct firewall *, bool source_nat);

enum { FIREWALL_CHUNK = 500 }; /* the most changes to stage before a commit */

/*
 * Adds one change to the pending transaction.  *mapping is copied; *outcome is written by the
 * commit and must live until then.  A renewal is REMOVE and ADD of the same mapping in one
 * transaction.  Stage removals first: changes are applied in the order staged.
 */
void firewall_stage(struct firewall *, enum firewall_change, const struct mapping *,
		    struct firewall_outcome *outcome);

/*
 * Sends what is staged as one transaction and forgets it.  0: all applied.  -errno: none applied,
 * and each outcome.error says whether the kernel objected to that change.  -ESTALE: the table or a
 * part of it is gone: create it again.
 */
int firewall_commit(struct firewall *, struct fault *);

/* Connections through a mapping's present element; 0 if it is not there.  One exact query, no dump.
 */
uint64_t firewall_connections(struct firewall *, const struct mapping *);

/* Becomes readable when another program has committed to nftables. */
int firewall_watch_fd(const struct firewall *);
/*
 * Reads what the watch holds and looks whether our table still is the one we made.  The first LOST
 * is reported once for each loss; *by (may be NULL) names the program and pid that did it.
 */
enum firewall_state firewall_watch(struct firewall *, char *by, size_t by_size);

#endif
