/*
 * struct workqueue: which keys are to be looked at, and when. Behaviour is client-go's
 * (util/workqueue): a key waits at most once; one that is added while it is being processed comes
 * once more when it is done; a later time for a key that waits for an earlier one changes nothing,
 * and a key put in line loses its later time: whoever processes it says again when to come back. On
 * top: a heap of delays, and a cap on keys in process. What waits after a failure is the executor's
 * to say. Pure: no clock of its own, no locks.
 *
 * Keys are strings; the queue copies them. Not bounded in number: there are never more keys than
 * objects in the caches that feed it.
 */
#ifndef KUBE_WORKQUEUE_H
#define KUBE_WORKQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct workqueue;

struct workqueue_options {
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

/* The next key that is due, now in process; NULL: none. Borrowed until workqueue_done of it. */
const char *workqueue_get(struct workqueue *q, int64_t now_ms);
/* Every key from workqueue_get must be given back. */
void workqueue_done(struct workqueue *q, const char *key, int64_t now_ms);

/* When workqueue_get may have something: now_ms at once, INT64_MAX not before another call. */
int64_t workqueue_next_ms(const struct workqueue *q, int64_t now_ms);
size_t workqueue_ready(const struct workqueue *q);

#endif
