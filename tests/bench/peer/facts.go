package main

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What only the cluster can tell (common/wukong/rules/rules_source.c): classes from the informers' cache,
// the source by `source`, which is the API server itself or the cache as well (--cache-sources).

type facts struct {
	cached client.Reader
	source client.Reader
	access client.Client
}

func list(kind schema.GroupVersionKind) *unstructured.UnstructuredList {
	l := &unstructured.UnstructuredList{}
	l.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	return l
}

var (
	snapshotClassKind = schema.GroupVersionKind{Group: "snapshot.storage.k8s.io", Version: "v1", Kind: "VolumeSnapshotClass"}
	vmKind            = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachine"}
	vmiKind           = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachineInstance"}
)

const (
	defaultClass         = "storageclass.kubernetes.io/is-default-class"
	defaultSnapshotClass = "snapshot.storage.kubernetes.io/is-default-class"
)

func (f *facts) get(ctx context.Context, kind schema.GroupVersionKind, ns, name string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	err := f.source.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return o, err
}

// mayClone asks whether the requesting user may read a source in another namespace.
func (f *facts) mayClone(ctx context.Context, user authenticationv1.UserInfo, ns, name string) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: "create",
			Group: groupVersion.Group, Version: groupVersion.Version, Resource: "wukongs", Subresource: "source", Name: name},
	}}
	if err := f.access.Create(ctx, review); err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// claims reads each PVC of the source's volumes, all at once as our webhook does.
func (f *facts) claims(ctx context.Context, ns string, volumes []any) (map[string]*corev1.PersistentVolumeClaim, error) {
	type answer struct {
		name  string
		claim *corev1.PersistentVolumeClaim
		err   error
	}
	names := []string{}
	for _, v := range volumes {
		volume, _ := v.(map[string]any)
		if name, ok, _ := unstructured.NestedString(volume, "persistentVolumeClaim", "claimName"); ok {
			names = append(names, name)
		} else if name, ok, _ := unstructured.NestedString(volume, "dataVolume", "name"); ok {
			names = append(names, name)
		}
	}
	answers := make(chan answer, len(names))
	for _, name := range names {
		go func() {
			claim := &corev1.PersistentVolumeClaim{}
			err := f.source.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, claim)
			answers <- answer{name, claim, err}
		}()
	}
	found := map[string]*corev1.PersistentVolumeClaim{}
	for range names {
		a := <-answers
		if a.err == nil {
			found[a.name] = a.claim
		} else if !apierrors.IsNotFound(a.err) {
			return nil, a.err
		}
	}
	return found, nil
}

// sourceOf reads VM and VMI of the source at once; the second result tells whether what is named
// exists.
func (f *facts) sourceOf(ctx context.Context, c *CloneSource, ns string) (vm, vmi *unstructured.Unstructured, exists bool, err error) {
	name := valueOr(c.VMIName, valueOr(c.VMName, ""))
	var vmErr error
	done := make(chan struct{})
	go func() {
		vm, vmErr = f.get(ctx, vmKind, ns, name)
		close(done)
	}()
	vmi, err = f.get(ctx, vmiKind, ns, name)
	<-done
	if err == nil {
		err = vmErr
	}
	exists = (c.Type == "vm" && vm != nil) || (c.Type == "vmi" && vmi != nil)
	return vm, vmi, exists, err
}

func conditionTrue(o *unstructured.Unstructured, name string) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == name && m["status"] == "True" {
			return true
		}
	}
	return false
}

// judge adds what the source and the classes refuse.
func (f *facts) judge(ctx context.Context, w *Wukong, ns string, l errs, warnings []string) (errs, []string, error) {
	c := w.Spec.CloneSource
	p := field.NewPath("spec", "cloneSource")
	vm, vmi, exists, err := f.sourceOf(ctx, c, ns)
	if err != nil {
		return l, warnings, err
	}
	if !exists {
		return l, append(warnings, p.String()+": the source does not exist yet; the clone waits for it until its deadline"), nil
	}
	main := vmi
	if c.Type == "vm" {
		main = vm
	}
	if main.GetDeletionTimestamp() != nil {
		return append(l, field.Invalid(p, main.GetName(), "the source is being deleted; choose another source, or wait until a new one of that name exists")), warnings, nil
	}
	l, warnings = judgeState(c, vm, vmi, p, l, warnings)
	spec := []string{"spec"}
	if main == vm {
		spec = []string{"spec", "template", "spec"}
	}
	l = judgeDevices(main, spec, p, l)
	volumes, _, _ := unstructured.NestedSlice(main.Object, append(spec, "volumes")...)
	return f.judgeDisks(ctx, w, ns, volumes, l, warnings)
}

func judgeState(c *CloneSource, vm, vmi *unstructured.Unstructured, p *field.Path, l errs, warnings []string) (errs, []string) {
	phase := ""
	if vmi != nil {
		phase, _, _ = unstructured.NestedString(vmi.Object, "status", "phase")
	}
	ended := phase == "Succeeded" || phase == "Failed"
	switch kind := effectiveType(c); {
	case kind == "full":
		if vmi != nil && !ended {
			warnings = append(warnings, p.String()+": the source VM is running, and a full clone waits until it is stopped")
		}
	case phase == "Running":
		if conditionTrue(vmi, "Paused") && c.Quiesce != "Never" {
			warnings = append(warnings, p.String()+": the source is paused, so its guest cannot be frozen")
		}
		if c.Quiesce == "Required" && !conditionTrue(vmi, "AgentConnected") {
			warnings = append(warnings, p.String()+": quiesce is Required and the guest agent is not connected")
		}
		if migration, ok, _ := unstructured.NestedMap(vmi.Object, "status", "migrationState"); ok && migration["completed"] != true {
			warnings = append(warnings, p.String()+": KubeVirt is migrating the source")
		}
	case c.Type == "vmi" && ended && vm == nil:
		l = append(l, field.Invalid(p.Child("vmiName"), phase, "the source VMI has ended and cannot be cloned while running; start it again, or clone the stopped VM with type vm"))
	case kind == "running":
		warnings = append(warnings, p.String()+": the source is not running yet; the clone waits for it until its deadline")
	}
	if c.SnapshotMethod == "VirtualMachineSnapshot" && vm == nil {
		l = append(l, field.Invalid(p.Child("snapshotMethod"), c.SnapshotMethod, "KubeVirt snapshots VirtualMachines only, and this VMI stands alone; use snapshotMethod Auto or VolumeSnapshot"))
	}
	return l, warnings
}

func judgeDevices(o *unstructured.Unstructured, spec []string, p *field.Path, l errs) errs {
	under := func(path ...string) []string { return append(append([]string{}, spec...), path...) }
	if on, _, _ := unstructured.NestedBool(o.Object, under("domain", "devices", "tpm", "persistent")...); on {
		l = append(l, field.Invalid(p, o.GetName(), "the source has a persistent TPM, and Wukong cannot clone its state; set spec.domain.devices.tpm.persistent to false in the source"))
	}
	if on, _, _ := unstructured.NestedBool(o.Object, under("domain", "firmware", "bootloader", "efi", "persistent")...); on {
		l = append(l, field.Invalid(p, o.GetName(), "the source has persistent EFI variables, and Wukong cannot clone them; set spec.domain.firmware.bootloader.efi.persistent to false in the source"))
	}
	return l
}

type classes struct {
	storage  map[string]*storagev1.StorageClass
	snapshot []unstructured.Unstructured
}

func (f *facts) classes(ctx context.Context) (*classes, error) {
	var storage storagev1.StorageClassList
	var drivers storagev1.CSIDriverList
	snapshots := list(snapshotClassKind)
	for _, l := range []client.ObjectList{&storage, &drivers, snapshots} {
		// Read only, so the usual deep copy of every item is saved.
		if err := f.cached.List(ctx, l, client.UnsafeDisableDeepCopy); err != nil {
			return nil, err
		}
	}
	c := &classes{storage: map[string]*storagev1.StorageClass{}, snapshot: snapshots.Items}
	for i := range storage.Items {
		c.storage[storage.Items[i].Name] = &storage.Items[i]
	}
	return c, nil
}

// snapshotClass chooses as common/wukong/class.c does: the named one, the driver's default, its only one.
func (c *classes) snapshotClass(named *string, driver string) error {
	count, defaults := 0, 0
	for i := range c.snapshot {
		o := &c.snapshot[i]
		of, _, _ := unstructured.NestedString(o.Object, "driver")
		if named != nil && o.GetName() == *named {
			if of != driver {
				return fmt.Errorf("VolumeSnapshotClass %s is for driver %s, the disk is of %s", *named, of, driver)
			}
			return nil
		}
		if of == driver {
			count++
			if o.GetAnnotations()[defaultSnapshotClass] == "true" {
				defaults++
			}
		}
	}
	if named != nil {
		return fmt.Errorf("there is no VolumeSnapshotClass %s", *named)
	}
	if defaults == 1 || (defaults == 0 && count == 1) {
		return nil
	}
	return fmt.Errorf("no VolumeSnapshotClass can be chosen for driver %s: %d of it, %d default; make one the default or name one", driver, count, defaults)
}

func (f *facts) judgeDisks(ctx context.Context, w *Wukong, ns string, volumes []any, l errs, warnings []string) (errs, []string, error) {
	claims, err := f.claims(ctx, ns, volumes)
	if err != nil {
		return l, warnings, err
	}
	known, err := f.classes(ctx)
	if err != nil {
		return l, warnings, err
	}
	chosen := map[string]*Disk{}
	for i := range w.Spec.Disks {
		d := &w.Spec.Disks[i]
		chosen[valueOr(d.SourceDisk, d.Name)] = d
	}
	p := field.NewPath("spec", "disks")
	count := 0
	for _, v := range volumes {
		volume, _ := v.(map[string]any)
		name, _, _ := unstructured.NestedString(volume, "name")
		claimName, isDisk, _ := unstructured.NestedString(volume, "persistentVolumeClaim", "claimName")
		if !isDisk {
			claimName, isDisk, _ = unstructured.NestedString(volume, "dataVolume", "name")
		}
		if _, host := volume["hostDisk"]; host {
			l = append(l, field.Invalid(field.NewPath("spec", "cloneSource"), name, "the source has a hostDisk, which exists on one node only, and Wukong cannot clone it; move its data to a PVC, or choose another source"))
		}
		d, selected := chosen[name]
		delete(chosen, name)
		if !isDisk {
			if selected {
				l = append(l, field.Invalid(p, name, "this volume of the source is no disk to clone; the new VM keeps it as it is; remove it from disks"))
			}
			continue
		}
		if len(w.Spec.Disks) > 0 && !selected {
			warnings = append(warnings, p.String()+": disk "+name+" left out")
			continue
		}
		count++
		claim := claims[claimName]
		if claim == nil {
			warnings = append(warnings, p.String()+": the source's PVC "+claimName+" does not exist yet")
			continue
		}
		l = append(l, judgeDisk(w, d, name, claim, known, p)...)
	}
	for name := range chosen {
		l = append(l, field.Invalid(p, name, "the source has no such disk; name one of the source's volumes, or set sourceDisk"))
	}
	if count == 0 && len(l) == 0 {
		l = append(l, field.Invalid(field.NewPath("spec", "cloneSource"), ns, "the source has no disk that can be cloned"))
	}
	return l, warnings, nil
}

func judgeDisk(w *Wukong, d *Disk, name string, claim *corev1.PersistentVolumeClaim, known *classes, p *field.Path) (l errs) {
	class := known.storage[valueOr(claim.Spec.StorageClassName, "")]
	if class == nil {
		return errs{field.Invalid(p, valueOr(claim.Spec.StorageClassName, ""), "there is no such StorageClass")}
	}
	target := class
	if d != nil && d.StorageClassName != nil {
		if target = known.storage[*d.StorageClassName]; target == nil {
			return errs{field.Invalid(p, *d.StorageClassName, "there is no such StorageClass; name one of kubectl get storageclass")}
		}
		if target.Provisioner != class.Provisioner {
			l = append(l, field.Invalid(p, *d.StorageClassName, "only the driver that took a snapshot can restore it; use a class of the source's driver"))
		}
	}
	if d != nil && d.Size != nil {
		if wanted, err := quantityOf(d.Size); err == nil {
			has := claim.Status.Capacity[corev1.ResourceStorage]
			l = append(l, judgeSize(wanted, has, target, p)...)
		}
	}
	if err := known.snapshotClass(w.Spec.CloneSource.VolumeSnapshotClassName, class.Provisioner); err != nil {
		l = append(l, field.Invalid(field.NewPath("spec", "cloneSource", "volumeSnapshotClassName"), name, err.Error()))
	}
	if longest := w.Name + "-" + name; d == nil && len(longest) > validation.DNS1123LabelMaxLength {
		l = append(l, field.Invalid(field.NewPath("metadata", "name"), longest, "the name of each new PVC must not exceed 63 characters; choose a shorter metadata.name"))
	}
	return l
}

func judgeSize(wanted, has resource.Quantity, class *storagev1.StorageClass, p *field.Path) errs {
	switch wanted.Cmp(has) {
	case -1:
		return errs{field.Invalid(p, wanted.String(), "a disk may grow and never shrink; set at least the source's size, or leave size out")}
	case 1:
		if !valueOr(class.AllowVolumeExpansion, false) {
			return errs{field.Invalid(p, wanted.String(), "the storage class does not allow volume expansion; leave size out, or use a class with allowVolumeExpansion true")}
		}
	}
	return nil
}

func unstructuredOf(kind schema.GroupVersionKind) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	return o
}
