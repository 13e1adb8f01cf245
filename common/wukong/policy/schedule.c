#include "wukong/policy/schedule.h"

#include <stdio.h>

#include "apimachinery/duration.h"
#include "base/str.h"
#include "calendar/cron.h"
#include "calendar/zone.h"

static void never(struct schedule_verdict *r, const char *what, const char *message)
{
    r->permitted_ms = INT64_MAX;
    r->reason = REASON_OUTSIDE_WINDOW;
    (void)snprintf(r->why, sizeof r->why, "%s: %s", what, message);
}

static void judge_window(const struct wukong_window *w, int64_t now_ms, struct schedule_verdict *r)
{
    CLEANUP_ZONE struct zone *zone = NULL;
    struct cron cron;
    struct err err = {0};
    struct window_state state;
    int64_t duration_ns;
    char text[TIME_TEXT_MAX];
    if (zone_load(str_or(w->time_zone, "UTC"), &zone, &err) < 0) {
        never(r, "window.timeZone", err.message);
        return;
    }
    if (cron_parse(str_or(w->schedule, ""), &cron, &err) < 0) {
        never(r, "window.schedule", err.message);
        return;
    }
    if (!duration_parse(str_or(w->duration, ""), &duration_ns)) {
        never(r, "window.duration", "not a duration");
        return;
    }
    if (!cron_window(&cron, zone, duration_ns / 1000000, now_ms, &state) ||
        (!state.open && !state.until_ms)) {
        never(r, "window.schedule", "never fires");
        return;
    }
    if (state.open) {
        r->closes_ms = state.until_ms;
        return;
    }
    r->permitted_ms = state.until_ms;
    r->reason = REASON_OUTSIDE_WINDOW;
    time_to_str(state.until_ms, false, text);
    (void)snprintf(r->why, sizeof r->why, "outside the window; it opens at %s", text);
}

struct schedule_verdict schedule_judge(const struct wukong_source *s, int64_t now_ms)
{
    struct schedule_verdict r = {0};
    int64_t not_before;
    char text[TIME_TEXT_MAX];
    if (str_to_time_ms(s->not_before, &not_before) && not_before > now_ms) {
        r.permitted_ms = not_before;
        r.reason = REASON_NOT_BEFORE;
        time_to_str(not_before, false, text);
        (void)snprintf(r.why, sizeof r.why, "not before %s", text);
        return r;
    }
    if (s->window.present)
        judge_window(&s->window, now_ms, &r);
    return r;
}
