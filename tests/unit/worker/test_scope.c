/*
 * Proves that a worker that serves some namespaces alone asks about no other, and what it says of a
 * clone whose source lies elsewhere; and when a worker says that it is ready.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../kube/fake.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "controller/worker.h"

/* The fake's clock begins at 03:20:45. */
#define COPY                                                                                       \
    "{\"apiVersion\":\"vm.novasphere.dev/v1alpha1\",\"kind\":\"Wukong\",\"metadata\":{\"name\":"   \
    "\"copy\",\"namespace\":\"a\",\"uid\":\"11111111-2222-3333-4444-555555555555\","               \
    "\"resourceVersion\":\"5\",\"generation\":1,\"creationTimestamp\":\"2026-01-02T03:20:00Z\"},"  \
    "\"spec\":{\"cloneSource\":{\"type\":\"vmi\",\"vmiName\":\"src\",\"namespace\":\"c\"}}}"

#define LIST(items) "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" items "]}"

struct scoped {
    struct fake fake;
    struct rng rng;
    struct scope scope;
    struct worker *worker;
    const char *policies; /* the list of them; NULL: none */
    unsigned lists;
    bool told;
};

static bool on_path(const struct kube_call *c, const char *part)
{
    return strstr(c->path, part) != NULL;
}

/* Within a namespace that is served, or our own ConfigMap, or of no namespace. */
static void check_list(const struct kube_call *c)
{
    static const char *const everywhere[] = {
        "/volumesnapshotcontents?",
        "/storageclasses?",
        "/volumesnapshotclasses?",
        "/csidrivers?",
        "/storageprofiles?",
        "/clonepolicies?",
        "/namespaces/system/",
        "/volumegroupsnapshotcontents?",
        "/volumegroupsnapshotclasses?",
    };
    static const char *const served[] = {"/namespaces/a/", "/namespaces/b/",
                                         "/namespaces?fieldSelector=metadata.name%3Da&",
                                         "/namespaces?fieldSelector=metadata.name%3Db&"};
    for (size_t i = 0; i < ARRAY_LEN(everywhere); i++)
        if (on_path(c, everywhere[i]))
            return;
    for (size_t i = 0; i < ARRAY_LEN(served); i++)
        if (on_path(c, served[i]))
            return;
    fail_msg("%s is not served", c->path);
}

/* True when one was answered; watches stay open. */
static bool answer_one(struct scoped *x)
{
    for (struct kube_call *c = x->fake.calls; c; c = c->next) {
        if (on_path(c, "watch="))
            continue;
        if (c->request.method != KUBE_GET) {
            bool status = on_path(c, "/wukongs/copy/status");
            x->told |= status && strstr(c->body, "NotAdmitted") &&
                       strstr(c->body, "serves the namespaces a, b and not \\\"c\\\"");
            fake_answer(&x->fake, c, status ? 200 : 500, COPY);
            return true;
        }
        check_list(c);
        assert_false(on_path(c, "/namespaces/c/"));
        x->lists++;
        const char *list = on_path(c, "/a/wukongs?")       ? LIST(COPY)
                           : on_path(c, "/clonepolicies?") ? x->policies
                                                           : NULL;
        fake_answer(&x->fake, c, 200, str_or(list, LIST("")));
        return true;
    }
    return false;
}

static void begin(struct scoped *x, const char *policies)
{
    struct err err = {0};
    *x = (struct scoped){.policies = policies};
    fake_init(&x->fake);
    rng_seed(&x->rng, 1);
    assert_int_equal(scope_parse("a,b", &x->scope, &err), 0);
    x->worker = worker_new(&(struct worker_config){.transport = &x->fake.face,
                                                   .clock = &x->fake.clock,
                                                   .timers = &x->fake.timers,
                                                   .rng = &x->rng,
                                                   .ns = "system",
                                                   .identity = "me",
                                                   .stamp_configmap = "stamp",
                                                   .scope = &x->scope,
                                                   .cross_namespace = true,
                                                   .unfreeze_timeout_ms = 60000,
                                                   .max_in_flight = 20});
    worker_start(x->worker);
    for (int i = 0; i < 100; i++) {
        while (answer_one(x))
            ;
        fake_advance(&x->fake, 10);
    }
}

static void end(struct scoped *x)
{
    worker_free(x->worker);
    scope_release(&x->scope);
    fake_release(&x->fake);
}

static void test_nothing_else_is_asked(void **state)
{
    (void)state;
    struct scoped x;
    begin(&x, NULL);
    CLEANUP_BUF struct buf why_not = BUF_INIT(KIB);
    assert_true(worker_ready(x.worker, &why_not));
    assert_int_equal(why_not.len, 0);
    /* Nine kinds once, eleven in each of two namespaces. */
    assert_int_equal(x.lists, 31);
    assert_int_equal(worker_more_watches(&x.scope), 11);
    assert_true(x.told);
    /* The API server is heard of no more. */
    fake_advance(&x.fake, 299000);
    assert_true(worker_ready(x.worker, &why_not));
    fake_advance(&x.fake, 2000);
    assert_false(worker_ready(x.worker, &why_not));
    assert_non_null(strstr(why_not.data, "the API server has sent nothing about wukongs for 30"));
    end(&x);
}

/* More of them than there is memory for. */
static void test_not_ready_without_all_policies(void **state)
{
    (void)state;
    struct scoped x;
    CLEANUP_FREE char *message = xcalloc(1, MIB + 1);
    CLEANUP_BUF struct buf list = BUF_INIT(64 * MIB), why_not = BUF_INIT(KIB);
    memset(message, 'x', MIB);
    for (int i = 0; i < 40; i++)
        buf_addf(&list,
                 "%s{\"metadata\":{\"name\":\"p%d\",\"uid\":\"%d\",\"resourceVersion\":\"1\"},"
                 "\"spec\":{\"message\":\"%s\"}}",
                 i ? "," : "", i, i, message);
    CLEANUP_FREE char *text = xasprintf(LIST("%s"), list.data);
    begin(&x, text);
    assert_false(worker_ready(x.worker, &why_not));
    assert_non_null(strstr(why_not.data, "more ClonePolicies than the worker can keep"));
    end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_else_is_asked),
                                       cmocka_unit_test(test_not_ready_without_all_policies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
