#include "decide/batch.h"

#include <assert.h>

#include "actions/create.h"
#include "actions/event.h"
#include "base/str.h"
#include "decide/last_look.h"
#include "steps/steps.h"
#include "teardown/teardown.h"

/* A full clone by claims is good only if its source stayed stopped while they were copied: that is
   looked up at the end, once. */
static bool must_be_proven(const struct clone_state *v)
{
    return v->record.attempt.consistency == CONSISTENCY_OFFLINE && clone_copies_claims(v);
}

static bool newly_ready(const struct clone_state *v, const struct target_state *t)
{
    return v->effective.replicas > 1 && clone_past_cut(v) && !t->ready &&
           v->record.repair.target != t->index + 1 && clone_target_done(v, t);
}

static bool any_newly_ready(const struct clone_state *v)
{
    for (size_t t = 0; t < v->target_count; t++)
        if (newly_ready(v, &v->targets[t]))
            return true;
    return false;
}

static void note_all(const struct clone_state *v, struct decision *d)
{
    size_t n = v->record.ready_count;
    struct ready_target *list = arena_alloc(v->arena, (n + v->target_count) * sizeof *list);
    assert(list);
    if (n)
        memcpy(list, v->record.ready, n * sizeof *list);
    for (size_t t = 0; t < v->target_count; t++)
        if (newly_ready(v, &v->targets[t]))
            list[n++] =
                (struct ready_target){v->targets[t].index, v->targets[t].vm.uid, v->now.wall_ms,
                                      v->record.attempt.cut_ms, v->record.attempt.consistency};
    d->record.ready = list;
    d->record.ready_count = n;
}

void batch_note_ready(const struct clone_state *v, struct decision *d)
{
    if (any_newly_ready(v) && !must_be_proven(v))
        note_all(v, d);
}

/* There, and its claims are yet to be its own. */
static bool any_unowned(const struct clone_state *v)
{
    for (size_t t = 0; v->effective.replicas > 1 && t < v->target_count; t++)
        if (clone_target_there(v, &v->targets[t]) && !clone_target_done(v, &v->targets[t]))
            return true;
    return false;
}

bool batch_take_stock(const struct clone_state *v, struct decision *d, struct why *ret_why)
{
    struct why why = {0};
    if (any_unowned(v)) {
        step_ready_run(v, d);
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    if (!any_newly_ready(v))
        return true;
    enum step_status o = must_be_proven(v) ? step_stayed_stopped_check(v, &why) : STEP_DONE;
    if (o == STEP_TODO) {
        step_stayed_stopped_run(v, d);
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    if (o == STEP_DONE)
        note_all(v, d);
    if (o == STEP_FAILED)
        *ret_why = why;
    return true;
}

void batch_tell_weakest(const struct clone_state *v, struct decision *d)
{
    for (size_t i = 0; i < v->record.ready_count; i++) {
        enum consistency one = v->record.ready[i].consistency;
        if (one != CONSISTENCY_UNKNOWN && !consistency_meets(one, d->record.attempt.consistency))
            d->record.attempt.consistency = one;
    }
}

static bool another_is_ready(const struct clone_state *v, const struct target_state *but)
{
    for (size_t t = 0; t < v->target_count; t++)
        if (&v->targets[t] != but && (v->targets[t].ready || clone_target_done(v, &v->targets[t])))
            return true;
    return false;
}

bool batch_repair(const struct clone_state *v, struct decision *d, const struct why *why)
{
    bool common =
        why->reason == REASON_CLONING_REFUSED || reason_table[why->reason].kind == REASON_TERMINAL;
    if (!why->target || common || v->record.repair.count >= v->effective.retry_limit ||
        !another_is_ready(v, why->target))
        return false;
    d->record.repair.count = v->record.repair.count + 1;
    d->record.repair.target = why->target->index + 1;
    d->record.error.reason = reason_table[why->reason].name;
    d->record.error.message = arena_strdup(v->arena, why->message);
    d->record.error.disk = why->disk;
    d->record.error.at_ms = v->now.wall_ms;
    d->record.error.attempt = 0; /* the attempt goes on */
    d->record.error.terminal = false;
    d->persist_first = true;
    char what[48];
    (void)snprintf(what, sizeof what, "ReplicaFailed-%lld", (long long)d->record.repair.count);
    create_event(v, d, true, what, "%s is made again, the others stay: %s", why->target->vm.name,
                 why->message);
    return true;
}

/* The repair of a machine has nothing left to remove. Its restore may have worked after all, on the
   next try of a sidecar: a machine that runs is not taken away for an error that is over. Caches
   may lag, so the API server is asked before anything of it is removed. */
static bool repair_is_over(const struct clone_state *v, struct decision *d,
                           const struct target_state *t)
{
    if (t->ready)
        return true;
    if (!teardown_asked_target(v, t)) {
        if (clone_target_there(v, t))
            return true;
        if (!last_look(v, d))
            return false;
    }
    return teardown_remove_target(v, d, t) && teardown_await_creates(v, d);
}

bool batch_repaired(const struct clone_state *v, struct decision *d)
{
    int64_t target = v->record.repair.target;
    if (!target)
        return true;
    for (size_t t = 0; t < v->target_count; t++)
        if (v->targets[t].index + 1 == target && !repair_is_over(v, d, &v->targets[t]))
            return false;
    d->record.repair.target = 0;
    d->persist_first = true;
    return false;
}

void batch_tell_retry(const struct clone_state *v, struct decision *d)
{
    const char *until = NULL;
    if (v->held_count)
        until = "all clones that share this clone's snapshots have restored from them";
    if (v->record.ready_count)
        until = v->effective.clone_type == CLONE_LINKED
                    ? "the ready machines are linked to this clone's snapshots and are gone: "
                      "create another Wukong for the missing machines"
                    : "the claims of the ready machines wait for snapshots that are gone: start "
                      "these machines once";
    if (until)
        create_event(v, d, true, "RetryWaits", "somebody has asked for a retry; it begins when %s",
                     until);
}

const char *batch_survivors(const struct clone_state *v, const struct decision *d)
{
    if (!d->record.ready_count)
        return "";
    return arena_printf(v->arena, "; %zu of %lld machines are ready and stay",
                        d->record.ready_count, (long long)v->effective.replicas);
}
