/*
 * A world of a few variables for the tests of clone_decide: each round a state is built by hand,
 * clone_decide is asked, and the world answers its intents. No cluster, no sockets. The bodies that
 * the pure core asks for are the world's own and need no content.
 *
 * What the world does is what the cluster does, one variable at a time: a freeze freezes, a
 * VolumeSnapshot is cut a moment after it was made, a claim of a WaitForFirstConsumer class binds
 * only once its machine runs.
 */
#ifndef WORLD_H
#define WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "actions/event.h"
#include "base/buf.h"
#include "base/str.h"
#include "controller/status.h"
#include "decide/decide.h"
#include "json/json.h"
#include "observe/capture.h"
#include "steps/steps.h"
#include "teardown/teardown.h"

#define DISKS 2
#define UID "11111111-2222-3333-4444-555555555555"

struct world {
    int64_t now;
    bool unreachable; /* the API server gives no answer */
    bool leaving;     /* the worker has been told to end */
    /* the Wukong */
    bool finalizer, deleted;
    int64_t deleted_ms;
    struct clone_record record;
    cJSON *status;
    struct call_log call_log;
    enum quiesce quiesce;
    enum clone_type clone_type;
    enum reclaim_policy reclaim;
    bool by_vm, stop_after, not_started;
    int64_t retry_limit;
    const char *gate;       /* one gate; NULL: none */
    int64_t gate_ms;        /* the application opened it then; 0: never */
    int64_t closed_until;   /* window of the spec */
    enum consistency least; /* that the policies demand */
    enum reason policy;     /* what the ClonePolicies say; REASON_NONE: permitted */
    int64_t policy_until;
    const struct disk_plan *plans;
    const char *retry;
    bool restored;           /* it bears the label of a restored object */
    const char *source_name; /* NULL: "src" */
    const char *invalid;     /* what the static rules find; NULL: nothing */
    bool own_ns_going;       /* the Wukong's own namespace is being deleted */
    bool cross, missing;     /* from another namespace; what the machine names is not there */
    bool probe_refused;      /* somebody's quota or policy hides whether it is */
    /* the source */
    bool source_gone, source_off, agent, frozen, source_deleting, migrating, foreign_snapshot;
    struct source_holds holds; /* what others do to the source, as the caches show it */
    const char *after_status; /* more of the VMI's status in the look after the cut: ",…"; NULL */
    const char *after_vm;     /* of the VM's, the same: members of status; NULL */
    int64_t began_ms;         /* the guest began to run then; 0: long ago */
    bool moved;               /* by then the source names another claim for its first disk */
    /* Pods that use claims, before the cut and after, as pods_digest says them; NULL: none. */
    const char *pods, *pods_after;
    bool pods_paged;     /* on the second page */
    int pods_code;       /* answer to the next question for a page with a token; 0: 200 */
    bool others_frozen;  /* guests of other clones, as many as may be */
    int64_t queued_ms;   /* and it has waited for its turn since then */
    size_t freeze_ahead; /* clones that freeze before this one, meanwhile */
    int starts, stops;
    char vmi_uid[16];
    const char
        *unseen_uid; /* the source's VMI by now, which the cache does not show yet; NULL: it does */
    int freezes, thaws;
    int freeze_code;           /* answer to the next freezes: 200, 409, 500 */
    int start_code, stop_code; /* 0: accepted */
    bool lands;                /* a freeze that answers 500 takes effect all the same */
    bool freeze_unseen;        /* the VMI does not show it: KubeVirt asks its agent every 5 s */
    int64_t guest_timer;
    const char *guest_os;  /* what its agent says; NULL: nothing yet */
    bool vss;              /* it goes on by itself after 10 s, and says so to the next thaw */
    bool gone_on;          /* it has */
    int thaw_code;         /* answer to the next thaws; 0: 200 */
    const char *thaw_text; /* and its message */
    int64_t froze_ms;      /* since when it is frozen, or was */
    int64_t frozen_ms;     /* how long it was, the last time */
    /* storage */
    bool snapshot[DISKS], cut[DISKS], ready[DISKS], snapshot_deleting;
    bool parent[DISKS];    /* the content's deletionPolicy is Retain */
    bool storage_stuck;    /* snapshots are never cut */
    bool storage_unready;  /* they are cut and never ready */
    const char *cut_error; /* of the contents, while storage is stuck; NULL: none */
    bool being_created;    /* their mark: the driver may be at it */
    int dry_snapshot;      /* answer to dry runs of snapshots; 0: accepted */
    bool snapshots_stay;   /* their deletion is accepted and comes to nothing */
    bool wait_for_consumer;
    bool claim[DISKS], bound[DISKS], owned[DISKS];
    bool claims_stuck;      /* they never bind */
    bool claims_stay;       /* their deletion is accepted and comes to nothing */
    unsigned copied[DISKS]; /* how far CDI says it is, in percent */
    int64_t claim_ms[DISKS];
    const char *claim_error;
    bool vm, vm_up, vm_ready, vm_owned;
    bool vm_taken;   /* somebody else owns it */
    bool vm_stopped; /* after it had run */
    enum expiry expiry;
    int64_t expires_at_ms, expires_after_ms;
    int64_t clock_ahead_ms; /* of the API server's */
    bool probe_fails;       /* the new machine runs, and its readiness probe does not pass */
    int refuse_snapshots;   /* answer to their creation; 0: accepted */
    int refuse_owner;       /* answer to the claims' owner reference; 0: accepted */
    /* Creates take effect this much later than they are sent, and are answered then. */
    int64_t slow_ms;
    struct {
        int64_t due;
        const struct kube_kind *kind;
        char name[64];
        enum call_kind call;
    } slow[8];
    bool torn;                              /* a snapshot was removed while a claim waited for it */
    int frozen_at_cut;                      /* how many disks were cut while frozen */
    int events, status_writes, calls, sent; /* sent: what changes something, but Events */
    int64_t wake_ms;                        /* the last decision's timer */
    char last_event[64];
    int thaw_warnings;   /* Events that say that a guest cannot be thawed */
    int warned_of_thaws; /* Events that tell how long a guest was frozen for nothing */
    int leftovers;       /* Events that name what could not be removed */
};

/* Disks whose claims bind with their first consumer. */
extern const struct disk_plan world_lazy_plans[DISKS];
extern struct arena persistent; /* strings of records live across rounds */

/* One round: look, decide, obey. Returns the decision's step. */
const char *turn(struct world *w);
/* Rounds of 200 ms. */
void run(struct world *w, int rounds);
struct world new_world(void);
void sim_cluster_release(struct world *w);
/* The process dies: its memory is gone, everything else stays. */
void world_restart(struct world *w);
/* Rounds until the guest is frozen; the freeze has been answered then. */
void until_frozen(struct world *w);
/* Runs these rounds; the clone must have succeeded then. */
void succeeds(struct world *w, int rounds);
/* The condition of that type in status; NULL: it is not there. */
const cJSON *condition(const struct world *w, const char *type);
/* It is there, with that reason and a message that holds the part. */
void check_condition(const struct world *w, const char *type, const char *reason, const char *part);
/* No snapshot is left and the guest is not frozen. */
void assert_clean(const struct world *w);
int world_start(void **state);
int world_stop(void **state);

#endif
