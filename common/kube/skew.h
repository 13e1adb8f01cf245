/*
 * struct clock_skew: by how much this machine's clock is ahead of the API server's, learnt from the
 * Date of its answers. Other clocks date what we compare with ours: creationTimestamps are the API
 * server's, and the stamp of a webhook is good within a minute of one.
 *
 * Date is in whole seconds and is written at an unknown moment between request and answer: each
 * answer gives a range. Ranges are cut with one another while they meet; one that does not meet the
 * rest takes their place (somebody has set a clock, or another API server answers).
 */
#ifndef KUBE_SKEW_H
#define KUBE_SKEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

/* From here on it is told in the log, at most once in ten minutes: a sixth of what a stamp bears.
 */
#define SKEW_TELL_MS 10000
#define SKEW_LOG_MS 600000

/* Zero-initialised: nothing is known. */
struct clock_skew {
    bool known;
    int64_t low_ms, high_ms;
    struct log_limit log;
};

/* sent_ms, heard_ms: by our wall clock, when the request went out and the head of its answer came;
   date_ms: its Date, as Unix time. */
void skew_learn(struct clock_skew *s, int64_t sent_ms, int64_t heard_ms, int64_t date_ms);
/* The middle of what is known; 0 when it may be none at all, when nothing is known, and of NULL. */
int64_t skew_ms(const struct clock_skew *s);
void skew_tell(struct clock_skew *s, int64_t mono_ms);

#endif
