/*
 * Proves the order of a clone and its promises on the world of world.h. What must hold is from the
 * product's description: the freeze is announced before it is sent, the thaw follows the cut at
 * once and is owed on every path, nothing is left after a failure, a finished clone is never run
 * again.
 */
#include "world.h"

#include "controller/status.h"

static void test_happy(void **state)
{
    (void)state;
    struct world w = new_world();
    run(&w, 40);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    assert_int_equal(w.freezes, 1);
    assert_int_equal(w.thaws, 1);
    assert_int_equal(w.frozen_at_cut, DISKS);
    assert_true(w.vm_ready && w.owned[0] && w.owned[1]);
    assert_int_equal(w.record.attempt.progress, 100);
    assert_false(w.finalizer);
    assert_clean(&w);
    sim_cluster_release(&w);
}

static void test_never_again(void **state)
{
    (void)state;
    struct world w = new_world();
    run(&w, 40);
    w.vm = w.vm_ready = false;
    w.source_gone = true;
    run(&w, 40);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.freezes, 1);
    assert_false(w.vm);
    sim_cluster_release(&w);
}

static void test_no_agent(void **state)
{
    (void)state;
    struct world w = new_world();
    w.agent = false;
    run(&w, 40);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
    assert_int_equal(w.freezes, 0);
    sim_cluster_release(&w);
    w = new_world();
    w.agent = false;
    w.quiesce = QUIESCE_REQUIRED;
    run(&w, 40);
    assert_int_equal(w.record.attempts, 0);
    w.agent = true;
    run(&w, 40);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    sim_cluster_release(&w);
}

/* 500 although the guest froze: it is thawed, and the clone goes on as quiesce says. */
static void test_ambiguous_freeze(void **state)
{
    (void)state;
    for (int lands = 0; lands < 2; lands++) {
        struct world w = new_world();
        w.freeze_code = 500;
        w.lands = lands;
        run(&w, 5000);
        assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
        assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
        assert_true(w.thaws >= w.freezes);
        assert_clean(&w);
        sim_cluster_release(&w);
        w = new_world();
        w.freeze_code = 500;
        w.lands = lands;
        w.quiesce = QUIESCE_REQUIRED;
        run(&w, 20000);
        assert_int_equal(w.record.phase, PHASE_FAILED);
        assert_string_equal(w.record.error.reason, "FreezeFailed");
        assert_int_equal(w.record.attempts, 6);
        assert_false(w.vm || w.claim[0] || w.claim[1]);
        assert_clean(&w);
        assert_false(w.finalizer);
        sim_cluster_release(&w);
    }
}

/* The process dies between any two rounds: the call log is gone, everything else stays. */
static void test_killed_anywhere(void **state)
{
    (void)state;
    for (int at = 0; at < 30; at++) {
        struct world w = new_world();
        run(&w, at);
        world_restart(&w);
        run(&w, 2000);
        if (w.record.phase != PHASE_SUCCEEDED)
            fail_msg("killed after round %d: phase %s", at, clone_phase_names[w.record.phase]);
        assert_clean(&w);
        assert_true(w.vm_ready);
        sim_cluster_release(&w);
    }
}

static void test_deleted_anywhere(void **state)
{
    (void)state;
    for (int at = 0; at < 30; at++) {
        struct world w = new_world();
        run(&w, at);
        bool finished = w.record.phase == PHASE_SUCCEEDED;
        w.deleted = true;
        run(&w, 2000);
        assert_clean(&w);
        assert_false(w.finalizer);
        /* A finished clone's VM is the garbage collector's business (ownerReference). */
        if (!finished)
            assert_false(w.vm || w.claim[0] || w.claim[1]);
        sim_cluster_release(&w);
    }
}

static void test_storage_never_cuts(void **state)
{
    (void)state;
    struct world w = new_world();
    w.storage_stuck = true;
    w.quiesce = QUIESCE_REQUIRED;
    /* 58 s is the margin before the guest's own timer; a round is 0.2 s. */
    run(&w, 300);
    assert_false(w.frozen);
    assert_true(w.thaws >= 1);
    run(&w, 20000);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_clean(&w);
    sim_cluster_release(&w);
}

static void test_foreign_freeze(void **state)
{
    (void)state;
    struct world w = new_world();
    w.frozen = true;
    w.guest_timer = INT64_MAX;
    run(&w, 100);
    assert_int_equal(w.freezes, 0);
    assert_int_equal(w.thaws, 0);
    assert_true(w.frozen);
    w.frozen = false;
    run(&w, 100);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    sim_cluster_release(&w);
}

static void test_deadline(void **state)
{
    (void)state;
    struct world w = new_world();
    w.source_gone = true;
    run(&w, 3700 * 5);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_string_equal(w.record.error.reason, "DeadlineExceeded");
    sim_cluster_release(&w);
}

/* KubeVirt leaves out its freeze while it reads "frozen", and its end thaws everybody: its snapshot
   waits for the same as our own freeze. Once announced it waits for no other that is, too. */
static void test_vm_snapshot_waits_for_the_guest(void **state)
{
    (void)state;
    const int64_t now = 1790000000000;
    static const struct {
        const char *name;
        struct source_machine source;
        struct other_clones others;
        bool begun;
        enum step_status expected;
    } rows[] = {
        {"free", {.agent = true}, {}, false, STEP_TODO},
        {"frozen", {.agent = true, .freeze_status = "frozen"}, {}, false, STEP_WAIT},
        {"a thaw is owed", {.agent = true}, {.freeze_elsewhere = true}, false, STEP_WAIT},
        {"a thaw is owed, begun", {.agent = true}, {.freeze_elsewhere = true}, true, STEP_WAIT},
        {"another one", {.agent = true}, {.vm_snapshot_elsewhere = true}, false, STEP_WAIT},
        {"another one, begun", {.agent = true}, {.vm_snapshot_elsewhere = true}, true, STEP_TODO},
        {"enough others",
         {.agent = true},
         {.freezes_full = true, .freezes_max = 4},
         false,
         STEP_WAIT},
        {"enough others, begun", {.agent = true}, {.freezes_full = true}, true, STEP_TODO},
        {"no agent, enough others", {}, {.freezes_full = true}, false, STEP_TODO},
        {"just thawed", {.agent = true}, {.last_thaw_ms = 1790000000000 - 5000}, false, STEP_WAIT},
        {"thawed long ago",
         {.agent = true},
         {.last_thaw_ms = 1790000000000 - 7000},
         false,
         STEP_TODO},
        {"no agent", {.freeze_status = "frozen"}, {.freeze_elsewhere = true}, false, STEP_TODO},
        {"locked", {.holds.snapshot = "theirs"}, {}, false, STEP_WAIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct why why = {0};
        struct call_log call_log = {0};
        struct clone_state v = {
            .source = rows[i].source,
            .others = rows[i].others,
            .call_log = &call_log,
            .now = {now, 1},
            .effective = {.method = METHOD_VM_SNAPSHOT},
            .record = {.attempts = rows[i].begun, .attempt.source_uid = rows[i].begun ? "u" : NULL},
            .vm_snapshot = {.name = "vms", .ns = "ns"}};
        v.source.vmi_exists = true;
        if (check_vm_snapshot(&v, &why) != rows[i].expected ||
            why.reason != (rows[i].expected == STEP_TODO ? REASON_CLONING
                           : rows[i].others.freezes_full ? REASON_QUEUED
                                                         : REASON_SOURCE_BUSY))
            fail_msg("%s: %s", rows[i].name, why.message);
    }
}

/* Its deadline is for what it does, not for how many came before it. */
static void test_the_deadline_stands_in_the_queue(void **state)
{
    (void)state;
    struct world w = new_world();
    w.others_frozen = true;
    w.queued_ms = w.now;
    w.freeze_ahead = 9;
    run(&w, 5 * 2 * 3600); /* two hours; the deadline is one */
    assert_int_equal(w.record.phase, PHASE_CLONING);
    w.others_frozen = false; /* it keeps its place while it reads once more */
    succeeds(&w, 50);
    assert_int_equal(w.record.attempts, 1);
    sim_cluster_release(&w);
}

/* Its guest runs until fewer others are frozen. Meanwhile nothing is written, and nothing asked
   again that would be old by then. The next few keep what they have read fresh. */
static void test_waits_for_its_turn(void **state)
{
    (void)state;
    struct world w = new_world();
    w.others_frozen = true;
    w.queued_ms = w.now;
    w.freeze_ahead = 5;
    run(&w, 50);
    const cJSON *ready = condition(&w, "Ready");
    assert_string_equal(str_or(json_str(ready, "reason"), ""), "Queued");
    assert_string_equal(
        json_str(ready, "message"),
        "other clones hold their guests frozen, at most 4 at a time; 5 go before this one");
    int calls = w.calls;
    run(&w, 600);
    assert_int_equal(w.calls, calls);
    w.freeze_ahead = 1;
    run(&w, 300);
    assert_true(w.calls > calls);
    assert_int_equal(w.freezes, 0);
    w.others_frozen = false;
    succeeds(&w, 50);
    assert_int_equal(w.record.attempts, 1);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
    /* Who cuts without a freeze has nothing to wait for. */
    w = new_world();
    w.others_frozen = true;
    w.quiesce = QUIESCE_NEVER;
    succeeds(&w, 50);
    sim_cluster_release(&w);
}

/* However many are under way, what may wait is not told more often than of sixteen. */
static void test_soft_changes_are_no_storm(void **state)
{
    (void)state;
    assert_int_equal(status_pause_ms(0), STATUS_SOFT_MS);
    for (size_t clones = 1; clones <= 1000; clones++) {
        int64_t pause_ms = status_pause_ms(clones);
        assert_true(pause_ms >= STATUS_SOFT_MS && pause_ms >= status_pause_ms(clones - 1));
        assert_true((int64_t)clones * STATUS_SOFT_MS <= STATUS_SOFT_CLONES * pause_ms);
        assert_true(clones > STATUS_SOFT_CLONES || pause_ms == STATUS_SOFT_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soft_changes_are_no_storm),
        cmocka_unit_test(test_waits_for_its_turn),
        cmocka_unit_test(test_the_deadline_stands_in_the_queue),
        cmocka_unit_test(test_happy),
        cmocka_unit_test(test_never_again),
        cmocka_unit_test(test_no_agent),
        cmocka_unit_test(test_ambiguous_freeze),
        cmocka_unit_test(test_killed_anywhere),
        cmocka_unit_test(test_deleted_anywhere),
        cmocka_unit_test(test_storage_never_cuts),
        cmocka_unit_test(test_foreign_freeze),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_vm_snapshot_waits_for_the_guest),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
