#include "controller/inside.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/client.h"
#include "kube/lease.h"
#include "kube/metrics.h"
#include "kube/store.h"
#include "kube/watches.h"
#include "kube/workqueue.h"
#include "clones/entries.h"
#include "actions/execute.h"
#include "clones/metrics.h"
#include "clones/peers.h"
#include "observe/permit.h"
#include "policy/policing.h"
#include "controller/status.h"
#include "controller/trace.h"
#include "observe/queries.h"
#include "observe/view_build.h"
#include "wukong/policy_metrics.h"
#include "wukong/schedule.h"

/* After our own status write the watch is given this long to show it. */
#define WRITTEN_TRUST_MS 10000
/* Who gives the lease back thaws the guests that it holds, for so long at most (a Pod has 30 s). */
#define RESIGN_MS 10000
#define RESIGN_LOOK_MS 20

/* --- the face that the view looks through --- */

static const struct kube_object *cache_get(void *arg, enum worker_kind kind, const char *ns,
                                           const char *name)
{
    struct worker *w = arg;
    return store_get(w->watched[kind].store, ns, name);
}

static void cache_each(void *arg, enum worker_kind kind, const char *label,
                       bool (*visit)(void *visit_arg, const struct kube_object *o), void *visit_arg)
{
    struct worker *w = arg;
    if (label)
        store_each_label(w->watched[kind].store, label, visit, visit_arg);
    else
        store_each(w->watched[kind].store, visit, visit_arg);
}

static bool cache_served(void *arg, enum worker_kind kind)
{
    struct worker *w = arg;
    return watches_served(w->watched[kind].watches);
}

/* --- one Wukong --- */

static const struct policies *policies_now(struct worker *w)
{
    if (!w->policies.filled)
        policies_refill(&w->policies, &w->caches);
    return &w->policies;
}

/* data["stamp.pub"] of the ConfigMap that the webhook publishes (certs/keeper.h); NULL: not there.
 */
static const char *stamp_keys(struct worker *w, struct arena *a)
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

static struct permit cross_namespace_permit(struct worker *w, struct entry *self,
                                            const struct kube_object *o, const struct clone_view *v)
{
    struct permit p = {.may_start = true};
    if (!v->effective.cross_namespace)
        return p;
    if (!w->config.cross_namespace)
        return (struct permit){.refusal = "clones from another namespace are switched off in this "
                                          "cluster (chart value crossNamespace.enabled)"};
    if (!scope_covers(&w->scope, v->effective.source_ns)) {
        CLEANUP_FREE char *why = scope_refusal(&w->scope, v->effective.source_ns);
        return (struct permit){.refusal = arena_strdup(v->arena, why)};
    }
    permit_remembered(&self->permit, v->arena, v->wukong, &v->effective,
                      kube_object_field(o, F_GENERATE_NAME),
                      kube_object_field(o, F_ANNOTATION_STAMP), stamp_keys(w, v->arena),
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
static bool vm_snapshot_under_way(struct worker *w, const struct entry *e)
{
    bool any = e->vm_snapshot && !e->share.aborted;
    if (e->vm_snapshot && e->share.aborted)
        w->caches.each(w->caches.arg, KIND_VM_SNAPSHOT, e->uid, under_way, &any);
    return any;
}

static void settings_of(struct worker *w, struct entry *self, const struct kube_object *o,
                        const struct clone_view *v, struct view_settings *s)
{
    s->unfreeze_timeout_ms = w->config.unfreeze_timeout_ms;
    s->freezes_max = w->config.max_frozen;
    s->freezes_full =
        s->freezes_max && entries_frozen(&w->entries, self, worker_mono(w)) >= s->freezes_max;
    for (struct entry *e = entries_of_source(&w->entries, v->effective.source_ns,
                                             str_or(v->effective.source_name, "-"));
         e; e = e->same_source_next) {
        s->freeze_elsewhere |=
            e != self && (e->owes_thaw || (e->announced.what & ANNOUNCED_FREEZE));
        s->vm_snapshot_elsewhere |= e != self && vm_snapshot_under_way(w, e);
        int64_t thawed =
            e->thawed_ms > e->vm_snapshot_end_ms ? e->thawed_ms : e->vm_snapshot_end_ms;
        s->last_thaw_ms = thawed > s->last_thaw_ms ? thawed : s->last_thaw_ms;
    }
    s->permit = cross_namespace_permit(w, self, o, v);
    struct schedule_verdict verdict = schedule_judge(&v->wukong->spec.source, worker_wall(w));
    s->permitted_ms = verdict.permitted_ms;
    s->permitted_reason = verdict.reason;
    s->permitted_until_ms = verdict.closes_ms;
    s->permitted_why = arena_strdup(v->arena, verdict.why);
}

/* What of a status write that was just sent the others of the source must know, and the clone
 * itself. */
static void announce(struct worker *w, struct entry *e, const struct clone_view *v,
                     const struct decision *d)
{
    bool begins = share_begun(&d->record) && !share_begun(&v->record);
    bool takes_slot = record_begun(&d->record) && !record_begun(&v->record);
    bool freezes = d->record.freeze.requested_ms > v->record.freeze.requested_ms ||
                   (view_uses_vm_snapshot(v) && d->record.source_uid && !v->record.source_uid);
    bool seals = (d->record.cut_ms && !v->record.cut_ms) ||
                 (record_final(&d->record) && !record_final(&v->record));
    unsigned what = (freezes ? ANNOUNCED_FREEZE : 0) | (seals ? ANNOUNCED_SEAL : 0);
    if (what || takes_slot || (begins && (d->record.member_count || d->record.shared.uid)))
        announce_open(&e->announced, v->wukong->resource_version, what, worker_mono(w));
    entries_count_freeze(&w->entries, e);
}

static void send_status(struct worker *w, struct entry *e, const struct clone_view *v,
                        struct decision *d)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
    CLEANUP_JSON cJSON *next = NULL;
    struct err err = {0};
    status_write(v, d, &text);
    if (!buf_ok(&text) || json_read(text.data, text.len, &next, &err) < 0) {
        log_event(LOG_ERROR, "status cannot be written", LOG_S("wukong", e->key),
                  LOG_S("error", err.message));
        return;
    }
    enum status_change change = status_compare(v, next);
    int64_t since = e->status_ms ? e->status_ms : v->wukong->created_ms;
    if (change == STATUS_SAME)
        return;
    /* The finalizer's answer brings the version that this write has to name: without it, a
     * conflict. */
    const struct call *finalizer = memo_find(&e->memo, "finalizer/add");
    if (finalizer && finalizer->state == CALL_FLYING)
        return;
    /* That it has been seen is told soon, however many are under way. */
    int64_t at = since + (v->status ? status_pause_ms(w->entries.usage.held) : STATUS_SOFT_MS);
    if (change == STATUS_SOFT && !d->persist_first && v->now.wall_ms < at) {
        if (!d->again_ms || at < d->again_ms)
            d->again_ms = at;
        return;
    }
    struct intent i = {.verb = INTENT_STATUS,
                       .kind = &worker_kinds[KIND_WUKONG],
                       .ns = e->ns,
                       .name = e->name,
                       .uid = e->uid,
                       /* A status that was made from the past, by a cache that lags or by a leader
                          of yesterday, must not undo a newer one. */
                       .version = v->wukong->resource_version,
                       .body = text.data,
                       .key = "status"};
    if (d->record.freeze.requested_ms != v->record.freeze.requested_ms)
        /* Marked when sent: the watch may show the record before the answer to its write comes. */
        i.mark_sent =
            arena_printf(v->arena, "armed/%lld", (long long)d->record.freeze.requested_ms);
    else if (d->record.freeze.thawed_ms && !v->record.freeze.thawed_ms)
        i.mark_sent =
            arena_printf(v->arena, "thawed/%lld", (long long)d->record.freeze.requested_ms);
    e->status_ms = v->now.wall_ms;
    const struct call *last = memo_find(&e->memo, i.key);
    bool flying = last && last->state == CALL_FLYING;
    if (execute(&w->executor, &i, &e->memo, e, &e->flights))
        announce(w, e, v, d);
    if (change == STATUS_HARD && !flying)
        worker_metrics_record(v, &d->record);
}

/* Once per change, though a status write may be put off and the decision made again. */
static void log_step(struct entry *e, const struct clone_view *v, const struct decision *d)
{
    int64_t mark = d->record.attempts * CLONE_PHASES + (int64_t)d->record.phase;
    if ((d->record.phase != v->record.phase || d->record.attempts != v->record.attempts) &&
        e->logged != mark)
        log_event(LOG_INFO, "clone", LOG_S("wukong", e->key), LOG_S("uid", e->uid),
                  LOG_S("phase", clone_phase_names[d->record.phase]), LOG_S("step", d->step),
                  LOG_I("attempt", d->record.attempts), LOG_S("reason", d->record.error.reason));
    e->logged = mark;
}

static void carry_out(struct worker *w, struct entry *e, const struct clone_view *v,
                      struct decision *d)
{
    for (size_t k = 0; k < d->intents.count; k++) {
        const struct intent *i = &d->intents.items[k];
        if (announce_forbids(&e->announced, i))
            continue;
        if (!d->persist_first || i->verb == INTENT_FINALIZER || i->verb == INTENT_READ ||
            i->verb == INTENT_EVENT)
            execute(&w->executor, i, &e->memo, e, &e->flights);
    }
    if (d->write_status)
        send_status(w, e, v, d);
    log_step(e, v, d);
    worker_metrics_step(&e->step, record_final(&d->record) ? NULL : d->step, v->now.mono_ms);
    if (d->again_ms) {
        int64_t delay = d->again_ms - v->now.wall_ms;
        workqueue_add_at(w->queue, e->key, v->now.mono_ms + (delay > 10 ? delay : 10),
                         v->now.mono_ms);
    }
    workqueue_hurry(w->queue, e->key, e->freezing);
    bool over = record_final(&v->record) && !record_owes_thaw(&v->record);
    if (entry_needs_no_memo(e, over, d->intents.count))
        memo_release(&e->memo);
}

/* A failed call is looked at again when its backoff is over; what a dry run was refused for waits
   as long as its step says. */
static void wake_for_retries(struct worker *w, const struct entry *e)
{
    int64_t now = worker_mono(w), soonest = 0;
    for (const struct call *c = e->memo.calls; c; c = c->next)
        if (c->state == CALL_FAILED && c->retry_mono_ms > now &&
            (!soonest || c->retry_mono_ms < soonest) &&
            !(str_starts(c->key, "dry/") &&
              (c->kind == ERR_REFUSED || c->kind == ERR_INVALID || c->kind == ERR_EXISTS)))
            soonest = c->retry_mono_ms;
    if (soonest)
        workqueue_add_at(w->queue, e->key, soonest, now);
}

/* The answer to what was announced is lost, or a conflict says that the cache is behind, for
   minutes perhaps: the API server is asked what it has. */
static void ask_for_own(struct worker *w, struct entry *e)
{
    const struct call *status = memo_find(&e->memo, "status");
    const struct call *read = memo_find(&e->memo, ANNOUNCE_READ_KEY);
    const struct intent i = {.verb = INTENT_READ,
                             .kind = &worker_kinds[KIND_WUKONG],
                             .ns = e->ns,
                             .name = e->name,
                             .key = ANNOUNCE_READ_KEY};
    bool behind = call_failed(status) && status->kind == ERR_CONFLICT &&
                  (!read || read->done_ms < status->done_ms);
    if ((behind || announce_wants_read(&e->announced, status, worker_mono(w))) &&
        execute(&w->executor, &i, &e->memo, e, &e->flights))
        e->announced.read_ms = worker_mono(w);
    if (e->announced.base)
        workqueue_add_at(w->queue, e->key, worker_mono(w) + ANNOUNCE_READ_MS, worker_mono(w));
}

/* What a look may take. The largest clone (100 machines of 64 disks) takes some 4 MiB of it. */
#define LOOK_ARENA_BYTES (16u * MIB)
#define TOO_LARGE_LOG_MS 10000

/* The decision rests on a view that is cut short: of it only the thaw is sent, and the user is told
   why nothing else happens. All other clones go on. */
static void give_up_look(struct worker *w, struct entry *e, struct clone_view *v,
                         const struct decision *d)
{
    CLEANUP_ARENA struct arena small;
    arena_init_soft(&small, LOOK_ARENA_BYTES);
    struct decision told = {.intents = {.arena = &small}};
    for (size_t k = 0; k < d->intents.count; k++)
        if (str_eq(d->intents.items[k].sub, "unfreeze"))
            execute(&w->executor, &d->intents.items[k], &e->memo, e, &e->flights);
    if (log_limited(&w->too_large_log, worker_mono(w), TOO_LARGE_LOG_MS))
        log_event(LOG_ERROR, "clone is too large to be looked at", LOG_S("wukong", e->key),
                  LOG_S("uid", e->uid));
    v->arena = &small;
    clone_too_large(v, &told);
    carry_out(w, e, v, &told);
}

static void reconcile(struct worker *w, struct entry *e)
{
    CLEANUP_ARENA struct arena a;
    struct err err = {0};
    struct view_settings settings = {0};
    struct clone_view v = {.arena = &a};
    if (e->written && !worker_trusts_written(w, e)) {
        free(e->written);
        e->written = NULL;
    }
    const struct kube_object *o =
        e->written ? e->written : store_get(w->watched[KIND_WUKONG].store, e->ns, e->name);
    arena_init_soft(&a, LOOK_ARENA_BYTES);
    if (!o || o->unreadable || !w->leads)
        return;
    if (view_read_wukong(&v, o, &err) == 0 && v.effective.is_clone) {
        const struct peers peers = {&w->entries, e, &w->caches, {worker_wall(w), worker_mono(w)}};
        (void)policies_now(w);
        const struct policing policing = {&w->entries,
                                          &w->policies,
                                          w->policy_reports,
                                          &w->caches,
                                          w->config.max_in_flight,
                                          w->policies.by_subject ? stamp_keys(w, &a) : NULL};
        settings_of(w, e, o, &v, &settings);
        settings.raise_cuts = policing_raise_cuts;
        settings.raise_arg = &policing;
        peers_held(&peers, &v, &settings);
        if (view_build(&v, &w->caches, o, &e->memo, peers.now, &settings, &err) == 0) {
            struct decision d = {.intents = {.arena = &a}};
            peers_look(&peers, &v);
            policing_judge(&policing, e, o, &v);
            if (w->resigning.done)
                clone_decide_leaving(&v, &d);
            else
                clone_decide(&v, &d);
            if (arena_full(&a)) {
                give_up_look(w, e, &v, &d);
                view_release(&v);
                return;
            }
            peers_note(&peers, &v, &d);
            trace_decided(e->key, &v, &d);
            carry_out(w, e, &v, &d);
            ask_for_own(w, e);
            wake_for_retries(w, e);
        }
    }
    if (err.kind)
        log_event(LOG_ERROR, "wukong cannot be read", LOG_S("wukong", e->key),
                  LOG_S("error", err.message));
    view_release(&v);
}

static void pump(void *arg)
{
    struct worker *w = arg;
    const char *key;
    unsigned turns = 0;
    while (w->leads && turns++ < 64 && (key = workqueue_get(w->queue, worker_mono(w)))) {
        struct entry *e = NULL;
        HASH_FIND(by_key, w->entries.by_key, key, strlen(key), e);
        if (e && e->is_clone && (e->freezing || !w->resigning.done))
            reconcile(w, e);
        workqueue_done(w->queue, key, worker_mono(w));
    }
    metric_set(&metric_active, (double)w->entries.usage.held, NULL);
    metric_set(&metric_queue, (double)workqueue_ready(w->queue), NULL);
    worker_arm_pump(w);
}

/* --- calls come back --- */

static void trust_answer(struct worker *w, struct entry *e, const char *json, size_t len)
{
    struct kube_object *o = NULL;
    struct err err = {0};
    if (kube_object_read(&worker_kinds[KIND_WUKONG], json, len, &o, &err) < 0 || o->unreadable) {
        log_event(LOG_WARN, "answer with a Wukong cannot be read", LOG_S("wukong", e->key),
                  LOG_S("error", o ? o->unreadable : err.message));
        free(o);
        return;
    }
    /* A read goes by name. */
    if (!str_eq(o->uid, e->uid)) {
        free(o);
        return;
    }
    if (announce_read(&e->announced, memo_find(&e->memo, ANNOUNCE_READ_KEY), o))
        peers_freed(&w->entries, e);
    const struct kube_object *cached = store_get(w->watched[KIND_WUKONG].store, e->ns, e->name);
    /* Answers may come in another order than the writes took effect. */
    if (e->written && worker_object_older(o, e->written)) {
        free(o);
        return;
    }
    free(e->written);
    e->written = NULL;
    /* The watch may have been faster than the answer, and then the summary must not go back: a debt
       forgotten lets another clone freeze the same guest. */
    if (cached && str_eq(cached->uid, e->uid) && !worker_object_older(cached, o)) {
        free(o);
        return;
    }
    worker_summarise(w, e, o);
    e->written = o;
    e->written_until_ms = worker_mono(w) + WRITTEN_TRUST_MS;
}

static void call_ended(void *arg, void *owner, const char *written, size_t written_len)
{
    struct worker *w = arg;
    struct entry *e = owner;
    if (e->dead) {
        entry_landed(&w->entries, e);
        return;
    }
    if (written)
        trust_answer(w, e, written, written_len);
    if (announce_answered(&e->announced, memo_find(&e->memo, "status")) ||
        announce_read(&e->announced, memo_find(&e->memo, ANNOUNCE_READ_KEY), NULL))
        peers_freed(&w->entries, e);
    entries_count_freeze(&w->entries, e);
    worker_look_at(w, e);
}

static void whose(void *owner, const char **ret_name, const char **ret_uid)
{
    const struct entry *e = owner;
    *ret_name = e->key;
    *ret_uid = e->uid;
}

static bool may_write(void *arg)
{
    struct worker *w = arg;
    return w->leads && (!w->lease || lease_leading(w->lease));
}

static bool may_report(void *arg)
{
    struct worker *w = arg;
    return w->synced && may_write(w);
}

/* --- leadership, caches filled --- */

static void begin_when_ready(struct worker *w)
{
    if (w->synced && w->leads)
        policy_reports_all(w->policy_reports);
    if (w->synced && w->leads) {
        peers_hold_listed(&w->entries, (struct now){worker_wall(w), worker_mono(w)});
        worker_look_at_waiting(w);
    }
    struct entry *e, *next;
    if (w->synced && w->leads)
        HASH_ITER (by_key, w->entries.by_key, e, next)
            if (e->final)
                worker_look_at(w, e);
    worker_arm_pump(w);
}

/* Without a ConfigMap's name there is nothing to watch, and no clone crosses namespaces. */
static bool is_watched(const struct worker *w, int kind)
{
    return kind != KIND_STAMP_KEYS || w->stamp_configmap;
}

static void acquired(void *arg)
{
    struct worker *w = arg;
    w->leads = true;
    metric_set(&metric_leader, 1, NULL);
    log_event(LOG_INFO, "leading", LOG_S("identity", w->identity));
    /* What the leader before has recorded and made must be known before anything is begun or
       removed, and this process's watches may have hung since before that. All of them: a clone
       that is known to have succeeded, and whose claims are not known, does not seem to need its
       snapshots any more. */
    w->synced = !w->lease && w->synced;
    for (int k = 0; w->lease && k < WORKER_KINDS; k++)
        if (is_watched(w, k))
            watches_refresh(w->watched[k].watches);
    begin_when_ready(w);
}

static void lost(void *arg)
{
    struct worker *w = arg;
    w->leads = false;
    metric_set(&metric_leader, 0, NULL);
    log_event(LOG_ERROR, "lease lost", LOG_S("identity", w->identity));
    if (w->config.lost_lease)
        w->config.lost_lease(w->config.arg);
}

static void turned(void *arg)
{
    struct worker *w = arg;
    for (int k = 0; k < WORKER_KINDS; k++)
        if (is_watched(w, k) && !watches_synced(w->watched[k].watches))
            return;
    if (!w->synced) {
        w->synced = true;
        mem_trim();
        log_event(LOG_INFO, "caches filled", LOG_I("wukongs", store_count(w->watched[0].store)));
        begin_when_ready(w);
    }
}

static void watch_failed(void *arg, const struct kube_kind *kind, const struct err *err)
{
    (void)arg;
    /* A kind that is not installed (CDI) is asked for again now and then, and is no failure. */
    log_event(err->kind == ERR_NOT_FOUND ? LOG_DEBUG : LOG_WARN, "list or watch failed",
              LOG_S("resource", kind->resource), LOG_S("error", err->message));
}

/* Whoever may write one object can write many, and many times. */
#define UNREADABLE_LOG_MS 2000

static void unreadable(void *arg, const struct kube_kind *kind, const char *ns, const char *name,
                       const char *why)
{
    struct worker *w = arg;
    uint64_t hidden = w->unreadable_log.hidden;
    if (log_limited(&w->unreadable_log, worker_mono(w), UNREADABLE_LOG_MS))
        log_event(LOG_WARN, "object cannot be read, what needs it waits",
                  LOG_S("resource", kind->resource), LOG_S("namespace", ns), LOG_S("name", name),
                  LOG_S("error", why), LOG_I("not_logged", hidden));
}

/* --- life --- */

static void resign(void *arg);

/* What a scope divides: all that is in namespaces, but for the ConfigMap in our own, and the
   Namespaces themselves. */
static bool is_scoped(enum worker_kind kind)
{
    return kind == KIND_NAMESPACE ||
           (!worker_kinds[kind].cluster_scoped && kind != KIND_STAMP_KEYS);
}

static void start_watching(struct worker *w, enum worker_kind kind)
{
    struct watched *k = &w->watched[kind];
    k->worker = w;
    k->kind = kind;
    k->store = store_new(&worker_kinds[kind]);
    store_listen(k->store, (struct store_listener){worker_cache_changed, k});
    bool own = kind == KIND_STAMP_KEYS;
    const struct reflector_options each = {
        .store = k->store,
        .ns = own ? w->ns : NULL,
        .name = own ? str_or(w->stamp_configmap, "-") : NULL,
        .transport = w->config.transport,
        .clock = w->config.clock,
        .timers = w->config.timers,
        .rng = w->config.rng,
        .turned = turned,
        .failed = watch_failed,
        .unreadable = unreadable,
        .arg = w,
    };
    k->watches = watches_new(&each, (const char *const *)w->scope.names,
                             is_scoped(kind) ? w->scope.count : 0);
}

unsigned worker_more_watches(const struct scope *scope)
{
    unsigned count = 0;
    for (int k = 0; scope->count && k < WORKER_KINDS; k++)
        count += is_scoped((enum worker_kind)k) ? (unsigned)scope->count - 1 : 0;
    return count;
}

struct worker *worker_new(const struct worker_config *config)
{
    struct worker *w = xcalloc(1, sizeof *w);
    assert(config->transport && config->clock && config->timers && config->rng);
    w->config = *config;
    w->ns = xstrdup(config->ns);
    w->lease_name = xstrdup(config->lease_name);
    w->identity = xstrdup(config->identity);
    w->stamp_configmap = xstrdup(config->stamp_configmap);
    if (config->scope)
        scope_copy(config->scope, &w->scope);
    w->client = (struct kube_client){.transport = config->transport,
                                     .clock = config->clock,
                                     .timers = config->timers,
                                     .field_manager = "wukong-worker"};
    w->executor = (struct executor){.client = &w->client,
                                    .clock = config->clock,
                                    .rng = config->rng,
                                    .field_manager = "wukong-worker",
                                    .may_write = may_write,
                                    .ended = call_ended,
                                    .whose = whose,
                                    .arg = w};
    w->caches = (struct caches){cache_get, cache_each, cache_served, w};
    w->policy_reports =
        policy_reports_new(&(struct policy_reports_options){.client = &w->client,
                                                            .clock = config->clock,
                                                            .timers = config->timers,
                                                            .rng = config->rng,
                                                            .caches = &w->caches,
                                                            .may_write = may_report,
                                                            .arg = w});
    w->queue = workqueue_new(&(struct workqueue_options){0});
    timer_init(&w->pump, pump, w);
    timer_init(&w->resigning.look, resign, w);
    w->entries.usage.wake = worker_turn_came;
    w->entries.usage.arg = w;
    for (int k = 0; k < WORKER_KINDS; k++)
        start_watching(w, (enum worker_kind)k);
    if (w->lease_name)
        w->lease = lease_new(&(struct lease_options){.client = &w->client,
                                                     .rng = config->rng,
                                                     .ns = w->ns,
                                                     .name = w->lease_name,
                                                     .self = w->identity,
                                                     .acquired = acquired,
                                                     .lost = lost,
                                                     .arg = w});
    return w;
}

void worker_start(struct worker *w)
{
    for (int k = 0; k < WORKER_KINDS; k++)
        if (is_watched(w, k))
            watches_start(w->watched[k].watches);
    if (w->lease)
        lease_start(w->lease);
    else
        acquired(w);
}

/* Guests stand still until the next leader has filled its caches: theirs are thawed first. */
static void resign(void *arg)
{
    struct worker *w = arg;
    int64_t now = worker_mono(w);
    if (w->leads && w->synced && w->entries.freezers && now < w->resigning.until_ms) {
        timer_arm(w->config.timers, &w->resigning.look, now + RESIGN_LOOK_MS);
        return;
    }
    w->leads = false;
    worker_arm_pump(w);
    if (w->lease)
        lease_release(w->lease, w->resigning.done, w->resigning.arg);
    else
        w->resigning.done(w->resigning.arg);
}

void worker_resign(struct worker *w, void (*done)(void *arg), void *arg)
{
    w->resigning.done = done;
    w->resigning.arg = arg;
    w->resigning.until_ms = worker_mono(w) + RESIGN_MS;
    for (struct entry *e = w->entries.freezers; e; e = e->next_freezer)
        worker_look_at(w, e);
    resign(w);
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    timer_cancel(w->config.timers, &w->pump);
    timer_cancel(w->config.timers, &w->resigning.look);
    lease_free(w->lease);
    for (int k = 0; k < WORKER_KINDS; k++) {
        watches_free(w->watched[k].watches);
        store_free(w->watched[k].store);
    }
    executor_cancel(&w->executor);
    workqueue_free(w->queue);
    entries_release(&w->entries);
    policies_release(&w->policies);
    policy_reports_free(w->policy_reports);
    free(w->ns);
    free(w->lease_name);
    free(w->identity);
    free(w->stamp_configmap);
    scope_release(&w->scope);
    free(w);
}

bool worker_ready(struct worker *w, struct buf *why_not)
{
    if (!w->synced) {
        buf_adds(why_not, "caches are being filled");
        return false;
    }
    for (int k = 0; k < WORKER_KINDS; k++)
        if (is_watched(w, k) && watches_stale(w->watched[k].watches)) {
            buf_addf(why_not, "nothing was heard of %s for %lld s", worker_kinds[k].resource,
                     (long long)(watches_age_ms(w->watched[k].watches) / 1000));
            return false;
        }
    if (policies_now(w)->incomplete)
        buf_adds(why_not, "there are more ClonePolicies than can be kept, and no clone begins");
    return !policies_now(w)->incomplete;
}

void worker_refresh_metrics(struct worker *w)
{
    const struct policies *p = policies_now(w);
    policy_metrics_set(p->items, p->count, p->incomplete);
    kube_metrics_skew(w->config.skew);
    for (int k = 0; k < WORKER_KINDS; k++)
        if (is_watched(w, k))
            kube_metrics_store(w->watched[k].store, watches_age_ms(w->watched[k].watches));
    worker_metrics_snapshots(w->watched[KIND_SNAPSHOT].store);
}

bool worker_leads(const struct worker *w)
{
    return w->leads;
}

unsigned long long worker_writes(const struct worker *w)
{
    return w->executor.writes + policy_reports_writes(w->policy_reports);
}
