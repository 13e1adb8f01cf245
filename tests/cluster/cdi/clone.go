package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Clone phases of a claim (pkg/controller/clone/common.go and the file of each phase).
const (
	clonePending      = "Pending"
	cloneSucceeded    = "Succeeded"
	cloneError        = "Error"
	stepSnapshot      = "Snapshot"
	stepSnapshotClone = "SnapshotClone"
	stepCSIClone      = "CSIClone"
	stepPrepClaim     = "PrepClaim"
	stepHostClone     = "HostClone"
	stepRebind        = "Rebind"
)

// Strategies (DataVolume's cloneType annotation, StorageProfile's cloneStrategy).
const (
	strategyCopy     = "copy"
	strategySnapshot = "snapshot"
	strategyCSI      = "csi-clone"
)

// A populator is one round over a target claim.
type populator struct {
	*controller
	claim  *corev1.PersistentVolumeClaim
	source sourceRef
	// progress is what the last step reported.
	progress string
}

// A step is one phase of a clone; it is done, or it comes back after a while (0: when something
// happens).
type step struct {
	name string
	run  func(context.Context) (done bool, again time.Duration, err error)
}

// reconcileClaim is ClonePopulatorReconciler.Reconcile (pkg/controller/populators/clone-populator.go).
func (c *controller) reconcileClaim(ctx context.Context, namespace, name string) (time.Duration, error) {
	claim, err := get[corev1.PersistentVolumeClaim](ctx, c.api, claims, namespace, name)
	if claim == nil || err != nil {
		return 0, err
	}
	ref := claim.Spec.DataSourceRef
	if ref == nil || ref.APIGroup == nil || *ref.APIGroup != group || ref.Kind != volumeCloneSourceKind {
		return 0, nil
	}
	p := &populator{controller: c, claim: claim}
	if claim.DeletionTimestamp != nil || claim.Annotations[annClonePhase] == cloneSucceeded {
		return 0, p.finish(ctx)
	}
	if err := p.boundConditionFromEvents(ctx); err != nil {
		return 0, err
	}
	again, err := p.advance(ctx)
	if err != nil {
		message := err.Error()
		_, writeErr := c.api.annotate(ctx, claims, &claim.ObjectMeta, map[string]*string{
			annClonePhase: text(cloneError), annCloneError: &message, annRunning: text("false"),
			annRunningMessage: &message, annRunningReason: text("Error")})
		if writeErr != nil && !apierrors.IsConflict(writeErr) {
			err = errors.Join(err, writeErr)
		}
	}
	return again, err
}

// finish removes what the clone left, then lets go of the claim (reconcileDone).
func (p *populator) finish(ctx context.Context) error {
	if !slices.Contains(p.claim.Finalizers, populatorGuard) {
		return nil
	}
	p.copier.cancel(string(p.claim.UID))
	selector := metav1.ListOptions{LabelSelector: labelOwner + "=" + string(p.claim.UID)}
	temporary, err := list[corev1.PersistentVolumeClaim](ctx, p.api, claims, "", selector)
	if err != nil {
		return err
	}
	for _, claim := range temporary {
		if err := p.api.delete(ctx, claims, &claim.ObjectMeta); err != nil {
			return err
		}
	}
	taken, err := list[VolumeSnapshot](ctx, p.api, snapshots, "", selector)
	if err != nil {
		return err
	}
	for _, snapshot := range taken {
		if err := p.api.delete(ctx, snapshots, &snapshot.ObjectMeta); err != nil {
			return err
		}
	}
	_, err = p.api.setFinalizer(ctx, claims, &p.claim.ObjectMeta, populatorGuard, false)
	return err
}

// advance is reconcilePending and planAndExecute.
func (p *populator) advance(ctx context.Context) (time.Duration, error) {
	ready, err := p.isReady(ctx)
	if err != nil {
		return 0, err
	}
	source, owned, err := p.findSource(ctx)
	if err != nil {
		return 0, err
	}
	if !ready || !owned {
		return 0, p.tell(ctx, clonePending)
	}
	p.source = source
	if err := p.checkToken(); err != nil {
		return 0, err
	}
	strategy := p.claim.Annotations[annCloneType]
	if strategy == "" {
		chosen, reason, err := p.chooseStrategy(ctx)
		if err != nil {
			return 0, err
		}
		if chosen == "" {
			return 5 * time.Second, p.tell(ctx, clonePending)
		}
		// The update's event is the next round.
		return 0, p.adopt(ctx, chosen, reason)
	}
	steps, err := p.plan(ctx, strategy)
	if err != nil {
		return 0, err
	}
	for _, s := range steps {
		done, again, err := p.runStep(ctx, s)
		if err != nil {
			return 0, err
		}
		if !done {
			return again, p.tell(ctx, s.name)
		}
	}
	p.progress = progressDone
	return 0, p.tell(ctx, cloneSucceeded)
}

func (p *populator) runStep(ctx context.Context, s step) (bool, time.Duration, error) {
	if p.claim.Status.Phase == corev1.ClaimBound {
		return true, 0, nil // all that is left is to say so
	}
	f, err := p.faults()
	if err != nil {
		return false, 0, err
	}
	if f.ErrorIn == s.name {
		return false, 0, fmt.Errorf("injected failure in %s", s.name)
	}
	done, again, err := s.run(ctx)
	if done && f.HoldIn == s.name {
		return false, 100 * time.Millisecond, err
	}
	return done, again, err
}

// isReady is claimReadyForPopulation (pkg/controller/populators/util.go).
func (p *populator) isReady(ctx context.Context) (bool, error) {
	name := p.claim.Spec.StorageClassName
	if name == nil {
		return false, nil
	}
	if *name == "" {
		return false, fmt.Errorf("PVC %s/%s has empty storage class name", p.claim.Namespace, p.claim.Name)
	}
	class, err := p.api.class(ctx, name, false)
	if err != nil {
		return false, err
	}
	if class == nil {
		return false, fmt.Errorf("storage class %s not found", *name)
	}
	waits, err := p.waitsForConsumer(ctx, p.claim)
	return !waits, err
}

// findSource reads the owner's spec. CDI writes it into an object VolumeCloneSource first, which
// nobody else reads; the stand-in leaves that out.
func (p *populator) findSource(ctx context.Context) (sourceRef, bool, error) {
	owner := metav1.GetControllerOf(p.claim)
	if owner == nil || owner.Kind != "DataVolume" {
		return sourceRef{}, false, nil
	}
	dv, err := get[DataVolume](ctx, p.api, dataVolumes, p.claim.Namespace, owner.Name)
	if dv == nil || err != nil || dv.UID != owner.UID {
		return sourceRef{}, false, err
	}
	source, err := dv.source()
	return source, err == nil, err
}

// checkToken is validateCrossNamespace with MultiTokenValidator.ValidatePopulator.
func (p *populator) checkToken() error {
	if p.source.namespace == p.claim.Namespace {
		return nil
	}
	if p.claim.Annotations[annSourceNamespace] != p.source.namespace {
		return errors.New("cross-namespace with resource grants is not supported yet")
	}
	issuer, token := longIssuer, p.claim.Annotations[annExtendedToken]
	if token == "" {
		issuer, token = shortIssuer, p.claim.Annotations[annCloneToken]
	}
	permit, err := p.signer.verify(issuer, token)
	if err != nil {
		return fmt.Errorf("error verifying token: %w", err)
	}
	if !permit.fits(p.source, p.claim.Namespace, p.claim.Name, string(p.claim.UID)) {
		return errors.New("invalid token")
	}
	return nil
}

// adopt is initTargetClaim: from here on the claim is ours until finish.
func (p *populator) adopt(ctx context.Context, strategy, reason string) error {
	if _, err := p.api.setFinalizer(ctx, claims, &p.claim.ObjectMeta, populatorGuard, true); err != nil {
		return err
	}
	wanted := map[string]*string{annCloneType: &strategy}
	if p.claim.Annotations[annClonePhase] == "" {
		wanted[annClonePhase] = text(clonePending)
	}
	if reason != "" && p.claim.Annotations[annFallbackReason] == "" {
		wanted[annFallbackReason] = &reason
	}
	_, err := p.api.annotate(ctx, claims, &p.claim.ObjectMeta, wanted)
	return err
}

// tell is updateClonePhase with addRunningAnnotations.
func (p *populator) tell(ctx context.Context, phase string) error {
	running, message, reason := "true", "", "Populator is running"
	switch phase {
	case cloneSucceeded:
		running, message, reason = "false", "Clone Complete", "Completed"
	case clonePending:
		running, message, reason = "false", "Clone Pending", "Pending"
	}
	wanted := map[string]*string{annCloneError: nil, annClonePhase: &phase, annRunning: &running,
		annRunningMessage: &message, annRunningReason: &reason}
	if p.progress != "" {
		wanted[annProgress] = &p.progress
	}
	_, err := p.api.annotate(ctx, claims, &p.claim.ObjectMeta, wanted)
	return err
}

// boundConditionFromEvents is UpdatePVCBoundConditionFromEvents: while a claim is Pending, what its
// last Event says is shown in the DataVolume's condition Bound.
func (p *populator) boundConditionFromEvents(ctx context.Context) error {
	wanted := map[string]*string{annBound: nil, annBoundReason: nil, annBoundMessage: nil}
	if p.claim.Status.Phase == corev1.ClaimPending {
		told, err := p.eventsOf(ctx, p.claim)
		if err != nil || len(told) == 0 {
			return err
		}
		sort.Slice(told, func(i, j int) bool {
			a, b := told[i], told[j]
			if a.LastTimestamp.Time.Equal(b.LastTimestamp.Time) {
				return len(a.Message) > len(b.Message)
			}
			return a.LastTimestamp.Time.After(b.LastTimestamp.Time)
		})
		wanted = map[string]*string{annBound: text("false"), annBoundReason: text("Pending"),
			annBoundMessage: &told[0].Message}
	}
	_, err := p.api.annotate(ctx, claims, &p.claim.ObjectMeta, wanted)
	return err
}

func (p *populator) eventsOf(ctx context.Context, claim *corev1.PersistentVolumeClaim) ([]*corev1.Event, error) {
	return list[corev1.Event](ctx, p.api, events, claim.Namespace, metav1.ListOptions{FieldSelector: "involvedObject.name=" +
		claim.Name + ",involvedObject.uid=" + string(claim.UID)})
}

// copyEvents repeats on the target claim what is told of a temporary one (CopyEvents).
func (p *populator) copyEvents(ctx context.Context, from *corev1.PersistentVolumeClaim) error {
	told, err := p.eventsOf(ctx, from)
	if err != nil {
		return err
	}
	known, err := p.eventsOf(ctx, p.claim)
	if err != nil {
		return err
	}
	for _, e := range told {
		message := fmt.Sprintf("[%s] : %s", from.Name, e.Message)
		repeated := slices.ContainsFunc(known, func(k *corev1.Event) bool {
			return k.Message == message || k.Message == e.Message
		})
		if !repeated {
			p.api.claimEvent(ctx, p.claim, e.Type, e.Reason, message)
		}
	}
	return nil
}

// ---- which way (pkg/controller/clone/planner.go) --------------------------------------------------

func (p *populator) fallBack(ctx context.Context, reason, message string) (string, string, error) {
	p.api.claimEvent(ctx, p.claim, "Warning", reason, message)
	return strategyCopy, message, nil
}

// chooseStrategy is ChooseStrategy; no strategy and no error: not yet.
func (p *populator) chooseStrategy(ctx context.Context) (strategy, fallback string, err error) {
	class, err := p.api.class(ctx, p.claim.Spec.StorageClassName, false)
	if err != nil {
		return "", "", err
	}
	if class == nil {
		return "", "", errors.New("target storage class not found")
	}
	driver, err := get[storagev1.CSIDriver](ctx, p.api, csiDrivers, "", class.Provisioner)
	if err != nil {
		return "", "", err
	}
	if driver == nil {
		// shouldUseCDIPopulator, fallbackToHostAssisted (clone-controller-base.go).
		return p.fallBack(ctx, "NoPopulator", "In tree storage class does not support snapshot/clone")
	}
	if p.source.kind == "VolumeSnapshot" {
		return p.strategyForSnapshot(ctx, class)
	}
	return p.strategyForClaim(ctx, class)
}

// strategyForSnapshot is computeStrategyForSourceSnapshot.
func (p *populator) strategyForSnapshot(ctx context.Context, class *storagev1.StorageClass) (string, string, error) {
	snapshot, content, err := p.findSnapshot(ctx)
	if err != nil {
		return "", "", err
	}
	if snapshot == nil {
		p.api.claimEvent(ctx, p.claim, "Warning", "CloneWithoutSource",
			fmt.Sprintf("The source %s %s doesn't exist", "snapshot", p.source.name))
		return "", "", nil
	}
	if content.Spec.Driver != class.Provisioner {
		return p.fallBack(ctx, "NoProvisionerMatch",
			"The storageclass provisioner does not match the volumesnapshotcontent driver")
	}
	if snapshot.Status.RestoreSize == nil {
		return "", "", errors.New("snapshot has no RestoreSize")
	}
	asked := p.claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if snapshot.Status.RestoreSize.Cmp(asked) < 0 && !expands(class) {
		return p.fallBack(ctx, "NoVolumeExpansion", "No volume expansion is possible")
	}
	if modeOf(content.Spec.SourceVolumeMode) != modeOf(p.claim.Spec.VolumeMode) {
		return p.fallBack(ctx, "IncompatibleVolumeModes",
			"The volume modes of source and target are incompatible")
	}
	return strategySnapshot, "", nil
}

func expands(class *storagev1.StorageClass) bool {
	return class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
}

func (p *populator) findSnapshot(ctx context.Context) (*VolumeSnapshot, *VolumeSnapshotContent, error) {
	snapshot, err := get[VolumeSnapshot](ctx, p.api, snapshots, p.source.namespace, p.source.name)
	if snapshot == nil || err != nil {
		return nil, nil, err
	}
	if snapshot.Status == nil || snapshot.Status.BoundVolumeSnapshotContentName == nil {
		return nil, nil, errors.New("volumeSnapshotContent name not found")
	}
	content, err := get[VolumeSnapshotContent](ctx, p.api, snapshotContents, "",
		*snapshot.Status.BoundVolumeSnapshotContentName)
	if err == nil && content == nil {
		err = fmt.Errorf("volumesnapshotcontents %q not found", *snapshot.Status.BoundVolumeSnapshotContentName)
	}
	return snapshot, content, err
}

// strategyForClaim is computeStrategyForSourcePVC with validateSourcePVC and validateAdvancedClonePVC.
func (p *populator) strategyForClaim(ctx context.Context, class *storagev1.StorageClass) (string, string, error) {
	source, err := get[corev1.PersistentVolumeClaim](ctx, p.api, claims, p.source.namespace, p.source.name)
	if err != nil {
		return "", "", err
	}
	if source == nil {
		p.api.claimEvent(ctx, p.claim, "Warning", "CloneWithoutSource",
			fmt.Sprintf("The source %s %s doesn't exist", "pvc", p.source.name))
		return "", "", nil
	}
	asked := p.claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if _, permissive := p.claim.Annotations[annPermissive]; !permissive {
		if err := compareSizes(source.Spec.Resources.Requests[corev1.ResourceStorage], asked); err != nil {
			p.api.claimEvent(ctx, p.claim, "Warning", "ErrIncompatiblePVC", err.Error())
			p.api.claimEvent(ctx, p.claim, "Warning", "CloneValidationFailed",
				"The clone doesn't meet the validation requirements")
			return "", "", err
		}
	}
	strategy := strategySnapshot
	profile, err := get[StorageProfile](ctx, p.api, storageProfiles, "", class.Name)
	if err != nil {
		return "", "", err
	}
	if profile != nil && profile.Status.CloneStrategy != nil {
		strategy = *profile.Status.CloneStrategy
	}
	if strategy == strategyCopy {
		return strategy, "", nil
	}
	driver, err := p.driverOf(ctx, source)
	if err != nil {
		return "", "", err
	}
	if strategy == strategySnapshot {
		name, err := p.snapshotClass(ctx, driver, class, profile)
		if err != nil {
			return "", "", err
		}
		if name == "" {
			return p.fallBack(ctx, "NoVolumeSnapshotClass", "No compatible volumesnapshotclass found")
		}
	}
	capacity, known := source.Status.Capacity[corev1.ResourceStorage]
	switch {
	case driver != class.Provisioner:
		return p.fallBack(ctx, "IncompatibleProvisioners", "Provisioners are incompatible")
	case modeOf(source.Spec.VolumeMode) != modeOf(p.claim.Spec.VolumeMode):
		return p.fallBack(ctx, "IncompatibleVolumeModes",
			"The volume modes of source and target are incompatible")
	case !known:
		return "", "", errors.New("source/target size info missing")
	case capacity.Cmp(asked) < 0 && !expands(class):
		return p.fallBack(ctx, "NoVolumeExpansion", "No volume expansion is possible")
	}
	return strategy, "", nil
}

// driverOf is GetCommonDriver for one claim: its volume's driver, else its class's provisioner.
func (p *populator) driverOf(ctx context.Context, claim *corev1.PersistentVolumeClaim) (string, error) {
	if claim.Spec.VolumeName != "" {
		volume, err := get[corev1.PersistentVolume](ctx, p.api, volumes, "", claim.Spec.VolumeName)
		if err != nil {
			return "", err
		}
		if volume != nil && volume.Spec.CSI != nil {
			return volume.Spec.CSI.Driver, nil
		}
	}
	class, err := p.api.class(ctx, claim.Spec.StorageClassName, false)
	if class == nil || err != nil {
		return "", err
	}
	return class.Provisioner, nil
}

// snapshotClass is GetCompatibleVolumeSnapshotClass.
func (p *populator) snapshotClass(ctx context.Context, driver string, class *storagev1.StorageClass,
	profile *StorageProfile) (string, error) {
	if driver != class.Provisioner {
		return "", nil
	}
	var wanted *string
	if profile != nil {
		wanted = profile.Status.SnapshotClass
	}
	return p.api.snapshotClassFor(ctx, driver, wanted)
}

// snapshotClassFor is GetVolumeSnapshotClass: the named one, the default one, the first by name.
func (a *api) snapshotClassFor(ctx context.Context, driver string, wanted *string) (string, error) {
	all, err := list[VolumeSnapshotClass](ctx, a, snapshotClasses, "", metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	var candidates []string
	for _, c := range all {
		if c.Driver != driver || wanted != nil && c.Name != *wanted {
			continue
		}
		if wanted != nil || c.Annotations[annDefaultSnapClass] == "true" {
			return c.Name, nil
		}
		candidates = append(candidates, c.Name)
	}
	if len(candidates) == 0 {
		return "", nil
	}
	return slices.Min(candidates), nil
}

// ---- the steps ----------------------------------------------------------------------------------

// plan is Plan: whatever the way, a temporary claim is filled in the source's namespace and its
// volume is then bound to the target claim.
func (p *populator) plan(ctx context.Context, strategy string) ([]step, error) {
	prep := step{stepPrepClaim, p.prepClaim}
	rebind := step{stepRebind, p.rebind}
	fromSnapshot := p.source.kind == "VolumeSnapshot"
	switch {
	case strategy == strategySnapshot && fromSnapshot:
		return []step{{stepSnapshotClone, p.snapshotClone(p.source.name)}, prep, rebind}, nil
	case strategy == strategySnapshot:
		return []step{{stepSnapshot, p.takeSnapshot},
			{stepSnapshotClone, p.snapshotClone(p.temporarySnapshot())}, prep, rebind}, nil
	case strategy == strategyCSI && !fromSnapshot:
		return []step{{stepCSIClone, p.csiClone}, prep, rebind}, nil
	case strategy == strategyCopy && fromSnapshot:
		return []step{{stepSnapshotClone, p.restoreForCopy}, {stepPrepClaim, p.prepNamed(p.temporarySource())},
			{stepHostClone, p.hostClone(p.temporarySource())}, rebind}, nil
	case strategy == strategyCopy:
		return []step{{stepHostClone, p.hostClone(p.source.name)}, rebind}, nil
	}
	return nil, fmt.Errorf("unknown strategy/source %s", strategy)
}

func (p *populator) temporary() string         { return "tmp-pvc-" + string(p.claim.UID) }
func (p *populator) temporarySource() string   { return "tmp-source-pvc-" + string(p.claim.UID) }
func (p *populator) temporarySnapshot() string { return "tmp-snapshot-" + string(p.claim.UID) }

// desired is createDesiredClaim. CDI restores at the snapshot's size and then expands; there is no
// resizer in the bed, so the claim has its final size at once (the class allows expansion, or the
// sizes are equal: chooseStrategy).
func (p *populator) desired(source *corev1.TypedLocalObjectReference) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{Namespace: p.source.namespace, Name: p.temporary(),
			Labels: maps.Clone(p.claim.Labels), Annotations: maps.Clone(p.claim.Annotations)},
		Spec: *p.claim.Spec.DeepCopy()}
	if claim.Labels == nil {
		claim.Labels = map[string]string{}
	}
	claim.Labels[labelOwner] = string(p.claim.UID)
	claim.Labels[labelNoVelero] = "true"
	claim.Spec.DataSource, claim.Spec.DataSourceRef = source, nil
	claim.Spec.VolumeName = ""
	// What speaks of the target's own state says nothing true of this one.
	for _, key := range []string{annClonePhase, annCloneError, annProgress, annRunning, annRunningMessage,
		annRunningReason, annBound, annBoundMessage, annBoundReason} {
		delete(claim.Annotations, key)
	}
	maps.DeleteFunc(claim.Annotations, func(key, _ string) bool {
		return strings.HasPrefix(key, "pv.kubernetes.io/") ||
			strings.HasSuffix(key, "/storage-provisioner")
	})
	return claim
}

// ensure makes a temporary claim unless it is there.
func (p *populator) ensure(ctx context.Context, name string, make func() (*corev1.PersistentVolumeClaim, error)) (
	*corev1.PersistentVolumeClaim, error) {
	claim, err := get[corev1.PersistentVolumeClaim](ctx, p.api, claims, p.source.namespace, name)
	if claim != nil || err != nil {
		return claim, err
	}
	wanted, err := make()
	if wanted == nil || err != nil {
		return nil, err
	}
	made, err := create(ctx, p.api, claims, p.source.namespace, wanted)
	if err != nil {
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota") {
			p.api.claimEvent(ctx, p.claim, "Warning", "ErrExceededQuota", err.Error())
		}
		return nil, err
	}
	return made, nil
}

// takeSnapshot is SnapshotPhase (snapshot.go).
func (p *populator) takeSnapshot(ctx context.Context) (bool, time.Duration, error) {
	snapshot, err := get[VolumeSnapshot](ctx, p.api, snapshots, p.source.namespace, p.temporarySnapshot())
	if err != nil {
		return false, 0, err
	}
	if snapshot == nil {
		ready, err := p.sourceIsReady(ctx)
		if !ready || err != nil {
			return false, 2 * time.Second, err
		}
		return false, 0, p.makeSnapshot(ctx)
	}
	return snapshot.Status != nil && !snapshot.Status.CreationTime.IsZero(), 0, nil
}

func (p *populator) makeSnapshot(ctx context.Context) error {
	class, err := p.api.class(ctx, p.claim.Spec.StorageClassName, false)
	if err != nil || class == nil {
		return errors.Join(err, errors.New("target storage class not found"))
	}
	profile, err := get[StorageProfile](ctx, p.api, storageProfiles, "", class.Name)
	if err != nil {
		return err
	}
	name, err := p.snapshotClass(ctx, class.Provisioner, class, profile)
	if err != nil {
		return err
	}
	if name == "" {
		return errors.New("no compatible volumesnapshotclass")
	}
	made := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": snapshotGroup + "/v1", "kind": "VolumeSnapshot",
		"metadata": map[string]any{"namespace": p.source.namespace, "name": p.temporarySnapshot(),
			"labels": map[string]any{"app": "containerized-data-importer",
				labelOwner: string(p.claim.UID)}},
		"spec": map[string]any{"volumeSnapshotClassName": name,
			"source": map[string]any{"persistentVolumeClaimName": p.source.name}}}}
	_, err = p.api.of(snapshots, p.source.namespace).Create(ctx, made, metav1.CreateOptions{})
	return err
}

// snapshotClone is SnapshotClonePhase (snap-clone.go).
func (p *populator) snapshotClone(name string) func(context.Context) (bool, time.Duration, error) {
	return func(ctx context.Context) (bool, time.Duration, error) {
		return p.restore(ctx, name, p.temporary(), func(*VolumeSnapshot) (*corev1.PersistentVolumeClaim, error) {
			return p.desired(snapshotSource(name)), nil
		})
	}
}

func snapshotSource(name string) *corev1.TypedLocalObjectReference {
	g := snapshotGroup
	return &corev1.TypedLocalObjectReference{APIGroup: &g, Kind: "VolumeSnapshot", Name: name}
}

func (p *populator) restore(ctx context.Context, snapshotName, claimName string,
	wanted func(*VolumeSnapshot) (*corev1.PersistentVolumeClaim, error)) (bool, time.Duration, error) {
	claim, err := p.ensure(ctx, claimName, func() (*corev1.PersistentVolumeClaim, error) {
		snapshot, err := get[VolumeSnapshot](ctx, p.api, snapshots, p.source.namespace, snapshotName)
		if err != nil {
			return nil, err
		}
		if snapshot == nil {
			return nil, errors.New("source snapshot does not exist")
		}
		if snapshot.Status == nil || snapshot.Status.ReadyToUse == nil || !*snapshot.Status.ReadyToUse {
			return nil, nil
		}
		if snapshot.Status.RestoreSize == nil {
			return nil, errors.New("snapshot missing restoresize")
		}
		return wanted(snapshot)
	})
	if claim == nil || err != nil {
		return false, 0, err
	}
	return p.boundOrWaiting(ctx, claim)
}

// boundOrWaiting is isClaimBoundOrWFFC, after the claim's Events were repeated on the target.
func (p *populator) boundOrWaiting(ctx context.Context, claim *corev1.PersistentVolumeClaim) (
	bool, time.Duration, error) {
	if err := p.copyEvents(ctx, claim); err != nil {
		return false, 0, err
	}
	if claim.Status.Phase == corev1.ClaimBound {
		return true, 0, nil
	}
	class, err := p.api.class(ctx, claim.Spec.StorageClassName, false)
	if err != nil {
		return false, 0, err
	}
	if class == nil {
		return false, 0, errors.New("no storageclass for pvc")
	}
	return class.VolumeBindingMode != nil &&
		*class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer, 0, nil
}

// csiClone is CSIClonePhase (csi-clone.go).
func (p *populator) csiClone(ctx context.Context) (bool, time.Duration, error) {
	claim, err := p.ensure(ctx, p.temporary(), func() (*corev1.PersistentVolumeClaim, error) {
		ready, err := p.sourceIsReady(ctx)
		if !ready || err != nil {
			return nil, err
		}
		return p.desired(&corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim",
			Name: p.source.name}), nil
	})
	if claim == nil || err != nil {
		return false, 2 * time.Second, err
	}
	return p.boundOrWaiting(ctx, claim)
}

func (p *populator) prepClaim(ctx context.Context) (bool, time.Duration, error) {
	return p.prepNamed(p.temporary())(ctx)
}

// prepNamed is PrepClaimPhase (prep-claim.go): a claim that waits for a consumer gets one. CDI makes a
// Pod; here, without a scheduler, its only effect is written: the node that it would run on.
func (p *populator) prepNamed(name string) func(context.Context) (bool, time.Duration, error) {
	return func(ctx context.Context) (bool, time.Duration, error) {
		claim, err := get[corev1.PersistentVolumeClaim](ctx, p.api, claims, p.source.namespace, name)
		if err != nil {
			return false, 0, err
		}
		if claim == nil {
			return false, 0, fmt.Errorf("claim %s/%s does not exist", p.source.namespace, name)
		}
		return p.consume(ctx, claim)
	}
}

func (p *populator) consume(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, time.Duration, error) {
	if claim.Status.Phase == corev1.ClaimBound {
		return true, 0, nil
	}
	waits, err := p.waitsForConsumer(ctx, claim)
	if err != nil {
		return false, 0, err
	}
	if waits {
		_, err := p.api.annotate(ctx, claims, &claim.ObjectMeta, map[string]*string{annSelectedNode: text("cdi")})
		return false, 0, err
	}
	return false, 0, p.copyEvents(ctx, claim)
}

// restoreForCopy restores the snapshot into a claim that is then read (createTempSourceClaim).
func (p *populator) restoreForCopy(ctx context.Context) (bool, time.Duration, error) {
	return p.restore(ctx, p.source.name, p.temporarySource(),
		func(snapshot *VolumeSnapshot) (*corev1.PersistentVolumeClaim, error) {
			_, content, err := p.findSnapshot(ctx)
			if err != nil {
				return nil, err
			}
			class, err := p.firstClassOf(ctx, content.Spec.Driver)
			if err != nil {
				return nil, err
			}
			claim := p.desired(snapshotSource(p.source.name))
			claim.Name = p.temporarySource()
			delete(claim.Annotations, annSelectedNode)
			if !snapshot.Status.RestoreSize.IsZero() {
				claim.Spec.Resources.Requests[corev1.ResourceStorage] = *snapshot.Status.RestoreSize
			}
			claim.Spec.StorageClassName = &class
			claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
			if content.Spec.SourceVolumeMode != nil {
				claim.Spec.VolumeMode = content.Spec.SourceVolumeMode
			}
			return claim, nil
		})
}

// firstClassOf is getStorageClassNameForTempSourceClaim.
func (p *populator) firstClassOf(ctx context.Context, driver string) (string, error) {
	all, err := list[storagev1.StorageClass](ctx, p.api, storageClasses, "", metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	var names []string
	for _, class := range all {
		if class.Provisioner == driver {
			names = append(names, class.Name)
		}
	}
	if len(names) == 0 {
		return "", errors.New("unable to find a valid storage class for the temporal source claim")
	}
	return slices.Min(names), nil
}

// hostClone is HostClonePhase (host-clone.go): the bytes are copied. CDI runs a reading and a writing
// Pod; here the copy is a goroutine between the driver's files.
func (p *populator) hostClone(sourceName string) func(context.Context) (bool, time.Duration, error) {
	return func(ctx context.Context) (bool, time.Duration, error) {
		target, err := p.ensure(ctx, p.temporary(), func() (*corev1.PersistentVolumeClaim, error) {
			return p.desired(nil), nil
		})
		if err != nil {
			return false, 0, err
		}
		if target.Annotations[annPodPhase] == "Succeeded" {
			p.progress = progressDone
			return true, 0, nil
		}
		if bound, again, err := p.consume(ctx, target); !bound || err != nil {
			return false, again, err
		}
		if sourceName == p.source.name && !p.copier.isRunning(string(p.claim.UID)) {
			if ready, err := p.sourceIsReady(ctx); !ready || err != nil {
				return false, 2 * time.Second, err
			}
		}
		return p.copyBytes(ctx, sourceName, target)
	}
}

func (p *populator) copyBytes(ctx context.Context, sourceName string, target *corev1.PersistentVolumeClaim) (
	bool, time.Duration, error) {
	source, err := get[corev1.PersistentVolumeClaim](ctx, p.api, claims, p.source.namespace, sourceName)
	if err != nil {
		return false, 0, err
	}
	if source == nil {
		return false, 0, errors.New("source claim does not exist")
	}
	from, err := p.fileOf(ctx, source)
	if err != nil {
		return false, 0, err
	}
	to, err := p.fileOf(ctx, target)
	if err != nil {
		return false, 0, err
	}
	f, err := p.faults()
	if err != nil {
		return false, 0, err
	}
	percent, done, err := p.copier.advance(string(p.claim.UID), from, to, time.Duration(f.CopyMS)*time.Millisecond)
	if err != nil {
		return false, 0, err
	}
	if !done {
		p.progress = fmt.Sprintf("%.2f%%", percent)
		return false, 500 * time.Millisecond, nil
	}
	p.progress = progressDone
	_, err = p.api.annotate(ctx, claims, &target.ObjectMeta, map[string]*string{annPodPhase: text("Succeeded")})
	return err == nil, 0, err
}

func (p *populator) fileOf(ctx context.Context, claim *corev1.PersistentVolumeClaim) (string, error) {
	volume, err := get[corev1.PersistentVolume](ctx, p.api, volumes, "", claim.Spec.VolumeName)
	if err != nil {
		return "", err
	}
	if volume == nil || volume.Spec.CSI == nil {
		return "", fmt.Errorf("claim %s/%s has no CSI volume", claim.Namespace, claim.Name)
	}
	return p.findFile(volume.Spec.CSI.VolumeHandle)
}

// rebind is RebindPhase with Rebind (pkg/controller/common/util.go): the volume is given to the target.
func (p *populator) rebind(ctx context.Context) (bool, time.Duration, error) {
	if p.claim.Spec.VolumeName != "" {
		return true, 0, nil
	}
	source, err := get[corev1.PersistentVolumeClaim](ctx, p.api, claims, p.source.namespace, p.temporary())
	if err != nil {
		return false, 0, err
	}
	if source == nil {
		return false, 0, errors.New("source claim does not exist")
	}
	volume, err := get[corev1.PersistentVolume](ctx, p.api, volumes, "", source.Spec.VolumeName)
	if err != nil {
		return false, 0, err
	}
	if volume == nil || volume.Spec.ClaimRef == nil {
		return false, 0, fmt.Errorf("PV %s claimRef is nil", source.Spec.VolumeName)
	}
	switch volume.Spec.ClaimRef.UID {
	case p.claim.UID:
		return false, 0, nil // the volume controller has yet to bind it
	case source.UID:
	default:
		return false, 0, fmt.Errorf("PV %s bound to unexpected claim %s", volume.Name, volume.Spec.ClaimRef.Name)
	}
	return false, 0, p.api.patch(ctx, volumes, &volume.ObjectMeta, map[string]any{"spec": map[string]any{
		"claimRef": map[string]any{"namespace": p.claim.Namespace, "name": p.claim.Name,
			"uid": string(p.claim.UID), "resourceVersion": p.claim.ResourceVersion}}})
}

// sourceIsReady is IsSourceClaimReady (common.go): bound, populated, and nobody writes to it.
func (p *populator) sourceIsReady(ctx context.Context) (bool, error) {
	claim, err := get[corev1.PersistentVolumeClaim](ctx, p.api, claims, p.source.namespace, p.source.name)
	if claim == nil || err != nil || claim.Status.Phase != corev1.ClaimBound {
		return false, err
	}
	users, err := p.usersOf(ctx, claim)
	if err != nil {
		return false, err
	}
	for _, user := range users {
		p.api.claimEvent(ctx, p.claim, "Warning", "CloneSourceInUse", fmt.Sprintf(
			"pod %s/%s using PersistentVolumeClaim %s", claim.Namespace, user, claim.Name))
	}
	if len(users) > 0 {
		return false, nil
	}
	if owner := metav1.GetControllerOf(claim); owner != nil && owner.Kind == "DataVolume" {
		dv, err := get[DataVolume](ctx, p.api, dataVolumes, claim.Namespace, owner.Name)
		if err == nil && dv == nil {
			err = fmt.Errorf("datavolumes.%s %q not found", group, owner.Name)
		}
		return err == nil && dv.Status.Phase == phaseSucceeded, err
	}
	return true, nil
}
