/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program portlease, run as an admin runs it, against a daemon in a process of its own; and its
 * manual page. */
#include "control_bed.h"

#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { DONE, REFUSED, USAGE, UNREACHABLE };
enum { NOBODY = 65534 };

static char portlease[PATH_MAX], portleased[PATH_MAX];

/* What a run of the program came to. */
static struct {
	int code;
	char out[1 << 20];
	char err[4096];
} ran;

static struct {
	struct bed bed;
	pid_t pid;
} served;

/* A child that does not outlive the test, however that ends. */
static pid_t
fork_child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(97);
	return pid;
}

/* The daemon answers in a child from here on; what has been mapped before it knows. */
static void
serve(void)
{
	served.pid = fork_child();
	if (served.pid == 0) {
		event_reinit(served.bed.base);
		event_base_dispatch(served.bed.base);
		_exit(0);
	}
}

static void
end_service(void)
{
	kill(served.pid, SIGKILL);
	waitpid(served.pid, NULL, 0);
	bed_close(&served.bed);
}

static void
read_back(int fd, char *out, size_t size)
{
	ssize_t got = pread(fd, out, size - 1, 0);

	assert_in_range(got, 0, size - 2);
	out[got] = '\0';
	close(fd);
}

enum { WORDS_MAX = 12 };

/* words: split at blanks.  Standard output goes to out; -1: to ran.out.  user: whom to become. */
static int
start_program(const char *program, const char *words, uid_t user, const int fds[2])
{
	char text[512], *argv[WORDS_MAX + 2] = {(char *)program};
	int n = 1;
	pid_t pid;

	snprintf(text, sizeof(text), "%s", words);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
		assert_true(n <= WORDS_MAX);
		argv[n++] = word;
	}
	pid = fork_child();
	if (pid == 0) {
		if (dup2(fds[0], 1) < 0 || dup2(fds[1], 2) < 0 ||
		    (user && (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
			      setresuid(user, user, user) < 0)))
			_exit(99);
		execv(program, argv);
		_exit(98);
	}
	return pid;
}

static int
run_program(const char *program, const char *words, uid_t user)
{
	int fds[2] = {memfd_create("out", MFD_CLOEXEC), memfd_create("err", MFD_CLOEXEC)}, status;
	pid_t pid = start_program(program, words, user, fds);

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	ran.code = WEXITSTATUS(status);
	read_back(fds[0], ran.out, sizeof(ran.out));
	read_back(fds[1], ran.err, sizeof(ran.err));
	return ran.code;
}

/* With the socket of the daemon that serves. */
static int
run(const char *words)
{
	char all[512];

	snprintf(all, sizeof(all), "--socket %s %s", served.bed.path, words);
	return run_program(portlease, all, 0);
}

/* It failed so, said it in one line, and wrote nothing else. */
static void
assert_refused(int code, const char *word)
{
	const char *newline = strchr(ran.err, '\n');

	if (ran.code != code || !strstr(ran.err, word))
		fail_msg("exit code %d, \"%s\"; expected %d, \"%s\"", ran.code, ran.err, code,
			 word);
	assert_memory_equal(ran.err, "portlease: ", strlen("portlease: "));
	assert_true(newline && newline[1] == '\0');
	assert_string_equal(ran.out, "");
}

/* What it wrote fits a terminal of 80 columns. */
static void
assert_narrow(void)
{
	for (const char *line = ran.out; *line; line += strcspn(line, "\n") + 1)
		if (strcspn(line, "\n") > 79)
			fail_msg("too wide: %.*s", (int)strcspn(line, "\n"), line);
}

static json_t *
parse(void)
{
	json_error_t error;
	json_t *root = json_loads(ran.out, JSON_REJECT_DUPLICATES, &error);

	if (!root)
		fail_msg("%s in %s", error.text, ran.out);
	return root;
}

static void
map_some(void)
{
	bed_frozen = 1000000000;
	bed_open(&served.bed, true, getegid(), 0);
	bed_map(&served.bed,
		&(struct bed_wish){ORIGIN_NATPMP, TRANSPORT_TCP, "192.168.1.10", 8080, 3600, NULL});
	bed_map(&served.bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_UDP, "192.168.1.200", 50000,
						45, "\x1b[31m\\red\n\xc2\x9b \xe2\x80\xae"});
	bed_map(&served.bed, &(struct bed_wish){ORIGIN_UPNP, TRANSPORT_TCP, "192.168.1.10", 2000,
						604800, "caf\xc3\xa9"});
	fake_firewall_connect(served.bed.firewall, TRANSPORT_TCP, 8080, 1234567);
	fake_flows_add(served.bed.flows, &(struct flow){
					     .transport = TRANSPORT_TCP,
					     .from = {bed_address("198.51.100.7"), 4711},
					     .to = {bed_address("203.0.113.5"), 8080},
					     .reply_from = {bed_address("192.168.1.10"), 8080},
					     .reply_to = {bed_address("198.51.100.7"), 4711},
					     .mark = FLOWS_MARK_OURS,
					     .state = FLOW_ESTABLISHED,
					     .timeout = 432000,
					 });
	serve();
}

static void
unmap(void)
{
	end_service();
	bed_frozen = 0;
}

static void
list_as_text(void **state)
{
	(void)state;
	map_some();
	setenv("LC_ALL", "C.UTF-8", 1);
	assert_int_equal(run("list"), DONE);
	assert_string_equal(
	    ran.out,
	    "ID  EXTERNAL           INTERNAL             TRANSPORT  ORIGIN   "
	    "REMAINING  CONNECTIONS  LIVE  DESCRIPTION\n"
	    " 1  203.0.113.5:8080   192.168.1.10:8080    tcp        nat-pmp  "
	    "    1h00m      1234567     1  -\n"
	    " 2  203.0.113.5:50000  192.168.1.200:50000  udp        pcp      "
	    "      45s            0     0  \\x1b[31m\\\\red\\x0a\\xc2\\x9b \\xe2\\x80\\xae\n"
	    " 3  203.0.113.5:2000   192.168.1.10:2000    tcp        upnp     "
	    "    7d00h            0     0  caf\xc3\xa9\n");
	setenv("LC_ALL", "C", 1);
	assert_int_equal(run("list --client=192.168.1.0/26 --protocol upnp"), DONE);
	assert_non_null(strstr(ran.out, "caf\\xc3\\xa9\n"));
	assert_null(strstr(ran.out, "nat-pmp"));
	assert_int_equal(run("--transport udp list --client 192.168.1.10"), DONE);
	assert_ptr_equal(strchr(ran.out, '\n') + 1, ran.out + strlen(ran.out));
	unmap();
}

static void
list_as_json(void **state)
{
	json_t *root;

	(void)state;
	map_some();
	assert_int_equal(run("list --json"), DONE);
	root = parse();
	assert_int_equal(json_array_size(root), 3);
	assert_int_equal(
	    json_integer_value(json_object_get(json_array_get(root, 0), "connections")), 1234567);
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(root, 1), "description")),
	    "\x1b[31m\\red\n\xc2\x9b \xe2\x80\xae");
	json_decref(root);
	assert_int_equal(run("--json list --protocol static"), DONE);
	root = parse();
	assert_true(json_is_array(root));
	assert_int_equal(json_array_size(root), 0);
	json_decref(root);
	unmap();
}

static void
sessions(void **state)
{
	static const char shown[] =
	    "\n    in   8080   198.51.100.7:4711      established, 5d00h left\n";
	json_t *root, *session;

	(void)state;
	map_some();
	assert_int_equal(run("list"), DONE);
	assert_null(strstr(ran.out, "4711"));
	assert_int_equal(run("list --sessions"), DONE);
	assert_non_null(strstr(ran.out, shown));
	assert_int_equal(run("show 1"), DONE);
	assert_non_null(strstr(ran.out, "live         1\n"));
	assert_non_null(strstr(ran.out, shown));
	assert_int_equal(run("show 2"), DONE);
	assert_null(strstr(ran.out, "4711"));
	assert_int_equal(run("list --sessions --json"), DONE);
	root = parse();
	session = json_array_get(json_object_get(json_array_get(root, 0), "sessions"), 0);
	assert_int_equal(json_integer_value(json_object_get(session, "remote_port")), 4711);
	assert_int_equal(json_array_size(json_object_get(json_array_get(root, 1), "sessions")), 0);
	assert_non_null(json_object_get(json_array_get(root, 2), "sessions"));
	json_decref(root);
	assert_int_equal(run("list --json"), DONE);
	root = parse();
	assert_null(json_object_get(json_array_get(root, 0), "sessions"));
	assert_int_equal(json_integer_value(json_object_get(json_array_get(root, 0), "live")), 1);
	json_decref(root);
	unmap();
}

static void
show(void **state)
{
	json_t *root;

	(void)state;
	map_some();
	setenv("LC_ALL", "C.UTF-8", 1);
	assert_int_equal(run("show 3"), DONE);
	assert_string_equal(ran.out, "id           3\n"
				     "external     203.0.113.5:2000\n"
				     "internal     192.168.1.10:2000\n"
				     "transport    tcp\n"
				     "origin       upnp\n"
				     "lifetime     7d00h\n"
				     "remaining    7d00h\n"
				     "age          0s\n"
				     "outbound     yes\n"
				     "connections  0\n"
				     "live         0\n"
				     "remote       any host\n"
				     "enabled      yes\n"
				     "upnp index   -\n"
				     "user agent   -\n"
				     "description  caf\xc3\xa9\n");
	assert_int_equal(run("show tcp:8080 --json"), DONE);
	root = parse();
	assert_int_equal(json_integer_value(json_object_get(root, "id")), 1);
	json_decref(root);
	run("show udp:8080");
	assert_refused(REFUSED, "udp:8080: no such lease");
	run("--json show 99");
	assert_refused(REFUSED, "99: no such lease");
	unmap();
}

/* What a UPnP client says of itself and its mapping. */
static void
leases_of_upnp(void **state)
{
	static const char agent[] = "Game/1.0 \"x\" \\ (a very long name for what is a game";
	struct map_request request;
	json_t *root, *lease;

	(void)state;
	bed_frozen = 1000000000;
	bed_open(&served.bed, true, getegid(), 0);
	served.bed.config.upnp.on = true;
	bed_map(&served.bed,
		&(struct bed_wish){ORIGIN_NATPMP, TRANSPORT_TCP, "192.168.1.10", 8080, 3600, NULL});
	request = bed_request(&served.bed, &(struct bed_wish){ORIGIN_UPNP, TRANSPORT_UDP,
							      "192.168.1.10", 2000, 600, "a game"});
	strcpy(request.user_agent, agent);
	request.remote = bed_address("198.51.100.7");
	request.disabled = true;
	bed_ask(&served.bed, &request);
	serve();
	assert_int_equal(run("list"), DONE);
	assert_string_equal(
	    ran.out,
	    "ID  EXTERNAL          INTERNAL           TRANSPORT  ORIGIN   REMAINING  CONNECTIONS  "
	    "LIVE  INDEX  REMOTE        ENABLED  USER-AGENT                DESCRIPTION\n"
	    " 1  203.0.113.5:8080  192.168.1.10:8080  tcp        nat-pmp      1h00m            0  "
	    "   0      0  -             -        -                         -\n"
	    " 2  203.0.113.5:2000  192.168.1.10:2000  udp        upnp        10m00s            0  "
	    "   0      1  198.51.100.7  no       Game/1.0 \"x\" \\ (a very l  a game\n");
	assert_int_equal(run("show 2"), DONE);
	assert_non_null(strstr(ran.out, "remote       198.51.100.7\n"
					"enabled      no: kept, but not forwarded\n"
					"upnp index   1\n"
					"user agent   Game/1.0 \"x\" \\\\ (a very long name for "
					"what is a game\n"));
	/* The index is that of all leases, not of those that are shown. */
	assert_int_equal(run("list --json --protocol upnp"), DONE);
	root = parse();
	lease = json_array_get(root, 0);
	assert_int_equal(json_integer_value(json_object_get(lease, "upnp_index")), 1);
	assert_string_equal(json_string_value(json_object_get(lease, "user_agent")), agent);
	assert_string_equal(json_string_value(json_object_get(lease, "remote_address")),
			    "198.51.100.7");
	assert_true(json_is_false(json_object_get(lease, "enabled")));
	json_decref(root);
	unmap();
}

static void
removing(void **state)
{
	(void)state;
	map_some();
	assert_int_equal(run("remove tcp:8080 77 2"), REFUSED);
	assert_string_equal(ran.out, "removed tcp:8080\nremoved 2\n");
	assert_string_equal(ran.err, "portlease: 77: no such lease\n");
	assert_int_equal(run("--json remove tcp:8080 3"), REFUSED);
	assert_string_equal(ran.out, "[{\"lease\":\"tcp:8080\",\"result\":\"not-found\"},{"
				     "\"lease\":\"3\",\"result\":\"ok\"}]\n");
	assert_int_equal(run("list --json"), DONE);
	assert_string_equal(ran.out, "[]\n");
	unmap();
}

static void
flushing(void **state)
{
	(void)state;
	map_some();
	assert_int_equal(run("flush --protocol pcp"), DONE);
	assert_string_equal(ran.out, "removed 1 lease\n");
	assert_int_equal(run("flush --json"), DONE);
	assert_string_equal(ran.out, "{\"removed\":2,\"failed\":0,\"result\":\"ok\"}\n");
	assert_int_equal(run("flush"), DONE);
	assert_string_equal(ran.out, "removed 0 leases\n");
	run("flush --protocol static");
	assert_refused(USAGE, "a forward is ended by its name");
	run("flush --sessions");
	assert_refused(USAGE, "--sessions is not an option of flush");
	unmap();
	bed_open(&served.bed, true, getegid(), 0);
	bed_map(&served.bed,
		&(struct bed_wish){ORIGIN_PCP, TRANSPORT_TCP, "192.168.1.10", 8080, 600, ""});
	fake_firewall_fail_commits(served.bed.firewall, 2, ENOMEM);
	serve();
	assert_int_equal(run("flush"), REFUSED);
	assert_string_equal(ran.out, "removed 0 leases\n");
	assert_string_equal(ran.err,
			    "portlease: 1 could not be ended and are still there; see the log\n");
	assert_int_equal(run("flush --json"), REFUSED);
	assert_string_equal(ran.out, "{\"removed\":0,\"failed\":1,\"result\":\"failed\"}\n");
	unmap();
}

static void
status(void **state)
{
	json_t *root;

	(void)state;
	map_some();
	assert_int_equal(run("status"), DONE);
	assert_non_null(strstr(ran.out, "portleased " PORTLEASE_VERSION ", pid "));
	assert_non_null(strstr(ran.out, "external    203.0.113.5\n"));
	assert_non_null(strstr(ran.out, "wan         wan0 (2) up: 203.0.113.5/24\n"));
	assert_non_null(strstr(ran.out, "lan         br-lan (3) served: 192.168.1.1/24\n"));
	assert_non_null(strstr(ran.out, "lan         br-guest waiting: does not exist\n"));
	assert_non_null(strstr(ran.out,
			       "lan         br-lan (3) served: 192.168.1.1/24\n"
			       "  udp       12 received, 3 foreign, 1 unsent\n"
			       "  upnp      worker ready, pid 4243, 1 start, 1234567 calls "
			       "in 34567 batches,\n"
			       "            largest 64, 3 connections, 1 subscription, "
			       "2345678 HTTP requests,\n"
			       "            1 refused, 77 searches, 70 replied to, 12 "
			       "events, 2 events failed\n"));
	assert_non_null(strstr(ran.out, "  udp       0 received\n"
					"  upnp      worker respawning, 0 starts, 0 calls in 0 "
					"batches\n"));
	assert_non_null(strstr(ran.out, "protocols   nat-pmp on, pcp off, upnp off\n"));
	assert_non_null(strstr(ran.out, "batches     3, largest 1, 1.0 requests each\n"));
	assert_narrow();
	assert_non_null(strstr(ran.out, "leases      3 (1 nat-pmp, 1 pcp, 1 upnp)\n"));
	assert_non_null(strstr(ran.out, "table       intact\n"));
	assert_non_null(strstr(ran.out, "line in     inet fw4 forward: there\n"));
	assert_non_null(strstr(ran.out, "line in     ip filter FORWARD: waiting: no such chain\n"));
	assert_non_null(
	    strstr(ran.out, "line in     inet firewalld filter_FORWARD: refused by the kernel\n"));
	assert_null(strstr(ran.out, "warning"));
	assert_int_equal(run("status --json"), DONE);
	root = parse();
	assert_int_equal(
	    json_integer_value(json_object_get(
		json_object_get(json_array_get(json_object_get(root, "interfaces"), 1), "worker"),
		"pid")),
	    4243);
	assert_int_equal(json_integer_value(json_object_get(root, "pid")), served.pid);
	json_decref(root);
	unmap();
}

static void
warnings_in_status(void **state)
{
	static const struct {
		const char *external, *words;
	} rows[] = {{"100.64.0.1", "private or shared"}, {"0.0.0.0", "no external address"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct firewall_network network = {.wan = "wan0"};
		struct address external = bed_address(rows[i].external);
		struct fault fault;

		bed_open(&served.bed, true, getegid(), 0);
		assert_int_equal(
		    engine_set_network(served.bed.engine, &network, &external, clock_now(), &fault),
		    0);
		fake_firewall_lose(served.bed.firewall);
		engine_check_table(served.bed.engine, clock_now());
		served.bed.cut_off = i == 1;
		serve();
		assert_int_equal(run("status"), DONE);
		assert_non_null(strstr(ran.out, "warning     "));
		assert_non_null(strstr(ran.out, rows[i].words));
		assert_int_equal(!!strstr(ran.out, "ip_forward is 0"), i == 1);
		assert_int_equal(
		    !!strstr(ran.out, "\nwan         auto waiting: no default route\n"), i == 1);
		assert_non_null(strstr(ran.out, "\nbatches     0\nanswers     0\n"));
		assert_narrow();
		end_service();
	}
}

static void
versions(void **state)
{
	(void)state;
	map_some();
	assert_int_equal(run("version"), DONE);
	assert_string_equal(ran.out,
			    "portlease " PORTLEASE_VERSION "\nportleased " PORTLEASE_VERSION "\n");
	assert_int_equal(run("version --json"), DONE);
	assert_string_equal(ran.out, "{\"portlease\":\"" PORTLEASE_VERSION
				     "\",\"portleased\":\"" PORTLEASE_VERSION "\"}\n");
	unmap();
}

static void
wrong_command_lines(void **state)
{
	static const struct {
		const char *words, *said;
	} rows[] = {
	    {"lst", "no such subcommand: lst"},
	    {"list --foo", "no such option: --foo"},
	    {"list --clients 1.2.3.4", "no such option: --clients"},
	    {"-x", "no such option: -x"},
	    {"list --client", "--client needs a value"},
	    {"list --client 1.2.3", "\"1.2.3\" is not an address"},
	    {"list --client 192.168.1.1/24", "\"192.168.1.1/24\" is not an address"},
	    {"list --protocol tcp", "\"tcp\" is not nat-pmp, pcp, upnp or static"},
	    {"list --transport=sctp", "\"sctp\" is not tcp or udp"},
	    {"list --json=yes", "--json takes no value"},
	    {"list 7", "list: too many arguments"},
	    {"status --client 1.2.3.4", "--client is not an option of status"},
	    {"help --json", "--json is not an option of help"},
	    {"help me", "no such subcommand: me"},
	    {"show", "show: an argument is missing"},
	    {"show 1 2", "show: too many arguments"},
	    {"show tcp:0", "\"tcp:0\" is not an ID"},
	    {"remove", "remove: an argument is missing"},
	    {"show web", "\"web\" is not an ID, tcp:PORT or udp:PORT"},
	    {"remove 1 tcp:", "\"tcp:\" is not an ID, tcp:PORT or udp:PORT, nor the NAME"},
	    {"add web tcp:80", "add: an argument is missing"},
	    {"add 80 tcp:80 1.2.3.4", "add: expected a NAME"},
	    {"add web 80 1.2.3.4", "add: expected tcp:, udp: or both:"},
	    {"add web sctp:80 1.2.3.4", "add: expected tcp:, udp: or both:"},
	    {"add web tcp:90-80 1.2.3.4", "add: expected tcp:, udp: or both:"},
	    {"add web tcp:80 server", "add: expected ADDRESS"},
	    {"add web tcp:80 127.0.0.1",
	     "add: expected an IPv4 address that other hosts can reach"},
	    {"add web tcp:80-90 11.0.0.1:90", "add: expected a range to keep its port numbers"},
	    {"add web tcp:60000-61000 11.0.0.1", "add: expected a range to end below 61000"},
	    {"add web udp:21 11.0.0.1 --helper ftp", "add: expected one port of tcp"},
	    {"add web tcp:21 11.0.0.1 --remote 11.0.0.1/8", "\"11.0.0.1/8\" is not an IPv4"},
	    {"version x", "version: too many arguments"},
	    {"--socket= list", "\"\" is not a path"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run_program(portlease, rows[i].words, 0);
		assert_refused(USAGE, rows[i].said);
	}
	assert_int_equal(run_program(portlease, "", 0), USAGE);
	assert_string_equal(ran.out, "");
	assert_non_null(strstr(ran.err, "usage: portlease "));
}

static void
no_daemon(void **state)
{
	char words[256], path[64];

	(void)state;
	run_program(portlease, "--socket /nonexistent/control list", 0);
	assert_refused(UNREACHABLE, "no daemon answers");
	/* A socket that a dead daemon left. */
	bed_open(&served.bed, true, getegid(), 0);
	snprintf(path, sizeof(path), "%s/stale", served.bed.folder);
	close(control_bind(&(struct config){.control_socket = path}, words, sizeof(words)));
	snprintf(words, sizeof(words), "--socket %s status", path);
	run_program(portlease, words, 0);
	unlink(path);
	bed_close(&served.bed);
	assert_refused(UNREACHABLE, "no daemon answers");
	memset(words, 'x', 200);
	memcpy(words, "--socket ", 9);
	strcpy(words + 200, " list");
	run_program(portlease, words, 0);
	assert_refused(UNREACHABLE, "too long");
}

static void
no_permission(void **state)
{
	char words[128];

	(void)state;
	/* Another user must be able to run the program where it was built. */
	if (geteuid() != 0 || run_program(portlease, "help", NOBODY) != DONE)
		skip();
	for (int readable = 0; readable < 2; readable++) {
		bed_open(&served.bed, readable, CONTROL_NO_GROUP, 0);
		bed_map(&served.bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_TCP, "192.168.1.10",
							8080, 600, ""});
		serve();
		snprintf(words, sizeof(words), "--socket %s list", served.bed.path);
		run_program(portlease, words, NOBODY);
		if (readable)
			assert_int_equal(ran.code, DONE);
		else
			assert_refused(REFUSED, "permission denied");
		snprintf(words, sizeof(words), "--socket %s remove 1", served.bed.path);
		run_program(portlease, words, NOBODY);
		assert_refused(REFUSED, readable ? "1: only root and members of group portlease"
						 : "permission denied");
		assert_int_equal(run("remove 1"), DONE);
		end_service();
	}
}

/* Daemons that are none */

/* Takes one connection and answers whatever it is asked so. */
static pid_t
serve_reply(const char *path, const char *reply)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char request[CONTROL_REQUEST_MAX];
	pid_t pid;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_return_code(bind(listener, (struct sockaddr *)&address, sizeof(address)), errno);
	assert_return_code(listen(listener, 1), errno);
	pid = fork_child();
	if (pid == 0) {
		int fd = accept(listener, NULL, NULL);

		if (recv(fd, request, sizeof(request), 0) < 0 ||
		    write(fd, reply, strlen(reply)) < 0)
			_exit(1);
		_exit(0);
	}
	close(listener);
	return pid;
}

static void
broken_daemons(void **state)
{
	static const struct {
		const char *reply, *said;
	} rows[] = {
	    {"", "broke off its answer"},
	    {"{\"result\":\"ok\"", "broke off its answer"},
	    {"{\"version\":\"0.1.0\"}\n", "broke off its answer"},
	    {"\n", "an answer not understood"},
	    {"hello\n", "an answer not understood"},
	    {"{\"lease\":{\"id\":1}}\n{\"result\":\"ok\"}\n", "an answer not understood"},
	    {"{\"result\":\"ok\"}\n", "lacks what was asked for"},
	};
	char folder[] = "/tmp/portlease-cli-XXXXXX", path[64], words[128];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/control", folder);
	snprintf(words, sizeof(words), "--socket %s --json show 1", path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pid_t pid = serve_reply(path, rows[i].reply);

		run_program(portlease, words, 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		unlink(path);
		assert_refused(UNREACHABLE, rows[i].said);
	}
	rmdir(folder);
}

static void
output_that_cannot_be_written(void **state)
{
	int fds[2], code;
	char words[128];
	pid_t pid;

	(void)state;
	map_some();
	fds[0] = open("/dev/full", O_WRONLY | O_CLOEXEC);
	fds[1] = memfd_create("err", MFD_CLOEXEC);
	snprintf(words, sizeof(words), "--socket %s list", served.bed.path);
	pid = start_program(portlease, words, 0, fds);
	assert_int_equal(waitpid(pid, &code, 0), pid);
	close(fds[0]);
	read_back(fds[1], ran.err, sizeof(ran.err));
	assert_int_equal(WEXITSTATUS(code), REFUSED);
	assert_string_equal(ran.err, "portlease: cannot write: No space left on device\n");
	unmap();
}

/* Someone pages through the output for longer than the daemon has patience with a reader. */
static void
slow_pager(void **state)
{
	enum { MANY = 1200 };
	int pipe_ends[2], fds[2], code;
	size_t size = 0;
	ssize_t got;
	char words[128];
	json_t *root;
	pid_t pid;

	(void)state;
	bed_open(&served.bed, true, getegid(), 200);
	for (unsigned i = 0; i < MANY; i++)
		bed_map(&served.bed, &(struct bed_wish){ORIGIN_PCP, TRANSPORT_TCP, "192.168.1.10",
							(uint16_t)(2000 + i), 600, ""});
	serve();
	assert_return_code(pipe2(pipe_ends, O_CLOEXEC), errno);
	fds[0] = pipe_ends[1];
	fds[1] = memfd_create("err", MFD_CLOEXEC);
	snprintf(words, sizeof(words), "--socket %s --json list", served.bed.path);
	pid = start_program(portlease, words, 0, fds);
	close(pipe_ends[1]);
	poll(NULL, 0, 800);
	while ((got = read(pipe_ends[0], ran.out + size, sizeof(ran.out) - 1 - size)) > 0)
		size += (size_t)got;
	ran.out[size] = '\0';
	assert_int_equal(waitpid(pid, &code, 0), pid);
	assert_int_equal(code, 0);
	root = parse();
	assert_int_equal(json_array_size(root), MANY);
	json_decref(root);
	close(pipe_ends[0]);
	close(fds[1]);
	end_service();
}

/* The manual page and the completion say what the program says. */

static char page[1 << 17];

static const char *
read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: %s (tests run in the top folder)", path, strerror(errno));
	read_back(fd, page, sizeof(page));
	return page;
}

/* How often a line of the page begins so, followed by something else than a letter of a longer
 * word. */
static unsigned
items(const char *beginning)
{
	unsigned n = 0;

	for (const char *line = page; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, beginning, strlen(beginning)) == 0 &&
		    strchr(" \n", line[strlen(beginning)]))
			n++;
	}
	return n;
}

static unsigned
all_items(const char *beginning)
{
	unsigned n = 0;

	for (const char *line = page; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		n += strncmp(line, beginning, strlen(beginning)) == 0;
	}
	return n;
}

/* Calls check(word) for the first word of each line of the text that begins with two blanks; how
 * many. */
static unsigned
each_row(const char *text, void (*check)(const char *word))
{
	char word[32];
	unsigned n = 0;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "  %31s", word) == 1 && line[0] == ' ') {
			check(word);
			n++;
		}
	}
	return n;
}

static char subcommand[16][32];
static unsigned subcommands;

static void
check_subcommand(const char *word)
{
	char item[64];

	snprintf(item, sizeof(item), ".It Cm %s", word);
	if (items(item) != 1)
		fail_msg("portlease.8 lacks the subcommand %s", word);
	assert_true(subcommands < 16);
	strcpy(subcommand[subcommands++], word);
}

static void
check_option(const char *word)
{
	char item[64];

	snprintf(item, sizeof(item), ".It Fl %s", word + 1);
	if (items(item) != 1)
		fail_msg("the manual page lacks the option %s", word);
}

static void
manual_and_program_agree(void **state)
{
	unsigned options = 0;

	(void)state;
	read_file("daemon/ctl/portlease.8");
	assert_int_equal(run_program(portlease, "help", 0), DONE);
	assert_int_equal(each_row(ran.out, check_subcommand), all_items(".It Cm "));
	for (unsigned i = 0; i < subcommands; i++) {
		char words[64];
		unsigned rows;

		snprintf(words, sizeof(words), "help %s", subcommand[i]);
		assert_int_equal(run_program(portlease, words, 0), DONE);
		rows = each_row(ran.out, check_option);
		/* These two have all; what each has is the version's. */
		if (strcmp(subcommand[i], "list") == 0 || strcmp(subcommand[i], "add") == 0)
			options += rows;
		if (strcmp(subcommand[i], "version") == 0)
			options -= rows;
	}
	assert_int_equal(options, all_items(".It Fl "));
}

/* How many fields it has; the manual page must know each. */
static size_t
check_keys(const json_t *object)
{
	char item[64];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		snprintf(item, sizeof(item), ".It %s Ta", key);
		if (items(item) == 0)
			fail_msg("portlease.8 lacks the field %s", key);
		(void)value;
	}
	return json_object_size(object);
}

static void
manual_knows_every_field(void **state)
{
	json_t *root, *lan;
	size_t fields;
	unsigned rows = 0;

	(void)state;
	map_some();
	read_file("daemon/ctl/portlease.8");
	assert_int_equal(run("show 1 --json"), DONE);
	root = parse();
	fields = check_keys(root);
	fields += check_keys(json_array_get(json_object_get(root, "sessions"), 0));
	json_decref(root);
	assert_int_equal(run("status --json"), DONE);
	root = parse();
	lan = json_array_get(json_object_get(root, "interfaces"), 1);
	fields += check_keys(root) + check_keys(json_object_get(root, "counters"));
	fields += check_keys(lan) + check_keys(json_object_get(lan, "udp")) +
		  check_keys(json_object_get(lan, "worker"));
	fields += check_keys(json_array_get(json_object_get(root, "foreign_chains"), 0));
	json_decref(root);
	fields += 2 + 3 + 2 + 2; /* of remove, flush, add and version */
	/* Nor does it know more, beside the titles. */
	for (const char *line = page; (line = strstr(line, " Ta ")); line = strchr(line, '\n'))
		rows++;
	assert_int_equal(rows - all_items(".It Em field Ta "), fields);
	unmap();
}

static void
check_completed(const char *word)
{
	if (!strstr(page, word))
		fail_msg("the completion lacks %s", word);
}

static void
completion_and_program_agree(void **state)
{
	(void)state;
	read_file("conf/portlease.bash");
	assert_int_equal(run_program(portlease, "--help", 0), DONE);
	each_row(ran.out, check_completed);
	assert_int_equal(run_program(portlease, "list -h", 0), DONE);
	each_row(ran.out, check_completed);
}

static void
manual_and_daemon_agree(void **state)
{
	(void)state;
	if (access(portleased, X_OK) != 0)
		skip();
	read_file("daemon/portleased.8");
	assert_int_equal(run_program(portleased, "-h", 0), 0);
	assert_int_equal(each_row(ran.out, check_option), all_items(".It Fl "));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(list_as_text),
	    cmocka_unit_test(list_as_json),
	    cmocka_unit_test(sessions),
	    cmocka_unit_test(show),
	    cmocka_unit_test(leases_of_upnp),
	    cmocka_unit_test(removing),
	    cmocka_unit_test(flushing),
	    cmocka_unit_test(status),
	    cmocka_unit_test(warnings_in_status),
	    cmocka_unit_test(versions),
	    cmocka_unit_test(wrong_command_lines),
	    cmocka_unit_test(no_daemon),
	    cmocka_unit_test(no_permission),
	    cmocka_unit_test(broken_daemons),
	    cmocka_unit_test(output_that_cannot_be_written),
	    cmocka_unit_test(slow_pager),
	    cmocka_unit_test(manual_and_program_agree),
	    cmocka_unit_test(manual_knows_every_field),
	    cmocka_unit_test(completion_and_program_agree),
	    cmocka_unit_test(manual_and_daemon_agree),
	};
	char self[PATH_MAX] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	dirname(dirname(dirname(self)));
	snprintf(portlease, sizeof(portlease), "%.*s/portlease", PATH_MAX - 16, self);
	snprintf(portleased, sizeof(portleased), "%.*s/portleased", PATH_MAX - 16, self);
	if (access(portlease, X_OK) != 0) {
		fprintf(stderr, "%s: not built: nothing tested\n", portlease);
		return 77;
	}
	log_open(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
