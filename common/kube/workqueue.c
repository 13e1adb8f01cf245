#include "kube/workqueue.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/timer.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <uthash.h>

/* A key lives while it waits or is in process. */
struct item {
    struct workqueue *queue;
    struct item *next; /* in the FIFO */
    struct timer delay;
    bool queued, processing, dirty; /* dirty: added while processing */
    bool hurry;
    UT_hash_handle hh;
    char key[];
};

struct workqueue {
    struct workqueue_options o;
    struct item *items, *first, *last;
    struct timers delays;
    size_t ready, processing;
};

static struct item *find_item(const struct workqueue *q, const char *key)
{
    struct item *i = NULL;
    HASH_FIND_STR(q->items, key, i);
    return i;
}

static void put_in_line(void *arg);

static struct item *find_or_add(struct workqueue *q, const char *key)
{
    struct item *i = find_item(q, key);
    if (i)
        return i;
    size_t n = strlen(key);
    i = xcalloc(1, sizeof *i + n + 1);
    memcpy(i->key, key, n);
    i->queue = q;
    timer_init(&i->delay, put_in_line, i);
    HASH_ADD_KEYPTR(hh, q->items, i->key, n, i);
    return i;
}

static void drop_item(struct workqueue *q, struct item *i)
{
    timer_cancel(&q->delays, &i->delay);
    HASH_DEL(q->items, i);
    free(i);
}
#pragma GCC diagnostic pop

static void drop_if_idle(struct workqueue *q, struct item *i)
{
    if (!i->queued && !i->processing && !timer_armed(&i->delay))
        drop_item(q, i);
}

/* Those in a hurry come first, in the order in which they were added. */
static void link_item(struct workqueue *q, struct item *i)
{
    struct item **at = &q->first;
    if (!i->hurry && q->last)
        at = &q->last->next;
    while (i->hurry && *at && (*at)->hurry)
        at = &(*at)->next;
    i->next = *at;
    *at = i;
    if (!i->next)
        q->last = i;
}

static void put_in_line(void *arg)
{
    struct item *i = arg;
    struct workqueue *q = i->queue;
    timer_cancel(&q->delays, &i->delay);
    if (i->processing) {
        i->dirty = true;
        return;
    }
    if (i->queued)
        return;
    i->queued = true;
    q->ready++;
    link_item(q, i);
}

static void unlink_item(struct workqueue *q, struct item *i)
{
    struct item **at = &q->first, *before = NULL;
    while (*at != i) {
        before = *at;
        at = &(*at)->next;
    }
    *at = i->next;
    if (q->last == i)
        q->last = before;
}

void workqueue_hurry(struct workqueue *q, const char *key, bool hurry)
{
    struct item *i = find_item(q, key);
    if (!i || i->hurry == hurry)
        return;
    if (i->queued)
        unlink_item(q, i);
    i->hurry = hurry;
    if (i->queued)
        link_item(q, i);
}

struct workqueue *workqueue_new(const struct workqueue_options *options)
{
    struct workqueue *q = xcalloc(1, sizeof *q);
    q->o = *options;
    return q;
}

void workqueue_free(struct workqueue *q)
{
    if (!q)
        return;
    while (q->items)
        drop_item(q, q->items);
    timers_release(&q->delays);
    free(q);
}

void workqueue_add(struct workqueue *q, const char *key, int64_t now_ms)
{
    (void)now_ms;
    put_in_line(find_or_add(q, key));
}

void workqueue_add_at(struct workqueue *q, const char *key, int64_t at_ms, int64_t now_ms)
{
    struct item *i = find_or_add(q, key);
    if (at_ms <= now_ms)
        put_in_line(i);
    else if (!i->queued && (!timer_armed(&i->delay) || at_ms < i->delay.at_ms))
        timer_arm(&q->delays, &i->delay, at_ms);
}

static bool full(const struct workqueue *q)
{
    return q->o.in_process_max && q->processing >= q->o.in_process_max;
}

const char *workqueue_get(struct workqueue *q, int64_t now_ms)
{
    /* Bounded by timers_run; what is left comes with the next call. */
    (void)timers_run(&q->delays, now_ms);
    struct item *i = q->first;
    if (!i || full(q))
        return NULL;
    q->first = i->next;
    if (!q->first)
        q->last = NULL;
    i->next = NULL;
    i->queued = false;
    i->processing = true;
    q->ready--;
    q->processing++;
    return i->key;
}

void workqueue_done(struct workqueue *q, const char *key, int64_t now_ms)
{
    (void)now_ms;
    struct item *i = find_item(q, key);
    assert(i && i->processing);
    i->processing = false;
    q->processing--;
    if (i->dirty) {
        i->dirty = false;
        put_in_line(i);
    }
    drop_if_idle(q, i);
}

int64_t workqueue_next_ms(const struct workqueue *q, int64_t now_ms)
{
    if (full(q))
        return INT64_MAX;
    if (q->first)
        return now_ms;
    int64_t next = timers_next(&q->delays);
    return next < now_ms ? now_ms : next;
}

size_t workqueue_ready(const struct workqueue *q)
{
    return q->ready;
}
