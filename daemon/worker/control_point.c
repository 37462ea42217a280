/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each resource has its methods; each method its function.  Clauses are of the Device Architecture.
 */
#include "control_point.h"

#include <ctype.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../../protocols/igd_action.h"

#define XML	     "text/xml; charset=\"utf-8\""
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A client that asks for many lists and reads none must not have all memory. */
enum { LISTS_MAX = 64 << 20 };

/* One call the core has been asked for. */
struct pending {
	struct control_point *control;
	struct http_exchange *exchange;
	struct link_call call;
	/* Of a list. */
	struct wire_writer list; /* bytes: NULL until there are entries */
	uint32_t left;		 /* entries still wanted */
};

bool
control_point_knows_only_view_1(const char *user_agent)
{
	static const char *const marks[] = {
	    "Microsoft", "FDSSDP", "Xbox", "compatible; UPnP/1.0; Windows 9x", /* Apple's */
	};

	for (size_t i = 0; user_agent && i < COUNT(marks); i++)
		if (strstr(user_agent, marks[i]))
			return true;
	return false;
}

static const struct http_field ext[] = {{"Ext", ""}, {NULL, NULL}};

static void
answer_xml(struct http_exchange *e, unsigned status, const void *body, size_t size)
{
	http_answer(e, &(struct http_answer){
			   .status = size ? status : 500,
			   .fields = ext,
			   .type = size ? XML : NULL,
			   .body = body,
			   .size = size,
		       });
}

/* --- descriptions --- */

static void
describe(struct control_point *control, const struct igd_path *path, struct http_exchange *e)
{
	static const struct http_field language[] = {{"Content-Language", "en"}, {NULL, NULL}};
	const struct device *device = control->device;
	char document[IGD_DOCUMENT_MAX];
	enum igd_view view = path->view;
	struct igd_identity identity;
	size_t size;

	if (device_serves(device, IGD_VIEW_1) &&
	    control_point_knows_only_view_1(http_header(e, "User-Agent")))
		view = IGD_VIEW_1;
	device_identity(device, &identity);
	size = path->resource == IGD_DESCRIPTION
		   ? igd_describe_device(&identity, view, document, sizeof(document))
		   : igd_describe_service(path->service, view, identity.config_id, document,
					  sizeof(document));
	http_answer(e, &(struct http_answer){
			   .status = size ? 200 : 500,
			   .fields = http_header(e, "Accept-Language") ? language : NULL,
			   .type = XML,
			   .body = document,
			   .size = size,
		       });
}

/* --- actions --- */

static void
answer_error(struct http_exchange *e, enum igd_error error)
{
	char fault[IGD_ANSWER_MAX];

	if (error == IGD_BAD_REQUEST)
		http_answer_status(e, igd_http_status(error));
	else
		answer_xml(e, igd_http_status(error), fault,
			   igd_encode_fault(error, fault, sizeof(fault)));
}

static void
answer_values(struct http_exchange *e, const struct igd_call *call, const struct igd_values *values)
{
	char answer[IGD_ANSWER_MAX];

	answer_xml(e, 200, answer, igd_encode_answer(call, values, answer, sizeof(answer)));
}

static void
end_call(struct pending *p)
{
	if (p->list.bytes)
		p->control->lists -= p->list.size;
	free(p->list.bytes);
	free(p);
}

static void
answer_from_core(struct pending *p, const struct link_answer *a)
{
	const struct device *device = p->control->device;
	struct igd_values values;

	if (a->error != IGD_OK) {
		answer_error(p->exchange, a->error);
		return;
	}
	device_values(device, &device->state, clock_now(), &values);
	values.entry = a->entry;
	values.bytes_sent = a->bytes_sent;
	values.bytes_received = a->bytes_received;
	values.packets_sent = a->packets_sent;
	values.packets_received = a->packets_received;
	answer_values(p->exchange, &p->call.call, &values);
}

/* Room for one entry more; false: no memory. */
static bool
grow_list(struct pending *p)
{
	struct wire_writer *list = &p->list;
	size_t more = list->size ? list->size : (size_t)16 * IGD_ANSWER_MAX;
	uint8_t *bytes;

	if (list->size - list->at >= IGD_ANSWER_MAX)
		return true;
	if (more > LISTS_MAX - p->control->lists)
		return false;
	bytes = realloc(list->bytes, list->size + more);
	if (!bytes)
		return false;
	list->bytes = bytes;
	list->size += more;
	p->control->lists += more;
	return true;
}

static bool
add_to_list(struct pending *p, const struct igd_entry *entry)
{
	struct wire_writer *list = &p->list;
	size_t n;

	if (!grow_list(p))
		return false;
	if (list->at == 0)
		list->at = igd_encode_list_start(&p->call.call, (char *)list->bytes, list->size);
	if (!grow_list(p))
		return false;
	n = igd_encode_list_entry(entry, (char *)list->bytes + list->at, list->size - list->at);
	list->at += n;
	return n > 0;
}

static void
on_list_sent(void *who, uint32_t size)
{
	struct control_point *control = who;

	control->lists -= size;
}

static void
answer_list(struct pending *p)
{
	struct wire_writer *list = &p->list;

	if (!list->bytes) {
		answer_error(p->exchange, IGD_MAPPING_NOT_FOUND);
		return;
	}
	if (!grow_list(p)) {
		answer_error(p->exchange, IGD_OUT_OF_MEMORY);
		return;
	}
	list->at += igd_encode_list_end(&p->call.call, (char *)list->bytes + list->at,
					list->size - list->at);
	http_answer(p->exchange, &(struct http_answer){
				     .status = 200,
				     .fields = ext,
				     .type = XML,
				     .body = list->bytes,
				     .size = list->at,
				     .take_body = true,
				     .sent = on_list_sent,
				     .who = p->control,
				     .what = (uint32_t)list->size,
				 });
	list->bytes = NULL;
}

static void on_answer(void *arg, const struct link_message *);

/* False: it ends with this page. */
static bool
take_page(struct pending *p, const struct link_entries *page)
{
	for (unsigned i = 0; i < page->count && p->left > 0; i++, p->left--)
		if (!add_to_list(p, &page->entry[i])) {
			answer_error(p->exchange, IGD_OUT_OF_MEMORY);
			return false;
		}
	p->call.cursor = page->cursor;
	if (page->cursor && p->left > 0) {
		if (core_client_call(p->control->core, &p->call, on_answer, p))
			return true;
		answer_error(p->exchange, IGD_OUT_OF_MEMORY);
		return false;
	}
	answer_list(p);
	return false;
}

static void
on_answer(void *arg, const struct link_message *message)
{
	struct pending *p = arg;

	if (message && message->type == LINK_ENTRIES && take_page(p, &message->entries))
		return;
	if (message && message->type == LINK_ANSWER)
		answer_from_core(p, &message->answer);
	end_call(p);
}

/* Printable ASCII, as far as there is room. */
static void
copy_user_agent(const char *from, char to[LINK_AGENT_SIZE])
{
	size_t n = 0;

	for (; from && *from && n < LINK_AGENT_SIZE - 1; from++)
		to[n++] = isprint((unsigned char)*from) ? *from : '?';
	to[n] = '\0';
}

static void
ask_core(struct control_point *control, const struct igd_call *call, struct http_exchange *e)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		answer_error(e, IGD_OUT_OF_MEMORY);
		return;
	}
	p->control = control;
	p->exchange = e;
	p->left = call->limit ? call->limit : UINT32_MAX;
	p->call = (struct link_call){.client = http_request(e)->client, .call = *call};
	copy_user_agent(http_header(e, "User-Agent"), p->call.user_agent);
	if (!core_client_call(control->core, &p->call, on_answer, p)) {
		answer_error(e, IGD_OUT_OF_MEMORY);
		end_call(p);
	}
}

/* 3.2.1; one without a type comes from a script. */
static bool
is_xml(const char *type)
{
	struct text t;

	if (!type)
		return true;
	t = text_of(type);
	t.size = text_before(t, ';');
	return text_equal_any_case(text_trim(t), "text/xml");
}

static void
call(struct control_point *control, const struct igd_path *path, struct http_exchange *e)
{
	const struct http_request *request = http_request(e);
	const struct igd_message message = {
	    .service = path->service,
	    .view = path->view,
	    .soapaction = http_header(e, "SOAPAction"),
	    .body = request->body,
	    .size = request->body_size,
	};
	struct igd_values values;
	struct igd_call call;
	enum igd_error error;

	if (!is_xml(http_header(e, "Content-Type"))) {
		http_answer_status(e, 415);
		return;
	}
	error = igd_decode(&message, &call);
	if (error != IGD_OK) {
		answer_error(e, error);
		return;
	}
	if (link_is_for_core(call.action)) {
		ask_core(control, &call, e);
		return;
	}
	device_values(control->device, &control->device->state, clock_now(), &values);
	answer_values(e, &call, &values);
}

/* --- subscriptions --- */

static void
read_subscription(struct http_exchange *e, struct gena_request *out)
{
	*out = (struct gena_request){
	    .client = http_request(e)->client,
	    .callback = http_header(e, "Callback"),
	    .nt = http_header(e, "NT"),
	    .sid = http_header(e, "SID"),
	    .timeout = http_header(e, "Timeout"),
	};
}

static void
subscribe(struct control_point *control, const struct igd_path *path, struct http_exchange *e)
{
	char timeout[sizeof("Second-4294967295")];
	struct gena_request request;
	struct gena_grant grant;
	enum gena_status status;

	read_subscription(e, &request);
	status = events_subscribe(control->events, path, &request, &grant);
	if (status != GENA_OK) {
		http_answer_status(e, status);
		return;
	}
	snprintf(timeout, sizeof(timeout), "Second-%lu", (unsigned long)grant.timeout);
	http_answer(e, &(struct http_answer){
			   .status = status,
			   .fields = (const struct http_field[]){{"SID", grant.sid},
								 {"Timeout", timeout},
								 {NULL, NULL}},
			   .sent = events_confirm,
			   .who = control->events,
			   .what = grant.id,
		       });
}

static void
unsubscribe(struct control_point *control, const struct igd_path *path, struct http_exchange *e)
{
	struct gena_request request;

	read_subscription(e, &request);
	http_answer_status(e, events_unsubscribe(control->events, path, &request));
}

/* --- the table --- */

typedef void serve_fn(struct control_point *, const struct igd_path *, struct http_exchange *);

static const struct {
	const char *allow;
	struct {
		const char *name;
		serve_fn *serve;
	} method[2];
} resources[] = {
    [IGD_DESCRIPTION] = {"GET, HEAD", {{"GET", describe}, {"HEAD", describe}}},
    [IGD_SCPD] = {"GET, HEAD", {{"GET", describe}, {"HEAD", describe}}},
    [IGD_CONTROL] = {"POST", {{"POST", call}}},
    [IGD_EVENTS] = {"SUBSCRIBE, UNSUBSCRIBE",
		    {{"SUBSCRIBE", subscribe}, {"UNSUBSCRIBE", unsubscribe}}},
};

void
control_point_handle(void *who, struct http_exchange *e)
{
	const struct http_request *request = http_request(e);
	const struct igd_path *path = igd_path_find(request->path);
	struct control_point *control = who;

	if (!path || !device_serves(control->device, path->view)) {
		http_answer_status(e, 404);
		return;
	}
	for (size_t i = 0; i < COUNT(resources[0].method); i++) {
		const char *name = resources[path->resource].method[i].name;

		if (name && strcmp(name, request->method) == 0) {
			resources[path->resource].method[i].serve(control, path, e);
			return;
		}
	}
	http_answer(
	    e, &(struct http_answer){
		   .status = 405,
		   .fields = (const struct http_field[]){{"Allow", resources[path->resource].allow},
							 {NULL, NULL}},
	       });
}
