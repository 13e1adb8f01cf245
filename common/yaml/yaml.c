#include "yaml/yaml.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"
#include "yaml/reader.h"
#include "yaml/resolve.h"

#define YAML_DOCUMENTS_MAX 10000
#define YAML_TAG "tag:yaml.org,2002:"

/* --- Scalars --- */

static bool is_tag(const yaml_char_t *tag, const char *name)
{
    const char *t = (const char *)tag;
    return t && str_starts(t, YAML_TAG) && str_eq(t + strlen(YAML_TAG), name);
}

/* Does the tag or the quoting say that the text is a string? */
static bool is_text(const yaml_event_t *e)
{
    const yaml_char_t *tag = e->data.scalar.tag;
    if (!tag || !*tag)
        return !e->data.scalar.plain_implicit;
    return !is_tag(tag, "int") && !is_tag(tag, "float") && !is_tag(tag, "bool") &&
           !is_tag(tag, "null");
}

static bool fits_tag(const yaml_char_t *tag, enum yaml_scalar kind)
{
    if (!tag || !*tag)
        return true;
    if (is_tag(tag, "null"))
        return kind == YAML_SCALAR_NULL;
    if (is_tag(tag, "bool"))
        return kind == YAML_SCALAR_BOOLEAN;
    return kind == YAML_SCALAR_NUMBER;
}

static int read_scalar(struct reader *r, cJSON **ret)
{
    const yaml_event_t *e = &r->event;
    const char *text = (const char *)e->data.scalar.value;
    struct yaml_mark at = reader_mark(&e->start_mark);
    if (strlen(text) != e->data.scalar.length)
        return reader_fail(r, at, ERR_INVALID, "a string must not contain the character \\0");
    if (is_tag(e->data.scalar.tag, "binary"))
        return reader_fail(r, at, ERR_INVALID,
                           "!!binary has no equal in JSON; write the base64 text without the tag");
    if (is_text(e)) {
        *ret = cJSON_CreateString(text);
        if (!*ret)
            abort();
        return 0;
    }
    CLEANUP_JSON cJSON *node = NULL;
    enum yaml_scalar kind = yaml_resolve(text, &node);
    if (kind == YAML_SCALAR_BAD)
        return reader_fail(r, at, ERR_INVALID, "%s has no equal in JSON; put it in quotes", text);
    if (kind == YAML_SCALAR_MERGE)
        return reader_fail(r, at, ERR_INVALID, "<< can only be a key");
    if (!fits_tag(e->data.scalar.tag, kind))
        return reader_fail(r, at, ERR_INVALID, "\"%.64s\" is not of the type its tag says", text);
    *ret = TAKE(node);
    return 0;
}

/* --- Collections --- */

static int read_node(struct reader *r, size_t depth, cJSON **ret);

static int read_sequence(struct reader *r, size_t depth, cJSON *array)
{
    for (;;) {
        if (reader_next(r) < 0)
            return -1;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        cJSON *item = NULL;
        if (read_node(r, depth + 1, &item) < 0)
            return -1;
        if (!cJSON_AddItemToArray(array, item))
            abort();
    }
}

/* A member of the map that is read. */
struct seen {
    char *key;
    cJSON *value; /* NULL: none yet */
    bool written; /* as against one that a merge brought */
    UT_hash_handle hh;
};

struct mapping {
    cJSON *object;
    struct seen *seen;
    size_t written_count;
};

static struct seen *seen_get(struct mapping *m, const char *key)
{
    struct seen *s = NULL;
    HASH_FIND_STR(m->seen, key, s);
    if (s)
        return s;
    s = xcalloc(1, sizeof(*s));
    s->key = xstrdup(key);
    HASH_ADD_KEYPTR(hh, m->seen, s->key, strlen(s->key), s);
    return s;
}

static void mapping_release(struct mapping *m)
{
    struct seen *s, *next_seen;
    HASH_ITER (hh, m->seen, s, next_seen) {
        HASH_DEL(m->seen, s);
        free(s->key);
        free(s);
    }
}

static void bury(struct reader *r, cJSON *node)
{
    if (!cJSON_AddItemToArray(r->graveyard, node))
        abort();
}

/* Adds, or replaces what a merge has brought. */
static void set_member(struct reader *r, struct mapping *m, struct seen *s, cJSON *value)
{
    if (s->value)
        bury(r, cJSON_DetachItemViaPointer(m->object, s->value));
    s->value = value;
    if (!cJSON_AddItemToObject(m->object, s->key, value))
        abort();
}

static int merge_map(struct reader *r, struct mapping *m, const cJSON *from)
{
    const cJSON *member;
    cJSON_ArrayForEach (member, from) {
        struct yaml_mark value = {0}, key = {0};
        if (source_map_get(r->places, member, false, &value))
            (void)source_map_get(r->places, member, true, &key);
        cJSON *copy = cJSON_Duplicate(member, true);
        if (!copy)
            abort();
        set_member(r, m, seen_get(m, member->string), copy);
        if (anchor_copy_places(r, member, copy, value, 0) < 0)
            return -1;
        source_map_add(r->places, copy, value, key);
    }
    return 0;
}

static int read_merge(struct reader *r, struct mapping *m, size_t depth)
{
    struct yaml_mark at = reader_mark(&r->event.start_mark);
    cJSON *value = NULL;
    if (reader_next(r) < 0 || read_node(r, depth + 1, &value) < 0)
        return -1;
    bury(r, value);
    if (cJSON_IsObject(value))
        return merge_map(r, m, value);
    if (!cJSON_IsArray(value))
        return reader_fail(r, at, ERR_INVALID, "<< needs a map or a list of maps");
    /* Earlier maps of the list win, so they come last. */
    const cJSON *first = value->child;
    for (const cJSON *item = first ? first->prev : NULL; item;
         item = item == first ? NULL : item->prev) {
        if (!cJSON_IsObject(item))
            return reader_fail(r, at, ERR_INVALID, "<< needs a map or a list of maps");
        if (merge_map(r, m, item) < 0)
            return -1;
    }
    return 0;
}

static int read_key(struct reader *r, char **ret)
{
    const yaml_event_t *e = &r->event;
    struct yaml_mark at = reader_mark(&e->start_mark);
    if (e->type != YAML_SCALAR_EVENT)
        return reader_fail(r, at, ERR_INVALID, "a key must be a plain word");
    const char *text = (const char *)e->data.scalar.value;
    if (strlen(text) != e->data.scalar.length)
        return reader_fail(r, at, ERR_INVALID, "a key must not contain the character \\0");
    *ret = is_text(e) ? xstrdup(text) : yaml_resolve_key(text);
    if (!*ret)
        return reader_fail(r, at, ERR_INVALID, "\"%.64s\" cannot be a key; put it in quotes", text);
    return 0;
}

static bool is_merge(const yaml_event_t *e)
{
    return e->type == YAML_SCALAR_EVENT && str_eq((const char *)e->data.scalar.value, "<<") &&
           (e->data.scalar.plain_implicit || is_tag(e->data.scalar.tag, "merge"));
}

static int read_member(struct reader *r, struct mapping *m, size_t depth)
{
    struct yaml_mark at = reader_mark(&r->event.start_mark), value_at = {0};
    CLEANUP_FREE char *key = NULL;
    if (is_merge(&r->event))
        return read_merge(r, m, depth);
    if (read_key(r, &key) < 0)
        return -1;
    struct seen *s = seen_get(m, key);
    if (s->written)
        return reader_fail(r, at, ERR_INVALID, "the key \"%.64s\" stands here twice; remove one",
                           key);
    if (++m->written_count > LIMIT_JSON_MEMBERS)
        return reader_fail(r, at, ERR_LIMIT, "a map has more than %d keys", LIMIT_JSON_MEMBERS);
    s->written = true;
    cJSON *value = NULL;
    if (reader_next(r) < 0 || read_node(r, depth + 1, &value) < 0)
        return -1;
    if (source_map_get(r->places, value, false, &value_at))
        source_map_add(r->places, value, value_at, at);
    set_member(r, m, s, value);
    return 0;
}

static int read_mapping(struct reader *r, size_t depth, cJSON *object)
{
    CLEANUP(mapping_release) struct mapping m = {.object = object};
    for (;;) {
        if (reader_next(r) < 0)
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (read_member(r, &m, depth) < 0)
            return -1;
    }
}

static const char *anchor_name(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return (const char *)e->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return (const char *)e->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return (const char *)e->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

/* The node that the current event begins. */
static int read_node(struct reader *r, size_t depth, cJSON **ret)
{
    struct yaml_mark at = reader_mark(&r->event.start_mark);
    const char *name = anchor_name(&r->event);
    struct anchor *anchor = name ? anchor_open(r, name) : NULL;
    if (depth > LIMIT_JSON_DEPTH)
        return reader_fail(r, at, ERR_LIMIT, "nested deeper than %d levels", LIMIT_JSON_DEPTH);
    if (r->event.type == YAML_ALIAS_EVENT)
        return anchor_read_alias(r, depth, ret);
    if (reader_count(r, at) < 0)
        return -1;
    CLEANUP_JSON cJSON *node = NULL;
    int result = 0;
    if (r->event.type == YAML_SCALAR_EVENT) {
        result = read_scalar(r, &node);
    } else if (r->event.type == YAML_SEQUENCE_START_EVENT) {
        node = cJSON_CreateArray();
        result = read_sequence(r, depth, node);
    } else {
        assert(r->event.type == YAML_MAPPING_START_EVENT);
        node = cJSON_CreateObject();
        result = read_mapping(r, depth, node);
    }
    if (result < 0)
        return -1;
    source_map_add(r->places, node, at, (struct yaml_mark){0});
    if (anchor)
        anchor->node = node;
    *ret = TAKE(node);
    return 0;
}

/* --- Stream --- */

static void document_release(struct yaml_document *d)
{
    cJSON_Delete(d->tree);
    source_map_free(d->places);
}

void yaml_stream_release(struct yaml_stream *s)
{
    for (size_t i = 0; i < s->count; i++)
        document_release(&s->documents[i]);
    free(s->documents);
    *s = (struct yaml_stream){0};
}

static int read_document(struct reader *r, struct yaml_stream *s)
{
    struct yaml_document d = {.places = source_map_new()};
    CLEANUP_JSON cJSON *graveyard = cJSON_CreateArray();
    r->places = d.places;
    r->graveyard = graveyard;
    int result = reader_next(r);
    if (result == 0) {
        d.start = reader_mark(&r->event.start_mark);
        result = read_node(r, 1, &d.tree);
    }
    anchors_clear(r);
    r->places = NULL;
    r->graveyard = NULL;
    if (result < 0 || cJSON_IsNull(d.tree)) {
        document_release(&d);
        return result;
    }
    if (s->count == YAML_DOCUMENTS_MAX) {
        document_release(&d);
        return reader_fail(r, d.start, ERR_LIMIT, "more than %d documents", YAML_DOCUMENTS_MAX);
    }
    s->documents = xrealloc(s->documents, (s->count + 1) * sizeof(*s->documents));
    s->documents[s->count++] = d;
    return 0;
}

static int read_stream(struct reader *r, struct yaml_stream *s)
{
    for (;;) {
        if (reader_next(r) < 0)
            return -1;
        if (r->event.type == YAML_STREAM_END_EVENT)
            return 0;
        if (r->event.type == YAML_DOCUMENT_START_EVENT && read_document(r, s) < 0)
            return -1;
    }
}

static int hex4_value(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = tolower((unsigned char)s[i]);
        if (!isxdigit(c))
            return -1;
        v = v * 16 + (isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return v;
}

static void add_utf8(struct buf *b, unsigned c)
{
    buf_addc(b, (char)(0xf0 | c >> 18));
    buf_addc(b, (char)(0x80 | (c >> 12 & 0x3f)));
    buf_addc(b, (char)(0x80 | (c >> 6 & 0x3f)));
    buf_addc(b, (char)(0x80 | (c & 0x3f)));
}

/* JSON writes what lies past U+FFFF as two \u escapes, which YAML does not know. kubectl reads a
   file that begins with a brace as JSON, so they are joined here first. */
static bool join_surrogates(const char *text, size_t len, struct buf *out)
{
    size_t i = 0;
    while (i < len && isspace((unsigned char)text[i]))
        i++;
    if (i == len || (text[i] != '{' && text[i] != '['))
        return false;
    for (i = 0; i < len; i++) {
        if (text[i] != '\\' || i + 1 == len) {
            buf_addc(out, text[i]);
            continue;
        }
        int high = i + 11 < len && text[i + 1] == 'u' ? hex4_value(text + i + 2) : -1;
        int low = high >= 0xd800 && high < 0xdc00 && text[i + 6] == '\\' && text[i + 7] == 'u'
                      ? hex4_value(text + i + 8)
                      : -1;
        if (low >= 0xdc00 && low < 0xe000) {
            add_utf8(out, 0x10000u + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00));
            i += 11;
        } else {
            buf_add(out, text + i, 2);
            i++;
        }
    }
    return buf_ok(out);
}

static int parse_stream(const char *text, size_t len, size_t max_nodes, struct yaml_stream *ret,
                        struct yaml_mark *ret_mark, struct err *err)
{
    struct reader r = {.err = err, .max_nodes = max_nodes};
    struct yaml_stream s = {0};
    CLEANUP_BUF struct buf joined = BUF_INIT(LIMIT_YAML_BYTES);
    if (len > LIMIT_YAML_BYTES)
        return err_set(err, ERR_LIMIT, "the file has more than %u bytes", LIMIT_YAML_BYTES);
    if (join_surrogates(text, len, &joined)) {
        text = joined.data;
        len = joined.len;
    }
    if (!yaml_parser_initialize(&r.parser))
        abort();
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    int result = read_stream(&r, &s);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    anchors_clear(&r);
    if (result < 0) {
        yaml_stream_release(&s);
        if (ret_mark)
            *ret_mark = r.error_mark;
        return -1;
    }
    *ret = s;
    return 0;
}

int yaml_parse(const char *text, size_t len, struct yaml_stream *ret, struct yaml_mark *ret_mark,
               struct err *err)
{
    return parse_stream(text, len, LIMIT_YAML_NODES, ret, ret_mark, err);
}

int yaml_parse_one(const char *text, size_t len, struct yaml_stream *ret, struct err *err)
{
    return yaml_parse_small(text, len, LIMIT_YAML_NODES, ret, err);
}

int yaml_parse_small(const char *text, size_t len, size_t max_nodes, struct yaml_stream *ret,
                     struct err *err)
{
    struct yaml_stream s = {0};
    if (parse_stream(text, len, max_nodes, &s, NULL, err) < 0)
        return -1;
    if (s.count == 1) {
        *ret = s;
        return 0;
    }
    size_t count = s.count;
    yaml_stream_release(&s);
    return err_set(err, ERR_INVALID, count ? "there is more than one document" : "it is empty");
}
