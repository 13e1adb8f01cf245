/*
 * What a client may send to our listener before anybody has looked at it: request lines, headers,
 * bodies, several of them on one connection, cut off anywhere. The first byte chooses where the
 * bytes are cut in two. Beyond not crashing: what the handler gets is whole and bounded, each
 * request is answered once, and when its time is over the connection is gone, whatever was sent.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/server.h"

#define BODY_MAX 65536
#define REQUEST_MS 1000
#define IDLE_MS 5000

static int64_t now_ms = 1000;
static struct timers timers;
static struct server *server;
static struct sockaddr_in place;

static int64_t clock_now(void *arg)
{
    (void)arg;
    return now_ms;
}

static const struct clock the_clock = {clock_now, clock_now, NULL};

static void handle(void *arg, struct server_request *r)
{
    (void)arg;
    /* A path that begins with U+0000 comes as an empty one. */
    assert(r->method && r->path && r->body_len <= BODY_MAX && r->body[r->body_len] == '\0');
    assert(r->began_ms <= now_ms && !r->client_verified);
    size_t known = strlen(r->method) + strlen(r->path) + (r->query ? strlen(r->query) : 0) +
                   (r->content_type ? strlen(r->content_type) : 0);
    server_answer(r, (struct server_answer){.code = known % 2 ? 200 : 404,
                                            .retry_after_s = (unsigned)(r->body_len % 3)});
}

static void open_server(void)
{
    const struct server_config config = {.address = "127.0.0.1",
                                         .max_connections = 8,
                                         .max_requests = 4,
                                         .body_max = BODY_MAX,
                                         .body_total_max = 2 * BODY_MAX,
                                         .request_ms = REQUEST_MS,
                                         .idle_ms = IDLE_MS,
                                         .query = "timeout",
                                         .handle = handle};
    struct err err = {0};
    int status = server_open(&config, &the_clock, &timers, &server, &err);
    assert(status == 0);
    (void)signal(SIGPIPE, SIG_IGN);
    place = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(server_port(server))};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static void turns(unsigned count)
{
    while (count--) {
        server_ready(server);
        (void)timers_run(&timers, now_ms);
    }
}

/* As much as goes without anybody reading the answers. */
static void put(int fd, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        turns(2);
        if (sent <= 0)
            return;
        bytes += sent;
        n -= (size_t)sent;
    }
}

/* libFuzzer's clock interrupts it now and then. */
static int connected(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (fd >= 0 && connect(fd, (struct sockaddr *)&place, sizeof place) < 0 && errno != EISCONN)
        assert(errno == EINTR || errno == EALREADY);
    assert(fd >= 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (!server)
        open_server();
    int fd = connected();
    const struct linger at_once = {1, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    size_t cut = 1 + (size - 1) * data[0] / 255;
    put(fd, data + 1, cut - 1);
    put(fd, data + cut, size - cut);
    turns(8);
    struct server_counts c = server_counts(server);
    assert(c.waiting == 0 && c.connections <= 1 && c.busy <= c.connections);
    if (data[0] % 2)
        (void)shutdown(fd, SHUT_WR);
    /* Neither a request nor a silence lasts longer. */
    for (unsigned i = 0; i < 3; i++) {
        now_ms += IDLE_MS + REQUEST_MS;
        turns(6);
    }
    c = server_counts(server);
    assert(c.connections == 0 && c.busy == 0 && c.waiting == 0);
    close(fd);
    return 0;
}
