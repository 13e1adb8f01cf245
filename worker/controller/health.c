#include "controller/health.h"

#include <poll.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"
#include "http/server.h"

#define METRICS_BYTES_MAX (4u * MIB)

struct health {
    struct loop *loop;
    struct server *server;
    bool (*ready)(void *arg, struct buf *why_not);
    void (*refresh)(void *arg);
    void *arg;
};

static void answer_text(struct server_request *r, int code, char *text)
{
    server_answer(r, (struct server_answer){.code = code, .body = text, .len = strlen(text)});
}

static void handle(void *arg, struct server_request *r)
{
    struct health *h = arg;
    if (str_eq(r->path, "/healthz")) {
        answer_text(r, 200, xstrdup("ok\n"));
    } else if (str_eq(r->path, "/readyz")) {
        CLEANUP_BUF struct buf why_not = BUF_INIT(KIB);
        bool ready = h->ready(h->arg, &why_not);
        answer_text(r, ready ? 200 : 503, xasprintf("%s\n", ready ? "ok" : why_not.data));
    } else if (str_eq(r->path, "/metrics")) {
        CLEANUP_BUF struct buf out = BUF_INIT(METRICS_BYTES_MAX);
        h->refresh(h->arg);
        metric_write_all(&out);
        size_t len = out.len;
        server_answer(r, (struct server_answer){.code = 200,
                                                .content_type = "text/plain; version=0.0.4",
                                                .body = buf_take(&out),
                                                .len = len});
    } else {
        answer_text(r, 404, xstrdup("there are /healthz, /readyz and /metrics\n"));
    }
}

static void readable(void *arg, short revents)
{
    struct health *h = arg;
    (void)revents;
    server_ready(h->server);
}

int health_start(struct loop *loop, const char *address, unsigned short port,
                 bool (*ready)(void *arg, struct buf *why_not), void (*refresh)(void *arg),
                 void *arg, struct health **ret, struct err *err)
{
    struct health *h = xcalloc(1, sizeof *h);
    *h = (struct health){.loop = loop, .ready = ready, .refresh = refresh, .arg = arg};
    struct server_config config = {
        .address = address,
        .port = port,
        .max_connections = 32,
        .max_requests = 32,
        .body_max = 4 * KIB,
        .body_total_max = 64 * KIB,
        .request_ms = 10000,
        .idle_ms = 120000,
        .handle = handle,
        .arg = h,
    };
    if (server_open(&config, loop_clock(loop), loop_timers(loop), &h->server, err) < 0 ||
        loop_add_fd(loop, server_fd(h->server), POLLIN, readable, h, err) < 0) {
        server_close(h->server);
        free(h);
        return -1;
    }
    *ret = h;
    return 0;
}

void health_stop(struct health *h)
{
    if (!h)
        return;
    loop_remove_fd(h->loop, server_fd(h->server));
    server_close(h->server);
    free(h);
}
