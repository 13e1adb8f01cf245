#include "controller/health.h"

#include <poll.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"
#include "controller/dump.h"
#include "http/server.h"

#define METRICS_BYTES_MAX (4u * MIB)

struct health {
    struct health_options o;
    struct server *server;
};

static void answer_text(struct server_request *r, int code, char *text)
{
    server_answer(r, (struct server_answer){.code = code, .body = text, .len = strlen(text)});
}

static void answer_dump(struct health *h, struct server_request *r)
{
    CLEANUP_BUF struct buf out = BUF_INIT(DUMP_MAX);
    if (!h->o.dump(h->o.arg, r->query, &out)) {
        answer_text(
            r, buf_ok(&out) ? 404 : 500,
            xasprintf("%s\n", buf_ok(&out)
                                  ? "the worker knows no such Wukong: ask with ?name=NAMESPACE/NAME"
                                  : "the dump of this Wukong is too large"));
        return;
    }
    size_t len = out.len;
    server_answer(r, (struct server_answer){.code = 200,
                                            .content_type = "application/json",
                                            .body = buf_take(&out),
                                            .len = len});
}

static void handle(void *arg, struct server_request *r)
{
    struct health *h = arg;
    if (str_eq(r->path, "/healthz")) {
        answer_text(r, 200, xstrdup("ok\n"));
    } else if (str_eq(r->path, "/readyz")) {
        CLEANUP_BUF struct buf why_not = BUF_INIT(KIB);
        bool ready = h->o.ready(h->o.arg, &why_not);
        answer_text(r, ready ? 200 : 503, xasprintf("%s\n", ready ? "ok" : why_not.data));
    } else if (str_eq(r->path, "/metrics")) {
        CLEANUP_BUF struct buf out = BUF_INIT(METRICS_BYTES_MAX);
        h->o.refresh(h->o.arg);
        metric_write_all(&out);
        size_t len = out.len;
        server_answer(r, (struct server_answer){.code = 200,
                                                .content_type = "text/plain; version=0.0.4",
                                                .body = buf_take(&out),
                                                .len = len});
    } else if (h->o.dump && str_eq(r->path, "/debug/clones")) {
        answer_dump(h, r);
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

int health_start(const struct health_options *options, struct health **ret, struct err *err)
{
    struct loop *loop = options->loop;
    struct health *h = xcalloc(1, sizeof *h);
    h->o = *options;
    struct server_config config = {
        .address = options->address,
        .port = options->port,
        .max_connections = 32,
        .max_requests = 32,
        .body_max = 4 * KIB,
        .body_total_max = 64 * KIB,
        .query = "name",
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
    loop_remove_fd(h->o.loop, server_fd(h->server));
    server_close(h->server);
    free(h);
}
