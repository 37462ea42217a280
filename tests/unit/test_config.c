/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What portlease.conf may say, what it means, and what is said to who writes something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../daemon/base/config.h"

#define GOLDEN	     "tests/golden/config"
#define MANUAL	     "conf/portlease.conf.5"
#define SIDES	     "lan \"br0\" { }\nwan \"wan0\" { }\n"
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static char error[1024];
static char scratch[] = "/tmp/portlease-test-config-XXXXXX";

/* What the machine that runs this has is another matter. */
static struct ifaddrs *machine;

int
getifaddrs(struct ifaddrs **out)
{
	*out = machine;
	return 0;
}

void
freeifaddrs(struct ifaddrs *all)
{
	(void)all;
}

static int
make_scratch(void **state)
{
	(void)state;
	int fd = mkstemp(scratch);
	return fd < 0 ? -1 : close(fd);
}

static int
drop_scratch(void **state)
{
	(void)state;
	return unlink(scratch);
}

static char *
print(const struct config *config)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	assert_non_null(out);
	config_print(config, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* The canonical form reads as the same, and says all that a running daemon may not change. */
static void
check_canonical(const struct config *config)
{
	char path[] = "/tmp/portlease-test-canonical-XXXXXX", why[1024];
	char *text = print(config), *again;
	int fd = mkstemp(path);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	struct config *other = config_read_fd(fd, path, why, sizeof(why));
	unlink(path);
	if (!other)
		fail_msg("%s\n%s", why, text);
	again = print(other);
	assert_string_equal(again, text);
	assert_int_equal(other->rules, config->rules);
	assert_true(config_may_become(config, other, path, why, sizeof(why)));
	config_free(other);
	free(text);
	free(again);
}

static struct config *
read_octets(const char *text, size_t length)
{
	FILE *file = fopen(scratch, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	error[0] = '\0';
	struct config *config = config_read(scratch, error, sizeof(error));
	if (config)
		check_canonical(config);
	return config;
}

static struct config *
read_text(const char *text)
{
	struct config *config = read_octets(text, strlen(text));
	if (!config)
		assert_string_not_equal(error, "");
	return config;
}

static struct config *
read_good(const char *text)
{
	struct config *config = read_text(text);
	if (!config)
		fail_msg("%s\n%s", error, text);
	return config;
}

static void
assert_error(const char *expected)
{
	size_t length = strlen(scratch);
	assert_memory_equal(error, scratch, length);
	assert_string_equal(error + length, expected);
}

static void
test_defaults(void **state)
{
	(void)state;
	struct config *config = read_good(SIDES);
	assert_int_equal(config->lans, 1);
	assert_string_equal(config->lan[0].interface, "br0");
	assert_string_equal(config->wan.interface, "wan0");
	assert_false(config->wan.has_external_address);
	assert_true(config->wan.source_nat);
	assert_false(config->wan.refuse_private);
	assert_int_equal(config->rules, 0);
	assert_string_equal(config->state_directory, "/var/lib/portlease");
	assert_int_equal(config->journal_sync, CONFIG_SYNC_FULL);
	assert_false(config->journal_refuses);
	assert_true(config->keep_on_exit);
	assert_string_equal(config->control_socket, "/run/portlease/control");
	assert_false(config->control_readable);
	assert_string_equal(config->user, "portlease");
	assert_int_equal(config->log_level, LOG_LEVEL_INFO);
	assert_int_equal(config->log_target, LOG_TARGET_STDERR);
	assert_true(config->nat_pmp);
	assert_true(config->pcp);
	assert_int_equal(config->min_lifetime, 120);
	assert_int_equal(config->max_lifetime, 86400);
	assert_int_equal(config->random_ports.first, 1024);
	assert_int_equal(config->random_ports.last, 65535);
	assert_int_equal(config->max_mappings_per_client, 512);
	assert_int_equal(config->requests_per_second, 200);
	assert_false(config->end_flows_on_expiry);
	assert_int_equal(config->host_gone_timeout, 0);
	assert_int_equal(config->idle_mapping_timeout, 0);
	const struct config_upnp *upnp = &config->upnp;
	assert_true(upnp->on);
	assert_string_equal(upnp->worker_user, "portlease-upnp");
	assert_int_equal(upnp->igd_version, CONFIG_IGD_AUTO);
	assert_int_equal(upnp->http_port, 5431);
	assert_string_equal(upnp->friendly_name, "portlease");
	assert_string_equal(upnp->model_name, "portlease");
	assert_null(upnp->model_number);
	assert_null(upnp->serial_number);
	assert_string_equal(upnp->uuid, "");
	assert_null(upnp->presentation_url);
	assert_int_equal(upnp->ssdp_interval, 600);
	assert_false(upnp->strict_ssdp);
	assert_int_equal(upnp->http_requests_per_second, 1000);
	assert_int_equal(upnp->http_connections_per_client, 100);
	assert_int_equal(upnp->http_connections, 1000);
	assert_int_equal(upnp->http_request_timeout, 15);
	assert_int_equal(upnp->http_answer_timeout, 45);
	assert_int_equal(upnp->event_subscriptions_per_client, 64);
	assert_int_equal(upnp->event_subscriptions, 1024);
	assert_int_equal(upnp->ssdp_searches_per_second, 50);
	assert_int_equal(upnp->ssdp_searches_per_second_total, 500);
	assert_true(upnp->read_others_mappings);
	config_free(config);
	config_free(NULL);
}

static void
test_every_key(void **state)
{
	(void)state;
	struct config *config = read_good("state-directory = /srv//state\n"
					  "journal-sync = normal on-exit = remove\n"
					  "journal-failure = refuse\n"
					  "control-socket = '/run/a b'\n"
					  "control-access = all log = syslog log-level = debug\n"
					  "user = 65534 nat-pmp = no pcp = no\n"
					  "min-lifetime = 1 max-lifetime = 4294967294\n"
					  "random-ports = 2000-2999\n"
					  "max-mappings-per-client = 1 requests-per-second = 0\n"
					  "end-flows-on-expiry = yes\n"
					  "host-gone-timeout = 300 idle-mapping-timeout = 86400\n"
					  "lan \"br0\" { } lan guests { }\n"
					  "wan ppp0 {\n"
					  "external-address = 203.0.113.5\n"
					  "source-nat = no\n"
					  "private-wan = refuse }\n");
	assert_string_equal(config->state_directory, "/srv//state");
	assert_int_equal(config->journal_sync, CONFIG_SYNC_NORMAL);
	assert_true(config->journal_refuses);
	assert_false(config->keep_on_exit);
	assert_string_equal(config->control_socket, "/run/a b");
	assert_true(config->control_readable);
	assert_int_equal(config->log_target, LOG_TARGET_SYSLOG);
	assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(config->user, "65534");
	assert_false(config->nat_pmp);
	assert_false(config->pcp);
	assert_int_equal(config->min_lifetime, 1);
	assert_int_equal(config->max_lifetime, 4294967294);
	assert_int_equal(config->random_ports.first, 2000);
	assert_int_equal(config->random_ports.last, 2999);
	assert_int_equal(config->max_mappings_per_client, 1);
	assert_int_equal(config->requests_per_second, 0);
	assert_true(config->end_flows_on_expiry);
	assert_int_equal(config->host_gone_timeout, 300);
	assert_int_equal(config->idle_mapping_timeout, 86400);
	assert_int_equal(config->lans, 2);
	assert_string_equal(config->lan[0].interface, "br0");
	assert_string_equal(config->lan[1].interface, "guests");
	assert_string_equal(config->wan.interface, "ppp0");
	assert_true(config->wan.has_external_address);
	char text[ADDRESS_TEXT_SIZE];
	assert_string_equal(address_print(&config->wan.external_address, text), "203.0.113.5");
	assert_false(config->wan.source_nat);
	assert_true(config->wan.refuse_private);
	config_free(config);
}

static void
test_every_upnp_key(void **state)
{
	(void)state;
	struct config *config = read_good(SIDES "upnp = no worker-user = 54322 igd-version = 2\n"
						"http-port = 1024 friendly-name = 'Our gateway'\n"
						"model-name = M model-number = 1.0\n"
						"serial-number = 007\n"
						"uuid = 01234567-89ab-CDEF-0123-456789ABcdef\n"
						"presentation-url = 'https://gw.example/?a=1'\n"
						"ssdp-interval = 60 strict-ssdp = yes\n"
						"http-requests-per-second = 0\n"
						"http-connections-per-client = 1\n"
						"http-connections = 4096\n"
						"http-request-timeout = 2 http-answer-timeout = 3\n"
						"event-subscriptions-per-client = 4\n"
						"event-subscriptions = 5\n"
						"ssdp-searches-per-second = 6\n"
						"ssdp-searches-per-second-total = 7\n"
						"read-others-mappings = no\n");
	const struct config_upnp *upnp = &config->upnp;
	assert_false(upnp->on);
	assert_string_equal(upnp->worker_user, "54322");
	assert_int_equal(upnp->igd_version, CONFIG_IGD_2);
	assert_int_equal(upnp->http_port, 1024);
	assert_string_equal(upnp->friendly_name, "Our gateway");
	assert_string_equal(upnp->model_name, "M");
	assert_string_equal(upnp->model_number, "1.0");
	assert_string_equal(upnp->serial_number, "007");
	assert_string_equal(upnp->uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_string_equal(upnp->presentation_url, "https://gw.example/?a=1");
	assert_int_equal(upnp->ssdp_interval, 60);
	assert_true(upnp->strict_ssdp);
	assert_int_equal(upnp->http_requests_per_second, 0);
	assert_int_equal(upnp->http_connections_per_client, 1);
	assert_int_equal(upnp->http_connections, 4096);
	assert_int_equal(upnp->http_request_timeout, 2);
	assert_int_equal(upnp->http_answer_timeout, 3);
	assert_int_equal(upnp->event_subscriptions_per_client, 4);
	assert_int_equal(upnp->event_subscriptions, 5);
	assert_int_equal(upnp->ssdp_searches_per_second, 6);
	assert_int_equal(upnp->ssdp_searches_per_second_total, 7);
	assert_false(upnp->read_others_mappings);
	config_free(config);
	config = read_good(SIDES "igd-version = 1");
	assert_int_equal(config->upnp.igd_version, CONFIG_IGD_1);
	config_free(config);
}

static void
assert_ports(struct port_range range, unsigned first, unsigned last)
{
	assert_int_equal(range.first, first);
	assert_int_equal(range.last, last);
}

/* In order, each with its line, and open in what it does not name. */
static void
test_rules(void **state)
{
	(void)state;
	struct config *config =
	    read_good("lan br0 { }\n"
		      "rule { action = deny }\n"
		      "wan wan0 { }\n"
		      "rule\n{\n"
		      "	action = allow\n"
		      "	client = 192.168.1.0/24\n"
		      "	transport = tcp\n"
		      "	external-ports = 80\n"
		      "	internal-ports = 8000-8099\n"
		      "	description = \"Käse \\\"*\\\\*\\\"\"\n"
		      "}\n"
		      "rule { action = allow transport = udp client = 2001:db8::/32 "
		      "internal-client = 192.168.1.9 }\n"
		      "rule { action = deny transport = both description = 'a\\*${b}' }\n");
	assert_int_equal(config->rules, 4);
	const struct policy_rule *rule = config->rule;
	assert_false(rule[0].allow);
	assert_false(rule[0].has_client);
	assert_int_equal(rule[0].transports, CONFIG_TCP | CONFIG_UDP);
	assert_ports(rule[0].external, 0, 65535);
	assert_ports(rule[0].internal, 0, 65535);
	assert_null(rule[0].description);
	assert_int_equal(rule[0].line, 2);

	char text[PREFIX_TEXT_SIZE];
	assert_true(rule[1].allow);
	assert_true(rule[1].has_client);
	assert_string_equal(prefix_print(&rule[1].client, text), "192.168.1.0/24");
	assert_int_equal(rule[1].transports, CONFIG_TCP);
	assert_ports(rule[1].external, 80, 80);
	assert_ports(rule[1].internal, 8000, 8099);
	assert_string_equal(rule[1].description, "Käse \"*\\*\"");
	assert_int_equal(rule[1].line, 4);

	assert_true(rule[2].allow);
	assert_string_equal(prefix_print(&rule[2].client, text), "2001:db8::/32");
	assert_true(rule[2].has_internal_client && !rule[1].has_internal_client);
	assert_string_equal(prefix_print(&rule[2].internal_client, text), "192.168.1.9/32");
	assert_int_equal(rule[2].transports, CONFIG_UDP);
	assert_null(rule[2].description);
	assert_int_equal(rule[2].line, 13);

	assert_false(rule[3].allow);
	assert_int_equal(rule[3].transports, CONFIG_TCP | CONFIG_UDP);
	assert_string_equal(rule[3].description, "a\\*${b}");
	config_free(config);
}

#define LIFETIME "a number from 1 to 4294967294 without leading zeros"
#define PORTS	 "a port or FIRST-LAST, within 1-65535, without leading zeros"
#define ADDRESS	 "an IPv4 address that other hosts can reach"
#define PREFIX	 "ADDRESS or ADDRESS/LENGTH without bits beyond the length"
#define X31	 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X53	 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* What each key takes (quoted by the test) and refuses. */
static const struct words {
	const char *section;
	const char *key;
	const char *expected;
	const char *good[6];
	const char *bad[16];
} words[] = {
    {"", "state-directory", "an absolute path", {"/", "/a b"}, {"", "var/lib", "~/lib"}},
    {"", "journal-sync", "full|normal|off", {"full", "normal", "off"}, {"", "no", "FULL"}},
    {"", "journal-failure", "serve|refuse", {"serve", "refuse"}, {"", "yes", "Refuse"}},
    {"", "on-exit", "remove|keep", {"remove", "keep"}, {"", "yes", "Keep"}},
    {"",
     "control-socket",
     "an absolute path of at most 107 octets",
     {"/run/x", "/" X53 X53},
     {"", "run/x", "/" X53 X53 "x"}},
    {"", "control-access", "group|all", {"group", "all"}, {"", "everybody", "group|all", "Group"}},
    {"", "user", "the name or the number of a user", {"nobody", "0"}, {""}},
    {"", "log", "stderr|syslog", {"stderr", "syslog"}, {"", "file", "syslo"}},
    {"",
     "log-level",
     "error|warning|info|debug",
     {"error", "warning", "info", "debug"},
     {"", "Info", "warn", "3"}},
    {"", "nat-pmp", "no|yes", {"yes", "no"}, {"", "true", "on", "1", "Yes", "ye", "yes "}},
    {"", "pcp", "no|yes", {"yes", "no"}, {"", "false", "off", "0", "NO", "n"}},
    {"", "min-lifetime", LIFETIME, {"1", "120", "86400"}, {"0", "00", "-1"}},
    {"",
     "max-lifetime",
     LIFETIME,
     {"120", "86400", "4294967294"},
     {"", "0", "0600", "0x600", "1.5", "1e3", "-1", "+600", "24h", " 600", "600 ", "4294967295",
      "4294967896", "99999999999999999999"}},
    {"",
     "random-ports",
     PORTS,
     {"1-65535", "1024-1024", "5000"},
     {"", "0", "0-100", "1024-65536", "2000-1024", "1024-", "-1024", "1-2-3", "01024-2048",
      "1024-02048", "1024 - 2048", "any", "1024:2048"}},
    {"",
     "max-mappings-per-client",
     "a number from 1 to 131070 without leading zeros",
     {"1", "131070"},
     {"0", "131071", "none"}},
    {"",
     "requests-per-second",
     "a number from 0 to 1000000 without leading zeros",
     {"0", "1000000"},
     {"1000001", "00", "none"}},
    {"", "end-flows-on-expiry", "no|yes", {"yes", "no"}, {"", "tcp", "1"}},
    {"",
     "host-gone-timeout",
     "a number from 0 to 4294967294 without leading zeros",
     {"0", "300", "4294967294"},
     {"", "4294967295", "00", "never", "5m"}},
    {"",
     "idle-mapping-timeout",
     "a number from 0 to 4294967294 without leading zeros",
     {"0", "86400", "4294967294"},
     {"", "4294967295", "00", "never", "24h"}},
    {"", "upnp", "no|yes", {"yes", "no"}, {"", "auto", "1"}},
    {"", "worker-user", "the name or the number of a user", {"nobody", "0"}, {""}},
    {"", "igd-version", "auto|1|2", {"auto", "1", "2"}, {"", "0", "3", "v1", "both"}},
    {"",
     "http-port",
     "a number from 1024 to 65535 without leading zeros",
     {"1024", "5431", "65535"},
     {"", "0", "80", "1023", "65536", "http"}},
    {"",
     "friendly-name",
     "a name of at most 63 octets",
     {"x", X53 "1234567890"},
     {"", X53 "12345678901"}},
    {"", "model-name", "a name of at most 31 octets", {"x", X31}, {"", X31 "x"}},
    {"", "model-number", "a text of at most 31 octets", {"x", X31}, {"", X31 "x"}},
    {"",
     "serial-number",
     "a text of at most 63 octets",
     {"x", X53 "1234567890"},
     {"", X53 "12345678901"}},
    {"",
     "uuid",
     "32 hexadecimal digits in groups of 8-4-4-4-12",
     {"01234567-89ab-cdef-0123-456789abcdef", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"},
     {"", "uuid:01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcde",
      "01234567-89ab-cdef-0123-456789abcdeff", "0123456789abcdef0123456789abcdef",
      "01234567-89ab-cdef-0123-456789abcdeg", "01234567-89ab-cdef-01234-56789abcdef",
      "01234567-89ab-cdef-0123+456789abcdef"}},
    {"",
     "presentation-url",
     "a URL that begins with http:// or https://, of at most 255 octets",
     {"http://a", "https://[fd00::1]:8443/x?y=z&a#b", "http://" X31 X53 X53 X53 X53 "12345"},
     {"", "http://", "https://", "a.example", "ftp://a", "javascript:alert(1)", "http://a b",
      "http://a<b", "http://a>b", "http://a\"b", "http://ä", "HTTP://a",
      "http://" X31 X53 X53 X53 X53 "123456"}},
    {"",
     "ssdp-interval",
     "a number from 60 to 86400 without leading zeros",
     {"60", "86400"},
     {"0", "59", "86401", "10m"}},
    {"", "strict-ssdp", "no|yes", {"yes", "no"}, {"", "strict"}},
    {"",
     "ssdp-searches-per-second",
     "a number from 0 to 1000000 without leading zeros",
     {"0", "1000000"},
     {"1000001", "none"}},
    {"",
     "ssdp-searches-per-second-total",
     "a number from 0 to 1000000 without leading zeros",
     {"0", "1000000"},
     {"1000001", "none"}},
    {"",
     "http-requests-per-second",
     "a number from 0 to 1000000 without leading zeros",
     {"0", "1000000"},
     {"1000001", "none"}},
    {"",
     "http-connections-per-client",
     "a number from 1 to 4096 without leading zeros",
     {"1", "4096"},
     {"0", "4097"}},
    {"",
     "http-connections",
     "a number from 1 to 4096 without leading zeros",
     {"1", "4096"},
     {"0", "4097"}},
    {"",
     "http-request-timeout",
     "a number from 1 to 3600 without leading zeros",
     {"1", "3600"},
     {"0", "3601", "15s"}},
    {"",
     "http-answer-timeout",
     "a number from 1 to 3600 without leading zeros",
     {"1", "3600"},
     {"0", "3601", "45s"}},
    {"",
     "event-subscriptions-per-client",
     "a number from 1 to 4096 without leading zeros",
     {"1", "4096"},
     {"0", "4097"}},
    {"",
     "event-subscriptions",
     "a number from 1 to 4096 without leading zeros",
     {"1", "4096"},
     {"0", "4097"}},
    {"", "read-others-mappings", "no|yes", {"yes", "no"}, {"", "own"}},
    {"wan",
     "external-address",
     ADDRESS,
     {"203.0.113.5", "10.0.0.1", "100.64.0.1"},
     {"", "0.0.0.0", "127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255", "2001:db8::1",
      "::ffff:203.0.113.5", "gateway.example", "203.0.113.5/24", "203.0.113", "203.0.113.05",
      "203.0.113.256", " 203.0.113.5"}},
    {"wan", "source-nat", "no|yes", {"yes", "no"}, {"masquerade", "true"}},
    {"wan", "private-wan", "serve|refuse", {"serve", "refuse"}, {"", "yes", "no", "reject"}},
    {"rule", "action", "deny|allow", {"allow", "deny"}, {"", "accept", "drop", "Allow"}},
    {"rule",
     "client",
     PREFIX,
     {"192.168.1.0/24", "192.168.1.7", "0.0.0.0/0", "2001:db8::/32", "::/0", "2001:db8::1"},
     {"", "192.168.1.1/24", "192.168.1.0/33", "192.168.1.0/", "192.168.1.0/024", "2001:db8::/129",
      "2001:db8::1/64", "laptop", "192.168.1", "all"}},
    {"rule",
     "internal-client",
     PREFIX,
     {"192.168.1.0/24", "192.168.1.7", "0.0.0.0/0"},
     {"", "192.168.1.1/24", "self", "any"}},
    {"rule", "transport", "tcp|udp|both", {"tcp", "udp", "both"}, {"", "sctp", "TCP", "6"}},
    {"rule",
     "external-ports",
     PORTS,
     {"1", "80", "6881-6889", "1-65535"},
     {"", "0", "65536", "80,443", "http", "6889-6881"}},
    {"rule", "internal-ports", PORTS, {"22", "1-1023"}, {"", "0", "0-1023", "ssh"}},
    {"rule", "description", "a pattern", {"", "*", "µTorrent*"}, {NULL}},
    {"forward", "transport", "tcp|udp|both", {"tcp", "udp", "both"}, {"", "all", "17"}},
    {"forward",
     "external-ports",
     PORTS,
     {"1", "80", "65535"},
     {"", "0", "65536", "80,443", "http", "8010-8000"}},
    {"forward",
     "target",
     "ADDRESS or ADDRESS:PORT",
     {"192.168.1.10", "192.168.1.10:80", "11.0.0.1:65535"},
     {"", "192.168.1.10:", "192.168.1.10:0", "192.168.1.10:080", "192.168.1.10:65536", "server:80",
      "192.168.1.0/24", "fe80::1", ":80"}},
    {"forward",
     "remote",
     "ADDRESS or ADDRESS/LENGTH of IPv4, without bits beyond the length",
     {"198.51.100.7", "198.51.100.7/32", "0.0.0.0/0"},
     {"", "198.51.100.7/24", "2001:db8::/32", "::/0", "0.0.0.0/1", "any"}},
    {"forward", "helper", "none|ftp", {"none"}, {"", "tftp", "yes"}},
    {"forward",
     "description",
     "a text of at most 127 octets",
     {"", "µ", X53 X53 "123456789012345678901"},
     {X53 X53 "1234567890123456789012"}},
};

/* What a forward must have, but for the key at hand. */
static const char *
rest_of_forward(const char *key)
{
	static char rest[128];
	snprintf(rest, sizeof(rest), "%s %s %s",
		 strcmp(key, "transport") == 0 ? "" : "transport = tcp",
		 strcmp(key, "external-ports") == 0 ? "" : "external-ports = 80",
		 strcmp(key, "target") == 0 ? "" : "target = 192.168.1.10");
	return rest;
}

/* The value is in line 5. */
static struct config *
read_word(const struct words *row, const char *word)
{
	bool lone = strcmp(row->key, "action") == 0;
	bool rule = strcmp(row->section, "rule") == 0;
	bool wan = strcmp(row->section, "wan") == 0;
	bool forward = strcmp(row->section, "forward") == 0;
	char text[1024];
	snprintf(text, sizeof(text), "lan br0 {\n}\n%s%s\n\n%s = '%s'\n\n%s\n%s\n",
		 wan		 ? "wan wan0 {"
		 : rule && !lone ? "rule { action = allow"
		 : rule		 ? "rule {"
		 : forward	 ? "forward f { "
				 : "",
		 forward ? rest_of_forward(row->key) : "", row->key, word,
		 wan || rule || forward ? "}" : "", wan ? "" : "wan wan0 { }");
	return read_text(text);
}

/* The canonical form gives the key this word, but for what has more than one form. */
static void
check_said(const struct config *config, const char *key, const char *word)
{
	static const char *const forms[] = {
	    "client", "internal-client", "remote",	   "target",
	    "uuid",   "random-ports",	 "external-ports", "internal-ports"};
	char plain[8192], quoted[8192];
	char *text = print(config);
	for (size_t i = 0; i < COUNT(forms); i++)
		if (strcmp(key, forms[i]) == 0)
			word = "";
	snprintf(plain, sizeof(plain), "%s = %s", key, word);
	snprintf(quoted, sizeof(quoted), "%s = \"%s", key, word);
	if (!strstr(text, plain) && !strstr(text, quoted) && *word)
		fail_msg("%s, %s:\n%s", key, word, text);
	free(text);
}

static void
test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		const struct words *row = &words[i];
		for (size_t j = 0; j < COUNT(row->good) && row->good[j]; j++) {
			struct config *config = read_word(row, row->good[j]);
			if (!config)
				fail_msg("%s", error);
			check_said(config, row->key, row->good[j]);
			config_free(config);
		}
		for (size_t j = 0; j < COUNT(row->bad) && row->bad[j]; j++) {
			char expected[512];
			if (read_word(row, row->bad[j]))
				fail_msg("%s takes \"%s\"", row->key, row->bad[j]);
			snprintf(expected, sizeof(expected), ":5: %s: found \"%s\", expected %s",
				 row->key, row->bad[j], row->expected);
			assert_error(expected);
		}
	}
}

/* No key was forgotten in the table above. */
static void
test_words_has_every_key(void **state)
{
	(void)state;
	const struct config_key *key = config_keys();
	for (size_t i = 0; i < COUNT(words); i++, key++) {
		assert_non_null(key->key);
		assert_string_equal(key->key, words[i].key);
		assert_string_equal(key->section, words[i].section);
	}
	assert_null(key->key);
}

static void
test_interface_names(void **state)
{
	(void)state;
	static const char *const good[] = {"a", "fifteen-octets0", "br-lan.7", "br@x", "ü"};
	static const char *const bad[] = {"sixteen-octets00", "br/0", "br 0", "eth0:1", ".", ".."};
	static const char *const sides[] = {"lan", "wan"};
	for (size_t side = 0; side < 2; side++) {
		const char *other = side == 0 ? "wan x { }\n" : "lan x { }\n";
		char text[256], expected[256];
		for (size_t i = 0; i < COUNT(good); i++) {
			snprintf(text, sizeof(text), "%s%s '%s'\n{\n}\n", other, sides[side],
				 good[i]);
			config_free(read_good(text));
		}
		for (size_t i = 0; i < COUNT(bad); i++) {
			snprintf(text, sizeof(text), "%s%s '%s'\n{\n}\n", other, sides[side],
				 bad[i]);
			assert_null(read_text(text));
			snprintf(expected, sizeof(expected),
				 ":2: %s: found \"%s\", expected the name of an interface, of at "
				 "most 15 octets",
				 sides[side], bad[i]);
			assert_error(expected);
		}
	}
}

/* The first line of each file is "# LINE: what is said". */
static void
check_golden(const char *name)
{
	char path[512], first[1024], expected[2048];
	snprintf(path, sizeof(path), GOLDEN "/%s", name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(first, sizeof(first), file));
	fclose(file);
	first[strcspn(first, "\n")] = '\0';
	assert_memory_equal(first, "# ", 2);
	snprintf(expected, sizeof(expected), "%s:%s", path, first + 2);
	error[0] = '\0';
	if (config_read(path, error, sizeof(error)))
		fail_msg("%s is accepted", path);
	assert_string_equal(error, expected);
}

static void
test_golden_errors(void **state)
{
	(void)state;
	DIR *directory = opendir(GOLDEN);
	assert_non_null(directory);
	const struct dirent *entry;
	unsigned files = 0;
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		check_golden(entry->d_name);
		files++;
	}
	closedir(directory);
	assert_true(files > 40);
}

static void
test_no_lan_names_candidates(void **state)
{
	struct sockaddr_in address[] = {
	    {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("127.0.0.1")},
	    {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("203.0.113.5")},
	    {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("192.168.1.1")},
	    {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.0.0.1")},
	    {.sin_family = AF_INET6},
	};
	char *names[] = {"lo", "wan0", "br-lan", "br-guest", "br-lan", "ppp0"};
	struct ifaddrs list[COUNT(names)] = {{.ifa_next = NULL}};
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		list[i].ifa_next = i + 1 < COUNT(names) ? &list[i + 1] : NULL;
		list[i].ifa_name = names[i];
		if (i < COUNT(address)) /* a link has none before it is up */
			list[i].ifa_addr = (struct sockaddr *)&address[i];
	}
	machine = list;
	assert_null(read_text("wan \"auto\" { }\n"));
	assert_error(":1: end of file, expected a section lan \"INTERFACE\" { }; with private "
		     "addresses: br-lan (192.168.1.1), br-guest (10.0.0.1)");
	machine = NULL;
	assert_null(read_text("wan \"auto\" { }\n"));
	assert_error(":1: end of file, expected a section lan \"INTERFACE\" { }");
}

static void
test_wan_of_the_default_route(void **state)
{
	(void)state;
	struct config *config =
	    read_good("lan \"br0\" { }\nwan \"auto\" { private-wan = refuse }\n");
	assert_true(config->wan.automatic);
	assert_true(config->wan.refuse_private);
	config_free(config);
	config = read_good(SIDES);
	assert_false(config->wan.automatic);
	config_free(config);
}

static void
test_odd_files(void **state)
{
	(void)state;
	static const char nul[] = "lan br0 { }\nwan wan0 { }\npcp = yes\0\nlog = stderr\n";
	assert_null(read_octets(nul, sizeof(nul) - 1));
	assert_error(":3: NUL octet, expected text");
	assert_null(read_text(""));
	assert_error(":1: end of file, expected a section lan \"INTERFACE\" { }");
	assert_null(read_text("# only a comment"));
	assert_error(":1: end of file, expected a section lan \"INTERFACE\" { }");
	assert_null(config_read("/nonexistent/portlease.conf", error, sizeof(error)));
	assert_string_equal(error,
			    "/nonexistent/portlease.conf: cannot open: No such file or directory");
	assert_null(config_read("tests", error, sizeof(error)));
	assert_string_equal(error, "tests: cannot read: Is a directory");
	assert_null(config_read("/dev/zero", error, sizeof(error)));
	assert_string_equal(error, "/dev/zero: larger than 1048576 octets");
}

static void
test_unreadable_file(void **state)
{
	(void)state;
	config_free(read_good(SIDES));
	uid_t self = geteuid();
	if (self == 0 && seteuid(65534) < 0) {
		print_message("skipped: root here cannot become another user\n");
		skip();
	}
	if (self != 0)
		assert_int_equal(chmod(scratch, 0), 0);
	struct config *config = config_read(scratch, error, sizeof(error));
	assert_int_equal(seteuid(self), 0);
	assert_int_equal(chmod(scratch, 0600), 0);
	assert_null(config);
	assert_error(": cannot open: Permission denied");
}

/* A line as long as the file may be, and a file just too long. */
static void
test_long_line(void **state)
{
	(void)state;
	/* libconfuse copies a word again and again as it grows. */
	enum { LONG = 1 << 20, WORD = 1 << 15 };
	char *text = malloc(LONG + 2);
	assert_non_null(text);
	static const char begin[] = SIDES "rule { action = deny description = '";
	size_t used = strlen(begin);
	memcpy(text, begin, used);
	memset(text + used, 'x', WORD);
	memset(text + used + WORD, ' ', LONG - used - WORD);
	text[used + WORD] = '\'';
	memcpy(text + LONG - 1, "}", 2);
	struct config *config = read_good(text);
	assert_int_equal(strlen(config->rule[0].description), WORD);
	config_free(config);
	memcpy(text + LONG, "\n", 2);
	assert_null(read_text(text));
	assert_error(": larger than 1048576 octets");
	free(text);
}

/* What one reading leaves behind does not reach the next. */
static void
test_readings_are_independent(void **state)
{
	(void)state;
	assert_null(read_text(SIDES "rule { client = 10.0.0.1 description = 'x'"));
	assert_null(read_text(SIDES "user = \"nobody"));
	struct config *config = read_good(SIDES "rule { action = deny }");
	assert_false(config->rule[0].has_client);
	assert_null(config->rule[0].description);
	assert_string_equal(config->user, "portlease");
	config_free(config);
}

static void
test_error_is_cut_to_its_room(void **state)
{
	(void)state;
	config_free(read_good(SIDES));
	char small[8];
	assert_null(config_read("/nonexistent", small, sizeof(small)));
	assert_string_equal(small, "/nonexi");
}

static void
test_shipped_config(void **state)
{
	(void)state;
	struct config *config = config_read("conf/portlease.conf", error, sizeof(error));
	if (!config)
		fail_msg("%s", error);
	assert_int_equal(config->lans, 1);
	assert_string_equal(config->lan[0].interface, "br-lan");
	assert_string_equal(config->wan.interface, "auto");
	assert_int_equal(config->rules, 0);
	config_free(config);
}

/* The shipped config with its examples switched on: "#rule {", "#	key = value" and "#}" lines.
 */
static void
test_shipped_examples(void **state)
{
	(void)state;
	FILE *file = fopen("conf/portlease.conf", "r");
	assert_non_null(file);
	char text[8192] = "", line[512];
	unsigned rules = 0;
	while (fgets(line, sizeof(line), file)) {
		bool example = line[0] == '#' && line[1] != ' ' && line[1] != '\n';
		rules += strcmp(line, "#rule {\n") == 0;
		strncat(text, line + example, sizeof(text) - strlen(text) - 1);
	}
	fclose(file);
	struct config *config = read_good(text);
	assert_true(rules > 0);
	assert_int_equal(config->rules, rules);
	config_free(config);
}

/* The manual has ".Ss Section NAME" before a section's keys, and ".It Cm KEY …" for each key. */
static bool
next_documented(FILE *manual, char section[32], char key[64])
{
	char line[512];
	while (fgets(line, sizeof(line), manual)) {
		if (strncmp(line, ".Ss ", 4) == 0 && sscanf(line, ".Ss Section %31s", section) != 1)
			section[0] = '\0';
		if (sscanf(line, ".It Cm %63s", key) == 1)
			return true;
	}
	return false;
}

static void
test_manual_has_the_same_keys(void **state)
{
	(void)state;
	FILE *manual = fopen(MANUAL, "r");
	assert_non_null(manual);
	char section[32] = "", key[64];
	const struct config_key *known = config_keys();
	for (; known->key; known++) {
		if (!next_documented(manual, section, key))
			fail_msg(MANUAL " lacks %s", known->key);
		assert_string_equal(key, known->key);
		assert_string_equal(section, known->section);
	}
	if (next_documented(manual, section, key))
		fail_msg(MANUAL " has %s, which the program does not know", key);
	fclose(manual);
}

/* The lines up to ".Ed", with a side of the gateway where they show none. */
static void
read_display(FILE *manual, char *out, size_t size)
{
	char line[512], shown[4096] = "";
	while (fgets(line, sizeof(line), manual) && strcmp(line, ".Ed\n") != 0)
		strncat(shown, line, sizeof(shown) - strlen(shown) - 1);
	snprintf(out, size, "%s%s%s", strstr(shown, "lan \"") ? "" : "lan x { }\n",
		 strstr(shown, "wan \"") ? "" : "wan y { }\n", shown);
}

static void
test_manual_examples(void **state)
{
	(void)state;
	FILE *manual = fopen(MANUAL, "r");
	assert_non_null(manual);
	char line[512], text[8192];
	unsigned examples = 0;
	while (fgets(line, sizeof(line), manual)) {
		if (strcmp(line, ".Sh DIAGNOSTICS\n") == 0)
			break;
		if (strncmp(line, ".Bd -literal", 12) != 0)
			continue;
		read_display(manual, text, sizeof(text));
		config_free(read_good(text));
		examples++;
	}
	fclose(manual);
	assert_true(examples > 5);
}

static void
test_rules_of_lans(void **state)
{
	(void)state;
	struct config *config =
	    read_good("rule {\n action = allow\n}\n"
		      "lan br0 { }\n"
		      "lan guest {\n"
		      " rule {\n  action = deny\n  transport = udp\n }\n"
		      " rule { action = allow }\n"
		      "}\n"
		      "rule { action = deny }\n"
		      "lan other { rule { action = allow client = 10.0.0.1 } }\n"
		      "wan wan0 { }\n");
	static const struct {
		const char *lan;
		unsigned line;
		bool allow;
	} expected[] = {{"guest", 6, false},
			{"guest", 10, true},
			{"other", 13, true},
			{"", 1, true},
			{"", 12, false}};
	assert_int_equal(config->rules, COUNT(expected));
	for (size_t i = 0; i < COUNT(expected); i++) {
		assert_string_equal(config->rule[i].lan, expected[i].lan);
		assert_int_equal(config->rule[i].line, expected[i].line);
		assert_int_equal(config->rule[i].allow, expected[i].allow);
	}
	assert_int_equal(config->rule[0].transports, CONFIG_UDP);
	assert_int_equal(config->lans, 3);
	config_free(config);
}

/* Of keys and values that the table above has: at the top level, of rules, and of the wan. */
static void
write_random(FILE *out, const char *section, unsigned *seed)
{
	for (size_t i = 0; i < COUNT(words); i++) {
		const struct words *row = &words[i];
		size_t choices = 0;
		while (choices < COUNT(row->good) && row->good[choices])
			choices++;
		/* Some only fit together: lifetimes, users. */
		if (strcmp(row->section, section) != 0 || strstr(row->key, "user") ||
		    strstr(row->key, "lifetime") || rand_r(seed) % 3 == 0)
			continue;
		fprintf(out, "%s = '%s'\n", row->key, row->good[(size_t)rand_r(seed) % choices]);
	}
}

static void
write_random_rules(FILE *out, unsigned *seed)
{
	for (int i = rand_r(seed) % 4; i > 0; i--) {
		char *text = NULL;
		size_t length = 0;
		FILE *rule = open_memstream(&text, &length);
		write_random(rule, "rule", seed);
		fclose(rule);
		fprintf(out, "rule {\n%s%s}\n", text,
			strncmp(text, "action", 6) == 0 ? "" : "action = deny\n");
		free(text);
	}
}

static void
test_random_ones(void **state)
{
	(void)state;
	unsigned seed = (unsigned)getpid();
	print_message("seed=%u\n", seed);
	for (int i = 0; i < 200; i++) {
		char *text = NULL;
		size_t length = 0;
		FILE *out = open_memstream(&text, &length);
		write_random(out, "", &seed);
		write_random_rules(out, &seed);
		for (int lan = rand_r(&seed) % 3; lan >= 0; lan--) {
			fprintf(out, "lan lan%d {\n", lan);
			write_random_rules(out, &seed);
			fprintf(out, "}\n");
		}
		fprintf(out, "wan wan0 {\n");
		write_random(out, "wan", &seed);
		fprintf(out,
			"}\nforward f {\ntransport = both\nexternal-ports = %d\n"
			"target = 10.0.0.1:%d\ndescription = 'say \"${x}\" \\\\'\n}\n",
			1 + rand_r(&seed) % 65535, 1 + rand_r(&seed) % 65535);
		fclose(out);
		config_free(read_good(text));
		free(text);
	}
}

static void
test_what_may_change(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *expected; /* NULL: nothing is said */
	} rows[] = {
	    {"", NULL},
	    {"pcp = no\nrule { action = deny }\nlan br1 { }\n", NULL},
	    {"\nuser = other\n", ":2: user is \"other\", expected \"portlease\" until the daemon "
				 "is started again"},
	    {"log = syslog\n", ":1: log is syslog, expected stderr until the daemon is started "
			       "again"},
	    {"control-access = all\n", ":1: control-access is all, expected group until the daemon "
				       "is started again"},
	};
	struct config *is = read_good(SIDES);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[256];
		snprintf(text, sizeof(text), "%s" SIDES, rows[i].text);
		struct config *other = read_good(text);
		error[0] = '\0';
		assert_int_equal(config_may_become(is, other, scratch, error, sizeof(error)),
				 !rows[i].expected);
		if (rows[i].expected)
			assert_error(rows[i].expected);
		config_free(other);
	}
	config_free(is);
}

static void
test_lans_are_found_again(void **state)
{
	(void)state;
	struct config *old = read_good("lan a { } lan b { } wan w { }");
	struct config *new = read_good("lan b { } lan c { } lan a { } wan w { }");
	size_t *origin = config_lan_origins(old, new);
	assert_int_equal(origin[0], 1);
	assert_true(origin[1] == CONFIG_NEW_LAN);
	assert_int_equal(origin[2], 0);
	free(origin);
	config_free(old);
	config_free(new);
}

static void
test_many_lans(void **state)
{
	(void)state;
	char many[4096] = "wan \"wan0\" { }\n";
	for (int i = 0; i < CONFIG_LANS; i++)
		sprintf(many + strlen(many), "lan \"lan%d\" { }\n", i);
	struct config *config = read_text(many);
	assert_non_null(config);
	assert_int_equal(config->lans, CONFIG_LANS);
	config_free(config);
	strcat(many, "lan \"more\" { }\n");
	assert_null(read_text(many));
	assert_error(":66: one more lan, expected at most 64");
}

static void
test_foreign_chains(void **state)
{
	(void)state;
	struct config *config = read_good(SIDES "foreign-chain \"inet fw4 forward\" { }\n"
						"foreign-chain 'ip filter DOCKER-USER' { }\n"
						"foreign-chain \"ip portlease x\" { }\n");
	assert_int_equal(config->foreign_chains, 3);
	assert_true(config->foreign_chain[0].inet && !config->foreign_chain[1].inet);
	assert_string_equal(config->foreign_chain[0].table, "fw4");
	assert_string_equal(config->foreign_chain[0].chain, "forward");
	assert_string_equal(config->foreign_chain[1].table, "filter");
	assert_string_equal(config->foreign_chain[1].chain, "DOCKER-USER");
	config_free(config);

	char many[1024] = SIDES;
	for (int i = 0; i <= CONFIG_CHAINS; i++) {
		config = read_text(many);
		assert_non_null(config);
		assert_int_equal(config->foreign_chains, i);
		config_free(config);
		sprintf(many + strlen(many), "foreign-chain \"ip t c%d\" { }\n", i);
	}
	assert_null(read_text(many));
	assert_error(":19: one more foreign-chain, expected at most 16");

	/* Names as long as there is room for, and one octet more. */
	char text[512];
	for (int length = CONFIG_CHAIN_SIZE - 1; length <= CONFIG_CHAIN_SIZE; length++) {
		snprintf(text, sizeof(text), SIDES "foreign-chain \"ip t %0*d\" { }\n", length, 0);
		config = read_text(text);
		assert_int_equal(config != NULL, length < CONFIG_CHAIN_SIZE);
		config_free(config);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_every_key),
	    cmocka_unit_test(test_every_upnp_key),
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_words_has_every_key),
	    cmocka_unit_test(test_interface_names),
	    cmocka_unit_test(test_golden_errors),
	    cmocka_unit_test(test_no_lan_names_candidates),
	    cmocka_unit_test(test_wan_of_the_default_route),
	    cmocka_unit_test(test_odd_files),
	    cmocka_unit_test(test_unreadable_file),
	    cmocka_unit_test(test_long_line),
	    cmocka_unit_test(test_readings_are_independent),
	    cmocka_unit_test(test_error_is_cut_to_its_room),
	    cmocka_unit_test(test_shipped_config),
	    cmocka_unit_test(test_shipped_examples),
	    cmocka_unit_test(test_manual_has_the_same_keys),
	    cmocka_unit_test(test_manual_examples),
	    cmocka_unit_test(test_many_lans),
	    cmocka_unit_test(test_foreign_chains),
	    cmocka_unit_test(test_rules_of_lans),
	    cmocka_unit_test(test_random_ones),
	    cmocka_unit_test(test_what_may_change),
	    cmocka_unit_test(test_lans_are_found_again),
	};
	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
