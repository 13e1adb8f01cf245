#include "webhook/drain.h"

/* How often the number of busy connections is looked at while leaving. */
#define LOOK_MS 50

static void lookup(void *arg)
{
    struct drain *d = arg;
    int64_t gone_ms = clock_mono(d->clock) - d->began_ms;
    struct server_counts counts = server_counts(d->server);
    if (gone_ms >= d->delay_ms && !d->closed) {
        d->closed = true;
        server_stop_listening(d->server);
    }
    bool idle = counts.busy == 0 && counts.waiting == 0;
    if (d->closed && (idle || gone_ms >= d->delay_ms + d->patience_ms)) {
        d->done(d->arg);
        return;
    }
    timer_arm(d->timers, &d->timer, clock_mono(d->clock) + LOOK_MS);
}

void drain_begin(struct drain *d)
{
    if (d->begun) {
        d->done(d->arg);
        return;
    }
    d->begun = true;
    d->began_ms = clock_mono(d->clock);
    server_drain(d->server);
    timer_init(&d->timer, lookup, d);
    timer_arm(d->timers, &d->timer, d->began_ms);
}
