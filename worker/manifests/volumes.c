/* Volumes of the target: every claim of the source becomes one of ours, or goes. */
#include "manifests/build.h"

#include <assert.h>

#include "base/str.h"
#include "wukong/api/volumes.h"

static const struct manifest_disk *wanted(const struct manifest_request *r, const char *volume)
{
    for (size_t i = 0; i < r->disk_count; i++)
        if (str_eq(r->disks[i].volume, volume))
            return &r->disks[i];
    return NULL;
}

/* Names of the source's volumes that can be cloned, for messages. */
static void list_disks(const cJSON *source, struct buf *out)
{
    struct manifest_volume volumes[LIMIT_DISKS];
    size_t count = manifest_volumes(source, volumes, LIMIT_DISKS);
    for (size_t i = 0; i < count && i < LIMIT_DISKS; i++)
        if (volumes[i].claim)
            buf_addf(out, "%s%s", out->len ? ", " : "", volumes[i].name);
    if (!out->len)
        buf_adds(out, "none");
}

static int check_wanted(const struct manifest_build *b, const struct manifest_disk *disk,
                        struct err *err)
{
    const cJSON *volume = tree_named(json_get(b->instance, "volumes"), disk->volume);
    const struct volume_type *type = volume_type_of(volume);
    if (volume && type->fate == VOLUME_COPIED)
        return 0;
    if (volume && type->words)
        return err_set(err, ERR_REFUSED,
                       "spec.disks: volume \"%.63s\" of the source cannot be cloned, %s: remove it "
                       "from spec.disks",
                       disk->volume, type->words);
    CLEANUP_BUF struct buf names = BUF_INIT(64 * KIB);
    list_disks(b->source, &names);
    return err_set(err, ERR_REFUSED,
                   "spec.disks: the source has no disk \"%.63s\" with a claim; it has: %.200s. "
                   "Name one of them, or set sourceDisk",
                   disk->volume, names.data);
}

/* No two of ours may be the same, and none may be one of the source's (same namespace). */
static int check_claims(const struct manifest_build *b, struct err *err)
{
    bool same_ns = !b->r->effective->cross_namespace;
    const cJSON *volume;
    for (size_t i = 0; i < b->r->disk_count; i++) {
        const struct manifest_disk *disk = &b->r->disks[i];
        assert(disk->volume && disk->claim);
        if (check_wanted(b, disk, err) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (str_eq(b->r->disks[k].volume, disk->volume) ||
                str_eq(b->r->disks[k].claim, disk->claim))
                return err_set(err, ERR_REFUSED,
                               "spec.disks: the source's disk \"%.63s\" is named twice: name each "
                               "disk once",
                               disk->volume);
        TREE_EACH(volume, json_get(b->instance, "volumes"))
        {
            if (same_ns && str_eq(volume_claim(volume), disk->claim))
                return err_set(err, ERR_REFUSED,
                               "the claim for disk \"%.63s\" would be called \"%.100s\", which is "
                               "the source's own: choose another metadata.name for the Wukong",
                               disk->volume, disk->claim);
        }
    }
    return 0;
}

/* The device that starts the machine: lowest bootOrder, without any the first disk. */
static const char *boot_device(const cJSON *devices)
{
    const cJSON *disk, *best = NULL;
    int64_t order, lowest = INT64_MAX;
    TREE_EACH(disk, json_get(devices, "disks"))
    {
        if (json_int(disk, "bootOrder", &order) && order < lowest) {
            lowest = order;
            best = disk;
        }
    }
    if (!best)
        best = json_at(devices, "disks.#0");
    return best ? json_str(best, "name") : NULL;
}

static void replace_claim(cJSON *volume, const struct volume_type *type, const char *claim)
{
    if (!str_eq(type->member, "dataVolume")) {
        tree_set_string(tree_at(volume, type->overlay ? "ephemeral.persistentVolumeClaim"
                                                      : "persistentVolumeClaim"),
                        "claimName", claim);
        return;
    }
    /* Our claims need no DataVolume, even when CDI makes them: KubeVirt takes the claim. */
    const cJSON *hotpluggable = json_at(volume, "dataVolume.hotpluggable");
    cJSON *source = tree_new();
    tree_set_string(source, "claimName", claim);
    if (hotpluggable)
        tree_set(source, "hotpluggable", tree_dup(hotpluggable));
    tree_remove(volume, "dataVolume");
    tree_set(volume, "persistentVolumeClaim", source);
}

/* Volume, disk and filesystem: a disk without volume is refused by KubeVirt (422, Name not found),
   a volume without disk is given one silently. */
void build_drop_volume(struct manifest_build *b, cJSON *volumes, cJSON *volume)
{
    /* ACPI tables by the name of a volume: KubeVirt refuses one that is not there. */
    static const char *const tables[] = {"slicNameRef", "msdmNameRef"};
    CLEANUP_FREE char *name = xstrdup(str_or(json_str(volume, "name"), ""));
    cJSON_Delete(cJSON_DetachItemViaPointer(volumes, volume));
    tree_remove_named(tree_at(b->devices, "disks"), name);
    tree_remove_named(tree_at(b->devices, "filesystems"), name);
    cJSON *firmware = tree_at(b->domain, "firmware"), *acpi = tree_at(firmware, "acpi");
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (str_eq(json_str(acpi, tables[i]), name))
            tree_remove(acpi, tables[i]);
    tree_remove_if_empty(firmware, "acpi");
}

/* The volume becomes the clone's own, stays, or goes with its disk. */
static void build_volume(struct manifest_build *b, cJSON *volumes, cJSON *volume, const char *boot)
{
    const char *name = str_or(json_str(volume, "name"), "");
    const struct volume_type *type = volume_type_of(volume);
    const struct manifest_disk *disk = wanted(b->r, name);
    enum volume_fate fate = b->r->effective->cross_namespace ? type->elsewhere : type->fate;
    if (fate == VOLUME_CARRIED)
        return;
    if (disk) {
        if (type->overlay)
            build_warn(b,
                       "disk \"%s\" is ephemeral: the clone starts from its backing claim, "
                       "what the guest has written since it started is not copied",
                       name);
        replace_claim(volume, type, disk->claim);
        return;
    }
    if (type->words)
        build_warn(b, "volume \"%s\" of the source is left out: %s", name, type->words);
    else
        build_warn(b, "disk \"%s\" of the source is left out%s", name,
                   str_eq(name, boot) ? "; the source boots from it, so the clone may not start"
                                      : "");
    build_drop_volume(b, volumes, volume);
}

int build_volumes(struct manifest_build *b, struct err *err)
{
    if (check_claims(b, err) < 0)
        return -1;
    /* Claims plugged beside the guest (dumps, backups), never disks of it. */
    if (cJSON_GetArraySize(json_get(b->instance, "utilityVolumes")))
        build_warn(b,
                   "utilityVolumes of the source are left out: they serve its dumps and backups");
    tree_remove(b->instance, "utilityVolumes");
    cJSON *volumes = tree_at(b->instance, "volumes"), *next;
    if (!cJSON_IsArray(volumes))
        return 0;
    CLEANUP_FREE char *boot = xstrdup(boot_device(b->devices));
    for (cJSON *volume = volumes->child; volume; volume = next) {
        next = volume->next;
        build_volume(b, volumes, volume, boot);
    }
    return 0;
}

/* --- Boot order --- */

static void shift_boot_orders(cJSON *list, int64_t by)
{
    cJSON *device;
    int64_t order;
    TREE_EACH(device, list)
    if (json_int(device, "bootOrder", &order))
        tree_set_int(device, "bootOrder", order + by);
}

/* The disk's entry; made where the spec leaves it to KubeVirt (its mutator adds one for each volume
   without: pkg/defaults, SetDefaultVolumeDisk). */
static cJSON *disk_entry(struct manifest_build *b, const char *name)
{
    cJSON *disks = tree_array(b->devices, "disks");
    cJSON *disk = tree_named(disks, name);
    if (!disk) {
        disk = tree_new();
        tree_set_string(disk, "name", name);
        tree_object(disk, "disk");
        tree_append(disks, disk);
    }
    return disk;
}

/* Boot disks first, in the order of spec.disks; everything else that had an order follows. */
int build_boot_order(struct manifest_build *b, struct err *err)
{
    int64_t count = 0, order;
    const char *first = NULL;
    for (size_t i = 0; i < b->r->disk_count; i++) {
        if (!b->r->disks[i].boot)
            continue;
        first = count++ ? first : b->r->disks[i].volume;
        if (tree_named(json_get(b->devices, "filesystems"), b->r->disks[i].volume))
            return err_set(err, ERR_REFUSED,
                           "spec.disks: \"%.63s\" is shared as a filesystem and cannot boot: "
                           "remove boot: true",
                           b->r->disks[i].volume);
    }
    if (count == 0)
        return 0;
    const cJSON *disk = tree_named(json_get(b->devices, "disks"), first);
    if (count == 1 && json_int(disk, "bootOrder", &order) && order == 1)
        return 0;
    shift_boot_orders(tree_at(b->devices, "disks"), count);
    shift_boot_orders(tree_at(b->devices, "interfaces"), count);
    order = 1;
    for (size_t i = 0; i < b->r->disk_count; i++)
        if (b->r->disks[i].boot)
            tree_set_int(disk_entry(b, b->r->disks[i].volume), "bootOrder", order++);
    return 0;
}

/* --- The last look: no claim of the source stands anywhere, known field or not. --- */

struct audit {
    const struct manifest_build *build;
    const char *path[LIMIT_JSON_DEPTH];
    size_t depth;
};

static bool is_ours(const struct manifest_request *r, const char *claim)
{
    for (size_t i = 0; i < r->disk_count; i++)
        if (str_eq(r->disks[i].claim, claim))
            return true;
    return false;
}

/* A claim of dynamic resource allocation: the name of a clone of spec.resourceClaims (kubevirt.io/
   api core/v1 schema.go ClaimRequest). */
static bool is_device_claim(const struct audit *a)
{
    static const char *const users[] = {"gpus", "hostDevices"};
    const char *parent = a->depth > 1 ? a->path[a->depth - 2] : NULL;
    const char *list = a->depth > 2 ? a->path[a->depth - 3] : NULL;
    for (size_t i = 0; i < ARRAY_LEN(users); i++)
        if (!parent && str_eq(list, users[i]))
            return true;
    return str_eq(parent, "resourceClaim");
}

static int audit_refuse(const struct audit *a, const cJSON *found, struct err *err)
{
    CLEANUP_BUF struct buf path = BUF_INIT(4 * KIB);
    for (size_t i = 0; i < a->depth; i++)
        buf_addf(&path, "%s%.63s", i ? "." : "", a->path[i] ? a->path[i] : "[]");
    CLEANUP_FREE char *text = json_text(found);
    return err_set(err, ERR_REFUSED,
                   "%.200s of the source names \"%.100s\", and this version of Wukong cannot "
                   "replace claims there: remove that field from the source, or upgrade Wukong",
                   path.data, text);
}

static int audit_node(struct audit *a, const cJSON *node, struct err *err)
{
    for (const cJSON *m = node->child; m; m = m->next) {
        if (a->depth == LIMIT_JSON_DEPTH)
            return err_set(err, ERR_LIMIT, "the source spec is nested deeper than %d levels",
                           LIMIT_JSON_DEPTH);
        a->path[a->depth++] = m->string;
        bool claim = str_eq(m->string, "claimName") && !is_device_claim(a) &&
                     !(cJSON_IsString(m) && is_ours(a->build->r, m->valuestring));
        bool indirect = str_eq(m->string, "dataVolume") || str_eq(m->string, "dataVolumeTemplates");
        if (claim || indirect)
            return audit_refuse(a, m, err);
        if (audit_node(a, m, err) < 0)
            return -1;
        a->depth--;
    }
    return 0;
}

/* Whatever shape the source's volumes have, or a capture that somebody has edited: each disk of the
   clone is there, on its own claim. */
static int audit_disks(const struct manifest_build *b, struct err *err)
{
    for (size_t i = 0; i < b->r->disk_count; i++) {
        const struct manifest_disk *disk = &b->r->disks[i];
        const cJSON *volume = tree_named(json_get(b->instance, "volumes"), disk->volume);
        if (!str_eq(volume_claim(volume), disk->claim))
            return err_set(err, ERR_REFUSED,
                           "volume \"%.63s\" of the source has a form that cannot be given the "
                           "clone's claim \"%.100s\"",
                           disk->volume, disk->claim);
    }
    return 0;
}

int build_audit(const struct manifest_build *b, struct err *err)
{
    struct audit a = {.build = b, .path = {"spec"}, .depth = 1};
    /* Labels are the one place where a key is free text, so metadata is left out. */
    return audit_node(&a, b->spec, err) < 0 ? -1 : audit_disks(b, err);
}
