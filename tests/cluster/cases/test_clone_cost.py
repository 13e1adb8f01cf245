"""Proves how little the worker says to the API server: what one clone writes, of each type (printed; the
bar is for a running one of one disk), and that nothing is written and hardly anything done when there is
nothing to do."""

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, vms  # noqa: E402


class Quiet(vms.CloneCase):
    # bars.md: API writes per clone of one disk.
    WRITES_MAX = 15

    def _writes(self, mark, account):
        """Counter of "verb resource"; what was only tried (dryRun) is no write."""
        counted = Counter()
        for entry in self.bed.audit_entries(mark):
            reference = entry.get("objectRef") or {}
            if entry["verb"] in harness.WRITES and entry["user"]["username"] == account and \
                    reference.get("resource") != "leases" and "dryRun=" not in entry["requestURI"]:
                parts = filter(None, (reference.get("resource"), reference.get("subresource")))
                counted[f"{entry['verb']} {'/'.join(parts)}"] += 1
        return counted

    def _cost(self, name, source, namespace=None, **clone_source):
        """What the worker writes for one clone, and how many seconds that takes."""
        namespace = namespace or self.namespace
        mark, began = self.bed.audit_mark(), time.monotonic()
        self.clone(name, source, namespace=namespace,
                   clone_source={**clone_source, "namespace": source.namespace})
        self.wait_ended(name, namespace=namespace)
        took = time.monotonic() - began
        if clone_source.get("cloneType") != "linked":
            self.wait_for(lambda: not self.wukong(name, namespace)["metadata"].get("finalizers"), 10,
                          "the end")
            self.wait_for(lambda: vms.holds(self.wukong(name, namespace), "TemporariesCleaned"), 10,
                          "the status to say so")
        counted = self._writes(mark, self.bed.account("worker"))
        print(f"# {name}, {took:.1f} s: {sum(counted.values())} writes: "
              + ", ".join(f"{n} {what}" for what, n in sorted(counted.items())), flush=True)
        return counted, took

    def test_a_clone_costs_few_writes_and_idleness_none(self):
        account = self.bed.account("worker")
        there = self.make_namespace(f"{self.namespace}-there")
        stopped = self.stopped_source("stopped")
        one, three = self.source("one"), self.source("three", disks=("a", "b", "c"))
        counted, took = self._cost("running", one)
        # Progress is written at most once a second: a slow machine makes more of it.
        progress = max(0, counted["patch wukongs/status"] - 4)
        self.assertLessEqual(progress, took)
        # An Event tells that the annotations by which the stand-in is told to misbehave stayed behind.
        differs = [e for e in self.bed.events(self.namespace, "running") if e["reason"] == "CloneDiffers"]
        self.assertIn(vms.FAULT, differs[0]["message"])
        self.assertLessEqual(sum(counted.values()) - progress - len(differs), self.WRITES_MAX, counted)
        self._cost("running-3-disks", three)
        self._cost("linked", one, cloneType="linked")
        self._cost("linked-stopped", stopped, cloneType="linked")
        self._cost("full", stopped, cloneType="full")
        self._cost("elsewhere", one, there)
        mark, woken = self.bed.audit_mark(), self._wakes()
        time.sleep(10)
        woken = {component: count - woken[component] for component, count in self._wakes().items()}
        self.assertEqual({}, dict(self.bed.audit_count(mark, account)), "writes in 10 s of idleness")
        # Two for each request, to send it and to take its answer: renewals of the Lease, lists of kinds
        # that are not served. The rest are watches, which have little to tell now.
        asked = Counter(e["user"]["username"] for e in self.bed.audit_entries(mark))
        print(f"# woken in 10 s of idleness: {woken}; requests: {asked[account]}", flush=True)
        for component, count in woken.items():
            self.assertLessEqual(count, 2 * asked[self.bed.account(component)] + 10, component)

    def _wakes(self):
        """How often each program of ours went to sleep so far, all threads together."""
        found = {}
        for component in ("webhook", "worker"):
            tasks = Path(f"/proc/{self.bed.process(component).pid()}/task").glob("*/status")
            found[component] = sum(int(line.split()[1]) for task in tasks
                                   for line in task.read_text().splitlines()
                                   if line.startswith("voluntary_ctxt_switches"))
        return found


if __name__ == "__main__":
    harness.main()
