/*
 * Proves that an application's gate opens once, in each attempt, after it was asked for, and holds
 * until the last disk is cut, whatever happens in between.
 */
#include "world.h"

/* The gate opens once; between that and the snapshot other steps run, and AwaitingGates must not be
   asked for anew. It stays True until SnapshotTaken says that the application may go on, which
   False would do as well as True. */
static void test_gate_opens_once(void **state)
{
    (void)state;
    struct world w = new_world();
    w.gate = "example.com/flushed";
    run(&w, 30);
    assert_int_equal(w.freezes, 0);
    assert_string_equal(json_str(condition(&w, "AwaitingGates"), "status"), "True");
    w.gate_ms = w.now + 1000;
    w.now += 1000;
    /* The freeze has to wait for something else. */
    w.foreign_snapshot = true;
    run(&w, 30);
    assert_string_equal(json_str(condition(&w, "AwaitingGates"), "status"), "True");
    assert_string_equal(json_str(condition(&w, "SnapshotTaken"), "status"), "Unknown");
    check_condition(&w, "Ready", "SourceBusy", "VirtualMachineSnapshot theirs");
    w.foreign_snapshot = false;
    for (int i = 0; i < 60 && !w.record.attempt.cut_ms; i++) {
        assert_string_not_equal(str_or(json_str(condition(&w, "SnapshotTaken"), "status"), ""),
                                "False");
        run(&w, 1);
    }
    succeeds(&w, 60);
    assert_int_equal(w.freezes, 1);
    assert_null(json_str(condition(&w, "AwaitingGates"), "status"));
    assert_string_equal(json_str(condition(&w, "SnapshotTaken"), "status"), "True");
    sim_cluster_release(&w);
}

/* A gate that was open before it was asked for does not count, nor does it in the next attempt. */
static void test_gate_anew_in_every_attempt(void **state)
{
    (void)state;
    struct world w = new_world();
    w.gate = "example.com/flushed";
    w.gate_ms = w.now - 60000;
    run(&w, 50);
    assert_int_equal(w.freezes, 0);
    w.freeze_code = 409;
    w.gate_ms = w.now + 1000;
    w.now += 1000;
    for (int i = 0; i < 100 && !w.record.error.reason; i++)
        run(&w, 1);
    run(&w, 2);
    assert_string_equal(json_str(condition(&w, "SnapshotTaken"), "status"), "False");
    assert_null(json_str(condition(&w, "AwaitingGates"), "status"));
    run(&w, 500);
    assert_int_equal(w.freezes, 1);
    assert_int_equal(w.record.attempts, 2);
    assert_string_equal(json_str(condition(&w, "AwaitingGates"), "status"), "True");
    sim_cluster_release(&w);
}

/* The first attempt gets its time when it begins, which may be long after its gates were asked for:
   they are not closed by that, not even where no freeze is owed. */
static void test_gate_of_a_guest_without_agent(void **state)
{
    (void)state;
    struct world w = new_world();
    w.gate = "example.com/flushed";
    w.agent = false;
    run(&w, 30);
    w.gate_ms = w.now += 5000;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempts, 1);
    sim_cluster_release(&w);
}

/* Between the first cut and the last the source migrates, or the window shuts before the caches
   show the snapshots: an application that is released then, and asked anew later, has written
   between two cuts. Snapshots that are under way do not wait for a migration, either. */
static void test_gate_holds_until_the_last_cut(void **state)
{
    (void)state;
    static const struct {
        bool agent, slow, restarted, migrating, window_shuts;
    } rows[] = {
        {.migrating = true},
        {.agent = true, .migrating = true}, /* frozen, and thawed before the last cut */
        {.slow = true, .migrating = true},
        {.slow = true, .window_shuts = true},
        {.restarted = true, .migrating = true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        w.gate = "example.com/flushed";
        w.agent = rows[i].agent;
        w.slow_ms = rows[i].slow ? 3000 : 0;
        w.storage_stuck = true;
        run(&w, 30);
        w.gate_ms = w.now += 1000;
        for (int n = 0; n < 100 && !w.snapshot[0] && !w.slow[0].due; n++)
            run(&w, 1);
        w.migrating = rows[i].migrating;
        w.closed_until = rows[i].window_shuts ? w.now + 30000 : 0;
        if (rows[i].restarted)
            world_restart(&w);
        for (int n = 0; n < 400; n++) {
            run(&w, 1);
            if (!str_eq(json_str(condition(&w, "AwaitingGates"), "status"), "True"))
                fail_msg("row %zu: released after %d rounds", i, n);
        }
        w.storage_stuck = false;
        w.migrating = rows[i].migrating && !rows[i].restarted; /* nothing is known of disks yet */
        succeeds(&w, 100);
        assert_int_equal(w.record.attempts, 1);
        sim_cluster_release(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_opens_once),
        cmocka_unit_test(test_gate_anew_in_every_attempt),
        cmocka_unit_test(test_gate_of_a_guest_without_agent),
        cmocka_unit_test(test_gate_holds_until_the_last_cut),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
