/* The end of a clone: it has succeeded, failed for good, or is deleted. */
#include "decide/decide_internal.h"

#include "actions/create.h"
#include "actions/event.h"
#include "actions/execute.h"
#include "base/str.h"
#include "decide/batch.h"
#include "decide/debts.h"
#include "decide/expire.h"
#include "steps/steps.h"
#include "teardown/teardown.h"

void succeed(const struct clone_state *v, struct decision *d)
{
    d->record.phase = PHASE_SUCCEEDED;
    batch_tell_weakest(v, d);
    debts_tell(v, d);
    debts_tell_readiness(v, d);
    d->record.completion_ms = v->now.wall_ms;
    d->record.attempt.progress = 100;
    create_event(v, d, false, "Succeeded", "VirtualMachine %s is cloned from %s/%s (%s)",
                 v->targets[0].vm.name, v->effective.source_ns, v->effective.source_name,
                 str_or(consistency_names[d->record.attempt.consistency], "consistency unknown"));
}

void write_finalizer(const struct clone_state *v, struct decision *d, bool wanted)
{
    if (v->wukong->has_finalizer == wanted || (wanted && v->wukong->deleted_ms))
        return;
    /* It was written this way a moment ago, and the other way since: that is no event to wait for.
       Or another field manager owns it, too. */
    struct call_key key = call_key(wanted ? CALL_FINALIZER_ADD : CALL_FINALIZER_REMOVE);
    const struct call *last = call_log_find(v->call_log, key);
    if (call_ok(last))
        decision_again(d, last->done_ms + CALL_SETTLE_MS);
    bool unguards = !wanted && call_ok(last) && v->unguard;
    struct intent *i = intents_add(&d->intents, unguards ? INTENT_PATCH : INTENT_FINALIZER,
                                   &worker_kinds[KIND_WUKONG], v->wukong->ns, v->wukong->name, key);
    i->uid = v->wukong->uid;
    i->body = unguards ? v->unguard : wanted ? WUKONG_FINALIZER : "";
}

/* reclaimPolicy is mutable: the owner that the garbage collector follows says the same. */
static bool follow_reclaim_policy(const struct clone_state *v, struct decision *d)
{
    bool followed = true;
    bool wanted = v->effective.reclaim == RECLAIM_DELETE;
    for (size_t t = 0; t < v->target_count; t++) {
        const struct vm_state *vm = &v->targets[t].vm;
        if (!vm->exists || !vm->ours || vm->deleting || vm->owned == wanted || vm->owned_by_other)
            continue;
        create_own_vm(v, d, &v->targets[t], wanted);
        followed = false;
    }
    return followed;
}

static void tell_leftovers(const struct clone_state *v, struct decision *d)
{
    create_event(v, d, true, "Leftovers", "%s %s/%s could not be removed and stays",
                 v->ours_count ? worker_kinds[v->ours[0].kind].kind : "the guest's freeze",
                 v->ours_count ? str_or(v->ours[0].ns, "") : v->effective.source_ns,
                 v->ours_count ? v->ours[0].name : v->effective.source_name);
}

/* What cannot be removed is left behind once all of it has been asked to go, whatever the order in
   which it should: nobody would ask again. */
static bool gives_up(const struct clone_state *v, struct decision *d, bool machines)
{
    tell_leftovers(v, d);
    return teardown_ask_to_go(v, d, machines) || clone_cleaning_left_ms(v) <= -CLEANUP_LIMIT_MS;
}

/* A finished clone is never run again. What may still be owed: temporaries, snapshots that wait for
   a consumer, a linked clone's parents, the source's stop. */
void after_end(const struct clone_state *v, struct decision *d)
{
    d->keep_conditions = true;
    bool expires = !expire_pay(v, d);
    bool owes = !debts_pay(v, d) || expires;
    bool failed = v->record.phase == PHASE_FAILED;
    /* Machines that are to stay must be out of the garbage collector's reach before the Wukong
       goes. */
    bool retains = v->effective.reclaim == RECLAIM_RETAIN && !v->own_ns_terminating;
    bool gone = v->record.expired.at_ms != 0;
    if (!gone && (!failed || v->record.ready_count) && (!v->wukong->deleted_ms || retains)) {
        bool followed = follow_reclaim_policy(v, d);
        owes |= retains && !followed && v->wukong->has_finalizer;
    }
    if (!v->wukong->deleted_ms && !failed && !gone)
        debts_tell_readiness(v, d);
    bool lasting = v->effective.clone_type == CLONE_LINKED || clone_claims_pending(v);
    bool leaves = !lasting || (failed && !clone_has_children(v));
    if (!owes && v->wukong->has_finalizer && leaves)
        owes = !teardown_nothing_left(v, d, failed && !v->record.ready_count);
    bool late = owes && v->wukong->deleted_ms && clone_cleaning_left_ms(v) <= 0;
    if (owes && v->wukong->deleted_ms && !late)
        decision_again(d, v->now.wall_ms + clone_cleaning_left_ms(v));
    /* Machines go by their owner, and while they stay what their disks need stays, too. */
    if (late && retains)
        tell_leftovers(v, d);
    bool over = late && (retains || gives_up(v, d, false));
    write_finalizer(v, d, owes && !over);
}

void cancelled(const struct clone_state *v, struct decision *d)
{
    int64_t left = v->wukong->deleted_ms ? clone_cleaning_left_ms(v) : CLEANUP_LIMIT_MS;
    bool settled = settle_attempt(v, d, true) && teardown_nothing_left(v, d, true);
    d->record.phase = v->record.phase == PHASE_NONE ? PHASE_PENDING : v->record.phase;
    d->step = "Cancelling";
    d->keep_conditions = true;
    if (!settled && (left > 0 || !gives_up(v, d, true))) {
        decision_again(d, v->now.wall_ms + (left > 0 ? left : WAIT_POLL_MS));
        return;
    }
    if (v->source_ns_terminating)
        create_event(
            v, d, true, "ParentLost",
            "namespace %s of the source is being deleted, and what is left there goes with it",
            v->effective.source_ns);
    write_finalizer(v, d, false);
}
