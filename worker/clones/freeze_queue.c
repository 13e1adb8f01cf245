/* Clones that wait until they may freeze their guest. */
#include "clones/freeze_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The share of the newest in the mean, in quarters. */
#define MEAN_KEEPS 3

void freeze_queue_release(struct freeze_queue *q)
{
    assert(!q->count);
    free(q->items);
    *q = (struct freeze_queue){0};
}

size_t freeze_queue_ahead(const struct freeze_queue *q, const struct freeze_waiter *w)
{
    size_t low = 0, high = q->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (usage_compare(q->items[middle]->whose, w->whose) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool freeze_queue_must_wait(const struct freeze_queue *q, struct freeze_waiter *w, size_t free,
                            int64_t now_ms)
{
    size_t ahead = now_ms < w->lost_until_ms ? q->count : freeze_queue_ahead(q, w);
    bool waits = ahead >= free;
    if (waits)
        w->turn_ms = 0;
    else if (!w->turn_ms)
        w->turn_ms = now_ms;
    return waits;
}

static void take_place(struct freeze_queue *q, struct freeze_waiter *w, int64_t now_ms)
{
    size_t at = freeze_queue_ahead(q, w);
    if (q->count == q->room) {
        q->room = q->room ? 2 * q->room : 16;
        q->items = xrealloc(q->items, q->room * sizeof(struct freeze_waiter *));
    }
    memmove(q->items + at + 1, q->items + at, (q->count - at) * sizeof(struct freeze_waiter *));
    q->items[at] = w;
    q->count++;
    w->waits = true;
    w->since_ms = now_ms;
}

void freeze_queue_leave(struct freeze_queue *q, struct freeze_waiter *w)
{
    if (!w->waits)
        return;
    size_t at = freeze_queue_ahead(q, w);
    assert(at < q->count && q->items[at] == w);
    q->count--;
    memmove(q->items + at, q->items + at + 1, (q->count - at) * sizeof(struct freeze_waiter *));
    w->waits = false;
    w->turn_ms = 0;
}

void freeze_queue_settle(struct freeze_queue *q, struct freeze_waiter *w, enum freeze_wish wish,
                         int64_t now_ms)
{
    bool lost = w->waits && w->turn_ms && now_ms >= w->turn_ms + FREEZE_TURN_GRACE_MS;
    if (wish == FREEZE_QUEUED && !w->waits && now_ms >= w->lost_until_ms)
        take_place(q, w, now_ms);
    else if (wish == FREEZE_PREPARES && lost)
        w->lost_until_ms = now_ms + FREEZE_TURN_LOST_MS;
    else if (wish != FREEZE_NO_WISH)
        return;
    if (wish != FREEZE_QUEUED)
        freeze_queue_leave(q, w);
}

int64_t freeze_queue_waited_ms(const struct freeze_waiter *w, int64_t now_ms)
{
    return w->waits ? now_ms - w->since_ms : 0;
}

void freeze_queue_note_slot(struct freeze_queue *q, int64_t ms)
{
    if (ms <= 0)
        return;
    q->slot_ms = q->slot_ms ? (MEAN_KEEPS * q->slot_ms + ms) / (MEAN_KEEPS + 1) : ms;
}

int64_t freeze_queue_expected_ms(const struct freeze_queue *q, size_t ahead, unsigned max)
{
    return max ? q->slot_ms * (int64_t)(ahead + 1) / (int64_t)max : 0;
}
