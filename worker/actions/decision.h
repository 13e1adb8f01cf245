/*
 * What a decision is made of: how far a step is and why, the conditions that show it, and what the
 * worker shall send and write. Steps, teardown and decide fill it; everything is borrowed from the
 * decision's arena.
 */
#ifndef ACTIONS_DECISION_H
#define ACTIONS_DECISION_H

#include "actions/intents.h"
#include "observe/state.h"

enum step_status {
    STEP_DONE,
    STEP_TODO, /* run is to be called */
    STEP_WAIT, /* on something outside; why says on what */
    STEP_FAILED,
};

struct why {
    enum reason reason;
    const char *disk;
    const struct target_state *target; /* the one that has failed; NULL: not one alone */
    int64_t again_ms; /* wall clock: reconcile then at the latest; 0: an event will come */
    int64_t until_ms; /* a clock's time that is waited for, to be told; 0: none */
    char message[1024];
};
void why_set(struct why *why, enum reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

enum condition_status { CONDITION_ABSENT, CONDITION_FALSE, CONDITION_TRUE, CONDITION_UNKNOWN };
enum condition_type {
    COND_READY,
    COND_RECONCILING,
    COND_STALLED,
    COND_SOURCE_READY,
    COND_POLICY_ALLOWED,
    COND_SNAPSHOT_READY,
    COND_SNAPSHOT_TAKEN,
    COND_DISKS_READY,
    COND_VM_READY,
    COND_TEMPORARIES_CLEANED,
    COND_AWAITING_GATES,
    CONDITION_TYPES
};
extern const char *const condition_type_names[CONDITION_TYPES];

struct condition {
    enum condition_status status;
    enum reason reason;
    const char *message;
};

struct decision {
    struct intents intents;
    struct clone_record record;         /* as it shall be */
    const char *step;                   /* name; NULL: none */
    bool step_speaks;                   /* it is a step of the table, */
    enum condition_type step_condition; /* which speaks through this one */
    struct condition conditions[CONDITION_TYPES];
    bool keep_conditions;     /* those not set here stay as they were; else they go */
    const char *phase;        /* of the creator's field: Pending, Creating, Running, … */
    int64_t waiting_until_ms; /* 0: it waits for no time */
    bool write_status;        /* there is something to write at all */
    bool persist_first;
    bool tries;             /* it has not come past what it asks and tries before it begins, */
    bool held_up;           /* and is known to wait for something */
    bool waits_to_freeze;   /* the guests of other clones alone hold it up */
    bool prepares;          /* it reads what must be known before its guest is frozen */
    enum share_state share; /* how far it is on the way to a snapshot that others may share */
    bool holds;             /* it needs the snapshots of its attempt: nobody may remove them */
    int64_t again_ms;       /* wall clock; 0: nothing to wait for but events */
};

void decision_condition(struct decision *d, enum condition_type type, enum condition_status status,
                        enum reason reason, const char *message);
/* VirtualMachineReady says so of a machine that is done. */
#define STEP_VM_THERE "the new machine is there"

/* Lowers d->again_ms to at_ms when that is sooner; 0 does nothing. */
void decision_again(struct decision *d, int64_t at_ms);

#endif
