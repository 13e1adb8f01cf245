"""Proves snapshotMethod VolumeGroupSnapshot: one cut for all disks, under one freeze, from real
snapshot-controller and csi-snapshotter; the claims of the source bear its label only meanwhile; and what
a driver or somebody else does to the group is never taken for a cut."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, records, vms  # noqa: E402

DISKS = ("root", "data", "log")
LABEL = "cut.vm.novasphere.dev/"
ORDER = {"vm.novasphere.dev/keeps-write-order": "true"}


class Groups(vms.CloneCase):
    def _class(self, policy="Delete", annotations=None, **faults):
        made = objects.group_class(f"{self.namespace}-group", {
            f"fault-{k.replace('_', '-')}": v for k, v in faults.items()}, policy)
        made["metadata"]["annotations"] = annotations or {}
        self.cleanup_object(made)
        return {"snapshotMethod": "VolumeGroupSnapshot",
                "volumeGroupSnapshotClassName": made["metadata"]["name"]}

    def _groups(self):
        return self.kube.list(objects.GROUP_API, "VolumeGroupSnapshot", self.namespace)

    def _group_contents(self):
        return [c for c in self.kube.list(objects.GROUP_API, "VolumeGroupSnapshotContent")
                if c["spec"]["volumeGroupSnapshotRef"]["namespace"] == self.namespace]

    def _labels(self, source):
        found = []
        for claim in source.claims.values():
            labels = self.kube.get("v1", "PersistentVolumeClaim", self.namespace,
                                   claim)["metadata"].get("labels") or {}
            found += [k for k in labels if k.startswith(LABEL)]
        return found

    def _nothing_left(self, source):
        self.wait_for(lambda: not self._labels(source), 20, "the labels to be taken off")
        self.wait_for(lambda: not self._groups(), 30, "the group to go")
        self.assertEqual([], self._group_contents())
        self.assert_no_temporaries()

    def _failed(self, name, source, within_s=None):
        self.wait_ended(name, "Failed", timeout_s=90)
        self.wait_thawed(source)
        self.assert_thawed_by_worker(source, within_s)
        self._nothing_left(source)
        return vms.clone_status(self.wukong(name))["lastError"]

    def test_all_disks_are_cut_at_once_under_one_freeze(self):
        source = self.source(disks=DISKS, owned=True)
        method = self._class()
        self.clone("one", source, clone_source=method)
        group = self.wait_for(self._groups, 20, "the group")[0]
        self.assertEqual(method["volumeGroupSnapshotClassName"],
                         group["spec"]["volumeGroupSnapshotClassName"])
        self.wait_ended("one")
        found = self.assert_cloned("one", source)
        self.assertEqual(1, len(source.log("frozen")))
        self.assert_thawed_by_worker(source)
        status = vms.clone_status(found)
        self.assertEqual(group["metadata"]["name"], status["groupSnapshotName"])
        self.assertEqual(len(DISKS), len(status["snapshotNames"]))
        self._nothing_left(source)

    def test_without_a_freeze_it_is_one_moment_where_the_driver_says_so(self):
        source = self.source(disks=DISKS, owned=True)
        method = self._class(annotations=ORDER)
        self.clone("crash", source, clone_source={**method, "quiesce": "Never"})
        self.wait_ended("crash")
        self.assert_cloned("crash", source, consistency="CrashConsistent")
        held = [records.written(records.read(f), source.uid)
                for f in self.clone_files("crash", source.claims).values()]
        self.assertTrue(records.one_moment(held), held)
        self.assertEqual([], source.log("frozen"))

    def test_without_that_word_each_disk_counts_for_itself(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("apart", source, clone_source={**self._class(group_not_atomic_ms="100"),
                                                  "quiesce": "Never"})
        self.wait_ended("apart")
        self.assert_cloned("apart", source, consistency="CrashConsistentPerDisk")

    def test_a_short_list_is_no_cut(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("short", source, clone_source={**self._class(group_short_list="true"),
                                                  "retryLimit": 0})
        error = self._failed("short", source, within_s=8)
        self.assertEqual("SnapshotFailed", error["reason"])
        self.assertIn("holds 2 of its 3 volumes", error["message"])

    def test_an_empty_list_is_waited_for(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("late", source, clone_source=self._class(group_empty_list_ms="3000"))
        self.wait_ended("late")
        self.assert_cloned("late", source)
        thawed, frozen = source.log("thawed")[-1]["at"], source.log("frozen")[-1]["at"]
        self.assertGreater(thawed - frozen, 3)

    def test_a_driver_that_fails_is_asked_again(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("again", source, clone_source=self._class(group_fail_count="1"))
        self.wait_ended("again")
        self.assert_cloned("again", source)

    def test_a_claim_of_somebody_else_with_the_label_spoils_the_group(self):
        source = self.source(disks=DISKS, owned=True)
        self.make_claim("stranger")
        made = self.clone("spoilt", source, clone_source={
            **self._class(), "retryLimit": 0, "notBefore": time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))})
        self.kube.patch("v1", "PersistentVolumeClaim", self.namespace, "stranger",
                        {"metadata": {"labels": {LABEL + made["metadata"]["uid"]: "1-0"}}})
        error = self._failed("spoilt", source, within_s=8)
        self.assertEqual("SnapshotFailed", error["reason"])
        self.assertIn("was made of 4 volumes, but the clone needs 3", error["message"])

    def test_a_linked_clone_keeps_the_group(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("linked", source, clone_source={**self._class(), "cloneType": "linked"})
        self.wait_ended("linked")
        self.wait_for(lambda: vms.holds(self.wukong("linked"), "TemporariesCleaned"), 30, "the end")
        self.assertEqual(["Retain"], [c["spec"]["deletionPolicy"] for c in self._group_contents()])
        self.assertEqual(len(DISKS), len(self.snapshots()))
        self.assertEqual([], self._labels(source))
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "linked")
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "linked"), 60,
                      "the Wukong to go")
        self._nothing_left(source)

    def test_a_class_that_retains_leaves_nothing_of_a_clone(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("kept", source, clone_source=self._class(policy="Retain"))
        self.wait_ended("kept")
        self.assert_cloned("kept", source)
        self._nothing_left(source)

    def test_deleted_while_the_driver_cuts(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("gone", source, clone_source=self._class(group_delay_ms="4000"))
        self.wait_for(self._group_contents, 20, "the group to be asked for")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "gone")
        self.wait_for(lambda: source.log("thawed"), 5, "the thaw")
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "gone"), 60,
                      "the Wukong to go")
        self._nothing_left(source)
        self.assert_untouched(source)

    def test_a_quota_is_met_before_anybody_is_frozen(self):
        source = self.source(disks=DISKS, owned=True)
        self.kube.create({"apiVersion": "v1", "kind": "ResourceQuota",
                          "metadata": {"namespace": self.namespace, "name": "none"},
                          "spec": {"hard": {"count/volumegroupsnapshots.groupsnapshot.storage.k8s.io": "0"}}})
        self.wait_for(lambda: (self.kube.get("v1", "ResourceQuota", self.namespace, "none").get("status")
                               or {}).get("hard"), 20, "the quota to be in force")
        self.clone("full", source, clone_source=self._class())
        self.wait_reason("full", "SourceReady", "QuotaExceeded")
        self.assertEqual([], source.log("frozen"))
        self.assertEqual([], self._labels(source))

    def test_a_class_that_is_not_there_is_refused(self):
        source = self.source(disks=DISKS, owned=True)
        refusal = self.assert_refused(lambda: self.clone("no", source, clone_source={
            "snapshotMethod": "VolumeGroupSnapshot", "volumeGroupSnapshotClassName": "nope"}), 422)
        self.assertIn("spec.cloneSource.volumeGroupSnapshotClassName",
                      [c["field"] for c in refusal.causes()])

    def test_a_worker_that_dies_leaves_no_label(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("killed", source, clone_source=self._class(group_delay_ms="1500"))
        self.wait_for(lambda: self._labels(source), 20, "the labels")
        self.bed.restart("worker", graceful=False)
        vms.wait_leading(self.bed)
        self.wait_ended("killed", timeout_s=120)
        self.assert_cloned("killed", source)
        self._nothing_left(source)


if __name__ == "__main__":
    harness.main()
