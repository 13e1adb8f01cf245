#include "run/restrictions.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "run/sim.h"

#define MINUTE_MS 60000

/* --- windows --- */

bool restrictions_open(const struct restriction_window *w, int64_t wall_ms)
{
    return !w->period_min || wall_ms / MINUTE_MS % w->period_min < w->open_min;
}

static cJSON *draw_window(struct sim *s)
{
    static const int64_t periods[] = {2, 3, 4,
                                      5}; /* of an hour, or the last one would be shorter */
    int64_t period = periods[rng_range(&s->rng, 0, ARRAY_LEN(periods) - 1)];
    cJSON *w = cJSON_CreateObject();
    jt_strf(w, "schedule", "*/%" PRId64 " * * * *", period);
    jt_strf(w, "duration", "%" PRId64 "m", rng_range(&s->rng, 1, period - 1));
    return w;
}

struct restriction_window restrictions_read_window(const cJSON *window)
{
    struct restriction_window w = {0};
    if (window &&
        (sscanf(str_or(json_str(window, "schedule"), ""), "*/%" SCNd64, &w.period_min) != 1 ||
         sscanf(str_or(json_str(window, "duration"), ""), "%" SCNd64 "m", &w.open_min) != 1))
        abort();
    return w;
}

void restrictions_vary(struct sim *s, cJSON *wukong)
{
    /* The worker's time of asking is compared with the operator's of answering: where clocks are
       off by more than an answer takes, an old answer counts, or a new one does not. */
    if (rng_chance(&s->rng, 150) && !s->clocks_off_ms)
        jt_add(wukong, "spec.cloneSource.gates", HOLD_GATE);
    if (rng_chance(&s->rng, 120))
        jt_put(wukong, "spec.cloneSource.window", draw_window(s));
    if (rng_chance(&s->rng, 100)) {
        char text[TIME_TEXT_MAX];
        time_to_str(clock_wall(&s->clock) + rng_range(&s->rng, 1000, 90000), false, text);
        jt_str(wukong, "spec.cloneSource.notBefore", text);
    }
}

/* --- the application --- */

const struct application *restrictions_application(const struct sim *s, const char *uid)
{
    for (const struct application *a = s->applications; a; a = a->next)
        if (str_eq(a->uid, uid))
            return a;
    return NULL;
}

static struct application *application_of(struct sim *s, const char *uid)
{
    struct application *a = (struct application *)(uintptr_t)restrictions_application(s, uid);
    if (a)
        return a;
    a = xcalloc(1, sizeof *a);
    a->uid = xstrdup(uid);
    a->leaves_open = rng_chance(&s->rng, 300);
    a->next = s->applications;
    s->applications = a;
    return a;
}

static cJSON *condition_of(cJSON *tree, const char *type)
{
    cJSON *c;
    cJSON_ArrayForEach (c, jt_at(tree, "status.conditions"))
        if (str_eq(json_str(c, "type"), type))
            return c;
    return NULL;
}

static void set_gate(struct sim *s, struct api_object *o, bool open)
{
    char now[TIME_TEXT_MAX];
    cJSON *tree = jt_copy(o->tree);
    cJSON *gate = condition_of(tree, HOLD_GATE);
    if (!gate) {
        gate = cJSON_CreateObject();
        jt_str(gate, "type", HOLD_GATE);
        cJSON_AddItemToArray(jt_array(tree, "status.conditions"), gate);
    }
    time_to_str(clock_wall(&s->clock), false, now);
    jt_str(gate, "status", open ? "True" : "False");
    jt_str(gate, "lastTransitionTime", now);
    sim_trace(s, "the application of %s is %s", o->name, open ? "quiet" : "released");
    api_replace(&s->api, "operator", o, tree);
}

/* AwaitingGates asks; SnapshotTaken, True or False, releases, and so does a Wukong that asks no
   more. A new question wants a new answer, for the condition must turn True after it was asked. */
static void sync_application(struct sim_cluster *w, const char *ns, const char *name)
{
    struct sim *s = w->arg;
    struct api_object *o = api_find(&s->api, API_WUKONG, ns, name);
    if (!o || !jt_has(json_at(o->tree, "spec.cloneSource.gates"), HOLD_GATE))
        return;
    struct application *a = application_of(s, o->uid);
    const cJSON *asks = condition_of(o->tree, "AwaitingGates");
    const cJSON *gate = condition_of(o->tree, HOLD_GATE);
    const char *taken = json_str(condition_of(o->tree, "SnapshotTaken"), "status");
    bool asked = str_eq(json_str(asks, "status"), "True");
    bool over = str_eq(taken, "True") || str_eq(taken, "False");
    /* RFC 3339 in UTC sorts as text. */
    bool answered = a->quiet && strcmp(str_or(json_str(gate, "lastTransitionTime"), ""),
                                       str_or(json_str(asks, "lastTransitionTime"), "")) >= 0;
    if (a->quiet && (over || !asked)) {
        a->quiet = false;
        a->before_from_ms = a->quiet_ms;
        a->before_to_ms = clock_wall(&s->clock);
        if (!a->leaves_open)
            set_gate(s, o, false);
        else
            sim_trace(s, "the application of %s goes on, its gate stays open", o->name);
    } else if (asked && !over && !answered) {
        a->quiet_ms = a->quiet ? a->quiet_ms : clock_wall(&s->clock);
        a->quiet = true;
        set_gate(s, o, true);
    }
}

void restrictions_wukong_changed(struct sim *s, const struct api_object *o)
{
    if (json_at(o->tree, "spec.cloneSource.gates"))
        sim_cluster_later(&s->cluster,
                          rng_chance(&s->rng, 100) ? rng_range(&s->rng, 1000, 60000)
                                                   : rng_range(&s->rng, 10, 1500),
                          sync_application, o->ns, o->name);
}

/* --- policies --- */

static struct restriction_policy *policy_of(struct sim *s, const char *name)
{
    for (struct restriction_policy *p = s->policies; p; p = p->next)
        if (str_eq(p->name, name))
            return p;
    struct restriction_policy *p = xcalloc(1, sizeof *p);
    p->name = xstrdup(name);
    p->next = s->policies;
    s->policies = p;
    return p;
}

static void draw_limit(struct sim *s, cJSON *policy, const char *rule, int64_t *most, bool fresh)
{
    CLEANUP_FREE char *path = xasprintf("spec.limits.%s", rule);
    bool limited = rng_chance(&s->rng, 400);
    int64_t limit = rng_range(&s->rng, 1, 3);
    jt_drop(policy, path);
    if (limited)
        jt_int(policy, path, limit);
    /* No limit, once, is no limit for the checker. */
    if (fresh)
        *most = limited ? limit : 0;
    else if (*most)
        *most = !limited ? 0 : limit > *most ? limit : *most;
}

static void draw_limits(struct sim *s, cJSON *policy, struct restriction_policy *p, bool fresh)
{
    draw_limit(s, policy, "concurrentPerCluster", &p->cluster, fresh);
    draw_limit(s, policy, "concurrentPerSource", &p->source, fresh);
    draw_limit(s, policy, "concurrentPerTargetNamespace", &p->target_ns, fresh);
}

#define LEAST_PER_MILLE 300

/* From the least to the most. */
static const char *const least_words[] = {"CrashConsistentPerDisk", "CrashConsistent",
                                          "FilesystemConsistent"};

bool restrictions_is_enough(const struct restriction_policy *p, const char *consistency)
{
    size_t got = 0, least = 0;
    if (!p->least || str_eq(consistency, "Offline"))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(least_words); i++) {
        if (str_eq(least_words[i], consistency))
            got = i + 1;
        if (str_eq(least_words[i], p->least))
            least = i + 1;
    }
    return got >= least;
}

static void add_policy(struct sim *s)
{
    char name[24];
    (void)snprintf(name, sizeof name, "policy%u", s->policy_count++);
    struct restriction_policy *p = policy_of(s, name);
    cJSON *tree = api_new(API_POLICY, NULL, name);
    jt_str(tree, "spec.match.source.virtualMachineSelector.matchLabels[" HOLD_LABEL "]",
           HOLD_SELECTED);
    draw_limits(s, tree, p, true);
    if (rng_chance(&s->rng, 400)) {
        cJSON *window = draw_window(s);
        p->window = restrictions_read_window(window);
        cJSON_AddItemToArray(jt_array(tree, "spec.windows"), window);
        jt_str(tree, "spec.outsideWindow", "Wait");
    }
    if (trait(s, "least", name, LEAST_PER_MILLE)) {
        p->least = least_words[rng_range(&s->rng, 0, ARRAY_LEN(least_words) - 1)];
        jt_str(tree, "spec.rules.minimumConsistency", p->least);
    }
    p->since_ms = s->now_ms;
    p->exists = true;
    (void)api_create(&s->api, "admin", API_POLICY, tree);
}

static struct api_object *a_policy(struct sim *s)
{
    return s->api.objects[API_POLICY];
}

static void delete_policy(struct sim *s, struct api_object *o)
{
    policy_of(s, o->name)->exists = false;
    api_delete(&s->api, "admin", o);
}

void restrictions_act(struct sim *s)
{
    struct api_object *o = a_policy(s);
    int64_t dice = rng_range(&s->rng, 0, 3);
    if (!o || (dice == 0 && s->policy_count < 4)) {
        add_policy(s);
    } else if (dice == 1) {
        delete_policy(s, o);
    } else {
        cJSON *tree = jt_copy(o->tree);
        draw_limits(s, tree, policy_of(s, o->name), false);
        api_replace(&s->api, "admin", o, tree);
    }
}

void restrictions_init(struct sim *s)
{
    while (rng_chance(&s->rng, 200) && s->policy_count < 2)
        add_policy(s);
}

void restrictions_calm(struct sim *s)
{
    struct api_object *o, *next;
    HASH_ITER (hh, s->api.objects[API_POLICY], o, next) {
        cJSON *tree = jt_copy(o->tree);
        if (rng_chance(&s->rng, 300)) {
            cJSON_Delete(tree);
            delete_policy(s, o);
            continue;
        }
        struct restriction_policy *p = policy_of(s, o->name);
        p->cluster = p->source = p->target_ns = 0;
        p->window = (struct restriction_window){0};
        jt_drop(tree, "spec.limits");
        p->least = NULL;
        jt_drop(tree, "spec.windows");
        jt_drop(tree, "spec.rules");
        api_replace(&s->api, "admin", o, tree);
    }
    HASH_ITER (hh, s->api.objects[API_WUKONG], o, next) {
        cJSON *tree = jt_copy(o->tree);
        if (!json_at(tree, "status.cloneStatus.completionTime"))
            jt_drop(tree, "spec.cloneSource.window");
        api_replace(&s->api, "user", o, tree);
    }
}

void restrictions_release(struct sim *s)
{
    while (s->applications) {
        struct application *a = s->applications;
        s->applications = a->next;
        free(a->uid);
        free(a);
    }
    while (s->policies) {
        struct restriction_policy *p = s->policies;
        s->policies = p->next;
        free(p->name);
        free(p);
    }
}
