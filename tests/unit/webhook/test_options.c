/*
 * Proves that the command line of the chart's Deployment is understood as written there, that every
 * mistake is refused with the flag's name, and that defaults are in force.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "webhook/options.h"

#define ARGS(...) ((char *[]){(char *)"wukong-webhook", __VA_ARGS__, NULL})

static int read_args(char **argv, struct options *o, struct err *err)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return options_read(argc, argv, o, err);
}

static void test_good(void **state)
{
    (void)state;
    struct options o;
    struct err err = {0};
    assert_int_equal(read_args(ARGS("--listen-port", "9444", "--namespace=ns", "--settle", "1m30s",
                                    "--no-cross-namespace"),
                               &o, &err),
                     0);
    assert_int_equal(o.listen_port, 9444);
    assert_int_equal(o.metrics_port, 8081);
    assert_string_equal(o.ns, "ns");
    assert_int_equal(o.settle_ms, 90000);
    assert_int_equal(o.leaf_life_ms, 7LL * 24 * 3600 * 1000);
    assert_true(o.no_cross_namespace);
    assert_string_equal(o.listen_address, "*");
    assert_string_equal(o.metrics_address, "*");
    assert_string_equal(o.tls_min, "1.2");
    assert_string_equal(o.cert_mode, "selfSigned");
    assert_null(o.client_ca);
}

static void test_refused(void **state)
{
    (void)state;
    struct {
        char **args;
        const char *word;
    } rows[] = {
        {ARGS("--service", "x"), "--namespace"},
        {ARGS("--namespace", "n", "--listen-port", "0"), "--listen-port"},
        {ARGS("--namespace", "n", "--listen-port", "x1"), "--listen-port"},
        {ARGS("--namespace", "n", "--settle", "soon"), "--settle"},
        {ARGS("--namespace", "n", "--settle", "-5s"), "--settle"},
        {ARGS("--namespace", "n", "--nonsense"), "--nonsense"},
        {ARGS("--namespace"), "--namespace"},
        {ARGS("stray"), "stray"},
        {ARGS("--namespace", "n", "--tls-min", "1.1"), "--tls-min"},
        {ARGS("--namespace", "n", "--watch-namespaces", "a,B"), "--watch-namespaces"},
        {ARGS("--namespace", "n", "--cert-mode", "none"), "--cert-mode"},
        {ARGS("--namespace", "n", "--cert-mode", "provided"), "--cert-dir"},
        {ARGS("--namespace", "n", "--ca-life", "1h", "--leaf-life", "2h"), "--leaf-life"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct options o;
        struct err err = {0};
        if (read_args(rows[i].args, &o, &err) != -1 || !strstr(err.message, rows[i].word))
            fail_msg("row %zu: %s", i, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
