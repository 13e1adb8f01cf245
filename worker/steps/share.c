/* The step between pre-flight and freeze: own snapshot, or one shared with equal Wukongs. */
#include "steps/steps.h"

#include "base/str.h"

/* A follower that has not been told looks again this often; events wake it sooner. */
#define FOLLOW_POLL_MS 2000

static enum step_status follow_leader(const struct clone_state *v, struct why *why,
                                      const char *format)
{
    why_set(why, REASON_SHARED_SNAPSHOT, "Wukong %s %s", str_or(v->share.leader, "?"), format);
    why->again_ms = v->share.again_ms ? v->share.again_ms : v->now.wall_ms + FOLLOW_POLL_MS;
    return STEP_WAIT;
}

/* It has no place of its own among those under way (policy/policy_gate.h). */
static enum step_status await_the_other(struct why *why, const struct clone_state *v)
{
    why_set(why, REASON_SHARED_SNAPSHOT,
            "an equal Wukong that is under way is about to take the snapshot for this clone, too");
    why->again_ms = v->now.wall_ms + FOLLOW_POLL_MS;
    return STEP_WAIT;
}

enum step_status step_share_check(const struct clone_state *v, struct why *why)
{
    const struct share_status *s = &v->share;
    if (share_begun(&v->record))
        return STEP_DONE;
    switch (s->role) {
    case SHARE_LEAD:
        if (v->policy.taken_along && !s->member_count)
            return await_the_other(why, v);
        return STEP_DONE;
    case SHARE_NONE:
        return STEP_DONE;
    case SHARE_LINGER:
        why_set(why, REASON_SHARED_SNAPSHOT,
                "more Wukongs of the same source are appearing; they will share one snapshot");
        why->again_ms = s->again_ms;
        return STEP_WAIT;
    case SHARE_FOLLOW:
        return follow_leader(v, why, "is about to take the snapshot for this clone, too");
    case SHARE_BOUND:
        return follow_leader(v, why, "is taking the snapshot for this clone, too");
    case SHARE_TAKE_OVER:
        why_set(why, REASON_SHARED_SNAPSHOT, "this clone shares the snapshot of Wukong %s",
                s->leader);
        return STEP_TODO;
    case SHARE_FAILED:
        why->disk = s->taken.error.disk;
        why_set(why, reason_find(s->taken.error.reason), "the snapshot that Wukong %s took: %s",
                s->leader, str_or(s->taken.error.message, "failed"));
        return STEP_FAILED;
    }
    return STEP_DONE;
}

void step_share_run(const struct clone_state *v, struct decision *d)
{
    const struct clone_record *taken = &v->share.taken;
    d->persist_first = true;
    if (!v->record.attempts) {
        d->record.attempts = 1;
        d->record.attempt.begun_ms = v->now.wall_ms;
        d->record.attempt.owned = true;
    }
    d->record.attempt.shared.uid = v->share.leader_uid;
    d->record.attempt.shared.name = v->share.leader;
    d->record.attempt.shared.attempt = taken->attempts;
    d->record.attempt.source_uid = taken->attempt.source_uid;
    d->record.source_vmi = taken->source_vmi;
    d->record.attempt.cut_ms = taken->attempt.cut_ms;
    d->record.attempt.snapshot_ms = taken->attempt.snapshot_ms;
    d->record.attempt.snapshot_bytes = taken->attempt.snapshot_bytes;
    d->record.attempt.consistency = taken->attempt.consistency;
    d->record.attempt.froze = taken->attempt.froze;
    d->record.attempt.freeze_ms = taken->attempt.freeze_ms;
    /* Not thawed yet: no longer than its own timer lets it. */
    int64_t most = taken->attempt.freeze.deadline_ms - taken->attempt.freeze.requested_ms;
    if (record_owes_thaw(taken) && most > d->record.attempt.freeze_ms)
        d->record.attempt.freeze_ms = most;
}

void share_close(const struct clone_state *v, struct decision *d)
{
    bool leads = v->share.role == SHARE_LEAD;
    d->record.attempt.members = leads ? v->share.members : NULL;
    d->record.attempt.member_count = leads ? v->share.member_count : 0;
}
