#include "lookup/lookup.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "wukong/api/access.h"
#include "wukong/api/spec.h"

const char *const lookup_kind_names[LOOKUP_KINDS] = {
    [LOOKUP_MAY_CLONE] = "access",
    [LOOKUP_MAY_START] = "access-start",
    [LOOKUP_VM] = "virtualmachine",
    [LOOKUP_VMI] = "virtualmachineinstance",
    [LOOKUP_EXPANDED] = "virtualmachine-expanded",
    [LOOKUP_CLAIM] = "persistentvolumeclaim",
    [LOOKUP_SOURCE_NAMESPACE] = "source-namespace",
    [LOOKUP_TARGET_NAMESPACE] = "target-namespace",
    [LOOKUP_CDI] = "cdi",
    [LOOKUP_PROFILE] = "storageprofile",
    [LOOKUP_STORAGE_CLASSES] = "storageclasses",
    [LOOKUP_SNAPSHOT_CLASSES] = "volumesnapshotclasses",
    [LOOKUP_DRIVERS] = "csidrivers",
    [LOOKUP_POLICIES] = "clonepolicies",
};

void lookups_release(struct lookups *l)
{
    for (size_t i = 0; i < l->count; i++) {
        cJSON_Delete(l->items[i]->tree);
        free(l->items[i]->path);
        free(l->items[i]->body);
        free(l->items[i]->answer);
        free(l->items[i]);
    }
    l->count = 0;
}

/* Names are checked before a lookup is made of them, so paths need no escaping. */
static char *path_of(enum lookup_kind kind, const char *ns, const char *name)
{
    switch (kind) {
    case LOOKUP_VM:
        return xasprintf("/apis/kubevirt.io/v1/namespaces/%s/virtualmachines/%s", ns, name);
    case LOOKUP_VMI:
        return xasprintf("/apis/kubevirt.io/v1/namespaces/%s/virtualmachineinstances/%s", ns, name);
    case LOOKUP_EXPANDED:
        return xasprintf("/apis/subresources.kubevirt.io/v1/namespaces/%s/virtualmachines/%s/"
                         "expand-spec",
                         ns, name);
    case LOOKUP_CLAIM:
        return xasprintf("/api/v1/namespaces/%s/persistentvolumeclaims/%s", ns, name);
    case LOOKUP_SOURCE_NAMESPACE:
    case LOOKUP_TARGET_NAMESPACE:
        return xasprintf("/api/v1/namespaces/%s", ns);
    case LOOKUP_CDI:
        return xstrdup("/apis/cdi.kubevirt.io/v1beta1");
    case LOOKUP_PROFILE:
        return xasprintf("/apis/cdi.kubevirt.io/v1beta1/storageprofiles/%s", name);
    case LOOKUP_STORAGE_CLASSES:
        return xstrdup("/apis/storage.k8s.io/v1/storageclasses");
    case LOOKUP_SNAPSHOT_CLASSES:
        return xstrdup("/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses");
    case LOOKUP_DRIVERS:
        return xstrdup("/apis/storage.k8s.io/v1/csidrivers");
    case LOOKUP_POLICIES:
        return xstrdup("/apis/" WUKONG_GROUP "/" WUKONG_VERSION_NAME "/clonepolicies");
    case LOOKUP_MAY_CLONE:
    case LOOKUP_MAY_START:
    case LOOKUP_KINDS:
        break;
    }
    return xstrdup(ACCESS_PATH);
}

struct lookup *lookups_get(struct lookups *l, enum lookup_kind kind, const char *ns,
                           const char *name)
{
    name = str_or(name, "");
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i]->kind == kind && str_eq(l->items[i]->name, name))
            return l->items[i];
    if (l->count == LOOKUPS_MAX || strlen(name) > LIMIT_DNS_SUBDOMAIN)
        return NULL;
    struct lookup *k = xcalloc(1, sizeof *k);
    k->kind = kind;
    snprintf(k->name, sizeof k->name, "%s", name);
    k->path = path_of(kind, str_or(ns, ""), name);
    l->items[l->count++] = k;
    return k;
}

static void write_review(struct lookup *k, const cJSON *user_info, const char *ns)
{
    CLEANUP_BUF struct buf body = BUF_INIT(LIMIT_REPLY_BYTES);
    const struct access_question q = {
        .right = k->kind == LOOKUP_MAY_START ? ACCESS_START : ACCESS_CLONE,
        .ns = ns,
        .name = k->name,
        .user = user_info ? str_or(json_str(user_info, "username"), "") : NULL,
        .uid = json_str(user_info, "uid"),
        .groups = json_get(user_info, "groups"),
        .extra = json_get(user_info, "extra"),
    };
    access_write(&q, &body);
    k->body = buf_take(&body);
}

struct lookup *lookups_access(struct lookups *l, enum lookup_kind kind, const cJSON *user_info,
                              const char *ns, const char *name)
{
    struct lookup *k = lookups_get(l, kind, ns, name);
    if (k && !k->body)
        write_review(k, user_info, ns);
    return k;
}

struct lookup *lookups_own_access(struct lookups *l, enum lookup_kind kind, const char *ns,
                                  const char *name)
{
    struct lookup *k = lookups_get(l, kind, ns, name);
    if (!k || k->body)
        return k;
    free(k->path);
    k->path = xstrdup(ACCESS_OWN_PATH);
    write_review(k, NULL, ns);
    return k;
}

bool lookups_pending(const struct lookups *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->items[i]->done)
            return true;
    return false;
}

void lookup_answered(struct lookup *k, int code, char *answer)
{
    assert(!k->done);
    k->done = true;
    k->code = code;
    k->answer = answer;
    struct err err = {0};
    if (code >= 200 && code < 300 && answer &&
        json_read(answer, strlen(answer), &k->tree, &err) < 0)
        k->code = 0; /* what cannot be read was not answered */
}

const cJSON *lookup_tree(const struct lookup *k)
{
    return k && k->done ? k->tree : NULL;
}

bool lookup_exists(const struct lookup *k, bool *ret_known)
{
    bool there = lookup_tree(k) != NULL;
    *ret_known = there || (k && k->done && k->code == 404);
    return there;
}

bool lookup_allowed(const struct lookup *k, bool *ret_known)
{
    return access_allowed(lookup_tree(k), ret_known);
}
