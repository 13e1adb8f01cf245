/*
 * Proves when the snapshots of a class are taken for cut: what the table knows of drivers and their
 * parameters, that the class's annotation goes before it, and that one which cannot be read
 * refuses.
 */
#include "support.h"
#include "wukong/source/cut.h"
#include "wukong/source/facts.h"

struct row {
    const char *class; /* YAML, without metadata.name */
    enum cut_rule rule;
    enum cut_origin origin;
    bool slow;
};

#define RULE(value) "metadata: {annotations: {vm.novasphere.dev/cut-rule: \"" value "\"}}"
#define SLOW(value)                                                                                \
    "metadata: {annotations: {vm.novasphere.dev/cut-outlasts-freeze: \"" value "\"}}"
#define LVM "driver: local.csi.openebs.io"
#define ZFS "driver: zfs.csi.openebs.io"
#define PX "driver: pxd.portworx.com"
#define LONGHORN "driver: driver.longhorn.io"

static const struct row rows[] = {
    {"driver: csi.example.com", CUT_RULE_CREATED, CUT_BY_DEFAULT, false},
    {"{}", CUT_RULE_CREATED, CUT_BY_DEFAULT, false},
    {LVM, CUT_RULE_READY, CUT_BY_TABLE, false},
    {LVM ", parameters: {snapSize: 50%}", CUT_RULE_READY, CUT_BY_TABLE, false},
    {ZFS, CUT_RULE_READY, CUT_BY_TABLE, false},
    {ZFS ", parameters: {poolname: a}", CUT_RULE_READY, CUT_BY_TABLE, false},
    {ZFS ", parameters: {wait: \"yes\"}", CUT_RULE_CREATED, CUT_BY_TABLE, false},
    {"driver: vpc.block.csi.ibm.io", CUT_RULE_READY, CUT_BY_TABLE, false},
    {PX, CUT_RULE_CREATED, CUT_BY_TABLE, false},
    {PX ", parameters: {csi.openstorage.org/snapshot-type: local}", CUT_RULE_CREATED, CUT_BY_TABLE,
     false},
    {PX ", parameters: {csi.openstorage.org/snapshot-type: cloud}", CUT_RULE_READY, CUT_BY_TABLE,
     false},
    {LONGHORN, CUT_RULE_CREATED, CUT_BY_TABLE, false},
    {LONGHORN ", parameters: {type: snap}", CUT_RULE_CREATED, CUT_BY_TABLE, false},
    {LONGHORN ", parameters: {type: bak}", CUT_RULE_CREATED, CUT_BY_TABLE, false},
    {LONGHORN ", parameters: {type: bi}", CUT_RULE_REFUSE, CUT_BY_TABLE, false},
    {"driver: nfs.csi.k8s.io", CUT_RULE_WHILE_FROZEN, CUT_BY_TABLE, false},
    {"driver: blockvolume.csi.oraclecloud.com", CUT_RULE_CREATED, CUT_BY_TABLE, true},
    {"driver: pd.csi.storage.gke.io", CUT_RULE_CREATED, CUT_BY_TABLE, false},
    {"driver: pd.csi.storage.gke.io, parameters: {snapshot-type: images}", CUT_RULE_CREATED,
     CUT_BY_TABLE, true},
    {"driver: cinder.csi.openstack.org", CUT_RULE_CREATED, CUT_BY_TABLE, false},
    {"driver: rook-ceph.rbd.csi.ceph.com", CUT_RULE_CREATED, CUT_BY_TABLE, false},
    {"driver: xrbd.csi.ceph.com", CUT_RULE_CREATED, CUT_BY_DEFAULT, false},
    {"driver: cinder.csi.openstack.org, parameters: {type: backup}", CUT_RULE_CREATED, CUT_BY_TABLE,
     true},
    /* The owner of the class knows better, either way. */
    {"driver: csi.example.com, " RULE("Ready"), CUT_RULE_READY, CUT_BY_ANNOTATION, false},
    {"driver: csi.example.com, " RULE("WhileFrozen"), CUT_RULE_WHILE_FROZEN, CUT_BY_ANNOTATION,
     false},
    {"driver: csi.example.com, " RULE("Refuse"), CUT_RULE_REFUSE, CUT_BY_ANNOTATION, false},
    {LVM ", " RULE("Created"), CUT_RULE_CREATED, CUT_BY_ANNOTATION, false},
    {"driver: csi.example.com, " SLOW("true"), CUT_RULE_CREATED, CUT_BY_DEFAULT, true},
    {"driver: blockvolume.csi.oraclecloud.com, " SLOW("false"), CUT_RULE_CREATED, CUT_BY_TABLE,
     false},
    /* What was meant is not known: a typing error must not loosen a rule. */
    {"driver: csi.example.com, " RULE("ready"), CUT_RULE_REFUSE, CUT_BY_ANNOTATION, false},
    {"driver: csi.example.com, " RULE(""), CUT_RULE_REFUSE, CUT_BY_ANNOTATION, false},
    {LVM ", " SLOW("yes"), CUT_RULE_REFUSE, CUT_BY_ANNOTATION, false},
};

static void test_rows(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64 * KIB);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct snapshot_class_facts class;
        CLEANUP_FREE char *text =
            rows[i].class[0] == '{' ? xstrdup("{}") : xasprintf("{%s}", rows[i].class);
        CLEANUP_JSON cJSON *tree = parse_yaml(text);
        facts_read_snapshot_class(&a, tree, false, &class);
        if (class.cut.rule != rows[i].rule || class.cut.origin != rows[i].origin ||
            class.cut.slow != rows[i].slow)
            fail_msg("%s: %s, %s%s", rows[i].class, cut_rule_names[class.cut.rule],
                     cut_origin_texts[class.cut.origin], class.cut.slow ? ", slow" : "");
    }
    arena_release(&a);
}

/* What is known of single snapshots says nothing of groups, and an order that nobody vouches for is
   none. */
static void test_groups(void **state)
{
    (void)state;
    static const struct {
        const char *class;
        enum cut_rule rule;
        bool ordered;
    } of_groups[] = {
        {"driver: csi.example.com", CUT_RULE_CREATED, false},
        {"driver: rook-ceph.rbd.csi.ceph.com", CUT_RULE_CREATED, true},
        {"driver: driver.longhorn.io, parameters: {type: bi}", CUT_RULE_CREATED, false},
        {"driver: diskplugin.csi.alibabacloud.com", CUT_RULE_READY, false},
        {"driver: csi.example.com, metadata: {annotations: {" CUT_ORDER_ANNOTATION ": 'true'}}",
         CUT_RULE_CREATED, true},
        {"driver: rbd.csi.ceph.com, metadata: {annotations: {" CUT_ORDER_ANNOTATION ": 'false'}}",
         CUT_RULE_CREATED, false},
        {"driver: csi.example.com, metadata: {annotations: {" CUT_ORDER_ANNOTATION ": 'yes'}}",
         CUT_RULE_REFUSE, false},
    };
    struct arena a;
    arena_init(&a, 64 * KIB);
    for (size_t i = 0; i < ARRAY_LEN(of_groups); i++) {
        struct snapshot_class_facts class;
        CLEANUP_FREE char *text = xasprintf("{%s}", of_groups[i].class);
        CLEANUP_JSON cJSON *tree = parse_yaml(text);
        facts_read_snapshot_class(&a, tree, true, &class);
        if (class.cut.rule != of_groups[i].rule || class.cut.ordered != of_groups[i].ordered)
            fail_msg("%s: %s%s", of_groups[i].class, cut_rule_names[class.cut.rule],
                     class.cut.ordered ? ", ordered" : "");
    }
    arena_release(&a);
}

static void test_moments(void **state)
{
    (void)state;
    const struct disk_plan a = {.driver = "a", .grouped = true, .cut.ordered = true},
                           loose = {.driver = "a", .grouped = true},
                           b = {.driver = "b", .grouped = true, .cut.ordered = true},
                           alone = {.driver = "a", .cut.ordered = true};
    const struct disk_plan *const one[] = {&a, &a, &a}, *const two[] = {&a, &b, &a, &b},
                                  *const three[] = {&loose, &loose, &loose},
                                  *const mixed[] = {&a, &alone, &a};
    assert_int_equal(cut_moments(one, 3), 1);
    assert_int_equal(cut_moments(two, 4), 2);
    assert_int_equal(cut_moments(three, 3), 3);
    assert_int_equal(cut_moments(mixed, 3), 2);
    assert_int_equal(cut_moments(NULL, 0), 0);
}

/* Every row of the table says why. */
static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < cut_driver_count; i++) {
        const struct cut_driver *d = &cut_drivers[i];
        assert_non_null(d->driver);
        assert_non_null(d->why);
        assert_false(d->value && !d->field);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
