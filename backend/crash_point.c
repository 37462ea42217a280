/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crash_point.h"

void
crash_point(const char *name)
{
	(void)name;
}
