/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * firewall.h over netlink: sends transactions, sorts the kernel's replies, watches for others'
 * commits.  Knows nothing of what the table consists of (nft_layout.c) nor how a message looks
 * (nft_message.c).
 */
#include "firewall.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "nft_difference.h"
#include "nft_layout.h"
#include "nft_message.h"

enum {
	STAGED_MAX = 2 * FIREWALL_CHUNK, /* a renewal is two changes */
	STAGED_SIZE = STAGED_MAX * NFT_CHANGE_MAX + NFT_MESSAGE_MAX,
	REPLY_SIZE = 32 * 1024,		/* the kernel's dumps come in pieces of at most this */
	SEND_BUFFER = 32 * 1024 * 1024, /* a transaction is one message to it */
	RECEIVE_BUFFER = 1024 * 1024,
	WATCH_BURST = 256,  /* commits looked at in one turn */
	LOOK_ATTEMPTS = 8,  /* a dump that somebody's commit interrupts is begun again */
	ADOPT_ATTEMPTS = 3, /* what ends meanwhile fails a transaction */
	SEQUENCE_BATCH = 0, /* from 1 on: numbers of staged changes; then NFT_SEQUENCE_TABLE */
};

struct staged {
	struct firewall_outcome *outcome;
	enum firewall_change change;
	struct nft_name name;
};

struct firewall {
	struct firewall_options options;
	bool other_options;		 /* than those that the table was made for */
	struct firewall_network network; /* as the table has it */
	bool created;			 /* there should be a table */
	bool lost;			 /* and it was reported that it is not there */
	uint64_t table;			 /* handles: numbers that are never given again */
	uint64_t rules[NFT_RULES_MAX];

	int socket;
	int watch;
	uint32_t port; /* the command socket's address, by which our own commits are known */

	size_t staged_count;
	int stage_error;
	struct staged staged[STAGED_MAX];
	struct nft_batch changes; /* their messages */

	/* Pages that are never touched cost nothing. */
	uint8_t change_bytes[STAGED_SIZE];
	uint8_t layout_bytes[NFT_LAYOUT_SIZE];
	uint8_t reply[REPLY_SIZE];
};

/* Sockets */

static int
netlink_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Past the system's limit if we may (not in a user namespace). */
static void
set_buffer(int fd, int force, int plain, int size)
{
	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, plain, &size, sizeof(size));
}

static int
open_command(struct firewall *f)
{
	struct sockaddr_nl address;
	socklen_t size = sizeof(address);
	int on = 1;

	f->socket = netlink_open();
	if (f->socket < 0 || getsockname(f->socket, (struct sockaddr *)&address, &size) < 0)
		return -1;
	f->port = address.nl_pid;
	set_buffer(f->socket, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);
	set_buffer(f->socket, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
	/* Errors without a copy of what they are about. */
	setsockopt(f->socket, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	/*
	 * Of replies that overflow the buffer the first are kept, and those tell enough: a
	 * transaction answers either with errors or with echoes.
	 */
	setsockopt(f->socket, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on));
	return 0;
}

/*
 * One message for each commit that is not ours: the commits' other messages, one for each element,
 * do not pass the filter.  It is there before the socket joins the group.
 */
static int
open_watch(struct firewall *f)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(NFT_TYPE(NFT_MSG_NEWGEN)), 0, 3),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(f->port), 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	    BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = {.len = sizeof(code) / sizeof(*code), .filter = code};
	int group = NFNLGRP_NFTABLES;

	f->watch = netlink_open();
	if (f->watch < 0 ||
	    setsockopt(f->watch, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
	    setsockopt(f->watch, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -1;
	return 0;
}

/* Replies: all are in the socket's queue when the send returns. */

typedef void reply_fn(struct firewall *, const struct nlmsghdr *, void *);

static void
read_replies(struct firewall *f, reply_fn *take, void *argument)
{
	ssize_t size;

	while ((size = recv(f->socket, f->reply, sizeof(f->reply), MSG_DONTWAIT)) > 0) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)f->reply;
		int left = (int)size;

		for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
			take(f, m, argument);
	}
}

/* An attribute of a message of nftables; NULL: not there, or shorter than size. */
static const struct nlattr *
attribute_of(const struct nlmsghdr *m, uint16_t type, size_t size)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, m, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attribute) == type)
			return mnl_attr_get_payload_len(attribute) >= size ? attribute : NULL;
	}
	return NULL;
}

static uint64_t
handle_of(const struct nlmsghdr *m, uint16_t type)
{
	const struct nlattr *attribute = attribute_of(m, type, sizeof(uint64_t));

	return attribute ? be64toh(mnl_attr_get_u64(attribute)) : 0;
}

/* 0 = an acknowledgement. */
static int
error_of(const struct nlmsghdr *m)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(m);

	return m->nlmsg_len < mnl_nlmsg_size(sizeof(*e)) ? EPROTO : -e->error;
}

/* Is our table there as we made it? */

/* A table of ours, as the kernel tells it. */
struct table {
	uint64_t handle; /* 0: there is none */
	bool works;
	bool fits; /* and is of our layout */
};

static void
take_table(struct firewall *f, const struct nlmsghdr *m, void *argument)
{
	struct table *table = argument;
	const struct nlattr *flags, *userdata;

	(void)f;
	if (m->nlmsg_type != NFT_TYPE(NFT_MSG_NEWTABLE))
		return;
	flags = attribute_of(m, NFTA_TABLE_FLAGS, sizeof(uint32_t));
	userdata = attribute_of(m, NFTA_TABLE_USERDATA, 1);
	table->handle = handle_of(m, NFTA_TABLE_HANDLE);
	table->works = !(flags && ntohl(mnl_attr_get_u32(flags)) & NFT_TABLE_F_DORMANT);
	table->fits =
	    table->works && userdata &&
	    nft_layout_is_named(mnl_attr_get_payload(userdata), mnl_attr_get_payload_len(userdata));
}

struct seen {
	bool rule[NFT_RULES_MAX];
	size_t foreign; /* rules that we did not make */
	size_t members;
	bool interrupted;
};

static void
take_rule(struct firewall *f, const struct nlmsghdr *m, void *argument)
{
	struct seen *seen = argument;
	bool ours = false;
	uint64_t handle;

	if (m->nlmsg_flags & NLM_F_DUMP_INTR)
		seen->interrupted = true;
	if (m->nlmsg_type != NFT_TYPE(NFT_MSG_NEWRULE))
		return;
	handle = handle_of(m, NFTA_RULE_HANDLE);
	for (size_t i = 0; i < NFT_RULES_MAX; i++) {
		if (f->rules[i] == handle)
			ours = seen->rule[i] = true;
	}
	seen->foreign += !ours;
}

static void
take_members(struct firewall *f, const struct nlmsghdr *m, void *argument)
{
	struct seen *seen = argument;
	const struct nlattr *list, *member;

	(void)f;
	if (m->nlmsg_flags & NLM_F_DUMP_INTR)
		seen->interrupted = true;
	list = m->nlmsg_type == NFT_TYPE(NFT_MSG_NEWSETELEM)
		   ? attribute_of(m, NFTA_SET_ELEM_LIST_ELEMENTS, 0)
		   : NULL;
	if (!list)
		return;
	mnl_attr_for_each_nested(member, list)
	{
		seen->members++;
	}
}

static bool
ask(struct firewall *f, const struct nft_batch *question, reply_fn *take, void *argument)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (question->full || sendto(f->socket, question->bytes, question->used, 0,
				     (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return false;
	read_replies(f, take, argument);
	return true;
}

static struct nft_batch
layout_batch(struct firewall *f)
{
	return (struct nft_batch){.bytes = f->layout_bytes, .size = sizeof(f->layout_bytes)};
}

static struct table
find_table(struct firewall *f)
{
	struct nft_batch question = layout_batch(f);
	struct table table = {0};

	nft_layout_ask_table(&question);
	ask(f, &question, take_table, &table);
	return table;
}

static bool
table_is_ours(struct firewall *f)
{
	const struct table table = find_table(f);

	return table.works && table.handle == f->table;
}

static bool
look(struct firewall *f, const struct nft_batch *question, reply_fn *take, struct seen *seen)
{
	int attempts = LOOK_ATTEMPTS;

	do {
		memset(seen, 0, sizeof(*seen));
		if (!ask(f, question, take, seen))
			return false;
	} while (seen->interrupted && --attempts);
	return true;
}

/*
 * A chain cannot be taken without its rules, nor a set that a rule uses, and every set of ours is
 * used.  Somebody may add rules of his own; but when all are there twice, a dump was loaded onto
 * the table, and mappings that had ended came with it.  A rule that is replaced in place keeps its
 * number: that is not seen.
 */
static bool
rules_are_ours(struct firewall *f)
{
	struct nft_batch question = layout_batch(f);
	struct seen seen;
	size_t own = 0;

	nft_layout_ask_rules(&question);
	if (!look(f, &question, take_rule, &seen))
		return false;
	for (size_t i = 0; i < NFT_RULES_MAX; i++) {
		if (!nft_layout_has_rule(i, &f->options, &f->network))
			continue;
		if (!seen.rule[i])
			return false;
		own++;
	}
	return seen.foreign < own;
}

/* Without them no mapping works, and no change of a mapping would tell. */
static bool
network_is_ours(struct firewall *f)
{
	for (size_t i = 0; i < NFT_NETWORK_SETS; i++) {
		struct nft_batch question = layout_batch(f);
		size_t members = nft_layout_ask_members(&question, i, &f->network);
		struct seen seen;

		if (!look(f, &question, take_members, &seen) || seen.members < members)
			return false;
	}
	return true;
}

static bool
table_is_intact(struct firewall *f)
{
	return f->created && table_is_ours(f) && rules_are_ours(f) && network_is_ours(f);
}

/* Transactions */

struct sorted {
	int error;	/* the first */
	bool outside;	/* it was not about a staged change */
	size_t refused; /* staged changes */
	size_t echoed;	/* where in the stage the next echo belongs */
	uint64_t table;
	uint64_t rules[NFT_RULES_MAX];
};

/* NULL: no change bears this number. */
static struct firewall_outcome *
outcome_of(struct firewall *f, uint32_t sequence)
{
	return sequence >= 1 && sequence <= f->staged_count ? f->staged[sequence - 1].outcome
							    : NULL;
}

static bool
same_name(const struct nft_name *a, const struct nft_name *b)
{
	return a->transport == b->transport && a->external_port == b->external_port &&
	       address_equal(&a->remote, &b->remote);
}

/*
 * The echo of an element does not bear its message's sequence number (Linux 6.18 says 0), so the
 * key tells.  Echoes come in the order staged: each is found where the last one was, or soon after.
 */
static void
take_count(struct firewall *f, const struct nlmsghdr *m, struct sorted *sorted)
{
	struct nft_seen seen;

	if (!nft_get_mapping(m, &seen))
		return;
	for (size_t i = 0; i < f->staged_count; i++) {
		const struct staged *s = &f->staged[(sorted->echoed + i) % f->staged_count];

		if (s->change == FIREWALL_REMOVE && same_name(&s->name, &seen.name)) {
			s->outcome->connections = seen.connections;
			sorted->echoed += i + 1;
			return;
		}
	}
}

static void
take_error(struct firewall *f, const struct nlmsghdr *m, struct sorted *sorted)
{
	struct firewall_outcome *outcome = outcome_of(f, m->nlmsg_seq);
	int error = error_of(m);

	if (!error)
		return;
	if (!sorted->error)
		sorted->error = error;
	if (!outcome)
		sorted->outside = true;
	else if (!outcome->error) {
		outcome->error = error;
		sorted->refused++;
	}
}

static void
take_reply(struct firewall *f, const struct nlmsghdr *m, void *argument)
{
	struct sorted *sorted = argument;
	uint32_t rule;

	switch (m->nlmsg_type) {
	case NLMSG_ERROR:
		take_error(f, m, sorted);
		break;
	case NFT_TYPE(NFT_MSG_NEWTABLE):
		sorted->table = handle_of(m, NFTA_TABLE_HANDLE);
		break;
	case NFT_TYPE(NFT_MSG_NEWRULE):
		rule = m->nlmsg_seq - NFT_SEQUENCE_RULE;
		if (rule < NFT_RULES_MAX)
			sorted->rules[rule] = handle_of(m, NFTA_RULE_HANDLE);
		break;
	case NFT_TYPE(NFT_MSG_DELSETELEM):
		take_count(f, m, sorted);
		break;
	}
}

/* These messages and what is staged, as one: committed, or not, when the send returns. */
static int
send_transaction(struct firewall *f, const struct nft_batch *layout)
{
	_Alignas(struct nlmsghdr) char begin[64], end[64];
	struct nlmsghdr *first = nftnl_batch_begin(begin, SEQUENCE_BATCH);
	struct nlmsghdr *last = nftnl_batch_end(end, SEQUENCE_BATCH);
	struct iovec parts[] = {
	    {begin, first->nlmsg_len},
	    {layout->bytes, layout->used},
	    {f->changes.bytes, f->changes.used},
	    {end, last->nlmsg_len},
	};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct msghdr message = {.msg_name = &kernel,
				 .msg_namelen = sizeof(kernel),
				 .msg_iov = parts,
				 .msg_iovlen = sizeof(parts) / sizeof(*parts)};

	if (layout->full || f->changes.full)
		return ENOMEM;
	return sendmsg(f->socket, &message, 0) < 0 ? errno : 0;
}

static void
keep_handles(struct firewall *f, const struct sorted *sorted)
{
	if (sorted->table)
		f->table = sorted->table;
	for (size_t i = 0; i < NFT_RULES_MAX; i++) {
		if (sorted->rules[i])
			f->rules[i] = sorted->rules[i];
	}
}

static int
describe(struct firewall *f, const struct sorted *sorted, struct fault *fault)
{
	if (sorted->outside)
		return fault_set(fault, sorted->error, "nftables refused the table " NFT_TABLE);
	return fault_set(fault, sorted->error, "nftables refused %zu of %zu changes",
			 sorted->refused, f->staged_count);
}

static void
forget_stage(struct firewall *f)
{
	f->staged_count = 0;
	f->stage_error = 0;
	f->changes.used = 0;
	f->changes.full = false;
}

/* Empties the stage, whatever becomes of it. */
static int
transact(struct firewall *f, const struct nft_batch *layout, struct fault *fault)
{
	struct sorted sorted = {0};
	int error = f->stage_error ? f->stage_error : send_transaction(f, layout);
	int result = 0;

	if (error) {
		result = fault_set(fault, error, "cannot send a transaction to nftables");
	} else {
		read_replies(f, take_reply, &sorted);
		if (sorted.error)
			result = describe(f, &sorted, fault);
		else
			keep_handles(f, &sorted);
	}
	forget_stage(f);
	return result;
}

/* For a transaction that needs the table: is its absence why the kernel found something missing? */
static int
tell_stale(struct firewall *f, int result, struct fault *fault)
{
	if (result != -ENOENT || table_is_intact(f))
		return result;
	return fault_set(fault, ESTALE, "table " NFT_TABLE " is gone");
}

/* The table in the kernel is as this network has it. */
static void
is_ours(struct firewall *f, const struct firewall_network *network)
{
	f->network = *network;
	f->created = true;
	f->lost = f->other_options = false;
}

int
firewall_create(struct firewall *f, const struct firewall_network *network, struct fault *fault)
{
	struct nft_batch layout = layout_batch(f);
	int result;

	nft_layout_create(&layout, &f->options, network);
	result = transact(f, &layout, fault);
	if (!result)
		is_ours(f, network);
	return result;
}

/* Adoption */

struct dump {
	nft_element_fn *take;
	void *arg;
	bool interrupted;
};

static void
take_dumped(struct firewall *f, const struct nlmsghdr *m, void *argument)
{
	struct dump *dump = argument;

	(void)f;
	if (m->nlmsg_flags & NLM_F_DUMP_INTR)
		dump->interrupted = true;
	if (m->nlmsg_type == NFT_TYPE(NFT_MSG_NEWSETELEM))
		nft_each_element(m, dump->take, dump->arg);
}

/* All that a set of mappings holds.  False: somebody's commit came between. */
static bool
dump(struct firewall *f, const char *set, nft_element_fn *take, void *arg)
{
	struct nft_batch question = layout_batch(f);
	struct dump to = {take, arg, false};

	nft_ask_elements(&question, set);
	return ask(f, &question, take_dumped, &to) && !to.interrupted;
}

static void
take_held(void *arg, const struct nft_part *part, uint64_t lifetime)
{
	(void)lifetime;
	nft_difference_holds(arg, part);
}

static bool
read_held(struct firewall *f, struct nft_difference *difference)
{
	const char *set;

	for (int attempt = 0; attempt < LOOK_ATTEMPTS; attempt++) {
		bool whole = true;

		nft_difference_forget_held(difference);
		for (size_t i = 0; whole && (set = nft_mapping_set(i)); i++)
			whole = dump(f, set, take_held, difference);
		if (whole)
			return true;
	}
	return false;
}

static void
read_wanted(const struct firewall_wanted *wanted, struct nft_difference *difference)
{
	struct mapping mapping;

	for (uint64_t cursor = 0; wanted->next(wanted->arg, &cursor, &mapping);)
		nft_difference_wants(difference, &mapping);
}

/* What of the table beside the mappings is not as it shall be. */
static void
put_frame(struct firewall *f, const struct table *table, const struct firewall_network *network,
	  struct nft_batch *batch)
{
	if (table->handle == f->table && table_is_intact(f))
		nft_layout_change(batch, &f->options, &f->network, network, f->other_options);
	else if (table->fits)
		nft_layout_adopt(batch, &f->options, network);
	else
		nft_layout_create(batch, &f->options, network);
}

static int
send_difference(struct firewall *f, const struct table *table,
		const struct firewall_network *network, const struct nft_difference *difference,
		struct fault *fault)
{
	struct nft_batch all = {.size = NFT_LAYOUT_SIZE + nft_difference_size(difference)};
	int result;

	all.bytes = malloc(all.size);
	if (!all.bytes)
		return fault_set(fault, ENOMEM, "cannot make the table " NFT_TABLE " agree");
	put_frame(f, table, network, &all);
	nft_difference_put(difference, &all, NFT_SEQUENCE_TABLE);
	result = all.used || all.full ? transact(f, &all, fault) : 0;
	if (!result && table->fits)
		f->table = table->handle; /* else the transaction told it */
	free(all.bytes);
	return result;
}

static int
adopt(struct firewall *f, const struct firewall_network *network,
      const struct firewall_wanted *wanted, struct firewall_agreement *found, struct fault *fault)
{
	const struct table table = find_table(f);
	struct nft_difference *difference;
	int result;

	if (!table.handle)
		return fault_set(fault, ENOENT, "there is no table " NFT_TABLE);
	difference = nft_difference_new();
	if (!difference)
		return fault_set(fault, ENOMEM, "cannot read the table " NFT_TABLE);
	read_wanted(wanted, difference);
	if (table.fits && !read_held(f, difference))
		result = fault_set(fault, EBUSY, "the table " NFT_TABLE " keeps changing");
	else if (!nft_difference_find(difference, wanted->early, found))
		result = fault_set(fault, ENOMEM, "cannot read the table " NFT_TABLE);
	else
		result = send_difference(f, &table, network, difference, fault);
	nft_difference_free(difference);
	return result;
}

int
firewall_adopt(struct firewall *f, const struct firewall_network *network,
	       const struct firewall_wanted *wanted, struct firewall_agreement *found,
	       struct fault *fault)
{
	int result = -ENOENT;

	for (int i = 0; i < ADOPT_ATTEMPTS; i++) {
		result = adopt(f, network, wanted, found, fault);
		if (result != -ENOENT || !find_table(f).handle)
			break;
	}
	if (!result)
		is_ours(f, network);
	return result;
}

struct loading {
	firewall_held_fn *take;
	void *arg;
	uint64_t ftp[65536 / 64]; /* external ports */
};

static void
take_loaded(void *arg, const struct nft_part *part, uint64_t lifetime)
{
	struct loading *to = arg;
	struct mapping mapping;
	uint16_t port;

	if (strcmp(part->set, "ftp4") == 0) {
		port = (uint16_t)(part->key[0] << 8 | part->key[1]);
		to->ftp[port / 64] |= UINT64_C(1) << port % 64;
	} else if (nft_mapping_of(part, &mapping)) {
		port = mapping.external_port;
		if (mapping.transport == TRANSPORT_TCP && !mapping.more_ports &&
		    to->ftp[port / 64] >> port % 64 & 1)
			mapping.helper = HELPER_FTP;
		to->take(to->arg, &mapping, lifetime);
	}
}

static bool
load(struct firewall *f, struct loading *to)
{
	const char *set;
	bool whole = true;

	for (size_t i = 0; whole && (set = nft_mapping_set(i)); i++)
		whole = dump(f, set, take_loaded, to);
	return whole;
}

int
firewall_load(struct firewall *f, firewall_held_fn *take, void *arg, struct fault *fault)
{
	struct loading to = {take, arg, {0}};

	if (!find_table(f).fits)
		return fault_set(fault, ENOENT, "there is no table " NFT_TABLE " of this layout");
	for (int i = 0; i < LOOK_ATTEMPTS; i++)
		if (load(f, &to))
			return 0;
	return fault_set(fault, EBUSY, "the table " NFT_TABLE " keeps changing");
}

int
firewall_destroy(struct firewall *f, struct fault *fault)
{
	struct nft_batch layout = layout_batch(f);
	int result;

	forget_stage(f);
	nft_layout_destroy(&layout);
	result = transact(f, &layout, fault);
	if (!result)
		f->created = false;
	return result;
}

int
firewall_set_network(struct firewall *f, const struct firewall_network *network,
		     struct fault *fault)
{
	struct nft_batch layout = layout_batch(f);
	int result;

	if (!f->created)
		return fault_set(fault, ESTALE, "there is no table " NFT_TABLE);
	nft_layout_change(&layout, &f->options, &f->network, network, f->other_options);
	if (!layout.used && !layout.full)
		return 0;
	result = tell_stale(f, transact(f, &layout, fault), fault);
	if (!result) {
		f->network = *network;
		f->other_options = false;
	}
	return result;
}

void
firewall_set_source_nat(struct firewall *f, bool source_nat)
{
	f->other_options |= f->options.source_nat != source_nat;
	f->options.source_nat = source_nat;
}

void
firewall_stage(struct firewall *f, enum firewall_change change, const struct mapping *mapping,
	       struct firewall_outcome *outcome)
{
	*outcome = (struct firewall_outcome){0};
	if (f->staged_count == STAGED_MAX) {
		outcome->error = f->stage_error = ENOBUFS;
		return;
	}
	f->staged[f->staged_count++] =
	    (struct staged){.outcome = outcome, .change = change, .name = nft_name_of(mapping)};
	nft_put_mapping(&f->changes, change, mapping, (uint32_t)f->staged_count);
}

int
firewall_commit(struct firewall *f, struct fault *fault)
{
	struct nft_batch nothing = {0};

	if (!f->staged_count)
		return 0;
	return tell_stale(f, transact(f, &nothing, fault), fault);
}

static void
take_element(struct firewall *f, const struct nlmsghdr *m, void *argument)
{
	(void)f;
	if (m->nlmsg_type == NFT_TYPE(NFT_MSG_NEWSETELEM))
		nft_get_mapping(m, argument);
}

uint64_t
firewall_connections(struct firewall *f, const struct mapping *mapping)
{
	const struct nft_name name = nft_name_of(mapping);
	struct nft_batch question = layout_batch(f);
	struct nft_seen seen = {0};

	nft_put_query(&question, &name, SEQUENCE_BATCH);
	ask(f, &question, take_element, &seen);
	return seen.connections;
}

/* Opening and closing */

static bool
can(struct firewall *f, void (*put_probe)(struct nft_batch *))
{
	struct nft_batch layout = layout_batch(f);

	put_probe(&layout);
	return transact(f, &layout, NULL) == 0;
}

int
firewall_open(struct firewall **out, const struct firewall_options *options, struct fault *fault)
{
	struct firewall *f = calloc(1, sizeof(*f));
	int error;

	if (!f)
		return fault_set(fault, ENOMEM, "cannot open nftables");
	f->options = *options;
	f->socket = f->watch = -1;
	f->changes = (struct nft_batch){.bytes = f->change_bytes, .size = sizeof(f->change_bytes)};
	if (open_command(f) < 0 || open_watch(f) < 0) {
		error = errno;
		firewall_close(f);
		return fault_set(fault, error, "cannot open nftables' netlink sockets");
	}
	f->options.ftp = options->ftp && can(f, nft_layout_probe_ftp);
	f->options.resets = options->resets && can(f, nft_layout_probe_resets);
	*out = f;
	return 0;
}

void
firewall_close(struct firewall *f)
{
	if (!f)
		return;
	if (f->socket >= 0)
		close(f->socket);
	if (f->watch >= 0)
		close(f->watch);
	free(f);
}

bool
firewall_tracks_ftp(const struct firewall *f)
{
	return f->options.ftp;
}

bool
firewall_resets(const struct firewall *f)
{
	return f->options.resets;
}

/* Watch */

int
firewall_watch_fd(const struct firewall *f)
{
	return f->watch;
}

/* "name[pid]" of who committed. */
static void
name_committer(const struct nlmsghdr *m, char *by, size_t size)
{
	const struct nlattr *name = attribute_of(m, NFTA_GEN_PROC_NAME, 1);
	const struct nlattr *pid = attribute_of(m, NFTA_GEN_PROC_PID, sizeof(uint32_t));

	if (name && pid)
		snprintf(by, size, "%.*s[%u]", (int)mnl_attr_get_payload_len(name),
			 mnl_attr_get_str(name), ntohl(mnl_attr_get_u32(pid)));
}

/* Did another than us commit?  The first of them is named: what follows a flush is mostly its cure.
 */
static bool
read_watch(struct firewall *f, char *by, size_t size)
{
	const struct nlmsghdr *m = (const struct nlmsghdr *)f->reply;
	bool foreign = false;

	for (int i = 0; i < WATCH_BURST; i++) {
		ssize_t got = recv(f->watch, f->reply, sizeof(f->reply), MSG_DONTWAIT);

		if (got < 0 && errno == ENOBUFS) {
			foreign = true; /* some are missing: whose, nobody knows */
			continue;
		}
		if (got <= 0)
			break;
		if (!mnl_nlmsg_ok(m, (int)got))
			continue;
		if (by && !foreign)
			name_committer(m, by, size);
		foreign = true;
	}
	return foreign;
}

enum firewall_state
firewall_watch(struct firewall *f, char *by, size_t by_size)
{
	if (by && by_size)
		snprintf(by, by_size, "another program");
	else
		by = NULL;
	if (!read_watch(f, by, by_size) || !f->created || f->lost || table_is_intact(f))
		return FIREWALL_INTACT;
	f->lost = true;
	return FIREWALL_LOST;
}
