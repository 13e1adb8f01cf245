/*
 * From a state to intents that create: which objects, with which bodies
 * (worker/manifests/manifest.h builds the text).
 */
#ifndef ACTIONS_BODIES_H
#define ACTIONS_BODIES_H

#include "actions/decision.h"
#include "observe/resources.h"

/* What the new machine names, and must find in another namespace than the source's; none within
   one. key names the call log's slot of the read, or of the probe. Lives in the state's arena. */
struct body_need {
    const struct kube_kind *kind;
    const char *ns, *name;
    struct call_key key;
    const char *probe; /* what an INTENT_PROBE tries to create; NULL: it is read */
};
const struct body_need *body_needs(const struct clone_state *v, size_t *ret_count);

void body_create_snapshot(const struct clone_state *v, struct decision *d, size_t disk);
/* The same, tried: a quota or a policy that refuses it is met before the guest is frozen. */
void body_dry_run_snapshot(const struct clone_state *v, struct decision *d, size_t disk);
void body_create_content_copy(const struct clone_state *v, struct decision *d, size_t disk);
void body_create_snapshot_copy(const struct clone_state *v, struct decision *d, size_t disk);
void body_create_vm_snapshot(const struct clone_state *v, struct decision *d);
void body_create_claim(const struct clone_state *v, struct decision *d,
                       const struct target_state *t, size_t disk);
void body_create_vm(const struct clone_state *v, struct decision *d, const struct target_state *t);
void body_dry_run_claim(const struct clone_state *v, struct decision *d,
                        const struct target_state *t, size_t disk);
void body_dry_run_vm(const struct clone_state *v, struct decision *d, const struct target_state *t);
/* What the API server stored is not what was asked for: why, or NULL. A claim, or its DataVolume,
   as the caches show it, until its machine owns it; the answer to its dry run; the machine in that
   answer to its create, or to its dry run. */
const char *body_claim_changed(const struct clone_state *v, const struct target_state *t,
                               size_t disk);
const char *body_dry_claim_changed(const struct clone_state *v, const struct target_state *t,
                                   size_t disk);
const char *body_vm_changed(const struct clone_state *v, const struct target_state *t,
                            const struct call *answer);
/* Makes the VM the owner of the claim. */
void body_own_claim(const struct clone_state *v, struct decision *d, const struct target_state *t,
                    size_t disk);
/* Makes the Wukong the owner of the VM, or takes it out of all ownership. */
void body_own_vm(const struct clone_state *v, struct decision *d, const struct target_state *t,
                 bool owned);
#endif
