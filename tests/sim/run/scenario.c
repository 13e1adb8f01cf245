/* What users do: Wukongs, and what stands in their way. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "run/scenario.h"
#include "wukong/api/child_names.h"
#include "wukong/api/spec.h"

#define NIGHTLY "nightly" /* a VirtualMachineSnapshot of somebody else */

/* --- Wukongs --- */

cJSON *scenario_clone(const char *name, const struct machine *m, bool of_vmi)
{
    cJSON *w = api_new(API_WUKONG, SIM_NS, name);
    jt_str(w, "spec.cloneSource.type", of_vmi ? "vmi" : "vm");
    jt_str(w, of_vmi ? "spec.cloneSource.vmiName" : "spec.cloneSource.vmName", m->name);
    jt_str(w, "spec.cloneSource.quiesce", "IfAvailable");
    jt_str(w, "spec.cloneSource.snapshotMethod", "Auto");
    jt_int(w, "spec.cloneSource.deadlineSeconds", 900);
    jt_int(w, "spec.cloneSource.retryLimit", 5);
    jt_int(w, "spec.replicas", 1);
    jt_str(w, "spec.reclaimPolicy", "Delete");
    jt_bool(w, "spec.startStrategy.autoStart", true);
    /* The CRD's default: kstatus sees an object that nobody has looked at yet. */
    jt_int(w, "status.observedGeneration", -1);
    return w;
}

/* The clone and its machine come into another namespace; the webhook has allowed it. */
void scenario_put_elsewhere(struct sim *s, cJSON *w)
{
    jt_str(w, "metadata.namespace", SIM_OTHER_NS);
    jt_str(w, "spec.cloneSource.namespace", SIM_NS);
    webhook_stub_sign(s, w);
}

static void vary(struct sim *s, cJSON *w, bool of_vmi)
{
    const char *type = of_vmi ? PICK(s, "running", "running", "linked")
                              : PICK(s, "running", "running", "linked", "full");
    jt_str(w, "spec.cloneSource.cloneType", type);
    jt_str(w, "spec.cloneSource.quiesce",
           PICK(s, "IfAvailable", "IfAvailable", "Required", "Never"));
    jt_int(w, "spec.cloneSource.deadlineSeconds", rng_range(&s->rng, 60, 500));
    jt_int(w, "spec.cloneSource.retryLimit", rng_range(&s->rng, 0, 6));
    jt_int(w, "spec.replicas", maybe(s, s->batches ? 800 : 300) ? rng_range(&s->rng, 2, 3) : 1);
    jt_str(w, "spec.reclaimPolicy", maybe(s, 300) ? "Retain" : "Delete");
    jt_bool(w, "spec.startStrategy.autoStart", !maybe(s, 300));
    if (!of_vmi && str_eq(type, "running") && maybe(s, 400))
        jt_bool(w, "spec.cloneSource.stopSourceAfter", true);
    if (maybe(s, 150)) {
        cJSON *disk = cJSON_CreateObject();
        jt_str(disk, "name", "d0");
        cJSON_AddItemToArray(jt_array(w, "spec.disks"), disk);
    }
}

/* What the rules allow for that method. */
static void let_kubevirt_snapshot(const struct sim *s, cJSON *w)
{
    const char *type = json_str(w, "spec.cloneSource.cloneType");
    const char *vm =
        str_or(json_str(w, "spec.cloneSource.vmName"), json_str(w, "spec.cloneSource.vmiName"));
    if (!str_eq(type, "running") || s->api.unserved[API_VM_SNAPSHOT] ||
        !api_find((struct apiserver *)&s->api, API_VM, SIM_NS, vm))
        return;
    jt_str(w, "spec.cloneSource.snapshotMethod", "VirtualMachineSnapshot");
    jt_str(w, "spec.cloneSource.quiesce", "IfAvailable");
    jt_drop(w, "spec.disks");
}

static void let_groups_be_cut(struct sim *s, cJSON *w)
{
    if (str_eq(json_str(w, "spec.cloneSource.cloneType"), "full"))
        return;
    jt_str(w, "spec.cloneSource.snapshotMethod", "VolumeGroupSnapshot");
    enum group_answers answers =
        maybe(s, 300) ? (enum group_answers)rng_range(&s->rng, GROUPS_WHOLE, GROUPS_EMPTY_FIRST)
                      : s->cluster.groups;
    if (!s->groups.by_auto)
        s->cluster.groups = answers;
}

/* In most runs a group is taken by those alone that ask for one. */
static void choose_method(const struct sim *s, cJSON *w)
{
    if (!s->groups.by_auto && str_eq(json_str(w, "spec.cloneSource.snapshotMethod"), "Auto"))
        jt_str(w, "spec.cloneSource.snapshotMethod", "VolumeSnapshot");
}

static void create_wukong(struct sim *s)
{
    char name[32];
    struct machine *m = scenario_any_source(s);
    if (!m || s->wukongs >= 5)
        return;
    bool of_vmi = !api_find(&s->api, API_VM, m->ns, m->name) || maybe(s, 400);
    (void)snprintf(name, sizeof name, "wk%u", s->wukongs++);
    cJSON *w = scenario_clone(name, m, of_vmi);
    vary(s, w, of_vmi);
    if (maybe(s, 250))
        let_kubevirt_snapshot(s, w);
    else if (maybe(s, 250))
        let_groups_be_cut(s, w);
    choose_method(s, w);
    restrictions_vary(s, w);
    traits_wukong(s, w);
    if (maybe(s, 150))
        scenario_put_elsewhere(s, w);
    (void)api_create(&s->api, "user", API_WUKONG, w);
}

/* One of a batch; the same but for its name, and now and then for something that a snapshot depends
   on. */
static void create_one_of_batch(struct sim_cluster *w, const char *ns, const char *name)
{
    struct sim *s = w->arg;
    cJSON *tree = jt_copy(s->batch);
    jt_str(tree, "metadata.name", name);
    if (maybe(s, 100))
        jt_str(tree, "spec.cloneSource.quiesce", PICK(s, "IfAvailable", "Required", "Never"));
    if (maybe(s, 50)) {
        cJSON *disk = cJSON_CreateObject();
        jt_str(disk, "name", "d0");
        cJSON_AddItemToArray(jt_array(tree, "spec.disks"), disk);
    }
    (void)ns;
    if (str_eq(json_str(tree, "metadata.namespace"), SIM_OTHER_NS))
        scenario_put_elsewhere(s, tree);
    (void)api_create(&s->api, "user", API_WUKONG, tree);
}

/* Several equal Wukongs of one source, at once or within seconds. */
static void create_batch(struct sim *s)
{
    char name[32];
    struct machine *m = scenario_any_source(s);
    int64_t count = rng_range(&s->rng, 2, 6), spread = maybe(s, 500) ? 0 : 4000;
    if (!m || s->wukongs >= 8)
        return;
    cJSON_Delete(s->batch);
    s->batch =
        scenario_clone("batch", m, !api_find(&s->api, API_VM, m->ns, m->name) || maybe(s, 400));
    choose_method(s, s->batch);
    jt_str(s->batch, "spec.cloneSource.cloneType", "running");
    jt_str(s->batch, "spec.cloneSource.quiesce", PICK(s, "IfAvailable", "IfAvailable", "Required"));
    jt_int(s->batch, "spec.cloneSource.retryLimit", rng_range(&s->rng, 0, 6));
    jt_bool(s->batch, "spec.startStrategy.autoStart", !maybe(s, 300));
    restrictions_vary(s, s->batch);
    if (maybe(s, 150))
        jt_str(s->batch, "metadata.namespace", SIM_OTHER_NS);
    while (count--) {
        (void)snprintf(name, sizeof name, "wk%u", s->wukongs++);
        sim_cluster_later(&s->cluster, rng_range(&s->rng, 0, spread), create_one_of_batch, SIM_NS,
                          name);
    }
}

static struct api_object *any_of(struct sim *s, enum api_kind kind)
{
    unsigned count = HASH_COUNT(s->api.objects[kind]);
    if (!count)
        return NULL;
    int64_t n = rng_range(&s->rng, 0, (int64_t)count - 1);
    struct api_object *o = s->api.objects[kind];
    while (o && n--)
        o = o->hh.next;
    return o;
}

static bool is_probe(const struct api_object *o)
{
    return str_starts(o->name, "probe");
}

static void delete_wukong(struct sim *s)
{
    struct api_object *o = any_of(s, API_WUKONG);
    if (o && !is_probe(o))
        api_delete(&s->api, "user", o);
}

static void retry_wukong(struct sim *s)
{
    struct api_object *o = any_of(s, API_WUKONG);
    if (!o)
        return;
    cJSON *tree = jt_copy(o->tree);
    jt_strf(tree, "metadata.annotations[" WUKONG_RETRY_ANNOTATION "]", "again-%" PRId64, s->now_ms);
    api_replace(&s->api, "user", o, tree);
}

/* --- obstacles --- */

/* Something of somebody else under a name that a clone will want. */
static void take_name(struct sim *s)
{
    char name[64];
    int64_t i = rng_range(&s->rng, s->wukongs ? s->wukongs - 1 : 0, s->wukongs);
    if (maybe(s, 500)) {
        (void)snprintf(name, sizeof name, "wk%" PRId64 "-vm", i);
        cJSON *vm = api_new(API_VM, SIM_NS, name);
        jt_str(vm, "metadata.labels.owner", "somebody");
        jt_str(vm, "spec.runStrategy", "Halted");
        jt_put(vm, "spec.template.spec.domain", cJSON_CreateObject());
        (void)api_create(&s->api, "user", API_VM, vm);
    } else {
        (void)snprintf(name, sizeof name, "wk%" PRId64 "-d0", i);
        cJSON *c = api_new(API_PVC, SIM_NS, name);
        jt_str(c, "metadata.labels.owner", "somebody");
        jt_str(c, "spec.storageClassName", "fast");
        jt_str(c, "spec.resources.requests.storage", "1Gi");
        (void)api_create(&s->api, "user", API_PVC, c);
    }
}

static bool somebodys(const struct api_object *o)
{
    return str_eq(json_str(o->tree, "metadata.labels.owner"), "somebody");
}

static void free_names(struct sim *s)
{
    static const enum api_kind kinds[] = {API_VM, API_PVC};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct api_object *o, *next;
        HASH_ITER (hh, s->api.objects[kinds[k]], o, next) {
            if (somebodys(o))
                api_delete(&s->api, "user", o);
        }
    }
}

/* Backup software freezes the guest for a while. */
static void end_foreign(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    if (m)
        machine_thaw(m, THAWED_BY_OTHERS);
}

static void foreign_freeze(struct sim *s)
{
    struct machine *m = scenario_any_source(s);
    if (!m || !m->agent)
        return;
    machine_freeze(m, FREEZER_FOREIGN, rng_range(&s->rng, 5000, 300000));
    if (m->frozen_by == FREEZER_FOREIGN && maybe(s, 700))
        sim_cluster_later(&s->cluster, rng_range(&s->rng, 200, 60000), end_foreign, m->ns, m->name);
}

static void set_snapshot_lock(struct sim *s, const char *name, const char *snapshot)
{
    struct api_object *vm = api_find(&s->api, API_VM, SIM_NS, name);
    if (!vm)
        return;
    cJSON *tree = jt_copy(vm->tree);
    jt_str(tree, "status.snapshotInProgress", snapshot);
    api_replace(&s->api, "kubevirt", vm, tree);
}

static void end_snapshot(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vm = api_find(w->api, API_VM, ns, name);
    /* KubeVirt thaws whoever froze (seen on v1.9). */
    if (m)
        machine_thaw(m, "a VirtualMachineSnapshot");
    if (!vm || !str_eq(json_str(vm->tree, "status.snapshotInProgress"), NIGHTLY))
        return;
    cJSON *tree = jt_copy(vm->tree);
    jt_drop(tree, "status.snapshotInProgress");
    api_replace(w->api, "kubevirt", vm, tree);
}

static void foreign_snapshot(struct sim *s)
{
    struct machine *m = scenario_any_source(s);
    struct api_object *vm = m ? api_find(&s->api, API_VM, m->ns, m->name) : NULL;
    struct api_object *vmi = m ? api_find(&s->api, API_VMI, m->ns, m->name) : NULL;
    if (!vm || json_at(vm->tree, "status.snapshotInProgress"))
        return;
    set_snapshot_lock(s, m->name, NIGHTLY);
    if (m->agent && vmi && !json_at(vmi->tree, "status.fsFreezeStatus"))
        machine_freeze(m, FREEZER_FOREIGN, 300000);
    sim_cluster_later(&s->cluster, rng_range(&s->rng, 300, 8000), end_snapshot, m->ns, m->name);
}

static void disturb_source(struct sim *s)
{
    struct machine *m = scenario_any_source(s);
    struct api_object *vm = m ? api_find(&s->api, API_VM, m->ns, m->name) : NULL;
    struct api_object *vmi = m ? api_find(&s->api, API_VMI, m->ns, m->name) : NULL;
    int64_t dice = rng_range(&s->rng, 0, 9);
    if (!m)
        return;
    sim_trace(s, "user disturbs %s (%" PRId64 ")", m->name, dice);
    if (dice < 4 && vmi) {
        api_delete(&s->api, "user", vmi); /* a restart, when a VM wants it to run */
    } else if (dice < 6 && vm && !json_at(vm->tree, "status.snapshotInProgress")) {
        cJSON *tree = jt_copy(vm->tree);
        bool halted = str_eq(json_str(tree, "spec.runStrategy"), "Halted");
        jt_str(tree, "spec.runStrategy", halted ? "Always" : "Halted");
        api_replace(&s->api, "user", vm, tree);
    } else if (dice < 8 && vmi && m->agent) {
        cJSON *tree = jt_copy(vmi->tree);
        cJSON *c, *list = jt_at(tree, "status.conditions");
        machine_agent(m, false);
        cJSON_ArrayForEach (c, list)
            if (str_eq(json_str(c, "type"), "AgentConnected")) {
                cJSON_Delete(cJSON_DetachItemViaPointer(list, c));
                break;
            }
        api_replace(&s->api, "user", vmi, tree);
    } else if (dice == 9 && vm) {
        api_delete(&s->api, "user", vm);
    }
}

/* Its users pause a source, or its node is drained. */
static void hold_source(struct sim *s)
{
    const struct machine *m = scenario_any_source(s);
    if (!m)
        return;
    if (maybe(s, 500)) {
        vmi_migrate(&s->cluster, m->ns, m->name);
        return;
    }
    vmi_pause(&s->cluster, m->ns, m->name);
    sim_cluster_later(&s->cluster, rng_range(&s->rng, 500, 60000), vmi_unpause, m->ns, m->name);
}

/* A user of KubeVirt does something to a source's disks. */
static void exchange_disks(struct sim *s)
{
    static void (*const acts[])(struct sim_cluster *, const char *, const char *) = {
        vmi_move_volumes, vmi_move_volumes, vm_restore, vmi_overlay,
        vm_use_claims,    vm_use_claims,    vmi_backup, vmi_backup,
    };
    const struct machine *m = scenario_any_source(s);
    if (m)
        acts[rng_range(&s->rng, 0, ARRAY_LEN(acts) - 1)](&s->cluster, m->ns, m->name);
}

/* kubectl delete of something that a clone made. */
static void delete_ours(struct sim *s)
{
    static const enum api_kind kinds[] = {API_VM, API_PVC, API_SNAPSHOT, API_CONTENT};
    struct api_object *o = any_of(s, kinds[rng_range(&s->rng, 0, ARRAY_LEN(kinds) - 1)]);
    if (o && (json_at(o->tree, "metadata.labels[" WUKONG_UID_LABEL "]") || o->kind == API_CONTENT))
        api_delete(&s->api, "user", o);
}

static bool is_under_way(struct sim *s, const struct api_object *o)
{
    const char *uid = json_str(o->tree, "metadata.labels[" WUKONG_UID_LABEL "]");
    const struct api_object *w = uid ? api_find_uid(&s->api, uid) : NULL;
    return w && str_eq(json_str(w->tree, "status.cloneStatus.phase"), "Cloning");
}

/* What a clone is made from is tidied away, its source too, while its machines are there already;
   and the worker that remembered it dies with its node. */
static void lose_what_it_was_made_from(struct sim *s)
{
    const struct api_object *machine = any_of(s, API_VM);
    if (!machine || !is_under_way(s, machine))
        return;
    const char *uid = json_str(machine->tree, "metadata.labels[" WUKONG_UID_LABEL "]");
    const struct api_object *w = api_find_uid(&s->api, uid);
    struct api_object *source =
        api_find(&s->api, API_VM, str_or(json_str(w->tree, "spec.cloneSource.namespace"), w->ns),
                 str_or(json_str(w->tree, "spec.cloneSource.vmName"), ""));
    sim_trace(s, "user tidies up what %s was made from", w->name);
    for (struct api_object *o = s->api.objects[API_SNAPSHOT], *next; o; o = next) {
        next = o->hh.next;
        if (str_eq(json_str(o->tree, "metadata.labels[" WUKONG_UID_LABEL "]"), uid))
            api_delete(&s->api, "user", o);
    }
    if (source)
        api_delete(&s->api, "user", source);
    sim_kill_workers(s);
}

void scenario_act(struct sim *s)
{
    static const struct {
        void (*act)(struct sim *s);
        int weight;
    } acts[] = {
        {create_wukong, 40},   {delete_wukong, 8},
        {retry_wukong, 6},     {take_name, 5},
        {free_names, 5},       {foreign_freeze, 5},
        {foreign_snapshot, 5}, {disturb_source, 8},
        {delete_ours, 4},      {create_batch, 20},
        {hold_source, 6},      {restrictions_act, 3},
        {exchange_disks, 20},  {lose_what_it_was_made_from, 12},
    };
    int64_t dice = rng_range(&s->rng, 0, 146);
    s->user_actions++;
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        dice -= acts[i].weight;
        if (dice < 0) {
            acts[i].act(s);
            return;
        }
    }
}

const char *const sim_probes[SIM_PROBES] = {"probe", "probe-2", "probe-3"};

static void create_probe(struct sim_cluster *w, const char *ns, const char *name)
{
    struct sim *s = w->arg;
    cJSON *tree = jt_copy(s->batch);
    jt_str(tree, "metadata.name", name);
    (void)ns;
    (void)api_create(&s->api, "user", API_WUKONG, tree);
}

void scenario_calm(struct sim *s)
{
    free_names(s);
    restrictions_calm(s);
    scenario_source(s, scenario_fresh_source, true, "Always");
    cJSON_Delete(s->batch);
    s->batch = scenario_clone("probe", machine_find(&s->cluster, SIM_NS, scenario_fresh_source),
                              maybe(s, 500));
    choose_method(s, s->batch);
    jt_str(s->batch, "spec.cloneSource.cloneType", "running");
    /* Once the source runs: of clones that find it on its way up one may think that it started it.
     */
    for (size_t i = 0; i < ARRAY_LEN(sim_probes); i++)
        sim_cluster_later(&s->cluster, 20000, create_probe, SIM_NS, sim_probes[i]);
}

void scenario_plan(struct sim *s, const struct kill_plan *plan)
{
    static const char *const name = "src0";
    scenario_classes(s);
    scenario_source(s, name, true, plan->halted ? "Halted" : "Always");
    scenario_install_cdi(s, plan->cdi);
    s->groups.by_auto = true;
    s->cluster.groups = plan->refused ? GROUPS_REFUSED : GROUPS_WHOLE;
    for (unsigned i = 0; i < (plan->company ? 3 : 1); i++) {
        char wukong[16];
        (void)snprintf(wukong, sizeof wukong, "wk%u", i);
        cJSON *w = scenario_clone(wukong, machine_find(&s->cluster, SIM_NS, name), plan->of_vmi);
        jt_str(w, "spec.cloneSource.cloneType", plan->clone_type);
        jt_str(w, "spec.cloneSource.snapshotMethod", plan->method);
        if (plan->stop_after)
            jt_bool(w, "spec.cloneSource.stopSourceAfter", true);
        if (plan->elsewhere)
            scenario_put_elsewhere(s, w);
        (void)api_create(&s->api, "user", API_WUKONG, w);
    }
}
