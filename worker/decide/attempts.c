/* An attempt: its clock, its failure, what must be settled before the next. */
#include "decide/decide_internal.h"

#include "actions/create.h"
#include "actions/event.h"
#include "base/rng.h"
#include "base/str.h"
#include "decide/batch.h"
#include "decide/last_look.h"
#include "observe/capture.h"
#include "observe/driver_answer.h"
#include "steps/steps.h"
#include "teardown/teardown.h"

/* Attempts follow one another after 5 s, doubling, at most 2 min, and up to half of that longer. */
#define ATTEMPT_BACKOFF_MS 5000
#define ATTEMPT_BACKOFF_MAX_MS 120000
#define ATTEMPT_JITTER_PERCENT 50
/* What is there of a batch at its deadline is looked at for no longer. */
#define STOCK_LIMIT_MS 60000
/* And what the snapshots hold is read so often. */
#define READS_TRIED 5

/* The jitter is the source's: clones of different sources that failed together come back apart,
   those of one source come back together, so that they may share a snapshot again. */
static int64_t attempt_backoff(const struct clone_state *v)
{
    struct rng rng;
    int64_t attempts = record_counted_attempts(&v->record), wait = ATTEMPT_BACKOFF_MS;
    for (int64_t i = 1; i < attempts && wait < ATTEMPT_BACKOFF_MAX_MS; i++)
        wait *= 2;
    if (wait > ATTEMPT_BACKOFF_MAX_MS)
        wait = ATTEMPT_BACKOFF_MAX_MS;
    CLEANUP_FREE char *whose =
        xasprintf("%s/%s/%lld", str_or(v->effective.source_ns, ""),
                  str_or(v->effective.source_name, ""), (long long)v->record.attempts);
    rng_seed(&rng, str_hash64(whose, strlen(whose)));
    return rng_jitter(&rng, wait, ATTEMPT_JITTER_PERCENT);
}

static int64_t deadline_of(const struct clone_state *v)
{
    /* The clock stands while others' guests are frozen (begin_attempt moves it on). */
    int64_t start = v->record.start_ms + v->others.freeze_queued_ms;
    return v->record.start_ms ? start + v->effective.deadline_s * 1000 : 0;
}

/* How many attempts in a row have ended so, with the one that ends now. */
static int64_t failures_in_a_row(const struct clone_state *v, const struct why *why)
{
    const struct clone_record *r = &v->record;
    bool of_group = r->error.attempt == r->groups_refused.attempt;
    bool again = r->error.attempt && r->error.attempt + 1 == clone_attempt(v) && !of_group &&
                 str_eq(r->error.reason, reason_table[why->reason].name) &&
                 str_eq(str_or(r->error.disk, ""), str_or(why->disk, ""));
    if (!again)
        return 1;
    return r->error.in_a_row > 1 ? r->error.in_a_row + 1 : 2;
}

/* A guest that must be frozen is not frozen a third time for a cut that its driver has refused
   twice for good. */
static bool freezes_for_nothing(const struct clone_state *v, const struct why *why,
                                int64_t in_a_row)
{
    return in_a_row >= 2 && clone_must_be_frozen(v) && why->reason == REASON_SNAPSHOT_FAILED &&
           driver_answer(why->message) == DRIVER_SETTLED;
}

void begin_abort(const struct clone_state *v, struct decision *d, const struct why *why,
                 bool terminal)
{
    int64_t in_a_row = failures_in_a_row(v, why);
    bool leaves = !terminal && !d->record.ready_count && group_fails_alone(v, why);
    terminal |= !leaves && freezes_for_nothing(v, why, in_a_row);
    d->record.error.in_a_row = in_a_row;
    d->record.error.reason = reason_table[why->reason].name;
    d->record.error.message = arena_printf(v->arena, "%s%s", why->message, batch_survivors(v, d));
    d->record.error.disk = why->disk;
    d->record.error.at_ms = v->now.wall_ms;
    d->record.attempt.owned |= !v->record.attempts;
    d->record.attempts = clone_attempt(v);
    d->record.repair.target = 0;
    d->record.error.attempt = d->record.attempts;
    /* Another attempt would be of another point in time than those that stay. */
    d->record.error.terminal = terminal || d->record.ready_count;
    d->record.error.froze = d->record.attempt.froze;
    d->record.error.freeze_ms = d->record.attempt.freeze_ms;
    if (!d->record.attempt.begun_ms)
        d->record.attempt.begun_ms = v->now.wall_ms;
    if (leaves)
        group_leave(v, d, why->message, d->record.attempts);
    create_event(v, d, true, "AttemptFailed", "attempt %lld: %s: %s", (long long)d->record.attempts,
                 d->record.error.reason, why->message);
    decision_again(d, v->now.wall_ms);
}

/* All machines are there and ready: no clock runs against them any more. */
static bool machines_ready(const struct clone_state *v, const struct walk *w)
{
    if (w->current == CLONE_STEPS || w->current == CLONE_STEP_VERIFY)
        return true;
    /* That they are to own their claims is nothing to take them back for. */
    for (size_t t = 0; t < v->target_count; t++)
        if (!clone_target_there(v, &v->targets[t]))
            return false;
    return v->target_count > 0;
}

/* A worker that has just begun, an hour late perhaps, does not know yet what is there. */
static bool is_still_reading(const struct clone_state *v)
{
    size_t n = 0;
    if (!clone_past_cut(v) || v->disk_count || v->capture.refusal)
        return false;
    const struct capture_read *reads = capture_reads(v, &n);
    for (size_t i = 0; i < n; i++) {
        const struct call *c = call_log_find(v->call_log, reads[i].key);
        bool hopeless = call_failed(c) && (c->code == 404 || c->failures > READS_TRIED);
        if (!call_ok(c) && !hopeless)
            return true;
    }
    return false;
}

/* Deadline, from the first moment at which policy and window permit. */
bool past_deadline(const struct clone_state *v, const struct walk *w, struct decision *d)
{
    int64_t deadline = deadline_of(v);
    bool held = w->current == 0 && !record_begun(&v->record);
    if (!deadline || machines_ready(v, w) || held)
        return false;
    if (v->now.wall_ms < deadline) {
        decision_again(d, deadline);
        return false;
    }
    if (is_still_reading(v) || !last_look(v, d))
        return false;
    struct why why = {.disk = w->why.disk};
    why_set(&why, REASON_DEADLINE_EXCEEDED, "not done within %lld s; last: %s: %s",
            (long long)v->effective.deadline_s, clone_steps[w->current].name, w->why.message);
    if (!batch_take_stock(v, d, &why) && v->now.wall_ms < deadline + STOCK_LIMIT_MS)
        return false;
    begin_abort(v, d, &why, true);
    return true;
}

void start_clock(const struct clone_state *v, const struct walk *w, struct decision *d)
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
void note_started(const struct clone_state *v, struct decision *d)
{
    const struct clone_record *r = &v->record;
    const struct call *start = call_log_find(v->call_log, call_key(CALL_START_SOURCE));
    if (!r->started.at_ms || r->started.vmi_uid)
        return;
    if (call_failed(start) && start->code == 409 && start->failures <= 1)
        d->record.started.vmi_uid = STARTED_BY_OTHERS;
    else if (v->source.vmi_exists)
        d->record.started.vmi_uid = v->source.vmi_uid;
}

/* late: what is left is not waited for any longer. */
static void next_attempt(const struct clone_state *v, struct decision *d, bool late)
{
    int64_t at = v->record.error.at_ms + attempt_backoff(v);
    if (v->now.wall_ms < at) {
        decision_again(d, at);
        return;
    }
    /* What a cache that lags has not shown would outlive this attempt, and stay for as long as the
       claims of the next one wait for a consumer. */
    if (!late && !v->record.ready_count && !teardown_nothing_left(v, d, false))
        return;
    d->record.attempts = v->record.attempts + 1;
    d->record.attempt = (struct attempt){.begun_ms = v->now.wall_ms, .owned = true};
    d->persist_first = true;
}

static void fail_finally(const struct clone_state *v, struct decision *d)
{
    d->record.phase = PHASE_FAILED;
    d->record.completion_ms = v->now.wall_ms;
    create_event(v, d, true, "Failed", "%s: %s", v->record.error.reason,
                 str_or(v->record.error.message, ""));
}

/* Everything that a failed or cancelled attempt owes; true when nothing is owed any more. last: no
   other attempt follows, so that the source is not needed running any more. */
bool settle_attempt(const struct clone_state *v, struct decision *d, bool last)
{
    teardown_thaw(v, d, true);
    note_started(v, d);
    bool thawed = !record_owes_thaw(&v->record);
    bool landed = teardown_await_creates(v, d);
    bool removed = teardown_remove_all(v, d);
    /* A guest that is stopped while its file systems are frozen cannot shut down. */
    bool stopped = !last || (thawed && teardown_stop_source(v, d));
    bool unlabelled = teardown_unlabel(v, d);
    return thawed && landed && removed && stopped && unlabelled;
}

/* The attempt was given up for what its machines lacked, the worker died before it removed
   anything, and a sidecar's next try has worked: all machines are there. */
static bool came_good(const struct clone_state *v)
{
    static const enum reason lacked[] = {REASON_RESTORE_FAILED, REASON_VM_FAILED,
                                         REASON_DEADLINE_EXCEEDED};
    bool good = false;
    for (size_t i = 0; i < ARRAY_LEN(lacked); i++)
        good |= str_eq(v->record.error.reason, reason_table[lacked[i]].name);
    good &= clone_past_cut(v) && v->target_count > 0;
    for (size_t t = 0; good && t < v->target_count; t++)
        good = clone_target_done(v, &v->targets[t]) && !teardown_asked_target(v, &v->targets[t]);
    return good;
}

/* Of several machines, some may be somebody's by now. */
static void take_abort_back(const struct clone_state *v, struct decision *d)
{
    d->record.error.attempt = 0;
    d->record.error.terminal = false;
    if (d->record.groups_refused.attempt == v->record.attempts) {
        d->record.groups_refused.message = NULL;
        d->record.groups_refused.attempt = 0;
    }
    d->persist_first = true;
    create_event(v, d, false, "AttemptGoesOn",
                 "attempt %lld continues: its machines are there after all (%s)",
                 (long long)v->record.attempts, v->record.error.reason);
}

/* A group that its sidecar or driver is slow to remove, or does not remove at all, holds up no
   single snapshots: it was asked to go, and what is there of it when the clone is done is a debt.
 */
static bool only_its_group_is_left(const struct clone_state *v, const struct decision *d)
{
    const struct clone_record *r = &v->record;
    struct decision scratch = {.intents = {.arena = v->arena}};
    if (r->groups_refused.attempt != r->attempts || record_owes_thaw(r) || d->record.labelled ||
        !teardown_await_creates(v, &scratch))
        return false;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        bool of_group =
            o->member_of || o->kind == KIND_GROUP_CONTENT || (o->kind == KIND_GROUP && o->deleting);
        if (!o->stays && !of_group)
            return false;
    }
    return true;
}

void after_failure(const struct clone_state *v, struct decision *d)
{
    if (came_good(v)) {
        take_abort_back(v, d);
        return;
    }
    const struct clone_record *r = &v->record;
    int64_t deadline = deadline_of(v);
    int64_t left = clone_cleaning_left_ms(v);
    bool late = left <= 0;
    /* That a driver does not clone volumes is found out at the cost of one attempt. */
    bool free_one = str_eq(r->error.reason, reason_table[REASON_CLONING_REFUSED].name);
    bool over = r->error.terminal ||
                record_counted_attempts(r) > v->effective.retry_limit + free_one ||
                (deadline && v->now.wall_ms >= deadline);
    d->record.phase = PHASE_CLONING;
    d->step = "CleaningUp";
    d->keep_conditions = true;
    d->share = over ? SHARE_BLOCKED : SHARE_COMING;
    if (!r->attempt.cut_ms)
        decision_condition(d, COND_SNAPSHOT_TAKEN, CONDITION_FALSE, REASON_RETRYING,
                           r->error.message);
    decision_condition(d, COND_TEMPORARIES_CLEANED, CONDITION_FALSE, REASON_CLEANING_UP,
                       "the worker is removing what the failed attempt left");
    if (settle_attempt(v, d, over)) {
        decision_condition(d, COND_TEMPORARIES_CLEANED, CONDITION_TRUE, REASON_CLEANED,
                           "nothing temporary is left");
    } else if (!late && !over && only_its_group_is_left(v, d)) {
        late = true;
    } else if (!late) {
        decision_again(d, v->now.wall_ms + left);
        return;
    } else if (v->ours_count) {
        create_event(v, d, true, "Leftovers", "%s %s/%s could not be removed within 10 minutes",
                     worker_kinds[v->ours[0].kind].kind, str_or(v->ours[0].ns, ""),
                     v->ours[0].name);
    }
    if (over)
        fail_finally(v, d);
    else
        next_attempt(v, d, late);
}
