/* What the pure core asks the bodies for: intents under the names of the world, without content. */
#include "world_parts.h"

#include "actions/create.h"

const struct capture_read *capture_reads(const struct clone_state *v, size_t *ret_count)
{
    (void)v;
    static const struct capture_read one = {
        KIND_VMI, "ns", "src", {.kind = CALL_READ_SOURCE_VMI, .name = "src"}, NULL};
    *ret_count = 1;
    return &one;
}

const char *capture_run_strategy(const struct clone_state *v)
{
    return json_str(v->capture.tree, "source.runStrategy");
}

const struct needed_object *needed_objects(const struct clone_state *v, size_t *ret_count)
{
    static const struct kube_kind config_map = {"",          "v1",  "configmaps",
                                                "ConfigMap", false, .fields = {0}};
    static const struct needed_object one = {
        &config_map,
        "ns",
        "settings",
        {.kind = CALL_NEED, .resource = "ConfigMap", .name = "settings"},
        "{}"};
    *ret_count = v->effective.cross_namespace ? 1 : 0;
    return &one;
}

static struct intent *add_intent(const struct clone_state *v, struct decision *d,
                                 enum intent_verb verb, int kind, const char *name,
                                 struct call_key key)
{
    struct intent *i =
        intents_add(&d->intents, verb, &worker_kinds[kind], v->wukong->ns, name, key);
    i->body = "{}";
    return i;
}

void create_snapshot(const struct clone_state *v, struct decision *d, size_t disk)
{
    add_intent(v, d, INTENT_CREATE, KIND_SNAPSHOT, world_snapshots[disk],
               call_key_named(CALL_CREATE_SNAPSHOT, world_snapshots[disk]));
}

void create_claim_label(const struct clone_state *v, struct decision *d, size_t disk)
{
    add_intent(v, d, INTENT_PATCH, KIND_PVC, v->disks[disk].plan->claim,
               call_key_label(clone_attempt(v), v->disks[disk].plan->claim));
}

void create_group(const struct clone_state *v, struct decision *d, const struct clone_group *g)
{
    add_intent(v, d, INTENT_CREATE, KIND_GROUP, g->name,
               call_key_named(CALL_CREATE_GROUP, g->name));
}

void create_dry_run_group(const struct clone_state *v, struct decision *d,
                          const struct clone_group *g)
{
    add_intent(v, d, INTENT_DRY_RUN, KIND_GROUP, g->name,
               clone_dry_key(v, CALL_DRY_SNAPSHOT, g->name));
}

void create_content_copy(const struct clone_state *v, struct decision *d, size_t disk)
{
    (void)v, (void)d, (void)disk;
    fail_msg("no clone here is from another namespace");
}

void create_snapshot_copy(const struct clone_state *v, struct decision *d, size_t disk)
{
    (void)v, (void)d, (void)disk;
    fail_msg("no clone here is from another namespace");
}

void create_vm_snapshot(const struct clone_state *v, struct decision *d)
{
    add_intent(v, d, INTENT_CREATE, KIND_VM_SNAPSHOT, "vms",
               call_key_named(CALL_CREATE_VM_SNAPSHOT, "vms"));
}

const char *create_claim_changed(const struct clone_state *v, const struct target_state *t,
                                 size_t disk)
{
    (void)v, (void)t, (void)disk;
    return NULL;
}

const char *create_dry_claim_changed(const struct clone_state *v, const struct target_state *t,
                                     size_t disk)
{
    (void)v, (void)t, (void)disk;
    return NULL;
}

const char *create_vm_changed(const struct clone_state *v, const struct target_state *t,
                              const struct call *made)
{
    (void)v, (void)t, (void)made;
    return NULL;
}

void create_claim(const struct clone_state *v, struct decision *d, const struct target_state *t,
                  size_t disk)
{
    add_intent(v, d, INTENT_CREATE, KIND_PVC, t->claims[disk].name,
               call_key_named(CALL_CREATE_CLAIM, t->claims[disk].name));
}

void create_vm(const struct clone_state *v, struct decision *d, const struct target_state *t)
{
    add_intent(v, d, INTENT_CREATE, KIND_VM, t->vm.name,
               call_key_named(CALL_CREATE_VM, t->vm.name));
}

void create_dry_run_claim(const struct clone_state *v, struct decision *d,
                          const struct target_state *t, size_t disk)
{
    add_intent(v, d, INTENT_DRY_RUN, KIND_PVC, t->claims[disk].name,
               clone_dry_key(v, CALL_DRY_CLAIM, t->claims[disk].name));
}

void create_dry_run_snapshot(const struct clone_state *v, struct decision *d, size_t disk)
{
    const char *name = v->disks[disk].snapshot.name;
    add_intent(v, d, INTENT_DRY_RUN, KIND_SNAPSHOT, name,
               clone_dry_key(v, CALL_DRY_SNAPSHOT, name));
}

void create_dry_run_vm(const struct clone_state *v, struct decision *d,
                       const struct target_state *t)
{
    add_intent(v, d, INTENT_DRY_RUN, KIND_VM, t->vm.name,
               clone_dry_key(v, CALL_DRY_VM, t->vm.name));
}

void create_own_claim(const struct clone_state *v, struct decision *d, const struct target_state *t,
                      size_t disk)
{
    add_intent(v, d, INTENT_PATCH, KIND_PVC, t->claims[disk].name,
               call_key_named(CALL_OWN_CLAIM, t->claims[disk].name));
}

void create_own_vm(const struct clone_state *v, struct decision *d, const struct target_state *t,
                   bool owned)
{
    add_intent(v, d, INTENT_PATCH, KIND_VM, t->vm.name,
               call_key_named(owned ? CALL_OWN_VM : CALL_DISOWN_VM, t->vm.name))
        ->body = owned ? "own" : "none";
}

void create_event_about(const struct clone_state *v, struct decision *d, bool warning,
                        const char *what, const char *about, const char *format, ...)
{
    (void)warning;
    (void)about;
    (void)format;
    add_intent(v, d, INTENT_EVENT, KIND_EVENT, what, call_key_named(CALL_EVENT, what));
}
