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
    bool probe, linked, retain;
    int64_t replicas;
    bool exists, final;
    bool retried; /* an annotation that was not there at the end has come since */
    int64_t attempts, progress;
    char *retry; /* the annotation as of its final phase */
    int64_t final_ms, gone_ms;
    bool disturbed; /* a user deleted something of it: it may be incomplete */
};

/* UIDs of VolumeSnapshots that carried a Wukong's label; contents outlive them. */
struct seen_snapshot_uid {
    struct seen_snapshot_uid *next;
    char *uid;
};

struct seen_wukong *judge_find(struct sim *s, const char *uid);
struct seen_wukong *judge_find_name(struct sim *s, const char *ns, const char *name);
/* The Wukong that an object of ours belongs to by its label; NULL: none. */
struct seen_wukong *judge_owner(struct sim *s, const cJSON *tree);
bool judge_is_worker(const char *who);
/* Wukongs that owe a thaw to the VMI of this name, by what is stored. */
unsigned judge_debts(struct sim *s, const char *ns, const char *vmi);
/* judge_status.c: a worker has written a Wukong's status. */
void judge_status(struct sim *s, struct seen_wukong *k, const cJSON *before, const cJSON *after);

#endif
