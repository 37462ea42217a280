/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: lines "topic: event key=value …" to standard error with the severity prefixes journald
 * reads, or to syslog. What a LAN host can trigger goes through log_limited().
 */
#ifndef PORTLEASE_LOG_H
#define PORTLEASE_LOG_H

#include "../../protocols/mapping.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVELS };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

/* Before the first call: INFO to standard error. */
void log_open(enum log_target, enum log_level);
bool log_enabled(enum log_level);

/* topic: a module's word ("lease"); event: what happened ("granted"); format: "key=value …" or "".
 */
void log_error(const char *topic, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_warning(const char *topic, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_info(const char *topic, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_debug(const char *topic, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A token bucket for lines a LAN host can trigger: LOG_BURST at once, LOG_PER_SECOND lastingly.
 * Zero-initialise. */
enum { LOG_BURST = 200, LOG_PER_SECOND = 20 };
struct log_limit {
	monotime since;	     /* when the bucket was last filled */
	uint32_t spent;	     /* tokens gone */
	uint32_t suppressed; /* lines not written since the last one; told with the next */
};
/* May one more line be written now?  If so the line "log: suppressed lines=N" is written first
 * where N > 0. */
bool log_limited(struct log_limit *, enum log_level, monotime now);
void log_line(enum log_level, const char *topic, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Says why and exits with 1.  Only before READY. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
