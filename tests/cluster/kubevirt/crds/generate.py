#!/usr/bin/env python3
"""Writes the CustomResourceDefinitions beside it from the notation below.

The field names are those of KubeVirt's API (staging/src/kubevirt.io/api/core/v1/{types,schema}.go,
snapshot/v1beta1/types.go, instancetype/v1beta1/types.go). What makes a difference to a client is kept:
no list has map keys, so lists are atomic; a VirtualMachineInstance has no status subresource;
template.metadata and the parts written {ANY} keep unknown fields, everything else refuses or prunes them.

Notation: "s" string, "i" integer, "b" boolean, "q" quantity, "t" time, a dict an object whose keys may
end in "!" (required), a list of one a list, ANY an object with unknown fields kept, MAP(x) a map.
"""

import sys
from pathlib import Path

import yaml

ANY = object()
QUANTITY = (r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+"
            r"(\.[0-9]*)?)|(\.[0-9]+))))?$")


class MAP:
    def __init__(self, value):
        self.value = value


class SET:
    def __init__(self, value):
        self.value = value


class NULLABLE:
    def __init__(self, value):
        self.value = value


def schema(n):
    if n is ANY:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if isinstance(n, NULLABLE):
        return {**schema(n.value), "nullable": True}
    if isinstance(n, MAP):
        return {"type": "object", "additionalProperties": schema(n.value)}
    if isinstance(n, SET):
        return {"type": "array", "items": schema(n.value), "x-kubernetes-list-type": "set"}
    if isinstance(n, list):
        return {"type": "array", "items": schema(n[0])}
    if isinstance(n, dict):
        out = {"type": "object"}
        if n:
            out["properties"] = {k.rstrip("!"): schema(v) for k, v in n.items()}
        required = [k[:-1] for k in n if k.endswith("!")]
        if required:
            out["required"] = required
        return out
    return {
        "s": {"type": "string"},
        "i": {"type": "integer"},
        "l": {"type": "integer", "format": "int64"},
        "b": {"type": "boolean"},
        "t": {"type": "string", "format": "date-time"},
        "q": {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": QUANTITY,
              "x-kubernetes-int-or-string": True},
        "metadata": {"type": "object", "nullable": True,
                     "x-kubernetes-preserve-unknown-fields": True},
    }[n]


REF = {"name": "s"}
STATE = {"enabled": "b"}
RESOURCES = {"requests": MAP("q"), "limits": MAP("q"), "overcommitGuestOverhead": "b"}
CPU = {"cores": "i", "sockets": "i", "maxSockets": "i", "threads": "i", "model": "s",
       "features": [{"name!": "s", "policy": "s"}], "dedicatedCpuPlacement": "b",
       "numa": {"guestMappingPassthrough": {}}, "isolateEmulatorThread": "b",
       "realtime": {"mask": "s"}}
MEMORY = {"hugepages": {"pageSize": "s"}, "guest": "q", "maxGuest": "q",
          "reservedOverhead": {"addedOverhead": "q", "memLock": "s"}}
TIMER = {"present": "b", "tickPolicy": "s", "track": "s"}
FIRMWARE = {"uuid": "s", "serial": "s", "acpi": {"slicNameRef": "s", "msdmNameRef": "s"},
            "bootloader": {"bios": {"useSerial": "b"}, "efi": {"secureBoot": "b", "persistent": "b"}},
            "kernelBoot": {"kernelArgs": "s", "container": {
                "image!": "s", "imagePullSecret": "s", "imagePullPolicy": "s",
                "kernelPath": "s", "initrdPath": "s"}}}
FEATURES = {"acpi": STATE, "apic": {"enabled": "b", "endOfInterrupt": "b"}, "hypervPassthrough": STATE,
            "smm": STATE, "kvm": {"hidden": "b"}, "pvspinlock": STATE,
            "hyperv": {**{k: STATE for k in ("relaxed", "vapic", "vpindex", "runtime", "synic", "reset",
                                             "frequencies", "reenlightenment", "ipi", "evmcs")},
                       "tlbflush": {"enabled": "b", "direct": STATE, "extended": STATE},
                       "spinlocks": {"enabled": "b", "spinlocks": "i"},
                       "synictimer": {"enabled": "b", "direct": STATE},
                       "vendorid": {"enabled": "b", "vendorid": "s"}}}
DISK = {"name!": "s", "bootOrder": "i", "serial": "s", "dedicatedIOThread": "b", "cache": "s", "io": "s",
        "tag": "s", "shareable": "b", "errorPolicy": "s", "changedBlockTracking": "b",
        "blockSize": {"custom": {"logical": "i", "physical": "i", "discardGranularity": "i"},
                      "matchVolume": STATE},
        "disk": {"bus": "s", "readonly": "b", "pciAddress": "s"},
        "lun": {"bus": "s", "readonly": "b", "reservation": "b"},
        "cdrom": {"bus": "s", "readonly": "b", "tray": "s"}}
INTERFACE = {"name!": "s", "model": "s", "binding": {"name!": "s"}, "macAddress": "s", "bootOrder": "i",
             "ports": [{"name": "s", "protocol": "s", "port!": "i"}],
             "portRanges": [{"protocol": "s", "start!": "i", "end!": "i"}],
             "pciAddress": "s", "tag": "s", "acpiIndex": "i", "state": "s",
             "dhcpOptions": {"bootFileName": "s", "tftpServerName": "s", "ntpServers": ["s"],
                             "privateOptions": [{"option!": "i", "value!": "s"}]},
             "bridge": {}, "slirp": {}, "masquerade": {}, "sriov": {}, "macvtap": {}, "passt": {},
             "passtBinding": {}}
HOST_DEVICE = {"name!": "s", "deviceName": "s", "claimName": "s", "requestName": "s", "tag": "s"}
GPU = {**HOST_DEVICE, "virtualGPUOptions": {"display": {"enabled": "b", "ramFB": STATE}}}
DEVICES = {"useVirtioTransitional": "b", "disableHotplug": "b", "disks": [DISK],
           "watchdog": {"name!": "s", "i6300esb": {"action": "s"}, "diag288": {"action": "s"}},
           "interfaces": [INTERFACE], "inputs": [{"bus": "s", "type!": "s", "name!": "s"}],
           "autoattachPodInterface": "b", "autoattachGraphicsDevice": "b", "autoattachSerialConsole": "b",
           "logSerialConsole": "b", "autoattachMemBalloon": "b", "autoattachInputDevice": "b",
           "autoattachVSOCK": "b", "rng": {}, "blockMultiQueue": "b", "networkInterfaceMultiqueue": "b",
           "gpus": [GPU], "downwardMetrics": {}, "panicDevices": [{"model": "s"}],
           "filesystems": [{"name!": "s", "virtiofs!": {}}], "hostDevices": [HOST_DEVICE],
           "clientPassthrough": {}, "sound": {"name!": "s", "model": "s"},
           "tpm": {"enabled": "b", "persistent": "b"}, "video": {"type": "s"}}
DOMAIN = {"resources": RESOURCES, "cpu": CPU, "memory": MEMORY, "machine": {"type": "s"},
          "firmware": FIRMWARE, "features": FEATURES, "devices!": DEVICES, "ioThreadsPolicy": "s",
          "ioThreads": {"supplementalPoolThreadCount": "i"}, "rebootPolicy": "s",
          "clock": {"utc": {"offsetSeconds": "i"}, "timezone": "s",
                    "timer": {k: TIMER for k in ("hpet", "kvm", "pit", "rtc", "hyperv")}},
          "chassis": {k: "s" for k in ("manufacturer", "version", "serial", "asset", "sku")},
          "launchSecurity": {"sev": {"policy": {"encryptedState": "b"}, "attestation": {},
                                     "session": "s", "dhCert": "s"}, "snp": {}, "tdx": {}}}
CLAIM = {"claimName!": "s", "readOnly": "b"}
CLOUD_INIT = {"secretRef": REF, "userDataBase64": "s", "userData": "s", "networkDataSecretRef": REF,
              "networkDataBase64": "s", "networkData": "s"}
VOLUME = {"name!": "s", "hostDisk": {"path!": "s", "type!": "s", "capacity": "q", "shared": "b"},
          "persistentVolumeClaim": {**CLAIM, "hotpluggable": "b"},
          "cloudInitNoCloud": CLOUD_INIT, "cloudInitConfigDrive": CLOUD_INIT,
          "sysprep": {"secret": REF, "configMap": REF},
          "containerDisk": {"image!": "s", "imagePullSecret": "s", "path": "s", "imagePullPolicy": "s"},
          "ephemeral": {"persistentVolumeClaim": CLAIM}, "emptyDisk": {"capacity!": "q"},
          "dataVolume": {"name!": "s", "hotpluggable": "b"},
          "configMap": {"name": "s", "optional": "b", "volumeLabel": "s"},
          "secret": {"secretName": "s", "optional": "b", "volumeLabel": "s"},
          "downwardAPI": {"fields": [ANY], "volumeLabel": "s"},
          "serviceAccount": {"serviceAccountName": "s"}, "downwardMetrics": {},
          "memoryDump": {**CLAIM, "hotpluggable": "b"},
          "containerPath": {"path!": "s", "readOnly": "b"}}
NETWORK = {"name!": "s", "pod": {"vmNetworkCIDR": "s", "vmIPv6NetworkCIDR": "s"},
           "multus": {"networkName!": "s", "default": "b"},
           "resourceClaim": {"claimName": "s", "requestName": "s"}}
SECRET_SOURCE = {"secret": {"secretName!": "s"}}
ACCESS = {"sshPublicKey": {"source!": SECRET_SOURCE, "propagationMethod!": {
              "configDrive": {}, "noCloud": {}, "qemuGuestAgent": {"users!": SET("s")}}},
          "userPassword": {"source!": SECRET_SOURCE, "propagationMethod!": {"qemuGuestAgent": {}}}}
VMI_SPEC = {"priorityClassName": "s", "domain!": DOMAIN, "nodeSelector": MAP("s"), "affinity": ANY,
            "schedulerName": "s", "tolerations": [ANY], "topologySpreadConstraints": [ANY],
            "evictionStrategy": "s", "startStrategy": "s", "terminationGracePeriodSeconds": "l",
            "volumes": [VOLUME], "utilityVolumes": [{"name!": "s", **CLAIM, "type": "s"}],
            "livenessProbe": ANY, "readinessProbe": ANY, "hostname": "s", "subdomain": "s",
            "networks": [NETWORK], "dnsPolicy": "s", "dnsConfig": ANY, "accessCredentials": [ACCESS],
            "architecture": "s", "resourceClaims": [ANY], "serviceAccountName": "s"}

MATCHER = {"name": "s", "kind": "s", "revisionName": "s", "inferFromVolume": "s",
           "inferFromVolumeFailurePolicy": "s"}
VM_SPEC = {"running": "b", "runStrategy": "s", "instancetype": MATCHER, "preference": MATCHER,
           "template!": {"metadata": "metadata", "spec": VMI_SPEC},
           "dataVolumeTemplates": [{"apiVersion": "s", "kind": "s", "metadata": "metadata", "spec!": ANY,
                                    "status": ANY}],
           "updateVolumesStrategy": "s"}

CONDITION = {"type!": "s", "status!": "s", "reason": "s", "message": "s",
             "lastProbeTime": NULLABLE("t"), "lastTransitionTime": NULLABLE("t")}
REVISION_REF = {"name": "s", "kind": "s", "controllerRevisionRef": {"name": "s"},
                "inferFromVolume": "s", "inferFromVolumeFailurePolicy": "s"}
VM_STATUS = {"snapshotInProgress": "s", "restoreInProgress": "s", "created": "b", "ready": "b",
             "printableStatus": "s", "conditions": [CONDITION],
             "stateChangeRequests": [{"action!": "s", "data": MAP("s"), "uid": "s"}],
             "volumeRequests": NULLABLE([ANY]),
             "volumeSnapshotStatuses": [{"name!": "s", "enabled!": "b", "reason": "s"}],
             "startFailure": NULLABLE({"consecutiveFailCount": "i", "lastFailedVMIUID": "s",
                                       "retryAfterTimestamp": "t"}),
             "memoryDumpRequest": NULLABLE(ANY), "observedGeneration": "l", "desiredGeneration": "l",
             "runStrategy": "s", "volumeUpdateState": NULLABLE(ANY), "instancetypeRef": NULLABLE(REVISION_REF),
             "preferenceRef": NULLABLE(REVISION_REF), "changedBlockTracking": ANY}
VMI_STATUS = {"nodeName": "s", "reason": "s", "conditions": [CONDITION], "phase": "s",
              "phaseTransitionTimestamps": [{"phase": "s", "phaseTransitionTimestamp": "t"}],
              "interfaces": [{"ipAddress": "s", "mac": "s", "name": "s", "ipAddresses": ["s"],
                              "podInterfaceName": "s", "interfaceName": "s", "infoSource": "s",
                              "queueCount": "i", "linkState": "s"}],
              "guestOSInfo": {k: "s" for k in ("name", "kernelRelease", "version", "prettyName",
                                               "versionId", "kernelVersion", "machine", "id")},
              "migrationState": ANY, "migrationMethod": "s", "migrationTransport": "s", "qosClass": "s",
              "launcherContainerImageVersion": "s", "evacuationNodeName": "s", "activePods": MAP("s"),
              "volumeStatus": [{"name!": "s", "target!": "s", "phase": "s", "reason": "s", "message": "s",
                                "size": "l", "hotplugVolume": ANY, "memoryDumpVolume": ANY,
                                "containerDiskVolume": ANY,
                                "persistentVolumeClaimInfo": {
                                    "claimName": "s", "accessModes": ["s"], "volumeMode": "s",
                                    "capacity": MAP("q"), "requests": MAP("q"), "preallocated": "b",
                                    "filesystemOverhead": "s"}}],
              "kernelBootStatus": ANY, "fsFreezeStatus": "s", "topologyHints": ANY,
              "virtualMachineRevisionName": "s", "runtimeUser": "l", "VSOCKCID": "l",
              "selinuxContext": "s", "machine": {"type": "s"},
              "currentCPUTopology": {"cores": "i", "sockets": "i", "threads": "i"},
              "memory": {k: "q" for k in ("guestAtBoot", "guestCurrent", "guestRequested",
                                          "memoryOverhead")},
              "migratedVolumes": [ANY], "changedBlockTracking": ANY}

ERROR = {"time": "t", "message": "s"}
SNAPSHOT_CONDITION = CONDITION
SNAPSHOT_SPEC = {"source!": {"apiGroup": "s", "kind!": "s", "name!": "s"}, "deletionPolicy": "s",
                 "failureDeadline": "s"}
SNAPSHOT_STATUS = {"sourceUID": "s", "virtualMachineSnapshotContentName": "s",
                   "creationTime": NULLABLE("t"), "phase": "s", "readyToUse": "b", "error": ERROR,
                   "conditions": [SNAPSHOT_CONDITION], "indications": SET("s"),
                   "sourceIndications": [{"indication!": "s", "message!": "s"}],
                   "snapshotVolumes": {"includedVolumes": SET("s"), "excludedVolumes": SET("s")}}
CONTENT_SPEC = {"virtualMachineSnapshotName": "s",
                "source!": {"virtualMachine": {"metadata": "metadata", "spec": VM_SPEC,
                                               "status": VM_STATUS}},
                "volumeBackups": [{"volumeName!": "s", "volumeSnapshotName": "s",
                                   "persistentVolumeClaim!": {"metadata": "metadata", "spec": ANY}}]}
CONTENT_STATUS = {"creationTime": NULLABLE("t"), "readyToUse": "b", "error": ERROR,
                  "volumeSnapshotStatus": [{"volumeSnapshotName!": "s", "creationTime": NULLABLE("t"),
                                            "readyToUse": "b", "error": ERROR}]}

INSTANCETYPE_SPEC = {"annotations": MAP("s"), "nodeSelector": MAP("s"), "schedulerName": "s",
                     "cpu!": {"guest!": "i", "model": "s", "maxSockets": "i", "dedicatedCPUPlacement": "b",
                              "numa": ANY, "isolateEmulatorThread": "b", "realtime": ANY},
                     "memory!": {"guest!": "q", "hugepages": {"pageSize": "s"}, "overcommitPercent": "i",
                                 "maxGuest": "q"},
                     "gpus": [GPU], "hostDevices": [HOST_DEVICE], "ioThreadsPolicy": "s",
                     "ioThreads": ANY, "launchSecurity": ANY}
PREFERENCE_SPEC = {"annotations": MAP("s"), "preferSpreadSocketToCoreRatio": "i",
                   "cpu": {"preferredCPUTopology": "s", "preferredCPUFeatures": [ANY], "spreadOptions": ANY},
                   "clock": ANY, "devices": ANY, "features": ANY, "firmware": ANY,
                   "machine": {"preferredMachineType": "s"}, "preferredArchitecture": "s",
                   "preferredSubdomain": "s", "preferredTerminationGracePeriodSeconds": "l",
                   "requirements": ANY, "volumes": {"preferredStorageClassName": "s"}}


def column(name, kind, path, priority=0):
    out = {"name": name, "type": kind, "jsonPath": path}
    return {**out, "priority": priority} if priority else out


AGE = column("Age", "date", ".metadata.creationTimestamp")
CRDS = {
    "virtualmachines": dict(
        group="kubevirt.io", kind="VirtualMachine", short=["vm", "vms"], versions=["v1alpha3", "v1"],
        spec=VM_SPEC, status=VM_STATUS, subresource=True, required=["spec"],
        columns=[AGE, column("Status", "string", ".status.printableStatus"),
                 column("Ready", "string", ".status.conditions[?(@.type=='Ready')].status")]),
    "virtualmachineinstances": dict(
        group="kubevirt.io", kind="VirtualMachineInstance", short=["vmi", "vmis"],
        versions=["v1alpha3", "v1"], spec=VMI_SPEC, status=VMI_STATUS, subresource=False, required=["spec"],
        columns=[AGE, column("Phase", "string", ".status.phase"),
                 column("IP", "string", ".status.interfaces[0].ipAddress"),
                 column("NodeName", "string", ".status.nodeName"),
                 column("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
                 column("Live-Migratable", "string",
                        ".status.conditions[?(@.type=='LiveMigratable')].status", 1),
                 column("Paused", "string", ".status.conditions[?(@.type=='Paused')].status", 1)]),
    "virtualmachinesnapshots": dict(
        group="snapshot.kubevirt.io", kind="VirtualMachineSnapshot", short=["vmsnapshot", "vmsnapshots"],
        versions=["v1alpha1", "v1beta1"], spec=SNAPSHOT_SPEC, status=SNAPSHOT_STATUS, subresource=True,
        required=["spec"],
        columns=[column("SourceKind", "string", ".spec.source.kind"),
                 column("SourceName", "string", ".spec.source.name"),
                 column("Phase", "string", ".status.phase"),
                 column("ReadyToUse", "boolean", ".status.readyToUse"),
                 column("CreationTime", "date", ".status.creationTime"),
                 column("Error", "string", ".status.error.message")]),
    "virtualmachinesnapshotcontents": dict(
        group="snapshot.kubevirt.io", kind="VirtualMachineSnapshotContent",
        short=["vmsnapshotcontent", "vmsnapshotcontents"], versions=["v1alpha1", "v1beta1"],
        spec=CONTENT_SPEC, status=CONTENT_STATUS, subresource=True, required=["spec"],
        columns=[column("ReadyToUse", "boolean", ".status.readyToUse"),
                 column("CreationTime", "date", ".status.creationTime"),
                 column("Error", "string", ".status.error.message")]),
}
for kind, plural, short, scope, spec in (
        ("VirtualMachineInstancetype", "virtualmachineinstancetypes",
         ["vminstancetype", "vminstancetypes", "vmf", "vmfs"], "Namespaced", INSTANCETYPE_SPEC),
        ("VirtualMachineClusterInstancetype", "virtualmachineclusterinstancetypes",
         ["vmclusterinstancetype", "vmclusterinstancetypes", "vmcf", "vmcfs"], "Cluster", INSTANCETYPE_SPEC),
        ("VirtualMachinePreference", "virtualmachinepreferences",
         ["vmpref", "vmprefs", "vmp", "vmps"], "Namespaced", PREFERENCE_SPEC),
        ("VirtualMachineClusterPreference", "virtualmachineclusterpreferences",
         ["vmcp", "vmcps"], "Cluster", PREFERENCE_SPEC)):
    CRDS[plural] = dict(group="instancetype.kubevirt.io", kind=kind, short=short, versions=["v1beta1"],
                        scope=scope, spec=spec, status=None, subresource=False, required=["spec"], columns=[])


def definition(plural, d):
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
                  "metadata": {"type": "object"}, "spec": schema(d["spec"])}
    if d["status"] is not None:
        properties["status"] = schema(d["status"])
        if d["kind"] in ("VirtualMachineSnapshot", "VirtualMachineSnapshotContent"):
            properties["status"]["nullable"] = True
    versions = []
    for index, name in enumerate(d["versions"]):
        version = {"name": name, "served": True, "storage": index == len(d["versions"]) - 1,
                   "schema": {"openAPIV3Schema": {"type": "object", "properties": properties,
                                                  "required": d["required"]}}}
        if d["subresource"]:
            version["subresources"] = {"status": {}}
        if d["columns"]:
            version["additionalPrinterColumns"] = d["columns"]
        versions.append(version)
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{d['group']}"},
            "spec": {"group": d["group"], "scope": d.get("scope", "Namespaced"),
                     "names": {"plural": plural, "singular": d["kind"].lower(), "kind": d["kind"],
                               "listKind": d["kind"] + "List", "shortNames": d["short"],
                               "categories": ["all"]},
                     "conversion": {"strategy": "None"}, "versions": versions}}


class Plain(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


def main():
    folder = Path(__file__).resolve().parent
    stale = []
    for plural, d in CRDS.items():
        path = folder / f"{d['group']}_{plural}.yaml"
        text = ("# Written by generate.py.\n"
                + yaml.dump(definition(plural, d), Dumper=Plain, sort_keys=False, width=110))
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.name)
        if "--check" not in sys.argv:
            path.write_text(text)
    if "--check" in sys.argv and stale:
        sys.exit(f"out of date, run generate.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
