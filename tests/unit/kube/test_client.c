/*
 * Proves which request each verb becomes (Kubernetes API concepts: media types, parameters), what
 * is repeated (one 401, a GET without an answer) and what never is (writes), and that cancelling
 * and deadlines hold.
 */
#include "test.h"

#include "base/str.h"
#include "fake.h"
#include "json/json.h"
#include "kube/client.h"

static const struct kube_kind vm = {.group = "kubevirt.io",
                                    .version = "v1",
                                    .resource = "virtualmachines",
                                    .kind = "VirtualMachine"};

struct fixture {
    struct fake fake;
    struct kube_client client;
    unsigned answers;
    enum err_kind why;
    int code;
    char body[200];
    struct kube_op *op, *cancel_in_callback;
};

static void note(void *arg, const struct kube_reply *reply)
{
    struct fixture *x = arg;
    x->answers++;
    x->why = reply->status.err.kind;
    x->code = reply->status.code;
    snprintf(x->body, sizeof x->body, "%s", reply->body);
    kube_op_cancel(x->cancel_in_callback);
}

static int setup(void **state)
{
    struct fixture *x = xcalloc(1, sizeof *x);
    fake_init(&x->fake);
    x->client = (struct kube_client){.transport = &x->fake.face,
                                     .clock = &x->fake.clock,
                                     .timers = &x->fake.timers,
                                     .field_manager = "wukong-test"};
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    fake_release(&x->fake);
    free(x);
    return 0;
}

static struct kube_answer answer_of(struct fixture *x)
{
    return (struct kube_answer){.done = note, .arg = x};
}

#define REF ((struct kube_ref){.kind = &vm, .ns = "n", .name = "a"})
#define PATH "/apis/kubevirt.io/v1/namespaces/n/virtualmachines"

/* The call under way is exactly this; it is answered with 200. */
static void expect(struct fixture *x, const char *what, const char *content_type,
                   const char *accept, const char *body)
{
    struct kube_call *c = fake_call(&x->fake);
    fake_expect(&x->fake, what);
    assert_int_equal(strlen(strchr(what, ' ') + 1), strlen(c->path));
    assert_true(str_eq(c->request.content_type, content_type));
    assert_true(str_eq(c->request.accept, accept));
    assert_string_equal(c->body, body);
    fake_answer(&x->fake, c, 200, "{\"ok\":1}");
    assert_int_equal(x->answers, 1);
    assert_int_equal(x->why, ERR_NONE);
    assert_string_equal(x->body, "{\"ok\":1}");
    x->answers = 0;
}

static void test_verbs(void **state)
{
    struct fixture *x = *state;
    struct kube_ref status = REF;
    status.sub = "status";
    (void)kube_get(&x->client, REF, answer_of(x));
    expect(x, "GET " PATH "/a", NULL, NULL, "");
    (void)kube_create(&x->client, REF, "{}", false, answer_of(x));
    expect(x, "POST " PATH "?fieldManager=wukong-test", "application/json", NULL, "{}");
    (void)kube_create(&x->client, REF, "{}", true, answer_of(x));
    expect(x, "POST " PATH "?dryRun=All&fieldManager=wukong-test", "application/json", NULL, "{}");
    (void)kube_apply(&x->client, status, "{}", true, answer_of(x));
    expect(x, "PATCH " PATH "/a/status?fieldManager=wukong-test&force=true",
           "application/apply-patch+yaml", NULL, "{}");
    (void)kube_update(&x->client, REF, "{}", answer_of(x));
    expect(x, "PUT " PATH "/a?fieldManager=wukong-test", "application/json", NULL, "{}");
}

/* One repetition after a 401, with the token read anew by the transport. */
static void test_unauthorized(void **state)
{
    struct fixture *x = *state;
    for (int second = 0; second < 2; second++) {
        (void)kube_create(&x->client, REF, "{\"a\":1}", false, answer_of(x));
        fake_answer(&x->fake, fake_call(&x->fake), 401, "");
        assert_int_equal(x->answers, second);
        assert_string_equal(fake_call(&x->fake)->body, "{\"a\":1}");
        fake_answer(&x->fake, fake_call(&x->fake), second ? 401 : 201, "{}");
        assert_int_equal(x->answers, second + 1);
        assert_int_equal(x->why, second ? ERR_UNAUTHORIZED : ERR_NONE);
        assert_int_equal(fake_open(&x->fake), 0);
    }
}

static void test_get_is_repeated(void **state)
{
    struct fixture *x = *state;
    (void)kube_get(&x->client, REF, answer_of(x));
    fake_fail(&x->fake, fake_call(&x->fake), ERR_UNAVAILABLE);
    assert_int_equal(fake_open(&x->fake), 0);
    fake_advance(&x->fake, 200);
    fake_fail(&x->fake, fake_call(&x->fake), ERR_UNAVAILABLE);
    fake_advance(&x->fake, 1000);
    fake_fail(&x->fake, fake_call(&x->fake), ERR_UNAVAILABLE);
    assert_int_equal(x->answers, 1);
    assert_int_equal(x->why, ERR_UNAVAILABLE);
    assert_int_equal(x->fake.submitted, 3);

    /* Not beyond its deadline. */
    x->client.deadline_ms = 300;
    (void)kube_get(&x->client, REF, answer_of(x));
    fake_advance(&x->fake, 150);
    fake_fail(&x->fake, fake_call(&x->fake), ERR_UNAVAILABLE);
    assert_int_equal(x->answers, 2);
    (void)kube_get(&x->client, REF, answer_of(x));
    fake_fail(&x->fake, fake_call(&x->fake), ERR_UNAVAILABLE);
    fake_advance(&x->fake, 200);
    assert_true(fake_call(&x->fake)->request.deadline_ms == 100);
    fake_answer(&x->fake, fake_call(&x->fake), 200, "{}");
    assert_int_equal(x->why, ERR_NONE);
    /* Refusals are answers. */
    (void)kube_get(&x->client, REF, answer_of(x));
    fake_answer(&x->fake, fake_call(&x->fake), 503, "");
    assert_int_equal(x->answers, 4);
}

/* The reply to a write is lost: told, never repeated. */
static void test_lost_reply(void **state)
{
    struct fixture *x = *state;
    (void)kube_create(&x->client, REF, "{}", false, answer_of(x));
    fake_fail(&x->fake, fake_call(&x->fake), ERR_AMBIGUOUS);
    assert_int_equal(x->answers, 1);
    assert_int_equal(x->why, ERR_AMBIGUOUS);
    (void)kube_create(&x->client, REF, "{}", false, answer_of(x));
    fake_fail(&x->fake, fake_call(&x->fake), ERR_UNAVAILABLE);
    assert_int_equal(x->why, ERR_UNAVAILABLE);
    (void)kube_create(&x->client, REF, "{}", false, answer_of(x));
    fake_answer(&x->fake, fake_call(&x->fake), 504, "");
    assert_int_equal(x->why, ERR_AMBIGUOUS);
    (void)kube_get(&x->client, REF, answer_of(x));
    fake_answer(&x->fake, fake_call(&x->fake), 504, "");
    assert_int_equal(x->why, ERR_UNAVAILABLE);
    fake_advance(&x->fake, 60000);
    assert_int_equal(x->fake.submitted, 4);
}

static void test_cancel(void **state)
{
    struct fixture *x = *state;
    struct kube_op *op = kube_get(&x->client, REF, answer_of(x));
    kube_op_cancel(op);
    assert_int_equal(x->fake.cancelled, 1);
    op = kube_get(&x->client, REF, answer_of(x)); /* while it waits to be repeated */
    fake_fail(&x->fake, fake_call(&x->fake), ERR_UNAVAILABLE);
    kube_op_cancel(op);
    fake_advance(&x->fake, 60000);
    kube_op_cancel(NULL);
    assert_int_equal(x->answers, 0);
    x->cancel_in_callback = kube_get(&x->client, REF, answer_of(x)); /* its own: harmless */
    fake_answer(&x->fake, fake_call(&x->fake), 200, "{}");
    assert_int_equal(x->answers, 1);
}

static void test_unsafe_names(void **state)
{
    struct fixture *x = *state;
    static const char *const names[] = {"", ".", "..", NULL};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)kube_get(&x->client, (struct kube_ref){.kind = &vm, .ns = "n", .name = names[i]},
                       answer_of(x));
        assert_int_equal(x->answers, i); /* never from inside the call */
        fake_advance(&x->fake, 0);
        assert_int_equal(x->answers, i + 1);
        assert_int_equal(x->why, ERR_INVALID);
    }
    assert_int_equal(x->fake.submitted, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_verbs),      T(test_unauthorized), T(test_get_is_repeated),
        T(test_lost_reply), T(test_cancel),       T(test_unsafe_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
