/* What must exist beside the new machine, and what may surprise its user. */
#include "worker/target_vm.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

/* A bound, not a rule: a spec of LIMIT_OBJECT_BYTES could name more, none does. */
#define NEEDS_MAX 1024

static int add_need(struct target_build *b, const char *kind, const char *ns, const char *name,
                    bool optional, struct err *err)
{
    struct target_vm *t = b->ret;
    if (str_empty(name))
        return 0;
    for (size_t i = 0; i < t->need_count; i++)
        if (str_eq(t->needs[i].kind, kind) && str_eq(t->needs[i].name, name) &&
            str_eq(t->needs[i].ns, ns)) {
            t->needs[i].optional &= optional;
            return 0;
        }
    if (!t->needs)
        t->needs = arena_alloc(&t->arena, NEEDS_MAX * sizeof *t->needs);
    if (!t->needs || t->need_count == NEEDS_MAX)
        return err_set(err, ERR_LIMIT, "the source names more than %d other objects", NEEDS_MAX);
    struct target_need need = {kind, arena_strdup(&t->arena, name), arena_strdup(&t->arena, ns),
                               optional};
    if (t->arena.failed)
        return err_set(err, ERR_LIMIT, "the source names too many other objects");
    t->needs[t->need_count++] = need;
    return 0;
}

/* Where a spec names other objects; %-free paths below one item of a list. */
static const struct {
    const char *list;     /* under spec.template.spec */
    const char *path;     /* of the name, inside an item */
    const char *optional; /* path of a boolean, NULL: always needed */
    const char *kind;
} references[] = {
    {"volumes", "configMap.name", "configMap.optional", "ConfigMap"},
    {"volumes", "sysprep.configMap.name", "sysprep.configMap.optional", "ConfigMap"},
    {"volumes", "secret.secretName", "secret.optional", "Secret"},
    {"volumes", "sysprep.secret.name", "sysprep.secret.optional", "Secret"},
    {"volumes", "cloudInitNoCloud.secretRef.name", NULL, "Secret"},
    {"volumes", "cloudInitNoCloud.networkDataSecretRef.name", NULL, "Secret"},
    {"volumes", "cloudInitConfigDrive.secretRef.name", NULL, "Secret"},
    {"volumes", "cloudInitConfigDrive.networkDataSecretRef.name", NULL, "Secret"},
    {"volumes", "containerDisk.imagePullSecret", NULL, "Secret"},
    {"volumes", "serviceAccount.serviceAccountName", NULL, "ServiceAccount"},
    {"accessCredentials", "sshPublicKey.source.secret.secretName", NULL, "Secret"},
    {"accessCredentials", "userPassword.source.secret.secretName", NULL, "Secret"},
    {"resourceClaims", "resourceClaimName", NULL, "ResourceClaim"},
    {"resourceClaims", "resourceClaimTemplateName", NULL, "ResourceClaimTemplate"},
};

static int add_references(struct target_build *b, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(references); i++) {
        const cJSON *item;
        TREE_EACH(item, json_get(b->instance, references[i].list))
        {
            const char *name = json_str(item, references[i].path);
            bool optional =
                references[i].optional && json_bool(item, references[i].optional, false);
            if (add_need(b, references[i].kind, b->w->ns, name, optional, err) < 0)
                return -1;
        }
    }
    return add_need(b, "Secret", b->w->ns,
                    json_str(b->domain, "firmware.kernelBoot.container.imagePullSecret"), false,
                    err);
}

/* "name" is looked up in the machine's namespace, "ns/name" is not. */
static int add_attachments(struct target_build *b, struct err *err)
{
    const cJSON *network;
    TREE_EACH(network, json_get(b->instance, "networks"))
    {
        const char *name = json_str(network, "multus.networkName");
        const char *slash = name ? strchr(name, '/') : NULL;
        CLEANUP_FREE char *ns = slash ? xstrndup(name, (size_t)(slash - name)) : NULL;
        if (add_need(b, "NetworkAttachmentDefinition", ns ? ns : b->w->ns, slash ? slash + 1 : name,
                     false, err) < 0)
            return -1;
    }
    return 0;
}

/* KubeVirt compares the kind without regard to case and takes the cluster-wide one by default. */
static int add_matcher(struct target_build *b, const char *member, const char *namespaced,
                       const char *cluster, struct err *err)
{
    const cJSON *matcher = json_get(b->spec, member);
    const char *kind = json_str(matcher, "kind");
    bool local = kind && strncasecmp(kind, namespaced, strlen(namespaced)) == 0;
    return add_need(b, local ? namespaced : cluster, local ? b->w->ns : NULL,
                    json_str(matcher, "name"), false, err);
}

static void warn_network_data(struct target_build *b)
{
    static const char *const paths[] = {"cloudInitNoCloud.networkData",
                                        "cloudInitConfigDrive.networkData"};
    const cJSON *volume;
    TREE_EACH(volume, json_get(b->instance, "volumes"))
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        const char *data = json_str(volume, paths[i]);
        if (data && (strcasestr(data, "macaddress") || strcasestr(data, "mac_address")))
            build_warn(b,
                       "the cloud-init network data of volume \"%s\" seems to match MAC "
                       "addresses: the clone has new ones, its network may stay down",
                       str_or(json_str(volume, "name"), "?"));
    }
}

static void warn_devices(struct target_build *b)
{
    static const char *const lists[] = {"gpus", "hostDevices"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const cJSON *list = json_get(b->devices, lists[i]);
        if (cJSON_IsArray(list) && list->child)
            build_warn(b,
                       "the clone asks for the source's %s: it starts only on a node that has "
                       "them free",
                       lists[i]);
    }
    if (b->w->spec.os_image)
        build_warn(b, "spec.osImage has no meaning for a clone: its disks are the source's");
}

int build_needs(struct target_build *b, struct err *err)
{
    if (add_references(b, err) < 0 || add_attachments(b, err) < 0)
        return -1;
    if (add_matcher(b, "instancetype", "VirtualMachineInstancetype",
                    "VirtualMachineClusterInstancetype", err) < 0)
        return -1;
    if (add_matcher(b, "preference", "VirtualMachinePreference", "VirtualMachineClusterPreference",
                    err) < 0)
        return -1;
    warn_network_data(b);
    warn_devices(b);
    return 0;
}
