/* virt-controller: VirtualMachines and their instances. */
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"

#define VM_FINALIZER "kubevirt.io/virtualMachineControllerFinalize"
#define VMI_FINALIZER "foregroundDeleteVirtualMachine"

static int64_t pace(struct sim_cluster *w)
{
    return rng_chance(w->rng, w->faults.vm_slow) ? rng_range(w->rng, 2000, 40000)
                                                 : rng_range(w->rng, 30, 1500);
}

void each_claim(const cJSON *instance_spec,
                void (*visit)(void *arg, const char *volume, const char *claim), void *arg)
{
    const cJSON *v;
    cJSON_ArrayForEach (v, json_get(instance_spec, "volumes")) {
        const char *claim =
            str_or(json_str(v, "persistentVolumeClaim.claimName"), json_str(v, "dataVolume.name"));
        claim = str_or(claim, json_str(v, "ephemeral.persistentVolumeClaim.claimName"));
        if (claim)
            visit(arg, json_str(v, "name"), claim);
    }
}

struct claim_query {
    struct sim_cluster *w;
    const char *ns, *wanted;
    bool found;
    unsigned missing, pending;
};

static void look_for(void *arg, const char *volume, const char *claim)
{
    struct claim_query *q = arg;
    (void)volume;
    q->found |= str_eq(claim, q->wanted);
}

/* Its virt-launcher still has it while the instance names the destination already. */
static bool is_being_moved(const struct sim_cluster *w, const char *ns, const char *claim)
{
    const cJSON *p;
    for (const struct machine *m = w->machines; m; m = m->next)
        cJSON_ArrayForEach (p, m->pairs)
            if (str_eq(m->ns, ns) && str_eq(json_str(p, "sourcePVCInfo.claimName"), claim))
                return true;
    return false;
}

bool claim_in_use(struct sim_cluster *w, const char *ns, const char *claim)
{
    struct claim_query q = {.w = w, .ns = ns, .wanted = claim};
    for (struct api_object *o = w->api->objects[API_VMI]; o; o = o->hh.next)
        if (str_eq(o->ns, ns))
            each_claim(json_get(o->tree, "spec"), look_for, &q);
    return q.found || is_being_moved(w, ns, claim);
}

static void count_claim(void *arg, const char *volume, const char *claim)
{
    struct claim_query *q = arg;
    const struct api_object *o = api_find(q->w->api, API_PVC, q->ns, claim);
    (void)volume;
    q->missing += o == NULL;
    q->pending += o && (!str_eq(json_str(o->tree, "status.phase"), "Bound") ||
                        data_volume_pending(q->w, q->ns, claim));
}

/* --- VirtualMachine --- */

static cJSON *condition(const char *type, bool yes)
{
    cJSON *c = cJSON_CreateObject();
    jt_str(c, "type", type);
    jt_str(c, "status", yes ? "True" : "False");
    return c;
}

static bool wants_running(const struct api_object *vm)
{
    const char *strategy = str_or(json_str(vm->tree, "spec.runStrategy"), "Halted");
    const char *asked = json_str(vm->tree, "status.stateChangeRequests.#0.action");
    if (str_eq(strategy, "Manual"))
        return asked ? str_eq(asked, "Start") : json_at(vm->tree, "status.created") != NULL;
    return str_eq(strategy, "Always") || str_eq(strategy, "RerunOnFailure");
}

/* As KubeVirt's instancetype controllers do (pkg/instancetype/preference/apply). */
void vm_apply_preference(const cJSON *vm, cJSON *instance_spec)
{
    if (str_eq(json_str(vm, "spec.preference.name"), CLUSTER_TPM_PREFERENCE))
        jt_bool(instance_spec, "domain.devices.tpm.persistent", true);
}

/* What runs is recorded in a ControllerRevision (VirtualMachineRevisionData: {"spec": …}). */
static void make_revision(struct sim_cluster *w, const struct api_object *vm, const char *name)
{
    if (api_find(w->api, API_REVISION, vm->ns, name))
        return;
    cJSON *r = api_new(API_REVISION, vm->ns, name);
    jt_put(r, "data.spec", jt_copy(json_get(vm->tree, "spec")));
    jt_int(r, "revision", 1);
    cJSON *owner = cJSON_CreateObject();
    jt_str(owner, "apiVersion", "kubevirt.io/v1");
    jt_str(owner, "kind", "VirtualMachine");
    jt_str(owner, "name", vm->name);
    jt_str(owner, "uid", vm->uid);
    cJSON_AddItemToArray(jt_array(r, "metadata.ownerReferences"), owner);
    (void)api_create(w->api, "kubevirt", API_REVISION, r);
}

static void start_vmi(struct sim_cluster *w, const struct api_object *vm)
{
    int64_t generation = 1;
    char revision[400];
    (void)json_int(vm->tree, "metadata.generation", &generation);
    (void)snprintf(revision, sizeof revision, "revision-start-vm-%s-%lld", vm->uid,
                   (long long)generation);
    make_revision(w, vm, revision);
    cJSON *vmi = api_new(API_VMI, vm->ns, vm->name);
    cJSON *owner = cJSON_CreateObject();
    jt_str(owner, "apiVersion", "kubevirt.io/v1");
    jt_str(owner, "kind", "VirtualMachine");
    jt_str(owner, "name", vm->name);
    jt_str(owner, "uid", vm->uid);
    jt_bool(owner, "controller", true);
    cJSON_AddItemToArray(jt_array(vmi, "metadata.ownerReferences"), owner);
    jt_add(vmi, "metadata.finalizers", VMI_FINALIZER);
    jt_put(vmi, "spec", jt_copy(json_at(vm->tree, "spec.template.spec")));
    vm_apply_preference(vm->tree, jt_at(vmi, "spec"));
    jt_str(vmi, "status.phase", "Pending");
    jt_str(vmi, "status.virtualMachineRevisionName", revision);
    (void)api_create(w->api, "kubevirt", API_VMI, vmi);
}

static const char *printable(struct sim_cluster *w, const struct api_object *vm,
                             const struct api_object *vmi)
{
    struct claim_query q = {.w = w, .ns = vm->ns};
    if (!vmi)
        return "Stopped";
    if (api_deleting(vmi->tree))
        return "Stopping";
    if (str_eq(json_str(vmi->tree, "status.phase"), "Running"))
        return "Running";
    each_claim(json_get(vmi->tree, "spec"), count_claim, &q);
    return q.pending ? "WaitingForVolumeBinding" : "Starting";
}

static void write_vm_status(struct sim_cluster *w, struct api_object *vm,
                            const struct api_object *vmi)
{
    bool running =
        vmi && str_eq(json_str(vmi->tree, "status.phase"), "Running") && !api_deleting(vmi->tree);
    cJSON *tree = jt_copy(vm->tree);
    if (!api_deleting(tree))
        jt_add(tree, "metadata.finalizers", VM_FINALIZER);
    jt_str(tree, "status.printableStatus", printable(w, vm, vmi));
    jt_put(tree, "status.created", vmi ? cJSON_CreateTrue() : NULL);
    bool ready = running && str_eq(json_str(vmi->tree, "status.conditions.#0.status"), "True");
    jt_put(tree, "status.ready", ready ? cJSON_CreateTrue() : NULL);
    cJSON *list = cJSON_CreateArray();
    cJSON_AddItemToArray(list, condition("Ready", ready));
    const struct machine *m = machine_find(w, vm->ns, vm->name);
    if (m && m->moving)
        cJSON_AddItemToArray(list, condition("VolumesChange", true));
    if (m && m->moving && !vmi)
        cJSON_AddItemToArray(list, condition("ManualRecoveryRequired", true));
    jt_put(tree, "status.conditions", list);
    const char *asked = json_str(tree, "status.stateChangeRequests.#0.action");
    if ((str_eq(asked, "Start") && vmi) || (str_eq(asked, "Stop") && !vmi))
        jt_drop(tree, "status.stateChangeRequests");
    api_replace(w->api, "kubevirt", vm, tree);
}

static void finish_vm(struct sim_cluster *w, struct api_object *vm, struct api_object *vmi)
{
    if (vmi) {
        api_delete(w->api, "kubevirt", vmi);
        return;
    }
    cJSON *tree = jt_copy(vm->tree);
    jt_remove(tree, "metadata.finalizers", VM_FINALIZER);
    api_replace(w->api, "kubevirt", vm, tree);
}

static void start_later(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *vm = api_find(w->api, API_VM, ns, name);
    const struct machine *m = machine_find(w, ns, name);
    /* It is not started while its disks are exchanged, or half copied. */
    if (vm && ((m && m->pairs) || json_at(vm->tree, "status.restoreInProgress"))) {
        sim_cluster_later(w, 5000, sync_vm, ns, name);
        return;
    }
    if (vm && !api_deleting(vm->tree) && wants_running(vm) && !api_find(w->api, API_VMI, ns, name))
        start_vmi(w, vm);
}

void sync_vm(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *vm = api_find(w->api, API_VM, ns, name);
    struct api_object *vmi = api_find(w->api, API_VMI, ns, name);
    if (!vm)
        return;
    if (api_deleting(vm->tree)) {
        finish_vm(w, vm, vmi);
        return;
    }
    bool wanted = wants_running(vm);
    write_vm_status(w, vm, vmi);
    if (wanted && !vmi)
        sim_cluster_later(w, pace(w), start_later, ns, name);
    else if (!wanted && vmi && !api_deleting(vmi->tree))
        api_delete(w->api, "kubevirt", vmi);
}

/* --- VirtualMachineInstance --- */

static void set_phase(struct sim_cluster *w, struct api_object *vmi, const char *phase)
{
    cJSON *tree = jt_copy(vmi->tree);
    jt_str(tree, "status.phase", phase);
    api_replace(w->api, "kubevirt", vmi, tree);
}

static void end_vmi(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *vmi = api_find(w->api, API_VMI, ns, name);
    struct machine *m = machine_find(w, ns, name);
    if (!vmi || !api_deleting(vmi->tree))
        return;
    if (m && str_eq(m->vmi_uid, vmi->uid))
        machine_stop(m);
    cJSON *tree = jt_copy(vmi->tree);
    jt_drop(tree, "metadata.finalizers");
    api_replace(w->api, "kubevirt", vmi, tree);
}

static void connect_agent(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *vmi = api_find(w->api, API_VMI, ns, name);
    struct machine *m = machine_find(w, ns, name);
    if (!vmi || !m || !m->has_agent || m->agent || !str_eq(m->vmi_uid, vmi->uid))
        return;
    machine_agent(m, true);
    cJSON *tree = jt_copy(vmi->tree);
    cJSON_AddItemToArray(jt_array(tree, "status.conditions"), condition("AgentConnected", true));
    if (!m->os_hidden)
        jt_str(tree, "status.guestOSInfo.id", m->windows ? "mswindows" : "debian");
    api_replace(w->api, "kubevirt", vmi, tree);
}

/* The readiness probe passes at last. Ready is the first of its conditions. */
static void pass_probe(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *vmi = api_find(w->api, API_VMI, ns, name);
    if (!vmi || api_deleting(vmi->tree) || !str_eq(json_str(vmi->tree, "status.phase"), "Running"))
        return;
    cJSON *tree = jt_copy(vmi->tree);
    jt_str(jt_at(tree, "status.conditions")->child, "status", "True");
    api_replace(w->api, "kubevirt", vmi, tree);
}

static void run_vmi(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *vmi = api_find(w->api, API_VMI, ns, name);
    struct claim_query q = {.w = w, .ns = ns};
    if (!vmi || api_deleting(vmi->tree) ||
        !str_eq(json_str(vmi->tree, "status.phase"), "Scheduling"))
        return;
    each_claim(json_get(vmi->tree, "spec"), count_claim, &q);
    if (q.missing || q.pending)
        return;
    struct machine *m = machine_get(w, ns, name);
    machine_start(m, vmi->uid);
    cJSON *tree = jt_copy(vmi->tree);
    jt_str(tree, "status.phase", "Running");
    char now[TIME_TEXT_MAX];
    time_to_str(clock_wall(w->clock), false, now);
    cJSON *moment = cJSON_CreateObject();
    jt_str(moment, "phase", "Running");
    jt_str(moment, "phaseTransitionTimestamp", now);
    cJSON_AddItemToArray(jt_array(tree, "status.phaseTransitionTimestamps"), moment);
    cJSON *list = cJSON_CreateArray();
    bool ready = !rng_chance(w->rng, w->faults.probe_fails);
    cJSON_AddItemToArray(list, condition("Ready", ready));
    jt_put(tree, "status.conditions", list);
    api_replace(w->api, "kubevirt", vmi, tree);
    if (!ready && rng_chance(w->rng, 500))
        sim_cluster_later(w, rng_range(w->rng, 1000, 300000), pass_probe, ns, name);
    if (m->has_agent)
        sim_cluster_later(w, pace(w) * 4, connect_agent, ns, name);
}

void sync_vmi(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *vmi = api_find(w->api, API_VMI, ns, name);
    struct claim_query q = {.w = w, .ns = ns};
    if (!vmi)
        return;
    const char *phase = json_str(vmi->tree, "status.phase");
    each_claim(json_get(vmi->tree, "spec"), count_claim, &q);
    if (api_deleting(vmi->tree))
        sim_cluster_later(w, pace(w), end_vmi, ns, name);
    else if (str_eq(phase, "Pending") && !q.missing)
        set_phase(w, vmi, "Scheduling");
    else if (str_eq(phase, "Scheduling") && !q.pending && !q.missing)
        sim_cluster_later(w, pace(w), run_vmi, ns, name);
    else if (str_eq(phase, "Running"))
        sim_cluster_later(w, pace(w) * 10, connect_agent, ns, name);
}

static void drop_condition(cJSON *tree, const char *type)
{
    cJSON *c, *list = jt_at(tree, "status.conditions");
    cJSON_ArrayForEach (c, list)
        if (str_eq(json_str(c, "type"), type)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(list, c));
            return;
        }
}

/* The instance of that machine which runs; NULL: none does. */
static struct api_object *running_vmi(struct sim_cluster *w, const char *ns, const char *name,
                                      struct machine **ret_machine)
{
    struct api_object *vmi = api_find(w->api, API_VMI, ns, name);
    struct machine *m = machine_find(w, ns, name);
    *ret_machine = m;
    return vmi && m && str_eq(m->vmi_uid, vmi->uid) && !api_deleting(vmi->tree) ? vmi : NULL;
}

void vmi_pause(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m;
    struct api_object *vmi = running_vmi(w, ns, name, &m);
    if (!vmi || m->paused || m->migrating)
        return;
    machine_pause(m, true);
    cJSON *tree = jt_copy(vmi->tree);
    cJSON_AddItemToArray(jt_array(tree, "status.conditions"), condition("Paused", true));
    api_replace(w->api, "kubevirt", vmi, tree);
    sim_cluster_note(w, "%s is paused", name);
}

void vmi_unpause(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m;
    struct api_object *vmi = running_vmi(w, ns, name, &m);
    if (!vmi || !m->paused)
        return;
    machine_pause(m, false);
    cJSON *tree = jt_copy(vmi->tree);
    drop_condition(tree, "Paused");
    api_replace(w->api, "kubevirt", vmi, tree);
    sim_cluster_note(w, "%s goes on", name);
}

static void end_migration(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m;
    struct api_object *vmi = running_vmi(w, ns, name, &m);
    if (!vmi || !m->migrating)
        return;
    m->migrating = false;
    cJSON *tree = jt_copy(vmi->tree);
    bool failed = rng_chance(w->rng, 200);
    jt_bool(tree, failed ? "status.migrationState.failed" : "status.migrationState.completed",
            true);
    jt_bool(tree, "status.migrationState.completed", true);
    api_replace(w->api, "kubevirt", vmi, tree);
    sim_cluster_note(w, "the migration of %s %s", name, failed ? "failed" : "is over");
}

/* The domain migrates a moment before the VMI says so, and no longer a moment before, too. */
static void show_migration(struct sim_cluster *w, const char *ns, const char *name)
{
    char now[TIME_TEXT_MAX];
    struct machine *m;
    struct api_object *vmi = running_vmi(w, ns, name, &m);
    if (!vmi || !m->migrating)
        return;
    cJSON *tree = jt_copy(vmi->tree), *state = cJSON_CreateObject();
    time_to_str(clock_wall(w->clock), false, now);
    jt_str(state, "startTimestamp", now);
    jt_put(tree, "status.migrationState", state);
    api_replace(w->api, "kubevirt", vmi, tree);
    sim_cluster_later(w, rng_range(w->rng, 2000, 60000), end_migration, ns, name);
}

void vmi_migrate(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m;
    struct api_object *vmi = running_vmi(w, ns, name, &m);
    if (!vmi || m->migrating || m->paused || m->pairs)
        return;
    m->migrating = true;
    sim_cluster_note(w, "%s migrates", name);
    sim_cluster_later(w, rng_range(w->rng, 5, 500), show_migration, ns, name);
}

/* --- admission --- */

/* A disk without its volume is refused, a volume without a disk is not (seen on v1.9). */
bool kubevirt_admit(struct sim_cluster *w, enum api_kind kind, cJSON *tree, struct api_reply *reply)
{
    const cJSON *spec = json_at(tree, "spec.template.spec"), *d, *v;
    struct api_target t = {.kind = kind};
    (void)w;
    (void)snprintf(t.name, sizeof t.name, "%s", str_or(json_str(tree, "metadata.name"), ""));
    if (kind != API_VM)
        return false;
    if (!json_str(tree, "spec.runStrategy") && !json_at(tree, "spec.running")) {
        api_fail(reply, 422, "Invalid", &t, "spec: RunStrategy must be specified");
        return true;
    }
    cJSON_ArrayForEach (d, json_at(spec, "domain.devices.disks")) {
        bool found = false;
        cJSON_ArrayForEach (v, json_get(spec, "volumes"))
            found |= str_eq(json_str(v, "name"), json_str(d, "name"));
        if (!found) {
            api_fail(reply, 422, "Invalid", &t,
                     "spec.template.spec.domain.devices.disks[0].Name '%s' not found.",
                     str_or(json_str(d, "name"), ""));
            return true;
        }
    }
    return false;
}
