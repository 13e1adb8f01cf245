#include "kube/object.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/pack.h"

#define TEXTS_MAX (KUBE_FIELDS_MAX + 8)

/* Texts found in the tree; those that had to be printed are owned until they are copied. */
struct gathered {
    const char *text[TEXTS_MAX];
    char *owned[TEXTS_MAX];
    size_t size[TEXTS_MAX];
    size_t count, bytes;
};

static void gathered_release(struct gathered *g)
{
    for (size_t i = 0; i < g->count; i++)
        free(g->owned[i]);
}

static void gather(struct gathered *g, const char *text, char *owned)
{
    g->text[g->count] = text;
    g->owned[g->count] = owned;
    g->size[g->count] = text ? strlen(text) + 1 : 0;
    g->bytes += g->size[g->count++];
}

static bool is_packed(const struct kube_kind *kind, size_t field)
{
    return kind->packed && str_eq(kind->packed, kind->fields[field]);
}

static void gather_field(struct gathered *g, const cJSON *node)
{
    /* "field: null" is the same as no field, to Kubernetes' decoders. */
    if (!node || cJSON_IsNull(node)) {
        gather(g, NULL, NULL);
    } else if (cJSON_IsString(node)) {
        gather(g, node->valuestring, NULL);
    } else {
        char *printed = json_text(node);
        gather(g, printed, printed);
    }
}

/* The text that was gathered last becomes a block. */
static void pack_last(struct gathered *g, const char *hint)
{
    size_t i = g->count - 1;
    if (!g->text[i])
        return;
    g->bytes -= g->size[i];
    char *block = pack_text(g->text[i], g->size[i] - 1, hint, &g->size[i]);
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

int kube_object_project(const struct kube_kind *kind, const cJSON *tree, struct kube_object **ret,
                        struct err *err)
{
    const cJSON *metadata = json_get(tree, "metadata");
    const char *name = json_str(metadata, "name"), *uid = json_str(metadata, "uid");
    if (str_empty(name) || str_empty(uid))
        return err_set(err, ERR_INVALID, "an object of kind %s without name or uid", kind->kind);
    const cJSON *owner = main_owner(metadata);
    __attribute__((cleanup(gathered_release))) struct gathered g = {0};
    gather(&g, str_or(json_str(metadata, "namespace"), ""), NULL);
    gather(&g, name, NULL);
    gather(&g, uid, NULL);
    gather(&g, str_or(json_str(metadata, "resourceVersion"), ""), NULL);
    gather(&g, json_str(owner, "uid"), NULL);
    gather(&g, json_str(owner, "kind"), NULL);
    gather(&g, json_str(owner, "name"), NULL);
    gather(&g, label_value(kind, tree, metadata), NULL);
    size_t first_field = g.count, fields = field_count(kind);
    for (size_t i = 0; i < fields; i++) {
        gather_field(&g, json_at(tree, kind->fields[i]));
        if (is_packed(kind, i))
            pack_last(&g, kind->packed_hint);
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
    if (fields)
        memcpy((char *)o + offsetof(struct kube_object, field), g.text + first_field,
               fields * sizeof(const char *));
    (void)json_int(metadata, "generation", &o->generation);
    o->created_ms = time_at(metadata, "creationTimestamp");
    o->deleted_ms = time_at(metadata, "deletionTimestamp");
    *ret = o;
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
    size_t i = field_index(o->kind, path);
    assert(i == KUBE_FIELDS_MAX || !is_packed(o->kind, i));
    return i < KUBE_FIELDS_MAX ? o->field[i] : NULL;
}

char *kube_object_unpack(const struct kube_object *o)
{
    size_t i = field_index(o->kind, o->kind->packed);
    return i < KUBE_FIELDS_MAX && o->field[i] ? unpack_text(o->field[i], o->kind->packed_hint)
                                              : NULL;
}

size_t kube_object_bytes(const struct kube_object *o)
{
    const char *const fixed[] = {o->ns,        o->name,       o->uid,        o->resource_version,
                                 o->owner_uid, o->owner_kind, o->owner_name, o->label};
    size_t n = offsetof(struct kube_object, field);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        n += fixed[i] ? strlen(fixed[i]) + 1 : 0;
    for (size_t i = 0; i < field_count(o->kind); i++) {
        size_t bytes = !o->field[i]            ? 0
                       : is_packed(o->kind, i) ? pack_bytes(o->field[i])
                                               : strlen(o->field[i]) + 1;
        n += sizeof(char *) + bytes;
    }
    return n;
}
