/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the table consists of: its sets, chains and rules, as rows of data, and the messages that
 * make and change them. conf/ruleset.nft shows the same table as text.  Pure: bytes into the
 * caller's buffer.
 */
#ifndef PORTLEASE_NFT_LAYOUT_H
#define PORTLEASE_NFT_LAYOUT_H

#include "firewall.h"
#include "nft_message.h"

enum {
	NFT_RULES_MAX = 64,	      /* the layout has no more rules */
	NFT_NETWORK_SETS = 3,	      /* sets that say what network it is */
	NFT_LAYOUT_SIZE = 64 * 1024,  /* nor are its messages longer, whatever the network */
	NFT_SEQUENCE_TABLE = 1 << 16, /* sequence numbers of the messages below */
	NFT_SEQUENCE_RULE = NFT_SEQUENCE_TABLE + 1, /* + number of the rule */
};

/* The whole table, in place of any old one.  The table's and the rules' messages are echoed by the
 * kernel. */
void nft_layout_create(struct nft_batch *, const struct firewall_options *,
		       const struct firewall_network *);
/* Chains, rules and network of a table of this layout, as nft_layout_create() makes them; its
 * mappings stay. */
void nft_layout_adopt(struct nft_batch *, const struct firewall_options *,
		      const struct firewall_network *);
void nft_layout_destroy(struct nft_batch *);

/* The table's comment: which sets and chains it is made of. */
enum { NFT_LAYOUT_NAME_SIZE = 32 };
void nft_layout_name(char out[NFT_LAYOUT_NAME_SIZE]);
/* Is this it, as the table's user data? */
bool nft_layout_is_named(const void *userdata, size_t size);
/* Transactions that change nothing, and fail where the kernel has no helper for FTP, or no resets.
 */
void nft_layout_probe_ftp(struct nft_batch *);
void nft_layout_probe_resets(struct nft_batch *);

/* What differs between two networks; nothing if nothing does.  other_options: the table was made
 * for others. */
void nft_layout_change(struct nft_batch *, const struct firewall_options *,
		       const struct firewall_network *from, const struct firewall_network *to,
		       bool other_options);

/* Ask for the table, and for all its rules. */
void nft_layout_ask_table(struct nft_batch *);
void nft_layout_ask_rules(struct nft_batch *);

/* Asks for the members of one of the sets that say what network it is, and says how many it has. */
size_t nft_layout_ask_members(struct nft_batch *, size_t number, const struct firewall_network *);

/* Is there a rule of this number (from 0 up to NFT_RULES_MAX) in the table of this network? */
bool nft_layout_has_rule(size_t number, const struct firewall_options *,
			 const struct firewall_network *);

#endif
