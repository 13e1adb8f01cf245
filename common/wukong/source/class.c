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

/* "a, b, c" of the driver's classes. */
static size_t candidates(const struct class_facts *c, const char *driver, bool defaults_only,
                         char *out, size_t size)
{
    size_t found = 0, len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->snapshot_class_count; i++) {
        const struct snapshot_class_facts *k = &c->snapshot_classes[i];
        if (!str_eq(k->driver, driver) || (defaults_only && !k->is_default))
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
    REFUSE(r, CLASS_REFUSED, "VolumeSnapshotClass \"%.63s\" of driver %.63s: %.240s", k->name,
           str_or(k->driver, "(none)"),
           str_or(k->cut.why, "its snapshots are refused as it is annotated"));
    r->chosen = NULL;
}

static void choose_wanted(const struct class_facts *c, const char *wanted, const char *driver,
                          struct class_choice *r)
{
    char list[200];
    const struct snapshot_class_facts *k = facts_snapshot_class(c, wanted);
    size_t n = candidates(c, driver, false, list, sizeof(list));
    if (k && str_eq(k->driver, driver))
        chosen(r, k, CLASS_OF_WUKONG);
    else if (k)
        REFUSE(r, CLASS_WRONG_DRIVER,
               "VolumeSnapshotClass \"%.63s\" belongs to driver %.63s, but the disk's driver is "
               "%.63s; %s%.120s",
               wanted, str_or(k->driver, "(none)"), driver,
               n ? "name one of its classes: " : "it has no class of its own", n ? list : "");
    else
        REFUSE(r, CLASS_MISSING, "there is no VolumeSnapshotClass \"%.63s\"; %s%.63s%s%.120s",
               wanted, n ? "classes of driver " : "no class exists for driver ", driver,
               n ? ": " : "", n ? list : "");
}

static const struct snapshot_class_facts *of_profile(const struct class_facts *c,
                                                     const char *storage_class, const char *driver)
{
    for (size_t i = 0; storage_class && i < c->profile_count; i++) {
        const struct storage_profile_facts *p = &c->profiles[i];
        if (!str_eq(p->storage_class, storage_class) || str_empty(p->snapshot_class))
            continue;
        /* A profile that names a class of another driver, or none that exists, is of no use. */
        const struct snapshot_class_facts *k = facts_snapshot_class(c, p->snapshot_class);
        return k && str_eq(k->driver, driver) ? k : NULL;
    }
    return NULL;
}

static void choose_by_driver(const struct class_facts *c, const char *driver,
                             struct class_choice *r)
{
    char list[200], defaults[200];
    const struct snapshot_class_facts *only = NULL, *fallback = NULL;
    size_t n = candidates(c, driver, false, list, sizeof(list));
    size_t default_count = candidates(c, driver, true, defaults, sizeof(defaults));
    for (size_t i = 0; i < c->snapshot_class_count; i++) {
        const struct snapshot_class_facts *k = &c->snapshot_classes[i];
        if (!str_eq(k->driver, driver))
            continue;
        only = k;
        if (k->is_default)
            fallback = k;
    }
    if (default_count == 1)
        chosen(r, fallback, CLASS_OF_DEFAULT);
    else if (default_count > 1)
        REFUSE(r, CLASS_AMBIGUOUS,
               "driver %.63s has %zu default VolumeSnapshotClasses: %.120s; set "
               "volumeSnapshotClassName to one of them",
               driver, default_count, defaults);
    else if (n == 1)
        chosen(r, only, CLASS_OF_ONLY);
    else if (n > 1)
        REFUSE(r, CLASS_AMBIGUOUS,
               "driver %.63s has %zu VolumeSnapshotClasses and no default: %.120s; set "
               "volumeSnapshotClassName to one of them",
               driver, n, list);
    else
        REFUSE(r, CLASS_NONE,
               "driver %.63s has no VolumeSnapshotClass; ask the cluster's admin to create one for "
               "it",
               driver);
}

void class_choose(const struct class_facts *c, const char *wanted, const char *storage_class,
                  const char *driver, struct class_choice *ret)
{
    *ret = (struct class_choice){0};
    if (!c->snapshot_api) {
        REFUSE(ret, CLASS_NO_API,
               "the cluster has no snapshot API; install the CRDs and controller of "
               "snapshot.storage.k8s.io/v1");
        return;
    }
    if (str_empty(driver)) {
        REFUSE(ret, CLASS_NO_DRIVER,
               "the driver behind storage class \"%.63s\" is not known; use a disk of a CSI driver",
               str_or(storage_class, ""));
        return;
    }
    if (c->drivers_known && !facts_has_driver(c, driver)) {
        REFUSE(ret, CLASS_NOT_CSI,
               "%.63s is not a CSI driver of this cluster, so its volumes cannot be snapshotted; "
               "use a storage class of a CSI driver",
               driver);
        return;
    }
    if (!str_empty(wanted)) {
        choose_wanted(c, wanted, driver, ret);
        return;
    }
    const struct snapshot_class_facts *k = of_profile(c, storage_class, driver);
    if (k)
        chosen(ret, k, CLASS_OF_PROFILE);
    else
        choose_by_driver(c, driver, ret);
}
