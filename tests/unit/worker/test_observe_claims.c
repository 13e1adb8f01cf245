/*
 * Proves what the state makes of what the clone has made: a claim's own Events are all that is
 * looked at; CDI's DataVolume stands for its claim; a claim of another, or of an earlier attempt,
 * is no progress; whose a machine is.
 */
#include "call_name.h"
#include "observed_cluster.h"

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
        const struct claim_state *s = &c.state.targets[0].claims[0];
        assert_true(s->exists && s->ours && s->data_volume && s->sourced);
        assert_false(s->owned);
        assert_string_equal(s->owner_target, "dv1");
        assert_int_equal(s->done_percent, i == 1 ? 100 : 45);
        assert_int_equal(s->bound, i == 1);
        assert_false(s->host_copied);
        drop(&c);
    }
}

/* The claim is in the cache before its DataVolume: it is neither empty nor filled. */
static void test_claim_before_its_data_volume(void **state)
{
    (void)state;
    struct cluster early = {0};
    wukong(&early, OF_VMI, PAST_CUT);
    carrier(&early, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
    put(&early, KIND_PVC,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE ":'" UID
        "'},'ownerReferences':[{"
        "'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
        "'spec':{},'status':{'phase':'Bound'}}");
    build(&early);
    const struct claim_state *first = &early.state.targets[0].claims[0];
    assert_true(first->exists && first->sourced);
    assert_false(first->bound);
    drop(&early);
}

/* CDI's silent fallback to a copy of every byte is told, with CDI's reason. */
static void test_data_volume_copied_by_host(void **state)
{
    (void)state;
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
    const struct claim_state *slow = &copied.state.targets[0].claims[0];
    assert_true(slow->host_copied);
    assert_string_equal(slow->fallback, "No compatible volumesnapshotclass found");
    struct decision d = {.intents = {.arena = &copied.arena}};
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    status_write(&copied.state, &d, &text);
    assert_non_null(strstr(text.data, "\"method\":\"CDIHostCopy\""));
    drop(&copied);
}

/* A foreign claim under a DataVolume's name is not ours. */
static void test_foreign_claim_of_that_name(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
    put(&c, KIND_PVC,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1'},'spec':{},"
        "'status':{'phase':'Bound'}}");
    build(&c);
    assert_true(c.state.targets[0].claims[0].exists);
    assert_false(c.state.targets[0].claims[0].ours);
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
        assert_int_equal(step_ready_check(&c.state, &why), STEP_WAIT);
        assert_non_null(strstr(why.message, "DataVolume"));
        step_ready_run(&c.state, &early);
        assert_int_equal(early.intents.count, 0);
        clone_state_release(&c.state);
        arena_release(&c.arena);
        put(&c, KIND_DATA_VOLUME,
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{" MADE ":'" UID
            "'}},'status':{'phase':'WaitForFirstConsumer'}}");
        build(&c);
        struct decision seen = {.intents = {.arena = &c.arena}};
        assert_int_equal(step_ready_check(&c.state, &why), STEP_TODO);
        step_ready_run(&c.state, &seen);
        assert_int_equal(seen.intents.count, 1);
        assert_string_equal(call_name(&seen.intents.items[0].key), "own/dv1");
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
        const struct claim_state *s = &c.state.targets[0].claims[0];
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
    assert_string_equal(c.state.targets[0].claims[0].error, "message 20");
    assert_int_equal(c.visits[KIND_CLAIM_EVENT], 2 * 2); /* in two passes */
    drop(&c);
}

/* A claim fails for good only when nothing but settled answers came since the last that lets hope,
   whatever the order in which the cache holds its Events. */
static void test_since_when_a_claim_fails(void **state)
{
    (void)state;
#define AT(minute) "2026-09-21T14:" minute ":00Z"
#define EVENT(name, created, last, message)                                                        \
    "{'metadata':{'name':'" name "','namespace':'ns','uid':'" name                                 \
    "','creationTimestamp':'" created "'},'lastTimestamp':'" last "','message':'" message          \
    "','involvedObject':{'name':'w-root','uid':'p1'}}"
#define ABORTED "rpc error: code = Aborted desc = works on it"
#define INVALID "rpc error: code = InvalidArgument desc = no"
    static const struct {
        const char *name, *events[3], *since, *error;
    } rows[] = {
        {"one that lets hope", {EVENT("a", AT("02"), AT("09"), ABORTED)}, NULL, ABORTED},
        {"one that does not", {EVENT("a", AT("02"), AT("09"), INVALID)}, AT("02"), INVALID},
        {"hope, then none",
         {EVENT("a", AT("02"), AT("03"), ABORTED), EVENT("b", AT("04"), AT("09"), INVALID)},
         AT("04"),
         INVALID},
        {"the same, held in the other order",
         {EVENT("b", AT("04"), AT("09"), INVALID), EVENT("a", AT("02"), AT("03"), ABORTED)},
         AT("04"),
         INVALID},
        {"none, then hope",
         {EVENT("b", AT("02"), AT("04"), INVALID), EVENT("a", AT("05"), AT("06"), ABORTED)},
         NULL,
         ABORTED},
        {"hope between two equal answers",
         {EVENT("b", AT("02"), AT("08"), INVALID), EVENT("a", AT("05"), AT("06"), ABORTED)},
         AT("06"),
         INVALID},
        {"the sidecar's own words, two of them",
         {EVENT("a", AT("03"), AT("08"), "size is less"), EVENT("b", AT("02"), AT("02"), "no")},
         AT("02"),
         "size is less"},
        {"a conflict clears by itself",
         {EVENT("a", AT("02"), AT("09"), "the object has been modified")},
         NULL,
         "the object has been modified"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        int64_t since = 0;
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
        put(&c, KIND_PVC,
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE ":'" UID
            "'}},'spec':{},'status':{'phase':'Pending'}}");
        for (size_t e = 0; e < ARRAY_LEN(rows[i].events) && rows[i].events[e]; e++)
            put(&c, KIND_CLAIM_EVENT, rows[i].events[e]);
        build(&c);
        const struct claim_state *s = &c.state.targets[0].claims[0];
        if (rows[i].since)
            assert_true(str_to_time_ms(rows[i].since, &since));
        if (s->settled_ms != since || !str_eq(s->error, rows[i].error))
            fail_msg("%s: %s since %lld, not %lld", rows[i].name, s->error,
                     (long long)s->settled_ms, (long long)since);
        drop(&c);
    }
}

/* What CDI says of a DataVolume: a step that fails (Running), a claim that it does not make (Bound,
   while there is none); that a claim waits for its volume is no error. */
static void test_data_volume_error(void **state)
{
    (void)state;
    static const struct {
        const char *condition, *want;
        bool claim;
        const char *progress; /* NULL: none */
        bool goes_on;
    } rows[] = {
        {"'type':'Running','status':'False','reason':'Error','message':'exceeded quota: q'",
         "exceeded quota: q", true, NULL, false},
        /* Twenty minutes of copying are not thrown away for one step that failed. */
        {"'type':'Running','status':'False','reason':'Error','message':'the Pod was evicted'",
         "the Pod was evicted", true, "45.00%", true},
        {"'type':'Running','status':'False','reason':'Error','message':'code = Unavailable'",
         "code = Unavailable", true, NULL, true},
        {"'type':'Running','status':'False','reason':'Pending','message':'Clone Pending'", NULL,
         true, NULL, false},
        {"'type':'Running','status':'True','reason':'Populator is running','message':''", NULL,
         true, NULL, false},
        {"'type':'Bound','status':'False','reason':'ErrClaimNotValid','message':'no accessMode'",
         "no accessMode", false, NULL, false},
        {"'type':'Bound','status':'False','reason':'CloneWithoutSource','message':''",
         "CloneWithoutSource", false, NULL, false},
        {"'type':'Bound','status':'False','reason':'NotFound','message':'No PVC found'", NULL,
         false, NULL, false},
        {"'type':'Bound','status':'False','reason':'Pending','message':'PVC Pending'", NULL, true,
         NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *dv =
            xasprintf("{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{" MADE
                      ":'" UID "'},'creationTimestamp':'2026-09-21T14:02:00Z'},'status':{"
                      "'progress':'%s','conditions':[{%s}]}}",
                      str_or(rows[i].progress, "N/A"), rows[i].condition);
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
        const char *got = c.state.targets[0].claims[0].error;
        if (!str_eq(got, rows[i].want) && (got || rows[i].want))
            fail_msg("row %zu: %s", i, str_or(got, "no error"));
        bool settled = c.state.targets[0].claims[0].settled_ms != 0;
        assert_int_equal(settled, rows[i].want && !rows[i].goes_on);
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
        assert_int_equal(c.state.targets[0].claims[0].earlier, attempt == 2);
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
        assert_true(c.state.targets[0].vm.ours);
        assert_int_equal(c.state.targets[0].vm.owned, rows[i].owned);
        assert_int_equal(c.state.targets[0].vm.owned_by_other, rows[i].other);
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_volume),
        cmocka_unit_test(test_claim_before_its_data_volume),
        cmocka_unit_test(test_data_volume_copied_by_host),
        cmocka_unit_test(test_foreign_claim_of_that_name),
        cmocka_unit_test(test_data_volume_seen_late),
        cmocka_unit_test(test_strangers_claim),
        cmocka_unit_test(test_claim_events),
        cmocka_unit_test(test_since_when_a_claim_fails),
        cmocka_unit_test(test_data_volume_error),
        cmocka_unit_test(test_earlier_claim),
        cmocka_unit_test(test_machine_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
