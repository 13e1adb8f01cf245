#include "wukong/source/dependencies.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

#define NETWORK_SECRET "networkDataSecretRef.name"

/* Where a spec names other objects; %-free paths below one item of a list, or below the spec. */
static const struct {
    const char *list;     /* under the instance's spec; NULL: the spec itself */
    const char *path;     /* of the name, inside an item */
    const char *optional; /* path of a boolean, NULL: always needed */
    const char *kind;
    enum dependency_loss loss;
} references[] = {
    {"volumes", "configMap.name", "configMap.optional", "ConfigMap", LOSES_NOTHING},
    {"volumes", "sysprep.configMap.name", "sysprep.configMap.optional", "ConfigMap", LOSES_NOTHING},
    {"volumes", "secret.secretName", "secret.optional", "Secret", LOSES_ITEM},
    {"volumes", "sysprep.secret.name", "sysprep.secret.optional", "Secret", LOSES_ITEM},
    {"volumes", "cloudInitNoCloud.secretRef.name", NULL, "Secret", LOSES_ITEM},
    {"volumes", "cloudInitNoCloud." NETWORK_SECRET, NULL, "Secret", LOSES_MEMBER},
    {"volumes", "cloudInitConfigDrive.secretRef.name", NULL, "Secret", LOSES_ITEM},
    {"volumes", "cloudInitConfigDrive." NETWORK_SECRET, NULL, "Secret", LOSES_MEMBER},
    {"volumes", "containerDisk.imagePullSecret", NULL, "Secret", LOSES_MEMBER},
    {"volumes", "serviceAccount.serviceAccountName", NULL, "ServiceAccount", LOSES_ITEM},
    {"accessCredentials", "sshPublicKey.source.secret.secretName", NULL, "Secret", LOSES_ITEM},
    {"accessCredentials", "userPassword.source.secret.secretName", NULL, "Secret", LOSES_ITEM},
    {"resourceClaims", "resourceClaimName", NULL, "ResourceClaim", LOSES_NOTHING},
    {"resourceClaims", "resourceClaimTemplateName", NULL, "ResourceClaimTemplate", LOSES_NOTHING},
    {NULL, "domain.firmware.kernelBoot.container.imagePullSecret", NULL, "Secret", LOSES_MEMBER},
    {NULL, "serviceAccountName", NULL, "ServiceAccount", LOSES_MEMBER},
};

/* KubeVirt refuses a cloud-init volume without any data (pkg/virt-api/webhooks/validating-webhook/
   admitters/vmi-create-admitter.go): with its network data it loses itself. */
static enum dependency_loss loss_of(size_t row, const cJSON *item)
{
    static const char *const drives[] = {"cloudInitNoCloud", "cloudInitConfigDrive"};
    static const char *const others[] = {"userData", "userDataBase64", "secretRef"};
    if (references[row].loss != LOSES_MEMBER || !str_ends(references[row].path, NETWORK_SECRET))
        return references[row].loss;
    for (size_t i = 0; i < ARRAY_LEN(drives); i++)
        for (size_t k = 0; k < ARRAY_LEN(others); k++) {
            const cJSON *data = json_get(json_get(item, drives[i]), others[k]);
            if (cJSON_IsObject(data) || (cJSON_IsString(data) && *data->valuestring))
                return LOSES_MEMBER;
        }
    return LOSES_ITEM;
}

static int reference_of(const cJSON *item, size_t row, const char *ns, dependencies_found *found,
                        void *arg)
{
    const char *name = json_str(item, references[row].path);
    if (str_empty(name))
        return 0;
    struct dependency need = {
        .kind = references[row].kind,
        .ns = ns,
        .name = name,
        .optional = references[row].optional && json_bool(item, references[row].optional, false),
        .loss = loss_of(row, item),
        .list = references[row].list,
        .item = item,
        .path = references[row].path,
    };
    return found(arg, &need);
}

static int references_of(const cJSON *instance, size_t row, const char *ns,
                         dependencies_found *found, void *arg)
{
    if (!references[row].list)
        return reference_of(instance, row, ns, found, arg);
    const cJSON *item, *list = json_get(instance, references[row].list);
    if (!cJSON_IsArray(list))
        return 0;
    cJSON_ArrayForEach (item, list) {
        int status = reference_of(item, row, ns, found, arg);
        if (status)
            return status;
    }
    return 0;
}

/* "name" is looked up in the machine's namespace, "ns/name" is not. */
static int attachments(const cJSON *instance, const char *ns, dependencies_found *found, void *arg)
{
    const cJSON *network, *list = json_get(instance, "networks");
    if (!cJSON_IsArray(list))
        return 0;
    cJSON_ArrayForEach (network, list) {
        const char *name = json_str(network, "multus.networkName");
        const char *slash = name ? strchr(name, '/') : NULL;
        CLEANUP_FREE char *other = slash ? xstrndup(name, (size_t)(slash - name)) : NULL;
        struct dependency need = {.kind = "NetworkAttachmentDefinition",
                                  .ns = other ? other : ns,
                                  .name = slash ? slash + 1 : name,
                                  .list = "networks",
                                  .item = network,
                                  .path = "multus.networkName"};
        int status = str_empty(need.name) ? 0 : found(arg, &need);
        if (status)
            return status;
    }
    return 0;
}

int dependencies_each(const cJSON *instance, const char *ns, dependencies_found *found, void *arg)
{
    for (size_t row = 0; row < ARRAY_LEN(references); row++) {
        int status = references_of(instance, row, ns, found, arg);
        if (status)
            return status;
    }
    return attachments(instance, ns, found, arg);
}

bool dependency_is_denied(const struct dependency *need, const struct wukong_spec *spec)
{
    bool renamed = str_eq(need->kind, reference_kind_names[REFERENCE_SECRET]) &&
                   wukong_renamed(&spec->target, REFERENCE_SECRET, need->name);
    return need->loss != LOSES_NOTHING && !renamed &&
           !wukong_allows_secret(&spec->source, need->name);
}

/* What goes, by the place of the reference. */
static void describe_loss(const struct dependency *need, char out[64])
{
    const char *name = json_str(need->item, "name");
    const char *dot = strrchr(need->path, '.');
    if (!str_eq(need->list, "volumes"))
        (void)snprintf(out, 64, "%s",
                       need->list ? "its access credential"
                       : dot      ? dot + 1
                                  : need->path);
    else if (need->loss == LOSES_ITEM)
        (void)snprintf(out, 64, "volume \"%.20s\"", str_or(name, "?"));
    else
        (void)snprintf(out, 64, "%s of volume \"%.20s\"",
                       str_ends(need->path, NETWORK_SECRET) ? "network data" : dot + 1,
                       str_or(name, "?"));
}

void dependency_denied_text(const struct dependency *need, char out[DEPENDENCY_DENIED_MAX])
{
    char loss[64];
    describe_loss(need, loss);
    /* kind "name" is not in allowSecrets: loss is left out */
    size_t fixed =
        strlen(need->kind) + strlen(loss) + strlen(" \"\" is not in allowSecrets:  is left out");
    size_t room = DEPENDENCY_DENIED_MAX - 1 - fixed;
    bool whole = strlen(need->name) <= room;
    CLEANUP_FREE char *text =
        xasprintf("%s \"%.*s%s\" is not in allowSecrets: %s is left out", need->kind,
                  (int)(whole ? room : room - 3), need->name, whole ? "" : "...", loss);
    memcpy(out, text, strlen(text) + 1);
}
