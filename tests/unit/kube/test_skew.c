/* Proves what the Date of answers tells of our clock, and what it does not. */
#include "test.h"

#include <stdlib.h>

#include "base/buf.h"
#include "kube/skew.h"

/* The API server's clock when an answer is written; Date is cut to its second. */
static void answer(struct clock_skew *s, int64_t server_ms, int64_t ahead_ms, int64_t out,
                   int64_t back)
{
    skew_learn(s, server_ms + ahead_ms - out, server_ms + ahead_ms + back,
               server_ms - server_ms % 1000);
}

static void test_unknown(void **state)
{
    (void)state;
    struct clock_skew s = {0};
    assert_int_equal(skew_ms(NULL), 0);
    assert_int_equal(skew_ms(&s), 0);
    skew_learn(&s, 5000, 4000, 1000); /* set back in between */
    assert_false(s.known);
}

/* Whole seconds tell nothing of less, and a slow answer tells little. */
static void test_none(void **state)
{
    (void)state;
    static const int64_t ahead[] = {0, 400, -400};
    for (size_t i = 0; i < ARRAY_LEN(ahead); i++) {
        struct clock_skew s = {0};
        answer(&s, 1790000000500, ahead[i], 5, 5);
        assert_true(s.known);
        assert_int_equal(skew_ms(&s), 0);
    }
    struct clock_skew slow = {0};
    answer(&slow, 1790000000500, 8000, 9000, 10);
    assert_int_equal(skew_ms(&slow), 0);
}

/* Each further answer makes it more exact, in either direction, and none makes it wrong. */
static void test_many_answers(void **state)
{
    (void)state;
    static const int64_t ahead[] = {61000, -61000, 90500, -3600000};
    for (size_t i = 0; i < ARRAY_LEN(ahead); i++) {
        struct clock_skew s = {0};
        for (int64_t k = 0; k < 60; k++) {
            answer(&s, 1790000000000 + k * 1171, ahead[i], 3 + k % 7, 2 + k % 11);
            assert_true(s.low_ms <= ahead[i] && ahead[i] <= s.high_ms);
            assert_true(llabs(skew_ms(&s) - ahead[i]) <= 520);
        }
        assert_true(s.high_ms - s.low_ms < 120);
        assert_true(llabs(skew_ms(&s) - ahead[i]) < 60);
    }
}

/* Somebody sets a clock right. */
static void test_set_right(void **state)
{
    (void)state;
    struct clock_skew s = {0};
    for (int64_t k = 0; k < 20; k++)
        answer(&s, 1790000000000 + k * 1013, 75000, 3, 3);
    assert_true(skew_ms(&s) > 74000);
    answer(&s, 1790000100000, 0, 3, 3);
    assert_int_equal(skew_ms(&s), 0);
}

static void keep_line(void *arg, const char *line, size_t n)
{
    (void)buf_add(arg, line, n);
}

static void test_told(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf lines = BUF_INIT(MIB);
    struct clock_skew s = {0};
    log_to(keep_line, &lines);
    answer(&s, 1790000000000, 9000, 3, 3);
    skew_tell(&s, 1);
    assert_int_equal(lines.len, 0);
    answer(&s, 1790000010000, -75000, 3, 3);
    skew_tell(&s, 1000);
    skew_tell(&s, 2000);
    log_to(NULL, NULL);
    assert_non_null(strstr(lines.data, "clock differs from the API server's\",\"ahead_ms\":-75"));
    assert_null(strstr(strstr(lines.data, "differs") + 1, "differs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown),      cmocka_unit_test(test_none),
        cmocka_unit_test(test_many_answers), cmocka_unit_test(test_set_right),
        cmocka_unit_test(test_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
