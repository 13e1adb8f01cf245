#include "apiserver/apiserver.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"

const struct api_kind_info api_kinds[API_KINDS] = {
    [API_WUKONG] = {"vm.novasphere.dev", "v1alpha1", "wukongs", "Wukong", false, true},
    [API_VM] = {"kubevirt.io", "v1", "virtualmachines", "VirtualMachine", false, true},
    /* The CRD of VirtualMachineInstances has no status subresource. */
    [API_VMI] = {"kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance", false,
                 false},
    [API_PVC] = {"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", false, true},
    [API_SNAPSHOT] = {"snapshot.storage.k8s.io", "v1", "volumesnapshots", "VolumeSnapshot", false,
                      true},
    [API_CONTENT] = {"snapshot.storage.k8s.io", "v1", "volumesnapshotcontents",
                     "VolumeSnapshotContent", true, true},
    [API_GROUP] = {"groupsnapshot.storage.k8s.io", "v1", "volumegroupsnapshots",
                   "VolumeGroupSnapshot", false, true},
    [API_GROUP_CONTENT] = {"groupsnapshot.storage.k8s.io", "v1", "volumegroupsnapshotcontents",
                           "VolumeGroupSnapshotContent", true, true},
    [API_VM_SNAPSHOT] = {"snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshots",
                         "VirtualMachineSnapshot", false, true},
    [API_VM_SNAPSHOT_CONTENT] = {"snapshot.kubevirt.io", "v1beta1",
                                 "virtualmachinesnapshotcontents", "VirtualMachineSnapshotContent",
                                 false, true},
    [API_STORAGE_CLASS] = {"storage.k8s.io", "v1", "storageclasses", "StorageClass", true, false},
    [API_SNAPSHOT_CLASS] = {"snapshot.storage.k8s.io", "v1", "volumesnapshotclasses",
                            "VolumeSnapshotClass", true, false},
    [API_GROUP_CLASS] = {"groupsnapshot.storage.k8s.io", "v1", "volumegroupsnapshotclasses",
                         "VolumeGroupSnapshotClass", true, false},
    [API_CSI_DRIVER] = {"storage.k8s.io", "v1", "csidrivers", "CSIDriver", true, false},
    [API_STORAGE_PROFILE] = {"cdi.kubevirt.io", "v1beta1", "storageprofiles", "StorageProfile",
                             true, true},
    [API_DATA_VOLUME] = {"cdi.kubevirt.io", "v1beta1", "datavolumes", "DataVolume", false, true},
    [API_POLICY] = {"vm.novasphere.dev", "v1alpha1", "clonepolicies", "ClonePolicy", true, true},
    [API_EVENT] = {"", "v1", "events", "Event", false, false},
    [API_REVISION] = {"apps", "v1", "controllerrevisions", "ControllerRevision", false, false},
    [API_LEASE] = {"coordination.k8s.io", "v1", "leases", "Lease", false, false},
    [API_CONFIG_MAP] = {"", "v1", "configmaps", "ConfigMap", false, false},
    [API_POD] = {"", "v1", "pods", "Pod", false, true},
};

/* Owners are collected some time after they have gone. */
#define GC_MS_MIN 100
#define GC_MS_MAX 3000

static struct api_text *text_new(const cJSON *tree)
{
    CLEANUP_FREE char *s = json_print(tree);
    size_t n = strlen(s);
    struct api_text *t = xmalloc(sizeof *t + n + 1);
    t->refs = 1;
    t->len = n;
    memcpy(t->s, s, n + 1);
    return t;
}

static void text_drop(struct api_text *t)
{
    if (t && --t->refs == 0)
        free(t);
}

static struct api_text *text_ref(struct api_text *t)
{
    if (t)
        t->refs++;
    return t;
}

static void applied_free(struct api_applied *a)
{
    while (a) {
        struct api_applied *next = a->next;
        free(a->manager);
        cJSON_Delete(a->tree);
        free(a);
        a = next;
    }
}

static void object_free(struct api_object *o)
{
    text_drop(o->text);
    cJSON_Delete(o->tree);
    applied_free(o->applied);
    free(o->key);
    free(o);
}

static void change_release(struct api_change *c)
{
    text_drop(c->after);
    text_drop(c->before);
    free(c->key);
}

static void run_gc(void *arg);

void api_init(struct apiserver *s, const struct clock *clock, struct timers *timers,
              struct rng *rng)
{
    *s = (struct apiserver){.clock = clock, .timers = timers, .rng = rng, .version = 100};
    timer_init(&s->gc, run_gc, s);
}

void api_release(struct apiserver *s)
{
    timer_cancel(s->timers, &s->gc);
    for (enum api_kind k = 0; k < API_KINDS; k++) {
        struct api_object *o, *next;
        HASH_ITER (hh, s->objects[k], o, next) {
            HASH_DEL(s->objects[k], o);
            object_free(o);
        }
    }
    for (size_t i = 0; i < s->log_count; i++)
        change_release(&s->log[i]);
    free(s->log);
}

void api_compact(struct apiserver *s, uint64_t version)
{
    size_t n = 0;
    while (n < s->log_count && s->log[n].version <= version)
        change_release(&s->log[n++]);
    if (n)
        memmove(s->log, s->log + n, (s->log_count - n) * sizeof *s->log);
    s->log_count -= n;
    if (version > s->compacted)
        s->compacted = version;
}

static void log_append(struct apiserver *s, enum api_change_type type, const struct api_object *o,
                       struct api_text *after, struct api_text *before)
{
    if (s->log_count == s->log_cap) {
        s->log_cap = s->log_cap ? s->log_cap * 2 : 256;
        s->log = xrealloc(s->log, s->log_cap * sizeof *s->log);
    }
    s->log[s->log_count++] = (struct api_change){
        .version = s->version,
        .at_ms = clock_mono(s->clock),
        .kind = o->kind,
        .type = type,
        .key = xstrdup(o->key),
        .after = text_ref(after),
        .before = text_ref(before),
    };
    if (s->appended)
        s->appended(s->appended_arg);
}

char *api_uid(struct apiserver *s)
{
    uint64_t a = rng_next(s->rng), b = rng_next(s->rng);
    s->uids++;
    return xasprintf("%08x-%04x-4%03x-a%03x-%04x%08x", (unsigned)(a >> 32),
                     (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, (unsigned)(b >> 52),
                     (unsigned)s->uids & 0xffff, (unsigned)b);
}

static char *key_of(const char *ns, const char *name)
{
    return xasprintf("%s/%s", str_or(ns, ""), name);
}

struct api_object *api_find(struct apiserver *s, enum api_kind kind, const char *ns,
                            const char *name)
{
    struct api_object *o;
    if (!name)
        return NULL;
    char key[600];
    (void)snprintf(key, sizeof key, "%s/%s", api_kinds[kind].cluster_scoped ? "" : str_or(ns, ""),
                   name);
    HASH_FIND_STR(s->objects[kind], key, o);
    return o;
}

struct api_object *api_find_uid(struct apiserver *s, const char *uid)
{
    for (enum api_kind k = 0; k < API_KINDS; k++)
        for (struct api_object *o = s->objects[k]; o; o = o->hh.next)
            if (str_eq(o->uid, uid))
                return o;
    return NULL;
}

cJSON *api_new(enum api_kind kind, const char *ns, const char *name)
{
    const struct api_kind_info *k = &api_kinds[kind];
    cJSON *tree = cJSON_CreateObject();
    jt_strf(tree, "apiVersion", "%s%s%s", k->group, *k->group ? "/" : "", k->version);
    jt_str(tree, "kind", k->kind);
    jt_str(tree, "metadata.name", name);
    if (!k->cluster_scoped)
        jt_str(tree, "metadata.namespace", ns);
    return tree;
}

/* Points the borrowed strings at the present tree and renews the text. */
static void object_refresh(struct apiserver *s, struct api_object *o)
{
    o->version = ++s->version;
    jt_strf(o->tree, "metadata.resourceVersion", "%" PRIu64, o->version);
    o->ns = str_or(json_str(o->tree, "metadata.namespace"), "");
    o->name = json_str(o->tree, "metadata.name");
    o->uid = json_str(o->tree, "metadata.uid");
    o->text = text_new(o->tree);
}

static void gc_soon(struct apiserver *s)
{
    if (!timer_armed(&s->gc))
        timer_arm(s->timers, &s->gc,
                  clock_mono(s->clock) + rng_range(s->rng, GC_MS_MIN, GC_MS_MAX));
}

struct api_object *api_create(struct apiserver *s, const char *who, enum api_kind kind, cJSON *tree)
{
    char now[TIME_TEXT_MAX];
    const char *name = json_str(tree, "metadata.name");
    assert(name);
    if (api_find(s, kind, json_str(tree, "metadata.namespace"), name)) {
        cJSON_Delete(tree);
        return NULL;
    }
    struct api_object *o = xcalloc(1, sizeof *o);
    CLEANUP_FREE char *uid = api_uid(s);
    time_to_str(clock_wall(s->clock), false, now);
    jt_str(tree, "metadata.uid", uid);
    jt_str(tree, "metadata.creationTimestamp", now);
    jt_int(tree, "metadata.generation", 1);
    o->kind = kind;
    o->tree = tree;
    object_refresh(s, o);
    o->key = key_of(o->ns, o->name);
    HASH_ADD_KEYPTR(hh, s->objects[kind], o->key, strlen(o->key), o);
    log_append(s, API_ADDED, o, o->text, NULL);
    if (s->hooks.changed)
        s->hooks.changed(s->hooks.arg, who, API_ADDED, o, NULL);
    if (json_at(o->tree, "metadata.ownerReferences"))
        gc_soon(s);
    return o;
}

static void object_remove(struct apiserver *s, const char *who, struct api_object *o,
                          const cJSON *before)
{
    struct api_text *old = text_ref(o->text);
    text_drop(o->text);
    object_refresh(s, o);
    HASH_DEL(s->objects[o->kind], o);
    log_append(s, API_DELETED, o, o->text, old);
    if (s->hooks.changed)
        s->hooks.changed(s->hooks.arg, who, API_DELETED, o, before);
    text_drop(old);
    object_free(o);
    gc_soon(s);
}

static bool has_finalizers(const cJSON *tree)
{
    return cJSON_GetArraySize(json_at(tree, "metadata.finalizers")) > 0;
}

void api_replace(struct apiserver *s, const char *who, struct api_object *o, cJSON *tree)
{
    if (json_equal(o->tree, tree)) {
        cJSON_Delete(tree);
        return;
    }
    CLEANUP_JSON cJSON *before = o->tree;
    int64_t generation = 1;
    (void)json_int(before, "metadata.generation", &generation);
    if (!json_equal(json_get(before, "spec"), json_get(tree, "spec")))
        generation++;
    jt_int(tree, "metadata.generation", generation);
    o->tree = tree;
    /* The rest of the identity cannot be written. */
    jt_str(tree, "metadata.uid", json_str(before, "metadata.uid"));
    if (api_deleting(tree) && !has_finalizers(tree)) {
        object_remove(s, who, o, before);
        return;
    }
    struct api_text *old = o->text;
    object_refresh(s, o);
    log_append(s, API_MODIFIED, o, o->text, old);
    text_drop(old);
    if (s->hooks.changed)
        s->hooks.changed(s->hooks.arg, who, API_MODIFIED, o, before);
}

void api_delete(struct apiserver *s, const char *who, struct api_object *o)
{
    char now[TIME_TEXT_MAX];
    if (api_deleting(o->tree) && has_finalizers(o->tree))
        return;
    cJSON *tree = jt_copy(o->tree);
    time_to_str(clock_wall(s->clock), false, now);
    jt_str(tree, "metadata.deletionTimestamp", now);
    jt_int(tree, "metadata.deletionGracePeriodSeconds", 0);
    api_replace(s, who, o, tree);
}

/* --- garbage collection --- */

enum ownership { OWNED_BY_NONE, OWNED_BY_LIVING, OWNED_BY_DEAD };

static enum ownership ownership_of(struct apiserver *s, const cJSON *tree)
{
    const cJSON *owners = json_at(tree, "metadata.ownerReferences"), *r;
    enum ownership best = OWNED_BY_NONE;
    cJSON_ArrayForEach (r, owners) {
        struct api_object *owner = api_find_uid(s, json_str(r, "uid"));
        bool fits = owner && str_eq(owner->name, json_str(r, "name")) &&
                    (!*owner->ns || str_eq(owner->ns, json_str(tree, "metadata.namespace")));
        if (fits)
            return OWNED_BY_LIVING;
        best = OWNED_BY_DEAD;
    }
    return best;
}

static struct api_object *orphan(struct apiserver *s)
{
    for (enum api_kind k = 0; k < API_KINDS; k++)
        for (struct api_object *o = s->objects[k]; o; o = o->hh.next)
            if (!api_deleting(o->tree) && ownership_of(s, o->tree) == OWNED_BY_DEAD)
                return o;
    return NULL;
}

static void run_gc(void *arg)
{
    struct apiserver *s = arg;
    struct api_object *o;
    while ((o = orphan(s)))
        api_delete(s, "garbage-collector", o);
}
