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

bool call_read_running_vmi(const struct call *c)
{
    CLEANUP_JSON cJSON *vmi = read_vmi(c);
    return vmi != NULL;
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

/* One that runs by then may have been started after the last cut, and nothing tells: the storage's
   own time of a cut may be that of another clock, 0, or the birth of the volume (PowerFlex). */
static enum observed found_stopped(const struct clone_view *v, const struct call *look,
                                   struct why *why)
{
    if (!v->source.vm_exists)
        return STEP_DONE;
    why_set(why, REASON_CLONING, "making sure that the source stayed stopped");
    if (!looked(look))
        return STEP_TODO;
    if (!call_read_running_vmi(look))
        return STEP_DONE;
    why_set(why, REASON_SOURCE_STARTED, "the source %s/%s was running when its disks were copied",
            v->effective.source_ns, v->effective.source_name);
    return STEP_FAILED;
}

enum observed view_stayed_stopped(const struct clone_view *v, struct why *why)
{
    return found_stopped(v, view_look_after(v), why);
}

bool view_copies_claims(const struct clone_view *v)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (!view_disk_has_snapshot(&v->disks[i]))
            return true;
    return false;
}

/* Of snapshots the record says Offline only after the look that proved it. */
enum observed observe_stayed_stopped(const struct clone_view *v, struct why *why)
{
    if (v->record.consistency != CONSISTENCY_OFFLINE || !view_copies_claims(v))
        return STEP_DONE;
    return found_stopped(v, memo_findf(v->memo, "read/copied/%lld", (long long)view_attempt(v)),
                         why);
}

void apply_stayed_stopped(const struct clone_view *v, struct decision *d)
{
    (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[KIND_VMI], v->effective.source_ns,
                      v->source.vmi_name, "read/copied/%lld", (long long)view_attempt(v));
}

void apply_look_after(const struct clone_view *v, struct decision *d)
{
    (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[KIND_VMI], v->effective.source_ns,
                      v->source.vmi_name, "read/after/%lld", (long long)view_attempt(v));
}
