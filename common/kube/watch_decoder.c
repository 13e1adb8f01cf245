#include "kube/watch_decoder.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

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
        if (part > d->line.max - d->line.len ||
            (!whole && part > 0 && !buf_add(&d->line, bytes, part)))
            return err_set(err, ERR_LIMIT, "a watch event is longer than %zu bytes", d->line.max);
        if (!end)
            return 0;
        const char *text = whole ? bytes : d->line.data;
        size_t len = without_cr(text, whole ? part : d->line.len);
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

int watch_event_parse(const char *line, size_t n, struct watch_event *ret, struct err *err)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    CLEANUP_JSON cJSON *tree = NULL;
    if (json_parse(line, n, true, &tree, err) != 0)
        return err_wrap(err, "watch event");
    const char *type = json_str(tree, "type");
    const cJSON *object = json_get(tree, "object");
    size_t i = 0;
    while (i < ARRAY_LEN(types) && !str_eq(type, types[i]))
        i++;
    if (i == ARRAY_LEN(types))
        return err_set(err, ERR_INVALID, "watch event of an unknown type");
    if (!cJSON_IsObject(object))
        return err_set(err, ERR_INVALID, "watch event without an object");
    *ret = (struct watch_event){.type = (enum watch_type)i, .tree = tree, .object = object};
    tree = NULL;
    return 0;
}

void watch_event_release(struct watch_event *e)
{
    cJSON_Delete(e->tree);
    *e = (struct watch_event){0};
}
