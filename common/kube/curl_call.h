/*
 * One request of the curl transport, and the transport as its own files see it: curl_transport.c
 * queues, starts and ends requests, curl_request.c tells libcurl what to send and takes what comes,
 * curl_head.c reads the head of an answer. Nobody else includes this.
 */
#ifndef KUBE_CURL_CALL_H
#define KUBE_CURL_CALL_H

#include "base/buf.h"
#include "kube/curl_transport.h"
#include "kube/token.h"

enum call_state { CALL_WAITING, CALL_RUNNING, CALL_ENDED };

struct kube_call {
    struct loop_transfer transfer; /* first: libcurl's private pointer */
    struct curl_transport *owner;
    struct kube_call *before, *after; /* in the list of its state */
    enum call_state state;
    bool cancelled;
    struct kube_request request; /* path and body owned, the types static or owned */
    char *path, *content_type, *accept;
    char *body;
    size_t body_sent;
    CURL *easy;
    struct curl_slist *headers;
    struct buf reply;
    bool too_long, refused;
    struct timer timer; /* the earlier of deadline and idle */
    int64_t began_ms, heard_ms;
    struct err early; /* ended before it was sent */
    char error[CURL_ERROR_SIZE];
};

struct kube_call_list {
    struct kube_call *first, *last;
};

struct curl_transport {
    struct kube_transport face; /* first: submit and cancel get a pointer to it */
    struct loop *loop;
    struct curl_transport_options o;
    struct kube_token token;
    char *server;                  /* as shown to users */
    char *base;                    /* as asked for: under the TLS server name, if there is one */
    struct curl_slist *connect_to; /* where that name leads */
    char *user_agent, *proxy;
    char *ca_pem, *ca_file, *cert_pem, *cert_file, *key_pem, *key_file;
    bool insecure, loopback;
    struct kube_call_list waiting, running, ended;
    unsigned waiting_count, running_count;
    unsigned open_count; /* connections there should be: the most requests under way at once */
    int64_t opened_ms, ended_ms; /* when the last one was opened; when a request last ended */
    struct timer pump; /* starts what waits, ends what has ended, outside libcurl's callbacks */
};

static inline bool kube_call_is_write(const struct kube_call *c)
{
    return c->request.method != KUBE_GET;
}

/* False when this libcurl cannot do what we rely on. */
bool curl_request_set_peer(const struct curl_transport *t, CURL *easy);
/* Everything that makes the handle this request. */
bool curl_request_set(struct kube_call *c, CURL *easy);

#endif
