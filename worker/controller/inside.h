/*
 * struct worker itself, for the two files that make it up: wakes.c (which Wukong is to be looked at
 * when something changes) and worker.c (what looking at it means, and the worker's life). Nobody
 * else includes it.
 */
#ifndef CONTROLLER_INSIDE_H
#define CONTROLLER_INSIDE_H

#include "base/log.h"
#include "kube/client.h"
#include "kube/store.h"
#include "kube/watches.h"
#include "kube/workqueue.h"
#include "clones/entries.h"
#include "actions/execute.h"
#include "policy/policing.h"
#include "controller/worker.h"

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
    struct timer pump;
    struct entries entries;
    struct caches caches; /* the face that views look through */
    struct policies policies;
    struct policy_reports *policy_reports;
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

/* The timer that turns the queue is set for its next key; off while the worker does not lead. */
void worker_arm_pump(struct worker *w);
/* arg: the worker. Puts the Wukong into the queue; one that is no clone is left alone. */
void worker_look_at(void *arg, const struct entry *e);
/* All that have not ended, the oldest first: what is free goes to them. */
void worker_look_at_waiting(struct worker *w);
/* arg: the worker. usage.h: a place is free for this one. */
void worker_turn_came(void *arg, struct usage_holder *h);

/* Our own writes are newer than the caches. */
bool worker_object_older(const struct kube_object *a, const struct kube_object *b);
bool worker_trusts_written(const struct worker *w, const struct entry *e);
void worker_summarise(struct worker *w, struct entry *e, const struct kube_object *o);

/* store_listener; arg: the struct watched. */
void worker_cache_changed(void *arg, const struct kube_object *before,
                          const struct kube_object *after);

#endif
