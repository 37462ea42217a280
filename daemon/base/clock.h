/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one clock of a process; read in main and front ends only, an argument everywhere else. */
#ifndef PORTLEASE_CLOCK_H
#define PORTLEASE_CLOCK_H

#include "../../protocols/mapping.h"

/* Milliseconds; never steps, counts suspended time. */
monotime clock_now(void);

#endif
