/*
 * The worker's plain port: /healthz (the loop turns), /readyz (caches filled and fresh, not
 * stopping), /metrics. It is served by the same loop as everything else, so an answer proves that
 * it turns. Nothing else is asked of /healthz: a restart brings no API server back.
 */
#ifndef CONTROLLER_HEALTH_H
#define CONTROLLER_HEALTH_H

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"

struct health;

struct health_options {
    struct loop *loop;
    const char *address;
    unsigned short port;
    bool (*ready)(void *arg, struct buf *why_not); /* says in words why it is not */
    /* Brings metrics that are read off something up to date; called before each exposition. */
    void (*refresh)(void *arg);
    /* For /debug/clones, whole or ?name=namespace/name; NULL: it is not served. False: there is
       none of that name. */
    bool (*dump)(void *arg, const char *name, struct buf *out);
    void *arg;
};

WUKONG_CHECK int health_start(const struct health_options *options, struct health **ret,
                              struct err *err);
/* NULL does nothing. */
void health_stop(struct health *h);

#endif
