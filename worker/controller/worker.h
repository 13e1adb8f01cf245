/*
 * struct worker: the clone controller. It watches, keeps caches, and brings each Wukong forward. It
 * owns no clock, network or randomness: those are given, so that the simulator runs the same code.
 * Everything happens in callbacks of the transport and the timers; nothing blocks.
 */
#ifndef CONTROLLER_WORKER_H
#define CONTROLLER_WORKER_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/timer.h"
#include "kube/skew.h"
#include "kube/transport.h"
#include "wukong/api/scope.h"

struct worker_config {
    struct kube_transport *transport;
    const struct clock *clock;
    const struct clock_skew *skew; /* of the API server's clock; NULL: none */
    struct timers *timers;
    struct rng *rng;
    const char *ns;              /* where the Lease and the stamp's ConfigMap live */
    const char *lease_name;      /* NULL: no election, this worker leads at once (tests) */
    const char *identity;        /* the holder's name, unique per process */
    const char *stamp_configmap; /* NULL: no clone from another namespace is let through */
    const struct scope *scope;   /* the namespaces that are served; NULL: all; copied */
    bool cross_namespace;
    int64_t unfreeze_timeout_ms; /* the guest's own timer; 10 s to 60 s */
    unsigned max_in_flight;      /* clones at once */
    /* Guests that are frozen at once; 0: no limit. The snapshots of all go through the same
       controllers, which make five requests a second as they are shipped (external-snapshotter,
       --kube-api-qps): each more makes all freezes longer and no clone faster. */
    unsigned max_frozen;
    /* Called when leadership is lost: the caller ends the process (a restart is the recovery). */
    void (*lost_lease)(void *arg);
    void *arg;
};

struct worker;
/* The strings of config are copied. */
struct worker *worker_new(const struct worker_config *config);
void worker_start(struct worker *w);
/* Begins nothing any more, thaws the guests that it holds frozen, for 10 s at most, and gives the
   lease back; done is called when that has been answered, or after 2 s. Once. */
void worker_resign(struct worker *w, void (*done)(void *arg), void *arg);
/* Cancels everything under way and frees. */
void worker_free(struct worker *w);

/* All caches have been filled, each was heard of since not longer ago than a sound watch can take
   (kube/watches.h), and all ClonePolicies are known: the worker sees the cluster as it is. False:
   why_not says in words what it does not see. */
bool worker_ready(struct worker *w, struct buf *why_not);
/* How many watches a worker of this scope holds open beyond those of one that serves all. */
unsigned worker_more_watches(const struct scope *scope);
bool worker_leads(const struct worker *w);
/* What it knows of its clones as JSON (dump.h); name "namespace/name": of that one alone. False:
   there is no such Wukong, or what it knows is too large to be told. */
bool worker_dump(struct worker *w, const char *name, struct buf *out);
/* Brings the metrics of the caches and of what is read off them up to date. */
void worker_refresh_metrics(struct worker *w);
/* Requests ever sent that change something. */
unsigned long long worker_writes(const struct worker *w);

#endif
