/*
 * Proves what happens when the source changes under the clone: it stops, restarts unseen, is
 * started by the clone and stopped again, once, and never when somebody else started it.
 */
#include "world.h"

/* Its user stops the source while the snapshots are being taken: the attempt fails, "Offline" would
   be a lie, and the cut of a stopped machine is not what a running clone promised. */
static void test_source_stops_before_the_cut(void **state)
{
    (void)state;
    for (int linked = 0; linked < 2; linked++) {
        struct world w = new_world();
        w.by_vm = true;
        w.clone_type = linked ? CLONE_LINKED : CLONE_RUNNING;
        w.storage_stuck = true;
        until_frozen(&w);
        w.source_off = true;
        w.frozen = false;
        run(&w, 3);
        assert_string_equal(w.record.error.reason, "SourceChanged");
        assert_int_equal(w.starts, 0);
        sim_cluster_release(&w);
    }
}

/* The source restarts while its guest is frozen, and the cache does not show it: the last disk is
   cut from a guest that nobody froze. The guest is thawed without waiting for the look that tells.
 */
static void test_source_restarts_unseen(void **state)
{
    (void)state;
    static const enum quiesce rows[] = {QUIESCE_IF_AVAILABLE, QUIESCE_REQUIRED, QUIESCE_NEVER};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        w.quiesce = rows[i];
        w.unseen_uid = "vmi-uid-2";
        for (int k = 0; k < 100 && !w.record.error.reason; k++) {
            run(&w, 1);
            assert_int_equal(w.record.attempt.consistency, CONSISTENCY_UNKNOWN);
        }
        assert_string_equal(str_or(w.record.error.reason, ""), "SourceChanged");
        assert_int_equal(w.record.attempt.cut_ms, 0);
        assert_int_equal(w.thaws, w.freezes);
        w.unseen_uid = NULL;
        (void)snprintf(w.vmi_uid, sizeof w.vmi_uid, "vmi-uid-2");
        succeeds(&w, 600);
        assert_int_equal(w.record.attempts, 2);
        assert_int_equal(w.record.attempt.consistency, rows[i] == QUIESCE_NEVER
                                                           ? CONSISTENCY_CRASH_PER_DISK
                                                           : CONSISTENCY_FILESYSTEM);
        sim_cluster_release(&w);
    }
}

static struct world stopped_source(void)
{
    struct world w = new_world();
    w.by_vm = w.source_off = w.stop_after = true;
    return w;
}

static void test_started_source_is_stopped(void **state)
{
    (void)state;
    struct world w = stopped_source();
    succeeds(&w, 100);
    assert_int_equal(w.starts, 1);
    assert_true(w.stops >= 1);
    assert_true(w.source_off);
    sim_cluster_release(&w);
    /* Killed anywhere in between. */
    for (int at = 0; at < 30; at++) {
        w = stopped_source();
        run(&w, at);
        world_restart(&w);
        succeeds(&w, 1000);
        assert_true(w.source_off);
        sim_cluster_release(&w);
    }
}

/* Claims that wait for a consumer end the clone early; the source is stopped all the same. */
static void test_started_source_is_stopped_without_consumer(void **state)
{
    (void)state;
    struct world w = stopped_source();
    w.plans = world_lazy_plans;
    w.wait_for_consumer = w.not_started = true;
    succeeds(&w, 100);
    assert_true(w.source_off);
    sim_cluster_release(&w);
}

/* What somebody else started, or started anew, is not ours to stop. */
static void test_foreign_start_is_not_stopped(void **state)
{
    (void)state;
    struct world w = stopped_source();
    w.start_code = 409;
    run(&w, 10);
    w.source_off = false;
    succeeds(&w, 100);
    assert_int_equal(w.stops, 0);
    sim_cluster_release(&w);
    w = stopped_source();
    w.storage_unready = true;
    run(&w, 2);
    w.stop_code = 500;
    for (int i = 0; i < 100 && !w.record.attempt.cut_ms; i++)
        run(&w, 1);
    (void)snprintf(w.vmi_uid, sizeof w.vmi_uid, "theirs");
    w.stop_code = 0;
    w.stops = 0;
    w.storage_unready = false;
    succeeds(&w, 200);
    assert_int_equal(w.stops, 0);
    sim_cluster_release(&w);
}

/* A failed attempt does not stop what the next one would start again; the last one does. */
static void test_started_source_between_attempts(void **state)
{
    (void)state;
    struct world w = stopped_source();
    w.quiesce = QUIESCE_REQUIRED;
    w.freeze_code = 500;
    w.retry_limit = 1;
    run(&w, 20000);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_int_equal(w.starts, 1);
    assert_true(w.source_off);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_stops_before_the_cut),
        cmocka_unit_test(test_source_restarts_unseen),
        cmocka_unit_test(test_started_source_is_stopped),
        cmocka_unit_test(test_started_source_is_stopped_without_consumer),
        cmocka_unit_test(test_foreign_start_is_not_stopped),
        cmocka_unit_test(test_started_source_between_attempts),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
