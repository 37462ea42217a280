/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Subscriptions, deliveries and their messages.  Numbers of clauses are of the UPnP Device
 * Architecture 1.1. */
#include "../../protocols/gena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define TEST(name) cmocka_unit_test_setup(name, setup)
#define CLIENT	   "192.168.1.20"
#define CALLBACK   "<http://192.168.1.20:49152/event>"

enum { MAPPINGS_SERVICE = 3, PLACES = 6, PER_CLIENT = 4, FAILURES = 3, BEGIN = 5000 };
enum { STATUS = 1, ADDRESS = 2, ENTRIES = 4, UPDATE = 8 }; /* variables */

static struct gena_subscription place[PLACES];
static struct gena_table table;
static struct gena_delivery delivery;
static uint8_t next_random;

static int
setup(void **state)
{
	(void)state;
	memset(place, 0xa5, sizeof(place));
	gena_init(&table, place, PLACES, &(struct gena_options){PER_CLIENT, FAILURES});
	next_random = 0;
	return 0;
}

static struct address
address(const char *text)
{
	struct address a;

	assert_true(address_parse(text, &a));
	return a;
}

static struct gena_request
request(const char *callback, const char *nt, const char *sid, const char *timeout)
{
	return (struct gena_request){address(CLIENT), MAPPINGS_SERVICE, callback, nt, sid, timeout};
}

static enum gena_status
send_subscribe(const struct gena_request *r, monotime now, struct gena_grant *grant)
{
	uint8_t random[GENA_RANDOM_SIZE];

	memset(random, next_random++, sizeof(random));
	return gena_subscribe(&table, r, random, now, grant);
}

/* Of a client with that callback. */
static enum gena_status
call_back(const char *client, const char *callback)
{
	struct gena_request r = request(callback, "upnp:event", NULL, NULL);
	struct gena_grant grant;

	r.client = address(client);
	return send_subscribe(&r, BEGIN, &grant);
}

/* A subscription whose reply has been sent. */
static struct gena_grant
subscribed(const char *callback, uint8_t service, monotime now)
{
	struct gena_request r = request(callback, "upnp:event", NULL, NULL);
	struct gena_grant grant;

	r.service = service;
	assert_int_equal(send_subscribe(&r, now, &grant), GENA_OK);
	gena_confirm(&table, grant.id, now);
	return grant;
}

/* The next delivery, which succeeds. */
static void
assert_delivered(monotime now, uint32_t seq, uint32_t variables)
{
	struct gena_delivery again;

	assert_true(gena_next(&table, now, &delivery));
	assert_int_equal(delivery.seq, seq);
	assert_int_equal(delivery.variables, variables);
	assert_false(gena_finish(&table, delivery.id, GENA_DELIVERED, &again));
}

/* A subscription that has had its first event. */
static struct gena_grant
greeted(monotime now)
{
	struct gena_grant grant = subscribed(CALLBACK, MAPPINGS_SERVICE, now);

	assert_delivered(now, 0, GENA_ALL_VARIABLES);
	return grant;
}

/* The next delivery, which fails at every URL. */
static void
lose(monotime now)
{
	assert_true(gena_next(&table, now, &delivery));
	while (gena_finish(&table, delivery.id, GENA_FAILED, &delivery))
		;
}

static void
assert_quiet(monotime now)
{
	assert_false(gena_next(&table, now, &delivery));
}

static enum gena_status
unsubscribe(const char *sid, monotime now)
{
	struct gena_request r = request(NULL, NULL, sid, NULL);

	return gena_unsubscribe(&table, &r, now);
}

static enum gena_status
renew(const char *sid, monotime now)
{
	struct gena_request r = request(NULL, NULL, sid, NULL);
	struct gena_grant grant;

	return send_subscribe(&r, now, &grant);
}

static void
a_subscription_is_granted(void **state)
{
	struct gena_request r = request(CALLBACK, "upnp:event", NULL, "Second-3600");
	struct gena_grant first, second;

	(void)state;
	assert_int_equal(send_subscribe(&r, BEGIN, &first), GENA_OK);
	assert_string_equal(first.sid, "uuid:00000000-0000-4000-8000-000000000000");
	assert_int_equal(first.timeout, 3600);
	next_random = 0xff;
	assert_int_equal(send_subscribe(&r, BEGIN, &second), GENA_OK);
	assert_string_equal(second.sid, "uuid:ffffffff-ffff-4fff-bfff-ffffffffffff");
	assert_int_not_equal(first.id, 0);
	assert_int_not_equal(second.id, 0);
	assert_int_not_equal(first.id, second.id);
}

static void
blanks_around_values_do_not_matter(void **state)
{
	struct gena_request r = request("  " CALLBACK "\t", " upnp:event ", NULL, " Second-3600 ");
	struct gena_grant grant;
	char sid[64];

	(void)state;
	assert_int_equal(send_subscribe(&r, BEGIN, &grant), GENA_OK);
	assert_int_equal(grant.timeout, 3600);
	snprintf(sid, sizeof(sid), " %s ", grant.sid);
	assert_int_equal(renew(sid, BEGIN), GENA_OK);
}

static void
timeouts(void **state)
{
	static const struct {
		const char *header;
		uint32_t granted;
	} rows[] = {
	    {NULL, 1800},	    {"Second-1800", 1800}, {"second-2000", 2000},
	    {"Second-7200", 7200},  {"Second-7201", 7200}, {"Second-99999999999999999999", 7200},
	    {"Second-1799", 1800},  {"Second-0", 1800},	   {"Second-infinite", 1800},
	    {"infinite", 1800},	    {"Second-", 1800},	   {"Second--1", 1800},
	    {"Second-3600s", 1800}, {"3600", 1800},	   {"", 1800},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct gena_request r = request(CALLBACK, "upnp:event", NULL, rows[i].header);
		struct gena_grant grant;

		setup(NULL);
		assert_int_equal(send_subscribe(&r, BEGIN, &grant), GENA_OK);
		assert_int_equal(grant.timeout, rows[i].granted);
		r = request(NULL, NULL, grant.sid, rows[i].header);
		assert_int_equal(send_subscribe(&r, BEGIN, &grant), GENA_OK);
		assert_int_equal(grant.timeout, rows[i].granted);
	}
}

static void
callbacks_that_are_taken(void **state)
{
	static const struct {
		const char *client, *callback;
		uint16_t port;
		const char *path;
	} rows[] = {
	    {CLIENT, "<http://192.168.1.20:49152/event?a=b&c=%20>", 49152, "/event?a=b&c=%20"},
	    {CLIENT, "<HTTP://192.168.1.20:1024/>", 1024, "/"},
	    {CLIENT, "<http://192.168.1.20:65535>", 65535, "/"},
	    {CLIENT, "<http://192.168.1.20:80/>", 80, "/"},
	    {CLIENT, "<http://192.168.1.20/x>", 80, "/x"},
	    {CLIENT, "<http://192.168.1.20>", 80, "/"},
	    {"fe80::20", "<http://[fe80::20]:5000/x>", 5000, "/x"},
	    {"fe80::20", "<http://[FE80:0::0:20]/x>", 80, "/x"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct gena_request r = request(rows[i].callback, "upnp:event", NULL, NULL);
		struct gena_grant grant;

		setup(NULL);
		r.client = address(rows[i].client);
		assert_int_equal(send_subscribe(&r, BEGIN, &grant), GENA_OK);
		gena_confirm(&table, grant.id, BEGIN);
		assert_true(gena_next(&table, BEGIN, &delivery));
		assert_true(address_equal(&delivery.to.address, &r.client));
		assert_int_equal(delivery.to.port, rows[i].port);
		assert_string_equal(delivery.path, rows[i].path);
	}
}

static void
callbacks_that_are_refused(void **state)
{
	static const char *const callbacks[] = {
	    "",
	    "<>",
	    "http://192.168.1.20:49152/event",
	    "<http://192.168.1.20:49152/event",
	    "http://192.168.1.20:49152/event>",
	    "xhttp://192.168.1.20:49152/event>",
	    "<https://192.168.1.20:49152/>",
	    "<ftp://192.168.1.20:49152/>",
	    "<//192.168.1.20:49152/>",
	    "<http:///event>",
	    /* another host, a name, what only looks like the subscriber */
	    "<http://192.168.1.21:49152/>",
	    "<http://203.0.113.5:49152/>",
	    "<http://127.0.0.1:49152/>",
	    "<http://client.lan:49152/>",
	    "<http://192.168.1.20.example.com:49152/>",
	    "<http://192.168.1.20@203.0.113.5:49152/>",
	    "<http://user@192.168.1.20:49152/>",
	    "<http://192.168.1.020:49152/>",
	    "<http://3232235796:49152/>",
	    "<http://[fe80::20]:49152/>",
	    "<http://[192.168.1.20]:49152/>",
	    "<http://::ffff:192.168.1.20:49152/>",
	    "<http://[192.168.1.20:49152/>",
	    "<http://192.168.1.20 :49152/>",
	    "<http://192.168.1.20?:49152/>",
	    /* ports of others' services, and none */
	    "<http://192.168.1.20:0/>",
	    "<http://192.168.1.20:22/>",
	    "<http://192.168.1.20:1023/>",
	    "<http://192.168.1.20:65536/>",
	    "<http://192.168.1.20:4294967376/>",
	    "<http://192.168.1.20:/>",
	    "<http://192.168.1.20:-80/>",
	    "<http://192.168.1.20:80:80/>",
	    /* what would break our request */
	    "<http://192.168.1.20:49152/a b>",
	    "<http://192.168.1.20:49152/a\r\nX: y>",
	    "<http://192.168.1.20:49152/a\tb>",
	    "<http://192.168.1.20:49152/\x7f>",
	    "<http://192.168.1.20:49152/\xc3\xa4>",
	    "<http://192.168.1.20:49152/a#b>",
	    "<http://192.168.1.20:49152/<a>",
	    /* none of several is good */
	    "<http://203.0.113.5:49152/><https://192.168.1.20:49152/>",
	    "<http://client.lan:49152/> http://192.168.1.20:49152/event",
	    /* all that are good, or none */
	    CALLBACK CALLBACK CALLBACK CALLBACK CALLBACK,
	    CALLBACK CALLBACK "<http://client.lan/>" CALLBACK CALLBACK CALLBACK,
	};

	(void)state;
	for (size_t i = 0; i < COUNT(callbacks); i++)
		assert_int_equal(call_back(CLIENT, callbacks[i]), GENA_PRECONDITION_FAILED);
	assert_int_equal(call_back("fe80::20", "<http://[fe80::21]:49152/>"),
			 GENA_PRECONDITION_FAILED);
	assert_int_equal(call_back("fe80::20", CALLBACK), GENA_PRECONDITION_FAILED);
	assert_int_equal(call_back("fe80::20", "<http://fe80::20/>"), GENA_PRECONDITION_FAILED);
	assert_int_equal(call_back(CLIENT, CALLBACK), GENA_OK);
}

static void
callbacks_that_are_bad_are_passed_over(void **state)
{
	static const char *const callbacks[] = {
	    "<http://192.168.1.20:5001/a><http://203.0.113.5:5001/><http://192.168.1.20:5002/b>",
	    "<https://192.168.1.20:5001/><http://192.168.1.20:5001/a><http://192.168.1.20:5002/b>",
	    "<http://client.lan/> <http://192.168.1.20:5001/a>\t<><http://192.168.1.20:5002/b>",
	    ("<http://192.168.1.21/><http://192.168.1.20:22/><http://192.168.1.20:5001/a>"
	     "<http://[fe80::20]/><http://192.168.1.20:5001/a b><http://192.168.1.20:5002/b><x>"),
	    "<http://192.168.1.20:5001/a>, <http://192.168.1.20:5002/b>, and more",
	    "<http://192.168.1.20:5001/a>x><http://192.168.1.20:5002/b><http://192.168.1.20:5003/",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(callbacks); i++) {
		setup(NULL);
		subscribed(callbacks[i], MAPPINGS_SERVICE, BEGIN);
		assert_true(gena_next(&table, BEGIN, &delivery));
		assert_int_equal(delivery.to.port, 5001);
		assert_string_equal(delivery.path, "/a");
		assert_true(gena_finish(&table, delivery.id, GENA_FAILED, &delivery));
		assert_int_equal(delivery.to.port, 5002);
		assert_string_equal(delivery.path, "/b");
		assert_false(gena_finish(&table, delivery.id, GENA_FAILED, &delivery));
	}
}

/* A callback whose path has so many octets. */
static enum gena_status
path_of(size_t octets, const char *more)
{
	char callback[2048];
	int length = snprintf(callback, sizeof(callback), "<http://192.168.1.20:49152/");

	memset(callback + length, 'x', octets - 1);
	strcpy(callback + length + octets - 1, ">");
	strcat(callback, more);
	setup(NULL);
	return call_back(CLIENT, callback);
}

static void
paths_are_stored_whole_or_refused(void **state)
{
	(void)state;
	assert_int_equal(path_of(GENA_PATHS_SIZE - 1, ""), GENA_OK);
	assert_int_equal(path_of(GENA_PATHS_SIZE, ""), GENA_PRECONDITION_FAILED);
	assert_int_equal(path_of(GENA_PATHS_SIZE - 1, CALLBACK), GENA_PRECONDITION_FAILED);
	assert_int_equal(path_of(GENA_PATHS_SIZE - 1 - sizeof("/event"), CALLBACK), GENA_OK);
	assert_int_equal(path_of(GENA_PATHS_SIZE - sizeof("/event"), CALLBACK),
			 GENA_PRECONDITION_FAILED);
}

static void
headers_that_do_not_go_together(void **state)
{
	struct gena_grant granted = greeted(BEGIN);
	struct {
		const char *callback, *nt, *sid;
		enum gena_status subscribe, unsubscribe;
	} rows[] = {
	    {CALLBACK, "upnp:event", granted.sid, GENA_BAD_REQUEST, GENA_BAD_REQUEST},
	    {CALLBACK, NULL, granted.sid, GENA_BAD_REQUEST, GENA_BAD_REQUEST},
	    {NULL, "upnp:event", granted.sid, GENA_BAD_REQUEST, GENA_BAD_REQUEST},
	    {CALLBACK, "upnp:event", "", GENA_BAD_REQUEST, GENA_BAD_REQUEST},
	    {NULL, NULL, NULL, GENA_PRECONDITION_FAILED, GENA_PRECONDITION_FAILED},
	    {NULL, NULL, "", GENA_PRECONDITION_FAILED, GENA_PRECONDITION_FAILED},
	    {NULL, NULL, "uuid:no", GENA_PRECONDITION_FAILED, GENA_PRECONDITION_FAILED},
	    {NULL, "upnp:event", NULL, GENA_PRECONDITION_FAILED, GENA_PRECONDITION_FAILED},
	    {CALLBACK, NULL, NULL, GENA_PRECONDITION_FAILED, GENA_PRECONDITION_FAILED},
	    {CALLBACK, "upnp:propchange", NULL, GENA_PRECONDITION_FAILED, GENA_PRECONDITION_FAILED},
	    {CALLBACK, "", NULL, GENA_PRECONDITION_FAILED, GENA_PRECONDITION_FAILED},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct gena_request r = request(rows[i].callback, rows[i].nt, rows[i].sid, NULL);
		struct gena_grant grant;

		assert_int_equal(send_subscribe(&r, BEGIN, &grant), rows[i].subscribe);
		assert_int_equal(gena_unsubscribe(&table, &r, BEGIN), rows[i].unsubscribe);
	}
	assert_int_equal(renew(granted.sid, BEGIN), GENA_OK);
	assert_int_equal(unsubscribe(granted.sid, BEGIN), GENA_OK);
}

static void
a_renewal_keeps_the_subscription(void **state)
{
	struct gena_grant first = greeted(BEGIN), renewed;
	struct gena_request r = request(NULL, NULL, first.sid, "Second-2000");
	monotime later = BEGIN + 1799 * MONOTIME_SECOND;

	(void)state;
	assert_int_equal(send_subscribe(&r, later, &renewed), GENA_OK);
	assert_string_equal(renewed.sid, first.sid);
	assert_int_equal(renewed.timeout, 2000);
	assert_int_equal(renewed.id, 0);
	/* No new first event; the numbers go on. */
	assert_quiet(later + 1000);
	gena_changed(&table, MAPPINGS_SERVICE, STATUS, later + 1000);
	assert_delivered(later + 1999 * MONOTIME_SECOND, 1, STATUS);
	assert_int_equal(renew(first.sid, later + 1999 * MONOTIME_SECOND), GENA_OK);
}

static void
an_expired_subscription_is_forgotten(void **state)
{
	struct gena_grant grant = greeted(BEGIN);
	monotime end = BEGIN + 1800 * MONOTIME_SECOND;

	(void)state;
	gena_changed(&table, MAPPINGS_SERVICE, STATUS, end - 1000);
	assert_int_equal(renew(grant.sid, end), GENA_PRECONDITION_FAILED);
	assert_int_equal(unsubscribe(grant.sid, end), GENA_PRECONDITION_FAILED);
	assert_quiet(end);
}

static void
an_expired_subscription_gets_no_event(void **state)
{
	monotime end = BEGIN + 1800 * MONOTIME_SECOND;

	(void)state;
	greeted(BEGIN);
	gena_changed(&table, MAPPINGS_SERVICE, STATUS, end - 1000);
	assert_quiet(end);
	assert_int_equal(gena_wake(&table), MONOTIME_NEVER);
}

static void
an_unsubscribed_one_is_forgotten(void **state)
{
	struct gena_grant grant = greeted(BEGIN);

	(void)state;
	gena_changed(&table, MAPPINGS_SERVICE, STATUS, BEGIN);
	assert_int_equal(unsubscribe(grant.sid, BEGIN), GENA_OK);
	assert_int_equal(unsubscribe(grant.sid, BEGIN), GENA_PRECONDITION_FAILED);
	assert_int_equal(renew(grant.sid, BEGIN), GENA_PRECONDITION_FAILED);
	assert_quiet(BEGIN + 1000);
}

static void
an_sid_is_good_for_its_service_alone(void **state)
{
	struct gena_grant grant = greeted(BEGIN);
	struct gena_request r = request(NULL, NULL, grant.sid, NULL);

	(void)state;
	r.service++;
	assert_int_equal(send_subscribe(&r, BEGIN, &grant), GENA_PRECONDITION_FAILED);
	assert_int_equal(gena_unsubscribe(&table, &r, BEGIN), GENA_PRECONDITION_FAILED);
	r.service--;
	assert_int_equal(gena_unsubscribe(&table, &r, BEGIN), GENA_OK);
}

static void
one_client_has_its_share(void **state)
{
	struct gena_grant first = greeted(BEGIN);

	(void)state;
	for (int i = 1; i < PER_CLIENT; i++)
		assert_int_equal(call_back(CLIENT, CALLBACK), GENA_OK);
	assert_int_equal(call_back(CLIENT, CALLBACK), GENA_UNAVAILABLE);
	/* What is wrong in itself is told first. */
	assert_int_equal(call_back(CLIENT, ""), GENA_PRECONDITION_FAILED);
	assert_int_equal(call_back("fe80::20", "<http://[fe80::20]/>"), GENA_OK);
	assert_int_equal(unsubscribe(first.sid, BEGIN), GENA_OK);
	assert_int_equal(call_back(CLIENT, CALLBACK), GENA_OK);
}

/* Its host may have as many addresses. */
static void
one_ipv6_network_has_half(void **state)
{
	char client[32], callback[64];

	(void)state;
	for (int i = 0; i < PLACES; i++) {
		snprintf(client, sizeof(client), "fd00::%d", i + 1);
		snprintf(callback, sizeof(callback), "<http://[%s]/>", client);
		assert_int_equal(call_back(client, callback),
				 i < PLACES / 2 ? GENA_OK : GENA_UNAVAILABLE);
	}
	assert_int_equal(call_back("fd00:0:0:1::1", "<http://[fd00:0:0:1::1]/>"), GENA_OK);
	assert_int_equal(call_back(CLIENT, CALLBACK), GENA_OK);
}

static void
all_clients_have_the_table(void **state)
{
	char client[32], callback[64];

	(void)state;
	for (int i = 0; i <= PLACES; i++) {
		snprintf(client, sizeof(client), "192.168.1.%d", 30 + i);
		snprintf(callback, sizeof(callback), "<http://%s/>", client);
		assert_int_equal(call_back(client, callback),
				 i < PLACES ? GENA_OK : GENA_UNAVAILABLE);
	}
	/* The places of those who did not renew are free again. */
	for (int i = 0; i < PER_CLIENT; i++)
		subscribed(CALLBACK, MAPPINGS_SERVICE, BEGIN + 1800 * MONOTIME_SECOND);
}

static void
the_first_event_waits_for_the_reply(void **state)
{
	struct gena_request r = request(CALLBACK, "upnp:event", NULL, NULL);
	struct gena_grant grant;

	(void)state;
	assert_int_equal(send_subscribe(&r, BEGIN, &grant), GENA_OK);
	gena_changed(&table, MAPPINGS_SERVICE, STATUS, BEGIN);
	assert_quiet(BEGIN + 5000);
	assert_int_equal(gena_wake(&table), MONOTIME_NEVER);
	gena_confirm(&table, grant.id, BEGIN + 5000);
	assert_int_equal(gena_wake(&table), BEGIN + 5000);
	assert_true(gena_next(&table, BEGIN + 5000, &delivery));
	assert_int_equal(delivery.id, grant.id);
	assert_int_equal(delivery.seq, 0);
	assert_int_equal(delivery.variables, GENA_ALL_VARIABLES);
	assert_int_equal(delivery.service, MAPPINGS_SERVICE);
	assert_string_equal(delivery.sid, grant.sid);
	assert_false(gena_finish(&table, grant.id, GENA_DELIVERED, &delivery));
	/* Once. */
	gena_confirm(&table, grant.id, BEGIN + 5000);
	assert_quiet(BEGIN + 6000);
}

static void
the_first_event_is_sent_to_those_who_left(void **state)
{
	struct gena_grant grant = subscribed(CALLBACK, MAPPINGS_SERVICE, BEGIN);

	(void)state;
	assert_int_equal(unsubscribe(grant.sid, BEGIN), GENA_OK);
	assert_int_equal(unsubscribe(grant.sid, BEGIN), GENA_PRECONDITION_FAILED);
	assert_int_equal(renew(grant.sid, BEGIN), GENA_PRECONDITION_FAILED);
	assert_delivered(BEGIN, 0, GENA_ALL_VARIABLES);
	gena_changed(&table, MAPPINGS_SERVICE, STATUS, BEGIN);
	assert_quiet(BEGIN + 1000);
	for (int i = 0; i < PER_CLIENT; i++)
		greeted(BEGIN + 1000);
}

static void
one_who_leaves_during_the_first_event(void **state)
{
	struct gena_grant grant =
	    subscribed("<http://192.168.1.20/a><http://192.168.1.20/b>", MAPPINGS_SERVICE, BEGIN);

	(void)state;
	assert_true(gena_next(&table, BEGIN, &delivery));
	assert_int_equal(unsubscribe(grant.sid, BEGIN), GENA_OK);
	assert_true(gena_finish(&table, grant.id, GENA_FAILED, &delivery));
	assert_false(gena_finish(&table, grant.id, GENA_FAILED, &delivery));
	assert_quiet(BEGIN + 1000);
	for (int i = 0; i < PER_CLIENT; i++)
		greeted(BEGIN + 1000);
}

static void
changes_are_told_together(void **state)
{
	(void)state;
	greeted(BEGIN);
	assert_int_equal(gena_wake(&table), MONOTIME_NEVER);
	gena_changed(&table, MAPPINGS_SERVICE, ENTRIES | UPDATE, BEGIN + 1000);
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN + 1150);
	gena_changed(&table, MAPPINGS_SERVICE, UPDATE, BEGIN + 1199);
	assert_int_equal(gena_wake(&table), BEGIN + 1000 + GENA_MODERATION);
	assert_quiet(BEGIN + 1199);
	assert_delivered(BEGIN + 1200, 1, ADDRESS | ENTRIES | UPDATE);
	assert_int_equal(gena_wake(&table), MONOTIME_NEVER);
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN + 1201);
	assert_quiet(BEGIN + 1400);
	assert_delivered(BEGIN + 1401, 2, ADDRESS);
}

static void
only_subscribers_of_the_service_are_told(void **state)
{
	struct gena_grant other;

	(void)state;
	greeted(BEGIN);
	other = subscribed(CALLBACK, 0, BEGIN);
	assert_delivered(BEGIN, 0, GENA_ALL_VARIABLES);
	gena_changed(&table, 0, STATUS, BEGIN);
	gena_changed(&table, 7, STATUS, BEGIN);
	gena_changed(&table, MAPPINGS_SERVICE, 0, BEGIN);
	assert_delivered(BEGIN + 1000, 1, STATUS);
	assert_int_equal(delivery.id, other.id);
	assert_int_equal(delivery.service, 0);
	assert_quiet(BEGIN + 1000);
}

static void
changes_during_a_delivery_follow_it(void **state)
{
	struct gena_grant grant = greeted(BEGIN);

	(void)state;
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN);
	assert_true(gena_next(&table, BEGIN + 200, &delivery));
	gena_changed(&table, MAPPINGS_SERVICE, ENTRIES, BEGIN + 300);
	gena_changed(&table, MAPPINGS_SERVICE, UPDATE, BEGIN + 3000);
	assert_quiet(BEGIN + 4000);
	assert_int_equal(gena_wake(&table), MONOTIME_NEVER);
	assert_false(gena_finish(&table, grant.id, GENA_DELIVERED, &delivery));
	assert_int_equal(gena_wake(&table), BEGIN + 500);
	assert_delivered(BEGIN + 4000, 2, ENTRIES | UPDATE);
}

static void
a_slow_subscriber_delays_nobody(void **state)
{
	struct gena_grant slow = subscribed(CALLBACK, MAPPINGS_SERVICE, BEGIN), other;

	(void)state;
	assert_true(gena_next(&table, BEGIN, &delivery));
	assert_int_equal(delivery.id, slow.id);
	other = subscribed(CALLBACK, MAPPINGS_SERVICE, BEGIN);
	assert_delivered(BEGIN, 0, GENA_ALL_VARIABLES);
	for (uint32_t seq = 1; seq < 4; seq++) {
		gena_changed(&table, MAPPINGS_SERVICE, ENTRIES, BEGIN + seq * 1000);
		assert_delivered(BEGIN + seq * 1000 + 200, seq, ENTRIES);
		assert_int_equal(delivery.id, other.id);
	}
}

static void
who_waits_longest_is_first(void **state)
{
	struct gena_grant first = subscribed(CALLBACK, 0, BEGIN),
			  second = subscribed(CALLBACK, 1, BEGIN);

	(void)state;
	assert_delivered(BEGIN, 0, GENA_ALL_VARIABLES);
	assert_delivered(BEGIN, 0, GENA_ALL_VARIABLES);
	for (int i = 0; i < 2; i++) {
		gena_changed(&table, i ? 0 : 1, STATUS, BEGIN);
		gena_changed(&table, i ? 1 : 0, STATUS, BEGIN + 1);
		assert_true(gena_next(&table, BEGIN + 1000, &delivery));
		assert_int_equal(delivery.id, i ? first.id : second.id);
		gena_finish(&table, delivery.id, GENA_DELIVERED, &delivery);
		assert_true(gena_next(&table, BEGIN + 1000, &delivery));
		assert_int_equal(delivery.id, i ? second.id : first.id);
		gena_finish(&table, delivery.id, GENA_DELIVERED, &delivery);
	}
}

static void
the_urls_are_tried_in_order(void **state)
{
	static const char *const paths[] = {"/a", "/b", "/c", "/d"};
	struct gena_grant grant =
	    subscribed("<http://192.168.1.20:5001/a> <http://192.168.1.20:5002/b>"
		       "<http://192.168.1.20:5003/c>\t<http://192.168.1.20:5004/d>",
		       MAPPINGS_SERVICE, BEGIN);

	(void)state;
	assert_true(gena_next(&table, BEGIN, &delivery));
	for (size_t i = 0; i < COUNT(paths); i++) {
		assert_string_equal(delivery.path, paths[i]);
		assert_int_equal(delivery.to.port, 5001 + i);
		assert_int_equal(delivery.seq, 0);
		assert_int_equal(delivery.variables, GENA_ALL_VARIABLES);
		assert_int_equal(gena_finish(&table, grant.id, GENA_FAILED, &delivery), i < 3);
	}
	/* The next event begins with the first URL again; the third has it. */
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN);
	assert_true(gena_next(&table, BEGIN + 200, &delivery));
	assert_string_equal(delivery.path, "/a");
	assert_true(gena_finish(&table, grant.id, GENA_FAILED, &delivery));
	assert_true(gena_finish(&table, grant.id, GENA_FAILED, &delivery));
	assert_string_equal(delivery.path, "/c");
	assert_false(gena_finish(&table, grant.id, GENA_DELIVERED, &delivery));
	assert_quiet(BEGIN + 1000);
}

static void
a_lost_event_is_not_repeated_but_its_variables_are(void **state)
{
	struct gena_grant grant = greeted(BEGIN);

	(void)state;
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN);
	lose(BEGIN + 200);
	assert_quiet(BEGIN + 60000);
	assert_int_equal(renew(grant.sid, BEGIN + 60000), GENA_OK);
	gena_changed(&table, MAPPINGS_SERVICE, ENTRIES, BEGIN + 60000);
	assert_delivered(BEGIN + 60200, 2, ADDRESS | ENTRIES);
	gena_changed(&table, MAPPINGS_SERVICE, ENTRIES, BEGIN + 70000);
	assert_delivered(BEGIN + 70200, 3, ENTRIES);
}

static void
a_subscription_ends_after_losses_in_a_row(void **state)
{
	struct gena_grant grant = greeted(BEGIN);
	monotime now = BEGIN;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 1; i < FAILURES; i++) {
			gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, now);
			lose(now += 1000);
			assert_int_equal(renew(grant.sid, now), GENA_OK);
		}
		if (round == 0) {
			gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, now);
			assert_delivered(now += 1000, FAILURES, ADDRESS);
		}
	}
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, now);
	lose(now += 1000);
	assert_int_equal(renew(grant.sid, now), GENA_PRECONDITION_FAILED);
}

static void
only_a_delivery_can_be_lost(void **state)
{
	struct gena_grant grant = greeted(BEGIN);

	(void)state;
	for (int i = 0; i < FAILURES; i++)
		assert_false(gena_finish(&table, grant.id, GENA_FAILED, &delivery));
	assert_false(gena_finish(&table, grant.id, GENA_GONE, &delivery));
	assert_int_equal(renew(grant.sid, BEGIN), GENA_OK);
}

static void
one_that_forgot_us_is_forgotten(void **state)
{
	struct gena_grant grant =
	    subscribed("<http://192.168.1.20/a><http://192.168.1.20/b>", MAPPINGS_SERVICE, BEGIN);

	(void)state;
	assert_true(gena_next(&table, BEGIN, &delivery));
	assert_false(gena_finish(&table, grant.id, GENA_GONE, &delivery));
	assert_int_equal(renew(grant.sid, BEGIN), GENA_PRECONDITION_FAILED);
	assert_quiet(BEGIN + 1000);
}

/* Else one that is slow could have more events under way than subscriptions. */
static void
who_leaves_during_an_event_has_its_place_until_that_ends(void **state)
{
	struct gena_grant grant[PER_CLIENT], other;

	(void)state;
	for (int i = 0; i < PER_CLIENT; i++) {
		grant[i] = subscribed("<http://192.168.1.20/a><http://192.168.1.20/b>",
				      MAPPINGS_SERVICE, BEGIN);
		assert_delivered(BEGIN, 0, GENA_ALL_VARIABLES);
	}
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN);
	for (int i = 0; i < PER_CLIENT; i++)
		assert_true(gena_next(&table, BEGIN + 200, &delivery));
	for (int i = 0; i < PER_CLIENT; i++)
		assert_int_equal(unsubscribe(grant[i].sid, BEGIN + 200), GENA_OK);
	assert_int_equal(unsubscribe(grant[0].sid, BEGIN + 200), GENA_PRECONDITION_FAILED);
	assert_int_equal(call_back(CLIENT, CALLBACK), GENA_UNAVAILABLE);
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN + 300);
	assert_quiet(BEGIN + 1000);
	for (int i = 0; i < PER_CLIENT; i++) {
		/* Nobody waits for it at another URL. */
		assert_false(
		    gena_finish(&table, grant[i].id, i ? GENA_FAILED : GENA_DELIVERED, &delivery));
		other = greeted(BEGIN + 1000);
		assert_int_not_equal(other.id, grant[i].id);
	}
	assert_int_equal(call_back(CLIENT, CALLBACK), GENA_UNAVAILABLE);
}

static void
a_delivery_may_outlive_its_subscription(void **state)
{
	const monotime end = BEGIN + 1800 * MONOTIME_SECOND;
	struct gena_grant grant = greeted(BEGIN);

	(void)state;
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, end - 300);
	assert_true(gena_next(&table, end - 100, &delivery));
	for (int i = 0; i < PER_CLIENT; i++)
		greeted(end);
	assert_false(gena_finish(&table, grant.id, GENA_FAILED, &delivery));
	assert_false(gena_finish(&table, grant.id, GENA_GONE, &delivery));
	gena_confirm(&table, grant.id, end);
	assert_quiet(end + 1000);
	assert_false(gena_finish(&table, 0, GENA_GONE, &delivery));
	assert_false(gena_finish(&table, 12345, GENA_GONE, &delivery));
}

static void
the_number_after_the_last_is_1(void **state)
{
	struct gena_grant grant = greeted(BEGIN);

	(void)state;
	for (int i = 0; i < PLACES; i++)
		if (place[i].id == grant.id)
			place[i].seq = UINT32_MAX - 1;
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN);
	assert_delivered(BEGIN + 1000, UINT32_MAX - 1, ADDRESS);
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN + 1000);
	assert_delivered(BEGIN + 2000, UINT32_MAX, ADDRESS);
	gena_changed(&table, MAPPINGS_SERVICE, ADDRESS, BEGIN + 2000);
	assert_delivered(BEGIN + 3000, 1, ADDRESS);
}

static void
ids_of_the_living_are_not_given_again(void **state)
{
	struct gena_grant first = greeted(BEGIN), second;

	(void)state;
	assert_int_equal(first.id, 1);
	table.last_id = UINT32_MAX;
	second = greeted(BEGIN);
	assert_int_equal(second.id, 2);
}

static const struct gena_variable values[] = {
    {"ConnectionStatus", "Connected"},
    {"ExternalIPAddress", ""},
    {"PortMappingNumberOfEntries", "12"},
    {"SystemUpdateID", "4294967295"},
};

#define XML   "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
#define OPEN  "<e:propertyset xmlns:e=\"urn:schemas-upnp-org:event-1-0\">\n"
#define CLOSE "</e:propertyset>\n"

static const char *
message(const struct gena_delivery *d, const struct gena_variable *variables, unsigned count)
{
	static char text[2048];
	size_t length = gena_encode(d, variables, count, text, sizeof(text) - 1);

	assert_int_not_equal(length, 0);
	text[length] = '\0';
	return text;
}

/* CONTENT-LENGTH is what follows the head. */
static void
assert_length(const char *text)
{
	const char *name = strstr(text, "CONTENT-LENGTH: ");

	assert_non_null(name);
	assert_int_equal(atoi(name + strlen("CONTENT-LENGTH: ")),
			 strlen(strstr(text, "\r\n\r\n") + 4));
}

static void
the_first_message(void **state)
{
	(void)state;
	subscribed("<http://192.168.1.20:49152/event?x=1>", MAPPINGS_SERVICE, BEGIN);
	assert_true(gena_next(&table, BEGIN, &delivery));
	assert_string_equal(
	    message(&delivery, values, COUNT(values)),
	    "NOTIFY /event?x=1 HTTP/1.1\r\n"
	    "HOST: 192.168.1.20:49152\r\n"
	    "CONTENT-TYPE: text/xml; charset=\"utf-8\"\r\n"
	    "CONTENT-LENGTH: 404\r\n"
	    "NT: upnp:event\r\n"
	    "NTS: upnp:propchange\r\n"
	    "SID: uuid:00000000-0000-4000-8000-000000000000\r\n"
	    "SEQ: 0\r\n"
	    "CONNECTION: close\r\n"
	    "\r\n" XML OPEN
	    "<e:property><ConnectionStatus>Connected</ConnectionStatus></e:property>\n"
	    "<e:property><ExternalIPAddress></ExternalIPAddress></e:property>\n"
	    "<e:property><PortMappingNumberOfEntries>12</PortMappingNumberOfEntries></e:property>\n"
	    "<e:property><SystemUpdateID>4294967295</SystemUpdateID></e:property>\n" CLOSE);
	assert_length(message(&delivery, values, COUNT(values)));
}

static void
a_message_with_what_changed(void **state)
{
	struct gena_delivery d = {
	    .to = {address("fe80::20"), 5000},
	    .path = "/",
	    .sid = "uuid:1",
	    .seq = UINT32_MAX,
	    .variables = ENTRIES | UPDATE,
	};

	(void)state;
	assert_string_equal(
	    message(&d, values, COUNT(values)),
	    "NOTIFY / HTTP/1.1\r\n"
	    "HOST: [fe80::20]:5000\r\n"
	    "CONTENT-TYPE: text/xml; charset=\"utf-8\"\r\n"
	    "CONTENT-LENGTH: 267\r\n"
	    "NT: upnp:event\r\n"
	    "NTS: upnp:propchange\r\n"
	    "SID: uuid:1\r\n"
	    "SEQ: 4294967295\r\n"
	    "CONNECTION: close\r\n"
	    "\r\n" XML OPEN
	    "<e:property><PortMappingNumberOfEntries>12</PortMappingNumberOfEntries></e:property>\n"
	    "<e:property><SystemUpdateID>4294967295</SystemUpdateID></e:property>\n" CLOSE);
	assert_length(message(&d, values, COUNT(values)));
}

static void
values_are_escaped(void **state)
{
	static const struct gena_variable hostile[] = {{"X", "a&b<c>\"d\"'e'\xc3\xa4\x01\xff</X>"}};
	struct gena_delivery d = {
	    .to = {address(CLIENT), 80}, .path = "/", .sid = "uuid:1", .variables = 1};
	const char *text = message(&d, hostile, 1);

	(void)state;
	assert_non_null(
	    strstr(text, "<X>a&amp;b&lt;c&gt;&quot;d&quot;&apos;e&apos;\xc3\xa4??&lt;/X&gt;</X>"));
	assert_length(text);
}

static void
as_many_variables_as_bits(void **state)
{
	struct gena_variable many[GENA_VARIABLES_MAX];
	struct gena_delivery d = {
	    .to = {address(CLIENT), 80}, .path = "/", .sid = "uuid:1", .variables = 0x80000000};
	const char *text;

	(void)state;
	for (unsigned i = 0; i < GENA_VARIABLES_MAX; i++)
		many[i] = (struct gena_variable){i == 31 ? "Last" : "Other", "1"};
	text = message(&d, many, GENA_VARIABLES_MAX);
	assert_non_null(strstr(text, "<Last>1</Last>"));
	assert_null(strstr(text, "Other"));
}

static void
a_buffer_too_small_takes_nothing(void **state)
{
	struct gena_delivery d = {
	    .to = {address(CLIENT), 80}, .path = "/", .sid = "uuid:1", .variables = STATUS};
	size_t length = strlen(message(&d, values, COUNT(values)));
	char text[2048];

	(void)state;
	assert_int_equal(gena_encode(&d, values, COUNT(values), text, length), length);
	for (size_t size = 0; size < length; size++)
		assert_int_equal(gena_encode(&d, values, COUNT(values), text, size), 0);
}

static void
answers_of_subscribers(void **state)
{
	static const struct {
		const char *text;
		enum gena_outcome outcome;
	} rows[] = {
	    {"HTTP/1.1 200 OK\r\n\r\n", GENA_DELIVERED},
	    {"HTTP/1.0 200\r\n", GENA_DELIVERED},
	    {"HTTP/1.1 204 No Content", GENA_DELIVERED},
	    {"http/1.1 200 OK", GENA_DELIVERED},
	    {"HTTP/1.1 412 Precondition Failed", GENA_GONE},
	    {"HTTP/1.1 400 Bad", GENA_FAILED},
	    {"HTTP/1.1 404 Not Found", GENA_FAILED},
	    {"HTTP/1.1 500 Error", GENA_FAILED},
	    {"HTTP/1.1 307 Elsewhere", GENA_FAILED},
	    {"HTTP/1.1 20x OK", GENA_FAILED},
	    {"HTTP/1.12200 OK", GENA_FAILED},
	    {"HTTP/2 200 OK", GENA_FAILED},
	    {"SSH-2.0-OpenSSH", GENA_FAILED},
	    {"\0\0\0\0\0\0\0\0\0\0\0\0", GENA_FAILED},
	};
	enum gena_outcome outcome;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(gena_decode_answer(rows[i].text, 12, &outcome));
		assert_int_equal(outcome, rows[i].outcome);
	}
	for (size_t size = 0; size < 12; size++)
		assert_false(gena_decode_answer(rows[0].text, size, &outcome));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_subscription_is_granted),
	    TEST(blanks_around_values_do_not_matter),
	    TEST(timeouts),
	    TEST(callbacks_that_are_taken),
	    TEST(callbacks_that_are_refused),
	    TEST(callbacks_that_are_bad_are_passed_over),
	    TEST(paths_are_stored_whole_or_refused),
	    TEST(headers_that_do_not_go_together),
	    TEST(a_renewal_keeps_the_subscription),
	    TEST(an_expired_subscription_is_forgotten),
	    TEST(an_expired_subscription_gets_no_event),
	    TEST(an_unsubscribed_one_is_forgotten),
	    TEST(an_sid_is_good_for_its_service_alone),
	    TEST(one_client_has_its_share),
	    TEST(one_ipv6_network_has_half),
	    TEST(all_clients_have_the_table),
	    TEST(the_first_event_waits_for_the_reply),
	    TEST(the_first_event_is_sent_to_those_who_left),
	    TEST(one_who_leaves_during_the_first_event),
	    TEST(changes_are_told_together),
	    TEST(only_subscribers_of_the_service_are_told),
	    TEST(changes_during_a_delivery_follow_it),
	    TEST(a_slow_subscriber_delays_nobody),
	    TEST(who_waits_longest_is_first),
	    TEST(the_urls_are_tried_in_order),
	    TEST(a_lost_event_is_not_repeated_but_its_variables_are),
	    TEST(a_subscription_ends_after_losses_in_a_row),
	    TEST(only_a_delivery_can_be_lost),
	    TEST(one_that_forgot_us_is_forgotten),
	    TEST(who_leaves_during_an_event_has_its_place_until_that_ends),
	    TEST(a_delivery_may_outlive_its_subscription),
	    TEST(the_number_after_the_last_is_1),
	    TEST(ids_of_the_living_are_not_given_again),
	    TEST(the_first_message),
	    TEST(a_message_with_what_changed),
	    TEST(values_are_escaped),
	    TEST(as_many_variables_as_bits),
	    TEST(a_buffer_too_small_takes_nothing),
	    TEST(answers_of_subscribers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
