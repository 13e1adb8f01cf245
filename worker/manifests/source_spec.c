/* The source spec: what ran, in one shape; see manifest.h. */
#include "manifests/manifest.h"

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "manifests/build.h"
#include "wukong/api/marks.h"
#include "wukong/api/volumes.h"
#include "wukong/source/differences.h"
#include "wukong/source/facts.h"

/*
 * The user's own marks on a machine (common templates: os, flavor, workload, template). Everything
 * else of the source stays behind, so that a clone never slips behind a Service of the source.
 */
static bool inherits(const char *key)
{
    return str_starts(key, "vm.kubevirt.io/") && annotation_is_inherited(key);
}

/* PCI addresses follow from these, and the guest knows its devices by address. */
static bool inherits_topology(const char *key)
{
    return !str_starts(key, "vm.kubevirt.io/") && annotation_is_inherited(key);
}

#define LEFT_OUT_MAX 8
/* Marks are short words. Longer ones, which would be written once for each of a hundred replicas,
   stay behind with a warning. */
#define INHERITED_VALUE_MAX (4 * KIB)
#define INHERITED_MAX (16 * KIB)

/* Copies what a clone inherits of labels or annotations; nothing is written when nothing is.
   left_out: an array for the names of what was too long; may be NULL. */
static void inherit(cJSON *to, const cJSON *from, const char *map, bool topology, cJSON *left_out)
{
    const cJSON *source = json_get(from, map);
    size_t bytes = 0;
    if (!cJSON_IsObject(source))
        return;
    for (const cJSON *m = source->child; m; m = m->next) {
        bool ours = inherits(m->string) || (topology && inherits_topology(m->string));
        if (!ours || !cJSON_IsString(m))
            continue;
        size_t n = strlen(m->string) + strlen(m->valuestring);
        if (n > INHERITED_VALUE_MAX || bytes + n > INHERITED_MAX) {
            if (left_out && cJSON_GetArraySize(left_out) < LEFT_OUT_MAX)
                tree_append(left_out, cJSON_CreateString(m->string));
            continue;
        }
        bytes += n;
        tree_set_string(tree_object(to, map), m->string, m->valuestring);
    }
}

/* More are not carried through the capture: nobody writes so many. */
#define MISSED_MAX 256

/* What stays behind of the template's annotations unless the Wukong keeps it. */
static cJSON *missed_annotations(const cJSON *annotations)
{
    cJSON *missed = tree_new();
    int count = 0;
    size_t used = 0;
    for (const cJSON *m = cJSON_IsObject(annotations) ? annotations->child : NULL; m; m = m->next)
        if (annotation_is_missed(m->string) && count++ < MISSED_MAX)
            tree_set(missed, m->string,
                     annotation_is_carried(m, &used) ? cJSON_CreateString(m->valuestring)
                                                     : cJSON_CreateNull());
    return missed;
}

static cJSON *inherited_metadata(const cJSON *metadata, bool topology, cJSON *left_out)
{
    cJSON *kept = tree_new();
    inherit(kept, metadata, "labels", topology, left_out);
    inherit(kept, metadata, "annotations", topology, left_out);
    return kept;
}

size_t manifest_volumes(const cJSON *source, struct manifest_volume *ret, size_t max)
{
    const cJSON *spec = json_at(source, "spec.template.spec");
    const cJSON *devices = json_at(spec, "domain.devices");
    const cJSON *volume;
    size_t count = 0;
    TREE_EACH(volume, json_get(spec, "volumes"))
    {
        struct manifest_volume v = {.name = str_or(json_str(volume, "name"), ""),
                                    .claim = volume_claim(volume)};
        const cJSON *disk = tree_named(json_get(devices, "disks"), v.name);
        v.filesystem = tree_named(json_get(devices, "filesystems"), v.name) != NULL;
        v.cdrom = json_get(disk, "cdrom") != NULL;
        v.lun = json_get(disk, "lun") != NULL;
        v.hotpluggable = json_bool(volume, "persistentVolumeClaim.hotpluggable", false) ||
                         json_bool(volume, "dataVolume.hotpluggable", false);
        (void)json_int(disk, "bootOrder", &v.boot_order);
        if (count < max)
            ret[count] = v;
        count++;
    }
    return count;
}

/* KubeVirt takes no more (vmi-create-admitter.go: arrayLenMax); what is looked up by name here is
   looked up in lists of that length. */
#define DEVICES_MAX 256

/* spec: a VirtualMachineInstance's. What cannot be copied is refused by name; KubeVirt's own clone
   refuses the first two as well (pkg/storage/backend-storage: HasPersistentTPMDevice,
   HasPersistentEFI), because that state lives in a claim of its own. */
static int check_instance(const cJSON *spec, struct err *err)
{
    const cJSON *volume;
    const char *const lists[] = {"volumes", "networks", "domain.devices.disks",
                                 "domain.devices.filesystems", "domain.devices.interfaces"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (cJSON_GetArraySize(json_at(spec, lists[i])) > DEVICES_MAX)
            return err_set(err, ERR_REFUSED, "the source has more than %d %s", DEVICES_MAX,
                           lists[i]);
    if (tree_named_twice(json_get(spec, "volumes")))
        return err_set(err, ERR_REFUSED, "two volumes of the source are named \"%.63s\"",
                       tree_named_twice(json_get(spec, "volumes")));
    if (json_bool(spec, "domain.devices.tpm.persistent", false) &&
        json_bool(spec, "domain.devices.tpm.enabled", true))
        return err_set(err, ERR_REFUSED,
                       "the source has a persistent TPM (domain.devices.tpm.persistent: true), "
                       "whose state cannot be cloned: set persistent to false on the source "
                       "(secrets sealed in the TPM are lost) or clone another machine");
    if (json_bool(spec, "domain.firmware.bootloader.efi.persistent", false))
        return err_set(err, ERR_REFUSED,
                       "the source has persistent EFI variables "
                       "(domain.firmware.bootloader.efi.persistent: true), which cannot be "
                       "cloned: set persistent to false on the source or clone another machine");
    TREE_EACH(volume, json_get(spec, "volumes"))
    {
        const struct volume_type *type = volume_type_of(volume);
        if (type->fate == VOLUME_REFUSED)
            return err_set(err, ERR_REFUSED, "volume \"%.63s\" of the source: %s",
                           str_or(json_str(volume, "name"), "?"), type->words);
    }
    return 0;
}

int manifest_source_check(const cJSON *source, struct err *err)
{
    return check_instance(json_at(source, "spec.template.spec"), err);
}

/* --- A machine that runs: the revision, and what has been plugged since. --- */

/* Both name the same claim; volumes without one are always "the same". */
static bool same_claim(const cJSON *a, const cJSON *b)
{
    return str_eq(volume_claim(a), volume_claim(b));
}

static void add_missing_named(cJSON *ours, const cJSON *theirs, const char *name)
{
    const cJSON *item = tree_named(theirs, name);
    if (item && !tree_named(ours, name))
        tree_append(ours, tree_dup(item));
}

/* Appends the VMI's disk or filesystem of that name. */
static void add_device(cJSON *spec, const cJSON *vmi_spec, const char *name)
{
    static const char *const lists[] = {"disks", "filesystems"};
    cJSON *devices = tree_object(tree_object(spec, "domain"), "devices");
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const cJSON *theirs = json_get(json_at(vmi_spec, "domain.devices"), lists[i]);
        if (tree_named(theirs, name))
            add_missing_named(tree_array(devices, lists[i]), theirs, name);
    }
}

/* A disk without a volume stays where the VMI still has it: an empty CD-ROM drive. */
static void remove_unplugged_device(cJSON *spec, const cJSON *vmi_spec, const char *name)
{
    static const char *const lists[] = {"disks", "filesystems"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (!tree_named(json_get(json_at(vmi_spec, "domain.devices"), lists[i]), name))
            tree_remove_named(tree_at(tree_at(spec, "domain.devices"), lists[i]), name);
}

static void follow_volumes(cJSON *spec, const cJSON *vmi_spec)
{
    const cJSON *theirs = json_get(vmi_spec, "volumes");
    cJSON *volumes = tree_array(spec, "volumes"), *next;
    for (cJSON *volume = volumes->child; volume; volume = next) {
        next = volume->next;
        const char *name = json_str(volume, "name");
        const cJSON *now = tree_named(theirs, name);
        if (now && same_claim(volume, now))
            continue;
        if (now) {
            /* A volume migration: the guest's data is in the claim that the VMI names now. */
            if (!cJSON_ReplaceItemViaPointer(volumes, volume, tree_dup(now)))
                abort();
            continue;
        }
        CLEANUP_FREE char *gone = xstrdup(str_or(name, ""));
        cJSON_Delete(cJSON_DetachItemViaPointer(volumes, volume));
        remove_unplugged_device(spec, vmi_spec, gone);
    }
    const cJSON *now;
    TREE_EACH(now, theirs)
    {
        const char *name = json_str(now, "name");
        if (!name || tree_named(volumes, name))
            continue;
        tree_append(volumes, tree_dup(now));
        add_device(spec, vmi_spec, name);
    }
    if (!volumes->child)
        tree_remove(spec, "volumes");
}

/* Interfaces hot-plugged since. Where the revision lists none, the VMI's are KubeVirt's default. */
static void follow_interfaces(cJSON *spec, const cJSON *vmi_spec)
{
    cJSON *interfaces = tree_at(spec, "domain.devices.interfaces");
    const cJSON *theirs = json_at(vmi_spec, "domain.devices.interfaces");
    const cJSON *now;
    if (!cJSON_IsArray(interfaces) || !interfaces->child)
        return;
    TREE_EACH(now, theirs)
    {
        const char *name = json_str(now, "name");
        if (!name || tree_named(interfaces, name))
            continue;
        tree_append(interfaces, tree_dup(now));
        add_missing_named(tree_array(spec, "networks"), json_get(vmi_spec, "networks"), name);
    }
}

/* CPU and memory hot-plug change the VMI in place (pkg/virt-controller/watch/vm: live updates).
   Only what the revision sets itself is followed: the rest of a VMI is resolved defaults. */
static void follow_hotplug(cJSON *spec, const cJSON *vmi_spec)
{
    int64_t was, now;
    cJSON *domain = tree_at(spec, "domain");
    if (json_int(domain, "cpu.sockets", &was) && json_int(vmi_spec, "domain.cpu.sockets", &now) &&
        was != now)
        tree_set_int(tree_at(domain, "cpu"), "sockets", now);
    const char *old = json_str(domain, "memory.guest");
    const char *guest = json_str(vmi_spec, "domain.memory.guest");
    if (old && guest && !quantity_text_equal(old, guest))
        tree_set_string(tree_at(domain, "memory"), "guest", guest);
}

static void follow_topology(cJSON *template, const cJSON *vmi)
{
    cJSON *metadata = tree_at(template, "metadata");
    const cJSON *theirs = json_at(vmi, "metadata.annotations");
    if (!cJSON_IsObject(theirs))
        return;
    for (const cJSON *m = theirs->child; m; m = m->next)
        if (inherits_topology(m->string) && cJSON_IsString(m)) {
            cJSON *annotations = tree_object(metadata, "annotations");
            tree_set_string(annotations, m->string, m->valuestring);
        }
}

/* --- Instancetypes --- */

/* Since KubeVirt 1.9 the pin stands in status, before in spec.instancetype.revisionName. */
static void pin_revision(cJSON *spec, const cJSON *vm, const char *member, const char *status)
{
    cJSON *matcher = tree_at(spec, member);
    const cJSON *ref = json_at(vm, status);
    const char *revision = json_str(ref, "controllerRevisionRef.name");
    if (cJSON_IsObject(matcher) && revision && !json_get(matcher, "revisionName") &&
        str_eq(json_str(matcher, "name"), json_str(ref, "name")))
        tree_set_string(matcher, "revisionName", revision);
}

bool manifest_needs_expand(const cJSON *source, const struct wukong_spec *spec)
{
    return (spec->has_cpu || spec->memory) && cJSON_IsObject(json_at(source, "spec.instancetype"));
}

bool manifest_hides_state(const cJSON *source, const cJSON *vmi)
{
    return cJSON_IsObject(json_at(source, "spec.preference")) &&
           (!vmi || vmi_has_ended(json_str(vmi, "status.phase")));
}

int manifest_expand_body(const cJSON *source, const char *name, const char *ns, struct buf *out,
                         struct err *err)
{
    CLEANUP_JSON cJSON *vm = tree_kubernetes("kubevirt.io/v1", "VirtualMachine", name, ns, NULL);
    const cJSON *spec = json_get(source, "spec");
    if (!cJSON_IsObject(spec))
        return err_set(err, ERR_INVALID, "the source spec has no \"spec\"");
    tree_set(vm, "spec", tree_dup(spec));
    tree_set_string(tree_at(vm, "spec"), "runStrategy", "Halted");
    return tree_print(vm, out, err);
}

/* Takes over a spec: everything of it that belongs to the machine, not to its life. */
static void drop_life(cJSON *spec)
{
    tree_remove(spec, "running");
    tree_remove(spec, "runStrategy");
    tree_remove(spec, "dataVolumeTemplates");
}

int manifest_source_expanded(const cJSON *source, const cJSON *reply, cJSON **ret, struct err *err)
{
    const cJSON *spec = json_get(reply, "spec");
    if (!cJSON_IsObject(json_at(spec, "template.spec")))
        return err_set(err, ERR_INVALID,
                       "KubeVirt's answer to expand-vm-spec holds no spec.template.spec");
    if (json_get(spec, "instancetype") || json_get(spec, "preference"))
        return err_set(err, ERR_INVALID,
                       "KubeVirt's answer to expand-vm-spec still has an instancetype or a "
                       "preference");
    CLEANUP_JSON cJSON *tree = tree_new();
    const cJSON *metadata = json_get(source, "metadata");
    tree_set(tree, "metadata", metadata ? tree_dup(metadata) : tree_new());
    static const char *const members[] = {MANIFEST_ANNOTATIONS, MANIFEST_MISSED,
                                          MANIFEST_RUN_STRATEGY};
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (json_get(source, members[i]))
            tree_set(tree, members[i], tree_dup(json_get(source, members[i])));
    tree_set(tree, "spec", tree_dup(spec));
    drop_life(tree_at(tree, "spec"));
    cJSON *template = tree_at(tree, "spec.template");
    tree_set(template, "metadata", inherited_metadata(json_get(template, "metadata"), true, NULL));
    if (manifest_source_check(tree, err) < 0)
        return -1;
    *ret = TAKE(tree);
    return 0;
}

/* --- All together --- */

/* KubeVirt pins machines that need a node's feature (SEV, realtime, …) by selectors on labels of
   its own, and adds them anew. */
static void drop_selector_additions(cJSON *spec)
{
    cJSON *selector = tree_at(spec, "nodeSelector"), *next;
    if (!cJSON_IsObject(selector))
        return;
    for (cJSON *m = selector->child; m; m = next) {
        next = m->next;
        const char *slash = strchr(m->string, '/');
        CLEANUP_FREE char *domain = xstrndup(m->string, slash ? (size_t)(slash - m->string) : 0);
        if (str_eq(domain, "kubevirt.io") || str_ends(domain, ".kubevirt.io"))
            tree_remove(selector, m->string);
    }
    tree_remove_if_empty(spec, "nodeSelector");
}

static cJSON *from_instance(const cJSON *vmi)
{
    cJSON *spec = tree_new();
    cJSON *template = tree_object(spec, "template");
    tree_set(template, "metadata", inherited_metadata(json_get(vmi, "metadata"), true, NULL));
    tree_set(template, "spec", tree_dup(json_get(vmi, "spec")));
    drop_selector_additions(tree_at(template, "spec"));
    return spec;
}

static cJSON *from_machine_spec(const cJSON *machine_spec)
{
    cJSON *spec = tree_dup(machine_spec);
    drop_life(spec);
    cJSON *template = tree_at(spec, "template");
    tree_set(template, "metadata", inherited_metadata(json_get(template, "metadata"), true, NULL));
    return spec;
}

/* A VMI that has ended says nothing about the VM, which is stopped then. */
static struct manifest_source effective_source(const struct manifest_source *given)
{
    if (given->vm && (!given->vmi || vmi_has_ended(json_str(given->vmi, "status.phase"))))
        return (struct manifest_source){.vm = given->vm};
    return *given;
}

static int check_input(const struct manifest_source *in, struct err *err)
{
    if (!in->vmi && !in->vm)
        return err_set(err, ERR_INVALID, "there is neither a VirtualMachine nor an instance of it");
    if (in->vmi && in->vm && !in->revision_data)
        return err_set(err, ERR_INVALID,
                       "VirtualMachine \"%.63s\" runs, but the ControllerRevision that it was "
                       "started from cannot be read",
                       str_or(json_str(in->vm, "metadata.name"), "?"));
    if (in->revision_data && !cJSON_IsObject(json_at(in->revision_data, "spec.template.spec")))
        return err_set(err, ERR_INVALID,
                       "the ControllerRevision of the running machine holds no "
                       "data.spec.template.spec");
    if (in->vmi && !cJSON_IsObject(json_at(in->vmi, "spec.domain")))
        return err_set(err, ERR_INVALID, "VirtualMachineInstance \"%.63s\" has no spec.domain",
                       str_or(json_str(in->vmi, "metadata.name"), "?"));
    if (!in->vmi && !cJSON_IsObject(json_at(in->vm, "spec.template.spec")))
        return err_set(err, ERR_INVALID, "VirtualMachine \"%.63s\" has no spec.template.spec",
                       str_or(json_str(in->vm, "metadata.name"), "?"));
    return 0;
}

static const cJSON *annotations_of(const struct manifest_source *in)
{
    return in->revision_data ? json_at(in->revision_data, "spec.template.metadata.annotations")
           : in->vmi         ? json_at(in->vmi, "metadata.annotations")
                             : json_at(in->vm, "spec.template.metadata.annotations");
}

/* Of a machine that is Halted it is not known how it was restarted while it ran. */
static const char *run_strategy_of(const struct manifest_source *in)
{
    static const char *const kept[] = {"Always", "RerunOnFailure", "Manual", "Once"};
    const cJSON *spec = in->vm ? json_get(in->vm, "spec") : json_get(in->revision_data, "spec");
    const char *strategy = json_str(spec, "runStrategy");
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (str_eq(strategy, kept[i]))
            return kept[i];
    return NULL;
}

int manifest_source_spec(const struct manifest_source *given, cJSON **ret, struct err *err)
{
    const struct manifest_source in[1] = {effective_source(given)};
    if (check_input(in, err) < 0)
        return -1;
    const cJSON *vmi_spec = json_get(in->vmi, "spec");
    /* What a preference adds shows in the VMI alone. */
    if (vmi_spec && check_instance(vmi_spec, err) < 0)
        return -1;

    CLEANUP_JSON cJSON *tree = tree_new();
    cJSON *left_out = tree_array(tree, MANIFEST_LEFT_OUT);
    tree_set(tree, "metadata", inherited_metadata(json_get(in->vm, "metadata"), false, left_out));
    if (!left_out->child)
        tree_remove(tree, MANIFEST_LEFT_OUT);
    cJSON *spec;
    if (in->revision_data)
        spec = from_machine_spec(json_get(in->revision_data, "spec"));
    else if (in->vmi)
        spec = from_instance(in->vmi);
    else
        spec = from_machine_spec(json_get(in->vm, "spec"));
    tree_set(tree, "spec", spec);
    tree_set(tree, MANIFEST_ANNOTATIONS, missed_annotations(annotations_of(in)));
    tree_remove_if_empty(tree, MANIFEST_ANNOTATIONS);
    tree_set_string(tree, MANIFEST_RUN_STRATEGY, run_strategy_of(in));

    cJSON *instance = tree_at(spec, "template.spec");
    if (in->revision_data) {
        follow_volumes(instance, vmi_spec);
        follow_interfaces(instance, vmi_spec);
        follow_hotplug(instance, vmi_spec);
        follow_topology(tree_at(spec, "template"), in->vmi);
    }
    pin_revision(spec, in->vm, "instancetype", "status.instancetypeRef");
    pin_revision(spec, in->vm, "preference", "status.preferenceRef");
    if (manifest_source_check(tree, err) < 0)
        return -1;
    *ret = TAKE(tree);
    return 0;
}
