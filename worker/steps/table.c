#include "steps/table.h"

#include "steps/steps.h"

/* The order of a clone. The weights are shares of progress: restoring is what takes long. When all
   are done the clone has succeeded; what it owes then, its temporaries above all, is no step: no
   deadline and no failure of it may take back machines that are there (debts.h). */
const struct clone_step clone_steps[CLONE_STEPS] = {
    [CLONE_STEP_POLICY] = {"Policy", COND_POLICY_ALLOWED, observe_policy, apply_policy, 1},
    [CLONE_STEP_SOURCE] = {"Source", COND_SOURCE_READY, observe_source, apply_source, 4},
    [CLONE_STEP_GATES] = {"Gates", COND_AWAITING_GATES, observe_gates, apply_gates, 1},
    [CLONE_STEP_PREFLIGHT] = {"Preflight", COND_SOURCE_READY, observe_preflight, apply_preflight,
                              4},
    [CLONE_STEP_SHARE] = {"Share", COND_SNAPSHOT_TAKEN, observe_share, apply_share, 1},
    [CLONE_STEP_FREEZE] = {"Freeze", COND_SNAPSHOT_TAKEN, observe_freeze, apply_freeze, 5},
    [CLONE_STEP_CUT] = {"Cut", COND_SNAPSHOT_TAKEN, observe_cut, apply_cut, 10},
    [CLONE_STEP_THAW] = {"Thaw", COND_SNAPSHOT_TAKEN, observe_thaw, NULL, 5},
    [CLONE_STEP_SNAPSHOTS] = {"Snapshots", COND_SNAPSHOT_READY, observe_snapshots, NULL, 20},
    [CLONE_STEP_COPIES] = {"Copies", COND_SNAPSHOT_READY, observe_copies, apply_copies, 5},
    [CLONE_STEP_DISKS] = {"Disks", COND_DISKS_READY, observe_disks, apply_disks, 10},
    [CLONE_STEP_VM] = {"VirtualMachine", COND_VM_READY, observe_vm, apply_vm, 5},
    [CLONE_STEP_READY] = {"Ready", COND_VM_READY, observe_ready, apply_ready, 30},
    [CLONE_STEP_VERIFY] = {"Verify", COND_VM_READY, observe_stayed_stopped, apply_stayed_stopped,
                           1},
};
