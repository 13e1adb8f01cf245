/*
 * Look-ups that a judgement needs from the API server, as data: what to ask (filled by the pure
 * side), and what was answered (filled by the shell that sends them: the webhook's reviews.c, the
 * command line's plan.c). A look that was asked once is never asked again, so judging again after
 * each round of answers ends. Pure.
 */
#ifndef LOOKS_LOOKS_H
#define LOOKS_LOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "json/json.h"
#include "wukong/names.h"

enum look_kind {
    LOOK_MAY_CLONE, /* SubjectAccessReview: create wukongs/source */
    LOOK_MAY_START, /* SubjectAccessReview: update virtualmachines/start */
    LOOK_VM,
    LOOK_VMI,
    LOOK_EXPANDED, /* the VM with its preference resolved, by KubeVirt */
    LOOK_CLAIM,    /* name: of the claim */
    LOOK_SOURCE_NAMESPACE,
    LOOK_TARGET_NAMESPACE,
    LOOK_CDI,     /* 200 when CDI is installed */
    LOOK_PROFILE, /* name: of the storage class */
    /* Live lists, read when a denial would rest on a cache that may be behind. */
    LOOK_STORAGE_CLASSES,
    LOOK_SNAPSHOT_CLASSES,
    LOOK_DRIVERS,
    LOOK_POLICIES,
    LOOK_KINDS
};
extern const char *const look_kind_names[LOOK_KINDS];

struct look {
    enum look_kind kind;
    char name[LIMIT_DNS_SUBDOMAIN + 1];
    char *path; /* ready to be sent */
    char *body; /* of a POST; NULL: a GET */
    bool sent;  /* the shell's mark */
    bool done;
    int code;     /* HTTP status; 0: no answer in time */
    char *answer; /* NULL unless done */
    cJSON *tree;  /* of a 2xx answer; parsed by looks_parse */
};

/* One claim and one profile per volume, and the rest. */
#define LOOKS_MAX 160
struct looks {
    struct look *items[LOOKS_MAX];
    size_t count;
};
void looks_release(struct looks *l);

/* The look of that kind and name, made when it is not there; NULL when the bound is reached. */
struct look *looks_get(struct looks *l, enum look_kind kind, const char *ns, const char *name);
/* The same for a SubjectAccessReview: user_info is the requester's. */
struct look *looks_access(struct looks *l, enum look_kind kind, const cJSON *user_info,
                          const char *ns, const char *name);
/* The same about whoever sends it: a SelfSubjectAccessReview. Never the webhook's, which would ask
   about itself. */
struct look *looks_own_access(struct looks *l, enum look_kind kind, const char *ns,
                              const char *name);
bool looks_pending(const struct looks *l);
/* Stores what came back; takes the text. */
void look_answered(struct look *k, int code, char *answer);

/* The object of a 200 answer; NULL otherwise. */
const cJSON *look_tree(const struct look *k);
/* True when the object was there, false when it certainly was not (404); *ret_known is false when
   neither is known. */
bool look_exists(const struct look *k, bool *ret_known);
/* status.allowed of a SubjectAccessReview. */
bool look_allowed(const struct look *k, bool *ret_known);

#endif
