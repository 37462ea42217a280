/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core counts, for `portlease status` and, later, metrics.  Plain data. */
#ifndef PORTLEASE_COUNTERS_H
#define PORTLEASE_COUNTERS_H

#include "../../protocols/mapping.h"

struct counters {
	uint64_t requests[ORIGINS];    /* by protocol, before any check of the core */
	uint64_t results[MAP_RESULTS]; /* answers by result */
	uint64_t granted;	       /* new leases */
	uint64_t renewed;
	uint64_t deleted; /* by their clients */
	uint64_t expired;
	uint64_t removed; /* by the admin */
	uint64_t gone;	  /* ended because their host was */
	uint64_t idle;	  /* because nothing went through them */
	uint64_t batches; /* requests that were decided together, and committed at once */
	uint64_t largest_batch;
	uint64_t kernel_transactions;
	uint64_t kernel_aborts;	   /* transactions that could not be carried out */
	uint64_t kernel_refusals;  /* single mappings the kernel would not hold */
	uint64_t journal_refusals; /* changes taken back because the journal did not take them */
	uint64_t table_restores;   /* after somebody else took our table away */
	uint64_t address_changes;
	uint64_t flow_passes; /* readings of all the kernel's flows, to end some */
	uint64_t flows_ended;
};

#endif
