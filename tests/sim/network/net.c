#include "network/net.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "network/net_call.h"

static bool writes(const struct kube_call *c)
{
    return c->method != KUBE_GET;
}

void call_unlink(struct kube_call *c)
{
    struct net *n = c->net;
    timer_cancel(n->s->timers, &c->step);
    timer_cancel(n->s->timers, &c->deadline);
    timer_cancel(n->s->timers, &c->idle);
    if (c->prev)
        c->prev->next = c->next;
    else
        n->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
    free(c->path);
    free(c->content_type);
    free(c->accept);
    free(c->body);
    free(c->reply.body);
    free(c->target.query);
    free(c);
}

void call_finish(struct kube_call *c, int code, enum err_kind kind, const char *why)
{
    struct kube_response r = {.code = code, .body = "", .retry_after_s = c->reply.retry_after_s};
    bool stream = c->on_data && code >= 200 && code < 300;
    if (kind != ERR_NONE)
        (void)err_set(&r.err, kind, "%s", why);
    if (kind == ERR_NONE && !stream && c->reply.body) {
        r.body = c->reply.body;
        r.body_len = strlen(c->reply.body);
        if (r.body_len > c->response_max) {
            r.code = 0;
            r.body = "";
            r.body_len = 0;
            (void)err_set(&r.err, ERR_LIMIT, "the reply is longer than %zu bytes", c->response_max);
        }
    }
    if (!c->gone) {
        c->busy = true;
        c->on_done(c->arg, &r);
    }
    call_unlink(c);
}

bool call_feed(struct kube_call *c, const char *bytes, size_t n)
{
    struct rng *rng = c->net->s->rng;
    while (n && !c->gone) {
        size_t piece = n > 1 && rng_chance(rng, 300) ? (size_t)rng_range(rng, 1, (int64_t)n) : n;
        c->busy = true;
        int status = c->on_data(c->arg, bytes, piece);
        c->busy = false;
        if (status && !c->gone) {
            call_finish(c, 0, ERR_INVALID, "the receiver gave up");
            return false;
        }
        bytes += piece;
        n -= piece;
    }
    if (c->gone) {
        call_unlink(c);
        return false;
    }
    return true;
}

/* --- fates --- */

static void make_error(struct kube_call *c, int code, const char *reason, const char *text,
                       int64_t retry_after_s)
{
    c->fate = FATE_ERROR;
    c->reply.retry_after_s = retry_after_s;
    api_fail(&c->reply, code, reason, NULL, "%s", text);
}

static void quota_conflict(struct kube_call *c)
{
    make_error(c, 409, "Conflict",
               "Operation cannot be fulfilled on resourcequotas \"quota\": the object has been "
               "modified; please apply your changes to the latest version and try again",
               0);
}

static bool drawn(int64_t *dice, unsigned rate)
{
    bool hit = *dice >= 0 && *dice < (int64_t)rate;
    *dice -= (int64_t)rate;
    return hit;
}

static void draw_fate(struct kube_call *c)
{
    const struct net_faults *f = c->net->faults;
    struct rng *rng = c->net->s->rng;
    int64_t dice = rng_range(rng, 0, 999);
    if (call_now(c) < c->net->refused_until_ms || drawn(&dice, f->refuse))
        c->fate = FATE_REFUSED;
    else if (drawn(&dice, f->lose_before))
        c->fate = FATE_LOST_BEFORE;
    else if (drawn(&dice, f->lose_after))
        c->fate = FATE_LOST_AFTER;
    else if (drawn(&dice, f->error_500))
        make_error(c, 500, "InternalError",
                   "Internal error occurred: failed calling webhook \"x.example.org\": failed to "
                   "call webhook: context deadline exceeded",
                   0);
    else if (drawn(&dice, f->error_429))
        make_error(c, 429, "TooManyRequests", "Too many requests, please try again later.",
                   rng_range(rng, 1, 5));
    else if (drawn(&dice, f->error_503))
        make_error(c, 503, "ServiceUnavailable",
                   "the server is currently unable to handle the request", 0);
    else if (drawn(&dice, f->error_after))
        c->fate = FATE_ERROR_AFTER;
    else if (drawn(&dice, f->conflict) && c->method == KUBE_POST)
        quota_conflict(c);
}

static int64_t latency(const struct kube_call *c)
{
    const struct net_faults *f = c->net->faults;
    struct rng *rng = c->net->s->rng;
    if (rng_chance(rng, f->slow))
        return rng_range(rng, 500, 8000);
    return rng_range(rng, 1, f->latency_ms_max > 1 ? f->latency_ms_max : 1);
}

/* --- the way of a request --- */

static void lose(struct kube_call *c)
{
    /* Either the connection breaks, or nobody answers until the deadline. */
    if (rng_chance(c->net->s->rng, 500)) {
        call_finish(c, 0, writes(c) ? ERR_AMBIGUOUS : ERR_UNAVAILABLE,
                    "the connection was closed before an answer came");
        return;
    }
    c->stage = CALL_ANSWERED;
    c->fate = FATE_LOST_BEFORE;
}

static void process(struct kube_call *c)
{
    struct net *n = c->net;
    struct api_call call = {n->who,    c->method, c->path,    c->content_type,
                            c->accept, c->body,   c->body_len};
    api_handle(n->s, &call, &c->reply);
    if (n->hooks.handled)
        n->hooks.handled(n->hooks.arg, &call, &c->reply);
}

static void arrive(struct kube_call *c)
{
    struct net *n = c->net;
    if (c->fate == FATE_REFUSED) {
        call_finish(c, 0, ERR_UNAVAILABLE, "connection refused");
        return;
    }
    if (c->fate == FATE_LOST_BEFORE) {
        lose(c);
        return;
    }
    if (c->fate != FATE_ERROR) {
        struct api_target t;
        bool known = api_parse_path(n->s, c->path, &t);
        c->target = t;
        if (known && c->method == KUBE_GET && api_is_watch(&t)) {
            watch_begin(c);
            return;
        }
        process(c);
    }
    if (c->gone) {
        call_unlink(c);
        return;
    }
    if (c->fate == FATE_LOST_AFTER) {
        lose(c);
        return;
    }
    if (c->fate == FATE_ERROR_AFTER && writes(c))
        make_error(c, 500, "InternalError", "etcdserver: request timed out", 0);
    c->stage = CALL_ANSWERED;
    timer_arm(n->s->timers, &c->step, call_now(c) + c->reply.delay_ms + latency(c));
}

static void answer(struct kube_call *c)
{
    bool stream = c->on_data && c->reply.code >= 200 && c->reply.code < 300;
    if (stream && c->reply.body) {
        CLEANUP_FREE char *bytes = TAKE(c->reply.body);
        size_t len = strlen(bytes);
        /* A long list may break off in its midst. */
        bool broken = rng_chance(c->net->s->rng, c->net->faults->watch_cut / 4);
        if (!call_feed(c, bytes, broken ? len / 2 : len))
            return;
        if (broken) {
            call_finish(c, 0, ERR_UNAVAILABLE, "the connection was closed within the answer");
            return;
        }
    }
    call_finish(c, c->reply.code, ERR_NONE, NULL);
}

static void step(void *arg)
{
    struct kube_call *c = arg;
    if (c->stage == CALL_SENT)
        arrive(c);
    else if (c->stage == CALL_ANSWERED)
        answer(c);
    else
        watch_step(c);
}

static void late(void *arg)
{
    struct kube_call *c = arg;
    if (c->stage == CALL_SENT && !c->gone && c->fate != FATE_LOST_BEFORE &&
        c->fate != FATE_REFUSED && c->fate != FATE_ERROR && writes(c)) {
        /* It is still on its way, and may take effect after the client has given up. */
        struct kube_response r = {.body = ""};
        (void)err_set(&r.err, ERR_AMBIGUOUS, "no answer within the deadline");
        c->gone = true;
        c->busy = true;
        c->on_done(c->arg, &r);
        c->busy = false;
        return;
    }
    call_finish(c, 0, writes(c) ? ERR_AMBIGUOUS : ERR_UNAVAILABLE, "no answer within the deadline");
}

static void silent(void *arg)
{
    call_finish(arg, 0, ERR_UNAVAILABLE, "nothing came for too long");
}

static char *bytes_dup(const void *bytes, size_t n)
{
    char *copy = xmalloc(n + 1);
    if (n)
        memcpy(copy, bytes, n);
    copy[n] = '\0';
    return copy;
}

static struct kube_call *submit(struct kube_transport *face, const struct kube_request *r)
{
    struct net *n = (struct net *)face;
    struct kube_call *c = xcalloc(1, sizeof *c);
    assert(!n->dead && r->on_done && r->deadline_ms > 0);
    *c = (struct kube_call){
        .net = n,
        .next = n->calls,
        .method = r->method,
        .path = xstrdup(r->path),
        .content_type = xstrdup(r->content_type),
        .accept = xstrdup(str_or(r->accept, "application/json")),
        .body = r->body ? bytes_dup(r->body, r->body_len) : NULL,
        .body_len = r->body ? r->body_len : 0,
        .response_max = r->response_max,
        .idle_ms = r->idle_ms,
        .on_data = r->on_data,
        .on_done = r->on_done,
        .arg = r->arg,
    };
    if (n->calls)
        n->calls->prev = c;
    n->calls = c;
    n->requests++;
    timer_init(&c->step, step, c);
    timer_init(&c->deadline, late, c);
    timer_init(&c->idle, silent, c);
    draw_fate(c);
    timer_arm(n->s->timers, &c->step, call_now(c) + latency(c));
    timer_arm(n->s->timers, &c->deadline, call_now(c) + r->deadline_ms);
    /* Silence counts from the sending on (kube/curl_transport.c: due_ms): a watch that is lost on
       its way there is given up no later than one that falls silent. */
    if (c->idle_ms)
        timer_arm(n->s->timers, &c->idle, call_now(c) + c->idle_ms);
    if (n->hooks.submitted && n->hooks.submitted(n->hooks.arg, n->who, r))
        c->fate = FATE_LOST_BEFORE;
    return c;
}

/* The client lets go. What is on its way may arrive all the same. */
static void detach(struct kube_call *c)
{
    bool on_its_way = c->stage == CALL_SENT && writes(c) && c->fate != FATE_REFUSED &&
                      c->fate != FATE_LOST_BEFORE && c->fate != FATE_ERROR &&
                      rng_chance(c->net->s->rng, 500);
    c->gone = true;
    timer_cancel(c->net->s->timers, &c->deadline);
    timer_cancel(c->net->s->timers, &c->idle);
    if (!on_its_way && !c->busy)
        call_unlink(c);
}

static void cancel(struct kube_transport *face, struct kube_call *c)
{
    assert(c->net == (struct net *)face && !c->gone);
    detach(c);
}

void net_init(struct net *n, struct apiserver *s, const char *who, const struct net_faults *faults,
              struct net_hooks hooks)
{
    *n = (struct net){
        .face = {submit, cancel}, .s = s, .who = xstrdup(who), .faults = faults, .hooks = hooks};
}

void net_kill(struct net *n)
{
    struct kube_call *next;
    n->dead = true;
    for (struct kube_call *c = n->calls; c; c = next) {
        next = c->next;
        if (!c->gone)
            detach(c);
    }
}

void net_release(struct net *n)
{
    while (n->calls)
        call_unlink(n->calls);
    free(n->who);
    n->who = NULL;
}

void net_wake(struct net *n)
{
    for (struct kube_call *c = n->calls; c; c = c->next)
        if (c->stage == CALL_WATCHING && !c->gone)
            watch_wake(c);
}

void net_cut_watches(struct net *n)
{
    for (struct kube_call *c = n->calls; c; c = c->next)
        if (c->stage == CALL_WATCHING && !c->gone) {
            c->cut_ms = call_now(c);
            timer_arm(n->s->timers, &c->step, c->cut_ms);
        }
}

void net_hang_watches(struct net *n, enum api_kind kind)
{
    for (struct kube_call *c = n->calls; c; c = c->next)
        if (c->stage == CALL_WATCHING && !c->gone && c->target.kind == kind && c->silent_ms) {
            c->silent_ms = call_now(c);
            timer_arm(n->s->timers, &c->step, c->silent_ms);
        }
}

size_t net_calls(const struct net *n)
{
    size_t count = 0;
    for (const struct kube_call *c = n->calls; c; c = c->next)
        count += !c->gone;
    return count;
}
