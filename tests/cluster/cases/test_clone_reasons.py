"""Proves that whatever the CSI driver can be made to do wrong ends as docs/reasons.md has it, in the time
that the product allows: what passes by itself is waited out, what does not fails at the deadline with the
driver's own words and the disk's name. Nothing stays behind, and the guest is not left frozen.

One row for each fault of tests/cluster/csi/README.md that a clone meets, all side by side; the freezes
that go wrong are in test_clone_faults.py.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

DEADLINE_S = 30
# After the deadline: an answer of the driver is waited for 70 s from the request at most
# (worker/view_left.c: CUT_AWAIT_MS), and the rest is a few requests on a machine that does much else.
CLEANUP_S = 90

# Parameters of both classes, and what lastError says; None: it succeeds.
ROWS = (
    ("snapshot-refused", {"snapshot-fail": "true"}, "injected failure of snapshot"),
    ("snapshot-unsupported", {"snapshot-unsupported": "true"}, "snapshot is not supported"),
    ("restore-refused", {"restore-fail": "true"}, "injected failure of restore"),
    ("restore-unsupported", {"restore-unsupported": "true"}, "restore is not supported"),
    ("snapshot-twice", {"snapshot-fail-count": "2"}, None),
    # With this code it may have been taken all the same: csi-snapshotter asks until it knows, and
    # nothing can be removed before. A driver that stays away is given up after ten minutes.
    ("snapshot-unavailable", {"snapshot-fail-count": "3", "snapshot-fail-code": "Unavailable"}, None),
    ("snapshot-answers-late", {"snapshot-answer-ms": "3000"}, None),
    ("snapshot-ready-late", {"snapshot-ready-ms": "3000"}, None),
    ("snapshot-without-time", {"snapshot-no-creation-time": "true"}, None),
    ("snapshot-without-size", {"snapshot-no-size": "true"}, None),
    ("restore-twice", {"restore-fail-count": "2"}, None),
    ("restore-late", {"restore-delay-ms": "3000"}, None),
    ("deleted-late", {"delete-snapshot-fail-count": "2"}, None),
)


class Reasons(vms.CloneCase):
    def test_every_fault_of_the_driver_ends_as_documented(self):
        with ThreadPoolExecutor(6) as pool:
            sources = list(pool.map(self._source_of, ROWS))
            for row, source in zip(ROWS, sources):
                # One that is waited out has the time; one that is not has a deadline to meet.
                limit = {"deadlineSeconds": DEADLINE_S} if row[2] else {}
                self.clone(row[0], source, startStrategy={"autoStart": False}, clone_source={
                    "volumeSnapshotClassName": self._class(row[0]), "retryLimit": 0, **limit})
            wrong = [w for w in pool.map(self._judged, ROWS, sources) if w]
        self.assertEqual([], wrong, f"{len(wrong)} of {len(ROWS)}")
        self.assert_no_temporaries()

    def _class(self, name):
        return f"{name}-{self.namespace}"

    def _source_of(self, row):
        name, faults, _ = row
        parameters = {f"fault-{k}": v for k, v in faults.items()}
        self.cleanup_object(objects.storage_class(self._class(name), parameters))
        self.cleanup_object(objects.snapshot_class(self._class(name), parameters))
        return self.source(f"s-{name}", storage_class=self._class(name))

    def _judged(self, row, source):
        """What is wrong with it, in words."""
        try:
            self._judge(*row, source)
        except Exception as wrong:  # every row is to be told, not the first that fails
            return f"{row[0]}: {type(wrong).__name__}: {str(wrong)[:700]}"
        return None

    def _judge(self, name, _, text, source):
        found = self.wait_ended(name, "Failed" if text else "Succeeded", timeout_s=240)
        status = vms.clone_status(found)
        self.assert_untouched(source)
        if not text:
            self.assert_disks(name, source,
                              torn_tail=status["consistency"] != "FilesystemConsistent")
            return
        error = status["lastError"]
        self.assertEqual("DeadlineExceeded", error["reason"])
        self.assertIn(text, error["message"])
        self.assertTrue(error.get("disk") == "root" or "root" in error["message"], error)
        took = vms.seconds(status["completionTime"]) - vms.seconds(status["startTime"])
        self.assertLess(took, DEADLINE_S + CLEANUP_S)
        self.assertGreaterEqual(took, DEADLINE_S - 1)
        self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                         f"{name}-root"))
        self.assertIsNone(self.kube.find(vms.KUBEVIRT_API, "VirtualMachine", self.namespace,
                                         f"{name}-vm"))


if __name__ == "__main__":
    harness.main()
