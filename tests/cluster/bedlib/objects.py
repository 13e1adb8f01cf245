"""Builders for the objects that cases make, as plain dicts ready for Kube.create."""

from .services import DRIVER

SNAPSHOT_API = "snapshot.storage.k8s.io/v1"
GROUP_API = "groupsnapshot.storage.k8s.io/v1"


def claim(namespace, name, size="64Mi", storage_class="file", source=None, mode="Filesystem",
          labels=None, annotations=None, access_mode="ReadWriteOnce"):
    """A PersistentVolumeClaim. `source` is ("VolumeSnapshot", name) or ("PersistentVolumeClaim", name)."""
    spec = {"accessModes": [access_mode], "resources": {"requests": {"storage": size}},
            "storageClassName": storage_class, "volumeMode": mode}
    if source:
        kind, source_name = source
        spec["dataSource"] = {"kind": kind, "name": source_name}
        if kind == "VolumeSnapshot":
            spec["dataSource"]["apiGroup"] = "snapshot.storage.k8s.io"
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": _meta(namespace, name, labels, annotations), "spec": spec}


def snapshot(namespace, name, claim_name=None, snapshot_class="file", content=None, labels=None):
    """A VolumeSnapshot of a claim, or of a pre-provisioned content."""
    spec = {"source": {"persistentVolumeClaimName": claim_name} if claim_name
            else {"volumeSnapshotContentName": content}}
    if snapshot_class:
        spec["volumeSnapshotClassName"] = snapshot_class
    return {"apiVersion": SNAPSHOT_API, "kind": "VolumeSnapshot",
            "metadata": _meta(namespace, name, labels), "spec": spec}


def storage_class(name, parameters=None, binding="Immediate", expansion=True, provisioner=DRIVER):
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": provisioner, "parameters": parameters or {}, "reclaimPolicy": "Delete",
            "volumeBindingMode": binding, "allowVolumeExpansion": expansion}


def snapshot_class(name, parameters=None, policy="Delete", default=False, driver=DRIVER):
    annotations = {"snapshot.storage.kubernetes.io/is-default-class": "true"} if default else None
    return {"apiVersion": SNAPSHOT_API, "kind": "VolumeSnapshotClass",
            "metadata": _meta(None, name, None, annotations),
            "driver": driver, "deletionPolicy": policy, "parameters": parameters or {}}


def group_snapshot(namespace, name, match_labels, group_class):
    """A VolumeGroupSnapshot of the claims that bear these labels."""
    return {"apiVersion": GROUP_API, "kind": "VolumeGroupSnapshot",
            "metadata": _meta(namespace, name),
            "spec": {"source": {"selector": {"matchLabels": match_labels}},
                     "volumeGroupSnapshotClassName": group_class}}


def group_class(name, parameters=None, policy="Delete", default=False, driver=DRIVER):
    annotations = {"groupsnapshot.storage.kubernetes.io/is-default-class": "true"} if default else None
    return {"apiVersion": GROUP_API, "kind": "VolumeGroupSnapshotClass",
            "metadata": _meta(None, name, None, annotations),
            "driver": driver, "deletionPolicy": policy, "parameters": parameters or {}}


def namespace(name, labels=None):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": _meta(None, name, labels)}


def wukong(namespace_name, name, spec, labels=None, annotations=None):
    return {"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
            "metadata": _meta(namespace_name, name, labels, annotations), "spec": spec}


def _meta(namespace_name, name, labels=None, annotations=None):
    meta = {"name": name}
    if namespace_name:
        meta["namespace"] = namespace_name
    if labels:
        meta["labels"] = labels
    if annotations:
        meta["annotations"] = annotations
    return meta
