package rules

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

// Snapshot validates a VirtualMachineSnapshot (pkg/storage/admitters/vmsnapshot.go); old is nil at
// creation. The source need not exist.
func Snapshot(snapshot, old obj.M) (c Causes) {
	if old != nil {
		if !equality.Semantic.DeepEqual(obj.Map(snapshot, "spec"), obj.Map(old, "spec")) {
			c.add(invalid, "spec", "spec in immutable after creation")
		}
		return c
	}
	group := obj.Get(snapshot, "spec", "source", "apiGroup")
	switch {
	case group == nil:
		c.add(metav1.CauseTypeFieldValueNotFound, "spec.source.apiGroup", "missing apiGroup")
	case group != "kubevirt.io":
		c.add(invalid, "spec.source.apiGroup", "invalid apiGroup")
	case obj.Str(snapshot, "spec", "source", "kind") != "VirtualMachine":
		c.add(invalid, "spec.source.kind", "invalid kind")
	}
	return c
}

// DefaultDeadline is snapshot/v1beta1's DefaultFailureDeadline.
const DefaultDeadline = 5 * time.Minute

// Deadline is pkg/storage/snapshot/util.go getFailureDeadline; it is the safety timer of the freeze
// as well.
func Deadline(snapshot obj.M) time.Duration {
	text := obj.Str(snapshot, "spec", "failureDeadline")
	if text == "" {
		return DefaultDeadline
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return DefaultDeadline
	}
	return d
}

// Left is the time until the deadline, 0 when there is none.
func Left(snapshot obj.M, now time.Time) time.Duration {
	deadline := Deadline(snapshot)
	if deadline == 0 {
		return 0
	}
	created, err := time.Parse(time.RFC3339, obj.Str(snapshot, "metadata", "creationTimestamp"))
	if err != nil {
		return deadline
	}
	return created.Add(deadline).Sub(now)
}

// What snapshot.go asks of a VirtualMachineSnapshot.

func Failed(s obj.M) bool      { return obj.Str(s, "status", "phase") == "Failed" }
func Succeeded(s obj.M) bool   { return obj.Str(s, "status", "phase") == "Succeeded" }
func Progressing(s obj.M) bool { return !Failed(s) && !Succeeded(s) }
func Deleting(s obj.M) bool    { return s != nil && obj.Has(s, "metadata", "deletionTimestamp") }
func Ready(s obj.M) bool       { return obj.Bool(s, "status", "readyToUse") }

// DeadlineExceeded: a failed snapshot stays failed, a succeeded one no longer can.
func DeadlineExceeded(s obj.M, now time.Time) bool {
	if Failed(s) {
		return true
	}
	return Progressing(s) && Left(s, now) < 0
}

// Terminating is snapshot.go vmSnapshotTerminating.
func Terminating(s obj.M, now time.Time) bool { return Deleting(s) || DeadlineExceeded(s, now) }

// ShouldDeleteContent: content that is not ready is deleted even where the policy says Retain.
func ShouldDeleteContent(s, content obj.M) bool {
	policy := obj.Str(s, "spec", "deletionPolicy")
	return policy == "" || policy == "Delete" || !Ready(content)
}

// ContentName is snapshot.go GetVMSnapshotContentName.
func ContentName(s obj.M) string {
	if name := obj.Str(s, "status", "virtualMachineSnapshotContentName"); name != "" {
		return name
	}
	return "vmsnapshot-content-" + obj.Str(s, "metadata", "uid")
}

// VolumeSnapshotName is snapshot.go createContent's.
func VolumeSnapshotName(snapshotUID, volume string) string {
	return fmt.Sprintf("vmsnapshot-%s-volume-%s", snapshotUID, volume)
}

// indications and what they mean; the wording is ours, the names are KubeVirt's.
var indications = map[string]string{
	"Online":          "the machine was running",
	"GuestAgent":      "the guest agent was asked to quiesce the file systems",
	"NoGuestAgent":    "no guest agent answered, the disks are as after a power cut",
	"QuiesceTimeout":  "the guest thawed before the last disk was cut",
	"Paused":          "the machine was paused, nothing was flushed",
	"PartialSnapshot": "a volume that could hold data is not in the snapshot",
}

// IndicationMessage is the text beside an indication.
func IndicationMessage(name string) string { return indications[name] }

// SnapshotClass is snapshot.go getVolumeSnapshotClassName: the class of the StorageProfile, else the only
// one of the driver, else the first that has the default annotation at all, whatever its value.
func SnapshotClass(storageClass, profile obj.M, classes []obj.M) (string, error) {
	if storageClass == nil {
		return "", nil
	}
	if name := obj.Str(profile, "status", "snapshotClass"); name != "" {
		for _, class := range classes {
			if obj.Str(class, "metadata", "name") == name {
				return name, nil
			}
		}
		return "", nil
	}
	var matches []obj.M
	for _, class := range classes {
		if obj.Str(class, "driver") == obj.Str(storageClass, "provisioner") {
			matches = append(matches, class)
		}
	}
	if len(matches) == 0 {
		return "", nil
	}
	if len(matches) == 1 {
		return obj.Str(matches[0], "metadata", "name"), nil
	}
	for _, class := range matches {
		if obj.Has(class, "metadata", "annotations", "snapshot.storage.kubernetes.io/is-default-class") {
			return obj.Str(class, "metadata", "name"), nil
		}
	}
	return "", fmt.Errorf("%d matching VolumeSnapshotClasses for %s", len(matches),
		obj.Str(storageClass, "metadata", "name"))
}

// Snapshottable is snapshot.go isVolumeSnapshottable.
func Snapshottable(volume obj.M) bool {
	return obj.Has(volume, "persistentVolumeClaim") || obj.Has(volume, "dataVolume") ||
		obj.Has(volume, "memoryDump")
}

// ClaimOf is the claim behind a volume, "" when there is none.
func ClaimOf(volume obj.M) string {
	for _, path := range [][]string{{"persistentVolumeClaim", "claimName"}, {"dataVolume", "name"},
		{"memoryDump", "claimName"}} {
		if name := obj.Str(volume, path...); name != "" {
			return name
		}
	}
	return ""
}
