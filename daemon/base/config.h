/* SPDX-License-Identifier: GPL-2.0-or-later */
/* portlease.conf(5) as plain data.  Reads and checks the file; calls nobody (but
 * asks which interfaces there are, to say what a missing LAN could be). */
#ifndef PORTLEASE_CONFIG_H
#define PORTLEASE_CONFIG_H

#include <stdio.h>

#include "log.h"
#include "../../protocols/mapping.h"

enum { CONFIG_INTERFACE_SIZE = 16 };

struct config_lan {
	char interface[CONFIG_INTERFACE_SIZE];
};

struct config_wan {
	char interface[CONFIG_INTERFACE_SIZE];
	bool automatic; /* "auto": whichever the IPv4 default route uses */
	bool has_external_address;
	struct address external_address; /* told to clients instead of the interface's own */
	bool source_nat;
	bool refuse_private; /* private-wan = refuse */
};

enum { CONFIG_CHAIN_SIZE = 64, CONFIG_CHAINS = 16, CONFIG_LANS = 64 };

/* One `foreign-chain` section: a chain of somebody else's that gets our line. */
struct config_chain {
	bool inet; /* family; else ip */
	char table[CONFIG_CHAIN_SIZE];
	char chain[CONFIG_CHAIN_SIZE];
};

enum { CONFIG_TCP = 1, CONFIG_UDP = 2 }; /* sets of transports */

/* One `rule` section; what it does not name is open in it, but that it allows mappings to the host
 * that asks alone if it names no internal_client. */
struct policy_rule {
	char
	    lan[CONFIG_INTERFACE_SIZE]; /* it stands in the section of; "": of none, it is common */
	bool allow;
	bool has_client;
	bool has_internal_client;
	struct prefix client;
	struct prefix internal_client;
	uint8_t transports; /* CONFIG_TCP | CONFIG_UDP */
	struct port_range external;
	struct port_range internal;
	char *description; /* fnmatch(3) pattern; NULL = any */
	unsigned line;	   /* where the section begins */
};

enum config_igd { CONFIG_IGD_AUTO, CONFIG_IGD_1, CONFIG_IGD_2 };
enum { CONFIG_UUID_SIZE = 37 };

/* The texts are NULL where nothing is to be said. */
struct config_upnp {
	bool on;
	char *worker_user;
	enum config_igd igd_version;
	uint32_t http_port;
	char *friendly_name; /* never NULL, as model_name */
	char *model_name;
	char *model_number;
	char *serial_number;
	char uuid[CONFIG_UUID_SIZE]; /* lower case; "": the one kept in the state directory */
	char *presentation_url;
	uint32_t ssdp_interval; /* seconds */
	bool strict_ssdp;
	uint32_t ssdp_searches_per_second;	 /* per client; 0 = no limit */
	uint32_t ssdp_searches_per_second_total; /* of one LAN; 0 = no limit */
	uint32_t http_requests_per_second;	 /* per client; 0 = no limit */
	uint32_t http_connections_per_client;
	uint32_t http_connections;			    /* of one LAN */
	uint32_t http_request_timeout, http_answer_timeout; /* seconds */
	uint32_t event_subscriptions_per_client;
	uint32_t event_subscriptions; /* of one LAN */
	bool read_others_mappings;
};

/* What an answered request survives: loss of power, the same but for the last seconds, or the end
 * of the process. */
enum config_sync { CONFIG_SYNC_FULL, CONFIG_SYNC_NORMAL, CONFIG_SYNC_OFF };

enum { CONFIG_KEYS_MAX = 64 };

struct config {
	struct config_lan *lan;
	size_t lans;
	struct config_wan wan;
	struct policy_rule *rule; /* the common ones last */
	size_t rules;
	struct forward *forward;
	size_t forwards;
	struct config_chain *foreign_chain;
	size_t foreign_chains;
	char *state_directory;
	enum config_sync journal_sync;
	bool journal_refuses; /* what does not get there, instead of serving it */
	bool keep_on_exit;    /* mappings stay in the kernel when the daemon ends */
	char *control_socket;
	bool control_readable; /* control-access = all: everybody may read, not only root and group
				  portlease */
	char *user;
	enum log_level log_level;
	enum log_target log_target;
	bool nat_pmp;
	bool pcp;
	uint32_t min_lifetime; /* seconds, PCP only */
	uint32_t max_lifetime; /* seconds, PCP and NAT-PMP */
	struct port_range random_ports;
	uint32_t max_mappings_per_client;
	uint32_t requests_per_second;  /* NAT-PMP and PCP, per client; 0 = no limit */
	bool end_flows_on_expiry;      /* flows of leases that nobody renewed, too */
	uint32_t host_gone_timeout;    /* seconds; 0 = hosts are not looked after */
	uint32_t idle_mapping_timeout; /* seconds; 0 = mappings may be idle */
	struct config_upnp upnp;
	char *text;			/* of the file without its comments: reads as the same */
	unsigned line[CONFIG_KEYS_MAX]; /* of each key's value, as config_keys(); 0: it has none, or
					   is a section's */
};

/*
 * Reads a file.  NULL: what is wrong is in error, as "FILE:LINE: what was found, what was
 * expected", the line being that of the value.  The caller frees the result.
 */
struct config *config_read(const char *path, char *error, size_t error_size);
/* Likewise what fd holds, which is closed; path is what it is called. */
struct config *config_read_fd(int fd, const char *path, char *error, size_t error_size);
/*
 * May a running daemon go over to the other one?  False: a key whose value cannot change is in
 * error, as above.
 */
bool config_may_become(const struct config *, const struct config *, const char *path, char *error,
		       size_t error_size);
void config_free(struct config *); /* NULL is allowed */

/*
 * Where each LAN of the new one is in the old one, by its interface; CONFIG_NEW_LAN: it is not
 * there.  To be freed; NULL: out of memory.
 */
#define CONFIG_NEW_LAN SIZE_MAX
size_t *config_lan_origins(const struct config *old, const struct config *new);

/* The canonical form: every key that says something, which reads as the same. */
void config_print(const struct config *, FILE *);

/*
 * Every key there is, as "section key" pairs ("" = top level) in the order of the man page, ended
 * by NULL; the manual's list is tested against it.
 */
struct config_key {
	const char *section;
	const char *key;
};
const struct config_key *config_keys(void);

#endif
