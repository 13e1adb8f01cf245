#include "looks/looks.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "wukong/access.h"
#include "wukong/spec.h"

const char *const look_kind_names[LOOK_KINDS] = {
    [LOOK_MAY_CLONE] = "access",
    [LOOK_MAY_START] = "access-start",
    [LOOK_VM] = "virtualmachine",
    [LOOK_VMI] = "virtualmachineinstance",
    [LOOK_EXPANDED] = "virtualmachine-expanded",
    [LOOK_CLAIM] = "persistentvolumeclaim",
    [LOOK_SOURCE_NAMESPACE] = "source-namespace",
    [LOOK_TARGET_NAMESPACE] = "target-namespace",
    [LOOK_CDI] = "cdi",
    [LOOK_PROFILE] = "storageprofile",
    [LOOK_STORAGE_CLASSES] = "storageclasses",
    [LOOK_SNAPSHOT_CLASSES] = "volumesnapshotclasses",
    [LOOK_DRIVERS] = "csidrivers",
    [LOOK_POLICIES] = "clonepolicies",
};

void looks_release(struct looks *l)
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

/* Names are checked before a look is made of them, so paths need no escaping. */
static char *path_of(enum look_kind kind, const char *ns, const char *name)
{
    switch (kind) {
    case LOOK_VM:
        return xasprintf("/apis/kubevirt.io/v1/namespaces/%s/virtualmachines/%s", ns, name);
    case LOOK_VMI:
        return xasprintf("/apis/kubevirt.io/v1/namespaces/%s/virtualmachineinstances/%s", ns, name);
    case LOOK_EXPANDED:
        return xasprintf("/apis/subresources.kubevirt.io/v1/namespaces/%s/virtualmachines/%s/"
                         "expand-spec",
                         ns, name);
    case LOOK_CLAIM:
        return xasprintf("/api/v1/namespaces/%s/persistentvolumeclaims/%s", ns, name);
    case LOOK_SOURCE_NAMESPACE:
    case LOOK_TARGET_NAMESPACE:
        return xasprintf("/api/v1/namespaces/%s", ns);
    case LOOK_CDI:
        return xstrdup("/apis/cdi.kubevirt.io/v1beta1");
    case LOOK_PROFILE:
        return xasprintf("/apis/cdi.kubevirt.io/v1beta1/storageprofiles/%s", name);
    case LOOK_STORAGE_CLASSES:
        return xstrdup("/apis/storage.k8s.io/v1/storageclasses");
    case LOOK_SNAPSHOT_CLASSES:
        return xstrdup("/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses");
    case LOOK_DRIVERS:
        return xstrdup("/apis/storage.k8s.io/v1/csidrivers");
    case LOOK_POLICIES:
        return xstrdup("/apis/" WUKONG_GROUP "/" WUKONG_VERSION_NAME "/clonepolicies");
    case LOOK_MAY_CLONE:
    case LOOK_MAY_START:
    case LOOK_KINDS:
        break;
    }
    return xstrdup(ACCESS_PATH);
}

struct look *looks_get(struct looks *l, enum look_kind kind, const char *ns, const char *name)
{
    name = str_or(name, "");
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i]->kind == kind && str_eq(l->items[i]->name, name))
            return l->items[i];
    if (l->count == LOOKS_MAX || strlen(name) > LIMIT_DNS_SUBDOMAIN)
        return NULL;
    struct look *k = xcalloc(1, sizeof *k);
    k->kind = kind;
    snprintf(k->name, sizeof k->name, "%s", name);
    k->path = path_of(kind, str_or(ns, ""), name);
    l->items[l->count++] = k;
    return k;
}

static void write_review(struct look *k, const cJSON *user_info, const char *ns)
{
    CLEANUP_BUF struct buf body = BUF_INIT(LIMIT_REPLY_BYTES);
    const struct access_question q = {
        .right = k->kind == LOOK_MAY_START ? ACCESS_START : ACCESS_CLONE,
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

struct look *looks_access(struct looks *l, enum look_kind kind, const cJSON *user_info,
                          const char *ns, const char *name)
{
    struct look *k = looks_get(l, kind, ns, name);
    if (k && !k->body)
        write_review(k, user_info, ns);
    return k;
}

struct look *looks_own_access(struct looks *l, enum look_kind kind, const char *ns,
                              const char *name)
{
    struct look *k = looks_get(l, kind, ns, name);
    if (!k || k->body)
        return k;
    free(k->path);
    k->path = xstrdup(ACCESS_OWN_PATH);
    write_review(k, NULL, ns);
    return k;
}

bool looks_pending(const struct looks *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->items[i]->done)
            return true;
    return false;
}

void look_answered(struct look *k, int code, char *answer)
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

const cJSON *look_tree(const struct look *k)
{
    return k && k->done ? k->tree : NULL;
}

bool look_exists(const struct look *k, bool *ret_known)
{
    bool there = look_tree(k) != NULL;
    *ret_known = there || (k && k->done && k->code == 404);
    return there;
}

bool look_allowed(const struct look *k, bool *ret_known)
{
    return access_allowed(look_tree(k), ret_known);
}
