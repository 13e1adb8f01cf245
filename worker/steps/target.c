/* The steps after the cut: disks, VM, ready. */
#include "observe/capture.h"
#include "steps/steps.h"

#include "actions/create.h"
#include "base/str.h"
#include "kube/status.h"
#include "observe/driver_answer.h"

static enum step_status taken(const struct clone_state *v, struct why *why)
{
    const char *kind;
    const char *name = clone_name_taken(v, &kind);
    if (!name)
        return STEP_DONE;
    why_set(why, REASON_NAME_TAKEN, "%s %s/%s exists and is not this clone's", kind, v->wukong->ns,
            name);
    why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
    return STEP_WAIT;
}

/* The failure of the last request of this slot, told once it has failed. */
static void tell_call(struct why *why, const char *name, const struct call *c)
{
    if (!call_failed(c))
        return;
    why_set(why, c->quota ? REASON_QUOTA_EXCEEDED : REASON_WAITING, "%s: %s", name,
            str_or(c->message, "no answer"));
    why->again_ms = c->retry_ms;
}

static void tell_failure(const struct clone_state *v, struct why *why, enum call_kind create,
                         const char *name)
{
    tell_call(why, name, call_log_find(v->call_log, call_key_named(create, name)));
}

/* Something is yet to be made, and what it is made from is not known. */
static enum step_status without_capture(const struct clone_state *v, struct why *why)
{
    /* Claims of the source as it is now would be of another point in time. */
    bool changed = v->capture.refusal == REASON_SOURCE_CHANGED;
    if (changed ||
        (v->capture.refusal && reason_table[v->capture.refusal].kind == REASON_TERMINAL)) {
        why_set(why, v->capture.refusal, "%s", v->capture.api_error_text);
        return STEP_FAILED;
    }
    why_set(why, REASON_WAITING, "the worker is reading what the snapshots hold");
    return STEP_TODO;
}

static void read_capture(const struct clone_state *v, struct decision *d)
{
    size_t n = 0;
    const struct capture_read *reads = capture_reads(v, &n);
    for (size_t i = 0; i < n; i++)
        if (!call_ok(call_log_find(v->call_log, reads[i].key)))
            (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[reads[i].kind], reads[i].ns,
                              reads[i].name, reads[i].key);
}

enum step_status step_disks_check(const struct clone_state *v, struct why *why)
{
    size_t there = 0, wanted = v->target_count * v->disk_count;
    if (!v->disk_count)
        return without_capture(v, why);
    enum step_status o = taken(v, why);
    if (o != STEP_DONE)
        return o;
    why_set(why, REASON_CLONING, "the storage is filling the new disks");
    for (size_t t = 0; t < v->target_count; t++) {
        for (size_t i = 0; i < v->disk_count; i++) {
            const struct claim_state *c = &v->targets[t].claims[i];
            if (c->exists && c->deleting) {
                why->disk = v->disks[i].plan->name;
                why->target = &v->targets[t];
                why_set(why, REASON_TARGET_LOST, "PersistentVolumeClaim %s/%s is being deleted",
                        v->wukong->ns, c->name);
                return STEP_FAILED;
            }
            if (c->exists && c->earlier) {
                why->disk = v->disks[i].plan->name;
                why->target = &v->targets[t];
                why_set(why, REASON_TARGET_LOST,
                        "PersistentVolumeClaim %s/%s is left over from an earlier attempt",
                        v->wukong->ns, c->name);
                return STEP_FAILED;
            }
            if (c->exists && !c->sourced) {
                why->disk = v->disks[i].plan->name;
                why->target = &v->targets[t];
                why_set(why, REASON_RESTORE_FAILED,
                        "PersistentVolumeClaim %s/%s was stored without its data source, so it "
                        "would be empty",
                        v->wukong->ns, c->name);
                return STEP_FAILED;
            }
            const char *changed = create_claim_changed(v, &v->targets[t], i);
            if (changed) {
                why->disk = v->disks[i].plan->name;
                why_set(why, REASON_CHANGED_BY_ADMISSION, "%s", changed);
                return STEP_FAILED;
            }
            there += c->exists;
            if (!c->exists)
                tell_failure(v, why, CALL_CREATE_CLAIM, c->name);
        }
    }
    why->again_ms = v->now.wall_ms + CLAIM_HEAD_START_MS;
    if (there == wanted)
        return STEP_DONE;
    return v->capture.present ? STEP_TODO : without_capture(v, why);
}

/*
 * How many claims may be asked for now. external-provisioner puts a finalizer on the snapshot of a
 * claim when it begins with it, and takes it off when it is done, whoever else still needs it
 * (pkg/controller/controller.go: setSnapshotFinalizer, removeSnapshotFinalizer). Many claims of one
 * snapshot at once fail at that with conflicts, and come back after a backoff that grows to a
 * minute: 20 took 150 s. So the targets follow one another: each when the one before is bound, or
 * has had its head start, so that a driver that copies slowly still copies several at a time.
 */
static size_t claims_allowed(const struct clone_state *v, size_t disk)
{
    const struct disk_state *d = &v->disks[disk];
    const struct storage_class_facts *c =
        facts_storage_class(&v->classes, str_or(d->plan->storage_class, ""));
    bool restores = d->plan->method == DISK_RESTORE || d->plan->method == DISK_HANDLE_COPY;
    if (v->share.busy && v->share.busy[disk])
        return 0;
    if (v->target_count == 1 || !restores || (c && c->wait_for_first_consumer))
        return v->target_count;
    for (size_t t = 0; t < v->target_count; t++) {
        const struct claim_state *one = &v->targets[t].claims[disk];
        if (one->exists && !one->bound && v->now.wall_ms < one->created_ms + CLAIM_HEAD_START_MS)
            return 0;
    }
    return 1;
}

void step_disks_run(const struct clone_state *v, struct decision *d)
{
    if (!v->capture.present) {
        read_capture(v, d);
        return;
    }
    for (size_t i = 0; i < v->disk_count; i++) {
        size_t allowed = claims_allowed(v, i);
        for (size_t t = 0; t < v->target_count && allowed; t++) {
            if (v->targets[t].claims[i].exists)
                continue;
            create_claim(v, d, &v->targets[t], i);
            allowed--;
        }
    }
}

enum step_status step_vm_check(const struct clone_state *v, struct why *why)
{
    enum step_status o = taken(v, why);
    if (o != STEP_DONE)
        return o;
    why_set(why, REASON_CLONING, "the worker is creating the VirtualMachine");
    size_t there = 0;
    for (size_t t = 0; t < v->target_count; t++) {
        const struct vm_state *vm = &v->targets[t].vm;
        if (vm->exists && vm->deleting) {
            why->target = &v->targets[t];
            why_set(why, REASON_TARGET_LOST, "VirtualMachine %s/%s is being deleted", v->wukong->ns,
                    vm->name);
            return STEP_FAILED;
        }
        const struct call *made =
            call_log_find(v->call_log, call_key_named(CALL_CREATE_VM, vm->name));
        const char *changed = vm->exists ? create_vm_changed(v, &v->targets[t], made) : NULL;
        if (changed) {
            why_set(why, REASON_CHANGED_BY_ADMISSION, "%s", changed);
            return STEP_FAILED;
        }
        there += vm->exists;
        if (!vm->exists)
            tell_failure(v, why, CALL_CREATE_VM, vm->name);
    }
    if (there == v->target_count)
        return STEP_DONE;
    return v->capture.present ? STEP_TODO : without_capture(v, why);
}

void step_vm_run(const struct clone_state *v, struct decision *d)
{
    if (!v->capture.present) {
        read_capture(v, d);
        return;
    }
    for (size_t t = 0; t < v->target_count; t++)
        if (!v->targets[t].vm.exists)
            create_vm(v, d, &v->targets[t]);
}

static bool owner_missing(const struct target_state *t, size_t disk)
{
    const struct claim_state *c = &t->claims[disk];
    return c->exists && c->ours && !c->owned && !c->deleting;
}

/* runStrategy Manual, but to be started: KubeVirt waits for the subresource. */
static bool starts_by_hand(const struct clone_state *v)
{
    enum run_strategy strategy = v->effective.run_strategy;
    /* Without the capture it is asked for: KubeVirt refuses what starts by itself. */
    bool inherits =
        strategy == RUN_INHERIT && (!v->capture.tree || str_eq(capture_run_strategy(v), "Manual"));
    return v->effective.auto_start && (strategy == RUN_MANUAL || inherits);
}

/*
 * The driver does not clone volumes, or not this one: a caller is to use another source (CSI
 * specification, CreateVolume: INVALID_ARGUMENT for a source that is not supported;
 * external-provisioner pkg/controller/controller.go checkDriverCapabilities).
 */
static bool refuses_to_clone(const struct clone_state *v, size_t disk, const char *error)
{
    return v->disks[disk].plan->method == DISK_CSI_CLONE &&
           (driver_cannot(error) || strstr(error, "CLONE_VOLUME capability is not reported"));
}

/* A claim is provisioned until the clone's own deadline, unless nothing but what comes to nothing
   was answered for a while. */
static enum step_status restore_failed(const struct clone_state *v, const struct claim_state *c,
                                       struct why *why)
{
    why_set(why, REASON_RESTORE_FAILED, "claim %s: %s", c->name, c->error);
    if (!c->settled_ms)
        return STEP_WAIT;
    why->again_ms = c->settled_ms + RESTORE_STUCK_MS;
    return v->now.wall_ms > why->again_ms ? STEP_FAILED : STEP_WAIT;
}

static enum step_status check_target(const struct clone_state *v, const struct target_state *t,
                                     struct why *why)
{
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct claim_state *c = &t->claims[i];
        why->disk = v->disks[i].plan->name;
        if (owner_missing(t, i) && !c->owner_target) {
            why_set(why, REASON_CLONING, "the worker has not seen the DataVolume of claim %s yet",
                    c->name);
            return STEP_WAIT;
        }
        if (owner_missing(t, i)) {
            tell_call(why, c->name,
                      call_log_find(v->call_log, call_key_named(CALL_OWN_CLAIM, c->owner_target)));
            return STEP_TODO;
        }
        if (c->bound || clone_waits_for_consumer(v, i))
            continue;
        why_set(why, REASON_CLONING, "claim %s is not bound yet", c->name);
        if (!c->error)
            return STEP_WAIT;
        if (kube_says_quota(c->error)) {
            /* CDI fills a claim in the source's namespace, and goes on once there is room. */
            why_set(why, REASON_QUOTA_EXCEEDED, "claim %s: %s", c->name, c->error);
            return STEP_WAIT;
        }
        if (refuses_to_clone(v, i, c->error)) {
            why_set(why, REASON_CLONING_REFUSED, "claim %s: %s", c->name, c->error);
            return STEP_FAILED;
        }
        return restore_failed(v, c, why);
    }
    why->disk = NULL;
    if (!v->effective.auto_start || t->vm.up)
        return STEP_DONE;
    if (t->vm.failure) {
        why_set(why, REASON_VM_FAILED, "VirtualMachine %s: %s", t->vm.name, t->vm.failure);
        return STEP_WAIT;
    }
    if (starts_by_hand(v) &&
        !call_ok(call_log_find(v->call_log, call_key_named(CALL_START_TARGET, t->vm.uid))))
        return STEP_TODO;
    why_set(why, REASON_CLONING, "VirtualMachine %s is %s", t->vm.name,
            str_or(t->vm.printable, "starting"));
    return STEP_WAIT;
}

bool clone_target_there(const struct clone_state *v, const struct target_state *t)
{
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct claim_state *c = &t->claims[i];
        if (!c->exists || !c->ours || c->deleting || c->earlier || !c->sourced ||
            (!c->bound && !clone_waits_for_consumer(v, i)))
            return false;
    }
    return v->disk_count && t->vm.exists && t->vm.ours && !t->vm.deleting &&
           (t->vm.up || !v->effective.auto_start);
}

bool clone_target_done(const struct clone_state *v, const struct target_state *t)
{
    struct why why = {0};
    return clone_target_there(v, t) && check_target(v, t, &why) == STEP_DONE;
}

enum step_status step_ready_check(const struct clone_state *v, struct why *why)
{
    enum step_status worst = STEP_DONE;
    why_set(why, REASON_CLONING, "KubeVirt is starting the new machine");
    for (size_t t = 0; t < v->target_count; t++) {
        struct why one = *why;
        enum step_status o = check_target(v, &v->targets[t], &one);
        if (o == STEP_FAILED) {
            *why = one;
            why->target = &v->targets[t];
            return o;
        }
        if (o == STEP_TODO || (o == STEP_WAIT && worst == STEP_DONE)) {
            worst = o;
            *why = one;
        }
    }
    return worst;
}

void step_ready_run(const struct clone_state *v, struct decision *d)
{
    for (size_t t = 0; t < v->target_count; t++)
        for (size_t i = 0; i < v->disk_count; i++)
            if (owner_missing(&v->targets[t], i) && v->targets[t].claims[i].owner_target &&
                v->targets[t].vm.uid)
                create_own_claim(v, d, &v->targets[t], i);
    for (size_t t = 0; starts_by_hand(v) && t < v->target_count; t++) {
        const struct vm_state *vm = &v->targets[t].vm;
        struct call_key start = call_key_named(CALL_START_TARGET, vm->uid);
        if (vm->up || call_ok(call_log_find(v->call_log, start)))
            continue;
        struct intent *i = intents_add(&d->intents, INTENT_SUBRESOURCE, &worker_kinds[KIND_SUB_VM],
                                       v->wukong->ns, vm->name, start);
        i->sub = "start";
        i->body = "{}";
    }
}
