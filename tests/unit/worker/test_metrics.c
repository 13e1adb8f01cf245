/*
 * Proves that a clone's end, its failures, its steps and its freeze move the metrics that
 * docs/admin/metrics.md promises, once each, that the snapshots held are ours and are there, and
 * that the page names what the worker exports and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "clones/metrics.h"
#include "json/json.h"
#include "kube/metrics.h"
#include "observe/resources.h"
#include "wukong/api/spec.h"

#include "../metrics_page.h"

static struct clone_state state_of_record(const struct clone_record *r)
{
    return (struct clone_state){.effective = {.clone_type = CLONE_RUNNING}, .record = *r};
}

static void test_moves(void **state)
{
    (void)state;
    metric_reset_all();
    worker_metrics_register();
    struct clone_record before = {.phase = PHASE_CLONING, .attempts = 1, .start_ms = 1000};
    struct clone_record cut = before;
    cut.attempt.cut_ms = 2000;
    cut.attempt.froze = true;
    cut.attempt.freeze_ms = 200;
    struct clone_state v = state_of_record(&before);
    worker_metrics_record(&v, &cut);
    assert_true(metric_value(&metric_freeze_seconds, NULL) == 0);
    /* The thaw works at the second try: only now it is known how long it was. */
    struct clone_record thawed = cut;
    thawed.attempt.freeze.requested_ms = 1800;
    thawed.attempt.freeze.thawed_ms = 31800;
    thawed.attempt.freeze_ms = 30000;
    v = state_of_record(&cut);
    worker_metrics_record(&v, &thawed);
    assert_true(metric_value(&metric_freeze_seconds, NULL) == 1);
    struct clone_record done = thawed;
    done.phase = PHASE_SUCCEEDED;
    done.completion_ms = 4000;
    v = state_of_record(&thawed);
    worker_metrics_record(&v, &done);
    assert_true(metric_value(&metric_freeze_seconds, NULL) == 1);
    assert_true(metric_value(&metric_clones, METRIC_LABELS("running", "succeeded", "Succeeded")) ==
                1);
    assert_true(metric_value(&metric_clone_seconds, METRIC_LABELS("running")) == 1);
    /* What is final already is not counted again. */
    v = state_of_record(&done);
    worker_metrics_record(&v, &done);
    assert_true(metric_value(&metric_clones, METRIC_LABELS("running", "succeeded", "Succeeded")) ==
                1);
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
    struct clone_state v = state_of_record(&before);
    worker_metrics_record(&v, &aborted);
    assert_true(metric_value(&metric_attempts_failed, METRIC_LABELS("running", "FreezeFailed")) ==
                1);
    struct clone_record failed = aborted;
    failed.phase = PHASE_FAILED;
    v = state_of_record(&aborted);
    worker_metrics_record(&v, &failed);
    assert_true(metric_value(&metric_attempts_failed, METRIC_LABELS("running", "FreezeFailed")) ==
                1);
    assert_true(metric_value(&metric_clones, METRIC_LABELS("running", "failed", "FreezeFailed")) ==
                1);
}

static void test_steps(void **state)
{
    (void)state;
    metric_reset_all();
    worker_metrics_register();
    struct step_clock c = {0};
    worker_metrics_step(&c, "Cut", 1000);
    worker_metrics_step(&c, "Cut", 1400);
    assert_true(metric_value(&metric_step_seconds, METRIC_LABELS("Cut")) == 0);
    worker_metrics_step(&c, "Disks", 3500);
    worker_metrics_step(&c, NULL, 4000);
    worker_metrics_step(&c, NULL, 9000);
    assert_true(metric_value(&metric_step_seconds, METRIC_LABELS("Cut")) == 1);
    assert_true(metric_value(&metric_step_seconds, METRIC_LABELS("Disks")) == 1);
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    metric_write_all(&text);
    assert_non_null(strstr(text.data, "_step_duration_seconds_sum{step=\"Cut\"} 2.5\n"));
    assert_non_null(strstr(text.data, "_step_duration_seconds_sum{step=\"Disks\"} 0.5\n"));
}

static void put_snapshot(struct store *s, const char *ns, const char *name, const char *labels)
{
    struct err err = {0};
    CLEANUP_FREE char *json =
        xasprintf("{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\",\"uid\":\"%s-%s\",%s"
                  "\"resourceVersion\":\"1\"},\"status\":{\"restoreSize\":\"1Gi\"}}",
                  ns, name, ns, name, labels);
    CLEANUP_JSON cJSON *tree = NULL;
    struct kube_object *o = NULL;
    assert_int_equal(json_parse(json, strlen(json), true, &tree, &err), 0);
    assert_int_equal(kube_object_project(store_kind(s), tree, &o, &err), 0);
    store_put(s, o);
}

#define OWNED_BY(group)                                                                            \
    "\"ownerReferences\":[{\"kind\":\"VolumeGroupSnapshot\",\"name\":\"" group                     \
    "\",\"uid\":\"a-" group "\"}],"

/* Snapshots of others are not counted, and what is gone is gone. */
static void test_snapshots_held(void **state)
{
    (void)state;
    static const char ours[] = "\"labels\":{\"" WUKONG_UID_LABEL "\":\"u1\"},";
    metric_reset_all();
    worker_metrics_register();
    struct store *s = store_new(&worker_kinds[KIND_SNAPSHOT]);
    struct store *groups = store_new(&worker_kinds[KIND_GROUP]);
    put_snapshot(s, "a", "one", ours);
    put_snapshot(s, "a", "two", ours);
    put_snapshot(s, "a", "theirs", "");
    put_snapshot(s, "b", "one", ours);
    worker_metrics_snapshots(s, groups);
    assert_true(metric_value(&metric_snapshots_held, METRIC_LABELS("a")) == 2);
    assert_true(metric_value(&metric_snapshot_bytes, METRIC_LABELS("a")) == 2147483648.0);
    assert_true(metric_value(&metric_snapshots_held, METRIC_LABELS("b")) == 1);
    assert_true(store_remove(s, "b", "one"));
    worker_metrics_snapshots(s, groups);
    assert_true(metric_value(&metric_snapshots_held, METRIC_LABELS("a")) == 2);
    assert_int_equal(metric_snapshots_held.series_count, 1);
    assert_int_equal(metric_snapshot_bytes.series_count, 1);
    /* Members of a group of ours, and of a group of somebody else. */
    put_snapshot(groups, "a", "g", ours);
    put_snapshot(groups, "a", "h", "");
    put_snapshot(s, "a", "m1", OWNED_BY("g"));
    put_snapshot(s, "a", "m2", OWNED_BY("g"));
    put_snapshot(s, "a", "n1", OWNED_BY("h"));
    worker_metrics_snapshots(s, groups);
    assert_true(metric_value(&metric_snapshots_held, METRIC_LABELS("a")) == 4);
    assert_true(metric_value(&metric_snapshot_bytes, METRIC_LABELS("a")) == 4294967296.0);
    store_free(s);
    store_free(groups);
}

static void test_documented(void **state)
{
    (void)state;
    metric_reset_all();
    worker_metrics_register();
    kube_metrics_register();
    page_check("Worker");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),      cmocka_unit_test(test_failures),
        cmocka_unit_test(test_steps),      cmocka_unit_test(test_snapshots_held),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
