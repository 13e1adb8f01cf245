"""Proves inside Debian guests with PostgreSQL under load what a clone is worth.

The source runs pgbench all the time, its data on one disk and its WAL on the other. It loses no
transaction; its clone boots, its file systems need no journal, and the database finds nothing wrong
with itself: checksums, the heap against its indexes, the sums that pgbench keeps equal. Every
transaction that was committed before the freeze is there.
"""

import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guestlib import BOOT_S, GuestCase, harness, unless_it_is_slow, vms  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[3]


class Guest(GuestCase):

    def assert_new(self, wanted, clone):
        """These tell the clone from its source, and all else is the same (docs/user/generalise.md)."""
        theirs, own = self.shop.inside.identity(), clone.identity()
        self.assertEqual(theirs.keys(), own.keys())
        self.assertTrue(all(theirs.values()) and all(own.values()), (theirs, own))
        self.assertEqual(wanted, {what for what in own if own[what] != theirs[what]})

    def test_a_frozen_cut_needs_no_journal_and_loses_no_transaction(self):
        """With a thaw before the last cut, or without a freeze, the tables would be newer than the WAL."""
        began = time.time()
        with self.slow_cut("data", 12000):
            status = self.cloned("frozen")
        self.assertEqual("FilesystemConsistent", status["consistency"])
        self.assert_source_unharmed(began)
        clone = self.inside("frozen-vm")
        froze, thawed = self.assert_nothing_lost(clone)
        clone.judge_database(self)
        self.assertEqual([], clone.replayed_journals())
        self.assert_new({"mac", "product-uuid", "product-serial"}, clone)
        self.assertGreaterEqual(status["freezeMilliseconds"], (thawed - froze) * 1000 - 250,
                                "told less than the guest was frozen")

    @unless_it_is_slow
    def test_a_cut_without_a_freeze_needs_the_journal(self):
        began = time.time()
        status = self.cloned("torn", clone_source={"quiesce": "Never"})
        self.assertEqual("CrashConsistentPerDisk", status["consistency"])
        self.assert_source_unharmed(began)
        clone = self.booted("torn-vm")
        self.assertEqual(["vda", "vdb"], clone.replayed_journals())

    @unless_it_is_slow
    def test_cloud_init_gives_what_the_page_on_generalising_says(self):
        """The user data are the page's own."""
        page = (REPOSITORY / "docs" / "user" / "generalise.md").read_text()
        user_data = re.search(r"```yaml\n(#cloud-config\n.*?)```", page, re.DOTALL)[1]
        self.cloned("general", guest={"cloudInit": "Replace", "userData": user_data})
        clone = self.booted("general-vm")
        self.wait_for(lambda: clone.run("ls /run/cloud-init/result.json", check=False), BOOT_S, "cloud-init's end")
        self.assert_new({"mac", "product-uuid", "product-serial", "hostname", "ssh-host-key", "machine-id"},
                        clone)
        self.assertEqual("general-vm", clone.identity()["hostname"])

    # ---- faults ---------------------------------------------------------------------------------

    def log_since(self, count, *events):
        return self.shop.log()[count:] if not events else \
            [e for e in self.shop.log()[count:] if e["event"] in events]

    @unless_it_is_slow
    def test_a_worker_killed_while_the_guest_is_frozen(self):
        """Another thaws the guest; no transaction fails, and the clone is as good as any."""
        began, logged = time.time(), len(self.shop.log())
        handle = self.shop.handle("data")
        vms.set_disk_fault(self.bed, handle, snapshot_delay_ms=600000)
        self.addCleanup(vms.set_disk_fault, self.bed, handle)
        self.clone("killed", self.shop, namespace=self.home, clone_source={"quiesce": "Required"})
        self.wait_for(lambda: self.log_since(logged, "frozen"), BOOT_S, "the guest to be frozen")
        self.bed.kill("worker")
        self.bed.start("worker")
        self.wait_for(lambda: self.log_since(logged, "thawed", "safety-thawed"), 120, "the guest to be thawed")
        thaw, = self.log_since(logged, "thawed", "safety-thawed")
        vms.set_disk_fault(self.bed, handle)
        status = vms.clone_status(self.wait_ended("killed", timeout_s=BOOT_S, namespace=self.home))
        self.assertEqual("FilesystemConsistent", status["consistency"])
        self.assert_source_unharmed(began)
        told = status.get("lastError", {}).get("freezeMilliseconds", status["freezeMilliseconds"])
        self.assertGreaterEqual(told + 1, thaw["frozenMs"], "told less than the guest was frozen")
        clone = self.inside("killed-vm")
        self.assertEqual([], clone.replayed_journals())
        clone.judge_database(self)

    def test_a_freeze_hook_that_takes_longer_than_kubevirt_waits(self):
        """KubeVirt gives up after 10 s. The freeze that comes of it all the same is thawed at once."""
        began, logged = time.time(), len(self.shop.log())
        self.shop.inside.run("echo 13 >/run/hook-takes")
        self.addCleanup(self.shop.inside.run, "rm -f /run/hook-takes")
        self.clone("hooked", self.shop, namespace=self.home, clone_source={"quiesce": "Required", "retryLimit": 0})
        found = self.wait_ended("hooked", "Failed", timeout_s=BOOT_S, namespace=self.home)
        self.assertEqual("FreezeFailed", vms.reason(found, "Ready"))
        self.wait_for(lambda: self.log_since(logged, "thawed"), 120, "the guest to be thawed")
        self.assert_source_unharmed(began)
        thaw = self.log_since(logged, "thawed")[0]
        self.assertLess(thaw["frozenMs"], 10000, "it stood still after nobody waited for it any more")

    def test_an_agent_that_is_dead(self):
        """Required waits for it; IfAvailable cuts without a freeze, and says so."""
        began = time.time()
        self.shop.inside.run("systemctl stop qemu-guest-agent")
        self.addCleanup(lambda: self.shop.wait(timeout_s=BOOT_S, written=0))
        self.addCleanup(self.shop.inside.run, "systemctl start qemu-guest-agent")
        self.wait_for(lambda: not vms.holds(self.shop.vmi(), "AgentConnected"), 120, "KubeVirt to notice")
        self.clone("waits", self.shop, namespace=self.home, clone_source={"quiesce": "Required"})
        status = self.cloned("lame", clone_source={"quiesce": "IfAvailable"},
                             startStrategy={"autoStart": False})
        self.assertEqual("CrashConsistentPerDisk", status["consistency"])
        self.assertNotIn("freezeMilliseconds", {k: v for k, v in status.items() if v})
        self.assertNotEqual("Succeeded", vms.clone_status(self.wukong("waits"))["phase"])
        self.assert_source_unharmed(began)


if __name__ == "__main__":
    harness.main()
