/*
 * Lookups that a judgement needs from the API server, as data: what to ask (filled by the pure
 * side), and what was answered (filled by the shell that sends them: the webhook's
 * admission_handler.c, the command line's plan_cmd.c). A lookup that was asked once is never asked
 * again, so judging again after each round of answers ends. Pure.
 */
#ifndef LOOKUP_LOOKUP_H
#define LOOKUP_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>

#include "json/json.h"
#include "kube/object.h"
#include "wukong/api/child_names.h"

enum lookup_kind {
    LOOKUP_MAY_CLONE, /* SubjectAccessReview: create wukongs/source */
    LOOKUP_MAY_START, /* SubjectAccessReview: update virtualmachines/start */
    LOOKUP_VM,
    LOOKUP_VMI,
    LOOKUP_EXPANDED, /* the VM with its preference resolved, by KubeVirt */
    LOOKUP_CLAIM,    /* name: of the claim */
    LOOKUP_SOURCE_NAMESPACE,
    LOOKUP_TARGET_NAMESPACE,
    LOOKUP_CDI,     /* 200 when CDI is installed */
    LOOKUP_PROFILE, /* name: of the storage class */
    /* Live lists, read when a denial would rest on a cache that may be behind. */
    LOOKUP_STORAGE_CLASSES,
    LOOKUP_SNAPSHOT_CLASSES,
    LOOKUP_GROUP_CLASSES, /* of clones that cut groups */
    LOOKUP_DRIVERS,
    LOOKUP_POLICIES,
    LOOKUP_KINDS
};
extern const char *const lookup_kind_names[LOOKUP_KINDS];

/* The right that a request needs, as RBAC names it. Static texts, but ns and name. */
struct look_right {
    const char *verb;
    const struct kube_kind *kind; /* NULL: the path alone */
    const char *sub;              /* subresource; NULL: none */
    const char *ns, *name;        /* NULL: none */
};

struct lookup {
    enum lookup_kind kind;
    char ns[LIMIT_DNS_SUBDOMAIN + 1], name[LIMIT_DNS_SUBDOMAIN + 1];
    bool older; /* asked for in the kind's older version, since the newest is not served */
    bool own;   /* an access review about whoever sends it */
    char *path; /* ready to be sent */
    char *body; /* of a POST; NULL: a GET */
    bool sent;  /* the shell's mark */
    bool done;
    int code;     /* HTTP status; 0: no answer in time */
    char *answer; /* NULL unless done */
    cJSON *tree;  /* of a 2xx answer; parsed by lookups_parse */
};

/* One claim and one profile per volume, and the rest. */
#define LOOKUPS_MAX 160
/* How often they are sent at most: one of them twice. */
#define LOOKUPS_SENT_MAX (LOOKUPS_MAX + 1)
struct lookups {
    struct lookup *items[LOOKUPS_MAX];
    size_t count;
};
void lookups_release(struct lookups *l);

/* The lookup of that kind and name, made when it is not there; NULL when the bound is reached, or
   when these are no names. */
struct lookup *lookups_get(struct lookups *l, enum lookup_kind kind, const char *ns,
                           const char *name);
/* The same for a SubjectAccessReview: user_info is the requester's. */
struct lookup *lookups_access(struct lookups *l, enum lookup_kind kind, const cJSON *user_info,
                              const char *ns, const char *name);
/* The same about whoever sends it: a SelfSubjectAccessReview. Never the webhook's, which would ask
   about itself. */
struct lookup *lookups_own_access(struct lookups *l, enum lookup_kind kind, const char *ns,
                                  const char *name);
/* What whoever sends it must be allowed to. Lives as long as the lookup. */
struct look_right look_right(const struct lookup *k);
bool lookups_pending(const struct lookups *l);
/* Stores what came back; takes the text. It may have to be sent once more, by another path. */
void lookup_answered(struct lookup *k, int code, char *answer);

/* The object of a 200 answer; NULL otherwise. */
const cJSON *lookup_tree(const struct lookup *k);
/* True when the object was there, false when it certainly was not (404); *ret_known is false when
   neither is known. */
bool lookup_exists(const struct lookup *k, bool *ret_known);
/* status.allowed of a SubjectAccessReview. */
bool lookup_allowed(const struct lookup *k, bool *ret_known);

#endif
