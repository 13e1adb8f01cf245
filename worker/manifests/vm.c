/* The VirtualMachine to create, from the source spec and the Wukong; see manifest.h. */
#include "manifests/build.h"

#include <assert.h>

#include "base/str.h"

/* Warnings and needs of one machine; a machine of LIMIT_DISKS disks stays far below. */
#define MANIFEST_ARENA_MAX (256u * KIB)

void manifest_vm_init(struct manifest_vm *t)
{
    *t = (struct manifest_vm){0};
    buf_init(&t->body, MANIFEST_BODY_MAX);
    arena_init(&t->arena, MANIFEST_ARENA_MAX);
}

void manifest_vm_release(struct manifest_vm *t)
{
    buf_release(&t->body);
    arena_release(&t->arena);
    t->needs = NULL;
    t->warnings = t->differences = NULL;
    t->need_count = t->warning_count = t->difference_count = 0;
}

/* --- Metadata --- */

static void copy_inherited(cJSON *metadata, const cJSON *source, const char *map)
{
    const cJSON *from = json_get(source, map);
    if (!cJSON_IsObject(from))
        return;
    for (const cJSON *m = from->child; m; m = m->next)
        tree_set(tree_object(metadata, map), m->string, tree_dup(m));
}

static void build_metadata(struct manifest_build *b, cJSON *metadata)
{
    const cJSON *inherited = json_get(b->source, "metadata");
    copy_inherited(metadata, inherited, "labels");
    copy_inherited(metadata, inherited, "annotations");
    tree_target_marks(metadata, b->w);
    tree_our_labels(metadata, b->w, b->r->index, NULL, b->w->ns);
    /* It proves that the machine is ours until the record knows its UID; with reclaimPolicy Retain
       it is taken off then. As controller, so that no pool with a matching selector adopts it. */
    tree_our_owner(metadata, b->w, true);
}

/* --- Identity --- */

static void build_identity(struct manifest_build *b, const char *vm)
{
    char uuid[UUID_TEXT], mac[MAC_TEXT], hostname[NAME_BUF];
    cJSON *firmware = tree_object(b->domain, "firmware");
    identity_firmware_uuid(b->w->uid, b->r->index, uuid);
    tree_set_string(firmware, "uuid", uuid);
    identity_firmware_serial(b->w->uid, b->r->index, uuid);
    tree_set_string(firmware, "serial", uuid);
    build_hostname(b, vm, hostname);
    tree_set_string(b->instance, "hostname", hostname);
    cJSON *interface;
    unsigned nic = 0;
    TREE_EACH(interface, json_get(b->devices, "interfaces"))
    {
        identity_mac(b->w->uid, b->r->index, nic++, mac);
        if (cJSON_IsObject(interface))
            tree_set_string(interface, "macAddress", mac);
    }
}

/* --- All together --- */

/* The revision is the source's own and goes with it: a machine that keeps its name never starts
   again once it is gone (condition FailedFindInstancetype). */
static void drop_revisions(cJSON *spec)
{
    tree_remove(tree_at(spec, "instancetype"), "revisionName");
    tree_remove(tree_at(spec, "preference"), "revisionName");
}

static int build_begin(struct manifest_build *b, const char *name, struct err *err)
{
    cJSON *metadata;
    const cJSON *spec = json_get(b->source, "spec");
    if (!cJSON_IsObject(json_at(spec, "template.spec.domain")))
        return err_set(err, ERR_INVALID, "the source spec has no spec.template.spec.domain");
    b->vm = tree_kubernetes("kubevirt.io/v1", "VirtualMachine", name, b->w->ns, &metadata);
    b->spec = tree_dup(spec);
    tree_set(b->vm, "spec", b->spec);
    b->template = tree_at(b->spec, "template");
    b->instance = tree_at(b->template, "spec");
    b->domain = tree_at(b->instance, "domain");
    b->devices = tree_object(b->domain, "devices");
    /* A spec that was read back from a snapshot's annotation may come from another version. */
    tree_remove(b->spec, "running");
    tree_remove(b->spec, "dataVolumeTemplates");
    drop_revisions(b->spec);
    build_metadata(b, metadata);
    return 0;
}

static int build_parts(struct manifest_build *b, struct err *err)
{
    static int (*const parts[])(struct manifest_build *, struct err *) = {
        build_secrets,         build_differences, build_references, build_guest,
        build_volumes,         build_boot_order,  build_resources,  build_networks,
        build_target_networks, build_placement,   build_access,     build_run_strategy,
        build_marks,
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i](b, err) < 0)
            return -1;
    return 0;
}

int manifest_vm_body(const cJSON *source, const struct manifest_request *r, struct manifest_vm *ret,
                     struct err *err)
{
    const struct wukong *w = r->wukong;
    assert(w->name && w->ns);
    assert(w->uid);
    assert(r->index >= 0);
    char name[NAME_BUF];
    struct manifest_build b = {.r = r, .w = w, .source = source, .ret = ret};
    if (manifest_source_check(source, err) < 0)
        return -1;
    ret->needs_expand = manifest_needs_expand(source, &w->spec);
    if (ret->needs_expand)
        return 0;
    name_vm(w->name, r->effective->replicas, r->index, name);
    int status = build_begin(&b, name, err);
    CLEANUP_JSON cJSON *vm = b.vm;
    if (status < 0 || build_parts(&b, err) < 0)
        return -1;
    build_identity(&b, name);
    if (build_audit_secrets(&b, err) < 0 || build_overrides(&b, err) < 0 ||
        build_audit(&b, err) < 0 || build_dependencies(&b, err) < 0)
        return -1;
    return tree_print(vm, &ret->body, err);
}

/* --- What was answered --- */

static size_t disk_of_claim(const struct manifest_disk *disks, size_t count, const char *claim)
{
    size_t i = 0;
    while (i < count && !str_eq(disks[i].claim, claim))
        i++;
    return i;
}

int manifest_vm_matches(const cJSON *reply, const struct manifest_disk *disks, size_t disk_count,
                        struct err *err)
{
    struct manifest_volume volumes[4 * LIMIT_DISKS];
    bool named[LIMIT_DISKS] = {false};
    const char *name = str_or(json_str(reply, "metadata.name"), "?");
    size_t n = manifest_volumes(reply, volumes, ARRAY_LEN(volumes));
    assert(disk_count <= LIMIT_DISKS);
    for (size_t i = 0; i < n && i < ARRAY_LEN(volumes); i++) {
        if (!volumes[i].claim)
            continue;
        size_t disk = disk_of_claim(disks, disk_count, volumes[i].claim);
        if (disk == disk_count)
            return err_set(err, ERR_REFUSED,
                           "VirtualMachine \"%.63s\" names claim \"%.100s\", which is not this "
                           "clone's: something in the cluster changes machines as they are created",
                           name, volumes[i].claim);
        named[disk] = true;
    }
    for (size_t i = 0; i < disk_count; i++)
        if (!named[i])
            return err_set(err, ERR_REFUSED,
                           "VirtualMachine \"%.63s\" does not name claim \"%.100s\": something in "
                           "the cluster changes machines as they are created",
                           name, disks[i].claim);
    return 0;
}
