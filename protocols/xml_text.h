/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text as XML 1.0 takes it: well-formed UTF-8 of characters that a document may hold. */
#ifndef PORTLEASE_XML_TEXT_H
#define PORTLEASE_XML_TEXT_H

#include "wire.h"

/* Octets of the character that text begins with; 0: none that XML allows. */
size_t xml_character(const char *text, size_t size);

/* Would that character end a line or steer a terminal (C0, DEL, C1)? */
bool xml_is_control(const char *character, size_t octets);

/* Anybody's text, escaped.  What is no character of XML becomes '?'. */
void xml_put_text(struct wire_writer *, const char *text);

#endif
