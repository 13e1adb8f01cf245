package control

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sort"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// sourceProtection is the VM's finalizer while a snapshot of it is taken
// (pkg/storage/snapshot/source.go sourceFinalizer).
const sourceProtection = "snapshot.kubevirt.io/snapshot-source-protection"

// source is the VM that is snapshotted, as pkg/storage/snapshot/source.go sees it at one moment.
type source struct {
	s        *SnapshotController
	vm, vmi  obj.M
	snapshot obj.M
	locked   bool
	lockMsg  string
}

func (s *SnapshotController) source(ctx context.Context, snapshot obj.M) (*source, error) {
	namespace, name := obj.Str(snapshot, "metadata", "namespace"), obj.Str(snapshot, "spec", "source", "name")
	vm, err := s.Get(ctx, VMs, namespace, name)
	if err != nil || vm == nil {
		return nil, err
	}
	vmi, err := s.Get(ctx, VMIs, namespace, name)
	if err != nil {
		return nil, err
	}
	src := &source{s: s, vm: vm, vmi: vmi, snapshot: snapshot, lockMsg: "Source not locked"}
	src.locked = obj.Str(vm, "status", "snapshotInProgress") == obj.Str(snapshot, "metadata", "name") &&
		HasFinalizer(vm, sourceProtection)
	if src.locked {
		src.lockMsg = "Source locked and operation in progress"
	}
	return src, nil
}

func (s *source) online() bool { return s.vmi != nil }
func (s *source) paused() bool { return rules.True(s.vmi, "Paused") }

// agent asks whether the condition is there, not whether it is true.
func (s *source) agent() bool { return rules.Condition(s.vmi, "AgentConnected") != nil }

// frozen is what the VMI's status says, which lags behind the guest by up to a poll.
func (s *source) frozen() bool { return obj.Str(s.vmi, "status", "fsFreezeStatus") == "frozen" }

// claims maps the VM's volumes to their claims.
func (s *source) claims() map[string]string {
	out := map[string]string{}
	for _, volume := range obj.List(s.vm, "spec", "template", "spec", "volumes") {
		if claim := rules.ClaimOf(volume); claim != "" {
			out[obj.Str(volume, "name")] = claim
		}
	}
	return out
}

// lock marks the VM as being snapshotted, if its claims are all usable and no other snapshot holds it.
func (s *source) lock(ctx context.Context) error {
	names := []string{}
	for _, claim := range s.claims() {
		names = append(names, claim)
	}
	sort.Strings(names)
	for _, name := range names {
		why, err := s.unusable(ctx, name)
		if err != nil {
			return err
		}
		if why != "" {
			s.lockMsg += fmt.Sprintf(" source %s/%s %s: %s", obj.Str(s.vm, "metadata", "namespace"),
				obj.Str(s.vm, "metadata", "name"), why, name)
			return nil
		}
	}
	holder, own := obj.Str(s.vm, "status", "snapshotInProgress"), obj.Str(s.snapshot, "metadata", "name")
	if holder != "" && holder != own {
		s.lockMsg += fmt.Sprintf(" snapshot %q in progress", holder)
		return nil
	}
	vm := s.vm
	var err error
	if holder == "" {
		vm = obj.Copy(vm)
		obj.Set(vm, own, "status", "snapshotInProgress")
		if vm, err = s.s.UpdateStatus(ctx, VMs, vm); err != nil {
			return err
		}
	}
	if vm, err = s.s.SetFinalizer(ctx, VMs, vm, sourceProtection, true); err != nil {
		return err
	}
	s.vm, s.locked, s.lockMsg = vm, true, "Source locked and operation in progress"
	return nil
}

func (s *source) unusable(ctx context.Context, name string) (string, error) {
	claim, err := s.s.Get(ctx, Claims, obj.Str(s.vm, "metadata", "namespace"), name)
	switch {
	case err != nil:
		return "", err
	case claim == nil:
		return "volume doesnt exist", nil
	case rules.Deleting(claim):
		return "volume is being deleted", nil
	case obj.Str(claim, "status", "phase") != "Bound":
		return "volume not bound", nil
	}
	populated, err := s.s.populated(ctx, claim)
	if err != nil || populated {
		return "", err
	}
	return "volume not populated", nil
}

func (s *source) unlock(ctx context.Context) error {
	if obj.Str(s.vm, "status", "snapshotInProgress") != obj.Str(s.snapshot, "metadata", "name") {
		return nil
	}
	vm, err := s.s.SetFinalizer(ctx, VMs, s.vm, sourceProtection, false)
	if err != nil {
		return err
	}
	vm = obj.Copy(vm)
	obj.Delete(vm, "status", "snapshotInProgress")
	if vm, err = s.s.UpdateStatus(ctx, VMs, vm); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	s.vm, s.locked = vm, false
	return nil
}

// freeze goes on without a freeze when the machine is paused, has no agent, or reads frozen already.
func (s *source) freeze() error {
	if !s.locked {
		return errors.New("attempting to freeze unlocked VM")
	}
	if s.frozen() || s.paused() || !s.agent() {
		return nil
	}
	body := fmt.Sprintf(`{"unfreezeTimeout":%q}`, rules.Deadline(s.snapshot).String())
	return s.s.Node.Freeze(s.vmi, []byte(body), Controller)
}

func (s *source) unfreeze() error {
	if !s.locked || !s.agent() || s.paused() {
		return nil
	}
	return s.s.Node.Unfreeze(s.vmi, Controller)
}

// spec is the VM as it runs: what the revision of its start says, with the volumes and disks of now.
func (s *source) spec(ctx context.Context) (obj.M, error) {
	metadata := obj.Copy(obj.Map(s.vm, "metadata"))
	delete(metadata, "managedFields")
	vm := obj.M{"metadata": metadata, "spec": obj.Copy(obj.Map(s.vm, "spec")), "status": obj.M{}}
	if s.online() {
		name := obj.Str(s.vmi, "status", "virtualMachineRevisionName")
		revision, err := s.s.Get(ctx, Revisions, obj.Str(s.vm, "metadata", "namespace"), name)
		if err != nil {
			return nil, err
		}
		if revision == nil {
			return nil, fmt.Errorf("vm revision %s doesn't exist", name)
		}
		ran := obj.Copy(obj.Map(asMap(revision["data"]), "spec"))
		now := obj.Map(s.vm, "spec")
		for _, path := range [][]string{{"template", "spec", "volumes"},
			{"template", "spec", "domain", "devices", "disks"}, {"dataVolumeTemplates"}} {
			if v := obj.Get(now, path...); v != nil {
				obj.Set(ran, obj.Copy(obj.M{"v": v})["v"], path...)
			} else {
				obj.Delete(ran, path...)
			}
		}
		vm["spec"] = ran
	}
	// seen on v1.9: the stored status says Stopped whatever the truth
	obj.Set(vm, "Stopped", "status", "printableStatus")
	for _, what := range []string{"instancetype", "preference"} {
		if err := s.captureRevision(ctx, vm, what); err != nil {
			return nil, err
		}
	}
	return vm, nil
}

// captureRevision copies the pinned instancetype under a name of the snapshot's; the copy goes with it.
func (s *source) captureRevision(ctx context.Context, vm obj.M, what string) error {
	name := obj.Str(vm, "spec", what, "revisionName")
	if name == "" {
		return nil
	}
	namespace := obj.Str(s.vm, "metadata", "namespace")
	revision, err := s.s.Get(ctx, Revisions, namespace, name)
	if err != nil {
		return err
	}
	if revision == nil {
		return fmt.Errorf("Unable to fetch ControllerRevision %s/%s", namespace, name)
	}
	copied := strings.Replace(name, obj.Str(s.snapshot, "spec", "source", "name"), obj.Str(s.snapshot, "metadata", "name"), 1)
	metadata := obj.M{"name": copied, "namespace": namespace,
		"ownerReferences": []any{Owner("snapshot.kubevirt.io/v1beta1", "VirtualMachineSnapshot", s.snapshot)}}
	if labels := obj.Map(revision, "metadata", "labels"); labels != nil {
		metadata["labels"] = labels
	}
	_, err = s.s.Create(ctx, Revisions, obj.M{"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata,
		"revision": obj.Int(revision, "revision"), "data": revision["data"]})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	obj.Set(vm, copied, "spec", what, "revisionName")
	return nil
}

// unfreezeSource thaws what a snapshot may have frozen; nothing when the snapshot or the VM is gone.
func (s *SnapshotController) unfreezeSource(ctx context.Context, snapshot obj.M) error {
	if snapshot == nil {
		return nil
	}
	src, err := s.source(ctx, snapshot)
	if err != nil || src == nil {
		return err
	}
	if err := src.unfreeze(); err != nil {
		log.Printf("unfreeze for snapshot %s: %v", Key(snapshot), err)
		return err
	}
	return nil
}
