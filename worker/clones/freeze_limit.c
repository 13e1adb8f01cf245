#include "clones/freeze_limit.h"

/* A round is as many freezes, of each that may be frozen this many. */
#define ROUND 2
#define ROUND_LEAST 4
/* The share of the newest in the mean, in quarters. */
#define MEAN_KEEPS 3
#define RESTS_MAX 32

static unsigned found(const struct freeze_limit *l)
{
    return l->found ? l->found : 1;
}

unsigned freeze_limit_now(const struct freeze_limit *l, unsigned max)
{
    if (!max || l->since >= FREEZE_LIMIT_ALONE_EVERY || !l->alone_ms)
        return max ? 1 : 0;
    return found(l) < max ? found(l) : max;
}

static void end_round(struct freeze_limit *l, unsigned max)
{
    int64_t percent = l->sum_ms / l->count * 100 / l->alone_ms;
    unsigned now = found(l);
    l->sum_ms = 0;
    l->count = 0;
    l->calm++;
    if (percent >= FREEZE_LIMIT_CROWDED && now > 1) {
        l->found = now - (now + 3) / 4;
        l->calm = 0;
        l->rests = l->rests < RESTS_MAX ? 2 * l->rests + 1 : RESTS_MAX;
    } else if (percent <= FREEZE_LIMIT_FREE && l->calm > l->rests) {
        l->found = now < max ? now + 1 : max;
        l->calm = l->rests;
    }
}

void freeze_limit_note(struct freeze_limit *l, int64_t ms, unsigned beside, unsigned max)
{
    if (ms <= 0 || max <= 1)
        return;
    l->since = beside ? l->since + 1 : 0;
    if (!beside)
        l->alone_ms = l->alone_ms ? (MEAN_KEEPS * l->alone_ms + ms) / (MEAN_KEEPS + 1) : ms;
    /* What was alone where others might have been tells nothing of a crowd. */
    if (!l->alone_ms || (!beside && found(l) > 1))
        return;
    l->sum_ms += ms;
    l->count++;
    if (l->count >= ROUND_LEAST && l->count >= ROUND * found(l))
        end_round(l, max);
}
