/* Storage classes, snapshot classes and drivers, as facts for the plan of the disks. */
#include "observe/observe.h"

#include "base/str.h"
#include "json/json.h"
#include "observe/queries.h"

struct class_fill {
    struct clone_state *v;
    struct storage_class_facts *storage;
    struct snapshot_class_facts *snapshot;
    struct storage_profile_facts *profiles;
    const char **drivers;
};

static const char *class_field(const void *object, const char *path)
{
    return kube_object_field(object, path);
}

static bool add_storage_class(void *arg, const struct kube_object *o)
{
    struct class_fill *f = arg;
    struct class_facts *c = &f->v->classes;
    f->storage[c->storage_class_count++] = facts_storage_class_of(o->name, class_field, o);
    return c->storage_class_count < LIMIT_CLASSES;
}

static bool add_snapshot_class(void *arg, const struct kube_object *o)
{
    struct class_fill *f = arg;
    struct class_facts *c = &f->v->classes;
    bool group = o->kind == &worker_kinds[KIND_GROUP_CLASS];
    f->snapshot[c->snapshot_class_count++] =
        facts_snapshot_class_of(o->name, group, class_field, o);
    return c->snapshot_class_count < LIMIT_CLASSES;
}

static bool add_driver(void *arg, const struct kube_object *o)
{
    struct class_fill *f = arg;
    struct class_facts *c = &f->v->classes;
    f->drivers[c->driver_count++] = o->name;
    return c->driver_count < LIMIT_CLASSES;
}

static bool add_profile(void *arg, const struct kube_object *o)
{
    struct class_fill *f = arg;
    struct class_facts *c = &f->v->classes;
    f->profiles[c->profile_count++] = (struct storage_profile_facts){
        o->name, kube_object_field(o, F_PROFILE_CLASS),
        cJSON_GetArraySize(clone_field_tree(f->v, o, F_PROFILE_SETS)) > 0};
    return c->profile_count < LIMIT_CLASSES;
}

void observe_classes(struct clone_state *v, const struct cache_reader *c)
{
    struct class_facts *facts = &v->classes;
    struct class_fill f = {
        .v = v,
        .storage = arena_alloc(v->arena, LIMIT_CLASSES * sizeof *f.storage),
        .snapshot = arena_alloc(v->arena, LIMIT_CLASSES * sizeof *f.snapshot),
        .profiles = arena_alloc(v->arena, LIMIT_CLASSES * sizeof *f.profiles),
        .drivers = arena_alloc(v->arena, LIMIT_CLASSES * sizeof *f.drivers),
    };
    c->each(c->arg, KIND_STORAGE_CLASS, NULL, add_storage_class, &f);
    c->each(c->arg, KIND_SNAPSHOT_CLASS, NULL, add_snapshot_class, &f);
    if (facts->snapshot_class_count < LIMIT_CLASSES)
        c->each(c->arg, KIND_GROUP_CLASS, NULL, add_snapshot_class, &f);
    c->each(c->arg, KIND_CSI_DRIVER, NULL, add_driver, &f);
    c->each(c->arg, KIND_STORAGE_PROFILE, NULL, add_profile, &f);
    facts->storage_classes = f.storage;
    facts->snapshot_classes = f.snapshot;
    facts->profiles = f.profiles;
    facts->drivers = f.drivers;
    facts->looked_up = true;
    facts->drivers_known = true;
    facts->cloning_refused = v->record.cloning_refused;
    facts->groups_refused = v->record.groups_refused.message;
    facts->snapshot_api = c->served(c->arg, KIND_SNAPSHOT);
    facts->group_api = c->served(c->arg, KIND_GROUP);
    facts->cdi = c->served(c->arg, KIND_DATA_VOLUME);
}
