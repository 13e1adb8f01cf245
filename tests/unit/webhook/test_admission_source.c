/*
 * Proves the judgement of a source: what is looked up in which order, what denies and what only
 * warns, what policies say of it, and that no denial rests on a cache alone.
 */
#include "admission_sources.h"

static void test_running_source(void **state)
{
    (void)state;
    struct world w = {.routes = running, .classes = good_classes};
    for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
        CLEANUP_JUDGED struct judged j;
        create(&w, (enum admission_endpoint)e, SIMPLE(OWN), &j);
        if (j.result.verdict != VERDICT_ALLOWED)
            fail_msg("%s", j.text);
        assert_string_equal(j.asked, VM("team") "\n" VMI("team") "\n" CDI "\n" CLAIM("team") "\n");
        assert_string_equal(judged_str(&j, "auditAnnotations.source"), "vmi team/db");
        /* What the log line says of it. */
        assert_string_equal(j.result.log_name, "team/w");
        assert_string_equal(j.result.user, "alice");
        assert_string_equal(j.result.source, "team/db");
        assert_string_equal(j.result.policies, "");
    }
}

/* kube-apiserver drops what is said past 4,096 characters, so the answer ends before. */
static void test_many_warnings(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf body = BUF_INIT(64 * KIB);
    buf_adds(&body,
             "{'metadata':{'name':'db','uid':'i1'},'spec':{'domain':{},'volumes':[{'name':'root',"
             "'persistentVolumeClaim':{'claimName':'db-root'}}");
    for (int i = 0; i < 63; i++)
        buf_addf(&body,
                 ",{'name':'volume-%d','secret':{'secretName':'a-rather-long-secret-name-%d'}}", i,
                 i);
    buf_adds(&body, "]},'status':{'phase':'Running'}}");
    const struct route routes[] = {
        {VMI("prod"), 200, body.data}, {CLAIM("prod"), 200, CLAIM_BODY}, {NULL, 0, NULL}};
    struct world w = {.routes = routes, .classes = good_classes, .may_clone = true};
    for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
        CLEANUP_JUDGED struct judged j;
        size_t total = 0, count = 0;
        const cJSON *warning;
        create(&w, (enum admission_endpoint)e, SIMPLE(FOREIGN), &j);
        cJSON_ArrayForEach (warning, json_at(j.response, "warnings")) {
            assert_true(strlen(warning->valuestring) <= 120);
            total += strlen(warning->valuestring);
            count++;
        }
        assert_true(total > 3000 && total < 4096);
        assert_true(judged_warns(&j, "is not in allowSecrets: volume \"volume-0\" is left out"));
        assert_true(judged_warns(&j, "more warnings: kubectl wukong plan shows them"));
    }
}

#define EXPANDED "/apis/subresources.kubevirt.io/v1/namespaces/team/virtualmachines/db/expand-spec"
#define PREFERS                                                                                    \
    "{'metadata':{'name':'db','uid':'v1'},'spec':{'runStrategy':'Halted','preference':{'name':"    \
    "'windows.11'},'template':{'spec':{'volumes':[{'name':'root','persistentVolumeClaim':{"        \
    "'claimName':'db-root'}}],'domain':{}}}},'status':{}}"
#define EXPANDED_TO(domain) "{'spec':{'template':{'spec':{'domain':" domain "}}}}"

/* What a preference gives a stopped VM only KubeVirt's expansion shows; a VM that runs shows it. */
static void test_preference(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *expanded, *cause, *warning;
    } rows[] = {
        {200, EXPANDED_TO("{'devices':{'tpm':{'persistent':true}}}"), "persistent TPM", NULL},
        {200, EXPANDED_TO("{'firmware':{'bootloader':{'efi':{'persistent':true}}}}"),
         "persistent EFI", NULL},
        {200, EXPANDED_TO("{'devices':{'tpm':{'persistent':true,'enabled':false}}}"), NULL, NULL},
        {200, EXPANDED_TO("{'devices':{'tpm':{}}}"), NULL, NULL},
        {400, NULL, NULL, "could not check the source now"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct route routes[] = {{VM("team"), 200, PREFERS},
                                       {CLAIM("team"), 200, CLAIM_BODY},
                                       {EXPANDED, rows[i].code, rows[i].expanded},
                                       {NULL, 0, NULL}};
        struct world w = {.routes = routes, .classes = good_classes};
        CLEANUP_JUDGED struct judged j;
        create(&w, ADMISSION_VALIDATE, SIMPLE("'type':'vm','vmName':'db'"), &j);
        assert_non_null(strstr(j.asked, EXPANDED "\n"));
        assert_int_equal(judged_causes(&j), rows[i].cause ? 1 : 0);
        if (rows[i].cause)
            assert_true(judged_has_cause(&j, "spec.cloneSource.vmName", rows[i].cause));
        if (rows[i].warning)
            assert_true(judged_warns(&j, rows[i].warning));
    }
    const struct route runs[] = {{VM("team"), 200, PREFERS},
                                 {VMI("team"), 200, VMI_BODY},
                                 {CLAIM("team"), 200, CLAIM_BODY},
                                 {NULL, 0, NULL}};
    struct world w = {.routes = runs, .classes = good_classes};
    CLEANUP_JUDGED struct judged j;
    create(&w, ADMISSION_VALIDATE, SIMPLE("'type':'vm','vmName':'db','cloneType':'running'"), &j);
    assert_null(strstr(j.asked, EXPANDED));
}

/* Flux dry-runs source and Wukong before either exists: admitted, with a word. */
static void test_missing_source(void **state)
{
    (void)state;
    static const struct route none[] = {{NULL, 0, NULL}};
    struct world w = {.routes = none, .classes = good_classes};
    CLEANUP_JUDGED struct judged j;
    create(&w, ADMISSION_VALIDATE, SIMPLE(OWN), &j);
    assert_int_equal(j.result.verdict, VERDICT_ALLOWED);
    assert_true(judged_warns(&j, "does not exist"));
}

/* The cache knows no class: before that denies, live lists are read. */
static void test_live_before_denial(void **state)
{
    (void)state;
    struct class_facts none = good_classes;
    none.snapshot_class_count = 0;
    struct route routes[] = {
        running[0],
        running[1],
        {LIVE_SC, 200, "{'items':[{'metadata':{'name':'fast'},'provisioner':'csi.example.com'}]}"},
        {LIVE_DRIVERS, 200, "{'items':[{'metadata':{'name':'csi.example.com'}}]}"},
        {LIVE_VSC, 200, "{'items':[]}"},
        {NULL, 0, NULL},
    };
    struct world w = {.routes = routes, .classes = none};
    CLEANUP_JUDGED struct judged denied, admitted;
    create(&w, ADMISSION_VALIDATE, SIMPLE(OWN), &denied);
    assert_int_equal(denied.result.verdict, VERDICT_INVALID);
    assert_true(
        judged_has_cause(&denied, "spec.cloneSource.volumeSnapshotClassName", "csi.example.com"));
    assert_non_null(strstr(denied.asked, LIVE_VSC));
    /* Applied a moment ago, in the same kubectl apply. */
    routes[4].body = "{'items':[{'metadata':{'name':'new','annotations':{}},'driver':"
                     "'csi.example.com','deletionPolicy':'Delete'}]}";
    create(&w, ADMISSION_VALIDATE, SIMPLE(OWN), &admitted);
    if (admitted.result.verdict != VERDICT_ALLOWED)
        fail_msg("%s", admitted.text);
}

static void test_source_lacks_disk(void **state)
{
    (void)state;
    struct world w = {.routes = running, .classes = good_classes};
    CLEANUP_JUDGED struct judged j;
    create(&w, ADMISSION_VALIDATE,
           "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{'name':'w'},"
           "'spec':{'cloneSource':{" OWN "},'disks':[{'name':'rooot'},{'name':'root','size':'1Gi'}"
           "]}}",
           &j);
    assert_int_equal(j.result.verdict, VERDICT_INVALID);
    assert_true(judged_has_cause(&j, "spec.disks[0].name", "") ||
                judged_has_cause(&j, "spec.disks[0]", ""));
    assert_true(judged_has_cause(&j, "spec.disks[1].size", "never shrink"));
}

/* A lookup that fails is no reason to deny: the worker judges again. */
static void test_unreadable(void **state)
{
    (void)state;
    static const struct route broken[] = {
        {VM("team"), 500, NULL}, {VMI("team"), 403, NULL}, {NULL, 0, NULL}};
    struct world w = {.routes = broken, .classes = good_classes};
    CLEANUP_JUDGED struct judged j, late;
    create(&w, ADMISSION_VALIDATE, SIMPLE(OWN), &j);
    assert_int_equal(j.result.verdict, VERDICT_ALLOWED);
    assert_true(judged_warns(&j, "could not check"));
    w.out_of_time = true;
    create(&w, ADMISSION_MUTATE, SIMPLE(OWN), &late);
    assert_int_equal(late.result.verdict, VERDICT_ALLOWED);
    assert_true(judged_warns(&late, "could not check"));
}

/* A clone within its namespace is stamped when a policy asks who: with the user and the groups, so
   that the worker can judge by them too; in the second pass nothing changes; without a key it has
   to come again, as it would be held back for ever; and whoever has more groups than an annotation
   takes is stamped without them. */
static void test_stamped_for_a_policy(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        bool stamped;
    } rows[] = {
        {"{'match':{'subjects':[{'kind':'Group','name':'guests'}]},'rules':{'cloneTypes':['full']}"
         "}",
         true},
        {"{'exclude':{'subjects':[{'kind':'User','name':'alice'}]},'rules':{'cloneTypes':['full']}"
         "}",
         true},
        {"{'rules':{'cloneTypes':['running']}}", false},
    };
    struct stamp expected = {
        .ns = "team", .name = "w", .source_kind = "vmi", .source_ns = "team", .source_name = "db"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a, found_in;
        struct policy p;
        struct stamp found = {0};
        CLEANUP_FREE char *object = xasprintf("{'metadata':{'name':'p1'},'spec':%s}", rows[i].spec);
        decode_policy(&a, object, &p);
        struct world w = {
            .routes = running, .classes = good_classes, .policies = &p, .policy_count = 1};
        CLEANUP_JUDGED struct judged j, again, keyless;
        create(&w, ADMISSION_MUTATE, SIMPLE(OWN), &j);
        if (j.result.verdict != VERDICT_ALLOWED)
            fail_msg("%s: %s", rows[i].spec, j.text);
        enum stamp_verdict v = check_stamp(j.object, &expected, &found, &found_in);
        assert_int_equal(v, rows[i].stamped ? STAMP_GOOD : STAMP_MISSING);
        if (rows[i].stamped) {
            assert_string_equal(found.requester, "alice");
            assert_int_equal(found.group_count, 1);
            assert_string_equal(found.groups[0], "system:authenticated");
        }
        CLEANUP_FREE char *after = json_print(j.object);
        create(&w, ADMISSION_MUTATE, after, &again);
        assert_false(again.patched);
        w.no_stamp_key = true;
        create(&w, ADMISSION_MUTATE, SIMPLE(OWN), &keyless);
        assert_int_equal(keyless.result.verdict,
                         rows[i].stamped ? VERDICT_UNDECIDED : VERDICT_ALLOWED);
        arena_release(&found_in);
        arena_release(&a);
    }
}

static void test_policies(void **state)
{
    (void)state;
    const struct {
        const char *what, *spec, *ns_labels;
        enum admission_verdict verdict;
        const char *warning;
    } rows[] = {
        {"type allowed", "'rules':{'cloneTypes':['running']}", NULL, VERDICT_ALLOWED, NULL},
        {"type refused", "'rules':{'cloneTypes':['full']},'validationActions':['Deny']", NULL,
         VERDICT_DENIED, NULL},
        {"type warned of", "'rules':{'cloneTypes':['full']},'validationActions':['Warn']", NULL,
         VERDICT_ALLOWED, "p1"},
        {"audit only", "'rules':{'cloneTypes':['full']},'validationActions':['Audit']", NULL,
         VERDICT_ALLOWED, NULL},
        /* Of one disk, and without an agent. */
        {"no freeze needed", "'rules':{'minimumConsistency':'CrashConsistent'}", NULL,
         VERDICT_ALLOWED, NULL},
        {"no freeze foreseen", "'rules':{'minimumConsistency':'FilesystemConsistent'}", NULL,
         VERDICT_DENIED, NULL},
        {"no freeze foreseen, and warned of",
         "'rules':{'minimumConsistency':'FilesystemConsistent'},'validationActions':['Warn']", NULL,
         VERDICT_ALLOWED, "agent is not connected"},
        {"by namespace label, matching",
         "'match':{'target':{'namespaceSelector':{'matchLabels':{'env':'prod'}}}},"
         "'rules':{'cloneTypes':['full']}",
         "{'metadata':{'name':'team','labels':{'env':'prod'}}}", VERDICT_DENIED, NULL},
        {"by namespace label, not matching",
         "'match':{'target':{'namespaceSelector':{'matchLabels':{'env':'prod'}}}},"
         "'rules':{'cloneTypes':['full']}",
         "{'metadata':{'name':'team','labels':{'env':'dev'}}}", VERDICT_ALLOWED, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a;
        struct policy p;
        CLEANUP_FREE char *object =
            xasprintf("{'metadata':{'name':'p1'},'spec':{%s}}", rows[i].spec);
        CLEANUP_FREE char *list = xasprintf("{'items':[%s]}", object);
        decode_policy(&a, object, &p);
        struct route routes[] = {running[0],
                                 running[1],
                                 {"/api/v1/namespaces/team", 200, rows[i].ns_labels},
                                 {"/apis/vm.novasphere.dev/v1alpha1/clonepolicies", 200, list},
                                 /* No rights to the other lists: the caches stay in force. */
                                 {LIVE_SC, 403, NULL},
                                 {LIVE_VSC, 403, NULL},
                                 {LIVE_DRIVERS, 403, NULL},
                                 {NULL, 0, NULL}};
        struct world w = {
            .routes = routes, .classes = good_classes, .policies = &p, .policy_count = 1};
        CLEANUP_JUDGED struct judged j;
        create(&w, ADMISSION_VALIDATE, SIMPLE(OWN), &j);
        if (j.result.verdict != rows[i].verdict ||
            (rows[i].warning && !judged_warns(&j, rows[i].warning)))
            fail_msg("%s: %s", rows[i].what, j.text);
        if (rows[i].verdict == VERDICT_DENIED) {
            assert_true(str_starts(judged_str(&j, "status.message"), "ClonePolicy \"p1\""));
            assert_string_equal(judged_str(&j, "auditAnnotations.policies"), "p1");
            /* Deleted a moment ago: the live list says so. */
            routes[3].body = "{'items':[]}";
            CLEANUP_JUDGED struct judged gone;
            create(&w, ADMISSION_VALIDATE, SIMPLE(OWN), &gone);
            assert_int_equal(gone.result.verdict, VERDICT_ALLOWED);
        }
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running_source),     cmocka_unit_test(test_many_warnings),
        cmocka_unit_test(test_preference),         cmocka_unit_test(test_missing_source),
        cmocka_unit_test(test_live_before_denial), cmocka_unit_test(test_source_lacks_disk),
        cmocka_unit_test(test_unreadable),         cmocka_unit_test(test_stamped_for_a_policy),
        cmocka_unit_test(test_policies),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
