/*
 * What the worker counts. Told from the change of a record, in one place; docs/metrics.md lists the
 * names.
 */
#ifndef WORKER_METRICS_H
#define WORKER_METRICS_H

#include "base/metric.h"
#include "worker/view.h"

extern struct metric metric_clones;          /* counter: type, result, reason */
extern struct metric metric_attempts_failed; /* counter: type, reason */
extern struct metric metric_clone_seconds;   /* histogram: type; start to completion */
extern struct metric metric_freeze_seconds;  /* histogram */
extern struct metric metric_active;          /* gauge: clones under way */
extern struct metric metric_leader;          /* gauge: 1 while this process leads */
extern struct metric metric_writes;          /* counter: verb; requests that change something */
extern struct metric metric_queue;           /* gauge: Wukongs waiting to be looked at */

/* Makes all of them appear, at zero. */
void worker_metrics_register(void);
/* To be called when the record next has been stored over v->record. */
void worker_metrics_record(const struct clone_view *v, const struct clone_record *next);

#endif
