"""Proves that a running machine is cloned without being stopped, and that the clone is right.

The source's guest writes numbered records, each in two halves, all the time. The clone's disks must
hold exactly those that the guest had written when it froze (the stand-in's freeze log says which),
all disks the same; the source must have lost none, kept its UID and gone on. Beside the bytes: the
new machine's identity, what is left over, and what a user sees of it (status, columns, Events).
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

harness.quick_storage()
GIB = 1 << 30


class Running(vms.Concurrent):
    """One test per kind of source and selection."""

    def test_a_standalone_vmi_is_cloned(self):
        source = self.source()
        self.clone("one", source)
        self.wait_ended("one")
        self.assert_cloned("one", source)
        self.assert_thawed_by_worker(source)

    def test_a_vmi_owned_by_a_vm_is_cloned(self):
        source = self.source(owned=True)
        before = self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, source.name)
        self.clone("one", source)
        self.wait_ended("one")
        self.assert_cloned("one", source)
        self.assert_thawed_by_worker(source)
        after = self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, source.name)
        self.assertEqual(before["spec"], after["spec"])

    def test_the_vmi_of_a_vm_is_cloned_by_its_own_name(self):
        source = self.source(owned=True)
        source.owned = False
        self.clone("one", source)
        self.wait_ended("one")
        self.assert_cloned("one", source)

    def test_three_disks_are_of_one_point_in_time(self):
        source = self.source(disks=("root", "data", "log"), owned=True)
        self.clone("three", source)
        found = self.wait_ended("three")
        self.assert_cloned("three", source)
        self.assertEqual(1, len(source.log("frozen")), "one freeze for all disks")
        self.assertEqual(["data", "log", "root"],
                         sorted(d["name"] for d in vms.clone_status(found)["disks"]))

    def test_two_disks_of_three_are_selected(self):
        source = self.source(disks=("root", "data", "log"))
        wukong = objects.wukong(self.namespace, "two", {
            "cloneSource": source.spec(), "disks": [{"name": "root"}, {"name": "log"}]})
        shown = self.bed.kubectl("apply", "-f", "-", stdin=json.dumps(wukong))
        self.assertIn("Warning:", shown.stderr)
        self.assertIn("data", shown.stderr, "the disk that is left out is not named")
        self.wait_ended("two")
        self.assert_cloned("two", source, disks=("root", "log"))
        made = self.vm_of("two")["spec"]["template"]["spec"]
        self.assertEqual({"root", "log", "ci"}, {v["name"] for v in made["volumes"]})
        self.assertEqual({"root", "log", "ci"},
                         {d["name"] for d in made["domain"]["devices"]["disks"]})
        self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", self.namespace, "two-data"))

    def test_a_disk_is_cloned_under_another_name(self):
        source = self.source(disks=("root", "data"))
        self.clone("named", source, disks=[{"name": "system", "sourceDisk": "root"}])
        self.wait_ended("named")
        held = vms.read_live(self.volume_file("named-system"))
        self.assertEqual([], held.problems())
        self.assertEqual(self.frozen_at(source), len(held.numbers(source.uid)))

    def test_a_disk_grows_from_one_to_two_gibibytes_and_stays_sparse(self):
        source = self.source(size="1Gi")
        self.clone("grown", source, disks=[{"name": "root", "size": "2Gi"}])
        self.wait_ended("grown")
        self.assert_cloned("grown", source)
        file = self.volume_file("grown-root").stat()
        self.assertEqual(2 * GIB, file.st_size)
        self.assertLess(file.st_blocks * 512, 64 << 20, "holes were filled")
        claim = self.claim("grown-root")
        self.assertIn(claim["spec"]["resources"]["requests"]["storage"], ("2Gi", str(2 * GIB)))
        self.assertEqual("2Gi", claim["status"]["capacity"]["storage"])

    def test_a_clone_that_is_not_to_be_started_is_ready_when_it_is_there(self):
        source = self.source()
        self.clone("off", source, startStrategy={"autoStart": False})
        found = self.wait_ended("off")
        self.assertTrue(vms.holds(found, "Ready"))
        self.assertEqual("Stopped", found["status"]["phase"])
        self.assert_cloned("off", source)
        self.assertIsNone(self.kube.find(vms.KUBEVIRT_API, "VirtualMachineInstance", self.namespace,
                                         "off-vm"))
        for disk in source.claims:
            held = vms.read_live(self.volume_file(f"off-{disk}"))
            self.assertEqual([source.uid], held.guests(), "nobody but the source wrote to it")

    def test_a_started_clone_goes_on_where_the_source_was_cut(self):
        source = self.source()
        self.clone("on", source)
        found = self.wait_ended("on")
        self.assertEqual("Running", found["status"]["phase"])
        clone = self.kube.get(vms.KUBEVIRT_API, "VirtualMachineInstance", self.namespace, "on-vm")
        own = clone["metadata"]["uid"]
        self.assertNotEqual(source.uid, own)
        path = self.volume_file("on-root")
        held = self.wait_for(lambda: own in vms.read_live(path).guests() and vms.read_live(path), 20,
                             "the clone's guest to write")
        self.assertEqual(len(held.numbers(source.uid)) + 1, held.numbers(own)[0])
        theirs = vms.read_live(source.file("root"))
        self.assertEqual([source.uid], theirs.guests(), "the clone wrote to the source's disk")

    def test_cpu_and_memory_are_replaced_when_asked_for(self):
        source = self.source(owned=True, cpu=2)
        self.clone("big", source, cpu=3, memory="256Mi")
        self.clone("same", source)
        self.wait_ended("big")
        self.wait_ended("same")
        big = self.vm_of("big")["spec"]["template"]["spec"]["domain"]
        # The source has its 2 in cores, and so has the clone.
        self.assertEqual((1, 3, 1), tuple(big["cpu"][k] for k in ("sockets", "cores", "threads")))
        self.assertEqual("256Mi", big["memory"]["guest"])
        same = self.vm_of("same")["spec"]["template"]["spec"]["domain"]
        self.assertEqual((1, 2, 1), tuple(same["cpu"][k] for k in ("sockets", "cores", "threads")))
        self.assertEqual("128Mi", same["memory"]["guest"])

    def test_replicas_are_of_one_freeze_and_differ_in_who_they_are(self):
        source = self.source(disks=("root", "data"), owned=True)
        self.clone("many", source, replicas=3)
        found = self.wait_ended("many")
        self.assertEqual(1, len(source.log("frozen")), "one freeze for all")
        last, known = self.frozen_at(source), set()
        for i in range(3):
            for disk in source.claims:
                held = vms.read_live(self.volume_file(f"many-vm-{i}-{disk}"))
                self.assertEqual([], held.problems())
                self.assertEqual(list(range(1, last + 1)), held.numbers(source.uid))
            domain = self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace,
                                   f"many-vm-{i}")["spec"]["template"]["spec"]["domain"]
            known |= {domain["devices"]["interfaces"][0]["macAddress"], domain["firmware"]["uuid"],
                      domain["firmware"]["serial"]}
        self.assertEqual(9, len(known), "each its own address, UUID and serial")
        status = vms.clone_status(found)
        self.assertEqual([f"many-vm-{i}" for i in range(3)], [t["vmName"] for t in status["targets"]])
        self.assertEqual({"Bound"}, {d["phase"] for t in status["targets"] for d in t["disks"]})
        self.assert_untouched(source)
        self.assert_no_temporaries()

    def test_linked_replicas_keep_their_parent_until_the_last_is_gone(self):
        source = self.source(owned=True)
        self.clone("kin", source, replicas=2, clone_source={"cloneType": "linked"})
        status = vms.clone_status(self.wait_ended("kin"))
        parent, = self.snapshots()
        self.assertEqual([parent["metadata"]["name"]], status["snapshotNames"])
        content, = self.contents()
        self.assertEqual("Retain", content["spec"]["deletionPolicy"])
        last = self.frozen_at(source)
        self.kube.delete(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, "kin-vm-0")
        self.wait_for(lambda: not self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                                 "kin-vm-0-root"), 40, "the first child's claim to go")
        held = vms.read_live(self.volume_file("kin-vm-1-root"))
        self.assertEqual(list(range(1, last + 1)), held.numbers(source.uid))
        self.assertEqual(1, len(self.snapshots()), "the other child still needs it")
        self.assertEqual(1, len(self.physical_snapshots()))
        self.kube.delete(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, "kin-vm-1")
        self.wait_for(lambda: not self.snapshots(), 60, "the parent to go with its last child")
        self.assert_no_temporaries()

    def test_what_cannot_be_snapshotted_is_left_out_where_that_is_allowed(self):
        self.make_claim("src-data-0")
        self.other_drivers_claim("src-data-1", f"{self.namespace}.csi.example")
        source = vms.Source(self, "src", {"root": "src-data-0", "data": "src-data-1"}, False,
                            self.namespace)
        self.kube.create(vms.vmi(self.namespace, "src", vms.machine_spec(source.claims),
                                 {vms.FAULT + "write-interval": "40"}))
        source.wait()
        self.assert_refused(lambda: self.clone("no", source), 422, "src-data-1")
        wukong = objects.wukong(self.namespace, "part", {
            "cloneSource": {**source.spec(), "allowUnsnapshottable": True}})
        shown = self.bed.kubectl("apply", "-f", "-", stdin=json.dumps(wukong))
        self.assertIn("Warning:", shown.stderr)
        self.assertIn("data", shown.stderr, "the disk that is left out is not named")
        self.wait_ended("part")
        self.assert_cloned("part", source, disks=("root",))
        self.assertEqual({"root", "ci"}, {v["name"] for v in
                                          self.vm_of("part")["spec"]["template"]["spec"]["volumes"]})

    def test_a_clone_without_its_boot_disk_is_warned_of(self):
        source = self.source(disks=("root", "data"))
        wukong = objects.wukong(self.namespace, "data", {"cloneSource": source.spec(),
                                                         "disks": [{"name": "data"}]})
        shown = self.bed.kubectl("apply", "-f", "-", stdin=json.dumps(wukong))
        self.assertRegex(shown.stderr, r"Warning:.*boot")
        self.wait_ended("data")
        self.assert_cloned("data", source, disks=("data",))

    def test_a_clone_does_not_slip_behind_the_services_of_its_source(self):
        source = self.source(owned=True, labels={"app": "shop"})
        self.clone("quiet", source, labels={"team": "blue", "app.kubernetes.io/instance": "argo-app"})
        self.wait_ended("quiet")
        made = self.vm_of("quiet")
        for labels in (made["metadata"].get("labels") or {},
                       made["spec"]["template"].get("metadata", {}).get("labels") or {}):
            self.assertNotIn("app", labels)
            self.assertNotIn("app.kubernetes.io/instance", labels)
        self.assertEqual("blue", made["metadata"]["labels"]["team"])
        self.assertFalse([k for k in made["spec"]["template"]["metadata"].get("annotations") or {}
                          if k.startswith(vms.FAULT)])

    def test_without_agent_the_clone_is_crash_consistent_and_nothing_is_frozen(self):
        source = self.source(faults={"no-agent": "true"}, agent=False)
        self.clone("crash", source)
        # A guest that has just begun to run is given two minutes for its agent.
        self.wait_ended("crash", timeout_s=160)
        self.assert_cloned("crash", source, consistency="CrashConsistent")
        self.assertEqual([], source.log("frozen", "freeze-request"))

    def test_quiesce_never_freezes_nobody(self):
        source = self.source()
        self.clone("never", source, clone_source={"quiesce": "Never"})
        self.wait_ended("never")
        self.assert_cloned("never", source, consistency="CrashConsistent")
        self.assertEqual([], source.log("frozen", "freeze-request"))

    def test_the_vm_owns_its_claims_and_the_wukong_owns_the_vm(self):
        source = self.source()
        self.clone("kept", source, reclaimPolicy="Retain")
        self.clone("owned", source)
        for name in ("kept", "owned"):
            self.wait_ended(name, timeout_s=90)
            made = self.vm_of(name)
            owners = self.claim(f"{name}-root")["metadata"]["ownerReferences"]
            self.assertIn(made["metadata"]["uid"], [o["uid"] for o in owners])
        unowned = lambda: "Wukong" not in [  # noqa: E731
            o["kind"] for o in self.vm_of("kept")["metadata"].get("ownerReferences", [])]
        self.wait_for(unowned, 10, "the machine that is to stay to have no owner")
        for name in ("kept", "owned"):
            self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, name)
        gone = lambda: not self.kube.find(vms.KUBEVIRT_API, "VirtualMachine", self.namespace,  # noqa: E731
                                          "owned-vm")
        self.wait_for(gone, 40, "the VM to go with its Wukong")
        self.wait_for(lambda: not self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                                 "owned-root"), 40, "the claim to go with its VM")
        self.assertIsNotNone(self.vm_of("kept"))
        self.assertIsNotNone(self.claim("kept-root"))


class Seen(vms.CloneCase):
    """What a user sees while and after it is cloned. One clone for all tests."""

    made = None

    def setUp(self):
        super().setUp()
        if Seen.made is None:
            source = self.source(disks=("root", "data"), owned=True, namespace=self._own_namespace())
            wukong = objects.wukong(Seen.where, "seen", {"cloneSource": source.spec()})
            self.bed.kubectl("apply", "-f", "-", stdin=json.dumps(wukong))
            Seen.lines = self._watch_columns()
            self.bed.kubectl("wait", "--for=condition=Ready", "wk/seen", "-n", Seen.where,
                             "--timeout=60s")
            Seen.made = source
        self.shown = self.wukong("seen", Seen.where)
        self.status = vms.clone_status(self.shown)

    def _own_namespace(self):
        Seen.where = f"seen-{os.getpid() % 10000}"
        self.kube.create(objects.namespace(Seen.where))
        return Seen.where

    def _watch_columns(self):
        """The progress that anybody who looks often sees, as (phase, progress)."""
        seen = []
        def step():
            status = vms.clone_status(self.wukong("seen", Seen.where))
            line = (status.get("phase"), status.get("progress"))
            if line[1] and (not seen or seen[-1] != line):
                seen.append(line)
            return line[0] in ("Succeeded", "Failed")
        self.wait_for(step, 60, "the clone to end")
        return seen

    @classmethod
    def tearDownClass(cls):
        if cls.made and not os.environ.get("WUKONG_BED"):
            cls.kube.delete("v1", "Namespace", None, cls.where)

    def test_kubectl_wait_returns_when_it_is_ready(self):
        # setUp waited with kubectl; what it waited for must be final.
        self.assertEqual("Succeeded", self.status["phase"])

    def test_the_conditions_say_that_all_is_done(self):
        for kind in ("Ready", "SourceReady", "PolicyAllowed", "SnapshotTaken", "SnapshotReady",
                     "DisksReady", "VirtualMachineReady"):
            self.assertTrue(vms.holds(self.shown, kind), f"{kind}: {self.shown['status']}")
        # A clone has succeeded before its snapshots are gone.
        cleaned = lambda: vms.holds(self.wukong("seen", Seen.where), "TemporariesCleaned")  # noqa: E731
        self.wait_for(cleaned, 20, "its snapshots to go")
        for kind in ("Reconciling", "Stalled"):
            self.assertEqual({}, vms.condition(self.shown, kind))
        generation = self.shown["metadata"]["generation"]
        self.assertEqual(generation, self.shown["status"]["observedGeneration"])

    def test_the_status_tells_what_was_done(self):
        self.assertEqual("seen-vm", self.shown["status"]["vmName"])
        self.assertEqual("Running", self.shown["status"]["phase"])
        status = self.status
        self.assertEqual("100%", status["progress"])
        self.assertEqual(Seen.made.name, status["sourceVMI"])
        self.assertEqual(1, status["attempts"])
        self.assertEqual("FilesystemConsistent", status["consistency"])
        uid8 = self.shown["metadata"]["uid"][:8]
        self.assertEqual(f"snapshot-{Seen.made.name}-seen-{uid8}-1-root", status["snapshotName"])
        self.assertEqual(128 << 20, int(status["snapshotSize"]))
        disks = {d["name"]: d for d in status["disks"]}
        for disk, claim in Seen.made.claims.items():
            self.assertEqual(claim, disks[disk]["sourcePVC"])
            self.assertEqual("100%", disks[disk]["progress"])
            self.assertEqual("Bound", disks[disk]["phase"])
        self.assertEqual({"seen-root", "seen-data"},
                         {d["pvc"] for d in status["targets"][0]["disks"]})
        self.assertNotIn("lastError", status)

    def test_the_times_are_in_order_and_the_snapshot_lies_within_the_freeze(self):
        began, ended = (vms.seconds(self.status[k]) for k in ("startTime", "completionTime"))
        created = vms.seconds(self.shown["metadata"]["creationTimestamp"])
        taken = vms.seconds(self.status["snapshotTime"])
        self.assertLessEqual(created - 1, began)
        self.assertLessEqual(began, ended)
        frozen, = Seen.made.log("frozen")
        thawed, = Seen.made.log("thawed")
        self.assertLessEqual(frozen["at"] - 0.01, taken)
        self.assertLessEqual(taken, thawed["at"] + 0.01)

    def test_the_freeze_time_agrees_with_the_guests_own_log(self):
        thawed, = Seen.made.log("thawed")
        told = self.status["freezeMilliseconds"]
        # From sending the freeze to the answer to the thaw: never less than the guest was frozen,
        # and more by no more than two calls.
        self.assertLessEqual(int(thawed["frozenMs"]), told)
        self.assertLess(told - thawed["frozenMs"], 1000)
        print(f"# frozen {thawed['frozenMs']:.0f} ms (two disks), told {told} ms", flush=True)

    def test_the_freeze_is_asked_for_once_by_the_worker_alone(self):
        for event in ("freeze-request", "unfreeze-request"):
            asked = Seen.made.log(event)
            self.assertEqual([(self.bed.account("worker"), 200)],
                             [(e["user"], e["code"]) for e in asked])

    def test_progress_never_goes_back(self):
        numbers = [int(progress[:-1]) for _, progress in Seen.lines]
        self.assertEqual(sorted(numbers), numbers)
        self.assertEqual(("Succeeded", "100%"), Seen.lines[-1])
        self.assertIn("Cloning", [phase for phase, _ in Seen.lines])

    def test_events_tell_the_story_in_order_each_once(self):
        events = [e for e in self.bed.events(Seen.where, "seen")]
        reasons = [e["reason"] for e in events]
        for wanted in ("SnapshotTaken", "Succeeded"):
            self.assertEqual(1, reasons.count(wanted), reasons)
        self.assertLess(reasons.index("SnapshotTaken"), reasons.index("Succeeded"))
        # The faults of the source's guest are annotations of its template, which a clone does not take.
        warned = [(e["reason"], vms.FAULT in e["message"]) for e in events if e["type"] != "Normal"]
        self.assertEqual([("CloneDiffers", True)], warned)
        self.assertEqual({1}, {e.get("count") or 1 for e in events})
        taken = events[reasons.index("SnapshotTaken")]["message"]
        self.assertIn(str(self.status["freezeMilliseconds"]), taken)

    def test_the_printer_columns_show_it(self):
        head, line = self.bed.kubectl("get", "wk", "seen", "-n", Seen.where).stdout.splitlines()
        self.assertEqual(["NAME", "SOURCE", "TYPE", "PHASE", "PROGRESS", "VM", "UNTIL", "EXPIRES", "AGE"],
                         head.split())
        self.assertEqual(["seen", Seen.made.name, "running", "Succeeded", "100%", "seen-vm"],
                         line.split()[:6])
        wide = self.bed.kubectl("get", "wk", "seen", "-n", Seen.where, "-o", "wide").stdout
        self.assertIn("CONSISTENCY", wide)
        self.assertIn("FilesystemConsistent", wide)

    def test_everything_made_carries_the_wukongs_uid(self):
        uid = self.shown["metadata"]["uid"]
        made = [self.vm_of("seen", Seen.where), self.claim("seen-root", Seen.where),
                self.claim("seen-data", Seen.where)]
        for obj in made:
            self.assertIn(uid, obj["metadata"]["labels"].values(), obj["metadata"]["name"])

    def test_the_finalizer_is_gone_when_nothing_is_owed(self):
        gone = lambda: not self.wukong("seen", Seen.where)["metadata"].get("finalizers")  # noqa: E731
        self.wait_for(gone, 10, "the finalizer to be removed")


class Refused(vms.CloneCase):
    """What kubectl prints for a spec that cannot be."""

    needs = ("webhook",)

    def _apply(self, spec):
        done = self.bed.kubectl("apply", "-f", "-", check=False,
                                stdin=json.dumps(objects.wukong(self.namespace, "x", spec)))
        self.assertNotEqual(0, done.returncode)
        self.assertIsNone(self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "x"))
        return done.stderr

    def test_every_mistake_is_named_at_once_with_its_path(self):
        text = self._apply({"cpu": 65, "memory": "many",
                            "cloneSource": {"type": "vmi", "vmName": "v", "cloneType": "full"},
                            "disks": [{"name": "Root"}]})
        self.assertTrue(text.startswith('The Wukong "x" is invalid: \n'), text)
        for path in ("spec.cpu", "spec.memory", "spec.cloneSource.vmiName", "spec.cloneSource.vmName",
                     "spec.cloneSource.cloneType", "spec.disks[0].name"):
            self.assertIn(f"* {path}: ", text)

    def test_one_mistake_is_told_in_the_same_form(self):
        text = self._apply({"cloneSource": {"type": "vmi"}})
        self.assertTrue(text.startswith('The Wukong "x" is invalid: spec.cloneSource.vmiName: '), text)

    def test_the_source_cannot_be_changed_afterwards(self):
        source = {"type": "vmi", "vmiName": "late"}
        self.clone("y", clone_source=source)
        done = self.bed.kubectl("patch", "wk", "y", "-n", self.namespace, "--type=merge", "-p",
                                '{"spec":{"cloneSource":{"vmiName":"other"}}}', check=False)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("spec.cloneSource", done.stderr)
        self.assertIn("immutable", done.stderr)


if __name__ == "__main__":
    harness.main()
