"""Proves on a real API server that what a Wukong has left that went without its worker is removed: after
its finalizer was taken by force, the snapshot that its disks were linked to goes with its content and
its bytes, a few minutes later and not before the API server was asked twice. A snapshot that somebody
else has labelled so stays. It takes five minutes, which are the worker's own (controller/sweep.h)."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

# SWEEP_EVERY_MS until it is found, SWEEP_APART_MS between the two questions.
EVERY_S, APART_S = 60, 180
SLACK_S = 60


class Orphans(vms.CloneCase):

    def _copy_of(self, snapshot, claim):
        """As `kubectl get -o yaml | kubectl create -f -` makes it, under another name."""
        meta = snapshot["metadata"]
        return self.kube.create({
            "apiVersion": objects.SNAPSHOT_API, "kind": "VolumeSnapshot",
            "metadata": {"name": "copy-of-it", "namespace": self.namespace, "labels": meta["labels"],
                         "annotations": meta["annotations"]},
            "spec": {"source": {"persistentVolumeClaimName": claim},
                     "volumeSnapshotClassName": snapshot["spec"]["volumeSnapshotClassName"]}})

    def _take_by_force(self, name):
        """With the worker stopped for a moment, or it would put the finalizer on again."""
        self.bed.pause("worker")
        try:
            self.kube.patch(vms.WUKONG_API, "Wukong", self.namespace, name,
                            {"metadata": {"finalizers": None}})
            self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, name)
        finally:
            self.bed.resume("worker")
        self.assertIsNone(self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, name))

    def test_a_finalizer_is_taken_by_force(self):
        source = self.source()
        self.clone("c", source, clone_source={"cloneType": "linked"})
        self.wait_ended("c", timeout_s=90)
        parent = self.snapshots()[0]
        self.assertEqual(f"{self.namespace}/c in {self.namespace}",
                         parent["metadata"]["annotations"]["vm.novasphere.dev/made-for"])
        stranger = self._copy_of(parent, source.claims["root"])
        mark = self.bed.audit_mark()
        self._take_by_force("c")
        began = time.monotonic()

        def is_gone():
            return not self.kube.find(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace,
                                      parent["metadata"]["name"])
        self.wait_for(is_gone, EVERY_S + APART_S + SLACK_S, "the parent to be removed")
        print(f"# removed after {time.monotonic() - began:.0f} s", flush=True)
        account = self.bed.account("worker")
        asked = [e for e in self.bed.audit_entries(mark)
                 if e["verb"] == "get" and e["user"]["username"] == account
                 and (e.get("objectRef") or {}).get("resource") == "wukongs"
                 and e["objectRef"].get("name") == "c" and e["objectRef"]["namespace"] == self.namespace]
        self.assertGreaterEqual(len(asked), 2)
        self.assertGreaterEqual(time.monotonic() - began, APART_S)
        self.wait_for(lambda: [c for c in self.contents()
                               if c["spec"]["volumeSnapshotRef"]["name"] != "copy-of-it"] == [], 30,
                      "its content to go")
        self.wait_for(lambda: len(self.physical_snapshots()) == 1, 20, "its bytes to go")
        kept = self.kube.get(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace, "copy-of-it")
        self.assertEqual(stranger["metadata"]["uid"], kept["metadata"]["uid"])
        self.assertNotIn("deletionTimestamp", kept["metadata"])
        events = self.kube.list("v1", "Event", self.namespace)
        self.assertIn("OrphansRemoved", [e["reason"] for e in events])
        self.kube.delete(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace, "copy-of-it")


if __name__ == "__main__":
    harness.main()
