/*
 * Proves that what the server serves is learnt per group version, that 404 is an answer and a
 * failure is not, and how often it asks again.
 */
#include "test.h"

#include "fake.h"
#include "kube/discovery.h"

struct fixture {
    struct fake fake;
    struct rng rng;
    struct kube_client client;
    struct discovery *d;
    unsigned turns;
};

static void turned(void *arg)
{
    ((struct fixture *)arg)->turns++;
}

static int setup(void **state)
{
    struct fixture *x = xcalloc(1, sizeof *x);
    fake_init(&x->fake);
    rng_seed(&x->rng, 1);
    x->client = (struct kube_client){
        .transport = &x->fake.face, .clock = &x->fake.clock, .timers = &x->fake.timers};
    x->d = discovery_new(&x->client, &x->rng, turned, x);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    discovery_free(x->d);
    fake_release(&x->fake);
    free(x);
    return 0;
}

#define KUBEVIRT                                                                                   \
    "{\"kind\":\"APIResourceList\",\"groupVersion\":\"kubevirt.io/v1\",\"resources\":["            \
    "{\"name\":\"virtualmachines\",\"namespaced\":true,\"kind\":\"VirtualMachine\"},"              \
    "{\"name\":\"virtualmachines/status\",\"kind\":\"VirtualMachine\"}]}"

static void test_answers(void **state)
{
    struct fixture *x = *state;
    assert_true(discovery_want(x->d, "kubevirt.io", "v1"));
    assert_true(discovery_want(x->d, "kubevirt.io", "v1"));
    assert_true(discovery_want(x->d, "", "v1"));
    assert_int_equal(fake_open(&x->fake), 2);
    assert_false(discovery_ready(x->d));
    fake_expect(&x->fake, "GET /apis/kubevirt.io/v1");
    fake_answer(&x->fake, fake_call(&x->fake), 200, KUBEVIRT);
    fake_expect(&x->fake, "GET /api/v1");
    fake_answer(&x->fake, fake_call(&x->fake), 404, "404 page not found\n");
    assert_true(discovery_ready(x->d));
    assert_int_equal(x->turns, 2);
    assert_true(discovery_served(x->d, "kubevirt.io", "v1", NULL));
    assert_true(discovery_served(x->d, "kubevirt.io", "v1", "virtualmachines"));
    assert_true(discovery_served(x->d, "kubevirt.io", "v1", "virtualmachines/status"));
    assert_false(discovery_served(x->d, "kubevirt.io", "v1", "virtualmachinepools"));
    assert_false(discovery_served(x->d, "kubevirt.io", "v2", NULL));
    assert_false(discovery_served(x->d, "", "v1", NULL));

    /* Unserved: asked again after 30 s; served: after 5 min. */
    fake_advance(&x->fake, 36000);
    assert_int_equal(fake_open(&x->fake), 1);
    fake_expect(&x->fake, "GET /api/v1");
    fake_answer(&x->fake, fake_call(&x->fake), 200, "{\"resources\":[{\"name\":\"pods\"}]}");
    assert_true(discovery_served(x->d, "", "v1", "pods"));
    assert_int_equal(x->turns, 3);
    fake_advance(&x->fake, 360000);
    assert_int_equal(fake_open(&x->fake), 2);
    /* No answer changes nothing. */
    unsigned turns = x->turns;
    while (fake_open(&x->fake))
        fake_answer(&x->fake, fake_call(&x->fake), 503, "");
    assert_int_equal(x->turns, turns);
    assert_true(discovery_served(x->d, "", "v1", "pods"));
    assert_true(discovery_served(x->d, "kubevirt.io", "v1", "virtualmachines"));
    /* The same answer changes nothing either. */
    discovery_refresh(x->d);
    fake_answer(&x->fake, fake_call(&x->fake), 200, KUBEVIRT);
    assert_int_equal(x->turns, turns);
    fake_answer(&x->fake, fake_call(&x->fake), 404, "");
    assert_int_equal(x->turns, turns + 1);
    assert_false(discovery_served(x->d, "", "v1", "pods"));
}

static void test_failed_first(void **state)
{
    struct fixture *x = *state;
    assert_true(discovery_want(x->d, "a.io", "v1"));
    fake_answer(&x->fake, fake_call(&x->fake), 500, "");
    assert_false(discovery_ready(x->d));
    assert_int_equal(x->turns, 0);
    fake_advance(&x->fake, 36000);
    fake_answer(&x->fake, fake_call(&x->fake), 200, "garbage");
    assert_true(discovery_ready(x->d));
    assert_true(discovery_served(x->d, "a.io", "v1", NULL));
    assert_false(discovery_served(x->d, "a.io", "v1", "x"));
}

static void test_bound(void **state)
{
    struct fixture *x = *state;
    for (unsigned i = 0; i <= DISCOVERY_GROUPS_MAX; i++) {
        char group[16];
        snprintf(group, sizeof group, "g%u.io", i);
        assert_int_equal(discovery_want(x->d, group, "v1"), i < DISCOVERY_GROUPS_MAX);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_answers), T(test_failed_first), T(test_bound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
