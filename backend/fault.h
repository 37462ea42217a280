/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a call of the backend failed, in words for the log.  The number is what the call returned
 * (-errno). */
#ifndef PORTLEASE_FAULT_H
#define PORTLEASE_FAULT_H

struct fault {
	char text[160]; /* "cannot open netlink socket: Operation not permitted" */
};

/* Fills *fault (may be NULL) and returns -error, so that callers can write: return fault_set(fault,
 * errno, "cannot …"). */
int fault_set(struct fault *, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
