package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// virtualMachineInstance has what tells which claims it uses.
type virtualMachineInstance struct {
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              struct {
		Volumes []struct {
			PersistentVolumeClaim *struct {
				ClaimName string `json:"claimName"`
			} `json:"persistentVolumeClaim,omitempty"`
			DataVolume *struct {
				Name string `json:"name"`
			} `json:"dataVolume,omitempty"`
		} `json:"volumes,omitempty"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase,omitempty"`
	} `json:"status,omitempty"`
}

// usersOf is GetPodsUsingPVCs (pkg/controller/common/util.go). A running VirtualMachineInstance has a
// launcher Pod; where KubeVirt is played without Pods, the instance stands for it.
func (c *controller) usersOf(ctx context.Context, claim *corev1.PersistentVolumeClaim) ([]string, error) {
	all, err := list[corev1.Pod](ctx, c.api, pods, claim.Namespace, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var users []string
	for _, pod := range all {
		if writes(pod, claim.Name) {
			users = append(users, pod.Name)
		}
	}
	if len(users) > 0 {
		return users, nil
	}
	running, err := list[virtualMachineInstance](ctx, c.api, instances, claim.Namespace, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, vmi := range running {
		if vmi.Status.Phase == "Succeeded" || vmi.Status.Phase == "Failed" {
			continue
		}
		for _, volume := range vmi.Spec.Volumes {
			if volume.PersistentVolumeClaim != nil && volume.PersistentVolumeClaim.ClaimName == claim.Name ||
				volume.DataVolume != nil && volume.DataVolume.Name == claim.Name {
				users = append(users, "virt-launcher-"+vmi.Name)
				break
			}
		}
	}
	return users, nil
}

// writes says whether a Pod that has not ended may write to the claim.
func writes(pod *corev1.Pod, claim string) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return false
	}
	for _, volume := range pod.Spec.Volumes {
		source := volume.PersistentVolumeClaim
		if source == nil || source.ClaimName != claim || source.ReadOnly {
			continue
		}
		for _, container := range pod.Spec.Containers {
			for _, mount := range container.VolumeMounts {
				if mount.Name == volume.Name && !mount.ReadOnly {
					return true
				}
			}
			for _, device := range container.VolumeDevices {
				if device.Name == volume.Name {
					return true
				}
			}
		}
	}
	return false
}
