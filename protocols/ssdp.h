/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SSDP (UPnP Device Architecture 1.1, 1): searches to replies, and the set that is announced.
 * Owns no socket, timer or clock.  Nothing of what a client wrote is ever echoed.
 */
#ifndef PORTLEASE_SSDP_H
#define PORTLEASE_SSDP_H

#include "datagram.h"
#include "text.h"

enum {
	SSDP_PORT = 1900,
	SSDP_DEVICES = 3, /* root, WANDevice, WANConnectionDevice */
	SSDP_TYPES_MAX = 16,
	SSDP_SEARCH_MAX = 2048,	 /* octets; a larger datagram is not a search */
	SSDP_MESSAGE_MAX = 1024, /* room for any message with texts of sane length */
	SSDP_DELAY_MAX = 100,	 /* ms before a reply to a multicast search */
};

/* The device is shown as IGD:1 and as IGD:2, under the same UDNs. */
enum ssdp_view { SSDP_VIEW_1, SSDP_VIEW_2, SSDP_VIEWS };

enum { SSDP_ENTRIES_MAX = 1 + SSDP_DEVICES + SSDP_VIEWS * SSDP_TYPES_MAX };

/* A device or service type. */
struct ssdp_type {
	const char *name;	     /* "WANIPConnection" */
	bool service;		     /* else of a device */
	uint8_t device;		     /* number of the UDN it is announced under */
	uint8_t version[SSDP_VIEWS]; /* 0: not in that view */
};

struct ssdp_device {
	const char *udn[SSDP_DEVICES]; /* "uuid:…" */
	const struct ssdp_type *types; /* each name once */
	unsigned type_count;	       /* <= SSDP_TYPES_MAX */
	bool serves[SSDP_VIEWS]; /* at least one; both: what both have in the same version is the
				    first view's */
	const char *server;	 /* "OS/version UPnP/1.1 product/version" */
	uint32_t boot_id;	 /* 31 bits */
	uint32_t config_id;	 /* 24 bits */
	uint32_t max_age;	 /* seconds */
};

/* What one message is about: an NT or ST, and its USN. */
struct ssdp_entry {
	const char *udn;
	const char *prefix;  /* "urn:schemas-upnp-org:service:" */
	const char *name;    /* NULL: the device of this UDN itself, and no prefix */
	uint8_t version;     /* 0: none is written (upnp:rootdevice) */
	enum ssdp_view view; /* whose LOCATION it has */
};

/* The whole set in the order in which it is announced; returns how many. */
unsigned ssdp_entries(const struct ssdp_device *, struct ssdp_entry out[SSDP_ENTRIES_MAX]);

struct ssdp_search {
	struct endpoint from;
	bool multicast;
	struct text target; /* the ST; in the datagram's octets */
};

enum ssdp_how {
	SSDP_MULTICAST = 1, /* the datagram was sent to a group */
	SSDP_STRICT = 2, /* MAN in quotes, MX if multicast, CRLF and the empty line are required */
};

/* False: not a search, or one that must not be answered. */
bool ssdp_decode(const struct datagram *, unsigned how, struct ssdp_search *out);

/* What to reply, one message each, in the order of the set; returns how many. */
unsigned ssdp_match(const struct ssdp_device *, const struct ssdp_search *,
		    struct ssdp_entry out[SSDP_ENTRIES_MAX]);

/* Milliseconds to wait before a reply; random is uniform over all values. */
monotime ssdp_delay(const struct ssdp_search *, uint32_t random);

enum ssdp_group { SSDP_IPV4, SSDP_IPV6_LINK, SSDP_IPV6_SITE, SSDP_GROUPS };

/* One of our addresses, and the group it speaks to (a reply: any of that family). */
struct ssdp_sender {
	enum ssdp_group group;
	const char *location[SSDP_VIEWS]; /* of the descriptions, with a literal of that family */
};

enum ssdp_kind { SSDP_REPLY, SSDP_ALIVE, SSDP_BYEBYE, SSDP_UPDATE };

struct ssdp_message {
	enum ssdp_kind kind;
	const struct ssdp_device *device;
	const struct ssdp_sender *sender;
	uint32_t next_boot_id; /* of SSDP_UPDATE; the device still has the old one */
};

/* Returns the length, without a NUL; 0: does not fit. */
size_t ssdp_encode(const struct ssdp_message *, const struct ssdp_entry *, void *out, size_t size);

enum { SSDP_SOURCES = 64, SSDP_RECENT = 64 };

/* When a bucket of tokens will be full again; at or before now: it is full. */
struct ssdp_bucket {
	struct address source;
	int64_t full; /* microseconds */
};

struct ssdp_recent {
	struct endpoint from;
	bool multicast;
	uint32_t target; /* a hash */
	monotime until;
};

/* Which searches not to answer although they match.  The members are ssdp.c's matter. */
struct ssdp_limit {
	int64_t cost, cost_in_all; /* microseconds of a token; 0: no limit */
	struct ssdp_bucket source[SSDP_SOURCES];
	struct ssdp_bucket in_all;
	struct ssdp_recent recent[SSDP_RECENT];
	unsigned oldest;
};

/* Searches a second of one source and of all, twice as many at once; 0: no limit. */
void ssdp_limit_init(struct ssdp_limit *, uint32_t per_source, uint32_t in_all);

/*
 * For a search that matches.  True: answer it.  False: it is the same one, sent again before the
 * reply to the first has left, or one too many.
 */
bool ssdp_admit(struct ssdp_limit *, const struct ssdp_search *, monotime now);

#endif
