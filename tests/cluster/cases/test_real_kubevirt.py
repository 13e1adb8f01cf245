"""Every kind of clone against KubeVirt's own virt-api and virt-controller, with real CSI snapshots.

Skipped unless WUKONG_VIRT_API, WUKONG_VIRT_CONTROLLER and WUKONG_KUBEVIRT_CRDS name them (or the bed
that WUKONG_BED names has them). bedlib/virtnode.py plays the node: it freezes the guest, writes its
records and keeps the log by which the clones' bytes are judged. What was found: docs/admin/compatibility.md.
"""

import json
import os
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, records, vms  # noqa: E402

NAMED = ("WUKONG_VIRT_API", "WUKONG_VIRT_CONTROLLER", "WUKONG_KUBEVIRT_CRDS")
INSTANCETYPE_API = "instancetype.kubevirt.io/v1beta1"
CLONE_API = "clone.kubevirt.io/v1beta1"
VMI = "VirtualMachineInstance"
VM = "VirtualMachine"
UID_LABEL = "vm.novasphere.dev/wukong-uid"


def cloned_by_kubevirt(namespace, name, source, target):
    machine = {"apiGroup": "kubevirt.io", "kind": VM}
    return {"apiVersion": CLONE_API, "kind": "VirtualMachineClone",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"source": {**machine, "name": source}, "target": {**machine, "name": target}}}


class RealCase(vms.Concurrent):
    needs = ("virt-api", "virt-controller", "virt-node", *vms.PARTS[1:])
    at_once = 2

    @classmethod
    def setUpClass(cls):
        if not os.environ.get("WUKONG_BED") and not all(os.environ.get(name) for name in NAMED):
            raise unittest.SkipTest(f"{', '.join(NAMED)} name no real KubeVirt")
        super().setUpClass()
        if "virt-api" not in cls.bed.parts():
            raise unittest.SkipTest("the bed runs the stand-in for KubeVirt")

    def source(self, *arguments, **more):
        return super().source(*arguments, **{"owned": True, **more})

    def freezers(self, namespace=None):
        """Who asked virt-api for what: [(verb, user, code)] of freeze and unfreeze."""
        found = []
        for entry in self.bed.audit_entries(self.audit_mark):
            reference = entry.get("objectRef") or {}
            if reference.get("namespace") == (namespace or self.namespace) \
                    and reference.get("subresource") in ("freeze", "unfreeze"):
                found.append((reference["subresource"], entry["user"]["username"],
                              entry["responseStatus"]["code"]))
        return found

    def assert_frozen_once_by(self, account):
        self.assertEqual([("freeze", account, 200), ("unfreeze", account, 200)], self.freezers())

    def machine(self, name, namespace=None):
        return self.kube.find(vms.KUBEVIRT_API, VMI, namespace or self.namespace, name)

    def kubevirt_clones(self, name, source, target):
        self.kube.create(cloned_by_kubevirt(self.namespace, name, source, target))
        phase = lambda: (self.kube.get(CLONE_API, "VirtualMachineClone", self.namespace,  # noqa: E731
                                       name).get("status") or {}).get("phase")
        self.wait_for(lambda: phase() == "Succeeded", 60, "KubeVirt's clone")

    def halted_own(self, source):
        return self.kube.get(vms.KUBEVIRT_API, VM, source.namespace, source.name)["spec"]["runStrategy"]


class Running(RealCase):
    def test_vmi_of_a_vm(self):
        source = self.source()
        source.owned = False
        self.clone("one", source)
        found = self.wait_ended("one")
        self.assert_cloned("one", source)
        self.assert_frozen_once_by(self.bed.account("worker"))
        frozen = source.log("thawed")[0]["frozenMs"]
        told = vms.clone_status(found)["freezeMilliseconds"]
        self.assertLessEqual(int(frozen), told)
        print(f"# frozen {frozen:.0f} ms, told {told} ms", flush=True)

    def test_standalone_vmi(self):
        source = self.source(owned=False)
        self.clone("one", source)
        self.wait_ended("one")
        self.assert_cloned("one", source)
        self.assert_frozen_once_by(self.bed.account("worker"))

    def test_two_disks_are_of_one_point_in_time(self):
        for owned in (True, False):
            name = "owned" if owned else "alone"
            source = self.source(name, disks=("root", "data"), owned=owned)
            self.clone(f"of-{name}", source)
            self.wait_ended(f"of-{name}")
            self.assert_cloned(f"of-{name}", source)

    def test_selection_and_resize(self):
        source = self.source(disks=("root", "data"))
        self.clone("part", source, disks=[{"name": "root", "size": "96Mi"}])
        self.wait_ended("part")
        self.assert_cloned("part", source, disks=["root"])
        self.assertEqual("96Mi", self.claim("part-root")["status"]["capacity"]["storage"])
        self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", self.namespace, "part-data"))

    def test_cpu_and_memory(self):
        source = self.source(cpu=2)
        self.clone("big", source, cpu=3, memory="256Mi")
        self.wait_ended("big")
        self.assert_cloned("big", source)
        domain = self.machine("big-vm")["spec"]["domain"]
        # By cpuShape Auto: of a source with one socket of two cores the cores are scaled.
        self.assertEqual((1, 3, 1), tuple(domain["cpu"][k] for k in ("sockets", "cores", "threads")))
        self.assertEqual("256Mi", domain["memory"]["guest"])

    def test_required_and_never(self):
        source = self.source()
        self.clone("must", source, clone_source={"quiesce": "Required"})
        self.wait_ended("must")
        self.assert_cloned("must", source)
        self.clone("never", source, clone_source={"quiesce": "Never"})
        self.wait_ended("never")
        self.assert_cloned("never", source, consistency="CrashConsistent")
        self.assertEqual(1, len(source.log("frozen")), "Never froze")

    def test_replicas_share_one_snapshot(self):
        source = self.source()
        self.clone("many", source, replicas=3)
        self.wait_ended("many", timeout_s=90)
        self.assertEqual(1, len(source.log("frozen")))
        macs = set()
        for i in range(3):
            made = self.kube.get(vms.KUBEVIRT_API, VM, self.namespace, f"many-vm-{i}")
            macs.add(made["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][0]["macAddress"])
            held = vms.read_live(self.volume_file(f"many-vm-{i}-root"))
            self.assertEqual(list(range(1, self.frozen_at(source) + 1)), held.numbers(source.uid))
        self.assertEqual(3, len(macs))
        self.assert_no_temporaries()

    def test_not_started(self):
        source = self.source()
        self.clone("off", source, startStrategy={"autoStart": False})
        found = self.wait_ended("off")
        self.assertEqual("Stopped", found["status"]["phase"])
        self.assert_cloned("off", source)
        self.assertIsNone(self.machine("off-vm"))

    def test_a_stopped_vm_is_started_and_stopped_again(self):
        for name, strategy, stop in (("again", "Halted", True), ("left", "Manual", False)):
            source = self.source(name, wait=False, run_strategy=strategy)
            self.clone(f"of-{name}", source, clone_source={"stopSourceAfter": stop})
            self.wait_ended(f"of-{name}", timeout_s=90)
            if stop:
                self.wait_for(lambda s=source: not s.find_vmi(), 30, "the source to stop again")
                self.assertEqual(strategy, self.halted_own(source))
            else:
                self.assertEqual("Running", source.vmi()["status"]["phase"])
            self.assertIsNotNone(self.machine(f"of-{name}-vm"))


class OtherWays(RealCase):
    def test_method_virtualmachinesnapshot(self):
        source = self.source(disks=("root", "data"))
        self.clone("one", source, clone_source={"snapshotMethod": "VirtualMachineSnapshot"})
        self.wait_ended("one")
        # The clone has succeeded once its machine is there; what it was made from goes afterwards.
        self.wait_for(lambda: not self.snapshots(), 30, "what KubeVirt's snapshot owned to go")
        self.assert_cloned("one", source)
        self.assertEqual({"system:serviceaccount:kubevirt:kubevirt-controller"},
                         {user for _, user, _ in self.freezers()})
        left = self.kube.list(vms.VM_SNAPSHOT_API, "VirtualMachineSnapshot", self.namespace)
        self.assertEqual([], left)
        print(f"# KubeVirt's snapshot froze {source.log('thawed')[0]['frozenMs']:.0f} ms", flush=True)

    def test_linked_from_running_and_stopped(self):
        for name in ("running", "stopped"):
            source = self.source(name) if name == "running" else self.stopped_source(name)
            self.clone(f"of-{name}", source, clone_source={"type": "vm", "vmName": source.name,
                                                           "cloneType": "linked"})
            self.wait_ended(f"of-{name}")
            if name == "running":
                self.assert_disks(f"of-{name}", source, self.frozen_at(source))
            else:
                self.assert_same_records(f"of-{name}", source)
            held = self.snapshots()
            self.assertEqual(1, len(held), "the parent is kept")
            self.assertEqual(["Retain"], [c["spec"]["deletionPolicy"] for c in self.contents()])
            self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, f"of-{name}")
            self.wait_for(lambda: not self.snapshots() and not self.contents(), 60,
                          "the parent to go with its last child")

    def test_full_waits_for_the_source_to_stop(self):
        source = self.source(disks=("root", "data"))
        self.clone("whole", source, clone_source={"cloneType": "full"})
        self.wait_reason("whole", "SourceReady", "SourceRunning")
        self.kube.patch(vms.KUBEVIRT_API, VM, self.namespace, source.name,
                        {"spec": {"runStrategy": "Halted"}})
        self.wait_ended("whole")
        self.assert_same_records("whole", source)
        self.assert_no_temporaries()
        self.assertEqual([], source.log("frozen"))

    def test_another_namespace(self):
        source = self.source(disks=("root", "data"))
        there = self.make_namespace(f"{self.namespace}-there")
        self.clone("far", source, namespace=there, clone_source={"namespace": self.namespace},
                   disks=[{"name": "root", "size": "96Mi"}, {"name": "data"}])
        self.wait_ended("far", namespace=there)
        self.assert_cloned("far", source, namespace=there)
        self.assert_no_temporaries(there)
        self.assertIsNotNone(self.machine("far-vm", there))

    def test_deleted_while_frozen(self):
        source = self.source()
        vms.set_disk_fault(self.bed, source.handle("root"), snapshot_delay_ms=20000)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("root"))
        self.clone("gone", source)
        self.wait_for(lambda: source.log("frozen"), 30, "the guest to be frozen")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "gone")
        self.wait_for(lambda: source.log("thawed"), 10, "the thaw")
        vms.set_disk_fault(self.bed, source.handle("root"))
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "gone"), 90,
                      "the Wukong to go")
        self.assert_nothing_left("gone", ["root"])
        self.assert_untouched(source)

    def test_quota_is_waited_for(self):
        source = self.source()
        quota = {"apiVersion": "v1", "kind": "ResourceQuota",
                 "metadata": {"namespace": self.namespace, "name": "q"},
                 "spec": {"hard": {"requests.storage": "100Mi"}}}
        self.kube.create(quota)
        self.wait_for(lambda: (self.kube.get("v1", "ResourceQuota", self.namespace, "q").get("status")
                               or {}).get("used"), 20, "the quota to count")
        self.clone("late", source)
        self.wait_reason("late", "SourceReady", "QuotaExceeded")
        self.assertEqual([], source.log("frozen"), "frozen for a clone that cannot be")
        self.kube.patch("v1", "ResourceQuota", self.namespace, "q",
                        {"spec": {"hard": {"requests.storage": "1Gi"}}})
        self.wait_ended("late", timeout_s=120)
        self.assert_cloned("late", source)


class Instancetype(RealCase):
    def typed(self, name="src"):
        """A VM that takes its cpu and memory from an instancetype."""
        self.kube.create({"apiVersion": INSTANCETYPE_API, "kind": "VirtualMachineInstancetype",
                          "metadata": {"namespace": self.namespace, "name": "small"},
                          "spec": {"cpu": {"guest": 2}, "memory": {"guest": "128Mi"}}})
        self.make_claim(f"{name}-data-0")
        source = vms.Source(self, name, {"root": f"{name}-data-0"}, True, self.namespace)
        spec = vms.machine_spec(source.claims)
        del spec["domain"]["cpu"], spec["domain"]["memory"]
        machine = vms.vm(self.namespace, name, spec)
        machine["spec"]["instancetype"] = {"kind": "VirtualMachineInstancetype", "name": "small"}
        self.kube.create(machine)
        return source.wait()

    def test_without_override_the_type_stays(self):
        source = self.typed()
        self.clone("same", source)
        self.wait_ended("same")
        made = self.assert_cloned("same", source) and self.vm_of("same")
        self.assertEqual("small", made["spec"]["instancetype"]["name"])
        self.assertNotIn("revisionName", made["spec"]["instancetype"])
        domain = self.machine("same-vm")["spec"]["domain"]
        self.assertEqual((2, "128Mi"), (domain["cpu"]["sockets"], domain["memory"]["guest"]))

    def test_an_override_is_expanded(self):
        source = self.typed()
        self.clone("big", source, cpu=3)
        self.wait_ended("big")
        self.assert_cloned("big", source)
        made = self.vm_of("big")
        self.assertNotIn("instancetype", made["spec"])
        domain = self.machine("big-vm")["spec"]["domain"]
        self.assertEqual((3, "128Mi"), (domain["cpu"]["sockets"], domain["memory"]["guest"]))

    def test_through_a_virtualmachinesnapshot(self):
        source = self.typed()
        self.clone("kept", source, memory="192Mi",
                   clone_source={"snapshotMethod": "VirtualMachineSnapshot"})
        self.wait_ended("kept")
        self.assert_cloned("kept", source)
        domain = self.machine("kept-vm")["spec"]["domain"]
        self.assertEqual((2, "192Mi"), (domain["cpu"]["sockets"], domain["memory"]["guest"]))


class VolumeMigration(RealCase):
    """The volumes of a running machine are to move: it is pointed at empty claims before a byte is
    copied (KubeVirt's pkg/virt-controller/watch/vm/vm.go: handleVolumeUpdateRequest)."""

    ways = ("IfAvailable", "Required", "Never")

    def point_at(self, source, claims):
        self.kube.patch(vms.KUBEVIRT_API, VM, self.namespace, source.name, {"spec": {
            "updateVolumesStrategy": "Migration",
            "template": {"spec": {"volumes": vms.machine_spec(claims)["volumes"]}}}})

    def moving(self):
        """A source whose volumes are to move, and where to."""
        source = self.source(disks=("root", "data"))
        there = {disk: f"there-{disk}" for disk in source.claims}
        for claim in there.values():
            self.make_claim(claim)
        self.point_at(source, there)
        self.wait_for(lambda: vms.holds(source.vmi(), "VolumesChange"), 30, "the volumes to be moving")
        found = source.vmi()
        self.assertEqual(set(there), {m["volumeName"] for m in found["status"]["migratedVolumes"]})
        self.assertIn("there-root", json.dumps(found["spec"]["volumes"]))
        return source, there

    def clones_wait(self, source):
        for quiesce in self.ways:
            self.clone(quiesce.lower(), source, clone_source={"quiesce": quiesce})
        for quiesce in self.ways:
            found = self.wait_reason(quiesce.lower(), "SourceReady", "SourceBusy")
            self.assertIn("migrat", vms.condition(found, "SourceReady")["message"])
        time.sleep(3)
        self.nothing_was_done(source)

    def nothing_was_done(self, source):
        self.assertEqual(([], [], []), (self.snapshots(), self.freezers(), source.log("frozen")))

    def clones_end(self, source, last):
        """With what the guest has written since its record `last`."""
        for quiesce in self.ways:
            name = quiesce.lower()
            self.wait_ended(name, timeout_s=90)
            self.assertGreater(self.assert_disks(name, source, torn_tail=quiesce == "Never"), last)
            self.assert_own_identity(name, source)
        self.assert_untouched(source)
        self.assert_no_temporaries()

    def test_a_clone_waits_until_they_have_moved(self):
        source, there = self.moving()
        self.clones_wait(source)
        self.kube.create({"apiVersion": vms.KUBEVIRT_API, "kind": "VirtualMachineInstanceMigration",
                          "metadata": {"namespace": self.namespace, "name": "move"},
                          "spec": {"vmiName": source.name}})
        state = lambda: source.vmi()["status"].get("migrationState") or {}  # noqa: E731
        self.wait_for(lambda: state().get("startTimestamp"), 60, "the copy to begin")
        self.nothing_was_done(source)
        self.wait_for(lambda: state().get("completed"), 60, "the move to end")
        self.assertNotIn("migratedVolumes", source.vmi()["status"])
        left = source.last()
        source.claims = there
        self.clones_end(source, left)
        self.assertEqual(left, min(vms.read_live(self.volume_file(f"src-data-{i}")).last()
                                   for i in range(2)), "nobody writes where it came from")

    def test_a_clone_waits_until_the_move_is_called_off(self):
        source, _ = self.moving()
        self.clones_wait(source)
        last = source.last()
        self.point_at(source, source.claims)
        self.wait_for(lambda: "migratedVolumes" not in source.vmi()["status"], 30, "its end")
        self.clones_end(source, last)


    def test_a_machine_that_stopped_while_they_moved_is_not_cloned(self):
        """It would start on empty claims: KubeVirt wants its volumes to be named anew first."""
        source, _ = self.moving()
        last = source.last()
        self.kube.patch(vms.KUBEVIRT_API, VM, self.namespace, source.name,
                        {"spec": {"runStrategy": "Halted"}})
        machine = lambda: self.kube.get(vms.KUBEVIRT_API, VM, self.namespace, source.name)  # noqa: E731
        self.wait_for(lambda: vms.holds(machine(), "ManualRecoveryRequired"), 60, "KubeVirt to say so")
        self.clone("later", source, clone_source={"cloneType": "linked"})
        self.wait_reason("later", "SourceReady", "SourceBusy")
        time.sleep(3)
        self.nothing_was_done(source)
        self.point_at(source, source.claims)
        self.wait_ended("later", timeout_s=90)
        self.assert_same_records("later", source)
        self.assertGreaterEqual(source.last(), last)


class CopiedLabels(RealCase):
    """KubeVirt's own clone of a machine that we made bears our labels, and is not ours."""

    def labelled(self, *kinds):
        """{(kind, name): UID} of what bears the label of the Wukong."""
        return {(kind, o["metadata"]["name"]): o["metadata"]["uid"] for api, kind in kinds
                for o in self.kube.list(api, kind, self.namespace, f"{UID_LABEL}={self.uid}")}

    def everything(self):
        return self.labelled((vms.KUBEVIRT_API, VM), ("v1", "PersistentVolumeClaim"),
                             (objects.SNAPSHOT_API, "VolumeSnapshot"),
                             (vms.VM_SNAPSHOT_API, "VirtualMachineSnapshot"))

    def theirs_of(self, name, source, target):
        """What KubeVirt's clone `target` of our machine `source` bears our label with."""
        self.uid = self.wukong(name)["metadata"]["uid"]
        ours = self.everything()
        self.kubevirt_clones("theirs", source, target)
        theirs = {key: uid for key, uid in self.everything().items() if key not in ours}
        self.assertEqual({VM, "PersistentVolumeClaim"}, {kind for kind, _ in theirs},
                         "KubeVirt copies no labels: this case proves nothing")
        return theirs

    def wait_told(self, name, theirs):
        def told():
            events = [e["message"] for e in self.bed.events(self.namespace, name)
                      if e["reason"] == "NotOurs"]
            return all(any(f"{kind} {self.namespace}/{one}" in m for m in events)
                       for kind, one in theirs) or self.fail(f"{events}")
        self.wait_for(told, 30, "the Event to name what is not ours")

    def claim_and_bytes(self, theirs):
        claim, = (one for kind, one in theirs if kind == "PersistentVolumeClaim")
        return claim, self.volume_file(claim).read_bytes()

    def assert_stays(self, name, theirs):
        """The Wukong goes with its own, and what KubeVirt made is there as it was."""
        claim, before = self.claim_and_bytes(theirs)
        self.assertEqual(records.MAGIC, before[:len(records.MAGIC)])
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, name)
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, name), 90,
                      "the Wukong to go")
        self.wait_for(lambda: self.everything() == theirs, 60, "its own to go, and theirs to stay")
        time.sleep(5)
        self.assertEqual(theirs, self.everything())
        self.assertTrue(self.bound(claim))
        self.assertNotIn("deletionTimestamp", self.claim(claim)["metadata"])
        self.assertTrue(before == self.claim_and_bytes(theirs)[1], "the bytes of KubeVirt's clone changed")

    def assert_not_counted(self, source):
        """Of three claims of 64Mi in the namespace, two are clones': one more fits, and not two."""
        name = f"{self.namespace}-storage"
        self.cleanup_object({
            "apiVersion": vms.WUKONG_API, "kind": "ClonePolicy",
            "metadata": {"name": name}, "spec": {
                "match": {"target": {"namespaceSelector": {"matchLabels": {
                    "kubernetes.io/metadata.name": self.namespace}}}},
                "limits": {"storagePerTargetNamespace": "130Mi"}}})
        self.wait_for(lambda: vms.holds(self.kube.get(vms.WUKONG_API, "ClonePolicy", None, name), "Ready"),
                      30, "the policy to be read")
        self.clone("next", source)
        self.wait_ended("next")
        self.clone("over", source)
        self.wait_reason("over", "PolicyAllowed", "Queued")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "over")

    def test_of_a_linked_clone(self):
        source = self.source()
        self.clone("link", source, clone_source={"cloneType": "linked"})
        self.wait_ended("link")
        theirs = self.theirs_of("link", "link-vm", "theirs-vm")
        self.wait_told("link", theirs)
        found = self.wukong("link")
        self.assertEqual("Succeeded", vms.clone_status(found)["phase"])
        self.assertNotIn("theirs-vm", json.dumps(found["status"]))
        self.assert_not_counted(source)
        self.assert_stays("link", theirs)
        self.wait_for(lambda: not self.snapshots() and not self.contents(), 60, "the parent to go")
        copy = vms.Source(self, "theirs-vm", {"root": self.claim_and_bytes(theirs)[0]}, True,
                          self.namespace)
        self.start(copy)
        self.assertEqual([], vms.read_live(copy.file("root")).problems())
        self.assert_untouched(source)

    def test_under_the_name_of_a_replica(self):
        """A replica that was lost, and was made anew of another one by KubeVirt."""
        source = self.source()
        self.clone("many", source, replicas=2)
        self.wait_ended("many", timeout_s=90)
        self.kube.delete(vms.KUBEVIRT_API, VM, self.namespace, "many-vm-1")
        self.wait_for(lambda: not self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                                 "many-vm-1-root"), 60, "the replica to go")
        theirs = self.theirs_of("many", "many-vm-0", "many-vm-1")
        self.wait_told("many", theirs)
        self.assert_stays("many", theirs)


class Figures(RealCase):
    """One clone alone against KubeVirt's own of the same machine; at most one runs at a time."""

    at_once = 1

    def _writes(self, user, mark):
        return sum(self.bed.audit_count(mark, user).values())

    def test_freeze_and_writes(self):
        source = self.source()
        controller = "system:serviceaccount:kubevirt:kubevirt-controller"
        figures = {}
        for i in range(3):
            mark = self.bed.audit_mark()
            began = time.monotonic()
            self.clone(f"ours-{i}", source, startStrategy={"autoStart": False})
            found = self.wait_ended(f"ours-{i}")
            took = time.monotonic() - began
            time.sleep(3)
            figures.setdefault("wukong", []).append({
                "frozen": round(source.log("thawed")[-1]["frozenMs"]),
                "told": vms.clone_status(found)["freezeMilliseconds"], "seconds": round(took, 1),
                "writes": self._writes(self.bed.account("worker"), mark),
                "kubevirt": self._writes(controller, mark)})
        for i in range(3):
            mark = self.bed.audit_mark()
            began = time.monotonic()
            self.kubevirt_clones(f"theirs-{i}", "src", f"theirs-{i}-vm")
            took = time.monotonic() - began
            time.sleep(3)
            figures.setdefault("VirtualMachineClone", []).append({
                "frozen": round(source.log("thawed")[-1]["frozenMs"]), "seconds": round(took, 1),
                "writes": self._writes(controller, mark)})
        for i in range(3):
            mark = self.bed.audit_mark()
            self.kube.create({"apiVersion": vms.VM_SNAPSHOT_API, "kind": "VirtualMachineSnapshot",
                              "metadata": {"namespace": self.namespace, "name": f"snap-{i}"},
                              "spec": {"source": {"apiGroup": "kubevirt.io", "kind": VM, "name": "src"}}})
            done = lambda: (self.kube.get(vms.VM_SNAPSHOT_API, "VirtualMachineSnapshot",  # noqa: E731
                                          self.namespace, f"snap-{i}").get("status") or {}
                            ).get("phase") == "Succeeded"
            self.wait_for(done, 60, "KubeVirt's snapshot")
            time.sleep(2)
            figures.setdefault("VirtualMachineSnapshot", []).append({
                "frozen": round(source.log("thawed")[-1]["frozenMs"]),
                "writes": self._writes(controller, mark)})
        for name, runs in figures.items():
            print(f"# {name}: {json.dumps(runs)}", flush=True)
        # Times are told, not judged: they are the machine's. Requests are not.
        writes = {name: sorted(sum(r[k] for k in ("writes", "kubevirt") if k in r) for r in runs)[1]
                  for name, runs in figures.items()}
        self.assertLess(writes["wukong"], writes["VirtualMachineClone"])


if __name__ == "__main__":
    harness.main()
