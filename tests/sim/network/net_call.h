/* What net.c and net_watch.c share. */
#ifndef NETWORK_NET_CALL_H
#define NETWORK_NET_CALL_H

#include "network/net.h"

enum call_stage { CALL_SENT, CALL_ANSWERED, CALL_WATCHING };
enum call_fate {
    FATE_FINE,
    FATE_REFUSED,
    FATE_LOST_BEFORE,
    FATE_LOST_AFTER,
    FATE_ERROR, /* the reply is made beforehand */
    FATE_ERROR_AFTER,
};

struct kube_call {
    struct net *net;
    struct kube_call *prev, *next;
    enum kube_method method;
    char *path, *content_type, *accept, *body;
    size_t body_len, response_max;
    int64_t idle_ms;
    int (*on_data)(void *arg, const char *bytes, size_t n);
    void (*on_done)(void *arg, const struct kube_response *response);
    void *arg;
    bool gone; /* cancelled, or its process is dead: no callback */
    bool busy; /* within a callback */
    enum call_stage stage;
    enum call_fate fate;
    struct timer step, deadline, idle;
    struct api_reply reply;
    /* watches */
    struct api_target target;
    uint64_t position;
    int64_t lag_ms, end_ms, cut_ms, silent_ms, bookmark_ms;
    bool bookmarks, filtered;
};

/* Ends the call: callback and free. */
void call_finish(struct kube_call *c, int code, enum err_kind kind, const char *why);
/* Hands bytes over in random pieces. False: the call is over (finished and freed). */
bool call_feed(struct kube_call *c, const char *bytes, size_t n);
void call_unlink(struct kube_call *c);
/* The request has arrived and is a watch. */
void watch_begin(struct kube_call *c);
void watch_step(struct kube_call *c);
void watch_wake(struct kube_call *c);

static inline int64_t call_now(const struct kube_call *c)
{
    return clock_mono(c->net->s->clock);
}

#endif
