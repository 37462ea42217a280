/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An engine with a journal on a disk of the test's, that ends and starts again. */
#ifndef PORTLEASE_TESTS_JOURNAL_BED_H
#define PORTLEASE_TESTS_JOURNAL_BED_H

#include "engine_bed.h"

#include "disk.h"

#define HOUR  (3600 * MONOTIME_SECOND)
#define YEAR  (365 * 24 * HOUR)
#define BOOT  "0b00d000-1111-4222-8333-444455556666"
#define OTHER "0b00d000-7777-4888-8999-aaaabbbbcccc"
#define START INT64_C(1780000000000)

static struct journal_options options;
static int64_t wall;

static inline int64_t
bed_wall(void)
{
	return wall;
}

static inline void
start(void)
{
	options.store = lease_store_new(disk.folder, LEASE_STORE_FULL);
	bed.journal = &options;
	assert_int_equal(bed_set_up_bare(NULL), 0);
}

static inline void
close_all(void)
{
	bed_tear_down(NULL);
	lease_store_free(options.store);
}

/* The process and the disk's cache go; what is in the kernel and on the disk stays. */
static inline void
stop(void)
{
	fake_firewall_outlive(bed.firewall);
	close_all();
}

static inline int
set_up(void **state)
{
	struct fault fault;

	if (disk_set_up(state) < 0)
		return -1;
	strcpy(options.boot, BOOT);
	options.wall = bed_wall;
	wall = START;
	start();
	return engine_restore(bed.engine, bed.now, &fault) == 0 ? set_wan("203.0.113.5") : -1;
}

static inline int
tear_down(void **state)
{
	close_all();
	return disk_tear_down(state);
}

/* The next start, at that time of the same boot; what is to be set before the network comes after
 * it. */
static inline void
restart_bare(monotime now)
{
	struct fault fault;

	stop();
	start();
	bed.now = now;
	fake_firewall_set_clock(bed.firewall, now);
	if (engine_restore(bed.engine, now, &fault) < 0)
		fail_msg("%s", fault.text);
}

static inline void
restart(void)
{
	restart_bare(bed.now);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	check_agreement();
}

static inline void
reboot(monotime up, int64_t later)
{
	strcpy(options.boot, strcmp(options.boot, BOOT) == 0 ? OTHER : BOOT);
	wall += later;
	fake_firewall_lose(bed.firewall);
	restart_bare(up);
	assert_int_equal(set_wan("203.0.113.5"), 0);
	check_agreement();
}

static inline size_t
count(void)
{
	return lease_table_count(engine_leases(bed.engine));
}

static inline int64_t
left_at(uint16_t external)
{
	const struct lease *lease = lease_at(UDP, external);

	return lease ? lease->record.ends - bed.now : -1;
}

#endif
