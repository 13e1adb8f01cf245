#!/usr/bin/env python3
"""The CRDs on a real API server, without webhook or worker.

Proves that the schema alone refuses nonsense and admits sense. For every CEL rule there are objects
that break this one rule and nothing else, and the answer must hold exactly one cause, with the
rule's own message at the rule's field; and twins that differ in the least and must be admitted. A
rule without both fails the test. The rule's message is found by its id in the CRD file, so a row
says which rule bites, not how it is worded.

usage: test_crd.py [unittest arguments]      runs on a bed of its own (etcd and kube-apiserver)
"""

import copy
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from bedlib import bed as beds  # noqa: E402
from bedlib import install  # noqa: E402
from bedlib.kube import MERGE_PATCH, ApiError, yaml_documents  # noqa: E402

API = "vm.novasphere.dev/v1alpha1"
CRDS = install.CHART / "files" / "crds"
NAMESPACE = "crd-test"
BED = None
NUMBERS = itertools.count()


def setUpModule():
    global BED
    state = Path(tempfile.mkdtemp(prefix="wukong-crd-"))
    BED = beds.Bed(state / "bed")
    unittest.addModuleCleanup(os.rmdir, state)
    unittest.addModuleCleanup(BED.down)
    # Without the chart's registrations: no webhook stands behind them here.
    with unittest.mock.patch.object(install.Chart, "exists", return_value=False):
        BED.up(["apiserver"], owner=os.getpid())
    apply_crds()
    BED.admin().create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})


def apply_crds(change=lambda text: text):
    for path in sorted(CRDS.glob("*.yaml")):
        for document in yaml_documents(change(path.read_text())):
            BED.admin().apply_yaml(document)
    install.wait_established(BED, ["wukongs.vm.novasphere.dev", "clonepolicies.vm.novasphere.dev"])


def rules_of(name):
    """{id: message} of the rules in a CRD file."""
    found = {}
    text = (CRDS / f"{name}.yaml").read_text()
    # A rule ends at the next line that is not indented deeper; its message comes last.
    for match in re.finditer(r"# rule: (\S+)\n( *)- rule:", text):
        block = []
        for line in text[match.end():].split("\n")[1:]:
            if line.strip() and len(line) - len(line.lstrip()) <= len(match.group(2)):
                break
            block.append(line)
        body = "\n".join(block)
        message = re.search(r"message: (?:>-\n)?((?:.|\n)*)$", body).group(1)
        found[match.group(1)] = " ".join(message.split())
    return found


# What the schema's own key words refuse, with the text of the API server.
SCHEMA = {
    "disk-name-unique": "Duplicate value",
    "network-name-unique": "Duplicate value",
    "target-map-unique": "Duplicate value",
    "target-references-unique": "Duplicate value",
}


def merge(base, change):
    """Merge patch: None removes."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    out = copy.deepcopy(base) if isinstance(base, dict) else {}
    for key, value in change.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out


def wukong(spec, name=None):
    return {"apiVersion": API, "kind": "Wukong", "spec": copy.deepcopy(spec),
            "metadata": {"name": name or f"w{next(NUMBERS)}", "namespace": NAMESPACE}}


VMI = {"cloneSource": {"type": "vmi", "vmiName": "src"}}
VM = {"cloneSource": {"type": "vm", "vmName": "src"}}
PLAIN = {"cpu": 2, "memory": "4Gi", "disks": [{"name": "root", "size": "20Gi", "storageClassName": "sc"}]}


def vmi(**change):
    return merge(VMI, change)


def source(base=VMI, **change):
    return merge(base, {"cloneSource": change})


def plain(**change):
    return merge(PLAIN, change)


def disks(*items, base=VMI, **change):
    return merge(merge(base, {"disks": list(items)}), change)


def target(**change):
    return vmi(target=change)


def guest(**change):
    return vmi(guest=change)


def network(change, **more):
    return merge(target(network=change), more)


def over(path, value):
    """A patch that sets one place."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return {**VMI, "target": {"overrides": value}}


VMS = source(snapshotMethod="VirtualMachineSnapshot")
N = "n"
NAD = {"name": N, "nadName": "lan"}
EXPIRES = {"after": "72h", "action": "Delete"}
MAPPED = {"map": [{"from": "a", "to": "b"}]}

# (rule, field, spec that breaks only this rule, spec that breaks none), optionally the name's length.
CREATE = [
    ("cpu-required", "spec.cpu", plain(cpu=None), plain()),
    ("cpu-required", "spec.cpu", {"memory": "1Gi"}, {"cpu": 1, "memory": "1Gi"}),
    ("memory-required", "spec.memory", plain(memory=None), vmi()),
    ("disk-size-required", "spec.disks", plain(disks=[{"name": "a", "storageClassName": "sc"}]),
     disks({"name": "a", "storageClassName": "sc"})),
    ("disk-class-required", "spec.disks", plain(disks=[{"name": "a", "size": "1Gi"}]),
     disks({"name": "a", "size": "1Gi"})),
    ("disk-source-without-clone", "spec.disks",
     plain(disks=[{"name": "a", "size": "1Gi", "storageClassName": "sc", "sourceDisk": "b"}]),
     disks({"name": "a", "sourceDisk": "b"})),
    ("replicas-without-clone", "spec.replicas", plain(replicas=2), plain(replicas=1)),
    ("replicas-without-clone", "spec.replicas", plain(replicas=100), vmi(replicas=100)),
    ("disk-image-with-clone", "spec.disks", disks({"name": "a", "image": "i"}),
     plain(disks=[{"name": "a", "size": "1Gi", "storageClassName": "sc", "image": "i"}])),
    ("osimage-with-clone", "spec.osImage", vmi(osImage="ubuntu"), plain(osImage="ubuntu")),
    ("cloud-init-user-with-clone", "spec.cloudInitUser", vmi(cloudInitUser={"name": "u"}),
     plain(cloudInitUser={"name": "u"})),
    ("restore-with-clone", "spec.restoreFromSnapshot", vmi(restoreFromSnapshot="s"),
     plain(restoreFromSnapshot="s")),
    ("gpus-with-clone", "spec.gpus", vmi(gpus=[{"name": "a", "deviceName": "b"}]),
     plain(gpus=[{"name": "a", "deviceName": "b"}])),
    ("gpus-with-clone", "spec.gpus", source(VM, cloneType="running") | {"gpus": [{"name": "a", "deviceName": "b"}]},
     vmi(gpus=[])),
    ("vmsnapshot-selection", "spec.disks", disks({"name": "a"}, base=VMS), merge(VMS, {"disks": []})),
    ("vmsnapshot-selection", "spec.disks", disks({"name": "a"}, base=VMS),
     disks({"name": "a"}, base=source(snapshotMethod="VolumeSnapshot"))),
    ("start-strategy-contradiction", "spec.startStrategy.runStrategy",
     vmi(startStrategy={"autoStart": False, "runStrategy": "Always"}),
     vmi(startStrategy={"autoStart": False, "runStrategy": "Manual"})),
    ("start-strategy-contradiction", "spec.startStrategy.runStrategy",
     vmi(startStrategy={"autoStart": False, "runStrategy": "RerunOnFailure"}),
     vmi(startStrategy={"autoStart": True, "runStrategy": "RerunOnFailure"})),
    ("start-strategy-contradiction", "spec.startStrategy.runStrategy",
     vmi(startStrategy={"autoStart": False, "runStrategy": "Always"}),
     vmi(startStrategy={"autoStart": False})),

    *[("memory-quantity", "spec.memory", vmi(memory=bad), vmi(memory=good)) for bad, good in (
        ("abc", "4Gi"), ("0", "1"), ("-1Gi", "1.5Gi"), ("100m", "1e9"), ("4GB", "4G"), ("", "4096Mi"),
        ("1u", "1k"), ("5n", "1E"), (" 4Gi", "+4Gi"), ("1e-3", "1.1Gi"), (0, 1), (-1, 4294967296), ("4gi", "1Ti"))],
    *[("disk-size-quantity", "spec.disks[0].size", disks({"name": "a", "size": bad}),
       disks({"name": "a", "size": good})) for bad, good in (
        ("big", "20Gi"), ("0Gi", "0.5Gi"), ("-5", "5"), ("1500m", "1500M"), (0, 1), ("1 Gi", "1Gi"))],

    ("source-vm-name", "spec.cloneSource.vmName", {"cloneSource": {"type": "vm"}}, VM),
    ("source-vm-name", "spec.cloneSource.vmName", source(VM, vmiName="b"), VM),
    ("source-vm-name", "spec.cloneSource.vmName", source(type="vm"), VM),
    ("source-vmi-name", "spec.cloneSource.vmiName", {"cloneSource": {"type": "vmi"}}, VMI),
    ("source-vmi-name", "spec.cloneSource.vmiName", source(vmName="b"), VMI),
    ("source-vmi-name", "spec.cloneSource.vmiName", source(VM, type="vmi"), VMI),
    ("vmi-full", "spec.cloneSource.cloneType", source(cloneType="full"), source(cloneType="linked")),
    ("vmi-full", "spec.cloneSource.cloneType", source(cloneType="full"), source(VM, cloneType="full")),
    ("stop-source-after", "spec.cloneSource.stopSourceAfter", source(stopSourceAfter=True),
     source(stopSourceAfter=False)),
    ("stop-source-after", "spec.cloneSource.stopSourceAfter", source(VM, stopSourceAfter=True),
     source(VM, stopSourceAfter=True, cloneType="running")),
    ("stop-source-after", "spec.cloneSource.stopSourceAfter",
     source(VM, stopSourceAfter=True, cloneType="linked"), source(VM, cloneType="linked")),
    ("vmsnapshot-clone-type", "spec.cloneSource.snapshotMethod",
     source(VM, snapshotMethod="VirtualMachineSnapshot"),
     source(VM, snapshotMethod="VirtualMachineSnapshot", cloneType="running")),
    ("vmsnapshot-clone-type", "spec.cloneSource.snapshotMethod",
     source(snapshotMethod="VirtualMachineSnapshot", cloneType="linked"), VMS),
    ("vmsnapshot-quiesce", "spec.cloneSource.quiesce", merge(VMS, source(quiesce="Required")),
     source(quiesce="Required")),
    ("vmsnapshot-quiesce", "spec.cloneSource.quiesce", merge(VMS, source(quiesce="Never")),
     merge(VMS, source(quiesce="IfAvailable"))),
    ("vmsnapshot-class", "spec.cloneSource.volumeSnapshotClassName",
     merge(VMS, source(volumeSnapshotClassName="c")), source(volumeSnapshotClassName="c")),
    ("group-clone-type", "spec.cloneSource.snapshotMethod", source(VM, snapshotMethod="VolumeGroupSnapshot"),
     source(VM, snapshotMethod="VolumeGroupSnapshot", cloneType="linked")),
    ("group-method-class", "spec.cloneSource.volumeGroupSnapshotClassName",
     source(snapshotMethod="VolumeSnapshot", volumeGroupSnapshotClassName="c"),
     source(snapshotMethod="VolumeGroupSnapshot", volumeGroupSnapshotClassName="c")),
    ("group-method-class", "spec.cloneSource.volumeGroupSnapshotClassName",
     source(VM, volumeGroupSnapshotClassName="c"), source(volumeGroupSnapshotClassName="c")),
    ("method-group-class", "spec.cloneSource.volumeSnapshotClassName",
     source(snapshotMethod="VolumeGroupSnapshot", volumeSnapshotClassName="c"), source(volumeSnapshotClassName="c")),
    *[("window-duration", "spec.cloneSource.window.duration",
       source(window={"schedule": "0 22 * * *", "duration": bad}),
       source(window={"schedule": "0 22 * * *", "duration": good})) for bad, good in (
        ("6", "6h"), ("59s", "60s"), ("0h", "1m"), ("-6h", "1.5h"), ("169h", "168h"), ("", "1h30m"),
        ("1d", "24h"), ("6h ", "60000ms"), ("168h1ms", "167h59m59s"))],
    *[("gate-reserved", "spec.cloneSource.gates[0]", source(gates=[bad]), source(gates=["a.example/Ready"]))
      for bad in ("Ready", "Reconciling", "Stalled", "SourceReady", "PolicyAllowed", "AwaitingGates",
                  "SnapshotReady", "SnapshotTaken", "DisksReady", "VirtualMachineReady",
                  "TemporariesCleaned")],
    ("disk-source-unique", "spec.disks", disks({"name": "a"}, {"name": "b", "sourceDisk": "a"}),
     disks({"name": "a", "sourceDisk": "b"}, {"name": "b", "sourceDisk": "a"})),
    ("disk-source-unique", "spec.disks",
     disks({"name": "a", "sourceDisk": "x"}, {"name": "b", "sourceDisk": "x"}),
     disks({"name": "a", "sourceDisk": "x"}, {"name": "b", "sourceDisk": "y"})),
    ("disk-boot-one", "spec.disks", disks({"name": "a", "boot": True}, {"name": "b", "boot": True}),
     disks({"name": "a", "boot": True}, {"name": "b", "boot": False})),
    ("network-static-address", "spec.networks[0].ipConfig.address",
     plain(networks=[{"name": N, "ipConfig": {"mode": "static"}}]),
     plain(networks=[{"name": N, "ipConfig": {"mode": "static", "address": "10.0.0.2/24"}}])),
    ("network-static-address", "spec.networks[0].ipConfig.address",
     plain(networks=[{"name": N, "type": "bridge", "ipConfig": {"mode": "static"}}]),
     plain(networks=[{"name": N, "type": "bridge", "ipConfig": {"mode": "dhcp"}}])),
    ("network-name-unique", "spec.networks[1]", vmi(networks=[NAD, NAD]), vmi(networks=[NAD, {**NAD, "name": "m"}])),
    *[("network-nad-with-clone", "spec.networks", vmi(networks=[bad]), good) for bad, good in (
        ({"name": N}, vmi(networks=[NAD])), ({**NAD, "vlanId": 5}, plain(networks=[{**NAD, "vlanId": 5}])),
        ({**NAD, "bridgeName": "br0"}, plain(networks=[{"name": N, "bridgeName": "br0"}])),
        ({**NAD, "physicalInterface": "eth0"}, plain(networks=[{**NAD, "physicalInterface": "eth0"}])))],
    ("network-static-with-clone", "spec.networks",
     vmi(networks=[{**NAD, "ipConfig": {"mode": "static", "address": "10.0.0.2/24"}}]),
     vmi(networks=[{**NAD, "ipConfig": {"mode": "dhcp"}}])),
    *[("network-static-with-clone", "spec.networks", vmi(networks=[{**NAD, "ipConfig": {"mode": "dhcp", **bad}}]),
       good) for bad, good in (
        ({"address": "10.0.0.2/24"}, vmi(networks=[{**NAD, "ipConfig": {"mode": "dhcp"}}])),
        ({"gateway": "10.0.0.1"}, plain(networks=[{**NAD, "ipConfig": {"mode": "dhcp", "gateway": "10.0.0.1"}}])),
        ({"dnsServers": ["10.0.0.1"]}, vmi(networks=[{**NAD, "ipConfig": {"mode": "dhcp", "dnsServers": []}}])))],
    ("target-without-clone", "spec.target", plain(target={}), vmi(target={})),
    *[("target-label-reserved", "spec.target.labels", target(labels={bad: "a"}), target(labels={good: "a"}))
      for bad, good in (("vm.novasphere.dev/wukong-uid", "novasphere.dev/team"), ("kubevirt.io", "kubevirt"),
                        ("kubevirt.io/domain", "notkubevirt.io/domain"), ("vm.kubevirt.io/name", "vm.kubevirt.io/os"),
                        ("app.kubernetes.io/instance", "app.kubernetes.io/name"), ("k8s.io/a", "a/b.kubevirt.io"),
                        ("x.toolkit.fluxcd.io/name", "toolkit.example/name"), ("meta.helm.sh/a", "helm/a"),
                        ("velero.io/restore-name", "velero.io/exclude-from-backup"))],
    ("target-map-unique", "spec.target.network.map[1]", network({"map": MAPPED["map"] * 2}), network(MAPPED)),
    ("target-map-with-networks", "spec.target.network.map", network(MAPPED, networks=[NAD]), network(MAPPED, networks=[])),
    ("target-links-sriov", "spec.target.network.links", network({"links": "Down"}, networks=[{**NAD, "type": "sriov"}]),
     network({"links": "Down"}, networks=[{**NAD, "type": "bridge"}])),
    ("target-references-unique", "spec.target.references[1]",
     target(references=[{"kind": "Secret", "from": "a", "to": to} for to in "bc"]),
     target(references=[{"kind": kind, "from": "a", "to": "b"} for kind in ("Secret", "ConfigMap")])),
    ("target-reference-namespace", "spec.target.references[0].to",
     target(references=[{"kind": "ConfigMap", "from": "a", "to": "n/b"}]),
     target(references=[{"kind": "NetworkAttachmentDefinition", "from": "n/a", "to": "n/b"}])),
    *[("target-overrides-protected", f"spec.target.overrides.{path}", over(path, value), over(near, value))
      for path, value, near in (
          ("running", True, "run"), ("runStrategy", "Always", "strategy"), ("instancetype", {"name": "a"}, "type"),
          ("preference", {"name": "a"}, "prefers"), ("dataVolumeTemplates", [], "templates"),
          ("template.metadata", {"labels": {"a": "b"}}, "template.meta"),
          *[(f"template.spec.{name}", value, f"template.spec.{name}X") for name, value in (
              ("hostname", "a"), ("volumes", []), ("volumes", [{"name": "a"}]), ("utilityVolumes", []), ("networks", []),
              ("domain.firmware.uuid", "a"), ("domain.firmware.serial", "a"), ("domain.devices.disks", []),
              ("domain.devices.filesystems", []), ("domain.devices.interfaces", []),
              ("domain.devices.autoattachPodInterface", False))])],
    ("target-cpu-shape-alone", "spec.target.cpuShape", target(cpuShape="Cores"), merge(target(cpuShape="Cores"), {"cpu": 8})),
    ("guest-without-clone", "spec.guest", plain(guest={}), vmi(guest={})),
    ("guest-replace", "spec.guest.cloudInit", guest(cloudInit="Replace"), guest(cloudInit="Replace", userData="a")),
    ("guest-replace", "spec.guest.cloudInit", guest(networkDataSecret="a"),
     guest(cloudInit="Replace", userDataSecret="a", networkDataSecret="a")),
    ("guest-user-data-one", "spec.guest.userData", guest(cloudInit="Replace", userData="a", userDataSecret="s"),
     guest(cloudInit="Replace", userData="a")),
    ("guest-network-data-one", "spec.guest.networkData",
     guest(cloudInit="Replace", userData="a", networkData="b", networkDataSecret="s"),
     guest(cloudInit="Replace", userData="a", networkData="b")),
    ("guest-reset", "spec.guest.resetMachineId", guest(cloudInit="Drop", resetMachineId=True),
     guest(cloudInit="Drop", resetMachineId=False)),
    ("guest-reset", "spec.guest.resetSSHHostKeys", guest(cloudInit="Replace", userDataSecret="a", resetSSHHostKeys=True),
     guest(cloudInit="Replace", userData="#cloud-config", resetSSHHostKeys=True)),
    ("guest-ssh", "spec.guest.cloudInit", merge(guest(cloudInit="Drop"), {"sshKeySecret": "k"}),
     merge(guest(cloudInit="Rerun"), {"sshKeySecret": "k"})),
    ("guest-hostname-length", "spec.guest.hostname", merge(guest(hostname="a" * 62), {"replicas": 2}),
     merge(guest(hostname="a" * 61), {"replicas": 10})),
    ("expires-without-clone", "spec.expires", plain(expires=EXPIRES), vmi(expires=EXPIRES)),
    ("expires-one", "spec.expires", vmi(expires={"action": "Stop"}), vmi(expires=EXPIRES)),
    ("expires-one", "spec.expires", vmi(expires={**EXPIRES, "at": "2030-01-01T00:00:00Z"}),
     vmi(expires={"at": "2030-01-01T00:00:00+08:00", "action": "Delete"})),
    *[("expires-after", "spec.expires.after", vmi(expires={**EXPIRES, "after": bad}), vmi(expires={**EXPIRES, "after": good}))
      for bad, good in (("59s", "60s"), ("8785h", "8784h"), ("3d", "72h"))],
    ("start-strategy-contradiction", "spec.startStrategy.runStrategy",
     vmi(startStrategy={"autoStart": False, "runStrategy": "Once"}),
     vmi(startStrategy={"autoStart": False, "runStrategy": "Inherit"})),
    ("target-annotation-reserved", "spec.target.annotations", target(annotations={"hooks.kubevirt.io/hookSidecars": "a"}),
     target(annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "é" * 4096})),
    ("ha-restart-with-clone", "spec.highAvailability.restartPolicy",
     vmi(highAvailability={"restartPolicy": "Always"}), plain(highAvailability={"restartPolicy": "Always"})),
    ("ha-restart-with-clone", "spec.highAvailability.restartPolicy",
     vmi(highAvailability={"restartPolicy": "Never"}), vmi(highAvailability={"antiAffinity": True})),
]

# (rule, field, spec, longest name that is admitted). VM names end in "-vm" or "-vm-<i>", PVC names in
# "-<disk>" or "-vm-<i>-<disk>"; 63 characters in all.
NAMES = [
    ("name-length-vm", "metadata.name", vmi(), 60),
    ("name-length-vm", "metadata.name", vmi(replicas=2), 58),
    ("name-length-vm", "metadata.name", vmi(replicas=10), 58),
    ("name-length-vm", "metadata.name", vmi(replicas=11), 57),
    ("name-length-vm", "metadata.name", vmi(replicas=100), 57),
    ("name-length-disk", "spec.disks", disks({"name": "abcde"}), 57),
    ("name-length-disk", "spec.disks", disks({"name": "abcde"}, replicas=10), 52),
    ("name-length-disk", "spec.disks", disks({"name": "a"}, {"name": "abcde"}, replicas=11), 51),
    ("name-length-disk", "spec.disks", disks({"name": "d" * 62}), 0),
]

TAKEN = {"type": "SnapshotTaken", "status": "True", "reason": "Taken", "message": "",
         "lastTransitionTime": "2026-01-01T00:00:00Z"}
WINDOW = {"schedule": "0 22 * * *", "duration": "6h"}

# (rule or None when admitted, field, stored spec, stored status, change as a merge patch of the spec)
UPDATE = [
    ("clone-presence-immutable", "spec.cloneSource", PLAIN, None, VMI),
    ("clone-presence-immutable", "spec.cloneSource", vmi(cpu=1, memory="1Gi"), None, {"cloneSource": None}),
    (None, None, PLAIN, None, {"cpu": 1}),
    (None, None, PLAIN, None, {"disks": PLAIN["disks"] + [{"name": "b", "size": "1Gi", "storageClassName": "s"}]}),
    ("replicas-immutable", "spec.replicas", vmi(replicas=2), None, {"replicas": 3}),
    ("replicas-immutable", "spec.replicas", VMI, None, {"replicas": 2}),
    ("replicas-immutable", "spec.replicas", vmi(replicas=2), None, {"replicas": None}),
    (None, None, VMI, None, {"replicas": None}),
    ("source-immutable", "spec.cloneSource", VMI, None, source(vmiName="other")),
    ("source-immutable", "spec.cloneSource", source(VM, cloneType="running"), None,
     {"cloneSource": {"type": "vmi", "vmName": None, "vmiName": "src"}}),
    ("source-immutable", "spec.cloneSource", VMI, None, source(namespace="other")),
    ("source-immutable", "spec.cloneSource", source(namespace="other"), None, {"cloneSource": {"namespace": None}}),
    ("source-immutable", "spec.cloneSource", source(namespace="other"), None, source(namespace="third")),
    ("clone-type-immutable", "spec.cloneSource.cloneType", VMI, None, source(cloneType="linked")),
    ("clone-type-immutable", "spec.cloneSource.cloneType", VM, None, source(VM, cloneType="running")),
    (None, None, VMI, None, source(cloneType="running")),
    (None, None, source(VM, cloneType="full"), None, {"cloneSource": {"cloneType": None}}),
    *[("method-immutable", "spec.cloneSource", old, None, change) for old, change in (
        (VMI, source(quiesce="Never")), (VMI, source(snapshotMethod="VolumeSnapshot")),
        (VMI, source(volumeSnapshotClassName="c")),
        (source(volumeSnapshotClassName="c"), {"cloneSource": {"volumeSnapshotClassName": None}}),
        (VMI, source(allowUnsnapshottable=True)), (VMI, source(allowSecrets=["a"])),
        (source(allowSecrets=["a"]), source(allowSecrets=["a", "b"])),
        (source(allowSecrets=["a"]), {"cloneSource": {"allowSecrets": None}}),
        (source(VM, cloneType="running"), source(VM, stopSourceAfter=True)))],
    (None, None, VMI, None, source(quiesce="IfAvailable", snapshotMethod="Auto", stopSourceAfter=False,
                                   allowUnsnapshottable=False)),
    *[("disks-immutable", "spec.disks", disks({"name": "a", "size": "10Gi"}), None, {"disks": change}) for change in (
        None, [], [{"name": "a", "size": "11Gi"}], [{"name": "a"}], [{"name": "b", "size": "10Gi"}],
        [{"name": "a", "size": "10Gi"}, {"name": "b"}], [{"name": "a", "size": "10Gi", "boot": True}],
        [{"name": "a", "size": "10Gi", "storageClassName": "s"}], [{"name": "a", "size": "10G"}],
        [{"name": "a", "size": "10Gi", "sourceDisk": "b"}])],
    *[("target-immutable", "spec.target", old, None, {"target": change}) for old, change in (
        (VMI, {}), (VMI, {"labels": {"a": "b"}}), (target(labels={"a": "b"}), None),
        (target(labels={"a": "b"}), {"labels": {"a": "c"}}), (target(keepAnnotations=["a"]), {"keepAnnotations": ["a", "b"]}))],
    (None, None, vmi(expires=EXPIRES), None, {"expires": {"after": "100h"}}),
    (None, None, vmi(expires=EXPIRES), None, {"expires": None}),
    ("guest-immutable", "spec.guest", guest(hostname="a"), None, {"guest": {"hostname": "b"}}),
    ("guest-immutable", "spec.guest", VMI, None, {"guest": {}}),
    (None, None, target(labels={"a": "b"}), None, {"target": {"labels": {"a": "b"}}, "reclaimPolicy": "Retain"}),
    ("disks-immutable", "spec.disks", VMI, None, {"disks": [{"name": "a"}]}),
    *[(None, None, disks({"name": "a", "size": "10Gi"}, {"name": "b"}), None, {"disks": change}) for change in (
        [{"name": "a", "size": "10240Mi"}, {"name": "b"}], [{"name": "b"}, {"name": "a", "size": 10737418240}],
        [{"name": "a", "size": "10Gi", "boot": False}, {"name": "b"}])],
    (None, None, VMI, None, {"disks": []}),
    *[(None, None, source(window=WINDOW, gates=["a/B"]), None, source(**{name: value})) for name, value in (
        ("deadlineSeconds", 60), ("retryLimit", 0), ("notBefore", "2026-01-01T00:00:00Z"), ("window", None),
        ("gates", ["a/C"]))],
    *[("timing-immutable", "spec.cloneSource", source(window=WINDOW, gates=["a/B"]), {"conditions": [TAKEN]},
       {"cloneSource": {name: value}}) for name, value in (
        ("deadlineSeconds", 60), ("retryLimit", 0), ("window", None), ("window", {"duration": "5h"}),
        ("notBefore", "2026-01-01T00:00:00Z"), ("gates", None), ("gates", ["a/C"]))],
    (None, None, source(window=WINDOW), {"conditions": [TAKEN]}, {"reclaimPolicy": "Retain"}),
    (None, None, VMI, {"conditions": [{**TAKEN, "status": "False"}]}, source(deadlineSeconds=60)),
    (None, None, VMI, {"conditions": [TAKEN], "cloneStatus": {"phase": "Failed"}}, source(deadlineSeconds=60)),
    (None, None, VMI, None, {"reclaimPolicy": "Retain", "startStrategy": {"autoStart": False}}),
]

# What types, enums, patterns and bounds refuse: (field, text, spec).
REFUSED = [
    ("spec.cpu", "greater than or equal to 1", vmi(cpu=0)),
    ("spec.cpu", "less than or equal to 64", vmi(cpu=65)),
    ("spec.cpu", "integer", vmi(cpu="2")),
    ("spec.replicas", "greater than or equal to 1", vmi(replicas=0)),
    ("spec.replicas", "less than or equal to 100", vmi(replicas=101)),
    ("spec.cloneSource.type", "Required value", {"cloneSource": {"vmName": "a"}}),
    ("spec.cloneSource.type", 'supported values: "vm", "vmi"', source(type="pod")),
    ("spec.cloneSource.cloneType", "Unsupported value", source(cloneType="copy")),
    ("spec.cloneSource.quiesce", "Unsupported value", source(quiesce="Maybe")),
    ("spec.cloneSource.snapshotMethod", "Unsupported value", source(snapshotMethod="Copy")),
    ("spec.cloneSource.vmiName", "should match", source(vmiName="A_b")),
    ("spec.cloneSource.vmiName", "should match", source(vmiName="")),
    ("spec.cloneSource.vmiName", "may not be more than 253", source(vmiName="a" * 254)),
    ("spec.cloneSource.namespace", "should match", source(namespace="a.b")),
    ("spec.cloneSource.deadlineSeconds", "greater than or equal to 1", source(deadlineSeconds=0)),
    ("spec.cloneSource.deadlineSeconds", "less than or equal to 604800", source(deadlineSeconds=604801)),
    ("spec.cloneSource.retryLimit", "greater than or equal to 0", source(retryLimit=-1)),
    ("spec.cloneSource.notBefore", "date-time", source(notBefore="tomorrow")),
    ("spec.cloneSource.window.duration", "Required value", source(window={"schedule": "* * * * *"})),
    ("spec.cloneSource.window.schedule", "Required value", source(window={"duration": "1h"})),
    ("spec.cloneSource.gates[0]", "should match", source(gates=["no spaces"])),
    ("spec.cloneSource.gates[1]", "Duplicate value", source(gates=["a/B", "a/B"])),
    ("spec.cloneSource.allowSecrets[0]", "should match", source(allowSecrets=["A"])),
    ("spec.cloneSource.allowSecrets", "must have at most 32 items", source(allowSecrets=["a"] * 33)),
    ("spec.cloneSource.gates", "must have at most 8 items", source(gates=[f"a/B{i}" for i in range(9)])),
    ("spec.disks[0].name", "should match", disks({"name": "Root"})),
    ("spec.disks[0].name", "Required value", disks({"size": "1Gi"})),
    ("spec.disks[0].name", "may not be more than 63", disks({"name": "a" * 64})),
    ("spec.disks[0].size", "may not be more than 32", disks({"name": "a", "size": "1" * 33})),
    ("spec.disks[0].storageClassName", "should match", disks({"name": "a", "storageClassName": "S_C"})),
    ("spec.disks", "must have at most 64 items", disks(*[{"name": f"d{i}"} for i in range(65)])),
    ("spec.reclaimPolicy", "Unsupported value", vmi(reclaimPolicy="Keep")),
    ("spec.startStrategy.runStrategy", "Unsupported value", vmi(startStrategy={"runStrategy": "Halted"})),
    ("spec.networks[0].vlanId", "less than or equal to 4094", plain(networks=[{"name": N, "vlanId": 4095}])),
    ("spec.target.overrides", "must be of type object", target(overrides=[])),
    ("spec.target.references", "must have at most 32",
     target(references=[{"kind": "Secret", "from": f"n{i}", "to": "a"} for i in range(33)])),
    ("spec.target.references[0].kind", "Unsupported value", target(references=[{"kind": "secret", "from": "a", "to": "b"}])),
    ("spec.target.references[0].to", "Required value", target(references=[{"kind": "Secret", "from": "a"}])),
    ("spec.target.references[1]", "Duplicate value",
     target(references=[{"kind": "Secret", "from": "a", "to": to} for to in "bc"])),
    ("spec.target.overrides.template.spec", "must be of type object", over("template.spec", "a")),
    ("spec.target.labels", "must have at most 32", target(labels={f"k{i}": "v" for i in range(33)})),
    ("spec.target.labels.a", "may not be more than 63", target(labels={"a": "b" * 64})),
    ("spec.target.labels.a", "should match", target(labels={"a": "b c"})),
    ("spec.target.annotations", "must have at most 32", target(annotations={f"k{i}": "v" for i in range(33)})),
    ("spec.target.annotations.a", "may not be more than 4096", target(annotations={"a": "é" * 4097})),
    ("spec.target.network.links", "Unsupported value", network({"links": "down"})),
    ("spec.target.network.map", "must have at most 16", network({"map": [{"from": f"n{i}", "to": "a"} for i in range(17)]})),
    ("spec.target.network.map[0].to", "Required value", network({"map": [{"from": "a"}]})),
    ("spec.target.network.map[1]", "Duplicate value", network({"map": [{"from": "a", "to": "b"}, {"from": "a", "to": "c"}]})),
    ("spec.target.network.map[0].from", "may not be more than 317", network({"map": [{"from": "é" * 318, "to": "a"}]})),
    ("spec.target.cpuShape", "Unsupported value", merge(target(cpuShape="Threads"), {"cpu": 2})),
    ("spec.guest.hostname", "should match", guest(hostname="A.b")),
    ("spec.guest.userData", "may not be more than 2048", guest(cloudInit="Replace", userData="a" * 2049)),
    ("spec.guest.userDataSecret", "should match", guest(cloudInit="Replace", userDataSecret="A")),
    ("spec.expires.action", "Required value", vmi(expires={"after": "1h"})),
    ("spec.expires.action", "Unsupported value", vmi(expires={"after": "1h", "action": "Keep"})),
    ("spec.expires.at", "date-time", vmi(expires={"at": "tomorrow", "action": "Stop"})),
    ("spec.target.keepAnnotations", "must have at most 32 items", target(keepAnnotations=["a"] * 33)),
    ("spec.target.keepAnnotations[0]", "should match", target(keepAnnotations=["a b"])),
    ("spec.target.keepAnnotations[0]", "should be at least 1", target(keepAnnotations=[""])),
    ("spec", "Required value", None),
]

SUBJECT = {"kind": "User", "name": "a"}
POLICIES = [
    ("policy-subject-namespace", "spec.match.subjects[0].namespace",
     {"match": {"subjects": [{"kind": "ServiceAccount", "name": "a"}]}},
     {"match": {"subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "b"}, SUBJECT]}}),
    ("policy-subject-namespace", "spec.exclude.subjects[0].namespace",
     {"exclude": {"subjects": [{**SUBJECT, "namespace": "b"}]}}, {"exclude": {"subjects": [SUBJECT]}}),
    *[("policy-selector-values", f"spec.{scope}.{side}.{which}.matchExpressions[0].values",
       {scope: {side: {which: {"matchExpressions": [{"key": "a", "operator": "In"}]}}}},
       {scope: {side: {which: {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}}}})
      for scope in ("match", "exclude") for side, which in (
          ("source", "namespaceSelector"), ("source", "virtualMachineSelector"), ("target", "namespaceSelector"))],
    ("policy-selector-values", "spec.match.target.namespaceSelector.matchExpressions[0].values",
     {"match": {"target": {"namespaceSelector": {"matchExpressions": [
         {"key": "a", "operator": "Exists", "values": ["b"]}]}}}},
     {"match": {"target": {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}}}),
    ("policy-quantity", "spec.rules.maxDiskSize", {"rules": {"maxDiskSize": "much"}},
     {"rules": {"maxDiskSize": "200Gi"}}),
    ("policy-quantity", "spec.limits.storagePerTargetNamespace", {"limits": {"storagePerTargetNamespace": 0}},
     {"limits": {"storagePerTargetNamespace": "1Ti"}}),
    ("policy-max-lifetime", "spec.rules.maxLifetime", {"rules": {"maxLifetime": "3d"}}, {"rules": {"maxLifetime": "72h"}}),
    ("policy-window-duration", "spec.windows[0].duration", {"windows": [{"schedule": "0 0 * * *", "duration": "6"}]},
     {"windows": [{"schedule": "0 0 * * *", "duration": "6h", "timeZone": "Asia/Shanghai"}]}),
    ("policy-actions", "spec.validationActions", {"validationActions": ["Deny", "Warn"]},
     {"validationActions": ["Warn", "Audit"]}),
]


class CrdCase(unittest.TestCase):
    def create(self, obj, dry_run=True):
        return BED.admin().create(obj, dry_run=dry_run)

    def refusal(self, call):
        """[(field, message)] of a 422; fails when the call succeeds."""
        try:
            done = call()
        except ApiError as error:
            self.assertEqual((error.code, error.reason), (422, "Invalid"), error)
            return [(c.get("field"), c["message"]) for c in error.causes()]
        self.fail(f"admitted: {json.dumps(done.get('spec'))}")

    def assert_one(self, causes, field, text):
        self.assertEqual(len(causes), 1, causes)
        self.assertEqual(causes[0][0], field)
        self.assertIn(text, causes[0][1])


class Wukong(CrdCase):
    def test_each_rule_refuses_and_admits(self):
        texts = rules_of("wukong") | SCHEMA
        seen = set()
        for rule, field, bad, good in CREATE:
            with self.subTest(rule=rule, bad=bad):
                self.assert_one(self.refusal(lambda: self.create(wukong(bad))), field, texts[rule])
            with self.subTest(rule=rule, good=good):
                self.create(wukong(good))
            seen.add(rule)
        for rule, field, spec, longest in NAMES:
            with self.subTest(rule=rule, longest=longest):
                causes = self.refusal(lambda: self.create(wukong(spec, "n" * (longest + 1))))
                self.assert_one(causes, field, texts[rule])
                if longest:
                    self.create(wukong(spec, "n" * longest))
            seen.add(rule)
        seen |= {row[0] for row in UPDATE} - {None}
        # Two disks of one name also are two claims on one disk of the source: two causes.
        causes = self.refusal(lambda: self.create(wukong(disks({"name": "a"}, {"name": "a"}))))
        self.assertEqual({field for field, _ in causes}, {"spec.disks[1]", "spec.disks"})
        seen.add("disk-name-unique")
        self.assertEqual(set(texts), seen, "each rule needs rows, each row a rule")

    def test_schema_refuses(self):
        for field, text, spec in REFUSED:
            with self.subTest(field=field, spec=spec):
                obj = wukong(spec or {})
                if spec is None:
                    del obj["spec"]
                causes = self.refusal(lambda: self.create(obj))
                self.assertTrue([m for f, m in causes if f == field and text in m], causes)

    def test_updates(self):
        texts = rules_of("wukong")
        for rule, field, old, status, change in UPDATE:
            with self.subTest(rule=rule, old=old, change=change):
                stored = self.create(wukong(old), dry_run=False)
                name = stored["metadata"]["name"]
                if status:
                    BED.admin().patch(API, "Wukong", NAMESPACE, name, {"status": status}, "status")
                path = BED.admin().path(API, "Wukong", NAMESPACE, name) + "?dryRun=All"

                def call():
                    return BED.admin().request("PATCH", path, {"spec": change}, MERGE_PATCH)
                if rule is None:
                    call()
                else:
                    self.assert_one(self.refusal(call), field, texts[rule])

    def test_all_mistakes_at_once(self):
        """CEL, patterns and bounds are judged together, as far as the API server allows."""
        spec = {"cloneSource": {"type": "vmi", "vmName": "A B", "cloneType": "full", "stopSourceAfter": True},
                "memory": "lots", "cpu": 0, "disks": [{"name": "a", "boot": True}, {"name": "b", "boot": True}]}
        fields = {f for f, _ in self.refusal(lambda: self.create(wukong(spec)))}
        self.assertEqual(fields, {"spec.cloneSource.vmiName", "spec.cloneSource.vmName", "spec.cpu",
                                  "spec.cloneSource.cloneType", "spec.cloneSource.stopSourceAfter",
                                  "spec.memory", "spec.disks"})

    def test_kubectl_prints_the_field_and_the_remedy(self):
        kubectl = beds.which("kubectl", "kubectl")
        done = subprocess.run(
            [kubectl, "--kubeconfig", BED.kubeconfigs / "admin.kubeconfig", "apply", "-f", "-"], text=True,
            input=json.dumps(wukong(source(cloneType="full", vmName="b"), "x")), timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stderr.startswith('The Wukong "x" is invalid: \n* spec.cloneSource.'), done.stderr)
        self.assertEqual(done.stderr.count("\n* "), 2, done.stderr)

    def test_defaults(self):
        stored = self.create(wukong(VMI))
        self.assertEqual(stored["spec"], {
            "cloneSource": {"type": "vmi", "vmiName": "src", "quiesce": "IfAvailable", "snapshotMethod": "Auto",
                            "stopSourceAfter": False, "deadlineSeconds": 3600, "retryLimit": 5,
                            "allowUnsnapshottable": False},
            "replicas": 1, "reclaimPolicy": "Delete", "startStrategy": {"autoStart": True}})
        self.assertEqual(stored["status"], {"observedGeneration": -1})

    def test_the_creators_objects_are_admitted(self):
        """Every field of the VM creator that shares this kind, in one object."""
        self.create(wukong({
            "cpu": 64, "memory": "1.5Gi", "osImage": "ubuntu:22.04", "sshKeySecret": "keys",
            "cloudInitUser": {"name": "u", "password": "p", "passwordHash": "h", "sudo": "ALL", "shell": "/bin/sh",
                              "groups": ["g"], "lockPasswd": True},
            "networks": [{"name": "a", "type": kind, "nadName": "n", "vlanId": 4094, "bridgeName": "br",
                          "physicalInterface": "eth0", "primary": True,
                          "ipConfig": {"mode": "static", "address": "10.0.0.2/24", "gateway": "10.0.0.1",
                                       "dnsServers": ["8.8.8.8"]}} for kind in ("ovs",)],
            "disks": [{"name": "root", "size": "80Gi", "storageClassName": "longhorn", "boot": True, "image": "i"}],
            "highAvailability": {"restartPolicy": "OnFailure", "antiAffinity": True, "nodeSelector": {"a": "b"},
                                 "tolerations": [{"key": "k", "operator": "Equal", "value": "v",
                                                  "effect": "NoExecute", "tolerationSeconds": 5}]},
            "startStrategy": {"runStrategy": "RerunOnFailure", "autoStart": False},
            "gpus": [{"name": "g", "deviceName": "nvidia.com/x"}], "restoreFromSnapshot": "s"}))

    def test_unknown_fields_are_told(self):
        path = BED.admin().path(API, "Wukong", NAMESPACE) + "?dryRun=All&fieldValidation=Strict"
        with self.assertRaises(ApiError) as caught:
            BED.admin().request("POST", path, wukong(vmi(nosuch=1)))
        self.assertIn('unknown field "spec.nosuch"', str(caught.exception))

    def test_columns(self):
        self.create(wukong(source(cloneType="running"), "columns"), dry_run=False)
        BED.admin().patch(API, "Wukong", NAMESPACE, "columns", {"status": {
            "vmName": "columns-vm", "conditions": [{**TAKEN, "type": "Ready", "message": "m"}],
            "cloneStatus": {"phase": "Cloning", "progress": "45%", "consistency": "CrashConsistent",
                            "waitingUntil": "2027-01-01T00:00:00Z", "expiresTime": "2027-01-04T00:00:00Z"}}}, "status")
        row = ["columns", "src", "running", "Cloning", "45%", "columns-vm", "2027-01-01T00:00:00Z", "2027-01-04T00:00:00Z"]
        path = BED.admin().path(API, "Wukong", NAMESPACE, "columns")
        answer = BED.admin().raw("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        table = json.loads(answer[1])
        self.assertEqual([c["name"] for c in table["columnDefinitions"]],
                         ["Name", "Source", "Type", "Phase", "Progress", "VM", "Until", "Expires", "Age", "Consistency", "Message"])
        self.assertEqual([c["name"] for c in table["columnDefinitions"] if c["priority"]],
                         ["Consistency", "Message"])
        cells = table["rows"][0]["cells"]
        self.assertEqual(cells[:8] + cells[9:], row + ["CrashConsistent", "m"])

    def test_short_name_and_explain(self):
        kubectl = [beds.which("kubectl", "kubectl"), "--kubeconfig", BED.kubeconfigs / "admin.kubeconfig"]
        for resource in ("wk", "wukong", "clonepol"):
            subprocess.run([*kubectl, "get", resource, "-n", NAMESPACE], check=True, timeout=60,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        text = subprocess.run([*kubectl, "explain", "wk.spec.cloneSource.quiesce"], check=True, timeout=60,
                              stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("frozen through its agent", text)


class Status(CrdCase):
    def test_the_workers_status_is_taken(self):
        """All that a worker persists, applied as it applies it. A field that the schema does not know
        or a value out of its pattern would lose the whole status."""
        time = "2026-11-23T20:00:00.123Z"
        stored = self.create(wukong(VMI), dry_run=False)
        status = {
            "observedGeneration": 1, "phase": "Creating", "vmName": "x-vm",
            "conditions": [{**TAKEN, "observedGeneration": 1}],
            "cloneStatus": {
                "phase": "Cloning", "progress": "100%", "step": "freeze", "attempts": 1, "attemptTime": time,
                "startTime": time, "completionTime": time, "waitingUntil": time, "expiresTime": time,
                "expired": {"time": time, "action": "Stop", "doneTime": time}, "sourceVMI": "src",
                "sourceUID": "u",
                "sourceStarted": {"time": time, "vmiUID": "u"}, "snapshotName": "s", "snapshotNames": ["s", "t"],
                "snapshotTime": time, "snapshotSize": "1073741824", "cutTime": time,
                "consistency": "FilesystemConsistent", "freezeMilliseconds": 180,
                "freeze": {"vmiUID": "u", "requestedTime": time, "deadlineTime": time, "acknowledgedTime": time,
                           "thawedTime": time},
                "sharedUntil": time, "retryToken": "1",
                "disks": [{"name": "root", "sourcePVC": "p", "size": "1Gi", "phase": "Bound", "progress": "0%",
                           "storageClass": "fast", "method": "VolumeSnapshot"}],
                "targets": [{"vmName": "x-vm", "phase": "Creating",
                             "disks": [{"name": "root", "pvc": "x-root", "phase": "Bound"}]}],
                "lastError": {"reason": "R", "message": "m", "disk": "root", "attempt": 1, "terminal": False,
                              "time": time}}}
        meta = stored["metadata"]
        path = BED.admin().path(API, "Wukong", NAMESPACE, meta["name"], "status")
        body = {"apiVersion": API, "kind": "Wukong", "status": status,
                "metadata": {"name": meta["name"], "namespace": NAMESPACE, "uid": meta["uid"]}}
        done = BED.admin().request("PATCH", path + "?fieldManager=worker&force=true", body,
                                   "application/apply-patch+yaml")
        self.assertEqual(done["status"], status)

    def test_nonsense_is_refused(self):
        stored = self.create(wukong(VMI), dry_run=False)
        name = stored["metadata"]["name"]
        for status in ({"progress": "101%"}, {"progress": "half"}, {"progress": "007%"}, {"phase": "Done"},
                       {"consistency": "Good"}, {"attempts": -1}, {"cutTime": "now"}):
            with self.subTest(status=status):
                self.refusal(lambda: BED.admin().patch(API, "Wukong", NAMESPACE, name,
                                                       {"status": {"cloneStatus": status}}, "status"))


class Policy(CrdCase):
    def policy(self, spec):
        return {"apiVersion": API, "kind": "ClonePolicy", "metadata": {"name": f"p{next(NUMBERS)}"}, "spec": spec}

    def test_each_rule_refuses_and_admits(self):
        texts = rules_of("clonepolicy")
        for rule, field, bad, good in POLICIES:
            with self.subTest(rule=rule, bad=bad):
                self.assert_one(self.refusal(lambda: self.create(self.policy(bad))), field, texts[rule])
            with self.subTest(rule=rule, good=good):
                self.create(self.policy(good))
        self.assertEqual(set(texts), {row[0] for row in POLICIES})

    def test_defaults(self):
        stored = self.create(self.policy({}))
        self.assertEqual(stored["spec"], {"outsideWindow": "Wait", "validationActions": ["Deny"]})
        self.assertEqual(stored["status"], {"observedGeneration": -1})


class Ratchet(CrdCase):
    """An object that was stored before a rule existed can still be labelled, report a status, change
    elsewhere, lose its finalizer and go; a rule that an edit does touch bites."""

    def test_stored_mistakes_block_nothing_else(self):
        bad = disks({"name": "a", "size": "1m", "boot": True}, {"name": "b", "boot": True})
        bad["cloneSource"].update(stopSourceAfter=True, gates=["Ready"],
                                  window={"schedule": "x", "duration": "1s"})
        bad["osImage"] = "x"
        name = "n" * 70
        obj = wukong(bad, name)
        obj["metadata"]["finalizers"] = ["vm.novasphere.dev/clone"]
        rule = re.compile(r"^( *)x-kubernetes-validations:\n(?:\1 .*\n|\1- .*\n|\1#.*\n|\n)*", re.M)
        apply_crds(lambda text: rule.sub("", text))
        try:
            end = 100
            while True:  # The handler of the old schema may serve for a moment longer.
                try:
                    self.create(obj, dry_run=False)
                    break
                except ApiError:
                    end -= 1
                    if not end:
                        raise
        finally:
            apply_crds()
        patch = BED.admin().patch
        self.addCleanup(lambda: BED.admin().delete(API, "Wukong", NAMESPACE, name))
        # The rules are back when a new object is refused.
        for _ in range(200):
            try:
                self.create(wukong(bad, "other"))
            except ApiError:
                break
        else:
            self.fail("the rules did not come back")
        patch(API, "Wukong", NAMESPACE, name, {"metadata": {"labels": {"a": "b"}}})
        patch(API, "Wukong", NAMESPACE, name, {"status": {"phase": "Pending"}}, "status")
        self.refusal(lambda: patch(API, "Wukong", NAMESPACE, name,
                                   {"spec": {"cloneSource": {"window": {"duration": "2s"}}}}))
        BED.admin().delete(API, "Wukong", NAMESPACE, name)
        patch(API, "Wukong", NAMESPACE, name, {"metadata": {"finalizers": None}})
        self.assertIsNone(BED.admin().find(API, "Wukong", NAMESPACE, name))


if __name__ == "__main__":
    unittest.main()
