/*
 * What the worker counts. One place derives it from the change of a record; docs/admin/metrics.md
 * lists the names.
 */
#ifndef CLONES_METRICS_H
#define CLONES_METRICS_H

#include "base/metric.h"
#include "kube/store.h"
#include "observe/state.h"

extern struct metric metric_clones;          /* counter: type, result, reason */
extern struct metric metric_attempts_failed; /* counter: type, reason */
extern struct metric metric_clone_seconds;   /* histogram: type; start to completion */
extern struct metric metric_freeze_seconds;  /* histogram */
extern struct metric metric_step_seconds;    /* histogram: step */
extern struct metric metric_snapshots_held;  /* gauge: namespace */
extern struct metric metric_snapshot_bytes;  /* gauge: namespace; their restore sizes */
extern struct metric metric_active;          /* gauge: clones under way */
extern struct metric metric_leader;          /* gauge: 1 while this process leads */
extern struct metric metric_queue;           /* gauge: Wukongs in the queue */
extern struct metric metric_frozen_limit;    /* gauge: guests that may be frozen at once */
extern struct metric metric_orphans;         /* counter: resource */

/* Makes all of them appear, at zero. */
void worker_metrics_register(void);
/* The step that one clone is in, and since when; kept by this process, zero at first. */
struct step_clock {
    const char *step; /* static; NULL: none */
    int64_t since_ms; /* monotonic */
};
/* Call it with the step of each decision; it observes the time of the step that was left. After a
   restart the current step counts from the first decision. */
void worker_metrics_step(struct step_clock *c, const char *step, int64_t now_ms);
/* Sets both gauges from the VolumeSnapshots that bear our label. */
void worker_metrics_snapshots(const struct store *snapshots, struct store *groups);
/* To be called when the record next has been stored over v->record. */
void worker_metrics_record(const struct clone_state *v, const struct clone_record *next);

#endif
