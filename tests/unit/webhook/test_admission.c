/*
 * Proves what the endpoints answer for what is in the object alone: the envelope, field errors,
 * defaults, UPDATE. Every answer passes the API server's own check (admission_world.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admission_world.h"
#include "base/mem.h"
#include "base/str.h"

#define META                                                                                       \
    "'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{'name':'w',"            \
    "'namespace':'ns'}"
#define SPEC(text) "{" META ",'spec':{" text "}}"
#define CLONE(text) SPEC("'cloneSource':{" text "}")

static const struct world world = {0};

static void create(enum admission_endpoint endpoint, const char *object, struct judged *ret)
{
    world_judge(&world, endpoint, "CREATE", "ns", object, NULL, ret);
}

/* Not a clone: judged by the common rules, not changed, nothing looked up. */
static void test_no_clone(void **state)
{
    (void)state;
    for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
        CLEANUP_JUDGED struct judged j;
        create((enum admission_endpoint)e, SPEC("'cpu':2,'memory':'4Gi'"), &j);
        assert_int_equal(j.result.verdict, VERDICT_ALLOWED);
        assert_false(j.patched);
        assert_string_equal(j.asked, "");
        assert_string_equal(judged_str(&j, "auditAnnotations.decision"), "allowed");
    }
}

/* Ten mistakes, ten causes, at both endpoints. */
static void test_all_causes(void **state)
{
    (void)state;
    for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
        CLEANUP_JUDGED struct judged j;
        create((enum admission_endpoint)e,
               SPEC("'cpu':0,'memory':'12 GB','replicas':101,'reclaimPolicy':'Keep',"
                    "'cloneSource':{'type':'vmi','vmName':'a','cloneType':'runing',"
                    "'quiesce':'Sometimes','deadlineSeconds':-1,"
                    "'window':{'schedule':'61 * * * *','duration':'6h'}},"
                    "'disks':[{'name':'Root','size':'abc'}]"),
               &j);
        assert_int_equal(j.result.verdict, VERDICT_INVALID);
        assert_true(judged_causes(&j) >= 10);
        assert_true(judged_has_cause(&j, "spec.cpu", "between 1 and 64"));
        assert_true(judged_has_cause(&j, "spec.memory", "12 GB"));
        assert_true(judged_has_cause(&j, "spec.cloneSource.vmiName", "needs vmiName"));
        assert_true(judged_has_cause(&j, "spec.cloneSource.cloneType", "did you mean"));
        assert_true(judged_has_cause(&j, "spec.disks[0].size", "abc"));
        assert_string_equal(judged_str(&j, "status.details.name"), "w");
        assert_string_equal(judged_str(&j, "auditAnnotations.decision"), "invalid");
        assert_true(str_starts(judged_str(&j, "status.message"),
                               "Wukong.vm.novasphere.dev \"w\" is invalid: ["));
        assert_string_equal(j.asked, "");
    }
}

static void test_defaults(void **state)
{
    (void)state;
    const struct {
        const char *what, *source, *clone_type, *ns;
        bool patched;
    } rows[] = {
        {"vmi", "'type':'vmi','vmiName':'a'", "running", "ns", true},
        {"vm", "'type':'vm','vmName':'a'", "full", "ns", true},
        {"type given", "'type':'vm','vmName':'a','cloneType':'linked'", "linked", "ns", true},
        {"namespace given", "'type':'vm','vmName':'a','namespace':'ns'", "full", "ns", true},
        {"both", "'type':'vm','vmName':'a','cloneType':'running','namespace':'ns'", "running", "ns",
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE char *object = xasprintf(CLONE("%s"), rows[i].source);
        CLEANUP_JUDGED struct judged j, again, validating;
        create(ADMISSION_MUTATE, object, &j);
        if (j.patched != rows[i].patched || j.result.verdict != VERDICT_ALLOWED)
            fail_msg("%s: %s", rows[i].what, j.text);
        assert_string_equal(json_str(j.object, "spec.cloneSource.cloneType"), rows[i].clone_type);
        assert_string_equal(json_str(j.object, "spec.cloneSource.namespace"), rows[i].ns);
        assert_null(json_at(j.object, "metadata.annotations"));
        /* Once more, with the result: nothing left to change. */
        CLEANUP_FREE char *after = json_print(j.object);
        create(ADMISSION_MUTATE, after, &again);
        assert_false(again.patched);
        create(ADMISSION_VALIDATE, after, &validating);
        assert_int_equal(validating.result.verdict, VERDICT_ALLOWED);
    }
}

/* A stamp is taken off whatever needs none. */
static void test_stamp_in_own_namespace(void **state)
{
    (void)state;
    CLEANUP_JUDGED struct judged j;
    create(ADMISSION_MUTATE,
           "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{'name':'w',"
           "'namespace':'ns','annotations':{'vm.novasphere.dev/admission':'v1.x.y','a':'b'}},"
           "'spec':{'cpu':1,'memory':'1Gi'}}",
           &j);
    assert_true(j.patched);
    assert_null(json_str(j.object, "metadata.annotations[vm.novasphere.dev/admission]"));
    assert_string_equal(json_str(j.object, "metadata.annotations[a]"), "b");
}

/* --- UPDATE ---------------------------------------------------------------------------------- */

#define STAMPED(spec)                                                                              \
    "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{'name':'w',"           \
    "'namespace':'ns','annotations':{'vm.novasphere.dev/admission':'v1.x.y'}},'spec':{" spec "}}"
#define OLD_CLONE                                                                                  \
    "'cloneSource':{'type':'vm','vmName':'a','cloneType':'linked','namespace':'other'}"

/* kubectl replace with the manifest as the user has it: what the webhook wrote comes back. */
static void test_replace(void **state)
{
    (void)state;
    CLEANUP_JUDGED struct judged j;
    world_judge(&world, ADMISSION_MUTATE, "UPDATE", "ns", CLONE("'type':'vm','vmName':'a'"),
                STAMPED(OLD_CLONE), &j);
    assert_int_equal(j.result.verdict, VERDICT_ALLOWED);
    assert_string_equal(json_str(j.object, "spec.cloneSource.cloneType"), "linked");
    assert_string_equal(json_str(j.object, "spec.cloneSource.namespace"), "other");
    assert_string_equal(json_str(j.object, "metadata.annotations[vm.novasphere.dev/admission]"),
                        "v1.x.y");
    assert_string_equal(j.asked, "");
}

static void test_update(void **state)
{
    (void)state;
    const struct {
        const char *what, *object, *old, *field;
        enum admission_verdict mutating, validating;
    } rows[] = {
        {"nothing", STAMPED(OLD_CLONE), STAMPED(OLD_CLONE), NULL, VERDICT_ALLOWED, VERDICT_ALLOWED},
        {"reclaim policy", STAMPED(OLD_CLONE ",'reclaimPolicy':'Retain'"), STAMPED(OLD_CLONE), NULL,
         VERDICT_ALLOWED, VERDICT_ALLOWED},
        {"source",
         STAMPED("'cloneSource':{'type':'vm','vmName':'b','cloneType':'linked',"
                 "'namespace':'other'}"),
         STAMPED(OLD_CLONE), "spec.cloneSource.vmName", VERDICT_INVALID, VERDICT_INVALID},
        {"namespace",
         STAMPED("'cloneSource':{'type':'vm','vmName':'a','cloneType':'linked',"
                 "'namespace':'third'}"),
         STAMPED(OLD_CLONE), "spec.cloneSource.namespace", VERDICT_INVALID, VERDICT_INVALID},
        {"source removed", STAMPED("'cpu':1,'memory':'1Gi'"), STAMPED(OLD_CLONE),
         "spec.cloneSource", VERDICT_INVALID, VERDICT_INVALID},
        {"size by value", SPEC(OLD_CLONE ",'disks':[{'name':'d','size':'10240Mi'}]"),
         SPEC(OLD_CLONE ",'disks':[{'name':'d','size':'10Gi'}]"), NULL, VERDICT_ALLOWED,
         VERDICT_ALLOWED},
        /* An old mistake that nobody touched does not stand in the way of another change. */
        {"ratcheting", SPEC("'cpu':100,'memory':'1Gi','reclaimPolicy':'Retain'"),
         SPEC("'cpu':100,'memory':'1Gi'"), NULL, VERDICT_ALLOWED, VERDICT_ALLOWED},
        {"new mistake", SPEC("'cpu':100,'memory':'1Gi'"), SPEC("'cpu':4,'memory':'1Gi'"),
         "spec.cpu", VERDICT_INVALID, VERDICT_INVALID},
        /* The mutating endpoint puts the stamp right; who gets past it is refused. */
        {"stamp forged", STAMPED(OLD_CLONE), SPEC(OLD_CLONE), NULL, VERDICT_ALLOWED,
         VERDICT_DENIED},
        {"stamp removed", SPEC(OLD_CLONE), STAMPED(OLD_CLONE), NULL, VERDICT_ALLOWED,
         VERDICT_DENIED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JUDGED struct judged m, v;
        world_judge(&world, ADMISSION_MUTATE, "UPDATE", "ns", rows[i].object, rows[i].old, &m);
        world_judge(&world, ADMISSION_VALIDATE, "UPDATE", "ns", rows[i].object, rows[i].old, &v);
        if (m.result.verdict != rows[i].mutating || v.result.verdict != rows[i].validating)
            fail_msg("%s:\n%s\n%s", rows[i].what, m.text, v.text);
        if (rows[i].field && !judged_has_cause(&v, rows[i].field, ""))
            fail_msg("%s: %s", rows[i].what, v.text);
        CLEANUP_FREE char *old = world_quotes(rows[i].old);
        CLEANUP_JSON cJSON *old_tree = NULL;
        struct err err = {0};
        assert_int_equal(json_parse(old, strlen(old), true, &old_tree, &err), 0);
        static const char stamp[] = "metadata.annotations[vm.novasphere.dev/admission]";
        if (m.result.verdict == VERDICT_ALLOWED &&
            !str_eq(json_str(old_tree, stamp), json_str(m.object, stamp)))
            fail_msg("%s: the stamp is not the old one", rows[i].what);
    }
}

/* While it is being deleted: finalizers can go, a changed spec is still judged. */
static void test_deleting(void **state)
{
    (void)state;
#define DYING(finalizers, spec)                                                                    \
    "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{'name':'w',"           \
    "'namespace':'ns','deletionTimestamp':'2026-01-01T00:00:00Z','finalizers':[" finalizers        \
    "]},'spec':{" spec "}}"
    for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
        CLEANUP_JUDGED struct judged free_it, change_it;
        world_judge(&world, (enum admission_endpoint)e, "UPDATE", "ns",
                    DYING("", "'cpu':100,'memory':'x'"),
                    DYING("'vm.novasphere.dev/clone'", "'cpu':100,'memory':'x'"), &free_it);
        assert_int_equal(free_it.result.verdict, VERDICT_ALLOWED);
        world_judge(&world, (enum admission_endpoint)e, "UPDATE", "ns",
                    DYING("", "'cpu':200,'memory':'1Gi'"),
                    DYING("'vm.novasphere.dev/clone'", "'cpu':1,'memory':'1Gi'"), &change_it);
        assert_int_equal(change_it.result.verdict, VERDICT_INVALID);
    }
}

/* --- The envelope ---------------------------------------------------------------------------- */

static void test_not_judged(void **state)
{
    (void)state;
    const struct {
        const char *what, *resource, *sub, *operation, *object, *old;
    } rows[] = {
        {"delete", "wukongs", "", "DELETE", "null", "{}"},
        {"delete of a collection", "wukongs", "", "DELETE", "null", "null"},
        {"connect", "wukongs", "proxy", "CONNECT", "null", "null"},
        {"status", "wukongs", "status", "UPDATE", "{'spec':{'cpu':0}}", "{}"},
        {"a policy that goes", "clonepolicies", "", "DELETE", "null", "{}"},
        {"a policy's status", "clonepolicies", "status", "UPDATE", "{'spec':5}", "{}"},
        {"another resource", "guests", "", "CREATE", "{'spec':5}", "null"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE char *single = xasprintf(
            "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1','request':{'uid':'u',"
            "'resource':{'group':'vm.novasphere.dev','version':'v1alpha1','resource':'%s'},"
            "'subResource':'%s','operation':'%s','userInfo':{},'object':%s,'oldObject':%s}}",
            rows[i].resource, rows[i].sub, rows[i].operation, rows[i].object, rows[i].old);
        CLEANUP_FREE char *bytes = world_quotes(single);
        CLEANUP_JUDGED struct judged j = {0};
        world_judge_bytes(&world, ADMISSION_VALIDATE, bytes, &j);
        if (j.result.verdict != VERDICT_ALLOWED || !strstr(j.text, "\"allowed\":true"))
            fail_msg("%s: %s", rows[i].what, j.text);
    }
}

static void test_malformed(void **state)
{
    (void)state;
#define REQUEST(more)                                                                              \
    "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1','request':{'uid':'u',"           \
    "'resource':{'group':'vm.novasphere.dev','version':'v1alpha1','resource':'wukongs'}" more "}}"
    const char *const rows[] = {
        "",
        "{",
        "[]",
        "null",
        "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1beta1','request':{}}",
        "{'kind':'Pod','apiVersion':'admission.k8s.io/v1'}",
        "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1'}",
        REQUEST(""),
        REQUEST(",'operation':'CREATE','userInfo':{}"),
        REQUEST(",'operation':'CREATE','userInfo':{},'object':5"),
        REQUEST(",'operation':'UPDATE','userInfo':{},'object':{}"),
        REQUEST(",'operation':'create','userInfo':{},'object':{}"),
        REQUEST(",'operation':'CREATE','object':{}"),
        REQUEST(",'operation':'DELETE','userInfo':{},'uid':'twice'"),
        "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1','request':{'uid':5,"
        "'operation':'DELETE','userInfo':{}}}",
        "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1','request':{'uid':'u',"
        "'operation':'CREATE','userInfo':{},'object':{},'resource':{'group':'vm.novasphere.dev',"
        "'version':'v9','resource':'wukongs'}}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE char *bytes = world_quotes(rows[i]);
        CLEANUP_JUDGED struct judged j = {0};
        world_judge_bytes(&world, ADMISSION_MUTATE, bytes, &j);
        if (j.result.verdict != VERDICT_MALFORMED || strlen(j.text) < 10)
            fail_msg("row %zu: %s", i, j.text);
    }
}

/* So is what the API server stores and nobody should write: a character that is none. */
static void test_odd_characters(void **state)
{
    (void)state;
    static const char *const values[] = {"a\\u0000b", "\\ud800", "\xff"};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        CLEANUP_FREE char *object = xasprintf(
            REQUEST(",'operation':'CREATE','userInfo':{},'object':{'metadata':{'annotations':{"
                    "'n':'%s'}}}"),
            values[i]);
        CLEANUP_FREE char *bytes = world_quotes(object);
        CLEANUP_JUDGED struct judged j = {0};
        world_judge_bytes(&world, ADMISSION_MUTATE, bytes, &j);
        if (j.result.verdict != VERDICT_INVALID || !strstr(j.text, "\"uid\":\"u\"") ||
            !strstr(j.text, "\"reason\":\"BadRequest\"") || !strstr(j.text, "cannot be read"))
            fail_msg("row %zu: %s", i, j.text);
    }
}

/* What is too large to be read is refused in words that reach the user: with its uid. */
static void test_too_large(void **state)
{
    (void)state;
    static const char *const items[] = {"1,", "[[[[[[[[[[[[[[[[[[[[[[[[[", "{},"};
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        CLEANUP_BUF struct buf bytes = BUF_INIT(4 * MIB);
        CLEANUP_JUDGED struct judged j = {0};
        buf_adds(&bytes, "{\"kind\":\"AdmissionReview\",\"uid\":\"not me\",\"a\":[\"uid\",\"b\"],"
                         "\"request\":{\"x\":{\"uid\":\"nor me\"},\"uid\":\"" WORLD_UID
                         "\",\"object\":{\"spec\":{\"disks\":[");
        for (int n = 0; n < 60000; n++)
            buf_adds(&bytes, items[i]);
        assert_true(buf_ok(&bytes));
        world_judge_bytes(&world, ADMISSION_VALIDATE, bytes.data, &j);
        assert_int_equal(j.result.verdict, VERDICT_INVALID);
        assert_non_null(strstr(j.text, "\"uid\":\"" WORLD_UID "\""));
        assert_non_null(strstr(j.text, "remove some"));
        assert_non_null(strstr(j.text, "\"code\":413"));
    }
}

/* Any shape of object gets an answer, and one that the API server accepts. */
static void test_odd_objects(void **state)
{
    (void)state;
    const char *const rows[] = {
        "{}",
        "{'spec':null}",
        "{'spec':[]}",
        "{'metadata':5,'spec':{'cloneSource':5}}",
        "{'metadata':{'annotations':5,'name':7},'spec':{'cloneSource':{'type':'vm','vmName':{}}}}",
        ("{'metadata':{'annotations':null,'name':'x'},'spec':{'cloneSource':{'type':'vm',"
         "'vmName':'a','namespace':null,'cloneType':null}}}"),
        "{'spec':{'cpu':9007199254740993,'disks':[null,5,{'name':[]}]}}",
        "{'spec':{'cloneSource':{'type':'vm','vmName':'../../x','namespace':'a/b'}}}",
        "{'metadata':{'name':'w'},'spec':{'cloneSource':{'type':'vmi','namespace':'prod'}}}",
        "{'metadata':{'name':'w'},'spec':{'cloneSource':{'vmName':'a','namespace':'prod'}}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
            CLEANUP_JUDGED struct judged j, k;
            create((enum admission_endpoint)e, rows[i], &j);
            assert_null(strstr(j.asked, ".."));
            world_judge(&world, (enum admission_endpoint)e, "UPDATE", "ns", rows[i],
                        rows[(i + 1) % ARRAY_LEN(rows)], &k);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_clone),       cmocka_unit_test(test_all_causes),
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_stamp_in_own_namespace),
        cmocka_unit_test(test_replace),        cmocka_unit_test(test_update),
        cmocka_unit_test(test_deleting),       cmocka_unit_test(test_not_judged),
        cmocka_unit_test(test_malformed),      cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_odd_characters), cmocka_unit_test(test_odd_objects),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
