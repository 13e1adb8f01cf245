/*
 * Proves how snapshotMethod Auto goes from a group to single snapshots: at which sign, for which
 * failures and for none else; that it is remembered, and that the attempt it cost does not count.
 */
#include "observed_cluster.h"

#include "decide/decide_internal.h"
#include "steps/steps.h"

#define SETTLED "rpc error: code = Unimplemented desc = no groups"
#define MAY_CLEAR "rpc error: code = Internal desc = connection refused"
#define FROZEN_MS 1000 /* since when the guest stands frozen, monotonic */

struct scene {
    struct arena arena;
    struct wukong wukong;
    struct call_log log;
    struct disk_plan plans[3];
    struct disk_state disks[3];
    struct clone_group group;
    struct clone_state v;
    struct decision d;
};

/* Two disks in a group, one by itself; the guest is frozen, and the group has been asked for. */
static void begin_scene(struct scene *s, bool frozen)
{
    *s = (struct scene){.wukong = {.name = "w", .ns = "ns", .uid = UID}};
    arena_init_soft(&s->arena, 1 * MIB);
    for (size_t i = 0; i < 3; i++) {
        s->plans[i] = (struct disk_plan){.name = i == 0   ? "a"
                                                 : i == 1 ? "b"
                                                          : "alone",
                                         .method = DISK_RESTORE,
                                         .grouped = i < 2};
        s->disks[i] = (struct disk_state){.plan = &s->plans[i], .group = i < 2 ? &s->group : NULL};
    }
    s->group = (struct clone_group){
        .name = "g", .ns = "ns", .exists = true, .ours = true, .created_ms = NOW, .disk_count = 2};
    s->v = (struct clone_state){
        .arena = &s->arena,
        .now = {NOW, FROZEN_MS},
        .wukong = &s->wukong,
        .call_log = &s->log,
        .effective = {.is_clone = true,
                      .clone_type = CLONE_RUNNING,
                      .method = METHOD_AUTO,
                      .needs_snapshot = true,
                      .quiesce = QUIESCE_IF_AVAILABLE,
                      .source_ns = "ns",
                      .source_name = "src",
                      .replicas = 1},
        .source = {.vmi_exists = true, .running = true, .agent = true},
        .record = {.attempts = 1, .attempt = {.source_uid = "src-uid", .begun_ms = NOW}},
        .disks = s->disks,
        .disk_count = 3,
        .groups = &s->group,
        .group_count = 1,
        .unfreeze_timeout_ms = 60000,
    };
    s->d.intents.arena = &s->arena;
    if (!frozen)
        return;
    s->v.record.attempt.freeze.requested_ms = NOW;
    s->v.record.attempt.freeze.deadline_ms = NOW + 60000;
    struct call *freeze = call_log_get(&s->log, call_key_numbered(CALL_FREEZE, NOW));
    freeze->state = CALL_OK;
    freeze->sent_mono_ms = FROZEN_MS;
}

static void end_scene(struct scene *s)
{
    call_log_release(&s->log);
    arena_release(&s->arena);
}

static void test_when_a_group_gives_way(void **state)
{
    (void)state;
    static const struct {
        const char *name, *error, *content;
        bool being_created, answered, cut, frozen;
        int64_t after_ms;
        const char *word; /* NULL: it is waited for */
    } rows[] = {
        {"just asked for", NULL, NULL, false, false, false, true, 100, NULL},
        {"settled", SETTLED, "c", false, false, false, true, 100, "Unimplemented"},
        {"settled, unfrozen", SETTLED, "c", false, false, false, false, 100, "Unimplemented"},
        {"settled, and cut since", SETTLED, "c", false, false, true, true, 100, NULL},
        {"it may clear", MAY_CLEAR, "c", false, false, false, true, 9000, NULL},
        {"it has not cleared", MAY_CLEAR, "c", false, false, false, true, 11000, "refused"},
        {"unfrozen it may take longer", MAY_CLEAR, "c", false, false, false, false, 11000, NULL},
        {"unfrozen it has not cleared", MAY_CLEAR, "c", false, false, false, false, 121000,
         "refused"},
        {"the driver is at work", NULL, "c", true, false, false, true, 30000, NULL},
        {"tried again", MAY_CLEAR, "c", true, false, false, true, 30000, NULL},
        {"an empty list", NULL, "c", false, true, false, true, 30000, NULL},
        {"no sidecar serves groups", NULL, "c", false, false, false, true, 11000,
         "csi-snapshotter does nothing"},
        {"snapshot-controller serves none", NULL, NULL, false, false, false, true, 11000,
         "snapshot-controller does nothing"},
        {"unfrozen and slow", NULL, "c", true, false, false, false, 121000, "not cut yet"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        struct why why = {0};
        begin_scene(&s, rows[i].frozen);
        s.group.error = rows[i].error;
        s.group.content = rows[i].content;
        s.group.being_created = rows[i].being_created;
        s.group.answered = rows[i].answered;
        s.group.cut = rows[i].cut;
        s.v.now.wall_ms += rows[i].after_ms;
        s.v.now.mono_ms += rows[i].after_ms;
        enum step_status found = group_gives_way(&s.v, &why);
        if ((found == STEP_FAILED) != (rows[i].word != NULL) ||
            (rows[i].word && !strstr(why.message, rows[i].word)))
            fail_msg("%s: %d, %s", rows[i].name, found, why.message);
        /* A method that was named does as it was told. */
        s.v.effective.method = METHOD_GROUP_SNAPSHOT;
        assert_int_equal(group_gives_way(&s.v, &why), STEP_DONE);
        end_scene(&s);
    }
}

/* No event tells that nothing happens. */
static void test_it_is_looked_at_then(void **state)
{
    (void)state;
    struct scene s;
    begin_scene(&s, true);
    s.v.now.wall_ms += 4000;
    s.v.now.mono_ms += 4000;
    assert_int_equal(group_look_again_ms(&s.v, NOW + 60000), NOW + 10000);
    assert_int_equal(group_look_again_ms(&s.v, NOW + 5000), NOW + 5000);
    s.group.cut = true;
    assert_int_equal(group_look_again_ms(&s.v, NOW + 60000), NOW + 60000);
    end_scene(&s);
}

static void test_which_failures_are_a_groups(void **state)
{
    (void)state;
    static const struct {
        enum reason reason;
        const char *disk;
        bool past_cut, named, refused, of_group;
    } rows[] = {
        {REASON_SNAPSHOT_FAILED, "a", false, false, false, true},
        {REASON_SNAPSHOT_FAILED, NULL, false, false, false, true},
        {REASON_SNAPSHOT_FAILED, "alone", false, false, false, false},
        {REASON_SNAPSHOT_LOST, "b", true, false, false, true},
        {REASON_RESTORE_FAILED, "a", true, false, false, true},
        {REASON_RESTORE_FAILED, "alone", true, false, false, false},
        {REASON_CUT_TIMEOUT, NULL, false, false, false, true},
        {REASON_QUOTA_EXCEEDED, "a", false, false, false, true},
        {REASON_QUOTA_EXCEEDED, "a", true, false, false, false},
        {REASON_FREEZE_FAILED, NULL, false, false, false, false},
        {REASON_SOURCE_CHANGED, NULL, false, false, false, false},
        {REASON_VM_FAILED, NULL, true, false, false, false},
        {REASON_SNAPSHOT_FAILED, "a", false, true, false, false},
        {REASON_SNAPSHOT_FAILED, "a", false, false, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        begin_scene(&s, true);
        s.v.effective.method = rows[i].named ? METHOD_GROUP_SNAPSHOT : METHOD_AUTO;
        s.v.record.attempt.cut_ms = rows[i].past_cut ? NOW : 0;
        s.v.record.groups_refused.message = rows[i].refused ? "before" : NULL;
        const struct why why = {.reason = rows[i].reason, .disk = rows[i].disk};
        if (group_fails_alone(&s.v, &why) != rows[i].of_group)
            fail_msg("row %zu: %s of disk %s", i, reason_table[rows[i].reason].name,
                     str_or(rows[i].disk, "-"));
        end_scene(&s);
    }
}

/* A clone that was to share the cut learns it of the one that took it. */
static void test_followers_learn_it(void **state)
{
    (void)state;
    struct scene s;
    begin_scene(&s, false);
    const struct why why = {.reason = REASON_FREEZE_FAILED};
    s.v.share.role = SHARE_FAILED;
    s.v.share.taken.attempts = 2;
    assert_false(group_fails_alone(&s.v, &why));
    s.v.share.taken.groups_refused.attempt = 1;
    assert_false(group_fails_alone(&s.v, &why));
    s.v.share.taken.groups_refused.attempt = 2;
    assert_true(group_fails_alone(&s.v, &why));
    end_scene(&s);
}

static void test_what_is_remembered(void **state)
{
    (void)state;
    struct scene s;
    struct why why = {.disk = "a"};
    begin_scene(&s, true);
    why_set(&why, REASON_SNAPSHOT_FAILED, "disk a: %s", SETTLED);
    s.d.record = s.v.record;
    begin_abort(&s.v, &s.d, &why, false);
    assert_string_equal(s.d.record.groups_refused.message, why.message);
    assert_int_equal(s.d.record.groups_refused.attempt, 1);
    assert_int_equal(record_counted_attempts(&s.d.record), 0);
    assert_string_equal(s.d.record.error.reason, "SnapshotFailed");
    /* The next one, by single snapshots, fails in the same way: that is the first of its kind. */
    s.v.record = s.d.record;
    s.v.record.attempts = 2;
    s.v.group_count = 0;
    begin_abort(&s.v, &s.d, &why, false);
    assert_int_equal(s.d.record.error.in_a_row, 1);
    assert_int_equal(s.d.record.groups_refused.attempt, 1);
    assert_int_equal(record_counted_attempts(&s.d.record), 1);
    end_scene(&s);
}

/* With retryLimit 0 there is one attempt more, and no second one. */
static void test_the_attempt_does_not_count(void **state)
{
    (void)state;
    static const struct {
        int64_t attempts, refused_in;
        bool over;
    } rows[] = {{1, 0, true}, {1, 1, false}, {2, 1, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        begin_scene(&s, false);
        s.v.disk_count = s.v.group_count = 0;
        s.v.record.attempts = rows[i].attempts;
        s.v.record.groups_refused.attempt = rows[i].refused_in;
        s.v.record.groups_refused.message = rows[i].refused_in ? "no groups" : NULL;
        s.v.record.error.reason = "SnapshotFailed";
        s.v.record.error.attempt = rows[i].attempts;
        s.v.record.error.at_ms = NOW;
        s.d.record = s.v.record;
        after_failure(&s.v, &s.d);
        if ((s.d.record.phase == PHASE_FAILED) != rows[i].over)
            fail_msg("row %zu: %s", i, clone_phase_names[s.d.record.phase]);
        end_scene(&s);
    }
}

/* A group that nobody removes holds up no single snapshots; one that was not asked to go, a label
   on a claim, or anything else of the attempt does. */
static void test_a_group_that_goes_holds_up_nobody(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct leftover left[2];
        bool labelled, refused, begins;
    } rows[] = {
        {"a group that goes", {{.kind = KIND_GROUP, .deleting = true}}, false, true, true},
        {"and its member",
         {{.kind = KIND_GROUP, .deleting = true}, {.kind = KIND_SNAPSHOT, .member_of = "g"}},
         false,
         true,
         true},
        {"and a single snapshot",
         {{.kind = KIND_GROUP, .deleting = true}, {.kind = KIND_SNAPSHOT}},
         false,
         true,
         false},
        {"it was not asked to go", {{.kind = KIND_GROUP}}, false, true, false},
        {"a label", {{.kind = KIND_GROUP, .deleting = true}}, true, true, false},
        {"of an attempt that counts",
         {{.kind = KIND_GROUP, .deleting = true}},
         false,
         false,
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        struct leftover left[2];
        begin_scene(&s, false);
        memcpy(left, rows[i].left, sizeof left);
        for (size_t k = 0; k < 2; k++) {
            left[k].name = left[k].uid = "x";
            left[k].ns = "ns";
        }
        s.v.ours = left;
        s.v.ours_count = left[1].kind ? 2 : 1;
        s.v.disk_count = s.v.group_count = 0;
        s.v.effective.retry_limit = 3;
        s.v.record.labelled = rows[i].labelled;
        s.v.record.groups_refused.message = rows[i].refused ? "no groups" : NULL;
        s.v.record.groups_refused.attempt = rows[i].refused;
        s.v.record.error.reason = "SnapshotFailed";
        s.v.record.error.attempt = 1;
        s.v.record.error.at_ms = NOW - 60000;
        s.log.cleaning_mono_ms = FROZEN_MS;
        s.d.record = s.v.record;
        after_failure(&s.v, &s.d);
        if ((s.d.record.attempts == 2) != rows[i].begins)
            fail_msg("%s: attempt %lld", rows[i].name, (long long)s.d.record.attempts);
        end_scene(&s);
    }
}

/* An API whose version changes under a clone is answered with 404 for a moment. */
static void test_when_groups_are_not_served(void **state)
{
    (void)state;
    static const struct {
        int code;
        unsigned failures;
        bool unserved;
    } rows[] = {{404, 1, false}, {404, 3, false}, {404, 4, true}, {404, 9, true},
                {503, 9, false}, {403, 9, false}, {0, 9, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct call trial = {.state = CALL_FAILED,
                                   .kind = rows[i].code == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
                                   .code = rows[i].code,
                                   .failures = rows[i].failures};
        if (group_is_unserved(&trial) != rows[i].unserved)
            fail_msg("%d after %u failures", rows[i].code, rows[i].failures);
    }
}

static void test_the_record_is_read_back(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    CLEANUP_JSON cJSON *tree = NULL;
    static const char text[] =
        "{\"groupSnapshotRefused\":{\"message\":\"m\",\"attempt\":2},\"disks\":["
        "{\"name\":\"a\",\"volume\":\"a\",\"sourcePVC\":\"ca\",\"method\":\"SnapshotRestore\","
        "\"snapshotMethod\":\"VolumeGroupSnapshot\"},"
        "{\"name\":\"b\",\"volume\":\"b\",\"sourcePVC\":\"cb\",\"method\":\"SnapshotRestore\","
        "\"snapshotMethod\":\"VolumeSnapshot\"}]}";
    arena_init(&a, 1 * MIB);
    assert_int_equal(json_parse(text, strlen(text), true, &tree, NULL), 0);
    struct clone_record r = record_read(&a, tree);
    assert_string_equal(r.groups_refused.message, "m");
    assert_int_equal(r.groups_refused.attempt, 2);
    assert_true(r.disks[0].grouped);
    assert_false(r.disks[1].grouped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when_a_group_gives_way),
        cmocka_unit_test(test_it_is_looked_at_then),
        cmocka_unit_test(test_which_failures_are_a_groups),
        cmocka_unit_test(test_followers_learn_it),
        cmocka_unit_test(test_what_is_remembered),
        cmocka_unit_test(test_the_attempt_does_not_count),
        cmocka_unit_test(test_a_group_that_goes_holds_up_nobody),
        cmocka_unit_test(test_when_groups_are_not_served),
        cmocka_unit_test(test_the_record_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
