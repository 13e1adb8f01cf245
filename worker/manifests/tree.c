#include "manifests/tree.h"

#include <assert.h>

#include "base/str.h"
#include "wukong/api/marks.h"

static cJSON *require_node(cJSON *node)
{
    if (!node)
        abort();
    return node;
}

cJSON *tree_new(void)
{
    return require_node(cJSON_CreateObject());
}

cJSON *tree_dup(const cJSON *node)
{
    return require_node(cJSON_Duplicate(node, true));
}

cJSON *tree_at(cJSON *o, const char *path)
{
    return (cJSON *)json_at(o, path);
}

static cJSON *get_or_add_member(cJSON *o, const char *name)
{
    return (cJSON *)json_get(o, name);
}

void tree_set(cJSON *o, const char *name, cJSON *value)
{
    if (!cJSON_IsObject(o)) { /* of a source or a capture that somebody has written */
        cJSON_Delete(value);
        return;
    }
    cJSON_bool done = get_or_add_member(o, name)
                          ? cJSON_ReplaceItemInObjectCaseSensitive(o, name, require_node(value))
                          : cJSON_AddItemToObject(o, name, require_node(value));
    if (!done)
        abort();
}

cJSON *tree_object(cJSON *o, const char *name)
{
    cJSON *found = get_or_add_member(o, name);
    if (!cJSON_IsObject(o))
        return NULL;
    if (!cJSON_IsObject(found)) {
        found = tree_new();
        tree_set(o, name, found);
    }
    return found;
}

cJSON *tree_array(cJSON *o, const char *name)
{
    cJSON *found = get_or_add_member(o, name);
    if (!cJSON_IsObject(o))
        return NULL;
    if (!cJSON_IsArray(found)) {
        found = require_node(cJSON_CreateArray());
        tree_set(o, name, found);
    }
    return found;
}

void tree_set_string(cJSON *o, const char *name, const char *value)
{
    if (value)
        tree_set(o, name, cJSON_CreateString(value));
}

void tree_set_int(cJSON *o, const char *name, int64_t value)
{
    /* Beyond 2^53 cJSON would print another number. */
    CLEANUP_FREE char *text = xasprintf("%lld", (long long)value);
    tree_set(o, name, cJSON_CreateRaw(text));
}

void tree_set_bool(cJSON *o, const char *name, bool value)
{
    tree_set(o, name, cJSON_CreateBool(value));
}

void tree_append(cJSON *array, cJSON *value)
{
    if (!cJSON_IsArray(array)) {
        cJSON_Delete(value);
        return;
    }
    if (!cJSON_AddItemToArray(array, require_node(value)))
        abort();
}

void tree_remove(cJSON *o, const char *name)
{
    if (cJSON_IsObject(o))
        cJSON_DeleteItemFromObjectCaseSensitive(o, name);
}

void tree_remove_if_empty(cJSON *o, const char *name)
{
    cJSON *found = get_or_add_member(o, name);
    if (cJSON_IsObject(found) && !found->child)
        tree_remove(o, name);
}

cJSON *tree_named(const cJSON *array, const char *name)
{
    cJSON *item;
    TREE_EACH(item, array)
    if (name && str_eq(json_str(item, "name"), name))
        return item;
    return NULL;
}

const char *tree_named_twice(const cJSON *array)
{
    const cJSON *item;
    TREE_EACH(item, array)
    {
        const char *name = json_str(item, "name");
        if (name && tree_named(array, name) != item)
            return name;
    }
    return NULL;
}

void tree_remove_named(cJSON *array, const char *name)
{
    cJSON *item;
    while ((item = tree_named(array, name)))
        cJSON_Delete(cJSON_DetachItemViaPointer(array, item));
}

int tree_print(const cJSON *tree, struct buf *out, struct err *err)
{
    CLEANUP_FREE char *text = json_print(tree);
    if (!buf_adds(out, text))
        return err_set(err, ERR_LIMIT, "the %.60s to be created is larger than %zu bytes",
                       str_or(json_str(tree, "kind"), "object"), out->max);
    return 0;
}

cJSON *tree_kubernetes(const char *api_version, const char *kind, const char *name, const char *ns,
                       cJSON **ret_metadata)
{
    cJSON *tree = tree_new();
    tree_set_string(tree, "apiVersion", api_version);
    tree_set_string(tree, "kind", kind);
    cJSON *metadata = tree_object(tree, "metadata");
    tree_set_string(metadata, "name", name);
    tree_set_string(metadata, "namespace", ns);
    if (ret_metadata)
        *ret_metadata = metadata;
    return tree;
}

void tree_our_labels(cJSON *metadata, const struct wukong *w, int64_t index, const char *disk,
                     const char *ns)
{
    char value[NAME_BUF];
    cJSON *labels = tree_object(metadata, "labels");
    tree_set_string(labels, WUKONG_UID_LABEL, w->uid);
    name_shorten(w->name, value);
    tree_set_string(labels, MANIFEST_NAME_LABEL, value);
    if (index >= 0) {
        CLEANUP_FREE char *text = xasprintf("%lld", (long long)index);
        tree_set_string(labels, MANIFEST_INDEX_LABEL, text);
    } else {
        CLEANUP_FREE char *text =
            xasprintf("%s/%s in %s", w->ns, w->name, str_or(ns, "no namespace"));
        tree_set_string(tree_object(metadata, "annotations"), MADE_FOR_ANNOTATION, text);
    }
    if (disk) {
        name_shorten(disk, value);
        tree_set_string(labels, MANIFEST_DISK_LABEL, value);
    }
    /* A claim that was copied to another namespace is told from its original. */
    if (!str_eq(ns, w->ns) || (disk && index >= 0))
        tree_set_string(labels, MANIFEST_NS_LABEL, w->ns);
}

static void set_pairs(cJSON *metadata, const char *map, const struct wukong_pairs *pairs)
{
    if (!pairs->count)
        return;
    cJSON *o = tree_object(metadata, map);
    for (size_t i = 0; i < pairs->count; i++)
        if (!mark_is_reserved(pairs->items[i].key))
            tree_set_string(o, pairs->items[i].key, pairs->items[i].value);
}

void tree_target_marks(cJSON *metadata, const struct wukong *w)
{
    set_pairs(metadata, "labels", &w->labels);
    set_pairs(metadata, "labels", &w->spec.target.labels);
    set_pairs(metadata, "annotations", &w->spec.target.annotations);
}

void tree_our_owner(cJSON *metadata, const struct wukong *w, bool controller)
{
    cJSON *owner = tree_new();
    tree_set_string(owner, "apiVersion", WUKONG_API_VERSION);
    tree_set_string(owner, "kind", WUKONG_KIND);
    tree_set_string(owner, "name", w->name);
    tree_set_string(owner, "uid", w->uid);
    tree_set_bool(owner, "controller", controller);
    tree_append(tree_array(metadata, "ownerReferences"), owner);
}
