/*
 * Proves the libcurl transport against a scripted server on loopback: what is sent, that
 * connections are kept, that bodies and deadlines are bounded, and above all how each failure is
 * classified: a write that may have reached the server is never called unsent and is never sent
 * twice.
 */
#include "transport_fixture.h"

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

static void reply_folded(struct fixture *x, const struct served *r)
{
    server_send(x->server, r->connection,
                "HTTP/1.1 200 OK\r\n folded: line\r\nContent-Length: 2\r\n\r\n{}");
}

/* A folded line is never added to the head of the answer before, whose memory is gone. What libcurl
   says of the line depends on its version. */
static void test_folded_head(void **state)
{
    struct fixture *x = *state;
    for (int i = 0; i < 3; i++) {
        x->handle = i % 2 ? reply_folded : reply_ok;
        run(x, request(x, KUBE_GET, &x->a));
        assert_true(x->a.code == 200 || (i % 2 && x->a.code == 0));
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_requests),     T(test_empty_put),
        T(test_retry_after),  T(test_folded_head),
        T(test_date),         T(test_expired_token),
        T(test_lost_reply),   T(test_lost_reply_on_kept_connection),
        T(test_not_sent),     T(test_cap),
        T(test_urgent),       T(test_too_long),
        T(test_deadline),     T(test_reentrant_callbacks),
        T(test_no_redirects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
