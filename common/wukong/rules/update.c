/*
 * UPDATE: what may not change, and ratcheting. Each condition is the negation of the CRD's
 * transition rule of the same id, except that a field which the mutating endpoint restores
 * (cloneType and namespace, from the old object) may be absent: kubectl replace leaves them out.
 */
#include <stdio.h>
#include <string.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/conditions.h"
#include "wukong/api/json_path.h"
#include "wukong/api/spec.h"
#include "wukong/rules/schema.h"
#include "wukong/rules/validate.h"

struct change {
    const cJSON *old, *new; /* the object that holds the field, before and after */
    const char *path;       /* of that object */
    struct findings *findings;
};

static const cJSON *object_member(const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    return v && !cJSON_IsNull(v) ? v : NULL;
}

/* Numbers by value, so that 3 = 3.0; quantities are compared where they are quantities. */
static bool same(const cJSON *a, const cJSON *b)
{
    long long x, y;
    if (!a || !b)
        return a == b;
    if (schema_integer(a, &x) && schema_integer(b, &y))
        return x == y;
    return json_equal(a, b);
}

static char *print_value(const cJSON *v)
{
    if (!v)
        return NULL;
    return cJSON_IsString(v) ? xstrndup(v->valuestring, 64) : json_print_start(v, 64);
}

static void changed(const struct change *c, const char *rule, const char *name)
{
    char path[256];
    CLEANUP_FREE char *old = print_value(object_member(c->old, name));
    CLEANUP_FREE char *new = print_value(object_member(c->new, name));
    snprintf(path, sizeof(path), "%s.%s", c->path, name);
    findings_add(c->findings, rule_find(rule), path, NULL, "it was %.64s and is %.64s",
                 old ? old : "unset", new ? new : "unset");
}

static void must_equal(const struct change *c, const char *rule, const char *name)
{
    if (!same(object_member(c->old, name), object_member(c->new, name)))
        changed(c, rule, name);
}

/* Absent counts as false: the schema's default. */
static void must_equal_bool(const struct change *c, const char *rule, const char *name)
{
    if (cJSON_IsTrue(object_member(c->old, name)) != cJSON_IsTrue(object_member(c->new, name)))
        changed(c, rule, name);
}

static void must_equal_or_default(const struct change *c, const char *rule, const char *name,
                                  const char *fallback)
{
    const cJSON *old = object_member(c->old, name), *new = object_member(c->new, name);
    const char *a = cJSON_IsString(old) ? old->valuestring : fallback;
    const char *b = cJSON_IsString(new) ? new->valuestring : fallback;
    if (!str_eq(a, b))
        changed(c, rule, name);
}

static const char *clone_type(const cJSON *source)
{
    const char *type = json_str(source, "cloneType");
    if (type)
        return type;
    return str_eq(json_str(source, "type"), "vmi") ? "running" : "full";
}

static void check_source(const struct change *c)
{
    static const char *const fixed[] = {"type", "vmName", "vmiName"};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        must_equal(c, "source-immutable", fixed[i]);
    if (object_member(c->new, "namespace"))
        must_equal(c, "source-immutable", "namespace");
    if (object_member(c->new, "cloneType") && !str_eq(clone_type(c->old), clone_type(c->new)))
        changed(c, "clone-type-immutable", "cloneType");
    must_equal_or_default(c, "method-immutable", "quiesce", "IfAvailable");
    must_equal_or_default(c, "method-immutable", "snapshotMethod", "Auto");
    must_equal(c, "method-immutable", "volumeSnapshotClassName");
    must_equal(c, "method-immutable", "volumeGroupSnapshotClassName");
    must_equal_bool(c, "method-immutable", "stopSourceAfter");
    must_equal_bool(c, "method-immutable", "allowUnsnapshottable");
    must_equal(c, "method-immutable", "allowSecrets");
}

/* Timing is free until SnapshotTaken is True, and again after the clone has failed. */
static bool timing_is_fixed(const cJSON *old)
{
    return !str_eq(json_str(old, "status.cloneStatus.phase"), "Failed") &&
           condition_is_true(json_at(old, "status.conditions"), "SnapshotTaken");
}

static void must_equal_number(const struct change *c, const char *name, long long fallback)
{
    long long a = fallback, b = fallback;
    (void)schema_integer(object_member(c->old, name), &a);
    (void)schema_integer(object_member(c->new, name), &b);
    if (a != b)
        changed(c, "timing-immutable", name);
}

static void check_timing(const struct change *c)
{
    static const char *const fixed[] = {"notBefore", "window", "gates"};
    must_equal_number(c, "deadlineSeconds", 3600);
    must_equal_number(c, "retryLimit", 5);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        must_equal(c, "timing-immutable", fixed[i]);
}

static bool same_size(const cJSON *a, const cJSON *b)
{
    const cJSON *x = object_member(a, "size"), *y = object_member(b, "size");
    if (!x || !y)
        return x == y;
    CLEANUP_FREE char *s = json_text(x);
    CLEANUP_FREE char *t = json_text(y);
    return quantity_text_equal(s, t);
}

static bool same_disk(const cJSON *a, const cJSON *b)
{
    return same(object_member(a, "sourceDisk"), object_member(b, "sourceDisk")) &&
           same(object_member(a, "storageClassName"), object_member(b, "storageClassName")) &&
           same(object_member(a, "image"), object_member(b, "image")) &&
           cJSON_IsTrue(object_member(a, "boot")) == cJSON_IsTrue(object_member(b, "boot")) &&
           same_size(a, b);
}

/* Disks by name, the first of a name first. */
struct disk_map {
    struct named_disk {
        const char *name;
        const cJSON *disk;
        size_t at;
    } * items;
    size_t count;
};

static int compare_disks(const void *a, const void *b)
{
    const struct named_disk *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Items without a name are left out: they are nobody's. Owned by the caller. */
static struct disk_map disks_by_name(const cJSON *disks)
{
    size_t n = cJSON_IsArray(disks) ? (size_t)cJSON_GetArraySize(disks) : 0, at = 0;
    struct disk_map map = {.items = xcalloc(n, sizeof(*map.items))};
    const cJSON *d;
    cJSON_ArrayForEach (d, disks) {
        if (at == n)
            break;
        const char *name = json_str(d, "name");
        if (name)
            map.items[map.count++] = (struct named_disk){name, d, at};
        at++;
    }
    qsort(map.items, map.count, sizeof(*map.items), compare_disks);
    return map;
}

static const cJSON *disk_named(const struct disk_map *map, const char *name)
{
    size_t low = 0, high = name ? map->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(map->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = name && low < map->count && str_eq(map->items[low].name, name);
    return found ? map->items[low].disk : NULL;
}

static void compare_disk_lists(const cJSON *old, const cJSON *new, const struct disk_map *before,
                               const struct disk_map *after, struct findings *l)
{
    const struct rule *rule = rule_find("disks-immutable");
    const cJSON *d;
    size_t i = 0;
    char path[64];
    cJSON_ArrayForEach (d, new) {
        const char *name = json_str(d, "name");
        const cJSON *was = disk_named(before, name);
        snprintf(path, sizeof(path), "spec.disks[%zu]", i++);
        if (!was)
            findings_add(l, rule, path, NULL, "disk \"%.63s\" was added", str_or(name, ""));
        else if (!same_disk(was, d))
            findings_add(l, rule, path, NULL, "disk \"%.63s\" was changed", name);
    }
    cJSON_ArrayForEach (d, old) {
        const char *name = json_str(d, "name");
        if (!disk_named(after, name))
            findings_add(l, rule, "spec.disks", NULL, "disk \"%.63s\" was removed",
                         str_or(name, ""));
    }
}

/* The order of the list does not count: it is a map by name. */
static void check_disks(const cJSON *old, const cJSON *new, struct findings *l)
{
    /* Names may stand twice in an old object that was never valid. */
    if (old && new &&json_equal(old, new))
        return;
    struct disk_map before = disks_by_name(old), after = disks_by_name(new);
    compare_disk_lists(old, new, &before, &after, l);
    free(before.items);
    free(after.items);
}

static void check_immutable(const cJSON *old, const cJSON *object, struct findings *l)
{
    const cJSON *before = json_get(old, "spec"), *after = json_get(object, "spec");
    const cJSON *was = object_member(before, "cloneSource"),
                *is = object_member(after, "cloneSource");
    long long a = 1, b = 1;
    if (!was != !is)
        findings_add(l, rule_find("clone-presence-immutable"), "spec.cloneSource", NULL,
                     "it was %s", was ? "removed" : "added");
    (void)schema_integer(object_member(before, "replicas"), &a);
    (void)schema_integer(object_member(after, "replicas"), &b);
    if (a != b)
        findings_add(l, rule_find("replicas-immutable"), "spec.replicas", NULL,
                     "it was %lld and is %lld", a, b);
    if (!was || !is)
        return;
    struct change c = {was, is, "spec.cloneSource", l};
    check_source(&c);
    must_equal(&(struct change){before, after, "spec", l}, "target-immutable", "target");
    /* Its data may be a secret and are never repeated. */
    if (!same(object_member(before, "guest"), object_member(after, "guest")))
        findings_add(l, rule_find("guest-immutable"), "spec.guest", NULL, NULL);
    if (timing_is_fixed(old))
        check_timing(&c);
    check_disks(json_get(before, "disks"), json_get(after, "disks"), l);
}

/* Found in the old object too, with the same words, about the same value. */
static bool is_old_news(const struct finding *e, const struct findings *before, const cJSON *old,
                        const cJSON *object)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct finding *o = &before->items[i];
        if (o->rule != e->rule || !str_eq(o->field, e->field) || !str_eq(o->message, e->message))
            continue;
        const cJSON *a = json_path_find(old, e->field), *b = json_path_find(object, e->field);
        return a == b || (a && b && json_equal(a, b));
    }
    return false;
}

bool update_asks_anew(const cJSON *old, const cJSON *object)
{
    static const char retry[] = "metadata.annotations[" WUKONG_RETRY_ANNOTATION "]";
    CLEANUP_FINDINGS struct findings changes;
    findings_init(&changes);
    struct change c = {json_at(old, "spec.cloneSource"), json_at(object, "spec.cloneSource"),
                       "spec.cloneSource", &changes};
    const char *was = json_str(old, retry), *is = json_str(object, retry);
    if (!c.new)
        return false;
    check_timing(&c);
    return !c.old || changes.count || (is && !str_eq(was, is));
}

void validate_update(const cJSON *old, const cJSON *object, struct findings *l)
{
    CLEANUP_FINDINGS struct findings before;
    findings_init(&before);
    validate_create(old, &before);
    validate_create(object, l);
    for (size_t i = l->count; i-- > 0;)
        if (is_old_news(&l->items[i], &before, old, object))
            findings_drop(l, i);
    check_immutable(old, object, l);
}
