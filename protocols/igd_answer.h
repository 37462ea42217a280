/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a control point is told: SOAP answers and faults (Device Architecture 3.2), values of
 * events.  Pure.
 */
#ifndef PORTLEASE_IGD_ANSWER_H
#define PORTLEASE_IGD_ANSWER_H

#include "igd_mapping.h"

/* What answers and events tell.  Only what is asked for needs to be set. */
struct igd_values {
	const char *connection_udn;    /* of the WANConnectionDevice: "uuid:…" */
	uint64_t upstream, downstream; /* bit/s */
	bool link_up;
	uint64_t bytes_sent, bytes_received, packets_sent, packets_received; /* told modulo 2^32 */
	bool connected;
	uint32_t uptime;	 /* seconds */
	struct address external; /* unspecified: not known, told as an empty string */
	uint32_t entries;
	uint32_t system_update_id;
	struct igd_entry entry; /* AddAny: external_port is the reserved port */
};

/* Room for any message but a list. */
enum { IGD_ANSWER_MAX = 4096, IGD_VALUE_MAX = 256 };

/* All return the length, 0 if it does not fit; no NUL is added. */
size_t igd_encode_answer(const struct igd_call *, const struct igd_values *, char *out,
			 size_t size);
/* error: neither IGD_OK nor IGD_BAD_REQUEST, which have no such body. */
size_t igd_encode_fault(enum igd_error, char *out, size_t size);

/* The answer to GetListOfPortMappings in pieces: the start, any number of entries, the end. */
size_t igd_encode_list_start(const struct igd_call *, char *out, size_t size);
size_t igd_encode_list_entry(const struct igd_entry *, char *out, size_t size);
size_t igd_encode_list_end(const struct igd_call *, char *out, size_t size);

unsigned igd_http_status(enum igd_error);

/* The value of an evented variable, with a NUL that is not counted. */
size_t igd_print_value(enum igd_variable, enum igd_view, const struct igd_values *, char *out,
		       size_t size);

#endif
