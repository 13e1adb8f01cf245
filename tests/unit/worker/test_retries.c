/*
 * Proves how what failed is tried again: attempts follow one another after a wait that doubles, has
 * a limit and a jitter, the same one for all clones of a source; and what a failed attempt has
 * found out about the storage is not tried again.
 */
#include "world.h"

/* docs/user/reasons.md */
#define FIRST_WAIT_MS 5000
#define LONGEST_WAIT_MS 120000

/* How long a clone whose attempt number `attempt` has failed waits for the next. */
static int64_t wait_after(int64_t attempt, const char *source)
{
    struct world w = new_world();
    w.finalizer = true;
    w.retry_limit = 100;
    w.source_name = source;
    w.record.phase = PHASE_CLONING;
    w.record.attempts = attempt;
    w.record.start_ms = w.record.attempt.begun_ms = w.record.error.at_ms = w.now;
    w.record.error.reason = "SnapshotFailed";
    w.record.error.message = "no space";
    w.record.error.attempt = attempt;
    (void)turn(&w);
    int64_t wait = w.wake_ms - w.now;
    assert_int_equal(w.record.attempts, attempt);
    /* Not a moment before, and then as soon as the API server has said that nothing is left. */
    w.now += wait - 1;
    (void)turn(&w);
    assert_int_equal(w.record.attempts, attempt);
    w.now++;
    (void)turn(&w);
    assert_int_equal(w.record.attempts, attempt);
    (void)turn(&w);
    assert_int_equal(w.record.attempts, attempt + 1);
    sim_cluster_release(&w);
    return wait;
}

static void test_wait_grows_and_is_bounded(void **state)
{
    (void)state;
    int64_t base = FIRST_WAIT_MS;
    for (int64_t attempt = 1; attempt <= 12; attempt++) {
        assert_in_range(wait_after(attempt, "src"), base, base + base / 2);
        base = base * 2 < LONGEST_WAIT_MS ? base * 2 : LONGEST_WAIT_MS;
    }
}

/* Whatever the failed attempt has recorded, the next begins with none of it: a field that is added
   to struct attempt is covered, too. */
static void test_an_attempt_begins_with_nothing(void **state)
{
    (void)state;
    struct world w = new_world();
    struct attempt begun = {.owned = true};
    w.finalizer = true;
    w.record.phase = PHASE_CLONING;
    w.record.attempts = 1;
    /* Every byte of it, but what is followed or owed. */
    memset(&w.record.attempt, 0x11, sizeof w.record.attempt);
    w.record.attempt.freeze.vmi_uid = w.record.attempt.source_uid = "vmi-uid";
    w.record.attempt.shared.uid = w.record.attempt.shared.name = NULL;
    w.record.attempt.members = NULL;
    w.record.attempt.member_count = 0;
    w.record.attempt.consistency = CONSISTENCY_CRASH;
    w.record.attempt.owned = w.record.attempt.froze = true;
    w.record.error.reason = "SnapshotFailed";
    w.record.error.message = "no space";
    w.record.error.attempt = 1;
    w.record.start_ms = w.now;
    w.record.error.at_ms = w.now - LONGEST_WAIT_MS;
    begun.begun_ms = w.now;
    for (int i = 0; i < 4 && w.record.attempts == 1; i++)
        (void)turn(&w);
    assert_int_equal(w.record.attempts, 2);
    assert_memory_equal(&w.record.attempt, &begun, sizeof begun);
    sim_cluster_release(&w);
}

/* Clones that failed together, of a storage that fell over, do not all come back at once. */
static void test_sources_come_back_apart(void **state)
{
    (void)state;
    enum { SOURCES = 40, QUARTERS = 4 };
    unsigned count[QUARTERS] = {0};
    for (int i = 0; i < SOURCES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "vm-%d", i);
        int64_t more = wait_after(1, name) - FIRST_WAIT_MS;
        count[more * QUARTERS / (FIRST_WAIT_MS / 2 + 1)]++;
    }
    for (size_t i = 0; i < QUARTERS; i++)
        assert_in_range(count[i], 1, SOURCES / 2);
}

/* Clones of one source do, so that they may share a snapshot; each time after another jitter. */
static void test_one_source_comes_back_together(void **state)
{
    (void)state;
    for (int64_t attempt = 1; attempt < 6; attempt++)
        assert_int_equal(wait_after(attempt, "db"), wait_after(attempt, "db"));
    assert_int_not_equal(wait_after(1, "db") * 2, wait_after(2, "db"));
}

/* A driver's refusal to clone volumes outlives the error that told of it, and a restart. */
static void test_refused_cloning_is_remembered(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        bool refused;
    } rows[] = {
        {"{}", false},
        {"{\"lastError\":{\"reason\":\"RestoreFailed\"},\"disks\":[{\"method\":\"CSIClone\"}]}",
         false},
        {"{\"lastError\":{\"reason\":\"CloningRefused\"},\"disks\":[{\"method\":\"CSIClone\"}]}",
         true},
        {"{\"lastError\":{\"reason\":\"SnapshotFailed\"},"
         "\"disks\":[{\"method\":\"CSIClone\"},{\"method\":\"SnapshotRestore\"}]}",
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        CLEANUP_JSON cJSON *tree = NULL;
        arena_init(&a, 1 * MIB);
        assert_int_equal(json_parse(rows[i].status, strlen(rows[i].status), true, &tree, NULL), 0);
        assert_int_equal(record_read(&a, tree).cloning_refused, rows[i].refused);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_grows_and_is_bounded),
        cmocka_unit_test(test_an_attempt_begins_with_nothing),
        cmocka_unit_test(test_sources_come_back_apart),
        cmocka_unit_test(test_one_source_comes_back_together),
        cmocka_unit_test(test_refused_cloning_is_remembered),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
