/* The step between pre-flight and freeze: own snapshot, or one shared with equal Wukongs. */
#include "steps/steps.h"

#include "base/str.h"

/* A follower that has not been told looks again this often; events wake it sooner. */
#define FOLLOW_POLL_MS 2000

static enum observed follow(const struct clone_view *v, struct why *why, const char *format)
{
    why_set(why, REASON_SHARED_SNAPSHOT, "Wukong %s %s", str_or(v->share.leader, "?"), format);
    why->again_ms = v->share.again_ms ? v->share.again_ms : v->now.wall_ms + FOLLOW_POLL_MS;
    return STEP_WAIT;
}

enum observed observe_share(const struct clone_view *v, struct why *why)
{
    const struct view_share *s = &v->share;
    if (share_begun(&v->record))
        return STEP_DONE;
    switch (s->role) {
    case SHARE_NONE:
    case SHARE_LEAD:
        return STEP_DONE;
    case SHARE_LINGER:
        why_set(why, REASON_SHARED_SNAPSHOT,
                "equal Wukongs of the same source appear: they share one snapshot");
        why->again_ms = s->again_ms;
        return STEP_WAIT;
    case SHARE_FOLLOW:
        return follow(v, why, "is about to take the snapshot for this one, too");
    case SHARE_BOUND:
        return follow(v, why, "is taking the snapshot for this one, too");
    case SHARE_TAKE_OVER:
        why_set(why, REASON_SHARED_SNAPSHOT, "the snapshot of Wukong %s is taken over", s->leader);
        return STEP_TODO;
    case SHARE_FAILED:
        why->disk = s->taken.error.disk;
        why_set(why, reason_find(s->taken.error.reason), "the snapshot that Wukong %s took: %s",
                s->leader, str_or(s->taken.error.message, "failed"));
        return STEP_FAILED;
    }
    return STEP_DONE;
}

void apply_share(const struct clone_view *v, struct decision *d)
{
    const struct clone_record *taken = &v->share.taken;
    d->persist_first = true;
    if (!v->record.attempts) {
        d->record.attempts = 1;
        d->record.attempt_ms = v->now.wall_ms;
        d->record.owned = true;
    }
    d->record.shared.uid = v->share.leader_uid;
    d->record.shared.name = v->share.leader;
    d->record.shared.attempt = taken->attempts;
    d->record.source_uid = taken->source_uid;
    d->record.source_vmi = taken->source_vmi;
    d->record.cut_ms = taken->cut_ms;
    d->record.snapshot_ms = taken->snapshot_ms;
    d->record.snapshot_bytes = taken->snapshot_bytes;
    d->record.consistency = taken->consistency;
    d->record.froze = taken->froze;
    d->record.freeze_ms = taken->freeze_ms;
    /* Not thawed yet: no longer than its own timer lets it. */
    int64_t most = taken->freeze.deadline_ms - taken->freeze.requested_ms;
    if (record_owes_thaw(taken) && most > d->record.freeze_ms)
        d->record.freeze_ms = most;
}

void share_close(const struct clone_view *v, struct decision *d)
{
    bool leads = v->share.role == SHARE_LEAD;
    d->record.members = leads ? v->share.members : NULL;
    d->record.member_count = leads ? v->share.member_count : 0;
}
