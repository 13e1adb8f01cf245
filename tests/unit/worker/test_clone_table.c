/*
 * Proves when a worker forgets the outcomes of a Wukong's calls: not before it is final and all is
 * said, and not while its status has failed to be written. The time to try that again is among the
 * outcomes, and nothing else brings a finished clone back that is to be retried.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "clones/clone_table.h"

static void test_calls_are_kept_while_they_are_needed(void **state)
{
    static const struct {
        const char *name;
        bool final;
        unsigned flights;
        size_t intents;
        enum call_state status;
        bool forgotten;
    } rows[] = {
        {"nothing was ever written", true, 0, 0, CALL_NONE, true},
        {"its last status is written", true, 0, 0, CALL_OK, true},
        {"a retry whose first status could not be written", true, 0, 0, CALL_FAILED, false},
        {"its status is under way", true, 1, 0, CALL_FLYING, false},
        {"something else is under way", true, 1, 0, CALL_OK, false},
        {"something is to be removed yet", true, 0, 1, CALL_OK, false},
        {"it is not final", false, 0, 0, CALL_OK, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct clone e = {.flights = rows[i].flights};
        if (rows[i].status != CALL_NONE)
            call_log_get(&e.call_log, call_key(CALL_STATUS))->state = rows[i].status;
        bool forgotten = clone_needs_no_calls(&e, rows[i].final, rows[i].intents);
        if (forgotten != rows[i].forgotten)
            fail_msg("%s", rows[i].name);
        call_log_release(&e.call_log);
    }
}

/* Each counts once, from its announcement until the thaw is recorded, and no longer when it is
 * gone. */
static void test_freezes_are_counted(void **state)
{
    (void)state;
    struct clone_table all = {0};
    struct clone *a = clone_table_add(&all, "ns", "a", "ua"),
                 *b = clone_table_add(&all, "ns", "b", "ub");
    indoubt_open(&a->announced, "7", ANNOUNCED_SEAL, 1000);
    clone_table_count_freeze(&all, a);
    assert_int_equal((int)clone_table_frozen(&all, NULL, 1000), 0);
    indoubt_open(&a->announced, "7", ANNOUNCED_FREEZE, 1000);
    clone_table_count_freeze(&all, a);
    a->owes_thaw = true;
    clone_table_count_freeze(&all, a);
    indoubt_close(&a->announced);
    clone_table_count_freeze(&all, a);
    assert_int_equal((int)clone_table_frozen(&all, NULL, 1000), 1);
    b->owes_thaw = true;
    clone_table_count_freeze(&all, b);
    assert_int_equal((int)clone_table_frozen(&all, NULL, 1000), 2);
    a->owes_thaw = false;
    clone_table_count_freeze(&all, a);
    assert_int_equal((int)clone_table_frozen(&all, NULL, 1000), 1);
    clone_table_remove(&all, b);
    assert_int_equal((int)clone_table_frozen(&all, NULL, 1000), 0);
    clone_table_release(&all);
}

/* The debt lasts, the slot does not: no longer than the guest's own timer, from when it is asked
   for. */
static void test_a_slot_ends(void **state)
{
    (void)state;
    struct clone_table all = {0};
    struct clone *a = clone_table_add(&all, "ns", "a", "ua"),
                 *b = clone_table_add(&all, "ns", "b", "ub");
    a->owes_thaw = b->owes_thaw = true;
    a->freeze_ms = 10000;
    b->freeze_ms = 60000;
    clone_table_count_freeze(&all, a);
    clone_table_count_freeze(&all, b);
    assert_int_equal(clone_table_frozen(&all, NULL, 5000), 2);
    assert_int_equal(clone_table_frozen(&all, a, 5000), 1);
    assert_int_equal(clone_table_frozen(&all, NULL, 24999), 2);
    assert_int_equal(clone_table_frozen(&all, NULL, 25000), 1);
    assert_int_equal(clone_table_frozen(&all, NULL, 75000), 0);
    a->owes_thaw = false;
    clone_table_count_freeze(&all, a);
    a->owes_thaw = true;
    clone_table_count_freeze(&all, a);
    assert_int_equal(clone_table_frozen(&all, NULL, 80000), 1);
    clone_table_release(&all);
}

static void answer_freeze(struct clone *e, int64_t sent_ms, const char *message)
{
    struct call *c = call_log_get(&e->call_log, call_key_numbered(CALL_FREEZE, e->freeze_asked_ms));
    c->state = message ? CALL_FAILED : CALL_OK;
    c->code = message ? 500 : 200;
    c->sent_mono_ms = sent_ms;
    c->message = xstrdup(message);
}

static void woken(void *arg, struct clone_usage *h)
{
    (void)h;
    ++*(unsigned *)arg;
}

/* Counted from when it was sent, whoever asks first and when; and what the node refuses holds none.
 */
static void test_a_slot_of_a_freeze_that_was_sent(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        bool holds;
    } rows[] = {
        {NULL, true},
        {"Internal error occurred: unexpected return code 400 (400 Bad Request), message: server "
         "error. command Freeze failed: \"The command guest-fsfreeze-freeze has been disabled\"",
         false},
        {"Internal error occurred: unexpected return code 400 (400 Bad Request), message: server "
         "error. command Freeze failed: \"Guest agent is not responding\"",
         true},
        {"Internal error occurred: unexpected return code 500 (500 Internal Server Error), "
         "message: EOF",
         true},
        {"context deadline exceeded (Client.Timeout exceeded while awaiting headers)", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned woke = 0;
        struct clone_table all = {.usage = {.wake = woken, .arg = &woke}};
        struct clone *a = clone_table_add(&all, "ns", "a", "ua"),
                     *b = clone_table_add(&all, "ns", "b", "ub");
        freeze_queue_settle(&all.freeze_queue, &b->freeze_waiter, FREEZE_QUEUED, 10);
        a->owes_thaw = true;
        a->freeze_asked_ms = 77;
        a->freeze_ms = 60000;
        clone_table_count_freeze(&all, a);
        assert_int_equal(clone_table_frozen(&all, NULL, 1000), 1);
        answer_freeze(a, 2000, rows[i].answer);
        clone_table_count_freeze(&all, a);
        clone_table_count_freeze(&all, a);
        assert_int_equal(woke, !rows[i].holds);
        if (clone_table_frozen(&all, NULL, 61999) != rows[i].holds)
            fail_msg("row %zu", i);
        assert_int_equal(clone_table_frozen(&all, NULL, 62000), 0);
        clone_table_release(&all);
    }
}

/* Whoever may edit it can make it so. It is not looked at any more, and holds up nobody. */
static void test_an_unreadable_wukong_leaves_the_queue(void **state)
{
    (void)state;
    struct clone_table all = {0};
    struct kube_object unreadable = {.kind = &worker_kinds[KIND_WUKONG],
                                     .ns = "ns",
                                     .name = "a",
                                     .uid = "ua",
                                     .unreadable = "U+0000 in a string"};
    struct clone *a = clone_table_add(&all, "ns", "a", "ua"),
                 *b = clone_table_add(&all, "ns", "b", "ub");
    freeze_queue_settle(&all.freeze_queue, &a->freeze_waiter, FREEZE_QUEUED, 10);
    assert_true(freeze_queue_must_wait(&all.freeze_queue, &b->freeze_waiter, 1, 20));
    (void)clone_table_summarise(&all, a, &unreadable);
    assert_false(freeze_queue_must_wait(&all.freeze_queue, &b->freeze_waiter, 1, 30));
    clone_table_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_are_kept_while_they_are_needed),
        cmocka_unit_test(test_freezes_are_counted),
        cmocka_unit_test(test_a_slot_ends),
        cmocka_unit_test(test_a_slot_of_a_freeze_that_was_sent),
        cmocka_unit_test(test_an_unreadable_wukong_leaves_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
