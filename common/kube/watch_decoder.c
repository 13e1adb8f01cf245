#include "kube/watch_decoder.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/pick.h"

void watch_decoder_init(struct watch_decoder *d, size_t line_max)
{
    buf_init(&d->line, line_max);
}

void watch_decoder_release(struct watch_decoder *d)
{
    buf_release(&d->line);
}

void watch_decoder_reset(struct watch_decoder *d)
{
    /* Released, not cleared: one huge object must not hold its memory for ever. */
    buf_release(&d->line);
}

static size_t without_cr(const char *line, size_t n)
{
    return n > 0 && line[n - 1] == '\r' ? n - 1 : n;
}

int watch_decoder_feed(struct watch_decoder *d, const char *bytes, size_t n,
                       int (*line)(void *arg, const char *line, size_t n, struct err *err),
                       void *arg, struct err *err)
{
    while (n > 0) {
        const char *end = memchr(bytes, '\n', n);
        size_t part = end ? (size_t)(end - bytes) : n;
        bool whole = end && d->line.len == 0; /* the usual case needs no copy */
        size_t room = d->line.max - d->line.len, kept = part < room ? part : room;
        if (!whole)
            (void)buf_add(&d->line, bytes, kept);
        if (!end)
            return 0;
        const char *text = whole ? bytes : d->line.data;
        size_t len = without_cr(text, whole ? kept : d->line.len);
        int failed = len > 0 ? line(arg, text, len, err) : 0;
        if (!whole) {
            if (d->line.cap > 64 * KIB)
                buf_release(&d->line);
            else
                buf_clear(&d->line);
        }
        if (failed)
            return -1;
        bytes += part + 1;
        n -= part + 1;
    }
    return 0;
}

int watch_event_read(const char *line, size_t n, struct watch_event *ret, struct err *err)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    static const char *const members[] = {"type", "object"};
    struct json_slice found[ARRAY_LEN(members)];
    struct err why = {0};
    int cut = json_outline(line, n, members, ARRAY_LEN(members), found, &why);
    const struct json_slice *type = &found[0], *object = &found[1];
    size_t i = 0;
    while (i < ARRAY_LEN(types) && !(type->len == strlen(types[i]) + 2 && type->text[0] == '"' &&
                                     memcmp(type->text + 1, types[i], type->len - 2) == 0))
        i++;
    if (i == ARRAY_LEN(types))
        return err_set(err, ERR_INVALID, "watch event of an unknown type");
    if (!object->len || object->text[0] != '{')
        return err_set(err, ERR_INVALID, "watch event without an object");
    /* One whose object reaches to the end was cut off by the limit on lines. */
    if (cut && object->text + object->len != line + n)
        return err_set(err, ERR_INVALID, "watch event: %s", why.message);
    *ret = (struct watch_event){(enum watch_type)i, object->text, object->len};
    return 0;
}
