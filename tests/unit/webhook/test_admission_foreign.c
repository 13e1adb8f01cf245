/*
 * Proves the judgement of a source in another namespace: nothing of it is read before the
 * requester's right to it is known, a denial says who can give the right and nothing else, the
 * right is asked for the user who asks, and what is admitted is stamped for the worker.
 */
#include "admission_sources.h"

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

/* Who has no right to a source learns nothing of it, whatever there is, whatever a policy says of
   it and whatever else the Wukong asks for: the same bytes, after the same lookups, which are of
   rights alone. Only what is judged without a lookup may differ between Wukongs. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_denied_and_invalid),
        cmocka_unit_test(test_review_of_the_user),
        cmocka_unit_test(test_undecided),
        cmocka_unit_test(test_not_served),
        cmocka_unit_test(test_stamped),
        cmocka_unit_test(test_denied_learns_nothing),
        cmocka_unit_test(test_foreign_start),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
