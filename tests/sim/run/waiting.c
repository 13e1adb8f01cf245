/*
 * What clones that wait for a person cost: a thousand Wukongs, held up by one thing that nobody
 * mends, and every request of the worker counted, lists, watches and lease included. No minute may
 * have more than a thousand, the first as little as the tenth: what waits must not be what the API
 * server works for. Within the ten minutes each clone says what it waits for.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "run/sim.h"

#define CLONES 1000
#define MANY 250 /* sources; one each takes the simulator minutes */
#define MINUTE_MS 60000
#define MINUTES 10
#define PER_MINUTE 1000

struct cell {
    const char *name, *reason;
    unsigned sources;
    bool elsewhere, halted, stirred; /* stirred: something keeps changing every source's status */
    void (*hold)(struct sim *s);     /* once the sources are there */
    void (*hold_each)(cJSON *wukong);
};

struct waiting {
    struct sim sim;
    const struct cell *cell;
    unsigned long long counted;
    unsigned minute, worst, of[MINUTES];
};

/* --- what holds them up --- */

static void remove_snapshot_class(struct sim *s)
{
    api_delete(&s->api, "admin", api_find(&s->api, API_SNAPSHOT_CLASS, NULL, "snap"));
}

static void no_source(cJSON *wukong)
{
    jt_str(wukong, "spec.cloneSource.vmName", "nowhere");
}

static void closed_gate(cJSON *wukong)
{
    jt_add(wukong, "spec.cloneSource.gates", "example.com/Never");
}

static void denying_policy(struct sim *s)
{
    cJSON *tree = api_new(API_POLICY, NULL, "nobody");
    jt_str(tree, "spec.match.source.virtualMachineSelector.matchLabels[" HOLD_LABEL "]",
           HOLD_SELECTED);
    jt_add(tree, "spec.rules.cloneTypes", "linked");
    (void)api_create(&s->api, "admin", API_POLICY, tree);
}

static void take_right(struct sim *s)
{
    s->right_gone_ms = s->now_ms;
}

static void exceed_quota(struct sim *s)
{
    s->cluster.faults.admission_refuses = 1000;
}

/* What the machine names is not in the clones' namespace. */
static void name_config_map(struct sim *s)
{
    struct api_object *o, *next;
    HASH_ITER (hh, s->api.objects[API_VM], o, next) {
        cJSON *tree = jt_copy(o->tree), *volume = cJSON_CreateObject();
        cJSON *disk = cJSON_CreateObject();
        jt_str(volume, "name", "settings");
        jt_str(volume, "configMap.name", "settings");
        cJSON_AddItemToArray(jt_array(tree, "spec.template.spec.volumes"), volume);
        jt_str(disk, "name", "settings");
        jt_str(disk, "disk.bus", "virtio");
        cJSON_AddItemToArray(jt_array(tree, "spec.template.spec.domain.devices.disks"), disk);
        api_replace(&s->api, "user", o, tree);
    }
}

/* Somebody's machine has the name that each clone's machine gets. */
static void take_names(struct sim *s)
{
    for (unsigned i = 0; i < CLONES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "wk%u-vm", i);
        cJSON *tree = api_new(API_VM, SIM_NS, name);
        jt_str(tree, "spec.runStrategy", "Halted");
        (void)api_create(&s->api, "user", API_VM, tree);
    }
}

static const struct cell cells[] = {
    {"no-snapshot-class", "SnapshotClassMissing", 1, .hold = remove_snapshot_class},
    {"no-snapshot-class-of-many", "SnapshotClassMissing", MANY, .hold = remove_snapshot_class},
    {"no-snapshot-class-stirred", "SnapshotClassMissing", 20, .stirred = true,
     .hold = remove_snapshot_class},
    {"no-source", "SourceNotFound", 1, .hold_each = no_source},
    {"policy-denies", "PolicyDenied", 1, .hold = denying_policy},
    {"gate-closed", "AwaitingGates", 1, .hold_each = closed_gate},
    {"right-is-gone", "NotAdmitted", 1, .elsewhere = true, .hold = take_right},
    {"right-is-gone-of-many", "NotAdmitted", MANY, .elsewhere = true, .hold = take_right},
    {"quota-exceeded", "QuotaExceeded", 1, .hold = exceed_quota},
    {"quota-exceeded-of-many", "QuotaExceeded", MANY, .hold = exceed_quota},
    {"name-taken", "NameTaken", 1, .hold = take_names},
    {"name-taken-stirred", "NameTaken", 20, .stirred = true, .hold = take_names},
    {"dependency-missing-of-many", "DependencyMissing", MANY, .elsewhere = true,
     .hold = name_config_map},
};

/* --- the run --- */

static const char *source_of(unsigned i, char out[16])
{
    (void)snprintf(out, 16, "src%u", i);
    return out;
}

static void create_clones(struct sim *s, const struct cell *c)
{
    char name[16], source[16];
    for (unsigned i = 0; i < CLONES; i++) {
        (void)snprintf(name, sizeof name, "wk%u", i);
        struct machine *m = machine_find(&s->cluster, SIM_NS, source_of(i % c->sources, source));
        cJSON *w = scenario_clone(name, m, false);
        jt_str(w, "spec.cloneSource.cloneType", "running");
        jt_int(w, "spec.cloneSource.deadlineSeconds", 86400);
        jt_str(w, "spec.cloneSource.snapshotMethod", "VolumeSnapshot");
        if (c->hold_each)
            c->hold_each(w);
        if (c->elsewhere)
            scenario_put_elsewhere(s, w);
        (void)api_create(&s->api, "user", API_WUKONG, w);
    }
}

/* As KubeVirt's controllers do while a guest's agent talks. */
static void stir(struct sim *s)
{
    struct api_object *o, *next;
    HASH_ITER (hh, s->api.objects[API_VMI], o, next) {
        cJSON *tree = jt_copy(o->tree);
        jt_int(tree, "status.guestOSInfo.uptime", s->now_ms);
        api_replace(&s->api, "kubevirt", o, tree);
    }
}

static unsigned long long requests(const struct sim *s)
{
    unsigned long long n = 0;
    for (const struct net_list *l = s->nets; l; l = l->next)
        n += l->net.requests;
    return n;
}

static void every_tick(void *arg)
{
    struct waiting *w = arg;
    struct sim *s = &w->sim;
    if (w->minute < MINUTES && s->now_ms / MINUTE_MS > w->minute) {
        if (w->cell->stirred)
            stir(s);
        unsigned now = (unsigned)(requests(s) - w->counted);
        w->counted += now;
        w->of[w->minute++] = now;
        if (now > w->worst)
            w->worst = now;
    }
    s->over = s->over || w->minute == MINUTES;
    timer_arm(&s->timers, &s->end, s->now_ms + 12000);
}

/* What the clone says to why it is not there yet. */
static const char *why_of(const struct api_object *o)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, json_at(o->tree, "status.conditions"))
        if (str_eq(json_str(c, "type"), "Ready"))
            return str_or(json_str(c, "reason"), "-");
    return "-";
}

/* How many say the cell's reason. Where only some can be at work the others wait for their turn. */
static unsigned count_waiting(const struct sim *s, const char *reason)
{
    unsigned n = 0;
    for (const struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next)
        n += str_eq(why_of(o), reason);
    return n;
}

static bool run(const struct cell *c, bool verbose)
{
    static const struct kill_plan none = {"running", "VolumeSnapshot", .of_vmi = false};
    struct waiting w = {.cell = c};
    struct sim *s = &w.sim;
    char name[16];
    sim_init_empty(s, &none, str_hash64(c->name, strlen(c->name)), false);
    s->verbose = verbose;
    s->max_in_flight = CLONES;
    scenario_classes(s);
    for (unsigned i = 0; i < c->sources; i++)
        scenario_source(s, source_of(i, name), true, c->halted ? "Halted" : "Always");
    if (c->hold)
        c->hold(s);
    create_clones(s, c);
    sim_start(s);
    timer_init(&s->end, every_tick, &w);
    timer_arm(&s->timers, &s->end, s->now_ms + 12000);
    log_clock(&s->clock);
    sim_run(s);
    unsigned held = count_waiting(s, c->reason);
    bool good = !s->violation && w.worst <= PER_MINUTE &&
                (held == CLONES || (held && held + count_waiting(s, "Queued") == CLONES));
    (void)printf("%s: %u of %u clones of %u sources wait, %s: at most %u requests a minute%s%s\n",
                 c->name, held, CLONES, c->sources, c->reason, w.worst, good ? "" : ", BROKEN ",
                 s->violation ? s->violation_detail : "");
    (void)printf("  minute by minute:");
    for (unsigned i = 0; i < w.minute; i++)
        (void)printf(" %u", w.of[i]);
    (void)printf("\n");
    if (verbose)
        for (const struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next)
            (void)printf("  %s %s\n", o->name, why_of(o));
    (void)fflush(stdout);
    log_clock(&clock_system);
    sim_release(s);
    return good;
}

bool waiting_all(const char *cell, bool verbose)
{
    bool good = true, any = false;
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        if (!str_empty(cell) && !str_eq(cell, cells[i].name))
            continue;
        any = true;
        good = run(&cells[i], verbose) && good;
    }
    if (!any)
        (void)printf("no cell is called %s\n", cell);
    return good && any;
}
