/*
 * struct freeze_limit: how many guests are frozen at once, within the configured most. It is found
 * by what a freeze takes alone and beside others, as TCP Vegas finds its window by round trips:
 * where it takes no longer beside others, one more may be frozen; where it takes half as long
 * again, the snapshots of all wait for the same controller or storage, and a quarter fewer may. The
 * first is alone, and now and then one is again, so that what is compared is of now.
 *
 * Pure: no clock, no network.
 */
#ifndef CLONES_FREEZE_LIMIT_H
#define CLONES_FREEZE_LIMIT_H

#include <stdint.h>

/* In percent of what a freeze takes alone. */
#define FREEZE_LIMIT_FREE 120
#define FREEZE_LIMIT_CROWDED 150
/* After so many beside others one is alone again. */
#define FREEZE_LIMIT_ALONE_EVERY 64

struct freeze_limit {
    unsigned found;   /* 0: nothing yet, which is 1 */
    int64_t alone_ms; /* the mean of the last ones; 0: unknown */
    int64_t sum_ms;   /* of this round, beside others or, while one may be frozen, alone, */
    unsigned count;   /* so many */
    unsigned since;   /* freezes since one was alone */
    unsigned rests,
        calm; /* after a crowd so many rounds pass until one more is tried; rounds since */
};

/* How many may be frozen now; max: as configured, 0: no limit, which is kept. */
unsigned freeze_limit_now(const struct freeze_limit *l, unsigned max);
/* A guest was frozen for so long until all of its disks were cut, beside so many others at most. */
void freeze_limit_note(struct freeze_limit *l, int64_t ms, unsigned beside, unsigned max);

#endif
