/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Searches, replies and announcements.  Numbers of clauses are of the UPnP Device Architecture 1.1.
 */
#include "../../protocols/ssdp.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define DEVICE	       "urn:schemas-upnp-org:device:"
#define SERVICE	       "urn:schemas-upnp-org:service:"
#define UDN_ROOT       "uuid:2fac1234-31f8-11b4-a222-08002b34c003"
#define UDN_WAN	       "uuid:2fac1234-31f8-11b4-a222-08002b34c004"
#define UDN_CONNECTION "uuid:2fac1234-31f8-11b4-a222-08002b34c005"
#define SEARCH(lines)  "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n" lines "\r\n"
#define MAN	       "MAN: \"ssdp:discover\"\r\n"
#define MX	       "MX: 2\r\n"

static const struct ssdp_type types[] = {
    {"InternetGatewayDevice", false, 0, {1, 2}},   {"WANDevice", false, 1, {1, 2}},
    {"WANConnectionDevice", false, 2, {1, 2}},	   {"Layer3Forwarding", true, 0, {1, 1}},
    {"WANCommonInterfaceConfig", true, 1, {1, 1}}, {"WANIPConnection", true, 2, {1, 2}},
    {"WANIPv6FirewallControl", true, 2, {0, 1}},
};

static const struct ssdp_device both = {
    .udn = {UDN_ROOT, UDN_WAN, UDN_CONNECTION},
    .types = types,
    .type_count = COUNT(types),
    .serves = {true, true},
    .server = "Linux/6.1.0 UPnP/1.1 portlease/0.1.0",
    .boot_id = 1763980000,
    .config_id = 12345678,
    .max_age = 1800,
};

static const struct ssdp_sender ipv4 = {
    SSDP_IPV4,
    {"http://192.168.178.101:49152/v1/gateway.xml", "http://192.168.178.101:49152/v2/gateway.xml"},
};

static const struct ssdp_sender ipv6_link = {
    SSDP_IPV6_LINK,
    {"http://[fe80::1]:49152/v1/gateway.xml", "http://[fe80::1]:49152/v2/gateway.xml"},
};

static const struct ssdp_sender ipv6_site = {
    SSDP_IPV6_SITE,
    {"http://[fd00::1]:49152/v1/gateway.xml", "http://[fd00::1]:49152/v2/gateway.xml"},
};

static struct ssdp_device
only(enum ssdp_view view)
{
	struct ssdp_device device = both;

	device.serves[!view] = false;
	return device;
}

static struct endpoint
source(const char *address, uint16_t port)
{
	struct endpoint e = {.port = port};

	assert_true(address_parse(address, &e.address));
	return e;
}

static bool
decode(const char *text, unsigned how, struct ssdp_search *out)
{
	struct endpoint from = source("192.168.178.20", 50000);
	struct datagram datagram = {(const uint8_t *)text, strlen(text), strlen(text), from.address,
				    from.port};

	return ssdp_decode(&datagram, how, out);
}

static bool
heard(const char *text, unsigned how)
{
	struct ssdp_search search;

	return decode(text, how, &search);
}

static struct ssdp_search
search_for(const char *target)
{
	return (struct ssdp_search){source("192.168.178.20", 50000), true, text_of(target)};
}

/* "name version view, …" of what came, the last digits for a UDN. */
static const char *
entries_text(const struct ssdp_entry *entry, unsigned count)
{
	static char text[4096];
	size_t at = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		const char *name =
		    entry[i].name ? entry[i].name : strrchr(entry[i].udn, '-') + 1 + 8;

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %u v%d", i ? ", " : "",
				       name, entry[i].version, entry[i].view + 1);
	}
	return text;
}

static const char *
replies(const struct ssdp_device *device, const char *target)
{
	struct ssdp_entry entry[SSDP_ENTRIES_MAX];
	struct ssdp_search search = search_for(target);

	return entries_text(entry, ssdp_match(device, &search, entry));
}

static const char *
message(enum ssdp_kind kind, const struct ssdp_sender *sender, const struct ssdp_entry *entry)
{
	static char text[SSDP_MESSAGE_MAX + 1];
	struct ssdp_message m = {kind, &both, sender, 1763980001};
	size_t length = ssdp_encode(&m, entry, text, SSDP_MESSAGE_MAX);

	assert_int_not_equal(length, 0);
	assert_true(length < 512);
	text[length] = '\0';
	return text;
}

static void
a_search_as_the_standard_has_it(void **state)
{
	struct ssdp_search search;
	struct endpoint from = source("192.168.178.20", 50000);

	(void)state;
	assert_true(
	    decode(SEARCH(MAN MX "ST: ssdp:all\r\n"), SSDP_MULTICAST | SSDP_STRICT, &search));
	assert_true(text_equal(search.target, "ssdp:all"));
	assert_true(search.multicast);
	assert_int_equal(search.from.port, 50000);
	assert_true(address_equal(&search.from.address, &from.address));
	/* 1.3.2: by unicast without MX. */
	assert_true(decode(SEARCH(MAN "ST: upnp:rootdevice\r\n"), SSDP_STRICT, &search));
	assert_true(text_equal(search.target, "upnp:rootdevice"));
	assert_false(search.multicast);
}

static void
searches_as_clients_have_them(void **state)
{
	static const char *const heard_unless_strict[] = {
	    /* neither MX nor MAN */
	    SEARCH(MAN "ST: ssdp:all\r\n"),
	    SEARCH(MX "ST: ssdp:all\r\n"),
	    SEARCH("ST: ssdp:all\r\n"),
	    /* MAN without quotes */
	    SEARCH("MAN: ssdp:discover\r\n" MX "ST: ssdp:all\r\n"),
	    /* bare LF, also mixed */
	    "M-SEARCH * HTTP/1.1\nMAN: \"ssdp:discover\"\nMX: 2\nST: ssdp:all\n\n",
	    "M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\nMX: 2\r\nST: ssdp:all\r\n\r\n",
	    /* no empty line, no line end at all, only its first half */
	    "M-SEARCH * HTTP/1.1\r\n" MAN MX "ST: ssdp:all\r\n",
	    "M-SEARCH * HTTP/1.1\r\n" MAN MX "ST: ssdp:all",
	    "M-SEARCH * HTTP/1.1\r\n" MAN MX "ST: ssdp:all\r",
	    "M-SEARCH * HTTP/1.0\r\n" MAN MX "ST: ssdp:all\r\n\r\n",
	};
	static const char *const heard_always[] = {
	    SEARCH("Man:\"ssdp:discover\"\r\nmx:3\r\nst:ssdp:all\r\n"),
	    SEARCH("MAN:\t\"ssdp:discover\" \r\nMX : 3\t\r\nST:   ssdp:all  \r\n"),
	    SEARCH(MAN MX "ST: ssdp:all\r\n") "\r\n",
	    SEARCH(MAN MX "ST: ssdp:all\r\n") "no header",
	    SEARCH(MAN MX "ST: ssdp:all\r\nUSER-AGENT: OS/1 UPnP/1.1 x/1\r\nX:\r\n:\r\n"),
	    "M-SEARCH * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\n" MAN MX "ST: ssdp:all\r\n\r\n",
	};
	struct ssdp_search search;

	(void)state;
	for (size_t i = 0; i < COUNT(heard_unless_strict); i++) {
		assert_true(decode(heard_unless_strict[i], SSDP_MULTICAST, &search));
		assert_true(text_equal(search.target, "ssdp:all"));
		assert_false(heard(heard_unless_strict[i], SSDP_MULTICAST | SSDP_STRICT));
	}
	for (size_t i = 0; i < COUNT(heard_always); i++) {
		assert_true(decode(heard_always[i], SSDP_MULTICAST | SSDP_STRICT, &search));
		assert_true(text_equal(search.target, "ssdp:all"));
		assert_true(heard(heard_always[i], 0));
	}
}

static void
what_is_never_answered(void **state)
{
	static const char *const texts[] = {
	    "",
	    "\r\n",
	    "M-SEARCH * HTTP/1.1",
	    "M-SEARCH * HTTP/1.1\r\n\r\n",
	    "m-search * HTTP/1.1\r\n" MAN MX "ST: ssdp:all\r\n\r\n",
	    "M-SEARCH / HTTP/1.1\r\n" MAN MX "ST: ssdp:all\r\n\r\n",
	    "M-SEARCH * HTTP/2.0\r\n" MAN MX "ST: ssdp:all\r\n\r\n",
	    "NOTIFY * HTTP/1.1\r\n" MAN MX "ST: ssdp:all\r\n\r\n",
	    "HTTP/1.1 200 OK\r\n" MAN MX "ST: ssdp:all\r\n\r\n",
	    /* a wrong MAN */
	    SEARCH("MAN: \"ssdp:discovery\"\r\n" MX "ST: ssdp:all\r\n"),
	    SEARCH("MAN: \"ssdp:discover\r\n" MX "ST: ssdp:all\r\n"),
	    SEARCH("MAN: \r\n" MX "ST: ssdp:all\r\n"),
	    /* MX below 1 or no number */
	    SEARCH(MAN "MX: 0\r\nST: ssdp:all\r\n"),
	    SEARCH(MAN "MX: -1\r\nST: ssdp:all\r\n"),
	    SEARCH(MAN "MX: two\r\nST: ssdp:all\r\n"),
	    SEARCH(MAN "MX: 2s\r\nST: ssdp:all\r\n"),
	    SEARCH(MAN "MX:\r\nST: ssdp:all\r\n"),
	    /* no ST, two of them */
	    SEARCH(MAN MX),
	    SEARCH(MAN MX "ST: ssdp:all\r\nST: upnp:rootdevice\r\n"),
	    SEARCH(MAN MX "\r\nST: ssdp:all\r\n"),
	    /* not headers */
	    SEARCH(MAN MX "ST: ssdp:all\r\nhello\r\n"),
	    SEARCH(MAN MX "ST: ssdp:all\r\n folded: on\r\n"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		assert_false(heard(texts[i], SSDP_MULTICAST));
		assert_false(heard(texts[i], 0));
	}
	assert_true(heard(SEARCH(MAN "MX: 1\r\nST: ssdp:all\r\n"), SSDP_MULTICAST));
	assert_true(heard(SEARCH(MAN "MX: 99999999999\r\nST: ssdp:all\r\n"), SSDP_MULTICAST));
}

static void
sources_and_sizes(void **state)
{
	static const struct {
		uint16_t port;
		bool heard;
	} ports[] = {{0, false},   {53, false},	 {1023, false},
		     {1024, true}, {1900, true}, {65535, true}};
	char text[SSDP_SEARCH_MAX + 1] = SEARCH(MAN MX "ST: ssdp:all\r\n");
	size_t length = strlen(text);
	struct datagram d = {(const uint8_t *)text, length, length,
			     source("192.168.178.20", 1).address, 0};
	struct ssdp_search search;

	(void)state;
	for (size_t i = 0; i < COUNT(ports); i++) {
		d.source_port = ports[i].port;
		assert_int_equal(ssdp_decode(&d, SSDP_MULTICAST, &search), ports[i].heard);
	}
	d.size = length + 1; /* cut on its way to us */
	assert_false(ssdp_decode(&d, SSDP_MULTICAST, &search));
	d.size = d.kept = SSDP_SEARCH_MAX;
	assert_true(ssdp_decode(&d, SSDP_MULTICAST, &search));
	d.size = d.kept = SSDP_SEARCH_MAX + 1;
	assert_false(ssdp_decode(&d, SSDP_MULTICAST, &search));
}

static void
the_set_of_both_views(void **state)
{
	static const char set[] =
	    "rootdevice 0 v1, c003 0 v1, c004 0 v1, c005 0 v1, "
	    "InternetGatewayDevice 1 v1, WANDevice 1 v1, WANConnectionDevice 1 v1, "
	    "Layer3Forwarding 1 v1, WANCommonInterfaceConfig 1 v1, WANIPConnection 1 v1, "
	    "InternetGatewayDevice 2 v2, WANDevice 2 v2, WANConnectionDevice 2 v2, "
	    "WANIPConnection 2 v2, WANIPv6FirewallControl 1 v2";
	struct ssdp_entry entry[SSDP_ENTRIES_MAX];

	(void)state;
	assert_string_equal(entries_text(entry, ssdp_entries(&both, entry)), set);
	assert_string_equal(replies(&both, "ssdp:all"), set);
}

static void
no_usn_twice(void **state)
{
	struct ssdp_entry a[SSDP_ENTRIES_MAX];
	unsigned count = ssdp_entries(&both, a);

	(void)state;
	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < i; j++)
			assert_false(a[i].udn == a[j].udn && a[i].name == a[j].name &&
				     a[i].version == a[j].version);
}

static void
the_set_of_one_view(void **state)
{
	struct ssdp_device first = only(SSDP_VIEW_1), second = only(SSDP_VIEW_2);

	(void)state;
	assert_string_equal(replies(&first, "ssdp:all"),
			    "rootdevice 0 v1, c003 0 v1, c004 0 v1, c005 0 v1, "
			    "InternetGatewayDevice 1 v1, WANDevice 1 v1, WANConnectionDevice 1 v1, "
			    "Layer3Forwarding 1 v1, WANCommonInterfaceConfig 1 v1, "
			    "WANIPConnection 1 v1");
	assert_string_equal(replies(&second, "ssdp:all"),
			    "rootdevice 0 v2, c003 0 v2, c004 0 v2, c005 0 v2, "
			    "InternetGatewayDevice 2 v2, WANDevice 2 v2, WANConnectionDevice 2 v2, "
			    "Layer3Forwarding 1 v2, WANCommonInterfaceConfig 1 v2, "
			    "WANIPConnection 2 v2, WANIPv6FirewallControl 1 v2");
}

static void
targets(void **state)
{
	static const struct {
		const char *target, *both, *first, *second;
	} rows[] = {
	    {"upnp:rootdevice", "rootdevice 0 v1", "rootdevice 0 v1", "rootdevice 0 v2"},
	    {UDN_ROOT, "c003 0 v1", "c003 0 v1", "c003 0 v2"},
	    {UDN_CONNECTION, "c005 0 v1", "c005 0 v1", "c005 0 v2"},
	    {DEVICE "InternetGatewayDevice:1", "InternetGatewayDevice 1 v1",
	     "InternetGatewayDevice 1 v1", "InternetGatewayDevice 1 v2"},
	    {DEVICE "InternetGatewayDevice:2", "InternetGatewayDevice 2 v2", "",
	     "InternetGatewayDevice 2 v2"},
	    {DEVICE "InternetGatewayDevice:3", "", "", ""},
	    {SERVICE "WANIPConnection:1", "WANIPConnection 1 v1", "WANIPConnection 1 v1",
	     "WANIPConnection 1 v2"},
	    {SERVICE "WANIPConnection:2", "WANIPConnection 2 v2", "", "WANIPConnection 2 v2"},
	    {SERVICE "WANPPPConnection:1", "", "", ""},
	    {SERVICE "WANPPPConnection:2", "", "", ""},
	    {SERVICE "Layer3Forwarding:1", "Layer3Forwarding 1 v1", "Layer3Forwarding 1 v1",
	     "Layer3Forwarding 1 v2"},
	    {SERVICE "Layer3Forwarding:2", "", "", ""},
	    {SERVICE "WANIPv6FirewallControl:1", "WANIPv6FirewallControl 1 v2", "",
	     "WANIPv6FirewallControl 1 v2"},
	};
	struct ssdp_device first = only(SSDP_VIEW_1), second = only(SSDP_VIEW_2);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_string_equal(replies(&both, rows[i].target), rows[i].both);
		assert_string_equal(replies(&first, rows[i].target), rows[i].first);
		assert_string_equal(replies(&second, rows[i].target), rows[i].second);
	}
}

static void
targets_of_nobody(void **state)
{
	static const char *const rows[] = {
	    "",
	    ":",
	    "ssdp:all ",
	    "SSDP:ALL",
	    "upnp:rootdevice:1",
	    "uuid:",
	    "upnp:",
	    "upnp:rootdevic",
	    "rootdevice",
	    "InternetGatewayDevice:1",
	    DEVICE ":1",
	    "uuid:2fac1234-31f8-11b4-a222-08002b34c0031",
	    UDN_ROOT ":1",
	    UDN_ROOT "::upnp:rootdevice",
	    DEVICE "InternetGatewayDevice",
	    DEVICE "InternetGatewayDevice:",
	    DEVICE "InternetGatewayDevice:0",
	    DEVICE "InternetGatewayDevice:01",
	    DEVICE "InternetGatewayDevice:1 ",
	    DEVICE "InternetGatewayDevice:+1",
	    DEVICE "InternetGatewayDevice:257",
	    DEVICE "InternetGatewayDevice:4294967297",
	    DEVICE "InternetGatewayDevic:1",
	    SERVICE "InternetGatewayDevice:1",
	    "urn:schemas-upnp-com:device:InternetGatewayDevice:1",
	    "UPNP:rootdevice",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(replies(&both, rows[i]), "");
}

static void
a_reply_with_the_version_asked_for(void **state)
{
	struct ssdp_device second = only(SSDP_VIEW_2);
	struct ssdp_search search = search_for(SERVICE "WANIPConnection:1");
	struct ssdp_entry entry[SSDP_ENTRIES_MAX];

	(void)state;
	assert_int_equal(ssdp_match(&second, &search, entry), 1);
	assert_string_equal(message(SSDP_REPLY, &ipv4, entry),
			    "HTTP/1.1 200 OK\r\n"
			    "CACHE-CONTROL: max-age=1800\r\n"
			    "EXT:\r\n"
			    "LOCATION: http://192.168.178.101:49152/v2/gateway.xml\r\n"
			    "SERVER: Linux/6.1.0 UPnP/1.1 portlease/0.1.0\r\n"
			    "ST: urn:schemas-upnp-org:service:WANIPConnection:1\r\n"
			    "USN: " UDN_CONNECTION
			    "::urn:schemas-upnp-org:service:WANIPConnection:1\r\n"
			    "BOOTID.UPNP.ORG: 1763980000\r\n"
			    "CONFIGID.UPNP.ORG: 12345678\r\n"
			    "\r\n");
}

static void
an_alive(void **state)
{
	struct ssdp_entry root = {UDN_ROOT, "upnp:", "rootdevice", 0, SSDP_VIEW_1};

	(void)state;
	assert_string_equal(message(SSDP_ALIVE, &ipv4, &root),
			    "NOTIFY * HTTP/1.1\r\n"
			    "HOST: 239.255.255.250:1900\r\n"
			    "CACHE-CONTROL: max-age=1800\r\n"
			    "LOCATION: http://192.168.178.101:49152/v1/gateway.xml\r\n"
			    "SERVER: Linux/6.1.0 UPnP/1.1 portlease/0.1.0\r\n"
			    "NT: upnp:rootdevice\r\n"
			    "NTS: ssdp:alive\r\n"
			    "USN: " UDN_ROOT "::upnp:rootdevice\r\n"
			    "BOOTID.UPNP.ORG: 1763980000\r\n"
			    "CONFIGID.UPNP.ORG: 12345678\r\n"
			    "\r\n");
}

static void
a_byebye(void **state)
{
	struct ssdp_entry device = {.udn = UDN_WAN, .view = SSDP_VIEW_1};

	(void)state;
	assert_string_equal(message(SSDP_BYEBYE, &ipv4, &device), "NOTIFY * HTTP/1.1\r\n"
								  "HOST: 239.255.255.250:1900\r\n"
								  "NT: " UDN_WAN "\r\n"
								  "NTS: ssdp:byebye\r\n"
								  "USN: " UDN_WAN "\r\n"
								  "BOOTID.UPNP.ORG: 1763980000\r\n"
								  "CONFIGID.UPNP.ORG: 12345678\r\n"
								  "\r\n");
}

static void
an_update(void **state)
{
	struct ssdp_entry type = {UDN_ROOT, DEVICE, "InternetGatewayDevice", 2, SSDP_VIEW_2};

	(void)state;
	assert_string_equal(message(SSDP_UPDATE, &ipv6_site, &type),
			    "NOTIFY * HTTP/1.1\r\n"
			    "HOST: [FF05::C]:1900\r\n"
			    "LOCATION: http://[fd00::1]:49152/v2/gateway.xml\r\n"
			    "NT: urn:schemas-upnp-org:device:InternetGatewayDevice:2\r\n"
			    "NTS: ssdp:update\r\n"
			    "USN: " UDN_ROOT
			    "::urn:schemas-upnp-org:device:InternetGatewayDevice:2\r\n"
			    "OPT: \"http://schemas.upnp.org/upnp/1/0/\"; ns=01\r\n"
			    "01-NLS: 1763980000\r\n"
			    "BOOTID.UPNP.ORG: 1763980000\r\n"
			    "NEXTBOOTID.UPNP.ORG: 1763980001\r\n"
			    "CONFIGID.UPNP.ORG: 12345678\r\n"
			    "\r\n");
}

static void
over_ipv6(void **state)
{
	struct ssdp_entry device = {.udn = UDN_ROOT, .view = SSDP_VIEW_1};

	(void)state;
	assert_string_equal(message(SSDP_BYEBYE, &ipv6_link, &device),
			    "NOTIFY * HTTP/1.1\r\n"
			    "HOST: [FF02::C]:1900\r\n"
			    "NT: " UDN_ROOT "\r\n"
			    "NTS: ssdp:byebye\r\n"
			    "USN: " UDN_ROOT "\r\n"
			    "OPT: \"http://schemas.upnp.org/upnp/1/0/\"; ns=01\r\n"
			    "01-NLS: 1763980000\r\n"
			    "BOOTID.UPNP.ORG: 1763980000\r\n"
			    "CONFIGID.UPNP.ORG: 12345678\r\n"
			    "\r\n");
	assert_string_equal(message(SSDP_REPLY, &ipv6_link, &device),
			    "HTTP/1.1 200 OK\r\n"
			    "CACHE-CONTROL: max-age=1800\r\n"
			    "EXT:\r\n"
			    "LOCATION: http://[fe80::1]:49152/v1/gateway.xml\r\n"
			    "SERVER: Linux/6.1.0 UPnP/1.1 portlease/0.1.0\r\n"
			    "ST: " UDN_ROOT "\r\n"
			    "USN: " UDN_ROOT "\r\n"
			    "OPT: \"http://schemas.upnp.org/upnp/1/0/\"; ns=01\r\n"
			    "01-NLS: 1763980000\r\n"
			    "BOOTID.UPNP.ORG: 1763980000\r\n"
			    "CONFIGID.UPNP.ORG: 12345678\r\n"
			    "\r\n");
}

/* Small clients read into a few hundred octets. */
static void
replies_are_small(void **state)
{
	struct ssdp_entry entry[SSDP_ENTRIES_MAX];
	unsigned count = ssdp_entries(&both, entry);

	(void)state;
	for (unsigned i = 0; i < count; i++)
		assert_true(strlen(message(SSDP_REPLY, &ipv4, &entry[i])) < 400);
}

static void
a_buffer_too_small_takes_nothing(void **state)
{
	struct ssdp_entry device = {.udn = UDN_ROOT, .view = SSDP_VIEW_1};
	struct ssdp_message m = {SSDP_ALIVE, &both, &ipv4, 0};
	size_t length = strlen(message(SSDP_ALIVE, &ipv4, &device));
	char text[SSDP_MESSAGE_MAX];

	(void)state;
	assert_int_equal(ssdp_encode(&m, &device, text, length), length);
	assert_int_equal(ssdp_encode(&m, &device, text, length - 1), 0);
	assert_int_equal(ssdp_encode(&m, &device, text, 0), 0);
}

static void
unicast_is_answered_at_once_and_multicast_soon(void **state)
{
	struct ssdp_search search = search_for("ssdp:all");
	bool seen[SSDP_DELAY_MAX + 1] = {false};

	(void)state;
	for (uint32_t random = 0; random <= SSDP_DELAY_MAX; random++) {
		monotime delay = ssdp_delay(&search, random + 10 * (SSDP_DELAY_MAX + 1));

		assert_in_range(delay, 0, SSDP_DELAY_MAX);
		seen[delay] = true;
	}
	for (int i = 0; i <= SSDP_DELAY_MAX; i++)
		assert_true(seen[i]);
	assert_in_range(ssdp_delay(&search, UINT32_MAX), 0, SSDP_DELAY_MAX);
	search.multicast = false;
	assert_int_equal(ssdp_delay(&search, 77), 0);
}

static void
a_search_sent_again_at_once_is_answered_once(void **state)
{
	struct ssdp_limit limit;
	struct ssdp_search search = search_for("ssdp:all"), other = search_for("upnp:rootdevice"),
			   socket = search_for("ssdp:all"), host = search_for("ssdp:all"),
			   unicast = search_for("ssdp:all");

	(void)state;
	socket.from.port++;
	host.from = source("192.168.178.21", 50000);
	unicast.multicast = false;
	ssdp_limit_init(&limit, 20, 200);
	assert_true(ssdp_admit(&limit, &search, 5000));
	assert_false(ssdp_admit(&limit, &search, 5000));
	assert_true(ssdp_admit(&limit, &other, 5000));
	assert_true(ssdp_admit(&limit, &socket, 5000));
	assert_true(ssdp_admit(&limit, &host, 5000));
	assert_true(ssdp_admit(&limit, &unicast, 5000));
	assert_false(ssdp_admit(&limit, &unicast, 5050));
	assert_false(ssdp_admit(&limit, &search, 5099));
	assert_true(ssdp_admit(&limit, &search, 5100));
}

/* How many of so many different searches of one address are answered? */
static unsigned
admitted(struct ssdp_limit *limit, uint32_t host, unsigned searches, monotime now)
{
	struct ssdp_search search = search_for("ssdp:all");
	unsigned count = 0;

	search.from.address = address_from_ipv4(htonl(0x0a000000 + host));
	for (unsigned i = 0; i < searches; i++) {
		search.from.port = (uint16_t)(1024 + i);
		count += ssdp_admit(limit, &search, now);
	}
	return count;
}

static void
a_source_has_its_rate(void **state)
{
	struct ssdp_limit limit;

	(void)state;
	ssdp_limit_init(&limit, 20, 0);
	assert_int_equal(admitted(&limit, 1, 100, 5000), 40);
	assert_int_equal(admitted(&limit, 2, 30, 5000), 30);
	assert_int_equal(admitted(&limit, 1, 100, 5499), 9);
	assert_int_equal(admitted(&limit, 1, 100, 5500), 1);
	assert_int_equal(admitted(&limit, 1, 100, 600000), 40);
}

static void
all_sources_have_a_rate(void **state)
{
	struct ssdp_limit limit;
	unsigned count = 0;

	(void)state;
	ssdp_limit_init(&limit, 20, 100);
	for (uint32_t host = 1; host <= 300; host++)
		count += admitted(&limit, host, 1, 5000);
	assert_int_equal(count, 200);
	assert_int_equal(admitted(&limit, 301, 10, 5010), 1);
	assert_int_equal(admitted(&limit, 301, 10, 7010), 10);
}

static void
refused_searches_cost_nothing(void **state)
{
	struct ssdp_limit limit;

	(void)state;
	ssdp_limit_init(&limit, 20, 100);
	assert_int_equal(admitted(&limit, 1, 1000, 5000), 40);
	assert_int_equal(admitted(&limit, 2, 40, 5000), 40);
	assert_int_equal(admitted(&limit, 1, 1000, 6000), 20);
}

static void
no_limit(void **state)
{
	struct ssdp_limit limit;

	(void)state;
	ssdp_limit_init(&limit, 0, 0);
	assert_int_equal(admitted(&limit, 1, 60000, 5000), 60000);
}

static void
an_empty_bucket_is_not_forgotten_for_a_flood(void **state)
{
	struct ssdp_limit limit;

	(void)state;
	ssdp_limit_init(&limit, 20, 0);
	assert_int_equal(admitted(&limit, 1, 100, 5000), 40);
	for (uint32_t host = 2; host < 1000; host++)
		assert_int_equal(admitted(&limit, host, 1, 5000), 1);
	assert_int_equal(admitted(&limit, 1, 100, 5050), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_search_as_the_standard_has_it),
	    cmocka_unit_test(searches_as_clients_have_them),
	    cmocka_unit_test(what_is_never_answered),
	    cmocka_unit_test(sources_and_sizes),
	    cmocka_unit_test(the_set_of_both_views),
	    cmocka_unit_test(no_usn_twice),
	    cmocka_unit_test(the_set_of_one_view),
	    cmocka_unit_test(targets),
	    cmocka_unit_test(targets_of_nobody),
	    cmocka_unit_test(a_reply_with_the_version_asked_for),
	    cmocka_unit_test(an_alive),
	    cmocka_unit_test(a_byebye),
	    cmocka_unit_test(an_update),
	    cmocka_unit_test(over_ipv6),
	    cmocka_unit_test(replies_are_small),
	    cmocka_unit_test(a_buffer_too_small_takes_nothing),
	    cmocka_unit_test(unicast_is_answered_at_once_and_multicast_soon),
	    cmocka_unit_test(a_search_sent_again_at_once_is_answered_once),
	    cmocka_unit_test(a_source_has_its_rate),
	    cmocka_unit_test(all_sources_have_a_rate),
	    cmocka_unit_test(refused_searches_cost_nothing),
	    cmocka_unit_test(no_limit),
	    cmocka_unit_test(an_empty_bucket_is_not_forgotten_for_a_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
