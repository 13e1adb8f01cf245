package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// globalOverhead is what CDI adds for a file system to what `spec.storage` asks for
// (pkg/common/common.go, DefaultGlobalOverhead).
const globalOverhead = 0.06

var errNoClass = errors.New("PVC spec is missing accessMode and no storageClass to choose profile")

// inflate is InflateSizeWithOverhead (pkg/controller/common/util.go) with GetRequiredSpace
// (pkg/util/util.go).
func inflate(size int64, mode *corev1.PersistentVolumeMode) resource.Quantity {
	if modeOf(mode) == corev1.PersistentVolumeFilesystem {
		const block = 1 << 20
		aligned := (size + block - 1) / block * block
		size = int64(math.Ceil(float64(aligned) * (1 + globalOverhead)))
	}
	return *resource.NewScaledQuantity(size, 0)
}

// class returns the named StorageClass, or the default one for virtualisation, or the default one
// (GetStorageClassByNameWithVirtFallback); nil if there is none.
func (a *api) class(ctx context.Context, name *string, virt bool) (*storagev1.StorageClass, error) {
	if name != nil {
		return get[storagev1.StorageClass](ctx, a, storageClasses, "", *name)
	}
	all, err := list[storagev1.StorageClass](ctx, a, storageClasses, "", metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var newest *storagev1.StorageClass
	for _, annotation := range []string{annDefaultVirtClass, annDefaultClass} {
		if annotation == annDefaultVirtClass && !virt {
			continue
		}
		for _, c := range all {
			if c.Annotations[annotation] == "true" &&
				(newest == nil || newest.CreationTimestamp.Before(&c.CreationTimestamp)) {
				newest = c
			}
		}
		if newest != nil {
			break
		}
	}
	return newest, nil
}

// render makes the claim's spec (pkg/controller/datavolume/util.go, renderPvcSpec). `pvc` is taken as
// it is; `storage` is completed from the StorageProfile and inflated.
func (a *api) render(ctx context.Context, dv *DataVolume) (*corev1.PersistentVolumeClaimSpec, error) {
	if dv.Spec.PVC != nil {
		return dv.Spec.PVC.DeepCopy(), nil
	}
	if dv.Spec.Storage == nil {
		return nil, errors.New("datavolume one of {pvc, storage} field is required")
	}
	s := dv.Spec.Storage
	spec := &corev1.PersistentVolumeClaimSpec{AccessModes: s.AccessModes, Selector: s.Selector,
		Resources: *s.Resources.DeepCopy(), VolumeName: s.VolumeName,
		StorageClassName: s.StorageClassName, VolumeMode: s.VolumeMode}
	if err := a.renderModes(ctx, dv, spec); err != nil {
		return nil, err
	}
	size, given := spec.Resources.Requests[corev1.ResourceStorage]
	if spec.Resources.Requests == nil {
		spec.Resources.Requests = corev1.ResourceList{}
	}
	if !given { // a clone's size is found out from its source
		spec.Resources.Requests[corev1.ResourceStorage] = resource.Quantity{}
		return spec, nil
	}
	if size.Value() < 1<<20 {
		return nil, errors.New("PVC Spec is not valid - storage size should be at least 1MiB")
	}
	size = inflate(size.Value(), spec.VolumeMode)
	if spec.StorageClassName != nil {
		var err error
		if size, err = a.effectiveSize(ctx, size, *spec.StorageClassName); err != nil {
			return nil, err
		}
	}
	spec.Resources.Requests[corev1.ResourceStorage] = size
	return spec, nil
}

// effectiveSize is GetEffectiveVolumeSize: a profile may ask for a minimum.
func (a *api) effectiveSize(ctx context.Context, size resource.Quantity, class string) (
	resource.Quantity, error) {
	profile, err := get[StorageProfile](ctx, a, storageProfiles, "", class)
	if err != nil || profile == nil {
		return size, err
	}
	minimum, err := resource.ParseQuantity(profile.Annotations[annMinimumSize])
	if err == nil && size.Cmp(minimum) < 0 {
		return minimum, nil
	}
	return size, nil
}

// renderModes is renderPvcSpecVolumeModeAndAccessModesAndStorageClass. CDI knows no capabilities of
// our driver, so a profile says something only where somebody wrote it into its spec.
func (a *api) renderModes(ctx context.Context, dv *DataVolume, spec *corev1.PersistentVolumeClaimSpec) error {
	class, err := a.class(ctx, spec.StorageClassName, dv.Spec.ContentType != "archive")
	if err != nil {
		return err
	}
	if class == nil {
		if len(spec.AccessModes) == 0 {
			a.volumeEvent(ctx, dv, "Warning", "ErrClaimNotValid", errNoClass.Error())
			return errNoClass
		}
		return nil
	}
	spec.StorageClassName = &class.Name
	noMode := spec.VolumeMode == nil || *spec.VolumeMode == ""
	if !noMode && len(spec.AccessModes) > 0 {
		return nil
	}
	profile, err := get[StorageProfile](ctx, a, storageProfiles, "", class.Name)
	if err == nil && profile == nil {
		err = fmt.Errorf("storageprofiles.%s %q not found", group, class.Name)
	}
	if err != nil {
		return fmt.Errorf("cannot get StorageProfile: %w", err)
	}
	sets := profile.Status.ClaimPropertySets
	switch {
	case noMode && len(spec.AccessModes) == 0:
		if len(sets) == 0 || len(sets[0].AccessModes) == 0 {
			a.volumeEvent(ctx, dv, "Warning", "ErrClaimNotValid", fmt.Sprintf("Spec is missing accessMode "+
				"and volumeMode, cannot get access mode from StorageProfile %s", class.Name))
			return fmt.Errorf("no accessMode specified in StorageProfile %s", class.Name)
		}
		spec.AccessModes, spec.VolumeMode = sets[0].AccessModes, sets[0].VolumeMode
	case noMode:
		for _, set := range sets {
			for _, mode := range set.AccessModes {
				if mode == spec.AccessModes[0] {
					spec.VolumeMode = set.VolumeMode
					return nil
				}
			}
		}
	default:
		for _, set := range sets {
			if set.VolumeMode != nil && *set.VolumeMode == *spec.VolumeMode && len(set.AccessModes) > 0 {
				spec.AccessModes = set.AccessModes
				return nil
			}
		}
		a.volumeEvent(ctx, dv, "Warning", "ErrClaimNotValid", fmt.Sprintf("Spec is missing accessMode "+
			"and cannot get access mode from StorageProfile %s", class.Name))
		return fmt.Errorf("no accessMode specified in StorageProfile %s", class.Name)
	}
	return nil
}
