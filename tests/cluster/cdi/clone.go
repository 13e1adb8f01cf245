package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
