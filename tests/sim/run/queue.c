/*
 * Who freezes when: clones of many sources that come at once, on storage that takes its time, one
 * guest frozen at a time, no faults but the cell's own. The oldest goes first, nobody waits longer
 * than the freezes before it take, a guest that refuses to freeze costs the others nothing, and a
 * node that dies with its guest frozen costs them no more than the guest's own timer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "run/sim.h"

#define CLONES 40
#define CUT_MS 2000
#define LIMIT_MS 3600000
/* All sources run by then, with their agents. */
#define RUNNING_MS 60000
/* From a thaw until the one behind is woken and has announced its freeze. */
#define TURN_MS 300
#define SLACK_MS 2000

struct queue_cell {
    const char *name;
    bool refusers;    /* one guest of ten */
    bool death;       /* of one node */
    unsigned at_once; /* guests that may be frozen */
    int64_t last_ms;  /* the last freezes by then, from the first on; 0: not judged */
    int64_t cost_ms;
};

static const struct queue_cell cells[] = {
    {"all-are-sound", .at_once = 1},
    {"storage-cuts-many-at-once", .at_once = 8, .last_ms = 50000},
    {"one-of-ten-refuses", .refusers = true, .at_once = 1},
    {"a-node-dies-frozen", .death = true, .at_once = 1, .cost_ms = SIM_UNFREEZE_MS},
};

struct queue_run {
    struct sim sim;
    const struct queue_cell *cell;
    int64_t asked[CLONES], thawed[CLONES]; /* 0: it has no freeze */
    bool special[CLONES], created;
};

static void create_sources(struct queue_run *q)
{
    char source[16];
    for (unsigned i = 0; i < CLONES; i++) {
        (void)snprintf(source, sizeof source, "src%u", i);
        scenario_source(&q->sim, source, true, "Always");
    }
}

static void create_clones(struct queue_run *q)
{
    struct sim *s = &q->sim;
    char source[16], name[16];
    for (unsigned i = 0; i < CLONES; i++) {
        (void)snprintf(source, sizeof source, "src%u", i);
        struct machine *m = machine_find(&s->cluster, SIM_NS, source);
        m->refuses = q->cell->refusers && i % 10 == 3;
        m->dies = q->cell->death && i == 5;
        q->special[i] = m->refuses || m->dies;
        (void)snprintf(name, sizeof name, "wk%02u", i);
        cJSON *w = scenario_clone(name, m, false);
        jt_str(w, "spec.cloneSource.cloneType", "running");
        jt_str(w, "spec.cloneSource.snapshotMethod", "VolumeSnapshot");
        jt_int(w, "spec.cloneSource.deadlineSeconds", 3600);
        (void)api_create(&s->api, "user", API_WUKONG, w);
    }
}

static bool all_ended(const struct sim *s)
{
    for (const struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next) {
        const char *phase = json_str(o->tree, "status.cloneStatus.phase");
        if (!str_eq(phase, "Succeeded") && !str_eq(phase, "Failed"))
            return false;
    }
    return true;
}

static void every_second(void *arg)
{
    struct queue_run *q = arg;
    struct sim *s = &q->sim;
    if (s->now_ms >= RUNNING_MS && !q->created)
        create_clones(q);
    q->created |= s->now_ms >= RUNNING_MS;
    s->over = s->over || (q->created && all_ended(s)) || s->now_ms > LIMIT_MS;
    timer_arm(&s->timers, &s->end, s->now_ms + 1000);
}

static void read_times(struct queue_run *q)
{
    for (const struct api_object *o = q->sim.api.objects[API_WUKONG]; o; o = o->hh.next) {
        uint64_t i = 0;
        const cJSON *freeze = json_at(o->tree, "status.cloneStatus.freeze");
        if (!str_to_u64(o->name[2] == '0' ? o->name + 3 : o->name + 2, &i) || i >= CLONES)
            continue;
        (void)str_to_time_ms(json_str(freeze, "requestedTime"), &q->asked[i]);
        (void)str_to_time_ms(json_str(freeze, "thawedTime"), &q->thawed[i]);
    }
}

/* Of the sound ones: pairs in the wrong order, and by how much the worst has waited longer than the
   freezes of those before it took. The very first came when nobody waited, whoever it was. */
static unsigned judge(const struct queue_run *q, int64_t *ret_late, int64_t *ret_last)
{
    unsigned wrong = 0;
    /* Of those that may go at the same time either may be first. */
    int64_t apart = q->cell->at_once > 1 ? SLACK_MS : 0;
    size_t f = CLONES;
    for (size_t i = 0; i < CLONES; i++)
        if (q->asked[i] && (f == CLONES || q->asked[i] < q->asked[f]))
            f = i;
    *ret_late = *ret_last = 0;
    if (f == CLONES)
        return CLONES;
    int64_t first = q->asked[f], ideal = q->thawed[f] - first;
    for (size_t i = 0; i < CLONES; i++) {
        if (q->special[i] || i == f)
            continue;
        int64_t late = q->asked[i] - first - ideal;
        *ret_late = late > *ret_late ? late : *ret_late;
        *ret_last = q->asked[i] - first > *ret_last ? q->asked[i] - first : *ret_last;
        ideal += q->thawed[i] - q->asked[i] + TURN_MS;
        for (size_t k = 0; k < i; k++)
            wrong += !q->special[k] && k != f && q->asked[k] > q->asked[i] + apart;
    }
    return wrong;
}

static bool run_queue(const struct queue_cell *c, bool verbose)
{
    static const struct kill_plan none = {"running", "VolumeSnapshot", .of_vmi = false};
    struct queue_run q = {.cell = c};
    struct sim *s = &q.sim;
    int64_t late, last;
    /* All cells have the same sources. */
    sim_init_empty(s, &none, 1, false);
    s->verbose = verbose;
    s->max_in_flight = CLONES;
    s->max_frozen = c->at_once;
    s->limit_ms = LIMIT_MS;
    s->cluster.cut_ms = CUT_MS;
    scenario_classes(s);
    create_sources(&q);
    sim_start(s);
    timer_init(&s->end, every_second, &q);
    timer_arm(&s->timers, &s->end, s->now_ms + 1000);
    log_clock(&s->clock);
    sim_run(s);
    read_times(&q);
    unsigned wrong = judge(&q, &late, &last);
    bool ended = all_ended(s);
    bool good = !s->violation && ended && !wrong && late <= c->cost_ms + SLACK_MS &&
                (!c->last_ms || last <= c->last_ms);
    (void)printf("%s: %u of %u pairs out of order, the last freezes after %.1f s, at most %.1f s "
                 "later than the freezes before it took%s%s%s\n",
                 c->name, wrong, CLONES * (CLONES - 1) / 2, (double)last / 1000,
                 (double)late / 1000, good ? "" : ", BROKEN ", ended ? "" : "not all have ended ",
                 s->violation ? s->violation_detail : "");
    for (size_t i = 0; verbose && i < CLONES; i++)
        (void)printf("  wk%02zu%s %.3f to %.3f\n", i, q.special[i] ? "*" : "",
                     (double)(q.asked[i] - SIM_EPOCH_MS) / 1000,
                     (double)(q.thawed[i] - SIM_EPOCH_MS) / 1000);
    (void)fflush(stdout);
    log_clock(&clock_system);
    sim_release(s);
    return good;
}

bool queue_all(const char *cell, bool verbose)
{
    bool good = true, any = false;
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        if (!str_empty(cell) && !str_eq(cell, cells[i].name))
            continue;
        any = true;
        good = run_queue(&cells[i], verbose) && good;
    }
    if (!any)
        (void)printf("no cell is called %s\n", cell);
    return good && any;
}
