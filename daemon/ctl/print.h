/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers as an admin reads them, on standard output.  Texts of clients come out harmless for a
 * terminal. */
#ifndef PORTLEASE_CTL_PRINT_H
#define PORTLEASE_CTL_PRINT_H

#include "../../protocols/control.h"

/* Each lease's sessions stand together, in the order of the leases. */
struct print_sessions {
	const struct control_session *item;
	size_t count;
};
void print_list(const struct control_lease *, size_t count, struct print_sessions);
void print_lease(const struct control_lease *, struct print_sessions);
void print_status(const struct control_status *);

#endif
