/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Composes lines and writes each with one call; decides nothing. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 };
#define ELLIPSIS "\xe2\x80\xa6"

static const int severity[LOG_LEVELS] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

static struct {
	enum log_target target;
	enum log_level level;
	enum { PREFIX_UNKNOWN, PREFIX_NO, PREFIX_YES } prefix;
} sink = {.level = LOG_LEVEL_INFO};

void
log_open(enum log_target target, enum log_level level)
{
	if (target == LOG_TARGET_SYSLOG)
		openlog(NULL, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	sink.target = target;
	sink.level = level;
	sink.prefix = PREFIX_UNKNOWN;
}

bool
log_enabled(enum log_level level)
{
	return level <= sink.level;
}

/* Nothing in a line may end it or steer a terminal: C0, DEL, and C1 as UTF-8 writes it (C2 80 to C2
 * 9F). */
static void
disarm(char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];
		if (c < 0x20 || c == 0x7f)
			text[i] = '?';
		else if (c == 0xc2 && next >= 0x80 && next <= 0x9f)
			text[i] = text[i + 1] = '?';
	}
}

struct line {
	char text[LINE_SIZE];
	size_t length; /* as wanted: may exceed what text holds */
};

static void __attribute__((format(printf, 2, 0)))
append(struct line *line, const char *format, va_list arguments)
{
	if (line->length >= LINE_SIZE)
		return;
	int n = vsnprintf(line->text + line->length, LINE_SIZE - line->length, format, arguments);
	line->length += n > 0 ? (size_t)n : 0;
}

static void __attribute__((format(printf, 2, 3)))
appendf(struct line *line, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	append(line, format, arguments);
	va_end(arguments);
}

/* Cut to leave room for the newline; not within a character. */
static void
finish(struct line *line)
{
	if (line->length >= LINE_SIZE) {
		size_t end = LINE_SIZE - 1 - strlen(ELLIPSIS);
		while (end > 0 && ((unsigned char)line->text[end] & 0xc0) == 0x80)
			end--;
		memcpy(line->text + end, ELLIPSIS, sizeof(ELLIPSIS));
		line->length = end + strlen(ELLIPSIS);
	}
	disarm(line->text, line->length);
}

static void
begin(struct line *line, enum log_target target, enum log_level level)
{
	line->length = 0;
	if (sink.prefix == PREFIX_UNKNOWN)
		sink.prefix = isatty(STDERR_FILENO) ? PREFIX_NO : PREFIX_YES;
	if (target == LOG_TARGET_STDERR && sink.prefix == PREFIX_YES)
		appendf(line, "<%d>", severity[level]);
}

static void
emit(struct line *line, enum log_target target, enum log_level level)
{
	finish(line);
	if (target == LOG_TARGET_SYSLOG) {
		syslog(severity[level], "%s", line->text);
		return;
	}
	line->text[line->length] = '\n';
	/* There is nobody to tell that the log cannot be written. */
	ssize_t written = write(STDERR_FILENO, line->text, line->length + 1);
	(void)written;
}

static void __attribute__((format(printf, 4, 0)))
log_arguments(enum log_level level, const char *topic, const char *event, const char *format,
	      va_list arguments)
{
	if (!log_enabled(level))
		return;
	int saved = errno;
	struct line line;
	begin(&line, sink.target, level);
	appendf(&line, "%s: %s%s", topic, event, format[0] ? " " : "");
	append(&line, format, arguments);
	emit(&line, sink.target, level);
	errno = saved;
}

void
log_line(enum log_level level, const char *topic, const char *event, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	log_arguments(level, topic, event, format, arguments);
	va_end(arguments);
}

#define LOG_FUNCTION(name, level)                                                \
	void name(const char *topic, const char *event, const char *format, ...) \
	{                                                                        \
		va_list arguments;                                               \
		va_start(arguments, format);                                     \
		log_arguments(level, topic, event, format, arguments);           \
		va_end(arguments);                                               \
	}
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

/* One token comes back each TOKEN_TIME. */
static void
refill(struct log_limit *limit, monotime now)
{
	const monotime token_time = MONOTIME_SECOND / LOG_PER_SECOND;
	monotime back = (now - limit->since) / token_time;
	if (back >= (monotime)limit->spent) {
		limit->spent = 0;
		limit->since = now;
	} else if (back > 0) {
		limit->spent -= (uint32_t)back;
		limit->since += back * token_time;
	}
}

bool
log_limited(struct log_limit *limit, enum log_level level, monotime now)
{
	if (!log_enabled(level))
		return false;
	refill(limit, now);
	if (limit->spent >= LOG_BURST) {
		limit->suppressed += limit->suppressed < UINT32_MAX;
		return false;
	}
	limit->spent++;
	if (limit->suppressed > 0)
		log_line(level, "log", "suppressed", "lines=%u", limit->suppressed);
	limit->suppressed = 0;
	return true;
}

/* Whoever started the program watches standard error; a log in syslog gets it too. */
void
fatal(const char *format, ...)
{
	for (enum log_target target = LOG_TARGET_STDERR; target <= sink.target; target++) {
		struct line line;
		begin(&line, target, LOG_LEVEL_ERROR);
		appendf(&line, "%s: ", program_invocation_short_name);
		va_list arguments;
		va_start(arguments, format);
		append(&line, format, arguments);
		va_end(arguments);
		emit(&line, target, LOG_LEVEL_ERROR);
	}
	exit(1);
}
