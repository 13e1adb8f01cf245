"""Proves that a worker that is killed (SIGKILL) right after any one of its requests, and restarted, ends
its clone right, and all others that it has at that time: no guest stays frozen past its own timer, there
is one machine per Wukong, its bytes are right, and nothing is left over.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import beside, harness, vms  # noqa: E402

harness.quick_storage()


class AtEveryStep(vms.CloneCase):
    """The worker dies right after each of the requests that a clone consists of, in the order in which
    it sends them (worker/decide/decide.c: clone_steps). One clone for each, all at once: each is met by its own
    kill, and by those of the others."""

    # Without a Lease a restarted worker goes on at once.
    worker_arguments = ("--unfreeze-timeout", "10", "--lease", "")

    # What is killed after: verb, resource, whether it is a dry run.
    requests = (("patch", "wukongs", False),                            # the finalizer
                ("update", "virtualmachines/start", False),             # Source, of a stopped VM
                ("update", "virtualmachines/stop", False),              # the debt of having started one
                ("create", "persistentvolumeclaims", True),             # Preflight
                ("patch", "wukongs/status", False),                     # the freeze is announced
                ("update", "virtualmachineinstances/freeze", False),    # Freeze
                ("create", "volumesnapshots", False),                   # Cut
                ("update", "virtualmachineinstances/unfreeze", False),  # Thaw
                ("create", "persistentvolumeclaims", False),            # Disks
                ("create", "virtualmachines", False),                   # VirtualMachine
                ("patch", "persistentvolumeclaims", False),             # Ready: the VM owns the claim
                ("delete", "volumesnapshots", False))                   # the debt of having succeeded

    def test_each_ends_right(self):
        sources = beside.everywhere(self._source, *[(i, resource) for i, (_, resource, _)
                                                    in enumerate(self.requests)])
        mark, waiting = self.bed.audit_mark(), dict(enumerate(self.requests))
        for i, source in enumerate(sources):
            # Each kill while its guest is frozen costs an attempt.
            stop = {"stopSourceAfter": True} if self._stops(i) else {}
            self.clone(f"k{i:02}", source, clone_source={"retryLimit": 50, **stop})
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
                self._assert_ended(f"k{i:02}", source, self._stops(i))
        machines = self.kube.list(vms.KUBEVIRT_API, "VirtualMachine", self.namespace)
        ours = sorted(m["metadata"]["name"] for m in machines if m["metadata"]["name"].startswith("k"))
        self.assertEqual([f"k{i:02}-vm" for i in range(len(sources))], ours, "one VM per Wukong")
        self.assert_no_temporaries()

    def _stops(self, i):
        return self.requests[i][1] == "virtualmachines/stop"

    def _source(self, i, resource):
        if not resource.startswith("virtualmachines/"):
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

    def _assert_ended(self, name, source, stopped):
        found = self.wait_ended(name, timeout_s=120)
        consistency = vms.clone_status(found)["consistency"]
        if stopped:
            self._assert_stopped_again(name, source, consistency)
            return
        source.uid = source.vmi()["metadata"]["uid"]
        self.assert_untouched(source)
        # The worker dies so often that the guest's own timer may come first: that is its deadline.
        for entry in source.log("thawed", "safety-thawed"):
            self.assertLess(float(entry.get("frozenMs", 0)), 11000)
        self.assert_own_identity(name, source)
        self.assert_disks(name, source, torn_tail=consistency != "FilesystemConsistent")

    def _assert_stopped_again(self, name, source, consistency):
        """What was started for the clone is off, by whichever worker; the clone holds its records."""
        self.wait_for(lambda: not source.find_vmi(), 40, f"the source of {name} to be stopped again")
        machine = self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, source.name)
        self.assertEqual("Halted", machine["spec"]["runStrategy"])
        theirs, ours = source.disks()["root"], vms.read_live(self.volume_file(f"{name}-root"))
        guest = theirs.guests()[0]
        self.assertEqual([guest], theirs.guests(), "it was started more than once")
        numbers = ours.numbers(guest)
        self.assertEqual(list(range(1, len(numbers) + 1)), numbers)
        self.assertTrue(0 < len(numbers) <= theirs.last())
        if consistency == "FilesystemConsistent":
            self.assertEqual([], ours.problems())


if __name__ == "__main__":
    harness.main()
