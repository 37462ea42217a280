/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the core and the worker of one LAN tell each other: a packet of a SOCK_SEQPACKET pair is one
 * message of a fixed layout.  Neither trusts the other for more than bytes.  Pure.
 *
 * The core begins with SETUP, LAN and STATE; the worker then says READY.  A CALL is answered by one
 * ANSWER or ENTRIES with its ticket, in any order; of one that changed the table, before the STATE
 * that tells of it.  Whoever gets what does not decode closes the link.  The core stops reading
 * while the worker does not, so a worker must read even while it cannot write.
 */
#ifndef PORTLEASE_WORKER_LINK_H
#define PORTLEASE_WORKER_LINK_H

#include "igd_mapping.h"

/* The worker's end of the pair. */
enum { LINK_FD = 3 };

enum link_side { LINK_CORE, LINK_WORKER };

enum link_type {
	/* of the core */
	LINK_SETUP,   /* first and once */
	LINK_LAN,     /* before any other; again when it changes */
	LINK_STATE,   /* likewise */
	LINK_ANSWER,  /* to a CALL */
	LINK_ENTRIES, /* to a GetListOfPortMappings that found something */
	/* of the worker */
	LINK_READY, /* it serves its LAN; no body */
	LINK_CALL,
	LINK_STATS, /* at most once a second, when they changed */
	LINK_TYPES
};

enum {
	LINK_NAME_SIZE = 64,   /* of a device's texts, with NUL */
	LINK_NUMBER_SIZE = 32, /* of its model */
	LINK_URL_SIZE = 256,
	LINK_UDN_SIZE = 42, /* "uuid:" and 36 octets */
	LINK_VERSION_SIZE = 32,
	LINK_INTERFACE_SIZE = 16,
	LINK_ADDRESSES = 32,
	LINK_PAGE = 64, /* entries of one ENTRIES */
	LINK_AGENT_SIZE = MAPPING_AGENT_MAX + 1,
};

/* Texts end with a NUL; "": nothing is to be said. */
struct link_setup {
	bool view_1, view_2; /* at least one */
	bool strict_ssdp;
	uint16_t http_port;
	uint32_t config_id;		   /* 24 bits; the same as long as the descriptions are */
	uint32_t ssdp_interval;		   /* seconds */
	uint32_t http_requests_per_second; /* per client; 0 = no limit */
	uint32_t http_connections_per_client;
	uint32_t http_connections;			    /* in all */
	uint32_t http_request_timeout, http_answer_timeout; /* seconds */
	uint32_t event_subscriptions_per_client;
	uint32_t event_subscriptions;		 /* in all */
	uint32_t ssdp_searches_per_second;	 /* per client; 0 = no limit */
	uint32_t ssdp_searches_per_second_total; /* in all; 0 = no limit */
	uint8_t log_level;			 /* of log.h */
	bool log_to_syslog;			 /* else to standard error */
	char friendly_name[LINK_NAME_SIZE];
	char model_name[LINK_NUMBER_SIZE];
	char model_number[LINK_NUMBER_SIZE];
	char serial_number[LINK_NAME_SIZE];
	char presentation_url[LINK_URL_SIZE];
	char udn[IGD_DEVICES][LINK_UDN_SIZE]; /* "uuid:…" */
	char version[LINK_VERSION_SIZE];      /* of portlease */
};

struct link_lan {
	char interface[LINK_INTERFACE_SIZE];
	uint32_t index; /* 0: does not exist now */
	bool up;
	uint32_t boot_id; /* of what is announced from here on; a larger one: announce anew */
	uint8_t addresses;
	struct {
		struct address address; /* our own, of either family */
		struct prefix prefix;	/* on-link; IPv4's as of 128 */
	} address[LINK_ADDRESSES];
};

/* What answers and events tell of the WAN and the table. */
struct link_state {
	struct address external; /* unspecified: not known */
	bool connected;
	monotime connected_since; /* on CLOCK_BOOTTIME */
	bool link_up;
	uint64_t upstream, downstream; /* bit/s; 0: not known */
	uint32_t entries;
	uint32_t system_update_id;
};

/* One that link_is_for_core().  A list comes in pages: the same call with the cursor of the last
 * page asks for the next. */
struct link_call {
	uint32_t ticket; /* the worker's; not that of a call still unanswered */
	struct address client;
	uint64_t cursor;		  /* 0: from the start */
	char user_agent[LINK_AGENT_SIZE]; /* printable ASCII, cut; "": none */
	struct igd_call call;
};

struct link_answer {
	uint32_t ticket;
	enum igd_error error;	/* a code of UPnP's or IGD_OK; the rest is zero but for IGD_OK */
	struct igd_entry entry; /* as in struct igd_values */
	uint64_t bytes_sent, bytes_received, packets_sent, packets_received;
};

/* A page may be empty and yet not the last. */
struct link_entries {
	uint32_t ticket;
	uint64_t cursor; /* for the next page; 0: this is the last */
	uint8_t count;
	struct igd_entry entry[LINK_PAGE];
};

enum link_stat {
	LINK_HTTP_CONNECTIONS, /* open now */
	LINK_HTTP_ACCEPTED,    /* connections since the start, as all that follow */
	LINK_HTTP_SURPLUS,     /* connections closed at once */
	LINK_HTTP_REQUESTS,
	LINK_HTTP_LIMITED,	 /* requests over the client's rate */
	LINK_HTTP_REFUSED,	 /* requests refused before any action was looked at */
	LINK_SSDP_SEARCHES,	 /* datagrams */
	LINK_SSDP_REPLIED,	 /* searches that were answered */
	LINK_SSDP_LIMITED,	 /* searches that matched, and were not */
	LINK_GENA_SUBSCRIPTIONS, /* now */
	LINK_GENA_DELIVERED,
	LINK_GENA_FAILED,
	LINK_COUNTS
};

struct link_stats {
	uint64_t count[LINK_COUNTS];
};

struct link_message {
	enum link_type type;
	union {
		struct link_setup setup;
		struct link_lan lan;
		struct link_state state;
		struct link_answer answer;
		struct link_entries entries;
		struct link_call call;
		struct link_stats stats;
	};
};

/* Room for any message. */
enum { LINK_MESSAGE_MAX = 16384 };

/* The length; 0: does not fit, or cannot be.  Leaves the message as it was. */
size_t link_encode(struct link_message *, void *out, size_t size);

/*
 * False: not a message of that sender, not of its exact length, or something in it cannot be.  What
 * it lets through of a call is what igd_decode() could have made.
 */
bool link_decode(enum link_side sender, const void *bytes, size_t size, struct link_message *out);

const char *link_type_name(enum link_type); /* "setup" */

/* What reads or changes the table, reads the counters or would change the connection.  All else the
 * worker answers from STATE. */
bool link_is_for_core(enum igd_action);

#endif
