/*
 * struct buf: a growing byte string that cannot be made without a maximum. The content is always
 * NUL-terminated (data is "" while empty), so it can be read as a C string. An append that would
 * pass the maximum empties the buffer, and the failure sticks: every later append fails too, so a
 * run of appends needs one check at its end (buf_ok). The model is curl's lib/curlx/dynbuf.h.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct buf {
    char *data;
    size_t len, cap, max;
    bool failed;
};

void buf_init(struct buf *b, size_t max);
/* Frees the content; the buffer can be used again with the same maximum. */
void buf_release(struct buf *b);
/* Empties without freeing. */
void buf_clear(struct buf *b);
#define CLEANUP_BUF __attribute__((cleanup(buf_release)))
#define BUF_INIT(limit)                                                                            \
    {                                                                                              \
        .data = (char *)"", .max = (limit)                                                         \
    }

bool buf_add(struct buf *b, const void *bytes, size_t n);
bool buf_adds(struct buf *b, const char *s);
bool buf_addc(struct buf *b, char c);
bool buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vaddf(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Drops n bytes at the front; n <= len. */
void buf_consume(struct buf *b, size_t n);
static inline bool buf_ok(const struct buf *b)
{
    return !b->failed;
}
/* Hands the content over (never NULL; free it), leaves the buffer empty. */
char *buf_take(struct buf *b);
/* Reads a whole file; ERR_LIMIT past the buffer's maximum, ERR_NOT_FOUND when it is absent. */
WUKONG_CHECK int buf_read_file(struct buf *b, const char *path, struct err *err);

#endif
