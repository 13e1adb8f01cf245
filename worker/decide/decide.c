#include "decide/decide_internal.h"

#include <assert.h>

#include "actions/event.h"
#include "base/str.h"
#include "decide/batch.h"
#include "decide/debts.h"
#include "decide/expire.h"
#include "decide/last_look.h"
#include "decide/restored.h"
#include "steps/pods.h"
#include "steps/steps.h"
#include "teardown/teardown.h"

/* Of an object that cannot be read nothing is concluded: no guest goes unfrozen because its agent
   is not seen, and no attempt ends because a claim seems lost. A guest that is frozen waits for
   nothing. */
static bool unreadable_blocks(const struct clone_state *v, struct walk *w)
{
    bool source = w->current == CLONE_STEP_SOURCE && !clone_past_cut(v);
    if (!v->unreadable || record_owes_thaw(&v->record) || w->current == 0 ||
        (w->status == STEP_DONE && !source))
        return false;
    w->why = (struct why){0};
    why_set(&w->why, REASON_OBJECT_UNREADABLE, "%s", v->unreadable);
    w->status = STEP_WAIT;
    return true;
}

static struct walk walk_steps(const struct clone_state *v)
{
    struct walk w = {.status = STEP_DONE};
    for (w.current = 0; w.current < CLONE_STEPS; w.current++) {
        w.why = (struct why){0};
        w.status = clone_steps[w.current].check(v, &w.why);
        if (unreadable_blocks(v, &w) || w.status != STEP_DONE)
            break;
    }
    return w;
}

/* The application that opened its gates is held until SnapshotTaken tells it otherwise. An attempt
   that has begun may be cutting disks, whatever step it waits at: an application that is let go
   there, and asked anew later, has written between two cuts. */
static void hold_gates(const struct clone_state *v, const struct walk *w, struct decision *d)
{
    bool opened = w->current > CLONE_STEP_GATES || share_begun(&v->record);
    if (opened && v->wukong->spec.source.gate_count && !clone_past_cut(v) &&
        w->status != STEP_FAILED)
        decision_condition(d, COND_AWAITING_GATES, CONDITION_TRUE, REASON_READY,
                           "all gates are open; the worker is about to take the snapshots");
}

/* No freeze of this guest holds back what another machine writes to them. */
static void tell_shared(const struct clone_state *v, struct decision *d)
{
    CLEANUP_BUF struct buf names = BUF_INIT(16384);
    for (size_t i = 0; i < v->disk_count; i++)
        if (v->disks[i].plan->shared)
            buf_addf(&names, "%s%s", names.len ? ", " : "", v->disks[i].plan->name);
    const struct pod_user user = pods_sharing(v);
    if (names.len)
        create_event(v, d, true, "SharedDisk",
                     "shareable or lun: %s; the clone holds what other machines wrote to it "
                     "meanwhile, complete or not%s%s%s%s",
                     names.data,
                     user.pod ? "; this is not FilesystemConsistent, because the Pod " : "",
                     str_or(user.pod, ""), user.pod ? " uses disk " : "", str_or(user.disk, ""));
}

static void tell_cut(const struct clone_state *v, struct decision *d)
{
    const char *what = str_or(consistency_names[d->record.attempt.consistency], "taken");
    if (record_owes_thaw(&d->record))
        create_event(v, d, false, "SnapshotTaken", "%s; the guest is not thawed yet", what);
    else if (d->record.attempt.froze)
        create_event(v, d, false, "SnapshotTaken", "%s; the guest was frozen for %lld ms", what,
                     (long long)d->record.attempt.freeze_ms);
    else
        create_event(v, d, false, "SnapshotTaken", "%s; the guest was not frozen", what);
    tell_shared(v, d);
}

/* CDI falls back from a snapshot or a clone of the driver's to a copy of every byte, silently. */
static void tell_host_copies(const struct clone_state *v, struct decision *d)
{
    for (size_t t = 0; t < v->target_count; t++)
        for (size_t i = 0; i < v->disk_count; i++) {
            const struct claim_state *c = &v->targets[t].claims[i];
            if (c->host_copied && !c->bound)
                create_event_about(v, d, true, "HostAssistedCopy", v->disks[i].plan->name,
                                   "disk %s: CDI copies it byte by byte, which takes long: %s",
                                   v->disks[i].plan->name,
                                   str_or(c->fallback, "the storage class asks for it"));
        }
}

static enum share_state share_state(const struct clone_state *v, const struct walk *w)
{
    if (w->current >= CLONE_STEP_SHARE)
        return v->wukong->has_finalizer ? SHARE_READY : SHARE_COMING;
    if (w->why.reason == REASON_QUEUED)
        return SHARE_COMING;
    return w->current == CLONE_STEP_PREFLIGHT && w->why.reason == REASON_WAITING ? SHARE_REREADING
                                                                                 : SHARE_BLOCKED;
}

/* So far it only reads and tries: a Wukong that is deleted now leaves nothing behind, and one that
   waits for a person for months costs no write of a finalizer, nor does its deletion wait for us.
 */
static bool makes_nothing(const struct clone_state *v, const struct walk *w)
{
    bool starts = w->current == CLONE_STEP_SOURCE && w->status == STEP_TODO;
    return w->current <= CLONE_STEP_PREFLIGHT && !starts && !record_begun(&v->record) &&
           !share_begun(&v->record);
}

static void go_on(const struct clone_state *v, struct decision *d)
{
    struct walk w = walk_steps(v);
    d->share = share_state(v, &w);
    d->tries = w.current <= CLONE_STEP_PREFLIGHT && clone_may_be_held(v);
    d->held_up = d->tries && w.why.reason != REASON_WAITING;
    d->waits_to_freeze = w.current > CLONE_STEP_PREFLIGHT && w.why.reason == REASON_QUEUED;
    d->prepares = w.current == CLONE_STEP_PREFLIGHT && w.why.reason == REASON_WAITING;
    d->record.phase = v->record.attempts || w.current > 1 ? PHASE_CLONING : PHASE_PENDING;
    start_clock(v, &w, d);
    batch_note_ready(v, d);
    bool late = past_deadline(v, &w, d);
    teardown_thaw(v, d, late || w.status == STEP_FAILED);
    if (late)
        return;
    note_started(v, d);
    /* After the cut the source is not needed any more. */
    if (clone_past_cut(v) && !record_owes_thaw(&v->record))
        (void)teardown_stop_source(v, d);
    if (clone_past_cut(v))
        (void)teardown_unlabel(v, d);
    d->step_speaks = w.current < CLONE_STEPS;
    d->step = d->step_speaks ? clone_steps[w.current].name : NULL;
    if (d->step_speaks)
        d->step_condition = clone_steps[w.current].condition;
    d->record.attempt.progress = progress_of(v, w.current);
    step_conditions(v, &w, d);
    hold_gates(v, &w, d);
    if (!batch_repaired(v, d))
        return;
    if (w.status == STEP_FAILED) {
        if (!last_look(v, d) || batch_repair(v, d, &w.why) || !batch_take_stock(v, d, &w.why))
            return;
        begin_abort(v, d, &w.why, reason_table[w.why.reason].kind == REASON_TERMINAL);
        return;
    }
    /* From here on claims are made of them. */
    if (v->effective.clone_type == CLONE_LINKED && v->wukong->has_finalizer &&
        w.current > CLONE_STEP_SNAPSHOTS)
        (void)teardown_hold_parents(v, d);
    /* Nothing that must be undone is begun before the finalizer is there. */
    const struct clone_step *step = w.current < CLONE_STEPS ? &clone_steps[w.current] : NULL;
    bool guarded = v->wukong->has_finalizer || makes_nothing(v, &w);
    if (!guarded)
        write_finalizer(v, d, true);
    if (step && w.status == STEP_TODO && step->run && guarded)
        step->run(v, d);
    if (w.current < CLONE_STEPS) {
        decision_again(d, w.why.again_ms);
        d->waiting_until_ms = w.why.until_ms;
    }
    if (w.current == CLONE_STEPS)
        succeed(v, d);
    if (d->record.attempt.cut_ms && !v->record.attempt.cut_ms)
        tell_cut(v, d);
    tell_host_copies(v, d);
}

/* Until its own claims are bound, or are gone with the attempt. */
static bool holds_snapshots(const struct clone_state *v)
{
    struct decision scratch = {0};
    if (v->share.taking_over)
        return true;
    if (v->record.phase == PHASE_SUCCEEDED)
        return clone_claims_pending(v);
    if (record_final(&v->record) || v->wukong->deleted_ms || record_aborted(&v->record))
        return clone_has_children_to_go(v) || clone_claims_pending(v) ||
               !teardown_await_creates(v, &scratch);
    return !clone_targets_complete(v);
}

static bool nothing_to_go(const struct clone_state *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if (!v->ours[i].stays)
            return false;
    return !v->held_count && !v->record.labelled;
}

static bool retry_asked(const struct clone_state *v)
{
    return v->record.phase == PHASE_FAILED && !v->record.expired.at_ms && !str_empty(v->retry) &&
           !str_eq(v->retry, v->record.retry_token);
}

#define TOO_LARGE_POLL_MS 60000

void clone_too_large(const struct clone_state *v, struct decision *d)
{
    d->record = v->record;
    d->keep_conditions = true;
    d->write_status = !record_final(&v->record);
    decision_condition(d, COND_SOURCE_READY, CONDITION_FALSE, REASON_TOO_LARGE,
                       "the source, the clone's objects and the spec are together larger than the "
                       "worker reads at once");
    decision_again(d, v->now.wall_ms + TOO_LARGE_POLL_MS);
    summary(v, d);
}

/* What KubeVirt made for it is told by that UID alone, once it is gone itself. */
static void note_vm_snapshot(const struct clone_state *v, struct decision *d)
{
    const char *first = NULL;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        if (o->kind != KIND_VM_SNAPSHOT)
            continue;
        if (str_eq(o->uid, v->record.vm_snapshot_uid))
            return;
        first = first ? first : o->uid;
    }
    if (first)
        d->record.vm_snapshot_uid = first;
}

/* Once for each set of them: it is no failure, and somebody may mean it. KubeVirt's clone makes its
   claims first and its machine later. Of many, only the first are named, and only once. */
static void tell_strangers(const struct clone_state *v, struct decision *d)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    size_t shown = v->stranger_count < STRANGERS_MAX ? v->stranger_count : STRANGERS_MAX;
    uint64_t set = 0; /* in whatever order they come */
    for (size_t i = 0; i < shown; i++) {
        const struct stranger *s = &v->strangers[i];
        size_t begin = text.len + (i ? 2 : 0);
        buf_addf(&text, "%s%s %s%s%s", i ? ", " : "", worker_kinds[s->kind].kind, str_or(s->ns, ""),
                 str_empty(s->ns) ? "" : "/", s->name);
        set += str_hash64(text.data + begin, text.len - begin);
    }
    if (v->stranger_count > shown)
        buf_addf(&text, " and %zu more", v->stranger_count - shown);
    CLEANUP_FREE char *who =
        v->stranger_count > shown ? xstrdup("many") : xasprintf("%016llx", (unsigned long long)set);
    if (shown)
        create_event_about(v, d, true, "NotOurs", who,
                           "objects bear this clone's label " WUKONG_UID_LABEL
                           " and are not its own, so the worker leaves them alone: %s; remove the "
                           "label from copied objects",
                           text.data);
}

void clone_decide(const struct clone_state *v, struct decision *d)
{
    assert(v->effective.is_clone);
    assert(d->intents.arena && !d->intents.count);
    d->record = v->record;
    d->holds = holds_snapshots(v);
    d->write_status = true;
    note_vm_snapshot(v, d);
    tell_strangers(v, d);
    if (record_final(&v->record)) {
        after_end(v, d);
        if (retry_asked(v) && !v->wukong->deleted_ms && nothing_to_go(v) && !v->share.taking_over) {
            d->record = (struct clone_record){.retry_token = v->retry,
                                              .phase = PHASE_PENDING,
                                              .ready = v->record.ready,
                                              .ready_count = v->record.ready_count};
            d->persist_first = true;
        } else if (retry_asked(v) && !v->wukong->deleted_ms) {
            batch_tell_retry(v, d);
        }
        if (v->wukong->deleted_ms)
            d->write_status = v->wukong->has_finalizer;
    } else if (v->wukong->deleted_ms || v->own_ns_terminating) {
        /* In a namespace that goes nothing can be made any more, and the namespace controller may
           come to the Wukong late: the guest does not stay frozen for that. */
        cancelled(v, d);
        d->write_status = v->wukong->has_finalizer;
    } else if (expire_too_late(v)) {
        expire_end(v, d);
    } else if (restored_again(v)) {
        restored_end(v, d);
    } else {
        if (!str_empty(v->retry) && !v->record.retry_token)
            d->record.retry_token = v->retry;
        if (record_aborted(&v->record)) {
            write_finalizer(v, d, true);
            after_failure(v, d);
        } else {
            go_on(v, d);
        }
    }
    summary(v, d);
}

void clone_decide_leaving(const struct clone_state *v, struct decision *d)
{
    if (clone_past_cut(v) || clone_all_cut(v) || record_final(&v->record)) {
        clone_decide(v, d);
        return;
    }
    d->record = v->record;
    d->holds = holds_snapshots(v);
    d->write_status = true;
    d->keep_conditions = true;
    d->step = "Thaw";
    teardown_thaw(v, d, true);
    summary(v, d);
}
