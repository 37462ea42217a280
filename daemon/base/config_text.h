/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a config file before libconfuse sees it.  Refuses what libconfuse would change or
 * drop without a word, blanks comments (it miscounts lines after them), and remembers where
 * sections begin.  Knows no key.
 */
#ifndef PORTLEASE_CONFIG_TEXT_H
#define PORTLEASE_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { CONFIG_TEXT_MAX = 1 << 20 }; /* octets */

/* Where the first complaint goes; later ones are dropped. */
struct complaint {
	const char *path;
	char *text;
	size_t size;
	bool made;
};

/* "PATH:LINE: …", or "PATH: …" with line 0.  Always false. */
bool complain(struct complaint *, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct config_text {
	char *text;	/* ended by NUL, without comments */
	unsigned lines; /* at least 1 */
	/* Line of the word before each section's brace: its title, else its name; in the order in
	 * which they close. */
	unsigned *section;
	size_t sections;
};

/* fd: an open file instead of the one at the complaint's path, or -1; closed here.  False:
 * complained.  Either way to be cleared. */
bool config_text_read(struct config_text *, int fd, struct complaint *);
void config_text_clear(struct config_text *);

#endif
