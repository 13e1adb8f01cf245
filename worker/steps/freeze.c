/* The freeze and the thaw of the guest; see steps.h. */
#include "steps/steps.h"

#include <stdio.h>

#include "actions/create.h"
#include "base/str.h"
#include "observe/resources.h"
#include "steps/pods.h"

static enum step_status check_frozen(const struct clone_state *v, struct why *why)
{
    const struct call *freeze = clone_freeze_call(v);
    if (!freeze) {
        why_set(why, REASON_FREEZE_LOST,
                "the worker restarted during a freeze; it thaws the guest and repeats the attempt");
        if (!clone_proven(v, PROOF_ARMED))
            return STEP_FAILED;
        if (v->now.wall_ms < v->record.attempt.freeze.requested_ms + FREEZE_SEND_MS)
            return STEP_TODO;
        why_set(why, REASON_FREEZE_LOST, "the worker could not send the freeze in time");
        return STEP_FAILED;
    }
    if (call_failed(freeze)) {
        why_set(why, REASON_FREEZE_FAILED, "KubeVirt could not freeze the guest: %s",
                str_or(freeze->message, "no answer"));
        return STEP_FAILED;
    }
    why_set(why, REASON_CLONING, "KubeVirt is freezing the guest");
    why->again_ms = v->record.attempt.freeze.deadline_ms;
    return call_ok(freeze) ? STEP_DONE : STEP_WAIT;
}

/* Show its place more often the nearer its turn comes: each time is a status write. The first ones
   look for themselves, as the time of a guest that does not thaw ends without an event. */
static void tell_place(const struct clone_state *v, struct why *why)
{
    const struct other_clones *others = &v->others;
    int64_t wait = others->freeze_expected_ms / 2;
    wait = wait < FREEZE_TURN_MS ? FREEZE_TURN_MS : wait;
    why->again_ms = v->now.wall_ms + (others->freeze_ahead < others->freezes_max ? FREEZE_TURN_MS
                                      : wait < FREEZE_PLACE_MS                   ? wait
                                                                                 : FREEZE_PLACE_MS);
    char before[48] = "", when[64] = "";
    if (others->freeze_ahead)
        (void)snprintf(before, sizeof before, "; %zu go before this one", others->freeze_ahead);
    if (others->freeze_expected_ms >= 1000)
        (void)snprintf(when, sizeof when, "; this one's turn comes in about %lld s",
                       (long long)(others->freeze_expected_ms / 1000));
    why_set(why, REASON_QUEUED, "other clones hold their guests frozen, at most %u at a time%s%s",
            others->freezes_max, before, when);
}

/* Whoever ends first thaws both, and KubeVirt leaves out its own freeze where it reads a state of
   5 s ago (pkg/storage/snapshot/source.go): one at a time. */
enum step_status check_free_guest(const struct clone_state *v, struct why *why)
{
    const struct source_machine *s = &v->source;
    const struct other_clones *others = &v->others;
    int64_t rested = others->last_thaw_ms + FREEZE_POLL_MS;
    why_set(why, REASON_CLONING, "the worker is about to freeze the guest");
    if (s->holds.snapshot)
        why_set(why, REASON_SOURCE_BUSY, "the VirtualMachineSnapshot %s of the source is under way",
                s->holds.snapshot);
    else if (s->freeze_status)
        why_set(why, REASON_SOURCE_BUSY, "somebody else holds the source %s", s->freeze_status);
    else if (others->freeze_elsewhere) {
        why_set(why, REASON_SOURCE_BUSY, "another clone holds the source frozen");
        why->again_ms = v->now.wall_ms + 1000;
    } else if (others->vm_snapshot_elsewhere && !vm_snapshot_begun(v)) {
        why_set(why, REASON_SOURCE_BUSY, "another clone's VirtualMachineSnapshot is under way");
        why->again_ms = v->now.wall_ms + 1000;
    } else if (others->last_thaw_ms && v->now.wall_ms < rested) {
        why_set(why, REASON_SOURCE_BUSY,
                "the source was thawed a moment ago, and another freeze would collide with that");
        why->again_ms = rested;
    } else if (clone_waits_for_turn(v)) {
        tell_place(v, why);
    }
    return why->reason == REASON_CLONING ? STEP_TODO : STEP_WAIT;
}

enum step_status step_freeze_check(const struct clone_state *v, struct why *why)
{
    if (clone_past_cut(v))
        return STEP_DONE;
    if (check_free_of_others(v, why) == STEP_WAIT)
        return STEP_WAIT;
    if (clone_cut_mode(v) == CUT_FROZEN && v->record.attempt.freeze.requested_ms)
        return check_frozen(v, why);
    enum step_status used = STEP_DONE, freezes = STEP_DONE;
    if (clone_cut_mode(v) == CUT_FROZEN)
        freezes = check_free_guest(v, why);
    /* Last: it is to be as near to the cut as can be. */
    if (freezes != STEP_WAIT)
        used = pods_before(v, why);
    return used == STEP_DONE ? freezes : used;
}

void begin_attempt(const struct clone_state *v, struct decision *d)
{
    if (!v->record.attempts) {
        d->record.attempts = 1;
        d->record.attempt.begun_ms = v->now.wall_ms;
        d->record.attempt.owned = true;
    }
    /* What it has waited for its turn does not count against its deadline. */
    if (d->record.start_ms && !v->record.attempt.source_uid)
        d->record.start_ms += v->others.freeze_queued_ms;
    d->record.labelled |= v->group_count > 0;
    d->record.attempt.source_uid = v->source.vmi_exists ? v->source.vmi_uid : v->source.vm_uid;
    d->record.source_vmi = v->source.vmi_exists ? v->source.vmi_name : v->source.vm_name;
}

void step_freeze_run(const struct clone_state *v, struct decision *d)
{
    struct why why = {0};
    if (!v->record.attempt.freeze.requested_ms && pods_before(v, &why) != STEP_DONE) {
        pods_ask_before(v, d);
        return;
    }
    if (!v->record.attempt.freeze.requested_ms) {
        begin_attempt(v, d);
        share_close(v, d);
        d->record.attempt.freeze.requested_ms = v->now.wall_ms;
        d->record.attempt.freeze.deadline_ms = v->now.wall_ms + clone_unfreeze_ms(v);
        d->record.attempt.freeze.vmi_uid = v->source.vmi_uid;
        d->record.attempt.freeze.thawed_ms = 0;
        d->record.attempt.freeze.acknowledged_ms = 0;
        d->persist_first = true;
        return;
    }
    /* The guest goes on until they are on. */
    if (!group_labels_are_on(v)) {
        group_put_labels(v, d);
        return;
    }
    struct intent *i = intents_add(
        &d->intents, INTENT_SUBRESOURCE, &worker_kinds[KIND_SUB_VMI], v->effective.source_ns,
        v->source.vmi_name, call_key_numbered(CALL_FREEZE, v->record.attempt.freeze.requested_ms));
    i->sub = "freeze";
    i->body = arena_printf(v->arena, "{\"unfreezeTimeout\":\"%llds\"}",
                           (long long)(clone_unfreeze_ms(v) / 1000));
    /* virt-api gives up after 10 s (pkg/virt-api/rest/subresource.go); what comes later is lost. */
    i->timeout_ms = 15000;
}

enum step_status step_thaw_check(const struct clone_state *v, struct why *why)
{
    /* What is cut and told needs no guest: the thaw is repeated beside what follows. */
    if (!record_owes_thaw(&v->record) || clone_past_cut(v))
        return STEP_DONE;
    why_set(why, REASON_CLONING, "KubeVirt is thawing the guest");
    why->again_ms = v->now.wall_ms + 1000;
    return STEP_WAIT;
}
