/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which heads of HTTP requests are refused, and with what. */
#include "../../daemon/worker/http_head.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct header {
	const char *name, *value;
};

/* Of a request with these headers, which end with a NULL name. */
static unsigned
judge(struct http_head head, const struct header *header)
{
	for (; header->name; header++)
		http_head_add(&head, text_of(header->name), text_of(header->value));
	return http_head_judge(&head);
}

#define JUDGE(head, ...) judge(head, (const struct header[]){__VA_ARGS__, {NULL, NULL}})
#define HOST                          \
	{                             \
		"Host", "192.168.1.1" \
	}

static const struct http_head get = {.is_1_1 = true};
static const struct http_head old_get = {.is_1_1 = false};
static const struct http_head post = {.is_1_1 = true, .has_body = true};

static void
a_host_is_named_once(void **state)
{
	(void)state;
	assert_int_equal(JUDGE(get, HOST), 0);
	assert_int_equal(JUDGE(get, {"host", ""}), 0);
	assert_int_equal(JUDGE(get, HOST, HOST), 400);
	assert_int_equal(JUDGE(get, {"X", "y"}), 400);
	assert_int_equal(JUDGE(old_get, {"X", "y"}), 0);
	assert_int_equal(JUDGE(old_get, HOST, HOST), 400);
}

static void
an_end_is_told_once(void **state)
{
	(void)state;
	assert_int_equal(JUDGE(post, HOST, {"Content-Length", "7"}), 0);
	assert_int_equal(JUDGE(post, HOST, {"Content-Length", "7"}, {"content-length", "7"}), 400);
	assert_int_equal(JUDGE(post, HOST, {"Content-Length", "-7"}), 400);
	assert_int_equal(JUDGE(post, HOST, {"Content-Length", "7, 7"}), 400);
	assert_int_equal(JUDGE(post, HOST, {"Content-Length", ""}), 400);
	assert_int_equal(JUDGE(post, HOST, {"Transfer-Encoding", "Chunked"}), 0);
	assert_int_equal(JUDGE(post, HOST, {"Transfer-Encoding", "gzip"}), 501);
	assert_int_equal(JUDGE(post, HOST, {"Transfer-Encoding", "gzip, chunked"}), 501);
	assert_int_equal(
	    JUDGE(post, HOST, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}),
	    501);
	assert_int_equal(
	    JUDGE(post, HOST, {"Transfer-Encoding", "chunked"}, {"Content-Length", "7"}), 400);
	assert_int_equal(JUDGE(old_get, HOST, {"Transfer-Encoding", "chunked"}), 400);
	assert_int_equal(JUDGE(post, HOST), 411);
	assert_int_equal(JUDGE(get, HOST), 0);
}

static void
bodies_have_a_bound(void **state)
{
	(void)state;
	assert_int_equal(JUDGE(post, HOST, {"Content-Length", "16384"}), 0);
	assert_int_equal(JUDGE(post, HOST, {"Content-Length", "16385"}), 413);
	assert_int_equal(JUDGE(get, HOST, {"Content-Length", "99999999999999999999"}), 413);
}

static void
names_are_tokens(void **state)
{
	struct http_head head = get;

	(void)state;
	assert_int_equal(JUDGE(get, HOST, {"Content-Length ", "7"}), 400);
	assert_int_equal(JUDGE(get, HOST, {"", "7"}), 400);
	assert_int_equal(JUDGE(get, HOST, {"X(", "7"}), 400);
	assert_int_equal(JUDGE(get, HOST, {"\xc3\xbc", "7"}), 400);
	assert_int_equal(JUDGE(get, HOST, {"X-!#$%&'*+-.^_`|~0", "anything: \xc3\xbc"}), 0);

	http_head_add(&head, text_of("Host"), (struct text){"a\0b", 3});
	assert_int_equal(http_head_judge(&head), 400);
}

static void
pages_are_refused(void **state)
{
	(void)state;
	assert_int_equal(JUDGE(get, HOST, {"Origin", "null"}), 403);
	assert_int_equal(JUDGE(post, HOST, {"ORIGIN", ""}, {"Content-Length", "7"}), 403);
	assert_int_equal(JUDGE(get, HOST, {"Referer", "http://192.168.1.1/"}), 0);
}

static void
authorities(void **state)
{
	static const struct {
		const char *text, *address; /* NULL: none */
		uint16_t port;
	} cases[] = {
	    {"192.168.1.1", "192.168.1.1", 0},
	    {"192.168.1.1:5431", "192.168.1.1", 5431},
	    {"[fd00::1]", "fd00::1", 0},
	    {"[FD00::1]:5431", "fd00::1", 5431},
	    {"[fe80::1%25eth0]:1", "fe80::1", 1},
	    {"[fe80::1%eth0]", "fe80::1", 0},
	    {"192.168.1.1:", NULL, 0},
	    {"192.168.1.1:0", NULL, 0},
	    {"192.168.1.1:65536", NULL, 0},
	    {"192.168.1.1:80x", NULL, 0},
	    {"192.168.1.1x", NULL, 0},
	    {"192.168.1", NULL, 0},
	    {"0xc0a80101", NULL, 0},
	    {"[192.168.1.1]", NULL, 0},
	    {"fd00::1", NULL, 0},
	    {"[fd00::1", NULL, 0},
	    {"[fd00::1]5431", NULL, 0},
	    {"[]", NULL, 0},
	    {"", NULL, 0},
	    {"localhost", NULL, 0},
	    {"gateway.example:5431", NULL, 0},
	    {"user@192.168.1.1", NULL, 0},
	    {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address address, expected;
		uint16_t port = 0;
		bool found = http_parse_authority(text_of(cases[i].text), &address, &port);

		if (found != (cases[i].address != NULL))
			fail_msg("%s", cases[i].text);
		if (!found)
			continue;
		assert_true(address_parse(cases[i].address, &expected));
		assert_true(address_equal(&address, &expected));
		assert_int_equal(port, cases[i].port);
	}
}

static void
targets(void **state)
{
	struct text target = text_of("/1/desc.xml"), authority;

	(void)state;
	assert_false(http_split_target(&target, &authority));
	assert_true(text_equal(target, "/1/desc.xml"));
	target = text_of("HTTP://192.168.1.1:5431/1/desc.xml");
	assert_true(http_split_target(&target, &authority));
	assert_true(text_equal(authority, "192.168.1.1:5431"));
	assert_true(text_equal(target, "/1/desc.xml"));
	target = text_of("http://192.168.1.1");
	assert_true(http_split_target(&target, &authority));
	assert_int_equal(target.size, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_host_is_named_once),
	    cmocka_unit_test(an_end_is_told_once),
	    cmocka_unit_test(bodies_have_a_bound),
	    cmocka_unit_test(names_are_tokens),
	    cmocka_unit_test(pages_are_refused),
	    cmocka_unit_test(authorities),
	    cmocka_unit_test(targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
