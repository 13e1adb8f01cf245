/*
 * AdmissionReview, both ways: struct admission_review is a request read from its bytes,
 * admission_review_write_answer makes the bytes of the answer, such that kube-apiserver's own check
 * passes (kubernetes/apiserver pkg/admission/plugin/webhook/request/admissionreview.go,
 * VerifyAdmissionResponse). Pure.
 */
#ifndef WEBHOOK_ADMISSION_REVIEW_H
#define WEBHOOK_ADMISSION_REVIEW_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "json/json.h"
#include "wukong/rules/findings.h"

enum admission_review_operation {
    ADMISSION_REVIEW_CREATE,
    ADMISSION_REVIEW_UPDATE,
    ADMISSION_REVIEW_DELETE,
    ADMISSION_REVIEW_CONNECT,
    ADMISSION_REVIEW_OPS
};
extern const char *const admission_review_operation_names[ADMISSION_REVIEW_OPS];

/* Everything is borrowed from the tree. */
struct admission_review {
    cJSON *tree;
    const char *uid, *name, *ns, *subresource, *group, *version, *resource;
    enum admission_review_operation operation;
    bool dry_run;
    const char *user;
    const cJSON *user_info; /* never NULL */
    cJSON *object;          /* may be changed by the judge; NULL: none */
    const cJSON *old_object;
};
void admission_review_release(struct admission_review *r);
#define CLEANUP_ADMISSION_REVIEW __attribute__((cleanup(admission_review_release)))

/* ERR_INVALID for what is no admission.k8s.io/v1 request, to be answered with 400; ERR_LIMIT for
   what has too many values, or nests them too deep, to be read at all. */
WUKONG_CHECK int admission_review_read(const char *bytes, size_t len, struct admission_review *ret,
                                       struct err *err);
/* request.uid of a review that was too large to be read, without reading the rest, so that it can
   be answered; NULL when there is none. Free it. */
char *admission_review_uid(const char *bytes, size_t len);

/* kube-apiserver pkg/endpoints/filters/warning.go: in total, in runes. */
#define ADMISSION_REVIEW_WARNINGS_MAX 4096
#define ADMISSION_REVIEW_ANNOTATION_MAX 1024

struct admission_review_answer {
    bool allowed;
    int code;                        /* when not allowed: 422, 403, 503 */
    const char *reason;              /* metav1.StatusReason; NULL when allowed */
    const char *message;             /* NULL when allowed */
    const struct findings *findings; /* 422: its errors are the causes; NULL otherwise */
    const char *kind, *name;         /* in details */
    const char *const *warnings;
    size_t warning_count;
    const char *patch;                        /* JSON patch as text; NULL: none */
    const char *decision, *source, *policies; /* audit annotations; NULL: none */
};
/* uid: of the request. */
void admission_review_write_answer(const char *uid, const struct admission_review_answer *a,
                                   struct buf *out);

#endif
