/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NAT-PMP, version 0 (RFC 6886): datagrams to requests and back.  Pure. */
#ifndef PORTLEASE_NATPMP_H
#define PORTLEASE_NATPMP_H

#include "datagram.h"

/*
 * Reads a datagram whose first octet is 0.  OK: *request is filled; REJECT: *reply has the result
 * (an unsupported opcode, a map of internal port 0: section 3.5).  Overwrites all of *request: the
 * front end sets its fields after it.
 */
enum decode_result natpmp_decode(const struct datagram *, struct map_request *request,
				 struct map_reply *reply);

/* The answer to a datagram; request as natpmp_decode() left it.  Returns its length, 0 if it does
 * not fit. */
size_t natpmp_encode(const struct datagram *, const struct map_request *request,
		     const struct map_reply *reply, uint8_t *out, size_t size);

/* The eight octets for a version we do not speak while PCP is off (3.5). */
size_t natpmp_encode_bad_version(uint32_t epoch, uint8_t *out, size_t size);

/* The announcement of 3.2.1; an unspecified address is announced as a network failure. */
size_t natpmp_encode_announcement(const struct address *external, uint32_t epoch, uint8_t *out,
				  size_t size);

#endif
