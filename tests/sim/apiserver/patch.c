/* JSON merge patch (RFC 7386) and what of server-side apply a status and finalizers need. */
#include "apiserver/apiserver.h"

#include "base/str.h"

void api_merge(cJSON *to, const cJSON *patch)
{
    const cJSON *m;
    cJSON_ArrayForEach (m, patch) {
        cJSON *old = cJSON_GetObjectItemCaseSensitive(to, m->string);
        if (cJSON_IsObject(m) && cJSON_IsObject(old)) {
            api_merge(old, m);
            continue;
        }
        if (old)
            cJSON_DeleteItemFromObjectCaseSensitive(to, m->string);
        if (cJSON_IsNull(m))
            continue;
        if (!cJSON_IsObject(m)) {
            cJSON_AddItemToObject(to, m->string, jt_copy(m));
            continue;
        }
        /* Nulls within a new object vanish too. */
        api_merge(cJSON_AddObjectToObject(to, m->string), m);
    }
}

/*
 * Lists that are maps (x-kubernetes-list-type: map): status.conditions by type, cloneStatus.disks
 * by name, cloneStatus.targets by vmName, their disks by name
 * (charts/wukong/files/crds/wukong.yaml). metadata.finalizers is a set. Every other list is atomic.
 */
static const char *list_key(const char *member)
{
    static const struct {
        const char *member, *key;
    } maps[] = {{"conditions", "type"}, {"targets", "vmName"}, {"disks", "name"}};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        if (str_eq(maps[i].member, member))
            return maps[i].key;
    return NULL;
}

static cJSON *item_of(const cJSON *list, const char *key, const char *value)
{
    const cJSON *i;
    cJSON_ArrayForEach (i, list)
        if (value && str_eq(json_str(i, key), value))
            return (cJSON *)(uintptr_t)i;
    return NULL;
}

/* Removes from live what `old` named and `new` does not; others: what other managers name. */
static void take_away(cJSON *live, const cJSON *old, const cJSON *new, const cJSON *others)
{
    const cJSON *m, *next;
    for (m = old ? old->child : NULL; m; m = next) {
        next = m->next;
        const cJSON *wanted = json_get(new, m->string), *held = json_get(others, m->string);
        cJSON *have = cJSON_GetObjectItemCaseSensitive(live, m->string);
        const char *key = list_key(m->string);
        if (!have)
            continue;
        if (cJSON_IsObject(m) && cJSON_IsObject(have)) {
            take_away(have, m, wanted, held);
            if (!wanted && !held && !have->child)
                cJSON_DeleteItemFromObjectCaseSensitive(live, m->string);
            continue;
        }
        if (cJSON_IsArray(m) && key) {
            const cJSON *i;
            cJSON_ArrayForEach (i, m) {
                const char *id = json_str(i, key);
                cJSON *mine = item_of(have, key, id);
                if (mine && !item_of(wanted, key, id) && !item_of(held, key, id))
                    cJSON_Delete(cJSON_DetachItemViaPointer(have, mine));
                else if (mine)
                    take_away(mine, i, item_of(wanted, key, id), item_of(held, key, id));
            }
            continue;
        }
        if (!wanted && !held)
            cJSON_DeleteItemFromObjectCaseSensitive(live, m->string);
    }
}

static void bring_in(cJSON *live, const cJSON *new)
{
    const cJSON *m;
    cJSON_ArrayForEach (m, new) {
        cJSON *have = cJSON_GetObjectItemCaseSensitive(live, m->string);
        const char *key = list_key(m->string);
        if (cJSON_IsObject(m) && cJSON_IsObject(have)) {
            bring_in(have, m);
        } else if (cJSON_IsArray(m) && key && cJSON_IsArray(have)) {
            const cJSON *i;
            cJSON_ArrayForEach (i, m) {
                cJSON *mine = item_of(have, key, json_str(i, key));
                if (mine)
                    bring_in(mine, i);
                else
                    cJSON_AddItemToArray(have, jt_copy(i));
            }
        } else if (!json_equal(have, m)) {
            if (have)
                cJSON_DeleteItemFromObjectCaseSensitive(live, m->string);
            cJSON_AddItemToObject(live, m->string, jt_copy(m));
        }
    }
}

static struct api_applied *applied_of(struct api_object *o, const char *manager)
{
    for (struct api_applied *a = o->applied; a; a = a->next)
        if (str_eq(a->manager, manager))
            return a;
    struct api_applied *a = xcalloc(1, sizeof *a);
    a->manager = xstrdup(manager);
    a->next = o->applied;
    o->applied = a;
    return a;
}

static void apply_finalizers(cJSON *tree, const cJSON *old, const cJSON *new)
{
    const cJSON *f;
    cJSON_ArrayForEach (f, json_get(old, "finalizers"))
        if (cJSON_IsString(f) && !jt_has(json_get(new, "finalizers"), f->valuestring))
            jt_remove(tree, "metadata.finalizers", f->valuestring);
    cJSON_ArrayForEach (f, json_get(new, "finalizers"))
        if (cJSON_IsString(f))
            jt_add(tree, "metadata.finalizers", f->valuestring);
}

void api_apply(struct api_object *o, cJSON *tree, const char *manager, const char *subject,
               const cJSON *config)
{
    struct api_applied *a = applied_of(o, manager);
    const cJSON *new = json_get(config, subject);
    CLEANUP_JSON cJSON *others = cJSON_CreateObject();
    if (str_eq(subject, "metadata")) {
        apply_finalizers(tree, a->tree, new);
    } else {
        for (const struct api_applied *b = o->applied; b; b = b->next)
            if (b != a && b->tree)
                bring_in(others, b->tree);
        if (!cJSON_IsObject(json_get(tree, subject)))
            jt_put(tree, subject, cJSON_CreateObject());
        take_away(jt_at(tree, subject), a->tree, new, others);
        bring_in(jt_at(tree, subject), new);
    }
    cJSON_Delete(a->tree);
    a->tree = jt_copy(new);
}

static cJSON *entry_of(cJSON *tree, const char *manager)
{
    cJSON *e, *list = jt_at(tree, "metadata.managedFields");
    cJSON_ArrayForEach (e, list)
        if (str_eq(json_str(e, "manager"), manager))
            return e;
    e = cJSON_CreateObject();
    jt_str(e, "manager", manager);
    jt_str(e, "operation", "Update");
    jt_str(e, "fieldsType", "FieldsV1");
    if (!list)
        jt_put(tree, "metadata.managedFields", cJSON_CreateArray());
    cJSON_AddItemToArray(jt_at(tree, "metadata.managedFields"), e);
    return e;
}

void api_manage_labels(cJSON *tree, const cJSON *written, const char *manager)
{
    const cJSON *label;
    cJSON_ArrayForEach (label, json_at(written, "metadata.labels")) {
        char path[200];
        (void)snprintf(path, sizeof path, "fieldsV1.f:metadata.f:labels[f:%s]", label->string);
        if (cJSON_IsNull(label))
            jt_drop(entry_of(tree, manager), path);
        else
            jt_put(entry_of(tree, manager), path, cJSON_CreateObject());
    }
}
