/*
 * wukong-worker: picks up admitted Wukongs and runs the clone pipeline. One process, one loop; of
 * several replicas the one that holds the Lease works.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"
#include "clones/metrics.h"
#include "controller/explain.h"
#include "controller/health.h"
#include "controller/worker.h"
#include "http/server.h"
#include "json/node_pool.h"
#include "kube/config.h"
#include "kube/curl_transport.h"
#include "kube/metrics.h"
#include "loop/loop.h"

struct options {
    const char *explain;
    const char *kubeconfig, *ns, *lease, *metrics_address, *stamp_configmap;
    char *debug_address; /* NULL: not served */
    uint64_t debug_port, metrics_port, max_in_flight, max_frozen, unfreeze_timeout_s;
    struct scope scope;
    bool cross_namespace;
};

struct program {
    struct loop *loop;
    struct worker *worker;
    struct clock_skew skew;
    int status;
    bool ending;
};

static void print_worker_usage(FILE *out)
{
    (void)fprintf(
        out, "usage: wukong-worker [OPTION]…\n"
             "  --kubeconfig FILE       default: the Pod's ServiceAccount\n"
             "  --namespace NS          of the Lease and the stamp's ConfigMap (wukong-system)\n"
             "  --lease NAME            leader election (wukong-worker); \"\" runs without\n"
             "  --metrics-address IP    where the next one is served (*: all, IPv6 and IPv4)\n"
             "  --metrics-port N        /metrics, /healthz, /readyz (8082; 0: none)\n"
             "  --debug-listen IP:PORT  /debug/clones, which shows what clones are made of (off)\n"
             "  --stamp-configmap NAME  public key of the webhook's stamps (wukong-stamp)\n"
             "  --max-in-flight N       clones at once (50)\n"
             "  --max-frozen N          guests frozen at once (1; 0: no limit)\n"
             "  --unfreeze-timeout S    seconds after which a guest thaws by itself, 10 to 60 "
             "(60)\n"
             "  --watch-namespaces A,B  namespaces to serve (all)\n"
             "  --no-cross-namespace    no clone from another namespace\n"
             "  --log-level LEVEL       debug, info, warn, error (info)\n"
             "  --explain FILE          prints what the worker would do about the objects of a "
             "List saved by kubectl get -o json; does nothing\n"
             "  --version, --help\n");
}

enum {
    OPT_KUBECONFIG = 256,
    OPT_NS,
    OPT_LEASE,
    OPT_METRICS_ADDRESS,
    OPT_METRICS,
    OPT_DEBUG,
    OPT_STAMP,
    OPT_MAX,
    OPT_FROZEN,
    OPT_UNFREEZE,
    OPT_SCOPE,
    OPT_NO_CROSS,
    OPT_LOG,
    OPT_EXPLAIN,
    OPT_VERSION,
    OPT_HELP
};

static const struct option long_options[] = {
    {"kubeconfig", required_argument, NULL, OPT_KUBECONFIG},
    {"namespace", required_argument, NULL, OPT_NS},
    {"lease", required_argument, NULL, OPT_LEASE},
    {"metrics-address", required_argument, NULL, OPT_METRICS_ADDRESS},
    {"metrics-port", required_argument, NULL, OPT_METRICS},
    {"stamp-configmap", required_argument, NULL, OPT_STAMP},
    {"max-in-flight", required_argument, NULL, OPT_MAX},
    {"max-frozen", required_argument, NULL, OPT_FROZEN},
    {"unfreeze-timeout", required_argument, NULL, OPT_UNFREEZE},
    {"watch-namespaces", required_argument, NULL, OPT_SCOPE},
    {"no-cross-namespace", no_argument, NULL, OPT_NO_CROSS},
    {"log-level", required_argument, NULL, OPT_LOG},
    {"debug-listen", required_argument, NULL, OPT_DEBUG},
    {"explain", required_argument, NULL, OPT_EXPLAIN},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static bool number_between(const char *text, uint64_t low, uint64_t high, uint64_t *ret)
{
    uint64_t v;
    if (!str_to_u64(text, &v) || v < low || v > high) {
        (void)fprintf(stderr, "wukong-worker: \"%s\" must be a number from %llu to %llu\n", text,
                      (unsigned long long)low, (unsigned long long)high);
        return false;
    }
    *ret = v;
    return true;
}

static void release_options(struct options *o)
{
    scope_release(&o->scope);
    free(o->debug_address);
}

/* "127.0.0.1:8083" or "[::1]:8083". */
static int take_listen(struct options *o, const char *text)
{
    const char *colon = strrchr(text, ':');
    bool quoted = text[0] == '[' && colon && colon > text + 1 && colon[-1] == ']';
    free(o->debug_address);
    o->debug_address = colon ? xstrndup(text + quoted, (size_t)(colon - text) - 2u * quoted) : NULL;
    return colon && number_between(colon + 1, 1, 65535, &o->debug_port) ? 0 : 2;
}

static int take_scope(struct options *o, const char *names)
{
    struct err err = {0};
    scope_release(&o->scope);
    if (scope_parse(names, &o->scope, &err) == 0)
        return 0;
    (void)fprintf(stderr, "wukong-worker: --watch-namespaces: %s\n", err.message);
    return 2;
}

/* 0: go on, 1: done, 2: wrong usage. */
static int take_option(struct options *o, int option)
{
    int level;
    switch (option) {
    case OPT_KUBECONFIG:
        o->kubeconfig = optarg;
        return 0;
    case OPT_NS:
        o->ns = optarg;
        return 0;
    case OPT_LEASE:
        o->lease = str_empty(optarg) ? NULL : optarg;
        return 0;
    case OPT_METRICS_ADDRESS:
        o->metrics_address = optarg;
        return 0;
    case OPT_METRICS:
        return number_between(optarg, 0, 65535, &o->metrics_port) ? 0 : 2;
    case OPT_DEBUG:
        return take_listen(o, optarg);
    case OPT_STAMP:
        o->stamp_configmap = optarg;
        return 0;
    case OPT_MAX:
        return number_between(optarg, 1, 10000, &o->max_in_flight) ? 0 : 2;
    case OPT_FROZEN:
        return number_between(optarg, 0, 10000, &o->max_frozen) ? 0 : 2;
    case OPT_UNFREEZE:
        return number_between(optarg, 10, 60, &o->unfreeze_timeout_s) ? 0 : 2;
    case OPT_SCOPE:
        return take_scope(o, optarg);
    case OPT_NO_CROSS:
        o->cross_namespace = false;
        return 0;
    case OPT_LOG:
        level = log_level_parse(optarg);
        if (level < 0)
            return 2;
        log_level_set((enum log_level)level);
        return 0;
    case OPT_EXPLAIN:
        o->explain = optarg;
        return 0;
    case OPT_VERSION:
        (void)printf("wukong-worker %s\n", WUKONG_VERSION);
        return 1;
    case OPT_HELP:
        print_worker_usage(stdout);
        return 1;
    default:
        return 2;
    }
}

static int parse_options(int argc, char **argv, struct options *o)
{
    int option, status = 0;
    while (status == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        status = take_option(o, option);
    if (status == 0 && optind < argc) {
        (void)fprintf(stderr, "wukong-worker: unexpected argument \"%s\"\n", argv[optind]);
        status = 2;
    }
    if (status == 2)
        print_worker_usage(stderr);
    return status;
}

static void stop_loop(void *arg)
{
    struct program *p = arg;
    loop_stop(p->loop);
}

/* What is under way on the server goes on there; what we owe is in the Wukongs' records. */
static void on_signal(void *arg, int signo)
{
    struct program *p = arg;
    (void)signo;
    if (p->ending)
        return;
    p->ending = true;
    log_event(LOG_INFO, "stopping");
    worker_resign(p->worker, stop_loop, p);
}

static void on_lost(void *arg)
{
    struct program *p = arg;
    p->status = 1;
    loop_stop(p->loop);
}

static bool is_ready(void *arg, struct buf *why_not)
{
    struct program *p = arg;
    if (p->ending)
        buf_adds(why_not, "leaving");
    return !p->ending && worker_ready(p->worker, why_not);
}

static void refresh_metrics(void *arg)
{
    struct program *p = arg;
    worker_refresh_metrics(p->worker);
}

static bool dump(void *arg, const char *name, struct buf *out)
{
    struct program *p = arg;
    return worker_dump(p->worker, name, out);
}

static int run_worker(struct program *p, const struct options *o, struct kube_transport *transport,
                      struct err *err)
{
    struct rng rng;
    char host[256] = "worker";
    struct health *health = NULL, *debug = NULL;
    rng_seed_system(&rng);
    (void)gethostname(host, sizeof host - 1);
    CLEANUP_FREE char *identity = xasprintf("%s_%016llx", host, (unsigned long long)rng_next(&rng));
    p->worker = worker_new(&(struct worker_config){
        .transport = transport,
        .clock = loop_clock(p->loop),
        .skew = &p->skew,
        .timers = loop_timers(p->loop),
        .rng = &rng,
        .ns = o->ns,
        .lease_name = o->lease,
        .identity = identity,
        .stamp_configmap = o->stamp_configmap,
        .scope = &o->scope,
        .cross_namespace = o->cross_namespace,
        .unfreeze_timeout_ms = (int64_t)o->unfreeze_timeout_s * 1000,
        .max_in_flight = (unsigned)o->max_in_flight,
        .max_frozen = (unsigned)o->max_frozen,
        .lost_lease = on_lost,
        .arg = p,
    });
    int status = 0;
    struct health_options plain = {.loop = p->loop,
                                   .address = o->metrics_address,
                                   .port = (unsigned short)o->metrics_port,
                                   .ready = is_ready,
                                   .refresh = refresh_metrics,
                                   .arg = p};
    struct health_options open = plain;
    open.address = o->debug_address;
    open.port = (unsigned short)o->debug_port;
    open.dump = dump;
    if (o->metrics_port)
        status = health_start(&plain, &health, err);
    if (status == 0 && o->debug_address)
        status = health_start(&open, &debug, err);
    if (status == 0)
        status = loop_on_signal(p->loop, SIGTERM, on_signal, p, err);
    if (status == 0)
        status = loop_on_signal(p->loop, SIGINT, on_signal, p, err);
    if (status == 0) {
        worker_start(p->worker);
        loop_run(p->loop);
    }
    health_stop(debug);
    health_stop(health);
    worker_free(p->worker);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.ns = "wukong-system",
                        .lease = "wukong-worker",
                        .stamp_configmap = "wukong-stamp",
                        .metrics_port = 8082,
                        .max_in_flight = 50,
                        .max_frozen = 1,
                        .unfreeze_timeout_s = 60,
                        .metrics_address = SERVER_ANY,
                        .cross_namespace = true};
    mem_join_early();
    node_pool_use();
    int status = parse_options(argc, argv, &o);
    if (status) {
        release_options(&o);
        return status == 1 ? 0 : 2;
    }
    if (o.explain) {
        release_options(&o);
        return explain_file(o.explain);
    }
    struct err err = {0};
    struct program p = {0};
    struct curl_transport *transport = NULL;
    CLEANUP_KUBE_CONFIG struct kube_config config = {0};
    struct kube_config_choice choice = {.path = o.kubeconfig};
    kube_metrics_register();
    worker_metrics_register();
    if (loop_new(&clock_system, &p.loop, &err) < 0 ||
        kube_config_load(&choice, &config, &err) < 0 ||
        curl_transport_new(
            &(struct curl_transport_options){.loop = p.loop,
                                             .config = &config,
                                             .user_agent = "wukong-worker/" WUKONG_VERSION,
                                             .calls_max = CURL_TRANSPORT_CALLS +
                                                          worker_more_watches(&o.scope),
                                             .skew = &p.skew,
                                             .observe = kube_metrics_observe},
            &transport, &err) < 0 ||
        run_worker(&p, &o, curl_transport_face(transport), &err) < 0) {
        log_event(LOG_ERROR, "cannot run", LOG_S("error", err.message));
        p.status = 1;
    }
    curl_transport_free(transport);
    loop_free(p.loop);
    release_options(&o);
    return p.status;
}
