/*
 * Proves the judgement of a source: what is looked up in which order, what denies and what only
 * warns, that nothing of a foreign namespace is read before the requester's right to it is known,
 * and that no denial rests on a cache alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admission_world.h"
#include "base/mem.h"
#include "base/str.h"
#include "wukong/stamp.h"

#define WUKONG(name, more, source)                                                                 \
    "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{" name                 \
    ",'namespace':'team'" more "},'spec':{'cloneSource':{" source "}}}"
#define SIMPLE(source) WUKONG("'name':'w'", "", source)
#define OWN "'type':'vmi','vmiName':'db'"
#define FOREIGN "'type':'vmi','vmiName':'db','namespace':'prod'"

#define VM(ns) "/apis/kubevirt.io/v1/namespaces/" ns "/virtualmachines/db"
#define VMI(ns) "/apis/kubevirt.io/v1/namespaces/" ns "/virtualmachineinstances/db"
#define CLAIM(ns) "/api/v1/namespaces/" ns "/persistentvolumeclaims/db-root"
#define SAR "/apis/authorization.k8s.io/v1/subjectaccessreviews\n"
#define CDI "/apis/cdi.kubevirt.io/v1beta1"
#define LIVE_SC "/apis/storage.k8s.io/v1/storageclasses"
#define LIVE_VSC "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses"
#define LIVE_DRIVERS "/apis/storage.k8s.io/v1/csidrivers"

#define VMI_BODY                                                                                   \
    "{'metadata':{'name':'db','uid':'i1','labels':{'app':'db'}},'spec':{'volumes':[{'name':"       \
    "'root','persistentVolumeClaim':{'claimName':'db-root'}}],'domain':{'devices':{'disks':[{"     \
    "'name':'root','disk':{}}]}}},'status':{'phase':'Running'}}"
#define VM_BODY                                                                                    \
    "{'metadata':{'name':'db','uid':'v1'},'spec':{'runStrategy':'Halted','template':{'spec':{"     \
    "'volumes':[{'name':'root','persistentVolumeClaim':{'claimName':'db-root'}}],'domain':{"       \
    "'devices':{'disks':[{'name':'root','disk':{}}]}}}}},'status':{}}"
#define CLAIM_BODY                                                                                 \
    "{'metadata':{'name':'db-root'},'spec':{'storageClassName':'fast','volumeMode':'Block',"       \
    "'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'10Gi'}}},"                \
    "'status':{'phase':'Bound','capacity':{'storage':'10Gi'}}}"

static const struct route running[] = {
    {VMI("team"), 200, VMI_BODY},
    {CLAIM("team"), 200, CLAIM_BODY},
    {VMI("prod"), 200, VMI_BODY},
    {CLAIM("prod"), 200, CLAIM_BODY},
    {NULL, 0, NULL},
};

static const struct storage_class_facts storage[] = {
    {.name = "fast", .provisioner = "csi.example.com", .expansion = true}};
static const struct snapshot_class_facts snapshot[] = {
    {.name = "snap", .driver = "csi.example.com", .is_default = true}};
static const char *const drivers[] = {"csi.example.com"};
static const struct class_facts good_classes = {.looked_up = true,
                                                .snapshot_api = true,
                                                .drivers_known = true,
                                                .storage_classes = storage,
                                                .storage_class_count = 1,
                                                .snapshot_classes = snapshot,
                                                .snapshot_class_count = 1,
                                                .drivers = drivers,
                                                .driver_count = 1};

static void create(const struct world *w, enum admission_endpoint endpoint, const char *object,
                   struct judged *ret)
{
    world_judge(w, endpoint, "CREATE", "team", object, NULL, ret);
}

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

/* Flux dry-runs source and Wukong before either exists: admitted, with a word. */
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
        {400, NULL, NULL, "could not be checked now"},
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

/* A look that fails is no reason to deny: the worker judges again. */
static void test_unreadable(void **state)
{
    (void)state;
    static const struct route broken[] = {
        {VM("team"), 500, NULL}, {VMI("team"), 403, NULL}, {NULL, 0, NULL}};
    struct world w = {.routes = broken, .classes = good_classes};
    CLEANUP_JUDGED struct judged j, late;
    create(&w, ADMISSION_VALIDATE, SIMPLE(OWN), &j);
    assert_int_equal(j.result.verdict, VERDICT_ALLOWED);
    assert_true(judged_warns(&j, "could not be checked"));
    w.out_of_time = true;
    create(&w, ADMISSION_MUTATE, SIMPLE(OWN), &late);
    assert_int_equal(late.result.verdict, VERDICT_ALLOWED);
    assert_true(judged_warns(&late, "could not be checked"));
}

/* --- Another namespace ----------------------------------------------------------------------- */

static void test_denied(void **state)
{
    (void)state;
    static const struct route none[] = {{NULL, 0, NULL}};
    char *answers[2] = {NULL, NULL};
    for (int there = 0; there <= 1; there++) {
        struct world w = {.routes = there ? running : none, .classes = good_classes};
        CLEANUP_JUDGED struct judged j, v;
        create(&w, ADMISSION_MUTATE, SIMPLE(FOREIGN), &j);
        assert_int_equal(j.result.verdict, VERDICT_DENIED);
        assert_string_equal(j.asked, SAR); /* and nothing else */
        assert_string_equal(judged_str(&j, "status.reason"), "Forbidden");
        const char *message = judged_str(&j, "status.message");
        assert_non_null(strstr(message, "alice"));
        assert_non_null(strstr(message, "kubectl -n prod create role"));
        assert_non_null(strstr(message, "wukongs.vm.novasphere.dev/source"));
        assert_null(json_get(j.response, "warnings"));
        create(&w, ADMISSION_VALIDATE, SIMPLE(FOREIGN), &v);
        assert_int_equal(v.result.verdict, VERDICT_DENIED);
        answers[there] = xstrdup(j.text);
    }
    /* The same words, whether the source exists or not. */
    assert_string_equal(answers[0], answers[1]);
    free(answers[0]), free(answers[1]);
}

/* Field errors and the missing right in one answer; still nothing is read. */
static void test_denied_and_invalid(void **state)
{
    (void)state;
    struct world w = {.routes = running, .classes = good_classes};
    CLEANUP_JUDGED struct judged j;
    create(&w, ADMISSION_MUTATE, SIMPLE(FOREIGN ",'deadlineSeconds':-5"), &j);
    assert_int_equal(j.result.verdict, VERDICT_INVALID);
    assert_string_equal(j.asked, SAR);
    assert_true(judged_has_cause(&j, "spec.cloneSource", "may not clone"));
    assert_true(judged_has_cause(&j, "spec.cloneSource.deadlineSeconds", ""));
}

static void test_review_of_the_user(void **state)
{
    (void)state;
    struct world w = {.routes = running,
                      .classes = good_classes,
                      .may_clone = true,
                      .user_info = "{'username':'system:serviceaccount:a:b','uid':'u-1','groups':["
                                   "'g1','g2'],'extra':{'authentication.kubernetes.io/"
                                   "credential-id':['JTI=1']}}"};
    CLEANUP_JUDGED struct judged j;
    create(&w, ADMISSION_VALIDATE, SIMPLE(FOREIGN), &j);
    CLEANUP_FREE char *expected = world_quotes(
        "{'apiVersion':'authorization.k8s.io/v1','kind':'SubjectAccessReview','spec':{"
        "'resourceAttributes':{'namespace':'prod','verb':'create','group':'vm.novasphere.dev',"
        "'version':'v1alpha1','resource':'wukongs','subresource':'source','name':'db'},"
        "'user':'system:serviceaccount:a:b','uid':'u-1','groups':['g1','g2'],'extra':{"
        "'authentication.kubernetes.io/credential-id':['JTI=1']}}}\n");
    assert_string_equal(j.bodies, expected);
}

static void test_undecided(void **state)
{
    (void)state;
    struct world w = {.routes = running, .classes = good_classes, .access_code = 500};
    CLEANUP_JUDGED struct judged j, v, late;
    create(&w, ADMISSION_MUTATE, SIMPLE(FOREIGN), &j);
    assert_int_equal(j.result.verdict, VERDICT_UNDECIDED);
    assert_string_equal(j.asked, SAR);
    create(&w, ADMISSION_VALIDATE, SIMPLE(FOREIGN), &v);
    assert_int_equal(v.result.verdict, VERDICT_UNDECIDED);
    assert_string_equal(v.asked, SAR);
    w.out_of_time = true;
    create(&w, ADMISSION_MUTATE, SIMPLE(FOREIGN), &late);
    assert_int_equal(late.result.verdict, VERDICT_UNDECIDED);
    w = (struct world){.routes = running, .classes = good_classes, .no_cross_namespace = true};
    CLEANUP_JUDGED struct judged off;
    create(&w, ADMISSION_MUTATE, SIMPLE(FOREIGN), &off);
    assert_int_equal(off.result.verdict, VERDICT_DENIED);
    assert_string_equal(off.asked, "");
}

/* Neither a clone that nobody would carry out nor one whose source cannot be read is admitted, and
   nothing of the other namespace is asked for. */
static void test_not_served(void **state)
{
    (void)state;
    static const struct {
        const char *served, *denied; /* NULL: nothing */
    } rows[] = {{"prod,team", NULL}, {"team", "\"prod\""}, {"prod", "\"team\""}, {"", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scope scope;
        struct err err = {0};
        assert_int_equal(scope_parse(rows[i].served, &scope, &err), 0);
        struct world w = {
            .routes = running, .classes = good_classes, .may_clone = true, .scope = &scope};
        CLEANUP_JUDGED struct judged j;
        create(&w, ADMISSION_MUTATE, SIMPLE(FOREIGN), &j);
        assert_int_equal(j.result.verdict, rows[i].denied ? VERDICT_DENIED : VERDICT_ALLOWED);
        if (rows[i].denied) {
            assert_string_equal(j.asked, "");
            assert_string_equal(j.result.reason, "NamespaceNotServed");
            assert_non_null(strstr(judged_str(&j, "status.message"), rows[i].denied));
        }
        scope_release(&scope);
    }
}

static enum stamp_verdict check_stamp(const cJSON *object, const struct stamp *expected,
                                      struct stamp *ret, struct arena *a)
{
    arena_init(a, MIB);
    return stamp_verify(json_str(object, "metadata.annotations[" WUKONG_STAMP_ANNOTATION "]"),
                        world_public_key, expected, WORLD_NOW + 1000, a, ret);
}

static void test_stamped(void **state)
{
    (void)state;
    struct world w = {.routes = running, .classes = good_classes, .may_clone = true};
    struct stamp expected = {
        .ns = "team", .name = "w", .source_kind = "vmi", .source_ns = "prod", .source_name = "db"};
    const char *const objects[] = {
        SIMPLE(FOREIGN),
        WUKONG("'generateName':'w-'", "", FOREIGN),
        /* A stamp that the user brings along is overwritten, other annotations stay. */
        WUKONG("'name':'w'", ",'annotations':{'vm.novasphere.dev/admission':'v1.e30.AAAA','a':'b'}",
               FOREIGN),
    };
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        CLEANUP_JUDGED struct judged j, again, validating;
        create(&w, ADMISSION_MUTATE, objects[i], &j);
        if (j.result.verdict != VERDICT_ALLOWED)
            fail_msg("%s", j.text);
        struct arena a;
        struct stamp found;
        expected.name = i == 1 ? "w-abcde" : "w";
        expected.generate_name = i == 1 ? "w-" : NULL;
        assert_int_equal(check_stamp(j.object, &expected, &found, &a), STAMP_GOOD);
        assert_string_equal(found.requester, "alice");
        assert_false(found.may_start);
        arena_release(&a);
        if (i == 2)
            assert_string_equal(json_str(j.object, "metadata.annotations[a]"), "b");
        /* A second pass over the result changes nothing, although signatures are random. */
        CLEANUP_FREE char *after = json_print(j.object);
        create(&w, ADMISSION_MUTATE, after, &again);
        assert_false(again.patched);
        /* Later, or for somebody else, it does. */
        struct world later = w;
        later.now_ms = WORLD_NOW + 40000;
        CLEANUP_JUDGED struct judged new_one;
        create(&later, ADMISSION_MUTATE, after, &new_one);
        assert_true(new_one.patched);
        create(&w, ADMISSION_VALIDATE, after, &validating);
        assert_int_equal(validating.result.verdict, VERDICT_ALLOWED);
    }
    w.no_stamp_key = true;
    CLEANUP_JUDGED struct judged keyless;
    create(&w, ADMISSION_MUTATE, SIMPLE(FOREIGN), &keyless);
    assert_int_equal(keyless.result.verdict, VERDICT_UNDECIDED);
}

static void decode_policy(struct arena *a, const char *text, struct policy *ret)
{
    CLEANUP_FREE char *json = world_quotes(text);
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    arena_init(a, MIB);
    assert_int_equal(json_parse(json, strlen(json), true, &tree, &err), 0);
    policy_decode(a, tree, ret);
    assert_null(ret->broken);
}

/* Who has no right to a source learns nothing of it, whatever there is, whatever a policy says of
   it and whatever else the Wukong asks for: the same bytes, after the same look-ups, which are of
   rights alone. Only what is judged without a look may differ between Wukongs. */
static void test_denied_learns_nothing(void **state)
{
    (void)state;
    static const struct route none[] = {{NULL, 0, NULL}};
    static const struct route all[] = {
        {VMI("prod"), 200, VMI_BODY},
        {VM("prod"), 200, VM_BODY},
        {CLAIM("prod"), 200, CLAIM_BODY},
        {"/api/v1/namespaces/prod", 200, "{'metadata':{}}"},
        {NULL, 0, NULL},
    };
    static const struct route halted[] = {{VM("prod"), 200, VM_BODY}, {NULL, 0, NULL}};
    static const struct route broken[] = {{VMI("prod"), 500, NULL}, {NULL, 0, NULL}};
    const struct route *const worlds[] = {none, all, halted, broken, running};
    static const char *const sources[] = {
        FOREIGN,
        "'type':'vm','vmName':'db','namespace':'prod','cloneType':'running'",
        "'type':'vm','vmName':'db','namespace':'prod','cloneType':'linked'",
        FOREIGN ",'volumeSnapshotClassName':'nope'",
        FOREIGN ",'deadlineSeconds':-5",
    };
    struct arena a;
    struct policy p;
    decode_policy(&a,
                  "{'metadata':{'name':'p'},'spec':{'match':{'source':{'namespaceSelector':{"
                  "'matchLabels':{'env':'prod'}}}},'rules':{'requireSource':'Running'}}}",
                  &p);
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
            CLEANUP_FREE char *object = xasprintf(SIMPLE("%s"), sources[i]);
            CLEANUP_JUDGED struct judged first = {0};
            for (size_t k = 0; k < ARRAY_LEN(worlds) * 2; k++) {
                struct world w = {.routes = worlds[k / 2],
                                  .classes = good_classes,
                                  .policies = &p,
                                  .policy_count = k % 2};
                CLEANUP_JUDGED struct judged j;
                create(&w, (enum admission_endpoint)e, object, k ? &j : &first);
                if (k == 0)
                    continue;
                assert_string_equal(j.text, first.text);
                assert_string_equal(j.asked, first.asked);
            }
            assert_true(str_eq(first.asked, SAR) || str_eq(first.asked, SAR SAR));
        }
    arena_release(&a);
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

/* Starting a stopped VM of somebody else needs a second right. */
static void test_foreign_start(void **state)
{
    (void)state;
    static const struct route stopped[] = {
        {VM("prod"), 200, VM_BODY}, {CLAIM("prod"), 200, CLAIM_BODY}, {NULL, 0, NULL}};
    static const struct route up[] = {{VM("prod"), 200, VM_BODY},
                                      {VMI("prod"), 200, VMI_BODY},
                                      {CLAIM("prod"), 200, CLAIM_BODY},
                                      {NULL, 0, NULL}};
#define START "'type':'vm','vmName':'db','namespace':'prod','cloneType':'running'"
    const struct {
        const char *what;
        const struct route *routes;
        bool may_start;
        enum admission_verdict verdict;
    } rows[] = {
        {"stopped, may start", stopped, true, VERDICT_ALLOWED},
        {"stopped, may not", stopped, false, VERDICT_DENIED},
        {"running, may not", up, false, VERDICT_ALLOWED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = {.routes = rows[i].routes,
                          .classes = good_classes,
                          .may_clone = true,
                          .may_start = rows[i].may_start};
        CLEANUP_JUDGED struct judged j;
        create(&w, ADMISSION_MUTATE, SIMPLE(START), &j);
        if (j.result.verdict != rows[i].verdict)
            fail_msg("%s: %s", rows[i].what, j.text);
        if (rows[i].verdict == VERDICT_DENIED) {
            assert_non_null(strstr(judged_str(&j, "status.message"), "may not start"));
            continue;
        }
        struct arena a;
        struct stamp found, expected = {.ns = "team",
                                        .name = "w",
                                        .source_kind = "vm",
                                        .source_ns = "prod",
                                        .source_name = "db"};
        assert_int_equal(check_stamp(j.object, &expected, &found, &a), STAMP_GOOD);
        assert_int_equal(found.may_start, rows[i].may_start);
        arena_release(&a);
    }
}

/* --- Policies -------------------------------------------------------------------------------- */

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
        cmocka_unit_test(test_running_source),
        cmocka_unit_test(test_many_warnings),
        cmocka_unit_test(test_preference),
        cmocka_unit_test(test_missing_source),
        cmocka_unit_test(test_live_before_denial),
        cmocka_unit_test(test_source_lacks_disk),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_denied_and_invalid),
        cmocka_unit_test(test_review_of_the_user),
        cmocka_unit_test(test_undecided),
        cmocka_unit_test(test_not_served),
        cmocka_unit_test(test_stamped),
        cmocka_unit_test(test_stamped_for_a_policy),
        cmocka_unit_test(test_foreign_start),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_denied_learns_nothing),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
