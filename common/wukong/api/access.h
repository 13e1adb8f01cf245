/*
 * The two rights that a clone from another namespace needs, as questions to the API server's
 * authorizer: to clone the source (create wukongs/source) and to start it when it is stopped
 * (update virtualmachines/start, KubeVirt's own). Webhook, worker and command line ask with the
 * same words. Pure: bodies go out, answers come in.
 */
#ifndef API_ACCESS_H
#define API_ACCESS_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

enum access_right { ACCESS_CLONE, ACCESS_START };

/* Who asks for what. user NULL: whoever sends the question. Everything is borrowed. */
struct access_question {
    enum access_right right;
    const char *ns, *name; /* of the source */
    const char *user, *uid;
    const cJSON *groups, *extra; /* NULL: none */
};

/* Appends the body of a SubjectAccessReview, or with user NULL of a SelfSubjectAccessReview. */
void access_write(const struct access_question *q, struct buf *out);
/* status.allowed of the answer; *ret_known is false when it says nothing. */
bool access_allowed(const cJSON *answer, bool *ret_known);

#endif
