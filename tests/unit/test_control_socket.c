/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon/frontends/control.h: who may ask what, lists in pages, readers that stall. */
#include "control_bed.h"

#include <grp.h>
#include <sys/wait.h>
#include <time.h>

enum { MANY = 1200 };

struct asker_end {
	int fd;
	size_t size;
	char text[2 << 20]; /* what came so far, with a NUL */
};

static struct asker_end end;

static void
open_end(const struct bed *bed)
{
	end.fd = bed_connect(bed);
	end.size = 0;
	end.text[0] = '\0';
}

static void
say(const char *text)
{
	assert_int_equal(send(end.fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Up to limit octets of what is there.  False: the daemon has closed. */
static bool
take(size_t limit)
{
	ssize_t got;

	assert_true(end.size + limit < sizeof(end.text));
	got = recv(end.fd, end.text + end.size, limit, MSG_DONTWAIT);
	if (got < 0)
		assert_true(errno == EAGAIN || errno == ECONNRESET);
	if (got > 0)
		end.size += (size_t)got;
	end.text[end.size] = '\0';
	return got > 0 || (got < 0 && errno == EAGAIN);
}

static bool
answered(void)
{
	return strstr(end.text, "{\"result\":") && end.text[end.size - 1] == '\n';
}

/* What is answered to a request, as text. */
static const char *
ask(struct bed *bed, const char *request)
{
	end.size = 0;
	end.text[0] = '\0';
	say(request);
	for (int i = 0; i < 100000 && !answered(); i++) {
		bed_turn(bed);
		if (!take(65536))
			break;
	}
	return end.text;
}

static unsigned
count(const char *text, const char *word)
{
	unsigned n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

static void
map_many(struct bed *bed, unsigned n)
{
	struct bed_wish wish = {ORIGIN_NATPMP, TRANSPORT_TCP, "192.168.1.10", 0, 7200, NULL};

	for (unsigned i = 0; i < n; i++) {
		wish.port = (uint16_t)(2000 + i);
		bed_map(bed, &wish);
	}
}

static void
pause_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void
answers(void **state)
{
	struct bed bed;
	char expected[600], request[128];
	uint16_t port;

	(void)state;
	bed_frozen = 1000000;
	bed_open(&bed, false, getegid(), 0);
	open_end(&bed);
	assert_string_equal(ask(&bed, "{\"command\":\"version\"}\n"),
			    "{\"version\":\"" PORTLEASE_VERSION "\"}\n{\"result\":\"ok\"}\n");
	assert_string_equal(ask(&bed, "{\"command\":\"list\"}\n"), "{\"result\":\"ok\"}\n");
	port = bed_map(&bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.10", 4000,
						600, "a game"});
	bed_frozen += 999; /* what is left is rounded up, as clients are told it */
	fake_firewall_connect(bed.firewall, TRANSPORT_UDP, port, 5);
	snprintf(expected, sizeof(expected),
		 "{\"lease\":{\"id\":1,\"origin\":\"pcp\",\"transport\":\"udp\","
		 "\"external_address\":\"203.0.113.5\",\"external_port\":%u,"
		 "\"internal_address\":\"192.168.1.10\",\"internal_port\":4000,\"ports\":1,"
		 "\"lifetime\":600,\"remaining\":600,\"age\":0,\"outbound\":true,"
		 "\"connections\":5,\"name\":null,\"description\":\"a game\",\"enabled\":true,"
		 "\"remote_address\":null,\"upnp_index\":null,\"user_agent\":\"\",\"live\":0}}\n"
		 "{\"result\":\"ok\"}\n",
		 port);
	assert_string_equal(ask(&bed, "{\"command\":\"list\"}\n"), expected);
	assert_string_equal(ask(&bed, "{\"command\":\"show\",\"id\":1}\n"), expected);
	snprintf(request, sizeof(request),
		 "{\"command\":\"show\",\"transport\":\"udp\",\"external_port\":%u}\n", port);
	assert_string_equal(ask(&bed, request), expected);
	snprintf(request, sizeof(request),
		 "{\"command\":\"show\",\"transport\":\"tcp\",\"external_port\":%u}\n", port);
	assert_string_equal(ask(&bed, request),
			    "{\"result\":\"not-found\",\"message\":\"no such lease\"}\n");
	assert_non_null(strstr(ask(&bed, "nonsense\n"), "\"bad-request\""));
	assert_non_null(strstr(ask(&bed, "{\"command\":\"list\",\"origin\":\"x\"}\n"),
			       "\"message\":\"\\\"origin\\\" is missing or wrong\""));
	close(end.fd);
	bed_close(&bed);
	bed_frozen = 0;
}

/* More than fit in a turn. */
static void
sessions_follow_their_lease(void **state)
{
	enum { SESSIONS = 600 };
	struct flow flow = {
	    .transport = TRANSPORT_UDP,
	    .from = {bed_address("198.51.100.7"), 0},
	    .to = {bed_address("203.0.113.5"), 4000},
	    .reply_from = {bed_address("192.168.1.10"), 4000},
	    .reply_to = {bed_address("198.51.100.7"), 0},
	    .mark = FLOWS_MARK_OURS,
	    .state = FLOW_REPLIED,
	    .timeout = 30,
	};
	struct bed bed;

	(void)state;
	bed_frozen = 1000000;
	bed_open(&bed, false, getegid(), 0);
	for (uint16_t port = 4000; port < 4003; port++)
		bed_map(&bed, &(struct bed_wish){ORIGIN_NATPMP, TRANSPORT_UDP, "192.168.1.10", port,
						 600, NULL});
	for (uint16_t i = 1; i <= SESSIONS; i++) {
		flow.from.port = flow.reply_to.port = i;
		fake_flows_add(bed.flows, &flow);
	}
	flow.to.port = flow.reply_from.port = 4001;
	fake_flows_add(bed.flows, &flow);
	open_end(&bed);
	ask(&bed, "{\"command\":\"list\"}\n");
	assert_int_equal(count(end.text, "\"live\":600}"), 1);
	assert_int_equal(count(end.text, "\"live\":1}"), 1);
	assert_int_equal(count(end.text, "\"live\":0}"), 1);
	assert_int_equal(count(end.text, "{\"session\":"), 0);
	ask(&bed, "{\"command\":\"list\",\"sessions\":true}\n");
	assert_int_equal(count(end.text, "{\"session\":{\"lease\":1,"), SESSIONS);
	assert_int_equal(count(end.text, "{\"session\":{\"lease\":2,"), 1);
	assert_int_equal(count(end.text, "{\"lease\":{"), 3);
	assert_true(strstr(end.text, "{\"session\":{\"lease\":2,") >
		    strstr(end.text, "{\"lease\":{\"id\":2,"));
	ask(&bed, "{\"command\":\"show\",\"id\":1}\n");
	assert_int_equal(count(end.text, "{\"session\":{\"lease\":1,"), SESSIONS);
	ask(&bed, "{\"command\":\"list\",\"origin\":\"pcp\",\"sessions\":true}\n");
	assert_string_equal(end.text, "{\"result\":\"ok\"}\n");
	/* What cannot be read is not known; leases are listed all the same. */
	fake_flows_fail(bed.flows, 1);
	bed_frozen += 2000;
	ask(&bed, "{\"command\":\"list\",\"sessions\":true}\n");
	assert_int_equal(count(end.text, "\"live\":null}"), 3);
	assert_int_equal(count(end.text, "{\"session\":"), 0);
	/* One who hangs up in between takes nothing along. */
	bed_frozen += 2000;
	say("{\"command\":\"list\",\"sessions\":true}\n");
	for (int i = 0; i < 3; i++)
		bed_turn(&bed);
	close(end.fd);
	open_end(&bed);
	ask(&bed, "{\"command\":\"list\"}\n");
	assert_int_equal(count(end.text, "\"live\":600}"), 1);
	close(end.fd);
	bed_close(&bed);
	bed_frozen = 0;
}

static void
nonces_stay_inside(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, true, getegid(), 0);
	bed_map(&bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.10", 4000, 600, ""});
	open_end(&bed);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"list\"}\n"), "\"internal_port\":4000"));
	assert_null(strstr(end.text, "nonce"));
	assert_null(strstr(end.text, "736563726574")); /* the beginning of it in hex */
	close(end.fd);
	bed_close(&bed);
}

static void
filters(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	bed_map(&bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.10", 4000, 600, ""});
	bed_map(&bed,
		&(struct bed_wish){ORIGIN_NATPMP, TRANSPORT_UDP, "192.168.1.10", 4001, 600, ""});
	bed_map(&bed,
		&(struct bed_wish){ORIGIN_NATPMP, TRANSPORT_TCP, "192.168.1.11", 4002, 600, ""});
	bed_map(&bed,
		&(struct bed_wish){ORIGIN_UPNP, TRANSPORT_TCP, "192.168.2.11", 4003, 600, ""});
	open_end(&bed);
	assert_int_equal(count(ask(&bed, "{\"command\":\"list\"}\n"), "\"id\""), 4);
	assert_int_equal(
	    count(ask(&bed, "{\"command\":\"list\",\"client\":\"192.168.1.10\"}\n"), "\"id\""), 2);
	assert_int_equal(
	    count(ask(&bed, "{\"command\":\"list\",\"client\":\"192.168.1.0/24\"}\n"), "\"id\""),
	    3);
	assert_int_equal(
	    count(ask(&bed, "{\"command\":\"list\",\"origin\":\"nat-pmp\"}\n"), "\"id\""), 2);
	assert_int_equal(
	    count(ask(&bed, "{\"command\":\"list\",\"transport\":\"tcp\"}\n"), "\"id\""), 2);
	ask(&bed, "{\"command\":\"list\",\"transport\":\"tcp\",\"origin\":\"nat-pmp\",\"client\":"
		  "\"192.168.1.11\"}\n");
	assert_int_equal(count(end.text, "\"id\""), 1);
	assert_non_null(strstr(end.text, "\"internal_port\":4002"));
	assert_string_equal(ask(&bed, "{\"command\":\"list\",\"origin\":\"static\"}\n"),
			    "{\"result\":\"ok\"}\n");
	close(end.fd);
	bed_close(&bed);
}

static struct control_status
status_of(struct bed *bed)
{
	static struct control_reply reply;
	char why[CONTROL_WHY_SIZE] = "";

	ask(bed, "{\"command\":\"status\"}\n");
	if (!control_reply_decode(end.text, strcspn(end.text, "\n"), &reply, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(reply.line, CONTROL_LINE_STATUS);
	return reply.status;
}

static void
status_says_it_all(void **state)
{
	struct address external = bed_address("203.0.113.5");
	struct control_status status;
	struct bed bed;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	bed.started -= 5000;
	map_many(&bed, 1100); /* more than are counted in one turn */
	bed_map(&bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.10", 4000, 600, ""});
	open_end(&bed);
	status = status_of(&bed);
	assert_string_equal(status.version, PORTLEASE_VERSION);
	assert_int_equal(status.pid, getpid());
	assert_true(address_equal(&status.external, &external));
	assert_true(status.nat_pmp && !status.pcp);
	assert_true(status.table_intact);
	assert_int_equal(status.rules, 2);
	assert_int_equal(status.leases[ORIGIN_NATPMP], 1100);
	assert_int_equal(status.leases[ORIGIN_PCP], 1);
	assert_int_equal(status.leases[ORIGIN_UPNP], 0);
	assert_int_equal(status.counters.granted, 1101);
	assert_int_equal(status.counters.requests[ORIGIN_NATPMP], 1100);
	assert_int_equal(status.counters.results[MAP_OK], 1101);
	assert_int_equal(status.interfaces, 3);
	assert_string_equal(status.interface[0].name, "wan0");
	assert_string_equal(status.interface[2].name, "br-guest");
	assert_true(status.interface[1].served && !status.interface[2].served);
	assert_int_equal(status.chains, 3);
	assert_string_equal(status.chain[1].name, "ip filter FORWARD");
	assert_true(status.chain[0].has_line && !status.chain[2].has_line);
	/* Asked again, nothing is counted twice. */
	assert_int_equal(status_of(&bed).leases[ORIGIN_NATPMP], 1100);
	close(end.fd);
	bed_close(&bed);
}

static void
removal(void **state)
{
	struct bed bed;
	uint16_t port;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	port = bed_map(
	    &bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.10", 4000, 600, ""});
	bed_map(&bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.10", 4001, 600, ""});
	open_end(&bed);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"remove\",\"id\":77}\n"), "not-found"));
	assert_int_equal(bed.changed, 0);
	/* The kernel does not take it away: the lease stays, and that is said. */
	fake_firewall_fail_commits(bed.firewall, 1, ENOMEM);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"remove\",\"id\":1}\n"), "\"failed\""));
	assert_non_null(fake_firewall_find(bed.firewall, TRANSPORT_UDP, port));
	assert_string_equal(ask(&bed, "{\"command\":\"remove\",\"id\":1}\n"),
			    "{\"result\":\"ok\"}\n");
	assert_null(fake_firewall_find(bed.firewall, TRANSPORT_UDP, port));
	assert_null(lease_table_by_id(engine_leases(bed.engine), 1));
	assert_non_null(lease_table_by_id(engine_leases(bed.engine), 2));
	assert_int_equal(engine_counters(bed.engine)->removed, 1);
	assert_int_equal(bed.changed, 2);
	close(end.fd);
	bed_close(&bed);
}

/* A forward of the admin's, added at run time. */
static void
publish(struct bed *bed, const char *name, uint16_t port)
{
	struct forward forward = {.transports = FORWARD_TCP,
				  .external = {port, port},
				  .target = {bed_address("192.168.1.20"), port}};

	strcpy(forward.name, name);
	assert_true(engine_add_forward(bed->engine, &forward, bed_now()));
	engine_flush(bed->engine, bed_now());
}

static void
flushing(void **state)
{
	struct bed bed;
	uint64_t changes;

	(void)state;
	bed_frozen = 1000000;
	bed_open(&bed, false, getegid(), 0);
	publish(&bed, "web", 80);
	map_many(&bed, 10);
	bed_map(&bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.11", 4000, 600, ""});
	bed_map(&bed,
		&(struct bed_wish){ORIGIN_UPNP, TRANSPORT_UDP, "192.168.1.11", 5300, 600, ""});
	bed_frozen += 60000;
	open_end(&bed);
	assert_int_equal(engine_epoch(bed.engine, bed_frozen), 60);
	/* Of some nobody is told. */
	changes = engine_table_changes(bed.engine);
	assert_string_equal(ask(&bed, "{\"command\":\"flush\",\"origin\":\"upnp\"}\n"),
			    "{\"flushed\":{\"removed\":1,\"failed\":0}}\n{\"result\":\"ok\"}\n");
	assert_int_equal(engine_table_changes(bed.engine), changes + 1);
	assert_string_equal(ask(&bed, "{\"command\":\"flush\",\"client\":\"192.168.1.11\"}\n"),
			    "{\"flushed\":{\"removed\":1,\"failed\":0}}\n{\"result\":\"ok\"}\n");
	assert_string_equal(ask(&bed, "{\"command\":\"flush\",\"transport\":\"udp\"}\n"),
			    "{\"flushed\":{\"removed\":0,\"failed\":0}}\n{\"result\":\"ok\"}\n");
	assert_int_equal(bed.changed, 2);
	assert_int_equal(bed.announced, 0);
	assert_int_equal(engine_epoch(bed.engine, bed_frozen), 60);
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 11);
	/* All of them are one change; the forward stays. */
	changes = engine_table_changes(bed.engine);
	assert_string_equal(ask(&bed, "{\"command\":\"flush\"}\n"),
			    "{\"flushed\":{\"removed\":10,\"failed\":0}}\n{\"result\":\"ok\"}\n");
	assert_int_equal(engine_table_changes(bed.engine), changes + 1);
	assert_int_equal(engine_counters(bed.engine)->removed, 12);
	assert_int_equal(bed.announced, 1);
	assert_int_equal(engine_epoch(bed.engine, bed_frozen), 0);
	assert_non_null(fake_firewall_find(bed.firewall, TRANSPORT_TCP, 80));
	assert_int_equal(fake_firewall_count(bed.firewall), 1);
	/* Where nothing is left to end, nothing was lost. */
	bed_frozen += 60000;
	assert_string_equal(ask(&bed, "{\"command\":\"flush\"}\n"),
			    "{\"flushed\":{\"removed\":0,\"failed\":0}}\n{\"result\":\"ok\"}\n");
	assert_int_equal(bed.announced, 1);
	assert_int_equal(engine_epoch(bed.engine, bed_frozen), 60);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"flush\",\"origin\":\"static\"}\n"),
			       "\"bad-request\""));
	assert_int_equal(fake_firewall_count(bed.firewall), 1);
	close(end.fd);
	bed_close(&bed);
	bed_frozen = 0;
}

/* Many end in pieces.  What is mapped between them stays, and what the kernel would not let go of
 * is counted. */
static void
flushing_many(void **state)
{
	struct bed_wish late = {ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.11", 4000, 600, ""};
	struct bed bed;
	size_t before = MANY, left;
	unsigned turns;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	map_many(&bed, MANY);
	open_end(&bed);
	say("{\"command\":\"flush\"}\n");
	for (turns = 0; !answered() && turns < MANY; turns++) {
		if (turns == 4)
			fake_firewall_fail_commits(bed.firewall, 1, ENOMEM);
		bed_turn(&bed);
		take(1 << 20);
		left = lease_table_count(engine_leases(bed.engine));
		assert_in_range(before - left, 0, 64); /* bounded work a turn */
		before = left;
		if (turns == 4) {
			bed_map(&bed, &late);
			before++;
		}
	}
	assert_true(turns > MANY / 64);
	left = lease_table_count(engine_leases(bed.engine)) - 1;
	assert_in_range(left, 1, 64);
	assert_int_equal(fake_firewall_count(bed.firewall), left + 1);
	assert_non_null(strstr(end.text, "{\"result\":\"failed\",\"message\":\""));
	assert_int_equal(engine_counters(bed.engine)->removed, MANY - left);
	assert_int_equal(bed.announced, 1);
	ask(&bed, "{\"command\":\"flush\",\"client\":\"192.168.1.10\"}\n");
	assert_non_null(strstr(end.text, "{\"result\":\"ok\"}"));
	assert_int_equal(lease_table_count(engine_leases(bed.engine)), 1);
	close(end.fd);
	bed_close(&bed);
}

/* The ids in the text, in order, must grow; how many there are. */
static unsigned
assert_ids_grow(const char *text)
{
	unsigned long long id, before = 0;
	unsigned n = 0;

	for (; (text = strstr(text, "\"id\":")); n++) {
		text += strlen("\"id\":");
		id = strtoull(text, NULL, 10);
		assert_true(id > before);
		before = id;
	}
	return n;
}

static void
list_in_pages(void **state)
{
	struct bed bed;
	unsigned turns = 0, lines = 0;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	map_many(&bed, MANY);
	open_end(&bed);
	say("{\"command\":\"list\"}\n");
	while (!answered() && turns < 10 * MANY) {
		unsigned now;

		bed_turn(&bed);
		take(1 << 20);
		now = count(end.text, "\"id\"");
		assert_in_range(now - lines, 0, 32); /* bounded work a turn */
		lines = now;
		turns++;
	}
	assert_int_equal(assert_ids_grow(end.text), MANY);
	assert_int_equal(count(end.text, "{\"result\":\"ok\"}"), 1);
	assert_in_range(turns, MANY / 100, MANY);
	close(end.fd);
	bed_close(&bed);
}

/* Leases come and go while the list is on its way: those that were there all the time are each
 * shown once. */
static void
list_survives_changes(void **state)
{
	struct bed bed;
	unsigned turns = 0;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	map_many(&bed, MANY);
	open_end(&bed);
	say("{\"command\":\"list\"}\n");
	while (!answered() && turns++ < MANY) {
		struct bed_wish wish = {
		    ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.10", (uint16_t)(2000 + turns), 600, ""};

		bed_turn(&bed);
		take(1 << 20);
		/* From the odd ids some in what is already sent, some in what is to come. */
		engine_remove(bed.engine, 2 * turns + 1, clock_now());
		engine_remove(bed.engine, MANY + 1 - 2 * turns, clock_now());
		engine_flush(bed.engine, clock_now());
		if (turns <= 5)
			bed_map(&bed, &wish);
	}
	assert_true(answered());
	assert_ids_grow(end.text);
	for (unsigned id = 2; id <= MANY; id += 2) {
		char text[32];

		snprintf(text, sizeof(text), "\"id\":%u,", id);
		assert_int_equal(count(end.text, text), 1);
	}
	close(end.fd);
	bed_close(&bed);
}

static void
stalled_reader_is_dropped(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, false, getegid(), 150);
	map_many(&bed, MANY);
	open_end(&bed);
	setsockopt(end.fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
	say("{\"command\":\"list\"}\n");
	for (int i = 0; i < 60; i++) {
		bed_turn(&bed);
		pause_ms(10);
	}
	/* What fitted between us came; the rest and the end did not. */
	for (int i = 0; i < 1000 && take(65536); i++)
		bed_turn(&bed);
	assert_in_range(count(end.text, "\"id\""), 100, MANY - 1);
	assert_false(answered());
	assert_false(take(1));
	close(end.fd);
	/* Others are served. */
	open_end(&bed);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"version\"}\n"), "ok"));
	close(end.fd);
	bed_close(&bed);
}

static void
slow_reader_is_served(void **state)
{
	struct bed bed;
	monotime began;

	(void)state;
	bed_open(&bed, false, getegid(), 300);
	map_many(&bed, MANY);
	open_end(&bed);
	say("{\"command\":\"list\"}\n");
	began = clock_now();
	for (int i = 0; i < 2000 && !answered(); i++) {
		bed_turn(&bed);
		pause_ms(i < 8 ? 100 : 1); /* much more in all than the patience */
		if (!take(40000))
			break;
	}
	assert_true(clock_now() - began > 600);
	assert_int_equal(assert_ids_grow(end.text), MANY);
	assert_true(answered());
	close(end.fd);
	bed_close(&bed);
}

/* Nobody waits for a list of another. */
static void
others_are_served_meanwhile(void **state)
{
	struct bed bed;
	int lister;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	map_many(&bed, MANY);
	open_end(&bed);
	lister = end.fd;
	say("{\"command\":\"list\"}\n");
	for (int i = 0; i < 5; i++)
		bed_turn(&bed);
	open_end(&bed);
	say("{\"command\":\"version\"}\n");
	for (int i = 0; i < 6; i++)
		bed_turn(&bed);
	take(65536);
	assert_true(answered());
	close(end.fd);
	close(lister);
	bed_close(&bed);
}

/* What is shown has its place among all that there are. */
static void
indexes(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	bed.config.upnp.on = true;
	map_many(&bed, MANY);
	open_end(&bed);
	assert_non_null(
	    strstr(ask(&bed, "{\"command\":\"show\",\"id\":1}\n"), "\"upnp_index\":0,"));
	assert_non_null(
	    strstr(ask(&bed, "{\"command\":\"show\",\"id\":1200}\n"), "\"upnp_index\":1199,"));
	engine_remove(bed.engine, 700, clock_now());
	engine_flush(bed.engine, clock_now());
	assert_non_null(
	    strstr(ask(&bed, "{\"command\":\"show\",\"id\":1200}\n"), "\"upnp_index\":1198,"));
	close(end.fd);
	bed_close(&bed);
}

static void
silent_client_is_dropped(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, false, getegid(), 100);
	open_end(&bed);
	/* A little now and then does not help: the whole request has the time. */
	for (int i = 0; i < 60 && take(1); i++) {
		(void)send(end.fd, " ", 1, MSG_NOSIGNAL);
		bed_turn(&bed);
		pause_ms(10);
	}
	assert_false(take(1));
	close(end.fd);
	bed_close(&bed);
}

static void
requests_in_pieces_and_in_a_row(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	open_end(&bed);
	say("{\"comm");
	for (int i = 0; i < 3; i++)
		bed_turn(&bed);
	assert_true(take(10) && end.size == 0);
	say("and\":\"version\"}\n{\"command\":\"list\"}\n{\"command\":\"show\",\"id\":3}\n{\"comm");
	for (int i = 0; i < 10; i++)
		bed_turn(&bed);
	take(65536);
	assert_string_equal(end.text,
			    "{\"version\":\"" PORTLEASE_VERSION "\"}\n{\"result\":\"ok\"}\n"
			    "{\"result\":\"ok\"}\n"
			    "{\"result\":\"not-found\",\"message\":\"no such lease\"}\n");
	/* Half closed: what was asked is answered before the end. */
	say("and\":\"list\"}\n");
	shutdown(end.fd, SHUT_WR);
	end.size = 0;
	for (int i = 0; i < 10; i++)
		bed_turn(&bed);
	take(65536);
	assert_string_equal(end.text, "{\"result\":\"ok\"}\n");
	assert_false(take(1));
	close(end.fd);
	bed_close(&bed);
}

static void
endless_request_is_refused(void **state)
{
	char text[CONTROL_REQUEST_MAX + 1];
	struct bed bed;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	/* The longest one that is taken, its blanks included. */
	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"command\":\"list\"}", 18);
	text[CONTROL_REQUEST_MAX - 1] = '\n';
	text[CONTROL_REQUEST_MAX] = '\0';
	open_end(&bed);
	assert_string_equal(ask(&bed, text), "{\"result\":\"ok\"}\n");
	text[CONTROL_REQUEST_MAX - 1] = ' ';
	assert_string_equal(
	    ask(&bed, text),
	    "{\"result\":\"bad-request\",\"message\":\"the request is too long\"}\n");
	for (int i = 0; i < 3; i++)
		bed_turn(&bed);
	assert_false(take(1));
	close(end.fd);
	bed_close(&bed);
}

static void
too_many_clients(void **state)
{
	struct bed bed;
	int fds[16];

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	for (int i = 0; i < 16; i++) {
		fds[i] = bed_connect(&bed);
		bed_turn(&bed);
	}
	open_end(&bed);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"list\"}\n"), "\"busy\""));
	assert_false(take(1));
	close(end.fd);
	close(fds[0]);
	for (int i = 0; i < 3; i++)
		bed_turn(&bed);
	open_end(&bed);
	assert_string_equal(ask(&bed, "{\"command\":\"list\"}\n"), "{\"result\":\"ok\"}\n");
	close(end.fd);
	for (int i = 1; i < 16; i++)
		close(fds[i]);
	bed_close(&bed);
}

static void
vanished_client(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	map_many(&bed, 200);
	for (int turns = 0; turns < 6; turns++) {
		open_end(&bed);
		say("{\"command\":\"list\"}\n");
		for (int i = 0; i < turns; i++)
			bed_turn(&bed);
		close(end.fd);
		for (int i = 0; i < 6; i++)
			bed_turn(&bed);
	}
	open_end(&bed);
	assert_int_equal(count(ask(&bed, "{\"command\":\"list\"}\n"), "\"id\""), 200);
	close(end.fd);
	bed_close(&bed);
}

/* Who may what: clients of other users */

enum { NOBODY = 65534, GROUP = 54321 };

/* Connects as that user and stays: what counts is who he was when he connected. */
static int
connect_as(const struct bed *bed, gid_t primary, size_t extra, const gid_t *groups)
{
	int fd = -1, ends[2], status;
	pid_t pid;
	char control[CMSG_SPACE(sizeof(int))] = {0}, octet = 0;
	struct iovec iov = {&octet, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header;

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), errno);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};

		strcpy(address.sun_path, bed->path);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (setgroups(extra, groups) < 0 || setresgid(primary, primary, primary) < 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
		    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(1);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
		_exit(sendmsg(ends[1], &message, 0) == 1 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ends[1]);
	if (status == 0) {
		assert_int_equal(recvmsg(ends[0], &message, MSG_CMSG_CLOEXEC), 1);
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	} else {
		fd = -1;
	}
	close(ends[0]);
	return fd;
}

static const struct {
	const char *who;
	gid_t primary;
	size_t extra;
	gid_t groups[40];
	bool member;
} users[] = {
    {"a stranger", NOBODY, 0, {0}, false},
    {"one of other groups", 1000, 2, {1001, 1002}, false},
    {"one of group root", 0, 1, {0}, false},
    {"a member by primary group", GROUP, 0, {0}, true},
    {"a member by supplementary group", 1000, 1, {GROUP}, true},
    {"a member by his last of many groups", 1000, 40, {[39] = GROUP}, true},
};

static void
who_may_what(void **state)
{
	struct bed bed;

	(void)state;
	if (geteuid() != 0)
		skip();
	for (int readable = 0; readable < 2; readable++) {
		bed_open(&bed, readable, GROUP, 0);
		chmod(bed.path, 0666); /* so that the daemon's own check is what refuses */
		for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
			char request[80];

			bed_map(&bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_TCP, "192.168.1.10",
							 (uint16_t)(4000 + i), 600, ""});
			open_end(&bed);
			close(end.fd);
			end.fd =
			    connect_as(&bed, users[i].primary, users[i].extra, users[i].groups);
			assert_true(end.fd >= 0);
			snprintf(request, sizeof(request), "{\"command\":\"remove\",\"id\":%zu}\n",
				 i + 1);
			if (!strstr(ask(&bed, "{\"command\":\"list\"}\n"),
				    users[i].member || readable ? "\"ok\"" : "\"not-permitted\""))
				fail_msg("list by %s: %s", users[i].who, end.text);
			if (!users[i].member && !readable)
				assert_int_equal(count(end.text, "\n"), 1);
			if (!strstr(ask(&bed, request),
				    users[i].member ? "\"ok\"" : "\"not-permitted\""))
				fail_msg("remove by %s: %s", users[i].who, end.text);
			assert_int_equal(lease_table_by_id(engine_leases(bed.engine), i + 1) ==
					     NULL,
					 users[i].member);
			if (!strstr(ask(&bed, "{\"command\":\"flush\"}\n"),
				    users[i].member ? "\"ok\"" : "\"not-permitted\""))
				fail_msg("flush by %s: %s", users[i].who, end.text);
			assert_int_equal(lease_table_count(engine_leases(bed.engine)) == 0,
					 users[i].member);
			close(end.fd);
		}
		bed_close(&bed);
	}
}

static void
no_group_means_root_alone(void **state)
{
	struct bed bed;

	(void)state;
	if (geteuid() != 0)
		skip();
	bed_open(&bed, true, CONTROL_NO_GROUP, 0);
	end.fd = connect_as(&bed, NOBODY, 0, NULL);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"list\"}\n"), "\"ok\""));
	assert_non_null(
	    strstr(ask(&bed, "{\"command\":\"remove\",\"id\":1}\n"), "\"not-permitted\""));
	close(end.fd);
	open_end(&bed);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"remove\",\"id\":1}\n"), "\"not-found\""));
	close(end.fd);
	bed_close(&bed);
}

static void
places_kept_for_admins(void **state)
{
	struct bed bed;
	int fds[12];

	(void)state;
	if (geteuid() != 0)
		skip();
	bed_open(&bed, true, CONTROL_NO_GROUP, 0);
	for (int i = 0; i < 12; i++) {
		fds[i] = connect_as(&bed, NOBODY, 0, NULL);
		bed_turn(&bed);
	}
	end.fd = connect_as(&bed, NOBODY, 0, NULL);
	assert_non_null(strstr(ask(&bed, "{\"command\":\"list\"}\n"), "\"busy\""));
	close(end.fd);
	open_end(&bed);
	assert_string_equal(ask(&bed, "{\"command\":\"list\"}\n"), "{\"result\":\"ok\"}\n");
	close(end.fd);
	for (int i = 0; i < 12; i++)
		close(fds[i]);
	bed_close(&bed);
}

/* The socket file */

static void
socket_file(void **state)
{
	struct stat status;
	struct bed bed;

	(void)state;
	if (geteuid() != 0)
		skip();
	bed_open(&bed, false, GROUP, 0);
	assert_return_code(stat(bed.path, &status), errno);
	assert_int_equal(status.st_mode & 07777, 0660);
	assert_int_equal(status.st_uid, 0);
	assert_int_equal(status.st_gid, control_group() == CONTROL_NO_GROUP ? 0 : control_group());
	assert_int_equal(connect_as(&bed, 1000, 0, NULL),
			 -1); /* the kernel already refuses strangers */
	bed_close(&bed);
	assert_int_equal(stat(bed.path, &status), -1);
	bed_open(&bed, true, GROUP, 0);
	assert_return_code(stat(bed.path, &status), errno);
	assert_int_equal(status.st_mode & 07777, 0666);
	bed_close(&bed);
}

static void
socket_file_in_the_way(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct config second;
	struct bed bed;
	char why[160], path[80];
	int fd;

	(void)state;
	bed_open(&bed, false, getegid(), 0);
	/* Somebody answers. */
	assert_int_equal(control_bind(&bed.config, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "another daemon answers"));
	open_end(&bed);
	assert_string_equal(ask(&bed, "{\"command\":\"list\"}\n"), "{\"result\":\"ok\"}\n");
	close(end.fd);
	/* Nobody does any more; its folder is made if it is missing. */
	second = bed.config;
	snprintf(path, sizeof(path), "%s/run/control", bed.folder);
	second.control_socket = path;
	fd = control_bind(&second, why, sizeof(why));
	assert_return_code(fd, errno);
	close(fd);
	fd = control_bind(&second, why, sizeof(why));
	assert_return_code(fd, errno);
	close(fd);
	unlink(path);
	/* Not a socket. */
	fclose(fopen(path, "w"));
	assert_int_equal(control_bind(&second, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "is not a socket"));
	assert_return_code(unlink(path), errno);
	snprintf(path, sizeof(path), "%s/run", bed.folder);
	assert_return_code(rmdir(path), errno);
	snprintf(path, sizeof(path), "%s/no/such/folder", bed.folder);
	assert_int_equal(control_bind(&second, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "No such file"));
	memset(path, 'x', sizeof(path) - 1);
	second.control_socket = malloc(200);
	memset(second.control_socket, 'x', 199);
	second.control_socket[199] = '\0';
	assert_true(sizeof(address.sun_path) < 200);
	assert_int_equal(control_bind(&second, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "too long"));
	free(second.control_socket);
	bed_close(&bed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers),
	    cmocka_unit_test(sessions_follow_their_lease),
	    cmocka_unit_test(nonces_stay_inside),
	    cmocka_unit_test(filters),
	    cmocka_unit_test(status_says_it_all),
	    cmocka_unit_test(removal),
	    cmocka_unit_test(flushing),
	    cmocka_unit_test(flushing_many),
	    cmocka_unit_test(list_in_pages),
	    cmocka_unit_test(list_survives_changes),
	    cmocka_unit_test(stalled_reader_is_dropped),
	    cmocka_unit_test(slow_reader_is_served),
	    cmocka_unit_test(others_are_served_meanwhile),
	    cmocka_unit_test(indexes),
	    cmocka_unit_test(silent_client_is_dropped),
	    cmocka_unit_test(requests_in_pieces_and_in_a_row),
	    cmocka_unit_test(endless_request_is_refused),
	    cmocka_unit_test(too_many_clients),
	    cmocka_unit_test(vanished_client),
	    cmocka_unit_test(who_may_what),
	    cmocka_unit_test(no_group_means_root_alone),
	    cmocka_unit_test(places_kept_for_admins),
	    cmocka_unit_test(socket_file),
	    cmocka_unit_test(socket_file_in_the_way),
	};

	log_open(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
