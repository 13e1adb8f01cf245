/*
 * struct net: one process's way to the fake API server: a kube_transport with latency and faults.
 * A request arrives some time after it was sent, its answer some time later; either may be lost.
 * Watches lag, are cut, or go silent for ever (half-open). Everything is drawn from one rng.
 *
 * When the process dies (net_kill) no callback follows any more, but what was on its way may still
 * arrive: a net outlives its worker.
 */
#ifndef NETWORK_NET_H
#define NETWORK_NET_H

#include "apiserver/apiserver.h"

/* All per mille of requests, but for the last. */
struct net_faults {
    unsigned refuse;      /* the connection is refused: not processed, and the client knows */
    unsigned lose_before; /* never arrives */
    unsigned lose_after;  /* takes effect, the answer is lost */
    unsigned error_500, error_429, error_503;
    unsigned error_after; /* 500 etcdserver: request timed out, though it took effect */
    unsigned conflict;    /* 409 of a quota's update under a create */
    unsigned slow;        /* takes seconds */
    unsigned watch_cut, watch_half_open, watch_lag; /* of watches begun */
    int64_t latency_ms_max;
};

struct net_hooks {
    /* A worker has handed a request over. True: it never arrives. */
    bool (*submitted)(void *arg, const char *who, const struct kube_request *request);
    /* A request took effect. */
    void (*handled)(void *arg, const struct api_call *call, const struct api_reply *reply);
    void *arg;
};

struct net {
    struct kube_transport face; /* first: the transport is the net */
    struct apiserver *s;
    char *who;
    const struct net_faults *faults; /* read anew at every request */
    struct net_hooks hooks;
    struct kube_call *calls;
    bool dead;
    int64_t refused_until_ms; /* the server cannot be reached at all until then */
    unsigned long long requests;
};

void net_init(struct net *n, struct apiserver *s, const char *who, const struct net_faults *faults,
              struct net_hooks hooks);
/* No callback follows; what is on its way arrives or not. */
void net_kill(struct net *n);
void net_release(struct net *n);
/* The log has grown: wakes the watches. */
void net_wake(struct net *n);
/* Cuts every watch, as a restarting API server does. */
void net_cut_watches(struct net *n);
/* The watches of a kind go silent, and nobody is told. */
void net_hang_watches(struct net *n, enum api_kind kind);
size_t net_calls(const struct net *n);

#endif
