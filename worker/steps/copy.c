/*
 * The step between snapshots and disks of a clone into another namespace: for each disk a second,
 * pre-provisioned VolumeSnapshotContent on the same handle (always Retain: the handle is the first
 * one's), and a VolumeSnapshot bound to it in the target namespace. Both ends are looked at before
 * a claim is made from them.
 */
#include "steps/steps.h"

#include "actions/create.h"
#include "base/str.h"

static bool needs_copy(const struct clone_state *v, size_t disk)
{
    return v->disks[disk].plan->method == DISK_HANDLE_COPY;
}

static enum step_status check_copy(const struct clone_state *v, size_t disk, struct why *why)
{
    const struct copy_state *c = &v->disks[disk].copy;
    if ((c->content_exists && !c->content_ours) || (c->snapshot.exists && !c->snapshot.ours)) {
        why_set(why, REASON_NAME_TAKEN, "%s %s exists and is not this clone's",
                c->snapshot.exists && !c->snapshot.ours ? "VolumeSnapshot"
                                                        : "VolumeSnapshotContent",
                c->snapshot.exists && !c->snapshot.ours ? c->snapshot.name : c->content_name);
        why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
        return STEP_WAIT;
    }
    if (c->content_deleting || c->snapshot.deleting) {
        why_set(why, REASON_SNAPSHOT_LOST, "somebody is deleting %s, the copy of the snapshot",
                c->content_name);
        return STEP_FAILED;
    }
    if (c->changed) {
        why_set(why, REASON_CHANGED_BY_ADMISSION, "the copy %s of the snapshot %s", c->content_name,
                c->changed);
        return STEP_FAILED;
    }
    why_set(why, REASON_CLONING, "the worker is handing the snapshot of disk %s to namespace %s",
            v->disks[disk].plan->name, v->wukong->ns);
    if (!c->content_exists || !c->snapshot.exists)
        return STEP_TODO;
    if (c->snapshot.error)
        why_set(why, REASON_SNAPSHOT_FAILED, "VolumeSnapshot %s/%s: %s", v->wukong->ns,
                c->snapshot.name, c->snapshot.error);
    why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
    return c->bound ? STEP_DONE : STEP_WAIT;
}

enum step_status step_copies_check(const struct clone_state *v, struct why *why)
{
    if (clone_targets_complete(v))
        return STEP_DONE;
    enum step_status worst = STEP_DONE;
    for (size_t i = 0; i < v->disk_count; i++) {
        struct why one = {0};
        if (!needs_copy(v, i))
            continue;
        enum step_status o = check_copy(v, i, &one);
        if (o == STEP_DONE || (worst != STEP_DONE && o != STEP_FAILED && o != STEP_TODO))
            continue;
        worst = o;
        *why = one;
        why->disk = v->disks[i].plan->name;
        if (o == STEP_FAILED)
            break;
    }
    return worst;
}

/* The content first: a VolumeSnapshot that comes before it waits 9 s (seen on 8.6). */
void step_copies_run(const struct clone_state *v, struct decision *d)
{
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct copy_state *c = &v->disks[i].copy;
        if (!needs_copy(v, i))
            continue;
        if (!c->content_exists)
            create_content_copy(v, d, i);
        else if (!c->snapshot.exists)
            create_snapshot_copy(v, d, i);
    }
}
