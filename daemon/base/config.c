/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of keys drives libconfuse: it hands over raw words, which are judged and stored here. */
#include "config.h"

#include <confuse.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config_text.h"

enum {
	PORT_MAX = 65535,
	MAPPINGS_MAX = 2 * PORT_MAX, /* as many as TCP and UDP have ports */
	RATE_MAX = 1000000,
	UNPRIVILEGED_PORT = 1024,
	CONNECTIONS_MAX = 4096,
	SUBSCRIPTIONS_MAX = 4096,
	TIMEOUT_MAX = 3600,
	INTERVAL_MIN = 60,
	INTERVAL_MAX = 86400,
	NAME_LENGTH = 63,   /* of a device's texts: Device Architecture 2.0, 2.3 */
	NUMBER_LENGTH = 31, /* of its model */
	URL_LENGTH = 255,
	PATH_LENGTH = 4095,
	SOCKET_PATH_LENGTH = sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
};
#define LIFETIME_MAX (MAPPING_LIFETIME_STATIC - 1)

struct reading {
	struct config config;
	struct policy_rule rule; /* the section at hand */
	struct forward forward;	 /* likewise */
	struct config_text text;
	struct complaint complaint;
	size_t closed; /* sections */
	/* Of each key's value, 0 = none yet; a section's end clears its own. */
	unsigned line[CONFIG_KEYS_MAX];
};

struct key {
	struct config_key name;
	bool (*take)(const struct key *, const char *word, void *slot);
	size_t offset;	      /* of the slot in struct reading */
	const char *expected; /* choices are "word0|word1…"; NULL: a number from min to max */
	uint32_t min, max;    /* of the number, or of the text's length */
};

/* libconfuse gives its callbacks no argument of ours. */
static struct reading *reading;

static void *
must(void *memory)
{
	if (!memory)
		fatal("out of memory");
	return memory;
}

/* Decimal digits alone; a leading zero could be meant as octal. */
static bool
parse_number(const char *word, size_t length, uint32_t *out)
{
	uint64_t value = 0;
	if (length == 0 || length > 10 || (word[0] == '0' && length > 1))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (word[i] < '0' || word[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(word[i] - '0');
	}
	*out = (uint32_t)value;
	return value <= UINT32_MAX;
}

static bool
take_number(const struct key *key, const char *word, void *slot)
{
	uint32_t value;
	if (!parse_number(word, strlen(word), &value) || value < key->min || value > key->max)
		return false;
	*(uint32_t *)slot = value;
	return true;
}

static bool
take_range(const struct key *key, const char *word, void *slot)
{
	(void)key;
	return port_range_parse(word, slot);
}

/* The word's place among "a|b|c"; -1: none of them. */
static int
choose(const char *choices, const char *word)
{
	size_t length = strlen(word);
	for (int i = 0;; i++) {
		size_t span = strcspn(choices, "|");
		if (span == length && strncmp(choices, word, length) == 0)
			return i;
		if (choices[span] == '\0')
			return -1;
		choices += span + 1;
	}
}

static bool
take_flag(const struct key *key, const char *word, void *slot)
{
	int chosen = choose(key->expected, word);
	*(bool *)slot = chosen == 1;
	return chosen >= 0;
}

static bool
take_log_level(const struct key *key, const char *word, void *slot)
{
	int chosen = choose(key->expected, word);
	*(enum log_level *)slot = (enum log_level)chosen;
	return chosen >= 0;
}

static bool
take_log_target(const struct key *key, const char *word, void *slot)
{
	int chosen = choose(key->expected, word);
	*(enum log_target *)slot = (enum log_target)chosen;
	return chosen >= 0;
}

static bool
take_transports(const struct key *key, const char *word, void *slot)
{
	(void)key;
	return forward_transports_parse(word, slot);
}

static bool
take_text(const struct key *key, const char *word, void *slot)
{
	char **text = slot;
	size_t length = strlen(word);
	if (length < key->min || length > key->max)
		return false;
	free(*text);
	*text = must(strdup(word));
	return true;
}

static bool
take_path(const struct key *key, const char *word, void *slot)
{
	return word[0] == '/' && take_text(key, word, slot);
}

/* "01234567-89ab-…", in either case. */
static bool
take_uuid(const struct key *key, const char *word, void *slot)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	char *uuid = slot;
	(void)key;
	_Static_assert(sizeof(shape) == CONFIG_UUID_SIZE, "a uuid as text");
	if (strlen(word) != sizeof(shape) - 1)
		return false;
	for (size_t i = 0; i < sizeof(shape); i++) {
		if (shape[i] == 'x' ? !strchr("0123456789abcdefABCDEF", word[i])
				    : word[i] != shape[i])
			return false;
		uuid[i] = word[i] >= 'A' ? (char)(word[i] | 0x20) : word[i];
	}
	return true;
}

static bool
take_url(const struct key *key, const char *word, void *slot)
{
	static const char *const schemes[] = {"http://", "https://"};
	for (const char *c = word; *c; c++) {
		if (*c <= ' ' || *c > '~' || strchr("<>\"", *c))
			return false;
	}
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t length = strlen(schemes[i]);
		if (strncmp(word, schemes[i], length) == 0 && word[length])
			return take_text(key, word, slot);
	}
	return false;
}

static bool
take_igd_version(const struct key *key, const char *word, void *slot)
{
	int chosen = choose(key->expected, word);
	*(enum config_igd *)slot = (enum config_igd)chosen;
	return chosen >= 0;
}

static bool
take_sync(const struct key *key, const char *word, void *slot)
{
	int chosen = choose(key->expected, word);
	*(enum config_sync *)slot = (enum config_sync)chosen;
	return chosen >= 0;
}

static bool
take_client(const struct key *key, const char *word, void *slot)
{
	(void)key;
	struct policy_rule *rule = slot;
	rule->has_client = prefix_parse(word, &rule->client);
	return rule->has_client;
}

static bool
take_internal_client(const struct key *key, const char *word, void *slot)
{
	(void)key;
	struct policy_rule *rule = slot;
	rule->has_internal_client = prefix_parse(word, &rule->internal_client);
	return rule->has_internal_client;
}

static bool
take_target(const struct key *key, const char *word, void *slot)
{
	(void)key;
	return forward_target_parse(word, slot);
}

static bool
take_remote(const struct key *key, const char *word, void *slot)
{
	(void)key;
	return forward_remote_parse(word, slot);
}

static bool
take_helper(const struct key *key, const char *word, void *slot)
{
	(void)key;
	return helper_parse(word, slot);
}

static bool
take_description(const struct key *key, const char *word, void *slot)
{
	if (strlen(word) > key->max)
		return false;
	strcpy(slot, word);
	return true;
}

static bool
take_external_address(const struct key *key, const char *word, void *slot)
{
	(void)key;
	struct config_wan *wan = slot;
	wan->has_external_address = !strchr(word, ':') &&
				    address_parse(word, &wan->external_address) &&
				    address_scope(&wan->external_address) != ADDRESS_UNUSABLE;
	return wan->has_external_address;
}

#define AT(member) offsetof(struct reading, member)
#define PORTS	   "a port or FIRST-LAST, within 1-65535, without leading zeros"

/* clang-format off */
static const struct key keys[] = {
	{{"", "state-directory"}, take_path, AT(config.state_directory),
	 "an absolute path", 1, PATH_LENGTH},
	{{"", "journal-sync"}, take_sync, AT(config.journal_sync), "full|normal|off", 0, 0},
	{{"", "journal-failure"}, take_flag, AT(config.journal_refuses), "serve|refuse", 0, 0},
	{{"", "on-exit"}, take_flag, AT(config.keep_on_exit), "remove|keep", 0, 0},
	{{"", "control-socket"}, take_path, AT(config.control_socket),
	 "an absolute path of at most 107 octets", 1, SOCKET_PATH_LENGTH},
	{{"", "control-access"}, take_flag, AT(config.control_readable), "group|all", 0, 0},
	{{"", "user"}, take_text, AT(config.user), "the name or the number of a user", 1, 255},
	{{"", "log"}, take_log_target, AT(config.log_target), "stderr|syslog", 0, 0},
	{{"", "log-level"}, take_log_level, AT(config.log_level), "error|warning|info|debug", 0, 0},
	{{"", "nat-pmp"}, take_flag, AT(config.nat_pmp), "no|yes", 0, 0},
	{{"", "pcp"}, take_flag, AT(config.pcp), "no|yes", 0, 0},
	{{"", "min-lifetime"}, take_number, AT(config.min_lifetime), NULL, 1, LIFETIME_MAX},
	{{"", "max-lifetime"}, take_number, AT(config.max_lifetime), NULL, 1, LIFETIME_MAX},
	{{"", "random-ports"}, take_range, AT(config.random_ports), PORTS, 0, 0},
	{{"", "max-mappings-per-client"}, take_number, AT(config.max_mappings_per_client),
	 NULL, 1, MAPPINGS_MAX},
	{{"", "requests-per-second"}, take_number, AT(config.requests_per_second),
	 NULL, 0, RATE_MAX},
	{{"", "end-flows-on-expiry"}, take_flag, AT(config.end_flows_on_expiry), "no|yes", 0, 0},
	{{"", "host-gone-timeout"}, take_number, AT(config.host_gone_timeout),
	 NULL, 0, LIFETIME_MAX},
	{{"", "idle-mapping-timeout"}, take_number, AT(config.idle_mapping_timeout),
	 NULL, 0, LIFETIME_MAX},
	{{"", "upnp"}, take_flag, AT(config.upnp.on), "no|yes", 0, 0},
	{{"", "worker-user"}, take_text, AT(config.upnp.worker_user),
	 "the name or the number of a user", 1, 255},
	{{"", "igd-version"}, take_igd_version, AT(config.upnp.igd_version), "auto|1|2", 0, 0},
	{{"", "http-port"}, take_number, AT(config.upnp.http_port),
	 NULL, UNPRIVILEGED_PORT, PORT_MAX},
	{{"", "friendly-name"}, take_text, AT(config.upnp.friendly_name),
	 "a name of at most 63 octets", 1, NAME_LENGTH},
	{{"", "model-name"}, take_text, AT(config.upnp.model_name),
	 "a name of at most 31 octets", 1, NUMBER_LENGTH},
	{{"", "model-number"}, take_text, AT(config.upnp.model_number),
	 "a text of at most 31 octets", 1, NUMBER_LENGTH},
	{{"", "serial-number"}, take_text, AT(config.upnp.serial_number),
	 "a text of at most 63 octets", 1, NAME_LENGTH},
	{{"", "uuid"}, take_uuid, AT(config.upnp.uuid),
	 "32 hexadecimal digits in groups of 8-4-4-4-12", 0, 0},
	{{"", "presentation-url"}, take_url, AT(config.upnp.presentation_url),
	 "a URL that begins with http:// or https://, of at most 255 octets", 1, URL_LENGTH},
	{{"", "ssdp-interval"}, take_number, AT(config.upnp.ssdp_interval),
	 NULL, INTERVAL_MIN, INTERVAL_MAX},
	{{"", "strict-ssdp"}, take_flag, AT(config.upnp.strict_ssdp), "no|yes", 0, 0},
	{{"", "ssdp-searches-per-second"}, take_number, AT(config.upnp.ssdp_searches_per_second),
	 NULL, 0, RATE_MAX},
	{{"", "ssdp-searches-per-second-total"}, take_number,
	 AT(config.upnp.ssdp_searches_per_second_total), NULL, 0, RATE_MAX},
	{{"", "http-requests-per-second"}, take_number, AT(config.upnp.http_requests_per_second),
	 NULL, 0, RATE_MAX},
	{{"", "http-connections-per-client"}, take_number,
	 AT(config.upnp.http_connections_per_client), NULL, 1, CONNECTIONS_MAX},
	{{"", "http-connections"}, take_number, AT(config.upnp.http_connections),
	 NULL, 1, CONNECTIONS_MAX},
	{{"", "http-request-timeout"}, take_number, AT(config.upnp.http_request_timeout),
	 NULL, 1, TIMEOUT_MAX},
	{{"", "http-answer-timeout"}, take_number, AT(config.upnp.http_answer_timeout),
	 NULL, 1, TIMEOUT_MAX},
	{{"", "event-subscriptions-per-client"}, take_number,
	 AT(config.upnp.event_subscriptions_per_client), NULL, 1, SUBSCRIPTIONS_MAX},
	{{"", "event-subscriptions"}, take_number, AT(config.upnp.event_subscriptions),
	 NULL, 1, SUBSCRIPTIONS_MAX},
	{{"", "read-others-mappings"}, take_flag, AT(config.upnp.read_others_mappings),
	 "no|yes", 0, 0},
	{{"wan", "external-address"}, take_external_address, AT(config.wan),
	 "an IPv4 address that other hosts can reach", 0, 0},
	{{"wan", "source-nat"}, take_flag, AT(config.wan.source_nat), "no|yes", 0, 0},
	{{"wan", "private-wan"}, take_flag, AT(config.wan.refuse_private), "serve|refuse", 0, 0},
	{{"rule", "action"}, take_flag, AT(rule.allow), "deny|allow", 0, 0},
	{{"rule", "client"}, take_client, AT(rule),
	 "ADDRESS or ADDRESS/LENGTH without bits beyond the length", 0, 0},
	{{"rule", "internal-client"}, take_internal_client, AT(rule),
	 "ADDRESS or ADDRESS/LENGTH without bits beyond the length", 0, 0},
	{{"rule", "transport"}, take_transports, AT(rule.transports), "tcp|udp|both", 0, 0},
	{{"rule", "external-ports"}, take_range, AT(rule.external), PORTS, 0, 0},
	{{"rule", "internal-ports"}, take_range, AT(rule.internal), PORTS, 0, 0},
	{{"rule", "description"}, take_text, AT(rule.description), "a pattern", 0, UINT32_MAX},
	{{"forward", "transport"}, take_transports, AT(forward.transports), "tcp|udp|both", 0, 0},
	{{"forward", "external-ports"}, take_range, AT(forward.external), PORTS, 0, 0},
	{{"forward", "target"}, take_target, AT(forward.target), "ADDRESS or ADDRESS:PORT", 0, 0},
	{{"forward", "remote"}, take_remote, AT(forward.remote),
	 "ADDRESS or ADDRESS/LENGTH of IPv4, without bits beyond the length", 0, 0},
	{{"forward", "helper"}, take_helper, AT(forward.helper), "none|ftp", 0, 0},
	{{"forward", "description"}, take_description, AT(forward.description),
	 "a text of at most 127 octets", 0, MAPPING_DESCRIPTION_MAX},
};
/* clang-format on */
enum { KEYS = sizeof(keys) / sizeof(*keys) };
_Static_assert((int)KEYS <= (int)CONFIG_KEYS_MAX, "struct reading holds a line for each key");

/* KEYS: none. */
static size_t
find_key(const char *section, const char *name)
{
	size_t i = 0;
	while (i < KEYS &&
	       (strcmp(keys[i].name.section, section) != 0 || strcmp(keys[i].name.key, name) != 0))
		i++;
	return i;
}

static unsigned
line_of(const char *section, const char *name)
{
	return reading->line[find_key(section, name)];
}

static bool
complain_at(unsigned line, const char *name, const char *found, const char *expected)
{
	return complain(&reading->complaint, line, "%s: found \"%s\", expected %s", name, found,
			expected);
}

/* As the kernel's dev_valid_name(). */
static bool
is_interface(const char *name)
{
	size_t length = strlen(name);
	return length > 0 && length < CONFIG_INTERFACE_SIZE &&
	       strcspn(name, "/: \t\n\v\f\r") == length && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static bool
take_interface(const char *section, const char *title, unsigned line, char *out)
{
	if (!is_interface(title))
		return complain_at(line, section, title,
				   "the name of an interface, of at most 15 octets");
	strcpy(out, title);
	return true;
}

/* A section at its closing brace. */
struct closed {
	const char *title;  /* NULL: it has none */
	const char *within; /* the title of the section that it is in; NULL: it is in none */
};

/* The same interface on both sides; a repeated lan libconfuse refuses itself. */
static bool
check_sides(unsigned line)
{
	const struct config *config = &reading->config;
	for (size_t i = 0; i < config->lans; i++) {
		if (strcmp(config->lan[i].interface, config->wan.interface) == 0)
			return complain(&reading->complaint, line,
					"\"%s\" is lan and wan, expected another interface",
					config->wan.interface);
	}
	return true;
}

static bool
close_lan(const struct closed *closed, unsigned line)
{
	const char *title = closed->title;
	struct config *config = &reading->config;
	if (config->lans == CONFIG_LANS)
		return complain(&reading->complaint, line, "one more lan, expected at most %d",
				CONFIG_LANS);
	if (strcmp(title, "auto") == 0)
		return complain_at(line, "lan", title,
				   "the name of an interface: only a wan is found by itself");
	config->lan = must(reallocarray(config->lan, config->lans + 1, sizeof(*config->lan)));
	return take_interface("lan", title, line, config->lan[config->lans++].interface) &&
	       check_sides(line);
}

static bool
close_wan(const struct closed *closed, unsigned line)
{
	const char *title = closed->title;
	struct config_wan *wan = &reading->config.wan;
	if (wan->interface[0])
		return complain(&reading->complaint, line, "second wan \"%s\", expected only one",
				title);
	wan->automatic = strcmp(title, "auto") == 0;
	return take_interface("wan", title, line, wan->interface) && check_sides(line);
}

/* The title's next word, up to a blank or its end; NULL: it is none, or too long for out. */
static const char *
take_chain_word(const char *from, char out[CONFIG_CHAIN_SIZE])
{
	size_t length = strspn(from, "abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./\\");
	if (length == 0 || length >= CONFIG_CHAIN_SIZE)
		return NULL;
	memcpy(out, from, length);
	out[length] = '\0';
	return from + length + (from[length] == ' ');
}

static bool
parse_chain(const char *title, struct config_chain *chain)
{
	char family[CONFIG_CHAIN_SIZE];
	const char *rest = take_chain_word(title, family);
	if (!rest || (strcmp(family, "inet") != 0 && strcmp(family, "ip") != 0))
		return false;
	chain->inet = strcmp(family, "inet") == 0;
	return (rest = take_chain_word(rest, chain->table)) &&
	       (rest = take_chain_word(rest, chain->chain)) && *rest == '\0' && rest[-1] != ' ' &&
	       !(chain->inet && strcmp(chain->table, "portlease") == 0);
}

static bool
close_foreign_chain(const struct closed *closed, unsigned line)
{
	const char *title = closed->title;
	struct config *config = &reading->config;
	struct config_chain chain = {.inet = false};
	if (config->foreign_chains == CONFIG_CHAINS)
		return complain(&reading->complaint, line,
				"one more foreign-chain, expected at most %d", CONFIG_CHAINS);
	if (!parse_chain(title, &chain))
		return complain_at(line, "foreign-chain", title,
				   "\"FAMILY TABLE CHAIN\", the family being inet or ip");
	config->foreign_chain = must(reallocarray(config->foreign_chain, config->foreign_chains + 1,
						  sizeof(*config->foreign_chain)));
	config->foreign_chain[config->foreign_chains++] = chain;
	return true;
}

static void
reset_rule(void)
{
	reading->rule = (struct policy_rule){
	    .transports = CONFIG_TCP | CONFIG_UDP,
	    .external = {0, PORT_MAX},
	    .internal = {0, PORT_MAX},
	};
}

/* Those of LANs come before the common ones. */
static bool
close_rule(const struct closed *closed, unsigned line)
{
	struct config *config = &reading->config;
	struct policy_rule *rule;
	size_t at = config->rules;
	if (closed->within) { /* the lan's own end judges the name */
		snprintf(reading->rule.lan, sizeof(reading->rule.lan), "%s", closed->within);
		for (at = 0; at < config->rules && config->rule[at].lan[0];)
			at++;
	}
	reading->rule.line = line;
	rule = must(reallocarray(config->rule, config->rules + 1, sizeof(*rule)));
	memmove(rule + at + 1, rule + at, (config->rules - at) * sizeof(*rule));
	rule[at] = reading->rule;
	config->rule = rule;
	config->rules++;
	reset_rule();
	return true;
}

/* The first that is in the way of the one at hand; NULL: none. */
static const struct forward *
find_overlap(void)
{
	const struct config *config = &reading->config;
	for (size_t i = 0; i < config->forwards; i++) {
		if (forwards_overlap(&config->forward[i], &reading->forward))
			return &config->forward[i];
	}
	return NULL;
}

static bool
close_forward(const struct closed *closed, unsigned line)
{
	const char *title = closed->title;
	struct config *config = &reading->config;
	struct forward *forward = &reading->forward;
	if (!forward_name_is_good(title))
		return complain_at(line, "forward", title,
				   "a name of at most 63 letters, digits, spaces, \"-\", \"_\" "
				   "and \".\" that begins with a letter");
	strcpy(forward->name, title);
	forward->line = line;
	const char *expected = forward_complete(forward);
	if (expected)
		return complain(&reading->complaint, line, "forward \"%s\": expected %s", title,
				expected);
	const struct forward *other = find_overlap();
	if (other)
		return complain(
		    &reading->complaint, line,
		    "forward \"%s\" overlaps forward \"%s\" of line %u, expected another "
		    "port, transport or remote",
		    title, other->name, other->line);
	config->forward =
	    must(reallocarray(config->forward, config->forwards + 1, sizeof(*config->forward)));
	config->forward[config->forwards++] = *forward;
	*forward = (struct forward){.line = 0};
	return true;
}

enum { REQUIRED_MAX = 3 };
enum { SECTION_LAN, SECTION_RULE = 2 };

static const struct section {
	const char *name;
	cfg_flag_t flags;
	const char *required[REQUIRED_MAX + 1]; /* keys, ended by NULL */
	bool (*close)(const struct closed *, unsigned line);
} sections[] = {
    [SECTION_LAN] = {"lan", CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES, {NULL}, close_lan},
    {"wan", CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES, {NULL}, close_wan},
    [SECTION_RULE] = {"rule", CFGF_MULTI, {"action"}, close_rule},
    {"forward",
     CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES,
     {"transport", "external-ports", "target"},
     close_forward},
    {"foreign-chain", CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES, {NULL}, close_foreign_chain},
};
enum { SECTIONS = sizeof(sections) / sizeof(*sections) };

static void
complain_of_value(const struct key *key, const char *word, unsigned line)
{
	char number[64];
	snprintf(number, sizeof(number), "a number from %u to %u without leading zeros", key->min,
		 key->max);
	complain_at(line, key->name.key, word, key->expected ? key->expected : number);
}

/* Called by libconfuse with each value. */
static int
take_value(cfg_t *cfg, cfg_opt_t *option, const char *word, void *result)
{
	*(void **)result = NULL;
	const char *section = strcmp(cfg->name, "root") == 0 ? "" : cfg->name;
	unsigned line = (unsigned)cfg->line;
	size_t i = find_key(section, option->name);
	if (i == KEYS) { /* libconfuse takes "wan|source-nat" at the top level for the wan's key */
		complain(&reading->complaint, line,
			 "%s does not belong here, expected it in its section", option->name);
		return -1;
	}
	if (reading->line[i] > 0) {
		complain(&reading->complaint, line, "%s again, expected it only once (line %u)",
			 option->name, reading->line[i]);
		return -1;
	}
	reading->line[i] = line;
	if (keys[i].take(&keys[i], word, (char *)reading + keys[i].offset))
		return 0;
	complain_of_value(&keys[i], word, line);
	return -1;
}

/* Called by libconfuse at a section's closing brace. */
static int
close_section(cfg_t *cfg, cfg_opt_t *option)
{
	cfg_t *closed = cfg_opt_getnsec(option, cfg_opt_size(option) - 1);
	const struct section *section = sections;
	while (strcmp(section->name, option->name) != 0)
		section++;
	for (const char *const *key = section->required; *key; key++) {
		if (line_of(section->name, *key) > 0)
			continue;
		complain(&reading->complaint, (unsigned)cfg->line, "end of %s, expected %s in it",
			 section->name, *key);
		return -1;
	}
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name.section, section->name) == 0)
			reading->line[i] = 0;
	}
	unsigned line = reading->text.section[reading->closed++];
	const struct closed what = {closed->title, cfg->title};
	return section->close(&what, line) ? 0 : -1;
}

/* "; expected …": the options that this section may hold. */
static void
expect_options(cfg_t *cfg, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, "; expected ");
	for (unsigned i = 0; i < cfg_num(cfg) && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "",
					 cfg_opt_name(cfg_getnopt(cfg, i)));
	if (cfg_num(cfg) == 0)
		snprintf(out + used, size - used, "an empty section");
}

/* Called by libconfuse with what it finds itself. */
static void
take_error(cfg_t *cfg, const char *format, va_list arguments)
{
	char found[256], expected[1024] = "";
	vsnprintf(found, sizeof(found), format, arguments);
	if (strstr(found, "no such option") == found)
		expect_options(cfg, expected, sizeof(expected));
	else if (strstr(found, "found duplicate title") == found)
		snprintf(expected, sizeof(expected), "; expected another name");
	unsigned line = (unsigned)cfg->line;
	unsigned lines = reading->text.lines;
	complain(&reading->complaint, line < lines ? line : lines, "%s%s", found, expected);
}

/* The options of one section; "" is the top level, which also has the sections. */
static void
build_options(const char *section, cfg_opt_t *out)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name.section, section) == 0)
			*out++ = (cfg_opt_t)CFG_PTR_CB(keys[i].name.key, NULL, CFGF_NODEFAULT,
						       take_value, NULL);
	}
	*out = (cfg_opt_t)CFG_END();
}

static void
add_section(cfg_opt_t *to, int number, cfg_opt_t *options)
{
	unsigned used = cfg_numopts(to);
	to[used] =
	    (cfg_opt_t)CFG_SEC((char *)sections[number].name, options, sections[number].flags);
	to[used + 1] = (cfg_opt_t)CFG_END();
}

static bool
parse(void)
{
	cfg_opt_t options[SECTIONS][KEYS + 2], top[KEYS + SECTIONS + 1];
	build_options("", top);
	for (int i = 0; i < SECTIONS; i++)
		build_options(sections[i].name, options[i]);
	add_section(options[SECTION_LAN], SECTION_RULE, options[SECTION_RULE]);
	for (int i = 0; i < SECTIONS; i++)
		add_section(top, i, options[i]);
	cfg_t *cfg = must(cfg_init(top, CFGF_NONE));
	cfg_set_error_function(cfg, take_error);
	for (int i = 0; i < SECTIONS; i++)
		cfg_set_validate_func(cfg, sections[i].name, close_section);
	cfg_set_validate_func(cfg, "lan|rule", close_section);
	bool ok = cfg_parse_buf(cfg, reading->text.text) == CFG_SUCCESS;
	cfg_free(cfg);
	return ok || complain(&reading->complaint, 0, "out of memory");
}

/* Where clients may be: "; with private addresses: br-lan (192.168.1.1), …". */
static void
list_private(char *out, size_t size)
{
	struct ifaddrs *all = NULL;
	size_t used = 0;
	if (getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *i = all; i && used < size; i = i->ifa_next) {
		const struct sockaddr_in *own = (const void *)i->ifa_addr;
		char text[ADDRESS_TEXT_SIZE];
		if (!own || own->sin_family != AF_INET)
			continue;
		struct address address = address_from_ipv4(own->sin_addr.s_addr);
		if (address_scope(&address) == ADDRESS_PRIVATE)
			used += (size_t)snprintf(out + used, size - used, "%s%s (%s)",
						 used ? ", " : "; with private addresses: ",
						 i->ifa_name, address_print(&address, text));
	}
	freeifaddrs(all);
}

static bool
complain_of_no_lan(unsigned line)
{
	char private[256] = "";
	list_private(private, sizeof(private));
	return complain(&reading->complaint, line,
			"end of file, expected a section lan \"INTERFACE\" { }%s", private);
}

/* What no single value shows. */
static bool
check_whole(void)
{
	const struct config *config = &reading->config;
	unsigned last = reading->text.lines;
	if (config->lans == 0)
		return complain_of_no_lan(last);
	if (!config->wan.interface[0])
		return complain(&reading->complaint, last,
				"end of file, expected a section wan \"INTERFACE\" { }");
	unsigned line = line_of("", "max-lifetime");
	if (config->max_lifetime < config->min_lifetime)
		return complain(&reading->complaint, line ? line : line_of("", "min-lifetime"),
				"max-lifetime is %u, expected at least min-lifetime (%u)",
				config->max_lifetime, config->min_lifetime);
	/* Two names may still be one user: who starts the processes looks at that. */
	line = line_of("", "worker-user");
	if (strcmp(config->upnp.worker_user, config->user) == 0)
		return complain(&reading->complaint, line ? line : line_of("", "user"),
				"worker-user is %s, expected another than user", config->user);
	return true;
}

static struct config
defaults(void)
{
	return (struct config){
	    .wan = {.source_nat = true},
	    .keep_on_exit = true,
	    .state_directory = must(strdup("/var/lib/portlease")),
	    .control_socket = must(strdup("/run/portlease/control")),
	    .user = must(strdup("portlease")),
	    .log_level = LOG_LEVEL_INFO,
	    .log_target = LOG_TARGET_STDERR,
	    .nat_pmp = true,
	    .pcp = true,
	    .min_lifetime = 120,
	    .max_lifetime = 86400,
	    .random_ports = {1024, PORT_MAX},
	    .max_mappings_per_client = 512,
	    .requests_per_second = 200,
	    .upnp =
		{
		    .on = true,
		    .worker_user = must(strdup("portlease-upnp")),
		    .http_port = 5431,
		    .friendly_name = must(strdup("portlease")),
		    .model_name = must(strdup("portlease")),
		    .ssdp_interval = 600,
		    .ssdp_searches_per_second = 50,
		    .ssdp_searches_per_second_total = 500,
		    .http_requests_per_second = 1000,
		    .http_connections_per_client = 100,
		    .http_connections = 1000,
		    .http_request_timeout = 15,
		    .http_answer_timeout = 45,
		    .event_subscriptions_per_client = 64,
		    .event_subscriptions = 1024,
		    .read_others_mappings = true,
		},
	};
}

struct config *
config_read(const char *path, char *error, size_t error_size)
{
	return config_read_fd(-1, path, error, error_size);
}

struct config *
config_read_fd(int fd, const char *path, char *error, size_t error_size)
{
	struct reading here = {.config = defaults(), .complaint = {path, error, error_size, false}};
	reading = &here;
	reset_rule();
	bool ok = config_text_read(&here.text, fd, &here.complaint) && parse() && check_whole();
	reading = NULL;
	here.config.text = here.text.text;
	here.text.text = NULL;
	config_text_clear(&here.text);
	free(here.rule.description);
	struct config *config = must(malloc(sizeof(*config)));
	*config = here.config;
	memcpy(config->line, here.line, sizeof(config->line));
	if (ok)
		return config;
	config_free(config);
	return NULL;
}

void
config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->rules; i++)
		free(config->rule[i].description);
	free(config->rule);
	free(config->forward);
	free(config->foreign_chain);
	free(config->lan);
	free(config->state_directory);
	free(config->control_socket);
	free(config->user);
	free(config->text);
	free(config->upnp.worker_user);
	free(config->upnp.friendly_name);
	free(config->upnp.model_name);
	free(config->upnp.model_number);
	free(config->upnp.serial_number);
	free(config->upnp.presentation_url);
	free(config);
}

const struct config_key *
config_keys(void)
{
	static struct config_key names[KEYS + 1];
	for (size_t i = 0; i < KEYS; i++)
		names[i] = keys[i].name;
	return names;
}

/* --- values as words --- */

static void
print_number(const struct key *key, const void *slot, FILE *out)
{
	(void)key;
	fprintf(out, "%u", *(const uint32_t *)slot);
}

/* A range from 0 is what is not said. */
static void
print_range(const struct key *key, const void *slot, FILE *out)
{
	const struct port_range *range = slot;
	(void)key;
	if (range->first == range->last)
		fprintf(out, "%u", range->first);
	else if (range->first > 0)
		fprintf(out, "%u-%u", range->first, range->last);
}

static void
print_choice(const struct key *key, int chosen, FILE *out)
{
	const char *word = key->expected;
	while (chosen-- > 0)
		word = strchr(word, '|') + 1;
	fprintf(out, "%.*s", (int)strcspn(word, "|"), word);
}

static void
print_flag(const struct key *key, const void *slot, FILE *out)
{
	print_choice(key, *(const bool *)slot, out);
}

static void
print_log_level(const struct key *key, const void *slot, FILE *out)
{
	print_choice(key, (int)*(const enum log_level *)slot, out);
}

static void
print_log_target(const struct key *key, const void *slot, FILE *out)
{
	print_choice(key, (int)*(const enum log_target *)slot, out);
}

static void
print_igd_version(const struct key *key, const void *slot, FILE *out)
{
	print_choice(key, (int)*(const enum config_igd *)slot, out);
}

static void
print_sync(const struct key *key, const void *slot, FILE *out)
{
	print_choice(key, (int)*(const enum config_sync *)slot, out);
}

static void
print_helper(const struct key *key, const void *slot, FILE *out)
{
	print_choice(key, (int)*(const enum helper *)slot, out);
}

static void
print_transports(const struct key *key, const void *slot, FILE *out)
{
	print_choice(key, *(const uint8_t *)slot - 1, out);
}

/* Between "…" a "${" would mean something else. */
static void
print_quoted(const char *text, FILE *out)
{
	char quote = strstr(text, "${") ? '\'' : '"';
	fputc(quote, out);
	for (; *text; text++) {
		if (*text == quote || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc(quote, out);
}

static void
print_text(const struct key *key, const void *slot, FILE *out)
{
	const char *text = *(char *const *)slot;
	(void)key;
	if (text)
		print_quoted(text, out);
}

/* An array of characters; "" says nothing. */
static void
print_array(const struct key *key, const void *slot, FILE *out)
{
	(void)key;
	if (*(const char *)slot)
		print_quoted(slot, out);
}

static void
print_prefix(const struct prefix *prefix, FILE *out)
{
	char text[PREFIX_TEXT_SIZE];
	fprintf(out, "\"%s\"", prefix_print(prefix, text));
}

static void
print_client(const struct key *key, const void *slot, FILE *out)
{
	const struct policy_rule *rule = slot;
	(void)key;
	if (rule->has_client)
		print_prefix(&rule->client, out);
}

static void
print_internal_client(const struct key *key, const void *slot, FILE *out)
{
	const struct policy_rule *rule = slot;
	(void)key;
	if (rule->has_internal_client)
		print_prefix(&rule->internal_client, out);
}

static void
print_remote(const struct key *key, const void *slot, FILE *out)
{
	const struct prefix *remote = slot;
	(void)key;
	if (remote->length > 0)
		print_prefix(remote, out);
}

static void
print_target(const struct key *key, const void *slot, FILE *out)
{
	const struct endpoint *target = slot;
	char text[ADDRESS_TEXT_SIZE];
	(void)key;
	fprintf(out, "\"%s:%u\"", address_print(&target->address, text), target->port);
}

static void
print_external_address(const struct key *key, const void *slot, FILE *out)
{
	const struct config_wan *wan = slot;
	char text[ADDRESS_TEXT_SIZE];
	(void)key;
	if (wan->has_external_address)
		fprintf(out, "\"%s\"", address_print(&wan->external_address, text));
}

static const struct {
	bool (*take)(const struct key *, const char *word, void *slot);
	/* A word that take() understands, or nothing. */
	void (*print)(const struct key *, const void *slot, FILE *);
} printers[] = {
    {take_number, print_number},
    {take_range, print_range},
    {take_flag, print_flag},
    {take_log_level, print_log_level},
    {take_log_target, print_log_target},
    {take_igd_version, print_igd_version},
    {take_sync, print_sync},
    {take_helper, print_helper},
    {take_transports, print_transports},
    {take_text, print_text},
    {take_path, print_text},
    {take_url, print_text},
    {take_uuid, print_array},
    {take_description, print_array},
    {take_client, print_client},
    {take_internal_client, print_internal_client},
    {take_remote, print_remote},
    {take_target, print_target},
    {take_external_address, print_external_address},
};

/* To be freed; "": there is nothing to say. */
static char *
value_text(const struct key *key, const struct reading *from)
{
	char *text = NULL;
	size_t length = 0, i = 0;
	FILE *out = must(open_memstream(&text, &length));
	while (printers[i].take != key->take)
		i++;
	printers[i].print(key, (const char *)from + key->offset, out);
	fclose(out);
	return must(text);
}

static void
print_keys(const char *section, const char *indent, const struct reading *from, FILE *out)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name.section, section) != 0)
			continue;
		char *text = value_text(&keys[i], from);
		if (*text)
			fprintf(out, "%s%s = %s\n", indent, keys[i].name.key, text);
		free(text);
	}
}

static void
print_chain(const struct config_chain *chain, FILE *out)
{
	char title[3 * CONFIG_CHAIN_SIZE];
	snprintf(title, sizeof(title), "%s %s %s", chain->inet ? "inet" : "ip", chain->table,
		 chain->chain);
	fputs("foreign-chain ", out);
	print_quoted(title, out);
	fputs(" {\n}\n", out);
}

/* Those of one LAN, or the common ones. */
static void
print_rules(struct reading *from, const char *lan, FILE *out)
{
	for (size_t i = 0; i < from->config.rules; i++) {
		from->rule = from->config.rule[i];
		if (strcmp(from->rule.lan, lan) != 0)
			continue;
		fprintf(out, "%srule {\n", *lan ? "\t" : "");
		print_keys("rule", *lan ? "\t\t" : "\t", from, out);
		fprintf(out, "%s}\n", *lan ? "\t" : "");
	}
}

void
config_print(const struct config *config, FILE *out)
{
	struct reading from = {.config = *config};
	print_keys("", "", &from, out);
	for (size_t i = 0; i < config->lans; i++) {
		fputs("lan ", out);
		print_quoted(config->lan[i].interface, out);
		fputs(" {\n", out);
		print_rules(&from, config->lan[i].interface, out);
		fputs("}\n", out);
	}
	fputs("wan ", out);
	print_quoted(config->wan.interface, out);
	fputs(" {\n", out);
	print_keys("wan", "\t", &from, out);
	fputs("}\n", out);
	print_rules(&from, "", out);
	for (size_t i = 0; i < config->forwards; i++) {
		from.forward = config->forward[i];
		fputs("forward ", out);
		print_quoted(from.forward.name, out);
		fputs(" {\n", out);
		print_keys("forward", "\t", &from, out);
		fputs("}\n", out);
	}
	for (size_t i = 0; i < config->foreign_chains; i++)
		print_chain(&config->foreign_chain[i], out);
}

/* What was done with it takes privileges that are gone. */
static bool
is_fixed(const struct key *key)
{
	static const char *const fixed[] = {
	    "state-directory", "control-socket", "control-access", "user", "worker-user", "log"};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++) {
		if (strcmp(key->name.key, fixed[i]) == 0)
			return true;
	}
	return false;
}

bool
config_may_become(const struct config *is, const struct config *will_be, const char *path,
		  char *error, size_t error_size)
{
	struct complaint complaint = {path, error, error_size, false};
	const struct reading a = {.config = *is}, b = {.config = *will_be};
	for (size_t i = 0; i < KEYS && !complaint.made; i++) {
		if (!is_fixed(&keys[i]))
			continue;
		char *old = value_text(&keys[i], &a), *new = value_text(&keys[i], &b);
		if (strcmp(old, new) != 0)
			complain(&complaint, will_be->line[i],
				 "%s is %s, expected %s until the daemon is started again",
				 keys[i].name.key, new, old);
		free(old);
		free(new);
	}
	return !complaint.made;
}

size_t *
config_lan_origins(const struct config *old, const struct config *new)
{
	size_t *origin = calloc(new->lans, sizeof(*origin));
	for (size_t i = 0; origin && i < new->lans; i++) {
		size_t at = 0;
		while (at < old->lans && strcmp(old->lan[at].interface, new->lan[i].interface) != 0)
			at++;
		origin[i] = at < old->lans ? at : CONFIG_NEW_LAN;
	}
	return origin;
}
