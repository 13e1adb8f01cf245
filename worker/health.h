/*
 * The worker's plain port: /healthz (the loop turns), /readyz (caches filled, not stopping),
 * /metrics. It is served by the same loop as everything else, so an answer proves that it turns.
 */
#ifndef WORKER_HEALTH_H
#define WORKER_HEALTH_H

#include "base/err.h"
#include "loop/loop.h"

struct health;

/* refresh brings metrics that are read off something up to date; called before each exposition. */
WUKONG_CHECK int health_start(struct loop *loop, const char *address, unsigned short port,
                              bool (*ready)(void *arg), void (*refresh)(void *arg), void *arg,
                              struct health **ret, struct err *err);
/* NULL does nothing. */
void health_stop(struct health *h);

#endif
