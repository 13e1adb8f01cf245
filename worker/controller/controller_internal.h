/*
 * struct worker itself, for the files that implement it. event_handlers.c enqueues the Wukongs that
 * a change concerns; reconcile.c reconciles one; status_writer.c writes its status; worker.c starts
 * and stops. Nobody else includes it.
 */
#ifndef CONTROLLER_CONTROLLER_INTERNAL_H
#define CONTROLLER_CONTROLLER_INTERNAL_H

#include "actions/decision.h"
#include "actions/execute.h"
#include "base/log.h"
#include "clones/clone_table.h"
#include "controller/left_frozen.h"
#include "controller/sweep.h"
#include "controller/worker.h"
#include "kube/client.h"
#include "kube/store.h"
#include "kube/watches.h"
#include "kube/workqueue.h"
#include "policy/policy_gate.h"

struct worker;
struct watched {
    struct worker *worker;
    enum worker_kind kind;
    struct store *store;
    struct watches *watches;
};

struct worker {
    struct worker_config config;
    char *ns, *lease_name, *identity, *stamp_configmap;
    struct scope scope;
    struct kube_client client;
    struct executor executor;
    struct lease *lease;
    struct watched watched[WORKER_KINDS];
    struct workqueue *queue;
    struct timer queue_timer, budget_timer;
    struct clone_table clones;
    struct cache_reader caches; /* the face that observers look through */
    struct policy_cache policies;
    struct policy_reports *policy_reports;
    struct sweep *sweep;
    struct left_frozen *left_frozen;
    struct log_limit unreadable_log, too_large_log;
    bool leads, synced;
    struct {
        void (*done)(void *arg); /* NULL: it stays */
        void *arg;
        int64_t until_ms;
        struct timer look;
    } resigning;
};

static inline int64_t worker_mono(const struct worker *w)
{
    return clock_mono(w->config.clock);
}
static inline int64_t worker_wall(const struct worker *w)
{
    return clock_wall(w->config.clock);
}

/* Reconciles the Wukong and sends what the decision says (reconcile.c). */
void worker_reconcile(struct worker *w, struct clone *e);
/* What the ClonePolicies of the cache say now. */
const struct policy_cache *worker_policies_now(struct worker *w);
/* Writes the decision's status, unless nothing has changed or it may wait (status_writer.c). */
void worker_send_status(struct worker *w, struct clone *e, const struct clone_state *v,
                        struct decision *d);
/* A write or a read has answered with the Wukong, which may be newer than the cache. */
void worker_trust_answer(struct worker *w, struct clone *e, const char *json, size_t len);

/* What the look at one that has not begun may send (waiting.c): before its first request, and after
   its last. */
void worker_budget_begin(struct worker *w, struct clone *e, const struct decision *d);
void worker_budget_end(struct worker *w, struct clone *e);
/* executor.may_spend */
bool worker_may_spend(struct worker *w, struct clone *e, const struct intent *i);
/* timer; arg: the worker. Those whose turn has come are looked at. */
void worker_budget_turns(void *arg);

/* The timer that turns the queue is set for its next key; off while the worker does not lead. */
void worker_arm_queue(struct worker *w);
/* arg: the worker. Puts the Wukong into the queue; one that is no clone is left alone. */
void worker_enqueue(void *arg, const struct clone *e);
/* All that have not ended, the oldest first: what is free goes to them. */
void worker_enqueue_waiting(struct worker *w);
/* arg: the worker. usage.h: a place is free for this one. */
void worker_turn_came(void *arg, struct clone_usage *h);

/* Our own writes are newer than the caches. */
bool worker_object_older(const struct kube_object *a, const struct kube_object *b);
bool worker_trusts_written(const struct worker *w, const struct clone *e);
void worker_summarise(struct worker *w, struct clone *e, const struct kube_object *o);

/* store_listener; arg: the struct watched. */
void worker_cache_changed(void *arg, const struct kube_object *before,
                          const struct kube_object *after);

#endif
