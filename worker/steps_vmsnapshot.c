/* The cut by method VirtualMachineSnapshot: KubeVirt locks, freezes, cuts and thaws by itself. */
#include "worker/steps.h"

#include "base/str.h"

/*
 * Succeeded means that all VolumeSnapshots have a creationTime, Failed is terminal for the object
 * (KubeVirt pkg/storage/snapshot/snapshot.go); a retry needs another name, which the next attempt
 * has.
 */
enum observed observe_vm_snapshot(const struct clone_view *v, struct why *why)
{
    const struct seen_snapshot *s = &v->vm_snapshot;
    if (!s->exists) {
        why_set(why, REASON_CLONING, "the VirtualMachineSnapshot is about to be created");
        if (v->source.snapshot_in_progress)
            why_set(why, REASON_SOURCE_BUSY, "the VirtualMachineSnapshot %s is under way",
                    v->source.snapshot_in_progress);
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
    why_set(why, s->error ? REASON_SNAPSHOT_FAILED : REASON_CLONING,
            "VirtualMachineSnapshot %s/%s is %s%s%s", s->ns, s->name,
            str_or(v->vm_snapshot_phase, "new"), s->error ? ": " : "", str_or(s->error, ""));
    why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
    return STEP_WAIT;
}

/* indications is the compact JSON list; the words are unique enough to be looked for as they are. */
enum consistency vm_snapshot_consistency(const struct clone_view *v)
{
    const char *words = str_or(v->vm_snapshot_indications, "");
    if (!strstr(words, "\"Online\""))
        return CONSISTENCY_OFFLINE;
    bool quiesced = strstr(words, "\"GuestAgent\"") && !strstr(words, "\"NoGuestAgent\"") &&
                    !strstr(words, "\"QuiesceTimeout\"") && !strstr(words, "\"QuiesceFailed\"") &&
                    !strstr(words, "\"Paused\"");
    return quiesced ? CONSISTENCY_FILESYSTEM : CONSISTENCY_CRASH;
}
