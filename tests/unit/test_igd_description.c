/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gateway's documents in both views, element by element in tests/golden/igd (GOLDEN=write makes
 * them anew: review the difference), the rules they are under, and the paths.
 */
#include "../../protocols/igd_description.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct igd_identity identity = {
    .friendly_name = "Gateway <of> \"R&D's\"",
    .manufacturer = "portlease",
    .model_name = "portlease",
    .model_number = "1",
    .serial_number = "00000000",
    .presentation_url = "http://192.168.1.1/?a=1&b=2",
    .udn = {"uuid:00000000-0000-5000-8000-000000000001",
	    "uuid:00000000-0000-5000-8000-000000000002",
	    "uuid:00000000-0000-5000-8000-000000000003"},
    .config_id = 4711,
};

static const enum igd_view views[] = {IGD_VIEW_1, IGD_VIEW_2};

static char document[IGD_DOCUMENT_MAX + 1];

static const char *
device_document(const struct igd_identity *id, enum igd_view view)
{
	size_t length = igd_describe_device(id, view, document, IGD_DOCUMENT_MAX);

	assert_true(length > 0);
	document[length] = '\0';
	return document;
}

static const char *
service_document(enum igd_service service, enum igd_view view)
{
	size_t length = igd_describe_service(service, view, 4711, document, IGD_DOCUMENT_MAX);

	assert_true(length > 0);
	document[length] = '\0';
	return document;
}

/* One element a line. */
static void
assert_golden(const char *text, const char *name)
{
	const char *mode = getenv("GOLDEN");
	bool write = mode && strcmp(mode, "write") == 0;
	char command[128];
	FILE *out;

	snprintf(command, sizeof(command),
		 write ? "cat > tests/golden/igd/%s" : "diff -u tests/golden/igd/%s -", name);
	out = popen(command, "w");
	assert_non_null(out);
	for (; *text; text++) {
		fputc(*text, out);
		if (text[0] == '>' && text[1] == '<')
			fputc('\n', out);
	}
	if (pclose(out) != 0)
		fail_msg("the document differs from tests/golden/igd/%s", name);
}

static void
documents(void **state)
{
	static const char *const names[IGD_SERVICES] = {"l3f", "wancommon", "wanip"};
	char name[32];

	(void)state;
	for (unsigned v = 0; v < 2; v++) {
		snprintf(name, sizeof(name), "device-%u.xml", views[v]);
		assert_golden(device_document(&identity, views[v]), name);
		for (int s = 0; s < IGD_SERVICES; s++) {
			snprintf(name, sizeof(name), "%s-%u.xml", names[s], views[v]);
			assert_golden(service_document((enum igd_service)s, views[v]), name);
		}
	}
}

static void
in_order(const char *text, const char *const *marks)
{
	for (; *marks; marks++) {
		const char *found = strstr(text, *marks);

		if (!found)
			fail_msg("%s is missing or too early", *marks);
		text = found + 1;
	}
}

/* Windows stops at the first trace of version 2; nothing of the second view may be in the first. */
static void
view_1_knows_no_version_2(void **state)
{
	const char *text;

	(void)state;
	text = device_document(&identity, IGD_VIEW_1);
	assert_null(strstr(text, ":2<"));
	assert_null(strstr(text, "/2/"));
	assert_null(strstr(text, "configId"));
	assert_non_null(strstr(text, "<major>1</major><minor>0</minor>"));
	assert_null(strstr(text, "URLBase"));
	text = service_document(IGD_IP_CONNECTION, IGD_VIEW_1);
	assert_null(strstr(text, "AddAnyPortMapping"));
	assert_null(strstr(text, "Range"));
	assert_null(strstr(text, "List<"));
	assert_null(strstr(text, "GetListOf"));
	assert_null(strstr(text, "SystemUpdateID"));
	assert_null(strstr(text, "A_ARG_TYPE"));
	assert_null(strstr(text, "configId"));
	text = service_document(IGD_IP_CONNECTION, IGD_VIEW_2);
	assert_non_null(strstr(text, "AddAnyPortMapping"));
	assert_non_null(strstr(text, "DeletePortMappingRange"));
	assert_non_null(strstr(text, "GetListOfPortMappings"));
	assert_non_null(strstr(text, "SystemUpdateID"));
	assert_non_null(strstr(text, " configId=\"4711\"><specVersion><major>1</major><minor>1<"));
}

/* Clauses 2.3: the order of elements counts. */
static void
elements_are_in_order(void **state)
{
	static const char *const device[] = {"<specVersion>",
					     "<device>",
					     "<deviceType>",
					     "<friendlyName>",
					     "<manufacturer>",
					     "<modelName>",
					     "<modelNumber>",
					     "<serialNumber>",
					     "<UDN>",
					     "<serviceList>",
					     "<service>",
					     "<serviceType>",
					     "<serviceId>",
					     "<SCPDURL>",
					     "<controlURL>",
					     "<eventSubURL>",
					     "</serviceList>",
					     "<deviceList>",
					     "</deviceList>",
					     "<presentationURL>",
					     "</device></root>",
					     NULL};
	/* One macOS client takes the first controlURL after this text. */
	static const char *const connection[] = {
	    "<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>",
	    "<controlURL>/1/WANIP/control</controlURL>", NULL};
	static const char *const services[] = {"<specVersion>", "<actionList>", "</actionList>",
					       "<serviceStateTable>", NULL};

	(void)state;
	for (unsigned v = 0; v < 2; v++) {
		in_order(device_document(&identity, views[v]), device);
		in_order(service_document(IGD_IP_CONNECTION, views[v]), services);
	}
	in_order(device_document(&identity, IGD_VIEW_1), connection);
}

static void
what_is_not_said_has_no_element(void **state)
{
	struct igd_identity less = identity;

	(void)state;
	less.presentation_url = NULL;
	less.serial_number = "";
	assert_null(strstr(device_document(&less, IGD_VIEW_1), "presentationURL"));
	assert_null(strstr(device_document(&less, IGD_VIEW_1), "serialNumber"));
	assert_non_null(strstr(device_document(&identity, IGD_VIEW_1), "presentationURL"));
	assert_non_null(strstr(device_document(&identity, IGD_VIEW_1), "serialNumber"));
}

static void
text_is_escaped(void **state)
{
	struct igd_identity odd = identity;
	const char *text;

	(void)state;
	text = device_document(&identity, IGD_VIEW_1);
	assert_non_null(strstr(text, ">Gateway &lt;of&gt; &quot;R&amp;D&apos;s&quot;<"));
	assert_non_null(strstr(text, ">http://192.168.1.1/?a=1&amp;b=2<"));
	odd.friendly_name = "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xae";
	assert_non_null(strstr(device_document(&odd, IGD_VIEW_1), odd.friendly_name));
	/* cut short, overlong, a surrogate, a control character, too large, no character of XML */
	odd.friendly_name = "\xe2\x82 \xc0\xaf \xed\xa0\x80 \x01 \xf4\x90\x80\x80 \xef\xbf\xbf.";
	assert_non_null(strstr(device_document(&odd, IGD_VIEW_1), ">?? ?? ??? ? ???? ???.<"));
}

/* No room: no document, and no octet past the buffer. */
static void
a_buffer_too_small(void **state)
{
	size_t whole = igd_describe_device(&identity, IGD_VIEW_2, document, IGD_DOCUMENT_MAX);
	char *exact = malloc(whole);

	(void)state;
	assert_non_null(exact);
	assert_int_equal(igd_describe_device(&identity, IGD_VIEW_2, exact, whole), whole);
	assert_int_equal(igd_describe_device(&identity, IGD_VIEW_2, exact, whole - 1), 0);
	assert_int_equal(igd_describe_service(IGD_IP_CONNECTION, IGD_VIEW_2, 1, exact, 100), 0);
	free(exact);
}

/* Every row is filled; arguments and variables are of the action's service and version. */
static void
the_table_is_whole(void **state)
{
	(void)state;
	for (int v = 0; v < IGD_VARIABLES; v++)
		assert_non_null(igd_variable_row((enum igd_variable)v)->name);
	for (int a = 1; a < IGD_ARGUMENTS; a++)
		assert_memory_equal(igd_argument_row((enum igd_argument)a)->name, "New", 3);
	for (int a = 0; a < IGD_ACTIONS; a++) {
		const struct igd_action_row *row = igd_action_row((enum igd_action)a);
		const uint8_t *lists[] = {row->in, row->out};

		assert_non_null(row->name);
		for (unsigned l = 0; l < 2; l++)
			for (const uint8_t *g = lists[l]; *g; g++) {
				const struct igd_variable_row *variable =
				    igd_variable_row(igd_argument_row(*g)->variable);

				assert_int_equal(variable->service, row->service);
				assert_true(variable->since <= row->since);
			}
	}
}

/* So no eventSubURL is empty (2.3). */
static void
every_service_has_events(void **state)
{
	(void)state;
	for (int s = 0; s < IGD_SERVICES; s++) {
		bool evented = false;

		for (int v = 0; v < IGD_VARIABLES; v++) {
			const struct igd_variable_row *row = igd_variable_row((enum igd_variable)v);

			evented |=
			    row->service == (enum igd_service)s && row->evented && row->since == 1;
		}
		assert_true(evented);
	}
}

static void
actions_are_found_in_their_versions(void **state)
{
	(void)state;
	for (int a = 0; a < IGD_ACTIONS; a++) {
		const struct igd_action_row *row = igd_action_row((enum igd_action)a);
		size_t n = strlen(row->name);

		for (uint8_t version = 1; version <= 2; version++)
			assert_int_equal(igd_action_find(row->service, version, row->name, n),
					 version < row->since ? (int)IGD_ACTIONS : a);
		assert_int_equal(
		    igd_action_find((row->service + 1) % IGD_SERVICES, 2, row->name, n),
		    IGD_ACTIONS);
		assert_int_equal(igd_action_find(row->service, 2, row->name, n - 1), IGD_ACTIONS);
	}
}

static void
paths_are_found(void **state)
{
	const struct igd_path *path;

	(void)state;
	for (unsigned v = 0; v < 2; v++)
		for (int r = IGD_DESCRIPTION; r <= IGD_EVENTS; r++)
			for (int s = 0; s < IGD_SERVICES; s++) {
				const char *text =
				    igd_path(views[v], (enum igd_resource)r, (enum igd_service)s);

				path = igd_path_find(text);
				assert_non_null(path);
				assert_true(strlen(text) < 100); /* miniupnpc's buffers */
				assert_int_equal(path->view, views[v]);
				assert_int_equal(path->resource, r);
				if (r != IGD_DESCRIPTION)
					assert_int_equal(path->service, s);
			}
	path = igd_path_find("//1///wanip/CONTROL");
	assert_non_null(path);
	assert_string_equal(path->text, "/1/WANIP/control");
	assert_null(igd_path_find("/1/WANIP/control/"));
	assert_null(igd_path_find("/1/WANIP/contro"));
	assert_null(igd_path_find("/3/desc.xml"));
	assert_null(igd_path_find("1/desc.xml"));
	assert_null(igd_path_find("/"));
	assert_null(igd_path_find(""));
}

/* Every code that can be sent has the standard's words. */
static void
errors_have_names(void **state)
{
	(void)state;
	assert_string_equal(igd_error_text(IGD_INVALID_ACTION), "Invalid Action");
	assert_string_equal(igd_error_text(IGD_CONFLICT), "ConflictInMappingEntry");
	assert_string_equal(igd_error_text(IGD_INCONSISTENT), "InconsistentParameters");
	/* Which a version 2 service must not send. */
	for (int code = 724; code <= 727; code++)
		assert_string_equal(igd_error_text((enum igd_error)code), "");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(documents),
	    cmocka_unit_test(view_1_knows_no_version_2),
	    cmocka_unit_test(elements_are_in_order),
	    cmocka_unit_test(what_is_not_said_has_no_element),
	    cmocka_unit_test(text_is_escaped),
	    cmocka_unit_test(a_buffer_too_small),
	    cmocka_unit_test(the_table_is_whole),
	    cmocka_unit_test(every_service_has_events),
	    cmocka_unit_test(actions_are_found_in_their_versions),
	    cmocka_unit_test(paths_are_found),
	    cmocka_unit_test(errors_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
