package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// An occurrence is an Event that goes with a change of phase.
type occurrence struct{ eventType, reason, message string }

// A verdict is what the sync part has to say about the phase, if it ended before there was a claim
// (controller-base.go, statusPhaseSync).
type verdict struct {
	phase string
	occurrence
}

// reconcileVolume is one round over a DataVolume: make its claim, then tell its status
// (pkg/controller/datavolume/controller-base.go, reconcile).
func (c *controller) reconcileVolume(ctx context.Context, namespace, name string) (time.Duration, error) {
	dv, err := get[DataVolume](ctx, c.api, dataVolumes, namespace, name)
	if dv == nil || err != nil {
		return 0, err
	}
	said, syncErr := c.syncVolume(ctx, dv)
	if err := c.updateStatus(ctx, namespace, name, said); err != nil && syncErr == nil {
		return 0, err
	}
	return 0, syncErr
}

// syncVolume is syncSnapshotClone and syncClone (snapshot-clone-controller.go,
// pvc-clone-controller.go). It writes metadata and the claim, never the status.
func (c *controller) syncVolume(ctx context.Context, dv *DataVolume) (*verdict, error) {
	source, err := dv.source()
	if err != nil {
		return nil, nil // not a clone: no other source is played here
	}
	crossNamespace := source.namespace != dv.Namespace
	if dv.DeletionTimestamp != nil || dv.Status.Phase == phaseSucceeded {
		_, err := c.api.setFinalizer(ctx, dataVolumes, &dv.ObjectMeta, crossNamespaceGuard, false)
		if dv.DeletionTimestamp != nil || err != nil {
			return nil, err
		}
	}
	claim, err := get[corev1.PersistentVolumeClaim](ctx, c.api, claims, dv.Namespace, dv.Name)
	if err != nil {
		return nil, err
	}
	var spec *corev1.PersistentVolumeClaimSpec
	if claim == nil {
		if spec, err = c.api.render(ctx, dv); err != nil {
			said := &verdict{phaseUnset, occurrence{"Warning", "ErrClaimNotValid", err.Error()}}
			if errors.Is(err, errNoClass) {
				err = nil
			}
			return said, err
		}
	} else if err := c.checkOwner(ctx, dv, claim); err != nil {
		return nil, err
	}
	if _, err := c.api.annotate(ctx, dataVolumes, &dv.ObjectMeta,
		map[string]*string{annUsePopulator: text("true")}); err != nil {
		return nil, err
	}
	if _, prePopulated := dv.Annotations[annPrePopulated]; prePopulated || populatedFor(claim, dv) {
		return nil, nil
	}
	if crossNamespace {
		// Persisted before anything else is done; its event comes back as the next round.
		if added, err := c.extendVolumeToken(ctx, dv); added || err != nil {
			return nil, err
		}
	}
	if claim == nil {
		said, made, err := c.makeClaim(ctx, dv, source, spec, crossNamespace)
		if said != nil || made == nil || err != nil {
			return said, err
		}
		claim = made
	}
	if kind, chosen := claim.Annotations[annCloneType]; chosen {
		if _, err := c.api.annotate(ctx, dataVolumes, &dv.ObjectMeta,
			map[string]*string{annCloneType: &kind}); err != nil {
			return nil, err
		}
	}
	if crossNamespace {
		return nil, c.extendClaimToken(ctx, dv, claim)
	}
	return nil, nil
}

func text(s string) *string { return &s }

func populatedFor(claim *corev1.PersistentVolumeClaim, dv *DataVolume) bool {
	return claim != nil && claim.Annotations[annPopulatedFor] == dv.Name
}

// checkOwner is validatePVC: a claim of that name that is somebody else's is never touched.
func (c *controller) checkOwner(ctx context.Context, dv *DataVolume, claim *corev1.PersistentVolumeClaim) error {
	if claim.DeletionTimestamp != nil {
		message := fmt.Sprintf("Resource %q marked for deletion", claim.Name)
		c.api.volumeEvent(ctx, dv, "Warning", "ErrResourceMarkedForDeletion", message)
		return errors.New(message)
	}
	if !metav1.IsControlledBy(claim, dv) && !populatedFor(claim, dv) {
		message := fmt.Sprintf("Resource %q already exists and is not managed by DataVolume", claim.Name)
		c.api.volumeEvent(ctx, dv, "Warning", "ErrResourceExists", message)
		return errors.New(message)
	}
	return nil
}

// extendVolumeToken is ensureExtendedTokenDV (clone-controller-base.go): the webhook's token, which
// lives five minutes, is exchanged for one that lives long and names the DataVolume's UID.
func (c *controller) extendVolumeToken(ctx context.Context, dv *DataVolume) (bool, error) {
	if _, has := dv.Annotations[annExtendedToken]; has {
		return false, nil
	}
	short, has := dv.Annotations[annCloneToken]
	if !has {
		return false, errors.New("token missing")
	}
	permit, err := c.signer.verify(shortIssuer, short)
	if err != nil {
		return false, err
	}
	return c.writeToken(ctx, dv, nil, permit)
}

// extendClaimToken is ensureExtendedTokenPVC: the same for the claim.
func (c *controller) extendClaimToken(ctx context.Context, dv *DataVolume,
	claim *corev1.PersistentVolumeClaim) error {
	if _, has := claim.Annotations[annExtendedToken]; has {
		return nil
	}
	long, has := dv.Annotations[annExtendedToken]
	if !has {
		return errors.New("token missing")
	}
	permit, err := c.signer.verify(longIssuer, long)
	if err != nil {
		return err
	}
	if permit.Params["uid"] != string(dv.UID) {
		return errors.New("token uid mismatch")
	}
	_, err = c.writeToken(ctx, nil, claim, permit)
	return err
}

func (c *controller) writeToken(ctx context.Context, dv *DataVolume, claim *corev1.PersistentVolumeClaim,
	permit *payload) (bool, error) {
	gvr, meta := dataVolumes, (*metav1.ObjectMeta)(nil)
	if dv != nil {
		meta = &dv.ObjectMeta
	} else {
		gvr, meta = claims, &claim.ObjectMeta
	}
	permit.Params = maps.Clone(permit.Params)
	if permit.Params == nil {
		permit.Params = map[string]string{}
	}
	permit.Params["uid"] = string(meta.UID)
	long, err := c.signer.sign(longIssuer, longLifetime, *permit)
	if err != nil {
		return false, err
	}
	return c.api.annotate(ctx, gvr, meta, map[string]*string{annExtendedToken: &long})
}

// makeClaim checks the source and makes the target claim. No claim and no verdict: come back.
func (c *controller) makeClaim(ctx context.Context, dv *DataVolume, source sourceRef,
	spec *corev1.PersistentVolumeClaimSpec, crossNamespace bool) (
	*verdict, *corev1.PersistentVolumeClaim, error) {
	what, problem, size, err := c.checkSource(ctx, dv, source, spec)
	if err != nil {
		return nil, nil, err
	}
	if what != "" {
		return &verdict{dv.Status.Phase, occurrence{"Warning", what, problem}}, nil, nil
	}
	if dv.Spec.Storage != nil && size != nil {
		spec.Resources.Requests[corev1.ResourceStorage] = *size
	}
	if crossNamespace {
		added, err := c.api.setFinalizer(ctx, dataVolumes, &dv.ObjectMeta, crossNamespaceGuard, true)
		if err != nil {
			return nil, nil, err
		}
		if added {
			return &verdict{phaseScheduled, scheduled(dv, source)}, nil, nil
		}
	}
	claim, err := c.newClaim(dv, source, spec, crossNamespace)
	if err != nil {
		return nil, nil, err
	}
	made, err := create(ctx, c.api, claims, dv.Namespace, claim)
	if err != nil && apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota") {
		return &verdict{phasePending, occurrence{"Warning", "ErrExceededQuota", err.Error()}}, nil, err
	}
	return nil, made, err
}

func scheduled(dv *DataVolume, s sourceRef) occurrence {
	return occurrence{"Normal", phaseScheduled, fmt.Sprintf("Cloning from %s/%s into %s/%s scheduled",
		s.namespace, s.name, dv.Namespace, dv.Name)}
}

// newClaim is newPersistentVolumeClaim with updatePVCForPopulation. The data source names a kind that
// no provisioner knows, so the claim stays Pending until a volume is bound to it.
func (c *controller) newClaim(dv *DataVolume, source sourceRef, spec *corev1.PersistentVolumeClaimSpec,
	crossNamespace bool) (*corev1.PersistentVolumeClaim, error) {
	labels := map[string]string{"app": "containerized-data-importer"}
	if modeOf(spec.VolumeMode) == corev1.PersistentVolumeFilesystem {
		labels[labelFillingUp] = "disabled"
	}
	maps.Copy(labels, dv.Labels)
	annotations := map[string]string{}
	maps.Copy(annotations, dv.Annotations)
	annotations[annPodRestarts] = "0"
	annotations[annContentType] = "kubevirt"
	if dv.Spec.ContentType != "" {
		annotations[annContentType] = dv.Spec.ContentType
	}
	annotations[annPreallocation] = strconv.FormatBool(dv.Spec.Preallocation != nil && *dv.Spec.Preallocation)
	annotations[annCreatedFor] = string(dv.UID)
	delete(annotations, annCloneToken)
	delete(annotations, annExtendedToken)
	if crossNamespace {
		token, has := dv.Annotations[annCloneToken]
		if !has {
			return nil, errors.New("no clone token")
		}
		annotations[annCloneToken] = token
		annotations[annSourceNamespace] = source.namespace
	}
	claimGroup := group
	spec.DataSource = nil
	spec.DataSourceRef = &corev1.TypedObjectReference{APIGroup: &claimGroup, Kind: volumeCloneSourceKind,
		Name: "volume-clone-source-" + string(dv.UID)}
	controls := true
	return &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{Namespace: dv.Namespace, Name: dv.Name, Labels: labels,
			Annotations: annotations, OwnerReferences: []metav1.OwnerReference{{
				APIVersion: group + "/v1beta1", Kind: "DataVolume", Name: dv.Name, UID: dv.UID,
				Controller: &controls, BlockOwnerDeletion: &controls}}},
		Spec: *spec}, nil
}

// checkSource is validateCloneAndSourceSnapshot and validateCloneAndSourcePVC with detectCloneSize.
// It returns why the source will not do, and the size if it was left out.
func (c *controller) checkSource(ctx context.Context, dv *DataVolume, source sourceRef,
	spec *corev1.PersistentVolumeClaimSpec) (reason, message string, size *resource.Quantity, err error) {
	asked := spec.Resources.Requests[corev1.ResourceStorage]
	if source.kind == "VolumeSnapshot" {
		snapshot, err := get[VolumeSnapshot](ctx, c.api, snapshots, source.namespace, source.name)
		if err != nil {
			return "", "", nil, err
		}
		if snapshot == nil {
			return "CloneWithoutSource", fmt.Sprintf("The source %s %s doesn't exist", "snapshot",
				source.name), nil, nil
		}
		if err := checkSnapshot(snapshot, dv); err != nil {
			return "CloneValidationFailed", "The clone doesn't meet the validation requirements: " +
				err.Error(), nil, nil
		}
		if asked.IsZero() {
			size = snapshot.Status.RestoreSize
		}
		return "", "", size, nil
	}
	claim, err := get[corev1.PersistentVolumeClaim](ctx, c.api, claims, source.namespace, source.name)
	if err != nil {
		return "", "", nil, err
	}
	if claim == nil {
		return "CloneWithoutSource", fmt.Sprintf("The source %s %s doesn't exist", "pvc",
			source.name), nil, nil
	}
	if err := checkSourceClaim(claim, dv); err != nil {
		return "CloneValidationFailed", "The clone doesn't meet the validation requirements: " +
			err.Error(), nil, nil
	}
	if asked.IsZero() {
		capacity, known := claim.Status.Capacity[corev1.ResourceStorage]
		if !known {
			return "", "", nil, fmt.Errorf("source claim %s has no capacity yet", source.name)
		}
		inflated := inflate(capacity.Value(), spec.VolumeMode)
		size = &inflated
	}
	return "", "", size, nil
}

// checkSnapshot is validateSnapshotClone with IsSnapshotValidForClone. "Not ready" is no fault here.
func checkSnapshot(snapshot *VolumeSnapshot, dv *DataVolume) error {
	if snapshot.Status == nil {
		return errors.New("no status on source snapshot yet")
	}
	if snapshot.Status.Error != nil {
		message := "no details"
		if snapshot.Status.Error.Message != nil {
			message = *snapshot.Status.Error.Message
		}
		return fmt.Errorf("snapshot in error state with msg: %s", message)
	}
	if name := snapshot.Spec.VolumeSnapshotClassName; name == nil || *name == "" {
		return fmt.Errorf("snapshot %s/%s does not have volume snap class populated, can't clone",
			snapshot.Name, snapshot.Namespace)
	}
	restore := snapshot.Status.RestoreSize
	if restore == nil || restore.Sign() < 0 {
		return errors.New("snapshot has no restore size")
	}
	asked, given := askedSize(dv)
	if given && !restore.IsZero() {
		return compareSizes(*restore, asked)
	}
	if !given && restore.IsZero() {
		return errors.New("size not specified by user/provisioner, can't tell how much needed for restore")
	}
	return nil
}

// checkSourceClaim is validateClone. With `storage`, sizes are compared for Block sources only.
func checkSourceClaim(claim *corev1.PersistentVolumeClaim, dv *DataVolume) error {
	contentOf := func(s string) string {
		if s == "" {
			return "kubevirt"
		}
		return s
	}
	has, wants := contentOf(claim.Annotations[annContentType]), contentOf(dv.Spec.ContentType)
	if has != wants {
		return fmt.Errorf("Source contentType (%s) and target contentType (%s) do not match", has, wants) //nolint
	}
	asked, given := askedSize(dv)
	if dv.Spec.PVC != nil || given && modeOf(claim.Spec.VolumeMode) == corev1.PersistentVolumeBlock {
		return compareSizes(claim.Spec.Resources.Requests[corev1.ResourceStorage], asked)
	}
	return nil
}

func askedSize(dv *DataVolume) (resource.Quantity, bool) {
	requests := corev1.ResourceList{}
	if dv.Spec.PVC != nil {
		requests = dv.Spec.PVC.Resources.Requests
	} else if dv.Spec.Storage != nil {
		requests = dv.Spec.Storage.Resources.Requests
	}
	size, given := requests[corev1.ResourceStorage]
	return size, given
}

// compareSizes is ValidateRequestedCloneSize.
func compareSizes(source, target resource.Quantity) error {
	if source.Value() > target.Value() {
		return fmt.Errorf("target resources requests storage size is smaller than the source %d < %d",
			target.Value(), source.Value())
	}
	return nil
}

// ---- status -------------------------------------------------------------------------------------

// phaseOf says what a claim's clone phase is called in the DataVolume (clone-controller-base.go,
// populatorPhaseMap). An error shows in conditions, not as phase Failed.
var phaseOf = map[string]string{
	"": phaseScheduled, clonePending: phaseScheduled, cloneSucceeded: phaseSucceeded,
	stepCSIClone: phaseCSIClone, stepHostClone: phaseInProgress, stepPrepClaim: phasePrepClaim,
	stepRebind: phaseRebind, stepSnapshotClone: phaseFromSnapshot, stepSnapshot: phaseSnapshot,
}

func (c *controller) updateStatus(ctx context.Context, namespace, name string, said *verdict) error {
	dv, err := get[DataVolume](ctx, c.api, dataVolumes, namespace, name)
	if dv == nil || err != nil {
		return err
	}
	claim, err := get[corev1.PersistentVolumeClaim](ctx, c.api, claims, namespace, name)
	if err != nil {
		return err
	}
	status := dv.Status
	status.Conditions = append([]Condition(nil), dv.Status.Conditions...)
	var happened occurrence
	switch {
	case said != nil:
		status.Phase, happened = said.phase, said.occurrence
		setConditions(&status, nil, happened.reason, happened.message)
		return c.writeStatus(ctx, dv, status, happened)
	case claim == nil:
		_, prePopulated := dv.Annotations[annPrePopulated]
		if prePopulated || status.Phase == phaseUnset {
			status.Phase = phasePending
		}
	case claim.DeletionTimestamp == nil:
		if happened, err = c.statusFromClaim(ctx, dv, claim, &status); err != nil {
			return err
		}
	}
	setConditions(&status, claim, "", "")
	return c.writeStatus(ctx, dv, status, happened)
}

func (c *controller) statusFromClaim(ctx context.Context, dv *DataVolume,
	claim *corev1.PersistentVolumeClaim, status *DataVolumeStatus) (occurrence, error) {
	status.ClaimName = claim.Name
	status.Progress = "N/A"
	if progress, known := claim.Annotations[annProgress]; known {
		status.Progress = progress
	}
	switch {
	case populatedFor(claim, dv):
		status.Phase = phaseSucceeded
	case claim.Status.Phase == corev1.ClaimLost:
		status.Phase = phaseFailed
		return occurrence{"Warning", "ErrClaimLost", fmt.Sprintf("PVC %s lost", claim.Name)}, nil
	case claim.Status.Phase == corev1.ClaimPending:
		waits, err := c.waitsForConsumer(ctx, claim)
		if err != nil {
			return occurrence{}, err
		}
		if waits {
			status.Phase = phasePendingPopulation
			return occurrence{}, nil
		}
		return phaseFromClaim(dv, claim, status), nil
	case claim.Status.Phase == corev1.ClaimBound:
		if status.Phase == phasePending {
			status.Phase = phaseBound
		}
		return phaseFromClaim(dv, claim, status), nil
	}
	return occurrence{}, nil
}

// waitsForConsumer is shouldBeMarkedPendingPopulation and the same test in claimReadyForPopulation.
func (c *controller) waitsForConsumer(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	class, err := c.api.class(ctx, claim.Spec.StorageClassName, false)
	if err != nil || class == nil || class.VolumeBindingMode == nil {
		return false, err
	}
	_, immediate := claim.Annotations[annImmediate]
	return *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer &&
		claim.Annotations[annSelectedNode] == "" && !immediate, nil
}

func phaseFromClaim(dv *DataVolume, claim *corev1.PersistentVolumeClaim, status *DataVolumeStatus) occurrence {
	phase, known := phaseOf[claim.Annotations[annClonePhase]]
	if !known {
		return occurrence{}
	}
	status.Phase = phase
	s, err := dv.source()
	if err != nil {
		return occurrence{}
	}
	into := fmt.Sprintf("%s/%s into %s/%s", s.namespace, s.name, dv.Namespace, dv.Name)
	sourceKind := map[string]string{"VolumeSnapshot": "snapshot", "PersistentVolumeClaim": "pvc"}[s.kind]
	said := map[string]string{
		phaseScheduled:    "Cloning from " + into + " scheduled",
		phaseInProgress:   "Cloning from " + into + " in progress",
		phaseSnapshot:     fmt.Sprintf("Creating snapshot for smart-clone is in progress (for pvc %s/%s)", s.namespace, s.name),
		phaseFromSnapshot: fmt.Sprintf("Creating PVC from snapshot source is in progress (for %s %s/%s)", sourceKind, s.namespace, s.name),
		phaseCSIClone:     fmt.Sprintf("CSI Volume clone in progress (for pvc %s/%s)", s.namespace, s.name),
		phasePrepClaim:    fmt.Sprintf("Prepping PersistentVolumeClaim for DataVolume %s/%s", dv.Namespace, dv.Name),
		phaseRebind:       fmt.Sprintf("Rebinding PersistentVolumeClaim for DataVolume %s/%s", dv.Namespace, dv.Name),
		phaseSucceeded:    "Successfully cloned from " + into,
	}
	reason := phase
	if phase == phaseSucceeded {
		reason = "CloneSucceeded"
	}
	return occurrence{"Normal", reason, said[phase]}
}

func (c *controller) writeStatus(ctx context.Context, dv *DataVolume, status DataVolumeStatus,
	happened occurrence) error {
	if apiequality.Semantic.DeepEqual(dv.Status, status) {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return err
	}
	if err := c.api.patch(ctx, dataVolumes, &dv.ObjectMeta, map[string]any{"status": content}, "status"); err != nil {
		return err
	}
	if happened.eventType != "" && dv.Status.Phase != status.Phase {
		c.api.volumeEvent(ctx, dv, happened.eventType, happened.reason, happened.message)
	}
	c.conditionEvents(ctx, dv, status)
	return nil
}

// conditionEvents is emitConditionEvent.
func (c *controller) conditionEvents(ctx context.Context, dv *DataVolume, status DataVolumeStatus) {
	was, is := condition(dv.Status.Conditions, "Bound"), condition(status.Conditions, "Bound")
	if is != nil && (was == nil || was.Status != is.Status || was.Reason != is.Reason ||
		was.Message != is.Message) {
		c.api.volumeEvent(ctx, dv, "Normal", is.Reason, is.Message)
	}
	ready, running := condition(status.Conditions, "Ready"), condition(status.Conditions, "Running")
	before := condition(dv.Status.Conditions, "Running")
	if ready.Status == corev1.ConditionFalse && running.Status == corev1.ConditionFalse &&
		is.Status == corev1.ConditionTrue && running.Message != "" &&
		(before == nil || before.Message != running.Message) {
		c.api.volumeEvent(ctx, dv, "Warning", running.Reason, running.Message)
	}
}

func condition(all []Condition, kind string) *Condition {
	for i := range all {
		if all[i].Type == kind {
			return &all[i]
		}
	}
	return nil
}

// setCondition is updateCondition (conditions.go).
func setCondition(status *DataVolumeStatus, kind string, value corev1.ConditionStatus, message, reason string) {
	it := condition(status.Conditions, kind)
	if it == nil {
		status.Conditions = append(status.Conditions, Condition{Type: kind})
		it = condition(status.Conditions, kind)
	}
	now := metav1.NewTime(time.Now().UTC().Truncate(time.Second))
	if it.Status != value {
		it.LastTransitionTime, it.LastHeartbeatTime = now, now
	} else if it.Message != message || it.Reason != reason {
		it.LastHeartbeatTime = now
	}
	it.Status, it.Message, it.Reason = value, message, reason
}

// setConditions is updateConditions: Bound and Running come from the claim, Ready from the phase.
func setConditions(status *DataVolumeStatus, claim *corev1.PersistentVolumeClaim, reason, message string) {
	annotations := map[string]string{}
	if claim == nil {
		boundMessage, boundReason := message, reason
		if boundMessage == "" {
			boundMessage = "No PVC found"
		}
		if boundReason == "" {
			boundReason = "NotFound"
		}
		setCondition(status, "Bound", corev1.ConditionFalse, boundMessage, boundReason)
	} else {
		annotations = claim.Annotations
		prime := fmt.Sprintf("target PVC %s Pending and %s", claim.Name, annotations[annBoundMessage])
		_, known := annotations[annBound]
		switch {
		case claim.Status.Phase == corev1.ClaimBound:
			setCondition(status, "Bound", corev1.ConditionTrue, fmt.Sprintf("PVC %s Bound", claim.Name), "Bound")
		case claim.Status.Phase == corev1.ClaimPending && known:
			setCondition(status, "Bound", corev1.ConditionFalse, prime, annotations[annBoundReason])
		case claim.Status.Phase == corev1.ClaimPending:
			setCondition(status, "Bound", corev1.ConditionFalse, fmt.Sprintf("PVC %s Pending", claim.Name), "Pending")
		case claim.Status.Phase == corev1.ClaimLost:
			setCondition(status, "Bound", corev1.ConditionFalse, "Claim Lost", "ClaimLost")
		default:
			setCondition(status, "Bound", corev1.ConditionFalse, "", "")
		}
	}
	ready := corev1.ConditionFalse
	if status.Phase == phaseSucceeded {
		ready = corev1.ConditionTrue
	}
	running := corev1.ConditionFalse
	if annotations[annRunning] == "true" {
		running = corev1.ConditionTrue
		if ready != corev1.ConditionTrue {
			reason, message = "TransferRunning", ""
		}
	}
	setCondition(status, "Ready", ready, message, reason)
	setCondition(status, "Running", running, annotations[annRunningMessage], annotations[annRunningReason])
}
