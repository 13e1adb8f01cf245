/*
 * Proves both ends of a clone. What the cleanup does before it deletes a VolumeSnapshot, and in
 * which order: nothing of it, physical snapshot included, may outlive it, KubeVirt must not be kept
 * from thawing its guest, and no namespace waits for us. And what is found wanting before anything
 * is touched.
 */
#include "call_name.h"
#include "world.h"

struct left_row {
    const char *name;
    struct leftover snapshot; /* beside it a VirtualMachineSnapshot, unless kind is 0 */
    bool vm_snapshot, kubevirt_still_holds;
    const char *sent; /* the keys of what is sent, joined */
};

/* One look at a Wukong that was deleted before it began, with these leftovers. */
static void sends(const struct left_row *row)
{
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 * MIB);
    struct call_log call_log = {0};
    struct leftover ours[2] = {row->snapshot};
    struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
    struct clone_state v = {.arena = &a,
                            .now = {1000000, 1000000},
                            .call_log = &call_log,
                            .wukong = &wukong,
                            .ours = ours,
                            .ours_count = row->vm_snapshot ? 2 : 1};
    ours[0].kind = KIND_SNAPSHOT;
    ours[0].ns = "ns";
    ours[0].name = ours[0].uid = "s";
    ours[1] = (struct leftover){.kind = KIND_VM_SNAPSHOT,
                                .ns = "ns",
                                .name = "v",
                                .uid = "v",
                                .kubevirt_still_holds = row->kubevirt_still_holds};
    struct decision d = {.intents = {.arena = &a}};
    CLEANUP_BUF struct buf sent = BUF_INIT(4096);
    assert_false(teardown_remove_snapshots(&v, &d));
    for (size_t i = 0; i < d.intents.count; i++)
        buf_addf(&sent, "%s%s", i ? " " : "", call_name(&d.intents.items[i].key));
    if (!str_eq(str_or(sent.data, ""), row->sent))
        fail_msg("%s: %s", row->name, str_or(sent.data, ""));
    assert_true(d.again_ms > v.now.wall_ms);
    call_log_release(&call_log);
}

static void test_before_a_snapshot_is_deleted(void **state)
{
    (void)state;
    static const char delete[] = "delete/volumesnapshots/s";
    static const char vms[] = "delete/virtualmachinesnapshots/v";
    static const struct left_row rows[] = {
        {"nothing stands in the way", {.content = "c"}, false, false, delete},
        {"its content is not known",
         {.look = "c", .look_key = {.kind = CALL_READ_CONTENT, .name = "s"}},
         false,
         false,
         "read/content/s"},
        {"its content would outlive it",
         {.content = "c", .content_retains = true, .policy_ours = true},
         false,
         false,
         "policy/c"},
        {"its content is still to come", {.content_awaited = true}, false, false, ""},
        {"the driver has not answered", {.content = "c", .being_cut = true}, false, false, ""},
        {"a claim is being made of it", {.content = "c", .in_use = true}, false, false, ""},
        {"it was overlooked",
         {.content = "c", .deleting = true, .deletion_missed = "c"},
         false,
         false,
         "nudge/c"},
        {"it is going", {.content = "c", .deleting = true}, false, false, ""},
        /* KubeVirt's, deleted by the garbage collector: everything is due before. */
        {"KubeVirt's: labelled first",
         {.content = "c", .unlabelled = true},
         true,
         false,
         "label/s"},
        {"KubeVirt's: it goes by its owner", {.content = "c"}, true, false, vms},
        {"KubeVirt's, Retain",
         {.content = "c", .content_retains = true, .policy_ours = true},
         true,
         false,
         "policy/c"},
        {"KubeVirt's, a claim is being made", {.content = "c", .in_use = true}, true, false, ""},
        {"KubeVirt's, going with its owner", {.content = "c", .deleting = true}, true, false, vms},
        {"KubeVirt's, not seen yet", {.unread = true}, true, false, "read/volumesnapshots/s"},
        /* KubeVirt keeps the guest frozen until its snapshot goes. */
        {"frozen: the driver is not waited for",
         {.content = "c", .being_cut = true},
         true,
         true,
         vms},
        {"frozen: labelled all the same",
         {.content = "c", .being_cut = true, .unlabelled = true},
         true,
         true,
         "label/s"},
        {"frozen: a content just made is",
         {.content_awaited = true, .created_ms = 999000},
         true,
         true,
         ""},
        {"frozen: but not for long",
         {.content_awaited = true, .created_ms = 990000},
         true,
         true,
         vms},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        sends(&rows[i]);
}

/* The answer to the freeze of 970,000 is not known: it may come within 30 s, and KubeVirt's timer
   thaws 30 s after it came; the state is seen 5 s later, and a second is allowed for. A thaw ends
   it that worked and was sent when no freeze could come any more. One of ours that is still on its
   way would end the freeze of the next clone, so that the debt stays until it is back. */
static void test_the_debt_of_a_thaw_ends(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t now_ms, thaw_sent_ms;
        enum call_state thaw;
        const char *shown;
        bool paid;
    } rows[] = {
        {"before the deadline", 999999, 0, CALL_FAILED, NULL, false},
        {"it came late, and stands still", 1006000, 0, CALL_FAILED, NULL, false},
        {"a late freeze may not be seen yet", 1035999, 0, CALL_FAILED, NULL, false},
        {"it is over", 1036000, 0, CALL_FAILED, NULL, true},
        {"it is shown frozen", 1036000, 0, CALL_FAILED, "frozen", false},
        {"a thaw is on its way", 1036000, 0, CALL_FLYING, NULL, false},
        {"a thaw worked before it could come", 1006000, 999999, CALL_OK, NULL, false},
        {"a thaw worked after that", 1006000, 1000000, CALL_OK, NULL, true},
        {"and it is shown frozen all the same", 1006000, 1000000, CALL_OK, "frozen", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 * MIB);
        struct call_log call_log = {0};
        struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
        struct clone_state v = {.arena = &a,
                                .now = {rows[i].now_ms, rows[i].now_ms},
                                .call_log = &call_log,
                                .wukong = &wukong,
                                .unfreeze_timeout_ms = 30000};
        v.source.vmi_exists = true;
        v.source.vmi_uid = v.record.attempt.freeze.vmi_uid = "g";
        v.source.vmi_name = v.record.source_vmi = "g";
        v.source.freeze_status = rows[i].shown;
        v.record.attempt.freeze.requested_ms = 970000;
        v.record.attempt.freeze.deadline_ms = 1000000;
        struct call *freeze = call_log_get(&call_log, call_key_numbered(CALL_FREEZE, 970000));
        freeze->state = CALL_FAILED;
        freeze->kind = ERR_INTERNAL;
        freeze->code = 500;
        freeze->sent_mono_ms = 970000;
        struct call *thaw = call_log_get(&call_log, call_key_numbered(CALL_THAW, 970000));
        thaw->state = rows[i].thaw;
        thaw->sent_mono_ms = rows[i].thaw_sent_ms;
        struct decision d = {.record = v.record, .intents = {.arena = &a}};
        teardown_thaw(&v, &d, true);
        if ((d.record.attempt.freeze.thawed_ms != 0) != rows[i].paid)
            fail_msg("%s", rows[i].name);
        call_log_release(&call_log);
    }
}

/* The labels of a cut are off when a list says so that was asked for after the last of them was put
   on: the list that ended the attempt before may be younger than its own limit. */
static void test_the_labels_of_a_cut_are_off(void **state)
{
    (void)state;
    static const struct {
        const char *name, *list;
        int64_t listed_mono_ms;
        size_t sent;
        bool over;
    } rows[] = {
        {"not asked", NULL, 0, 1, false},
        {"none is listed", "{\"items\":[]}", 999700, 0, true},
        {"listed before this attempt's label", "{\"items\":[]}", 999400, 1, false},
        {"one is listed", "{\"items\":[{\"metadata\":{\"name\":\"c\"}}]}", 999700, 1, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 * MIB);
        struct call_log call_log = {0};
        struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
        struct clone_state v = {.arena = &a,
                                .now = {1000000, 1000000},
                                .call_log = &call_log,
                                .wukong = &wukong,
                                .effective = {.source_ns = "ns"},
                                .record.labelled = true};
        struct call *label = call_log_get(&call_log, call_key_label(2, "c"));
        label->state = CALL_OK;
        label->done_ms = label->done_mono_ms = 999600;
        struct call *list =
            rows[i].list ? call_log_get(&call_log, call_key(CALL_LIST_LABELLED)) : NULL;
        if (list) {
            list->state = CALL_OK;
            list->sent_mono_ms = rows[i].listed_mono_ms;
            list->done_ms = rows[i].listed_mono_ms + 10;
            call_set_body(list, xstrdup(rows[i].list), strlen(rows[i].list));
        }
        struct decision d = {.record = v.record, .intents = {.arena = &a}};
        if (teardown_unlabel(&v, &d) != rows[i].over || d.record.labelled == rows[i].over ||
            d.intents.count != rows[i].sent)
            fail_msg("%s: labelled %d, %zu are sent", rows[i].name, d.record.labelled,
                     d.intents.count);
        call_log_release(&call_log);
    }
}

/* What goes with the source's namespace is not waited for; what is elsewhere is. */
static void test_a_namespace_that_goes(void **state)
{
    (void)state;
    for (int row = 0; row < 4; row++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 * MIB);
        struct call_log call_log = {0};
        struct leftover ours[1] = {{.kind = KIND_SNAPSHOT,
                                    .ns = row == 2 ? "ns" : "src",
                                    .name = "s",
                                    .uid = "s",
                                    .content = "c",
                                    .deleting = row != 1}};
        struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
        struct clone_state v = {.arena = &a,
                                .now = {1000000, 1000000},
                                .call_log = &call_log,
                                .wukong = &wukong,
                                .ours = ours,
                                .ours_count = 1,
                                .effective = {.source_ns = "src"},
                                .source_ns_terminating = row != 3};
        struct decision d = {.intents = {.arena = &a}};
        assert_int_equal(teardown_remove_snapshots(&v, &d), row == 0);
        assert_int_equal(d.intents.count, row == 1); /* the deletion of one that is still whole */
        call_log_release(&call_log);
    }
}

/* A content that outlived its VolumeSnapshot: set to Delete, then deleted; with it: left to it. */
static void test_a_content_without_its_snapshot(void **state)
{
    (void)state;
    static const struct {
        bool attached, retains;
        const char *sent;
    } rows[] = {{true, true, ""},
                {false, true, "policy/c"},
                {false, false, "delete/volumesnapshotcontents/c"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 * MIB);
        struct call_log call_log = {0};
        struct leftover ours[1] = {{.kind = KIND_CONTENT,
                                    .name = "c",
                                    .uid = "c",
                                    .content = "c",
                                    .content_retains = rows[i].retains,
                                    .policy_ours = true,
                                    .attached = rows[i].attached}};
        struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
        struct clone_state v = {.arena = &a,
                                .now = {1000000, 1000000},
                                .call_log = &call_log,
                                .wukong = &wukong,
                                .ours = ours,
                                .ours_count = 1};
        struct decision d = {.intents = {.arena = &a}};
        assert_int_equal(teardown_remove_snapshots(&v, &d), rows[i].attached);
        assert_string_equal(d.intents.count ? call_name(&d.intents.items[0].key) : "",
                            rows[i].sent);
        call_log_release(&call_log);
    }
}

/* The Wukong's own namespace goes: the guest is thawed and all is removed, though the namespace
   controller has not come to the Wukong yet; and its finalizer does not hold the namespace. */
static void test_its_own_namespace_goes(void **state)
{
    (void)state;
    struct world w = new_world();
    w.storage_stuck = true;
    for (int i = 0; i < 100 && !(w.frozen && w.snapshot[0]); i++)
        run(&w, 1);
    assert_true(w.frozen && w.finalizer);
    w.own_ns_going = true;
    run(&w, 100);
    assert_clean(&w);
    assert_false(w.finalizer || w.vm || w.claim[0]);
    sim_cluster_release(&w);
}

/* While a linked clone lives its copies go, and never the content that holds its parent. */
static void test_copies_alone(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 * MIB);
    struct call_log call_log = {0};
    struct leftover ours[3] = {
        {.kind = KIND_SNAPSHOT, .ns = "ns", .name = "s", .uid = "s", .copy = true},
        {.kind = KIND_CONTENT, .name = "k", .uid = "k", .copy = true},
        {.kind = KIND_CONTENT, .name = "parent", .uid = "parent", .content = "parent"}};
    struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
    struct clone_state v = {.arena = &a,
                            .now = {1000000, 1000000},
                            .call_log = &call_log,
                            .wukong = &wukong,
                            .ours = ours,
                            .ours_count = 3};
    struct decision d = {.intents = {.arena = &a}};
    assert_false(teardown_remove_copies(&v, &d));
    assert_int_equal(d.intents.count, 2);
    assert_string_equal(call_name(&d.intents.items[0].key), "delete/volumesnapshots/s");
    assert_string_equal(call_name(&d.intents.items[1].key), "delete/volumesnapshotcontents/k");
    v.ours = ours + 2;
    v.ours_count = 1;
    d.intents.count = 0;
    assert_true(teardown_remove_copies(&v, &d));
    assert_int_equal(d.intents.count, 0);
    call_log_release(&call_log);
}

static const char *reason_of(const struct world *w, const char *type)
{
    return str_or(json_str(condition(w, type), "reason"), "");
}

/* Past the webhook: the rule's words, at once and for good, and the source is not touched. */
static void test_a_spec_that_nobody_judged(void **state)
{
    (void)state;
    struct world w = new_world();
    w.invalid = "spec.cloneSource.vmiName: Required value";
    run(&w, 50);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_string_equal(w.record.error.reason, "Invalid");
    assert_string_equal(w.record.error.message, w.invalid);
    assert_int_equal(w.freezes, 0);
    assert_false(w.snapshot[0] || w.vm);
    sim_cluster_release(&w);
}

/* What the machine names is waited for before the source is touched, and then it goes on by itself.
 */
static void test_a_need_that_is_missing(void **state)
{
    (void)state;
    struct world w = new_world();
    w.cross = w.missing = true;
    run(&w, 200);
    assert_int_equal(w.freezes, 0);
    assert_false(w.snapshot[0]);
    assert_int_equal(w.record.attempts, 0);
    assert_string_equal(reason_of(&w, "SourceReady"), "DependencyMissing");
    /* It is looked for as seldom as it has been waited for. */
    w.missing = false;
    run(&w, 400);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.freezes, 1);
    sim_cluster_release(&w);
}

/* A quota, somebody's policy: whether it is there cannot be learnt, and the clone goes on, however
   often it has to ask before its turn comes. */
static void test_a_need_that_is_hidden(void **state)
{
    (void)state;
    struct world w = new_world();
    w.cross = w.probe_refused = true;
    run(&w, 200);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.freezes, 1);
    sim_cluster_release(&w);
}

/* Storage that does not let go: after ten minutes an Event names what is left, the clone ends as
   what it is, and does not claim to be clean before it is. */
static void test_what_cannot_be_removed(void **state)
{
    (void)state;
    struct world w = new_world();
    w.snapshots_stay = w.claims_stuck = true;
    w.claim_error = "rpc error: NotFound"; /* given up after two minutes */
    w.retry_limit = 0;
    run(&w, 5 * 240);
    assert_string_equal(reason_of(&w, "TemporariesCleaned"), "CleaningUp");
    assert_int_equal(w.record.phase, PHASE_CLONING);
    run(&w, 5 * 600);
    assert_int_equal(w.leftovers, 1);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_string_equal(reason_of(&w, "TemporariesCleaned"), "CleaningUp");
    assert_true(w.finalizer && w.snapshot[0]);
    w.snapshots_stay = w.snapshot_deleting = false;
    call_log_forget(&w.call_log, CALL_DELETE);
    run(&w, 5 * 60);
    assert_clean(&w);
    assert_false(w.finalizer);
    assert_string_equal(reason_of(&w, "TemporariesCleaned"), "Cleaned");
    sim_cluster_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_a_snapshot_is_deleted),
        cmocka_unit_test(test_the_debt_of_a_thaw_ends),
        cmocka_unit_test(test_the_labels_of_a_cut_are_off),
        cmocka_unit_test(test_a_namespace_that_goes),
        cmocka_unit_test(test_a_content_without_its_snapshot),
        cmocka_unit_test(test_its_own_namespace_goes),
        cmocka_unit_test(test_copies_alone),
        cmocka_unit_test(test_a_spec_that_nobody_judged),
        cmocka_unit_test(test_a_need_that_is_missing),
        cmocka_unit_test(test_a_need_that_is_hidden),
        cmocka_unit_test(test_what_cannot_be_removed),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
