/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A control point on libupnp's own client: what it finds, is told and gets is printed, one line
 * each, fields between tabs.  Usage: upnp_control_point IFACE, then commands of the same form:
 *   search TARGET                        found LOCATION TYPE …
 *   describe URL                         device TYPE UDN …, service TYPE CONTROL EVENTS …,
 * described call CONTROL TYPE ACTION NAME VALUE…  answer NAME VALUE … | error CODE subscribe EVENTS
 * subscribed SID SECONDS | error CODE; event SID SEQ NAME VALUE … unsubscribe SID unsubscribed |
 * error CODE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upnp/upnp.h>
#include <upnp/upnptools.h>

enum { FIELDS_MAX = 32, LINE_MAX_SIZE = 8192, SEARCH_SECONDS = 1, SUBSCRIPTION_SECONDS = 1800 };

static UpnpClient_Handle handle;

static void
print_text(IXML_Node *element)
{
	IXML_Node *text = ixmlNode_getFirstChild(element);
	const char *value = text ? ixmlNode_getNodeValue(text) : NULL;

	printf("\t%s\t%s", ixmlNode_getNodeName(element), value ? value : "");
}

/* Every child that is an element, by name and text. */
static void
print_children(IXML_Node *parent)
{
	IXML_Node *node = ixmlNode_getFirstChild(parent);

	for (; node; node = ixmlNode_getNextSibling(node))
		if (ixmlNode_getNodeType(node) == eELEMENT_NODE)
			print_text(node);
}

/* Called by threads of the library; a line is printed under the lock of stdout. */
static void
print_event(const UpnpEvent *event)
{
	IXML_Document *document = UpnpEvent_get_ChangedVariables(event);
	IXML_NodeList *list = ixmlDocument_getElementsByTagNameNS(
	    document, "urn:schemas-upnp-org:event-1-0", "property");

	flockfile(stdout);
	printf("event\t%s\t%d", UpnpEvent_get_SID_cstr(event), UpnpEvent_get_EventKey(event));
	for (unsigned long i = 0; i < ixmlNodeList_length(list); i++)
		print_children(ixmlNodeList_item(list, i));
	printf("\n");
	funlockfile(stdout);
	ixmlNodeList_free(list);
}

static int
on_event(Upnp_EventType type, const void *event, void *cookie)
{
	const UpnpDiscovery *found = event;

	(void)cookie;
	if (type == UPNP_DISCOVERY_SEARCH_RESULT)
		printf("found\t%s\t%s%s\n", UpnpDiscovery_get_Location_cstr(found),
		       UpnpDiscovery_get_DeviceType_cstr(found),
		       UpnpDiscovery_get_ServiceType_cstr(found));
	else if (type == UPNP_EVENT_RECEIVED)
		print_event(event);
	return 0;
}

static void
print_error(int code)
{
	printf("error\t%d\n", code);
}

static void
search(char **field, int count)
{
	int code = count == 1 ? UpnpSearchAsync(handle, SEARCH_SECONDS, field[0], NULL) : -1;

	if (code != UPNP_E_SUCCESS)
		print_error(code);
}

/* The text of the child of that name. */
static const char *
text_of(IXML_Node *parent, const char *name)
{
	IXML_Node *node = ixmlNode_getFirstChild(parent);

	while (node && strcmp(ixmlNode_getNodeName(node), name) != 0)
		node = ixmlNode_getNextSibling(node);
	node = node ? ixmlNode_getFirstChild(node) : NULL;
	return node ? ixmlNode_getNodeValue(node) : "";
}

static void
print_url(const char *base, const char *relative)
{
	char *url = NULL;

	if (UpnpResolveURL2(base, relative, &url) == UPNP_E_SUCCESS)
		printf("\t%s", url);
	free(url);
}

static void
describe(char **field, int count)
{
	IXML_Document *document = NULL;
	int code = count == 1 ? UpnpDownloadXmlDoc(field[0], &document) : -1;
	IXML_NodeList *list;

	if (code != UPNP_E_SUCCESS) {
		print_error(code);
		return;
	}
	list = ixmlDocument_getElementsByTagName(document, "device");
	for (unsigned long i = 0; i < ixmlNodeList_length(list); i++)
		printf("device\t%s\t%s\n", text_of(ixmlNodeList_item(list, i), "deviceType"),
		       text_of(ixmlNodeList_item(list, i), "UDN"));
	ixmlNodeList_free(list);
	list = ixmlDocument_getElementsByTagName(document, "service");
	for (unsigned long i = 0; i < ixmlNodeList_length(list); i++) {
		IXML_Node *service = ixmlNodeList_item(list, i);

		printf("service\t%s", text_of(service, "serviceType"));
		print_url(field[0], text_of(service, "controlURL"));
		print_url(field[0], text_of(service, "eventSubURL"));
		printf("\n");
	}
	ixmlNodeList_free(list);
	ixmlDocument_free(document);
	printf("described\n");
}

static void
call(char **field, int count)
{
	IXML_Document *action, *answer = NULL;
	int code;

	if (count < 3) {
		print_error(-1);
		return;
	}
	action = UpnpMakeAction(field[2], field[1], 0, NULL, NULL);
	for (int i = 3; i + 1 < count; i += 2)
		UpnpAddToAction(&action, field[2], field[1], field[i], field[i + 1]);
	code = UpnpSendAction(handle, field[0], field[1], NULL, action, &answer);
	if (code != UPNP_E_SUCCESS) {
		print_error(code);
	} else {
		printf("answer");
		print_children(ixmlNode_getFirstChild((IXML_Node *)answer));
		printf("\n");
	}
	ixmlDocument_free(action);
	ixmlDocument_free(answer);
}

static void
subscribe(char **field, int count)
{
	int seconds = SUBSCRIPTION_SECONDS;
	Upnp_SID sid;
	int code = count == 1 ? UpnpSubscribe(handle, field[0], &seconds, sid) : -1;

	if (code == UPNP_E_SUCCESS)
		printf("subscribed\t%s\t%d\n", sid, seconds);
	else
		print_error(code);
}

static void
unsubscribe(char **field, int count)
{
	Upnp_SID sid;
	int code;

	if (count != 1)
		return;
	snprintf(sid, sizeof(sid), "%s", field[0]);
	code = UpnpUnSubscribe(handle, sid);
	if (code == UPNP_E_SUCCESS)
		printf("unsubscribed\n");
	else
		print_error(code);
}

static const struct {
	const char *name;
	void (*run)(char **field, int count);
} commands[] = {
    {"search", search},	      {"describe", describe},	    {"call", call},
    {"subscribe", subscribe}, {"unsubscribe", unsubscribe},
};

static void
run(char *line)
{
	char *field[FIELDS_MAX];
	int count = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *rest = line; rest && count < FIELDS_MAX; count++)
		field[count] = strsep(&rest, "\t");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, field[0]) == 0)
			commands[i].run(field + 1, count - 1);
}

int
main(int argc, char **argv)
{
	char line[LINE_MAX_SIZE];
	int code;

	setvbuf(stdout, NULL, _IOLBF, 0);
	code = argc == 2 ? UpnpInit2(argv[1], 0) : -1;
	/* Releases differ in whether an event is const. */
	if (code == UPNP_E_SUCCESS)
		code = UpnpRegisterClient((Upnp_FunPtr)(void (*)(void))on_event, NULL, &handle);
	if (code != UPNP_E_SUCCESS) {
		fprintf(stderr, "upnp_control_point: %s\n", UpnpGetErrorMessage(code));
		return 1;
	}
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin))
		run(line);
	UpnpUnRegisterClient(handle);
	UpnpFinish();
	return 0;
}
