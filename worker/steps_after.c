/* The look at the source after the cut: it is still what the attempt began with. */
#include "worker/steps.h"

#include "base/str.h"
#include "json/json.h"

enum observed view_source_changed(struct why *why)
{
    why_set(why, REASON_SOURCE_CHANGED,
            "the source was stopped, started or replaced while it was being cloned");
    return STEP_FAILED;
}

/* The VMI that the call read, if it has not ended; else NULL. */
static cJSON *read_vmi(const struct call *c)
{
    CLEANUP_JSON cJSON *vmi = NULL;
    if (!call_ok(c) || !c->body || json_read(c->body, c->body_len, &vmi, NULL) < 0)
        return NULL;
    const char *phase = json_str(vmi, "status.phase");
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed") ? NULL : TAKE(vmi);
}

bool call_read_running_vmi(const struct call *c, int64_t *ret_created_ms)
{
    CLEANUP_JSON cJSON *vmi = read_vmi(c);
    if (!vmi)
        return false;
    if (!str_to_time_ms(json_str(vmi, "metadata.creationTimestamp"), ret_created_ms))
        *ret_created_ms = 0;
    return true;
}

const struct call *view_look_after(const struct clone_view *v)
{
    return memo_findf(v->memo, "read/after/%lld", (long long)view_attempt(v));
}

static bool looked(const struct call *c)
{
    return call_ok(c) || (call_failed(c) && c->code == 404);
}

enum observed view_stayed_the_same(const struct clone_view *v, struct why *why)
{
    const struct call *c = view_look_after(v);
    why_set(why, REASON_CLONING, "all snapshots are cut, making sure that the source is the same");
    if (!looked(c))
        return STEP_TODO;
    CLEANUP_JSON cJSON *vmi = read_vmi(c);
    bool same = vmi && str_eq(json_str(vmi, "metadata.uid"), v->record.source_uid) &&
                !json_str(vmi, "metadata.deletionTimestamp");
    return same ? STEP_DONE : view_source_changed(why);
}

enum observed view_stayed_stopped(const struct clone_view *v, int64_t cut_ms, struct why *why)
{
    int64_t created_ms = 0;
    const struct call *c = view_look_after(v);
    bool by_snapshot = view_takes_snapshots(v);
    if (!v->source.vm_exists)
        return STEP_DONE;
    why_set(why, REASON_CLONING, "making sure that the source stayed stopped");
    if (!looked(c))
        return STEP_TODO;
    /* Times of objects are whole seconds; after the cut a snapshot does not care. */
    if (!call_read_running_vmi(c, &created_ms) || (by_snapshot && created_ms > cut_ms))
        return STEP_DONE;
    why_set(why, REASON_SOURCE_STARTED, "the source %s/%s was running when its disks were copied",
            v->effective.source_ns, v->effective.source_name);
    return STEP_FAILED;
}

enum observed observe_stayed_stopped(const struct clone_view *v, struct why *why)
{
    return v->record.consistency == CONSISTENCY_OFFLINE
               ? view_stayed_stopped(v, v->record.cut_ms, why)
               : STEP_DONE;
}

void apply_look_after(const struct clone_view *v, struct decision *d)
{
    (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[KIND_VMI], v->effective.source_ns,
                      v->source.vmi_name, "read/after/%lld", (long long)view_attempt(v));
}
