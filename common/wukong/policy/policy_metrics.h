/*
 * What both programs tell of the ClonePolicies that they judge by. A policy that is not known may
 * deny: whoever looks after the cluster has to learn that clones stand still for it.
 */
#ifndef POLICY_POLICY_METRICS_H
#define POLICY_POLICY_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/metric.h"
#include "wukong/policy/policy.h"

extern struct metric policy_metric_count;      /* gauge: state "readable", "unreadable" */
extern struct metric policy_metric_incomplete; /* gauge: 1: there was no memory for all */

void policy_metrics_register(void);
/* To be called before each exposition. */
void policy_metrics_set(const struct policy *policies, size_t count, bool incomplete);

#endif
