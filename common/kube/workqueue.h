/*
 * struct workqueue: which keys are to be looked at, and when. Behaviour is client-go's
 * (util/workqueue): a key waits at most once; one that is added while it is being processed comes
 * once more when it is done; a later time for a key that waits for an earlier one changes nothing,
 * and a key put in line loses its later time: whoever processes it says again when to come back. On
 * top: a heap of delays, a backoff per key (0.5 s to 5 min, doubled, jittered), a token bucket over
 * all repeats after failures, and a cap on keys in process. Pure: no clock of its own, no locks.
 *
 * Keys are strings; the queue copies them. Not bounded in number: there are never more keys than
 * objects in the caches that feed it.
 */
#ifndef KUBE_WORKQUEUE_H
#define KUBE_WORKQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

#define WORKQUEUE_BACKOFF_MS 500
#define WORKQUEUE_BACKOFF_MS_MAX 300000
/* client-go util/workqueue/default_rate_limiters.go: 10 a second, burst 100. */
#define WORKQUEUE_RATE_PER_S 10
#define WORKQUEUE_BURST 100

struct workqueue;

struct workqueue_options {
    struct rng *rng;         /* borrowed */
    unsigned in_process_max; /* 0: no cap */
};

struct workqueue *workqueue_new(const struct workqueue_options *options);
/* NULL does nothing. */
void workqueue_free(struct workqueue *q);

void workqueue_add(struct workqueue *q, const char *key, int64_t now_ms);
/* hurry: once it is due the key comes before all others. Meant until the key is idle. */
void workqueue_hurry(struct workqueue *q, const char *key, bool hurry);
/* Not before at_ms. */
void workqueue_add_at(struct workqueue *q, const char *key, int64_t at_ms, int64_t now_ms);
/* After a failure: not before the key's backoff, which grows, and the bucket allow. Returns when.
 */
int64_t workqueue_add_failed(struct workqueue *q, const char *key, int64_t now_ms);
/* After a success: the backoff begins anew. */
void workqueue_forget(struct workqueue *q, const char *key);
/* How often the key has failed since. */
unsigned workqueue_failures(const struct workqueue *q, const char *key);

/* The next key that is due, now in process; NULL: none. Borrowed until workqueue_done of it. */
const char *workqueue_get(struct workqueue *q, int64_t now_ms);
/* Every key from workqueue_get must be given back. */
void workqueue_done(struct workqueue *q, const char *key, int64_t now_ms);

/* When workqueue_get may have something: now_ms at once, INT64_MAX not before another call. */
int64_t workqueue_next_ms(const struct workqueue *q, int64_t now_ms);
size_t workqueue_ready(const struct workqueue *q);
size_t workqueue_delayed(const struct workqueue *q);
size_t workqueue_in_process(const struct workqueue *q);

#endif
