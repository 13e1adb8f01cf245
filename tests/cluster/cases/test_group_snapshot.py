"""Proves that the bed's group snapshots are real: snapshot-controller and csi-snapshotter as they are
shipped make a VolumeGroupSnapshot of a running guest's claims, whose members hold one point in time.

What the product relies on is looked at here without it: what is there when the cut is made, what
comes after, and what a group does that a driver has cut otherwise than CSI asks for."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, records, vms  # noqa: E402

PARTS = ("kubevirt", "csi", "csi-provisioner", "csi-snapshotter", "snapshot-controller", "kcm")
DISKS = ("root", "data", "log", "more")
LABEL = {"cut": "this"}
IN_GROUP = "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection"


class Groups(vms.CloneCase):
    needs = PARTS

    def _group_class(self, **faults):
        self.cleanup_object(objects.group_class(self.namespace, {f"fault-{k.replace('_', '-')}": v
                                                                 for k, v in faults.items()}))

    def _source(self):
        source = self.source(disks=DISKS)
        for claim in source.claims.values():
            self.kube.patch("v1", "PersistentVolumeClaim", self.namespace, claim,
                            {"metadata": {"labels": LABEL}})
        return source

    def _make(self):
        self.kube.create(objects.group_snapshot(self.namespace, "g", LABEL, self.namespace))
        self.addCleanup(self.kube.delete, objects.GROUP_API, "VolumeGroupSnapshot", self.namespace, "g")

    def _group(self):
        return self.kube.get(objects.GROUP_API, "VolumeGroupSnapshot", self.namespace, "g")

    def _content(self):
        for found in self.kube.list(objects.GROUP_API, "VolumeGroupSnapshotContent"):
            if found["spec"]["volumeGroupSnapshotRef"]["namespace"] == self.namespace:
                return found
        return None

    def _content_status(self):
        return (self._content() or {}).get("status") or {}

    def _ready(self):
        return (self._group().get("status") or {}).get("readyToUse")

    def _members(self):
        return [s for s in self.snapshots() if (s.get("status") or {}).get("readyToUse")]

    def _drop(self):
        self.kube.delete(objects.GROUP_API, "VolumeGroupSnapshot", self.namespace, "g")
        self.wait_for(lambda: not self._content(), 30, "the group's content to go")
        self.assert_no_temporaries()

    def _progress(self, source):
        """How far each disk's copy is."""
        by_claim = {s["spec"]["source"]["persistentVolumeClaimName"]: s["metadata"]["name"]
                    for s in self._members()}
        found = []
        for claim in source.claims.values():
            content = self.snapshot_content(by_claim[claim])
            copy = records.read(self.bed.csi_data / "snapshots"
                                / f"{content['status']['snapshotHandle']}.img")
            self.assertLessEqual(len(copy.torn), 1)
            found.append(records.written(copy))
        return found

    def test_members_hold_one_point_in_time(self):
        self._group_class()
        source = self._source()
        self._make()
        status = self.wait_for(lambda: self._content_status().get("volumeGroupSnapshotHandle")
                               and self._content_status(), 20, "the cut")
        handles = {source.handle(d) for d in DISKS}
        content = self._content()
        self.assertEqual(handles, set(content["spec"]["source"]["volumeHandles"]))
        self.assertEqual(handles, {i["volumeHandle"] for i in status["volumeSnapshotInfoList"]})
        self.assertEqual(f"groupsnapcontent-{self._group()['metadata']['uid']}", content["metadata"]["name"])
        members = self.wait_for(lambda: len(self._members()) == len(DISKS) and self._members(), 20,
                                "the members to be ready")
        for member in members:
            owner = member["metadata"]["ownerReferences"][0]
            self.assertEqual(("VolumeGroupSnapshot", "g"), (owner["kind"], owner["name"]))
            self.assertIn(IN_GROUP, member["metadata"]["finalizers"])
        progress = self._progress(source)
        self.assertGreater(progress[-1], 4)
        self.assertTrue(records.one_moment(progress), progress)
        self._drop()

    def test_a_driver_that_cuts_apart_is_seen_by_the_bytes(self):
        self._group_class(group_not_atomic_ms="200")
        source = self._source()
        self._make()
        self.wait_for(lambda: len(self._members()) == len(DISKS), 20, "the members to be ready")
        progress = self._progress(source)
        self.assertFalse(records.one_moment(progress), progress)
        self._drop()

    def test_a_short_list_makes_a_smaller_group_that_is_ready(self):
        self._group_class(group_short_list="true")
        self._source()
        self._make()
        self.wait_for(self._ready, 20, "the group to be ready")
        self.assertEqual(len(DISKS) - 1, len(self._content_status()["volumeSnapshotInfoList"]))
        self.assertEqual(len(DISKS) - 1, len(self.snapshots()))
        # snapshot-controller may take minutes to remove it: what the worker does of such a group is in
        # test_clone_group.py.

    def test_an_empty_list_comes_with_a_handle(self):
        self._group_class(group_empty_list_ms="2000")
        self._source()
        self._make()
        status = self.wait_for(lambda: self._content_status().get("volumeGroupSnapshotHandle")
                               and self._content_status(), 20, "the handle")
        self.assertEqual([], status.get("volumeSnapshotInfoList") or [])
        self.assertEqual([], self.snapshots())

    def test_a_driver_that_refuses_is_told_of_by_the_content(self):
        self._group_class(group_fail_count="4")
        self._source()
        self._make()
        status = self.wait_for(lambda: self._content_status().get("error") and self._content_status(),
                               20, "the error")
        self.assertIn("injected failure of group", status["error"]["message"])
        self.wait_for(self._ready, 30, "the next call to work")
        self._drop()

    def test_matchlabels_alone_choose(self):
        """With matchExpressions alone snapshot-controller takes every claim of the namespace."""
        self._group_class()
        source = self._source()
        wrong = objects.group_snapshot(self.namespace, "g", {}, self.namespace)
        wrong["spec"]["source"]["selector"] = {"matchExpressions": [
            {"key": "cut", "operator": "In", "values": ["nothing"]}]}
        self.kube.create(wrong)
        self.addCleanup(self.kube.delete, objects.GROUP_API, "VolumeGroupSnapshot", self.namespace, "g")
        content = self.wait_for(self._content, 20, "a content")
        self.assertEqual({source.handle(d) for d in DISKS}, set(content["spec"]["source"]["volumeHandles"]))
        self.wait_for(self._ready, 20, "the group to be ready")
        self._drop()


if __name__ == "__main__":
    harness.main()
