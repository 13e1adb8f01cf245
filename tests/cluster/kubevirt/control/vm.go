package control

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// syncError is what ends in the VM's condition Failure.
type syncError struct {
	reason string
	err    error
}

// VMController is pkg/virt-controller/watch/vm/vm.go: one machine from one VM.
type VMController struct {
	*Cluster
	Queue *Queue
}

// NewVMController makes the controller and hooks it to the caches.
func NewVMController(c *Cluster) *VMController {
	v := &VMController{Cluster: c}
	v.Queue = NewQueue("vm", v.reconcile)
	c.On(VMs, func(o obj.M) { v.Queue.Add(Key(o)) })
	c.On(VMIs, func(o obj.M) { v.Queue.Add(Key(o)) })
	c.On(Claims, func(o obj.M) {
		namespace, name := obj.Str(o, "metadata", "namespace"), obj.Str(o, "metadata", "name")
		for _, vm := range c.Cached(VMs, namespace) {
			for _, volume := range obj.List(vm, "spec", "template", "spec", "volumes") {
				if rules.ClaimOf(volume) == name {
					v.Queue.Add(Key(vm))
				}
			}
		}
	})
	classes := func(obj.M) {
		for _, vm := range c.Cached(VMs, "") {
			v.Queue.Add(Key(vm))
		}
	}
	c.On(SnapshotClasses, classes)
	c.On(StorageClasses, classes)
	return v
}

func (v *VMController) reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := SplitKey(key)
	vm, err := v.Get(ctx, VMs, namespace, name)
	if err != nil || vm == nil {
		return 0, err
	}
	found, err := v.Get(ctx, VMIs, namespace, name)
	if err != nil {
		return 0, err
	}
	vmi := found
	if vmi != nil && !ControlledBy(vmi, vm) {
		vmi = nil
	}
	if rules.Deleting(vm) {
		return 0, v.deleted(ctx, vm, vmi)
	}
	if vm, err = v.adorn(ctx, vm); err != nil {
		return 0, err
	}
	before := obj.Copy(obj.Map(vm, "status"))
	failure, again := v.act(ctx, vm, vmi)
	if failure != nil && apierrors.IsConflict(failure.err) {
		return 0, failure.err
	}
	if vmi, err = v.Get(ctx, VMIs, namespace, name); err != nil {
		return 0, err
	}
	if vmi != nil && !ControlledBy(vmi, vm) {
		vmi = nil
	}
	v.setStatus(ctx, vm, vmi, failure)
	if !equality.Semantic.DeepEqual(before, obj.Map(vm, "status")) {
		if _, err = v.UpdateStatus(ctx, VMs, vm); err != nil {
			return 0, err
		}
	}
	if failure != nil && again == 0 {
		again = time.Second
	}
	return again, nil
}

// adorn gives the VM the finalizer and the annotations that virt-controller writes.
func (v *VMController) adorn(ctx context.Context, vm obj.M) (obj.M, error) {
	annotations := obj.Map(vm, "metadata", "annotations")
	want := obj.M{"kubevirt.io/latest-observed-api-version": "v1", "kubevirt.io/storage-observed-api-version": "v1"}
	changed := obj.Copy(vm)
	dirty := !HasFinalizer(vm, rules.ControllerFinalizer)
	if dirty {
		obj.Append(changed, rules.ControllerFinalizer, "metadata", "finalizers")
	}
	for key, value := range want {
		if annotations[key] != value {
			obj.Set(changed, value, "metadata", "annotations", key)
			dirty = true
		}
	}
	if !dirty {
		return vm, nil
	}
	return v.Update(ctx, VMs, changed)
}

func (v *VMController) deleted(ctx context.Context, vm, vmi obj.M) error {
	if vmi != nil && !HasFinalizer(vm, "orphan") {
		if !rules.Deleting(vmi) {
			return v.Delete(ctx, VMIs, vmi)
		}
		if obj.Str(vm, "status", "printableStatus") != "Terminating" {
			obj.Set(vm, "Terminating", "status", "printableStatus")
			_, err := v.UpdateStatus(ctx, VMs, vm)
			return err
		}
		return nil
	}
	_, err := v.SetFinalizer(ctx, VMs, vm, rules.ControllerFinalizer, false)
	return err
}

func (v *VMController) act(ctx context.Context, vm, vmi obj.M) (*syncError, time.Duration) {
	for _, what := range []string{"instancetype", "preference"} {
		reason := map[string]string{"instancetype": "FailedFindInstancetype", "preference": "FailedFindPreference"}[what]
		if _, err := v.FindMatched(ctx, vm, what); err != nil {
			return &syncError{reason, err}, 0
		}
		if _, err := v.pin(ctx, vm, what); err != nil {
			return &syncError{"FailedCreateVirtualMachine", err}, 0
		}
	}
	switch rules.Next(vm, vmi) {
	case rules.StartVMI:
		return v.start(ctx, vm)
	case rules.StopVMI:
		return v.stop(ctx, vm, vmi, false), 0
	case rules.StopAndRequestStart:
		return v.stop(ctx, vm, vmi, true), 0
	case rules.HaltedToAlways:
		changed := obj.Copy(vm)
		if obj.Has(vm, "spec", "runStrategy") {
			obj.Set(changed, rules.Always, "spec", "runStrategy")
		} else {
			obj.Set(changed, true, "spec", "running")
		}
		if _, err := v.Update(ctx, VMs, changed); err != nil {
			return &syncError{"FailedCreate", err}, 0
		}
	}
	return nil, 0
}

func (v *VMController) stop(ctx context.Context, vm, vmi obj.M, andStart bool) *syncError {
	if rules.Deleting(vmi) {
		return nil
	}
	if err := v.Delete(ctx, VMIs, vmi); err != nil {
		return &syncError{"FailedDelete", err}
	}
	DropCondition(vm, "RestartRequired")
	v.Event(ctx, vm, "Normal", "SuccessfulDelete", "Stopped the virtual machine by deleting the virtual machine instance %s",
		obj.Str(vmi, "metadata", "uid"))
	if andStart {
		obj.Set(vm, []any{obj.M{"action": "Start"}}, "status", "stateChangeRequests")
	}
	return nil
}

// start is vm.go startVMI.
func (v *VMController) start(ctx context.Context, vm obj.M) (*syncError, time.Duration) {
	ready, err := v.dataVolumes(ctx, vm)
	if err != nil {
		return &syncError{"FailedCreate", err}, 0
	}
	if !ready {
		return nil, 500 * time.Millisecond
	}
	DropCondition(vm, "RestartRequired")
	revision, err := v.recordRevision(ctx, vm)
	if err != nil {
		return &syncError{"FailedCreate", err}, 0
	}
	vmi := v.machineOf(vm)
	obj.Set(vmi, revision, "status", "virtualMachineRevisionName")
	instancetype, _ := v.FindMatched(ctx, vm, "instancetype")
	preference, _ := v.FindMatched(ctx, vm, "preference")
	rules.DefaultNetwork(obj.Map(vmi, "spec"))
	if conflicts := rules.ApplyInstancetype(obj.Map(vmi, "spec"), instancetype, preference); len(conflicts) > 0 {
		return &syncError{"FailedCreate", fmt.Errorf("%s", conflicts[0].Message)}, 0
	}
	if _, err = v.Create(ctx, VMIs, vmi); err != nil {
		v.Event(ctx, vm, "Warning", "FailedCreate", "Error creating virtual machine instance: %v", err)
		return &syncError{"FailedCreate", fmt.Errorf("failure while starting VMI: %w", err)}, 0
	}
	v.Event(ctx, vm, "Normal", "SuccessfulCreate",
		"Started the virtual machine by creating the new virtual machine instance %s", obj.Str(vm, "metadata", "name"))
	return nil, 0
}

// machineOf is vm.go SetupVMIFromVM.
func (v *VMController) machineOf(vm obj.M) obj.M {
	template := obj.Copy(obj.Map(vm, "spec", "template"))
	vmi := obj.M{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "spec": obj.Map(template, "spec"),
		"metadata": obj.M{"name": obj.Str(vm, "metadata", "name"), "namespace": obj.Str(vm, "metadata", "namespace"),
			"ownerReferences": []any{Owner("kubevirt.io/v1", "VirtualMachine", vm)},
			"finalizers":      []any{rules.ControllerFinalizer}}}
	if labels := obj.Map(template, "metadata", "labels"); labels != nil {
		obj.Set(vmi, labels, "metadata", "labels")
	}
	annotations := obj.Map(template, "metadata", "annotations")
	if annotations == nil {
		annotations = obj.M{}
	}
	annotations["kubevirt.io/vm-generation"] = strconv.FormatInt(obj.Int(vm, "metadata", "generation"), 10)
	for what, names := range map[string][2]string{
		"instancetype": {"kubevirt.io/instancetype-name", "kubevirt.io/cluster-instancetype-name"},
		"preference":   {"kubevirt.io/preference-name", "kubevirt.io/cluster-preference-name"}} {
		if matcher := obj.Map(vm, "spec", what); matcher != nil {
			if _, namespaced, err := rules.MatcherKind(matcher, what); err == nil && namespaced {
				annotations[names[0]] = obj.Str(matcher, "name")
			} else {
				annotations[names[1]] = obj.Str(matcher, "name")
			}
		}
	}
	obj.Set(vmi, annotations, "metadata", "annotations")
	rules.DefaultVolumeDisks(obj.Map(vmi, "spec"))
	return vmi
}

// recordRevision keeps what the VM is at its start (vm.go createVMRevision); older ones go.
func (v *VMController) recordRevision(ctx context.Context, vm obj.M) (string, error) {
	name := rules.VMRevisionName(vm)
	namespace := obj.Str(vm, "metadata", "namespace")
	spec := obj.Copy(obj.Map(vm, "spec"))
	for _, what := range []string{"instancetype", "preference"} {
		if pinned := obj.Str(vm, "status", what+"Ref", "controllerRevisionRef", "name"); pinned != "" && obj.Map(spec, what) != nil {
			obj.Set(spec, pinned, what, "revisionName")
		}
	}
	if err := v.dropOldRevisions(ctx, vm, name); err != nil {
		return "", err
	}
	_, err := v.Create(ctx, Revisions, obj.M{"apiVersion": "apps/v1", "kind": "ControllerRevision",
		"metadata": obj.M{"name": name, "namespace": namespace,
			"ownerReferences": []any{Owner("kubevirt.io/v1", "VirtualMachine", vm)}},
		"revision": obj.Int(vm, "metadata", "generation"), "data": obj.M{"spec": spec}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", err
	}
	return name, nil
}

func (v *VMController) dropOldRevisions(ctx context.Context, vm obj.M, keep string) error {
	for _, r := range v.revisionsOf(ctx, vm) {
		if obj.Str(r, "metadata", "name") != keep {
			if err := v.Delete(ctx, Revisions, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// revisionsOf lists the start revisions of a VM.
func (v *VMController) revisionsOf(ctx context.Context, vm obj.M) []obj.M {
	var out []obj.M
	prefix := "revision-start-vm-" + obj.Str(vm, "metadata", "uid") + "-"
	list, err := v.Dyn.Resource(Revisions).Namespace(obj.Str(vm, "metadata", "namespace")).List(ctx, listAll)
	if err != nil {
		return nil
	}
	for i := range list.Items {
		name := list.Items[i].GetName()
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			out = append(out, list.Items[i].Object)
		}
	}
	return out
}

// dataVolumes makes the VM's DataVolumes where neither they nor their claims are there yet.
func (v *VMController) dataVolumes(ctx context.Context, vm obj.M) (bool, error) {
	ready := true
	namespace := obj.Str(vm, "metadata", "namespace")
	for _, template := range obj.List(vm, "spec", "dataVolumeTemplates") {
		name := obj.Str(template, "metadata", "name")
		have, err := v.Get(ctx, DataVolumes, namespace, name)
		if err != nil {
			return false, err
		}
		if have != nil {
			continue
		}
		if claim, err := v.Get(ctx, Claims, namespace, name); err != nil || claim != nil {
			if err != nil {
				return false, err
			}
			continue
		}
		dv := obj.M{"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "spec": obj.Copy(obj.Map(template, "spec")),
			"metadata": obj.M{"name": name, "namespace": namespace,
				"ownerReferences": []any{Owner("kubevirt.io/v1", "VirtualMachine", vm)}}}
		for _, key := range []string{"labels", "annotations"} {
			if m := obj.Map(template, "metadata", key); m != nil {
				obj.Set(dv, obj.Copy(m), "metadata", key)
			}
		}
		if _, err := v.Create(ctx, DataVolumes, dv); err != nil && !apierrors.IsAlreadyExists(err) {
			return false, err
		}
		ready = false
	}
	return ready, nil
}

// setStatus is vm.go updateStatus.
func (v *VMController) setStatus(ctx context.Context, vm, vmi obj.M, failure *syncError) {
	strategy := rules.RunStrategy(vm)
	if obj.Map(vm, "status") == nil {
		vm["status"] = obj.M{}
	}
	status := obj.Map(vm, "status")
	status["created"] = vmi != nil
	status["ready"] = vmi != nil && rules.True(vmi, "Ready")
	if !obj.Bool(status, "created") {
		delete(status, "created")
	}
	if !obj.Bool(status, "ready") {
		delete(status, "ready")
	}
	if obj.Str(status, "runStrategy") != "" || vmi != nil {
		status["runStrategy"] = strategy
	}
	status["desiredGeneration"] = obj.Int(vm, "metadata", "generation")
	if g, err := strconv.ParseInt(obj.Str(vmi, "metadata", "annotations", "kubevirt.io/vm-generation"), 10, 64); err == nil {
		status["observedGeneration"] = g
	}
	if rules.FirstRequestDone(vm, vmi) {
		rest := obj.List(status, "stateChangeRequests")[1:]
		if len(rest) == 0 {
			delete(status, "stateChangeRequests")
		} else {
			status["stateChangeRequests"] = obj.Anys(rest)
		}
	}
	v.setConditions(ctx, vm, vmi, failure)
	unbound := false
	for _, volume := range obj.List(vm, "spec", "template", "spec", "volumes") {
		claim := v.CachedOne(Claims, obj.Str(vm, "metadata", "namespace"), rules.ClaimOf(volume))
		unbound = unbound || (claim != nil && obj.Str(claim, "status", "phase") != "Bound")
	}
	status["printableStatus"] = rules.PrintableStatus(vm, vmi, unbound)
	if list := v.volumeSnapshotStatuses(ctx, vm); len(list) > 0 {
		status["volumeSnapshotStatuses"] = list
	} else {
		delete(status, "volumeSnapshotStatuses")
	}
}

func (v *VMController) setConditions(ctx context.Context, vm, vmi obj.M, failure *syncError) {
	switch ready := rules.Condition(vmi, "Ready"); {
	case vmi == nil:
		SetCondition(vm, "Ready", "False", "VMINotExists", "VMI does not exist")
	case ready == nil:
		SetCondition(vm, "Ready", "False", "VMIConditionMissing", "VMI is missing the Ready condition")
	default:
		SetCondition(vm, "Ready", obj.Str(ready, "status"), obj.Str(ready, "reason"), obj.Str(ready, "message"))
	}
	if failure != nil {
		SetCondition(vm, "Failure", "True", failure.reason, failure.err.Error())
	} else {
		DropCondition(vm, "Failure")
	}
	if vmi == nil {
		return
	}
	own := map[string]bool{"Ready": true, "Failure": true, "RestartRequired": true}
	there := map[string]bool{}
	for _, c := range obj.List(vmi, "status", "conditions") {
		if kind := obj.Str(c, "type"); !own[kind] {
			there[kind] = true
			SetCondition(vm, kind, obj.Str(c, "status"), obj.Str(c, "reason"), obj.Str(c, "message"))
		}
	}
	for _, c := range append([]obj.M{}, obj.List(vm, "status", "conditions")...) {
		if kind := obj.Str(c, "type"); !own[kind] && !there[kind] {
			DropCondition(vm, kind)
		}
	}
	name := obj.Str(vmi, "status", "virtualMachineRevisionName")
	if name == "" || name == rules.VMRevisionName(vm) {
		DropCondition(vm, "RestartRequired")
		return
	}
	revision, err := v.Get(ctx, Revisions, obj.Str(vm, "metadata", "namespace"), name)
	if err != nil || revision == nil {
		return
	}
	if rules.RestartRequired(obj.Map(asMap(revision["data"]), "spec"), obj.Map(vm, "spec"), vmi) {
		SetCondition(vm, "RestartRequired", "True", "", "a non-live-updatable field was changed in the template spec")
	} else {
		DropCondition(vm, "RestartRequired")
	}
}

// volumeSnapshotStatuses is pkg/storage/snapshot/snapshot.go getVolumeSnapshotStatus for each volume.
func (v *VMController) volumeSnapshotStatuses(ctx context.Context, vm obj.M) []any {
	var out []any
	namespace := obj.Str(vm, "metadata", "namespace")
	for _, volume := range obj.List(vm, "spec", "template", "spec", "volumes") {
		name := obj.Str(volume, "name")
		entry := obj.M{"name": name, "enabled": false}
		out = append(out, entry)
		if !rules.Snapshottable(volume) {
			entry["reason"] = fmt.Sprintf("Snapshot is not supported for this volumeSource type [%s]", name)
			continue
		}
		claim := v.CachedOne(Claims, namespace, rules.ClaimOf(volume))
		if claim == nil {
			entry["reason"] = "PVC not found"
			continue
		}
		storage := obj.Str(claim, "spec", "storageClassName")
		class, err := v.snapshotClass(ctx, storage)
		switch {
		case err != nil:
			entry["reason"] = err.Error()
		case class == "":
			entry["reason"] = fmt.Sprintf("No VolumeSnapshotClass: Volume snapshots are not configured for this StorageClass [%s] [%s]", storage, name)
		default:
			entry["enabled"] = true
		}
	}
	return out
}

// snapshotClass chooses the VolumeSnapshotClass of a storage class.
func (c *Cluster) snapshotClass(ctx context.Context, storage string) (string, error) {
	class := c.CachedOne(StorageClasses, "", storage)
	if class == nil {
		return "", nil
	}
	profile, err := c.Get(ctx, StorageProfiles, "", storage)
	if err != nil {
		return "", err
	}
	return rules.SnapshotClass(class, profile, c.Cached(SnapshotClasses, ""))
}
