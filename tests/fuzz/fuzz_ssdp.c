/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any octets as a search, by every way it may come; then every message for what it matches. */
#include "../../protocols/ssdp.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct ssdp_type types[] = {
    {"InternetGatewayDevice", false, 0, {1, 2}},
    {"Layer3Forwarding", true, 0, {1, 1}},
    {"WANIPConnection", true, 2, {1, 2}},
    {"WANIPv6FirewallControl", true, 2, {0, 1}},
};

static const struct ssdp_device device = {
    .udn = {"uuid:1", "uuid:2", "uuid:3"},
    .types = types,
    .type_count = sizeof(types) / sizeof(types[0]),
    .serves = {true, true},
    .server = "Linux/6.1 UPnP/1.1 portlease/0",
    .boot_id = 5,
    .config_id = 6,
    .max_age = 1800,
};

static const struct ssdp_sender sender = {SSDP_IPV6_SITE,
					  {"http://[fd00::1]:1/1", "http://[fd00::1]:1/2"}};

/* A chain of lines that ends in an empty one, whatever was asked. */
static void
check_message(const struct ssdp_message *m, const struct ssdp_entry *entry)
{
	char big[SSDP_MESSAGE_MAX];
	size_t length = ssdp_encode(m, entry, big, sizeof(big));
	char *exact = malloc(length);

	CHECK(exact && length > 4);
	CHECK(ssdp_encode(m, entry, exact, length - 1) == 0);
	CHECK(ssdp_encode(m, entry, exact, length) == length);
	CHECK(memcmp(exact, big, length) == 0);
	CHECK(memcmp(exact + length - 4, "\r\n\r\n", 4) == 0);
	CHECK(memmem(exact, length - 1, "\r\n\r\n", 4) == NULL);
	free(exact);
}

static void
check_search(const struct datagram *datagram, const struct ssdp_search *search)
{
	struct ssdp_entry entry[SSDP_ENTRIES_MAX];
	const char *bytes = (const char *)datagram->bytes;
	struct ssdp_limit limit;
	unsigned count;

	CHECK(search->target.at >= bytes);
	CHECK(search->target.at + search->target.size <= bytes + datagram->kept);
	ssdp_limit_init(&limit, 20, 200);
	CHECK(ssdp_admit(&limit, search, 1000));
	CHECK(!ssdp_admit(&limit, search, 1001));
	count = ssdp_match(&device, search, entry);
	CHECK(count <= 1 || text_equal(search->target, "ssdp:all"));
	for (unsigned i = 0; i < count; i++)
		for (int kind = SSDP_REPLY; kind <= SSDP_UPDATE; kind++)
			check_message(
			    &(struct ssdp_message){(enum ssdp_kind)kind, &device, &sender, 7},
			    &entry[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct datagram datagram = {bytes, size, size, fuzz_client(), 5000};
	struct ssdp_search search;
	bool heard[4];

	for (unsigned how = 0; how < 4; how++) {
		heard[how] = ssdp_decode(&datagram, how, &search);
		if (heard[how])
			check_search(&datagram, &search);
	}
	/* Who is heard under more rules is heard under fewer. */
	CHECK(heard[0] || (!heard[SSDP_MULTICAST] && !heard[SSDP_STRICT]));
	CHECK(heard[SSDP_MULTICAST] || !heard[SSDP_MULTICAST | SSDP_STRICT]);
	return 0;
}
