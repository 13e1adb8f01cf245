/*
 * wukong-webhook: puts the parts together and runs the loop. What happens to a review is in
 * admission.c, what happens to certificates in certs/bundle.h.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"
#include "certs/keeper.h"
#include "http/server.h"
#include "kube/curl_transport.h"
#include "kube/metrics.h"
#include "loop/loop.h"
#include "webhook/admission_handler.h"
#include "webhook/class_cache.h"
#include "webhook/drain.h"
#include "webhook/metrics.h"
#include "webhook/options.h"

/* Unfinished bodies of all connections together: nine of the largest, thousands of usual ones. */
#define BODY_TOTAL_MAX (64u * MIB)
/* From the accept to the complete request; the API server's own handshake timeout is 10 s too. */
#define REQUEST_MS 10000
/* Go's client keeps idle connections for 90 s (net/http.DefaultTransport); who closes first loses a
   race with the next request, so it shall be the client. */
#define CALLER_IDLE_MS 90000
#define IDLE_MS 120000
_Static_assert(IDLE_MS > CALLER_IDLE_MS, "the caller closes idle connections, not we");
#define PLAIN_CONNECTIONS 32
#define DRAIN_PATIENCE_MS 15000
#define LOG_REPEAT_MS 10000
/* After the webhook is ready its watches begin. */
#define TRIM_MS 2000
#define METRICS_MAX (4u * MIB)

struct webhook {
    struct options options;
    struct loop *loop;
    struct rng rng;
    struct kube_config config;
    struct curl_transport *transport;
    struct clock_skew skew;
    struct kube_client client;
    struct keeper *keeper;
    struct class_cache *class_cache;
    struct admission_handler *admission_handler;
    struct server *tls, *plain;
    struct drain drain;
    struct log_limit failures;
    char *client_ca;
    struct scope scope;
    bool was_ready;
    struct timer trim; /* once, after the start */
};

/* --- Readiness ------------------------------------------------------------------------------- */

static bool is_ready(const struct webhook *w, const char **ret_why_not)
{
    *ret_why_not = "leaving";
    if (w->drain.begun)
        return false;
    *ret_why_not = "the caches are not filled yet";
    if (!class_cache_synced(w->class_cache))
        return false;
    *ret_why_not = "the key of admission stamps is not known yet";
    if (!keeper_stamp_key(w->keeper))
        return false;
    return keeper_ready(w->keeper, ret_why_not);
}

static void on_turned(void *arg)
{
    struct webhook *w = arg;
    const char *why_not = NULL;
    if (!w->keeper || !w->class_cache)
        return;
    bool ready = is_ready(w, &why_not);
    if (ready != w->was_ready)
        log_event(LOG_INFO, ready ? "ready" : "not ready", LOG_S("why", why_not));
    w->was_ready = ready;
    if (ready && w->trim.fire && !timer_armed(&w->trim))
        timer_arm(loop_timers(w->loop), &w->trim, loop_now(w->loop) + TRIM_MS);
}

static void on_trim(void *arg)
{
    struct webhook *w = arg;
    w->trim.fire = NULL;
    mem_trim();
}

static void on_failed(void *arg, const char *what, const struct err *err)
{
    struct webhook *w = arg;
    if (log_limited(&w->failures, loop_now(w->loop), LOG_REPEAT_MS))
        log_event(LOG_WARN, "failed, will try again", LOG_S("what", what),
                  LOG_S("error", err->message), LOG_S("kind", err_kind_name(err->kind)));
}

static void use_certificate(void *arg, const struct keypair *leaf)
{
    struct webhook *w = arg;
    struct err err = {0};
    if (server_use_certificate(w->tls, leaf->cert, leaf->key, &err) < 0)
        log_event(LOG_ERROR, "certificate not usable", LOG_S("error", err.message));
    else
        log_event(LOG_INFO, "serving certificate replaced");
}

/* --- The plain port -------------------------------------------------------------------------- */

static void answer_metrics(struct webhook *w, struct server_request *request)
{
    const char *why_not = NULL;
    struct server_counts counts = server_counts(w->tls);
    webhook_set_gauges(&counts, (double)keeper_leaf_expiry_ms(w->keeper) / 1000,
                       (double)keeper_ca_expiry_ms(w->keeper) / 1000, is_ready(w, &why_not));
    webhook_set_starts((double)keeper_leaf_start_ms(w->keeper) / 1000,
                       (double)keeper_ca_start_ms(w->keeper) / 1000);
    class_cache_refresh_metrics(w->class_cache);
    kube_metrics_skew(&w->skew);
    CLEANUP_BUF struct buf out = BUF_INIT(METRICS_MAX);
    metric_write_all(&out);
    size_t len = out.len;
    server_answer(request, (struct server_answer){.code = 200,
                                                  .content_type = "text/plain; version=0.0.4",
                                                  .body = buf_take(&out),
                                                  .len = len});
}

static void on_plain(void *arg, struct server_request *request)
{
    struct webhook *w = arg;
    if (str_eq(request->path, "/metrics")) {
        answer_metrics(w, request);
        return;
    }
    struct server_answer a = {.code = 404, .body = xstrdup("not found\n")};
    const char *why_not = NULL;
    if (str_eq(request->path, "/healthz") || str_eq(request->path, "/readyz")) {
        bool ok = str_eq(request->path, "/healthz") || is_ready(w, &why_not);
        free(a.body);
        a.code = ok ? 200 : 503;
        a.body = ok ? xstrdup("ok\n") : xasprintf("%s\n", why_not);
    }
    a.len = strlen(a.body);
    server_answer(request, a);
}

/* --- The TLS port ---------------------------------------------------------------------------- */

static void on_review(void *arg, struct server_request *request)
{
    struct webhook *w = arg;
    admission_handler_handle(w->admission_handler, request);
}

static void on_handshake(void *arg)
{
    struct webhook *w = arg;
    keeper_before_handshake(w->keeper);
}

static void on_server_ready(void *arg, short revents)
{
    (void)revents;
    server_ready(arg);
}

static int open_server(struct webhook *w, bool tls, struct server **ret, struct err *err)
{
    const struct options *o = &w->options;
    struct server_config c = {
        .address = tls ? o->listen_address : o->metrics_address,
        .port = (uint16_t)(tls ? o->listen_port : o->metrics_port),
        .tls = tls,
        .tls13_only = str_eq(o->tls_min, "1.3"),
        .client_ca = tls ? w->client_ca : NULL,
        .client_names = o->client_names,
        .max_connections = tls ? (unsigned)o->max_connections : PLAIN_CONNECTIONS,
        .max_requests = tls ? (unsigned)o->max_requests : PLAIN_CONNECTIONS,
        .body_max = tls ? LIMIT_REVIEW_BYTES : KIB,
        .body_total_max = BODY_TOTAL_MAX,
        .request_ms = REQUEST_MS,
        .idle_ms = IDLE_MS,
        .query = "timeout",
        .handle = tls ? on_review : on_plain,
        .before_handshake = tls ? on_handshake : NULL,
        .arg = w,
    };
    if (server_open(&c, loop_clock(w->loop), loop_timers(w->loop), ret, err) < 0)
        return -1;
    return loop_add_fd(w->loop, server_fd(*ret), POLLIN, on_server_ready, *ret, err);
}

/* --- Start and end --------------------------------------------------------------------------- */

static void on_drained(void *arg)
{
    struct webhook *w = arg;
    struct server_counts counts = server_counts(w->tls);
    log_event(LOG_INFO, "drained", LOG_I("connections", counts.connections),
              LOG_I("busy", counts.busy), LOG_I("waiting", counts.waiting),
              LOG_I("timed_out", counts.timed_out));
    loop_stop(w->loop);
}

static void on_signal(void *arg, int signo)
{
    struct webhook *w = arg;
    log_event(LOG_INFO, "leaving", LOG_I("signal", signo));
    drain_begin(&w->drain);
    on_turned(w);
}

static int connect_api(struct webhook *w, struct err *err)
{
    struct kube_config_choice choice = {.path = w->options.kubeconfig};
    if (kube_config_load(&choice, &w->config, err) < 0)
        return err_wrap(err, "the API server's address and our identity");
    struct curl_transport_options o = {.loop = w->loop,
                                       .config = &w->config,
                                       .user_agent = "wukong-webhook/" WUKONG_VERSION,
                                       .skew = &w->skew,
                                       .observe = kube_metrics_observe};
    if (curl_transport_new(&o, &w->transport, err) < 0)
        return -1;
    w->client = (struct kube_client){.transport = curl_transport_face(w->transport),
                                     .clock = loop_clock(w->loop),
                                     .timers = loop_timers(w->loop),
                                     .field_manager = "wukong-webhook"};
    return 0;
}

static void make_parts(struct webhook *w)
{
    const struct options *o = &w->options;
    enum keeper_mode mode = KEEPER_SELF_SIGNED;
    for (int i = 0; i < KEEPER_MODES; i++)
        if (str_eq(o->cert_mode, keeper_mode_names[i]))
            mode = (enum keeper_mode)i;
    struct keeper_options k = {.client = &w->client,
                               .rng = &w->rng,
                               .mode = mode,
                               .cert_dir = o->cert_dir,
                               .ns = o->ns,
                               .service = o->service,
                               .ca_secret = o->ca_secret,
                               .mutating_config = o->mutating_config,
                               .validating_config = o->validating_config,
                               .stamp_configmap = o->stamp_configmap,
                               .ca_life_ms = o->ca_life_ms,
                               .leaf_life_ms = o->leaf_life_ms,
                               .settle_ms = o->settle_ms,
                               .use = use_certificate,
                               .turned = on_turned,
                               .failed = on_failed,
                               .arg = w};
    timer_init(&w->trim, on_trim, w);
    w->keeper = keeper_new(&k);
    struct class_cache_options f = {
        .client = &w->client, .rng = &w->rng, .turned = on_turned, .failed = on_failed, .arg = w};
    w->class_cache = class_cache_new(&f);
    struct admission_handler_options r = {.client = &w->client,
                                          .class_cache = w->class_cache,
                                          .keeper = w->keeper,
                                          .scope = &w->scope,
                                          .skew = &w->skew,
                                          .no_cross_namespace = o->no_cross_namespace,
                                          .client_required = w->client_ca != NULL};
    w->admission_handler = admission_handler_new(&r);
    w->drain = (struct drain){.server = w->tls,
                              .clock = loop_clock(w->loop),
                              .timers = loop_timers(w->loop),
                              .delay_ms = o->drain_ms,
                              .patience_ms = DRAIN_PATIENCE_MS,
                              .done = on_drained,
                              .arg = w};
}

static int read_client_ca(struct webhook *w, struct err *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_PEM_BYTES);
    if (!w->options.client_ca)
        return 0;
    if (buf_read_file(&text, w->options.client_ca, err) < 0)
        return err_wrap(err, "--client-ca %s", w->options.client_ca);
    if (authority_bundle_count(text.data) < 1)
        return err_set(err, ERR_INVALID, "--client-ca %s: no certificate in it",
                       w->options.client_ca);
    w->client_ca = buf_take(&text);
    return 0;
}

static int start_webhook(struct webhook *w, struct err *err)
{
    rng_seed_system(&w->rng);
    webhook_metrics_register();
    kube_metrics_register();
    if (scope_parse(w->options.watch_namespaces, &w->scope, err) < 0 ||
        loop_new(&clock_system, &w->loop, err) < 0 || read_client_ca(w, err) < 0 ||
        connect_api(w, err) < 0 || open_server(w, true, &w->tls, err) < 0)
        return -1;
    make_parts(w);
    if (open_server(w, false, &w->plain, err) < 0 ||
        loop_on_signal(w->loop, SIGTERM, on_signal, w, err) < 0 ||
        loop_on_signal(w->loop, SIGINT, on_signal, w, err) < 0)
        return -1;
    keeper_start(w->keeper);
    class_cache_start(w->class_cache);
    log_event(LOG_INFO, "started", LOG_S("version", WUKONG_VERSION),
              LOG_I("port", server_port(w->tls)), LOG_S("certificates", w->options.cert_mode));
    return 0;
}

static void stop(struct webhook *w)
{
    server_close(w->plain);
    server_close(w->tls);
    admission_handler_free(w->admission_handler);
    class_cache_free(w->class_cache);
    keeper_free(w->keeper);
    curl_transport_free(w->transport);
    kube_config_release(&w->config);
    loop_free(w->loop);
    free(w->client_ca);
    scope_release(&w->scope);
}

int main(int argc, char **argv)
{
    struct webhook w = {0};
    struct err err = {0};
    if (options_read(argc, argv, &w.options, &err) < 0) {
        fprintf(stderr, "wukong-webhook: %s\n", err.message);
        return 2;
    }
    if (w.options.help || w.options.version) {
        w.options.help ? options_help() : (void)puts("wukong-webhook " WUKONG_VERSION);
        return 0;
    }
    int level = log_level_parse(w.options.log_level);
    log_level_set(level < 0 ? LOG_INFO : (enum log_level)level);
    int status = 0;
    if (start_webhook(&w, &err) < 0) {
        log_event(LOG_ERROR, "cannot start", LOG_S("error", err.message));
        status = 1;
    } else {
        loop_run(w.loop);
        log_event(LOG_INFO, "stopped");
    }
    stop(&w);
    return status;
}
