/* Fault rates. Each run, and each spell of a run, draws which faults there are at all ("swarm"):
   a mixture of everything hides what one fault alone brings to light. */
#include "run/sim.h"

static unsigned maybe(struct sim *s, unsigned chance, unsigned most)
{
    return rng_chance(&s->rng, chance) ? (unsigned)rng_range(&s->rng, 1, most) : 0;
}

void faults_draw(struct sim *s)
{
    unsigned chance = (unsigned)rng_range(&s->rng, 0, 500);
    s->net_faults = (struct net_faults){
        .refuse = maybe(s, chance, 60),
        .lose_before = maybe(s, chance, 60),
        .lose_after = maybe(s, chance, 120),
        .error_500 = maybe(s, chance, 150),
        .error_429 = maybe(s, chance, 150),
        .error_503 = maybe(s, chance, 80),
        .error_after = maybe(s, chance, 60),
        .conflict = maybe(s, chance, 100),
        .slow = maybe(s, chance, 100),
        .watch_cut = maybe(s, chance, 600),
        .watch_half_open = maybe(s, chance / 3, 200),
        .watch_lag = maybe(s, chance, 600),
        .latency_ms_max = rng_chance(&s->rng, 200) ? 200 : 15,
    };
    s->cluster.faults = (struct cluster_faults){
        .freeze_slow = maybe(s, chance, 300),
        .freeze_late = maybe(s, chance, 300),
        .freeze_error = maybe(s, chance, 300),
        .freeze_error_but_frozen = maybe(s, chance, 300),
        .thaw_error = rng_chance(&s->rng, 60) ? 1000 : maybe(s, chance, 300), /* dead agents */
        .thaw_error_but_thawed = maybe(s, chance, 200),
        .snapshot_slow = maybe(s, chance, 400),
        .snapshot_errors = maybe(s, chance, 500),
        .snapshot_lost_reply = maybe(s, chance, 300),
        .status_lag = maybe(s, 500, 1000),
        .provision_slow = maybe(s, chance, 500),
        .provision_errors = maybe(s, chance, 500),
        .vm_slow = maybe(s, chance, 500),
        .probe_fails = maybe(s, chance, 800),
        .backup_meets = maybe(s, chance, 200),
        .admission_refuses = maybe(s, chance / 2, 200),
    };
    /* Some keep their right for a spell, and some get it back. */
    if (rng_chance(&s->rng, s->right_gone_ms ? 600 : 80))
        s->right_gone_ms = s->right_gone_ms ? s->right_gone_ms : s->now_ms;
    else
        s->right_gone_ms = 0;
    s->kill_per_mille = rng_chance(&s->rng, 300) ? maybe(s, 700, 25) : 0;
    s->api.stale_lists = maybe(s, chance, 1000);
}

void faults_clear(struct sim *s)
{
    s->net_faults = (struct net_faults){.latency_ms_max = 10};
    s->cluster.faults = (struct cluster_faults){0};
    s->cluster.clones_hold = false;
    s->cluster.hopeless_claims = 0;
    s->kill_per_mille = 0;
    s->right_gone_ms = 0;
    s->api.stale_lists = 0;
    for (unsigned i = 0; i < s->process_count; i++)
        if (s->processes[i].worker) {
            s->processes[i].net->refused_until_ms = 0;
            net_cut_watches(s->processes[i].net);
        }
}
