/*
 * Proves what the other clone types promise: a full clone takes nothing of the source's storage
 * along and leaves no snapshot; a linked one keeps its parents as long as it lives, and lets go of
 * them at its end; and that a finished clone of any type is idle.
 */
#include "world.h"

/* --- Full clones --- */

static const struct disk_plan csi_plans[DISKS] = {
    {.name = "root", .volume = "root", .claim = "src-root", .method = DISK_CSI_CLONE},
    {.name = "data", .volume = "data", .claim = "src-data", .method = DISK_CSI_CLONE},
};

static struct world full_clone(void)
{
    struct world w = new_world();
    w.by_vm = w.source_off = true;
    w.clone_type = CLONE_FULL;
    w.plans = csi_plans;
    return w;
}

static void test_full(void **state)
{
    (void)state;
    struct world w = full_clone();
    w.source_off = false;
    run(&w, 50);
    assert_int_equal(w.record.attempts, 0);
    assert_string_equal(json_str(condition(&w, "SourceReady"), "status"), "False");
    w.source_off = true;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_OFFLINE);
    assert_int_equal(w.starts, 0);
    sim_cluster_release(&w);
}

/* The source is started while its claims are being copied: what was copied is torn. */
static void test_full_source_started(void **state)
{
    (void)state;
    for (int at = 3; at < 30; at++) {
        struct world w = full_clone();
        w.claims_stuck = true;
        run(&w, at);
        bool copying = w.claim[0];
        w.source_off = false;
        run(&w, 3);
        w.claims_stuck = false;
        if (copying)
            assert_string_equal(str_or(w.record.error.reason, ""), "SourceStarted");
        run(&w, 100);
        assert_false(w.record.phase == PHASE_SUCCEEDED);
        assert_false(w.claim[0] || w.claim[1] || w.vm);
        w.source_off = true;
        succeeds(&w, 600);
        sim_cluster_release(&w);
    }
}

/* Once its claims are bound the source may be started, and be deleted. */
static void test_full_source_free_after_copy(void **state)
{
    (void)state;
    struct world w = full_clone();
    for (int i = 0; i < 100 && !(w.bound[0] && w.bound[1]); i++)
        run(&w, 1);
    w.source_off = false;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempts, 1);
    sim_cluster_release(&w);
}

/* From snapshots (no CSI clone): the point in time is fixed, the source is free. */
static void test_full_by_snapshot(void **state)
{
    (void)state;
    struct world w = full_clone();
    w.plans = new_world().plans;
    w.storage_unready = true;
    for (int i = 0; i < 100 && !w.record.attempt.cut_ms; i++)
        run(&w, 1);
    w.source_off = false;
    run(&w, 5);
    w.storage_unready = false;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_OFFLINE);
    assert_clean(&w);
    sim_cluster_release(&w);
}

#define NOT_CLONED                                                                                 \
    "failed to provision volume with StorageClass \"fast\": CSI driver does not support clone "    \
    "operations: controller CLONE_VOLUME capability is not reported"

/* A driver that does not clone volumes is found out by trying: that attempt is free, and nothing of
   it is left when the next one takes snapshots. */
static void test_full_where_volumes_are_not_cloned(void **state)
{
    (void)state;
    struct world w = full_clone();
    w.retry_limit = 0;
    w.claims_stuck = true;
    w.claim_error = NOT_CLONED;
    for (int i = 0; i < 100 && !w.record.error.reason; i++)
        run(&w, 1);
    assert_string_equal(str_or(w.record.error.reason, ""), "CloningRefused");
    assert_non_null(strstr(w.record.error.message, "CLONE_VOLUME"));
    for (int i = 0; i < 100 && w.record.attempts == 1; i++)
        run(&w, 1);
    assert_false(w.claim[0] || w.claim[1] || w.vm);
    /* As disks_resolve has it then (tests/unit/wukong/test_source.c). */
    w.plans = new_world().plans;
    w.claims_stuck = false;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempts, 2);
    assert_clean(&w);
    sim_cluster_release(&w);
}

/* Where snapshots cannot be had either, it ends after the retries that it has, and one. */
static void test_full_where_nothing_fits(void **state)
{
    (void)state;
    struct world w = full_clone();
    w.retry_limit = 1;
    w.claims_stuck = true;
    w.claim_error = NOT_CLONED;
    run(&w, 1000);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_int_equal(w.record.attempts, 3);
    assert_string_equal(w.record.error.reason, "CloningRefused");
    sim_cluster_release(&w);
}

/* The source was started while it was cut, and the cache does not show it yet: that is found by a
   look of its own before anything says Offline. */
static void test_offline_is_proven_first(void **state)
{
    (void)state;
    /* Created after what the storage says of the cut: its clock may be behind. */
    static const char vmi[] = "{\"metadata\":{\"creationTimestamp\":\"2036-01-01T00:00:00Z\"},"
                              "\"status\":{\"phase\":\"Running\"}}";
    struct world w = full_clone();
    w.plans = new_world().plans;
    for (int i = 0; i < 100 && !(w.snapshot[0] && w.snapshot[1]); i++)
        run(&w, 1);
    struct call *look = call_log_get(&w.call_log, call_key_numbered(CALL_LOOK_AFTER_VMI, 1));
    look->state = CALL_OK;
    look->body = xstrdup(vmi);
    look->body_len = sizeof vmi - 1;
    for (int i = 0; i < 100 && !w.record.error.reason; i++) {
        run(&w, 1);
        assert_int_equal(w.record.attempt.consistency, CONSISTENCY_UNKNOWN);
    }
    assert_string_equal(str_or(w.record.error.reason, ""), "SourceStarted");
    succeeds(&w, 600);
    assert_int_equal(w.record.attempts, 2);
    sim_cluster_release(&w);
}

/* --- Linked: the parents stay for the life of the children. --- */

static struct world linked_clone(void)
{
    struct world w = new_world();
    w.clone_type = CLONE_LINKED;
    return w;
}

static void test_linked_keeps_its_parents(void **state)
{
    (void)state;
    struct world w = linked_clone();
    succeeds(&w, 100);
    run(&w, 100);
    assert_true(w.snapshot[0] && w.snapshot[1]);
    assert_true(w.parent[0] && w.parent[1]);
    assert_true(w.finalizer);
    /* The machine and its claims go: so do the parents. */
    w.vm = w.vm_ready = false;
    run(&w, 50);
    assert_true(w.snapshot[0]);
    w.claim[0] = w.bound[0] = false;
    run(&w, 50);
    assert_true(w.snapshot[0]);
    w.claim[1] = w.bound[1] = false;
    run(&w, 50);
    assert_clean(&w);
    assert_false(w.finalizer);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    sim_cluster_release(&w);
}

/* Deleting the Wukong: Delete takes the machine first, Retain leaves it and its parents. */
static void test_linked_deleted(void **state)
{
    (void)state;
    struct world w = linked_clone();
    succeeds(&w, 100);
    run(&w, 10);
    w.deleted = true;
    run(&w, 100);
    assert_false(w.vm || w.claim[0] || w.claim[1]);
    assert_clean(&w);
    assert_false(w.finalizer);
    sim_cluster_release(&w);

    w = linked_clone();
    w.reclaim = RECLAIM_RETAIN;
    succeeds(&w, 100);
    run(&w, 10);
    w.deleted = true;
    run(&w, 100);
    assert_true(w.vm && w.claim[0] && w.claim[1]);
    assert_true(w.snapshot[0] && w.parent[0]);
    assert_false(w.finalizer);
    sim_cluster_release(&w);
}

/* A failed or cancelled linked clone leaves no parent. */
static void test_linked_cancelled_anywhere(void **state)
{
    (void)state;
    for (int at = 0; at < 30; at++) {
        struct world w = linked_clone();
        w.claims_stuck = true;
        run(&w, at);
        w.deleted = true;
        run(&w, 300);
        assert_false(w.vm || w.claim[0] || w.claim[1] || w.finalizer);
        assert_clean(&w);
        sim_cluster_release(&w);
    }
}

/* --- Idle --- */

/* A finished clone, and one that waits, send nothing and write nothing. */
static void test_idle(void **state)
{
    (void)state;
    struct world w = new_world();
    succeeds(&w, 60);
    run(&w, 5);
    int sent = w.sent;
    run(&w, 100);
    assert_int_equal(w.sent, sent);
    sim_cluster_release(&w);
    w = linked_clone();
    succeeds(&w, 60);
    run(&w, 20);
    sent = w.sent;
    run(&w, 100);
    assert_int_equal(w.sent, sent);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_full_source_started),
        cmocka_unit_test(test_full_source_free_after_copy),
        cmocka_unit_test(test_full_by_snapshot),
        cmocka_unit_test(test_full_where_volumes_are_not_cloned),
        cmocka_unit_test(test_full_where_nothing_fits),
        cmocka_unit_test(test_offline_is_proven_first),
        cmocka_unit_test(test_linked_keeps_its_parents),
        cmocka_unit_test(test_linked_deleted),
        cmocka_unit_test(test_linked_cancelled_anywhere),
        cmocka_unit_test(test_idle),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
