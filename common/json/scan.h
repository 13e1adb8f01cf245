/*
 * A strict JSON scanner over bytes: it accepts exactly RFC 8259 with valid UTF-8, within limits.h,
 * and builds nothing. Its one use is json_parse, which needs to know the token behind each number.
 */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stddef.h>

#include "base/err.h"

struct json_scan {
    const char *text;
    size_t len, at;
    /* Called for each number token, in document order; may be NULL. */
    void (*number)(void *arg, const char *token, size_t n);
    void *arg;
};

/* One whole document, white space around it allowed. */
WUKONG_CHECK int json_scan_document(struct json_scan *s, struct err *err);

#endif
