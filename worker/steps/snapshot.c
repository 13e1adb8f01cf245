/* The steps around the point in time: freeze, cut, thaw, snapshots ready. */
#include "steps/steps.h"

#include <assert.h>

#include "actions/create.h"
#include "base/str.h"
#include "observe/driver_answer.h"
#include "steps/pods.h"

/* --- freeze --- */

/* --- cut --- */

/* All were seen cut while the guest was frozen: the thaw was marked so when it was sent. */
static bool were_cut_frozen(const struct clone_state *v)
{
    return clone_proven(v, PROOF_HELD) || clone_proven(v, PROOF_HELD_LONG);
}

/* And the guest had not gone on by itself before. Only Windows does so earlier than we asked, and
   says it only in its answer to the first thaw: a second one finds a guest that is not frozen, and
   works. Without that answer, so early a thaw proves it as well, and what else the guest runs. */
static bool freeze_held(const struct clone_state *v)
{
    const char *os = v->source.guest_os;
    if (clone_thawed_by_itself(v))
        return false;
    return clone_proven(v, PROOF_HELD) ||
           (clone_proven(v, PROOF_HELD_LONG) &&
            (clone_proven(v, PROOF_THAW_WORKED) || (os && !str_eq(os, WINDOWS_GUEST_OS))));
}

/* All were seen cut in this attempt. Do not recreate one that vanishes: the status that says "all
   cut" may be stored already (its reply lost), and would then describe different snapshots. */
static bool were_all_cut(const struct clone_state *v)
{
    return were_cut_frozen(v) || clone_look_after(v);
}

static enum step_status cut_errors(const struct clone_state *v, struct why *why)
{
    if (group_errors(v, were_all_cut(v), why) == STEP_FAILED)
        return STEP_FAILED;
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct snapshot_state *s = &v->disks[i].snapshot;
        why->disk = v->disks[i].plan->name;
        if (s->exists && !s->ours) {
            why_set(why, REASON_NAME_TAKEN, "VolumeSnapshot %s/%s exists and is not this clone's",
                    s->ns, s->name);
            return STEP_FAILED;
        }
        if (s->exists && (s->deleting || s->lost)) {
            why_set(why, REASON_SNAPSHOT_LOST, "VolumeSnapshot %s/%s is being deleted", s->ns,
                    s->name);
            return STEP_FAILED;
        }
        if (!s->exists && !v->disks[i].group && clone_disk_has_snapshot(&v->disks[i]) &&
            were_all_cut(v)) {
            why_set(why, REASON_SNAPSHOT_LOST, "VolumeSnapshot %s/%s was deleted", s->ns, s->name);
            return STEP_FAILED;
        }
    }
    why->disk = NULL;
    return STEP_DONE;
}

static const struct call *refused_create(const struct clone_state *v, size_t disk)
{
    const struct snapshot_state *s = &v->disks[disk].snapshot;
    if (v->disks[disk].group)
        return group_refused(v, &v->disks[disk]);
    const struct call *c =
        s->exists ? NULL
                  : call_log_find(v->call_log, call_key_named(CALL_CREATE_SNAPSHOT, s->name));
    return call_failed(c) ? c : NULL;
}

/* A snapshot that the API server refuses (quota, policy) does not come while the guest is frozen.
 */
static enum step_status cut_refusals(const struct clone_state *v, struct why *why)
{
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct call *c = refused_create(v, i);
        const struct clone_group *g = v->disks[i].group;
        /* 404: the API of groups is gone. */
        if (!c || !(c->kind == ERR_REFUSED || (g && c->kind == ERR_NOT_FOUND)))
            continue;
        why->disk = v->disks[i].plan->name;
        why_set(why, c->quota ? REASON_QUOTA_EXCEEDED : REASON_SNAPSHOT_FAILED, "%s %s/%s: %s",
                g ? "VolumeGroupSnapshot" : "VolumeSnapshot", v->effective.source_ns,
                g ? g->name : v->disks[i].snapshot.name, str_or(c->message, "refused"));
        return STEP_FAILED;
    }
    return STEP_DONE;
}

/* A cut that comes to nothing ends the freeze: at once when the driver's answer is settled, and
   after a while when it may clear. csi-snapshotter marks a content whose cut may be under way
   (pkg/sidecar-controller/snapshot_controller.go, AnnVolumeSnapshotBeingCreated). */
static enum step_status cut_comes_to_nothing(const struct clone_state *v, struct why *why)
{
    const struct call *freeze = clone_freeze_call(v);
    bool long_frozen = call_ok(freeze) && v->now.mono_ms > freeze->sent_mono_ms + CUT_ERROR_MS;
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct snapshot_state *s = &v->disks[i].snapshot;
        const struct clone_group *g = v->disks[i].group;
        const char *error = g ? g->error : s->error;
        bool at_work = g ? g->being_created : s->being_created;
        if (clone_disk_is_cut(&v->disks[i]) || !error || at_work ||
            (driver_answer(error) != DRIVER_SETTLED && !long_frozen))
            continue;
        why->disk = v->disks[i].plan->name;
        why_set(why, REASON_SNAPSHOT_FAILED, "disk %s: %s", why->disk, error);
        return STEP_FAILED;
    }
    return STEP_DONE;
}

static void describe_cut(const struct clone_state *v, struct why *why)
{
    size_t cut = 0;
    for (size_t i = 0; i < v->disk_count; i++)
        cut += clone_disk_is_cut(&v->disks[i]);
    why_set(why, REASON_CLONING, "%zu of %zu snapshots are cut", cut, v->disk_count);
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct call *c = refused_create(v, i);
        if (!clone_disk_is_cut(&v->disks[i]) && why->reason == REASON_CLONING)
            why_set(why, REASON_CLONING, "%zu of %zu snapshots are cut, disk %s is not", cut,
                    v->disk_count, v->disks[i].plan->name);
        const char *error =
            v->disks[i].group ? v->disks[i].group->error : v->disks[i].snapshot.error;
        if (error || c)
            why_set(why, REASON_SNAPSHOT_FAILED, "disk %s: %s", v->disks[i].plan->name,
                    c ? str_or(c->message, "no answer") : error);
    }
}

/* FilesystemConsistent is claimed only when the freeze was acknowledged, nothing thawed it before
   the last cut was seen, the guest's own timer included, and no KubeVirt snapshot (whose end thaws
   everybody) came in between. What somebody else thaws is seen at the next poll of the guest (5 s),
   if that comes before our thaw.
 */
static enum consistency judge_consistency(const struct clone_state *v)
{
    enum cut_mode mode = clone_cut_mode(v);
    int64_t id = v->record.attempt.freeze.requested_ms;
    if (clone_uses_vm_snapshot(v))
        return vm_snapshot_consistency(v);
    bool foreign = v->call_log->foreign_snapshot_ms >= id || v->call_log->foreign_thaw_ms >= id ||
                   clone_thawed_by_backup(v) || pods_sharing(v).pod;
    bool quiesced =
        mode == CUT_FROZEN && call_ok(clone_freeze_call(v)) && freeze_held(v) && !foreign;
    return cut_consistency(mode, quiesced, clone_moments(v));
}

/* What the storage says, to be shown and not to be computed with; 0: nothing. */
static int64_t shown_cut_ms(const struct clone_state *v)
{
    int64_t last = 0;
    for (size_t i = 0; i < v->disk_count; i++)
        last = v->disks[i].snapshot.cut_ms > last ? v->disks[i].snapshot.cut_ms : last;
    for (size_t i = 0; i < v->group_count; i++)
        last = v->groups[i].cut_ms > last ? v->groups[i].cut_ms : last;
    return last;
}

/* A source that was started, or restarted and so no longer frozen, while it was cut may not be in
   the cache yet, and what the record says of the snapshots is to be true from the beginning. Our
   thaw waits for none of this. A copy is looked after when it is over. */
static enum step_status check_source_at_cut(const struct clone_state *v, struct why *why)
{
    if (!clone_takes_snapshots(v))
        return STEP_DONE;
    return clone_cut_mode(v) == CUT_OFFLINE ? check_stayed_stopped(v, why)
                                            : check_stayed_the_same(v, why);
}

static bool worth_enough(const struct clone_state *v, struct why *why)
{
    enum consistency got = judge_consistency(v);
    if (clone_must_be_frozen(v) && !consistency_meets(got, CONSISTENCY_FILESYSTEM)) {
        why_set(why, REASON_CUT_TIMEOUT,
                "%s and the guest may not have been frozen until the last snapshot was cut",
                v->effective.quiesce == QUIESCE_REQUIRED ? clone_who_requires(v)
                                                         : "the snapshots copy files");
        return false;
    }
    /* As it can be when the source was started, or a policy was made, after this one was let go. */
    if (!consistency_meets(got, v->least)) {
        why_set(why, REASON_CUT_TIMEOUT, "the snapshots are %s and a ClonePolicy demands %s",
                consistency_names[got], consistency_names[v->least]);
        return false;
    }
    return true;
}

static enum step_status check_all_cut(const struct clone_state *v, struct why *why)
{
    const struct call *thaw = clone_thaw_call(v);
    bool frozen = clone_cut_mode(v) == CUT_FROZEN;
    enum step_status source = check_source_at_cut(v, why);
    if (source != STEP_DONE)
        return source;
    why_set(why, REASON_CLONING, "all snapshots are cut; KubeVirt is thawing the guest");
    /* The record waits for the thaw's answer, so that one write tells both. */
    if (frozen && (!thaw || thaw->state == CALL_FLYING))
        return STEP_WAIT;
    const struct pod_user shares = pods_sharing(v);
    if (clone_must_be_frozen(v) && shares.pod) {
        why_set(why, REASON_SOURCE_CHANGED,
                "quiesce is Required, and the Pod %s/%s began to use disk %s while its snapshot "
                "was cut",
                v->effective.source_ns, shares.pod, shares.disk);
        return STEP_FAILED;
    }
    return worth_enough(v, why) ? STEP_TODO : STEP_FAILED;
}

enum step_status step_cut_check(const struct clone_state *v, struct why *why)
{
    if (clone_past_cut(v))
        return STEP_DONE;
    if (clone_uses_vm_snapshot(v) && !clone_all_cut(v))
        return check_vm_snapshot(v, why);
    bool frozen = clone_cut_mode(v) == CUT_FROZEN;
    enum step_status o = cut_errors(v, why);
    if (o != STEP_FAILED && (frozen || clone_may_leave_groups(v)))
        o = cut_refusals(v, why);
    if (o != STEP_FAILED)
        o = group_gives_way(v, why);
    if (o != STEP_FAILED && frozen && clone_freeze_holds(v))
        o = cut_comes_to_nothing(v, why);
    if (o == STEP_FAILED)
        return o;
    if (clone_all_cut(v))
        return check_all_cut(v, why);
    describe_cut(v, why);
    bool leaves = clone_may_leave_groups(v) && group_is_awaited(v);
    if (frozen && !clone_freeze_holds(v) && (clone_must_be_frozen(v) || leaves)) {
        why_set(why, REASON_CUT_TIMEOUT,
                "the driver did not cut all snapshots within the %lld s that the guest may stay "
                "frozen%s",
                (long long)(clone_unfreeze_ms(v) / 1000),
                str_eq(v->source.guest_os, WINDOWS_GUEST_OS) ? " (it is Windows)" : "");
        return STEP_FAILED;
    }
    why->again_ms = frozen ? clone_thaw_by_ms(v) : v->now.wall_ms + WAIT_POLL_MS;
    if (frozen && v->now.wall_ms >= why->again_ms)
        why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
    why->again_ms = group_look_again_ms(v, why->again_ms);
    return STEP_TODO;
}

static void record_cut(const struct clone_state *v, struct decision *d)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < v->disk_count; i++)
        bytes += v->disks[i].group ? 0 : v->disks[i].snapshot.restore_bytes;
    for (size_t i = 0; i < v->group_count; i++)
        bytes += v->groups[i].restore_bytes;
    begin_attempt(v, d);
    d->record.attempt.cut_ms = v->now.wall_ms;
    d->record.attempt.snapshot_ms = shown_cut_ms(v);
    if (d->record.attempt.member_count)
        d->record.attempt.shared_until_ms = v->now.wall_ms + SHARE_TAKE_OVER_MS;
    d->record.attempt.snapshot_bytes = bytes;
    d->record.attempt.consistency = judge_consistency(v);
    const struct call *freeze = clone_freeze_call(v);
    /* Its end may not be known yet: teardown_thaw tells it then. */
    if (call_ok(freeze) && !d->record.attempt.freeze.thawed_ms) {
        d->record.attempt.froze = true;
        d->record.attempt.freeze_ms = v->now.mono_ms - freeze->sent_mono_ms;
    }
    if (freeze)
        d->record.attempt.freeze.acknowledged_ms = freeze->done_ms;
}

void step_cut_run(const struct clone_state *v, struct decision *d)
{
    struct why why = {0};
    if (clone_all_cut(v) && check_source_at_cut(v, &why) == STEP_TODO) {
        run_look_after(v, d);
        return;
    }
    if (clone_all_cut(v)) {
        record_cut(v, d);
        return;
    }
    if (!v->record.attempts || !v->record.attempt.source_uid) {
        begin_attempt(v, d);
        share_close(v, d);
        d->persist_first = true;
        return;
    }
    if (clone_uses_vm_snapshot(v) && !v->vm_snapshot.exists) {
        create_vm_snapshot(v, d);
        return;
    }
    if (clone_uses_vm_snapshot(v))
        return;
    size_t first = d->intents.count;
    if (!group_labels_are_on(v))
        group_put_labels(v, d);
    else
        group_create(v, d);
    for (size_t i = 0; i < v->disk_count; i++)
        if (!v->disks[i].group && !v->disks[i].snapshot.exists && !clone_disk_is_cut(&v->disks[i]))
            create_snapshot(v, d, i);
    for (size_t i = first; i < d->intents.count; i++)
        d->intents.items[i].urgent = clone_cut_mode(v) == CUT_FROZEN;
    cut_look_live(v, d);
}

/* --- snapshots ready --- */

enum step_status step_snapshots_check(const struct clone_state *v, struct why *why)
{
    if (!clone_takes_snapshots(v) || clone_targets_complete(v))
        return STEP_DONE;
    size_t ready = 0;
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct snapshot_state *s = &v->disks[i].snapshot;
        why->disk = v->disks[i].plan->name;
        if (clone_disk_is_cut(&v->disks[i]) &&
            (s->ready || !clone_disk_has_snapshot(&v->disks[i]))) {
            ready++;
            continue;
        }
        if (v->disks[i].group && !s->exists) {
            if (group_member_state(v, &v->disks[i], why) == STEP_FAILED)
                return STEP_FAILED;
            continue;
        }
        if (!s->exists || s->deleting || s->lost) {
            why_set(why, REASON_SNAPSHOT_LOST, "VolumeSnapshot %s/%s is gone or going",
                    str_or(s->ns, ""), str_or(s->name, ""));
            return STEP_FAILED;
        }
        why_set(why, s->error ? REASON_SNAPSHOT_FAILED : REASON_CLONING, "disk %s: %s",
                v->disks[i].plan->name, str_or(s->error, "its snapshot is not ready yet"));
    }
    if (ready == v->disk_count)
        return STEP_DONE;
    if (why->reason == REASON_CLONING)
        why_set(why, REASON_CLONING, "%zu of %zu snapshots are ready", ready, v->disk_count);
    why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
    return STEP_WAIT;
}
