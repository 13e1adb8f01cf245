/* What the cut rules of the disks (wukong/source/cut_rule.h) ask of an attempt. */
#include "steps/steps.h"

#include "base/str.h"
#include "observe/resources.h"

/* Most drivers have cut by then, and a watch that works has shown it (docs/admin/benchmarks.md). */
#define CUT_LOOK_MS 2000

static bool will_freeze(const struct clone_state *v)
{
    if (clone_uses_vm_snapshot(v))
        return v->source.agent && !v->source.paused;
    return clone_cut_mode(v) == CUT_FROZEN;
}

/* Told before anybody is frozen: a freeze that cannot reach the cut helps nobody, and six of them
   hurt the guest. */
enum step_status check_cut_fits(const struct clone_state *v, struct why *why)
{
    if (clone_cut_mode(v) == CUT_OFFLINE)
        return STEP_DONE;
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct disk_plan *p = v->disks[i].plan;
        bool slow = p->cut.slow && v->effective.quiesce == QUIESCE_REQUIRED;
        bool torn = p->cut.rule == CUT_RULE_WHILE_FROZEN && !will_freeze(v);
        if (!clone_disk_has_snapshot(&v->disks[i]) || (!slow && !torn))
            continue;
        why->disk = p->name;
        why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
        if (slow)
            why_set(why, REASON_CUT_TOO_SLOW,
                    "disk %s: %s, and a snapshot by driver %s takes longer than the %lld s that "
                    "the guest may stay frozen",
                    p->name, clone_who_requires(v), str_or(p->driver, "(unknown)"),
                    (long long)(clone_unfreeze_ms(v) / 1000));
        else
            why_set(why, REASON_CUT_REFUSED,
                    "disk %s: a snapshot by driver %s copies the files while the guest writes "
                    "them, and the guest cannot be frozen for it",
                    p->name, str_or(p->driver, "(unknown)"));
        return STEP_WAIT;
    }
    return STEP_DONE;
}

static void look(const struct clone_state *v, struct decision *d, enum worker_kind kind,
                 const char *ns, const char *name)
{
    const struct call *c = call_log_find(v->call_log, clone_live_key(kind, name));
    if (c && (c->state == CALL_FLYING || v->now.mono_ms < c->done_mono_ms + CUT_LOOK_MS))
        return;
    struct intent *i = intents_add(&d->intents, INTENT_READ, &worker_kinds[kind], ns, name,
                                   clone_live_key(kind, name));
    i->urgent = true;
}

/* What is not seen yet has no UID that its content could be named by. */
static void look_at_disk(const struct clone_state *v, struct decision *d,
                         const struct disk_state *s)
{
    const struct snapshot_state *one = &s->snapshot;
    const struct clone_group *g = s->group;
    bool exists = g ? g->exists : one->exists;
    const char *uid = g ? g->uid : one->uid;
    if (!exists)
        look(v, d, g ? KIND_GROUP : KIND_SNAPSHOT, v->effective.source_ns, g ? g->name : one->name);
    else
        look(v, d, g ? KIND_GROUP_CONTENT : KIND_CONTENT, NULL,
             arena_printf(v->arena, "%ssnapcontent-%s", g ? "group" : "", uid));
}

void cut_look_live(const struct clone_state *v, struct decision *d)
{
    const struct call *freeze = clone_freeze_call(v);
    if (clone_cut_mode(v) != CUT_FROZEN || !call_ok(freeze) || !clone_freeze_holds(v))
        return;
    decision_again(d, v->now.wall_ms + CUT_LOOK_MS);
    if (v->now.mono_ms < freeze->done_mono_ms + CUT_LOOK_MS)
        return;
    for (size_t i = 0; i < v->disk_count; i++)
        if (clone_disk_has_snapshot(&v->disks[i]) && !clone_disk_is_cut(&v->disks[i]))
            look_at_disk(v, d, &v->disks[i]);
}
