/*
 * Proves when a VolumeGroupSnapshot counts as cut, when it can never be what was asked for, which
 * VolumeSnapshot is a disk's, and what must come before a group's deletion. The contents are those
 * that external-snapshotter 8.6 writes.
 */
#include "observed_cluster.h"

#define GROUP "snapshot-src-w-11111111-1-root"
#define CONTENT "groupsnapcontent-g-1"
/* snapshot-controller's names for the members: SHA-256 of "g-1vol-a" and of "g-1vol-b". */
#define MEMBER_A "snapshot-6391f896312b4b6c0d03f3fe9a6ea5e658cc2510f27710f566d92ca1476a1bb2"
#define MEMBER_B "snapshot-9ff815d66fac16d385be5d06dc944dec1462b7076cb513a79c5c8be14aac5410"
#define LABELS                                                                                     \
    "'vm.novasphere.dev/disk':'root','vm.novasphere.dev/wukong-uid':'" UID                         \
    "','vm.novasphere.dev/attempt':'1','vm.novasphere.dev/disk-index':'0'"
#define BOUND "'groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection'"
#define REF                                                                                        \
    "'volumeGroupSnapshotRef':{'name':'" GROUP "','namespace':'ns','uid':'g-1'},"                  \
    "'volumeGroupSnapshotClassName':'group'"
#define A "{'volumeHandle':'vol-a','snapshotHandle':'s-a','restoreSize':5}"
#define B "{'volumeHandle':'vol-b','snapshotHandle':'s-b','restoreSize':7}"
#define X "{'volumeHandle':'vol-x','snapshotHandle':'s-x'}"
#define BOTH "['vol-a','vol-b']"
#define CUT "'volumeGroupSnapshotHandle':'gh','creationTime':'2026-09-21T14:00:05Z',"

static struct disk_plan plans[] = {
    {.name = "root",
     .volume = "root",
     .claim = "src-root",
     .driver = "d.csi",
     .snapshot_class = "group",
     .grouped = true,
     .method = DISK_RESTORE},
    {.name = "data",
     .volume = "data",
     .claim = "src-data",
     .driver = "d.csi",
     .snapshot_class = "group",
     .grouped = true,
     .method = DISK_RESTORE},
};

static void group_object(struct cluster *c, const char *finalizers, const char *status)
{
    CLEANUP_FREE char *text =
        xasprintf("{'metadata':{'name':'" GROUP "','namespace':'ns','uid':'g-1',"
                  "'creationTimestamp':'2026-09-21T14:13:10Z','finalizers':[%s],"
                  "'labels':{" LABELS "}},'spec':{},'status':%s}",
                  finalizers, status);
    put(c, KIND_GROUP, text);
}

static void content_object(struct cluster *c, const char *volumes, const char *status)
{
    CLEANUP_FREE char *text =
        xasprintf("{'metadata':{'name':'" CONTENT "','uid':'gc-1'},'spec':{" REF
                  ",'deletionPolicy':'Delete','source':{'volumeHandles':%s}},'status':%s}",
                  volumes, status);
    put(c, KIND_GROUP_CONTENT, text);
}

static void member(struct cluster *c, const char *name, const char *claim, const char *owner)
{
    CLEANUP_FREE char *text = xasprintf(
        "{'metadata':{'name':'%s','namespace':'ns','uid':'u-%s','ownerReferences':[{'kind':"
        "'VolumeGroupSnapshot','name':'" GROUP "','uid':'%s'}]},'spec':{'source':"
        "{'persistentVolumeClaimName':'%s'}},'status':{'readyToUse':true}}",
        name, claim, owner, claim);
    put(c, KIND_SNAPSHOT, text);
}

/* The snapshots alone, of a clone whose capture is known. */
static void look(struct cluster *c, enum cut_rule rule)
{
    const struct cache_reader caches = {get, each, served, c};
    static struct wukong w = {.name = "w", .ns = "ns", .uid = UID};
    arena_init_soft(&c->arena, 16 * MIB);
    struct disk_state *disks = arena_alloc(&c->arena, 2 * sizeof *disks);
    for (size_t i = 0; i < 2; i++) {
        plans[i].cut.rule = rule;
        disks[i] = (struct disk_state){.plan = &plans[i]};
    }
    c->state = (struct clone_state){
        .arena = &c->arena,
        .call_log = &c->call_log,
        .now = {NOW, 1},
        .wukong = &w,
        .effective = {.method = METHOD_GROUP_SNAPSHOT,
                      .source_name = "src",
                      .source_ns = "ns",
                      .replicas = 1},
        .record = {.attempts = 1},
        .disks = disks,
        .disk_count = 2,
    };
    observe_ours(&c->state, &caches);
    observe_snapshots(&c->state, &caches);
}

static void test_what_counts_as_cut(void **state)
{
    (void)state;
    static const struct {
        const char *name, *volumes, *status;
        enum cut_rule rule;
        bool cut;
        const char *unfit;
    } rows[] = {
        {"nothing is answered", BOTH, "{}", CUT_RULE_CREATED, false, NULL},
        {"all of it", BOTH, "{" CUT "'volumeSnapshotInfoList':[" A "," B "]}", CUT_RULE_CREATED,
         true, NULL},
        {"in another order", BOTH, "{" CUT "'volumeSnapshotInfoList':[" B "," A "]}",
         CUT_RULE_CREATED, true, NULL},
        {"an empty list", BOTH, "{" CUT "'readyToUse':false}", CUT_RULE_CREATED, false, NULL},
        {"a list without a handle", BOTH, "{'volumeSnapshotInfoList':[" A "," B "]}",
         CUT_RULE_CREATED, false, NULL},
        {"a short list", BOTH, "{" CUT "'volumeSnapshotInfoList':[" A "]}", CUT_RULE_CREATED, false,
         "holds 1 of its 2 volumes"},
        {"another volume", BOTH, "{" CUT "'volumeSnapshotInfoList':[" A "," X "]}",
         CUT_RULE_CREATED, false, "does not hold the volumes that it was made of"},
        {"a claim lost its label", "['vol-a']", "{" CUT "'volumeSnapshotInfoList':[" A "]}",
         CUT_RULE_CREATED, false, "was made of 1 volumes, but the clone needs 2"},
        {"a claim of somebody else", "['vol-a','vol-b','vol-x']", "{}", CUT_RULE_CREATED, false,
         "was made of 3 volumes, but the clone needs 2"},
        {"answered before the cut", BOTH,
         "{" CUT "'readyToUse':false,'volumeSnapshotInfoList':[" A "," B "]}", CUT_RULE_READY,
         false, NULL},
        {"ready", BOTH, "{" CUT "'readyToUse':true,'volumeSnapshotInfoList':[" A "," B "]}",
         CUT_RULE_READY, true, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        group_object(&c, BOUND, "{'boundVolumeGroupSnapshotContentName':'" CONTENT "'}");
        content_object(&c, rows[i].volumes, rows[i].status);
        look(&c, rows[i].rule);
        assert_int_equal(c.state.group_count, 1);
        const struct clone_group *g = &c.state.groups[0];
        if (clone_all_cut(&c.state) != rows[i].cut || !str_eq(g->unfit, rows[i].unfit))
            fail_msg("%s: cut %d, %s", rows[i].name, g->cut, str_or(g->unfit, "fit"));
        drop(&c);
    }
}

/* A member of another group, of another claim, or that is not there yet, is no disk's. */
static void test_whose_a_member_is(void **state)
{
    (void)state;
    struct cluster c = {0};
    group_object(&c, BOUND, "{'boundVolumeGroupSnapshotContentName':'" CONTENT "'}");
    content_object(&c, BOTH, "{" CUT "'volumeSnapshotInfoList':[" A "," B "]}");
    member(&c, MEMBER_A, "src-root", "g-1");
    member(&c, MEMBER_B, "src-data", "g-2");
    look(&c, CUT_RULE_CREATED);
    assert_string_equal(c.state.disks[0].snapshot.name, MEMBER_A);
    assert_true(c.state.disks[0].snapshot.ours);
    assert_null(c.state.disks[1].snapshot.name);
    assert_int_equal(c.state.groups[0].restore_bytes, 12);
    drop(&c);
    group_object(&c, BOUND, "{'boundVolumeGroupSnapshotContentName':'" CONTENT "'}");
    content_object(&c, BOTH, "{" CUT "'volumeSnapshotInfoList':[" A "," B "]}");
    member(&c, MEMBER_A, "src-data", "g-1");
    look(&c, CUT_RULE_CREATED);
    assert_null(c.state.disks[0].snapshot.name);
    assert_string_equal(c.state.disks[1].snapshot.name, MEMBER_A);
    drop(&c);
}

/* A group that is deleted before snapshot-controller has bound it leaves its content behind. */
static void test_what_comes_before_its_deletion(void **state)
{
    (void)state;
    static const struct {
        const char *name, *finalizers, *bound, *content;
        bool awaited, being_cut;
    } rows[] = {
        {"bound and cut", BOUND, "'boundVolumeGroupSnapshotContentName':'" CONTENT "'",
         "{" CUT "'volumeSnapshotInfoList':[" A "," B "]}", false, false},
        {"its finalizer is to come", "", "'boundVolumeGroupSnapshotContentName':'" CONTENT "'",
         "{" CUT "'volumeSnapshotInfoList':[" A "," B "]}", true, false},
        {"the driver is at work", BOUND, "'boundVolumeGroupSnapshotContentName':'" CONTENT "'",
         "{}", false, true},
        {"the driver has refused", BOUND, "'boundVolumeGroupSnapshotContentName':'" CONTENT "'",
         "{'error':{'message':'no'}}", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *status = xasprintf("{%s}", rows[i].bound);
        group_object(&c, rows[i].finalizers, status);
        content_object(&c, BOTH, rows[i].content);
        look(&c, CUT_RULE_CREATED);
        const struct leftover *left = &c.state.ours[0];
        assert_int_equal(left->kind, KIND_GROUP);
        if (left->content_awaited != rows[i].awaited || left->being_cut != rows[i].being_cut)
            fail_msg("%s: awaited %d, being cut %d", rows[i].name, left->content_awaited,
                     left->being_cut);
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_counts_as_cut),
        cmocka_unit_test(test_whose_a_member_is),
        cmocka_unit_test(test_what_comes_before_its_deletion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
