/*
 * struct kube_transport: the seam between the Kubernetes client and the network. Production uses
 * libcurl (kube/curl_transport.h), the simulator a fake API server. Everything is asynchronous and
 * single-threaded: submit returns at once, callbacks run later from the event loop, never from
 * inside submit. A request always ends with exactly one on_done, unless it was cancelled.
 *
 * The transport adds host, credentials and user agent; paths are already escaped (kube/path.h).
 */
#ifndef KUBE_TRANSPORT_H
#define KUBE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum kube_method { KUBE_GET, KUBE_POST, KUBE_PUT, KUBE_PATCH, KUBE_DELETE };

struct kube_response {
    /* HTTP status; 0 when no answer came, err then says why (ERR_UNAVAILABLE: certainly not
       processed; ERR_AMBIGUOUS: a write that may have been processed; ERR_LIMIT: body too long). */
    int code;
    const char *body; /* NUL-terminated, borrowed for the callback; "" for streams */
    size_t body_len;
    int64_t retry_after_s; /* from the header; 0 when absent */
    /* Warnings of the server, a line each (kube-apiserver sends `Warning: 299 - "text"`, RFC 7234);
       NULL when there are none. Borrowed for the callback. */
    const char *warnings;
    struct err err;
};

struct kube_request {
    enum kube_method method;
    const char *path;         /* with query; copied */
    const char *content_type; /* NULL: no body */
    const char *accept;       /* NULL: application/json */
    const void *body;         /* copied */
    size_t body_len;
    int64_t deadline_ms; /* relative, > 0: the whole request; for a stream its longest life */
    int64_t idle_ms;     /* streams: longest silence, 0 = none */
    size_t response_max; /* bytes kept of the reply */
    /* Goes before all that waits, and beyond the limits of what may run or wait at once: the Lease
       and a guest's thaw must not stand behind a thousand status writes. For few calls only. */
    bool urgent;
    /* Streams (watches, long lists): bytes of a 2xx reply as they come; a return other than 0 ends
       the stream with ERR_INVALID. NULL: the reply is collected into on_done's body. */
    int (*on_data)(void *arg, const char *bytes, size_t n);
    void (*on_done)(void *arg, const struct kube_response *response);
    void *arg;
};

struct kube_call; /* a request under way; owned by the transport */

struct kube_transport {
    struct kube_call *(*submit)(struct kube_transport *t, const struct kube_request *request);
    /* No callback follows. NULL does nothing. */
    void (*cancel)(struct kube_transport *t, struct kube_call *call);
};

static inline struct kube_call *kube_submit(struct kube_transport *t,
                                            const struct kube_request *request)
{
    return t->submit(t, request);
}
static inline void kube_cancel(struct kube_transport *t, struct kube_call *call)
{
    if (call)
        t->cancel(t, call);
}

#endif
