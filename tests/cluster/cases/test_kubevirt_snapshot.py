"""Proves that the stand-in's VirtualMachineSnapshots behave as KubeVirt's (pkg/storage/snapshot): names,
phases, the lock on the VM, one freeze and one thaw, and what happens when the freeze fails.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects  # noqa: E402
from bedlib.machines import (API, CONTROLLER, FAULT, SNAPSHOT, STORAGE, VM, VMI, Machines,  # noqa: E402
                             spec_of)


class SnapshotCase(Machines):
    needs = ("kubevirt-standin", *STORAGE)

    def snapshot(self, name="snap", **more):
        self.kube.create({"apiVersion": SNAPSHOT, "kind": "VirtualMachineSnapshot",
                          "metadata": {"name": name, "namespace": self.namespace},
                          "spec": {"source": {"apiGroup": "kubevirt.io", "kind": VM, "name": "src"}, **more}})

    def snap(self, name="snap"):
        return self.status("VirtualMachineSnapshot", name, SNAPSHOT)

    def succeeded(self, name="snap"):
        self.wait_for(lambda: self.snap(name).get("phase") == "Succeeded" and self.snap(name).get("readyToUse"),
                      30, f"{name} to succeed")
        return self.snap(name)

    def content(self, name="snap"):
        return self.kube.get(SNAPSHOT, "VirtualMachineSnapshotContent", self.namespace,
                             self.snap(name)["virtualMachineSnapshotContentName"])

    def unlocked(self):
        self.wait_for(lambda: not self.status(VM).get("snapshotInProgress"), 10, "the VM to be unlocked")


class Snapshots(SnapshotCase):
    """pkg/storage/snapshot"""

    def test_a_running_vm_is_frozen_once_cut_and_thawed(self):
        for claim in ("root", "data"):
            self.make_claim(claim)
        self.kube.create(self.vm(spec=spec_of("root", "data", cloud_init=True)))
        self.running()
        self.wait_for(lambda: self.writes("root"), 5, "records")
        # cores and host name change while it runs: the snapshot holds what runs
        self.kube.patch(API, VM, self.namespace, "src", {"spec": {"template": {"spec": {"hostname": "later"}}}})
        self.snapshot()
        status = self.succeeded()
        uid = self.get("VirtualMachineSnapshot", "snap", SNAPSHOT)["metadata"]["uid"]
        self.assertEqual(f"vmsnapshot-content-{uid}", status["virtualMachineSnapshotContentName"])
        self.assertEqual({"Online", "GuestAgent"}, set(status["indications"]))
        self.assertEqual({"Online", "GuestAgent"}, {i["indication"] for i in status["sourceIndications"]})
        self.assertEqual({"root", "data"}, set(status["snapshotVolumes"]["includedVolumes"]))
        self.assertEqual(["ci"], status["snapshotVolumes"]["excludedVolumes"])
        self.assertEqual({"Ready": ("True", "Ready"), "Progressing": ("False", "Operation complete")},
                         {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]})
        content = self.content()
        source = content["spec"]["source"]["virtualMachine"]
        self.assertNotIn("hostname", source["spec"]["template"]["spec"])
        self.assertEqual("Stopped", source["status"]["printableStatus"])
        self.assertIn("resourceVersion", source["metadata"])
        backups = {b["volumeName"]: b for b in content["spec"]["volumeBackups"]}
        self.assertEqual({"root", "data"}, set(backups))
        self.assertEqual(f"vmsnapshot-{uid}-volume-root", backups["root"]["volumeSnapshotName"])
        self.assertTrue(backups["root"]["persistentVolumeClaim"]["spec"]["volumeName"])
        vs = self.kube.get(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace, f"vmsnapshot-{uid}-volume-root")
        self.assertEqual("src", vs["metadata"]["labels"]["snapshot.kubevirt.io/source-vm-name"])
        self.assertEqual(content["metadata"]["uid"], vs["metadata"]["ownerReferences"][0]["uid"])
        frozen, thawed = self.log_events("frozen"), self.log_events("thawed")
        self.assertEqual((1, 1), (len(frozen), len(thawed)))
        self.assertEqual((CONTROLLER, 300), (frozen[0]["user"], frozen[0]["timeoutSeconds"]))
        self.unlocked()
        self.kube.delete(SNAPSHOT, "VirtualMachineSnapshot", self.namespace, "snap")
        self.wait_for(lambda: not self.kube.list(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace), 15,
                      "the VolumeSnapshots to go with it")

    def test_a_stopped_vm_has_no_indications(self):
        self.make_claim("root")
        self.kube.create(self.vm("src", "root", strategy="Halted"))
        self.snapshot()
        status = self.succeeded()
        self.assertNotIn("indications", status)
        self.assertNotIn("excludedVolumes", status["snapshotVolumes"])
        self.assertEqual([], self.log())

    def test_without_agent_and_paused_it_goes_on_unfrozen(self):
        self.make_claim("root")
        self.kube.create(self.vm("src", "root", annotations={FAULT + "no-agent": "true"}))
        self.running(agent=False)
        self.snapshot()
        self.assertEqual({"Online", "NoGuestAgent"}, set(self.succeeded()["indications"]))
        self.annotate(no_agent=None, paused="true")
        self.wait_for(lambda: self.condition(VMI, "Paused"), 5, "the pause")
        self.unlocked()
        self.snapshot("second")
        self.assertEqual({"Online", "Paused"}, set(self.succeeded("second")["indications"]))
        self.assertEqual([], self.log_events("freeze-request"))

    def test_locks_what_would_disturb_it(self):
        self.start_vm("root", annotations={FAULT + "freeze-slow": "2500"})
        self.snapshot()
        self.wait_for(lambda: self.status(VM).get("snapshotInProgress") == "snap", 5, "the lock")
        text = 'Cannot update vm running state until snapshot "snap" completes'
        self.assert_refused(lambda: self.kube.patch(API, VM, self.namespace, "src", {"spec": {"runStrategy": "Halted"}}),
                            422, text)
        self.assert_refused(lambda: self.kube.patch(API, VM, self.namespace, "src",
                                                    {"spec": {"template": {"spec": {"volumes": []}}}}), 422)
        self.assert_status(self.call("stop", plural="virtualmachines"), 500, text)
        self.kube.patch(API, VM, self.namespace, "src", {"metadata": {"labels": {"x": "y"}}})
        self.kube.patch(API, VM, self.namespace, "src", {"spec": {"template": {"spec": {"hostname": "h"}}}})
        self.snapshot("second")
        self.wait_for(lambda: 'snapshot "snap" in progress' in (
            self.condition("VirtualMachineSnapshot", "Progressing", "second", SNAPSHOT) or {}).get("reason", ""),
            5, "the second to wait")
        self.succeeded()
        self.succeeded("second")
        self.unlocked()

    def test_it_thaws_a_freeze_that_is_not_its_own(self):
        self.start_vm("root")
        self.freeze("600s")
        self.wait_for(lambda: self.status().get("fsFreezeStatus") == "frozen", 8, "the poll")
        self.snapshot()
        self.assertIn("GuestAgent", self.succeeded()["indications"], "it claims the agent although it did not freeze")
        self.assertEqual([], [e for e in self.log_events("freeze-request") if e["user"] == CONTROLLER])
        self.assertEqual(CONTROLLER, self.log_events("thawed")[0]["user"])

    def test_a_claim_without_snapshot_class_is_left_out(self):
        self.cleanup_object(objects.storage_class(f"{self.namespace}-none", provisioner="nobody.example.com"))
        self.make_claim("root")
        self.kube.create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{self.namespace}-pv"},
                          "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                                   "storageClassName": f"{self.namespace}-none", "hostPath": {"path": "/nonexistent"}}})
        self.addCleanup(self.kube.delete, "v1", "PersistentVolume", None, f"{self.namespace}-pv")
        self.make_claim("data", storage_class=f"{self.namespace}-none")
        self.kube.create(self.vm("src", "root", "data", strategy="Halted"))
        self.wait_for(lambda: [s["enabled"] for s in self.status(VM).get("volumeSnapshotStatuses", [])] == [True, False],
                      5, "the preflight")
        self.assertIn("No VolumeSnapshotClass", self.status(VM)["volumeSnapshotStatuses"][1]["reason"])
        self.snapshot()
        status = self.succeeded()
        self.assertEqual(["data"], status["snapshotVolumes"]["excludedVolumes"])
        self.assertEqual(["PartialSnapshot"], status["indications"])

    def test_it_waits_for_its_claims(self):
        self.kube.create(self.vm("src", "root", strategy="Halted"))
        self.snapshot()
        self.wait_for(lambda: "volume doesnt exist" in (
            self.condition("VirtualMachineSnapshot", "Progressing", "snap", SNAPSHOT) or {}).get("reason", ""), 5, "why")
        self.make_claim("root")
        self.succeeded()

    def test_a_lost_volume_snapshot_takes_readiness_back(self):
        self.make_claim("root")
        self.kube.create(self.vm("src", "root", strategy="Halted"))
        self.snapshot()
        self.succeeded()
        name = self.content()["spec"]["volumeBackups"][0]["volumeSnapshotName"]
        self.kube.delete(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace, name)
        self.wait_for(lambda: self.snap().get("readyToUse") is False, 10, "readyToUse to go back")
        self.assertEqual(("Succeeded", f"VolumeSnapshots ({name}) missing"),
                         (self.snap()["phase"], self.snap()["error"]["message"]))


class SnapshotFaults(SnapshotCase):
    """What a VirtualMachineSnapshot does when the freeze fails."""

    def test_freeze_errors_until_the_deadline_fail_it(self):
        self.start_vm("root", annotations={FAULT + "freeze-500": "true"})
        self.snapshot(failureDeadline="6s")
        self.wait_for(lambda: "error" in self.snap(), 5, "the error")
        status = self.snap()
        self.assertEqual("InProgress", status["phase"])
        self.assertIn("unexpected return code 400", status["error"]["message"])
        self.assertEqual(("False", "In error state"), tuple(
            self.condition("VirtualMachineSnapshot", "Progressing", "snap", SNAPSHOT)[k] for k in ("status", "reason")))
        self.wait_for(lambda: self.snap().get("phase") == "Failed", 12, "the deadline")
        self.assertEqual("snapshot deadline exceeded",
                         self.condition("VirtualMachineSnapshot", "Failure", "snap", SNAPSHOT)["reason"])
        self.wait_for(lambda: not self.kube.list(SNAPSHOT, "VirtualMachineSnapshotContent", self.namespace), 10,
                      "the content to be deleted")
        self.unlocked()
        self.assertTrue(self.snap()["virtualMachineSnapshotContentName"], "it names what is gone")
        attempts = self.log_events("freeze-request")
        self.assertGreater(len(attempts), 2, attempts)
        self.assertTrue(self.log_events("unfreeze-request"), "a thaw is sent at the deadline")

    def test_a_freeze_that_works_at_the_second_try(self):
        self.start_vm("root", annotations={FAULT + "freeze-500": "1"})
        self.snapshot()
        self.assertNotIn("error", self.succeeded())
        self.assertEqual(1, len(self.log_events("thawed")))


if __name__ == "__main__":
    harness.main()
