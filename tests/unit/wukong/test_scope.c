/* Proves which lists of namespaces a program takes, and what is in them. */
#include "support.h"

#include "base/mem.h"
#include "base/str.h"
#include "wukong/api/scope.h"

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *names, *word;
    } rows[] = {
        {"a,", "\"\""},       {",a", "\"\""},     {"a,,b", "\"\""},   {"a, b", "\" b\""},
        {"Team", "\"Team\""}, {"a.b", "\"a.b\""}, {"a,b,a", "twice"}, {"-a", "\"-a\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scope s;
        struct err err = {0};
        int status = scope_parse(rows[i].names, &s, &err);
        scope_release(&s);
        if (status != -1 || err.kind != ERR_INVALID || !strstr(err.message, rows[i].word))
            fail_msg("%s: %s", rows[i].names, err.message);
    }
}

static char *many(int count)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    for (int i = 0; i < count; i++)
        buf_addf(&text, "%sn%d", i ? "," : "", i);
    return xstrdup(text.data);
}

static void test_bound(void **state)
{
    (void)state;
    struct scope s;
    struct err err = {0};
    CLEANUP_FREE char *most = many(SCOPE_NAMESPACES_MAX), *more = many(SCOPE_NAMESPACES_MAX + 1);
    assert_int_equal(scope_parse(most, &s, &err), 0);
    assert_int_equal(s.count, SCOPE_NAMESPACES_MAX);
    scope_release(&s);
    assert_int_equal(scope_parse(more, &s, &err), -1);
    assert_non_null(strstr(err.message, "32"));
    scope_release(&s);
}

static void test_covers(void **state)
{
    (void)state;
    struct scope all, two, copy;
    struct err err = {0};
    assert_int_equal(scope_parse("", &all, &err), 0);
    assert_true(scope_covers(&all, "a"));
    assert_int_equal(scope_parse("team-a,b", &two, &err), 0);
    scope_copy(&two, &copy);
    scope_release(&two);
    assert_true(scope_covers(&copy, "team-a") && scope_covers(&copy, "b"));
    assert_false(scope_covers(&copy, "team") || scope_covers(&copy, "team-a,b"));
    assert_false(scope_covers(&copy, "") || scope_covers(&copy, NULL));
    CLEANUP_FREE char *why = scope_refusal(&copy, "c");
    assert_non_null(strstr(why, "serves the namespaces team-a, b and not \"c\""));
    scope_release(&copy);
    scope_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_covers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
