/*
 * The only place that sends. An intent becomes one request. The executor writes its outcome into
 * the call log under the intent's key, and has the owner reconciled. It sends nothing twice that is
 * under way, waits for the backoff of what failed, and shares reads between clones.
 */
#ifndef ACTIONS_EXECUTE_H
#define ACTIONS_EXECUTE_H

#include "actions/intents.h"
#include "actions/readings.h"
#include "base/clock.h"
#include "base/metric.h"
#include "base/rng.h"
#include "kube/client.h"
#include "observe/call_log.h"

/* A call gets this long unless its intent says otherwise. */
#define CALL_TIMEOUT_MS 20000
/* What worked is not sent again for this long: the caches need a moment to show it. */
#define CALL_SETTLE_MS 5000
#define CALL_BACKOFF_MS 500
#define CALL_BACKOFF_MAX_MS 60000
/* A thaw that failed is sent again this soon at the latest. */
#define CALL_URGENT_MS 2000

extern struct metric metric_writes; /* counter: verb; requests that change something */

struct execution; /* one call under way */

struct executor {
    const struct kube_client *client;
    const struct clock *clock;
    struct rng *rng;
    const char *field_manager; /* applies use "<it>-status" and "<it>-finalizer" */
    /* Asked before every write: a worker that is not the leader writes nothing. */
    bool (*may_write)(void *arg);
    /* Asked before each request of an owner: false: not now. The owner is looked at when its turn
       comes. NULL: all may be sent. */
    bool (*may_spend)(void *arg, void *owner, const struct intent *i);
    /* A call of this owner has ended; written: the Wukong as a write or a read of it returned it,
       as JSON, NULL for all else. */
    void (*ended)(void *arg, void *owner, const char *written, size_t written_len);
    /* For the log of what was written: the Wukong, or the policy, that the owner is; NULL: none. */
    void (*whose)(void *owner, const char **ret_name, const char **ret_uid);
    void *arg;
    unsigned in_flight;
    struct execution *flying;
    struct readings readings;
    unsigned long long writes; /* requests that change something, ever */
};

/* Sends the intent if it may be sent now; true when it was sent, or when another clone's reading
   answered it. owner is handed to `ended`; the call log must stay until in_flight of the owner is 0
   again (the count is kept in *owner_flights). */
bool execute(struct executor *x, const struct intent *i, struct call_log *call_log, void *owner,
             unsigned *owner_flights);
/* Cancels every call under way without reconciling their owners, and frees all readings. */
void executor_cancel(struct executor *x);

#endif
