/*
 * The ClonePolicies as the worker has them, and what they say of one clone now. The worker decodes
 * them once per change, not per clone. The judgement is common/wukong's, the same as the webhook's.
 * This file adds what only the worker knows: which clones run, and whose turn it is
 * (worker/clones/usage.h).
 *
 * Pure but for reading the files of time zones.
 */
#ifndef POLICY_POLICY_CACHE_H
#define POLICY_POLICY_CACHE_H

#include "clones/usage.h"
#include "observe/cache_reader.h"
#include "wukong/api/reasons.h"
#include "wukong/policy/policy.h"

/* What a condition's message takes of it. */
#define POLICY_VERDICT_TEXT_MAX 900

struct policy_cache {
    struct arena arena;
    struct policy *items;
    size_t count;
    bool filled;
    bool incomplete; /* there was no memory for all: what is missing may deny, so nothing is let go
                      */
    /* Some policy asks for it, so that it is worth looking up. */
    bool by_subject, by_source, by_namespace, by_retained, by_limit, by_cut;
};

/* One as the cache has it. */
void policy_cache_decode(struct arena *a, const struct kube_object *o, struct policy *ret);
/* Decodes what the caches hold. */
void policy_cache_refill(struct policy_cache *p, const struct cache_reader *caches);
void policy_cache_release(struct policy_cache *p);

struct policy_case {
    struct policy_request request;
    /* The limits apply: it could go on at once and has not begun. */
    bool competes;
    int64_t max_in_flight; /* the worker's own limit, in the queue of no policy; 0: none */
    /* One that is under way is about to take the snapshot for this one, too: the worker's own limit
       holds it back only at twice its figure. */
    bool taken_along;
    bool has_place; /* and was let go by that limit before, for itself */
    int64_t snapshots_kept, snapshots_wanted;
};

struct policy_verdict {
    enum reason reason; /* REASON_NONE: permitted */
    const char *why;    /* names the policies; from the arena */
    int64_t until_ms;   /* of a window: look again then; 0: something has to change */
    bool taken_along;   /* permitted for that alone */
};

/* Judges, and puts h into the queues of the limits that hold it back, and into no other. found:
   every finding, for those who count violations. */
struct policy_verdict policy_cache_judge(struct arena *a, const struct policy_cache *p,
                                         struct usage *u, struct clone_usage *h,
                                         const struct policy_case *c,
                                         struct policy_findings *found);

#endif
