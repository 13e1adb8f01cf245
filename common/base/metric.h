/*
 * Metrics in Prometheus' text format 0.0.4. A metric is a static struct, registered once; a series
 * is a metric with label values, made on first use. Counters and gauges hold integers or doubles;
 * histograms have fixed upper bounds. The number of series of one metric is bounded, what comes
 * beyond is counted under the label values "other".
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stddef.h>

#include "base/buf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
#define METRIC_LABELS_MAX 4
#define METRIC_SERIES_MAX 500

struct metric_series;
struct metric {
    const char *name, *help;
    enum metric_kind kind;
    const char *labels[METRIC_LABELS_MAX];
    const double *bounds; /* histograms: ascending, without +Inf */
    size_t bound_count;
    struct metric_series *series;
    size_t series_count;
    struct metric *next;
    int registered;
};

/* Label values follow in the order of `labels`; borrowed for the call. */
void metric_add(struct metric *m, double value, const char *const *label_values);
void metric_set(struct metric *m, double value, const char *const *label_values);
void metric_observe(struct metric *m, double value, const char *const *label_values);
/* Reads one series back, 0 when it does not exist (histograms: the count). For tests. */
double metric_value(const struct metric *m, const char *const *label_values);
#define METRIC_LABELS(...) ((const char *const[METRIC_LABELS_MAX]){__VA_ARGS__})

/* Forgets the series of a gauge that is about to be set anew from what there is now. */
void metric_clear(struct metric *m);

/* Makes the metric appear in the exposition, with its help text, even before its first use. */
void metric_register(struct metric *m);
/* The whole exposition, in order of registration. */
void metric_write_all(struct buf *out);
/* Forgets all series and registrations; for tests. */
void metric_reset_all(void);

#endif
