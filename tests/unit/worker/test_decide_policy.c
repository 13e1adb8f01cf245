/*
 * Proves what a ClonePolicy's verdict does to a clone, at every moment of its life: before it has
 * begun it waits, for days if need be, and has its whole deadline afterwards; from the first
 * snapshot on nothing touches it. By the world of a few variables (world.h).
 */
#include "world.h"

#include <stdio.h>

#define HOUR_MS 3600000

/* A window that opens only after the deadline would have passed, twice over; then nothing of it has
   been used up. Nothing is sent meanwhile and the status is written once. */
static void test_held_for_hours(void **state)
{
    static const struct {
        enum reason reason;
        bool timed;
    } rows[] = {
        {REASON_POLICY_DENIED, false}, {REASON_OUTSIDE_WINDOW, true}, {REASON_QUEUED, false}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        char text[TIME_TEXT_MAX];
        w.policy = rows[i].reason;
        w.policy_until = rows[i].timed ? w.now + 2 * HOUR_MS : 0;
        run(&w, 10);
        int written = w.status_writes, sent = w.sent; /* the finalizer */
        for (int k = 0; k < 119; k++) {
            w.now += 60000;
            (void)turn(&w);
        }
        assert_int_equal(w.record.phase, PHASE_PENDING);
        assert_int_equal(w.record.start_ms, 0);
        assert_int_equal(w.sent, sent);
        assert_int_equal(w.status_writes, written);
        const cJSON *c = condition(&w, "PolicyAllowed");
        assert_string_equal(json_str(c, "status"), "False");
        assert_string_equal(json_str(c, "reason"), reason_table[rows[i].reason].name);
        assert_string_equal(json_str(condition(&w, "Ready"), "reason"),
                            reason_table[rows[i].reason].name);
        const char *until = json_str(w.status, "cloneStatus.waitingUntil");
        time_to_str(w.policy_until, false, text);
        assert_true(rows[i].timed ? str_eq(until, text) : !until);
        /* It is looked at again when the window opens, not before it is due by a poll. */
        assert_true(w.wake_ms == w.policy_until || w.wake_ms == w.now + HELD_POLL_MS);
        w.policy = REASON_NONE;
        w.policy_until = 0;
        w.now += 60000;
        succeeds(&w, 600);
        assert_null(json_str(w.status, "cloneStatus.waitingUntil"));
        assert_string_equal(json_str(condition(&w, "PolicyAllowed"), "status"), "True");
        sim_cluster_release(&w);
    }
}

/* It was permitted, waited for its source for most of its time, and is held back then. */
static void test_held_again_before_it_began(void **state)
{
    struct world w = new_world();
    (void)state;
    w.source_gone = true;
    run(&w, 5);
    assert_int_not_equal(w.record.start_ms, 0);
    w.now += HOUR_MS * 3 / 4;
    w.policy = REASON_OUTSIDE_WINDOW;
    w.policy_until = w.now + HOUR_MS;
    run(&w, 5);
    w.now += HOUR_MS;
    w.policy = REASON_NONE;
    w.policy_until = 0;
    run(&w, 5);
    /* Nobody looked for hours, and it is held back by now: that time was not all its own. */
    w.policy = REASON_POLICY_DENIED;
    w.now += 3 * HOUR_MS;
    run(&w, 5);
    w.policy = REASON_NONE;
    run(&w, 5);
    assert_int_equal(w.record.phase, PHASE_PENDING);
    w.now += HOUR_MS / 2;
    w.source_gone = false;
    succeeds(&w, 600);
    sim_cluster_release(&w);
}

/* At any moment of a clone's life all of it is denied, for ever. Until the first snapshot is made
   it waits (with the guest thawed) and fails by its deadline at the latest; afterwards it succeeds.
   A window that shuts is the same: the clone may be longer than it. */
static void test_denied_at_any_moment(void **state)
{
    bool held = false, went_on = false;
    (void)state;
    for (int moment = 0; moment < 120; moment++) {
        struct world w = new_world();
        /* Without an agent nothing is frozen: only the snapshots tell that the cut has begun. */
        w.agent = moment < 60;
        run(&w, moment % 60);
        bool cut_begun = w.snapshot[0] || w.record.attempt.cut_ms || record_owes_thaw(&w.record);
        bool done = record_final(&w.record);
        int writes = w.status_writes;
        w.policy = moment % 2 ? REASON_POLICY_DENIED : REASON_OUTSIDE_WINDOW;
        run(&w, 200);
        if (w.frozen)
            fail_msg("moment %d: frozen", moment);
        if (cut_begun != (w.record.phase == PHASE_SUCCEEDED))
            fail_msg("moment %d: %s", moment, clone_phase_names[w.record.phase]);
        if (done && w.status_writes != writes)
            fail_msg("moment %d: a finished clone's status was written", moment);
        held |= !cut_begun;
        went_on |= cut_begun;
        sim_cluster_release(&w);
    }
    assert_true(held && went_on);
}

/* Between two attempts the policy counts again: another attempt is another snapshot. */
static void test_between_attempts(void **state)
{
    struct world w = new_world();
    (void)state;
    w.freeze_code = 500;
    for (int i = 0; i < 300 && !record_aborted(&w.record); i++)
        run(&w, 1);
    assert_true(record_aborted(&w.record));
    w.policy = REASON_OUTSIDE_WINDOW;
    w.policy_until = w.now + 600000;
    w.freeze_code = 200;
    /* A freeze without an answer is over when the guest's own timer, a minute, must have ended it.
     */
    run(&w, 400);
    assert_int_equal(w.record.phase, PHASE_CLONING);
    assert_string_equal(json_str(condition(&w, "PolicyAllowed"), "reason"), "OutsideWindow");
    assert_false(w.snapshot[0] || w.frozen);
    w.policy = REASON_NONE;
    w.policy_until = 0;
    succeeds(&w, 600);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_for_hours),
        cmocka_unit_test(test_held_again_before_it_began),
        cmocka_unit_test(test_denied_at_any_moment),
        cmocka_unit_test(test_between_attempts),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
