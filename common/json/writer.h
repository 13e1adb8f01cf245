/*
 * struct json_writer: writes JSON into a struct buf, commas and escapes included. Failure is the
 * buffer's (buf_ok). Calls must nest; the writer asserts it.
 *
 *     struct json_writer w = json_writer(&out);
 *     json_object(&w, NULL);
 *     json_string(&w, "phase", "Cloning");
 *     json_end(&w);
 *
 * `key` is the member's name inside an object and NULL inside an array or at the top.
 */
#ifndef JSON_WRITER_H
#define JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

#define JSON_WRITER_DEPTH 32

struct json_writer {
    struct buf *out;
    unsigned depth;
    char close[JSON_WRITER_DEPTH];
    bool filled[JSON_WRITER_DEPTH + 1];
};

static inline struct json_writer json_writer(struct buf *out)
{
    return (struct json_writer){.out = out};
}
void json_object(struct json_writer *w, const char *key);
void json_array(struct json_writer *w, const char *key);
void json_end(struct json_writer *w);
/* A NULL value writes nothing at all, so that optional members need no branch. */
void json_string(struct json_writer *w, const char *key, const char *value);
void json_stringf(struct json_writer *w, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void json_number(struct json_writer *w, const char *key, int64_t value);
void json_boolean(struct json_writer *w, const char *key, bool value);
/* Text that is JSON already; NULL writes nothing. */
void json_raw(struct json_writer *w, const char *key, const char *json);
void json_tree(struct json_writer *w, const char *key, const cJSON *tree);
/* Appends one quoted and escaped string. */
void json_quote(struct buf *out, const char *s);

#endif
