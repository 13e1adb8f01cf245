/*
 * From a state to intents that create: which objects, with which bodies
 * (worker/manifests/manifest.h builds the text).
 */
#ifndef ACTIONS_CREATE_H
#define ACTIONS_CREATE_H

#include "actions/decision.h"
#include "observe/resources.h"

/* What the new machine names and must find: in another namespace than the source's all but Secrets,
   and wherever it runs its networks and what target.references names. key names the call log's slot
   of the read, or of the probe. Lives in the state's arena. */
struct needed_object {
    const struct kube_kind *kind;
    const char *ns, *name;
    struct call_key key;
    const char *probe; /* what an INTENT_PROBE tries to create; NULL: it is read */
};
const struct needed_object *needed_objects(const struct clone_state *v, size_t *ret_count);
/* worker/manifests/manifest.h, of that target. */
struct manifest_vm;
WUKONG_CHECK int create_vm_body(const struct clone_state *v, const struct target_state *t,
                                struct manifest_vm *vm, struct err *err);

void create_snapshot(const struct clone_state *v, struct decision *d, size_t disk);
/* The same, tried: a quota or a policy that refuses it is met before the guest is frozen. */
void create_dry_run_snapshot(const struct clone_state *v, struct decision *d, size_t disk);
/* What the files of this room share. body: as JSON; NULL stays NULL. with_disk: its index, too. */
const char *create_add_labels(const struct clone_state *v, const char *body, size_t disk,
                              bool with_disk);
/* A body cannot be built: an Event and the step say so. */
void create_tell(const struct clone_state *v, struct decision *d, const struct err *err,
                 const char *name);
/* create_group.c */
/* disks[disk]'s claim gets the label by which its group selects it. */
void create_claim_label(const struct clone_state *v, struct decision *d, size_t disk);
void create_group(const struct clone_state *v, struct decision *d, const struct clone_group *g);
void create_dry_run_group(const struct clone_state *v, struct decision *d,
                          const struct clone_group *g);
void create_content_copy(const struct clone_state *v, struct decision *d, size_t disk);
void create_snapshot_copy(const struct clone_state *v, struct decision *d, size_t disk);
void create_vm_snapshot(const struct clone_state *v, struct decision *d);
void create_claim(const struct clone_state *v, struct decision *d, const struct target_state *t,
                  size_t disk);
void create_vm(const struct clone_state *v, struct decision *d, const struct target_state *t);
void create_dry_run_claim(const struct clone_state *v, struct decision *d,
                          const struct target_state *t, size_t disk);
void create_dry_run_vm(const struct clone_state *v, struct decision *d,
                       const struct target_state *t);
/* What the API server stored is not what was asked for: why, or NULL. A claim, or its DataVolume,
   as the caches show it, until its machine owns it; the answer to its dry run; the machine in that
   answer to its create, or to its dry run. */
const char *create_claim_changed(const struct clone_state *v, const struct target_state *t,
                                 size_t disk);
const char *create_dry_claim_changed(const struct clone_state *v, const struct target_state *t,
                                     size_t disk);
const char *create_vm_changed(const struct clone_state *v, const struct target_state *t,
                              const struct call *answer);
/* Makes the VM the owner of the claim. */
void create_own_claim(const struct clone_state *v, struct decision *d, const struct target_state *t,
                      size_t disk);
/* Makes the Wukong the owner of the VM, or takes it out of all ownership. */
void create_own_vm(const struct clone_state *v, struct decision *d, const struct target_state *t,
                   bool owned);
#endif
