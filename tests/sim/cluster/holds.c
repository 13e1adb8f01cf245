/*
 * What others do to a machine's disks and its freeze: volume migrations, backups, overlays and
 * restores, in KubeVirt's order (common/wukong/source/holds.h names its files).
 */
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"

bool volume_stale(const struct volume *v)
{
    return v->stale || (v->machine && v->machine->overlay);
}

static struct api_object *running(struct sim_cluster *w, const struct machine *m)
{
    struct api_object *vmi = api_find(w->api, API_VMI, m->ns, m->name);
    return vmi && str_eq(m->vmi_uid, vmi->uid) && !api_deleting(vmi->tree) ? vmi : NULL;
}

static void set_condition(cJSON *tree, const char *type, const char *status)
{
    cJSON *c, *list = jt_array(tree, "status.conditions");
    cJSON_ArrayForEach (c, list)
        if (str_eq(json_str(c, "type"), type)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(list, c));
            break;
        }
    if (!status)
        return;
    c = cJSON_CreateObject();
    jt_str(c, "type", type);
    jt_str(c, "status", status);
    cJSON_AddItemToArray(list, c);
}

/* Each disk of the machine gets a claim more: [{volumeName, source, destination}]. */
static cJSON *new_claims(struct sim_cluster *w, struct machine *m, const cJSON *spec,
                         const char *word)
{
    cJSON *pairs = cJSON_CreateArray(), *pair;
    const cJSON *v;
    m->exchanges++;
    cJSON_ArrayForEach (v, json_get(spec, "volumes")) {
        const char *claim = json_str(v, "persistentVolumeClaim.claimName");
        const struct api_object *pvc = claim ? api_find(w->api, API_PVC, m->ns, claim) : NULL;
        char name[120];
        if (!pvc)
            continue;
        (void)snprintf(name, sizeof name, "%s-%s-%s%u", m->name, json_str(v, "name"), word,
                       m->exchanges);
        struct volume *to = volume_new(w, m->ns, name);
        to->stale = true;
        cJSON *c = api_new(API_PVC, m->ns, name);
        jt_put(c, "spec", jt_copy(json_get(pvc->tree, "spec")));
        jt_put(c, "status", jt_copy(json_get(pvc->tree, "status")));
        jt_put(c, "metadata.annotations", jt_copy(json_at(pvc->tree, "metadata.annotations")));
        jt_add(c, "metadata.finalizers", "kubernetes.io/pvc-protection");
        jt_str(c, "spec.volumeName", to->handle);
        pair = cJSON_CreateObject();
        jt_str(pair, "volumeName", json_str(v, "name"));
        jt_str(pair, "sourcePVCInfo.claimName", claim);
        jt_str(pair, "destinationPVCInfo.claimName", name);
        cJSON_AddItemToArray(pairs, pair);
        (void)api_create(w->api, "user", API_PVC, c);
    }
    return pairs;
}

static void name_claims(cJSON *spec, const cJSON *pairs, const char *which)
{
    const cJSON *p;
    cJSON *v;
    cJSON_ArrayForEach (p, pairs)
        cJSON_ArrayForEach (v, jt_at(spec, "volumes"))
            if (str_eq(json_str(v, "name"), json_str(p, "volumeName")))
                jt_str(v, "persistentVolumeClaim.claimName", json_str(p, which));
}

#define SOURCE "sourcePVCInfo.claimName"
#define DESTINATION "destinationPVCInfo.claimName"

static void name_in_vm(struct sim_cluster *w, const struct machine *m, const char *which)
{
    struct api_object *vm = api_find(w->api, API_VM, m->ns, m->name);
    if (!vm)
        return;
    cJSON *tree = jt_copy(vm->tree);
    name_claims(jt_at(tree, "spec.template.spec"), m->pairs, which);
    api_replace(w->api, "user", vm, tree);
}

/* The guest's data are in the destinations from here on; by restoring, in what they were. */
static void hand_over(struct sim_cluster *w, struct machine *m, int64_t older)
{
    const cJSON *p;
    cJSON_ArrayForEach (p, m->pairs) {
        struct volume *from = volume_of_claim(w, m->ns, json_str(p, SOURCE));
        struct volume *to = volume_of_claim(w, m->ns, json_str(p, DESTINATION));
        if (from && to) {
            to->records = from->records - older;
            from->records = volume_records(from);
            to->machine = m;
            from->machine = NULL;
            from->stale = true;
            to->stale = false;
        }
    }
}

static void over(struct machine *m)
{
    CLEANUP_JSON cJSON *pairs = TAKE(m->pairs);
    const cJSON *p;
    m->moving = false;
    /* A claim that is being deleted goes now. */
    cJSON_ArrayForEach (p, pairs)
        sim_cluster_later(m->cluster, 100, sync_claim, m->ns, json_str(p, SOURCE));
    sim_cluster_later(m->cluster, 100, sync_vm, m->ns, m->name);
}

/* --- a volume migration --- */

static void end_move(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vmi = m ? running(w, m) : NULL;
    if (!m || !m->moving)
        return;
    if (!vmi || !str_eq(vmi->uid, m->moving_uid)) {
        /* Somebody lets the VM name the former claims again (ManualRecoveryRequired). */
        name_in_vm(w, m, SOURCE);
        sim_cluster_note(w, "the volumes of %s are where they were, after its end", name);
        over(m);
        return;
    }
    bool done = rng_chance(w->rng, 700);
    cJSON *tree = jt_copy(vmi->tree);
    jt_drop(tree, "status.migratedVolumes");
    set_condition(tree, "VolumesChange", done ? NULL : "False");
    if (done)
        hand_over(w, m, 0);
    else
        name_claims(jt_at(tree, "spec"), m->pairs, SOURCE);
    api_replace(w->api, "kubevirt", vmi, tree);
    if (!done)
        name_in_vm(w, m, SOURCE);
    sim_cluster_note(w, "the volumes of %s %s", name, done ? "have moved" : "stay where they were");
    over(m);
}

/* Before a byte is copied, and before any migration starts. */
static void point_at_destination(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vmi = m ? running(w, m) : NULL;
    if (!m || !m->moving)
        return;
    if (vmi && str_eq(vmi->uid, m->moving_uid)) {
        cJSON *tree = jt_copy(vmi->tree);
        name_claims(jt_at(tree, "spec"), m->pairs, DESTINATION);
        api_replace(w->api, "kubevirt", vmi, tree);
    }
    sim_cluster_later(w, rng_range(w->rng, 3000, 90000), end_move, ns, name);
}

void vmi_move_volumes(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vmi = m ? running(w, m) : NULL;
    const struct api_object *vm = api_find(w->api, API_VM, ns, name);
    if (!vmi || !vm || api_deleting(vm->tree) || m->pairs || m->migrating || m->overlay)
        return;
    m->pairs = new_claims(w, m, json_get(vmi->tree, "spec"), "m");
    m->moving = true;
    free(m->moving_uid);
    m->moving_uid = xstrdup(vmi->uid);
    name_in_vm(w, m, DESTINATION);
    vmi = running(w, m);
    cJSON *tree = jt_copy(vmi->tree);
    jt_put(tree, "status.migratedVolumes", jt_copy(m->pairs));
    set_condition(tree, "VolumesChange", "True");
    api_replace(w->api, "kubevirt", vmi, tree);
    sim_cluster_note(w, "the volumes of %s are to move", name);
    sim_cluster_later(w, rng_range(w->rng, 5, 300), point_at_destination, ns, name);
}

/* --- a restore --- */

#define RESTORING "status.restoreInProgress"
/* What is restored was written so long before, in ms. */
#define RESTORED_OLDER 500

static void mark_restore(struct sim_cluster *w, struct api_object *vm, const char *restore)
{
    cJSON *tree = jt_copy(vm->tree);
    jt_str(tree, RESTORING, restore);
    api_replace(w->api, "kubevirt", vm, tree);
}

static bool is_exchanged(const struct machine *m, const struct volume *v)
{
    const cJSON *p;
    cJSON_ArrayForEach (p, m->pairs) {
        if (str_eq(v->ns, m->ns) && str_eq(v->claim, json_str(p, SOURCE)))
            return true;
    }
    return false;
}

static void end_restore(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vm = api_find(w->api, API_VM, ns, name);
    if (!m || !m->pairs)
        return;
    /* All disks are of one moment, those too that keep their claims (a DataVolume's). */
    for (struct volume *v = w->volumes; v; v = v->next)
        if (v->machine == m && !is_exchanged(m, v))
            v->records -= RESTORED_OLDER;
    hand_over(w, m, RESTORED_OLDER);
    if (vm && json_at(vm->tree, RESTORING))
        mark_restore(w, vm, NULL);
    sim_cluster_note(w, "%s is restored", name);
    over(m);
}

static void exchange_claims(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vm = api_find(w->api, API_VM, ns, name);
    if (!m || !vm || !json_at(vm->tree, RESTORING))
        return;
    if (m->pairs || m->vmi_uid || m->tool || api_find(w->api, API_VMI, ns, name)) {
        mark_restore(w, vm, NULL);
        return;
    }
    m->pairs = new_claims(w, m, json_at(vm->tree, "spec.template.spec"), "r");
    name_in_vm(w, m, DESTINATION);
    sim_cluster_later(w, rng_range(w->rng, 2000, 60000), end_restore, ns, name);
}

/* A restore brings all disks back, or it would leave a machine of two moments. */
static bool restores_all(const cJSON *spec)
{
    const cJSON *v;
    cJSON_ArrayForEach (v, json_get(spec, "volumes"))
        if (json_get(v, "dataVolume") || json_get(v, "ephemeral"))
            return false;
    return true;
}

void vm_restore(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vm = api_find(w->api, API_VM, ns, name);
    if (!m || !vm || api_deleting(vm->tree) || m->pairs || m->vmi_uid || m->tool ||
        json_at(vm->tree, RESTORING) || json_at(vm->tree, "status.snapshotInProgress") ||
        api_find(w->api, API_VMI, ns, name))
        return;
    if (!restores_all(json_at(vm->tree, "spec.template.spec")))
        return;
    mark_restore(w, vm, "back");
    sim_cluster_note(w, "%s is being restored", name);
    sim_cluster_later(w, rng_range(w->rng, 50, 3000), exchange_claims, ns, name);
}

/* What leaves no trace is seen only while it lasts (docs/user/troubleshooting.md), and a worker may
   be dead for minutes: it does not end in the middle of a clone's cut. */
static bool is_being_cloned(struct sim_cluster *w, const char *ns, const char *name)
{
    static const char *const steps[] = {"Cut",   "Thaw",           "Snapshots", "Copies",
                                        "Disks", "VirtualMachine", "Ready",     "Verify"};
    for (const struct api_object *o = w->api->objects[API_WUKONG]; o; o = o->hh.next) {
        const cJSON *source = json_at(o->tree, "spec.cloneSource");
        const char *from = str_or(json_str(source, "vmName"), json_str(source, "vmiName"));
        const char *step = json_str(o->tree, "status.cloneStatus.step");
        if (!str_eq(from, name) || !str_eq(str_or(json_str(source, "namespace"), o->ns), ns) ||
            !str_eq(json_str(o->tree, "status.cloneStatus.phase"), "Cloning"))
            continue;
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
            if (str_eq(step, steps[i]))
                return true;
    }
    return false;
}

/* --- overlays of an external snapshot --- */

static void end_overlay(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vmi = m ? running(w, m) : NULL;
    if (!m)
        return;
    if (vmi && is_being_cloned(w, ns, name)) {
        sim_cluster_later(w, 5000, end_overlay, ns, name);
        return;
    }
    m->overlay = false;
    if (!vmi)
        return;
    cJSON *tree = jt_copy(vmi->tree);
    set_condition(tree, "OverlaySnapshotActive", NULL);
    api_replace(w->api, "kubevirt", vmi, tree);
    sim_cluster_note(w, "the overlays of %s are committed", name);
}

static void lay_overlay(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    const struct api_object *vmi = m ? running(w, m) : NULL;
    if (vmi && json_at(vmi->tree, "status.conditions"))
        m->overlay = true;
    /* Longer than a watch may hang: an overlay leaves no trace that could be asked for. */
    sim_cluster_later(w, rng_range(w->rng, 60000, 120000), end_overlay, ns, name);
}

void vmi_overlay(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vmi = m ? running(w, m) : NULL;
    if (!vmi || m->pairs || m->overlay || m->migrating)
        return;
    cJSON *tree = jt_copy(vmi->tree);
    set_condition(tree, "OverlaySnapshotActive", "True");
    api_replace(w->api, "kubevirt", vmi, tree);
    sim_cluster_note(w, "overlays for %s", name);
    sim_cluster_later(w, rng_range(w->rng, 50, 1000), lay_overlay, ns, name);
}

/* --- a Pod that uses the claims of a stopped machine --- */

#define TOOL "libguestfs-tools-"

static void tool_name(const char *name, char out[80])
{
    (void)snprintf(out, 80, TOOL "%.50s", name);
}

static void end_tool(struct sim_cluster *w, const char *ns, const char *name)
{
    char pod[80];
    struct machine *m = machine_find(w, ns, name);
    if (m && m->tool && is_being_cloned(w, ns, name)) {
        sim_cluster_later(w, 5000, end_tool, ns, name);
        return;
    }
    tool_name(name, pod);
    struct api_object *o = api_find(w->api, API_POD, ns, pod);
    if (m)
        machine_tool(m, false);
    if (o)
        api_delete(w->api, "user", o);
    sim_cluster_note(w, "the Pod %s is gone", pod);
}

/* As the disks of the machine are then; one that has been started meanwhile keeps it out. */
static void begin_tool(struct sim_cluster *w, const char *ns, const char *name)
{
    char pod[80];
    struct machine *m = machine_find(w, ns, name);
    tool_name(name, pod);
    if (!m || m->vmi_uid || m->pairs || !api_find(w->api, API_POD, ns, pod)) {
        end_tool(w, ns, name);
        return;
    }
    machine_tool(m, true);
    sim_cluster_note(w, "the Pod %s writes to the disks of %s", pod, name);
    /* Longer than a worker takes to look again: a Pod that is gone leaves no trace. */
    sim_cluster_later(w, rng_range(w->rng, 60000, 120000), end_tool, ns, name);
}

struct tool_pod {
    cJSON *pod, *container;
};

/* Whatever kind of volume names the claim in the machine. */
static void mount_claim(void *arg, const char *volume, const char *claim)
{
    struct tool_pod *p = arg;
    cJSON *mount = cJSON_CreateObject(), *v = cJSON_CreateObject();
    jt_str(mount, "name", volume);
    jt_str(mount, "mountPath", "/disk");
    cJSON_AddItemToArray(jt_array(p->container, "volumeMounts"), mount);
    jt_str(v, "name", volume);
    jt_str(v, "persistentVolumeClaim.claimName", claim);
    cJSON_AddItemToArray(jt_array(p->pod, "spec.volumes"), v);
}

void vm_use_claims(struct sim_cluster *w, const char *ns, const char *name)
{
    char pod[80];
    const struct machine *m = machine_find(w, ns, name);
    const struct api_object *vm = api_find(w->api, API_VM, ns, name);
    tool_name(name, pod);
    if (!m || !vm || m->pairs || m->vmi_uid || m->tool || api_find(w->api, API_VMI, ns, name) ||
        json_at(vm->tree, RESTORING) || api_find(w->api, API_POD, ns, pod))
        return;
    struct tool_pod p = {api_new(API_POD, ns, pod), cJSON_CreateObject()};
    cJSON *o = p.pod;
    jt_str(p.container, "name", "tools");
    each_claim(json_at(vm->tree, "spec.template.spec"), mount_claim, &p);
    cJSON_AddItemToArray(jt_array(o, "spec.containers"), p.container);
    jt_str(o, "status.phase", "Pending");
    (void)api_create(w->api, "user", API_POD, o);
    sim_cluster_later(w, rng_range(w->rng, 500, 3000), begin_tool, ns, name);
}

/* --- a backup, whose freeze succeeds while frozen, and which then thaws --- */

#define BACKUP "status.changedBlockTracking.backupStatus"

static void end_backup(struct sim_cluster *w, const char *ns, const char *name)
{
    char now[TIME_TEXT_MAX];
    const struct machine *m = machine_find(w, ns, name);
    struct api_object *vmi = m ? running(w, m) : NULL;
    if (!vmi || !json_at(vmi->tree, BACKUP))
        return;
    cJSON *tree = jt_copy(vmi->tree);
    time_to_str(clock_wall(w->clock), false, now);
    jt_bool(tree, BACKUP ".completed", true);
    jt_str(tree, BACKUP ".endTimestamp", now);
    api_replace(w->api, "kubevirt", vmi, tree);
}

static void thaw_for_backup(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    if (m)
        machine_thaw(m, "a VirtualMachineBackup");
}

static void freeze_for_backup(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    if (!m || !m->agent || m->paused)
        return;
    machine_freeze(m, FREEZER_FOREIGN, 0);
    sim_cluster_later(w, rng_range(w->rng, 5, 300), thaw_for_backup, ns, name);
}

void vmi_backup(struct sim_cluster *w, const char *ns, const char *name)
{
    char now[TIME_TEXT_MAX];
    struct machine *m = machine_find(w, ns, name);
    struct api_object *vmi = m ? running(w, m) : NULL;
    if (!vmi || (json_at(vmi->tree, BACKUP) && !json_bool(vmi->tree, BACKUP ".completed", false)))
        return;
    cJSON *tree = jt_copy(vmi->tree);
    time_to_str(clock_wall(w->clock), false, now);
    jt_drop(tree, BACKUP);
    jt_strf(tree, BACKUP ".backupName", "backup-%u", ++m->exchanges);
    jt_str(tree, BACKUP ".startTimestamp", now);
    api_replace(w->api, "kubevirt", vmi, tree);
    sim_cluster_note(w, "%s is backed up", name);
    sim_cluster_later(w, rng_range(w->rng, 20, 400), freeze_for_backup, ns, name);
    sim_cluster_later(w, rng_range(w->rng, 1000, 20000), end_backup, ns, name);
}
