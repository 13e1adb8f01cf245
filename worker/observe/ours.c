#include "observe/ours.h"

#include "base/mem.h"
#include "base/str.h"
#include "wukong/api/child_names.h"

/* The clocks of two API servers may be apart by this much. */
#define CLOCKS_APART_MS 30000

static bool number_of(const struct kube_object *o, const char *field, int64_t *ret)
{
    return str_to_i64(kube_object_field(o, field), ret) && *ret >= 0;
}

static bool is_vm_name(const struct ours_clone *w, const char *text)
{
    char name[NAME_BUF];
    for (int64_t i = 0; i < w->replicas; i++) {
        name_vm(w->name, w->replicas, i, name);
        if (str_eq(name, text))
            return true;
    }
    return false;
}

static bool is_claim_name(const char *wukong, int64_t replicas, const struct kube_object *o)
{
    char name[PVC_NAME_BUF];
    int64_t index;
    const char *disk = kube_object_field(o, F_LABEL_NAME_OF_DISK);
    if (!disk || !number_of(o, F_LABEL_INDEX, &index) || index >= replicas)
        return false;
    name_pvc(wukong, replicas, index, disk, name);
    return str_eq(name, o->name);
}

/* disk NULL: a VirtualMachineSnapshot's. */
static bool is_snapshot_name(const struct ours_clone *w, const struct kube_object *o,
                             const char *disk)
{
    char name[NAME_BUF];
    int64_t attempt;
    if (!number_of(o, F_LABEL_ATTEMPT, &attempt))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(w->sources); i++) {
        if (!w->sources[i])
            continue;
        name_snapshot(w->sources[i], w->name, w->uid, attempt, disk, name);
        if (str_eq(name, o->name))
            return true;
    }
    return false;
}

static bool content_name_of(const struct ours_clone *w, const struct kube_object *o,
                            char out[PVC_NAME_BUF])
{
    int64_t attempt;
    const char *disk = kube_object_field(o, F_LABEL_NAME_OF_DISK);
    if (!disk || !number_of(o, F_LABEL_ATTEMPT, &attempt))
        return false;
    name_content(w->uid, attempt, disk, out);
    return true;
}

/* One of the source's claim, or the copy beside the clone that stands on our own content. */
static bool is_snapshot(const struct ours_clone *w, const struct kube_object *o)
{
    char content[PVC_NAME_BUF];
    const char *disk = kube_object_field(o, F_LABEL_NAME_OF_DISK);
    const char *given = kube_object_field(o, F_SOURCE_CONTENT);
    if (!disk || !is_snapshot_name(w, o, disk))
        return false;
    if (str_eq(o->ns, w->source_ns))
        return !given;
    return str_eq(o->ns, w->ns) && content_name_of(w, o, content) &&
           (!given || str_eq(given, content));
}

bool ours_content_of(const struct kube_object *content, const char *snapshot_uid)
{
    CLEANUP_FREE char *usual = xasprintf("snapcontent-%s", str_or(snapshot_uid, ""));
    return !str_empty(snapshot_uid) && str_eq(content->name, usual) &&
           str_eq(kube_object_field(content, F_SNAPSHOT_REF_UID), snapshot_uid) &&
           kube_object_field(content, F_VOLUME_HANDLE);
}

bool ours_group_content_of(const struct kube_object *content, const char *group_uid)
{
    CLEANUP_FREE char *usual = xasprintf("groupsnapcontent-%s", str_or(group_uid, ""));
    return !str_empty(group_uid) && str_eq(content->name, usual) &&
           str_eq(kube_object_field(content, F_GROUP_REF_UID), group_uid) &&
           kube_object_field(content, F_GROUP_VOLUMES);
}

/* A copy for another namespace, or a linked clone's parent, which we have labelled ourselves. */
static bool is_content(const struct ours_clone *w, const struct kube_object *o)
{
    char name[PVC_NAME_BUF];
    const char *ns = kube_object_field(o, F_SNAPSHOT_REF_NS);
    if (kube_object_field(o, F_VOLUME_HANDLE))
        return str_eq(ns, w->source_ns) &&
               ours_content_of(o, kube_object_field(o, F_SNAPSHOT_REF_UID));
    return str_eq(ns, w->ns) && content_name_of(w, o, name) && str_eq(name, o->name);
}

bool ours_made(const struct ours_clone *w, enum worker_kind kind, const struct kube_object *o)
{
    bool older = w->created_ms && o->created_ms && o->created_ms + CLOCKS_APART_MS < w->created_ms;
    if (!str_eq(o->label, w->uid) || older)
        return false;
    switch (kind) {
    case KIND_VM:
        return str_eq(o->ns, w->ns) && is_vm_name(w, o->name);
    case KIND_PVC:
    case KIND_DATA_VOLUME:
        return str_eq(o->ns, w->ns) && is_claim_name(w->name, w->replicas, o);
    case KIND_SNAPSHOT:
        return is_snapshot(w, o);
    case KIND_GROUP:
        return str_eq(o->ns, w->source_ns) && is_snapshot(w, o);
    case KIND_GROUP_CONTENT:
        return str_eq(kube_object_field(o, F_GROUP_REF_NS), w->source_ns) &&
               ours_group_content_of(o, kube_object_field(o, F_GROUP_REF_UID));
    case KIND_VM_SNAPSHOT:
        return str_eq(o->ns, w->source_ns) && is_snapshot_name(w, o, NULL);
    case KIND_CONTENT:
        return is_content(w, o);
    default:
        return false;
    }
}

bool ours_claim_counts(const struct kube_object *o)
{
    const char *wukong = kube_object_field(o, F_LABEL_WUKONG);
    const char *ns = kube_object_field(o, F_LABEL_NS);
    if (!o->label || !wukong || (ns && !str_eq(ns, o->ns)))
        return false;
    /* A batch is told by its names. */
    return is_claim_name(wukong, 1, o) || is_claim_name(wukong, INT64_MAX, o);
}

bool ours_is_backup_of(const char *snapshot_name, const char *vm_snapshot_uid)
{
    CLEANUP_FREE char *head = xasprintf("vmsnapshot-%s-volume-", str_or(vm_snapshot_uid, ""));
    return !str_empty(vm_snapshot_uid) && str_starts(str_or(snapshot_name, ""), head);
}
