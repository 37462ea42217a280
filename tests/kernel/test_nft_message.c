/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes we send to nftables, as trees of attributes in tests/golden/nft.  GOLDEN=write makes
 * those files anew: look at their difference before you commit it.
 */
#include "../../backend/nft_layout.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "firewall_bed.h"

static uint8_t bytes[NFT_LAYOUT_SIZE];
static struct nft_batch batch;

static int
setup(void **state)
{
	(void)state;
	batch = (struct nft_batch){.bytes = bytes, .size = sizeof(bytes)};
	return 0;
}

static const char *
message_name(uint16_t type)
{
	static const char *const names[] = {
	    [NFT_MSG_NEWTABLE] = "NEWTABLE",	 [NFT_MSG_GETTABLE] = "GETTABLE",
	    [NFT_MSG_DELTABLE] = "DELTABLE",	 [NFT_MSG_NEWCHAIN] = "NEWCHAIN",
	    [NFT_MSG_NEWRULE] = "NEWRULE",	 [NFT_MSG_GETRULE] = "GETRULE",
	    [NFT_MSG_DELRULE] = "DELRULE",	 [NFT_MSG_NEWSET] = "NEWSET",
	    [NFT_MSG_NEWSETELEM] = "NEWSETELEM", [NFT_MSG_GETSETELEM] = "GETSETELEM",
	    [NFT_MSG_DELSETELEM] = "DELSETELEM", [NFT_MSG_NEWOBJ] = "NEWOBJ",
	};
	uint8_t number = type & 0xff;

	assert_int_equal(type >> 8, NFNL_SUBSYS_NFTABLES);
	assert_true(number < sizeof(names) / sizeof(*names) && names[number]);
	return names[number];
}

static void
print_flags(FILE *out, uint16_t flags)
{
	assert_true(flags & NLM_F_REQUEST);
	fprintf(out, "%s%s%s%s%s", flags & NLM_F_CREATE ? " create" : "",
		flags & NLM_F_APPEND ? " append" : "", flags & NLM_F_ECHO ? " echo" : "",
		(flags & NLM_F_DUMP) == NLM_F_DUMP ? " dump" : "",
		flags & NLM_F_EXCL && (flags & NLM_F_DUMP) != NLM_F_DUMP ? " exclusive" : "");
}

static bool
is_text(const uint8_t *p, size_t n)
{
	if (n < 3 || p[n - 1] != '\0')
		return false;
	for (size_t i = 0; i < n - 1; i++) {
		if (!isprint(p[i]))
			return false;
	}
	return true;
}

static void
print_payload(FILE *out, const uint8_t *p, size_t n)
{
	if (is_text(p, n)) {
		fprintf(out, " \"%s\"\n", (const char *)p);
		return;
	}
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s%02x", i % 4 ? "" : " ", p[i]);
	fputc('\n', out);
}

static void
print_attributes(FILE *out, const uint8_t *p, size_t n, int depth)
{
	while (n) {
		const struct nlattr *a = (const struct nlattr *)p;
		size_t whole = MNL_ALIGN(a->nla_len);

		assert_true(n >= MNL_ATTR_HDRLEN && a->nla_len >= MNL_ATTR_HDRLEN && whole <= n);
		fprintf(out, "%*s%u", depth * 2, "", a->nla_type & NLA_TYPE_MASK);
		if (a->nla_type & NLA_F_NESTED) {
			fputs(" {\n", out);
			print_attributes(out, p + MNL_ATTR_HDRLEN, a->nla_len - MNL_ATTR_HDRLEN,
					 depth + 1);
			fprintf(out, "%*s}\n", depth * 2, "");
		} else {
			print_payload(out, p + MNL_ATTR_HDRLEN, a->nla_len - MNL_ATTR_HDRLEN);
		}
		p += whole;
		n -= whole;
	}
}

static void
print_batch(FILE *out)
{
	const uint8_t *p = batch.bytes;
	size_t left = batch.used;

	assert_false(batch.full);
	while (left) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)p;
		const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(m);
		size_t head = MNL_NLMSG_HDRLEN + sizeof(*nfg);

		assert_true(mnl_nlmsg_ok(m, (int)left));
		assert_int_equal(m->nlmsg_pid, 0);
		fputs(message_name(m->nlmsg_type), out);
		print_flags(out, m->nlmsg_flags);
		fprintf(out, " family %u sequence 0x%x\n", nfg->nfgen_family, m->nlmsg_seq);
		print_attributes(out, p + head, m->nlmsg_len - head, 1);
		p += MNL_ALIGN(m->nlmsg_len);
		left -= MNL_ALIGN(m->nlmsg_len);
	}
}

/* Compares the batch with a file of tests/golden/nft. */
static void
assert_golden(const char *name)
{
	const char *mode = getenv("GOLDEN");
	bool write = mode && strcmp(mode, "write") == 0;
	char command[128];
	FILE *out;

	snprintf(command, sizeof(command),
		 write ? "cat > tests/golden/nft/%s" : "diff -u tests/golden/nft/%s -", name);
	out = popen(command, "w");
	assert_non_null(out);
	print_batch(out);
	if (pclose(out) != 0)
		fail_msg("the messages differ from tests/golden/nft/%s", name);
}

static void
adding_a_mapping(void **state)
{
	struct mapping m = mapping(8080);

	(void)state;
	m.comment = "web";
	m.internal.port = 80;
	nft_put_mapping(&batch, FIREWALL_ADD, &m, 7);
	m = mapping(5000);
	m.transport = TRANSPORT_UDP;
	m.outbound = false;
	m.timeout = 0;
	nft_put_mapping(&batch, FIREWALL_ADD, &m, 8);
	assert_golden("add.txt");
}

static void
removing_a_mapping(void **state)
{
	struct mapping m = mapping(8080);

	(void)state;
	m.comment = "web";
	m.internal.port = 80;
	nft_put_mapping(&batch, FIREWALL_REMOVE, &m, 7);
	nft_put_query(&batch, &(struct nft_name){.transport = TRANSPORT_TCP, .external_port = 8080},
		      9);
	assert_golden("remove.txt");
}

static void
the_table(void **state)
{
	struct firewall_network n = network();

	(void)state;
	nft_layout_create(&batch, &masquerading, &n);
	assert_golden("table.txt");
}

static void
the_table_of_a_router_with_a_source(void **state)
{
	struct firewall_network n = network();

	(void)state;
	n.has_source = true;
	n.source = ipv4("203.0.113.7");
	nft_layout_create(&batch, &routing, &n);
	assert_golden("table-source-routed.txt");
}

static void
another_network(void **state)
{
	struct firewall_network a = network(), b = network();

	(void)state;
	nft_layout_change(&batch, &masquerading, &a, &a, false);
	assert_int_equal(batch.used, 0);

	strcpy(b.wan, "ppp0");
	b.wan_address[0] = ipv4("198.51.100.1");
	b.lan_prefix[0] = ipv4_prefix("10.0.0.0/8");
	b.has_source = true;
	b.source = ipv4("198.51.100.1");
	nft_layout_change(&batch, &masquerading, &a, &b, false);
	assert_golden("change.txt");
}

static void
assert_comment(const char *given, const char *sent)
{
	struct mapping m = mapping(8080);
	char userdata[256];
	size_t length = strlen(sent) + 1;

	batch.used = 0;
	m.comment = given;
	nft_put_mapping(&batch, FIREWALL_ADD, &m, 1);
	/* The attribute's type, then type, length and text of the comment. */
	memcpy(userdata, "\x06\x00\x00", 3);
	userdata[3] = (char)length;
	memcpy(userdata + 4, sent, length);
	if (!memmem(batch.bytes, batch.used, userdata, 4 + length))
		fail_msg("comment %s", given);
}

static void
a_comment_is_what_nft_can_read_back(void **state)
{
	char longest[129] = {0}, cut[128] = {0};

	(void)state;
	assert_comment("caf\xc3\xa9 {\\}; 100%", "caf\xc3\xa9 {\\}; 100%");
	assert_comment("a\" : 1.2.3.4 }\n\x7f", "a? : 1.2.3.4 }??");
	memset(longest, 'x', sizeof(longest) - 1);
	memset(cut, 'x', sizeof(cut) - 1);
	assert_comment(longest, cut);
}

static void
a_mapping_fits_where_it_was_promised_to(void **state)
{
	char longest[128];
	struct mapping m = mapping(8080);

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[127] = '\0';
	m.comment = longest;
	nft_put_mapping(&batch, FIREWALL_ADD, &m, 1);
	assert_true(batch.used <= NFT_CHANGE_MAX);
}

static void
a_full_batch_stays_as_it_is(void **state)
{
	struct mapping m = mapping(8080);
	size_t used;

	(void)state;
	batch.size = 2 * NFT_MESSAGE_MAX;
	while (!batch.full)
		nft_put_mapping(&batch, FIREWALL_ADD, &m, 1);
	used = batch.used;
	assert_true(used <= batch.size && used > NFT_MESSAGE_MAX / 2);
	nft_put_mapping(&batch, FIREWALL_ADD, &m, 1);
	assert_int_equal(batch.used, used);
}

/* The most that firewall.h allows. */
static void
the_largest_network_fits(void **state)
{
	struct firewall_network n = network();

	(void)state;
	n.wan_addresses = FIREWALL_WAN_ADDRESSES;
	for (uint32_t i = 0; i < FIREWALL_WAN_ADDRESSES; i++)
		n.wan_address[i] = address_from_ipv4(htonl(0xcb007100 + i));
	n.lan_prefixes = FIREWALL_LAN_PREFIXES;
	for (uint32_t i = 0; i < FIREWALL_LAN_PREFIXES; i++) {
		n.lan_prefix[i].address = address_from_ipv4(htonl(0x0a000000 + (i << 17)));
		n.lan_prefix[i].length = 96 + 16;
	}
	nft_layout_create(&batch, &masquerading, &n);
	assert_false(batch.full);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(adding_a_mapping, setup),
	    cmocka_unit_test_setup(removing_a_mapping, setup),
	    cmocka_unit_test_setup(the_table, setup),
	    cmocka_unit_test_setup(the_table_of_a_router_with_a_source, setup),
	    cmocka_unit_test_setup(another_network, setup),
	    cmocka_unit_test_setup(a_comment_is_what_nft_can_read_back, setup),
	    cmocka_unit_test_setup(a_mapping_fits_where_it_was_promised_to, setup),
	    cmocka_unit_test_setup(a_full_batch_stays_as_it_is, setup),
	    cmocka_unit_test_setup(the_largest_network_fits, setup),
	};

	return cmocka_run_group_tests_name("nft messages", tests, NULL, NULL);
}
