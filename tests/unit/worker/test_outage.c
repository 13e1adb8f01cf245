/*
 * Proves that an outage leaks nothing: how long a clean-up takes counts from the first look of a
 * worker that can do it, not from the deletion, and what is given up after ten minutes has been
 * asked to go.
 */
#include "world.h"

#define MINUTES(n) (5 * 60 * (n)) /* in rounds of 200 ms */

/* Everything is there, and the machine is not up yet. */
static struct world under_way(enum clone_type type)
{
    struct world w = new_world();
    w.clone_type = type;
    w.claims_stuck = true;
    for (int i = 0; i < 200 && !w.vm; i++)
        run(&w, 1);
    assert_true(w.vm && w.snapshot[0] && w.claim[0]);
    return w;
}

static void delete_it(struct world *w)
{
    w->deleted = true;
    w->deleted_ms = w->now;
}

/* Upgrade, node drain, lease trouble: nobody was there. The parents of a linked clone bear Retain:
   nothing would ever remove what they hold. */
static void test_the_worker_was_away(void **state)
{
    (void)state;
    static const enum clone_type types[] = {CLONE_RUNNING, CLONE_LINKED};
    static const int64_t minutes[] = {11, 60, 24 * 60};
    for (size_t t = 0; t < ARRAY_LEN(types); t++)
        for (size_t m = 0; m < ARRAY_LEN(minutes); m++) {
            struct world w = under_way(types[t]);
            delete_it(&w);
            call_log_release(&w.call_log);
            w.call_log = (struct call_log){0};
            w.now += minutes[m] * 60000;
            for (int i = 0; i < MINUTES(5) && w.finalizer; i++) {
                bool left = w.snapshot[0] || w.snapshot[1];
                run(&w, 1);
                if (!w.finalizer && left)
                    fail_msg("%lld min: the finalizer went before the snapshots",
                             (long long)minutes[m]);
            }
            assert_false(w.finalizer);
            assert_clean(&w);
            sim_cluster_release(&w);
        }
}

/* The worker was there, and nobody answered it. */
static void test_the_api_server_was_away(void **state)
{
    (void)state;
    struct world w = under_way(CLONE_RUNNING);
    delete_it(&w);
    w.unreachable = true;
    run(&w, MINUTES(30));
    assert_true(w.finalizer);
    w.unreachable = false;
    run(&w, MINUTES(2));
    assert_false(w.finalizer);
    assert_clean(&w);
    sim_cluster_release(&w);
}

/* Claims that a node does not let go stand before the snapshots, which wait for them. When that is
   given up, the snapshots have been asked to go: nobody would ask again. */
static void test_what_is_given_up_was_asked_to_go(void **state)
{
    (void)state;
    struct world w = under_way(CLONE_RUNNING);
    w.claims_stay = true;
    delete_it(&w);
    run(&w, MINUTES(9));
    assert_true(w.finalizer);
    run(&w, MINUTES(2));
    assert_false(w.finalizer);
    assert_false(w.snapshot[0] || w.snapshot[1]);
    assert_true(w.claim[0]);
    assert_int_equal(w.leftovers, 1);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_worker_was_away),
        cmocka_unit_test(test_the_api_server_was_away),
        cmocka_unit_test(test_what_is_given_up_was_asked_to_go),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
