/*
 * Every kind of object that a Wukong has to do with, once: group, version, resource, kind, and
 * whether it is in no namespace. Each is written where a struct kube_kind begins, so that caches,
 * look-ups and requests of all programs mean the same; what is kept of an object is theirs to say.
 */
#ifndef API_RESOURCES_H
#define API_RESOURCES_H

#include "wukong/api/policy_names.h"
#include "wukong/api/spec.h"

/* ours */
#define RESOURCE_WUKONG WUKONG_GROUP, WUKONG_VERSION_NAME, WUKONG_RESOURCE, WUKONG_KIND, false
#define RESOURCE_POLICY WUKONG_GROUP, WUKONG_VERSION_NAME, POLICY_RESOURCE, POLICY_KIND, true

/* Kubernetes */
#define RESOURCE_PVC "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", false
#define RESOURCE_EVENT "", "v1", "events", "Event", false
#define RESOURCE_POD "", "v1", "pods", "Pod", false
#define RESOURCE_NAMESPACE "", "v1", "namespaces", "Namespace", true
#define RESOURCE_CONFIG_MAP "", "v1", "configmaps", "ConfigMap", false
#define RESOURCE_QUOTA "", "v1", "resourcequotas", "ResourceQuota", false
#define RESOURCE_REVISION "apps", "v1", "controllerrevisions", "ControllerRevision", false
#define RESOURCE_STORAGE_CLASS "storage.k8s.io", "v1", "storageclasses", "StorageClass", true
#define RESOURCE_CSI_DRIVER "storage.k8s.io", "v1", "csidrivers", "CSIDriver", true
#define RESOURCE_ACCESS_REVIEW                                                                     \
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", true
#define RESOURCE_OWN_ACCESS_REVIEW                                                                 \
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", true

/* CSI snapshots */
#define RESOURCE_SNAPSHOT                                                                          \
    "snapshot.storage.k8s.io", "v1", "volumesnapshots", "VolumeSnapshot", false
#define RESOURCE_CONTENT                                                                           \
    "snapshot.storage.k8s.io", "v1", "volumesnapshotcontents", "VolumeSnapshotContent", true
#define RESOURCE_SNAPSHOT_CLASS                                                                    \
    "snapshot.storage.k8s.io", "v1", "volumesnapshotclasses", "VolumeSnapshotClass", true
#define RESOURCE_GROUP                                                                             \
    "groupsnapshot.storage.k8s.io", "v1", "volumegroupsnapshots", "VolumeGroupSnapshot", false
/* external-snapshotter before 8.5 serves this one alone; it has the same fields. */
#define GROUP_OLDER_VERSION "v1beta2"
#define RESOURCE_GROUP_CONTENT                                                                     \
    "groupsnapshot.storage.k8s.io", "v1", "volumegroupsnapshotcontents",                           \
        "VolumeGroupSnapshotContent", true
#define RESOURCE_GROUP_CLASS                                                                       \
    "groupsnapshot.storage.k8s.io", "v1", "volumegroupsnapshotclasses",                            \
        "VolumeGroupSnapshotClass", true

/* KubeVirt */
#define RESOURCE_VM "kubevirt.io", "v1", "virtualmachines", "VirtualMachine", false
#define RESOURCE_VMI "kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance", false
#define RESOURCE_SUB_VM "subresources.kubevirt.io", "v1", "virtualmachines", "VirtualMachine", false
#define RESOURCE_SUB_VMI                                                                           \
    "subresources.kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance", false
#define RESOURCE_EXPAND "subresources.kubevirt.io", "v1", "expand-vm-spec", "VirtualMachine", false
#define RESOURCE_VM_SNAPSHOT                                                                       \
    "snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshots", "VirtualMachineSnapshot", false
#define RESOURCE_VM_SNAPSHOT_CONTENT                                                               \
    "snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshotcontents",                           \
        "VirtualMachineSnapshotContent", false

/* CDI */
#define RESOURCE_DATA_VOLUME "cdi.kubevirt.io", "v1beta1", "datavolumes", "DataVolume", false
#define RESOURCE_STORAGE_PROFILE                                                                   \
    "cdi.kubevirt.io", "v1beta1", "storageprofiles", "StorageProfile", true

/* what a machine may name */
#define RESOURCE_NETWORK                                                                           \
    "k8s.cni.cncf.io", "v1", "network-attachment-definitions", "NetworkAttachmentDefinition", false
#define RESOURCE_INSTANCETYPE                                                                      \
    "instancetype.kubevirt.io", "v1beta1", "virtualmachineinstancetypes",                          \
        "VirtualMachineInstancetype", false
#define RESOURCE_CLUSTER_INSTANCETYPE                                                              \
    "instancetype.kubevirt.io", "v1beta1", "virtualmachineclusterinstancetypes",                   \
        "VirtualMachineClusterInstancetype", true
#define RESOURCE_PREFERENCE                                                                        \
    "instancetype.kubevirt.io", "v1beta1", "virtualmachinepreferences",                            \
        "VirtualMachinePreference", false
#define RESOURCE_CLUSTER_PREFERENCE                                                                \
    "instancetype.kubevirt.io", "v1beta1", "virtualmachineclusterpreferences",                     \
        "VirtualMachineClusterPreference", true

#endif
