/*
 * One clone before its policies: gathers what they ask for from the state and the caches, judges,
 * and takes or gives back the clone's slot. Afterwards state.policy holds the verdict, for
 * clone_decide. It does not judge a clone that is past its cut, failed, finished or being deleted,
 * so that a policy edited later never touches it.
 *
 * The worker's own limit (--max-in-flight) spares those that are equal to a clone which goes on and
 * has not taken its snapshot: they share that snapshot, up to twice the limit in all.
 */
#ifndef POLICY_POLICY_GATE_H
#define POLICY_POLICY_GATE_H

#include "clones/clone_table.h"
#include "observe/state.h"
#include "policy/policy_cache.h"
#include "policy/policy_report.h"

struct policy_gate {
    struct clone_table *clones;
    const struct policy_cache *policies;
    struct policy_reports *reports;
    const struct cache_reader *caches;
    int64_t max_in_flight;
    const char *stamp_keys; /* PEM; NULL: not known, and so nobody is */
};

/* o: the Wukong that the state was made from. */
void policy_gate_judge(const struct policy_gate *p, struct clone *e, const struct kube_object *o,
                       struct clone_state *v);
/* For observe_settings.raise_cuts; arg: struct policy_gate. */
void policy_gate_raise_cuts(const void *arg, const struct kube_object *o, struct clone_state *v);
/* What a claim holds, or asks for while it is not bound. */
int64_t policy_gate_claim_bytes(const struct kube_object *claim);

#endif
