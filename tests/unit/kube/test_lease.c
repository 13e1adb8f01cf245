/*
 * Proves leader election: the pure decision row by row, the record's form (coordination.k8s.io/v1),
 * one worker's life on a fake transport (acquire, renew, lose, release), and, with three workers
 * whose clocks disagree, on a server that loses requests and answers at random: never two leaders
 * at one time, and always one again soon after the faults stop.
 */
#include "test.h"

#include "base/str.h"
#include "fake.h"
#include "json/json.h"
#include "json/writer.h"
#include "kube/lease.h"

/* --- The pure half --- */

static void test_decisions(void **state)
{
    (void)state;
    static const struct {
        int line;
        bool known, exists, leading;
        const char *holder;
        int64_t duration_ms, observed_ms, read_ms, renewed_ms, not_before_ms, now_ms;
        enum lease_verdict verdict;
        int64_t again_ms; /* -1: not looked at */
    } rows[] = {
        /* a contender: known exists leading holder duration observed read renewed not_before now */
        {__LINE__, 0, 0, 0, "", 0, 0, 0, 0, 0, 1000, LEASE_READ, -1},
        {__LINE__, 1, 0, 0, "", 0, 0, 900, 0, 0, 1000, LEASE_CREATE, -1},
        {__LINE__, 1, 1, 0, "", 1000, 900, 900, 0, 0, 1000, LEASE_ACQUIRE, -1},
        {__LINE__, 1, 1, 0, "me", 15000, 900, 900, 0, 0, 1000, LEASE_ACQUIRE, -1},
        {__LINE__, 1, 1, 0, "other", 15000, 900, 900, 0, 0, 1000, LEASE_WAIT, 2900},
        {__LINE__, 1, 1, 0, "other", 15000, 900, 900, 0, 0, 2900, LEASE_READ, -1},
        {__LINE__, 1, 1, 0, "other", 15000, 900, 15000, 0, 0, 15899, LEASE_WAIT, 15900},
        {__LINE__, 1, 1, 0, "other", 15000, 900, 15000, 0, 0, 15900, LEASE_ACQUIRE, -1},
        {__LINE__, 1, 1, 0, "other", 60000, 900, 15000, 0, 0, 15900, LEASE_WAIT, 17000},
        {__LINE__, 0, 0, 0, "", 0, 0, 0, 0, 1500, 1000, LEASE_WAIT, 1500},
        {__LINE__, 1, 1, 0, "", 1000, 900, 900, 0, 1500, 1000, LEASE_WAIT, 1500},
        /* the leader */
        {__LINE__, 1, 1, 1, "me", 15000, 1000, 1000, 1000, 0, 2999, LEASE_WAIT, 3000},
        {__LINE__, 1, 1, 1, "me", 15000, 1000, 1000, 1000, 0, 3000, LEASE_RENEW, 11000},
        {__LINE__, 1, 1, 1, "me", 15000, 1000, 1000, 1000, 5000, 3000, LEASE_WAIT, 5000},
        {__LINE__, 1, 1, 1, "me", 15000, 1000, 1000, 1000, 12000, 10000, LEASE_WAIT, 11000},
        {__LINE__, 0, 1, 1, "me", 15000, 1000, 1000, 1000, 0, 5000, LEASE_READ, 11000},
        {__LINE__, 1, 1, 1, "me", 15000, 1000, 1000, 1000, 0, 10999, LEASE_RENEW, -1},
        {__LINE__, 1, 1, 1, "me", 15000, 1000, 1000, 1000, 0, 11000, LEASE_LOST, -1},
        {__LINE__, 1, 1, 1, "other", 15000, 1000, 1000, 1000, 0, 1001, LEASE_LOST, -1},
        {__LINE__, 1, 0, 1, "", 15000, 1000, 1000, 1000, 0, 1001, LEASE_LOST, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lease_view v = {
            .self = "me",
            .known = rows[i].known,
            .leading = rows[i].leading,
            .observed_ms = rows[i].observed_ms,
            .read_ms = rows[i].read_ms,
            .renewed_ms = rows[i].renewed_ms,
            .not_before_ms = rows[i].not_before_ms,
            .record = {.exists = rows[i].exists, .duration_ms = rows[i].duration_ms}};
        snprintf(v.record.holder, sizeof v.record.holder, "%s", rows[i].holder);
        struct lease_decision d = lease_decide(&v, rows[i].now_ms);
        CHECK_ROW(&rows[i], d.verdict == rows[i].verdict);
        CHECK_ROW(&rows[i], rows[i].again_ms < 0 || d.again_ms == rows[i].again_ms);
        CHECK_ROW(&rows[i], lease_held(&v, rows[i].now_ms) ==
                                (rows[i].leading && rows[i].now_ms < rows[i].renewed_ms + 10000));
    }
}

static void test_record(void **state)
{
    (void)state;
    struct lease_view v = {.self = "me"};
    struct lease_record r = {0};
    char *metadata = NULL;
    struct err err = {0};
    /* created */
    CLEANUP_FREE char *fresh =
        lease_body(&v, "n", "l", NULL, LEASE_WRITE_TAKE, INT64_C(1767323045678));
    CLEANUP_JSON cJSON *tree = NULL;
    assert_int_equal(json_parse(fresh, strlen(fresh), false, &tree, &err), 0);
    assert_string_equal(json_str(tree, "apiVersion"), "coordination.k8s.io/v1");
    assert_string_equal(json_str(tree, "kind"), "Lease");
    assert_string_equal(json_str(tree, "metadata.name"), "l");
    assert_string_equal(json_str(tree, "metadata.namespace"), "n");
    assert_string_equal(json_str(tree, "spec.holderIdentity"), "me");
    /* metav1.MicroTime: exactly six digits */
    assert_string_equal(json_str(tree, "spec.acquireTime"), "2026-01-02T03:04:05.678000Z");
    assert_string_equal(json_str(tree, "spec.renewTime"), "2026-01-02T03:04:05.678000Z");
    int64_t number = -1;
    assert_true(json_int(tree, "spec.leaseDurationSeconds", &number) && number == 15);
    assert_true(json_int(tree, "spec.leaseTransitions", &number) && number == 0);

    static const char stored[] =
        "{\"metadata\":{\"name\":\"l\",\"namespace\":\"n\",\"resourceVersion\":\"7\",\"labels\":"
        "{\"a\":\"b\"},\"managedFields\":[{}]},\"spec\":{\"holderIdentity\":\"other\","
        "\"leaseDurationSeconds\":20,\"leaseTransitions\":4,"
        "\"acquireTime\":\"2026-01-02T03:00:00.000000Z\","
        "\"renewTime\":\"2026-01-02T03:04:00.000000Z\"}}";
    assert_int_equal(lease_parse(stored, strlen(stored), &r, &metadata, &err), 0);
    assert_true(r.exists && r.duration_ms == 20000 && r.transitions == 4);
    assert_string_equal(r.holder, "other");
    assert_string_equal(r.resource_version, "7");
    assert_null(strstr(metadata, "managedFields"));
    assert_non_null(strstr(metadata, "\"a\":\"b\""));

    /* taken over: one transition more, a new acquireTime, labels and version kept */
    v.record = r;
    CLEANUP_FREE char *taken =
        lease_body(&v, "n", "l", metadata, LEASE_WRITE_TAKE, INT64_C(1767323045678));
    assert_non_null(strstr(taken, "\"leaseTransitions\":5"));
    assert_non_null(strstr(taken, "\"acquireTime\":\"2026-01-02T03:04:05.678000Z\""));
    assert_non_null(strstr(taken, "\"resourceVersion\":\"7\""));
    assert_non_null(strstr(taken, "\"a\":\"b\""));
    /* renewed and released: acquireTime stays */
    snprintf(v.record.holder, sizeof v.record.holder, "me");
    CLEANUP_FREE char *renewed =
        lease_body(&v, "n", "l", metadata, LEASE_WRITE_RENEW, INT64_C(1767323045678));
    assert_non_null(strstr(renewed, "\"leaseTransitions\":4"));
    assert_non_null(strstr(renewed, "\"acquireTime\":\"2026-01-02T03:00:00.000000Z\""));
    CLEANUP_FREE char *released =
        lease_body(&v, "n", "l", metadata, LEASE_WRITE_RELEASE, INT64_C(1767323045678));
    assert_non_null(strstr(released, "\"holderIdentity\":\"\""));
    assert_non_null(strstr(released, "\"leaseDurationSeconds\":1,"));

    free(TAKE(metadata));
    static const char *const bad[] = {"", "{}", "[]", "{\"metadata\":{\"resourceVersion\":5}}",
                                      "{\"metadata\":{\"resourceVersion\":\"\"}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(lease_parse(bad[i], strlen(bad[i]), &r, &metadata, &err), -1);
    static const char odd[] = "{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":"
                              "{\"leaseDurationSeconds\":99999999999,\"holderIdentity\":null}}";
    assert_int_equal(lease_parse(odd, strlen(odd), &r, &metadata, &err), 0);
    free(metadata);
    assert_true(r.duration_ms == 3600000);
    assert_string_equal(r.holder, "");
}

/* --- A small server: create, read, update with optimistic locking --- */

struct lease_server {
    char *object; /* NULL: none */
    unsigned version;
};

static void store_object(struct lease_server *s, const char *body)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    char version[16];
    assert_int_equal(json_parse(body, strlen(body), true, &tree, &err), 0);
    snprintf(version, sizeof version, "%u", ++s->version);
    cJSON *metadata = cJSON_GetObjectItemCaseSensitive(tree, "metadata");
    cJSON_DeleteItemFromObjectCaseSensitive(metadata, "resourceVersion");
    cJSON_AddStringToObject(metadata, "resourceVersion", version);
    free(s->object);
    s->object = json_print(tree);
}

static int serve(struct lease_server *s, const struct kube_call *c, const char **ret_body)
{
    static const char exists[] = "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\",\"code\":409}",
                      conflict[] = "{\"kind\":\"Status\",\"reason\":\"Conflict\",\"code\":409}",
                      absent[] = "{\"kind\":\"Status\",\"reason\":\"NotFound\",\"code\":404,"
                                 "\"details\":{\"name\":\"l\"}}";
    if (c->request.method == KUBE_GET) {
        *ret_body = s->object ? s->object : absent;
        return s->object ? 200 : 404;
    }
    if (c->request.method == KUBE_POST) {
        if (s->object) {
            *ret_body = exists;
            return 409;
        }
    } else {
        assert_int_equal(c->request.method, KUBE_PUT);
        CLEANUP_JSON cJSON *now = NULL, *then = NULL;
        struct err err = {0};
        if (!s->object) {
            *ret_body = absent;
            return 404;
        }
        assert_int_equal(json_parse(s->object, strlen(s->object), true, &now, &err), 0);
        assert_int_equal(json_parse(c->body, strlen(c->body), true, &then, &err), 0);
        assert_non_null(json_str(then, "metadata.resourceVersion"));
        if (!str_eq(json_str(now, "metadata.resourceVersion"),
                    json_str(then, "metadata.resourceVersion"))) {
            *ret_body = conflict;
            return 409;
        }
    }
    store_object(s, c->body);
    *ret_body = s->object;
    return c->request.method == KUBE_POST ? 201 : 200;
}

/* --- One worker --- */

struct worker {
    struct fake fake;
    struct rng rng;
    struct kube_client client;
    struct lease *lease;
    unsigned acquired, lost, released, failures;
    bool dead;
    int64_t busy_until_ms; /* its open call is answered then */
    int fate;              /* of its open call */
};

static void on_acquired(void *arg)
{
    struct worker *w = arg;
    w->acquired++;
    assert_true(lease_leading(w->lease));
}

static void on_lost(void *arg)
{
    struct worker *w = arg;
    w->lost++;
    assert_false(lease_leading(w->lease));
}

static void on_released(void *arg)
{
    ((struct worker *)arg)->released++;
}

static void on_failed(void *arg, const struct err *err)
{
    assert_int_not_equal(err->kind, ERR_NONE);
    ((struct worker *)arg)->failures++;
}

static void worker_start(struct worker *w, const char *self, unsigned seed)
{
    *w = (struct worker){0};
    fake_init(&w->fake);
    w->fake.now_ms += seed * INT64_C(7777777); /* no two clocks agree */
    rng_seed(&w->rng, seed);
    w->client = (struct kube_client){
        .transport = &w->fake.face, .clock = &w->fake.clock, .timers = &w->fake.timers};
    w->lease = lease_new(&(struct lease_options){.client = &w->client,
                                                 .rng = &w->rng,
                                                 .ns = "n",
                                                 .name = "l",
                                                 .self = self,
                                                 .acquired = on_acquired,
                                                 .lost = on_lost,
                                                 .failed = on_failed,
                                                 .arg = w});
    lease_start(w->lease);
}

static void worker_end(struct worker *w)
{
    lease_free(w->lease);
    fake_release(&w->fake);
}

static void answer(struct worker *w, struct lease_server *s)
{
    const char *body = NULL;
    int code = serve(s, fake_call(&w->fake), &body);
    CLEANUP_FREE char *copy = xstrdup(body);
    fake_answer(&w->fake, fake_call(&w->fake), code, copy);
}

#define PATH "/apis/coordination.k8s.io/v1/namespaces/n/leases"

static void test_life(void **state)
{
    (void)state;
    struct lease_server s = {0};
    struct worker w;
    worker_start(&w, "me", 1);
    fake_expect(&w.fake, "GET " PATH "/l");
    answer(&w, &s);
    fake_expect(&w.fake, "POST " PATH);
    assert_false(lease_leading(w.lease));
    answer(&w, &s);
    assert_true(lease_leading(w.lease));
    assert_int_equal(w.acquired, 1);
    assert_string_equal(lease_holder(w.lease), "me");
    for (int i = 0; i < 5; i++) {
        fake_advance(&w.fake, 1999);
        assert_int_equal(fake_open(&w.fake), 0);
        fake_advance(&w.fake, 1);
        fake_expect(&w.fake, "PUT " PATH "/l");
        answer(&w, &s);
    }
    /* The hold counts from when a write was begun, not from when it was answered. */
    fake_advance(&w.fake, 2000);
    fake_advance(&w.fake, 4000);
    answer(&w, &s);
    fake_fail(&w.fake, fake_call(&w.fake),
              ERR_UNAVAILABLE); /* renewed at once; the server is gone */
    fake_advance(&w.fake, 2000);
    fake_fail(&w.fake, fake_call(&w.fake), ERR_AMBIGUOUS);
    fake_advance(&w.fake, 2000);
    fake_expect(&w.fake, "GET "); /* it may have arrived */
    fake_advance(&w.fake, 1999);
    assert_true(lease_leading(w.lease));
    assert_int_equal(w.lost, 0);
    fake_advance(&w.fake, 1);
    assert_int_equal(w.lost, 1);
    assert_false(lease_leading(w.lease));
    assert_int_equal(w.failures, 2);
    fake_advance(&w.fake, 60000); /* nothing more comes */
    assert_int_equal(fake_open(&w.fake), 0);
    worker_end(&w);
    free(s.object);
}

static void test_release(void **state)
{
    (void)state;
    struct lease_server s = {0};
    struct worker w, next;
    worker_start(&w, "me", 1);
    answer(&w, &s);
    answer(&w, &s);
    /* Released while a renewal is under way that does reach the server: conflict, read, once more.
     */
    fake_advance(&w.fake, 2000);
    CLEANUP_FREE char *renewal = xstrdup(fake_call(&w.fake)->body);
    lease_release(w.lease, on_released, &w);
    assert_false(lease_leading(w.lease));
    store_object(&s, renewal);
    answer(&w, &s); /* conflict */
    answer(&w, &s); /* read */
    answer(&w, &s); /* release */
    assert_int_equal(w.released, 1);
    assert_non_null(strstr(s.object, "\"holderIdentity\":\"\""));
    assert_int_equal(w.lost, 0);
    worker_end(&w);
    /* The next one takes over at once. */
    worker_start(&next, "next", 2);
    answer(&next, &s);
    answer(&next, &s);
    assert_int_equal(next.acquired, 1);
    /* A release that nobody answers ends after 2 s; one by a non-leader at once. */
    lease_release(next.lease, on_released, &next);
    fake_advance(&next.fake, 1999);
    assert_int_equal(next.released, 0);
    fake_advance(&next.fake, 1);
    assert_int_equal(next.released, 1);
    worker_end(&next);
    worker_start(&w, "me", 3);
    lease_release(w.lease, on_released, &w);
    fake_advance(&w.fake, 0);
    assert_int_equal(w.released, 1);
    worker_end(&w);
    free(s.object);
}

/* --- Several workers, faults --- */

#define WORKERS 3
enum { FATE_ANSWER, FATE_LOSE_REQUEST, FATE_LOSE_ANSWER, FATES };

static void choose_fate(struct worker *w, struct rng *rng, int64_t now, unsigned fault_per_mille)
{
    bool fault = rng_chance(rng, fault_per_mille);
    w->fate = fault ? (int)rng_range(rng, 0, FATES - 1) : FATE_ANSWER;
    w->busy_until_ms = now + (fault ? rng_range(rng, 1, 7000) : rng_range(rng, 1, 30));
}

/* The call's fate comes true: it is served now or was never, and its answer arrives or not. */
static void fulfil(struct worker *w, struct lease_server *s)
{
    struct kube_call *c = fake_call(&w->fake);
    const char *body = NULL;
    if (w->fate == FATE_ANSWER) {
        answer(w, s);
    } else if (w->fate == FATE_LOSE_REQUEST) {
        fake_fail(&w->fake, c, ERR_UNAVAILABLE);
    } else {
        (void)serve(s, c, &body);
        fake_fail(&w->fake, c, c->request.method == KUBE_GET ? ERR_UNAVAILABLE : ERR_AMBIGUOUS);
    }
    w->busy_until_ms = 0;
}

static void turn(struct worker *workers, struct lease_server *s, struct rng *rng, int64_t now,
                 unsigned fault_per_mille)
{
    unsigned leaders = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];
        if (w->dead) /* paused: its clock runs, it does not */
            w->fake.now_ms += 10;
        else
            fake_advance(&w->fake, 10);
        if (!w->dead && fake_open(&w->fake) && !w->busy_until_ms)
            choose_fate(w, rng, now, fault_per_mille);
        if (!fake_open(&w->fake))
            w->busy_until_ms = 0;
        if (!w->dead && w->busy_until_ms && now >= w->busy_until_ms)
            fulfil(w, s);
        leaders += lease_leading(w->lease);
    }
    assert_true(leaders <= 1);
}

/* Whoever has lost starts anew, as the real process does. */
static unsigned restart_lost(struct worker *workers, unsigned seed)
{
    unsigned restarted = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        char self[] = {'w', (char)('0' + i), '\0'};
        bool dead = workers[i].dead;
        if (!workers[i].lost)
            continue;
        worker_end(&workers[i]);
        worker_start(&workers[i], self, seed + i);
        workers[i].dead = dead;
        restarted++;
    }
    return restarted;
}

static void test_never_two(void **state)
{
    (void)state;
    unsigned changes = 0;
    for (unsigned seed = 1; seed <= 60; seed++) {
        struct lease_server s = {0};
        struct worker workers[WORKERS];
        struct rng rng;
        unsigned faults = seed % 3 * 300, leaders = 0;
        rng_seed(&rng, seed);
        for (unsigned i = 0; i < WORKERS; i++)
            worker_start(&workers[i], (char[]){'w', (char)('0' + i), '\0'}, seed * 10 + i);
        int64_t now = 0;
        for (; now < 120000; now += 10) {
            struct worker *w = &workers[rng_range(&rng, 0, WORKERS - 1)];
            if (rng_chance(&rng, 2))
                w->dead = !w->dead;
            changes += restart_lost(workers, seed * 1000 + (unsigned)(now / 10));
            turn(workers, &s, &rng, now, faults);
        }
        for (unsigned i = 0; i < WORKERS; i++)
            workers[i].dead = false;
        for (int64_t end = now + 40000; now < end; now += 10) {
            (void)restart_lost(workers, seed * 1000 + (unsigned)(now / 10));
            turn(workers, &s, &rng, now, 0);
        }
        for (unsigned i = 0; i < WORKERS; i++)
            leaders += lease_leading(workers[i].lease);
        if (leaders != 1)
            fail_msg("seed %u: nobody leads", seed);
        for (unsigned i = 0; i < WORKERS; i++)
            worker_end(&workers[i]);
        free(s.object);
    }
    assert_true(changes > 20); /* the faults did bite */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions), cmocka_unit_test(test_record),
        cmocka_unit_test(test_life),      cmocka_unit_test(test_release),
        cmocka_unit_test(test_never_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
