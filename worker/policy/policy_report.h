/*
 * The status of the ClonePolicies, written by the worker that leads: whether each can be read, and
 * which Wukongs broke it. A violation is a rule that a clone did not keep to when it was judged,
 * whatever followed from it (Deny, Warn or Audit); waiting for a limit or a window is none. It
 * counts until its Wukong is gone or the policy is edited, as far as this process has seen it.
 *
 * Nothing is written that the cluster shows already, and of each policy at most one status in
 * POLICY_REPORT_MS.
 */
#ifndef POLICY_POLICY_REPORT_H
#define POLICY_POLICY_REPORT_H

#include "actions/execute.h"
#include "base/timer.h"
#include "policy/policy_cache.h"

#define POLICY_REPORT_MS 5000
#define POLICY_REPORT_ITEMS 20 /* the CRD's maxItems */

struct policy_reports;

struct policy_reports_options {
    const struct kube_client *client;
    const struct clock *clock;
    struct timers *timers;
    struct rng *rng;
    const struct cache_reader *caches;
    /* Asked before every write: this process leads and has seen all policies. */
    bool (*may_write)(void *arg);
    void *arg;
};

/* Everything in options is borrowed, the struct itself is copied. */
struct policy_reports *policy_reports_new(const struct policy_reports_options *options);
/* NULL does nothing. */
void policy_reports_free(struct policy_reports *r);

/* The policy was added, changed or deleted (after NULL). */
void policy_reports_changed(struct policy_reports *r, const struct kube_object *before,
                            const struct kube_object *after);
/* Whether each can be read is in policies; called after they were decoded anew, and on becoming the
   leader. */
void policy_reports_all(struct policy_reports *r);
/* What the judgement of one Wukong found; returns how many policies it breaks. broke: what the last
   call returned. */
size_t policy_reports_judged(struct policy_reports *r, const char *ns, const char *name,
                             const char *user, const struct policy_findings *found, size_t broke);
void policy_reports_gone(struct policy_reports *r, const char *ns, const char *name);
/* Requests sent that change something. */
unsigned long long policy_reports_writes(const struct policy_reports *r);

/* The status as JSON; pure. now_ms is when a condition turns. old: the status as it stands. */
struct policy_violation {
    const char *ns, *name, *user, *rule, *message;
    int64_t at_ms;
};
void policy_report_write(const struct policy *p, const cJSON *old, size_t total,
                         const struct policy_violation *items, size_t count, int64_t now_ms,
                         struct buf *out);

#endif
