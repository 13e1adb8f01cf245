#include "kube/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

static const double bounds[] = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60};

struct metric kube_metric_requests = {
    .name = "rest_client_requests_total",
    .help = "Requests to the API server, by verb and HTTP status code.",
    .kind = METRIC_COUNTER,
    .labels = {"verb", "code"},
};
struct metric kube_metric_request_seconds = {
    .name = "rest_client_request_duration_seconds",
    .help = "Time until the answer of the API server, watches left out.",
    .kind = METRIC_HISTOGRAM,
    .labels = {"verb"},
    .bounds = bounds,
    .bound_count = ARRAY_LEN(bounds),
};
struct metric kube_metric_relists = {
    .name = "wukong_cache_lists_total",
    .help = "Lists begun to fill or refill the cache of a resource.",
    .kind = METRIC_COUNTER,
    .labels = {"resource"},
};
struct metric kube_metric_store_objects = {
    .name = "wukong_cache_objects",
    .help = "Objects in the cache of a resource.",
    .kind = METRIC_GAUGE,
    .labels = {"resource"},
};
struct metric kube_metric_store_bytes = {
    .name = "wukong_cache_bytes",
    .help = "Memory held by the cache of a resource.",
    .kind = METRIC_GAUGE,
    .labels = {"resource"},
};
struct metric kube_metric_store_age = {
    .name = "wukong_cache_age_seconds",
    .help = "Time since the API server last sent news of a resource: event, bookmark, page or end.",
    .kind = METRIC_GAUGE,
    .labels = {"resource"},
};

static struct metric metric_unreadable = {
    .name = "wukong_objects_unreadable",
    .help = "Objects of a resource that exist and cannot be read.",
    .kind = METRIC_GAUGE,
    .labels = {"resource"},
};

static struct metric clock_skew = {
    .name = "wukong_clock_skew_seconds",
    .help = "How far this machine's clock is ahead of the API server's; 0: by no full second.",
    .kind = METRIC_GAUGE,
};

void kube_metrics_register(void)
{
    metric_register(&clock_skew);
    metric_register(&kube_metric_requests);
    metric_register(&kube_metric_request_seconds);
    metric_register(&kube_metric_relists);
    metric_register(&kube_metric_store_objects);
    metric_register(&kube_metric_store_bytes);
    metric_register(&kube_metric_store_age);
    metric_register(&metric_unreadable);
}

void kube_metrics_observe(void *arg, enum kube_method method, const char *path, int code,
                          int64_t took_ms)
{
    static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    _Static_assert(ARRAY_LEN(verbs) == KUBE_DELETE + 1, "one name for each method");
    (void)arg;
    char text[16];
    (void)snprintf(text, sizeof text, "%d", code);
    log_event(LOG_DEBUG, "request", LOG_S("verb", verbs[method]), LOG_S("path", path),
              LOG_I("code", code), LOG_I("ms", took_ms));
    metric_add(&kube_metric_requests, 1, METRIC_LABELS(verbs[method], code ? text : "<error>"));
    const char *query = strchr(path, '?');
    if (!query || !strstr(query, "watch=true"))
        metric_observe(&kube_metric_request_seconds, (double)took_ms / 1000,
                       METRIC_LABELS(verbs[method]));
}

void kube_metrics_skew(const struct clock_skew *s)
{
    metric_set(&clock_skew, (double)skew_ms(s) / 1000, NULL);
}

void kube_metrics_store(const struct store *s, int64_t age_ms)
{
    const char *resource = store_kind(s)->resource;
    metric_set(&kube_metric_store_objects, (double)store_count(s), METRIC_LABELS(resource));
    metric_set(&kube_metric_store_bytes, (double)store_bytes(s), METRIC_LABELS(resource));
    metric_set(&kube_metric_store_age, (double)age_ms / 1000, METRIC_LABELS(resource));
    metric_set(&metric_unreadable, (double)store_unreadable(s), METRIC_LABELS(resource));
}
