/*
 * When a clone may take its snapshot: notBefore and the window of its source. Pure but for reading
 * the time zone's file. All times are Unix milliseconds.
 */
#ifndef POLICY_SCHEDULE_H
#define POLICY_SCHEDULE_H

#include "wukong/api/reasons.h"
#include "wukong/api/spec.h"

struct schedule_verdict {
    int64_t permitted_ms; /* 0: now; else not before. INT64_MAX: never, why says it */
    enum reason reason;
    int64_t closes_ms; /* permitted now, by a window that is open until then; 0: no end */
    char why[640];
};

struct schedule_verdict schedule_judge(const struct wukong_source *s, int64_t now_ms);

#endif
