/*
 * What the parts of the checker share: what it remembers of each Wukong, beside what is stored. It
 * looks at storage and guests, never into a worker.
 */
#ifndef CHECKERS_CHECKERS_H
#define CHECKERS_CHECKERS_H

#include "run/sim.h"

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
    bool forced;    /* a user took its finalizer */
    bool disturbed; /* a user deleted something of it: it may be incomplete */
    cJSON *shape;   /* what must be equal of those that share a snapshot */
    char *begun_by; /* which worker's write made it a clone under way */
    int64_t begun_ms;
    int64_t asked_ms;       /* its freeze was announced */
    bool refused;           /* and the node said that the guest did not freeze */
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

struct seen_wukong *checkers_find(struct sim *s, const char *uid);
/* ready.c: a machine that is ready is not taken away. */
void checkers_machines(struct sim *s, const struct api_object *changed);
void checkers_removed(struct sim *s, const char *who, const struct api_object *o);
void checkers_machines_release(struct sim *s);
/* Of a clone that has Failed: the machine, or the claim of one, stays for it has been ready. */
bool checkers_survives(struct sim *s, const struct api_object *wukong, const struct api_object *o);
struct seen_wukong *checkers_find_name(struct sim *s, const char *ns, const char *name);
/* The Wukong that an object of ours belongs to by its label; NULL: none. */
struct seen_wukong *checkers_owner(struct sim *s, const cJSON *tree);
bool checkers_is_worker(const char *who);
/* A Wukong of that source has just been taken away by force: what its worker does yet is of one
   that does not know. */
bool checkers_forced_lately(struct sim *s, const char *ns, const char *vmi);
/* Wukongs that owe a thaw to the VMI of this name, by what is stored. */
unsigned checkers_debts(struct sim *s, const char *ns, const char *vmi);
/* share.c. A worker has written a Wukong's status. */
void checkers_shared(struct sim *s, struct seen_wukong *k, const cJSON *before, const cJSON *after);
/* A worker creates or deletes a VolumeSnapshot. */
void checkers_snapshot_taken(struct sim *s, const struct seen_wukong *k,
                             const struct api_object *o);
void checkers_snapshot_removed(struct sim *s, const char *who, const struct api_object *o);
/* Which Wukong's snapshots, of which attempt, this one restores from. */
const struct seen_wukong *checkers_snapshot_owner(struct sim *s, const struct seen_wukong *k,
                                                  const cJSON *clone_status, int64_t *ret_attempt);
void checkers_shape(struct seen_wukong *k, const cJSON *wukong);
/* restrictions.c: what may not begin yet, or not any more. who sends a request; has written a
 * status.
 */
void checkers_restrictions_submitted(struct sim *s, const char *who, const struct kube_request *r,
                                     const struct api_target *t);
void checkers_restrictions_status(struct sim *s, const char *who, struct seen_wukong *k,
                                  const cJSON *before, const cJSON *after);
/* It says that it is cut, from first_ms to last_ms; 0: no snapshot is left to tell. */
void checkers_restrictions_cut(struct sim *s, const struct seen_wukong *k, const cJSON *wukong,
                               int64_t first_ms, int64_t last_ms);
/* It says what the cut is worth. */
void checkers_restrictions_worth(struct sim *s, const struct seen_wukong *k,
                                 const char *consistency);
/* status.c: a worker has written a Wukong's status. */
void checkers_status(struct sim *s, struct seen_wukong *k, const cJSON *before, const cJSON *after);

#endif
