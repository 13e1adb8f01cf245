/*
 * Proves when a credential plugin is run again: its answer has expired, or was refused, and not
 * more often than it may; and that an old answer stays in use while the plugin fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/credential.h"

#define START 1790000000000 /* 2026-09-21T14:13:20Z */
/* Counts its runs in the file $0, and gives the count as the token. */
#define SCRIPT                                                                                     \
    "echo run >> $0; n=$(wc -l < $0); [ $n != 4 ] || exit 1; printf '{\"kind\":"                   \
    "\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":" \
    "\"t%s\",\"expirationTimestamp\":\"2026-09-21T14:14:20Z\"}}' $n"

static int64_t wall = START, mono = 1000;
static int64_t wall_ms(void *arg)
{
    (void)arg;
    return wall;
}
static int64_t mono_ms(void *arg)
{
    (void)arg;
    return mono;
}
static const struct clock clock_test = {.mono_ms = mono_ms, .wall_ms = wall_ms};

static void test_when_it_is_run_again(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t later_ms;
        bool refused;
        const char *token;
    } rows[] = {
        {"it is good", 0, false, "t1"},          {"refused, just fetched", 1000, true, "t1"},
        {"refused later", 5000, true, "t2"},     {"still good", 30000, false, "t2"},
        {"expired", 24000, false, "t3"},         {"expired, just fetched", 500, false, "t3"},
        {"the plugin fails", 1000, false, "t3"}, {"and works again", 1000, false, "t5"},
    };
    char path[] = "/tmp/wukong-test-credential-XXXXXX";
    int fd = mkstemp(path);
    char *arguments[] = {(char *)"-c", (char *)SCRIPT, path, NULL};
    struct kube_config config = {.exec = {.command = (char *)"sh",
                                          .api_version = (char *)"client.authentication.k8s.io/v1",
                                          .arguments = arguments,
                                          .interactive = KUBE_EXEC_NEVER}};
    struct credential *c = NULL;
    struct err err = {0};
    assert_true(fd >= 0);
    (void)close(fd);
    if (credential_new(&config, &clock_test, &c, &err) < 0)
        fail_msg("%s", err.message);
    struct kube_token_source source = credential_source(c);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        wall += rows[i].later_ms;
        mono += rows[i].later_ms;
        const char *token = source.current(source.arg, rows[i].refused);
        if (!str_eq(token, rows[i].token))
            fail_msg("%s: %s", rows[i].name, str_or(token, "none"));
    }
    credential_free(c);
    (void)remove(path);
}

static void test_a_certificate_is_put_into_the_configuration(void **state)
{
    (void)state;
    static const char text[] =
        "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\","
        "\"status\":{\"clientCertificateData\":\"C\",\"clientKeyData\":\"K\"}}";
    CLEANUP_FREE char *script = xasprintf("echo '%s'", text);
    char *arguments[] = {(char *)"-c", script, NULL};
    struct kube_config config = {
        .exec = {.command = (char *)"sh",
                 .api_version = (char *)"client.authentication.k8s.io/v1beta1",
                 .arguments = arguments}};
    struct credential *c = NULL;
    struct err err = {0};
    if (credential_new(&config, &clock_test, &c, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(config.cert_pem, "C");
    assert_string_equal(config.key_pem, "K");
    assert_null(credential_source(c).current(c, false));
    credential_free(c);
    c = NULL;
    /* Two would be one too many: which is meant cannot be known. */
    assert_int_equal(credential_new(&config, &clock_test, &c, &err), -1);
    assert_non_null(strstr(err.message, "has another"));
    free(config.cert_pem);
    free(config.key_pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when_it_is_run_again),
        cmocka_unit_test(test_a_certificate_is_put_into_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
