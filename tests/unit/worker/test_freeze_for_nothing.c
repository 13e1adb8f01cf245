/*
 * Proves that no guest stands still for what is known to come to nothing: what refuses a snapshot
 * is met before the freeze, a driver's settled answer ends it at once, and two equal failures end
 * the freezing.
 */
#include "world.h"

#define SETTLED "rpc error: code = InvalidArgument desc = the volume is thick"
#define MAY_CLEAR "rpc error: code = Internal desc = connection refused"

static const char *ready_reason(const struct world *w)
{
    return str_or(json_str(condition(w, "Ready"), "reason"), "");
}

static void run_until_failed_or(struct world *w, int64_t attempts, int rounds)
{
    for (int i = 0; i < rounds && w->record.phase != PHASE_FAILED && w->record.attempts <= attempts;
         i++)
        run(w, 1);
}

/* Quota, or somebody's policy. It waits as it does for what the claims are refused for. */
static void test_what_refuses_snapshots_is_met_before(void **state)
{
    (void)state;
    struct world w = new_world();
    w.dry_snapshot = 403;
    run(&w, 600);
    assert_int_equal(w.freezes, 0);
    assert_int_equal(w.record.attempts, 0);
    assert_string_equal(ready_reason(&w), "PreflightRefused");
    w.dry_snapshot = 0;
    succeeds(&w, 600);
    assert_int_equal(w.freezes, 1);
    sim_cluster_release(&w);
}

/* Of a snapshot that the attempt has made already a dry run says that it exists. */
static void test_what_is_made_is_not_refused(void **state)
{
    (void)state;
    struct world w = new_world();
    w.dry_snapshot = 409;
    succeeds(&w, 600);
    sim_cluster_release(&w);
}

static void test_how_long_an_error_is_waited_out(void **state)
{
    (void)state;
    static const struct {
        const char *name, *error;
        bool being_created;
        int64_t least_ms, most_ms;
    } rows[] = {
        {"settled", SETTLED, false, 0, 2000},
        {"it may clear", MAY_CLEAR, false, 14000, 17000},
        {"snapshot-controller's own words", "Failed to create snapshot content", false, 14000,
         17000},
        {"the driver is at it", SETTLED, true, 50000, 61000},
        {"no error", NULL, false, 50000, 61000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        w.quiesce = QUIESCE_REQUIRED;
        w.storage_stuck = true;
        w.cut_error = rows[i].error;
        w.being_created = rows[i].being_created;
        for (int n = 0; n < 1000 && !(w.freezes && !w.frozen); n++)
            run(&w, 1);
        if (w.frozen_ms < rows[i].least_ms || w.frozen_ms > rows[i].most_ms)
            fail_msg("%s: frozen for %lld ms", rows[i].name, (long long)w.frozen_ms);
        sim_cluster_release(&w);
    }
}

static void test_two_equal_failures_are_enough(void **state)
{
    (void)state;
    static const struct {
        const char *name, *error;
        enum quiesce quiesce;
        int freezes;
        enum clone_phase phase;
    } rows[] = {
        {"must be frozen, settled", SETTLED, QUIESCE_REQUIRED, 2, PHASE_FAILED},
        {"must be frozen, may clear", MAY_CLEAR, QUIESCE_REQUIRED, 4, PHASE_CLONING},
        {"may be frozen, settled", SETTLED, QUIESCE_IF_AVAILABLE, 2, PHASE_CLONING},
        {"may be frozen, may clear", MAY_CLEAR, QUIESCE_IF_AVAILABLE, 2, PHASE_CLONING},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        w.quiesce = rows[i].quiesce;
        w.retry_limit = 8;
        w.storage_stuck = true;
        w.cut_error = rows[i].error;
        run_until_failed_or(&w, 4, 4000);
        if (w.freezes != rows[i].freezes || w.record.phase != rows[i].phase)
            fail_msg("%s: %d freezes, phase %d", rows[i].name, w.freezes, (int)w.record.phase);
        sim_cluster_release(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_refuses_snapshots_is_met_before),
        cmocka_unit_test(test_what_is_made_is_not_refused),
        cmocka_unit_test(test_how_long_an_error_is_waited_out),
        cmocka_unit_test(test_two_equal_failures_are_enough),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
