package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
