/*
 * Proves how many guests are frozen at once: never more than may be; about as many as the storage
 * and its controllers serve at the same time, whatever that number is; one where they serve one;
 * and another number when that changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "clones/freeze_limit.h"

/* What serves so many at once; the others wait for them. */
static int64_t takes(unsigned at_once, unsigned serves, struct rng *rng)
{
    int64_t ms = 1000 * (at_once > serves ? at_once : serves) / serves;
    return ms + rng_range(rng, -ms / 20, ms / 20);
}

/* Rounds of as many as may be; returns the mean number over the last half. */
static double settle(struct freeze_limit *l, unsigned serves, unsigned max, unsigned freezes,
                     struct rng *rng)
{
    double sum = 0;
    unsigned rounds = 0;
    for (unsigned done = 0; done < freezes;) {
        unsigned n = freeze_limit_now(l, max);
        assert_true(n >= 1 && n <= max);
        for (unsigned i = 0; i < n; i++)
            freeze_limit_note(l, takes(n, serves, rng), n - 1, max);
        done += n;
        if (done >= freezes / 2) {
            sum += n;
            rounds++;
        }
    }
    return sum / rounds;
}

static void test_the_number_is_found(void **state)
{
    (void)state;
    static const struct {
        unsigned serves, max;
        double least, most;
    } rows[] = {
        {1, 1, 1, 1},   {1, 8, 1, 1.5},   {2, 8, 1.3, 3},  {4, 8, 2.5, 6},    {8, 8, 6, 8},
        {100, 8, 7, 8}, {8, 32, 4.5, 11}, {16, 32, 9, 21}, {100, 32, 20, 32}, {100, 1, 1, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct freeze_limit l = {0};
            struct rng rng;
            rng_seed(&rng, seed);
            double mean = settle(&l, rows[i].serves, rows[i].max, 2000, &rng);
            if (mean < rows[i].least || mean > rows[i].most)
                fail_msg("row %zu, seed %llu: %.2f", i, (unsigned long long)seed, mean);
        }
}

/* The storage becomes slow, and quick again. */
static void test_another_number_when_that_changes(void **state)
{
    (void)state;
    struct freeze_limit l = {0};
    struct rng rng;
    rng_seed(&rng, 1);
    assert_true(settle(&l, 100, 16, 1000, &rng) > 10);
    assert_true(settle(&l, 1, 16, 1000, &rng) < 2);
    assert_true(settle(&l, 100, 16, 4000, &rng) > 8);
}

/* All freezes take longer: not because of each other. */
static void test_slow_alone_too(void **state)
{
    (void)state;
    struct freeze_limit l = {0};
    for (unsigned i = 0; i < 2000; i++) {
        unsigned n = freeze_limit_now(&l, 8);
        freeze_limit_note(&l, i < 500 ? 1000 : 5000, n - 1, 8);
    }
    assert_int_equal(freeze_limit_now(&l, 8), 8);
}

static void test_edges(void **state)
{
    (void)state;
    struct freeze_limit l = {0};
    assert_int_equal(freeze_limit_now(&l, 0), 0);
    assert_int_equal(freeze_limit_now(&l, 5), 1);
    freeze_limit_note(&l, 0, 0, 5);
    freeze_limit_note(&l, -7, 3, 5);
    assert_int_equal(l.alone_ms, 0);
    for (int i = 0; i < 20; i++)
        freeze_limit_note(&l, 1000, 0, 1);
    assert_int_equal(freeze_limit_now(&l, 1), 1);
    /* max is lowered by an upgrade. */
    for (int i = 0; i < 100; i++)
        freeze_limit_note(&l, 1000, freeze_limit_now(&l, 9) - 1, 9);
    assert_int_equal(freeze_limit_now(&l, 9), 9);
    assert_int_equal(freeze_limit_now(&l, 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_number_is_found),
        cmocka_unit_test(test_another_number_when_that_changes),
        cmocka_unit_test(test_slow_alone_too),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
