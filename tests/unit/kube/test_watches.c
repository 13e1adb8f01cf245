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
    fake_advance(&x.fake, 50);
    answer(&x, "/apis/g.io/v1/namespaces/b/things?",
           LIST("6", OBJECT("b", "x", "2") "," OBJECT("b", "y", "3")));
    assert_true(watches_synced(x.watches) && watches_served(x.watches));
    assert_int_equal(watches_age_ms(x.watches), 50); /* of A */
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

#define BOOKMARK "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}\n"

/* An idle watch is renewed by bookmarks, and by its end. What fails over and over is no news,
   though an answer came each time. */
static void test_stale(void **state)
{
    (void)state;
    struct fixture x;
    begin(&x, &things, 0);
    fake_advance(&x.fake, REFLECTOR_STALE_MS);
    assert_false(watches_stale(x.watches));
    fake_advance(&x.fake, 1);
    assert_true(watches_stale(x.watches)); /* its first list has never been answered */
    answer(&x, "/things?", LIST("5", ""));
    for (int minute = 0; minute < 60; minute++) {
        fake_advance(&x.fake, 60000);
        assert_false(watches_stale(x.watches));
        assert_int_equal(fake_data(&x.fake, call_on(&x, "watch=true"), BOOKMARK), 0);
    }
    fake_advance(&x.fake, REFLECTOR_STALE_MS - 1000);
    fake_answer(&x.fake, call_on(&x, "watch=true"), 200, "");
    fake_advance(&x.fake, 2000);
    assert_false(watches_stale(x.watches)); /* it has ended, and the next one runs */
    for (int i = 0; i < 2 * REFLECTOR_STALE_MS / 1000; i++) {
        if (fake_open(&x.fake))
            fake_answer(&x.fake, fake_call(&x.fake), 500, "");
        fake_advance(&x.fake, 1000);
    }
    assert_true(watches_stale(x.watches));
    end(&x);
}

/* Of Events no bookmarks come: a watch without one may last to its end. */
static void test_stale_without_bookmarks(void **state)
{
    (void)state;
    static const struct kube_kind events = {
        .version = "v1", .resource = "events", .kind = "Event", .no_bookmarks = true};
    struct fixture x;
    begin(&x, &events, 0);
    answer(&x, "/events?", LIST("5", ""));
    fake_advance(&x.fake, (REFLECTOR_WATCH_S_MAX * 1000) + REFLECTOR_WATCH_GRACE_MS);
    assert_false(watches_stale(x.watches));
    fake_advance(&x.fake, REFLECTOR_AGAIN_MS + 1);
    assert_true(watches_stale(x.watches));
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
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_stale_without_bookmarks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
