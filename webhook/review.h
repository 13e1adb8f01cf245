/*
 * AdmissionReview, both ways: struct review is a request read from its bytes, review_write_answer
 * makes the bytes of the answer, such that kube-apiserver's own check passes (kubernetes/apiserver
 * pkg/admission/plugin/webhook/request/admissionreview.go, VerifyAdmissionResponse). Pure.
 */
#ifndef WEBHOOK_REVIEW_H
#define WEBHOOK_REVIEW_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "json/json.h"
#include "wukong/issues.h"

enum review_operation { REVIEW_CREATE, REVIEW_UPDATE, REVIEW_DELETE, REVIEW_CONNECT, REVIEW_OPS };
extern const char *const review_operation_names[REVIEW_OPS];

/* Everything is borrowed from the tree. */
struct review {
    cJSON *tree;
    const char *uid, *name, *ns, *subresource, *group, *version, *resource;
    enum review_operation operation;
    bool dry_run;
    const char *user;
    const cJSON *user_info; /* never NULL */
    cJSON *object;          /* may be changed by the judge; NULL: none */
    const cJSON *old_object;
};
void review_release(struct review *r);
#define CLEANUP_REVIEW __attribute__((cleanup(review_release)))

/* ERR_INVALID for what is no admission.k8s.io/v1 request, to be answered with 400; ERR_LIMIT for
   what has too many values, or nests them too deep, to be read at all. */
WUKONG_CHECK int review_read(const char *bytes, size_t len, struct review *ret, struct err *err);
/* request.uid of a review that was too large to be read, without reading the rest, so that it can
   be answered; NULL when there is none. Free it. */
char *review_uid(const char *bytes, size_t len);

/* kube-apiserver pkg/endpoints/filters/warning.go: in total, in runes. */
#define REVIEW_WARNINGS_MAX 4096
#define REVIEW_ANNOTATION_MAX 1024

struct review_answer {
    bool allowed;
    int code;                    /* when not allowed: 422, 403, 503 */
    const char *reason;          /* metav1.StatusReason; NULL when allowed */
    const char *message;         /* NULL when allowed */
    const struct issues *issues; /* 422: its errors are the causes; NULL otherwise */
    const char *kind, *name;     /* in details */
    const char *const *warnings;
    size_t warning_count;
    const char *patch;                        /* JSON patch as text; NULL: none */
    const char *decision, *source, *policies; /* audit annotations; NULL: none */
};
/* uid: of the request. */
void review_write_answer(const char *uid, const struct review_answer *a, struct buf *out);

#endif
