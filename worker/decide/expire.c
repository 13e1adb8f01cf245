#include "decide/expire.h"

#include "actions/create.h"
#include "actions/event.h"
#include "base/str.h"
#include "teardown/teardown.h"

#define WARN_BEFORE_MS 3600000

/* Somebody else owns it by now. */
static bool is_taken(const struct clone_state *v, const char *vm)
{
    for (size_t t = 0; t < v->target_count; t++)
        if (str_eq(v->targets[t].vm.name, vm))
            return v->targets[t].vm.owned_by_other;
    return false;
}

static size_t machines_left(const struct clone_state *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->ours_count; i++)
        n += v->ours[i].kind == KIND_VM && !is_taken(v, v->ours[i].name);
    return n;
}

static void announce_expiry(const struct clone_state *v, struct decision *d, int64_t at_ms)
{
    char when[TIME_TEXT_MAX];
    time_to_str(at_ms, false, when);
    bool goes = v->effective.expiry == EXPIRY_DELETE;
    create_event_about(v, d, true, "ExpiresSoon", when,
                       "at %s its machines are %s; set spec.expires to a later time to keep them",
                       when, goes ? "removed with their disks" : "stopped");
}

static void expire(const struct clone_state *v, struct decision *d)
{
    d->record.expired.at_ms = v->now.wall_ms;
    d->record.expired.action = v->effective.expiry;
    d->persist_first = true;
}

/* Once each: whoever starts one again afterwards wants it to run. */
static bool stop_machines(const struct clone_state *v, struct decision *d)
{
    bool stopped = true;
    for (size_t t = 0; t < v->target_count; t++) {
        const struct vm_state *vm = &v->targets[t].vm;
        if (!vm->exists || !vm->ours || vm->deleting || vm->owned_by_other)
            continue;
        struct call_key key = call_key_named(CALL_STOP_TARGET, vm->uid);
        const struct call *last = call_log_find(v->call_log, key);
        /* A machine that does not run is not stopped (409). */
        if (call_ok(last) || (call_failed(last) && (last->code == 409 || last->code == 404)))
            continue;
        stopped = false;
        struct intent *i = intents_add(&d->intents, INTENT_SUBRESOURCE, &worker_kinds[KIND_SUB_VM],
                                       v->wukong->ns, vm->name, key);
        i->sub = "stop";
        i->body = "{}";
    }
    return stopped;
}

static bool carry_on(const struct clone_state *v, struct decision *d)
{
    const struct clone_record *r = &v->record;
    bool goes = r->expired.action == EXPIRY_DELETE;
    if (goes ? !machines_left(v) : r->expired.done_ms != 0)
        return !goes || teardown_remove_machines(v, d);
    create_event(v, d, false, "Expired", "the clone has expired: its machines are %s",
                 goes ? "removed with their disks" : "stopped");
    if (goes)
        return teardown_remove_machines(v, d);
    if (stop_machines(v, d))
        d->record.expired.done_ms = v->now.wall_ms;
    else
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
    return d->record.expired.done_ms != 0;
}

/* A clock that was set ahead removes nobody's machine: both clocks must have come so far. */
static int64_t surely_now(const struct clone_state *v)
{
    return v->now.wall_ms - (v->clock_ahead_ms > 0 ? v->clock_ahead_ms : 0);
}

bool expire_pay(const struct clone_state *v, struct decision *d)
{
    int64_t at = record_expires(&v->record, &v->effective);
    if (v->wukong->deleted_ms)
        return true;
    if (v->record.expired.at_ms)
        return carry_on(v, d);
    if (!at || (v->record.phase == PHASE_FAILED && !v->record.ready_count))
        return true;
    int64_t now_ms = surely_now(v), ahead_ms = v->now.wall_ms - now_ms;
    if (now_ms >= at) {
        expire(v, d);
        return false;
    }
    bool soon = now_ms >= at - WARN_BEFORE_MS;
    if (soon)
        announce_expiry(v, d, at);
    decision_again(d, (soon ? at : at - WARN_BEFORE_MS) + ahead_ms);
    return true;
}

bool expire_too_late(const struct clone_state *v)
{
    return v->effective.expires_at_ms && v->now.wall_ms >= v->effective.expires_at_ms &&
           !record_begun(&v->record);
}

void expire_end(const struct clone_state *v, struct decision *d)
{
    struct clone_record *r = &d->record;
    r->phase = PHASE_FAILED;
    r->completion_ms = v->now.wall_ms;
    r->retry_token = v->retry;
    r->error.reason = reason_table[REASON_EXPIRED_EARLY].name;
    r->error.message = "spec.expires.at has passed before the clone began: nothing was cloned";
    r->error.at_ms = v->now.wall_ms;
    r->error.terminal = true;
    create_event(v, d, true, "Failed", "%s: %s", r->error.reason, r->error.message);
}

void expire_tell(const struct clone_state *v, struct decision *d)
{
    char when[TIME_TEXT_MAX];
    const struct clone_record *r = &d->record;
    if (!r->expired.at_ms)
        return;
    time_to_str(r->expired.at_ms, false, when);
    bool goes = r->expired.action == EXPIRY_DELETE,
         over = goes ? !machines_left(v) : r->expired.done_ms;
    const char *text = arena_printf(v->arena, "the clone expired at %s, its machines %s%s", when,
                                    over ? "are " : "are being ", goes ? "removed" : "stopped");
    if (r->phase == PHASE_SUCCEEDED)
        decision_condition(d, COND_READY, CONDITION_TRUE, REASON_EXPIRED, text);
    decision_condition(d, COND_VM_READY, CONDITION_FALSE, REASON_EXPIRED, text);
}
