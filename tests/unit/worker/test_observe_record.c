/*
 * What is there of a clone is told without the capture: what carried it may be gone, and the source
 * with it, when a restarted worker looks. And a policy of a content is taken back once.
 */
#include "observed_cluster.h"

#include "decide/decide.h"

#define STATUS(disks, rest)                                                                        \
    "{'cloneStatus':{'phase':'Cloning','attempts':1,'attemptTime':'2026-09-21T14:00:00.000Z',"     \
    "'sourceUID':'u1','sourceVMI':'src','childrenOwned':true," rest "'disks':[" disks "]}}"
#define CUT "'cutTime':'2026-09-21T14:01:00.000Z',"
#define PLANNED                                                                                    \
    "{'name':'root','volume':'os','sourcePVC':'src-root','size':'1073741824','method':"            \
    "'SnapshotRestore','storageClass':'fast','cutRule':'Created'}"

static void claim(struct cluster *c, const char *origin)
{
    CLEANUP_FREE char *text = xasprintf(
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE ":'" UID
        "','vm.novasphere.dev/attempt':'1'},'ownerReferences':[{'uid':'" UID "','kind':'Wukong',"
        "'name':'w'}]},'spec':{'dataSource':{'apiGroup':'snapshot.storage.k8s.io',"
        "'kind':'VolumeSnapshot','name':'%s'}},'status':{'phase':'Bound'}}",
        origin);
    put(c, KIND_PVC, text);
}

static void test_plan_from_the_record(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        size_t disks;
        enum disk_method method;
    } rows[] = {
        {STATUS(PLANNED, CUT), 1, DISK_RESTORE},
        /* Of an attempt that is not past its cut the list may be the one before's. */
        {STATUS(PLANNED, ""), 0, 0},
        /* A worker before this one has noted no volume. */
        {STATUS("{'name':'root','sourcePVC':'p','method':'SnapshotRestore'}", CUT), 0, 0},
        {STATUS("{'name':'ro/ot','volume':'v','sourcePVC':'p','method':'CSIClone'}", CUT), 0, 0},
        {STATUS("{'name':'root','volume':'v','sourcePVC':'p','method':'Copy'}", CUT), 0, 0},
        {STATUS("{'name':'root','volume':'v','sourcePVC':'p','method':'CSIClone',"
                "'cutRule':'Never'}",
                CUT),
         0, 0},
        /* All or none. */
        {STATUS(PLANNED ",{'name':'data'}", CUT), 0, 0},
        {STATUS("{'name':'root','volume':'v','sourcePVC':'p','method':'CDIHostCopy'}", CUT), 1,
         DISK_CDI_CLONE},
        {STATUS("{'name':'root','volume':'v','sourcePVC':'p','method':'CDIHostCopy','cutRule':"
                "'Ready'}",
                CUT),
         1, DISK_CDI_SNAPSHOT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, rows[i].status);
        build(&c);
        assert_false(c.state.capture.present);
        if (c.state.disk_count != rows[i].disks)
            fail_msg("row %zu: %zu disks", i, c.state.disk_count);
        if (rows[i].disks)
            assert_int_equal(c.state.disks[0].plan->method, rows[i].method);
        drop(&c);
    }
}

/* Neither capture nor source: the step is done where the claim is there, and hangs on what was cut;
   what is missing waits for the capture. */
static void test_disks_without_the_capture(void **state)
{
    (void)state;
    static const struct {
        const char *origin; /* of the claim; NULL: there is none */
        enum step_status o;
        enum reason reason;
    } rows[] = {
        {SNAPSHOT, STEP_DONE, REASON_NONE},
        {NULL, STEP_TODO, REASON_WAITING},
        {"golden", STEP_FAILED, REASON_CHANGED_BY_ADMISSION},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        struct why why = {0};
        wukong(&c, OF_VMI, STATUS(PLANNED, CUT));
        if (rows[i].origin)
            claim(&c, rows[i].origin);
        build(&c);
        enum step_status o = step_disks_check(&c.state, &why);
        if (o != rows[i].o || (rows[i].reason && why.reason != rows[i].reason))
            fail_msg("row %zu: %d, %s", i, o, why.message);
        drop(&c);
    }
}

static void looked_at(struct cluster *c, enum worker_kind kind, const char *name)
{
    struct call *look = call_log_get(&c->call_log, clone_live_key(kind, name));
    look->state = CALL_FAILED;
    look->code = 404;
    look->failures = 1;
    look->done_ms = NOW;
}

/* A stranger has the claim's name, and nobody reads the capture while that is so: the deadline
   comes all the same. */
static void test_deadline_without_the_capture(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, "{'cloneSource':{'type':'vmi','vmiName':'src','deadlineSeconds':60}}",
           STATUS(PLANNED, CUT "'startTime':'2026-09-21T14:00:00.000Z',"));
    put(&c, KIND_PVC, "{'metadata':{'name':'w-root','namespace':'ns','uid':'x'},'spec':{}}");
    looked_at(&c, KIND_VM, "w-vm");
    looked_at(&c, KIND_PVC, "w-root");
    build(&c);
    struct decision d = {.intents = {.arena = &c.arena}};
    clone_decide(&c.state, &d);
    assert_string_equal(d.record.error.reason, "DeadlineExceeded");
    drop(&c);
}

/* Retain is what the class gave it, until we set Delete and say so: what retains then was set by
   somebody else, whatever process of ours looks. */
static void test_policy_is_taken_back_once(void **state)
{
    (void)state;
    for (int set = 0; set <= 1; set++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        put(&c, KIND_SNAPSHOT_CLASS,
            "{'metadata':{'name':'keep','uid':'c1'},'deletionPolicy':'Retain'}");
        put(&c, KIND_SNAPSHOT,
            "{'metadata':{'name':'" SNAPSHOT "','namespace':'ns','uid':'s1','labels':{"
            "'vm.novasphere.dev/attempt':'1'," MADE ":'" UID "'}},'spec':{},"
            "'status':{'boundVolumeSnapshotContentName':'snapcontent-s1'}}");
        CLEANUP_FREE char *content = xasprintf(
            "{'metadata':{'name':'snapcontent-s1','uid':'k1'%s},'spec':{'deletionPolicy':'Retain',"
            "'volumeSnapshotClassName':'keep','source':{'volumeHandle':'v'},"
            "'volumeSnapshotRef':{'namespace':'ns','name':'" SNAPSHOT "','uid':'s1'}},"
            "'status':{'snapshotHandle':'h'}}",
            set ? ",'annotations':{'" POLICY_SET_ANNOTATION "':'Delete'}" : "");
        put(&c, KIND_CONTENT, content);
        build(&c);
        assert_int_equal(c.state.ours_count, 1);
        assert_true(c.state.ours[0].content_retains);
        assert_int_equal(c.state.ours[0].policy_ours, !set);
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_from_the_record),
        cmocka_unit_test(test_disks_without_the_capture),
        cmocka_unit_test(test_deadline_without_the_capture),
        cmocka_unit_test(test_policy_is_taken_back_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
