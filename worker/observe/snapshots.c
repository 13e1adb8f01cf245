/* The snapshots of this attempt, whoever took them. */
#include "observe/observe.h"

#include <assert.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"
#include "observe/queries.h"
#include "wukong/api/child_names.h"

static void observe_content(struct clone_state *v, const struct cache_reader *c,
                            struct snapshot_state *s)
{
    int64_t ns;
    CLEANUP_FREE char *name = xasprintf("snapcontent-%s", s->uid);
    const char *bound = s->content ? s->content : name;
    const struct kube_object *o = observe_newest(v, c, KIND_CONTENT, "", bound);
    if (!o || !str_eq(kube_object_field(o, F_SNAPSHOT_REF_UID), s->uid)) {
        /* Once cut, it was in the cache; before, the cache may be behind. */
        s->lost = s->content && s->ready && clone_past_cut(v);
        return;
    }
    s->content = o->name;
    s->content_uid = o->uid;
    s->content_exists = true;
    s->content_deleting = o->deleted_ms != 0;
    s->lost = s->content_deleting;
    s->content_retains = str_eq(kube_object_field(o, F_DELETION_POLICY), "Retain");
    s->handle = kube_object_field(o, F_HANDLE);
    s->driver = kube_object_field(o, F_DRIVER);
    /* The content knows of an error seconds before the VolumeSnapshot does. */
    if (!s->error)
        s->error = kube_object_field(o, F_ERROR);
    s->being_created = kube_object_field(o, F_BEING_CREATED) != NULL;
    s->source_mode = kube_object_field(o, F_SOURCE_MODE);
    s->content_class = kube_object_field(o, F_CONTENT_CLASS);
    /* The cut is the content's creationTime (nanoseconds): there 0.2 s after the request, while the
       VolumeSnapshot itself says so seconds later (snapshot-controller's rate limit). */
    /* 0: the driver did not say when; csi-snapshotter takes that for 1970 (snapshotter.go). */
    if (str_to_i64(kube_object_field(o, F_CREATION_TIME), &ns) && (ns > 0 || s->handle)) {
        /* Some drivers answer before they cut (source/cut_rule.h): then the content must be ready.
         */
        s->cut = s->rule != CUT_RULE_READY || str_eq(kube_object_field(o, F_READY_TO_USE), "true");
        s->cut_ms = ns / 1000000;
    }
    (void)str_to_i64(kube_object_field(o, F_RESTORE_SIZE), &s->restore_bytes);
}

static void observe_snapshot(struct clone_state *v, const struct cache_reader *c,
                             struct snapshot_state *s)
{
    const struct kube_object *o = observe_newest(v, c, KIND_SNAPSHOT, s->ns, s->name);
    if (!o)
        return;
    s->exists = true;
    s->uid = o->uid;
    const struct ours_clone owner = clone_snapshot_owner(v);
    s->ours = ours_made(&owner, KIND_SNAPSHOT, o);
    s->deleting = o->deleted_ms != 0;
    s->ready = str_eq(kube_object_field(o, F_READY_TO_USE), "true");
    s->error = kube_object_field(o, F_ERROR);
    s->content = kube_object_field(o, F_CONTENT_NAME);
    s->restore_bytes = quantity_bytes(kube_object_field(o, F_RESTORE_SIZE));
    observe_content(v, c, s);
}

/* Which VolumeSnapshot holds the disk: KubeVirt's content says so, per volume. */
static void observe_backups(struct clone_state *v, const struct cache_reader *c,
                            const cJSON *backups)
{
    const cJSON *b;
    cJSON_ArrayForEach (b, backups) {
        for (size_t i = 0; i < v->disk_count; i++) {
            struct snapshot_state *s = &v->disks[i].snapshot;
            if (!str_eq(v->disks[i].plan->volume, json_str(b, "volumeName")))
                continue;
            s->name = json_str(b, "volumeSnapshotName");
            s->ns = v->effective.source_ns;
            s->rule = v->disks[i].plan->cut.rule;
            if (s->name)
                observe_snapshot(v, c, s);
            /* It is labelled by KubeVirt and owned by the content of our VirtualMachineSnapshot. */
            s->ours =
                s->exists && v->vm_snapshot.ours && ours_is_backup_of(s->name, v->vm_snapshot.uid);
        }
    }
}

static void observe_vm_snapshot(struct clone_state *v, const struct cache_reader *c)
{
    struct snapshot_state *s = &v->vm_snapshot;
    const struct kube_object *o = c->get(c->arg, KIND_VM_SNAPSHOT, s->ns, s->name);
    if (!o)
        return;
    s->exists = true;
    s->uid = o->uid;
    s->ours = clone_owns(v, KIND_VM_SNAPSHOT, o);
    s->deleting = o->deleted_ms != 0;
    s->ready = str_eq(kube_object_field(o, F_READY_TO_USE), "true");
    s->error = kube_object_field(o, F_ERROR);
    v->vm_snapshot_phase = kube_object_field(o, F_PHASE);
    v->vm_snapshot_indications = kube_object_field(o, F_INDICATIONS);
    const char *content = kube_object_field(o, F_VMS_CONTENT);
    /* Until it has Succeeded the guest is KubeVirt's, and the cut is not over. */
    if (!content || !str_eq(v->vm_snapshot_phase, "Succeeded"))
        return;
    const struct kube_object *k = c->get(c->arg, KIND_VM_SNAPSHOT_CONTENT, s->ns, content);
    observe_backups(v, c, clone_field_tree(v, k, F_VOLUME_BACKUPS));
}

/* Its cut is the group's; it comes after that, and carries no label of ours. */
static void see_member(struct clone_state *v, const struct cache_reader *c, struct disk_state *d)
{
    struct snapshot_state *s = &d->snapshot;
    s->name = clone_group_member(c, d);
    s->ns = v->effective.source_ns;
    s->rule = d->group->rule;
    if (s->name)
        observe_snapshot(v, c, s);
    s->ours = s->exists && d->group->ours;
}

void observe_snapshots(struct clone_state *v, const struct cache_reader *c)
{
    char name[NAME_BUF];
    const char *source = str_or(v->record.source_vmi, v->effective.source_name);
    const struct ours_clone owner = clone_snapshot_owner(v);
    if (clone_uses_vm_snapshot(v)) {
        name_snapshot(source, v->wukong->name, v->wukong->uid, clone_attempt(v), NULL, name);
        v->vm_snapshot.name = arena_strdup(v->arena, name);
        v->vm_snapshot.ns = v->effective.source_ns;
        observe_vm_snapshot(v, c);
        return;
    }
    observe_groups(v, c);
    for (size_t i = 0; i < v->disk_count; i++) {
        struct snapshot_state *s = &v->disks[i].snapshot;
        if (v->disks[i].group) {
            see_member(v, c, &v->disks[i]);
            continue;
        }
        name_snapshot(source, owner.name, owner.uid, clone_snapshot_attempt(v),
                      v->disks[i].plan->name, name);
        s->name = arena_strdup(v->arena, name);
        s->ns = v->effective.source_ns;
        s->rule = v->disks[i].plan->cut.rule;
        observe_snapshot(v, c, s);
    }
}

static bool is_carrier(void *arg, const struct kube_object *o)
{
    struct clone_state *v = arg;
    int64_t attempt = 0;
    enum worker_kind kind = v->carrier_kind;
    bool first = kind == KIND_VM_SNAPSHOT || str_eq(kube_object_field(o, F_LABEL_DISK), "0");
    const struct ours_clone owner = clone_snapshot_owner(v);
    if (str_to_i64(kube_object_field(o, F_LABEL_ATTEMPT), &attempt) &&
        attempt == clone_snapshot_attempt(v) && first && !o->deleted_ms &&
        str_eq(o->ns, v->effective.source_ns) && ours_made(&owner, kind, o))
        v->snapshot_carrier = o->name;
    return !v->snapshot_carrier;
}

void observe_carrier(struct clone_state *v, const struct cache_reader *c)
{
    /* Auto may have taken either: the first disk is in a group, or cut by itself. */
    static const enum worker_kind any[] = {KIND_GROUP, KIND_SNAPSHOT};
    const char *owner = clone_snapshot_owner(v).uid;
    v->carrier_kind = clone_uses_vm_snapshot(v) ? KIND_VM_SNAPSHOT : KIND_SNAPSHOT;
    if (v->effective.method != METHOD_AUTO && v->effective.method != METHOD_GROUP_SNAPSHOT) {
        c->each(c->arg, v->carrier_kind, owner, is_carrier, v);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(any) && !v->snapshot_carrier; i++) {
        v->carrier_kind = any[i];
        c->each(c->arg, v->carrier_kind, owner, is_carrier, v);
    }
}
