"""Proves that a killed worker (SIGKILL) costs nobody anything: what it froze is thawed by whoever
comes after it, its clones end right, nothing is left over, and a freeze of somebody else stays.

Clones are held at one step each (by faults of the stand-in and of the CSI driver), then the worker is
killed. That the worker's own thaw ended a freeze, and not the guest's safety timer, is read in the
stand-in's freeze log.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

# A Lease is free 15 s after its holder was last heard of; a freeze must outlast that, or the guest's
# own timer would thaw it before the next worker may.
UNFREEZE_S = 30
# After a lost answer the thaw is owed until the guest's own timer has run out, and one poll longer.
SETTLED_S = UNFREEZE_S + 6
LEASE_S = 17


class Held(vms.CloneCase):
    """Helpers that make a clone stop at a step."""

    arguments = ("--unfreeze-timeout", str(UNFREEZE_S))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if "worker" in cls.bed.parts():
            vms.worker_with(cls.bed, *cls.arguments)

    def setUp(self):
        super().setUp()
        if "worker" in self.bed.parts():
            vms.wait_leading(self.bed)

    @classmethod
    def tearDownClass(cls):
        if "worker" in cls.bed.parts():
            vms.worker_with(cls.bed)

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
        self.wait_for(lambda: self.snapshots(source.namespace), 10, "the snapshot to be asked for")
        return lambda: vms.set_disk_fault(self.bed, handle)

    def hold_at_freeze(self, name, source):
        """The freeze is sent and not answered; it takes effect 4 s after it was sent."""
        source.annotate(freeze_slow="4000")
        self.clone(name, source)
        self.wait_field(name, "freeze.requestedTime")
        time.sleep(0.5)
        self.assertEqual([], source.log("frozen"), "too late: the guest is frozen already")
        return lambda: source.annotate(freeze_slow=None)


class Killed(Held):
    def test_every_clone_ends_right_whatever_step_the_kill_met(self):
        """One kill, clones at six places, one standby that takes over."""
        cut, freeze = self.source("cut"), self.source("freeze", owned=True)
        slow_ready = self.slow_storage("ready", snapshot_ready_ms=5000)
        slow_restore = self.slow_storage("restore", restore_delay_ms=5000)
        snapshots = self.source("snapshots", storage_class=slow_ready)
        disks = self.source("disks", disks=("root", "data"), storage_class=slow_restore)
        foreign = self.source("foreign")
        foreign.subresource("freeze", {"unfreezeTimeout": "5m"})
        self.addCleanup(foreign.subresource, "unfreeze")
        self.wait_for(lambda: foreign.vmi()["status"].get("fsFreezeStatus") == "frozen", 15,
                      "the foreign freeze to be seen")

        self.bed.start("worker-2")
        self.addCleanup(self.bed.kill, "worker-2")
        self.clone("c-source", clone_source={"type": "vmi", "vmiName": "later", "quiesce": "Required"})
        self.clone("c-foreign", foreign)
        release_cut = self.hold_at_cut("c-cut", cut)
        self.clone("c-disks", disks)
        self.clone("c-snapshots", snapshots, clone_source={"volumeSnapshotClassName": slow_ready})
        self.wait_field("c-snapshots", "cutTime")
        self.wait_for(lambda: self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                             "c-disks-data"), 20, "claims to be restored")
        release_freeze = self.hold_at_freeze("c-freeze", freeze)
        self.assertEqual("Cloning", vms.clone_status(self.wukong("c-snapshots"))["phase"])
        self.assertEqual("Pending", self.claim("c-disks-data")["status"]["phase"])
        self.bed.kill("worker")
        killed = time.time()
        # The cut is made while nobody works: the next worker finds a snapshot and a frozen guest.
        release_cut()
        later = self.source("later")

        self.wait_for(lambda: cut.log("thawed"), LEASE_S + 8, "the next worker to thaw the guest")
        self.wait_for(lambda: freeze.log("thawed"), LEASE_S + 8, "the late freeze to be thawed")
        release_freeze()
        print(f"# thawed {cut.log('thawed')[0]['at'] - killed:.1f} s after the kill", flush=True)
        for name, source in (("c-source", later), ("c-snapshots", snapshots), ("c-disks", disks)):
            self.wait_ended(name, timeout_s=60)
            with self.subTest(clone=name):
                found = self.assert_cloned_leaving(name, source)
                self.assertEqual(1, vms.clone_status(found)["attempts"], "nothing had to be repeated")
                self.assertEqual(1, len(source.log("frozen")))
        for name, source in (("c-cut", cut), ("c-freeze", freeze)):
            self.wait_ended(name, timeout_s=SETTLED_S + 60)
            with self.subTest(clone=name):
                self.assert_cloned_leaving(name, source)
                self.assert_thawed_by_worker(source, within_s=UNFREEZE_S - 1)
        with self.subTest(clone="c-foreign"):
            self.assertEqual("frozen", foreign.log("frozen", "thawed", "safety-thawed")[-1]["event"])
            self.assertEqual([], foreign.log("unfreeze-request"), "a freeze of somebody else was ended")
            self.wait_reason("c-foreign", "SnapshotTaken", "SourceBusy")
            foreign.subresource("unfreeze")
            self.wait_ended("c-foreign", timeout_s=40)
            self.assert_cloned_leaving("c-foreign", foreign)
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
        left = [s["metadata"]["name"] for s in self.snapshots() if f"-{name}-" in s["metadata"]["name"]]
        self.assertEqual([], left)
        return found


class Restarted(Held):
    def test_the_same_worker_restarted_thaws_what_it_froze(self):
        """Killed right after the freeze was answered, restarted at once, no standby."""
        source = self.source(disks=("root", "data"))
        release = self.hold_at_cut("again", source)
        self.wait_field("again", "freeze.requestedTime")
        self.bed.kill("worker")
        release()
        self.bed.start("worker")
        self.wait_for(lambda: source.log("thawed"), LEASE_S + 8, "the restarted worker to thaw it")
        self.wait_ended("again", timeout_s=SETTLED_S + 60)
        found = self.assert_cloned("again", source)
        self.assert_thawed_by_worker(source)
        self.assertEqual(2, vms.clone_status(found)["attempts"])
        self.assertEqual("FreezeLost", vms.clone_status(found)["lastError"]["reason"])

    def test_a_wukong_deleted_while_no_worker_runs_is_thawed_and_cleaned_afterwards(self):
        source = self.source()
        release = self.hold_at_cut("gone", source)
        self.bed.kill("worker")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "gone")
        release()
        self.bed.start("worker")
        self.wait_for(lambda: source.log("thawed"), LEASE_S + 8, "the thaw")
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "gone"),
                      SETTLED_S + 30, "the Wukong to go")
        self.assert_thawed_by_worker(source)
        self.assert_untouched(source)
        self.assert_nothing_left("gone", source.claims)


class AgainAndAgain(Held):
    """Without a Lease a restarted worker goes on at once: many kills in little time."""

    arguments = ("--unfreeze-timeout", "10", "--lease", "")
    kills = 8

    def test_clones_end_right_under_a_worker_that_keeps_dying(self):
        sources = [self.source(f"s{i}", owned=bool(i % 2)) for i in range(4)]
        steps = []
        for i, source in enumerate(sources):
            self.clone(f"k{i}", source)
        for _ in range(self.kills):
            time.sleep(0.45)
            steps += [vms.clone_status(self.wukong(f"k{i}")).get("step", "-") for i in range(4)]
            self.bed.kill("worker")
            self.bed.start("worker")
        print(f"# killed at: {', '.join(sorted(set(steps)))}", flush=True)
        for i, source in enumerate(sources):
            self.wait_ended(f"k{i}", timeout_s=120)
            with self.subTest(clone=i):
                self.assertIsNotNone(self.vm_of(f"k{i}"))
                self.assert_untouched(source)
                self.assert_own_identity(f"k{i}", source)
                consistency = vms.clone_status(self.wukong(f"k{i}"))["consistency"]
                self.assert_disks(f"k{i}", source, torn_tail=consistency != "FilesystemConsistent")
        machines = self.kube.list(vms.KUBEVIRT_API, "VirtualMachine", self.namespace)
        ours = sorted(m["metadata"]["name"] for m in machines if m["metadata"]["name"].startswith("k"))
        self.assertEqual([f"k{i}-vm" for i in range(4)], ours, "one VM per Wukong")
        self.assert_no_temporaries()


class AtEveryStep(Held):
    """The worker dies right after each of the requests that a clone consists of, in the order in which
    it sends them (worker/decide.c: clone_steps). One clone for each, all at once: each is met by its own
    kill, and by those of the others."""

    arguments = ("--unfreeze-timeout", "10", "--lease", "")

    # What is killed after: verb, resource, whether it is a dry run.
    requests = (("patch", "wukongs", False),                            # the finalizer
                ("update", "virtualmachines/start", False),             # Source, of a stopped VM
                ("create", "persistentvolumeclaims", True),             # Preflight
                ("patch", "wukongs/status", False),                     # the freeze is announced
                ("update", "virtualmachineinstances/freeze", False),    # Freeze
                ("create", "volumesnapshots", False),                   # Cut
                ("update", "virtualmachineinstances/unfreeze", False),  # Thaw
                ("create", "persistentvolumeclaims", False),            # Disks
                ("create", "virtualmachines", False),                   # VirtualMachine
                ("patch", "persistentvolumeclaims", False),             # Ready: the VM owns the claim
                ("delete", "volumesnapshots", False))                   # Cleanup

    def test_each_ends_right(self):
        sources = [self._source(i, resource) for i, (_, resource, _) in enumerate(self.requests)]
        mark, waiting = self.bed.audit_mark(), dict(enumerate(self.requests))
        for i, source in enumerate(sources):
            # Each kill while its guest is frozen costs an attempt.
            self.clone(f"k{i:02}", source, clone_source={"retryLimit": 50})
        end = time.monotonic() + 240
        while waiting and time.monotonic() < end:
            met = self._met(mark, waiting)
            if not met:
                time.sleep(0.01)
                continue
            self.bed.kill("worker")
            self.bed.start("worker")
            for i in met:
                del waiting[i]
        self.assertEqual({}, waiting, "these were never sent")
        for i, source in enumerate(sources):
            with self.subTest(killed_after=" ".join(map(str, self.requests[i]))):
                self._assert_ended(f"k{i:02}", source)
        machines = self.kube.list(vms.KUBEVIRT_API, "VirtualMachine", self.namespace)
        ours = sorted(m["metadata"]["name"] for m in machines if m["metadata"]["name"].startswith("k"))
        self.assertEqual([f"k{i:02}-vm" for i in range(len(sources))], ours, "one VM per Wukong")
        self.assert_no_temporaries()

    def _source(self, i, resource):
        if resource != "virtualmachines/start":
            return self.source(f"s{i:02}", owned=bool(i % 2))
        return self.source(f"s{i:02}", owned=True, wait=False, run_strategy="Halted")

    def _met(self, mark, waiting):
        """The clones whose request the API server has answered."""
        found = set()
        for entry in self.bed.audit_entries(mark):
            reference = entry.get("objectRef") or {}
            if entry["user"]["username"] != self.bed.account("worker") \
                    or reference.get("namespace") != self.namespace:
                continue
            resource = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
            sent = (entry["verb"], resource, "dryRun=All" in entry["requestURI"])
            name = reference.get("name") or ""
            found |= {i for i, wanted in waiting.items()
                      if wanted == sent and (f"k{i:02}" in name or name == f"s{i:02}")}
        return found

    def _assert_ended(self, name, source):
        found = self.wait_ended(name, timeout_s=120)
        source.uid = source.vmi()["metadata"]["uid"]
        self.assert_untouched(source)
        # The worker dies so often that the guest's own timer may come first: that is its deadline.
        for entry in source.log("thawed", "safety-thawed"):
            self.assertLess(float(entry.get("frozenMs", 0)), 11000)
        self.assert_own_identity(name, source)
        consistency = vms.clone_status(found)["consistency"]
        self.assert_disks(name, source, torn_tail=consistency != "FilesystemConsistent")


if __name__ == "__main__":
    harness.main()
