/*
 * The steps of a clone in their order, which nothing but this table knows: progress, conditions,
 * metrics and the trace follow from it. A new step is a row here, a file with its two functions,
 * and their prototypes in steps.h.
 */
#ifndef STEPS_TABLE_H
#define STEPS_TABLE_H

#include "actions/decision.h"

/* In their order. CLONE_STEPS as the current step: all are done. */
enum clone_step_id {
    CLONE_STEP_POLICY,
    CLONE_STEP_SOURCE,
    CLONE_STEP_GATES,
    CLONE_STEP_PREFLIGHT,
    CLONE_STEP_SHARE,
    CLONE_STEP_FREEZE,
    CLONE_STEP_CUT,
    CLONE_STEP_THAW,
    CLONE_STEP_SNAPSHOTS,
    CLONE_STEP_COPIES,
    CLONE_STEP_DISKS,
    CLONE_STEP_VM,
    CLONE_STEP_READY,
    CLONE_STEP_VERIFY,
    CLONE_STEPS
};

struct clone_step {
    const char *name;
    enum condition_type condition; /* which condition this step speaks through */
    enum step_status (*check)(const struct clone_state *, struct why *);
    void (*run)(const struct clone_state *, struct decision *);
    unsigned weight; /* its share of progress */
};
extern const struct clone_step clone_steps[CLONE_STEPS];

#endif
