"""Machines to clone, Wukongs that clone them, and the proof of what came out.

`CloneCase` is a Case with a source that writes while it is cloned. What a clone must hold is never
taken from the product: it follows from the records on the source's disks (records.py) and from the
stand-in's freeze log, which says what the guest had written when it froze.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from datetime import datetime

from . import beside, harness, objects, records

WUKONG_API = "vm.novasphere.dev/v1alpha1"
KUBEVIRT_API = "kubevirt.io/v1"
VM_SNAPSHOT_API = "snapshot.kubevirt.io/v1beta1"
FAULT = "standin.kubevirt.io/"
PARTS = ("kubevirt", "worker", "webhook", "csi", "csi-provisioner", "csi-snapshotter",
         "snapshot-controller", "kcm")

_faults_lock = threading.Lock()


# ---- builders -----------------------------------------------------------------------------------


def machine_spec(claims, mac=None, cpu=1, memory="128Mi", cloud_init=True):
    """The spec of a VMI, or of a VM's template, with one disk per entry of {disk: claim}."""
    volumes = [{"name": disk, "persistentVolumeClaim": {"claimName": claim}}
               for disk, claim in claims.items()]
    if cloud_init:
        volumes.append({"name": "ci", "cloudInitNoCloud": {"userData": "#cloud-config\n"}})
    interface = {"name": "default", "masquerade": {}}
    if mac:
        interface["macAddress"] = mac
    return {"terminationGracePeriodSeconds": 0,
            "domain": {"cpu": {"cores": cpu, "sockets": 1, "threads": 1},
                       "memory": {"guest": memory},
                       "firmware": {"uuid": str(uuid.uuid4()), "serial": str(uuid.uuid4())},
                       "devices": {"disks": [{"name": v["name"], "disk": {"bus": "virtio"}}
                                             for v in volumes],
                                   "interfaces": [interface]}},
            "networks": [{"name": "default", "pod": {}}],
            "volumes": volumes}


def vm(namespace, name, spec, annotations=None, labels=None, run_strategy="Always"):
    return {"apiVersion": KUBEVIRT_API, "kind": "VirtualMachine",
            "metadata": {"namespace": namespace, "name": name, "labels": labels or {}},
            "spec": {"runStrategy": run_strategy,
                     "template": {"metadata": {"annotations": annotations or {},
                                               "labels": labels or {}}, "spec": spec}}}


def vmi(namespace, name, spec, annotations=None, labels=None):
    spec = json.loads(json.dumps(spec))
    spec["domain"]["firmware"].pop("serial", None)
    return {"apiVersion": KUBEVIRT_API, "kind": "VirtualMachineInstance",
            "metadata": {"namespace": namespace, "name": name, "annotations": annotations or {},
                         "labels": labels or {}}, "spec": spec}


def condition(obj, kind):
    for found in (obj.get("status") or {}).get("conditions") or []:
        if found["type"] == kind:
            return found
    return {}


def holds(obj, kind):
    return condition(obj, kind).get("status") == "True"


def reason(obj, kind):
    return condition(obj, kind).get("reason")


def clone_status(wukong):
    return (wukong.get("status") or {}).get("cloneStatus") or {}


def seconds(text):
    """A time stamp of the API server or of the freeze log in seconds since 1970."""
    head, _, rest = text.rstrip("Z").partition(".")
    whole = datetime.fromisoformat(head + "+00:00").timestamp()
    return whole + (float("0." + rest) if rest else 0.0)


# ---- the freeze log -----------------------------------------------------------------------------


def freeze_log(bed, vmi_uid):
    """What happened to a guest, in order (tests/cluster/kubevirt/guest/freezelog.go)."""
    path = bed.data / "kubevirt" / "freeze-log.jsonl"
    with open(path, "rb") as log:
        data = log.read()
    entries = []
    for line in data[:data.rfind(b"\n") + 1].splitlines():
        entry = json.loads(line)
        if entry.get("uid") == vmi_uid:
            entry["at"] = seconds(entry["time"])
            entries.append(entry)
    return entries


def set_disk_fault(bed, handle, **faults):
    """Faults of the CSI driver for one volume or snapshot, by its handle; without any they end."""
    path = bed.csi_data / "faults.json"
    with _faults_lock:
        try:
            known = json.loads(path.read_text())
        except FileNotFoundError:
            known = {}
        known.pop(handle, None)
        if faults:
            known[handle] = {f"fault-{k.replace('_', '-')}": v for k, v in faults.items()}
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(known))
        os.replace(temporary, path)


# ---- a machine whose guest writes ---------------------------------------------------------------


class Source:
    """A running machine with its claims. `owned`: by a VirtualMachine of the same name."""

    def __init__(self, case, name, claims, owned, namespace):
        self.case, self.name, self.claims, self.owned = case, name, claims, owned
        self.namespace = namespace
        self.uid = None

    def vmi(self):
        return self.case.kube.get(KUBEVIRT_API, "VirtualMachineInstance", self.namespace, self.name)

    def find_vmi(self):
        return self.case.kube.find(KUBEVIRT_API, "VirtualMachineInstance", self.namespace, self.name)

    def running(self, agent):
        found = self.find_vmi()
        if not found or (found.get("status") or {}).get("phase") != "Running":
            return None
        if agent and not holds(found, "AgentConnected"):
            return None
        return found

    def wait(self, agent=True, timeout_s=40, written=3):
        """Until it runs, its agent is connected and its guest has written a few records."""
        found = self.case.wait_for(lambda: self.running(agent), timeout_s, f"{self.name} to run")
        self.uid = found["metadata"]["uid"]
        if written:
            self.case.wait_for(lambda: self.last() >= written, timeout_s, "the guest to write")
        return self

    def file(self, disk):
        return self.case.volume_file(self.claims[disk], self.namespace)

    def handle(self, disk):
        return self.file(disk).name[:-len(".img")]

    def disks(self):
        return {disk: read_live(self.file(disk)) for disk in self.claims}

    def last(self):
        return min(d.last() for d in self.disks().values())

    def log(self, *events):
        return [e for e in freeze_log(self.case.bed, self.uid) if not events or e["event"] in events]

    def annotate(self, **annotations):
        """Sets and, with None, removes faults while it runs."""
        self.case.kube.patch(KUBEVIRT_API, "VirtualMachineInstance", self.namespace, self.name, {
            "metadata": {"annotations": {FAULT + k.replace("_", "-"): v
                                         for k, v in annotations.items()}}})

    def subresource(self, verb, body=None):
        """What an administrator does to it: freeze, unfreeze."""
        path = (f"/apis/subresources.kubevirt.io/v1/namespaces/{self.namespace}"
                f"/virtualmachineinstances/{self.name}/{verb}")
        code, data, _ = self.case.kube.raw("PUT", path, body or {}, accept="*/*")
        self.case.assertEqual(200, code, data)

    @contextlib.contextmanager
    def held(self):
        """Frozen by somebody else: no clone of it begins meanwhile, so that all that are asked for inside
        wait together. This freeze does not count in its log afterwards."""
        self.subresource("freeze", {"unfreezeTimeout": "5m"})
        self.case.wait_for(lambda: self.vmi()["status"].get("fsFreezeStatus") == "frozen", 15,
                           "the foreign freeze to be seen")
        yield
        self.subresource("unfreeze")
        begun, log = len(self.log()), self.log
        self.log = lambda *events: [e for e in log()[begun:] if not events or e["event"] in events]

    def spec(self):
        """What a cloneSource says to clone it."""
        return {"type": "vm", "vmName": self.name, "cloneType": "running"} if self.owned \
            else {"type": "vmi", "vmiName": self.name}


def read_live(path):
    """The Disk of a guest that is writing: a record that was being written meanwhile is none yet."""
    disk = records.read(path)
    while disk.torn and disk.torn[-1] == disk.end - records.SLOT:
        disk.end = disk.torn.pop()
    return disk


# ---- cases --------------------------------------------------------------------------------------


class CloneCase(harness.Case):
    needs = PARTS
    # Of the worker, after those of the chart.
    worker_arguments = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        beside.settle(cls)
        if "worker" in cls.bed.parts():
            worker_with(cls.bed, *cls.worker_arguments)

    def source(self, name="src", disks=("root",), owned=False, size="64Mi", storage_class="file",
               faults=None, wait=True, agent=True, labels=None, namespace=None, cpu=1,
               run_strategy="Always"):
        """A machine with one claim per disk. Its guest writes each record in two halves with a pause
        between: a cut without a freeze is seen as a torn record. `faults`: of the stand-in."""
        namespace = namespace or self.namespace
        claims = {disk: f"{name}-data-{i}" for i, disk in enumerate(disks)}
        for i, claim in enumerate(claims.values()):
            one_size = size if isinstance(size, str) else size[i]
            self.kube.create(objects.claim(namespace, claim, size=one_size,
                                           storage_class=storage_class))
        for claim in claims.values():
            self.wait_for(lambda c=claim: self.bound(c, namespace), 60, f"claim {claim} to be bound")
        made = Source(self, name, claims, owned, namespace)
        annotations = {FAULT + "write-interval": "40", FAULT + "torn-writes": "true"}
        annotations.update({FAULT + k: v for k, v in (faults or {}).items()})
        mac = "02:%02x:%02x:%02x:%02x:%02x" % tuple(uuid.uuid4().bytes[:5])
        build, more = (vm, {"run_strategy": run_strategy}) if owned else (vmi, {})
        self.kube.create(build(namespace, name, machine_spec(claims, mac, cpu), annotations, labels,
                               **more))
        return made.wait(agent) if wait else made

    def source_with(self, *volumes):
        """A machine that has these volumes beside its disk."""
        self.make_claim("src-data-0")
        made = Source(self, "src", {"root": "src-data-0"}, False, self.namespace)
        spec = machine_spec(made.claims)
        for volume in volumes:
            spec["volumes"].append(volume)
            spec["domain"]["devices"]["disks"].append({"name": volume["name"], "disk": {"bus": "virtio"}})
        self.kube.create(vmi(self.namespace, "src", spec, {FAULT + "write-interval": "40"}))
        return made.wait()

    def start(self, source):
        self.call(source, "start")
        return source.wait()

    def call(self, source, verb):
        path = (f"/apis/subresources.kubevirt.io/v1/namespaces/{source.namespace}"
                f"/virtualmachines/{source.name}/{verb}")
        code, data, _ = self.kube.raw("PUT", path, {}, accept="*/*")
        self.assertEqual(202, code, data)

    def stopped_source(self, *arguments, **more):
        """A VM that has run, written its records, and was stopped."""
        return self.run_once(self.source(*arguments, **{"owned": True, "wait": False,
                                                        "run_strategy": "Halted", **more}))

    def run_once(self, source):
        self.start(source)
        self.call(source, "stop")
        self.wait_for(lambda: not source.find_vmi(), 40, "the source to stop")
        return source

    def assert_same_records(self, name, source, namespace=None):
        """A clone of a stopped source: exactly its records, on each disk."""
        for disk, held in source.disks().items():
            theirs = read_live(self.volume_file(f"{name}-{disk}", namespace))
            self.assertEqual([], theirs.problems())
            self.assertEqual(held.numbers(source.uid), theirs.numbers(source.uid), disk)
            self.assertTrue(theirs.numbers(source.uid))

    # ---- Wukongs --------------------------------------------------------------------------------

    def clone(self, name, source=None, labels=None, annotations=None, namespace=None, clone_source=None,
              **spec):
        """Creates a Wukong that clones `source`; `clone_source` adds to spec.cloneSource."""
        wanted = dict(source.spec() if source else {})
        wanted.update(clone_source or {})
        namespace = namespace or self.namespace
        made = self.kube.create(objects.wukong(namespace, name, {"cloneSource": wanted, **spec}, labels,
                                               annotations))
        # What goes on waiting would keep the worker busy behind the back of later tests.
        self.addCleanup(self.kube.delete, WUKONG_API, "Wukong", namespace, name)
        return made

    def wukong(self, name, namespace=None):
        return self.kube.get(WUKONG_API, "Wukong", namespace or self.namespace, name)

    def ended(self, name, phase, namespace=None):
        found = self.wukong(name, namespace)
        now = clone_status(found).get("phase")
        if now in ("Succeeded", "Failed") and now != phase:
            raise WrongEnd(f"wukong {name} is {now}: {json.dumps(found.get('status'), indent=1)}")
        return found if now == phase else None

    def wait_ended(self, name, phase="Succeeded", timeout_s=60, namespace=None):
        try:
            return self.wait_for(lambda: self.ended(name, phase, namespace), timeout_s,
                                 f"wukong {name} to be {phase}")
        except AssertionError as late:
            status = self.wukong(name, namespace).get("status")
            raise AssertionError(f"{late}\nstatus: {json.dumps(status, indent=1)}") from None

    def wait_reason(self, name, kind, wanted, timeout_s=20, namespace=None):
        """Until a condition of the Wukong has this reason."""
        def now():
            found = self.wukong(name, namespace)
            seen = {c["type"]: c["reason"] for c in (found.get("status") or {}).get("conditions") or []}
            return found if seen.get(kind) == wanted else self.fail(f"conditions: {seen}")
        return self.wait_for(now, timeout_s, f"{name}: {kind}/{wanted}")

    def wait_field(self, name, path, timeout_s=20, namespace=None):
        """Until status.cloneStatus has a value at this dotted path; returns the value."""
        def now():
            value = clone_status(self.wukong(name, namespace))
            for key in path.split("."):
                value = (value or {}).get(key)
            return value
        return self.wait_for(now, timeout_s, f"{name}: cloneStatus.{path}")

    def vm_of(self, name, namespace=None):
        return self.kube.get(KUBEVIRT_API, "VirtualMachine", namespace or self.namespace, f"{name}-vm")

    # ---- what came out --------------------------------------------------------------------------

    def clone_files(self, name, disks, namespace=None):
        return {disk: self.volume_file(f"{name}-{disk}", namespace) for disk in disks}

    def assert_disks(self, name, source, last=None, disks=None, torn_tail=False, namespace=None):
        """The clone's disks hold the source's records from 1 to one common last one (`last` when it
        is known), none torn; the source has them too, lost none and has gone on. Returns the number."""
        disks = list(disks or source.claims)
        before = source.disks()
        lasts = {}
        for disk, path in self.clone_files(name, disks, namespace).items():
            held = read_live(path)
            numbers = held.numbers(source.uid)
            with self.subTest(disk=disk):
                if not torn_tail:
                    self.assertEqual([], held.problems())
                self.assertEqual(list(range(1, len(numbers) + 1)), numbers, f"records of {disk}")
                self.assertTrue(numbers, f"{disk} holds no record of the source")
                index = list(source.claims).index(disk)
                self.assertEqual({index}, {r.disk for r in held.records if r.guest == source.uid})
                original = {r.number: r for r in before[disk].records}
                for record in held.records:
                    if record.guest == source.uid:
                        self.assertEqual(original[record.number], record)
            lasts[disk] = numbers[-1] if numbers else 0
        # A guest that runs writes on between the cuts of its disks.
        if not torn_tail:
            self.assertEqual(1, len(set(lasts.values())), f"the disks are of different times: {lasts}")
        number = lasts[disks[0]]
        if last is not None:
            self.assertEqual(last, number)
        for disk, held in before.items():
            self.assertEqual([], held.problems(), f"source's {disk}")
            self.assertEqual(list(range(1, held.last() + 1)), held.numbers(source.uid))
        self.wait_for(lambda: source.last() > max(d.last() for d in before.values()), 10,
                      "the source's guest to go on writing")
        return number

    def frozen_at(self, source, which=-1):
        """The number of the last record that the guest had written when it froze."""
        return source.log("frozen")[which]["last"]

    def assert_untouched(self, source):
        """The source is the machine that it was and is not frozen."""
        found = source.vmi()
        self.assertEqual(source.uid, found["metadata"]["uid"])
        self.assertEqual("Running", found["status"]["phase"])
        self.wait_thawed(source)

    def wait_thawed(self, source):
        """A clone whose cut is proven goes on beside a thaw that has to be tried again."""
        def thawed():
            state = [e["event"] for e in source.log("frozen", "thawed", "safety-thawed", "released")]
            return (state[-1] if state else "") != "frozen"
        self.wait_for(thawed, 10, "the guest not to be frozen")

    def assert_thawed_by_worker(self, source, within_s=None):
        """Every freeze of this guest ended by the worker's thaw, none by the guest's own timer."""
        self.wait_thawed(source)
        account, since = self.bed.account("worker"), None
        for entry in source.log("frozen", "thawed", "safety-thawed"):
            if entry["event"] == "frozen":
                since = entry["at"]
                continue
            self.assertEqual("thawed", entry["event"], "the guest had to thaw by itself")
            # Below real KubeVirt nobody is known but virt-api (virtnode.py).
            self.assertEqual(account, entry.get("user", account))
            if within_s is not None:
                self.assertLess(entry["at"] - since, within_s)
            since = None
        self.assertIsNone(since, "the guest is still frozen")

    def freezes_asked(self, source):
        """How often the worker asked for a freeze of this machine, by the API server's own log."""
        wanted = (source.namespace, source.name, "freeze")
        return sum(wanted == tuple((e.get("objectRef") or {}).get(k) for k in
                                   ("namespace", "name", "subresource"))
                   and e["user"]["username"] == self.bed.account("worker")
                   for e in self.bed.audit_entries(self.audit_mark))

    def assert_own_identity(self, name, source, namespace=None):
        """New MAC, firmware UUID and serial; nothing in it names a claim of the source."""
        made = self.vm_of(name, namespace)
        ours = made["spec"]["template"]["spec"]
        theirs = source.vmi()["spec"]
        macs = [i.get("macAddress") for i in ours["domain"]["devices"]["interfaces"]]
        self.assertTrue(all(macs), "each interface needs an address of its own")
        for interface in theirs["domain"]["devices"]["interfaces"]:
            self.assertNotIn(interface.get("macAddress"), macs)
        for key in ("uuid", "serial"):
            self.assertTrue(ours["domain"]["firmware"].get(key))
            self.assertNotEqual(theirs["domain"]["firmware"].get(key), ours["domain"]["firmware"][key])
        text = json.dumps(made)
        for claim in source.claims.values():
            self.assertNotIn(claim, text)
        return made

    def snapshots(self, namespace=None):
        return self.kube.list(objects.SNAPSHOT_API, "VolumeSnapshot", namespace or self.namespace)

    def contents(self, namespace=None):
        return [c for c in self.kube.list(objects.SNAPSHOT_API, "VolumeSnapshotContent")
                if c["spec"]["volumeSnapshotRef"]["namespace"] == (namespace or self.namespace)]

    def physical_snapshots(self, namespace=None):
        """What the CSI driver keeps of the volumes of this namespace, by its own records."""
        handles = {v["spec"]["csi"]["volumeHandle"]
                   for v in self.kube.list("v1", "PersistentVolume")
                   if (v["spec"].get("claimRef") or {}).get("namespace") == (namespace or self.namespace)
                   and "csi" in v["spec"]}
        kept = []
        for path in (self.bed.csi_data / "snapshots").glob("*.json"):
            try:
                record = json.loads(path.read_text())
            except FileNotFoundError:
                continue
            if record.get("sourceVolume") in handles:
                kept.append(path.stem)
        return kept

    def assert_no_temporaries(self, namespace=None):
        """No VolumeSnapshot, no content and no bytes of one are left; they go after the clone's end."""
        self.wait_for(lambda: not self.snapshots(namespace), 30, "the snapshots to go")
        self.wait_for(lambda: not self.contents(namespace), 15, "the snapshots' contents to go")
        self.assertEqual([], self.physical_snapshots(namespace))

    def assert_nothing_left(self, name, disks, namespace=None):
        """After a failed or deleted clone: no VM, no claim, no snapshot of it."""
        namespace = namespace or self.namespace
        self.assertIsNone(self.kube.find(KUBEVIRT_API, "VirtualMachine", namespace, f"{name}-vm"))
        for disk in disks:
            self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", namespace,
                                             f"{name}-{disk}"))
        self.assert_no_temporaries(namespace)

    def assert_cloned(self, name, source, disks=None, namespace=None, consistency="FilesystemConsistent",
                      which_freeze=-1):
        """All of it, for a clone that was taken under a freeze."""
        found = self.wukong(name, namespace)
        self.assertEqual(consistency, clone_status(found).get("consistency"))
        self.assert_untouched(source)
        frozen = consistency == "FilesystemConsistent"
        self.assert_disks(name, source, self.frozen_at(source, which_freeze) if frozen else None, disks,
                          torn_tail=not frozen, namespace=namespace)
        self.assert_own_identity(name, source, namespace)
        self.assert_no_temporaries(source.namespace)
        return found

    def writes_in(self, namespace, mark):
        """What the worker wrote in a namespace since `mark`: [(verb, resource, name)]."""
        found = []
        for entry in self.bed.audit_entries(mark):
            reference = entry.get("objectRef") or {}
            if entry["verb"] in harness.WRITES and reference.get("namespace") == namespace \
                    and entry["user"]["username"] == self.bed.account("worker"):
                resource = "/".join(filter(None, (reference.get("resource"),
                                                  reference.get("subresource"))))
                found.append((entry["verb"], resource, reference.get("name")))
        return found

    def other_drivers_claim(self, name, driver):
        """A bound claim whose volume is of a driver that is installed, has no VolumeSnapshotClass and
        is run by nobody; its bytes are those of a file-backed volume, so that a guest can write."""
        self.cleanup_object({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
                             "metadata": {"name": driver}, "spec": {"attachRequired": False}})
        backing = self.make_claim(f"{name}-backing")
        handle = self.kube.get("v1", "PersistentVolume", None,
                               backing["spec"]["volumeName"])["spec"]["csi"]["volumeHandle"]
        unique = f"{name}-{self.namespace}"
        self.cleanup_object({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": unique},
            "spec": {"capacity": {"storage": "64Mi"}, "accessModes": ["ReadWriteOnce"],
                     "persistentVolumeReclaimPolicy": "Retain", "storageClassName": unique,
                     "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                                  "namespace": self.namespace, "name": name},
                     "csi": {"driver": driver, "volumeHandle": handle}}})
        self.cleanup_object(objects.storage_class(unique, provisioner=driver))
        self.kube.create(objects.claim(self.namespace, name, storage_class=unique))
        return self.wait_for(lambda: self.bound(name), 30, f"claim {name} to be bound")


class WrongEnd(Exception):
    """A clone ended as it must not; waiting longer is of no use."""


def worker_with(bed, *arguments):
    """Restarts the worker with more arguments; without any, as the chart runs it."""
    known = bed.config.setdefault("args", {})
    if list(arguments) == known.get("worker", []):
        return
    known["worker"] = list(arguments)
    bed.save()
    if "worker" in bed.parts():
        bed.restart("worker")
        wait_leading(bed)


def wait_leading(bed, instance="worker", timeout_s=40):
    """Until this worker holds the lease: a killed one's is free after 15 s only."""
    harness.wait_for(lambda: "\nwukong_worker_leader 1" in bed.metrics(instance), timeout_s,
                     f"{instance} to lead", bed.diagnosis)


class Concurrent(beside.Concurrent, CloneCase):
    """Clones whose tests run side by side."""
