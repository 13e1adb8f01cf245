/*
 * Proves what snapshotMethod Auto takes for each disk, and that it says why: a group only where
 * two disks share a driver whose group class can be chosen, and nothing is known by which single
 * snapshots would be better.
 */
#include "support.h"
#include "wukong/source/group_choice.h"

#define READY                                                                                      \
    {                                                                                              \
        .rule = CUT_RULE_READY, .known = true                                                      \
    }
#define KNOWN                                                                                      \
    {                                                                                              \
        .rule = CUT_RULE_CREATED, .known = true                                                    \
    }
#define SLOW                                                                                       \
    {                                                                                              \
        .rule = CUT_RULE_CREATED, .slow = true                                                     \
    }
#define REFUSED                                                                                    \
    {                                                                                              \
        .rule = CUT_RULE_REFUSE, .known = true                                                     \
    }

static const struct snapshot_class_facts classes[] = {
    {.name = "g", .driver = "d.csi", .group = true},
    {.name = "g2", .driver = "two.csi", .group = true},
    {.name = "late", .driver = "late.csi", .group = true, .cut = READY},
    {.name = "slow", .driver = "slow.csi", .group = true, .cut = SLOW},
    {.name = "odd", .driver = "odd.csi", .group = true, .cut = REFUSED},
    {.name = "barred", .driver = "barred.csi", .group = true, .barred_by = "gold"},
    {.name = "a", .driver = "many.csi", .group = true},
    {.name = "b", .driver = "many.csi", .group = true},
    {.name = "kept", .driver = "kept.csi", .group = true, .retain = true, .is_default = true},
};

#define DISK(disk, of, ...)                                                                        \
    {                                                                                              \
        .name = (disk), .driver = (of), .snapshot_class = "single", .method = DISK_RESTORE,        \
        __VA_ARGS__                                                                                \
    }
#define NONE                                                                                       \
    {                                                                                              \
        .name = NULL                                                                               \
    }

struct row {
    const char *name;
    struct disk_plan disks[3];
    const char *named, *named_group; /* by the Wukong */
    enum snapshot_method method;
    const char *refused;
    bool no_api;
    const char *expected; /* per disk: G: in a group, S: by itself, -: nothing is said of it */
    const char *why;      /* words of the last disk's reason */
    bool unused;
};

static const struct row rows[] = {
    {"two disks of one driver",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "GG",
     "disks of driver d.csi are cut at once",
     false},
    {"one disk",
     {DISK("x", "d.csi", 0), NONE, NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "S",
     "x is the only disk of driver d.csi",
     false},
    {"one beside a group",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), DISK("z", "two.csi", 0)},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "GGS",
     "z is the only disk of driver two.csi",
     false},
    {"one that is copied does not count",
     {DISK("x", "d.csi", 0), {.name = "y", .driver = "d.csi", .method = DISK_CSI_CLONE}, NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "S-",
     NULL,
     false},
    {"one without a VolumeSnapshotClass is left as it is",
     {DISK("x", "d.csi", 0), {.name = "y", .driver = "d.csi", .method = DISK_RESTORE}, NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "S-",
     NULL,
     false},
    {"another method",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_VOLUME_SNAPSHOT,
     NULL,
     false,
     "--",
     NULL,
     false},
    {"a VolumeSnapshotClass is named",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), NONE},
     "single",
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "the Wukong names a VolumeSnapshotClass",
     false},
    {"both are named",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), NONE},
     "single",
     "g",
     METHOD_AUTO,
     NULL,
     false,
     "GG",
     "at once",
     false},
    {"a class of another driver is named",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), NONE},
     NULL,
     "g2",
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "belongs to driver two.csi",
     true},
    {"a class that is gone is named",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), NONE},
     NULL,
     "nope",
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "there is no VolumeGroupSnapshotClass \"nope\"",
     true},
    {"no API",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     true,
     "SS",
     "serves no VolumeGroupSnapshots",
     false},
    {"a group has failed",
     {DISK("x", "d.csi", 0), DISK("y", "d.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     "no such device",
     false,
     "SS",
     "no such device",
     false},
    {"no class of the driver",
     {DISK("x", "bare.csi", 0), DISK("y", "bare.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "bare.csi has no VolumeGroupSnapshotClass",
     false},
    {"several, no default",
     {DISK("x", "many.csi", 0), DISK("y", "many.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "a, b",
     false},
    {"a class that is refused",
     {DISK("x", "odd.csi", 0), DISK("y", "odd.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "odd",
     false},
    {"groups are cut late",
     {DISK("x", "late.csi", 0), DISK("y", "late.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "by rule Ready, a single snapshot by rule Created",
     false},
    {"single ones are, too",
     {DISK("x", "late.csi", .cut = READY), DISK("y", "late.csi", .cut = READY), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "GG",
     "at once",
     false},
    {"one of two single ones is not",
     {DISK("x", "late.csi", .cut = READY), DISK("y", "late.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "by rule Ready",
     false},
    {"groups outlast a freeze",
     {DISK("x", "slow.csi", 0), DISK("y", "slow.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "longer than a guest may stay frozen",
     false},
    {"only single snapshots are known",
     {DISK("x", "d.csi", .cut = KNOWN), DISK("y", "d.csi", .cut = KNOWN), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "nothing is known of how driver d.csi cuts groups",
     false},
    {"a policy bars it",
     {DISK("x", "barred.csi", 0), DISK("y", "barred.csi", 0), NONE},
     NULL,
     NULL,
     METHOD_AUTO,
     NULL,
     false,
     "SS",
     "ClonePolicy gold does not allow",
     false},
};

static void test_what_auto_takes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct arena a;
        struct disk_plan items[3];
        struct disks disks = {.items = items};
        const struct wukong_source source = {.snapshot_class = r->named,
                                             .group_class = r->named_group};
        const struct wukong_effective e = {.method = r->method, .needs_snapshot = true};
        const struct class_facts c = {.looked_up = true,
                                      .snapshot_api = true,
                                      .group_api = !r->no_api,
                                      .groups_refused = r->refused,
                                      .snapshot_classes = classes,
                                      .snapshot_class_count = ARRAY_LEN(classes)};
        arena_init_soft(&a, 64 * KIB);
        memcpy(items, r->disks, sizeof items);
        disks.count = strlen(r->expected);
        group_choice_make(&a, &source, &e, &c, &disks);
        for (size_t k = 0; k < disks.count; k++) {
            char got = items[k].grouped ? 'G' : items[k].method_why ? 'S' : '-';
            if (got != r->expected[k])
                fail_msg("%s: disk %zu is %c: %s", r->name, k, got,
                         str_or(items[k].method_why, "-"));
        }
        const char *why = str_or(items[disks.count - 1].method_why, "");
        if (r->why && !strstr(why, r->why))
            fail_msg("%s: \"%s\" lacks \"%s\"", r->name, why, r->why);
        if (group_choice_unused(&source, &e, &disks) != r->unused)
            fail_msg("%s: the named class is said to be %s", r->name,
                     r->unused ? "used" : "unused");
        arena_release(&a);
    }
}

/* What the group's class says takes the place of what the single one's did. */
static void test_the_class_comes_with_its_facts(void **state)
{
    (void)state;
    struct arena a;
    struct disk_plan items[] = {DISK("x", "kept.csi", 0), DISK("y", "kept.csi", 0)};
    struct disks disks = {.items = items, .count = 2};
    const struct wukong_source source = {0};
    const struct wukong_effective e = {.method = METHOD_AUTO, .needs_snapshot = true};
    const struct class_facts c = {.looked_up = true,
                                  .group_api = true,
                                  .snapshot_classes = classes,
                                  .snapshot_class_count = ARRAY_LEN(classes)};
    arena_init_soft(&a, 64 * KIB);
    group_choice_make(&a, &source, &e, &c, &disks);
    assert_string_equal(items[1].snapshot_class, "kept");
    assert_int_equal(items[1].snapshot_class_origin, CLASS_OF_DEFAULT);
    assert_true(items[1].snapshot_class_retain);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_auto_takes),
        cmocka_unit_test(test_the_class_comes_with_its_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
