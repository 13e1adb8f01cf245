/*
 * Cron schedules as CronJob reads them: robfig/cron v3 ParseStandard, five fields or a descriptor
 * ("@daily", "@every 1h"), and the same next times, daylight saving included. TZ= and CRON_TZ= are
 * refused, as the CronJob API refuses them: the zone has a field of its own.
 */
#ifndef CALENDAR_CRON_H
#define CALENDAR_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "calendar/zone.h"

#define CRON_TEXT_MAX 1024

struct cron {
    uint64_t minute, hour, dom, month, dow; /* bit sets; bit 63: a star was written */
    int64_t every_s;                        /* > 0: "@every", the sets are unused */
};

/* ERR_INVALID says which field is wrong and what it may hold. */
WUKONG_CHECK int cron_parse(const char *text, struct cron *ret, struct err *err);
/* The first activation after the time; false when there is none within five years ("0 0 30 2 *").
   zone NULL: UTC. */
bool cron_next(const struct cron *c, const struct zone *zone, int64_t after_s, int64_t *ret_s);

/* A recurring window: open from each activation for duration_ms. */
struct window_state {
    bool open;
    int64_t until_ms; /* open: when it closes; shut: when it opens next (0: never) */
};
/* False when the schedule never fires. */
bool cron_window(const struct cron *c, const struct zone *zone, int64_t duration_ms, int64_t now_ms,
                 struct window_state *ret);

#endif
