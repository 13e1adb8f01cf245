/* Whose an object is, by what the state holds of the clone. */
#include "observe/observe.h"

#include "base/str.h"
#include "json/json.h"
#include "observe/queries.h"
#include "wukong/api/child_names.h"

static struct ours_clone clone_of_object(const struct clone_state *v, const char *uid,
                                         const char *name)
{
    return (struct ours_clone){
        .uid = uid,
        .name = name,
        .ns = v->wukong->ns,
        .source_ns = v->effective.source_ns,
        .sources = {str_or(v->record.source_vmi, v->effective.source_name),
                    v->effective.source_name},
        .replicas = v->effective.replicas,
    };
}

static struct ours_clone owner_of(const struct clone_state *v)
{
    struct ours_clone w = clone_of_object(v, v->wukong->uid, v->wukong->name);
    w.created_ms = v->wukong->created_ms;
    return w;
}

struct ours_clone clone_snapshot_owner(const struct clone_state *v)
{
    const struct clone_record *r = &v->record;
    return r->attempt.shared.uid
               ? clone_of_object(v, r->attempt.shared.uid, str_or(r->attempt.shared.name, ""))
               : owner_of(v);
}

int64_t clone_snapshot_attempt(const struct clone_state *v)
{
    return v->record.attempt.shared.uid ? v->record.attempt.shared.attempt : clone_attempt(v);
}

static bool is_known_machine(const struct clone_record *r, const char *uid)
{
    for (size_t i = 0; i < r->vm_uid_count; i++)
        if (str_eq(r->vm_uids[i], uid))
            return true;
    return false;
}

static bool is_machine_of(const struct clone_state *v, const struct kube_object *claim)
{
    char name[NAME_BUF];
    int64_t index;
    if (!str_eq(claim->owner_kind, "VirtualMachine") ||
        !str_to_i64(kube_object_field(claim, F_LABEL_INDEX), &index))
        return false;
    name_vm(v->wukong->name, v->effective.replicas, index, name);
    return str_eq(claim->owner_name, name);
}

/*
 * Kind, namespace, name and labels can be what somebody else has made, under a name that he could
 * foresee: a machine or claim of the clone has an owner besides, from its creation: the Wukong, and
 * later, of a claim, its machine or DataVolume. Whoever may write owners can have the object
 * deleted by the garbage collector anyhow. A machine that was taken out of the Wukong's ownership
 * (reclaimPolicy, or by its user) is known by its UID.
 */
static bool is_proven(const struct clone_state *v, enum worker_kind kind,
                      const struct kube_object *o)
{
    const struct clone_record *r = &v->record;
    bool of_wukong = str_eq(o->owner_uid, v->wukong->uid);
    /* Of the release before; who has not begun has made nothing. */
    bool unowned_then = r->attempts && !r->attempt.owned;
    if (kind == KIND_VM)
        return of_wukong || unowned_then || is_known_machine(r, o->uid);
    if (kind != KIND_PVC && kind != KIND_DATA_VOLUME)
        return true;
    bool of_volume =
        kind == KIND_PVC && str_eq(o->owner_kind, "DataVolume") && str_eq(o->owner_name, o->name);
    return of_wukong || unowned_then || of_volume || is_machine_of(v, o);
}

bool clone_owns(const struct clone_state *v, enum worker_kind kind, const struct kube_object *o)
{
    const struct ours_clone w = owner_of(v);
    /* KubeVirt's own, which we have labelled. */
    bool backup = kind == KIND_SNAPSHOT && str_eq(o->label, w.uid) && str_eq(o->ns, w.source_ns) &&
                  ours_is_backup_of(o->name, v->record.vm_snapshot_uid);
    return backup || (ours_made(&w, kind, o) && is_proven(v, kind, o));
}

/* --- what the API server itself lists --- */

/* Of metadata alone, an empty list comes as null (apiserver's asPartialObjectMetadataList). */
static bool is_list(const cJSON *tree)
{
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(tree, "items");
    return cJSON_IsArray(items) || cJSON_IsNull(items);
}

enum left_listed clone_left_listed(const struct clone_state *v, enum worker_kind kind,
                                   const struct call *list, const char **ret_next)
{
    CLEANUP_JSON cJSON *tree = NULL;
    const cJSON *item;
    *ret_next = NULL;
    if (list->failures || !list->body || json_read(list->body, list->body_len, &tree, NULL) < 0 ||
        !is_list(tree))
        return LEFT_UNKNOWN;
    cJSON_ArrayForEach (item, json_get(tree, "items")) {
        struct kube_object *o = NULL;
        if (kube_object_project(&worker_kinds[kind], item, &o, NULL) < 0)
            return LEFT_UNKNOWN;
        bool ours = clone_owns(v, kind, o);
        free(o);
        if (ours)
            return LEFT_OURS;
    }
    const char *next = json_str(tree, "metadata.continue");
    if (str_empty(next))
        return LEFT_NOTHING;
    *ret_next = arena_strdup(v->arena, next);
    return LEFT_MORE;
}
