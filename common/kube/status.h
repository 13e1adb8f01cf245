/*
 * struct kube_status: what a reply means, with the metav1.Status of a refusal decoded. Everything
 * is in fixed buffers: nothing to free; overlong text is cut. Pure.
 *
 * The codes alone do not tell what to do: 409 is AlreadyExists or Conflict, 403 is RBAC, quota, a
 * policy or a namespace that is going away, 504 may be a resource version the server has not
 * reached yet. The reasons are those of apimachinery pkg/apis/meta/v1/types.go.
 */
#ifndef KUBE_STATUS_H
#define KUBE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/err.h"
#include "kube/transport.h"

#define KUBE_CAUSES_MAX 8
/* A server, or what answers in its place, that names hours is not believed: a write would wait for
   as long, a guest's thaw too. */
#define KUBE_RETRY_AFTER_S_MAX 300

struct kube_cause {
    char reason[64], field[128], message[256];
};

struct kube_status {
    int code;        /* HTTP status; 0: no answer came */
    struct err err;  /* ERR_NONE for 2xx; else its message is fit for users and logs */
    char reason[64]; /* "AlreadyExists"; "" when the body was no Status */
    char message[1024];
    char kind[64], name[254]; /* details: what the refusal is about */
    int64_t retry_after_s; /* of the body or the header, the longer; 0: none; at most the limit */
    struct kube_cause causes[KUBE_CAUSES_MAX];
    size_t cause_count;
    bool quota;                 /* 403 because a ResourceQuota is exceeded */
    bool namespace_terminating; /* 403 because the namespace is being deleted */
    bool too_large_rv;          /* ERR_EXPIRED: the server has not reached that version yet */
    bool unserved; /* 404 for the path itself: no such API, rather than no such object */
};

void kube_status_decode(const struct kube_response *response, struct kube_status *ret);
/* The object of a watch's ERROR event. A tree that is no Status gives ERR_INTERNAL. */
void kube_status_from_tree(const cJSON *tree, struct kube_status *ret);
/* The same of a refusal that somebody passes on as text alone: CDI in a condition, a provisioner in
   an Event. */
bool kube_says_quota(const char *message);

#endif
