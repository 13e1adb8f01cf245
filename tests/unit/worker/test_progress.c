/*
 * Proves what progress tells while disks are being made: it goes by their sizes, with what CDI
 * counts of a copy, for the clone and for each disk; it never goes back, whatever CDI says; and 100
 * % is the end.
 */
#include "world.h"

#define GIB (1024LL * MIB)

static const struct disk_plan plans[][DISKS] = {
    {{.name = "root",
      .volume = "root",
      .claim = "src-root",
      .method = DISK_RESTORE,
      .bytes = 10 * GIB},
     {.name = "data",
      .volume = "data",
      .claim = "src-data",
      .method = DISK_RESTORE,
      .bytes = 90 * GIB}},
    {{.name = "root",
      .volume = "root",
      .claim = "src-root",
      .method = DISK_CDI_CLONE,
      .bytes = 10 * GIB},
     {.name = "data",
      .volume = "data",
      .claim = "src-data",
      .method = DISK_CDI_CLONE,
      .bytes = 90 * GIB}},
};

/* A clone whose machine is made and whose disks are not there yet. */
static struct world waiting(const struct disk_plan *of)
{
    struct world w = new_world();
    w.plans = of;
    w.claims_stuck = true;
    run(&w, 60);
    assert_true(w.claim[0] && w.claim[1] && w.vm);
    return w;
}

static int64_t after(struct world *w)
{
    run(w, 8);
    return w->record.attempt.progress;
}

static void test_disks_count_by_their_size(void **state)
{
    (void)state;
    struct world small = waiting(plans[0]), large = waiting(plans[0]);
    int64_t began = small.record.attempt.progress;
    assert_int_equal(began, large.record.attempt.progress);
    small.bound[0] = true;
    large.bound[1] = true;
    int64_t by_small = after(&small) - began, by_large = after(&large) - began;
    /* 10 of 100 GiB, and 90; whole percents are told. */
    assert_true(by_small > 0);
    assert_in_range(by_large, 9 * (by_small - 1), 9 * (by_small + 1));
    sim_cluster_release(&small);
    sim_cluster_release(&large);
}

static const char *of_disk(const struct world *w, const char *name)
{
    const cJSON *d;
    cJSON_ArrayForEach (d, json_get(json_get(w->status, "cloneStatus"), "disks"))
        if (str_eq(json_str(d, "name"), name))
            return json_str(d, "progress");
    return "no such disk";
}

static void test_what_cdi_counts_is_told(void **state)
{
    (void)state;
    struct world w = waiting(plans[0]);
    int64_t began = w.record.attempt.progress;
    w.copied[1] = 50;
    int64_t half = after(&w);
    assert_true(half > began);
    /* It was at 60 when the claim was made of a snapshot that was ready. */
    assert_string_equal(of_disk(&w, "data"), "80%");
    assert_string_equal(of_disk(&w, "root"), "60%");
    /* A copy that begins anew. */
    w.copied[1] = 10;
    assert_int_equal(after(&w), half);
    w.claims_stuck = false;
    run(&w, 100);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.record.attempt.progress, 100);
    assert_string_equal(of_disk(&w, "data"), "100%");
    sim_cluster_release(&w);
}

static void test_a_copy_of_a_claim_begins_at_nothing(void **state)
{
    (void)state;
    struct world w = new_world();
    w.plans = plans[1];
    w.clone_type = CLONE_FULL;
    w.by_vm = w.source_off = w.claims_stuck = true;
    run(&w, 60);
    assert_true(w.claim[0] && w.claim[1]);
    w.copied[0] = 45;
    (void)after(&w);
    assert_string_equal(of_disk(&w, "root"), "45%");
    assert_string_equal(of_disk(&w, "data"), "0%");
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disks_count_by_their_size),
        cmocka_unit_test(test_what_cdi_counts_is_told),
        cmocka_unit_test(test_a_copy_of_a_claim_begins_at_nothing),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
