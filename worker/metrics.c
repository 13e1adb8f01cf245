#include "worker/metrics.h"

#include "base/mem.h"
#include "base/str.h"

static const double clone_bounds[] = {1, 2, 5, 10, 30, 60, 300, 900, 3600};
static const double freeze_bounds[] = {0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60};

struct metric metric_clones = {
    .name = "wukong_clones_total",
    .help = "Clones that have ended, by type, result and reason.",
    .kind = METRIC_COUNTER,
    .labels = {"type", "result", "reason"},
};
struct metric metric_attempts_failed = {
    .name = "wukong_clone_attempts_failed_total",
    .help = "Attempts that have failed, by type and reason.",
    .kind = METRIC_COUNTER,
    .labels = {"type", "reason"},
};
struct metric metric_clone_seconds = {
    .name = "wukong_clone_duration_seconds",
    .help = "Time from the start of the clock to the end of a successful clone.",
    .kind = METRIC_HISTOGRAM,
    .labels = {"type"},
    .bounds = clone_bounds,
    .bound_count = ARRAY_LEN(clone_bounds),
};
struct metric metric_freeze_seconds = {
    .name = "wukong_guest_frozen_seconds",
    .help = "Time that a guest was held frozen, from the request to the answered thaw.",
    .kind = METRIC_HISTOGRAM,
    .bounds = freeze_bounds,
    .bound_count = ARRAY_LEN(freeze_bounds),
};
struct metric metric_active = {
    .name = "wukong_clones_active",
    .help = "Clones that have begun and have not ended.",
    .kind = METRIC_GAUGE,
};
struct metric metric_leader = {
    .name = "wukong_worker_leader",
    .help = "1 while this process holds the lease.",
    .kind = METRIC_GAUGE,
};
struct metric metric_writes = {
    .name = "wukong_worker_writes_total",
    .help = "Requests sent that change something, by intent.",
    .kind = METRIC_COUNTER,
    .labels = {"intent"},
};
struct metric metric_queue = {
    .name = "wukong_worker_queue_depth",
    .help = "Wukongs that wait to be looked at.",
    .kind = METRIC_GAUGE,
};

void worker_metrics_register(void)
{
    static struct metric *const all[] = {
        &metric_clones, &metric_attempts_failed, &metric_clone_seconds, &metric_freeze_seconds,
        &metric_active, &metric_leader,          &metric_writes,        &metric_queue,
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        metric_register(all[i]);
    metric_set(&metric_active, 0, NULL);
    metric_set(&metric_leader, 0, NULL);
    metric_set(&metric_queue, 0, NULL);
}

void worker_metrics_record(const struct clone_view *v, const struct clone_record *next)
{
    const struct clone_record *before = &v->record;
    const char *type = str_or(clone_type_names[v->effective.clone_type], "");
    if (record_aborted(next) && !record_aborted(before))
        metric_add(&metric_attempts_failed, 1, METRIC_LABELS(type, next->error.reason));
    if (next->cut_ms && !before->cut_ms && next->froze)
        metric_observe(&metric_freeze_seconds, (double)next->freeze_ms / 1000, NULL);
    if (record_final(before) || !record_final(next))
        return;
    bool good = next->phase == PHASE_SUCCEEDED;
    metric_add(&metric_clones, 1,
               METRIC_LABELS(type, good ? "succeeded" : "failed",
                             good ? "Succeeded" : str_or(next->error.reason, "")));
    if (good && next->start_ms)
        metric_observe(&metric_clone_seconds,
                       (double)(next->completion_ms - next->start_ms) / 1000, METRIC_LABELS(type));
}
