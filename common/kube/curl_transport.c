#include "kube/curl_transport.h"

#include <assert.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/token.h"

/* A new connection costs both sides some milliseconds of CPU, a small list on one that is there
   less than one. So the streams that fill caches, which all begin at once, wait for a connection to
   become free, and open another one only after this long. */
#define OPEN_MS 20
/* libcurl closes a connection that has been idle for longer (CURLOPT_MAXAGE_CONN). */
#define CONNECTION_IDLE_MS 118000
/* Easy handles kept for reuse; each costs some 5 KiB. */
#define IDLE_HANDLES 32
/* Unacknowledged data for this long ends a connection: a node that vanished. */
#define USER_TIMEOUT_MS 30000
/* kube-apiserver cuts all warnings of an answer at 4 KiB (apiserver
 * pkg/endpoints/filters/warning.go). */
#define WARNINGS_BYTES (16u * KIB)

enum call_state { CALL_WAITING, CALL_RUNNING, CALL_ENDED };

struct kube_call {
    struct loop_transfer transfer; /* first: libcurl's private pointer */
    struct curl_transport *owner;
    struct kube_call *before, *after; /* in the list of its state */
    enum call_state state;
    bool cancelled;
    struct kube_request request; /* path and body owned, the types static or owned */
    char *path, *content_type, *accept;
    char *body;
    size_t body_sent;
    CURL *easy;
    struct curl_slist *headers;
    struct buf reply;
    bool too_long, refused;
    struct timer timer; /* the earlier of deadline and idle */
    int64_t began_ms, heard_ms;
    struct err early; /* ended before it was sent */
    char error[CURL_ERROR_SIZE];
};

struct call_list {
    struct kube_call *first, *last;
};

struct curl_transport {
    struct kube_transport face; /* first */
    struct loop *loop;
    struct curl_transport_options o;
    struct kube_token token;
    char *server;                  /* as shown to users */
    char *base;                    /* as asked for: under the TLS server name, if there is one */
    struct curl_slist *connect_to; /* where that name leads */
    char *user_agent, *proxy;
    char *ca_pem, *ca_file, *cert_pem, *cert_file, *key_pem, *key_file;
    bool insecure, loopback;
    struct call_list waiting, running, ended;
    unsigned waiting_count, running_count;
    unsigned open_count; /* connections there should be: the most requests under way at once */
    int64_t opened_ms, ended_ms; /* when the last one was opened; when a request last ended */
    struct timer pump; /* starts what waits, ends what has ended, outside libcurl's callbacks */
    CURL *idle[IDLE_HANDLES];
    size_t idle_count;
};

static struct call_list *list_of(struct curl_transport *t, enum call_state state)
{
    return state == CALL_WAITING ? &t->waiting : state == CALL_RUNNING ? &t->running : &t->ended;
}

static void unlink_call(struct kube_call *c)
{
    struct call_list *l = list_of(c->owner, c->state);
    *(c->before ? &c->before->after : &l->first) = c->after;
    *(c->after ? &c->after->before : &l->last) = c->before;
    c->before = c->after = NULL;
    c->owner->waiting_count -= c->state == CALL_WAITING;
    c->owner->running_count -= c->state == CALL_RUNNING;
}

/* Behind the last one; what is urgent waits only behind what is urgent, too. */
static struct kube_call *place_of(const struct call_list *l, const struct kube_call *c)
{
    struct kube_call *before = l->last;
    if (c->state == CALL_WAITING && c->request.urgent)
        while (before && !before->request.urgent)
            before = before->before;
    return before;
}

static void link_call(struct kube_call *c, enum call_state state)
{
    struct call_list *l = list_of(c->owner, state);
    c->state = state;
    c->before = place_of(l, c);
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

static bool is_write(const struct kube_call *c)
{
    return c->request.method != KUBE_GET;
}

/* --- libcurl's callbacks: nothing may be added or removed in them --- */

static size_t on_write(char *bytes, size_t size, size_t n, void *arg)
{
    struct kube_call *c = arg;
    n *= size;
    if (c->cancelled)
        return 0;
    c->heard_ms = loop_now(c->owner->loop);
    long code = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &code);
    bool fine = code >= 200 && code < 300;
    if (fine && c->request.on_data) {
        if (c->request.on_data(c->request.arg, bytes, n) != 0)
            c->refused = true;
        return c->refused || c->cancelled ? 0 : n;
    }
    size_t room = c->reply.max - c->reply.len;
    if (n > room && fine) {
        c->too_long = true;
        return 0;
    }
    /* Of a refusal the beginning is enough. */
    (void)buf_add(&c->reply, bytes, n > room ? room : n);
    return n;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
    struct kube_call *c = arg;
    size_t left = c->request.body_len - c->body_sent;
    n *= size;
    if (n > left)
        n = left;
    if (n)
        memcpy(to, c->body + c->body_sent, n);
    c->body_sent += n;
    return n;
}

/* libcurl rewinds to resend a request on a new connection when a reused one has died. Before the
   last byte that is safe; after it the server may have acted, and the caller has to know. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct kube_call *c = arg;
    if (offset != 0 || origin != SEEK_SET || c->body_sent >= c->request.body_len)
        return CURL_SEEKFUNC_FAIL;
    c->body_sent = 0;
    return CURL_SEEKFUNC_OK;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)arg;
    unsigned timeout = USER_TIMEOUT_MS;
    if (purpose == CURLSOCKTYPE_IPCXN)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    return CURL_SOCKOPT_OK;
}

/* --- Ending --- */

static void free_call(struct kube_call *c)
{
    struct curl_transport *t = c->owner;
    unlink_call(c);
    timer_cancel(loop_timers(t->loop), &c->timer);
    if (c->easy) {
        (void)curl_multi_remove_handle(loop_multi(t->loop), c->easy);
        if (t->idle_count < IDLE_HANDLES) {
            curl_easy_reset(c->easy);
            t->idle[t->idle_count++] = c->easy;
        } else {
            curl_easy_cleanup(c->easy);
        }
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
static void finish(struct kube_call *c, const struct kube_response *response)
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
    bool ambiguous = is_write(c) && !surely_unsent(c);
    (void)err_set(&r.err, ambiguous ? ERR_AMBIGUOUS : ERR_UNAVAILABLE, "%s: %s", c->owner->server,
                  why);
    finish(c, &r);
}

/* The text of `299 - "text"` with its escapes undone (RFC 7234 section 5.5). */
static void add_warning(struct buf *out, const char *value)
{
    const char *p = strchr(value, '"');
    if (!p || strncmp(value, "299 ", 4) != 0)
        return;
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
        buf_addc(out, *p == '\n' ? ' ' : *p);
    }
    buf_addc(out, '\n');
}

static void read_warnings(CURL *easy, struct buf *out)
{
    struct curl_header *h;
    for (size_t i = 0; curl_easy_header(easy, "Warning", i, CURLH_HEADER, -1, &h) == CURLHE_OK; i++)
        add_warning(out, h->value);
}

/* Within so long nobody sets our clock, it is hoped: a watch takes longer. */
#define DATE_TRUST_US (60 * INT64_C(1000000))

/* The Date of an answer that has just come whole. */
static void read_date(const struct kube_call *c, CURL *easy)
{
    struct curl_transport *t = c->owner;
    struct curl_header *h;
    curl_off_t whole_us = 0, head_us = 0;
    if (!t->o.skew || curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &h) != CURLHE_OK ||
        curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &whole_us) != CURLE_OK ||
        curl_easy_getinfo(easy, CURLINFO_STARTTRANSFER_TIME_T, &head_us) != CURLE_OK ||
        whole_us > DATE_TRUST_US)
        return;
    int64_t now_ms = clock_wall(loop_clock(t->loop)), date_s = curl_getdate(h->value, NULL);
    if (date_s <= 0)
        return;
    skew_learn(t->o.skew, now_ms - whole_us / 1000 - 1, now_ms - (whole_us - head_us) / 1000,
               date_s * 1000);
    skew_tell(t->o.skew, loop_now(t->loop));
}

static void on_transfer(struct loop_transfer *transfer, CURL *easy, CURLcode result)
{
    struct kube_call *c = (struct kube_call *)transfer;
    long code = 0;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    (void)curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    CLEANUP_BUF struct buf warnings = BUF_INIT(WARNINGS_BYTES);
    read_warnings(easy, &warnings);
    struct kube_response r = {.body = "",
                              .retry_after_s = (int64_t)retry_after,
                              .warnings = warnings.len ? warnings.data : NULL};
    if (code == 401)
        kube_token_expire(&c->owner->token);
    if (c->refused) {
        (void)err_set(&r.err, ERR_INVALID, "the stream was refused");
        finish(c, &r);
    } else if (c->too_long) {
        (void)err_set(&r.err, ERR_LIMIT, "the reply is longer than %zu bytes", c->reply.max);
        finish(c, &r);
    } else if (result != CURLE_OK) {
        finish_unanswered(c, *c->error ? c->error : curl_easy_strerror(result));
    } else {
        read_date(c, easy);
        r.code = (int)code;
        r.body = c->reply.data;
        r.body_len = c->reply.len;
        finish(c, &r);
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

static bool set_blob(CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = {
        .data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_NOCOPY};
    return curl_easy_setopt(easy, option, &blob) == CURLE_OK;
}

/* False when this libcurl cannot do what we rely on. */
static bool set_tls(const struct curl_transport *t, CURL *easy)
{
    bool ok = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, t->insecure ? 0L : 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, t->insecure ? 0L : 2L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 60L) == CURLE_OK;
    if (t->ca_pem)
        ok &= set_blob(easy, CURLOPT_CAINFO_BLOB, t->ca_pem);
    else if (t->ca_file)
        ok &= curl_easy_setopt(easy, CURLOPT_CAINFO, t->ca_file) == CURLE_OK;
    if (t->ca_pem || t->ca_file)
        ok &= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    if (t->cert_pem)
        ok &= set_blob(easy, CURLOPT_SSLCERT_BLOB, t->cert_pem);
    else if (t->cert_file)
        ok &= curl_easy_setopt(easy, CURLOPT_SSLCERT, t->cert_file) == CURLE_OK;
    if (t->key_pem)
        ok &= set_blob(easy, CURLOPT_SSLKEY_BLOB, t->key_pem);
    else if (t->key_file)
        ok &= curl_easy_setopt(easy, CURLOPT_SSLKEY, t->key_file) == CURLE_OK;
    return ok;
}

static bool set_connection(const struct curl_transport *t, CURL *easy)
{
    bool ok = curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http") == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CURL_TRANSPORT_CONNECT_MS) ==
          CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_USERAGENT, t->user_agent) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CONNECT_TO, t->connect_to) == CURLE_OK;
    /* As Go's http.ProxyFromEnvironment: loopback is never asked for through a proxy. */
    if (t->proxy || t->loopback)
        ok &= curl_easy_setopt(easy, CURLOPT_PROXY, t->loopback ? "" : t->proxy) == CURLE_OK;
    return ok;
}

static bool append_header(struct kube_call *c, const char *line)
{
    struct curl_slist *more = curl_slist_append(c->headers, line);
    if (more)
        c->headers = more;
    return more != NULL;
}

static bool add_header(struct kube_call *c, const char *name, const char *value)
{
    CLEANUP_FREE char *line = xasprintf("%s: %s", name, value);
    return append_header(c, line);
}

static bool set_headers(struct kube_call *c, CURL *easy)
{
    const char *token = kube_token_current(&c->owner->token);
    bool ok = add_header(c, "Accept", c->accept ? c->accept : "application/json");
    /* An empty one takes back libcurl's own, which is that of HTML forms. */
    ok &= add_header(c, "Content-Type", c->content_type ? c->content_type : "");
    if (token) {
        CLEANUP_FREE char *bearer = xasprintf("Bearer %s", token);
        ok &= add_header(c, "Authorization", bearer);
    }
    for (const char *const *more = c->owner->o.headers; more && *more; more++)
        ok &= append_header(c, *more);
    /* Waiting for "100 Continue" would cost a second where a proxy does not know it. */
    ok &= append_header(c, "Expect:");
    return ok && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->headers) == CURLE_OK;
}

static bool set_body(struct kube_call *c, CURL *easy)
{
    static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    _Static_assert(ARRAY_LEN(verbs) == KUBE_DELETE + 1, "one name for each method");
    bool ok = true;
    if (!is_write(c))
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, verbs[c->request.method]) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->request.body_len) ==
          CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_READDATA, c) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SEEKDATA, c) == CURLE_OK;
    /* Without a body on_seek is never asked; a new connection is never resent on. */
    if (c->request.body_len == 0)
        ok &= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
    return ok;
}

static bool set_call(struct kube_call *c, CURL *easy)
{
    CLEANUP_FREE char *url = xasprintf("%s%s", c->owner->base, c->path);
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)&c->transfer) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->error) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_WRITEDATA, c) == CURLE_OK;
    return ok;
}

static void start(struct kube_call *c)
{
    struct curl_transport *t = c->owner;
    unlink_call(c);
    link_call(c, CALL_RUNNING);
    c->heard_ms = loop_now(t->loop);
    timer_arm(loop_timers(t->loop), &c->timer, due_ms(c));
    CURL *easy = t->idle_count ? t->idle[--t->idle_count] : curl_easy_init();
    bool ok = easy && set_call(c, easy) && set_connection(t, easy) && set_tls(t, easy) &&
              set_body(c, easy) && set_headers(c, easy);
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
        start(c);
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
        finish(c, &r); /* cancelled ones are buried without a word */
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
    bool ok = probe && set_connection(t, probe) && set_tls(t, probe);
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
    struct call_list *lists[] = {&t->waiting, &t->running, &t->ended};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        while (lists[i]->first)
            free_call(lists[i]->first);
    timer_cancel(loop_timers(t->loop), &t->pump);
    while (t->idle_count)
        curl_easy_cleanup(t->idle[--t->idle_count]);
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
