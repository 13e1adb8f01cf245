/*
 * Proves what the state makes of the caches, from objects as the API server shows them: a restarted
 * worker finds the capture on the first snapshot; a capture that somebody damaged is refused and
 * crashes nothing; which snapshots count as cut; that nothing grows without bound.
 */
#include "observed_cluster.h"

/* The source is gone, the worker was restarted: the snapshot alone is enough. */
static void test_capture_from_snapshot(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
    build(&c);
    assert_true(c.state.capture.present);
    assert_int_equal(c.state.disk_count, 1);
    assert_string_equal(c.state.targets[0].claims[0].name, "w-root");
    drop(&c);
}

/* What a snapshot carries means the same for ever: an older worker wrote the number of the method,
   whatever this one's enum says by now. */
static void test_old_captures_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        enum disk_method want;
    } rows[] = {
        {"1", DISK_RESTORE},
        {"2", DISK_CDI_CLONE},
        {"3", DISK_CDI_SNAPSHOT},
        {"4", DISK_CSI_CLONE},
        {"5", DISK_HANDLE_COPY},
        {"\"SnapshotRestore\"", DISK_RESTORE},
        {"\"CDIClone\"", DISK_CDI_CLONE},
        {"\"CDISnapshot\"", DISK_CDI_SNAPSHOT},
        {"\"CSIClone\"", DISK_CSI_CLONE},
        {"\"SnapshotHandleCopy\"", DISK_HANDLE_COPY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *text =
            xasprintf("{\"source\":" SOURCE ",\"disks\":[{\"name\":\"root\",\"volume\":\"root\","
                      "\"claim\":\"src-root\",\"method\":%s,\"pvc\":{}}]}",
                      rows[i].method);
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, text);
        build(&c);
        if (!c.state.capture.present || c.state.disks[0].plan->method != rows[i].want)
            fail_msg("method %s is read as %d", rows[i].method,
                     c.state.capture.present ? (int)c.state.disks[0].plan->method : -1);
        drop(&c);
    }
}

static void test_damaged_capture(void **state)
{
    (void)state;
    static const char *const disks[] = {
        DISK("99", ",\"pvc\":{}"),
        DISK("\"Snapshot\"", ",\"pvc\":{}"),
        DISK("\"\"", ",\"pvc\":{}"),
        DISK("-1", ",\"pvc\":{}"),
        DISK("0", ",\"pvc\":{}"),
        DISK("1", ""),
        DISK("1", ",\"pvc\":7"),
        "{\"method\":1,\"pvc\":{}}",
        "7",
    };
    for (size_t i = 0; i < ARRAY_LEN(disks); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *text = xasprintf("{\"source\":" SOURCE ",\"disks\":[%s]}", disks[i]);
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, text);
        build(&c);
        if (c.state.capture.present || c.state.disk_count || !c.state.capture.refusal)
            fail_msg("accepted: %s", disks[i]);
        drop(&c);
    }
}

/* The point in time is fixed when the content has a time; 0 is a driver's that did not tell one. */
static void test_cut_without_a_time(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        bool cut;
    } rows[] = {{"{}", false},
                {"{'creationTime':0}", false},
                {"{'creationTime':0,'snapshotHandle':'h'}", true},
                {"{'creationTime':1790000000000000000,'snapshotHandle':'h'}", true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *content = xasprintf(
            "{'metadata':{'name':'snapcontent-s1','uid':'k1'},'spec':{'volumeSnapshotRef':{"
            "'uid':'s1','namespace':'ns','name':'" SNAPSHOT "'}},'status':%s}",
            rows[i].status);
        put(&c, KIND_CONTENT, content);
        build(&c);
        assert_int_equal(c.state.disk_count, 1);
        assert_int_equal(c.state.disks[0].snapshot.cut, rows[i].cut);
        drop(&c);
    }
}

/* The rule that the capture holds says what the cut is: a driver that answers before it cuts is
   believed when the snapshot is ready. A capture of an older worker has no rule; one that cannot be
   read is damaged. */
static void test_cut_by_its_rule(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        bool ready, cut, damaged;
    } rows[] = {
        {"", false, true, false},
        {",\"cutRule\":\"Created\"", false, true, false},
        {",\"cutRule\":\"WhileFrozen\"", false, true, false},
        {",\"cutRule\":\"Ready\"", false, false, false},
        {",\"cutRule\":\"Ready\"", true, true, false},
        {",\"cutRule\":\"Perhaps\"", true, false, true},
        {",\"cutRule\":7", true, false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *capture = xasprintf(
            "{\"source\":" SOURCE ",\"disks\":[" DISK("1", "%s,\"pvc\":{}") "]}", rows[i].rule);
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, capture);
        CLEANUP_FREE char *content = xasprintf(
            "{'metadata':{'name':'snapcontent-s1','uid':'k1'},'spec':{'volumeSnapshotRef':{"
            "'uid':'s1','namespace':'ns','name':'" SNAPSHOT "'}},'status':{'snapshotHandle':'h',"
            "'creationTime':1790000000000000000,'readyToUse':%s}}",
            rows[i].ready ? "true" : "false");
        put(&c, KIND_CONTENT, content);
        build(&c);
        assert_int_equal(c.state.capture.refusal != REASON_NONE, rows[i].damaged);
        if (!rows[i].damaged)
            assert_int_equal(c.state.disks[0].snapshot.cut, rows[i].cut);
        drop(&c);
    }
}

/* What the cache keeps of a class is what its rule is made of. */
static void test_classes_with_cut_rules(void **state)
{
    (void)state;
    static const struct {
        const char *class;
        enum cut_rule rule;
        bool slow;
    } rows[] = {
        {"'driver':'csi.example.com'", CUT_RULE_CREATED, false},
        {"'driver':'zfs.csi.openebs.io'", CUT_RULE_READY, false},
        {"'driver':'zfs.csi.openebs.io','parameters':{'wait':'yes'}", CUT_RULE_CREATED, false},
        {"'driver':'driver.longhorn.io','parameters':{'type':'bi'}", CUT_RULE_REFUSE, false},
        {"'driver':'pd.csi.storage.gke.io','parameters':{'snapshot-type':'images'}",
         CUT_RULE_CREATED, true},
        {"'driver':'pxd.portworx.com','parameters':{'csi.openstorage.org/snapshot-type':'cloud'}",
         CUT_RULE_READY, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *class =
            xasprintf("{'metadata':{'name':'k','uid':'k1'},%s}", rows[i].class);
        wukong(&c, OF_VMI, "{}");
        put(&c, KIND_SNAPSHOT_CLASS, class);
        build(&c);
        assert_int_equal(c.state.classes.snapshot_class_count, 1);
        assert_int_equal(c.state.classes.snapshot_classes[0].cut.rule, rows[i].rule);
        assert_int_equal(c.state.classes.snapshot_classes[0].cut.slow, rows[i].slow);
        drop(&c);
    }
}

/* The static rules, on a spec that the CRD's own rules did not see either; not once it has begun.
 */
static void test_a_spec_past_the_webhook(void **state)
{
    (void)state;
    static const char wrong[] = "{'cloneSource':{'type':'vmi','vmName':'src'}}";
    static const struct {
        const char *spec, *status;
        bool invalid;
    } rows[] = {{wrong, "{}", true}, {wrong, PAST_CUT, false}, {OF_VMI, "{}", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, rows[i].spec, rows[i].status);
        build(&c);
        assert_int_equal(c.state.invalid != NULL, rows[i].invalid);
        if (c.state.invalid)
            assert_non_null(strstr(c.state.invalid, "spec.cloneSource.vmiName"));
        drop(&c);
    }
}

static void test_namespaces_that_go(void **state)
{
    (void)state;
    for (int row = 0; row < 3; row++) {
        struct cluster c = {0};
        wukong(&c,
               row ? "{'cloneSource':{'type':'vmi','vmiName':'src','namespace':'there'}}" : OF_VMI,
               "{}");
        CLEANUP_FREE char *ns = xasprintf(
            "{'metadata':{'name':'%s','uid':'n1','deletionTimestamp':'2026-09-21T14:13:00Z'}}",
            row == 1 ? "there" : "ns");
        put(&c, KIND_NAMESPACE, ns);
        build(&c);
        assert_int_equal(c.state.source_ns_terminating, row == 1);
        assert_int_equal(c.state.own_ns_terminating, row != 1);
        drop(&c);
    }
}

/* The copy of the source's snapshot for another namespace, as somebody may have changed it. */
static void put_copy(struct cluster *c, const char *policy, const char *driver, const char *handle)
{
    char name[PVC_NAME_BUF];
    name_content(UID, 1, "root", name);
    CLEANUP_FREE char *content = xasprintf(
        "{'metadata':{'name':'%s','uid':'c2','labels':{" MADE ":'" UID
        "','vm.novasphere.dev/attempt':'1'}},'spec':{'deletionPolicy':'%s','driver':'%s','source':{"
        "'snapshotHandle':'%s'},'volumeSnapshotRef':{'namespace':'ns','name':'" SNAPSHOT
        "','uid':'v2'}},'status':{'snapshotHandle':'%s'}}",
        name, policy, driver, handle, handle);
    CLEANUP_FREE char *snapshot = xasprintf(
        "{'metadata':{'name':'" SNAPSHOT "','namespace':'ns','uid':'v2','labels':{" MADE ":'" UID
        "','vm.novasphere.dev/attempt':'1'}},'spec':{'source':{'volumeSnapshotContentName':'%s'}},"
        "'status':{'readyToUse':true,'boundVolumeSnapshotContentName':'%s'}}",
        name, name);
    put(c, KIND_CONTENT, content);
    put(c, KIND_SNAPSHOT, snapshot);
}

static void test_changed_copies(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *driver, *handle, *changed;
    } rows[] = {
        {"Retain", "csi.x", "h-1", NULL},
        {"Delete", "csi.x", "h-1", "would delete the source's snapshot"},
        {"Retain", "csi.y", "h-1", "another driver"},
        {"Retain", "csi.x", "h-2", "another snapshot handle"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        const struct cache_reader caches = {get, each, served, &c};
        struct disk_plan plan = {.name = "root", .method = DISK_HANDLE_COPY};
        struct disk_state disk = {.plan = &plan, .snapshot = {.handle = "h-1", .driver = "csi.x"}};
        wukong(&c, "{'cloneSource':{'type':'vmi','vmiName':'src','namespace':'there'}}", PAST_CUT);
        put_copy(&c, rows[i].policy, rows[i].driver, rows[i].handle);
        build(&c);
        c.state.disks = &disk;
        c.state.disk_count = 1;
        observe_copies(&c.state, &caches);
        assert_int_equal(disk.copy.bound, !rows[i].changed);
        if (rows[i].changed)
            assert_non_null(strstr(str_or(disk.copy.changed, "-"), rows[i].changed));
        else
            assert_null(disk.copy.changed);
        c.state.disks = NULL;
        c.state.disk_count = 0;
        drop(&c);
    }
}

/* The Events of a run after the retry annotation are others than those of the run before, and one
   of each thing that it has to say the same of. */
static void test_event_names(void **state)
{
    (void)state;
    static const char *const tokens[] = {NULL, "again", "again", "once more", NULL, NULL, NULL};
    static const char *const about[ARRAY_LEN(tokens)] = {[4] = "root", [5] = "data", [6] = "root"};
    char names[ARRAY_LEN(tokens)][64];
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        build(&c);
        struct decision d = {.intents = {.arena = &c.arena}};
        c.state.record.retry_token = tokens[i];
        create_event_about(&c.state, &d, true, "AttemptFailed", about[i], "why");
        (void)snprintf(names[i], sizeof names[i], "%s", d.intents.items[0].name);
        drop(&c);
    }
    assert_string_equal(names[0], "w-11111111-attemptfailed-1");
    assert_string_equal(names[1], names[2]);
    assert_string_not_equal(names[0], names[1]);
    assert_string_not_equal(names[1], names[3]);
    assert_string_not_equal(names[0], names[4]);
    assert_string_not_equal(names[4], names[5]);
    assert_string_equal(names[4], names[6]);
}

/* A capture as large as an object may be, a hundred times: a few bodies in each look, and none is
   made twice. */
static void test_many_large_bodies(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf capture = BUF_INIT(2 * MIB);
    struct cluster c = {0};
    buf_adds(&capture, "{\"source\":{\"metadata\":{\"annotations\":{\"vm.kubevirt.io/a\":\"");
    for (unsigned i = 0; i < 136 * KIB; i++)
        buf_addc(&capture, 'a');
    buf_adds(&capture,
             "\"}},\"spec\":{\"template\":{\"spec\":{\"domain\":{\"devices\":{}},"
             "\"volumes\":[{\"name\":\"root\",\"persistentVolumeClaim\":{"
             "\"claimName\":\"src-root\"}}]}}}},\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
    wukong(&c, "{'cloneSource':{'type':'vmi','vmiName':'src'},'replicas':100}", PAST_CUT);
    carrier(&c, capture.data);
    size_t made = 0;
    for (int look = 0; look < 8 && made < 100; look++) {
        build(&c);
        assert_true(c.state.capture.present);
        struct decision d = {.intents = {.arena = &c.arena}};
        for (size_t t = 0; t < c.state.target_count; t++)
            create_vm(&c.state, &d, &c.state.targets[t]);
        assert_false(arena_full(&c.arena));
        assert_true(d.intents.count > 0);
        for (size_t i = 0; i < d.intents.count; i++) {
            assert_non_null(d.intents.items[i].body);
            call_log_get(&c.call_log, d.intents.items[i].key)->state = CALL_FLYING;
        }
        made += d.intents.count;
        assert_int_equal(d.again_ms != 0, made < 100);
        clone_state_release(&c.state);
        arena_release(&c.arena);
    }
    assert_int_equal(made, 100);
    drop(&c);
}

/* etcd takes 1.5 MiB, and managedFields name each clone of a list once more. */
static void test_largest_status(void **state)
{
    (void)state;
    struct cluster c = {0};
    CLEANUP_BUF struct buf disks = BUF_INIT(MIB), out = BUF_INIT(4 * MIB);
    buf_adds(&disks, "{\"source\":" SOURCE ",\"disks\":[");
    for (unsigned i = 0; i < LIMIT_DISKS; i++)
        buf_addf(
            &disks,
            "%s{\"name\":\"a-disk-with-a-name-of-some-forty-characters-%02u\",\"volume\":\"v%u\","
            "\"claim\":\"c%u\",\"method\":1,\"pvc\":{}}",
            i ? "," : "", i, i, i);
    buf_adds(&disks, "]}");
    wukong(&c, "{'cloneSource':{'type':'vmi','vmiName':'src'},'replicas':100}", PAST_CUT);
    carrier(&c, disks.data);
    build(&c);
    assert_int_equal(c.state.disk_count, LIMIT_DISKS);
    assert_int_equal(c.state.target_count, 100);
    struct decision d = {
        .intents = {.arena = &c.arena}, .record = c.state.record, .phase = "Creating"};
    status_write(&c.state, &d, &out);
    assert_true(buf_ok(&out));
    assert_true(out.len < 512 * KIB);
    drop(&c);
}

/* The look is thrown away, the record stays, and the user is told. */
static void test_too_large(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    build(&c);
    struct decision d = {.intents = {.arena = &c.arena}};
    clone_too_large(&c.state, &d);
    assert_int_equal(d.conditions[COND_READY].reason, REASON_TOO_LARGE);
    assert_int_equal(d.record.attempt.cut_ms, c.state.record.attempt.cut_ms);
    assert_int_equal(d.intents.count, 0);
    assert_true(d.again_ms > NOW);
    drop(&c);
}

/* A thousand clones that wait for an admin make a thousand requests a minute at most: a look costs
   some eight (machine, instance, revision, claims, dry runs). */
static void test_waits_grow(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, "{}");
    build(&c);
    const int64_t minute = 60000;
    int64_t at = c.state.wukong->created_ms;
    size_t looks = 0, late = 0;
    while (at < c.state.wukong->created_ms + 60 * minute) {
        c.state.now.wall_ms = at;
        int64_t wait = clone_wait_ms(&c.state);
        assert_in_range(wait, WAIT_POLL_MS, WAIT_POLL_MAX_MS * 5 / 4);
        at += wait;
        looks++;
        late += at > c.state.wukong->created_ms + 30 * minute;
    }
    assert_in_range(looks, 6, 16);
    assert_true(late * 8 * 1000 / 30 <= 1000);
    drop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_grow),
        cmocka_unit_test(test_many_large_bodies),
        cmocka_unit_test(test_largest_status),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_capture_from_snapshot),
        cmocka_unit_test(test_old_captures_are_read),
        cmocka_unit_test(test_damaged_capture),
        cmocka_unit_test(test_cut_without_a_time),
        cmocka_unit_test(test_cut_by_its_rule),
        cmocka_unit_test(test_classes_with_cut_rules),
        cmocka_unit_test(test_a_spec_past_the_webhook),
        cmocka_unit_test(test_namespaces_that_go),
        cmocka_unit_test(test_changed_copies),
        cmocka_unit_test(test_event_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
