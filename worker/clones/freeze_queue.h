/*
 * struct freeze_queue: the clones that wait for nothing but a free slot to freeze their guest. The
 * oldest Wukong goes first, so none starves however many come later. A new leader finds the same
 * order, because age is stored in the objects.
 *
 * A clone leaves the queue when it freezes its guest or when something else holds it up. A clone
 * whose turn has come and that is not ready within FREEZE_TURN_GRACE_MS loses its turn, so that no
 * slot waits for a clone that cannot use it.
 *
 * Pure: no clock, no network. All times are monotonic milliseconds.
 */
#ifndef CLONES_FREEZE_QUEUE_H
#define CLONES_FREEZE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clones/usage.h"

#define FREEZE_TURN_GRACE_MS 5000
#define FREEZE_TURN_LOST_MS 30000

/* What one reconcile of a clone has found out. */
enum freeze_wish {
    FREEZE_NO_WISH,  /* something else holds it up, or it has no guest to freeze, or freezes it */
    FREEZE_QUEUED,   /* it waits only because the guests of others are frozen */
    FREEZE_PREPARES, /* it reads what must be known beforehand */
};

/* One clone's part, embedded in what its owner keeps of it. */
struct freeze_waiter {
    const struct clone_usage *whose; /* its age */
    bool waits;                      /* it stands in the queue, */
    int64_t since_ms;                /* since then; */
    int64_t turn_ms;                 /* its turn has come then; 0: not yet */
    int64_t lost_until_ms;           /* it has lost its turn, and takes no place before */
};

struct freeze_queue {
    struct freeze_waiter **items; /* the oldest first */
    size_t count, room;
    int64_t slot_ms; /* for how long a guest was frozen, in the mean of the last ones; 0: unknown */
};

void freeze_queue_release(struct freeze_queue *q);
/* How many clones go before this one, whether it is in the queue or not. */
size_t freeze_queue_ahead(const struct freeze_queue *q, const struct freeze_waiter *w);
/* free: slots that nobody holds. False: it is this one's turn. */
bool freeze_queue_must_wait(const struct freeze_queue *q, struct freeze_waiter *w, size_t free,
                            int64_t now_ms);
/* Takes a place, keeps it, or leaves it. */
void freeze_queue_settle(struct freeze_queue *q, struct freeze_waiter *w, enum freeze_wish wish,
                         int64_t now_ms);
void freeze_queue_leave(struct freeze_queue *q, struct freeze_waiter *w);
/* For how long it has been in the queue; 0: it is not in it. */
int64_t freeze_queue_waited_ms(const struct freeze_waiter *w, int64_t now_ms);
/* A guest was frozen for so long. */
void freeze_queue_note_slot(struct freeze_queue *q, int64_t ms);
/* When so many go before, and max guests at a time; 0: not known. */
int64_t freeze_queue_expected_ms(const struct freeze_queue *q, size_t ahead, unsigned max);

#endif
