/*
 * struct sim: one run, from one seed: clock, API server, world, workers, users, faults and the
 * checkers. Everything is drawn from one rng on one heap of timers, so the same seed gives the same
 * run to the last byte (trace_hash tells).
 */
#ifndef RUN_SIM_H
#define RUN_SIM_H

#include "cluster/cluster.h"
#include "controller/worker.h"
#include "network/net.h"
#include "run/restrictions.h"

#define SIM_NS "team"
/* What every source names; a Secret of that name may be in any namespace. */
#define SIM_SECRET "owners-secret"
#define SIM_OTHER_NS "apart"     /* of Wukongs that clone from another namespace */
#define SIM_ELSEWHERE "restored" /* where nobody clones */
/* Of a claim that a policy engine has changed: what it was to be made from, and to hold. */
/* On claims that a group is cut of, before the UID of the clone. */
#define SIM_CUT_LABEL "cut.vm.novasphere.dev/"
#define SIM_ASKED_SNAPSHOT "metadata.annotations[sim/asked-snapshot]"
#define SIM_ASKED_RECORDS "metadata.annotations[sim/asked-records]"
#define SIM_STAMP_MAP "wukong-stamp"
#define SIM_LEASE "wukong-worker"
#define SIM_SYSTEM_NS "wukong-system"
#define SIM_WORKERS_MAX 2
#define SIM_TRACE 120 /* lines kept for the report */
#define SIM_EPOCH_MS 1800000000000
#define SIM_FROZEN_MAX 1      /* their --max-frozen: a run has few guests */
#define SIM_UNFREEZE_MS 30000 /* the workers' --unfreeze-timeout: the guest's own timer */

struct sim;

struct process {
    struct sim *sim;
    struct worker *worker; /* NULL: down */
    struct net *net;
    struct timer kill, start;
    struct clock clock; /* its node's: the wall clock may be off, and be set */
    int64_t off_ms;
    bool resigning; /* SIGTERM: it gives the lease back first */
    char identity[32];
};

/* Nets of dead processes, whose last requests may still arrive. */
struct net_list {
    struct net_list *next;
    struct net net;
};

struct seen_wukong; /* checkers.c */
struct seen_snapshot_uid;

/* One clone without faults, whose worker is killed at one request (kill_each.c). */
struct kill_plan {
    const char *clone_type, *method;
    bool of_vmi;    /* cloneSource.type vmi */
    bool halted;    /* the source does not run */
    bool elsewhere; /* the clone is in another namespace */
    bool stop_after;
    bool cdi;     /* is installed */
    bool company; /* two more, equal, share its snapshot */
    bool refused; /* the driver refuses each group */
    unsigned at;  /* the write request that ends the worker, from 1; 0: none does */
    bool after;   /* it took effect, and the answer was lost; else it never arrived */
};

struct sim {
    uint64_t seed;
    bool verbose;
    struct rng rng;
    int64_t now_ms;
    struct clock clock;
    struct timers timers;
    struct apiserver api;
    struct sim_cluster cluster;
    struct net_faults net_faults;
    struct net_list *nets;
    struct process processes[SIM_WORKERS_MAX];
    unsigned process_count, lives;
    unsigned max_in_flight;  /* the workers' --max-in-flight */
    unsigned max_frozen;     /* their --max-frozen */
    unsigned kill_per_mille; /* of requests */
    int64_t clocks_off_ms;   /* the nodes' clocks are off by at most that; 0: all are right */
    struct timer faults_timer, user, end;
    const struct kill_plan *plan;      /* NULL: everything is drawn */
    unsigned writes_sent, writes_done; /* counted for the plan */
    bool deleted;                      /* the plan's clone, by its user */
    bool
        scoped; /* the workers serve the namespaces of the clones alone, and watch each by itself */
    bool calm;
    bool batches; /* most clones are of several machines */
    struct {
        struct rng rng; /* its own, so that it moves no other draw */
        bool by_auto;   /* clones with snapshotMethod Auto find groups; else they name the other */
        bool refused;   /* no VolumeGroupSnapshot is admitted */
        struct timer class_goes;
    } groups;
    int64_t calm_ms, calm_at_ms, limit_ms;
    unsigned user_actions, wukongs, probes;
    int64_t right_gone_ms; /* since when nobody has a right to sources elsewhere; 0: all have */
    struct {
        struct rng rng;
        struct timer timer;
        unsigned count;
        bool mutates; /* a policy engine changes what claims are made from */
        bool keeps;   /* an administrator's tool keeps Retain where a worker has set Delete */
    } copycats;
    struct application *applications;
    struct restriction_policy *policies;
    unsigned policy_count;
    struct rng stranger_rng;
    struct timer strangers;
    bool strange; /* there are strangers in this run */
    struct {
        struct rng rng;
        struct timer timer;
        bool forces;      /* users take finalizers by force */
        int64_t away_ms;  /* how long no worker runs; 0: not in this run */
        int64_t until_ms; /* until then; 0: that is to come */
    } outages;
    cJSON *batch; /* what the Wukongs that appear one after the other have in common */
    /* trace */
    char *trace[SIM_TRACE];
    unsigned long long trace_lines;
    uint64_t trace_hash;
    /* the checker */
    struct seen_wukong *seen;
    struct seen_snapshot_uid *seen_snapshots;
    struct seen_machine *seen_machines;
    cJSON *excused; /* UIDs of contents whose VolumeSnapshot, or which, a user deleted */
    char *violation, *violation_detail; /* NULL: none so far */
    bool over;
    /* what happened, for the summary */
    unsigned succeeded, failed, gone, freezes, kills, filesystem, crash, offline, shared;
};

/* --- sim.c --- */
void sim_init(struct sim *s, uint64_t seed, bool verbose);
/* One worker, no faults, and nothing in the cluster yet; sim_start follows when there is. Borrows
   the plan. */
void sim_init_empty(struct sim *s, const struct kill_plan *plan, uint64_t seed, bool verbose);
/* Starts the workers. */
void sim_start(struct sim *s);
/* With what the plan needs in the cluster, and started. */
void sim_init_plan(struct sim *s, const struct kill_plan *plan, uint64_t seed, bool verbose);
void sim_run(struct sim *s);
void sim_release(struct sim *s);
void sim_trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* All of them, at this very moment: what they wait for is answered to nobody. */
void sim_kill_workers(struct sim *s);
/* The first one is kept; the run ends. */
void sim_violation(struct sim *s, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- scenario.c, scenario_sources.c: what users do, what there is --- */
void scenario_init(struct sim *s);
/* One random act; called now and then. */
void scenario_act(struct sim *s);
/* Equal Wukongs that appear in the calm. */
#define SIM_PROBES 3
extern const char *const sim_probes[SIM_PROBES];
/* Faults are over: takes foreign obstacles away and makes the clones that must succeed. */
void scenario_calm(struct sim *s);

/* What a kill plan needs: a source, and one clone of it. */
void scenario_plan(struct sim *s, const struct kill_plan *plan);
/* The parts of it. strategy NULL: a VMI without a VM. */
void scenario_classes(struct sim *s);
void scenario_source(struct sim *s, const char *name, bool agent, const char *strategy);
/* The caller creates, or frees, it. */
cJSON *scenario_clone(const char *name, const struct machine *m, bool of_vmi);
/* The clone and its machine come into another namespace; the webhook has allowed it. */
void scenario_put_elsewhere(struct sim *s, cJSON *wukong);

/* --- strangers.c: objects of others, with everything that Kubernetes allows --- */

void strangers_init(struct sim *s);
/* A source that is strange, and can be cloned all the same. */
void strangers_mark_source(struct sim *s, cJSON *source);

/* --- traits.c: what some sources and Wukongs are like --- */

/* Of a VM's template: something that KubeVirt acts upon, and that a clone does not take over. */
#define SIM_HOOK "spec.template.metadata.annotations[hooks.kubevirt.io/hookSidecars]"
/* Of what a backup brings back. */
#define SIM_RESTORED "velero.io/restore-name"
/* The seed says whether that one has it. */
bool trait(const struct sim *s, const char *what, const char *whose, unsigned per_mille);
/* vm NULL: the source is a VMI without one. */
void traits_source(struct sim *s, const char *name, cJSON *vm, cJSON *instance_spec);
/* A preference gives it a persistent TPM: it cannot be cloned. */
void traits_hide_state(struct sim *s, const char *name, cJSON *vm);
void traits_wukong(struct sim *s, cJSON *wukong);
/* The workers' --max-in-flight. */
unsigned traits_in_flight(const struct sim *s);

/* --- webhook_stub.c: the webhook's key and stamp, for clones from another namespace --- */

void webhook_stub_publish(struct sim *s);
/* Signs what the Wukong's metadata and spec say, as of now. */
void webhook_stub_sign(struct sim *s, cJSON *wukong);

/* --- kill_each.c: every write request of every type of clone, and a worker that dies there --- */

/* Runs all of it; false when something was broken. */
bool kill_each(const char *program, bool verbose);
/* Replays one: "CELL/before/7". */
bool kill_one(const char *program, const char *spec, bool verbose);
/* Looks whether the plan's clone has gone on, now and then. */
void plan_look(void *arg);

/* --- queue.c: many sources that wait for their turn to freeze --- */

/* Runs all cells, or the one of that name; false when one breaks something. */
bool queue_all(const char *cell, bool verbose);

/* --- waiting.c: what a thousand clones that wait ask of the API server --- */

/* Runs all cells, or the one of that name; false when one asks too much. */
bool waiting_all(const char *cell, bool verbose);

/* --- outages.c: no worker runs; Wukongs go without one --- */

void outages_init(struct sim *s);
bool outages_under_way(const struct sim *s);

/* --- copycats.c: who copies labels --- */

void copycats_init(struct sim *s);
/* What a mutating policy makes of a claim that a worker creates. */
void copycats_admit(struct sim *s, cJSON *claim);
/* Made, or marked, by them. */
bool stranger_is(const cJSON *tree);

/* --- faults.c: rates of faults, drawn anew now and then --- */
void faults_draw(struct sim *s);
void faults_clear(struct sim *s);

/* --- checkers/ --- */
void checkers_changed(struct sim *s, const char *who, enum api_change_type type,
                      const struct api_object *o, const cJSON *before);
void checkers_submitted(struct sim *s, const char *who, const struct kube_request *r);
void checkers_froze(struct sim *s, const struct machine *m, enum freezer by);
void checkers_thawed(struct sim *s, const struct machine *m, enum freezer was, const char *by);
/* The node says that the guest did not freeze: it holds no slot. */
void checkers_refused(struct sim *s, const char *ns, const char *vmi);
/* What the content with this UID holds outlives it on purpose. */
void checkers_excuse(struct sim *s, const char *content_uid);
/* Everything has ended? */
bool checkers_settled(struct sim *s);
/* Liveness and leftovers; called once, when settled or out of time. */
void checkers_end(struct sim *s, bool settled);
void checkers_release(struct sim *s);

#endif
