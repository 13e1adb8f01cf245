"""Proves that whatever the CSI driver and the KubeVirt stand-in can be made to do wrong ends as
docs/user/reasons.md has it, in the time that the product allows: what passes by itself is waited out, what
does not fails with its reason, the words of who failed and the disk's name. Nothing stays behind, and no
guest is left frozen.

The faults are those that the stand-ins themselves name (csi-file --faults, kubevirt-standin faults): one
that has no row here fails the case. Those of an empty volume, which only a copy of CDI's asks the driver
for, have theirs in test_clone_cdi.py. All rows side by side.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import beside, harness, objects, vms  # noqa: E402
from bedlib.faultrows import Row, driver_rows  # noqa: E402

harness.quick_storage()
DEADLINE_S = int(20 * harness.PATIENCE)
# After the deadline: an answer of the driver is waited for 70 s from the request at most
# (worker/observe/leftover_content.c: CUT_AWAIT_MS), and the rest is a few requests on a machine that does much else.
CLEANUP_S = 90 * harness.PATIENCE
UNFREEZE_S = 10
# One attempt that ends by a freeze whose answer is lost: it may land late (worker: FREEZE_LATE_MS), the guest
# may be frozen so long, then fsFreezeStatus is polled.
LATE_S = 30
ATTEMPT_S = max(UNFREEZE_S, LATE_S) + 6 + 10 * harness.PATIENCE

DRIVER = {
    **driver_rows("snapshot", "snapshot"),
    # What stays so ends the freeze at once, and with it the only attempt.
    "snapshot-unsupported": Row("snapshot", {"fault-snapshot-unsupported": "true"}, "SnapshotFailed",
                                "snapshot is not supported"),
    "snapshot-ready-ms": Row("snapshot", {"fault-snapshot-ready-ms": "3000"}),
    "snapshot-no-creation-time": Row("snapshot", {"fault-snapshot-no-creation-time": "true"}),
    "snapshot-creation-time": Row("snapshot", {"fault-snapshot-creation-time": "-3600"}),
    "snapshot-no-size": Row("snapshot", {"fault-snapshot-no-size": "true"}),
    **driver_rows("restore", "restore"),
    **driver_rows("clone", "copy"),
    # Then it goes on by snapshots.
    "clone-unsupported": Row("copy", {"fault-clone-unsupported": "true"}),
    "grow-unsupported": Row("grow", {"fault-grow-unsupported": "true"}, "DeadlineExceeded",
                            "expansion is not supported"),
    # No clone meets these: a claim is made in its final size.
    **driver_rows("expand", "grow", fails=False),
    # What is left of a volume whose claim is gone is the driver's and its administrator's.
    **driver_rows("delete-volume", "remove", fails=False),
    **driver_rows("delete-snapshot", "clean", fails=False),
}
# A late cut is no failure, and no clone of an unknown driver can be right then; a snapshot that its clone
# keeps is there for as long as that: test_clone_faults.py.
# Groups have a case of their own: test_clone_group.py.
ELSEWHERE = (*driver_rows("create", "test_clone_cdi.py"), "snapshot-cut-late-ms", "snapshot-kept-by-clones",
             *driver_rows("group", "test_clone_group.py"), *driver_rows("delete-group", "test_clone_group.py"),
             "group-empty-list-ms", "group-not-atomic-ms", "group-short-list")

FREEZE = {"reason": "FreezeFailed", "quiesce": "Required"}
MACHINE = {
    "freeze-409": Row("guest", {"freeze-409": "true"}, text="VM is not running", **FREEZE),
    "freeze-500": Row("guest", {"freeze-500": "true"}, text="QEMU agent command", **FREEZE),
    "freeze-500-but-frozen": Row("guest", {"freeze-500-but-frozen": "true"}, text="QEMU agent command",
                                 **FREEZE),
    "freeze-late": Row("guest", {"freeze-late": "2500", "handler-timeout": "1000"},
                       text="deadline exceeded", **FREEZE),
    "freeze-late-times": Row("retried", {"freeze-late": "2500", "freeze-late-times": "1",
                                         "handler-timeout": "1000"}, quiesce="Required"),
    "freeze-slow": Row("guest", {"freeze-slow": "1500"}, quiesce="Required"),
    "handler-timeout": Row("guest", {"freeze-slow": "2500", "handler-timeout": "1000"},
                           text="deadline exceeded", **FREEZE),
    "unfreeze-500": Row("guest", {"unfreeze-500": "2"}, quiesce="Required"),
    "unfreeze-lost": Row("guest", {"unfreeze-lost": "2"}, quiesce="Required"),
    "no-agent": Row("blocked", {"no-agent": "true"}, "DeadlineExceeded", "agent", "Required"),
    "agent-delay": Row("awaited", {"agent-delay": "4000"}, quiesce="Required"),
    "paused": Row("blocked", {"paused": "true"}, "DeadlineExceeded", "paused", "Required"),
    "migrating": Row("blocked", {"migrating": "true"}, "DeadlineExceeded", "migrat"),
    "boot-delay": Row("awaited", {"boot-delay": "3000"}, quiesce="Required"),
    # How a guest writes is no failure; its clone is right all the same.
    "torn-writes": Row("guest", {"torn-writes": "true"}, quiesce="Required"),
    "write-interval": Row("guest", {"write-interval": "5"}, quiesce="Required"),
    "windows": Row("guest", {"windows": "10000"}, quiesce="Required"),
}
# Others who hold a source, each with what it takes besides an annotation: test_clone_faults.py.
HOLDERS = ("backup", "moving-volume")
# How a machine shows that it cannot be cloned now.
SHOWN = {"no-agent": lambda vmi: not vms.holds(vmi, "AgentConnected"),
         "paused": lambda vmi: vms.holds(vmi, "Paused"),
         "migrating": lambda vmi: vmi["status"].get("migrationState")}


class Reasons(vms.CloneCase):
    worker_arguments = ("--unfreeze-timeout", str(UNFREEZE_S))

    def test_no_fault_is_without_its_row(self):
        self.assertEqual(self._named("csi-file", "csi-file", "--faults"), sorted([*DRIVER, *ELSEWHERE]))
        self.assertEqual(self._named("kubevirt", "kubevirt-standin", "faults"), sorted([*MACHINE, *HOLDERS]))

    def _named(self, part, program, *arguments):
        done = subprocess.run([str(harness.which(part, program)), *arguments], capture_output=True,
                              text=True, check=True)
        return done.stdout.split()

    def test_every_fault_ends_as_documented(self):
        self.running, self.stopped = beside.everywhere(
            lambda make, name: make(name), (self.source, "running"), (self.stopped_source, "stopped"))
        rows = [(f"f-{name}", row) for name, row in {**DRIVER, **MACHINE}.items()]
        # Those that end at a deadline take longest: they begin.
        rows.sort(key=lambda row: not row[1].reason)
        wrong = [w for w in beside.everywhere(self._told, *rows, at_once=20) if w]
        self.assertEqual([], wrong, f"{len(wrong)} of {len(rows)}")
        self.assert_no_temporaries()
        self.assert_untouched(self.running)
        print(f"# {len(rows)} faults", flush=True)

    def _told(self, name, row):
        """What is wrong with a row, in words: all are to be told, not the first that fails."""
        try:
            getattr(self, f"way_{row.way}")(name, row)
        except Exception as wrong:
            return f"{name}: {type(wrong).__name__}: {str(wrong)[:700]}"
        finally:
            self.kube.close()
        return None

    # ---- how a clone meets a fault --------------------------------------------------------------

    def _classes(self, name, row):
        unique = f"{name}-{self.namespace}"
        self.cleanup_object(objects.storage_class(unique, row.faults))
        self.cleanup_object(objects.snapshot_class(unique, row.faults))
        return unique

    def _clone(self, name, source, row, clone_source=None, **more):
        # One that is waited out has the time; one that is not has a deadline to meet.
        limit = {"deadlineSeconds": DEADLINE_S} if row.reason == "DeadlineExceeded" else {}
        self.clone(name, source, startStrategy={"autoStart": False}, **more, clone_source={
            "retryLimit": 0, "quiesce": row.quiesce, **limit, **(clone_source or {})})

    def way_snapshot(self, name, row):
        source = self.source(f"s-{name}")
        self._clone(name, source, row, {"volumeSnapshotClassName": self._classes(name, row)})
        self._judge(name, row, source)

    def way_restore(self, name, row, **disk):
        """From one machine that all of these share, and that none of them freezes."""
        self._clone(name, self.running, row, {"quiesce": "Never"}, disks=[
            {"name": "root", "storageClassName": self._classes(name, row), **disk}])
        self._judge(name, row, self.running)

    def way_grow(self, name, row):
        self.way_restore(name, row, size="96Mi")
        if not row.reason:
            self.assertEqual("96Mi", self.claim(f"{name}-root")["status"]["capacity"]["storage"])

    def way_copy(self, name, row):
        """PersistentVolumeClaim to PersistentVolumeClaim, by the driver."""
        self._clone(name, self.stopped, row, {"cloneType": "full", "quiesce": None}, disks=[
            {"name": "root", "storageClassName": self._classes(name, row)}])
        self._judge(name, row, self.stopped)
        if not row.reason:
            instead = "fault-clone-unsupported" in row.faults
            disk, = vms.clone_status(self.wukong(name))["disks"]
            self.assertEqual("SnapshotRestore" if instead else "CSIClone", disk["method"])

    def way_remove(self, name, row):
        self.way_restore(name, row)
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, name)
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, name), 30,
                      "the Wukong to go")
        self.wait_for(lambda: not self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                                 f"{name}-root"), 60, "its claim to go")

    def way_clean(self, name, row):
        """Its snapshot cannot be removed: the machine is there, and what is left is told."""
        self._clone(name, self.running, row, {"quiesce": "Never",
                                              "volumeSnapshotClassName": self._classes(name, row)})
        if row.text:
            self.wait_for(lambda: vms.holds(self.wukong(name), "VirtualMachineReady"), 90, "the machine")
            self.wait_reason(name, "TemporariesCleaned", "CleaningUp", 30)
            names = vms.clone_status(self.wukong(name))["snapshotNames"]
            mine = lambda: next(c for c in self.contents()  # noqa: E731
                                if c["spec"]["volumeSnapshotRef"]["name"] in names)
            self.wait_for(lambda: "deletionTimestamp" in mine()["metadata"], 30, "its deletion")
            content = mine()
            vms.set_disk_fault(self.bed, content["status"]["snapshotHandle"], **{
                k.removeprefix("fault-").replace("-", "_"): False for k in row.faults})
        self._judge(name, row, self.running)

    def way_guest(self, name, row, retries=0):
        source = self.source(f"s-{name}", faults=row.faults)
        self._clone(name, source, row, {"retryLimit": retries})
        self._judge(name, row, source)
        self.assert_thawed_by_worker(source)

    def way_retried(self, name, row):
        self.way_guest(name, row, retries=1)

    def way_awaited(self, name, row):
        """A machine that is not ready when its clone is asked for."""
        source = self.source(f"s-{name}", faults=row.faults, wait=False)
        self._clone(name, source, row)
        self._judge(name, row, source.wait())

    def way_blocked(self, name, row):
        """Something that a clone waits for before it touches its source."""
        source = self.source(f"s-{name}")
        source.annotate(**{fault.replace("-", "_"): value for fault, value in row.faults.items()})
        fault, = row.faults
        self.wait_for(lambda: SHOWN[fault](source.vmi()), 20, f"{fault} to be seen")
        self._clone(name, source, row)
        self._judge(name, row, source)
        self.assertEqual([], source.log("freeze-request"), "the source paid for it")

    # ---- how it ends ----------------------------------------------------------------------------

    def _judge(self, name, row, source):
        found = self.wait_ended(name, "Failed" if row.reason else "Succeeded", timeout_s=240)
        status = vms.clone_status(found)
        if source is not self.stopped:
            self.assert_untouched(source)
        if not row.reason:
            if source is self.stopped:
                self.assert_same_records(name, source)
            else:
                self.assert_disks(name, source,
                                  torn_tail=status["consistency"] != "FilesystemConsistent")
            return
        error = status["lastError"]
        self.assertEqual(row.reason, error["reason"])
        self.assertEqual(row.reason, vms.reason(found, "Stalled"))
        self.assertIn(row.text, error["message"])
        took = vms.seconds(status["completionTime"]) - vms.seconds(status["startTime"])
        if row.reason == "DeadlineExceeded":
            self.assertLess(took, DEADLINE_S + CLEANUP_S)
            self.assertGreaterEqual(took, DEADLINE_S - 1)
        else:
            self.assertLess(took, ATTEMPT_S)
        if row.way in ("snapshot", "restore", "copy", "grow"):
            self.assertTrue(error.get("disk") == "root" or "root" in error["message"], error)
        self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", self.namespace, f"{name}-root"))
        self.assertIsNone(self.kube.find(vms.KUBEVIRT_API, "VirtualMachine", self.namespace,
                                         f"{name}-vm"))


if __name__ == "__main__":
    harness.main()
