/*
 * The real kube_transport: libcurl inside the event loop. HTTP/1.1 with keep-alive (watches then
 * have a connection of their own and cannot block one another), TLS 1.2 or better, a deadline on
 * everything, bodies bounded by their request, no redirects, no cookies, no silent resending.
 *
 * No answer came: a read, and a write of which the server cannot have had the whole body, ends with
 * ERR_UNAVAILABLE; any other write with ERR_AMBIGUOUS. libcurl by itself resends a request when a
 * reused connection dies under it (lib/transfer.c Curl_retry_request); for writes that is
 * prevented.
 *
 * Streams (lists, watches) that come at once open one connection after the other, some milliseconds
 * apart, and share those that become free meanwhile; nothing else ever waits for that.
 *
 * A 401 makes the token file be read again before the next request; the caller decides whether to
 * repeat (client.h does, once). CA files are read again after 60 s at the latest (libcurl caches
 * them for 24 h otherwise), client certificate files by every new connection.
 */
#ifndef KUBE_CURL_TRANSPORT_H
#define KUBE_CURL_TRANSPORT_H

#include "base/err.h"
#include "kube/config.h"
#include "kube/skew.h"
#include "kube/token.h"
#include "kube/transport.h"
#include "loop/loop.h"

/* Requests under way at once, watches included; what is beyond waits in order, its deadline
   running. A worker watches 15 kinds. */
#define CURL_TRANSPORT_CALLS 64
/* Waiting requests; beyond, submit ends them with ERR_LIMIT. */
#define CURL_TRANSPORT_WAITING 20000
/* Urgent requests that may run beyond the limit. */
#define CURL_TRANSPORT_URGENT 16
/* kubelet and client-go dial with 30 s; a connection in one cluster takes milliseconds. */
#define CURL_TRANSPORT_CONNECT_MS 10000

struct curl_transport;

struct curl_transport_options {
    struct loop *loop;                /* borrowed for the life of the transport */
    const struct kube_config *config; /* copied */
    const char *user_agent;           /* NULL: "wukong/<version>" */
    /* In place of the configuration's token; current NULL: that one. */
    struct kube_token_source token_source;
    unsigned calls_max; /* 0: CURL_TRANSPORT_CALLS */
    /* Sent with every request, "Name: value" each, ended by NULL (impersonation); NULL: none. Lives
       as long as the transport. Whoever fills it keeps line ends out. */
    const char *const *headers;
    /* Learns from each answer that took less than a minute; lives as long as the transport. May be
     * NULL. */
    struct clock_skew *skew;
    /* Called after each request, before its on_done; code 0: no answer. May be NULL. */
    void (*observe)(void *arg, enum kube_method method, const char *path, int code,
                    int64_t took_ms);
    void *arg;
};

/* ERR_INVALID when the configuration cannot be used, such as an unreadable certificate. */
WUKONG_CHECK int curl_transport_new(const struct curl_transport_options *options,
                                    struct curl_transport **ret, struct err *err);
/* Cancels everything under way (no callback follows). NULL does nothing. Not from a callback. */
void curl_transport_free(struct curl_transport *t);
/* Borrowed; lives as long as t. */
struct kube_transport *curl_transport_face(struct curl_transport *t);
/* Requests under way or waiting. */
unsigned curl_transport_active(const struct curl_transport *t);

#endif
