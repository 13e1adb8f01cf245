/*
 * What the parts of the judge share: what it remembers of each Wukong, beside what is stored. It
 * looks at storage and guests, never into a worker.
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "sim.h"

struct seen_wukong {
    struct seen_wukong *next;
    char *uid, *ns, *name, *source, *source_ns;
    bool probe, linked, retain, restored;
    int64_t replicas;
    bool exists, final, succeeded;
    bool retried; /* an annotation that was not there at the end has come since */
    int64_t attempts, progress;
    char *retry; /* the annotation as of its final phase */
    int64_t final_ms, gone_ms;
    bool disturbed; /* a user deleted something of it: it may be incomplete */
    cJSON *shape;   /* what must be equal of those that share a snapshot */
    char *begun_by; /* which worker's write made it a clone under way */
    int64_t begun_ms;
    int64_t asked_ms;       /* its freeze was announced */
    int64_t held_before_ms; /* its guest by our freezes, when its own was announced */
    /* The group that the present attempt leads, as its record closed it. */
    char *members; /* sharedWith as text; NULL: none */
    int64_t closed_ms, closed_attempt;
    char *closed_source; /* sourceUID of that attempt */
};

/* UIDs of VolumeSnapshots that carried a Wukong's label; contents outlive them. */
struct seen_snapshot_uid {
    struct seen_snapshot_uid *next;
    char *uid;
};

/* A machine that a clone made, and when it was there with its disks, started if it was to be. */
struct seen_machine {
    struct seen_machine *next;
    char *uid;
    int64_t ready_ms; /* 0: never yet */
};

struct seen_wukong *judge_find(struct sim *s, const char *uid);
/* judge_ready.c: a machine that is ready is not taken away. */
void judge_machines(struct sim *s, const struct api_object *changed);
void judge_removed(struct sim *s, const char *who, const struct api_object *o);
void judge_machines_release(struct sim *s);
/* Of a clone that has Failed: the machine, or the claim of one, stays for it has been ready. */
bool judge_survives(struct sim *s, const struct api_object *wukong, const struct api_object *o);
struct seen_wukong *judge_find_name(struct sim *s, const char *ns, const char *name);
/* The Wukong that an object of ours belongs to by its label; NULL: none. */
struct seen_wukong *judge_owner(struct sim *s, const cJSON *tree);
bool judge_is_worker(const char *who);
/* Wukongs that owe a thaw to the VMI of this name, by what is stored. */
unsigned judge_debts(struct sim *s, const char *ns, const char *vmi);
/* judge_share.c. A worker has written a Wukong's status. */
void judge_shared(struct sim *s, struct seen_wukong *k, const cJSON *before, const cJSON *after);
/* A worker creates or deletes a VolumeSnapshot. */
void judge_snapshot_taken(struct sim *s, const struct seen_wukong *k, const struct api_object *o);
void judge_snapshot_removed(struct sim *s, const char *who, const struct api_object *o);
/* Which Wukong's snapshots, of which attempt, this one restores from. */
const struct seen_wukong *judge_taker(struct sim *s, const struct seen_wukong *k,
                                      const cJSON *clone_status, int64_t *ret_attempt);
void judge_shape(struct seen_wukong *k, const cJSON *wukong);
/* judge_hold.c: what may not begin yet, or not any more. who sends a request; has written a status.
 */
void judge_hold_submitted(struct sim *s, const char *who, const struct kube_request *r,
                          const struct api_target *t);
void judge_hold_status(struct sim *s, const char *who, struct seen_wukong *k, const cJSON *before,
                       const cJSON *after);
/* It says that it is cut, from first_ms to last_ms; 0: no snapshot is left to tell. */
void judge_hold_cut(struct sim *s, const struct seen_wukong *k, const cJSON *wukong,
                    int64_t first_ms, int64_t last_ms);
/* It says what the cut is worth. */
void judge_hold_worth(struct sim *s, const struct seen_wukong *k, const char *consistency);
/* judge_status.c: a worker has written a Wukong's status. */
void judge_status(struct sim *s, struct seen_wukong *k, const cJSON *before, const cJSON *after);

#endif
