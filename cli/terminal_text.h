/*
 * Text for terminals: how wide it is, cut and wrapped to columns, and without anything that a
 * terminal would obey. What comes out of a cluster (messages, names) was written by others: an
 * escape sequence in it is never passed on. Pure.
 */
#ifndef CLI_TERMINAL_TEXT_H
#define CLI_TERMINAL_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* How long until then: "45s", "3h20m", from two days on "12d". */
#define TERMINAL_TEXT_WAIT_MAX 32
void terminal_text_wait(int64_t ms, char out[TERMINAL_TEXT_WAIT_MAX]);

unsigned terminal_text_columns(const char *text);
/* At most so many columns; what is cut is marked by its last column ("…", or "~" in ASCII). */
void terminal_text_add_cut(struct buf *out, const char *text, unsigned columns, bool ascii);
/* The same, and filled up with spaces. */
void terminal_text_add_padded(struct buf *out, const char *text, unsigned columns, bool ascii);
/* All of it, on one line. */
void terminal_text_add(struct buf *out, const char *text);
/* Lines of at most so many columns, broken at spaces where there are some, each after indent
   spaces; at most lines_max lines (the last is cut), returns how many. columns > indent. */
unsigned terminal_text_add_wrapped(struct buf *out, const char *text, unsigned columns,
                                   unsigned indent, unsigned lines_max, bool ascii);

#endif
