#include "base/timer.h"

#include <assert.h>

#include "base/mem.h"

#define RUN_MAX 10000

static bool before(const struct timer *a, const struct timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void place_timer(struct timers *ts, size_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->slot = i + 1;
}

static void sift_up(struct timers *ts, size_t i)
{
    struct timer *t = ts->heap[i];
    while (i > 0 && before(t, ts->heap[(i - 1) / 2])) {
        place_timer(ts, i, ts->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place_timer(ts, i, t);
}

static void sift_down(struct timers *ts, size_t i)
{
    struct timer *t = ts->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= ts->count)
            break;
        if (child + 1 < ts->count && before(ts->heap[child + 1], ts->heap[child]))
            child++;
        if (!before(ts->heap[child], t))
            break;
        place_timer(ts, i, ts->heap[child]);
        i = child;
    }
    place_timer(ts, i, t);
}

void timers_release(struct timers *ts)
{
    for (size_t i = 0; i < ts->count; i++)
        ts->heap[i]->slot = 0;
    free(ts->heap);
    *ts = (struct timers){0};
}

void timer_cancel(struct timers *ts, struct timer *t)
{
    if (!t->slot)
        return;
    size_t i = t->slot - 1;
    assert(i < ts->count && ts->heap[i] == t);
    struct timer *last = ts->heap[--ts->count];
    t->slot = 0;
    if (last == t)
        return;
    place_timer(ts, i, last);
    sift_up(ts, i);
    sift_down(ts, last->slot - 1);
}

void timer_arm(struct timers *ts, struct timer *t, int64_t at_ms)
{
    assert(t->fire);
    timer_cancel(ts, t);
    if (ts->count == ts->cap) {
        ts->cap = ts->cap ? ts->cap * 2 : 16;
        ts->heap = xrealloc(ts->heap, ts->cap * sizeof *ts->heap);
    }
    t->at_ms = at_ms;
    t->order = ts->order++;
    place_timer(ts, ts->count++, t);
    sift_up(ts, ts->count - 1);
}

int64_t timers_next(const struct timers *ts)
{
    return ts->count ? ts->heap[0]->at_ms : INT64_MAX;
}

size_t timers_run(struct timers *ts, int64_t now_ms)
{
    size_t fired = 0;
    while (ts->count && ts->heap[0]->at_ms <= now_ms && fired < RUN_MAX) {
        struct timer *t = ts->heap[0];
        timer_cancel(ts, t);
        fired++;
        t->fire(t->arg);
    }
    return fired;
}
