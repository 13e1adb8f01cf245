#include "steps/table.h"

#include "steps/steps.h"

/* The order of a clone. The weights are shares of progress: restoring is what takes long. When all
   are done the clone has succeeded; what it owes then, its temporaries above all, is no step: no
   deadline and no failure of it may take back machines that are there (debts.h). */
const struct clone_step clone_steps[CLONE_STEPS] = {
    [CLONE_STEP_POLICY] = {"Policy", COND_POLICY_ALLOWED, step_policy_check, step_policy_run, 1},
    [CLONE_STEP_SOURCE] = {"Source", COND_SOURCE_READY, step_source_check, step_source_run, 4},
    [CLONE_STEP_GATES] = {"Gates", COND_AWAITING_GATES, step_gates_check, step_gates_run, 1},
    [CLONE_STEP_PREFLIGHT] = {"Preflight", COND_SOURCE_READY, step_preflight_check,
                              step_preflight_run, 4},
    [CLONE_STEP_SHARE] = {"Share", COND_SNAPSHOT_TAKEN, step_share_check, step_share_run, 1},
    [CLONE_STEP_FREEZE] = {"Freeze", COND_SNAPSHOT_TAKEN, step_freeze_check, step_freeze_run, 5},
    [CLONE_STEP_CUT] = {"Cut", COND_SNAPSHOT_TAKEN, step_cut_check, step_cut_run, 10},
    [CLONE_STEP_THAW] = {"Thaw", COND_SNAPSHOT_TAKEN, step_thaw_check, NULL, 5},
    [CLONE_STEP_SNAPSHOTS] = {"Snapshots", COND_SNAPSHOT_READY, step_snapshots_check, NULL, 20},
    [CLONE_STEP_COPIES] = {"Copies", COND_SNAPSHOT_READY, step_copies_check, step_copies_run, 5},
    [CLONE_STEP_DISKS] = {"Disks", COND_DISKS_READY, step_disks_check, step_disks_run, 10},
    [CLONE_STEP_VM] = {"VirtualMachine", COND_VM_READY, step_vm_check, step_vm_run, 5},
    [CLONE_STEP_READY] = {"Ready", COND_VM_READY, step_ready_check, step_ready_run, 30},
    [CLONE_STEP_VERIFY] = {"Verify", COND_VM_READY, step_stayed_stopped_check,
                           step_stayed_stopped_run, 1},
};
