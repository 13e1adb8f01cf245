/*
 * The cut by method VolumeGroupSnapshot. snapshot-controller finds the claims by matchLabels alone
 * (with matchExpressions it takes every claim of the namespace), so each gets a label of this
 * attempt first, while the guest writes; taking it off is owed from the record that begins the
 * attempt (teardown/claim_labels.c).
 */
#include "steps/steps.h"

#include "actions/create.h"
#include "base/str.h"

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
