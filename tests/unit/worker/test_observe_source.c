/*
 * Proves what the state makes of the source: who froze and who thawed it, that one which ran in
 * between is not forgotten, what KubeVirt does to it, a claim that has nothing to be cut, an object
 * that cannot be read.
 */
#include "observed_cluster.h"

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
        c.call_log.freeze_shown_ms = rows[i].shown ? NOW - 5000 : 0;
        if (rows[i].thaw_sent) {
            int64_t requested = 0;
            assert_true(str_to_time_ms("2026-09-21T14:13:00.000Z", &requested));
            call_log_get(&c.call_log, call_key_numbered(CALL_THAW, requested))->state = CALL_FLYING;
        }
        build(&c);
        if ((c.call_log.foreign_thaw_ms == NOW) != rows[i].seen_thawed ||
            (c.call_log.freeze_shown_ms == NOW) != (*rows[i].status != '\0'))
            fail_msg("%s: shown %lld, thawed %lld", rows[i].name,
                     (long long)c.call_log.freeze_shown_ms, (long long)c.call_log.foreign_thaw_ms);
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
        assert_int_equal(step_source_check(&c.state, &why), STEP_FAILED);
        clone_state_release(&c.state);
        arena_release(&c.arena);
        free(c.items[--c.count].object);
        build(&c);
        assert_int_equal(step_source_check(&c.state, &why), STEP_FAILED);
        /* It says nothing of an attempt that began later. */
        c.state.record.attempt.begun_ms = NOW + 1;
        assert_int_equal(step_source_check(&c.state, &why), STEP_DONE);
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
        enum hold hold = holds_first(&c.state.source.holds, true);
        if (hold != rows[i].hold)
            fail_msg("row %zu: %d", i, (int)hold);
        assert_int_equal(c.call_log.spoiled_ms == NOW, hold_spoils(hold));
        drop(&c);
    }
}

static void read_as(struct cluster *c, struct call_key key, const char *json)
{
    struct call *call = call_log_get(&c->call_log, key);
    call->state = CALL_OK;
    call->done_ms = NOW;
    call->body = xstrdup(json);
    call->body_len = strlen(json);
    for (char *p = call->body; *p; p++)
        if (*p == '\'')
            *p = '"';
}

/* A running source of one disk in class fast, read a moment ago; its claim is in that phase, and
   the only VolumeSnapshotClass is that driver's. */
static void readable_source(struct cluster *c, const char *spec, const char *claim_phase,
                            const char *driver)
{
    CLEANUP_FREE char *claim =
        xasprintf("{'metadata':{'name':'src-root'},'spec':{'storageClassName':'fast',"
                  "'resources':{'requests':{'storage':'1Gi'}}},'status':{'phase':'%s',"
                  "'capacity':{'storage':'1Gi'}}}",
                  claim_phase);
    CLEANUP_FREE char *class = xasprintf(
        "{'metadata':{'name':'snap','uid':'c2'},'driver':'%s','deletionPolicy':'Delete'}", driver);
    wukong(c, spec, "{}");
    put(c, KIND_STORAGE_CLASS, "{'metadata':{'name':'fast','uid':'c1'},'provisioner':'d.csi'}");
    put(c, KIND_SNAPSHOT_CLASS, class);
    put(c, KIND_CSI_DRIVER, "{'metadata':{'name':'d.csi','uid':'c3'}}");
    put(c, KIND_VMI,
        "{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{},'status':{"
        "'phase':'Running'}}");
    read_as(c, call_key_named(CALL_READ_SOURCE_VMI, "src"),
            "{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{'domain':{"
            "'devices':{'disks':[{'name':'root','disk':{},'shareable':true}]}},'volumes':[{"
            "'name':'root','persistentVolumeClaim':{'claimName':'src-root'}}]},"
            "'status':{'phase':'Running'}}");
    read_as(c, call_key_named(CALL_READ_SOURCE_CLAIM, "src-root"), claim);
    build(c);
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
        readable_source(&c, OF_VMI, phases[i], "d.csi");
        if (i == 0) {
            assert_int_equal(step_preflight_check(&c.state, &why), STEP_WAIT);
            assert_int_equal(why.reason, REASON_DISK_UNSUITABLE);
            assert_non_null(strstr(why.message, "src-root is not bound"));
        } else {
            assert_int_equal(c.state.disk_count, 1);
            assert_true(c.state.disks[0].plan->shared);
            /* As every later worker reads it, whatever its enum says. */
            assert_non_null(strstr(c.state.capture.text, "\"method\":\"SnapshotRestore\""));
        }
        drop(&c);
    }
}

/* A worker that was restarted while claims are copied reads the source anew. It was restored
   meanwhile, and names other claims: no claim is made of those beside what is copied already. */
static void test_source_names_other_claims(void **state)
{
    (void)state;
    static const char *const copied[] = {"src-root", "src-root-before"};
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        struct cluster c = {0};
        struct why why = {0};
        CLEANUP_FREE char *status = xasprintf(
            "{'cloneStatus':{'phase':'Cloning','attempts':1,'sourceUID':'v1','cutTime':"
            "'2026-09-21T14:01:00.000Z','attemptTime':'2026-09-21T14:00:00.000Z','disks':[{"
            "'name':'root','volume':'root','sourcePVC':'%s','method':'CSIClone'}]}}",
            copied[i]);
        wukong(&c, "{'cloneSource':{'type':'vm','vmName':'src','cloneType':'full'}}", status);
        put(&c, KIND_STORAGE_CLASS,
            "{'metadata':{'name':'fast','uid':'c1'},'provisioner':'d.csi'}");
        put(&c, KIND_CSI_DRIVER, "{'metadata':{'name':'d.csi','uid':'c3'}}");
#define STOPPED                                                                                    \
    "{'metadata':{'name':'src','namespace':'ns','uid':'v1'},'spec':{'runStrategy':'Halted',"       \
    "'template':{'spec':{'domain':{'devices':{'disks':[{'name':'root','disk':{}}]}},'volumes':[{"  \
    "'name':'root','persistentVolumeClaim':{'claimName':'src-root'}}]}}},'status':{}}"
        put(&c, KIND_VM, STOPPED);
        read_as(&c, call_key_named(CALL_READ_SOURCE_VM, "src"), STOPPED);
        struct call *absent =
            call_log_get(&c.call_log, call_key_named(CALL_READ_SOURCE_ABSENT, "src"));
        absent->state = CALL_FAILED;
        absent->code = 404;
        absent->done_ms = NOW;
        read_as(&c, call_key_named(CALL_READ_SOURCE_CLAIM, "src-root"),
                "{'metadata':{'name':'src-root'},'spec':{'storageClassName':'fast','resources':{"
                "'requests':{'storage':'1Gi'}}},'status':{'phase':'Bound','capacity':{'storage':"
                "'1Gi'}}}");
        build(&c);
        enum step_status disks = step_disks_check(&c.state, &why);
        if (i == 0) {
            assert_int_equal(disks, STEP_TODO);
            assert_true(c.state.capture.present);
        } else {
            assert_int_equal(disks, STEP_FAILED);
            assert_int_equal(why.reason, REASON_SOURCE_CHANGED);
            assert_non_null(strstr(why.message, "src-root-before"));
        }
        drop(&c);
    }
}

/* A rule names the reason for which its clone waits. By a part of its id, disk-class-missing told
   the user to make a VolumeSnapshotClass, and it is a StorageClass that is not there. */
static void test_a_rule_names_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        const char *driver; /* of the snapshot class */
        enum reason reason;
        const char *message;
    } rows[] = {
        {"{'cloneSource':{'type':'vmi','vmiName':'src'},"
         "'disks':[{'name':'root','storageClassName':'nope'}]}",
         "d.csi", REASON_DISK_UNSUITABLE, "no such StorageClass"},
        {OF_VMI, "other.csi", REASON_SNAPSHOT_CLASS_MISSING, "no VolumeSnapshotClass"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        struct why why = {0};
        readable_source(&c, rows[i].spec, "Bound", rows[i].driver);
        (void)step_preflight_check(&c.state, &why);
        if (why.reason != rows[i].reason || !strstr(why.message, rows[i].message))
            fail_msg("row %zu: %s: %s", i, reason_table[why.reason].name, why.message);
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
        struct clone_table all = {0};
        CLEANUP_FREE char *spec = xasprintf("{'cloneSource':{'type':'vmi','vmiName':'src',"
                                            "'snapshotMethod':'%s'}}",
                                            rows[i].method);
        CLEANUP_FREE char *status = xasprintf("{'cloneStatus':{%s}}", rows[i].status);
        wukong(&c, spec, status);
        arena_init(&c.arena, 4096);
        struct clone *e = clone_table_add(&all, "ns", "w", UID);
        (void)clone_table_summarise(&all, e, get(&c, KIND_WUKONG, "ns", "w"));
        if (e->vm_snapshot != rows[i].expected)
            fail_msg("%s, %s", rows[i].method, rows[i].status);
        clone_table_release(&all);
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
    assert_true(c.state.source.vmi_exists);
    struct decision d = {.intents = {.arena = &c.arena}};
    clone_decide(&c.state, &d);
    assert_int_equal(d.conditions[COND_SOURCE_READY].reason, REASON_OBJECT_UNREADABLE);
    assert_non_null(strstr(d.conditions[COND_SOURCE_READY].message,
                           "VirtualMachineInstance ns/src cannot be read"));
    drop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thawed_by_others),
        cmocka_unit_test(test_source_ran_in_between),
        cmocka_unit_test(test_who_holds_the_source),
        cmocka_unit_test(test_claim_not_bound),
        cmocka_unit_test(test_source_names_other_claims),
        cmocka_unit_test(test_a_rule_names_its_reason),
        cmocka_unit_test(test_vm_snapshot_is_known_to_others),
        cmocka_unit_test(test_unreadable_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
