/*
 * Proves that a clone's end, its failures and its freeze move the metrics that docs/metrics.md
 * promises, once each, and that every metric of the worker is on that page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "worker/metrics.h"

static struct clone_view view_of(const struct clone_record *r)
{
    return (struct clone_view){.effective = {.clone_type = CLONE_RUNNING}, .record = *r};
}

static void test_moves(void **state)
{
    (void)state;
    metric_reset_all();
    worker_metrics_register();
    struct clone_record before = {.phase = PHASE_CLONING, .attempts = 1, .start_ms = 1000};
    struct clone_record cut = before;
    cut.cut_ms = 2000;
    cut.froze = true;
    cut.freeze_ms = 200;
    struct clone_view v = view_of(&before);
    worker_metrics_record(&v, &cut);
    assert_true(metric_value(&metric_freeze_seconds, NULL) == 1);
    struct clone_record done = cut;
    done.phase = PHASE_SUCCEEDED;
    done.completion_ms = 4000;
    v = view_of(&cut);
    worker_metrics_record(&v, &done);
    assert_true(metric_value(&metric_freeze_seconds, NULL) == 1);
    assert_true(metric_value(&metric_clones,
                             METRIC_LABELS("running", "succeeded", "Succeeded")) == 1);
    assert_true(metric_value(&metric_clone_seconds, METRIC_LABELS("running")) == 1);
    /* What is final already is not counted again. */
    v = view_of(&done);
    worker_metrics_record(&v, &done);
    assert_true(metric_value(&metric_clones,
                             METRIC_LABELS("running", "succeeded", "Succeeded")) == 1);
}

static void test_failures(void **state)
{
    (void)state;
    metric_reset_all();
    worker_metrics_register();
    struct clone_record before = {.phase = PHASE_CLONING, .attempts = 1};
    struct clone_record aborted = before;
    aborted.error.reason = "FreezeFailed";
    aborted.error.attempt = 1;
    struct clone_view v = view_of(&before);
    worker_metrics_record(&v, &aborted);
    assert_true(metric_value(&metric_attempts_failed, METRIC_LABELS("running", "FreezeFailed")) ==
                1);
    struct clone_record failed = aborted;
    failed.phase = PHASE_FAILED;
    v = view_of(&aborted);
    worker_metrics_record(&v, &failed);
    assert_true(metric_value(&metric_attempts_failed, METRIC_LABELS("running", "FreezeFailed")) ==
                1);
    assert_true(metric_value(&metric_clones,
                             METRIC_LABELS("running", "failed", "FreezeFailed")) == 1);
}

static void test_documented(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf page = BUF_INIT(1 * MIB);
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    struct err err = {0};
    metric_reset_all();
    worker_metrics_register();
    metric_write_all(&text);
    assert_int_equal(buf_read_file(&page, METRICS_PAGE, &err), 0);
    size_t found = 0;
    for (const char *line = strstr(text.data, "# TYPE "); line; line = strstr(line + 1, "# TYPE ")) {
        const char *name = line + strlen("# TYPE ");
        CLEANUP_FREE char *quoted = xasprintf("`%.*s`", (int)strcspn(name, " "), name);
        if (!strstr(page.data, quoted))
            fail_msg("%s is not in docs/metrics.md", quoted);
        found++;
    }
    assert_int_equal(found, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
