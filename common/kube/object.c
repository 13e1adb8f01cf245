#include "kube/object.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

#define TEXTS_MAX (KUBE_FIELDS_MAX + 8)

/* Texts found in the tree; those that had to be printed are owned until they are copied. */
struct gathered {
    const char *text[TEXTS_MAX];
    char *owned[TEXTS_MAX];
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
    g->owned[g->count++] = owned;
    g->bytes += text ? strlen(text) + 1 : 0;
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

static const cJSON *main_owner(const cJSON *metadata)
{
    const cJSON *owners = json_get(metadata, "ownerReferences"), *owner;
    cJSON_ArrayForEach(owner, owners)
    {
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
    for (size_t i = 0; i < fields; i++)
        gather_field(&g, json_at(tree, kind->fields[i]));

    /* The unused tail of field[] is not allocated: 200 bytes matter at 70,000 objects. */
    size_t head = offsetof(struct kube_object, field) + fields * sizeof(const char *);
    struct kube_object *o = xcalloc(1, head + g.bytes);
    char *at = (char *)o + head;
    for (size_t i = 0; i < g.count; i++) {
        if (!g.text[i])
            continue;
        size_t n = strlen(g.text[i]) + 1;
        memcpy(at, g.text[i], n);
        g.text[i] = at;
        at += n;
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

const char *kube_object_field(const struct kube_object *o, const char *path)
{
    const struct kube_kind *kind = o->kind;
    for (size_t i = 0; i < KUBE_FIELDS_MAX && kind->fields[i]; i++)
        if (kind->fields[i] == path || str_eq(kind->fields[i], path))
            return o->field[i];
    return NULL;
}
