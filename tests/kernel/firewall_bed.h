/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the firewall share: an open one, a network, mappings, `nft` as the judge. */
#ifndef PORTLEASE_TESTS_FIREWALL_BED_H
#define PORTLEASE_TESTS_FIREWALL_BED_H

#include "../../backend/firewall.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct firewall_options masquerading = {
    .source_nat = true, .ftp = true, .resets = true};
static const struct firewall_options routing = {.source_nat = false, .resets = true};

static inline struct address
ipv4(const char *text)
{
	struct address a;

	assert_true(address_parse(text, &a));
	return a;
}

static inline struct prefix
ipv4_prefix(const char *text)
{
	struct prefix p;

	assert_true(prefix_parse(text, &p));
	return p;
}

static inline struct firewall_network
network(void)
{
	struct firewall_network n = {.wan = "wan0", .wan_addresses = 1, .lan_prefixes = 1};

	n.wan_address[0] = ipv4("203.0.113.1");
	n.lan_prefix[0] = ipv4_prefix("192.168.1.0/24");
	return n;
}

/* TCP, to port 80 and up of 192.168.1.10, for an hour. */
static inline struct mapping
mapping(uint16_t external_port)
{
	return (struct mapping){
	    .transport = TRANSPORT_TCP,
	    .external_port = external_port,
	    .internal = {ipv4("192.168.1.10"), external_port},
	    .outbound = true,
	    .reserves = true,
	    .timeout = 3600 * 1000,
	};
}

/* The one under test, and what it said. */
static struct firewall *f;
static struct fault fault;

static inline void
open_firewall(const struct firewall_options *options)
{
	if (firewall_open(&f, options, &fault) != 0)
		fail_msg("%s", fault.text);
}

static inline void
create_table(const struct firewall_network *n)
{
	if (firewall_create(f, n, &fault) != 0)
		fail_msg("%s", fault.text);
}

static inline void
open_table(const struct firewall_options *options)
{
	struct firewall_network n = network();

	open_firewall(options);
	create_table(&n);
}

static inline int
close_firewall(void **state)
{
	(void)state;
	firewall_close(f);
	f = NULL;
	return 0;
}

/* Wherever the test was started: nothing of it reaches the host's own network. */
static inline void
leave_network(void)
{
	if (unshare(CLONE_NEWNET) < 0) {
		perror("a network namespace of its own");
		exit(1);
	}
}

/* Runs a shell command; returns what it printed, until the next call.  It may fail only if status
 * is asked for. */
static inline const char *
shell_status(int *status, const char *format, ...)
{
	static char output[1 << 20];
	char command[4096];
	va_list arguments;
	size_t used;
	FILE *in;
	int result;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	in = popen(command, "r");
	assert_non_null(in);
	used = fread(output, 1, sizeof(output) - 1, in);
	output[used] = '\0';
	result = pclose(in);
	if (status)
		*status = result;
	else if (result != 0)
		fail_msg("%s: %s", command, output);
	return output;
}

#define shell(...)   shell_status(NULL, __VA_ARGS__)
#define nft(command) shell("nft %s 2>&1", command)

/* A copy of all that `nft` lists, without what changes by itself; to be freed. */
static inline char *
ruleset(void)
{
	return strdup(shell("nft list ruleset | sed -E 's/ expires [0-9a-z]+//'"));
}

/* It is as it was; the copy is freed. */
static inline void
assert_ruleset(char *before)
{
	char *after = ruleset();

	assert_string_equal(before, after);
	free(before);
	free(after);
}

static inline bool
lists(const char *set, const char *text)
{
	return strstr(shell("nft list set inet portlease %s 2>/dev/null || "
			    "nft list map inet portlease %s",
			    set, set),
		      text);
}

static inline double
milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static inline void
pause_for(unsigned ms)
{
	nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

#endif
