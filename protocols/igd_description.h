/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the gateway device is and does, in XML, from the table (Device Architecture 2).  Pure. */
#ifndef PORTLEASE_IGD_DESCRIPTION_H
#define PORTLEASE_IGD_DESCRIPTION_H

#include <stddef.h>

#include "igd_table.h"

/* Room for any document whose texts are of the lengths below. */
enum { IGD_DOCUMENT_MAX = 16384 };

/*
 * Who the device says it is.  Texts are escaped here; NULL or empty: not said, but the first three
 * and the UDNs must be.
 */
struct igd_identity {
	const char *friendly_name; /* less than 64 characters */
	const char *manufacturer;  /* less than 64 */
	const char *model_name;	   /* less than 32 */
	const char *model_number;  /* less than 32 */
	const char *serial_number; /* less than 64 */
	const char *presentation_url;
	const char *udn[IGD_DEVICES]; /* "uuid:…" */
	uint32_t config_id;	      /* of SSDP's CONFIGID; only view 2 knows it */
};

/* Both return the length, 0 if it does not fit; no NUL is added. */
size_t igd_describe_device(const struct igd_identity *, enum igd_view, char *out, size_t size);
size_t igd_describe_service(enum igd_service, enum igd_view, uint32_t config_id, char *out,
			    size_t size);

#endif
