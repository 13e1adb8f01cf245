"""Proves that a killed worker (SIGKILL) costs nobody anything: what it froze is thawed by whoever
comes after it, its clones end right, nothing is left over, and a freeze of somebody else stays.

Clones are held at one step each (by faults of the stand-in and of the CSI driver), then the worker is
killed; a second one that waits for its Lease goes on. That the worker's own thaw ended a freeze, and not
the guest's safety timer, is read in the stand-in's freeze log. Kills at every step, one by one:
test_clone_kill_steps.py.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import beside, harness, objects, vms  # noqa: E402

harness.quick_storage()
# A Lease is free 15 s after its holder was last heard of; a freeze must outlast that, or the guest's
# own timer would thaw it before the next worker may.
UNFREEZE_S = 25
# After a lost answer the thaw is owed until the guest's own timer has run out, and one poll longer.
SETTLED_S = UNFREEZE_S + 6
LEASE_S = 17


class Killed(vms.CloneCase):
    worker_arguments = ("--unfreeze-timeout", str(UNFREEZE_S))

    def slow_storage(self, name, **parameters):
        """A StorageClass and a VolumeSnapshotClass with faults."""
        faults = {f"fault-{k.replace('_', '-')}": str(v) for k, v in parameters.items()}
        unique = f"{name}-{self.namespace}"
        self.cleanup_object(objects.storage_class(unique, faults))
        self.cleanup_object(objects.snapshot_class(unique, faults))
        return unique

    def hold_at_cut(self, name, source):
        """The guest is frozen and its snapshot does not come. Returns what ends that."""
        handle = source.handle("root")
        vms.set_disk_fault(self.bed, handle, snapshot_delay_ms=600000)
        self.addCleanup(vms.set_disk_fault, self.bed, handle)
        self.clone(name, source)
        self.wait_for(lambda: source.log("frozen"), 20, "the guest to be frozen")
        self.wait_for(lambda: [s for s in self.snapshots() if f"-{name}-" in s["metadata"]["name"]], 10,
                      "the snapshot to be asked for")
        return lambda: vms.set_disk_fault(self.bed, handle)

    def hold_at_freeze(self, name, source):
        """The freeze is sent and not answered; it takes effect 4 s after it was sent."""
        source.annotate(freeze_slow="4000")
        self.clone(name, source)
        self.wait_field(name, "freeze.requestedTime")
        time.sleep(0.5)
        self.assertEqual([], source.log("frozen"), "too late: the guest is frozen already")
        return lambda: source.annotate(freeze_slow=None)

    def foreign_freeze(self):
        source = self.source("foreign")
        source.subresource("freeze", {"unfreezeTimeout": "5m"})
        self.addCleanup(source.subresource, "unfreeze")
        self.wait_for(lambda: source.vmi()["status"].get("fsFreezeStatus") == "frozen", 15,
                      "the foreign freeze to be seen")
        return source

    def test_every_clone_ends_right_whatever_step_the_kill_met(self):
        """One kill, clones at seven places, one standby that takes over."""
        slow_ready = self.slow_storage("ready", snapshot_ready_ms=10000)
        slow_restore = self.slow_storage("restore", restore_delay_ms=10000)
        cut, freeze, gone, snapshots, disks, foreign = beside.everywhere(
            lambda make: make(), *[(make,) for make in (
                lambda: self.source("cut"), lambda: self.source("freeze", owned=True),
                lambda: self.source("gone"), lambda: self.source("snapshots", storage_class=slow_ready),
                lambda: self.source("disks", disks=("root", "data"), storage_class=slow_restore),
                self.foreign_freeze)])
        self.bed.start("worker-2")
        self.addCleanup(self.bed.kill, "worker-2")
        self.clone("c-source", clone_source={"type": "vmi", "vmiName": "later", "quiesce": "Required"})
        self.clone("c-foreign", foreign)
        self.clone("c-disks", disks)
        self.clone("c-snapshots", snapshots, clone_source={"volumeSnapshotClassName": slow_ready})
        self.wait_field("c-snapshots", "cutTime")
        self.wait_for(lambda: self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                             "c-disks-data"), 20, "claims to be restored")
        # Freezes last: what is left of their time begins here.
        releases = beside.everywhere(lambda hold, *what: hold(*what),
                                     (self.hold_at_cut, "c-cut", cut), (self.hold_at_cut, "c-gone", gone),
                                     (self.hold_at_freeze, "c-freeze", freeze))
        self.assertEqual("Cloning", vms.clone_status(self.wukong("c-snapshots"))["phase"])
        self.assertEqual("Pending", self.claim("c-disks-data")["status"]["phase"])
        self.bed.kill("worker")
        killed = time.time()
        # The cut is made while nobody works: the next worker finds a snapshot and a frozen guest.
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "c-gone")
        for release in releases[:2]:
            release()
        later = self.source("later")

        for source in (cut, gone, freeze):
            self.wait_for(lambda s=source: s.log("thawed"), LEASE_S + 8, "the next worker to thaw it")
        releases[2]()
        print(f"# thawed {cut.log('thawed')[0]['at'] - killed:.1f} s after the kill", flush=True)
        with self.subTest(clone="c-foreign"):
            self.assertEqual("frozen", foreign.log("frozen", "thawed", "safety-thawed")[-1]["event"])
            self.assertEqual([], foreign.log("unfreeze-request"), "a freeze of somebody else was ended")
            self.wait_reason("c-foreign", "SnapshotTaken", "SourceBusy")
            foreign.subresource("unfreeze")
            self.wait_ended("c-foreign", timeout_s=40)
            self.assert_cloned_leaving("c-foreign", foreign)
        for name, source in (("c-source", later), ("c-snapshots", snapshots), ("c-disks", disks)):
            self.wait_ended(name, timeout_s=60)
            with self.subTest(clone=name):
                found = self.assert_cloned_leaving(name, source)
                self.assertEqual(1, vms.clone_status(found)["attempts"], "nothing had to be repeated")
                self.assertEqual(1, len(source.log("frozen")))
        for name, source in (("c-cut", cut), ("c-freeze", freeze)):
            self.wait_ended(name, timeout_s=SETTLED_S + 60)
            with self.subTest(clone=name):
                found = self.assert_cloned_leaving(name, source)
                self.assert_thawed_by_worker(source, within_s=UNFREEZE_S - 1)
                self.assertEqual(2, vms.clone_status(found)["attempts"])
                self.assertEqual("FreezeLost", vms.clone_status(found)["lastError"]["reason"])
        with self.subTest(clone="c-gone"):
            self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "c-gone"),
                          SETTLED_S + 30, "the Wukong to go that was deleted while no worker ran")
            self.assert_thawed_by_worker(gone, within_s=UNFREEZE_S - 1)
            self.assert_untouched(gone)
            self.assert_nothing_left("c-gone", gone.claims)
        self.assert_no_temporaries()
        self.bed.kill("worker-2")
        self.bed.start("worker")

    def assert_cloned_leaving(self, name, source):
        """assert_cloned, while other clones of the namespace may still have their snapshots."""
        found = self.wukong(name)
        self.assertEqual("FilesystemConsistent", vms.clone_status(found)["consistency"])
        self.assert_untouched(source)
        self.assert_disks(name, source, self.frozen_at(source))
        self.assert_own_identity(name, source)
        # A clone has succeeded before its snapshots go.
        self.wait_for(lambda: not [s for s in self.snapshots() if f"-{name}-" in s["metadata"]["name"]],
                      20, f"the snapshots of {name} to go")
        return found


if __name__ == "__main__":
    harness.main()
