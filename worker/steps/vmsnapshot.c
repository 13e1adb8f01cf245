/* The cut by method VirtualMachineSnapshot: KubeVirt locks, freezes, cuts and thaws by itself. */
#include "steps/steps.h"

#include "base/str.h"
#include "steps/pods.h"

/* KubeVirt leaves out volumes whose class has no VolumeSnapshotClass, and succeeds all the same
   (pkg/storage/snapshot/snapshot.go: excludedVolumes). The backups of one content come together. */
static const char *left_out_disk(const struct clone_state *v)
{
    const char *missing = NULL;
    size_t named = 0;
    for (size_t i = 0; i < v->disk_count; i++) {
        if (v->disks[i].snapshot.name)
            named++;
        else
            missing = v->disks[i].plan->name;
    }
    return str_eq(v->vm_snapshot_phase, "Succeeded") && named ? missing : NULL;
}

/*
 * Succeeded means that all VolumeSnapshots have a creationTime, Failed is terminal for the object
 * (KubeVirt pkg/storage/snapshot/snapshot.go); a retry needs another name, which the next attempt
 * has.
 */
enum step_status check_vm_snapshot(const struct clone_state *v, struct why *why)
{
    const struct snapshot_state *s = &v->vm_snapshot;
    if (!s->exists && v->source.vmi_exists && v->source.agent && !v->source.paused &&
        check_free_guest(v, why) != STEP_TODO)
        return STEP_WAIT;
    if (!s->exists) {
        const struct call *c =
            call_log_find(v->call_log, call_key_named(CALL_CREATE_VM_SNAPSHOT, s->name));
        why_set(why, REASON_CLONING, "the worker is about to create the VirtualMachineSnapshot");
        if (call_failed(c))
            why_set(why, REASON_SNAPSHOT_FAILED, "VirtualMachineSnapshot %s/%s: %s", s->ns, s->name,
                    str_or(c->message, "no answer"));
        if (v->source.holds.snapshot)
            why_set(why, REASON_SOURCE_BUSY, "the VirtualMachineSnapshot %s is under way",
                    v->source.holds.snapshot);
        return why->reason == REASON_SOURCE_BUSY ? STEP_WAIT : STEP_TODO;
    }
    if (!s->ours) {
        why_set(why, REASON_NAME_TAKEN,
                "VirtualMachineSnapshot %s/%s exists and is not this clone's", s->ns, s->name);
        return STEP_FAILED;
    }
    if (s->deleting) {
        why_set(why, REASON_SNAPSHOT_LOST, "VirtualMachineSnapshot %s/%s is being deleted", s->ns,
                s->name);
        return STEP_FAILED;
    }
    if (str_eq(v->vm_snapshot_phase, "Failed")) {
        why_set(why, REASON_SNAPSHOT_FAILED, "VirtualMachineSnapshot %s/%s failed: %s", s->ns,
                s->name, str_or(s->error, "no reason given"));
        return STEP_FAILED;
    }
    const char *left_out = left_out_disk(v);
    if (left_out) {
        why->disk = left_out;
        why_set(why, REASON_SNAPSHOT_FAILED,
                "VirtualMachineSnapshot %s/%s does not hold disk %s: KubeVirt found no "
                "VolumeSnapshotClass for it",
                s->ns, s->name, left_out);
        return STEP_FAILED;
    }
    why_set(why, s->error ? REASON_SNAPSHOT_FAILED : REASON_CLONING,
            "VirtualMachineSnapshot %s/%s is %s%s%s", s->ns, s->name,
            str_or(v->vm_snapshot_phase, "new"), s->error ? ": " : "", str_or(s->error, ""));
    why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
    return STEP_WAIT;
}

/* A Windows guest thaws by itself 10 s after its freeze, and KubeVirt's indications do not say so.
   KubeVirt freezes after it got our request, and all was cut when the look after the cut was sent:
   what lies within the timer was frozen. What this worker has not seen itself does not count. */
static bool outlasted_its_timer(const struct clone_state *v)
{
    const char *os = v->source.guest_os;
    const struct call *made =
        call_log_find(v->call_log, call_key_named(CALL_CREATE_VM_SNAPSHOT, v->vm_snapshot.name));
    const struct call *after = clone_look_after(v);
    if (os && !str_eq(os, WINDOWS_GUEST_OS))
        return false;
    return !call_ok(made) || made->code != 201 || !after ||
           after->sent_mono_ms - made->sent_mono_ms > WINDOWS_FREEZE_MS;
}

/* KubeVirt's indications tell how its freeze began, not that somebody ended it before the cut. */
static bool thawed_early(const struct clone_state *v)
{
    return v->call_log->foreign_thaw_ms >= v->record.attempt.begun_ms ||
           clone_thawed_by_backup(v) || outlasted_its_timer(v);
}

/* indications is the compact JSON list; the words are unique enough to be looked for as they are.
 */
enum consistency vm_snapshot_consistency(const struct clone_state *v)
{
    const char *words = str_or(v->vm_snapshot_indications, "");
    enum cut_mode mode = strstr(words, "\"Online\"") ? CUT_RUNNING : CUT_OFFLINE;
    bool quiesced = strstr(words, "\"GuestAgent\"") && !strstr(words, "\"NoGuestAgent\"") &&
                    !strstr(words, "\"QuiesceTimeout\"") && !strstr(words, "\"QuiesceFailed\"") &&
                    !strstr(words, "\"Paused\"");
    /* KubeVirt thaws when the driver has answered, and takes one VolumeSnapshot after the other,
     * too.
     */
    quiesced = quiesced && !clone_has_cut_rule(v, CUT_RULE_READY) && !thawed_early(v) &&
               !pods_sharing(v).pod;
    return cut_consistency(mode, quiesced, v->disk_count);
}
