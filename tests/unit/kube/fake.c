#include "fake.h"

#include "test.h"

#include "base/str.h"

static int64_t read_mono(void *arg)
{
    return ((struct fake *)arg)->now_ms;
}

static int64_t read_wall(void *arg)
{
    return ((struct fake *)arg)->now_ms + 1767323045000; /* 2026-01-02T03:04:05Z */
}

static struct kube_call *submit(struct kube_transport *t, const struct kube_request *request)
{
    struct fake *f = (struct fake *)t;
    struct kube_call *c = xcalloc(1, sizeof *c), **end = &f->calls;
    assert_true(request->deadline_ms > 0);
    assert_non_null(request->on_done);
    assert_int_equal(request->path[0], '/');
    c->request = *request;
    c->path = xstrdup(request->path);
    c->body = xstrndup(request->body ? request->body : "", request->body_len);
    c->request.path = c->path;
    c->request.body = c->body;
    while (*end)
        end = &(*end)->next;
    *end = c;
    f->submitted++;
    return c;
}

static void take(struct fake *f, struct kube_call *c)
{
    struct kube_call **at = &f->calls;
    while (*at && *at != c)
        at = &(*at)->next;
    if (!*at)
        fail_msg("a call that is not open");
    *at = c->next;
}

static void free_call(struct kube_call *c)
{
    free(c->path);
    free(c->body);
    free(c);
}

static void cancel(struct kube_transport *t, struct kube_call *c)
{
    struct fake *f = (struct fake *)t;
    take(f, c);
    free_call(c);
    f->cancelled++;
}

void fake_init(struct fake *f)
{
    *f = (struct fake){.face = {submit, cancel},
                       .clock = {.mono_ms = read_mono, .wall_ms = read_wall, .arg = f},
                       .now_ms = 1000000};
}

void fake_release(struct fake *f)
{
    if (f->calls)
        fail_msg("still open: %s", f->calls->path);
    assert_int_equal(f->timers.count, 0);
    timers_release(&f->timers);
}

struct kube_call *fake_call(struct fake *f)
{
    if (!f->calls)
        fail_msg("no call is open");
    return f->calls;
}

unsigned fake_open(const struct fake *f)
{
    unsigned n = 0;
    for (const struct kube_call *c = f->calls; c; c = c->next)
        n++;
    return n;
}

void fake_advance(struct fake *f, int64_t ms)
{
    int64_t until = f->now_ms + ms;
    while (timers_next(&f->timers) <= until) {
        if (timers_next(&f->timers) > f->now_ms)
            f->now_ms = timers_next(&f->timers);
        (void)timers_run(&f->timers, f->now_ms);
    }
    f->now_ms = until;
}

static void done(struct fake *f, struct kube_call *c, const struct kube_response *r)
{
    take(f, c);
    c->request.on_done(c->request.arg, r);
    free_call(c);
}

void fake_answer_later(struct fake *f, struct kube_call *c, int code, const char *body,
                       int64_t retry_after_s)
{
    struct kube_response r = {
        .code = code, .body = body, .body_len = strlen(body), .retry_after_s = retry_after_s};
    if (c->request.on_data && code / 100 == 2) {
        if (*body && fake_data(f, c, body) != 0)
            return;
        r.body = "";
        r.body_len = 0;
    }
    done(f, c, &r);
}

void fake_answer(struct fake *f, struct kube_call *c, int code, const char *body)
{
    fake_answer_later(f, c, code, body, 0);
}

void fake_fail(struct fake *f, struct kube_call *c, enum err_kind kind)
{
    struct kube_response r = {.body = ""};
    (void)err_set(&r.err, kind, "the test says so");
    done(f, c, &r);
}

int fake_data(struct fake *f, struct kube_call *c, const char *bytes)
{
    assert_non_null(c->request.on_data);
    int status = c->request.on_data(c->request.arg, bytes, strlen(bytes));
    if (status != 0)
        fake_fail(f, c, ERR_INVALID);
    return status;
}

void fake_expect(struct fake *f, const char *method_and_path)
{
    static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    struct kube_call *c = fake_call(f);
    CLEANUP_FREE char *is = xasprintf("%s %s", verbs[c->request.method], c->path);
    if (!str_starts(is, method_and_path))
        fail_msg("expected %s, got %s", method_and_path, is);
}
