/*
 * struct sweep: the worker that leads looks now and then for what is left of clones whose Wukong is
 * gone, and removes it (observe/orphan.h says what is known for such, and by what).
 *
 * It takes its time. The caches are filled, no cache knows a Wukong of that UID, nobody shares the
 * snapshots; the API server says twice, SWEEP_APART_MS apart, that the Wukong is gone; each object
 * is read before it counts. One request is under way at a time, and each object is deleted by its
 * UID.
 */
#ifndef CONTROLLER_SWEEP_H
#define CONTROLLER_SWEEP_H

#include "base/timer.h"
#include "clones/clone_table.h"
#include "kube/client.h"
#include "observe/cache_reader.h"
#include "wukong/api/scope.h"

#define SWEEP_EVERY_MS 60000
#define SWEEP_APART_MS 180000
/* Between two requests. */
#define SWEEP_STEP_MS 250

struct sweep;

struct sweep_options {
    const struct kube_client *client;
    const struct clock *clock;
    struct timers *timers;
    struct rng *rng;
    const struct cache_reader *caches;
    const struct clone_table *clones;
    const struct scope *scope; /* of Wukongs elsewhere it is not known whether they are there */
    /* Asked before everything: this process leads, and its caches are filled. */
    bool (*may_sweep)(void *arg);
    void *arg;
};

/* Everything in options is borrowed, the struct itself is copied. */
struct sweep *sweep_new(const struct sweep_options *options);
/* NULL does nothing. */
void sweep_free(struct sweep *s);
/* To be called when may_sweep has become true; it ends by itself when that is over. */
void sweep_begin(struct sweep *s);
/* Requests sent that change something. */
unsigned long long sweep_writes(const struct sweep *s);

#endif
