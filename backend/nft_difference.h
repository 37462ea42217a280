/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The elements that the table holds beside those that it shall hold, and the messages that make the
 * one the other without touching what is right.  Pure: bytes into the caller's buffer, no socket.
 */
#ifndef PORTLEASE_NFT_DIFFERENCE_H
#define PORTLEASE_NFT_DIFFERENCE_H

#include "nft_message.h"

struct nft_difference;

struct nft_difference *nft_difference_new(void);   /* NULL: out of memory */
void nft_difference_free(struct nft_difference *); /* NULL is allowed */

/* Copied.  When memory runs out nft_difference_find() says so. */
void nft_difference_holds(struct nft_difference *, const struct nft_part *);
void nft_difference_wants(struct nft_difference *, const struct mapping *);

/* Forgets what is held: it is to be told anew. */
void nft_difference_forget_held(struct nft_difference *);

/*
 * An element is right if its key, data and comment are, and if it ends neither more than
 * FIREWALL_TIMEOUT_LATE after the time-out that is wanted, nor more than `early` before it.
 * False: out of memory.
 */
bool nft_difference_find(struct nft_difference *, uint64_t early, struct firewall_agreement *);

/* How large the messages may be, and the messages: what is wrong or not wanted goes first. */
size_t nft_difference_size(const struct nft_difference *);
void nft_difference_put(const struct nft_difference *, struct nft_batch *, uint32_t sequence);

#endif
