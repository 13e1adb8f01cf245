package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

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
