/*
 * Proves that struct json_patch records exactly what it does to the tree: the recorded patch,
 * applied by an independent applier to the original, gives the changed tree; and that nothing is
 * recorded when nothing changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "apply_patch.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "webhook/json_patch.h"

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct err err = {0};
    assert_int_equal(json_parse(text, strlen(text), true, &tree, &err), 0);
    return tree;
}

static void test_set(void **state)
{
    (void)state;
    const struct {
        const char *object, *path[3], *key, *value, *patch;
    } rows[] = {
        {"{\"a\":{}}", {"a"}, "k", "v", "[{\"op\":\"add\",\"path\":\"/a/k\",\"value\":\"v\"}]"},
        {"{\"a\":{\"k\":\"v\"}}", {"a"}, "k", "v", NULL},
        {"{\"a\":{\"k\":\"w\"}}",
         {"a"},
         "k",
         "v",
         "[{\"op\":\"replace\",\"path\":\"/a/k\",\"value\":\"v\"}]"},
        {"{\"a\":{\"k\":5}}",
         {"a"},
         "k",
         "v",
         "[{\"op\":\"replace\",\"path\":\"/a/k\",\"value\":\"v\"}]"},
        {"{\"a\":{\"k\":\"w\",\"l\":1}}",
         {"a"},
         "k",
         NULL,
         "[{\"op\":\"remove\",\"path\":\"/a/k\"}]"},
        {"{\"a\":{}}", {"a"}, "k", NULL, NULL},
        {"{}", {"a"}, "k", NULL, NULL},
        {"{}",
         {"a", "b"},
         "k",
         "v",
         "[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}},{\"op\":\"add\",\"path\":\"/a/b\","
         "\"value\":{}},{\"op\":\"add\",\"path\":\"/a/b/k\",\"value\":\"v\"}]"},
        {"{\"a\":null}",
         {"a"},
         "k",
         "v",
         "[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}},{\"op\":\"add\",\"path\":\"/a/k\","
         "\"value\":\"v\"}]"},
        {"{\"a\":5}", {"a"}, "k", "v", NULL},
        {"{\"a\":{}}",
         {"a"},
         "x.y/z~",
         "v",
         "[{\"op\":\"add\",\"path\":\"/a/x.y~1z~0\",\"value\":\"v\"}]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *object = parse(rows[i].object), *original = parse(rows[i].object);
        CLEANUP_JSON_PATCH struct json_patch p;
        json_patch_init(&p, object);
        json_patch_set(&p, rows[i].path, rows[i].key, rows[i].value);
        CLEANUP_FREE char *text = json_patch_text(&p);
        if (!str_eq(text, rows[i].patch))
            fail_msg("row %zu: %s", i, text ? text : "(none)");
        assert_true(!text || json_patch_apply(original, text));
        assert_true(json_equal(object, original));
    }
}

static void test_tests_first(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *object = parse("{\"a\":{\"t\":\"x\",\"n\":5}}");
    CLEANUP_JSON_PATCH struct json_patch p;
    json_patch_init(&p, object);
    json_patch_test(&p, PATCH_PATH("a"), "n");
    json_patch_test(&p, PATCH_PATH("b"), "t");
    json_patch_set(&p, PATCH_PATH("a"), "k", "v");
    json_patch_test(&p, PATCH_PATH("a"), "t");
    CLEANUP_FREE char *text = json_patch_text(&p);
    assert_string_equal(text, "[{\"op\":\"test\",\"path\":\"/a/t\",\"value\":\"x\"},"
                              "{\"op\":\"add\",\"path\":\"/a/k\",\"value\":\"v\"}]");
    /* A premise alone is no change. */
    CLEANUP_JSON_PATCH struct json_patch q;
    json_patch_init(&q, object);
    json_patch_test(&q, PATCH_PATH("a"), "t");
    assert_null(json_patch_text(&q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_tests_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
