/*
 * Outages, and Wukongs that go without their worker: for eleven minutes, an hour or a day no worker
 * runs, and users delete Wukongs meanwhile; and somebody takes the finalizer of a Wukong by force,
 * or brings a namespace back without it. What such a Wukong has left is nobody's, until a worker
 * sweeps it.
 *
 * It draws from a stream of its own, so that a run without any of that is what it was.
 */
#include "base/str.h"
#include "checkers/checkers.h"
#include "run/sim.h"

static bool chance(struct sim *s, unsigned per_mille)
{
    return rng_chance(&s->outages.rng, per_mille);
}

static bool is_choice(const struct api_object *o, bool under_way)
{
    const char *phase = json_str(o->tree, "status.cloneStatus.phase");
    return !str_starts(o->name, "probe") && (!under_way || str_eq(phase, "Cloning"));
}

/* One that is under way, as a rule: the others have left nothing but parents of linked clones. */
static struct api_object *any_clone(struct sim *s)
{
    int64_t n = 0;
    bool under_way = chance(s, 800);
    for (struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next)
        n += is_choice(o, under_way);
    n = n ? rng_range(&s->outages.rng, 0, n - 1) : -1;
    for (struct api_object *o = s->api.objects[API_WUKONG]; o && n >= 0; o = o->hh.next)
        if (is_choice(o, under_way) && n-- == 0)
            return o;
    return NULL;
}

/* kubectl patch --type=merge -p '{"metadata":{"finalizers":null}}', of one that is being deleted or
   is not. */
static void take_by_force(struct sim *s)
{
    struct api_object *o = any_clone(s);
    struct seen_wukong *k = o ? checkers_find(s, o->uid) : NULL;
    if (!k)
        return;
    sim_trace(s, "user takes the finalizer of %s by force", o->name);
    k->forced = true;
    cJSON *tree = jt_copy(o->tree);
    jt_drop(tree, "metadata.finalizers");
    api_replace(&s->api, "user", o, tree);
    o = api_find_uid(&s->api, k->uid);
    if (o)
        api_delete(&s->api, "user", o);
}

static void begin_outage(struct sim *s)
{
    s->outages.until_ms = s->now_ms + s->outages.away_ms;
    sim_trace(s, "no worker runs for %lld min", (long long)(s->outages.away_ms / 60000));
    sim_kill_workers(s);
    for (struct api_object *o = s->api.objects[API_WUKONG], *next; o; o = next) {
        next = o->hh.next;
        if (!str_starts(o->name, "probe") && chance(s, 300))
            api_delete(&s->api, "user", o);
    }
}

static void act(void *arg)
{
    struct sim *s = arg;
    if (s->calm)
        return;
    if (s->outages.away_ms && !s->outages.until_ms)
        begin_outage(s);
    else if (s->outages.forces)
        take_by_force(s);
    timer_arm(&s->timers, &s->outages.timer, s->now_ms + rng_range(&s->outages.rng, 5000, 60000));
}

bool outages_under_way(const struct sim *s)
{
    return s->now_ms < s->outages.until_ms;
}

void outages_init(struct sim *s)
{
    static const int64_t minutes[] = {11, 60, 24 * 60};
    rng_seed(&s->outages.rng, s->seed ^ 0x6f757461);
    timer_init(&s->outages.timer, act, s);
    s->outages.forces = chance(s, 150);
    if (chance(s, 80))
        s->outages.away_ms = 60000 * minutes[rng_range(&s->outages.rng, 0, ARRAY_LEN(minutes) - 1)];
    s->calm_ms += s->outages.away_ms;
    s->limit_ms += s->outages.away_ms;
    if (s->outages.forces || s->outages.away_ms)
        timer_arm(&s->timers, &s->outages.timer,
                  s->now_ms + rng_range(&s->outages.rng, 20000, 60000));
}
