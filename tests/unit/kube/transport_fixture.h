/*
 * The transport and a scripted server on loopback: what the tests named test_transport* stand on.
 */
#ifndef TESTS_UNIT_KUBE_TRANSPORT_FIXTURE_H
#define TESTS_UNIT_KUBE_TRANSPORT_FIXTURE_H

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

static inline void handle(void *arg, const struct served *r)
{
    struct fixture *x = arg;
    x->handle(x, r);
}

static inline void observe(void *arg, enum kube_method method, const char *path, int code,
                           int64_t took_ms)
{
    struct fixture *x = arg;
    (void)method;
    assert_int_equal(path[0], '/');
    assert_true(took_ms >= 0);
    x->observed++;
    x->observed_code = code;
}

static inline void on_done(void *arg, const struct kube_response *r)
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

static inline int on_data(void *arg, const char *bytes, size_t n)
{
    struct result *a = arg;
    assert_true(buf_add(&a->data, bytes, n));
    if (a->cancel_in_data)
        kube_cancel(a->fixture->t, a->call);
    return a->refuse_data ? -1 : 0;
}

static inline int setup_with(void **state, const struct clock *clock)
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

static inline int setup(void **state)
{
    return setup_with(state, &clock_system);
}

static inline int teardown(void **state)
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
static inline void until(struct fixture *x, const bool *flag)
{
    int64_t end = loop_now(x->loop) + 20000;
    while (!*flag && loop_now(x->loop) < end)
        loop_turn(x->loop, 50);
    assert_true(*flag);
}

static inline void turn_for(struct fixture *x, int64_t ms)
{
    int64_t end = loop_now(x->loop) + ms;
    while (loop_now(x->loop) < end)
        loop_turn(x->loop, 10);
}

static inline void turn_times(struct fixture *x, int count)
{
    for (int i = 0; i < count; i++)
        loop_turn(x->loop, 1);
}

static inline struct kube_request request(struct fixture *x, enum kube_method method,
                                          struct result *into)
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

static inline void run(struct fixture *x, struct kube_request r)
{
    struct result *into = r.arg;
    into->done = false;
    buf_clear(&into->body);
    buf_clear(&into->data);
    into->call = kube_submit(x->t, &r);
    assert_false(into->done); /* never from inside submit */
    until(x, &into->done);
}

static inline void reply_ok(struct fixture *x, const struct served *r)
{
    server_reply(x->server, r->connection, 200, NULL, "{\"ok\":true}");
}

static inline const struct served *last(struct fixture *x)
{
    return server_request_at(x->server, server_count(x->server) - 1);
}

static inline void refuse_with_429(struct fixture *x, const struct served *r)
{
    server_reply(x->server, r->connection, 429, "Retry-After: 7\r\n", "{\"kind\":\"Status\"}");
}

static inline void silence(struct fixture *x, const struct served *r)
{
    (void)x;
    (void)r;
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
