/*
 * virt-controller's VirtualMachineSnapshots, as KubeVirt v1.9 makes them (pkg/storage/snapshot/
 * {snapshot,source}.go; the order and the times as seen on a real one): lock, content, freeze, one
 * VolumeSnapshot after the other, thaw when all have a creationTime, unlock. Past its
 * failureDeadline it is Failed for good; whoever froze, its end thaws.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"

#define PROTECTION "snapshot.kubevirt.io/vmsnapshot-protection"
#define LOCK "status.snapshotInProgress"
#define RETRY_MS 5000 /* after a freeze that failed (snapshot.go: snapshotRetryInterval) */
#define SNAPSHOT_CLASS "snap"

static void again(struct sim_cluster *w, const struct api_object *o, int64_t ms)
{
    sim_cluster_later(w, ms, sync_vm_snapshot, o->ns, o->name);
}

static struct api_object *content_of(struct sim_cluster *w, const struct api_object *o)
{
    char name[300];
    (void)snprintf(name, sizeof name, "vmsnapshot-content-%s", o->uid);
    return api_find(w->api, API_VM_SNAPSHOT_CONTENT, o->ns, name);
}

static struct api_object *source_of(struct sim_cluster *w, const struct api_object *o)
{
    return api_find(w->api, API_VM, o->ns, json_str(o->tree, "spec.source.name"));
}

static bool locked_by(const struct api_object *vm, const struct api_object *o)
{
    return vm && str_eq(json_str(vm->tree, LOCK), o->name);
}

static void unlock(struct sim_cluster *w, struct api_object *vm)
{
    cJSON *tree = jt_copy(vm->tree);
    jt_drop(tree, LOCK);
    api_replace(w->api, "kubevirt", vm, tree);
}

/* Thaws and unlocks, if it holds the lock at all. */
static void let_go(struct sim_cluster *w, const struct api_object *o)
{
    struct api_object *vm = source_of(w, o);
    struct machine *m = vm ? machine_find(w, vm->ns, vm->name) : NULL;
    if (!locked_by(vm, o))
        return;
    if (m)
        machine_thaw(m, "a VirtualMachineSnapshot");
    unlock(w, vm);
}

static void show_error(struct sim_cluster *w, struct api_object *o, const char *text)
{
    cJSON *tree = jt_copy(o->tree);
    jt_bool(tree, "status.readyToUse", false);
    jt_str(tree, "status.error.message", text);
    api_replace(w->api, "kubevirt", o, tree);
}

/* --- its end --- */

static void fail_for_good(struct sim_cluster *w, struct api_object *o)
{
    struct api_object *content = content_of(w, o);
    let_go(w, o);
    if (content)
        api_delete(w->api, "kubevirt", content);
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, "status.phase", "Failed");
    jt_bool(tree, "status.readyToUse", false);
    if (!json_at(tree, "status.error"))
        jt_str(tree, "status.error.message", "snapshot deadline exceeded");
    api_replace(w->api, "kubevirt", o, tree);
}

static void end_vm_snapshot(struct sim_cluster *w, struct api_object *o)
{
    struct api_object *content = content_of(w, o);
    let_go(w, o);
    if (content)
        api_delete(w->api, "kubevirt", content);
    cJSON *tree = jt_copy(o->tree);
    jt_remove(tree, "metadata.finalizers", PROTECTION);
    api_replace(w->api, "kubevirt", o, tree);
}

static bool past_deadline(struct sim_cluster *w, const struct api_object *o)
{
    int64_t created = 0, seconds = 300;
    (void)str_to_time_ms(json_str(o->tree, "metadata.creationTimestamp"), &created);
    const char *text = json_str(o->tree, "spec.failureDeadline");
    if (text)
        (void)sscanf(text, "%" SCNd64 "s", &seconds);
    return clock_wall(w->clock) > created + seconds * 1000;
}

/* --- lock and content --- */

static void lock(struct sim_cluster *w, struct api_object *o, struct api_object *vm)
{
    cJSON *tree = jt_copy(vm->tree);
    jt_str(tree, LOCK, o->name);
    api_replace(w->api, "kubevirt", vm, tree);
    tree = jt_copy(o->tree);
    jt_add(tree, "metadata.finalizers", PROTECTION);
    jt_str(tree, "status.phase", "InProgress");
    jt_str(tree, "status.sourceUID", vm->uid);
    jt_bool(tree, "status.readyToUse", false);
    api_replace(w->api, "kubevirt", o, tree);
    again(w, o, rng_range(w->rng, 5, 60));
}

struct backups {
    struct sim_cluster *w;
    const struct api_object *o;
    cJSON *list;
};

static void add_backup(void *arg, const char *volume, const char *claim)
{
    struct backups *b = arg;
    const struct api_object *pvc = api_find(b->w->api, API_PVC, b->o->ns, claim);
    cJSON *one = cJSON_CreateObject();
    jt_str(one, "volumeName", volume);
    jt_str(one, "persistentVolumeClaim.metadata.name", claim);
    if (pvc)
        jt_put(one, "persistentVolumeClaim.spec", jt_copy(json_get(pvc->tree, "spec")));
    jt_strf(one, "volumeSnapshotName", "vmsnapshot-%s-volume-%s", b->o->uid, volume);
    cJSON_AddItemToArray(b->list, one);
}

static void make_content(struct sim_cluster *w, struct api_object *o, const struct api_object *vm)
{
    char name[300];
    (void)snprintf(name, sizeof name, "vmsnapshot-content-%s", o->uid);
    cJSON *c = api_new(API_VM_SNAPSHOT_CONTENT, o->ns, name);
    struct backups b = {w, o, cJSON_CreateArray()};
    jt_str(c, "spec.virtualMachineSnapshotName", o->name);
    jt_put(c, "spec.source.virtualMachine.metadata", jt_copy(json_get(vm->tree, "metadata")));
    jt_put(c, "spec.source.virtualMachine.spec", jt_copy(json_get(vm->tree, "spec")));
    each_claim(json_at(vm->tree, "spec.template.spec"), add_backup, &b);
    jt_put(c, "spec.volumeBackups", b.list);
    (void)api_create(w->api, "kubevirt", API_VM_SNAPSHOT_CONTENT, c);
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, "status.virtualMachineSnapshotContentName", name);
    api_replace(w->api, "kubevirt", o, tree);
    again(w, o, rng_range(w->rng, 5, 40));
}

/* --- freeze and cut --- */

/* False: it failed, and is tried again. A guest that is said to be frozen is not frozen again. */
static bool freeze(struct sim_cluster *w, struct api_object *o, const struct api_object *vm)
{
    struct machine *m = machine_find(w, vm->ns, vm->name);
    const struct api_object *vmi = api_find(w->api, API_VMI, vm->ns, vm->name);
    int64_t seconds = 300;
    if (!m || !vmi || !m->vmi_uid || !m->agent || m->paused)
        return true;
    if (json_at(vmi->tree, "status.fsFreezeStatus")) {
        m->joined |= m->frozen_by == FREEZER_NONE;
        return true;
    }
    if (rng_chance(w->rng, w->faults.freeze_error)) {
        show_error(w, o,
                   "Internal error occurred: unexpected return code 500 (500 Internal Server "
                   "Error), message: unable to execute QEMU agent command "
                   "'guest-fsfreeze-freeze'");
        return false;
    }
    (void)sscanf(str_or(json_str(o->tree, "spec.failureDeadline"), "300s"), "%" SCNd64 "s",
                 &seconds);
    if (m->frozen_by)
        m->joined = true;
    machine_freeze(m, FREEZER_FOREIGN, seconds * 1000);
    return true;
}

static void make_snapshot(struct sim_cluster *w, const struct api_object *o,
                          const struct api_object *content, const cJSON *backup)
{
    cJSON *s = api_new(API_SNAPSHOT, o->ns, json_str(backup, "volumeSnapshotName"));
    cJSON *owner = cJSON_CreateObject();
    jt_str(owner, "apiVersion", "snapshot.kubevirt.io/v1beta1");
    jt_str(owner, "kind", "VirtualMachineSnapshotContent");
    jt_str(owner, "name", content->name);
    jt_str(owner, "uid", content->uid);
    cJSON_AddItemToArray(jt_array(s, "metadata.ownerReferences"), owner);
    jt_str(s, "metadata.labels[snapshot.kubevirt.io/source-vm-name]",
           json_str(o->tree, "spec.source.name"));
    jt_str(s, "spec.source.persistentVolumeClaimName",
           json_str(backup, "persistentVolumeClaim.metadata.name"));
    jt_str(s, "spec.volumeSnapshotClassName", SNAPSHOT_CLASS);
    (void)api_create(w->api, "kubevirt", API_SNAPSHOT, s);
}

/* Makes the first that is missing; true when all are there. */
static bool snapshots_made(struct sim_cluster *w, const struct api_object *o,
                           const struct api_object *content)
{
    const cJSON *b;
    cJSON_ArrayForEach (b, json_at(content->tree, "spec.volumeBackups"))
        if (!api_find(w->api, API_SNAPSHOT, o->ns, json_str(b, "volumeSnapshotName"))) {
            make_snapshot(w, o, content, b);
            return false;
        }
    return true;
}

static bool all_have(struct sim_cluster *w, const struct api_object *content, const char *path)
{
    const cJSON *b;
    cJSON_ArrayForEach (b, json_at(content->tree, "spec.volumeBackups")) {
        const struct api_object *s =
            api_find(w->api, API_SNAPSHOT, content->ns, json_str(b, "volumeSnapshotName"));
        const cJSON *value = s ? json_at(s->tree, path) : NULL;
        if (!value || cJSON_IsFalse(value))
            return false;
    }
    return true;
}

/* From now on the worker can find their contents, and sees to it that none is left. */
static void hand_over(struct sim_cluster *w, const struct api_object *content)
{
    const cJSON *b;
    cJSON_ArrayForEach (b, json_at(content->tree, "spec.volumeBackups")) {
        const struct api_object *s =
            api_find(w->api, API_SNAPSHOT, content->ns, json_str(b, "volumeSnapshotName"));
        const struct api_object *c =
            s ? api_find(w->api, API_CONTENT, "",
                         json_str(s->tree, "status.boundVolumeSnapshotContentName"))
              : NULL;
        struct physical *p = c ? physical_of_content(w, c) : NULL;
        if (p)
            p->kubevirts = false;
    }
}

static void succeed(struct sim_cluster *w, struct api_object *o)
{
    char now[TIME_TEXT_MAX];
    const struct api_object *vm = source_of(w, o);
    struct machine *m = vm ? machine_find(w, vm->ns, vm->name) : NULL;
    bool late = m && m->gone_on;
    let_go(w, o);
    hand_over(w, content_of(w, o));
    time_to_str(clock_wall(w->clock), false, now);
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, "status.phase", "Succeeded");
    jt_str(tree, "status.creationTime", now);
    jt_drop(tree, "status.error");
    /* From the answer to its unfreeze (snapshot.go). */
    if (late) {
        m->gone_on = false;
        jt_add(tree, "status.indications", "QuiesceTimeout");
    }
    api_replace(w->api, "kubevirt", o, tree);
    again(w, o, rng_range(w->rng, 5, 60));
}

/* Ready only when every VolumeSnapshot is; that may come later, and may end. */
static void show_ready(struct sim_cluster *w, struct api_object *o)
{
    struct api_object *content = content_of(w, o);
    bool ready = content && all_have(w, content, "status.readyToUse");
    if (content) {
        cJSON *c = jt_copy(content->tree);
        jt_bool(c, "status.readyToUse", ready);
        api_replace(w->api, "kubevirt", content, c);
    }
    cJSON *tree = jt_copy(o->tree);
    jt_bool(tree, "status.readyToUse", ready);
    api_replace(w->api, "kubevirt", o, tree);
    again(w, o, rng_range(w->rng, 500, 3000));
}

/* What the source was at any time while it was under way, whether or not a freeze came of it
   (snapshot.go: updateSnapshotSourceIndications). */
static void indicate(struct sim_cluster *w, struct api_object *o, const struct api_object *vm)
{
    const struct machine *m = machine_find(w, vm->ns, vm->name);
    if (!m || !m->vmi_uid)
        return;
    cJSON *tree = jt_copy(o->tree);
    jt_add(tree, "status.indications", "Online");
    jt_add(tree, "status.indications",
           m->paused  ? "Paused"
           : m->agent ? "GuestAgent"
                      : "NoGuestAgent");
    api_replace(w->api, "kubevirt", o, tree);
}

static void go_on(struct sim_cluster *w, struct api_object *o, struct api_object *vm)
{
    struct api_object *content = content_of(w, o);
    indicate(w, o, vm);
    if (!content)
        make_content(w, o, vm);
    else if (!all_have(w, content, "metadata.uid") && !freeze(w, o, vm))
        again(w, o, RETRY_MS);
    else if (!snapshots_made(w, o, content))
        again(w, o, rng_range(w->rng, 5, 40));
    else if (all_have(w, content, "status.creationTime"))
        succeed(w, o);
    else
        again(w, o, rng_range(w->rng, 50, 400));
}

void sync_vm_snapshot(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_VM_SNAPSHOT, ns, name);
    struct api_object *vm = o ? source_of(w, o) : NULL;
    const char *phase = o ? json_str(o->tree, "status.phase") : NULL;
    if (!o)
        return;
    if (api_deleting(o->tree))
        end_vm_snapshot(w, o);
    else if (str_eq(phase, "Succeeded"))
        show_ready(w, o);
    else if (str_eq(phase, "Failed"))
        return;
    else if (past_deadline(w, o))
        fail_for_good(w, o);
    else if (locked_by(vm, o))
        go_on(w, o, vm);
    else if (vm && !json_at(vm->tree, LOCK) && !api_deleting(vm->tree))
        lock(w, o, vm);
    else
        again(w, o, rng_range(w->rng, 300, 3000));
}
