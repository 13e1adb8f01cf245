#include "wukong/source/class.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

const char *const class_origin_texts[] = {
    [CLASS_OF_WUKONG] = "named by the Wukong",
    [CLASS_OF_PROFILE] = "named by CDI's StorageProfile",
    [CLASS_OF_DEFAULT] = "default of its driver",
    [CLASS_OF_ONLY] = "the only one of its driver",
};
static_assert(ARRAY_LEN(class_origin_texts) == CLASS_ORIGINS, "one text each");

/* What is chosen among: the classes of one kind. */
struct choosing {
    const struct class_facts *c;
    bool group;
    const char *kind;  /* of the classes */
    const char *field; /* of spec.cloneSource that names one */
    const char *driver;
};

static bool is_candidate(const struct choosing *g, const struct snapshot_class_facts *k)
{
    return k->group == g->group && str_eq(k->driver, g->driver);
}

/* "a, b, c" of the driver's classes. */
static size_t candidates(const struct choosing *g, bool defaults_only, char *out, size_t size)
{
    const struct class_facts *c = g->c;
    size_t found = 0, len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->snapshot_class_count; i++) {
        const struct snapshot_class_facts *k = &c->snapshot_classes[i];
        if (!is_candidate(g, k) || (defaults_only && !k->is_default))
            continue;
        if (len < size)
            len += (size_t)snprintf(out + len, size - len, "%s%s", found ? ", " : "", k->name);
        found++;
    }
    return found;
}

#define REFUSE(r, why, ...)                                                                        \
    do {                                                                                           \
        (r)->verdict = (why);                                                                      \
        snprintf((r)->text, sizeof((r)->text), __VA_ARGS__);                                       \
    } while (0)

static void chosen(struct class_choice *r, const struct snapshot_class_facts *k,
                   enum class_origin origin)
{
    r->verdict = CLASS_CHOSEN;
    r->origin = origin;
    r->chosen = k;
    if (k->cut.rule != CUT_RULE_REFUSE)
        return;
    REFUSE(r, CLASS_REFUSED, "%s \"%.63s\" of driver %.63s: %.240s",
           k->group ? "VolumeGroupSnapshotClass" : "VolumeSnapshotClass", k->name,
           str_or(k->driver, "(none)"),
           str_or(k->cut.why, "its annotation refuses snapshots of it"));
    r->chosen = NULL;
}

static void choose_wanted(const struct choosing *g, const char *wanted, struct class_choice *r)
{
    char list[200];
    const struct snapshot_class_facts *k = facts_snapshot_class(g->c, g->group, wanted);
    size_t n = candidates(g, false, list, sizeof(list));
    if (k && str_eq(k->driver, g->driver))
        chosen(r, k, CLASS_OF_WUKONG);
    else if (k)
        REFUSE(r, CLASS_WRONG_DRIVER,
               "%s \"%.63s\" belongs to driver %.63s, but the disk's driver is "
               "%.63s; %s%.120s",
               g->kind, wanted, str_or(k->driver, "(none)"), g->driver,
               n ? "name one of its classes: " : "it has no class of its own", n ? list : "");
    else
        REFUSE(r, CLASS_MISSING, "there is no %s \"%.63s\"; %s%.63s%s%.120s", g->kind, wanted,
               n ? "classes of driver " : "no class exists for driver ", g->driver, n ? ": " : "",
               n ? list : "");
}

static const struct snapshot_class_facts *of_profile(const struct class_facts *c,
                                                     const char *storage_class, const char *driver)
{
    for (size_t i = 0; storage_class && i < c->profile_count; i++) {
        const struct storage_profile_facts *p = &c->profiles[i];
        if (!str_eq(p->storage_class, storage_class) || str_empty(p->snapshot_class))
            continue;
        /* A profile that names a class of another driver, or none that exists, is of no use. */
        const struct snapshot_class_facts *k = facts_snapshot_class(c, false, p->snapshot_class);
        return k && str_eq(k->driver, driver) ? k : NULL;
    }
    return NULL;
}

static void choose_by_driver(const struct choosing *g, struct class_choice *r)
{
    char list[200], defaults[200];
    const struct snapshot_class_facts *only = NULL, *fallback = NULL;
    size_t n = candidates(g, false, list, sizeof(list));
    size_t default_count = candidates(g, true, defaults, sizeof(defaults));
    for (size_t i = 0; i < g->c->snapshot_class_count; i++) {
        const struct snapshot_class_facts *k = &g->c->snapshot_classes[i];
        if (!is_candidate(g, k))
            continue;
        only = k;
        if (k->is_default)
            fallback = k;
    }
    if (default_count == 1)
        chosen(r, fallback, CLASS_OF_DEFAULT);
    else if (default_count > 1)
        REFUSE(r, CLASS_AMBIGUOUS,
               "driver %.63s has %zu default %ses: %.120s; set "
               "%s to one of them",
               g->driver, default_count, g->kind, defaults, g->field);
    else if (n == 1)
        chosen(r, only, CLASS_OF_ONLY);
    else if (n > 1)
        REFUSE(r, CLASS_AMBIGUOUS,
               "driver %.63s has %zu %ses and no default: %.120s; set "
               "%s to one of them",
               g->driver, n, g->kind, list, g->field);
    else
        REFUSE(r, CLASS_NONE,
               "driver %.63s has no %s; ask the cluster's admin to create one for "
               "it",
               g->driver, g->kind);
}

static bool refused_before(const struct choosing *g, const char *storage_class,
                           struct class_choice *ret)
{
    if (g->group ? !g->c->group_api : !g->c->snapshot_api)
        REFUSE(ret, CLASS_NO_API,
               "the cluster has no %s API; install the CRDs and controller of "
               "%ssnapshot.storage.k8s.io/v1",
               g->group ? "group snapshot" : "snapshot", g->group ? "group" : "");
    else if (str_empty(g->driver))
        REFUSE(
            ret, CLASS_NO_DRIVER,
            "Wukong cannot tell the driver of storage class \"%.63s\"; use a disk of a CSI driver",
            str_or(storage_class, ""));
    else if (g->c->drivers_known && !facts_has_driver(g->c, g->driver))
        REFUSE(ret, CLASS_NOT_CSI,
               "%.63s is not a CSI driver of this cluster, so its volumes cannot be snapshotted; "
               "use a storage class of a CSI driver",
               g->driver);
    return ret->verdict != CLASS_CHOSEN;
}

void class_choose(const struct class_facts *c, const char *wanted, const char *storage_class,
                  const char *driver, struct class_choice *ret)
{
    const struct choosing g = {c, false, "VolumeSnapshotClass", "volumeSnapshotClassName", driver};
    *ret = (struct class_choice){0};
    if (refused_before(&g, storage_class, ret))
        return;
    if (!str_empty(wanted)) {
        choose_wanted(&g, wanted, ret);
        return;
    }
    const struct snapshot_class_facts *k = of_profile(c, storage_class, driver);
    if (k)
        chosen(ret, k, CLASS_OF_PROFILE);
    else
        choose_by_driver(&g, ret);
}

void class_choose_group(const struct class_facts *c, const char *wanted, const char *storage_class,
                        const char *driver, struct class_choice *ret)
{
    const struct choosing g = {c, true, "VolumeGroupSnapshotClass", "volumeGroupSnapshotClassName",
                               driver};
    *ret = (struct class_choice){0};
    if (refused_before(&g, storage_class, ret))
        return;
    if (!str_empty(wanted))
        choose_wanted(&g, wanted, ret);
    else
        choose_by_driver(&g, ret);
}
