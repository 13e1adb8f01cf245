/*
 * Proves that the reflector's shell sends what reflector_step says and fills the store from what
 * comes back: pages, events, bookmarks, 410 in a stream and in an answer, a stream cut in the
 * middle of a line, objects that cannot be read, a kind that is not served, a silent stream's
 * limits.
 */
#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "fake.h"
#include "kube/reflector.h"

static const struct kube_kind kind = {.group = "g.io",
                                      .version = "v1",
                                      .resource = "things",
                                      .kind = "Thing",
                                      .fields = {"status.phase"},
                                      .label_selector = "a=b",
                                      .field_selector = "x=y"};

struct fixture {
    struct fake fake;
    struct rng rng;
    struct store *store;
    struct reflector *reflector;
    unsigned turns, failures, unreadable;
    enum err_kind why;
};

#define BASE "GET /apis/g.io/v1/things?labelSelector=a%3Db&fieldSelector=x%3Dy"
#define OBJECT(name, rv)                                                                           \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\",\"uid\":\"" name                     \
    "\",\"resourceVersion\":\"" rv "\"}}"
#define LIST(rv, items) "{\"metadata\":{\"resourceVersion\":\"" rv "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define EXPIRED                                                                                    \
    "{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"Expired\",\"code\":410,"             \
    "\"message\":\"too old resource version\"}"

static void turned(void *arg)
{
    ((struct fixture *)arg)->turns++;
}

static void failed(void *arg, const struct kube_kind *which, const struct err *err)
{
    struct fixture *x = arg;
    assert_ptr_equal(which, &kind);
    x->failures++;
    x->why = err->kind;
}

static void unreadable(void *arg, const struct kube_kind *which, const char *ns, const char *name,
                       const char *why)
{
    struct fixture *x = arg;
    assert_ptr_equal(which, &kind);
    assert_true(ns && name && *why);
    x->unreadable++;
}

static int setup(void **state)
{
    struct fixture *x = xcalloc(1, sizeof *x);
    fake_init(&x->fake);
    rng_seed(&x->rng, 3);
    x->store = store_new(&kind);
    x->reflector = reflector_new(&(struct reflector_options){.store = x->store,
                                                             .transport = &x->fake.face,
                                                             .clock = &x->fake.clock,
                                                             .timers = &x->fake.timers,
                                                             .rng = &x->rng,
                                                             .turned = turned,
                                                             .failed = failed,
                                                             .unreadable = unreadable,
                                                             .arg = x});
    reflector_start(x->reflector);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    reflector_free(x->reflector);
    store_free(x->store);
    fake_release(&x->fake);
    free(x);
    return 0;
}

static void expect_watch(struct fixture *x, const char *version)
{
    CLEANUP_FREE char *text = xasprintf(
        "%s&resourceVersion=%s&watch=true&allowWatchBookmarks=true&timeoutSeconds=", BASE, version);
    fake_expect(&x->fake, text);
    const struct kube_request *r = &fake_call(&x->fake)->request;
    const char *seconds = strstr(r->path, "timeoutSeconds=") + strlen("timeoutSeconds=");
    assert_true(r->deadline_ms == strtol(seconds, NULL, 10) * 1000 + 30000);
    assert_true(r->idle_ms > 60000 && r->idle_ms < r->deadline_ms);
    assert_int_equal(fake_open(&x->fake), 1);
}

static void to_watch(struct fixture *x)
{
    fake_answer(&x->fake, fake_call(&x->fake), 200, LIST("10", OBJECT("a", "5")));
    expect_watch(x, "10");
}

/* A watch of Events is silent for as long as nothing happens: that alone must not end it. */
static void test_no_bookmarks(void **state)
{
    (void)state;
    static const struct kube_kind events = {
        .version = "v1", .resource = "events", .kind = "Event", .no_bookmarks = true};
    struct fake fake;
    struct rng rng;
    fake_init(&fake);
    rng_seed(&rng, 3);
    struct store *store = store_new(&events);
    struct reflector *r = reflector_new(&(struct reflector_options){.store = store,
                                                                    .transport = &fake.face,
                                                                    .clock = &fake.clock,
                                                                    .timers = &fake.timers,
                                                                    .rng = &rng});
    reflector_start(r);
    fake_answer(&fake, fake_call(&fake), 200, LIST("10", ""));
    fake_expect(&fake, "GET /api/v1/events?resourceVersion=10&watch=true");
    assert_int_equal(fake_call(&fake)->request.idle_ms, 0);
    assert_true(fake_call(&fake)->request.deadline_ms > 0);
    reflector_free(r);
    store_free(store);
    fake_release(&fake);
}

static void test_pages(void **state)
{
    struct fixture *x = *state;
    fake_expect(&x->fake, BASE "&limit=500");
    assert_int_equal(strlen(fake_call(&x->fake)->path), strlen(BASE "&limit=500") - 4);
    assert_true(fake_call(&x->fake)->request.deadline_ms == 60000);
    fake_answer(
        &x->fake, fake_call(&x->fake), 200,
        "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"a/b=\"},\"items\":[" OBJECT(
            "a", "5") "]}");
    assert_false(reflector_synced(x->reflector));
    assert_int_equal(store_count(x->store), 1);
    fake_expect(&x->fake, BASE "&limit=500&continue=a%2Fb%3D");
    assert_null(strstr(fake_call(&x->fake)->path, "resourceVersion"));
    fake_answer(&x->fake, fake_call(&x->fake), 200, LIST("10", OBJECT("b", "6")));
    assert_true(reflector_synced(x->reflector));
    assert_int_equal(x->turns, 1);
    assert_int_equal(store_count(x->store), 2);
    expect_watch(x, "10");
}

static void test_events(void **state)
{
    struct fixture *x = *state;
    to_watch(x);
    struct kube_call *c = fake_call(&x->fake);
    fake_advance(&x->fake, 5000);
    assert_int_equal(fake_data(&x->fake, c, EVENT("ADDED", OBJECT("b", "11"))), 0);
    assert_true(reflector_heard_ms(x->reflector) == x->fake.now_ms);
    assert_string_equal(store_get(x->store, "n", "b")->resource_version, "11");
    /* one event in three pieces, two in one */
    assert_int_equal(fake_data(&x->fake, c, "{\"type\":\"MODI"), 0);
    assert_int_equal(fake_data(&x->fake, c, "FIED\",\"object\":"), 0);
    assert_int_equal(
        fake_data(&x->fake, c, OBJECT("a", "12") "}\n" EVENT("DELETED", OBJECT("b", "13"))), 0);
    assert_string_equal(store_get(x->store, "n", "a")->resource_version, "12");
    assert_null(store_get(x->store, "n", "b"));
    assert_int_equal(
        fake_data(&x->fake, c, EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"99\"}}")),
        0);
    assert_int_equal(store_count(x->store), 1);
    fake_answer(&x->fake, c, 200, "");
    expect_watch(x, "99");
    assert_int_equal(x->failures, 0);
}

/* 410 as an event in the stream, then as the list's answer. */
static void test_expired(void **state)
{
    struct fixture *x = *state;
    to_watch(x);
    assert_int_equal(fake_data(&x->fake, fake_call(&x->fake), EVENT("ERROR", EXPIRED)), -1);
    assert_int_equal(x->why, ERR_EXPIRED);
    fake_expect(&x->fake, BASE "&resourceVersion=10&resourceVersionMatch=NotOlderThan&limit=500");
    fake_answer(&x->fake, fake_call(&x->fake), 410, EXPIRED);
    fake_expect(&x->fake, BASE "&limit=500");
    /* What has gone meanwhile goes now. */
    fake_answer(&x->fake, fake_call(&x->fake), 200, LIST("20", OBJECT("c", "15")));
    assert_null(store_get(x->store, "n", "a"));
    assert_non_null(store_get(x->store, "n", "c"));
    expect_watch(x, "20");
    assert_true(reflector_synced(x->reflector));
}

/* 410 as the answer to the watch itself. */
static void test_expired_answer(void **state)
{
    struct fixture *x = *state;
    to_watch(x);
    fake_answer(&x->fake, fake_call(&x->fake), 410, EXPIRED);
    fake_expect(&x->fake, BASE "&resourceVersion=10&resourceVersionMatch=NotOlderThan&limit=500");
}

/* A stream that breaks off: the unfinished line is forgotten, the same watch goes on. */
static void test_cut(void **state)
{
    struct fixture *x = *state;
    to_watch(x);
    fake_advance(&x->fake, 5000);
    (void)fake_data(&x->fake, fake_call(&x->fake), EVENT("ADDED", OBJECT("b", "11")));
    (void)fake_data(&x->fake, fake_call(&x->fake), "{\"type\":\"DELETED\",\"obj");
    fake_fail(&x->fake, fake_call(&x->fake), ERR_UNAVAILABLE);
    assert_int_equal(fake_open(&x->fake), 0);
    fake_advance(&x->fake, 1600);
    expect_watch(x, "11");
    (void)fake_data(&x->fake, fake_call(&x->fake), EVENT("ADDED", OBJECT("c", "12")));
    assert_int_equal(store_count(x->store), 3);
    /* the same with an end that looks clean */
    (void)fake_data(&x->fake, fake_call(&x->fake), "{\"type\":\"DELETED\",\"obj");
    fake_answer(&x->fake, fake_call(&x->fake), 200, "");
    assert_int_equal(x->why, ERR_UNAVAILABLE);
    fake_advance(&x->fake, 3200);
    expect_watch(x, "12");
}

static void test_throttled(void **state)
{
    struct fixture *x = *state;
    to_watch(x);
    fake_answer_later(&x->fake, fake_call(&x->fake), 429, "", 9);
    fake_advance(&x->fake, 8999);
    assert_int_equal(fake_open(&x->fake), 0);
    fake_advance(&x->fake, 1);
    expect_watch(x, "10");
    assert_int_equal(x->why, ERR_THROTTLED);
}

static void test_unreadable(void **state)
{
    struct fixture *x = *state;
    static const char *const lines[] = {
        "garbage\n",
        "{\"type\":\"NEW\",\"object\":" OBJECT("z", "1") "}\n",
    };
    to_watch(x);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_int_equal(fake_data(&x->fake, fake_call(&x->fake), lines[i]), -1);
        assert_int_equal(x->why, ERR_INVALID);
        fake_advance(&x->fake, 20000);
        fake_expect(&x->fake,
                    BASE "&resourceVersion=10&resourceVersionMatch=NotOlderThan&limit=500");
        fake_answer(&x->fake, fake_call(&x->fake), 200, LIST("10", OBJECT("a", "5")));
        expect_watch(x, "10");
    }
    assert_int_equal(x->failures, ARRAY_LEN(lines));
}

/* One object that cannot be read hides nothing: its neighbours come, the watch goes on, and it
   stays as a marker until a good version, or its end, comes. */
static void test_strange_objects(void **state)
{
    struct fixture *x = *state;
    CLEANUP_BUF struct buf deep = BUF_INIT(64 * KIB);
    buf_adds(&deep, "{\"metadata\":{\"name\":\"b\",\"uid\":\"u-b\",\"namespace\":\"ns\","
                    "\"resourceVersion\":\"6\"},\"status\":{\"phase\":");
    for (unsigned i = 0; i < 1000; i++)
        buf_adds(&deep, "{\"x\":");
    buf_adds(&deep, "1");
    for (unsigned i = 0; i < 1000; i++)
        buf_adds(&deep, "}");
    buf_adds(&deep, "}}");
    CLEANUP_FREE char *list = xasprintf("{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":["
                                        "%s,{\"a\":1}," OBJECT("c", "7") "]}",
                                        deep.data);
    fake_answer(&x->fake, fake_call(&x->fake), 200, list);
    assert_true(reflector_synced(x->reflector));
    assert_int_equal(x->failures, 0);
    assert_int_equal(x->unreadable, 2); /* one of them without a name */
    assert_int_equal(store_count(x->store), 2);
    assert_int_equal(store_unreadable(x->store), 1);
    const struct kube_object *b = store_get(x->store, "ns", "b");
    assert_string_equal(b->uid, "u-b");
    assert_non_null(strstr(b->unreadable, "deeper"));
    assert_null(kube_object_field(b, kind.fields[0]));
    expect_watch(x, "10");

    CLEANUP_FREE char *event = xasprintf("{\"type\":\"MODIFIED\",\"object\":%s}\n", deep.data);
    assert_int_equal(fake_data(&x->fake, fake_call(&x->fake), event), 0);
    assert_int_equal(x->unreadable, 2); /* it is told once per version */
    assert_int_equal(fake_data(&x->fake, fake_call(&x->fake),
                               "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"b\","
                               "\"uid\":\"u-b\",\"namespace\":\"ns\",\"resourceVersion\":\"11\","
                               "\"annotations\":{\"a\":\"\\u0000\",\"b\":\"\xff\"}}}}\n"),
                     0);
    assert_int_equal(store_unreadable(x->store), 0);
    assert_null(store_get(x->store, "ns", "b")->unreadable);
    assert_int_equal(fake_data(&x->fake, fake_call(&x->fake), event), 0);
    assert_int_equal(store_unreadable(x->store), 1);
    CLEANUP_FREE char *end = xasprintf("{\"type\":\"DELETED\",\"object\":%s}\n", deep.data);
    assert_int_equal(fake_data(&x->fake, fake_call(&x->fake), end), 0);
    assert_null(store_get(x->store, "ns", "b"));
    assert_int_equal(store_unreadable(x->store), 0);
    assert_int_equal(fake_open(&x->fake), 1); /* the same watch all the time */
}

static void test_bad_lists(void **state)
{
    struct fixture *x = *state;
    static const char *const lists[] = {
        "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[",
        "{\"items\":[]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        fake_answer(&x->fake, fake_call(&x->fake), 200, lists[i]);
        assert_int_equal(x->failures, i + 1);
        assert_int_equal(x->why, ERR_INVALID);
        assert_false(reflector_synced(x->reflector));
        fake_advance(&x->fake, 20000);
        fake_expect(&x->fake, BASE "&limit=500");
    }
    fake_answer(&x->fake, fake_call(&x->fake), 403, "{\"kind\":\"Status\",\"code\":403}");
    assert_int_equal(x->why, ERR_REFUSED);
    assert_false(reflector_synced(x->reflector));
}

static void test_not_served(void **state)
{
    struct fixture *x = *state;
    fake_answer(&x->fake, fake_call(&x->fake), 404, "404 page not found\n");
    assert_true(reflector_synced(x->reflector));
    assert_false(reflector_served(x->reflector));
    assert_int_equal(x->turns, 1);
    fake_advance(&x->fake, 29000);
    assert_int_equal(fake_open(&x->fake), 0);
    fake_advance(&x->fake, 31000);
    fake_answer(&x->fake, fake_call(&x->fake), 200, LIST("3", OBJECT("a", "2")));
    assert_true(reflector_served(x->reflector));
    assert_int_equal(x->turns, 2);
    /* The CRD is deleted: what was cached goes. */
    fake_answer(&x->fake, fake_call(&x->fake), 404, "404 page not found\n");
    fake_advance(&x->fake, 2000);
    fake_answer(&x->fake, fake_call(&x->fake), 404, "404 page not found\n");
    assert_false(reflector_served(x->reflector));
    assert_int_equal(store_count(x->store), 0);
}

/* A new leader's look: whatever was under way is dropped, and what comes is asked of etcd (no
   version), page by page; the store is not called synced before, and has forgotten what is gone
   then. */
static void test_refresh(void **state)
{
    struct fixture *x = *state;
    to_watch(x);
    reflector_refresh(x->reflector);
    assert_int_equal(x->fake.cancelled, 1);
    assert_int_equal(fake_open(&x->fake), 1);
    assert_false(reflector_synced(x->reflector));
    assert_int_equal(x->turns, 2);
    assert_int_equal(store_count(x->store), 1); /* nobody sees an empty cluster */
    fake_expect(&x->fake, BASE "&limit=500");
    assert_null(strstr(fake_call(&x->fake)->path, "resourceVersion"));
    /* In the middle of the list. */
    reflector_refresh(x->reflector);
    assert_int_equal(x->fake.cancelled, 2);
    /* And while it waits to ask again. */
    fake_answer(&x->fake, fake_call(&x->fake), 500, "{}");
    assert_int_equal(fake_open(&x->fake), 0);
    reflector_refresh(x->reflector);
    assert_int_equal(fake_open(&x->fake), 1);
    assert_null(strstr(fake_call(&x->fake)->path, "resourceVersion"));
    fake_answer(&x->fake, fake_call(&x->fake), 200, LIST("20", OBJECT("b", "15")));
    assert_true(reflector_synced(x->reflector));
    assert_int_equal(x->turns, 3);
    assert_null(store_get(x->store, "n", "a"));
    expect_watch(x, "20");
    fake_advance(&x->fake, 3000);
    assert_int_equal(fake_open(&x->fake), 1); /* the wait is off */
}

static void test_freed_under_way(void **state)
{
    struct fixture *x = *state;
    to_watch(x);
    reflector_free(x->reflector);
    x->reflector = NULL;
    assert_int_equal(x->fake.cancelled, 1);
    assert_int_equal(store_count(x->store), 1);
}

#define OLDER "GET /apis/g.io/v1beta2/things?"
#define NEWER "GET /apis/g.io/v1/things?"

/* A kind that older clusters serve in another version is asked for in both before it counts as not
   served, and stays with that which was; a version that is taken away later is found out. */
static void test_older_version(void **state)
{
    (void)state;
    static const struct kube_kind twofold = {.group = "g.io",
                                             .version = "v1",
                                             .older_version = "v1beta2",
                                             .resource = "things",
                                             .kind = "Thing"};
    struct fake fake;
    struct rng rng;
    fake_init(&fake);
    rng_seed(&rng, 3);
    struct store *store = store_new(&twofold);
    struct reflector *r = reflector_new(&(struct reflector_options){.store = store,
                                                                    .transport = &fake.face,
                                                                    .clock = &fake.clock,
                                                                    .timers = &fake.timers,
                                                                    .rng = &rng});
    reflector_start(r);
    fake_expect(&fake, NEWER "limit=500");
    fake_answer(&fake, fake_call(&fake), 404, "404 page not found\n");
    assert_false(reflector_synced(r));
    fake_expect(&fake, OLDER "limit=500");
    fake_answer(&fake, fake_call(&fake), 404, "404 page not found\n");
    assert_true(reflector_synced(r));
    assert_false(reflector_served(r));
    fake_advance(&fake, 60000);
    fake_answer(&fake, fake_call(&fake), 200, LIST("3", OBJECT("a", "2")));
    assert_true(reflector_served(r));
    assert_string_equal(reflector_version(r), "v1beta2");
    /* The cluster is upgraded: the watch ends, and what it had comes by the other version. */
    fake_answer(&fake, fake_call(&fake), 404, "404 page not found\n");
    fake_advance(&fake, 2000);
    fake_answer(&fake, fake_call(&fake), 404, "404 page not found\n");
    assert_true(reflector_served(r));
    assert_int_equal(store_count(store), 1);
    fake_expect(&fake, NEWER "limit=500");
    fake_answer(&fake, fake_call(&fake), 200, LIST("9", OBJECT("a", "2")));
    assert_string_equal(reflector_version(r), "v1");
    assert_int_equal(store_count(store), 1);
    reflector_free(r);
    store_free(store);
    fake_release(&fake);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_bookmarks),
        cmocka_unit_test(test_older_version),
        T(test_pages),
        T(test_events),
        T(test_expired),
        T(test_expired_answer),
        T(test_cut),
        T(test_throttled),
        T(test_unreadable),
        T(test_strange_objects),
        T(test_bad_lists),
        T(test_not_served),
        T(test_freed_under_way),
        T(test_refresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
