#include "decide/debts.h"

#include "actions/create.h"
#include "actions/event.h"
#include "base/str.h"
#include "observe/queries.h"
#include "steps/steps.h"
#include "teardown/teardown.h"

/* Deleting the Wukong is to leave the machines: so says reclaimPolicy, or somebody took them out of
   our ownership. */
static bool machines_stay(const struct clone_state *v)
{
    if (v->own_ns_terminating)
        return false;
    if (v->effective.reclaim == RECLAIM_RETAIN)
        return true;
    for (size_t t = 0; t < v->target_count; t++)
        if (v->targets[t].vm.exists && v->targets[t].vm.ours && !v->targets[t].vm.owned)
            return true;
    return false;
}

static bool is_temporary(const struct leftover *o)
{
    static const int kinds[] = {KIND_SNAPSHOT, KIND_VM_SNAPSHOT, KIND_CONTENT, KIND_GROUP,
                                KIND_GROUP_CONTENT};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (o->kind == kinds[i])
            return !o->attached;
    return false;
}

static const struct leftover *first_temporary(const struct clone_state *v)
{
    const struct leftover *first = NULL;
    for (size_t i = 0; i < v->ours_count; i++)
        if (is_temporary(&v->ours[i]) && (!first || (first->deleting && !v->ours[i].deleting)))
            first = &v->ours[i];
    return first;
}

static void cleaned(struct decision *d, bool yes, enum reason reason, const char *message)
{
    decision_condition(d, COND_TEMPORARIES_CLEANED, yes ? CONDITION_TRUE : CONDITION_FALSE, reason,
                       message);
}

/* What is yet to be removed, and where to look when that takes long. */
static const char *leftover_text(const struct clone_state *v, const struct leftover *o)
{
    const char *kind = worker_kinds[o->kind].kind;
    if (!o->deleting)
        return arena_printf(v->arena, "the worker is removing %s %s%s%s", kind, str_or(o->ns, ""),
                            o->ns ? "/" : "", o->name);
    return arena_printf(v->arena,
                        "%s %s%s%s is deleted, and the storage has not removed its snapshot yet; "
                        "it is asked again until it does. Its Events, and those of its "
                        "VolumeSnapshotContent, say why",
                        kind, str_or(o->ns, ""), o->ns ? "/" : "", o->name);
}

/* A linked clone's snapshots stay, safe from whoever deletes them. */
static bool parents_held(const struct clone_state *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if (leftover_is_parent(&v->ours[i]) && v->ours[i].content && !v->ours[i].content_retains)
            return false;
    return true;
}

static bool copies_left(const struct clone_state *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if (v->ours[i].copy && is_temporary(&v->ours[i]))
            return true;
    return false;
}

static void tell_linked_debts(const struct clone_state *v, struct decision *d)
{
    if (!parents_held(v))
        cleaned(d, false, REASON_CLEANING_UP,
                "the worker is making the snapshots the clone's parents");
    else if (copies_left(v) && !clone_claims_pending(v))
        cleaned(d, false, REASON_CLEANING_UP,
                "the worker is removing the objects that handed the snapshots to this namespace");
    else
        cleaned(d, true, REASON_CLEANED, "nothing temporary is left");
}

void debts_tell(const struct clone_state *v, struct decision *d)
{
    const struct leftover *left = first_temporary(v);
    const char *source = arena_printf(v->arena, "%s/%s", v->effective.source_ns,
                                      str_or(v->source.vm_name, v->effective.source_name));
    if (record_owes_thaw(&d->record))
        cleaned(d, false, REASON_CLEANING_UP,
                arena_printf(v->arena, "the worker has yet to thaw the source %s", source));
    else if (d->record.labelled)
        cleaned(
            d, false, REASON_CLEANING_UP,
            arena_printf(v->arena, "the worker is taking its labels off the claims of %s", source));
    else if (clone_source_to_stop(v))
        cleaned(
            d, false, REASON_CLEANING_UP,
            arena_printf(v->arena,
                         "the worker started the source %s for the clone and is stopping it again",
                         source));
    else if (v->effective.clone_type == CLONE_LINKED)
        tell_linked_debts(v, d);
    else if (left && clone_claims_pending(v))
        cleaned(d, false, REASON_WAITING_FOR_CONSUMER,
                "the claims bind when somebody starts the new VM; the snapshots stay until then");
    else if (left)
        cleaned(d, false, REASON_CLEANING_UP, leftover_text(v, left));
    else
        cleaned(d, true, REASON_CLEANED, "nothing temporary is left");
}

void debts_tell_readiness(const struct clone_state *v, struct decision *d)
{
    for (size_t t = 0; v->effective.auto_start && t < v->target_count; t++) {
        const struct vm_state *vm = &v->targets[t].vm;
        if (vm->exists && vm->ours && vm->up && !vm->ready) {
            decision_condition(
                d, COND_VM_READY, CONDITION_TRUE, REASON_READY,
                arena_printf(v->arena,
                             "VirtualMachine %s runs; its guest is not ready yet: its "
                             "readiness probe has not passed, or it is paused",
                             vm->name));
            return;
        }
        if (!vm->exists || !vm->ours || !vm->up)
            return;
    }
    decision_condition(d, COND_VM_READY, CONDITION_TRUE, REASON_READY, STEP_VM_THERE);
}

static bool snapshots_left(const struct clone_state *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if (leftover_is_parent(&v->ours[i]))
            return true;
    return false;
}

/* A content that outlived its VolumeSnapshot still holds what the disks are linked to. */
static bool contents_left(const struct clone_state *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if ((v->ours[i].kind == KIND_CONTENT || v->ours[i].kind == KIND_GROUP_CONTENT) &&
            !v->ours[i].copy && !v->ours[i].attached)
            return true;
    return false;
}

/* The snapshots of a finished clone, while they are needed: by claims that wait for a consumer, or
   as the parents of a linked clone. Deleting the Wukong takes the machines first, or leaves both.
 */
static bool keep_snapshots(const struct clone_state *v, struct decision *d)
{
    bool linked = v->effective.clone_type == CLONE_LINKED;
    if (v->wukong->deleted_ms) {
        if (!machines_stay(v))
            return !teardown_remove_all(v, d);
        create_event(v, d, true, "SnapshotsKept",
                     "the machines stay (reclaimPolicy), and so do the snapshots that they need, "
                     "labelled " WUKONG_UID_LABEL "=%s",
                     v->wukong->uid);
        return false;
    }
    if (!linked)
        return true;
    bool held = teardown_hold_parents(v, d);
    /* The parent is the source's own snapshot; the way to it is not needed once the claims are
       bound. */
    if (held && !clone_claims_pending(v))
        held = teardown_remove_copies(v, d);
    if (!held)
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
    if (!snapshots_left(v))
        create_event(v, d, true, "ParentLost",
                     "the snapshots that the clone's disks are linked to are gone");
    return snapshots_left(v) || contents_left(v);
}

/* Of a clone that has succeeded: removes what it does not need any more; true when it owes no more
   snapshots. */
static bool remove_temporaries(const struct clone_state *v, struct decision *d)
{
    bool linked = v->effective.clone_type == CLONE_LINKED;
    if ((linked && clone_has_children(v)) || clone_claims_pending(v))
        return !keep_snapshots(v, d);
    return teardown_remove_snapshots(v, d);
}

bool debts_pay(const struct clone_state *v, struct decision *d)
{
    teardown_thaw(v, d, true);
    bool thawed = !record_owes_thaw(&d->record);
    bool stopped = thawed && teardown_stop_source(v, d);
    bool failed = v->record.phase == PHASE_FAILED;
    bool removed = !failed || teardown_remove_all(v, d);
    if (removed && (!failed || clone_has_children(v)))
        removed = remove_temporaries(v, d);
    if (!failed || v->record.ready_count)
        debts_tell(v, d);
    else if (removed)
        cleaned(d, true, REASON_CLEANED, "nothing temporary is left");
    bool unlabelled = teardown_unlabel(v, d);
    return thawed && stopped && removed && unlabelled;
}
