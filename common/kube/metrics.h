/*
 * What the Kubernetes client counts, under client-go's names where it has them
 * (component-base metrics/prometheus/restclient). kube_metrics_observe fits
 * curl_transport_options.observe.
 */
#ifndef KUBE_METRICS_H
#define KUBE_METRICS_H

#include "base/metric.h"
#include "kube/skew.h"
#include "kube/store.h"
#include "kube/transport.h"

extern struct metric kube_metric_requests;        /* counter: verb, code ("<error>" without one) */
extern struct metric kube_metric_request_seconds; /* histogram: verb; watches are left out */
extern struct metric kube_metric_relists;         /* counter: resource */
extern struct metric kube_metric_store_objects;   /* gauge: resource */
extern struct metric kube_metric_store_bytes;     /* gauge: resource */
extern struct metric kube_metric_store_age;       /* gauge: resource; seconds */

void kube_metrics_register(void);
void kube_metrics_observe(void *arg, enum kube_method method, const char *path, int code,
                          int64_t took_ms);
/* Sets the gauge of the clocks; to be called before each exposition. */
void kube_metrics_skew(const struct clock_skew *s);
/* Sets the gauges of one cache; to be called before each exposition. */
void kube_metrics_store(const struct store *s, int64_t age_ms);

#endif
