#include "http/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/connections.h"
#include "http/server_tls.h"

/* One connection's memory pool: request line and headers must fit, or MHD answers 431/414. The API
   server sends less than 1 KiB of them. */
#define CONNECTION_POOL_BYTES (16u * KIB)
/* What the kernel keeps of answers that a client does not read, for each connection. Left to itself
   it grows to megabytes (net.ipv4.tcp_wmem), and only when it is full is a deaf client noticed. */
#define SEND_BUFFER_BYTES (64 * 1024)
/* Of the time that a caller has waited for its connection at most this counts as its request's:
   Go's client may have opened it for another request, which then found one that was free. */
#define CONNECT_MS_MAX 1000
/* Connections that were told to end but whose end MHD has not processed yet. */
#define CONNECTION_SLACK 64u
/* MHD asks to be run again at once for as long as a TLS handshake is unfinished, however long the
   peer is silent. A few such turns are granted (data may wait inside GnuTLS), then the pauses grow
   up to PUMP_PAUSE_MAX_MS; whatever really arrives wakes the epoll descriptor anyway. */
#define PUMP_FREE_TURNS 8u
#define PUMP_PAUSE_MAX_MS 50

struct request {
    struct server_request public; /* first: server_answer gets a pointer to it */
    struct server *server;
    struct connection *connection;
    struct buf body;
    size_t charged;
    bool too_large, shed, handed, answered, suspended, queued;
    struct server_answer answer;
};

struct server {
    struct server_config config;
    const struct clock *clock;
    struct timers *timers;
    struct MHD_Daemon *daemon;
    struct server_tls *tls;
    struct timer pump;
    unsigned turns;
    int epoll_fd, listen_fd;
    bool draining, running;
    size_t body_total;
    struct connections connections;
    unsigned waiting; /* requests handed to handle() and not answered yet */
    uint64_t shed, refused;
};

/* --- Connections ----------------------------------------------------------------------------- */

static void pump_soon(struct server *s, int64_t after_ms)
{
    timer_arm(s->timers, &s->pump, clock_mono(s->clock) + after_ms);
}

static void uncharge(struct request *r)
{
    r->server->body_total -= r->charged;
    r->charged = 0;
}

static void request_free(struct request *r)
{
    assert(r->answered || !r->handed);
    uncharge(r);
    buf_release(&r->body);
    if (!r->queued)
        free(r->answer.body);
    r->connection->request = NULL;
    free(r);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *s = arg;
    struct connection *c = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = connection_open(&s->connections, mhd);
        connection_limit(c, s->config.request_ms);
        *context = c;
        return;
    }
    if (!c)
        return;
    /* MHD completes only what reached the handler; headers that were cut off did not. */
    if (c->request)
        request_free(c->request);
    connection_close(c);
    *context = NULL;
}

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* --- Requests -------------------------------------------------------------------------------- */

/* The request line has been read. The first request's time runs from the accept. */
static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *mhd)
{
    (void)uri;
    struct server *s = arg;
    struct connection *c = connection_of(mhd);
    struct request *r = xcalloc(1, sizeof *r);
    if (c->request)
        request_free(c->request);
    c->request = r;
    r->server = s;
    r->connection = c;
    buf_init(&r->body, s->config.body_max);
    if (c->state == CONNECTION_IDLE) {
        c->began_ms = clock_mono(s->clock);
        connection_limit(c, connections_crowded(&s->connections) ? SLOW_REQUEST_MS
                                                                 : s->config.request_ms);
        connection_enter(c, CONNECTION_READING);
    }
    int64_t now_ms = clock_mono(s->clock), earliest_ms = now_ms - CONNECT_MS_MAX;
    r->public.began_ms = c->state != CONNECTION_FRESH ? now_ms
                         : c->began_ms > earliest_ms  ? c->began_ms
                                                      : earliest_ms;
    return r;
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
    (void)code;
    struct server *s = arg;
    struct request *r = *context;
    struct connection *c = connection_of(mhd);
    if (!r)
        return;
    request_free(r);
    *context = NULL;
    connection_enter(c, CONNECTION_IDLE);
    connection_limit(c, s->config.idle_ms);
}

static enum MHD_Result queue_answer(struct MHD_Connection *mhd, struct request *r)
{
    struct server *s = r->server;
    struct server_answer *a = &r->answer;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(a->len, a->body ? a->body : (char *)"",
                                        a->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    r->queued = true;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  a->content_type ? a->content_type : "text/plain; charset=utf-8");
    if (a->retry_after_s) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", a->retry_after_s);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    if (s->draining)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(mhd, (unsigned)a->code, response);
    MHD_destroy_response(response);
    connection_enter(r->connection, CONNECTION_WRITING);
    connection_limit(r->connection, s->config.request_ms);
    return result;
}

static void set_text(struct request *r, int code, const char *text, unsigned retry_after_s)
{
    struct server_answer a = {.code = code, .body = xasprintf("%s\n", text)};
    a.len = strlen(a.body);
    a.retry_after_s = retry_after_s;
    r->answer = a;
    r->answered = true;
}

void server_answer(struct server_request *request, struct server_answer answer)
{
    struct request *r = (struct request *)request;
    struct server *s = r->server;
    assert(!r->answered);
    assert(r->handed);
    r->answer = answer;
    r->answered = true;
    s->waiting--;
    if (r->suspended) {
        r->suspended = false;
        MHD_resume_connection(r->connection->mhd);
        pump_soon(s, 0);
    }
}

/* The body is complete: hand it over, and sleep unless the answer is there at once. */
static enum MHD_Result finish_request(struct server *s, struct MHD_Connection *mhd,
                                      struct request *r)
{
    struct connection *c = r->connection;
    if (r->too_large) {
        s->refused++;
        set_text(r, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large", 0);
    } else if (r->shed || s->waiting >= s->config.max_requests) {
        s->shed++;
        set_text(r, MHD_HTTP_TOO_MANY_REQUESTS, "too many requests at once, try again", 1);
    }
    if (r->answered)
        return queue_answer(mhd, r);
    connection_release_limit(c);
    connection_enter(c, CONNECTION_WAITING);
    r->public.body = r->body.data;
    r->public.body_len = r->body.len;
    if (s->config.query)
        r->public.query = MHD_lookup_connection_value(mhd, MHD_GET_ARGUMENT_KIND, s->config.query);
    r->public.content_type =
        MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    r->public.client_verified =
        s->config.client_ca && server_tls_client_ok(mhd, s->config.client_names);
    r->handed = true;
    s->waiting++;
    s->config.handle(s->config.arg, &r->public);
    if (r->answered)
        return queue_answer(mhd, r);
    r->suspended = true;
    MHD_suspend_connection(mhd);
    return MHD_YES;
}

/* First call of a request: headers are known, no byte of the body yet. */
static enum MHD_Result begin_request(struct server *s, struct MHD_Connection *mhd,
                                     struct request *r, const char *method, const char *url)
{
    r->public.method = method;
    r->public.path = url;
    const char *length =
        MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t bytes = 0;
    bool chunked =
        MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    if (chunked) {
        /* Go's client sends a Content-Length with every body that it holds in memory. */
        s->refused++;
        set_text(r, MHD_HTTP_LENGTH_REQUIRED, "a Content-Length is required", 0);
    } else if (length && (!str_to_u64(length, &bytes) || bytes > s->config.body_max)) {
        s->refused++;
        set_text(r, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large", 0);
    }
    /* An answer before the body ends the connection, which is what such a client deserves. */
    return r->answered ? queue_answer(mhd, r) : MHD_YES;
}

static void take_body(struct server *s, struct request *r, const char *bytes, size_t n)
{
    /* A body that goes on is no stalled handshake: MHD hands over some KiB in each turn, and a
       pause between those would make seconds of a MiB. */
    s->turns = 0;
    if (r->too_large || r->shed)
        return;
    if (s->body_total + n > s->config.body_total_max) {
        r->shed = true;
    } else if (!buf_add(&r->body, bytes, n)) {
        r->too_large = true;
    } else {
        s->body_total += n;
        r->charged += n;
        return;
    }
    uncharge(r);
    buf_release(&r->body);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    (void)version;
    struct server *s = arg;
    struct request *r = *context;
    if (!r->public.method)
        return begin_request(s, mhd, r, method, url);
    if (*upload_len) {
        take_body(s, r, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    /* The second visit, after the connection was woken. */
    if (r->answered)
        return queue_answer(mhd, r);
    return finish_request(s, mhd, r);
}

/* --- Life cycle ------------------------------------------------------------------------------ */

static void turn_server(struct server *s)
{
    assert(!s->running);
    s->running = true;
    MHD_run(s->daemon);
    s->running = false;
    MHD_UNSIGNED_LONG_LONG wait = 0;
    if (MHD_get_timeout(s->daemon, &wait) != MHD_YES) {
        s->turns = 0;
        return;
    }
    int64_t pause = (int64_t)wait;
    if (wait == 0 && ++s->turns > PUMP_FREE_TURNS)
        pause = s->turns - PUMP_FREE_TURNS;
    if (wait == 0 && pause > PUMP_PAUSE_MAX_MS)
        pause = PUMP_PAUSE_MAX_MS;
    pump_soon(s, pause);
}

static void on_pump(void *arg)
{
    turn_server(arg);
}

void server_ready(struct server *s)
{
    s->turns = 0;
    turn_server(s);
}

int server_fd(const struct server *s)
{
    return s->epoll_fd;
}

static int listen_at(const char *address, uint16_t port, struct err *err)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    bool is_v6 = inet_pton(AF_INET6, address, &v6->sin6_addr) == 1;
    if (is_v6) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
    } else if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
    } else {
        return err_set(err, ERR_INVALID, "listen address %s is no IP address", address);
    }
    int on = 1, off = 0, send_bytes = SEND_BUFFER_BYTES;
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd >= 0) /* accepted connections inherit it */
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
    if (fd >= 0 && is_v6) /* "::" serves IPv4 too, as dual-stack Services need */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    socklen_t len = is_v6 ? sizeof *v6 : sizeof *v4;
    if (fd < 0 || bind(fd, (struct sockaddr *)&storage, len) < 0 || listen(fd, 512) < 0) {
        if (fd >= 0)
            close(fd);
        return err_set(err, ERR_INTERNAL, "cannot listen on %s port %u: %m", address,
                       (unsigned)port);
    }
    return fd;
}

/* "::" serves IPv4 too; where the machine has no IPv6, or has it switched off, only that is left.
 */
static int listen_on(const struct server_config *c, struct err *err)
{
    struct err without_v6 = {0};
    if (!str_eq(c->address, SERVER_ANY))
        return listen_at(c->address, c->port, err);
    int fd = listen_at("::", c->port, &without_v6);
    return fd >= 0 ? fd : listen_at("0.0.0.0", c->port, err);
}

static struct MHD_Daemon *start_daemon(struct server *s)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (s->config.tls ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, s->listen_fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(s->config.max_connections + CONNECTION_SLACK),
         NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_POOL_BYTES, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL}, /* inactivity; the deadlines are ours */
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, s},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, s},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_request_line, s},
        {MHD_OPTION_END, 0, NULL}, /* the rest is for TLS */
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    size_t at = ARRAY_LEN(options) - 4;
    if (s->config.tls) {
        options[at++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK2, 0,
                                                (void *)server_tls_callback};
        options[at++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
                                    (void *)(s->config.tls13_only ? SERVER_TLS_13 : SERVER_TLS_12)};
        if (s->config.client_ca)
            options[at++] =
                (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, (void *)s->config.client_ca};
    }
    assert(at < ARRAY_LEN(options));
    return MHD_start_daemon(flags, s->config.port, NULL, NULL, on_request, s, MHD_OPTION_ARRAY,
                            options, MHD_OPTION_END);
}

int server_open(const struct server_config *config, const struct clock *clock,
                struct timers *timers, struct server **ret, struct err *err)
{
    assert(config->handle);
    assert(config->max_connections > 0);
    int fd = listen_on(config, err);
    if (fd < 0)
        return -1;
    struct server *s = xcalloc(1, sizeof *s);
    s->config = *config;
    s->clock = clock;
    s->timers = timers;
    s->listen_fd = fd;
    timer_init(&s->pump, on_pump, s);
    s->connections = (struct connections){
        .clock = clock, .timers = timers, .pump = &s->pump, .max = config->max_connections};
    if (config->tls)
        s->tls = server_tls_new(clock, config->before_handshake, config->arg);
    s->daemon = start_daemon(s);
    if (!s->daemon) {
        close(fd);
        server_tls_free(s->tls);
        free(s);
        return err_set(err, ERR_INTERNAL, "cannot start the listener on port %u",
                       (unsigned)config->port);
    }
    s->epoll_fd = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    *ret = s;
    return 0;
}

void server_close(struct server *s)
{
    if (!s)
        return;
    /* MHD forbids stopping while connections sleep; main() waits for answers before it comes here,
       so what is left belongs to a process that is dying anyway. */
    if (s->waiting == 0)
        MHD_stop_daemon(s->daemon);
    timer_cancel(s->timers, &s->pump);
    server_tls_free(s->tls);
    free(s);
}

uint16_t server_port(const struct server *s)
{
    struct sockaddr_storage storage = {0};
    socklen_t len = sizeof storage;
    if (getsockname(s->listen_fd, (struct sockaddr *)&storage, &len) < 0)
        return 0;
    return ntohs(storage.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&storage)->sin6_port
                                               : ((struct sockaddr_in *)&storage)->sin_port);
}

int server_use_certificate(struct server *s, const char *cert, const char *key, struct err *err)
{
    assert(s->tls);
    return server_tls_use(s->tls, cert, key, err);
}

void server_drain(struct server *s)
{
    s->draining = true;
}

void server_stop_listening(struct server *s)
{
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

struct server_counts server_counts(const struct server *s)
{
    return (struct server_counts){.connections = s->connections.count,
                                  .busy = s->connections.busy,
                                  .waiting = s->waiting,
                                  .timed_out = s->connections.timed_out,
                                  .evicted = s->connections.evicted,
                                  .shed = s->shed,
                                  .refused = s->refused};
}
