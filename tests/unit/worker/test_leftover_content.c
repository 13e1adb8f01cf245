/*
 * Proves what the state makes of what a clone leaves behind, from objects as the API server shows
 * them: what must come before a VolumeSnapshot is deleted, which contents and backups are ours, and
 * that one which the cache does not show yet is asked for.
 */
#include "observed_cluster.h"

#include "teardown/remove.h"

/* What the API server says when it is asked for the content of s1; NULL: it was not asked. */
static void live_content(struct cluster *c, const char *answer, int64_t at)
{
    if (!answer)
        return;
    struct call *call = call_log_get(&c->call_log, call_key_named(CALL_READ_CONTENT, "s1"));
    call->done_ms = at;
    call->state = str_empty(answer) ? CALL_FAILED : CALL_OK;
    call->code = str_empty(answer) ? 404 : 200;
    call->body = xstrdup(answer);
    for (char *p = call->body; *p; p++)
        if (*p == '\'')
            *p = '"';
    call->body_len = strlen(call->body);
}

#define CONTENT(policy, note, status)                                                              \
    "{'metadata':{'name':'snapcontent-s1','uid':'k1'" note "},'spec':{'deletionPolicy':'" policy   \
    "','volumeSnapshotClassName':'sc','source':{'volumeHandle':'v'},"                              \
    "'volumeSnapshotRef':{'uid':'s1','namespace':'ns','name':'" SNAPSHOT "'}},"                    \
    "'status':" status "}"
#define CREATING                                                                                   \
    ",'annotations':{'snapshot.storage.kubernetes.io/volumesnapshot-being-created':'yes'}"
#define HANDLE "{'snapshotHandle':'h1'}"
#define BROKEN "{'error':{'message':'no'}}"
#define YOUNG "2026-09-21T14:13:10Z"
#define OLD "2026-09-21T14:10:00Z"
#define TOUCHED "'finalizers':['a/b'],"

/* When a VolumeSnapshot of ours may be deleted, such that neither its content nor what the CSI
   driver makes of it outlives it: nothing but what the API server says now tells that there is
   none. */
static void test_before_a_snapshot_goes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *policy, *created, *touched, *error, *cached, *live;
        bool look, awaited, being_cut, retains;
    } rows[] = {
        {"unseen: look", "Delete", OLD, TOUCHED, "", NULL, NULL, true, false, false, false},
        {"unseen, an answer of yesterday", "Delete", OLD, TOUCHED, "", NULL, "stale", true, false,
         false, false},
        {"there is none yet, touched", "Delete", YOUNG, TOUCHED, "", NULL, "", false, true, false,
         false},
        {"there is none yet, untouched", "Delete", YOUNG, "", "", NULL, "", false, true, false,
         false},
        {"there is none for long", "Delete", OLD, TOUCHED, "", NULL, "", false, false, false,
         false},
        {"there was none before it was bound: look anew", "Delete", YOUNG, TOUCHED,
         "'boundVolumeSnapshotContentName':'snapcontent-s1'", NULL, "", true, false, false, false},
        {"there is none yet, Retain", "Retain", OLD, TOUCHED, "", NULL, "", false, true, false,
         false},
        {"none can be made, Retain", "Retain", OLD, TOUCHED, "'error':{'message':'x'}", NULL, "",
         false, false, false, false},
        {"the watch is dead, Retain", "Retain", OLD, TOUCHED, "", NULL,
         CONTENT("Retain", "", HANDLE), false, false, false, true},
        {"cached, cut", "Delete", OLD, TOUCHED, "", CONTENT("Delete", "", HANDLE), NULL, false,
         false, false, false},
        {"cached, Retain", "Retain", OLD, TOUCHED, "", CONTENT("Retain", "", HANDLE), NULL, false,
         false, false, true},
        {"cached without handle: look", "Delete", YOUNG, TOUCHED, "", CONTENT("Delete", "", "{}"),
         NULL, true, false, true, false},
        {"no answer from the driver", "Delete", YOUNG, TOUCHED, "", NULL,
         CONTENT("Delete", CREATING, "{}"), false, false, true, false},
        {"not asked yet", "Delete", YOUNG, TOUCHED, "", NULL, CONTENT("Delete", "", "{}"), false,
         false, true, false},
        {"an error that may have cut", "Delete", YOUNG, TOUCHED, "", NULL,
         CONTENT("Delete", CREATING, BROKEN), false, false, true, false},
        {"a final error", "Delete", YOUNG, TOUCHED, "", NULL, CONTENT("Delete", "", BROKEN), false,
         false, false, false},
        {"no answer for long", "Delete", OLD, TOUCHED, "", NULL, CONTENT("Delete", CREATING, "{}"),
         false, false, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        bool stale = str_eq(rows[i].live, "stale");
        wukong(&c, OF_VMI, PAST_CUT);
        CLEANUP_FREE char *class = xasprintf("{'metadata':{'name':'sc','uid':'c1'},'driver':'d',"
                                             "'deletionPolicy':'%s'}",
                                             rows[i].policy);
        CLEANUP_FREE char *snapshot =
            xasprintf("{'metadata':{'name':'" SNAPSHOT
                      "','namespace':'ns','uid':'s1','creationTimestamp':'%s',%s"
                      "'labels':{" MADE ":'" UID "','vm.novasphere.dev/attempt':'1'}},"
                      "'spec':{'volumeSnapshotClassName':'sc'},'status':{%s}}",
                      rows[i].created, rows[i].touched, rows[i].error);
        put(&c, KIND_SNAPSHOT_CLASS, class);
        put(&c, KIND_SNAPSHOT, snapshot);
        if (rows[i].cached)
            put(&c, KIND_CONTENT, rows[i].cached);
        live_content(&c, stale ? "" : rows[i].live, stale ? NOW - 60000 : NOW - 1000);
        build(&c);
        const struct leftover *left = c.state.ours;
        if (c.state.ours_count != 1 || (left->look != NULL) != rows[i].look ||
            left->content_awaited != rows[i].awaited || left->being_cut != rows[i].being_cut ||
            left->content_retains != rows[i].retains)
            fail_msg("%s: look %s, awaited %d, being cut %d, retains %d", rows[i].name,
                     str_or(left->look, "-"), left->content_awaited, left->being_cut,
                     left->content_retains);
        drop(&c);
    }
}

/* Somebody may set Retain between our look and our write. The write is for the version that was
   judged; once one was sent without success, only what the API server says now is judged. */
static void test_a_policy_is_set_at_one_version(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sent, *live, *writes; /* live NULL: it was not asked */
        bool look;
    } rows[] = {
        {"never sent", NULL, NULL, "\"resourceVersion\":\"7\"", false},
        {"no answer came: look", "", NULL, NULL, true},
        {"it is as it was", "", CONTENT("Retain", ",'resourceVersion':'8'", HANDLE),
         "\"resourceVersion\":\"8\"", false},
        {"it was set, and set back by somebody else", "",
         CONTENT("Retain",
                 ",'resourceVersion':'9','annotations':{'" POLICY_SET_ANNOTATION "':'Delete'}",
                 HANDLE),
         NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        put(&c, KIND_SNAPSHOT_CLASS,
            "{'metadata':{'name':'sc','uid':'c1'},'driver':'d','deletionPolicy':'Retain'}");
        put(&c, KIND_SNAPSHOT,
            "{'metadata':{'name':'" SNAPSHOT "','namespace':'ns','uid':'s1','labels':{" MADE
            ":'" UID "','vm.novasphere.dev/attempt':'1'},'creationTimestamp':'" OLD "'},"
            "'spec':{'volumeSnapshotClassName':'sc'},'status':{}}");
        put(&c, KIND_CONTENT, CONTENT("Retain", ",'resourceVersion':'7'", HANDLE));
        if (rows[i].sent)
            call_log_get(&c.call_log, call_key_named(CALL_SET_DELETE, "snapcontent-s1"))->state =
                CALL_FAILED;
        live_content(&c, rows[i].live, NOW - 1000);
        build(&c);
        struct decision d = {.intents = {.arena = &c.arena}};
        const struct leftover *left = c.state.ours;
        assert_int_equal(c.state.ours_count, 1);
        if ((left->look != NULL) != rows[i].look)
            fail_msg("%s: look %s", rows[i].name, str_or(left->look, "-"));
        if (!left->look && leftover_gives_back(&c.state, &d, left) != !rows[i].writes)
            fail_msg("%s: %zu writes", rows[i].name, d.intents.count);
        if (rows[i].writes && !strstr(d.intents.items[0].body, rows[i].writes))
            fail_msg("%s: %s", rows[i].name, d.intents.items[0].body);
        drop(&c);
    }
}

/* A content marked for deletion that csi-snapshotter has overlooked is told from one on its way. */
static void test_stuck_content(void **state)
{
    (void)state;
    static const char *const since[] = {"2026-09-21T14:13:00Z", "2026-09-21T14:13:18Z"};
    for (size_t i = 0; i < ARRAY_LEN(since); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        CLEANUP_FREE char *snapshot =
            xasprintf("{'metadata':{'name':'" SNAPSHOT
                      "','namespace':'ns','uid':'s1','deletionTimestamp':'%s',"
                      "'labels':{" MADE ":'" UID "','vm.novasphere.dev/attempt':'1'}},'spec':{}}",
                      since[i]);
        put(&c, KIND_SNAPSHOT, snapshot);
        put(&c, KIND_CONTENT,
            CONTENT("Delete", ",'deletionTimestamp':'2026-09-21T14:13:00Z'", HANDLE));
        build(&c);
        assert_int_equal(c.state.ours[0].deletion_missed != NULL, i == 0);
        drop(&c);
    }
}

/* KubeVirt's VolumeSnapshots carry no label of ours; they belong to it all the same, each once. */
static void test_backups_are_ours(void **state)
{
    (void)state;
    for (int labelled = 0; labelled <= 1; labelled++) {
        struct cluster c = {0};
        wukong(&c,
               "{'cloneSource':{'type':'vmi','vmiName':'src',"
               "'snapshotMethod':'VirtualMachineSnapshot'}}",
               PAST_CUT);
        put(&c, KIND_VM_SNAPSHOT,
            "{'metadata':{'name':'" VM_SNAPSHOT "','namespace':'ns','uid':'v1','labels':{"
            "'vm.novasphere.dev/attempt':'1'," MADE ":'" UID
            "'}},'status':{'phase':'InProgress'}}");
        put(&c, KIND_VM_SNAPSHOT_CONTENT,
            "{'metadata':{'name':'vmsnapshot-content-v1','namespace':'ns','uid':'k1'},'spec':{"
            "'volumeBackups':[{'volumeName':'root','volumeSnapshotName':'vmsnapshot-v1-volume-root'"
            "},"
            "{'volumeName':'ci'}]}}");
        CLEANUP_FREE char *snapshot =
            xasprintf("{'metadata':{'name':'vmsnapshot-v1-volume-root','namespace':'ns','uid':'s1'%"
                      "s},'spec':{}}",
                      labelled ? ",'labels':{'vm.novasphere.dev/wukong-uid':'" UID "'}" : "");
        put(&c, KIND_SNAPSHOT, snapshot);
        build(&c);
        assert_int_equal(c.state.ours_count, 2);
        size_t at = c.state.ours[0].kind == KIND_SNAPSHOT ? 0 : 1;
        assert_int_equal(c.state.ours[at].kind, KIND_SNAPSHOT);
        assert_int_equal(c.state.ours[at].unlabelled, !labelled);
        assert_true(c.state.ours[1 - at].kubevirt_still_holds);
        drop(&c);
    }
}

/* A VirtualMachineSnapshot that has Succeeded has its VolumeSnapshots, whatever a watch that hangs
   shows: the API server is asked before anything goes, and what it says counts for five seconds. */
static void test_backups_that_the_cache_does_not_show(void **state)
{
    (void)state;
    static const char found[] =
        "{\"metadata\":{\"name\":\"vmsnapshot-v1-volume-root\",\"namespace\":\"ns\",\"uid\":\"s1\","
        "\"creationTimestamp\":\"2026-09-21T14:00:00Z\"},\"spec\":{}}";
    static const struct {
        const char *name, *phase;
        int code; /* 0: not asked */
        int64_t ago_ms;
        size_t count; /* VolumeSnapshots among ours */
        bool unread;
    } rows[] = {
        {"not asked", "Succeeded", 0, 0, 1, true},
        {"there", "Succeeded", 200, 1000, 1, false},
        {"asked too long ago", "Succeeded", 200, 5000, 1, true},
        {"not there", "Succeeded", 404, 1000, 0, false},
        {"the API server failed", "Succeeded", 500, 1000, 1, true},
        {"it may not be made yet", "InProgress", 0, 0, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c,
               "{'cloneSource':{'type':'vmi','vmiName':'src',"
               "'snapshotMethod':'VirtualMachineSnapshot'}}",
               PAST_CUT);
        CLEANUP_FREE char *vms = xasprintf(
            "{'metadata':{'name':'" VM_SNAPSHOT "','namespace':'ns','uid':'v1','labels':{"
            "'vm.novasphere.dev/attempt':'1'," MADE ":'" UID "'}},'status':{'phase':'%s'}}",
            rows[i].phase);
        put(&c, KIND_VM_SNAPSHOT, vms);
        put(&c, KIND_VM_SNAPSHOT_CONTENT,
            "{'metadata':{'name':'vmsnapshot-content-v1','namespace':'ns','uid':'k1'},'spec':{"
            "'volumeBackups':[{'volumeName':'root','volumeSnapshotName':'vmsnapshot-v1-volume-root'"
            "}]}}");
        if (rows[i].code) {
            struct call *call = call_log_get(
                &c.call_log, clone_live_key(KIND_SNAPSHOT, "vmsnapshot-v1-volume-root"));
            call->state = rows[i].code == 200 ? CALL_OK : CALL_FAILED;
            call->code = rows[i].code;
            call->done_ms = NOW - rows[i].ago_ms;
            call->body = rows[i].code == 200 ? xstrdup(found) : NULL;
            call->body_len = rows[i].code == 200 ? strlen(found) : 0;
        }
        build(&c);
        size_t count = 0;
        for (size_t k = 0; k < c.state.ours_count; k++) {
            const struct leftover *o = &c.state.ours[k];
            if (o->kind != KIND_SNAPSHOT)
                continue;
            count++;
            if (o->unread != rows[i].unread || (!o->unread && !o->unlabelled))
                fail_msg("%s", rows[i].name);
        }
        if (count != rows[i].count)
            fail_msg("%s: %zu", rows[i].name, count);
        drop(&c);
    }
}

/* A content of ours: a copy, the one that holds a parent, or what is left of a parent. */
static void test_contents_of_ours(void **state)
{
    (void)state;
    static const struct {
        const char *name, *source;
        bool snapshot, copy, attached;
    } rows[] = {{"wukong-" UID "-1-root", "'snapshotHandle':'h'", false, true, false},
                {"snapcontent-s1", "'volumeHandle':'v'", true, false, true},
                {"snapcontent-s1", "'volumeHandle':'v'", false, false, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, "{'cloneStatus':{'phase':'Succeeded'}}");
        CLEANUP_FREE char *content = xasprintf(
            "{'metadata':{'name':'%s','uid':'k1','labels':{'vm.novasphere.dev/attempt':'1'," MADE
            ":'" UID "'}},"
            "'spec':{'deletionPolicy':'Retain','source':{%s},'volumeSnapshotRef':{'namespace':'ns',"
            "'name':'" SNAPSHOT "','uid':'s1'}}}",
            rows[i].name, rows[i].source);
        put(&c, KIND_CONTENT, content);
        if (rows[i].snapshot)
            put(&c, KIND_SNAPSHOT,
                "{'metadata':{'name':'" SNAPSHOT "','namespace':'ns','uid':'s1'},'spec':{}}");
        build(&c);
        assert_int_equal(c.state.ours_count, 1);
        assert_int_equal(c.state.ours[0].copy, rows[i].copy);
        assert_int_equal(c.state.ours[0].attached, rows[i].attached);
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_a_snapshot_goes),
        cmocka_unit_test(test_a_policy_is_set_at_one_version),
        cmocka_unit_test(test_stuck_content),
        cmocka_unit_test(test_backups_are_ours),
        cmocka_unit_test(test_backups_that_the_cache_does_not_show),
        cmocka_unit_test(test_contents_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
