/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel made of arrays: backend/firewall.h with the semantics that matter, and levers for tests.
 */
#ifndef PORTLEASE_FAKE_FIREWALL_H
#define PORTLEASE_FAKE_FIREWALL_H

#include "../../backend/firewall.h"

struct fake_mapping {
	bool there;
	struct endpoint internal;
	bool outbound;
	bool reserves;
	monotime expires; /* MONOTIME_NEVER = no time-out */
	uint64_t connections;
};

/* What the fake kernel's clock shows; elements past their time-out are gone. */
void fake_firewall_set_clock(struct firewall *, monotime now);
/* The kernel objects to the next additions. */
void fake_firewall_refuse_additions(struct firewall *, unsigned count, int error);
/* Whole commits fail, naming no culprit. */
void fake_firewall_fail_commits(struct firewall *, unsigned count, int error);
/* Somebody takes the table away: firewall_watch() will say so, and until then every commit is
 * -ESTALE. */
void fake_firewall_lose(struct firewall *);
/* The same once so many transactions have succeeded. */
void fake_firewall_lose_after(struct firewall *, unsigned transactions);
/* One element vanishes although the table stays. */
void fake_firewall_drop(struct firewall *, enum transport, uint16_t external_port);
/* Another program's, in the place of any. */
void fake_firewall_plant(struct firewall *, const struct mapping *);
/* The next firewall_close() leaves the kernel as it is to the next firewall_open(). */
void fake_firewall_outlive(struct firewall *);
/* What firewall_adopt() last did. */
const struct firewall_agreement *fake_firewall_agreement(const struct firewall *);
/* Calls of firewall_adopt(). */
unsigned fake_firewall_looks(const struct firewall *);
/* n more connections come in through the mapping. */
void fake_firewall_connect(struct firewall *, enum transport, uint16_t external_port, uint64_t n);

bool fake_firewall_has_table(const struct firewall *);
size_t fake_firewall_count(const struct firewall *); /* live mappings */
/* NULL: none there. */
const struct fake_mapping *fake_firewall_find(const struct firewall *, enum transport,
					      uint16_t external_port);
/* The same of a mapping for one remote host. */
const struct fake_mapping *fake_firewall_find_remote(const struct firewall *, enum transport,
						     uint16_t external_port,
						     const struct address *remote);
const struct firewall_network *fake_firewall_network(const struct firewall *);
unsigned
fake_firewall_commits(const struct firewall *); /* successful ones that changed something */

#endif
