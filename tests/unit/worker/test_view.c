/*
 * Proves what the view makes of the caches, from objects as the API server shows them: a restarted
 * worker finds the capture on the first snapshot; a capture that somebody damaged is refused and
 * crashes nothing; a claim's own Events are all that is looked at; CDI's DataVolume stands for its
 * claim; whose a machine is; that a source which ran in between is not forgotten.
 */
#include "view_cluster.h"

static void carrier(struct cluster *c, const char *capture)
{
    put(c, KIND_SNAPSHOT,
        "{'metadata':{'name':'" SNAPSHOT "','namespace':'ns','uid':'s1','labels':{" MADE ":'" UID
        "','vm.novasphere.dev/attempt':'1',"
        "'vm.novasphere.dev/disk-index':'0'}},'spec':{},'status':{}}");
    struct call *call = memo_slot(&c->memo, "read/carrier/" SNAPSHOT);
    cJSON *tree = cJSON_CreateObject();
    cJSON *meta = cJSON_AddObjectToObject(tree, "metadata");
    cJSON *notes = cJSON_AddObjectToObject(meta, "annotations");
    (void)cJSON_AddStringToObject(meta, "name", SNAPSHOT);
    (void)cJSON_AddStringToObject(notes, "vm.novasphere.dev/source-spec", capture);
    call->state = CALL_OK;
    call->body = json_print(tree);
    call->body_len = strlen(call->body);
    call->done_ms = NOW;
    cJSON_Delete(tree);
}

/* The source is gone, the worker was restarted: the snapshot alone is enough. */
static void test_capture_from_snapshot(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
    build(&c);
    assert_true(c.view.capture.present);
    assert_int_equal(c.view.disk_count, 1);
    assert_string_equal(c.view.targets[0].claims[0].name, "w-root");
    drop(&c);
}

static void test_damaged_capture(void **state)
{
    (void)state;
    static const char *const disks[] = {
        DISK("99", ",\"pvc\":{}"),
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
        if (c.view.capture.present || c.view.disk_count || !c.view.capture.refusal)
            fail_msg("accepted: %s", disks[i]);
        drop(&c);
    }
}

/* CDI: the claim is bound long before its data are there, and the DataVolume is what is owned. */
static void test_data_volume(void **state)
{
    (void)state;
    static const char *const phases[] = {"CloneInProgress", "Succeeded"};
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *dv =
            xasprintf("{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{" MADE
                      ":'" UID "'}},'status':{'phase':'%s',"
                      "'progress':'45.00%%'}}",
                      phases[i]);
        put(&c, KIND_DATA_VOLUME, dv);
        put(&c, KIND_PVC,
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','ownerReferences':[{"
            "'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
            "'spec':{},'status':{'phase':'Bound'}}");
        build(&c);
        const struct seen_claim *s = &c.view.targets[0].claims[0];
        assert_true(s->exists && s->ours && s->data_volume && s->sourced);
        assert_false(s->owned);
        assert_string_equal(s->owner_target, "dv1");
        assert_int_equal(s->done_percent, i == 1 ? 100 : 45);
        assert_int_equal(s->bound, i == 1);
        assert_false(s->host_copied);
        drop(&c);
    }
    /* The claim is in the cache before its DataVolume: it is neither empty nor filled. */
    struct cluster early = {0};
    wukong(&early, OF_VMI, PAST_CUT);
    carrier(&early, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
    put(&early, KIND_PVC,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE ":'" UID
        "'},'ownerReferences':[{"
        "'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
        "'spec':{},'status':{'phase':'Bound'}}");
    build(&early);
    const struct seen_claim *first = &early.view.targets[0].claims[0];
    assert_true(first->exists && first->sourced);
    assert_false(first->bound);
    drop(&early);
    /* CDI's silent fallback to a copy of every byte is told, with CDI's reason. */
    struct cluster copied = {0};
    wukong(&copied, OF_VMI, PAST_CUT);
    carrier(&copied, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
    put(&copied, KIND_DATA_VOLUME,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{" MADE ":'" UID
        "'}},'status':{'phase':'CloneInProgress'}}");
    put(&copied, KIND_PVC,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','annotations':{"
        "'cdi.kubevirt.io/cloneType':'copy',"
        "'cdi.kubevirt.io/cloneFallbackReason':'No compatible volumesnapshotclass found'},"
        "'ownerReferences':[{'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
        "'spec':{},'status':{'phase':'Pending'}}");
    build(&copied);
    const struct seen_claim *slow = &copied.view.targets[0].claims[0];
    assert_true(slow->host_copied);
    assert_string_equal(slow->fallback, "No compatible volumesnapshotclass found");
    struct decision d = {.intents = {.arena = &copied.arena}};
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    status_write(&copied.view, &d, &text);
    assert_non_null(strstr(text.data, "\"method\":\"CDIHostCopy\""));
    drop(&copied);
    /* A foreign claim under a DataVolume's name is not ours. */
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
    put(&c, KIND_PVC,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1'},'spec':{},"
        "'status':{'phase':'Bound'}}");
    build(&c);
    assert_true(c.view.targets[0].claims[0].exists);
    assert_false(c.view.targets[0].claims[0].ours);
    drop(&c);
}

/* Of the claim's and the DataVolume's watch the first may be seconds ahead. What the claim is owned
   by is CDI's own: the machine owns the DataVolume, or that outlives the clone. A claim that binds
   with its first consumer is not awaited, so nothing but the owner tells that the DataVolume is yet
   to be seen. */
static void test_data_volume_seen_late(void **state)
{
    (void)state;
    static const char *const modes[] = {"WaitForFirstConsumer", "Immediate"};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct cluster c = {0};
        struct why why = {0};
        wukong(&c,
               "{'cloneSource':{'type':'vmi','vmiName':'src'},"
               "'startStrategy':{'autoStart':false}}",
               PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE
                    ",\"disks\":[" DISK("2", ",\"storageClass\":\"late\",\"pvc\":{}") "]}");
        CLEANUP_FREE char *class = xasprintf("{'metadata':{'name':'late','uid':'c1'},"
                                             "'provisioner':'d','volumeBindingMode':'%s'}",
                                             modes[i]);
        put(&c, KIND_STORAGE_CLASS, class);
        put(&c, KIND_VM,
            "{'metadata':{'name':'w-vm','namespace':'ns','uid':'m1','labels':{" MADE ":'" UID
            "'}},'spec':{}}");
        put(&c, KIND_PVC,
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE ":'" UID
            "'},'ownerReferences':[{"
            "'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
            "'spec':{},'status':{'phase':'Pending'}}");
        build(&c);
        struct decision early = {.intents = {.arena = &c.arena}};
        assert_int_equal(observe_ready(&c.view, &why), STEP_WAIT);
        assert_non_null(strstr(why.message, "DataVolume"));
        apply_ready(&c.view, &early);
        assert_int_equal(early.intents.count, 0);
        view_release(&c.view);
        arena_release(&c.arena);
        put(&c, KIND_DATA_VOLUME,
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{" MADE ":'" UID
            "'}},'status':{'phase':'WaitForFirstConsumer'}}");
        build(&c);
        struct decision seen = {.intents = {.arena = &c.arena}};
        assert_int_equal(observe_ready(&c.view, &why), STEP_TODO);
        apply_ready(&c.view, &seen);
        assert_int_equal(seen.intents.count, 1);
        assert_string_equal(seen.intents.items[0].key, "own/dv1");
        assert_ptr_equal(seen.intents.items[0].kind, &worker_kinds[KIND_DATA_VOLUME]);
        drop(&c);
    }
}

/* A claim that somebody else made under that name is there, and no progress of ours. */
static void test_strangers_claim(void **state)
{
    (void)state;
    for (int ours = 0; ours <= 1; ours++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *claim =
            xasprintf("{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE
                      ":'%s'}},'spec':{},'status':{'phase':'Bound'}}",
                      ours ? UID : "another");
        put(&c, KIND_PVC, claim);
        build(&c);
        const struct seen_claim *s = &c.view.targets[0].claims[0];
        assert_true(s->exists);
        assert_int_equal(s->ours, ours);
        assert_int_equal(s->bound, ours);
        assert_int_equal(s->done_percent, ours ? 100 : 0);
        drop(&c);
    }
}

/* The last Event of a claim tells why it is not bound. However many claims of others fail, only its
   own Events are looked at. */
static void test_claim_events(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
    put(&c, KIND_PVC,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE ":'" UID
        "'}},'spec':{},"
        "'status':{'phase':'Pending'}}");
    for (int i = 0; i < 40; i++) {
        CLEANUP_FREE char *event = xasprintf(
            "{'metadata':{'name':'e%d','namespace':'ns','uid':'e%d'},'message':'message %d',"
            "'involvedObject':{'name':'w-root','uid':'%s'}}",
            i, i, i, i == 10 || i == 20 ? "p1" : "another");
        put(&c, KIND_CLAIM_EVENT, event);
    }
    build(&c);
    assert_string_equal(c.view.targets[0].claims[0].error, "message 20");
    assert_int_equal(c.visits[KIND_CLAIM_EVENT], 2);
    drop(&c);
}

/* What CDI says of a DataVolume: a step that fails (Running), a claim that it does not make (Bound,
   while there is none); that a claim waits for its volume is no error. */
static void test_data_volume_error(void **state)
{
    (void)state;
    static const struct {
        const char *condition, *want;
        bool claim;
    } rows[] = {
        {"'type':'Running','status':'False','reason':'Error','message':'exceeded quota: q'",
         "exceeded quota: q", true},
        {"'type':'Running','status':'False','reason':'Pending','message':'Clone Pending'", NULL,
         true},
        {"'type':'Running','status':'True','reason':'Populator is running','message':''", NULL,
         true},
        {"'type':'Bound','status':'False','reason':'ErrClaimNotValid','message':'no accessMode'",
         "no accessMode", false},
        {"'type':'Bound','status':'False','reason':'CloneWithoutSource','message':''",
         "CloneWithoutSource", false},
        {"'type':'Bound','status':'False','reason':'NotFound','message':'No PVC found'", NULL,
         false},
        {"'type':'Bound','status':'False','reason':'Pending','message':'PVC Pending'", NULL, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *dv =
            xasprintf("{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{" MADE
                      ":'" UID "'}},'status':{'conditions':[{%s}]}}",
                      rows[i].condition);
        put(&c, KIND_DATA_VOLUME, dv);
        if (rows[i].claim)
            put(&c, KIND_PVC,
                "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','ownerReferences':[{"
                "'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
                "'spec':{},'status':{'phase':'Pending'}}");
        /* The provisioner's Events on the same claim say less than CDI does. */
        if (rows[i].claim && rows[i].want)
            put(&c, KIND_CLAIM_EVENT,
                "{'metadata':{'name':'e','namespace':'ns','uid':'e'},'message':'object has been "
                "modified','involvedObject':{'name':'w-root','uid':'p1'}}");
        build(&c);
        const char *got = c.view.targets[0].claims[0].error;
        if (!str_eq(got, rows[i].want) && (got || rows[i].want))
            fail_msg("row %zu: %s", i, str_or(got, "no error"));
        drop(&c);
    }
}

static void test_earlier_claim(void **state)
{
    (void)state;
    for (int attempt = 1; attempt <= 2; attempt++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *pvc =
            xasprintf("{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE
                      ":'" UID "','vm.novasphere.dev/attempt':'%d'}},"
                      "'spec':{'dataSource':{}},'status':{'phase':'Bound'}}",
                      attempt);
        put(&c, KIND_PVC, pvc);
        build(&c);
        assert_int_equal(c.view.targets[0].claims[0].earlier, attempt == 2);
        drop(&c);
    }
}

static void test_machine_owner(void **state)
{
    (void)state;
    static const struct {
        const char *owners;
        bool owned, other;
    } rows[] = {
        {"[{'kind':'Wukong','name':'w','uid':'" UID "','controller':true}]", true, false},
        {"[{'kind':'VirtualMachinePool','name':'p','uid':'x','controller':true}]", false, true},
        {"[]", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, "{'cloneStatus':{'phase':'Succeeded','attempts':1}}");
        CLEANUP_FREE char *vm =
            xasprintf("{'metadata':{'name':'w-vm','namespace':'ns','uid':'v1','labels':{" MADE
                      ":'" UID "'},'ownerReferences':%s},'spec':{}}",
                      rows[i].owners);
        put(&c, KIND_VM, vm);
        build(&c);
        assert_true(c.view.targets[0].vm.ours);
        assert_int_equal(c.view.targets[0].vm.owned, rows[i].owned);
        assert_int_equal(c.view.targets[0].vm.owned_by_other, rows[i].other);
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
        assert_int_equal(c.view.disk_count, 1);
        assert_int_equal(c.view.disks[0].snapshot.cut, rows[i].cut);
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
        assert_int_equal(c.view.capture.refusal != REASON_NONE, rows[i].damaged);
        if (!rows[i].damaged)
            assert_int_equal(c.view.disks[0].snapshot.cut, rows[i].cut);
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
        assert_int_equal(c.view.classes.snapshot_class_count, 1);
        assert_int_equal(c.view.classes.snapshot_classes[0].cut.rule, rows[i].rule);
        assert_int_equal(c.view.classes.snapshot_classes[0].cut.slow, rows[i].slow);
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
        assert_int_equal(c.view.invalid != NULL, rows[i].invalid);
        if (c.view.invalid)
            assert_non_null(strstr(c.view.invalid, "spec.cloneSource.vmiName"));
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
        assert_int_equal(c.view.source_ns_terminating, row == 1);
        assert_int_equal(c.view.own_ns_terminating, row != 1);
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
        const struct caches caches = {get, each, served, &c};
        struct disk_plan plan = {.name = "root", .method = DISK_HANDLE_COPY};
        struct view_disk disk = {.plan = &plan, .snapshot = {.handle = "h-1", .driver = "csi.x"}};
        wukong(&c, "{'cloneSource':{'type':'vmi','vmiName':'src','namespace':'there'}}", PAST_CUT);
        put_copy(&c, rows[i].policy, rows[i].driver, rows[i].handle);
        build(&c);
        c.view.disks = &disk;
        c.view.disk_count = 1;
        view_see_copies(&c.view, &caches);
        assert_int_equal(disk.copy.bound, !rows[i].changed);
        if (rows[i].changed)
            assert_non_null(strstr(str_or(disk.copy.changed, "-"), rows[i].changed));
        else
            assert_null(disk.copy.changed);
        c.view.disks = NULL;
        c.view.disk_count = 0;
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
        c.view.record.retry_token = tokens[i];
        body_event_about(&c.view, &d, true, "AttemptFailed", about[i], "why");
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

/* Backup software thaws whoever froze: what the guest's status shows before our own thaw counts. */
static void test_thawed_by_others(void **state)
{
    (void)state;
    static const struct {
        const char *name, *status;
        bool shown, thaw_sent, seen_thawed;
    } rows[] = {
        {"not shown yet", "", false, false, false},
        {"frozen", "'fsFreezeStatus':'frozen',", false, false, false},
        {"frozen before, now not", "", true, false, true},
        {"our own thaw", "", true, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI,
               "{'cloneStatus':{'phase':'Cloning','attempts':1,'sourceUID':'u1','sourceVMI':'src',"
               "'freeze':{'vmiUID':'u1','requestedTime':'2026-09-21T14:13:00.000Z',"
               "'deadlineTime':'2026-09-21T14:14:00.000Z'}}}");
        CLEANUP_FREE char *vmi =
            xasprintf("{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{},"
                      "'status':{%s'phase':'Running'}}",
                      rows[i].status);
        put(&c, KIND_VMI, vmi);
        c.memo.freeze_shown_ms = rows[i].shown ? NOW - 5000 : 0;
        if (rows[i].thaw_sent) {
            char key[64];
            int64_t requested = 0;
            assert_true(str_to_time_ms("2026-09-21T14:13:00.000Z", &requested));
            (void)snprintf(key, sizeof key, "thaw/%lld", (long long)requested);
            memo_slot(&c.memo, key)->state = CALL_FLYING;
        }
        build(&c);
        if ((c.memo.foreign_thaw_ms == NOW) != rows[i].seen_thawed ||
            (c.memo.freeze_shown_ms == NOW) != (*rows[i].status != '\0'))
            fail_msg("%s: shown %lld, thawed %lld", rows[i].name, (long long)c.memo.freeze_shown_ms,
                     (long long)c.memo.foreign_thaw_ms);
        drop(&c);
    }
}

/* A stopped source that is started and stopped again before its snapshots are cut: what is seen
   then looks as at the beginning, and some of them are of a running machine. */
static void test_source_ran_in_between(void **state)
{
    (void)state;
    static const char *const types[] = {"linked", "full"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct cluster c = {0};
        struct why why = {0};
        CLEANUP_FREE char *spec = xasprintf("{'cloneSource':{'type':'vm','vmName':'src',"
                                            "'cloneType':'%s'}}",
                                            types[i]);
        wukong(&c, spec,
               "{'cloneStatus':{'phase':'Cloning','attempts':1,'sourceUID':'v1','sourceVMI':'src',"
               "'attemptTime':'2026-09-21T14:13:00.000Z'}}");
        put(&c, KIND_VM, "{'metadata':{'name':'src','namespace':'ns','uid':'v1'},'spec':{}}");
        put(&c, KIND_VMI,
            "{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{},"
            "'status':{'phase':'Running'}}");
        build(&c);
        assert_int_equal(observe_source(&c.view, &why), STEP_FAILED);
        view_release(&c.view);
        arena_release(&c.arena);
        free(c.items[--c.count].object);
        build(&c);
        assert_int_equal(observe_source(&c.view, &why), STEP_FAILED);
        /* It says nothing of an attempt that began later. */
        c.view.record.attempt_ms = NOW + 1;
        assert_int_equal(observe_source(&c.view, &why), STEP_DONE);
        drop(&c);
    }
}

/* What KubeVirt does to a source, as the caches have it; what changes the data of its claims is not
   forgotten when it is over. */
static void test_who_holds_the_source(void **state)
{
    (void)state;
    static const struct {
        const char *vmi, *vm; /* status */
        enum hold hold;
    } rows[] = {
        {"'migratedVolumes':[{'volumeName':'root'}]", "", HOLD_VOLUMES},
        {"'migratedVolumes':[],'conditions':[{'type':'VolumesChange','status':'True'}]", "",
         HOLD_VOLUMES},
        {"'conditions':[{'type':'VolumesChange','status':'False'}]", "", HOLD_NONE},
        {"'conditions':[{'type':'OverlaySnapshotActive','status':'True'}]", "", HOLD_OVERLAY},
        {"'phase':'Running'", "'restoreInProgress':'back'", HOLD_RESTORE},
        {"'phase':'Running'", "'snapshotInProgress':'nightly'", HOLD_SNAPSHOT},
        {"'changedBlockTracking':{'backupStatus':{'backupName':'b'}}", "", HOLD_BACKUP},
        {"'changedBlockTracking':{'backupStatus':{'backupName':'b','completed':true}}", "",
         HOLD_NONE},
        {"'changedBlockTracking':{'state':'Enabled'}", "", HOLD_NONE},
        {"'migrationState':{'startTimestamp':'x'}", "", HOLD_MIGRATION},
        {"'migrationState':{'startTimestamp':'x','completed':true}", "", HOLD_NONE},
        {"'phase':'Running'", "'conditions':[{'type':'VolumesChange','status':'True'}]", HOLD_NONE},
        {"'phase':'Failed','migratedVolumes':[{}]",
         "'conditions':[{'type':'VolumesChange','status':'True'}]", HOLD_RECOVERY},
        {"'phase':'Failed'", "'conditions':[{'type':'ManualRecoveryRequired','status':'True'}]",
         HOLD_RECOVERY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *vmi = xasprintf("{'metadata':{'name':'src','namespace':'ns','uid':'u1'},"
                                           "'spec':{},'status':{%s}}",
                                           rows[i].vmi);
        CLEANUP_FREE char *vm = xasprintf("{'metadata':{'name':'src','namespace':'ns','uid':'v1'},"
                                          "'spec':{},'status':{%s}}",
                                          rows[i].vm);
        wukong(&c, "{'cloneSource':{'type':'vm','vmName':'src','cloneType':'running'}}",
               "{'cloneStatus':{'phase':'Cloning','attempts':1,'sourceUID':'u1','sourceVMI':'src',"
               "'attemptTime':'2026-09-21T14:13:00.000Z'}}");
        put(&c, KIND_VM, vm);
        put(&c, KIND_VMI, vmi);
        build(&c);
        enum hold hold = holds_first(&c.view.source.holds, true);
        if (hold != rows[i].hold)
            fail_msg("row %zu: %d", i, (int)hold);
        assert_int_equal(c.memo.spoiled_ms == NOW, hold_spoils(hold));
        drop(&c);
    }
}

static void read_as(struct cluster *c, const char *key, const char *json)
{
    struct call *call = memo_slot(&c->memo, key);
    call->state = CALL_OK;
    call->done_ms = NOW;
    call->body = xstrdup(json);
    call->body_len = strlen(json);
    for (char *p = call->body; *p; p++)
        if (*p == '\'')
            *p = '"';
}

/* A claim that is not bound has nothing to be cut: no guest is frozen for it. What may be written
   by others is known of each disk. */
static void test_claim_not_bound(void **state)
{
    (void)state;
    static const char *const phases[] = {"Pending", "Bound"};
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        struct cluster c = {0};
        struct why why = {0};
        CLEANUP_FREE char *claim =
            xasprintf("{'metadata':{'name':'src-root'},'spec':{'storageClassName':'fast',"
                      "'resources':{'requests':{'storage':'1Gi'}}},'status':{'phase':'%s',"
                      "'capacity':{'storage':'1Gi'}}}",
                      phases[i]);
        wukong(&c, OF_VMI, "{}");
        put(&c, KIND_STORAGE_CLASS,
            "{'metadata':{'name':'fast','uid':'c1'},'provisioner':'d.csi'}");
        put(&c, KIND_SNAPSHOT_CLASS,
            "{'metadata':{'name':'snap','uid':'c2'},'driver':'d.csi','deletionPolicy':'Delete'}");
        put(&c, KIND_CSI_DRIVER, "{'metadata':{'name':'d.csi','uid':'c3'}}");
        put(&c, KIND_VMI,
            "{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{},'status':{"
            "'phase':'Running'}}");
        read_as(&c, "read/vmi/src",
                "{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{'domain':{"
                "'devices':{'disks':[{'name':'root','disk':{},'shareable':true}]}},'volumes':[{"
                "'name':'root','persistentVolumeClaim':{'claimName':'src-root'}}]},"
                "'status':{'phase':'Running'}}");
        read_as(&c, "read/claim/src-root", claim);
        build(&c);
        if (i == 0) {
            assert_int_equal(observe_preflight(&c.view, &why), STEP_WAIT);
            assert_int_equal(why.reason, REASON_DISK_UNSUITABLE);
            assert_non_null(strstr(why.message, "src-root is not bound"));
        } else {
            assert_int_equal(c.view.disk_count, 1);
            assert_true(c.view.disks[0].plan->shared);
        }
        drop(&c);
    }
}

/* Others of the same source learn of a VirtualMachineSnapshot from its announcement to the cut. */
static void test_vm_snapshot_is_known_to_others(void **state)
{
    (void)state;
    static const struct {
        const char *method, *status;
        bool expected;
    } rows[] = {
        {"VirtualMachineSnapshot", "'attempts':1,'sourceUID':'u1','phase':'Cloning'", true},
        {"VirtualMachineSnapshot", "'attempts':1,'phase':'Cloning'", false},
        {"VolumeSnapshot", "'attempts':1,'sourceUID':'u1','phase':'Cloning'", false},
        {"VirtualMachineSnapshot", "'attempts':1,'sourceUID':'u1','phase':'Failed'", false},
        {"VirtualMachineSnapshot",
         "'attempts':1,'sourceUID':'u1','phase':'Cloning',"
         "'cutTime':'2026-09-21T14:13:00.000Z'",
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        struct entries all = {0};
        CLEANUP_FREE char *spec = xasprintf("{'cloneSource':{'type':'vmi','vmiName':'src',"
                                            "'snapshotMethod':'%s'}}",
                                            rows[i].method);
        CLEANUP_FREE char *status = xasprintf("{'cloneStatus':{%s}}", rows[i].status);
        wukong(&c, spec, status);
        arena_init(&c.arena, 4096);
        struct entry *e = entries_add(&all, "ns", "w", UID);
        (void)entries_summarise(&all, e, get(&c, KIND_WUKONG, "ns", "w"));
        if (e->vm_snapshot != rows[i].expected)
            fail_msg("%s, %s", rows[i].method, rows[i].status);
        entries_release(&all);
        drop(&c);
    }
}

/* Its agent is not seen, which must not pass for a guest without one. Other objects are as they
 * are.
 */
static void test_unreadable_source(void **state)
{
    (void)state;
    struct cluster c = {0};
    struct err err = {0};
    CLEANUP_BUF struct buf text = BUF_INIT(8192);
    buf_adds(&text, "{\"metadata\":{\"name\":\"src\",\"namespace\":\"ns\",\"uid\":\"u1\"},"
                    "\"status\":{\"phase\":\"Running\",\"conditions\":");
    for (int i = 0; i < 101; i++)
        buf_addc(&text, '[');
    for (int i = 0; i < 101; i++)
        buf_addc(&text, ']');
    buf_adds(&text, "}}");
    wukong(&c, OF_VMI, "{}");
    assert_int_equal(kube_object_read(&worker_kinds[KIND_VMI], text.data, text.len,
                                      &c.items[c.count].object, &err),
                     0);
    c.items[c.count++].kind = KIND_VMI;
    build(&c);
    assert_true(c.view.source.vmi_exists);
    struct decision d = {.intents = {.arena = &c.arena}};
    clone_decide(&c.view, &d);
    assert_int_equal(d.conditions[COND_SOURCE_READY].reason, REASON_OBJECT_UNREADABLE);
    assert_non_null(strstr(d.conditions[COND_SOURCE_READY].message,
                           "VirtualMachineInstance ns/src cannot be read"));
    drop(&c);
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
        assert_true(c.view.capture.present);
        struct decision d = {.intents = {.arena = &c.arena}};
        for (size_t t = 0; t < c.view.target_count; t++)
            body_create_vm(&c.view, &d, &c.view.targets[t]);
        assert_false(arena_full(&c.arena));
        assert_true(d.intents.count > 0);
        for (size_t i = 0; i < d.intents.count; i++) {
            assert_non_null(d.intents.items[i].body);
            memo_slot(&c.memo, d.intents.items[i].key)->state = CALL_FLYING;
        }
        made += d.intents.count;
        assert_int_equal(d.again_ms != 0, made < 100);
        view_release(&c.view);
        arena_release(&c.arena);
    }
    assert_int_equal(made, 100);
    drop(&c);
}

/* etcd takes 1.5 MiB, and managedFields name each entry of a list once more. */
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
    assert_int_equal(c.view.disk_count, LIMIT_DISKS);
    assert_int_equal(c.view.target_count, 100);
    struct decision d = {
        .intents = {.arena = &c.arena}, .record = c.view.record, .phase = "Creating"};
    status_write(&c.view, &d, &out);
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
    clone_too_large(&c.view, &d);
    assert_int_equal(d.conditions[COND_READY].reason, REASON_TOO_LARGE);
    assert_int_equal(d.record.cut_ms, c.view.record.cut_ms);
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
    int64_t at = c.view.wukong->created_ms;
    size_t looks = 0, late = 0;
    while (at < c.view.wukong->created_ms + 60 * minute) {
        c.view.now.wall_ms = at;
        int64_t wait = view_wait_ms(&c.view);
        assert_in_range(wait, WAIT_POLL_MS, WAIT_POLL_MAX_MS * 5 / 4);
        at += wait;
        looks++;
        late += at > c.view.wukong->created_ms + 30 * minute;
    }
    assert_in_range(looks, 6, 16);
    assert_true(late * 8 * 1000 / 30 <= 1000);
    drop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unreadable_source),
        cmocka_unit_test(test_waits_grow),
        cmocka_unit_test(test_many_large_bodies),
        cmocka_unit_test(test_largest_status),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_capture_from_snapshot),
        cmocka_unit_test(test_damaged_capture),
        cmocka_unit_test(test_data_volume),
        cmocka_unit_test(test_data_volume_seen_late),
        cmocka_unit_test(test_strangers_claim),
        cmocka_unit_test(test_claim_events),
        cmocka_unit_test(test_data_volume_error),
        cmocka_unit_test(test_earlier_claim),
        cmocka_unit_test(test_machine_owner),
        cmocka_unit_test(test_cut_without_a_time),
        cmocka_unit_test(test_cut_by_its_rule),
        cmocka_unit_test(test_classes_with_cut_rules),
        cmocka_unit_test(test_a_spec_past_the_webhook),
        cmocka_unit_test(test_namespaces_that_go),
        cmocka_unit_test(test_changed_copies),
        cmocka_unit_test(test_event_names),
        cmocka_unit_test(test_thawed_by_others),
        cmocka_unit_test(test_source_ran_in_between),
        cmocka_unit_test(test_who_holds_the_source),
        cmocka_unit_test(test_claim_not_bound),
        cmocka_unit_test(test_vm_snapshot_is_known_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
