/*
 * Proves that the exposition is Prometheus' text format 0.0.4 (HELP and TYPE before the series,
 * escaped label values, cumulative buckets with +Inf, _sum and _count), and that the number of
 * series is bounded.
 */
#include "test.h"

#include "base/metric.h"

static const double bounds[] = {0.1, 1};
static struct metric requests = {.name = "requests_total",
                                 .help = "Requests.",
                                 .kind = METRIC_COUNTER,
                                 .labels = {"verb", "code"}};
static struct metric depth = {.name = "depth", .help = "Depth.", .kind = METRIC_GAUGE};
static struct metric seconds = {.name = "seconds",
                                .help = "Seconds.",
                                .kind = METRIC_HISTOGRAM,
                                .labels = {"verb"},
                                .bounds = bounds,
                                .bound_count = 2};

static int reset(void **state)
{
    (void)state;
    metric_reset_all();
    return 0;
}

static void expect_lines(const char *const *lines, size_t n)
{
    CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
    metric_write_all(&out);
    const char *at = out.data;
    for (size_t i = 0; i < n; i++) {
        const char *found = strstr(at, lines[i]);
        if (!found)
            fail_msg("missing, or out of order: %s\nin\n%s", lines[i], out.data);
        assert_true(found == out.data || found[-1] == '\n');
        at = found + strlen(lines[i]);
    }
    assert_true(out.len == 0 || out.data[out.len - 1] == '\n');
}

static void test_exposition(void **state)
{
    (void)state;
    metric_add(&requests, 1, METRIC_LABELS("GET", "200"));
    metric_add(&requests, 2, METRIC_LABELS("GET", "200"));
    metric_add(&requests, 1, METRIC_LABELS("a\"b\\c\nd", "500"));
    metric_set(&depth, 2.5, NULL);
    metric_set(&depth, 7, NULL);
    metric_observe(&seconds, 0.05, METRIC_LABELS("GET"));
    metric_observe(&seconds, 0.1, METRIC_LABELS("GET"));
    metric_observe(&seconds, 0.5, METRIC_LABELS("GET"));
    metric_observe(&seconds, 9, METRIC_LABELS("GET"));
    const char *const lines[] = {
        "# HELP requests_total Requests.\n",
        "# TYPE requests_total counter\n",
        "requests_total{verb=\"GET\",code=\"200\"} 3\n",
        "requests_total{verb=\"a\\\"b\\\\c\\nd\",code=\"500\"} 1\n",
        "# HELP depth Depth.\n",
        "# TYPE depth gauge\n",
        "depth 7\n",
        "# HELP seconds Seconds.\n",
        "# TYPE seconds histogram\n",
        "seconds_bucket{verb=\"GET\",le=\"0.1\"} 2\n",
        "seconds_bucket{verb=\"GET\",le=\"1\"} 3\n",
        "seconds_bucket{verb=\"GET\",le=\"+Inf\"} 4\n",
        "seconds_sum{verb=\"GET\"} 9.65\n",
        "seconds_count{verb=\"GET\"} 4\n",
    };
    expect_lines(lines, ARRAY_LEN(lines));
}

static void test_registered_but_unused(void **state)
{
    (void)state;
    metric_register(&requests);
    metric_register(&requests);
    const char *const lines[] = {"# HELP requests_total Requests.\n",
                                 "# TYPE requests_total counter\n"};
    expect_lines(lines, ARRAY_LEN(lines));
    assert_true(metric_value(&requests, METRIC_LABELS("GET", "200")) == 0);
}

static void test_series_are_bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < METRIC_SERIES_MAX + 100; i++) {
        char verb[16];
        snprintf(verb, sizeof verb, "v%u", i);
        metric_add(&requests, 1, METRIC_LABELS(verb, "200"));
    }
    assert_true(requests.series_count <= METRIC_SERIES_MAX + 1);
    assert_true(metric_value(&requests, METRIC_LABELS("other", "other")) == 100);
    assert_true(metric_value(&requests, METRIC_LABELS("v0", "200")) == 1);
}

static void test_clear(void **state)
{
    (void)state;
    metric_add(&requests, 1, METRIC_LABELS("GET", "200"));
    metric_clear(&requests);
    assert_true(metric_value(&requests, METRIC_LABELS("GET", "200")) == 0);
    const char *const lines[] = {"# TYPE requests_total counter\n"};
    expect_lines(lines, ARRAY_LEN(lines));
    metric_add(&requests, 1, METRIC_LABELS("PUT", "200"));
    assert_int_equal(requests.series_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exposition, reset, reset),
        cmocka_unit_test_setup_teardown(test_registered_but_unused, reset, reset),
        cmocka_unit_test_setup_teardown(test_series_are_bounded, reset, reset),
        cmocka_unit_test_setup_teardown(test_clear, reset, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
