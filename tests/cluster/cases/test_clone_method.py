"""Proves snapshotMethod VirtualMachineSnapshot: KubeVirt's own snapshot does the freeze, the cut and
the thaw, and the clone that comes of it is as right as one of the default method."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

METHOD = {"snapshotMethod": "VirtualMachineSnapshot"}


class Method(vms.Concurrent):
    def _seen_snapshot(self, name, within_s=20):
        """The VirtualMachineSnapshot of a clone while it is there."""
        def now():
            found = self.kube.list(vms.VM_SNAPSHOT_API, "VirtualMachineSnapshot", self.namespace)
            return found[0] if found else None
        return self.wait_for(now, within_s, f"the VirtualMachineSnapshot of {name}")

    def _clone(self, name, source, within_s=20):
        wukong = self.clone(name, source, clone_source=METHOD)
        seen = self._seen_snapshot(name, within_s)
        self.assertEqual({"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": source.name},
                         seen["spec"]["source"])
        self.assertEqual(f"snapshot-{source.name}-{name}-{wukong['metadata']['uid'][:8]}-1",
                         seen["metadata"]["name"])
        self.wait_ended(name)
        self._cleaned(name)
        self._nothing_of_kubevirts_is_left()
        return seen

    def _cleaned(self, name):
        self.wait_for(lambda: vms.holds(self.wukong(name), "TemporariesCleaned"), 30, "the snapshots to go")

    def _nothing_of_kubevirts_is_left(self):
        """At once: the garbage collector, that KubeVirt leaves the rest to, was waited for."""
        self.assertEqual([], [s["metadata"]["name"] for s in self.snapshots()])
        self.assertEqual([], [c["metadata"]["name"] for c in self.contents()])
        self.assertEqual([], self.physical_snapshots())
        left = self.kube.list(vms.VM_SNAPSHOT_API, "VirtualMachineSnapshot", self.namespace)
        self.assertEqual([], left)

    def test_a_vm_is_cloned_through_kubevirts_snapshot(self):
        source = self.source(disks=("root", "data"), owned=True)
        self._clone("one", source)
        self.assert_cloned("one", source)
        users = {e["user"] for e in source.log("freeze-request", "unfreeze-request")}
        self.assertNotIn(self.bed.account("worker"), users, "KubeVirt freezes, not the worker")
        # Several snapshots of one source follow one another under KubeVirt's own lock.
        self.assertEqual(1, len(source.log("frozen")))

    def test_without_agent_it_is_crash_consistent(self):
        source = self.source(owned=True, faults={"no-agent": "true"}, agent=False)
        # A guest that has just begun to run gets two minutes for its agent.
        self._clone("crash", source, within_s=160)
        self.assert_cloned("crash", source, consistency="CrashConsistent")

    def test_what_somebody_else_retains_stays(self):
        """Neither the clone nor the class has set it: an administrator keeps what was cut."""
        source = self.source(owned=True)
        self.clone("kept", source, clone_source=METHOD)
        content = self.wait_for(self.contents, 20, "a content")[0]["metadata"]["name"]
        self.kube.patch(objects.SNAPSHOT_API, "VolumeSnapshotContent", None, content,
                        {"spec": {"deletionPolicy": "Retain"}})
        self.wait_ended("kept")
        self._cleaned("kept")
        self.assertEqual([], [v["metadata"]["name"] for v in self.snapshots()])
        self.assertEqual([content], [c["metadata"]["name"] for c in self.contents()])
        self.kube.patch(objects.SNAPSHOT_API, "VolumeSnapshotContent", None, content,
                        {"spec": {"deletionPolicy": "Delete"}})
        self.kube.delete(objects.SNAPSHOT_API, "VolumeSnapshotContent", None, content)
        self.wait_for(lambda: not self.physical_snapshots(), 40, "the snapshot to go")

    def test_deleted_while_kubevirts_snapshot_is_being_cut(self):
        """KubeVirt keeps the guest frozen until its snapshot goes, so that nobody waits for the CSI
        driver; what that makes afterwards is not overlooked."""
        source = self.source(owned=True)
        handle = source.handle("root")
        vms.set_disk_fault(self.bed, handle, snapshot_delay_ms=600000)
        self.addCleanup(vms.set_disk_fault, self.bed, handle)
        self.clone("gone", source, clone_source=METHOD)
        self.wait_for(lambda: source.log("frozen"), 20, "KubeVirt to freeze the guest")
        self.wait_for(self.contents, 20, "the snapshot to be asked for")
        time.sleep(1)
        deleted = time.time()
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "gone")
        self.wait_for(lambda: source.log("thawed"), 10, "the thaw")
        self.assertLess(source.log("thawed")[0]["at"] - deleted, 4)
        self.assertTrue(self.contents())
        vms.set_disk_fault(self.bed, handle)
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "gone"), 40,
                      "the Wukong to go")
        self._nothing_of_kubevirts_is_left()
        self.assert_untouched(source)

    def test_what_the_method_cannot_honour_is_refused_by_field(self):
        source = self.source(owned=True)
        for more, path in (({"quiesce": "Required"}, "spec.cloneSource.quiesce"),
                           ({"quiesce": "Never"}, "spec.cloneSource.quiesce"),
                           ({"volumeSnapshotClassName": "file"},
                            "spec.cloneSource.volumeSnapshotClassName")):
            with self.subTest(more):
                refusal = self.assert_refused(
                    lambda: self.clone("no", source, clone_source={**METHOD, **more}), 422)
                self.assertIn(path, [c["field"] for c in refusal.causes()])
        refusal = self.assert_refused(
            lambda: self.clone("no", source, clone_source=METHOD, disks=[{"name": "root"}]), 422)
        self.assertTrue([c for c in refusal.causes() if c["field"].startswith("spec.disks")])

    def test_a_standalone_vmi_is_refused_by_field(self):
        source = self.source()
        refusal = self.assert_refused(lambda: self.clone("no", source, clone_source=METHOD), 422)
        self.assertIn("spec.cloneSource.snapshotMethod", [c["field"] for c in refusal.causes()])

    def test_a_snapshot_of_somebody_else_is_waited_for(self):
        """KubeVirt's lock: our freeze and its snapshot must not cross."""
        source = self.source(owned=True)
        vms.set_disk_fault(self.bed, source.handle("root"), snapshot_delay_ms=600000)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("root"))
        theirs = {"apiVersion": vms.VM_SNAPSHOT_API, "kind": "VirtualMachineSnapshot",
                  "metadata": {"namespace": self.namespace, "name": "backup"},
                  "spec": {"source": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine",
                                      "name": source.name}}}
        self.kube.create(theirs)
        in_progress = lambda: self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace,  # noqa: E731
                                            source.name)["status"].get("snapshotInProgress")
        self.wait_for(in_progress, 20, "the lock")
        self.clone("after", source)
        self.wait_reason("after", "SourceReady", "SourceBusy")
        worker = self.bed.account("worker")
        self.assertEqual([], [e for e in source.log("freeze-request", "unfreeze-request")
                              if e["user"] == worker])
        vms.set_disk_fault(self.bed, source.handle("root"))
        self.wait_ended("after", timeout_s=90)
        self.assert_disks("after", source, self.frozen_at(source))
        self.assertEqual("FilesystemConsistent",
                         vms.clone_status(self.wukong("after"))["consistency"])
        kept = self.kube.get(vms.VM_SNAPSHOT_API, "VirtualMachineSnapshot", self.namespace, "backup")
        self.assertEqual("Succeeded", kept["status"]["phase"], "somebody's snapshot was harmed")


if __name__ == "__main__":
    harness.main()
