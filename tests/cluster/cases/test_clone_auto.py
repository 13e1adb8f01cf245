"""Proves snapshotMethod Auto: it takes a group where two disks share a driver that has a class for them, and
says so; whatever a driver, a quota or an admin does to the group, the clone then succeeds by single
VolumeSnapshots as it would have done without, at the cost of no retry, and nothing is left of the group."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402
import test_clone_group as by_group  # noqa: E402

DISKS = by_group.DISKS
GROUP, SINGLE = "VolumeGroupSnapshot", "VolumeSnapshot"


class Auto(vms.CloneCase):
    _groups, _group_contents = by_group.Groups._groups, by_group.Groups._group_contents
    _labels, _nothing_left = by_group.Groups._labels, by_group.Groups._nothing_left

    def _class(self, policy="Delete", **faults):
        """A class of this case alone, which its Wukongs name: of several the driver has no default."""
        return {**by_group.Groups._class(self, policy, **faults), "snapshotMethod": "Auto"}

    def _methods(self, name):
        return [d["snapshotMethod"] for d in vms.clone_status(self.wukong(name))["disks"]]

    def _refusals(self, name):
        return [e["message"] for e in self.bed.events(self.namespace, name)
                if e["reason"] == "GroupSnapshotRefused"]

    def _falls_back(self, name, source, attempts, word, within_s=None):
        """The clone is there by single snapshots, and it is told why."""
        self.wait_ended(name, timeout_s=120)
        self.assert_cloned(name, source)
        status = vms.clone_status(self.wukong(name))
        self.assertEqual([SINGLE] * len(DISKS), self._methods(name))
        self.assertEqual(attempts, status["attempts"])
        self.assertIn(word, status["groupSnapshotRefused"]["message"])
        self.assertEqual(1 if attempts > 1 else None, status["groupSnapshotRefused"].get("attempt"))
        self.assertIn(word, status["snapshotMethodReason"])
        self.assertIn(word, " ".join(self._refusals(name)))
        self.assert_thawed_by_worker(source, within_s)
        self._nothing_left(source)

    def test_a_group_is_taken_and_told(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("one", source, clone_source=self._class())
        self.wait_for(self._groups, 20, "the group")
        self.wait_ended("one")
        self.assert_cloned("one", source)
        status = vms.clone_status(self.wukong("one"))
        self.assertEqual([GROUP] * len(DISKS), self._methods("one"))
        self.assertIn("are cut at once", status["snapshotMethodReason"])
        self.assertNotIn("groupSnapshotRefused", status)
        self.assertEqual([], self._refusals("one"))
        self._nothing_left(source)

    def test_one_disk_is_cut_by_itself(self):
        source = self.source(owned=True)
        self.clone("alone", source, clone_source=self._class())
        self.wait_ended("alone")
        self.assert_cloned("alone", source)
        self.assertEqual([SINGLE], self._methods("alone"))
        self.assertIn("is the only disk of driver",
                      vms.clone_status(self.wukong("alone"))["snapshotMethodReason"])

    def test_a_class_that_is_not_there_is_told(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("bare", source, clone_source={"snapshotMethod": "Auto",
                                                 "volumeGroupSnapshotClassName": "nope"})
        self.wait_ended("bare")
        self.assert_cloned("bare", source)
        self.assertEqual([SINGLE] * len(DISKS), self._methods("bare"))
        self.assertIn("nope", vms.clone_status(self.wukong("bare"))["snapshotMethodReason"])

    def test_a_short_list_gives_way(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("short", source, clone_source={**self._class(group_short_list="true"), "retryLimit": 0})
        self._falls_back("short", source, 2, "holds 2 of its 3 volumes")
        self.assertEqual(2, len(source.log("frozen")))

    def test_a_driver_that_cannot_gives_way(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("cannot", source, clone_source={**self._class(group_unsupported="true"), "retryLimit": 0})
        self._falls_back("cannot", source, 2, "Unimplemented")

    def test_without_a_freeze_it_gives_way_too(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("never", source, clone_source={**self._class(group_unsupported="true"), "retryLimit": 0,
                                                  "quiesce": "Never"})
        self.wait_ended("never", timeout_s=120)
        self.assert_cloned("never", source, consistency="CrashConsistentPerDisk")
        self.assertEqual([SINGLE] * len(DISKS), self._methods("never"))
        self.assertEqual([], source.log("frozen"))
        self._nothing_left(source)

    def test_a_driver_that_only_fails_gives_way_after_a_while(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("fails", source, clone_source={**self._class(group_fail="true"), "retryLimit": 0})
        self._falls_back("fails", source, 2, "Internal")

    def test_a_driver_that_is_slow_gives_way_when_the_freeze_ends(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("slow", source, clone_source={**self._class(group_delay_ms="59000"), "retryLimit": 0})
        self.wait_ended("slow", timeout_s=300)
        self.wait_for(lambda: not self._groups(), 120, "the group to go")
        self.assert_cloned("slow", source)
        self.assertEqual([SINGLE] * len(DISKS), self._methods("slow"))
        self._nothing_left(source)

    def test_a_quota_on_groups_costs_no_attempt(self):
        source = self.source(disks=DISKS, owned=True)
        self.kube.create({"apiVersion": "v1", "kind": "ResourceQuota",
                          "metadata": {"namespace": self.namespace, "name": "none"},
                          "spec": {"hard": {"count/volumegroupsnapshots.groupsnapshot.storage.k8s.io": "0"}}})
        self.wait_for(lambda: (self.kube.get("v1", "ResourceQuota", self.namespace, "none").get("status")
                               or {}).get("hard"), 20, "the quota to be in force")
        self.clone("full", source, clone_source={**self._class(), "retryLimit": 0})
        self._falls_back("full", source, 1, "exceeded quota")
        self.assertEqual(1, len(source.log("frozen")))

    def test_linked(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("linked", source, clone_source={**self._class(), "cloneType": "linked"})
        self.wait_ended("linked")
        self.wait_for(lambda: vms.holds(self.wukong("linked"), "TemporariesCleaned"), 30, "the end")
        self.assertEqual([GROUP] * len(DISKS), self._methods("linked"))
        self.assertEqual(["Retain"], [c["spec"]["deletionPolicy"] for c in self._group_contents()])
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "linked")
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "linked"), 60,
                      "the Wukong to go")
        self._nothing_left(source)

    def test_from_another_namespace(self):
        source = self.source(disks=DISKS, owned=True)
        there = self.make_namespace(f"{self.namespace}-there")
        self.clone("far", source, namespace=there, clone_source={**self._class(), "namespace": self.namespace})
        self.wait_for(self._groups, 30, "the group")
        self.wait_ended("far", namespace=there, timeout_s=90)
        self.assert_cloned("far", source, namespace=there)
        self.assert_no_temporaries(there)
        self._nothing_left(source)

    def test_equal_ones_share_a_group_and_its_failure(self):
        source = self.source(disks=DISKS, owned=True)
        method = {**self._class(group_short_list="true"), "retryLimit": 0, "notBefore": time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))}
        for name in ("a", "b"):
            self.clone(name, source, clone_source=method)
        for name in ("a", "b"):
            self.wait_ended(name, timeout_s=120)
            self.assert_cloned(name, source)
            self.assertEqual([SINGLE] * len(DISKS), self._methods(name))
        self.assertEqual(2, len(source.log("frozen")))
        self._nothing_left(source)

    def test_a_worker_that_dies_begins_with_a_group_again(self):
        source = self.source(disks=DISKS, owned=True)
        self.clone("killed", source, clone_source=self._class(group_delay_ms="1500"))
        self.wait_for(lambda: self._labels(source), 20, "the labels")
        self.bed.restart("worker", graceful=False)
        vms.wait_leading(self.bed)
        self.wait_ended("killed", timeout_s=120)
        self.assert_cloned("killed", source)
        self._nothing_left(source)


class OlderAPI(Auto):
    """A cluster that serves groups as v1beta2 alone. The sidecars of this bed know only v1: nobody works on
    the group that the worker makes, which is the sidecars' feature gate being off, too."""

    KINDS = ("volumegroupsnapshots", "volumegroupsnapshotcontents", "volumegroupsnapshotclasses")
    BETA = objects.GROUP_API.rsplit("/", 1)[0] + "/v1beta2"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.serve_v1(False)
        cls.addClassCleanup(cls.serve_v1, True)

    @classmethod
    def serve_v1(cls, served):
        for kind in cls.KINDS:
            name = f"{kind}.{objects.GROUP_API.split('/')[0]}"
            found = cls.kube.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, name)
            for version in found["spec"]["versions"]:
                if version["name"] == "v1":
                    version["served"] = served
            cls.kube.patch("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, name,
                           {"spec": {"versions": found["spec"]["versions"]}})

    def test_it_is_asked_for_as_it_is_served(self):
        made = {**objects.group_class(f"{self.namespace}-group", {}), "apiVersion": self.BETA}
        self.wait_for(lambda: self.kube.find(self.BETA, made["kind"], None, "none") is None, 20, "the API")
        self.cleanup_object(made)
        source = self.source(disks=DISKS, owned=True)
        method = {"snapshotMethod": "Auto", "volumeGroupSnapshotClassName": made["metadata"]["name"],
                  "retryLimit": 0}
        self.clone("older", source, clone_source=method)
        group = self.wait_for(lambda: self.kube.list(self.BETA, GROUP, self.namespace), 90, "the group")[0]
        self.assertEqual(made["metadata"]["name"], group["spec"]["volumeGroupSnapshotClassName"])
        self.wait_ended("older", timeout_s=120)
        self.assert_cloned("older", source)
        status = vms.clone_status(self.wukong("older"))
        self.assertIn("does nothing about it", status["groupSnapshotRefused"]["message"])
        self.assertEqual([SINGLE] * len(DISKS), self._methods("older"))
        self.assertEqual([], self._labels(source))
        self.assertEqual([], self.kube.list(self.BETA, GROUP, self.namespace))
        self.assert_thawed_by_worker(source, within_s=13)


for name in [n for n in dir(Auto) if n.startswith("test_")]:
    setattr(OlderAPI, name, None)  # those are of the API as it is today


if __name__ == "__main__":
    harness.main()
