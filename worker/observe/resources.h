/*
 * The kinds that the worker caches, and which fields of each it keeps. Order: the enum indexes the
 * table, the reflectors and the stores. A field is named where it is read by the macros below, so
 * that table and readers cannot drift apart.
 */
#ifndef OBSERVE_RESOURCES_H
#define OBSERVE_RESOURCES_H

#include "kube/object.h"
#include "wukong/api/spec.h"

enum worker_kind {
    KIND_WUKONG,
    KIND_VM,
    KIND_VMI,
    KIND_PVC,
    KIND_SNAPSHOT,
    KIND_CONTENT,
    KIND_GROUP,         /* VolumeGroupSnapshot */
    KIND_GROUP_CONTENT, /* VolumeGroupSnapshotContent */
    KIND_VM_SNAPSHOT,
    KIND_VM_SNAPSHOT_CONTENT,
    KIND_STORAGE_CLASS,
    KIND_SNAPSHOT_CLASS,
    KIND_GROUP_CLASS,
    KIND_CSI_DRIVER,
    KIND_STORAGE_PROFILE,
    KIND_DATA_VOLUME,
    KIND_POLICY,
    KIND_CLAIM_EVENT,
    KIND_NAMESPACE,
    KIND_STAMP_KEYS, /* the one ConfigMap with the webhook's public keys */
    WORKER_KINDS,
    /* Kinds that are only read or written, never cached. */
    KIND_REVISION = WORKER_KINDS,
    KIND_EVENT,
    KIND_SUB_VM,        /* subresources.kubevirt.io virtualmachines */
    KIND_SUB_VMI,       /* subresources.kubevirt.io virtualmachineinstances */
    KIND_EXPAND,        /* subresources.kubevirt.io expand-vm-spec: a function, not an object */
    KIND_POD,           /* listed by pages, kept in no cache */
    KIND_ACCESS_REVIEW, /* authorization.k8s.io subjectaccessreviews: a question, not an object */
    ALL_KINDS
};
extern const struct kube_kind worker_kinds[ALL_KINDS];

#define F_SPEC "spec{}"
#define F_STATUS "status{}"
#define F_LABELS "metadata.labels{}"
#define F_ANNOTATION_RETRY "metadata.annotations[vm.novasphere.dev/retry]"
#define F_ANNOTATION_STAMP "metadata.annotations[vm.novasphere.dev/admission]"
#define F_FINALIZERS "metadata.finalizers[]"
#define F_PHASE "status.phase"
#define F_CONDITIONS "status.conditions[]"
#define F_RUN_STRATEGY "spec.runStrategy"
#define F_VM_RUNNING "spec.running"
#define F_PRINTABLE "status.printableStatus"
#define F_READY "status.ready"
#define F_SNAPSHOT_IN_PROGRESS "status.snapshotInProgress"
#define F_RESTORE_IN_PROGRESS "status.restoreInProgress"
#define F_FREEZE_STATUS "status.fsFreezeStatus"
#define F_REVISION_NAME "status.virtualMachineRevisionName"
#define F_MIGRATION "status.migrationState{}"
#define F_GUEST_OS "status.guestOSInfo.id"
#define F_MIGRATED_VOLUMES "status.migratedVolumes"
#define F_BACKUP_STATUS "status.changedBlockTracking.backupStatus"
#define F_PHASE_TIMES "status.phaseTransitionTimestamps"
#define F_STORAGE_CLASS "spec.storageClassName"
#define F_CAPACITY "status.capacity.storage"
#define F_REQUEST "spec.resources.requests.storage"
#define F_VOLUME_NAME "spec.volumeName"
#define F_DATA_SOURCE "spec.dataSource{}"
#define F_DATA_SOURCE_REF "spec.dataSourceRef{}"
#define F_VOLUME_MODE "spec.volumeMode"
#define F_ACCESS_MODES "spec.accessModes[]"
#define F_DV_SOURCE "spec.source{}"
/* What CDI chose (pkg/controller/clone/common.go: AnnCloneType), and why no better. */
#define F_CDI_CLONE_TYPE "metadata.annotations[cdi.kubevirt.io/cloneType]"
#define F_CDI_FALLBACK "metadata.annotations[cdi.kubevirt.io/cloneFallbackReason]"
#define F_LABEL_ATTEMPT "metadata.labels[vm.novasphere.dev/attempt]"
#define F_LABEL_DISK "metadata.labels[vm.novasphere.dev/disk-index]"
/* Of what the clone makes, beside the two above: worker/manifests/manifest.h names the labels. */
#define F_LABEL_WUKONG "metadata.labels[vm.novasphere.dev/wukong]"
#define F_LABEL_NS "metadata.labels[vm.novasphere.dev/wukong-namespace]"
#define F_LABEL_INDEX "metadata.labels[vm.novasphere.dev/clone]"
#define F_LABEL_NAME_OF_DISK "metadata.labels[vm.novasphere.dev/disk]"
#define F_CONTENT_NAME "status.boundVolumeSnapshotContentName"
#define F_READY_TO_USE "status.readyToUse"
#define F_SNAPSHOT_CLASS "spec.volumeSnapshotClassName"
#define F_ERROR "status.error.message"
#define F_SNAPSHOT_REF_UID "spec.volumeSnapshotRef.uid"
#define F_SNAPSHOT_REF_NAME "spec.volumeSnapshotRef.name"
#define F_SNAPSHOT_REF_NS "spec.volumeSnapshotRef.namespace"
#define F_CREATION_TIME "status.creationTime"
#define F_RESTORE_SIZE "status.restoreSize"
#define F_HANDLE "status.snapshotHandle"
/* csi-snapshotter: a CreateSnapshot was sent whose outcome is not known. */
#define F_BEING_CREATED                                                                            \
    "metadata.annotations[snapshot.storage.kubernetes.io/volumesnapshot-being-created]"
#define F_DELETION_POLICY "spec.deletionPolicy"
/* Written with our Delete, and taken off with our Retain: of a content that bears it and retains,
   somebody else has set the policy since, whatever process of ours set it to Delete. */
#define POLICY_SET_ANNOTATION "vm.novasphere.dev/deletion-policy"
#define F_POLICY_SET "metadata.annotations[" POLICY_SET_ANNOTATION "]"
#define F_DRIVER "spec.driver"
#define F_INDICATIONS "status.indications[]"
#define F_VMS_CONTENT "status.virtualMachineSnapshotContentName"
#define F_VOLUME_BACKUPS "spec.volumeBackups[]"
#define F_PROGRESS "status.progress"
#define F_STAMP_KEYS "data{}"
#define F_GENERATE_NAME "metadata.generateName"
#define F_VOLUME_HANDLE "spec.source.volumeHandle"
#define F_SOURCE_CONTENT "spec.source.volumeSnapshotContentName"
#define F_SOURCE_CLAIM "spec.source.persistentVolumeClaimName"
#define F_SOURCE_MODE "spec.sourceVolumeMode"
#define F_CONTENT_CLASS "spec.volumeSnapshotClassName"
#define F_EVENT_OBJECT_NAME "involvedObject.name"
#define F_EVENT_MESSAGE "message"
#define F_EVENT_LAST "lastTimestamp"
#define F_CLASS_POLICY "deletionPolicy"
#define F_GROUP_CLASS "spec.volumeGroupSnapshotClassName"
#define F_GROUP_CONTENT_NAME "status.boundVolumeGroupSnapshotContentName"
#define F_GROUP_REF_UID "spec.volumeGroupSnapshotRef.uid"
#define F_GROUP_REF_NAME "spec.volumeGroupSnapshotRef.name"
#define F_GROUP_REF_NS "spec.volumeGroupSnapshotRef.namespace"
#define F_GROUP_VOLUMES "spec.source.volumeHandles[]"
#define F_GROUP_HANDLE "status.volumeGroupSnapshotHandle"
#define F_GROUP_MEMBERS "status.volumeSnapshotInfoList[]"
#define F_GROUP_BEING_CREATED                                                                      \
    "metadata.annotations[groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created]"
#define F_PROFILE_CLASS "status.snapshotClass"
#define F_PROFILE_SETS "status.claimPropertySets[]"

/* external-provisioner's finalizer on a VolumeSnapshot that it restores a claim from. */
#define SNAPSHOT_IN_USE "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection"

/* snapshot-controller's finalizer on a VolumeGroupSnapshot whose content it knows of. */
#define GROUP_BOUND "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection"

/* On the source's claims while a group is cut of them, before the clone's UID: the one label that
   its VolumeGroupSnapshot selects by. */
#define CUT_LABEL_PREFIX "cut." WUKONG_GROUP "/"

/* Labels on what the clone makes, beside WUKONG_UID_LABEL. */
#define LABEL_ATTEMPT "vm.novasphere.dev/attempt"
#define LABEL_DISK "vm.novasphere.dev/disk-index" /* in the plan */

#endif
