/*
 * Proves the freeze at its edges: clocks that are set, a freeze that comes late, is refused,
 * prolonged, throttled or lost with its worker, a guest that dies, and that what is promised of the
 * cut is kept.
 */
#include "world.h"

#define ASKED 1790000000000

/* A guest that was frozen at ASKED, when the monotonic clock said 5 s. */
static struct clone_state frozen_state(struct arena *a, struct call_log *call_log, bool answered,
                                       int64_t wall_ms, int64_t mono_ms)
{
    struct call *c = call_log_get(call_log, call_key_numbered(CALL_FREEZE, ASKED));
    c->state = answered ? CALL_OK : CALL_FAILED;
    c->kind = answered ? ERR_NONE : ERR_AMBIGUOUS;
    c->sent_ms = ASKED;
    c->sent_mono_ms = c->done_mono_ms = 5000;
    static const struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
    struct clone_state v = {.arena = a,
                            .call_log = call_log,
                            .now = {wall_ms, mono_ms},
                            .wukong = &wukong,
                            .unfreeze_timeout_ms = 60000};
    v.source = (struct source_machine){.vmi_exists = true, .vmi_uid = "u", .vmi_name = "src"};
    v.record.attempt.freeze.requested_ms = ASKED;
    v.record.attempt.freeze.deadline_ms = ASKED + 60000;
    v.record.attempt.freeze.vmi_uid = "u";
    v.record.source_vmi = "src";
    return v;
}

static bool sends_a_thaw(const struct decision *d)
{
    for (size_t i = 0; i < d->intents.count; i++)
        if (str_eq(d->intents.items[i].sub, "unfreeze"))
            return true;
    return false;
}

/* The wall clock is set, and the guest does not care: forward, and it still stands still; back, and
   its own timer has thawed it. */
static void test_the_clock_is_set(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ms, mono_ms;
        bool thawed, may_be_late, holds; /* answered, and not, when it may have come 30 s later */
    } rows[] = {
        {ASKED + 1000, 6000, false, false, true},
        {ASKED + 500000, 6000, false, false, false},
        {ASKED + 500000, 5000 + 66000, true, false, false},
        {ASKED + 66000, 5000 + 66000, true, false, false},
        {ASKED + 1000, 5000 + 59000, false, false, false},
        {ASKED + 500000, 5000 + 95999, true, false, false},
        {ASKED + 500000, 5000 + 96000, true, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int answered = 0; answered < 2; answered++) {
            CLEANUP_ARENA struct arena a;
            struct call_log call_log = {0};
            arena_init(&a, 64 * KIB);
            struct clone_state v =
                frozen_state(&a, &call_log, answered, rows[i].wall_ms, rows[i].mono_ms);
            struct decision d = {.intents = {.arena = &a}, .record = v.record};
            bool holds = clone_freeze_holds(&v);
            bool thawed = answered ? rows[i].thawed : rows[i].may_be_late;
            teardown_thaw(&v, &d, true);
            if (holds != (answered && rows[i].holds) ||
                (d.record.attempt.freeze.thawed_ms != 0) != thawed || sends_a_thaw(&d) == thawed)
                fail_msg("row %zu, %d", i, answered);
            call_log_release(&call_log);
        }
}

/* Required is Required: all snapshots cut, but the last one was seen only after the guest had been
   thawed, or a KubeVirt snapshot came in between. */
static void test_required_is_kept(void **state)
{
    (void)state;
    for (int foreign = 0; foreign < 2; foreign++) {
        struct world w = new_world();
        w.quiesce = QUIESCE_REQUIRED;
        w.storage_stuck = true;
        until_frozen(&w);
        run(&w, 2);
        if (foreign) {
            w.foreign_snapshot = true;
            run(&w, 1);
        } else {
            w.now += 59000;
        }
        w.storage_stuck = false;
        w.cut[0] = w.cut[1] = true;
        run(&w, 3);
        w.foreign_snapshot = false;
        assert_int_not_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
        succeeds(&w, 300);
        assert_int_equal(w.record.attempts, 2);
        assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
        assert_clean(&w);
        sim_cluster_release(&w);
    }
}

/* Announced, then something held the steps before it up: a freeze that is sent so late could
   outlive the time at which the record calls the guest thawed (asserted in the world's freeze). */
static void test_late_freeze_is_not_sent(void **state)
{
    (void)state;
    struct world w = new_world();
    while (!w.record.attempt.freeze.requested_ms)
        (void)turn(&w);
    w.migrating = true;
    w.now += 200;
    run(&w, 400);
    w.migrating = false;
    succeeds(&w, 400);
    assert_clean(&w);
    sim_cluster_release(&w);
}

/* While the guest is frozen nothing may hold up the thaw: window, migration, agent. */
static void test_nothing_prolongs_the_freeze(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct world w = new_world();
        w.quiesce = what == 2 ? QUIESCE_REQUIRED : QUIESCE_IF_AVAILABLE;
        until_frozen(&w);
        w.closed_until = what == 0 ? w.now + 600000 : 0;
        w.migrating = what == 1;
        w.agent = what != 2;
        if (what == 3)
            w.source_deleting = true;
        for (int i = 0; i < 15; i++)
            run(&w, 1);
        if (w.frozen)
            fail_msg("case %d: still frozen after 3 s", what);
        if (what < 3)
            succeeds(&w, 100);
        sim_cluster_release(&w);
    }
}

/* A VMI that is being deleted still runs for its grace period: it is thawed, so that it can shut
   down. */
static void test_dying_guest_is_thawed(void **state)
{
    (void)state;
    struct world w = new_world();
    w.storage_stuck = true;
    until_frozen(&w);
    w.source_deleting = true;
    run(&w, 5);
    assert_int_equal(w.thaws, 1);
    assert_false(w.frozen);
    sim_cluster_release(&w);
}

/* 429 says that the request was not even looked at: there is nothing to thaw, and a thaw could hit
   somebody else's freeze. */
static void test_throttled_freeze_needs_no_thaw(void **state)
{
    (void)state;
    struct world w = new_world();
    w.freeze_code = 429;
    run(&w, 60);
    assert_true(w.freezes > 0);
    assert_int_equal(w.thaws, 0);
    sim_cluster_release(&w);
}

/* Decided not to freeze (no agent), snapshots on their way; then the agent connects. A freeze now
   would come after the cut, and the clone be called FilesystemConsistent. */
static void test_no_freeze_after_the_snapshots(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        struct world w = new_world();
        w.agent = false;
        w.slow_ms = 1000;
        for (int i = 0; i < 100 && !w.slow[0].due; i++)
            run(&w, 1);
        assert_true(w.slow[0].due != 0);
        w.agent = true;
        if (killed)
            world_restart(&w);
        succeeds(&w, 300);
        assert_int_equal(w.freezes, 0);
        assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
        sim_cluster_release(&w);
    }
}

/* Restarted between the first snapshot and the cut, with no freeze on record: the new worker knows
   of no disks until it has read them back. */
static void test_restarted_before_the_cut(void **state)
{
    (void)state;
    struct world w = new_world();
    w.agent = false;
    w.storage_stuck = true;
    for (int i = 0; i < 100 && !w.snapshot[0]; i++)
        run(&w, 1);
    world_restart(&w);
    w.storage_stuck = false;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempts, 1);
    sim_cluster_release(&w);
}

/* A VirtualMachineSnapshot succeeds without a disk that KubeVirt could not snapshot: a clone
   without it, or one that waits for ever, is not what was asked for. */
static void test_vm_snapshot_leaves_disk_out(void **state)
{
    (void)state;
    static const struct disk_plan plan[2] = {{.name = "root", .method = DISK_RESTORE},
                                             {.name = "data", .method = DISK_RESTORE}};
    struct disk_state disks[2] = {{.plan = &plan[0], .snapshot = {.name = "s-root"}},
                                  {.plan = &plan[1]}};
    struct clone_state v = {
        .disks = disks,
        .disk_count = 2,
        .vm_snapshot_phase = "InProgress",
        .vm_snapshot = {.name = "vms", .ns = "ns", .exists = true, .ours = true}};
    struct why why = {0};
    assert_int_equal(check_vm_snapshot(&v, &why), STEP_WAIT);
    v.vm_snapshot_phase = "Succeeded";
    assert_int_equal(check_vm_snapshot(&v, &why), STEP_FAILED);
    assert_string_equal(why.disk, "data");
    disks[1].snapshot.name = "s-data";
    assert_int_equal(check_vm_snapshot(&v, &why), STEP_WAIT);
}

/* IfAvailable falls back before the retries are used up. */
static void test_falls_back_with_few_retries(void **state)
{
    (void)state;
    struct world w = new_world();
    w.freeze_code = 500;
    w.retry_limit = 1;
    succeeds(&w, 3000);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
    assert_clean(&w);
    sim_cluster_release(&w);
}

/* The API server refuses the snapshots (quota): the guest is thawed at once. */
static void test_refused_snapshots_thaw(void **state)
{
    (void)state;
    struct world w = new_world();
    w.refuse_snapshots = 403;
    until_frozen(&w);
    run(&w, 5);
    assert_false(w.frozen);
    w.refuse_snapshots = 0;
    /* The next attempt's snapshots have other names. */
    call_log_forget(&w.call_log, CALL_CREATE_SNAPSHOT);
    succeeds(&w, 300);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
}

/* Deleted after the thaw, and before the record is known to say that all is cut: it may say so
   already, so the snapshot is not made anew. The next attempt freezes again. */
static void test_deleted_after_the_thaw(void **state)
{
    (void)state;
    struct world w = new_world();
    for (int i = 0; i < 100 && !w.thaws; i++)
        run(&w, 1);
    assert_true(w.thaws && !w.record.attempt.cut_ms);
    w.snapshot[0] = w.cut[0] = w.ready[0] = false;
    run(&w, 2);
    assert_false(w.snapshot[0]);
    succeeds(&w, 400);
    assert_int_equal(w.record.attempts, 2);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
}

/* Seen thawed after the last moment of our freeze, and the record of that is on its way: a freeze
   that shows now is somebody else's, and is left alone. */
static void test_freeze_after_ours_is_not_thawed(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        CLEANUP_ARENA struct arena a;
        struct call_log call_log = {0};
        arena_init(&a, 64 * KIB);
        struct clone_state v = frozen_state(&a, &call_log, false, ASKED + 500000, 500000);
        struct decision d = {.intents = {.arena = &a}, .record = v.record};
        v.source.freeze_status = "frozen";
        if (told)
            (void)call_log_prove(&call_log, (struct freeze_proof){PROOF_THAWED, ASKED});
        teardown_thaw(&v, &d, true);
        assert_int_equal(sends_a_thaw(&d), !told);
        assert_int_equal(d.record.attempt.freeze.thawed_ms != 0, told);
        call_log_release(&call_log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_clock_is_set),
        cmocka_unit_test(test_required_is_kept),
        cmocka_unit_test(test_late_freeze_is_not_sent),
        cmocka_unit_test(test_nothing_prolongs_the_freeze),
        cmocka_unit_test(test_dying_guest_is_thawed),
        cmocka_unit_test(test_throttled_freeze_needs_no_thaw),
        cmocka_unit_test(test_no_freeze_after_the_snapshots),
        cmocka_unit_test(test_restarted_before_the_cut),
        cmocka_unit_test(test_vm_snapshot_leaves_disk_out),
        cmocka_unit_test(test_falls_back_with_few_retries),
        cmocka_unit_test(test_refused_snapshots_thaw),
        cmocka_unit_test(test_deleted_after_the_thaw),
        cmocka_unit_test(test_freeze_after_ours_is_not_thawed),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
