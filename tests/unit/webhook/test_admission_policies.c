/*
 * Proves that policies never lose a word: a user of many groups, a source of many disks, a cluster
 * of many policies are judged by all of them, and where not all can be known nothing is allowed. A
 * right whose answer did not come is not called missing. A command that is printed is one of a
 * shell's words per name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admission_world.h"
#include "base/mem.h"
#include "base/str.h"

#define WUKONG(source)                                                                             \
    "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{'name':'w',"           \
    "'namespace':'team'},'spec':{'cloneSource':{" source "}}}"
#define OWN WUKONG("'type':'vmi','vmiName':'db'")
#define START WUKONG("'type':'vm','vmName':'db','namespace':'prod','cloneType':'running'")
#define LIVE_POLICIES "/apis/vm.novasphere.dev/v1alpha1/clonepolicies"
#define VMI_PATH(ns) "/apis/kubevirt.io/v1/namespaces/" ns "/virtualmachineinstances/db"
#define VM_PATH(ns) "/apis/kubevirt.io/v1/namespaces/" ns "/virtualmachines/db"

static const struct class_facts no_classes = {.looked_up = false};

#define VOLUMES                                                                                    \
    "'volumes':[{'name':'root','persistentVolumeClaim':{'claimName':'db-root'}}],'domain':{"       \
    "'devices':{'disks':[{'name':'root','disk':{}}]}}"
#define VMI_BODY "{'metadata':{'name':'db'},'spec':{" VOLUMES "},'status':{'phase':'Running'}}"
#define VM_BODY                                                                                    \
    "{'metadata':{'name':'db'},'spec':{'runStrategy':'Halted','template':{'spec':{" VOLUMES "}}}}"

static void judge(const struct world *w, const char *object, struct judged *j)
{
    world_judge(w, ADMISSION_VALIDATE, "CREATE", "team", object, NULL, j);
}

static void decode(struct arena *a, const char *name, const char *spec, struct policy *ret)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    CLEANUP_FREE char *text = xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":%s}", name, spec);
    assert_int_equal(json_parse(text, strlen(text), true, &tree, &err), 0);
    policy_decode(a, tree, ret);
}

#define LINKED_ONLY "\"rules\":{\"cloneTypes\":[\"linked\"]}"
#define CONTRACTORS                                                                                \
    "{\"match\":{\"subjects\":[{\"kind\":\"Group\",\"name\":\"contractors\"}]}," LINKED_ONLY "}"

/* Directories give people hundreds of groups, and the one that matters may be the last. */
static void test_many_groups(void **state)
{
    (void)state;
    static const struct {
        size_t groups;
        bool member, denied;
    } rows[] = {
        {10, true, true},    {63, true, true},   {64, true, true},   {65, true, true},
        {1000, true, true},  {10, false, false}, {65, false, false}, {1000, false, false},
        {5000, false, true}, /* more than are read: not known, and what is unknown matches */
        {5000, true, true}};
    CLEANUP_ARENA struct arena a;
    struct policy p;
    arena_init(&a, MIB);
    decode(&a, "p", CONTRACTORS, &p);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_BUF struct buf info = BUF_INIT(MIB);
        buf_adds(&info, "{'username':'alice','groups':[");
        for (size_t n = 0; n < rows[i].groups; n++)
            buf_addf(&info, "'g%zu',", n);
        buf_addf(&info, "'%s']}", rows[i].member ? "contractors" : "system:authenticated");
        const struct world w = {
            .policies = &p, .policy_count = 1, .user_info = info.data, .classes = no_classes};
        CLEANUP_JUDGED struct judged j;
        judge(&w, OWN, &j);
        if ((j.result.verdict == VERDICT_DENIED) != rows[i].denied)
            fail_msg("row %zu: %s", i, j.text);
    }
}

/* The words of policies that warn fill what is kept; the one that denies comes after them. */
static void test_many_findings(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    struct policy p[40];
    arena_init(&a, MIB);
    for (size_t i = 0; i + 1 < ARRAY_LEN(p); i++) {
        char name[16];
        snprintf(name, sizeof name, "a%zu", i);
        decode(&a, name,
               "{\"validationActions\":[\"Warn\",\"Audit\"],\"rules\":{\"cloneTypes\":[\"full\"],"
               "\"maxReplicas\":1,\"quiesce\":\"Required\"}}",
               &p[i]);
    }
    decode(&a, "z", "{" LINKED_ONLY "}", &p[ARRAY_LEN(p) - 1]);
    const struct world w = {.policies = p, .policy_count = ARRAY_LEN(p), .classes = no_classes};
    CLEANUP_JUDGED struct judged j;
    judge(&w, OWN, &j);
    assert_int_equal(j.result.verdict, VERDICT_DENIED);
    assert_non_null(strstr(judged_str(&j, "status.message"), "ClonePolicy \"z\""));
}

/* The live list is asked before a denial, and says the same however long it is. */
static void test_many_policies(void **state)
{
    (void)state;
    enum { MANY = 1500 };
    CLEANUP_ARENA struct arena a;
    CLEANUP_BUF struct buf list = BUF_INIT(4 * MIB);
    CLEANUP_FREE struct policy *p = xcalloc(MANY, sizeof *p);
    arena_init(&a, 4 * MIB);
    buf_adds(&list, "{\"items\":[");
    for (size_t i = 0; i < MANY; i++) {
        char name[16];
        const char *spec = i + 1 == MANY ? "{" LINKED_ONLY "}" : "{}";
        snprintf(name, sizeof name, "p%05zu", i);
        decode(&a, name, spec, &p[i]);
        buf_addf(&list, "%s{\"metadata\":{\"name\":\"%s\"},\"spec\":%s}", i ? "," : "", name, spec);
    }
    buf_adds(&list, "]}");
    const struct route routes[] = {{LIVE_POLICIES, 200, list.data}, {NULL, 0, NULL}};
    struct world w = {.policies = p, .policy_count = MANY, .routes = routes, .classes = no_classes};
    CLEANUP_JUDGED struct judged j, incomplete;
    judge(&w, OWN, &j);
    assert_int_equal(j.result.verdict, VERDICT_DENIED);
    assert_non_null(strstr(judged_str(&j, "status.message"), "p01499"));
    w.policy_count = 10;
    w.policies_incomplete = true;
    judge(&w, OWN, &incomplete);
    assert_int_equal(incomplete.result.verdict, VERDICT_UNDECIDED);
}

/* The object and its user take the memory in which policies are judged: then nothing is allowed. */
static void test_no_memory(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf object = BUF_INIT(8 * MIB);
    CLEANUP_ARENA struct arena a;
    struct policy p;
    arena_init(&a, MIB);
    decode(&a, "p", "{\"rules\":{\"maxReplicas\":5}}", &p);
    buf_adds(&object, "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{"
                      "'name':'w','namespace':'team','annotations':{");
    for (int i = 0; i < 18000; i++)
        buf_addf(&object, "%s'k%d':'%0300d'", i ? "," : "", i, i);
    buf_adds(&object, "}},'spec':{'cloneSource':{'type':'vmi','vmiName':'db'}}}");
    CLEANUP_BUF struct buf label = BUF_INIT(16 * MIB);
    buf_addf(&label, "{'metadata':{'name':'db','labels':{");
    for (int i = 0; i < 18000; i++)
        buf_addf(&label, "%s'k%d':'%0600d'", i ? "," : "", i, i);
    buf_addf(&label, "}},'spec':{" VOLUMES "},'status':{'phase':'Running'}}");
    const struct route routes[] = {{VMI_PATH("team"), 200, label.data}, {NULL, 0, NULL}};
    const struct world w = {
        .policies = &p, .policy_count = 1, .routes = routes, .classes = no_classes};
    CLEANUP_JUDGED struct judged j;
    judge(&w, object.data, &j);
    assert_int_equal(j.result.verdict, VERDICT_UNDECIDED);
    assert_non_null(strstr(judged_str(&j, "status.message"), "too large"));
}

/* An answer that did not come is no refusal, and no stamp is made that says so for ever. */
static void test_start_unknown(void **state)
{
    (void)state;
    static const struct route up[] = {
        {VMI_PATH("prod"), 200, VMI_BODY}, {VM_PATH("prod"), 200, VM_BODY}, {NULL, 0, NULL}};
    static const struct route stopped[] = {{VM_PATH("prod"), 200, VM_BODY}, {NULL, 0, NULL}};
    static const struct route unread[] = {{VM_PATH("prod"), 500, NULL}, {NULL, 0, NULL}};
    static const struct {
        const char *what;
        const struct route *routes;
        int start_code;
        enum admission_verdict verdict;
    } rows[] = {{"it runs", up, 500, VERDICT_ALLOWED},
                {"it is stopped, nobody knows", stopped, 500, VERDICT_UNDECIDED},
                {"it is stopped, and may not", stopped, 201, VERDICT_DENIED},
                {"nothing is known", unread, 500, VERDICT_UNDECIDED},
                {"it is missing, nobody knows", NULL, 403, VERDICT_UNDECIDED},
                {"it is missing, and may not", NULL, 201, VERDICT_ALLOWED}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct world w = {.routes = rows[i].routes,
                                .may_clone = true,
                                .start_code = rows[i].start_code,
                                .classes = no_classes};
        CLEANUP_JUDGED struct judged j;
        judge(&w, START, &j);
        if (j.result.verdict != rows[i].verdict)
            fail_msg("%s: %s", rows[i].what, j.text);
        if (rows[i].verdict == VERDICT_UNDECIDED)
            assert_non_null(strstr(judged_str(&j, "status.message"), "could not check"));
    }
}

static void test_quoted_user(void **state)
{
    (void)state;
    const struct world w = {.user = "$(reboot)'`x`; rm", .classes = no_classes};
    CLEANUP_JUDGED struct judged j;
    judge(&w, WUKONG("'type':'vmi','vmiName':'db','namespace':'prod'"), &j);
    assert_int_equal(j.result.verdict, VERDICT_DENIED);
    assert_non_null(strstr(judged_str(&j, "status.message"), "--user='$(reboot)'\\''`x`; rm'"));
}

/* A ClonePolicy is judged when it is applied, at the same paths, by its resource. */
static void test_a_policy_itself(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *field; /* NULL: good */
    } rows[] = {
        {"{}", NULL},
        {"{'rules':{'cloneTypes':['linked']},'windows':[{'schedule':'0 22 * * "
         "*','duration':'6h'}]}",
         NULL},
        {"{'windows':[{'schedule':'0 25 * * *','duration':'6h'}]}", "spec.windows[0].schedule"},
        {"{'windows':[{'schedule':'0 2 * * *','duration':'6h','timeZone':'Mars/X'}]}",
         "spec.windows[0].timeZone"},
        {"{'rules':{'cloneTypes':['linkd']}}", "spec.rules.cloneTypes[0]"},
        {"{'match':{'source':{'namespaceSelector':{'matchLabels':{'-':'x'}}}}}",
         "spec.match.source.namespaceSelector"},
        {"{'rules':5}", "spec.rules"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int update = 0; update <= 1; update++) {
            const struct world w = {.classes = no_classes};
            CLEANUP_JUDGED struct judged j = {0};
            CLEANUP_FREE char *quoted = xasprintf(
                "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1','request':{'uid':'u',"
                "'resource':{'group':'vm.novasphere.dev','version':'v1alpha1','resource':"
                "'clonepolicies'},'operation':'%s','name':'p','userInfo':{'username':'admin'},"
                "'oldObject':{'spec':{}},'object':{'apiVersion':'vm.novasphere.dev/v1alpha1',"
                "'kind':'ClonePolicy','metadata':{'name':'p'},'spec':%s}}}",
                update ? "UPDATE" : "CREATE", rows[i].spec);
            CLEANUP_FREE char *bytes = world_quotes(quoted);
            CLEANUP_FREE char *cause =
                xasprintf("\"field\":\"%s\"", rows[i].field ? rows[i].field : "");
            world_judge_bytes(&w, ADMISSION_VALIDATE, bytes, &j);
            bool good = !rows[i].field;
            if ((j.result.verdict == VERDICT_ALLOWED) != good ||
                (!good && (!strstr(j.text, cause) ||
                           !strstr(j.text, "ClonePolicy.vm.novasphere.dev \\\"p\\\" is invalid"))))
                fail_msg("%s: %s", rows[i].spec, j.text);
            assert_string_equal(j.asked, "");
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_groups),     cmocka_unit_test(test_many_findings),
        cmocka_unit_test(test_many_policies),   cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_start_unknown),   cmocka_unit_test(test_quoted_user),
        cmocka_unit_test(test_a_policy_itself),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
