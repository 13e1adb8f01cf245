/*
 * What is a clone's own. The label with its UID is not enough, because copies of an object bear the
 * same labels (KubeVirt's VirtualMachineClone and VirtualMachineRestore, Velero, `kubectl get -o
 * yaml | apply`). Anybody who may write an object may also put a label on it. A clone's own object
 * bears the label, is of the right kind, and is in the namespace where the clone makes that kind.
 * Its name is the one that the clone computes from the object's other labels: index, disk, attempt.
 * The worker names everything else in an Event and leaves it alone: it never deletes, changes,
 * adopts, awaits or counts it.
 */
#ifndef OBSERVE_OURS_H
#define OBSERVE_OURS_H

#include "observe/resources.h"

/* Whose it may be. */
struct ours_clone {
    const char *uid, *name, *ns;
    const char *source_ns;
    const char *sources[2]; /* what a VolumeSnapshot's name may begin with; NULL: none */
    int64_t replicas;
    int64_t created_ms; /* what is older is not its own; 0: not known */
};

/* An object of this kind is the clone's own, as far as the object itself can tell. */
bool ours_made(const struct ours_clone *w, enum worker_kind kind, const struct kube_object *o);
/* By its labels the claim stands where a clone made it, whether that clone is known or not. */
bool ours_claim_counts(const struct kube_object *claim);
/* A content that csi-snapshotter made for a VolumeSnapshot with that UID, from a volume: nobody
   has provisioned it beforehand (external-snapshotter pkg/utils/util.go:
   GetDynamicSnapshotContentNameForSnapshot). */
bool ours_content_of(const struct kube_object *content, const char *snapshot_uid);
/* The same of a group's content (GetDynamicSnapshotContentNameForGroupSnapshot). */
bool ours_group_content_of(const struct kube_object *content, const char *group_uid);
/* A VolumeSnapshot that KubeVirt made for the VirtualMachineSnapshot with that UID, as its name
   tells (KubeVirt pkg/storage/snapshot/snapshot.go: "vmsnapshot-<uid>-volume-<volume>"). */
bool ours_is_backup_of(const char *snapshot_name, const char *vm_snapshot_uid);

#endif
