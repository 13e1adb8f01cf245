#include "kube/list_splitter.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

/* resourceVersion, continue, remainingItemCount: a few hundred bytes. */
#define METADATA_MAX (64 * KIB)

void list_meta_release(struct list_meta *m)
{
    free(m->resource_version);
    free(m->continue_token);
    *m = (struct list_meta){0};
}

void list_splitter_init(struct list_splitter *s, size_t item_max)
{
    *s = (struct list_splitter){.item_max = item_max};
    buf_init(&s->item, item_max);
    buf_init(&s->metadata, METADATA_MAX);
}

void list_splitter_release(struct list_splitter *s)
{
    buf_release(&s->item);
    buf_release(&s->metadata);
}

void list_splitter_reset(struct list_splitter *s)
{
    list_splitter_release(s);
    list_splitter_init(s, s->item_max);
}

static int malformed(struct err *err, const char *where)
{
    return err_set(err, ERR_INVALID, "malformed list: %s", where);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What does not fit is left out: one large item must not hide the others. */
static void add_to_item(struct list_splitter *s, const char *p, size_t n)
{
    size_t room = s->item.max - s->item.len;
    (void)buf_add(&s->item, p, n < room ? n : room);
}

/*
 * Follows one value. Returns how many bytes belong to it; *ended tells that the last of them closed
 * it. A number or literal outside of all brackets ends *before* a delimiter: then 0 may be
 * returned.
 */
static size_t follow_item(struct list_splitter *s, const char *p, size_t n, bool *ended)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (s->in_string) {
            if (s->escaped)
                s->escaped = false;
            else if (c == '\\')
                s->escaped = true;
            else if (c == '"')
                s->in_string = false;
            else
                continue;
            if (!s->in_string && s->depth == 0) {
                *ended = true;
                return i + 1;
            }
            continue;
        }
        switch (c) {
        case '"':
            s->in_string = true;
            break;
        case '{':
        case '[':
            s->depth++;
            break;
        case '}':
        case ']':
            if (s->depth == 0) { /* the parent's */
                *ended = true;
                return i;
            }
            if (--s->depth == 0) {
                *ended = true;
                return i + 1;
            }
            break;
        case ',':
            if (s->depth == 0) {
                *ended = true;
                return i;
            }
            break;
        default:
            break;
        }
    }
    return n;
}

/* Within a value: takes bytes up to its end. Returns how many were used, or -1. */
static ssize_t take_value(struct list_splitter *s, const char *p, size_t n,
                          int (*item)(void *, const char *, size_t, struct err *), void *arg,
                          struct err *err)
{
    bool ended = false;
    size_t used = follow_item(s, p, n, &ended);
    if (s->state == SPLIT_IN_ITEM)
        add_to_item(s, p, used);
    else if (s->keep && !buf_add(&s->metadata, p, used))
        return err_set(err, ERR_LIMIT, "the list's metadata is longer than %zu bytes",
                       s->metadata.max);
    if (!ended)
        return (ssize_t)used;
    if (s->state == SPLIT_IN_VALUE) {
        s->state = SPLIT_COMMA;
        return (ssize_t)used;
    }
    s->state = SPLIT_ITEM_COMMA;
    s->items++;
    if (item(arg, s->item.data, s->item.len, err) != 0)
        return -1;
    if (s->item.cap > 64 * KIB)
        buf_release(&s->item);
    else
        buf_clear(&s->item);
    return (ssize_t)used;
}

static int in_key(struct list_splitter *s, char c, struct err *err)
{
    if (s->escaped || c == '\\') { /* no member that matters is written with escapes */
        s->escaped = !s->escaped;
        s->key_len = sizeof s->key;
        return 0;
    }
    if (c == '"') {
        s->state = SPLIT_COLON;
        return 0;
    }
    if ((unsigned char)c < 0x20)
        return malformed(err, "control character in a name");
    if (s->key_len < sizeof s->key)
        s->key[s->key_len++] = c;
    return 0;
}

static bool key_is(const struct list_splitter *s, const char *name)
{
    return s->key_len == strlen(name) && memcmp(s->key, name, s->key_len) == 0;
}

static int begin_value(struct list_splitter *s, char c, bool *again, struct err *err)
{
    bool items = key_is(s, "items"), metadata = key_is(s, "metadata");
    if ((items && s->seen_items) || (metadata && s->seen_metadata))
        return malformed(err, "a member occurs twice");
    s->seen_items |= items;
    s->seen_metadata |= metadata;
    if (items && c == '[') {
        s->state = SPLIT_ITEM;
        s->may_close = true;
        return 0;
    }
    if (c == ',' || c == '}' || c == ']')
        return malformed(err, "a value is missing");
    s->keep = metadata; /* "items": null is an empty list, as Go writes it, and skipped */
    s->state = SPLIT_IN_VALUE;
    *again = true;
    return 0;
}

/* One character outside of values. *again: look at it once more in the new state. */
static int between(struct list_splitter *s, char c, bool *again, struct err *err)
{
    switch (s->state) {
    case SPLIT_START:
        if (c != '{')
            return malformed(err, "no object");
        s->state = SPLIT_KEY;
        s->may_close = true;
        return 0;
    case SPLIT_KEY:
        if (c == '}' && s->may_close) {
            s->state = SPLIT_DONE;
            return 0;
        }
        if (c != '"')
            return malformed(err, "a name is missing");
        s->key_len = 0;
        s->state = SPLIT_IN_KEY;
        return 0;
    case SPLIT_COLON:
        if (c != ':')
            return malformed(err, "a colon is missing");
        s->state = SPLIT_VALUE;
        return 0;
    case SPLIT_VALUE:
        return begin_value(s, c, again, err);
    case SPLIT_COMMA:
        if (c != ',' && c != '}')
            return malformed(err, "a comma is missing");
        s->state = c == ',' ? SPLIT_KEY : SPLIT_DONE;
        s->may_close = false;
        return 0;
    case SPLIT_ITEM:
        if (c == ']' && s->may_close) {
            s->state = SPLIT_COMMA;
            return 0;
        }
        if (c != '{')
            return malformed(err, "an item is no object");
        s->state = SPLIT_IN_ITEM;
        *again = true;
        return 0;
    case SPLIT_ITEM_COMMA:
        if (c != ',' && c != ']')
            return malformed(err, "a comma is missing between items");
        s->state = c == ',' ? SPLIT_ITEM : SPLIT_COMMA;
        s->may_close = false;
        return 0;
    default:
        return malformed(err, "bytes after its end");
    }
}

int list_splitter_feed(struct list_splitter *s, const char *bytes, size_t n,
                       int (*item)(void *arg, const char *json, size_t n, struct err *err),
                       void *arg, struct err *err)
{
    for (size_t i = 0; i < n;) {
        if (s->state == SPLIT_IN_VALUE || s->state == SPLIT_IN_ITEM) {
            ssize_t used = take_value(s, bytes + i, n - i, item, arg, err);
            if (used < 0)
                return -1;
            i += (size_t)used;
            continue;
        }
        bool again = false;
        if (s->state == SPLIT_IN_KEY) {
            if (in_key(s, bytes[i], err) != 0)
                return -1;
        } else if (!is_space(bytes[i]) && between(s, bytes[i], &again, err) != 0) {
            return -1;
        }
        i += again ? 0 : 1;
    }
    return 0;
}

int list_splitter_end(struct list_splitter *s, struct list_meta *ret, struct err *err)
{
    if (s->state != SPLIT_DONE)
        return err_set(err, ERR_INVALID, "the list was cut after %llu items",
                       (unsigned long long)s->items);
    CLEANUP_JSON cJSON *tree = NULL;
    if (!s->seen_metadata || json_read(s->metadata.data, s->metadata.len, &tree, err) != 0)
        return err_set(err, ERR_INVALID, "a list without metadata");
    const char *version = json_str(tree, "resourceVersion");
    if (str_empty(version))
        return err_set(err, ERR_INVALID, "a list without resourceVersion");
    const char *token = json_str(tree, "continue");
    *ret = (struct list_meta){.resource_version = xstrdup(version),
                              .continue_token = str_empty(token) ? NULL : xstrdup(token)};
    return 0;
}
