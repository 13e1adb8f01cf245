/*
 * What the webhook counts, and the exposition for /metrics.
 */
#ifndef WEBHOOK_METRICS_H
#define WEBHOOK_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "http/server.h"

void webhook_metrics_register(void);
/* live: lookups were needed. */
void webhook_count_review(const char *endpoint, const char *operation, const char *verdict,
                          const char *reason, double seconds, bool live);
void webhook_count_lookup(const char *kind, int code);
/* Values that are read when somebody scrapes. */
void webhook_set_gauges(const struct server_counts *counts, double leaf_expiry_s,
                        double ca_expiry_s, bool ready);
/* When the certificates began to be valid. */
void webhook_set_starts(double leaf_s, double ca_s);

#endif
