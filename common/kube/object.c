#include "kube/object.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/pick.h"
#include "kube/compress.h"

#define TEXTS_MAX (KUBE_FIELDS_MAX + 9)

/* Texts found in the tree; those that had to be printed are owned until they are copied. */
struct gathered_fields {
    const char *text[TEXTS_MAX];
    char *owned[TEXTS_MAX];
    size_t size[TEXTS_MAX];
    size_t count, bytes;
};

static void gathered_fields_release(struct gathered_fields *g)
{
    for (size_t i = 0; i < g->count; i++)
        free(g->owned[i]);
}

static void gather_text(struct gathered_fields *g, const char *text, char *owned)
{
    g->text[g->count] = text;
    g->owned[g->count] = owned;
    g->size[g->count] = text ? strlen(text) + 1 : 0;
    g->bytes += g->size[g->count++];
}

static bool is_compressed(const struct kube_kind *kind, size_t field)
{
    return kind->packed && str_eq(kind->packed, kind->fields[field]);
}

/* The path without what tells its type. */
struct field_path {
    char path[256];
    bool object, array;
};

static struct field_path field_path(const char *path)
{
    struct field_path f = {.path = ""};
    size_t n = strlen(path);
    f.object = str_ends(path, "{}");
    f.array = str_ends(path, "[]");
    (void)snprintf(f.path, sizeof f.path, "%.*s", (int)(n - (f.object || f.array ? 2 : 0)), path);
    return f;
}

static void gather_field(struct gathered_fields *g, const cJSON *tree, const char *path)
{
    struct field_path f = field_path(path);
    const cJSON *node = json_at(tree, f.path);
    bool other = (f.object && !cJSON_IsObject(node)) || (f.array && !cJSON_IsArray(node));
    /* "field: null" is the same as no field, to Kubernetes' decoders. */
    if (!node || cJSON_IsNull(node) || other) {
        gather_text(g, NULL, NULL);
    } else if (cJSON_IsString(node)) {
        gather_text(g, node->valuestring, NULL);
    } else {
        char *printed = json_text(node);
        gather_text(g, printed, printed);
    }
}

/* The text that was gathered last becomes a block. */
static void compress_last(struct gathered_fields *g, const char *hint)
{
    size_t i = g->count - 1;
    if (!g->text[i])
        return;
    g->bytes -= g->size[i];
    char *block = compress_text(g->text[i], g->size[i] - 1, hint, &g->size[i]);
    g->bytes += g->size[i];
    free(g->owned[i]);
    g->text[i] = g->owned[i] = block;
}

static const cJSON *main_owner(const cJSON *metadata)
{
    const cJSON *owners = json_get(metadata, "ownerReferences"), *owner;
    cJSON_ArrayForEach (owner, owners) {
        if (json_bool(owner, "controller", false))
            return owner;
    }
    return owners ? owners->child : NULL;
}

static int64_t time_at(const cJSON *metadata, const char *name)
{
    const char *text = json_str(metadata, name);
    int64_t ms = 0;
    /* A time that cannot be read is still a time: "being deleted" must not be missed. */
    return !text ? 0 : str_to_time_ms(text, &ms) ? ms : 1;
}

static size_t field_count(const struct kube_kind *kind)
{
    size_t n = 0;
    while (n < KUBE_FIELDS_MAX && kind->fields[n])
        n++;
    return n;
}

static const char *label_value(const struct kube_kind *kind, const cJSON *tree,
                               const cJSON *metadata)
{
    if (kind->label_path)
        return json_str(tree, kind->label_path);
    const cJSON *value =
        kind->label_key ? json_get(json_get(metadata, "labels"), kind->label_key) : NULL;
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

/* What stores are indexed by. A namespace that is no text would be taken for none. */
static bool has_name(const cJSON *metadata)
{
    const cJSON *ns = json_get(metadata, "namespace");
    const char *name = json_str(metadata, "name");
    return !str_empty(name) && strlen(name) <= LIMIT_DNS_SUBDOMAIN &&
           (!ns || cJSON_IsNull(ns) ||
            (cJSON_IsString(ns) && strlen(ns->valuestring) <= LIMIT_DNS_LABEL));
}

/* why: of a marker; NULL: the object can be read. */
static struct kube_object *project(const struct kube_kind *kind, const cJSON *tree, const char *why)
{
    const cJSON *metadata = json_get(tree, "metadata");
    const cJSON *owner = main_owner(metadata);
    __attribute__((cleanup(gathered_fields_release))) struct gathered_fields g = {0};
    gather_text(&g, str_or(json_str(metadata, "namespace"), ""), NULL);
    gather_text(&g, json_str(metadata, "name"), NULL);
    gather_text(&g, str_or(json_str(metadata, "uid"), ""), NULL);
    gather_text(&g, str_or(json_str(metadata, "resourceVersion"), ""), NULL);
    gather_text(&g, json_str(owner, "uid"), NULL);
    gather_text(&g, json_str(owner, "kind"), NULL);
    gather_text(&g, json_str(owner, "name"), NULL);
    gather_text(&g, label_value(kind, tree, metadata), NULL);
    gather_text(&g, why, NULL);
    size_t first_field = g.count, fields = field_count(kind);
    for (size_t i = 0; i < fields; i++) {
        if (why)
            gather_text(&g, NULL, NULL);
        else
            gather_field(&g, tree, kind->fields[i]);
        if (is_compressed(kind, i))
            compress_last(&g, kind->compressed_hint);
    }

    /* The unused tail of field[] is not allocated: 200 bytes matter at 70,000 objects. */
    size_t head = offsetof(struct kube_object, field) + fields * sizeof(const char *);
    struct kube_object *o = xcalloc(1, head + g.bytes);
    char *at = (char *)o + head;
    for (size_t i = 0; i < g.count; i++) {
        if (!g.text[i])
            continue;
        memcpy(at, g.text[i], g.size[i]);
        g.text[i] = at;
        at += g.size[i];
    }
    o->kind = kind;
    o->ns = g.text[0];
    o->name = g.text[1];
    o->uid = g.text[2];
    o->resource_version = g.text[3];
    o->owner_uid = g.text[4];
    o->owner_kind = g.text[5];
    o->owner_name = g.text[6];
    o->label = g.text[7];
    o->unreadable = g.text[8];
    if (fields)
        memcpy((char *)o + offsetof(struct kube_object, field), g.text + first_field,
               fields * sizeof(const char *));
    (void)json_int(metadata, "generation", &o->generation);
    o->created_ms = time_at(metadata, "creationTimestamp");
    o->deleted_ms = time_at(metadata, "deletionTimestamp");
    return o;
}

int kube_object_project(const struct kube_kind *kind, const cJSON *tree, struct kube_object **ret,
                        struct err *err)
{
    const cJSON *metadata = json_get(tree, "metadata");
    if (!has_name(metadata) || str_empty(json_str(metadata, "uid")))
        return err_set(err, ERR_INVALID, "an object of kind %s without name or uid", kind->kind);
    *ret = project(kind, tree, NULL);
    return 0;
}

/* --- from text --- */

struct paths {
    const char *items[KUBE_FIELDS_MAX + 16];
    struct field_path fields[KUBE_FIELDS_MAX];
    char label[512];
    size_t count;
};

static void want_path(struct paths *p, const char *path)
{
    p->items[p->count++] = path;
}

static void want_fields(const struct kube_kind *kind, struct paths *p)
{
    size_t fields = field_count(kind);
    for (size_t i = 0; i < fields; i++) {
        p->fields[i] = field_path(kind->fields[i]);
        want_path(p, p->fields[i].path);
    }
}

/* What tells which object it is, and who may have a use for it. */
static void want_head(const struct kube_kind *kind, struct paths *p)
{
    static const char *const head[] = {
        "metadata.namespace",
        "metadata.name",
        "metadata.uid",
        "metadata.resourceVersion",
        "metadata.generation",
        "metadata.creationTimestamp",
        "metadata.deletionTimestamp",
        "metadata.ownerReferences",
    };
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        want_path(p, head[i]);
    if (kind->label_path)
        want_path(p, kind->label_path);
    if (!kind->label_path && kind->label_key) {
        (void)snprintf(p->label, sizeof p->label, "metadata.labels[%s]", kind->label_key);
        want_path(p, p->label);
    }
}

/* The members at the paths, parsed. A text that is cut off gives what was found before the cut, and
   the failure. */
static int read_paths(const struct paths *p, const char *text, size_t len, cJSON **ret,
                      struct err *err)
{
    CLEANUP_BUF struct buf picked = BUF_INIT(len + 64);
    int cut = json_pick(text, len, p->items, p->count, &picked, err);
    return json_read(picked.data, picked.len, ret, err) < 0 ? -1 : cut;
}

int kube_object_read(const struct kube_kind *kind, const char *text, size_t len,
                     struct kube_object **ret, struct err *err)
{
    struct paths paths = {.count = 0};
    struct err why = {0};
    CLEANUP_JSON cJSON *tree = NULL, *head = NULL;
    want_head(kind, &paths);
    want_fields(kind, &paths);
    if (len >= LIMIT_OBJECT_BYTES)
        (void)err_set(&why, ERR_LIMIT, "it is larger than %u bytes", LIMIT_OBJECT_BYTES);
    else if (read_paths(&paths, text, len, &tree, &why) == 0 &&
             kube_object_project(kind, tree, ret, &why) == 0)
        return 0;
    struct err ignored = {0};
    paths.count = 0;
    want_head(kind, &paths);
    (void)read_paths(&paths, text, len, &head, &ignored);
    if (!has_name(json_get(head, "metadata")))
        return err_set(err, ERR_INVALID, "an object of kind %s without a name: %s", kind->kind,
                       why.message);
    *ret = project(kind, head, why.message);
    return 0;
}

static size_t field_index(const struct kube_kind *kind, const char *path)
{
    size_t i = 0;
    while (i < KUBE_FIELDS_MAX && kind->fields[i] && kind->fields[i] != path &&
           !str_eq(kind->fields[i], path))
        i++;
    return i < KUBE_FIELDS_MAX && kind->fields[i] ? i : KUBE_FIELDS_MAX;
}

const char *kube_object_field(const struct kube_object *o, const char *path)
{
    if (!o)
        return NULL;
    size_t i = field_index(o->kind, path);
    assert(i == KUBE_FIELDS_MAX || !is_compressed(o->kind, i));
    return i < KUBE_FIELDS_MAX ? o->field[i] : NULL;
}

char *kube_object_decompress(const struct kube_object *o)
{
    size_t i = field_index(o->kind, o->kind->packed);
    return i < KUBE_FIELDS_MAX && o->field[i]
               ? decompress_text(o->field[i], o->kind->compressed_hint)
               : NULL;
}

size_t kube_object_bytes(const struct kube_object *o)
{
    const char *const fixed[] = {o->ns,        o->name,       o->uid,        o->resource_version,
                                 o->owner_uid, o->owner_kind, o->owner_name, o->label,
                                 o->unreadable};
    size_t n = offsetof(struct kube_object, field);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        n += fixed[i] ? strlen(fixed[i]) + 1 : 0;
    for (size_t i = 0; i < field_count(o->kind); i++) {
        size_t bytes = !o->field[i]                ? 0
                       : is_compressed(o->kind, i) ? compress_bytes(o->field[i])
                                                   : strlen(o->field[i]) + 1;
        n += sizeof(char *) + bytes;
    }
    return n;
}

bool kube_version_newer(const char *a, const char *b)
{
    uint64_t x, y;
    if (str_to_u64(a, &x) && str_to_u64(b, &y))
        return x < y;
    return !str_eq(a, b);
}
