/*
 * Proves what is sent and when: each act once, nothing while it is under way, again after a backoff
 * that doubles, has a limit and a jitter and heeds Retry-After; a thaw soon; and without the Lease
 * no write.
 */
#include "../kube/test.h"

#include "../kube/fake.h"
#include "actions/execute.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "observe/resources.h"

struct fixture {
    struct fake fake;
    struct kube_client client;
    struct rng rng;
    struct call_log call_log;
    struct executor x;
    unsigned flights, ended;
    bool leads;
};

static bool may_write(void *arg)
{
    return ((struct fixture *)arg)->leads;
}

static void ended(void *arg, void *owner, const char *written, size_t written_len)
{
    struct fixture *f = arg;
    (void)written;
    (void)written_len;
    assert_ptr_equal(owner, f);
    f->ended++;
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    fake_init(&f->fake);
    rng_seed(&f->rng, 7);
    f->client = (struct kube_client){.transport = &f->fake.face,
                                     .clock = &f->fake.clock,
                                     .timers = &f->fake.timers,
                                     .field_manager = "wukong-test"};
    f->x = (struct executor){.client = &f->client,
                             .clock = &f->fake.clock,
                             .rng = &f->rng,
                             .field_manager = "wukong-test",
                             .may_write = may_write,
                             .ended = ended,
                             .arg = f};
    f->leads = true;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->flights, 0);
    assert_int_equal(f->x.in_flight, 0);
    call_log_release(&f->call_log);
    fake_release(&f->fake);
    free(f);
    return 0;
}

static const struct intent snapshot = {.verb = INTENT_CREATE,
                                       .kind = &worker_kinds[KIND_SNAPSHOT],
                                       .ns = "ns",
                                       .name = "s",
                                       .body = "{}",
                                       .key = {.kind = CALL_CREATE_SNAPSHOT, .name = "s"}};
static const struct intent thaw = {.verb = INTENT_SUBRESOURCE,
                                   .kind = &worker_kinds[KIND_SUB_VMI],
                                   .ns = "ns",
                                   .name = "vmi",
                                   .sub = "unfreeze",
                                   .key = {.kind = CALL_THAW, .number = 1}};

static bool send(struct fixture *f, const struct intent *i)
{
    return execute(&f->x, i, &f->call_log, f, &f->flights);
}

/* Sends it, fails it, and returns how long it then is not sent again. */
static int64_t wait_after_failure(struct fixture *f, const struct intent *i, int64_t retry_after_s)
{
    assert_true(send(f, i));
    assert_false(send(f, i)); /* under way */
    fake_answer_later(&f->fake, fake_call(&f->fake), 503, "{}", retry_after_s);
    int64_t at = call_log_find(&f->call_log, i->key)->retry_ms;
    int64_t wait = at - clock_wall(&f->fake.clock);
    fake_advance(&f->fake, wait - 1);
    assert_false(send(f, i));
    fake_advance(&f->fake, 1);
    return wait;
}

static void test_backoff_doubles_to_a_limit(void **state)
{
    struct fixture *f = *state;
    int64_t base = CALL_BACKOFF_MS;
    bool jitters = false;
    for (unsigned n = 0; n < 12; n++) {
        int64_t wait = wait_after_failure(f, &snapshot, 0);
        assert_in_range(wait, base, base + base / 2);
        jitters |= wait != base;
        base = base * 2 < CALL_BACKOFF_MAX_MS ? base * 2 : CALL_BACKOFF_MAX_MS;
    }
    assert_true(jitters);
    assert_int_equal(f->ended, 12);
    /* What works ends the series. */
    assert_true(send(f, &snapshot));
    fake_answer(&f->fake, fake_call(&f->fake), 201, "{}");
    fake_advance(&f->fake, CALL_SETTLE_MS);
    assert_in_range(wait_after_failure(f, &snapshot, 0), CALL_BACKOFF_MS, CALL_BACKOFF_MS * 3 / 2);
}

static void test_retry_after_is_heeded(void **state)
{
    struct fixture *f = *state;
    assert_in_range(wait_after_failure(f, &snapshot, 40), 40000, 60000);
}

static bool spends_none(void *arg, void *owner, const struct intent *i)
{
    unsigned *asked = owner;
    (void)arg;
    (*asked)++;
    return i->verb == INTENT_DELETE;
}

/* Who may not spend a request sends none, and knows no more than before; it is asked only for what
   would be sent. */
static void test_no_request_without_budget(void **state)
{
    struct fixture *f = *state;
    unsigned asked = 0, flights = 0;
    f->x.may_spend = spends_none;
    assert_false(execute(&f->x, &snapshot, &f->call_log, &asked, &flights));
    assert_int_equal(asked, 1);
    assert_int_equal(flights, 0);
    assert_null(call_log_find(&f->call_log, snapshot.key));
    f->x.may_spend = NULL;
    assert_true(send(f, &snapshot));
    f->x.may_spend = spends_none;
    assert_false(execute(&f->x, &snapshot, &f->call_log, &asked, &flights));
    assert_int_equal(asked, 1);
    fake_answer(&f->fake, fake_call(&f->fake), 201, "{}");
}

/* Before all other requests: the thaw, and what is made while a guest is frozen. */
static void test_what_is_urgent(void **state)
{
    struct fixture *f = *state;
    struct intent while_frozen = snapshot;
    while_frozen.urgent = true;
    const struct {
        const struct intent *i;
        bool urgent;
    } rows[] = {{&thaw, true}, {&snapshot, false}, {&while_frozen, true}};
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        assert_true(send(f, rows[k].i));
        assert_int_equal(fake_call(&f->fake)->request.urgent, rows[k].urgent);
        fake_answer(&f->fake, fake_call(&f->fake), 200, "{}");
        fake_advance(&f->fake, CALL_SETTLE_MS);
    }
}

/* Seconds for which a guest stands still are not a server's to ask for. */
static void test_a_thaw_is_sent_again_soon(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 8; n++)
        assert_in_range(wait_after_failure(f, &thaw, 30), CALL_BACKOFF_MS, CALL_URGENT_MS);
}

static void test_what_worked_is_not_sent_again_until_the_caches_show_it(void **state)
{
    struct fixture *f = *state;
    assert_true(send(f, &snapshot));
    fake_answer(&f->fake, fake_call(&f->fake), 201, "{}");
    fake_advance(&f->fake, CALL_SETTLE_MS - 1);
    assert_false(send(f, &snapshot));
    fake_advance(&f->fake, 1);
    assert_true(send(f, &snapshot));
    fake_answer(&f->fake, fake_call(&f->fake), 201, "{}");
}

static void test_without_the_lease_nothing_is_written(void **state)
{
    struct fixture *f = *state;
    const struct intent read = {.verb = INTENT_READ,
                                .kind = &worker_kinds[KIND_VM],
                                .ns = "ns",
                                .name = "vm",
                                .key = {.kind = CALL_READ_SOURCE_VM, .name = "vm"}};
    f->leads = false;
    assert_false(send(f, &snapshot));
    assert_false(send(f, &thaw));
    assert_int_equal(fake_open(&f->fake), 0);
    assert_true(send(f, &read));
    fake_answer(&f->fake, fake_call(&f->fake), 200, "{}");
}

/* --- what is told of it --- */

static void keep_line(void *arg, const char *line, size_t n)
{
    buf_add(arg, line, n);
}

static void whose(void *owner, const char **ret_name, const char **ret_uid)
{
    (void)owner;
    *ret_name = "ns/w";
    *ret_uid = "w-uid";
}

/* One line for each write, with what was done to what for whom, and how it ended; none for what
   changes nothing, and nothing of a body. */
static void test_each_write_is_told(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf lines = BUF_INIT(MIB);
    static const struct intent gone = {.verb = INTENT_DELETE,
                                       .kind = &worker_kinds[KIND_PVC],
                                       .ns = "ns",
                                       .name = "c",
                                       .uid = "c-uid",
                                       .key = {.kind = CALL_DELETE, .name = "c"}};
    static const struct intent read = {.verb = INTENT_READ,
                                       .kind = &worker_kinds[KIND_VM],
                                       .ns = "ns",
                                       .name = "vm",
                                       .key = {.kind = CALL_READ_SOURCE_VM, .name = "vm"}};
    static const struct intent dry = {.verb = INTENT_DRY_RUN,
                                      .kind = &worker_kinds[KIND_VM],
                                      .ns = "ns",
                                      .name = "vm",
                                      .body = "{}",
                                      .key = {.kind = CALL_DRY_VM, .name = "vm"}};
    static const struct intent secret = {.verb = INTENT_CREATE,
                                         .kind = &worker_kinds[KIND_SNAPSHOT],
                                         .ns = "ns",
                                         .name = "s",
                                         .body = "{\"spec\":\"hush\"}",
                                         .key = {.kind = CALL_CREATE_SNAPSHOT, .name = "s"}};
    f->x.whose = whose;
    log_to(keep_line, &lines);
    assert_true(send(f, &secret));
    fake_answer(&f->fake, fake_call(&f->fake), 201, "{\"metadata\":{\"uid\":\"s-uid\"}}");
    assert_true(send(f, &thaw));
    fake_answer(&f->fake, fake_call(&f->fake), 200, "");
    assert_true(send(f, &gone));
    fake_answer(&f->fake, fake_call(&f->fake), 409,
                "{\"kind\":\"Status\",\"reason\":\"Conflict\",\"code\":409}");
    assert_true(send(f, &read));
    fake_answer(&f->fake, fake_call(&f->fake), 200, "{}");
    assert_true(send(f, &dry));
    fake_answer(&f->fake, fake_call(&f->fake), 201, "{}");
    log_to(NULL, NULL);
    static const char *const told[] = {
        "\"msg\":\"written\",\"verb\":\"create\",\"resource\":\"volumesnapshots\",\"object\":\"ns/"
        "s\","
        "\"object_uid\":\"s-uid\",\"wukong\":\"ns/w\",\"uid\":\"w-uid\",\"code\":201",
        "\"verb\":\"subresource\",\"resource\":\"virtualmachineinstances\","
        "\"object\":\"ns/vmi/unfreeze\"",
        "\"verb\":\"delete\",\"resource\":\"persistentvolumeclaims\",\"object\":\"ns/c\","
        "\"object_uid\":\"c-uid\",\"wukong\":\"ns/w\",\"uid\":\"w-uid\",\"code\":409,"
        "\"error\":\"Conflict\"",
    };
    size_t count = 0;
    for (const char *p = lines.data; (p = strstr(p, "\"written\"")); p++)
        count++;
    assert_int_equal(count, ARRAY_LEN(told));
    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        if (!strstr(lines.data, told[i]))
            fail_msg("%s is not in %s", told[i], lines.data);
    assert_null(strstr(lines.data, "hush"));
}

/* Whoever wrote the source pays for what is in it, and is told by name. */
static void test_what_cannot_be_read_or_copied(void **state)
{
    struct fixture *f = *state;
    struct intent read = {.verb = INTENT_READ,
                          .kind = &worker_kinds[KIND_VM],
                          .ns = "ns",
                          .name = "vm",
                          .key = {.kind = CALL_READ_SOURCE_VM, .name = "vm"}};
    assert_true(send(f, &read));
    fake_answer(&f->fake, fake_call(&f->fake), 200,
                "{\"metadata\":{\"annotations\":{\"a\":\"\\u0000\"}},\"spec\":{}}");
    assert_true(call_ok(call_log_find(&f->call_log, read.key)));
    assert_true(send(f, &read));
    fake_answer(&f->fake, fake_call(&f->fake), 200, "{\"spec\":{\"a\":\"\\u0000\"}}");
    const struct call *c = call_log_find(&f->call_log, read.key);
    assert_true(call_unreadable(c));
    assert_non_null(strstr(c->message, "VirtualMachine ns/vm cannot be copied"));
    CLEANUP_BUF struct buf deep = BUF_INIT(MIB);
    buf_adds(&deep, "{\"spec\":");
    for (int i = 0; i < 150; i++)
        buf_addc(&deep, '[');
    for (int i = 0; i < 150; i++)
        buf_addc(&deep, ']');
    buf_addc(&deep, '}');
    read.key.name = "deep";
    assert_true(send(f, &read));
    fake_answer(&f->fake, fake_call(&f->fake), 200, deep.data);
    c = call_log_find(&f->call_log, read.key);
    assert_true(call_unreadable(c));
    assert_non_null(strstr(c->message, "VirtualMachine ns/vm cannot be read"));
}

/* That it was a quota is the Status's to say, and nobody else's who happens to use its words. */
static void test_a_quota_refuses(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int code;
        const char *reason;
        bool quota;
    } rows[] = {{403, "Forbidden", true}, {422, "Invalid", false}, {201, NULL, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE char *body =
            xasprintf("{\"kind\":\"Status\",\"reason\":\"%s\",\"code\":%d,\"message\":"
                      "\"exceeded quota: q\"}",
                      rows[i].reason, rows[i].code);
        assert_true(send(f, &snapshot));
        fake_answer(&f->fake, fake_call(&f->fake), rows[i].code, rows[i].reason ? body : "{}");
        assert_int_equal(call_log_find(&f->call_log, snapshot.key)->quota, rows[i].quota);
        fake_advance(&f->fake, CALL_BACKOFF_MAX_MS);
    }
}

/* What it would create is never there, and that the name is taken is an answer, not a failure. */
static void test_a_probe(void **state)
{
    struct fixture *f = *state;
    static const struct kube_kind maps = {"",          "v1",  "configmaps",
                                          "ConfigMap", false, .fields = {0}};
    static const struct intent probe = {.verb = INTENT_PROBE,
                                        .kind = &maps,
                                        .ns = "ns",
                                        .name = "settings",
                                        .body = "{}",
                                        .key = {.kind = CALL_NEED, .name = "settings"}};
    assert_true(send(f, &probe));
    assert_int_equal(fake_call(&f->fake)->request.method, KUBE_POST);
    assert_non_null(strstr(fake_call(&f->fake)->path, "/configmaps?dryRun=All"));
    fake_answer(&f->fake, fake_call(&f->fake), 409,
                "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\",\"code\":409}");
    const struct call *c = call_log_find(&f->call_log, probe.key);
    assert_true(call_ok(c) && c->code == 409);
    assert_true(send(f, &probe));
    fake_answer(&f->fake, fake_call(&f->fake), 201, "{}");
    assert_int_equal(call_log_find(&f->call_log, probe.key)->code, 201);
    assert_int_equal(f->x.writes, 0);
}

struct reader {
    struct call_log call_log;
    struct intent intent;
};

/* All clones of a source read the same machine: one request, whoever asks meanwhile or a moment
   later. What has changed for one of them since is read anew, and so is what a person waits for. */
static void test_one_reading_for_all(void **state)
{
    struct fixture *f = *state;
    struct reader r[4] = {0};
    for (size_t i = 0; i < ARRAY_LEN(r); i++)
        r[i].intent = (struct intent){.verb = INTENT_READ,
                                      .kind = &worker_kinds[KIND_VM],
                                      .ns = "ns",
                                      .name = "vm",
                                      .shared = true,
                                      .key = {.kind = CALL_READ_SOURCE_VM, .name = "vm"}};
#define ASK(i) execute(&f->x, &r[i].intent, &r[i].call_log, f, &f->flights)
    fake_advance(&f->fake, 1000);
    unsigned before = (unsigned)f->fake.submitted;
    assert_true(ASK(0) && ASK(1));
    assert_int_equal(f->fake.submitted - before, 1);
    assert_int_equal(f->flights, 2);
    fake_answer(&f->fake, fake_call(&f->fake), 200, "{\"metadata\":{\"resourceVersion\":\"7\"}}");
    assert_int_equal(f->ended, 2);
    assert_int_equal(f->flights, 0);
    assert_true(ASK(2));
    assert_int_equal(f->fake.submitted - before, 1);
    for (size_t i = 0; i < 3; i++) {
        const struct call *c = call_log_find(&r[i].call_log, r[i].intent.key);
        assert_true(call_ok(c));
        assert_ptr_equal(c->body, call_log_find(&r[0].call_log, r[0].intent.key)->body);
        assert_string_equal(c->version, "7");
    }
    /* Whoever asks again wants another answer. */
    assert_true(ASK(2));
    assert_int_equal(f->fake.submitted - before, 2);
    fake_answer(&f->fake, fake_call(&f->fake), 404, "{}");
    /* Something has happened since that was asked. */
    fake_advance(&f->fake, 10);
    r[3].call_log.moved_mono_ms = clock_mono(&f->fake.clock);
    assert_true(ASK(3));
    assert_int_equal(f->fake.submitted - before, 3);
    fake_answer(&f->fake, fake_call(&f->fake), 200, "{}");
    fake_advance(&f->fake, READING_KEPT_MS);
    assert_true(ASK(0));
    assert_int_equal(f->fake.submitted - before, 4);
    fake_answer(&f->fake, fake_call(&f->fake), 404, "{}");
    assert_true(ASK(1));
    assert_int_equal(call_log_find(&r[1].call_log, r[1].intent.key)->code, 404);
    assert_int_equal(f->fake.submitted - before, 4);
    /* What is under way when the process ends is told to nobody. */
    fake_advance(&f->fake, READING_KEPT_MS);
    assert_true(ASK(2) && ASK(3));
    executor_cancel(&f->x);
    f->flights = 0;
#undef ASK
    for (size_t i = 0; i < ARRAY_LEN(r); i++)
        call_log_release(&r[i].call_log);
}

/* However many sources there are, so much is kept and no more. */
static void test_readings_are_bounded(void **state)
{
    (void)state;
    struct readings all = {0};
    struct call_log call_log = {0};
    struct call *c = call_log_get(&call_log, call_key_named(CALL_READ_SOURCE_VM, "vm"));
    c->state = CALL_OK;
    for (unsigned i = 0; i < 2 * READINGS_MAX; i++) {
        CLEANUP_FREE char *key = xasprintf("/vm-%u", i);
        struct shared_text *body = shared_text_new(key, strlen(key));
        call_share_body(c, body);
        shared_text_drop(body);
        readings_keep(&all, key, c, 0);
    }
    assert_int_equal(all.count, READINGS_MAX);
    assert_null(readings_find(&all, "/vm-0", 0, 0));
    assert_non_null(readings_find(&all, "/vm-511", 0, 0));
    CLEANUP_FREE char *large = xcalloc(1, READINGS_BYTES_MAX + 1);
    struct shared_text *body = shared_text_new(large, READINGS_BYTES_MAX + 1);
    call_share_body(c, body);
    shared_text_drop(body);
    readings_keep(&all, "/large", c, 0);
    assert_int_equal(all.count, 0);
    assert_int_equal(all.bytes, 0);
    readings_release(&all);
    call_log_release(&call_log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_backoff_doubles_to_a_limit),
        TEST(test_retry_after_is_heeded),
        TEST(test_no_request_without_budget),
        TEST(test_a_thaw_is_sent_again_soon),
        TEST(test_what_is_urgent),
        TEST(test_what_worked_is_not_sent_again_until_the_caches_show_it),
        TEST(test_without_the_lease_nothing_is_written),
        TEST(test_each_write_is_told),
        TEST(test_what_cannot_be_read_or_copied),
        TEST(test_a_quota_refuses),
        TEST(test_a_probe),
        TEST(test_one_reading_for_all),
        TEST(test_readings_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
