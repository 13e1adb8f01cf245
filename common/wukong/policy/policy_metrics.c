#include "wukong/policy/policy_metrics.h"

struct metric policy_metric_count = {
    .name = "wukong_clone_policies",
    .help = "ClonePolicies, by whether they can be read; one that cannot denies what it matches.",
    .kind = METRIC_GAUGE,
    .labels = {"state"},
};
struct metric policy_metric_incomplete = {
    .name = "wukong_clone_policies_incomplete",
    .help = "1 while there are more ClonePolicies than can be kept: then no clone begins.",
    .kind = METRIC_GAUGE,
};

void policy_metrics_register(void)
{
    metric_register(&policy_metric_count);
    metric_register(&policy_metric_incomplete);
}

void policy_metrics_set(const struct policy *policies, size_t count, bool incomplete)
{
    size_t unreadable = 0;
    for (size_t i = 0; i < count; i++)
        unreadable += policies[i].broken != NULL;
    metric_set(&policy_metric_count, (double)(count - unreadable), METRIC_LABELS("readable"));
    metric_set(&policy_metric_count, (double)unreadable, METRIC_LABELS("unreadable"));
    metric_set(&policy_metric_incomplete, incomplete, NULL);
}
