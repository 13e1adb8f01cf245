#include "clones/metrics.h"

#include "actions/execute.h"

#include "apimachinery/quantity.h"
#include "base/mem.h"
#include "base/str.h"
#include "observe/queries.h"
#include "observe/resources.h"
#include "wukong/policy/policy_metrics.h"

static const double clone_bounds[] = {1, 2, 5, 10, 30, 60, 300, 900, 3600};
static const double step_bounds[] = {0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600};
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
struct metric metric_step_seconds = {
    .name = "wukong_clone_step_duration_seconds",
    .help = "Time that a clone spent in a step before it went on to another one or ended.",
    .kind = METRIC_HISTOGRAM,
    .labels = {"step"},
    .bounds = step_bounds,
    .bound_count = ARRAY_LEN(step_bounds),
};
static struct metric metric_disks_cut = {
    .name = "wukong_disks_cut_total",
    .help = "Disks of sources that were cut, by the method that cut them.",
    .kind = METRIC_COUNTER,
    .labels = {"method"},
};
static struct metric metric_groups_refused = {
    .name = "wukong_group_snapshots_refused_total",
    .help = "Clones whose snapshotMethod Auto has gone from groups to single snapshots.",
    .kind = METRIC_COUNTER,
};
struct metric metric_snapshots_held = {
    .name = "wukong_snapshots_held",
    .help = "VolumeSnapshots of clones that exist, by namespace.",
    .kind = METRIC_GAUGE,
    .labels = {"namespace"},
};
struct metric metric_snapshot_bytes = {
    .name = "wukong_snapshots_held_bytes",
    .help = "Sum of their restore sizes, by namespace.",
    .kind = METRIC_GAUGE,
    .labels = {"namespace"},
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
struct metric metric_queue = {
    .name = "wukong_worker_queue_depth",
    .help = "Wukongs that wait in the queue to be reconciled.",
    .kind = METRIC_GAUGE,
};
struct metric metric_frozen_limit = {
    .name = "wukong_frozen_guests_limit",
    .help = "Guests that may be frozen at once, as found within worker.maxFrozen; 0: no limit.",
    .kind = METRIC_GAUGE,
};
struct metric metric_orphans = {
    .name = "wukong_orphans_deleted_total",
    .help = "Deletions of temporary objects whose Wukong is gone, by resource.",
    .kind = METRIC_COUNTER,
    .labels = {"resource"},
};

void worker_metrics_register(void)
{
    static struct metric *const all[] = {
        &metric_clones,         &metric_attempts_failed, &metric_clone_seconds,
        &metric_step_seconds,   &metric_freeze_seconds,  &metric_active,
        &metric_snapshots_held, &metric_snapshot_bytes,  &metric_leader,
        &metric_writes,         &metric_queue,           &metric_orphans,
        &metric_frozen_limit,   &metric_disks_cut,       &metric_groups_refused,
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        metric_register(all[i]);
    policy_metrics_register();
    metric_add(&metric_groups_refused, 0, NULL);
    metric_set(&metric_active, 0, NULL);
    metric_set(&metric_leader, 0, NULL);
    metric_set(&metric_queue, 0, NULL);
}

/* Each cut once: those who take another one's over have cut nothing. */
static void count_cut(const struct clone_state *v, const struct clone_record *next)
{
    if (v->record.attempt.cut_ms || !next->attempt.cut_ms || next->attempt.shared.uid)
        return;
    for (size_t i = 0; i < v->disk_count; i++) {
        enum snapshot_method method = clone_uses_vm_snapshot(v)   ? METHOD_VM_SNAPSHOT
                                      : v->disks[i].plan->grouped ? METHOD_GROUP_SNAPSHOT
                                                                  : METHOD_VOLUME_SNAPSHOT;
        if (clone_disk_has_snapshot(&v->disks[i]))
            metric_add(&metric_disks_cut, 1, METRIC_LABELS(snapshot_method_names[method]));
    }
}

void worker_metrics_record(const struct clone_state *v, const struct clone_record *next)
{
    const struct clone_record *before = &v->record;
    const char *type = str_or(clone_type_names[v->effective.clone_type], "");
    if (record_aborted(next) && !record_aborted(before))
        metric_add(&metric_attempts_failed, 1, METRIC_LABELS(type, next->error.reason));
    /* One freeze is one observation, whoever shares it and whatever came of it, once it is over. */
    if (next->attempt.freeze.thawed_ms && !before->attempt.freeze.thawed_ms && next->attempt.froze)
        metric_observe(&metric_freeze_seconds, (double)next->attempt.freeze_ms / 1000, NULL);
    count_cut(v, next);
    if (next->groups_refused.message && !before->groups_refused.message)
        metric_add(&metric_groups_refused, 1, NULL);
    if (record_final(before) || !record_final(next))
        return;
    bool good = next->phase == PHASE_SUCCEEDED;
    metric_add(&metric_clones, 1,
               METRIC_LABELS(type, good ? "succeeded" : "failed",
                             good ? "Succeeded" : str_or(next->error.reason, "")));
    if (good && next->start_ms)
        metric_observe(&metric_clone_seconds, (double)(next->completion_ms - next->start_ms) / 1000,
                       METRIC_LABELS(type));
}

void worker_metrics_step(struct step_clock *c, const char *step, int64_t now_ms)
{
    if (str_eq(c->step, step))
        return;
    if (c->step)
        metric_observe(&metric_step_seconds, (double)(now_ms - c->since_ms) / 1000,
                       METRIC_LABELS(c->step));
    c->step = step;
    c->since_ms = now_ms;
}

/* A member of a group bears no label of ours: its group does. */
static bool is_of_a_clone(const struct store *groups, const struct kube_object *snapshot)
{
    if (snapshot->label || !str_eq(snapshot->owner_kind, worker_kinds[KIND_GROUP].kind))
        return snapshot->label;
    const struct kube_object *g = store_get(groups, snapshot->ns, str_or(snapshot->owner_name, ""));
    return g && g->label && str_eq(g->uid, snapshot->owner_uid);
}

static bool count_snapshot(void *arg, const struct kube_object *o)
{
    struct quantity size;
    if (!is_of_a_clone(arg, o))
        return true;
    metric_add(&metric_snapshots_held, 1, METRIC_LABELS(o->ns));
    const char *text = kube_object_field(o, F_RESTORE_SIZE);
    bool known = text && quantity_parse(text, &size) == QUANTITY_OK;
    metric_add(&metric_snapshot_bytes, known ? (double)quantity_value(&size) : 0,
               METRIC_LABELS(o->ns));
    return true;
}

void worker_metrics_snapshots(const struct store *snapshots, struct store *groups)
{
    /* Anew each time: a namespace that is gone must not keep its series. */
    metric_clear(&metric_snapshots_held);
    metric_clear(&metric_snapshot_bytes);
    store_each(snapshots, count_snapshot, groups);
}
