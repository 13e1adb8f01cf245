package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The kind as charts/wukong/files/crds/wukong.yaml declares it. Optional scalars are pointers where
// "absent" and "zero" mean different things.

type Wukong struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              WukongSpec   `json:"spec,omitempty"`
	Status            WukongStatus `json:"status,omitempty"`
}

type WukongSpec struct {
	CPU                 *int32              `json:"cpu,omitempty"`
	Memory              *intstr.IntOrString `json:"memory,omitempty"`
	CloneSource         *CloneSource        `json:"cloneSource,omitempty"`
	Disks               []Disk              `json:"disks,omitempty"`
	Replicas            *int32              `json:"replicas,omitempty"`
	ReclaimPolicy       string              `json:"reclaimPolicy,omitempty"`
	StartStrategy       *StartStrategy      `json:"startStrategy,omitempty"`
	OSImage             *string             `json:"osImage,omitempty"`
	SSHKeySecret        *string             `json:"sshKeySecret,omitempty"`
	CloudInitUser       *CloudInitUser      `json:"cloudInitUser,omitempty"`
	Networks            []Network           `json:"networks,omitempty"`
	HighAvailability    *HighAvailability   `json:"highAvailability,omitempty"`
	GPUs                []GPU               `json:"gpus,omitempty"`
	RestoreFromSnapshot *string             `json:"restoreFromSnapshot,omitempty"`
}

type CloneSource struct {
	Type                    string   `json:"type,omitempty"`
	VMName                  *string  `json:"vmName,omitempty"`
	VMIName                 *string  `json:"vmiName,omitempty"`
	Namespace               *string  `json:"namespace,omitempty"`
	CloneType               string   `json:"cloneType,omitempty"`
	Quiesce                 string   `json:"quiesce,omitempty"`
	SnapshotMethod          string   `json:"snapshotMethod,omitempty"`
	VolumeSnapshotClassName *string  `json:"volumeSnapshotClassName,omitempty"`
	StopSourceAfter         bool     `json:"stopSourceAfter,omitempty"`
	DeadlineSeconds         *int32   `json:"deadlineSeconds,omitempty"`
	RetryLimit              *int32   `json:"retryLimit,omitempty"`
	Window                  *Window  `json:"window,omitempty"`
	NotBefore               *string  `json:"notBefore,omitempty"`
	Gates                   []string `json:"gates,omitempty"`
	AllowUnsnapshottable    bool     `json:"allowUnsnapshottable,omitempty"`
	AllowSecrets            []string `json:"allowSecrets,omitempty"`
}

type Window struct {
	Schedule string  `json:"schedule,omitempty"`
	Duration string  `json:"duration,omitempty"`
	TimeZone *string `json:"timeZone,omitempty"`
}

type Disk struct {
	Name             string              `json:"name,omitempty"`
	Size             *intstr.IntOrString `json:"size,omitempty"`
	StorageClassName *string             `json:"storageClassName,omitempty"`
	SourceDisk       *string             `json:"sourceDisk,omitempty"`
	Boot             bool                `json:"boot,omitempty"`
	Image            *string             `json:"image,omitempty"`
}

type StartStrategy struct {
	AutoStart   *bool  `json:"autoStart,omitempty"`
	RunStrategy string `json:"runStrategy,omitempty"`
}

type CloudInitUser struct {
	Name         string   `json:"name,omitempty"`
	Password     string   `json:"password,omitempty"`
	PasswordHash string   `json:"passwordHash,omitempty"`
	Sudo         string   `json:"sudo,omitempty"`
	Shell        string   `json:"shell,omitempty"`
	Groups       []string `json:"groups,omitempty"`
	LockPasswd   *bool    `json:"lockPasswd,omitempty"`
}

type Network struct {
	Name              string    `json:"name,omitempty"`
	Type              string    `json:"type,omitempty"`
	NADName           *string   `json:"nadName,omitempty"`
	VLANID            *int32    `json:"vlanId,omitempty"`
	BridgeName        *string   `json:"bridgeName,omitempty"`
	PhysicalInterface *string   `json:"physicalInterface,omitempty"`
	Primary           bool      `json:"primary,omitempty"`
	IPConfig          *IPConfig `json:"ipConfig,omitempty"`
}

type IPConfig struct {
	Mode       string   `json:"mode,omitempty"`
	Address    *string  `json:"address,omitempty"`
	Gateway    *string  `json:"gateway,omitempty"`
	DNSServers []string `json:"dnsServers,omitempty"`
}

type HighAvailability struct {
	RestartPolicy *string           `json:"restartPolicy,omitempty"`
	NodeSelector  map[string]string `json:"nodeSelector,omitempty"`
	Tolerations   []Toleration      `json:"tolerations,omitempty"`
}

type Toleration struct {
	Key      string `json:"key,omitempty"`
	Operator string `json:"operator,omitempty"`
	Value    string `json:"value,omitempty"`
	Effect   string `json:"effect,omitempty"`
}

type GPU struct {
	Name       string `json:"name,omitempty"`
	DeviceName string `json:"deviceName,omitempty"`
}

type WukongStatus struct {
	Conditions  []metav1.Condition `json:"conditions,omitempty"`
	CloneStatus struct {
		Phase string `json:"phase,omitempty"`
	} `json:"cloneStatus,omitempty"`
}

var groupVersion = schema.GroupVersion{Group: "vm.novasphere.dev", Version: "v1alpha1"}

// DeepCopyObject is what the scheme asks for; nothing here copies a Wukong.
func (w *Wukong) DeepCopyObject() runtime.Object {
	c := *w
	return &c
}
