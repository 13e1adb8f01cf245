package control

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

const (
	snapshotProtection = "snapshot.kubevirt.io/vmsnapshot-protection"
	contentProtection  = "snapshot.kubevirt.io/vmsnapshotcontent-protection"
	retryInterval      = 5 * time.Second // snapshot.go snapshotRetryInterval
)

// SnapshotController is pkg/storage/snapshot: VirtualMachineSnapshots and their contents.
type SnapshotController struct {
	*Cluster
	Node            *Node
	Queue, Contents *Queue
}

// NewSnapshotController makes the controller and hooks it to the caches.
func NewSnapshotController(c *Cluster, n *Node) *SnapshotController {
	s := &SnapshotController{Cluster: c, Node: n}
	s.Queue = NewQueue("vmsnapshot", s.reconcile)
	s.Contents = NewQueue("vmsnapshotcontent", s.reconcileContent)
	c.On(Snapshots, func(o obj.M) {
		s.Queue.Add(Key(o))
		s.Contents.Add(obj.Str(o, "metadata", "namespace") + "/" + rules.ContentName(o))
	})
	c.On(Contents, func(o obj.M) {
		s.Contents.Add(Key(o))
		s.Queue.Add(obj.Str(o, "metadata", "namespace") + "/" + obj.Str(o, "spec", "virtualMachineSnapshotName"))
	})
	c.On(VolumeSnapshots, func(o obj.M) {
		for _, ref := range obj.List(o, "metadata", "ownerReferences") {
			if obj.Str(ref, "kind") == "VirtualMachineSnapshotContent" {
				s.Contents.Add(obj.Str(o, "metadata", "namespace") + "/" + obj.Str(ref, "name"))
			}
		}
	})
	ofSource := func(o obj.M) {
		for _, snapshot := range c.Cached(Snapshots, obj.Str(o, "metadata", "namespace")) {
			if obj.Str(snapshot, "spec", "source", "name") == obj.Str(o, "metadata", "name") {
				s.Queue.Add(Key(snapshot))
			}
		}
	}
	c.On(VMs, ofSource)
	c.On(VMIs, ofSource)
	c.On(Claims, func(o obj.M) {
		for _, vm := range c.Cached(VMs, obj.Str(o, "metadata", "namespace")) {
			for _, volume := range obj.List(vm, "spec", "template", "spec", "volumes") {
				if rules.ClaimOf(volume) == obj.Str(o, "metadata", "name") {
					ofSource(vm)
				}
			}
		}
	})
	return s
}

// reconcile is snapshot.go updateVMSnapshot.
func (s *SnapshotController) reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := SplitKey(key)
	snapshot, err := s.Get(ctx, Snapshots, namespace, name)
	if err != nil || snapshot == nil {
		return 0, err
	}
	src, err := s.source(ctx, snapshot)
	if err != nil {
		return 0, err
	}
	content, err := s.Get(ctx, Contents, namespace, rules.ContentName(snapshot))
	if err != nil {
		return 0, err
	}
	now := time.Now()
	terminating := rules.Terminating(snapshot, now)
	if !terminating {
		if snapshot, err = s.SetFinalizer(ctx, Snapshots, snapshot, snapshotProtection, true); err != nil {
			return 0, err
		}
		if src != nil {
			src.snapshot = snapshot
		}
	}
	var retry time.Duration
	canRelease := true
	if obj.Map(snapshot, "status") != nil && src != nil {
		if rules.Progressing(snapshot) && !terminating {
			canRelease = false
			if !src.locked {
				if err := src.lock(ctx); err != nil {
					return 0, err
				}
				retry = retryInterval
			} else if content == nil {
				if err := s.createContent(ctx, snapshot, src); err != nil {
					return 0, err
				}
			}
		} else {
			gone := content == nil || !rules.ShouldDeleteContent(snapshot, content)
			if !rules.Progressing(snapshot) || (terminating && gone) {
				if err := src.unlock(ctx); err != nil {
					return 0, err
				}
			}
			canRelease = !src.locked
		}
	}
	if terminating && content != nil && rules.ShouldDeleteContent(snapshot, content) && !rules.Deleting(content) {
		if err := s.Delete(ctx, Contents, content); err != nil {
			return 0, err
		}
	}
	if snapshot, err = s.updateStatus(ctx, snapshot, src); err != nil {
		return 0, err
	}
	if rules.Deleting(snapshot) && canRelease {
		if _, err = s.SetFinalizer(ctx, Snapshots, snapshot, snapshotProtection, false); err != nil && !apierrors.IsNotFound(err) {
			return 0, err
		}
		return 0, nil
	}
	if retry == 0 && rules.Progressing(snapshot) {
		// One deadline has a granularity of a second: look again just after it.
		if left := rules.Left(snapshot, time.Now()); left > 0 {
			retry = left + 10*time.Millisecond
		}
	}
	return retry, nil
}

// createContent records the VM as it runs and which claims will be snapshotted.
func (s *SnapshotController) createContent(ctx context.Context, snapshot obj.M, src *source) error {
	namespace := obj.Str(snapshot, "metadata", "namespace")
	backups := []any{}
	// A map's order, as in the original: clients must not count on the VM's.
	for volume, claimName := range src.claims() {
		claim, err := s.Get(ctx, Claims, namespace, claimName)
		if err != nil {
			return err
		}
		if claim == nil || obj.Str(claim, "status", "phase") != "Bound" || obj.Str(claim, "spec", "storageClassName") == "" {
			continue
		}
		class, err := s.snapshotClass(ctx, obj.Str(claim, "spec", "storageClassName"))
		if err != nil {
			return err
		}
		if class == "" {
			continue // left out: it will be among the excluded volumes
		}
		metadata := obj.Copy(obj.Map(claim, "metadata"))
		delete(metadata, "managedFields")
		backups = append(backups, obj.M{"volumeName": volume,
			"persistentVolumeClaim": obj.M{"metadata": metadata, "spec": obj.Copy(obj.Map(claim, "spec"))},
			"volumeSnapshotName":    rules.VolumeSnapshotName(obj.Str(snapshot, "metadata", "uid"), volume)})
	}
	vm, err := src.spec(ctx)
	if err != nil {
		return err
	}
	name := rules.ContentName(snapshot)
	_, err = s.Create(ctx, Contents, obj.M{"apiVersion": "snapshot.kubevirt.io/v1beta1", "kind": "VirtualMachineSnapshotContent",
		"metadata": obj.M{"name": name, "namespace": namespace, "finalizers": []any{contentProtection}},
		"spec": obj.M{"virtualMachineSnapshotName": obj.Str(snapshot, "metadata", "name"),
			"source": obj.M{"virtualMachine": vm}, "volumeBackups": backups}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	s.Event(ctx, snapshot, "Normal", "SuccessfulVirtualMachineSnapshotContentCreate",
		"Successfully created VirtualMachineSnapshotContent %s", name)
	return nil
}

// snapshotCondition is util.go updateCondition: the reason is free text.
func snapshotCondition(o obj.M, kind, status, reason string) {
	entry := obj.M{"type": kind, "status": status, "reason": reason, "lastTransitionTime": Now(), "lastProbeTime": nil}
	list := obj.List(o, "status", "conditions")
	for i, c := range list {
		if obj.Str(c, "type") == kind {
			if obj.Str(c, "status") != status || obj.Str(c, "reason") != reason {
				list[i] = entry
				obj.Set(o, obj.Anys(list), "status", "conditions")
			}
			return
		}
	}
	obj.Set(o, obj.Anys(append(list, entry)), "status", "conditions")
}

// updateStatus is snapshot.go updateSnapshotStatus.
func (s *SnapshotController) updateStatus(ctx context.Context, snapshot obj.M, src *source) (obj.M, error) {
	next := obj.Copy(snapshot)
	if obj.Map(next, "status") == nil {
		next["status"] = obj.M{"readyToUse": false}
	}
	status := obj.Map(next, "status")
	content, err := s.Get(ctx, Contents, obj.Str(next, "metadata", "namespace"), rules.ContentName(next))
	if err != nil {
		return nil, err
	}
	if src != nil {
		status["sourceUID"] = obj.Str(src.vm, "metadata", "uid")
	}
	if obj.Map(content, "status") != nil {
		status["virtualMachineSnapshotContentName"] = obj.Str(content, "metadata", "name")
		for _, key := range []string{"creationTime", "readyToUse", "error"} {
			if v := obj.Get(content, "status", key); v != nil {
				status[key] = v
			} else {
				delete(status, key)
			}
		}
	}
	switch {
	case rules.DeadlineExceeded(next, time.Now()):
		status["phase"] = "Failed"
		snapshotCondition(next, "Failure", "True", "snapshot deadline exceeded")
		snapshotCondition(next, "Progressing", "False", "Operation failed")
	case rules.Succeeded(next) || obj.Has(next, "status", "creationTime"):
		status["phase"] = "Succeeded"
		snapshotCondition(next, "Progressing", "False", "Operation complete")
		includedVolumes(next, content)
	default:
		status["phase"] = "InProgress"
		if src != nil {
			progressing := "False"
			if src.locked {
				progressing = "True"
			}
			snapshotCondition(next, "Progressing", progressing, src.lockMsg)
			indicate(next, src)
		} else {
			snapshotCondition(next, "Progressing", "False", "Source does not exist")
		}
		if rules.Deleting(next) {
			status["phase"] = "Deleting"
			snapshotCondition(next, "Progressing", "False", "VM snapshot is deleting")
		}
	}
	if rules.Ready(next) {
		snapshotCondition(next, "Ready", "True", "Ready")
	} else {
		snapshotCondition(next, "Ready", "False", "Not ready")
	}
	if obj.Has(next, "status", "error") {
		snapshotCondition(next, "Progressing", "False", "In error state")
	}
	if equality.Semantic.DeepEqual(obj.Map(snapshot, "status"), obj.Map(next, "status")) {
		return snapshot, nil
	}
	return s.UpdateStatus(ctx, Snapshots, next)
}

// indicate is snapshot.go updateSnapshotSourceIndications; a stopped machine has none.
func indicate(snapshot obj.M, src *source) {
	status := obj.Map(snapshot, "status")
	if !src.online() {
		delete(status, "indications")
		delete(status, "sourceIndications")
		return
	}
	have := map[string]bool{"Online": true}
	for _, name := range obj.Strings(status, "indications") {
		have[name] = true
	}
	switch {
	case src.paused():
		have["Paused"] = true
	case src.agent():
		have["GuestAgent"] = true
	default:
		have["NoGuestAgent"] = true
	}
	var names, entries []any
	for _, name := range []string{"GuestAgent", "NoGuestAgent", "Online", "PartialSnapshot", "Paused", "QuiesceTimeout"} {
		if have[name] {
			names = append(names, name)
			entries = append(entries, obj.M{"indication": name, "message": rules.IndicationMessage(name)})
		}
	}
	status["indications"], status["sourceIndications"] = names, entries
}

// includedVolumes is snapshot.go updateSnapshotSnapshotableVolumes: a cloud-init volume is excluded too,
// but only a volume that could have been snapshotted makes the snapshot a partial one.
func includedVolumes(snapshot, content obj.M) {
	vm := obj.Map(content, "spec", "source", "virtualMachine")
	if obj.Map(vm, "spec", "template") == nil {
		return
	}
	backed := map[string]bool{}
	for _, backup := range obj.List(content, "spec", "volumeBackups") {
		backed[obj.Str(backup, "volumeName")] = true
	}
	lists := obj.M{}
	partial := false
	for _, volume := range obj.List(vm, "spec", "template", "spec", "volumes") {
		if name := obj.Str(volume, "name"); backed[name] {
			obj.Append(lists, name, "includedVolumes")
		} else {
			obj.Append(lists, name, "excludedVolumes")
			partial = partial || rules.Snapshottable(volume)
		}
	}
	obj.Set(snapshot, lists, "status", "snapshotVolumes")
	if !partial {
		return
	}
	for _, name := range obj.Strings(snapshot, "status", "indications") {
		if name == "PartialSnapshot" {
			return
		}
	}
	obj.Append(snapshot, "PartialSnapshot", "status", "indications")
	obj.Append(snapshot, obj.M{"indication": "PartialSnapshot", "message": rules.IndicationMessage("PartialSnapshot")},
		"status", "sourceIndications")
}

// createVolumeSnapshot cuts one claim.
func (s *SnapshotController) createVolumeSnapshot(ctx context.Context, content, backup obj.M) (obj.M, error) {
	storage := obj.Str(backup, "persistentVolumeClaim", "spec", "storageClassName")
	class, err := s.snapshotClass(ctx, storage)
	if err != nil {
		return nil, err
	}
	if class == "" {
		return nil, fmt.Errorf("no VolumeSnapshotClass for %s", storage)
	}
	name := obj.Str(backup, "volumeSnapshotName")
	vm := obj.Map(content, "spec", "source", "virtualMachine", "metadata")
	created, err := s.Create(ctx, VolumeSnapshots, obj.M{"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
		"metadata": obj.M{"name": name, "namespace": obj.Str(content, "metadata", "namespace"),
			"labels": obj.M{"snapshot.kubevirt.io/source-vm-name": obj.Str(vm, "name"),
				"snapshot.kubevirt.io/source-vm-namespace": obj.Str(vm, "namespace")},
			"ownerReferences": []any{Owner("snapshot.kubevirt.io/v1beta1", "VirtualMachineSnapshotContent", content)}},
		"spec": obj.M{"volumeSnapshotClassName": class, "source": obj.M{
			"persistentVolumeClaimName": obj.Str(backup, "persistentVolumeClaim", "metadata", "name")}}})
	if err != nil {
		return nil, err
	}
	s.Event(ctx, content, "Normal", "SuccessfulVolumeSnapshotCreate", "Successfully created VolumeSnapshot %s", name)
	return created, nil
}
