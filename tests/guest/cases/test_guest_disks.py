"""Proves that eight disks which only make sense together are cloned as one.

PostgreSQL's tables lie on XFS, on a logical volume that is striped over six disks; its WAL is on ext4 on
the system's disk. One of the six is cut seconds after the others, while the database writes.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guestlib import GuestCase, harness, skip_where_slow  # noqa: E402


class Striped(GuestCase):
    more_disks = {f"pv{i}": "64Mi" for i in range(6)}
    prepare = """
        systemctl stop postgres beat
        pvcreate -q /dev/vd[c-h]
        vgcreate -q pg /dev/vd[c-h]
        lvcreate -q --stripes 6 --stripesize 64k --extents 100%FREE --name data pg
        mkfs.xfs -q /dev/pg/data
        mount /dev/pg/data /mnt
        cp -a /srv/pg/. /mnt
        umount /mnt /srv/pg
        sed -i s,/dev/vdb,/dev/pg/data, /etc/fstab
        systemctl daemon-reload
        mount /srv/pg
        systemctl start beat postgres"""

    @classmethod
    def setUpClass(cls):
        skip_where_slow()
        super().setUpClass()

    def test_eight_disks_with_a_striped_volume_are_of_one_moment(self):
        began = time.time()
        with self.slow_cut("pv5", 5000):
            status = self.cloned("striped")
        self.assertEqual("FilesystemConsistent", status["consistency"])
        self.assertEqual(8, len(status["disks"]))
        self.assert_source_unharmed(began)
        clone = self.inside("striped-vm")
        self.assertEqual("xfs", clone.run("findmnt -no FSTYPE /srv/pg"))
        self.assert_nothing_lost(clone)
        clone.judge_database(self)
        self.assertEqual([], clone.replayed_journals())


if __name__ == "__main__":
    harness.main()
