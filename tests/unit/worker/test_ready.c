/*
 * A machine that is there and ready is never taken away: what remains to be done then is a debt of
 * a finished clone, tried for as long as it takes and told in TemporariesCleaned.
 */
#include "world.h"

#define HOUR 18000 /* in rounds */

static const char *cleaned(const struct world *w)
{
    return json_str(condition(w, "TemporariesCleaned"), "status");
}

static void assert_there(const struct world *w)
{
    assert_int_equal(w->record.phase, PHASE_SUCCEEDED);
    assert_true(w->vm);
    for (size_t i = 0; i < DISKS; i++)
        assert_true(w->claim[i] && w->bound[i]);
}

/* Storage that deletes no snapshot while volumes depend on it answers FailedPrecondition for as
   long as those exist. The deadline came, and took the running machine with it. */
static void test_storage_refuses_to_delete(void **state)
{
    (void)state;
    struct world w = new_world();
    w.snapshots_stay = true;
    succeeds(&w, 100);
    assert_string_equal(cleaned(&w), "False");
    run(&w, 2 * HOUR);
    assert_there(&w);
    assert_string_equal(cleaned(&w), "False");
    assert_non_null(strstr(json_str(condition(&w, "TemporariesCleaned"), "message"), "s-root"));
    assert_string_equal(json_str(condition(&w, "Ready"), "status"), "True");
    assert_true(w.finalizer);
    world_restart(&w);
    /* The storage has deleted them. */
    w.snapshots_stay = w.snapshot_deleting = false;
    for (size_t i = 0; i < DISKS; i++)
        w.snapshot[i] = w.cut[i] = w.ready[i] = false;
    run(&w, 100);
    assert_there(&w);
    assert_string_equal(cleaned(&w), "True");
    assert_false(w.finalizer);
    sim_cluster_release(&w);
}

/* And nobody is asked more often for that. */
static void test_a_debt_is_quiet(void **state)
{
    (void)state;
    struct world w = new_world();
    w.snapshots_stay = true;
    succeeds(&w, 100);
    run(&w, 100);
    int sent = w.sent, writes = w.status_writes;
    run(&w, HOUR);
    assert_int_equal(w.sent, sent);
    assert_int_equal(w.status_writes, writes);
    sim_cluster_release(&w);
}

/* Deleting the Wukong is not held up by it for ever. */
static void test_deleted_in_debt(void **state)
{
    (void)state;
    struct world w = new_world();
    w.snapshots_stay = true;
    succeeds(&w, 100);
    w.deleted = true;
    w.deleted_ms = w.now;
    run(&w, 3100);
    assert_false(w.finalizer);
    assert_true(w.vm && w.claim[0]);
    assert_int_equal(w.leftovers, 1);
    sim_cluster_release(&w);
}

/* The clone is its disks and its start: what the guest says of itself decides nothing. */
static void test_readiness_probe_fails(void **state)
{
    (void)state;
    struct world w = new_world();
    w.probe_fails = true;
    succeeds(&w, 100);
    const cJSON *c = condition(&w, "VirtualMachineReady");
    assert_string_equal(json_str(c, "status"), "True");
    assert_non_null(strstr(json_str(c, "message"), "readiness probe"));
    run(&w, 2 * HOUR);
    assert_there(&w);
    assert_clean(&w);
    w.vm_ready = true;
    w.probe_fails = false;
    run(&w, 100);
    assert_string_equal(json_str(condition(&w, "VirtualMachineReady"), "message"),
                        "the new machine is there");
    sim_cluster_release(&w);
}

/* The source that was started for the clone cannot be stopped: the clone is done all the same, and
   the stop is tried on. */
static void test_source_cannot_be_stopped(void **state)
{
    (void)state;
    struct world w = new_world();
    w.by_vm = w.source_off = w.stop_after = true;
    w.stop_code = 500;
    succeeds(&w, 200);
    assert_string_equal(cleaned(&w), "False");
    run(&w, 2 * HOUR);
    assert_there(&w);
    assert_true(!w.source_off && w.finalizer);
    world_restart(&w);
    w.stop_code = 0;
    run(&w, 200);
    assert_true(w.source_off);
    assert_string_equal(cleaned(&w), "True");
    assert_false(w.finalizer);
    sim_cluster_release(&w);
}

/* A worker that comes late, long after the deadline, finds out first what is there. */
static void test_restarted_after_the_deadline(void **state)
{
    (void)state;
    struct world w = new_world();
    for (int i = 0; i < 200 && !w.vm_up; i++)
        run(&w, 1);
    assert_true(w.vm_up && w.record.phase != PHASE_SUCCEEDED);
    world_restart(&w);
    w.now += 2 * 3600 * 1000;
    succeeds(&w, 50);
    assert_there(&w);
    sim_cluster_release(&w);
}

/* What is over stays over: a backup holds no status. */
static void test_restored_is_not_cloned_again(void **state)
{
    (void)state;
    struct world w = new_world();
    w.restored = true;
    w.retry = "of-last-year";
    run(&w, 300);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_string_equal(w.record.error.reason, "Restored");
    assert_string_equal(json_str(condition(&w, "Stalled"), "reason"), "Restored");
    assert_true(!w.freezes && !w.vm && !w.claim[0] && !w.snapshot[0] && !w.finalizer);
    world_restart(&w);
    run(&w, 300);
    assert_true(!w.freezes && !w.vm);
    /* Somebody wants it all the same. */
    w.retry = "today";
    succeeds(&w, 200);
    assert_int_equal(w.freezes, 1);
    sim_cluster_release(&w);
}

/* Restored with its status it is what it was. */
static void test_restored_with_its_status(void **state)
{
    (void)state;
    struct world w = new_world();
    succeeds(&w, 200);
    w.restored = true;
    run(&w, 300);
    assert_int_equal(w.freezes, 1);
    assert_there(&w);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_storage_refuses_to_delete, world_start, world_stop),
        cmocka_unit_test_setup_teardown(test_a_debt_is_quiet, world_start, world_stop),
        cmocka_unit_test_setup_teardown(test_deleted_in_debt, world_start, world_stop),
        cmocka_unit_test_setup_teardown(test_readiness_probe_fails, world_start, world_stop),
        cmocka_unit_test_setup_teardown(test_source_cannot_be_stopped, world_start, world_stop),
        cmocka_unit_test_setup_teardown(test_restored_is_not_cloned_again, world_start, world_stop),
        cmocka_unit_test_setup_teardown(test_restored_with_its_status, world_start, world_stop),
        cmocka_unit_test_setup_teardown(test_restarted_after_the_deadline, world_start, world_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
