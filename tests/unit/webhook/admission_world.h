/*
 * A world for the judgement: an API server as a table of paths, caches, keys; and the check that
 * kube-apiserver makes of every answer (kubernetes/apiserver pkg/admission/plugin/webhook/request/
 * admissionreview.go VerifyAdmissionResponse, and what mutating/dispatcher.go does with a patch),
 * written here anew. Each judgement of a test passes through it.
 */
#ifndef TEST_ADMISSION_WORLD_H
#define TEST_ADMISSION_WORLD_H

#include "webhook/admission.h"

struct route {
    const char *path;
    int code;
    const char *body;
};

struct world {
    const struct route *routes; /* path NULL ends; what is not listed is 404 */
    struct class_facts classes;
    const struct policy *policies;
    size_t policy_count;
    const char *user, *user_info; /* user_info: JSON, overrides user */
    bool may_clone, may_start;
    int access_code; /* 0: 201 */
    int start_code;  /* of the right to start; 0: access_code */
    bool policies_incomplete;
    const struct scope *scope; /* NULL: all namespaces are served */
    bool no_cross_namespace, no_stamp_key, out_of_time;
    int64_t now_ms;
};

struct judged {
    struct admission_result result;
    cJSON *answer; /* the whole AdmissionReview; NULL for malformed */
    const cJSON *response;
    cJSON *object;     /* after the patch */
    char *text;        /* of the answer */
    char asked[8192];  /* paths of the lookups in order, each ended by a newline */
    char bodies[8192]; /* of the SubjectAccessReviews */
    bool patched;
};
void judged_release(struct judged *j);
#define CLEANUP_JUDGED __attribute__((cleanup(judged_release)))

#define WORLD_NOW 1790000000000LL
#define WORLD_UID "705ab4f5-6393-11e8-b7cc-42010a800002"

extern char *world_key, *world_public_key;
int world_setup(void **state);
int world_teardown(void **state);

/* object and old are JSON with ' for " (NULL: null); ns is the request's namespace. */
void world_judge(const struct world *w, enum admission_endpoint endpoint, const char *operation,
                 const char *ns, const char *object, const char *old, struct judged *ret);
/* The same for bytes as they are. */
void world_judge_bytes(const struct world *w, enum admission_endpoint endpoint, const char *bytes,
                       struct judged *ret);
/* A string at the path of response; "" when absent. */
const char *judged_str(const struct judged *j, const char *path);
/* Number of causes; true when one has that field and a message that contains the text. */
int judged_causes(const struct judged *j);
bool judged_has_cause(const struct judged *j, const char *field, const char *text);
bool judged_warns(const struct judged *j, const char *text);
/* ' to ". */
char *world_quotes(const char *text);

#endif
