/*
 * Proves the libcurl transport against a scripted server on loopback: what is sent, that
 * connections are kept, that bodies and deadlines are bounded, and above all how each failure is
 * classified: a write that may have reached the server is never called unsent and is never sent
 * twice.
 */
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "kube/curl_transport.h"
#include "server.h"

struct fixture;
struct result {
    struct fixture *fixture;
    bool done;
    int code;
    enum err_kind kind;
    int64_t retry_after_s;
    struct buf body, data;
    bool refuse_data, cancel_in_data;
    struct kube_call *call;
    void (*then)(struct fixture *x); /* called in on_done */
};

struct fixture {
    struct loop *loop;
    struct test_server *server;
    struct curl_transport *curl;
    struct kube_transport *t;
    void (*handle)(struct fixture *x, const struct served *r);
    struct result a, b;
    unsigned observed;
    int observed_code;
    char token_file[64];
    struct clock_skew skew;
};

static void handle(void *arg, const struct served *r)
{
    struct fixture *x = arg;
    x->handle(x, r);
}

static void observe(void *arg, enum kube_method method, const char *path, int code, int64_t took_ms)
{
    struct fixture *x = arg;
    (void)method;
    assert_int_equal(path[0], '/');
    assert_true(took_ms >= 0);
    x->observed++;
    x->observed_code = code;
}

static void on_done(void *arg, const struct kube_response *r)
{
    struct result *a = arg;
    assert_false(a->done);
    a->done = true;
    a->code = r->code;
    a->kind = r->err.kind;
    a->retry_after_s = r->retry_after_s;
    assert_int_equal(strlen(r->body), r->body_len);
    assert_true(buf_adds(&a->body, r->body));
    assert_true((r->code == 0) == (r->err.kind != ERR_NONE));
    if (a->then)
        a->then(a->fixture);
}

static int on_data(void *arg, const char *bytes, size_t n)
{
    struct result *a = arg;
    assert_true(buf_add(&a->data, bytes, n));
    if (a->cancel_in_data)
        kube_cancel(a->fixture->t, a->call);
    return a->refuse_data ? -1 : 0;
}

static int setup_with(void **state, const struct clock *clock)
{
    struct fixture *x = xcalloc(1, sizeof *x);
    struct err err = {0};
    unsetenv("http_proxy");
    assert_int_equal(loop_new(clock, &x->loop, &err), 0);
    x->server = server_new(x->loop, handle, x);
    CLEANUP_FREE char *url = xasprintf("http://127.0.0.1:%u/base", server_port_of(x->server));
    snprintf(x->token_file, sizeof x->token_file, "/tmp/wukong-test-token-XXXXXX");
    int fd = mkstemp(x->token_file);
    assert_true(fd >= 0 && write(fd, "first", 5) == 5);
    close(fd);
    struct kube_config config = {.server = url, .token_file = x->token_file};
    struct curl_transport_options options = {.loop = x->loop,
                                             .config = &config,
                                             .calls_max = 4,
                                             .skew = &x->skew,
                                             .observe = observe,
                                             .arg = x};
    assert_int_equal(curl_transport_new(&options, &x->curl, &err), 0);
    x->t = curl_transport_face(x->curl);
    struct result *results[] = {&x->a, &x->b};
    for (size_t i = 0; i < 2; i++) {
        results[i]->fixture = x;
        buf_init(&results[i]->body, 1 * MIB);
        buf_init(&results[i]->data, 1 * MIB);
    }
    *state = x;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, &clock_system);
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    curl_transport_free(x->curl);
    server_free(x->server);
    loop_free(x->loop);
    buf_release(&x->a.body);
    buf_release(&x->a.data);
    buf_release(&x->b.body);
    buf_release(&x->b.data);
    unlink(x->token_file);
    free(x);
    return 0;
}

/* Turns the loop until the flag is set; real time, at most 20 s. */
static void until(struct fixture *x, const bool *flag)
{
    int64_t end = loop_now(x->loop) + 20000;
    while (!*flag && loop_now(x->loop) < end)
        loop_turn(x->loop, 50);
    assert_true(*flag);
}

static void turn_for(struct fixture *x, int64_t ms)
{
    int64_t end = loop_now(x->loop) + ms;
    while (loop_now(x->loop) < end)
        loop_turn(x->loop, 10);
}

static void turn_times(struct fixture *x, int count)
{
    for (int i = 0; i < count; i++)
        loop_turn(x->loop, 1);
}

static struct kube_request request(struct fixture *x, enum kube_method method, struct result *into)
{
    static const char body[] = "{\"a\":1}";
    bool write = method != KUBE_GET;
    (void)x;
    return (struct kube_request){.method = method,
                                 .path = "/api/v1/pods?x=1",
                                 .content_type = write ? "application/json" : NULL,
                                 .body = write ? body : NULL,
                                 .body_len = write ? strlen(body) : 0,
                                 .deadline_ms = 15000,
                                 .response_max = 1000,
                                 .on_done = on_done,
                                 .arg = into};
}

static void run(struct fixture *x, struct kube_request r)
{
    struct result *into = r.arg;
    into->done = false;
    buf_clear(&into->body);
    buf_clear(&into->data);
    into->call = kube_submit(x->t, &r);
    assert_false(into->done); /* never from inside submit */
    until(x, &into->done);
}

static void reply_ok(struct fixture *x, const struct served *r)
{
    server_reply(x->server, r->connection, 200, NULL, "{\"ok\":true}");
}

static const struct served *last(struct fixture *x)
{
    return server_request_at(x->server, server_count(x->server) - 1);
}

static void test_requests(void **state)
{
    struct fixture *x = *state;
    static const struct {
        enum kube_method method;
        const char *name, *body;
    } rows[] = {
        {KUBE_GET, "GET", ""},
        {KUBE_POST, "POST", "{\"a\":1}"},
        {KUBE_PUT, "PUT", "{\"a\":1}"},
        {KUBE_PATCH, "PATCH", "{\"a\":1}"},
        {KUBE_DELETE, "DELETE", "{\"a\":1}"},
    };
    x->handle = reply_ok;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        run(x, request(x, rows[i].method, &x->a));
        assert_int_equal(x->a.code, 200);
        assert_string_equal(x->a.body.data, "{\"ok\":true}");
        const struct served *r = last(x);
        assert_string_equal(r->method, rows[i].name);
        assert_string_equal(r->path, "/base/api/v1/pods?x=1");
        assert_string_equal(r->body, rows[i].body);
        assert_non_null(strstr(r->head, "\r\nAuthorization: Bearer first\r\n"));
        assert_non_null(strstr(r->head, "\r\nAccept: application/json\r\n"));
        assert_non_null(strstr(r->head, "\r\nUser-Agent: wukong/"));
        assert_null(strcasestr(r->head, "\r\nExpect:"));
        assert_true((strstr(r->head, "\r\nContent-Type: application/json\r\n") != NULL) ==
                    (rows[i].method != KUBE_GET));
    }
    assert_int_equal(server_connections(x->server), 1); /* kept alive */
    assert_int_equal(x->observed, ARRAY_LEN(rows));
}

/* A PUT without a body, as KubeVirt's start: Content-Length 0, and any answer is accepted. */
static void test_empty_put(void **state)
{
    struct fixture *x = *state;
    struct kube_request r = request(x, KUBE_PUT, &x->a);
    x->handle = reply_ok;
    r.body = NULL;
    r.body_len = 0;
    r.content_type = NULL;
    r.accept = "*/*";
    run(x, r);
    assert_int_equal(x->a.code, 200);
    assert_non_null(strstr(last(x)->head, "\r\nContent-Length: 0\r\n"));
    assert_non_null(strstr(last(x)->head, "\r\nAccept: */*\r\n"));
    assert_null(strcasestr(last(x)->head, "\r\nContent-Type:"));
}

static void refuse_with_429(struct fixture *x, const struct served *r)
{
    server_reply(x->server, r->connection, 429, "Retry-After: 7\r\n", "{\"kind\":\"Status\"}");
}

static void test_retry_after(void **state)
{
    struct fixture *x = *state;
    x->handle = refuse_with_429;
    run(x, request(x, KUBE_POST, &x->a));
    assert_int_equal(x->a.code, 429);
    assert_true(x->a.retry_after_s == 7);
    assert_string_equal(x->a.body.data, "{\"kind\":\"Status\"}");
    assert_int_equal(x->observed_code, 429);
}

static void refuse_first_token(struct fixture *x, const struct served *r)
{
    if (strstr(r->head, "Bearer first"))
        server_reply(x->server, r->connection, 401, NULL, "{}");
    else
        reply_ok(x, r);
}

/* The token was rotated: after the 401 the next request carries the new one. */
static void reply_of_2025(struct fixture *x, const struct served *r)
{
    server_reply(x->server, r->connection, 200, "Date: Wed, 01 Jan 2025 00:00:00 GMT\r\n", "{}");
}

static void reply_of_nonsense(struct fixture *x, const struct served *r)
{
    server_reply(x->server, r->connection, 200, "Date: soon\r\n", "{}");
}

static void test_date(void **state)
{
    struct fixture *x = *state;
    x->handle = reply_of_nonsense;
    run(x, request(x, KUBE_GET, &x->a));
    x->handle = reply_ok;
    run(x, request(x, KUBE_GET, &x->a));
    assert_false(x->skew.known);
    x->handle = reply_of_2025;
    run(x, request(x, KUBE_POST, &x->a));
    int64_t ahead_ms = clock_wall(loop_clock(x->loop)) - 1735689600000;
    assert_true(llabs(skew_ms(&x->skew) - ahead_ms) < 2000);
    /* Of a list too. */
    x->skew = (struct clock_skew){0};
    struct kube_request list = request(x, KUBE_GET, &x->a);
    list.on_data = on_data;
    run(x, list);
    assert_true(llabs(skew_ms(&x->skew) - ahead_ms) < 2000);
}

static void test_expired_token(void **state)
{
    struct fixture *x = *state;
    x->handle = refuse_first_token;
    run(x, request(x, KUBE_GET, &x->a));
    assert_int_equal(x->a.code, 401);
    FILE *f = fopen(x->token_file, "w");
    assert_non_null(f);
    fputs("second\n", f);
    fclose(f);
    turn_for(x, 1100); /* KUBE_TOKEN_READ_MS_MIN */
    run(x, request(x, KUBE_GET, &x->a));
    assert_int_equal(x->a.code, 200);
    assert_non_null(strstr(last(x)->head, "\r\nAuthorization: Bearer second\r\n"));
}

/* --- No answer --- */

static void close_it(struct fixture *x, const struct served *r)
{
    server_close_connection(x->server, r->connection);
}

static void reset_it(struct fixture *x, const struct served *r)
{
    server_reset_connection(x->server, r->connection);
}

static void half_answer(struct fixture *x, const struct served *r)
{
    server_send(x->server, r->connection,
                "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"half\"");
    server_close_connection(x->server, r->connection);
}

static void silence(struct fixture *x, const struct served *r)
{
    (void)x;
    (void)r;
}

/* The server got the whole request and the answer was lost, in each way it can be. */
static void test_lost_reply(void **state)
{
    struct fixture *x = *state;
    void (*const ways[])(struct fixture *, const struct served *) = {close_it, reset_it,
                                                                     half_answer, silence};
    static const enum kube_method methods[] = {KUBE_POST, KUBE_PUT, KUBE_PATCH, KUBE_DELETE,
                                               KUBE_GET};
    for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
        for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
            struct kube_request r = request(x, methods[m], &x->a);
            size_t before = server_count(x->server);
            if (ways[w] == silence)
                r.deadline_ms = 150;
            x->handle = ways[w];
            run(x, r);
            assert_int_equal(x->a.code, 0);
            assert_int_equal(x->a.kind, methods[m] == KUBE_GET ? ERR_UNAVAILABLE : ERR_AMBIGUOUS);
            assert_int_equal(server_count(x->server), before + 1);
        }
    }
    assert_int_equal(x->observed_code, 0);
}

/* The same on a connection that has served before. libcurl would send the request again by itself,
   which for a write is only right when it cannot have been processed. */
static void test_lost_reply_on_kept_connection(void **state)
{
    struct fixture *x = *state;
    static const bool with_body[] = {true, false};
    for (size_t i = 0; i < ARRAY_LEN(with_body); i++) {
        x->handle = reply_ok;
        run(x, request(x, KUBE_GET, &x->a));
        assert_int_equal(x->a.code, 200);
        struct kube_request r = request(x, KUBE_PUT, &x->a);
        if (!with_body[i]) {
            r.body = NULL;
            r.body_len = 0;
        }
        size_t before = server_count(x->server);
        x->handle = close_it;
        run(x, r);
        assert_int_equal(x->a.kind, ERR_AMBIGUOUS);
        turn_for(x, 50);
        assert_int_equal(server_count(x->server), before + 1);
    }
}

static void test_not_sent(void **state)
{
    struct fixture *x = *state;
    static const enum kube_method methods[] = {KUBE_GET, KUBE_POST, KUBE_DELETE};
    server_free(x->server); /* nobody listens */
    x->server = NULL;
    for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
        run(x, request(x, methods[m], &x->a));
        assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
    }
    struct kube_request r = request(x, KUBE_PUT, &x->a);
    r.body_len = 0;
    run(x, r);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
}

/* Writes that the server reads and never answers; the caller releases their bodies. */
static void submit_unanswered(struct fixture *x, struct result *into, size_t n, int64_t deadline_ms)
{
    memset(into, 0, n * sizeof *into);
    x->handle = silence;
    for (size_t i = 0; i < n; i++) {
        into[i].fixture = x;
        buf_init(&into[i].body, 1000);
        struct kube_request r = request(x, KUBE_POST, &into[i]);
        r.deadline_ms = deadline_ms;
        (void)kube_submit(x->t, &r);
    }
}

/* The connection cap: what waits is not sent; its deadline runs, and then it was surely not sent.
 */
static void test_cap(void **state)
{
    struct fixture *x = *state;
    struct result waiting[6];
    submit_unanswered(x, waiting, ARRAY_LEN(waiting), 300);
    turn_for(x, 100);
    assert_int_equal(server_count(x->server), 4);
    assert_int_equal(curl_transport_active(x->curl), 6);
    for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
        until(x, &waiting[i].done);
    unsigned unsent = 0;
    for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
        unsent += waiting[i].kind == ERR_UNAVAILABLE;
    assert_int_equal(unsent, 2);
    assert_int_equal(curl_transport_active(x->curl), 0);
    for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
        buf_release(&waiting[i].body);
}

/* What is urgent (the Lease, a thaw) is sent although the limit of running calls is reached and
   others have waited longer. */
static void test_urgent(void **state)
{
    struct fixture *x = *state;
    struct result others[6];
    submit_unanswered(x, others, ARRAY_LEN(others), 1500);
    turn_for(x, 100);
    assert_int_equal(server_count(x->server), 4);
    x->handle = reply_ok;
    struct kube_request r = request(x, KUBE_PUT, &x->a);
    r.urgent = true;
    run(x, r);
    assert_int_equal(x->a.code, 200);
    assert_string_equal(last(x)->method, "PUT");
    assert_int_equal(server_count(x->server), 5);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(others[i].done);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        until(x, &others[i].done);
        buf_release(&others[i].body);
    }
}

/* --- Bounds --- */

static void long_answer(struct fixture *x, const struct served *r)
{
    CLEANUP_FREE char *text = xmalloc(3000);
    memset(text, 'x', 2999);
    text[2999] = '\0';
    server_reply(x->server, r->connection, strcmp(r->method, "PUT") == 0 ? 422 : 200, NULL, text);
}

static void test_too_long(void **state)
{
    struct fixture *x = *state;
    x->handle = long_answer;
    run(x, request(x, KUBE_GET, &x->a));
    assert_int_equal(x->a.kind, ERR_LIMIT);
    /* Of a refusal the beginning is enough. */
    run(x, request(x, KUBE_PUT, &x->a));
    assert_int_equal(x->a.code, 422);
    assert_int_equal(x->a.body.len, 1000);
}

static void never_ending_head(struct fixture *x, const struct served *r)
{
    server_send(x->server, r->connection, "HTTP/1.1 200 OK\r\nX: ");
}

static void test_deadline(void **state)
{
    struct fixture *x = *state;
    struct kube_request r = request(x, KUBE_GET, &x->a);
    x->handle = never_ending_head;
    r.deadline_ms = 100;
    int64_t began = loop_now(x->loop);
    run(x, r);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
    assert_in_range(loop_now(x->loop) - began, 100, 5000);
}

/* --- Streams --- */

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static void begin_stream(struct fixture *x, const struct served *r)
{
    server_send(x->server, r->connection, CHUNKED "3\r\none\r\n");
}

static struct kube_request stream(struct fixture *x, struct result *into)
{
    struct kube_request r = request(x, KUBE_GET, into);
    r.on_data = on_data;
    r.idle_ms = 10000;
    return r;
}

static void begin(struct fixture *x, struct kube_request r)
{
    struct result *into = r.arg;
    into->done = false;
    buf_clear(&into->data);
    into->call = kube_submit(x->t, &r);
    int64_t end = loop_now(x->loop) + 20000;
    while (into->data.len == 0 && !into->done && loop_now(x->loop) < end)
        loop_turn(x->loop, 50);
    assert_true(into->data.len > 0);
}

static void test_stream(void **state)
{
    struct fixture *x = *state;
    x->handle = begin_stream;
    begin(x, stream(x, &x->a));
    assert_string_equal(x->a.data.data, "one");
    server_send(x->server, last(x)->connection, "4\r\n-two\r\n0\r\n\r\n");
    until(x, &x->a.done);
    assert_string_equal(x->a.data.data, "one-two");
    assert_int_equal(x->a.code, 200);
    assert_int_equal(x->a.body.len, 0);
    /* A refusal is no stream. */
    x->handle = refuse_with_429;
    run(x, stream(x, &x->a));
    assert_int_equal(x->a.code, 429);
    assert_int_equal(x->a.data.len, 0);
    assert_string_equal(x->a.body.data, "{\"kind\":\"Status\"}");
}

static void test_cut_stream(void **state)
{
    struct fixture *x = *state;
    x->handle = begin_stream;
    begin(x, stream(x, &x->a));
    server_close_connection(x->server, last(x)->connection);
    until(x, &x->a.done);
    assert_int_equal(x->a.code, 0);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
    begin(x, stream(x, &x->a));
    server_reset_connection(x->server, last(x)->connection);
    until(x, &x->a.done);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
}

/* The connection is open and nothing comes: only the idle limit notices. */
static void test_half_open_stream(void **state)
{
    struct fixture *x = *state;
    struct kube_request r = stream(x, &x->a);
    x->handle = begin_stream;
    r.idle_ms = 300;
    int64_t began = loop_now(x->loop);
    begin(x, r);
    turn_for(x, 200);
    server_send(x->server, last(x)->connection, "4\r\n-two\r\n"); /* that counts as life */
    turn_for(x, 200);
    assert_false(x->a.done);
    until(x, &x->a.done);
    assert_int_equal(x->a.code, 0);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
    assert_in_range(loop_now(x->loop) - began, 500, 10000);
    /* not even a head comes: silence counts from the sending on, as in the simulator
     * (tests/sim/net.c) */
    x->handle = silence;
    began = loop_now(x->loop);
    run(x, r);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
    assert_in_range(loop_now(x->loop) - began, 300, 10000);
    x->handle = begin_stream;
    /* and the deadline ends a stream that does live */
    r.deadline_ms = 100;
    r.idle_ms = 0;
    begin(x, r);
    until(x, &x->a.done);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
}

static void test_refused_and_cancelled_streams(void **state)
{
    struct fixture *x = *state;
    x->handle = begin_stream;
    x->a.refuse_data = true;
    begin(x, stream(x, &x->a));
    until(x, &x->a.done);
    assert_int_equal(x->a.kind, ERR_INVALID);
    x->a.refuse_data = false;

    x->a.cancel_in_data = true; /* inside libcurl's callback */
    begin(x, stream(x, &x->a));
    turn_for(x, 50);
    assert_false(x->a.done);
    assert_int_equal(curl_transport_active(x->curl), 0);
    x->a.cancel_in_data = false;

    begin(x, stream(x, &x->a)); /* from outside */
    kube_cancel(x->t, x->a.call);
    turn_for(x, 50);
    assert_false(x->a.done);
    struct kube_request r = request(x, KUBE_GET, &x->b); /* before it was sent */
    kube_cancel(x->t, kube_submit(x->t, &r));
    turn_for(x, 50);
    assert_false(x->b.done);
    assert_int_equal(curl_transport_active(x->curl), 0);
    assert_int_equal(server_open_connections(x->server), 0);
}

/* A callback submits the next and cancels another, as real callers do. */
static void submit_and_cancel(struct fixture *x)
{
    struct kube_request r = request(x, KUBE_GET, &x->a);
    x->a.then = NULL;
    kube_cancel(x->t, x->a.call); /* its own: harmless */
    kube_cancel(x->t, x->b.call);
    x->a.done = false;
    buf_clear(&x->a.body);
    x->a.call = kube_submit(x->t, &r);
}

static void answer_get_only(struct fixture *x, const struct served *r)
{
    if (strcmp(r->method, "GET") == 0)
        reply_ok(x, r);
}

static void test_reentrant_callbacks(void **state)
{
    struct fixture *x = *state;
    struct kube_request other = request(x, KUBE_POST, &x->b), first = request(x, KUBE_GET, &x->a);
    x->handle = answer_get_only;
    x->b.call = kube_submit(x->t, &other);
    x->a.then = submit_and_cancel;
    x->a.call = kube_submit(x->t, &first);
    int64_t end = loop_now(x->loop) + 20000;
    while ((x->a.then || !x->a.done) && loop_now(x->loop) < end)
        loop_turn(x->loop, 50);
    assert_true(x->a.done);
    assert_int_equal(x->a.code, 200);
    assert_false(x->b.done);
    assert_int_equal(curl_transport_active(x->curl), 0);
}

static void test_freed_under_way(void **state)
{
    struct fixture *x = *state;
    x->handle = begin_stream;
    begin(x, stream(x, &x->a));
    struct kube_request r = request(x, KUBE_POST, &x->b);
    (void)kube_submit(x->t, &r);
    curl_transport_free(x->curl);
    x->curl = NULL;
    turn_for(x, 50);
    assert_false(x->a.done || x->b.done);
}

static void redirect(struct fixture *x, const struct served *r)
{
    server_reply(x->server, r->connection, 302, "Location: http://127.0.0.1:1/\r\n", "");
}

/* A redirect would carry the token elsewhere. */
static void test_no_redirects(void **state)
{
    struct fixture *x = *state;
    x->handle = redirect;
    run(x, request(x, KUBE_GET, &x->a));
    assert_int_equal(x->a.code, 302);
    assert_int_equal(server_count(x->server), 1);
}

/* A clock that stands still until it is moved. */
static int64_t stopped_ms = 1000000;

static int64_t stopped(void *arg)
{
    (void)arg;
    return stopped_ms;
}

static int setup_stopped(void **state)
{
    static const struct clock clock = {.mono_ms = stopped, .wall_ms = stopped};
    return setup_with(state, &clock);
}

static void until_served(struct fixture *x, size_t count)
{
    for (int i = 0; i < 2000 && server_count(x->server) < count; i++)
        loop_turn(x->loop, 10);
    assert_int_equal(server_count(x->server), count);
}

static void say_nothing(struct fixture *x, const struct served *r)
{
    (void)x, (void)r;
}

static void count_done(void *arg, const struct kube_response *r)
{
    size_t *count = arg;
    *count += r->code == 200;
}

static int take_data(void *arg, const char *bytes, size_t n)
{
    (void)arg, (void)bytes, (void)n;
    return 0;
}

static void submit_streams(struct fixture *x, size_t count, size_t *done)
{
    struct kube_request r = request(x, KUBE_GET, NULL);
    r.on_done = count_done;
    r.on_data = take_data;
    r.arg = done;
    for (size_t i = 0; i < count; i++)
        (void)kube_submit(x->t, &r);
}

/* Lists that come at once share the connection that is there. */
static void test_lists_share_a_connection(void **state)
{
    struct fixture *x = *state;
    size_t done = 0;
    x->handle = reply_ok;
    submit_streams(x, 8, &done);
    for (int i = 0; i < 2000 && done < 8; i++)
        loop_turn(x->loop, 10);
    assert_int_equal(done, 8);
    assert_int_equal(server_connections(x->server), 1);
}

/* One that is not answered holds the next back for 20 ms, and what is no stream not at all. */
static void test_a_slow_list_holds_up_nobody(void **state)
{
    struct fixture *x = *state;
    size_t done = 0;
    x->handle = say_nothing;
    submit_streams(x, 3, &done);
    until_served(x, 1);
    turn_times(x, 20);
    assert_int_equal(server_connections(x->server), 1);
    stopped_ms += 19;
    turn_times(x, 20);
    assert_int_equal(server_connections(x->server), 1);
    stopped_ms += 1;
    until_served(x, 2);
    assert_int_equal(server_connections(x->server), 2);
    static const enum kube_method others[] = {KUBE_PATCH, KUBE_GET};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct kube_request other = request(x, others[i], NULL);
        other.on_done = count_done;
        other.arg = &done;
        (void)kube_submit(x->t, &other);
        until_served(x, 3 + i);
        assert_int_equal(server_connections(x->server), 3 + i);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_requests),
        T(test_empty_put),
        T(test_retry_after),
        T(test_date),
        T(test_expired_token),
        T(test_lost_reply),
        T(test_lost_reply_on_kept_connection),
        T(test_not_sent),
        T(test_cap),
        T(test_urgent),
        T(test_too_long),
        T(test_deadline),
        T(test_stream),
        T(test_cut_stream),
        T(test_half_open_stream),
        T(test_refused_and_cancelled_streams),
        T(test_reentrant_callbacks),
        T(test_freed_under_way),
        T(test_no_redirects),
        cmocka_unit_test_setup_teardown(test_lists_share_a_connection, setup_stopped, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_list_holds_up_nobody, setup_stopped, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
