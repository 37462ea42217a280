/* SPDX-License-Identifier: GPL-2.0-or-later */
/* portlease(8): reads and steers the daemon over its control socket. */
#include "print.h"
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SOCKET "/run/portlease/control"

struct arguments {
	const char *socket;
	bool json;
	bool help;
	struct control_filter filter;
	bool sessions;
	struct forward forward; /* what its options say */
	size_t operands;
	char **operand;
};

/* Subcommands */

struct subcommand {
	const char *name;
	const char *operands; /* as its usage line shows them */
	const char *help;
	size_t min, max;
	int (*run)(const struct arguments *);
};

enum {
	STATUS = 1,
	LIST = 2,
	SHOW = 4,
	REMOVE = 8,
	FLUSH = 16,
	ADD = 32,
	RELOAD = 64,
	VERSION = 128,
	HELP = 256,
	SELECTING = LIST | FLUSH,
	ASKING = STATUS | LIST | SHOW | REMOVE | VERSION | RELOAD | ADD | FLUSH
};

static int run_status(const struct arguments *);
static int run_list(const struct arguments *);
static int run_show(const struct arguments *);
static int run_remove(const struct arguments *);
static int run_flush(const struct arguments *);
static int run_version(const struct arguments *);
static int run_reload(const struct arguments *);
static int run_add(const struct arguments *);
static int run_help(const struct arguments *);

/* In the order of the bits above. */
static const struct subcommand subcommands[] = {
    {"status", "", "what the daemon does and has counted", 0, 0, run_status},
    {"list", "", "every lease, or those that the options select", 0, 0, run_list},
    {"show", "LEASE", "one lease in full", 1, 1, run_show},
    {"remove", "LEASE ...", "end leases from here on (root and group portlease)", 1, SIZE_MAX,
     run_remove},
    {"flush", "", "end all leases of clients, or those selected (root and group portlease)", 0, 0,
     run_flush},
    {"add", "NAME TRANSPORT:PORTS TARGET",
     "publish a server until it is removed (root and group portlease)", 3, 3, run_add},
    {"reload", "", "read the configuration again (root and group portlease)", 0, 0, run_reload},
    {"version", "", "versions of this program and of the daemon", 0, 0, run_version},
    {"help", "[SUBCOMMAND]", "this list, or the options of a subcommand", 0, 1, run_help},
};

enum { SUBCOMMANDS = sizeof(subcommands) / sizeof(subcommands[0]) };

static const struct subcommand *
find_subcommand(const char *name)
{
	for (int i = 0; i < SUBCOMMANDS; i++)
		if (strcmp(name, subcommands[i].name) == 0)
			return &subcommands[i];
	return NULL;
}

/* Options */

static bool
set_socket(struct arguments *arguments, const char *value)
{
	arguments->socket = value;
	return value[0] != '\0';
}

static bool
set_json(struct arguments *arguments, const char *value)
{
	(void)value;
	arguments->json = true;
	return true;
}

static bool
set_sessions(struct arguments *arguments, const char *value)
{
	(void)value;
	arguments->sessions = true;
	return true;
}

static bool
set_help(struct arguments *arguments, const char *value)
{
	(void)value;
	arguments->help = true;
	return true;
}

static bool
set_client(struct arguments *arguments, const char *value)
{
	arguments->filter.has_client = true;
	return prefix_parse(value, &arguments->filter.client);
}

static bool
set_protocol(struct arguments *arguments, const char *value)
{
	arguments->filter.has_origin = true;
	return origin_find(value, &arguments->filter.origin);
}

static bool
set_transport(struct arguments *arguments, const char *value)
{
	arguments->filter.has_transport = true;
	return transport_find(value, &arguments->filter.transport);
}

static bool
set_remote(struct arguments *arguments, const char *value)
{
	return forward_remote_parse(value, &arguments->forward.remote);
}

static bool
set_helper(struct arguments *arguments, const char *value)
{
	return helper_parse(value, &arguments->forward.helper);
}

static bool
set_description(struct arguments *arguments, const char *value)
{
	struct forward *forward = &arguments->forward;

	snprintf(forward->description, sizeof(forward->description), "%s", value);
	return strlen(value) < sizeof(forward->description);
}

static const struct option_row {
	const char *name;
	const char *value; /* NULL: it takes none */
	const char *help;
	const char *expected;
	unsigned of; /* subcommands */
	bool (*set)(struct arguments *, const char *);
} options[] = {
    {"--client", "ADDRESS[/LENGTH]", "only leases of this host, or of hosts in this prefix",
     "an address or a prefix without host bits", SELECTING, set_client},
    {"--protocol", "ORIGIN", "only leases made by nat-pmp, pcp, upnp or static",
     "nat-pmp, pcp, upnp or static", SELECTING, set_protocol},
    {"--transport", "TRANSPORT", "only leases of tcp or udp", "tcp or udp", SELECTING,
     set_transport},
    {"--sessions", NULL, "below each lease its live connections", NULL, LIST, set_sessions},
    {"--remote", "ADDRESS[/LENGTH]", "only for these hosts outside",
     "an IPv4 address or prefix without host bits", ADD, set_remote},
    {"--helper", "HELPER", "ftp: let the data connections of an FTP server in", "none or ftp", ADD,
     set_helper},
    {"--description", "TEXT", "shown in lists", "a text of at most 127 octets", ADD,
     set_description},
    {"--json", NULL, "one JSON document instead of text", NULL, ASKING, set_json},
    {"--socket", "PATH", "the daemon's control socket, if not " DEFAULT_SOCKET, "a path", ASKING,
     set_socket},
    {"--help", NULL, "how to use it", NULL, ASKING | HELP, set_help},
};

enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static const struct option_row *
find_option(const char *name, size_t length)
{
	if (length == 2 && strncmp(name, "-h", 2) == 0)
		return find_option("--help", 6);
	for (int i = 0; i < OPTIONS; i++)
		if (strlen(options[i].name) == length &&
		    strncmp(name, options[i].name, length) == 0)
			return &options[i];
	return NULL;
}

static void
print_usage(FILE *out)
{
	fputs("usage: portlease [--socket PATH] [--json] SUBCOMMAND ...\n", out);
	for (int i = 0; i < SUBCOMMANDS; i++)
		fprintf(out, "  %-8s %-28s %s\n", subcommands[i].name, subcommands[i].operands,
			subcommands[i].help);
	fputs("`portlease help SUBCOMMAND` says more; LEASE is an ID, tcp:PORT or udp:PORT "
	      "(external port), to remove also a forward's NAME.\n",
	      out);
}

static void
print_subcommand(const struct subcommand *subcommand)
{
	unsigned bit = 1u << (subcommand - subcommands);

	printf("usage: portlease %s", subcommand->name);
	for (int i = 0; i < OPTIONS; i++)
		if (options[i].of & bit)
			printf(options[i].value ? " [%s %s]" : " [%s]", options[i].name,
			       options[i].value);
	printf("%s%s\n%s\n", subcommand->operands[0] ? " " : "", subcommand->operands,
	       subcommand->help);
	for (int i = 0; i < OPTIONS; i++)
		if (options[i].of & bit)
			printf("  %-13s %-16s %s\n", options[i].name,
			       options[i].value ? options[i].value : "", options[i].help);
}

static int
run_help(const struct arguments *arguments)
{
	const struct subcommand *subcommand;

	if (arguments->operands == 0) {
		print_usage(stdout);
		return DONE;
	}
	subcommand = find_subcommand(arguments->operand[0]);
	if (!subcommand) {
		complain("no such subcommand: %s (see portlease help)", arguments->operand[0]);
		return USAGE;
	}
	print_subcommand(subcommand);
	return DONE;
}

/* Asking the daemon */

/* One request on a connection of its own. */
static int
ask(const struct arguments *arguments, const struct question *question, enum control_result *result)
{
	struct session session;
	int code = session_open(&session, arguments->socket);

	if (code == DONE)
		code = session_ask(&session, question, result);
	session_close(&session);
	return code;
}

/* For replies of at most one line beside the result: the last one counts. */
static bool
keep_reply(void *arg, const struct control_reply *reply)
{
	*(struct control_reply *)arg = *reply;
	return true;
}

/* A reply without the line it must have comes from no daemon of ours. */
static int
check_line(const struct control_reply *reply, enum control_line line, int code)
{
	if (code == DONE && reply->line != line) {
		complain("the daemon's answer lacks what was asked for");
		return UNREACHABLE;
	}
	return code;
}

static int
run_status(const struct arguments *arguments)
{
	struct control_reply reply = {.line = CONTROL_LINES};
	struct question question = {{.command = CONTROL_STATUS}, "", keep_reply, &reply};
	char text[CONTROL_LINE_MAX];
	int code;

	code = check_line(&reply, CONTROL_LINE_STATUS, ask(arguments, &question, NULL));
	if (code != DONE)
		return code;
	if (!arguments->json)
		print_status(&reply.status);
	else if (control_status_json(&reply.status, text, sizeof(text)))
		puts(text);
	return code;
}

static int
run_version(const struct arguments *arguments)
{
	struct control_reply reply = {.line = CONTROL_LINES};
	struct question question = {{.command = CONTROL_VERSION}, "", keep_reply, &reply};
	int code;

	if (!arguments->json)
		puts("portlease " PORTLEASE_VERSION);
	code = check_line(&reply, CONTROL_LINE_VERSION, ask(arguments, &question, NULL));
	if (code != DONE)
		return code;
	if (arguments->json)
		printf("{\"portlease\":\"%s\",\"portleased\":\"%s\"}\n", PORTLEASE_VERSION,
		       reply.version);
	else
		printf("portleased %s\n", reply.version);
	return code;
}

static int
run_reload(const struct arguments *arguments)
{
	struct control_reply reply;
	struct question question = {{.command = CONTROL_RELOAD}, "", keep_reply, &reply};
	int code = ask(arguments, &question, NULL);

	if (code == DONE)
		puts(arguments->json ? "{\"result\":\"ok\"}" : "reloaded");
	return code;
}

/* A list is taken in whole before it is written: the daemon does not wait for a pager. */
struct leases {
	struct control_lease *item;
	size_t count, room;
	struct control_session *session;
	size_t sessions, session_room;
};

/* Room for one more of them.  False: said why. */
static bool
make_room(void **items, size_t count, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 64;
	void *larger;

	if (count < *room)
		return true;
	larger = reallocarray(*items, more, size);
	if (!larger) {
		complain("out of memory");
		return false;
	}
	*items = larger;
	*room = more;
	return true;
}

static bool
keep_lease(void *arg, const struct control_reply *reply)
{
	struct leases *l = arg;
	void *items;
	bool ok = true;

	if (reply->line == CONTROL_LINE_LEASE) {
		items = l->item;
		ok = make_room(&items, l->count, &l->room, sizeof(*l->item));
		l->item = items;
		if (ok)
			l->item[l->count++] = reply->lease;
	} else if (reply->line == CONTROL_LINE_SESSION) {
		items = l->session;
		ok = make_room(&items, l->sessions, &l->session_room, sizeof(*l->session));
		l->session = items;
		if (ok)
			l->session[l->sessions++] = reply->session;
	}
	return ok;
}

static void
free_leases(struct leases *leases)
{
	free(leases->item);
	free(leases->session);
}

/* Takes its sessions, if they were asked for: each with what the lease does not say. */
static void
print_lease_json(const struct control_lease *lease, struct print_sessions *sessions)
{
	char text[CONTROL_LEASE_MAX], session[CONTROL_SESSION_MAX];
	size_t length = control_lease_json(lease, text, sizeof(text));

	if (length == 0)
		return;
	if (!sessions) {
		fputs(text, stdout);
		return;
	}
	printf("%.*s,\"sessions\":[", (int)length - 1, text);
	for (const char *comma = ""; sessions->count > 0 && sessions->item->lease == lease->id;
	     sessions->item++, sessions->count--, comma = ",")
		if (control_session_json(sessions->item, session, sizeof(session)))
			printf("%s%s", comma, session);
	fputs("]}", stdout);
}

static int
run_list(const struct arguments *arguments)
{
	struct leases leases = {0};
	struct question question = {
	    {.command = CONTROL_LIST, .filter = arguments->filter, .sessions = arguments->sessions},
	    "",
	    keep_lease,
	    &leases};
	int code = ask(arguments, &question, NULL);
	struct print_sessions sessions = {leases.session, leases.sessions};

	if (code == DONE && !arguments->json)
		print_list(leases.item, leases.count, sessions);
	if (code == DONE && arguments->json) {
		fputs("[", stdout);
		for (size_t i = 0; i < leases.count; i++) {
			fputs(i ? ",\n" : "\n", stdout);
			print_lease_json(&leases.item[i], arguments->sessions ? &sessions : NULL);
		}
		fputs("]\n", stdout);
	}
	free_leases(&leases);
	return code;
}

static int
run_show(const struct arguments *arguments)
{
	struct leases leases = {0};
	struct question question = {
	    {.command = CONTROL_SHOW}, arguments->operand[0], keep_lease, &leases};
	struct print_sessions sessions;
	int code;

	control_target_parse(arguments->operand[0], &question.request.target);
	code = ask(arguments, &question, NULL);
	sessions = (struct print_sessions){leases.session, leases.sessions};
	if (code == DONE && leases.count != 1) {
		complain("the daemon's answer lacks what was asked for");
		code = UNREACHABLE;
	} else if (code == DONE && !arguments->json) {
		print_lease(leases.item, sessions);
	} else if (code == DONE) {
		print_lease_json(leases.item, &sessions);
		putchar('\n');
	}
	free_leases(&leases);
	return code;
}

/* All over one connection; what was done is told even if the daemon goes away in between. */
static int
run_remove(const struct arguments *arguments)
{
	struct control_reply reply;
	struct session session;
	int worst = session_open(&session, arguments->socket);

	if (worst != DONE)
		return worst;
	if (arguments->json)
		fputs("[", stdout);
	for (size_t i = 0; i < arguments->operands; i++) {
		const char *name = arguments->operand[i];
		struct question question = {{.command = CONTROL_REMOVE}, name, keep_reply, &reply};
		enum control_result result;
		int code;

		control_target_parse(name, &question.request.target);
		code = session_ask(&session, &question, &result);
		worst = code > worst ? code : worst;
		if (code == UNREACHABLE)
			break;
		if (arguments->json)
			printf("%s{\"lease\":\"%s\",\"result\":\"%s\"}", i ? "," : "", name,
			       control_result_name(result));
		else if (code == DONE)
			printf("removed %s\n", name);
	}
	if (arguments->json)
		fputs("]\n", stdout);
	session_close(&session);
	return worst;
}

/* Also if some are left, which session_ask() says. */
static int
run_flush(const struct arguments *arguments)
{
	struct control_reply reply = {.line = CONTROL_LINES};
	struct question question = {
	    {.command = CONTROL_FLUSH, .filter = arguments->filter}, "", keep_reply, &reply};
	enum control_result result = CONTROL_FAILED;
	int code = check_line(&reply, CONTROL_LINE_FLUSHED, ask(arguments, &question, &result));
	const struct control_flushed *flushed = &reply.flushed;

	if (reply.line != CONTROL_LINE_FLUSHED)
		return code;
	if (arguments->json)
		printf("{\"removed\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"result\":\"%s\"}\n",
		       flushed->removed, flushed->failed, control_result_name(result));
	else
		printf("removed %" PRIu64 " %s\n", flushed->removed,
		       flushed->removed == 1 ? "lease" : "leases");
	return code;
}

static int
run_add(const struct arguments *arguments)
{
	const char *name = arguments->operand[0];
	struct control_reply reply;
	struct question question = {
	    {.command = CONTROL_ADD, .forward = arguments->forward}, name, keep_reply, &reply};
	int code;

	control_forward_parse((const char *const *)arguments->operand, &question.request.forward);
	code = ask(arguments, &question, NULL);
	if (code == DONE && arguments->json)
		printf("{\"forward\":\"%s\",\"result\":\"ok\"}\n", name);
	else if (code == DONE)
		printf("added %s\n", name);
	return code;
}

/* Command line */

/* Takes the option at argv[*at], and its value.  False: said why. */
static bool
take_option(struct arguments *arguments, unsigned *used, char **argv, int *at)
{
	const char *word = argv[*at], *equals = strchr(word, '='),
		   *value = equals ? equals + 1 : NULL;
	size_t length = equals ? (size_t)(equals - word) : strlen(word);
	const struct option_row *option = find_option(word, length);

	if (!option) {
		complain("no such option: %.*s (see portlease help)", (int)length, word);
		return false;
	}
	if (option->value && !value && argv[*at + 1])
		value = argv[++*at];
	if (!option->value != !value) {
		complain(option->value ? "%s needs a value: %s" : "%s takes no value", option->name,
			 option->expected);
		return false;
	}
	if (!option->set(arguments, value)) {
		complain("%s: \"%s\" is not %s", option->name, value, option->expected);
		return false;
	}
	*used |= 1u << (option - options);
	return true;
}

/* Are the operands in the form of this subcommand's?  False: said why. */
static bool
reads(const struct subcommand *subcommand, const struct arguments *arguments)
{
	struct control_target target;
	struct forward forward = arguments->forward;
	const char *expected = NULL;

	if (subcommand->run == run_add)
		expected = control_forward_parse((const char *const *)arguments->operand, &forward);
	if (expected) {
		complain("add: expected %s", expected);
		return false;
	}
	if (subcommand->run == run_flush && arguments->filter.has_origin &&
	    arguments->filter.origin == ORIGIN_STATIC) {
		complain("flush: a forward is ended by its name: see remove");
		return false;
	}
	if (subcommand->run != run_show && subcommand->run != run_remove)
		return true;
	for (size_t i = 0; i < arguments->operands; i++)
		if (!control_target_parse(arguments->operand[i], &target) ||
		    (subcommand->run == run_show && target.name[0])) {
			complain("\"%s\" is not an ID, tcp:PORT or udp:PORT%s",
				 arguments->operand[i],
				 subcommand->run == run_show ? "" : ", nor the NAME of a forward");
			return false;
		}
	return true;
}

/* Is all that was given right for this subcommand?  False: said why. */
static bool
fits(const struct subcommand *subcommand, const struct arguments *arguments, unsigned used)
{
	for (int i = 0; i < OPTIONS; i++)
		if ((used & 1u << i) && !(options[i].of & 1u << (subcommand - subcommands))) {
			complain("%s is not an option of %s", options[i].name, subcommand->name);
			return false;
		}
	if (arguments->operands < subcommand->min || arguments->operands > subcommand->max) {
		complain("%s: %s (see portlease help %s)", subcommand->name,
			 arguments->operands < subcommand->min ? "an argument is missing"
							       : "too many arguments",
			 subcommand->name);
		return false;
	}
	return reads(subcommand, arguments);
}

static int
run(const struct arguments *arguments, const struct subcommand *subcommand)
{
	int code = subcommand->run(arguments);

	if (fflush(stdout) == EOF || ferror(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return code > REFUSED ? code : REFUSED;
	}
	return code;
}

int
main(int argc, char **argv)
{
	struct arguments arguments = {.socket = DEFAULT_SOCKET, .operand = argv};
	const struct subcommand *subcommand;
	unsigned used = 0;
	bool options_end = false;
	size_t words = 0; /* the subcommand and its operands, moved to the front of argv */

	setlocale(LC_CTYPE, "");
	for (int at = 1; at < argc; at++) {
		if (!options_end && strcmp(argv[at], "--") == 0)
			options_end = true;
		else if (options_end || argv[at][0] != '-')
			argv[words++] = argv[at];
		else if (!take_option(&arguments, &used, argv, &at))
			return USAGE;
	}
	if (words == 0) {
		print_usage(arguments.help ? stdout : stderr);
		return arguments.help ? DONE : USAGE;
	}
	subcommand = find_subcommand(argv[0]);
	if (!subcommand) {
		complain("no such subcommand: %s (see portlease help)", argv[0]);
		return USAGE;
	}
	if (arguments.help) {
		print_subcommand(subcommand);
		return DONE;
	}
	arguments.operand = argv + 1;
	arguments.operands = words - 1;
	return fits(subcommand, &arguments, used) ? run(&arguments, subcommand) : USAGE;
}
