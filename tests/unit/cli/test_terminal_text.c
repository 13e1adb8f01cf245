/*
 * Proves that text is cut and wrapped by columns: wide characters take two, combining ones none,
 * what a terminal obeys is replaced. The widths are those of Unicode's EastAsianWidth.txt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/api_error.h"
#include "cli/terminal_text.h"

static void test_columns(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned columns;
    } rows[] = {
        {"", 0},         {"abc", 3},  {"für", 3},  {"云克隆", 6}, {"e\u0301", 1},
        {"\xff\xfe", 2}, {"\033", 1}, {"a\nb", 3}, {"🙂", 2},   {"\xe4\xba", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (terminal_text_columns(rows[i].text) != rows[i].columns)
            fail_msg("row %zu: %u columns", i, terminal_text_columns(rows[i].text));
}

static void test_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned columns;
        bool ascii;
        const char *expected;
    } rows[] = {
        {"abc", 3, false, "abc"},         {"abcd", 3, false, "ab…"},
        {"abcd", 3, true, "ab~"},         {"云克隆", 6, false, "云克隆"},
        {"云克隆", 5, false, "云克…"},    {"云克隆", 4, false, "云…"},
        {"abc", 1, false, "…"},           {"abc", 0, false, ""},
        {"a\033[2J", 80, false, "a?[2J"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_BUF struct buf out = BUF_INIT(KIB);
        terminal_text_add_cut(&out, rows[i].text, rows[i].columns, rows[i].ascii);
        if (!str_eq(out.data, rows[i].expected))
            fail_msg("row %zu: \"%s\"", i, out.data);
    }
}

static void test_wrapped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned columns, indent, lines;
        const char *expected;
    } rows[] = {
        {"one two three", 7, 0, 9, "one two\nthree\n"},
        {"one two three", 7, 2, 9, "  one\n  two\n  three\n"},
        {"abcdefghij", 4, 0, 9, "abcd\nefgh\nij\n"},
        {"one two three", 7, 0, 1, "one tw…\n"},
        {"", 7, 0, 9, ""},
        {"云克隆云", 5, 0, 9, "云克\n隆云\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_BUF struct buf out = BUF_INIT(KIB);
        terminal_text_add_wrapped(&out, rows[i].text, rows[i].columns, rows[i].indent,
                                  rows[i].lines, false);
        if (!str_eq(out.data, rows[i].expected))
            fail_msg("row %zu: \"%s\"", i, out.data);
    }
}

/* The forms are those of kubectl create (k8s.io/kubectl pkg/cmd/util/helpers.go checkErr). */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *body, *expected;
    } rows[] = {
        {422,
         "{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"m\",\"details\":{\"kind\":"
         "\"Wukong\","
         "\"name\":\"x\",\"causes\":[{\"field\":\"spec.cpu\",\"message\":\"too many\"},"
         "{\"field\":\"spec.memory\",\"message\":\"too little\"}]}}",
         "The Wukong \"x\" is invalid: \n* spec.cpu: too many\n* spec.memory: too little\n"},
        {422,
         "{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"m\",\"details\":{\"kind\":"
         "\"Wukong\","
         "\"name\":\"x\",\"causes\":[{\"field\":\"spec.cpu\",\"message\":\"too many\"}]}}",
         "The Wukong \"x\" is invalid: spec.cpu: too many\n"},
        {403, "{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"no\"}",
         "Error from server (Forbidden): no\n"},
        {401, "{\"kind\":\"Status\",\"reason\":\"Unauthorized\",\"message\":\"Unauthorized\"}",
         "error: You must be logged in to the server (Unauthorized)\n"},
        {0, "", "Unable to connect to the server: why\n"},
        {500, "not json", "Error from server (Unavailable): why\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_BUF struct buf out = BUF_INIT(64 * KIB);
        struct kube_status status = {.code = rows[i].code};
        (void)err_set(&status.err, ERR_UNAVAILABLE, "why");
        api_error_text(&status, rows[i].body, &out);
        if (!str_eq(out.data, rows[i].expected))
            fail_msg("row %zu: \"%s\"", i, out.data);
    }
}

/* More causes than struct kube_status keeps (KUBE_CAUSES_MAX). */
static void test_every_cause_is_shown(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf body = BUF_INIT(64 * KIB), out = BUF_INIT(64 * KIB);
    struct kube_status status = {.code = 422};
    (void)err_set(&status.err, ERR_REFUSED, "why");
    buf_adds(
        &body,
        "{\"reason\":\"Invalid\",\"details\":{\"kind\":\"Wukong\",\"name\":\"x\",\"causes\":[");
    for (int i = 0; i < 20; i++)
        buf_addf(&body, "%s{\"field\":\"f%d\",\"message\":\"m\"}", i ? "," : "", i);
    buf_adds(&body, "]}}");
    api_error_text(&status, body.data, &out);
    assert_non_null(strstr(out.data, "\n* f0: m\n"));
    assert_non_null(strstr(out.data, "\n* f19: m\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_every_cause_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
