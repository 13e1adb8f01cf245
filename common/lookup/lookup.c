#include "lookup/lookup.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/path.h"
#include "wukong/api/access.h"
#include "wukong/api/resources.h"

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
    [LOOKUP_GROUP_CLASSES] = "volumegroupsnapshotclasses",
    [LOOKUP_DRIVERS] = "csidrivers",
    [LOOKUP_POLICIES] = "clonepolicies",
};

/* How a lookup is asked for: what it reads, and which of its parts name that. */
enum shape {
    SHAPE_LIST,
    SHAPE_OBJECT,
    SHAPE_NAMESPACE, /* the object is called as ns */
    SHAPE_REVIEW,    /* a POST; ns and name are in its body */
    SHAPE_GROUP,     /* whether the API is there at all */
};
static const struct {
    enum shape shape;
    const char *sub;
    struct kube_kind kind;
} requests[LOOKUP_KINDS] = {
    [LOOKUP_MAY_CLONE] = {SHAPE_REVIEW, NULL, {RESOURCE_ACCESS_REVIEW, .fields = {0}}},
    [LOOKUP_MAY_START] = {SHAPE_REVIEW, NULL, {RESOURCE_ACCESS_REVIEW, .fields = {0}}},
    [LOOKUP_VM] = {SHAPE_OBJECT, NULL, {RESOURCE_VM, .fields = {0}}},
    [LOOKUP_VMI] = {SHAPE_OBJECT, NULL, {RESOURCE_VMI, .fields = {0}}},
    [LOOKUP_EXPANDED] = {SHAPE_OBJECT, "expand-spec", {RESOURCE_SUB_VM, .fields = {0}}},
    [LOOKUP_CLAIM] = {SHAPE_OBJECT, NULL, {RESOURCE_PVC, .fields = {0}}},
    [LOOKUP_SOURCE_NAMESPACE] = {SHAPE_NAMESPACE, NULL, {RESOURCE_NAMESPACE, .fields = {0}}},
    [LOOKUP_TARGET_NAMESPACE] = {SHAPE_NAMESPACE, NULL, {RESOURCE_NAMESPACE, .fields = {0}}},
    [LOOKUP_CDI] = {SHAPE_GROUP, NULL, {RESOURCE_DATA_VOLUME, .fields = {0}}},
    [LOOKUP_PROFILE] = {SHAPE_OBJECT, NULL, {RESOURCE_STORAGE_PROFILE, .fields = {0}}},
    [LOOKUP_STORAGE_CLASSES] = {SHAPE_LIST, NULL, {RESOURCE_STORAGE_CLASS, .fields = {0}}},
    [LOOKUP_SNAPSHOT_CLASSES] = {SHAPE_LIST, NULL, {RESOURCE_SNAPSHOT_CLASS, .fields = {0}}},
    [LOOKUP_GROUP_CLASSES] = {SHAPE_LIST,
                              NULL,
                              {RESOURCE_GROUP_CLASS, .older_version = GROUP_OLDER_VERSION,
                               .fields = {0}}},
    [LOOKUP_DRIVERS] = {SHAPE_LIST, NULL, {RESOURCE_CSI_DRIVER, .fields = {0}}},
    [LOOKUP_POLICIES] = {SHAPE_LIST, NULL, {RESOURCE_POLICY, .fields = {0}}},
};
static const struct kube_kind own_review = {RESOURCE_OWN_ACCESS_REVIEW, .fields = {0}};

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

struct look_right look_right(const struct lookup *k)
{
    struct look_right r = {"get", &requests[k->kind].kind, requests[k->kind].sub, NULL, NULL};
    switch (requests[k->kind].shape) {
    case SHAPE_LIST:
        r.verb = "list";
        break;
    case SHAPE_OBJECT:
        r.ns = r.kind->cluster_scoped ? NULL : k->ns;
        r.name = k->name;
        break;
    case SHAPE_NAMESPACE:
        r.name = k->ns;
        break;
    case SHAPE_REVIEW:
        r.verb = "create";
        r.kind = k->own ? &own_review : r.kind;
        break;
    case SHAPE_GROUP:
        r.kind = NULL;
        break;
    }
    return r;
}

/* NULL: it cannot be written. */
static char *path_of(const struct lookup *k)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    const struct kube_kind *kind = &requests[k->kind].kind;
    const struct look_right r = look_right(k);
    if (r.kind) {
        kube_path_resource(&path, r.kind->group, k->older ? r.kind->older_version : r.kind->version,
                           r.kind->resource, r.ns, r.name, r.sub);
    } else {
        kube_path_segment(&path, "apis");
        kube_path_segment(&path, kind->group);
        kube_path_segment(&path, kind->version);
    }
    return buf_ok(&path) ? buf_take(&path) : NULL;
}

struct lookup *lookups_get(struct lookups *l, enum lookup_kind kind, const char *ns,
                           const char *name)
{
    name = str_or(name, "");
    ns = str_or(ns, "");
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i]->kind == kind && str_eq(l->items[i]->name, name))
            return l->items[i];
    if (l->count == LOOKUPS_MAX || strlen(name) > LIMIT_DNS_SUBDOMAIN ||
        strlen(ns) > LIMIT_DNS_SUBDOMAIN)
        return NULL;
    struct lookup *k = xcalloc(1, sizeof *k);
    k->kind = kind;
    snprintf(k->ns, sizeof k->ns, "%s", ns);
    snprintf(k->name, sizeof k->name, "%s", name);
    k->path = path_of(k);
    if (!k->path) {
        free(k);
        return NULL;
    }
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
    k->own = true;
    free(k->path);
    k->path = path_of(k);
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

/* Not served so: it is asked for once more, as older clusters serve it. */
static bool asks_for_older(struct lookup *k, int code)
{
    if (code != 404 || k->older || !requests[k->kind].kind.older_version)
        return false;
    k->older = true;
    free(k->path);
    k->path = path_of(k);
    k->sent = false;
    return true;
}

void lookup_answered(struct lookup *k, int code, char *answer)
{
    assert(!k->done);
    if (asks_for_older(k, code)) {
        free(answer);
        return;
    }
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
