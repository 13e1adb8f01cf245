/*
 * Proves what the status of a ClonePolicy says: whether it can be read, and why not; who broke it;
 * and that the time of a condition is when it turned, so that nothing is written that says nothing
 * new.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "json/json.h"
#include "policy/policy_report.h"

#define NOW 1790000000000 /* 2026-09-21T14:13:20Z */

static cJSON *status_of(const char *object, const cJSON *old, size_t total,
                        const struct policy_violation *items, size_t count, int64_t now_ms)
{
    CLEANUP_ARENA struct arena a;
    CLEANUP_BUF struct buf out = BUF_INIT(MIB);
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_FREE char *text = xstrdup(object);
    struct kube_object *o = NULL;
    struct err err = {0};
    struct policy p;
    cJSON *status = NULL;
    for (char *c = text; *c; c++)
        if (*c == '\'')
            *c = '"';
    arena_init(&a, MIB);
    assert_int_equal(json_parse(text, strlen(text), true, &tree, &err), 0);
    assert_int_equal(kube_object_project(&worker_kinds[KIND_POLICY], tree, &o, &err), 0);
    policy_cache_decode(&a, o, &p);
    policy_report_write(&p, old, total, items, count, now_ms, &out);
    assert_int_equal(json_parse(out.data, out.len, true, &status, &err), 0);
    free(o);
    return status;
}

#define OBJECT(generation, spec)                                                                   \
    "{'metadata':{'name':'p','uid':'u','resourceVersion':'1','generation':" generation             \
    "},'spec':" spec "}"

static void test_ready(void **state)
{
    static const struct {
        const char *object, *status, *reason, *text;
    } rows[] = {
        {OBJECT("3", "{}"), "True", "Compiled", "applies this policy"},
        {OBJECT("3", "{'rules':{'cloneTypes':['fool']}}"), "False", "Unreadable",
         "spec.rules.cloneTypes[0]"},
        {OBJECT("3", "{'windows':[{'schedule':'61 * * * *','duration':'1h'}]}"), "False",
         "Unreadable", "spec.windows[0].schedule"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *s = status_of(rows[i].object, NULL, 0, NULL, 0, NOW);
        const cJSON *c = cJSON_GetArrayItem(json_get(s, "conditions"), 0);
        int64_t n = 0;
        assert_string_equal(json_str(c, "type"), "Ready");
        assert_string_equal(json_str(c, "status"), rows[i].status);
        assert_string_equal(json_str(c, "reason"), rows[i].reason);
        assert_non_null(strstr(json_str(c, "message"), rows[i].text));
        assert_string_equal(json_str(c, "lastTransitionTime"), "2026-09-21T14:13:20Z");
        assert_true(json_int(s, "observedGeneration", &n) && n == 3);
        assert_true(json_int(s, "violations.total", &n) && n == 0);
        /* Later, with the same to say, it is the same. */
        CLEANUP_JSON cJSON *again = status_of(rows[i].object, s, 0, NULL, 0, NOW + 60000);
        assert_true(json_equal(s, again));
        /* Another generation turns nothing by itself. */
        CLEANUP_JSON cJSON *edited = status_of(OBJECT("4", "{}"), s, 0, NULL, 0, NOW + 60000);
        c = cJSON_GetArrayItem(json_get(edited, "conditions"), 0);
        assert_string_equal(json_str(c, "lastTransitionTime"),
                            i ? "2026-09-21T14:14:20Z" : "2026-09-21T14:13:20Z");
    }
}

static void test_violations(void **state)
{
    static const struct policy_violation items[] = {
        {"lab", "a", NULL, "cloneTypes", "not allowed", NOW},
        {"lab", "b", "alice", "maxReplicas", "too \"many\"", NOW + 1000},
    };
    int64_t n = 0;
    (void)state;
    CLEANUP_JSON cJSON *s = status_of(OBJECT("1", "{}"), NULL, 25, items, ARRAY_LEN(items), NOW);
    const cJSON *list = json_at(s, "violations.items");
    const cJSON *b = cJSON_GetArrayItem(list, 1);
    assert_true(json_int(s, "violations.total", &n) && n == 25);
    assert_int_equal(cJSON_GetArraySize(list), 2);
    assert_null(json_get(cJSON_GetArrayItem(list, 0), "user"));
    assert_string_equal(json_str(b, "namespace"), "lab");
    assert_string_equal(json_str(b, "name"), "b");
    assert_string_equal(json_str(b, "user"), "alice");
    assert_string_equal(json_str(b, "rule"), "maxReplicas");
    assert_string_equal(json_str(b, "message"), "too \"many\"");
    assert_string_equal(json_str(b, "time"), "2026-09-21T14:13:21Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready),
        cmocka_unit_test(test_violations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
