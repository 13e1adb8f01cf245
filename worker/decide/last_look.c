#include "decide/last_look.h"

#include "observe/queries.h"
#include "observe/resources.h"
#include "steps/steps.h"

/* That something is not there is believed for so long: the next read waits for its backoff. */
#define ABSENT_FRESH_MS 60000
/* A read that fails so often tells nothing more. */
#define LOOKUPS_TRIED 5

static bool look_at_object(const struct clone_state *v, struct decision *d, enum worker_kind kind,
                           const char *name)
{
    const struct kube_kind *k = &worker_kinds[kind];
    const struct call *c = call_log_find(v->call_log, clone_live_key(kind, name));
    bool absent = call_failed(c) && c->code == 404;
    int64_t fresh_ms = absent ? ABSENT_FRESH_MS : LOOK_FRESH_MS;
    if ((call_ok(c) || absent) && v->now.wall_ms < c->done_ms + fresh_ms)
        return true;
    if (call_failed(c) && c->failures > LOOKUPS_TRIED)
        return true;
    (void)intents_add(&d->intents, INTENT_READ, k, v->wukong->ns, name, clone_live_key(kind, name));
    decision_again(d, v->now.wall_ms + 1000);
    return false;
}

static bool look_at_target(const struct clone_state *v, struct decision *d,
                           const struct target_state *t)
{
    bool known = look_at_object(v, d, KIND_VM, t->vm.name);
    for (size_t i = 0; i < v->disk_count; i++) {
        enum disk_method m = v->disks[i].plan->method;
        known &= look_at_object(v, d, KIND_PVC, t->claims[i].name);
        if (m == DISK_CDI_CLONE || m == DISK_CDI_SNAPSHOT)
            known &= look_at_object(v, d, KIND_DATA_VOLUME, t->claims[i].name);
    }
    return known;
}

bool last_look(const struct clone_state *v, struct decision *d)
{
    bool known = true;
    for (size_t t = 0; clone_past_cut(v) && t < v->target_count; t++)
        if (!v->targets[t].ready && !clone_target_there(v, &v->targets[t]))
            known &= look_at_target(v, d, &v->targets[t]);
    return known;
}
