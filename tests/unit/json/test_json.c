/*
 * Proves that json_parse accepts RFC 8259 and nothing else, that its limits hold, and that a
 * lossless tree prints back every number to the letter. The expectations are from the RFC, not from
 * cJSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

struct row {
    const char *text;
    bool ok;
};

static void test_grammar(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{}", true},
        {" [1, 2 ,3]\n", true},
        {"\"a\\u00e9\\n\"", true},
        {"-0.5e+10", true},
        {"null", true},
        {"{\"a\":{\"a\":1},\"b\":{\"a\":1}}", true},
        {"", false},
        {"{", false},
        {"[1,]", false},
        {"{\"a\":1,}", false},
        {"{a:1}", false},
        {"{'a':1}", false},
        {"01", false},
        {"1.", false},
        {".5", false},
        {"+1", false},
        {"1e", false},
        {"NaN", false},
        {"tru", false},
        {"\"\t\"", false},
        {"\"\\x\"", false},
        {"\"\\u12\"", false},
        {"\"\\u0000\"", false},
        {"\"\\ud800\"", false},
        {"\"\xC0\xAF\"", false},
        {"\"\xED\xA0\x80\"", false},
        {"\"\xF4\x90\x80\x80\"", false},
        {"\"open", false},
        {"{} {}", false},
        {"{\"a\":1,\"a\":1}", false},
        {"{\"x\":[{\"a\":1,\"b\":2,\"\\u0061\":3}]}", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *tree = NULL;
        struct err err = {0};
        int status = json_parse(rows[i].text, strlen(rows[i].text), true, &tree, &err);
        if ((status == 0) != rows[i].ok)
            fail_msg("row %zu %s: %s", i, rows[i].text, err.message);
        if (!rows[i].ok)
            assert_int_equal(err.kind, ERR_INVALID);
    }
}

static void test_position(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    assert_int_equal(json_parse("{\n  \"a\": x}", 12, false, &tree, &err), -1);
    assert_string_equal(err.message, "JSON line 2 column 8: a value must stand here");
}

static void test_depth(void **state)
{
    (void)state;
    for (size_t depth = LIMIT_JSON_DEPTH - 1; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        CLEANUP_BUF struct buf b = BUF_INIT(10000);
        for (size_t i = 0; i < depth; i++)
            buf_addc(&b, '[');
        for (size_t i = 0; i < depth; i++)
            buf_addc(&b, ']');
        CLEANUP_JSON cJSON *tree = NULL;
        struct err err = {0};
        int status = json_parse(b.data, b.len, true, &tree, &err);
        assert_int_equal(status, depth <= LIMIT_JSON_DEPTH ? 0 : -1);
        if (status < 0)
            assert_int_equal(err.kind, ERR_LIMIT);
    }
}

static void test_lossless(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "9007199254740993",
        "[1795460828180325339,1,-0,1.0,1e3,0.1,1E+2,-9223372036854775808]",
        "{\"a\":[{\"b\":18446744073709551615},2],\"c\":{\"d\":0.10},\"e\":123456789012}",
        "[[],{},[[1.50]],{\"x\":{}},2.0]",
        "[1000000000,2147483647,2147483648,100000000000000000000]",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CLEANUP_JSON cJSON *tree = NULL;
        struct err err = {0};
        assert_int_equal(json_parse(texts[i], strlen(texts[i]), true, &tree, &err), 0);
        CLEANUP_FREE char *printed = json_print(tree);
        assert_string_equal(printed, texts[i]);
    }
}

static void test_paths(void **state)
{
    (void)state;
    static const char text[] = "{\"metadata\":{\"annotations\":{\"a.b/c\":\"x\"}},"
                               "\"list\":[{\"n\":9007199254740993},{\"n\":7,\"ok\":true}]}";
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    assert_int_equal(json_parse(text, sizeof text - 1, true, &tree, &err), 0);
    int64_t n = 0;
    assert_string_equal(json_str(tree, "metadata.annotations[a.b/c]"), "x");
    assert_true(json_int(tree, "list.#0.n", &n));
    assert_true(n == 9007199254740993);
    assert_true(json_int(tree, "list.#1.n", &n));
    assert_true(n == 7);
    assert_true(json_bool(tree, "list.#1.ok", false));
    assert_null(json_at(tree, "list.#2"));
    assert_null(json_str(tree, "metadata"));
    assert_false(json_int(tree, "metadata", &n));
}

static void test_equal(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1}", true},
        {"[1,2]", "[2,1]", false},
        {"[1]", "[1,1]", false},
        {"{\"a\":null}", "{}", false},
        {"9007199254740993", "9007199254740992", false},
        {"\"1\"", "1", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *a = NULL;
        CLEANUP_JSON cJSON *b = NULL;
        struct err err = {0};
        assert_int_equal(json_parse(rows[i].a, strlen(rows[i].a), true, &a, &err), 0);
        assert_int_equal(json_parse(rows[i].b, strlen(rows[i].b), true, &b, &err), 0);
        assert_int_equal(json_equal(a, b), rows[i].same);
    }
}

static void test_writer(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf out = BUF_INIT(1000);
    struct json_writer w = json_writer(&out);
    json_object(&w, NULL);
    json_string(&w, "s", "q\"\\\n\x01");
    json_string(&w, "absent", NULL);
    json_array(&w, "list");
    json_number(&w, NULL, -5);
    json_boolean(&w, NULL, true);
    json_object(&w, NULL);
    json_end(&w);
    json_end(&w);
    json_raw(&w, "raw", "[1.0]");
    json_end(&w);
    assert_string_equal(out.data, "{\"s\":\"q\\\"\\\\\\n\\u0001\",\"list\":[-5,true,{}],"
                                  "\"raw\":[1.0]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar), cmocka_unit_test(test_position),
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_lossless),
        cmocka_unit_test(test_paths),   cmocka_unit_test(test_equal),
        cmocka_unit_test(test_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
