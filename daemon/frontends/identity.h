/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * By what UPnP clients know the gateway again: a uuid made once, and a BOOTID that only rises (UPnP
 * Device Architecture 1.1, 1.2.2).  Two small files of the state directory, replaced as a whole.
 */
#ifndef PORTLEASE_IDENTITY_H
#define PORTLEASE_IDENTITY_H

#include <stdint.h>

enum { IDENTITY_UUID_SIZE = 37 };

struct identity {
	char uuid[IDENTITY_UUID_SIZE]; /* lower case */
	uint32_t boot_id;	       /* the last one; 31 bits */
	int directory;
};

/*
 * uuid: the configured one, "" = the one kept, or a new one.  What cannot be read is made anew,
 * what cannot be written is logged: there is always an identity.
 */
void identity_open(struct identity *, const char *directory, const char *uuid);
void identity_close(struct identity *);

/* Above all before: from the next after the last one, or from now (seconds of the calendar) if that
 * is later. */
uint32_t identity_next_boot_id(struct identity *, int64_t now);

#endif
