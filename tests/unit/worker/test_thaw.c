/*
 * Proves what the end of a freeze says of the cut: a guest that has gone on by itself was not
 * frozen to the last cut, and only the answer to the first thaw, or how early that was sent, tells
 * so of a guest whose system is not known.
 */
#include "world.h"

#include "teardown/teardown.h"

/* The cuts are seen so long after the freeze. */
static struct world cut_after(struct world w, int64_t ms)
{
    w.storage_stuck = true;
    for (int i = 0; i < 100 && !w.frozen; i++)
        run(&w, 1);
    assert_true(w.frozen);
    while (w.now < w.froze_ms + ms)
        run(&w, 1);
    w.storage_stuck = false;
    w.cut[0] = w.cut[1] = true;
    return w;
}

static void test_what_a_thaw_proves(void **state)
{
    (void)state;
    static const struct {
        const char *name, *os;
        bool vss;
        int64_t cut_ms;
        int thaw_code;
        enum consistency expected;
    } rows[] = {
        {"Linux", "debian", false, 15000, 0, CONSISTENCY_FILESYSTEM},
        {"Linux, the thaw's answer is lost", "debian", false, 15000, 500, CONSISTENCY_FILESYSTEM},
        {"unknown", NULL, false, 15000, 0, CONSISTENCY_FILESYSTEM},
        {"unknown, the thaw's answer is lost", NULL, false, 15000, 500, CONSISTENCY_CRASH_PER_DISK},
        {"unknown, early, the answer is lost", NULL, false, 5000, 500, CONSISTENCY_FILESYSTEM},
        {"unknown, and VSS gave up", NULL, true, 15000, 0, CONSISTENCY_CRASH_PER_DISK},
        {"Windows in time", "mswindows", true, 5000, 0, CONSISTENCY_FILESYSTEM},
        {"Windows in time, the answer is lost", "mswindows", true, 5000, 500,
         CONSISTENCY_FILESYSTEM},
        {"Windows, cut after 9 s", "mswindows", true, 9000, 0, CONSISTENCY_CRASH_PER_DISK},
        {"Windows, cut after 15 s", "mswindows", true, 15000, 0, CONSISTENCY_CRASH_PER_DISK},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        w.guest_os = rows[i].os;
        w.vss = rows[i].vss;
        w.thaw_code = rows[i].thaw_code;
        w = cut_after(w, rows[i].cut_ms);
        run(&w, 10);
        w.thaw_code = 0;
        succeeds(&w, 400);
        if (w.record.attempt.consistency != rows[i].expected)
            fail_msg("%s: %s", rows[i].name, consistency_names[w.record.attempt.consistency]);
        assert_int_equal(w.record.attempts, 1);
        assert_clean(&w);
        sim_cluster_release(&w);
    }
}

/* Required fails the attempt, and the next one does it in time. */
static void test_required_of_windows(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct world w = new_world();
        w.quiesce = QUIESCE_REQUIRED;
        w.guest_os = known ? "mswindows" : NULL;
        w.vss = true;
        w = cut_after(w, 11000);
        run(&w, 3);
        assert_string_equal(str_or(w.record.error.reason, "none"), "CutTimeout");
        succeeds(&w, 300);
        assert_int_equal(w.record.attempts, 2);
        assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
        assert_clean(&w);
        sim_cluster_release(&w);
    }
}

/* Its guest is told to thaw by itself no later than it would, and we thaw before that. */
static void test_windows_has_8_seconds(void **state)
{
    (void)state;
    struct world w = new_world();
    w.guest_os = "mswindows";
    w.vss = w.storage_stuck = true;
    run(&w, 100);
    assert_int_equal(w.freezes, 1);
    assert_int_equal(w.record.attempt.freeze.deadline_ms,
                     w.record.attempt.freeze.requested_ms + 10000);
    assert_false(w.frozen);
    assert_in_range(w.frozen_ms, 7000, 8400);
    w.storage_stuck = false;
    succeeds(&w, 300);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
    sim_cluster_release(&w);
}

/* VSS's word means that the guest is not frozen: no debt, no more thaws. */
static void test_gone_on_is_thawed(void **state)
{
    (void)state;
    struct world w = new_world();
    w.vss = true;
    w = cut_after(w, 12000);
    run(&w, 5);
    assert_true(w.record.attempt.freeze.thawed_ms);
    assert_int_equal(w.thaws, 1);
    sim_cluster_release(&w);
}

/* The agent is dead for 28 s after the cut: what is told is the time until the guest goes on, and
   the clone that holds the cut is told of as one whose guest is not thawed. */
static void test_told_until_thawed(void **state)
{
    (void)state;
    struct world w = new_world();
    w.guest_os = "debian";
    w.thaw_code = 500;
    w = cut_after(w, 1000);
    run(&w, 140);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    assert_true(w.record.attempt.froze && w.frozen);
    w.thaw_code = 0;
    succeeds(&w, 100);
    assert_true(w.record.attempt.freeze.thawed_ms);
    assert_in_range(w.frozen_ms, 28000, 33000);
    assert_in_range(w.record.attempt.freeze_ms, w.frozen_ms, w.frozen_ms + 3000);
    sim_cluster_release(&w);
}

/* A freeze that no cut came of: the next attempt's figures are its own, and lastError tells of it.
 */
static void test_told_without_a_cut(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct world w = new_world();
        w.quiesce = QUIESCE_REQUIRED;
        w.storage_stuck = true;
        for (int i = 0; i < 100 && !w.frozen; i++)
            run(&w, 1);
        run(&w, 100);
        if (restart)
            world_restart(&w);
        for (int i = 0; i < 500 && w.frozen; i++)
            run(&w, 1);
        int64_t frozen_ms = w.frozen_ms;
        w.storage_stuck = false;
        succeeds(&w, 1000);
        assert_int_equal(w.record.attempts, 2);
        assert_true(w.record.error.froze);
        assert_in_range(w.record.error.freeze_ms, frozen_ms, frozen_ms + 5000);
        assert_in_range(w.record.attempt.freeze_ms, 1, 2000);
        assert_int_equal(w.warned_of_thaws, 1);
        sim_cluster_release(&w);
    }
}

/* A dead agent holds up nothing whose cut is proven: the clone succeeds, the debt stays, its Wukong
   says so, and it is paid when the agent is back. */
static void test_a_dead_agent_holds_up_nobody(void **state)
{
    (void)state;
    struct world w = new_world();
    w.guest_os = "debian";
    w.thaw_code = 500;
    w = cut_after(w, 1000);
    succeeds(&w, 100);
    assert_true(w.frozen && !w.record.attempt.freeze.thawed_ms && w.finalizer);
    assert_int_equal(w.thaw_warnings, 1);
    w.thaw_code = 0;
    run(&w, 100);
    assert_true(w.record.attempt.freeze.thawed_ms && !w.finalizer);
    assert_in_range(w.record.attempt.freeze_ms, w.frozen_ms, w.frozen_ms + 3000);
    assert_clean(&w);
    sim_cluster_release(&w);
}

/* A leader whose clock is 70 s ahead of the one before it thaws at once, and calls nothing thawed
   that it has not tried; an hour behind, it tries as often. */
static void test_clocks_of_two_leaders(void **state)
{
    (void)state;
    static const int64_t off_ms[] = {70000, -3600000};
    for (size_t i = 0; i < ARRAY_LEN(off_ms); i++) {
        struct world w = new_world();
        w.storage_stuck = true;
        for (int k = 0; k < 100 && !w.frozen; k++)
            run(&w, 1);
        world_restart(&w);
        w.thaw_code = 500;
        w.guest_timer += off_ms[i];
        w.froze_ms += off_ms[i];
        w.now += off_ms[i];
        run(&w, 25);
        assert_true(w.frozen && w.thaws >= 2 && !w.record.attempt.freeze.thawed_ms);
        w.thaw_code = 0;
        run(&w, 10);
        assert_false(w.frozen);
        sim_cluster_release(&w);
    }
}

/* Nor does it, when nobody shows it the guest frozen: its own clock says that this is long over. */
static void test_a_clock_proves_no_thaw(void **state)
{
    (void)state;
    struct world w = new_world();
    w.storage_stuck = true;
    for (int k = 0; k < 100 && !w.frozen; k++)
        run(&w, 1);
    world_restart(&w);
    w.freeze_unseen = true;
    w.guest_timer += 70000;
    w.froze_ms += 70000;
    w.now += 70000;
    for (int k = 0; k < 50 && w.frozen; k++) {
        assert_int_equal(w.record.attempt.freeze.thawed_ms, 0);
        (void)turn(&w);
    }
    assert_false(w.frozen);
    assert_true(w.thaws >= 1);
    sim_cluster_release(&w);
}

/* A worker that leaves records the thaw, so that the next one begins anew at once; after one that
   was killed, the thaw that was answered proves that no freeze can come late after half a minute.
 */
static void test_nobody_waits_out_the_timer(void **state)
{
    (void)state;
    static const struct {
        bool told;
        int64_t within_ms;
    } rows[] = {{true, 12000}, {false, FREEZE_LATE_MS + FREEZE_POLL_MS + 12000}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        w.storage_stuck = true;
        until_frozen(&w);
        int64_t since = w.now;
        w.leaving = rows[i].told;
        for (int k = 0; k < 50 && w.leaving && !w.record.attempt.freeze.thawed_ms; k++)
            run(&w, 1);
        assert_int_equal(w.frozen, !rows[i].told);
        w.leaving = false;
        world_restart(&w);
        w.storage_stuck = false;
        for (int k = 0; k < 400 && w.freezes < 2; k++)
            run(&w, 1);
        assert_int_equal(w.freezes, 2);
        if (w.now - since > rows[i].within_ms)
            fail_msg("row %zu: %lld ms", i, (long long)(w.now - since));
        succeeds(&w, 100);
        assert_int_equal(w.record.attempts, 2);
        sim_cluster_release(&w);
    }
}

/* The answer to the freeze of 970,000 is lost. A thaw works before it comes, and then thaws fail:
   the guest may have stood still until they worked again, or until its timer. */
static void test_told_until_thaws_work(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t worked_ms, again_ms, now_ms; /* 0: never */
        enum call_state last;
        int64_t told_ms;
    } rows[] = {
        {"all have worked", 975000, 0, 1006000, CALL_OK, 8000},
        {"one failed in between", 975000, 1005000, 1006000, CALL_OK, 38000},
        {"the first failed", 0, 980000, 1006000, CALL_OK, 13000},
        {"none works any more", 975000, 0, 1036000, CALL_FAILED, 66000},
        {"none has ever worked", 0, 0, 1036000, CALL_FAILED, 66000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        struct call_log log = {0};
        arena_init(&a, 1 * MIB);
        static const struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
        struct clone_state v = {.arena = &a,
                                .now = {rows[i].now_ms, rows[i].now_ms},
                                .call_log = &log,
                                .wukong = &wukong,
                                .unfreeze_timeout_ms = 30000,
                                .source = {.vmi_exists = true, .vmi_uid = "g", .vmi_name = "g"}};
        v.record.source_vmi = v.record.attempt.freeze.vmi_uid = "g";
        v.record.attempt.freeze.requested_ms = 970000;
        v.record.attempt.freeze.deadline_ms = 1000000;
        struct call *freeze = call_log_get(&log, call_key_numbered(CALL_FREEZE, 970000));
        freeze->state = CALL_FAILED;
        freeze->kind = ERR_INTERNAL;
        freeze->code = 500;
        freeze->sent_mono_ms = freeze->done_mono_ms = 970000;
        struct call *thaw = call_log_get(&log, call_key_numbered(CALL_THAW, 970000));
        thaw->state = rows[i].last;
        thaw->sent_mono_ms = thaw->done_mono_ms = 1005000;
        if (rows[i].worked_ms)
            call_log_prove(&log, (struct freeze_proof){PROOF_THAW_WORKED, 970000})->done_mono_ms =
                rows[i].worked_ms;
        if (rows[i].again_ms)
            call_log_prove(&log, (struct freeze_proof){PROOF_THAW_WORKED_LATER, 970000})
                ->done_mono_ms = rows[i].again_ms;
        struct decision d = {.record = v.record, .intents = {.arena = &a}};
        teardown_thaw(&v, &d, true);
        if (d.record.attempt.freeze_ms != rows[i].told_ms)
            fail_msg("%s: %lld", rows[i].name, (long long)d.record.attempt.freeze_ms);
        call_log_release(&log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_until_thaws_work),
        cmocka_unit_test(test_what_a_thaw_proves),
        cmocka_unit_test(test_required_of_windows),
        cmocka_unit_test(test_windows_has_8_seconds),
        cmocka_unit_test(test_gone_on_is_thawed),
        cmocka_unit_test(test_told_until_thawed),
        cmocka_unit_test(test_told_without_a_cut),
        cmocka_unit_test(test_a_dead_agent_holds_up_nobody),
        cmocka_unit_test(test_clocks_of_two_leaders),
        cmocka_unit_test(test_a_clock_proves_no_thaw),
        cmocka_unit_test(test_nobody_waits_out_the_timer),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
