"""Proves inside Debian guests with PostgreSQL under load what a clone is worth.

The source runs pgbench all the time, its data on one disk and its WAL on the other. It loses no
transaction; its clone boots, its file systems need no journal, and the database finds nothing wrong
with itself: checksums, the heap against its indexes, the sums that pgbench keeps equal. Every
transaction that was committed before the freeze is there.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guestlib import GuestCase, harness, vms  # noqa: E402


class Guest(GuestCase):

    def assert_new(self, wanted, clone):
        """These tell the clone from its source, and all else is the same (docs/user/generalise.md)."""
        theirs, own = self.shop.inside.identity(), clone.identity()
        self.assertEqual(theirs.keys(), own.keys())
        self.assertTrue(all(theirs.values()) and all(own.values()), (theirs, own))
        self.assertEqual(wanted, {what for what in own if own[what] != theirs[what]})

    def test_a_frozen_cut_needs_no_journal_and_loses_no_transaction(self):
        began = time.time()
        status = self.cloned("frozen")
        self.assertEqual("FilesystemConsistent", status["consistency"])
        self.assert_source_unharmed(began)
        clone = self.inside("frozen-vm")
        self.assertEqual([], clone.replayed_journals())
        froze, thawed = self.shop.inside.freezes()[-2:]
        self.assertEqual(("freeze", "thaw"), (froze[1], thawed[1]))
        # pgbench knew by then that these were committed: none of them takes as long as five seconds.
        count, _ = theirs = self.shop.inside.history(froze[0] - 5)
        self.assertEqual(theirs, clone.history(froze[0] - 5))
        self.assertGreater(int(count), 0)
        self.assert_new({"mac", "product-uuid", "product-serial"}, clone)
        clone.judge_database(self)
        self.assertGreaterEqual(status["freezeMilliseconds"], (thawed[0] - froze[0]) * 1000 - 250,
                                "told less than the guest was frozen")

    def test_a_cut_without_a_freeze_needs_the_journal(self):
        began = time.time()
        status = self.cloned("torn", clone_source={"quiesce": "Never"})
        self.assertEqual("CrashConsistentPerDisk", status["consistency"])
        self.assert_source_unharmed(began)
        clone = self.booted("torn-vm")
        self.assertEqual(["vda", "vdb"], clone.replayed_journals())


if __name__ == "__main__":
    harness.main()
