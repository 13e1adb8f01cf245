/*
 * Leaving without a failed call. On SIGTERM the process is not ready any more and every answer says
 * `Connection: close`, but new connections are still taken for delay_ms: kube-proxy and API servers
 * learn of the departure only by and by. Then the port is closed, what is under way is finished,
 * and the process ends, at the latest after patience_ms more.
 */
#ifndef WEBHOOK_DRAIN_H
#define WEBHOOK_DRAIN_H

#include <stdbool.h>

#include "base/timer.h"
#include "http/server.h"

struct drain {
    struct server *server;
    const struct clock *clock;
    struct timers *timers;
    int64_t delay_ms, patience_ms;
    void (*done)(void *arg);
    void *arg;
    /* private */
    struct timer timer;
    int64_t began_ms;
    bool begun, closed;
};

/* The public members are filled by the caller before. A second call ends the waiting at once. */
void drain_begin(struct drain *d);

#endif
