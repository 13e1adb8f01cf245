#include "controller/controller_internal.h"
#include "controller/dump.h"

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

/* Who gives the lease back thaws the guests that it holds, for so long at most (a Pod has 30 s). */
#define RESIGN_MS 10000
#define RESIGN_LOOK_MS 20

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

/* Of kinds that are watched; the others have one version. */
static const char *served_version(void *arg, const struct kube_kind *kind)
{
    struct worker *w = arg;
    return kind->older_version ? watches_version(w->watched[kind - worker_kinds].watches)
                               : kind->version;
}

static void queue_timer(void *arg)
{
    struct worker *w = arg;
    const char *key;
    unsigned turns = 0;
    while (w->leads && turns++ < 64 && (key = workqueue_get(w->queue, worker_mono(w)))) {
        struct clone *e = NULL;
        HASH_FIND(by_key, w->clones.by_key, key, strlen(key), e);
        if (e && e->is_clone && (e->freezing || !w->resigning.done))
            worker_reconcile(w, e);
        workqueue_done(w->queue, key, worker_mono(w));
    }
    metric_set(&metric_active, (double)w->clones.usage.held, NULL);
    metric_set(&metric_queue, (double)workqueue_ready(w->queue), NULL);
    worker_arm_queue(w);
}

static void call_ended(void *arg, void *owner, const char *written, size_t written_len)
{
    struct worker *w = arg;
    struct clone *e = owner;
    if (e->dead) {
        clone_landed(&w->clones, e);
        return;
    }
    if (written)
        worker_trust_answer(w, e, written, written_len);
    if (indoubt_answered(&e->announced, call_log_find(&e->call_log, call_key(CALL_STATUS))) ||
        indoubt_read(&e->announced, call_log_find(&e->call_log, call_key(CALL_READ_OWN)), NULL))
        share_group_freed(&w->clones, e);
    clone_table_count_freeze(&w->clones, e);
    worker_enqueue(w, e);
}

static void name_owner(void *owner, const char **ret_name, const char **ret_uid)
{
    const struct clone *e = owner;
    *ret_name = e->key;
    *ret_uid = e->uid;
}

static bool may_write(void *arg)
{
    struct worker *w = arg;
    return w->leads && (!w->lease || lease_leading(w->lease));
}

static bool may_spend(void *arg, void *owner, const struct intent *i)
{
    return worker_may_spend(arg, owner, i);
}

static bool may_report(void *arg)
{
    struct worker *w = arg;
    return w->synced && may_write(w);
}

static bool may_sweep(void *arg)
{
    const struct worker *w = arg;
    return !w->resigning.done && may_report(arg);
}

static void begin_when_ready(struct worker *w)
{
    if (w->synced && w->leads) {
        policy_reports_all(w->policy_reports);
        sweep_begin(w->sweep);
        share_group_hold_listed(&w->clones, (struct now){worker_wall(w), worker_mono(w)});
        worker_enqueue_waiting(w);
    }
    struct clone *e, *next;
    if (w->synced && w->leads)
        HASH_ITER (by_key, w->clones.by_key, e, next)
            if (e->final)
                worker_enqueue(w, e);
    worker_arm_queue(w);
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

static void on_sync_changed(void *arg)
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

static void on_unreadable(void *arg, const struct kube_kind *kind, const char *ns, const char *name,
                          const char *why)
{
    struct worker *w = arg;
    uint64_t hidden = w->unreadable_log.hidden;
    if (log_limited(&w->unreadable_log, worker_mono(w), UNREADABLE_LOG_MS))
        log_event(LOG_WARN, "object cannot be read, what needs it waits",
                  LOG_S("resource", kind->resource), LOG_S("namespace", ns), LOG_S("name", name),
                  LOG_S("error", why), LOG_I("not_logged", hidden));
}

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
        .turned = on_sync_changed,
        .failed = watch_failed,
        .unreadable = on_unreadable,
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
                                     .field_manager = "wukong-worker",
                                     .version = served_version,
                                     .version_arg = w};
    w->executor = (struct executor){.client = &w->client,
                                    .clock = config->clock,
                                    .rng = config->rng,
                                    .field_manager = "wukong-worker",
                                    .may_write = may_write,
                                    .may_spend = may_spend,
                                    .ended = call_ended,
                                    .whose = name_owner,
                                    .arg = w};
    w->caches = (struct cache_reader){cache_get, cache_each, cache_served, w};
    w->policy_reports =
        policy_reports_new(&(struct policy_reports_options){.client = &w->client,
                                                            .clock = config->clock,
                                                            .timers = config->timers,
                                                            .rng = config->rng,
                                                            .caches = &w->caches,
                                                            .may_write = may_report,
                                                            .arg = w});
    w->sweep = sweep_new(&(struct sweep_options){.client = &w->client,
                                                 .clock = config->clock,
                                                 .timers = config->timers,
                                                 .rng = config->rng,
                                                 .caches = &w->caches,
                                                 .clones = &w->clones,
                                                 .scope = &w->scope,
                                                 .may_sweep = may_sweep,
                                                 .arg = w});
    w->left_frozen = left_frozen_new(&(struct left_frozen_options){.client = &w->client,
                                                                   .clock = config->clock,
                                                                   .timers = config->timers,
                                                                   .rng = config->rng,
                                                                   .may_write = may_report,
                                                                   .arg = w});
    w->queue = workqueue_new(&(struct workqueue_options){0});
    timer_init(&w->queue_timer, queue_timer, w);
    timer_init(&w->resigning.look, resign, w);
    w->clones.max_frozen = config->max_frozen;
    timer_init(&w->budget_timer, worker_budget_turns, w);
    w->clones.usage.wake = worker_turn_came;
    w->clones.usage.arg = w;
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
    if (w->leads && w->synced && w->clones.freezers && now < w->resigning.until_ms) {
        timer_arm(w->config.timers, &w->resigning.look, now + RESIGN_LOOK_MS);
        return;
    }
    w->leads = false;
    worker_arm_queue(w);
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
    for (struct clone *e = w->clones.freezers; e; e = e->next_freezer)
        worker_enqueue(w, e);
    resign(w);
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    timer_cancel(w->config.timers, &w->queue_timer);
    timer_cancel(w->config.timers, &w->resigning.look);
    timer_cancel(w->config.timers, &w->budget_timer);
    lease_free(w->lease);
    sweep_free(w->sweep);
    left_frozen_free(w->left_frozen);
    for (int k = 0; k < WORKER_KINDS; k++) {
        watches_free(w->watched[k].watches);
        store_free(w->watched[k].store);
    }
    executor_cancel(&w->executor);
    workqueue_free(w->queue);
    clone_table_release(&w->clones);
    policy_cache_release(&w->policies);
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
        buf_adds(why_not, "the caches are not filled yet");
        return false;
    }
    for (int k = 0; k < WORKER_KINDS; k++)
        if (is_watched(w, k) && watches_stale(w->watched[k].watches)) {
            buf_addf(why_not, "the API server has sent nothing about %s for %lld s",
                     worker_kinds[k].resource,
                     (long long)(watches_age_ms(w->watched[k].watches) / 1000));
            return false;
        }
    if (worker_policies_now(w)->incomplete)
        buf_adds(why_not,
                 "there are more ClonePolicies than the worker can keep, so it begins no clone");
    return !worker_policies_now(w)->incomplete;
}

void worker_refresh_metrics(struct worker *w)
{
    const struct policy_cache *p = worker_policies_now(w);
    policy_metrics_set(p->items, p->count, p->incomplete);
    kube_metrics_skew(w->config.skew);
    for (int k = 0; k < WORKER_KINDS; k++)
        if (is_watched(w, k))
            kube_metrics_store(w->watched[k].store, watches_age_ms(w->watched[k].watches));
    worker_metrics_snapshots(w->watched[KIND_SNAPSHOT].store, w->watched[KIND_GROUP].store);
    metric_set(&metric_frozen_limit,
               (double)freeze_limit_now(&w->clones.freeze_limit, w->config.max_frozen), NULL);
}

bool worker_dump(struct worker *w, const char *name, struct buf *out)
{
    const char *slash = name ? strchr(name, '/') : NULL;
    if (!name) {
        dump_clones(&w->clones, worker_wall(w), out);
        return buf_ok(out);
    }
    CLEANUP_FREE char *ns = xstrndup(name, slash ? (size_t)(slash - name) : 0);
    const struct kube_object *o = slash ? cache_get(w, KIND_WUKONG, ns, slash + 1) : NULL;
    if (!o)
        return false;
    dump_clone(clone_table_by_key(&w->clones, ns, slash + 1), o, &w->caches, worker_wall(w), out);
    return buf_ok(out);
}

bool worker_leads(const struct worker *w)
{
    return w->leads;
}

unsigned long long worker_writes(const struct worker *w)
{
    return w->executor.writes + policy_reports_writes(w->policy_reports) + sweep_writes(w->sweep) +
           left_frozen_writes(w->left_frozen);
}
