/*
 * What is held back stays so: no attempt begins outside its windows, before its time, or while a
 * gate is closed; the application stays quiet until the last cut; never more clones are under way
 * than the policies allow. Times are those of the worker's own clock, for it has no other.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkers/checkers.h"

/* A watch that has gone silent is given up after 3 minutes (kube/reflector.h): a worker may not
   know of a policy that is younger. Beginnings of a worker before this one may not be in its caches
   either. */
#define POLICY_KNOWN_MS 240000
#define BEGUN_KNOWN_MS 60000
/* How long an answer about a right is good, and a little. */
#define RIGHT_KNOWN_MS 90000

static int64_t wall_of(const struct sim *s, const char *who)
{
    for (unsigned i = 0; i < s->process_count; i++)
        if (str_eq(s->processes[i].identity, who))
            return clock_wall(&s->processes[i].clock);
    return clock_wall(&s->clock);
}

static bool selected(struct sim *s, const struct seen_wukong *k)
{
    const struct api_object *vm = api_find(&s->api, API_VM, k->source_ns, k->source);
    if (!vm)
        vm = api_find(&s->api, API_VMI, k->source_ns, k->source);
    return vm && str_eq(json_str(vm->tree, "metadata.labels[" HOLD_LABEL "]"), HOLD_SELECTED);
}

static bool known(const struct sim *s, const struct restriction_policy *p)
{
    return p->exists && (p->since_ms < 1500 || s->now_ms > p->since_ms + POLICY_KNOWN_MS);
}

/* --- times --- */

/* An answer is good for a minute; what was sent then may be on its way for a while. */
static void check_right(struct sim *s, const char *who, const struct seen_wukong *k,
                        const char *what)
{
    if (s->right_gone_ms && !str_eq(k->ns, k->source_ns) &&
        s->now_ms > s->right_gone_ms + RIGHT_KNOWN_MS)
        sim_violation(s, "nothing-begins-without-the-right",
                      "%s %s of %s, whose requester lost the right to its source %" PRId64
                      " ms ago",
                      who, what, k->name, s->now_ms - s->right_gone_ms);
}

static void check_time(struct sim *s, const char *who, const struct seen_wukong *k,
                       const struct api_object *o, const char *what)
{
    check_right(s, who, k, what);
    int64_t wall = wall_of(s, who), not_before = 0;
    struct restriction_window own =
        restrictions_read_window(json_at(o->tree, "spec.cloneSource.window"));
    if (!restrictions_open(&own, wall))
        sim_violation(s, "nothing-begins-outside-its-window", "%s %s of %s, its window is shut",
                      who, what, k->name);
    if (str_to_time_ms(json_str(o->tree, "spec.cloneSource.notBefore"), &not_before) &&
        wall < not_before)
        sim_violation(s, "nothing-begins-outside-its-window",
                      "%s %s of %s, %" PRId64 " ms before "
                      "notBefore",
                      who, what, k->name, not_before - wall);
    for (const struct restriction_policy *p = s->policies; p; p = p->next)
        if (known(s, p) && selected(s, k) && !restrictions_open(&p->window, wall))
            sim_violation(s, "nothing-begins-outside-its-window",
                          "%s %s of %s, the window of %s is "
                          "shut",
                          who, what, k->name, p->name);
}

/* A freeze is announced with the worker's own time. */
static void status_sent(struct sim *s, const char *who, const struct api_target *t,
                        const cJSON *body)
{
    char now[TIME_TEXT_MAX];
    const struct api_object *o = api_find(&s->api, API_WUKONG, t->ns, t->name);
    const struct seen_wukong *k = o ? checkers_find(s, o->uid) : NULL;
    time_to_str(wall_of(s, who), true, now);
    if (k && str_eq(json_str(body, "status.cloneStatus.freeze.requestedTime"), now))
        check_time(s, who, k, o, "announces a freeze");
}

static bool has_sibling(struct sim *s, const struct seen_wukong *k, const char *attempt)
{
    for (struct api_object *o = s->api.objects[API_SNAPSHOT]; o; o = o->hh.next)
        if (checkers_owner(s, o->tree) == k &&
            str_eq(json_str(o->tree, "metadata.labels[vm.novasphere.dev/attempt]"), attempt))
            return true;
    return false;
}

/* The first snapshot of an attempt without a freeze. What follows the first, or a freeze, is let
 * be. */
static void snapshot_sent(struct sim *s, const char *who, const cJSON *body)
{
    const struct seen_wukong *k = checkers_owner(s, body);
    const struct api_object *o = k ? api_find(&s->api, API_WUKONG, k->ns, k->name) : NULL;
    if (!o || !str_eq(o->uid, k->uid) || k->disturbed ||
        json_at(body, "spec.source.volumeSnapshotContentName") ||
        json_at(o->tree, "status.cloneStatus.freeze.requestedTime"))
        return;
    if (!has_sibling(s, k, json_str(body, "metadata.labels[vm.novasphere.dev/attempt]")))
        check_time(s, who, k, o, "takes the first snapshot");
}

void checkers_restrictions_submitted(struct sim *s, const char *who, const struct kube_request *r,
                                     const struct api_target *t)
{
    CLEANUP_JSON cJSON *body = NULL;
    bool status = r->method == KUBE_PATCH && t->kind == API_WUKONG && str_eq(t->sub, "status");
    bool snapshot = r->method == KUBE_POST && !strstr(r->path, "dryRun=") &&
                    (t->kind == API_SNAPSHOT || t->kind == API_VM_SNAPSHOT);
    if (t->aggregated || !(status || snapshot) ||
        json_parse(r->body, r->body_len, true, &body, NULL) < 0)
        return;
    if (status)
        status_sent(s, who, t, body);
    else
        snapshot_sent(s, who, body);
}

/* --- limits --- */

/* An attempt that fails before it was let go, at its deadline while the source is missing, say, is
   numbered as one. It has begun nothing and waited for something other than its turn, so it keeps
   no slot from the others (docs/admin/policy.md, Limits); whoever was let go meanwhile could not
   know of it. What has begun names its source's UID, or a further attempt. */
static bool under_way(const cJSON *status)
{
    int64_t attempts = 0;
    const char *phase = json_str(status, "cloneStatus.phase");
    (void)json_int(status, "cloneStatus.attempts", &attempts);
    bool begun = attempts > 1 || (attempts && !json_at(status, "cloneStatus.lastError")) ||
                 json_at(status, "cloneStatus.sourceUID") ||
                 json_at(status, "cloneStatus.sourceStarted");
    return begun && !str_eq(phase, "Succeeded") && !str_eq(phase, "Failed");
}

static int64_t count(struct sim *s, const struct seen_wukong *k, bool same_source, bool same_ns)
{
    int64_t n = 1;
    for (struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next) {
        const struct seen_wukong *other = checkers_find(s, o->uid);
        if (!other || other == k || !under_way(json_get(o->tree, "status")))
            continue;
        if (same_source &&
            !(str_eq(other->source, k->source) && str_eq(other->source_ns, k->source_ns)))
            continue;
        if (same_ns && !str_eq(other->ns, k->ns))
            continue;
        bool known =
            str_eq(other->begun_by, k->begun_by) || s->now_ms > other->begun_ms + BEGUN_KNOWN_MS;
        n += known;
    }
    return n;
}

static void check_limits(struct sim *s, const struct seen_wukong *k)
{
    for (const struct restriction_policy *p = s->policies; p; p = p->next) {
        const struct {
            const char *rule;
            int64_t limit, found;
        } rows[] = {
            {"concurrentPerCluster", p->cluster, count(s, k, false, false)},
            {"concurrentPerSource", p->source, count(s, k, true, false)},
            {"concurrentPerTargetNamespace", p->target_ns, count(s, k, false, true)},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            if (known(s, p) && selected(s, k) && rows[i].limit && rows[i].found > rows[i].limit)
                sim_violation(s, "never-more-than-the-limit",
                              "%s begins as number %" PRId64 ", %s of "
                              "%s is %" PRId64,
                              k->name, rows[i].found, rows[i].rule, p->name, rows[i].limit);
    }
}

/* --- gates --- */

/* before is the very version that the worker has seen: its write was conditional on it. */
static void check_gates(struct sim *s, const struct seen_wukong *k, const cJSON *before,
                        const cJSON *after)
{
    const cJSON *old = json_at(before, "status.cloneStatus");
    const cJSON *new = json_at(after, "status.cloneStatus");
    const char *freeze = json_str(new, "freeze.requestedTime");
    const struct application *a = restrictions_application(s, k->uid);
    bool begins = (freeze && !str_eq(freeze, json_str(old, "freeze.requestedTime"))) ||
                  (json_at(new, "sourceUID") && !json_at(old, "sourceUID"));
    if (begins && json_at(after, "spec.cloneSource.gates") && !(a && a->quiet))
        sim_violation(s, "closed-gates-hold", "%s begins, its application is not quiet", k->name);
}

/* Whoever shares a cut may be held back, and its application released, between cut and take-over.
 */
void checkers_restrictions_cut(struct sim *s, const struct seen_wukong *k, const cJSON *wukong,
                               int64_t first_ms, int64_t last_ms)
{
    const struct application *a = restrictions_application(s, k->uid);
    if (!json_at(wukong, "spec.cloneSource.gates") || !first_ms)
        return;
    bool now = a && a->quiet && first_ms >= a->quiet_ms;
    bool before = a && first_ms >= a->before_from_ms && last_ms <= a->before_to_ms;
    if (!now && !before)
        sim_violation(s, "closed-gates-hold", "%s is cut, its application was not quiet", k->name);
}

void checkers_restrictions_worth(struct sim *s, const struct seen_wukong *k,
                                 const char *consistency)
{
    for (const struct restriction_policy *p = s->policies; p; p = p->next)
        if (known(s, p) && selected(s, k) && !restrictions_is_enough(p, consistency))
            sim_violation(s, "no-less-than-demanded", "%s is %s, and %s demands %s", k->name,
                          consistency, p->name, p->least);
}

void checkers_restrictions_status(struct sim *s, const char *who, struct seen_wukong *k,
                                  const cJSON *before, const cJSON *after)
{
    const cJSON *old = json_get(before, "status"), *new = json_get(after, "status");
    if (under_way(new) && !under_way(old)) {
        free(k->begun_by);
        k->begun_by = xstrdup(who);
        k->begun_ms = s->now_ms;
        check_limits(s, k);
    }
    check_gates(s, k, before, after);
}
