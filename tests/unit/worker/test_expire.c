/*
 * Proves the end of what a clone has made: it goes at its time and not before, with its disks, or
 * is stopped once; an Event an hour before; an edit extends it until then and changes nothing
 * after; what somebody else owns by now stays; and a worker that is restarted meanwhile goes on
 * rightly.
 */
#include "world.h"

#define HOUR INT64_C(3600000)

static struct world done_world(void)
{
    struct world w = new_world();
    succeeds(&w, 100);
    run(&w, 20);
    assert_clean(&w);
    return w;
}

static void at(struct world *w, int64_t ms)
{
    w->now = ms;
    run(w, 10);
}

static void test_delete(void **state)
{
    (void)state;
    struct world w = done_world();
    int64_t end = w.record.completion_ms;
    w.expiry = EXPIRY_DELETE;
    w.expires_after_ms = 3 * HOUR;
    (void)turn(&w);
    /* The next look is an hour before, not at the end of a queue of days. */
    assert_int_equal(w.wake_ms, end + 2 * HOUR);
    int64_t shown;
    assert_true(str_to_time_ms(json_str(w.status, "cloneStatus.expiresTime"), &shown));
    assert_int_equal(shown / 1000, (end + 3 * HOUR) / 1000);
    at(&w, end + 2 * HOUR - 5000);
    assert_string_not_equal(w.last_event, "ExpiresSoon");
    at(&w, end + 2 * HOUR);
    assert_string_equal(w.last_event, "ExpiresSoon");
    at(&w, end + 3 * HOUR - 5000);
    assert_true(w.vm && w.claim[0] && w.claim[1]);
    assert_int_equal(w.record.expired.at_ms, 0);
    at(&w, end + 3 * HOUR);
    assert_false(w.vm || w.claim[0] || w.claim[1]);
    assert_string_equal(w.last_event, "Expired");
    check_condition(&w, "Ready", "Expired", "its machines are removed");
    check_condition(&w, "VirtualMachineReady", "Expired", "its machines are removed");
    assert_string_equal(json_str(w.status, "cloneStatus.expired.action"), "Delete");
    int sent = w.sent;
    at(&w, end + 50 * HOUR);
    assert_int_equal(w.sent, sent);
    assert_false(w.finalizer);
    sim_cluster_release(&w);
}

/* An absolute time that came while the clone was under way counts from its end. */
/* Somebody sets the node's clock a day ahead: the API server's clock is not there yet. */
static void test_a_clock_that_jumps(void **state)
{
    (void)state;
    struct world w = done_world();
    int64_t end = w.record.completion_ms;
    w.expiry = EXPIRY_DELETE;
    w.expires_after_ms = 3 * HOUR;
    w.clock_ahead_ms = 24 * HOUR;
    at(&w, end + 26 * HOUR);
    assert_true(w.vm && w.claim[0]);
    assert_int_equal(w.record.expired.at_ms, 0);
    at(&w, end + 27 * HOUR);
    assert_false(w.vm || w.claim[0]);
    sim_cluster_release(&w);
}

static void test_at(void **state)
{
    (void)state;
    struct world w = new_world();
    w.expiry = EXPIRY_DELETE;
    w.expires_at_ms = w.now + 1000;
    until_frozen(&w);
    run(&w, 100);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_true(w.now > w.expires_at_ms);
    assert_false(w.vm || w.claim[0] || w.claim[1]);
    check_condition(&w, "Ready", "Expired", "removed");
    sim_cluster_release(&w);
}

/* No guest is frozen for a clone that would be gone. */
static void test_too_late(void **state)
{
    (void)state;
    struct world w = new_world();
    w.expiry = EXPIRY_DELETE;
    w.expires_at_ms = w.now - 1;
    run(&w, 20);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_int_equal(w.freezes, 0);
    check_condition(&w, "Stalled", "ExpiredBeforeStart", "nothing was cloned");
    /* A later time, and the wish anew. */
    w.expires_at_ms = w.now + 100 * HOUR;
    w.retry = "2";
    run(&w, 100);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    sim_cluster_release(&w);
}

static void test_extended(void **state)
{
    (void)state;
    struct world w = done_world();
    int64_t end = w.record.completion_ms;
    w.expiry = EXPIRY_DELETE;
    w.expires_after_ms = 3 * HOUR;
    at(&w, end + 3 * HOUR - 5000);
    w.expires_after_ms = 5 * HOUR;
    at(&w, end + 4 * HOUR - 5000);
    assert_true(w.vm);
    w.expiry = EXPIRY_UNSET; /* the field is removed */
    at(&w, end + 6 * HOUR);
    assert_true(w.vm);
    w.expiry = EXPIRY_DELETE;
    at(&w, end + 6 * HOUR + 1000);
    assert_false(w.vm);
    sim_cluster_release(&w);
}

/* The record says it first; an edit that comes then, or another worker, changes nothing. */
static void test_the_record_decides(void **state)
{
    (void)state;
    struct world w = done_world();
    int64_t end = w.record.completion_ms;
    w.expiry = EXPIRY_DELETE;
    w.expires_after_ms = HOUR;
    w.now = end + HOUR;
    (void)turn(&w);
    assert_int_equal(w.record.expired.at_ms, end + HOUR);
    assert_true(w.vm);
    w.expires_after_ms = 100 * HOUR;
    w.expiry = EXPIRY_STOP;
    world_restart(&w);
    run(&w, 10);
    assert_false(w.vm || w.claim[0]);
    assert_int_equal(w.stops, 0);
    sim_cluster_release(&w);
}

/* Once: who starts it again afterwards wants it to run. */
static void test_stop(void **state)
{
    (void)state;
    struct world w = done_world();
    int64_t end = w.record.completion_ms;
    w.expiry = EXPIRY_STOP;
    w.expires_after_ms = HOUR;
    at(&w, end + HOUR);
    assert_int_equal(w.stops, 1);
    assert_true(w.vm && w.claim[0]);
    assert_false(w.vm_up);
    check_condition(&w, "Ready", "Expired", "its machines are stopped");
    w.vm_stopped = false;
    world_restart(&w);
    at(&w, end + 2 * HOUR);
    assert_int_equal(w.stops, 1);
    assert_true(w.vm_up);
    sim_cluster_release(&w);
}

/* A machine that does not run is stopped. */
static void test_stop_of_what_is_stopped(void **state)
{
    (void)state;
    struct world w = done_world();
    w.expiry = EXPIRY_STOP;
    w.expires_after_ms = HOUR;
    w.vm_stopped = true;
    w.vm_up = false;
    w.stop_code = 409;
    at(&w, w.record.completion_ms + HOUR);
    assert_true(w.record.expired.done_ms != 0);
    sim_cluster_release(&w);
}

static void test_what_another_owns_stays(void **state)
{
    (void)state;
    struct world w = done_world();
    w.expiry = EXPIRY_DELETE;
    w.expires_after_ms = HOUR;
    w.vm_owned = false;
    w.vm_taken = true;
    at(&w, w.record.completion_ms + HOUR);
    assert_true(w.vm && w.record.expired.at_ms);
    check_condition(&w, "Ready", "Expired", "");
    sim_cluster_release(&w);
}

/* reclaimPolicy is about the Wukong's deletion, expires about time. */
static void test_retain(void **state)
{
    (void)state;
    struct world w = done_world();
    w.reclaim = RECLAIM_RETAIN;
    run(&w, 5);
    assert_false(w.vm_owned);
    w.expiry = EXPIRY_DELETE;
    w.expires_after_ms = HOUR;
    at(&w, w.record.completion_ms + HOUR);
    assert_false(w.vm || w.claim[0] || w.claim[1]);
    sim_cluster_release(&w);
}

/* The parents of a linked clone's disks go after them. */
static void test_linked(void **state)
{
    (void)state;
    struct world w = new_world();
    w.clone_type = CLONE_LINKED;
    succeeds(&w, 100);
    run(&w, 20);
    assert_true(w.snapshot[0] && w.parent[0] && w.finalizer);
    w.expiry = EXPIRY_DELETE;
    w.expires_after_ms = HOUR;
    at(&w, w.record.completion_ms + HOUR);
    run(&w, 40);
    assert_false(w.vm || w.claim[0] || w.snapshot[0] || w.snapshot[1] || w.torn);
    assert_false(w.finalizer);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_a_clock_that_jumps),
        cmocka_unit_test(test_at),
        cmocka_unit_test(test_too_late),
        cmocka_unit_test(test_extended),
        cmocka_unit_test(test_the_record_decides),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_stop_of_what_is_stopped),
        cmocka_unit_test(test_what_another_owns_stays),
        cmocka_unit_test(test_retain),
        cmocka_unit_test(test_linked),
    };
    return cmocka_run_group_tests_name("expire", tests, world_start, world_stop);
}
