#include "wukong/api/reasons.h"

#include <assert.h>

#include "base/str.h"

const struct reason_info reason_table[] = {
    [REASON_NONE] = {"Unknown", REASON_INFORMS, NULL},
    [REASON_CLONING] = {"Cloning", REASON_INFORMS, NULL},
    [REASON_SUCCEEDED] = {"Succeeded", REASON_INFORMS, NULL},
    [REASON_TAKEN] = {"Taken", REASON_INFORMS, NULL},
    [REASON_READY] = {"Ready", REASON_INFORMS, NULL},
    [REASON_CLEANED] = {"Cleaned", REASON_INFORMS, NULL},
    [REASON_CLEANING_UP] = {"CleaningUp", REASON_INFORMS, NULL},
    [REASON_RETRYING] = {"Retrying", REASON_INFORMS, NULL},
    [REASON_EXPIRED] = {"Expired", REASON_INFORMS, NULL},
    [REASON_FINAL_STOPPED] = {"Stopped", REASON_INFORMS, NULL},
    [REASON_SOURCE_NOT_FOUND] = {"SourceNotFound", REASON_WAITS,
                                 "Create the source, or correct spec.cloneSource in a new Wukong."},
    [REASON_OBJECT_UNREADABLE] = {"ObjectUnreadable", REASON_WAITS,
                                  "Correct the object that the message names, so that the worker "
                                  "can read it; the clone continues by itself."},
    [REASON_TOO_LARGE] =
        {"TooLarge", REASON_WAITS,
         "Make the source's spec, labels and annotations smaller, or ask for fewer "
         "replicas and disks."},
    [REASON_SOURCE_NOT_RUNNING] = {"SourceNotRunning", REASON_WAITS,
                                   "Start the source; the clone continues by itself."},
    [REASON_SOURCE_RUNNING] = {"SourceRunning", REASON_WAITS,
                               "Stop the source, or use cloneType running or linked."},
    [REASON_SOURCE_STARTING] = {"SourceStarting", REASON_WAITS, NULL},
    [REASON_SOURCE_BUSY] = {"SourceBusy", REASON_WAITS,
                            "Wait until the snapshot, backup, restore, freeze or migration of the "
                            "source ends; the clone continues by itself."},
    [REASON_AGENT_NOT_CONNECTED] = {"AgentNotConnected", REASON_WAITS,
                                    "Install and start the QEMU guest agent in the source, or use "
                                    "quiesce IfAvailable."},
    [REASON_SOURCE_PAUSED] = {"SourcePaused", REASON_WAITS,
                              "Unpause the source, or use quiesce IfAvailable."},
    [REASON_NOT_ADMITTED] = {"NotAdmitted", REASON_WAITS,
                             "Delete the Wukong and create it again while the webhook is serving; "
                             "a clone from another namespace needs its stamp."},
    [REASON_POLICY_DENIED] = {"PolicyDenied", REASON_WAITS,
                              "Ask the cluster's administrators; the message names the policy."},
    [REASON_OUTSIDE_WINDOW] = {"OutsideWindow", REASON_WAITS, NULL},
    [REASON_NOT_BEFORE] = {"NotBefore", REASON_WAITS, NULL},
    [REASON_AWAITING_GATES] = {"AwaitingGates", REASON_WAITS,
                               "The gate's owner must set its condition to True on the Wukong."},
    [REASON_QUEUED] = {"Queued", REASON_WAITS, NULL},
    [REASON_SHARED_SNAPSHOT] = {"SharedSnapshot", REASON_WAITS, NULL},
    [REASON_SNAPSHOT_CLASS_MISSING] = {"SnapshotClassMissing", REASON_WAITS,
                                       "Create a VolumeSnapshotClass for the driver, mark one as "
                                       "default, or name one in volumeSnapshotClassName."},
    [REASON_CUT_REFUSED] = {"CutRefused", REASON_WAITS,
                            "Name another VolumeSnapshotClass, or make sure that the guest can be "
                            "frozen; docs/admin/compatibility.md lists the drivers."},
    [REASON_CUT_TOO_SLOW] = {"CutTooSlow", REASON_WAITS,
                             "Use quiesce IfAvailable, another VolumeSnapshotClass, or clone the "
                             "stopped source with cloneType full."},
    [REASON_DISK_UNSUITABLE] = {"DiskUnsuitable", REASON_WAITS,
                                "Correct the disk that the message names."},
    [REASON_QUOTA_EXCEEDED] =
        {"QuotaExceeded", REASON_WAITS,
         "Raise the quota or free some of it; the clone continues by itself."},
    [REASON_NAME_TAKEN] =
        {"NameTaken", REASON_WAITS,
         "Remove or rename the object of that name, or give the Wukong another name."},
    [REASON_PREFLIGHT_REFUSED] =
        {"PreflightRefused", REASON_WAITS,
         "Correct what the API server refuses; the message names the object and says why."},
    [REASON_DEPENDENCY_MISSING] = {"DependencyMissing", REASON_WAITS,
                                   "Create in the clone's namespace what the message names; the "
                                   "clone continues by itself."},
    [REASON_WAITING_FOR_CONSUMER] = {"WaitingForFirstConsumer", REASON_INFORMS,
                                     "Start the new VM: its claims bind then."},
    [REASON_WAITING] = {"Waiting", REASON_WAITS, NULL},
    [REASON_FREEZE_FAILED] = {"FreezeFailed", REASON_TRANSIENT,
                              "See the guest agent's log in the source, or use quiesce Never."},
    [REASON_FREEZE_LOST] = {"FreezeLost", REASON_TRANSIENT, NULL},
    [REASON_CUT_TIMEOUT] = {"CutTimeout", REASON_TRANSIENT,
                            "The storage cuts snapshots more slowly than a guest may stay frozen: "
                            "use quiesce IfAvailable, or see the CSI driver's log."},
    [REASON_SNAPSHOT_FAILED] = {"SnapshotFailed", REASON_TRANSIENT,
                                "See the VolumeSnapshot's error and the CSI driver's log."},
    [REASON_SNAPSHOT_LOST] = {"SnapshotLost", REASON_TRANSIENT,
                              "Somebody deleted the clone's snapshot."},
    [REASON_RESTORE_FAILED] = {"RestoreFailed", REASON_TRANSIENT,
                               "See the claim's Events and the CSI driver's log."},
    [REASON_CHANGED_BY_ADMISSION] =
        {"ChangedByAdmission", REASON_TRANSIENT,
         "Find the mutating webhook or policy that changes what the clone creates, and exempt "
         "objects with the label vm.novasphere.dev/wukong-uid."},
    [REASON_CLONING_REFUSED] = {"CloningRefused", REASON_TRANSIENT,
                                "The clone uses snapshots where a VolumeSnapshotClass for the "
                                "driver is there: create one, or install CDI."},
    [REASON_SOURCE_CHANGED] =
        {"SourceChanged", REASON_TRANSIENT,
         "The source was replaced or restarted during the clone, or its disks "
         "were exchanged or used by others; the message says what."},
    [REASON_SOURCE_STARTED] = {"SourceStarted", REASON_TRANSIENT,
                               "Keep the source stopped until a full clone is done."},
    [REASON_TARGET_LOST] = {"TargetLost", REASON_TRANSIENT,
                            "Somebody deleted an object of the clone before it was done."},
    [REASON_VM_FAILED] = {"VirtualMachineFailed", REASON_TRANSIENT,
                          "See the new VirtualMachine's conditions and Events."},
    [REASON_INVALID] = {"Invalid", REASON_TERMINAL, "Correct the spec in a new Wukong."},
    [REASON_SOURCE_UNSUPPORTED] =
        {"SourceUnsupported", REASON_TERMINAL,
         "Remove from the source what the message names, or clone another source."},
    [REASON_DEADLINE_EXCEEDED] =
        {"DeadlineExceeded", REASON_TERMINAL,
         "Remove the cause that the message names, then set the annotation "
         "vm.novasphere.dev/retry to a new value."},
    [REASON_RESTORED] = {"Restored", REASON_TERMINAL,
                         "Nothing, if its machine is there. To clone again set the annotation "
                         "vm.novasphere.dev/retry to a new value, or create the Wukong again."},
    [REASON_CANCELLED] = {"Cancelled", REASON_TERMINAL, NULL},
    [REASON_EXPIRED_EARLY] =
        {"ExpiredBeforeStart", REASON_TERMINAL,
         "Set spec.expires to a later time, then set the annotation vm.novasphere.dev/retry to a "
         "new value."},
    [REASON_LEFTOVERS] = {"Leftovers", REASON_TERMINAL, "Delete the objects that are named."},
};
static_assert(sizeof reason_table / sizeof *reason_table == REASONS, "an entry per reason");

enum reason reason_find(const char *name)
{
    for (int i = 1; i < REASONS; i++)
        if (str_eq(reason_table[i].name, name))
            return (enum reason)i;
    return REASON_NONE;
}
