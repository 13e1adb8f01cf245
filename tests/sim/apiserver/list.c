/* Lists: pages, selectors, and states that are not the newest. */
#include "apiserver/apiserver.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

struct row {
    const char *key;
    const struct api_text *text;
    bool borrowed_tree; /* text is that of the present object */
    const cJSON *tree;
};

struct rows {
    struct row *items;
    size_t count, cap;
};

static void rows_set(struct rows *r, const char *key, const struct api_text *text,
                     const cJSON *tree)
{
    size_t at = 0;
    while (at < r->count && strcmp(r->items[at].key, key) < 0)
        at++;
    bool found = at < r->count && str_eq(r->items[at].key, key);
    if (!text) {
        if (found)
            memmove(r->items + at, r->items + at + 1, (--r->count - at) * sizeof *r->items);
        return;
    }
    if (!found) {
        if (r->count == r->cap) {
            r->cap = r->cap ? r->cap * 2 : 32;
            r->items = xrealloc(r->items, r->cap * sizeof *r->items);
        }
        memmove(r->items + at + 1, r->items + at, (r->count++ - at) * sizeof *r->items);
    }
    r->items[at] = (struct row){key, text, tree != NULL, tree};
}

/* All objects of the kind as they were at a version, in the order of their keys. */
static void rows_at(struct apiserver *s, enum api_kind kind, uint64_t version, struct rows *r)
{
    for (struct api_object *o = s->objects[kind]; o; o = o->hh.next)
        rows_set(r, o->key, o->text, o->tree);
    for (size_t i = s->log_count; i-- && s->log[i].version > version;)
        if (s->log[i].kind == kind)
            rows_set(r, s->log[i].key, s->log[i].before, NULL);
}

/* --- selectors --- */

static bool field_matches(const cJSON *tree, const char *field, const char *op, const char *value)
{
    /* Every field that is used here is a path of the object. */
    bool same = str_eq(str_or(json_str(tree, field), ""), value);
    return *op == '!' ? !same : same;
}

static bool label_matches(const cJSON *tree, const char *key, const char *op, const char *value)
{
    char path[600];
    (void)snprintf(path, sizeof path, "metadata.labels[%s]", key);
    const char *have = json_str(tree, path);
    if (!*op)
        return have != NULL;
    bool same = have && str_eq(have, value);
    return *op == '!' ? !same : same;
}

static bool selector_matches(const char *text, const cJSON *tree, bool labels)
{
    char one[512];
    while (text && *text) {
        size_t n = strcspn(text, ",");
        if (n >= sizeof one)
            return false;
        memcpy(one, text, n);
        one[n] = '\0';
        text += n + (text[n] == ',');
        char *op = strpbrk(one, "!=");
        char mark[3] = "";
        const char *value = "";
        if (op) {
            size_t len = strspn(op, "!=");
            memcpy(mark, op, len < 2 ? len : 2);
            value = op + len;
            *op = '\0';
        }
        if (labels ? !label_matches(tree, one, mark, value)
                   : !field_matches(tree, one, mark, value))
            return false;
    }
    return true;
}

bool api_matches(const struct api_target *t, const cJSON *tree)
{
    CLEANUP_FREE char *labels = api_query(t, "labelSelector");
    CLEANUP_FREE char *fields = api_query(t, "fieldSelector");
    if (*t->ns && !str_eq(t->ns, str_or(json_str(tree, "metadata.namespace"), "")))
        return false;
    return selector_matches(labels, tree, true) && selector_matches(fields, tree, false);
}

/* --- versions and pages --- */

struct page {
    uint64_t version;
    size_t skip;
    int64_t limit;
};

/* The token is opaque to clients: "v<version>.<skip>". */
static bool read_token(const char *token, struct page *p)
{
    unsigned long long version, skip;
    if (sscanf(token, "v%llu.%llu", &version, &skip) != 2)
        return false;
    p->version = version;
    p->skip = (size_t)skip;
    return true;
}

static bool choose_version(struct apiserver *s, const struct api_target *t, struct page *p,
                           bool may_be_stale, struct api_reply *reply)
{
    CLEANUP_FREE char *asked = api_query(t, "resourceVersion");
    CLEANUP_FREE char *token = api_query(t, "continue");
    uint64_t least = 0;
    p->version = s->version;
    if (!str_empty(token)) {
        if (!read_token(token, p)) {
            api_fail(reply, 400, "BadRequest", NULL, "continue key is not valid");
            return false;
        }
        if (p->version < s->compacted) {
            api_fail(reply, 410, "Expired", NULL,
                     "The provided continue parameter is too old to display a consistent list "
                     "result. You can start a new list without the continue parameter, or use the "
                     "continue token in this response to retrieve the remainder of the results.");
            return false;
        }
        return true;
    }
    if (str_empty(asked))
        return true;
    if (!str_to_u64(asked, &least)) {
        api_fail(reply, 400, "BadRequest", NULL, "Invalid value for resourceVersion: %s", asked);
        return false;
    }
    if (least > s->version) {
        api_fail(reply, 504, "Timeout", NULL,
                 "Too large resource version: %" PRIu64 ", current: %" PRIu64, least, s->version);
        return false;
    }
    /* "Not older than": the watch cache of a lagging server answers with what it has. */
    if (may_be_stale) {
        uint64_t floor = least > s->compacted ? least : s->compacted;
        p->version = (uint64_t)rng_range(s->rng, (int64_t)floor, (int64_t)s->version);
    }
    return true;
}

static void write_metadata(struct buf *out, const struct api_text *text)
{
    CLEANUP_JSON cJSON *tree = NULL;
    if (json_read(text->s, text->len, &tree, NULL) < 0)
        return;
    CLEANUP_FREE char *metadata = json_print(json_get(tree, "metadata"));
    buf_addf(out,
             "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\","
             "\"metadata\":%s}",
             metadata);
}

/* Of metadata alone: an empty list comes as null, for nothing has been appended to it (apiserver
   pkg/endpoints/handlers/response.go, asPartialObjectMetadataList). */
static void write_items(const struct rows *hits, size_t from, size_t end, bool metadata_only,
                        struct buf *out)
{
    if (metadata_only && from >= end) {
        buf_adds(out, "},\"items\":null}");
        return;
    }
    buf_adds(out, "},\"items\":[");
    for (size_t i = from; i < end; i++) {
        if (i > from)
            buf_addc(out, ',');
        if (metadata_only)
            write_metadata(out, hits->items[i].text);
        else
            buf_add(out, hits->items[i].text->s, hits->items[i].text->len);
    }
    buf_adds(out, "]}");
}

static void write_list(const struct api_target *t, const struct page *p, const struct rows *rows,
                       bool metadata_only, struct buf *out)
{
    const struct api_kind_info *k = &api_kinds[t->kind];
    struct rows hits = {0};
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *r = &rows->items[i];
        CLEANUP_JSON cJSON *parsed = NULL;
        const cJSON *tree = r->tree;
        if (!tree && json_read(r->text->s, r->text->len, &parsed, NULL) == 0)
            tree = parsed;
        if (api_matches(t, tree))
            rows_set(&hits, r->key, r->text, NULL);
    }
    size_t end = hits.count;
    if (p->limit > 0 && p->skip + (size_t)p->limit < end)
        end = p->skip + (size_t)p->limit;
    if (metadata_only)
        buf_adds(out, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\"");
    else
        buf_addf(out, "{\"kind\":\"%sList\",\"apiVersion\":\"%s%s%s\"", k->kind, k->group,
                 *k->group ? "/" : "", k->version);
    buf_addf(out, ",\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"", p->version);
    if (end < hits.count)
        buf_addf(out, ",\"continue\":\"v%" PRIu64 ".%zu\",\"remainingItemCount\":%zu", p->version,
                 end, hits.count - end);
    write_items(&hits, p->skip, end, metadata_only, out);
    free(hits.items);
}

void api_list(struct apiserver *s, const struct api_target *t, const char *accept,
              struct api_reply *reply, bool may_be_stale)
{
    struct page p = {0};
    struct rows rows = {0};
    struct buf out = BUF_INIT(64 * MIB);
    CLEANUP_FREE char *limit = api_query(t, "limit");
    if (!choose_version(s, t, &p, may_be_stale, reply))
        return;
    if (limit && !str_to_i64(limit, &p.limit)) {
        api_fail(reply, 400, "BadRequest", NULL, "limit %s is not a number", limit);
        return;
    }
    if (s->page_max && p.limit > s->page_max)
        p.limit = s->page_max;
    rows_at(s, t->kind, p.version, &rows);
    write_list(t, &p, &rows, accept && strstr(accept, "as=PartialObjectMetadataList"), &out);
    free(rows.items);
    reply->code = 200;
    reply->body = buf_take(&out);
}
