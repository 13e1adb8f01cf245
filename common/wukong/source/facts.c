#include "wukong/source/facts.h"

#include <string.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/conditions.h"
#include "wukong/source/dependencies.h"
#include "wukong/source/differences.h"
#include "wukong/source/guest_reset.h"

static const char *copy_text(struct arena *a, const cJSON *o, const char *path)
{
    return arena_strdup(a, json_str(o, path));
}

static bool has_member(const cJSON *o, const char *path)
{
    const cJSON *v = json_at(o, path);
    return v && !cJSON_IsNull(v);
}

/* --- Volumes --- */

/* The boot disk: the lowest bootOrder, else the first disk. */
static const char *boot_disk(const cJSON *spec)
{
    const cJSON *disks = json_at(spec, "domain.devices.disks"), *d;
    const char *name = json_str(cJSON_IsArray(disks) ? disks->child : NULL, "name");
    int64_t lowest = INT64_MAX, order;
    cJSON_ArrayForEach (d, disks) {
        if (json_int(d, "bootOrder", &order) && order < lowest) {
            lowest = order;
            name = json_str(d, "name");
        }
    }
    return name;
}

/* Its writers are not one guest alone (kubevirt.io/api core/v1 Disk: shareable, lun). */
static bool disk_is_shared(const cJSON *spec, const char *volume)
{
    const cJSON *d;
    cJSON_ArrayForEach (d, json_at(spec, "domain.devices.disks"))
        if (str_eq(json_str(d, "name"), volume))
            return json_bool(d, "shareable", false) || has_member(d, "lun");
    return false;
}

static void read_volumes(struct arena *a, const cJSON *spec, const cJSON *vm,
                         struct source_facts *s)
{
    const cJSON *o, *status;
    const cJSON *list = json_get(spec, "volumes");
    const char *boot = boot_disk(spec);
    size_t n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
    s->volumes = arena_alloc(a, (n + 1) * sizeof(*s->volumes));
    if (!s->volumes)
        return;
    cJSON_ArrayForEach (o, list) {
        if (!cJSON_IsObject(o) || s->volume_count == LIMIT_VOLUMES)
            continue;
        struct volume_facts *v = &s->volumes[s->volume_count++];
        *v = (struct volume_facts){.name = str_or(copy_text(a, o, "name"), ""),
                                   .type = volume_type_of(o),
                                   .claim = arena_strdup(a, volume_claim(o))};
        v->boot = str_eq(v->name, boot);
        v->shared = disk_is_shared(spec, v->name);
        cJSON_ArrayForEach (status, json_at(vm, "status.volumeSnapshotStatuses")) {
            if (!str_eq(json_str(status, "name"), v->name))
                continue;
            v->snapshottable = json_bool(status, "enabled", true) ? TRI_TRUE : TRI_FALSE;
            v->snapshot_reason = copy_text(a, status, "reason");
        }
    }
}

/* --- Source --- */

static const char *run_strategy(struct arena *a, const cJSON *vm)
{
    const char *strategy = copy_text(a, vm, "spec.runStrategy");
    const cJSON *running = json_at(vm, "spec.running");
    if (strategy || !cJSON_IsBool(running))
        return strategy;
    return cJSON_IsTrue(running) ? "Always" : "Halted";
}

/* Argo CD's and Flux's tracking marks. */
static bool tracked(const cJSON *o)
{
    static const char *const marks[] = {
        "metadata.labels[argocd.argoproj.io/instance]",
        "metadata.annotations[argocd.argoproj.io/tracking-id]",
        "metadata.labels[kustomize.toolkit.fluxcd.io/name]",
        "metadata.labels[helm.toolkit.fluxcd.io/name]",
    };
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (has_member(o, marks[i]))
            return true;
    return false;
}

/* VMs from a `spec`, which has the domain. */
static void read_domain(const cJSON *spec, struct source_facts *s)
{
    s->persistent_tpm = json_bool(spec, "domain.devices.tpm.persistent", false) &&
                        json_bool(spec, "domain.devices.tpm.enabled", true);
    s->persistent_efi = json_bool(spec, "domain.firmware.bootloader.efi.persistent", false);
}

/* What a preference adds shows in the instance, and while there is none, only in the expansion. */
static bool hides_state(const cJSON *vm, const cJSON *vmi)
{
    return cJSON_IsObject(json_at(vm, "spec.preference")) &&
           (!cJSON_IsObject(vmi) || vmi_has_ended(json_str(vmi, "status.phase")));
}

void facts_read_expanded(const cJSON *expanded, struct source_facts *s)
{
    s->state_hidden = false;
    read_domain(json_at(expanded, "spec.template.spec"), s);
}

struct needs_reader {
    struct arena *arena;
    struct source_facts *s;
};

/* A need of a named namespace (ns is not empty) stays where it is, wherever the machine goes. */
static int read_need(void *arg, const struct dependency *need)
{
    struct needs_reader *r = arg;
    struct source_facts *s = r->s;
    char denied[DEPENDENCY_DENIED_MAX];
    if (*need->ns)
        return 0;
    if (need->loss != LOSES_NOTHING)
        dependency_denied_text(need, denied);
    for (size_t i = 0; i < s->need_count; i++)
        if (str_eq(s->needs[i].kind, need->kind) && str_eq(s->needs[i].name, need->name) &&
            (need->loss == LOSES_NOTHING || str_eq(s->needs[i].denied, denied))) {
            s->needs[i].optional &= need->optional;
            return 0;
        }
    if (!s->needs)
        s->needs = arena_alloc(r->arena, LIMIT_NEEDS * sizeof *s->needs);
    if (s->needs && s->need_count < LIMIT_NEEDS)
        s->needs[s->need_count++] = (struct source_need){
            need->kind, str_or(arena_strdup(r->arena, need->name), ""), need->optional,
            need->loss == LOSES_NOTHING ? NULL : arena_strdup(r->arena, denied)};
    return 0;
}

static void read_networks(struct arena *a, const cJSON *spec, struct source_facts *s)
{
    struct network_facts found[NETWORKS_MAX];
    size_t n = networks_read(spec, found, ARRAY_LEN(found));
    s->networks = arena_alloc(a, (n + 1) * sizeof(*s->networks));
    if (!s->networks)
        return;
    for (size_t i = 0; i < n; i++) {
        found[i].name = str_or(arena_strdup(a, found[i].name), "");
        found[i].nad = arena_strdup(a, found[i].nad);
        s->networks[s->network_count++] = found[i];
    }
}

static void read_difference(void *arg, const struct difference *d)
{
    struct needs_reader *r = arg;
    struct source_facts *s = r->s;
    if (!s->differences)
        s->differences = arena_alloc(r->arena, DIFFERENCES_MAX * sizeof *s->differences);
    const char *text = arena_strdup(r->arena, d->text);
    if (s->differences && text && s->difference_count < DIFFERENCES_MAX)
        s->differences[s->difference_count++] =
            (struct source_difference){text, arena_strdup(r->arena, d->secret), d->destroys};
}

void facts_read_source(struct arena *a, const cJSON *vm, const cJSON *vmi, struct source_facts *ret)
{
    struct source_facts s = {.looked_up = true, .machine = machine_of(vm, vmi)};
    machine_keep(a, &s.machine);
    bool instance = cJSON_IsObject(vmi);
    s.ns = copy_text(a, instance ? vmi : vm, "metadata.namespace");
    s.vm_run_strategy = run_strategy(a, vm);
    s.node_arch = copy_text(a, vmi, "spec.architecture");
    s.deleting = s.machine.vm_exists ? s.machine.vm_deleting : s.machine.vmi_deleting;
    s.instancetype = has_member(vm, "spec.instancetype");
    s.managed_by_gitops = tracked(vm);
    s.state_hidden = hides_state(vm, vmi);
    /* What runs counts; the VM may have been edited since. */
    const cJSON *spec = instance ? json_get(vmi, "spec") : json_at(vm, "spec.template.spec");
    read_domain(spec, &s);
    read_volumes(a, spec, vm, &s);
    read_networks(a, spec, &s);
    (void)dependencies_each(spec, "", read_need, &(struct needs_reader){a, &s});
    *ret = s;
}

void facts_read_differences(struct arena *a, const cJSON *vm, const cJSON *vmi,
                            const struct wukong_spec *wanted, bool elsewhere,
                            struct source_facts *s)
{
    struct needs_reader reader = {a, s};
    const struct differences_of of = {
        .annotations = cJSON_IsObject(vm) ? json_at(vm, "spec.template.metadata.annotations")
                                          : json_at(vmi, "metadata.annotations"),
        .instance = cJSON_IsObject(vmi) ? json_get(vmi, "spec") : json_at(vm, "spec.template.spec"),
        .target = &wanted->target,
        .guest = &wanted->guest,
        .elsewhere = elsewhere,
    };
    differences_each(&of, read_difference, &reader);
    s->reset_refusal = reset_refusal(of.instance, &wanted->guest);
}

size_t facts_claim_names(const struct source_facts *s, const char **ret, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < s->volume_count && count < max; i++) {
        const char *claim = s->volumes[i].claim;
        bool known = !claim;
        for (size_t j = 0; j < count && !known; j++)
            known = str_eq(ret[j], claim);
        if (!known)
            ret[count++] = claim;
    }
    return count;
}

/* --- Claims and classes --- */

static int64_t quantity_at(const cJSON *o, const char *path)
{
    return quantity_bytes(json_str(o, path));
}

void facts_read_claim(struct arena *a, const char *name, const cJSON *pvc, struct claim_facts *ret)
{
    struct claim_facts c = {.name = arena_strdup(a, name), .looked_up = true};
    c.exists = cJSON_IsObject(pvc);
    if (c.exists) {
        c.bound = str_eq(json_str(pvc, "status.phase"), "Bound");
        c.deleting = has_member(pvc, "metadata.deletionTimestamp");
        c.storage_class = copy_text(a, pvc, "spec.storageClassName");
        c.provisioner =
            copy_text(a, pvc, "metadata.annotations[volume.kubernetes.io/storage-provisioner]");
        if (!c.provisioner)
            c.provisioner = copy_text(
                a, pvc, "metadata.annotations[volume.beta.kubernetes.io/storage-provisioner]");
        c.volume_mode = str_or(copy_text(a, pvc, "spec.volumeMode"), "Filesystem");
        c.bytes = quantity_at(pvc, "status.capacity.storage");
        if (!c.bytes)
            c.bytes = quantity_at(pvc, "spec.resources.requests.storage");
        const cJSON *modes = json_at(pvc, "spec.accessModes");
        if (cJSON_IsArray(modes)) {
            CLEANUP_FREE char *printed = json_print(modes);
            c.access_modes = arena_strdup(a, printed);
        }
    }
    *ret = c;
}

struct storage_class_facts facts_storage_class_of(const char *name, cut_field field,
                                                  const void *class)
{
    return (struct storage_class_facts){
        .name = name,
        .provisioner = field(class, "provisioner"),
        .expansion = str_eq(field(class, "allowVolumeExpansion"), "true"),
        .is_default = str_eq(
            field(class, "metadata.annotations[storageclass.kubernetes.io/is-default-class]"),
            "true"),
        .wait_for_first_consumer =
            str_eq(field(class, "volumeBindingMode"), "WaitForFirstConsumer"),
    };
}

struct snapshot_class_facts facts_snapshot_class_of(const char *name, bool group, cut_field field,
                                                    const void *class)
{
    const char *driver = field(class, "driver");
    const char *is_default =
        group ? "metadata.annotations[groupsnapshot.storage.kubernetes.io/is-default-class]"
              : "metadata.annotations[snapshot.storage.kubernetes.io/is-default-class]";
    return (struct snapshot_class_facts){
        .name = name,
        .driver = driver,
        .group = group,
        .is_default = str_eq(field(class, is_default), "true"),
        .retain = str_eq(field(class, "deletionPolicy"), "Retain"),
        .cut = cut_rule_of(driver, group, field, class),
    };
}

/* As a cache keeps it: a text as it is, true and false by their names. */
static const char *json_field(const void *class, const char *path)
{
    const cJSON *value = json_at(class, path);
    return cJSON_IsBool(value) ? (cJSON_IsTrue(value) ? "true" : "false") : json_str(class, path);
}

void facts_read_storage_class(struct arena *a, const cJSON *o, struct storage_class_facts *ret)
{
    *ret = facts_storage_class_of(copy_text(a, o, "metadata.name"), json_field, o);
    ret->provisioner = arena_strdup(a, ret->provisioner);
}

void facts_read_snapshot_class(struct arena *a, const cJSON *o, bool group,
                               struct snapshot_class_facts *ret)
{
    *ret = facts_snapshot_class_of(copy_text(a, o, "metadata.name"), group, json_field, o);
    ret->driver = arena_strdup(a, ret->driver);
}

void facts_read_storage_profile(struct arena *a, const cJSON *o, struct storage_profile_facts *ret)
{
    /* CDI: the status repeats the spec's choice once it is accepted; a profile bears the name of
       its storage class. */
    const char *chosen = copy_text(a, o, "status.snapshotClass");
    *ret = (struct storage_profile_facts){
        .storage_class = copy_text(a, o, "metadata.name"),
        .snapshot_class = chosen ? chosen : copy_text(a, o, "spec.snapshotClass"),
        .knows_modes = cJSON_GetArraySize(json_at(o, "status.claimPropertySets")) > 0,
    };
}

/* --- Look-ups --- */

const struct volume_facts *facts_volume(const struct source_facts *s, const char *name)
{
    for (size_t i = 0; i < s->volume_count; i++)
        if (str_eq(s->volumes[i].name, name))
            return &s->volumes[i];
    return NULL;
}

const struct claim_facts *facts_claim(const struct source_facts *s, const char *name)
{
    for (size_t i = 0; name && i < s->claim_count; i++)
        if (str_eq(s->claims[i].name, name))
            return &s->claims[i];
    return NULL;
}

const struct storage_class_facts *facts_storage_class(const struct class_facts *c, const char *name)
{
    for (size_t i = 0; name && i < c->storage_class_count; i++)
        if (str_eq(c->storage_classes[i].name, name))
            return &c->storage_classes[i];
    return NULL;
}

const struct snapshot_class_facts *facts_snapshot_class(const struct class_facts *c, bool group,
                                                        const char *name)
{
    for (size_t i = 0; name && i < c->snapshot_class_count; i++)
        if (c->snapshot_classes[i].group == group && str_eq(c->snapshot_classes[i].name, name))
            return &c->snapshot_classes[i];
    return NULL;
}

bool facts_knows_modes(const struct class_facts *c, const char *storage_class)
{
    for (size_t i = 0; storage_class && i < c->profile_count; i++)
        if (str_eq(c->profiles[i].storage_class, storage_class))
            return c->profiles[i].knows_modes;
    return false;
}

bool facts_has_driver(const struct class_facts *c, const char *name)
{
    for (size_t i = 0; i < c->driver_count; i++)
        if (str_eq(c->drivers[i], name))
            return true;
    return false;
}

const char *facts_claim_driver(const struct class_facts *c, const struct claim_facts *claim)
{
    const struct storage_class_facts *sc = facts_storage_class(c, claim->storage_class);
    return sc && sc->provisioner ? sc->provisioner : claim->provisioner;
}
