/*
 * The judgement of one AdmissionReview, pure: its bytes, what the caches know and what was looked
 * up go in; the answer's bytes come out, or the lookups that are still needed. The shell
 * (admission_handler.c) sends those, fills in the replies and calls again, until there is an
 * answer. It may be called any number of times with the same input and gives the same result,
 * stamps excepted (their signature is random).
 *
 * The order is part of the security: whether the user may clone from a foreign namespace is asked
 * first and alone; nothing there is read before the answer is yes.
 */
#ifndef WEBHOOK_ADMISSION_H
#define WEBHOOK_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "lookup/lookup.h"
#include "wukong/api/scope.h"
#include "wukong/policy/policy.h"
#include "wukong/source/facts.h"

struct admission_review;

enum admission_endpoint { ADMISSION_MUTATE, ADMISSION_VALIDATE };

struct admission_context {
    enum admission_endpoint endpoint;
    int64_t now_ms; /* by the API server's clock */
    /* From the caches; live lists replace them before anything is denied on their account. */
    const struct class_facts *classes;
    bool cdi_known; /* whether CDI is there need not be looked up */
    const struct policy *policies;
    size_t policy_count;
    bool policies_incomplete;     /* there are more than could be read: no clone is allowed */
    const char *stamp_key;        /* PEM; NULL: none yet */
    const char *stamp_public_key; /* PEM */
    const struct scope *scope;    /* the namespaces that are served; NULL: all */
    bool no_cross_namespace;      /* the feature is switched off */
    /* Kept by the caller from one call to the next about the same bytes, and released by it; NULL:
       they are read each time. */
    struct admission_review *review;
    bool out_of_time; /* unanswered looks stay so: judge with what is known */
};

enum admission_verdict {
    VERDICT_ALLOWED,
    VERDICT_INVALID,   /* field errors: 422 */
    VERDICT_DENIED,    /* permission or policy: 403 */
    VERDICT_UNDECIDED, /* a right could not be checked: 503 */
    VERDICT_MALFORMED, /* no review: HTTP 400 */
    VERDICT_PENDING,   /* lookups are needed */
    VERDICTS
};
extern const char *const admission_verdict_names[VERDICTS];

struct admission_result {
    enum admission_verdict verdict;
    const char *operation; /* static, for metrics; "" when unknown */
    const char *reason;    /* static, for metrics and logs: what decided */
    /* For the log: the object's namespace/name and UID, who asked, the source as namespace/name,
       and the names of the policies that found something. Cut at their length. */
    char log_name[2 * LIMIT_DNS_SUBDOMAIN + 2], uid[64], user[256];
    char source[2 * LIMIT_DNS_SUBDOMAIN + 2], policies[512];
};

/* out: the answer's body (text for MALFORMED); untouched while PENDING. */
struct admission_result admission_judge(const struct admission_context *c, const char *bytes,
                                        size_t len, struct lookups *lookups, struct buf *out);

#endif
