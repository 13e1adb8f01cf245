/*
 * Proves what clones may send that have not begun: a burst and then a steady few, in each minute
 * less than the bar, whatever they ask; the namespaces take turns, so that a tenant with one clone
 * does not stand behind another's thousand; and while clones pass, nobody waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "clones/request_budget.h"

#define CLONES 1000
#define BAR 830 /* of 1,000: the rest is for lists, watches and the lease */

struct clone {
    char key[32], ns[32];
    struct clone_usage usage;
    struct budget_waiter in[BUDGET_LANES];
    unsigned taken;
};

static struct clone *make(size_t count, size_t namespaces)
{
    struct clone *all = xcalloc(count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(all[i].key, sizeof all[i].key, "%06zu", i);
        (void)snprintf(all[i].ns, sizeof all[i].ns, "ns%zu", i % namespaces);
        all[i].usage = (struct clone_usage){.key = all[i].key, .ns = all[i].ns};
        for (size_t k = 0; k < BUDGET_LANES; k++)
            all[i].in[k].whose = &all[i].usage;
    }
    return all;
}

static void drop(struct request_budget *b, struct clone *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (enum budget_lane_id k = 0; k < BUDGET_LANES; k++)
            request_budget_leave(b, k, &all[i].in[k]);
    request_budget_release(b);
    free(all);
}

/* One look, which wants one request. */
static bool look(struct request_budget *b, enum budget_lane_id lane, struct clone *c, int64_t now)
{
    bool may = request_budget_take(b, lane, &c->in[lane], false, now);
    request_budget_settle(b, lane, &c->in[lane]);
    c->taken += may;
    return may;
}

static struct clone *of(struct budget_waiter *w, enum budget_lane_id lane)
{
    return w ? (struct clone *)((char *)(w - lane) - offsetof(struct clone, in)) : NULL;
}

/* Whose turn it is now, looked at as the worker does; how many went. */
static unsigned turns(struct request_budget *b, enum budget_lane_id lane, int64_t now)
{
    unsigned went = 0;
    struct clone *c;
    while ((c = of(request_budget_next(b, lane, now), lane))) {
        assert_true(look(b, lane, c, now));
        went++;
    }
    return went;
}

/* All ask and tell, and would for ever. */
static void test_no_minute_is_above_the_bar(void **state)
{
    (void)state;
    struct request_budget b = {0};
    struct clone *all = make(CLONES, 7);
    unsigned of_minute[3] = {0};
    for (int64_t now = 1; now < 180000; now += 50)
        for (enum budget_lane_id k = 0; k < BUDGET_LANES; k++) {
            for (size_t i = 0; i<CLONES; i += now> 1 ? 97 : 1)
                of_minute[now / 60000] += look(&b, k, &all[i], now);
            of_minute[now / 60000] += turns(&b, k, now);
        }
    for (size_t m = 0; m < 3; m++)
        assert_in_range(of_minute[m], 600, BAR);
    assert_true(of_minute[0] > of_minute[1]); /* what was held beforehand */
    drop(&b, all, CLONES);
}

static void test_namespaces_take_turns(void **state)
{
    (void)state;
    struct request_budget b = {0};
    struct clone *all = make(CLONES, 1), *other = make(2, 1);
    int64_t now = 1;
    for (size_t i = 0; i < CLONES; i++)
        look(&b, LANE_TRIES, &all[i], now);
    for (size_t i = 0; i < 2; i++)
        (void)snprintf(other[i].ns, sizeof other[i].ns, "small");
    /* In line behind 900, and yet the next but one at the latest. */
    now += 10 * BUDGET_APART_MS;
    (void)turns(&b, LANE_TRIES, now);
    assert_false(look(&b, LANE_TRIES, &other[0], now));
    now += 2 * BUDGET_APART_MS;
    (void)turns(&b, LANE_TRIES, now);
    assert_int_equal(other[0].taken, 1);
    /* Two of the small one, however, take turns with the large one's. */
    unsigned before = 0, after = 0;
    for (size_t i = 0; i < CLONES; i++)
        before += all[i].taken;
    for (size_t i = 0; i < 2; i++)
        assert_false(look(&b, LANE_TRIES, &other[i], now));
    now += 4 * BUDGET_APART_MS;
    (void)turns(&b, LANE_TRIES, now);
    for (size_t i = 0; i < CLONES; i++)
        after += all[i].taken;
    assert_int_equal(other[0].taken + other[1].taken, 3);
    assert_int_equal(after - before, 2);
    for (size_t i = 0; i < 2; i++)
        request_budget_leave(&b, LANE_TRIES, &other[i].in[LANE_TRIES]);
    free(other);
    drop(&b, all, CLONES);
}

/* Within a second 1,000 have tried, each answered after 10 ms, though the refill alone would allow
   eleven. */
static void test_who_passes_gives_back(void **state)
{
    (void)state;
    struct request_budget b = {0};
    struct clone *all = make(CLONES, 3);
    size_t passed = 0;
    int64_t now = 1;
    for (size_t i = 0; i < CLONES; i++)
        look(&b, LANE_TRIES, &all[i], now);
    for (; passed < CLONES && now < 1000; now += 10) {
        for (size_t i = 0; i < CLONES; i++)
            if (all[i].in[LANE_TRIES].spent) {
                request_budget_return(&b, LANE_TRIES, &all[i].in[LANE_TRIES]);
                passed++;
            }
        (void)turns(&b, LANE_TRIES, now);
    }
    assert_int_equal(passed, CLONES);
    drop(&b, all, CLONES);
}

/* What is asked along is owed by those who follow, and a turn that is not used is another's. */
static void test_along_and_unused(void **state)
{
    (void)state;
    struct request_budget b = {0};
    struct clone *all = make(CLONES, 1);
    struct budget_waiter *w;
    int64_t now = 1;
    for (size_t i = 0; i < CLONES; i++)
        look(&b, LANE_TRIES, &all[i], now);
    now += BUDGET_APART_MS;
    assert_true(request_budget_next_ms(&b) <= now);
    w = request_budget_next(&b, LANE_TRIES, now);
    assert_non_null(w);
    assert_true(request_budget_take(&b, LANE_TRIES, w, false, now));
    for (int i = 0; i < 3; i++)
        assert_true(request_budget_take(&b, LANE_TRIES, w, true, now));
    assert_false(request_budget_take(&b, LANE_TRIES, w, false, now));
    now += 3 * BUDGET_APART_MS;
    assert_null(request_budget_next(&b, LANE_TRIES, now));
    now += BUDGET_APART_MS;
    w = request_budget_next(&b, LANE_TRIES, now);
    assert_non_null(w);
    assert_null(request_budget_next(&b, LANE_TRIES, now));
    request_budget_settle(&b, LANE_TRIES, w); /* it has not asked */
    assert_non_null(request_budget_next(&b, LANE_TRIES, now));
    /* Late, nothing goes along any more. */
    now += BUDGET_ALONG_MS;
    assert_false(request_budget_take(&b, LANE_TRIES, w, true, now));
    drop(&b, all, CLONES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_minute_is_above_the_bar),
        cmocka_unit_test(test_namespaces_take_turns),
        cmocka_unit_test(test_who_passes_gives_back),
        cmocka_unit_test(test_along_and_unused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
