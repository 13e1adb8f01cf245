/* The state of everything that bears the clone's label: what is its own, and what is not. */
#include "observe/observe.h"

#include "base/str.h"
#include "json/json.h"
#include "observe/queries.h"
#include "wukong/api/child_names.h"

struct owned_fill {
    struct clone_state *v;
    const struct cache_reader *caches;
    int kind;
    size_t cap;
};

/* Somebody else restores from it, or will. */
static bool is_held(struct clone_state *v, const struct kube_object *o)
{
    int64_t attempt;
    if (!str_eq(o->ns, v->effective.source_ns) ||
        !str_to_i64(kube_object_field(o, F_LABEL_ATTEMPT), &attempt))
        return false;
    for (size_t i = 0; i < v->held_group_count; i++)
        if (v->held[i].attempt == attempt && str_eq(v->held[i].uid, o->label))
            return true;
    return false;
}

static struct leftover *add_one(struct owned_fill *f, int kind, const struct kube_object *o)
{
    struct clone_state *v = f->v;
    if (v->ours_count == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 32;
        struct leftover *grown = arena_alloc(v->arena, cap * sizeof *grown);
        if (v->ours_count)
            memcpy(grown, v->ours, v->ours_count * sizeof *grown);
        v->ours = grown;
        f->cap = cap;
    }
    struct leftover *left = &v->ours[v->ours_count++];
    *left =
        (struct leftover){.kind = kind,
                          .ns = o->ns,
                          .name = o->name,
                          .uid = o->uid,
                          .deleting = o->deleted_ms != 0,
                          .copy = kind == KIND_CONTENT || !str_eq(o->ns, v->effective.source_ns)};
    return left;
}

static struct leftover *add_left(struct owned_fill *f, int kind, const struct kube_object *o)
{
    struct leftover *left = add_one(f, kind, o);
    if (kind == KIND_SNAPSHOT)
        observe_left_snapshot(f->v, f->caches, o, left);
    if (kind == KIND_CONTENT)
        observe_left_content(f->v, f->caches, o, left);
    if (kind == KIND_GROUP_CONTENT)
        observe_left_group_content(f->v, f->caches, o, left);
    return left;
}

/* The members carry no label of ours: the content names the volumes, and with the group's UID their
   names follow. */
static void add_group(struct owned_fill *f, const struct kube_object *o)
{
    char name[MEMBER_NAME_BUF];
    CLEANUP_FREE char *content_name = xasprintf("groupsnapcontent-%s", o->uid);
    const struct cache_reader *c = f->caches;
    struct leftover group = *add_one(f, KIND_GROUP, o);
    observe_left_group(f->v, c, o, &group);
    f->v->ours[f->v->ours_count - 1] = group;
    const struct kube_object *content = c->get(c->arg, KIND_GROUP_CONTENT, "", content_name);
    const cJSON *info;
    cJSON_ArrayForEach (info, clone_field_tree(f->v, content, F_GROUP_MEMBERS)) {
        name_group_member(o->uid, str_or(json_str(info, "volumeHandle"), ""), name);
        const struct kube_object *s = c->get(c->arg, KIND_SNAPSHOT, o->ns, name);
        if (s && str_eq(s->owner_uid, o->uid))
            observe_left_member(f->v, c, &group, s, add_one(f, KIND_SNAPSHOT, s));
    }
}

/* Something that belongs to a VirtualMachineSnapshot of ours. Once KubeVirt is done with it, it is
   there, and a cache that does not show it (a watch may hang for minutes) is no reason to forget
   it. */
static const struct kube_object *find_backup(struct owned_fill *f, enum worker_kind kind,
                                             const struct kube_object *vm_snapshot,
                                             const char *name, bool *ret_live)
{
    const struct kube_object *o = f->caches->get(f->caches->arg, kind, vm_snapshot->ns, name);
    bool unread = false;
    *ret_live = !o && str_eq(kube_object_field(vm_snapshot, F_PHASE), "Succeeded");
    if (!*ret_live)
        return o;
    o = observe_live(f->v, kind, name, &unread);
    if (unread) {
        struct kube_object unseen = {.ns = vm_snapshot->ns,
                                     .name = arena_strdup(f->v->arena, name)};
        add_one(f, (int)kind, &unseen)->unread = true;
    }
    return o;
}

/* KubeVirt's VolumeSnapshots for our VirtualMachineSnapshot do not carry our label: once it is
   gone, nothing would tell that the garbage collector has not come to them yet. Whoever may edit
   KubeVirt's list can write other names into it. */
static void add_backups(struct owned_fill *f, const struct kube_object *vm_snapshot)
{
    CLEANUP_FREE char *name = xasprintf("vmsnapshot-content-%s", vm_snapshot->uid);
    bool live = false;
    const struct kube_object *k =
        find_backup(f, KIND_VM_SNAPSHOT_CONTENT, vm_snapshot, name, &live);
    const cJSON *b;
    cJSON_ArrayForEach (b, clone_field_tree(f->v, k, F_VOLUME_BACKUPS)) {
        const char *snapshot = json_str(b, "volumeSnapshotName");
        const struct kube_object *o =
            ours_is_backup_of(snapshot, vm_snapshot->uid)
                ? find_backup(f, KIND_SNAPSHOT, vm_snapshot, snapshot, &live)
                : NULL;
        bool labelled =
            o && (str_eq(o->label, f->v->wukong->uid) ||
                  (live && call_ok(call_log_find(f->v->call_log,
                                                 call_key_named(CALL_LABEL_SNAPSHOT, o->uid)))));
        /* What the cache shows with our label is among ours already. */
        if (!o || (!live && clone_owns(f->v, KIND_SNAPSHOT, o)))
            continue;
        struct leftover *left = add_left(f, KIND_SNAPSHOT, o);
        left->unlabelled = !labelled;
        left->backup_of = vm_snapshot->uid;
    }
}

static bool is_ready_vm(const struct clone_state *v, const char *uid)
{
    for (size_t i = 0; i < v->record.ready_count; i++)
        if (str_eq(v->record.ready[i].vm_uid, uid))
            return true;
    return false;
}

/* A machine of a batch that has been ready, and its disks. Of a clone that has succeeded all are,
   and who deletes the Wukong says by reclaimPolicy what becomes of them. */
static bool of_ready_machine(const struct owned_fill *f, const struct kube_object *o)
{
    const struct clone_state *v = f->v;
    bool failed = v->record.phase == PHASE_FAILED && v->effective.reclaim == RECLAIM_RETAIN;
    bool goes = (v->wukong->deleted_ms && !failed) || v->own_ns_terminating;
    if (v->record.phase == PHASE_SUCCEEDED || goes)
        return false;
    if (f->kind == KIND_VM)
        return is_ready_vm(v, o->uid);
    if (f->kind == KIND_PVC && str_eq(o->owner_kind, "DataVolume")) {
        const struct kube_object *dv =
            f->caches->get(f->caches->arg, KIND_DATA_VOLUME, o->ns, str_or(o->owner_name, ""));
        return dv && str_eq(dv->uid, o->owner_uid) && dv->owner_uid &&
               is_ready_vm(v, dv->owner_uid);
    }
    return (f->kind == KIND_PVC || f->kind == KIND_DATA_VOLUME) && o->owner_uid &&
           is_ready_vm(v, o->owner_uid);
}

/* Who may create objects may label as many of them as he likes. What is left out is seen when these
   are gone. */
#define OURS_MAX 4096

static bool add_own(struct owned_fill *f, const struct kube_object *o)
{
    if ((f->kind == KIND_SNAPSHOT || f->kind == KIND_GROUP) && is_held(f->v, o)) {
        f->v->held_count++;
        return true;
    }
    if (f->kind == KIND_GROUP) {
        add_group(f, o);
        return true;
    }
    struct leftover *left = add_left(f, f->kind, o);
    left->stays = of_ready_machine(f, o);
    if (f->kind == KIND_PVC)
        left->pending_claim = !str_eq(kube_object_field(o, F_PHASE), "Bound");
    if (f->kind == KIND_DATA_VOLUME)
        left->pending_claim = !str_eq(kube_object_field(o, F_PHASE), "Succeeded");
    if (f->kind == KIND_VM_SNAPSHOT) {
        left->kubevirt_still_holds = !str_eq(kube_object_field(o, F_PHASE), "Succeeded");
        add_backups(f, o);
    }
    return true;
}

/* What KubeVirt and CDI make of an object of ours may have its labels, and is theirs. */
static bool is_made_by_others(const struct kube_object *o)
{
    static const char *const kinds[] = {"VirtualMachineSnapshotContent", "DataVolume",
                                        "PersistentVolumeClaim", "VolumeCloneSource"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(o->owner_kind, kinds[i]))
            return true;
    return false;
}

static void add_stranger(struct clone_state *v, int kind, const struct kube_object *o)
{
    if (is_made_by_others(o))
        return;
    if (v->stranger_count < STRANGERS_MAX)
        v->strangers[v->stranger_count] = (struct stranger){kind, o->ns, o->name};
    v->stranger_count++;
}

static bool add_ours(void *arg, const struct kube_object *o)
{
    struct owned_fill *f = arg;
    if (!clone_owns(f->v, (enum worker_kind)f->kind, o)) {
        add_stranger(f->v, f->kind, o);
        return true;
    }
    return add_own(f, o);
}

/* A snapshot that was taken over: of that one attempt, and only where the source is. */
static bool add_shared(void *arg, const struct kube_object *o)
{
    struct owned_fill *f = arg;
    int64_t attempt;
    const struct ours_clone owner = clone_snapshot_owner(f->v);
    if (!str_eq(o->ns, f->v->effective.source_ns) ||
        !str_to_i64(kube_object_field(o, F_LABEL_ATTEMPT), &attempt) ||
        attempt != f->v->record.attempt.shared.attempt ||
        !ours_made(&owner, (enum worker_kind)f->kind, o))
        return true;
    return add_own(f, o);
}

void observe_ours(struct clone_state *v, const struct cache_reader *c)
{
    static const enum worker_kind kinds[] = {KIND_VM,       KIND_DATA_VOLUME,  KIND_PVC,
                                             KIND_SNAPSHOT, KIND_VM_SNAPSHOT,  KIND_CONTENT,
                                             KIND_GROUP,    KIND_GROUP_CONTENT};
    struct owned_fill f = {.v = v, .caches = c};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        f.kind = (int)kinds[i];
        c->each(c->arg, kinds[i], v->wukong->uid, add_ours, &f);
    }
    /* Without our finalizer the Wukong no longer claims shared snapshots: do not list them. */
    static const enum worker_kind shared[] = {KIND_SNAPSHOT, KIND_GROUP};
    for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
        f.kind = (int)shared[i];
        if (v->record.attempt.shared.uid && v->wukong->has_finalizer)
            c->each(c->arg, shared[i], v->record.attempt.shared.uid, add_shared, &f);
    }
}
