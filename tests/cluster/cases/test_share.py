"""Proves that equal Wukongs of one source share its snapshots: one freeze, one VolumeSnapshot for each
disk, and each clone ends as if it had been alone, whatever befalls the others or the worker. Wukongs
that are not equal do not share.

How often the guest froze is read in the guest's own log, how many VolumeSnapshots there ever were in
the API server's audit log: a snapshot that was made and removed again counts.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

harness.quick_storage()


class Sharing(vms.CloneCase):
    def batch(self, source, wanted):
        """Creates these Wukongs, {name: what its spec has of its own}. Somebody else's freeze holds
        them until all wait: a Wukong that is alone freezes at once, and the first would be if the
        others took their time."""
        def all_wait():
            return all(vms.reason(self.wukong(name), "SnapshotTaken") in ("SourceBusy", "SharedSnapshot")
                       for name in wanted)
        with source.held():
            for name, spec in wanted.items():
                self.clone(name, source, clone_source=spec.get("cloneSource"),
                           startStrategy={"autoStart": False},
                           **{k: v for k, v in spec.items() if k != "cloneSource"})
            self.wait_for(all_wait, 30, "all to wait")

    def hold_snapshots(self, source):
        """Snapshots of this source are cut at once, but cannot be restored from until what this
        returns is called: what a test does after the cut comes before anybody's disks."""
        handles = [source.handle(disk) for disk in source.claims]

        def release():
            for handle in handles:
                vms.set_disk_fault(self.bed, handle)
        for handle in handles:
            vms.set_disk_fault(self.bed, handle, snapshot_ready_ms=600000)
        self.addCleanup(release)
        return release

    def created(self, resource):
        """The names of all objects of a kind that were ever created in the namespace of this test."""
        found = []
        for entry in self.bed.audit_entries(self.audit_mark):
            reference = entry.get("objectRef") or {}
            if entry["verb"] == "create" and reference.get("namespace") == self.namespace \
                    and reference.get("resource") == resource and not reference.get("subresource") \
                    and (entry.get("responseStatus") or {}).get("code") == 201 \
                    and "dryRun=" not in entry["requestURI"]:
                found.append(reference.get("name"))
        return found

    def leader_after_cut(self, names, timeout_s=30):
        """The one of these that takes the snapshots, as soon as its record says that they are cut."""
        def found():
            for name in names:
                status = vms.clone_status(self.wukong(name))
                if status.get("sharedWith") and status.get("cutTime"):
                    return name
            return None
        return self.wait_for(found, timeout_s, "a leader's cut")

    def assert_one_cut(self, names, source):
        """All of them came from one freeze and one VolumeSnapshot for each disk."""
        self.assertEqual(1, self.freezes_asked(source))
        self.assertEqual(1, len(source.log("frozen")))
        self.assertEqual(len(source.claims), len(self.created("volumesnapshots")))
        statuses = [vms.clone_status(self.wukong(name)) for name in names]
        self.assertEqual({"FilesystemConsistent"}, {s.get("consistency") for s in statuses})
        self.assertEqual(1, len({s.get("snapshotTime") for s in statuses}))
        self.assertTrue(statuses[0].get("snapshotTime"))

    def assert_all_clean(self, names):
        """Nobody owes anything any more, and what was shared is gone from the API and the storage."""
        for name in names:
            self.wait_for(lambda n=name: not self.wukong(n)["metadata"].get("finalizers"), 20,
                          f"{name} to be done")
        self.assert_no_temporaries()


class Together(Sharing, vms.Concurrent):
    at_once = 4

    def test_twenty_at_once_are_one_freeze(self):
        source = self.source()
        names = [f"c{i:02}" for i in range(20)]
        self.batch(source, dict.fromkeys(names, {}))
        self.leader_after_cut(names)
        began = time.monotonic()
        claims = {f"{name}-{disk}" for name in names for disk in source.claims}

        def all_bound():
            found = self.kube.list("v1", "PersistentVolumeClaim", self.namespace)
            return claims <= {c["metadata"]["name"] for c in found
                              if (c.get("status") or {}).get("phase") == "Bound"}
        self.wait_for(all_bound, 90, "all disks to be bound")
        print(f"# {len(claims)} disks bound {time.monotonic() - began:.1f} s after the cut", flush=True)
        for name in names:
            self.wait_ended(name)
        self.assert_one_cut(names, source)
        self.assert_untouched(source)
        self.assert_thawed_by_worker(source)
        last = self.frozen_at(source)
        for name in names[:3] + names[9:11] + names[-3:]:
            self.assert_disks(name, source, last)
            self.assert_own_identity(name, source)
        self.assert_all_clean(names)

    def test_the_leader_is_deleted_after_the_cut(self):
        source = self.source(disks=("root", "data"))
        names = [f"m{i}" for i in range(4)]
        release = self.hold_snapshots(source)
        self.batch(source, dict.fromkeys(names, {}))
        leader = self.leader_after_cut(names)
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, leader)
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, leader), 20,
                      "the leader to go")
        release()
        others = [name for name in names if name != leader]
        for name in others:
            self.wait_ended(name)
        self.assert_one_cut(others, source)
        self.assert_thawed_by_worker(source)
        for name in others:
            self.assert_disks(name, source, self.frozen_at(source))
        self.assert_all_clean(others)
        self.assert_nothing_left(leader, source.claims)

    def test_those_that_differ_do_not_share(self):
        source = self.source(disks=("root", "data"))
        self.batch(source, {"all-0": {}, "all-1": {}, "part": {"disks": [{"name": "root"}]}})
        self.clone("never", source, clone_source={"quiesce": "Never"}, startStrategy={"autoStart": False})
        names = ("all-0", "all-1", "never", "part")
        for name in names:
            self.wait_ended(name)
        status = {name: vms.clone_status(self.wukong(name)) for name in names}
        self.assertEqual(2, len(source.log("frozen")), "for all disks, and for one of them")
        self.assertEqual([], source.log("already-frozen"))
        self.assertEqual(2 + 2 + 1, len(self.created("volumesnapshots")))
        self.assertEqual([0, 0, 0, 1], sorted(len(s.get("sharedWith") or []) for s in status.values()))
        self.assertEqual(status["all-0"]["snapshotTime"], status["all-1"]["snapshotTime"])
        self.assertEqual(3, len({s["snapshotTime"] for s in status.values()}))
        self.assertNotIn("freezeMilliseconds", status["never"])
        lasts = [self.assert_disks(name, source) for name in ("all-0", "all-1")]
        self.assertEqual(lasts[0], lasts[1])
        lasts.append(self.assert_disks("part", source, disks=("root",)))
        self.assertEqual({e["last"] for e in source.log("frozen")}, set(lasts))
        self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", self.namespace, "part-data"))
        self.assert_thawed_by_worker(source)
        self.assert_all_clean(names)

    def test_what_befalls_one_alone_does_not_befall_the_others(self):
        """The claims of two are somebody else's by the time they are to be made: one of them waits and
        then restores from the shared snapshot, the other ends at its deadline and is retried by itself.
        Either may be the one that took the snapshot."""
        source = self.source()
        names = [f"m{i}" for i in range(4)]
        release = self.hold_snapshots(source)
        # How long one may take is its own affair: they are equal all the same.
        self.batch(source, {name: {"cloneSource": {"deadlineSeconds": 25}} if name == "m3" else {}
                            for name in names})
        self.wait_for(lambda: all(vms.clone_status(self.wukong(n)).get("cutTime") for n in names), 30,
                      "all to have the cut")
        ends, waits = "m3", "m2"
        for name in (waits, ends):
            self.kube.create(objects.claim(self.namespace, f"{name}-root"))
        release()
        for name in names:
            if name not in (waits, ends):
                self.wait_ended(name)
        failed = vms.clone_status(self.wait_ended(ends, "Failed"))
        self.assertEqual("DeadlineExceeded", failed["lastError"]["reason"])
        self.wait_reason(waits, "DisksReady", "NameTaken")
        self.assertEqual(1, len(self.snapshots()), "somebody still needs it")
        self._remove_claim(f"{waits}-root")
        self.wait_ended(waits)
        shared = [name for name in names if name != ends]
        self.assert_one_cut(shared, source)
        for name in shared:
            self.assert_disks(name, source, self.frozen_at(source))
        self.assert_all_clean(names)

        self._remove_claim(f"{ends}-root")
        self.kube.patch(vms.WUKONG_API, "Wukong", self.namespace, ends, {
            "metadata": {"annotations": {"vm.novasphere.dev/retry": "1"}},
            "spec": {"cloneSource": {"deadlineSeconds": 600}}})
        self.wait_for(lambda: vms.clone_status(self.wukong(ends)).get("phase") == "Succeeded", 60,
                      f"{ends} to succeed after all")
        self.assertEqual(2, len(source.log("frozen")), "once for all, and once for the retry")
        self.assertEqual(2, len(self.created("volumesnapshots")))
        self.assert_disks(ends, source, self.frozen_at(source))
        self.assert_thawed_by_worker(source)
        self.assert_all_clean(names)

    def _remove_claim(self, name):
        uid = self.claim(name)["metadata"]["uid"]
        self.kube.delete("v1", "PersistentVolumeClaim", self.namespace, name)

        def gone():
            found = self.kube.find("v1", "PersistentVolumeClaim", self.namespace, name)
            return not found or found["metadata"]["uid"] != uid
        self.wait_for(gone, 20, "what was in the way to go")


class Killed(Sharing):
    # Without a Lease a restarted worker goes on at once.
    unfreeze_s = 10

    worker_arguments = ("--unfreeze-timeout", str(unfreeze_s), "--lease", "")

    def test_all_end_right_with_the_one_cut_when_the_worker_dies_after_it(self):
        source = self.source(disks=("root", "data"))
        names = [f"k{i}" for i in range(4)]
        release = self.hold_snapshots(source)
        self.batch(source, dict.fromkeys(names, {}))
        leader = self.leader_after_cut(names)
        self.bed.kill("worker")
        release()
        took = [n for n in names if n != leader and vms.clone_status(self.wukong(n)).get("shared")]
        print(f"# killed when {len(took)} of {len(names) - 1} had taken the cut over", flush=True)
        self.bed.start("worker")
        for name in names:
            self.wait_ended(name)
        self.assert_one_cut(names, source)
        self.assert_untouched(source)
        self.assert_thawed_by_worker(source, within_s=self.unfreeze_s)
        for name in names:
            self.assert_disks(name, source, self.frozen_at(source))
        self.assert_all_clean(names)


if __name__ == "__main__":
    harness.main()
