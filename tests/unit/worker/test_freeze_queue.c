/*
 * Proves who freezes next: of clones that arrive in any order, with any number of slots, only the
 * oldest that wait get one, each gets its turn, and one that cannot use its turn holds up nobody
 * for longer than its grace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "clones/freeze_queue.h"

#define CLONES 60

struct clone {
    char key[16];
    struct clone_usage usage;
    struct freeze_waiter waiter;
    int64_t frozen_until; /* 0: it has not frozen */
    bool done;
};

static void make(struct clone *c, size_t i, int64_t created_ms)
{
    *c = (struct clone){0};
    (void)snprintf(c->key, sizeof c->key, "ns/%03zu", i);
    c->usage = (struct clone_usage){.key = c->key, .created_ms = created_ms};
    c->waiter.whose = &c->usage;
}

static void test_order_and_turn(void **state)
{
    (void)state;
    struct freeze_queue q = {0};
    struct clone c[4];
    for (size_t i = 0; i < 4; i++)
        make(&c[i], i, 1000 * (int64_t)(i + 1));
    for (size_t i = 4; i-- > 1;) { /* the youngest first */
        assert_true(freeze_queue_must_wait(&q, &c[i].waiter, 0, 10));
        freeze_queue_settle(&q, &c[i].waiter, FREEZE_QUEUED, 10);
        assert_true(c[i].waiter.waits);
    }
    assert_int_equal(freeze_queue_ahead(&q, &c[3].waiter), 2);
    assert_int_equal(freeze_queue_ahead(&q, &c[0].waiter), 0);
    /* One slot: the oldest of the queue, or who is older still. */
    assert_true(freeze_queue_must_wait(&q, &c[2].waiter, 1, 20));
    assert_false(freeze_queue_must_wait(&q, &c[1].waiter, 1, 20));
    assert_false(freeze_queue_must_wait(&q, &c[0].waiter, 1, 20));
    assert_false(freeze_queue_must_wait(&q, &c[2].waiter, 2, 20));
    assert_int_equal(freeze_queue_waited_ms(&c[1].waiter, 50), 40);
    freeze_queue_settle(&q, &c[1].waiter, FREEZE_NO_WISH, 60);
    assert_int_equal(freeze_queue_waited_ms(&c[1].waiter, 70), 0);
    assert_false(freeze_queue_must_wait(&q, &c[2].waiter, 1, 70));
    for (size_t i = 0; i < 4; i++)
        freeze_queue_leave(&q, &c[i].waiter);
    freeze_queue_release(&q);
}

/* It reads for ever: the next one goes, and it comes back behind all that wait. */
static void test_a_turn_is_lost(void **state)
{
    (void)state;
    struct freeze_queue q = {0};
    struct clone a, b;
    make(&a, 0, 1000);
    make(&b, 1, 2000);
    freeze_queue_settle(&q, &a.waiter, FREEZE_QUEUED, 0);
    freeze_queue_settle(&q, &b.waiter, FREEZE_QUEUED, 0);
    assert_false(freeze_queue_must_wait(&q, &a.waiter, 1, 100));
    freeze_queue_settle(&q, &a.waiter, FREEZE_PREPARES, 100);
    assert_true(freeze_queue_must_wait(&q, &b.waiter, 1, 200));
    freeze_queue_settle(&q, &a.waiter, FREEZE_PREPARES, 100 + FREEZE_TURN_GRACE_MS);
    assert_false(a.waiter.waits);
    int64_t now = 200 + FREEZE_TURN_GRACE_MS;
    assert_false(freeze_queue_must_wait(&q, &b.waiter, 1, now));
    assert_true(freeze_queue_must_wait(&q, &a.waiter, 1, now));
    freeze_queue_settle(&q, &a.waiter, FREEZE_QUEUED, now);
    assert_false(a.waiter.waits);
    freeze_queue_settle(&q, &b.waiter, FREEZE_NO_WISH, now);
    assert_false(freeze_queue_must_wait(&q, &a.waiter, 1, now));
    now += FREEZE_TURN_LOST_MS;
    freeze_queue_settle(&q, &a.waiter, FREEZE_QUEUED, now);
    assert_true(a.waiter.waits);
    freeze_queue_leave(&q, &a.waiter);
    freeze_queue_release(&q);
}

static void test_what_is_expected(void **state)
{
    (void)state;
    struct freeze_queue q = {0};
    assert_int_equal(freeze_queue_expected_ms(&q, 5, 1), 0);
    freeze_queue_note_slot(&q, 0); /* an unknown time tells nothing */
    freeze_queue_note_slot(&q, 4000);
    assert_int_equal(freeze_queue_expected_ms(&q, 5, 1), 24000);
    assert_int_equal(freeze_queue_expected_ms(&q, 5, 3), 8000);
    freeze_queue_note_slot(&q, 8000);
    assert_int_equal(q.slot_ms, 5000);
    assert_int_equal(freeze_queue_expected_ms(&q, 5, 0), 0);
}

/* Random arrivals, looks and freezes: no slot goes to a clone while an older one stands in the
   queue that could use it, never more are frozen than may be, and all get through. */
static void test_nobody_starves(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct freeze_queue q = {0};
        static struct clone c[CLONES];
        struct rng rng;
        size_t left = CLONES;
        rng_seed(&rng, seed);
        size_t slots = (size_t)rng_range(&rng, 1, 4);
        for (size_t i = 0; i < CLONES; i++)
            make(&c[i], i, rng_range(&rng, 0, 20) * 1000);
        for (int64_t now = 1; left && now < 400000; now += rng_range(&rng, 1, 40)) {
            size_t frozen = 0;
            for (size_t i = 0; i < CLONES; i++) {
                if (c[i].frozen_until && now >= c[i].frozen_until && !c[i].done)
                    c[i].done = true, left--;
                frozen += c[i].frozen_until && !c[i].done;
            }
            assert_true(frozen <= slots);
            struct clone *one = &c[rng_range(&rng, 0, CLONES - 1)];
            if (one->frozen_until || now < one->usage.created_ms)
                continue;
            bool waits = freeze_queue_must_wait(&q, &one->waiter, slots - frozen, now);
            size_t older = 0;
            for (size_t i = 0; i < q.count; i++)
                older += usage_compare(q.items[i]->whose, &one->usage) < 0;
            assert_int_equal(waits, older >= slots - frozen);
            freeze_queue_settle(&q, &one->waiter, waits ? FREEZE_QUEUED : FREEZE_NO_WISH, now);
            if (!waits)
                one->frozen_until = now + rng_range(&rng, 10, 3000);
        }
        assert_int_equal(left, 0);
        assert_int_equal(q.count, 0);
        freeze_queue_release(&q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_turn),
        cmocka_unit_test(test_a_turn_is_lost),
        cmocka_unit_test(test_what_is_expected),
        cmocka_unit_test(test_nobody_starves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
