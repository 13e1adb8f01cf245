/*
 * Proves that flags are read as kubectl reads its own (spf13/pflag), that a wrong one is refused,
 * and that what a clone is asked for comes out of them. Wrong usage is told on stderr, which is not
 * looked at here but in lint.sh's sister usage.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/flags.h"

static const struct verb_help help = {"test", "NAME", "S.", "  e\n", "  0\n"};
static const char *const colours[] = {"red", "green"};

struct values {
    bool watch;
    const char *name, *colour;
    int64_t count, timeout_ms;
    struct flag_values disks;
    struct flag_connection connection;
    struct flag_values arguments;
};

static enum flags_verdict parse(const char *line, struct values *v)
{
    static char copy[512];
    char *argv[32] = {(char *)"test"}, *rest = copy;
    int argc = 1;
    const struct flag flags[] = {
        {"watch", 'w', FLAG_SWITCH, &v->watch, NULL, "", FLAG_ANY},
        {"name", 0, FLAG_TEXT, &v->name, "N", "", FLAG_ANY},
        {"colour", 'c', FLAG_CHOICE, &v->colour, "C", "", colours, ARRAY_LEN(colours)},
        {"count", 0, FLAG_COUNT, &v->count, "N", "", FLAG_ANY},
        {"timeout", 0, FLAG_DURATION, &v->timeout_ms, "D", "", FLAG_ANY},
        {"disk", 0, FLAG_LIST, &v->disks, "D", "", FLAG_ANY},
    };
    *v = (struct values){0};
    snprintf(copy, sizeof copy, "%s", line);
    while (*copy && argc < 31 && (argv[argc] = strsep(&rest, " ")))
        argc++;
    return flags_parse(argc, argv,
                       &(struct verb_flags){&help, flags, ARRAY_LEN(flags), &v->connection},
                       &v->arguments);
}

static void test_forms(void **state)
{
    (void)state;
    static const char *const same[] = {
        "-w -n prod --name x a",
        "a --watch -nprod --name=x",
        "-wn prod a --name x",
        "-n=prod --watch=true --name=x a",
        "--namespace prod -w --name x -- a",
    };
    struct values v;
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        if (parse(same[i], &v) != FLAGS_OK || !v.watch || !str_eq(v.name, "x") ||
            !str_eq(v.connection.ns, "prod") || v.arguments.count != 1 ||
            !str_eq(v.arguments.items[0], "a"))
            fail_msg("%s", same[i]);
    }
    assert_int_equal(FLAGS_OK, parse("-- -w --name", &v));
    assert_int_equal(2, v.arguments.count);
    assert_false(v.watch);
    assert_int_equal(FLAGS_OK, parse("-", &v));
    assert_string_equal("-", v.arguments.items[0]);
}

static void test_values(void **state)
{
    (void)state;
    struct values v;
    assert_int_equal(FLAGS_OK,
                     parse("--count 7 --timeout 1m30s --disk a=1Gi,fast --disk b -cred", &v));
    assert_int_equal(7, v.count);
    assert_int_equal(90000, v.timeout_ms);
    assert_int_equal(2, v.disks.count);
    assert_string_equal("a=1Gi,fast", v.disks.items[0]);
    assert_string_equal("red", v.colour);
    assert_int_equal(FLAGS_OK, parse("--as kim --as-group a --as-group=b", &v));
    assert_string_equal("kim", v.connection.as);
    assert_int_equal(2, v.connection.as_groups.count);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "--wacth",       "-x",          "--name",        "--count 0",     "--count -1", "--count x",
        "--colour blue", "--timeout 5", "--timeout -5s", "--watch=maybe", "--nam x",    "-wx",
    };
    struct values v;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (parse(wrong[i], &v) != FLAGS_WRONG)
            fail_msg("%s", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
