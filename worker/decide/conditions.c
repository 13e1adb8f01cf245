/* How far a clone is and what its conditions say; see decide_internal.h. */
#include "decide/decide_internal.h"

#include "base/str.h"
#include "decide/expire.h"
#include "steps/steps.h"

/* By size: of two disks the large one is most of the wait. A size that is not known is a small one.
 */
static int64_t data_percent(const struct clone_state *v)
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

int64_t progress_of(const struct clone_state *v, size_t current)
{
    int64_t done = 0, all = 0;
    for (size_t i = 0; i < CLONE_STEPS; i++) {
        all += 100 * clone_steps[i].weight;
        if (i < current)
            done += 100 * clone_steps[i].weight;
    }
    if (current == CLONE_STEP_READY)
        done += data_percent(v) * clone_steps[current].weight;
    int64_t percent = done * 100 / all;
    return percent > v->record.attempt.progress ? percent : v->record.attempt.progress;
}

/* The conditions of the steps: True for what is done, the current one tells why it is not. */
void step_conditions(const struct clone_state *v, const struct walk *w, struct decision *d)
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
        for (size_t i = 0; i < CLONE_STEPS; i++)
            if (clone_steps[i].condition == done[k].type)
                last = i;
        if (last < w->current)
            decision_condition(d, done[k].type, CONDITION_TRUE, done[k].reason, done[k].message);
    }
    if (w->current == CLONE_STEPS)
        return;
    enum condition_type type = clone_steps[w->current].condition;
    const char *message = arena_strdup(v->arena, w->why.message);
    enum condition_status status = CONDITION_FALSE;
    if (type == COND_AWAITING_GATES)
        status = CONDITION_TRUE;
    /* SnapshotTaken, True or False, releases an application that keeps still behind a gate: False
       is said only when no snapshot comes of this attempt. */
    else if (type == COND_SNAPSHOT_TAKEN && v->wukong->spec.source.gate_count &&
             w->status != STEP_FAILED)
        status = CONDITION_UNKNOWN;
    decision_condition(d, type, status, w->why.reason, message);
}

void summary(const struct clone_state *v, struct decision *d)
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
        expire_tell(v, d);
        return;
    }
    if (r->phase == PHASE_FAILED) {
        enum reason last = reason_find(r->error.reason);
        decision_condition(d, COND_READY, CONDITION_FALSE, last, r->error.message);
        decision_condition(d, COND_STALLED, CONDITION_TRUE, last, r->error.message);
        expire_tell(v, d);
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
