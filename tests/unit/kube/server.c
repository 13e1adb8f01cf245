#include "server.h"

#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"

/* The loop's descriptors: the listener, and these. */
#define CONNECTIONS_MAX 12

struct connection {
    struct test_server *owner;
    int fd; /* -1: free */
    unsigned number;
    struct buf in;
};

struct test_server {
    struct loop *loop;
    int fd;
    unsigned port, accepted;
    void (*handle)(void *arg, const struct served *r);
    void *arg;
    struct connection connections[CONNECTIONS_MAX];
    struct served served[SERVED_MAX];
    size_t count;
};

static struct connection *find(struct test_server *s, unsigned number)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (s->connections[i].fd >= 0 && s->connections[i].number == number)
            return &s->connections[i];
    return NULL;
}

static void close_connection(struct connection *c)
{
    loop_remove_fd(c->owner->loop, c->fd);
    close(c->fd);
    c->fd = -1;
    buf_release(&c->in);
}

void server_send(struct test_server *s, unsigned number, const char *bytes)
{
    struct connection *c = find(s, number);
    size_t n = strlen(bytes);
    if (c) /* small enough for any socket buffer */
        assert_int_equal(send(c->fd, bytes, n, MSG_NOSIGNAL), n);
}

void server_reply(struct test_server *s, unsigned number, int code, const char *extra,
                  const char *body)
{
    CLEANUP_FREE char *text =
        xasprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n"
                  "%s",
                  code, strlen(body), extra ? extra : "", body);
    server_send(s, number, text);
}

void server_close_connection(struct test_server *s, unsigned number)
{
    struct connection *c = find(s, number);
    if (c)
        close_connection(c);
}

void server_reset_connection(struct test_server *s, unsigned number)
{
    struct connection *c = find(s, number);
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (!c)
        return;
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close_connection(c);
}

static size_t body_length(const char *head)
{
    const char *at = strcasestr(head, "\r\nContent-Length:");
    assert_null(strcasestr(head, "\r\nTransfer-Encoding:"));
    return at ? strtoul(at + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

/* True when a whole request was there. */
static bool take_request(struct connection *c)
{
    struct test_server *s = c->owner;
    const char *end = strstr(c->in.data, "\r\n\r\n");
    if (!end)
        return false;
    size_t head = (size_t)(end - c->in.data) + 2;
    CLEANUP_FREE char *copy = xstrndup(c->in.data, head);
    size_t body = body_length(copy);
    if (c->in.len < head + 2 + body)
        return false;
    assert_true(s->count < SERVED_MAX);
    struct served *r = &s->served[s->count++];
    assert_true(head < sizeof r->head && body < sizeof r->body);
    char version[16];
    assert_int_equal(sscanf(copy, "%15s %1023s %15s\r\n", r->method, r->path, version), 3);
    assert_string_equal(version, "HTTP/1.1");
    snprintf(r->head, sizeof r->head, "%s", copy);
    snprintf(r->body, sizeof r->body, "%.*s", (int)body, end + 4);
    r->connection = c->number;
    buf_consume(&c->in, head + 2 + body);
    s->handle(s->arg, r);
    return true;
}

static void on_readable(void *arg, short revents)
{
    struct connection *c = arg;
    char bytes[4096];
    (void)revents;
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close_connection(c);
        return;
    }
    assert_true(buf_add(&c->in, bytes, (size_t)n));
    while (c->fd >= 0 && take_request(c))
        ;
}

static void on_connection(void *arg, short revents)
{
    struct test_server *s = arg;
    struct err err = {0};
    (void)revents;
    int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    size_t i = 0;
    while (i < CONNECTIONS_MAX && s->connections[i].fd >= 0)
        i++;
    assert_true(i < CONNECTIONS_MAX);
    struct connection *c = &s->connections[i];
    c->fd = fd;
    c->number = ++s->accepted;
    buf_init(&c->in, 64 * KIB);
    assert_int_equal(loop_add_fd(s->loop, fd, POLLIN, on_readable, c, &err), 0);
}

struct test_server *server_new(struct loop *l, void (*handle)(void *arg, const struct served *r),
                               void *arg)
{
    struct test_server *s = xcalloc(1, sizeof *s);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    struct err err = {0};
    s->loop = l;
    s->handle = handle;
    s->arg = arg;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        s->connections[i] = (struct connection){.owner = s, .fd = -1};
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&address, &n), 0);
    s->port = ntohs(address.sin_port);
    assert_int_equal(loop_add_fd(l, s->fd, POLLIN, on_connection, s, &err), 0);
    return s;
}

void server_free(struct test_server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (s->connections[i].fd >= 0)
            close_connection(&s->connections[i]);
    loop_remove_fd(s->loop, s->fd);
    close(s->fd);
    free(s);
}

unsigned server_port_of(const struct test_server *s)
{
    return s->port;
}

size_t server_count(const struct test_server *s)
{
    return s->count;
}

const struct served *server_request_at(const struct test_server *s, size_t i)
{
    assert_true(i < s->count);
    return &s->served[i];
}

unsigned server_connections(const struct test_server *s)
{
    return s->accepted;
}

unsigned server_open_connections(const struct test_server *s)
{
    unsigned n = 0;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        n += s->connections[i].fd >= 0;
    return n;
}
