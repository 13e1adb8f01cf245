"""Proves that a clone is right to the last byte whatever is combined: clone type, kind of source,
namespace, selection. Every combination that is valid is generated; by default each clone type and source
meets each selection and both namespaces, WUKONG_MATRIX=all runs the product. All at once, each from a
source of its own.

Judged from outside: the records on the source's disks and what its guest had written when it froze;
claims, MAC, UUID and serial of the source in the new machine (must be none); VolumeSnapshots, contents
and the CSI driver's snapshots (must be none, but for a linked clone's parent, which goes with it).
"""

import itertools
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, vms  # noqa: E402

harness.quick_storage()
# What a clone of that type may be made from; a full one needs a source that is stopped, and a VMI
# that is stopped does not exist (docs/user/rules.md: vmi-full).
SOURCES = {"running": ("vm", "vm-stopped", "vmi"), "linked": ("vm", "vm-stopped", "vmi"),
           "full": ("vm-stopped",)}
SELECTIONS = {"all": None,
              "one": [{"name": "root"}],
              "grown": [{"name": "root", "size": "96Mi"}, {"name": "data"}]}
PLACES = ("here", "there")


def combinations():
    """(clone type, source kind, place, selection), each valid one once."""
    pairs = [(t, s) for t, sources in SOURCES.items() for s in sources]
    if os.environ.get("WUKONG_MATRIX") == "all":
        return [(*pair, place, selection)
                for pair, place, selection in itertools.product(pairs, PLACES, SELECTIONS)]
    # Each pair with each selection; the places alternate, so that each pair and each selection meets
    # both.
    return [(*pair, PLACES[(i + k) % 2], selection)
            for i, pair in enumerate(pairs) for k, selection in enumerate(SELECTIONS)]


class Matrix(vms.CloneCase):
    def test_every_combination_is_right(self):
        self.there = self.make_namespace(f"{self.namespace}-there")
        rows = [(f"c{i:02}", *row) for i, row in enumerate(combinations())]
        with ThreadPoolExecutor(12) as pool:
            sources = list(pool.map(lambda row: self._source(f"s{row[0][1:]}", *row[1:3]), rows))
            for row, source in zip(rows, sources):
                self._clone(row, source)
            wrong = [w for w in pool.map(self._judged, rows, sources) if w]
        for row in rows:
            if row[1] == "linked":
                self.kube.delete(vms.WUKONG_API, "Wukong", self._namespace(row), row[0])
        self.assertEqual([], wrong, f"{len(wrong)} of {len(rows)}")
        for namespace in (self.namespace, self.there):
            self.wait_for(lambda n=namespace: not self.snapshots(n), 60, "the parents to go")
            self.assert_no_temporaries(namespace)
        print(f"# {len(rows)} combinations", flush=True)

    def _namespace(self, row):
        return self.there if row[3] == "there" else self.namespace

    def _source(self, name, clone_type, kind):
        disks = ("root", "data")
        if (clone_type, kind) == ("running", "vm-stopped"):
            # Numbers of records go on from guest to guest: the one that is to be started is the first.
            return self.source(name, disks, owned=True, wait=False, run_strategy="Halted")
        if kind == "vmi":
            return self.source(name, disks)
        return self.source(name, disks, owned=True) if kind == "vm" else self._stopped(name, disks)

    def _stopped(self, name, disks):
        """Has run, has written, was stopped."""
        source = self.source(name, disks, owned=True)
        self.kube.patch(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, name,
                        {"spec": {"runStrategy": "Halted"}})
        self.wait_for(lambda: not source.find_vmi(), 60, f"{name} to stop")
        return source

    def _clone(self, row, source):
        name, clone_type, kind, place, selection = row
        wanted = {"cloneType": clone_type}
        if place == "there":
            wanted["namespace"] = self.namespace
        more = {"disks": SELECTIONS[selection]} if SELECTIONS[selection] else {}
        # One that runs writes into its own disks; both must be right.
        self.wait_for(lambda: self.clone(name, source, namespace=self._namespace(row),
                                         clone_source=wanted,
                                         startStrategy={"autoStart": selection == "all"}, **more),
                      30, f"{name} to be admitted")

    def _judged(self, row, source):
        """What is wrong with it, in words."""
        try:
            self._judge(row, source)
        except Exception as wrong:  # every combination is to be told, not the first that fails
            return f"{' '.join(row)}: {type(wrong).__name__}: {str(wrong)[:600]}"
        return None

    def _judge(self, row, source):
        name, clone_type, kind, _, selection = row
        namespace = self._namespace(row)
        disks = [d["name"] for d in SELECTIONS[selection] or []] or list(source.claims)
        theirs = self._spec_of(source)
        found = self.wait_ended(name, timeout_s=240, namespace=namespace)
        started = kind == "vm-stopped" and clone_type == "running"
        if started:
            source.uid = source.vmi()["metadata"]["uid"]
        consistency = vms.clone_status(found)["consistency"]
        if kind == "vm-stopped" and not started:
            self.assertEqual("Offline", consistency)
            self._assert_same_records(name, source, disks, namespace)
        else:
            self.assertEqual("FilesystemConsistent", consistency)
            self.assert_disks(name, source, None if started else self.frozen_at(source), disks,
                              namespace=namespace)
            self.assert_untouched(source)
        if started:
            self.assertIn(self.frozen_at(source), {r.number for r in self._clones_disk(
                name, disks[0], namespace).records if r.guest == source.uid})
        self._assert_selection(name, disks, selection, namespace)
        self._assert_identity(name, theirs, source, namespace)
        # A clone has succeeded when its machines are there; its snapshots go afterwards.
        wanted = len(disks) if clone_type == "linked" else 0
        self.wait_for(lambda: self.assertEqual(wanted, len(self._snapshots_of(name))) or True, 60,
                      f"{name}: {wanted} snapshots to be left")

    def _snapshots_of(self, name):
        return [s["metadata"]["name"] for s in self.snapshots() + self.snapshots(self.there)
                if f"-{name}-" in s["metadata"]["name"]]

    def _clones_disk(self, name, disk, namespace):
        return vms.read_live(self.volume_file(f"{name}-{disk}", namespace))

    def _spec_of(self, source):
        if not source.owned:
            return source.vmi()["spec"]
        return self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace,
                             source.name)["spec"]["template"]["spec"]

    def _assert_same_records(self, name, source, disks, namespace):
        """Of a stopped source: exactly what is on its disks."""
        for disk in disks:
            held, clone = source.disks()[disk], self._clones_disk(name, disk, namespace)
            self.assertEqual([], clone.problems())
            self.assertEqual([r for r in held.records if r.guest == source.uid],
                             [r for r in clone.records if r.guest == source.uid], disk)
            self.assertTrue(clone.numbers(source.uid))

    def _assert_selection(self, name, disks, selection, namespace):
        for disk in ("root", "data"):
            claim = self.kube.find("v1", "PersistentVolumeClaim", namespace, f"{name}-{disk}")
            self.assertEqual(disk in disks, claim is not None, f"claim of {disk}")
            if claim:
                size = "96Mi" if selection == "grown" and disk == "root" else "64Mi"
                self.assertEqual(size, claim["status"]["capacity"]["storage"])

    def _assert_identity(self, name, theirs, source, namespace):
        made = self.vm_of(name, namespace)
        ours = made["spec"]["template"]["spec"]
        text = json.dumps(made)
        for claim in source.claims.values():
            self.assertNotIn(f'"{claim}"', text)
        macs = [i.get("macAddress") for i in ours["domain"]["devices"]["interfaces"]]
        self.assertTrue(all(macs))
        for interface in theirs["domain"]["devices"]["interfaces"]:
            self.assertNotIn(interface.get("macAddress"), macs)
        for key in ("uuid", "serial"):
            self.assertTrue(ours["domain"]["firmware"].get(key))
            self.assertNotEqual(theirs["domain"]["firmware"].get(key), ours["domain"]["firmware"][key])


if __name__ == "__main__":
    harness.main()
