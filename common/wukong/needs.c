#include "wukong/needs.h"

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

/* Where a spec names other objects; %-free paths below one item of a list. */
static const struct {
    const char *list;     /* under the instance's spec */
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

static int references_of(const cJSON *instance, size_t row, const char *ns, needs_found *found,
                         void *arg)
{
    const cJSON *item, *list = json_get(instance, references[row].list);
    if (!cJSON_IsArray(list))
        return 0;
    cJSON_ArrayForEach (item, list) {
        const char *name = json_str(item, references[row].path);
        bool optional =
            references[row].optional && json_bool(item, references[row].optional, false);
        int status = str_empty(name) ? 0 : found(arg, references[row].kind, ns, name, optional);
        if (status)
            return status;
    }
    return 0;
}

/* "name" is looked up in the machine's namespace, "ns/name" is not. */
static int attachments(const cJSON *instance, const char *ns, needs_found *found, void *arg)
{
    const cJSON *network, *list = json_get(instance, "networks");
    if (!cJSON_IsArray(list))
        return 0;
    cJSON_ArrayForEach (network, list) {
        const char *name = json_str(network, "multus.networkName");
        const char *slash = name ? strchr(name, '/') : NULL;
        CLEANUP_FREE char *other = slash ? xstrndup(name, (size_t)(slash - name)) : NULL;
        const char *bare = slash ? slash + 1 : name;
        int status = str_empty(bare) ? 0
                                     : found(arg, "NetworkAttachmentDefinition", other ? other : ns,
                                             bare, false);
        if (status)
            return status;
    }
    return 0;
}

int needs_each(const cJSON *instance, const char *ns, needs_found *found, void *arg)
{
    for (size_t row = 0; row < ARRAY_LEN(references); row++) {
        int status = references_of(instance, row, ns, found, arg);
        if (status)
            return status;
    }
    const char *kernel = json_str(instance, "domain.firmware.kernelBoot.container.imagePullSecret");
    int status = str_empty(kernel) ? 0 : found(arg, "Secret", ns, kernel, false);
    return status ? status : attachments(instance, ns, found, arg);
}
