/*
 * Proves the transport's streams: data are handed on as they come, a stream that is cut, silent,
 * refused or cancelled ends once, and many that begin at once share connections and hold up nobody.
 */
#include "transport_fixture.h"

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
    r.idle_ms = 1500; /* a busy machine answers within that */
    int64_t began = loop_now(x->loop);
    begin(x, r);
    turn_for(x, 1000);
    server_send(x->server, last(x)->connection, "4\r\n-two\r\n"); /* that counts as life */
    turn_for(x, 1000);
    assert_false(x->a.done);
    until(x, &x->a.done);
    assert_int_equal(x->a.code, 0);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
    assert_in_range(loop_now(x->loop) - began, 2500, 20000);
    /* not even a head comes: silence counts from the sending on, as in the simulator
     * (sim/network/net.c) */
    x->handle = silence;
    began = loop_now(x->loop);
    run(x, r);
    assert_int_equal(x->a.kind, ERR_UNAVAILABLE);
    assert_in_range(loop_now(x->loop) - began, 1500, 20000);
    x->handle = begin_stream;
    /* and the deadline ends a stream that does live */
    r.deadline_ms = 1000;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_stream),
        T(test_cut_stream),
        T(test_half_open_stream),
        T(test_refused_and_cancelled_streams),
        T(test_freed_under_way),
        cmocka_unit_test_setup_teardown(test_lists_share_a_connection, setup_stopped, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_list_holds_up_nobody, setup_stopped, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
