"""Proves what a full clone does on storage that takes snapshots and does not clone volumes, as many drivers
do: it finds out by trying, leaves nothing of that, and goes on by snapshots without a retry being asked of
its user; where there is no VolumeSnapshotClass either it ends with words that say so."""

import json
import sys
import time
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


class Preferred(vms.CloneCase):
    """A stopped machine's preference may give it a persistent TPM or EFI, as those of Windows do. Its spec does
    not show it, and there is no instance that would."""

    def setUp(self):
        super().setUp()
        for name, spec in (("tpm", {"devices": {"preferredTPM": {"persistent": True}}}),
                           ("efi", {"firmware": {"preferredEfi": {"persistent": True}}}),
                           ("plain", {"devices": {"preferredTPM": {}}})):
            self.kube.create({"apiVersion": "instancetype.kubevirt.io/v1beta1", "kind": "VirtualMachinePreference",
                              "metadata": {"name": name, "namespace": self.namespace}, "spec": spec})

    def _prefer(self, name):
        self.kube.patch("kubevirt.io/v1", "VirtualMachine", self.namespace, "src", {
            "spec": {"preference": {"kind": "VirtualMachinePreference", "name": name}}})

    def _refused(self, name):
        source = self.stopped_source()
        self._prefer(name)
        return str(self.assert_refused(lambda: self.clone("whole", source, clone_source={"cloneType": "full"}), 422))

    def test_a_tpm_is_refused_at_admission(self):
        self.assertIn("persistent TPM", self._refused("tpm"))

    def test_efi_is_refused_at_admission(self):
        self.assertIn("persistent EFI", self._refused("efi"))

    def test_what_comes_after_admission_is_refused_before_the_plan(self):
        source = self.stopped_source()
        self.clone("whole", source, clone_source={"cloneType": "full", "gates": ["example.com/Go"]})
        self.wait_reason("whole", "AwaitingGates", "AwaitingGates")
        self._prefer("tpm")
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
        body = {"apiVersion": vms.WUKONG_API, "kind": "Wukong",
                "metadata": {"namespace": self.namespace, "name": "whole"},
                "status": {"conditions": [{"type": "example.com/Go", "status": "True", "reason": "Go", "message": "",
                                           "lastTransitionTime": stamp}]}}
        self.kube._apply_at(self.kube.path_of(body, "status"), json.dumps(body), "application", False)
        found = self.wait_ended("whole", "Failed", timeout_s=60)
        self.assertIn("persistent TPM", vms.clone_status(found)["lastError"]["message"])
        self.assert_nothing_left("whole", source.claims)

    def test_a_preference_without_state_is_cloned(self):
        source = self.stopped_source()
        self._prefer("plain")
        self.clone("whole", source, startStrategy={"autoStart": False}, clone_source={"cloneType": "full"})
        self.wait_ended("whole", timeout_s=90)
        machine = self.kube.get("kubevirt.io/v1", "VirtualMachine", self.namespace, "whole-vm")
        self.assertEqual("plain", machine["spec"]["preference"]["name"])


if __name__ == "__main__":
    harness.main()
