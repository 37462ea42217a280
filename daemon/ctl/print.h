/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers as an admin reads them, on standard output.  Texts of clients come out harmless for a
 * terminal. */
#ifndef PORTLEASE_CTL_PRINT_H
#define PORTLEASE_CTL_PRINT_H

#include "../../protocols/control.h"

void print_list(const struct control_lease *, size_t count);
void print_lease(const struct control_lease *);
void print_status(const struct control_status *);

#endif
