/*
 * Proves that Events are valid (core/v1, apimachinery's validation: name, namespace, message
 * length), that repeats are counted on one Event, also on that of a predecessor and anew when it
 * has expired, that one object cannot flood the server, and that memory stays bounded.
 */
#include "test.h"

#include "base/str.h"
#include "fake.h"
#include "json/json.h"
#include "kube/event.h"

struct fixture {
    struct fake fake;
    struct kube_client client;
    struct event_recorder *recorder;
};

static const struct event_about about = {"vm.novasphere.dev/v1alpha1", "Wukong", "n", "w", "uid-1"};

static int setup(void **state)
{
    struct fixture *x = xcalloc(1, sizeof *x);
    fake_init(&x->fake);
    x->client = (struct kube_client){.transport = &x->fake.face,
                                     .clock = &x->fake.clock,
                                     .timers = &x->fake.timers,
                                     .field_manager = "wukong-worker"};
    x->recorder = event_recorder_new(&x->client, "wukong-worker", "node-1");
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    event_recorder_free(x->recorder);
    fake_release(&x->fake);
    free(x);
    return 0;
}

static cJSON *body_of(struct fixture *x)
{
    cJSON *tree = NULL;
    struct err err = {0};
    const char *text = fake_call(&x->fake)->body;
    if (json_parse(text, strlen(text), false, &tree, &err) != 0)
        fail_msg("%s", err.message);
    return tree;
}

static int64_t count_of(struct fixture *x)
{
    CLEANUP_JSON cJSON *tree = body_of(x);
    int64_t n = -1;
    assert_true(json_int(tree, "count", &n));
    return n;
}

static void ok(struct fixture *x)
{
    fake_answer(&x->fake, fake_call(&x->fake), 200, "{}");
}

#define EXISTS "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\",\"code\":409}"

static void test_form(void **state)
{
    struct fixture *x = *state;
    event_record(x->recorder, &about, true, "SnapshotFailed", "disk %d: \"%s\"", 2, "no space");
    fake_expect(&x->fake, "POST /api/v1/namespaces/n/events?fieldManager=wukong-worker");
    CLEANUP_JSON cJSON *e = body_of(x);
    CLEANUP_FREE char *name = event_name(&about, true, "SnapshotFailed", "disk 2: \"no space\"");
    assert_string_equal(json_str(e, "apiVersion"), "v1");
    assert_string_equal(json_str(e, "kind"), "Event");
    assert_string_equal(json_str(e, "metadata.name"), name);
    assert_string_equal(json_str(e, "metadata.namespace"), "n");
    assert_string_equal(json_str(e, "involvedObject.apiVersion"), "vm.novasphere.dev/v1alpha1");
    assert_string_equal(json_str(e, "involvedObject.kind"), "Wukong");
    assert_string_equal(json_str(e, "involvedObject.namespace"), "n");
    assert_string_equal(json_str(e, "involvedObject.name"), "w");
    assert_string_equal(json_str(e, "involvedObject.uid"), "uid-1");
    assert_string_equal(json_str(e, "reason"), "SnapshotFailed");
    assert_string_equal(json_str(e, "message"), "disk 2: \"no space\"");
    assert_string_equal(json_str(e, "type"), "Warning");
    assert_string_equal(json_str(e, "source.component"), "wukong-worker");
    assert_string_equal(json_str(e, "firstTimestamp"), json_str(e, "lastTimestamp"));
    assert_int_equal(count_of(x), 1);
    ok(x);
    /* about something without a namespace: in "default", naming none */
    struct event_about policy = {"vm.novasphere.dev/v1alpha1", "ClonePolicy", NULL, "p", "uid-2"};
    event_record(x->recorder, &policy, false, "Applied", "x");
    fake_expect(&x->fake, "POST /api/v1/namespaces/default/events");
    CLEANUP_JSON cJSON *p = body_of(x);
    assert_null(json_str(p, "involvedObject.namespace"));
    assert_string_equal(json_str(p, "type"), "Normal");
    ok(x);
}

static void test_repeats(void **state)
{
    struct fixture *x = *state;
    event_record(x->recorder, &about, false, "Waiting", "for a");
    event_record(x->recorder, &about, false, "Waiting", "for a"); /* while it is being sent */
    event_record(x->recorder, &about, false, "Waiting", "for a");
    assert_int_equal(fake_open(&x->fake), 1);
    ok(x);
    fake_expect(&x->fake, "PATCH /api/v1/namespaces/n/events/w.");
    assert_string_equal(fake_call(&x->fake)->request.content_type, "application/merge-patch+json");
    assert_int_equal(count_of(x), 3);
    ok(x);
    assert_int_equal(fake_open(&x->fake), 0);
    event_record(x->recorder, &about, false, "Waiting", "for b"); /* another one */
    fake_expect(&x->fake, "POST ");
    ok(x);
    assert_int_equal(event_recorder_dropped(x->recorder), 0);
}

static void test_predecessor(void **state)
{
    struct fixture *x = *state;
    event_record(x->recorder, &about, false, "Waiting", "for a");
    fake_answer(&x->fake, fake_call(&x->fake), 409, EXISTS);
    fake_expect(&x->fake, "GET /api/v1/namespaces/n/events/w.");
    fake_answer(&x->fake, fake_call(&x->fake), 200, "{\"count\":6}");
    fake_expect(&x->fake, "PATCH ");
    assert_int_equal(count_of(x), 7);
    /* The server has dropped it meanwhile (--event-ttl). */
    fake_answer(&x->fake, fake_call(&x->fake), 404,
                "{\"kind\":\"Status\",\"code\":404,\"details\":{\"name\":\"w\"}}");
    fake_expect(&x->fake, "POST ");
    assert_int_equal(count_of(x), 1);
    ok(x);
    assert_int_equal(event_recorder_dropped(x->recorder), 0);
}

static void test_failures(void **state)
{
    struct fixture *x = *state;
    event_record(x->recorder, &about, false, "A", "a");
    fake_answer(&x->fake, fake_call(&x->fake), 403, "{}");
    assert_int_equal(fake_open(&x->fake), 0); /* dropped, not retried */
    assert_int_equal(event_recorder_dropped(x->recorder), 1);
    event_record(x->recorder, &about, false, "A", "a");
    fake_expect(&x->fake, "POST ");
    assert_int_equal(count_of(x), 2);
    fake_answer(&x->fake, fake_call(&x->fake), 409, EXISTS); /* and EXISTS for ever ends, too */
    fake_answer(&x->fake, fake_call(&x->fake), 404, "{}");
    assert_int_equal(fake_open(&x->fake), 0);
    assert_int_equal(event_recorder_dropped(x->recorder), 2);
}

/* client-go's spam filter: 25 at once for one object, then one in 5 minutes. */
static void test_flood(void **state)
{
    struct fixture *x = *state;
    for (unsigned i = 0; i < 40; i++) {
        event_record(x->recorder, &about, false, "Flood", "%u", i);
        assert_true(fake_open(&x->fake) <= 4);
    }
    unsigned sent = 0;
    while (fake_open(&x->fake)) {
        ok(x);
        sent++;
    }
    assert_int_equal(sent, EVENTS_BURST);
    assert_int_equal(event_recorder_dropped(x->recorder), 15);
    struct event_about other = about;
    other.uid = "uid-9";
    event_record(x->recorder, &other, false, "Flood", "x"); /* others are not held back */
    ok(x);
    for (int i = 0; i < 300; i++) { /* asking often does not stop the refill */
        fake_advance(&x->fake, 1000);
        event_record(x->recorder, &about, false, "Flood", "more %d", i);
    }
    assert_int_equal(fake_open(&x->fake), 1);
    ok(x);
}

static void test_bounds(void **state)
{
    struct fixture *x = *state;
    for (unsigned i = 0; i < EVENTS_MAX + 500; i++) {
        char uid[16];
        struct event_about a = about;
        snprintf(uid, sizeof uid, "u%u", i);
        a.uid = uid;
        event_record(x->recorder, &a, false, "Many", "m");
        while (fake_open(&x->fake))
            ok(x);
    }
    assert_int_equal(event_recorder_dropped(x->recorder), 0);
    for (unsigned i = 0; i < EVENTS_WAITING_MAX + 50; i++) { /* nobody answers */
        char uid[16];
        struct event_about a = about;
        snprintf(uid, sizeof uid, "v%u", i);
        a.uid = uid;
        event_record(x->recorder, &a, false, "Many", "m");
    }
    assert_int_equal(fake_open(&x->fake), 4);
    assert_int_equal(event_recorder_dropped(x->recorder), 50 - 4);
}

static void test_names_and_messages(void **state)
{
    struct fixture *x = *state;
    char long_name[254];
    memset(long_name, 'a', 253);
    long_name[253] = '\0';
    struct event_about a = about;
    a.name = long_name;
    CLEANUP_FREE char *name = event_name(&a, false, "R", "m"),
                      *again = event_name(&a, false, "R", "m"),
                      *other = event_name(&a, true, "R", "m");
    assert_int_equal(strlen(name), 253);
    assert_string_equal(name, again);
    assert_string_not_equal(name, other);
    CLEANUP_FREE char *text = xmalloc(3 * 2000 + 1);
    for (size_t i = 0; i < 2000; i++)
        memcpy(text + 3 * i, "\xE2\x82\xAC", 4);
    event_record(x->recorder, &about, false, "Long", "%s", text);
    CLEANUP_JSON cJSON *e = body_of(x);
    assert_true(strlen(json_str(e, "message")) <= EVENT_MESSAGE_MAX);
    assert_int_equal(strlen(json_str(e, "message")) % 3, 0);
    ok(x);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_form),  T(test_repeats), T(test_predecessor),        T(test_failures),
        T(test_flood), T(test_bounds),  T(test_names_and_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
