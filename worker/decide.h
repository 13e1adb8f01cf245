/*
 * clone_decide: from what was observed to what is to be done; pure. The current step is the first
 * of the table that is not done, found anew every time; nothing but the table knows the order. The
 * obligations (thaw, stop what we started, remove temporaries) are a second table, looked at first,
 * so that they run after failure and deletion too.
 *
 * A decision's intents may be sent in any order and at once, with one exception: when persist_first
 * is set, only the status is sent, and the rest follows from the next decision, after the record is
 * in the store.
 */
#ifndef WORKER_DECIDE_H
#define WORKER_DECIDE_H

#include "worker/intents.h"
#include "worker/sharing.h"

enum observed {
    STEP_DONE,
    STEP_TODO, /* apply is to be called */
    STEP_WAIT, /* on something outside; why says on what */
    STEP_FAILED,
};

struct why {
    enum reason reason;
    const char *disk;
    const struct view_target *target; /* the one that has failed; NULL: not one alone */
    int64_t again_ms; /* wall clock: look again then at the latest; 0: an event will come */
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
    struct clone_record record; /* as it shall be */
    const char *step;           /* name; NULL: none */
    struct condition conditions[CONDITION_TYPES];
    bool keep_conditions;     /* those not set here stay as they were; else they go */
    const char *phase;        /* of the creator's field: Pending, Creating, Running, … */
    int64_t waiting_until_ms; /* 0: it waits for no time */
    bool write_status;        /* there is something to write at all */
    bool persist_first;
    enum share_state share; /* how far it is on the way to a snapshot that others may share */
    bool holds;             /* it needs the snapshots of its attempt: nobody may remove them */
    int64_t again_ms;       /* wall clock; 0: nothing to wait for but events */
};

void decision_condition(struct decision *d, enum condition_type type, enum condition_status status,
                        enum reason reason, const char *message);
/* VirtualMachineReady says so of a machine that is done. */
#define STEP_VM_THERE "the new machine is there"

struct clone_step {
    const char *name;
    enum condition_type condition; /* which condition this step speaks through */
    enum observed (*observe)(const struct clone_view *, struct why *);
    void (*apply)(const struct clone_view *, struct decision *);
    unsigned weight; /* its share of progress */
};
extern const struct clone_step clone_steps[];
extern const size_t clone_step_count;

/* Fills *ret (which must be zero but for intents.arena). */
/* Instead of clone_decide, when what it has decided cannot be trusted because the view did not fit
   into its arena: the record stays, and the conditions say why. */
void clone_too_large(const struct clone_view *v, struct decision *d);
/* The same for a worker that is about to end: the guest is thawed, and a cut that is complete is
   recorded. */
void clone_decide_leaving(const struct clone_view *v, struct decision *d);
void clone_decide(const struct clone_view *view, struct decision *ret);

#endif
