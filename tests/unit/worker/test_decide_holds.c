/*
 * Proves that nothing is frozen or cut while somebody else holds the source (a volume migration,
 * overlays, a restore, KubeVirt's snapshot or backup), whatever quiesce says and whatever the type;
 * and that what came in between is seen by the look after the cut. A guest that boots gets time for
 * its agent.
 */
#include "world.h"

static const struct {
    struct source_holds holds;
    const char *word;
} held[] = {
    {{.volumes = true}, "KubeVirt is migrating its volumes"},
    {{.recovery = true}, "half copied"},
    {{.overlay = true}, "overlays"},
    {{.restore = "back"}, "VirtualMachineRestore back"},
    {{.snapshot = "nightly"}, "VirtualMachineSnapshot nightly"},
    {{.backup = "weekly"}, "VirtualMachineBackup weekly"},
};

static const struct disk_plan copies[DISKS] = {
    {.name = "root", .volume = "root", .claim = "src-root", .method = DISK_CSI_CLONE},
    {.name = "data", .volume = "data", .claim = "src-data", .method = DISK_CSI_CLONE},
};

enum kind { RUNNING_FROZEN, RUNNING_NEVER, STOPPED_LINKED, STOPPED_FULL, KINDS };

static struct world source_of(enum kind kind)
{
    struct world w = new_world();
    w.quiesce = kind == RUNNING_NEVER ? QUIESCE_NEVER : QUIESCE_IF_AVAILABLE;
    if (kind == STOPPED_LINKED || kind == STOPPED_FULL) {
        w.by_vm = w.source_off = true;
        w.clone_type = kind == STOPPED_FULL ? CLONE_FULL : CLONE_LINKED;
    }
    if (kind == STOPPED_FULL)
        w.plans = copies;
    return w;
}

static void test_waited_for(void **state)
{
    (void)state;
    for (enum kind kind = RUNNING_FROZEN; kind < KINDS; kind++)
        for (size_t i = 0; i < ARRAY_LEN(held); i++) {
            struct world w = source_of(kind);
            w.holds = held[i].holds;
            run(&w, 100);
            const cJSON *c = condition(&w, "SourceReady");
            if (w.freezes || w.record.attempts || w.snapshot[0] || w.claim[0] ||
                !str_eq(json_str(c, "reason"), "SourceBusy") ||
                !strstr(str_or(json_str(c, "message"), ""), held[i].word))
                fail_msg("kind %d, %s: %s", kind, held[i].word,
                         str_or(json_str(c, "message"), "no condition"));
            w.holds = (struct source_holds){0};
            succeeds(&w, 200);
            assert_int_equal(w.record.attempts, 1);
            sim_cluster_release(&w);
        }
}

/* A live migration writes to the same claims, on another node: only a freeze would fail. */
static void test_live_migration(void **state)
{
    (void)state;
    struct world w = source_of(RUNNING_NEVER);
    w.holds.migration = true;
    succeeds(&w, 200);
    sim_cluster_release(&w);
    w = source_of(RUNNING_FROZEN);
    w.holds.migration = true;
    run(&w, 100);
    assert_int_equal(w.freezes, 0);
    w.holds.migration = false;
    succeeds(&w, 200);
    sim_cluster_release(&w);
}

/* The caches never showed it, and the look after the cut does: nothing of that attempt is kept. */
static void test_seen_after_the_cut(void **state)
{
    (void)state;
    static const struct {
        enum kind kind;
        const char *vmi, *vm, *word;
        bool moved;
    } rows[] = {
        {RUNNING_FROZEN, ",\"migratedVolumes\":[{\"volumeName\":\"root\"}]", NULL, "migrating",
         false},
        {RUNNING_NEVER, ",\"migratedVolumes\":[{\"volumeName\":\"root\"}]", NULL, "migrating",
         false},
        {RUNNING_NEVER, ",\"conditions\":[{\"type\":\"VolumesChange\",\"status\":\"True\"}]", NULL,
         "migrating", false},
        {RUNNING_NEVER,
         ",\"conditions\":[{\"type\":\"OverlaySnapshotActive\",\"status\":\"True\"}]", NULL,
         "overlays", false},
        {RUNNING_FROZEN, NULL, NULL, "another claim", true},
        {RUNNING_NEVER, NULL, NULL, "another claim", true},
        {STOPPED_LINKED, NULL, NULL, "another claim", true},
        {STOPPED_LINKED, NULL, "\"restoreInProgress\":\"back\"", "VirtualMachineRestore", false},
        {STOPPED_LINKED, NULL,
         "\"conditions\":[{\"type\":\"ManualRecoveryRequired\",\"status\":\"True\"}]",
         "half copied", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = source_of(rows[i].kind);
        w.after_status = rows[i].vmi;
        w.after_vm = rows[i].vm;
        w.moved = rows[i].moved;
        for (int k = 0; k < 200 && !w.record.error.reason && !w.record.attempt.cut_ms; k++)
            run(&w, 1);
        if (w.record.attempt.cut_ms || !str_eq(w.record.error.reason, "SourceChanged") ||
            !strstr(w.record.error.message, rows[i].word))
            fail_msg("row %zu: %s", i, str_or(w.record.error.message, "it was taken"));
        w.after_status = w.after_vm = NULL;
        w.moved = false;
        succeeds(&w, 400);
        assert_int_equal(w.record.attempts, 2);
        sim_cluster_release(&w);
    }
}

/* The same of claims that are copied without a snapshot: by a look when the copies are there. */
static void test_seen_after_the_copy(void **state)
{
    (void)state;
    static const struct {
        const char *vm, *word;
        bool moved;
    } rows[] = {
        {NULL, "another claim", true},
        {"\"restoreInProgress\":\"back\"", "VirtualMachineRestore", false},
        {"\"conditions\":[{\"type\":\"ManualRecoveryRequired\",\"status\":\"True\"}]",
         "half copied", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = source_of(STOPPED_FULL);
        w.after_vm = rows[i].vm;
        w.moved = rows[i].moved;
        for (int k = 0; k < 200 && !w.record.error.reason && !record_final(&w.record); k++)
            run(&w, 1);
        if (!str_eq(w.record.error.reason, "SourceChanged") ||
            !strstr(w.record.error.message, rows[i].word))
            fail_msg("row %zu: %s", i, str_or(w.record.error.message, "it was taken"));
        w.after_vm = NULL;
        w.moved = false;
        succeeds(&w, 400);
        assert_int_equal(w.record.attempts, 2);
        sim_cluster_release(&w);
    }
}

/* It came and went within the attempt, and only the caches have shown it. */
static void test_seen_in_between(void **state)
{
    (void)state;
    for (enum kind kind = RUNNING_FROZEN; kind < KINDS; kind++) {
        struct world w = source_of(kind);
        w.storage_stuck = w.claims_stuck = true;
        for (int k = 0; k < 200 && !w.snapshot[0] && !w.claim[0]; k++)
            run(&w, 1);
        w.call_log.spoiled_ms = w.now;
        w.call_log.spoiled_by = HOLD_RESTORE;
        /* What is made already is looked at once more before it is removed. */
        for (int k = 0; k < 2; k++) {
            w.now += 200;
            (void)turn(&w);
        }
        if (!str_eq(w.record.error.reason, "SourceChanged"))
            fail_msg("kind %d: %s", kind, str_or(w.record.error.reason, "nothing"));
        w.storage_stuck = w.claims_stuck = false;
        succeeds(&w, 400);
        assert_int_equal(w.record.attempts, 2);
        sim_cluster_release(&w);
    }
}

/* A backup thaws whoever froze, and shows in the instance's status for ever after. */
static void test_backup_in_between(void **state)
{
    (void)state;
    static const char over[] = ",\"changedBlockTracking\":{\"backupStatus\":{\"backupName\":\"b\","
                               "\"startTimestamp\":\"2026-09-21T14:13:21Z\",\"completed\":true,"
                               "\"endTimestamp\":\"2026-09-21T14:13:22Z\"}}";
    struct world w = source_of(RUNNING_FROZEN);
    w.after_status = over;
    succeeds(&w, 200);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
    sim_cluster_release(&w);
    w = source_of(RUNNING_FROZEN);
    w.quiesce = QUIESCE_REQUIRED;
    w.after_status = over;
    for (int k = 0; k < 200 && !w.record.error.reason; k++)
        run(&w, 1);
    assert_string_equal(w.record.error.reason, "CutTimeout");
    w.after_status = NULL;
    succeeds(&w, 400);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
    /* One that was over before the attempt says nothing. */
    w = source_of(RUNNING_FROZEN);
    w.after_status = ",\"changedBlockTracking\":{\"backupStatus\":{\"backupName\":\"b\","
                     "\"startTimestamp\":\"2026-09-20T14:13:21Z\",\"completed\":true,"
                     "\"endTimestamp\":\"2026-09-20T14:13:22Z\"}}";
    succeeds(&w, 200);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
}

/* A guest that boots is not one without an agent. */
static void test_agent_gets_time(void **state)
{
    (void)state;
    struct world w = source_of(RUNNING_FROZEN);
    w.agent = false;
    w.began_ms = w.now - 1000;
    run(&w, 200); /* 40 s */
    assert_int_equal(w.record.attempts, 0);
    assert_string_equal(json_str(condition(&w, "SourceReady"), "reason"), "SourceStarting");
    w.agent = true;
    succeeds(&w, 200);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
    /* It has none: it is not waited for longer, whatever a clock says of its beginning. */
    for (int ahead = 0; ahead < 2; ahead++) {
        w = source_of(RUNNING_FROZEN);
        w.agent = false;
        w.began_ms = w.now + ahead * 3600000;
        w.call_log.agentless_ms = w.now;
        int64_t began = w.now;
        for (int i = 0; i < 1000 && !w.record.attempt.cut_ms; i++)
            run(&w, 1);
        assert_in_range(w.now, began + AGENT_WAIT_MS, began + AGENT_WAIT_MS + 5000);
        assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
        sim_cluster_release(&w);
    }
    /* Nobody asked for a freeze. */
    w = source_of(RUNNING_NEVER);
    w.agent = false;
    w.began_ms = w.now;
    succeeds(&w, 200);
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waited_for),          cmocka_unit_test(test_live_migration),
        cmocka_unit_test(test_seen_after_the_cut),  cmocka_unit_test(test_seen_in_between),
        cmocka_unit_test(test_seen_after_the_copy), cmocka_unit_test(test_backup_in_between),
        cmocka_unit_test(test_agent_gets_time),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
