/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many UPnP control points, which ask a gateway at the same time, each request by a connection of
 * its own as most of them do.  Knows nothing of what it measures but its URL.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	REQUESTS_PER_CLIENT = 30,
	INTERNAL_PORT = 20000,
	EXTERNAL_PORT = 5352, /* of mapping 0: all above may be given out */
	CLIENTS_MAX = 256,
	REQUEST_SIZE = 2048,
	ANSWER_SIZE = 4096, /* to begin with */
	PATIENCE = 70000,   /* milliseconds without any progress */
};
static const uint32_t first_client = 0x0a400100; /* 10.64.1.0 */

/* What is asked; request n is about mapping n, and comes from the address that has it. */
struct kind {
	const char *name, *action;
	int version;
	void (*arguments)(char *out, size_t size, uint32_t number);
	const char *expected; /* of the answer */
	bool keeps;	      /* its connection */
};

static struct in_addr
client_of(uint32_t number)
{
	return (struct in_addr){htonl(first_client + number / REQUESTS_PER_CLIENT)};
}

static void
no_arguments(char *out, size_t size, uint32_t number)
{
	(void)number;
	snprintf(out, size, "%s", "");
}

static void
name_arguments(char *out, size_t size, uint32_t number)
{
	snprintf(out, size,
		 "<NewRemoteHost></NewRemoteHost><NewExternalPort>%u</NewExternalPort>"
		 "<NewProtocol>UDP</NewProtocol>",
		 EXTERNAL_PORT + number);
}

static void
mapping_arguments(char *out, size_t size, uint32_t number)
{
	int n;

	name_arguments(out, size, number);
	n = (int)strlen(out);
	snprintf(out + n, size - (size_t)n,
		 "<NewInternalPort>%u</NewInternalPort><NewInternalClient>%s</NewInternalClient>"
		 "<NewEnabled>1</NewEnabled><NewPortMappingDescription>measured %u"
		 "</NewPortMappingDescription><NewLeaseDuration>80000</NewLeaseDuration>",
		 INTERNAL_PORT + number % REQUESTS_PER_CLIENT, inet_ntoa(client_of(number)),
		 number);
}

static void
index_arguments(char *out, size_t size, uint32_t number)
{
	snprintf(out, size, "<NewPortMappingIndex>%u</NewPortMappingIndex>", number);
}

static void
range_arguments(char *out, size_t size, uint32_t number)
{
	(void)number;
	snprintf(out, size, "%s",
		 "<NewStartPort>1</NewStartPort><NewEndPort>65535</NewEndPort>"
		 "<NewProtocol>UDP</NewProtocol><NewManage>1</NewManage>"
		 "<NewNumberOfPorts>0</NewNumberOfPorts>");
}

static const struct kind kinds[] = {
    {"get", "GetExternalIPAddress", 1, no_arguments, "<NewExternalIPAddress>11.0.0.1<", false},
    {"get-kept", "GetExternalIPAddress", 1, no_arguments, "<NewExternalIPAddress>11.0.0.1<", true},
    {"add", "AddPortMapping", 1, mapping_arguments, ":AddPortMappingResponse", false},
    {"delete", "DeletePortMapping", 1, name_arguments, ":DeletePortMappingResponse", false},
    {"walk", "GetGenericPortMappingEntry", 1, index_arguments, "measured", false},
    {"list", "GetListOfPortMappings", 2, range_arguments, "measured", false},
};

/* One of those that ask at the same time. */
struct client {
	int fd; /* -1: not connected */
	uint32_t number;
	double begun;
	char request[REQUEST_SIZE];
	size_t request_size;
	char *answer;
	size_t size, room;
};

struct crowd {
	struct sockaddr_in server;
	const char *path;
	int epoll;
	struct client client[CLIENTS_MAX];
};

struct run {
	const struct kind *kind;
	uint32_t first, count, clients;
	uint32_t begun, answered;
	double *took; /* each */
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- one request --- */

static void
write_request(const struct crowd *c, const struct kind *kind, struct client *client)
{
	static const char type[] = "urn:schemas-upnp-org:service:WANIPConnection:";
	char arguments[REQUEST_SIZE / 2], body[REQUEST_SIZE], server[INET_ADDRSTRLEN];
	int size, n;

	kind->arguments(arguments, sizeof(arguments), client->number);
	size = snprintf(body, sizeof(body),
			"<?xml version=\"1.0\"?>\r\n"
			"<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
			"s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>"
			"<u:%s xmlns:u=\"%s%d\">%s</u:%s></s:Body></s:Envelope>\r\n",
			kind->action, type, kind->version, arguments, kind->action);
	inet_ntop(AF_INET, &c->server.sin_addr, server, sizeof(server));
	n = snprintf(client->request, sizeof(client->request),
		     "POST %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: bench UPnP/1.1\r\n"
		     "Content-Length: %d\r\nContent-Type: text/xml\r\nSOAPAction: \"%s%d#%s\"\r\n"
		     "Connection: %s\r\n\r\n%s",
		     c->path, server, ntohs(c->server.sin_port), size, type, kind->version,
		     kind->action, kind->keeps ? "keep-alive" : "close", body);
	if (n < 0 || (size_t)n >= sizeof(client->request))
		errx(2, "too long a request");
	client->request_size = (size_t)n;
}

static void
watch(const struct crowd *c, const struct client *client, int how, uint32_t what)
{
	struct epoll_event event = {.events = what, .data.u32 = (uint32_t)(client - c->client)};

	if (epoll_ctl(c->epoll, how, client->fd, &event) < 0)
		err(2, "epoll_ctl");
}

static void
connect_client(const struct crowd *c, struct client *client)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = client_of(client->number)};
	int on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (client->fd < 0 ||
	    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
	    bind(client->fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		err(2, "socket");
	if (connect(client->fd, (const struct sockaddr *)&c->server, sizeof(c->server)) < 0 &&
	    errno != EINPROGRESS)
		err(1, "connect");
	watch(c, client, EPOLL_CTL_ADD, EPOLLOUT);
}

static void
say(const struct crowd *c, struct client *client)
{
	if (send(client->fd, client->request, client->request_size, MSG_NOSIGNAL) !=
	    (ssize_t)client->request_size)
		err(1, "request %u: send", client->number);
	watch(c, client, EPOLL_CTL_MOD, EPOLLIN);
}

static void
begin(const struct crowd *c, struct run *r, struct client *client)
{
	client->number = r->first + r->begun++;
	client->size = 0;
	client->begun = now();
	write_request(c, r->kind, client);
	if (client->fd < 0)
		connect_client(c, client);
	else
		say(c, client);
}

static bool
is_complete(const struct client *client)
{
	const char *body = strstr(client->answer, "\r\n\r\n");
	const char *length = strcasestr(client->answer, "\r\nContent-Length:");

	return body && length && length < body &&
	       client->size - (size_t)(body + 4 - client->answer) >= strtoul(length + 17, NULL, 10);
}

static void
check(const struct kind *kind, const struct client *client)
{
	if (strncmp(client->answer, "HTTP/1.1 200 ", 13) != 0 ||
	    !strstr(client->answer, kind->expected))
		errx(1, "%s %u: %s", kind->name, client->number, client->answer);
}

/* True: its answer is complete. */
static bool
hear(struct client *client)
{
	ssize_t n;

	if (client->room - client->size < ANSWER_SIZE) {
		client->room = 2 * client->room + ANSWER_SIZE;
		client->answer = realloc(client->answer, client->room + 1);
		if (!client->answer)
			err(2, "realloc");
	}
	n = recv(client->fd, client->answer + client->size, client->room - client->size, 0);
	if (n < 0)
		err(1, "request %u: recv", client->number);
	client->size += (size_t)n;
	client->answer[client->size] = '\0';
	if (n > 0)
		return is_complete(client);
	if (!is_complete(client))
		errx(1, "request %u: the answer breaks off", client->number);
	return true;
}

static void
disconnect(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

/* --- many requests --- */

static void
finish(const struct crowd *c, struct run *r, struct client *client)
{
	r->took[r->answered++] = now() - client->begun;
	check(r->kind, client);
	if (!r->kind->keeps)
		disconnect(client);
	if (r->begun < r->count)
		begin(c, r, client);
	else
		disconnect(client);
}

/* Returns the seconds it took. */
static double
run(struct crowd *c, struct run *r)
{
	struct epoll_event event[CLIENTS_MAX];
	double begun = now();

	r->begun = r->answered = 0;
	for (uint32_t i = 0; i < r->clients && r->begun < r->count; i++)
		begin(c, r, &c->client[i]);
	while (r->answered < r->count) {
		int n = epoll_wait(c->epoll, event, CLIENTS_MAX, PATIENCE);

		if (n == 0)
			errx(1, "%u of %u requests are not answered", r->begun - r->answered,
			     r->begun);
		for (int i = 0; i < n; i++) {
			struct client *client = &c->client[event[i].data.u32];

			if (event[i].events & EPOLLOUT)
				say(c, client);
			else if (hear(client))
				finish(c, r, client);
		}
	}
	return now() - begun;
}

static const struct kind *
find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	errx(2, "no such kind: %s", name);
}

/* So many mappings are added at once and then deleted, again and again; the time of adding. */
static double
take_turns(struct crowd *c, const struct run *r)
{
	struct run add = *r, delete = *r;
	double seconds = 0;

	add.kind = find_kind("add");
	delete.kind = find_kind("delete");
	add.count = delete.count = r->clients;
	delete.took = r->took + r->count;
	for (uint32_t done = 0; done < r->count; done += r->clients, add.took += r->clients) {
		seconds += run(c, &add);
		run(c, &delete);
	}
	return seconds;
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint32_t
number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value > 1000000)
		errx(2, "no number: %s", text);
	return (uint32_t)value;
}

static unsigned
occurrences(const char *text, const char *of)
{
	unsigned n = 0;

	for (; (text = strstr(text, of)); text += strlen(of))
		n++;
	return n;
}

static void
crowd_open(struct crowd *c, const char *server, const char *port, const char *path)
{
	c->path = path;
	c->server.sin_family = AF_INET;
	c->server.sin_port = htons((uint16_t)number(port));
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0 || inet_pton(AF_INET, server, &c->server.sin_addr) != 1)
		errx(2, "no address: %s", server);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		c->client[i].fd = -1;
}

/* "SECONDS MEDIAN ENTRIES": in all, that of one request, and how many the first client's last
 * answer has. */
int
main(int argc, char **argv)
{
	static struct crowd crowd;
	struct run r = {0};
	double seconds;
	bool in_turns;

	if (argc != 8)
		errx(2, "usage: control_points SERVER PORT PATH "
			"get|get-kept|add|delete|walk|list|turns FIRST COUNT CLIENTS");
	crowd_open(&crowd, argv[1], argv[2], argv[3]);
	in_turns = strcmp(argv[4], "turns") == 0;
	r.kind = find_kind(in_turns ? "add" : argv[4]);
	r.first = number(argv[5]);
	r.count = number(argv[6]);
	r.clients = number(argv[7]);
	if (r.clients == 0 || r.clients > CLIENTS_MAX || r.count == 0 ||
	    (in_turns && r.count % r.clients))
		errx(2, "so many clients cannot be");
	r.took = calloc((size_t)r.count + r.clients, sizeof(*r.took));
	if (!r.took)
		err(2, "calloc");
	seconds = in_turns ? take_turns(&crowd, &r) : run(&crowd, &r);
	qsort(r.took, r.count, sizeof(*r.took), compare);
	printf("%.6f %.2f %u\n", seconds, r.took[r.count / 2] * 1e6,
	       occurrences(crowd.client[0].answer, r.kind->expected));
	free(r.took);
	return 0;
}
