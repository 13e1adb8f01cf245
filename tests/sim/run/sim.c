#include "run/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"

/* How long everything may take to end once faults have stopped: two deadlines of 900 s, for a retry
   that was asked for before a clone failed is acted upon when it has, and begins its own; and the
   way there. */
#define CALM_MS 2100000

static int64_t clock_of(void *arg)
{
    const struct sim *s = arg;
    return s->now_ms;
}

static int64_t wall_of(void *arg)
{
    const struct sim *s = arg;
    return SIM_EPOCH_MS + s->now_ms;
}

static int64_t process_clock_of(void *arg)
{
    const struct process *p = arg;
    return clock_of(p->sim);
}

static int64_t process_wall_of(void *arg)
{
    const struct process *p = arg;
    return wall_of(p->sim) + p->off_ms;
}

/* --- trace and violations --- */

void sim_trace(struct sim *s, const char *format, ...)
{
    char text[600];
    va_list args;
    int n = snprintf(text, sizeof text, "%9.3f ", (double)s->now_ms / 1000);
    va_start(args, format);
    (void)vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);
    s->trace_hash = s->trace_hash * 1099511628211u ^ str_hash64(text, strlen(text));
    if (s->verbose)
        (void)printf("%s\n", text);
    char **slot = &s->trace[s->trace_lines++ % SIM_TRACE];
    free(*slot);
    *slot = xstrdup(text);
}

void sim_violation(struct sim *s, const char *invariant, const char *format, ...)
{
    char text[900];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim_trace(s, "VIOLATION %s: %s", invariant, text);
    if (s->violation)
        return;
    s->violation = xstrdup(invariant);
    s->violation_detail = xstrdup(text);
    s->over = true;
}

/* --- hooks of the API server --- */

static void on_changed(void *arg, const char *who, enum api_change_type type, struct api_object *o,
                       const cJSON *before)
{
    static const char *const words[] = {"+", "~", "-"};
    struct sim *s = arg;
    if (o->kind != API_LEASE)
        sim_trace(s, "%s %s %s/%s @%" PRIu64 " by %s", words[type], api_kinds[o->kind].kind, o->ns,
                  o->name, o->version, who);
    if (s->verbose && o->kind == API_WUKONG)
        (void)printf("          %s\n", o->text->s);
    checkers_changed(s, who, type, o, before);
    if (o->kind == API_WUKONG && type != API_DELETED)
        restrictions_wukong_changed(s, o);
    sim_cluster_changed(&s->cluster, type, o, before);
}

static void on_appended(void *arg)
{
    struct sim *s = arg;
    for (unsigned i = 0; i < s->process_count; i++)
        if (s->processes[i].worker)
            net_wake(s->processes[i].net);
}

/* What KubeVirt, the storage and quotas say to a new object; and what the API server fills in. */
static bool on_admit(void *arg, const char *who, enum api_kind kind, cJSON *tree,
                     const cJSON *before, bool dry_run, struct api_reply *reply)
{
    struct sim *s = arg;
    struct api_target t = {.kind = kind};
    (void)dry_run;
    if (before || !str_starts(who, "worker") || kind == API_LEASE || kind == API_EVENT)
        return false;
    (void)snprintf(t.name, sizeof t.name, "%s", str_or(json_str(tree, "metadata.name"), ""));
    if (kubevirt_admit(&s->cluster, kind, tree, reply))
        return true;
    if (rng_chance(&s->rng, s->cluster.faults.admission_refuses) ||
        (kind == API_GROUP && s->groups.refused)) {
        api_fail(reply, 403, "Forbidden", &t,
                 "%s \"%s\" is forbidden: exceeded quota: q, requested: requests.storage=1Gi, "
                 "used: requests.storage=9Gi, limited: requests.storage=9Gi",
                 api_kinds[kind].resource, t.name);
        return true;
    }
    if (kind == API_PVC) {
        copycats_admit(s, tree);
        jt_add(tree, "metadata.finalizers", "kubernetes.io/pvc-protection");
        if (json_at(tree, "spec.dataSource") && !json_at(tree, "spec.dataSourceRef"))
            jt_put(tree, "spec.dataSourceRef", jt_copy(json_at(tree, "spec.dataSource")));
    }
    return false;
}

static void on_subresource(void *arg, const char *who, enum api_kind kind, const char *ns,
                           const char *name, const char *verb, const cJSON *body,
                           struct api_reply *reply)
{
    struct sim *s = arg;
    kubevirt_call(&s->cluster, who, kind, ns, name, verb, body, reply);
    if (str_eq(verb, "freeze") && reply->body && strstr(reply->body, "command Freeze failed"))
        checkers_refused(s, ns, name);
    sim_trace(s, "%s %s %s/%s -> %d by %s", verb, api_kinds[kind].kind, ns, name, reply->code, who);
}

/* The stamp's user in the stamp's words, for a source that is not in the Wukong's namespace. */
static bool on_may(void *arg, const cJSON *spec)
{
    struct sim *s = arg;
    const cJSON *a = json_get(spec, "resourceAttributes");
    const char *verb = json_str(a, "verb"), *sub = json_str(a, "subresource");
    bool clone = str_eq(verb, "create") && str_eq(sub, "source") &&
                 str_eq(json_str(a, "resource"), "wukongs");
    bool start = str_eq(verb, "update") && str_eq(sub, "start") &&
                 str_eq(json_str(a, "resource"), "virtualmachines");
    return !s->right_gone_ms && (clone || start) && str_eq(json_str(spec, "user"), "user") &&
           str_eq(json_str(a, "namespace"), SIM_NS);
}

static void on_illegal(void *arg, const char *who, const char *what, const char *path)
{
    sim_violation(arg, "legal-requests", "%s sent %s: %s", who, what, path);
}

void sim_kill_workers(struct sim *s)
{
    for (unsigned i = 0; i < s->process_count; i++)
        timer_arm(&s->timers, &s->processes[i].kill, s->now_ms);
}

static bool is_intent(enum kube_method method, const char *path)
{
    return method != KUBE_GET && !strstr(path, "/leases");
}

static void on_handled(void *arg, const struct api_call *call, const struct api_reply *reply)
{
    static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    struct sim *s = arg;
    bool intent = is_intent(call->method, call->path);
    if (intent && s->plan && ++s->writes_done == s->plan->at && s->plan->after)
        sim_kill_workers(s);
    if (intent)
        sim_trace(s, "%s %s %.200s -> %d", call->who, verbs[call->method], call->path, reply->code);
    if (s->verbose && reply->code >= 400 && reply->body)
        (void)printf("          %s\n", reply->body);
}

static void on_froze(void *arg, const struct machine *m, enum freezer by)
{
    struct sim *s = arg;
    sim_trace(s, "guest %s frozen by %s", m->name, by == FREEZER_OURS ? "us" : "others");
    checkers_froze(s, m, by);
    if (by == FREEZER_OURS && rng_chance(&s->rng, s->cluster.faults.backup_meets))
        sim_cluster_later(&s->cluster, rng_range(&s->rng, 0, 500), vmi_backup, m->ns, m->name);
}

static void on_thawed(void *arg, const struct machine *m, enum freezer was, const char *by)
{
    struct sim *s = arg;
    sim_trace(s, "guest %s thawed by %s", m->name, by);
    checkers_thawed(s, m, was, by);
}

static void on_note(void *arg, const char *text)
{
    sim_trace(arg, "%s", text);
}

/* --- processes --- */

static bool on_submitted(void *arg, const char *who, const struct kube_request *r)
{
    struct sim *s = arg;
    if (s->verbose && !strstr(r->path, "/leases"))
        (void)printf("          %.3f %s sends %s\n", (double)s->now_ms / 1000, who, r->path);
    checkers_submitted(s, who, r);
    if (s->plan) {
        bool die =
            is_intent(r->method, r->path) && ++s->writes_sent == s->plan->at && !s->plan->after;
        if (die)
            sim_kill_workers(s);
        return die;
    }
    for (unsigned i = 0; i < s->process_count; i++) {
        struct process *p = &s->processes[i];
        bool mine = p->worker && str_eq(p->identity, who);
        if (mine && rng_chance(&s->rng, s->kill_per_mille) && !timer_armed(&p->kill))
            timer_arm(&s->timers, &p->kill, s->now_ms + rng_range(&s->rng, 0, 40));
    }
    return false;
}

/* No callback may follow, and no last word. */
static void end_process(struct process *p)
{
    worker_free(TAKE(p->worker));
    if (net_calls(p->net))
        sim_violation(p->sim, "clean-end", "%s was freed and left %zu calls", p->identity,
                      net_calls(p->net));
    net_kill(p->net);
}

static void resigned(void *arg)
{
    struct process *p = arg;
    timer_arm(&p->sim->timers, &p->kill, p->sim->now_ms);
}

static void kill_process(void *arg)
{
    struct process *p = arg;
    struct sim *s = p->sim;
    if (!p->worker)
        return;
    if (!s->plan && !p->resigning && worker_leads(p->worker) && rng_chance(&s->rng, 250)) {
        sim_trace(s, "%s is told to end", p->identity);
        p->resigning = true;
        worker_resign(p->worker, resigned, p);
        return;
    }
    sim_trace(s, "%s is killed", p->identity);
    s->kills++;
    end_process(p);
    timer_cancel(&s->timers, &p->kill);
    timer_arm(&s->timers, &p->start, s->now_ms + rng_range(&s->rng, 100, 20000));
}

static void lost_lease(void *arg)
{
    struct process *p = arg;
    sim_trace(p->sim, "%s has lost its lease", p->identity);
    timer_arm(&p->sim->timers, &p->kill, p->sim->now_ms);
}

/* A worker that starts anew may do so on another node; the clock of one that runs may be set. */
static void set_clock(struct process *p)
{
    struct sim *s = p->sim;
    if (!s->clocks_off_ms)
        return;
    p->off_ms = rng_range(&s->rng, -s->clocks_off_ms, s->clocks_off_ms);
    sim_trace(s, "the clock of %s is off by %" PRId64 " ms", p->identity, p->off_ms);
}

static const struct scope served = {.names = (char *[]){(char[]){SIM_NS}, (char[]){SIM_OTHER_NS}},
                                    .count = 2};

static void start_process(void *arg)
{
    struct process *p = arg;
    struct sim *s = p->sim;
    if (outages_under_way(s)) {
        timer_arm(&s->timers, &p->start, s->outages.until_ms);
        return;
    }
    struct net_list *n = xcalloc(1, sizeof *n);
    (void)snprintf(p->identity, sizeof p->identity, "worker-%u", ++s->lives);
    net_init(&n->net, &s->api, p->identity, &s->net_faults,
             (struct net_hooks){on_submitted, on_handled, s});
    n->next = s->nets;
    s->nets = n;
    p->net = &n->net;
    p->resigning = false;
    set_clock(p);
    p->worker = worker_new(&(struct worker_config){
        .transport = &n->net.face,
        .clock = &p->clock,
        .timers = &s->timers,
        .rng = &s->rng,
        .ns = SIM_SYSTEM_NS,
        .lease_name = SIM_LEASE,
        .stamp_configmap = SIM_STAMP_MAP,
        .scope = s->scoped ? &served : NULL,
        .cross_namespace = true,
        .identity = p->identity,
        .unfreeze_timeout_ms = SIM_UNFREEZE_MS,
        .max_in_flight = traits_in_flight(s),
        .max_frozen = s->max_frozen,
        .lost_lease = lost_lease,
        .arg = p,
    });
    sim_trace(s, "%s starts", p->identity);
    worker_start(p->worker);
}

/* --- time --- */

static void weather_changes(void *arg)
{
    struct sim *s = arg;
    if (s->calm)
        return;
    faults_draw(s);
    if (rng_chance(&s->rng, 150) && s->processes[0].worker)
        net_cut_watches(s->processes[0].net);
    if (rng_chance(&s->rng, 200) && s->api.version > s->api.compacted)
        api_compact(&s->api, s->api.version - (uint64_t)rng_range(&s->rng, 0, 20));
    for (unsigned i = 0; i < s->process_count; i++)
        if (s->processes[i].worker && rng_chance(&s->rng, 60))
            s->processes[i].net->refused_until_ms = s->now_ms + rng_range(&s->rng, 1000, 25000);
    /* What hides a write: its answer is lost, and the watch that would show it hangs. */
    if (rng_chance(&s->rng, 60)) {
        s->net_faults.lose_after += 300;
        for (unsigned i = 0; i < s->process_count; i++)
            if (s->processes[i].worker)
                net_hang_watches(s->processes[i].net, API_WUKONG);
    }
    for (unsigned i = 0; i < s->process_count; i++)
        if (s->processes[i].worker && rng_chance(&s->rng, 200))
            set_clock(&s->processes[i]);
    timer_arm(&s->timers, &s->faults_timer, s->now_ms + rng_range(&s->rng, 5000, 60000));
}

static void user_acts(void *arg)
{
    struct sim *s = arg;
    if (s->calm)
        return;
    if (!outages_under_way(s))
        scenario_act(s);
    timer_arm(&s->timers, &s->user, s->now_ms + rng_range(&s->rng, 500, 40000));
}

static void look_for_end(void *arg)
{
    struct sim *s = arg;
    if (!s->calm && s->now_ms >= s->calm_ms) {
        sim_trace(s, "faults are over");
        s->calm = true;
        s->calm_at_ms = s->now_ms;
        faults_clear(s);
        scenario_calm(s);
    }
    bool settled = s->calm && s->now_ms > s->calm_at_ms + 30000 && checkers_settled(s);
    if (settled || s->now_ms >= s->limit_ms) {
        checkers_end(s, settled);
        s->over = true;
        return;
    }
    timer_arm(&s->timers, &s->end, s->now_ms + 5000);
}

static void prepare(struct sim *s, uint64_t seed, bool verbose)
{
    *s = (struct sim){.seed = seed,
                      .verbose = verbose,
                      .now_ms = 1000,
                      .max_in_flight = 20,
                      .max_frozen = SIM_FROZEN_MAX};
    rng_seed(&s->rng, seed);
    s->clock = (struct clock){clock_of, wall_of, s};
    api_init(&s->api, &s->clock, &s->timers, &s->rng);
    s->api.hooks = (struct api_hooks){on_changed, on_admit, on_subresource, on_may, on_illegal, s};
    s->api.appended = on_appended;
    s->api.appended_arg = s;
    sim_cluster_init(&s->cluster, &s->api);
    s->cluster.froze = on_froze;
    s->cluster.thawed = on_thawed;
    s->cluster.note = on_note;
    s->cluster.arg = s;
    timer_init(&s->faults_timer, weather_changes, s);
    timer_init(&s->user, user_acts, s);
    for (unsigned i = 0; i < SIM_WORKERS_MAX; i++) {
        struct process *p = &s->processes[i];
        p->sim = s;
        p->clock = (struct clock){process_clock_of, process_wall_of, p};
        timer_init(&p->kill, kill_process, p);
        timer_init(&p->start, start_process, p);
    }
}

void sim_start(struct sim *s)
{
    for (unsigned i = 0; i < s->process_count; i++)
        timer_arm(&s->timers, &s->processes[i].start, s->now_ms + rng_range(&s->rng, 0, 3000));
}

void sim_init(struct sim *s, uint64_t seed, bool verbose)
{
    prepare(s, seed, verbose);
    s->process_count = rng_chance(&s->rng, 400) ? 2 : 1;
    s->calm_ms = rng_range(&s->rng, 60, 300) * 1000;
    s->limit_ms = s->calm_ms + CALM_MS;
    if (rng_chance(&s->rng, 250))
        s->clocks_off_ms = 2000;
    if (rng_chance(&s->rng, 250))
        s->api.page_max = (int)rng_range(&s->rng, 1, 4);
    faults_draw(s);
    scenario_init(s);
    strangers_init(s);
    copycats_init(s);
    outages_init(s);
    timer_init(&s->end, look_for_end, s);
    timer_arm(&s->timers, &s->faults_timer, s->now_ms + 20000);
    timer_arm(&s->timers, &s->user, s->now_ms + 500);
    timer_arm(&s->timers, &s->end, s->now_ms + 5000);
    sim_start(s);
}

void sim_init_empty(struct sim *s, const struct kill_plan *plan, uint64_t seed, bool verbose)
{
    prepare(s, seed, verbose);
    s->plan = plan;
    s->process_count = 1;
    s->calm = true;
    s->limit_ms = CALM_MS;
    faults_clear(s);
}

void sim_init_plan(struct sim *s, const struct kill_plan *plan, uint64_t seed, bool verbose)
{
    sim_init_empty(s, plan, seed, verbose);
    scenario_plan(s, plan);
    timer_init(&s->end, plan_look, s);
    timer_arm(&s->timers, &s->end, s->now_ms + 1000);
    sim_start(s);
}

void sim_run(struct sim *s)
{
    while (!s->over) {
        int64_t next = timers_next(&s->timers);
        if (next > s->now_ms)
            s->now_ms = next;
        (void)timers_run(&s->timers, s->now_ms);
    }
}

void sim_release(struct sim *s)
{
    for (unsigned i = 0; i < s->process_count; i++) {
        struct process *p = &s->processes[i];
        if (p->worker)
            end_process(p);
    }
    while (s->nets) {
        struct net_list *n = s->nets;
        s->nets = n->next;
        net_release(&n->net);
        free(n);
    }
    sim_cluster_release(&s->cluster);
    cJSON_Delete(s->batch);
    restrictions_release(s);
    api_release(&s->api);
    checkers_release(s);
    for (size_t i = 0; i < SIM_TRACE; i++)
        free(s->trace[i]);
    free(s->violation);
    free(s->violation_detail);
    timers_release(&s->timers);
    metric_reset_all();
}
