/* What the cut rules of the disks (wukong/source/cut_rule.h) ask of an attempt. */
#include "steps/steps.h"

#include "base/str.h"

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
