"""Proves that whatever is deleted, and in whatever order, no namespace hangs in Terminating because of
a clone, no guest stays frozen, and nothing of it stays behind: no object, and no snapshot of the CSI
driver's, which would be found by nobody once its VolumeSnapshot and content are gone.

Each order has namespaces of its own; all of them run side by side.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

# A namespace with a few objects goes in about 6 s; ten minutes is what a cleanup may take at worst,
# and none of these has a reason to come near it. All at once on a loaded machine: seen 66 s.
GONE_S = 150


class Deleted(vms.Concurrent):
    at_once = 7

    def _other(self, suffix):
        name = f"{self.namespace}-{suffix}"
        self.make_namespace(name)
        return name

    def _delete_namespace(self, name):
        self.kube.delete("v1", "Namespace", None, name)

    def _wait_gone(self, api, kind, namespace, name, timeout_s=GONE_S):
        def gone():
            found = self.kube.find(api, kind, namespace, name)
            if not found:
                return True
            left = [c["message"] for c in (found.get("status") or {}).get("conditions") or []
                    if "Remaining" in c["type"] and c["status"] == "True"]
            raise AssertionError(f"{kind} {name} is there: {left or found['metadata']}")
        self.wait_for(gone, timeout_s, f"{kind} {name} to go")

    def _wait_namespace_gone(self, name):
        self._wait_gone("v1", "Namespace", None, name)

    def _wait_wukong_gone(self, namespace, name):
        self._wait_gone(vms.WUKONG_API, "Wukong", namespace, name)

    def _physical(self, handles):
        kept = []
        for path in (self.bed.csi_data / "snapshots").glob("*.json"):
            try:
                kept += [path.stem] if json.loads(path.read_text())["sourceVolume"] in handles else []
            except FileNotFoundError:
                continue
        return kept

    def _assert_no_snapshot(self, handles, *namespaces):
        """Neither of these volumes, nor an object of one in these namespaces."""
        self.wait_for(lambda: not self._physical(handles), 20, "the CSI driver's snapshots to go")
        for namespace in namespaces:
            self.assertEqual([], [c["metadata"]["name"] for c in self.contents(namespace)])

    def _assert_nothing_of(self, name):
        """The garbage collector takes the machine of a finished one, a moment after its Wukong."""
        self.wait_for(lambda: not self.kube.find(vms.KUBEVIRT_API, "VirtualMachine", self.namespace,
                                                 f"{name}-vm"), 40, "the machine to go")
        self.wait_for(lambda: not self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                                 f"{name}-root"), 40, "its claim to go")
        self.assert_nothing_left(name, ["root"])

    def _held(self, name, source, namespace=None, clone_source=None):
        """A clone whose guest is frozen and whose snapshot does not come. Returns what ends that."""
        handle = source.handle("root")
        vms.set_disk_fault(self.bed, handle, snapshot_delay_ms=600000)
        self.addCleanup(vms.set_disk_fault, self.bed, handle)
        self.clone(name, source, namespace=namespace, clone_source=clone_source)
        self.wait_for(lambda: source.log("frozen"), 40, "the guest to be frozen")
        self.wait_for(lambda: self.contents(source.namespace), 20, "the snapshot to be asked for")
        return lambda: vms.set_disk_fault(self.bed, handle)

    def test_its_namespace_with_the_source_while_the_guest_is_frozen(self):
        here = self._other("here")
        source = self.source(namespace=here)
        handles = [source.handle("root")]
        release = self._held("c", source, namespace=here)
        self._delete_namespace(here)
        time.sleep(2)
        release()
        self._wait_namespace_gone(here)
        self._assert_no_snapshot(handles, here)

    def test_its_namespace_while_the_source_elsewhere_is_frozen(self):
        here = self._other("here")
        source = self.source()
        release = self._held("c", source, namespace=here, clone_source={"namespace": self.namespace})
        self._delete_namespace(here)
        self.wait_for(lambda: source.log("thawed"), 15, "the thaw")
        self.assert_thawed_by_worker(source)
        release()
        self._wait_namespace_gone(here)
        self.assert_untouched(source)
        self.assert_no_temporaries()

    def test_the_namespace_of_the_source_and_then_the_wukong(self):
        there = self._other("there")
        source = self.source(namespace=there)
        handles = [source.handle("root")]
        release = self._held("c", source, namespace=self.namespace, clone_source={"namespace": there})
        self._delete_namespace(there)
        time.sleep(1)
        release()
        self._wait_namespace_gone(there)
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "c")
        self._wait_wukong_gone(self.namespace, "c")
        self._assert_nothing_of("c")
        self._assert_no_snapshot(handles, there, self.namespace)

    def test_the_wukong_and_then_the_namespace_of_the_source(self):
        there = self._other("there")
        source = self.source(namespace=there)
        handles = [source.handle("root")]
        release = self._held("c", source, namespace=self.namespace, clone_source={"namespace": there})
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "c")
        self._delete_namespace(there)
        time.sleep(1)
        release()
        self._wait_wukong_gone(self.namespace, "c")
        self._wait_namespace_gone(there)
        self._assert_nothing_of("c")
        self._assert_no_snapshot(handles, there, self.namespace)

    def test_a_source_a_parent_and_then_its_child(self):
        """The disks keep what they are linked to, and that its name is gone is told; the last child lets
        go of it."""
        source = self.source(owned=True)
        handles = [source.handle("root")]
        self.clone("c", source, clone_source={"cloneType": "linked"})
        self.wait_ended("c", timeout_s=90)
        parent = self.snapshots()[0]["metadata"]["name"]
        content = self.contents()[0]["metadata"]["name"]
        self.assertEqual(1, len(self._physical(handles)))
        self.kube.delete(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, source.name)
        self.kube.delete("v1", "PersistentVolumeClaim", self.namespace, source.claims["root"])
        self._wait_gone("v1", "PersistentVolumeClaim", self.namespace, source.claims["root"])
        self.assertEqual([parent], [s["metadata"]["name"] for s in self.snapshots()])
        self.assertEqual(1, len(self._physical(handles)), "the parent went with its source")
        self.kube.delete(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace, parent)
        self._wait_gone(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace, parent)
        time.sleep(2)
        self.assertTrue(self.kube.find(objects.SNAPSHOT_API, "VolumeSnapshotContent", None, content))
        self.assertEqual(1, len(self._physical(handles)), "a child lost its parent's data")
        self.wait_for(lambda: [e for e in self.bed.events(self.namespace, "c")
                               if e["reason"] == "ParentLost"], 20, "the loss to be told")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "c")
        self._wait_wukong_gone(self.namespace, "c")
        self._assert_no_snapshot(handles, self.namespace)

    def test_a_namespace_with_linked_clones_that_are_to_be_retained(self):
        here = self._other("here")
        source = self.source(namespace=here)
        handles = [source.handle("root")]
        for name, policy in (("kept", "Retain"), ("gone", "Delete")):
            self.clone(name, source, namespace=here, clone_source={"cloneType": "linked"},
                       reclaimPolicy=policy)
        for name in ("kept", "gone"):
            self.wait_ended(name, timeout_s=90, namespace=here)
        self._delete_namespace(here)
        self._wait_namespace_gone(here)
        self._assert_no_snapshot(handles, here)

    def test_one_that_came_with_its_finalizer(self):
        """Out of a dump: another field manager owns the finalizer, and the worker's apply cannot take it off."""
        waits = objects.wukong(self.namespace, "dumped", {"cloneSource": {"type": "vmi", "vmiName": "later"}})
        waits["metadata"]["finalizers"] = ["keep.example/first", "vm.novasphere.dev/clone", "keep.example/last"]
        self.kube.create(waits)
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "dumped")
        self.wait_for(lambda: self.wukong("dumped")["metadata"]["finalizers"] ==
                      ["keep.example/first", "keep.example/last"], 60, "the worker's finalizer alone to go")
        self.kube.patch(vms.WUKONG_API, "Wukong", self.namespace, "dumped", {"metadata": {"finalizers": []}})
        self._wait_gone(vms.WUKONG_API, "Wukong", self.namespace, "dumped")

    def test_a_finished_clones_source_and_then_its_namespace(self):
        here = self._other("here")
        source = self.source(owned=True, namespace=here)
        handles = [source.handle("root")]
        self.clone("c", source, namespace=here)
        self.wait_ended("c", timeout_s=90, namespace=here)
        self.kube.delete(vms.KUBEVIRT_API, "VirtualMachine", here, source.name)
        self.kube.delete("v1", "PersistentVolumeClaim", here, source.claims["root"])
        self._delete_namespace(here)
        self._wait_namespace_gone(here)
        self._assert_no_snapshot(handles, here)


if __name__ == "__main__":
    harness.main()
