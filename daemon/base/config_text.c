/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

enum { DEPTH_MAX = 4 }; /* more braces are nothing that libconfuse takes */

struct scanner {
	struct config_text *out;
	struct complaint *complaint;
	char *at;
	unsigned line;
	unsigned word_line; /* where the last word or string began */
	bool in_word;
	bool value_next; /* the last thing but space and comments was a = */
	unsigned depth;
	unsigned opened;	  /* line of the outermost open brace */
	unsigned word[DEPTH_MAX]; /* before each open brace */
};

bool
complain(struct complaint *complaint, unsigned line, const char *format, ...)
{
	if (complaint->made)
		return false;
	complaint->made = true;
	char message[1024];
	va_list ap;
	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	if (line > 0)
		snprintf(complaint->text, complaint->size, "%s:%u: %s", complaint->path, line,
			 message);
	else
		snprintf(complaint->text, complaint->size, "%s: %s", complaint->path, message);
	return false;
}

static bool
is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* From the opening quote to the closing one. */
static bool
scan_string(struct scanner *s)
{
	char quote = *s->at++;
	if (*s->at == quote && !s->value_next) /* as a key, libconfuse refuses it without a word */
		return complain(s->complaint, s->line, "empty string, expected a key or a title");
	s->value_next = false;
	s->word_line = s->line;
	for (; *s->at != quote; s->at++) {
		if (*s->at == '\0' || *s->at == '\n')
			return complain(
			    s->complaint, s->line,
			    "unterminated string, expected %c before the end of the line", quote);
		if (is_control(*s->at))
			return complain(s->complaint, s->line, "control character %d in a string",
					*s->at);
		if (quote == '"' && s->at[0] == '$' && s->at[1] == '{')
			return complain(
			    s->complaint, s->line,
			    "\"${\" is not expanded, expected it in '…' if it is meant");
		if (*s->at != '\\')
			continue;
		if (s->at[1] == quote || s->at[1] == '\\')
			s->at++;
		else if (quote == '"')
			return complain(s->complaint, s->line,
					"unknown escape in a string, expected \\\" or \\\\");
	}
	return true;
}

static void
blank_line(struct scanner *s)
{
	for (; s->at[1] != '\n' && s->at[1] != '\0'; s->at++)
		*s->at = ' ';
	*s->at = ' ';
}

static bool
blank_block(struct scanner *s)
{
	unsigned begin = s->line;
	char *end = strstr(s->at + 2, "*/");
	if (!end)
		return complain(s->complaint, begin, "unterminated comment, expected */");
	for (; s->at < end + 2; s->at++) {
		if (*s->at == '\n')
			s->line++;
		else
			*s->at = ' ';
	}
	s->at--;
	return true;
}

static bool
open_brace(struct scanner *s)
{
	if (s->depth == DEPTH_MAX)
		return complain(s->complaint, s->line, "unexpected '{', expected }");
	if (s->depth == 0)
		s->opened = s->line;
	s->word[s->depth++] = s->word_line;
	return true;
}

static void
close_brace(struct scanner *s)
{
	if (s->depth == 0)
		return;
	s->depth--;
	struct config_text *out = s->out;
	unsigned *section = realloc(out->section, (out->sections + 1) * sizeof(*section));
	if (!section)
		fatal("out of memory");
	section[out->sections++] = s->word[s->depth];
	out->section = section;
}

static bool
scan_word(struct scanner *s)
{
	if (!s->in_word && s->at[0] == '/' && s->at[1] == '/') {
		blank_line(s);
		return true;
	}
	if (!s->in_word && s->at[0] == '/' && s->at[1] == '*')
		return blank_block(s);
	if (s->at[0] == '$' && s->at[1] == '{')
		return complain(s->complaint, s->line,
				"\"${\" is not expanded, expected it in '…' if it is meant");
	/* libconfuse drops the first two without a word, and a ; would become part of the value. */
	if (strchr("*+;", *s->at) || is_control(*s->at))
		return complain(s->complaint, s->line,
				is_control(*s->at)
				    ? "control character %d outside of a string"
				    : "unexpected '%c', expected it in quotes if it is meant",
				*s->at);
	if (!s->in_word)
		s->word_line = s->line;
	s->in_word = true;
	s->value_next = false;
	return true;
}

/* One step of the scan; *at is not NUL. */
static bool
scan(struct scanner *s)
{
	bool ok = true;
	switch (*s->at) {
	case '\n':
		s->line++;
		break;
	case ' ':
	case '\t':
	case '\r':
		break;
	case '=':
		s->value_next = true;
		break;
	case '#':
		blank_line(s);
		break;
	case '"':
	case '\'':
		ok = scan_string(s);
		break;
	case '{':
		ok = open_brace(s);
		break;
	case '}':
		close_brace(s);
		break;
	default:
		return scan_word(s);
	}
	s->in_word = false;
	return ok;
}

static bool
load(struct config_text *out, int fd, size_t *length, struct complaint *complaint)
{
	out->text = malloc(CONFIG_TEXT_MAX + 1);
	if (!out->text)
		fatal("out of memory");
	FILE *file = fd < 0 ? fopen(complaint->path, "re") : fdopen(fd, "r");
	if (!file || (fd >= 0 && fseek(file, 0, SEEK_SET) < 0))
		return complain(complaint, 0, "cannot open: %s", strerror(errno));
	*length = fread(out->text, 1, CONFIG_TEXT_MAX + 1, file);
	int error = ferror(file) ? errno : 0;
	fclose(file);
	if (error)
		return complain(complaint, 0, "cannot read: %s", strerror(error));
	if (*length > CONFIG_TEXT_MAX)
		return complain(complaint, 0, "larger than %d octets", CONFIG_TEXT_MAX);
	out->text[*length] = '\0';
	return true;
}

bool
config_text_read(struct config_text *out, int fd, struct complaint *complaint)
{
	*out = (struct config_text){.lines = 1};
	size_t length = 0;
	if (!load(out, fd, &length, complaint))
		return false;
	struct scanner s = {.out = out, .complaint = complaint, .at = out->text, .line = 1};
	for (; *s.at != '\0'; s.at++) {
		if (!scan(&s))
			return false;
	}
	if (s.at != out->text + length)
		return complain(complaint, s.line, "NUL octet, expected text");
	out->lines = s.line - (s.line > 1 && s.at[-1] == '\n');
	if (s.depth > 0)
		return complain(complaint, out->lines,
				"end of file, expected } of the section of line %u", s.opened);
	return true;
}

void
config_text_clear(struct config_text *text)
{
	free(text->text);
	free(text->section);
}
