#include "worker/view_build.h"

#include <assert.h>

#include "base/str.h"
#include "json/json.h"
#include "worker/capture.h"
#include "worker/steps.h"
#include "wukong/names.h"
#include "wukong/quantity.h"

void view_keep_tree(struct clone_view *v, cJSON *tree)
{
    if (v->tree_count == v->tree_cap) {
        v->tree_cap = v->tree_cap ? v->tree_cap * 2 : 16;
        v->trees = xrealloc(v->trees, v->tree_cap * sizeof(cJSON *));
    }
    v->trees[v->tree_count++] = tree;
}

void view_release(struct clone_view *v)
{
    for (size_t i = 0; i < v->tree_count; i++)
        cJSON_Delete(v->trees[i]);
    free(v->trees);
    v->trees = NULL;
    v->tree_count = v->tree_cap = 0;
}

const cJSON *view_field_tree(struct clone_view *v, const struct kube_object *o, const char *path)
{
    cJSON *tree = NULL;
    const char *text = o ? kube_object_field(o, path) : NULL;
    if (!text || json_read(text, strlen(text), &tree, NULL) < 0)
        return NULL;
    view_keep_tree(v, tree);
    return tree;
}

static const cJSON *packed_tree(struct clone_view *v, const struct kube_object *o)
{
    cJSON *tree = NULL;
    CLEANUP_FREE char *text = kube_object_unpack(o);
    if (!text || json_read(text, strlen(text), &tree, NULL) < 0)
        return NULL;
    view_keep_tree(v, tree);
    return tree;
}

static const char *field(const struct kube_object *o, const char *path)
{
    return o ? kube_object_field(o, path) : NULL;
}

/* --- the Wukong itself --- */

static void read_labels(struct clone_view *v, struct wukong *w, const struct kube_object *o)
{
    const cJSON *labels = view_field_tree(v, o, F_LABELS);
    size_t n = (size_t)cJSON_GetArraySize(labels);
    w->labels.items = arena_alloc(v->arena, (n + 1) * sizeof *w->labels.items);
    const cJSON *m;
    cJSON_ArrayForEach (m, labels)
        if (cJSON_IsString(m))
            w->labels.items[w->labels.count++] = (struct wukong_pair){m->string, m->valuestring};
}

int view_read_wukong(struct clone_view *v, const struct kube_object *o, struct err *err)
{
    struct wukong *w = arena_alloc(v->arena, sizeof *w);
    assert(o->uid);
    w->name = o->name;
    w->ns = o->ns;
    w->uid = o->uid;
    w->resource_version = o->resource_version;
    w->generation = o->generation;
    w->created_ms = o->created_ms;
    w->deleted_ms = o->deleted_ms;
    const char *finalizers = field(o, F_FINALIZERS);
    w->has_finalizer = finalizers && strstr(finalizers, "\"" WUKONG_FINALIZER "\"");
    read_labels(v, w, o);
    const cJSON *spec = view_field_tree(v, o, F_SPEC);
    if (!spec)
        return err_set(err, ERR_INVALID, "the Wukong has no spec");
    if (wukong_decode_spec(v->arena, spec, &w->spec, err) < 0)
        return -1;
    v->wukong = w;
    v->effective = wukong_default(&w->spec, w->ns);
    v->status = packed_tree(v, o);
    v->record = record_read(v->arena, json_get(v->status, "cloneStatus"));
    v->retry = field(o, F_ANNOTATION_RETRY);
    return 0;
}

/* --- the source --- */

static bool condition_true(const cJSON *conditions, const char *type)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, conditions)
        if (str_eq(json_str(c, "type"), type))
            return str_eq(json_str(c, "status"), "True");
    return false;
}

/* When it began to run: a guest that boots has no agent yet. */
static int64_t began_running(const cJSON *moments, int64_t created_ms)
{
    int64_t at = created_ms;
    const cJSON *m;
    cJSON_ArrayForEach (m, moments)
        if (str_eq(json_str(m, "phase"), "Running") &&
            !str_to_time_ms(json_str(m, "phaseTransitionTimestamp"), &at))
            at = created_ms;
    return at;
}

static void read_vmi(struct clone_view *v, const struct kube_object *vmi)
{
    struct view_source *s = &v->source;
    const cJSON *conditions = view_field_tree(v, vmi, F_CONDITIONS);
    s->vmi_exists = true;
    s->vmi_name = vmi->name;
    s->vmi_uid = vmi->uid;
    s->phase = field(vmi, F_PHASE);
    s->running = str_eq(s->phase, "Running") && !vmi->deleted_ms;
    s->agent = condition_true(conditions, "AgentConnected");
    s->paused = condition_true(conditions, "Paused");
    s->began_ms = began_running(view_field_tree(v, vmi, F_PHASE_TIMES), vmi->created_ms);
    s->freeze_status = str_empty(field(vmi, F_FREEZE_STATUS)) ? NULL : field(vmi, F_FREEZE_STATUS);
    s->revision = field(vmi, F_REVISION_NAME);
    s->guest_os = str_empty(field(vmi, F_GUEST_OS)) ? NULL : field(vmi, F_GUEST_OS);
    /* A VMI that is over is no running source, and what is left of it is no VMI to freeze. */
    if (str_eq(s->phase, "Succeeded") || str_eq(s->phase, "Failed"))
        s->vmi_exists = false;
}

static void read_vm(struct clone_view *v, const struct kube_object *vm)
{
    struct view_source *s = &v->source;
    s->vm_exists = true;
    s->vm_name = vm->name;
    s->vm_uid = vm->uid;
    s->vm_run_strategy = field(vm, F_RUN_STRATEGY);
}

static void read_holds(struct clone_view *v, const struct kube_object *vm,
                       const struct kube_object *vmi)
{
    const struct kube_object *now = v->source.vmi_exists ? vmi : NULL;
    v->source.holds = holds_read(&(struct hold_fields){
        .runs = now != NULL,
        .vmi_conditions = view_field_tree(v, now, F_CONDITIONS),
        .migrated_volumes = view_field_tree(v, now, F_MIGRATED_VOLUMES),
        .migration = view_field_tree(v, now, F_MIGRATION),
        .backup = view_field_tree(v, now, F_BACKUP_STATUS),
        .vm_conditions = view_field_tree(v, vm, F_CONDITIONS),
        .snapshot = field(vm, F_SNAPSHOT_IN_PROGRESS),
        .restore = field(vm, F_RESTORE_IN_PROGRESS),
    });
}

/* Passes the caches on, and notes what of them cannot be read: it is there, and nothing is known of
   it, which is neither what it would be without it nor what it seems to be with empty fields. */
struct noting {
    struct clone_view *v;
    const struct caches *real;
};

static const struct kube_object *noting_get(void *arg, enum worker_kind kind, const char *ns,
                                            const char *name)
{
    struct noting *n = arg;
    const struct kube_object *o = n->real->get(n->real->arg, kind, ns, name);
    if (o && o->unreadable && !n->v->unreadable)
        n->v->unreadable =
            arena_printf(n->v->arena, "%s %s%s%s cannot be read: %s", worker_kinds[kind].kind,
                         o->ns, *o->ns ? "/" : "", o->name, o->unreadable);
    return o;
}

static void noting_each(void *arg, enum worker_kind kind, const char *label,
                        bool (*visit)(void *visit_arg, const struct kube_object *o),
                        void *visit_arg)
{
    const struct noting *n = arg;
    n->real->each(n->real->arg, kind, label, visit, visit_arg);
}

static bool noting_served(void *arg, enum worker_kind kind)
{
    const struct noting *n = arg;
    return n->real->served(n->real->arg, kind);
}

static void read_source(struct clone_view *v, const struct caches *c)
{
    const struct wukong_effective *e = &v->effective;
    const struct kube_object *vmi = c->get(c->arg, KIND_VMI, e->source_ns, e->source_name);
    bool of_vm = vmi && str_eq(vmi->owner_kind, "VirtualMachine");
    const char *vm_name = e->source_type == SOURCE_VM ? e->source_name
                          : of_vm                     ? vmi->owner_name
                                                      : NULL;
    const struct kube_object *vm = vm_name ? c->get(c->arg, KIND_VM, e->source_ns, vm_name) : NULL;
    v->source.vm_name = vm_name;
    v->source.vmi_name = e->source_name;
    v->source.stand_alone = vmi && !of_vm;
    if (vm)
        read_vm(v, vm);
    if (vmi)
        read_vmi(v, vmi);
    read_holds(v, vm, vmi);
    const struct kube_object *own = e->source_type == SOURCE_VM ? vm : vmi;
    v->source.deleting = own && own->deleted_ms;
}

/* --- classes --- */

struct class_fill {
    struct clone_view *v;
    struct storage_class_facts *storage;
    struct snapshot_class_facts *snapshot;
    struct storage_profile_facts *profiles;
    const char **drivers;
};

static bool add_storage_class(void *arg, const struct kube_object *o)
{
    struct class_fill *f = arg;
    struct class_facts *c = &f->v->classes;
    f->storage[c->storage_class_count++] = (struct storage_class_facts){
        .name = o->name,
        .provisioner = field(o, F_PROVISIONER),
        .expansion = str_eq(field(o, F_EXPANSION), "true"),
        .is_default = str_eq(field(o, F_DEFAULT_CLASS), "true"),
        .wait_for_first_consumer = str_eq(field(o, F_BINDING_MODE), "WaitForFirstConsumer"),
    };
    return c->storage_class_count < LIMIT_CLASSES;
}

static const char *class_field(const void *object, const char *path)
{
    return kube_object_field(object, path);
}

static bool add_snapshot_class(void *arg, const struct kube_object *o)
{
    struct class_fill *f = arg;
    struct class_facts *c = &f->v->classes;
    f->snapshot[c->snapshot_class_count++] = facts_snapshot_class_of(o->name, class_field, o);
    return c->snapshot_class_count < LIMIT_CLASSES;
}

static bool add_driver(void *arg, const struct kube_object *o)
{
    struct class_fill *f = arg;
    struct class_facts *c = &f->v->classes;
    f->drivers[c->driver_count++] = o->name;
    return c->driver_count < LIMIT_CLASSES;
}

static bool add_profile(void *arg, const struct kube_object *o)
{
    struct class_fill *f = arg;
    struct class_facts *c = &f->v->classes;
    f->profiles[c->profile_count++] = (struct storage_profile_facts){
        o->name, field(o, F_PROFILE_CLASS),
        cJSON_GetArraySize(view_field_tree(f->v, o, F_PROFILE_SETS)) > 0};
    return c->profile_count < LIMIT_CLASSES;
}

static void read_classes(struct clone_view *v, const struct caches *c)
{
    struct class_facts *facts = &v->classes;
    struct class_fill f = {
        .v = v,
        .storage = arena_alloc(v->arena, LIMIT_CLASSES * sizeof *f.storage),
        .snapshot = arena_alloc(v->arena, LIMIT_CLASSES * sizeof *f.snapshot),
        .profiles = arena_alloc(v->arena, LIMIT_CLASSES * sizeof *f.profiles),
        .drivers = arena_alloc(v->arena, LIMIT_CLASSES * sizeof *f.drivers),
    };
    c->each(c->arg, KIND_STORAGE_CLASS, NULL, add_storage_class, &f);
    c->each(c->arg, KIND_SNAPSHOT_CLASS, NULL, add_snapshot_class, &f);
    c->each(c->arg, KIND_CSI_DRIVER, NULL, add_driver, &f);
    c->each(c->arg, KIND_STORAGE_PROFILE, NULL, add_profile, &f);
    facts->storage_classes = f.storage;
    facts->snapshot_classes = f.snapshot;
    facts->profiles = f.profiles;
    facts->drivers = f.drivers;
    facts->looked_up = true;
    facts->drivers_known = true;
    facts->cloning_refused = v->record.cloning_refused;
    facts->snapshot_api = c->served(c->arg, KIND_SNAPSHOT);
    facts->cdi = c->served(c->arg, KIND_DATA_VOLUME);
}

/* --- snapshots and claims --- */

static void see_content(const struct clone_view *v, const struct caches *c, struct seen_snapshot *s)
{
    int64_t ns;
    CLEANUP_FREE char *name = xasprintf("snapcontent-%s", s->uid);
    const char *bound = s->content ? s->content : name;
    const struct kube_object *o = c->get(c->arg, KIND_CONTENT, "", bound);
    if (!o || !str_eq(field(o, F_SNAPSHOT_REF_UID), s->uid)) {
        /* Once cut, it was in the cache; before, the cache may be behind. */
        s->lost = s->content && s->ready && view_past_cut(v);
        return;
    }
    s->content = o->name;
    s->content_uid = o->uid;
    s->content_exists = true;
    s->content_deleting = o->deleted_ms != 0;
    s->lost = s->content_deleting;
    s->content_retains = str_eq(field(o, F_DELETION_POLICY), "Retain");
    s->handle = field(o, F_HANDLE);
    s->driver = field(o, F_DRIVER);
    /* The content knows of an error seconds before the VolumeSnapshot does. */
    if (!s->error)
        s->error = field(o, F_ERROR);
    s->source_mode = field(o, F_SOURCE_MODE);
    s->content_class = field(o, F_CONTENT_CLASS);
    /* The cut is the content's creationTime (nanoseconds): there 0.2 s after the request, while the
       VolumeSnapshot itself says so seconds later (snapshot-controller's rate limit). */
    /* 0: the driver did not say when; csi-snapshotter takes that for 1970 (snapshotter.go). */
    if (str_to_i64(field(o, F_CREATION_TIME), &ns) && (ns > 0 || s->handle)) {
        /* Some drivers answer before they cut (cut_rule.h): then the content must be ready. */
        s->cut = s->rule != CUT_RULE_READY || str_eq(field(o, F_READY_TO_USE), "true");
        s->cut_ms = ns / 1000000;
    }
    (void)str_to_i64(field(o, F_RESTORE_SIZE), &s->restore_bytes);
}

static void see_snapshot(struct clone_view *v, const struct caches *c, struct seen_snapshot *s)
{
    const struct kube_object *o = c->get(c->arg, KIND_SNAPSHOT, s->ns, s->name);
    if (!o)
        return;
    s->exists = true;
    s->uid = o->uid;
    const struct ours_clone taker = view_taker(v);
    s->ours = ours_made(&taker, KIND_SNAPSHOT, o);
    s->deleting = o->deleted_ms != 0;
    s->ready = str_eq(field(o, F_READY_TO_USE), "true");
    s->error = field(o, F_ERROR);
    s->content = field(o, F_CONTENT_NAME);
    s->restore_bytes = quantity_bytes(field(o, F_RESTORE_SIZE));
    see_content(v, c, s);
}

/* What CDI says is wrong. A step of the clone that fails is told by condition Running, and tried
   again for ever; what is wrong before there is a claim, by condition Bound (CDI
   pkg/controller/populators/clone-populator.go addRunningAnnotations,
   pkg/controller/datavolume/conditions.go updateBoundCondition). */
static const char *data_volume_error(struct clone_view *v, const struct kube_object *dv,
                                     bool claim_exists)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, view_field_tree(v, dv, F_CONDITIONS)) {
        const char *type = json_str(c, "type"), *reason = json_str(c, "reason");
        bool failed = str_eq(type, "Running") && str_eq(reason, "Error");
        bool refused = str_eq(type, "Bound") && !claim_exists && !str_empty(reason) &&
                       !str_eq(reason, "NotFound");
        if ((failed || refused) && str_eq(json_str(c, "status"), "False"))
            return str_or(json_str(c, "message"), reason);
    }
    return NULL;
}

/* "45.00%" or "N/A". All of it is there when the phase says so, not before. */
static unsigned percent_of(const char *text)
{
    unsigned percent = 0;
    for (; text && *text >= '0' && *text <= '9' && percent < 100; text++)
        percent = percent * 10 + (unsigned)(*text - '0');
    return percent < 99 ? percent : 99;
}

/* A claim that CDI makes: the DataVolume of its name is ours, is what the machine owns, and stands
   for the claim until that is there. */
static void see_data_volume(struct clone_view *v, const struct caches *c, struct seen_claim *s)
{
    const struct kube_object *dv = c->get(c->arg, KIND_DATA_VOLUME, v->wukong->ns, s->name);
    const struct kube_object *pvc = c->get(c->arg, KIND_PVC, v->wukong->ns, s->name);
    if (!dv)
        return;
    bool made = pvc && str_eq(pvc->owner_uid, dv->uid);
    s->ours = view_is_ours(v, KIND_DATA_VOLUME, dv) && (!pvc || made || s->ours);
    s->exists = s->data_volume = true;
    s->object = dv;
    s->sourced = true;
    s->deleting |= dv->deleted_ms != 0;
    s->owned = dv->owner_uid && !str_eq(dv->owner_uid, v->wukong->uid);
    s->owner_target = dv->uid;
    s->uid = pvc ? pvc->uid : dv->uid;
    s->created_ms = dv->created_ms;
    s->host_copied = str_eq(field(pvc, F_CDI_CLONE_TYPE), "copy");
    s->fallback = s->host_copied ? field(pvc, F_CDI_FALLBACK) : NULL;
    /* The claim is bound long before its data are there. */
    s->bound = s->bound && str_eq(field(dv, F_PHASE), "Succeeded");
    s->done_percent = s->bound ? 100 : percent_of(field(dv, F_PROGRESS));
    s->error = data_volume_error(v, dv, pvc != NULL);
    int64_t attempt;
    s->earlier = str_to_i64(field(dv, F_LABEL_ATTEMPT), &attempt) && attempt != view_attempt(v);
}

static void see_claim(struct clone_view *v, const struct caches *c, struct seen_claim *s)
{
    const struct kube_object *o = c->get(c->arg, KIND_PVC, v->wukong->ns, s->name);
    int64_t attempt;
    if (o) {
        s->exists = true;
        s->object = o;
        s->uid = o->uid;
        s->ours = view_is_ours(v, KIND_PVC, o);
        s->deleting = o->deleted_ms != 0;
        s->bound = str_eq(field(o, F_PHASE), "Bound");
        s->done_percent = s->bound ? 100 : 0;
        s->created_ms = o->created_ms;
        s->earlier = str_to_i64(field(o, F_LABEL_ATTEMPT), &attempt) && attempt != view_attempt(v);
        /* CDI fills it, from a DataVolume that another watch is yet to show; that is what the
           machine owns, and the claim's own owner is CDI's. */
        bool unseen = str_eq(o->owner_kind, "DataVolume");
        s->owned = o->owner_uid && !unseen && !str_eq(o->owner_uid, v->wukong->uid);
        s->owner_target = unseen ? NULL : o->uid;
        s->sourced = unseen || field(o, F_DATA_SOURCE) != NULL;
        s->bytes = quantity_bytes(field(o, F_CAPACITY));
        if (unseen && !c->get(c->arg, KIND_DATA_VOLUME, v->wukong->ns, s->name))
            s->bound = false, s->done_percent = 0;
    }
    see_data_volume(v, c, s);
    if (!s->ours) /* a stranger's claim of that name is no progress of ours */
        s->bound = false, s->done_percent = 0;
}

static const char *vm_failure(struct clone_view *v, const struct kube_object *o)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, view_field_tree(v, o, F_CONDITIONS))
        if (str_eq(json_str(c, "type"), "Failure") && str_eq(json_str(c, "status"), "True"))
            return str_or(json_str(c, "message"), json_str(c, "reason"));
    return NULL;
}

/*
 * The readiness probe is not asked: VirtualMachine.status.ready follows the condition Ready of the
 * VMI, which a probe turns False for as long as it fails (KubeVirt
 * pkg/virt-controller/watch/vm/vm.go syncReadyConditionFromVMI). The VMI has its VM's name.
 */
static bool was_started(const struct clone_view *v, const struct caches *c,
                        const struct kube_object *vm)
{
    static const char *const up[] = {"Running", "Paused", "Migrating"};
    const struct kube_object *vmi = c->get(c->arg, KIND_VMI, v->wukong->ns, vm->name);
    const char *phase = vmi && str_eq(vmi->owner_uid, vm->uid) ? field(vmi, F_PHASE) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(up); i++)
        if (str_eq(field(vm, F_PRINTABLE), up[i]))
            return true;
    return str_eq(field(vm, F_READY), "true") || str_eq(phase, "Running") ||
           str_eq(phase, "Succeeded");
}

static void see_vm(struct clone_view *v, const struct caches *c, struct seen_vm *s)
{
    const struct kube_object *o = c->get(c->arg, KIND_VM, v->wukong->ns, s->name);
    if (!o)
        return;
    s->exists = true;
    s->uid = o->uid;
    s->ours = view_is_ours(v, KIND_VM, o);
    s->deleting = o->deleted_ms != 0;
    s->ready = str_eq(field(o, F_READY), "true");
    s->owned = str_eq(o->owner_uid, v->wukong->uid);
    s->owned_by_other = o->owner_uid && !s->owned;
    s->printable = field(o, F_PRINTABLE);
    s->up = was_started(v, c, o);
    s->failure = vm_failure(v, o);
}

/* --- the capture's carrier, snapshots, targets --- */

static bool find_carrier(void *arg, const struct kube_object *o)
{
    struct clone_view *v = arg;
    int64_t attempt = 0;
    bool whole = view_uses_vm_snapshot(v);
    bool first = whole || str_eq(field(o, F_LABEL_DISK), "0");
    const struct ours_clone taker = view_taker(v);
    if (str_to_i64(field(o, F_LABEL_ATTEMPT), &attempt) && attempt == view_taken_in(v) && first &&
        !o->deleted_ms && str_eq(o->ns, v->effective.source_ns) &&
        ours_made(&taker, whole ? KIND_VM_SNAPSHOT : KIND_SNAPSHOT, o))
        v->snapshot_carrier = o->name;
    return !v->snapshot_carrier;
}

static const char *own(struct clone_view *v, const char *text)
{
    const char *copy = arena_strdup(v->arena, text);
    return copy;
}

/* Which VolumeSnapshot holds the disk: KubeVirt's content says so, per volume. */
static void see_backups(struct clone_view *v, const struct caches *c, const cJSON *backups)
{
    const cJSON *b;
    cJSON_ArrayForEach (b, backups) {
        for (size_t i = 0; i < v->disk_count; i++) {
            struct seen_snapshot *s = &v->disks[i].snapshot;
            if (!str_eq(v->disks[i].plan->volume, json_str(b, "volumeName")))
                continue;
            s->name = json_str(b, "volumeSnapshotName");
            s->ns = v->effective.source_ns;
            s->rule = v->disks[i].plan->cut.rule;
            if (s->name)
                see_snapshot(v, c, s);
            /* It is labelled by KubeVirt and owned by the content of our VirtualMachineSnapshot. */
            s->ours =
                s->exists && v->vm_snapshot.ours && ours_is_backup_of(s->name, v->vm_snapshot.uid);
        }
    }
}

static void see_vm_snapshot(struct clone_view *v, const struct caches *c)
{
    struct seen_snapshot *s = &v->vm_snapshot;
    const struct kube_object *o = c->get(c->arg, KIND_VM_SNAPSHOT, s->ns, s->name);
    if (!o)
        return;
    s->exists = true;
    s->uid = o->uid;
    s->ours = view_is_ours(v, KIND_VM_SNAPSHOT, o);
    s->deleting = o->deleted_ms != 0;
    s->ready = str_eq(field(o, F_READY_TO_USE), "true");
    s->error = field(o, F_ERROR);
    v->vm_snapshot_phase = field(o, F_PHASE);
    v->vm_snapshot_indications = field(o, F_INDICATIONS);
    const char *content = field(o, F_VMS_CONTENT);
    /* Until it has Succeeded the guest is KubeVirt's, and the cut is not over. */
    if (!content || !str_eq(v->vm_snapshot_phase, "Succeeded"))
        return;
    const struct kube_object *k = c->get(c->arg, KIND_VM_SNAPSHOT_CONTENT, s->ns, content);
    see_backups(v, c, view_field_tree(v, k, F_VOLUME_BACKUPS));
}

static void see_snapshots(struct clone_view *v, const struct caches *c)
{
    char name[NAME_BUF];
    const char *source = str_or(v->record.source_vmi, v->effective.source_name);
    const struct ours_clone taker = view_taker(v);
    if (view_uses_vm_snapshot(v)) {
        name_snapshot(source, v->wukong->name, v->wukong->uid, view_attempt(v), NULL, name);
        v->vm_snapshot.name = own(v, name);
        v->vm_snapshot.ns = v->effective.source_ns;
        see_vm_snapshot(v, c);
        return;
    }
    for (size_t i = 0; i < v->disk_count; i++) {
        struct seen_snapshot *s = &v->disks[i].snapshot;
        name_snapshot(source, taker.name, taker.uid, view_taken_in(v), v->disks[i].plan->name,
                      name);
        s->name = own(v, name);
        s->ns = v->effective.source_ns;
        s->rule = v->disks[i].plan->cut.rule;
        see_snapshot(v, c, s);
    }
}

/* A machine that has been ready counts as it was then: it is its user's, who may stop or delete it.
 */
static void as_it_was(const struct clone_view *v, struct view_target *t)
{
    t->vm.exists = t->vm.ours = t->vm.up = t->vm.owned = true;
    t->vm.deleting = false;
    t->vm.failure = NULL;
    for (size_t i = 0; i < v->disk_count; i++) {
        struct seen_claim *c = &t->claims[i];
        c->exists = c->ours = c->owned = c->sourced = c->bound = true;
        c->deleting = c->earlier = false;
        c->error = NULL;
        c->done_percent = 100;
    }
}

static void see_targets(struct clone_view *v, const struct caches *c)
{
    size_t n = (size_t)v->effective.replicas;
    v->targets = arena_alloc(v->arena, (n + 1) * sizeof *v->targets);
    for (size_t t = 0; t < n; t++) {
        struct view_target *target = &v->targets[t];
        char vm[NAME_BUF];
        char pvc[PVC_NAME_BUF];
        target->index = (int64_t)t;
        name_vm(v->wukong->name, v->effective.replicas, target->index, vm);
        target->vm.name = own(v, vm);
        see_vm(v, c, &target->vm);
        target->claims = arena_alloc(v->arena, (v->disk_count + 1) * sizeof *target->claims);
        for (size_t i = 0; i < v->disk_count; i++) {
            name_pvc(v->wukong->name, v->effective.replicas, target->index, v->disks[i].plan->name,
                     pvc);
            target->claims[i].name = own(v, pvc);
            see_claim(v, c, &target->claims[i]);
        }
        for (size_t i = 0; i < v->record.ready_count; i++)
            target->ready |= v->record.ready[i].index == target->index;
        if (target->ready && !record_final(&v->record))
            as_it_was(v, target);
    }
    v->target_count = n;
}

static bool note_event(void *arg, const struct kube_object *o)
{
    struct seen_claim *c = arg;
    c->error = field(o, F_EVENT_MESSAGE);
    return true;
}

/* The newest failure Event of each claim that is not bound. Where CDI fills the claim, its own word
   comes first: Events of the claim tell of the provisioner's first tries, which CDI takes over. */
static void see_events(struct clone_view *v, const struct caches *caches)
{
    for (size_t t = 0; t < v->target_count; t++)
        for (size_t i = 0; i < v->disk_count; i++) {
            struct seen_claim *c = &v->targets[t].claims[i];
            if (c->exists && !c->bound && c->uid && !(c->data_volume && c->error))
                caches->each(caches->arg, KIND_CLAIM_EVENT, c->uid, note_event, c);
        }
}

static void apply_settings(struct clone_view *v, const struct view_settings *s)
{
    v->unfreeze_timeout_ms = s->unfreeze_timeout_ms;
    v->source.freeze_elsewhere = s->freeze_elsewhere;
    v->source.freezes_max = s->freezes_max;
    v->source.freezes_full = s->freezes_full;
    v->source.vm_snapshot_elsewhere = s->vm_snapshot_elsewhere;
    v->source.may_start = s->permit.may_start;
    v->source.last_thaw_ms = s->last_thaw_ms;
    v->permit = s->permit;
    v->permitted_ms = s->permitted_ms;
    v->permitted_why = s->permitted_why;
    v->permitted_reason = s->permitted_reason;
    v->permitted_until_ms = s->permitted_until_ms;
    v->held = s->held;
    v->held_group_count = s->held_group_count;
}

/* What others do to the guest while we hold a freeze; there is no lock that forbids it. */
static void note_others(const struct clone_view *v, struct memo *memo)
{
    bool shown = memo->freeze_shown_ms >= v->record.freeze.requested_ms;
    /* The backup's freeze of a frozen guest succeeds, and then it thaws (wukong/holds.h). */
    if (v->source.holds.snapshot || v->source.holds.backup)
        memo->foreign_snapshot_ms = v->now.wall_ms;
    if (v->source.freeze_status)
        memo->freeze_shown_ms = v->now.wall_ms;
    else if (shown && !view_thaw_call(v))
        memo->foreign_thaw_ms = v->now.wall_ms;
}

/* That a source was started counts, though it be stopped again before the record tells of it; and
   so does what changed the data of its claims, though it be over by then. */
static void note_source(const struct clone_view *v, struct memo *memo)
{
    const struct view_source *s = &v->source;
    const struct clone_record *r = &v->record;
    uint64_t guest = s->vmi_exists ? str_hash64(s->vmi_uid, strlen(s->vmi_uid)) : 0;
    if (s->running && !s->agent && memo->agentless != guest) {
        memo->agentless = guest;
        memo->agentless_ms = v->now.wall_ms;
    }
    enum hold hold = holds_first(&s->holds, false);
    if (hold_spoils(hold))
        memo->held_ms = v->now.wall_ms;
    if (!r->attempts || !r->source_uid || record_aborted(r))
        return;
    /* A full clone of claims needs no machine, but that none runs. */
    bool changed = v->effective.clone_type == CLONE_FULL
                       ? s->vmi_exists
                       : !str_eq(r->source_uid, s->vmi_exists ? s->vmi_uid : s->vm_uid);
    if (changed)
        memo->source_changed_ms = v->now.wall_ms;
    if (hold_spoils(hold)) {
        memo->spoiled_ms = v->now.wall_ms;
        memo->spoiled_by = (int)hold;
    }
}

static bool namespace_goes(const struct caches *c, const char *name)
{
    const struct kube_object *o = c->get(c->arg, KIND_NAMESPACE, "", name);
    return o && o->deleted_ms;
}

static void see_namespaces(struct clone_view *v, const struct caches *c)
{
    v->own_ns_terminating = namespace_goes(c, v->wukong->ns);
    v->source_ns_terminating =
        !str_eq(v->effective.source_ns, v->wukong->ns) && namespace_goes(c, v->effective.source_ns);
}

int view_build(struct clone_view *v, const struct caches *real, const struct kube_object *object,
               struct memo *memo, struct now now, const struct view_settings *settings,
               struct err *err)
{
    struct noting noting = {v, real};
    const struct caches noted = {noting_get, noting_each, noting_served, &noting};
    const struct caches *caches = &noted;
    v->now = now;
    v->memo = memo;
    if (!v->wukong && view_read_wukong(v, object, err) < 0)
        return -1;
    apply_settings(v, settings);
    if (!v->effective.is_clone)
        return 0;
    view_judge_spec(v, memo, object);
    see_namespaces(v, caches);
    view_see_ours(v, caches);
    bool final = record_final(&v->record);
    /* After the cut the source is not needed; of a finished clone it concerns only what is still
       owed to it. */
    if (!final || record_owes_thaw(&v->record) || v->record.started.at_ms)
        read_source(v, final || view_past_cut(v) ? real : caches);
    if (record_owes_thaw(&v->record))
        note_others(v, memo);
    if (!final) {
        note_source(v, memo);
        read_classes(v, caches);
        if (settings->raise_cuts)
            settings->raise_cuts(settings->raise_arg, object, v);
        caches->each(caches->arg, view_uses_vm_snapshot(v) ? KIND_VM_SNAPSHOT : KIND_SNAPSHOT,
                     view_taker(v).uid, find_carrier, v);
        if (!v->wukong->deleted_ms && !record_aborted(&v->record))
            capture_build(v, memo);
        view_raise_quiesce(v);
        see_snapshots(v, caches);
        view_see_copies(v, caches);
    }
    see_targets(v, caches);
    if (v->disk_count && view_past_cut(v))
        see_events(v, caches);
    return 0;
}
