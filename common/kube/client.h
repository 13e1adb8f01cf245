/*
 * struct kube_client: convenience over a kube_transport. One function per verb, each answered by
 * one callback with the decoded status. It repeats by itself in two cases only: once after a 401,
 * when the token has been read anew, and a GET whose answer did not come, twice, 200 ms and 1 s
 * later, within its deadline. All other repeating is the caller's.
 *
 * Callbacks come from the event loop, never from inside the call. A struct kube_op lives until its
 * callback has returned or kube_op_cancel; nobody needs to keep it.
 */
#ifndef KUBE_CLIENT_H
#define KUBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/timer.h"
#include "kube/object.h"
#include "kube/status.h"
#include "kube/transport.h"

struct kube_client {
    struct kube_transport *transport;
    const struct clock *clock;
    struct timers *timers;
    const char *field_manager; /* for creates, patches and applies; NULL: none */
    int64_t deadline_ms;       /* of each call, its repeats included; 0: KUBE_CALL_DEADLINE_MS */
    bool urgent;               /* all calls are (kube/transport.h) */
    /* The version in which a kind is served that has an older one; NULL: nobody knows better than
       the kind. */
    const char *(*version)(void *arg, const struct kube_kind *kind);
    void *version_arg;
};

static inline const char *kube_client_version(const struct kube_client *c,
                                              const struct kube_kind *kind)
{
    return c->version ? c->version(c->version_arg, kind) : kind->version;
}
/* Admission webhooks may take 30 s of it, the server's own limit is 60 s. */
#define KUBE_CALL_DEADLINE_MS 30000

struct kube_reply {
    const char *body; /* of a 2xx answer, NUL-terminated, "" when empty; borrowed for the call */
    size_t body_len;
    struct kube_status status; /* status.err.kind is ERR_NONE on success */
    const char *refusal;       /* body of any other answer, as it came; "" otherwise; borrowed */
    const char *warnings;      /* of the server, a line each; NULL: none; borrowed */
};
/* For a GET, ERR_AMBIGUOUS has been turned into ERR_UNAVAILABLE: reading changes nothing. */
struct kube_answer {
    void (*done)(void *arg, const struct kube_reply *reply);
    void *arg;
};

/* What a call is about. ns NULL or "": cluster-scoped. sub NULL: the object itself. */
struct kube_ref {
    const struct kube_kind *kind;
    const char *ns, *name, *sub;
};

struct kube_op;

struct kube_op *kube_get(const struct kube_client *c, struct kube_ref ref,
                         struct kube_answer answer);
/* ref.name is not used: the body names the object. dry_run: nothing is stored. */
struct kube_op *kube_create(const struct kube_client *c, struct kube_ref ref, const char *json,
                            bool dry_run, struct kube_answer answer);

/* Server-side apply. An apply creates what is not there, so the body of one that must not carries
   metadata.uid. */
struct kube_op *kube_apply(const struct kube_client *c, struct kube_ref ref, const char *json,
                           bool force, struct kube_answer answer);

/* PUT of an object with its resourceVersion. */
struct kube_op *kube_update(const struct kube_client *c, struct kube_ref ref, const char *json,
                            struct kube_answer answer);
/* Any other call, with the same repeats. request->on_data, on_done and arg are not used. */
struct kube_op *kube_call_any(const struct kube_client *c, const struct kube_request *request,
                              struct kube_answer answer);

/* No callback follows. NULL does nothing. */
void kube_op_cancel(struct kube_op *op);

#endif
