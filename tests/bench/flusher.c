/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another program in the gateway: counts the kernel's mappings, or flushes the ruleset and tells
 * how long the mappings were away.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

enum { BUFFER = 64 * 1024, PAUSE_MICROSECONDS = 100 };

#define TABLE	"portlease"
#define MAP	"fwd4"
#define TIMEOUT 2.0

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct mnl_socket *
open_netlink(void)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);

	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		err(2, "netlink");
	return s;
}

static struct nlmsghdr *
put_message(void *buffer, uint16_t type, uint8_t family, uint16_t flags)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(m, sizeof(*g));

	m->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	m->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	g->nfgen_family = family;
	return m;
}

/* --- questions ---------------------------------------------------------------------------------
 */

static int
take_handle(const struct nlattr *attribute, void *argument)
{
	if (mnl_attr_get_type(attribute) == NFTA_TABLE_HANDLE)
		*(uint64_t *)argument = be64toh(mnl_attr_get_u64(attribute));
	return MNL_CB_OK;
}

static int
take_table(const struct nlmsghdr *m, void *argument)
{
	return mnl_attr_parse(m, sizeof(struct nfgenmsg), take_handle, argument);
}

static int
take_elements(const struct nlmsghdr *m, void *argument)
{
	const struct nlattr *attribute, *element;

	mnl_attr_for_each(attribute, m, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attribute) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(element, attribute)++ *(uint64_t *)argument;
	}
	return MNL_CB_OK;
}

/* False: the kernel has no such thing. */
static bool
ask(struct mnl_socket *s, const struct nlmsghdr *question, mnl_cb_t take, uint64_t *argument)
{
	static char buffer[BUFFER];
	ssize_t size;
	int more;

	if (mnl_socket_sendto(s, question, question->nlmsg_len) < 0)
		err(2, "netlink");
	do {
		size = mnl_socket_recvfrom(s, buffer, sizeof(buffer));
		if (size < 0)
			err(2, "netlink");
		more =
		    mnl_cb_run(buffer, (size_t)size, 0, mnl_socket_get_portid(s), take, argument);
	} while (more > 0);
	if (more < 0 && errno != ENOENT)
		err(1, "nftables");
	return more == 0;
}

static uint64_t
table_handle(struct mnl_socket *s)
{
	char buffer[256];
	struct nlmsghdr *m = put_message(buffer, NFT_MSG_GETTABLE, NFPROTO_INET, NLM_F_ACK);
	uint64_t handle = 0;

	mnl_attr_put_strz(m, NFTA_TABLE_NAME, TABLE);
	ask(s, m, take_table, &handle);
	return handle;
}

static uint64_t
count_mappings(struct mnl_socket *s)
{
	char buffer[256];
	struct nlmsghdr *m = put_message(buffer, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP);
	uint64_t count = 0;

	mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_TABLE, TABLE);
	mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_SET, MAP);
	ask(s, m, take_elements, &count);
	return count;
}

/* --- flushes -----------------------------------------------------------------------------------
 */

/* What `nft flush ruleset` sends; done when this returns. */
static void
flush(struct mnl_socket *s)
{
	char buffer[256];
	struct nlmsghdr *begin = nftnl_batch_begin(buffer, 0), *all, *end;

	all = put_message(buffer + begin->nlmsg_len, NFT_MSG_DELTABLE, NFPROTO_UNSPEC, 0);
	end = nftnl_batch_end((char *)all + all->nlmsg_len, 0);
	if (mnl_socket_sendto(s, buffer, (size_t)((char *)end + end->nlmsg_len - buffer)) < 0)
		err(2, "netlink");
}

static void
run(char **program)
{
	extern char **environ;
	pid_t pid;

	errno = posix_spawnp(&pid, program[0], NULL, NULL, program, environ);
	if (errno)
		err(2, "%s", program[0]);
}

/* Until there is another table with as many mappings as before. */
static void
wait_for_mappings(struct mnl_socket *s, uint64_t old, uint64_t count)
{
	double end = now() + TIMEOUT;

	for (;;) {
		uint64_t handle = table_handle(s);

		if (handle && handle != old && count_mappings(s) == count)
			return;
		if (now() > end)
			errx(1, "the mappings do not come back");
		usleep(PAUSE_MICROSECONDS);
	}
}

/* Milliseconds from just before the flush, or before its program was started. */
static double
flush_once(struct mnl_socket *s, char **program)
{
	uint64_t count = count_mappings(s), handle = table_handle(s);
	double begin = now(), took;

	if (!handle || !count)
		errx(1, "there are no mappings");
	if (*program)
		run(program);
	else
		flush(s);
	wait_for_mappings(s, handle, count);
	took = now() - begin;
	if (*program)
		wait(NULL);
	return took * 1e3;
}

int
main(int argc, char **argv)
{
	struct mnl_socket *s = open_netlink();

	if (argc == 2 && strcmp(argv[1], "count") == 0)
		printf("%llu\n", (unsigned long long)count_mappings(s));
	else if (argc >= 2 && strcmp(argv[1], "flush") == 0)
		printf("%.3f\n", flush_once(s, argv + 2));
	else
		errx(2, "usage: flusher count | flush [PROGRAM ARGUMENT...]");
	return 0;
}
