/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The nouns every part of portlease shares: what a client asks for, what it is told, what a lease
 * is. Each protocol translates to and from these; the core knows no protocol.  Must not depend on
 * anything.
 */
#ifndef PORTLEASE_MAPPING_H
#define PORTLEASE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

/* Milliseconds on a clock that never steps and counts suspended time (CLOCK_BOOTTIME). */
typedef int64_t monotime;
#define MONOTIME_NEVER	INT64_MAX
#define MONOTIME_SECOND ((monotime)1000)

enum transport { TRANSPORT_TCP = 6, TRANSPORT_UDP = 17 }; /* IANA protocol numbers */

struct endpoint {
	struct address address;
	uint16_t port; /* host order */
};

/* Both ends included; 0 is a valid first. */
struct port_range {
	uint16_t first;
	uint16_t last;
};

/* A connection tracker for protocols that speak of further ports. */
enum helper { HELPER_NONE, HELPER_FTP };

/* From here up go other hosts' flows that came from a port in use (firewall layout: sn4). */
enum { MAPPING_SPARE_PORTS = 61000 };

enum { FORWARD_NAME_SIZE = 64 };	   /* with NUL */
enum { FORWARD_TCP = 1, FORWARD_UDP = 2 }; /* sets of transports */

/* Who made a lease.  Sets of origins carry the conflict and delete matrices (one bit each). */
enum origin { ORIGIN_STATIC, ORIGIN_NATPMP, ORIGIN_PCP, ORIGIN_UPNP, ORIGINS };
typedef uint8_t origin_set;
#define ORIGIN_BIT(origin) ((origin_set)(1u << (origin)))

enum { MAPPING_LAN_SIZE = 16 };		/* of an interface's name, with NUL */
enum { MAPPING_NONCE_SIZE = 12 };	/* RFC 6887 11.1 */
enum { MAPPING_DESCRIPTION_MAX = 127 }; /* octets of UTF-8 without the NUL; longer ones are cut */
enum { MAPPING_AGENT_MAX = 63 };	/* likewise of printable ASCII */

struct nonce {
	uint8_t bytes[MAPPING_NONCE_SIZE];
};

enum request_kind {
	REQUEST_ADDRESS,      /* which external address? */
	REQUEST_ANNOUNCE,     /* are you there? (PCP ANNOUNCE): only the epoch is asked for */
	REQUEST_MAP,	      /* create or renew */
	REQUEST_DELETE,	      /* one mapping */
	REQUEST_DELETE_ALL,   /* every mapping of one client, one transport */
	REQUEST_DELETE_RANGE, /* likewise, but only what is in ports and of may_delete */
	REQUEST_KINDS
};

/* What to do when the suggested external port is not to be had. */
enum if_taken {
	IF_TAKEN_OTHER_PORT,  /* give another one */
	IF_TAKEN_FAIL,	      /* that one or none, quarantine respected (PCP PREFER_FAILURE) */
	IF_TAKEN_REPLACE_OWN, /* that one or none, quarantine ignored; an own entry of may_replace
				 is overwritten */
};

enum map_result {
	MAP_OK,
	/* decided by the core */
	MAP_NOT_AUTHORIZED,  /* policy leaves this client nothing */
	MAP_PORT_FORBIDDEN,  /* exactly this port was asked for, and policy forbids it */
	MAP_PORT_TAKEN,	     /* exactly this port was asked for, and another client has it */
	MAP_GATEWAY_PORT,    /* likewise, and the gateway itself listens there */
	MAP_NOT_YOURS,	     /* the mapping is another client's, or the nonce differs */
	MAP_OTHER_MECHANISM, /* the mapping was made by another mechanism (or the admin), which
				alone may change it */
	MAP_NOT_FOUND,
	MAP_NO_ADDRESS,	  /* no external address at the moment */
	MAP_NO_RESOURCES, /* no free port, no memory, the kernel refused */
	MAP_QUOTA,	  /* this client has as many mappings as it may */
	/* decided by a decoder */
	MAP_UNSUPPORTED_VERSION,
	MAP_UNSUPPORTED_OPCODE,
	MAP_UNSUPPORTED_OPTION,
	MAP_UNSUPPORTED_PROTOCOL,
	MAP_MALFORMED_REQUEST,
	MAP_MALFORMED_OPTION,
	MAP_ADDRESS_MISMATCH,
	MAP_RESULTS
};

struct map_request;
struct map_reply;

/* Whom to answer.  answer() is called once for each submitted request, from engine_flush(). */
struct asker {
	void (*answer)(void *who, uint32_t slot, const struct map_request *,
		       const struct map_reply *);
	void *who;
	uint32_t slot;
};

/*
 * What a client asks for.  All that differs between protocols is data here, set by its codec.
 * A decoder fills everything but asker, lifetime_min and lifetime_max, which come from the front
 * end's table row.
 */
struct map_request {
	enum request_kind kind;
	enum origin origin;
	enum transport transport;
	struct address client;	  /* who asks: the source address of the request */
	struct endpoint internal; /* what is to be reached; port 0 only in DELETE_ALL, _RANGE */
	uint16_t external_port;	  /* suggested or exact; 0 = none */
	uint32_t lifetime;	  /* seconds asked for; never 0 in a REQUEST_MAP */
	uint32_t lifetime_min; /* seconds; a shorter wish is raised to it (0: never grant more than
				  asked) */
	uint32_t lifetime_max; /* seconds; a longer wish is cut to it */
	enum if_taken if_taken;
	struct address external_address; /* wanted with IF_TAKEN_FAIL; unspecified = any */
	bool by_external;	/* the mapping is identified by its external port (UPnP), not by its
				   internal endpoint */
	bool reserve_companion; /* keep the same port of the other transport for this client (RFC
				   6886 3.3) */
	bool has_nonce;
	struct nonce nonce;
	origin_set adopts; /* own mappings of these origins become this protocol's; of others are
			      only prolonged */
	origin_set may_replace; /* own mappings of these origins may get another internal port */
	origin_set may_delete;	/* of these origins it may delete */
	char description[MAPPING_DESCRIPTION_MAX + 1];
	struct asker asker;
	struct address remote;			/* only from this host; unspecified = anybody */
	bool disabled;				/* stored, not forwarded (UPnP NewEnabled = 0) */
	char user_agent[MAPPING_AGENT_MAX + 1]; /* what the client's program calls itself; "" =
						   nothing */
	struct port_range ports;		/* external ones, of a DELETE_RANGE */
	char lan[MAPPING_LAN_SIZE]; /* where it came from, set by the front end; "": any */
};

/*
 * What it is told.  Numbers that a result does not define are 0.
 * With MAP_OK: REQUEST_ADDRESS sets external.address; REQUEST_MAP all; deletes nothing but the
 * epoch.
 */
struct map_reply {
	enum map_result result;
	uint32_t epoch;		  /* seconds */
	struct endpoint external; /* address and port clients outside use */
	uint32_t lifetime; /* seconds granted; MAP_NOT_YOURS by nonce: what the existing mapping has
			      left; MAP_PORT_TAKEN: what the one in the way has left, 0 = unknown */
};

/* Lifetime of what the admin configured (RFC 6887 11.3). */
#define MAPPING_LIFETIME_STATIC UINT32_MAX

/* What the admin publishes himself; each transport of it becomes a lease. */
struct forward {
	char name[FORWARD_NAME_SIZE];
	uint8_t transports;
	struct port_range external;
	struct endpoint target; /* of a range the first port, which is the external one */
	struct prefix remote;	/* only from there; length 0 = anybody */
	enum helper helper;
	char description[MAPPING_DESCRIPTION_MAX + 1];
	unsigned line; /* where its section begins in the config; 0: added at run time */
};

/* Would some packet belong to both?  (A port and a remote host in common.) */
bool forwards_overlap(const struct forward *, const struct forward *);
/*
 * Letters, digits, space, "-", "_", ".", and what is not ASCII; the first a letter, so that it is
 * not taken for an id.
 */
bool forward_name_is_good(const char *);
/* Fills in the target's port where it was left out (0).  NULL if the parts fit together, else what
 * is expected. */
const char *forward_complete(struct forward *);

/* The forms in which the config and the CLI say them.  False: not so, *out may be half written. */
bool port_range_parse(const char *text, struct port_range *);	/* "80", "8000-8010" */
bool forward_target_parse(const char *text, struct endpoint *); /* "192.168.1.10", with ":80" */
bool forward_remote_parse(const char *text, struct prefix *);	/* "198.51.100.0/24" */
bool forward_transports_parse(const char *text, uint8_t *);	/* "tcp", "udp", "both" */
bool helper_parse(const char *text, enum helper *);		/* "none", "ftp" */

/* So many are never given; no journal and no comment in the kernel says more. */
#define LEASE_ID_MAX (INT64_MAX / 2)

/* A lease as shown to the admin and as it will be stored. */
struct lease_record {
	uint64_t id; /* unique in a daemon's life, growing; never 0 */
	enum origin origin;
	enum transport transport;
	char lan[MAPPING_LAN_SIZE]; /* its client's; "": any, as of a static one's */
	uint8_t wan;		    /* number of the WAN; 0 until there are several */
	bool disabled;		    /* kept, but not forwarded (UPnP NewEnabled = 0) */
	bool outbound; /* the one mapping of its internal endpoint that outbound packets leave
			  through */
	bool reserves; /* the one mapping of its external port that keeps the port from other hosts'
			  flows */
	bool companion; /* reserves the same port of the other transport for its client */
	bool has_nonce;
	struct nonce nonce;
	uint16_t external_port;
	struct endpoint internal;
	uint16_t more_ports;   /* so many follow, outside and inside alike (a static range) */
	struct address remote; /* only from this host; unspecified = anybody */
	uint8_t remote_length; /* or from this prefix, as struct prefix has it; 0: one host */
	enum helper helper;
	unsigned line;	   /* of the config, ORIGIN_STATIC only; 0: added at run time */
	uint32_t lifetime; /* seconds granted last */
	monotime created;
	monotime ends;	      /* MONOTIME_NEVER: static */
	uint64_t connections; /* seen before the present kernel element was made; add the element's
				 own */
	const char *description; /* UTF-8, NULL = none; owned by the table, as are these: */
	const char *user_agent;	 /* printable ASCII, NULL = none */
	const char *name;	 /* of a forward, NULL = none */
};

/* The words for them in logs, the CLI and JSON ("nat-pmp", "udp", "port-taken").  Static strings.
 */
const char *origin_name(enum origin);
const char *transport_name(enum transport);
const char *map_result_name(enum map_result);
/* The reverse.  False: no such word, *out untouched. */
bool origin_find(const char *name, enum origin *out);
bool transport_find(const char *name, enum transport *out);

#endif
