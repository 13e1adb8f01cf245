#include "webhook/metrics.h"

#include "base/mem.h"
#include "base/metric.h"
#include "wukong/policy/policy_metrics.h"

static const double seconds_bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                        0.1,    0.25,  0.5,    1,     2.5,  5};

static struct metric reviews = {
    .name = "wukong_admission_reviews_total",
    .help = "Admission reviews answered.",
    .kind = METRIC_COUNTER,
    .labels = {"endpoint", "operation", "verdict", "reason"},
};
static struct metric seconds = {
    .name = "wukong_admission_review_duration_seconds",
    .help = "Time from a complete request to its answer.",
    .kind = METRIC_HISTOGRAM,
    .labels = {"endpoint", "lookups"},
    .bounds = seconds_bounds,
    .bound_count = ARRAY_LEN(seconds_bounds),
};
static struct metric lookups = {
    .name = "wukong_admission_lookups_total",
    .help = "Live lookups made for admission, by what was read and the HTTP status (0: none).",
    .kind = METRIC_COUNTER,
    .labels = {"object", "code"},
};
static struct metric connections = {
    .name = "wukong_webhook_connections",
    .help = "Open connections, and how many of them have a request under way.",
    .kind = METRIC_GAUGE,
    .labels = {"state"},
};
static struct metric turned_away = {
    .name = "wukong_webhook_turned_away",
    .help = "Connections and requests that ran into a bound since the start.",
    .kind = METRIC_GAUGE,
    .labels = {"why"},
};
static struct metric expiry = {
    .name = "wukong_webhook_certificate_expiry_timestamp_seconds",
    .help = "When the certificate ends, as Unix time; 0 when there is none.",
    .kind = METRIC_GAUGE,
    .labels = {"certificate"},
};
static struct metric start = {
    .name = "wukong_webhook_certificate_start_timestamp_seconds",
    .help = "When the certificate began to be valid, as Unix time; 0 when there is none.",
    .kind = METRIC_GAUGE,
    .labels = {"certificate"},
};
static struct metric ready = {
    .name = "wukong_webhook_ready",
    .help = "1 when /readyz is true.",
    .kind = METRIC_GAUGE,
};

void webhook_metrics_register(void)
{
    struct metric *const all[] = {&reviews,     &seconds, &lookups, &connections,
                                  &turned_away, &expiry,  &start,   &ready};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        metric_register(all[i]);
    policy_metrics_register();
}

void webhook_count_review(const char *endpoint, const char *operation, const char *verdict,
                          const char *reason, double took_s, bool live)
{
    metric_add(&reviews, 1, METRIC_LABELS(endpoint, operation, verdict, reason));
    metric_observe(&seconds, took_s, METRIC_LABELS(endpoint, live ? "live" : "none"));
}

void webhook_count_lookup(const char *kind, int code)
{
    char text[16];
    snprintf(text, sizeof text, "%d", code);
    metric_add(&lookups, 1, METRIC_LABELS(kind, text));
}

void webhook_set_gauges(const struct server_counts *counts, double leaf_expiry_s,
                        double ca_expiry_s, bool is_ready)
{
    metric_set(&connections, counts->connections, METRIC_LABELS("open"));
    metric_set(&connections, counts->busy, METRIC_LABELS("busy"));
    metric_set(&turned_away, (double)counts->timed_out, METRIC_LABELS("deadline"));
    metric_set(&turned_away, (double)counts->evicted, METRIC_LABELS("connections"));
    metric_set(&turned_away, (double)counts->shed, METRIC_LABELS("requests"));
    metric_set(&turned_away, (double)counts->refused, METRIC_LABELS("body"));
    metric_set(&expiry, leaf_expiry_s, METRIC_LABELS("leaf"));
    metric_set(&expiry, ca_expiry_s, METRIC_LABELS("ca"));
    metric_set(&ready, is_ready, METRIC_LABELS(NULL));
}

void webhook_set_starts(double leaf_s, double ca_s)
{
    metric_set(&start, leaf_s, METRIC_LABELS("leaf"));
    metric_set(&start, ca_s, METRIC_LABELS("ca"));
}
