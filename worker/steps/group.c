/*
 * The cut by method VolumeGroupSnapshot. snapshot-controller finds the claims by matchLabels alone
 * (with matchExpressions it takes every claim of the namespace), so each gets a label of this
 * attempt first, while the guest writes; taking it off is owed from the record that begins the
 * attempt (teardown/claim_labels.c).
 */
#include "steps/steps.h"

#include "actions/create.h"
#include "actions/event.h"
#include "base/str.h"
#include "observe/driver_answer.h"

static const struct call *label_call(const struct clone_state *v, size_t disk)
{
    return call_log_find(v->call_log, call_key_label(clone_attempt(v), v->disks[disk].plan->claim));
}

static const struct call *create_call(const struct clone_state *v, const struct clone_group *g)
{
    return g->exists ? NULL
                     : call_log_find(v->call_log, call_key_named(CALL_CREATE_GROUP, g->name));
}

bool group_labels_are_on(const struct clone_state *v)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (v->disks[i].group && !v->disks[i].group->exists && !call_ok(label_call(v, i)))
            return false;
    return true;
}

void group_put_labels(const struct clone_state *v, struct decision *d)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (v->disks[i].group && !call_ok(label_call(v, i)))
            create_claim_label(v, d, i);
}

/* No answer, and nobody at work on it: the sidecars do not serve groups, whatever their CRDs and
   classes say (their feature gate CSIVolumeGroupSnapshot). */
#define GROUP_STALLED_MS 10000
/* Without a freeze nobody stands still for it; csi-snapshotter gives a driver a minute (--timeout).
 */
#define GROUP_UNFROZEN_MS 120000
/* A driver that says when it has cut may take its time. */
#define GROUP_READY_MS 600000

/* In how long it counts as such; 0: it does. */
static int64_t stalled_in_ms(const struct clone_state *v, const struct clone_group *g)
{
    const struct call *freeze = clone_freeze_call(v);
    int64_t most = g->rule == CUT_RULE_READY ? GROUP_READY_MS : GROUP_UNFROZEN_MS;
    int64_t left = call_ok(freeze) ? freeze->sent_mono_ms + GROUP_STALLED_MS - v->now.mono_ms
                                   : g->created_ms + most - v->now.wall_ms;
    return left > 0 ? left : 0;
}

int64_t group_look_again_ms(const struct clone_state *v, int64_t at_ms)
{
    for (size_t i = 0; clone_may_leave_groups(v) && i < v->group_count; i++) {
        int64_t left = v->groups[i].cut ? 0 : stalled_in_ms(v, &v->groups[i]);
        if (left && v->now.wall_ms + left < at_ms)
            at_ms = v->now.wall_ms + left;
    }
    return at_ms;
}

/* How single snapshots would do better; NULL: not as far as is known. */
static const char *why_single_is_better(const struct clone_state *v, const struct clone_group *g)
{
    bool frozen = clone_cut_mode(v) == CUT_FROZEN;
    if (g->error && !g->being_created && driver_answer(g->error) == DRIVER_SETTLED)
        return g->error;
    if (!g->exists || stalled_in_ms(v, g))
        return NULL;
    if (g->error && !g->being_created)
        return g->error;
    if (!g->content)
        return g->error ? g->error : "snapshot-controller does nothing about it";
    if (!frozen)
        return "it is not cut yet";
    return g->being_created || g->answered ? NULL : "csi-snapshotter does nothing about it";
}

enum step_status group_gives_way(const struct clone_state *v, struct why *why)
{
    for (size_t i = 0; clone_may_leave_groups(v) && i < v->group_count; i++) {
        const struct clone_group *g = &v->groups[i];
        const char *better = g->cut ? NULL : why_single_is_better(v, g);
        if (!better)
            continue;
        why->disk = v->disks[g->first].plan->name;
        why_set(why, REASON_SNAPSHOT_FAILED, "VolumeGroupSnapshot %s/%s: %s", g->ns, g->name,
                better);
        return STEP_FAILED;
    }
    return STEP_DONE;
}

bool group_is_awaited(const struct clone_state *v)
{
    for (size_t i = 0; i < v->group_count; i++)
        if (!v->groups[i].cut)
            return true;
    return false;
}

/* What an attempt with groups may have failed of, and one without may not. */
static bool is_of_a_group(const struct clone_state *v, const struct why *why)
{
    static const struct {
        enum reason reason;
        bool before_the_cut; /* later it is said of something else */
    } rows[] = {
        {REASON_CUT_TIMEOUT, true},    {REASON_QUOTA_EXCEEDED, true},
        {REASON_NAME_TAKEN, true},     {REASON_SNAPSHOT_FAILED, false},
        {REASON_SNAPSHOT_LOST, false}, {REASON_RESTORE_FAILED, false},
    };
    for (size_t i = 0; i < v->disk_count; i++)
        if (str_eq(why->disk, v->disks[i].plan->name) && !v->disks[i].group)
            return false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (why->reason == rows[i].reason)
            return !(rows[i].before_the_cut && clone_past_cut(v));
    return false;
}

/* Whose cut was to be shared has said so already. */
static bool leader_left_groups(const struct clone_state *v)
{
    const struct clone_record *r = &v->share.taken;
    return v->share.role == SHARE_FAILED && r->groups_refused.attempt &&
           r->groups_refused.attempt == r->attempts;
}

bool group_fails_alone(const struct clone_state *v, const struct why *why)
{
    return clone_may_leave_groups(v) && (leader_left_groups(v) || is_of_a_group(v, why));
}

void group_leave(const struct clone_state *v, struct decision *d, const char *message,
                 int64_t attempt)
{
    d->record.groups_refused.message = arena_printf(v->arena, "%.1000s", message);
    d->record.groups_refused.attempt = attempt;
    create_event(v, d, true, "GroupSnapshotRefused",
                 "the disks are cut by single VolumeSnapshots from now on: %.800s", message);
}

static enum step_status group_error(const struct clone_state *v, const struct clone_group *g,
                                    struct why *why)
{
    why->disk = v->disks[g->first].plan->name;
    if (g->exists && !g->ours)
        why_set(why, REASON_NAME_TAKEN, "VolumeGroupSnapshot %s/%s exists and is not this clone's",
                g->ns, g->name);
    else if (g->deleting)
        why_set(why, REASON_SNAPSHOT_LOST, "VolumeGroupSnapshot %s/%s is being deleted", g->ns,
                g->name);
    else if (g->unfit)
        why_set(why, REASON_SNAPSHOT_FAILED, "VolumeGroupSnapshot %s/%s %s", g->ns, g->name,
                g->unfit);
    else
        return STEP_DONE;
    return STEP_FAILED;
}

enum step_status group_errors(const struct clone_state *v, bool were_cut, struct why *why)
{
    for (size_t i = 0; i < v->group_count; i++) {
        const struct clone_group *g = &v->groups[i];
        enum step_status o = group_error(v, g, why);
        if (o == STEP_DONE && !g->exists && were_cut) {
            why_set(why, REASON_SNAPSHOT_LOST, "VolumeGroupSnapshot %s/%s was deleted", g->ns,
                    g->name);
            o = STEP_FAILED;
        }
        if (o == STEP_FAILED)
            return o;
    }
    why->disk = NULL;
    return STEP_DONE;
}

const struct call *group_refused(const struct clone_state *v, const struct disk_state *d)
{
    const struct call *c = create_call(v, d->group);
    return call_failed(c) ? c : NULL;
}

/* While the API server changes the version in which it serves groups, the one that we know is
   answered with 404. The reflector learns the other one within 2 s (REFLECTOR_BACKOFF_MS); the
   fourth failure in a row comes 3.5 s after the first (CALL_BACKOFF_MS). */
#define GROUP_UNSERVED_TRIES 4

bool group_is_unserved(const struct call *trial)
{
    return trial->code == 404 && trial->failures >= GROUP_UNSERVED_TRIES;
}

void group_create(const struct clone_state *v, struct decision *d)
{
    for (size_t i = 0; i < v->group_count; i++)
        if (!v->groups[i].exists)
            create_group(v, d, &v->groups[i]);
}

enum step_status group_member_state(const struct clone_state *v, const struct disk_state *d,
                                    struct why *why)
{
    const struct clone_group *g = d->group;
    if (!g->exists || g->deleting) {
        why_set(why, REASON_SNAPSHOT_LOST, "VolumeGroupSnapshot %s/%s is gone or going", g->ns,
                g->name);
        return STEP_FAILED;
    }
    if (group_error(v, g, why) == STEP_FAILED)
        return STEP_FAILED;
    /* Made after the cut, one after the other; the group is ready when the driver says so. */
    why_set(why, g->error ? REASON_SNAPSHOT_FAILED : REASON_CLONING, "disk %s: %s", d->plan->name,
            str_or(g->error, "snapshot-controller has not made its VolumeSnapshot yet"));
    return STEP_WAIT;
}
