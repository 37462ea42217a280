/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Characters by RFC 3629 4 (UTF-8) and XML 1.0 2.2 (which of them a document may hold). */
#include "xml_text.h"

#include "text.h"

static bool
is_allowed(uint32_t c)
{
	if (c < 0x20)
		return c == '\t' || c == '\n' || c == '\r';
	return c < 0xd800 || (c >= 0xe000 && c <= 0xfffd) || (c >= 0x10000 && c <= 0x10ffff);
}

size_t
xml_character(const char *text, size_t size)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const uint8_t *octets = (const uint8_t *)text;
	size_t length;
	uint32_t c;

	if (size == 0)
		return 0;
	if (octets[0] < 0x80)
		return is_allowed(octets[0]);
	length = octets[0] >= 0xf0 ? 4 : octets[0] >= 0xe0 ? 3 : 2;
	if (octets[0] < 0xc0 || octets[0] >= 0xf8 || size < length)
		return 0;
	c = octets[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((octets[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (octets[i] & 0x3f);
	}
	return c >= least[length] && is_allowed(c) ? length : 0;
}

bool
xml_is_control(const char *character, size_t octets)
{
	uint8_t first = (uint8_t)character[0];

	if (octets == 1)
		return first < 0x20 || first == 0x7f;
	return octets == 2 && first == 0xc2 && (uint8_t)character[1] < 0xa0;
}

static const char *
entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&apos;";
	default:
		return NULL;
	}
}

void
xml_put_text(struct wire_writer *out, const char *text)
{
	size_t left = strlen(text), length;

	for (; left > 0; text += length, left -= length) {
		const char *name = entity(*text);

		length = xml_character(text, left);
		if (name) {
			text_put(out, name);
		} else if (length) {
			wire_put(out, text, length);
		} else {
			text_put(out, "?");
			length = 1;
		}
	}
}
