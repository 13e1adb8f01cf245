#include "kube/curl_transport.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/curl_call.h"
#include "kube/curl_head.h"

/* A new connection costs both sides some milliseconds of CPU, a small list on one that is there
   less than one. So the streams that fill caches, which all begin at once, wait for a connection to
   become free, and open another one only after this long. */
#define OPEN_MS 20
/* libcurl closes a connection that has been idle for longer (CURLOPT_MAXAGE_CONN). */
#define CONNECTION_IDLE_MS 118000

static struct kube_call_list *list_of(struct curl_transport *t, enum call_state state)
{
    return state == CALL_WAITING ? &t->waiting : state == CALL_RUNNING ? &t->running : &t->ended;
}

static void unlink_call(struct kube_call *c)
{
    struct kube_call_list *l = list_of(c->owner, c->state);
    *(c->before ? &c->before->after : &l->first) = c->after;
    *(c->after ? &c->after->before : &l->last) = c->before;
    c->before = c->after = NULL;
    c->owner->waiting_count -= c->state == CALL_WAITING;
    c->owner->running_count -= c->state == CALL_RUNNING;
}

/* Behind the last one; what is urgent waits only behind what is urgent, too. */
static struct kube_call *scope_of(const struct kube_call_list *l, const struct kube_call *c)
{
    struct kube_call *before = l->last;
    if (c->state == CALL_WAITING && c->request.urgent)
        while (before && !before->request.urgent)
            before = before->before;
    return before;
}

static void link_call(struct kube_call *c, enum call_state state)
{
    struct kube_call_list *l = list_of(c->owner, state);
    c->state = state;
    c->before = scope_of(l, c);
    c->after = c->before ? c->before->after : l->first;
    *(c->before ? &c->before->after : &l->first) = c;
    *(c->after ? &c->after->before : &l->last) = c;
    c->owner->waiting_count += state == CALL_WAITING;
    c->owner->running_count += state == CALL_RUNNING;
}

static void pump_soon(struct curl_transport *t)
{
    timer_arm(loop_timers(t->loop), &t->pump, loop_now(t->loop));
}

/* --- Ending --- */

static void free_call(struct kube_call *c)
{
    struct curl_transport *t = c->owner;
    unlink_call(c);
    timer_cancel(loop_timers(t->loop), &c->timer);
    if (c->easy) {
        (void)curl_multi_remove_handle(loop_multi(t->loop), c->easy);
        curl_easy_cleanup(c->easy);
    }
    curl_slist_free_all(c->headers);
    buf_release(&c->reply);
    free(c->path);
    free(c->content_type);
    free(c->accept);
    free(c->body);
    free(c);
}

/* One callback, then the call is gone. The callback may submit and cancel others. */
static void finish_call(struct kube_call *c, const struct kube_response *response)
{
    struct curl_transport *t = c->owner;
    t->ended_ms = loop_now(t->loop);
    if (c->cancelled) {
        free_call(c);
        return;
    }
    if (t->o.observe)
        t->o.observe(t->o.arg, c->request.method, c->path, response->code,
                     loop_now(t->loop) - c->began_ms);
    c->cancelled = true; /* a late kube_cancel from the callback finds it ended */
    c->request.on_done(c->request.arg, response);
    free_call(c);
    if (t->waiting.first)
        pump_soon(t);
}

/* The server cannot have acted: it has not got the whole request. */
static bool surely_unsent(const struct kube_call *c)
{
    curl_off_t sent = 0;
    if (!c->easy)
        return true;
    if (c->request.body_len > 0)
        return c->body_sent < c->request.body_len;
    return curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &sent) != CURLE_OK || sent == 0;
}

static void finish_unanswered(struct kube_call *c, const char *why)
{
    struct kube_response r = {.body = ""};
    bool ambiguous = kube_call_is_write(c) && !surely_unsent(c);
    (void)err_set(&r.err, ambiguous ? ERR_AMBIGUOUS : ERR_UNAVAILABLE, "%s: %s", c->owner->server,
                  why);
    finish_call(c, &r);
}

static void on_transfer(struct loop_transfer *transfer, CURL *easy, CURLcode result)
{
    struct kube_call *c = (struct kube_call *)transfer;
    struct curl_transport *t = c->owner;
    CLEANUP_CURL_HEAD struct curl_head head;
    curl_head_read(easy, &head);
    struct kube_response r = {.body = "",
                              .retry_after_s = head.retry_after_s,
                              .warnings = head.warnings.len ? head.warnings.data : NULL};
    if (head.code == 401)
        kube_token_expire(&t->token);
    if (c->refused) {
        (void)err_set(&r.err, ERR_INVALID, "the stream was refused");
        finish_call(c, &r);
    } else if (c->too_long) {
        (void)err_set(&r.err, ERR_LIMIT, "the reply is longer than %zu bytes", c->reply.max);
        finish_call(c, &r);
    } else if (result != CURLE_OK) {
        finish_unanswered(c, *c->error ? c->error : curl_easy_strerror(result));
    } else {
        if (curl_head_read_date(easy, clock_wall(loop_clock(t->loop)), t->o.skew))
            skew_tell(t->o.skew, loop_now(t->loop));
        r.code = head.code;
        r.body = c->reply.data;
        r.body_len = c->reply.len;
        finish_call(c, &r);
    }
}

static int64_t due_ms(const struct kube_call *c)
{
    int64_t at = c->began_ms + c->request.deadline_ms;
    if (c->request.idle_ms > 0 && c->state == CALL_RUNNING && c->heard_ms + c->request.idle_ms < at)
        at = c->heard_ms + c->request.idle_ms;
    return at;
}

static void on_timer(void *arg)
{
    struct kube_call *c = arg;
    int64_t now = loop_now(c->owner->loop);
    if (now < due_ms(c))
        timer_arm(loop_timers(c->owner->loop), &c->timer, due_ms(c));
    else if (now >= c->began_ms + c->request.deadline_ms)
        finish_unanswered(c, "no answer within the deadline");
    else
        finish_unanswered(c, "the stream has gone silent");
}

/* --- Starting --- */

static void start_call(struct kube_call *c)
{
    struct curl_transport *t = c->owner;
    unlink_call(c);
    link_call(c, CALL_RUNNING);
    c->heard_ms = loop_now(t->loop);
    timer_arm(loop_timers(t->loop), &c->timer, due_ms(c));
    /* A handle for each request: one that is used again keeps, before libcurl 8.1.1, a pointer to a
       freed header, and a folded line follows it (curl pull request 11103). It costs 1 us. */
    CURL *easy = curl_easy_init();
    bool ok = easy && curl_request_set(c, easy);
    if (ok && curl_multi_add_handle(loop_multi(t->loop), easy) == CURLM_OK) {
        c->easy = easy;
        return;
    }
    if (easy)
        curl_easy_cleanup(easy);
    finish_unanswered(c, "libcurl refuses the request");
}

static bool may_start(const struct curl_transport *t, const struct kube_call *c)
{
    return t->running_count < t->o.calls_max + (c->request.urgent ? CURL_TRANSPORT_URGENT : 0);
}

/* When another connection may be opened for a stream; now, if there should be a free one. */
static int64_t open_at_ms(struct curl_transport *t)
{
    int64_t now = loop_now(t->loop);
    if (now - t->ended_ms > CONNECTION_IDLE_MS)
        t->open_count = t->running_count;
    return t->running_count < t->open_count || t->running_count == 0 ? now : t->opened_ms + OPEN_MS;
}

/* The one that comes next. Only streams wait for a connection: somebody waits for an answer, and a
   guest may stand still until a write is done. */
static struct kube_call *next_to_start(struct curl_transport *t)
{
    struct kube_call *c = t->waiting.first;
    if (!c || !may_start(t, c))
        return NULL;
    int64_t at_ms = open_at_ms(t);
    if (at_ms <= loop_now(t->loop))
        return c;
    while (c && c->request.on_data && !c->request.urgent)
        c = c->after;
    if (!c)
        timer_arm(loop_timers(t->loop), &t->pump, at_ms);
    return c;
}

static void start_waiting(struct curl_transport *t)
{
    struct kube_call *c;
    while ((c = next_to_start(t))) {
        start_call(c);
        if (t->running_count <= t->open_count)
            continue;
        t->open_count = t->running_count;
        t->opened_ms = loop_now(t->loop);
    }
}

static void on_pump(void *arg)
{
    struct curl_transport *t = arg;
    /* The head is read anew each time: callbacks change the lists. */
    for (unsigned n = 0; t->ended.first && n < CURL_TRANSPORT_CALLS; n++) {
        struct kube_call *c = t->ended.first;
        struct kube_response r = {.body = "", .err = c->early};
        finish_call(c, &r); /* cancelled ones are buried without a word */
    }
    start_waiting(t);
    if (t->ended.first)
        pump_soon(t);
}

static struct kube_call *submit(struct kube_transport *face, const struct kube_request *request)
{
    struct curl_transport *t = (struct curl_transport *)face;
    assert(request->path && request->path[0] == '/' && request->on_done);
    assert(request->deadline_ms > 0);
    struct kube_call *c = xcalloc(1, sizeof *c);
    c->transfer.done = on_transfer;
    c->owner = t;
    c->request = *request;
    c->path = xstrdup(request->path);
    c->content_type = xstrdup(request->content_type);
    c->accept = xstrdup(request->accept);
    c->body = xmalloc(request->body_len + 1);
    if (request->body_len)
        memcpy(c->body, request->body, request->body_len);
    c->request.body = c->body;
    c->request.path = c->path;
    buf_init(&c->reply, request->response_max ? request->response_max : 64 * KIB);
    c->began_ms = loop_now(t->loop);
    timer_init(&c->timer, on_timer, c);
    if (t->waiting_count >= CURL_TRANSPORT_WAITING && !c->request.urgent) {
        (void)err_set(&c->early, ERR_LIMIT, "more than %d requests wait", CURL_TRANSPORT_WAITING);
        link_call(c, CALL_ENDED);
        pump_soon(t);
        return c;
    }
    link_call(c, CALL_WAITING);
    timer_arm(loop_timers(t->loop), &c->timer, due_ms(c));
    pump_soon(t);
    return c;
}

static void cancel(struct kube_transport *face, struct kube_call *c)
{
    struct curl_transport *t = (struct curl_transport *)face;
    assert(c->owner == t);
    if (c->cancelled) /* its callback runs, or it waits for its burial */
        return;
    c->cancelled = true;
    if (!loop_in_curl(t->loop)) {
        free_call(c);
        if (t->waiting.first)
            pump_soon(t);
        return;
    }
    timer_cancel(loop_timers(t->loop), &c->timer);
    unlink_call(c);
    link_call(c, CALL_ENDED);
    pump_soon(t);
}

/* --- Life --- */

static const char *host_of(const char *server, size_t *ret_len)
{
    const char *host = strstr(server, "://");
    host = host ? host + 3 : server;
    *ret_len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    return host;
}

/* libcurl verifies the name in the URL, so the URL gets the name and the connection the host. */
static void set_base(struct curl_transport *t, const char *tls_server_name)
{
    size_t n;
    const char *host = host_of(t->server, &n);
    if (!tls_server_name) {
        t->base = xstrdup(t->server);
        return;
    }
    t->base = xasprintf("%.*s%s%s", (int)(host - t->server), t->server, tls_server_name, host + n);
    CLEANUP_FREE char *to = xasprintf("::%.*s:", (int)n, host);
    t->connect_to = curl_slist_append(NULL, to);
}

int curl_transport_new(const struct curl_transport_options *options, struct curl_transport **ret,
                       struct err *err)
{
    const struct kube_config *config = options->config;
    struct curl_transport *t = xcalloc(1, sizeof *t);
    t->face.submit = submit;
    t->face.cancel = cancel;
    t->loop = options->loop;
    t->o = *options;
    if (!t->o.calls_max)
        t->o.calls_max = CURL_TRANSPORT_CALLS;
    if (options->token_source.current)
        kube_token_init_source(&t->token, loop_clock(t->loop), options->token_source);
    else
        kube_token_init(&t->token, loop_clock(t->loop), config->token, config->token_file);
    t->server = xstrdup(config->server);
    t->user_agent = xstrdup(options->user_agent ? options->user_agent : "wukong/" WUKONG_VERSION);
    set_base(t, config->tls_server_name);
    t->proxy = xstrdup(config->proxy_url);
    t->ca_pem = xstrdup(config->ca_pem);
    t->ca_file = xstrdup(config->ca_file);
    t->cert_pem = xstrdup(config->cert_pem);
    t->cert_file = xstrdup(config->cert_file);
    t->key_pem = xstrdup(config->key_pem);
    t->key_file = xstrdup(config->key_file);
    t->insecure = config->insecure;
    t->loopback = kube_config_loopback(config->server);
    timer_init(&t->pump, on_pump, t);
    (void)curl_multi_setopt(loop_multi(t->loop), CURLMOPT_MAXCONNECTS, (long)t->o.calls_max);
    (void)curl_multi_setopt(loop_multi(t->loop), CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    CURL *probe = curl_easy_init();
    bool ok = probe && curl_request_set_peer(t, probe);
    curl_easy_cleanup(probe);
    if (!ok) {
        curl_transport_free(t);
        return err_set(err, ERR_INVALID, "libcurl does not accept the connection settings");
    }
    *ret = t;
    return 0;
}

void curl_transport_free(struct curl_transport *t)
{
    if (!t)
        return;
    assert(!loop_in_curl(t->loop));
    struct kube_call_list *lists[] = {&t->waiting, &t->running, &t->ended};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        while (lists[i]->first)
            free_call(lists[i]->first);
    timer_cancel(loop_timers(t->loop), &t->pump);
    kube_token_release(&t->token);
    curl_slist_free_all(t->connect_to);
    char *const owned[] = {t->server,  t->base,     t->user_agent, t->proxy,   t->ca_pem,
                           t->ca_file, t->cert_pem, t->cert_file,  t->key_pem, t->key_file};
    for (size_t i = 0; i < ARRAY_LEN(owned); i++)
        free(owned[i]);
    free(t);
}

struct kube_transport *curl_transport_face(struct curl_transport *t)
{
    return &t->face;
}

unsigned curl_transport_active(const struct curl_transport *t)
{
    return t->waiting_count + t->running_count;
}
