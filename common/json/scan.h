/*
 * A strict JSON scanner over bytes: it accepts exactly RFC 8259 with valid UTF-8, within limits.h,
 * and builds nothing. Its one use is json.c, which needs to know the token behind each number.
 */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct json_scan {
    const char *text;
    size_t len, at;
    /* What an API server hands on from whoever wrote it: U+0000, half a surrogate pair and bytes
       that are no UTF-8 are no mistakes, but make the text `odd`. */
    bool data, odd;
    /* Called for each number token, in document order; may be NULL. */
    void (*number)(void *arg, const char *token, size_t n);
    void *arg;
};

/* One whole document, white space around it allowed. */
WUKONG_CHECK int json_scan_document(struct json_scan *s, struct err *err);

/* The text of an odd document with U+FFFD for what made it odd, as Go's encoder writes it. Three
   bytes may come out for each. */
void json_scan_mend(const char *text, size_t len, struct buf *out);

#endif
