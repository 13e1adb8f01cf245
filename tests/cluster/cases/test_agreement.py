#!/usr/bin/env python3
"""Four judges of one spec: the CRD on a real API server, the webhook, `kubectl wukong lint`, the worker.

A generator puts odd values into every field of spec, one field or two at a time, and leaves the rest
good. Each object goes to the API server as a dry run without our webhook registered, to the running
webhook as an AdmissionReview over TLS, to lint as a file, and to the worker's library and builders
(tests/agreement/worker.c). Proven:

    webhook, lint and the worker's library give the same errors, field for field and word for word;
    what the CRD refuses (type, bound, pattern, CEL) they refuse;
    what they admit the worker does not refuse for the spec alone.

That the generator reaches the rules is proven too: each CEL rule of creation must have struck. None
of the sources exists, so nothing but the spec decides.

usage: test_agreement.py [unittest arguments]      runs on a bed of its own (etcd and kube-apiserver)

WUKONG_AGREEMENT_OBJECTS and WUKONG_AGREEMENT_SEED: how many objects, and which.
"""

import copy
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from bedlib import bed as beds  # noqa: E402
from bedlib import harness, install  # noqa: E402
import test_crd  # noqa: E402

API = "vm.novasphere.dev/v1alpha1"
NAMESPACE = "agreement"
OBJECTS = int(os.environ.get("WUKONG_AGREEMENT_OBJECTS") or 3100)
SEED = int(os.environ.get("WUKONG_AGREEMENT_SEED") or 1)
THREADS = 4
BED = None


# ---- the generator ------------------------------------------------------------------------------

ABSENT = object()
# What any field may get; numbers past 2^53 are where decoders differ. No whole floats: Go's encoder,
# through which kubectl and API server put all that they send, writes 2.0 as 2.
ANY = [ABSENT, None, "", "a", "A b", 0, 1, -1, 1.5, 10**20, 9007199254740993, 9223372036854775808, True,
       False, [], {}, [None], ["a"], [{}], {"a": "b"}]
LONG = ["a" * 63, "a" * 64, "a" * 253, "a" * 254, "é" * 32, "a.b", "a-", ".a", "a/b", "a/b/c", " a", "a\n"]
QUANTITIES = ["4Gi", "1", "0", "-1Gi", "100m", "1500m", "5n", "1u", "1.5Gi", "1e9", "1E", "4GB", "+4Gi", "1e", ".5Gi",
              "5.", "1e-3", "0.0001", "9" * 32, "9" * 33, "1Ei", "999999Ei", "4096Mi", "0x10", "1_000", "１", 4096,
              4294967296, "1 Gi", "Gi", "--1", "1e400"]
IPS = ["10.0.0.1", "10.0.0.1/24", "10.0.0.1/33", "fd00::1", "fd00::1/64", "fd00::1/129", "10.0.0", "a", "1.2.3.4/",
       "10.0.0.01", "::ffff:1.2.3.4/96", "a" * 65]
TIMES = ["2026-01-02T22:00:00Z", "2026-01-02t22:00:00z", "2026-01-02T22:00:00.123456789+08:00", "2026-01-02",
         "2026-01-02 22:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T23:59:60Z",
         "2026-01-02T22:00:00", "2026-01-02T22:00:00+24:00", "0000-01-01T00:00:00Z", "2026-1-2T22:00:00Z",
         "2026-01-02T22:00:00,5Z", "2026-01-02T22:00:00+0800"]
SCHEDULES = ["0 22 * * *", "@daily", "@every 1h", "0 25 * * *", "0 0 30 2 *", "TZ=UTC 0 0 * * *", "* * * *",
             "0 0 0 * * *", "*/5 * * * *", "0 22 * * MON-FRI", "0 22 * * 7", "@reboot", "0 22 ? * *", "a" * 129]
DURATIONS = ["6h", "1h30m", "59s", "60s", "60000ms", "168h", "168h1ms", "1.5h", "6", "1d", "-6h", "0h", "1us", "6h ",
             "1.h", ".5h", "99999999999999999999h", "0.1h" * 9, "1h" * 8, "+6h", "1H"]
GATES = ["a/B", "Ready", "SnapshotTaken", "a/Ready", "no spaces", "A_b.c/d", "a//b", "a." * 30 + "b", "b" * 64,
         "a/" + "b" * 64, "a" * 254 + "/b", "-a"]
LABELS = [{"a": "b"}, {"a": ""}, {"a b": "c"}, {"a": "-"}, {"a/b": "c"}, {"a": 1}, {"a": None}, {"": "a"}, {"A/b": "c"},
          {"a": "b" * 64}, {f"k{i}": "v" for i in range(65)}]
# Keys that belong to somebody, and such as only look so.
MARKS = [{key: "a"} for key in (
    "vm.novasphere.dev/wukong-uid", "kubevirt.io", "kubevirt.io/vm", "x.kubevirt.io/a", "vm.kubevirt.io/os",
    "vm.kubevirt.io/name", "app.kubernetes.io/name", "app.kubernetes.io/instance", "k8s.io/a", "notk8s.io/a",
    "a/kubevirt.io", "a/b.kubevirt.io", "KubeVirt.io/a", "velero.io/backup-name", "velero.io/a", "cattle.io/a",
    "field.cattle.io/a", "kubevirt.io.evil.example/a", "a" * 64, "a" * 253 + "/" + "b" * 63, "kubevirt.io/", "/kubevirt.io",
    "é", "")]

def patch_at(path, value):
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


# Each protected place of a patch, its parents, and such as only look so.
PATCHES = [patch_at(path, value) for path in (
    "running", "runStrategy", "instancetype", "preference", "dataVolumeTemplates", "template", "template.metadata",
    "template.spec", "template.Spec.hostname", "updateVolumesStrategy", *[f"template.spec.{name}" for name in (
        "hostname", "volumes", "utilityVolumes", "networks", "subdomain", "nodeSelector", "domain", "domain.cpu", "é", "a b",
        "domain.firmware", "domain.firmware.uuid", "domain.firmware.serial", "domain.firmware.bootloader", "domain.devices",
        "domain.devices.disks", "domain.devices.filesystems", "domain.devices.interfaces", "domain.devices.rng",
        "domain.devices.autoattachPodInterface", "accessCredentials", "new.claimName", "new.dataVolume")])
    for value in (None, {"a": None}, [{"claimName": "a"}])] + [
    patch_at("template.spec.domain.devices.gpus", [{"name": "a", "claimName": "b"}]), patch_at(".".join("a" * 16), 1),
    patch_at(".".join("a" * 17), 1), {f"k{i}": i for i in range(300)}, {"a": "x" * 16376}, {"a": "x" * 16377},
    {"a": ["é" * 5000, "é" * 5000]}]

# (path, values besides ANY). "[]" stands for the first item of a list.
FIELDS = [
    ("cpu", [64, 65, "2", 4294967297]),
    ("memory", QUANTITIES),
    ("cloneSource", [{"type": "vm"}, {"type": "vmi"}, {"type": "vm", "vmName": "a", "vmiName": "b"}]),
    ("cloneSource.type", ["vm", "vmi", "VM", "pod"]),
    ("cloneSource.vmName", LONG),
    ("cloneSource.vmiName", LONG),
    ("cloneSource.namespace", LONG),
    ("cloneSource.cloneType", ["full", "linked", "running", "Full", "runing"]),
    ("cloneSource.quiesce", ["Required", "IfAvailable", "Never", "never"]),
    ("cloneSource.snapshotMethod", ["Auto", "VirtualMachineSnapshot", "VolumeSnapshot", "VolumeGroupSnapshot", "auto"]),
    ("cloneSource.volumeSnapshotClassName", LONG),
    ("cloneSource.volumeGroupSnapshotClassName", LONG),
    ("cloneSource.stopSourceAfter", ["true"]),
    ("cloneSource.deadlineSeconds", [3600, 604800, 604801]),
    ("cloneSource.retryLimit", [5, 100, 101]),
    ("cloneSource.window", [{"schedule": "@daily"}, {"duration": "1h"}]),
    ("cloneSource.window.schedule", SCHEDULES),
    ("cloneSource.window.duration", DURATIONS),
    ("cloneSource.window.timeZone", ["UTC", "Asia/Shanghai", "Asia/Shangai", "Local", "../etc/passwd", "a" * 65, "asia/shanghai"]),
    ("cloneSource.notBefore", TIMES),
    ("cloneSource.gates", [["a/B", "a/B"], [f"a/B{i}" for i in range(9)], ["a/B", None]]),
    ("cloneSource.gates[]", GATES),
    ("cloneSource.allowUnsnapshottable", []),
    ("cloneSource.allowSecrets", [["a", "a"], [f"s{i}" for i in range(32)], [f"s{i}" for i in range(33)], ["a", None]]),
    ("cloneSource.allowSecrets[]", LONG),
    ("disks", [[{"name": "a"}, {"name": "a"}], [{"name": "a"}, {"name": "b", "sourceDisk": "a"}],
               [{"name": "a", "sourceDisk": "b"}, {"name": "b", "sourceDisk": "a"}],
               [{"name": "a", "boot": True}, {"name": "b", "boot": True}],
               [{"name": f"d{i}"} for i in range(64)], [{"name": f"d{i}"} for i in range(65)],
               [{"name": "a", "size": "1Gi", "storageClassName": "s"}, {"name": "b"}]]),
    ("disks[]", [{"size": "1Gi"}, {"name": "d"}]),
    ("disks[].name", LONG),
    ("disks[].size", QUANTITIES),
    ("disks[].storageClassName", LONG),
    ("disks[].sourceDisk", LONG),
    ("disks[].boot", []),
    ("disks[].image", ["a" * 4096, "a" * 4097]),
    ("replicas", [2, 10, 11, 100, 101, "2"]),
    ("reclaimPolicy", ["Delete", "Retain", "Keep"]),
    ("startStrategy", [{"autoStart": False, "runStrategy": "Always"}, {"autoStart": False, "runStrategy": "Manual"}]),
    ("startStrategy.autoStart", []),
    ("startStrategy.runStrategy", ["Always", "RerunOnFailure", "Manual", "Halted", "Once", "Inherit"]),
    ("osImage", ["a" * 4096, "a" * 4097]),
    ("sshKeySecret", LONG),
    ("cloudInitUser", [{"name": "u"}]),
    ("cloudInitUser.name", ["a" * 256, "a" * 257]),
    ("cloudInitUser.password", ["a" * 1024, "a" * 1025]),
    ("cloudInitUser.passwordHash", ["a" * 1025]),
    ("cloudInitUser.sudo", ["a" * 1025]),
    ("cloudInitUser.shell", ["a" * 1025]),
    ("cloudInitUser.groups", [["g"] * 64, ["g"] * 65, ["g", "g"]]),
    ("cloudInitUser.groups[]", ["a" * 256, "a" * 257]),
    ("cloudInitUser.lockPasswd", []),
    ("networks", [[{"name": "n", "nadName": "a"}] * 2, [{"name": "default"}], [{"nadName": "a"}],
                  [{"name": f"n{i}", "nadName": "a"} for i in range(65)]]),
    ("networks[].name", LONG),
    ("networks[].type", ["bridge", "macvlan", "sriov", "ovs", "Bridge"]),
    ("networks[].nadName", LONG),
    ("networks[].vlanId", [4094, 4095]),
    ("networks[].bridgeName", ["br0", "a" * 254]),
    ("networks[].physicalInterface", ["eth0", "a" * 254]),
    ("networks[].primary", []),
    ("networks[].ipConfig", [{"mode": "static"}, {"mode": "dhcp"}, {"mode": "static", "address": "10.0.0.2/24"}]),
    ("networks[].ipConfig.mode", ["static", "dhcp", "DHCP"]),
    ("networks[].ipConfig.address", IPS),
    ("networks[].ipConfig.gateway", IPS),
    ("networks[].ipConfig.dnsServers", [["10.0.0.1"], ["10.0.0.1"] * 17]),
    ("networks[].ipConfig.dnsServers[]", IPS),
    ("highAvailability.restartPolicy", ["Always", "OnFailure", "Never", "always"]),
    ("highAvailability.antiAffinity", []),
    ("highAvailability.nodeSelector", LABELS),
    ("highAvailability.tolerations", [[{}] * 65, [{"operator": "Exists"}]]),
    ("highAvailability.tolerations[].key", ["a" * 316, "a" * 317]),
    ("highAvailability.tolerations[].operator", ["Equal", "Exists", "Gt", "Exist", "a" * 33]),
    ("highAvailability.tolerations[].value", ["a" * 63, "a" * 64]),
    ("highAvailability.tolerations[].effect", ["NoSchedule", "NoExecute", "No", "a" * 33]),
    ("highAvailability.tolerations[].tolerationSeconds", [5, -9223372036854775808]),
    ("gpus", [[{"name": "g", "deviceName": "d"}], [{"name": "g"}], [{"name": "g", "deviceName": "d"}] * 33]),
    ("gpus[].name", ["a" * 253, "a" * 254]),
    ("gpus[].deviceName", ["a" * 253, "a" * 254]),
    ("restoreFromSnapshot", ["a" * 253, "a" * 254]),
    ("guest", [{"cloudInit": "Replace", "userData": "a"}, {"hostname": "a"},
               {"cloudInit": "Replace", "userData": "a", "userDataSecret": "s"},
               {"cloudInit": "Replace", "userData": "a", "networkData": "b", "networkDataSecret": "s"}]),
    ("guest.hostname", ["a" * 60, "a" * 61, "a" * 62, *LONG]),
    ("guest.cloudInit", ["Rerun", "Drop", "Replace", "drop"]),
    ("guest.userData", ["a" * 2048, "a" * 2049, "é" * 1024, "é" * 1025, "#cloud-config\n"]),
    ("guest.networkData", ["a" * 2049, "version: 2"]),
    ("guest.resetMachineId", [True]),
    ("guest.resetSSHHostKeys", [True]),
    ("guest.userDataSecret", LONG),
    ("guest.networkDataSecret", LONG),
    ("expires", [{"after": "1h", "action": "Stop"}, {"at": "2030-01-01T00:00:00Z", "action": "Delete"}, {"action": "Stop"}]),
    ("expires.after", DURATIONS + ["8784h", "8784h1ms"]),
    ("expires.at", TIMES),
    ("expires.action", ["Delete", "Stop", "delete"]),
    ("target", [{}, {"labels": {"app": "shop"}, "annotations": {"a/b": "c"}, "keepAnnotations": ["a", "b.c/"]}]),
    ("target.labels", [*LABELS, *MARKS, {f"k{i}": "v" for i in range(32)}, {f"k{i}": "v" for i in range(33)}]),
    ("target.annotations", [*LABELS, *MARKS, {"a": "é" * 4096}, {"a": "é" * 4097}, {f"k{i}": "x" * 1000 for i in range(32)},
                            {f"k{i}": "x" * 1200 for i in range(32)}, {"A.b/c": "\u0001\u2028 \U0001f600"},
                            {f"k{i}": "" for i in range(1000)}]),
    ("target.network", [{"links": "Down"}, {"map": [{"from": "a", "to": "pod"}, {"from": "b", "to": "ns/c"}]}]),
    ("target.network.links", ["Keep", "Down", "down"]),
    ("target.network.map", [[{"from": "a", "to": "b"}] * 2, [{"from": f"n{i}", "to": "a"} for i in range(17)], [{"to": "a"}]]),
    ("target.network.map[].from", ["pod", "A_b", "é" * 317, "é" * 318, *LONG]),
    ("target.network.map[].to", ["pod", "ns/nad", "A_b", "a" * 63 + "/" + "b" * 253, "a" * 64 + "/b", *LONG]),
    ("target.overrides", PATCHES),
    ("target.references", [[{"kind": kind, "from": "a", "to": "b"} for kind in ("Secret", "ConfigMap")],
                           [{"kind": "Secret", "from": "a", "to": "b"}] * 2, [{"from": "a"}], [{"kind": "Secret", "from": "a"}],
                           [{"kind": "ConfigMap", "from": "a", "to": "n/a"}],
                           [{"kind": "Secret", "from": f"n{i}", "to": "a"} for i in range(33)]]),
    ("target.references[].kind", ["Secret", "ConfigMap", "NetworkAttachmentDefinition", "ServiceAccount"]),
    ("target.references[].from", ["ns/a", "A_b", *LONG]),
    ("target.references[].to", ["ns/a", "A_b", *LONG]),
    ("target.cpuShape", ["Auto", "Sockets", "Cores", "cores"]),
    ("target.keepAnnotations", [["a"] * 32, ["a"] * 33, ["a", None]]),
    ("target.keepAnnotations[]", ["a/", "A/", "/", "a.b/c", "kubectl.kubernetes.io/", "vm.kubevirt.io/os", *LONG]),
]

# Fields that speak to one another, with values that alone are good on one base or another.
RELATED = {
    "cpu": [ABSENT, 1],
    "memory": [ABSENT, "1Gi"],
    "cloneSource": [ABSENT],
    "cloneSource.type": ["vm", "vmi"],
    "cloneSource.vmName": [ABSENT, "a"],
    "cloneSource.vmiName": [ABSENT, "a"],
    "cloneSource.cloneType": [ABSENT, "full", "linked", "running"],
    "cloneSource.quiesce": ["Required", "Never"],
    "cloneSource.snapshotMethod": ["VirtualMachineSnapshot", "VolumeSnapshot", "VolumeGroupSnapshot"],
    "cloneSource.volumeSnapshotClassName": ["c"],
    "cloneSource.volumeGroupSnapshotClassName": ["c"],
    "cloneSource.stopSourceAfter": [True],
    "disks": [ABSENT, [], [{"name": "a"}, {"name": "b", "boot": True}]],
    "replicas": [ABSENT, 1, 11],
    "startStrategy.autoStart": [False],
    "startStrategy.runStrategy": ["RerunOnFailure", "Manual"],
    "networks": [[{"name": "n", "nadName": "a", "primary": True}], [{"name": "n", "nadName": "a", "type": "sriov"}], [{"name": "default"}]],
    "highAvailability.restartPolicy": [ABSENT, "OnFailure"],
    "cloudInitUser": [ABSENT, {"name": "u"}],
    "gpus": [ABSENT, []],
    "osImage": [ABSENT],
    "restoreFromSnapshot": [ABSENT],
    "guest": [ABSENT, {"cloudInit": "Drop", "resetSSHHostKeys": True}, {"cloudInit": "Replace", "userData": "a"},
              {"hostname": "a" * 62}],
    "sshKeySecret": [ABSENT, "k"],
    "expires": [ABSENT, {"after": "1h", "action": "Stop"}],
    "target": [ABSENT, {"labels": {"app": "shop"}}, {"network": {"links": "Down", "map": [{"from": "a", "to": "b"}]}},
               {"cpuShape": "Cores"}, {"overrides": {"template": {"spec": {"evictionStrategy": "None"}}}}],
}

WINDOW = {"schedule": "0 22 * * *", "duration": "6h", "timeZone": "Asia/Shanghai"}
BASES = [
    {"cloneSource": {"type": "vmi", "vmiName": "src"}},
    {"cloneSource": {"type": "vm", "vmName": "src", "cloneType": "running"}},
    {"cloneSource": {"type": "vmi", "vmiName": "src", "cloneType": "running", "quiesce": "IfAvailable",
                     "snapshotMethod": "Auto", "window": WINDOW, "gates": ["a.example/Ready"], "retryLimit": 2},
     "cpu": 2, "memory": "4Gi", "replicas": 2, "reclaimPolicy": "Retain", "sshKeySecret": "keys",
     "disks": [{"name": "root", "size": "20Gi", "boot": True}, {"name": "data", "sourceDisk": "d"}],
     "startStrategy": {"autoStart": True, "runStrategy": "Always"},
     "expires": {"after": "72h", "action": "Delete"},
     "target": {"labels": {"app": "shop"}, "annotations": {"a/b": "c"}, "keepAnnotations": ["a/"],
                "references": [{"kind": "NetworkAttachmentDefinition", "from": "ns/a", "to": "ns/b"}]},
     "networks": [{"name": "lan", "nadName": "ns/lan", "type": "bridge", "ipConfig": {"mode": "dhcp"}}],
     "highAvailability": {"antiAffinity": True, "nodeSelector": {"a": "b"},
                          "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}]}},
    {"cpu": 2, "memory": "4Gi", "osImage": "ubuntu", "restoreFromSnapshot": "s",
     "cloudInitUser": {"name": "u", "groups": ["g"]}, "gpus": [{"name": "g", "deviceName": "d"}],
     "disks": [{"name": "root", "size": "20Gi", "storageClassName": "s", "image": "i"}],
     "networks": [{"name": "lan", "vlanId": 5, "ipConfig": {"mode": "static", "address": "10.0.0.2/24"}}],
     "highAvailability": {"restartPolicy": "Always"}},
]
# Names of VMs and claims are made of this one and may have 63 characters.
NAME_LENGTHS = [12, 12, 12, 57, 58, 60, 61]


def place(spec, path, value):
    """Puts a value there, makes what holds it, and gives up where something else stands in the way."""
    steps = path.replace("[]", ".[]").split(".")
    for i, step in enumerate(steps):
        last = i == len(steps) - 1
        key = 0 if step == "[]" else step
        if not isinstance(spec, list if key == 0 else dict):
            return
        if last and value is ABSENT:
            if spec and (key == 0 or key in spec):
                del spec[key]
            return
        if key == 0 and not spec:
            spec.append(None)
        if last:
            spec[key] = copy.deepcopy(value)
        elif key == 0:
            spec[0] = {"name": "x"} if spec[0] is None else spec[0]
        elif spec.get(key) is None:
            spec[key] = [] if steps[i + 1] == "[]" else {"type": "vmi", "vmiName": "s"} if key == "cloneSource" else {}
        spec = spec[key]


def specs(count, seed):
    """(what was done, spec): each of a field's own values and some of any field's on a base, all pairs
    of the fields that speak to one another, then any pairs."""
    draw = random.Random(seed)
    own = dict(FIELDS)

    def odd(base, *changes):
        spec = copy.deepcopy(BASES[base])
        for path, value in changes:
            place(spec, path, value)
        return [(path, "absent" if value is ABSENT else value) for path, value in changes], spec

    def some(path):
        """Mostly what the field is about: two wrong types at once hide all else."""
        return draw.choice(own[path] if own[path] and draw.random() < 0.8 else ANY)

    yield from ((["good"], copy.deepcopy(base)) for base in BASES)
    singles = [(path, value) for path in own for value in own[path] + draw.sample(ANY, 6)]
    pairs = [pair for a, b in itertools.combinations(RELATED, 2)
             for pair in itertools.product(itertools.product([a], RELATED[a]), itertools.product([b], RELATED[b]))]
    draw.shuffle(singles)
    draw.shuffle(pairs)
    for i, one in enumerate(singles):
        yield odd((i + seed) % len(BASES), one)
    for i, pair in enumerate(pairs):
        yield odd((i + seed) % len(BASES), *pair)
    while True:
        yield odd(draw.randrange(len(BASES)), *((path, some(path)) for path in draw.sample(list(own), 2)))


def generate(count, seed):
    draw = random.Random(seed)
    made = []
    for i, (what, spec) in enumerate(itertools.islice(specs(count, seed), count)):
        name = f"w{i:06d}".ljust(0 if i < len(BASES) else draw.choice(NAME_LENGTHS), "n")
        made.append((what, {"apiVersion": API, "kind": "Wukong", "spec": spec,
                            "metadata": {"name": name, "namespace": NAMESPACE}}))
    return made


# ---- the judges ---------------------------------------------------------------------------------


program = harness.program


def in_threads(function, items):
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))


def judged_by_crd(objects):
    """What the API server says against each: text, or None when it takes it."""
    admin = BED.admin()
    path = admin.path(API, "Wukong", NAMESPACE) + "?dryRun=All"

    def judge(one):
        code, body, _ = admin.raw("POST", path, one[1])
        if code in (200, 201):
            return None
        if code not in (400, 422):
            raise AssertionError(f"{code}: {body[:500]}")
        return json.loads(body)["message"]
    return in_threads(judge, objects)


class Webhook:
    """The program with a certificate of its own, on the bed's API server, which does not call it."""

    def __init__(self, folder):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", folder / "tls.key", "-out", folder / "tls.crt"], check=True,
                       capture_output=True)
        self.port, self.log = BED.port("webhook"), folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program("wukong-webhook"), "--listen-address", "127.0.0.1", "--listen-port", str(self.port),
                 "--metrics-port", str(BED.port("webhook-health")), "--namespace", NAMESPACE, "--cert-mode",
                 "provided", "--cert-dir", folder, "--kubeconfig", BED.kubeconfigs / "admin.kubeconfig",
                 "--drain", "100ms"], stdout=log, stderr=log)
        self.context = ssl.create_default_context(cafile=str(folder / "tls.crt"))
        self.local, self.links = threading.local(), []
        self.wait()

    def wait(self):
        end = time.monotonic() + 30
        while True:
            try:
                return self.judge(({}, {"apiVersion": API, "kind": "Wukong", "metadata": {"name": "w"},
                                        "spec": BASES[3]}))
            except (OSError, http.client.HTTPException, AssertionError):
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError("the webhook does not answer:\n" + self.log.read_text()) from None
                time.sleep(0.05)

    def judge(self, one):
        """{(field, message)} of the errors."""
        link = getattr(self.local, "link", None)
        if link is None:
            link = self.local.link = http.client.HTTPSConnection("localhost", self.port, timeout=30,
                                                                 context=self.context)
            self.links.append(link)
        name = one[1]["metadata"]["name"]
        review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": name, "operation": "CREATE", "namespace": NAMESPACE, "name": name, "object": one[1],
            "resource": {"group": "vm.novasphere.dev", "version": "v1alpha1", "resource": "wukongs"},
            "userInfo": {"username": "admin", "groups": ["system:masters"]}}}
        try:
            link.request("POST", "/validate-vm-novasphere-dev-v1alpha1-wukong?timeout=10s", json.dumps(review),
                         {"Content-Type": "application/json"})
            answer = link.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.local.link = None
            raise
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {text[:500]}")
        response = json.loads(text)["response"]
        if response["uid"] != name:
            raise AssertionError("an answer to another question")
        if response["allowed"]:
            return set()
        if response["status"]["code"] != 422:
            raise AssertionError(f"{one[0]}: {response['status']}")
        return {(c["field"], c["message"]) for c in response["status"]["details"]["causes"]}

    def stop(self):
        for link in self.links:
            link.close()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        if code:
            raise RuntimeError(f"the webhook ended with {code}:\n{self.log.read_text()[-4000:]}")


def judged_by_lint(objects, folder):
    """([{(field, message)}], the rules that struck)."""
    lint = folder / "lint"
    lint.mkdir()
    for i, (_, one) in enumerate(objects):
        (lint / f"{i:06d}.json").write_text(json.dumps(one))
    done = subprocess.run([program("kubectl-wukong"), "lint", "-o", "json", lint], capture_output=True)
    if done.returncode not in (0, 1):
        raise AssertionError(done.stderr.decode())
    report = json.loads(done.stdout)
    assert report["objects"] == len(objects), report["objects"]
    found, rules = [set() for _ in objects], set()
    for f in report["findings"]:
        rules.add(f["rule"])
        # Unknown fields are lint's alone: an API server prunes them before admission.
        if f["severity"] == "error" and f["rule"] != "unknown-field":
            # In YAML a number past 2^64 is a float, and shown as one.
            message = f["message"].replace(" 1e+20:", f" {10**20}:")
            found[int(Path(f["file"]).stem)].add((f["field"], message))
    return found, rules


def judged_by_worker(objects):
    """[({(field, message)}, why the worker refuses the spec or None)]"""
    done = subprocess.run([program("wukong-agreement")], capture_output=True, check=True,
                          input="".join(json.dumps(one) + "\n" for _, one in objects).encode())
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(objects), done.stderr
    answers = map(json.loads, lines)
    return [({(e["field"], e["message"]) for e in a["errors"]}, a.get("refused")) for a in answers]


# ---- the case -----------------------------------------------------------------------------------


def setUpModule():
    global BED
    for name in ("wukong-webhook", "kubectl-wukong", "wukong-agreement"):
        program(name)
    state = Path(tempfile.mkdtemp(prefix="wukong-agreement-"))
    BED = beds.Bed(state / "bed")
    unittest.addModuleCleanup(shutil.rmtree, state)
    unittest.addModuleCleanup(BED.down)
    # Without the chart's registrations: here the API server knows the CRD alone.
    with unittest.mock.patch.object(install.Chart, "exists", return_value=False):
        BED.up(["apiserver"], owner=os.getpid())
    test_crd.BED = BED
    test_crd.apply_crds()
    BED.admin().create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})


class Agreement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Path(tempfile.mkdtemp(prefix="wukong-agreement-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.objects = generate(OBJECTS, SEED)
        webhook = Webhook(folder)
        try:
            began = time.monotonic()
            cls.webhook = in_threads(webhook.judge, cls.objects)
            middle = time.monotonic()
            cls.crd = judged_by_crd(cls.objects)
            end = time.monotonic()
        finally:
            webhook.stop()
        cls.lint, cls.rules = judged_by_lint(cls.objects, folder)
        cls.worker = judged_by_worker(cls.objects)
        print(f"# {len(cls.objects)} objects (seed {SEED}): webhook {middle - began:.1f} s, API server "
              f"{end - middle:.1f} s; refused by the CRD {sum(map(bool, cls.crd))}, by the rules "
              f"{sum(map(bool, cls.lint))}", file=sys.stderr)

    def report(self, wrong, title):
        """Fails with the first few, each with what was odd about it."""
        text = "".join(f"\n{what}\n    {json.dumps(one['spec'])[:600]}\n    {why}"
                       for (what, one), why in wrong[:15])
        if wrong:
            self.fail(f"{title}: {len(wrong)} of {len(self.objects)}{text}")

    def test_webhook_and_lint_say_the_same(self):
        self.report([(o, f"webhook only {w - l}, lint only {l - w}")
                     for o, w, l in zip(self.objects, self.webhook, self.lint) if w != l],
                    "webhook and lint differ")

    def test_lint_and_the_workers_library_say_the_same(self):
        self.report([(o, f"lint only {l - w}, library only {w - l}")
                     for o, l, (w, _) in zip(self.objects, self.lint, self.worker) if w != l],
                    "lint and the worker's library differ")

    def test_what_the_crd_refuses_the_rules_refuse(self):
        self.report([(o, c) for o, c, l in zip(self.objects, self.crd, self.lint) if c and not l],
                    "refused by the CRD alone")

    def test_what_is_admitted_the_worker_does_not_refuse(self):
        self.report([(o, why) for o, l, (_, why) in zip(self.objects, self.lint, self.worker) if why and not l],
                    "admitted, and refused by the worker")

    def test_every_rule_of_the_crd_has_struck(self):
        """And the good are good, in all eyes: else all the rest would prove nothing."""
        for o, w, c in list(zip(self.objects, self.webhook, self.crd))[:len(BASES)]:
            self.assertEqual((set(), None), (w, c), o)
        created = {rule for rule in test_crd.rules_of("wukong") if not rule.endswith("-immutable")}
        self.assertEqual(set(), created - self.rules)
        both = sum(not c and not l for c, l in zip(self.crd, self.lint))
        self.assertGreater(both, len(self.objects) // 20, "hardly an object is good")


if __name__ == "__main__":
    unittest.main()
