/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "foreign_chains.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>

#include "flows.h"
#include "nft_message.h"

/* By what the line is known again, also in a dump that was saved and loaded. */
#define TAG "portlease: what it opened"

enum {
	REPLY_SIZE = 32 * 1024, /* the kernel's dumps come in pieces of at most this */
	REQUEST_SIZE = 2 * NFT_MESSAGE_MAX,
	LINES_MAX = 16,	  /* of ours in one chain that are taken out in one turn */
	LOOK_ATTEMPTS = 8 /* a dump that somebody's commit interrupts is begun again */
};

struct foreign_chains {
	int socket;
	uint8_t request[REQUEST_SIZE];
	uint8_t reply[REPLY_SIZE];
};

/* What the replies to one request held. */
struct heard {
	int error; /* the first */
	bool chain;
	bool interrupted;
	size_t lines; /* of ours */
	uint64_t handle[LINES_MAX];
};

int
foreign_chains_open(struct foreign_chains **out, struct fault *fault)
{
	struct foreign_chains *f = calloc(1, sizeof(*f));
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int error;

	if (!f)
		return fault_set(fault, ENOMEM, "cannot open nftables");
	f->socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	if (f->socket < 0 || bind(f->socket, (struct sockaddr *)&address, sizeof(address)) < 0) {
		error = errno;
		foreign_chains_close(f);
		return fault_set(fault, error, "cannot open a netlink socket of nftables");
	}
	*out = f;
	return 0;
}

void
foreign_chains_close(struct foreign_chains *f)
{
	if (!f)
		return;
	if (f->socket >= 0)
		close(f->socket);
	free(f);
}

/* The line */

/* iptables' own names of chains begin so; in its table it shows nothing if one rule has a form that
 * it does not know. */
static bool
is_of_iptables(const struct foreign_chain *chain)
{
	return !chain->inet && strcmp(chain->table, "filter") == 0 &&
	       isupper((unsigned char)chain->chain[0]);
}

/* NULL: no memory. */
static struct nftnl_expr *
add(struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (e)
		nftnl_rule_add_expr(rule, e);
	return e;
}

/* These bits of what conntrack knows by the key are set. */
static bool
add_bits(struct nftnl_rule *rule, uint32_t key, uint32_t bits)
{
	struct nftnl_expr *load = add(rule, "ct"), *mask = add(rule, "bitwise"),
			  *compare = add(rule, "cmp");
	const uint32_t none = 0;
	/* As `nft` writes them: one bit of a status is asked for by !=, of a mark by ==. */
	bool is_status = key == NFT_CT_STATUS;

	if (!load || !mask || !compare)
		return false;
	nftnl_expr_set_u32(load, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(load, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_LEN, sizeof(bits));
	nftnl_expr_set(mask, NFTNL_EXPR_BITWISE_MASK, &bits, sizeof(bits));
	nftnl_expr_set(mask, NFTNL_EXPR_BITWISE_XOR, &none, sizeof(none));
	nftnl_expr_set_u32(compare, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(compare, NFTNL_EXPR_CMP_OP, is_status ? NFT_CMP_NEQ : NFT_CMP_EQ);
	nftnl_expr_set(compare, NFTNL_EXPR_CMP_DATA, is_status ? &none : &bits, sizeof(bits));
	return true;
}

static bool
add_native(struct nftnl_rule *rule)
{
	return add_bits(rule, NFT_CT_STATUS, IPS_DST_NAT) &&
	       add_bits(rule, NFT_CT_MARK, FLOWS_MARK_OURS);
}

/* The kernel and iptables want its size rounded up to that of a pointer. */
static bool
add_match(struct nftnl_rule *rule, const char *name, uint32_t revision, const void *info,
	  uint32_t size)
{
	struct nftnl_expr *e = add(rule, "match");
	uint32_t rounded = (size + 7) & ~7u;
	void *copy = e ? calloc(1, rounded) : NULL;

	if (!copy)
		return false;
	memcpy(copy, info, size);
	nftnl_expr_set_str(e, NFTNL_EXPR_MT_NAME, name);
	nftnl_expr_set_u32(e, NFTNL_EXPR_MT_REV, revision);
	nftnl_expr_set(e, NFTNL_EXPR_MT_INFO, copy, rounded); /* its own now */
	return true;
}

static bool
add_iptables(struct nftnl_rule *rule)
{
	const struct xt_conntrack_mtinfo3 state = {.match_flags = XT_CONNTRACK_STATE,
						   .state_mask = XT_CONNTRACK_STATE_DNAT};
	const struct xt_connmark_mtinfo1 mark = {.mark = FLOWS_MARK_OURS, .mask = FLOWS_MARK_OURS};
	const struct xt_comment_info comment = {TAG};

	return add_match(rule, "conntrack", 3, &state, sizeof(state)) &&
	       add_match(rule, "connmark", 1, &mark, sizeof(mark)) &&
	       add_match(rule, "comment", 0, &comment, sizeof(comment)) && add(rule, "counter");
}

static bool
add_tag(struct nftnl_rule *rule)
{
	struct nftnl_udata_buf *data = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!data)
		return false;
	nftnl_udata_put_strz(data, NFTNL_UDATA_RULE_COMMENT, TAG);
	nftnl_rule_set_data(rule, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(data),
			    nftnl_udata_buf_len(data));
	nftnl_udata_buf_free(data);
	return true;
}

/* NULL: no memory. */
static struct nftnl_rule *
rule_in(const struct foreign_chain *chain)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();

	if (!rule)
		return NULL;
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, chain->inet ? NFPROTO_INET : NFPROTO_IPV4);
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, chain->table);
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain->chain);
	return rule;
}

static struct nftnl_rule *
make_line(const struct foreign_chain *chain)
{
	struct nftnl_rule *rule = rule_in(chain);
	struct nftnl_expr *verdict;

	if (!rule)
		return NULL;
	/* What iptables shows has its tag in a match: it would show a second comment. */
	if ((is_of_iptables(chain) ? add_iptables(rule) : add_native(rule) && add_tag(rule)) &&
	    (verdict = add(rule, "immediate"))) {
		nftnl_expr_set_u32(verdict, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
		nftnl_expr_set_u32(verdict, NFTNL_EXPR_IMM_VERDICT, NF_ACCEPT);
		return rule;
	}
	nftnl_rule_free(rule);
	return NULL;
}

/* Is it ours?  By its comment, of whichever form. */

static int
compare_comment(struct nftnl_expr *e, void *found)
{
	uint32_t size;
	const char *name, *text;

	if (strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), "match") != 0)
		return 0;
	name = nftnl_expr_get_str(e, NFTNL_EXPR_MT_NAME);
	text = nftnl_expr_get(e, NFTNL_EXPR_MT_INFO, &size);
	if (name && text && strcmp(name, "comment") == 0 && size >= sizeof(TAG) &&
	    memcmp(text, TAG, sizeof(TAG)) == 0)
		*(bool *)found = true;
	return 0;
}

static int
compare_userdata(const struct nftnl_udata *data, void *found)
{
	if (nftnl_udata_type(data) == NFTNL_UDATA_RULE_COMMENT &&
	    nftnl_udata_len(data) == sizeof(TAG) &&
	    memcmp(nftnl_udata_get(data), TAG, sizeof(TAG)) == 0)
		*(bool *)found = true;
	return 0;
}

static bool
is_line(struct nftnl_rule *rule)
{
	uint32_t size;
	const void *data = nftnl_rule_get_data(rule, NFTNL_RULE_USERDATA, &size);
	bool found = false;

	if (data)
		nftnl_udata_parse(data, size, compare_userdata, &found);
	if (!found)
		nftnl_expr_foreach(rule, compare_comment, &found);
	return found;
}

/* Asking and changing: all replies are in the socket's queue when the send returns. */

static void
take_rule(const struct nlmsghdr *m, struct heard *heard)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();

	if (!rule)
		heard->error = ENOMEM;
	else if (nftnl_rule_nlmsg_parse(m, rule) == 0 && is_line(rule) && heard->lines < LINES_MAX)
		heard->handle[heard->lines++] = nftnl_rule_get_u64(rule, NFTNL_RULE_HANDLE);
	if (rule)
		nftnl_rule_free(rule);
}

static void
take_reply(const struct nlmsghdr *m, struct heard *heard)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(m);

	if (m->nlmsg_flags & NLM_F_DUMP_INTR)
		heard->interrupted = true;
	switch (m->nlmsg_type) {
	case NLMSG_ERROR:
		if (!heard->error)
			heard->error = -e->error;
		break;
	case NFT_TYPE(NFT_MSG_NEWCHAIN):
		heard->chain = true;
		break;
	case NFT_TYPE(NFT_MSG_NEWRULE):
		take_rule(m, heard);
		break;
	}
}

static void
ask(struct foreign_chains *f, const struct nft_batch *request, struct heard *heard)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t size;

	*heard = (struct heard){.error = request->full ? ENOMEM : 0};
	if (heard->error)
		return;
	if (sendto(f->socket, request->bytes, request->used, 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		heard->error = errno;
	while ((size = recv(f->socket, f->reply, sizeof(f->reply), MSG_DONTWAIT)) > 0) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)f->reply;
		int left = (int)size;

		for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
			take_reply(m, heard);
	}
}

/* A message about a rule; NULL: memory ran out. */
static void
put_rule(struct nft_batch *batch, uint16_t message, uint16_t flags, struct nftnl_rule *rule)
{
	struct nlmsghdr *m = rule ? nft_message_open(batch, message, flags, 0) : NULL;

	if (!m) {
		batch->full = true;
		return;
	}
	((struct nfgenmsg *)mnl_nlmsg_get_payload(m))->nfgen_family =
	    (uint8_t)nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY);
	nftnl_rule_nlmsg_build_payload(m, rule);
	nft_message_close(batch, m);
}

static struct nft_batch
request_of(struct foreign_chains *f)
{
	return (struct nft_batch){.bytes = f->request, .size = sizeof(f->request)};
}

static void
look_for_chain(struct foreign_chains *f, const struct foreign_chain *chain, struct heard *heard)
{
	struct nft_batch request = request_of(f);
	struct nlmsghdr *m = nft_message_open(&request, NFT_MSG_GETCHAIN, 0, 0);

	if (m) {
		((struct nfgenmsg *)mnl_nlmsg_get_payload(m))->nfgen_family =
		    chain->inet ? NFPROTO_INET : NFPROTO_IPV4;
		mnl_attr_put_strz(m, NFTA_CHAIN_TABLE, chain->table);
		mnl_attr_put_strz(m, NFTA_CHAIN_NAME, chain->chain);
		nft_message_close(&request, m);
	}
	ask(f, &request, heard);
}

static void
look_for_lines(struct foreign_chains *f, const struct foreign_chain *chain, struct heard *heard)
{
	struct nftnl_rule *which = rule_in(chain);
	int attempts = LOOK_ATTEMPTS;

	do {
		struct nft_batch request = request_of(f);

		put_rule(&request, NFT_MSG_GETRULE, NLM_F_DUMP, which);
		ask(f, &request, heard);
	} while (heard->interrupted && --attempts);
	/* A chain that could not be read is not one without a line. */
	if (heard->interrupted && !heard->error)
		heard->error = EINTR;
	if (which)
		nftnl_rule_free(which);
}

static enum foreign_result
refuse(struct fault *fault, const struct foreign_chain *chain, int error)
{
	fault_set(fault, error, "chain %s %s %s", chain->inet ? "inet" : "ip", chain->table,
		  chain->chain);
	return error == ENOENT ? FOREIGN_ABSENT : FOREIGN_REFUSED;
}

/* Looks for the chain, then for our lines in it. */
static int
look(struct foreign_chains *f, const struct foreign_chain *chain, struct heard *heard)
{
	look_for_chain(f, chain, heard);
	if (!heard->error && !heard->chain)
		heard->error = ENOENT;
	if (!heard->error)
		look_for_lines(f, chain, heard);
	return heard->error;
}

/* One message of a rule as a transaction. */
static int
change(struct foreign_chains *f, uint16_t message, uint16_t flags, struct nftnl_rule *rule)
{
	struct nft_batch request = request_of(f);
	struct nlmsghdr *m = nftnl_batch_begin((char *)request.bytes, 0);
	struct heard heard;

	request.used = m->nlmsg_len;
	put_rule(&request, message, flags, rule);
	if (!request.full && request.size - request.used >= NFT_MESSAGE_MAX)
		request.used += nftnl_batch_end((char *)request.bytes + request.used, 0)->nlmsg_len;
	else
		request.full = true;
	ask(f, &request, &heard);
	return heard.error;
}

enum foreign_result
foreign_chains_put(struct foreign_chains *f, const struct foreign_chain *chain, struct fault *fault)
{
	struct heard heard;
	struct nftnl_rule *line;
	int error = look(f, chain, &heard);

	if (error)
		return refuse(fault, chain, error);
	if (heard.lines)
		return FOREIGN_THERE;
	line = make_line(chain);
	error = change(f, NFT_MSG_NEWRULE, NLM_F_CREATE, line); /* without APPEND: at the head */
	if (line)
		nftnl_rule_free(line);
	/* The chain is there: it is iptables' matches that this kernel has not. */
	if (error == ENOENT && look(f, chain, &heard) == 0)
		error = EOPNOTSUPP;
	return error ? refuse(fault, chain, error) : FOREIGN_PUT;
}

static int
take_one(struct foreign_chains *f, const struct foreign_chain *chain, uint64_t handle)
{
	struct nftnl_rule *line = rule_in(chain);
	int error;

	if (line)
		nftnl_rule_set_u64(line, NFTNL_RULE_HANDLE, handle);
	error = change(f, NFT_MSG_DELRULE, 0, line);
	if (line)
		nftnl_rule_free(line);
	return error;
}

enum foreign_result
foreign_chains_take(struct foreign_chains *f, const struct foreign_chain *chain,
		    struct fault *fault)
{
	struct heard heard;
	int error;

	do {
		error = look(f, chain, &heard);
		for (size_t i = 0; !error && i < heard.lines; i++)
			error = take_one(f, chain, heard.handle[i]);
	} while (!error && heard.lines == LINES_MAX);
	if (error && error != ENOENT)
		return refuse(fault, chain, error);
	return FOREIGN_ABSENT;
}
