"""Proves what a full clone does on storage that takes snapshots and does not clone volumes, as many drivers
do: it finds out by trying, leaves nothing of that, and goes on by snapshots without a retry being asked of
its user; where there is no VolumeSnapshotClass either it ends with words that say so."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402


class Uncloned(vms.CloneCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = harness.new_bed(args={"csi": ["--without", "clones"]})
        cls.kube = cls.bed.admin()

    def _methods(self, found):
        return {d["name"]: d["method"] for d in vms.clone_status(found)["disks"]}

    def _clone(self, source, **more):
        return self.clone("whole", source, startStrategy={"autoStart": False}, **more,
                          clone_source={"cloneType": "full", "retryLimit": 0})

    def test_it_goes_on_by_snapshots(self):
        source = self.stopped_source(disks=("root", "data"))
        self._clone(source, disks=[{"name": "root", "size": "96Mi"}, {"name": "data"}])
        found = self.wait_ended("whole", timeout_s=90)
        status = vms.clone_status(found)
        self.assertEqual({"root": "SnapshotRestore", "data": "SnapshotRestore"}, self._methods(found))
        self.assertEqual(("Offline", 2), (status["consistency"], status["attempts"]))
        # The words of external-provisioner, which asks the driver what it can do.
        self.assertEqual("CloningRefused", status["lastError"]["reason"])
        self.assertIn("CLONE_VOLUME capability is not reported", status["lastError"]["message"])
        self.assert_same_records("whole", source)
        self.assertEqual("96Mi", self.claim("whole-root")["status"]["capacity"]["storage"])
        self.assert_no_temporaries()

    def test_without_a_snapshot_class_it_says_what_to_do(self):
        source = self.stopped_source()
        kept = [c for c in self.kube.list(objects.SNAPSHOT_API, "VolumeSnapshotClass")
                if c["driver"] == objects.DRIVER]
        for one in kept:
            self.kube.delete(objects.SNAPSHOT_API, "VolumeSnapshotClass", None, one["metadata"]["name"])
        self._clone(source)
        found = self.wait_ended("whole", "Failed", timeout_s=90)
        status = vms.clone_status(found)
        self.assertEqual("CloningRefused", vms.reason(found, "Stalled"))
        self.assertEqual({"root": "CSIClone"}, self._methods(found))
        self.assert_nothing_left("whole", source.claims)
        for one in kept:
            self.kube.create(objects.snapshot_class(
                one["metadata"]["name"], one.get("parameters"), one["deletionPolicy"],
                default="annotations" in one["metadata"]))
        self.kube.patch(vms.WUKONG_API, "Wukong", self.namespace, "whole", {
            "metadata": {"annotations": {"vm.novasphere.dev/retry": "1"}}})
        self.wait_for(lambda: vms.clone_status(self.wukong("whole"))["phase"] == "Succeeded", 90,
                      "the clone to be run again")
        self.assertEqual({"root": "SnapshotRestore"}, self._methods(self.wukong("whole")))
        self.assert_same_records("whole", source)
        self.assertEqual(2, status["attempts"])


if __name__ == "__main__":
    harness.main()
