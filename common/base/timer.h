/*
 * A heap of timers on the monotonic clock. It runs nothing by itself: the event loop (or the
 * simulator) asks for the next deadline and calls timers_run when it has come. A struct timer lives
 * in its owner; arming an armed timer moves it; cancelling an idle one does nothing. Timers of
 * equal deadline fire in the order in which they were armed.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    int64_t at_ms;
    uint64_t order;
    size_t slot; /* 1-based place in the heap; 0 = idle */
    void (*fire)(void *arg);
    void *arg;
};

struct timers {
    struct timer **heap;
    size_t count, cap;
    uint64_t order;
};

void timers_release(struct timers *ts);
static inline void timer_init(struct timer *t, void (*fire)(void *arg), void *arg)
{
    *t = (struct timer){.fire = fire, .arg = arg};
}
void timer_arm(struct timers *ts, struct timer *t, int64_t at_ms);
void timer_cancel(struct timers *ts, struct timer *t);
static inline bool timer_armed(const struct timer *t)
{
    return t->slot != 0;
}
/* INT64_MAX when nothing is armed. */
int64_t timers_next(const struct timers *ts);
/* Fires everything due at now_ms, including what the callbacks arm for now or earlier, at most
   once each and never more than 10,000 in a run. Returns the number fired. */
size_t timers_run(struct timers *ts, int64_t now_ms);

#endif
