/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One reader an argument; which of them an action has says the table. */
#include "igd_action.h"

#include <ctype.h>
#include <stdlib.h>
#include <upnp/ixml.h>

#include "text.h"
#include "xml_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WRAPPER	     "igd_decode_body"

enum {
	TEXT_SIZE = 512, /* of an argument; more is too long for any */
	MARKS_MAX = 256, /* tags, or attributes: each costs ixml as many steps as there are */
};

static struct text
trim(struct text t)
{
	while (t.size && isspace((unsigned char)t.at[0]))
		text_take(&t, 1);
	while (t.size && isspace((unsigned char)t.at[t.size - 1]))
		t.size--;
	return t;
}

/* The header: "urn:schemas-upnp-org:service:TYPE:VERSION#ACTION", in quotes or not. */
static bool
read_soapaction(const struct igd_message *message, struct igd_call *call)
{
	struct text t = trim(text_of(message->soapaction)), version;
	uint32_t number;

	if (t.size && (t.at[0] == '"' || t.at[0] == '\''))
		text_take(&t, 1);
	if (t.size && (t.at[t.size - 1] == '"' || t.at[t.size - 1] == '\''))
		t.size--;
	t = trim(t);
	if (!text_take_prefix(&t, "urn:schemas-upnp-org:service:") ||
	    !text_equal(text_take(&t, text_before(t, ':')),
			igd_service_row(message->service)->type) ||
	    !text_take_prefix(&t, ":"))
		return false;
	version = text_take(&t, text_before(t, '#'));
	if (!text_take_prefix(&t, "#") || !text_number(version, UINT8_MAX, &number) || number < 1 ||
	    number > igd_service_version(message->service, message->view))
		return false;
	call->version = (uint8_t)number;
	call->action = igd_action_find(message->service, call->version, t.at, t.size);
	return call->action != IGD_ACTIONS;
}

static bool
begins(struct text t, const char *with)
{
	return t.size >= strlen(with) && memcmp(t.at, with, strlen(with)) == 0;
}

/* What follows an &. */
static bool
is_reference(struct text t)
{
	static const char *const names[] = {"amp;", "lt;", "gt;", "quot;", "apos;"};
	bool hex = begins(t, "#x");
	size_t digits = 0;

	for (size_t i = 0; i < COUNT(names); i++)
		if (begins(t, names[i]))
			return true;
	if (!begins(t, "#"))
		return false;
	text_take(&t, hex ? 2 : 1);
	while (digits < t.size &&
	       (hex ? isxdigit((unsigned char)t.at[digits]) : isdigit((unsigned char)t.at[digits])))
		digits++;
	return digits > 0 && digits < t.size && t.at[digits] == ';';
}

/*
 * Clients paste into a description without looking: an & that refers to nothing, octets that are
 * not UTF-8.  And ixml does not know that comments and CDATA may be empty.  At most five times as
 * long.
 */
static size_t
repair(struct text t, char *start)
{
	char *out = start;

	while (t.size) {
		size_t length = xml_character(t.at, t.size);

		if (begins(t, "<![CDATA[]]>") || begins(t, "<!---->")) {
			text_take(&t, text_before(t, '>') + 1);
			continue;
		}
		memcpy(out, length ? t.at : "?", length ? length : 1);
		out += length ? length : 1;
		if (text_take(&t, length ? length : 1).at[0] == '&' && !is_reference(t)) {
			memcpy(out, "amp;", 4);
			out += 4;
		}
	}
	return (size_t)(out - start);
}

/* Of declarations only comments and CDATA. */
static bool
declares_nothing(struct text t)
{
	while (t.size) {
		text_take(&t, text_before(t, '<'));
		if (begins(t, "<!") && !begins(t, "<!--") && !begins(t, "<![CDATA["))
			return false;
		text_take(&t, t.size > 0);
	}
	return true;
}

static bool
is_short_of(struct text t, char c, unsigned limit)
{
	for (; limit && t.size; limit--) {
		text_take(&t, text_before(t, c));
		text_take(&t, t.size > 0);
	}
	return t.size == 0;
}

/* Takes off what may stand before the document; false: not to be shown to a parser. */
static bool
prepare(struct text *body)
{
	text_take_prefix(body, "\xef\xbb\xbf");
	*body = trim(*body);
	if (begins(*body, "<?xml"))
		text_take(body, text_before(*body, '>'));
	text_take_prefix(body, ">");
	return body->size && !memchr(body->at, '\0', body->size) && declares_nothing(*body) &&
	       !memmem(body->at, body->size, WRAPPER, strlen(WRAPPER)) &&
	       is_short_of(*body, '<', MARKS_MAX) && is_short_of(*body, '=', MARKS_MAX);
}

/*
 * Wrapped into an element of ours, which the body must not name: ixml loses memory over text that
 * stands outside of any.  And it reads on past a reference that the text's end cuts off.
 */
static enum igd_error
parse(struct text body, bool repaired, IXML_Document **out)
{
	static const char start[] = "<" WRAPPER ">", end[] = "</" WRAPPER ">\n";
	char *text = malloc((repaired ? 5 : 1) * body.size + sizeof(start) + sizeof(end));
	char *at = text;
	int code;

	if (!text)
		return IGD_OUT_OF_MEMORY;
	at = mempcpy(at, start, strlen(start));
	if (repaired)
		at += repair(body, at);
	else
		at = mempcpy(at, body.at, body.size);
	memcpy(at, end, sizeof(end));
	*out = NULL;
	code = ixmlParseBufferEx(text, out);
	free(text);
	if (code == IXML_INSUFFICIENT_MEMORY)
		return IGD_OUT_OF_MEMORY;
	return code == IXML_SUCCESS ? IGD_OK : IGD_BAD_REQUEST;
}

/* Whatever its prefix. */
static bool
has_name(IXML_Node *node, const char *name)
{
	const char *full = ixmlNode_getNodeName(node);
	const char *colon = full ? strchr(full, ':') : NULL;

	return full && strcmp(colon ? colon + 1 : full, name) == 0;
}

/* The first child element of that name; NULL: of any. */
static IXML_Node *
child(IXML_Node *parent, const char *name)
{
	IXML_Node *node = ixmlNode_getFirstChild(parent);

	while (node &&
	       (ixmlNode_getNodeType(node) != eELEMENT_NODE || (name && !has_name(node, name))))
		node = ixmlNode_getNextSibling(node);
	return node;
}

/* The text of an element as far as it fits; returns all its length. */
static size_t
gather(IXML_Node *element, char *out, size_t size)
{
	IXML_Node *node = ixmlNode_getFirstChild(element);
	size_t whole = 0;

	for (; node; node = ixmlNode_getNextSibling(node)) {
		const char *value = ixmlNode_getNodeValue(node);
		IXML_NODE_TYPE type = ixmlNode_getNodeType(node);
		size_t length, fits;

		if (!value || (type != eTEXT_NODE && type != eCDATA_SECTION_NODE))
			continue;
		length = strlen(value);
		fits = whole >= size ? 0 : size - whole < length ? size - whole : length;
		if (fits)
			memcpy(out + whole, value, fits);
		whole += length;
	}
	return whole;
}

typedef enum igd_error read_fn(struct text, struct igd_call *);

static bool
is_lenient(const struct igd_call *call)
{
	return call->version == 1;
}

static enum igd_error
read_ui2(struct text t, uint16_t *out)
{
	uint32_t number;

	if (!text_number(t, UINT16_MAX + 1, &number))
		return IGD_INVALID_ARGS;
	if (number > UINT16_MAX)
		return IGD_OUT_OF_RANGE;
	*out = (uint16_t)number;
	return IGD_OK;
}

static enum igd_error
read_boolean(struct text t, bool *out)
{
	static const char *const words[] = {"0", "1", "false", "true", "no", "yes"};

	for (unsigned i = 0; i < COUNT(words); i++)
		if (text_equal_any_case(t, words[i])) {
			*out = i % 2;
			return IGD_OK;
		}
	return IGD_INVALID_ARGS;
}

/* The place of a value in its list, in any case; -1: not in it. */
static int
read_allowed(struct text t, enum igd_variable variable)
{
	const char *const *allowed = igd_variable_row(variable)->allowed;

	for (int i = 0; allowed[i]; i++)
		if (text_equal_any_case(t, allowed[i]))
			return i;
	return -1;
}

/* Dotted IPv4.  Names are not resolved: what a gateway waits for, everybody waits for. */
static bool
read_ipv4(struct text t, struct address *out)
{
	char text[ADDRESS_TEXT_SIZE];

	if (t.size >= sizeof(text))
		return false;
	memcpy(text, t.at, t.size);
	text[t.size] = '\0';
	return address_parse(text, out) && address_is_ipv4(out);
}

/* 0.0.0.0, too, is taken for "any" (2.3.17 knows the empty string only), and held as that. */
static enum igd_error
read_remote_host(struct text t, struct igd_call *call)
{
	struct address *remote = &call->entry.remote;

	if (t.size && !read_ipv4(t, remote))
		return IGD_INVALID_ARGS;
	if (address_is_unspecified(remote))
		*remote = (struct address){0};
	return IGD_OK;
}

static enum igd_error
read_external_port(struct text t, struct igd_call *call)
{
	return read_ui2(t, &call->entry.external_port);
}

static enum igd_error
read_protocol(struct text t, struct igd_call *call)
{
	static const enum transport transports[] = {TRANSPORT_TCP, TRANSPORT_UDP};
	int which = read_allowed(t, IGD_PortMappingProtocol);

	if (which < 0)
		return IGD_OUT_OF_RANGE;
	call->entry.transport = transports[which];
	return IGD_OK;
}

static enum igd_error
read_internal_port(struct text t, struct igd_call *call)
{
	enum igd_error error = read_ui2(t, &call->entry.internal.port);

	if (error == IGD_OK && call->entry.internal.port == 0)
		return call->version == 1 ? IGD_INVALID_ARGS : IGD_NO_WILDCARD_INTERNAL;
	return error;
}

static enum igd_error
read_internal_client(struct text t, struct igd_call *call)
{
	struct address *client = &call->entry.internal.address;

	if (t.size == 0)
		return is_lenient(call) ? IGD_OK : IGD_NO_WILDCARD_CLIENT;
	if (!read_ipv4(t, client) || address_is_unspecified(client))
		return IGD_NO_WILDCARD_CLIENT;
	return IGD_OK;
}

static enum igd_error
read_enabled(struct text t, struct igd_call *call)
{
	return read_boolean(t, &call->entry.enabled);
}

/* Cut between characters; what a log or a terminal would stumble over is replaced. */
static enum igd_error
read_description(struct text t, struct igd_call *call)
{
	char *out = call->entry.description;
	size_t length, at = 0;

	if (t.size > MAPPING_DESCRIPTION_MAX && !is_lenient(call))
		return IGD_TOO_LONG;
	while (t.size) {
		length = xml_character(t.at, t.size);
		if (at + (length ? length : 1) > MAPPING_DESCRIPTION_MAX)
			break;
		if (length == 0 || xml_is_control(t.at, length)) {
			text_take(&t, length ? length : 1);
			out[at++] = length ? ' ' : '?';
			continue;
		}
		memcpy(out + at, text_take(&t, length).at, length);
		at += length;
	}
	out[at] = '\0';
	return IGD_OK;
}

static enum igd_error
read_lease(struct text t, struct igd_call *call)
{
	if (text_number(t, IGD_LEASE_MAX, &call->entry.lease) || is_lenient(call))
		return IGD_OK;
	return IGD_INVALID_ARGS;
}

static enum igd_error
read_start_port(struct text t, struct igd_call *call)
{
	return read_ui2(t, &call->ports.first);
}

static enum igd_error
read_end_port(struct text t, struct igd_call *call)
{
	return read_ui2(t, &call->ports.last);
}

static enum igd_error
read_manage(struct text t, struct igd_call *call)
{
	return read_boolean(t, &call->manage);
}

static enum igd_error
read_limit(struct text t, struct igd_call *call)
{
	return read_ui2(t, &call->limit);
}

static enum igd_error
read_index(struct text t, struct igd_call *call)
{
	enum igd_error error = read_ui2(t, &call->index);

	return error == IGD_OUT_OF_RANGE ? IGD_INDEX_INVALID : error;
}

/* Refused whatever it is, but by the right name. */
static enum igd_error
read_connection_type(struct text t, struct igd_call *call)
{
	(void)call;
	return read_allowed(t, IGD_ConnectionType) < 0 ? IGD_OUT_OF_RANGE : IGD_OK;
}

static enum igd_error
read_connection_service(struct text t, struct igd_call *call)
{
	if (t.size >= sizeof(call->connection_service))
		return IGD_TOO_LONG;
	memcpy(call->connection_service, t.at, t.size);
	call->connection_service[t.size] = '\0';
	return IGD_OK;
}

static const struct {
	read_fn *read;
	bool cuts;	     /* what is too long may lose its end */
	const char *lenient; /* stands for one that is missing or empty; NULL: it must be there */
} readers[IGD_ARGUMENTS] = {
    [IGD_NewDefaultConnectionService] = {.read = read_connection_service},
    [IGD_NewConnectionType] = {.read = read_connection_type},
    [IGD_NewPortMappingIndex] = {.read = read_index},
    [IGD_NewRemoteHost] = {.read = read_remote_host, .lenient = ""},
    [IGD_NewExternalPort] = {.read = read_external_port},
    [IGD_NewProtocol] = {.read = read_protocol},
    [IGD_NewInternalPort] = {.read = read_internal_port},
    [IGD_NewInternalClient] = {.read = read_internal_client},
    [IGD_NewEnabled] = {.read = read_enabled, .lenient = "1"},
    [IGD_NewPortMappingDescription] = {.read = read_description, .cuts = true, .lenient = ""},
    [IGD_NewLeaseDuration] = {.read = read_lease, .lenient = "0"},
    [IGD_NewStartPort] = {.read = read_start_port},
    [IGD_NewEndPort] = {.read = read_end_port},
    [IGD_NewManage] = {.read = read_manage},
    [IGD_NewNumberOfPorts] = {.read = read_limit},
};

static enum igd_error
read_argument(IXML_Node *element, uint8_t argument, struct igd_call *call)
{
	const char *lenient = is_lenient(call) ? readers[argument].lenient : NULL;
	char buffer[TEXT_SIZE];
	size_t whole = element ? gather(element, buffer, sizeof(buffer)) : 0;
	struct text t = {buffer, whole < sizeof(buffer) ? whole : sizeof(buffer)};

	if (whole > sizeof(buffer) && !readers[argument].cuts)
		return IGD_TOO_LONG;
	if (t.size == 0 && lenient)
		t = text_of(lenient);
	if (argument != IGD_NewPortMappingDescription)
		t = trim(t);
	return readers[argument].read(t, call);
}

/* What no argument can tell alone. */
static enum igd_error
check_together(const struct igd_call *call)
{
	switch (call->action) {
	case IGD_AddPortMapping:
		return call->entry.external_port ? IGD_OK : IGD_NO_WILDCARD_EXTERNAL;
	case IGD_DeletePortMapping:
	case IGD_GetSpecificPortMappingEntry:
		return call->entry.external_port ? IGD_OK : IGD_NO_SUCH_ENTRY;
	case IGD_DeletePortMappingRange:
	case IGD_GetListOfPortMappings:
		return call->ports.first <= call->ports.last ? IGD_OK : IGD_INCONSISTENT;
	default:
		return IGD_OK;
	}
}

static enum igd_error
read_arguments(IXML_Node *element, struct igd_call *call)
{
	const uint8_t *arguments = igd_action_row(call->action)->in;
	enum igd_error error;

	/* That one is missing is worse than that another is out of range. */
	for (const uint8_t *a = arguments; *a; a++)
		if (!child(element, igd_argument_row(*a)->name) &&
		    !(is_lenient(call) && readers[*a].lenient))
			return IGD_INVALID_ARGS;
	for (const uint8_t *a = arguments; *a; a++) {
		error = read_argument(child(element, igd_argument_row(*a)->name), *a, call);
		if (error != IGD_OK)
			return error;
	}
	return check_together(call);
}

/* Not ixmlElement_getAttributeNS(), which falls over attributes without a namespace. */
static bool
insists(IXML_Node *element)
{
	IXML_NamedNodeMap *attributes = ixmlNode_getAttributes(element);
	bool found = false;

	for (unsigned long i = 0; i < ixmlNamedNodeMap_getLength(attributes); i++) {
		IXML_Node *attribute = ixmlNamedNodeMap_item(attributes, i);
		const char *value = ixmlNode_getNodeValue(attribute);

		found |= has_name(attribute, "mustUnderstand") && value && strcmp(value, "1") == 0;
	}
	ixmlNamedNodeMap_free(attributes);
	return found;
}

/* SOAP 1.1, 4.2.3: we understand no header. */
static bool
must_understand(IXML_Node *envelope)
{
	IXML_Node *header = child(envelope, "Header");
	IXML_Node *entry = header ? ixmlNode_getFirstChild(header) : NULL;

	for (; entry; entry = ixmlNode_getNextSibling(entry))
		if (ixmlNode_getNodeType(entry) == eELEMENT_NODE && insists(entry))
			return true;
	return false;
}

static enum igd_error
read_document(IXML_Document *document, struct igd_call *call)
{
	IXML_Node *wrapper = child((IXML_Node *)document, NULL);
	IXML_Node *envelope = wrapper ? child(wrapper, "Envelope") : NULL;
	IXML_Node *body = envelope ? child(envelope, "Body") : NULL;
	IXML_Node *action = body ? child(body, NULL) : NULL;

	if (!action)
		return IGD_BAD_REQUEST;
	if (must_understand(envelope))
		return IGD_MUST_UNDERSTAND;
	if (action != child(body, igd_action_row(call->action)->name))
		return IGD_INVALID_ACTION;
	return read_arguments(action, call);
}

enum igd_error
igd_decode(const struct igd_message *message, struct igd_call *call)
{
	struct text body = {message->body, message->size};
	IXML_Document *document;
	enum igd_error error;

	*call = (struct igd_call){.action = IGD_ACTIONS, .view = message->view};
	if (!message->soapaction)
		return IGD_BAD_REQUEST;
	if (!read_soapaction(message, call))
		return IGD_INVALID_ACTION;
	if (!prepare(&body))
		return IGD_BAD_REQUEST;
	error = parse(body, false, &document);
	if (error == IGD_BAD_REQUEST)
		error = parse(body, true, &document);
	if (error != IGD_OK)
		return error;
	error = read_document(document, call);
	ixmlDocument_free(document);
	return error;
}
