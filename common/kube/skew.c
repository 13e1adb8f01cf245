#include "kube/skew.h"

#include <stdlib.h>

#define DATE_UNIT_MS 1000

void skew_learn(struct clock_skew *s, int64_t sent_ms, int64_t heard_ms, int64_t date_ms)
{
    int64_t low = sent_ms - date_ms - (DATE_UNIT_MS - 1), high = heard_ms - date_ms;
    if (high < low)
        return; /* our clock was set back meanwhile */
    bool meets = s->known && low <= s->high_ms && high >= s->low_ms;
    s->low_ms = meets && s->low_ms > low ? s->low_ms : low;
    s->high_ms = meets && s->high_ms < high ? s->high_ms : high;
    s->known = true;
}

int64_t skew_ms(const struct clock_skew *s)
{
    if (!s || !s->known || (s->low_ms <= 0 && s->high_ms >= 0))
        return 0;
    return s->low_ms + (s->high_ms - s->low_ms) / 2;
}

void skew_tell(struct clock_skew *s, int64_t mono_ms)
{
    int64_t ms = skew_ms(s);
    if (llabs(ms) >= SKEW_TELL_MS && log_limited(&s->log, mono_ms, SKEW_LOG_MS))
        log_event(LOG_WARN, "this machine's clock differs from the API server's",
                  LOG_I("ahead_ms", ms));
}
