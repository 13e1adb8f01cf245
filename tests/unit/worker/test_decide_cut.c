/*
 * Proves what the cut rules of disks do to an attempt: no guest is frozen for a cut that outlasts
 * its freeze, and a copy of files is no point in time unless the guest is frozen until it is made.
 */
#include "world.h"

static const struct disk_plan slow[DISKS] = {
    {.name = "root",
     .volume = "root",
     .claim = "src-root",
     .method = DISK_RESTORE,
     .storage_class = "fast"},
    {.name = "data",
     .volume = "data",
     .claim = "src-data",
     .method = DISK_RESTORE,
     .storage_class = "fast",
     .driver = "slow.csi",
     .cut = {.slow = true}},
};
static const struct disk_plan files[DISKS] = {
    {.name = "root",
     .volume = "root",
     .claim = "src-root",
     .method = DISK_RESTORE,
     .storage_class = "fast"},
    {.name = "data",
     .volume = "data",
     .claim = "src-data",
     .method = DISK_RESTORE,
     .storage_class = "fast",
     .driver = "nfs.csi.k8s.io",
     .cut = {.rule = CUT_RULE_WHILE_FROZEN}},
};

static const char *ready_reason(const struct world *w)
{
    return str_or(json_str(condition(w, "Ready"), "reason"), "");
}

static const char *ready_message(const struct world *w)
{
    return str_or(json_str(condition(w, "Ready"), "message"), "");
}

/* Six freezes of a minute each came to nothing; now none is made, and the reason says why. */
static void test_a_slow_cut_freezes_nobody(void **state)
{
    (void)state;
    struct world w = new_world();
    w.plans = slow;
    w.quiesce = QUIESCE_REQUIRED;
    run(&w, 300);
    assert_int_equal(w.freezes, 0);
    assert_int_equal(w.record.attempts, 0);
    assert_string_equal(ready_reason(&w), "CutTooSlow");
    assert_non_null(strstr(ready_message(&w), "disk data"));
    assert_non_null(strstr(ready_message(&w), "slow.csi"));
    /* The class is corrected, and the clone goes on. */
    w.plans = new_world().plans;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
}

static void test_a_slow_cut_if_available(void **state)
{
    (void)state;
    struct world w = new_world();
    w.plans = slow;
    succeeds(&w, 100);
    assert_int_equal(w.freezes, 0);
    assert_int_equal(w.record.attempts, 1);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
    sim_cluster_release(&w);
}

static void test_a_copy_of_files_needs_a_freeze(void **state)
{
    (void)state;
    struct world w = new_world();
    w.plans = files;
    succeeds(&w, 100);
    assert_int_equal(w.freezes, 1);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);

    w = new_world();
    w.plans = files;
    w.quiesce = QUIESCE_NEVER;
    run(&w, 100);
    assert_int_equal(w.record.attempts, 0);
    assert_string_equal(ready_reason(&w), "CutRefused");
    sim_cluster_release(&w);

    w = new_world();
    w.plans = files;
    w.agent = false;
    run(&w, 100);
    assert_int_equal(w.record.attempts, 0);
    assert_string_equal(ready_reason(&w), "CutRefused");
    assert_non_null(strstr(ready_message(&w), "nfs.csi.k8s.io"));
    w.agent = true;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
}

/* A policy demands what IfAvailable leaves open: the agent is waited for, and no attempt that could
   not freeze counts, though it be the third. */
static void test_a_policy_demands_a_freeze(void **state)
{
    static const enum consistency least[] = {CONSISTENCY_FILESYSTEM, CONSISTENCY_CRASH};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(least); i++) {
        struct world w = new_world();
        w.least = least[i];
        w.agent = false;
        run(&w, 100);
        assert_int_equal(w.record.attempts, 0);
        assert_string_equal(ready_reason(&w), "AgentNotConnected");
        assert_non_null(strstr(ready_message(&w), "a ClonePolicy demands"));
        w.agent = true;
        succeeds(&w, 100);
        assert_int_equal(w.freezes, 1);
        assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
        sim_cluster_release(&w);

        w = new_world();
        w.least = least[i];
        w.plans = slow;
        run(&w, 100);
        assert_string_equal(ready_reason(&w), "CutTooSlow");
        sim_cluster_release(&w);

        w = new_world();
        w.least = least[i];
        w.freeze_code = 500;
        w.retry_limit = 3;
        run(&w, 5000);
        assert_int_equal(w.record.phase, PHASE_FAILED);
        assert_string_equal(w.record.error.reason, "FreezeFailed");
        assert_int_equal(w.record.attempt.cut_ms, 0);
        sim_cluster_release(&w);
    }
    struct world w = new_world();
    w.least = CONSISTENCY_CRASH_PER_DISK;
    w.agent = false;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
    sim_cluster_release(&w);
}

/* Let go when nothing was demanded, or the source was stopped: what is cut is judged by what it is.
 */
static void test_less_than_a_policy_demands(void **state)
{
    (void)state;
    struct world w = new_world();
    w.quiesce = QUIESCE_NEVER;
    w.retry_limit = 1;
    w.least = CONSISTENCY_CRASH;
    run(&w, 5000);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_string_equal(w.record.error.reason, "CutTimeout");
    assert_non_null(strstr(w.record.error.message, "CrashConsistentPerDisk"));
    sim_cluster_release(&w);

    w = new_world();
    w.quiesce = QUIESCE_NEVER;
    w.by_vm = w.source_off = true;
    w.clone_type = CLONE_LINKED;
    w.least = CONSISTENCY_FILESYSTEM;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_OFFLINE);
    sim_cluster_release(&w);
}

/* A stopped source writes nothing. */
static void test_a_copy_of_files_of_a_stopped_source(void **state)
{
    (void)state;
    struct world w = new_world();
    w.plans = files;
    w.by_vm = w.source_off = true;
    w.clone_type = CLONE_LINKED;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_OFFLINE);
    sim_cluster_release(&w);
}

/* IfAvailable asks for no freeze; the copy does. It is not called CrashConsistent, which it is not:
   the attempt ends. */
static void test_a_copy_that_outlasts_its_freeze(void **state)
{
    (void)state;
    struct world w = new_world();
    w.plans = files;
    w.storage_stuck = true;
    for (int i = 0; i < 1000 && !w.record.error.reason; i++)
        run(&w, 1);
    assert_string_equal(str_or(w.record.error.reason, ""), "CutTimeout");
    assert_int_equal(w.record.attempt.cut_ms, 0);
    assert_int_equal(w.thaws, w.freezes);
    w.storage_stuck = false;
    succeeds(&w, 1000);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_slow_cut_freezes_nobody),
        cmocka_unit_test(test_a_slow_cut_if_available),
        cmocka_unit_test(test_a_copy_of_files_needs_a_freeze),
        cmocka_unit_test(test_a_policy_demands_a_freeze),
        cmocka_unit_test(test_less_than_a_policy_demands),
        cmocka_unit_test(test_a_copy_of_files_of_a_stopped_source),
        cmocka_unit_test(test_a_copy_that_outlasts_its_freeze),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
