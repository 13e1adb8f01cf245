#include "worker/decide.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/rng.h"
#include "base/str.h"
#include "worker/batch.h"
#include "worker/bodies.h"
#include "worker/debts.h"
#include "worker/execute.h"
#include "worker/pods.h"
#include "worker/restored.h"
#include "worker/sharing.h"
#include "worker/steps.h"

const char *const condition_type_names[CONDITION_TYPES] = {
    [COND_READY] = "Ready",
    [COND_RECONCILING] = "Reconciling",
    [COND_STALLED] = "Stalled",
    [COND_SOURCE_READY] = "SourceReady",
    [COND_POLICY_ALLOWED] = "PolicyAllowed",
    [COND_SNAPSHOT_READY] = "SnapshotReady",
    [COND_SNAPSHOT_TAKEN] = "SnapshotTaken",
    [COND_DISKS_READY] = "DisksReady",
    [COND_VM_READY] = "VirtualMachineReady",
    [COND_TEMPORARIES_CLEANED] = "TemporariesCleaned",
    [COND_AWAITING_GATES] = "AwaitingGates",
};

/* The order of a clone. The weights are shares of progress: restoring is what takes long. When all
   are done the clone has succeeded; what it owes then, its temporaries above all, is no step: no
   deadline and no failure of it may take back machines that are there (debts.h). */
const struct clone_step clone_steps[] = {
    {"Policy", COND_POLICY_ALLOWED, observe_policy, apply_policy, 1},
    {"Source", COND_SOURCE_READY, observe_source, apply_source, 4},
    {"Gates", COND_AWAITING_GATES, observe_gates, apply_gates, 1},
    {"Preflight", COND_SOURCE_READY, observe_preflight, apply_preflight, 4},
    {"Share", COND_SNAPSHOT_TAKEN, observe_share, apply_share, 1},
    {"Freeze", COND_SNAPSHOT_TAKEN, observe_freeze, apply_freeze, 5},
    {"Cut", COND_SNAPSHOT_TAKEN, observe_cut, apply_cut, 10},
    {"Thaw", COND_SNAPSHOT_TAKEN, observe_thaw, NULL, 5},
    {"Snapshots", COND_SNAPSHOT_READY, observe_snapshots, NULL, 20},
    {"Copies", COND_SNAPSHOT_READY, observe_copies, apply_copies, 5},
    {"Disks", COND_DISKS_READY, observe_disks, apply_disks, 10},
    {"VirtualMachine", COND_VM_READY, observe_vm, apply_vm, 5},
    {"Ready", COND_VM_READY, observe_ready, apply_ready, 30},
    {"Verify", COND_VM_READY, observe_stayed_stopped, apply_stayed_stopped, 1},
};
const size_t clone_step_count = ARRAY_LEN(clone_steps);

/* Where in the table they stand. */
#define GATES_STEP 2
#define PREFLIGHT_STEP 3
#define SHARE_STEP 4
#define SNAPSHOTS_STEP 8

/* Attempts follow one another after 5 s, doubling, at most 2 min, and up to half of that longer. */
#define ATTEMPT_BACKOFF_MS 5000
#define ATTEMPT_BACKOFF_MAX_MS 120000
#define ATTEMPT_JITTER_PERCENT 50
/* What is there of a batch at its deadline is looked at for no longer. */
#define STOCK_LIMIT_MS 60000
/* And what the snapshots hold is read so often. */
#define READS_TRIED 5
/* Cleanup that cannot be done in this time is given up (product: an Event names the leftovers). */
#define CLEANUP_LIMIT_MS 600000

void why_set(struct why *why, enum reason reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    why->reason = reason;
    (void)vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
}

void decision_again(struct decision *d, int64_t at_ms)
{
    if (at_ms && (!d->again_ms || at_ms < d->again_ms))
        d->again_ms = at_ms;
}

void decision_condition(struct decision *d, enum condition_type type, enum condition_status status,
                        enum reason reason, const char *message)
{
    d->conditions[type] = (struct condition){status, reason, message};
}

/* The jitter is the source's: clones of different sources that failed together come back apart,
   those of one source come back together, so that they may share a snapshot again. */
static int64_t attempt_backoff(const struct clone_view *v)
{
    struct rng rng;
    int64_t attempts = v->record.attempts, wait = ATTEMPT_BACKOFF_MS;
    for (int64_t i = 1; i < attempts && wait < ATTEMPT_BACKOFF_MAX_MS; i++)
        wait *= 2;
    if (wait > ATTEMPT_BACKOFF_MAX_MS)
        wait = ATTEMPT_BACKOFF_MAX_MS;
    CLEANUP_FREE char *whose = xasprintf("%s/%s/%lld", str_or(v->effective.source_ns, ""),
                                         str_or(v->effective.source_name, ""), (long long)attempts);
    rng_seed(&rng, str_hash64(whose, strlen(whose)));
    return rng_jitter(&rng, wait, ATTEMPT_JITTER_PERCENT);
}

static int64_t deadline_of(const struct clone_view *v)
{
    return v->record.start_ms ? v->record.start_ms + v->effective.deadline_s * 1000 : 0;
}

/* --- the steps --- */

struct walk {
    size_t current; /* index of the first step not done; clone_step_count: all done */
    enum observed observed;
    struct why why;
};

/* Of an object that cannot be read nothing is concluded: no guest goes unfrozen because its agent
   is not seen, and no attempt ends because a claim seems lost. A guest that is frozen waits for
   nothing. */
static bool unreadable_blocks(const struct clone_view *v, struct walk *w)
{
    bool source = clone_steps[w->current].observe == observe_source && !view_past_cut(v);
    if (!v->unreadable || record_owes_thaw(&v->record) || w->current == 0 ||
        (w->observed == STEP_DONE && !source))
        return false;
    w->why = (struct why){0};
    why_set(&w->why, REASON_OBJECT_UNREADABLE, "%s", v->unreadable);
    w->observed = STEP_WAIT;
    return true;
}

static struct walk walk_steps(const struct clone_view *v)
{
    struct walk w = {.observed = STEP_DONE};
    for (w.current = 0; w.current < clone_step_count; w.current++) {
        w.why = (struct why){0};
        w.observed = clone_steps[w.current].observe(v, &w.why);
        if (unreadable_blocks(v, &w) || w.observed != STEP_DONE)
            break;
    }
    return w;
}

/* By size: of two disks the large one is most of the wait. A size that is not known is a small one.
 */
static int64_t data_percent(const struct clone_view *v)
{
    int64_t done = 0, all = 0;
    for (size_t t = 0; t < v->target_count; t++)
        for (size_t i = 0; i < v->disk_count; i++) {
            int64_t mib = v->disks[i].plan->bytes / MIB + 1;
            all += 100 * mib;
            done += (int64_t)v->targets[t].claims[i].done_percent * mib;
        }
    return all ? done * 100 / all : 0;
}

static int64_t progress_of(const struct clone_view *v, size_t current)
{
    int64_t done = 0, all = 0;
    for (size_t i = 0; i < clone_step_count; i++) {
        all += 100 * clone_steps[i].weight;
        if (i < current)
            done += 100 * clone_steps[i].weight;
    }
    if (current < clone_step_count && clone_steps[current].observe == observe_ready)
        done += data_percent(v) * clone_steps[current].weight;
    int64_t percent = done * 100 / all;
    return percent > v->record.progress ? percent : v->record.progress;
}

/* The conditions of the steps: True for what is done, the current one tells why it is not. */
static void step_conditions(const struct clone_view *v, const struct walk *w, struct decision *d)
{
    static const struct {
        enum condition_type type;
        enum reason reason;
        const char *message;
    } done[] = {
        {COND_POLICY_ALLOWED, REASON_READY, "permitted"},
        {COND_SOURCE_READY, REASON_READY, "the source can be cloned"},
        {COND_SNAPSHOT_TAKEN, REASON_TAKEN, "the point in time is fixed"},
        {COND_SNAPSHOT_READY, REASON_READY, "all snapshots are ready"},
        {COND_DISKS_READY, REASON_READY, "all claims are there"},
        {COND_VM_READY, REASON_READY, STEP_VM_THERE},
    };
    for (size_t k = 0; k < ARRAY_LEN(done); k++) {
        size_t last = 0;
        for (size_t i = 0; i < clone_step_count; i++)
            if (clone_steps[i].condition == done[k].type)
                last = i;
        if (last < w->current)
            decision_condition(d, done[k].type, CONDITION_TRUE, done[k].reason, done[k].message);
    }
    if (w->current == clone_step_count)
        return;
    enum condition_type type = clone_steps[w->current].condition;
    const char *message = arena_strdup(v->arena, w->why.message);
    enum condition_status status = CONDITION_FALSE;
    if (type == COND_AWAITING_GATES)
        status = CONDITION_TRUE;
    /* SnapshotTaken, True or False, releases an application that keeps still behind a gate: False
       is said only when no snapshot comes of this attempt. */
    else if (type == COND_SNAPSHOT_TAKEN && v->wukong->spec.source.gate_count &&
             w->observed != STEP_FAILED)
        status = CONDITION_UNKNOWN;
    decision_condition(d, type, status, w->why.reason, message);
}

static void begin_abort(const struct clone_view *v, struct decision *d, const struct why *why,
                        bool terminal)
{
    d->record.error.reason = reason_table[why->reason].name;
    d->record.error.message = arena_printf(v->arena, "%s%s", why->message, batch_survivors(v, d));
    d->record.error.disk = why->disk;
    d->record.error.at_ms = v->now.wall_ms;
    d->record.owned |= !v->record.attempts;
    d->record.attempts = view_attempt(v);
    d->record.repair.target = 0;
    d->record.error.attempt = d->record.attempts;
    /* Another attempt would be of another point in time than those that stay. */
    d->record.error.terminal = terminal || d->record.ready_count;
    d->record.error.froze = d->record.froze;
    d->record.error.freeze_ms = d->record.freeze_ms;
    if (!d->record.attempt_ms)
        d->record.attempt_ms = v->now.wall_ms;
    body_event(v, d, true, "AttemptFailed", "attempt %lld: %s: %s", (long long)d->record.attempts,
               d->record.error.reason, why->message);
    decision_again(d, v->now.wall_ms);
}

static void succeed(const struct clone_view *v, struct decision *d)
{
    d->record.phase = PHASE_SUCCEEDED;
    debts_tell(v, d);
    debts_tell_readiness(v, d);
    d->record.completion_ms = v->now.wall_ms;
    d->record.progress = 100;
    body_event(v, d, false, "Succeeded", "VirtualMachine %s is cloned from %s/%s (%s)",
               v->targets[0].vm.name, v->effective.source_ns, v->effective.source_name,
               str_or(consistency_names[d->record.consistency], "consistency unknown"));
}

/* All machines are there and ready: no clock runs against them any more. */
static bool machines_ready(const struct clone_view *v, const struct walk *w)
{
    if (w->current == clone_step_count || clone_steps[w->current].observe == observe_stayed_stopped)
        return true;
    /* That they are to own their claims is nothing to take them back for. */
    for (size_t t = 0; t < v->target_count; t++)
        if (!view_target_there(v, &v->targets[t]))
            return false;
    return v->target_count > 0;
}

/* A worker that has just begun, an hour late perhaps, does not know yet what is there. */
static bool is_still_reading(const struct clone_view *v)
{
    size_t n = 0;
    if (!view_past_cut(v) || v->capture.present || v->capture.refusal)
        return false;
    const struct body_read *reads = body_reads(v, &n);
    for (size_t i = 0; i < n; i++) {
        const struct call *c = memo_find(v->memo, reads[i].key);
        bool hopeless = call_failed(c) && (c->code == 404 || c->failures > READS_TRIED);
        if (!call_ok(c) && !hopeless)
            return true;
    }
    return false;
}

/* Deadline, from the first moment at which policy and window permit. */
static bool past_deadline(const struct clone_view *v, const struct walk *w, struct decision *d)
{
    int64_t deadline = deadline_of(v);
    bool held = w->current == 0 && !record_begun(&v->record);
    if (!deadline || machines_ready(v, w) || held)
        return false;
    if (v->now.wall_ms < deadline) {
        decision_again(d, deadline);
        return false;
    }
    if (is_still_reading(v))
        return false;
    if (!batch_take_stock(v, d) && v->now.wall_ms < deadline + STOCK_LIMIT_MS)
        return false;
    struct why why = {.disk = w->why.disk};
    why_set(&why, REASON_DEADLINE_EXCEEDED, "not done within %lld s; last: %s: %s",
            (long long)v->effective.deadline_s, clone_steps[w->current].name, w->why.message);
    begin_abort(v, d, &why, true);
    return true;
}

static void start_clock(const struct clone_view *v, const struct walk *w, struct decision *d)
{
    /* What is held back before it has begun has its whole time once it is permitted again. */
    if (w->current == 0 && !record_begun(&v->record))
        d->record.start_ms = 0;
    if (v->record.start_ms || w->current == 0)
        return;
    d->record.start_ms = v->now.wall_ms;
    decision_again(d, v->now.wall_ms + v->effective.deadline_s * 1000);
}

/* Which instance our start made: only that one is ever stopped by us. A start that was refused with
   a conflict at once was somebody else's. */
static void note_started(const struct clone_view *v, struct decision *d)
{
    const struct clone_record *r = &v->record;
    const struct call *start = memo_find(v->memo, "start");
    if (!r->started.at_ms || r->started.vmi_uid)
        return;
    if (call_failed(start) && start->code == 409 && start->failures <= 1)
        d->record.started.vmi_uid = STARTED_BY_OTHERS;
    else if (v->source.vmi_exists)
        d->record.started.vmi_uid = v->source.vmi_uid;
}

/* The application that opened its gates is held until SnapshotTaken tells it otherwise. An attempt
   that has begun may be cutting disks, whatever step it waits at: an application that is let go
   there, and asked anew later, has written between two cuts. */
static void hold_gates(const struct clone_view *v, const struct walk *w, struct decision *d)
{
    bool opened = w->current > GATES_STEP || share_begun(&v->record);
    if (opened && v->wukong->spec.source.gate_count && !view_past_cut(v) &&
        w->observed != STEP_FAILED)
        decision_condition(d, COND_AWAITING_GATES, CONDITION_TRUE, REASON_READY,
                           "the gates are open, the snapshot is about to be taken");
}

/* No freeze of this guest holds back what another machine writes to them. */
static void tell_shared(const struct clone_view *v, struct decision *d)
{
    CLEANUP_BUF struct buf names = BUF_INIT(16384);
    for (size_t i = 0; i < v->disk_count; i++)
        if (v->disks[i].plan->shared)
            buf_addf(&names, "%s%s", names.len ? ", " : "", v->disks[i].plan->name);
    const struct pod_user user = pods_sharing(v);
    if (names.len)
        body_event(v, d, true, "SharedDisk",
                   "shareable or lun: %s; what other machines wrote to it meanwhile is part of the "
                   "clone, whole or not%s%s%s%s",
                   names.data, user.pod ? "; not called FilesystemConsistent, for the Pod " : "",
                   str_or(user.pod, ""), user.pod ? " uses disk " : "", str_or(user.disk, ""));
}

static void tell_cut(const struct clone_view *v, struct decision *d)
{
    const char *what = str_or(consistency_names[d->record.consistency], "taken");
    if (record_owes_thaw(&d->record))
        body_event(v, d, false, "SnapshotTaken", "%s, the guest is not thawed yet", what);
    else if (d->record.froze)
        body_event(v, d, false, "SnapshotTaken", "%s, the guest was frozen for %lld ms", what,
                   (long long)d->record.freeze_ms);
    else
        body_event(v, d, false, "SnapshotTaken", "%s, the guest was not frozen", what);
    tell_shared(v, d);
}

/* CDI falls back from a snapshot or a clone of the driver's to a copy of every byte, silently. */
static void tell_host_copies(const struct clone_view *v, struct decision *d)
{
    for (size_t t = 0; t < v->target_count; t++)
        for (size_t i = 0; i < v->disk_count; i++) {
            const struct seen_claim *c = &v->targets[t].claims[i];
            if (c->host_copied && !c->bound)
                body_event_about(v, d, true, "HostAssistedCopy", v->disks[i].plan->name,
                                 "disk %s: CDI copies it byte by byte, which takes long: %s",
                                 v->disks[i].plan->name,
                                 str_or(c->fallback, "the storage class asks for it"));
        }
}

static enum share_state share_state(const struct clone_view *v, const struct walk *w)
{
    if (w->current >= SHARE_STEP)
        return v->wukong->has_finalizer ? SHARE_READY : SHARE_COMING;
    if (w->why.reason == REASON_QUEUED)
        return SHARE_COMING;
    return w->current == PREFLIGHT_STEP && w->why.reason == REASON_WAITING ? SHARE_REREADING
                                                                           : SHARE_BLOCKED;
}

static void go_on(const struct clone_view *v, struct decision *d)
{
    struct walk w = walk_steps(v);
    d->share = share_state(v, &w);
    d->record.phase = v->record.attempts || w.current > 1 ? PHASE_CLONING : PHASE_PENDING;
    start_clock(v, &w, d);
    batch_note_ready(v, d);
    bool late = past_deadline(v, &w, d);
    oblige_thaw(v, d, late || w.observed == STEP_FAILED);
    if (late)
        return;
    note_started(v, d);
    /* After the cut the source is not needed any more. */
    if (view_past_cut(v) && !record_owes_thaw(&v->record))
        (void)oblige_stop_source(v, d);
    d->step = w.current < clone_step_count ? clone_steps[w.current].name : NULL;
    d->record.progress = progress_of(v, w.current);
    step_conditions(v, &w, d);
    hold_gates(v, &w, d);
    if (!batch_repaired(v, d))
        return;
    if (w.observed == STEP_FAILED) {
        if (batch_repair(v, d, &w.why) || !batch_take_stock(v, d))
            return;
        begin_abort(v, d, &w.why, reason_table[w.why.reason].kind == REASON_TERMINAL);
        return;
    }
    /* From here on claims are made of them. */
    if (v->effective.clone_type == CLONE_LINKED && v->wukong->has_finalizer &&
        w.current > SNAPSHOTS_STEP)
        (void)oblige_hold_parents(v, d);
    /* Nothing that must be undone is begun before the finalizer is there. */
    const struct clone_step *step = w.current < clone_step_count ? &clone_steps[w.current] : NULL;
    bool guarded =
        v->wukong->has_finalizer ||
        (step && (step->observe == observe_preflight || step->observe == observe_policy));
    if (step && w.observed == STEP_TODO && step->apply && guarded)
        step->apply(v, d);
    if (w.current < clone_step_count) {
        decision_again(d, w.why.again_ms);
        d->waiting_until_ms = w.why.until_ms;
    }
    if (w.current == clone_step_count)
        succeed(v, d);
    if (d->record.cut_ms && !v->record.cut_ms)
        tell_cut(v, d);
    tell_host_copies(v, d);
}

/* --- after a failure, a deletion, the end --- */

static void next_attempt(const struct clone_view *v, struct decision *d)
{
    int64_t at = v->record.error.at_ms + attempt_backoff(v);
    if (v->now.wall_ms < at) {
        decision_again(d, at);
        return;
    }
    d->record.attempts = v->record.attempts + 1;
    d->record.owned = true;
    d->record.attempt_ms = v->now.wall_ms;
    d->record.progress = 0;
    d->record.cut_ms = d->record.snapshot_ms = 0;
    d->record.freeze_ms = 0;
    d->record.froze = false;
    d->record.consistency = CONSISTENCY_UNKNOWN;
    d->record.snapshot_bytes = 0;
    d->record.source_uid = NULL;
    d->record.shared.uid = d->record.shared.name = NULL;
    d->record.shared.attempt = 0;
    d->record.members = NULL;
    d->record.member_count = 0;
    d->record.shared_until_ms = 0;
    d->record.freeze.requested_ms = 0;
    d->record.freeze.thawed_ms = 0;
    d->record.freeze.deadline_ms = 0;
    d->record.freeze.acknowledged_ms = 0;
    d->record.freeze.vmi_uid = NULL;
    d->persist_first = true;
}

static void fail_finally(const struct clone_view *v, struct decision *d)
{
    d->record.phase = PHASE_FAILED;
    d->record.completion_ms = v->now.wall_ms;
    body_event(v, d, true, "Failed", "%s: %s", v->record.error.reason,
               str_or(v->record.error.message, ""));
}

/* Everything that a failed or cancelled attempt owes; true when nothing is owed any more. last: no
   other attempt follows, so that the source is not needed running any more. */
static bool settle(const struct clone_view *v, struct decision *d, bool last)
{
    oblige_thaw(v, d, true);
    note_started(v, d);
    bool thawed = !record_owes_thaw(&v->record);
    bool landed = oblige_await_creates(v, d);
    bool removed = oblige_remove_all(v, d);
    /* A guest that is stopped while its file systems are frozen cannot shut down. */
    bool stopped = !last || (thawed && oblige_stop_source(v, d));
    return thawed && landed && removed && stopped;
}

static void after_failure(const struct clone_view *v, struct decision *d)
{
    const struct clone_record *r = &v->record;
    int64_t deadline = deadline_of(v);
    bool late = v->now.wall_ms > r->error.at_ms + CLEANUP_LIMIT_MS;
    /* That a driver does not clone volumes is found out at the cost of one attempt. */
    bool free_one = str_eq(r->error.reason, reason_table[REASON_CLONING_REFUSED].name);
    bool over = r->error.terminal || r->attempts > v->effective.retry_limit + free_one ||
                (deadline && v->now.wall_ms >= deadline);
    d->record.phase = PHASE_CLONING;
    d->step = "CleaningUp";
    d->keep_conditions = true;
    d->share = over ? SHARE_BLOCKED : SHARE_COMING;
    if (!r->cut_ms)
        decision_condition(d, COND_SNAPSHOT_TAKEN, CONDITION_FALSE, REASON_RETRYING,
                           r->error.message);
    decision_condition(d, COND_TEMPORARIES_CLEANED, CONDITION_FALSE, REASON_CLEANING_UP,
                       "removing what the failed attempt left");
    if (settle(v, d, over)) {
        decision_condition(d, COND_TEMPORARIES_CLEANED, CONDITION_TRUE, REASON_CLEANED,
                           "nothing temporary is left");
    } else if (!late) {
        decision_again(d, r->error.at_ms + CLEANUP_LIMIT_MS + 1);
        return;
    } else if (v->ours_count) {
        body_event(v, d, true, "Leftovers", "%s %s/%s could not be removed within 10 minutes",
                   worker_kinds[v->ours[0].kind].kind, str_or(v->ours[0].ns, ""), v->ours[0].name);
    }
    if (over)
        fail_finally(v, d);
    else
        next_attempt(v, d);
}

static void write_finalizer(const struct clone_view *v, struct decision *d, bool wanted)
{
    if (v->wukong->has_finalizer == wanted || (wanted && v->wukong->deleted_ms))
        return;
    /* It was written this way a moment ago, and the other way since: that is no event to wait for.
     */
    const struct call *last = memo_findf(v->memo, "finalizer/%s", wanted ? "add" : "remove");
    if (call_ok(last))
        decision_again(d, last->done_ms + CALL_SETTLE_MS);
    struct intent *i =
        intents_add(&d->intents, INTENT_FINALIZER, &worker_kinds[KIND_WUKONG], v->wukong->ns,
                    v->wukong->name, "finalizer/%s", wanted ? "add" : "remove");
    i->uid = v->wukong->uid;
    i->body = wanted ? WUKONG_FINALIZER : "";
}

/* reclaimPolicy is mutable: the owner that the garbage collector follows says the same. */
static bool follow_reclaim_policy(const struct clone_view *v, struct decision *d)
{
    bool followed = true;
    bool wanted = v->effective.reclaim == RECLAIM_DELETE;
    for (size_t t = 0; t < v->target_count; t++) {
        const struct seen_vm *vm = &v->targets[t].vm;
        if (!vm->exists || !vm->ours || vm->deleting || vm->owned == wanted || vm->owned_by_other)
            continue;
        body_own_vm(v, d, &v->targets[t], wanted);
        followed = false;
    }
    return followed;
}

static void tell_leftovers(const struct clone_view *v, struct decision *d)
{
    body_event(v, d, true, "Leftovers", "%s %s/%s could not be removed and is left behind",
               v->ours_count ? worker_kinds[v->ours[0].kind].kind : "the guest's freeze",
               v->ours_count ? str_or(v->ours[0].ns, "") : v->effective.source_ns,
               v->ours_count ? v->ours[0].name : v->effective.source_name);
}

/* A finished clone is never run again. What may still be owed: temporaries, snapshots that wait for
   a consumer, a linked clone's parents, the source's stop. */
static void after_end(const struct clone_view *v, struct decision *d)
{
    d->keep_conditions = true;
    bool owes = !debts_pay(v, d);
    bool failed = v->record.phase == PHASE_FAILED;
    /* Machines that are to stay must be out of the garbage collector's reach before the Wukong
       goes. */
    bool retains = v->effective.reclaim == RECLAIM_RETAIN && !v->own_ns_terminating;
    if ((!failed || v->record.ready_count) && (!v->wukong->deleted_ms || retains)) {
        bool followed = follow_reclaim_policy(v, d);
        owes |= retains && !followed && v->wukong->has_finalizer;
    }
    if (!v->wukong->deleted_ms && !failed)
        debts_tell_readiness(v, d);
    bool lasting = v->effective.clone_type == CLONE_LINKED || view_claims_pending(v);
    bool leaves = !lasting || (failed && !view_has_children(v));
    if (!owes && v->wukong->has_finalizer && leaves)
        owes = !oblige_nothing_left(v, d, failed && !v->record.ready_count);
    bool late = v->wukong->deleted_ms && v->wukong->deleted_ms + CLEANUP_LIMIT_MS < v->now.wall_ms;
    if (owes && late)
        tell_leftovers(v, d);
    if (owes && v->wukong->deleted_ms && !late)
        decision_again(d, v->wukong->deleted_ms + CLEANUP_LIMIT_MS + 1);
    write_finalizer(v, d, owes && !late);
}

static void cancelled(const struct clone_view *v, struct decision *d)
{
    int64_t since = v->wukong->deleted_ms ? v->wukong->deleted_ms : v->now.wall_ms;
    int64_t limit = since + CLEANUP_LIMIT_MS;
    bool settled = settle(v, d, true) && oblige_nothing_left(v, d, true);
    d->record.phase = v->record.phase == PHASE_NONE ? PHASE_PENDING : v->record.phase;
    d->step = "Cancelling";
    d->keep_conditions = true;
    if (!settled && v->now.wall_ms < limit) {
        decision_again(d, limit);
        return;
    }
    if (v->source_ns_terminating)
        body_event(v, d, true, "ParentLost",
                   "namespace %s of the source is being deleted: what is left there goes with it",
                   v->effective.source_ns);
    if (!settled)
        tell_leftovers(v, d);
    write_finalizer(v, d, false);
}

/* --- the summary --- */

static void summary(const struct clone_view *v, struct decision *d)
{
    const struct clone_record *r = &d->record;
    bool started = v->effective.auto_start;
    d->phase = "Pending";
    if (r->phase == PHASE_CLONING)
        d->phase = "Creating";
    if (r->phase == PHASE_FAILED)
        d->phase = "Error";
    if (r->phase == PHASE_SUCCEEDED) {
        bool up = v->target_count && v->targets[0].vm.exists && v->targets[0].vm.up;
        d->phase = up || (started && !record_final(&v->record)) ? "Running" : "Stopped";
        decision_condition(d, COND_READY, CONDITION_TRUE, REASON_SUCCEEDED,
                           started ? "the clone is done"
                                   : "the clone is done, its VM is not started");
        return;
    }
    if (r->phase == PHASE_FAILED) {
        enum reason last = reason_find(r->error.reason);
        decision_condition(d, COND_READY, CONDITION_FALSE, last, r->error.message);
        decision_condition(d, COND_STALLED, CONDITION_TRUE, last, r->error.message);
        return;
    }
    const char *message = "the clone is under way";
    enum reason reason = REASON_CLONING;
    for (enum condition_type t = COND_SOURCE_READY; t < CONDITION_TYPES; t++) {
        bool blocks = t == COND_AWAITING_GATES ? d->conditions[t].status == CONDITION_TRUE &&
                                                     d->conditions[t].reason != REASON_READY
                                               : d->conditions[t].status == CONDITION_FALSE ||
                                                     d->conditions[t].status == CONDITION_UNKNOWN;
        if (blocks) {
            message = d->conditions[t].message;
            reason = d->conditions[t].reason;
        }
    }
    if (record_aborted(r)) {
        reason = REASON_RETRYING;
        message = r->error.message;
    }
    decision_condition(d, COND_READY, CONDITION_FALSE, reason, message);
    decision_condition(d, COND_RECONCILING, CONDITION_TRUE, reason, message);
}

/* Until its own claims are bound, or are gone with the attempt. */
static bool holds_snapshots(const struct clone_view *v)
{
    struct decision scratch = {0};
    if (v->share.taking_over)
        return true;
    if (v->record.phase == PHASE_SUCCEEDED)
        return view_claims_pending(v);
    if (record_final(&v->record) || v->wukong->deleted_ms || record_aborted(&v->record))
        return view_has_children_to_go(v) || view_claims_pending(v) ||
               !oblige_await_creates(v, &scratch);
    return !view_targets_complete(v);
}

static bool nothing_to_go(const struct clone_view *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if (!v->ours[i].stays)
            return false;
    return !v->held_count;
}

static bool retry_asked(const struct clone_view *v)
{
    return v->record.phase == PHASE_FAILED && !str_empty(v->retry) &&
           !str_eq(v->retry, v->record.retry_token);
}

#define TOO_LARGE_POLL_MS 60000

void clone_too_large(const struct clone_view *v, struct decision *d)
{
    d->record = v->record;
    d->keep_conditions = true;
    d->write_status = !record_final(&v->record);
    decision_condition(
        d, COND_SOURCE_READY, CONDITION_FALSE, REASON_TOO_LARGE,
        "the source, the clones' objects and what the spec asks for are together larger "
        "than the worker takes at once");
    decision_again(d, v->now.wall_ms + TOO_LARGE_POLL_MS);
    summary(v, d);
}

/* What KubeVirt made for it is told by that UID alone, once it is gone itself. */
static void note_vm_snapshot(const struct clone_view *v, struct decision *d)
{
    const char *first = NULL;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct view_leftover *o = &v->ours[i];
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
static void tell_strangers(const struct clone_view *v, struct decision *d)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    size_t shown = v->stranger_count < VIEW_STRANGERS_MAX ? v->stranger_count : VIEW_STRANGERS_MAX;
    uint64_t set = 0; /* in whatever order they come */
    for (size_t i = 0; i < shown; i++) {
        const struct view_stranger *s = &v->strangers[i];
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
        body_event_about(v, d, true, "NotOurs", who,
                         "left alone, for this clone did not make it, though it bears its "
                         "label " WUKONG_UID_LABEL ": %s; take the label off what was copied",
                         text.data);
}

void clone_decide(const struct clone_view *v, struct decision *d)
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
        } else if (retry_asked(v) && !v->wukong->deleted_ms && v->record.ready_count) {
            body_event(
                v, d, true, "RetryWaits",
                "a retry was asked for; it begins when the snapshots that the ready machines' "
                "claims wait for are gone: start these machines once");
        }
        if (v->wukong->deleted_ms)
            d->write_status = v->wukong->has_finalizer;
    } else if (v->wukong->deleted_ms || v->own_ns_terminating) {
        /* In a namespace that goes nothing can be made any more, and the namespace controller may
           come to the Wukong late: the guest does not stay frozen for that. */
        cancelled(v, d);
        d->write_status = v->wukong->has_finalizer;
    } else if (restored_again(v)) {
        restored_end(v, d);
    } else {
        if (!str_empty(v->retry) && !v->record.retry_token)
            d->record.retry_token = v->retry;
        /* The finalizer comes before anything that must be undone. */
        write_finalizer(v, d, true);
        if (record_aborted(&v->record))
            after_failure(v, d);
        else
            go_on(v, d);
    }
    summary(v, d);
}

void clone_decide_leaving(const struct clone_view *v, struct decision *d)
{
    if (view_past_cut(v) || view_all_cut(v) || record_final(&v->record)) {
        clone_decide(v, d);
        return;
    }
    d->record = v->record;
    d->holds = holds_snapshots(v);
    d->write_status = true;
    d->keep_conditions = true;
    d->step = "Thaw";
    oblige_thaw(v, d, true);
    summary(v, d);
}
