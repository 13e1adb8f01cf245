#include "webhook/class_cache.h"

#include <assert.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/metrics.h"
#include "kube/watches.h"
#include "wukong/api/resources.h"
#include "wukong/policy/policy_metrics.h"

/* Everything together; a policy has at most a few KiB. */
#define CLASS_CACHE_ARENA_BYTES (32u * MIB)

enum cached {
    CACHED_STORAGE,
    CACHED_SNAPSHOT,
    CACHED_GROUP,
    CACHED_DRIVERS,
    CACHED_POLICIES,
    CACHED_KINDS
};

static const struct kube_kind kinds[CACHED_KINDS] = {
    [CACHED_STORAGE] = {RESOURCE_STORAGE_CLASS, .fields = {FACTS_STORAGE_CLASS_FIELDS}},
    [CACHED_SNAPSHOT] = {RESOURCE_SNAPSHOT_CLASS, .fields = {FACTS_SNAPSHOT_CLASS_FIELDS}},
    [CACHED_GROUP] = {RESOURCE_GROUP_CLASS, .older_version = GROUP_OLDER_VERSION,
                      .fields = {FACTS_GROUP_CLASS_FIELDS}},
    [CACHED_DRIVERS] = {RESOURCE_CSI_DRIVER, .fields = {0}},
    [CACHED_POLICIES] = {RESOURCE_POLICY, .fields = {"spec"}},
};

struct class_cache {
    struct class_cache_options o;
    struct store *stores[CACHED_KINDS];
    struct watches *watches[CACHED_KINDS];
    struct arena arena;
    struct class_facts classes;
    struct policy *policies;
    size_t policy_count;
    bool policies_incomplete;
    bool stale; /* a store has changed since the arena was filled */
    bool cdi_seen;
    int64_t cdi_seen_ms;
};

struct filling {
    struct class_cache *f;
    void *items;
    size_t count, max;
};

static const char *cached_field(const void *object, const char *path)
{
    return kube_object_field(object, path);
}

static bool fill_storage(void *arg, const struct kube_object *o)
{
    struct filling *to = arg;
    struct storage_class_facts *k = (struct storage_class_facts *)to->items + to->count++;
    struct arena *a = &to->f->arena;
    *k = facts_storage_class_of(arena_strdup(a, o->name), cached_field, o);
    k->provisioner = arena_strdup(a, k->provisioner);
    return to->count < to->max;
}

static bool fill_snapshot(void *arg, const struct kube_object *o)
{
    struct filling *to = arg;
    struct snapshot_class_facts *k = (struct snapshot_class_facts *)to->items + to->count++;
    struct arena *a = &to->f->arena;
    bool group = o->kind == &kinds[CACHED_GROUP];
    *k = facts_snapshot_class_of(arena_strdup(a, o->name), group, cached_field, o);
    k->driver = arena_strdup(a, k->driver);
    return to->count < to->max;
}

static bool fill_driver(void *arg, const struct kube_object *o)
{
    struct filling *to = arg;
    const char **items = to->items;
    items[to->count++] = arena_strdup(&to->f->arena, o->name);
    return to->count < to->max;
}

/* The policy again, as far as it was kept, for policy_decode. */
static cJSON *policy_tree(const struct kube_object *o)
{
    const char *text = kube_object_field(o, "spec");
    struct err err = {0};
    cJSON *tree = cJSON_CreateObject(), *spec = NULL;
    cJSON *metadata = cJSON_AddObjectToObject(tree, "metadata");
    cJSON_AddStringToObject(metadata, "name", o->name);
    cJSON_AddStringToObject(metadata, "uid", str_or(o->uid, ""));
    cJSON_AddNumberToObject(metadata, "generation", (double)o->generation);
    if (text && json_read(text, strlen(text), &spec, &err) == 0)
        cJSON_AddItemToObject(tree, "spec", spec);
    return tree;
}

static bool fill_policy(void *arg, const struct kube_object *o)
{
    struct filling *to = arg;
    CLEANUP_JSON cJSON *tree = policy_tree(o);
    struct policy *items = to->items;
    policy_decode(&to->f->arena, tree, &items[to->count++]);
    return to->count < to->max;
}

static struct filling fill_cache(struct class_cache *f, enum cached which, size_t size,
                                 bool (*visit)(void *arg, const struct kube_object *o))
{
    size_t n = store_count(f->stores[which]);
    struct filling to = {.f = f, .max = n};
    to.items = arena_alloc(&f->arena, (to.max + 1) * size);
    if (to.items && to.max)
        store_each(f->stores[which], visit, &to);
    return to;
}

/* Of single snapshots and of groups, in one list. */
static struct filling fill_snapshot_classes(struct class_cache *f)
{
    static const enum cached both[] = {CACHED_SNAPSHOT, CACHED_GROUP};
    struct filling to = {.f = f};
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        to.max += store_count(f->stores[both[i]]);
    to.items = arena_alloc(&f->arena, (to.max + 1) * sizeof(struct snapshot_class_facts));
    for (size_t i = 0; to.items && i < ARRAY_LEN(both); i++)
        if (to.count < to.max)
            store_each(f->stores[both[i]], fill_snapshot, &to);
    return to;
}

static void refill(struct class_cache *f)
{
    if (!f->stale)
        return;
    f->stale = false;
    arena_release(&f->arena);
    arena_init(&f->arena, CLASS_CACHE_ARENA_BYTES);
    struct filling storage =
        fill_cache(f, CACHED_STORAGE, sizeof(struct storage_class_facts), fill_storage);
    struct filling snapshot = fill_snapshot_classes(f);
    struct filling drivers = fill_cache(f, CACHED_DRIVERS, sizeof(const char *), fill_driver);
    struct filling policies = fill_cache(f, CACHED_POLICIES, sizeof(struct policy), fill_policy);
    f->classes = (struct class_facts){
        .looked_up = true,
        .cdi = f->classes.cdi,
        .snapshot_api = watches_served(f->watches[CACHED_SNAPSHOT]),
        .group_api = watches_served(f->watches[CACHED_GROUP]),
        .drivers_known = watches_synced(f->watches[CACHED_DRIVERS]),
        .storage_classes = storage.items,
        .storage_class_count = storage.count,
        .snapshot_classes = snapshot.items,
        .snapshot_class_count = snapshot.count,
        .drivers = drivers.items,
        .driver_count = drivers.count,
    };
    f->policies = policies.items;
    f->policy_count = policies.count;
    f->policies_incomplete = f->arena.failed;
    if (f->policies_incomplete)
        log_event(LOG_ERROR,
                  "there are more ClonePolicies and classes than the webhook can keep, so it "
                  "admits no clone",
                  LOG_I("policies", store_count(f->stores[CACHED_POLICIES])));
}

static void on_change(void *arg, const struct kube_object *before, const struct kube_object *after)
{
    (void)before;
    (void)after;
    struct class_cache *f = arg;
    f->stale = true;
}

static void on_turned(void *arg)
{
    struct class_cache *f = arg;
    f->stale = true;
    f->o.turned(f->o.arg);
}

static void on_failed(void *arg, const struct kube_kind *kind, const struct err *err)
{
    struct class_cache *f = arg;
    f->o.failed(f->o.arg, kind->resource, err);
}

static void on_unreadable(void *arg, const struct kube_kind *kind, const char *ns, const char *name,
                          const char *why)
{
    struct class_cache *f = arg;
    struct err err = {0};
    (void)ns;
    (void)err_set(&err, ERR_INVALID, "%s cannot be read: %s", name, why);
    f->o.failed(f->o.arg, kind->resource, &err);
}

struct class_cache *class_cache_new(const struct class_cache_options *options)
{
    struct class_cache *f = xcalloc(1, sizeof *f);
    f->o = *options;
    f->stale = true;
    arena_init(&f->arena, CLASS_CACHE_ARENA_BYTES);
    for (size_t i = 0; i < CACHED_KINDS; i++) {
        f->stores[i] = store_new(&kinds[i]);
        store_listen(f->stores[i], (struct store_listener){on_change, f});
        struct reflector_options o = {.store = f->stores[i],
                                      .transport = f->o.client->transport,
                                      .clock = f->o.client->clock,
                                      .timers = f->o.client->timers,
                                      .rng = f->o.rng,
                                      .turned = on_turned,
                                      .failed = on_failed,
                                      .unreadable = on_unreadable,
                                      .arg = f};
        f->watches[i] = watches_new(&o, NULL, 0);
    }
    return f;
}

void class_cache_free(struct class_cache *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < CACHED_KINDS; i++) {
        watches_free(f->watches[i]);
        store_free(f->stores[i]);
    }
    arena_release(&f->arena);
    free(f);
}

void class_cache_start(struct class_cache *f)
{
    for (size_t i = 0; i < CACHED_KINDS; i++)
        watches_start(f->watches[i]);
}

bool class_cache_synced(const struct class_cache *f)
{
    for (size_t i = 0; i < CACHED_KINDS; i++)
        if (!watches_synced(f->watches[i]))
            return false;
    return true;
}

void class_cache_see_cdi(struct class_cache *f, int code)
{
    if (code != 200 && code != 404)
        return;
    f->classes.cdi = code == 200;
    f->cdi_seen = true;
    f->cdi_seen_ms = clock_mono(f->o.client->clock);
}

bool class_cache_cdi_known(const struct class_cache *f)
{
    return f->cdi_seen && clock_mono(f->o.client->clock) - f->cdi_seen_ms < CLASS_CACHE_CDI_MS;
}

const struct class_facts *class_cache_classes(struct class_cache *f)
{
    refill(f);
    return &f->classes;
}

const struct policy *class_cache_policies(struct class_cache *f, size_t *ret_count,
                                          bool *ret_incomplete)
{
    refill(f);
    *ret_incomplete = f->policies_incomplete;
    *ret_count = f->policy_count;
    return f->policies;
}

void class_cache_refresh_metrics(struct class_cache *f)
{
    refill(f);
    policy_metrics_set(f->policies, f->policy_count, f->policies_incomplete);
    for (size_t i = 0; i < CACHED_KINDS; i++)
        kube_metrics_store(f->stores[i], watches_age_ms(f->watches[i]));
}
