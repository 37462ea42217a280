/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Netlink messages of nftables for our table: elements, and one mapping as elements.  Pure: bytes
 * into the caller's buffer and back; no socket, no allocation.
 */
#ifndef PORTLEASE_NFT_MESSAGE_H
#define PORTLEASE_NFT_MESSAGE_H

#include <linux/netlink.h>

#include "firewall.h"

#define NFT_TABLE	  "portlease"
#define NFT_TYPE(message) ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (message)))

enum {
	NFT_MESSAGE_MAX = 4096, /* no single message of ours is longer */
	NFT_CHANGE_MAX = 640,	/* nor all messages of one mapping */
};

/* Messages back to back.  It latches: after the first that did not fit nothing is added, and .full
 * says so. */
struct nft_batch {
	uint8_t *bytes;
	size_t size;
	size_t used;
	bool full;
};

/*
 * Starts a message of nftables (NFT_MSG_*) at the end of the batch, with room for NFT_MESSAGE_MAX;
 * NULL: full.  The sequence number comes back in the kernel's errors and echoes.
 */
struct nlmsghdr *nft_message_open(struct nft_batch *, uint16_t message, uint16_t flags,
				  uint32_t sequence);
void nft_message_close(struct nft_batch *, const struct nlmsghdr *);

struct nft_element {
	const void *key;     /* of no octets: all that no other element matches ("*") */
	const void *key_end; /* the last key of an interval in several fields; NULL = none */
	uint16_t key_size;
	uint16_t data_size;
	const void *data;    /* NULL = none */
	const char *go_to;   /* the chain, in a map of verdicts; NULL = none */
	bool interval_end;   /* the first key past an interval */
	uint64_t timeout;    /* milliseconds; 0 = never */
	const char *comment; /* NULL = none; cut and cleaned to what `nft` can read back */
};

struct nft_set_change {
	uint16_t message; /* NFT_MSG_NEWSETELEM, _DELSETELEM or _GETSETELEM */
	uint16_t flags;	  /* NLM_F_*, NLM_F_REQUEST is added */
	const char *set;
	uint32_t set_id; /* of an anonymous set made in the same transaction; 0 = none */
	uint32_t sequence;
};

/* One message for these elements; with none of them in a DELSETELEM: all that the set has. */
void nft_put_elements(struct nft_batch *, const struct nft_set_change *, const struct nft_element *,
		      size_t count);

/* One element of a mapping, with its octets; they are 0 where it has none. */
enum { NFT_KEY_SIZE = 12, NFT_DATA_SIZE = 8, NFT_PARTS_MAX = 4, NFT_COMMENT_SIZE = 128 };
struct nft_part {
	const char *set;
	uint8_t key[NFT_KEY_SIZE];
	uint8_t key_end[NFT_KEY_SIZE];
	uint8_t data[NFT_DATA_SIZE];
	uint16_t key_size;
	uint16_t data_size; /* 0: it is of a set, not of a map */
	bool interval;	    /* up to .key_end */
	uint64_t timeout;   /* milliseconds that are left; 0 = never */
	const char *comment;
};

/* What a mapping consists of; the element that leads inside is the first.  Returns how many. */
size_t nft_parts_of(const struct mapping *, struct nft_part[NFT_PARTS_MAX]);
/* The reverse, of one that leads inside: without .helper, .outbound and .reserves.  False: it is
 * none, or makes no sense. */
bool nft_mapping_of(const struct nft_part *, struct mapping *);
/* As an element of a message; points into *part. */
struct nft_element nft_element_of(const struct nft_part *, enum firewall_change);
/* A comment as the kernel gets it. */
void nft_clean_comment(const char *, char out[NFT_COMMENT_SIZE]);

/* The sets that parts of mappings are in; NULL past the last. */
const char *nft_mapping_set(size_t number);
/* Asks for all that one of them holds. */
void nft_ask_elements(struct nft_batch *, const char *set);

/* An element as a dump tells it: .timeout is what is left, .lifetime what it was given. */
typedef void nft_element_fn(void *arg, const struct nft_part *, uint64_t lifetime);
/* Each element in a message; its comment lives as long as the call. */
void nft_each_element(const struct nlmsghdr *, nft_element_fn *, void *arg);

/* The messages of one change; all bear the same sequence number.  A removal's echo holds the last
 * count. */
void nft_put_mapping(struct nft_batch *, enum firewall_change, const struct mapping *,
		     uint32_t sequence);

/* What names a mapping: its element in one of the maps that lead inside. */
struct nft_name {
	enum transport transport;
	uint16_t external_port;
	uint16_t more_ports;
	uint8_t remote_length;
	struct address remote; /* these as struct mapping has them */
};

struct nft_name nft_name_of(const struct mapping *);

/* Asks for one mapping's element. */
void nft_put_query(struct nft_batch *, const struct nft_name *, uint32_t sequence);

/* An element of these maps as the kernel tells it. */
struct nft_seen {
	struct nft_name name; /* without more_ports and remote_length; the rest is of one alone */
	uint64_t connections;
};

/* The first element in a NEWSETELEM or DELSETELEM message; false: there is none with such a key. */
bool nft_get_mapping(const struct nlmsghdr *, struct nft_seen *);

#endif
