/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One datagram as the 5351 codecs see it, and what decoding it came to. */
#ifndef PORTLEASE_DATAGRAM_H
#define PORTLEASE_DATAGRAM_H

#include "mapping.h"

struct datagram {
	const uint8_t *bytes;
	size_t size; /* of the datagram on the wire: may exceed what was kept */
	size_t kept; /* octets at bytes, <= size */
	struct address source;
	uint16_t source_port;
};

enum decode_result {
	DECODE_OK,     /* map_request is filled: ask the core */
	DECODE_REJECT, /* map_reply.result is filled: encode it at once (the caller sets the epoch)
			*/
	DECODE_IGNORE, /* no answer */
};

/* Largest PCP message (RFC 6887 7), and the largest answer of either codec. */
enum { DATAGRAM_MAX = 1100 };

#endif
