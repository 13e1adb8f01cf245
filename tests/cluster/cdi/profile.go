package main

import (
	"context"
	"errors"

	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// reconcileProfile keeps one StorageProfile per StorageClass
// (pkg/controller/storageprofile-controller.go). CDI has no list of capabilities for our driver, as
// for any that it does not know: claimPropertySets are those of the profile's spec.
func (c *controller) reconcileProfile(ctx context.Context, name string) error {
	class, err := get[storagev1.StorageClass](ctx, c.api, storageClasses, "", name)
	if err != nil {
		return err
	}
	profile, err := get[StorageProfile](ctx, c.api, storageProfiles, "", name)
	if err != nil {
		return err
	}
	if class == nil {
		if profile != nil {
			return c.api.delete(ctx, storageProfiles, &profile.ObjectMeta)
		}
		return nil
	}
	if profile == nil {
		profile, err = create(ctx, c.api, storageProfiles, "", &StorageProfile{
			TypeMeta:   metav1.TypeMeta{APIVersion: group + "/v1beta1", Kind: "StorageProfile"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "containerized-data-importer"}}})
		if err != nil {
			return err
		}
	}
	for _, set := range profile.Spec.ClaimPropertySets {
		if set.VolumeMode == nil || len(set.AccessModes) == 0 {
			return errors.New("each ClaimPropertySet must provide both volume mode and access modes")
		}
	}
	snapshotClass, err := c.api.snapshotClassFor(ctx, class.Provisioner, profile.Spec.SnapshotClass)
	if err != nil {
		return err
	}
	wanted := StorageProfileStatus{StorageClass: &class.Name, Provisioner: &class.Provisioner,
		ClaimPropertySets: profile.Spec.ClaimPropertySets, SnapshotClass: profile.Status.SnapshotClass}
	if snapshotClass != "" {
		wanted.SnapshotClass = &snapshotClass
	}
	strategy := cloneStrategyFor(class, profile.Spec.CloneStrategy, snapshotClass)
	wanted.CloneStrategy = &strategy
	if apiequality.Semantic.DeepEqual(profile.Status, wanted) {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&wanted)
	if err != nil {
		return err
	}
	return c.api.patch(ctx, storageProfiles, &profile.ObjectMeta, map[string]any{"status": content}, "status")
}

// cloneStrategyFor is reconcileCloneStrategy.
func cloneStrategyFor(class *storagev1.StorageClass, desired *string, snapshotClass string) string {
	if desired != nil {
		return *desired
	}
	if value, given := class.Annotations[annCloneStrategy]; given {
		return value
	}
	if snapshotClass == "" {
		return strategyCopy
	}
	return strategySnapshot
}
