package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kinds that the stand-in reads and writes.
var (
	dataVolumes      = schema.GroupVersionResource{Group: group, Version: "v1beta1", Resource: "datavolumes"}
	storageProfiles  = schema.GroupVersionResource{Group: group, Version: "v1beta1", Resource: "storageprofiles"}
	claims           = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	volumes          = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}
	pods             = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	events           = schema.GroupVersionResource{Version: "v1", Resource: "events"}
	namespaces       = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	storageClasses   = schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}
	csiDrivers       = schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "csidrivers"}
	snapshots        = schema.GroupVersionResource{Group: snapshotGroup, Version: "v1", Resource: "volumesnapshots"}
	snapshotContents = schema.GroupVersionResource{Group: snapshotGroup, Version: "v1", Resource: "volumesnapshotcontents"}
	snapshotClasses  = schema.GroupVersionResource{Group: snapshotGroup, Version: "v1", Resource: "volumesnapshotclasses"}
	instances        = schema.GroupVersionResource{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachineinstances"}
	accessReviews    = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"}
)

const (
	group         = "cdi.kubevirt.io"
	snapshotGroup = "snapshot.storage.k8s.io"
)

// Annotations, labels and finalizers: pkg/controller/common/util.go, pkg/controller/populators/
// clone-populator.go and pkg/common/common.go.
const (
	annCloneToken         = group + "/storage.clone.token"
	annExtendedToken      = group + "/storage.extended.clone.token"
	annCloneType          = group + "/cloneType"
	annClonePhase         = group + "/clonePhase"
	annCloneError         = group + "/cloneError"
	annFallbackReason     = group + "/cloneFallbackReason"
	annSourceNamespace    = group + "/dataSourceNamespace"
	annUsePopulator       = group + "/storage.usePopulator"
	annPrePopulated       = group + "/storage.prePopulated"
	annCheckStaticVolume  = group + "/storage.checkStaticVolume"
	annPopulatedFor       = group + "/storage.populatedFor"
	annProgress           = group + "/storage.populator.progress"
	annPermissive         = group + "/permissiveClone"
	annContentType        = group + "/storage.contentType"
	annCreatedFor         = group + "/createdForDataVolume"
	annPodPhase           = group + "/storage.pod.phase"
	annPodRestarts        = group + "/storage.pod.restarts"
	annRunning            = group + "/storage.condition.running"
	annRunningMessage     = group + "/storage.condition.running.message"
	annRunningReason      = group + "/storage.condition.running.reason"
	annBound              = group + "/storage.condition.bound"
	annBoundMessage       = group + "/storage.condition.bound.message"
	annBoundReason        = group + "/storage.condition.bound.reason"
	annImmediate          = group + "/storage.bind.immediate.requested"
	annMinimumSize        = group + "/minimumSupportedPvcSize"
	annPreallocation      = group + "/storage.preallocation.requested"
	annSelectedNode       = "volume.kubernetes.io/selected-node"
	annDefaultClass       = "storageclass.kubernetes.io/is-default-class"
	annDefaultVirtClass   = "storageclass.kubevirt.io/is-default-virt-class"
	annDefaultSnapClass   = "snapshot.storage.kubernetes.io/is-default-class"
	annCloneStrategy      = group + "/clone-strategy"
	labelOwner            = group + "/OwnedByUID"
	labelNoVelero         = "velero.io/exclude-from-backup"
	labelFillingUp        = "alerts.k8s.io/KubePersistentVolumeFillingUp"
	crossNamespaceGuard   = group + "/dataVolumeFinalizer"
	populatorGuard        = group + "/clonePopulator"
	volumeCloneSourceKind = "VolumeCloneSource"
	progressDone          = "100.0%"
)

// DataVolume has the fields that clones use (staging/src/kubevirt.io/containerized-data-importer-api/
// pkg/apis/core/v1beta1/types.go).
type DataVolume struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              DataVolumeSpec   `json:"spec"`
	Status            DataVolumeStatus `json:"status,omitempty"`
}

type DataVolumeSpec struct {
	Source        *DataVolumeSource                 `json:"source,omitempty"`
	PVC           *corev1.PersistentVolumeClaimSpec `json:"pvc,omitempty"`
	Storage       *StorageSpec                      `json:"storage,omitempty"`
	ContentType   string                            `json:"contentType,omitempty"`
	Preallocation *bool                             `json:"preallocation,omitempty"`
}

type DataVolumeSource struct {
	PVC      *ObjectSource `json:"pvc,omitempty"`
	Snapshot *ObjectSource `json:"snapshot,omitempty"`
}

type ObjectSource struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type StorageSpec struct {
	AccessModes      []corev1.PersistentVolumeAccessMode `json:"accessModes,omitempty"`
	Selector         *metav1.LabelSelector               `json:"selector,omitempty"`
	Resources        corev1.VolumeResourceRequirements   `json:"resources,omitempty"`
	VolumeName       string                              `json:"volumeName,omitempty"`
	StorageClassName *string                             `json:"storageClassName,omitempty"`
	VolumeMode       *corev1.PersistentVolumeMode        `json:"volumeMode,omitempty"`
}

type DataVolumeStatus struct {
	ClaimName    string      `json:"claimName,omitempty"`
	Phase        string      `json:"phase,omitempty"`
	Progress     string      `json:"progress,omitempty"`
	RestartCount int32       `json:"restartCount,omitempty"`
	Conditions   []Condition `json:"conditions,omitempty"`
}

type Condition struct {
	Type               string                 `json:"type"`
	Status             corev1.ConditionStatus `json:"status"`
	LastTransitionTime metav1.Time            `json:"lastTransitionTime,omitempty"`
	LastHeartbeatTime  metav1.Time            `json:"lastHeartbeatTime,omitempty"`
	Reason             string                 `json:"reason,omitempty"`
	Message            string                 `json:"message,omitempty"`
}

// Phases of a DataVolume that a clone can have.
const (
	phaseUnset             = ""
	phasePending           = "Pending"
	phaseBound             = "PVCBound"
	phasePendingPopulation = "PendingPopulation"
	phaseScheduled         = "CloneScheduled"
	phaseInProgress        = "CloneInProgress"
	phaseSnapshot          = "SnapshotForSmartCloneInProgress"
	phaseFromSnapshot      = "CloneFromSnapshotSourceInProgress"
	phaseCSIClone          = "CSICloneInProgress"
	phasePrepClaim         = "PrepClaimInProgress"
	phaseRebind            = "RebindInProgress"
	phaseSucceeded         = "Succeeded"
	phaseFailed            = "Failed"
)

// sourceRef is what a DataVolume is cloned from. Its namespace may be left out (GetCloneSourceInfo).
type sourceRef struct {
	kind, namespace, name string
}

func (dv *DataVolume) source() (sourceRef, error) {
	var s sourceRef
	switch {
	case dv.Spec.Source != nil && dv.Spec.Source.PVC != nil:
		s = sourceRef{"PersistentVolumeClaim", dv.Spec.Source.PVC.Namespace, dv.Spec.Source.PVC.Name}
	case dv.Spec.Source != nil && dv.Spec.Source.Snapshot != nil:
		s = sourceRef{"VolumeSnapshot", dv.Spec.Source.Snapshot.Namespace, dv.Spec.Source.Snapshot.Name}
	default:
		return s, fmt.Errorf("no source set for clone datavolume")
	}
	if s.namespace == "" {
		s.namespace = dv.Namespace
	}
	return s, nil
}

func (s sourceRef) tokenResource() metav1.GroupVersionResource {
	if s.kind == "VolumeSnapshot" {
		return metav1.GroupVersionResource(snapshots)
	}
	return metav1.GroupVersionResource(claims)
}

type StorageProfile struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              StorageProfileSpec   `json:"spec"`
	Status            StorageProfileStatus `json:"status,omitempty"`
}

type StorageProfileSpec struct {
	CloneStrategy     *string            `json:"cloneStrategy,omitempty"`
	SnapshotClass     *string            `json:"snapshotClass,omitempty"`
	ClaimPropertySets []ClaimPropertySet `json:"claimPropertySets,omitempty"`
}

type StorageProfileStatus struct {
	StorageClass      *string            `json:"storageClass,omitempty"`
	Provisioner       *string            `json:"provisioner,omitempty"`
	CloneStrategy     *string            `json:"cloneStrategy,omitempty"`
	SnapshotClass     *string            `json:"snapshotClass,omitempty"`
	ClaimPropertySets []ClaimPropertySet `json:"claimPropertySets,omitempty"`
}

type ClaimPropertySet struct {
	AccessModes []corev1.PersistentVolumeAccessMode `json:"accessModes,omitempty"`
	VolumeMode  *corev1.PersistentVolumeMode        `json:"volumeMode,omitempty"`
}

// The parts of snapshot objects that CDI looks at.

type VolumeSnapshot struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              struct {
		VolumeSnapshotClassName *string `json:"volumeSnapshotClassName,omitempty"`
	} `json:"spec"`
	Status *struct {
		BoundVolumeSnapshotContentName *string            `json:"boundVolumeSnapshotContentName,omitempty"`
		CreationTime                   *metav1.Time       `json:"creationTime,omitempty"`
		ReadyToUse                     *bool              `json:"readyToUse,omitempty"`
		RestoreSize                    *resource.Quantity `json:"restoreSize,omitempty"`
		Error                          *struct {
			Message *string `json:"message,omitempty"`
		} `json:"error,omitempty"`
	} `json:"status,omitempty"`
}

type VolumeSnapshotContent struct {
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              struct {
		Driver           string                       `json:"driver"`
		SourceVolumeMode *corev1.PersistentVolumeMode `json:"sourceVolumeMode,omitempty"`
	} `json:"spec"`
}

type VolumeSnapshotClass struct {
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Driver            string `json:"driver"`
}

func modeOf(mode *corev1.PersistentVolumeMode) corev1.PersistentVolumeMode {
	if mode != nil && *mode == corev1.PersistentVolumeBlock {
		return corev1.PersistentVolumeBlock
	}
	return corev1.PersistentVolumeFilesystem
}
