"""Proves what happens when something is in the way: nothing of anybody else's is touched, no guest
stays frozen, what can be mended is waited for with a reason, and what cannot fails and leaves nothing.

Faults come from the stand-in (annotations on the VMI) and the CSI driver (faults by volume), never
from the product. A freeze that ends by the guest's own timer counts as a failure of the worker.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

harness.quick_storage()
# Short, so that "thawed until the guest's own timer has run out" does not take a minute per test.
UNFREEZE_S = 10
ATTEMPT_S = UNFREEZE_S + 6 + 15


class Faults(vms.Concurrent):
    together, at_once = "faults", 8
    worker_arguments = ("--unfreeze-timeout", str(UNFREEZE_S))


class Freeze(Faults):
    """The freeze goes wrong."""

    def test_a_freeze_that_answers_500_and_works_is_thawed_and_tried_again(self):
        source = self.source(faults={"freeze-500-but-frozen": "1"})
        self.clone("again", source)
        found = self.wait_ended("again", timeout_s=2 * ATTEMPT_S)
        self.assert_cloned("again", source)
        self.assert_thawed_by_worker(source)
        self.assert_first_thaw(source, 4)
        self.assertEqual("FreezeFailed", vms.clone_status(found)["lastError"]["reason"])

    def test_under_required_a_freeze_that_always_fails_fails_the_clone(self):
        source = self.source(faults={"freeze-500-but-frozen": "true"}, disks=("root", "data"))
        self.clone("never", source, clone_source={"quiesce": "Required", "retryLimit": 1})
        found = self.wait_ended("never", "Failed", timeout_s=3 * ATTEMPT_S)
        self.assert_failed(found, "FreezeFailed")
        self.assertEqual(2, len(source.log("freeze-request")), "one retry was allowed")
        self.assert_thawed_by_worker(source, within_s=4)
        self.assert_untouched(source)
        self.assert_nothing_left("never", source.claims)

    def assert_first_thaw(self, source, within_s):
        """The freeze that went wrong ended soon; a later one may take as long as the cut does."""
        self.assertLess(source.log("thawed")[0]["frozenMs"], within_s * 1000)

    def assert_failed(self, found, reason):
        self.assertEqual("Error", found["status"]["phase"])
        self.assertTrue(vms.holds(found, "Stalled"))
        self.assertFalse(vms.holds(found, "Ready"))
        self.assertEqual({}, vms.condition(found, "Reconciling"))
        error = vms.clone_status(found)["lastError"]
        self.assertEqual(reason, error["reason"])
        self.assertEqual(reason, vms.reason(found, "Ready"))
        self.assertTrue(error["message"] and error["time"])
        self.assertIn("Failed", [e["reason"] for e in self.bed.events(self.namespace,
                                                                      found["metadata"]["name"])])

    def test_a_freeze_that_lands_late_is_thawed_when_it_has_landed(self):
        """virt-api gives up, the thaw that follows finds a guest that is not frozen yet."""
        source = self.source(faults={"freeze-late": "2500", "freeze-late-times": "1",
                                     "handler-timeout": "1000"})
        self.clone("late", source)
        self.wait_ended("late", timeout_s=2 * ATTEMPT_S)
        self.assert_thawed_by_worker(source)
        self.assert_first_thaw(source, 4)
        self.assert_cloned("late", source)

    def test_a_freeze_refused_with_409_is_tried_again(self):
        source = self.source(faults={"freeze-409": "1"})
        self.clone("conflict", source)
        found = self.wait_ended("conflict", timeout_s=2 * ATTEMPT_S)
        self.assert_cloned("conflict", source)
        self.assertEqual(409, source.log("freeze-request")[0]["code"])
        self.assertEqual(2, vms.clone_status(found)["attempts"])

    def test_a_thaw_that_is_lost_is_sent_again(self):
        source = self.source(faults={"unfreeze-lost": "2"})
        self.clone("lost", source)
        self.wait_ended("lost", timeout_s=2 * ATTEMPT_S)
        # A clone whose cut is proven goes on beside the thaw, and keeps its finalizer until then.
        if not source.log("thawed"):
            self.assertTrue(self.wukong("lost")["metadata"].get("finalizers"))
            self.wait_for(lambda: source.log("thawed"), UNFREEZE_S, "the thaw")
        self.assert_thawed_by_worker(source)
        self.assertEqual([500, 500, 200], [e["code"] for e in source.log("unfreeze-request")][:3])

    def test_under_required_a_missing_agent_is_waited_for(self):
        source = self.source(faults={"no-agent": "true"}, agent=False)
        self.clone("patient", source, clone_source={"quiesce": "Required"})
        found = self.wait_reason("patient", "SourceReady", "AgentNotConnected")
        self.assertIn("agent", vms.condition(found, "SourceReady")["message"])
        self.assertTrue(vms.holds(found, "Reconciling"))
        self.assertEqual([], source.log("freeze-request"))
        self.assertEqual([], self.snapshots())
        source.annotate(no_agent=None)
        self.wait_ended("patient", timeout_s=40)
        self.assert_cloned("patient", source)

    def test_a_freeze_of_somebody_else_is_waited_for_and_never_ended(self):
        source = self.source()
        source.subresource("freeze", {"unfreezeTimeout": "5m"})
        self.addCleanup(source.subresource, "unfreeze")
        self.wait_for(lambda: source.vmi()["status"].get("fsFreezeStatus") == "frozen", 15,
                      "the freeze to be seen")
        self.clone("polite", source)
        self.wait_reason("polite", "SnapshotTaken", "SourceBusy")
        time.sleep(4)
        worker = self.bed.account("worker")
        ours = [e for e in source.log("freeze-request", "unfreeze-request") if e["user"] == worker]
        self.assertEqual([], ours)
        source.subresource("unfreeze")
        self.wait_ended("polite", timeout_s=40)
        self.assert_cloned("polite", source)

    def test_two_clones_of_one_source_never_freeze_it_at_the_same_time(self):
        source = self.source()
        # Equal ones would share one freeze (test_share.py).
        wanted = {"first": "IfAvailable", "second": "Required"}
        names = tuple(wanted)
        for name in names:
            self.clone(name, source, clone_source={"quiesce": wanted[name]})
        for name in names:
            self.wait_ended(name, timeout_s=60)
            self.assertEqual("FilesystemConsistent",
                             vms.clone_status(self.wukong(name))["consistency"])
        self.assertEqual(2, len(source.log("frozen")), "each froze it for itself")
        self.assertEqual([], source.log("already-frozen"))
        self.assert_thawed_by_worker(source)
        lasts = {e["last"] for e in source.log("frozen")}
        self.assertEqual(lasts, {self.assert_disks(name, source) for name in names})

    def test_a_slow_cut_outlasts_the_freeze_and_is_not_called_consistent(self):
        source = self.source()
        vms.set_disk_fault(self.bed, source.handle("root"), snapshot_delay_ms=(UNFREEZE_S + 4) * 1000)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("root"))
        self.clone("slow", source)
        self.wait_ended("slow", timeout_s=90)
        self.assert_cloned("slow", source, consistency="CrashConsistent")
        self.assert_thawed_by_worker(source, within_s=UNFREEZE_S)

    def test_under_required_a_slow_cut_is_taken_again(self):
        source = self.source()
        handle = source.handle("root")
        vms.set_disk_fault(self.bed, handle, snapshot_delay_ms=600000)
        self.addCleanup(vms.set_disk_fault, self.bed, handle)
        self.clone("strict", source, clone_source={"quiesce": "Required"})
        self.wait_for(lambda: source.log("thawed"), UNFREEZE_S + 10, "the thaw")
        vms.set_disk_fault(self.bed, handle)
        found = self.wait_ended("strict", timeout_s=3 * ATTEMPT_S)
        self.assert_cloned("strict", source)
        self.assertEqual("CutTimeout", vms.clone_status(found)["lastError"]["reason"])


class InTheWay(Faults):
    """Something stands where the clone wants to go, or is not there yet."""

    def _foreign(self, obj):
        made = self.kube.create(obj)
        return made["metadata"]["uid"]

    def _assert_still(self, kind, name, uid, api="v1"):
        found = self.kube.get(api, kind, self.namespace, name)
        self.assertEqual(uid, found["metadata"]["uid"])
        self.assertNotIn("deletionTimestamp", found["metadata"])
        managers = {m["manager"] for m in found["metadata"].get("managedFields", [])}
        self.assertNotIn("wukong-worker", managers, "somebody else's object was written to")
        self.assertFalse([k for k in found["metadata"].get("labels") or {} if "novasphere" in k])

    def test_a_claim_of_that_name_is_never_touched(self):
        source = self.source()
        uid = self._foreign(objects.claim(self.namespace, "taken-root"))
        self.clone("taken", source)
        found = self.wait_reason("taken", "SourceReady", "NameTaken")
        self.assertIn("taken-root", vms.condition(found, "SourceReady")["message"])
        self.assertEqual([], source.log("freeze-request"), "the source paid for it")
        self._assert_still("PersistentVolumeClaim", "taken-root", uid)
        self.kube.delete("v1", "PersistentVolumeClaim", self.namespace, "taken-root")
        self.wait_ended("taken", timeout_s=60)
        self.assert_cloned("taken", source)

    def test_a_vm_of_that_name_is_never_touched(self):
        source = self.source()
        uid = self._foreign(vms.vm(self.namespace, "taken-vm", vms.machine_spec({}),
                                   run_strategy="Halted"))
        self.clone("taken", source, clone_source={"deadlineSeconds": 8})
        self.wait_reason("taken", "SourceReady", "NameTaken")
        found = self.wait_ended("taken", "Failed", timeout_s=40)
        error = vms.clone_status(found)["lastError"]
        self.assertEqual("DeadlineExceeded", error["reason"])
        self.assertIn("taken-vm", error["message"], "what it waited for in vain")
        self._assert_still("VirtualMachine", "taken-vm", uid, vms.KUBEVIRT_API)
        self.assertEqual([], source.log("freeze-request"))
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "taken")
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "taken"),
                      20, "the Wukong to go")
        self._assert_still("VirtualMachine", "taken-vm", uid, vms.KUBEVIRT_API)

    def test_a_snapshot_of_that_name_is_never_touched_or_cloned_from(self):
        self.make_claim("strangers")
        made = self.clone("taken", clone_source={"type": "vmi", "vmiName": "src",
                                                 "quiesce": "Required"})
        name = f"snapshot-src-taken-{made['metadata']['uid'][:8]}-1-root"
        uid = self._foreign(objects.snapshot(self.namespace, name, "strangers"))
        self.wait_for(lambda: self.ready_snapshot(name), 30, "the stranger's snapshot")
        source = self.source()
        self.wait_ended("taken", timeout_s=2 * ATTEMPT_S)
        self._assert_still("VolumeSnapshot", name, uid, objects.SNAPSHOT_API)
        self.assert_disks("taken", source, self.frozen_at(source))
        # Its own go when it has succeeded.
        self.wait_for(lambda: [name] == [s["metadata"]["name"] for s in self.snapshots()], 20,
                      "the stranger's snapshot to be the only one")
        told = json.dumps([e["message"] for e in self.bed.events(self.namespace, "taken")])
        self.assertIn("NameTaken", told)
        self.assertIn(name, told)

    def test_a_missing_source_is_admitted_with_a_warning_and_starts_by_itself(self):
        wukong = objects.wukong(self.namespace, "early", {
            # Required: it starts as soon as the source runs, and the agent connects a while later.
            "cloneSource": {"type": "vmi", "vmiName": "src", "quiesce": "Required"}})
        shown = self.bed.kubectl("apply", "-f", "-", stdin=json.dumps(wukong))
        self.assertIn("Warning:", shown.stderr)
        self.assertIn("src", shown.stderr)
        found = self.wait_reason("early", "SourceReady", "SourceNotFound")
        self.assertEqual("Pending", vms.clone_status(found)["phase"])
        source = self.source()
        self.wait_ended("early")
        self.assert_cloned("early", source)

    def test_a_source_without_the_disk_is_refused(self):
        source = self.source()
        refusal = self.assert_refused(
            lambda: self.clone("no", source, disks=[{"name": "root"}, {"name": "nosuch"}]), 422)
        self.assertIn("spec.disks[1].name", [c["field"] for c in refusal.causes()])

    def test_a_disk_cannot_shrink(self):
        source = self.source()
        refusal = self.assert_refused(
            lambda: self.clone("no", source, disks=[{"name": "root", "size": "32Mi"}]), 422)
        self.assertIn("spec.disks[0].size", [c["field"] for c in refusal.causes()])
        self.assertIn("64Mi", refusal.message)

    def _without_class(self, name):
        """A VMI on storage whose driver has no VolumeSnapshotClass, written as a Source."""
        self.driver = f"{self.namespace}.csi.example"
        self.other_drivers_claim(f"{name}-data-0", self.driver)
        spec = vms.machine_spec({"root": f"{name}-data-0"})
        self.kube.create(vms.vmi(self.namespace, name, spec))
        return vms.Source(self, name, {"root": f"{name}-data-0"}, False, self.namespace)

    def test_no_snapshot_class_for_the_driver_is_refused_at_apply(self):
        source = self._without_class("src").wait(written=0)
        wukong = objects.wukong(self.namespace, "no", {"cloneSource": source.spec()})
        shown = self.bed.kubectl("apply", "-f", "-", stdin=json.dumps(wukong), check=False)
        self.assertNotEqual(0, shown.returncode)
        self.assertIn(self.driver, shown.stderr)
        self.assertIn("VolumeSnapshotClass", shown.stderr)
        self.assertIn("reate", shown.stderr, "the remedy is to create one")

    def test_without_the_webhooks_word_the_worker_waits_for_the_class(self):
        """Admitted before there was a source, so that only the worker can see it."""
        self.clone("early", clone_source={"type": "vmi", "vmiName": "src"})
        self.wait_reason("early", "SourceReady", "SourceNotFound")
        self._without_class("src").wait(written=0)
        found = self.wait_reason("early", "SourceReady", "SnapshotClassMissing")
        self.assertIn(self.driver, vms.condition(found, "SourceReady")["message"])

    def test_a_named_class_that_appears_later_is_waited_for(self):
        late = f"late-{self.namespace}"
        self.clone("early", clone_source={"type": "vmi", "vmiName": "src",
                                          "volumeSnapshotClassName": late})
        source = self.source()
        self.wait_reason("early", "SourceReady", "SnapshotClassMissing")
        self.assertEqual([], source.log("freeze-request"))
        self.cleanup_object(objects.snapshot_class(late))
        self.wait_ended("early", timeout_s=60)
        self.assert_cloned("early", source)

    def test_a_class_that_retains_leaves_nothing_behind(self):
        source = self.source()
        self.clone("tidy", source, clone_source={"volumeSnapshotClassName": "file-retain"})
        self.wait_ended("tidy", timeout_s=60)
        self.assert_cloned("tidy", source)

    def test_a_quota_is_waited_for_before_the_source_is_touched(self):
        source = self.source()
        quota = {"apiVersion": "v1", "kind": "ResourceQuota",
                 "metadata": {"namespace": self.namespace, "name": "tight"},
                 "spec": {"hard": {"persistentvolumeclaims": "1"}}}
        self.kube.create(quota)
        used = lambda: self.kube.get("v1", "ResourceQuota", self.namespace, "tight")["status"].get("used")  # noqa: E731
        self.wait_for(used, 20, "the quota to be counted")
        self.clone("poor", source)
        found = self.wait_reason("poor", "SourceReady", "QuotaExceeded")
        self.assertIn("tight", vms.condition(found, "SourceReady")["message"])
        self.assertEqual([], source.log("freeze-request"))
        self.assertEqual([], self.snapshots())
        self.kube.delete("v1", "ResourceQuota", self.namespace, "tight")
        self.wait_ended("poor", timeout_s=60)
        self.assert_cloned("poor", source)

    def test_a_stopped_vm_is_started_cloned_and_stopped_again(self):
        source = self.source(owned=True, run_strategy="Manual", wait=False)
        self.clone("woken", source, clone_source={"stopSourceAfter": True})
        self.wait_for(lambda: source.running(True), 40, "the source to be started")
        source.uid = source.vmi()["metadata"]["uid"]
        path = source.file("root")
        self.wait_ended("woken", timeout_s=60)
        held = vms.read_live(self.volume_file("woken-root"))
        self.assertEqual(self.frozen_at(source), len(held.numbers(source.uid)))
        self.assertEqual([], held.problems())
        self.wait_for(lambda: not source.find_vmi(), 30, "the source to be stopped again")
        self.assertGreater(vms.read_live(path).last(), self.frozen_at(source))


class Storage(Faults):
    """The storage fails or is slow."""

    def _classes(self, **parameters):
        faults = {f"fault-{k.replace('_', '-')}": str(v) for k, v in parameters.items()}
        unique = f"faulty-{self.namespace}"
        self.cleanup_object(objects.storage_class(unique, faults))
        self.cleanup_object(objects.snapshot_class(unique, faults))
        return unique

    def test_a_snapshot_that_fails_twice_succeeds(self):
        source = self.source(disks=("root", "data"))
        vms.set_disk_fault(self.bed, source.handle("data"), snapshot_fail_count=2)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("data"))
        self.clone("third", source)
        found = self.wait_ended("third", timeout_s=90)
        self.assert_cloned("third", source, consistency=vms.clone_status(found)["consistency"])
        self.assert_thawed_by_worker(source, within_s=UNFREEZE_S)

    def _late_class(self, **annotations):
        """A VolumeSnapshotClass of its own, since the rule is the class's."""
        made = objects.snapshot_class("-".join(["late", self.namespace, *annotations.values()]).lower())
        made["metadata"]["annotations"] = {f"vm.novasphere.dev/{k.replace('_', '-')}": v
                                           for k, v in annotations.items()}
        self.cleanup_object(made)
        return made["metadata"]["name"]

    def test_a_driver_that_answers_before_it_cuts_needs_the_rule_ready(self):
        source = self.source(disks=("root", "data"))
        for disk in source.claims:
            vms.set_disk_fault(self.bed, source.handle(disk), snapshot_cut_late_ms=2500)
            self.addCleanup(vms.set_disk_fault, self.bed, source.handle(disk))
        # Unknown and unannotated it is taken for a driver that keeps CSI. This is what a late cut does
        # then, and why the rule is there: the guest had gone on writing.
        self.clone("trusted", source, clone_source={"volumeSnapshotClassName": self._late_class()})
        found = self.wait_ended("trusted", timeout_s=60)
        self.assertEqual({"Created"}, {d["cutRule"] for d in vms.clone_status(found)["disks"]})
        held = vms.read_live(self.volume_file("trusted-root"))
        self.assertGreater(len(held.numbers(source.uid)), self.frozen_at(source),
                           "the driver cut in time, so this case proves nothing")
        self.clone("ready", source, clone_source={
            "volumeSnapshotClassName": self._late_class(cut_rule="Ready"), "quiesce": "Required"})
        found = self.wait_ended("ready", timeout_s=60)
        self.assertEqual({"Ready"}, {d["cutRule"] for d in vms.clone_status(found)["disks"]})
        self.assert_cloned("ready", source)
        self.assert_thawed_by_worker(source, within_s=UNFREEZE_S)

    def test_a_class_whose_cut_cannot_be_told_is_refused_by_name(self):
        source = self.source()
        for value, word in (("Refuse", "annotation refuses"), ("redy", "none of Created, Ready")):
            name = self._late_class(cut_rule=value)
            wukong = objects.wukong(self.namespace, "no", {
                "cloneSource": {**source.spec(), "volumeSnapshotClassName": name}})
            shown = self.bed.kubectl("apply", "-f", "-", stdin=json.dumps(wukong), check=False)
            self.assertNotEqual(0, shown.returncode)
            self.assertIn("spec.cloneSource.volumeSnapshotClassName", shown.stderr)
            self.assertIn(name, shown.stderr)
            self.assertIn(word, shown.stderr)
        self.assertEqual([], source.log("frozen"))

    def test_a_cut_that_outlasts_a_freeze_freezes_nobody(self):
        source = self.source()
        slow = self._late_class(cut_outlasts_freeze="true")
        self.clone("strict", source, clone_source={"volumeSnapshotClassName": slow,
                                                   "quiesce": "Required"})
        self.wait_for(lambda: vms.condition(self.wukong("strict"), "Ready").get("reason")
                      == "CutTooSlow", 30, "the reason")
        self.clone("loose", source, clone_source={"volumeSnapshotClassName": slow})
        self.wait_ended("loose", timeout_s=60)
        self.assert_cloned("loose", source, consistency="CrashConsistent")
        self.assertEqual([], source.log("frozen"))

    def test_a_snapshot_that_always_fails_ends_at_the_deadline_and_leaves_nothing(self):
        source = self.source(disks=("root", "data"))
        vms.set_disk_fault(self.bed, source.handle("data"), snapshot_fail=True)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("data"))
        self.clone("never", source, clone_source={"deadlineSeconds": 14})
        found = self.wait_ended("never", "Failed", timeout_s=60)
        error = vms.clone_status(found)["lastError"]
        self.assertEqual("DeadlineExceeded", error["reason"])
        self.assertIn("data", error["message"], "which disk, and what its driver said")
        self.assert_thawed_by_worker(source, within_s=UNFREEZE_S)
        self.assert_untouched(source)
        vms.set_disk_fault(self.bed, source.handle("data"))
        self.assert_nothing_left("never", source.claims)

    def test_a_restore_that_fails_twice_succeeds(self):
        faulty = self._classes(restore_fail_count=2)
        source = self.source(storage_class=faulty)
        self.clone("third", source)
        self.wait_ended("third", timeout_s=90)
        self.assert_cloned("third", source)

    def test_disks_are_restored_side_by_side(self):
        slow = self._classes(restore_delay_ms=2500)
        source = self.source(disks=("a", "b", "c", "d"), storage_class=slow)
        self.clone("four", source)
        self.wait_ended("four", timeout_s=60)
        self.assert_cloned("four", source)
        asked = [vms.seconds(self.claim(f"four-{disk}")["metadata"]["creationTimestamp"]) for disk in "abcd"]
        # One after the other they would be asked for 2.5 s apart, 7.5 s in all. When they are bound is the
        # provisioner's affair, which other clones beside this one keep busy.
        self.assertLess(max(asked) - min(asked), 4)

    def test_what_waits_for_its_first_consumer_waits_with_its_snapshot(self):
        source = self._wffc_source()
        self.clone("later", source, startStrategy={"autoStart": False})
        found = self.wait_ended("later", timeout_s=60)
        self.assertTrue(vms.holds(found, "Ready"))
        self.assertEqual("WaitingForFirstConsumer", vms.reason(found, "TemporariesCleaned"))
        self.assertFalse(vms.holds(found, "TemporariesCleaned"))
        self.assertEqual("Pending", self.claim("later-root")["status"]["phase"])
        self.assertEqual(1, len(self.snapshots()))
        self.kube.patch("v1", "PersistentVolumeClaim", self.namespace, "later-root", {"metadata": {
            "annotations": {"volume.kubernetes.io/selected-node": "any"}}})
        self.wait_for(lambda: self.bound("later-root"), 30, "the claim to be bound")
        self.wait_for(lambda: not self.snapshots(), 30, "the snapshot to go")
        self.assert_no_temporaries()
        self.assert_disks("later", source, self.frozen_at(source))
        self.wait_for(lambda: vms.holds(self.wukong("later"), "TemporariesCleaned"), 20,
                      "the status to say so")

    def test_a_started_clone_that_waits_for_its_first_consumer_binds(self):
        source = self._wffc_source()
        self.clone("now", source)
        def choose():
            # What a scheduler does once the launcher Pod is there.
            self.kube.patch("v1", "PersistentVolumeClaim", self.namespace, "now-root", {"metadata": {
                "annotations": {"volume.kubernetes.io/selected-node": "any"}}})
            return True
        self.wait_for(lambda: self.vm_of("now"), 40, "the VM to be made while its claim is Pending")
        if not self.bound("now-root"):
            choose()
        self.wait_ended("now", timeout_s=60)
        self.assert_cloned("now", source)

    def _wffc_source(self):
        self.kube.create(objects.claim(self.namespace, "src-data-0", storage_class="file-wffc",
                                       annotations={"volume.kubernetes.io/selected-node": "any"}))
        self.wait_for(lambda: self.bound("src-data-0"), 30, "the source's claim")
        made = vms.Source(self, "src", {"root": "src-data-0"}, False, self.namespace)
        self.kube.create(vms.vmi(self.namespace, "src", vms.machine_spec(made.claims),
                                 {vms.FAULT + "write-interval": "40"}))
        return made.wait()


class Untrue(Faults):
    """What the guest and the driver say is not so: the bytes tell, and the status follows them."""

    def test_windows_that_went_on_by_itself_is_never_called_consistent(self):
        # It holds its writes for less than the cut takes, and says so only when it is to thaw.
        source = self.source(faults={"windows": "2500"})
        vms.set_disk_fault(self.bed, source.handle("root"), snapshot_delay_ms=4500)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("root"))
        self.clone("loose", source)
        self.wait_ended("loose", timeout_s=90)
        self.assertTrue(source.log("released"), "the guest held its writes, so this case proves nothing")
        held = vms.read_live(self.volume_file("loose-root"))
        self.assertGreater(len(held.numbers(source.uid)), source.log("frozen")[0]["last"])
        self.assert_cloned("loose", source, consistency="CrashConsistent")
        self.clone("strict", source, clone_source={"quiesce": "Required", "retryLimit": 0})
        found = self.wait_ended("strict", "Failed", timeout_s=3 * ATTEMPT_S)
        self.assertEqual("CutTimeout", vms.clone_status(found)["lastError"]["reason"])
        self.assert_untouched(source)
        self.assert_nothing_left("strict", source.claims)

    def wait_busy(self, name, word):
        """Until it waits for others who hold its source, and says for whom."""
        def now():
            told = [c["message"] for c in self.wukong(name).get("status", {}).get("conditions", [])
                    if c["reason"] == "SourceBusy"]
            return any(word in text for text in told) or self.fail(f"{told}")
        return self.wait_for(now, 20, f"{name} to wait for {word}")

    def test_volumes_that_are_to_move_are_waited_for(self):
        """KubeVirt points a machine at an empty claim before it copies anything."""
        self.make_claim("destination")
        source = self.source(disks=("root", "data"))
        source.annotate(moving_volume="data=destination")
        self.wait_for(lambda: source.vmi()["status"].get("migratedVolumes"), 20, "the list of volumes")
        self.assertIn("destination", json.dumps(source.vmi()["spec"]["volumes"]))
        for quiesce in ("IfAvailable", "Never"):
            self.clone(quiesce.lower(), source, clone_source={"quiesce": quiesce})
        for quiesce in ("IfAvailable", "Never"):
            self.wait_busy(quiesce.lower(), "migrat")
        time.sleep(2)
        self.assertEqual(([], []), (self.snapshots(), source.log("freeze-request")))
        source.annotate(moving_volume=None)
        for quiesce in ("IfAvailable", "Never"):
            self.wait_ended(quiesce.lower(), timeout_s=90)
            self.assert_disks(quiesce.lower(), source, torn_tail=quiesce == "Never")

    def test_a_backup_is_waited_for(self):
        source = self.source()
        source.annotate(backup="nightly")
        self.wait_for(lambda: source.vmi()["status"].get("changedBlockTracking"), 20, "the backup")
        self.clone("after", source)
        self.wait_busy("after", "nightly")
        self.assertEqual(([], []), (self.snapshots(), source.log("freeze-request")))
        source.annotate(backup=None)
        self.wait_ended("after", timeout_s=90)
        self.assert_cloned("after", source)

    def test_a_backup_that_thaws_the_guest_is_seen(self):
        source = self.source()
        vms.set_disk_fault(self.bed, source.handle("root"), snapshot_delay_ms=4500)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("root"))
        self.clone("crossed", source)
        self.wait_for(lambda: source.log("frozen"), 20, "the guest to be frozen")
        source.annotate(backup="nightly")
        self.wait_for(lambda: [e for e in source.log("thawed") if e["user"] == "backup"], 8, "its thaw")
        # It ends before the cut: what tells of it afterwards is its name alone.
        source.annotate(backup=None)
        found = self.wait_ended("crossed", timeout_s=90)
        held = vms.read_live(self.volume_file("crossed-root"))
        if vms.clone_status(found)["attempts"] == 1:
            self.assertGreater(len(held.numbers(source.uid)), source.log("frozen")[0]["last"])
            self.assert_cloned("crossed", source, consistency="CrashConsistent")
        else:
            self.assert_cloned("crossed", source, consistency=vms.clone_status(found)["consistency"])

    def _class_with(self, name, **faults):
        unique = f"{name}-{self.namespace}"
        self.cleanup_object(objects.snapshot_class(
            unique, {f"fault-{k.replace('_', '-')}": v for k, v in faults.items()}))
        return unique

    def test_a_wrong_creation_time_changes_nothing(self):
        source = self.stopped_source()
        told = {"zero": "zero", "volume": "volume", "early": "-86400", "late": "86400"}
        for name, value in told.items():
            self.clone(name, source, startStrategy={"autoStart": False}, clone_source={
                "cloneType": "linked",
                "volumeSnapshotClassName": self._class_with(name, snapshot_creation_time=value)})
        for name in told:
            found = self.wait_ended(name, timeout_s=60)
            self.assertEqual("Offline", vms.clone_status(found)["consistency"], name)
            self.assertEqual(1, vms.clone_status(found)["attempts"], name)
            self.assert_same_records(name, source)

    def test_a_snapshot_that_its_clone_keeps_is_a_debt(self):
        source = self.source()
        self.clone("kept", source, clone_source={
            "volumeSnapshotClassName": self._class_with("kept", snapshot_kept_by_clones="true")})
        self.wait_ended("kept", timeout_s=60)
        found = self.wait_reason("kept", "TemporariesCleaned", "CleaningUp", 30)
        self.assertFalse(vms.holds(found, "TemporariesCleaned"))
        content, = self.contents()
        self.wait_for(lambda: "deletionTimestamp" in self.contents()[0]["metadata"], 30, "its deletion")
        time.sleep(5)
        found = self.wukong("kept")
        self.assertEqual("Succeeded", vms.clone_status(found)["phase"])
        self.assertTrue(vms.holds(found, "Ready"))
        self.assertNotIn("deletionTimestamp", self.vm_of("kept")["metadata"])
        self.assert_disks("kept", source, self.frozen_at(source))
        vms.set_disk_fault(self.bed, content["status"]["snapshotHandle"], snapshot_kept_by_clones=False)
        self.wait_for(lambda: vms.holds(self.wukong("kept"), "TemporariesCleaned"), 60, "the debt to be paid")
        self.assert_cloned("kept", source)


class Ends(Faults):
    """Deleting, retrying, and what a finished clone never does."""

    def _gone(self, name, timeout_s=40):
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, name),
                      timeout_s, f"wukong {name} to go")

    def test_deleting_it_while_the_guest_is_frozen_thaws_at_once(self):
        source = self.source(disks=("root", "data"))
        handle = source.handle("data")
        vms.set_disk_fault(self.bed, handle, snapshot_delay_ms=600000)
        self.addCleanup(vms.set_disk_fault, self.bed, handle)
        self.clone("gone", source)
        self.wait_for(lambda: source.log("frozen"), 20, "the guest to be frozen")
        self.wait_for(lambda: len(self.snapshots()) == 2, 20, "the snapshots to be asked for")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "gone")
        deleted = time.time()
        self.wait_for(lambda: source.log("thawed"), 8, "the thaw")
        self.assertLess(source.log("thawed")[0]["at"] - deleted, 2)
        # The driver is at work on it: deleted now, what it makes would be overlooked.
        time.sleep(2)
        held = [s for s in self.snapshots() if s["spec"]["source"]["persistentVolumeClaimName"]
                == source.claims["data"]]
        self.assertEqual(1, len(held))
        self.assertNotIn("deletionTimestamp", held[0]["metadata"])
        vms.set_disk_fault(self.bed, handle)
        self._gone("gone")
        self.assert_thawed_by_worker(source)
        self.assert_untouched(source)
        self.assert_nothing_left("gone", source.claims)

    def test_deleting_it_while_disks_are_restored_removes_all(self):
        slow = f"slow-{self.namespace}"
        self.cleanup_object(objects.storage_class(slow, {"fault-restore-delay-ms": "4000"}))
        source = self.source(disks=("root", "data"), storage_class=slow)
        self.clone("gone", source)
        self.wait_for(lambda: self.claim("gone-data"), 30, "the claims")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "gone")
        self.wait_for(self._only_orphaned_finalizers, 40, "claims to go, then snapshots to be deleted")
        for snapshot in self.snapshots():
            self.kube.patch(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace,
                            snapshot["metadata"]["name"], {"metadata": {"finalizers": None}})
        self._gone("gone", timeout_s=30)
        self.assert_untouched(source)
        self.assert_nothing_left("gone", source.claims)

    def _only_orphaned_finalizers(self):
        """All is gone but snapshots that wait for csi-provisioner, which forgets the finalizer of a
        claim that was deleted while it was restored and removes it within five minutes
        (external-provisioner pkg/controller/snapshot_finalizer_controller.go)."""
        for disk in ("root", "data"):
            self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                             f"gone-{disk}"))
        for snapshot in self.snapshots():
            self.assertIn("deletionTimestamp", snapshot["metadata"])
            self.assertEqual(["provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection"],
                             snapshot["metadata"]["finalizers"])
        return not self.contents()

    def test_deleting_it_while_it_waits_is_immediate(self):
        self.clone("gone", clone_source={"type": "vmi", "vmiName": "nobody"})
        self.wait_reason("gone", "SourceReady", "SourceNotFound")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "gone")
        self._gone("gone", timeout_s=5)

    def test_a_finished_clone_is_never_run_again(self):
        source = self.source(owned=True)
        self.clone("once", source)
        self.wait_ended("once")
        self.assert_cloned("once", source)
        mark = self.bed.audit_mark()
        for name in ("once-vm", source.name):
            self.kube.delete(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, name)
        self.wait_for(lambda: not source.find_vmi(), 30, "the source to go")
        self.wait_for(lambda: not self.kube.find(vms.KUBEVIRT_API, "VirtualMachine", self.namespace,
                                                 source.name), 30, "its VM to go")
        self.wait_for(lambda: not self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                                 "once-root"), 40, "the clone's claim to go")
        # A source of the same name comes back: a clone that started anew would take it.
        self.kube.create(vms.vm(self.namespace, source.name, vms.machine_spec(source.claims)))
        self.wait_for(lambda: source.running(True), 30, "another source of that name")
        self.kube.patch(vms.WUKONG_API, "Wukong", self.namespace, "once",
                        {"metadata": {"labels": {"touched": "yes"}}})
        time.sleep(5)
        found = self.wukong("once")
        self.assertEqual("Succeeded", vms.clone_status(found)["phase"])
        self.assertEqual("100%", vms.clone_status(found)["progress"])
        self.assertTrue(vms.holds(found, "Ready"), "Ready is latched")
        self.assertEqual([], self.snapshots())
        self.assertIsNone(self.kube.find(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, "once-vm"))
        writes = [w for w in self.writes_in(self.namespace, mark) if w[1] != "wukongs/status"]
        self.assertEqual([], [w for w in writes if w[1] not in ("events", "wukongs")])
        self.assertEqual("Stopped", found["status"]["phase"])

    def test_a_failed_clone_is_run_again_by_the_retry_annotation_alone(self):
        self.clone("retry", clone_source={"type": "vmi", "vmiName": "src", "deadlineSeconds": 2})
        found = self.wait_ended("retry", "Failed", timeout_s=30)
        self.assertEqual("DeadlineExceeded", vms.clone_status(found)["lastError"]["reason"])
        source = self.source()
        time.sleep(3)
        self.assertEqual("Failed", vms.clone_status(self.wukong("retry"))["phase"])
        self.kube.patch(vms.WUKONG_API, "Wukong", self.namespace, "retry", {
            "metadata": {"annotations": {"vm.novasphere.dev/retry": "1"}},
            "spec": {"cloneSource": {"deadlineSeconds": 600}}})
        self.wait_ended_again("retry")
        self.assert_cloned("retry", source)

    def wait_ended_again(self, name):
        def now():
            found = self.wukong(name)
            return vms.clone_status(found).get("phase") == "Succeeded" or self.fail(
                json.dumps(found.get("status")))
        self.wait_for(now, 40, f"{name} to succeed after all")

    def test_gates_are_waited_for_before_the_freeze(self):
        source = self.source()
        self.clone("gated", source, clone_source={"gates": ["example.com/Quiet"]})
        found = self.wait_reason("gated", "AwaitingGates", "AwaitingGates")
        self.assertTrue(vms.holds(found, "AwaitingGates"))
        self.assertEqual([], source.log("freeze-request"))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
        body = {"apiVersion": vms.WUKONG_API, "kind": "Wukong",
                "metadata": {"namespace": self.namespace, "name": "gated"},
                "status": {"conditions": [{"type": "example.com/Quiet", "status": "True",
                                           "reason": "Flushed", "message": "", "lastTransitionTime": stamp}]}}
        self.kube._apply_at(self.kube.path_of(body, "status"), json.dumps(body), "application", False)
        self.wait_ended("gated", timeout_s=60)
        self.assert_cloned("gated", source)
        self.assertTrue(vms.holds(self.wukong("gated"), "example.com/Quiet"),
                        "the worker took away somebody else's condition")


if __name__ == "__main__":
    harness.main()
