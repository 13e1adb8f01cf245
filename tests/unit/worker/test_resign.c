/*
 * Proves what a worker does that is told to end (SIGTERM: an upgrade, a drain) on a fake transport:
 * it thaws the guests that it holds before it gives the lease back, waits for them no longer than
 * the Pod is given, and begins nothing any more.
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
#define WUKONG(version, freeze)                                                                    \
    "{\"apiVersion\":\"vm.novasphere.dev/v1alpha1\",\"kind\":\"Wukong\",\"metadata\":{\"name\":"   \
    "\"copy\",\"namespace\":\"ns\",\"uid\":\"11111111-2222-3333-4444-555555555555\","              \
    "\"resourceVersion\":\"" version "\",\"generation\":1,\"finalizers\":["                        \
    "\"vm.novasphere.dev/clone\"],\"creationTimestamp\":\"2026-01-02T03:20:00Z\"},\"spec\":{"      \
    "\"cloneSource\":{\"type\":\"vmi\",\"vmiName\":\"src\"}},\"status\":{\"cloneStatus\":{"        \
    "\"phase\":\"Cloning\",\"attempts\":1,\"attemptTime\":\"2026-01-02T03:20:40.000Z\","           \
    "\"startTime\":\"2026-01-02T03:20:40.000Z\",\"sourceUID\":\"u1\",\"sourceVMI\":\"src\","       \
    "\"freeze\":{\"requestedTime\":\"2026-01-02T03:20:40.000Z\",\"deadlineTime\":"                 \
    "\"2026-01-02T03:21:40.000Z\",\"vmiUID\":\"u1\"" freeze "}}}}"
#define FROZEN WUKONG("5", "")
#define THAWED WUKONG("6", ",\"thawedTime\":\"2026-01-02T03:20:46.000Z\"")
#define VMI                                                                                        \
    "{\"apiVersion\":\"kubevirt.io/v1\",\"kind\":\"VirtualMachineInstance\",\"metadata\":{"        \
    "\"name\":\"src\",\"namespace\":\"ns\",\"uid\":\"u1\",\"resourceVersion\":\"3\"},\"status\":{" \
    "\"phase\":\"Running\"}}"

struct leaving {
    struct fake fake;
    struct rng rng;
    struct worker *worker;
    const char *wukongs; /* items of the list */
    bool thaw_answers, done, begun;
    unsigned thaws;
};

static bool is_list(const struct kube_call *c)
{
    return c->request.method == KUBE_GET && !strstr(c->path, "watch=");
}

static bool on_path(const struct kube_call *c, const char *part)
{
    return strstr(c->path, part) != NULL;
}

static void answer_list(struct leaving *x, struct kube_call *c)
{
    const char *items = on_path(c, "/wukongs")                    ? x->wukongs
                        : on_path(c, "/virtualmachineinstances?") ? VMI
                                                                  : "";
    CLEANUP_FREE char *list =
        xasprintf("{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[%s]}", items);
    fake_answer(&x->fake, c, 200, list);
}

/* True when one was answered; watches stay open, and so does a thaw whose guest hangs. */
static bool answer_one(struct leaving *x)
{
    for (struct kube_call *c = x->fake.calls; c; c = c->next) {
        if (is_list(c)) {
            answer_list(x, c);
            return true;
        }
        if (on_path(c, "/unfreeze")) {
            if (!x->thaw_answers)
                continue;
            x->thaws++;
            fake_answer(&x->fake, c, 200, "");
            return true;
        }
        if (c->request.method == KUBE_GET)
            continue;
        bool told = on_path(c, "/wukongs/copy/status");
        x->begun |= !told && c->request.method == KUBE_POST && !on_path(c, "/events");
        fake_answer(&x->fake, c, told ? 200 : 500, told && x->thaws ? THAWED : FROZEN);
        return true;
    }
    return false;
}

static void pass(struct leaving *x, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 10) {
        for (int k = 0; k < 100 && answer_one(x); k++)
            ;
        fake_advance(&x->fake, 10);
    }
}

static bool thaw_is_open(const struct leaving *x)
{
    for (const struct kube_call *c = x->fake.calls; c; c = c->next)
        if (on_path(c, "/unfreeze"))
            return true;
    return false;
}

static void on_resigned(void *arg)
{
    struct leaving *x = arg;
    assert_false(x->done);
    x->done = true;
}

static void begin(struct leaving *x, const char *wukongs)
{
    *x = (struct leaving){.wukongs = wukongs};
    fake_init(&x->fake);
    rng_seed(&x->rng, 1);
    x->worker = worker_new(&(struct worker_config){.transport = &x->fake.face,
                                                   .clock = &x->fake.clock,
                                                   .timers = &x->fake.timers,
                                                   .rng = &x->rng,
                                                   .ns = "system",
                                                   .identity = "me",
                                                   .unfreeze_timeout_ms = 60000,
                                                   .max_in_flight = 20});
    worker_start(x->worker);
    pass(x, 500);
    CLEANUP_BUF struct buf why_not = BUF_INIT(KIB);
    assert_true(worker_ready(x->worker, &why_not));
    assert_true(worker_leads(x->worker));
}

static void end(struct leaving *x)
{
    assert_true(x->done);
    assert_false(worker_leads(x->worker));
    assert_false(x->begun);
    worker_free(x->worker);
    fake_release(&x->fake);
}

static void test_the_guest_is_thawed_first(void **state)
{
    (void)state;
    struct leaving x;
    begin(&x, FROZEN);
    worker_resign(x.worker, on_resigned, &x);
    pass(&x, 3000);
    assert_true(thaw_is_open(&x));
    assert_false(x.done);
    assert_true(worker_leads(x.worker));
    x.thaw_answers = true;
    pass(&x, 3000);
    assert_true(x.thaws >= 1);
    end(&x);
}

/* The guest agent is dead: the next leader goes on with it, and the Pod ends before it is killed.
 */
static void test_not_for_ever(void **state)
{
    (void)state;
    struct leaving x;
    begin(&x, FROZEN);
    worker_resign(x.worker, on_resigned, &x);
    pass(&x, 9900);
    assert_false(x.done);
    pass(&x, 200);
    end(&x);
}

static void test_nobody_is_frozen(void **state)
{
    (void)state;
    struct leaving x;
    begin(&x, "");
    worker_resign(x.worker, on_resigned, &x);
    end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_guest_is_thawed_first),
        cmocka_unit_test(test_not_for_ever),
        cmocka_unit_test(test_nobody_is_frozen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
