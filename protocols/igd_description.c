/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Order and names of elements as in clauses 2.3 (device) and 2.5 (service) of the Device
 * Architecture. */
#include "igd_description.h"

#include "text.h"
#include "xml_text.h"

static void
put_tag(struct wire_writer *out, const char *before, const char *name)
{
	text_put(out, before);
	text_put(out, name);
	text_put(out, ">");
}

static void
put_element(struct wire_writer *out, const char *name, const char *text)
{
	if (!text || !*text)
		return;
	put_tag(out, "<", name);
	xml_put_text(out, text);
	put_tag(out, "</", name);
}

static void
put_number_element(struct wire_writer *out, const char *name, uint32_t number)
{
	put_tag(out, "<", name);
	text_put_number(out, number);
	put_tag(out, "</", name);
}

/* "urn:schemas-upnp-org:KIND:TYPE:VERSION" in an element. */
static void
put_type(struct wire_writer *out, const char *element, const char *kind, const char *type,
	 unsigned version)
{
	put_tag(out, "<", element);
	text_put(out, "urn:schemas-upnp-org:");
	text_put(out, kind);
	text_put(out, type);
	text_put(out, ":");
	text_put_number(out, version);
	put_tag(out, "</", element);
}

/* Architecture 1.0 has no configId; what reads only that must not meet it. */
static void
put_root(struct wire_writer *out, const char *root, enum igd_view view, uint32_t config_id)
{
	text_put(out, "<?xml version=\"1.0\"?>\n<");
	text_put(out, root);
	if (view == IGD_VIEW_2) {
		text_put(out, " configId=\"");
		text_put_number(out, config_id);
		text_put(out, "\"");
	}
	text_put(out, "><specVersion><major>1</major>");
	put_number_element(out, "minor", view == IGD_VIEW_2);
	text_put(out, "</specVersion>");
}

static void
put_service(struct wire_writer *out, enum igd_service service, enum igd_view view)
{
	const struct igd_service_row *row = igd_service_row(service);

	text_put(out, "<serviceList><service>");
	put_type(out, "serviceType", "service:", row->type, igd_service_version(service, view));
	text_put(out, "<serviceId>urn:upnp-org:serviceId:");
	text_put(out, row->id);
	text_put(out, "</serviceId>");
	put_element(out, "SCPDURL", igd_path(view, IGD_SCPD, service));
	put_element(out, "controlURL", igd_path(view, IGD_CONTROL, service));
	put_element(out, "eventSubURL", igd_path(view, IGD_EVENTS, service));
	text_put(out, "</service></serviceList>");
}

static void
put_device_start(struct wire_writer *out, const struct igd_identity *identity, enum igd_view view,
		 enum igd_device device)
{
	const struct igd_device_row *row = igd_device_row(device);

	text_put(out, "<device>");
	put_type(out, "deviceType", "device:", row->type, view);
	put_element(out, "friendlyName",
		    row->friendly_name ? row->friendly_name : identity->friendly_name);
	put_element(out, "manufacturer", identity->manufacturer);
	put_element(out, "modelName", identity->model_name);
	put_element(out, "modelNumber", identity->model_number);
	put_element(out, "serialNumber", identity->serial_number);
	put_element(out, "UDN", identity->udn[device]);
	put_service(out, (enum igd_service)device, view);
	if (device + 1 < IGD_DEVICES)
		text_put(out, "<deviceList>");
}

static size_t
finish(struct wire_writer *out, const char *root_end)
{
	text_put(out, root_end);
	return out->failed ? 0 : out->at;
}

size_t
igd_describe_device(const struct igd_identity *identity, enum igd_view view, char *out, size_t size)
{
	struct wire_writer w = wire_writer(out, size);

	put_root(&w, "root xmlns=\"urn:schemas-upnp-org:device-1-0\"", view, identity->config_id);
	for (int device = 0; device < IGD_DEVICES; device++)
		put_device_start(&w, identity, view, (enum igd_device)device);
	for (int device = IGD_DEVICES - 1; device > 0; device--)
		text_put(&w, "</device></deviceList>");
	put_element(&w, "presentationURL", identity->presentation_url);
	return finish(&w, "</device></root>\n");
}

static void
put_arguments(struct wire_writer *out, const uint8_t *arguments, const char *direction)
{
	for (; *arguments; arguments++) {
		const struct igd_argument_row *row = igd_argument_row(*arguments);

		text_put(out, "<argument>");
		put_element(out, "name", row->name);
		put_element(out, "direction", direction);
		put_element(out, "relatedStateVariable", igd_variable_row(row->variable)->name);
		text_put(out, "</argument>");
	}
}

static void
put_action(struct wire_writer *out, const struct igd_action_row *row)
{
	text_put(out, "<action>");
	put_element(out, "name", row->name);
	if (row->in[0] || row->out[0]) {
		text_put(out, "<argumentList>");
		put_arguments(out, row->in, "in");
		put_arguments(out, row->out, "out");
		text_put(out, "</argumentList>");
	}
	text_put(out, "</action>");
}

static void
put_variable(struct wire_writer *out, const struct igd_variable_row *row, uint8_t version)
{
	text_put(out, row->evented ? "<stateVariable sendEvents=\"yes\">"
				   : "<stateVariable sendEvents=\"no\">");
	put_element(out, "name", row->name);
	put_element(out, "dataType", row->type);
	if (row->allowed) {
		text_put(out, "<allowedValueList>");
		for (const char *const *value = row->allowed; *value; value++)
			put_element(out, "allowedValue", *value);
		text_put(out, "</allowedValueList>");
	}
	if (row->bounded_since && version >= row->bounded_since) {
		text_put(out, "<allowedValueRange>");
		put_number_element(out, "minimum", row->least);
		put_number_element(out, "maximum", row->most);
		text_put(out, "</allowedValueRange>");
	}
	text_put(out, "</stateVariable>");
}

size_t
igd_describe_service(enum igd_service service, enum igd_view view, uint32_t config_id, char *out,
		     size_t size)
{
	uint8_t version = igd_service_version(service, view);
	struct wire_writer w = wire_writer(out, size);

	put_root(&w, "scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"", view, config_id);
	text_put(&w, "<actionList>");
	for (int a = 0; a < IGD_ACTIONS; a++) {
		const struct igd_action_row *row = igd_action_row((enum igd_action)a);

		if (row->service == service && row->since <= version)
			put_action(&w, row);
	}
	text_put(&w, "</actionList><serviceStateTable>");
	for (int v = 0; v < IGD_VARIABLES; v++) {
		const struct igd_variable_row *row = igd_variable_row((enum igd_variable)v);

		if (row->service == service && row->since <= version)
			put_variable(&w, row, version);
	}
	return finish(&w, "</serviceStateTable></scpd>\n");
}
