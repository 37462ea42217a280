/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between the daemon and its CLI: one JSON object a line, to structs and back.  Pure.  A
 * lease as shown here has no nonce: who may read must not learn what lets a client change its
 * mapping.
 */
#ifndef PORTLEASE_CONTROL_MESSAGE_H
#define PORTLEASE_CONTROL_MESSAGE_H

#include "worker_link.h"

/* Largest lines with their newline: of a request, of a lease and a session in a reply, of any
 * reply. */
enum {
	CONTROL_REQUEST_MAX = 4096,
	CONTROL_LEASE_MAX = 2048,
	CONTROL_SESSION_MAX = 512,
	CONTROL_LINE_MAX = 131072
};
enum {
	CONTROL_INTERFACES = 65,
	CONTROL_ADDRESSES = 16,
	CONTROL_NAME_SIZE = 16,
	CONTROL_CHAINS = 16,
	CONTROL_CHAIN_SIZE = 136, /* "inet TABLE CHAIN" */
	CONTROL_WHY_SIZE = 1024,
	CONTROL_FAULT_SIZE = 160
};

enum control_command {
	CONTROL_STATUS,
	CONTROL_LIST,
	CONTROL_SHOW,
	CONTROL_REMOVE,
	CONTROL_ADD,
	CONTROL_VERSION,
	CONTROL_RELOAD,
	CONTROL_FLUSH,
	CONTROL_COMMANDS
};

/* Which leases; what is not set matches all. */
struct control_filter {
	bool has_client;
	struct prefix client; /* of the internal address */
	bool has_origin;
	enum origin origin;
	bool has_transport;
	enum transport transport;
};

/* Which lease: by id, or (id 0) by external port; all leases of a forward: by its name. */
struct control_target {
	char name[FORWARD_NAME_SIZE]; /* "" = one lease */
	uint64_t id;
	enum transport transport;
	uint16_t port;
};

struct control_request {
	enum control_command command;
	struct control_filter filter; /* LIST, FLUSH */
	bool sessions;		      /* LIST: those of each lease, too */
	struct control_target target; /* SHOW, REMOVE */
	struct forward forward;	      /* ADD; what the config would refuse is not refused yet */
};

/* How a reply ends. */
enum control_result {
	CONTROL_OK,
	CONTROL_NOT_PERMITTED,
	CONTROL_NOT_FOUND,
	CONTROL_BAD_REQUEST,
	CONTROL_FAILED,	  /* understood and allowed, but it did not work */
	CONTROL_BUSY,	  /* too many readers */
	CONTROL_CONFLICT, /* what the config has, or another forward, stands in the way */
	CONTROL_RESULTS
};

#define CONTROL_ENDLESS	 UINT64_MAX
#define CONTROL_NO_INDEX UINT32_MAX
#define CONTROL_UNKNOWN	 UINT64_MAX

struct control_lease {
	uint64_t id;
	enum origin origin;
	enum transport transport;
	struct endpoint external; /* address unspecified: none at the moment */
	struct endpoint internal;
	uint16_t more_ports;	      /* so many follow, outside and inside */
	char name[FORWARD_NAME_SIZE]; /* of a forward; "" = none */
	uint32_t lifetime;	      /* seconds granted last */
	uint64_t remaining;	      /* seconds, CONTROL_ENDLESS: never ends */
	uint64_t age;		      /* seconds since it was made */
	bool outbound;
	uint64_t connections;
	char description[MAPPING_DESCRIPTION_MAX + 1];
	bool enabled;
	struct address remote; /* only from this host; unspecified: from any */
	uint8_t remote_length; /* or from this prefix, as struct prefix has it; 0: one host */
	uint32_t upnp_index;   /* CONTROL_NO_INDEX: UPnP is off */
	char user_agent[MAPPING_AGENT_MAX + 1];
	uint64_t live; /* sessions now; CONTROL_UNKNOWN: the kernel would not say */
};

/* A live connection through a mapping. */
struct control_session {
	uint64_t lease; /* its id */
	bool outbound;	/* begun by the internal endpoint */
	enum transport transport;
	uint16_t external_port;
	struct endpoint remote;
	char state[CONTROL_NAME_SIZE]; /* as conntrack calls it: "established", "assured" */
	uint32_t timeout;	       /* seconds until it is forgotten if nothing more comes */
};

/* Datagrams of port 5351, as in struct udp_counters. */
struct control_udp {
	uint64_t received, foreign, limited, ignored, refused, unsent;
};

enum control_worker_state {
	CONTROL_WORKER_NONE, /* nor wanted */
	CONTROL_WORKER_STARTING,
	CONTROL_WORKER_READY,
	CONTROL_WORKER_RESPAWNING,
	CONTROL_WORKER_MISSING, /* there can be none: the log says why */
	CONTROL_WORKER_STATES
};

struct control_worker {
	enum control_worker_state state;
	uint32_t pid; /* 0: no process */
	uint64_t starts, calls, batches, largest_batch;
	struct link_stats stats; /* of the present process */
};

struct control_interface {
	char name[CONTROL_NAME_SIZE];
	unsigned index; /* 0: does not exist now */
	bool up;
	bool served; /* a LAN: requests are answered there; the WAN: it has an address to tell */
	size_t addresses;
	struct prefix address[CONTROL_ADDRESSES]; /* own, with the on-link prefix's length of 128 */
	/* Of a LAN: */
	struct control_udp udp;
	struct control_worker worker;
};

/* A chain of another's that gets our line. */
struct control_chain {
	char name[CONTROL_CHAIN_SIZE];
	bool exists;
	bool has_line; /* false in one that exists: the kernel refused it */
};

struct control_counters {
	uint64_t requests[ORIGINS];
	uint64_t results[MAP_RESULTS];
	uint64_t granted, renewed, deleted, expired, removed, gone, idle;
	uint64_t batches, largest_batch;
	uint64_t kernel_transactions, kernel_aborts, kernel_refusals, journal_refusals,
	    table_restores, address_changes, flow_passes, flows_ended;
};

struct control_status {
	char version[32];
	uint32_t pid;
	uint64_t uptime; /* seconds */
	uint32_t epoch;
	struct address external; /* what clients are told; unspecified: none */
	bool nat_pmp;
	bool pcp;
	bool upnp;
	bool forwarding; /* net.ipv4.ip_forward; no: no LAN is served */
	uint64_t leases[ORIGINS];
	bool table_intact;
	char journal_fault[CONTROL_FAULT_SIZE]; /* why it does not work; "": it does */
	bool journal_refuses;			/* and so what is asked for is refused */
	uint64_t rules;
	struct control_counters counters;
	size_t interfaces; /* the WAN, then the LANs */
	struct control_interface interface[CONTROL_INTERFACES];
	size_t chains;
	struct control_chain chain[CONTROL_CHAINS];
};

/* What a flush has come to so far. */
struct control_flushed {
	uint64_t removed;
	uint64_t failed; /* they are still there */
};

/* One line of a reply: any number of LEASE, each with its SESSIONs after it, STATUS, VERSION or
 * FLUSHED lines, then one RESULT. */
enum control_line {
	CONTROL_LINE_RESULT,
	CONTROL_LINE_LEASE,
	CONTROL_LINE_SESSION,
	CONTROL_LINE_STATUS,
	CONTROL_LINE_VERSION,
	CONTROL_LINE_FLUSHED,
	CONTROL_LINES
};

struct control_reply {
	enum control_line line;
	union {
		struct {
			enum control_result result;
			char message[CONTROL_WHY_SIZE]; /* "" if OK */
		};
		struct control_lease lease;
		struct control_session session;
		struct control_status status;
		char version[32];
		struct control_flushed flushed;
	};
};

/* Encoders write a line with its newline (and a NUL after it), and return its length; 0: it does
 * not fit, or no memory. */
size_t control_request_encode(const struct control_request *, char *out, size_t size);
size_t control_reply_encode(const struct control_reply *, char *out, size_t size);
/* Decoders take a line without its newline.  False: *why says what is wrong with it. */
bool control_request_decode(const char *line, size_t length, struct control_request *, char *why,
			    size_t why_size);
bool control_reply_decode(const char *line, size_t length, struct control_reply *, char *why,
			  size_t why_size);

/* "12", "tcp:8080", "udp:53", or the name of a forward. */
bool control_target_parse(const char *text, struct control_target *);

/* "NAME", "TRANSPORT:PORT[-PORT]" and "ADDRESS[:PORT]" into *out, whose other parts stay as they
 * are.  NULL, or what is expected. */
const char *control_forward_parse(const char *const word[3], struct forward *out);

/* One lease, session, or the status, as --json shows it: one object without a newline. */
size_t control_lease_json(const struct control_lease *, char *out, size_t size);
size_t control_session_json(const struct control_session *, char *out, size_t size);
size_t control_status_json(const struct control_status *, char *out, size_t size);

/* "not-found", "respawning". */
const char *control_result_name(enum control_result);
const char *control_worker_state_name(enum control_worker_state);

#endif
