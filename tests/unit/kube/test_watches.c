/*
 * Proves that a store may be filled by a reflector for each of some namespaces: each lists its own,
 * sweeps its own and nothing else, and all must have been heard of.
 */
#include "test.h"

#include "base/str.h"
#include "fake.h"
#include "kube/watches.h"

static const struct kube_kind things = {
    .group = "g.io", .version = "v1", .resource = "things", .kind = "Thing"};
static const struct kube_kind namespaces = {
    .version = "v1", .resource = "namespaces", .kind = "Namespace", .cluster_scoped = true};
static const char *const two[] = {"a", "b"};

struct fixture {
    struct fake fake;
    struct rng rng;
    struct store *store;
    struct watches *watches;
};

static void begin(struct fixture *x, const struct kube_kind *kind, size_t count)
{
    *x = (struct fixture){0};
    fake_init(&x->fake);
    x->fake.now_ms = 1000;
    rng_seed(&x->rng, 3);
    x->store = store_new(kind);
    x->watches = watches_new(&(struct reflector_options){.store = x->store,
                                                         .transport = &x->fake.face,
                                                         .clock = &x->fake.clock,
                                                         .timers = &x->fake.timers,
                                                         .rng = &x->rng},
                             two, count);
    watches_start(x->watches);
}

static void end(struct fixture *x)
{
    watches_free(x->watches);
    store_free(x->store);
    fake_release(&x->fake);
}

static struct kube_call *call_on(struct fixture *x, const char *part)
{
    for (struct kube_call *c = x->fake.calls; c; c = c->next)
        if (strstr(c->path, part))
            return c;
    fail_msg("nothing asks for %s", part);
    return NULL;
}

#define OBJECT(ns, name, rv)                                                                       \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"" ns "\",\"uid\":\"" ns name             \
    "\",\"resourceVersion\":\"" rv "\"}}"
#define LIST(rv, items) "{\"metadata\":{\"resourceVersion\":\"" rv "\"},\"items\":[" items "]}"

static void answer(struct fixture *x, const char *part, const char *list)
{
    fake_answer(&x->fake, call_on(x, part), 200, list);
}

static void test_each_its_own(void **state)
{
    (void)state;
    struct fixture x;
    begin(&x, &things, 2);
    assert_int_equal(fake_open(&x.fake), 2);
    answer(&x, "/apis/g.io/v1/namespaces/a/things?", LIST("5", OBJECT("a", "x", "1")));
    assert_false(watches_synced(x.watches));
    assert_int_equal(watches_heard_ms(x.watches), 0);
    fake_advance(&x.fake, 50);
    answer(&x, "/apis/g.io/v1/namespaces/b/things?",
           LIST("6", OBJECT("b", "x", "2") "," OBJECT("b", "y", "3")));
    assert_true(watches_synced(x.watches) && watches_served(x.watches));
    assert_int_equal(watches_heard_ms(x.watches), 1000);
    assert_int_equal(store_count(x.store), 3);
    /* A lists anew while B does, and each finds less than before. */
    watches_refresh(x.watches);
    assert_false(watches_synced(x.watches));
    answer(&x, "/namespaces/b/things?", LIST("8", OBJECT("b", "y", "3")));
    assert_non_null(store_get(x.store, "a", "x"));
    assert_null(store_get(x.store, "b", "x"));
    answer(&x, "/namespaces/a/things?limit", LIST("9", ""));
    assert_null(store_get(x.store, "a", "x"));
    assert_non_null(store_get(x.store, "b", "y"));
    end(&x);
}

/* Whoever may see two Namespaces may not list them all; a list of one name is allowed. */
static void test_the_namespaces_themselves(void **state)
{
    (void)state;
    struct fixture x;
    begin(&x, &namespaces, 2);
    answer(&x, "/api/v1/namespaces?fieldSelector=metadata.name%3Da&",
           LIST("5", "{\"metadata\":{\"name\":\"a\",\"uid\":\"1\",\"resourceVersion\":\"1\"}}"));
    answer(&x, "/api/v1/namespaces?fieldSelector=metadata.name%3Db&", LIST("5", ""));
    assert_true(watches_synced(x.watches));
    assert_non_null(store_get(x.store, NULL, "a"));
    end(&x);
}

static void test_all_at_once(void **state)
{
    (void)state;
    struct fixture x;
    begin(&x, &things, 0);
    assert_int_equal(fake_open(&x.fake), 1);
    answer(&x, "/apis/g.io/v1/things?", LIST("5", OBJECT("a", "x", "1")));
    assert_true(watches_synced(x.watches));
    end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_its_own),
        cmocka_unit_test(test_the_namespaces_themselves),
        cmocka_unit_test(test_all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
