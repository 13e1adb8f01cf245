/*
 * Proves the promises about claims at their edges: a consumer that comes late or never, a create
 * that is under way when the clone is deleted, claims of an earlier attempt, slow storage, quota, a
 * right that is missing, and who owns what when all is done.
 */
#include "world.h"

static void test_snapshots_wait_for_consumer(void **state)
{
    (void)state;
    struct world w = new_world();
    w.plans = world_lazy_plans;
    w.wait_for_consumer = w.not_started = true;
    succeeds(&w, 100);
    run(&w, 100);
    world_restart(&w);
    run(&w, 100);
    assert_false(w.torn);
    assert_true(w.snapshot[0] && w.snapshot[1] && w.finalizer);
    assert_string_equal(json_str(condition(&w, "TemporariesCleaned"), "status"), "False");
    /* The user starts the machine: the claims bind, the snapshots go. */
    w.not_started = false;
    run(&w, 50);
    assert_clean(&w);
    assert_false(w.finalizer);
    assert_string_equal(json_str(condition(&w, "TemporariesCleaned"), "status"), "True");
    sim_cluster_release(&w);
}

/* Deleting the Wukong then: claims (with their machine) first, snapshots after, finalizer last. */
static void test_consumer_never_came(void **state)
{
    (void)state;
    struct world w = new_world();
    w.plans = world_lazy_plans;
    w.wait_for_consumer = w.not_started = true;
    succeeds(&w, 100);
    w.deleted = true;
    run(&w, 100);
    assert_false(w.torn);
    assert_false(w.finalizer || w.vm || w.claim[0]);
    assert_clean(&w);
    sim_cluster_release(&w);
}

/* Deleted while a create is under way: its object appears after everything else is gone. */
static void test_deleted_while_creating(void **state)
{
    (void)state;
    for (int at = 0; at < 60; at++) {
        struct world w = new_world();
        w.slow_ms = 900;
        run(&w, at);
        bool finished = w.record.phase == PHASE_SUCCEEDED;
        w.deleted = true;
        for (int i = 0; i < 1000 && w.finalizer; i++)
            run(&w, 1);
        assert_false(w.finalizer);
        /* Without the finalizer the Wukong is gone and nobody looks any more. */
        for (size_t k = 0; k < ARRAY_LEN(w.slow); k++)
            if (w.slow[k].due)
                fail_msg("round %d: %s was under way when the Wukong went", at, w.slow[k].name);
        if (!finished)
            assert_false(w.vm || w.claim[0] || w.claim[1]);
        assert_clean(&w);
        sim_cluster_release(&w);
    }
}

/* A claim that an earlier attempt made, seen late, holds another point in time. */
static void test_earlier_claims_are_not_used(void **state)
{
    (void)state;
    struct clone_state v = {0};
    struct arena a;
    arena_init(&a, MIB);
    static const struct disk_plan plan = {.name = "root", .method = DISK_RESTORE};
    static const struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID};
    struct disk_state disk = {.plan = &plan};
    struct claim_state claim = {
        .name = "w-root", .exists = true, .ours = true, .sourced = true, .earlier = true};
    struct target_state target = {.vm = {.name = "w-vm"}, .claims = &claim};
    v.arena = &a;
    v.wukong = &wukong;
    v.capture.present = true;
    v.disks = &disk;
    v.targets = &target;
    v.disk_count = v.target_count = 1;
    struct why why = {0};
    assert_int_equal(step_disks_check(&v, &why), STEP_FAILED);
    claim.earlier = false;
    assert_int_equal(step_disks_check(&v, &why), STEP_DONE);
    arena_release(&a);
}

/* A snapshot that takes ten minutes to upload, then claims whose driver works on them for ten
   minutes more: what may succeed is waited for, and the guest is frozen once. */
static void test_slow_storage_is_not_stuck(void **state)
{
    (void)state;
    struct world w = new_world();
    w.storage_unready = true;
    run(&w, 20);
    w.now += 600000;
    w.claims_stuck = true;
    w.claim_error = "rpc error: code = Aborted desc = an operation with the given name exists";
    w.storage_unready = false;
    run(&w, 2400);
    assert_int_equal(w.record.attempts, 1);
    check_condition(&w, "Ready", "RestoreFailed", "code = Aborted");
    w.claims_stuck = false;
    succeeds(&w, 50);
    assert_int_equal(w.record.attempts, 1);
    assert_int_equal(w.freezes, 1);
    sim_cluster_release(&w);
    /* And one whose every try comes to nothing for two minutes is stuck. */
    w = new_world();
    w.claims_stuck = true;
    w.claim_error = "rpc error: NotFound";
    run(&w, 800);
    assert_int_equal(w.record.attempts, 2);
    sim_cluster_release(&w);
}

/* A quota that CDI meets in the source's namespace is waited for, and told by its own reason. */
static void test_quota_of_a_claim_is_waited_for(void **state)
{
    (void)state;
    struct world w = new_world();
    w.claims_stuck = true;
    w.claim_error = "tmp-pvc-1 is forbidden: exceeded quota: q";
    run(&w, 800);
    assert_int_equal(w.record.attempts, 1);
    check_condition(&w, "Ready", "QuotaExceeded", "exceeded quota: q");
    w.claims_stuck = false;
    succeeds(&w, 50);
    assert_int_equal(w.record.attempts, 1);
    sim_cluster_release(&w);
}

/* A right that is missing, as seen with CDI's DataVolumes, keeps the clone from ending: the user is
   told which claim and why, and it ends once the right is there. */
static void test_refused_owner_is_told(void **state)
{
    (void)state;
    struct world w = new_world();
    w.refuse_owner = 403;
    run(&w, 100);
    assert_int_equal(w.record.phase, PHASE_CLONING);
    check_condition(&w, "Ready", "Waiting", "w-root: ");
    w.refuse_owner = 0;
    succeeds(&w, 50);
    sim_cluster_release(&w);
}

/* reclaimPolicy may change at any time; deleting the Wukong obeys what it says then. */
static void test_reclaim_policy_changes(void **state)
{
    (void)state;
    struct world w = new_world();
    succeeds(&w, 60);
    assert_true(w.vm_owned);
    w.reclaim = RECLAIM_RETAIN;
    run(&w, 3);
    assert_false(w.vm_owned);
    w.reclaim = RECLAIM_DELETE;
    run(&w, 3);
    assert_true(w.vm_owned);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots_wait_for_consumer),
        cmocka_unit_test(test_consumer_never_came),
        cmocka_unit_test(test_deleted_while_creating),
        cmocka_unit_test(test_earlier_claims_are_not_used),
        cmocka_unit_test(test_slow_storage_is_not_stuck),
        cmocka_unit_test(test_quota_of_a_claim_is_waited_for),
        cmocka_unit_test(test_refused_owner_is_told),
        cmocka_unit_test(test_reclaim_policy_changes),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
