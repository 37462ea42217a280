/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts a failed call of the backend into words. */
#include "fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
fault_set(struct fault *fault, int error, const char *format, ...)
{
	va_list arguments;
	int used;

	if (!fault)
		return -error;
	va_start(arguments, format);
	used = vsnprintf(fault->text, sizeof(fault->text), format, arguments);
	va_end(arguments);
	if (used >= 0 && (size_t)used < sizeof(fault->text))
		snprintf(fault->text + used, sizeof(fault->text) - (size_t)used, ": %s",
			 strerror(error));
	return -error;
}
