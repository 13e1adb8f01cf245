/*
 * Proves what a clone takes for its own: what bears its label, stands where it makes such a thing
 * and has the name that it computes. Copies of labels, under other names or in other namespaces,
 * are strangers: they are named in an Event, and nothing is sent for them, neither when the Wukong
 * is deleted nor when it has failed; and they count for nobody.
 */
#include "observed_cluster.h"

#include "decide/decide.h"

#define ATTEMPT ",'vm.novasphere.dev/attempt':'1','vm.novasphere.dev/disk-index':'0'"
#define OBJECT(name, ns, more)                                                                     \
    "{'metadata':{'name':'" name "','namespace':'" ns "','uid':'" name "/" ns "','labels':{" MADE  \
    ":'" UID "'" ATTEMPT "}}," more "}"
#define FROM_CLAIM "'spec':{'source':{'persistentVolumeClaimName':'src-root'}}"
#define FROM_CONTENT "'spec':{'source':{'volumeSnapshotContentName':'nightly'}}"

struct row {
    enum worker_kind kind;
    const char *json;
};

static const struct row strangers[] = {
    {KIND_VM, OBJECT("payroll", "ns", "'spec':{}")},
    {KIND_VM, OBJECT("w-vm", "restored", "'spec':{}")},
    {KIND_VM, OBJECT("w-vm-0", "ns", "'spec':{}")},
    {KIND_PVC, OBJECT("payroll-data", "ns", "'status':{'phase':'Pending'}")},
    {KIND_PVC, OBJECT("w-root", "restored", "'status':{'phase':'Pending'}")},
    {KIND_PVC, OBJECT("w-data", "ns", "'status':{'phase':'Bound'}")},
    {KIND_DATA_VOLUME, OBJECT("w-root", "restored", "'status':{}")},
    {KIND_SNAPSHOT, OBJECT("nightly-backup", "ns", FROM_CLAIM)},
    {KIND_SNAPSHOT, OBJECT("snapshot-src-w-11111111-2-root", "ns", FROM_CLAIM)},
    {KIND_SNAPSHOT, OBJECT("snapshot-src-w-11111111-1-root", "restored", FROM_CLAIM)},
    {KIND_SNAPSHOT, OBJECT("snapshot-src-w-11111111-1-root", "ns", FROM_CONTENT)},
    {KIND_SNAPSHOT, OBJECT("vmsnapshot-v9-volume-root", "ns", FROM_CLAIM)},
    {KIND_VM_SNAPSHOT, OBJECT("nightly", "ns", "'status':{'phase':'Succeeded'}")},
    {KIND_CONTENT, OBJECT("velero-1", "",
                          "'spec':{'deletionPolicy':'Retain','source':{"
                          "'snapshotHandle':'h'},'volumeSnapshotRef':{'namespace':"
                          "'ns','name':'nightly','uid':'u'}}")},
};

static void put_strangers(struct cluster *c)
{
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
        put(c, strangers[i].kind, strangers[i].json);
}

static void decide(struct cluster *c, struct decision *d)
{
    *d = (struct decision){.intents = {.arena = &c->arena}};
    clone_decide(&c->state, d);
}

static size_t count_verb(const struct decision *d, enum intent_verb verb)
{
    size_t n = 0;
    for (size_t i = 0; i < d->intents.count; i++)
        n += d->intents.items[i].verb == verb;
    return n;
}

/* A Wukong that has failed, and a linked one that is deleted, take nothing of others with them. */
static void test_strangers_are_left_alone(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *status;
        bool deleted;
    } rows[] = {
        {OF_VMI, "{'cloneStatus':{'phase':'Failed','attempts':1}}", false},
        {OF_VMI, "{}", true},
        {"{'cloneSource':{'type':'vmi','vmiName':'src','cloneType':'linked'}}",
         "{'cloneStatus':{'phase':'Succeeded','attempts':1,'cutTime':'2026-09-21T14:01:00.000Z'}}",
         true},
        {OF_VMI,
         "{'cloneStatus':{'phase':'Succeeded','attempts':1,'cutTime':'2026-09-21T14:01:00.000Z'}}",
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        struct decision d;
        wukong(&c, rows[i].spec, rows[i].status);
        put_strangers(&c);
        build(&c);
        if (rows[i].deleted)
            ((struct wukong *)c.state.wukong)->deleted_ms = NOW - 1000;
        decide(&c, &d);
        assert_int_equal(c.state.ours_count, 0);
        assert_int_equal(c.state.stranger_count, ARRAY_LEN(strangers));
        assert_int_equal(count_verb(&d, INTENT_DELETE), 0);
        assert_int_equal(count_verb(&d, INTENT_PATCH), 0);
        bool told = false;
        for (size_t k = 0; k < d.intents.count; k++) {
            const struct intent *e = &d.intents.items[k];
            told |= e->verb == INTENT_EVENT && strstr(e->body, "\"NotOurs\"") &&
                    strstr(e->body, "VirtualMachine ns/payroll") && strstr(e->body, " and 9 more");
        }
        assert_true(told);
        drop(&c);
    }
}

static const char *event_name(const struct decision *d, const char *what, const char *of)
{
    for (size_t i = 0; i < d->intents.count; i++)
        if (d->intents.items[i].verb == INTENT_EVENT && strstr(d->intents.items[i].body, what) &&
            strstr(d->intents.items[i].body, of))
            return d->intents.items[i].name;
    fail_msg("no Event %s of %s", what, of);
    return NULL;
}

/* What comes later is named too: an Event that is there already is not sent again. */
static void test_each_stranger_is_named(void **state)
{
    (void)state;
    static const char *const claim = OBJECT("restore-1-root", "ns", "'status':{'phase':'Bound'}");
    static const char *const machine = OBJECT("theirs", "ns", "'spec':{}");
    static const char *const status = "{'cloneStatus':{'phase':'Succeeded','attempts':1,"
                                      "'cutTime':'2026-09-21T14:01:00.000Z'}}";
    static const struct {
        int claims, machines;
        bool claim_first;
        const char *names;
    } rows[] = {{1, 0, true, "ns/restore-1-root"},
                {1, 1, true, "ns/theirs, PersistentVolumeClaim ns/restore-1-root"},
                {1, 1, false, "ns/theirs, PersistentVolumeClaim ns/restore-1-root"},
                {0, 1, true, "ns/theirs"}};
    char *seen[ARRAY_LEN(rows)] = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        struct decision d;
        wukong(&c, OF_VMI, status);
        if (rows[i].claims && rows[i].claim_first)
            put(&c, KIND_PVC, claim);
        if (rows[i].machines)
            put(&c, KIND_VM, machine);
        if (rows[i].claims && !rows[i].claim_first)
            put(&c, KIND_PVC, claim);
        build(&c);
        decide(&c, &d);
        seen[i] = xstrdup(event_name(&d, "\"NotOurs\"", rows[i].names));
        drop(&c);
    }
    assert_string_not_equal(seen[0], seen[1]);
    assert_string_equal(seen[1], seen[2]);
    assert_string_not_equal(seen[1], seen[3]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        free(seen[i]);
}

/* They do not keep the clone from ending: what the API server lists is judged alike. */
static void test_the_list_of_what_is_left(void **state)
{
    (void)state;
    static const char *const ours = OBJECT("snapshot-src-w-11111111-1-root", "ns", FROM_CLAIM);
    static const struct {
        const char *items[2];
        const char *next;
        enum left_listed want;
    } rows[] = {
        {{NULL}, NULL, LEFT_NOTHING},
        {{OBJECT("nightly-backup", "ns", FROM_CLAIM)}, NULL, LEFT_NOTHING},
        {{OBJECT("nightly-backup", "ns", FROM_CLAIM)}, "t1", LEFT_MORE},
        {{OBJECT("nightly-backup", "ns", FROM_CLAIM), ours}, NULL, LEFT_OURS},
        {{OBJECT("nightly-backup", "ns", FROM_CLAIM), ours}, "t1", LEFT_OURS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        const char *next = NULL;
        wukong(&c, OF_VMI, "{'cloneStatus':{'phase':'Failed','attempts':1}}");
        build(&c);
        struct call *list = call_log_get(
            &c.call_log, call_key_object(CALL_LIST_LEFT, "volumesnapshots", NULL, NULL));
        list->state = CALL_OK;
        list->body = xasprintf("{'metadata':{'continue':'%s'},'items':[%s%s%s]}",
                               str_or(rows[i].next, ""), str_or(rows[i].items[0], ""),
                               rows[i].items[1] ? "," : "", str_or(rows[i].items[1], ""));
        for (char *p = list->body; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        list->body_len = strlen(list->body);
        assert_int_equal(clone_left_listed(&c.state, KIND_SNAPSHOT, list, &next), rows[i].want);
        assert_int_equal(next != NULL, rows[i].want == LEFT_MORE);
        drop(&c);
    }
}

/* The capture is never read from somebody else's snapshot. */
static void test_no_strangers_carrier(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    put(&c, KIND_SNAPSHOT, OBJECT("nightly-backup", "ns", FROM_CLAIM));
    put(&c, KIND_SNAPSHOT, OBJECT("snapshot-src-w-11111111-1-root", "ns", FROM_CONTENT));
    build(&c);
    assert_null(c.state.snapshot_carrier);
    drop(&c);
}

/* Retain is taken back only from what csi-snapshotter made for a snapshot of ours, where its class
   or we have set it. */
static void test_whose_policy(void **state)
{
    (void)state;
    static const struct {
        const char *name, *class, *source, *label;
        bool ours;
    } rows[] = {
        {"snapcontent-s1", "Retain", "'volumeHandle':'v'", "", true},
        {"snapcontent-s1", "Delete", "'volumeHandle':'v'", "", false},
        {"snapcontent-s1", "Delete", "'volumeHandle':'v'",
         "'vm.novasphere.dev/wukong-uid':'" UID "'", true},
        {"nightly", "Retain", "'snapshotHandle':'h'", "", false},
        {"snapcontent-s1", "Retain", "'snapshotHandle':'h'", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, "{'cloneStatus':{'phase':'Failed','attempts':1}}");
        CLEANUP_FREE char *class =
            xasprintf("{'metadata':{'name':'sc','uid':'c1'},'driver':'d','deletionPolicy':'%s'}",
                      rows[i].class);
        CLEANUP_FREE char *content = xasprintf(
            "{'metadata':{'name':'%s','uid':'k1','labels':{%s}},'spec':{'deletionPolicy':'Retain',"
            "'volumeSnapshotClassName':'sc','source':{%s},'volumeSnapshotRef':{'namespace':'ns',"
            "'name':'" SNAPSHOT "','uid':'s1'}},'status':{'snapshotHandle':'h'}}",
            rows[i].name, rows[i].label, rows[i].source);
        CLEANUP_FREE char *snapshot = xasprintf(
            "{'metadata':{'name':'" SNAPSHOT "','namespace':'ns','uid':'s1','labels':{" MADE
            ":'" UID "'" ATTEMPT "}},'spec':{'source':{'persistentVolumeClaimName':"
            "'src-root'}},'status':{'boundVolumeSnapshotContentName':'%s'}}",
            rows[i].name);
        put(&c, KIND_SNAPSHOT_CLASS, class);
        put(&c, KIND_CONTENT, content);
        put(&c, KIND_SNAPSHOT, snapshot);
        build(&c);
        assert_true(c.state.ours_count >= 1);
        assert_int_equal(c.state.ours[0].kind, KIND_SNAPSHOT);
        if (c.state.ours[0].policy_ours != rows[i].ours)
            fail_msg("row %zu", i);
        drop(&c);
    }
}

/* A policy's limit of storage counts what a clone made, where it made it. */
static void test_which_claims_count(void **state)
{
    (void)state;
#define CLAIM(name, ns, more)                                                                      \
    "{'metadata':{'name':'" name "','namespace':'" ns "','uid':'p','labels':{" MADE ":'" UID       \
    "'" more "}}}"
#define OF_W ",'vm.novasphere.dev/wukong':'w'"
#define IN_NS ",'vm.novasphere.dev/wukong-namespace':'ns'"
    static const struct {
        const char *json;
        bool counts;
    } rows[] = {
        {CLAIM("w-root", "ns", OF_W IN_NS), true},
        {CLAIM("w-vm-0-root", "ns", OF_W IN_NS), true},
        {CLAIM("w-root", "ns", OF_W), true}, /* made by the release before */
        {CLAIM("w-root", "restored", OF_W IN_NS), false},
        {CLAIM("payroll", "ns", OF_W IN_NS), false},
        {CLAIM("w-root", "ns", IN_NS), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        put(&c, KIND_PVC, rows[i].json);
        if (ours_claim_counts(c.items[0].object) != rows[i].counts)
            fail_msg("row %zu", i);
        drop(&c);
    }
}

/* What is older than the Wukong was not made by it. */
static void test_what_was_there_before(void **state)
{
    (void)state;
    struct cluster c = {0};
    const struct ours_clone w = {
        .uid = UID, .name = "w", .ns = "ns", .replicas = 1, .created_ms = NOW};
    put(&c, KIND_VM,
        "{'metadata':{'name':'w-vm','namespace':'ns','uid':'m','creationTimestamp':"
        "'2026-09-21T14:00:00Z','labels':{" MADE ":'" UID "'}},'spec':{}}");
    assert_false(ours_made(&w, KIND_VM, c.items[0].object));
    drop(&c);
}

/* Under a name that could be foreseen, with every label: a machine or claim needs an owner besides,
   or, once it was taken out of ownership, a UID that the record holds. The release before gave
   none. */
static void test_owners_prove(void **state)
{
    (void)state;
#define RECORD(more) "{'cloneStatus':{'phase':'Cloning','attempts':1" more "}}"
#define OWNER(kind, name, uid) "[{'kind':'" kind "','name':'" name "','uid':'" uid "'}]"
    static const struct {
        enum worker_kind kind;
        const char *name, *owners, *status;
        bool ours;
    } rows[] = {
        {KIND_VM, "w-vm", "[]", RECORD(",'childrenOwned':true"), false},
        {KIND_VM, "w-vm", "[]", "{}", false},
        {KIND_VM, "w-vm", "[]", RECORD(""), true},
        {KIND_VM, "w-vm", OWNER("Wukong", "w", UID), RECORD(",'childrenOwned':true"), true},
        {KIND_VM, "w-vm", OWNER("Wukong", "w", "other"), RECORD(",'childrenOwned':true"), false},
        {KIND_VM, "w-vm", "[]",
         RECORD(",'childrenOwned':true,'targets':[{'vmName':'w-vm','vmUID':'u'}]"), true},
        {KIND_PVC, "w-root", "[]", RECORD(",'childrenOwned':true"), false},
        {KIND_PVC, "w-root", "[]", RECORD(""), true},
        {KIND_PVC, "w-root", OWNER("Wukong", "w", UID), RECORD(",'childrenOwned':true"), true},
        {KIND_PVC, "w-root", OWNER("VirtualMachine", "w-vm", "u"), RECORD(",'childrenOwned':true"),
         true},
        {KIND_PVC, "w-root", OWNER("VirtualMachine", "payroll", "u"),
         RECORD(",'childrenOwned':true"), false},
        {KIND_PVC, "w-root", OWNER("DataVolume", "w-root", "u"), RECORD(",'childrenOwned':true"),
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *object =
            xasprintf("{'metadata':{'name':'%s','namespace':'ns','uid':'u','labels':{" MADE ":'" UID
                      "'" ATTEMPT "},'ownerReferences':%s}}",
                      rows[i].name, rows[i].owners);
        wukong(&c, OF_VMI, rows[i].status);
        put(&c, rows[i].kind, object);
        build(&c);
        if (c.state.ours_count != rows[i].ours || c.state.stranger_count + c.state.ours_count > 1)
            fail_msg("row %zu: %zu ours", i, c.state.ours_count);
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_are_left_alone),
        cmocka_unit_test(test_each_stranger_is_named),
        cmocka_unit_test(test_the_list_of_what_is_left),
        cmocka_unit_test(test_no_strangers_carrier),
        cmocka_unit_test(test_whose_policy),
        cmocka_unit_test(test_which_claims_count),
        cmocka_unit_test(test_what_was_there_before),
        cmocka_unit_test(test_owners_prove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
