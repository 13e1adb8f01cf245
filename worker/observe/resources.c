#include "observe/resources.h"

#include "wukong/api/resources.h"
#include "wukong/source/facts.h"

/* A clone that has succeeded, as most have; the order of members is the API server's. */
static const char status_hint[] =
    "{\"cloneStatus\":{\"attemptTime\":\"2027-01-01T00:00:00.091Z\",\"attempts\":1,\"comp"
    "letionTime\":\"2027-01-01T00:00:00.916Z\",\"consistency\":\"FilesystemConsistent\",\""
    "cutTime\":\"2027-01-01T00:00:00.751Z\",\"disks\":[{\"method\":\"Restore\",\"name\":\""
    "root\",\"phase\":\"Bound\",\"progress\":\"100%\",\"size\":\"42949672960\",\"sourcePV"
    "C\":\"source-data-0\",\"storageClass\":\"file\"},{\"method\":\"Restore\",\"name\":\""
    "data\",\"phase\":\"Bound\",\"progress\":\"100%\",\"size\":\"42949672960\",\"sourcePV"
    "C\":\"source-data-1\",\"storageClass\":\"file\"}],\"freeze\":{\"acknowledgedTime\":\""
    "2027-01-01T00:00:00.000Z\",\"deadlineTime\":\"2027-01-01T00:00:00.000Z\",\"requested"
    "Time\":\"2027-01-01T00:00:00.000Z\",\"thawedTime\":\"2027-01-01T00:00:00.000Z\",\"vm"
    "iUID\":\"00000000-0000-4000-8000-000000000000\"},\"freezeMilliseconds\":1345,\"phase"
    "\":\"Succeeded\",\"progress\":\"100%\",\"snapshotName\":\"snapshot-source-copy-00000"
    "000-1-root\",\"snapshotNames\":[\"snapshot-source-copy-00000000-1-root\",\"snapshot-"
    "source-copy-00000000-1-data\"],\"snapshotSize\":\"85899345920\",\"snapshotTime\":\"2"
    "027-01-01T00:00:00.751Z\",\"sourceUID\":\"00000000-0000-4000-8000-000000000000\",\"s"
    "ourceVMI\":\"source\",\"startTime\":\"2027-01-01T00:00:00.124Z\",\"targets\":[{\"dis"
    "ks\":[{\"name\":\"root\",\"phase\":\"Bound\",\"pvc\":\"copy-root\"},{\"name\":\"data"
    "\",\"phase\":\"Bound\",\"pvc\":\"copy-data\"}],\"phase\":\"Stopped\",\"vmName\":\"co"
    "py-vm\"}]},\"conditions\":[{\"lastTransitionTime\":\"2027-01-01T00:00:00Z\",\"messag"
    "e\":\"the clone is done\",\"observedGeneration\":1,\"reason\":\"Succeeded\",\"status"
    "\":\"True\",\"type\":\"Ready\"},{\"lastTransitionTime\":\"2027-01-01T00:00:00Z\",\"m"
    "essage\":\"the source can be cloned\",\"observedGeneration\":1,\"reason\":\"Ready\","
    "\"status\":\"True\",\"type\":\"SourceReady\"},{\"lastTransitionTime\":\"2027-01-01T0"
    "0:00:00Z\",\"message\":\"permitted\",\"observedGeneration\":1,\"reason\":\"Ready\",\""
    "status\":\"True\",\"type\":\"PolicyAllowed\"},{\"lastTransitionTime\":\"2027-01-01T0"
    "0:00:00Z\",\"message\":\"all snapshots are ready\",\"observedGeneration\":1,\"reason"
    "\":\"Ready\",\"status\":\"True\",\"type\":\"SnapshotReady\"},{\"lastTransitionTime\""
    ":\"2027-01-01T00:00:00Z\",\"message\":\"the point in time is fixed\",\"observedGener"
    "ation\":1,\"reason\":\"Taken\",\"status\":\"True\",\"type\":\"SnapshotTaken\"},{\"la"
    "stTransitionTime\":\"2027-01-01T00:00:00Z\",\"message\":\"all claims are there\",\"o"
    "bservedGeneration\":1,\"reason\":\"Ready\",\"status\":\"True\",\"type\":\"DisksReady"
    "\"},{\"lastTransitionTime\":\"2027-01-01T00:00:00Z\",\"message\":\"the new machine i"
    "s there\",\"observedGeneration\":1,\"reason\":\"Ready\",\"status\":\"True\",\"type\""
    ":\"VirtualMachineReady\"},{\"lastTransitionTime\":\"2027-01-01T00:00:00Z\",\"message"
    "\":\"nothing temporary is left\",\"observedGeneration\":1,\"reason\":\"Cleaned\",\"s"
    "tatus\":\"True\",\"type\":\"TemporariesCleaned\"}],\"observedGeneration\":1,\"phase\""
    ":\"Stopped\",\"vmName\":\"copy-vm\"}";

const struct kube_kind worker_kinds[ALL_KINDS] = {
    [KIND_WUKONG] = {RESOURCE_WUKONG,
                     .fields = {F_SPEC, F_STATUS, F_LABELS, F_FINALIZERS, F_ANNOTATION_RETRY,
                                F_ANNOTATION_STAMP, F_GENERATE_NAME},
                     .packed = F_STATUS, .compressed_hint = status_hint},
    [KIND_VM] = {RESOURCE_VM,
                 .fields = {F_PRINTABLE, F_READY, F_CONDITIONS, F_SNAPSHOT_IN_PROGRESS,
                            F_RESTORE_IN_PROGRESS, F_RUN_STRATEGY, F_VM_RUNNING, F_LABELS},
                 .label_key = WUKONG_UID_LABEL},
    [KIND_VMI] = {RESOURCE_VMI, .fields = {F_PHASE, F_CONDITIONS, F_FREEZE_STATUS, F_REVISION_NAME,
                                           F_MIGRATION, F_MIGRATED_VOLUMES, F_BACKUP_STATUS,
                                           F_PHASE_TIMES, F_GUEST_OS, F_LABELS}},
    [KIND_PVC] = {RESOURCE_PVC,
                  .fields = {F_PHASE, F_STORAGE_CLASS, F_CAPACITY, F_REQUEST, F_VOLUME_NAME,
                             F_DATA_SOURCE, F_LABEL_ATTEMPT, F_CDI_CLONE_TYPE, F_CDI_FALLBACK,
                             F_LABEL_WUKONG, F_LABEL_NS, F_LABEL_INDEX, F_LABEL_NAME_OF_DISK,
                             F_DATA_SOURCE_REF, F_VOLUME_MODE, F_ACCESS_MODES},
                  .label_key = WUKONG_UID_LABEL},
    [KIND_SNAPSHOT] = {RESOURCE_SNAPSHOT,
                       .fields = {F_CONTENT_NAME, F_READY_TO_USE, F_ERROR, F_LABEL_ATTEMPT,
                                  F_LABEL_DISK, F_RESTORE_SIZE, F_SNAPSHOT_CLASS, F_FINALIZERS,
                                  F_LABEL_NAME_OF_DISK, F_SOURCE_CONTENT, F_SOURCE_CLAIM},
                       .label_key = WUKONG_UID_LABEL},
    [KIND_CONTENT] = {RESOURCE_CONTENT,
                      .fields = {F_SNAPSHOT_REF_UID, F_SNAPSHOT_REF_NAME, F_SNAPSHOT_REF_NS,
                                 F_CREATION_TIME, F_READY_TO_USE, F_RESTORE_SIZE, F_HANDLE,
                                 F_DELETION_POLICY, F_POLICY_SET, F_DRIVER, F_ERROR, F_SOURCE_MODE,
                                 F_CONTENT_CLASS, F_BEING_CREATED, F_VOLUME_HANDLE, F_LABEL_ATTEMPT,
                                 F_LABEL_NAME_OF_DISK},
                      .label_key = WUKONG_UID_LABEL},
    [KIND_GROUP] = {RESOURCE_GROUP, .older_version = GROUP_OLDER_VERSION,
                    .fields = {F_GROUP_CONTENT_NAME, F_READY_TO_USE, F_ERROR, F_LABEL_ATTEMPT,
                               F_LABEL_DISK, F_LABEL_NAME_OF_DISK, F_GROUP_CLASS, F_FINALIZERS},
                    .label_key = WUKONG_UID_LABEL},
    [KIND_GROUP_CONTENT] = {RESOURCE_GROUP_CONTENT, .older_version = GROUP_OLDER_VERSION,
                            .fields = {F_GROUP_REF_UID, F_GROUP_REF_NAME, F_GROUP_REF_NS,
                                       F_CREATION_TIME, F_READY_TO_USE, F_GROUP_HANDLE,
                                       F_GROUP_VOLUMES, F_GROUP_MEMBERS, F_DELETION_POLICY,
                                       F_POLICY_SET, F_ERROR, F_GROUP_CLASS, F_GROUP_BEING_CREATED},
                            .label_key = WUKONG_UID_LABEL},
    [KIND_VM_SNAPSHOT] = {RESOURCE_VM_SNAPSHOT,
                          .fields = {F_PHASE, F_READY_TO_USE, F_ERROR, F_INDICATIONS, F_VMS_CONTENT,
                                     F_LABEL_ATTEMPT},
                          .label_key = WUKONG_UID_LABEL},
    [KIND_VM_SNAPSHOT_CONTENT] = {RESOURCE_VM_SNAPSHOT_CONTENT,
                                  .fields = {F_VOLUME_BACKUPS, F_READY_TO_USE}},
    [KIND_STORAGE_CLASS] = {RESOURCE_STORAGE_CLASS, .fields = {FACTS_STORAGE_CLASS_FIELDS}},
    [KIND_SNAPSHOT_CLASS] = {RESOURCE_SNAPSHOT_CLASS, .fields = {FACTS_SNAPSHOT_CLASS_FIELDS}},
    [KIND_GROUP_CLASS] = {RESOURCE_GROUP_CLASS, .older_version = GROUP_OLDER_VERSION,
                          .fields = {FACTS_GROUP_CLASS_FIELDS}},
    [KIND_CSI_DRIVER] = {RESOURCE_CSI_DRIVER, .fields = {0}},
    [KIND_STORAGE_PROFILE] = {RESOURCE_STORAGE_PROFILE,
                              .fields = {F_PROFILE_CLASS, F_PROFILE_SETS}},
    [KIND_DATA_VOLUME] = {RESOURCE_DATA_VOLUME,
                          .fields = {F_PHASE, F_PROGRESS, F_CONDITIONS, F_LABEL_ATTEMPT,
                                     F_LABEL_INDEX, F_LABEL_NAME_OF_DISK, F_DV_SOURCE},
                          .label_key = WUKONG_UID_LABEL},
    [KIND_POLICY] = {RESOURCE_POLICY, .fields = {F_SPEC, F_STATUS}},
    /* A claim that cannot be restored says so only in Events (external-provisioner; seen on v6.3).
     */
    [KIND_CLAIM_EVENT] = {RESOURCE_EVENT,
                          .fields = {F_EVENT_OBJECT_NAME, F_EVENT_MESSAGE, F_EVENT_LAST},
                          .label_path = "involvedObject.uid", .no_bookmarks = true,
                          .field_selector = "involvedObject.kind=PersistentVolumeClaim,"
                                            "reason=ProvisioningFailed"},
    /* For the policies that select by its labels; and whether it is being deleted. */
    [KIND_NAMESPACE] = {RESOURCE_NAMESPACE, .fields = {F_LABELS}},
    [KIND_STAMP_KEYS] = {RESOURCE_CONFIG_MAP, .fields = {F_STAMP_KEYS}},
    [KIND_REVISION] = {RESOURCE_REVISION, .fields = {0}},
    [KIND_EVENT] = {RESOURCE_EVENT, .fields = {0}},
    [KIND_POD] = {RESOURCE_POD, .fields = {0}},
    [KIND_SUB_VM] = {RESOURCE_SUB_VM, .fields = {0}},
    [KIND_SUB_VMI] = {RESOURCE_SUB_VMI, .fields = {0}},
    [KIND_ACCESS_REVIEW] = {RESOURCE_ACCESS_REVIEW, .fields = {0}},
    [KIND_EXPAND] = {RESOURCE_EXPAND, .fields = {0}},
};
