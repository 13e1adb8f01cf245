/* One look at one Wukong: settings, view, decision, and what follows from it. */
#include "controller/controller_internal.h"

#include <assert.h>
#include <stdio.h>

#include "actions/execute.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "clones/clone_table.h"
#include "clones/metrics.h"
#include "clones/share_group.h"
#include "controller/status.h"
#include "controller/trace.h"
#include "json/json.h"
#include "kube/client.h"
#include "kube/lease.h"
#include "kube/metrics.h"
#include "kube/store.h"
#include "kube/watches.h"
#include "kube/workqueue.h"
#include "observe/observe.h"
#include "observe/queries.h"
#include "observe/stamp_check.h"
#include "policy/policy_gate.h"
#include "wukong/policy/policy_metrics.h"
#include "wukong/policy/schedule.h"

const struct policy_cache *worker_policies_now(struct worker *w)
{
    if (!w->policies.filled)
        policy_cache_refill(&w->policies, &w->caches);
    return &w->policies;
}

/* data["stamp.pub"] of the ConfigMap that the webhook publishes (certs/keeper.h); NULL: not there.
 */
static const char *worker_stamp_keys(struct worker *w, struct arena *a)
{
    CLEANUP_JSON cJSON *data = NULL;
    const struct kube_object *o =
        w->stamp_configmap ? store_get(w->watched[KIND_STAMP_KEYS].store, w->ns, w->stamp_configmap)
                           : NULL;
    const char *text = o ? kube_object_field(o, F_STAMP_KEYS) : NULL;
    if (!text || json_read(text, strlen(text), &data, NULL) < 0)
        return NULL;
    return arena_strdup(a, json_str(data, "[stamp.pub]"));
}

static struct stamp_check check_stamp(struct worker *w, struct clone *self,
                                      const struct kube_object *o, const struct clone_state *v)
{
    struct stamp_check p = {.may_start = true};
    if (!v->effective.cross_namespace)
        return p;
    if (!w->config.cross_namespace)
        return (struct stamp_check){.refusal = "this cluster does not allow clones from another "
                                               "namespace (chart value crossNamespace.enabled)"};
    if (!scope_covers(&w->scope, v->effective.source_ns)) {
        CLEANUP_FREE char *why = scope_refusal(&w->scope, v->effective.source_ns);
        return (struct stamp_check){.refusal = arena_strdup(v->arena, why)};
    }
    stamp_check_remembered(&self->permit, v->arena, v->wukong, &v->effective,
                           kube_object_field(o, F_GENERATE_NAME),
                           kube_object_field(o, F_ANNOTATION_STAMP), worker_stamp_keys(w, v->arena),
                           worker_wall(w) - skew_ms(w->config.skew), &p);
    return p;
}

static bool under_way(void *arg, const struct kube_object *o)
{
    bool *any = arg;
    const char *phase = kube_object_field(o, F_PHASE);
    *any |= !str_eq(phase, "Succeeded") && !str_eq(phase, "Failed");
    return !*any;
}

/* Between two attempts nothing freezes the guest any more. */
static bool vm_snapshot_under_way(struct worker *w, const struct clone *e)
{
    bool any = e->vm_snapshot && !e->share.aborted;
    if (e->vm_snapshot && e->share.aborted)
        w->caches.each(w->caches.arg, KIND_VM_SNAPSHOT, e->uid, under_way, &any);
    return any;
}

/* Whether it may freeze its guest now, as far as the others are concerned. */
static void queue_settings(struct worker *w, struct clone *self, struct other_clones *others)
{
    const struct freeze_queue *q = &w->clones.freeze_queue;
    int64_t now = worker_mono(w);
    others->freezes_max = freeze_limit_now(&w->clones.freeze_limit, w->config.max_frozen);
    if (!others->freezes_max)
        return;
    size_t frozen = clone_table_frozen(&w->clones, self, now);
    size_t free = frozen < others->freezes_max ? others->freezes_max - frozen : 0;
    others->freezes_full = freeze_queue_must_wait(q, &self->freeze_waiter, free, now);
    others->freeze_ahead = freeze_queue_ahead(q, &self->freeze_waiter);
    others->freeze_expected_ms =
        freeze_queue_expected_ms(q, others->freeze_ahead, others->freezes_max);
    others->freeze_queued_ms = freeze_queue_waited_ms(&self->freeze_waiter, now);
}

static void settings_of(struct worker *w, struct clone *self, const struct kube_object *o,
                        const struct clone_state *v, struct observe_settings *s)
{
    s->unfreeze_timeout_ms = w->config.unfreeze_timeout_ms;
    s->clock_ahead_ms = skew_ms(w->config.skew);
    struct other_clones *others = &s->others;
    queue_settings(w, self, others);
    others->freeze_elsewhere = left_frozen_holds(w->left_frozen, v->effective.source_ns,
                                                 str_or(v->effective.source_name, "-"));
    others->last_thaw_ms = left_frozen_thawed_ms(w->left_frozen, v->effective.source_ns,
                                                 str_or(v->effective.source_name, "-"));
    s->group_version = watches_version(w->watched[KIND_GROUP].watches);
    for (struct clone *e = clone_table_of_source(&w->clones, v->effective.source_ns,
                                                 str_or(v->effective.source_name, "-"));
         e; e = e->same_source_next) {
        others->freeze_elsewhere |=
            e != self && (e->owes_thaw || (e->announced.what & ANNOUNCED_FREEZE));
        others->vm_snapshot_elsewhere |= e != self && vm_snapshot_under_way(w, e);
        int64_t thawed =
            e->thawed_ms > e->vm_snapshot_end_ms ? e->thawed_ms : e->vm_snapshot_end_ms;
        others->last_thaw_ms = thawed > others->last_thaw_ms ? thawed : others->last_thaw_ms;
    }
    s->permit = check_stamp(w, self, o, v);
    struct schedule_verdict verdict = schedule_judge(&v->wukong->spec.source, worker_wall(w));
    s->permitted_ms = verdict.permitted_ms;
    s->permitted_reason = verdict.reason;
    s->permitted_until_ms = verdict.closes_ms;
    s->permitted_why = arena_strdup(v->arena, verdict.why);
}

/* Once per change, though a status write may be put off and the decision made again. */
static void log_step(struct clone *e, const struct clone_state *v, const struct decision *d)
{
    int64_t mark = d->record.attempts * CLONE_PHASES + (int64_t)d->record.phase;
    if ((d->record.phase != v->record.phase || d->record.attempts != v->record.attempts) &&
        e->logged != mark)
        log_event(LOG_INFO, "clone", LOG_S("wukong", e->key), LOG_S("uid", e->uid),
                  LOG_S("phase", clone_phase_names[d->record.phase]), LOG_S("step", d->step),
                  LOG_I("attempt", d->record.attempts), LOG_S("reason", d->record.error.reason));
    e->logged = mark;
}

static enum freeze_wish wish_of(const struct decision *d)
{
    return d->waits_to_freeze ? FREEZE_QUEUED : d->prepares ? FREEZE_PREPARES : FREEZE_NO_WISH;
}

static void carry_out(struct worker *w, struct clone *e, const struct clone_state *v,
                      struct decision *d)
{
    worker_budget_begin(w, e, d);
    for (size_t k = 0; k < d->intents.count; k++) {
        const struct intent *i = &d->intents.items[k];
        if (indoubt_forbids(&e->announced, i))
            continue;
        if (!d->persist_first || i->verb == INTENT_FINALIZER || i->verb == INTENT_READ ||
            i->verb == INTENT_EVENT)
            execute(&w->executor, i, &e->call_log, e, &e->flights);
    }
    freeze_queue_settle(&w->clones.freeze_queue, &e->freeze_waiter, wish_of(d), v->now.mono_ms);
    if (d->write_status)
        worker_send_status(w, e, v, d);
    worker_budget_end(w, e);
    log_step(e, v, d);
    worker_metrics_step(&e->step, record_final(&d->record) ? NULL : d->step, v->now.mono_ms);
    if (d->again_ms) {
        int64_t delay = d->again_ms - v->now.wall_ms;
        /* Who waits for its turn to ask is woken then, and has nothing else to do. */
        int64_t least = e->budget[LANE_TRIES].waits && delay <= 0 ? WAIT_POLL_MS : 10;
        workqueue_add_at(w->queue, e->key, v->now.mono_ms + (delay > least ? delay : least),
                         v->now.mono_ms);
    }
    workqueue_hurry(w->queue, e->key, e->freezing);
    bool over = record_final(&v->record) && !record_owes_thaw(&v->record);
    if (clone_needs_no_calls(e, over, d->intents.count))
        call_log_release(&e->call_log);
}

/* A failed call is looked at again when its backoff is over; what a dry run was refused for waits
   as long as its step says. */
static void wake_for_retries(struct worker *w, const struct clone *e)
{
    int64_t now = worker_mono(w), soonest = 0;
    for (const struct call *c = e->call_log.calls; c; c = c->next)
        if (c->state == CALL_FAILED && c->retry_mono_ms > now &&
            (!soonest || c->retry_mono_ms < soonest) &&
            !(call_kinds[c->key.kind].effect == CALL_TRIES &&
              (c->kind == ERR_REFUSED || c->kind == ERR_INVALID || c->kind == ERR_EXISTS)))
            soonest = c->retry_mono_ms;
    if (soonest)
        workqueue_add_at(w->queue, e->key, soonest, now);
}

/* The answer to what was announced is lost, or a conflict says that the cache is behind, for
   minutes perhaps: the API server is asked what it has. */
static void ask_for_own(struct worker *w, struct clone *e)
{
    const struct call *status = call_log_find(&e->call_log, call_key(CALL_STATUS));
    const struct call *read = call_log_find(&e->call_log, call_key(CALL_READ_OWN));
    const struct intent i = {.verb = INTENT_READ,
                             .kind = &worker_kinds[KIND_WUKONG],
                             .ns = e->ns,
                             .name = e->name,
                             .key = call_key(CALL_READ_OWN)};
    bool behind = call_failed(status) && status->kind == ERR_CONFLICT &&
                  (!read || read->done_ms < status->done_ms);
    if ((behind || indoubt_wants_read(&e->announced, status, worker_mono(w))) &&
        execute(&w->executor, &i, &e->call_log, e, &e->flights))
        e->announced.read_ms = worker_mono(w);
    if (e->announced.base)
        workqueue_add_at(w->queue, e->key, worker_mono(w) + INDOUBT_READ_MS, worker_mono(w));
}

/* What a look may take. The largest clone (100 machines of 64 disks) takes some 4 MiB of it. */
#define LOOKUP_ARENA_BYTES (16u * MIB)
#define TOO_LARGE_LOG_MS 10000

/* The decision rests on a state that is cut short: of it only the thaw is sent, and the user is
   told why nothing else happens. All other clones go on. */
static void give_up_for_now(struct worker *w, struct clone *e, struct clone_state *v,
                            const struct decision *d)
{
    CLEANUP_ARENA struct arena small;
    arena_init_soft(&small, LOOKUP_ARENA_BYTES);
    struct decision told = {.intents = {.arena = &small}};
    for (size_t k = 0; k < d->intents.count; k++)
        if (d->intents.items[k].key.kind == CALL_THAW)
            execute(&w->executor, &d->intents.items[k], &e->call_log, e, &e->flights);
    if (log_limited(&w->too_large_log, worker_mono(w), TOO_LARGE_LOG_MS))
        log_event(LOG_ERROR, "clone is too large to be reconciled", LOG_S("wukong", e->key),
                  LOG_S("uid", e->uid));
    struct arena *large = v->arena;
    v->arena = &small;
    clone_too_large(v, &told);
    carry_out(w, e, v, &told);
    v->arena = large;
}

void worker_reconcile(struct worker *w, struct clone *e)
{
    CLEANUP_ARENA struct arena a;
    struct err err = {0};
    struct observe_settings settings = {0};
    struct clone_state v = {.arena = &a};
    if (e->written && !worker_trusts_written(w, e)) {
        free(e->written);
        e->written = NULL;
    }
    const struct kube_object *o =
        e->written ? e->written : store_get(w->watched[KIND_WUKONG].store, e->ns, e->name);
    arena_init_soft(&a, LOOKUP_ARENA_BYTES);
    if (!o || o->unreadable || !w->leads) {
        /* Nobody waits behind one that is not looked at. */
        clone_table_leave_lines(&w->clones, e);
        return;
    }
    if (observe_wukong(&v, o, &err) == 0 && v.effective.is_clone) {
        const struct share_group group = {
            &w->clones, e, &w->caches, {worker_wall(w), worker_mono(w)}};
        (void)worker_policies_now(w);
        const struct policy_gate gate = {&w->clones,
                                         &w->policies,
                                         w->policy_reports,
                                         &w->caches,
                                         w->config.max_in_flight,
                                         w->policies.by_subject ? worker_stamp_keys(w, &a) : NULL};
        settings_of(w, e, o, &v, &settings);
        settings.raise_cuts = policy_gate_raise_cuts;
        settings.raise_arg = &gate;
        share_group_held(&group, &v, &settings);
        if (observe_clone(&v, &w->caches, o, &e->call_log, group.now, &settings, &err) == 0) {
            struct decision d = {.intents = {.arena = &a}};
            share_group_observe(&group, &v);
            policy_gate_judge(&gate, e, o, &v);
            if (w->resigning.done)
                clone_decide_leaving(&v, &d);
            else
                clone_decide(&v, &d);
            if (arena_full(&a)) {
                give_up_for_now(w, e, &v, &d);
                clone_state_release(&v);
                return;
            }
            share_group_note(&group, &v, &d);
            trace_decided(e->key, &v, &d);
            carry_out(w, e, &v, &d);
            ask_for_own(w, e);
            wake_for_retries(w, e);
        }
    }
    if (err.kind)
        log_event(LOG_ERROR, "wukong cannot be read", LOG_S("wukong", e->key),
                  LOG_S("error", err.message));
    clone_state_release(&v);
}
